//! Tests of clients that move to another generation of the stream.

use std::sync::Arc;

use super::super::{Action, Engine, Generation, GenerationTimes};
use super::fixtures::{ZERO_NS, attempt, config, done, issues, measuring, stat};
use crate::ir::event::{IterationOutcome, MoveEvent};
use crate::ir::{Due, Event, Late, Operation, Section, SourceError};
use crate::scheduler::batch::Batch;

const SECOND: u32 = 2;
/// A time that clients have to reach a boundary, longer than a test.
const LONG: u64 = 1_000_000;

fn after(ns: u64) -> Due {
    Due::After(ns)
}

fn arrives(at_ns: u64) -> Due {
    Due::Arrival { at_ns, think_ns: 0, late: Late::Queue }
}

fn prepare(engine: &mut Engine, clients: &[u32]) {
    engine.prepare(Generation {
        number: SECOND,
        config: Arc::new(config()),
        clients: clients.iter().map(|client| (*client, false)).collect(),
    });
}

fn first_operations(engine: &mut Engine, slot: u32, operations: Vec<Operation>) {
    let (section, generation) = (Section::Iteration, SECOND);
    let batch = Batch { slot, section, generation, operations, ended: false, error: None };
    engine.operations(batch, ZERO_NS).unwrap();
}

/// Begins generation 2 at a time from time zero, with arrivals that were made to begin there.
fn begin(engine: &mut Engine, begin_ns: u64, grace_ns: u64) {
    let begin_ns = ZERO_NS + begin_ns;
    let times = GenerationTimes { begin_ns, planned_ns: begin_ns, cut_ns: begin_ns + grace_ns };
    engine.begin(SECOND, times);
}

/// Polls at a time from time zero, closes the handles of clients that move, and returns what was
/// issued.
fn poll(engine: &mut Engine, at_ns: u64) -> Vec<(u32, u32)> {
    let now_ns = ZERO_NS + at_ns;
    let mut issued = Vec::new();
    while let Some(action) = engine.poll(now_ns) {
        match action {
            Action::Issue { slot, operation } => issued.push((slot, operation.seq)),
            Action::Close { slot } => {
                assert!(engine.closed(slot, now_ns, (1, 0)).unwrap());
            }
            _ => {}
        }
    }
    issued
}

fn complete(engine: &mut Engine, slot: u32, seq: u32, issued_ns: u64, completed_ns: u64) {
    let attempt = attempt(ZERO_NS + issued_ns, ZERO_NS + completed_ns, done());
    engine.complete(slot, seq, attempt, false).unwrap();
}

fn moves(engine: &mut Engine) -> Vec<MoveEvent> {
    let moved = |event| match event {
        Event::Moved(moved) => Some(moved),
        _ => None,
    };
    engine.drain_events().filter_map(moved).collect()
}

#[test]
fn a_client_ends_its_iteration_before_it_moves_and_its_lookahead_is_superseded() {
    let first = [
        stat(0, 0, 0, after(0)),
        stat(0, 1, 0, after(0)),
        stat(0, 2, 1, after(0)),
        stat(0, 3, 2, after(0)),
    ];
    let mut engine = measuring(1, None, &first);
    assert_eq!(issues(&mut engine, ZERO_NS), [(0, 0)]);
    prepare(&mut engine, &[0]);
    assert_eq!(engine.fetched(), None);
    first_operations(&mut engine, 0, vec![stat(0, 0, 0, after(0))]);
    assert_eq!(engine.fetched(), Some(Ok(())));
    begin(&mut engine, 5, LONG);
    complete(&mut engine, 0, 0, 0, 10);
    assert_eq!(poll(&mut engine, 10), [(0, 1)], "the second operation of the iteration");
    complete(&mut engine, 0, 1, 10, 20);
    assert!(!engine.has_settled(SECOND));
    assert_eq!(poll(&mut engine, 20), [(0, 0)], "the first of the next generation");
    assert!(engine.has_settled(SECOND));
    let events: Vec<Event> = engine.drain_events().collect();
    let superseded = events.iter().find_map(|event| match event {
        Event::Superseded { generation, operations, .. } => Some((*generation, *operations)),
        _ => None,
    });
    assert_eq!(superseded, Some((1, 2)));
    let finished = events.iter().find_map(|event| match event {
        Event::Iteration(iteration) => Some((iteration.outcome, iteration.generation)),
        _ => None,
    });
    assert_eq!(finished, Some((IterationOutcome::Finished, 1)));
    let moved = events.iter().find_map(|event| match event {
        Event::Moved(moved) => Some(*moved),
        _ => None,
    });
    let at_ns = ZERO_NS + 20;
    let expected =
        MoveEvent { client_idx: 0, from: Some(1), to: Some(2), at_ns, closed: 1, failed: 0 };
    assert_eq!(moved, Some(expected));
}

