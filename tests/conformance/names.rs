//! What names a server takes and how it finds them again.

use smbench::backend::SMBBackend;
use smbench::ir::OpenMode::ReadWrite;
use smbench::protocol::NtStatus;
use smbench::protocol::create::CreateDisposition::Create;

use crate::client::{Client, answer};
use crate::suite::{Case, Folder, case};

pub const CASES: &[Case] = &[
    case!(names::a_name_is_found_in_any_case),
    case!(names::a_folder_on_the_way_is_found_in_any_case),
    case!(names::names_beyond_ascii_are_kept),
    case!(names::letters_beyond_ascii_are_found_in_any_case),
    case!(names::punctuation_is_kept),
    case!(names::a_name_of_255_characters_is_taken),
    case!(names::a_name_of_255_characters_beyond_ascii_is_taken),
    case!(names::ten_folders_deep_is_reached),
];

pub async fn a_name_is_found_in_any_case(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("Report.Txt", b"one").await;
    assert_eq!(client.content("REPORT.TXT").await, b"one");
    assert_eq!(answer(client.stat("report.txt").await), NtStatus::SUCCESS);
    let refused = client.open("rePORT.txt", ReadWrite, Create).await;
    assert_eq!(answer(refused), NtStatus::OBJECT_NAME_COLLISION);
    assert_eq!(answer(client.list("", "rEpOrT*").await), NtStatus::SUCCESS);
}

pub async fn a_folder_on_the_way_is_found_in_any_case(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.mkdir("Team").await.unwrap();
    client.make("tEAM/f", b"x").await;
    assert_eq!(client.content("TEAM/F").await, b"x");
}

pub async fn names_beyond_ascii_are_kept(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let names = ["äöü.txt", "日本語", "Ελληνικά", "emoji-😀", "e\u{301}"];
    for name in names {
        client.make(name, b"x").await;
    }
    for name in names {
        assert_eq!(client.content(name).await, b"x", "{name}");
        assert_eq!(answer(client.list("", name).await), NtStatus::SUCCESS, "{name}");
        client.delete(name).await.unwrap();
    }
}

pub async fn letters_beyond_ascii_are_found_in_any_case(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("ÄÖÜ-Ωж", b"x").await;
    assert_eq!(client.content("äöü-ωЖ").await, b"x");
}

pub async fn punctuation_is_kept(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let names = [".hidden", "a b", "a.b.c", "~$lock.docx", "#%&{}!@^+=,;[]'`()", "-", "x~1.tmp"];
    for name in names {
        client.make(name, b"x").await;
        assert_eq!(answer(client.stat(name).await), NtStatus::SUCCESS, "{name}");
    }
    for name in names {
        client.delete(name).await.unwrap();
    }
    assert_eq!(answer(client.stat(".hidden").await), NtStatus::OBJECT_NAME_NOT_FOUND);
}

pub async fn a_name_of_255_characters_is_taken(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let name = "n".repeat(255);
    client.make(&name, b"long").await;
    assert_eq!(client.content(&name).await, b"long");
    client.delete(&name).await.unwrap();
}

pub async fn a_name_of_255_characters_beyond_ascii_is_taken(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    let name = "ä".repeat(255);
    client.make(&name, b"long").await;
    assert_eq!(client.content(&name).await, b"long");
}

pub async fn ten_folders_deep_is_reached(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let mut path = "d".to_string();
    for _ in 0..10 {
        client.mkdir(&path).await.unwrap();
        path.push_str("/d");
    }
    client.make(&path, b"deep").await;
    assert_eq!(client.content(&path).await, b"deep");
}
