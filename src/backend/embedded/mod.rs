//! A server on the loopback address: crate smb-server in this process, reached through the `smb2`
//! backend. It speaks real SMB 3.1.1 on a real socket.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use async_trait::async_trait;
use smb_server::{Access, LocalFsBackend, Share, SmbServer};
use tokio::runtime::Runtime;

use super::memory::{Limits, MemoryTree};
use super::smb2::{Password, Smb2Backend, SmbAddress};
use super::{
    BackendCapabilities, BackendContext, ConnectError, Endpoint, Feature, SMBBackend,
    SMBConnectionInner, ServerDescription,
};
use crate::protocol::SharePath;

mod memory_share;

use memory_share::MemoryShare;

const USER: &str = "smbench";
const SHARE: &str = "share";
/// Time after which the server drops an idle client: long, because a client may think for any time.
const IDLE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Maximum number of threads that the server takes from the engine.
const MAX_THREADS: usize = 4;

/// The place where the embedded server keeps files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Memory, which is lost after the run. Writes beyond the limits fail with STATUS_DISK_FULL.
    Memory(Limits),
    /// A directory of this host (`--embedded-dir`).
    Folder(PathBuf),
}

/// The reason why the embedded server did not start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("the embedded server cannot use the folder {}: {source}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("the embedded server did not start: {0}")]
    Start(#[from] io::Error),
    #[error("the embedded server did not start: {0}")]
    Settings(#[from] smb_server::BuildError),
}

/// The backend of `--target embedded`.
pub struct EmbeddedBackend {
    client: Smb2Backend,
    storage: &'static str,
    /// The runtime of the server, which ends with it.
    runtime: Option<Runtime>,
}

impl EmbeddedBackend {
    /// Starts the server on a free port of 127.0.0.1, with a new password for this run and room for
    /// `connections` connections at a time.
    ///
    /// # Errors
    /// [`EmbeddedError`] if the directory cannot be used or the server cannot listen.
    #[expect(clippy::disallowed_methods, reason = "no shard runs yet")]
    pub fn start(
        storage: &Storage,
        connections: u32,
        context: BackendContext,
    ) -> Result<EmbeddedBackend, EmbeddedError> {
        let password = new_password();
        let server = SmbServer::builder()
            .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .user(USER, password.as_str())
            .share(share(storage)?.user(USER, Access::ReadWrite))
            // A lost connection may still be counted when its client is already back.
            .max_connections((connections as usize).saturating_mul(2).saturating_add(64))
            .idle_timeout(IDLE)
            .share_listing(false)
            .build()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads((cores / 2).clamp(1, MAX_THREADS))
            .thread_name("embedded-server")
            .enable_all()
            .build()?;
        let (bound, address) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            let address = server.bind().await;
            let listens = address.is_ok();
            if bound.send(address).is_ok()
                && listens
                && let Err(error) = server.serve().await
            {
                tracing::error!(%error, "the embedded server ended");
            }
        });
        let address = address.recv().map_err(io::Error::other)??;
        let address = SmbAddress {
            domain: String::new(),
            user: Some(USER.to_string()),
            host: address.ip().to_string(),
            port: address.port(),
            share: SHARE.to_string(),
            folder: SharePath::default(),
        };
        Ok(EmbeddedBackend {
            client: Smb2Backend::new(address, Password::new(password), context),
            storage: match storage {
                Storage::Memory(_) => "embedded, in memory",
                Storage::Folder(_) => "embedded, in a folder",
            },
            runtime: Some(runtime),
        })
    }
}

impl Drop for EmbeddedBackend {
    fn drop(&mut self) {
        // Does not wait, because this may run on a thread of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[async_trait]
impl SMBBackend for EmbeddedBackend {
    fn capabilities(&self) -> BackendCapabilities {
        let mut capabilities = self.client.capabilities();
        capabilities.name = "embedded";
        // smb-server answers STATUS_LOCK_NOT_GRANTED to a lock that would wait.
        capabilities.features.retain(|feature| *feature != Feature::BlockingLocks);
        capabilities
    }

    async fn connect(&self, client_idx: u32) -> Result<Box<dyn SMBConnectionInner>, ConnectError> {
        self.client.connect(client_idx).await
    }

    fn endpoint(&self) -> Endpoint {
        self.client.endpoint()
    }

    fn server(&self) -> ServerDescription {
        ServerDescription { server: Some(self.storage.to_string()), ..self.client.server() }
    }
}

fn share(storage: &Storage) -> Result<Share, EmbeddedError> {
    match storage {
        Storage::Memory(limits) => {
            Ok(Share::new(SHARE, MemoryShare::new(MemoryTree::new(*limits))))
        }
        Storage::Folder(folder) => Ok(Share::new(SHARE, local_folder(folder)?)),
    }
}

fn local_folder(folder: &Path) -> Result<LocalFsBackend, EmbeddedError> {
    let opened = LocalFsBackend::new(folder);
    let opened =
        opened.map_err(|source| EmbeddedError::Folder { folder: folder.to_path_buf(), source })?;
    Ok(opened.watch_host_changes(false))
}

/// Returns a password of 128 bits that other users of this host cannot guess. The standard library
/// keys its hashers from the system's random numbers.
fn new_password() -> String {
    let part = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}", part(), part())
}
