//! Cases of leases in conflict with share modes, locks, deletions and renames, and of answers that
//! the server did not ask for (MS-FSA 2.1.4.12, 2.1.5.1.2, 2.1.5.8; MS-SMB2 3.3.5.22.2).

use bytes::Bytes;

use super::lease_breaks::{RH_TO_NONE, RH_TO_R, RWH_TO_NONE, W_GOES, breaks, closes, of_lease};
use super::leases::{answers, asking_for, hold, hold_with, key, lease, leased, opens, wanted};
use super::oplocks;
use crate::ir::OpenMode::ReadWrite;
use crate::probe::{
    CaseDirectory, CaseFailure, Checked, Clients, Handle, ProbeClient, answer, cases, check_eq,
    check_status, done,
};
use crate::protocol::create::CreateDisposition::{Open, Overwrite, OverwriteIf};
use crate::protocol::create::OplockLevel::{Batch, Exclusive, II, None as Nothing};
use crate::protocol::{Break, CreateParameters, Lease, LeaseState, NtStatus};

cases! {
    an_answer_keeps_nothing_where_nothing_was_left: "MS-SMB2 3.3.5.22.2", Caching;
    a_break_of_r_wants_no_answer_and_accepts_none: "MS-SMB2 3.3.5.22.2", Caching;
    nobody_waits_for_readers_however_often_they_are_overwritten: "MS-FSA 2.1.4.12", Caching;
    a_refused_open_takes_handle_caching_alone: "MS-FSA 2.1.5.1.2", Caching, ShareMode;
    every_lease_in_the_way_is_broken_once: "MS-FSA 2.1.5.1.2", Caching, ShareMode;
    looking_breaks_no_lease_and_all_else_does: "MS-FSA 2.1.4.12", Caching, AccessMask;
    oplocks_are_granted_beside_leases_as_the_table_says: "MS-FSA 2.1.5.18.2", Caching;
    a_lease_is_of_one_key_and_not_of_its_client: "MS-FSA 2.1.4.12", Caching;
    a_lease_keeps_the_version_it_began_with: "MS-SMB2 3.3.5.9.8", Caching;
    a_lock_leaves_the_lockers_own_lease: "MS-FSA 2.1.5.8", Caching, Locks;
    a_lock_of_what_is_not_there_breaks_nothing: "MS-FSA 2.1.5.8", Caching, Locks;
    a_lock_of_what_is_not_there_leaves_room_for_a_lease: "MS-FSA 2.1.5.18", Caching, Locks;
    overwriting_what_is_locked_makes_room_for_a_lease: "MS-FSA 2.1.5.18", Caching, Locks;
    a_lease_that_is_not_granted_counts_no_epoch: "MS-SMB2 3.3.5.9.11", Caching, Locks;
    a_deletion_on_close_takes_handle_caching_when_it_comes: "MS-FSA 2.1.4.12", Caching, CreateOptions, AccessMask;
    a_file_that_a_rename_replaces_must_be_closed_first: "MS-FSA 2.1.5.15.12", Caching;
    a_rename_of_a_directory_asks_who_caches_handles_below: "MS-FSA 2.1.4.2", Caching;
    a_renamed_file_keeps_its_lease: "MS-FSA 2.1.5.15.12", Caching;
}

const RWH_TO_RW: (LeaseState, LeaseState) = (LeaseState::RWH, LeaseState::RW);

/// Returns the state of the client's lease 1, and whether it is being broken.
async fn held(client: &ProbeClient<'_>) -> Checked<(LeaseState, bool)> {
    let handle = client.file_with("f", &lease(1, LeaseState::NONE)).await?;
    let now = leased(&handle)?;
    handle.close().await?;
    Ok((now.state, now.breaking))
}

async fn an_answer_keeps_nothing_where_nothing_was_left([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, 1, LeaseState::RWH).await?;
    let answering = async |notice| {
        of_lease(notice, RWH_TO_NONE)?;
        check_eq!(held(&one).await?, (LeaseState::RWH, true))?;
        let (r, w, h) = (LeaseState::R, LeaseState::W, LeaseState::H);
        for greedy in [r | w | h, r | w, w | h, r | h, w, h, r] {
            let answered = answers(&one, greedy).await?;
            check_eq!(answered, NtStatus::REQUEST_NOT_ACCEPTED, "{greedy}")?;
        }
        check_eq!(answers(&one, LeaseState::NONE).await?, NtStatus::SUCCESS)?;
        check_eq!(answers(&one, LeaseState::NONE).await?, NtStatus::UNSUCCESSFUL)
    };
    let opened = one.broken_by(done(two.open("f", ReadWrite, Overwrite)), answering).await?;
    opened.close().await?;
    check_eq!(held(&one).await?, (LeaseState::NONE, false))
}

