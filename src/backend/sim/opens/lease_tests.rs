//! Leases (MS-FSA 2.1.4.12, 2.1.5.18; MS-SMB2 3.3.4.7, 3.3.5.9.8, 3.3.5.9.11,
//! 3.3.5.22.2, 3.3.6.4). The tables are those of smbtorture's smb2.lease, which
//! Samba 4.17 passes unless a test says otherwise.

use super::access::{READ_ATTRIBUTES, READ_DATA, Sharing, WRITE_DATA};
use super::test_table::{
    FILE, TestTable, Tried, key, lease, lease_break, owner, state, wanted, who,
};
use super::{BREAK_TIMEOUT_NS, BreakCause, OpenRequest, RequestedCaching};
use crate::protocol::{Break, LeaseState, NtStatus};

const WAITS: Result<Tried, NtStatus> = Ok(Tried::Waits { until_ns: BREAK_TIMEOUT_NS });

fn alone(client: u32, caching: RequestedCaching) -> OpenRequest {
    let sharing = Sharing { access: READ_DATA | WRITE_DATA, share: 0 };
    OpenRequest { sharing, ..wanted(client, caching) }
}

fn overwriting(client: u32) -> OpenRequest {
    OpenRequest { overwrites: true, ..wanted(client, RequestedCaching::Nothing) }
}

/// MS-FSA 2.1.5.18: legal combinations. smbtorture smb2.lease.request.
#[test]
fn the_first_open_gets_any_lease_that_makes_sense() {
    for (asked, granted) in [
        ("", "none"),
        ("R", "R"),
        ("RH", "RH"),
        ("RW", "RW"),
        ("RWH", "RWH"),
        ("H", "none"),
        ("W", "none"),
        ("WH", "none"),
    ] {
        let got = TestTable::default().open(1, lease(1, asked)).lease();
        assert_eq!(got.to_string(), granted, "{asked}");
    }
}

/// smbtorture smb2.lease.break: held, asked for, what the first is broken to, what the second gets.
#[test]
fn another_key_takes_write_caching_and_shares_the_rest() {
    for (held, asked, left, granted) in [
        ("R", "R", "R", "R"),
        ("R", "RH", "R", "RH"),
        ("R", "RW", "R", "R"),
        ("R", "RWH", "R", "RH"),
        ("RH", "R", "RH", "R"),
        ("RH", "RH", "RH", "RH"),
        ("RH", "RW", "RH", "R"),
        ("RH", "RWH", "RH", "RH"),
        ("RW", "R", "R", "R"),
        ("RW", "RH", "R", "RH"),
        ("RW", "RW", "R", "R"),
        ("RW", "RWH", "R", "RH"),
        ("RWH", "R", "RH", "R"),
        ("RWH", "RH", "RH", "RH"),
        ("RWH", "RW", "RH", "R"),
        ("RWH", "RWH", "RH", "RH"),
    ] {
        let mut test_table = TestTable::default();
        test_table.open(1, lease(1, held));
        let (second, breaks) = test_table.open_answered(1, lease(2, asked));
        assert_eq!(second.lease(), state(granted), "{held} {asked}");
        let expected = (held != left).then(|| lease_break(1, 1, held, left));
        assert_eq!(breaks, Vec::from_iter(expected), "{held} {asked}");
        let again = test_table.open(1, lease(1, "RWH"));
        assert_eq!((again.lease(), test_table.breaks()), (state(left), vec![]), "{held} {asked}");
    }
}

/// smbtorture smb2.lease.upgrade: a lease grows to what contains it, and never shrinks.
#[test]
fn the_same_key_upgrades_its_lease_to_all_that_was_asked_or_not_at_all() {
    let states = ["", "R", "RH", "RW", "RWH"];
    for (held, asked) in states.iter().flat_map(|held| states.map(|asked| (*held, asked))) {
        let mut test_table = TestTable::default();
        let first = test_table.open(1, lease(1, held)).number();
        let second = test_table.open(1, lease(1, asked));
        let grows = state(asked).contains(state(held));
        let expected = if grows { state(asked) } else { state(held) };
        assert_eq!(
            (second.lease(), test_table.held(first)),
            (expected, expected),
            "{held} {asked}"
        );
        assert_eq!(test_table.breaks(), []);
    }
}

