//! Tests of every operation, on Samba and on the embedded server.

use bytes::Bytes;
use smbench::ir::{OpenMode, Pattern};
use smbench::protocol::create::CreateDisposition;
use smbench::protocol::{CreateParameters, NtStatus};

use crate::start::{Servers, create, delete, list, mkdir, open, path, rename, rmdir, stat, status};

#[tokio::test]
async fn written_data_is_read_and_a_read_at_the_end_is_short_then_end_of_file() {
    let servers = Servers::start();
    for connection in servers.connections().await {
        let file = create(&*connection, "a").await;
        assert_eq!(file.write(0, Bytes::from_static(b"hello world")).await, Ok(11));
        assert_eq!(file.read(6, 5).await.unwrap(), "world");
        assert_eq!(file.read(6, 500).await.unwrap(), "world");
        assert_eq!(file.read(11, 1).await, status(NtStatus::END_OF_FILE));
        assert_eq!(file.flush().await, Ok(()));
        assert_eq!(file.close().await, Ok(()));
    }
}

#[tokio::test]
async fn eight_mebibytes_go_through_in_one_operation() {
    let servers = Servers::start();
    for connection in servers.connections().await {
        let data = Pattern::Random.bytes(1, &path("big"), 0, 8 << 20);
        let file = create(&*connection, "big").await;
        assert_eq!(file.write(5, data.clone()).await, Ok(8 << 20));
        assert_eq!(file.read(5, 8 << 20).await.unwrap(), data);
        // A read beyond the end returns all that there is.
        assert_eq!(file.read(5, 20 << 20).await.unwrap(), data);
        assert_eq!(file.read(9 << 20, 20 << 20).await, status(NtStatus::END_OF_FILE));
        file.close().await.unwrap();
    }
}

#[tokio::test]
async fn truncate_sets_the_end_of_file_both_ways() {
    let servers = Servers::start();
    for connection in servers.connections().await {
        let file = create(&*connection, "t").await;
        file.write(0, Bytes::from_static(b"abcdef")).await.unwrap();
        file.truncate(2).await.unwrap();
        assert_eq!(file.read(0, 9).await.unwrap(), "ab");
        file.truncate(4).await.unwrap();
        assert_eq!(file.read(0, 9).await.unwrap(), "ab\0\0");
        file.close().await.unwrap();
    }
}

