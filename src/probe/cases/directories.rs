//! Cases of directories: making, removing and listing them, and stat of files and directories.

use crate::probe::{Checked, Clients, ProbeClient, cases, check_eq, check_status, side_by_side};
use crate::protocol::NtStatus;

cases! {
    mkdir_makes_a_directory: "MS-FSA 2.1.5.1.1" => essential();
    mkdir_of_what_exists_is_a_collision: "MS-FSA 2.1.5.1.1";
    mkdir_below_a_missing_directory_is_path_not_found: "MS-FSA 2.1.5.1.1";
    rmdir_removes_an_empty_directory: "MS-FSA 2.1.5.15.3" => essential();
    rmdir_of_a_directory_with_a_file_is_directory_not_empty: "MS-FSA 2.1.5.15.3";
    rmdir_of_a_missing_directory_is_name_not_found: "MS-FSA 2.1.5.15.3";
    rmdir_of_a_file_is_not_a_directory: "MS-FSA 2.1.5.15.3";
    an_empty_directory_is_listed: "MS-FSA 2.1.5.6.3";
    a_pattern_that_matches_something_succeeds: "MS-FSA 2.1.5.6.3";
    a_pattern_that_matches_nothing_is_no_such_file: "MS-FSA 2.1.5.6.3";
    listing_a_missing_directory_is_name_not_found: "MS-FSA 2.1.5.6.3";
    listing_a_file_is_not_a_directory: "MS-FSA 2.1.5.6.3";
    three_hundred_entries_are_listed: "MS-FSA 2.1.5.6.3";
    stat_knows_files_and_directories: "MS-FSA 2.1.5.12";
    stat_of_what_is_missing_says_which_part: "MS-FSA 2.1.5.12";
    two_thousand_entries_are_listed: "MS-SMB2 3.3.5.18";
    a_listing_of_a_nested_directory_shows_no_more_than_its_own: "MS-FSA 2.1.5.6.3";
    a_pattern_takes_dots_and_dos_wildcards: "MS-FSA 2.1.4.4";
    a_directory_of_directories_is_removed_from_within: "MS-FSA 2.1.5.15.3";
    a_listing_shows_what_was_changed_before_it: "MS-FSA 2.1.5.6.3";
}

async fn mkdir_makes_a_directory(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    client.mkdir("d/e").await?;
    client.make("d/e/f", b"x").await?;
    check_eq!(client.content("d/e/f").await?, b"x")?;
    check_status!(client.list("d", "e").await, NtStatus::SUCCESS)
}

async fn mkdir_of_what_exists_is_a_collision(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    client.make("f", b"x").await?;
    for name in ["d", "D", "f"] {
        check_status!(client.mkdir(name).await, NtStatus::OBJECT_NAME_COLLISION, "{name}")?;
    }
    Ok(())
}

async fn mkdir_below_a_missing_directory_is_path_not_found(client: ProbeClient<'_>) -> Checked {
    check_status!(client.mkdir("missing/d").await, NtStatus::OBJECT_PATH_NOT_FOUND)
}

async fn rmdir_removes_an_empty_directory(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    client.rmdir("d").await?;
    check_status!(client.stat("d").await, NtStatus::OBJECT_NAME_NOT_FOUND)?;
    Ok(client.mkdir("d").await?)
}

async fn rmdir_of_a_directory_with_a_file_is_directory_not_empty(
    client: ProbeClient<'_>,
) -> Checked {
    client.mkdir("d").await?;
    client.make("d/f", b"x").await?;
    check_status!(client.rmdir("d").await, NtStatus::DIRECTORY_NOT_EMPTY)?;
    check_eq!(client.content("d/f").await?, b"x")?;
    client.delete("d/f").await?;
    Ok(client.rmdir("d").await?)
}

async fn rmdir_of_a_missing_directory_is_name_not_found(client: ProbeClient<'_>) -> Checked {
    check_status!(client.rmdir("missing").await, NtStatus::OBJECT_NAME_NOT_FOUND)?;
    check_status!(client.rmdir("missing/d").await, NtStatus::OBJECT_PATH_NOT_FOUND)
}

async fn rmdir_of_a_file_is_not_a_directory(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    check_status!(client.rmdir("f").await, NtStatus::NOT_A_DIRECTORY)?;
    check_eq!(client.content("f").await?, b"x")
}

async fn an_empty_directory_is_listed(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    check_status!(client.list("d", "*").await, NtStatus::SUCCESS)?;
    check_status!(client.list("d", "*.txt").await, NtStatus::NO_SUCH_FILE)
}

async fn a_pattern_that_matches_something_succeeds(client: ProbeClient<'_>) -> Checked {
    client.make("alpha.txt", b"x").await?;
    check_status!(client.list("", "b*.b?n").await, NtStatus::NO_SUCH_FILE)?;
    client.make("beta.bin", b"x").await?;
    for pattern in ["*", "*.txt", "*.TXT", "alpha*", "?eta.bin", "b*.b?n", "alpha.txt", "*a*"] {
        check_status!(client.list("", pattern).await, NtStatus::SUCCESS, "{pattern}")?;
    }
    Ok(())
}

async fn a_pattern_that_matches_nothing_is_no_such_file(client: ProbeClient<'_>) -> Checked {
    client.make("alpha.txt", b"x").await?;
    for pattern in ["*.doc", "beta*", "?alpha.txt", "alpha.tx", "*.tx"] {
        check_status!(client.list("", pattern).await, NtStatus::NO_SUCH_FILE, "{pattern}")?;
    }
    Ok(())
}

