//! Tests of logs of events made by hand.

use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};
use smbench_test_support::Format;

use super::super::fixtures::{self, OK, completion};
use super::super::schema;
use super::*;
use crate::ir::event::{BreakEnd, BreakEvent, IterationEvent, IterationOutcome};
use crate::ir::{CompletionStatus, Event, Failure, Section, Step};
use crate::protocol::{Caching, Durable, LeaseState, NtStatus};

/// A time that only a hang exceeds, even on a busy host.
const BOUND: Duration = Duration::from_secs(120);

/// Returns lines of every kind, in the order that the tests below expect.
pub(in crate::observability) fn full() -> Vec<Value> {
    let mut opened = completion(0, 3, fixtures::open(1, "a"), OK);
    let session = Arc::new(Step { name: "session".into(), number: 0, outer: None });
    opened.operation.step =
        Some(Arc::new(Step { name: "save".into(), number: 2, outer: Some(session) }));
    opened.times.blocked_ns = 7;
    opened.generation = 2;
    opened.execution.granted = fixtures::granted(Caching::Lease(LeaseState::RWH));
    if let Some(lease) =
        opened.execution.granted.as_mut().and_then(|granted| granted.lease.as_mut())
    {
        lease.parent_key = Some([9; 16]);
    }
    if let Some(granted) = &mut opened.execution.granted {
        granted.durable = Some(Durable { version: 2, timeout_ms: 60_000 });
    }
    let lost = CompletionStatus::Failed(Failure::ConnectionLost("reset".into()));
    log([
        Event::Completed(opened),
        Event::Completed(completion(0, 4, fixtures::delete("a"), lost)),
        Event::Completed(completion(0, 4, fixtures::read(1), CompletionStatus::Cut)),
        Event::Completed(completion(
            0,
            5,
            fixtures::read(1),
            CompletionStatus::Skipped { cause_seq: 3 },
        )),
        Event::Break(Box::new(fixtures::oplock_break(1, BreakEnd::Refused))),
        Event::Break(Box::new(fixtures::lease_break(1, BreakEnd::NotAsked))),
        Event::Iteration(IterationEvent {
            generation: 3,
            ..fixtures::iteration(0, IterationOutcome::Dropped)
        }),
    ])
}

fn log(events: impl IntoIterator<Item = Event>) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let oplog = Oplog::start(directory.path(), fixtures::layout()).unwrap();
    let mut tap = oplog.tap().unwrap();
    events.into_iter().for_each(|event| tap.event(&event, |event| event.operation.kind.path()));
    drop(tap);
    let (lines, problem) = oplog.finish(BOUND);
    assert_eq!((problem, lines.dropped), (None, 0));
    let text = fs::read_to_string(directory.path().join(OPLOG)).unwrap();
    let read: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.written, read.len() as u64);
    read.iter().for_each(|line| Format::OperationLog.check(line));
    read
}

#[test]
fn the_schema_of_the_operation_log_is_that_of_the_types_and_has_no_key_that_none_writes() {
    let schema = schema::checked_in::<line::LogLine>("ops");
    assert_eq!(schema::unused_keys(&schema, &full()), [""; 0]);
}

#[test]
fn the_schema_of_the_operation_log_refuses_an_unknown_key_and_null_everywhere_in_a_line() {
    for line in full() {
        for (at, spoiled) in schema::spoiled(&line) {
            assert!(!Format::OperationLog.errors(&spoiled).is_empty(), "{at}: {spoiled}");
        }
    }
}

