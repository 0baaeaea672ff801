//! Cases of share modes (MS-FSA 2.1.5.1.2.2): an open is refused if an earlier one does not share
//! the access that it asks for, or if it does not share the access that an earlier one has.

use crate::ir::OpenMode::ReadWrite;
use crate::probe::{
    CaseFailure, Checked, Clients, Handle, ProbeClient, answer, cases, check_eq, check_status,
    side_by_side,
};
use crate::protocol::create::CreateDisposition::{self, Open, Overwrite, OverwriteIf, Supersede};
use crate::protocol::{CreateParameters, NtStatus};

cases! {
    who_does_not_share_reading_refuses_readers =
        refuses(READ, 1): "MS-FSA 2.1.5.1.2.2", ShareMode, AccessMask;
    who_does_not_share_writing_refuses_writers =
        refuses(WRITE, 2): "MS-FSA 2.1.5.1.2.2", ShareMode, AccessMask;
    who_does_not_share_deletion_refuses_deleters =
        refuses(DELETE, 4): "MS-FSA 2.1.5.1.2.2", ShareMode, AccessMask;
    an_open_that_does_not_share_reading_fails_beside_a_reader: "MS-FSA 2.1.5.1.2.2", ShareMode, AccessMask;
    share_modes_meet_as_the_whole_table_says: "MS-FSA 2.1.5.1.2.2", ShareMode, AccessMask;
    a_share_mode_holds_within_one_connection: "MS-FSA 2.1.5.1.2.2", ShareMode;
    an_open_of_attributes_meets_no_share_mode: "MS-FSA 2.1.5.1.2.2", ShareMode, AccessMask;
    a_share_mode_goes_with_its_handle: "MS-FSA 2.1.5.5", ShareMode;
    a_share_mode_goes_with_its_connection: "MS-SMB2 3.3.7.1", ShareMode;
    a_refused_open_overwrites_nothing: "MS-FSA 2.1.5.1.2", ShareMode;
    a_file_that_is_not_shared_is_not_deleted: "MS-FSA 2.1.5.1.2.2", ShareMode;
    a_file_that_is_not_shared_is_not_renamed: "MS-FSA 2.1.5.1.2.2", ShareMode;
    a_directory_has_a_share_mode_too: "MS-FSA 2.1.5.1.2.2", ShareMode, CreateOptions;
    to_supersede_is_to_delete_and_to_overwrite_is_to_write: "MS-FSA 2.1.5.1.2", ShareMode, AccessMask;
    a_share_mode_there_is_not_is_invalid: "MS-SMB2 3.3.5.9", ShareMode;
}

const READ: u32 = 0x0000_0001;
const WRITE: u32 = 0x0000_0002;
const READ_ATTRIBUTES: u32 = 0x0000_0080;
const DELETE: u32 = 0x0001_0000;

fn sharing(share: u32) -> CreateParameters {
    CreateParameters { share_mode: Some(share), ..CreateParameters::default() }
}

async fn open_as(
    client: &ProbeClient<'_>,
    disposition: CreateDisposition,
    access: u32,
    share: u32,
) -> Checked<Result<Handle, NtStatus>> {
    open_file_as((client, "f"), disposition, access, share).await
}

