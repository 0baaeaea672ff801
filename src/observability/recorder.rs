//! The recorder, which counts and times one shard's events on the shard's thread.

use std::collections::HashMap;
use std::sync::Arc;

use super::failures::{OperationRecord, StatusKey};
use super::generation_stats::GenerationShard;
use super::layout::Layout;
use super::live::LiveShard;
use super::metrics::Measurements;
use super::step_recorder::StepRecorder;
use crate::ir::Late;
use crate::ir::event::{
    BreakEvent, HEARTBEAT_PERIOD_NS, IterationEvent, IterationOutcome, MoveEvent,
};
use crate::ir::{
    CompletionEvent, CompletionStatus, Due, Event, EventSink, HandleOperation, HandleRef,
    OpenOperation, OperationKind, Section,
};
use crate::protocol::SharePath;

/// The recorder of one shard. It counts every event once, finds counters by index, and allocates
/// only when something happens for the first time.
#[derive(Debug)]
pub struct Recorder {
    layout: Arc<Layout>,
    measurements: Measurements,
    live: Arc<LiveShard>,
    /// The paths of the handles of this shard's clients, so that the record of a failed read can
    /// name the file.
    paths: HashMap<(u32, HandleRef), SharePath>,
    steps: StepRecorder,
    /// The figures by generation. None if the run is not watched.
    generations: Option<Arc<GenerationShard>>,
}

impl Recorder {
    pub fn new(layout: Arc<Layout>, live: Arc<LiveShard>) -> Recorder {
        let measurements = Measurements::new(layout.clone());
        let (paths, steps) = (HashMap::new(), StepRecorder::default());
        Recorder { layout, measurements, live, paths, steps, generations: None }
    }

    /// Returns a recorder that counts by generation too.
    pub fn with_generations(self, generations: Arc<GenerationShard>) -> Recorder {
        Recorder { generations: Some(generations), ..self }
    }

    /// Takes a layout to which a reload has added workloads or clients. Must be called before the
    /// first event of such a client.
    pub fn follow(&mut self, layout: Arc<Layout>) {
        self.measurements.follow(layout.clone());
        self.layout = layout;
    }

    /// Returns the measurements so far.
    pub fn measurements(&self) -> &Measurements {
        &self.measurements
    }

    pub fn finish(mut self) -> Measurements {
        self.steps.finish(&mut self.measurements);
        self.measurements
    }

    /// Returns the path that the operation names, or the path of its handle if it is known. Must be
    /// called before the event is recorded, because a close forgets the path.
    pub fn path<'a>(&'a self, event: &'a CompletionEvent) -> Option<&'a SharePath> {
        path(&self.paths, event)
    }

    fn completed(&mut self, event: CompletionEvent) {
        let slot = self.layout.slot(event.operation.section, event.phase);
        let workload = self.layout.workload(event.operation.client_idx);
        if let Some(reopened) = &event.execution.reopened {
            self.measurements.phase_mut(slot).reopened.add(reopened);
        }
        let stats = self.measurements.workload_mut(slot, workload);
        stats.operation(event.operation_type()).add(&event);
        if let Some(generations) =
            self.generations.as_ref().filter(|_| self.layout.is_recorded(slot))
        {
            generations.completed(&event);
        }
        match &event.execution.status {
            CompletionStatus::Succeeded(_) => self.sent(slot, workload, &event, false),
            CompletionStatus::Failed(failure) => {
                let key = StatusKey::of(failure);
                self.sent(slot, workload, &event, true);
                let path = path(&self.paths, &event).map(SharePath::as_str);
                let found = self.measurements.phase_mut(slot).failures.entry(key);
                found.add(|| OperationRecord::new(&event, path, &self.layout));
            }
            CompletionStatus::Skipped { .. } => {
                let path = path(&self.paths, &event).map(SharePath::as_str);
                let skipped = &mut self.measurements.phase_mut(slot).skipped;
                skipped.add(|| OperationRecord::new(&event, path, &self.layout));
            }
            CompletionStatus::Cut => {}
        }
        self.steps.completed(&event, &mut self.measurements);
        self.follow_handle(event);
    }

