//! Cases of leases on directories: which changes in a directory break its lease, and whose changes
//! do not (MS-FSA 2.1.4.12 and 2.1.4.12.2, PARENT_OBJECT; MS-SMB2 3.3.5.9.11). They follow
//! smbtorture smb2.dirlease.

use bytes::Bytes;

use super::lease_breaks::{RH_TO_NONE, RH_TO_R, breaks, closes, of_lease};
use super::leases::{
    answers, asking_for, hold_directory, key, lease, leased, made_directory, open_directory, wanted,
};
use crate::ir::OpenMode::ReadWrite;
use crate::probe::{Checked, Clients, Handle, ProbeClient, answer, cases, check_eq, check_status};
use crate::protocol::create::CreateDisposition::{Open, OpenIf, OverwriteIf};
use crate::protocol::{CreateParameters, Lease, LeaseState, NtStatus};

cases! {
    a_directory_caches_no_writes: "MS-SMB2 3.3.5.9.11", Caching, CreateOptions;
    a_refused_open_takes_the_handle_caching_of_a_directory: "MS-FSA 2.1.5.1.2", Caching, CreateOptions, ShareMode;
    a_write_shows_in_the_directory_when_it_is_closed: "MS-FSA 2.1.5.5", Caching, CreateOptions;
    a_size_that_is_set_shows_at_once: "MS-FSA 2.1.5.15.5", Caching, CreateOptions;
    an_overwrite_shows_in_the_directory: "MS-FSA 2.1.4.12", Caching, CreateOptions;
    a_rename_shows_in_both_directories: "MS-FSA 2.1.5.15.12", Caching, CreateOptions;
    a_deletion_shows_with_the_last_close: "MS-FSA 2.1.5.5", Caching, CreateOptions;
    a_deletion_spares_the_lease_of_who_deleted_and_closed: "MS-FSA 2.1.5.5", Caching, CreateOptions, AccessMask;
    a_parent_key_spares_whoever_sends_it: "MS-FSA 2.1.4.12.2", Caching, CreateOptions;
}

/// Opens `d/f` with a lease of R whose key and parent key have these numbers.
async fn child(client: &ProbeClient<'_>, number: u8, parent: Option<u8>) -> Checked<Handle> {
    child_with(client, number, parent, CreateParameters::default()).await
}

async fn child_with(
    client: &ProbeClient<'_>,
    number: u8,
    parent: Option<u8>,
    asked: CreateParameters,
) -> Checked<Handle> {
    let lease = Lease { parent_key: parent.map(key), ..wanted(number, LeaseState::R) };
    let CreateParameters { lease, requested_oplock, .. } = asking_for(lease);
    let asked = CreateParameters { lease, requested_oplock, ..asked };
    Ok(client.open_extended("d/f", ReadWrite, OpenIf, &asked).await?)
}

/// Checks that the directory's lease is broken to none, and acknowledges the break. The operation
/// that caused it does not wait for this.
async fn goes(client: &ProbeClient<'_>) -> Checked {
    of_lease(client.next_break().await?, RH_TO_NONE)?;
    check_eq!(answers(client, LeaseState::NONE).await?, NtStatus::SUCCESS)
}

async fn a_directory_caches_no_writes(client: ProbeClient<'_>) -> Checked {
    made_directory(&client).await?.close().await?;
    let (r, w, h) = (LeaseState::R, LeaseState::W, LeaseState::H);
    for (asked, expected) in [(r, r), (r | h, r | h), (r | w, r), (r | w | h, r | h)] {
        let directory = open_directory(&client, "d", lease(1, asked)).await?;
        check_eq!(leased(&directory)?.state, expected, "asked for {asked}")?;
        directory.close().await?;
    }
    Ok(())
}

