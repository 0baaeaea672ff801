//! The spool: the operations of a document, in order per client, in bounded memory.
//!
//! Operations arrive in the document's order and are sorted by client and
//! section, first in memory, then in sorted runs that are merged into one
//! temporary file. So each client's section is one range of bytes, and a
//! client costs a few bytes however many there are.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::operation::{Operation, Section};
use super::sorted_runs::SortedRuns;
use super::source::Progress;

/// The most bytes kept in memory before, or instead of, a temporary file.
pub(super) const MEMORY: usize = 32 << 20;
/// The size in bytes of the length before each operation.
const PREFIX: usize = 4;

/// A writer that takes operations in any order of clients.
pub(super) struct SpoolWriter {
    /// The bytes of the operations. The length of each operation stands before it.
    arena: Vec<u8>,
    records: Vec<Record>,
    limit: usize,
    runs: Option<SortedRuns>,
    /// The number of bytes of each (client, section).
    sizes: Vec<u64>,
}

/// A piece of the arena.
struct Record {
    chain: u32,
    start: u32,
    end: u32,
}

/// The operations of a document, client by client. Any number of readers read them, each with
/// cursors of its own.
pub(super) struct Spool {
    store: Store,
    /// The start of each (client, section), followed by the end of the last.
    starts: Vec<u64>,
}

enum Store {
    Memory(Vec<u8>),
    File(File),
}

/// The place of a reader in the operations of one client.
#[derive(Clone, Copy)]
pub(super) struct Cursor {
    client: u32,
    section: Section,
    at: u64,
}

impl Cursor {
    pub fn client(&self) -> u32 {
        self.client
    }
}

fn chain(client: u32, section: Section) -> usize {
    client as usize * 3 + section as usize
}

impl SpoolWriter {
    /// Creates a writer that keeps about `limit` bytes in memory.
    pub fn new(clients: u32, limit: usize) -> SpoolWriter {
        SpoolWriter {
            arena: Vec::new(),
            records: Vec::new(),
            limit,
            runs: None,
            sizes: vec![0; chain(clients, Section::Setup)],
        }
    }

    /// Appends the operation to its client's section.
    pub fn push(&mut self, operation: &Operation) -> io::Result<()> {
        if self.arena.len() + self.records.len() * size_of::<Record>() >= self.limit {
            self.spill()?;
        }
        let start = self.arena.len();
        self.arena.extend_from_slice(&[0; PREFIX]);
        postcard::to_io(operation, &mut self.arena).map_err(io::Error::other)?;
        let length = self.arena.len() - start - PREFIX;
        let prefix = u32::try_from(length).map_err(io::Error::other)?;
        self.arena[start..start + PREFIX].copy_from_slice(&prefix.to_le_bytes());
        let chain = chain(operation.client_idx, operation.section);
        self.sizes[chain] += (self.arena.len() - start) as u64;
        self.records.push(Record {
            chain: chain as u32,
            start: start as u32,
            end: self.arena.len() as u32,
        });
        Ok(())
    }

    /// Returns the clients that have operations, in order.
    pub fn clients_with_operations(&self) -> impl Iterator<Item = u32> + '_ {
        let clients = (0..).zip(self.sizes.chunks_exact(chain(1, Section::Setup)));
        clients.filter(|(_, sizes)| sizes.iter().any(|size| *size > 0)).map(|(client, _)| client)
    }

    /// Writes the arena as one run of groups. A group is a chain's number, a length and that
    /// many bytes.
    fn spill(&mut self) -> io::Result<()> {
        let runs = match &mut self.runs {
            Some(runs) => runs,
            None => self.runs.insert(SortedRuns::new()?),
        };
        self.records.sort_by_key(|record| record.chain);
        for group in self.records.chunk_by(|a, b| a.chain == b.chain) {
            let bytes: u32 = group.iter().map(|record| record.end - record.start).sum();
            runs.write(&group[0].chain.to_le_bytes())?;
            runs.write(&bytes.to_le_bytes())?;
            for record in group {
                runs.write(&self.arena[record.start as usize..record.end as usize])?;
            }
        }
        runs.end_run();
        self.records.clear();
        self.arena.clear();
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<Spool> {
        let mut starts = Vec::with_capacity(self.sizes.len() + 1);
        let mut end = 0;
        starts.push(0);
        starts.extend(self.sizes.iter().map(|size| {
            end += size;
            end
        }));
        self.sizes = Vec::new();
        if self.runs.is_some() {
            self.spill()?;
        }
        self.records.sort_by_key(|record| record.chain);
        let mut sorted = Vec::with_capacity(self.arena.len());
        for record in &self.records {
            sorted.extend_from_slice(&self.arena[record.start as usize..record.end as usize]);
        }
        (self.arena, self.records) = (Vec::new(), Vec::new());
        let store = match self.runs {
            Some(runs) => Store::File(merged(runs)?),
            None => Store::Memory(sorted),
        };
        Ok(Spool { store, starts })
    }
}

