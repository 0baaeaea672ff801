//! The backend of `--target sim`.

use std::sync::Arc;

use async_trait::async_trait;

use super::connection::SimConnection;
use super::server::{Server, ServerConnection, SimSettings, connect_error};
use crate::backend::memory::MemoryTree;
use crate::backend::{
    BackendCapabilities, Clock, ConnectError, ConnectStage, Endpoint, Feature, OpError, SMBBackend,
    SMBConnectionInner, ServerDescription,
};

/// A server in memory. See the [module](super).
pub struct SimBackend {
    server: Arc<Server>,
}

impl SimBackend {
    pub fn new(clock: Arc<dyn Clock>, settings: SimSettings) -> SimBackend {
        SimBackend { server: Arc::new(Server::new(clock, settings)) }
    }

    /// Returns the files, so that they can be looked at from outside.
    pub fn tree(&self) -> &MemoryTree {
        &self.server.tree
    }

    /// Breaks every connection and refuses new ones. Operations in flight end with a lost
    /// connection, handles are closed and locks released; files stay.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Takes connections again.
    pub fn start(&self) {
        self.server.start();
    }

    /// Returns the number of opens that were not closed, over all present connections.
    pub fn open_handles(&self) -> usize {
        self.server.open_handles()
    }
}

#[async_trait]
impl SMBBackend for SimBackend {
    fn capabilities(&self) -> BackendCapabilities {
        BackendCapabilities { name: "sim", features: Feature::ALL.into(), instant: false }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { server: "sim".into(), user: None }
    }

    async fn connect(&self, client_idx: u32) -> Result<Box<dyn SMBConnectionInner>, ConnectError> {
        let server = &self.server;
        let connect = server.count_connect(client_idx);
        // During an outage this time is past, and the link is lost from the beginning.
        let breaks_ns = server.outage_ns(server.now_ns());
        let link = Arc::new(ServerConnection::new(server.clone(), client_idx, connect, breaks_ns));
        link.login().await.map_err(|error| match error {
            OpError::Status(status) => ConnectError {
                account_refused: status.refuses_account(),
                ..connect_error(ConnectStage::Login, format!("{status:?}"), false)
            },
            OpError::ConnectionLost(reason) | OpError::Client(reason) => {
                connect_error(ConnectStage::Connect, reason, true)
            }
        })?;
        server.admit(&link)?;
        Ok(Box::new(SimConnection::new(link)))
    }

    fn server(&self) -> ServerDescription {
        ServerDescription { server: Some("simulator".into()), ..ServerDescription::default() }
    }
}
