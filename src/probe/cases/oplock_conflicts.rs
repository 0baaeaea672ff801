//! Cases of oplocks in conflict with dispositions, share modes and locks, and of oplocks that are
//! broken twice (MS-FSA 2.1.4.12, 2.1.5.1.2, 2.1.5.8; MS-SMB2 3.3.5.22.1).

use std::time::Duration;

use bytes::Bytes;

use super::oplock_breaks::{breaks_to, broken};
use super::oplocks::{granted, hold, oplock};
use crate::ir::OpenMode::ReadWrite;
use crate::probe::{
    CaseDirectory, Checked, Clients, ProbeClient, answer, cases, check_eq, check_status, done,
};
use crate::protocol::create::CreateDisposition::{Create, Open, OpenIf, OverwriteIf, Supersede};
use crate::protocol::create::OplockLevel::{self, Batch, Exclusive, II, None as Nothing};
use crate::protocol::{Break, CreateParameters, NtStatus};

cases! {
    the_disposition_says_what_is_left_of_an_exclusive_oplock: "MS-FSA 2.1.4.12", Caching;
    attributes_that_overwrite_break_to_none: "MS-FSA 2.1.4.12", Caching, AccessMask;
    access_to_attributes_breaks_no_oplock_and_any_other_access_does: "MS-FSA 2.1.4.12", Caching, AccessMask;
    an_open_of_attributes_may_hold_a_batch_oplock: "MS-FSA 2.1.5.18.1", Caching, AccessMask;
    a_refused_delete_breaks_a_batch_oplock_once: "MS-FSA 2.1.5.1.2", Caching, ShareMode;
    a_refused_overwrite_breaks_a_batch_oplock: "MS-FSA 2.1.5.1.2", Caching, ShareMode;
    a_file_that_is_to_be_deleted_is_refused_without_a_break: "MS-FSA 2.1.5.1", Caching;
    a_break_to_none_follows_the_answer_to_one_to_ii: "MS-FSA 2.1.5.19", Caching;
    an_oplock_is_of_one_open_and_not_of_its_client: "MS-FSA 2.1.4.12", Caching;
    a_lock_takes_the_lockers_own_level_ii: "MS-FSA 2.1.4.12", Caching, Locks;
    a_lock_leaves_the_lockers_own_batch_oplock: "MS-FSA 2.1.4.12", Caching, Locks;
    a_write_of_nothing_breaks_nothing: "MS-FSA 2.1.5.4", Caching;
    a_rename_of_a_directory_takes_a_batch_oplock_below: "MS-FSA 2.1.4.2", Caching;
}

async fn the_disposition_says_what_is_left_of_an_exclusive_oplock(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    for (disposition, left) in
        [(Supersede, Nothing), (Open, II), (OverwriteIf, Nothing), (OpenIf, II)]
    {
        let held = hold(&one, Exclusive).await?;
        let opening = async {
            let asked = oplock(Exclusive);
            Ok(two.open_extended("f", ReadWrite, disposition, &asked).await?)
        };
        let opened = breaks_to((&one, &held), left, opening).await?;
        check_eq!(granted(&opened)?.oplock, II, "{disposition:?}")?;
        opened.close().await?;
        held.close().await?;
    }
    Ok(())
}

fn with_access(access: u32, asked: OplockLevel) -> CreateParameters {
    CreateParameters { access_mask: Some(access), ..oplock(asked) }
}

async fn attributes_that_overwrite_break_to_none([one, two]: Clients<'_, 2>) -> Checked {
    for disposition in [OverwriteIf, Supersede] {
        let held = hold(&one, Batch).await?;
        let asked = with_access(0x0010_0180, Batch);
        let opening = done(two.open_extended("f", ReadWrite, disposition, &asked));
        let opened = breaks_to((&one, &held), Nothing, opening).await?;
        check_eq!(granted(&opened)?.oplock, II, "{disposition:?}")?;
        opened.close().await?;
        held.close().await?;
    }
    Ok(())
}

async fn access_to_attributes_breaks_no_oplock_and_any_other_access_does(
    directory: &CaseDirectory,
) -> Checked {
    const LOOKING: [u32; 3] = [0x80, 0x100, 0x0010_0000];
    const ELSE: [u32; 10] =
        [0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x0001_0000, 0x0002_0000, 0x0004_0000, 0x0008_0000];
    let [one, two] = directory.pair().await?;
    for access in LOOKING.into_iter().chain(ELSE) {
        let held = hold(&one, Batch).await?;
        let asked = with_access(access, Nothing);
        let opening = done(two.open_extended("f", ReadWrite, Open, &asked));
        let opened = if LOOKING.contains(&access) {
            let opened = opening.await?;
            one.expect_no_break().await?;
            opened
        } else {
            let expected = broken(&held, II)?;
            let answering = async |notice: Break| {
                check_eq!(notice, expected, "access 0x{access:X}")?;
                Ok(one.answers(notice.acknowledgement()).await?)
            };
            one.broken_by(opening, answering).await?
        };
        opened.close().await?;
        held.close().await?;
    }
    Ok(())
}

async fn an_open_of_attributes_may_hold_a_batch_oplock([one, two]: Clients<'_, 2>) -> Checked {
    hold(&one, Batch).await?.close().await?;
    one.delete("f").await?;
    let attributes = with_access(0x0010_0180, Batch);
    let held = one.open_extended("f", ReadWrite, Create, &attributes).await?;
    check_eq!(granted(&held)?.oplock, Batch)?;
    let looks = two.open_extended("f", ReadWrite, Open, &attributes).await?;
    check_eq!(granted(&looks)?.oplock, Nothing)?;
    looks.close().await?;
    one.expect_no_break().await?;
    let opened = breaks_to((&one, &held), II, done(two.file_with("f", &oplock(Batch)))).await?;
    check_eq!(granted(&opened)?.oplock, II)
}

