//! Cases of renaming files and directories.

use bytes::Bytes;

use crate::probe::{Checked, Clients, ProbeClient, cases, check_eq, check_status};
use crate::protocol::NtStatus;

cases! {
    a_rename_moves_the_content: "MS-FSA 2.1.5.15.12" => essential();
    a_rename_into_another_directory_moves_the_file: "MS-FSA 2.1.5.15.12";
    a_rename_of_a_directory_takes_its_files_along: "MS-FSA 2.1.5.15.12";
    a_rename_of_a_missing_file_is_name_not_found: "MS-FSA 2.1.5.15.12";
    a_rename_onto_an_existing_file_is_a_collision: "MS-FSA 2.1.5.15.12";
    a_replacing_rename_replaces_an_existing_file: "MS-FSA 2.1.5.15.12";
    a_replacing_rename_needs_nothing_to_replace: "MS-FSA 2.1.5.15.12";
    a_rename_into_a_missing_directory_is_path_not_found: "MS-FSA 2.1.5.15.12";
    a_file_never_replaces_a_directory: "MS-FSA 2.1.5.15.12";
    a_directory_never_replaces_a_directory: "MS-FSA 2.1.5.15.12";
    an_open_file_is_never_replaced: "MS-FSA 2.1.5.15.12";
    a_rename_may_change_only_the_case: "MS-FSA 2.1.5.15.12";
    a_rename_onto_itself_succeeds: "MS-FSA 2.1.5.15.12";
    an_open_file_is_renamed_and_its_handle_goes_on: "MS-FSA 2.1.5.15.12";
    a_directory_does_not_move_into_itself: "MS-FSA 2.1.5.15.12";
    a_directory_does_not_move_below_its_own_directory: "MS-FSA 2.1.5.15.12";
    a_directory_with_an_open_file_below_stays: "MS-FSA 2.1.5.15.12";
    a_rename_of_an_open_file_is_seen_by_all_at_once: "MS-FSA 2.1.5.15.12";
    a_rename_keeps_locks_and_handles: "MS-FSA 2.1.5.15.12", Locks;
    a_name_that_was_renamed_away_is_free: "MS-FSA 2.1.5.15.12";
    a_directory_does_not_replace_a_file_unasked: "MS-FSA 2.1.5.15.12";
    a_file_that_is_to_be_deleted_is_never_replaced: "MS-FSA 2.1.5.15.12";
    directories_are_renamed_again_and_again_side_by_side: "MS-FSA 2.1.5.15.12";
}

