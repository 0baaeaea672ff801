//! Cases of byte-range locks of two connections.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::backend::OpError;
use crate::ir::OpenMode::ReadWrite;
use crate::probe::{
    CaseArguments, CaseDirectory, CaseFailure, Checked, Clients, Handle, ProbeClient, cases, check,
    check_eq, check_status,
};
use crate::protocol::NtStatus;
use crate::protocol::create::CreateDisposition::OverwriteIf;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

cases! {
    an_exclusive_lock_refuses_any_other: "MS-FSA 2.1.5.8", Locks;
    shared_locks_stand_together: "MS-FSA 2.1.5.8", Locks;
    ranges_that_do_not_overlap_do_not_matter: "MS-FSA 2.1.5.8", Locks;
    an_unlocked_range_is_free_again: "MS-FSA 2.1.5.9", Locks;
    an_unlock_of_what_is_not_locked_is_range_not_locked: "MS-FSA 2.1.5.9", Locks;
    an_unlock_of_anothers_lock_is_range_not_locked: "MS-FSA 2.1.5.9", Locks;
    closing_releases_the_locks: "MS-FSA 2.1.5.5", Locks;
    a_range_past_the_last_offset_is_invalid: "MS-FSA 2.1.5.8", Locks;
    an_exclusive_lock_stops_the_others_reads_and_writes: "MS-FSA 2.1.5.3", Locks;
    a_shared_lock_stops_the_others_writes_only: "MS-FSA 2.1.5.3", Locks;
    a_waiting_lock_is_granted_at_once_when_free: "MS-FSA 2.1.5.8", Locks, BlockingLocks;
    a_waiting_lock_is_granted_on_unlock: "MS-FSA 2.1.5.9", Locks, BlockingLocks;
    a_waiting_lock_is_granted_when_the_holder_closes: "MS-FSA 2.1.5.5", Locks, BlockingLocks;
    a_waiting_lock_is_granted_when_the_holder_vanishes: "MS-SMB2 3.3.7.1", Locks, BlockingLocks;
    a_cancelled_wait_is_cancelled_and_leaves_no_lock: "MS-SMB2 3.3.5.16", Locks, BlockingLocks;
    handles_of_one_connection_conflict_too: "MS-FSA 2.1.5.8", Locks;
    an_exclusive_lock_of_ones_own_refuses_another: "MS-FSA 2.1.5.8", Locks;
    of_two_shared_locks_one_is_left: "MS-FSA 2.1.5.9", Locks;
    a_lock_of_no_bytes_is_in_the_way_inside_another_alone: "MS-FSA 2.1.4.10", Locks;
    a_shared_lock_stands_over_ones_own_exclusive_one: "MS-FSA 2.1.4.10", Locks;
    a_shared_lock_of_ones_own_stops_ones_writes: "MS-FSA 2.1.4.10", Locks;
    a_lock_stops_neither_a_truncation_nor_an_overwrite: "MS-FSA 2.1.5.15.5", Locks;
    an_unlock_past_the_last_offset_is_invalid: "MS-FSA 2.1.5.9", Locks;
    a_lock_beyond_the_end_of_file_holds: "MS-FSA 2.1.5.8", Locks;
    a_lock_up_to_the_last_offset_holds: "MS-FSA 2.1.5.8", Locks;
    two_waiting_locks_are_granted_one_after_the_other: "MS-FSA 2.1.5.8", Locks, BlockingLocks;
    a_lock_keeps_no_file_from_being_overwritten: "MS-FSA 2.1.5.1.2", Locks;
}

/// The time within which any server notices that a range is free.
const GRANTED: Duration = Duration::from_secs(5);
/// The time within which a lock that does not wait would be answered.
const A_WHILE: Duration = Duration::from_millis(200);

/// Two clients that have one file open.
struct Pair<'a> {
    one: ProbeClient<'a>,
    two: ProbeClient<'a>,
    first: Handle,
    second: Handle,
}

impl<'a> CaseArguments<'a> for Pair<'a> {
    fn prepare(directory: &'a CaseDirectory) -> BoxFuture<'a, Checked<Pair<'a>>> {
        Box::pin(async move {
            let [one, two] = directory.pair().await?;
            one.make("f", &[b'x'; 100]).await?;
            let (first, second) = (one.file("f").await?, two.file("f").await?);
            Ok(Pair { one, two, first, second })
        })
    }
}

async fn an_exclusive_lock_refuses_any_other(Pair { first, second, .. }: Pair<'_>) -> Checked {
    first.lock(10, 10, true, false).await?;
    for (offset, length, exclusive) in [(10, 10, true), (19, 5, true), (0, 11, false)] {
        let refused = second.lock(offset, length, exclusive, false).await;
        check_status!(refused, NtStatus::LOCK_NOT_GRANTED, "{offset}+{length}")?;
    }
    Ok(())
}

