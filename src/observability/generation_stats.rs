//! The measurements of one shard for each generation of the stream, in a run that is watched.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::layout::Layout;
use super::merge::{Merge, merge_fields};
use super::metrics::WorkloadStats;
use crate::ir::CompletionEvent;
use crate::ir::event::{IterationEvent, MoveEvent};

/// Operations that were fetched and not issued, because their client had moved to a later
/// generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SupersededCounts {
    /// Operations that were discarded.
    pub operations: u64,
    /// The part of them that was due already.
    pub overdue: u64,
}

merge_fields!(SupersededCounts { operations, overdue });

/// The time that clients were in a generation, as sums over the clients. Times are recorded time:
/// nanoseconds from time zero that are in recorded phases.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Presence {
    pub joined: u64,
    joined_ns: u128,
    pub left: u64,
    left_ns: u128,
    /// The time at which the last client left.
    last_left_ns: u64,
}

impl Merge for Presence {
    fn merge(&mut self, other: &Presence) {
        self.joined += other.joined;
        self.joined_ns += other.joined_ns;
        self.left += other.left;
        self.left_ns += other.left_ns;
        self.last_left_ns = self.last_left_ns.max(other.last_left_ns);
    }
}

impl Presence {
    pub fn join(&mut self, clients: u64, at_ns: u64) {
        self.joined += clients;
        self.joined_ns += u128::from(clients) * u128::from(at_ns);
    }

    pub fn leave(&mut self, at_ns: u64) {
        self.left += 1;
        self.left_ns += u128::from(at_ns);
        self.last_left_ns = self.last_left_ns.max(at_ns);
    }

    /// Counts the clients that are still there as having left with the last one. They gave up
    /// reconnecting, so that they never move to a later generation.
    pub fn close(&mut self) {
        let there = self.there();
        self.left += there;
        self.left_ns += u128::from(there) * u128::from(self.last_left_ns);
    }

    /// Returns the number of clients that are in the generation.
    pub fn there(&self) -> u64 {
        self.joined.saturating_sub(self.left)
    }

    /// Returns the sum over the clients of the time that each was in the generation until `at_ns`.
    pub fn client_ns(&self, at_ns: u64) -> u128 {
        let there_ns = u128::from(self.there()) * u128::from(at_ns);
        (self.left_ns + there_ns).saturating_sub(self.joined_ns)
    }

    /// Returns the time for which all clients that were in the generation would have been in it, had
    /// each been in it for the same time: their time together, divided by their number. A rate over
    /// this time does not depend on how long they took to move, one by one.
    pub fn mean_ns(&self, at_ns: u64) -> u64 {
        let mean_ns = self.client_ns(at_ns).checked_div(u128::from(self.joined)).unwrap_or(0);
        u64::try_from(mean_ns).unwrap_or(u64::MAX)
    }
}

/// The measurements of one generation, or the part that a shard made since it was last asked.
#[derive(Clone, Debug, Default)]
pub(super) struct GenerationStats {
    /// Operations and iterations of the recorded phases, over all workloads.
    pub measured: WorkloadStats,
    pub presence: Presence,
    pub superseded: SupersededCounts,
    /// Handles that were closed when their clients left the generation.
    pub closed_handles: u64,
}

merge_fields!(GenerationStats { measured, presence, superseded, closed_handles });

/// The measurements of a shard by generation, on cache lines of its own (two, because processors
/// fetch them in pairs).
///
/// The shard adds each event under the lock. The run takes what was added, each second and when a
/// generation is over. It holds the lock only to exchange two pointers, so that the shard does not
/// wait for it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct GenerationShard {
    /// The measurements since they were last taken. There are few: clients are in one generation or
    /// on their way to the next.
    added: Mutex<Vec<(u32, Box<GenerationStats>)>>,
    /// Time zero, in nanoseconds from the run's origin.
    zero_ns: AtomicU64,
}

impl GenerationShard {
    pub(super) fn begin(&self, zero_ns: u64) {
        self.zero_ns.store(zero_ns, Relaxed);
    }

    /// Takes what was added since the last call.
    pub(super) fn take(&self) -> Vec<(u32, Box<GenerationStats>)> {
        std::mem::take(&mut *self.lock())
    }

    pub(super) fn completed(&self, event: &CompletionEvent) {
        let stats = &mut *self.lock();
        of(stats, event.generation).measured.operation(event.operation_type()).add(event);
    }

    pub(super) fn iteration(&self, event: &IterationEvent) {
        let stats = &mut *self.lock();
        of(stats, event.generation).measured.iterations.get_or_insert_default().add(event);
    }

    pub(super) fn superseded(&self, generation: u32, operations: u32, overdue: u32) {
        let (operations, overdue) = (operations.into(), overdue.into());
        let stats = &mut *self.lock();
        of(stats, generation).superseded.merge(&SupersededCounts { operations, overdue });
    }

    pub(super) fn moved(&self, moved: &MoveEvent, layout: &Layout) {
        let at_ns = layout.recorded_ns(moved.at_ns.saturating_sub(self.zero_ns.load(Relaxed)));
        // The client of run-wide setup has no iterations, and is in no generation.
        let iterates = layout.header.workload_of(moved.client_idx).is_some();
        let stats = &mut *self.lock();
        if let Some(from) = moved.from {
            let stats = of(stats, from);
            stats.closed_handles += u64::from(moved.closed);
            if iterates {
                stats.presence.leave(at_ns);
            }
        }
        if let (Some(to), true) = (moved.to, iterates) {
            of(stats, to).presence.join(1, at_ns);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u32, Box<GenerationStats>)>> {
        self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of(stats: &mut Vec<(u32, Box<GenerationStats>)>, generation: u32) -> &mut GenerationStats {
    // The latest is the most frequent.
    let known = stats.iter().rposition(|(number, _)| *number == generation);
    let at = known.unwrap_or_else(|| {
        stats.push((generation, Box::default()));
        stats.len() - 1
    });
    &mut stats[at].1
}