/// Merges the runs into one file of all chains in order, each whole.
fn merged(runs: SortedRuns) -> io::Result<File> {
    let mut out = BufWriter::with_capacity(1 << 18, tempfile::tempfile()?);
    let chain = |head: &[u8; 8]| u32_at(head, 0);
    // The runs were written one after the other. If two have the same chain, the earlier run has
    // the earlier operations.
    runs.merge(chain, |head, reader| {
        let bytes = u64::from(u32_at(&head, 4));
        match io::copy(&mut reader.take(bytes), &mut out)? == bytes {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    })?;
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |four| u32::from_le_bytes(*four))
}

impl Spool {
    /// Returns a cursor at the first operation of a client.
    pub fn cursor(&self, client: u32) -> Cursor {
        let at = self.starts.get(chain(client, Section::Setup)).copied().unwrap_or(0);
        Cursor { client, section: Section::Setup, at }
    }

    /// Appends up to `max` (at least one) further operations. A request for a later section
    /// discards the rest of the current section. A section that was left has ended. `buffer` is
    /// scratch space, which readers on one thread share.
    pub fn read(
        &self,
        cursor: &mut Cursor,
        section: Section,
        max: usize,
        buffer: &mut Vec<u8>,
        into: &mut Vec<Operation>,
    ) -> io::Result<Progress> {
        let chain = chain(cursor.client, section);
        let (Some(&start), Some(&end)) = (self.starts.get(chain), self.starts.get(chain + 1))
        else {
            return Ok(Progress::End);
        };
        if section < cursor.section {
            return Ok(Progress::End);
        }
        if section > cursor.section {
            *cursor = Cursor { section, at: start, ..*cursor };
        }
        let most = into.len() + max.max(1);
        while into.len() < most && cursor.at < end {
            let wanted = (most - into.len()).saturating_mul(128).min(64 << 10);
            let bytes = self.store.bytes(cursor.at, end, wanted, buffer)?;
            let mut used = 0;
            while into.len() < most
                && let Some(record) = record(&bytes[used..])
            {
                let mut operation = postcard::from_bytes(record).map_err(io::Error::other)?;
                share_step(&mut operation, into.last());
                into.push(operation);
                used += PREFIX + record.len();
            }
            cursor.at += used as u64;
        }
        Ok(if cursor.at < end { Progress::More } else { Progress::End })
    }
}

/// Replaces the operation's step by that of the operation before it, if they are equal. Operations
/// of one step are read with a copy of it each.
fn share_step(operation: &mut Operation, before: Option<&Operation>) {
    let before = before.and_then(|before| before.step.as_ref());
    if let (Some(step), Some(before)) = (&mut operation.step, before)
        && step == before
    {
        *step = Arc::clone(before);
    }
}

/// Returns the first operation's bytes, if all of them are there.
fn record(bytes: &[u8]) -> Option<&[u8]> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    bytes.get(PREFIX..PREFIX + length)
}

