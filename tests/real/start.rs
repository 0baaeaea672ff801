//! Backends and connections for tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use smbench::backend::embedded::{EmbeddedBackend, Storage};
use smbench::backend::memory::Limits;
use smbench::backend::smb2::{Password, Smb2Backend, SmbAddress};
use smbench::backend::{
    BackendContext, Clock, OpError, SMBBackend, SMBConnectionInner, SMBFileHandle,
};
use smbench::ir::{OpenMode, PathOperation};
use smbench::protocol::create::{CreateDisposition, OplockLevel};
use smbench::protocol::{CreateParameters, Lease, LeaseState, NtStatus, SharePath};
use smbench_test_support::{Samba, Settings};

struct WallClock(Instant);

impl Clock for WallClock {
    fn now_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }

    fn sleep_until(&self, deadline_ns: u64) -> BoxFuture<'static, ()> {
        let deadline = self.0 + Duration::from_nanos(deadline_ns);
        tokio::time::sleep_until(deadline.into()).boxed()
    }
}

pub fn context() -> BackendContext {
    BackendContext {
        clock: Arc::new(WallClock(Instant::now())),
        response_timeout: Duration::from_secs(40),
        file_ids: false,
    }
}

pub fn smb2(url: &str, password: &str) -> Smb2Backend {
    let address = SmbAddress::parse(url.strip_prefix("smb://").unwrap()).unwrap();
    Smb2Backend::new(address, Password::new(password), context())
}

pub fn samba_backend(samba: &Samba) -> Smb2Backend {
    smb2(&samba.url(), Samba::PASSWORD)
}

pub fn embedded() -> EmbeddedBackend {
    EmbeddedBackend::start(&Storage::Memory(Limits::default()), 8, context()).unwrap()
}

/// A connection to each available server. The servers live as long as this value.
pub struct Servers {
    _samba: Option<Samba>,
    backends: Vec<Box<dyn SMBBackend>>,
}

impl Servers {
    pub fn start() -> Servers {
        let mut backends: Vec<Box<dyn SMBBackend>> = vec![Box::new(embedded())];
        let samba = Samba::start(Settings::default());
        if let Some(samba) = &samba {
            backends.push(Box::new(samba_backend(samba)));
        }
        Servers { _samba: samba, backends }
    }

    pub async fn connections(&self) -> Vec<Box<dyn SMBConnectionInner>> {
        let mut connections = Vec::new();
        for backend in &self.backends {
            connections.push(backend.connect(0).await.unwrap());
        }
        connections
    }
}

pub fn path(text: &str) -> SharePath {
    SharePath::new(text).unwrap()
}

pub async fn open(
    connection: &dyn SMBConnectionInner,
    name: &str,
    disposition: CreateDisposition,
) -> Result<Box<dyn SMBFileHandle>, OpError> {
    connection.open_simple(&path(name), OpenMode::ReadWrite, disposition).await
}

/// Opens a file for reading and writing, and creates it if it does not exist.
pub async fn open_asking(
    connection: &dyn SMBConnectionInner,
    name: &str,
    parameters: &CreateParameters,
) -> Box<dyn SMBFileHandle> {
    let (path, disposition) = (path(name), CreateDisposition::OpenIf);
    let opened =
        connection.open_extended(&path, OpenMode::ReadWrite, disposition, parameters).await;
    opened.unwrap()
}

pub fn oplock(level: OplockLevel) -> CreateParameters {
    CreateParameters { requested_oplock: Some(level), ..CreateParameters::default() }
}

/// Returns a lease of version 2 whose key is derived from client and path.
pub fn lease(state: LeaseState) -> CreateParameters {
    let lease = Lease { state: state.bits(), key: None, parent_key: None, version: 2 };
    CreateParameters { lease: Some(lease), ..CreateParameters::default() }
}

/// Creates a file and opens it for reading and writing.
pub async fn create(connection: &dyn SMBConnectionInner, name: &str) -> Box<dyn SMBFileHandle> {
    open(connection, name, CreateDisposition::Create).await.unwrap()
}

pub fn mkdir(name: &str) -> PathOperation {
    PathOperation::Mkdir { path: path(name) }
}

pub fn rmdir(name: &str) -> PathOperation {
    PathOperation::Rmdir { path: path(name) }
}

pub fn delete(name: &str) -> PathOperation {
    PathOperation::Delete { path: path(name) }
}

pub fn stat(name: &str) -> PathOperation {
    PathOperation::Stat { path: path(name) }
}

pub fn list(name: &str, pattern: &str) -> PathOperation {
    PathOperation::List { path: path(name), pattern: pattern.into() }
}

pub fn rename(from: &str, to: &str, replace: bool) -> PathOperation {
    PathOperation::Rename { source_path: path(from), dest_path: path(to), replace }
}

pub fn status<T>(status: NtStatus) -> Result<T, OpError> {
    Err(OpError::Status(status))
}
