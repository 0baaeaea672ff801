//! Tests of breaks over connections: who receives them, and when the operation that caused them
//! goes on. The model has tests of its own in `opens`.

use std::pin::pin;

use bytes::Bytes;
use futures_util::FutureExt;

use super::opens::BREAK_TIMEOUT_NS;
use super::test_server::{TestServer, lease, now, oplock, path, plain, status};
use crate::ir::PathOperation;
use crate::protocol::create::{CreateDisposition, OplockLevel};
use crate::protocol::{
    Break, CreateAction, CreateContext, CreateParameters, Durable, LeaseBreak, LeaseState,
    NtStatus, OplockBreak, lease_key,
};

/// MS-SMB2 2.2.14.
#[test]
fn an_open_says_what_it_was_granted() {
    let test_server = TestServer::new();
    let client = test_server.client(3);
    let first = client.open(&oplock(OplockLevel::Batch)).unwrap();
    let granted = first.granted().unwrap();
    assert_eq!((granted.action, granted.oplock), (CreateAction::Created, OplockLevel::Batch));
    assert_eq!((first.granted_oplock(), granted.lease), (Some(OplockLevel::Batch), None));
    now(first.close()).unwrap();
    let second = client.open(&lease(LeaseState::RWH)).unwrap().granted().unwrap();
    assert_eq!((second.action, second.oplock), (CreateAction::Opened, OplockLevel::Lease));
    let leased = second.lease.unwrap();
    assert_eq!((leased.state, leased.epoch, leased.breaking), (LeaseState::RWH, 1, false));
    assert_eq!(leased.key, lease_key(3, &path("F"), 0));
    assert_eq!(second.disk_file_id, granted.disk_file_id, "it is the same file");
    assert_ne!(second.file_id, granted.file_id, "in another open");
}

/// MS-FSA 2.1.4.12; MS-SMB2 3.3.5.22.1.
#[test]
fn a_waiting_open_goes_on_as_soon_as_the_break_is_acknowledged() {
    let test_server = TestServer::new();
    let (mut holder, other) = (test_server.client(1), test_server.client(2));
    let held = holder.open(&oplock(OplockLevel::Batch)).unwrap();
    let wanted = oplock(OplockLevel::Batch);
    let mut waiting = pin!(other.open_with("f", CreateDisposition::OpenIf, &wanted));
    assert!(waiting.as_mut().now_or_never().is_none());
    let file_id = held.granted().unwrap().file_id;
    let notice = Break::Oplock(OplockBreak { file_id, level: OplockLevel::II });
    assert_eq!((holder.next_break(), holder.next_break()), (Some(notice), None));
    now(held.write(0, Bytes::from_static(b"what was cached"))).unwrap();
    assert!(waiting.as_mut().now_or_never().is_none(), "a write is no answer");
    now(held.acknowledge_oplock_break(OplockLevel::II)).unwrap();
    let opened = waiting.as_mut().now_or_never().unwrap().unwrap();
    assert_eq!(opened.granted_oplock(), Some(OplockLevel::II));
    assert_eq!(now(opened.read(0, 100)).unwrap(), &b"what was cached"[..]);
}

/// MS-SMB2 3.3.4.7, 3.3.5.22.2. The stream answers while an operation waits.
#[test]
fn a_lease_is_answered_by_its_key_beside_an_operation_in_flight() {
    let test_server = TestServer::new();
    let (mut holder, other) = (test_server.client(1), test_server.client(2));
    let held = holder.open(&lease(LeaseState::RWH)).unwrap();
    let blocker = now(other.open_with("g", CreateDisposition::OpenIf, &plain())).unwrap();
    now(blocker.lock(0, 1, true, false)).unwrap();
    let own = now(holder.open_with("g", CreateDisposition::OpenIf, &plain())).unwrap();
    let mut in_flight = pin!(own.lock(0, 1, true, true));
    assert!(in_flight.as_mut().now_or_never().is_none());
    let nothing = plain();
    let mut waiting = pin!(other.open_with("f", CreateDisposition::Open, &nothing));
    assert!(waiting.as_mut().now_or_never().is_none());
    // Through the field alone: the operation in flight borrows nothing of it.
    let notice = holder.breaks.next().now_or_never().flatten().unwrap();
    let key = held.granted().unwrap().lease.unwrap().key;
    let expected = LeaseBreak {
        key,
        current: LeaseState::RWH,
        new: LeaseState::RH,
        epoch: 2,
        acknowledgement_required: true,
    };
    assert_eq!(notice, Break::Lease(expected));
    holder.answers(notice.acknowledgement()).unwrap();
    assert!(waiting.as_mut().now_or_never().unwrap().is_ok());
    assert!(in_flight.as_mut().now_or_never().is_none());
}

/// MS-SMB2 3.3.5.10.
#[test]
fn a_close_and_a_lost_connection_answer_a_break_as_well() {
    for vanishes in [false, true] {
        let test_server = TestServer::new();
        let (holder, other) = (test_server.client(1), test_server.client(2));
        let held = holder.open(&oplock(OplockLevel::Batch)).unwrap();
        let wanted = oplock(OplockLevel::Batch);
        let mut waiting = pin!(other.open_with("f", CreateDisposition::Open, &wanted));
        assert!(waiting.as_mut().now_or_never().is_none());
        if vanishes {
            drop(holder);
        } else {
            now(held.close()).unwrap();
        }
        let opened = waiting.as_mut().now_or_never().unwrap().unwrap();
        assert_eq!(opened.granted_oplock(), Some(OplockLevel::Batch));
    }
}

