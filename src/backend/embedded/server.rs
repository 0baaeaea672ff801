//! The server of the embedded backend: the crate smb-server on a runtime of its own.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use smb_server::{Access, LocalFsBackend, Share, ShutdownHandle, SmbServer};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::memory_share::MemoryShare;
use crate::backend::memory::{MemoryLimits, MemoryTree};
use crate::backend::smb2::Password;

/// The name of the only share.
pub const SHARE: &str = "share";
/// Time after which an idle connection is closed. It is long, because a client may think for any
/// time.
const IDLE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Maximum number of threads that the server takes from the engine.
const MAX_THREADS: usize = 4;

/// The place where the embedded server keeps files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Memory, which is gone after the run. The server answers STATUS_DISK_FULL beyond the limits.
    Memory(MemoryLimits),
    /// A directory of this host (`--embedded-dir`).
    Directory(PathBuf),
}

/// The reason why the embedded server did not start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("the embedded server cannot use the directory {}: {source}{}", directory.display(), how_to_make(source))]
    Directory { directory: PathBuf, source: io::Error },
    #[error("the embedded server cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the embedded server did not start: {0}")]
    Start(#[from] io::Error),
    #[error("the embedded server did not start: {0}")]
    Settings(#[from] smb_server::BuildError),
}

/// The settings that a server is started with.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The address to listen on. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// The name of the only user, whose password is the next field.
    pub user: String,
    pub password: Password,
    pub storage: Storage,
    pub read_only: bool,
    /// Maximum number of simultaneous connections.
    pub connections: usize,
    /// Whether clients may list the shares.
    pub lists_shares: bool,
}

/// A server that listens. It ends when this value is dropped.
pub struct EmbeddedServer {
    address: SocketAddr,
    shutdown: ShutdownHandle,
    /// The result with which the server ends.
    ended: oneshot::Receiver<io::Result<()>>,
    /// The runtime that the server runs on. The server ends with it.
    runtime: Option<Runtime>,
}

impl EmbeddedServer {
    /// Starts a server, and returns once it listens.
    ///
    /// # Errors
    /// [`EmbeddedError`] if the directory or the address cannot be used, or the user's name is not
    /// valid.
    #[expect(clippy::disallowed_methods, reason = "no shard runs yet")]
    pub fn start(settings: &ServerSettings) -> Result<EmbeddedServer, EmbeddedError> {
        let ServerSettings { listen, user, password, .. } = settings;
        let access = if settings.read_only { Access::Read } else { Access::ReadWrite };
        let server = SmbServer::builder()
            .listen(*listen)
            .user(user, password.revealed())
            .share(share(settings)?.user(user, access))
            .max_connections(settings.connections)
            .idle_timeout(IDLE)
            .share_listing(settings.lists_shares)
            .build()?;
        let shutdown = server.shutdown_handle();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads((cores / 2).clamp(1, MAX_THREADS))
            .thread_name("embedded-server")
            .enable_all()
            .build()?;
        let (bound, address) = mpsc::sync_channel(1);
        let (end, ended) = oneshot::channel();
        runtime.spawn(async move {
            let address = server.bind().await;
            let listens = address.is_ok();
            if bound.send(address).is_err() || !listens {
                return;
            }
            let served = server.serve().await;
            if let Err(error) = &served {
                tracing::error!(%error, "the embedded server ended");
            }
            // The send fails if nobody waits for the result, and that is fine.
            let _ = end.send(served);
        });
        let address = address
            .recv()
            .map_err(io::Error::other)?
            .map_err(|source| EmbeddedError::Listen { address: *listen, source })?;
        Ok(EmbeddedServer { address, shutdown, ended, runtime: Some(runtime) })
    }

    /// Returns the address that the server listens on, with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting connections, and ends each one as soon as its current request is answered.
    pub fn shut_down(&self) {
        self.shutdown.shutdown();
    }

    /// Waits until the server has ended.
    ///
    /// # Errors
    /// The error that ended the server.
    pub async fn ended(&mut self) -> io::Result<()> {
        (&mut self.ended).await.unwrap_or_else(|_| Err(io::Error::other("it broke off")))
    }
}

impl Drop for EmbeddedServer {
    fn drop(&mut self) {
        // Dropping does not wait for the runtime, because this may be a thread of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn share(settings: &ServerSettings) -> Result<Share, EmbeddedError> {
    match &settings.storage {
        Storage::Memory(limits) => {
            Ok(Share::new(SHARE, MemoryShare::new(MemoryTree::new(*limits))))
        }
        Storage::Directory(directory) => {
            let local = local_directory(directory)?;
            Ok(Share::new(SHARE, if settings.read_only { local.read_only() } else { local }))
        }
    }
}

/// Returns advice for a directory that does not exist.
fn how_to_make(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::NotFound { "; make it first" } else { "" }
}

fn local_directory(directory: &Path) -> Result<LocalFsBackend, EmbeddedError> {
    let opened = LocalFsBackend::new(directory);
    let opened = opened.map_err(|source| EmbeddedError::Directory {
        directory: directory.to_path_buf(),
        source,
    })?;
    Ok(opened.watch_host_changes(false))
}
