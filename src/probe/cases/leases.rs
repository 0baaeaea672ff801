//! Cases of granting leases (MS-FSA 2.1.5.18, MS-SMB2 3.3.5.9.8, 3.3.5.9.11).

use super::oplocks::{granted, oplock};
use crate::ir::OpenMode::ReadWrite;
use crate::probe::{
    CaseFailure, Checked, Clients, Handle, ProbeClient, answer, cases, check_eq, check_status,
};
use crate::protocol::create::CreateDisposition::{Open, OpenIf};
use crate::protocol::create::OplockLevel::{self, Batch};
use crate::protocol::{
    Acknowledgement, CreateParameters, Durable, GrantedLease, Lease, LeaseKey, LeaseState, NtStatus,
};

cases! {
    a_lease_of_r_is_granted = is_granted(LeaseState::R): "MS-FSA 2.1.5.18", Caching;
    a_lease_of_rh_is_granted = is_granted(LeaseState::RH): "MS-FSA 2.1.5.18", Caching;
    a_lease_of_rw_is_granted = is_granted(LeaseState::RW): "MS-FSA 2.1.5.18", Caching;
    a_lease_of_rwh_is_granted = is_granted(LeaseState::RWH): "MS-FSA 2.1.5.18", Caching;
    a_lease_of_version_1_is_granted: "MS-SMB2 3.3.5.9.8", Caching;
    a_lease_without_read_caching_is_none: "MS-FSA 2.1.5.18", Caching;
    a_lease_keeps_the_key_it_was_asked_with: "MS-SMB2 3.3.5.9.11", Caching;
    opens_of_one_key_share_its_lease: "MS-SMB2 3.3.5.9.11", Caching;
    a_lease_is_upgraded_as_the_whole_table_says: "MS-FSA 2.1.5.18", Caching;
    a_lease_is_never_made_smaller_by_an_open: "MS-FSA 2.1.5.18", Caching;
    beside_another_lease_nobody_caches_writes: "MS-FSA 2.1.5.18", Caching;
    beside_another_lease_r_is_upgraded_to_rh: "MS-FSA 2.1.5.18", Caching;
    an_upgrade_counts_as_an_epoch: "MS-SMB2 3.3.5.9.11", Caching;
    a_key_belongs_to_one_file: "MS-SMB2 3.3.5.9.8", Caching;
    a_key_is_free_when_its_file_is_closed: "MS-SMB2 3.3.5.10", Caching;
    a_lease_beside_an_oplock_caches_reads_alone: "MS-FSA 2.1.5.18", Caching;
    an_open_of_attributes_leaves_room_for_a_full_lease: "MS-FSA 2.1.5.18.1", Caching, AccessMask;
    a_lease_goes_with_its_last_handle: "MS-FSA 2.1.5.5", Caching;
    a_lease_says_the_parent_key_it_was_asked_with: "MS-SMB2 2.2.14.2.11", Caching;
    a_directory_has_a_lease_of_rh_at_most: "MS-SMB2 3.3.5.9.11", Caching, CreateOptions;
    an_answer_to_no_break_is_unsuccessful: "MS-SMB2 3.3.5.22.2", Caching;
    an_answer_for_a_lease_there_is_not_is_name_not_found: "MS-SMB2 3.3.5.22.2", Caching;
    a_durable_handle_of_version_2_is_granted_with_a_lease_of_rwh: "MS-SMB2 3.3.5.9.10", Caching;
}

pub fn key(number: u8) -> LeaseKey {
    let mut key = *b"smbench lease   ";
    key[15] = number;
    key
}

/// Returns the lease of version 2 with this number and state, without a parent key.
pub fn wanted(number: u8, state: LeaseState) -> Lease {
    Lease { state: state.bits(), key: Some(key(number)), parent_key: None, version: 2 }
}

pub fn asking_for(lease: Lease) -> CreateParameters {
    let requested_oplock = Some(OplockLevel::Lease);
    CreateParameters { lease: Some(lease), requested_oplock, ..CreateParameters::default() }
}

