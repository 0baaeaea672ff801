//! The server of the embedded backend: crate smb-server on a runtime of its own.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use smb_server::{Access, LocalFsBackend, Share, ShutdownHandle, SmbServer};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::memory_share::MemoryShare;
use crate::backend::memory::{Limits, MemoryTree};
use crate::backend::smb2::Password;

/// The name of the only share.
pub const SHARE: &str = "share";
/// A client may think for as long as it likes.
const IDLE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Most threads the server takes from the engine.
const MAX_THREADS: usize = 4;

/// Where the embedded server keeps files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Gone with the run; STATUS_DISK_FULL beyond the limits.
    Memory(Limits),
    /// A folder of this machine (`--embedded-dir`).
    Folder(PathBuf),
}

/// Why the embedded server did not start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("the embedded server cannot use the folder {}: {source}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("the embedded server cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the embedded server did not start: {0}")]
    Start(#[from] io::Error),
    #[error("the embedded server did not start: {0}")]
    Settings(#[from] smb_server::BuildError),
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The only user, and its password.
    pub user: String,
    pub password: Password,
    pub storage: Storage,
    pub read_only: bool,
    /// The most connections at a time.
    pub connections: usize,
    /// Clients may ask which shares there are.
    pub lists_shares: bool,
}

/// A server that listens. It ends with the value.
pub struct EmbeddedServer {
    address: SocketAddr,
    shutdown: ShutdownHandle,
    /// Says how the server ended.
    ended: oneshot::Receiver<io::Result<()>>,
    /// The server lives on it and ends with it.
    runtime: Option<Runtime>,
}

impl EmbeddedServer {
    /// Starts a server, and returns once it listens.
    ///
    /// # Errors
    /// [`EmbeddedError`] when the folder or the address cannot be had, or the user's name
    /// is none.
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
            // Nobody may wait for it.
            let _ = end.send(served);
        });
        let address = address
            .recv()
            .map_err(io::Error::other)?
            .map_err(|source| EmbeddedError::Listen { address: *listen, source })?;
        Ok(EmbeddedServer { address, shutdown, ended, runtime: Some(runtime) })
    }

    /// The address it listens on, with the port it was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, and ends each as soon as its current request is answered.
    pub fn shut_down(&self) {
        self.shutdown.shutdown();
    }

    /// Waits until the server has ended.
    ///
    /// # Errors
    /// Why it could not go on.
    pub async fn ended(&mut self) -> io::Result<()> {
        (&mut self.ended).await.unwrap_or_else(|_| Err(io::Error::other("it broke off")))
    }
}

impl Drop for EmbeddedServer {
    fn drop(&mut self) {
        // Not waited for: this may be a thread of another runtime.
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
        Storage::Folder(folder) => {
            let local = local_folder(folder)?;
            Ok(Share::new(SHARE, if settings.read_only { local.read_only() } else { local }))
        }
    }
}

fn local_folder(folder: &Path) -> Result<LocalFsBackend, EmbeddedError> {
    let opened = LocalFsBackend::new(folder);
    let opened =
        opened.map_err(|source| EmbeddedError::Folder { folder: folder.to_path_buf(), source })?;
    Ok(opened.watch_host_changes(false))
}
