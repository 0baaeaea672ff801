//! Cases of reads, writes and the end of a file.

use crate::probe::{Checked, ProbeClient, cases, check, check_eq, check_status};
use crate::protocol::NtStatus;
use bytes::Bytes;

cases! {
    eight_mib_go_in_one_operation: "MS-SMB2 3.3.5.12";
    a_write_at_the_largest_offset_is_invalid: "MS-FSA 2.1.5.4";
    a_read_crosses_from_data_to_a_gap: "MS-FSA 2.1.5.3";
    written_data_is_read_back: "MS-FSA 2.1.5.3" => essential();
    a_read_that_meets_the_end_is_short: "MS-FSA 2.1.5.3";
    a_read_at_or_past_the_end_is_end_of_file: "MS-FSA 2.1.5.3";
    a_read_of_an_empty_file_is_end_of_file: "MS-FSA 2.1.5.3";
    a_read_of_no_bytes_succeeds: "MS-FSA 2.1.5.3";
    a_write_past_the_end_extends_the_file =
        leaves(b"", &[Write(0, b"abc"), Write(3, b"def"), Write(5, b"FGH")], b"abcdeFGH"): "MS-FSA 2.1.5.4";
    a_write_in_the_middle_changes_only_that =
        leaves(b"0123456789", &[Write(4, b"xy")], b"0123xy6789"): "MS-FSA 2.1.5.4";
    a_gap_before_a_write_reads_as_zeros: "MS-FSA 2.1.5.3";
    a_write_of_no_bytes_changes_nothing =
        leaves(b"abc", &[Write(100, b"")], b"abc"): "MS-FSA 2.1.5.4";
    offsets_above_four_gib_are_kept: "MS-FSA 2.1.5.3" => only_on_test_servers("a server without sparse files would fill 5 GiB of its disk");
    more_than_eight_mib_go_in_one_operation: "MS-FSA 2.1.5.3";
    truncating_shorter_cuts_the_end_off: "MS-FSA 2.1.5.15.4";
    truncating_longer_adds_zeros = leaves(b"ab", &[Truncate(5)], b"ab\0\0\0"): "MS-FSA 2.1.5.15.4";
    what_was_cut_off_does_not_come_back =
        leaves(b"0123456789", &[Truncate(2), Write(6, b"x")], b"01\0\0\0\0x"): "MS-FSA 2.1.5.15.4";
    truncating_to_the_same_size_changes_nothing =
        leaves(b"same", &[Truncate(4)], b"same"): "MS-FSA 2.1.5.15.4";
    a_flush_succeeds_with_and_without_writes =
        leaves(b"", &[Flush, Write(0, b"durable"), Flush], b"durable"): "MS-FSA 2.1.5.7";
    a_flush_needs_write_access: "MS-FSA 2.1.5.7";
}

#[derive(Clone, Copy)]
enum Change {
    Write(u64, &'static [u8]),
    Truncate(u64),
    Flush,
}
use Change::{Flush, Truncate, Write};

/// Checks the content of a file after some changes.
async fn leaves(
    client: ProbeClient<'_>,
    before: &'static [u8],
    changes: &[Change],
    after: &[u8],
) -> Checked {
    // A server that refuses to write no bytes must not fail here.
    if !before.is_empty() {
        client.make("f", before).await?;
    }
    let handle = client.file("f").await?;
    for change in changes {
        match *change {
            Write(offset, data) => {
                let written = handle.write(offset, Bytes::from_static(data)).await?;
                check_eq!(written, data.len() as u64)?;
            }
            Truncate(size) => handle.truncate(size).await?,
            Flush => handle.flush().await?,
        }
    }
    handle.close().await?;
    check_eq!(client.content("f").await?, after)
}

async fn written_data_is_read_back(client: ProbeClient<'_>) -> Checked {
    let data: Bytes = (0..10_000_u32).map(|i| (i % 251) as u8).collect();
    let handle = client.file("f").await?;
    check_eq!(handle.write(0, data.clone()).await?, 10_000)?;
    check_eq!(handle.read(0, 10_000).await?, data)?;
    check_eq!(handle.read(4_321, 1_234).await?, data.slice(4_321..5_555))?;
    handle.close().await?;
    let reader = client.reader("f").await?;
    check_eq!(reader.read(0, 10_000).await?, data)?;
    Ok(reader.close().await?)
}

async fn a_read_that_meets_the_end_is_short(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"0123456789").await?;
    let reader = client.reader("f").await?;
    check_eq!(reader.read(7, 100).await?, &b"789"[..])?;
    check_eq!(reader.read(9, 1).await?, &b"9"[..])?;
    Ok(reader.close().await?)
}

