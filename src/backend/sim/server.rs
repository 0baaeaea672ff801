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

/// The behavior of a simulated server. Random decisions depend only on the seed and, for each
/// request, on its client, connect and number. So a run repeats, whatever the order in which
/// requests come.
pub struct Settings {
    /// Time from a request to its reply. The request takes effect at the end of it.
    pub latency: Latency,
    /// Times in which the server answers nothing. What would end within one ends with it.
    pub stalls: Vec<Window>,
    /// Times in which the server is away. At the start every connection breaks, and until the end
    /// every connect is refused. Files stay.
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
    /// The opens, which are locked before the tree's names and the connections.
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
    /// Time at which the present connections break: with the same outage for all.
    breaks_ns: u64,
    by_number: BTreeMap<u64, Arc<Link>>,
    /// Number of connects of each client.
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

    /// Returns the files, so that they can be looked at from outside.
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

    /// Returns the number of opens that were not closed, over all present connections.
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
        // During an outage this time is past, and the link is lost from the beginning.
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
    /// Returns a number that no connection or open had before.
    pub fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Waits until `at_ns`, or for ever if that is `u64::MAX`.
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

    /// Returns the time at which an answer that is ready at `at_ns` is given, which a stall may
    /// delay.
    pub fn answers_from_ns(&self, at_ns: u64) -> u64 {
        let since_creation_ns = at_ns.saturating_sub(self.created_ns);
        let from_ns = window::first_outside(&self.settings.stalls, since_creation_ns);
        self.created_ns.saturating_add(from_ns)
    }

    /// Returns the start of the outage at `at_ns`, or else of the next one; `u64::MAX` means never.
    fn outage_ns(&self, at_ns: u64) -> u64 {
        let since_creation_ns = at_ns.saturating_sub(self.created_ns);
        match window::next(&self.settings.outages, since_creation_ns) {
            Some(outage) => self.created_ns.saturating_add(outage.start_ns),
            None => u64::MAX,
        }
    }

    /// Admits a connection.
    fn admit(&self, link: &Arc<Link>) -> Result<(), ConnectError> {
        self.lose_broken();
        let mut connections = self.connections();
        if connections.stopped {
            return Err(failed(ConnectStage::Connect, "the server is stopped".into(), true));
        }
        // Real time may have passed since the login. All admitted connections break together.
        if link.breaks_ns <= self.now_ns() {
            return Err(failed(ConnectStage::Connect, OUTAGE.into(), true));
        }
        connections.breaks_ns = link.breaks_ns;
        connections.by_number.insert(link.number, link.clone());
        Ok(())
    }

    /// Ends the connections that an outage has broken. A client without requests does not notice an
    /// outage, so what it left must be removed before the next client is served.
    fn lose_broken(&self) {
        let connections = self.connections();
        if connections.breaks_ns <= self.now_ns() {
            lose_all(connections, OUTAGE);
        }
    }

    /// Removes a connection that has ended.
    pub fn forget(&self, number: u64) {
        self.connections().by_number.remove(&number);
    }

    /// Sends a break over a connection. A connection that has ended holds nothing and gets no
    /// break.
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