/// MS-SMB2 3.3.6.1 and 3.3.6.4.
#[test]
fn a_break_nobody_answers_is_over_after_35_seconds() {
    for wanted in [oplock(OplockLevel::Batch), lease(LeaseState::RWH)] {
        let test_server = TestServer::new();
        let (mut holder, other) = (test_server.client(1), test_server.client(2));
        let _held = holder.open(&wanted).unwrap();
        let nothing = plain();
        let mut waiting = pin!(other.open_with("f", CreateDisposition::Open, &nothing));
        assert!(waiting.as_mut().now_or_never().is_none());
        let notice = holder.next_break().unwrap();
        test_server.clock.pass(BREAK_TIMEOUT_NS - 1);
        assert!(waiting.as_mut().now_or_never().is_none());
        test_server.clock.pass(1);
        assert!(waiting.as_mut().now_or_never().unwrap().is_ok());
        let late = holder.answers(notice.acknowledgement());
        let expected = match notice {
            Break::Oplock(_) => NtStatus::INVALID_DEVICE_STATE,
            Break::Lease(_) => NtStatus::UNSUCCESSFUL,
        };
        assert_eq!(status(&late), Some(expected));
    }
}

/// MS-SMB2 3.3.5.16: a CREATE that waits for a break is pending.
#[test]
fn a_cancelled_open_waits_no_longer_and_leaves_nothing_open() {
    let test_server = TestServer::new();
    let (holder, other) = (test_server.client(1), test_server.client(2));
    let _held = holder.open(&oplock(OplockLevel::Batch)).unwrap();
    let nothing = plain();
    let mut waiting = pin!(other.open_with("f", CreateDisposition::Open, &nothing));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert!(now(other.connection.cancel()));
    let ended = waiting.as_mut().now_or_never().unwrap();
    assert_eq!(status(&ended), Some(NtStatus::CANCELLED));
    assert_eq!(test_server.server.open_handles(), 1);
}

#[test]
fn a_connection_that_ends_ends_its_stream_of_breaks() {
    let test_server = TestServer::new();
    let mut client = test_server.client(1);
    assert!(client.breaks.next().now_or_never().is_none());
    now(client.connection.disconnect());
    assert_eq!(now(client.breaks.next()), None);
    assert_eq!(client.breaks.dropped(), 0);
}

/// MS-FSA 2.1.4.12: WRITE, end of file, LOCK_CONTROL.
#[test]
fn writing_truncating_and_locking_take_what_others_cache_of_the_content() {
    for change in ["write", "truncate", "lock"] {
        let test_server = TestServer::new();
        let (mut one, two) = (test_server.client(1), test_server.client(2));
        let changer = two.open(&plain()).unwrap();
        now(changer.write(0, Bytes::from_static(b"what a lock can be on"))).unwrap();
        let _reader = one.open(&oplock(OplockLevel::II)).unwrap();
        assert_eq!(one.next_break(), None);
        match change {
            "write" => assert_eq!(now(changer.write(0, Bytes::from_static(b"x"))), Ok(1)),
            "truncate" => now(changer.truncate(9)).unwrap(),
            _ => now(changer.lock(0, 1, true, false)).unwrap(),
        }
        let notice = one.next_break().unwrap();
        let none = matches!(notice, Break::Oplock(OplockBreak { level: OplockLevel::None, .. }));
        assert!(none, "{change}: {notice:?}");
    }
}

/// MS-FSA 2.1.4.12, PARENT_OBJECT.
#[test]
fn whatever_changes_the_entries_of_a_directory_breaks_its_lease() {
    let test_server = TestServer::new();
    let (mut one, two) = (test_server.client(1), test_server.client(2));
    let directory = PathOperation::Mkdir { path: path("d") };
    two.does(&directory).unwrap();
    now(two.open_with("d/f", CreateDisposition::Create, &plain())).unwrap();
    let move_out =
        PathOperation::Rename { source_path: path("d/f"), dest_path: path("f"), replace: false };
    let make = PathOperation::Mkdir { path: path("d/g") };
    let remove = PathOperation::Rmdir { path: path("d/g") };
    for change in [make, remove, move_out] {
        let wanted = CreateParameters { create_options: Some(1), ..lease(LeaseState::RH) };
        let held = now(one.open_with("d", CreateDisposition::Open, &wanted)).unwrap();
        assert_eq!(held.granted().unwrap().lease.unwrap().state, LeaseState::RH);
        two.does(&PathOperation::Stat { path: path("d") }).unwrap();
        assert_eq!(one.next_break(), None);
        // The rename's file is open in `two`, whose handle was dropped, not closed.
        two.does(&change).unwrap();
        let notice = one.next_break().unwrap();
        assert!(
            matches!(notice, Break::Lease(LeaseBreak { new: LeaseState::NONE, .. })),
            "{notice:?}"
        );
        now(held.close()).unwrap();
    }
}

/// MS-SMB2 3.3.5.9: contexts a server does not know are ignored, durable
/// handles are its to grant.
#[test]
fn an_oplock_that_the_simulator_does_not_grant_is_no_error() {
    let test_server = TestServer::new();
    let client = test_server.client(1);
    let durable = Some(Durable { version: 2, timeout_ms: 0 });
    let context = CreateContext { name: b"MxAc".into(), data: Vec::new() };
    let wanted = CreateParameters { durable, create_contexts: vec![context], ..plain() };
    let granted = client.open(&wanted).unwrap().granted().unwrap();
    assert_eq!((granted.oplock, granted.lease), (OplockLevel::None, None));
}
