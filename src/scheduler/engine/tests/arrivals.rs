//! Tests of open loops, where an arrival may find its client busy.

use super::super::{Engine, EngineConfig};
use super::fixtures::{ZERO_NS, attempt, batch, config, done, engine_of, issues, stat};
use crate::ir::event::IterationOutcome::{Cut, Dropped, Finished};
use crate::ir::event::{IterationEvent, IterationOutcome, Unissued};
use crate::ir::{Due, Event, Late, Operation};
use crate::scheduler::timeline::Stage;

fn arrives(at_ns: u64) -> Due {
    Due::Arrival { at_ns, think_ns: 0, late: Late::Queue }
}

fn measuring(config: EngineConfig, operations: &[Operation], ended: bool) -> Engine {
    let mut engine = engine_of(config, 1, None);
    engine.enter(Stage::Measure, ZERO_NS);
    engine.operations(batch(0, operations.to_vec(), ended), ZERO_NS).unwrap();
    engine
}

fn dropped(operation: &Operation) -> Operation {
    let mut operation = operation.clone();
    if let Due::Arrival { late, .. } = &mut operation.due {
        *late = Late::Drop;
    }
    operation
}

fn dropping(operations: &[Operation]) -> Engine {
    let operations: Vec<Operation> = operations.iter().map(dropped).collect();
    measuring(config(), &operations, true)
}

/// Issues operation `seq` at once and completes it at `completed_ns` from time zero.
fn carry_out(engine: &mut Engine, seq: u32, issued_ns: u64, completed_ns: u64) {
    assert_eq!(issues(engine, ZERO_NS + issued_ns), [(0, seq)]);
    complete(engine, seq, issued_ns, completed_ns);
}

fn complete(engine: &mut Engine, seq: u32, issued_ns: u64, completed_ns: u64) {
    let (issued_ns, completed_ns) = (ZERO_NS + issued_ns, ZERO_NS + completed_ns);
    engine.complete(0, seq, attempt(issued_ns, completed_ns, done()), false).unwrap();
}

fn iterations(engine: &mut Engine) -> Vec<(u32, IterationOutcome)> {
    engine.drain_events().filter_map(iteration).collect()
}

fn iteration(event: Event) -> Option<(u32, IterationOutcome)> {
    match event {
        Event::Iteration(IterationEvent { iteration, outcome, .. }) => Some((iteration, outcome)),
        _ => None,
    }
}

fn unissued(engine: &mut Engine) -> Unissued {
    let unissued = |event| match event {
        Event::Unissued(unissued) => Some(unissued),
        _ => None,
    };
    engine.drain_events().find_map(unissued).unwrap_or_default()
}

#[test]
fn an_arrival_that_finds_its_client_busy_is_dropped_whole_and_the_next_is_on_time() {
    let mut engine = dropping(&[
        stat(0, 0, 0, arrives(0)),
        stat(0, 1, 1, arrives(10)),
        stat(0, 2, 1, Due::After(0)),
        stat(0, 3, 2, arrives(30)),
    ]);
    carry_out(&mut engine, 0, 0, 20);
    assert_eq!(issues(&mut engine, ZERO_NS + 29), []);
    carry_out(&mut engine, 3, 30, 31);
    assert_eq!(iterations(&mut engine), [(0, Finished), (1, Dropped), (2, Finished)]);
}

#[test]
fn an_arrival_that_finds_its_client_busy_waits_where_the_policy_is_to_queue() {
    let operations = [stat(0, 0, 0, arrives(0)), stat(0, 1, 1, arrives(10))];
    let mut engine = measuring(config(), &operations, true);
    carry_out(&mut engine, 0, 0, 20);
    carry_out(&mut engine, 1, 20, 21);
    assert_eq!(iterations(&mut engine), [(0, Finished), (1, Finished)]);
}

#[test]
fn operations_of_a_dropped_iteration_in_a_later_batch_are_dropped_with_it() {
    let begins = [stat(0, 0, 0, arrives(0)), dropped(&stat(0, 1, 1, arrives(10)))];
    let mut engine = measuring(config(), &begins, false);
    carry_out(&mut engine, 0, 0, 20);
    issues(&mut engine, ZERO_NS + 20);
    for (seq, last) in [(2, false), (3, true)] {
        let more = vec![stat(0, seq, 1, Due::After(0))];
        engine.operations(batch(0, more, last), ZERO_NS + 20).unwrap();
        assert_eq!(issues(&mut engine, ZERO_NS + 20), []);
    }
    engine.closed(0, 0, (0, 0)).unwrap();
    assert!(engine.stage_done(), "the section ended inside the dropped iteration");
    assert_eq!(iterations(&mut engine), [(0, Finished), (1, Dropped)]);
}

#[test]
fn think_time_makes_a_client_busy_and_passes_with_the_arrival_it_cost() {
    let thinks = |at_ns, think_ns| Due::Arrival { at_ns, think_ns, late: Late::Drop };
    let mut engine = dropping(&[
        stat(0, 0, 0, thinks(0, 0)),
        stat(0, 1, 1, thinks(20, 15)),
        stat(0, 2, 2, thinks(30, 15)),
    ]);
    carry_out(&mut engine, 0, 0, 10);
    carry_out(&mut engine, 2, 30, 31);
    assert_eq!(iterations(&mut engine), [(0, Finished), (1, Dropped), (2, Finished)]);
}