#[test]
fn the_schema_of_the_operation_log_refuses_names_and_numbers_that_no_line_has() {
    let lines = full();
    for (line, at, wrong) in [
        (0, "/type", json!("reed")),
        (0, "/section", json!("phase")),
        (0, "/outcome", json!("good")),
        (0, "/due_ns", json!(-1)),
        (0, "/granted/lease/state", json!("HWR")),
        (0, "/granted/oplock", json!("level_ii")),
        (0, "/granted/create_action", json!("burnt")),
        (0, "/granted/durable/version", json!(3)),
        (0, "/granted/durable/timeout_ms", json!(0)),
        (4, "/to", json!("RWH")),
        (4, "/broken", json!("lease")),
        (5, "/to", json!("batch")),
        (5, "/end", json!("good")),
        (6, "/event", json!("iteration")),
    ] {
        let mut spoiled = lines[line].clone();
        *spoiled.pointer_mut(at).unwrap() = wrong;
        assert!(!Format::OperationLog.errors(&spoiled).is_empty(), "{at}: {spoiled}");
    }
}

#[test]
fn a_line_has_its_generation_if_that_is_not_the_first() {
    let generations: Vec<_> = full().iter().map(|line| line["generation"].as_u64()).collect();
    assert_eq!(generations, [Some(2), None, None, None, None, None, Some(3)]);
}

#[test]
fn clients_that_a_reload_adds_have_their_names_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let before = fixtures::layout();
    let oplog = Oplog::start(directory.path(), before.clone()).unwrap();
    let mut tap = oplog.tap().unwrap();
    let mut workloads = before.header.workloads.to_vec();
    workloads.push(crate::ir::Workload::new("late", 2));
    let header =
        crate::ir::StreamHeader { workloads: workloads.into(), ..(*before.header).clone() };
    tap.event(&Event::Completed(completion(0, 0, fixtures::read(1), OK)), |_| None);
    oplog.follow(Arc::new(before.grown(Arc::new(header))));
    tap.event(&Event::Completed(completion(4, 0, fixtures::read(1), OK)), |_| None);
    drop(tap);
    let (lines, problem) = oplog.finish(BOUND);
    assert_eq!((lines.written, problem), (2, None));
    let text = fs::read_to_string(directory.path().join(OPLOG)).unwrap();
    let read: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names = |line: &Value| [line["client"].clone(), line["workload"].clone()];
    assert_eq!(names(&read[0]), ["editors/0", "editors"]);
    assert_eq!(names(&read[1]), ["late/1", "late"]);
}

#[test]
fn a_line_has_the_step_of_its_operation_and_the_one_around_it() {
    let step = json!({ "name": "save", "number": 2, "outer": { "name": "session", "number": 0 } });
    let lines = full();
    assert_eq!((&lines[0]["step"], lines[1].get("step")), (&step, None));
}