pub fn lease(number: u8, state: LeaseState) -> CreateParameters {
    asking_for(wanted(number, state))
}

/// Returns the lease that an open was granted, with an empty state if the server granted none.
pub fn leased(handle: &Handle) -> Checked<GrantedLease> {
    let none = GrantedLease {
        key: LeaseKey::default(),
        state: LeaseState::NONE,
        breaking: false,
        parent_key: None,
        epoch: 0,
    };
    Ok(granted(handle)?.lease.unwrap_or(none))
}

/// Opens `f` with a lease of this state. If another is granted, the case ends as not granted.
pub async fn hold(client: &ProbeClient<'_>, number: u8, state: LeaseState) -> Checked<Handle> {
    hold_with(client, state, &lease(number, state)).await
}

pub async fn hold_with(
    client: &ProbeClient<'_>,
    state: LeaseState,
    asked: &CreateParameters,
) -> Checked<Handle> {
    let handle = client.file_with("f", asked).await?;
    match leased(&handle)?.state {
        got if got == state => Ok(handle),
        got => Err(CaseFailure::not_granted(format!("asked for a lease of {state}, got {got}"))),
    }
}

/// Opens and closes `f`, and returns the state of the lease that the open was granted.
pub async fn opens(client: &ProbeClient<'_>, number: u8, state: LeaseState) -> Checked<LeaseState> {
    let handle = client.file_with("f", &lease(number, state)).await?;
    let got = leased(&handle)?.state;
    handle.close().await?;
    Ok(got)
}

/// Opens the directory `name` for reading.
pub async fn open_directory(
    client: &ProbeClient<'_>,
    name: &str,
    asked: CreateParameters,
) -> Checked<Handle> {
    let asked = CreateParameters { create_options: Some(1), ..asked };
    // The open has no right to write or delete, so that it does not stop others from doing so.
    let asked = CreateParameters { access_mask: Some(0x0012_0089), ..asked };
    Ok(client.open_extended(name, ReadWrite, Open, &asked).await?)
}

/// Opens the directory `d` with lease 1 of RH. If no lease is granted, the case ends as not granted.
pub async fn hold_directory(client: &ProbeClient<'_>) -> Checked<Handle> {
    let directory = open_directory(client, "d", lease(1, LeaseState::RH)).await?;
    match leased(&directory)?.state {
        LeaseState::NONE => Err(CaseFailure::not_granted("no lease on a directory")),
        state => check_eq!(state, LeaseState::RH).map(|()| directory),
    }
}

/// Makes the directory `d`, and holds lease 1 of RH on it.
pub async fn made_directory(client: &ProbeClient<'_>) -> Checked<Handle> {
    client.mkdir("d").await?;
    hold_directory(client).await
}

/// Acknowledges a break of lease 1, keeping `state`, and returns the server's answer.
pub async fn answers(client: &ProbeClient<'_>, state: LeaseState) -> Checked<NtStatus> {
    answer(client.answers(Acknowledgement::Lease { key: key(1), state }).await)
}

async fn is_granted(client: ProbeClient<'_>, state: LeaseState) -> Checked {
    hold(&client, 1, state).await.map(drop)
}

async fn a_lease_of_version_1_is_granted(client: ProbeClient<'_>) -> Checked {
    let asked = asking_for(Lease { version: 1, ..wanted(1, LeaseState::RWH) });
    let handle = hold_with(&client, LeaseState::RWH, &asked).await?;
    check_eq!(leased(&handle)?.epoch, 0, "version 1 has no epoch")
}

async fn a_lease_without_read_caching_is_none(client: ProbeClient<'_>) -> Checked {
    hold(&client, 1, LeaseState::R).await?.close().await?;
    for state in [LeaseState::H, LeaseState::W, LeaseState::W | LeaseState::H, LeaseState::NONE] {
        check_eq!(opens(&client, 1, state).await?, LeaseState::NONE, "asked for {state}")?;
    }
    Ok(())
}

