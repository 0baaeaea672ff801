//! Tests of the figures by generation, and of a layout that grows in a reload.

use std::sync::Arc;
use std::time::Duration;

use super::fixtures::{self, OK, completion, failed, iteration, read};
use super::generations::{GenerationFacts, GenerationFigures, GenerationSummary, Generations};
use super::layout::Layout;
use super::live::Live;
use super::recorder::Recorder;
use super::summary::{OperationTotals, Summary};
use crate::ir::event::{FIRST_GENERATION, IterationOutcome, MoveEvent};
use crate::ir::source::RUN_CLIENT;
use crate::ir::{
    CompletionEvent, CompletionStatus, Event, EventSink, Phase, StreamHeader, Workload,
};
use crate::protocol::NtStatus;

const SECOND: u64 = 1_000_000_000;
/// Time zero, from the run's origin.
const ZERO: u64 = 5 * SECOND;

/// Returns a layout of `clients` clients, a warm-up of 1 s and a recorded phase of 100 s.
fn layout(clients: u32) -> Arc<Layout> {
    let phase = |name: &str, seconds: u64, record| Phase {
        name: name.into(),
        duration_ns: seconds * SECOND,
        record,
    };
    let header = StreamHeader {
        workloads: vec![Workload::new("w", clients)].into(),
        ..StreamHeader::default()
    };
    let phases = vec![phase("warmup", 1, false), phase("steady", 100, true)];
    Arc::new(Layout::new(Arc::new(header), phases, Duration::from_millis(10)))
}

fn facts(number: u32) -> GenerationFacts {
    let ir_hash = format!("recipe:{number}");
    GenerationFacts { number, ir_hash, ..GenerationFacts::default() }
}

/// Returns the generations of a run of two shards that has begun, and the shards' recorders.
fn begun(layout: &Arc<Layout>) -> (Generations, [Recorder; 2]) {
    let mut generations = Generations::new(2, layout.clone(), facts(FIRST_GENERATION));
    let live = Live::new(2);
    let recorders = [0, 1].map(|shard| {
        let recorder = Recorder::new(layout.clone(), live.shard(shard));
        recorder.with_generations(generations.shard(shard).unwrap())
    });
    generations.begin(ZERO);
    (generations, recorders)
}

fn in_generation(generation: u32, event: CompletionEvent) -> Event {
    Event::Completed(CompletionEvent { generation, ..event })
}

/// Returns the move of a client at this many seconds of recorded time.
fn moved(client_idx: u32, from: Option<u32>, to: Option<u32>, recorded_s: u64) -> Event {
    let at_ns = ZERO + (1 + recorded_s) * SECOND;
    Event::Moved(MoveEvent { client_idx, from, to, at_ns, closed: 2, failed: 1 })
}

fn at(recorded_s: u64) -> u64 {
    ZERO + (1 + recorded_s) * SECOND
}

#[test]
fn the_rate_of_each_generation_is_right_while_clients_move_one_by_one() {
    let layout = layout(10);
    let (mut generations, mut shards) = begun(&layout);
    generations.add(facts(2));
    // Each client makes one operation in a second of generation 1, and three in a second of
    // generation 2. Client n moves after n + 1 recorded seconds.
    for second in 0..20 {
        for client in 0..10 {
            let shard = &mut shards[client as usize % 2];
            let generation = if second > u64::from(client) { 2 } else { 1 };
            if second == u64::from(client) + 1 {
                shard.event(moved(client, Some(1), Some(2), second));
            }
            for _ in 0..if generation == 1 { 1 } else { 3 } {
                shard.event(in_generation(generation, completion(client, 0, read(1), OK)));
            }
        }
        let figures = |generations: &mut Generations, number| {
            generations.figures(number, at(second + 1)).unwrap()
        };
        let first = figures(&mut generations, 1);
        assert_eq!((first.operations_per_s, first.clients), (10.0, 10), "after {second} s");
        assert_eq!(first.clients_there, 10_u64.saturating_sub(second), "after {second} s");
        let second_generation = figures(&mut generations, 2);
        let moved = second.min(10);
        assert_eq!(second_generation.clients_there, moved, "after {second} s");
        let rate = 3.0 * moved as f64;
        assert_eq!(second_generation.operations_per_s, rate, "after {second} s");
    }
    let before = generations.figures(1, at(20));
    generations.retire(1);
    assert_eq!(generations.figures(1, at(20)), before, "the last one is compared with the next");
    let [first, second] = &generations.summaries(at(20))[..] else { panic!("two generations") };
    assert_eq!((first.totals.operations, first.totals.duration_s), (55, 5.5));
    assert_eq!((second.totals.operations, second.totals.duration_s), (3 * 145, 14.5));
    assert_eq!((second.totals.operations_per_s, second.clients), (30.0, 10));
}

