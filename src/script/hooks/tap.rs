//! The tap that copies the completions of a shard for hooks. It checks whether a hook wants a
//! completion, and queues a record of it for the hooks' thread. It never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;

use super::filter::{CompletionOutcome, Filter};
use crate::ir::event::CompletionEvent;
use crate::ir::{OperationType, Step};
use crate::observability::Layout;
use crate::protocol::{Granted, SharePath};

/// Maximum number of records in a batch.
pub(super) const BATCH: usize = 256;
/// Maximum number of batches queued for the hooks.
pub(super) const BATCHES_QUEUED: usize = 1_024;

/// A completion as hooks see it.
#[derive(Clone, Debug)]
pub(super) struct CompletionRecord {
    /// A bit for each hook that is to be called with it.
    pub hooks: u32,
    pub client_idx: u32,
    pub seq: u32,
    pub iteration: u32,
    pub kind: OperationType,
    pub outcome: CompletionOutcome,
    pub service_ns: u64,
    pub response_ns: u64,
    pub lateness_ns: u64,
    pub bytes: u64,
    pub granted: Option<Box<Granted>>,
    /// The path, if a hook asks for it.
    pub path: Option<SharePath>,
    pub step: Option<Arc<Step>>,
    /// The id that a document gave the operation.
    pub id: Option<Arc<str>>,
    pub generation: u32,
}

/// The counters that the taps of all shards share with the hooks' thread.
#[derive(Debug, Default)]
pub(super) struct HookCounts {
    pub delivered: AtomicU64,
    pub dropped: AtomicU64,
    /// The number of times the thread had nothing to do, and would have taken a batch that is not
    /// full.
    pub idle: AtomicU32,
}

impl HookCounts {
    pub fn drop_all(&self, records: &[CompletionRecord]) {
        let calls: u32 = records.iter().map(|record| record.hooks.count_ones()).sum();
        self.dropped.fetch_add(calls.into(), Relaxed);
    }
}

/// The tap of one shard.
pub struct HookTap {
    filters: Arc<[Filter]>,
    layout: Arc<Layout>,
    /// Whether a filter looks at paths.
    by_path: bool,
    /// Whether a hook gets the path.
    with_path: bool,
    batch: Vec<CompletionRecord>,
    queue: SyncSender<Vec<CompletionRecord>>,
    counts: Arc<HookCounts>,
    idle_seen: u32,
}

impl HookTap {
    pub(super) fn new(
        (filters, with_path): (Arc<[Filter]>, bool),
        layout: Arc<Layout>,
        queue: SyncSender<Vec<CompletionRecord>>,
        counts: Arc<HookCounts>,
    ) -> HookTap {
        let by_path = filters.iter().any(|filter| filter.paths.is_some());
        let batch = Vec::with_capacity(BATCH);
        HookTap { filters, layout, by_path, with_path, batch, queue, counts, idle_seen: 0 }
    }

    /// Queues a record of a completion if a hook wants it. `path` returns the path that the
    /// operation used.
    pub fn completed<'a>(
        &mut self,
        event: &'a CompletionEvent,
        path: impl Fn(&'a CompletionEvent) -> Option<&'a SharePath>,
    ) {
        let place = (
            self.layout.slot(event.operation.section, event.phase),
            self.layout.workload(event.operation.client_idx),
        );
        let seen = if self.by_path { path(event) } else { None };
        let mut hooks = 0;
        for (bit, filter) in self.filters.iter().enumerate() {
            hooks |= u32::from(filter.matches(event, place, seen)) << bit;
        }
        if hooks == 0 {
            return;
        }
        self.batch.push(CompletionRecord {
            hooks,
            client_idx: event.operation.client_idx,
            seq: event.operation.seq,
            iteration: event.operation.iteration,
            kind: event.operation_type(),
            outcome: CompletionOutcome::of(&event.execution.status),
            service_ns: event.times.service_ns(),
            response_ns: event.times.response_ns(),
            lateness_ns: event.times.lateness_ns(),
            bytes: event.execution.bytes,
            granted: event.execution.granted.clone(),
            path: if self.with_path { path(event).cloned() } else { None },
            step: event.operation.step.clone(),
            id: event.operation.id.clone(),
            generation: event.generation,
        });
        let idle = self.counts.idle.load(Relaxed);
        if self.batch.len() >= BATCH || idle != self.idle_seen {
            self.idle_seen = idle;
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        if let Err(refused) = self.queue.try_send(batch) {
            let (std::sync::mpsc::TrySendError::Full(batch)
            | std::sync::mpsc::TrySendError::Disconnected(batch)) = refused;
            self.counts.drop_all(&batch);
            self.batch = batch;
            self.batch.clear();
        }
    }
}

impl Drop for HookTap {
    fn drop(&mut self) {
        self.hand_over();
    }
}
