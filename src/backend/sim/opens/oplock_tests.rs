//! Oplocks of level II, exclusive and batch (MS-FSA 2.1.4.12, 2.1.5.18.1,
//! 2.1.5.18.2; MS-SMB2 3.3.4.6, 3.3.5.22.1, 3.3.6.1).

use super::access::{READ_ATTRIBUTES, READ_DATA, SYNCHRONIZE, Sharing, WRITE_DATA};
use super::test_table::{TestTable, Tried, lease, lease_break, oplock, oplock_break, wanted, who};
use super::{BREAK_TIMEOUT_NS, BreakCause, OpenRequest, RequestedCaching};
use crate::protocol::NtStatus;
use crate::protocol::create::OplockLevel::{self, Batch, Exclusive, II, Lease, None as Nothing};

const READ_CONTROL: u32 = 0x0002_0000;

fn alone(client: u32, caching: RequestedCaching) -> OpenRequest {
    let sharing = Sharing { access: READ_DATA | WRITE_DATA, share: 0 };
    OpenRequest { sharing, ..wanted(client, caching) }
}

fn with_access(client: u32, access: u32) -> OpenRequest {
    let sharing = Sharing { access, share: 7 };
    OpenRequest { sharing, ..wanted(client, RequestedCaching::Nothing) }
}

fn overwriting(client: u32) -> OpenRequest {
    OpenRequest { overwrites: true, ..wanted(client, RequestedCaching::Nothing) }
}

/// MS-FSA 2.1.5.18.1.
#[test]
fn the_first_open_gets_any_oplock_it_asks_for() {
    for level in [Nothing, II, Exclusive, Batch] {
        assert_eq!(TestTable::default().open(1, oplock(level)).oplock(), level);
    }
}

/// MS-FSA 2.1.5.18.1: only a sole open gets an exclusive oplock.
#[test]
fn beside_an_open_without_an_oplock_level_ii_is_the_most() {
    for (level, expected) in [(II, II), (Exclusive, II), (Batch, II), (Nothing, Nothing)] {
        let mut test_table = TestTable::default();
        test_table.open(1, RequestedCaching::Nothing);
        assert_eq!(test_table.open(2, oplock(level)).oplock(), expected, "{level:?}");
        assert_eq!(test_table.breaks(), []);
    }
}

/// MS-FSA 2.1.4.12, OPEN.
#[test]
fn a_second_open_waits_until_the_first_has_gone_down_to_level_ii() {
    for level in [Exclusive, Batch] {
        let mut test_table = TestTable::default();
        let first = test_table.open(1, oplock(level)).number();
        let waits = Tried::Waits { until_ns: BREAK_TIMEOUT_NS };
        assert_eq!(test_table.open(2, oplock(Batch)), waits);
        assert_eq!(test_table.breaks(), [oplock_break(1, first, II)]);
        assert_eq!(test_table.open(2, oplock(Batch)), waits, "and the break is not sent again");
        assert_eq!(test_table.breaks(), []);
        test_table.answer_oplock(1, first, II).unwrap();
        assert_eq!(test_table.open(2, oplock(Batch)).oplock(), II);
        assert_eq!(test_table.open(3, oplock(II)).oplock(), II);
        assert_eq!(test_table.breaks(), []);
    }
}

/// MS-FSA 2.1.4.12, OPEN.
#[test]
fn overwriting_breaks_to_none_and_waits_for_the_writer_but_not_for_readers() {
    for level in [Exclusive, Batch] {
        let mut test_table = TestTable::default();
        let first = test_table.open(1, oplock(level)).number();
        let waits = Tried::Waits { until_ns: BREAK_TIMEOUT_NS };
        assert_eq!(test_table.try_open(overwriting(2)), Ok(waits));
        assert_eq!(test_table.breaks(), [oplock_break(1, first, Nothing)]);
        test_table.answer_oplock(1, first, Nothing).unwrap();
        test_table.try_open(overwriting(2)).unwrap().number();
    }
    let mut test_table = TestTable::default();
    let first = test_table.open(1, oplock(II)).number();
    test_table.try_open(overwriting(2)).unwrap().number();
    assert_eq!(test_table.breaks(), [oplock_break(1, first, Nothing)]);
    assert_eq!(test_table.answer_oplock(1, first, Nothing), Err(NtStatus::INVALID_DEVICE_STATE));
}

