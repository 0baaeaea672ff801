//! Clients that make and remove files outside of the stream, before and after it. Their operations
//! are in no total, no log and no hook.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::{Either, join_all, select};

use crate::backend::{
    BackendCapabilities, Breaks, Clock, ConnectError, ConnectionState, SMBBackend,
};
use crate::ir::{
    CompletionStatus, Execution, Expect, Failure, Operation, OperationKind, StreamHeader,
};
use crate::observability::text::printable;
use crate::protocol::{BreakPolicy, NtStatus, SharePath};
use crate::scheduler::client::connect_in_time;

/// Maximum number of these clients at a time.
const MAX_CLIENTS: usize = 8;
/// The time that operations in flight have after a signal, in nanoseconds.
const GRACE_NS: u64 = 2_000_000_000;
/// Longest part of a path in a message, in characters.
const MAX_PATH_CHARS: usize = 200;

/// The way to the server for clients outside of the stream.
#[derive(Clone)]
pub struct NamespaceAccess {
    pub backend: Arc<dyn SMBBackend>,
    pub clock: Arc<dyn Clock>,
    pub header: Arc<StreamHeader>,
    pub connect_timeout_ns: u64,
    pub op_timeout_ns: u64,
}

impl NamespaceAccess {
    /// Connects as many clients as the work needs: at least one, and no more than the run has.
    ///
    /// # Errors
    /// The error of the first client. If a later one cannot connect, there are fewer.
    pub async fn clients(&self, items: usize) -> Result<Vec<NamespaceClient>, ConnectError> {
        let most = items.clamp(1, MAX_CLIENTS);
        let mut clients: Vec<NamespaceClient> = Vec::new();
        for client_idx in self.header.active_clients().take(most) {
            match self.connect(client_idx).await {
                Ok(client) => clients.push(client),
                Err(error) if clients.is_empty() => return Err(error),
                Err(error) => {
                    tracing::debug!("only {} clients prepare or clean: {error}", clients.len());
                    break;
                }
            }
        }
        Ok(clients)
    }

    async fn connect(&self, client_idx: u32) -> Result<NamespaceClient, ConnectError> {
        let (backend, clock) = (&*self.backend, &*self.clock);
        let connected =
            connect_in_time(backend, clock, client_idx, self.connect_timeout_ns).await?;
        let capabilities: Arc<BackendCapabilities> = Arc::new(backend.capabilities());
        let policy = BreakPolicy::default();
        let breaks = Rc::new(Breaks::new(client_idx, policy, None, self.clock.clone()));
        let connection = ConnectionState::new(connected, capabilities, breaks, self.header.seed);
        Ok(NamespaceClient { access: self.clone(), client_idx, connection, seq: 0 })
    }
}

/// A client with a connection of its own, which does one operation after the other.
pub struct NamespaceClient {
    access: NamespaceAccess,
    client_idx: u32,
    connection: ConnectionState,
    seq: u32,
}

impl NamespaceClient {
    /// Executes an operation. It ends within the operation timeout and a second.
    ///
    /// # Errors
    /// The way in which it failed without an answer of the server.
    pub async fn execute(&mut self, kind: impl Into<OperationKind>) -> Result<NtStatus, Failure> {
        self.execution(kind).await.1
    }

    /// Executes an operation, and returns its result with the status or the failure.
    pub async fn execution(
        &mut self,
        kind: impl Into<OperationKind>,
    ) -> (Execution, Result<NtStatus, Failure>) {
        let operation = Operation::new(self.client_idx, self.seq, kind);
        let operation = Operation { expect: Expect::Any, ..operation };
        self.seq = self.seq.wrapping_add(1);
        let payload = match self.connection.payload(&operation).await {
            Ok(payload) => payload,
            Err(failure) => return (Execution::failed(failure.clone()), Err(failure)),
        };
        let clock = &self.access.clock;
        let expired = clock.sleep_until(clock.now_ns().saturating_add(self.access.op_timeout_ns));
        let execution = self.connection.execute(&operation, payload, expired).await;
        let answer = match &execution.status {
            CompletionStatus::Succeeded(status)
            | CompletionStatus::Failed(Failure::Status(status)) => Ok(*status),
            CompletionStatus::Failed(failure) => Err(failure.clone()),
            CompletionStatus::Skipped { .. } | CompletionStatus::Cut => {
                Err(Failure::Client("its file is not open".into()))
            }
        };
        (execution, answer)
    }

    /// Returns whether the connection still stands.
    pub fn is_connected(&self) -> bool {
        self.connection.is_connected()
    }

    /// Replaces a lost connection.
    ///
    /// # Errors
    /// The reason why no connection can be made.
    pub async fn reconnect(&mut self) -> Result<(), ConnectError> {
        *self = self.access.connect(self.client_idx).await?;
        Ok(())
    }

    pub async fn disconnect(self) {
        let clock = self.access.clock.clone();
        let bound = clock.sleep_until(clock.now_ns().saturating_add(GRACE_NS / 2));
        select(Box::pin(self.connection.disconnect()), bound).await;
    }
}

/// Returns a path as messages name it.
pub fn printable_path(path: &SharePath) -> String {
    printable(path.as_str(), MAX_PATH_CHARS)
}

/// Whether the clients should come to an end.
#[derive(Debug, Default)]
pub struct StopFlag(Cell<bool>);

impl StopFlag {
    pub fn set(&self) {
        self.0.set(true);
    }

    pub fn is_set(&self) -> bool {
        self.0.get()
    }
}

/// Shares items out to the clients, each of which does one after the other. After an error or a
/// stop, a client finishes what it is doing and begins nothing more.
///
/// # Errors
/// The first error of `work`.
pub async fn share_out<T, E>(
    clients: &mut [NamespaceClient],
    stop: &StopFlag,
    items: impl IntoIterator<Item = T>,
    work: impl AsyncFn(&mut NamespaceClient, T) -> Result<(), E>,
) -> Result<(), E> {
    let items = RefCell::new(items.into_iter());
    let failed = Cell::new(false);
    let (items, failed, work) = (&items, &failed, &work);
    let workers = clients.iter_mut().map(|client| async move {
        while !stop.is_set() && !failed.get() {
            let Some(item) = items.borrow_mut().next() else { break };
            if let Err(error) = work(client, item).await {
                failed.set(true);
                return Err(error);
            }
        }
        Ok(())
    });
    join_all(workers).await.into_iter().collect()
}

/// Runs `work`, and sets `stop` when `signal` completes. Work that does not end soon after that is
/// dropped. Returns None if it was dropped.
pub async fn until_stopped<T>(
    clock: &dyn Clock,
    stop: &StopFlag,
    signal: impl Future<Output = ()>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let stopped = Box::pin(async {
        signal.await;
        stop.set();
        clock.sleep_until(clock.now_ns().saturating_add(GRACE_NS)).await;
    });
    match select(Box::pin(work), stopped).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
