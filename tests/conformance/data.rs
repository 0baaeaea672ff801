//! Reading, writing, the end of a file.

use bytes::Bytes;
use smbench::backend::SMBBackend;
use smbench::protocol::NtStatus;

use crate::client::{Client, answer};
use crate::suite::{Case, Folder, case};

pub const CASES: &[Case] = &[
    case!(data::what_was_written_is_read_back),
    case!(data::a_read_that_meets_the_end_is_short),
    case!(data::a_read_at_or_past_the_end_is_end_of_file),
    case!(data::a_read_of_an_empty_file_is_end_of_file),
    case!(data::a_read_of_no_bytes_succeeds),
    case!(data::a_write_past_the_end_extends_the_file),
    case!(data::a_write_in_the_middle_changes_only_that),
    case!(data::a_gap_before_a_write_reads_as_zeros),
    case!(data::a_write_of_no_bytes_changes_nothing),
    case!(data::offsets_above_four_gib_are_kept),
    case!(data::several_mib_go_in_one_operation),
    case!(data::truncating_shorter_cuts_the_end_off),
    case!(data::truncating_longer_adds_zeros),
    case!(data::what_was_cut_off_does_not_come_back),
    case!(data::truncating_to_the_same_size_changes_nothing),
    case!(data::a_flush_succeeds_with_and_without_writes),
    case!(data::a_flush_needs_write_access),
];

pub async fn what_was_written_is_read_back(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let data: Bytes = (0..10_000_u32).map(|i| (i % 251) as u8).collect();
    let handle = client.file("f").await;
    assert_eq!(handle.write(0, data.clone()).await, Ok(10_000));
    assert_eq!(handle.read(0, 10_000).await.unwrap(), data);
    assert_eq!(handle.read(4_321, 1_234).await.unwrap(), data.slice(4_321..5_555));
    handle.close().await.unwrap();
    let reader = client.reader("f").await;
    assert_eq!(reader.read(0, 10_000).await.unwrap(), data);
    reader.close().await.unwrap();
}

pub async fn a_read_that_meets_the_end_is_short(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"0123456789").await;
    let reader = client.reader("f").await;
    assert_eq!(reader.read(7, 100).await.unwrap(), &b"789"[..]);
    assert_eq!(reader.read(9, 1).await.unwrap(), &b"9"[..]);
    reader.close().await.unwrap();
}

pub async fn a_read_at_or_past_the_end_is_end_of_file(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"0123456789").await;
    let reader = client.reader("f").await;
    for offset in [10, 11, 1 << 40] {
        assert_eq!(answer(reader.read(offset, 1).await), NtStatus::END_OF_FILE, "{offset}");
    }
    reader.close().await.unwrap();
}

pub async fn a_read_of_an_empty_file_is_end_of_file(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let handle = client.file("f").await;
    assert_eq!(answer(handle.read(0, 1).await), NtStatus::END_OF_FILE);
    handle.close().await.unwrap();
}

pub async fn a_read_of_no_bytes_succeeds(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"abc").await;
    let reader = client.reader("f").await;
    assert_eq!(reader.read(1, 0).await, Ok(Bytes::new()));
    assert_eq!(reader.read(1, 1).await.unwrap(), &b"b"[..]);
    reader.close().await.unwrap();
}

pub async fn a_write_past_the_end_extends_the_file(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let handle = client.file("f").await;
    handle.write(0, Bytes::from_static(b"abc")).await.unwrap();
    handle.write(3, Bytes::from_static(b"def")).await.unwrap();
    handle.write(5, Bytes::from_static(b"FGH")).await.unwrap();
    handle.close().await.unwrap();
    assert_eq!(client.content("f").await, b"abcdeFGH");
}

pub async fn a_write_in_the_middle_changes_only_that(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"0123456789").await;
    let handle = client.file("f").await;
    handle.write(4, Bytes::from_static(b"xy")).await.unwrap();
    handle.close().await.unwrap();
    assert_eq!(client.content("f").await, b"0123xy6789");
}

