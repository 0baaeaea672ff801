//! The measurements of a run, by phase, workload and operation type.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::breaks::{BreakStats, GrantedCounts};
use super::delays::Delays;
use super::disconnected::{Disconnected, ReopenedSummary};
use super::distribution::Distribution;
use super::failures::{Failures, Occurrences, StatusCounts, StatusKey};
use super::layout::Layout;
use super::merge::{Merge, merge_fields};
use super::steps::StepsByName;
use crate::ir::event::{IterationEvent, IterationOutcome, Unissued};
use crate::ir::{CompletionEvent, CompletionStatus, OperationType};

/// Counts of operations, which the summary has for each type of operation and in the totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OperationCounts {
    /// Operations that failed and were not expected to.
    pub failed: u64,
    /// Operations that were never sent, because their handle was not open.
    pub skipped: u64,
    /// Operations still in flight when the bound on the drain ended.
    pub cut: u64,
    /// Attempts after the first.
    pub retries: u64,
}

merge_fields!(OperationCounts { failed, skipped, cut, retries });

/// Counts of operations, which the summary has in the totals only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TotalCounts {
    /// Reads that got less than they asked for.
    pub short_reads: u64,
    /// Operations that `--degrade` sent without something they asked for.
    pub degraded: u64,
}

merge_fields!(TotalCounts { short_reads, degraded });

/// The measurements of one operation type in one phase and workload.
#[derive(Clone, Debug, Default)]
pub struct OperationStats {
    /// Service times of operations that were sent: succeeded and failed.
    pub service: Distribution,
    pub response: Distribution,
    pub statuses: StatusCounts,
    /// The statuses of operations that failed; `statuses` also counts those that were expected.
    pub failures: StatusCounts,
    pub counts: OperationCounts,
    pub total_counts: TotalCounts,
    pub bytes: u64,
    /// The grants of opens, if the backend reports them.
    pub granted: Option<Box<GrantedCounts>>,
}

merge_fields!(OperationStats {
    service,
    response,
    statuses,
    failures,
    counts,
    total_counts,
    bytes,
    granted,
});

impl OperationStats {
    /// Adds an operation that has ended.
    pub(super) fn add(&mut self, event: &CompletionEvent) {
        let execution = &event.execution;
        self.total_counts.degraded += u64::from(execution.degraded);
        self.counts.retries += u64::from(event.retries);
        if let Some(granted) = &execution.granted {
            self.granted.get_or_insert_default().add(granted);
        }
        match &execution.status {
            CompletionStatus::Succeeded(status) => {
                *self.statuses.entry(StatusKey::Status(*status)) += 1;
            }
            CompletionStatus::Failed(failure) => {
                let key = StatusKey::of(failure);
                *self.statuses.entry(key) += 1;
                *self.failures.entry(key) += 1;
                self.counts.failed += 1;
            }
            CompletionStatus::Skipped { .. } => {
                self.counts.skipped += 1;
                return;
            }
            CompletionStatus::Cut => {
                self.counts.cut += 1;
                return;
            }
        }
        self.service.record(event.times.service_ns());
        self.response.record(event.times.response_ns());
        self.total_counts.short_reads += u64::from(execution.short_read);
        self.bytes.merge(&execution.bytes);
    }

    /// Returns the number of operations that were sent: succeeded and failed.
    pub fn count(&self) -> u64 {
        self.service.count()
    }
}

/// Counts of iterations by what became of them, as the summary has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct IterationCounts {
    /// Iterations that finished, but began after their arrival because their client was busy.
    pub late: u64,
    /// Iterations that were dropped because their arrival found their client busy.
    pub dropped: u64,
    /// Iterations of which nothing was sent, because the handles they need were not open.
    pub skipped: u64,
    /// Iterations that were cut before their last operation.
    pub cut: u64,
}

merge_fields!(IterationCounts { late, dropped, skipped, cut });

impl IterationCounts {
    /// Returns the number of iterations that did not finish.
    pub fn unfinished(&self) -> u64 {
        self.dropped + self.skipped + self.cut
    }
}

#[derive(Clone, Debug, Default)]
pub struct IterationStats {
    /// Times from the first issue to the last completion, of iterations that finished.
    pub service: Distribution,
    /// Times from when the iterations were due to their last completion.
    pub response: Distribution,
    pub counts: IterationCounts,
}

merge_fields!(IterationStats { service, response, counts });

impl IterationStats {
    /// Adds an iteration that has ended or was dropped.
    pub(super) fn add(&mut self, event: &IterationEvent) {
        match event.outcome {
            IterationOutcome::Finished => {
                self.service.record(event.ended_ns.saturating_sub(event.started_ns));
                self.response.record(event.ended_ns.saturating_sub(event.due_ns));
                self.counts.late += u64::from(event.eligible_ns > event.due_ns);
            }
            IterationOutcome::Skipped => self.counts.skipped += 1,
            IterationOutcome::Cut => self.counts.cut += 1,
            IterationOutcome::Dropped => self.counts.dropped += 1,
        }
    }
}

