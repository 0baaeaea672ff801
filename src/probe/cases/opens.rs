//! Cases of opens: modes, dispositions, files that are missing or of the wrong kind.

use crate::ir::OpenMode::{Read, ReadWrite, Write};
use crate::probe::{
    Checked, Clients, ProbeClient, answer, cases, check, check_eq, check_status, side_by_side,
};
use crate::protocol::create::CreateDisposition::{Create, Open, OpenIf, OverwriteIf};
use crate::protocol::{CreateAction, CreateContext, CreateParameters, NtStatus};
use bytes::Bytes;

cases! {
    opening_a_missing_file_is_name_not_found: "MS-FSA 2.1.5.1";
    a_status_keeps_its_number_and_name: "MS-FSA 2.1.5.1";
    opening_below_a_missing_directory_is_path_not_found: "MS-FSA 2.1.5.1";
    opening_below_a_file_is_path_not_found: "MS-FSA 2.1.5.1";
    opening_a_directory_as_a_file_is_file_is_a_directory: "MS-FSA 2.1.5.1";
    the_disposition_of_an_extended_open_decides: "MS-FSA 2.1.5.1", Disposition;
    an_extended_open_without_fields_is_a_simple_one: "MS-FSA 2.1.5.1";
    two_hundred_handles_are_open_on_one_connection: "MS-FSA 2.1.5.1";
    closing_one_handle_leaves_another_on_the_same_file: "MS-FSA 2.1.5.1";
    of_clients_that_create_one_file_at_once_one_does: "MS-FSA 2.1.5.1.2";
    of_clients_that_open_one_new_directory_at_once_one_makes_it: "MS-FSA 2.1.5.1.1", CreateOptions, Caching;
    a_create_context_nobody_knows_is_ignored: "MS-SMB2 3.3.5.9", Caching;
    contexts_that_ask_for_a_size_or_for_rights_are_taken: "MS-SMB2 2.2.13.2", CreateOptions, Caching;
    a_create_context_without_a_proper_name_is_invalid: "MS-SMB2 3.3.5.9", Caching;
    a_file_of_no_snapshot_is_name_not_found: "MS-SMB2 2.2.13.2.7", Caching;
}

async fn opening_a_missing_file_is_name_not_found(client: ProbeClient<'_>) -> Checked {
    for mode in [Read, Write, ReadWrite] {
        let opened = client.open("missing", mode, Open).await;
        check_status!(opened, NtStatus::OBJECT_NAME_NOT_FOUND, "{mode:?}")?;
    }
    Ok(())
}

async fn a_status_keeps_its_number_and_name(client: ProbeClient<'_>) -> Checked {
    let status = answer(client.stat("missing").await)?;
    check_eq!(status.0, 0xC000_0034)?;
    check_eq!(status.name(), Some("STATUS_OBJECT_NAME_NOT_FOUND"))
}

async fn opening_below_a_missing_directory_is_path_not_found(client: ProbeClient<'_>) -> Checked {
    for disposition in [Open, Create, OpenIf, OverwriteIf] {
        let opened = client.open("missing/file", ReadWrite, disposition).await;
        check_status!(opened, NtStatus::OBJECT_PATH_NOT_FOUND, "{disposition:?}")?;
    }
    Ok(())
}

async fn opening_below_a_file_is_path_not_found(client: ProbeClient<'_>) -> Checked {
    client.make("file", b"x").await?;
    let opened = client.open("file/below", ReadWrite, OpenIf).await;
    check_status!(opened, NtStatus::OBJECT_PATH_NOT_FOUND)
}

async fn opening_a_directory_as_a_file_is_file_is_a_directory(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    for (mode, disposition) in [(Read, Open), (ReadWrite, OpenIf)] {
        let opened = client.open("d", mode, disposition).await;
        check_status!(opened, NtStatus::FILE_IS_A_DIRECTORY, "{mode:?}")?;
    }
    Ok(())
}

async fn the_disposition_of_an_extended_open_decides(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    let create = CreateParameters { disposition: Some(Create), ..CreateParameters::default() };
    let refused = client.open_extended("f", ReadWrite, OpenIf, &create).await;
    check_status!(refused, NtStatus::OBJECT_NAME_COLLISION)?;
    let made = client.open_extended("g", ReadWrite, Open, &create).await?;
    Ok(made.close().await?)
}

async fn an_extended_open_without_fields_is_a_simple_one(client: ProbeClient<'_>) -> Checked {
    let plain = CreateParameters::default();
    let handle = client.open_extended("f", ReadWrite, OpenIf, &plain).await?;
    handle.write(0, Bytes::from_static(b"abc")).await?;
    handle.close().await?;
    check_eq!(client.content("f").await?, b"abc")
}

