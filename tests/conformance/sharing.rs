//! Two clients, and what is left of one that has gone.

use bytes::Bytes;
use smbench::backend::{OpError, SMBBackend};
use smbench::protocol::NtStatus;

use crate::client::{Client, answer};
use crate::suite::{Case, Folder, case};

pub const CASES: &[Case] = &[
    case!(sharing::what_one_client_writes_the_other_reads_at_once),
    case!(sharing::what_one_client_cuts_off_is_gone_for_the_other),
    case!(sharing::two_clients_write_different_parts_of_one_file),
    case!(sharing::a_name_made_by_one_client_is_there_for_the_other),
    case!(sharing::operations_of_two_clients_run_at_the_same_time),
    case!(sharing::a_handle_of_a_closed_connection_is_an_error),
    case!(sharing::a_new_connection_of_the_same_client_finds_its_files),
];

pub async fn what_one_client_writes_the_other_reads_at_once(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let one = Client::connect(server, folder).await;
    let two = Client::connect(server, folder).await;
    let (writer, reader) = (one.file("f").await, two.file("f").await);
    for round in 0..10_u8 {
        writer.write(0, vec![round; 100].into()).await.unwrap();
        assert_eq!(reader.read(0, 100).await.unwrap(), vec![round; 100]);
    }
}

pub async fn what_one_client_cuts_off_is_gone_for_the_other(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let one = Client::connect(server, folder).await;
    let two = Client::connect(server, folder).await;
    one.make("f", b"0123456789").await;
    let (first, second) = (one.file("f").await, two.file("f").await);
    assert_eq!(second.read(0, 10).await.unwrap().len(), 10);
    first.truncate(3).await.unwrap();
    assert_eq!(second.read(0, 10).await.unwrap(), &b"012"[..]);
    assert_eq!(answer(second.read(3, 1).await), NtStatus::END_OF_FILE);
}

pub async fn two_clients_write_different_parts_of_one_file(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let one = Client::connect(server, folder).await;
    let two = Client::connect(server, folder).await;
    let (first, second) = (one.file("f").await, two.file("f").await);
    for at in 0..20 {
        first.write(at * 4, Bytes::from_static(b"aa")).await.unwrap();
        second.write(at * 4 + 2, Bytes::from_static(b"bb")).await.unwrap();
    }
    assert_eq!(first.read(0, 1_000).await.unwrap(), b"aabb".repeat(20));
}

pub async fn a_name_made_by_one_client_is_there_for_the_other(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let one = Client::connect(server, folder).await;
    let two = Client::connect(server, folder).await;
    one.mkdir("d").await.unwrap();
    two.make("d/f", b"theirs").await;
    assert_eq!(one.content("d/f").await, b"theirs");
    one.rename("d/f", "d/g", false).await.unwrap();
    assert_eq!(answer(two.stat("d/f").await), NtStatus::OBJECT_NAME_NOT_FOUND);
    two.delete("d/g").await.unwrap();
    assert_eq!(answer(one.list("d", "g").await), NtStatus::NO_SUCH_FILE);
}

pub async fn operations_of_two_clients_run_at_the_same_time(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let one = Client::connect(server, folder).await;
    let two = Client::connect(server, folder).await;
    let busy = async |client: &Client<'_>, name: &str| {
        let handle = client.file(name).await;
        for round in 0..50_u8 {
            handle.write(u64::from(round), vec![round].into()).await.unwrap();
        }
        let read = handle.read(0, 100).await.unwrap();
        handle.close().await.unwrap();
        assert_eq!(read, (0..50).collect::<Vec<u8>>());
    };
    tokio::join!(busy(&one, "a"), busy(&two, "b"));
}

pub async fn a_handle_of_a_closed_connection_is_an_error(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let handle = client.file("f").await;
    client.disconnect().await;
    let written = handle.write(0, Bytes::from_static(b"lost")).await;
    assert!(written.is_err(), "{written:?}");
    let read = handle.read(0, 1).await;
    assert!(read.is_err() && read != Err(OpError::Status(NtStatus::END_OF_FILE)), "{read:?}");
    assert!(handle.close().await.is_err());
}

pub async fn a_new_connection_of_the_same_client_finds_its_files(
    server: &dyn SMBBackend,
    folder: &Folder,
) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"kept").await;
    client.disconnect().await;
    let again = Client::connect(server, folder).await;
    assert_eq!(again.content("f").await, b"kept");
}
