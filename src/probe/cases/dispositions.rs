//! Cases of every disposition, for a file that exists and one that does not (MS-FSA 2.1.5.1.1,
//! 2.1.5.1.2): the server's answer, and what happens to the file.

use crate::ir::OpenMode::ReadWrite;
use crate::probe::{CaseDirectory, Checked, ProbeClient, cases, check_eq, check_status};
use crate::protocol::create::CreateDisposition::{
    self, Create, Open, OpenIf, Overwrite, OverwriteIf, Supersede,
};
use crate::protocol::{CreateAction, CreateParameters, NtStatus};

cases! {
    supersede_of_a_file_empties_it = existing(Supersede, Ok(b"")): "MS-FSA 2.1.5.1.2";
    supersede_of_nothing_makes_a_file = missing(Supersede, NtStatus::SUCCESS): "MS-FSA 2.1.5.1.1";
    open_of_a_file_keeps_it = existing(Open, Ok(b"old content")): "MS-FSA 2.1.5.1.2";
    open_of_nothing_is_name_not_found =
        missing(Open, NtStatus::OBJECT_NAME_NOT_FOUND): "MS-FSA 2.1.5.1.1";
    create_of_a_file_is_a_collision =
        existing(Create, Err(NtStatus::OBJECT_NAME_COLLISION)): "MS-FSA 2.1.5.1.2";
    create_of_nothing_makes_a_file =
        missing(Create, NtStatus::SUCCESS): "MS-FSA 2.1.5.1.1" => essential();
    open_if_of_a_file_keeps_it = existing(OpenIf, Ok(b"old content")): "MS-FSA 2.1.5.1.2";
    open_if_of_nothing_makes_a_file = missing(OpenIf, NtStatus::SUCCESS): "MS-FSA 2.1.5.1.1";
    overwrite_of_a_file_empties_it = existing(Overwrite, Ok(b"")): "MS-FSA 2.1.5.1.2";
    overwrite_of_nothing_is_name_not_found =
        missing(Overwrite, NtStatus::OBJECT_NAME_NOT_FOUND): "MS-FSA 2.1.5.1.1";
    overwrite_if_of_a_file_empties_it = existing(OverwriteIf, Ok(b"")): "MS-FSA 2.1.5.1.2";
    overwrite_if_of_nothing_makes_a_file =
        missing(OverwriteIf, NtStatus::SUCCESS): "MS-FSA 2.1.5.1.1";
    an_answer_says_what_the_disposition_did: "MS-SMB2 2.2.14", Disposition, Caching;
    a_directory_is_made_opened_and_refused_by_disposition: "MS-FSA 2.1.5.1", Disposition, CreateOptions;
    a_hidden_file_is_overwritten_only_with_the_hidden_attribute: "MS-FSA 2.1.5.1.2", Disposition, FileAttributes;
    a_directory_is_never_overwritten: "MS-FSA 2.1.5.1", Disposition, CreateOptions;
}

/// Checks the answer to an open of an existing file, and the content of the file after it.
async fn existing(
    client: ProbeClient<'_>,
    disposition: CreateDisposition,
    expected: Result<&[u8], NtStatus>,
) -> Checked {
    client.make("f", b"old content").await?;
    let opened = client.open("f", ReadWrite, disposition).await;
    let content: &[u8] = match expected {
        Ok(content) => {
            opened?.close().await?;
            content
        }
        Err(status) => {
            check_status!(opened, status)?;
            b"old content"
        }
    };
    check_eq!(client.content("f").await?, content)
}

/// Checks the answer to an open of a missing file, and whether the file exists after it.
async fn missing(
    client: ProbeClient<'_>,
    disposition: CreateDisposition,
    expected: NtStatus,
) -> Checked {
    let opened = client.open("f", ReadWrite, disposition).await;
    if expected == NtStatus::SUCCESS {
        opened?.close().await?;
        check_eq!(client.content("f").await?, b"")?;
    } else {
        check_status!(opened, expected)?;
        check_status!(client.stat("f").await, NtStatus::OBJECT_NAME_NOT_FOUND)?;
    }
    Ok(())
}

async fn an_answer_says_what_the_disposition_did(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    for (name, disposition, expected) in [
        ("f", Open, CreateAction::Opened),
        ("f", OpenIf, CreateAction::Opened),
        ("f", Overwrite, CreateAction::Overwritten),
        ("f", OverwriteIf, CreateAction::Overwritten),
        ("f", Supersede, CreateAction::Superseded),
        ("a", Create, CreateAction::Created),
        ("b", OpenIf, CreateAction::Created),
        ("c", OverwriteIf, CreateAction::Created),
        ("d", Supersede, CreateAction::Created),
    ] {
        let handle = client.open(name, ReadWrite, disposition).await?;
        let action = handle.granted().map(|granted| granted.action);
        check_eq!(action, Some(expected), "{disposition:?} of {name}")?;
        handle.close().await?;
    }
    Ok(())
}

/// Returns parameters that set FILE_DIRECTORY_FILE.
fn directory() -> CreateParameters {
    CreateParameters { create_options: Some(1), ..CreateParameters::default() }
}

async fn a_directory_is_made_opened_and_refused_by_disposition(client: ProbeClient<'_>) -> Checked {
    for (name, disposition, expected) in [
        ("d", Open, NtStatus::OBJECT_NAME_NOT_FOUND),
        ("d", Create, NtStatus::SUCCESS),
        ("D", Create, NtStatus::OBJECT_NAME_COLLISION),
        ("d", Open, NtStatus::SUCCESS),
        ("d", OpenIf, NtStatus::SUCCESS),
        ("e", OpenIf, NtStatus::SUCCESS),
    ] {
        let opened = client.open_extended(name, ReadWrite, disposition, &directory()).await;
        check_status!(opened, expected, "{disposition:?} of {name}")?;
    }
    client.make("d/f", b"x").await?;
    Ok(client.make("e/f", b"x").await?)
}

async fn a_directory_is_never_overwritten(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    client.make("d/f", b"kept").await?;
    for disposition in [Supersede, Overwrite, OverwriteIf] {
        let opened = client.open_extended("d", ReadWrite, disposition, &directory()).await;
        check_status!(opened, NtStatus::INVALID_PARAMETER, "{disposition:?}")?;
    }
    check_eq!(client.content("d/f").await?, b"kept")
}

async fn a_hidden_file_is_overwritten_only_with_the_hidden_attribute(
    directory: &CaseDirectory,
) -> Checked {
    const HIDDEN: u32 = 2;
    const SYSTEM: u32 = 4;
    let client = directory.client().await?;
    let with = |attributes| CreateParameters {
        file_attributes: Some(attributes),
        ..CreateParameters::default()
    };
    for kept in [HIDDEN, SYSTEM] {
        client.open_extended("f", ReadWrite, Create, &with(kept)).await?.close().await?;
        for disposition in [Overwrite, OverwriteIf, Supersede] {
            let opened = client.open("f", ReadWrite, disposition).await;
            let context = format!("{disposition:?} of a file with attributes 0x{kept:X}");
            check_status!(opened, NtStatus::ACCESS_DENIED, "{context}")?;
            let asked = with(HIDDEN | SYSTEM);
            client.open_extended("f", ReadWrite, disposition, &asked).await?.close().await?;
        }
        client.delete("f").await?;
    }
    Ok(())
}