    fn sent(&mut self, slot: usize, workload: usize, event: &CompletionEvent, failed: bool) {
        let (service_ns, lateness_ns) = (event.times.service_ns(), event.times.lateness_ns());
        let stats = self.measurements.workload_mut(slot, workload);
        if let Due::Arrival { late, .. } = event.operation.due {
            stats.open_loop = true;
            stats.drops |= late == Late::Drop;
        }
        let (open_loop, drops) = (stats.open_loop, stats.drops);
        self.live.add_operation(failed);
        self.delays(slot, event);

        let late_bound_ns = self.layout.late_bound_ns();
        let phase = self.measurements.phase_mut(slot);
        phase.lateness.record(lateness_ns);
        // The time between two attempts is not lateness, so what an operation waited for is counted
        // only up to the lateness of its first attempt.
        let by_generation_ns = event.held_up.by_generation_ns.min(lateness_ns);
        let by_limit_ns = event.held_up.by_limit_ns.min(lateness_ns - by_generation_ns);
        phase.late_by_generation_ns += u128::from(by_generation_ns);
        phase.late_by_limit_ns += u128::from(by_limit_ns);
        phase.backlog.record(event.times.backlog_ns());
        phase.late += u64::from(lateness_ns > late_bound_ns);
        if let (Due::After(think_ns), false) = (event.operation.due, open_loop) {
            phase.closed_lateness_ns += u128::from(lateness_ns);
            // The wait for a break is the server's time, like the service.
            let server_ns = u128::from(service_ns) + u128::from(event.times.backlog_ns());
            phase.closed_cycle_ns += server_ns + u128::from(think_ns);
        } else if event.times.backlog_ns() > event.times.blocked_ns {
            phase.behind += 1;
            phase.behind_lateness_ns += u128::from(lateness_ns);
            phase.behind_service_ns += u128::from(service_ns);
        } else if drops {
            // Nothing is sent for a dropped arrival. What kept its client busy is what held up the
            // operations that were sent, except for a late timer.
            phase.behind_lateness_ns += u128::from(by_generation_ns + by_limit_ns);
            phase.behind_service_ns += u128::from(service_ns);
        }
    }

    /// Keeps the path of a handle from its open, even if that failed, to its close.
    fn follow_handle(&mut self, event: CompletionEvent) {
        let client = event.operation.client_idx;
        match event.operation.kind {
            OperationKind::Open(OpenOperation { path, handle_ref, .. }) => {
                self.paths.insert((client, handle_ref), path);
            }
            OperationKind::OnHandle(handle_ref, HandleOperation::Close) => {
                self.paths.remove(&(client, handle_ref));
            }
            _ => {}
        }
    }

    /// Records what the generator itself added to the operation's service time.
    fn delays(&mut self, slot: usize, event: &CompletionEvent) {
        let late_bound_ns = self.layout.late_bound_ns();
        let phase = self.measurements.phase_mut(slot);
        let think_ns = match event.operation.due {
            Due::After(think_ns) => think_ns,
            Due::At(_) | Due::Arrival { .. } => 0,
        };
        let cycle_ns = event.times.service_ns().saturating_add(think_ns);
        if let Some(handoff_ns) = event.handoff_ns() {
            phase.handoff.record(handoff_ns, cycle_ns, late_bound_ns);
        }
        if let Some(pickup_ns) = event.execution.socket.pickup_ns {
            phase.pickup.record(pickup_ns, cycle_ns, late_bound_ns);
        }
        phase.clock_steps += u64::from(event.execution.socket.clock_stepped);
    }

    fn heartbeat(&mut self, phase: Option<u16>, late_ns: u64) {
        if phase.is_none() {
            return;
        }
        let slot = self.layout.slot(Section::Iteration, phase);
        let heartbeat = &mut self.measurements.phase_mut(slot).heartbeat;
        heartbeat.record_heartbeat(late_ns, HEARTBEAT_PERIOD_NS, self.layout.late_bound_ns());
    }

    fn iteration(&mut self, event: &IterationEvent) {
        let slot = self.layout.slot(Section::Iteration, event.phase);
        let workload = self.layout.workload(event.client_idx);
        let stats = self.measurements.workload_mut(slot, workload);
        stats.iterations.get_or_insert_default().add(event);
        if let Some(generations) =
            self.generations.as_ref().filter(|_| self.layout.is_recorded(slot))
        {
            generations.iteration(event);
        }
        // A cut or dropped iteration does not show whether its client would have sent something.
        match event.outcome {
            IterationOutcome::Skipped => {
                self.measurements.silent.insert(event.client_idx);
            }
            IterationOutcome::Finished => {
                self.measurements.silent.remove(&event.client_idx);
            }
            IterationOutcome::Cut => {}
            IterationOutcome::Dropped => self.measurements.phase_mut(slot).behind += 1,
        }
        self.steps.iteration(event, &mut self.measurements);
    }

