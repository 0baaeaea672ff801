//! Tests of breaks as one client sees them.

use super::break_fixture::{
    CloseAll, Operate, Play, Silence, after_ms, close, lease_to, lose, open, open_as, path, read,
    stat, to_ii,
};
use crate::ir::{OperationKind, PathOperation};
use crate::protocol::{BreakAnswer, BreakPolicy, LeaseState, NtStatus};

const IGNORE: BreakPolicy = BreakPolicy { answer: BreakAnswer::Ignore, delay_ns: 0, flush: false };

#[test]
fn a_break_is_answered_while_an_operation_is_in_flight() {
    let seen =
        Play::default().seen(vec![(0, 0, open("batch")), (20, 0, read(0)), (22, 0, to_ii(1))]);
    assert_eq!(
        seen,
        [
            "0 open batch",
            "10 client 0: opened",
            "20 read",
            "22 break",
            "22 acknowledge II",
            "23 client 0: break from 22 is Acknowledged, 0 waited 0 ms",
            "30 client 0: done",
        ]
    );
}

#[test]
fn an_operation_on_the_handle_waits_for_the_acknowledgement_and_then_goes() {
    for by_file in [false, true] {
        let play = Play { on_break: after_ms(20), by_file, ..Play::default() };
        let seen = play.seen(vec![(0, 0, open("batch")), (20, 0, to_ii(1)), (25, 0, read(0))]);
        assert_eq!(
            seen[2..],
            [
                "20 break",
                "25 client 0: blocked",
                "40 acknowledge II",
                "41 client 0: break from 20 is Acknowledged, 1 waited 16 ms",
                "41 client 0: goes on from 41",
                "41 read",
                "51 client 0: done",
            ]
        );
    }
}

#[test]
fn a_close_is_never_blocked_and_ends_the_break_without_an_answer() {
    let play = Play { on_break: after_ms(15), ..Play::default() };
    let seen = play.seen(vec![(0, 0, open("batch")), (20, 0, to_ii(1)), (30, 0, close(0))]);
    assert_eq!(
        seen[2..],
        [
            "20 break",
            "30 close",
            "40 client 0: break from 20 is Closed, 0 waited 0 ms",
            "40 client 0: done",
        ]
    );
}

#[test]
fn a_lease_is_closed_with_its_last_open() {
    let steps = || {
        vec![
            (0, 0, open("rwh")),
            (15, 0, open_as("rwh", 1, None)),
            (30, 0, lease_to(LeaseState::RH, true)),
            (31, 0, close(0)),
        ]
    };
    let play = Play { on_break: after_ms(30), ..Play::default() };
    let mut blocked = steps();
    blocked.push((45, 0, read(1)));
    assert_eq!(
        play.seen(blocked)[5..],
        [
            "31 close",
            "41 client 0: done",
            "45 client 0: blocked",
            "60 acknowledge RH",
            "61 client 0: break from 30 is Acknowledged, 1 waited 16 ms",
            "61 client 0: goes on from 61",
            "61 read",
            "71 client 0: done",
        ]
    );
    let mut closed = steps();
    closed.push((45, 0, close(1)));
    assert_eq!(
        play.seen(closed)[7..],
        ["45 close", "55 client 0: break from 30 is Closed, 0 waited 0 ms", "55 client 0: done",]
    );
}

#[test]
fn a_break_that_is_ignored_ends_when_the_server_gives_up() {
    let play = Play { on_break: IGNORE, ends_ms: 40_000, ..Play::default() };
    let seen = play.seen(vec![(0, 0, open("batch")), (20, 0, to_ii(1)), (25, 0, read(0))]);
    assert_eq!(
        seen[4..],
        [
            "35020 client 0: break from 20 is Ignored, 1 waited 34995 ms",
            "35020 client 0: goes on from 35020",
            "35020 read",
            "35030 client 0: done",
        ]
    );
}

