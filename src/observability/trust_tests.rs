//! Tests of what a run must show to be trusted.

use std::time::Duration;

use super::delays::Delays;
use super::metrics::PhaseStats;
use super::trust::*;
use crate::ir::event::Unissued;

const MS: u64 = 1_000_000;

/// Returns `sent` operations with a lateness of 0, `late` of them beyond the bound.
fn phase(sent: u64, late: u64) -> PhaseStats {
    let mut phase = PhaseStats { late, ..PhaseStats::default() };
    (0..sent).for_each(|_| phase.lateness.record(0));
    phase
}

/// Returns a hundred operations that were all 20 ms late, with the milliseconds of it that were
/// waits for the limit and for the stream.
fn all_late(by_limit: u64, by_generation: u64) -> PhaseStats {
    let mut phase = PhaseStats { late: 100, ..PhaseStats::default() };
    (0..100).for_each(|_| phase.lateness.record(20 * MS));
    phase.late_by_limit_ns = u128::from(by_limit * MS);
    phase.late_by_generation_ns = u128::from(by_generation * MS);
    phase
}

fn of(recorded: &PhaseStats) -> Evidence<'_> {
    Evidence {
        recorded,
        recorded_for: Duration::from_secs(10),
        unissued: Unissued::default(),
        late_bound_ns: 10 * MS,
        instant: false,
        cut_short: false,
        limit: None,
        server_in_process: false,
        processors: None,
        generators: 1,
        script: true,
        hook_events: HookEvents::default(),
    }
}

fn verdict(phase: &PhaseStats) -> TrustVerdict {
    judge(&of(phase)).verdict
}

/// Returns the use of four cores, of which this process used `used`.
fn used(used: f64) -> Processors {
    Processors { cores: 4, used, ..Processors::default() }
}

/// Returns the cause of a hundred late operations, and the sentence about it.
fn cause(recorded: &PhaseStats, evidence: Evidence<'_>) -> (Cause, String) {
    let mut trust = judge(&Evidence { recorded, ..evidence });
    assert_eq!((trust.verdict, trust.reasons.len()), (TrustVerdict::GeneratorLimited, 2));
    (trust.cause.unwrap(), trust.reasons.remove(1))
}

#[test]
fn one_percent_late_is_trusted_and_more_is_not() {
    assert_eq!(verdict(&phase(1_000, 10)), TrustVerdict::Valid);
    let trust = judge(&of(&phase(1_000, 11)));
    assert_eq!(trust.verdict, TrustVerdict::GeneratorLimited);
    assert_eq!(
        trust.reasons[0],
        "1.1 % of operations (11 of 1000) were issued more than 10 ms late by the generator; 1 % is the most that can be trusted"
    );
}

#[test]
fn a_closed_loop_is_trusted_up_to_a_tenth_of_the_service_time() {
    let closed = |closed_lateness_ns| PhaseStats {
        closed_lateness_ns,
        closed_cycle_ns: 1_000,
        ..phase(100, 0)
    };
    assert_eq!(verdict(&closed(100)), TrustVerdict::Valid);
    assert_eq!(verdict(&closed(101)), TrustVerdict::GeneratorLimited);
    let instant = judge(&Evidence { instant: true, ..of(&closed(101)) });
    assert_eq!(instant.verdict, TrustVerdict::Valid);
}

#[test]
fn clients_that_are_behind_are_trusted_up_to_a_tenth_of_their_service_time() {
    let behind = |behind, behind_lateness_ns| PhaseStats {
        behind,
        behind_lateness_ns,
        behind_service_ns: 1_000,
        ..phase(1_000, 0)
    };
    assert_eq!(verdict(&behind(11, 100)), TrustVerdict::Valid);
    assert_eq!(verdict(&behind(10, 101)), TrustVerdict::Valid, "a few tell nothing");
    assert_eq!(verdict(&behind(11, 101)), TrustVerdict::GeneratorLimited);
    let instant = judge(&Evidence { instant: true, ..of(&behind(11, 101)) });
    assert_eq!(instant.verdict, TrustVerdict::Valid);
}

