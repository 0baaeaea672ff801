//! A server on the loopback address: crate smb-server in this process, reached through the `smb2`
//! backend. It speaks real SMB 3.1.1 on a real socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use async_trait::async_trait;

use super::entropy::random_bytes;
use super::smb2::{Password, Smb2Backend, SmbAddress};
use super::{
    BackendCapabilities, BackendContext, ConnectError, Endpoint, Feature, SMBBackend,
    SMBConnectionInner, ServerDescription,
};
use crate::protocol::SharePath;

mod memory_share;
mod server;

pub use server::{EmbeddedError, EmbeddedServer, SHARE, ServerSettings, Storage};

/// The name of the only user, if none is given.
pub const USER: &str = "smbench";

/// The backend of `--target embedded`.
pub struct EmbeddedBackend {
    client: Smb2Backend,
    storage: &'static str,
    /// The server, which ends with this value.
    _server: EmbeddedServer,
}

impl EmbeddedBackend {
    /// Starts the server on a free port of 127.0.0.1, with a new password for this run and room for
    /// `connections` connections at a time.
    ///
    /// # Errors
    /// [`EmbeddedError`] if the directory cannot be used or the server cannot listen.
    pub fn start(
        storage: &Storage,
        connections: u32,
        context: BackendContext,
    ) -> Result<EmbeddedBackend, EmbeddedError> {
        let password = Password::new(new_password()?);
        let server = EmbeddedServer::start(&ServerSettings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            user: USER.to_string(),
            password: password.clone(),
            storage: storage.clone(),
            read_only: false,
            // A lost connection may still be counted when its client is already back.
            connections: (connections as usize).saturating_mul(2).saturating_add(64),
            lists_shares: false,
        })?;
        let address = SmbAddress {
            domain: String::new(),
            user: Some(USER.to_string()),
            host: server.address().ip().to_string(),
            port: server.address().port(),
            share: SHARE.to_string(),
            directory: SharePath::default(),
        };
        Ok(EmbeddedBackend {
            client: Smb2Backend::new(address, password, context),
            storage: match storage {
                Storage::Memory(_) => "embedded, in memory",
                Storage::Directory(_) => "embedded, in a directory",
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

/// Returns 128 random bits, which other users of this host cannot guess, as a password.
fn new_password() -> io::Result<String> {
    Ok(format!("{:032x}", u128::from_ne_bytes(random_bytes()?)))
}
