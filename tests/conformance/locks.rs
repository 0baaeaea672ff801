//! Byte-range locks between two connections.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use smbench::backend::SMBBackend;
use smbench::protocol::NtStatus;

use crate::client::{Client, Handle, answer};
use crate::suite::{Case, Folder, case};

pub const CASES: &[Case] = &[
    case!(locks::an_exclusive_lock_refuses_any_other, Locks),
    case!(locks::shared_locks_stand_together, Locks),
    case!(locks::ranges_that_do_not_overlap_do_not_matter, Locks),
    case!(locks::an_unlocked_range_is_free_again, Locks),
    case!(locks::an_unlock_of_what_is_not_locked_is_range_not_locked, Locks),
    case!(locks::an_unlock_of_anothers_lock_is_range_not_locked, Locks),
    case!(locks::closing_releases_the_locks, Locks),
    case!(locks::a_range_past_the_last_offset_is_invalid, Locks),
    case!(locks::an_exclusive_lock_stops_the_others_reads_and_writes, Locks),
    case!(locks::a_shared_lock_stops_the_others_writes_only, Locks),
    case!(locks::a_waiting_lock_is_granted_at_once_when_free, Locks, BlockingLocks),
    case!(locks::a_waiting_lock_is_granted_on_unlock, Locks, BlockingLocks),
    case!(locks::a_waiting_lock_is_granted_when_the_holder_closes, Locks, BlockingLocks),
    case!(locks::a_waiting_lock_is_granted_when_the_holder_vanishes, Locks, BlockingLocks),
    case!(locks::a_cancelled_wait_is_cancelled_and_leaves_no_lock, Locks, BlockingLocks),
];

/// Long enough that a lock that does not wait would have been answered.
const A_WHILE: Duration = Duration::from_millis(200);

/// The same file, open on two connections.
struct Two<'a> {
    one: Client<'a>,
    two: Client<'a>,
    first: Handle,
    second: Handle,
}