    fn moved(&mut self, moved: &MoveEvent) {
        self.measurements.connections.cleanup.failed += u64::from(moved.failed);
        if let Some(generations) = &self.generations {
            generations.moved(moved, &self.layout);
        }
    }

    fn broken(&mut self, event: &BreakEvent) {
        if event.phase.is_none() {
            self.measurements.breaks_outside_phases += 1;
            return;
        }
        let slot = self.layout.slot(Section::Iteration, event.phase);
        let workload = self.layout.workload(event.client_idx);
        let stats = self.measurements.workload_mut(slot, workload);
        stats.breaks.get_or_insert_default().add(event);
    }
}

impl EventSink for Recorder {
    fn event(&mut self, event: Event) {
        match event {
            // The progress line counts these through `Live`.
            Event::Connected { .. } | Event::Prepared { .. } => {}
            // The shard has called `follow`, if the layout has grown.
            Event::Reloaded { .. } => {}
            Event::Moved(moved) => self.moved(&moved),
            Event::Superseded { generation, operations, overdue } => {
                if let Some(generations) = &self.generations {
                    generations.superseded(generation, operations, overdue);
                }
            }
            Event::Break(event) => self.broken(&event),
            Event::GaveUp { clients, measuring } => {
                let connections = &mut self.measurements.connections;
                connections.given_up += clients as u64;
                connections.given_up_measuring += if measuring { clients as u64 } else { 0 };
            }
            Event::Completed(event) => self.completed(event),
            Event::Unissued(unissued) => self.measurements.unissued.add(unissued),
            Event::Heartbeat { phase, late_ns } => self.heartbeat(phase, late_ns),
            Event::Iteration(event) => self.iteration(&event),
            Event::Cleanup { closed, failed, .. } => {
                let cleanup = &mut self.measurements.connections.cleanup;
                cleanup.closed += u64::from(closed);
                cleanup.failed += u64::from(failed);
            }
            Event::Reconnected { client_idx, .. } => {
                let workload = self.layout.workload(client_idx);
                self.measurements.connections.reconnects[workload] += 1;
            }
            Event::Disconnected(stretch) => {
                let slot = self.layout.slot(Section::Iteration, stretch.phase);
                self.measurements.phase_mut(slot).disconnected.add(&stretch);
            }
            Event::ClientFailed { client_idx, measuring, reason } => {
                let connections = &mut self.measurements.connections;
                if measuring {
                    connections.failed_measuring.insert(client_idx);
                }
                connections.add_failed_client(client_idx, reason);
                self.steps.client_failed(client_idx, &mut self.measurements);
            }
        }
    }
}