#[test]
fn a_line_tells_all_of_an_operation_a_break_and_a_dropped_iteration() {
    let mut opened = completion(0, 3, fixtures::open(1, "team/\u{202e}\u{9b}2Ja"), OK);
    opened.execution.granted = fixtures::granted(Caching::Lease(LeaseState::RWH));
    (opened.retries, opened.times.attempted_ns) = (2, 1_000_500_000);
    opened.times.blocked_ns = 7;
    let mut setup = completion(3, 0, fixtures::delete("a"), OK);
    (setup.operation.section, setup.phase) = (Section::Setup, None);
    setup.operation.id = Some("first".into());
    let lines = log([
        Event::Completed(opened),
        Event::Completed(setup),
        Event::Break(Box::new(fixtures::oplock_break(1, BreakEnd::Refused))),
        Event::Break(Box::new(BreakEvent {
            blocked: 2,
            blocked_ns: 35_000_000_000,
            phase: None,
            ..fixtures::lease_break(2, BreakEnd::TimedOut)
        })),
        Event::Iteration(fixtures::iteration(0, IterationOutcome::Finished)),
        Event::Iteration(fixtures::iteration(0, IterationOutcome::Dropped)),
        Event::Connected { client_idx: 0 },
    ]);
    assert_eq!(
        lines[0],
        json!({
            "event": "operation", "op_id": "0-3", "client": "editors/0", "workload": "editors",
            "phase": "steady", "section": "iteration", "iteration": 0, "type": "open",
            "path": "team/\u{202e}\u{9b}2Ja", "outcome": "succeeded",
            "status": "STATUS_SUCCESS", "code": 0, "due_ns": 1_000_000_000u64,
            "eligible_ns": 1_000_000_000u64, "issued_ns": 1_000_000_000u64,
            "attempted_ns": 1_000_500_000u64, "completed_ns": 1_001_000_000u64,
            "bytes": 0, "retries": 2, "blocked_ns": 7,
            "granted": {
                "oplock": "lease", "create_action": "opened",
                "file_id": "00000000000000010000000000000002", "disk_file_id": "ffffffffffffffff",
                "lease": { "key": "07".repeat(16), "state": "RWH", "breaking": false, "epoch": 1 },
            },
        })
    );
    assert_eq!((&lines[1]["op_id"], &lines[1]["client"]), (&json!("first"), &json!("bench")));
    assert_eq!((&lines[1]["section"], lines[1].get("phase")), (&json!("setup"), None));
    assert_eq!(
        lines[2],
        json!({
            "event": "break", "client": "editors/1", "workload": "editors", "phase": "steady",
            "path": "team/u0/a.docx", "broken": "oplock",
            "file_id": "00000000000000010000000000000002", "to": "ii",
            "noticed_ns": 1_000_000_000u64, "acknowledged_ns": 1_001_000_000u64,
            "ended_ns": 1_002_000_000u64, "end": "refused",
            "status": "STATUS_INVALID_PARAMETER", "code": 0xC000_000Du32,
            "blocked": 0, "blocked_ns": 0,
        })
    );
    assert_eq!(
        lines[3],
        json!({
            "event": "break", "client": "readers/0", "workload": "readers",
            "path": "team/u0/a.docx", "broken": "lease", "key": "07".repeat(16),
            "from": "RWH", "to": "RH", "epoch": 2, "noticed_ns": 1_000_000_000u64,
            "ended_ns": 1_002_000_000u64, "end": "timed_out",
            "blocked": 2, "blocked_ns": 35_000_000_000u64,
        })
    );
    assert_eq!(
        lines[4..],
        [json!({
            "event": "dropped_iteration", "client": "editors/0", "workload": "editors",
            "phase": "steady", "iteration": 0, "due_ns": 1_000_000_000u64,
            "eligible_ns": 1_000_000_000u64,
        })]
    );
}

#[test]
fn every_end_of_an_operation_has_its_outcome_and_a_name() {
    let ended = |status| Event::Completed(completion(0, 1, fixtures::read(1), status));
    let lost = Failure::ConnectionLost("reset".repeat(1_000));
    let lines = log([
        ended(fixtures::failed(NtStatus(0xC0DE_0001))),
        ended(CompletionStatus::Failed(Failure::TimedOut)),
        ended(CompletionStatus::Failed(lost)),
        ended(CompletionStatus::Skipped { cause_seq: 7 }),
        ended(CompletionStatus::Cut),
    ]);
    let reported = lines.iter().map(|line| {
        let text = |key: &str| line[key].as_str().unwrap_or("-").to_string();
        [text("outcome"), text("status"), text("because_of")].join(" ")
    });
    assert_eq!(
        reported.collect::<Vec<_>>(),
        [
            "failed 0xC0DE0001 -",
            "failed TIMED_OUT -",
            "failed CONNECTION_LOST -",
            "skipped - 0-7",
            "cut - -"
        ]
    );
    assert_eq!(lines[0]["code"], json!(0xC0DE_0001u32));
    assert_eq!(lines[2]["message"].as_str().unwrap().len(), 300);
}

