//! The simulated server: its files, the connections to it, and what they have open. Opening a file,
//! and what an operation on a file takes from others who have it open, is one step each, which is
//! tried again after every wait for a break.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use super::create_request::{ATTRIBUTE_READONLY, CreateRequest};
use super::faults::{Fault, FaultPlan};
use super::latency::Latency;
use super::locks::LockTable;
use super::opens::access::{SHARE_READ, SHARE_WRITE, SYNCHRONIZE, Sharing, WRITE_DATA};
use super::opens::{
    AttemptResult, BreakCause, BreakNotice, Initiator, OpenRequest, OpenTable, Opens,
    RequestedCaching,
};
use super::random::{Purpose, RequestId, RequestRandom};
use super::window::{self, Window};
use crate::backend::memory::{MemoryLimits, MemoryTree, OpenNode, RequestedKind};
use crate::backend::{BreakAcknowledger, BreakSender, Clock, ConnectError, ConnectStage, OpError};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{
    Acknowledgement, Break, CreateAction, FileId, Granted, LeaseKey, NtStatus, SharePath,
};

/// The behavior of a simulated server. Random decisions depend only on the seed and, for each
/// request, on its client, connect and number. So a run is reproducible, in whatever order the
/// requests arrive.
pub struct SimSettings {
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

impl Default for SimSettings {
    fn default() -> SimSettings {
        SimSettings {
            latency: Latency::Constant(Duration::from_micros(100)),
            stalls: Vec::new(),
            outages: Vec::new(),
            faults: Box::new(|_| None),
            seed: 0,
        }
    }
}

/// The server itself, which its connections and its opens share.
pub(super) struct Server {
    pub tree: MemoryTree,
    pub locks: LockTable,
    /// The opens, which are locked before the tree's names and the connections.
    pub opens: Opens,
    clock: Arc<dyn Clock>,
    created_ns: u64,
    pub settings: SimSettings,
    last_number: AtomicU64,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    stopped: bool,
    /// Time at which the present connections break: with the same outage for all.
    breaks_ns: u64,
    by_number: BTreeMap<u64, Arc<ServerConnection>>,
    /// Number of connects of each client.
    connects: BTreeMap<u32, u32>,
}

impl Server {
    pub fn new(clock: Arc<dyn Clock>, settings: SimSettings) -> Server {
        Server {
            tree: MemoryTree::new(MemoryLimits::default()),
            locks: LockTable::default(),
            opens: Opens::default(),
            created_ns: clock.now_ns(),
            clock,
            settings,
            last_number: AtomicU64::new(0),
            connections: Mutex::default(),
        }
    }

    /// See [`SimBackend::stop`](super::SimBackend::stop).
    pub fn stop(&self) {
        let mut connections = self.connections();
        connections.stopped = true;
        lose_all(connections, "the server was stopped");
    }

    pub fn start(&self) {
        self.connections().stopped = false;
    }

    pub fn open_handles(&self) -> usize {
        self.lose_broken();
        self.connections().by_number.values().map(|link| link.opens().len()).sum()
    }

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

