//! Tests of streams in general: order, limits, time-outs, phases and the cut.

use std::cmp::Reverse;

use super::super::{Action, Engine, EngineConfig, EngineError};
use super::fixtures::{
    OP_TIMEOUT_NS, ZERO_NS, attempt, batch, config, done, engine, engine_of, issues, measuring,
    stat,
};
use crate::ir::event::{IterationOutcome, Unissued};
use crate::ir::{CompletionStatus, Due, Event, Operation, PathOperation, SourceError};
use crate::protocol::SharePath;
use crate::scheduler::batch::Batch;
use crate::scheduler::timeline::Stage;

#[test]
fn operations_of_a_client_are_issued_in_order_one_at_a_time_and_never_early() {
    let operations =
        [stat(0, 0, 0, Due::At(10)), stat(0, 1, 0, Due::At(20)), stat(0, 2, 0, Due::After(5))];
    let mut engine = measuring(1, None, &operations);
    assert_eq!(issues(&mut engine, ZERO_NS + 9), []);
    assert_eq!(engine.next_wake_ns(), Some(ZERO_NS + 10));
    assert_eq!(issues(&mut engine, ZERO_NS + 10), [(0, 0)]);
    assert_eq!(issues(&mut engine, ZERO_NS + 30), [], "the one before is in flight");
    engine.complete(0, 0, attempt(ZERO_NS + 10, ZERO_NS + 40, done()), false).unwrap();
    assert_eq!(issues(&mut engine, ZERO_NS + 40), [(0, 1)]);
    engine.complete(0, 1, attempt(ZERO_NS + 40, ZERO_NS + 50, done()), false).unwrap();
    assert_eq!(issues(&mut engine, ZERO_NS + 54), []);
    assert_eq!(issues(&mut engine, ZERO_NS + 55), [(0, 2)]);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "Invariant violation: client busy")]
fn to_dispatch_a_client_that_has_an_operation_in_flight_panics_in_a_debug_build() {
    let operations = [stat(0, 0, 0, Due::After(0)), stat(0, 1, 0, Due::After(0))];
    let mut engine = measuring(1, None, &operations);
    assert_eq!(issues(&mut engine, ZERO_NS), [(0, 0)]);
    engine.schedule.push(Reverse((ZERO_NS, 0)));
    engine.poll(ZERO_NS);
}

#[test]
fn a_rehearsal_names_who_is_next_and_issues_nothing() {
    let operations = [stat(0, 0, 0, Due::At(20)), stat(1, 0, 0, Due::At(10))];
    let mut engine = measuring(2, None, &operations);
    assert_eq!(issues(&mut engine, ZERO_NS), []);
    assert_eq!((engine.rehearse(), engine.rehearse()), (Some(1), Some(1)));
    assert_eq!(engine.next_wake_ns(), Some(ZERO_NS + 10));
    assert_eq!(issues(&mut engine, ZERO_NS + 20), [(1, 0), (0, 0)]);
    assert_eq!(engine.rehearse(), None);
}

#[test]
fn an_operation_behind_a_slow_one_has_backlog_and_no_lateness() {
    let operations = [stat(0, 0, 0, Due::At(0)), stat(0, 1, 0, Due::At(20))];
    let mut engine = measuring(1, None, &operations);
    issues(&mut engine, ZERO_NS);
    engine.complete(0, 0, attempt(ZERO_NS, ZERO_NS + 90, done()), false).unwrap();
    issues(&mut engine, ZERO_NS + 90);
    engine.complete(0, 1, attempt(ZERO_NS + 90, ZERO_NS + 95, done()), false).unwrap();
    let Some(Event::Completed(last)) =
        engine.drain_events().rfind(|event| matches!(event, Event::Completed(_)))
    else {
        panic!("no completion")
    };
    assert_eq!((last.times.backlog_ns(), last.times.lateness_ns()), (70, 0));
    assert_eq!((last.times.service_ns(), last.times.response_ns()), (5, 75));
}

#[test]
fn a_completion_that_does_not_match_what_is_in_flight_is_an_error() {
    let mut engine = measuring(1, None, &[stat(0, 0, 0, Due::At(0)), stat(0, 1, 0, Due::At(0))]);
    issues(&mut engine, ZERO_NS);
    engine.complete(0, 0, attempt(ZERO_NS, ZERO_NS, done()), false).unwrap();
    assert_eq!(
        engine.complete(0, 0, attempt(ZERO_NS, ZERO_NS, done()), false),
        Err(EngineError::CompletionMismatch { client_idx: 0, expected: None, got: 0 }),
        "a second completion"
    );
    issues(&mut engine, ZERO_NS);
    assert_eq!(
        engine.complete(0, 7, attempt(ZERO_NS, ZERO_NS, done()), false),
        Err(EngineError::CompletionMismatch { client_idx: 0, expected: Some(1), got: 7 })
    );
}