#[test]
fn one_percent_left_unissued_is_trusted_and_more_is_not() {
    let recorded = phase(990, 0);
    let left = |by_driver, late_ns| {
        let unissued = Unissued { by_driver, late_ns, ..Unissued::default() };
        judge(&Evidence { unissued, ..of(&recorded) })
    };
    assert_eq!(left(10, 11 * MS).verdict, TrustVerdict::Valid);
    let trust = left(11, 11 * MS);
    assert_eq!(trust.verdict, TrustVerdict::GeneratorLimited);
    assert_eq!(
        trust.reasons[0],
        "at least 1.1 % of the operations that were due by the end (11 of 1001) were not issued, though their clients were free; 1 % is the most that can be trusted"
    );
    assert_eq!(left(11, 10 * MS).verdict, TrustVerdict::Valid, "none was late yet");
}

#[test]
fn waiting_for_a_slow_server_is_no_fault_of_the_generator() {
    let mut recorded = phase(100, 0);
    (0..10).for_each(|_| recorded.backlog.record(5_000 * MS));
    let unissued = Unissued { by_backlog: 1_000, backlog_ns: 5_000 * MS, ..Unissued::default() };
    let trust = judge(&Evidence { unissued, ..of(&recorded) });
    assert_eq!((trust.verdict, trust.cause), (TrustVerdict::Valid, None));
    assert_eq!(trust.reasons, [""; 0]);
}

#[test]
fn a_limit_most_of_the_delay_waited_for_is_the_cause_whatever_the_processors_did() {
    let recorded = all_late(1_500, 400);
    let evidence = Evidence { limit: Some(7), processors: Some(used(4.0)), ..of(&recorded) };
    assert_eq!(
        cause(&recorded, evidence),
        (
            Cause::Limit,
            "likely cause: --limit 7: 75 % of the delay was spent waiting for a permit".into()
        )
    );
}

#[test]
fn a_stream_most_of_the_delay_waited_for_is_the_cause() {
    let recorded = all_late(400, 1_400);
    let text = "likely cause: the stream: 70 % of the delay was spent waiting for operations that were not generated yet; one thread generates them all (--generators)";
    let evidence = Evidence { processors: Some(used(1.4)), ..of(&recorded) };
    assert_eq!(cause(&recorded, evidence), (Cause::Generation, text.into()));
    let evidence = Evidence { processors: Some(used(3.9)), ..of(&recorded) };
    let more = format!("{text}, and this process used 3.9 of 4 cores");
    assert_eq!(cause(&recorded, evidence), (Cause::Generation, more));
    for (script, generators, reported) in [
        (true, 3, "3 threads generate them (--generators)"),
        (false, 1, "one thread reads them all from the document"),
    ] {
        let evidence = Evidence { script, generators, ..of(&recorded) };
        let (_, text) = cause(&recorded, evidence);
        assert!(text.ends_with(&format!("not generated yet; {reported}")), "{text}");
    }
}

#[test]
fn near_the_core_count_the_processors_are_the_cause_and_below_the_host() {
    let recorded = all_late(500, 500);
    let at = |used_cores| {
        let processors = Some(used(used_cores));
        cause(&recorded, Evidence { processors, server_in_process: true, ..of(&recorded) })
    };
    assert_eq!(
        at(3.4),
        (
            Cause::Cpu,
            "likely cause: the processors: this process, the server included, used 3.4 of 4 cores"
                .into()
        )
    );
    assert_eq!(at(3.39).0, Cause::Host);
}

