//! The simulated server: its files, its locks, the connections to it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::connection::SimConnection;
use super::faults::{FaultPlan, Request};
use super::latency::Latency;
use super::link::{Link, OUTAGE};
use super::locks::LockTable;
use super::opens::Opens;
use super::random::{Drawn, Random};
use super::window::{self, Window};
use crate::backend::memory::{Limits, MemoryTree};
use crate::backend::{
    BackendCapabilities, Clock, ConnectError, ConnectStage, Endpoint, Feature, OpError, SMBBackend,
    SMBConnectionInner, ServerDescription,
};
use crate::protocol::Break;

/// How a simulated server behaves. What chance decides follows from the seed
/// and, for each request, its client, connect and number alone, so that a run
/// repeats whatever the order in which requests come.
pub struct Settings {
    /// From a request to its reply; the request takes effect at its end.
    pub latency: Latency,
    /// The server answers nothing: what would end within one ends with it.
    pub stalls: Vec<Window>,
    /// The server is away: at the start every connection breaks, and until the
    /// end every connect is refused. Files stay.
    pub outages: Vec<Window>,
    pub faults: FaultPlan,
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            latency: Latency::Constant(Duration::from_micros(100)),
            stalls: Vec::new(),
            outages: Vec::new(),
            faults: Box::new(|_| None),
            seed: 0,
        }
    }
}

/// A server in memory. See the [module](super).
pub struct SimBackend {
    server: Arc<Server>,
}

pub(super) struct Server {
    pub tree: MemoryTree,
    pub locks: LockTable,
    /// Locked before the tree's names and the connections.
    pub opens: Opens,
    clock: Arc<dyn Clock>,
    created_ns: u64,
    pub settings: Settings,
    last_number: AtomicU64,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    stopped: bool,
    /// When those that are there break: the same outage for all.
    breaks_ns: u64,
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
                opens: Opens::default(),
                created_ns: clock.now_ns(),
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
        lose_all(connections, "the server was stopped");
    }

    /// Takes connections again.
    pub fn start(&self) {
        self.server.connections().stopped = false;
    }

    /// Opens that were not closed, over all connections there are.
    pub fn open_handles(&self) -> usize {
        self.server.lose_broken();
        self.server.connections().by_number.values().map(|link| link.open_handles()).sum()
    }
}

#[async_trait]
impl SMBBackend for SimBackend {
    fn capabilities(&self) -> BackendCapabilities {
        BackendCapabilities {
            name: "sim",
            features: vec![
                Feature::Locks,
                Feature::BlockingLocks,
                Feature::AccessMask,
                Feature::ShareMode,
                Feature::Disposition,
                Feature::CreateOptions,
                Feature::FileAttributes,
                Feature::Caching,
            ],
            instant: false,
        }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { server: "sim".into(), user: None }
    }

    async fn connect(&self, client_idx: u32) -> Result<Box<dyn SMBConnectionInner>, ConnectError> {
        let server = &self.server;
        let connect = server.count_connect(client_idx);
        // In an outage this is past, and the link is lost from the beginning.
        let breaks_ns = server.outage_ns(server.now_ns());
        let link = Arc::new(Link::new(server.clone(), client_idx, connect, breaks_ns));
        link.login().await.map_err(|error| match error {
            OpError::Status(status) => ConnectError {
                account_refused: status.refuses_account(),
                ..failed(ConnectStage::Login, format!("{status:?}"), false)
            },
            OpError::ConnectionLost(reason) | OpError::Client(reason) => {
                failed(ConnectStage::Connect, reason, true)
            }
        })?;
        server.admit(&link)?;
        Ok(Box::new(SimConnection::new(link)))
    }

    fn server(&self) -> ServerDescription {
        ServerDescription { server: Some("simulator".into()), ..ServerDescription::default() }
    }
}

fn failed(stage: ConnectStage, reason: String, transient: bool) -> ConnectError {
    let (server, account_refused) = ("sim".into(), false);
    ConnectError { server, user: None, stage, reason, transient, account_refused }
}

impl Server {
    /// A number no connection or open had before.
    pub fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// `u64::MAX` is never.
    pub async fn sleep_until(&self, at_ns: u64) {
        if at_ns == u64::MAX {
            std::future::pending().await
        } else if at_ns > self.now_ns() {
            self.clock.sleep_until(at_ns).await;
        }
    }

    pub fn latency_ns(&self, request: Request, drawn: Drawn) -> u64 {
        let mut random = Random::new(self.settings.seed, request, drawn);
        self.settings.latency.draw(&mut random).as_nanos() as u64
    }

    /// When an answer that is ready at `at_ns` is given, stalls considered.
    pub fn answers_from_ns(&self, at_ns: u64) -> u64 {
        let since_creation_ns = at_ns.saturating_sub(self.created_ns);
        let from_ns = window::first_outside(&self.settings.stalls, since_creation_ns);
        self.created_ns.saturating_add(from_ns)
    }

    /// When the outage at `at_ns`, else the next, begins; `u64::MAX` for never.
    fn outage_ns(&self, at_ns: u64) -> u64 {
        let since_creation_ns = at_ns.saturating_sub(self.created_ns);
        match window::next(&self.settings.outages, since_creation_ns) {
            Some(outage) => self.created_ns.saturating_add(outage.start_ns),
            None => u64::MAX,
        }
    }

    /// Takes a connection in.
    fn admit(&self, link: &Arc<Link>) -> Result<(), ConnectError> {
        self.lose_broken();
        let mut connections = self.connections();
        if connections.stopped {
            return Err(failed(ConnectStage::Connect, "the server is stopped".into(), true));
        }
        // Real time may have passed since its login; all that are taken in break together.
        if link.breaks_ns <= self.now_ns() {
            return Err(failed(ConnectStage::Connect, OUTAGE.into(), true));
        }
        connections.breaks_ns = link.breaks_ns;
        connections.by_number.insert(link.number, link.clone());
        Ok(())
    }

    /// A client that asks nothing does not notice an outage: what it left must
    /// be gone before the next one is served.
    fn lose_broken(&self) {
        let connections = self.connections();
        if connections.breaks_ns <= self.now_ns() {
            lose_all(connections, OUTAGE);
        }
    }

    /// The connection with this number is over.
    pub fn forget(&self, number: u64) {
        self.connections().by_number.remove(&number);
    }

    /// A connection that is gone took what it held with it, and hears nothing.
    pub fn send_break(&self, connection: u64, what: Break) {
        if let Some(link) = self.connections().by_number.get(&connection) {
            link.send_break(what);
        }
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

fn lose_all(mut connections: MutexGuard<'_, Connections>, reason: &'static str) {
    let links = std::mem::take(&mut connections.by_number);
    drop(connections);
    for link in links.into_values() {
        link.lose(reason);
    }
}