async fn a_break_of_r_wants_no_answer_and_accepts_none([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, 1, LeaseState::R).await?;
    two.open("f", ReadWrite, Overwrite).await?.close().await?;
    of_lease(one.next_break().await?, (LeaseState::R, LeaseState::NONE))?;
    check_eq!(held(&one).await?, (LeaseState::NONE, false))?;
    check_eq!(answers(&one, LeaseState::NONE).await?, NtStatus::UNSUCCESSFUL)
}

async fn nobody_waits_for_readers_however_often_they_are_overwritten(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    let _held = hold(&one, 1, LeaseState::RH).await?;
    two.open("f", ReadWrite, Overwrite).await?.close().await?;
    of_lease(one.next_break().await?, RH_TO_NONE)?;
    two.open("f", ReadWrite, Overwrite).await?.close().await?;
    one.expect_no_break().await?;
    check_eq!(held(&one).await?, (LeaseState::RH, true), "not answered yet")?;
    check_eq!(answers(&one, LeaseState::NONE).await?, NtStatus::SUCCESS)?;
    check_eq!(held(&one).await?, (LeaseState::NONE, false))
}

/// Returns parameters that share only reading, which conflicts with the holder's right to write.
fn readers_only(number: u8) -> CreateParameters {
    CreateParameters { share_mode: Some(1), ..lease(number, LeaseState::RWH) }
}

async fn a_refused_open_takes_handle_caching_alone([one, two]: Clients<'_, 2>) -> Checked {
    let first = hold(&one, 1, LeaseState::RWH).await?;
    let epoch = leased(&first)?.epoch;
    let keeps = async |notice, change: (LeaseState, LeaseState), counted| {
        check_eq!(of_lease(notice, change)?.epoch, epoch.wrapping_add(counted))?;
        check_eq!(answers(&one, change.1).await?, NtStatus::SUCCESS)
    };
    let refused = async { answer(two.file_with("f", &readers_only(2)).await) };
    let refused = one.broken_by(refused, async |notice| keeps(notice, RWH_TO_RW, 1).await).await?;
    check_eq!(refused, NtStatus::SHARING_VIOLATION)?;
    let opening = opens(&two, 2, LeaseState::RWH);
    let rest = (LeaseState::RW, LeaseState::R);
    let got = one.broken_by(opening, async |notice| keeps(notice, rest, 2).await).await?;
    check_eq!(got, LeaseState::RH)?;
    one.expect_no_break().await
}

async fn every_lease_in_the_way_is_broken_once([one, two]: Clients<'_, 2>) -> Checked {
    let first = hold(&one, 1, LeaseState::RH).await?;
    let second = hold(&one, 2, LeaseState::RH).await?;
    let asked = readers_only(3);
    let opening = done(two.file_with("f", &asked));
    let closing = async {
        let mut keys = Vec::new();
        for _ in 0..2 {
            let Break::Lease(notice) = one.next_break().await? else { continue };
            check_eq!((notice.current, notice.new), RH_TO_R)?;
            keys.push(notice.key);
        }
        keys.sort_unstable();
        check_eq!(keys, [key(1), key(2)])?;
        first.close().await?;
        one.expect_no_break().await?;
        Ok(second.close().await?)
    };
    let (opened, ()) = tokio::try_join!(opening, closing)?;
    opened.close().await?;
    one.expect_no_break().await
}

async fn looking_breaks_no_lease_and_all_else_does(directory: &CaseDirectory) -> Checked {
    const LOOKING: [u32; 4] = [0x80, 0x100, 0x0002_0000, 0x0010_0000];
    const ELSE: [u32; 9] = [0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x0001_0000, 0x0004_0000, 0x0008_0000];
    let [one, two] = directory.pair().await?;
    for access in LOOKING.into_iter().chain(ELSE) {
        let first = hold(&one, 1, LeaseState::RWH).await?;
        let access_mask = Some(access);
        let asked = CreateParameters { access_mask, ..CreateParameters::default() };
        let opening = done(two.open_extended("f", ReadWrite, Open, &asked));
        let opened = if LOOKING.contains(&access) {
            let opened = opening.await?;
            one.expect_no_break().await?;
            opened
        } else {
            let answering = async |notice| {
                of_lease(notice, W_GOES)?;
                let answered = answers(&one, LeaseState::RH).await?;
                check_eq!(answered, NtStatus::SUCCESS, "access 0x{access:X}")
            };
            one.broken_by(opening, answering).await?
        };
        opened.close().await?;
        first.close().await?;
    }
    Ok(())
}

