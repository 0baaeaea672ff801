//! What client and server share of one connection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::faults::{Fault, Request};
use super::server::Server;
use crate::backend::OpError;
use crate::backend::memory::OpenNode;
use crate::ir::OpenMode;
use crate::protocol::NtStatus;

pub struct Link {
    pub server: Arc<Server>,
    /// No other connection or open has it.
    pub number: u64,
    client_idx: u32,
    connect: u32,
    /// When the next outage begins, on the server's clock; `u64::MAX` for never.
    pub breaks_ns: u64,
    operations: AtomicU64,
    /// Why the connection is over, once it is.
    lost: watch::Sender<Option<&'static str>>,
    /// Whether the operation in flight was cancelled.
    cancelled: watch::Sender<bool>,
    opens: Mutex<BTreeMap<u64, Arc<Opened>>>,
}

/// Why a connection is over that was there when an outage began.
pub const OUTAGE: &str = "the server went away";

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
    pub fn new(server: Arc<Server>, client_idx: u32, connect: u32, breaks_ns: u64) -> Link {
        Link {
            number: server.next_number(),
            server,
            client_idx,
            connect,
            breaks_ns,
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
        let operation = self.operations.fetch_add(1, Ordering::Relaxed);
        self.cancelled.send_replace(false);
        self.reach(Some(operation)).await
    }

    /// As [`Link::request`], for the connect itself.
    pub async fn login(&self) -> Result<(), OpError> {
        self.reach(None).await
    }

    async fn reach(&self, operation: Option<u64>) -> Result<(), OpError> {
        let server = &self.server;
        let request = Request { client_idx: self.client_idx, connect: self.connect, operation };
        let fault = (server.settings.faults)(request);
        let ready_ns = server.now_ns().saturating_add(server.latency_ns(request));
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

    pub fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    /// A stall holds an answer back, whatever it is to.
    async fn wait_out_stall(&self) -> Result<(), OpError> {
        self.wait_until(self.server.answers_from_ns(self.server.now_ns())).await
    }

    /// Ends at `at_ns`, with an error as soon as the connection is lost.
    async fn wait_until(&self, at_ns: u64) -> Result<(), OpError> {
        tokio::select! {
            biased;
            error = self.told() => return Err(error),
            () = self.server.sleep_until(at_ns.min(self.breaks_ns)) => {}
        }
        if self.server.now_ns() < self.breaks_ns { Ok(()) } else { Err(self.lost().await) }
    }

    /// Ends when the connection does, at the latest with the next outage.
    async fn lost(&self) -> OpError {
        tokio::select! {
            biased;
            error = self.told() => error,
            () = self.server.sleep_until(self.breaks_ns) => {
                self.lose(OUTAGE);
                self.told().await
            }
        }
    }

    /// Ends when [`Link::lose`] has said why.
    async fn told(&self) -> OpError {
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
