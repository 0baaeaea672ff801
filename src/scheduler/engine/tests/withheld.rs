//! Tests of operations that are not sent because their client's connection had ended unnoticed.

use std::sync::Arc;

use super::super::Engine;
use super::fixtures::{ZERO_NS, attempt, done, issues, measuring, stat};
use crate::ir::event::{Reopened, Unissued};
use crate::ir::{Due, Event, Execution};
use crate::scheduler::permits::Permits;

fn two_operations() -> Engine {
    measuring(1, None, &[stat(0, 0, 0, Due::After(10)), stat(0, 1, 1, Due::After(10))])
}

#[test]
fn an_operation_that_was_not_sent_is_issued_anew_and_its_response_contains_the_wait() {
    let mut engine = two_operations();
    assert_eq!(issues(&mut engine, ZERO_NS + 10), [(0, 0)]);
    engine.withheld(0, 0, ZERO_NS + 11).unwrap();
    assert_eq!(issues(&mut engine, ZERO_NS + 50), []);
    engine.resume(0, ZERO_NS + 90);
    assert_eq!(issues(&mut engine, ZERO_NS + 90), [(0, 0)]);
    engine.complete(0, 0, attempt(ZERO_NS + 91, ZERO_NS + 95, done()), false).unwrap();
    let events: Vec<_> = engine.drain_events().collect();
    let [Event::Disconnected(stretch), Event::Completed(completion), Event::Iteration(_)] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((stretch.from_ns, stretch.to_ns), (ZERO_NS + 11, ZERO_NS + 90));
    assert_eq!(
        (completion.times.due_ns, completion.times.eligible_ns),
        (ZERO_NS + 10, ZERO_NS + 90)
    );
    assert_eq!((completion.times.response_ns(), completion.times.service_ns()), (85, 4));
    assert_eq!(completion.times.lateness_ns(), 1);
}

#[test]
fn a_cut_discards_an_operation_that_was_not_sent_and_counts_it_as_the_server_s_backlog() {
    let mut engine = two_operations();
    issues(&mut engine, ZERO_NS + 10);
    engine.withheld(0, 0, ZERO_NS + 11).unwrap();
    engine.cut(ZERO_NS + 60);
    let unissued = engine.drain_events().find_map(|event| match event {
        Event::Unissued(unissued) => Some(unissued),
        Event::Completed(completion) => panic!("{completion:?}"),
        _ => None,
    });
    let expected = Unissued { by_backlog: 1, backlog_ns: 50, ..Unissued::default() };
    assert_eq!(unissued, Some(expected));
}

#[test]
fn a_client_that_never_comes_back_leaves_no_operation_and_no_permit_behind() {
    let mut engine = measuring(1, Some(1), &[stat(0, 0, 0, Due::After(0))]);
    let permits: Arc<Permits> = engine.permits.shared.clone();
    issues(&mut engine, ZERO_NS);
    engine.withheld(0, 0, ZERO_NS + 1).unwrap();
    engine.lose(0, ZERO_NS + 30);
    assert!(engine.stage_done());
    assert!(engine.drain_events().all(|event| !matches!(event, Event::Completed(_))));
    assert!(permits.acquire(0), "its permit is free again");
}

#[test]
fn an_iteration_is_eligible_with_its_first_operation_when_a_handle_was_opened_again_for_it() {
    let mut engine = measuring(1, None, &[stat(0, 0, 0, Due::After(10))]);
    issues(&mut engine, ZERO_NS + 10);
    let reopened = Some(Reopened { took_ns: 30, locks_lost: 0, failed: false });
    let execution = Execution { reopened, ..done() };
    engine.complete(0, 0, attempt(ZERO_NS + 40, ZERO_NS + 45, execution), false).unwrap();
    let events: Vec<_> = engine.drain_events().collect();
    let [Event::Completed(completion), Event::Iteration(iteration)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(completion.times.eligible_ns, ZERO_NS + 40);
    assert_eq!(iteration.eligible_ns, ZERO_NS + 40);
    assert_eq!((iteration.due_ns, iteration.started_ns), (ZERO_NS + 10, ZERO_NS + 40));
}
