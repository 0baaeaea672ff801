//! Cases of names: which ones a server accepts, and how it finds them again.

use crate::backend::OpError;
use crate::ir::OpenMode::ReadWrite;
use crate::probe::{Checked, ProbeClient, cases, check, check_eq, check_status};
use crate::protocol::NtStatus;
use crate::protocol::create::CreateDisposition::Create;

cases! {
    a_name_is_found_in_any_case: "MS-FSCC 2.1.5";
    a_directory_on_the_way_is_found_in_any_case: "MS-FSCC 2.1.5";
    names_beyond_ascii_are_kept: "MS-FSCC 2.1.5";
    letters_beyond_ascii_are_found_in_any_case: "MS-FSCC 2.1.5";
    punctuation_is_kept: "MS-FSCC 2.1.5";
    a_name_of_255_characters_is_taken = is_taken("n".repeat(255)): "MS-FSCC 2.1.5";
    a_name_of_255_characters_beyond_ascii_is_taken = is_taken("ä".repeat(255)): "MS-FSCC 2.1.5";
    ten_directories_deep_is_reached = is_reached("d".into(), 10): "MS-FSCC 2.1.5";
    a_forbidden_name_is_refused_before_it_is_sent: "MS-FSCC 2.1.5.2";
    one_letter_written_in_two_ways_is_two_names: "MS-FSCC 2.1.5.2";
    a_path_of_two_thousand_characters_is_reached = is_reached("d".repeat(200), 9): "MS-FSCC 2.1.5";
    names_that_differ_in_the_end_only_are_two: "MS-FSCC 2.1.5.2";
}

async fn a_name_is_found_in_any_case(client: ProbeClient<'_>) -> Checked {
    client.make("Report.Txt", b"one").await?;
    check_eq!(client.content("REPORT.TXT").await?, b"one")?;
    check_status!(client.stat("report.txt").await, NtStatus::SUCCESS)?;
    let refused = client.open("rePORT.txt", ReadWrite, Create).await;
    check_status!(refused, NtStatus::OBJECT_NAME_COLLISION)?;
    check_status!(client.list("", "rEpOrT*").await, NtStatus::SUCCESS)
}

async fn a_directory_on_the_way_is_found_in_any_case(client: ProbeClient<'_>) -> Checked {
    client.mkdir("Team").await?;
    client.make("tEAM/f", b"x").await?;
    check_eq!(client.content("TEAM/F").await?, b"x")
}

async fn names_beyond_ascii_are_kept(client: ProbeClient<'_>) -> Checked {
    let names = ["äöü.txt", "日本語", "Ελληνικά", "emoji-😀", "e\u{301}"];
    for name in names {
        client.make(name, b"x").await?;
    }
    for name in names {
        check_eq!(client.content(name).await?, b"x", "{name}")?;
        check_status!(client.list("", name).await, NtStatus::SUCCESS, "{name}")?;
        client.delete(name).await?;
        check_status!(client.stat(name).await, NtStatus::OBJECT_NAME_NOT_FOUND, "{name}")?;
    }
    Ok(())
}

async fn letters_beyond_ascii_are_found_in_any_case(client: ProbeClient<'_>) -> Checked {
    client.make("ÄÖÜ-Ωж", b"x").await?;
    check_eq!(client.content("äöü-ωЖ").await?, b"x")
}

async fn punctuation_is_kept(client: ProbeClient<'_>) -> Checked {
    let names = [".hidden", "a b", "a.b.c", "~$lock.docx", "#%&{}!@^+=,;[]'`()", "-", "x~1.tmp"];
    for name in names {
        client.make(name, b"x").await?;
        check_status!(client.stat(name).await, NtStatus::SUCCESS, "{name}")?;
    }
    for name in names {
        client.delete(name).await?;
    }
    check_status!(client.stat(".hidden").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn is_taken(client: ProbeClient<'_>, name: String) -> Checked {
    client.make(&name, b"long").await?;
    check_eq!(client.content(&name).await?, b"long")?;
    Ok(client.delete(&name).await?)
}

/// Checks that a file is reached whose name, and that of each of the directories above it, is
/// `name`.
async fn is_reached(client: ProbeClient<'_>, name: String, directories: usize) -> Checked {
    let mut path = name.clone();
    for _ in 0..directories {
        client.mkdir(&path).await?;
        path = format!("{path}/{name}");
    }
    client.make(&path, b"deep").await?;
    check_eq!(client.content(&path).await?, b"deep")
}

async fn a_forbidden_name_is_refused_before_it_is_sent(client: ProbeClient<'_>) -> Checked {
    let too_long = "n".repeat(256);
    let forbidden =
        ["a:b", "a*", "a?", "a\"", "a<b", "a>b", "a|b", "a\0b", "a\u{1f}", "../a", "a ", "a."];
    for name in forbidden.into_iter().chain([too_long.as_str()]) {
        let opened = client.file(name).await;
        check!(matches!(opened, Err(OpError::Client(_))), "{name:?} was sent")?;
    }
    client.make("f", b"the connection goes on").await?;
    check_eq!(client.content("f").await?, b"the connection goes on")
}

async fn one_letter_written_in_two_ways_is_two_names(client: ProbeClient<'_>) -> Checked {
    client.make("caf\u{e9}", b"one code point").await?;
    client.make("cafe\u{301}", b"two").await?;
    check_eq!(client.content("caf\u{e9}").await?, b"one code point")?;
    check_eq!(client.content("cafe\u{301}").await?, b"two")
}

async fn names_that_differ_in_the_end_only_are_two(client: ProbeClient<'_>) -> Checked {
    let long = "n".repeat(250);
    let names = [format!("{long}1"), format!("{long}2"), "a".into(), "a.b".into(), "a.b.c".into()];
    for name in &names {
        client.open(name, ReadWrite, Create).await?.close().await?;
    }
    for name in &names {
        check_status!(client.list("", name).await, NtStatus::SUCCESS, "{name}")?;
        client.delete(name).await?;
        check_status!(client.stat(name).await, NtStatus::OBJECT_NAME_NOT_FOUND, "{name}")?;
    }
    Ok(())
}
