//! The simulated server: its files, its locks, the connections to it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::connection::SimConnection;
use super::faults::{Fault, FaultPlan, Request};
use super::link::Link;
use super::locks::LockTable;
use crate::backend::memory::{Limits, MemoryTree};
use crate::backend::{
    BackendCapabilities, Clock, ConnectError, ConnectStage, Endpoint, Feature, SMBBackend,
    SMBConnectionInner, ServerDescription,
};

/// How a simulated server behaves.
pub struct Settings {
    /// From a request's issue to its reply; the request takes effect at its end.
    pub latency: Duration,
    pub faults: FaultPlan,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { latency: Duration::from_micros(100), faults: Box::new(|_| None) }
    }
}

/// A server in memory. See the [module](super).
pub struct SimBackend {
    server: Arc<Server>,
}

pub(super) struct Server {
    pub tree: MemoryTree,
    pub locks: LockTable,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
    last_number: AtomicU64,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    stopped: bool,
    by_number: BTreeMap<u64, Arc<Link>>,
    /// How often each client has connected.
    connects: BTreeMap<u32, u32>,
}

impl SimBackend {
    pub fn new(clock: Arc<dyn Clock>, settings: Settings) -> SimBackend {
        SimBackend {
            server: Arc::new(Server {
                tree: MemoryTree::new(Limits::default()),
                locks: LockTable::default(),
                clock,
                settings,
                last_number: AtomicU64::new(0),
                connections: Mutex::default(),
            }),
        }
    }

    /// The files, to look at from outside.
    pub fn tree(&self) -> &MemoryTree {
        &self.server.tree
    }

    /// Breaks every connection and refuses new ones: operations in flight end
    /// with a lost connection, handles are closed, locks released; files stay.
    pub fn stop(&self) {
        let mut connections = self.server.connections();
        connections.stopped = true;
        let links = std::mem::take(&mut connections.by_number);
        drop(connections);
        for link in links.into_values() {
            link.lose("the server was stopped");
        }
    }

    /// Takes connections again.
    pub fn start(&self) {
        self.server.connections().stopped = false;
    }

    /// Opens that were not closed, over all connections there are.
    pub fn open_handles(&self) -> usize {
        self.server.connections().by_number.values().map(|link| link.open_handles()).sum()
    }
}

#[async_trait]
impl SMBBackend for SimBackend {
    fn capabilities(&self) -> BackendCapabilities {
        BackendCapabilities {
            name: "sim",
            features: vec![Feature::Locks, Feature::BlockingLocks, Feature::Disposition],
            instant: false,
        }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { server: "sim".into(), user: None }
    }

    async fn connect(&self, client_idx: u32) -> Result<Box<dyn SMBConnectionInner>, ConnectError> {
        let connect = self.server.count_connect(client_idx);
        self.server.latency().await;
        match (self.server.settings.faults)(Request { client_idx, connect, operation: None }) {
            None => {}
            Some(Fault::Status(status)) => {
                return Err(failed(ConnectStage::Login, format!("{status:?}"), false));
            }
            Some(Fault::NoReply) => std::future::pending().await,
            Some(Fault::ConnectionLost) => {
                return Err(failed(ConnectStage::Connect, "connection refused".into(), true));
            }
        }
        let number = self.server.next_number();
        let link = Arc::new(Link::new(self.server.clone(), number, client_idx, connect));
        let mut connections = self.server.connections();
        if connections.stopped {
            return Err(failed(ConnectStage::Connect, "the server is stopped".into(), true));
        }
        connections.by_number.insert(number, link.clone());
        Ok(Box::new(SimConnection::new(link)))
    }

    fn server(&self) -> ServerDescription {
        ServerDescription { server: Some("simulator".into()), ..ServerDescription::default() }
    }
}

fn failed(stage: ConnectStage, reason: String, transient: bool) -> ConnectError {
    ConnectError { server: "sim".into(), user: None, stage, reason, transient }
}

impl Server {
    /// A number no connection or open had before.
    pub fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub async fn latency(&self) {
        if !self.settings.latency.is_zero() {
            let latency = u64::try_from(self.settings.latency.as_nanos()).unwrap_or(u64::MAX);
            self.clock.sleep_until(self.clock.now_ns().saturating_add(latency)).await;
        }
    }

    /// The connection with this number is over.
    pub fn forget(&self, number: u64) {
        self.connections().by_number.remove(&number);
    }

    fn count_connect(&self, client_idx: u32) -> u32 {
        let mut connections = self.connections();
        let count = connections.connects.entry(client_idx).or_default();
        *count += 1;
        *count - 1
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