    pub fn latency_ns(&self, request: RequestId, purpose: Purpose) -> u64 {
        let mut random = RequestRandom::new(self.settings.seed, request, purpose);
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
    pub fn outage_ns(&self, at_ns: u64) -> u64 {
        let since_creation_ns = at_ns.saturating_sub(self.created_ns);
        match window::next(&self.settings.outages, since_creation_ns) {
            Some(outage) => self.created_ns.saturating_add(outage.start_ns),
            None => u64::MAX,
        }
    }

    /// Admits a connection.
    pub fn admit(&self, link: &Arc<ServerConnection>) -> Result<(), ConnectError> {
        self.lose_broken();
        let mut connections = self.connections();
        if connections.stopped {
            return Err(connect_error(ConnectStage::Connect, "the server is stopped".into(), true));
        }
        // Real time may have passed since the login. All admitted connections break together.
        if link.breaks_ns <= self.now_ns() {
            return Err(connect_error(ConnectStage::Connect, OUTAGE.into(), true));
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

    pub fn count_connect(&self, client_idx: u32) -> u32 {
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

/// Returns the error of a connect at this stage.
pub fn connect_error(stage: ConnectStage, reason: String, transient: bool) -> ConnectError {
    let (server, account_refused) = ("sim".into(), false);
    ConnectError { server, user: None, stage, reason, transient, account_refused }
}

/// The state of one connection, which client and server share.
pub struct ServerConnection {
    pub server: Arc<Server>,
    /// A number that no other connection or open has.
    pub number: u64,
    pub client_idx: u32,
    connect: u32,
    /// Time at which the next outage begins, on the server's clock; `u64::MAX` for never.
    pub breaks_ns: u64,
    operations: AtomicU64,
    acknowledgements: AtomicU64,
    /// The reason for the end of the connection, once it has ended.
    lost: watch::Sender<Option<&'static str>>,
    /// Whether the operation in flight was cancelled.
    cancelled: watch::Sender<bool>,
    opens: Mutex<BTreeMap<u64, Arc<ServerOpen>>>,
    /// None when the connection has ended.
    breaks: Mutex<Option<BreakSender>>,
}

/// The reason for the end of a connection that was there when an outage began.
pub const OUTAGE: &str = "the server went away";

impl ServerConnection {
    pub fn new(
        server: Arc<Server>,
        client_idx: u32,
        connect: u32,
        breaks_ns: u64,
    ) -> ServerConnection {
        ServerConnection {
            number: server.next_number(),
            server,
            client_idx,
            connect,
            breaks_ns,
            operations: AtomicU64::new(0),
            acknowledgements: AtomicU64::new(0),
            lost: watch::Sender::new(None),
            cancelled: watch::Sender::new(false),
            opens: Mutex::default(),
            breaks: Mutex::default(),
        }
    }

    /// Completes when the next request has reached the server, where it takes effect at once.
    ///
    /// # Errors
    /// A lost connection, or the fault planned for this request.
    pub async fn request(&self) -> Result<(), OpError> {
        let operation = self.operations.fetch_add(1, Ordering::Relaxed);
        self.cancelled.send_replace(false);
        self.reach(Some(operation)).await
    }

    /// Does what [`ServerConnection::request`] does, for the connect itself.
    pub async fn login(&self) -> Result<(), OpError> {
        self.reach(None).await
    }

    async fn reach(&self, operation: Option<u64>) -> Result<(), OpError> {
        let server = &self.server;
        let request = RequestId { client_idx: self.client_idx, connect: self.connect, operation };
        let fault = (server.settings.faults)(request);
        let ready_ns = server.now_ns().saturating_add(server.latency_ns(request, Purpose::Latency));
        match fault {
            Some(Fault::Delay(delay)) => self.pending(ready_ns, delay).await?,
            _ => self.wait_until(server.answers_from_ns(ready_ns)).await?,
        }
        match fault {
            None | Some(Fault::Delay(_)) => Ok(()),
            Some(Fault::Status(status)) => Err(OpError::Status(status)),
            Some(Fault::NoReply) => Err(self.lost().await),
            Some(Fault::ConnectionLost) => {
                self.lose("connection reset by the server");
                Err(self.lost().await)
            }
        }
    }

    async fn pending(&self, ready_ns: u64, delay: Duration) -> Result<(), OpError> {
        self.wait_until(ready_ns).await?;
        let delay_ns = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let reply_ns = self.server.answers_from_ns(ready_ns.saturating_add(delay_ns));
        let mut cancelled = self.cancelled.subscribe();
        tokio::select! {
            biased;
            ended = self.wait_until(reply_ns) => return ended,
            _ = cancelled.wait_for(|cancelled| *cancelled) => {}
        }
        self.wait_out_stall().await?;
        Err(OpError::Status(NtStatus::CANCELLED))
    }

    /// Waits for a lock to be granted, the operation to be cancelled or the
    /// connection to be lost.
    pub async fn granted(&self, mut granted: oneshot::Receiver<()>) -> Result<(), OpError> {
        let mut cancelled = self.cancelled.subscribe();
        let ended = tokio::select! {
            biased;
            error = self.lost() => Err(error),
            Ok(()) = &mut granted => Ok(()),
            _ = cancelled.wait_for(|cancelled| *cancelled) => {
                Err(OpError::Status(NtStatus::CANCELLED))
            }
        };
        // A grant that crossed the cancel counts, as it does on the wire.
        granted.close();
        let ended = match (granted.try_recv(), ended) {
            (Ok(()), Err(OpError::Status(_))) => Ok(()),
            (_, ended) => ended,
        };
        self.wait_out_stall().await?;
        ended
    }

    /// Returns whether the connection is lost or an outage has begun since.
    pub fn has_ended(&self) -> bool {
        self.lost.borrow().is_some() || self.server.now_ns() >= self.breaks_ns
    }

    pub fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    /// Waits for the end of a stall, which holds back every answer.
    async fn wait_out_stall(&self) -> Result<(), OpError> {
        self.wait_until(self.server.answers_from_ns(self.server.now_ns())).await
    }

    /// Completes at `at_ns`, or with an error as soon as the connection is lost.
    async fn wait_until(&self, at_ns: u64) -> Result<(), OpError> {
        tokio::select! {
            biased;
            error = self.end_reason() => return Err(error),
            () = self.server.sleep_until(at_ns.min(self.breaks_ns)) => {}
        }
        if self.server.now_ns() < self.breaks_ns { Ok(()) } else { Err(self.lost().await) }
    }

    /// Completes when the connection ends, at the latest with the next outage.
    async fn lost(&self) -> OpError {
        tokio::select! {
            biased;
            error = self.end_reason() => error,
            () = self.server.sleep_until(self.breaks_ns) => {
                self.lose(OUTAGE);
                self.end_reason().await
            }
        }
    }

    /// Completes when [`ServerConnection::lose`] has given the reason.
    async fn end_reason(&self) -> OpError {
        let mut lost = self.lost.subscribe();
        let reason = match lost.wait_for(Option::is_some).await {
            Ok(reason) => *reason,
            // The sender is a field of `self`.
            Err(_) => None,
        };
        OpError::ConnectionLost(reason.unwrap_or("closed").into())
    }

    /// Ends the connection: every open is closed, every operation in flight fails.
    pub fn lose(&self, reason: &'static str) {
        // Set before the opens are dropped: from here on `open` refuses new ones.
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            lost.get_or_insert(reason);
            first
        });
        let opens = std::mem::take(&mut *self.opens());
        drop(opens);
        self.send_breaks_to(None);
        self.server.forget(self.number);
    }

    /// Opens a file for the client, which knows the open by its number.
    pub async fn open(&self, request: &CreateRequest<'_>) -> Result<Arc<ServerOpen>, OpError> {
        let opened = Arc::new(self.open_briefly(request).await?);
        let mut opens = self.opens();
        if let Some(reason) = *self.lost.borrow() {
            return Err(OpError::ConnectionLost(reason.into()));
        }
        opens.insert(opened.number(), opened.clone());
        Ok(opened)
    }

    /// Opens a file for an operation by path. Dropping it closes it.
    pub async fn open_briefly(&self, request: &CreateRequest<'_>) -> Result<ServerOpen, OpError> {
        self.until_done(|| self.server.create(self, request)).await
    }

    /// Repeats the attempt until it has nothing to wait for. Meanwhile the request is pending, and
    /// a cancel ends it without carrying it out.
    pub async fn until_done<T>(
        &self,
        mut attempt: impl FnMut() -> Result<AttemptResult<T>, NtStatus>,
    ) -> Result<T, OpError> {
        let mut waited = false;
        let ended = loop {
            let mut wait = match attempt() {
                Ok(AttemptResult::Wait(wait)) => wait,
                Ok(AttemptResult::Done(done)) => break Ok(done),
                Err(status) => break Err(OpError::Status(status)),
            };
            waited = true;
            let until_ns = wait.until_ns;
            let mut cancelled = self.cancelled.subscribe();
            tokio::select! {
                biased;
                error = self.lost() => return Err(error),
                _ = cancelled.wait_for(|cancelled| *cancelled) => {
                    break Err(OpError::Status(NtStatus::CANCELLED));
                }
                () = wait.changed() => {}
                () = self.server.sleep_until(until_ns) => {}
            }
        };
        if waited {
            self.wait_out_stall().await?;
        }
        ended
    }

    /// Sends breaks to `breaks` from here on, or to nobody if it is None.
    pub fn send_breaks_to(&self, breaks: Option<BreakSender>) {
        *self.breaks.lock().unwrap_or_else(PoisonError::into_inner) = breaks;
    }

    pub fn send_break(&self, what: Break) {
        if let Some(breaks) = &*self.breaks.lock().unwrap_or_else(PoisonError::into_inner) {
            breaks.send(what);
        }
    }

    pub fn opened(&self, number: u64) -> Result<Arc<ServerOpen>, OpError> {
        self.opens().get(&number).cloned().ok_or_else(|| self.no_such_open())
    }

    pub fn close(&self, number: u64) -> Result<(), OpError> {
        let opened = self.opens().remove(&number);
        opened.map(drop).ok_or_else(|| self.no_such_open())
    }

    fn no_such_open(&self) -> OpError {
        match *self.lost.borrow() {
            Some(reason) => OpError::ConnectionLost(reason.into()),
            None => OpError::Status(NtStatus::FILE_CLOSED),
        }
    }

    fn file_of(&self, answer: Acknowledgement) -> Option<u64> {
        match answer {
            Acknowledgement::Oplock { file_id, .. } => {
                self.opens().get(&file_id.volatile).map(|opened| opened.file())
            }
            Acknowledgement::Lease { .. } => None,
        }
    }

    fn opens(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<ServerOpen>>> {
        self.opens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The acknowledgement of breaks. It takes as long as a request, but draws its latency from random
/// numbers of its own, so that the requests' faults and latencies do not depend on when a break
/// came.
#[async_trait]
impl BreakAcknowledger for ServerConnection {
    async fn acknowledge(&self, answer: Acknowledgement) -> Result<(), OpError> {
        let number = self.acknowledgements.fetch_add(1, Ordering::Relaxed);
        let (client_idx, connect) = (self.client_idx, self.connect);
        let request = RequestId { client_idx, connect, operation: Some(number) };
        let server = &self.server;
        let latency_ns = server.latency_ns(request, Purpose::Acknowledgement);
        let ready_ns = server.now_ns().saturating_add(latency_ns);
        self.wait_until(server.answers_from_ns(ready_ns)).await?;
        let file = self.file_of(answer);
        let mut opens = server.opens.lock();
        let mut notices = Vec::new();
        let now_ns = server.now_ns();
        let answered = opens.acknowledge(client_idx, answer, file, now_ns, &mut notices);
        server.send_breaks(notices);
        answered.map_err(OpError::Status)
    }
}

/// A file a client has open. Dropping it releases its locks and closes it, so
/// an operation that still holds it leaves none behind.
pub struct ServerOpen {
    pub node: OpenNode,
    pub access: u32,
    pub granted: Granted,
    who: Initiator,
    parent_key: Option<LeaseKey>,
    delete_on_close: bool,
    /// Whether anything was written.
    written: AtomicBool,
    /// Dropped after the node, so that an open that waits for it finds the node closed.
    entry: TableEntry,
}

/// An open's place in the table of opens.
struct TableEntry {
    server: Arc<Server>,
    file: u64,
    number: u64,
    /// The directory of the file, and the client that changes it. Set when the open is being
    /// closed.
    directory: Option<(u64, Initiator)>,
}

/// The effect of an operation on the content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentChange {
    Write,
    Size,
    /// A lock from this offset on.
    Lock(u64),
}

impl ServerOpen {
    pub fn number(&self) -> u64 {
        self.entry.number
    }

    pub fn file(&self) -> u64 {
        self.entry.file
    }

    pub fn note_written(&self) {
        self.written.store(true, Ordering::Relaxed);
    }

    /// Returns the source of a change that this open makes to an entry of its directory. The change
    /// does not break the lease with the open's parent key (MS-FSA 2.1.4.12, PARENT_OBJECT).
    fn as_entry(&self) -> Initiator {
        Initiator { key: self.parent_key, ..self.who }
    }
}

impl Drop for ServerOpen {
    fn drop(&mut self) {
        let server = &self.entry.server;
        if self.delete_on_close {
            // A close reports no error for a directory that is not empty, and waits for no break.
            let _ = server.delete(self, false);
        }
        let directory = self.node.parent();
        if self.written.load(Ordering::Relaxed) {
            // The directory shows the new size and times from now on (MS-FSA 2.1.5.5).
            server.change_entry(&mut server.opens.lock(), directory, self.as_entry());
        }
        server.locks.release(self.file(), self.number());
        self.entry.directory = directory.map(|directory| (directory, self.as_entry()));
    }
}

impl Drop for TableEntry {
    fn drop(&mut self) {
        let mut opens = self.server.opens.lock();
        let deleted = opens.close(self.file, self.number);
        if let (Some(deleter), Some((directory, who))) = (deleted, self.directory) {
            // The directory's lease is not broken only if the open that deleted the file and the
            // open that was closed last have the same parent key (smbtorture smb2.dirlease.unlink).
            let key = who.key.filter(|key| Some(*key) == deleter);
            self.server.change_entry(&mut opens, Some(directory), Initiator { key, ..who });
        }
    }
}

impl Server {
    /// Opens a file in the order of MS-FSA 2.1.5.1: the name, the rights, the share modes, the
    /// breaks. Then the file is made or overwritten, and the oplock is granted.
    ///
    /// # Errors
    /// The errors of the tree, the rights and the share modes.
    pub fn create(
        self: &Arc<Self>,
        link: &ServerConnection,
        request: &CreateRequest<'_>,
    ) -> Result<AttemptResult<ServerOpen>, NtStatus> {
        let CreateRequest { path, target, disposition, .. } = *request;
        let mut opens = self.opens.lock();
        let found = self.tree.find(path, target, disposition)?;
        let access = request.granted_access(found)?;
        let overwrites = found.is_some() && request.overwrites();
        let implied = if overwrites { request.implied_access() } else { 0 };
        let mut wanted = OpenRequest {
            number: self.next_number(),
            connection: link.number,
            client: link.client_idx,
            sharing: Sharing { access: access | implied, share: request.share },
            overwrites,
            directory: found.map_or(target == RequestedKind::Directory, |node| node.is_directory),
            caching: request.caching,
        };
        let mut notices = Vec::new();
        let file = found.map(|node| node.id);
        let admitted = opens.admit(file, &wanted, self.now_ns(), &mut notices);
        self.send_breaks(notices);
        if let AttemptResult::Wait(wait) = admitted? {
            return Ok(AttemptResult::Wait(wait));
        }
        let (node, action) = self.tree.open(path, target, disposition)?;
        if action != CreateAction::Opened && !wanted.directory {
            node.update_basic(|basic| basic.attributes = request.stored_attributes());
        }
        wanted.sharing.access = access;
        let file = node.id();
        // A lock beyond the allocated bytes covers no bytes that a client could cache (MS-FSA
        // 2.1.5.18).
        let first = self.locks.first_offset(file);
        let locked = first.is_some_and(|offset| offset < Server::allocated(&node));
        let (oplock, lease) = opens.add(file, &wanted, locked);
        let number = wanted.number;
        let file_id = FileId { persistent: number, volatile: number };
        let disk_file_id = Some(file);
        let granted = Granted { file_id, disk_file_id, action, oplock, lease, durable: None };
        let opened = ServerOpen {
            node,
            access,
            granted,
            who: wanted.who(),
            parent_key: request.parent_key,
            delete_on_close: request.delete_on_close,
            written: AtomicBool::new(false),
            entry: TableEntry { server: self.clone(), file, number, directory: None },
        };
        if action != CreateAction::Opened {
            self.change_entry(&mut opens, opened.node.parent(), opened.as_entry());
        }
        Ok(AttemptResult::Done(opened))
    }

    /// Breaks the rights of other clients to cache the content.
    pub fn change(&self, opened: &ServerOpen, change: ContentChange) -> AttemptResult<()> {
        let mut opens = self.opens.lock();
        match change {
            ContentChange::Size => {
                self.change_entry(&mut opens, opened.node.parent(), opened.as_entry());
            }
            // MS-FSA 2.1.5.8: no client caches bytes beyond the end of the file.
            ContentChange::Lock(offset) if offset >= Server::allocated(&opened.node) => {
                return AttemptResult::Done(());
            }
            ContentChange::Write | ContentChange::Lock(_) => {}
        }
        let mut notices = Vec::new();
        let (now_ns, content) = (self.now_ns(), BreakCause::Content);
        let step = opens.break_for(opened.file(), opened.who, content, now_ns, &mut notices);
        self.send_breaks(notices);
        step
    }

    /// Returns the allocated size. The tree allocates nothing for a hole, but a file system of
    /// MS-FSA does.
    fn allocated(node: &OpenNode) -> u64 {
        let info = node.info();
        info.allocated.max(info.size)
    }

    /// Marks the file for deletion (MS-FSA 2.1.5.15.3). If `patient`, waits until no other client
    /// caches a handle to it.
    ///
    /// # Errors
    /// STATUS_CANNOT_DELETE for a read-only file, and those of [`OpenNode::delete`].
    pub fn delete(
        &self,
        opened: &ServerOpen,
        patient: bool,
    ) -> Result<AttemptResult<()>, NtStatus> {
        if opened.node.info().basic.attributes & ATTRIBUTE_READONLY != 0 {
            return Err(NtStatus::CANNOT_DELETE);
        }
        let mut opens = self.opens.lock();
        if let wait @ AttemptResult::Wait(_) = self.take_handles(&mut opens, opened, opened.file())
            && patient
        {
            return Ok(wait);
        }
        opened.node.delete()?;
        opens.mark_deleted(opened.file(), opened.parent_key);
        Ok(AttemptResult::Done(()))
    }

    /// Renames the file (MS-FSA 2.1.5.15.12) when no other client caches a handle to it, to the
    /// file that it replaces, or to a file below it.
    ///
    /// # Errors
    /// The errors of [`OpenNode::rename`]. STATUS_SHARING_VIOLATION if the target directory is open
    /// with DELETE access, or open and not shared for writing. STATUS_DELETE_PENDING if the file to
    /// be replaced is marked for deletion, or STATUS_ACCESS_DENIED if it is read-only.
    pub fn rename(
        &self,
        opened: &ServerOpen,
        to: &SharePath,
        replace: bool,
    ) -> Result<AttemptResult<()>, NtStatus> {
        let mut opens = self.opens.lock();
        if let wait @ AttemptResult::Wait(_) = self.enter_directory_of(to, &mut opens, opened)? {
            return Ok(wait);
        }
        if let wait @ AttemptResult::Wait(_) = self.take_handles(&mut opens, opened, opened.file())
        {
            return Ok(wait);
        }
        // The holders are broken one after the other, and each only once (MS-FSA 2.1.4.2).
        if let Some(below) = opened.node.open_below().first() {
            return match self.take_handles(&mut opens, opened, *below) {
                AttemptResult::Done(()) => Err(NtStatus::ACCESS_DENIED),
                wait => Ok(wait),
            };
        }
        match self.tree.find(to, RequestedKind::Any, CreateDisposition::Open) {
            Ok(Some(target)) if replace && target.id != opened.file() => {
                if target.is_directory || target.attributes & ATTRIBUTE_READONLY != 0 {
                    return Err(NtStatus::ACCESS_DENIED);
                }
                if let wait @ AttemptResult::Wait(_) =
                    self.take_handles(&mut opens, opened, target.id)
                {
                    return Ok(wait);
                }
            }
            Err(NtStatus::DELETE_PENDING) if replace => return Err(NtStatus::DELETE_PENDING),
            _ => {}
        }
        let before = opened.node.parent();
        opened.node.rename(to, replace)?;
        let after = opened.node.parent();
        self.change_entry(&mut opens, before, opened.as_entry());
        if after != before {
            self.change_entry(&mut opens, after, opened.as_entry());
        }
        Ok(AttemptResult::Done(()))
    }

    /// Opens the target directory of a rename to add an entry. The open conflicts with every open
    /// that has DELETE access (MS-FSA 2.1.5.15.12; smbtorture
    /// smb2.rename.share_delete_and_delete_access).
    fn enter_directory_of(
        &self,
        path: &SharePath,
        opens: &mut OpenTable,
        opened: &ServerOpen,
    ) -> Result<AttemptResult<()>, NtStatus> {
        let directory = path.as_str().rsplit_once('/').map_or("", |(directory, _)| directory);
        let directory = SharePath::new(directory).unwrap_or_default();
        let found = self.tree.find(&directory, RequestedKind::Directory, CreateDisposition::Open);
        let Ok(Some(directory)) = found else {
            // The rename itself reports any other error of the directory.
            return Ok(AttemptResult::Done(()));
        };
        let entering = OpenRequest {
            number: opened.number(),
            connection: 0,
            client: opened.who.client,
            sharing: Sharing { access: WRITE_DATA | SYNCHRONIZE, share: SHARE_READ | SHARE_WRITE },
            overwrites: false,
            directory: true,
            caching: RequestedCaching::Nothing,
        };
        let mut notices = Vec::new();
        let step = opens.admit(Some(directory.id), &entering, self.now_ns(), &mut notices);
        self.send_breaks(notices);
        step
    }

    fn take_handles(
        &self,
        opens: &mut OpenTable,
        opened: &ServerOpen,
        file: u64,
    ) -> AttemptResult<()> {
        let mut notices = Vec::new();
        let (now_ns, handles) = (self.now_ns(), BreakCause::Handles);
        let step = opens.break_for(file, opened.who, handles, now_ns, &mut notices);
        self.send_breaks(notices);
        step
    }

    /// Breaks the leases of those who cache the directory's listing, and does not wait for that.
    fn change_entry(&self, opens: &mut OpenTable, directory: Option<u64>, by: Initiator) {
        let Some(directory) = directory else { return };
        let mut notices = Vec::new();
        let now_ns = self.now_ns();
        let _ = opens.break_for(directory, by, BreakCause::Entries, now_ns, &mut notices);
        self.send_breaks(notices);
    }

    /// Sends breaks, still under the lock of the table, so that they leave in
    /// the order they happened.
    pub fn send_breaks(&self, notices: Vec<BreakNotice>) {
        for BreakNotice { connection, what } in notices {
            self.send_break(connection, what);
        }
    }
}