#[test]
fn a_thread_that_has_no_time_left_is_named_though_other_cores_are_free() {
    let recorded = all_late(0, 0);
    let processors = Some(Processors { busiest_shard: Some(0.96), ..used(1.2) });
    assert_eq!(
        cause(&recorded, Evidence { processors, ..of(&recorded) }),
        (
            Cause::Cpu,
            "likely cause: the processors: a thread that issues operations was busy 96 % of the time, while this process used 1.2 of 4 cores; --shards sets how many such threads there are".into()
        )
    );
}

#[test]
fn a_host_that_is_busy_with_other_things_is_the_cause_with_figures() {
    let recorded = all_late(0, 0);
    let with = |others, stolen| {
        let host = Some(HostProcessors { cores: 4, others, stolen });
        let processors = Some(Processors { host, busiest_shard: Some(0.5), ..used(0.6) });
        cause(&recorded, Evidence { processors, ..of(&recorded) })
    };
    assert_eq!(
        with(2.9, 0.5),
        (
            Cause::Host,
            "likely cause: the host: this process used 0.6 of 4 cores, other processes 2.9 of the host's 4, and the hypervisor gave 0.5 to other virtual machines".into()
        )
    );
    let (_, idle) = with(0.2, 0.0);
    assert_eq!(
        idle,
        "likely cause: the host: this process used 0.6 of 4 cores, other processes 0.2 of the host's 4; on average that leaves some free, so look for stalls: paging, power saving, a virtual machine that is paused"
    );
    let unknown = cause(&recorded, of(&recorded));
    assert_eq!(
        unknown,
        (
            Cause::Host,
            "likely cause: the host: the delay was waiting for neither --limit nor the stream"
                .into()
        )
    );
}

#[test]
fn unissued_operations_name_their_cause_if_nothing_was_issued_late() {
    let recorded = phase(100, 0);
    let unissued = Unissued {
        by_limit: 60,
        by_generation: 20,
        by_driver: 20,
        late_ns: 1_000 * MS,
        ..Unissued::default()
    };
    let evidence = Evidence { unissued, limit: Some(1), ..of(&recorded) };
    assert_eq!(
        cause(&recorded, evidence),
        (
            Cause::Limit,
            "likely cause: --limit 1: 60 % of the unissued operations waited for a permit".into()
        )
    );
}

#[test]
fn lateness_is_reported_by_cause_in_a_valid_run_too() {
    let mut recorded = phase(1_000, 0);
    recorded.lateness.record(9 * MS);
    (recorded.late_by_limit_ns, recorded.late_by_generation_ns) = (2_000_000, 4_000_000);
    let trust = judge(&Evidence { processors: Some(used(0.123_45)), ..of(&recorded) });
    assert_eq!(trust.verdict, TrustVerdict::Valid);
    let parts = LatenessByCause { limit: 2_000.0, generation: 4_000.0, other: 3_000.0 };
    assert_eq!(trust.lateness_by_cause_us, parts);
    assert_eq!((trust.cpu_cores_used, trust.cpu_cores), (Some(0.123), Some(4)));
}

#[test]
fn an_instant_backend_is_still_asked_for_its_late_operations() {
    let trust = judge(&Evidence { instant: true, ..of(&phase(100, 2)) });
    assert_eq!(trust.verdict, TrustVerdict::GeneratorLimited);
}

#[test]
fn a_late_generator_weighs_more_than_an_interruption_and_both_are_reported() {
    let trust = judge(&Evidence { cut_short: true, ..of(&phase(100, 2)) });
    assert_eq!(trust.verdict, TrustVerdict::GeneratorLimited);
    assert_eq!(trust.reasons.last().unwrap(), "the run was cut short");
    let trust = judge(&Evidence { cut_short: true, ..of(&phase(100, 0)) });
    assert_eq!(trust.verdict, TrustVerdict::Interrupted);
}