async fn a_lease_keeps_the_key_it_was_asked_with(client: ProbeClient<'_>) -> Checked {
    let held = hold(&client, 7, LeaseState::RWH).await?;
    check_eq!(leased(&held)?.key, key(7))?;
    check_eq!(granted(&held)?.oplock, OplockLevel::Lease)
}

async fn opens_of_one_key_share_its_lease(client: ProbeClient<'_>) -> Checked {
    let _held = hold(&client, 1, LeaseState::RWH).await?;
    for _ in 0..3 {
        check_eq!(opens(&client, 1, LeaseState::RWH).await?, LeaseState::RWH)?;
    }
    client.expect_no_break().await
}

/// Follows smbtorture smb2.lease.upgrade2: an upgrade grants all that was asked for, or nothing.
async fn a_lease_is_upgraded_as_the_whole_table_says(client: ProbeClient<'_>) -> Checked {
    let states = [LeaseState::NONE, LeaseState::R, LeaseState::RH, LeaseState::RW, LeaseState::RWH];
    for (held, asked) in states.into_iter().flat_map(|held| states.map(|asked| (held, asked))) {
        let first = hold(&client, 1, held).await?;
        let expected = if asked.contains(held) { asked } else { held };
        check_eq!(opens(&client, 1, asked).await?, expected, "{held} asked for {asked}")?;
        first.close().await?;
    }
    Ok(())
}

async fn a_lease_is_never_made_smaller_by_an_open(client: ProbeClient<'_>) -> Checked {
    let _held = hold(&client, 1, LeaseState::RWH).await?;
    for asked in [LeaseState::NONE, LeaseState::R, LeaseState::RH, LeaseState::RW] {
        check_eq!(opens(&client, 1, asked).await?, LeaseState::RWH, "asked for {asked}")?;
    }
    Ok(())
}

async fn beside_another_lease_nobody_caches_writes([one, two]: Clients<'_, 2>) -> Checked {
    let _held = hold(&one, 1, LeaseState::RH).await?;
    for (asked, expected) in [
        (LeaseState::R, LeaseState::R),
        (LeaseState::RH, LeaseState::RH),
        (LeaseState::RW, LeaseState::R),
        (LeaseState::RWH, LeaseState::RH),
    ] {
        check_eq!(opens(&two, 2, asked).await?, expected, "asked for {asked}")?;
    }
    one.expect_no_break().await
}

async fn beside_another_lease_r_is_upgraded_to_rh([one, two]: Clients<'_, 2>) -> Checked {
    let _first = hold(&one, 1, LeaseState::R).await?;
    let _second = hold(&two, 2, LeaseState::R).await?;
    check_eq!(opens(&one, 1, LeaseState::RWH).await?, LeaseState::R, "not to a part of it")?;
    check_eq!(opens(&one, 1, LeaseState::RH).await?, LeaseState::RH)?;
    two.expect_no_break().await
}

async fn an_upgrade_counts_as_an_epoch(client: ProbeClient<'_>) -> Checked {
    let first = hold(&client, 1, LeaseState::R).await?;
    let same = hold(&client, 1, LeaseState::R).await?;
    let upgraded = hold(&client, 1, LeaseState::RWH).await?;
    let epoch = leased(&first)?.epoch;
    check_eq!(leased(&same)?.epoch, epoch, "nothing changed")?;
    check_eq!(leased(&upgraded)?.epoch, epoch.wrapping_add(1), "upgraded")
}

async fn a_key_belongs_to_one_file(client: ProbeClient<'_>) -> Checked {
    let _held = hold(&client, 1, LeaseState::R).await?;
    let elsewhere = client.file_with("g", &lease(1, LeaseState::R)).await;
    check_status!(elsewhere, NtStatus::INVALID_PARAMETER)
}

async fn a_key_is_free_when_its_file_is_closed(client: ProbeClient<'_>) -> Checked {
    hold(&client, 1, LeaseState::RWH).await?.close().await?;
    let elsewhere = client.file_with("g", &lease(1, LeaseState::RWH)).await?;
    check_eq!(leased(&elsewhere)?.state, LeaseState::RWH)
}

