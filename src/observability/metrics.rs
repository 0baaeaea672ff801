//! The figures of a run, by phase, workload and operation type.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::breaks::{BreakStats, GrantedCounts};
use super::delays::Delays;
use super::disconnected::{Disconnected, ReopenedSummary};
use super::distribution::Distribution;
use super::failures::{Failures, Occurrences, StatusCounts};
use super::thresholds::metric::Delay;
use crate::ir::event::Unissued;
use crate::ir::source::{RUN_CLIENT, WHOLE_PHASE};
use crate::ir::units::nanoseconds;
use crate::ir::{OperationType, Phase, Section, StreamHeader};

/// The dimensions that figures are kept apart by; the same for all shards of a run.
#[derive(Debug)]
pub struct Layout {
    pub header: Arc<StreamHeader>,
    phases: Vec<Phase>,
    /// The index of each client's workload. The run-wide client counts as a workload after the
    /// others.
    workload_of: Vec<u32>,
    late_bound_ns: u64,
}

impl Layout {
    /// Creates the layout of a run. `phases` are the phases it really has, which the command line
    /// may have changed. Without any, all iterations count as one recorded phase.
    pub fn new(header: Arc<StreamHeader>, mut phases: Vec<Phase>, late_bound: Duration) -> Layout {
        if phases.is_empty() {
            phases.push(Phase { name: WHOLE_PHASE.into(), duration_ns: 0, record: true });
        }
        let workload_of = (0u32..)
            .zip(&header.workloads)
            .flat_map(|(index, workload)| std::iter::repeat_n(index, workload.clients as usize))
            .collect();
        let late_bound_ns = nanoseconds(late_bound);
        Layout { header, phases, workload_of, late_bound_ns }
    }

    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    pub fn late_bound_ns(&self) -> u64 {
        self.late_bound_ns
    }

    /// Returns the number of workloads, including that of the run-wide client, which is the last.
    pub(super) fn workloads(&self) -> usize {
        self.header.workloads.len() + 1
    }

    pub fn workload(&self, client_idx: u32) -> usize {
        let run_wide = self.header.workloads.len();
        self.workload_of.get(client_idx as usize).map_or(run_wide, |index| *index as usize)
    }

    pub(super) fn workload_name(&self, workload: usize) -> &str {
        self.header.workloads.get(workload).map_or(RUN_CLIENT, |workload| &workload.name)
    }

    /// Returns the index of the figures of a section or phase: phases, then setup, then teardown.
    pub fn slot(&self, section: Section, phase: Option<u16>) -> usize {
        match section {
            Section::Setup => self.setup(),
            Section::Teardown => self.setup() + 1,
            Section::Iteration => phase.map_or(0, usize::from).min(self.phases.len() - 1),
        }
    }

    pub fn setup(&self) -> usize {
        self.phases.len()
    }

    fn slots(&self) -> usize {
        self.phases.len() + 2
    }
}

/// The figures of one operation type in one phase and workload.
#[derive(Clone, Debug, Default)]
pub struct OperationStats {
    /// Service times of operations that were sent: succeeded and failed.
    pub service: Distribution,
    pub response: Distribution,
    pub statuses: StatusCounts,
    pub failed: u64,
    /// The statuses of operations that failed; `statuses` also counts those that were expected.
    pub failures: StatusCounts,
    pub skipped: u64,
    pub cut: u64,
    /// Attempts after the first, over all operations.
    pub retries: u64,
    pub short_reads: u64,
    pub degraded: u64,
    pub bytes: u64,
    /// The grants of opens, if the backend reports them.
    pub granted: Option<Box<GrantedCounts>>,
}

impl OperationStats {
    /// Returns the number of operations that were sent: succeeded and failed.
    pub fn count(&self) -> u64 {
        self.service.count()
    }

