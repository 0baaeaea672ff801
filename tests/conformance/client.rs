//! One client of the server under test, in the case's folder.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use smbench::backend::{OpError, SMBBackend, SMBConnectionInner, SMBFileHandle};
use smbench::ir::{OpenMode, OperationKind};
use smbench::protocol::create::CreateDisposition;
use smbench::protocol::{CreateParameters, NtStatus, SharePath};

use crate::suite::Folder;

pub type Handle = Box<dyn SMBFileHandle>;

pub struct Client<'a> {
    pub connection: Box<dyn SMBConnectionInner>,
    folder: &'a Folder,
}

/// The server's answer; success is STATUS_SUCCESS.
#[track_caller]
pub fn answer<T>(result: Result<T, OpError>) -> NtStatus {
    match result {
        Ok(_) => NtStatus::SUCCESS,
        Err(OpError::Status(status)) => status,
        Err(error) => panic!("no answer from the server: {error:?}"),
    }
}

impl<'a> Client<'a> {
    pub async fn connect(server: &dyn SMBBackend, folder: &'a Folder) -> Client<'a> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let client_idx = NEXT.fetch_add(1, Ordering::Relaxed);
        Client { connection: server.connect(client_idx).await.unwrap(), folder }
    }

    pub async fn disconnect(self) {
        self.connection.disconnect().await;
    }

    pub fn path(&self, name: &str) -> SharePath {
        SharePath::new(name).unwrap().below(&self.folder.path)
    }

    /// The path, to be cleaned up after the case.
    fn made(&self, name: &str) -> SharePath {
        let path = self.path(name);
        self.folder.note(path.clone());
        path
    }

    pub async fn open(
        &self,
        name: &str,
        mode: OpenMode,
        disposition: CreateDisposition,
    ) -> Result<Handle, OpError> {
        self.connection.open_simple(&self.made(name), mode, disposition).await
    }

    pub async fn open_extended(
        &self,
        name: &str,
        mode: OpenMode,
        disposition: CreateDisposition,
        parameters: CreateParameters,
    ) -> Result<Handle, OpError> {
        self.connection.open_extended(&self.made(name), mode, disposition, &parameters).await
    }

    /// Opens for reading and writing what may or may not exist.
    pub async fn file(&self, name: &str) -> Handle {
        self.open(name, OpenMode::ReadWrite, CreateDisposition::OpenIf).await.unwrap()
    }

    /// Opens for reading what exists.
    pub async fn reader(&self, name: &str) -> Handle {
        self.open(name, OpenMode::Read, CreateDisposition::Open).await.unwrap()
    }

    pub async fn make(&self, name: &str, content: &'static [u8]) {
        let mode = OpenMode::Write;
        let handle = self.open(name, mode, CreateDisposition::OverwriteIf).await.unwrap();
        handle.write(0, Bytes::from_static(content)).await.unwrap();
        handle.close().await.unwrap();
    }

    /// All of a small file.
    pub async fn content(&self, name: &str) -> Vec<u8> {
        let handle = self.reader(name).await;
        let content = match handle.read(0, 64 << 10).await {
            Err(OpError::Status(NtStatus::END_OF_FILE)) => Vec::new(),
            read => read.unwrap().to_vec(),
        };
        handle.close().await.unwrap();
        content
    }

    pub async fn mkdir(&self, name: &str) -> Result<(), OpError> {
        let path = self.made(name);
        self.connection.execute_misc(&OperationKind::Mkdir { path }).await
    }

    pub async fn rmdir(&self, name: &str) -> Result<(), OpError> {
        let path = self.path(name);
        self.connection.execute_misc(&OperationKind::Rmdir { path }).await
    }

    pub async fn delete(&self, name: &str) -> Result<(), OpError> {
        let path = self.path(name);
        self.connection.execute_misc(&OperationKind::Delete { path }).await
    }

    pub async fn stat(&self, name: &str) -> Result<(), OpError> {
        let path = self.path(name);
        self.connection.execute_misc(&OperationKind::Stat { path }).await
    }

    pub async fn list(&self, name: &str, pattern: &str) -> Result<(), OpError> {
        let path = self.path(name);
        self.connection.execute_misc(&OperationKind::List { path, pattern: pattern.into() }).await
    }

    pub async fn rename(&self, from: &str, to: &str, replace: bool) -> Result<(), OpError> {
        let (source_path, dest_path) = (self.path(from), self.made(to));
        let rename = OperationKind::Rename { source_path, dest_path, replace };
        self.connection.execute_misc(&rename).await
    }
}
