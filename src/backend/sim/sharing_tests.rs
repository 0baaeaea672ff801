//! Tests of opens that meet: share modes, deletion, renaming.

use std::pin::pin;

use bytes::Bytes;
use futures_util::FutureExt;

use super::test_server::{
    TestServer, delete, delete_on_close, lease, now, oplock, path, plain, rename, status,
};
use crate::ir::PathOperation;
use crate::protocol::create::{CreateDisposition, OplockLevel};
use crate::protocol::{Break, CreateAction, CreateParameters, LeaseBreak, LeaseState, NtStatus};

/// MS-FSA 2.1.5.1.2.2.
#[test]
fn a_share_mode_refuses_who_does_what_it_does_not_share_and_lets_look() {
    let test_server = TestServer::new();
    let (one, two) = (test_server.client(1), test_server.client(2));
    let held = one.open(&CreateParameters { share_mode: Some(1), ..plain() }).unwrap();
    let refused = Some(NtStatus::SHARING_VIOLATION);
    assert_eq!(status(&two.open(&plain())), refused);
    let reading = CreateParameters { access_mask: Some(0x0012_0089), ..plain() };
    assert!(two.open(&reading).is_ok());
    let unshared = CreateParameters { share_mode: Some(0), ..reading.clone() };
    assert_eq!(status(&two.open(&unshared)), refused, "it would not share with the writer");
    assert_eq!(two.does(&PathOperation::Stat { path: path("f") }), Ok(()));
    assert_eq!(status(&two.does(&delete())), refused);
    assert_eq!(status(&two.does(&rename("g"))), refused);
    now(held.close()).unwrap();
    assert_eq!(two.does(&rename("g")), Ok(()));
}

/// MS-FSA 2.1.5.1.2: an open that is refused has not overwritten anything.
#[test]
fn an_open_that_is_refused_or_waits_leaves_the_content_alone() {
    let test_server = TestServer::new();
    let (one, two) = (test_server.client(1), test_server.client(2));
    let unshared = CreateParameters { share_mode: Some(0), ..plain() };
    let held = one.open(&unshared).unwrap();
    now(held.write(0, Bytes::from_static(b"kept"))).unwrap();
    let refused = now(two.open_with("f", CreateDisposition::OverwriteIf, &unshared));
    assert_eq!(status(&refused), Some(NtStatus::SHARING_VIOLATION));
    now(held.close()).unwrap();
    let held = one.open(&oplock(OplockLevel::Exclusive)).unwrap();
    let nothing = plain();
    let mut waiting = pin!(two.open_with("f", CreateDisposition::OverwriteIf, &nothing));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(now(held.read(0, 9)).unwrap(), &b"kept"[..]);
    now(held.acknowledge_oplock_break(OplockLevel::None)).unwrap();
    let opened = waiting.as_mut().now_or_never().unwrap().unwrap();
    assert_eq!(opened.granted().unwrap().action, CreateAction::Overwritten);
    assert_eq!(status(&now(held.read(0, 9))), Some(NtStatus::END_OF_FILE));
}

/// MS-FSA 2.1.5.5: FILE_DELETE_ON_CLOSE. The other opens keep working, and nobody can open the
/// file.
#[test]
fn delete_on_close_makes_the_file_pending_at_that_close_and_gone_at_the_last() {
    let test_server = TestServer::new();
    let (one, two) = (test_server.client(1), test_server.client(2));
    let other = two.open(&plain()).unwrap();
    let deleting = one.open(&delete_on_close()).unwrap();
    // Until then others can open and close it.
    now(two.open(&plain()).unwrap().close()).unwrap();
    now(deleting.close()).unwrap();
    let pending = Some(NtStatus::DELETE_PENDING);
    assert_eq!(status(&two.open(&plain())), pending);
    assert_eq!(status(&two.does(&PathOperation::Stat { path: path("f") })), pending);
    assert_eq!(status(&two.does(&rename("g"))), pending);
    now(other.write(0, Bytes::from_static(b"still works"))).unwrap();
    now(other.close()).unwrap();
    let gone = two.does(&PathOperation::Stat { path: path("f") });
    assert_eq!(status(&gone), Some(NtStatus::OBJECT_NAME_NOT_FOUND));
}

