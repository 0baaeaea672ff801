//! Cases of two clients with the same files, and of what remains after one has disconnected.

use crate::backend::OpError;
use crate::probe::{
    CaseDirectory, Checked, Clients, ProbeClient, cases, check, check_eq, check_status,
};
use crate::protocol::NtStatus;
use bytes::Bytes;

cases! {
    data_that_one_client_writes_the_other_reads_at_once: "MS-SMB2 3.3.5.9";
    a_range_that_one_client_truncates_is_gone_for_the_other: "MS-SMB2 3.3.5.9";
    two_clients_write_different_parts_of_one_file: "MS-SMB2 3.3.5.9";
    a_name_made_by_one_client_is_there_for_the_other: "MS-SMB2 3.3.5.9";
    operations_of_two_clients_run_at_the_same_time: "MS-SMB2 3.3.5.9";
    a_handle_of_a_closed_connection_is_an_error: "MS-SMB2 3.3.7.1";
    a_new_connection_of_the_same_client_finds_its_files: "MS-SMB2 3.3.7.1";
}

async fn data_that_one_client_writes_the_other_reads_at_once(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    let (writer, reader) = (one.file("f").await?, two.file("f").await?);
    for round in 0..10_u8 {
        writer.write(0, vec![round; 100].into()).await?;
        check_eq!(reader.read(0, 100).await?, vec![round; 100])?;
    }
    Ok(())
}

async fn a_range_that_one_client_truncates_is_gone_for_the_other(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    one.make("f", b"0123456789").await?;
    let (first, second) = (one.file("f").await?, two.file("f").await?);
    check_eq!(second.read(0, 10).await?.len(), 10)?;
    first.truncate(3).await?;
    check_eq!(second.read(0, 10).await?, &b"012"[..])?;
    check_status!(second.read(3, 1).await, NtStatus::END_OF_FILE)
}

async fn two_clients_write_different_parts_of_one_file([one, two]: Clients<'_, 2>) -> Checked {
    let (first, second) = (one.file("f").await?, two.file("f").await?);
    for at in 0..20 {
        first.write(at * 4, Bytes::from_static(b"aa")).await?;
        second.write(at * 4 + 2, Bytes::from_static(b"bb")).await?;
    }
    check_eq!(first.read(0, 1_000).await?, b"aabb".repeat(20))
}

async fn a_name_made_by_one_client_is_there_for_the_other([one, two]: Clients<'_, 2>) -> Checked {
    one.mkdir("d").await?;
    two.make("d/f", b"theirs").await?;
    check_eq!(one.content("d/f").await?, b"theirs")?;
    one.rename("d/f", "d/g", false).await?;
    check_status!(two.stat("d/f").await, NtStatus::OBJECT_NAME_NOT_FOUND)?;
    two.delete("d/g").await?;
    check_status!(one.list("d", "g").await, NtStatus::NO_SUCH_FILE)
}

async fn operations_of_two_clients_run_at_the_same_time([one, two]: Clients<'_, 2>) -> Checked {
    let busy = async |client: &ProbeClient<'_>, name: &str| {
        let handle = client.file(name).await?;
        for round in 0..50_u8 {
            handle.write(u64::from(round), vec![round].into()).await?;
        }
        let read = handle.read(0, 100).await?;
        handle.close().await?;
        check_eq!(read, (0..50).collect::<Vec<u8>>())
    };
    let (a, b): (Checked, Checked) = tokio::join!(busy(&one, "a"), busy(&two, "b"));
    a.and(b)
}

async fn a_handle_of_a_closed_connection_is_an_error(client: ProbeClient<'_>) -> Checked {
    let handle = client.file("f").await?;
    client.disconnect().await;
    let written = handle.write(0, Bytes::from_static(b"lost")).await;
    check!(written.is_err(), "written over a connection that is gone")?;
    let read = handle.read(0, 1).await;
    check!(
        read.is_err() && read != Err(OpError::Status(NtStatus::END_OF_FILE)),
        "read over a connection that is gone"
    )?;
    check!(handle.close().await.is_err(), "closed over a connection that is gone")
}

async fn a_new_connection_of_the_same_client_finds_its_files(directory: &CaseDirectory) -> Checked {
    let client = directory.client().await?;
    client.make("f", b"kept").await?;
    let client_idx = client.client_idx;
    client.disconnect().await;
    let again = directory.connect(client_idx).await?;
    check_eq!(again.content("f").await?, b"kept")
}