/// MS-FSA 2.1.4.12, OPEN: an open that asks for attributes alone.
#[test]
fn an_open_of_attributes_breaks_nothing_but_one_of_the_security_descriptor_does() {
    for level in [II, Exclusive, Batch] {
        let mut test_table = TestTable::default();
        test_table.open(1, oplock(level));
        test_table
            .try_open(with_access(2, READ_ATTRIBUTES | 0x100 | SYNCHRONIZE))
            .unwrap()
            .number();
        assert_eq!(test_table.breaks(), []);
    }
    let mut test_table = TestTable::default();
    let first = test_table.open(1, oplock(Batch)).number();
    test_table.try_open(with_access(2, READ_CONTROL)).unwrap();
    assert_eq!(test_table.breaks(), [oplock_break(1, first, II)]);
}

/// MS-FSA 2.1.5.18.1: opens of attributes do not count.
#[test]
fn an_open_of_attributes_leaves_room_for_a_batch_oplock() {
    let mut test_table = TestTable::default();
    test_table.try_open(with_access(1, READ_ATTRIBUTES)).unwrap();
    assert_eq!(test_table.open(2, oplock(Batch)).oplock(), Batch);
}

/// MS-FSA 2.1.5.1.2: a batch holder may have the file open for nothing.
#[test]
fn a_batch_oplock_is_broken_before_a_share_mode_refuses() {
    let mut test_table = TestTable::default();
    let first = test_table.try_open(alone(1, oplock(Batch))).unwrap().number();
    let second = alone(2, oplock(Batch));
    assert_eq!(test_table.try_open(second), Ok(Tried::Waits { until_ns: BREAK_TIMEOUT_NS }));
    assert_eq!(test_table.breaks(), [oplock_break(1, first, II)]);
    let mut kept = test_table;
    kept.answer_oplock(1, first, II).unwrap();
    assert_eq!(kept.try_open(second), Err(NtStatus::SHARING_VIOLATION));
    let mut closed = TestTable::default();
    let first = closed.try_open(alone(1, oplock(Batch))).unwrap().number();
    closed.try_open(second).unwrap();
    closed.close(first);
    assert_eq!(closed.try_open(second).unwrap().oplock(), Batch);
}

/// MS-FSA 2.1.5.1.2.2.
#[test]
fn an_exclusive_oplock_is_not_broken_by_who_is_refused() {
    for level in [II, Exclusive] {
        let mut test_table = TestTable::default();
        test_table.try_open(alone(1, oplock(level))).unwrap();
        let refused = test_table.try_open(alone(2, oplock(Batch)));
        assert_eq!(refused, Err(NtStatus::SHARING_VIOLATION));
        assert_eq!(test_table.breaks(), []);
    }
}

/// MS-FSA 2.1.4.12, WRITE and LOCK_CONTROL: also if the holder itself does it.
#[test]
fn a_write_takes_level_ii_from_everybody_and_waits_for_nobody() {
    let mut test_table = TestTable::default();
    let one = test_table.open(1, oplock(II)).number();
    let two = test_table.open(2, oplock(II)).number();
    assert!(!test_table.break_for(who(1, one), BreakCause::Content));
    assert_eq!(test_table.breaks(), [oplock_break(1, one, Nothing), oplock_break(2, two, Nothing)]);
    assert!(!test_table.break_for(who(1, one), BreakCause::Content));
    assert_eq!(test_table.breaks(), []);
}