fn alone(level: OplockLevel) -> CreateParameters {
    CreateParameters { share_mode: Some(0), ..oplock(level) }
}

async fn a_refused_delete_breaks_a_batch_oplock_once([one, two]: Clients<'_, 2>) -> Checked {
    hold(&one, Batch).await?.close().await?;
    let held = one.file_with("f", &alone(Batch)).await?;
    let deleting = async { answer(two.delete("f").await) };
    check_eq!(breaks_to((&one, &held), II, deleting).await?, NtStatus::SHARING_VIOLATION)?;
    check_status!(two.delete("f").await, NtStatus::SHARING_VIOLATION)?;
    one.expect_no_break().await?;
    held.write(0, Bytes::from_static(b"x")).await?;
    check_eq!(one.next_break().await?, broken(&held, Nothing)?, "level II is nobody's who writes")
}

async fn a_refused_overwrite_breaks_a_batch_oplock([one, two]: Clients<'_, 2>) -> Checked {
    hold(&one, Batch).await?.close().await?;
    let held = one.file_with("f", &alone(Batch)).await?;
    held.write(0, Bytes::from_static(b"kept")).await?;
    let opening = async { answer(two.open("f", ReadWrite, OverwriteIf).await) };
    let refused = breaks_to((&one, &held), Nothing, opening).await?;
    check_eq!(refused, NtStatus::SHARING_VIOLATION)?;
    check_eq!(held.read(0, 100).await?, &b"kept"[..])
}

async fn a_file_that_is_to_be_deleted_is_refused_without_a_break(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    let held = hold(&one, Batch).await?;
    breaks_to((&one, &held), II, done(two.delete("f"))).await?;
    check_status!(two.open("f", ReadWrite, OverwriteIf).await, NtStatus::DELETE_PENDING)?;
    one.expect_no_break().await
}

/// Follows smbtorture smb2.oplock.levelii501.
async fn a_break_to_none_follows_the_answer_to_one_to_ii(
    [one, two, three]: Clients<'_, 3>,
) -> Checked {
    let held = hold(&one, Exclusive).await?;
    let overwriting = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Checked::Ok(three.open("f", ReadWrite, OverwriteIf).await?.close().await?)
    };
    let answering = async {
        let notice = one.next_break().await?;
        check_eq!(notice, broken(&held, II)?)?;
        // The open that overwrites reaches the server before this answer.
        tokio::time::sleep(Duration::from_millis(200)).await;
        one.answers(notice.acknowledgement()).await?;
        check_eq!(one.next_break().await?, broken(&held, Nothing)?)
    };
    let opening = async { Ok(two.file("f").await?.close().await?) };
    tokio::try_join!(answering, opening, overwriting)?;
    one.expect_no_break().await
}

async fn an_oplock_is_of_one_open_and_not_of_its_client(client: ProbeClient<'_>) -> Checked {
    let first = hold(&client, Batch).await?;
    let second =
        breaks_to((&client, &first), II, done(client.file_with("f", &oplock(Batch)))).await?;
    check_eq!(granted(&second)?.oplock, II)?;
    second.write(0, Bytes::from_static(b"x")).await?;
    let mut notice = [client.next_break().await?, client.next_break().await?];
    let mut expected = [broken(&first, Nothing)?, broken(&second, Nothing)?];
    for breaks in [&mut notice, &mut expected] {
        breaks.sort_unstable_by_key(|what| match what {
            Break::Oplock(oplock) => oplock.file_id.volatile,
            Break::Lease(_) => 0,
        });
    }
    check_eq!(notice, expected, "a write takes level II from all opens")?;
    client.expect_no_break().await
}

async fn a_lock_takes_the_lockers_own_level_ii([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, Batch).await?;
    held.write(0, Bytes::from_static(b"0123456789")).await?;
    let _other = breaks_to((&one, &held), II, done(two.file("f"))).await?;
    held.lock(0, 4, true, false).await?;
    check_eq!(one.next_break().await?, broken(&held, Nothing)?)?;
    check_status!(held.lock(2, 4, true, false).await, NtStatus::LOCK_NOT_GRANTED)?;
    one.expect_no_break().await
}

async fn a_lock_leaves_the_lockers_own_batch_oplock([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, Batch).await?;
    held.write(0, Bytes::from_static(b"0123456789")).await?;
    held.lock(0, 4, true, false).await?;
    check_status!(held.lock(2, 4, true, false).await, NtStatus::LOCK_NOT_GRANTED)?;
    one.expect_no_break().await?;
    breaks_to((&one, &held), II, done(two.file("f"))).await.map(drop)
}

async fn a_write_of_nothing_breaks_nothing([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, II).await?;
    let writer = two.file("f").await?;
    check_eq!(writer.write(0, Bytes::new()).await?, 0)?;
    one.expect_no_break().await
}

async fn a_rename_of_a_directory_takes_a_batch_oplock_below([one, two]: Clients<'_, 2>) -> Checked {
    one.mkdir("d").await?;
    hold(&one, Batch).await?.close().await?;
    let held = one.file_with("d/f", &oplock(Batch)).await?;
    let renaming = async { answer(two.rename("d", "e", false).await) };
    check_eq!(breaks_to((&one, &held), Nothing, renaming).await?, NtStatus::ACCESS_DENIED)?;
    held.close().await?;
    let again = one.file_with("d/f", &oplock(Batch)).await?;
    let closes = async |_: Break| Ok(again.close().await?);
    one.broken_by(done(two.rename("d", "e", false)), closes).await?;
    check_status!(two.stat("e/f").await, NtStatus::SUCCESS)
}
