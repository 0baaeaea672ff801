//! Runs that end after a number of operations.

use std::collections::BTreeMap;
use std::time::Duration;

use smbench::backend::sim::Window;
use smbench::ir::{CompletionEvent, Due, Event, OperationKind, PathOperation, Phase, Section};
use smbench::protocol::SharePath;

use super::run::Outcome;
use super::scenario::Scenario;
use super::workload::{Script, Stream};

const MS: u64 = 1_000_000;

/// Returns a stream of clients with setup, `iterations` iterations of three operations each, and
/// teardown.
fn clients(clients: u32, iterations: u32, phases: Vec<Phase>) -> Stream {
    let all = (0..clients)
        .map(|client| {
            let mut script = Script::new(client);
            let stat =
                || OperationKind::ByPath(PathOperation::Stat { path: SharePath::new("").unwrap() });
            script.begin(Section::Setup, 0);
            script.push(Due::After(0), stat());
            for iteration in 0..iterations {
                script.begin(Section::Iteration, iteration);
                for _ in 0..3 {
                    script.push(Due::After(u64::from(client) * 10_000), stat());
                }
            }
            script.begin(Section::Teardown, 0);
            script.push(Due::After(0), stat());
            script.finish()
        })
        .collect();
    Stream::new(clients, phases, all)
}

fn completed(outcome: &Outcome, section: Section) -> Vec<&CompletionEvent> {
    outcome.completions().filter(|event| event.operation.section == section).collect()
}

#[test]
fn a_run_has_exactly_its_bound_of_operations_over_all_clients_and_shards() {
    for shards in [1, 3, 4] {
        for limit in [None, Some(1), Some(3)] {
            for operations in [1, 2, 7, 100, 359, 360, 10_000] {
                let stream = clients(12, 10, Vec::new());
                let scenario = Scenario {
                    operations: Some(operations),
                    ..Scenario::plain(stream, limit, shards)
                };
                let outcome = scenario.run();
                let what = format!("{operations} operations, limit {limit:?}, {shards} shards");
                let iterated = completed(&outcome, Section::Iteration).len() as u64;
                assert_eq!(iterated, operations.min(360), "{what}");
                // Setup and teardown run completely, and do not count towards the bound.
                assert_eq!(completed(&outcome, Section::Setup).len(), 12, "{what}");
                assert_eq!(completed(&outcome, Section::Teardown).len(), 12, "{what}");
                assert_eq!(outcome.reason, None, "{what}: it was not cut");
                let unissued = outcome.events().any(|event| matches!(event, Event::Unissued(_)));
                assert!(!unissued, "{what}: what follows the bound is no backlog");
                assert!(limit.is_none_or(|limit| outcome.permits_free == limit), "{what}");
                let summary = outcome.summary();
                assert_eq!(summary.totals.operations, operations.min(360), "{what}");
                assert!(!summary.run.interrupted);
            }
        }
    }
}

#[test]
fn without_other_delays_the_same_operations_are_issued_whatever_the_number_of_shards() {
    let issued = |shards| {
        let stream = clients(12, 10, Vec::new());
        let scenario = Scenario { operations: Some(77), ..Scenario::plain(stream, None, shards) };
        let outcome = scenario.run();
        let mut last: BTreeMap<u32, u32> = BTreeMap::new();
        for event in completed(&outcome, Section::Iteration) {
            last.insert(event.operation.client_idx, event.operation.seq);
        }
        last
    };
    assert_eq!(issued(1), issued(3));
    assert_eq!(issued(1), issued(4));
}

#[test]
fn whichever_is_first_ends_the_run_the_bound_its_phases_or_its_stream() {
    let phase = |duration_ns| vec![Phase { name: "steady".into(), duration_ns, record: true }];
    let run = |phases, operations| {
        let stream = clients(4, 1_000, phases);
        let scenario = Scenario { operations, ..Scenario::plain(stream, None, 2) };
        let outcome = scenario.run();
        let (zero_ns, end_ns) = outcome.measured_ns.unwrap();
        (completed(&outcome, Section::Iteration).len() as u64, end_ns - zero_ns)
    };
    let (in_phase, lasted_ns) = run(phase(20 * MS), None);
    assert_eq!(lasted_ns, 20 * MS);
    assert_eq!(run(phase(20 * MS), Some(in_phase + 1_000)), (in_phase, 20 * MS));
    let (bounded, lasted_ns) = run(phase(20 * MS), Some(50));
    assert_eq!(bounded, 50);
    assert!(lasted_ns < 20 * MS, "it ends with its last operation: {lasted_ns}");
}

#[test]
fn outages_faults_and_breaks_do_not_change_the_number_of_operations() {
    let outage = Window::once(Duration::from_millis(3), Duration::from_millis(40));
    for seed in 0..40 {
        let stream = clients(9, 30, Vec::new());
        let scenario = Scenario {
            operations: Some(200),
            outages: vec![outage],
            faults_per_mille: 60,
            seed,
            ..Scenario::plain(stream, Some(4), 1 + seed as usize % 4)
        };
        let outcome = scenario.run();
        assert_eq!(completed(&outcome, Section::Iteration).len(), 200, "seed {seed}");
    }
}

/// Runs random workloads, with caching, panics, interrupts and clients that are lost for good.
#[test]
fn no_run_goes_beyond_its_bound_whatever_happens() {
    let mut reached = 0;
    for seed in 0..300 {
        let bound = 1 + seed % 60;
        let scenario = Scenario { operations: Some(bound), ..Scenario::random(seed) };
        let outcome = scenario.try_run().unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        let iterated = completed(&outcome, Section::Iteration);
        assert!(iterated.len() as u64 <= bound, "seed {seed}: {} of {bound}", iterated.len());
        reached += u32::from(iterated.len() as u64 == bound);
        if let Some(limit) = scenario.limit
            && outcome.reason.is_none()
        {
            assert_eq!(outcome.permits_free, limit, "seed {seed}: a permit leaked");
        }
    }
    assert!(reached > 150, "most come to their bound: {reached}");
}