async fn oplocks_are_granted_beside_leases_as_the_table_says(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    oplocks::hold(&two, II).await?.close().await?;
    let (r, w, h) = (LeaseState::R, LeaseState::W, LeaseState::H);
    for (first, expected) in [(r, II), (r | h, Nothing), (r | w, II), (r | w | h, Nothing)] {
        for asked in [II, Exclusive, Batch] {
            let handle = hold(&one, 1, first).await?;
            let opening = oplocks::opens(&two, asked);
            let got = match first - w == first {
                true => opening.await?,
                false => breaks(&one, (first, first - w), opening).await?,
            };
            check_eq!(got, expected, "{} beside {first}", asked.name())?;
            handle.close().await?;
        }
    }
    one.expect_no_break().await
}

async fn a_lease_is_of_one_key_and_not_of_its_client(client: ProbeClient<'_>) -> Checked {
    let first = hold(&client, 1, LeaseState::RWH).await?;
    let got = breaks(&client, W_GOES, opens(&client, 2, LeaseState::RWH)).await?;
    check_eq!(got, LeaseState::RH)?;
    first.write(0, Bytes::from_static(b"x")).await?;
    client.expect_no_break().await
}

/// Follows smbtorture smb2.lease.v2_epoch2 and v2_epoch3.
async fn a_lease_keeps_the_version_it_began_with(client: ProbeClient<'_>) -> Checked {
    let of_version = |version, state| asking_for(Lease { version, ..wanted(1, state) });
    for (version, other) in [(2, 1), (1, 2)] {
        let first = of_version(version, LeaseState::R);
        let first = hold_with(&client, LeaseState::R, &first).await?;
        let upgraded = of_version(other, LeaseState::RWH);
        let upgraded = hold_with(&client, LeaseState::RWH, &upgraded).await?;
        let epochs = if version == 2 { (1, 2) } else { (0, 0) };
        check_eq!((leased(&first)?.epoch, leased(&upgraded)?.epoch), epochs, "version {version}")?;
        first.close().await?;
        upgraded.close().await?;
    }
    Ok(())
}

async fn a_lock_leaves_the_lockers_own_lease([one, two]: Clients<'_, 2>) -> Checked {
    two.make("f", b"content").await?;
    let _first = hold(&one, 1, LeaseState::RH).await?;
    let second = hold(&two, 2, LeaseState::RH).await?;
    second.lock(0, 1, true, false).await?;
    of_lease(one.next_break().await?, RH_TO_NONE)?;
    check_eq!(answers(&one, LeaseState::NONE).await?, NtStatus::SUCCESS)?;
    second.lock(1, 1, true, false).await?;
    two.expect_no_break().await?;
    check_eq!(opens(&two, 2, LeaseState::NONE).await?, LeaseState::RH)?;
    one.expect_no_break().await
}

async fn a_lock_of_what_is_not_there_breaks_nothing([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, 1, LeaseState::R).await?;
    let locking = two.file("f").await?;
    locking.lock(0, 10, true, false).await?;
    one.expect_no_break().await
}

async fn a_lock_of_what_is_not_there_leaves_room_for_a_lease(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    let first = hold(&one, 1, LeaseState::RWH).await?;
    first.lock(0, 1, true, false).await?;
    check_eq!(breaks(&one, W_GOES, opens(&two, 2, LeaseState::RWH)).await?, LeaseState::RH)
}

async fn overwriting_what_is_locked_makes_room_for_a_lease([one, two]: Clients<'_, 2>) -> Checked {
    let first = hold(&one, 1, LeaseState::RWH).await?;
    first.write(0, Bytes::from_static(b"x")).await?;
    first.lock(0, 1, true, false).await?;
    let opening = async {
        let asked = lease(2, LeaseState::RWH);
        let opened = two.open_extended("f", ReadWrite, OverwriteIf, &asked).await?;
        Ok(leased(&opened)?.state)
    };
    check_eq!(breaks(&one, RWH_TO_NONE, opening).await?, LeaseState::RH)
}