/// MS-FSA 2.1.5.1 and 2.1.5.1.2.1.
#[test]
fn deleting_on_close_needs_the_right_and_a_file_that_is_not_read_only() {
    let test_server = TestServer::new();
    let client = test_server.client(1);
    let options = CreateParameters { create_options: Some(0x1040), ..plain() };
    assert_eq!(status(&client.open(&options)), Some(NtStatus::ACCESS_DENIED));
    let read_only = CreateParameters { file_attributes: Some(1), ..plain() };
    now(client.open(&read_only).unwrap().close()).unwrap();
    assert_eq!(status(&client.open(&delete_on_close())), Some(NtStatus::CANNOT_DELETE));
    assert_eq!(status(&client.does(&delete())), Some(NtStatus::CANNOT_DELETE));
    // A file that was opened with FILE_DELETE_ON_CLOSE is not yet marked for deletion (smbtorture
    // smb2.create.delete).
    let to_delete = CreateParameters { access_mask: Some(0x0001_0000), ..plain() };
    assert!(client.open(&to_delete).is_ok());
    assert_eq!(status(&client.open(&plain())), Some(NtStatus::ACCESS_DENIED), "it writes");
}

/// MS-FSA 2.1.5.15.12: first the handles of the renamed file, then those of the replaced one.
#[test]
fn a_rename_waits_until_nobody_caches_a_handle_to_it_or_to_what_it_replaces() {
    let test_server = TestServer::new();
    let (mut one, two) = (test_server.client(1), test_server.client(2));
    let _source = one.open(&lease(LeaseState::RH)).unwrap();
    let target = lease(LeaseState::RH);
    let target = now(one.open_with("g", CreateDisposition::Create, &target)).unwrap();
    let operation = rename("g");
    let mut waiting = pin!(two.connection.execute_misc(&operation));
    assert!(waiting.as_mut().now_or_never().is_none());
    let loses_handles = |notice: Break| {
        let Break::Lease(LeaseBreak { current, new, .. }) = notice else { panic!("{notice:?}") };
        assert_eq!((current, new), (LeaseState::RH, LeaseState::R));
    };
    // The breaks are read through the field, so that nothing else of `one` is borrowed.
    let first = one.breaks.next().now_or_never().flatten().unwrap();
    loses_handles(first);
    assert_eq!(one.breaks.next().now_or_never(), None);
    one.answers(first.acknowledgement()).unwrap();
    assert!(waiting.as_mut().now_or_never().is_none());
    loses_handles(one.breaks.next().now_or_never().flatten().unwrap());
    now(target.close()).unwrap();
    assert_eq!(waiting.as_mut().now_or_never(), Some(Ok(())));
}

/// MS-FSA 2.1.5.15.12.
#[test]
fn a_rename_replaces_nothing_that_is_read_only() {
    let test_server = TestServer::new();
    let client = test_server.client(1);
    now(client.open(&plain()).unwrap().close()).unwrap();
    let read_only = CreateParameters { file_attributes: Some(1), ..plain() };
    let target = now(client.open_with("g", CreateDisposition::Create, &read_only)).unwrap();
    now(target.close()).unwrap();
    assert_eq!(status(&client.does(&rename("g"))), Some(NtStatus::ACCESS_DENIED));
}

