//! Renaming files and folders.

use bytes::Bytes;
use smbench::backend::SMBBackend;
use smbench::protocol::NtStatus;

use crate::client::{Client, answer};
use crate::suite::{Case, Folder, case};

pub const CASES: &[Case] = &[
    case!(renames::a_rename_moves_the_content),
    case!(renames::a_rename_into_another_folder_moves_the_file),
    case!(renames::a_rename_of_a_folder_takes_its_files_along),
    case!(renames::a_rename_of_a_missing_file_is_name_not_found),
    case!(renames::a_rename_onto_an_existing_file_is_a_collision),
    case!(renames::a_replacing_rename_replaces_an_existing_file),
    case!(renames::a_replacing_rename_needs_nothing_to_replace),
    case!(renames::a_rename_into_a_missing_folder_is_path_not_found),
    case!(renames::a_file_never_replaces_a_folder),
    case!(renames::a_folder_never_replaces_a_folder),
    case!(renames::an_open_file_is_never_replaced),
    case!(renames::a_rename_may_change_only_the_case),
    case!(renames::a_rename_onto_itself_succeeds),
    case!(renames::an_open_file_is_renamed_and_its_handle_goes_on),
    case!(renames::a_folder_does_not_move_into_itself),
    case!(renames::a_folder_does_not_move_below_its_own_folder),
    case!(renames::a_folder_with_an_open_file_below_stays),
];

pub async fn a_rename_moves_the_content(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("old", b"content").await;
    client.rename("old", "new", false).await.unwrap();
    assert_eq!(client.content("new").await, b"content");
    assert_eq!(answer(client.stat("old").await), NtStatus::OBJECT_NAME_NOT_FOUND);
}

pub async fn a_rename_into_another_folder_moves_the_file(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.mkdir("a").await.unwrap();
    client.mkdir("b").await.unwrap();
    client.make("a/f", b"content").await;
    client.rename("a/f", "b/g", false).await.unwrap();
    assert_eq!(client.content("b/g").await, b"content");
    client.rmdir("a").await.unwrap();
}

pub async fn a_rename_of_a_folder_takes_its_files_along(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.mkdir("old").await.unwrap();
    client.mkdir("old/deep").await.unwrap();
    client.make("old/deep/f", b"content").await;
    client.rename("old", "new", false).await.unwrap();
    assert_eq!(client.content("new/deep/f").await, b"content");
    assert_eq!(answer(client.stat("old/deep/f").await), NtStatus::OBJECT_PATH_NOT_FOUND);
    client.delete("new/deep/f").await.unwrap();
    client.rmdir("new/deep").await.unwrap();
}

pub async fn a_rename_of_a_missing_file_is_name_not_found(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    for replace in [false, true] {
        let renamed = client.rename("missing", "new", replace).await;
        assert_eq!(answer(renamed), NtStatus::OBJECT_NAME_NOT_FOUND);
        let renamed = client.rename("missing/f", "new", replace).await;
        assert_eq!(answer(renamed), NtStatus::OBJECT_PATH_NOT_FOUND);
    }
}

pub async fn a_rename_onto_an_existing_file_is_a_collision(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    client.make("source", b"source").await;
    client.make("Target", b"target").await;
    client.mkdir("folder").await.unwrap();
    for target in ["Target", "tARGET", "folder"] {
        let renamed = client.rename("source", target, false).await;
        assert_eq!(answer(renamed), NtStatus::OBJECT_NAME_COLLISION, "{target}");
    }
    assert_eq!(client.content("source").await, b"source");
    assert_eq!(client.content("Target").await, b"target");
}

pub async fn a_replacing_rename_replaces_an_existing_file(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    client.make("source", b"source").await;
    client.make("target", b"a longer target").await;
    client.rename("source", "target", true).await.unwrap();
    assert_eq!(client.content("target").await, b"source");
    assert_eq!(answer(client.stat("source").await), NtStatus::OBJECT_NAME_NOT_FOUND);
}

pub async fn a_replacing_rename_needs_nothing_to_replace(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("source", b"source").await;
    client.rename("source", "target", true).await.unwrap();
    assert_eq!(client.content("target").await, b"source");
}

pub async fn a_rename_into_a_missing_folder_is_path_not_found(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"kept").await;
    let renamed = client.rename("f", "missing/f", false).await;
    assert_eq!(answer(renamed), NtStatus::OBJECT_PATH_NOT_FOUND);
    assert_eq!(client.content("f").await, b"kept");
}

pub async fn a_file_never_replaces_a_folder(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"x").await;
    client.mkdir("d").await.unwrap();
    assert_eq!(answer(client.rename("f", "d", true).await), NtStatus::ACCESS_DENIED);
    assert_eq!(client.content("f").await, b"x");
}

pub async fn a_folder_never_replaces_a_folder(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.mkdir("d").await.unwrap();
    client.mkdir("e").await.unwrap();
    assert_eq!(answer(client.rename("e", "d", true).await), NtStatus::ACCESS_DENIED);
    assert_eq!(answer(client.stat("e").await), NtStatus::SUCCESS);
}

pub async fn an_open_file_is_never_replaced(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("source", b"source").await;
    client.make("target", b"target").await;
    let held = client.reader("target").await;
    let renamed = client.rename("source", "target", true).await;
    assert_eq!(answer(renamed), NtStatus::ACCESS_DENIED);
    held.close().await.unwrap();
    client.rename("source", "target", true).await.unwrap();
}

pub async fn a_rename_may_change_only_the_case(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("name", b"x").await;
    client.rename("name", "NAME", false).await.unwrap();
    assert_eq!(client.content("Name").await, b"x");
}

pub async fn a_rename_onto_itself_succeeds(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"x").await;
    for replace in [false, true] {
        let renamed = client.rename("f", "f", replace).await;
        assert_eq!(answer(renamed), NtStatus::SUCCESS, "replace {replace}");
    }
    assert_eq!(client.content("f").await, b"x");
}

pub async fn an_open_file_is_renamed_and_its_handle_goes_on(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    let handle = client.file("old").await;
    handle.write(0, Bytes::from_static(b"before ")).await.unwrap();
    client.rename("old", "new", false).await.unwrap();
    handle.write(7, Bytes::from_static(b"after")).await.unwrap();
    handle.close().await.unwrap();
    assert_eq!(client.content("new").await, b"before after");
}

pub async fn a_folder_does_not_move_into_itself(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.mkdir("d").await.unwrap();
    assert_eq!(answer(client.rename("d", "d/f", false).await), NtStatus::ACCESS_DENIED);
    assert_eq!(answer(client.stat("d").await), NtStatus::SUCCESS);
}

pub async fn a_folder_does_not_move_below_its_own_folder(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.mkdir("d").await.unwrap();
    client.mkdir("d/e").await.unwrap();
    assert_eq!(answer(client.rename("d", "d/e/f", false).await), NtStatus::ACCESS_DENIED);
    assert_eq!(answer(client.stat("d/e").await), NtStatus::SUCCESS);
}

pub async fn a_folder_with_an_open_file_below_stays(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.mkdir("d").await.unwrap();
    let held = client.file("d/f").await;
    assert_eq!(answer(client.rename("d", "e", false).await), NtStatus::ACCESS_DENIED);
    held.close().await.unwrap();
    client.rename("d", "e", false).await.unwrap();
    client.delete("e/f").await.unwrap();
}