#[test]
fn only_recorded_time_and_recorded_operations_count() {
    let layout = layout(1);
    let (mut generations, [mut shard, _]) = begun(&layout);
    let warm = CompletionEvent { phase: Some(0), ..completion(0, 0, read(1), OK) };
    shard.event(Event::Completed(warm));
    assert_eq!(generations.figures(1, ZERO + SECOND / 2).unwrap().operations, 0);
    shard.event(Event::Completed(completion(0, 1, read(1), OK)));
    let setup = fixtures::in_section(completion(0, 2, read(1), OK), crate::ir::Section::Setup);
    shard.event(setup);
    let figures = generations.figures(1, at(2)).unwrap();
    let expected = GenerationFigures {
        number: 1,
        operations_per_s: 0.5,
        p50_us: Some(1_000.0),
        p99_us: Some(1_000.0),
        operations: 1,
        failed: 0,
        clients_there: 1,
        clients: 1,
    };
    assert_eq!(figures, expected);
    assert_eq!(generations.figures(7, at(2)), None);
}

#[test]
fn a_run_that_was_never_reloaded_has_one_generation_with_the_figures_of_its_totals() {
    let layout = fixtures::layout();
    let (mut generations, [mut shard, _]) = begun(&layout);
    for seq in 0..50 {
        shard.event(Event::Completed(completion(seq % 3, seq, read(1), OK)));
    }
    let generations = generations.summaries(at(2));
    let facts = super::RunFacts { generations, ..fixtures::facts() };
    let summary = Summary::new(facts, &shard.finish());
    let [only] = &summary.generations[..] else { panic!("one generation") };
    let totals = OperationTotals { reconnects: None, ..summary.totals.clone() };
    assert_eq!((&only.totals, &only.operations), (&totals, &summary.operations));
    assert_eq!(only.clients, 3, "the client of run-wide setup is in no generation");
}

/// Returns events of three generations with all kinds of outcomes.
fn mixed(generation: u32) -> Vec<Event> {
    let statuses = [
        OK,
        failed(NtStatus::ACCESS_DENIED),
        CompletionStatus::Skipped { cause_seq: 0 },
        CompletionStatus::Cut,
    ];
    let kinds = [read(1), fixtures::delete("a"), fixtures::open(1, "b")];
    let outcomes = [
        IterationOutcome::Finished,
        IterationOutcome::Dropped,
        IterationOutcome::Skipped,
        IterationOutcome::Cut,
    ];
    let mut events = Vec::new();
    for (at, status) in statuses.into_iter().enumerate() {
        for kind in kinds.clone().into_iter().take(generation as usize) {
            let mut event = completion(at as u32 % 3, 0, kind, status.clone());
            (event.execution.bytes, event.retries) = (10, 1);
            event.execution.short_read = true;
            events.push(in_generation(generation, event));
        }
    }
    events.extend(outcomes.into_iter().enumerate().map(|(at, outcome)| {
        let mut event = iteration(at as u32 % 3, outcome);
        event.generation = generation;
        Event::Iteration(event)
    }));
    events
}

/// Returns the sum of the totals, and the sum of the counts of iterations.
fn summed(generations: &[GenerationSummary]) -> (OperationTotals, super::summary::Iterations) {
    let mut totals = OperationTotals::default();
    let mut iterations = super::summarize::iterations(None);
    for generation in generations {
        totals.add_counts(&generation.totals);
        iterations.add_counts(&generation.iterations);
    }
    (totals, iterations)
}

