//! Tests of a client's clock and boundaries alone.

use super::super::ScriptLimits;
use super::super::client::{Bounds, Identity, ScheduledArrival, ScriptClient};
use super::super::operation_memory::OperationMemory;
use crate::ir::random::RandomNumbers;
use crate::ir::{Due, Expect, FileControl, HandleRef, Late, Operation, Section};

fn identity() -> Identity {
    Identity { index: 0, workload: "w".into(), id: 0 }
}

fn client(bounds: Bounds) -> ScriptClient {
    let random = RandomNumbers::new(0, "w", 0, Section::Iteration);
    ScriptClient::new(identity(), None, bounds, Section::Iteration, random)
}

fn arrival(at_ns: u64, think_ns: u64) -> Due {
    Due::Arrival { at_ns, think_ns, late: Late::Drop }
}

fn memory() -> OperationMemory {
    let memory = OperationMemory::default();
    memory.share(&ScriptLimits::default(), 1, 1);
    memory
}

fn flush(client: &mut ScriptClient) -> Operation {
    let kind = FileControl::Flush.on(HandleRef(0));
    client.emit(kind, Expect::Default, &memory()).unwrap();
    client.made.pop_back().unwrap()
}

#[test]
fn the_first_running_of_an_iteration_is_the_boundary_of_its_start() {
    let mut c = client(Bounds { iterations: Some(3), nominal_ns: None });
    assert_eq!(c.start_iteration(None), Ok(true));
    let mut numbers = Vec::new();
    while c.running(None).unwrap() {
        numbers.push(flush(&mut c).iteration);
    }
    assert_eq!(numbers, [0, 1, 2]);
    assert_eq!(flush(&mut c).iteration, 2, "what follows the loop belongs to the last round");
    assert_eq!(c.start_iteration(None), Ok(false));
}

#[test]
fn think_adds_up_and_at_replaces_what_was_waited() {
    let mut c = client(Bounds::default());
    c.start_iteration(None).unwrap();
    c.think(5).unwrap();
    c.think(7).unwrap();
    assert_eq!(flush(&mut c).due, Due::After(12));
    assert_eq!(flush(&mut c).due, Due::After(0));
    c.think(1).unwrap();
    c.at(100).unwrap();
    c.think(3).unwrap();
    assert_eq!(flush(&mut c).due, Due::At(103));
    assert!(c.at(102).unwrap_err().contains("backwards"));
}

#[test]
fn a_nominal_bound_counts_the_think_time_still_waiting() {
    let mut c = client(Bounds { iterations: None, nominal_ns: Some(10) });
    assert_eq!(c.start_iteration(None), Ok(true));
    flush(&mut c);
    c.think(9).unwrap();
    assert_eq!(c.start_iteration(None), Ok(true));
    flush(&mut c);
    c.think(1).unwrap();
    assert_eq!(c.start_iteration(None), Ok(false));
}

#[test]
fn think_time_before_a_boundary_keeps_the_client_and_behind_it_the_operation() {
    let random = RandomNumbers::new(0, "w", 0, Section::Iteration);
    let bounds = Bounds { iterations: None, nominal_ns: Some(1_000) };
    let mut c = ScriptClient::new(identity(), Some(0), bounds, Section::Iteration, random);
    let mut arrivals = [100, 100, 300, 700, 999, 1_000]
        .map(|at_ns| ScheduledArrival { at_ns, late: Late::Drop })
        .into_iter();
    let mut next = || Ok(arrivals.next());
    assert_eq!(c.start_iteration(Some(&mut next)), Ok(true));
    assert_eq!(c.running(Some(&mut next)), Ok(true));
    c.think(7).unwrap();
    assert_eq!(flush(&mut c).due, arrival(107, 7));
    c.think(5).unwrap();
    assert_eq!(flush(&mut c).due, Due::After(5));
    c.think(11).unwrap();
    assert_eq!(c.running(Some(&mut next)), Ok(true));
    assert_eq!(flush(&mut c).due, arrival(100, 11));
    c.think(3).unwrap();
    assert_eq!(c.start_iteration(Some(&mut next)), Ok(true), "and has no operation");
    c.think(2).unwrap();
    assert_eq!(c.start_iteration(Some(&mut next)), Ok(true));
    c.think(1).unwrap();
    let operation = flush(&mut c);
    assert_eq!(operation.due, arrival(701, 6));
    assert_eq!(operation.iteration, 3);
    assert_eq!(c.clock.now_ns(), 701);
    assert_eq!(c.start_iteration(Some(&mut next)), Ok(true));
    assert!(c.at(5_000).unwrap_err().starts_with("c:at cannot be used in an open loop"));
    assert_eq!(c.start_iteration(Some(&mut next)), Ok(false), "it arrives at the bound");
    assert_eq!(flush(&mut c).due, Due::After(0));
}

#[test]
fn the_last_sequence_number_is_used_and_the_one_after_is_an_error() {
    let mut c = client(Bounds::default());
    c.next_seq = Some(u32::MAX);
    assert_eq!(flush(&mut c).seq, u32::MAX);
    let kind = FileControl::Flush.on(HandleRef(0));
    let error = c.emit(kind, Expect::Default, &memory()).unwrap_err();
    assert!(error.contains("4,294,967,296 operations"));
}
