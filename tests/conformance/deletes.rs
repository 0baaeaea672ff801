//! Deleting files.

use smbench::backend::SMBBackend;
use smbench::ir::OpenMode::ReadWrite;
use smbench::protocol::NtStatus;
use smbench::protocol::create::CreateDisposition::{Create, OpenIf};

use crate::client::{Client, answer};
use crate::suite::{Case, Folder, case};

pub const CASES: &[Case] = &[
    case!(deletes::a_deleted_file_is_gone_and_its_name_free),
    case!(deletes::deleting_what_is_missing_says_which_part),
    case!(deletes::deleting_a_folder_is_file_is_a_directory),
    case!(deletes::a_deleted_file_is_delete_pending_until_its_last_close),
    case!(deletes::a_folder_is_not_empty_while_a_deleted_file_is_open_in_it),
];

pub async fn a_deleted_file_is_gone_and_its_name_free(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"old").await;
    client.delete("F").await.unwrap();
    assert_eq!(answer(client.stat("f").await), NtStatus::OBJECT_NAME_NOT_FOUND);
    let again = client.open("f", ReadWrite, Create).await.unwrap();
    assert_eq!(answer(again.read(0, 1).await), NtStatus::END_OF_FILE);
    again.close().await.unwrap();
}

pub async fn deleting_what_is_missing_says_which_part(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    assert_eq!(answer(client.delete("missing").await), NtStatus::OBJECT_NAME_NOT_FOUND);
    assert_eq!(answer(client.delete("missing/f").await), NtStatus::OBJECT_PATH_NOT_FOUND);
}

pub async fn deleting_a_folder_is_file_is_a_directory(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.mkdir("d").await.unwrap();
    assert_eq!(answer(client.delete("d").await), NtStatus::FILE_IS_A_DIRECTORY);
    assert_eq!(answer(client.stat("d").await), NtStatus::SUCCESS);
}

pub async fn a_deleted_file_is_delete_pending_until_its_last_close(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    let other = Client::connect(server, folder).await;
    client.make("f", b"still here").await;
    let held = other.reader("f").await;
    client.delete("f").await.unwrap();
    let opened = client.open("f", ReadWrite, OpenIf).await;
    assert_eq!(answer(opened), NtStatus::DELETE_PENDING);
    assert_eq!(answer(client.stat("f").await), NtStatus::DELETE_PENDING);
    assert_eq!(held.read(0, 100).await.unwrap(), &b"still here"[..]);
    held.close().await.unwrap();
    assert_eq!(answer(client.stat("f").await), NtStatus::OBJECT_NAME_NOT_FOUND);
}

pub async fn a_folder_is_not_empty_while_a_deleted_file_is_open_in_it(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    client.mkdir("d").await.unwrap();
    let held = client.file("d/f").await;
    client.delete("d/f").await.unwrap();
    assert_eq!(answer(client.rmdir("d").await), NtStatus::DIRECTORY_NOT_EMPTY);
    held.close().await.unwrap();
    client.rmdir("d").await.unwrap();
}