#[test]
fn a_single_event_dropped_before_a_hook_is_reported_and_weighs_more_than_a_cut() {
    let recorded = phase(100, 0);
    let with = |dropped, cut_short| {
        let hook_events = HookEvents { delivered: 9, dropped };
        judge(&Evidence { hook_events, cut_short, ..of(&recorded) })
    };
    assert_eq!(with(0, false).verdict, TrustVerdict::Valid);
    let trust = with(1, true);
    assert_eq!(trust.verdict, TrustVerdict::HooksDropped);
    assert_eq!(
        trust.reasons[0],
        "1 of 10 events for hooks (10.0 %) was dropped: hooks and their metrics did not see every operation; all other results include every operation"
    );
    let late = phase(100, 2);
    let late = Evidence { hook_events: trust.hook_events, ..of(&late) };
    assert_eq!(judge(&late).verdict, TrustVerdict::GeneratorLimited);
}

#[test]
fn a_run_that_sent_nothing_says_so() {
    let trust = judge(&of(&PhaseStats::default()));
    assert_eq!(trust.verdict, TrustVerdict::NothingRecorded);
    assert_eq!(trust.reasons, ["no operation was sent in a recorded phase"]);
}

#[test]
fn a_run_with_too_few_operations_is_not_judged() {
    let judged = |sent, recorded_for| {
        let recorded = phase(sent, sent);
        judge(&Evidence { recorded_for, ..of(&recorded) })
    };
    let second = Duration::from_secs(1);
    assert_eq!(judged(100, second).verdict, TrustVerdict::GeneratorLimited);
    let few = judged(99, second);
    assert_eq!(few.verdict, TrustVerdict::NotJudged);
    assert_eq!(
        few.reasons,
        [
            "too little was recorded to judge the generator: 99 operations in 1.0 s; at least 100 operations and 1 s are needed"
        ]
    );
    let short = judged(5_000, second - Duration::from_millis(1));
    assert_eq!((short.verdict, short.cause), (TrustVerdict::NotJudged, None));
}

#[test]
fn an_interruption_and_dropped_events_are_reported_of_a_run_that_is_not_judged() {
    let recorded = phase(5, 0);
    let cut = judge(&Evidence { cut_short: true, ..of(&recorded) });
    assert_eq!(cut.verdict, TrustVerdict::Interrupted);
    let hook_events = HookEvents { delivered: 4, dropped: 1 };
    let dropped = judge(&Evidence { hook_events, ..of(&recorded) });
    assert_eq!(dropped.verdict, TrustVerdict::HooksDropped);
}

/// Returns a thousand operations of 2 ms, each delayed by the generator by `delays(index)`.
fn delayed(delays: impl Fn(u64) -> u64) -> Delays {
    let mut delayed = Delays::default();
    (0..1_000).for_each(|index| delayed.record(delays(index), 2 * MS, 10 * MS));
    delayed
}

#[test]
fn one_percent_of_answers_may_wait_and_more_may_not() {
    let waited = |late| {
        let pickup = delayed(|index| if index < late { 11 * MS } else { 0 });
        judge(&of(&PhaseStats { pickup, ..phase(1_000, 0) }))
    };
    assert_eq!(waited(10).verdict, TrustVerdict::Valid);
    let trust = waited(11);
    assert_eq!(trust.verdict, TrustVerdict::GeneratorLimited);
    assert_eq!(
        trust.reasons[0],
        "1.1 % of answers (11 of 1000) waited more than 10 ms for smbench to pick them up; 1 % is the most that can be trusted"
    );
}

#[test]
fn the_parts_of_delays_above_a_millisecond_may_be_a_tenth_of_the_time() {
    let waited = |ns| {
        let pickup = delayed(|_| ns);
        judge(&of(&PhaseStats { pickup, ..phase(1_000, 0) }))
    };
    assert_eq!(
        waited(MS).verdict,
        TrustVerdict::Valid,
        "half of the service time, each below 1 ms"
    );
    assert_eq!(waited(MS + MS / 5).verdict, TrustVerdict::Valid);
    let trust = waited(MS + MS / 5 + 1);
    assert_eq!(trust.verdict, TrustVerdict::GeneratorLimited);
    assert_eq!(
        trust.reasons[0],
        "the waits of answers for smbench to pick them up, as far as they are above 1 ms, add up to 10.00005 % of service and think time; 10 % is the most that can be trusted"
    );
    let handoff = delayed(|_| MS + MS / 5 + 1);
    let trust = judge(&of(&PhaseStats { handoff, ..phase(1_000, 0) }));
    assert_eq!(trust.verdict, TrustVerdict::GeneratorLimited);
    assert!(trust.reasons[0].starts_with("the waits of requests for smbench to send them"));
}

