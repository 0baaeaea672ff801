//! Summaries of runs made by hand.

use std::sync::Arc;
use std::time::Duration;

use super::exit::ExitReason;
use super::fixtures;
use super::layout::Layout;
use super::live::Live;
use super::recorder::Recorder;
use super::summary::{RunFacts, Summary};
use super::trust::TrustVerdict;
use crate::ir::event::IterationOutcome::{Dropped, Finished};
use crate::ir::event::{BreakEnd, BreakEvent, Unissued};
use crate::ir::{CompletionEvent, Event, EventSink, OperationType, Phase, Section};
use crate::protocol::create::OplockLevel;
use crate::protocol::{Caching, CreateAction, LeaseState, NtStatus};

fn summary() -> Summary {
    Summary::new(fixtures::facts(), &fixtures::measurements())
}

#[test]
fn totals_and_operations_count_recorded_phases_only() {
    let summary = summary();
    let totals = &summary.totals;
    // 2 opens, 1,001 reads and a close were sent in the phase "steady".
    assert_eq!((totals.operations, totals.succeeded, totals.counts.failed), (1_004, 1_002, 2));
    assert_eq!((totals.counts.skipped, totals.counts.cut), (1, 1));
    assert_eq!(totals.total_counts.short_reads, 1);
    assert_eq!((totals.bytes_read, totals.bytes_written), (4_096_000, 0));
    assert_eq!((totals.duration_s, totals.operations_per_s), (2.0, 502.0));
    assert_eq!(totals.reconnects, Some(1));
    let counts: Vec<(&str, u64)> = summary
        .operations
        .iter()
        .map(|(operation, figures)| (operation.name(), figures.count))
        .collect();
    assert_eq!(counts, [("open", 2), ("read", 1_001), ("close", 1)]);
    let sent: u64 = summary.operations.values().map(|figures| figures.count).sum();
    assert_eq!(sent, totals.operations);
    assert_eq!(
        summary.workloads.iter().map(|workload| workload.totals.operations).sum::<u64>(),
        totals.operations
    );
    assert_eq!(summary.phases[0].totals.operations, 1);
    assert!(!summary.phases[0].recorded);
}

#[test]
fn times_are_microseconds() {
    let summary = summary();
    let read = summary.operations[&OperationType::Read].service_us.unwrap();
    // 10 µs to 10 ms in steps of 10 µs, and one of 1 ms.
    assert_eq!((read.min, read.tail.max), (10.0, 10_000.0));
    assert_eq!(read.mean, 5_000.999);
    assert!((read.tail.p50 - 5_000.0).abs() <= 5.0, "{}", read.tail.p50);
    assert!((read.tail.p99 - 9_900.0).abs() <= 10.0, "{}", read.tail.p99);
    let iterations = &summary.iterations;
    assert_eq!((iterations.count, iterations.counts.cut), (2, 1));
    assert_eq!((iterations.counts.late, iterations.counts.dropped), (1, 1));
    assert_eq!(iterations.service_us.unwrap().tail.max, 20_000.0);
}

#[test]
fn failures_are_listed_by_status_and_add_up() {
    let summary = summary();
    assert_eq!(
        summary.failures.iter().map(|group| group.operations.count).sum::<u64>(),
        summary.totals.counts.failed
    );
    let violation = &summary.failures[0];
    assert_eq!(violation.status, "STATUS_SHARING_VIOLATION");
    assert_eq!(violation.code, Some(NtStatus::SHARING_VIOLATION.0));
    let first = &violation.operations.first[0];
    assert_eq!((first.client.as_str(), first.operation), ("editors/1", "open"));
    assert_eq!(first.path.as_deref(), Some("team/\u{9b}31m\u{202e}name.docx"));
    assert_eq!((first.phase.as_deref(), first.at_us), (Some("steady"), 1_001_000));
    assert_eq!(
        summary.operations[&OperationType::Open].statuses,
        [("STATUS_SHARING_VIOLATION".to_string(), 1), ("STATUS_SUCCESS".to_string(), 1)].into()
    );
    let skipped = summary.skipped.unwrap();
    assert_eq!(skipped.count, 1);
    assert!(skipped.first[0].message.contains("because of 1-"), "{:?}", skipped.first[0]);
}

#[test]
fn failures_in_setup_or_a_phase_exit_with_4_and_in_teardown_are_only_reported() {
    let exit_code = |section: Section, phase| {
        let mut recorder = fixtures::recorder();
        let status = fixtures::failed(NtStatus::ACCESS_DENIED);
        let mut event = fixtures::completion(0, 0, fixtures::delete("a"), status);
        (event.operation.section, event.phase) = (section, phase);
        recorder.event(Event::Completed(event));
        let summary = Summary::new(fixtures::facts(), &recorder.finish());
        (summary.exit_code, summary.totals.counts.failed)
    };
    assert_eq!(exit_code(Section::Setup, None), (4, 0));
    assert_eq!(exit_code(Section::Iteration, Some(0)), (4, 0), "a phase that is not recorded");
    assert_eq!(exit_code(Section::Iteration, Some(1)), (4, 1));
    assert_eq!(exit_code(Section::Teardown, None), (5, 0), "nothing was recorded");
    let teardown = summary().teardown.unwrap();
    assert_eq!(teardown.failures[0].status, "STATUS_ACCESS_DENIED");
}