#[test]
fn a_batch_that_goes_backwards_is_an_error() {
    let mut engine = engine(1, None);
    engine.enter(Stage::Measure, ZERO_NS);
    let backwards = vec![stat(0, 3, 0, Due::At(0)), stat(0, 2, 0, Due::At(0))];
    assert_eq!(
        engine.operations(batch(0, backwards, true), ZERO_NS),
        Err(EngineError::OutOfOrder { client_idx: 0, previous: 3, got: 2 })
    );
}

#[test]
fn a_limit_lets_the_longest_waiting_client_go_first() {
    let operations: Vec<_> = (0..3).map(|client| stat(client, 0, 0, Due::At(0))).collect();
    let mut engine = measuring(3, Some(1), &operations);
    assert_eq!(issues(&mut engine, ZERO_NS), [(0, 0)]);
    engine.complete(0, 0, attempt(ZERO_NS, ZERO_NS + 1, done()), false).unwrap();
    assert_eq!(issues(&mut engine, ZERO_NS + 1), [(1, 0)]);
    engine.complete(1, 0, attempt(ZERO_NS + 1, ZERO_NS + 2, done()), false).unwrap();
    assert_eq!(issues(&mut engine, ZERO_NS + 2), [(2, 0)]);
}

#[test]
fn an_operation_that_takes_too_long_expires_once() {
    let mut engine = measuring(1, None, &[stat(0, 0, 0, Due::At(0)), stat(0, 1, 0, Due::At(0))]);
    issues(&mut engine, ZERO_NS);
    let expirations = |engine: &mut Engine, now_ns| {
        let mut count = 0;
        while let Some(action) = engine.poll(now_ns) {
            count += usize::from(matches!(action, Action::Expire { slot: 0, .. }));
        }
        count
    };
    engine.complete(0, 0, attempt(ZERO_NS, ZERO_NS + 50, done()), false).unwrap();
    issues(&mut engine, ZERO_NS + 50);
    assert_eq!(expirations(&mut engine, ZERO_NS + OP_TIMEOUT_NS), 0, "that was the first one's");
    assert_eq!(expirations(&mut engine, ZERO_NS + 50 + OP_TIMEOUT_NS), 1);
    assert_eq!(expirations(&mut engine, ZERO_NS + 60 + OP_TIMEOUT_NS), 0);
}

#[test]
fn the_end_of_the_last_phase_cuts_what_is_not_issued_and_lets_the_rest_complete() {
    let operations = [
        stat(0, 0, 0, Due::At(0)),
        stat(0, 1, 0, Due::At(150)),
        stat(0, 2, 0, Due::At(160)),
        stat(0, 3, 1, Due::At(170)),
    ];
    let mut engine = measuring(1, None, &operations);
    issues(&mut engine, ZERO_NS);
    engine.complete(0, 0, attempt(ZERO_NS, ZERO_NS + 1, done()), false).unwrap();
    assert_eq!(issues(&mut engine, ZERO_NS + 155), [(0, 1)]);
    assert_eq!(engine.next_wake_ns(), Some(ZERO_NS + 200));
    assert_eq!(issues(&mut engine, ZERO_NS + 200), []);
    assert!(!engine.stage_done(), "one is in flight");
    engine.complete(0, 1, attempt(ZERO_NS + 155, ZERO_NS + 230, done()), false).unwrap();
    assert!(matches!(engine.poll(ZERO_NS + 230), Some(Action::Close { slot: 0 })));
    engine.closed(0, 0, (0, 0)).unwrap();
    assert!(engine.stage_done());
    let mut phases = Vec::new();
    let mut iterations = Vec::new();
    for event in engine.drain_events() {
        match event {
            Event::Completed(completion) => phases.push(completion.phase),
            Event::Iteration(iteration) => iterations.push(iteration.outcome),
            _ => {}
        }
    }
    assert_eq!(phases, [Some(0), Some(1)]);
    assert_eq!(iterations, [IterationOutcome::Cut]);
}