async fn a_lease_beside_an_oplock_caches_reads_alone([one, two]: Clients<'_, 2>) -> Checked {
    hold(&two, 2, LeaseState::RWH).await?.close().await?;
    let held = one.file_with("f", &oplock(OplockLevel::II)).await?;
    if granted(&held)?.oplock != OplockLevel::II {
        return Err(CaseFailure::not_granted("no oplock of level II"));
    }
    for asked in [LeaseState::R, LeaseState::RH, LeaseState::RW, LeaseState::RWH] {
        check_eq!(opens(&two, 2, asked).await?, LeaseState::R, "asked for {asked}")?;
    }
    one.expect_no_break().await
}

async fn an_open_of_attributes_leaves_room_for_a_full_lease([one, two]: Clients<'_, 2>) -> Checked {
    hold(&two, 2, LeaseState::RWH).await?.close().await?;
    let attributes = CreateParameters { access_mask: Some(0x80), ..CreateParameters::default() };
    let _open = one.open_extended("f", ReadWrite, Open, &attributes).await?;
    check_eq!(opens(&two, 2, LeaseState::RWH).await?, LeaseState::RWH)
}

async fn a_lease_goes_with_its_last_handle([one, two]: Clients<'_, 2>) -> Checked {
    let first = hold(&one, 1, LeaseState::RWH).await?;
    let second = hold(&one, 1, LeaseState::RWH).await?;
    first.close().await?;
    check_eq!(opens(&one, 1, LeaseState::R).await?, LeaseState::RWH, "one handle is left")?;
    second.close().await?;
    check_eq!(opens(&two, 2, LeaseState::RWH).await?, LeaseState::RWH)?;
    one.expect_no_break().await
}

async fn a_lease_says_the_parent_key_it_was_asked_with(client: ProbeClient<'_>) -> Checked {
    let asked = asking_for(Lease { parent_key: Some(key(9)), ..wanted(1, LeaseState::RH) });
    let held = hold_with(&client, LeaseState::RH, &asked).await?;
    check_eq!(leased(&held)?.parent_key, Some(key(9)))
}

async fn a_directory_has_a_lease_of_rh_at_most(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    let asked = CreateParameters { create_options: Some(1), ..lease(1, LeaseState::RWH) };
    let directory = client.open_extended("d", ReadWrite, OpenIf, &asked).await?;
    match leased(&directory)?.state {
        LeaseState::NONE => Err(CaseFailure::not_granted("no lease on a directory")),
        state => check_eq!(state, LeaseState::RH),
    }
}

async fn an_answer_to_no_break_is_unsuccessful(client: ProbeClient<'_>) -> Checked {
    let _held = hold(&client, 1, LeaseState::RWH).await?;
    check_eq!(answers(&client, LeaseState::R).await?, NtStatus::UNSUCCESSFUL)
}

async fn an_answer_for_a_lease_there_is_not_is_name_not_found(client: ProbeClient<'_>) -> Checked {
    let _held = hold(&client, 1, LeaseState::RWH).await?;
    let acknowledgement = Acknowledgement::Lease { key: key(2), state: LeaseState::R };
    check_status!(client.answers(acknowledgement).await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn a_durable_handle_of_version_2_is_granted_with_a_lease_of_rwh(
    client: ProbeClient<'_>,
) -> Checked {
    let durable = Some(Durable { version: 2, timeout_ms: 0 });
    let asked = CreateParameters { durable, ..lease(1, LeaseState::RWH) };
    let handle = hold_with(&client, LeaseState::RWH, &asked).await?;
    let got = granted(&handle)?.durable;
    handle.close().await?;
    match got {
        None => Err(CaseFailure::not_granted("no durable handle of version 2")),
        Some(got) => {
            check_eq!(got.version, 2)?;
            // An open that asks for a batch oplock gets no lease.
            check_eq!(granted(&client.file_with("g", &oplock(Batch)).await?)?.lease, None)
        }
    }
}
