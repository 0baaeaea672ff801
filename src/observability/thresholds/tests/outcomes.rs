use super::super::super::exit::ExitReason;
use super::super::super::summary::{RunFacts, Summary};
use super::super::watch::Watch;
use super::*;
use crate::ir::event::Disconnection;
use crate::ir::{CompletionEvent, Event, EventSink, Section};
use crate::protocol::NtStatus;

fn of(expression: &str, phase: Option<&str>, workload: Option<&str>) -> Threshold {
    let (phase, workload) = (phase.map(String::from), workload.map(String::from));
    Threshold { phase, workload, ..threshold(expression) }
}

fn after(expression: &str, seconds: u64) -> Threshold {
    Threshold { abort_after: Some(Duration::from_secs(seconds)), ..threshold(expression) }
}

#[test]
fn every_metric_has_its_value_over_the_recorded_phases() {
    // 2 opens, 1,001 reads and a close in two seconds, of which an open and a
    // read failed; 10 µs to 10 ms in steps of 10 µs.
    let measurements = fixtures::measurements();
    for (text, value) in [
        ("read.count > 0", 1_001.0),
        ("all.count > 0", 1_004.0),
        ("write.count == 0", 0.0),
        ("read.rate > 0", 500.5),
        ("all.rate > 0", 502.0),
        ("open.failed < 2", 1.0),
        ("all.failed < 3", 2.0),
        ("read.response.min > 0", 10_000.0),
        ("read.service.max > 0", 10_000_000.0),
        ("read.response.mean > 0", 5_000_999.000999001),
        ("open.response.p50 > 0", 1_000_000.0),
        ("open.service.p999 > 0", 1_000_000.0),
        ("iterations.count > 0", 2.0),
        ("iterations.rate > 0", 1.0),
        ("iterations.late < 2", 1.0),
        ("iterations.dropped < 2", 1.0),
        ("iterations.cut < 2", 1.0),
        ("iterations.service.max > 0", 20_000_000.0),
        ("iterations.response.min > 0", 15_000_000.0),
        ("step.save.count > 0", 2.0),
        ("step.save.rate > 0", 1.0),
        ("step.save.failed < 2", 1.0),
        ("step.save.skipped == 0", 0.0),
        ("step.close.cut == 1", 1.0),
        ("step.save.response.max > 0", 1_000_000.0),
        ("errors.count < 3", 2.0),
        ("errors.rate < 1%", 2.0 / 1_004.0),
        ("errors.SHARING_VIOLATION < 2", 1.0),
        ("errors.CONNECTION_LOST < 2", 1.0),
        ("errors.ACCESS_DENIED == 0", 0.0),
        ("lateness.max == 0", 0.0),
        ("backlog.p99 == 0", 0.0),
        ("breaks.count < 5", 4.0),
        ("breaks.oplock < 3", 2.0),
        ("breaks.lease < 3", 2.0),
        ("breaks.acknowledged >= 1", 1.0),
        ("breaks.refused < 2", 1.0),
        ("breaks.timed_out < 2", 1.0),
        ("breaks.not_asked == 1", 1.0),
        ("breaks.ignored == 0", 0.0),
        ("breaks.closed == 0", 0.0),
        ("breaks.connection_lost == 0", 0.0),
        ("breaks.cut == 0", 0.0),
        ("open.granted.batch == 1", 1.0),
        ("open.granted.RWH == 0", 0.0),
        ("open.create_action.opened == 1", 1.0),
        ("open.create_action.created == 0", 0.0),
        ("breaks.blocked < 4", 3.0),
        ("breaks.waited.max < 35s", 3_000_000.0),
        ("breaks.lasted.max < 35s", 4_000_000.0),
        ("bytes.read.count > 0", 4_096_000.0),
        ("bytes.read.rate > 0", 2_048_000.0),
        ("bytes.written.count == 0", 0.0),
        ("app.saves.count > 0", 300.0),
        ("app.saves.rate > 0", 150.0),
        ("app.queue.value > -3", -2.0),
        ("app.hits.rate > 20%", 0.25),
    ] {
        let outcome = outcome(threshold(text), &measurements);
        assert_eq!((outcome.value, outcome.pass), (Some(value), true), "{text}");
    }
    for (text, exact_us) in [("read.response.p90 > 0", 9_000.0), ("all.response.p99 > 0", 9_900.0)]
    {
        let us = outcome(threshold(text), &measurements).summary().value.unwrap();
        assert!((us - exact_us).abs() <= exact_us / 500.0, "{text}: {us}");
    }
}