/// The measurements of one workload in one phase. A part that was never used takes no memory.
#[derive(Clone, Debug, Default)]
pub struct WorkloadStats {
    operations: [Option<Box<OperationStats>>; OperationType::ALL.len()],
    pub iterations: Option<Box<IterationStats>>,
    pub breaks: Option<Box<BreakStats>>,
    pub steps: Option<Box<StepsByName>>,
    /// Whether iterations arrive at times of their own. The next arrival makes up for the delay of
    /// a late operation, so that lateness does not lower the rate.
    pub open_loop: bool,
    /// Whether arrivals that find their client busy are dropped.
    pub drops: bool,
}

impl WorkloadStats {
    pub fn operation(&mut self, operation: OperationType) -> &mut OperationStats {
        self.operations[operation as usize].get_or_insert_default()
    }

    pub fn operations(&self) -> impl Iterator<Item = (OperationType, &OperationStats)> {
        OperationType::ALL
            .into_iter()
            .zip(&self.operations)
            .filter_map(|(operation, stats)| Some((operation, stats.as_deref()?)))
    }
}

merge_fields!(WorkloadStats { operations, iterations, breaks, steps, open_loop, drops });

/// A part of an operation's time that is kept by phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    Lateness,
    Backlog,
    Handoff,
    Pickup,
}

/// The measurements kept once per phase, over all workloads.
#[derive(Clone, Debug, Default)]
pub struct PhaseStats {
    /// The lateness of operations that were sent. The other times below are of these as well.
    pub lateness: Distribution,
    /// The parts of the sum of `lateness` that were waits for the stream and for the limit. The
    /// rest is this program's own.
    pub late_by_generation_ns: u128,
    pub late_by_limit_ns: u128,
    pub backlog: Distribution,
    /// The parts of service time between `issued` and the first write on the socket, and
    /// between the kernel's receipt of the answer and the client's task.
    pub handoff: Delays,
    pub pickup: Delays,
    /// Operations without a pickup because the wall clock was set.
    pub clock_steps: u64,
    /// Delays of the heartbeats of the threads that issue operations.
    pub heartbeat: Delays,
    pub disconnected: Disconnected,
    pub reopened: ReopenedSummary,
    /// Operations that were later than the late bound.
    pub late: u64,
    /// Sums over the operations of closed loops: their lateness, and their service, backlog and
    /// think time.
    pub closed_lateness_ns: u128,
    pub closed_cycle_ns: u128,
    /// Number of operations outside of closed loops that were due before their client was free, and
    /// of dropped iterations. The wait for a break does not count. The sums are over the operations
    /// of these that were sent. In a workload that drops arrivals they also include its other
    /// operations, because these kept the client busy. A delay of one operation delays all
    /// operations queued behind it.
    pub behind: u64,
    pub behind_lateness_ns: u128,
    pub behind_service_ns: u128,
    pub failures: Failures,
    pub skipped: Occurrences,
}

impl PhaseStats {
    pub(super) fn delay(&self, delay: Delay) -> &Distribution {
        match delay {
            Delay::Lateness => &self.lateness,
            Delay::Backlog => &self.backlog,
            Delay::Handoff => &self.handoff.distribution,
            Delay::Pickup => &self.pickup.distribution,
        }
    }
}

merge_fields!(PhaseStats {
    lateness,
    late_by_generation_ns,
    late_by_limit_ns,
    backlog,
    handoff,
    pickup,
    clock_steps,
    heartbeat,
    disconnected,
    reopened,
    late,
    closed_lateness_ns,
    closed_cycle_ns,
    behind,
    behind_lateness_ns,
    behind_service_ns,
    failures,
    skipped,
});

/// Handles that smbench closed at the end because the stream had left them open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cleanup {
    /// Handles that were closed.
    pub closed: u64,
    /// Handles that could not be closed.
    pub failed: u64,
}

merge_fields!(Cleanup { closed, failed });

/// The measurements of connections and clients.
#[derive(Clone, Debug, Default)]
pub struct ConnectionStats {
    /// Reconnects by workload.
    pub reconnects: Vec<u64>,
    pub failed_clients: u64,
    /// Failed clients that gave up before the phases had ended.
    pub failed_measuring: BTreeSet<u32>,
    /// The first few clients that gave up, with the reason.
    pub first_failed: Vec<(u32, String)>,
    pub cleanup: Cleanup,
    /// Clients that were not done when the time limit of the drain passed.
    pub given_up: u64,
    /// The part of `given_up` on shards that had an operation of a phase in flight.
    pub given_up_measuring: u64,
}

/// The most clients that are kept with their reason.
pub(super) const FIRST_CLIENTS: usize = 5;

impl ConnectionStats {
    pub fn add_failed_client(&mut self, client_idx: u32, reason: String) {
        self.failed_clients += 1;
        if self.first_failed.len() < FIRST_CLIENTS {
            self.first_failed.push((client_idx, reason));
        }
    }

