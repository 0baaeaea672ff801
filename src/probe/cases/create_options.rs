//! Cases of create options: file or directory, and FILE_DELETE_ON_CLOSE (MS-SMB2 3.3.5.9, MS-FSA
//! 2.1.5.1, 2.1.5.5).

use crate::ir::OpenMode::ReadWrite;
use crate::probe::{Checked, Clients, ProbeClient, answer, cases, check, check_eq, check_status};
use crate::protocol::create::CreateDisposition::{
    self, Create, Open, OpenIf, Overwrite, OverwriteIf, Supersede,
};
use crate::protocol::{CreateParameters, NtStatus};

cases! {
    a_file_is_no_directory_and_a_directory_no_file: "MS-FSA 2.1.5.1", CreateOptions;
    without_a_kind_either_is_opened: "MS-FSA 2.1.5.1", CreateOptions, AccessMask;
    an_open_of_a_file_and_directory_at_once_is_invalid: "MS-SMB2 3.3.5.9", CreateOptions;
    a_file_that_deletes_on_close_is_gone_with_its_handle: "MS-FSA 2.1.5.5", CreateOptions, AccessMask;
    deleting_on_close_makes_others_wait_for_none: "MS-FSA 2.1.5.5", CreateOptions, AccessMask;
    a_directory_that_deletes_on_close_is_gone_with_its_handle: "MS-FSA 2.1.5.5", CreateOptions, AccessMask;
    deleting_on_close_needs_the_right_to_delete: "MS-SMB2 3.3.5.9", CreateOptions, AccessMask;
    a_read_only_file_does_not_delete_on_close: "MS-FSA 2.1.5.1.1", CreateOptions, AccessMask, FileAttributes;
    deleting_on_close_deletes_whatever_the_disposition: "MS-FSA 2.1.5.5", CreateOptions, AccessMask;
    an_existing_file_is_not_created_to_be_deleted_on_close: "MS-FSA 2.1.5.1.2", CreateOptions, AccessMask;
    an_open_that_may_not_delete_on_close_creates_no_file: "MS-SMB2 3.3.5.9", CreateOptions, AccessMask;
    all_rights_delete_on_close: "MS-SMB2 3.3.5.9", CreateOptions, AccessMask;
    // The next three follow smbtorture smb2.create.gentest.
    create_options_there_are_not_are_invalid =
        answers(0xFF00_0000, NtStatus::INVALID_PARAMETER): "MS-SMB2 3.3.5.9", CreateOptions, AccessMask;
    // FILE_CREATE_TREE_CONNECTION, FILE_OPEN_BY_FILE_ID and FILE_RESERVE_OPFILTER.
    create_options_of_local_opens_are_not_supported =
        answers(0x0010_2080, NtStatus::NOT_SUPPORTED): "MS-SMB2 3.3.5.9", CreateOptions, AccessMask;
    // A server may use or ignore options that say, for example, how a file is cached, on which
    // thread, or by whom it is opened.
    create_options_that_are_hints_open_a_file =
        answers(0x00E3_CF3E, NtStatus::SUCCESS): "MS-SMB2 2.2.13", CreateOptions, AccessMask;
    attributes_of_devices_and_volumes_are_invalid: "MS-FSA 2.1.5.1", FileAttributes;
    a_directory_is_never_temporary: "MS-FSA 2.1.5.1", CreateOptions, FileAttributes;
}

const DIRECTORY_FILE: u32 = 0x0001;
const NON_DIRECTORY_FILE: u32 = 0x0040;
const DELETE_ON_CLOSE: u32 = 0x1000;

const FILE_GENERIC_READ: u32 = 0x0012_0089;
const DELETE: u32 = 0x0001_0000;
const GENERIC_ALL: u32 = 0x1000_0000;
const MAXIMUM_ALLOWED: u32 = 0x0200_0000;

fn options(options: u32) -> CreateParameters {
    CreateParameters { create_options: Some(options), ..CreateParameters::default() }
}

fn delete_on_close(kind: u32) -> CreateParameters {
    let access_mask = Some(FILE_GENERIC_READ | DELETE);
    CreateParameters { access_mask, ..options(kind | DELETE_ON_CLOSE) }
}