#[test]
fn the_counts_of_the_generations_add_up_to_those_of_the_run_retired_or_not() {
    let layout = fixtures::layout();
    let (mut generations, mut shards) = begun(&layout);
    for number in 1..=3 {
        if number > 1 {
            generations.add(facts(number));
        }
        for shard in &mut shards {
            mixed(number).into_iter().for_each(|event| shard.event(event));
        }
    }
    generations.retire(1);
    // An operation of a client that was late to leave.
    mixed(1).into_iter().for_each(|event| shards[0].event(event));
    generations.retire(2);
    generations.retire(2);
    let summaries = generations.summaries(at(2));
    let [mut measurements, other] = shards.map(Recorder::finish);
    measurements.merge(other);
    let facts = super::RunFacts { generations: summaries, ..fixtures::facts() };
    let summary = Summary::new(facts, &measurements);
    let (totals, iterations) = summed(&summary.generations);
    let of_run = OperationTotals {
        reconnects: None,
        duration_s: 0.0,
        operations_per_s: 0.0,
        ..summary.totals.clone()
    };
    assert_eq!(totals, of_run);
    assert_eq!(iterations.count, summary.iterations.count);
    assert_eq!(iterations.counts, summary.iterations.counts);
    for (operation, of_run) in &summary.operations {
        let parts = summary.generations.iter().filter_map(|one| one.operations.get(operation));
        let sum = |of: fn(&super::summary::OperationSummary) -> u64| parts.clone().map(of).sum();
        let counts: (u64, u64) = (sum(|part| part.count), sum(|part| part.counts.failed));
        assert_eq!(counts, (of_run.count, of_run.counts.failed), "{operation:?}");
        let denied = |part: &super::summary::OperationSummary| {
            part.statuses.get("STATUS_ACCESS_DENIED").copied().unwrap_or_default()
        };
        assert_eq!(sum(denied), denied(of_run), "{operation:?}");
    }
    assert_eq!(summary.generations[0].totals.operations, 6);
    assert!(summary.generations[0].service_us.is_some(), "kept when it was retired");
}

#[test]
fn superseded_operations_and_closed_handles_count_in_the_generation_that_was_left() {
    let layout = layout(3);
    let (mut generations, [mut shard, mut other]) = begun(&layout);
    generations.add(facts(2));
    shard.event(Event::Reloaded { generation: 2 });
    shard.event(moved(0, Some(1), Some(2), 1));
    shard.event(Event::Superseded { generation: 1, operations: 7, overdue: 2 });
    other.event(moved(1, Some(1), None, 2));
    other.event(Event::Superseded { generation: 1, operations: 1, overdue: 0 });
    let [first, second] = &generations.summaries(at(3))[..] else { panic!("two generations") };
    assert_eq!((first.superseded.operations, first.superseded.overdue), (8, 2));
    assert_eq!((first.closed_handles, first.clients), (4, 3));
    assert_eq!((second.closed_handles, second.clients), (0, 1));
    let [mut measurements, other] = [shard, other].map(Recorder::finish);
    measurements.merge(other);
    let cleanup = measurements.connections.cleanup;
    assert_eq!((cleanup.closed, cleanup.failed), (0, 2), "only failures are reported there");
}

#[test]
fn five_hundred_reloads_keep_the_distributions_of_two_generations() {
    let layout = layout(4);
    let (mut generations, mut shards) = begun(&layout);
    for number in 1..=500 {
        if number > 1 {
            generations.add(facts(number));
            for client in 0..4 {
                let shard = &mut shards[client as usize % 2];
                shard.event(moved(client, Some(number - 1), Some(number), u64::from(number) / 10));
            }
            generations.retire(number - 1);
        }
        for shard in &mut shards {
            for event in mixed(3) {
                if let Event::Completed(event) = event {
                    shard.event(in_generation(number, event));
                }
            }
        }
        generations.figures(number, at(60));
        let distributions = generations.distributions();
        assert!((6..=12).contains(&distributions), "{distributions} after generation {number}");
    }
    let summaries = generations.summaries(at(60));
    assert_eq!((summaries.len(), summed(&summaries).0.operations), (500, 500 * 12));
    assert!(summaries.iter().all(|one| one.clients == 4 && one.service_us.is_some()));
}