impl Store {
    /// Returns about `wanted` of the bytes from `at`, but at least one whole operation.
    fn bytes<'s>(
        &'s self,
        at: u64,
        end: u64,
        wanted: usize,
        buffer: &'s mut Vec<u8>,
    ) -> io::Result<&'s [u8]> {
        let file = match self {
            Store::Memory(bytes) => return Ok(&bytes[at as usize..end as usize]),
            Store::File(file) => file,
        };
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        buffer.resize(wanted.clamp(PREFIX, left.max(PREFIX)), 0);
        file.read_exact_at(buffer, at)?;
        let first = PREFIX + u32_at(buffer, 0) as usize;
        if first > left {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if first > buffer.len() {
            buffer.resize(first, 0);
            file.read_exact_at(buffer, at)?;
        }
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Due, PathOperation, Step};
    use crate::protocol::SharePath;

    const SECTIONS: [Section; 3] = [Section::Setup, Section::Iteration, Section::Teardown];

    /// Returns operations of 50 clients, interleaved. Some are larger than a read.
    fn operations() -> Vec<Operation> {
        let mut operations = Vec::new();
        for seq in 0..90 {
            for client_idx in (0..50).filter(|client| (client * 7 + seq) % 3 != 0) {
                let name = "n".repeat(if seq % 31 == 0 { 200 } else { 1 + seq as usize % 9 });
                let depth = if seq % 31 == 0 { 100 } else { 1 };
                let path = SharePath::new(&vec![name; depth].join("/")).unwrap();
                let name = if seq % 6 < 3 { "save" } else { "browse" };
                let step = Step { name: name.into(), number: seq / 3, outer: None };
                operations.push(Operation {
                    step: (seq % 4 != 0).then(|| Arc::new(step)),
                    due: Due::After(u64::from(seq)),
                    section: SECTIONS[seq as usize / 30],
                    ..Operation::new(client_idx, seq, PathOperation::Delete { path })
                });
            }
        }
        operations
    }

    fn spooled(limit: usize) -> Spool {
        let mut writer = SpoolWriter::new(50, limit);
        operations().iter().for_each(|operation| writer.push(operation).unwrap());
        writer.finish().unwrap()
    }

    /// Reads a whole section of a client in batches.
    fn section(
        spool: &Spool,
        cursor: &mut Cursor,
        section: Section,
        batch: usize,
    ) -> Vec<Operation> {
        let (mut all, mut buffer) = (Vec::new(), Vec::new());
        while spool.read(cursor, section, batch, &mut buffer, &mut all).unwrap() == Progress::More {
        }
        all
    }

    #[test]
    fn every_client_gets_its_sections_in_order_from_memory_and_from_a_file() {
        let mut wanted = operations();
        wanted.sort_by_key(|operation| operation.client_idx);
        for (limit, in_file) in [(usize::MAX, false), (20_000, true), (1, true)] {
            let spool = spooled(limit);
            assert_eq!(matches!(spool.store, Store::File(_)), in_file);
            for batch in [1, 7, 1_000] {
                let read = (0..50).flat_map(|client| {
                    let mut cursor = spool.cursor(client);
                    let spool = &spool;
                    SECTIONS.map(move |of| section(spool, &mut cursor, of, batch)).concat()
                });
                assert!(read.eq(wanted.iter().cloned()), "limit {limit}, batch {batch}");
            }
        }
    }

    #[test]
    fn operations_of_one_step_share_it_when_they_are_read_together() {
        let spool = spooled(usize::MAX);
        let all = section(&spool, &mut spool.cursor(0), Section::Iteration, 1_000);
        let pairs = all.windows(2).filter_map(|pair| match pair {
            [Operation { step: Some(one), .. }, Operation { step: Some(next), .. }] => {
                Some((one == next, Arc::ptr_eq(one, next)))
            }
            _ => None,
        });
        let pairs: Vec<(bool, bool)> = pairs.collect();
        assert!(pairs.contains(&(true, true)) && pairs.contains(&(false, false)), "{pairs:?}");
        assert!(pairs.iter().all(|(equal, shared)| equal == shared), "{pairs:?}");
    }

    #[test]
    fn clients_may_be_read_in_turns_and_by_several_readers() {
        let spool = spooled(20_000);
        let mut turns = vec![Vec::new(); 100];
        let mut cursors: Vec<Cursor> = (0..100).map(|reader| spool.cursor(reader % 50)).collect();
        let mut buffer = Vec::new();
        for _ in 0..40 {
            for (cursor, all) in cursors.iter_mut().zip(&mut turns) {
                spool.read(cursor, Section::Iteration, 1, &mut buffer, all).unwrap();
            }
        }
        let wanted: Vec<Operation> =
            operations().into_iter().filter(|op| op.section == Section::Iteration).collect();
        for (reader, all) in turns.iter().enumerate() {
            let own = wanted.iter().filter(|op| op.client_idx as usize == reader % 50);
            assert!(all.iter().eq(own), "reader {reader}");
        }
        assert!(section(&spool, &mut spool.cursor(50), Section::Setup, 1).is_empty());
    }
}
