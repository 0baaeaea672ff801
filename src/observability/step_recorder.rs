//! The recording of steps, from the completions of their operations.

use std::collections::HashMap;
use std::sync::Arc;

use super::metrics::Measurements;
use crate::ir::event::{IterationEvent, IterationOutcome};
use crate::ir::{CompletionEvent, CompletionStatus, Operation, Section, Step};

/// The recorder of the steps of one shard's clients. A step begins with its first operation. It ends
/// when an operation of its client completes that does not belong to it, or with its iteration.
#[derive(Debug, Default)]
pub(super) struct StepRecorder {
    /// The outer and the inner step of each client that is in one.
    open: HashMap<u32, [Option<StepInProgress>; 2]>,
}

#[derive(Debug)]
struct StepInProgress {
    step: Arc<Step>,
    section: Section,
    iteration: u32,
    /// The phase of the first operation, as a slot of the layout.
    slot: usize,
    due_ns: u64,
    ended_ns: u64,
    sent: bool,
    failed: bool,
    cut: bool,
}

impl StepRecorder {
    /// Records a completion.
    pub fn completed(&mut self, event: &CompletionEvent, measurements: &mut Measurements) {
        let operation = &event.operation;
        // Nearly all streams have no steps.
        if operation.step.is_none() && self.open.is_empty() {
            return;
        }
        self.follow(event, measurements);
    }

    #[inline(never)]
    fn follow(&mut self, event: &CompletionEvent, measurements: &mut Measurements) {
        let operation = &event.operation;
        let client = operation.client_idx;
        let wanted = match &operation.step {
            None => [None, None],
            Some(step) => [Some(step.outermost()), step.outer.is_some().then_some(step)],
        };
        let slot = measurements.layout.slot(operation.section, event.phase);
        let open = self.open.entry(client).or_default();
        // An inner step ends with its outer one at the latest.
        for level in [1, 0] {
            if !open[level].as_ref().is_some_and(|open| open.has(operation, wanted[level])) {
                end(client, &mut open[level..], measurements);
            }
        }
        for (open, step) in open.iter_mut().zip(wanted) {
            let Some(step) = step else { continue };
            open.get_or_insert_with(|| StepInProgress::new(step, event, slot)).add(event);
        }
        if open[0].is_none() {
            self.open.remove(&client);
        }
    }

    /// Ends the steps of the client's iteration, which has ended.
    pub fn iteration(&mut self, event: &IterationEvent, measurements: &mut Measurements) {
        if self.open.is_empty() || event.outcome == IterationOutcome::Dropped {
            return;
        }
        let Some(mut open) = self.open.remove(&event.client_idx) else { return };
        if event.outcome == IterationOutcome::Cut {
            open.iter_mut().flatten().for_each(|open| open.cut = true);
        }
        end(event.client_idx, &mut open, measurements);
    }

    /// Ends the steps of a client that issues nothing more, as cut.
    pub fn client_failed(&mut self, client: u32, measurements: &mut Measurements) {
        let Some(mut open) = self.open.remove(&client) else { return };
        open.iter_mut().flatten().for_each(|open| open.cut = true);
        end(client, &mut open, measurements);
    }

    /// Ends the steps that are open at the end of the run. Those of a setup or teardown ended with
    /// it.
    pub fn finish(self, measurements: &mut Measurements) {
        for (client, mut open) in self.open {
            for open in open.iter_mut().flatten() {
                open.cut |= open.section == Section::Iteration;
            }
            end(client, &mut open, measurements);
        }
    }
}

impl StepInProgress {
    fn new(step: &Arc<Step>, event: &CompletionEvent, slot: usize) -> StepInProgress {
        StepInProgress {
            step: Arc::clone(step),
            section: event.operation.section,
            iteration: event.operation.iteration,
            slot,
            due_ns: event.times.due_ns,
            ended_ns: 0,
            sent: false,
            failed: false,
            cut: false,
        }
    }