fn path<'a>(
    paths: &'a HashMap<(u32, HandleRef), SharePath>,
    event: &'a CompletionEvent,
) -> Option<&'a SharePath> {
    let operation = &event.operation;
    operation.kind.path().or_else(|| {
        operation.kind.handle_ref().and_then(|handle| paths.get(&(operation.client_idx, handle)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{self, OK, completion};
    use super::super::live::Live;
    use super::*;
    use crate::ir::event::HeldUp;
    use crate::ir::{Failure, OperationTimes, OperationType};
    use crate::protocol::NtStatus;

    fn recorded(events: impl IntoIterator<Item = CompletionEvent>) -> Measurements {
        let mut recorder = fixtures::recorder();
        events.into_iter().for_each(|event| recorder.event(Event::Completed(event)));
        recorder.finish()
    }

    #[test]
    fn the_four_times_of_an_operation_go_where_they_belong() {
        let mut event = completion(0, 0, fixtures::read(1), OK);
        event.times = OperationTimes {
            due_ns: 1_000,
            eligible_ns: 1_500,
            issued_ns: 1_600,
            attempted_ns: 1_600,
            completed_ns: 2_000,
            blocked_ns: 0,
        };
        let measurements = recorded([event]);
        let (_, stats) = measurements.workload(1, 0).operations().next().unwrap();
        assert_eq!((stats.service.max_ns(), stats.response.max_ns()), (400, 1_000));
        let phase = measurements.phase(1);
        assert_eq!((phase.lateness.max_ns(), phase.backlog.max_ns()), (100, 500));
        assert_eq!((phase.closed_lateness_ns, phase.closed_cycle_ns), (100, 900));
    }

    #[test]
    fn a_retried_operation_is_served_by_its_last_attempt_and_answered_over_all() {
        let times = OperationTimes {
            due_ns: 1_000,
            eligible_ns: 1_000,
            issued_ns: 1_100,
            attempted_ns: 9_000,
            completed_ns: 9_300,
            blocked_ns: 0,
        };
        let held_up = HeldUp { by_generation_ns: 0, by_limit_ns: 4_000 };
        let event = completion(0, 0, fixtures::read(1), OK);
        let event = CompletionEvent { times, retries: 2, held_up, ..event };
        let measurements = recorded([event]);
        let (_, stats) = measurements.workload(1, 0).operations().next().unwrap();
        assert_eq!((stats.count(), stats.counts.retries), (1, 2));
        assert_eq!((stats.service.max_ns(), stats.response.max_ns()), (300, 8_300));
        // A wait for the limit between two attempts does not delay the first issue.
        let phase = measurements.phase(1);
        assert_eq!((phase.lateness.max_ns(), phase.late_by_limit_ns), (100, 100));
    }

    #[test]
    fn lateness_is_summed_by_what_it_waited_for() {
        let held_up = |lateness_ns, by_generation_ns, by_limit_ns| {
            let mut event = completion(0, 0, fixtures::read(1), OK);
            event.times.issued_ns = event.times.eligible_ns + lateness_ns;
            event.held_up = HeldUp { by_generation_ns, by_limit_ns };
            event
        };
        let measurements =
            recorded([held_up(10, 0, 0), held_up(100, 70, 20), held_up(1_000, 0, 900)]);
        let phase = measurements.phase(1);
        assert_eq!(
            (phase.lateness.sum_ns(), phase.late_by_generation_ns, phase.late_by_limit_ns),
            (1_110, 70, 920)
        );
    }

    #[test]
    fn operations_after_an_arrival_are_no_closed_loop() {
        let mut arrival = completion(0, 0, fixtures::read(1), OK);
        arrival.operation.due = Due::Arrival { at_ns: 0, think_ns: 0, late: Late::Queue };
        let measurements = recorded([arrival, completion(0, 1, fixtures::read(1), OK)]);
        assert_eq!(measurements.phase(1).closed_cycle_ns, 0);
        assert_eq!(measurements.phase(1).lateness.count(), 2);
    }

    #[test]
    fn an_arrival_that_found_its_client_busy_is_behind_and_one_on_time_is_not() {
        let mut on_time = completion(0, 0, fixtures::read(1), OK);
        on_time.operation.due = Due::Arrival { at_ns: 0, think_ns: 0, late: Late::Queue };
        let mut behind = on_time.clone();
        behind.times.due_ns -= 1;
        let (lateness_ns, service_ns) = (behind.times.lateness_ns(), behind.times.service_ns());
        // A break kept this one from the server; its client was not busy.
        let mut held_up = behind.clone();
        held_up.times.blocked_ns = 1;
        let measurements = recorded([on_time, behind, held_up]);
        let phase = measurements.phase(1);
        assert_eq!(phase.behind, 1);
        assert_eq!(phase.behind_lateness_ns, u128::from(lateness_ns));
        assert_eq!(phase.behind_service_ns, u128::from(service_ns));
    }

    #[test]
    fn an_operation_that_waited_for_a_break_in_a_closed_loop_is_not_behind() {
        let mut waited = completion(0, 0, fixtures::read(1), OK);
        waited.times.eligible_ns = waited.times.due_ns + 5;
        waited.times.issued_ns = waited.times.eligible_ns + 1;
        let (waited_ns, service_ns) = (waited.times.backlog_ns(), waited.times.service_ns());
        let measurements = recorded([waited]);
        let phase = measurements.phase(1);
        assert_eq!((phase.behind, phase.behind_service_ns), (0, 0));
        assert_eq!(phase.closed_lateness_ns, 1);
        assert_eq!((waited_ns, phase.closed_cycle_ns), (5, u128::from(5 + service_ns)));
    }

    #[test]
    fn operations_are_counted_apart_by_phase_workload_and_type() {
        let mut warm = completion(2, 0, fixtures::read(1), OK);
        warm.phase = Some(0);
        let steady = completion(0, 1, fixtures::delete("a"), OK);
        let measurements = recorded([warm, steady]);
        let types = |slot, workload| {
            let operations = measurements.workload(slot, workload).operations();
            operations.map(|(operation, stats)| (operation, stats.count())).collect::<Vec<_>>()
        };
        assert_eq!(types(0, 1), [(OperationType::Read, 1)]);
        assert_eq!(types(1, 0), [(OperationType::Delete, 1)]);
        assert_eq!((types(0, 0).len(), types(1, 1).len()), (0, 0));
    }

    #[test]
    fn an_operation_is_late_beyond_the_bound_not_at_it() {
        let late_by = |ns| {
            let mut event = completion(0, 0, fixtures::read(1), OK);
            event.times.issued_ns = event.times.eligible_ns + ns;
            event.times.attempted_ns = event.times.issued_ns;
            event.times.completed_ns = event.times.issued_ns;
            recorded([event]).phase(1).late
        };
        assert_eq!((late_by(10_000_000), late_by(10_000_001)), (0, 1));
    }

    #[test]
    fn an_operation_that_was_not_sent_has_no_times() {
        let skipped = CompletionStatus::Skipped { cause_seq: 0 };
        let measurements = recorded([
            completion(0, 1, fixtures::read(1), skipped),
            completion(0, 2, fixtures::read(1), CompletionStatus::Cut),
        ]);
        let (_, stats) = measurements.workload(1, 0).operations().next().unwrap();
        assert_eq!((stats.count(), stats.counts.skipped, stats.counts.cut), (0, 1, 1));
        assert_eq!(measurements.phase(1).lateness.count(), 0);
    }

    #[test]
    fn a_failed_read_names_the_path_of_its_handle_until_it_is_closed() {
        let timed_out = || CompletionStatus::Failed(Failure::TimedOut);
        let measurements = recorded([
            completion(0, 0, fixtures::open(1, "a/b"), OK),
            completion(1, 0, fixtures::open(1, "other"), OK),
            completion(0, 1, fixtures::read(1), timed_out()),
            completion(0, 2, fixtures::close(1), OK),
            completion(0, 3, fixtures::read(1), timed_out()),
        ]);
        let failures = measurements.phase(1).failures.by_count();
        let timed_out = &failures[0].operations;
        let paths: Vec<_> = timed_out.first.iter().map(|found| found.path.as_deref()).collect();
        assert_eq!((failures[0].status.as_str(), timed_out.count), ("TIMED_OUT", 2));
        assert_eq!(paths, [Some("a/b"), None]);
    }

    #[test]
    fn shards_merge_to_what_one_shard_would_have_seen() {
        let events = || {
            (0..300u32).map(|i| {
                let status = match i % 50 {
                    0 => fixtures::failed(NtStatus::DISK_FULL),
                    _ => OK,
                };
                let mut event = completion(i % 4, i, fixtures::read(1), status);
                event.times.completed_ns += u64::from(i) * 1_000;
                event.execution.bytes = 10;
                event
            })
        };
        let whole = recorded(events());
        let mut merged = recorded(events().filter(|event| event.operation.client_idx % 2 == 1));
        merged.merge(recorded(events().filter(|event| event.operation.client_idx % 2 == 0)));
        let json = |measurements| {
            let summary = super::super::Summary::new(fixtures::facts(), measurements);
            serde_json::to_value(summary).unwrap()
        };
        assert_eq!(json(&whole), json(&merged));
    }

    #[test]
    fn an_event_of_no_known_client_or_phase_is_still_counted() {
        let mut event = completion(4_000, 0, fixtures::read(1), OK);
        event.phase = Some(77);
        let measurements = recorded([event]);
        assert_eq!(measurements.workload(1, 2).operations().count(), 1);
    }

    #[test]
    fn live_counters_follow_what_was_sent() {
        let live = Live::new(1);
        let mut recorder = Recorder::new(fixtures::layout(), live.shard(0));
        recorder.event(Event::Completed(completion(0, 0, fixtures::read(1), OK)));
        let denied = fixtures::failed(NtStatus::ACCESS_DENIED);
        recorder.event(Event::Completed(completion(0, 1, fixtures::read(1), denied)));
        recorder.event(Event::Completed(completion(
            0,
            2,
            fixtures::read(1),
            CompletionStatus::Cut,
        )));
        let totals = live.totals();
        assert_eq!((totals.operations, totals.failed), (2, 1));
    }
}