impl<'a> Two<'a> {
    async fn on_one_file(server: &dyn SMBBackend, folder: &'a Folder) -> Two<'a> {
        let one = Client::connect(server, folder).await;
        let two = Client::connect(server, folder).await;
        one.make("f", &[b'x'; 100]).await;
        let (first, second) = (one.file("f").await, two.file("f").await);
        Two { one, two, first, second }
    }
}

pub async fn an_exclusive_lock_refuses_any_other(server: &dyn SMBBackend, folder: &Folder) {
    let Two { first, second, one: _one, two: _two } = Two::on_one_file(server, folder).await;
    first.lock(10, 10, true, false).await.unwrap();
    for (offset, length, exclusive) in [(10, 10, true), (19, 5, true), (0, 11, false)] {
        let refused = second.lock(offset, length, exclusive, false).await;
        assert_eq!(answer(refused), NtStatus::LOCK_NOT_GRANTED, "{offset}+{length}");
    }
}

pub async fn shared_locks_stand_together(server: &dyn SMBBackend, folder: &Folder) {
    let Two { first, second, one: _one, two: _two } = Two::on_one_file(server, folder).await;
    first.lock(0, 10, false, false).await.unwrap();
    second.lock(5, 10, false, false).await.unwrap();
    let refused = second.lock(0, 1, true, false).await;
    assert_eq!(answer(refused), NtStatus::LOCK_NOT_GRANTED);
}

pub async fn ranges_that_do_not_overlap_do_not_matter(server: &dyn SMBBackend, folder: &Folder) {
    let Two { first, second, one: _one, two: _two } = Two::on_one_file(server, folder).await;
    first.lock(10, 10, true, false).await.unwrap();
    second.lock(0, 10, true, false).await.unwrap();
    second.lock(20, 1_000_000, true, false).await.unwrap();
    let refused = first.lock(1_000_019, 1, true, false).await;
    assert_eq!(answer(refused), NtStatus::LOCK_NOT_GRANTED);
}

pub async fn an_unlocked_range_is_free_again(server: &dyn SMBBackend, folder: &Folder) {
    let Two { first, second, one: _one, two: _two } = Two::on_one_file(server, folder).await;
    first.lock(0, 10, true, false).await.unwrap();
    assert_eq!(answer(second.lock(9, 1, true, false).await), NtStatus::LOCK_NOT_GRANTED);
    first.unlock(0, 10).await.unwrap();
    second.lock(0, 10, true, false).await.unwrap();
}

pub async fn an_unlock_of_what_is_not_locked_is_range_not_locked(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    let handle = client.file("f").await;
    assert_eq!(answer(handle.unlock(0, 10).await), NtStatus::RANGE_NOT_LOCKED);
    handle.lock(0, 10, true, false).await.unwrap();
    for (offset, length) in [(0, 9), (1, 9), (0, 11)] {
        let unlocked = handle.unlock(offset, length).await;
        assert_eq!(answer(unlocked), NtStatus::RANGE_NOT_LOCKED, "{offset}+{length}");
    }
    handle.unlock(0, 10).await.unwrap();
    assert_eq!(answer(handle.unlock(0, 10).await), NtStatus::RANGE_NOT_LOCKED);
}

pub async fn an_unlock_of_anothers_lock_is_range_not_locked(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let Two { first, second, one: _one, two: _two } = Two::on_one_file(server, folder).await;
    first.lock(0, 10, true, false).await.unwrap();
    assert_eq!(answer(second.unlock(0, 10).await), NtStatus::RANGE_NOT_LOCKED);
    first.unlock(0, 10).await.unwrap();
}

pub async fn closing_releases_the_locks(server: &dyn SMBBackend, folder: &Folder) {
    let Two { first, second, one: _one, two: _two } = Two::on_one_file(server, folder).await;
    first.lock(0, 10, true, false).await.unwrap();
    assert_eq!(answer(second.lock(9, 1, true, false).await), NtStatus::LOCK_NOT_GRANTED);
    first.close().await.unwrap();
    second.lock(0, 10, true, false).await.unwrap();
}

pub async fn a_range_past_the_last_offset_is_invalid(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let handle = client.file("f").await;
    let refused = handle.lock(u64::MAX - 1, 10, true, false).await;
    assert_eq!(answer(refused), NtStatus::INVALID_LOCK_RANGE);
}

pub async fn an_exclusive_lock_stops_the_others_reads_and_writes(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let Two { first, second, one: _one, two: _two } = Two::on_one_file(server, folder).await;
    first.lock(10, 10, true, false).await.unwrap();
    assert_eq!(answer(second.read(0, 11).await), NtStatus::FILE_LOCK_CONFLICT);
    let written = second.write(19, Bytes::from_static(b"ab")).await;
    assert_eq!(answer(written), NtStatus::FILE_LOCK_CONFLICT);
    assert_eq!(answer(second.read(0, 10).await), NtStatus::SUCCESS);
    assert_eq!(answer(second.write(20, Bytes::from_static(b"ab")).await), NtStatus::SUCCESS);
    assert_eq!(answer(first.read(10, 10).await), NtStatus::SUCCESS);
    assert_eq!(answer(first.write(10, Bytes::from_static(b"mine")).await), NtStatus::SUCCESS);
    first.unlock(10, 10).await.unwrap();
    assert_eq!(second.read(10, 5).await.unwrap(), &b"minex"[..]);
}

pub async fn a_shared_lock_stops_the_others_writes_only(server: &dyn SMBBackend, folder: &Folder) {
    let Two { first, second, one: _one, two: _two } = Two::on_one_file(server, folder).await;
    first.lock(0, 10, false, false).await.unwrap();
    assert_eq!(answer(second.read(0, 10).await), NtStatus::SUCCESS);
    let written = second.write(9, Bytes::from_static(b"a")).await;
    assert_eq!(answer(written), NtStatus::FILE_LOCK_CONFLICT);
}

pub async fn a_waiting_lock_is_granted_at_once_when_free(server: &dyn SMBBackend, folder: &Folder) {
    let Two { first, second, one: _one, two: _two } = Two::on_one_file(server, folder).await;
    first.lock(0, 10, true, true).await.unwrap();
    let refused = second.lock(0, 10, true, false).await;
    assert_eq!(answer(refused), NtStatus::LOCK_NOT_GRANTED);
}

/// The second waits; `release` frees the range a while later.
async fn granted_only_after(waiter: &Handle, release: impl Future<Output = ()>) {
    let released = AtomicBool::new(false);
    let waiting = async {
        waiter.lock(0, 10, true, true).await.unwrap();
        assert!(released.load(Ordering::SeqCst), "granted while another held it");
    };
    let releasing = async {
        tokio::time::sleep(A_WHILE).await;
        released.store(true, Ordering::SeqCst);
        release.await;
    };
    tokio::join!(waiting, releasing);
    waiter.unlock(0, 10).await.unwrap();
}

pub async fn a_waiting_lock_is_granted_on_unlock(server: &dyn SMBBackend, folder: &Folder) {
    let Two { first, second, one: _one, two: _two } = Two::on_one_file(server, folder).await;
    first.lock(5, 10, true, false).await.unwrap();
    granted_only_after(&second, async { first.unlock(5, 10).await.unwrap() }).await;
}

pub async fn a_waiting_lock_is_granted_when_the_holder_closes(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let Two { first, second, one: _one, two: _two } = Two::on_one_file(server, folder).await;
    first.lock(5, 10, true, false).await.unwrap();
    granted_only_after(&second, async { first.close().await.unwrap() }).await;
}

pub async fn a_waiting_lock_is_granted_when_the_holder_vanishes(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let Two { first, second, one, two: _two } = Two::on_one_file(server, folder).await;
    first.lock(5, 10, true, false).await.unwrap();
    granted_only_after(&second, async {
        drop(first);
        drop(one);
    })
    .await;
}

pub async fn a_cancelled_wait_is_cancelled_and_leaves_no_lock(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let Two { first, second, two, one: _one } = Two::on_one_file(server, folder).await;
    first.lock(0, 10, true, false).await.unwrap();
    let cancelling = async {
        tokio::time::sleep(A_WHILE).await;
        assert!(two.connection.cancel().await, "the capability is declared");
    };
    let (waited, ()) = tokio::join!(second.lock(0, 10, true, true), cancelling);
    assert_eq!(answer(waited), NtStatus::CANCELLED);
    first.unlock(0, 10).await.unwrap();
    first.lock(0, 10, true, false).await.unwrap();
    assert_eq!(answer(second.read(50, 1).await), NtStatus::SUCCESS, "the connection goes on");
}
