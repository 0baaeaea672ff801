//! Cases of oplock breaks (MS-FSA 2.1.4.12; MS-SMB2 3.3.4.6, 3.3.5.22.1).

use bytes::Bytes;

use super::oplocks::{granted, hold, opens, oplock};
use crate::ir::OpenMode::ReadWrite;
use crate::probe::{
    Checked, Clients, Handle, ProbeClient, SOON, answer, cases, check, check_eq, check_status, done,
};
use crate::protocol::create::CreateDisposition::{Open, OverwriteIf};
use crate::protocol::create::OplockLevel::{self, Batch, Exclusive, II, None as Nothing};
use crate::protocol::{Break, CreateParameters, NtStatus, OplockBreak};

cases! {
    a_second_open_breaks_a_batch_oplock_and_waits_for_the_answer =
        second_open(Batch): "MS-FSA 2.1.4.12", Caching;
    a_second_open_breaks_an_exclusive_oplock_and_waits =
        second_open(Exclusive): "MS-FSA 2.1.4.12", Caching;
    data_written_before_the_answer_is_what_the_other_reads: "MS-SMB2 3.3.5.22.1", Caching;
    a_close_answers_a_break_as_well: "MS-SMB2 3.3.5.10", Caching;
    a_lost_connection_answers_a_break_as_well: "MS-SMB2 3.3.7.1", Caching;
    an_answer_may_give_up_more_than_it_must: "MS-SMB2 2.2.24.1", Caching;
    a_greedy_answer_is_refused_and_the_oplock_lost: "MS-SMB2 3.3.5.22.1", Caching;
    overwriting_breaks_a_batch_oplock_to_none: "MS-FSA 2.1.4.12", Caching;
    overwriting_takes_level_ii_and_waits_for_nobody =
        takes_level_ii("overwrite"): "MS-FSA 2.1.4.12", Caching;
    a_write_takes_level_ii_from_others = takes_level_ii("write"): "MS-FSA 2.1.4.12", Caching;
    a_write_takes_the_writers_own_level_ii: "MS-FSA 2.1.4.12", Caching;
    a_truncation_takes_level_ii_from_others =
        takes_level_ii("truncate"): "MS-FSA 2.1.4.12", Caching;
    a_lock_takes_level_ii_from_others = takes_level_ii("lock"): "MS-FSA 2.1.4.12", Caching, Locks;
    the_writer_keeps_its_own_batch_oplock: "MS-FSA 2.1.4.12", Caching;
    an_open_of_attributes_breaks_nothing: "MS-FSA 2.1.4.12", Caching, AccessMask;
    an_open_of_the_security_descriptor_breaks_a_batch_oplock: "MS-FSA 2.1.4.12", Caching, AccessMask;
    a_batch_oplock_is_broken_before_a_share_mode_refuses: "MS-FSA 2.1.5.1.2", Caching, ShareMode;
    a_batch_holder_that_closes_lets_the_other_in: "MS-FSA 2.1.5.1.2", Caching, ShareMode;
    an_exclusive_oplock_is_not_broken_by_who_is_refused: "MS-FSA 2.1.5.1.2.2", Caching, ShareMode;
    a_rename_by_another_breaks_a_batch_oplock: "MS-FSA 2.1.4.12", Caching;
    a_deletion_by_another_breaks_a_batch_oplock: "MS-FSA 2.1.4.12", Caching;
    the_oplock_of_one_file_is_not_broken_for_another: "MS-FSA 2.1.4.12", Caching;
    a_waiting_open_can_be_cancelled: "MS-SMB2 3.3.5.16", Caching, BlockingLocks;
}

pub fn broken(handle: &Handle, level: OplockLevel) -> Checked<Break> {
    Ok(Break::Oplock(OplockBreak { file_id: granted(handle)?.file_id, level }))
}