#[tokio::test]
async fn dispositions_open_create_and_overwrite() {
    use CreateDisposition::{Create, Open, OpenIf, Overwrite, OverwriteIf, Supersede};
    let servers = Servers::start();
    for connection in servers.connections().await {
        let connection = &*connection;
        for missing in [Open, Overwrite] {
            let opened = open(connection, "d", missing).await.map(drop);
            assert_eq!(opened, status(NtStatus::OBJECT_NAME_NOT_FOUND), "{missing:?}");
        }
        let opened = open(connection, "no/d", OpenIf).await.map(drop);
        assert_eq!(opened, status(NtStatus::OBJECT_PATH_NOT_FOUND));
        create(connection, "d").await.close().await.unwrap();
        let opened = open(connection, "d", Create).await.map(drop);
        assert_eq!(opened, status(NtStatus::OBJECT_NAME_COLLISION));
        for (disposition, kept) in [
            (Open, true),
            (OpenIf, true),
            (Overwrite, false),
            (OverwriteIf, false),
            (Supersede, false),
        ] {
            let file = open(connection, "d", Open).await.unwrap();
            file.write(0, Bytes::from_static(b"x")).await.unwrap();
            file.close().await.unwrap();
            let file = open(connection, "d", disposition).await.unwrap();
            assert_eq!(file.read(0, 1).await.is_ok(), kept, "{disposition:?}");
            file.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_mode_grants_what_it_says_and_no_more() {
    let servers = Servers::start();
    for connection in servers.connections().await {
        create(&*connection, "m").await.close().await.unwrap();
        let open = CreateDisposition::Open;
        let reader = connection.open_simple(&path("m"), OpenMode::Read, open).await.unwrap();
        let written = reader.write(0, Bytes::from_static(b"x")).await;
        assert_eq!(written, status(NtStatus::ACCESS_DENIED));
        let writer = connection.open_simple(&path("m"), OpenMode::Write, open).await.unwrap();
        assert_eq!(writer.write(0, Bytes::from_static(b"x")).await, Ok(1));
        assert_eq!(writer.read(0, 1).await, status(NtStatus::ACCESS_DENIED));
        reader.close().await.unwrap();
        writer.close().await.unwrap();
    }
}

#[tokio::test]
async fn extensions_reach_the_server() {
    let servers = Servers::start();
    for connection in servers.connections().await {
        let extended = async |name: &str, parameters: CreateParameters| {
            let (mode, disposition) = (OpenMode::ReadWrite, CreateDisposition::OpenIf);
            connection.open_extended(&path(name), mode, disposition, &parameters).await
        };
        let none = CreateParameters::default();
        let shared_by_none =
            extended("e", CreateParameters { share_mode: Some(0), ..none.clone() }).await.unwrap();
        let again = extended("e", none.clone()).await.map(drop);
        assert_eq!(again, status(NtStatus::SHARING_VIOLATION), "share_mode");
        shared_by_none.close().await.unwrap();

        // The mask is FILE_READ_DATA alone.
        let reader =
            extended("e", CreateParameters { access_mask: Some(1), ..none.clone() }).await.unwrap();
        let written = reader.write(0, Bytes::from_static(b"x")).await;
        assert_eq!(written, status(NtStatus::ACCESS_DENIED), "access_mask");
        reader.close().await.unwrap();

        let disposition = Some(CreateDisposition::Create);
        let created =
            extended("e", CreateParameters { disposition, ..none.clone() }).await.map(drop);
        assert_eq!(created, status(NtStatus::OBJECT_NAME_COLLISION), "disposition");

        // The option is FILE_DIRECTORY_FILE.
        let directory = CreateParameters { create_options: Some(1), ..none.clone() };
        extended("directory", directory).await.unwrap().close().await.unwrap();
        assert_eq!(connection.execute_misc(&rmdir("directory")).await, Ok(()), "create_options");

        // The attribute is FILE_ATTRIBUTE_READONLY: the next open for writing is refused.
        let readonly = CreateParameters { file_attributes: Some(1), ..none.clone() };
        extended("ro", readonly).await.unwrap().close().await.unwrap();
        let opened = extended("ro", none).await.map(drop);
        assert_eq!(opened, status(NtStatus::ACCESS_DENIED), "file_attributes");
    }
}

#[tokio::test]
async fn mkdir_rmdir_and_delete_keep_to_their_kind() {
    let servers = Servers::start();
    for connection in servers.connections().await {
        assert_eq!(connection.execute_misc(&mkdir("k")).await, Ok(()));
        let again = connection.execute_misc(&mkdir("k")).await;
        assert_eq!(again, status(NtStatus::OBJECT_NAME_COLLISION));
        create(&*connection, "k/f").await.close().await.unwrap();
        let misc = async |operation| connection.execute_misc(&operation).await;
        assert_eq!(misc(rmdir("k")).await, status(NtStatus::DIRECTORY_NOT_EMPTY));
        assert_eq!(misc(delete("k")).await, status(NtStatus::FILE_IS_A_DIRECTORY));
        assert_eq!(misc(rmdir("k/f")).await, status(NtStatus::NOT_A_DIRECTORY));
        assert_eq!(misc(delete("k/f")).await, Ok(()));
        assert_eq!(misc(delete("k/f")).await, status(NtStatus::OBJECT_NAME_NOT_FOUND));
        assert_eq!(misc(rmdir("k")).await, Ok(()));
        assert_eq!(misc(rmdir("k")).await, status(NtStatus::OBJECT_NAME_NOT_FOUND));
    }
}

/// Tests that a failed step in the middle closes its handle. A handle that stays open would prevent
/// the removal of the directory.
#[tokio::test]
async fn a_failure_in_the_middle_leaves_no_handle_behind() {
    let servers = Servers::start();
    for connection in servers.connections().await {
        let misc = async |operation| connection.execute_misc(&operation).await;
        misc(mkdir("h")).await.unwrap();
        create(&*connection, "h/f").await.close().await.unwrap();
        create(&*connection, "other").await.close().await.unwrap();
        for _ in 0..20 {
            assert_eq!(misc(rmdir("h")).await, status(NtStatus::DIRECTORY_NOT_EMPTY));
            let collision = misc(rename("h/f", "other", false)).await;
            assert_eq!(collision, status(NtStatus::OBJECT_NAME_COLLISION));
            assert_eq!(misc(list("h", "nothing*")).await, status(NtStatus::NO_SUCH_FILE));
        }
        // This open shares with nobody, so a handle left open causes a sharing violation.
        let alone = CreateParameters {
            share_mode: Some(0),
            create_options: Some(0),
            // DELETE and FILE_READ_DATA.
            access_mask: Some(0x0001_0001),
            ..CreateParameters::default()
        };
        for name in ["h", "h/f"] {
            let (mode, disposition) = (OpenMode::Read, CreateDisposition::Open);
            let opened = connection.open_extended(&path(name), mode, disposition, &alone).await;
            opened.unwrap().close().await.unwrap();
        }
        misc(delete("h/f")).await.unwrap();
        misc(rmdir("h")).await.unwrap();
        let gone = misc(stat("h")).await;
        assert_eq!(gone, status(NtStatus::OBJECT_NAME_NOT_FOUND));
    }
}

#[tokio::test]
async fn rename_moves_files_and_directories_and_replaces_only_on_request() {
    let servers = Servers::start();
    for connection in servers.connections().await {
        let misc = async |operation| connection.execute_misc(&operation).await;
        for name in ["one", "two"] {
            let file = create(&*connection, name).await;
            file.write(0, Bytes::copy_from_slice(name.as_bytes())).await.unwrap();
            file.close().await.unwrap();
        }
        let refused = misc(rename("one", "two", false)).await;
        assert_eq!(refused, status(NtStatus::OBJECT_NAME_COLLISION));
        assert_eq!(misc(rename("one", "two", true)).await, Ok(()));
        assert_eq!(misc(stat("one")).await, status(NtStatus::OBJECT_NAME_NOT_FOUND));
        let file = open(&*connection, "two", CreateDisposition::Open).await.unwrap();
        assert_eq!(file.read(0, 3).await.unwrap(), "one");
        file.close().await.unwrap();
        misc(mkdir("from")).await.unwrap();
        misc(rename("two", "from/inner", false)).await.unwrap();
        misc(rename("from", "to", false)).await.unwrap();
        assert_eq!(misc(stat("to/inner")).await, Ok(()));
    }
}

#[tokio::test]
async fn a_listing_of_any_length_ends() {
    let servers = Servers::start();
    for connection in servers.connections().await {
        let misc = async |operation| connection.execute_misc(&operation).await;
        misc(mkdir("l")).await.unwrap();
        assert_eq!(misc(list("l", "*")).await, Ok(()));
        for i in 0..700 {
            let name = format!("l/a rather long name, so that a listing takes several answers {i}");
            create(&*connection, &name).await.close().await.unwrap();
        }
        assert_eq!(misc(list("l", "*")).await, Ok(()));
        assert_eq!(misc(list("l", "*69?")).await, Ok(()));
        assert_eq!(misc(list("l", "*.none")).await, status(NtStatus::NO_SUCH_FILE));
        assert_eq!(misc(list("m", "*")).await, status(NtStatus::OBJECT_NAME_NOT_FOUND));
        assert_eq!(misc(stat("l")).await, Ok(()));
    }
}

#[tokio::test]
async fn locks_conflict_between_handles_until_unlocked() {
    let servers = Servers::start();
    for connection in servers.connections().await {
        let one = create(&*connection, "x").await;
        let two = open(&*connection, "x", CreateDisposition::Open).await.unwrap();
        one.lock(10, 10, true, false).await.unwrap();
        let refused = two.lock(15, 10, false, false).await;
        assert_eq!(refused, status(NtStatus::LOCK_NOT_GRANTED));
        let written = two.write(12, Bytes::from_static(b"x")).await;
        assert_eq!(written, status(NtStatus::FILE_LOCK_CONFLICT));
        one.unlock(10, 10).await.unwrap();
        assert_eq!(one.unlock(10, 10).await, status(NtStatus::RANGE_NOT_LOCKED));
        two.lock(15, 10, false, false).await.unwrap();
        one.lock(15, 10, false, false).await.unwrap();
        one.close().await.unwrap();
        two.close().await.unwrap();
    }
}

#[tokio::test]
async fn names_beyond_ascii_and_without_case_work() {
    let servers = Servers::start();
    for connection in servers.connections().await {
        let misc = async |operation| connection.execute_misc(&operation).await;
        misc(mkdir("Größe 東京 😀")).await.unwrap();
        create(&*connection, "Größe 東京 😀/File").await.close().await.unwrap();
        assert_eq!(misc(stat("größe 東京 😀/FILE")).await, Ok(()));
    }
}