#[test]
fn an_opens_own_policy_goes_before_its_workloads() {
    let play = Play { on_break: IGNORE, ..Play::default() };
    let own = Some(BreakPolicy::default());
    let seen = play.seen(vec![(0, 0, open_as("batch", 0, own)), (20, 0, to_ii(1))]);
    assert_eq!(seen[3], "20 acknowledge II");
}

#[test]
fn of_a_leases_opens_the_last_opened_decides_as_long_as_it_is_open() {
    let steps = |end| {
        vec![
            (0, 0, open("rwh")),
            (15, 0, open_as("rwh", 1, Some(IGNORE))),
            (30, 0, lease_to(LeaseState::RH, true)),
            (50, 0, end),
        ]
    };
    let seen = Play::default().seen(steps(close(1)));
    assert_eq!(
        seen[4..],
        [
            "30 break",
            "50 close",
            "50 acknowledge RH",
            "51 client 0: break from 30 is Acknowledged, 0 waited 0 ms",
            "60 client 0: done",
        ],
        "who ignored it is gone"
    );
    let seen = Play::default().seen(steps(close(0)));
    assert_eq!(seen[4..7], ["30 break", "50 close", "60 client 0: done"]);
    let seen = Play { on_break: IGNORE, ..Play::default() }.seen(vec![
        (0, 0, open("rwh")),
        (15, 0, open_as("rwh", 1, Some(BreakPolicy::default()))),
        (30, 0, close(1)),
        (50, 0, lease_to(LeaseState::RH, true)),
    ]);
    assert!(!seen.contains(&"50 acknowledge RH".into()), "what it said is gone with it: {seen:?}");
}

#[test]
fn a_flush_goes_before_the_answer_where_writes_were_cached() {
    let flush = BreakPolicy { flush: true, ..BreakPolicy::default() };
    let play = Play { on_break: flush, ..Play::default() };
    let seen = play.seen(vec![(0, 0, open("batch")), (20, 0, to_ii(1))]);
    assert_eq!(seen[3..5], ["20 flush", "30 acknowledge II"]);
    let seen = play.seen(vec![
        (0, 0, open("rwh")),
        (20, 0, lease_to(LeaseState::RH, true)),
        (50, 0, lease_to(LeaseState::R, true)),
    ]);
    assert_eq!(seen[3..5], ["20 flush", "30 acknowledge RH"]);
    assert_eq!(seen[7], "50 acknowledge R", "there is nothing to flush any more");
}

#[test]
fn a_notice_that_overtakes_its_opens_answer_is_kept_for_it() {
    // The first open makes the client listen. The break of the second comes before its answer.
    let seen = Play::default().seen(vec![
        (0, 0, open("batch")),
        (20, 0, open_as("batch", 1, None)),
        (25, 0, to_ii(2)),
    ]);
    assert_eq!(
        seen[2..],
        [
            "20 open batch",
            "25 break",
            "30 acknowledge II",
            "30 client 0: opened",
            "31 client 0: break from 25 is Acknowledged, 0 waited 0 ms",
        ]
    );
    let first = Play::default().seen(vec![(0, 0, open("batch")), (5, 0, to_ii(1))]);
    assert_eq!(first[2], "10 acknowledge II");
}

#[test]
fn a_notice_of_what_is_closed_is_dropped() {
    let seen = Play::default().seen(vec![
        (0, 0, open("batch")),
        (20, 0, close(0)),
        (40, 0, to_ii(1)),
        (50, 0, stat("x")),
    ]);
    assert_eq!(seen[4..], ["40 break", "50 stat", "60 client 0: done"]);
}

#[test]
fn a_break_that_asks_for_no_answer_is_over_at_once() {
    let seen =
        Play::default().seen(vec![(0, 0, open("rwh")), (20, 0, lease_to(LeaseState::NONE, false))]);
    assert_eq!(seen[2..], ["20 break", "20 client 0: break from 20 is NotAsked, 0 waited 0 ms"]);
}