/// Checks that `disturbs` breaks the holder's oplock once, to `level`, and acknowledges the break.
/// Returns the result of `disturbs`.
pub async fn breaks_to<T>(
    (holder, held): (&ProbeClient<'_>, &Handle),
    level: OplockLevel,
    disturbs: impl Future<Output = Checked<T>> + Send,
) -> Checked<T> {
    let expected = broken(held, level)?;
    let react = async |notice: Break| {
        check_eq!(notice, expected)?;
        Ok(holder.answers(notice.acknowledgement()).await?)
    };
    let disturbed = holder.broken_by(disturbs, react).await?;
    holder.expect_no_break().await?;
    Ok(disturbed)
}

async fn second_open([one, two]: Clients<'_, 2>, level: OplockLevel) -> Checked {
    let held = hold(&one, level).await?;
    check_eq!(breaks_to((&one, &held), II, opens(&two, Batch)).await?, II)?;
    // An open that changes nothing does not break level II.
    check_eq!(opens(&two, II).await?, II)?;
    one.expect_no_break().await
}

async fn data_written_before_the_answer_is_what_the_other_reads(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    let held = hold(&one, Batch).await?;
    let flushes = async |notice: Break| {
        held.write(0, Bytes::from_static(b"what was cached")).await?;
        Ok(one.answers(notice.acknowledgement()).await?)
    };
    let read = one.broken_by(done(two.content("f")), flushes).await?;
    check_eq!(read, b"what was cached")
}

async fn a_close_answers_a_break_as_well([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, Batch).await?;
    let level = one.broken_by(opens(&two, Batch), async |_| Ok(held.close().await?)).await?;
    check_eq!(level, Batch, "nobody else has it open")
}

async fn a_lost_connection_answers_a_break_as_well([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, Batch).await?;
    let vanishes = async move {
        one.next_break().await?;
        one.disconnect().await;
        Ok(())
    };
    let ((), level) = tokio::try_join!(vanishes, opens(&two, Batch))?;
    check_eq!(level, Batch, "nobody else has it open")
}

async fn an_answer_may_give_up_more_than_it_must([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, Batch).await?;
    let gives_up = async |_| Ok(held.acknowledge_oplock_break(Nothing).await?);
    let other = one.broken_by(done(two.file("f")), gives_up).await?;
    other.write(0, Bytes::from_static(b"x")).await?;
    // The first client caches nothing any more that a write could break.
    one.expect_no_break().await
}

async fn a_greedy_answer_is_refused_and_the_oplock_lost([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, Batch).await?;
    let opening = async {
        let opened = tokio::time::timeout(SOON, two.file("f")).await;
        check!(opened.is_ok(), "the break is not over, and the other's open still waits")?;
        Ok(opened)
    };
    let greedy = async |_| {
        let answered = held.acknowledge_oplock_break(Batch).await;
        check_status!(answered, NtStatus::INVALID_OPLOCK_PROTOCOL)
    };
    if let Ok(other) = one.broken_by(opening, greedy).await? {
        other?.write(0, Bytes::from_static(b"x")).await?;
    }
    one.expect_no_break().await
}

async fn overwriting_breaks_a_batch_oplock_to_none([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, Batch).await?;
    let overwrites = done(two.open("f", ReadWrite, OverwriteIf));
    breaks_to((&one, &held), Nothing, overwrites).await.map(drop)
}

/// Changes the content of `f`, or locks a part of it.
pub async fn change_content(client: &ProbeClient<'_>, change: &str) -> Checked {
    if change == "overwrite" {
        return Ok(client.open("f", ReadWrite, OverwriteIf).await.map(drop)?);
    }
    let handle = client.file("f").await?;
    match change {
        "write" => handle.write(0, Bytes::from_static(b"x")).await.map(drop)?,
        "truncate" => handle.truncate(3).await?,
        _ => handle.lock(0, 1, true, false).await?,
    }
    Ok(())
}

/// Checks that `change` breaks level II to none and does not wait: such a break ends at once.
async fn takes_level_ii([one, two]: Clients<'_, 2>, change: &str) -> Checked {
    two.make("f", b"0123456789").await?;
    let held = hold(&one, II).await?;
    change_content(&two, change).await?;
    check_eq!(one.next_break().await?, broken(&held, Nothing)?, "{change}")?;
    one.expect_no_break().await
}

async fn a_write_takes_the_writers_own_level_ii(client: ProbeClient<'_>) -> Checked {
    let held = hold(&client, II).await?;
    held.write(0, Bytes::from_static(b"x")).await?;
    check_eq!(client.next_break().await?, broken(&held, Nothing)?)
}

async fn the_writer_keeps_its_own_batch_oplock([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, Batch).await?;
    held.write(0, Bytes::from_static(b"x")).await?;
    held.truncate(100).await?;
    held.flush().await?;
    one.expect_no_break().await?;
    breaks_to((&one, &held), II, opens(&two, Nothing)).await.map(drop)
}

async fn an_open_of_attributes_breaks_nothing([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, Batch).await?;
    let attributes = CreateParameters { access_mask: Some(0x180), ..CreateParameters::default() };
    two.open_extended("f", ReadWrite, Open, &attributes).await?.close().await?;
    two.stat("f").await?;
    one.expect_no_break().await
}

async fn an_open_of_the_security_descriptor_breaks_a_batch_oplock(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    let held = hold(&one, Batch).await?;
    let asked = CreateParameters { access_mask: Some(0x0002_0000), ..CreateParameters::default() };
    let opens = done(two.open_extended("f", ReadWrite, Open, &asked));
    breaks_to((&one, &held), II, opens).await.map(drop)
}

fn alone(level: OplockLevel) -> CreateParameters {
    CreateParameters { share_mode: Some(0), ..oplock(level) }
}

async fn a_batch_oplock_is_broken_before_a_share_mode_refuses(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    hold(&one, Batch).await?.close().await?;
    let held = one.file_with("f", &alone(Batch)).await?;
    let opens = async { answer(two.file("f").await) };
    let refused = breaks_to((&one, &held), II, opens).await?;
    check_eq!(refused, NtStatus::SHARING_VIOLATION)
}

async fn a_batch_holder_that_closes_lets_the_other_in([one, two]: Clients<'_, 2>) -> Checked {
    hold(&one, Batch).await?.close().await?;
    let held = one.file_with("f", &alone(Batch)).await?;
    let opened = one.broken_by(done(two.file("f")), async |_| Ok(held.close().await?)).await?;
    Ok(opened.close().await?)
}

async fn an_exclusive_oplock_is_not_broken_by_who_is_refused(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    hold(&one, Exclusive).await?.close().await?;
    let _held = one.file_with("f", &alone(Exclusive)).await?;
    check_status!(two.file("f").await, NtStatus::SHARING_VIOLATION)?;
    one.expect_no_break().await
}

/// Expects a break to level II, because a rename by path opens the file first.
async fn a_rename_by_another_breaks_a_batch_oplock([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, Batch).await?;
    breaks_to((&one, &held), II, done(two.rename("f", "g", false))).await?;
    check_status!(two.stat("g").await, NtStatus::SUCCESS)
}

async fn a_deletion_by_another_breaks_a_batch_oplock([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, Batch).await?;
    breaks_to((&one, &held), II, done(two.delete("f"))).await?;
    held.close().await?;
    check_status!(two.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn the_oplock_of_one_file_is_not_broken_for_another([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, Batch).await?;
    let other = two.file_with("g", &oplock(Batch)).await?;
    check_eq!(granted(&other)?.oplock, Batch)?;
    other.write(0, Bytes::from_static(b"x")).await?;
    one.expect_no_break().await
}

async fn a_waiting_open_can_be_cancelled([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, Batch).await?;
    let cancels = async |_| check!(two.connection.cancel().await, "the backend sends no cancel");
    let opening = async { answer(two.file("f").await) };
    check_eq!(one.broken_by(opening, cancels).await?, NtStatus::CANCELLED)?;
    Ok(held.close().await?)
}
