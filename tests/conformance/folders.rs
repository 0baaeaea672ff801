//! Folders: making, removing, listing; and stat of either kind.

use smbench::backend::SMBBackend;
use smbench::protocol::NtStatus;

use crate::client::{Client, answer};
use crate::suite::{Case, Folder, case};

pub const CASES: &[Case] = &[
    case!(folders::mkdir_makes_a_folder),
    case!(folders::mkdir_of_what_exists_is_a_collision),
    case!(folders::mkdir_below_a_missing_folder_is_path_not_found),
    case!(folders::rmdir_removes_an_empty_folder),
    case!(folders::rmdir_of_a_folder_with_a_file_is_directory_not_empty),
    case!(folders::rmdir_of_a_missing_folder_is_name_not_found),
    case!(folders::rmdir_of_a_file_is_not_a_directory),
    case!(folders::an_empty_folder_is_listed),
    case!(folders::a_pattern_that_matches_something_succeeds),
    case!(folders::a_pattern_that_matches_nothing_is_no_such_file),
    case!(folders::listing_a_missing_folder_is_name_not_found),
    case!(folders::listing_a_file_is_not_a_directory),
    case!(folders::three_hundred_entries_are_listed),
    case!(folders::stat_knows_files_and_folders),
    case!(folders::stat_of_what_is_missing_says_which_part),
];

pub async fn mkdir_makes_a_folder(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.mkdir("d").await.unwrap();
    client.mkdir("d/e").await.unwrap();
    client.make("d/e/f", b"x").await;
    assert_eq!(client.content("d/e/f").await, b"x");
    assert_eq!(answer(client.list("d", "e").await), NtStatus::SUCCESS);
}

pub async fn mkdir_of_what_exists_is_a_collision(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.mkdir("d").await.unwrap();
    client.make("f", b"x").await;
    for name in ["d", "D", "f"] {
        let made = client.mkdir(name).await;
        assert_eq!(answer(made), NtStatus::OBJECT_NAME_COLLISION, "{name}");
    }
}

pub async fn mkdir_below_a_missing_folder_is_path_not_found(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    assert_eq!(answer(client.mkdir("missing/d").await), NtStatus::OBJECT_PATH_NOT_FOUND);
}

pub async fn rmdir_removes_an_empty_folder(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.mkdir("d").await.unwrap();
    client.rmdir("d").await.unwrap();
    assert_eq!(answer(client.stat("d").await), NtStatus::OBJECT_NAME_NOT_FOUND);
    client.mkdir("d").await.unwrap();
}

pub async fn rmdir_of_a_folder_with_a_file_is_directory_not_empty(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    client.mkdir("d").await.unwrap();
    client.make("d/f", b"x").await;
    assert_eq!(answer(client.rmdir("d").await), NtStatus::DIRECTORY_NOT_EMPTY);
    assert_eq!(client.content("d/f").await, b"x");
    client.delete("d/f").await.unwrap();
    client.rmdir("d").await.unwrap();
}

pub async fn rmdir_of_a_missing_folder_is_name_not_found(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    assert_eq!(answer(client.rmdir("missing").await), NtStatus::OBJECT_NAME_NOT_FOUND);
    assert_eq!(answer(client.rmdir("missing/d").await), NtStatus::OBJECT_PATH_NOT_FOUND);
}

pub async fn rmdir_of_a_file_is_not_a_directory(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"x").await;
    assert_eq!(answer(client.rmdir("f").await), NtStatus::NOT_A_DIRECTORY);
    assert_eq!(client.content("f").await, b"x");
}

pub async fn an_empty_folder_is_listed(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.mkdir("d").await.unwrap();
    assert_eq!(answer(client.list("d", "*").await), NtStatus::SUCCESS);
    assert_eq!(answer(client.list("d", "*.txt").await), NtStatus::NO_SUCH_FILE);
}

pub async fn a_pattern_that_matches_something_succeeds(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("alpha.txt", b"x").await;
    assert_eq!(answer(client.list("", "b*.b?n").await), NtStatus::NO_SUCH_FILE);
    client.make("beta.bin", b"x").await;
    for pattern in ["*", "*.txt", "*.TXT", "alpha*", "?eta.bin", "b*.b?n", "alpha.txt", "*a*"] {
        assert_eq!(answer(client.list("", pattern).await), NtStatus::SUCCESS, "{pattern}");
    }
}

pub async fn a_pattern_that_matches_nothing_is_no_such_file(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    client.make("alpha.txt", b"x").await;
    for pattern in ["*.doc", "beta*", "?alpha.txt", "alpha.tx", "*.tx"] {
        assert_eq!(answer(client.list("", pattern).await), NtStatus::NO_SUCH_FILE, "{pattern}");
    }
}

pub async fn listing_a_missing_folder_is_name_not_found(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    assert_eq!(answer(client.list("missing", "*").await), NtStatus::OBJECT_NAME_NOT_FOUND);
    assert_eq!(answer(client.list("missing/d", "*").await), NtStatus::OBJECT_PATH_NOT_FOUND);
}

pub async fn listing_a_file_is_not_a_directory(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"x").await;
    assert_eq!(answer(client.list("f", "*").await), NtStatus::NOT_A_DIRECTORY);
}

pub async fn three_hundred_entries_are_listed(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let name = |number: usize| format!("entry-{number:03}-{}", "x".repeat(100));
    for number in 0..300 {
        client.file(&name(number)).await.close().await.unwrap();
    }
    assert_eq!(answer(client.list("", "*").await), NtStatus::SUCCESS);
    assert_eq!(answer(client.list("", "entry-299-*").await), NtStatus::SUCCESS);
    assert_eq!(answer(client.list("", "entry-300-*").await), NtStatus::NO_SUCH_FILE);
}

pub async fn stat_knows_files_and_folders(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.mkdir("d").await.unwrap();
    client.make("d/f", b"x").await;
    for name in ["", "d", "d/f"] {
        assert_eq!(answer(client.stat(name).await), NtStatus::SUCCESS, "{name:?}");
    }
    assert_eq!(answer(client.stat("d/g").await), NtStatus::OBJECT_NAME_NOT_FOUND);
}

pub async fn stat_of_what_is_missing_says_which_part(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"x").await;
    assert_eq!(answer(client.stat("missing").await), NtStatus::OBJECT_NAME_NOT_FOUND);
    assert_eq!(answer(client.stat("missing/x").await), NtStatus::OBJECT_PATH_NOT_FOUND);
    assert_eq!(answer(client.stat("f/x").await), NtStatus::OBJECT_PATH_NOT_FOUND);
}
