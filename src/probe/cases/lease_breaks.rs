//! Cases of lease breaks (MS-FSA 2.1.4.12; MS-SMB2 3.3.4.7, 3.3.5.22.2).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::leases::{
    answers, asking_for, hold, hold_with, key, lease, leased, made_directory, opens, wanted,
};
use super::oplock_breaks::change_content;
use super::oplocks;
use crate::ir::OpenMode::ReadWrite;
use crate::probe::{
    CaseDirectory, CaseFailure, Checked, Clients, Handle, ProbeClient, answer, cases, check_eq,
    check_status, done,
};
use crate::protocol::create::CreateDisposition::{Open, OpenIf, OverwriteIf};
use crate::protocol::create::OplockLevel::{self, Batch, II, None as Nothing};
use crate::protocol::{Break, CreateParameters, Lease, LeaseBreak, LeaseState, NtStatus};

cases! {
    another_key_takes_write_caching_from_rwh = meetings(W_GOES): "MS-FSA 2.1.4.12", Caching;
    another_key_takes_write_caching_from_rw =
        meetings((LeaseState::RW, LeaseState::R)): "MS-FSA 2.1.4.12", Caching;
    another_key_leaves_rh_and_r_alone: "MS-FSA 2.1.4.12", Caching;
    a_lease_is_not_broken_by_its_own_key: "MS-FSA 2.1.4.12", Caching;
    the_same_key_of_another_client_is_another_lease: "MS-SMB2 3.3.1.4", Caching;
    a_break_counts_as_an_epoch: "MS-SMB2 3.3.4.7", Caching;
    a_lease_of_version_1_is_broken_alike: "MS-SMB2 3.3.4.7", Caching;
    an_open_during_a_break_says_so: "MS-SMB2 3.3.5.9.11", Caching;
    an_answer_may_keep_less_than_was_left: "MS-SMB2 3.3.5.22.2", Caching;
    a_greedy_answer_is_not_accepted_and_may_be_repeated: "MS-SMB2 3.3.5.22.2", Caching;
    a_close_answers_a_lease_break_as_well: "MS-SMB2 3.3.5.10", Caching;
    a_lost_connection_answers_a_lease_break_as_well: "MS-SMB2 3.3.7.1", Caching;
    overwriting_takes_all_of_rwh_and_waits: "MS-FSA 2.1.4.12", Caching;
    overwriting_takes_r_without_an_answer = takes_r("overwrite"): "MS-FSA 2.1.4.12", Caching;
    a_write_takes_r_from_others_without_an_answer = takes_r("write"): "MS-FSA 2.1.4.12", Caching;
    a_write_takes_rh_from_others: "MS-FSA 2.1.4.12", Caching;
    a_truncation_takes_r_from_others = takes_r("truncate"): "MS-FSA 2.1.4.12", Caching;
    a_lock_takes_r_from_others = takes_r("lock"): "MS-FSA 2.1.4.12", Caching, Locks;
    an_open_of_attributes_breaks_no_lease =
        breaks_no_lease(0x0010_0180): "MS-FSA 2.1.4.12", Caching, AccessMask;
    an_open_of_the_security_descriptor_breaks_no_lease =
        breaks_no_lease(0x0002_0000): "MS-FSA 2.1.4.12", Caching, AccessMask;
    handle_caching_goes_before_a_share_mode_refuses: "MS-FSA 2.1.5.1.2", Caching, ShareMode;
    a_lease_holder_that_closes_lets_the_other_in: "MS-FSA 2.1.5.1.2", Caching, ShareMode;
    without_handle_caching_a_share_mode_refuses_at_once: "MS-FSA 2.1.5.1.2.2", Caching, ShareMode;
    a_rename_takes_handle_caching_and_waits: "MS-FSA 2.1.4.12", Caching;
    a_deletion_takes_handle_caching: "MS-FSA 2.1.4.12", Caching;
    caching_that_must_go_during_a_break_is_broken_after_its_answer: "MS-FSA 2.1.4.12", Caching;
    an_oplock_beside_a_lease_of_rw_is_level_ii =
        oplock_beside((LeaseState::RW, LeaseState::R), II): "MS-FSA 2.1.5.18.2", Caching;
    an_oplock_beside_a_lease_with_handle_caching_is_none =
        oplock_beside(W_GOES, Nothing): "MS-FSA 2.1.5.18.2", Caching;
    the_lease_of_a_directory_goes_when_an_entry_changes: "MS-FSA 2.1.4.12", Caching, CreateOptions;
    the_lease_of_a_directory_stays_for_its_own_parent_key: "MS-SMB2 3.3.5.9.11", Caching, CreateOptions;
}

