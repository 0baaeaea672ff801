//! Tests of the embedded server.

use bytes::Bytes;
use smbench::backend::embedded::{EmbeddedBackend, EmbeddedError, Storage};
use smbench::backend::memory::Limits;
use smbench::backend::open_files::raise_open_file_limit;
use smbench::backend::registry::Target;
use smbench::backend::{Feature, SMBBackend};
use smbench::protocol::NtStatus;

use crate::start::{context, create, embedded, mkdir, status};

#[tokio::test]
async fn it_speaks_smb_3_1_1_and_says_what_it_is() {
    let backend = embedded();
    let connection = backend.connect(0).await.unwrap();
    let server = backend.server();
    assert_eq!(server.dialect.as_deref(), Some("3.1.1"));
    assert_eq!(server.signing.as_deref(), Some("AES-128-CMAC"));
    assert_eq!(server.server.as_deref(), Some("embedded, in memory"));
    assert!(!backend.capabilities().has(Feature::BlockingLocks));
    assert_eq!(backend.capabilities().mode(), 2);
    connection.disconnect().await;
}

#[tokio::test]
async fn memory_is_bounded_by_disk_full() {
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let backend = EmbeddedBackend::start(&Storage::Memory(limits), 1, context()).unwrap();
    let connection = backend.connect(0).await.unwrap();
    let file = create(&*connection, "f").await;
    file.write(0, Bytes::from(vec![1; 600 << 10])).await.unwrap();
    let more = file.write(600 << 10, Bytes::from(vec![1; 600 << 10])).await;
    assert_eq!(more, status(NtStatus::DISK_FULL));
    file.truncate(0).await.unwrap();
    assert_eq!(file.write(0, Bytes::from(vec![1; 600 << 10])).await, Ok(600 << 10));
}

#[tokio::test]
async fn a_directory_of_this_host_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Folder(directory.path().to_path_buf());
    let backend = EmbeddedBackend::start(&storage, 1, context()).unwrap();
    let connection = backend.connect(0).await.unwrap();
    connection.execute_misc(&mkdir("d")).await.unwrap();
    let file = create(&*connection, "d/f").await;
    file.write(0, Bytes::from_static(b"on disk")).await.unwrap();
    file.close().await.unwrap();
    assert_eq!(std::fs::read(directory.path().join("d/f")).unwrap(), b"on disk");
}

#[test]
fn a_missing_directory_is_named() {
    let storage = Storage::Folder("/nowhere/at/all".into());
    let error = EmbeddedBackend::start(&storage, 1, context()).err().unwrap();
    assert!(matches!(error, EmbeddedError::Folder { .. }));
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}

#[tokio::test]
async fn a_dropped_backend_takes_its_server_along() {
    let backend = embedded();
    let connection = backend.connect(0).await.unwrap();
    drop(backend);
    let lost = async { while connection.execute_misc(&mkdir("x")).await.is_ok() {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), lost).await.expect("it ended");
}

#[tokio::test]
async fn more_connections_than_the_library_allows_by_default_work() {
    const CONNECTIONS: u32 = 1_200;
    raise_open_file_limit(Target::Embedded.open_files(CONNECTIONS)).unwrap();
    let backend =
        EmbeddedBackend::start(&Storage::Memory(Limits::default()), CONNECTIONS, context());
    let backend = backend.unwrap();
    let mut connections = Vec::new();
    for client in 0..CONNECTIONS {
        connections.push(backend.connect(client).await.unwrap());
    }
    for connection in &connections {
        connection.execute_misc(&crate::start::stat("")).await.unwrap();
    }
}