async fn shared_locks_stand_together(Pair { first, second, .. }: Pair<'_>) -> Checked {
    first.lock(0, 10, false, false).await?;
    second.lock(5, 10, false, false).await?;
    check_status!(second.lock(0, 1, true, false).await, NtStatus::LOCK_NOT_GRANTED)
}

async fn ranges_that_do_not_overlap_do_not_matter(Pair { first, second, .. }: Pair<'_>) -> Checked {
    first.lock(10, 10, true, false).await?;
    second.lock(0, 10, true, false).await?;
    second.lock(20, 1_000_000, true, false).await?;
    check_status!(first.lock(1_000_019, 1, true, false).await, NtStatus::LOCK_NOT_GRANTED)
}

async fn an_unlocked_range_is_free_again(Pair { first, second, .. }: Pair<'_>) -> Checked {
    first.lock(0, 10, true, false).await?;
    check_status!(second.lock(9, 1, true, false).await, NtStatus::LOCK_NOT_GRANTED)?;
    first.unlock(0, 10).await?;
    Ok(second.lock(0, 10, true, false).await?)
}

async fn an_unlock_of_what_is_not_locked_is_range_not_locked(client: ProbeClient<'_>) -> Checked {
    let handle = client.file("f").await?;
    check_status!(handle.unlock(0, 10).await, NtStatus::RANGE_NOT_LOCKED)?;
    handle.lock(0, 10, true, false).await?;
    for (offset, length) in [(0, 9), (1, 9), (0, 11)] {
        let unlocked = handle.unlock(offset, length).await;
        check_status!(unlocked, NtStatus::RANGE_NOT_LOCKED, "{offset}+{length}")?;
    }
    handle.unlock(0, 10).await?;
    check_status!(handle.unlock(0, 10).await, NtStatus::RANGE_NOT_LOCKED)
}

async fn an_unlock_of_anothers_lock_is_range_not_locked(
    Pair { first, second, .. }: Pair<'_>,
) -> Checked {
    first.lock(0, 10, true, false).await?;
    check_status!(second.unlock(0, 10).await, NtStatus::RANGE_NOT_LOCKED)?;
    Ok(first.unlock(0, 10).await?)
}

async fn closing_releases_the_locks(Pair { first, second, .. }: Pair<'_>) -> Checked {
    first.lock(0, 10, true, false).await?;
    check_status!(second.lock(9, 1, true, false).await, NtStatus::LOCK_NOT_GRANTED)?;
    first.close().await?;
    Ok(second.lock(0, 10, true, false).await?)
}

async fn a_range_past_the_last_offset_is_invalid(client: ProbeClient<'_>) -> Checked {
    let handle = client.file("f").await?;
    check_status!(handle.lock(u64::MAX - 1, 10, true, false).await, NtStatus::INVALID_LOCK_RANGE)
}

async fn an_exclusive_lock_stops_the_others_reads_and_writes(
    Pair { first, second, .. }: Pair<'_>,
) -> Checked {
    first.lock(10, 10, true, false).await?;
    check_status!(second.read(0, 11).await, NtStatus::FILE_LOCK_CONFLICT)?;
    check_status!(second.write(19, Bytes::from_static(b"ab")).await, NtStatus::FILE_LOCK_CONFLICT)?;
    check_status!(second.read(0, 10).await, NtStatus::SUCCESS)?;
    check_status!(second.write(20, Bytes::from_static(b"ab")).await, NtStatus::SUCCESS)?;
    check_status!(first.read(10, 10).await, NtStatus::SUCCESS)?;
    check_status!(first.write(10, Bytes::from_static(b"mine")).await, NtStatus::SUCCESS)?;
    first.unlock(10, 10).await?;
    check_eq!(second.read(10, 5).await?, &b"minex"[..])
}

async fn a_shared_lock_stops_the_others_writes_only(
    Pair { first, second, .. }: Pair<'_>,
) -> Checked {
    first.lock(0, 10, false, false).await?;
    check_status!(second.read(0, 10).await, NtStatus::SUCCESS)?;
    check_status!(second.write(9, Bytes::from_static(b"a")).await, NtStatus::FILE_LOCK_CONFLICT)
}

async fn a_waiting_lock_is_granted_at_once_when_free(
    Pair { first, second, .. }: Pair<'_>,
) -> Checked {
    first.lock(0, 10, true, true).await?;
    check_status!(second.lock(0, 10, true, false).await, NtStatus::LOCK_NOT_GRANTED)
}