#[test]
fn the_think_time_before_the_next_iteration_of_a_closed_loop_is_waited_out() {
    let first = [stat(0, 0, 0, after(0)), stat(0, 1, 1, after(50))];
    let mut engine = measuring(1, None, &first);
    assert_eq!(issues(&mut engine, ZERO_NS), [(0, 0)]);
    complete(&mut engine, 0, 0, 0, 10);
    prepare(&mut engine, &[0]);
    first_operations(&mut engine, 0, vec![stat(0, 0, 0, after(0))]);
    begin(&mut engine, 20, LONG);
    assert_eq!(poll(&mut engine, 59), []);
    assert_eq!(poll(&mut engine, 60), [(0, 0)]);
}

#[test]
fn a_client_that_waits_for_an_arrival_moves_at_once_and_arrivals_go_on_in_the_runs_time() {
    let mut engine = measuring(1, None, &[stat(0, 0, 0, arrives(50)), stat(0, 1, 1, arrives(60))]);
    prepare(&mut engine, &[0]);
    first_operations(&mut engine, 0, vec![stat(0, 0, 0, arrives(40)), stat(0, 1, 1, arrives(70))]);
    begin(&mut engine, 20, LONG);
    assert_eq!(poll(&mut engine, 20), []);
    assert_eq!(moves(&mut engine).len(), 1);
    assert_eq!(poll(&mut engine, 39), []);
    assert_eq!(poll(&mut engine, 40), [(0, 0)]);
    complete(&mut engine, 0, 0, 40, 45);
    assert_eq!(poll(&mut engine, 69), []);
    assert_eq!(poll(&mut engine, 70), [(0, 1)]);
}

#[test]
fn arrivals_of_a_generation_that_begins_later_than_planned_are_later_too() {
    let mut engine = measuring(1, None, &[stat(0, 0, 0, arrives(90))]);
    prepare(&mut engine, &[0]);
    first_operations(&mut engine, 0, vec![stat(0, 0, 0, arrives(20))]);
    let times = GenerationTimes {
        begin_ns: ZERO_NS + 30,
        planned_ns: ZERO_NS + 20,
        cut_ns: ZERO_NS + LONG,
    };
    engine.begin(SECOND, times);
    assert_eq!(poll(&mut engine, 29), []);
    assert_eq!(poll(&mut engine, 30), [(0, 0)]);
}

#[test]
fn times_that_a_stream_names_count_from_the_move_of_the_client() {
    let mut engine = measuring(1, None, &[stat(0, 0, 0, Due::At(90))]);
    prepare(&mut engine, &[0]);
    first_operations(&mut engine, 0, vec![stat(0, 0, 0, Due::At(0)), stat(0, 1, 0, Due::At(5))]);
    begin(&mut engine, 30, LONG);
    assert_eq!(poll(&mut engine, 30), [(0, 0)]);
    complete(&mut engine, 0, 0, 30, 31);
    assert_eq!(poll(&mut engine, 34), []);
    assert_eq!(poll(&mut engine, 35), [(0, 1)]);
}

