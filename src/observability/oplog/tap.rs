//! The shard's end of the operation log. It never waits.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, TrySendError};

use crate::ir::event::{BreakEvent, IterationEvent, IterationOutcome};
use crate::ir::{
    CompletionEvent, CompletionStatus, Event, OperationTimes, OperationType, Section, Step,
};
use crate::protocol::{Granted, SharePath};

/// The time from the first to the latest record of a batch, in nanoseconds, after which it is
/// handed over although it is not full, so that a reader can follow the file.
const HAND_OVER_NS: u64 = 100_000_000;

/// The most records in a batch.
pub(super) const BATCH: usize = 256;

/// The numbers of lines that were written and dropped.
#[derive(Debug, Default)]
pub(super) struct LineCounts {
    pub written: AtomicU64,
    pub dropped: AtomicU64,
}

/// The content of a line, before it is formatted.
#[derive(Debug)]
pub(super) enum LogRecord {
    Operation(Completed),
    Break(Box<BreakEvent>),
    Dropped(IterationEvent),
}

/// A completion, reduced to the content of a line: the shard copies it on the timed path.
#[derive(Debug)]
pub(super) struct Completed {
    pub id: Option<Arc<str>>,
    pub client_idx: u32,
    pub seq: u32,
    pub iteration: u32,
    pub step: Option<Arc<Step>>,
    pub kind: OperationType,
    pub section: Section,
    /// The path that the operation touched.
    pub path: Option<SharePath>,
    pub status: CompletionStatus,
    pub phase: Option<u16>,
    pub times: OperationTimes,
    pub bytes: u64,
    pub retries: u32,
    pub granted: Option<Box<Granted>>,
    pub generation: u32,
}

impl Completed {
    fn new(event: &CompletionEvent, path: Option<&SharePath>) -> Completed {
        let (operation, execution) = (&event.operation, &event.execution);
        Completed {
            id: operation.id.clone(),
            client_idx: operation.client_idx,
            seq: operation.seq,
            iteration: operation.iteration,
            step: operation.step.clone(),
            kind: operation.operation_type(),
            section: operation.section,
            path: path.cloned(),
            status: execution.status.clone(),
            phase: event.phase,
            times: event.times,
            bytes: execution.bytes,
            retries: event.retries,
            granted: execution.granted.clone(),
            generation: event.generation,
        }
    }
}

/// The tap of one shard.
#[derive(Debug)]
pub struct OplogTap {
    batch: Vec<LogRecord>,
    /// The time at which the first record of the batch ended, in nanoseconds.
    first_ns: u64,
    queue: SyncSender<Vec<LogRecord>>,
    counts: Arc<LineCounts>,
}

impl OplogTap {
    pub(super) fn new(queue: SyncSender<Vec<LogRecord>>, counts: Arc<LineCounts>) -> OplogTap {
        OplogTap { batch: Vec::with_capacity(BATCH), first_ns: 0, queue, counts }
    }

    /// Records the event, if the log has lines for its kind. `path` returns the path that an
    /// operation touched.
    pub fn event<'a>(
        &mut self,
        event: &'a Event,
        path: impl Fn(&'a CompletionEvent) -> Option<&'a SharePath>,
    ) {
        match event {
            Event::Completed(event) => {
                let record = Completed::new(event, path(event));
                self.add(LogRecord::Operation(record), event.times.completed_ns);
            }
            Event::Break(event) => self.add(LogRecord::Break(event.clone()), event.ended_ns),
            Event::Iteration(event) if event.outcome == IterationOutcome::Dropped => {
                self.add(LogRecord::Dropped(event.clone()), event.ended_ns);
            }
            _ => {}
        }
    }

    fn add(&mut self, record: LogRecord, ended_ns: u64) {
        if self.batch.is_empty() {
            self.first_ns = ended_ns;
        }
        self.batch.push(record);
        let since_ns = ended_ns.saturating_sub(self.first_ns);
        if self.batch.len() >= BATCH || since_ns >= HAND_OVER_NS {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) =
            self.queue.try_send(batch)
        {
            self.counts.dropped.fetch_add(batch.len() as u64, Relaxed);
            self.batch = batch;
            self.batch.clear();
        }
    }
}

impl Drop for OplogTap {
    fn drop(&mut self) {
        if !self.batch.is_empty() {
            self.hand_over();
        }
    }
}
