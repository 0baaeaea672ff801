//! Opening: modes, dispositions, what is missing or of the wrong kind.

use bytes::Bytes;
use smbench::backend::{OpError, SMBBackend};
use smbench::ir::OpenMode::{Read, ReadWrite, Write};
use smbench::ir::{HandleRef, OperationKind};
use smbench::protocol::create::CreateDisposition::{
    self, Create, Open, OpenIf, Overwrite, OverwriteIf, Supersede,
};
use smbench::protocol::{CreateParameters, NtStatus};

use crate::client::{Client, answer};
use crate::suite::{Case, Folder, case};

pub const CASES: &[Case] = &[
    case!(opens::opening_a_missing_file_is_name_not_found),
    case!(opens::a_status_keeps_its_number_and_name),
    case!(opens::opening_below_a_missing_folder_is_path_not_found),
    case!(opens::opening_below_a_file_is_path_not_found),
    case!(opens::opening_a_folder_as_a_file_is_file_is_a_directory),
    case!(opens::create_makes_a_file_and_refuses_an_existing_one),
    case!(opens::open_if_makes_a_file_and_keeps_an_existing_one),
    case!(opens::overwrite_empties_a_file_and_makes_none),
    case!(opens::overwrite_if_empties_a_file_or_makes_one),
    case!(opens::supersede_empties_a_file_or_makes_one),
    case!(opens::the_disposition_of_an_extended_open_decides, Disposition),
    case!(opens::an_extended_open_without_fields_is_a_simple_one),
    case!(opens::a_read_handle_cannot_write_or_truncate),
    case!(opens::a_write_handle_cannot_read),
    case!(opens::a_read_write_handle_does_both),
    case!(opens::a_hundred_handles_are_open_on_one_connection),
    case!(opens::closing_one_handle_leaves_another_on_the_same_file),
    case!(opens::an_operation_on_a_handle_is_not_one_by_path),
];

pub async fn opening_a_missing_file_is_name_not_found(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    for mode in [Read, Write, ReadWrite] {
        let opened = client.open("missing", mode, Open).await;
        assert_eq!(answer(opened), NtStatus::OBJECT_NAME_NOT_FOUND, "{mode:?}");
    }
}

pub async fn a_status_keeps_its_number_and_name(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let status = answer(client.stat("missing").await);
    assert_eq!(status.0, 0xC000_0034);
    assert_eq!(status.name(), Some("STATUS_OBJECT_NAME_NOT_FOUND"));
}

pub async fn opening_below_a_missing_folder_is_path_not_found(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    for disposition in [Open, Create, OpenIf, OverwriteIf] {
        let opened = client.open("missing/file", ReadWrite, disposition).await;
        assert_eq!(answer(opened), NtStatus::OBJECT_PATH_NOT_FOUND, "{disposition:?}");
    }
}

pub async fn opening_below_a_file_is_path_not_found(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("file", b"x").await;
    let opened = client.open("file/below", ReadWrite, OpenIf).await;
    assert_eq!(answer(opened), NtStatus::OBJECT_PATH_NOT_FOUND);
}

pub async fn opening_a_folder_as_a_file_is_file_is_a_directory(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    client.mkdir("d").await.unwrap();
    for (mode, disposition) in [(Read, Open), (ReadWrite, OpenIf)] {
        let opened = client.open("d", mode, disposition).await;
        assert_eq!(answer(opened), NtStatus::FILE_IS_A_DIRECTORY, "{mode:?}");
    }
}

/// What becomes of an existing file, and whether a missing one is made.
async fn check_disposition(
    server: &dyn SMBBackend,
    folder: &Folder,
    disposition: CreateDisposition,
    existing: Result<&[u8], NtStatus>,
    missing: NtStatus,
) {
    let client = Client::connect(server, folder).await;
    client.make("there", b"old content").await;
    let opened = client.open("there", ReadWrite, disposition).await;
    match existing {
        Ok(content) => {
            opened.unwrap().close().await.unwrap();
            assert_eq!(client.content("there").await, content);
        }
        Err(status) => {
            assert_eq!(answer(opened), status);
            assert_eq!(client.content("there").await, b"old content");
        }
    }
    let opened = client.open("missing", ReadWrite, disposition).await;
    if missing == NtStatus::SUCCESS {
        opened.unwrap().close().await.unwrap();
        assert_eq!(client.content("missing").await, b"");
    } else {
        assert_eq!(answer(opened), missing);
        assert_eq!(answer(client.stat("missing").await), NtStatus::OBJECT_NAME_NOT_FOUND);
    }
}

