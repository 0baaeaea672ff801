//! The preview of a stream: its first operations are examined before the run for what they
//! need, and handed out afterwards unchanged.

use std::collections::{HashMap, VecDeque};

use super::client_partition::ClientPartition;
use super::due::Due;
use super::feature::Need;
use super::operation::{Operation, Section};
use super::source::{OperationSource, Progress, SourceError, StreamHeader};

/// The number of operations examined in each workload.
const DEPTH: usize = 1_000;
const BATCH: usize = 64;
/// The memory in bytes that they may take, over all workloads, but for one batch.
const MOST_BYTES: usize = 16 << 20;
/// The arrivals of an open loop that examining one client may cause, over all clients.
const ARRIVALS: usize = 1 << 20;

/// A source whose header knows the needs of the first thousand operations of each workload.
/// These are the operations of the workload's first client, if the source has that client. The
/// preview is bounded by counts and bytes, never by time, so that every host finds the same
/// needs.
pub struct Preview<S> {
    source: S,
    header: StreamHeader,
    /// The operations that were examined and not yet handed out.
    kept: HashMap<(u32, Section), Kept>,
}

#[derive(Default)]
struct Kept {
    operations: VecDeque<Operation>,
    /// The way in which the section goes on after them: not examined, ended, or broken.
    end: Option<Result<(), SourceError>>,
}

impl<S: OperationSource> Preview<S> {
    /// Examines the first operations of `source`, which makes the clients of `partition`.
    pub fn new(mut source: S, partition: ClientPartition) -> Preview<S> {
        let mut header = source.header().clone();
        let workload_clients = header.workload_clients();
        let mut kept = HashMap::new();
        let mut first = 0;
        let mut room_bytes = MOST_BYTES;
        for workload in &header.workloads {
            let client = first;
            first += workload.clients;
            if workload.clients == 0 || !partition.has(client, workload_clients) {
                continue;
            }
            // Each arrival of one client makes one for every other client, which keeps it.
            let arrivals = (ARRIVALS / workload.clients as usize).max(1);
            let mut look = |section, depth| {
                look(&mut source, client, section, (depth, arrivals), &mut room_bytes)
            };
            let setup = look(Section::Setup, DEPTH);
            let (seen, whole) = (setup.operations.len(), matches!(setup.end, Some(Ok(()))));
            kept.insert((client, Section::Setup), setup);
            // A request for iterations would discard the rest of a setup.
            if whole {
                let iterations = look(Section::Iteration, DEPTH - seen);
                kept.insert((client, Section::Iteration), iterations);
            }
        }
        let mut looked_at: Vec<_> = kept.iter().collect();
        looked_at.sort_by_key(|(place, _)| **place);
        let operations = looked_at.into_iter().flat_map(|(_, kept)| &kept.operations);
        header.add_needs(operations.flat_map(Need::of));
        Preview { source, header, kept }
    }

    /// Returns the clients whose setup was examined to its end, in order, with the operations of
    /// their setup and the first of their iterations.
    ///
    /// The operations that were handed out since are not among them.
    pub fn examined(
        &self,
    ) -> impl Iterator<Item = (u32, &VecDeque<Operation>, &VecDeque<Operation>)> {
        let mut clients: Vec<u32> = (self.kept.keys())
            .filter(|(_, section)| *section == Section::Iteration)
            .map(|(client, _)| *client)
            .collect();
        clients.sort_unstable();
        clients.into_iter().filter_map(|client| {
            let of = |section| Some(&self.kept.get(&(client, section))?.operations);
            Some((client, of(Section::Setup)?, of(Section::Iteration)?))
        })
    }
}

/// Examines `depth` operations, or somewhat more than `arrivals` arrivals, as long as there is
/// room for them.
fn look(
    source: &mut dyn OperationSource,
    client: u32,
    section: Section,
    (depth, arrivals): (usize, usize),
    room_bytes: &mut usize,
) -> Kept {
    let mut seen: Vec<Operation> = Vec::new();
    let mut end = None;
    let arrived = |seen: &[Operation]| {
        seen.iter().filter(|operation| matches!(operation.due, Due::Arrival { .. })).count()
    };
    while seen.len() < depth && end.is_none() && arrived(&seen) < arrivals && *room_bytes > 0 {
        let max = BATCH.min(arrivals).min(depth - seen.len());
        let before = seen.len();
        end = match source.pull(client, section, max, &mut seen) {
            Ok(Progress::More) => None,
            Ok(Progress::End) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        };
        let bytes: usize = seen[before..].iter().map(Operation::memory_bytes).sum();
        *room_bytes = room_bytes.saturating_sub(bytes);
    }
    Kept { operations: seen.into(), end }
}