async fn listing_a_missing_directory_is_name_not_found(client: ProbeClient<'_>) -> Checked {
    check_status!(client.list("missing", "*").await, NtStatus::OBJECT_NAME_NOT_FOUND)?;
    check_status!(client.list("missing/d", "*").await, NtStatus::OBJECT_PATH_NOT_FOUND)
}

async fn listing_a_file_is_not_a_directory(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    check_status!(client.list("f", "*").await, NtStatus::NOT_A_DIRECTORY)
}

/// Makes `count` empty files.
async fn entries(
    client: &ProbeClient<'_>,
    count: usize,
    name: impl Fn(usize) -> String,
) -> Checked {
    let name = &name;
    let making =
        (0..count).map(async move |number| Ok(client.file(&name(number)).await?.close().await?));
    side_by_side(making.collect()).await.map(drop)
}

async fn three_hundred_entries_are_listed(client: ProbeClient<'_>) -> Checked {
    entries(&client, 300, |number| format!("entry-{number:03}-{}", "x".repeat(100))).await?;
    check_status!(client.list("", "*").await, NtStatus::SUCCESS)?;
    check_status!(client.list("", "entry-299-*").await, NtStatus::SUCCESS)?;
    check_status!(client.list("", "entry-300-*").await, NtStatus::NO_SUCH_FILE)
}

async fn stat_knows_files_and_directories(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    client.make("d/f", b"x").await?;
    for name in ["", "d", "d/f"] {
        check_status!(client.stat(name).await, NtStatus::SUCCESS, "{name:?}")?;
    }
    check_status!(client.stat("d/g").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn stat_of_what_is_missing_says_which_part(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    check_status!(client.stat("missing").await, NtStatus::OBJECT_NAME_NOT_FOUND)?;
    check_status!(client.stat("missing/x").await, NtStatus::OBJECT_PATH_NOT_FOUND)?;
    check_status!(client.stat("f/x").await, NtStatus::OBJECT_PATH_NOT_FOUND)
}

async fn two_thousand_entries_are_listed(client: ProbeClient<'_>) -> Checked {
    entries(&client, 2_000, |number| format!("entry-{number:04}")).await?;
    for (pattern, expected) in [
        ("*", NtStatus::SUCCESS),
        ("entry-1999", NtStatus::SUCCESS),
        ("entry-19*", NtStatus::SUCCESS),
        ("entry-2*", NtStatus::NO_SUCH_FILE),
    ] {
        check_status!(client.list("", pattern).await, expected, "{pattern}")?;
    }
    Ok(())
}

async fn a_listing_of_a_nested_directory_shows_no_more_than_its_own(
    client: ProbeClient<'_>,
) -> Checked {
    client.mkdir("a").await?;
    client.mkdir("a/b").await?;
    client.make("a/f", b"x").await?;
    client.make("a/b/g", b"x").await?;
    for (directory, pattern, expected) in [
        ("a", "f", NtStatus::SUCCESS),
        ("a", "b", NtStatus::SUCCESS),
        ("a", "g", NtStatus::NO_SUCH_FILE),
        ("a/b", "g", NtStatus::SUCCESS),
        ("a/b", "f", NtStatus::NO_SUCH_FILE),
        ("", "f", NtStatus::NO_SUCH_FILE),
    ] {
        let listed = client.list(directory, pattern).await;
        check_status!(listed, expected, "{pattern} in {directory:?}")?;
    }
    Ok(())
}

async fn a_pattern_takes_dots_and_dos_wildcards(client: ProbeClient<'_>) -> Checked {
    client.make("report.old.txt", b"x").await?;
    client.make("plain", b"x").await?;
    for (pattern, expected) in [
        ("report.*.txt", NtStatus::SUCCESS),
        ("*.old.*", NtStatus::SUCCESS),
        ("p?ain", NtStatus::SUCCESS),
        ("plain?", NtStatus::NO_SUCH_FILE),
        ("p>ain>", NtStatus::SUCCESS),
        ("<.txt", NtStatus::SUCCESS),
        ("<.old", NtStatus::NO_SUCH_FILE),
        ("plain\"*", NtStatus::SUCCESS),
    ] {
        check_status!(client.list("", pattern).await, expected, "{pattern}")?;
    }
    Ok(())
}

async fn a_directory_of_directories_is_removed_from_within(client: ProbeClient<'_>) -> Checked {
    for path in ["a", "a/b", "a/b/c"] {
        client.mkdir(path).await?;
    }
    for path in ["a", "a/b"] {
        check_status!(client.rmdir(path).await, NtStatus::DIRECTORY_NOT_EMPTY, "{path}")?;
    }
    for path in ["a/b/c", "a/b", "a"] {
        client.rmdir(path).await?;
    }
    check_status!(client.stat("a").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

/// Follows smbtorture smb2.dir.modify, which makes the changes within one listing instead.
async fn a_listing_shows_what_was_changed_before_it([one, two]: Clients<'_, 2>) -> Checked {
    one.mkdir("d").await?;
    let shown = async |name: &str, when: &str, expected: bool| -> Checked {
        let expected = if expected { NtStatus::SUCCESS } else { NtStatus::NO_SUCH_FILE };
        check_status!(one.list("d", name).await, expected, "{name} {when}")
    };
    shown("f", "before it was made", false).await?;
    two.make("d/f", b"x").await?;
    shown("f", "when it was made", true).await?;
    two.rename("d/f", "d/g", false).await?;
    shown("f", "when it was renamed", false).await?;
    shown("g", "when it was renamed to", true).await?;
    two.delete("d/g").await?;
    shown("g", "when it was deleted", false).await?;
    two.mkdir("d/g").await?;
    shown("g", "when it was made again", true).await
}
