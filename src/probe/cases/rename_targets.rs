//! Cases of renaming into a directory that somebody has open. A rename opens the target directory
//! to add an entry, and shares that open for reading and writing (MS-FSA 2.1.5.15.12). The latest
//! Windows shares it for deletion too; earlier versions and smbtorture (smb2.rename) do not.

use crate::ir::OpenMode::ReadWrite;
use crate::probe::{Checked, Clients, Handle, ProbeClient, answer, cases, check_eq, check_status};
use crate::protocol::create::CreateDisposition::Open;
use crate::protocol::{CreateParameters, NtStatus};

cases! {
    a_directory_that_is_not_shared_for_writing_takes_no_file: "MS-FSA 2.1.5.15.12", ShareMode, CreateOptions, AccessMask;
    a_directory_one_may_delete_takes_no_file_by_a_rename: "MS-FSA 2.1.5.15.12", ShareMode, CreateOptions, AccessMask;
    a_directory_another_may_delete_takes_no_file_by_a_rename: "MS-FSA 2.1.5.15.12", ShareMode, CreateOptions, AccessMask;
    a_file_leaves_a_directory_that_one_may_delete: "MS-FSA 2.1.5.15.12", ShareMode, CreateOptions, AccessMask;
    // Follows smbtorture smb2.rename.share_delete_no_delete_access.
    a_directory_open_and_shared_takes_a_file_by_a_rename =
        takes_a_file(READ_AND_WRITE, SHARE_ALL): "MS-FSA 2.1.5.15.12", ShareMode, CreateOptions, AccessMask;
    // Follows smbtorture smb2.rename.msword.
    a_directory_open_for_its_attributes_takes_a_file_by_a_rename =
        takes_a_file(ATTRIBUTES, 0): "MS-FSA 2.1.5.15.12", ShareMode, CreateOptions, AccessMask;
}

const DIRECTORY_FILE: u32 = 1;
const SHARE_READ: u32 = 1;
const SHARE_ALL: u32 = 7;
/// SYNCHRONIZE and FILE_READ_ATTRIBUTES.
const ATTRIBUTES: u32 = 0x0010_0080;
/// FILE_GENERIC_READ.
const READ: u32 = 0x0012_0089;
/// FILE_GENERIC_READ and FILE_GENERIC_WRITE.
const READ_AND_WRITE: u32 = 0x0012_019F;
const DELETE: u32 = 0x0001_0000;

async fn open_directory(client: &ProbeClient<'_>, access: u32, share: u32) -> Checked<Handle> {
    let asked = CreateParameters {
        create_options: Some(DIRECTORY_FILE),
        share_mode: Some(share),
        access_mask: Some(access),
        ..CreateParameters::default()
    };
    Ok(client.open_extended("d", ReadWrite, Open, &asked).await?)
}

async fn a_directory_that_is_not_shared_for_writing_takes_no_file(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    one.mkdir("d").await?;
    two.make("f", b"x").await?;
    let held = open_directory(&one, READ, SHARE_READ).await?;
    check_status!(two.rename("f", "d/f", false).await, NtStatus::SHARING_VIOLATION)?;
    held.close().await?;
    Ok(two.rename("f", "d/f", false).await?)
}

/// Checks that `renaming` can make files in the directory `d` but can move none into it or within
/// it, while `holder` has it open with the right to delete it, whatever that open shares.
async fn takes_no_file(holder: &ProbeClient<'_>, renaming: &ProbeClient<'_>) -> Checked {
    holder.mkdir("d").await?;
    renaming.make("f", b"x").await?;
    for share in [SHARE_ALL, 0] {
        let held = open_directory(holder, READ_AND_WRITE | DELETE, share).await?;
        renaming.make("d/g", b"x").await?;
        for (from, to) in [("f", "d/f"), ("d/g", "d/h")] {
            let renamed = answer(renaming.rename(from, to, false).await)?;
            check_eq!(renamed, NtStatus::SHARING_VIOLATION, "{from} to {to}, shared as {share}")?;
        }
        held.close().await?;
    }
    renaming.rename("f", "d/f", false).await?;
    Ok(renaming.rename("d/g", "d/h", false).await?)
}

/// Follows smbtorture smb2.rename.share_delete_and_delete_access and
/// no_share_delete_but_delete_access.
async fn a_directory_one_may_delete_takes_no_file_by_a_rename(client: ProbeClient<'_>) -> Checked {
    takes_no_file(&client, &client).await
}

async fn a_directory_another_may_delete_takes_no_file_by_a_rename(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    takes_no_file(&one, &two).await
}

/// Expects success, because a rename does not open the directory that the file leaves.
async fn a_file_leaves_a_directory_that_one_may_delete(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    client.make("d/f", b"content").await?;
    let held = open_directory(&client, READ_AND_WRITE | DELETE, SHARE_ALL).await?;
    client.rename("d/f", "f", false).await?;
    held.close().await?;
    check_eq!(client.content("f").await?, b"content")
}

async fn takes_a_file([one, two]: Clients<'_, 2>, access: u32, share: u32) -> Checked {
    one.mkdir("d").await?;
    two.make("f", b"content").await?;
    let held = open_directory(&one, access, share).await?;
    two.rename("f", "d/f", false).await?;
    two.rename("d/f", "d/g", false).await?;
    held.close().await?;
    check_eq!(one.content("d/g").await?, b"content")
}