/// smbtorture smb2.lease.upgrade2 and upgrade3.
#[test]
fn beside_another_lease_a_key_upgrades_from_r_to_rh_and_no_further() {
    for (asked, expected) in [("R", "R"), ("RH", "RH"), ("RW", "R"), ("RWH", "R")] {
        let mut test_table = TestTable::default();
        test_table.open(1, lease(1, "R"));
        test_table.open(2, lease(1, "R"));
        assert_eq!(test_table.open(1, lease(1, asked)).lease(), state(expected), "{asked}");
        assert_eq!(test_table.breaks(), []);
    }
}

/// MS-SMB2 3.3.5.9.8: SMB2_LEASE_FLAG_BREAK_IN_PROGRESS. smbtorture smb2.lease.breaking1.
#[test]
fn an_open_with_a_key_that_is_being_broken_says_so_and_gets_no_more() {
    let mut test_table = TestTable::default();
    let first = test_table.open(1, lease(1, "RWH")).granted();
    assert!(!first.breaking);
    test_table.open(2, RequestedCaching::Nothing);
    let again = test_table.open(1, lease(1, "RWH")).granted();
    assert!(again.breaking && again.state == state("RWH"));
}

/// MS-FSA 2.1.4.12: TargetOplockKey. smbtorture smb2.lease.nobreakself.
#[test]
fn a_lease_is_not_broken_by_its_own_key_whatever_it_does() {
    let mut test_table = TestTable::default();
    let one = test_table.open(1, lease(1, "RWH")).number();
    let own = OpenRequest { overwrites: true, ..wanted(1, lease(1, "RWH")) };
    let two = test_table.try_open(own).unwrap().number();
    for cause in [BreakCause::Content, BreakCause::Handles] {
        assert!(!test_table.break_for(owner(1, one, 1), cause));
        assert!(!test_table.break_for(owner(1, two, 1), cause));
    }
    let refused = test_table.try_open(alone(1, lease(1, "RWH")));
    assert_eq!(refused, Err(NtStatus::SHARING_VIOLATION));
    assert_eq!(test_table.breaks(), []);
}

/// MS-SMB2 3.3.1.4: leases belong to a ClientGuid.
#[test]
fn the_same_key_of_another_client_is_another_lease() {
    let mut test_table = TestTable::default();
    test_table.open(1, lease(1, "RWH"));
    assert_eq!(test_table.try_open(wanted(2, lease(1, "RWH"))), WAITS);
    assert_eq!(test_table.breaks(), [lease_break(1, 1, "RWH", "RH")]);
}

/// MS-SMB2 3.3.5.9.8. smbtorture smb2.lease.duplicate_open.
#[test]
fn a_key_belongs_to_one_file_as_long_as_it_is_open() {
    let mut test_table = TestTable::default();
    let one = test_table.open(1, lease(1, "R")).number();
    let elsewhere = wanted(1, lease(1, "R"));
    assert_eq!(test_table.try_open_of(FILE + 1, elsewhere), Err(NtStatus::INVALID_PARAMETER));
    assert!(test_table.try_open_of(FILE + 1, wanted(2, lease(1, "R"))).is_ok());
    test_table.close(one);
    assert!(test_table.try_open_of(FILE + 1, elsewhere).is_ok());
}

/// MS-FSA 2.1.4.12, OPEN. smbtorture smb2.lease.statopen.
#[test]
fn an_open_of_attributes_or_the_security_descriptor_breaks_no_lease() {
    let mut test_table = TestTable::default();
    test_table.open(1, lease(1, "RWH"));
    for access in [READ_ATTRIBUTES, 0x100, 0x0010_0000, 0x0002_0000] {
        let sharing = Sharing { access, share: 0 };
        let stat = OpenRequest { sharing, ..wanted(2, RequestedCaching::Nothing) };
        test_table.try_open(stat).unwrap().number();
        assert_eq!(test_table.breaks(), []);
    }
}

/// MS-FSA 2.1.5.18.1. smbtorture smb2.lease.statopen3, in which Samba 4.17 grants R.
#[test]
fn an_open_of_attributes_leaves_room_for_a_full_lease() {
    let mut test_table = TestTable::default();
    let sharing = Sharing { access: READ_ATTRIBUTES, share: 0 };
    test_table.try_open(OpenRequest { sharing, ..wanted(1, RequestedCaching::Nothing) }).unwrap();
    assert_eq!(test_table.open(2, lease(1, "RWH")).lease(), LeaseState::RWH);
}

