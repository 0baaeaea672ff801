//! The search for an operation id that is used twice, among any number of ids.

use std::io;

use crate::ir::sorted_runs::SortedRuns;

/// The hash of an id. It has 128 bits of BLAKE3, so that two ids are never taken for one.
pub(super) type IdHash = [u8; 16];

pub(super) fn hash_id(id: &str) -> IdHash {
    let mut hash = [0; 16];
    hash.copy_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..16]);
    hash
}

/// A collection of ids with the numbers of their places. Sorted runs go to a temporary file.
pub(super) struct DuplicateSearch {
    run: Vec<(IdHash, u64)>,
    limit: usize,
    spilled: Option<SortedRuns>,
}

/// An id used twice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DuplicateId {
    pub hash: IdHash,
    pub first: u64,
    pub second: u64,
}

const RECORD: usize = 24;

impl DuplicateSearch {
    /// Creates a search that keeps at most `limit` ids in memory.
    pub fn new(limit: usize) -> DuplicateSearch {
        DuplicateSearch { run: Vec::new(), limit, spilled: None }
    }

    pub fn add(&mut self, id: &str, position: u64) -> io::Result<()> {
        if self.run.len() >= self.limit {
            self.spill()?;
        }
        self.run.push((hash_id(id), position));
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.run.sort_unstable();
        let runs = match &mut self.spilled {
            Some(runs) => runs,
            None => self.spilled.insert(SortedRuns::new()?),
        };
        for (hash, position) in self.run.drain(..) {
            runs.write(&hash)?;
            runs.write(&position.to_le_bytes())?;
        }
        runs.end_run();
        Ok(())
    }

    /// Returns the duplicate whose second use comes first.
    pub fn duplicate(mut self) -> io::Result<Option<DuplicateId>> {
        let mut found = Earliest::default();
        if self.spilled.is_some() {
            self.spill()?;
        }
        self.run.sort_unstable();
        self.run.into_iter().for_each(|use_of_id| found.next(use_of_id));
        if let Some(runs) = self.spilled {
            runs.merge(split, |record, _| {
                found.next(split(&record));
                Ok(())
            })?;
        }
        Ok(found.duplicate)
    }
}

fn split(record: &[u8; RECORD]) -> (IdHash, u64) {
    let (mut hash, mut position) = ([0; 16], [0; 8]);
    hash.copy_from_slice(&record[..16]);
    position.copy_from_slice(&record[16..]);
    (hash, u64::from_le_bytes(position))
}

/// A search for the earliest duplicate. It takes ids in order of hash and position.
#[derive(Default)]
struct Earliest {
    before: Option<(IdHash, u64)>,
    duplicate: Option<DuplicateId>,
}

impl Earliest {
    fn next(&mut self, (hash, position): (IdHash, u64)) {
        if let Some((before, first)) = self.before
            && before == hash
            && self.duplicate.as_ref().is_none_or(|known| position < known.second)
        {
            self.duplicate = Some(DuplicateId { hash, first, second: position });
        }
        self.before = Some((hash, position));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duplicate_of(ids: impl Iterator<Item = String>, limit: usize) -> Option<DuplicateId> {
        let mut unique = DuplicateSearch::new(limit);
        for (position, id) in ids.enumerate() {
            unique.add(&id, position as u64).unwrap();
        }
        unique.duplicate().unwrap()
    }

    #[test]
    fn ids_that_differ_are_no_duplicates_in_memory_or_spilled() {
        for limit in [10_000, 7] {
            assert_eq!(duplicate_of((0..1_000).map(|i| i.to_string()), limit), None);
        }
    }

    #[test]
    fn the_first_second_use_is_found_across_runs() {
        for limit in [10_000, 7] {
            let ids = (0..1_000).map(|i| {
                if i == 900 {
                    3
                } else if i == 950 {
                    2
                } else {
                    i
                }
            });
            let duplicate = duplicate_of(ids.map(|i| i.to_string()), limit).unwrap();
            assert_eq!((duplicate.first, duplicate.second), (3, 900));
            assert_eq!(duplicate.hash, hash_id("3"));
        }
    }
}