/// MS-FSA 2.1.5.15.3. Samba 4.17 breaks nothing for a deletion on close
/// (smbtorture smb2.lease.unlink fails).
#[test]
fn a_deletion_takes_handle_caching_and_waits_for_it_unless_it_is_a_close() {
    let test_server = TestServer::new();
    let (mut one, two) = (test_server.client(1), test_server.client(2));
    let _held = one.open(&lease(LeaseState::RH)).unwrap();
    now(two.open(&delete_on_close()).unwrap().close()).unwrap();
    let notice = one.next_break().unwrap();
    assert!(matches!(notice, Break::Lease(LeaseBreak { new: LeaseState::R, .. })), "{notice:?}");
    let test_server = TestServer::new();
    let (mut one, two) = (test_server.client(1), test_server.client(2));
    let _held = one.open(&lease(LeaseState::RH)).unwrap();
    let operation = delete();
    let mut waiting = pin!(two.connection.execute_misc(&operation));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert!(two.open(&plain()).is_ok(), "it is not deleted yet");
    let notice = one.breaks.next().now_or_never().flatten().unwrap();
    one.answers(notice.acknowledgement()).unwrap();
    assert_eq!(waiting.as_mut().now_or_never(), Some(Ok(())));
    assert_eq!(status(&two.open(&plain())), Some(NtStatus::DELETE_PENDING));
}

/// MS-FSA 2.1.5.8.
#[test]
fn a_directory_has_no_byte_ranges_to_lock() {
    let test_server = TestServer::new();
    let client = test_server.client(1);
    let options = CreateParameters { create_options: Some(1), ..plain() };
    let directory = now(client.open_with("d", CreateDisposition::Create, &options)).unwrap();
    let locked = now(directory.lock(0, 1, true, false));
    assert_eq!(status(&locked), Some(NtStatus::INVALID_PARAMETER));
}

/// MS-SMB2 3.3.5.9; MS-FSA 2.1.5.1.
#[test]
fn a_request_that_makes_no_sense_is_invalid() {
    let test_server = TestServer::new();
    let client = test_server.client(1);
    for nonsense in [
        CreateParameters { share_mode: Some(8), ..plain() },
        CreateParameters { create_options: Some(0x41), ..plain() },
        CreateParameters { create_options: Some(0x0100_0040), ..plain() },
        CreateParameters { file_attributes: Some(0x40), ..plain() },
    ] {
        assert_eq!(status(&client.open(&nonsense)), Some(NtStatus::INVALID_PARAMETER));
    }
    let nothing = CreateParameters { access_mask: Some(0), ..plain() };
    assert_eq!(status(&client.open(&nothing)), Some(NtStatus::ACCESS_DENIED));
}

/// MS-FSA 2.1.5.15.12: a rename into a directory conflicts with every open of it that has DELETE
/// access, whatever that open shares.
#[test]
fn a_rename_goes_into_no_directory_that_is_open_to_be_deleted() {
    for (access, share, expected) in [
        (0x0001_0080, 7, Some(NtStatus::SHARING_VIOLATION)),
        (0x0001_0080, 0, Some(NtStatus::SHARING_VIOLATION)),
        (0x0000_0081, 1, Some(NtStatus::SHARING_VIOLATION)),
        (0x0000_0081, 2, None),
        (0x0000_0080, 0, None),
    ] {
        let test_server = TestServer::new();
        let (one, two) = (test_server.client(1), test_server.client(2));
        let asked = CreateParameters { create_options: Some(1), ..plain() };
        now(now(one.open_with("d", CreateDisposition::Create, &asked)).unwrap().close()).unwrap();
        let (access_mask, share_mode) = (Some(access), Some(share));
        let asked = CreateParameters { access_mask, share_mode, ..asked };
        for renaming in [&one, &two] {
            now(renaming.open(&plain()).unwrap().close()).unwrap();
            let held = now(one.open_with("d", CreateDisposition::Open, &asked)).unwrap();
            let renamed = status(&renaming.does(&rename("d/f")));
            assert_eq!(renamed, expected, "0x{access:X}, shared as {share}");
            now(held.close()).unwrap();
            if expected.is_none() {
                let path = path("d/f");
                assert_eq!(renaming.does(&PathOperation::Delete { path }), Ok(()));
            }
        }
    }
}