#[test]
fn a_threshold_of_a_phase_or_a_workload_is_about_that_alone() {
    let measurements = fixtures::measurements();
    let value = |text, phase, workload| outcome(of(text, phase, workload), &measurements).value;
    assert_eq!(value("read.count > 0", Some("warmup"), None), Some(1.0));
    assert_eq!(value("read.rate > 0", Some("warmup"), None), Some(1.0));
    assert_eq!(value("read.count > 0", None, Some("readers")), Some(333.0));
    assert_eq!(value("read.count > 0", None, Some("editors")), Some(668.0));
    assert_eq!(value("errors.rate < 1%", Some("steady"), Some("readers")), Some(0.0));
    assert_eq!(value("errors.count < 9", Some("steady"), Some("editors")), Some(2.0));
    assert_eq!(value("iterations.count > 0", None, Some("readers")), None);
    assert_eq!(value("lateness.p50 < 1s", Some("warmup"), None), Some(0.0));
}

#[test]
fn a_threshold_on_an_unmeasured_value_fails_as_no_samples() {
    let nothing = Measurements::new(fixtures::layout());
    let measurements = fixtures::measurements();
    for (text, measurements) in [
        ("read.response.p99 < 1h", &nothing),
        ("read.count == 0", &nothing),
        ("errors.rate < 1%", &nothing),
        ("lateness.p99 < 1h", &nothing),
        ("iterations.dropped == 0", &nothing),
        ("write.response.p99 < 1h", &measurements),
        ("step.save.response.p99 < 1h", &nothing),
        ("step.never.failed == 0", &measurements),
        // It was cut, so it has no time.
        ("step.close.response.p99 < 1h", &measurements),
        // It happened in setup only.
        ("step.prepare.count > 0", &measurements),
        ("write.failed == 0", &measurements),
        ("app.sizes.max < 1GiB", &measurements),
        ("app.save_latency.max < 1h", &measurements),
    ] {
        let outcome = outcome(threshold(text), measurements);
        assert_eq!((outcome.value, outcome.pass), (None, false), "{text}");
        assert_eq!(outcome.reason.as_deref(), Some("no samples"), "{text}");
    }
    let gone = outcome(of("read.count > 0", Some("peak"), None), &measurements);
    assert_eq!(gone.reason.as_deref(), Some("no samples: the run has no phase peak"));
}

#[test]
fn a_threshold_ends_a_run_after_its_delay_with_a_hundred_samples_and_not_before() {
    let threshold = after("read.response.p99 < 20ms", 5);
    let (slow, seconds) = (21e6, Duration::from_secs);
    assert!(threshold.ends_run(slow, 100, seconds(5)));
    assert!(!threshold.ends_run(slow, 99, seconds(60)), "too few samples");
    assert!(!threshold.ends_run(slow, 1_000_000, Duration::from_millis(4_999)), "too early");
    assert!(!threshold.ends_run(19e6, 1_000_000, seconds(60)), "it holds");
    let only_judged = Threshold { abort_after: None, ..threshold };
    assert!(!only_judged.ends_run(slow, 100, seconds(60)));
}

#[test]
fn a_count_that_may_still_grow_ends_no_run() {
    let ends = |text, value| after(text, 0).ends_run(value, 100, Duration::ZERO);
    assert!(!ends("read.count > 1000", 10.0) && !ends("read.count >= 1000", 10.0));
    assert!(!ends("bytes.read.count >= 1GiB", 10.0));
    assert!(!ends("read.count == 1000", 10.0) && ends("read.count == 1000", 1_001.0));
    assert!(!ends("read.count != 10", 10.0));
    assert!(ends("errors.count == 0", 1.0) && ends("errors.count <= 5", 6.0));
    assert!(ends("read.rate > 1000", 10.0), "a rate is not waited for");
}

fn read(ms: u64, phase: u16, client: u32) -> CompletionEvent {
    let mut event = fixtures::completion(client, 0, fixtures::read(1), fixtures::OK);
    event.times.completed_ns = event.times.issued_ns + ms * 1_000_000;
    CompletionEvent { phase: Some(phase), ..event }
}

#[test]
fn a_watch_hears_shards_that_were_asked_and_adds_up_what_they_say() {
    let thresholds = [
        threshold("read.count > 5"),
        after("read.response.p50 < 20ms", 1),
        after("all.failed == 0", 1),
    ];
    let mut watch = Watch::new(&thresholds, fixtures::layout(), 2).unwrap();
    let shards = [watch.shard(0).unwrap(), watch.shard(1).unwrap()];
    let mut recorders = [fixtures::recorder(), fixtures::recorder()];
    let phases = |recorded: u64| [Duration::from_secs(1), Duration::from_secs(recorded)];
    let mut record = |shard: usize, count: usize, ms, phase| {
        for _ in 0..count {
            recorders[shard].event(Event::Completed(read(ms, phase, 0)));
            shards[shard].after_event(recorders[shard].measurements());
        }
    };
    record(0, 60, 30, 1);
    assert_eq!(watch.failing(&phases(9), &custom), [], "nobody was asked");
    watch.ask();
    record(0, 1, 30, 1);
    record(0, 500, 30, 1);
    assert_eq!(watch.failing(&phases(9), &custom), [], "61 samples, as nobody was asked again");
    watch.ask();
    record(1, 200, 30, 0);
    assert_eq!(watch.failing(&phases(9), &custom), [], "a warmup does not count");
    watch.ask();
    record(1, 39, 30, 1);
    assert_eq!(watch.failing(&phases(9), &custom), [], "61 and one that were heard of");
    watch.ask();
    record(1, 1, 30, 1);
    assert_eq!(watch.failing(&phases(0), &custom), [], "the delay has not passed");
    let failing = watch.failing(&phases(1), &custom);
    assert_eq!(failing.len(), 1);
    assert_eq!(failing[0].threshold, thresholds[1]);
    assert!((failing[0].value.unwrap() - 30e6).abs() < 30e3 && !failing[0].pass);
    assert!(Watch::new(&thresholds[..1], fixtures::layout(), 2).is_none(), "none may end the run");
}