    /// Returns whether the operation belongs to this step, if it belongs to `step`.
    fn has(&self, operation: &Operation, step: Option<&Arc<Step>>) -> bool {
        let place = (operation.section, operation.iteration);
        step == Some(&self.step) && place == (self.section, self.iteration)
    }

    fn add(&mut self, event: &CompletionEvent) {
        self.ended_ns = self.ended_ns.max(event.times.completed_ns);
        self.sent |= !matches!(event.execution.status, CompletionStatus::Skipped { .. });
        self.failed |= matches!(event.execution.status, CompletionStatus::Failed(_));
        self.cut |= event.execution.status == CompletionStatus::Cut;
    }
}

/// Ends these steps of a client, and counts them.
fn end(client: u32, open: &mut [Option<StepInProgress>], measurements: &mut Measurements) {
    let workload = measurements.layout.workload(client);
    for ended in open.iter_mut().filter_map(Option::take) {
        let steps = measurements.workload_mut(ended.slot, workload).steps.get_or_insert_default();
        let stats = match steps.get_mut(&ended.step.name) {
            Some(stats) => stats,
            None => steps.entry(Arc::clone(&ended.step.name)).or_default(),
        };
        if ended.cut {
            stats.counts.cut += 1;
        } else if !ended.sent {
            stats.counts.skipped += 1;
        } else {
            stats.counts.failed += u64::from(ended.failed);
            stats.response.record(ended.ended_ns.saturating_sub(ended.due_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{self, OK, completion};
    use super::super::recorder::Recorder;
    use super::super::steps::{StepCounts, StepSummary, Steps};
    use super::super::summary::Summary;
    use super::*;
    use crate::ir::{Event, EventSink};
    use crate::protocol::NtStatus;

    const MS: u64 = 1_000_000;

    fn step(name: &str, number: u32, outer: Option<&Arc<Step>>) -> Arc<Step> {
        Arc::new(Step { name: name.into(), number, outer: outer.cloned() })
    }

    /// Returns an operation of client 0 that is due and ends at these milliseconds.
    fn operation(step: Option<&Arc<Step>>, due: u64, ended: u64) -> CompletionEvent {
        let mut event = completion(0, 0, fixtures::read(1), OK);
        event.operation.step = step.cloned();
        (event.times.due_ns, event.times.completed_ns) = (due * MS, ended * MS);
        event
    }

    fn with_status(status: CompletionStatus, mut event: CompletionEvent) -> CompletionEvent {
        event.execution.status = status;
        event
    }

    fn recorded(events: impl IntoIterator<Item = Event>) -> Summary {
        let mut recorder: Recorder = fixtures::recorder();
        events.into_iter().for_each(|event| recorder.event(event));
        Summary::new(fixtures::facts(), &recorder.finish())
    }

    /// Returns the figures of completions followed by the end of their iteration.
    fn steps(events: impl IntoIterator<Item = CompletionEvent>) -> Steps {
        let ended = Event::Iteration(fixtures::iteration(0, IterationOutcome::Finished));
        recorded(events.into_iter().map(Event::Completed).chain([ended])).steps
    }

    /// Returns the count, the least and the greatest response in milliseconds.
    fn times(steps: &Steps, name: &str) -> (u64, f64, f64) {
        let StepSummary { count, response_us, .. } = &steps[name];
        let times = response_us.unwrap();
        (*count, times.min / 1e3, times.tail.max / 1e3)
    }

    fn counts(steps: &Steps, name: &str) -> (u64, StepCounts) {
        (steps[name].count, steps[name].counts)
    }

    #[test]
    fn a_step_lasts_from_the_due_time_of_its_first_operation_to_the_end_of_its_last() {
        let save = step("save", 0, None);
        let steps = steps([
            operation(None, 0, 1),
            operation(Some(&save), 2, 5),
            operation(Some(&save), 10, 12),
            operation(None, 20, 30),
        ]);
        assert_eq!(times(&steps, "save"), (1, 10.0, 10.0));
        assert_eq!(counts(&steps, "save"), (1, StepCounts::default()));
        assert_eq!(steps.len(), 1);
    }

    #[test]
    fn two_steps_of_a_name_in_a_row_are_two_and_the_end_of_the_iteration_ends_the_last() {
        let [first, second] = [0, 1].map(|number| step("save", number, None));
        let steps = steps([
            operation(Some(&first), 0, 1),
            operation(Some(&second), 1, 3),
            operation(Some(&step("save", 1, None)), 3, 8),
        ]);
        assert_eq!(times(&steps, "save"), (2, 1.0, 7.0));
    }

    #[test]
    fn an_operation_in_an_inner_step_belongs_to_the_outer_step_too() {
        let session = step("session", 0, None);
        let [first, second] = [1, 2].map(|number| step("save", number, Some(&session)));
        let steps = steps([
            operation(Some(&session), 0, 1),
            operation(Some(&first), 1, 3),
            operation(Some(&second), 3, 8),
            operation(Some(&session), 8, 9),
            operation(Some(&step("session", 3, None)), 9, 10),
        ]);
        assert_eq!(times(&steps, "save"), (2, 2.0, 5.0));
        assert_eq!(times(&steps, "session"), (2, 1.0, 9.0));
    }

    #[test]
    fn an_inner_step_ends_with_its_outer_step() {
        let [first, second] = [0, 2].map(|number| step("session", number, None));
        let steps = steps([
            operation(Some(&step("save", 1, Some(&first))), 0, 1),
            operation(Some(&step("save", 1, Some(&second))), 1, 3),
        ]);
        assert_eq!(times(&steps, "save"), (2, 1.0, 2.0));
        assert_eq!(times(&steps, "session"), (2, 1.0, 2.0));
    }

    #[test]
    fn the_same_step_in_another_iteration_is_another() {
        let save = step("save", 0, None);
        let mut next = operation(Some(&save), 5, 7);
        next.operation.iteration = 1;
        assert_eq!(times(&steps([operation(Some(&save), 0, 1), next]), "save"), (2, 1.0, 2.0));
    }

    #[test]
    fn a_step_fails_once_with_any_operation_and_is_skipped_only_if_nothing_was_sent() {
        let denied = || fixtures::failed(NtStatus::ACCESS_DENIED);
        let skipped = || CompletionStatus::Skipped { cause_seq: 0 };
        let [fails, skips, mixed] = [0, 1, 2].map(|number| step("save", number, None));
        let steps = steps([
            with_status(denied(), operation(Some(&fails), 0, 1)),
            with_status(denied(), operation(Some(&fails), 1, 2)),
            operation(Some(&fails), 2, 4),
            with_status(skipped(), operation(Some(&skips), 4, 4)),
            with_status(skipped(), operation(Some(&mixed), 4, 4)),
            operation(Some(&mixed), 4, 5),
        ]);
        assert_eq!(counts(&steps, "save"), (2, StepCounts { failed: 1, skipped: 1, cut: 0 }));
        assert_eq!(times(&steps, "save"), (2, 1.0, 4.0));
    }

    #[test]
    fn a_step_that_may_have_had_more_operations_is_cut_and_has_no_time() {
        let save = step("save", 0, None);
        let inner = step("write", 1, Some(&save));
        let done = || Event::Completed(operation(Some(&inner), 0, 1));
        let cut = Event::Iteration(fixtures::iteration(0, IterationOutcome::Cut));
        let reason = "lost".to_string();
        let failed = Event::ClientFailed { client_idx: 0, measuring: true, reason };
        let given_up =
            Event::Completed(with_status(CompletionStatus::Cut, operation(Some(&inner), 1, 2)));
        let finished = Event::Iteration(fixtures::iteration(0, IterationOutcome::Finished));
        let once = (0, StepCounts { failed: 0, skipped: 0, cut: 1 });
        for events in [
            vec![done(), cut],
            vec![done(), failed],
            vec![done(), given_up, finished],
            vec![done()],
        ] {
            let steps = recorded(events.clone()).steps;
            assert_eq!(
                (counts(&steps, "save"), counts(&steps, "write")),
                (once, once),
                "{events:?}"
            );
        }
    }

    #[test]
    fn a_step_that_was_followed_by_an_operation_is_not_cut_with_its_iteration() {
        let save = step("save", 0, None);
        let cut = Event::Iteration(fixtures::iteration(0, IterationOutcome::Cut));
        let done = [operation(Some(&save), 0, 1), operation(None, 1, 2)].map(Event::Completed);
        let steps = recorded(done.into_iter().chain([cut])).steps;
        assert_eq!(counts(&steps, "save"), (1, StepCounts::default()));
    }

    #[test]
    fn a_dropped_arrival_ends_no_step() {
        let save = step("save", 0, None);
        let dropped = Event::Iteration(fixtures::iteration(0, IterationOutcome::Dropped));
        let finished = Event::Iteration(fixtures::iteration(0, IterationOutcome::Finished));
        let [first, last] = [(0, 1), (1, 5)]
            .map(|(due, ended)| Event::Completed(operation(Some(&save), due, ended)));
        let steps = recorded([first, dropped, last, finished]).steps;
        assert_eq!(times(&steps, "save"), (1, 5.0, 5.0));
    }

    #[test]
    fn steps_count_in_the_phase_of_their_first_operation_by_workload_and_section() {
        let save = step("save", 0, None);
        let warm = CompletionEvent { phase: Some(0), ..operation(Some(&save), 0, 1) };
        let mut reader = operation(Some(&save), 0, 3);
        reader.operation.client_idx = 2;
        let setup = fixtures::in_section(operation(Some(&save), 0, 4), Section::Setup);
        let teardown = fixtures::in_section(operation(Some(&save), 0, 5), Section::Teardown);
        let steady = operation(Some(&save), 1, 2);
        let finished = |client| {
            let mut event = fixtures::iteration(client, IterationOutcome::Finished);
            event.client_idx = client;
            Event::Iteration(event)
        };
        let summary = recorded([
            setup,
            Event::Completed(warm),
            Event::Completed(reader),
            Event::Completed(steady),
            finished(2),
            finished(0),
            teardown,
        ]);
        let one = |steps: &Steps| times(steps, "save");
        assert_eq!(one(&summary.setup.unwrap().steps), (1, 4.0, 4.0));
        assert_eq!(one(&summary.phases[0].steps), (1, 2.0, 2.0), "it began in the warm-up");
        assert_eq!(one(&summary.phases[1].steps), (1, 3.0, 3.0));
        assert_eq!(one(&summary.steps), (1, 3.0, 3.0), "the warm-up is not recorded");
        assert!(summary.workloads[0].steps.is_empty());
        assert_eq!(one(&summary.workloads[1].steps), (1, 3.0, 3.0));
        assert_eq!(one(&summary.teardown.unwrap().steps), (1, 5.0, 5.0));
    }

    #[test]
    fn shards_merge_to_what_one_shard_would_have_seen() {
        let events = |clients: &[u32]| -> Vec<Event> {
            let of = |client: &u32| {
                let name = ["save", "browse"][*client as usize % 2];
                let client = *client;
                (0..20).flat_map(move |number| {
                    let step = step(name, number, None);
                    (0..3).map(move |at| {
                        let mut event = operation(Some(&step), at, at + u64::from(number) + 1);
                        event.operation.client_idx = client;
                        Event::Completed(event)
                    })
                })
            };
            clients.iter().flat_map(of).collect()
        };
        let measured = |clients: &[u32]| {
            let mut recorder = fixtures::recorder();
            events(clients).into_iter().for_each(|event| recorder.event(event));
            recorder.finish()
        };
        let whole = measured(&[0, 1, 2]);
        let mut merged = measured(&[1]);
        merged.merge(measured(&[0, 2]));
        let steps = |measurements| Summary::new(fixtures::facts(), measurements).steps;
        assert_eq!(steps(&whole), steps(&merged));
        assert_eq!(
            counts(&steps(&whole), "save"),
            (38, StepCounts { cut: 2, ..StepCounts::default() })
        );
    }
}
