//! A server of our own on loopback: crate smb-server in this process, reached
//! through the `smb2` backend. Real SMB 3.1.1 on a real socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use async_trait::async_trait;
use smb_server::{Access, LocalFsBackend, Share, SmbServer};
use tokio::runtime::Runtime;

use super::entropy::random_bytes;
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
    #[error("the embedded server did not start: {0}")]
    Start(#[from] io::Error),
    #[error("the embedded server did not start: {0}")]
    Settings(#[from] smb_server::BuildError),
}

/// `--target embedded`
pub struct EmbeddedBackend {
    client: Smb2Backend,
    storage: &'static str,
    /// The server lives on it and ends with it.
    runtime: Option<Runtime>,
}

impl EmbeddedBackend {
    /// Starts the server on a free port of 127.0.0.1, with a password that is
    /// new for this run, for `connections` at a time.
    ///
    /// # Errors
    /// [`EmbeddedError`] when the folder or a port cannot be had.
    #[expect(clippy::disallowed_methods, reason = "no shard runs yet")]
    pub fn start(
        storage: &Storage,
        connections: u32,
        context: BackendContext,
    ) -> Result<EmbeddedBackend, EmbeddedError> {
        let password = new_password()?;
        let server = SmbServer::builder()
            .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .user(USER, password.as_str())
            .share(share(storage)?.user(USER, Access::ReadWrite))
            // A lost connection may still count while its client is back already.
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
        // Not waited for: this may be a thread of another runtime.
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

/// Returns 128 random bits, which other users of this host cannot guess, as a password.
fn new_password() -> io::Result<String> {
    Ok(format!("{:032x}", u128::from_ne_bytes(random_bytes()?)))
}