impl<S: OperationSource> OperationSource for Preview<S> {
    fn header(&self) -> &StreamHeader {
        &self.header
    }

    fn pull(
        &mut self,
        client: u32,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        if self.kept.is_empty() {
            return self.source.pull(client, section, max, into);
        }
        // A later section discards the rest of an earlier one.
        for earlier in [Section::Setup, Section::Iteration] {
            if earlier < section {
                self.kept.remove(&(client, earlier));
            }
        }
        let Some(kept) = self.kept.get_mut(&(client, section)) else {
            return self.source.pull(client, section, max, into);
        };
        let taken = max.max(1).min(kept.operations.len());
        into.extend(kept.operations.drain(..taken));
        if !kept.operations.is_empty() {
            return Ok(Progress::More);
        }
        if let Some(end) = kept.end.clone() {
            return end.map(|()| Progress::End);
        }
        self.kept.remove(&(client, section));
        match taken {
            0 => self.source.pull(client, section, max, into),
            _ => Ok(Progress::More),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Feature, FileControl, HandleRef, Workload};

    /// A source whose clients lock once in setup, then flush for ever or until the stream breaks.
    struct Endless {
        header: StreamHeader,
        next: HashMap<(u32, Section), u32>,
        breaks_at: u32,
    }

    impl OperationSource for Endless {
        fn header(&self) -> &StreamHeader {
            &self.header
        }

        fn pull(
            &mut self,
            client: u32,
            section: Section,
            max: usize,
            into: &mut Vec<Operation>,
        ) -> Result<Progress, SourceError> {
            let next = self.next.entry((client, section)).or_default();
            for _ in 0..max {
                let handle_ref = HandleRef(0);
                let kind = match (section, *next) {
                    (Section::Setup, 0) => {
                        FileControl::Lock { offset: 0, length: 1, exclusive: true, wait: false }
                            .on(handle_ref)
                    }
                    (Section::Iteration, seq) if seq == self.breaks_at => {
                        return Err(SourceError { message: "broken".into(), client: None });
                    }
                    (Section::Iteration, _) => FileControl::Flush.on(handle_ref),
                    _ => return Ok(Progress::End),
                };
                into.push(Operation { section, ..Operation::new(client, *next, kind) });
                *next += 1;
            }
            Ok(Progress::More)
        }
    }

    fn endless(breaks_at: u32) -> Endless {
        let workload = Workload::new("w", 2);
        let header = StreamHeader { workloads: vec![workload].into(), ..StreamHeader::default() };
        Endless { header, next: HashMap::new(), breaks_at }
    }

    fn read(source: &mut dyn OperationSource, section: Section, count: usize) -> Vec<Operation> {
        let mut read = Vec::new();
        while read.len() < count {
            let max = 7.min(count - read.len());
            if source.pull(0, section, max, &mut read).unwrap() == Progress::End {
                break;
            }
        }
        read
    }

    #[test]
    fn looking_changes_nothing_in_what_is_handed_out() {
        let mut plain = endless(u32::MAX);
        let mut preview = Preview::new(endless(u32::MAX), ClientPartition::WHOLE);
        for (section, count) in
            [(Section::Setup, 5), (Section::Iteration, 2_500), (Section::Teardown, 5)]
        {
            let (plain, previewed) =
                (read(&mut plain, section, count), read(&mut preview, section, count));
            assert_eq!(plain, previewed);
        }
    }

    #[test]
    fn the_header_names_the_first_operation_that_needs_a_feature() {
        let needs = &Preview::new(endless(u32::MAX), ClientPartition::WHOLE).header().needs.clone();
        assert_eq!(needs.len(), 1);
        assert_eq!((needs[0].feature, needs[0].whose.as_str()), (Feature::Locks, "operation 0-0"));
    }

    #[test]
    fn a_stream_that_breaks_does_so_when_it_gets_there() {
        let mut preview = Preview::new(endless(20), ClientPartition::WHOLE);
        let mut into = Vec::new();
        while let Ok(Progress::More) = preview.pull(0, Section::Iteration, 7, &mut into) {}
        assert_eq!(into.len(), 20);
        assert!(preview.pull(0, Section::Iteration, 7, &mut into).is_err());
    }
}
