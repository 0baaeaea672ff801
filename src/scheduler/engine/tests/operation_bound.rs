//! Tests of engines that end at the bound on operations.

use std::sync::Arc;

use super::super::action::Action;
use super::super::state_machine::Engine;
use super::fixtures::{ZERO_NS, attempt, batch, config, done, issues, stat};
use crate::ir::event::IterationOutcome;
use crate::ir::{Due, Event};
use crate::scheduler::permits::Permits;
use crate::scheduler::timeline::Stage;

/// Returns an engine with two clients, each with three operations in each of two iterations.
fn bounded(most: u64, limit: Option<u32>) -> Engine {
    let permits = Permits::new(limit, 1).with_operations(Some(most));
    let mut engine = Engine::new(Arc::new(config()), Arc::new(permits), 0, &[0, 1]);
    engine.enter(Stage::Measure, ZERO_NS);
    for slot in 0..2 {
        let all = (0..6).map(|seq| stat(slot, seq, seq / 3, Due::After(0))).collect();
        engine.operations(batch(slot, all, true), ZERO_NS).unwrap();
    }
    engine
}

#[test]
fn arrivals_that_were_due_before_the_bound_was_reached_are_reported_as_unissued() {
    let permits = Permits::new(None, 1).with_operations(Some(1));
    let mut engine = Engine::new(Arc::new(config()), Arc::new(permits), 0, &[0, 1]);
    engine.enter(Stage::Measure, ZERO_NS);
    for slot in 0..2 {
        let at = |seq| stat(slot, seq, seq, Due::At(10 * u64::from(seq)));
        engine.operations(batch(slot, (0..6).map(at).collect(), true), ZERO_NS).unwrap();
    }
    assert_eq!(issues(&mut engine, ZERO_NS + 25).len(), 1);
    let unissued = engine.drain_events().find_map(|event| match event {
        Event::Unissued(unissued) => Some(unissued),
        _ => None,
    });
    let unissued = unissued.expect("five operations were due by then and were not issued");
    assert_eq!(unissued.by_driver + unissued.by_backlog, 5, "{unissued:?}");
    assert_eq!(unissued.late_ns, 25);
}

#[test]
fn an_engine_ends_at_the_bound_as_at_the_end_of_its_stream() {
    for limit in [None, Some(1), Some(2)] {
        let mut engine = bounded(3, limit);
        let (mut issued, mut at_ns) = (0, ZERO_NS);
        let mut closing = Vec::new();
        let mut in_flight = Vec::new();
        while !engine.stage_done() {
            at_ns += 10;
            while let Some(action) = engine.poll(at_ns) {
                match action {
                    Action::Issue { slot, operation } => {
                        issued += 1;
                        in_flight.push((slot, operation.seq));
                    }
                    Action::Close { slot } => closing.push(slot),
                    _ => {}
                }
            }
            for (slot, seq) in in_flight.drain(..) {
                engine.complete(slot, seq, attempt(at_ns, at_ns + 1, done()), false).unwrap();
            }
            for slot in closing.drain(..) {
                engine.closed(slot, 0, (0, 0)).unwrap();
            }
            assert!(at_ns < ZERO_NS + 100, "it ends before its phases do");
        }
        assert_eq!(issued, 3, "limit {limit:?}");
        let events: Vec<Event> = engine.drain_events().collect();
        let completed = events.iter().filter(|event| matches!(event, Event::Completed(_)));
        assert_eq!(completed.count(), 3);
        assert!(!events.iter().any(|event| matches!(event, Event::Unissued(_))));
        let cut = |event: &&Event| {
            matches!(event, Event::Iteration(iteration)
                if iteration.outcome == IterationOutcome::Cut)
        };
        let whole = limit == Some(1);
        assert!(whole || events.iter().any(|event| cut(&event)), "{events:?}");
        if let Some(limit) = limit {
            let free = (0..=limit).take_while(|_| engine.permits.shared.acquire(0)).count();
            assert_eq!(free as u32, limit, "every permit is free again");
        }
    }
}

#[test]
fn an_operation_that_never_began_is_given_back_to_the_others() {
    let mut engine = bounded(2, None);
    assert_eq!(issues(&mut engine, ZERO_NS).len(), 2);
    let mut engine = bounded(3, None);
    assert_eq!(issues(&mut engine, ZERO_NS), [(0, 0), (1, 0)]);
    engine.withheld(1, 0, ZERO_NS + 1).unwrap();
    engine.lose(1, ZERO_NS + 2);
    for seq in 0..2 {
        engine.complete(0, seq, attempt(ZERO_NS + 3, ZERO_NS + 4, done()), false).unwrap();
        assert_eq!(issues(&mut engine, ZERO_NS + 5), [(0, seq + 1)]);
    }
}