async fn open_file_as(
    (client, name): (&ProbeClient<'_>, &str),
    disposition: CreateDisposition,
    access: u32,
    share: u32,
) -> Checked<Result<Handle, NtStatus>> {
    let access_mask = Some(access | READ_ATTRIBUTES);
    let asked = CreateParameters { access_mask, ..sharing(share) };
    let opened = client.open_extended(name, ReadWrite, disposition, &asked).await;
    Ok(match opened {
        Ok(handle) => Ok(handle),
        refused => Err(answer(refused)?),
    })
}

/// Checks that an open that shares all but `bit` makes the server refuse `access` to others, and
/// only that.
async fn refuses([one, two]: Clients<'_, 2>, access: u32, bit: u32) -> Checked {
    one.make("f", b"x").await?;
    let held = open_as(&one, Open, READ, 7 & !bit).await?;
    check_eq!(held.as_ref().err(), None)?;
    for other in [READ, WRITE, DELETE] {
        let opened = open_as(&two, Open, other, 7).await?;
        let expected = (other == access).then_some(NtStatus::SHARING_VIOLATION);
        check_eq!(opened.as_ref().err().copied(), expected, "access 0x{other:X}")?;
        if let Ok(handle) = opened {
            handle.close().await?;
        }
    }
    Ok(())
}

async fn an_open_that_does_not_share_reading_fails_beside_a_reader(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    one.make("f", b"x").await?;
    for (held, lacking) in [(READ, 1), (WRITE, 2), (DELETE, 4)] {
        let first = open_as(&one, Open, held, 7).await?;
        check_eq!(first.as_ref().err(), None)?;
        let refused = open_as(&two, Open, READ, 7 & !lacking).await?.err();
        check_eq!(refused, Some(NtStatus::SHARING_VIOLATION), "held 0x{held:X}")?;
        if let Ok(first) = first {
            first.close().await?;
        }
    }
    Ok(())
}

async fn share_modes_meet_as_the_whole_table_says(client: ProbeClient<'_>) -> Checked {
    let client = &client;
    let allowed = |access: u32, share: u32| {
        (access & READ == 0 || share & 1 != 0)
            && (access & WRITE == 0 || share & 2 != 0)
            && (access & DELETE == 0 || share & 4 != 0)
    };
    // Each first open has its own file, so that they do not conflict with one another.
    let meets = |(held, held_share): (u32, u32)| async move {
        let name = &format!("f-{held:x}-{held_share}");
        client.make(name, b"x").await?;
        let Ok(first) = open_file_as((client, name), Open, held, held_share).await? else {
            return Err(CaseFailure::new("refused, though nobody else has it open"));
        };
        for (access, share) in [(READ, 7), (WRITE, 7), (DELETE, 7), (READ, 1), (WRITE, 2)] {
            let allowed = allowed(access, held_share) && allowed(held, share);
            let expected = (!allowed).then_some(NtStatus::SHARING_VIOLATION);
            let second = open_file_as((client, name), Open, access, share).await?;
            let refused = second.as_ref().err().copied();
            let meeting = format!("0x{held:X}/{held_share} met by 0x{access:X}/{share}");
            check_eq!(refused, expected, "{meeting}")?;
            if let Ok(second) = second {
                second.close().await?;
            }
        }
        Ok(first.close().await?)
    };
    let holders = [READ, WRITE, DELETE, READ | WRITE].into_iter();
    let holders = holders.flat_map(|held| (0..8).map(move |held_share| (held, held_share)));
    side_by_side(holders.map(meets).collect()).await.map(drop)
}

async fn a_share_mode_holds_within_one_connection(client: ProbeClient<'_>) -> Checked {
    let _held = client.file_with("f", &sharing(0)).await?;
    check_status!(client.file("f").await, NtStatus::SHARING_VIOLATION)
}

async fn an_open_of_attributes_meets_no_share_mode([one, two]: Clients<'_, 2>) -> Checked {
    let held = one.file_with("f", &sharing(0)).await?;
    let attributes = open_as(&two, Open, READ_ATTRIBUTES, 0).await?;
    check_eq!(attributes.as_ref().err(), None)?;
    check_status!(two.stat("f").await, NtStatus::SUCCESS)?;
    check_status!(two.reader("f").await, NtStatus::SHARING_VIOLATION)?;
    held.close().await?;
    Ok(two.reader("f").await?.close().await?)
}

async fn a_share_mode_goes_with_its_handle([one, two]: Clients<'_, 2>) -> Checked {
    let held = one.file_with("f", &sharing(0)).await?;
    check_status!(two.file("f").await, NtStatus::SHARING_VIOLATION)?;
    held.close().await?;
    Ok(two.file_with("f", &sharing(0)).await?.close().await?)
}

async fn a_share_mode_goes_with_its_connection([one, two]: Clients<'_, 2>) -> Checked {
    let _held = one.file_with("f", &sharing(0)).await?;
    check_status!(two.file("f").await, NtStatus::SHARING_VIOLATION)?;
    one.disconnect().await;
    Ok(two.file("f").await?.close().await?)
}

async fn a_refused_open_overwrites_nothing([one, two]: Clients<'_, 2>) -> Checked {
    one.make("f", b"kept").await?;
    let held = one.file_with("f", &sharing(1)).await?;
    check_status!(two.open("f", ReadWrite, OverwriteIf).await, NtStatus::SHARING_VIOLATION)?;
    check_eq!(held.read(0, 100).await?, &b"kept"[..])?;
    Ok(held.close().await?)
}

async fn a_file_that_is_not_shared_is_not_deleted([one, two]: Clients<'_, 2>) -> Checked {
    let held = one.file_with("f", &sharing(3)).await?;
    check_status!(two.delete("f").await, NtStatus::SHARING_VIOLATION)?;
    held.close().await?;
    Ok(two.delete("f").await?)
}

async fn a_file_that_is_not_shared_is_not_renamed([one, two]: Clients<'_, 2>) -> Checked {
    let held = one.file_with("f", &sharing(3)).await?;
    check_status!(two.rename("f", "g", false).await, NtStatus::SHARING_VIOLATION)?;
    held.close().await?;
    Ok(two.rename("f", "g", false).await?)
}

async fn a_directory_has_a_share_mode_too([one, two]: Clients<'_, 2>) -> Checked {
    one.mkdir("d").await?;
    let asked = CreateParameters { create_options: Some(1), ..sharing(3) };
    let held = one.open_extended("d", ReadWrite, Open, &asked).await?;
    check_status!(two.rmdir("d").await, NtStatus::SHARING_VIOLATION)?;
    two.make("d/f", b"what is in it is not held").await?;
    two.delete("d/f").await?;
    held.close().await?;
    Ok(two.rmdir("d").await?)
}

async fn to_supersede_is_to_delete_and_to_overwrite_is_to_write(
    [one, two]: Clients<'_, 2>,
) -> Checked {
    one.make("f", b"x").await?;
    for (disposition, lacking) in [(Overwrite, 2), (OverwriteIf, 2), (Supersede, 4)] {
        for share in [7 & !2, 7 & !4] {
            let held = open_as(&one, Open, READ, share).await?;
            let expected = (share & lacking == 0).then_some(NtStatus::SHARING_VIOLATION);
            let opened = open_as(&two, disposition, READ, 7).await?;
            let refused = opened.as_ref().err().copied();
            check_eq!(refused, expected, "{disposition:?} of a file shared with 0x{share:X}")?;
            for handle in held.into_iter().chain(opened) {
                handle.close().await?;
            }
        }
    }
    Ok(())
}

async fn a_share_mode_there_is_not_is_invalid(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    let opened = client.open_extended("f", ReadWrite, Open, &sharing(8)).await;
    check_status!(opened, NtStatus::INVALID_PARAMETER)
}