/// Checks that a break is of lease 1, from `current` to `new`, and returns it.
pub fn of_lease(notice: Break, (current, new): (LeaseState, LeaseState)) -> Checked<LeaseBreak> {
    match notice {
        Break::Lease(notice) => {
            let (found, expected) =
                ((notice.key, notice.current, notice.new), (key(1), current, new));
            check_eq!(found, expected, "a break of which lease, from what to what")?;
            Ok(notice)
        }
        Break::Oplock(_) => Err(CaseFailure::new("got an oplock's break, not a lease's")),
    }
}

/// Checks that `disturbs` breaks the holder's lease 1 once, and acknowledges the break, keeping
/// `new`. Returns the result of `disturbs`.
pub async fn breaks<T>(
    holder: &ProbeClient<'_>,
    (current, new): (LeaseState, LeaseState),
    disturbs: impl Future<Output = Checked<T>> + Send,
) -> Checked<T> {
    let react = async |notice| {
        check_eq!(of_lease(notice, (current, new))?.acknowledgement_required, true)?;
        check_eq!(answers(holder, new).await?, NtStatus::SUCCESS)
    };
    let disturbed = holder.broken_by(disturbs, react).await?;
    holder.expect_no_break().await?;
    Ok(disturbed)
}

/// Checks that `disturbs` breaks the holder's lease 1, and closes `held` in answer. Returns the
/// result of `disturbs`.
pub async fn closes<T>(
    (holder, held): (&ProbeClient<'_>, Handle),
    change: (LeaseState, LeaseState),
    disturbs: impl Future<Output = Checked<T>> + Send,
) -> Checked<T> {
    let react = async |notice| {
        of_lease(notice, change)?;
        Ok(held.close().await?)
    };
    holder.broken_by(disturbs, react).await
}

/// The break of RWH that an open with another lease key causes.
pub const W_GOES: (LeaseState, LeaseState) = (LeaseState::RWH, LeaseState::RH);
pub const RH_TO_R: (LeaseState, LeaseState) = (LeaseState::RH, LeaseState::R);
pub const RH_TO_NONE: (LeaseState, LeaseState) = (LeaseState::RH, LeaseState::NONE);
pub const RWH_TO_NONE: (LeaseState, LeaseState) = (LeaseState::RWH, LeaseState::NONE);

/// Checks which lease a second client is granted while the first client holds a lease of `held`.
/// Each open of the second client breaks the first lease to `left`, or breaks nothing if `left`
/// equals `held`.
async fn meetings([one, two]: Clients<'_, 2>, (held, left): (LeaseState, LeaseState)) -> Checked {
    for (asked, expected) in [
        (LeaseState::R, LeaseState::R),
        (LeaseState::RH, LeaseState::RH),
        (LeaseState::RW, LeaseState::R),
        (LeaseState::RWH, LeaseState::RH),
    ] {
        let handle = hold(&one, 1, held).await?;
        let got = match held == left {
            true => opens(&two, 2, asked).await?,
            false => breaks(&one, (held, left), opens(&two, 2, asked)).await?,
        };
        check_eq!(got, expected, "{held} met by {asked}")?;
        handle.close().await?;
    }
    one.expect_no_break().await
}

async fn another_key_leaves_rh_and_r_alone(directory: &CaseDirectory) -> Checked {
    meetings(directory.pair().await?, (LeaseState::RH, LeaseState::RH)).await?;
    meetings(directory.pair().await?, (LeaseState::R, LeaseState::R)).await
}

async fn a_lease_is_not_broken_by_its_own_key(client: ProbeClient<'_>) -> Checked {
    let held = hold(&client, 1, LeaseState::RWH).await?;
    let asked = lease(1, LeaseState::RWH);
    let again = client.open_extended("f", ReadWrite, OverwriteIf, &asked).await?;
    again.write(0, Bytes::from_static(b"x")).await?;
    held.truncate(100).await?;
    check_eq!(leased(&again)?.state, LeaseState::RWH)?;
    client.expect_no_break().await
}

async fn the_same_key_of_another_client_is_another_lease([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, 1, LeaseState::RWH).await?;
    check_eq!(breaks(&one, W_GOES, opens(&two, 1, LeaseState::RWH)).await?, LeaseState::RH)
}

async fn a_break_counts_as_an_epoch([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, 1, LeaseState::RWH).await?;
    let epoch = leased(&held)?.epoch;
    let answering = async |notice| {
        let notice = of_lease(notice, W_GOES)?;
        check_eq!(notice.epoch, epoch.wrapping_add(1))?;
        check_eq!(answers(&one, LeaseState::RH).await?, NtStatus::SUCCESS)
    };
    let opened = one.broken_by(done(two.file("f")), answering).await?;
    Ok(opened.close().await?)
}

async fn a_lease_of_version_1_is_broken_alike([one, two]: Clients<'_, 2>) -> Checked {
    let asked = asking_for(Lease { version: 1, ..wanted(1, LeaseState::RWH) });
    let _held = hold_with(&one, LeaseState::RWH, &asked).await?;
    breaks(&one, W_GOES, done(two.file("f"))).await.map(drop)
}

async fn an_open_during_a_break_says_so([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, 1, LeaseState::RWH).await?;
    check_eq!(leased(&held)?.breaking, false)?;
    let answering = async |notice| {
        of_lease(notice, W_GOES)?;
        let again = one.file_with("f", &lease(1, LeaseState::RWH)).await?;
        let during = leased(&again)?;
        check_eq!((during.breaking, during.state), (true, LeaseState::RWH))?;
        check_eq!(answers(&one, LeaseState::RH).await?, NtStatus::SUCCESS)
    };
    let opened = one.broken_by(done(two.file("f")), answering).await?;
    Ok(opened.close().await?)
}

async fn an_answer_may_keep_less_than_was_left([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, 1, LeaseState::RWH).await?;
    let answering = async |notice| {
        of_lease(notice, W_GOES)?;
        check_eq!(answers(&one, LeaseState::NONE).await?, NtStatus::SUCCESS)
    };
    let opened = one.broken_by(done(two.file("f")), answering).await?;
    opened.write(0, Bytes::from_static(b"x")).await?;
    // The first client caches nothing any more that a write could break.
    one.expect_no_break().await
}

async fn a_greedy_answer_is_not_accepted_and_may_be_repeated(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    let _held = hold(&one, 1, LeaseState::RWH).await?;
    let answering = async |notice| {
        of_lease(notice, W_GOES)?;
        check_eq!(answers(&one, LeaseState::RWH).await?, NtStatus::REQUEST_NOT_ACCEPTED)?;
        check_eq!(answers(&one, LeaseState::RH).await?, NtStatus::SUCCESS)?;
        let late = answers(&one, LeaseState::NONE).await?;
        check_eq!(late, NtStatus::UNSUCCESSFUL, "the break is over")
    };
    let opened = one.broken_by(done(two.file("f")), answering).await?;
    Ok(opened.close().await?)
}

async fn a_close_answers_a_lease_break_as_well([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, 1, LeaseState::RWH).await?;
    let got = closes((&one, held), W_GOES, opens(&two, 2, LeaseState::RWH)).await?;
    check_eq!(got, LeaseState::RWH, "nobody else has it open")
}

async fn a_lost_connection_answers_a_lease_break_as_well([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, 1, LeaseState::RWH).await?;
    let vanishes = async move {
        of_lease(one.next_break().await?, W_GOES)?;
        one.disconnect().await;
        Ok(())
    };
    let ((), got) = tokio::try_join!(vanishes, opens(&two, 2, LeaseState::RWH))?;
    check_eq!(got, LeaseState::RWH, "nobody else has it open")
}

async fn overwriting_takes_all_of_rwh_and_waits([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, 1, LeaseState::RWH).await?;
    let overwriting = done(two.open("f", ReadWrite, OverwriteIf));
    breaks(&one, RWH_TO_NONE, overwriting).await.map(drop)
}

/// Checks that `change` breaks a lease of R without waiting, and that the break needs no answer.
async fn takes_r([one, two]: Clients<'_, 2>, change: &str) -> Checked {
    two.make("f", b"0123456789").await?;
    let _held = hold(&one, 1, LeaseState::R).await?;
    change_content(&two, change).await?;
    let notice = of_lease(one.next_break().await?, (LeaseState::R, LeaseState::NONE))?;
    check_eq!(notice.acknowledgement_required, false, "{change}")?;
    one.expect_no_break().await
}

async fn a_write_takes_rh_from_others([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, 1, LeaseState::RH).await?;
    let other = two.file("f").await?;
    let writing = done(other.write(0, Bytes::from_static(b"x")));
    breaks(&one, RH_TO_NONE, writing).await.map(drop)
}

async fn breaks_no_lease([one, two]: Clients<'_, 2>, access: u32) -> Checked {
    let _held = hold(&one, 1, LeaseState::RWH).await?;
    let asked = CreateParameters { access_mask: Some(access), ..CreateParameters::default() };
    two.open_extended("f", ReadWrite, Open, &asked).await?.close().await?;
    one.expect_no_break().await
}

fn alone(state: LeaseState) -> CreateParameters {
    CreateParameters { share_mode: Some(0), ..lease(1, state) }
}

async fn handle_caching_goes_before_a_share_mode_refuses([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold_with(&one, LeaseState::RH, &alone(LeaseState::RH)).await?;
    let opening = async { answer(two.file("f").await) };
    let refused = breaks(&one, RH_TO_R, opening).await?;
    check_eq!(refused, NtStatus::SHARING_VIOLATION)?;
    held.close().await?;
    Ok(two.file("f").await?.close().await?)
}

async fn a_lease_holder_that_closes_lets_the_other_in([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold_with(&one, LeaseState::RH, &alone(LeaseState::RH)).await?;
    let opened = closes((&one, held), RH_TO_R, done(two.file("f"))).await?;
    Ok(opened.close().await?)
}

async fn without_handle_caching_a_share_mode_refuses_at_once(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    let _held = hold_with(&one, LeaseState::RW, &alone(LeaseState::RW)).await?;
    check_status!(two.file("f").await, NtStatus::SHARING_VIOLATION)?;
    one.expect_no_break().await
}

async fn a_rename_takes_handle_caching_and_waits([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, 1, LeaseState::RH).await?;
    let answering = async |notice| {
        of_lease(notice, RH_TO_R)?;
        check_status!(one.stat("g").await, NtStatus::OBJECT_NAME_NOT_FOUND)?;
        check_eq!(answers(&one, LeaseState::R).await?, NtStatus::SUCCESS)
    };
    one.broken_by(done(two.rename("f", "g", false)), answering).await?;
    check_status!(two.stat("g").await, NtStatus::SUCCESS)?;
    one.expect_no_break().await
}

async fn a_deletion_takes_handle_caching([one, two]: Clients<'_, 2>) -> Checked {
    let held = hold(&one, 1, LeaseState::RH).await?;
    breaks(&one, RH_TO_R, done(two.delete("f"))).await?;
    held.close().await?;
    check_status!(two.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

/// Follows smbtorture smb2.lease.v2_breaking3: the lease is broken in steps, and all opens wait for
/// the last break that has to be acknowledged.
async fn caching_that_must_go_during_a_break_is_broken_after_its_answer(
    [one, two, three]: Clients<'_, 3>,
) -> Checked {
    let held = hold(&one, 1, LeaseState::RWH).await?;
    let epoch = leased(&held)?.epoch.wrapping_add(1);
    let let_in = AtomicUsize::new(0);
    let answering = async {
        check_eq!(of_lease(one.next_break().await?, W_GOES)?.epoch, epoch)?;
        // The open that overwrites reaches the server before this answer.
        tokio::time::sleep(Duration::from_millis(200)).await;
        check_eq!(answers(&one, LeaseState::RH).await?, NtStatus::SUCCESS)?;
        let second = of_lease(one.next_break().await?, RH_TO_R)?;
        check_eq!((second.epoch, second.acknowledgement_required), (epoch, true))?;
        one.expect_no_break().await?;
        check_eq!(let_in.load(Ordering::SeqCst), 0, "before the second answer")?;
        check_eq!(answers(&one, LeaseState::R).await?, NtStatus::SUCCESS)?;
        let third = of_lease(one.next_break().await?, (LeaseState::R, LeaseState::NONE))?;
        check_eq!((third.epoch, third.acknowledgement_required), (epoch, false))?;
        Checked::Ok(())
    };
    let enters = async |client: &ProbeClient<'_>, disposition| {
        let handle = client.open("f", ReadWrite, disposition).await?;
        let_in.fetch_add(1, Ordering::SeqCst);
        Checked::Ok(handle.close().await?)
    };
    let overwriting = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        enters(&three, OverwriteIf).await
    };
    tokio::try_join!(answering, enters(&two, Open), overwriting)?;
    one.expect_no_break().await
}

async fn oplock_beside(
    [one, two]: Clients<'_, 2>,
    (held, left): (LeaseState, LeaseState),
    expected: OplockLevel,
) -> Checked {
    oplocks::hold(&two, II).await?.close().await?;
    let _held = hold(&one, 1, held).await?;
    let opening = oplocks::opens(&two, Batch);
    check_eq!(breaks(&one, (held, left), opening).await?, expected)
}

async fn the_lease_of_a_directory_goes_when_an_entry_changes(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    let _directory = made_directory(&one).await?;
    two.stat("d").await?;
    one.expect_no_break().await?;
    two.make("d/f", b"x").await?;
    of_lease(one.next_break().await?, RH_TO_NONE).map(drop)
}

async fn the_lease_of_a_directory_stays_for_its_own_parent_key(client: ProbeClient<'_>) -> Checked {
    let _directory = made_directory(&client).await?;
    let asked = asking_for(Lease { parent_key: Some(key(1)), ..wanted(2, LeaseState::RWH) });
    let _file = client.open_extended("d/f", ReadWrite, OpenIf, &asked).await?;
    client.expect_no_break().await
}
