//! `sim:null`: no server at all.

use std::sync::LazyLock;

use async_trait::async_trait;
use bytes::Bytes;

use crate::backend::{
    BackendCapabilities, ConnectError, Endpoint, Feature, OpError, SMBBackend, SMBConnectionInner,
    SMBFileHandle, ServerDescription,
};
use crate::ir::payload::MAX_IO_BYTES;
use crate::ir::{FileControl, OpenMode, PathOperation};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{CreateParameters, SharePath};

/// A backend that answers everything with success at once and keeps nothing, so that only the cost
/// of the engine remains. A read returns as many zeros as it asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullBackend;

struct NullConnection;

struct NullHandle;

/// The zeros that reads return. They are never freed, so that their slices share no reference count
/// between threads.
static ZEROS: LazyLock<&'static [u8]> =
    LazyLock::new(|| Box::leak(vec![0; MAX_IO_BYTES as usize].into_boxed_slice()));

#[async_trait]
impl SMBBackend for NullBackend {
    fn capabilities(&self) -> BackendCapabilities {
        let features = vec![
            Feature::Locks,
            Feature::BlockingLocks,
            Feature::AccessMask,
            Feature::ShareMode,
            Feature::Disposition,
            Feature::CreateOptions,
            Feature::FileAttributes,
        ];
        BackendCapabilities { name: "sim:null", features, instant: true }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { server: "sim:null".into(), user: None }
    }

    async fn connect(&self, _client_idx: u32) -> Result<Box<dyn SMBConnectionInner>, ConnectError> {
        Ok(Box::new(NullConnection))
    }

    fn server(&self) -> ServerDescription {
        ServerDescription { server: Some("none".into()), ..ServerDescription::default() }
    }
}

#[async_trait]
impl SMBConnectionInner for NullConnection {
    async fn open_simple(
        &self,
        _path: &SharePath,
        _mode: OpenMode,
        _disposition: CreateDisposition,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        Ok(Box::new(NullHandle))
    }

    async fn open_extended(
        &self,
        _path: &SharePath,
        _mode: OpenMode,
        _disposition: CreateDisposition,
        _parameters: &CreateParameters,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        Ok(Box::new(NullHandle))
    }

    async fn execute_misc(&self, _operation: &PathOperation) -> Result<(), OpError> {
        Ok(())
    }

    async fn cancel(&self) -> bool {
        true
    }

    async fn disconnect(self: Box<Self>) {}
}

#[async_trait]
impl SMBFileHandle for NullHandle {
    async fn read(&self, _offset: u64, length: u64) -> Result<Bytes, OpError> {
        Ok(Bytes::from_static(&ZEROS[..length.min(MAX_IO_BYTES) as usize]))
    }

    async fn write(&self, _offset: u64, data: Bytes) -> Result<u64, OpError> {
        Ok(data.len() as u64)
    }

    async fn control(&self, _control: &FileControl) -> Result<(), OpError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), OpError> {
        Ok(())
    }
}