/// MS-FSA 2.1.4.12.
#[test]
fn the_writer_keeps_its_own_exclusive_oplock() {
    for level in [Exclusive, Batch] {
        let mut test_table = TestTable::default();
        let one = test_table.open(1, oplock(level)).number();
        assert!(!test_table.break_for(who(1, one), BreakCause::Content));
        assert!(!test_table.break_for(who(1, one), BreakCause::Handles));
        assert_eq!(test_table.breaks(), []);
    }
}

/// MS-FSA 2.1.5.18.2: a client that caches reads would not see a lock.
#[test]
fn on_a_file_with_locks_only_an_exclusive_oplock_is_granted() {
    let granted = |level| {
        let mut test_table = TestTable { locked: true, ..TestTable::default() };
        test_table.open(1, oplock(level)).oplock()
    };
    assert_eq!([II, Exclusive, Batch].map(granted), [Nothing, Exclusive, Batch]);
}

/// MS-SMB2 3.3.5.9.
#[test]
fn a_directory_has_no_oplock() {
    let mut test_table = TestTable::default();
    let directory = OpenRequest { directory: true, ..wanted(1, oplock(Batch)) };
    assert_eq!(test_table.try_open(directory).unwrap().oplock(), Nothing);
}

/// MS-SMB2 3.3.5.22.1. Samba 4.17 answers STATUS_INVALID_OPLOCK_PROTOCOL where
/// nothing is broken (smbtorture smb2.oplock.levelii500).
#[test]
fn an_answer_to_no_break_is_invalid_device_state() {
    let mut test_table = TestTable::default();
    let one = test_table.open(1, oplock(Batch)).number();
    assert_eq!(test_table.answer_oplock(1, one, II), Err(NtStatus::INVALID_DEVICE_STATE));
    assert_eq!(test_table.answer_oplock(1, one + 1, II), Err(NtStatus::FILE_CLOSED));
    let leased = test_table.open_answered(2, lease(1, "R")).0.number();
    assert_eq!(test_table.answer_oplock(2, leased, II), Err(NtStatus::INVALID_DEVICE_STATE));
}

/// MS-SMB2 3.3.5.22.1: the break has ended all the same.
#[test]
fn an_answer_that_wants_more_than_was_left_is_refused_and_the_oplock_lost() {
    for (overwrite, answer, expected) in [
        (false, Batch, NtStatus::INVALID_OPLOCK_PROTOCOL),
        (false, Exclusive, NtStatus::INVALID_OPLOCK_PROTOCOL),
        (false, Lease, NtStatus::INVALID_PARAMETER),
        (true, II, NtStatus::INVALID_OPLOCK_PROTOCOL),
    ] {
        let mut test_table = TestTable::default();
        let one = test_table.open(1, oplock(Batch)).number();
        let two = if overwrite { overwriting(2) } else { wanted(2, RequestedCaching::Nothing) };
        test_table.try_open(two).unwrap();
        assert_eq!(test_table.answer_oplock(1, one, answer), Err(expected));
        assert!(test_table.held(one).is_none());
        test_table.try_open(two).unwrap().number();
        assert_eq!(test_table.answer_oplock(1, one, II), Err(NtStatus::INVALID_DEVICE_STATE));
    }
}

/// MS-SMB2 2.2.24.1: the client may keep less than it was left.
#[test]
fn an_answer_may_give_up_more_than_it_must() {
    let mut test_table = TestTable::default();
    let one = test_table.open(1, oplock(Batch)).number();
    test_table.open(2, oplock(Batch));
    test_table.answer_oplock(1, one, Nothing).unwrap();
    assert!(test_table.held(one).is_none());
    assert_eq!(test_table.open(2, oplock(Batch)).oplock(), II);
}