#[test]
fn a_client_that_reaches_no_boundary_in_time_is_cut_and_moves_then() {
    let first = [stat(0, 0, 0, after(0)), stat(0, 1, 0, after(100))];
    let mut engine = measuring(1, None, &first);
    assert_eq!(issues(&mut engine, ZERO_NS), [(0, 0)]);
    complete(&mut engine, 0, 0, 0, 10);
    prepare(&mut engine, &[0]);
    first_operations(&mut engine, 0, vec![stat(0, 0, 0, after(0))]);
    begin(&mut engine, 20, 30);
    assert_eq!(poll(&mut engine, 49), []);
    assert_eq!(engine.next_wake_ns(), Some(ZERO_NS + 50));
    assert_eq!(poll(&mut engine, 50), [(0, 0)]);
    let cut = engine.drain_events().find_map(|event| match event {
        Event::Iteration(iteration) => Some(iteration.outcome),
        _ => None,
    });
    assert_eq!(cut, Some(IterationOutcome::Cut));
}

#[test]
fn a_stream_that_breaks_off_in_its_first_operations_is_refused_and_the_old_one_goes_on() {
    let first = [stat(0, 0, 0, after(0)), stat(0, 1, 1, after(0))];
    let mut engine = measuring(1, None, &first);
    prepare(&mut engine, &[0]);
    let error = SourceError { message: "broken".into(), client: None };
    let batch = Batch {
        slot: 0,
        section: Section::Iteration,
        generation: SECOND,
        operations: Vec::new(),
        ended: true,
        error: Some(error.clone()),
    };
    assert!(!engine.breaks_off(&batch));
    engine.operations(batch, ZERO_NS).unwrap();
    assert_eq!(engine.fetched(), Some(Err(error)));
    engine.withdraw(SECOND);
    assert_eq!(issues(&mut engine, ZERO_NS), [(0, 0)]);
    complete(&mut engine, 0, 0, 0, 1);
    assert_eq!(issues(&mut engine, ZERO_NS + 1), [(0, 1)]);
}

#[test]
fn a_client_joins_with_its_setup_and_another_leaves_with_its_teardown() {
    let mut engine = measuring(1, None, &[stat(0, 0, 0, after(0)), stat(0, 1, 1, after(0))]);
    prepare(&mut engine, &[7]);
    assert_eq!(engine.fetched(), Some(Ok(())), "nobody stays");
    begin(&mut engine, 0, LONG);
    let mut asked = Vec::new();
    let (mut connects, mut disconnects) = (Vec::new(), Vec::new());
    let mut turn = |engine: &mut Engine| {
        while let Some(action) = engine.poll(ZERO_NS) {
            match action {
                Action::Close { slot } => drop(engine.closed(slot, ZERO_NS, (0, 0)).unwrap()),
                Action::Connect { slot } => connects.push(slot),
                Action::Disconnect { slot } => disconnects.push(slot),
                Action::Pull(request) => {
                    asked.push((request.client_idx, request.section, request.generation));
                    let (slot, section, generation) =
                        (request.slot, request.section, request.generation);
                    let operations = Vec::new();
                    let batch =
                        Batch { slot, section, generation, operations, ended: true, error: None };
                    engine.operations(batch, ZERO_NS).unwrap();
                }
                Action::Issue { .. } | Action::Expire { .. } => {}
            }
        }
    };
    turn(&mut engine);
    engine.joined(1, ZERO_NS);
    turn(&mut engine);
    assert_eq!((connects, disconnects), (vec![1], vec![0]));
    use Section::{Iteration, Setup, Teardown};
    // The first request is that of the beginning.
    assert_eq!(asked[1..], [(0, Teardown, 1), (7, Setup, 2), (7, Iteration, 2)]);
    let moved: Vec<_> =
        moves(&mut engine).iter().map(|it| (it.client_idx, it.from, it.to)).collect();
    assert_eq!(moved, [(0, Some(1), None), (7, None, Some(2))]);
    assert!(engine.stage_done(), "its iterations were none");
}