#[test]
fn a_client_that_gave_up_does_not_lower_the_rate_of_a_generation_that_the_others_have_left() {
    let layout = layout(2);
    let (mut generations, [mut shard, _]) = begun(&layout);
    for seq in 0..10 {
        shard.event(in_generation(1, completion(0, seq, read(1), OK)));
    }
    // The shard is ahead of the run, which adds the generation later.
    shard.event(moved(0, Some(1), Some(2), 5));
    shard.event(in_generation(2, completion(0, 0, read(1), OK)));
    assert_eq!(generations.figures(2, at(5)), None);
    generations.add(facts(2));
    assert_eq!(generations.figures(2, at(6)).unwrap().operations_per_s, 1.0);
    generations.retire(1);
    let rate =
        |generations: &mut Generations| generations.figures(1, at(50)).unwrap().operations_per_s;
    assert_eq!(rate(&mut generations), 2.0);
    shard.event(moved(1, Some(1), None, 40));
    assert_eq!(rate(&mut generations), 2.0, "it left after the generation was retired");
    assert_eq!(generations.summaries(at(50))[0].clients, 2);
}

/// Returns the layout of the fixtures, to which a reload added a workload `late` of two clients.
fn grown() -> Arc<Layout> {
    let before = fixtures::layout();
    let mut workloads = before.header.workloads.to_vec();
    workloads.push(Workload::new("late", 2));
    let header =
        StreamHeader { workloads: workloads.into(), run_client: false, ..(*before.header).clone() };
    Arc::new(before.grown(Arc::new(header)))
}

fn lose(recorder: &mut Recorder, client_idx: u32) {
    recorder.event(Event::Reconnected { client_idx, after: Duration::ZERO });
    let reason = "lost".to_string();
    recorder.event(Event::ClientFailed { client_idx, measuring: true, reason });
    recorder.event(Event::Iteration(iteration(client_idx, IterationOutcome::Skipped)));
}

#[test]
fn a_layout_that_grows_keeps_what_was_measured_and_takes_the_clients_that_were_added() {
    let completed = |recorder: &mut Recorder, client| {
        recorder.event(Event::Completed(completion(client, 0, read(1), OK)));
    };
    let mut ended_before = fixtures::recorder();
    completed(&mut ended_before, 0);
    lose(&mut ended_before, 2);
    let mut recorder = fixtures::recorder();
    completed(&mut recorder, 1);
    // The run-wide client, before its number is that of a client of the workload `late`.
    recorder.event(fixtures::in_section(completion(9, 0, read(1), OK), crate::ir::Section::Setup));
    recorder.event(Event::Reconnected { client_idx: 9, after: Duration::ZERO });
    recorder.follow(grown());
    completed(&mut recorder, 3);
    completed(&mut recorder, 4);
    lose(&mut recorder, 4);
    let parts = [ended_before.finish(), recorder.finish()];
    for (first, second) in [(0, 1), (1, 0)] {
        let mut measurements = parts[first].clone();
        measurements.merge(parts[second].clone());
        let summary = Summary::new(fixtures::facts(), &measurements);
        let found: Vec<_> = (summary.workloads.iter())
            .map(|one| (&*one.name, one.totals.operations, one.totals.reconnects))
            .collect();
        let expected = [("editors", 2, Some(0)), ("readers", 0, Some(1)), ("late", 2, Some(1))];
        assert_eq!(found, expected);
        assert_eq!(summary.totals.reconnects, Some(3), "the run-wide client's is among them");
        assert_eq!(summary.setup.unwrap().totals.operations, 1);
        let names = |clients: &[super::summary::FailedClient]| -> Vec<String> {
            clients.iter().map(|failed| failed.client.clone()).collect()
        };
        assert_eq!(names(&summary.failed_clients.unwrap().first), ["readers/0", "late/1"]);
        assert_eq!(summary.silent_clients.unwrap().first, ["readers/0", "late/1"]);
        let layout = &measurements.layout;
        assert_eq!(layout.workload_name(layout.workload(99)), RUN_CLIENT);
    }
}

#[test]
fn no_client_is_left_when_every_client_of_the_present_generation_failed() {
    let active = |clients: &[u32]| {
        let header = StreamHeader { active: Some(clients.into()), ..(*grown().header).clone() };
        Arc::new(grown().grown(Arc::new(header)))
    };
    let mut recorder = fixtures::recorder();
    [0, 1].into_iter().for_each(|client| lose(&mut recorder, client));
    recorder.follow(active(&[2, 3, 4]));
    assert!(!recorder.measurements().lost_all_clients(), "those that failed have left");
    recorder.follow(active(&[0, 1, 99]));
    assert!(recorder.measurements().lost_all_clients(), "the run-wide client does not iterate");
    recorder.follow(active(&[]));
    assert!(!recorder.measurements().lost_all_clients());
}