/// MS-FSA 2.1.4.12: the second took more while the first break was on its way.
#[test]
fn an_oplock_that_must_go_altogether_meanwhile_is_broken_again_after_the_answer() {
    let mut test_table = TestTable::default();
    let one = test_table.open(1, oplock(Batch)).number();
    test_table.open(2, RequestedCaching::Nothing);
    test_table.try_open(overwriting(3)).unwrap();
    assert_eq!(test_table.breaks(), [oplock_break(1, one, II)]);
    test_table.answer_oplock(1, one, II).unwrap();
    assert_eq!(test_table.breaks(), [oplock_break(1, one, Nothing)]);
    assert!(test_table.held(one).is_none());
}

/// MS-SMB2 3.3.6.1.
#[test]
fn after_35_seconds_without_an_answer_the_oplock_is_gone_and_the_answer_comes_too_late() {
    let mut test_table = TestTable { now_ns: 1_000, ..TestTable::default() };
    let one = test_table.open(1, oplock(Batch)).number();
    let until_ns = 1_000 + BREAK_TIMEOUT_NS;
    assert_eq!(test_table.open(2, oplock(II)), Tried::Waits { until_ns });
    test_table.now_ns = until_ns - 1;
    assert_eq!(test_table.open(2, oplock(II)), Tried::Waits { until_ns });
    test_table.now_ns = until_ns;
    assert_eq!(test_table.answer_oplock(1, one, II), Err(NtStatus::INVALID_DEVICE_STATE));
    assert!(test_table.held(one).is_none());
    assert_eq!(test_table.open(2, oplock(II)).oplock(), II);
}

/// The state held, the level asked for, the state left to the first, and the level granted.
type Meeting = (&'static str, OplockLevel, &'static str, OplockLevel);

/// MS-FSA 2.1.5.18.2; the table of smbtorture's smb2.lease.oplock, which Samba 4.17 passes.
#[test]
fn an_oplock_beside_a_lease_is_level_ii_and_none_where_handles_are_cached() {
    const MEETINGS: [Meeting; 12] = [
        ("R", II, "R", II),
        ("R", Exclusive, "R", II),
        ("R", Batch, "R", II),
        ("RH", II, "RH", Nothing),
        ("RH", Exclusive, "RH", Nothing),
        ("RH", Batch, "RH", Nothing),
        ("RW", II, "R", II),
        ("RW", Exclusive, "R", II),
        ("RW", Batch, "R", II),
        ("RWH", II, "RH", Nothing),
        ("RWH", Exclusive, "RH", Nothing),
        ("RWH", Batch, "RH", Nothing),
    ];
    for (held, asked, left, granted) in MEETINGS {
        let mut test_table = TestTable::default();
        test_table.open(1, lease(1, held));
        let (second, breaks) = test_table.open_answered(2, oplock(asked));
        assert_eq!(second.oplock(), granted, "{held} {asked:?}");
        let expected = (held != left).then(|| lease_break(1, 1, held, left));
        assert_eq!(breaks, Vec::from_iter(expected), "{held} {asked:?}");
    }
}

/// The reverse case: nobody caches handles beside an oplock.
#[test]
fn a_lease_beside_an_oplock_caches_reads_alone() {
    for (held, left) in [(II, II), (Exclusive, II), (Batch, II)] {
        for asked in ["R", "RH", "RW", "RWH"] {
            let mut test_table = TestTable::default();
            let first = test_table.open(1, oplock(held)).number();
            let (second, breaks) = test_table.open_answered(2, lease(1, asked));
            assert_eq!(second.lease().to_string(), "R", "{held:?} {asked}");
            let expected = (held != left).then(|| oplock_break(1, first, left));
            assert_eq!(breaks, Vec::from_iter(expected), "{held:?} {asked}");
        }
    }
}

#[test]
fn closing_everything_leaves_nothing() {
    let mut test_table = TestTable::default();
    let one = test_table.open(1, oplock(Batch)).number();
    let two = test_table.open_answered(2, lease(1, "RWH")).0.number();
    test_table.close(one);
    assert!(!test_table.table.is_empty());
    test_table.close(two);
    assert!(test_table.table.is_empty());
}