#[test]
fn nothing_precedes_the_first_arrival_so_no_think_time_delays_or_drops_it() {
    let first = stat(0, 0, 0, Due::Arrival { at_ns: 0, think_ns: 50, late: Late::Queue });
    let mut engine = dropping(std::slice::from_ref(&first));
    carry_out(&mut engine, 0, 0, 1);
    assert_eq!(iterations(&mut engine), [(0, Finished)]);
    let mut engine = measuring(config(), &[first], true);
    carry_out(&mut engine, 0, 0, 1);
}

#[test]
fn arrivals_that_find_a_client_busy_until_the_cut_are_dropped_and_not_backlog() {
    let mut engine = dropping(&[
        stat(0, 0, 0, arrives(0)),
        stat(0, 1, 1, arrives(10)),
        stat(0, 2, 1, Due::After(0)),
        stat(0, 3, 2, arrives(20)),
        stat(0, 4, 3, arrives(150)),
    ]);
    issues(&mut engine, ZERO_NS);
    engine.cut(ZERO_NS + 100);
    complete(&mut engine, 0, 0, 120);
    let events: Vec<_> = engine.drain_events().collect();
    assert!(!events.iter().any(|event| matches!(event, Event::Unissued(_))));
    let ended: Vec<_> = events.into_iter().filter_map(iteration).collect();
    assert_eq!(ended, [(1, Dropped), (2, Dropped), (0, Finished)]);
}

#[test]
fn arrivals_that_wait_for_a_busy_client_at_the_cut_are_backlog_since_the_oldest() {
    let operations = [
        stat(0, 0, 0, arrives(0)),
        stat(0, 1, 0, Due::After(0)),
        stat(0, 2, 1, arrives(10)),
        stat(0, 3, 2, arrives(20)),
        stat(0, 4, 3, arrives(150)),
    ];
    let mut engine = measuring(config(), &operations, true);
    issues(&mut engine, ZERO_NS);
    engine.cut(ZERO_NS + 100);
    let backlog = Unissued { by_backlog: 2, backlog_ns: 90, ..Unissued::default() };
    assert_eq!(unissued(&mut engine), backlog);
}

/// A driver that wakes late may process a completion after the end of the last phase, before
/// it cuts.
#[test]
fn an_arrival_after_the_last_phase_is_not_dropped() {
    let mut engine = dropping(&[
        stat(0, 0, 0, arrives(0)),
        stat(0, 1, 1, arrives(190)),
        stat(0, 2, 2, arrives(200)),
    ]);
    issues(&mut engine, ZERO_NS);
    complete(&mut engine, 0, 0, 230);
    assert_eq!(issues(&mut engine, ZERO_NS + 230), []);
    assert_eq!(iterations(&mut engine), [(0, Finished), (1, Dropped)]);
}

#[test]
fn an_iteration_that_has_begun_is_not_dropped_for_a_late_time_in_its_midst() {
    let mut engine = dropping(&[stat(0, 0, 0, arrives(0)), stat(0, 1, 0, arrives(5))]);
    carry_out(&mut engine, 0, 0, 20);
    carry_out(&mut engine, 1, 20, 21);
    assert_eq!(iterations(&mut engine), [(0, Finished)]);
}

#[test]
fn an_iteration_cut_in_its_midst_is_cut_and_those_after_it_are_dropped() {
    let mut engine = dropping(&[
        stat(0, 0, 0, arrives(0)),
        stat(0, 1, 0, Due::After(0)),
        stat(0, 2, 1, arrives(10)),
    ]);
    issues(&mut engine, ZERO_NS);
    engine.cut(ZERO_NS + 50);
    complete(&mut engine, 0, 0, 60);
    assert_eq!(iterations(&mut engine), [(1, Dropped), (0, Cut)]);
}

#[test]
fn arrivals_of_a_client_that_did_not_get_its_connection_back_are_dropped_or_counted() {
    let arrivals = [
        stat(0, 0, 0, arrives(0)),
        stat(0, 1, 1, arrives(10)),
        stat(0, 2, 2, arrives(30)),
        stat(0, 3, 3, arrives(40)),
    ];
    let lost = |mut engine: Engine| {
        assert_eq!(issues(&mut engine, ZERO_NS), [(0, 0)]);
        engine.complete(0, 0, attempt(ZERO_NS, ZERO_NS + 5, done()), true).unwrap();
        engine.lose(0, ZERO_NS + 35);
        engine
    };
    let queued = unissued(&mut lost(measuring(config(), &arrivals, true)));
    assert_eq!(queued, Unissued { by_backlog: 2, backlog_ns: 25, ..Unissued::default() });
    let dropped = iterations(&mut lost(dropping(&arrivals)));
    assert_eq!(dropped, [(0, Finished), (1, Dropped), (2, Dropped)]);
}