#[test]
fn a_watch_adds_up_the_time_without_a_connection() {
    let thresholds = [after("disconnected.client_seconds < 3", 0)];
    let mut watch = Watch::new(&thresholds, fixtures::layout(), 2).unwrap();
    watch.ask();
    for shard in 0..2 {
        let mut recorder = fixtures::recorder();
        let (from_ns, to_ns) = (1_000_000_000, 3_000_000_000);
        recorder.event(Event::Disconnected(Disconnection {
            client_idx: shard as u32,
            phase: Some(1),
            lost_ns: from_ns,
            from_ns,
            to_ns,
        }));
        (0..50).for_each(|_| recorder.event(Event::Completed(read(1, 1, 0))));
        watch.shard(shard).unwrap().after_event(recorder.measurements());
    }
    let failing = watch.failing(&[Duration::from_secs(5); 2], &custom);
    assert_eq!(failing[0].value, Some(4.0));
}

fn reasons(thresholds: &[Threshold], events: impl IntoIterator<Item = Event>) -> Vec<ExitReason> {
    let mut recorder = fixtures::recorder();
    events.into_iter().for_each(|event| recorder.event(event));
    let measurements = recorder.finish();
    let thresholds = outcomes(thresholds, &measurements, &PHASES, &custom);
    let facts = RunFacts { thresholds, ..fixtures::facts() };
    Summary::new(facts, &measurements).exit_reasons
}

/// Returns the event of an editor's delete that was denied.
fn denied(phase: u16) -> Event {
    let status = fixtures::failed(NtStatus::ACCESS_DENIED);
    let event = fixtures::completion(0, 0, fixtures::delete("a"), status);
    Event::Completed(CompletionEvent { phase: Some(phase), ..event })
}

#[test]
fn a_passing_threshold_on_errors_decides_for_the_failures_it_counts() {
    use ExitReason::{OperationsFailed, ThresholdsFailed};
    let fine = || [denied(1), Event::Completed(read(1, 1, 0))];
    let cases: [(Vec<Threshold>, Vec<ExitReason>); 9] = [
        (vec![], vec![OperationsFailed]),
        (vec![threshold("errors.rate <= 50%")], vec![]),
        (vec![threshold("errors.count < 2")], vec![]),
        (vec![threshold("errors.ACCESS_DENIED < 2")], vec![]),
        (vec![threshold("errors.DISK_FULL == 0")], vec![OperationsFailed]),
        (vec![of("errors.count < 2", Some("steady"), Some("editors"))], vec![]),
        (vec![threshold("read.count > 0")], vec![OperationsFailed]),
        (vec![threshold("errors.rate < 1%")], vec![ThresholdsFailed, OperationsFailed]),
        (vec![threshold("errors.count < 2"), threshold("read.count > 5")], vec![ThresholdsFailed]),
    ];
    for (thresholds, expected) in cases {
        assert_eq!(reasons(&thresholds, fine()), expected, "{thresholds:?}");
    }
    let allowing = [threshold("errors.rate < 90%")];
    assert_eq!(reasons(&allowing, [denied(0), denied(1), Event::Completed(read(1, 1, 0))]), []);
    let steady = [of("errors.rate < 90%", Some("steady"), None)];
    let in_warmup = [denied(0), Event::Completed(read(1, 1, 0))];
    assert_eq!(reasons(&steady, in_warmup), [OperationsFailed], "another phase's failures");
}

#[test]
fn no_threshold_excuses_setup_or_a_client_that_gave_up() {
    let allowing = [threshold("errors.rate < 90%")];
    let Event::Completed(event) = denied(1) else { unreachable!() };
    let setup = [fixtures::in_section(event, Section::Setup), Event::Completed(read(1, 1, 0))];
    assert_eq!(reasons(&allowing, setup), [ExitReason::OperationsFailed]);
    let gone = Event::ClientFailed { client_idx: 0, measuring: true, reason: "no route".into() };
    let gave_up = [gone, Event::Completed(read(1, 1, 0))];
    assert_eq!(reasons(&allowing, gave_up), [ExitReason::OperationsFailed]);
}