async fn a_read_at_or_past_the_end_is_end_of_file(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"0123456789").await?;
    let reader = client.reader("f").await?;
    for offset in [10, 11, 1 << 40] {
        check_status!(reader.read(offset, 1).await, NtStatus::END_OF_FILE, "{offset}")?;
    }
    Ok(reader.close().await?)
}

async fn a_read_of_an_empty_file_is_end_of_file(client: ProbeClient<'_>) -> Checked {
    let handle = client.file("f").await?;
    check_status!(handle.read(0, 1).await, NtStatus::END_OF_FILE)?;
    Ok(handle.close().await?)
}

async fn a_read_of_no_bytes_succeeds(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"abc").await?;
    let reader = client.reader("f").await?;
    check_eq!(reader.read(1, 0).await?, Bytes::new())?;
    check_eq!(reader.read(1, 1).await?, &b"b"[..])?;
    Ok(reader.close().await?)
}

async fn a_gap_before_a_write_reads_as_zeros(client: ProbeClient<'_>) -> Checked {
    let handle = client.file("f").await?;
    handle.write(0, Bytes::from_static(b"a")).await?;
    handle.write(20_000, Bytes::from_static(b"b")).await?;
    let read = handle.read(0, 30_000).await?;
    handle.close().await?;
    check_eq!(read.len(), 20_001)?;
    check_eq!((read[0], read[20_000]), (b'a', b'b'))?;
    check!(read[1..20_000].iter().all(|byte| *byte == 0), "the gap is not zeros")
}

async fn offsets_above_four_gib_are_kept(client: ProbeClient<'_>) -> Checked {
    let far = (5 << 30) + 7;
    let handle = client.file("f").await?;
    handle.write(far, Bytes::from_static(b"far")).await?;
    check_eq!(handle.read(far - 2, 100).await?, &b"\0\0far"[..])?;
    check_status!(handle.read(far + 3, 1).await, NtStatus::END_OF_FILE)?;
    Ok(handle.close().await?)
}

async fn more_than_eight_mib_go_in_one_operation(client: ProbeClient<'_>) -> Checked {
    let length = (9 << 20) + 123;
    let data: Bytes = (0..length).map(|i| (i / 4_096 % 253) as u8).collect();
    let handle = client.file("f").await?;
    check_eq!(handle.write(11, data.clone()).await?, length)?;
    check!(handle.read(11, length).await? == data, "other bytes than were written")?;
    Ok(handle.close().await?)
}

async fn truncating_shorter_cuts_the_end_off(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"0123456789").await?;
    let handle = client.file("f").await?;
    handle.truncate(4).await?;
    check_eq!(handle.read(0, 100).await?, &b"0123"[..])?;
    handle.truncate(0).await?;
    check_status!(handle.read(0, 1).await, NtStatus::END_OF_FILE)?;
    Ok(handle.close().await?)
}

async fn a_flush_needs_write_access(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    let reader = client.reader("f").await?;
    check_status!(reader.flush().await, NtStatus::ACCESS_DENIED)?;
    Ok(reader.close().await?)
}

async fn eight_mib_go_in_one_operation(client: ProbeClient<'_>) -> Checked {
    let length = 8 << 20;
    let data: Bytes = (0..length).map(|i| (i / 4_096 % 251) as u8).collect();
    let handle = client.file("f").await?;
    check_eq!(handle.write(0, data.clone()).await?, length)?;
    let read = handle.read(0, length).await?;
    check_eq!(read.len() as u64, length)?;
    check!(read == data, "other bytes than were written")?;
    check_status!(handle.read(length, 1).await, NtStatus::END_OF_FILE)?;
    Ok(handle.close().await?)
}

async fn a_write_at_the_largest_offset_is_invalid(client: ProbeClient<'_>) -> Checked {
    let handle = client.file("f").await?;
    for offset in [u64::MAX, i64::MAX as u64] {
        let written = handle.write(offset, Bytes::from_static(b"xy")).await;
        check_status!(written, NtStatus::INVALID_PARAMETER, "{offset}")?;
    }
    check_status!(handle.read(0, 1).await, NtStatus::END_OF_FILE)?;
    Ok(handle.close().await?)
}

async fn a_read_crosses_from_data_to_a_gap(client: ProbeClient<'_>) -> Checked {
    let handle = client.file("f").await?;
    handle.write(0, Bytes::from_static(b"ab")).await?;
    handle.truncate(10).await?;
    check_eq!(handle.read(1, 5).await?, &b"b\0\0\0\0"[..])?;
    check_eq!(handle.read(8, 5).await?, &b"\0\0"[..])?;
    Ok(handle.close().await?)
}
