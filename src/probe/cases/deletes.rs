//! Cases of deleting files.

use bytes::Bytes;

use crate::ir::OpenMode::ReadWrite;
use crate::probe::{Checked, Clients, ProbeClient, answer, cases, check_eq, check_status};
use crate::protocol::create::CreateDisposition::{self, Create, Open, OpenIf};
use crate::protocol::{CreateParameters, NtStatus};

cases! {
    a_deleted_file_is_gone_and_its_name_free: "MS-FSA 2.1.5.15.3" => essential();
    deleting_what_is_missing_says_which_part: "MS-FSA 2.1.5.15.3";
    deleting_a_directory_is_file_is_a_directory: "MS-FSA 2.1.5.15.3";
    a_deleted_file_is_delete_pending_until_its_last_close: "MS-FSA 2.1.5.15.3";
    a_directory_is_not_empty_while_a_deleted_file_is_open_in_it: "MS-FSA 2.1.5.15.3";
    a_delete_pending_file_is_pending_for_everything: "MS-FSA 2.1.5.1.2";
    a_delete_pending_file_is_read_and_written_on: "MS-FSA 2.1.5.4";
    a_deletion_is_done_when_the_last_connection_goes: "MS-SMB2 3.3.7.1";
    a_delete_pending_directory_takes_no_more_files: "MS-FSA 2.1.5.1.1", CreateOptions;
    a_file_with_two_handles_stays_until_both_are_closed: "MS-FSA 2.1.5.5";
}

async fn a_deleted_file_is_gone_and_its_name_free(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"old").await?;
    client.delete("F").await?;
    check_status!(client.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND)?;
    let again = client.open("f", ReadWrite, Create).await?;
    check_status!(again.read(0, 1).await, NtStatus::END_OF_FILE)?;
    Ok(again.close().await?)
}

async fn deleting_what_is_missing_says_which_part(client: ProbeClient<'_>) -> Checked {
    check_status!(client.delete("missing").await, NtStatus::OBJECT_NAME_NOT_FOUND)?;
    check_status!(client.delete("missing/f").await, NtStatus::OBJECT_PATH_NOT_FOUND)
}

async fn deleting_a_directory_is_file_is_a_directory(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    check_status!(client.delete("d").await, NtStatus::FILE_IS_A_DIRECTORY)?;
    check_status!(client.stat("d").await, NtStatus::SUCCESS)
}

async fn a_deleted_file_is_delete_pending_until_its_last_close(
    [client, other]: Clients<'_, 2>,
) -> Checked {
    client.make("f", b"still here").await?;
    let held = other.reader("f").await?;
    client.delete("f").await?;
    check_status!(client.open("f", ReadWrite, OpenIf).await, NtStatus::DELETE_PENDING)?;
    check_status!(client.stat("f").await, NtStatus::DELETE_PENDING)?;
    check_eq!(held.read(0, 100).await?, &b"still here"[..])?;
    held.close().await?;
    check_status!(client.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn a_directory_is_not_empty_while_a_deleted_file_is_open_in_it(
    client: ProbeClient<'_>,
) -> Checked {
    client.mkdir("d").await?;
    let held = client.file("d/f").await?;
    client.delete("d/f").await?;
    check_status!(client.rmdir("d").await, NtStatus::DIRECTORY_NOT_EMPTY)?;
    held.close().await?;
    Ok(client.rmdir("d").await?)
}

async fn a_delete_pending_file_is_pending_for_everything(
    [client, other]: Clients<'_, 2>,
) -> Checked {
    client.make("f", b"x").await?;
    client.make("g", b"x").await?;
    let held = other.reader("f").await?;
    client.delete("f").await?;
    for disposition in CreateDisposition::ALL {
        let opened = answer(client.open("f", ReadWrite, disposition).await)?;
        check_eq!(opened, NtStatus::DELETE_PENDING, "{disposition:?}")?;
    }
    check_status!(client.delete("f").await, NtStatus::DELETE_PENDING, "deleted again")?;
    check_status!(client.rename("f", "h", false).await, NtStatus::DELETE_PENDING, "renamed")?;
    check_status!(client.mkdir("f").await, NtStatus::DELETE_PENDING, "made a directory")?;
    held.close().await?;
    Ok(client.open("f", ReadWrite, Create).await?.close().await?)
}

async fn a_delete_pending_file_is_read_and_written_on(client: ProbeClient<'_>) -> Checked {
    let held = client.file("f").await?;
    client.delete("f").await?;
    check_eq!(held.write(0, Bytes::from_static(b"late")).await?, 4)?;
    held.truncate(3).await?;
    check_eq!(held.read(0, 100).await?, &b"lat"[..])?;
    held.flush().await?;
    held.close().await?;
    check_status!(client.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn a_deletion_is_done_when_the_last_connection_goes(
    [client, other]: Clients<'_, 2>,
) -> Checked {
    client.make("f", b"x").await?;
    let _held = other.reader("f").await?;
    client.delete("f").await?;
    check_status!(client.stat("f").await, NtStatus::DELETE_PENDING)?;
    other.disconnect().await;
    client.open("f", ReadWrite, OpenIf).await?.close().await?;
    check_eq!(client.content("f").await?, b"", "another file of that name")
}

async fn a_delete_pending_directory_takes_no_more_files(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    let directory = CreateParameters { create_options: Some(1), ..CreateParameters::default() };
    let held = client.open_extended("d", ReadWrite, Open, &directory).await?;
    client.rmdir("d").await?;
    check_status!(client.open("d/f", ReadWrite, OpenIf).await, NtStatus::DELETE_PENDING)?;
    held.close().await?;
    check_status!(client.stat("d").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn a_file_with_two_handles_stays_until_both_are_closed(client: ProbeClient<'_>) -> Checked {
    let (first, second) = (client.file("f").await?, client.file("f").await?);
    client.delete("f").await?;
    first.close().await?;
    check_status!(client.stat("f").await, NtStatus::DELETE_PENDING)?;
    second.close().await?;
    check_status!(client.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}