#[test]
fn a_late_generator_exits_5_unless_that_is_allowed() {
    let exit = |allow_late| {
        let mut recorder = fixtures::recorder();
        for seq in 0..100 {
            let mut event = fixtures::completion(0, seq, fixtures::read(1), fixtures::OK);
            event.times.issued_ns += 20_000_000;
            event.times.completed_ns = event.times.issued_ns + 1;
            recorder.event(Event::Completed(event));
        }
        let facts = RunFacts { allow_late, ..fixtures::facts() };
        let summary = Summary::new(facts, &recorder.finish());
        assert_eq!(summary.trust.verdict, TrustVerdict::GeneratorLimited);
        (summary.exit_code, summary.exit_reasons)
    };
    assert_eq!(exit(false), (5, vec![ExitReason::GeneratorLimited]));
    assert_eq!(exit(true), (0, vec![]));
}

#[test]
fn a_workload_that_drops_iterations_is_reported_with_its_own_number_of_them() {
    let mut recorder = fixtures::recorder();
    for (client_idx, outcome) in
        [(0, Dropped), (0, Finished), (0, Finished), (2, Finished), (2, Finished)]
    {
        recorder.event(Event::Iteration(fixtures::iteration(client_idx, outcome)));
    }
    let summary = Summary::new(fixtures::facts(), &recorder.finish());
    assert_eq!(summary.notes.len(), 1);
    let note = "1 of 3 iterations of editors was dropped, because at arrival ";
    assert!(summary.notes[0].starts_with(note), "{}", summary.notes[0]);
}

/// Records a hundred operations in each phase.
fn sent_a_hundred(mut recorder: Recorder) -> Recorder {
    for seq in 0..200 {
        let event = fixtures::completion(0, seq, fixtures::read(1), fixtures::OK);
        let phase = Some(u16::from(seq >= 100));
        recorder.event(Event::Completed(CompletionEvent { phase, ..event }));
    }
    recorder
}

#[test]
fn unissued_operations_are_judged_if_the_cut_was_in_a_recorded_phase() {
    let mut recorder = sent_a_hundred(fixtures::recorder());
    let unissued = Unissued { by_limit: 2, late_ns: 11_000_000, ..Unissued::default() };
    recorder.event(Event::Unissued(unissued));
    let measurements = recorder.finish();
    let verdict = |seconds: [u64; 2]| {
        let phases = seconds.map(Duration::from_secs).to_vec();
        let summary = Summary::new(RunFacts { phases, ..fixtures::facts() }, &measurements);
        assert_eq!(summary.unissued.unwrap().by_limit, 2);
        summary.trust.verdict
    };
    assert_eq!(verdict([1, 1]), TrustVerdict::GeneratorLimited);
    let in_the_warmup = "cut in the warmup, which is not recorded";
    assert_eq!(verdict([1, 0]), TrustVerdict::NotJudged, "{in_the_warmup}");
}

#[test]
fn unissued_operations_of_a_recorded_phase_are_judged_after_a_cooldown_too() {
    let header = fixtures::layout().header.clone();
    let phase =
        |name: &str, record| Phase { name: name.into(), duration_ns: 1_000_000_000, record };
    let phases = vec![phase("steady", true), phase("cooldown", false)];
    let layout = Arc::new(Layout::new(header, phases, Duration::from_millis(10)));
    let verdict = |late_ms: u64| {
        let mut recorder = sent_a_hundred(Recorder::new(layout.clone(), Live::new(1).shard(0)));
        let late_ns = late_ms * 1_000_000;
        let unissued = Unissued { by_driver: 2, late_ns, ..Unissued::default() };
        recorder.event(Event::Unissued(unissued));
        let phases = vec![Duration::from_secs(1); 2];
        let facts = RunFacts { phases, ..fixtures::facts() };
        Summary::new(facts, &recorder.finish()).trust.verdict
    };
    assert_eq!(verdict(1_000), TrustVerdict::Valid, "it was due in the cooldown");
    assert_eq!(verdict(1_001), TrustVerdict::GeneratorLimited);
}

#[test]
fn every_reason_is_listed_once_and_the_first_decides() {
    let facts = RunFacts {
        interrupted: true,
        cut_short: true,
        exit_reasons: vec![ExitReason::Interrupted, ExitReason::Invalid],
        ..fixtures::facts()
    };
    let summary = Summary::new(facts, &fixtures::measurements());
    assert_eq!(
        summary.exit_reasons,
        [ExitReason::Invalid, ExitReason::Interrupted, ExitReason::OperationsFailed]
    );
    assert_eq!(summary.exit_code, 2);
    assert_eq!(summary.trust.verdict, TrustVerdict::Interrupted);
}

