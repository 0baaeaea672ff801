//! Opening: modes, dispositions, what is missing or of the wrong kind.

use crate::backend::OpError;
use crate::ir::OpenMode::{Read, ReadWrite, Write};
use crate::ir::{HandleRef, OperationKind};
use crate::probe::{Case, Checked, Place, answer, case, check, check_eq, side_by_side};
use crate::protocol::create::CreateDisposition::{Create, Open, OpenIf, OverwriteIf};
use crate::protocol::{CreateParameters, NtStatus};
use bytes::Bytes;

pub const CASES: &[Case] = &[
    case!(opening_a_missing_file_is_name_not_found, "MS-FSA 2.1.5.1"),
    case!(a_status_keeps_its_number_and_name, "MS-FSA 2.1.5.1"),
    case!(opening_below_a_missing_folder_is_path_not_found, "MS-FSA 2.1.5.1"),
    case!(opening_below_a_file_is_path_not_found, "MS-FSA 2.1.5.1"),
    case!(opening_a_folder_as_a_file_is_file_is_a_directory, "MS-FSA 2.1.5.1"),
    case!(the_disposition_of_an_extended_open_decides, "MS-FSA 2.1.5.1", Disposition),
    case!(an_extended_open_without_fields_is_a_simple_one, "MS-FSA 2.1.5.1"),
    case!(two_hundred_handles_are_open_on_one_connection, "MS-FSA 2.1.5.1"),
    case!(closing_one_handle_leaves_another_on_the_same_file, "MS-FSA 2.1.5.1"),
    case!(an_operation_on_a_handle_is_not_one_by_path, "MS-FSA 2.1.5.1"),
];

async fn opening_a_missing_file_is_name_not_found(place: &Place) -> Checked {
    let client = place.client().await?;
    for mode in [Read, Write, ReadWrite] {
        let opened = client.open("missing", mode, Open).await;
        check_eq!(answer(opened)?, NtStatus::OBJECT_NAME_NOT_FOUND, "{mode:?}");
    }
    Ok(())
}

async fn a_status_keeps_its_number_and_name(place: &Place) -> Checked {
    let client = place.client().await?;
    let status = answer(client.stat("missing").await)?;
    check_eq!(status.0, 0xC000_0034);
    check_eq!(status.name(), Some("STATUS_OBJECT_NAME_NOT_FOUND"));
    Ok(())
}

async fn opening_below_a_missing_folder_is_path_not_found(place: &Place) -> Checked {
    let client = place.client().await?;
    for disposition in [Open, Create, OpenIf, OverwriteIf] {
        let opened = client.open("missing/file", ReadWrite, disposition).await;
        check_eq!(answer(opened)?, NtStatus::OBJECT_PATH_NOT_FOUND, "{disposition:?}");
    }
    Ok(())
}

async fn opening_below_a_file_is_path_not_found(place: &Place) -> Checked {
    let client = place.client().await?;
    client.make("file", b"x").await?;
    let opened = client.open("file/below", ReadWrite, OpenIf).await;
    check_eq!(answer(opened)?, NtStatus::OBJECT_PATH_NOT_FOUND);
    Ok(())
}

async fn opening_a_folder_as_a_file_is_file_is_a_directory(place: &Place) -> Checked {
    let client = place.client().await?;
    client.mkdir("d").await?;
    for (mode, disposition) in [(Read, Open), (ReadWrite, OpenIf)] {
        let opened = client.open("d", mode, disposition).await;
        check_eq!(answer(opened)?, NtStatus::FILE_IS_A_DIRECTORY, "{mode:?}");
    }
    Ok(())
}

async fn the_disposition_of_an_extended_open_decides(place: &Place) -> Checked {
    let client = place.client().await?;
    client.make("f", b"x").await?;
    let create = CreateParameters { disposition: Some(Create), ..CreateParameters::default() };
    let refused = client.open_extended("f", ReadWrite, OpenIf, &create).await;
    check_eq!(answer(refused)?, NtStatus::OBJECT_NAME_COLLISION);
    let made = client.open_extended("g", ReadWrite, Open, &create).await?;
    made.close().await?;
    Ok(())
}

async fn an_extended_open_without_fields_is_a_simple_one(place: &Place) -> Checked {
    let client = place.client().await?;
    let plain = CreateParameters::default();
    let handle = client.open_extended("f", ReadWrite, OpenIf, &plain).await?;
    handle.write(0, Bytes::from_static(b"abc")).await?;
    handle.close().await?;
    check_eq!(client.content("f").await?, b"abc");
    Ok(())
}

async fn two_hundred_handles_are_open_on_one_connection(place: &Place) -> Checked {
    let client = &place.client().await?;
    let opening = (0..200_u8).map(|number| async move {
        let handle = client.file(&format!("f{number}")).await?;
        handle.write(0, vec![number; 10].into()).await?;
        Ok((number, handle))
    });
    let open = side_by_side(opening.collect()).await?;
    let closing = open.into_iter().map(|(number, handle)| async move {
        check_eq!(handle.read(0, 100).await?, vec![number; 10]);
        Ok(handle.close().await?)
    });
    side_by_side(closing.collect()).await.map(drop)
}

async fn closing_one_handle_leaves_another_on_the_same_file(place: &Place) -> Checked {
    let client = place.client().await?;
    let (first, second) = (client.file("f").await?, client.file("f").await?);
    first.write(0, Bytes::from_static(b"x")).await?;
    first.close().await?;
    check_eq!(second.read(0, 1).await?, &b"x"[..]);
    second.close().await?;
    Ok(())
}

async fn an_operation_on_a_handle_is_not_one_by_path(place: &Place) -> Checked {
    let client = place.client().await?;
    let flush = OperationKind::Flush { handle_ref: HandleRef(1) };
    let refused = client.connection.execute_misc(&flush).await;
    check!(matches!(refused, Err(OpError::Client(_))), "it was sent");
    check_eq!(answer(client.stat("").await)?, NtStatus::SUCCESS, "the connection goes on");
    Ok(())
}
