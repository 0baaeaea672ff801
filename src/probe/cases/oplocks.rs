//! Cases of granting oplocks (MS-FSA 2.1.5.18, MS-SMB2 3.3.5.9).

use bytes::Bytes;

use crate::ir::OpenMode::ReadWrite;
use crate::probe::{
    CaseFailure, Checked, Clients, Handle, ProbeClient, cases, check_eq, check_status,
};
use crate::protocol::create::CreateDisposition::{Open, OpenIf};
use crate::protocol::create::OplockLevel::{self, Batch, Exclusive, II, None as Nothing};
use crate::protocol::{Acknowledgement, CreateParameters, Durable, Granted, NtStatus};

cases! {
    an_open_that_asks_for_no_oplock_gets_none: "MS-FSA 2.1.5.18", Caching;
    level_ii_is_granted = is_granted(II): "MS-FSA 2.1.5.18.2", Caching;
    an_exclusive_oplock_is_granted = is_granted(Exclusive): "MS-FSA 2.1.5.18.1", Caching;
    a_batch_oplock_is_granted = is_granted(Batch): "MS-FSA 2.1.5.18.1", Caching;
    level_ii_is_shared: "MS-FSA 2.1.5.18.2", Caching;
    beside_another_open_level_ii_is_the_most: "MS-FSA 2.1.5.18.1", Caching;
    an_open_of_attributes_leaves_room_for_a_batch_oplock: "MS-FSA 2.1.5.18.1", Caching, AccessMask;
    on_a_file_with_locks_nobody_caches_reads_alone: "MS-FSA 2.1.5.18.2", Caching, Locks;
    a_directory_has_no_oplock: "MS-SMB2 3.3.5.9", Caching, CreateOptions;
    an_oplock_goes_with_its_handle: "MS-FSA 2.1.5.5", Caching;
    an_oplock_goes_with_its_connection: "MS-SMB2 3.3.7.1", Caching;
    a_file_keeps_its_id_and_opens_have_their_own: "MS-SMB2 2.2.14", Caching;
    an_answer_to_no_break_is_invalid_device_state: "MS-SMB2 3.3.5.22.1", Caching;
    an_answer_for_a_closed_handle_is_file_closed: "MS-SMB2 3.3.5.22.1", Caching;
    a_durable_handle_of_version_1_is_granted_with_a_batch_oplock =
        durable(1): "MS-SMB2 3.3.5.9.6", Caching;
    a_durable_handle_of_version_2_is_granted_with_a_batch_oplock =
        durable(2): "MS-SMB2 3.3.5.9.10", Caching;
}

pub fn oplock(level: OplockLevel) -> CreateParameters {
    CreateParameters { requested_oplock: Some(level), ..CreateParameters::default() }
}

/// Returns what an open was granted.
pub fn granted(handle: &Handle) -> Checked<Granted> {
    handle.granted().ok_or_else(|| CaseFailure::new("the backend does not say what was granted"))
}

/// Opens `f` with an oplock of this level. If another is granted, the case ends as not granted.
pub async fn hold(client: &ProbeClient<'_>, level: OplockLevel) -> Checked<Handle> {
    let handle = client.file_with("f", &oplock(level)).await?;
    match granted(&handle)?.oplock {
        got if got == level => Ok(handle),
        got => {
            Err(CaseFailure::not_granted(format!("asked for {}, got {}", level.name(), got.name())))
        }
    }
}

async fn is_granted(client: ProbeClient<'_>, level: OplockLevel) -> Checked {
    hold(&client, level).await.map(drop)
}

/// Opens and closes `f`, and returns the level of the oplock that the open was granted.
pub async fn opens(client: &ProbeClient<'_>, asked: OplockLevel) -> Checked<OplockLevel> {
    let handle = client.file_with("f", &oplock(asked)).await?;
    let level = granted(&handle)?.oplock;
    handle.close().await?;
    Ok(level)
}

async fn an_open_that_asks_for_no_oplock_gets_none(client: ProbeClient<'_>) -> Checked {
    for _ in 0..2 {
        check_eq!(opens(&client, Nothing).await?, Nothing)?;
    }
    let plain = client.file("f").await?;
    check_eq!(granted(&plain)?.oplock, Nothing)
}