#[test]
fn a_client_that_gave_up_is_a_failure_by_itself() {
    let mut recorder = fixtures::recorder();
    recorder.event(Event::ClientFailed {
        client_idx: 1,
        measuring: true,
        reason: "no route".into(),
    });
    let summary = Summary::new(fixtures::facts(), &recorder.finish());
    assert_eq!(summary.exit_code, 4);
    let failed = summary.failed_clients.unwrap();
    assert_eq!((failed.count, failed.first[0].client.as_str()), (1, "editors/1"));
}

#[test]
fn opens_are_counted_by_what_they_were_granted_and_by_what_became_of_the_file() {
    let mut recorder = fixtures::recorder();
    let mut open = |client, action, caching, phase| {
        let mut granted = fixtures::granted(caching).unwrap();
        granted.action = action;
        let mut event = fixtures::completion(client, 0, fixtures::open(1, "a"), fixtures::OK);
        event.execution.granted = Some(granted);
        event.phase = Some(phase);
        recorder.event(Event::Completed(event));
    };
    let (opened, created) = (CreateAction::Opened, CreateAction::Created);
    open(0, created, Caching::Oplock(OplockLevel::Batch), 1);
    open(0, opened, Caching::Oplock(OplockLevel::Batch), 1);
    open(1, opened, Caching::Oplock(OplockLevel::None), 1);
    open(2, opened, Caching::Lease(LeaseState::RWH), 1);
    open(2, opened, Caching::Lease(LeaseState::NONE), 1);
    open(2, opened, Caching::Lease(LeaseState::RH), 0);
    let summary = Summary::new(fixtures::facts(), &recorder.finish());
    let figures = serde_json::to_value(&summary).unwrap();
    let granted = |at: &str| figures.pointer(&format!("{at}/operations/open/granted")).unwrap();
    let counts = serde_json::json!({ "batch": 2, "none": 1, "lease RWH": 1, "lease none": 1 });
    assert_eq!(*granted(""), counts);
    assert_eq!(*granted("/workloads/0"), serde_json::json!({ "batch": 2, "none": 1 }));
    assert_eq!(*granted("/phases/0"), serde_json::json!({ "lease RH": 1 }));
    let actions = figures.pointer("/operations/open/create_actions").unwrap();
    assert_eq!(*actions, serde_json::json!({ "created": 1, "opened": 4 }));
    assert_eq!(summary.breaks.unwrap().counts.all(), 0, "counted, and there was none");
}

#[test]
fn breaks_are_counted_once_by_kind_and_once_by_end_in_the_phase_of_their_notice() {
    let mut recorder = fixtures::recorder();
    let mut broken = |event| recorder.event(Event::Break(Box::new(event)));
    broken(fixtures::oplock_break(0, BreakEnd::Acknowledged));
    broken(fixtures::oplock_break(2, BreakEnd::Refused));
    for end in [BreakEnd::NotAsked, BreakEnd::Closed, BreakEnd::ConnectionLost, BreakEnd::Cut] {
        broken(fixtures::lease_break(1, end));
    }
    let blocked = (2, 70_000_000_000);
    let unanswered = fixtures::lease_break(2, BreakEnd::TimedOut);
    broken(BreakEvent { blocked: blocked.0, blocked_ns: blocked.1, ..unanswered });
    broken(BreakEvent { phase: Some(0), ..fixtures::lease_break(1, BreakEnd::Closed) });
    broken(BreakEvent { phase: None, ..fixtures::lease_break(1, BreakEnd::Closed) });
    broken(fixtures::lease_break(2, BreakEnd::Ignored));
    let summary = Summary::new(fixtures::facts(), &recorder.finish());

    let breaks = summary.breaks.as_ref().unwrap();
    assert_eq!((breaks.counts.oplock, breaks.counts.lease, breaks.elsewhere), (2, 6, Some(2)));
    let ends = BreakEnd::NAMES.map(|(_, end)| breaks.counts.ends[end]);
    assert_eq!((ends, ends.iter().sum::<u64>()), ([1; 8], breaks.counts.all()));
    assert_eq!(breaks.refusals, [("STATUS_INVALID_PARAMETER".to_string(), 1)].into());
    assert_eq!(breaks.waited_us.unwrap().tail.max, 1_000.0);
    // The distribution contains all breaks but the one that wanted no answer.
    assert_eq!(breaks.lasted_us.unwrap().tail.max, 2_000.0);
    assert_eq!((breaks.counts.blocked_operations, breaks.blocked_us), (2, 70_000_000.0));
    let of_workloads = summary.workloads.iter().map(|it| it.breaks.as_ref().unwrap().counts.all());
    assert_eq!(of_workloads.collect::<Vec<_>>(), [5, 3]);
    assert_eq!(summary.phases[0].breaks.as_ref().unwrap().counts.ends[BreakEnd::Closed], 1);
    let gives_up = "After 35 s without an answer a server revokes what it granted";
    assert!(summary.notes[0].contains(gives_up), "{:?}", summary.notes);
    assert!(summary.notes[0].starts_with("1 break was not answered, as `on_break` says."));
    assert!(summary.notes[1].starts_with("1 break was not answered in time: "));
}
