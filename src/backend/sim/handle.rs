//! A client's open file on the simulated server.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::locks::{ByteRangeLock, Range};
use super::opens::access::{APPEND_DATA, READ_DATA, WRITE_DATA};
use super::server::{ContentChange, ServerConnection, ServerOpen};
use crate::backend::{BreakAcknowledger, OpError, SMBFileHandle};
use crate::ir::FileControl;
use crate::ir::payload::MAX_IO_BYTES;
use crate::protocol::create::OplockLevel;
use crate::protocol::{Acknowledgement, Granted, NtStatus};

/// A client's open file. If it is dropped without `close`, it stays open until the connection ends.
pub struct SimHandle {
    link: Arc<ServerConnection>,
    number: u64,
    granted: Granted,
}

impl SimHandle {
    pub fn new(link: Arc<ServerConnection>, opened: &ServerOpen) -> SimHandle {
        SimHandle { link, number: opened.number(), granted: opened.granted }
    }

    /// Sends a request that needs one of these rights, or no right if `rights` is 0.
    async fn request(&self, rights: u32) -> Result<Arc<ServerOpen>, OpError> {
        self.link.request().await?;
        let opened = self.link.opened(self.number)?;
        if rights != 0 && opened.access & rights == 0 {
            return Err(OpError::Status(NtStatus::ACCESS_DENIED));
        }
        Ok(opened)
    }

    /// Makes others give up the content that they cache, and waits until they have.
    async fn change(&self, opened: &ServerOpen, change: ContentChange) -> Result<(), OpError> {
        let server = &self.link.server;
        self.link.until_done(|| Ok(server.change(opened, change))).await
    }

    async fn truncate(&self, size: u64) -> Result<(), OpError> {
        let opened = self.request(WRITE_DATA).await?;
        self.change(&opened, ContentChange::Size).await?;
        opened.node.truncate(size).map_err(OpError::Status)
    }

    async fn lock(
        &self,
        offset: u64,
        length: u64,
        exclusive: bool,
        wait: bool,
    ) -> Result<(), OpError> {
        let opened = self.request(0).await?;
        if opened.node.is_directory() {
            return Err(OpError::Status(NtStatus::INVALID_PARAMETER));
        }
        let range = Range::new(offset, length).map_err(OpError::Status)?;
        self.change(&opened, ContentChange::Lock(offset)).await?;
        let lock = ByteRangeLock { open: self.number, range, exclusive };
        let (locks, file) = (&self.link.server.locks, opened.node.id());
        if wait {
            let granted = locks.lock_when_free(file, lock);
            // The open is not held while waiting, so that a lost connection closes it at once.
            drop(opened);
            self.link.granted(granted).await
        } else {
            locks.lock(file, lock).map_err(OpError::Status)
        }
    }
}

/// Returns the range of a read or write (MS-SMB2 3.3.5.12 and 3.3.5.13).
fn io_range(offset: u64, length: u64) -> Result<Range, OpError> {
    if length > MAX_IO_BYTES || offset.checked_add(length).is_none() {
        return Err(OpError::Status(NtStatus::INVALID_PARAMETER));
    }
    Ok(Range { offset, length })
}

#[async_trait]
impl SMBFileHandle for SimHandle {
    fn granted(&self) -> Option<Granted> {
        Some(self.granted)
    }

    async fn acknowledge_oplock_break(&self, new_level: OplockLevel) -> Result<(), OpError> {
        let file_id = self.granted.file_id;
        self.link.acknowledge(Acknowledgement::Oplock { file_id, level: new_level }).await
    }

    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, OpError> {
        let opened = self.request(READ_DATA).await?;
        let range = io_range(offset, length)?;
        let locks = &self.link.server.locks;
        locks.check_read(opened.node.id(), self.number, range).map_err(OpError::Status)?;
        opened.node.read(offset, length).map_err(OpError::Status)
    }

    async fn write(&self, offset: u64, data: Bytes) -> Result<u64, OpError> {
        let opened = self.request(WRITE_DATA | APPEND_DATA).await?;
        let length = data.len() as u64;
        let range = io_range(offset, length)?;
        if length == 0 {
            // MS-FSA 2.1.5.4: this comes before any check of caching or locks.
            return Ok(0);
        }
        self.change(&opened, ContentChange::Write).await?;
        let locks = &self.link.server.locks;
        locks.check_write(opened.node.id(), self.number, range).map_err(OpError::Status)?;
        opened.node.write(offset, &data).map_err(OpError::Status)?;
        opened.note_written();
        Ok(length)
    }

    async fn control(&self, control: &FileControl) -> Result<(), OpError> {
        match *control {
            FileControl::Truncate { size } => self.truncate(size).await,
            // A check for write access, and nothing else (MS-SMB2 3.3.5.11).
            FileControl::Flush => self.request(WRITE_DATA | APPEND_DATA).await.map(drop),
            FileControl::Lock { offset, length, exclusive, wait } => {
                self.lock(offset, length, exclusive, wait).await
            }
            FileControl::Unlock { offset, length } => {
                let opened = self.request(0).await?;
                let range = Range { offset, length };
                let locks = &self.link.server.locks;
                locks.unlock(opened.node.id(), self.number, range).map_err(OpError::Status)
            }
        }
    }

    async fn close(&self) -> Result<(), OpError> {
        self.link.request().await?;
        self.link.close(self.number)
    }
}