#[test]
fn lines_of_a_client_are_in_order_and_every_one_is_written_or_counted_as_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let oplog = Oplog::start(directory.path(), fixtures::layout()).unwrap();
    let threads: Vec<_> = (0..3u32)
        .map(|client| {
            let mut tap = oplog.tap().unwrap();
            std::thread::spawn(move || {
                for seq in 0..40_000 {
                    let event = completion(client, seq, fixtures::read(1), OK);
                    tap.event(&Event::Completed(event), |_| None);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let (lines, problem) = oplog.finish(BOUND);
    assert_eq!((problem, lines.written + lines.dropped), (None, 120_000));
    let mut next = [0; 3];
    let mut read = 0;
    for line in fs::read_to_string(directory.path().join(OPLOG)).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let (client, seq) = line["op_id"].as_str().unwrap().split_once('-').unwrap();
        let (client, seq): (usize, u32) = (client.parse().unwrap(), seq.parse().unwrap());
        assert!(seq >= next[client]);
        next[client] = seq + 1;
        read += 1;
    }
    assert_eq!(lines.written, read);
}

#[test]
fn events_that_do_not_fit_the_queue_are_dropped_and_counted() {
    let (queue, queued) = mpsc::sync_channel(2);
    let counts = Arc::new(LineCounts::default());
    let mut tap = OplogTap::new(queue, counts.clone());
    let event = |seq| Event::Completed(completion(0, seq, fixtures::read(1), OK));
    (0..4 * tap::BATCH as u32 + 1).for_each(|seq| tap.event(&event(seq), |_| None));
    drop(tap);
    assert_eq!(counts.dropped.load(Relaxed), 2 * tap::BATCH as u64 + 1);
    assert_eq!(queued.iter().map(|batch| batch.len()).sum::<usize>(), 2 * tap::BATCH);
}

#[test]
fn a_batch_that_is_not_full_is_handed_over_after_a_while() {
    let (queue, queued) = mpsc::sync_channel(2);
    let mut tap = OplogTap::new(queue, Arc::default());
    let mut at = |completed_ns| {
        let mut event = completion(0, 0, fixtures::read(1), OK);
        event.times.completed_ns = completed_ns;
        tap.event(&Event::Completed(event), |_| None);
        queued.try_iter().map(|batch| batch.len()).sum::<usize>()
    };
    assert_eq!([at(1_000_000_000), at(1_099_999_999), at(1_100_000_000)], [0, 0, 3]);
}

#[test]
fn a_full_disk_is_reported_and_lost_lines_are_counted() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let oplog = Oplog::writing(full, "/dev/full".into(), fixtures::layout()).unwrap();
    let mut tap = oplog.tap().unwrap();
    for seq in 0..10_000 {
        tap.event(&Event::Completed(completion(0, seq, fixtures::read(1), OK)), |_| None);
    }
    drop(tap);
    let (lines, problem) = oplog.finish(BOUND);
    assert_eq!((lines.written, lines.dropped), (0, 10_000));
    let (problem, reason) = problem.unwrap();
    assert_eq!(reason, ExitReason::ResultsNotKept);
    let (what, why) = problem.split_once(": ").unwrap();
    assert!(what.starts_with("/dev/full could not be written to its end, "), "{problem}");
    assert!(why.ends_with("; free some space, or name another directory with --out"), "{problem}");
}

#[test]
fn a_log_that_is_given_up_leaves_no_file_and_another_runs_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    drop(Oplog::start(directory.path(), fixtures::layout()).unwrap());
    assert!(!directory.path().join(OPLOG).exists());
    fs::write(directory.path().join(OPLOG), "mine").unwrap();
    let error = Oplog::start(directory.path(), fixtures::layout()).unwrap_err();
    assert!(matches!(error, OplogError::Occupied(_)), "{error}");
    assert_eq!(fs::read_to_string(directory.path().join(OPLOG)).unwrap(), "mine");
    let moved = tempfile::tempdir().unwrap();
    let oplog = Oplog::start(moved.path(), fixtures::layout()).unwrap();
    fs::rename(moved.path().join(OPLOG), moved.path().join("a")).unwrap();
    fs::write(moved.path().join(OPLOG), "mine").unwrap();
    let (problem, reason) = oplog.finish(BOUND).1.unwrap();
    assert_eq!(reason, ExitReason::ResultsNotKept);
    assert!(problem.contains("ops.jsonl was removed or moved while the run went on"), "{problem}");
    let missing = Oplog::start(&directory.path().join("none"), fixtures::layout()).unwrap_err();
    assert!(matches!(missing, OplogError::Create { .. }), "{missing}");
}