/// MS-FSA 2.1.4.12, OPEN. smbtorture smb2.lease.breaking2, 4 and 5.
#[test]
fn overwriting_takes_all_and_waits_for_a_writer_only() {
    for (held, waits) in [("R", false), ("RH", false), ("RW", true), ("RWH", true)] {
        let mut test_table = TestTable::default();
        test_table.open(1, lease(1, held));
        let tried = test_table.try_open(overwriting(2)).unwrap();
        assert_eq!(matches!(tried, Tried::Waits { .. }), waits, "{held}");
        // Read caching alone goes without an answer; see `lease_break`.
        assert_eq!(test_table.breaks(), [lease_break(1, 1, held, "")], "{held}");
        let expected = if held == "R" { Err(NtStatus::UNSUCCESSFUL) } else { Ok(()) };
        assert_eq!(test_table.answer_lease(1, 1, ""), expected, "{held}");
        test_table.try_open(overwriting(2)).unwrap().number();
    }
}

/// MS-FSA 2.1.5.1.2, OPEN_BREAK_H. smbtorture smb2.lease.break_twice.
#[test]
fn handle_caching_goes_before_a_share_mode_refuses() {
    for (held, left) in [("RH", "R"), ("RWH", "RW")] {
        let mut test_table = TestTable::default();
        let one = test_table.try_open(alone(1, lease(1, held))).unwrap().number();
        let second = wanted(2, RequestedCaching::Nothing);
        assert_eq!(test_table.try_open(second), WAITS);
        assert_eq!(test_table.breaks(), [lease_break(1, 1, held, left)]);
        test_table.answer_lease(1, 1, left).unwrap();
        assert_eq!(test_table.try_open(second), Err(NtStatus::SHARING_VIOLATION));
        assert_eq!(test_table.breaks(), []);
        test_table.close(one);
        test_table.try_open(second).unwrap().number();
    }
}

/// MS-FSA 2.1.5.1.2.2.
#[test]
fn without_handle_caching_a_share_mode_refuses_at_once() {
    for held in ["R", "RW"] {
        let mut test_table = TestTable::default();
        test_table.try_open(alone(1, lease(1, held))).unwrap();
        let refused = test_table.try_open(wanted(2, RequestedCaching::Nothing));
        assert_eq!(refused, Err(NtStatus::SHARING_VIOLATION));
        assert_eq!(test_table.breaks(), []);
    }
}