#[test]
fn a_refused_answer_ends_the_break_with_the_servers_word() {
    let refuses = Some(NtStatus::INVALID_PARAMETER);
    let play = Play { refuses, ..Play::default() };
    let seen = play.seen(vec![(0, 0, open("batch")), (20, 0, to_ii(1))]);
    assert!(
        seen[4].starts_with("21 client 0: break from 20 is Refused(STATUS_INVALID_PARAMETER"),
        "{}",
        seen[4]
    );
}

#[test]
fn a_lost_connection_ends_its_breaks() {
    let play = Play { on_break: after_ms(500), ends_ms: 60, ..Play::default() };
    let seen = play.seen(vec![(0, 0, open("batch")), (20, 0, lose(0)), (22, 0, to_ii(1))]);
    let ended = "30 client 0: break from 22 is ConnectionLost, 0 waited 0 ms";
    assert_eq!(seen[4..], [ended, "30 client 0: done"]);
    // Only the stream of breaks notices the loss, because nothing is in flight.
    let seen = play.seen(vec![(0, 0, open("batch")), (20, 0, to_ii(1)), (30, 0, Silence)]);
    assert_eq!(seen[3..], ["30 client 0: break from 20 is ConnectionLost, 0 waited 0 ms"]);
}

#[test]
fn a_run_that_is_given_up_cuts_its_breaks() {
    let play = Play { on_break: IGNORE, ends_ms: 50, ..Play::default() };
    let seen = play.seen(vec![(0, 0, open("batch")), (20, 0, to_ii(1)), (25, 0, read(0))]);
    assert_eq!(seen[4..], ["50 client 0: break from 20 is Cut, 1 waited 25 ms"]);
}

#[test]
fn a_waiting_client_obeys_the_next_order_and_has_waited_until_then() {
    let play = Play { on_break: IGNORE, ..Play::default() };
    let seen = play.seen(vec![
        (0, 0, open("batch")),
        (20, 0, to_ii(1)),
        (25, 0, read(0)),
        (40, 0, CloseAll),
    ]);
    assert_eq!(
        seen[3..],
        [
            "25 client 0: blocked",
            "40 close",
            "50 client 0: break from 20 is Closed, 1 waited 15 ms",
            "50 client 0: closed 1, 0 failed",
        ]
    );
}

#[test]
fn a_break_blocks_its_file_over_all_clients_by_path_and_by_handle() {
    let steps =
        || vec![(0, 0, open("batch")), (0, 1, open("Batch")), (20, 0, to_ii(1)), (25, 1, read(0))];
    let on_break = after_ms(20);
    let play = Play { clients: 2, on_break, ..Play::default() };
    let waits = [
        "25 client 1: blocked",
        "40 acknowledge II",
        "41 client 0: break from 20 is Acknowledged, 1 waited 16 ms",
        "41 client 1: goes on from 41",
        "41 read",
        "51 client 1: done",
    ];
    assert_eq!(play.seen(steps())[5..], waits, "by its path");
    let play = Play { clients: 2, on_break, numbers_files: true, ..Play::default() };
    assert_eq!(play.seen(steps())[5..], waits, "by its number");
    let play = Play { clients: 2, on_break, by_file: false, ..Play::default() };
    assert_eq!(play.seen(steps())[5], "25 read", "another's handle, by handle alone");
}

#[test]
fn a_break_blocks_its_file_through_a_rename() {
    let rename = || {
        Operate(OperationKind::ByPath(PathOperation::Rename {
            source_path: path("batch"),
            dest_path: path("new"),
            replace: true,
        }))
    };
    let steps = |last| {
        vec![
            (0, 0, open("batch")),
            (0, 1, open("BATCH")),
            (20, 1, rename()),
            (40, 0, to_ii(1)),
            (45, 1, last),
        ]
    };
    let on_break = after_ms(20);
    let of = |numbers_files, last| {
        let play = Play { clients: 2, on_break, numbers_files, ..Play::default() };
        play.seen(steps(last))[7].clone()
    };
    assert_eq!(of(false, stat("NEW")), "45 client 1: blocked");
    assert_eq!(of(false, stat("batch")), "45 stat");
    assert_eq!(of(true, read(0)), "45 client 1: blocked", "its handle knows the file");
}
