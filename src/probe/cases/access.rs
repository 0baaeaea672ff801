//! Cases of access masks: what each right allows (MS-SMB2 2.2.13.1, MS-FSA 2.1.5.1).

use bytes::Bytes;

use super::create_options::bits;
use crate::ir::OpenMode::{Read, ReadWrite, Write};
use crate::probe::{Checked, Handle, ProbeClient, answer, cases, check_eq, check_status};
use crate::protocol::create::CreateDisposition::{Open, OpenIf};
use crate::protocol::{CreateParameters, NtStatus};

cases! {
    a_read_handle_cannot_write_or_truncate: "MS-SMB2 3.3.5.13";
    a_write_handle_cannot_read: "MS-SMB2 3.3.5.12";
    a_read_write_handle_does_both: "MS-SMB2 3.3.5.12" => essential();
    an_open_for_nothing_is_access_denied: "MS-FSA 2.1.5.1", AccessMask;
    an_open_for_what_there_is_not_is_access_denied: "MS-FSA 2.1.5.1", AccessMask;
    a_handle_of_attributes_neither_reads_nor_writes: "MS-SMB2 3.3.5.12", AccessMask => only_on_test_servers("Samba 4.17 panics over it when the connection ends");
    generic_rights_are_those_of_a_file: "MS-SMB2 2.2.13.1.1", AccessMask;
    maximum_allowed_reads_and_writes: "MS-SMB2 2.2.13.1.1", AccessMask;
    a_closed_handle_does_not_restrict_sharing: "MS-SMB2 3.3.5.10";
    an_audited_file_is_not_opened_without_the_privilege: "MS-FSA 2.1.5.1", AccessMask => only_on_test_servers("an account may have the privilege there");
}

const READ_ATTRIBUTES: u32 = 0x80;
const GENERIC_READ: u32 = 0x8000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
const GENERIC_ALL: u32 = 0x1000_0000;
const MAXIMUM_ALLOWED: u32 = 0x0200_0000;

async fn with_access(client: &ProbeClient<'_>, access: u32) -> Checked<Handle> {
    let asked = CreateParameters { access_mask: Some(access), ..CreateParameters::default() };
    Ok(client.open_extended("f", ReadWrite, Open, &asked).await?)
}

async fn reads_and_writes(handle: &Handle) -> Checked<(bool, bool)> {
    let read = answer(handle.read(0, 1).await)?;
    let written = answer(handle.write(0, Bytes::from_static(b"y")).await)?;
    for (what, status) in [("reading", read), ("writing", written)] {
        if status != NtStatus::SUCCESS {
            check_eq!(status, NtStatus::ACCESS_DENIED, "{what}")?;
        }
    }
    Ok((read == NtStatus::SUCCESS, written == NtStatus::SUCCESS))
}

async fn a_read_handle_cannot_write_or_truncate(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"kept").await?;
    let reader = client.reader("f").await?;
    check_status!(reader.write(0, Bytes::from_static(b"lost")).await, NtStatus::ACCESS_DENIED)?;
    check_status!(reader.truncate(0).await, NtStatus::ACCESS_DENIED)?;
    reader.close().await?;
    check_eq!(client.content("f").await?, b"kept")
}

async fn a_write_handle_cannot_read(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"secret").await?;
    let writer = client.open("f", Write, Open).await?;
    check_status!(writer.read(0, 6).await, NtStatus::ACCESS_DENIED)?;
    Ok(writer.close().await?)
}

async fn a_read_write_handle_does_both(client: ProbeClient<'_>) -> Checked {
    let handle = client.file("f").await?;
    check_eq!(handle.write(0, Bytes::from_static(b"both")).await?, 4)?;
    check_eq!(handle.read(0, 4).await?, &b"both"[..])?;
    Ok(handle.close().await?)
}

async fn an_open_for_nothing_is_access_denied(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    let asked = CreateParameters { access_mask: Some(0), ..CreateParameters::default() };
    for (name, disposition) in [("f", Open), ("g", OpenIf)] {
        let opened = client.open_extended(name, Read, disposition, &asked).await;
        check_status!(opened, NtStatus::ACCESS_DENIED, "{disposition:?}")?;
    }
    check_status!(client.stat("g").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn a_handle_of_attributes_neither_reads_nor_writes(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    let handle = with_access(&client, READ_ATTRIBUTES).await?;
    check_eq!(reads_and_writes(&handle).await?, (false, false))?;
    check_status!(handle.truncate(0).await, NtStatus::ACCESS_DENIED)?;
    handle.close().await?;
    check_eq!(client.content("f").await?, b"x")
}

async fn generic_rights_are_those_of_a_file(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    for (access, expected) in [
        (GENERIC_READ, (true, false)),
        (GENERIC_WRITE, (false, true)),
        (GENERIC_READ | GENERIC_WRITE, (true, true)),
        (GENERIC_ALL, (true, true)),
    ] {
        let handle = with_access(&client, access).await?;
        check_eq!(reads_and_writes(&handle).await?, expected, "0x{access:08X}")?;
        handle.close().await?;
    }
    Ok(())
}

async fn maximum_allowed_reads_and_writes(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    let handle = with_access(&client, MAXIMUM_ALLOWED).await?;
    check_eq!(reads_and_writes(&handle).await?, (true, true))?;
    handle.close().await?;
    check_eq!(client.content("f").await?, b"y")
}

async fn a_closed_handle_does_not_restrict_sharing(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    for _ in 0..3 {
        let handle = client.reader("f").await?;
        check_eq!(handle.read(0, 1).await?, &b"x"[..])?;
        handle.close().await?;
        client.rename("f", "g", false).await?;
        client.rename("g", "f", false).await?;
    }
    Ok(())
}

async fn an_open_for_what_there_is_not_is_access_denied(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    for bit in bits(0x0CE0_FE00) {
        let access_mask = Some(READ_ATTRIBUTES | bit);
        let asked = CreateParameters { access_mask, ..CreateParameters::default() };
        let opened = client.open_extended("f", ReadWrite, Open, &asked).await;
        check_status!(opened, NtStatus::ACCESS_DENIED, "0x{bit:X}")?;
    }
    Ok(())
}

/// Asks for ACCESS_SYSTEM_SECURITY. Accepts either status, like smbtorture smb2.create.gentest.
async fn an_audited_file_is_not_opened_without_the_privilege(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    let access_mask = Some(READ_ATTRIBUTES | 0x0100_0000);
    let asked = CreateParameters { access_mask, ..CreateParameters::default() };
    let opened = answer(client.open_extended("f", ReadWrite, Open, &asked).await)?;
    if opened != NtStatus::ACCESS_DENIED {
        check_eq!(opened, NtStatus::PRIVILEGE_NOT_HELD)?;
    }
    Ok(())
}