#[test]
fn an_abandoned_operation_keeps_its_issue_time_and_its_iteration_is_cut() {
    let mut engine = measuring(1, None, &[stat(0, 0, 0, Due::At(0))]);
    issues(&mut engine, ZERO_NS + 7);
    engine.abandon(ZERO_NS + 500);
    assert!(engine.stage_done());
    let events: Vec<_> = engine.drain_events().collect();
    let [Event::Completed(completion), Event::Iteration(iteration)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(completion.execution.status, CompletionStatus::Cut);
    assert_eq!(
        (completion.times.issued_ns, completion.times.completed_ns),
        (ZERO_NS + 7, ZERO_NS + 500)
    );
    assert_eq!(iteration.outcome, IterationOutcome::Cut);
    assert_eq!((iteration.started_ns, iteration.ended_ns), (ZERO_NS + 7, ZERO_NS + 500));
}

#[test]
fn an_iteration_lasts_from_its_first_issue_to_its_last_completion() {
    let operations =
        [stat(0, 0, 0, Due::After(0)), stat(0, 1, 0, Due::After(3)), stat(0, 2, 1, Due::After(0))];
    let mut engine = measuring(1, None, &operations);
    issues(&mut engine, ZERO_NS);
    engine.complete(0, 0, attempt(ZERO_NS + 1, ZERO_NS + 5, done()), false).unwrap();
    issues(&mut engine, ZERO_NS + 8);
    engine.complete(0, 1, attempt(ZERO_NS + 8, ZERO_NS + 9, done()), false).unwrap();
    let iterations: Vec<_> = engine
        .drain_events()
        .filter_map(|event| match event {
            Event::Iteration(iteration) => Some((iteration.started_ns, iteration.ended_ns)),
            _ => None,
        })
        .collect();
    assert_eq!(iterations, [(ZERO_NS + 1, ZERO_NS + 9)]);
}

#[test]
fn an_iteration_behind_schedule_counts_for_the_phase_its_first_operation_was_due_in() {
    let operations = [stat(0, 0, 0, Due::At(0)), stat(0, 1, 1, Due::At(90))];
    let mut engine = measuring(1, None, &operations);
    issues(&mut engine, ZERO_NS);
    engine.complete(0, 0, attempt(ZERO_NS, ZERO_NS + 150, done()), false).unwrap();
    issues(&mut engine, ZERO_NS + 150);
    engine.complete(0, 1, attempt(ZERO_NS + 150, ZERO_NS + 160, done()), false).unwrap();
    let phases: Vec<_> = engine
        .drain_events()
        .filter_map(|event| match event {
            Event::Completed(completion) => completion.phase,
            Event::Iteration(iteration) => iteration.phase,
            _ => None,
        })
        .collect();
    assert_eq!(phases, [0; 4]);
}

#[test]
fn a_client_that_lost_its_connection_is_held_until_it_is_back() {
    let mut engine = measuring(1, None, &[stat(0, 0, 0, Due::At(0)), stat(0, 1, 0, Due::At(0))]);
    issues(&mut engine, ZERO_NS);
    engine.complete(0, 0, attempt(ZERO_NS, ZERO_NS + 1, done()), true).unwrap();
    assert_eq!(issues(&mut engine, ZERO_NS + 50), []);
    engine.resume(0, ZERO_NS + 60);
    assert_eq!(issues(&mut engine, ZERO_NS + 60), [(0, 1)]);
    engine.complete(0, 1, attempt(ZERO_NS + 60, ZERO_NS + 61, done()), false).unwrap();
    let lateness: Vec<_> = engine
        .drain_events()
        .filter_map(|event| match event {
            Event::Completed(completion) => Some(completion.times.lateness_ns()),
            _ => None,
        })
        .collect();
    assert_eq!(lateness, [0, 0], "an outage is not the generator's fault");
}

#[test]
fn an_iteration_in_whose_midst_the_stream_broke_off_is_cut() {
    let mut engine = engine(1, None);
    engine.enter(Stage::Measure, ZERO_NS);
    engine.operations(batch(0, vec![stat(0, 0, 0, Due::At(0))], false), ZERO_NS).unwrap();
    assert_eq!(issues(&mut engine, ZERO_NS), [(0, 0)]);
    engine.complete(0, 0, attempt(ZERO_NS, ZERO_NS + 1, done()), false).unwrap();
    let error = Some(SourceError { message: "broken".into(), client: None });
    let broken = Batch { error, ..batch(0, Vec::new(), true) };
    engine.operations(broken, ZERO_NS + 2).unwrap();
    engine.cut(ZERO_NS + 2);
    let last = engine.drain_events().next_back();
    assert!(
        matches!(&last, Some(Event::Iteration(iteration)) if iteration.outcome == IterationOutcome::Cut),
        "{last:?}"
    );
}

#[test]
fn operations_due_by_the_cut_and_not_issued_are_counted_by_what_they_waited_for() {
    let due = [
        stat(0, 0, 0, Due::At(0)),
        stat(0, 1, 0, Due::At(20)),
        stat(1, 0, 0, Due::At(30)),
        stat(2, 0, 0, Due::At(190)),
        stat(2, 1, 0, Due::At(200)),
    ];
    let unissued = |clients| {
        let mut engine = engine(clients, Some(1));
        engine.enter(Stage::Measure, ZERO_NS);
        for slot in 0..3 {
            let own = due.iter().filter(|operation| operation.client_idx == slot).cloned();
            engine.operations(batch(slot, own.collect(), true), ZERO_NS).unwrap();
        }
        assert_eq!(issues(&mut engine, ZERO_NS + 30), [(0, 0)]);
        assert_eq!(issues(&mut engine, ZERO_NS + 210), [], "the last phase ended at 200");
        let unissued = engine.drain_events().find_map(|event| match event {
            Event::Unissued(unissued) => Some(unissued),
            _ => None,
        });
        unissued.unwrap()
    };
    let counted = Unissued {
        by_backlog: 1,
        backlog_ns: 180,
        by_generation: 0,
        by_limit: 1,
        by_driver: 1,
        late_ns: 170,
    };
    assert_eq!(unissued(3), counted);
    // The fourth client's stream has made nothing since time zero.
    assert_eq!(unissued(4), Unissued { by_generation: 1, late_ns: 200, ..counted });
}

#[test]
fn of_a_client_that_has_just_become_free_only_what_was_not_yet_overdue_is_the_drivers() {
    let due = [0, 20, 30, 190, 200].map(Due::At);
    let operations: Vec<_> = (0..).zip(due).map(|(seq, due)| stat(0, seq, seq, due)).collect();
    let mut engine = measuring(1, None, &operations);
    issues(&mut engine, ZERO_NS);
    engine.complete(0, 0, attempt(ZERO_NS, ZERO_NS + 180, done()), false).unwrap();
    issues(&mut engine, ZERO_NS + 210);
    let unissued = engine.drain_events().find_map(|event| match event {
        Event::Unissued(unissued) => Some(unissued),
        _ => None,
    });
    let counted = Unissued {
        by_backlog: 1,
        backlog_ns: 170,
        by_driver: 2,
        late_ns: 20,
        ..Unissued::default()
    };
    assert_eq!(unissued, Some(counted));
}

#[test]
fn phases_last_as_long_as_they_say_where_they_are_to_unless_every_client_is_gone() {
    let measuring = |phases_last| {
        let mut engine = engine_of(EngineConfig { phases_last, ..config() }, 1, None);
        engine.enter(Stage::Measure, ZERO_NS);
        engine.operations(batch(0, Vec::new(), true), ZERO_NS).unwrap();
        issues(&mut engine, ZERO_NS);
        engine
    };
    let mut ends = measuring(false);
    ends.closed(0, 0, (0, 0)).unwrap();
    assert!(ends.stage_done());
    let mut lasts = measuring(true);
    lasts.closed(0, 0, (0, 0)).unwrap();
    assert!(!lasts.stage_done());
    assert_eq!(lasts.next_wake_ns(), Some(ZERO_NS + 200));
    issues(&mut lasts, ZERO_NS + 200);
    assert!(lasts.stage_done());
    let mut lost = measuring(true);
    lost.lose(0, ZERO_NS);
    assert!(lost.stage_done());
    let with_run_client = EngineConfig { phases_last: true, run_client: Some(1), ..config() };
    let mut lost = engine_of(with_run_client, 2, None);
    lost.enter(Stage::Measure, ZERO_NS);
    lost.lose(0, ZERO_NS);
    assert!(lost.stage_done(), "the run-wide client has no part in measuring");
}

#[test]
fn no_more_is_asked_for_while_what_is_queued_of_a_client_takes_its_part_of_the_memory() {
    let large = |seq| {
        let path = SharePath::new(&"x/".repeat(500)).unwrap();
        Operation { kind: PathOperation::Stat { path }.into(), ..stat(0, seq, seq, Due::At(0)) }
    };
    let pulls = |actions: &[Action]| {
        let max = |action: &Action| match action {
            Action::Pull(request) => Some(request.max),
            _ => None,
        };
        actions.iter().filter_map(max).collect::<Vec<_>>()
    };
    for (first, asked_at_once) in [(stat(0, 0, 0, Due::At(0)), vec![3]), (large(0), vec![])] {
        let mut engine = engine(1, None);
        engine.enter(Stage::Measure, ZERO_NS);
        assert_eq!(pulls(&drain(&mut engine, 0)), [4]);
        engine.operations(batch(0, vec![first], false), 0).unwrap();
        assert_eq!(pulls(&drain(&mut engine, 0)), asked_at_once);
        let asked_before = asked_at_once.len();
        let issued = drain(&mut engine, ZERO_NS);
        assert_eq!(pulls(&issued).len(), 1 - asked_before, "once it was issued");
    }
}

/// Returns all actions at a time.
fn drain(engine: &mut Engine, now_ns: u64) -> Vec<Action> {
    std::iter::from_fn(|| engine.poll(now_ns)).collect()
}
