//! What client and server share of one connection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

use super::faults::{Fault, Request};
use super::server::Server;
use crate::backend::OpError;
use crate::backend::memory::OpenNode;
use crate::ir::OpenMode;
use crate::protocol::NtStatus;

pub struct Link {
    pub server: Arc<Server>,
    number: u64,
    client_idx: u32,
    connect: u32,
    operations: AtomicU64,
    /// Why the connection is over, once it is.
    lost: watch::Sender<Option<&'static str>>,
    /// Whether the operation in flight was cancelled.
    cancelled: watch::Sender<bool>,
    opens: Mutex<BTreeMap<u64, Arc<Opened>>>,
}

/// A file a client has open. Dropping it releases its locks and closes it, so
/// an operation that still holds it leaves none behind.
pub struct Opened {
    pub node: OpenNode,
    pub mode: OpenMode,
    number: u64,
    server: Arc<Server>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.server.locks.release(self.node.id(), self.number);
    }
}

impl Link {
    pub fn new(server: Arc<Server>, number: u64, client_idx: u32, connect: u32) -> Link {
        Link {
            server,
            number,
            client_idx,
            connect,
            operations: AtomicU64::new(0),
            lost: watch::Sender::new(None),
            cancelled: watch::Sender::new(false),
            opens: Mutex::default(),
        }
    }

    /// Ends when the next request has reached the server, to take effect at once.
    ///
    /// # Errors
    /// A lost connection, or the fault planned for this request.
    pub async fn request(&self) -> Result<(), OpError> {
        let operation = Some(self.operations.fetch_add(1, Ordering::Relaxed));
        self.cancelled.send_replace(false);
        tokio::select! {
            biased;
            error = self.lost() => return Err(error),
            () = self.server.latency() => {}
        }
        let request = Request { client_idx: self.client_idx, connect: self.connect, operation };
        match (self.server.settings.faults)(request) {
            None => Ok(()),
            Some(Fault::Status(status)) => Err(OpError::Status(status)),
            Some(Fault::NoReply) => Err(self.lost().await),
            Some(Fault::ConnectionLost) => {
                self.lose("connection reset by the server");
                Err(self.lost().await)
            }
        }
    }

    /// Waits for a lock to be granted, the operation to be cancelled or the
    /// connection to be lost.
    pub async fn granted(&self, mut granted: oneshot::Receiver<()>) -> Result<(), OpError> {
        let mut cancelled = self.cancelled.subscribe();
        let ended = tokio::select! {
            biased;
            error = self.lost() => error,
            Ok(()) = &mut granted => return Ok(()),
            _ = cancelled.wait_for(|cancelled| *cancelled) => OpError::Status(NtStatus::CANCELLED),
        };
        // A grant that crossed the cancel counts, as it does on the wire.
        granted.close();
        match (granted.try_recv(), &ended) {
            (Ok(()), OpError::Status(_)) => Ok(()),
            _ => Err(ended),
        }
    }

    pub fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    async fn lost(&self) -> OpError {
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
        // Before the opens go: from here on `add` refuses new ones.
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            lost.get_or_insert(reason);
            first
        });
        let opens = std::mem::take(&mut *self.opens());
        drop(opens);
        self.server.forget(self.number);
    }

    /// Keeps an open for the client, which knows it by the number returned.
    pub fn add(&self, node: OpenNode, mode: OpenMode) -> Result<u64, OpError> {
        let number = self.server.next_number();
        let mut opens = self.opens();
        if let Some(reason) = *self.lost.borrow() {
            return Err(OpError::ConnectionLost(reason.into()));
        }
        let server = self.server.clone();
        opens.insert(number, Arc::new(Opened { node, mode, number, server }));
        Ok(number)
    }

    pub fn opened(&self, number: u64) -> Result<Arc<Opened>, OpError> {
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

    pub fn open_handles(&self) -> usize {
        self.opens().len()
    }

    fn opens(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Opened>>> {
        self.opens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