    pub fn merge(&mut self, other: &OperationStats) {
        self.service.merge(&other.service);
        self.response.merge(&other.response);
        self.statuses.merge(&other.statuses);
        self.failed += other.failed;
        self.failures.merge(&other.failures);
        self.skipped += other.skipped;
        self.cut += other.cut;
        self.retries += other.retries;
        self.short_reads += other.short_reads;
        self.degraded += other.degraded;
        self.bytes = self.bytes.saturating_add(other.bytes);
        if let Some(granted) = &other.granted {
            self.granted.get_or_insert_default().merge(granted);
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct IterationStats {
    /// Times from the first issue to the last completion, of iterations that finished.
    pub service: Distribution,
    /// Times from when the iterations were due to their last completion.
    pub response: Distribution,
    /// Iterations that finished, but began after their arrival because the client was busy.
    pub late: u64,
    /// Iterations dropped because their arrival found the client busy.
    pub dropped: u64,
    /// Iterations of which nothing was sent, since the handles they need were not open.
    pub skipped: u64,
    pub cut: u64,
}

impl IterationStats {
    pub fn merge(&mut self, other: &IterationStats) {
        self.service.merge(&other.service);
        self.response.merge(&other.response);
        self.late += other.late;
        self.dropped += other.dropped;
        self.skipped += other.skipped;
        self.cut += other.cut;
    }
}

/// The figures of one workload in one phase. A part that was never used takes no memory.
#[derive(Clone, Debug, Default)]
pub struct WorkloadStats {
    operations: [Option<Box<OperationStats>>; OperationType::ALL.len()],
    pub iterations: Option<Box<IterationStats>>,
    pub breaks: Option<Box<BreakStats>>,
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

    pub fn merge(&mut self, other: &WorkloadStats) {
        for (operation, stats) in other.operations() {
            self.operation(operation).merge(stats);
        }
        if let Some(iterations) = &other.iterations {
            self.iterations.get_or_insert_default().merge(iterations);
        }
        if let Some(breaks) = &other.breaks {
            self.breaks.get_or_insert_default().merge(breaks);
        }
        self.open_loop |= other.open_loop;
        self.drops |= other.drops;
    }
}

/// The figures kept once per phase, over all workloads.
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
    /// Operations with a due time of their own whose client was busy then, including dropped
    /// iterations. The sums are over those that were sent; in a workload that drops arrivals, over
    /// the other operations. A delay of one operation delays all behind it.
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

    pub fn merge(&mut self, other: &PhaseStats) {
        self.lateness.merge(&other.lateness);
        self.late_by_generation_ns += other.late_by_generation_ns;
        self.late_by_limit_ns += other.late_by_limit_ns;
        self.backlog.merge(&other.backlog);
        self.handoff.merge(&other.handoff);
        self.pickup.merge(&other.pickup);
        self.clock_steps += other.clock_steps;
        self.heartbeat.merge(&other.heartbeat);
        self.disconnected.merge(&other.disconnected);
        self.reopened.handles += other.reopened.handles;
        self.reopened.failed += other.reopened.failed;
        self.reopened.locks_lost += other.reopened.locks_lost;
        self.late += other.late;
        self.closed_lateness_ns += other.closed_lateness_ns;
        self.closed_cycle_ns += other.closed_cycle_ns;
        self.behind += other.behind;
        self.behind_lateness_ns += other.behind_lateness_ns;
        self.behind_service_ns += other.behind_service_ns;
        self.failures.merge(&other.failures);
        self.skipped.merge(&other.skipped);
    }
}

/// The figures of connections and clients.
#[derive(Clone, Debug, Default)]
pub struct ConnectionStats {
    /// Reconnects by workload.
    pub reconnects: Vec<u64>,
    pub failed_clients: u64,
    /// Failed clients that gave up before the phases had ended.
    pub failed_measuring: u64,
    /// The first few clients that gave up, with the reason.
    pub first_failed: Vec<(u32, String)>,
    /// Handles the engine closed because the stream left them open.
    pub cleanup_closed: u64,
    pub cleanup_failed: u64,
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
        for (mine, theirs) in self.reconnects.iter_mut().zip(other.reconnects) {
            *mine += theirs;
        }
        self.failed_clients += other.failed_clients;
        self.failed_measuring += other.failed_measuring;
        self.first_failed.extend(other.first_failed);
        self.first_failed.sort();
        self.first_failed.truncate(FIRST_CLIENTS);
        self.cleanup_closed += other.cleanup_closed;
        self.cleanup_failed += other.cleanup_failed;
        self.given_up += other.given_up;
        self.given_up_measuring += other.given_up_measuring;
    }
}

/// All figures of a run, or of one shard of it.
#[derive(Clone, Debug)]
pub struct Measurements {
    pub layout: Arc<Layout>,
    /// Cells by slot, then by workload.
    cells: Vec<WorkloadStats>,
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
            cells: vec![WorkloadStats::default(); layout.slots() * layout.workloads()],
            phases: vec![PhaseStats::default(); layout.slots()],
            connections,
            breaks_outside_phases: 0,
            unissued: Unissued::default(),
            silent: BTreeSet::new(),
            layout,
        }
    }

    /// Adds what another shard of the same run measured.
    pub fn merge(&mut self, other: Measurements) {
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.phases.iter_mut().zip(&other.phases) {
            mine.merge(theirs);
        }
        self.connections.merge(other.connections);
        self.breaks_outside_phases += other.breaks_outside_phases;
        self.unissued.add(other.unissued);
        self.silent.extend(other.silent);
    }

    /// Returns the cell of a slot and a workload; see [`Layout::slot`].
    pub(super) fn cell(&self, slot: usize, workload: usize) -> &WorkloadStats {
        &self.cells[slot * self.layout.workloads() + workload]
    }

    pub(super) fn cell_mut(&mut self, slot: usize, workload: usize) -> &mut WorkloadStats {
        &mut self.cells[slot * self.layout.workloads() + workload]
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
        let clients = u64::from(header.active_count().min(header.workload_clients()));
        clients > 0 && self.connections.failed_measuring >= clients
    }

    /// Returns the recorded phases, merged into one.
    pub fn recorded_phases(&self) -> PhaseStats {
        let mut overall = PhaseStats::default();
        self.recorded().for_each(|slot| overall.merge(self.phase(slot)));
        overall
    }

    /// Returns the slots of the recorded phases.
    pub(super) fn recorded(&self) -> impl Iterator<Item = usize> + '_ {
        (0..).zip(self.layout.phases()).filter(|(_, phase)| phase.record).map(|(slot, _)| slot)
    }
}