/// Returns heartbeats over 3 s, each late by `late_ns`.
fn heartbeats(late_ns: u64) -> Delays {
    let mut heartbeat = Delays::default();
    (0..300).for_each(|_| heartbeat.record_heartbeat(late_ns, 10 * MS, 10 * MS));
    heartbeat
}

#[test]
fn short_delays_of_heartbeats_are_judged_only_where_answers_have_no_timestamps() {
    let blind = PhaseStats { heartbeat: heartbeats(3 * MS), ..phase(1_000, 0) };
    let trust = judge(&of(&blind));
    assert_eq!(trust.verdict, TrustVerdict::GeneratorLimited);
    assert_eq!(
        trust.reasons[0],
        "the threads that issue operations were held up for 15.4 % of the time (parts above 1 ms) and more than 10 ms at 0.0 % of their heartbeats; 10 % and 1 % are the most that can be trusted"
    );
    let seeing = PhaseStats { pickup: delayed(|_| 0), ..blind };
    assert_eq!(judge(&of(&seeing)).verdict, TrustVerdict::Valid);
}

#[test]
fn threads_that_stood_still_are_judged_whatever_the_answers_say() {
    let mut heartbeat = heartbeats(0);
    heartbeat.record_heartbeat(300 * MS, 10 * MS, 10 * MS);
    let stopped = |heartbeat: &Delays| {
        let (heartbeat, pickup) = (heartbeat.clone(), delayed(|_| 0));
        judge(&of(&PhaseStats { heartbeat, pickup, ..phase(1_000, 0) }))
    };
    assert_eq!(stopped(&heartbeat).verdict, TrustVerdict::Valid);
    heartbeat.record_heartbeat(100 * MS, 10 * MS, 10 * MS);
    let trust = stopped(&heartbeat);
    assert_eq!(trust.verdict, TrustVerdict::GeneratorLimited);
    assert_eq!(
        trust.reasons[0],
        "the threads that issue operations stood still for 11.7 % of the time, more than 10 ms each time; 10 % is the most that can be trusted"
    );
}

#[test]
fn a_cause_from_outside_is_named() {
    let recorded = all_late(0, 0);
    let of_processors =
        |processors| cause(&recorded, Evidence { processors: Some(processors), ..of(&recorded) });
    let throttled = Processors { throttled: Some(0.9), ..used(0.1) };
    assert_eq!(
        of_processors(throttled),
        (
            Cause::Throttled,
            "likely cause: the limit on processor time of this process's cgroup (a container's): it was throttled in 90 % of its periods, while this process used 0.1 of 4 cores".into()
        )
    );
    let stopped = Processors { continued: 1, throttled: Some(0.0), ..used(0.1) };
    assert_eq!(
        of_processors(stopped),
        (
            Cause::Stopped,
            "likely cause: this process was stopped and continued once (SIGSTOP, SIGCONT)".into()
        )
    );
    let host = Some(HostProcessors { cores: 4, others: 3.7, stolen: 0.0 });
    let crowded = Processors { longest_wait: Some(0.6), host, ..used(0.3) };
    assert_eq!(
        of_processors(crowded),
        (
            Cause::Others,
            "likely cause: other programs: a thread that issues operations waited for a processor 60 % of the time, while this process used 0.3 of 4 cores, other processes 3.7 of the host's 4".into()
        )
    );
}