async fn a_refused_open_takes_the_handle_caching_of_a_directory(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    let first = made_directory(&one).await?;
    let alone = || CreateParameters { share_mode: Some(0), ..CreateParameters::default() };
    let refused = async {
        let asked = CreateParameters { create_options: Some(1), ..alone() };
        answer(two.open_extended("d", ReadWrite, Open, &asked).await)
    };
    check_eq!(breaks(&one, RH_TO_R, refused).await?, NtStatus::SHARING_VIOLATION)?;
    hold_directory(&one).await?.close().await?;
    closes((&one, first), RH_TO_R, open_directory(&two, "d", alone())).await.map(drop)
}

async fn a_write_shows_in_the_directory_when_it_is_closed([one, two]: Clients<'_, 2>) -> Checked {
    let _first = made_directory(&one).await?;
    let own = child(&one, 2, Some(1)).await?;
    own.write(0, Bytes::from_static(b"x")).await?;
    own.close().await?;
    one.expect_no_break().await?;
    let other = two.file("d/f").await?;
    other.write(0, Bytes::from_static(b"y")).await?;
    one.expect_no_break().await?;
    other.close().await?;
    goes(&one).await?;
    let _again = hold_directory(&one).await?;
    two.reader("d/f").await?.close().await?;
    one.expect_no_break().await
}

async fn a_size_that_is_set_shows_at_once([one, two]: Clients<'_, 2>) -> Checked {
    let _first = made_directory(&one).await?;
    let own = child(&one, 2, Some(1)).await?;
    own.truncate(10).await?;
    own.close().await?;
    one.expect_no_break().await?;
    let other = two.file("d/f").await?;
    other.truncate(20).await?;
    goes(&one).await?;
    let _again = hold_directory(&one).await?;
    other.close().await?;
    one.expect_no_break().await
}

async fn an_overwrite_shows_in_the_directory([one, two]: Clients<'_, 2>) -> Checked {
    one.mkdir("d").await?;
    one.make("d/f", b"old").await?;
    let _first = hold_directory(&one).await?;
    let _opened = two.open("d/f", ReadWrite, OverwriteIf).await?;
    goes(&one).await
}

async fn a_rename_shows_in_both_directories([one, two, three]: Clients<'_, 3>) -> Checked {
    one.mkdir("e").await?;
    one.mkdir("d").await?;
    one.make("d/f", b"x").await?;
    let first = hold_directory(&one).await?;
    let second = open_directory(&three, "e", lease(1, LeaseState::RH)).await?;
    two.rename("d/f", "e/f", false).await?;
    goes(&one).await?;
    goes(&three).await?;
    first.close().await?;
    Ok(second.close().await?)
}

async fn a_deletion_shows_with_the_last_close([one, two]: Clients<'_, 2>) -> Checked {
    one.mkdir("d").await?;
    let held = one.file("d/f").await?;
    let _first = hold_directory(&one).await?;
    two.delete("d/f").await?;
    one.expect_no_break().await?;
    held.close().await?;
    goes(&one).await
}

async fn a_deletion_spares_the_lease_of_who_deleted_and_closed(client: ProbeClient<'_>) -> Checked {
    let _first = made_directory(&client).await?;
    let (access_mask, create_options) = (Some(0x0013_0089), Some(0x1040));
    let deleting =
        || CreateParameters { access_mask, create_options, ..CreateParameters::default() };
    child_with(&client, 2, Some(1), deleting()).await?.close().await?;
    client.expect_no_break().await?;
    // An open with another parent key is closed last, which deletes the file.
    let marks = child_with(&client, 2, Some(1), deleting()).await?;
    let closes = child(&client, 3, Some(9)).await?;
    marks.close().await?;
    client.expect_no_break().await?;
    closes.close().await?;
    goes(&client).await?;
    check_status!(client.stat("d/f").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn a_parent_key_spares_whoever_sends_it([one, two]: Clients<'_, 2>) -> Checked {
    let _first = made_directory(&one).await?;
    let other = child(&two, 2, Some(1)).await?;
    other.truncate(10).await?;
    other.close().await?;
    one.expect_no_break().await?;
    let wrong = child(&two, 2, Some(3)).await?;
    wrong.truncate(20).await?;
    goes(&one).await
}
