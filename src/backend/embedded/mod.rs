//! A server of our own on loopback: crate smb-server in this process, reached
//! through the `smb2` backend. Real SMB 3.1.1 on a real socket.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};

use async_trait::async_trait;

use super::smb2::{Password, Smb2Backend, SmbAddress};
use super::{
    BackendCapabilities, BackendContext, ConnectError, Endpoint, Feature, SMBBackend,
    SMBConnectionInner, ServerDescription,
};
use crate::protocol::SharePath;

mod memory_share;
mod server;

pub use server::{EmbeddedError, EmbeddedServer, SHARE, ServerSettings, Storage};

/// The name of the only user, where none is given.
pub const USER: &str = "smbench";

/// `--target embedded`
pub struct EmbeddedBackend {
    client: Smb2Backend,
    storage: &'static str,
    /// It ends with this value.
    _server: EmbeddedServer,
}

impl EmbeddedBackend {
    /// Starts the server on a free port of 127.0.0.1, with a password that is
    /// new for this run, for `connections` at a time.
    ///
    /// # Errors
    /// [`EmbeddedError`] when the folder or a port cannot be had.
    pub fn start(
        storage: &Storage,
        connections: u32,
        context: BackendContext,
    ) -> Result<EmbeddedBackend, EmbeddedError> {
        let password = Password::new(new_password());
        let server = EmbeddedServer::start(&ServerSettings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            user: USER.to_string(),
            password: password.clone(),
            storage: storage.clone(),
            read_only: false,
            // A lost connection may still count while its client is back already.
            connections: (connections as usize).saturating_mul(2).saturating_add(64),
            lists_shares: false,
        })?;
        let address = SmbAddress {
            domain: String::new(),
            user: Some(USER.to_string()),
            host: server.address().ip().to_string(),
            port: server.address().port(),
            share: SHARE.to_string(),
            folder: SharePath::default(),
        };
        Ok(EmbeddedBackend {
            client: Smb2Backend::new(address, password, context),
            storage: match storage {
                Storage::Memory(_) => "embedded, in memory",
                Storage::Folder(_) => "embedded, in a folder",
            },
            _server: server,
        })
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

/// 128 bits that other users of this machine cannot guess: the standard
/// library keys its hashers from the system's randomness.
fn new_password() -> String {
    let part = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}", part(), part())
}