/// Checks that a lock by `waiter` waits until `release` frees the range, a while later.
async fn granted_only_after(
    waiter: &Handle,
    release: impl Future<Output = Result<(), OpError>>,
) -> Checked {
    let released = AtomicBool::new(false);
    let waiting = async {
        let granted = timeout(GRANTED, waiter.lock(0, 10, true, true)).await;
        granted.map_err(|_| {
            CaseFailure::new(format!("did not end within {GRANTED:?}: it still waits"))
        })??;
        check!(released.load(Ordering::SeqCst), "granted while another held it")
    };
    let releasing = async {
        tokio::time::sleep(A_WHILE).await;
        released.store(true, Ordering::SeqCst);
        release.await
    };
    let (granted, done): (Checked, _) = tokio::join!(waiting, releasing);
    granted?;
    done?;
    Ok(waiter.unlock(0, 10).await?)
}

async fn a_waiting_lock_is_granted_on_unlock(Pair { first, second, .. }: Pair<'_>) -> Checked {
    first.lock(5, 10, true, false).await?;
    granted_only_after(&second, first.unlock(5, 10)).await
}

async fn a_waiting_lock_is_granted_when_the_holder_closes(
    Pair { first, second, .. }: Pair<'_>,
) -> Checked {
    first.lock(5, 10, true, false).await?;
    granted_only_after(&second, first.close()).await
}

async fn a_waiting_lock_is_granted_when_the_holder_vanishes(
    Pair { first, second, one, .. }: Pair<'_>,
) -> Checked {
    first.lock(5, 10, true, false).await?;
    granted_only_after(&second, async {
        drop(first);
        drop(one);
        Ok(())
    })
    .await
}

async fn a_cancelled_wait_is_cancelled_and_leaves_no_lock(
    Pair { first, second, two, .. }: Pair<'_>,
) -> Checked {
    first.lock(0, 10, true, false).await?;
    let cancelling = async {
        tokio::time::sleep(A_WHILE).await;
        check!(two.connection.cancel().await, "the lock ended before it could be canceled")
    };
    let (waited, cancelled): (_, Checked) =
        tokio::join!(second.lock(0, 10, true, true), cancelling);
    cancelled?;
    check_status!(waited, NtStatus::CANCELLED)?;
    first.unlock(0, 10).await?;
    first.lock(0, 10, true, false).await?;
    check_status!(second.read(50, 1).await, NtStatus::SUCCESS, "the connection goes on")
}

async fn handles_of_one_connection_conflict_too(client: ProbeClient<'_>) -> Checked {
    client.make("f", &[b'x'; 100]).await?;
    let (first, second) = (client.file("f").await?, client.file("f").await?);
    first.lock(0, 10, true, false).await?;
    check_status!(second.lock(5, 1, false, false).await, NtStatus::LOCK_NOT_GRANTED)?;
    check_status!(second.read(0, 10).await, NtStatus::FILE_LOCK_CONFLICT)?;
    check_status!(first.read(0, 10).await, NtStatus::SUCCESS)
}

async fn an_exclusive_lock_of_ones_own_refuses_another(client: ProbeClient<'_>) -> Checked {
    let handle = client.file("f").await?;
    handle.lock(0, 10, true, false).await?;
    check_status!(handle.lock(5, 10, true, false).await, NtStatus::LOCK_NOT_GRANTED)?;
    handle.unlock(0, 10).await?;
    Ok(handle.lock(5, 10, true, false).await?)
}

async fn of_two_shared_locks_one_is_left(Pair { first, second, .. }: Pair<'_>) -> Checked {
    first.lock(0, 10, false, false).await?;
    first.lock(0, 10, false, false).await?;
    first.unlock(0, 10).await?;
    check_status!(second.lock(0, 10, true, false).await, NtStatus::LOCK_NOT_GRANTED)?;
    first.unlock(0, 10).await?;
    Ok(second.lock(0, 10, true, false).await?)
}

async fn a_lock_beyond_the_end_of_file_holds(Pair { first, second, .. }: Pair<'_>) -> Checked {
    first.lock(1 << 40, 10, true, false).await?;
    check_status!(second.lock(1 << 40, 1, true, false).await, NtStatus::LOCK_NOT_GRANTED)?;
    check_eq!(second.read(0, 200).await?.len(), 100)
}

async fn a_lock_up_to_the_last_offset_holds(Pair { first, second, .. }: Pair<'_>) -> Checked {
    first.lock(u64::MAX - 9, 10, true, false).await?;
    check_status!(second.lock(u64::MAX, 1, true, false).await, NtStatus::LOCK_NOT_GRANTED)?;
    first.unlock(u64::MAX - 9, 10).await?;
    Ok(second.lock(u64::MAX, 1, true, false).await?)
}