/// MS-FSA 2.1.5.1.2: closing what was open for nothing lets the other in.
#[test]
fn a_holder_that_closes_instead_of_answering_lets_the_other_in() {
    let mut test_table = TestTable::default();
    let one = test_table.try_open(alone(1, lease(1, "RH"))).unwrap().number();
    let second = alone(2, lease(1, "RWH"));
    assert_eq!(test_table.try_open(second), WAITS);
    test_table.close(one);
    assert_eq!(test_table.try_open(second).unwrap().lease(), LeaseState::RWH);
    assert_eq!(test_table.answer_lease(1, 1, "R"), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
}

/// MS-FSA 2.1.4.12, WRITE, LOCK_CONTROL, end of file. smbtorture smb2.lease.lock1, complex1.
#[test]
fn a_write_takes_read_caching_from_all_others_and_waits_for_none_of_them() {
    let mut test_table = TestTable::default();
    test_table.open(1, lease(1, "R"));
    test_table.open(2, lease(2, "RH"));
    let writer = test_table.open(3, lease(3, "RH")).number();
    assert!(!test_table.break_for(owner(3, writer, 3), BreakCause::Content));
    assert_eq!(test_table.breaks(), [lease_break(1, 1, "R", ""), lease_break(2, 2, "RH", "")]);
    assert_eq!(test_table.held(writer), LeaseState::RH);
    assert!(!test_table.break_for(owner(3, writer, 3), BreakCause::Content));
    assert_eq!(test_table.breaks(), [], "one break is on its way, one is over");
    assert_eq!(test_table.answer_lease(2, 2, "R"), Err(NtStatus::REQUEST_NOT_ACCEPTED));
    test_table.answer_lease(2, 2, "").unwrap();
}

/// MS-FSA 2.1.4.12, SET_INFORMATION. smbtorture smb2.lease.rename_wait.
#[test]
fn a_rename_or_a_deletion_takes_handle_caching_and_waits_for_it() {
    for (held, left) in [("R", "R"), ("RH", "R"), ("RW", "RW"), ("RWH", "RW")] {
        let mut test_table = TestTable::default();
        test_table.open(1, lease(1, held));
        let waits = test_table.break_for(who(2, 99), BreakCause::Handles);
        assert_eq!(waits, held != left, "{held}");
        let expected = (held != left).then(|| lease_break(1, 1, held, left));
        assert_eq!(test_table.breaks(), Vec::from_iter(expected), "{held}");
    }
}

/// MS-SMB2 3.3.5.22.2.
#[test]
fn an_answer_keeps_what_was_left_or_less_and_a_greedy_one_is_refused_and_may_be_repeated() {
    for (answer, expected) in [
        ("RH", Ok(())),
        ("R", Ok(())),
        ("", Ok(())),
        ("RWH", Err(NtStatus::REQUEST_NOT_ACCEPTED)),
        ("RW", Err(NtStatus::REQUEST_NOT_ACCEPTED)),
    ] {
        let mut test_table = TestTable::default();
        let one = test_table.open(1, lease(1, "RWH")).number();
        assert_eq!(test_table.try_open(wanted(2, RequestedCaching::Nothing)), WAITS);
        assert_eq!(test_table.answer_lease(1, 1, answer), expected, "{answer}");
        if expected.is_err() {
            assert_eq!(test_table.try_open(wanted(2, RequestedCaching::Nothing)), WAITS);
            test_table.answer_lease(1, 1, "RH").unwrap();
        } else {
            assert_eq!(test_table.held(one), state(answer));
        }
        test_table.open(2, RequestedCaching::Nothing).number();
        assert_eq!(test_table.answer_lease(1, 1, ""), Err(NtStatus::UNSUCCESSFUL));
    }
}

/// MS-SMB2 3.3.5.22.2.
#[test]
fn an_answer_for_a_lease_there_is_not_is_object_name_not_found() {
    let mut test_table = TestTable::default();
    test_table.open(1, lease(1, "RWH"));
    assert_eq!(test_table.answer_lease(1, 2, ""), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
    assert_eq!(test_table.answer_lease(2, 1, ""), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
}

/// A lease RWH is broken to RH for one open, and before the answer a second open overwrites the
/// file. Windows takes the rest in steps, and both opens wait for the last break that must be
/// answered (smbtorture smb2.lease.breaking3, v2_breaking3).
#[test]
fn caching_that_must_go_during_a_break_is_broken_after_its_answer_in_steps() {
    let mut test_table = TestTable::default();
    let one = test_table.open(1, lease(1, "RWH"));
    let opening = wanted(2, RequestedCaching::Nothing);
    assert_eq!(test_table.try_open(opening), WAITS);
    assert_eq!(test_table.try_open(overwriting(3)), WAITS);
    let first = test_table.breaks_with_epochs();
    test_table.answer_lease(1, 1, "RH").unwrap();
    let second = test_table.breaks_with_epochs();
    for waiting in [opening, overwriting(3)] {
        assert_eq!(test_table.try_open(waiting), WAITS);
    }
    let attributes = Sharing { access: READ_ATTRIBUTES, ..opening.sharing };
    test_table.try_open(OpenRequest { sharing: attributes, ..opening }).unwrap().number();
    assert_eq!(test_table.breaks(), []);
    test_table.answer_lease(1, 1, "R").unwrap();
    let third = test_table.breaks_with_epochs();
    let epoch = one.granted().epoch + 1;
    let expected = [("RWH", "RH"), ("RH", "R"), ("R", "")].map(|(from, to)| {
        let (client, mut what) = lease_break(1, 1, from, to);
        if let Break::Lease(notice) = &mut what {
            notice.epoch = epoch;
        }
        vec![(client, what)]
    });
    assert_eq!([first, second, third], expected);
    for waiting in [opening, overwriting(3)] {
        test_table.try_open(waiting).unwrap().number();
    }
    assert_eq!(test_table.answer_lease(1, 1, ""), Err(NtStatus::UNSUCCESSFUL));
    assert_eq!(test_table.breaks(), []);
}

/// MS-SMB2 3.3.6.4. smbtorture smb2.lease.timeout.
#[test]
fn after_35_seconds_without_an_answer_the_lease_is_gone() {
    let mut test_table = TestTable::default();
    let one = test_table.open(1, lease(1, "RWH")).number();
    let second = wanted(2, RequestedCaching::Nothing);
    assert_eq!(test_table.try_open(second), WAITS);
    test_table.now_ns = BREAK_TIMEOUT_NS - 1;
    assert_eq!(test_table.try_open(second), WAITS);
    test_table.now_ns = BREAK_TIMEOUT_NS;
    test_table.try_open(second).unwrap().number();
    assert!(test_table.held(one).is_none());
    assert_eq!(test_table.answer_lease(1, 1, "RH"), Err(NtStatus::UNSUCCESSFUL));
}

/// MS-SMB2 3.3.5.9.11 and 3.3.4.7. smbtorture smb2.lease.v2_epoch1.
#[test]
fn the_epoch_counts_grants_and_breaks_of_version_2_alone() {
    let mut test_table = TestTable::default();
    let version = |has_epoch, letters| RequestedCaching::Lease {
        key: key(1),
        state: state(letters),
        parent_key: None,
        has_epoch,
    };
    for (has_epoch, expected) in [(true, [1, 1, 2, 3]), (false, [0, 0, 0, 0])] {
        let epoch = |tried: Tried| tried.granted().epoch;
        let first = test_table.open(1, version(has_epoch, "R"));
        let same = test_table.open(1, version(has_epoch, "R"));
        let upgraded = test_table.open(1, version(has_epoch, "RWH"));
        let second = test_table.open(2, RequestedCaching::Nothing);
        assert_eq!(second, WAITS.unwrap());
        let breaks = test_table.breaks_with_epochs();
        let [(1, Break::Lease(notice))] = breaks[..] else { panic!("{breaks:?}") };
        let epochs = [epoch(first), epoch(same), epoch(upgraded), notice.epoch];
        assert_eq!(epochs, expected);
        [first, same, upgraded].into_iter().for_each(|open| test_table.close(open.number()));
    }
}

/// MS-SMB2 3.3.4.7: the first of Lease.LeaseOpens.
#[test]
fn of_several_opens_that_share_a_lease_the_connection_of_the_first_gets_the_break_once() {
    let mut test_table = TestTable::default();
    let one = test_table.open(1, lease(1, "RWH")).number();
    let second = OpenRequest { connection: 50, ..wanted(1, lease(1, "RWH")) };
    let two = test_table.try_open(second).unwrap().number();
    test_table.close(one);
    test_table.open(2, RequestedCaching::Nothing);
    assert_eq!(test_table.breaks(), [lease_break(50, 1, "RWH", "RH")]);
    assert_eq!(test_table.held(two), LeaseState::RWH);
}

/// MS-FSA 2.1.4.12, PARENT_OBJECT; MS-SMB2 3.3.5.9.11. Samba 4.17 grants
/// no lease on a directory (smbtorture skips smb2.lease.v2_request_parent).
#[test]
fn a_directory_lease_goes_when_an_entry_changes_and_stays_for_its_own_parent_key() {
    let mut test_table = TestTable::default();
    let directory = |caching| OpenRequest { directory: true, ..wanted(1, caching) };
    let granted = test_table.try_open(directory(lease(1, "RWH"))).unwrap();
    assert_eq!(granted.lease(), LeaseState::RH);
    let version_1 = RequestedCaching::Lease {
        key: key(2),
        state: LeaseState::RWH,
        parent_key: None,
        has_epoch: false,
    };
    assert!(test_table.try_open(directory(version_1)).unwrap().lease().is_none());
    for client in [1, 2] {
        assert!(!test_table.break_for(owner(client, 99, 1), BreakCause::Entries));
        assert_eq!(test_table.breaks(), [], "the key is known by its 16 bytes");
    }
    assert!(!test_table.break_for(owner(2, 99, 2), BreakCause::Entries));
    assert_eq!(test_table.breaks(), [lease_break(1, 1, "RH", "")]);
}