pub async fn create_makes_a_file_and_refuses_an_existing_one(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let existing = Err(NtStatus::OBJECT_NAME_COLLISION);
    check_disposition(server, folder, Create, existing, NtStatus::SUCCESS).await;
}

pub async fn open_if_makes_a_file_and_keeps_an_existing_one(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    check_disposition(server, folder, OpenIf, Ok(b"old content"), NtStatus::SUCCESS).await;
}

pub async fn overwrite_empties_a_file_and_makes_none(server: &dyn SMBBackend, folder: &Folder) {
    let missing = NtStatus::OBJECT_NAME_NOT_FOUND;
    check_disposition(server, folder, Overwrite, Ok(b""), missing).await;
}

pub async fn overwrite_if_empties_a_file_or_makes_one(server: &dyn SMBBackend, folder: &Folder) {
    check_disposition(server, folder, OverwriteIf, Ok(b""), NtStatus::SUCCESS).await;
}

pub async fn supersede_empties_a_file_or_makes_one(server: &dyn SMBBackend, folder: &Folder) {
    check_disposition(server, folder, Supersede, Ok(b""), NtStatus::SUCCESS).await;
}

pub async fn the_disposition_of_an_extended_open_decides(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"x").await;
    let create = CreateParameters { disposition: Some(Create), ..CreateParameters::default() };
    let refused = client.open_extended("f", ReadWrite, OpenIf, create.clone()).await;
    assert_eq!(answer(refused), NtStatus::OBJECT_NAME_COLLISION);
    let made = client.open_extended("g", ReadWrite, Open, create).await.unwrap();
    made.close().await.unwrap();
}

pub async fn an_extended_open_without_fields_is_a_simple_one(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    let plain = CreateParameters::default();
    let handle = client.open_extended("f", ReadWrite, OpenIf, plain).await.unwrap();
    handle.write(0, Bytes::from_static(b"abc")).await.unwrap();
    handle.close().await.unwrap();
    assert_eq!(client.content("f").await, b"abc");
}

pub async fn a_read_handle_cannot_write_or_truncate(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"kept").await;
    let reader = client.reader("f").await;
    let written = reader.write(0, Bytes::from_static(b"lost")).await;
    assert_eq!(answer(written), NtStatus::ACCESS_DENIED);
    assert_eq!(answer(reader.truncate(0).await), NtStatus::ACCESS_DENIED);
    reader.close().await.unwrap();
    assert_eq!(client.content("f").await, b"kept");
}

pub async fn a_write_handle_cannot_read(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"secret").await;
    let writer = client.open("f", Write, Open).await.unwrap();
    assert_eq!(answer(writer.read(0, 6).await), NtStatus::ACCESS_DENIED);
    writer.close().await.unwrap();
}

pub async fn a_read_write_handle_does_both(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let handle = client.file("f").await;
    assert_eq!(handle.write(0, Bytes::from_static(b"both")).await, Ok(4));
    assert_eq!(handle.read(0, 4).await.unwrap(), &b"both"[..]);
    handle.close().await.unwrap();
}

pub async fn a_hundred_handles_are_open_on_one_connection(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    let mut handles = Vec::new();
    for number in 0..100_u8 {
        let handle = client.file(&format!("f{number}")).await;
        handle.write(0, vec![number; 10].into()).await.unwrap();
        handles.push(handle);
    }
    for (number, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.read(0, 100).await.unwrap(), vec![number as u8; 10]);
        handle.close().await.unwrap();
    }
}

pub async fn closing_one_handle_leaves_another_on_the_same_file(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    let (first, second) = (client.file("f").await, client.file("f").await);
    first.write(0, Bytes::from_static(b"x")).await.unwrap();
    first.close().await.unwrap();
    assert_eq!(second.read(0, 1).await.unwrap(), &b"x"[..]);
    second.close().await.unwrap();
}

pub async fn an_operation_on_a_handle_is_not_one_by_path(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let flush = OperationKind::Flush { handle_ref: HandleRef(1) };
    let refused = client.connection.execute_misc(&flush).await;
    assert!(matches!(refused, Err(OpError::Client(_))), "{refused:?}");
    assert_eq!(answer(client.stat("").await), NtStatus::SUCCESS, "the connection goes on");
}