async fn a_lease_that_is_not_granted_counts_no_epoch([one, two]: Clients<'_, 2>) -> Checked {
    hold(&two, 2, LeaseState::R).await?.close().await?;
    let locking = one.file("f").await?;
    locking.write(0, Bytes::from_static(b"x")).await?;
    locking.lock(0, 1, true, false).await?;
    let refused = two.file_with("f", &lease(2, LeaseState::R)).await?;
    let got = leased(&refused)?;
    check_eq!((got.state, got.epoch), (LeaseState::NONE, 0))?;
    locking.unlock(0, 1).await?;
    let upgraded = two.file_with("f", &lease(2, LeaseState::R)).await?;
    let got = leased(&upgraded)?;
    check_eq!((got.state, got.epoch), (LeaseState::R, 1))
}

async fn a_deletion_on_close_takes_handle_caching_when_it_comes(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    let first = hold(&one, 1, LeaseState::RH).await?;
    let (access_mask, create_options) = (Some(0x0013_0089), Some(0x1040));
    let asked = CreateParameters { access_mask, create_options, ..CreateParameters::default() };
    let deleting = two.open_extended("f", ReadWrite, Open, &asked).await?;
    one.expect_no_break().await?;
    closes((&one, first), RH_TO_R, done(deleting.close())).await?;
    check_status!(two.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

/// Follows smbtorture smb2.lease.v2_rename_target_overwrite.
async fn a_file_that_a_rename_replaces_must_be_closed_first([one, two]: Clients<'_, 2>) -> Checked {
    two.make("g", b"new").await?;
    let first = hold(&one, 1, LeaseState::RWH).await?;
    let renaming = async { answer(two.rename("g", "f", true).await) };
    check_eq!(breaks(&one, RWH_TO_RW, renaming).await?, NtStatus::ACCESS_DENIED)?;
    check_status!(two.rename("g", "f", true).await, NtStatus::ACCESS_DENIED)?;
    one.expect_no_break().await?;
    first.close().await?;
    let again = hold(&one, 1, LeaseState::RWH).await?;
    closes((&one, again), RWH_TO_RW, done(two.rename("g", "f", true))).await?;
    check_eq!(two.content("f").await?, b"new")
}

/// Opens the file `name`, which is below `d`, with a lease of RH.
async fn hold_below(client: &ProbeClient<'_>, name: &str, number: u8) -> Checked<Handle> {
    let handle = client.file_with(name, &lease(number, LeaseState::RH)).await?;
    match leased(&handle)?.state {
        LeaseState::RH => Ok(handle),
        _ => Err(CaseFailure::not_granted("no lease of RH")),
    }
}

/// Follows smbtorture smb2.lease.rename_dir_openfile: the server breaks one lease after the other,
/// and does not break again a lease whose holder answered without closing.
async fn a_rename_of_a_directory_asks_who_caches_handles_below(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    one.mkdir("d").await?;
    let mut held = vec![hold_below(&one, "d/f", 1).await?, hold_below(&one, "d/g", 2).await?];
    let asked = async |notice| match notice {
        Break::Lease(notice) => {
            check_eq!((notice.current, notice.new), RH_TO_R)?;
            one.expect_no_break().await?;
            Ok(notice)
        }
        Break::Oplock(notice) => {
            Err(CaseFailure::new(format!("got {notice:?}, not a lease's break")))
        }
    };
    let answering = async |notice| {
        let first = asked(notice).await?;
        held.remove(usize::from(first.key == key(2))).close().await?;
        let second = asked(one.next_break().await?).await?;
        check_eq!(second.key == first.key, false, "the other one")?;
        Ok(one.answers(Break::Lease(second).acknowledgement()).await?)
    };
    let renaming = async { answer(two.rename("d", "e", false).await) };
    check_eq!(one.broken_by(renaming, answering).await?, NtStatus::ACCESS_DENIED)?;
    one.expect_no_break().await?;
    for handle in held {
        handle.close().await?;
    }
    Ok(two.rename("d", "e", false).await?)
}

/// Follows smbtorture smb2.lease.v2_rename, but another client renames.
async fn a_renamed_file_keeps_its_lease([one, two]: Clients<'_, 2>) -> Checked {
    let first = hold_with(&one, LeaseState::R, &lease(1, LeaseState::R)).await?;
    two.rename("f", "g", false).await?;
    one.expect_no_break().await?;
    let again = one.file_with("g", &lease(1, LeaseState::RWH)).await?;
    check_eq!(leased(&again)?.state, LeaseState::RWH, "the key is of the file, not of its name")?;
    let epoch = leased(&first)?.epoch;
    check_eq!(leased(&again)?.epoch, epoch.wrapping_add(1))?;
    check_status!(one.file_with("f", &lease(1, LeaseState::R)).await, NtStatus::INVALID_PARAMETER)?;
    check_eq!(answers(&one, LeaseState::NONE).await?, NtStatus::UNSUCCESSFUL)
}