async fn level_ii_is_shared(clients: Clients<'_, 3>) -> Checked {
    let mut held = Vec::new();
    for client in &clients {
        held.push(hold(client, II).await?);
    }
    for client in &clients {
        client.expect_no_break().await?;
    }
    Ok(())
}

async fn beside_another_open_level_ii_is_the_most([one, two]: Clients<'_, 2>) -> Checked {
    hold(&one, II).await?.close().await?;
    let _open = one.file("f").await?;
    for (asked, expected) in [(II, II), (Exclusive, II), (Batch, II), (Nothing, Nothing)] {
        check_eq!(opens(&two, asked).await?, expected, "asked for {}", asked.name())?;
    }
    one.expect_no_break().await
}

async fn an_open_of_attributes_leaves_room_for_a_batch_oplock(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    hold(&two, Batch).await?.close().await?;
    let attributes = CreateParameters { access_mask: Some(0x80), ..CreateParameters::default() };
    let _open = one.open_extended("f", ReadWrite, Open, &attributes).await?;
    check_eq!(opens(&two, Batch).await?, Batch)
}

async fn on_a_file_with_locks_nobody_caches_reads_alone([one, two]: Clients<'_, 2>) -> Checked {
    hold(&two, II).await?.close().await?;
    let locking = one.file("f").await?;
    locking.write(0, Bytes::from_static(b"what is locked")).await?;
    locking.lock(0, 10, true, false).await?;
    check_eq!(opens(&two, II).await?, Nothing)?;
    locking.unlock(0, 10).await?;
    check_eq!(opens(&two, II).await?, II)
}

async fn a_directory_has_no_oplock(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    hold(&client, Batch).await?;
    let asked = CreateParameters { create_options: Some(1), ..oplock(Batch) };
    let directory = client.open_extended("d", ReadWrite, OpenIf, &asked).await?;
    check_eq!(granted(&directory)?.oplock, Nothing)
}

async fn an_oplock_goes_with_its_handle([one, two]: Clients<'_, 2>) -> Checked {
    for client in [&one, &two, &one] {
        hold(client, Batch).await?.close().await?;
    }
    one.expect_no_break().await
}

async fn an_oplock_goes_with_its_connection([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, Batch).await?;
    one.disconnect().await;
    check_eq!(opens(&two, Batch).await?, Batch)
}

async fn a_file_keeps_its_id_and_opens_have_their_own(client: ProbeClient<'_>) -> Checked {
    let open = async |name| client.file_with(name, &oplock(II)).await;
    let (first, second) = (open("f").await?, open("f").await?);
    let (one, two) = (granted(&first)?, granted(&second)?);
    client.rename("f", "g", false).await?;
    let (three, other) = (granted(&open("g").await?)?, granted(&open("f").await?)?);
    check_eq!(one.file_id == two.file_id, false, "two opens")?;
    let ids = [one, two, three].map(|granted| granted.disk_file_id);
    if ids == [None; 3] {
        return Err(CaseFailure::not_granted("the server gives files no ids (QFid)"));
    }
    check_eq!(ids, [one.disk_file_id; 3], "one file, renamed")?;
    check_eq!(other.disk_file_id == one.disk_file_id, false, "another file")
}

async fn an_answer_to_no_break_is_invalid_device_state(client: ProbeClient<'_>) -> Checked {
    let held = hold(&client, Batch).await?;
    check_status!(held.acknowledge_oplock_break(II).await, NtStatus::INVALID_DEVICE_STATE)
}

async fn an_answer_for_a_closed_handle_is_file_closed(client: ProbeClient<'_>) -> Checked {
    let held = hold(&client, Batch).await?;
    let file_id = granted(&held)?.file_id;
    held.close().await?;
    let answered = client.answers(Acknowledgement::Oplock { file_id, level: II }).await;
    check_status!(answered, NtStatus::FILE_CLOSED)
}

async fn durable(client: ProbeClient<'_>, version: u8) -> Checked {
    let durable = Some(Durable { version, timeout_ms: 0 });
    let asked = CreateParameters { durable, ..oplock(Batch) };
    let handle = client.file_with("f", &asked).await?;
    let got = granted(&handle)?.durable;
    handle.close().await?;
    match got {
        None => Err(CaseFailure::not_granted(format!("no durable handle of version {version}"))),
        Some(got) => check_eq!(got.version, version),
    }
}