async fn a_file_is_no_directory_and_a_directory_no_file(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    client.mkdir("d").await?;
    let directory = client.open_extended("f", ReadWrite, Open, &options(DIRECTORY_FILE)).await;
    check_status!(directory, NtStatus::NOT_A_DIRECTORY)?;
    let file = client.open_extended("d", ReadWrite, Open, &options(NON_DIRECTORY_FILE)).await;
    check_status!(file, NtStatus::FILE_IS_A_DIRECTORY)
}

async fn without_a_kind_either_is_opened(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    client.mkdir("d").await?;
    let asked = CreateParameters { access_mask: Some(FILE_GENERIC_READ), ..options(0) };
    for name in ["f", "d"] {
        client.open_extended(name, ReadWrite, Open, &asked).await?.close().await?;
    }
    let missing = client.open_extended("g", ReadWrite, Open, &asked).await;
    check_status!(missing, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn an_open_of_a_file_and_directory_at_once_is_invalid(client: ProbeClient<'_>) -> Checked {
    let both = options(DIRECTORY_FILE | NON_DIRECTORY_FILE);
    let opened = client.open_extended("f", ReadWrite, OpenIf, &both).await;
    check_status!(opened, NtStatus::INVALID_PARAMETER)?;
    check_status!(client.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn a_file_that_deletes_on_close_is_gone_with_its_handle(client: ProbeClient<'_>) -> Checked {
    let asked = delete_on_close(NON_DIRECTORY_FILE);
    let handle = client.open_extended("f", ReadWrite, Create, &asked).await?;
    check_status!(client.stat("f").await, NtStatus::SUCCESS)?;
    handle.close().await?;
    check_status!(client.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn deleting_on_close_makes_others_wait_for_none([client, other]: Clients<'_, 2>) -> Checked {
    client.make("f", b"still here").await?;
    let deleting =
        client.open_extended("f", ReadWrite, Open, &delete_on_close(NON_DIRECTORY_FILE)).await?;
    let reader = other.reader("f").await?;
    deleting.close().await?;
    check_status!(other.reader("f").await, NtStatus::DELETE_PENDING)?;
    check_eq!(reader.read(0, 100).await?, &b"still here"[..])?;
    reader.close().await?;
    check_status!(other.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn a_directory_that_deletes_on_close_is_gone_with_its_handle(
    client: ProbeClient<'_>,
) -> Checked {
    let asked = delete_on_close(DIRECTORY_FILE);
    client.open_extended("d", ReadWrite, Create, &asked).await?.close().await?;
    check_status!(client.stat("d").await, NtStatus::OBJECT_NAME_NOT_FOUND)?;
    client.mkdir("full").await?;
    client.make("full/f", b"kept").await?;
    // The server may refuse the open or keep the directory at the close, but deletes no content.
    if let Ok(handle) = client.open_extended("full", ReadWrite, Open, &asked).await {
        handle.close().await?;
    }
    check_eq!(client.content("full/f").await?, b"kept")
}

async fn deleting_on_close_needs_the_right_to_delete(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"kept").await?;
    let asked = options(NON_DIRECTORY_FILE | DELETE_ON_CLOSE);
    let asked = CreateParameters { access_mask: Some(FILE_GENERIC_READ), ..asked };
    let opened = client.open_extended("f", ReadWrite, Open, &asked).await;
    check_status!(opened, NtStatus::ACCESS_DENIED)?;
    check_eq!(client.content("f").await?, b"kept")
}

async fn a_read_only_file_does_not_delete_on_close(client: ProbeClient<'_>) -> Checked {
    let asked =
        CreateParameters { file_attributes: Some(1), ..delete_on_close(NON_DIRECTORY_FILE) };
    let opened = client.open_extended("f", ReadWrite, Create, &asked).await;
    check_status!(opened, NtStatus::CANNOT_DELETE)?;
    check_status!(client.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

/// Follows smbtorture smb2.delete-on-close-perms: OVERWRITE_IF, CREATE, CREATE_IF.
async fn deleting_on_close_deletes_whatever_the_disposition(client: ProbeClient<'_>) -> Checked {
    let asked = delete_on_close(NON_DIRECTORY_FILE);
    let gone = async |disposition: CreateDisposition, which: &str| -> Checked {
        let handle = client.open_extended("f", ReadWrite, disposition, &asked).await?;
        check_status!(client.stat("f").await, NtStatus::SUCCESS, "{which}, {disposition:?}")?;
        handle.close().await?;
        let stat = answer(client.stat("f").await)?;
        check_eq!(stat, NtStatus::OBJECT_NAME_NOT_FOUND, "{which}, {disposition:?}")
    };
    for disposition in [Create, OpenIf, OverwriteIf, Supersede] {
        gone(disposition, "a file that was made").await?;
    }
    for disposition in [Open, OpenIf, Overwrite, OverwriteIf, Supersede] {
        client.make("f", b"x").await?;
        gone(disposition, "a file that was there").await?;
    }
    Ok(())
}

/// Follows smbtorture smb2.delete-on-close-perms.CREATE Existing.
async fn an_existing_file_is_not_created_to_be_deleted_on_close(
    client: ProbeClient<'_>,
) -> Checked {
    client.make("f", b"kept").await?;
    let asked = delete_on_close(NON_DIRECTORY_FILE);
    let opened = client.open_extended("f", ReadWrite, Create, &asked).await;
    check_status!(opened, NtStatus::OBJECT_NAME_COLLISION)?;
    check_eq!(client.content("f").await?, b"kept")
}

/// Accepts any failure: `deleting_on_close_needs_the_right_to_delete` checks the status.
async fn an_open_that_may_not_delete_on_close_creates_no_file(client: ProbeClient<'_>) -> Checked {
    let asked = options(NON_DIRECTORY_FILE | DELETE_ON_CLOSE);
    let asked = CreateParameters { access_mask: Some(FILE_GENERIC_READ), ..asked };
    for disposition in [Create, OpenIf, OverwriteIf, Supersede] {
        let opened = answer(client.open_extended("f", ReadWrite, disposition, &asked).await)?;
        check!(opened != NtStatus::SUCCESS, "opened to be deleted by {disposition:?}")?;
        check_status!(client.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND, "{disposition:?}")?;
    }
    Ok(())
}

async fn all_rights_delete_on_close(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    let asked = options(NON_DIRECTORY_FILE | DELETE_ON_CLOSE);
    let asked = CreateParameters { access_mask: Some(GENERIC_ALL), ..asked };
    client.open_extended("f", ReadWrite, Open, &asked).await?.close().await?;
    check_status!(client.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

/// Returns the bits that are set in `mask`, each alone.
pub fn bits(mask: u32) -> impl Iterator<Item = u32> {
    (0..32).map(|bit| 1 << bit).filter(move |bit| mask & bit != 0)
}

/// Checks the answer to an open with each of the options in `mask` alone.
async fn answers(client: ProbeClient<'_>, mask: u32, expected: NtStatus) -> Checked {
    client.make("f", b"kept").await?;
    for bit in bits(mask) {
        let asked = CreateParameters { access_mask: Some(MAXIMUM_ALLOWED), ..options(bit) };
        let opened = client.open_extended("f", ReadWrite, OpenIf, &asked).await;
        check_status!(opened, expected, "0x{bit:08X}")?;
    }
    check_eq!(client.content("f").await?, b"kept")
}

/// Follows smbtorture smb2.create.gentest, but skips the bits to which later versions of MS-FSCC
/// give a meaning.
async fn attributes_of_devices_and_volumes_are_invalid(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"kept").await?;
    for bit in [0x8, 0x40, 0x8000_0000] {
        let asked = CreateParameters { file_attributes: Some(bit), ..CreateParameters::default() };
        for (name, disposition) in [("f", Open), ("f", OverwriteIf), ("g", Create)] {
            let opened = client.open_extended(name, ReadWrite, disposition, &asked).await;
            let notice = answer(opened)?;
            check_eq!(notice, NtStatus::INVALID_PARAMETER, "0x{bit:X}, {disposition:?}")?;
        }
    }
    check_eq!(client.content("f").await?, b"kept")?;
    check_status!(client.stat("g").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

/// Follows smbtorture smb2.create.dosattr_tmp_dir.
async fn a_directory_is_never_temporary(client: ProbeClient<'_>) -> Checked {
    let asked = CreateParameters { file_attributes: Some(0x100), ..options(DIRECTORY_FILE) };
    let made = client.open_extended("d", ReadWrite, Create, &asked).await;
    check_status!(made, NtStatus::INVALID_PARAMETER)?;
    check_status!(client.stat("d").await, NtStatus::OBJECT_NAME_NOT_FOUND)?;
    let asked = CreateParameters { file_attributes: Some(0x100), ..options(NON_DIRECTORY_FILE) };
    Ok(client.open_extended("f", ReadWrite, Create, &asked).await?.close().await?)
}