    fn merge(&mut self, other: ConnectionStats) {
        self.reconnects.merge(&other.reconnects);
        self.failed_clients += other.failed_clients;
        self.failed_measuring.extend(other.failed_measuring);
        self.first_failed.extend(other.first_failed);
        self.first_failed.sort();
        self.first_failed.truncate(FIRST_CLIENTS);
        self.cleanup.merge(&other.cleanup);
        self.given_up += other.given_up;
        self.given_up_measuring += other.given_up_measuring;
    }
}

/// Everything that a run measured, or one shard of it.
#[derive(Clone, Debug)]
pub struct Measurements {
    pub layout: Arc<Layout>,
    /// The measurements of workloads by slot, then by workload.
    workloads: Vec<WorkloadStats>,
    phases: Vec<PhaseStats>,
    pub connections: ConnectionStats,
    /// Breaks before time zero and after the phases, over all workloads.
    pub breaks_outside_phases: u64,
    /// Operations due and not issued by the cut, over the whole run.
    pub unissued: Unissued,
    /// Clients whose last iteration sent nothing.
    pub silent: BTreeSet<u32>,
}

impl Measurements {
    pub fn new(layout: Arc<Layout>) -> Measurements {
        let connections = ConnectionStats {
            reconnects: vec![0; layout.workloads()],
            ..ConnectionStats::default()
        };
        Measurements {
            workloads: vec![WorkloadStats::default(); layout.slots() * layout.workloads()],
            phases: vec![PhaseStats::default(); layout.slots()],
            connections,
            breaks_outside_phases: 0,
            unissued: Unissued::default(),
            silent: BTreeSet::new(),
            layout,
        }
    }

    /// Takes a layout to which a reload has added workloads or clients, and keeps what was measured.
    pub fn follow(&mut self, layout: Arc<Layout>) {
        let (before, after) = (self.layout.workloads(), layout.workloads());
        debug_assert!(after >= before && layout.slots() == self.layout.slots());
        if after > before {
            let measured = std::mem::take(&mut self.workloads);
            self.workloads = vec![WorkloadStats::default(); layout.slots() * after];
            for (at, stats) in measured.into_iter().enumerate() {
                let (slot, workload) = (at / before, at % before);
                self.workloads[slot * after + moved(workload, before, after)] = stats;
            }
            let reconnects = std::mem::replace(&mut self.connections.reconnects, vec![0; after]);
            for (workload, count) in reconnects.into_iter().enumerate() {
                self.connections.reconnects[moved(workload, before, after)] = count;
            }
        }
        self.layout = layout;
    }

    /// Adds what another shard of the same run measured. Either may have ended before a reload that
    /// the other has followed.
    pub fn merge(&mut self, mut other: Measurements) {
        if other.layout.is_beyond(&self.layout) {
            self.follow(other.layout.clone());
        } else if self.layout.is_beyond(&other.layout) {
            other.follow(self.layout.clone());
        }
        self.workloads.merge(&other.workloads);
        self.phases.merge(&other.phases);
        self.connections.merge(other.connections);
        self.breaks_outside_phases += other.breaks_outside_phases;
        self.unissued.add(other.unissued);
        self.silent.extend(other.silent);
    }

    /// Returns the measurements of a workload in a slot; see [`Layout::slot`].
    pub(super) fn workload(&self, slot: usize, workload: usize) -> &WorkloadStats {
        &self.workloads[slot * self.layout.workloads() + workload]
    }

    pub(super) fn workload_mut(&mut self, slot: usize, workload: usize) -> &mut WorkloadStats {
        &mut self.workloads[slot * self.layout.workloads() + workload]
    }

    pub(super) fn phase(&self, slot: usize) -> &PhaseStats {
        &self.phases[slot]
    }

    pub(super) fn phase_mut(&mut self, slot: usize) -> &mut PhaseStats {
        &mut self.phases[slot]
    }

    /// Returns whether every client gave up reconnecting while the phases were measured.
    pub fn lost_all_clients(&self) -> bool {
        let header = &self.layout.header;
        let mut clients = header
            .active_clients()
            .filter(|client| header.workload_of(*client).is_some())
            .peekable();
        let failed = &self.connections.failed_measuring;
        clients.peek().is_some() && clients.all(|client| failed.contains(&client))
    }

    /// Returns the recorded phases, merged into one.
    pub fn recorded_phases(&self) -> PhaseStats {
        let mut overall = PhaseStats::default();
        self.recorded().for_each(|slot| overall.merge(self.phase(slot)));
        overall
    }

    /// Returns the slots of the recorded phases.
    pub(super) fn recorded(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.layout.phases().len()).filter(|slot| self.layout.is_recorded(*slot))
    }
}

/// Returns the index of a workload after the number of workloads has grown. The run-wide client's is
/// the last.
fn moved(workload: usize, before: usize, after: usize) -> usize {
    if workload + 1 == before { after - 1 } else { workload }
}