async fn a_rename_moves_the_content(client: ProbeClient<'_>) -> Checked {
    client.make("old", b"content").await?;
    client.rename("old", "new", false).await?;
    check_eq!(client.content("new").await?, b"content")?;
    check_status!(client.stat("old").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn a_rename_into_another_directory_moves_the_file(client: ProbeClient<'_>) -> Checked {
    client.mkdir("a").await?;
    client.mkdir("b").await?;
    client.make("a/f", b"content").await?;
    client.rename("a/f", "b/g", false).await?;
    check_eq!(client.content("b/g").await?, b"content")?;
    Ok(client.rmdir("a").await?)
}

async fn a_rename_of_a_directory_takes_its_files_along(client: ProbeClient<'_>) -> Checked {
    client.mkdir("old").await?;
    client.mkdir("old/deep").await?;
    client.make("old/deep/f", b"content").await?;
    client.rename("old", "new", false).await?;
    check_eq!(client.content("new/deep/f").await?, b"content")?;
    check_status!(client.stat("old/deep/f").await, NtStatus::OBJECT_PATH_NOT_FOUND)?;
    client.delete("new/deep/f").await?;
    Ok(client.rmdir("new/deep").await?)
}

async fn a_rename_of_a_missing_file_is_name_not_found(client: ProbeClient<'_>) -> Checked {
    for replace in [false, true] {
        let renamed = client.rename("missing", "new", replace).await;
        check_status!(renamed, NtStatus::OBJECT_NAME_NOT_FOUND)?;
        let renamed = client.rename("missing/f", "new", replace).await;
        check_status!(renamed, NtStatus::OBJECT_PATH_NOT_FOUND)?;
    }
    Ok(())
}

async fn a_rename_onto_an_existing_file_is_a_collision(client: ProbeClient<'_>) -> Checked {
    client.make("source", b"source").await?;
    client.make("Target", b"target").await?;
    client.mkdir("directory").await?;
    for target in ["Target", "tARGET", "directory"] {
        let renamed = client.rename("source", target, false).await;
        check_status!(renamed, NtStatus::OBJECT_NAME_COLLISION, "{target}")?;
    }
    check_eq!(client.content("source").await?, b"source")?;
    check_eq!(client.content("Target").await?, b"target")
}

async fn a_replacing_rename_replaces_an_existing_file(client: ProbeClient<'_>) -> Checked {
    client.make("source", b"source").await?;
    client.make("target", b"a longer target").await?;
    client.rename("source", "target", true).await?;
    check_eq!(client.content("target").await?, b"source")?;
    check_status!(client.stat("source").await, NtStatus::OBJECT_NAME_NOT_FOUND)
}

async fn a_replacing_rename_needs_nothing_to_replace(client: ProbeClient<'_>) -> Checked {
    client.make("source", b"source").await?;
    client.rename("source", "target", true).await?;
    check_eq!(client.content("target").await?, b"source")
}

async fn a_rename_into_a_missing_directory_is_path_not_found(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"kept").await?;
    check_status!(client.rename("f", "missing/f", false).await, NtStatus::OBJECT_PATH_NOT_FOUND)?;
    check_eq!(client.content("f").await?, b"kept")
}

async fn a_file_never_replaces_a_directory(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    client.mkdir("d").await?;
    check_status!(client.rename("f", "d", true).await, NtStatus::ACCESS_DENIED)?;
    check_eq!(client.content("f").await?, b"x")
}

async fn a_directory_never_replaces_a_directory(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    client.mkdir("e").await?;
    check_status!(client.rename("e", "d", true).await, NtStatus::ACCESS_DENIED)?;
    check_status!(client.stat("e").await, NtStatus::SUCCESS)
}

async fn an_open_file_is_never_replaced(client: ProbeClient<'_>) -> Checked {
    client.make("source", b"source").await?;
    client.make("target", b"target").await?;
    let held = client.reader("target").await?;
    check_status!(client.rename("source", "target", true).await, NtStatus::ACCESS_DENIED)?;
    held.close().await?;
    Ok(client.rename("source", "target", true).await?)
}

async fn a_rename_may_change_only_the_case(client: ProbeClient<'_>) -> Checked {
    client.make("name", b"x").await?;
    client.rename("name", "NAME", false).await?;
    check_eq!(client.content("Name").await?, b"x")
}

async fn a_rename_onto_itself_succeeds(client: ProbeClient<'_>) -> Checked {
    client.make("f", b"x").await?;
    for replace in [false, true] {
        let renamed = client.rename("f", "f", replace).await;
        check_status!(renamed, NtStatus::SUCCESS, "replace {replace}")?;
    }
    check_eq!(client.content("f").await?, b"x")
}

async fn an_open_file_is_renamed_and_its_handle_goes_on(client: ProbeClient<'_>) -> Checked {
    let handle = client.file("old").await?;
    handle.write(0, Bytes::from_static(b"before ")).await?;
    client.rename("old", "new", false).await?;
    handle.write(7, Bytes::from_static(b"after")).await?;
    handle.close().await?;
    check_eq!(client.content("new").await?, b"before after")
}

async fn a_directory_does_not_move_into_itself(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    // The target directory is the one to be renamed, which the rename itself has open.
    check_status!(client.rename("d", "d/f", false).await, NtStatus::SHARING_VIOLATION)?;
    check_status!(client.stat("d").await, NtStatus::SUCCESS)
}

async fn a_directory_does_not_move_below_its_own_directory(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    client.mkdir("d/e").await?;
    check_status!(client.rename("d", "d/e/f", false).await, NtStatus::ACCESS_DENIED)?;
    check_status!(client.stat("d/e").await, NtStatus::SUCCESS)
}

async fn a_directory_with_an_open_file_below_stays(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    let held = client.file("d/f").await?;
    check_status!(client.rename("d", "e", false).await, NtStatus::ACCESS_DENIED)?;
    held.close().await?;
    client.rename("d", "e", false).await?;
    Ok(client.delete("e/f").await?)
}

async fn a_rename_of_an_open_file_is_seen_by_all_at_once([one, two]: Clients<'_, 2>) -> Checked {
    one.make("old", b"content").await?;
    let held = one.reader("old").await?;
    two.rename("old", "new", false).await?;
    check_status!(one.stat("old").await, NtStatus::OBJECT_NAME_NOT_FOUND)?;
    check_eq!(one.content("new").await?, b"content")?;
    check_eq!(held.read(0, 100).await?, &b"content"[..])?;
    Ok(held.close().await?)
}

async fn a_rename_keeps_locks_and_handles([one, two]: Clients<'_, 2>) -> Checked {
    let held = one.file("old").await?;
    held.lock(0, 10, true, false).await?;
    two.rename("old", "new", false).await?;
    let other = two.file("new").await?;
    check_status!(other.lock(0, 10, true, false).await, NtStatus::LOCK_NOT_GRANTED)?;
    held.unlock(0, 10).await?;
    Ok(other.lock(0, 10, true, false).await?)
}

async fn a_name_that_was_renamed_away_is_free(client: ProbeClient<'_>) -> Checked {
    client.make("a", b"first").await?;
    let held = client.reader("a").await?;
    client.rename("a", "b", false).await?;
    client.make("a", b"second").await?;
    check_eq!(client.content("a").await?, b"second")?;
    check_eq!(held.read(0, 100).await?, &b"first"[..])?;
    Ok(held.close().await?)
}

async fn a_directory_does_not_replace_a_file_unasked(client: ProbeClient<'_>) -> Checked {
    client.mkdir("d").await?;
    client.make("f", b"kept").await?;
    check_status!(client.rename("d", "f", false).await, NtStatus::OBJECT_NAME_COLLISION)?;
    check_eq!(client.content("f").await?, b"kept")
}

async fn a_file_that_is_to_be_deleted_is_never_replaced(client: ProbeClient<'_>) -> Checked {
    client.make("source", b"source").await?;
    let held = client.file("target").await?;
    client.delete("target").await?;
    check_status!(client.rename("source", "target", true).await, NtStatus::DELETE_PENDING)?;
    held.close().await?;
    Ok(client.rename("source", "target", true).await?)
}

/// Follows smbtorture smb2.rename.rename_dir_bench.
async fn directories_are_renamed_again_and_again_side_by_side(client: ProbeClient<'_>) -> Checked {
    let renamed_ten_times = async |directory: &str| -> Checked {
        client.mkdir(directory).await?;
        let mut before = directory.to_string();
        for round in 0..10 {
            let after = format!("{directory}-{round}");
            client.rename(&before, &after, false).await?;
            before = after;
        }
        check_status!(client.stat(directory).await, NtStatus::OBJECT_NAME_NOT_FOUND)?;
        check_status!(client.list("", &before).await, NtStatus::SUCCESS)
    };
    let renamed = ["a", "b", "c"].map(renamed_ten_times);
    futures_util::future::try_join_all(renamed).await.map(drop)
}