async fn two_waiting_locks_are_granted_one_after_the_other(directory: &CaseDirectory) -> Checked {
    let Pair { first, second, .. } = &Pair::prepare(directory).await?;
    let three = directory.client().await?;
    let third = three.file("f").await?;
    first.lock(0, 10, true, false).await?;
    let holders = AtomicUsize::new(0);
    let waits = async |handle: &Handle| {
        handle.lock(0, 10, true, true).await?;
        check_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold it")?;
        tokio::time::sleep(A_WHILE / 4).await;
        holders.fetch_sub(1, Ordering::SeqCst);
        Ok(handle.unlock(0, 10).await?)
    };
    let releases = async {
        tokio::time::sleep(A_WHILE).await;
        first.unlock(0, 10).await
    };
    let (one, two, released): (Checked, Checked, _) =
        tokio::join!(waits(second), waits(&third), releases);
    released?;
    one.and(two)
}

async fn a_lock_of_no_bytes_is_in_the_way_inside_another_alone(
    Pair { first, second, .. }: Pair<'_>,
) -> Checked {
    let locks = async |handle: &Handle, offset, length, free| -> Checked {
        let expected = if free { NtStatus::SUCCESS } else { NtStatus::LOCK_NOT_GRANTED };
        let locked = handle.lock(offset, length, true, false).await;
        check_status!(locked, expected, "{offset}+{length}")?;
        if free {
            handle.unlock(offset, length).await?;
        }
        Ok(())
    };
    first.lock(10, 10, true, false).await?;
    for (offset, free) in [(0, true), (10, true), (11, false), (19, false), (20, true)] {
        locks(&second, offset, 0, free).await?;
    }
    second.lock(50, 0, true, false).await?;
    for (offset, length, free) in [(50, 10, true), (40, 10, true), (49, 2, false), (50, 0, true)] {
        locks(&first, offset, length, free).await?;
    }
    check_status!(second.unlock(50, 1).await, NtStatus::RANGE_NOT_LOCKED)?;
    Ok(second.unlock(50, 0).await?)
}

async fn a_shared_lock_stands_over_ones_own_exclusive_one(
    Pair { first, second, .. }: Pair<'_>,
) -> Checked {
    first.lock(0, 10, true, false).await?;
    first.lock(0, 10, false, false).await?;
    check_status!(second.lock(0, 10, false, false).await, NtStatus::LOCK_NOT_GRANTED)?;
    first.unlock(0, 10).await?;
    second.lock(0, 10, false, false).await?;
    let refused = first.lock(0, 10, true, false).await;
    check_status!(refused, NtStatus::LOCK_NOT_GRANTED, "the shared one is left")?;
    first.unlock(0, 10).await?;
    check_status!(first.unlock(0, 10).await, NtStatus::RANGE_NOT_LOCKED)
}

async fn a_shared_lock_of_ones_own_stops_ones_writes(Pair { first, .. }: Pair<'_>) -> Checked {
    first.lock(0, 10, false, false).await?;
    check_status!(first.write(9, Bytes::from_static(b"ab")).await, NtStatus::FILE_LOCK_CONFLICT)?;
    check_status!(first.read(0, 10).await, NtStatus::SUCCESS)?;
    first.unlock(0, 10).await?;
    check_status!(first.write(9, Bytes::from_static(b"ab")).await, NtStatus::SUCCESS)
}

async fn a_lock_stops_neither_a_truncation_nor_an_overwrite(
    Pair { first, second, two, .. }: Pair<'_>,
) -> Checked {
    first.lock(0, 100, true, false).await?;
    second.truncate(50).await?;
    two.open("f", ReadWrite, OverwriteIf).await?.close().await?;
    check_status!(first.read(0, 1).await, NtStatus::END_OF_FILE)?;
    let refused = second.lock(0, 1, false, false).await;
    check_status!(refused, NtStatus::LOCK_NOT_GRANTED, "the lock is still there")
}

async fn an_unlock_past_the_last_offset_is_invalid(client: ProbeClient<'_>) -> Checked {
    let handle = client.file("f").await?;
    check_status!(handle.unlock(u64::MAX - 1, 10).await, NtStatus::INVALID_LOCK_RANGE)
}

/// Follows smbtorture smb2.create.brlocked.
async fn a_lock_keeps_no_file_from_being_overwritten([one, two]: Clients<'_, 2>) -> Checked {
    one.make("f", b"old content").await?;
    let held = one.file("f").await?;
    held.lock(0, 1, true, false).await?;
    two.open("f", ReadWrite, OverwriteIf).await?.close().await?;
    held.unlock(0, 1).await?;
    held.close().await?;
    check_eq!(two.content("f").await?, b"")
}
