//! Create options: the kind of a file, and FILE_DELETE_ON_CLOSE (MS-SMB2
//! 3.3.5.9, MS-FSA 2.1.5.1, 2.1.5.5).

use crate::ir::OpenMode::ReadWrite;
use crate::probe::{Case, Checked, Place, answer, case, check_eq};
use crate::protocol::create::CreateDisposition::{Create, Open, OpenIf};
use crate::protocol::{CreateParameters, NtStatus};

pub const CASES: &[Case] = &[
    case!(a_file_is_no_folder_and_a_folder_no_file, "MS-FSA 2.1.5.1", CreateOptions),
    case!(without_a_kind_either_is_opened, "MS-FSA 2.1.5.1", CreateOptions, AccessMask),
    case!(what_shall_be_file_and_folder_is_invalid, "MS-SMB2 3.3.5.9", CreateOptions),
    case!(
        a_file_that_deletes_on_close_is_gone_with_its_handle,
        "MS-FSA 2.1.5.5",
        CreateOptions,
        AccessMask
    ),
    case!(
        deleting_on_close_makes_others_wait_for_none,
        "MS-FSA 2.1.5.5",
        CreateOptions,
        AccessMask
    ),
    case!(
        a_folder_that_deletes_on_close_is_gone_with_its_handle,
        "MS-FSA 2.1.5.5",
        CreateOptions,
        AccessMask
    ),
    case!(
        deleting_on_close_needs_the_right_to_delete,
        "MS-SMB2 3.3.5.9",
        CreateOptions,
        AccessMask
    ),
    case!(
        a_read_only_file_does_not_delete_on_close,
        "MS-FSA 2.1.5.1.1",
        CreateOptions,
        AccessMask,
        FileAttributes
    ),
];

const DIRECTORY_FILE: u32 = 0x0001;
const NON_DIRECTORY_FILE: u32 = 0x0040;
const DELETE_ON_CLOSE: u32 = 0x1000;

const FILE_GENERIC_READ: u32 = 0x0012_0089;
const DELETE: u32 = 0x0001_0000;

fn options(options: u32) -> CreateParameters {
    CreateParameters { create_options: Some(options), ..CreateParameters::default() }
}

fn delete_on_close(kind: u32) -> CreateParameters {
    let access_mask = Some(FILE_GENERIC_READ | DELETE);
    CreateParameters { access_mask, ..options(kind | DELETE_ON_CLOSE) }
}

async fn a_file_is_no_folder_and_a_folder_no_file(place: &Place) -> Checked {
    let client = place.client().await?;
    client.make("f", b"x").await?;
    client.mkdir("d").await?;
    let folder = client.open_extended("f", ReadWrite, Open, &options(DIRECTORY_FILE)).await;
    check_eq!(answer(folder)?, NtStatus::NOT_A_DIRECTORY);
    let file = client.open_extended("d", ReadWrite, Open, &options(NON_DIRECTORY_FILE)).await;
    check_eq!(answer(file)?, NtStatus::FILE_IS_A_DIRECTORY);
    Ok(())
}

async fn without_a_kind_either_is_opened(place: &Place) -> Checked {
    let client = place.client().await?;
    client.make("f", b"x").await?;
    client.mkdir("d").await?;
    let asked = CreateParameters { access_mask: Some(FILE_GENERIC_READ), ..options(0) };
    for name in ["f", "d"] {
        client.open_extended(name, ReadWrite, Open, &asked).await?.close().await?;
    }
    let missing = client.open_extended("g", ReadWrite, Open, &asked).await;
    check_eq!(answer(missing)?, NtStatus::OBJECT_NAME_NOT_FOUND);
    Ok(())
}

async fn what_shall_be_file_and_folder_is_invalid(place: &Place) -> Checked {
    let client = place.client().await?;
    let both = options(DIRECTORY_FILE | NON_DIRECTORY_FILE);
    let opened = client.open_extended("f", ReadWrite, OpenIf, &both).await;
    check_eq!(answer(opened)?, NtStatus::INVALID_PARAMETER);
    check_eq!(answer(client.stat("f").await)?, NtStatus::OBJECT_NAME_NOT_FOUND);
    Ok(())
}

async fn a_file_that_deletes_on_close_is_gone_with_its_handle(place: &Place) -> Checked {
    let client = place.client().await?;
    let asked = delete_on_close(NON_DIRECTORY_FILE);
    let handle = client.open_extended("f", ReadWrite, Create, &asked).await?;
    check_eq!(answer(client.stat("f").await)?, NtStatus::SUCCESS);
    handle.close().await?;
    check_eq!(answer(client.stat("f").await)?, NtStatus::OBJECT_NAME_NOT_FOUND);
    Ok(())
}

async fn deleting_on_close_makes_others_wait_for_none(place: &Place) -> Checked {
    let client = place.client().await?;
    let other = place.client().await?;
    client.make("f", b"still here").await?;
    let deleting =
        client.open_extended("f", ReadWrite, Open, &delete_on_close(NON_DIRECTORY_FILE)).await?;
    let reader = other.reader("f").await?;
    deleting.close().await?;
    check_eq!(answer(other.reader("f").await)?, NtStatus::DELETE_PENDING);
    check_eq!(reader.read(0, 100).await?, &b"still here"[..]);
    reader.close().await?;
    check_eq!(answer(other.stat("f").await)?, NtStatus::OBJECT_NAME_NOT_FOUND);
    Ok(())
}

async fn a_folder_that_deletes_on_close_is_gone_with_its_handle(place: &Place) -> Checked {
    let client = place.client().await?;
    let asked = delete_on_close(DIRECTORY_FILE);
    client.open_extended("d", ReadWrite, Create, &asked).await?.close().await?;
    check_eq!(answer(client.stat("d").await)?, NtStatus::OBJECT_NAME_NOT_FOUND);
    client.mkdir("full").await?;
    client.make("full/f", b"kept").await?;
    // Refused at once or kept at the close, but never with what is in it.
    if let Ok(handle) = client.open_extended("full", ReadWrite, Open, &asked).await {
        handle.close().await?;
    }
    check_eq!(client.content("full/f").await?, b"kept");
    Ok(())
}

async fn deleting_on_close_needs_the_right_to_delete(place: &Place) -> Checked {
    let client = place.client().await?;
    client.make("f", b"kept").await?;
    let asked = options(NON_DIRECTORY_FILE | DELETE_ON_CLOSE);
    let asked = CreateParameters { access_mask: Some(FILE_GENERIC_READ), ..asked };
    let opened = client.open_extended("f", ReadWrite, Open, &asked).await;
    check_eq!(answer(opened)?, NtStatus::ACCESS_DENIED);
    check_eq!(client.content("f").await?, b"kept");
    Ok(())
}

async fn a_read_only_file_does_not_delete_on_close(place: &Place) -> Checked {
    let client = place.client().await?;
    let asked =
        CreateParameters { file_attributes: Some(1), ..delete_on_close(NON_DIRECTORY_FILE) };
    let opened = client.open_extended("f", ReadWrite, Create, &asked).await;
    check_eq!(answer(opened)?, NtStatus::CANNOT_DELETE);
    check_eq!(answer(client.stat("f").await)?, NtStatus::OBJECT_NAME_NOT_FOUND);
    Ok(())
}