async fn two_hundred_handles_are_open_on_one_connection(client: ProbeClient<'_>) -> Checked {
    let client = &client;
    let opening = (0..200_u8).map(|number| async move {
        let handle = client.file(&format!("f{number}")).await?;
        handle.write(0, vec![number; 10].into()).await?;
        Ok((number, handle))
    });
    let open = side_by_side(opening.collect()).await?;
    let closing = open.into_iter().map(|(number, handle)| async move {
        check_eq!(handle.read(0, 100).await?, vec![number; 10])?;
        Ok(handle.close().await?)
    });
    side_by_side(closing.collect()).await.map(drop)
}

async fn closing_one_handle_leaves_another_on_the_same_file(client: ProbeClient<'_>) -> Checked {
    let (first, second) = (client.file("f").await?, client.file("f").await?);
    first.write(0, Bytes::from_static(b"x")).await?;
    first.close().await?;
    check_eq!(second.read(0, 1).await?, &b"x"[..])?;
    Ok(second.close().await?)
}

/// Follows smbtorture smb2.create.multi.
async fn of_clients_that_create_one_file_at_once_one_does(
    [one, two, three]: Clients<'_, 3>,
) -> Checked {
    for round in 0..5 {
        let name = &format!("f{round}");
        let create =
            async |client: &ProbeClient<'_>| answer(client.open(name, ReadWrite, Create).await);
        let (one, two, three) = tokio::join!(create(&one), create(&two), create(&three));
        let mut notice = [one?, two?, three?];
        notice.sort();
        let collision = NtStatus::OBJECT_NAME_COLLISION;
        check_eq!(notice, [NtStatus::SUCCESS, collision, collision], "{name}")?;
    }
    Ok(())
}

/// Follows smbtorture smb2.create.mkdir-dup.
async fn of_clients_that_open_one_new_directory_at_once_one_makes_it(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    let asked = CreateParameters { create_options: Some(1), ..CreateParameters::default() };
    for round in 0..5 {
        let name = &format!("d{round}");
        let open = async |client: &ProbeClient<'_>| -> Checked<Option<CreateAction>> {
            let handle = client.open_extended(name, ReadWrite, OpenIf, &asked).await?;
            let action = handle.granted().map(|granted| granted.action);
            handle.close().await?;
            Ok(action)
        };
        let (one, two) = tokio::join!(open(&one), open(&two));
        let notice = [one?, two?];
        let made = notice.iter().filter(|action| **action == Some(CreateAction::Created)).count();
        let found = notice.iter().filter(|action| **action == Some(CreateAction::Opened)).count();
        check!((made, found) == (1, 1), "{made} made {name}, and {found} found it")?;
    }
    Ok(())
}

fn context(name: &[u8], data: &[u8]) -> CreateParameters {
    let context = CreateContext { name: name.to_vec(), data: data.to_vec() };
    CreateParameters { create_contexts: vec![context], ..CreateParameters::default() }
}

/// Follows smbtorture smb2.create.blob.
async fn a_create_context_nobody_knows_is_ignored(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"kept").await?;
    for length in [4, 5, 6, 7, 8, 16, 17, 34] {
        let asked = context(&b"x".repeat(length), b"");
        let opened = client.open_extended("f", ReadWrite, Open, &asked).await;
        check_status!(opened, NtStatus::SUCCESS, "a name of {length} bytes")?;
    }
    check_eq!(client.content("f").await?, b"kept")
}

/// Follows smbtorture smb2.create.blob.
async fn a_create_context_without_a_proper_name_is_invalid(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    for length in 1..4 {
        let opened =
            client.open_extended("f", ReadWrite, Open, &context(&b"x".repeat(length), b"")).await;
        check_status!(opened, NtStatus::INVALID_PARAMETER, "a name of {length} bytes")?;
    }
    Ok(())
}

/// Follows smbtorture smb2.create.blob, and asks for a time at which there was no snapshot.
async fn a_file_of_no_snapshot_is_name_not_found(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    let asked = context(b"TWrp", &10_000_u64.to_le_bytes());
    let opened = client.open_extended("f", ReadWrite, Open, &asked).await;
    check_status!(opened, NtStatus::OBJECT_NAME_NOT_FOUND)
}

/// Follows smbtorture smb2.create.blob and dir-alloc-size. Sends SMB2_CREATE_ALLOCATION_SIZE, which
/// has no effect on a directory, and SMB2_CREATE_QUERY_MAXIMAL_ACCESS_REQUEST.
async fn contexts_that_ask_for_a_size_or_for_rights_are_taken(client: ProbeClient<'_>) -> Checked {
    let size = (1_u64 << 20).to_le_bytes();
    for (name, asked) in [("f", context(b"AlSi", &size)), ("g", context(b"MxAc", b""))] {
        client.open_extended(name, ReadWrite, Create, &asked).await?.close().await?;
        check_eq!(client.content(name).await?, b"")?;
    }
    let directory = CreateParameters { create_options: Some(1), ..context(b"AlSi", &size) };
    client.open_extended("d", ReadWrite, Create, &directory).await?.close().await?;
    check_status!(client.list("", "d").await, NtStatus::SUCCESS)
}