pub async fn a_gap_before_a_write_reads_as_zeros(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let handle = client.file("f").await;
    handle.write(0, Bytes::from_static(b"a")).await.unwrap();
    handle.write(20_000, Bytes::from_static(b"b")).await.unwrap();
    let read = handle.read(0, 30_000).await.unwrap();
    handle.close().await.unwrap();
    assert_eq!(read.len(), 20_001);
    assert!(read.starts_with(b"a") && read.ends_with(b"b"));
    assert!(read[1..20_000].iter().all(|byte| *byte == 0));
}

pub async fn a_write_of_no_bytes_changes_nothing(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"abc").await;
    let handle = client.file("f").await;
    assert_eq!(handle.write(100, Bytes::new()).await, Ok(0));
    handle.close().await.unwrap();
    assert_eq!(client.content("f").await, b"abc");
}

pub async fn offsets_above_four_gib_are_kept(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let far = (5 << 30) + 7;
    let handle = client.file("f").await;
    handle.write(far, Bytes::from_static(b"far")).await.unwrap();
    assert_eq!(handle.read(far - 2, 100).await.unwrap(), &b"\0\0far"[..]);
    assert_eq!(answer(handle.read(far + 3, 1).await), NtStatus::END_OF_FILE);
    handle.close().await.unwrap();
}

pub async fn several_mib_go_in_one_operation(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let length = (9 << 20) + 123;
    let data: Bytes = (0..length).map(|i| (i / 4_096 % 253) as u8).collect();
    let handle = client.file("f").await;
    assert_eq!(handle.write(11, data.clone()).await, Ok(length));
    assert!(handle.read(11, length).await.unwrap() == data, "other bytes than were written");
    handle.close().await.unwrap();
}

pub async fn truncating_shorter_cuts_the_end_off(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"0123456789").await;
    let handle = client.file("f").await;
    handle.truncate(4).await.unwrap();
    assert_eq!(handle.read(0, 100).await.unwrap(), &b"0123"[..]);
    handle.truncate(0).await.unwrap();
    assert_eq!(answer(handle.read(0, 1).await), NtStatus::END_OF_FILE);
    handle.close().await.unwrap();
}

pub async fn truncating_longer_adds_zeros(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"ab").await;
    let handle = client.file("f").await;
    handle.truncate(5).await.unwrap();
    handle.close().await.unwrap();
    assert_eq!(client.content("f").await, b"ab\0\0\0");
}

pub async fn what_was_cut_off_does_not_come_back(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"0123456789").await;
    let handle = client.file("f").await;
    handle.truncate(2).await.unwrap();
    handle.write(6, Bytes::from_static(b"x")).await.unwrap();
    handle.close().await.unwrap();
    assert_eq!(client.content("f").await, b"01\0\0\0\0x");
}

pub async fn truncating_to_the_same_size_changes_nothing(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"same").await;
    let handle = client.file("f").await;
    handle.truncate(4).await.unwrap();
    handle.close().await.unwrap();
    assert_eq!(client.content("f").await, b"same");
}

pub async fn a_flush_succeeds_with_and_without_writes(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    let handle = client.file("f").await;
    handle.flush().await.unwrap();
    handle.write(0, Bytes::from_static(b"durable")).await.unwrap();
    handle.flush().await.unwrap();
    handle.close().await.unwrap();
    assert_eq!(client.content("f").await, b"durable");
}

pub async fn a_flush_needs_write_access(server: &dyn SMBBackend, folder: &Folder) {
    let client = Client::connect(server, folder).await;
    client.make("f", b"x").await;
    let reader = client.reader("f").await;
    assert_eq!(answer(reader.flush().await), NtStatus::ACCESS_DENIED);
    reader.close().await.unwrap();
}
