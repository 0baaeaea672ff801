//! A client's open file on the simulated server.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::link::{Link, Opened};
use super::locks::{Lock, Range};
use crate::backend::{OpError, SMBFileHandle};
use crate::ir::OpenMode;
use crate::ir::operation::MAX_IO_BYTES;
use crate::protocol::NtStatus;

/// Dropped without `close`, the file stays open until the connection ends.
pub struct SimHandle {
    link: Arc<Link>,
    number: u64,
}

impl SimHandle {
    pub fn new(link: Arc<Link>, number: u64) -> SimHandle {
        SimHandle { link, number }
    }

    /// Sends a request that needs this access.
    async fn request(&self, need: Option<OpenMode>) -> Result<Arc<Opened>, OpError> {
        self.link.request().await?;
        let opened = self.link.opened(self.number)?;
        match need {
            Some(need) if opened.mode != need && opened.mode != OpenMode::ReadWrite => {
                Err(OpError::Status(NtStatus::ACCESS_DENIED))
            }
            _ => Ok(opened),
        }
    }
}

/// The range of a read or write (MS-SMB2 3.3.5.12 and 3.3.5.13).
fn io_range(offset: u64, length: u64) -> Result<Range, OpError> {
    if length > MAX_IO_BYTES || offset.checked_add(length).is_none() {
        return Err(OpError::Status(NtStatus::INVALID_PARAMETER));
    }
    Ok(Range { offset, length })
}

#[async_trait]
impl SMBFileHandle for SimHandle {
    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, OpError> {
        let opened = self.request(Some(OpenMode::Read)).await?;
        let range = io_range(offset, length)?;
        let locks = &self.link.server.locks;
        locks.check_read(opened.node.id(), self.number, range).map_err(OpError::Status)?;
        opened.node.read(offset, length).map_err(OpError::Status)
    }

    async fn write(&self, offset: u64, data: Bytes) -> Result<u64, OpError> {
        let opened = self.request(Some(OpenMode::Write)).await?;
        let length = data.len() as u64;
        let range = io_range(offset, length)?;
        let locks = &self.link.server.locks;
        locks.check_write(opened.node.id(), self.number, range).map_err(OpError::Status)?;
        opened.node.write(offset, &data).map_err(OpError::Status)?;
        Ok(length)
    }

    async fn truncate(&self, size: u64) -> Result<(), OpError> {
        let opened = self.request(Some(OpenMode::Write)).await?;
        opened.node.truncate(size).map_err(OpError::Status)
    }

    /// Needs write access (MS-SMB2 3.3.5.11).
    async fn flush(&self) -> Result<(), OpError> {
        self.request(Some(OpenMode::Write)).await.map(|_| ())
    }

    async fn lock(
        &self,
        offset: u64,
        length: u64,
        exclusive: bool,
        wait: bool,
    ) -> Result<(), OpError> {
        let opened = self.request(None).await?;
        let range = Range::new(offset, length).map_err(OpError::Status)?;
        let lock = Lock { open: self.number, range, exclusive };
        let (locks, file) = (&self.link.server.locks, opened.node.id());
        if wait {
            let granted = locks.lock_when_free(file, lock);
            // Not held while waiting, so that a lost connection closes it at once.
            drop(opened);
            self.link.granted(granted).await
        } else {
            locks.lock(file, lock).map_err(OpError::Status)
        }
    }

    async fn unlock(&self, offset: u64, length: u64) -> Result<(), OpError> {
        let opened = self.request(None).await?;
        let range = Range { offset, length };
        let locks = &self.link.server.locks;
        locks.unlock(opened.node.id(), self.number, range).map_err(OpError::Status)
    }

    async fn close(self: Box<Self>) -> Result<(), OpError> {
        self.link.request().await?;
        self.link.close(self.number)
    }
}
