//! The state of one connection that client and server share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use super::create_request::CreateRequest;
use super::faults::{Fault, Request};
use super::opening::Opened;
use super::opens::Step;
use super::random::Drawn;
use super::server::Server;
use crate::backend::{BreakAcknowledger, BreakSender, OpError};
use crate::ir::units::nanoseconds;
use crate::protocol::{Acknowledgement, Break, NtStatus};

pub struct Link {
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
    opens: Mutex<BTreeMap<u64, Arc<Opened>>>,
    /// None when the connection has ended.
    breaks: Mutex<Option<BreakSender>>,
}

/// The reason for the end of a connection that was there when an outage began.
pub const OUTAGE: &str = "the server went away";

impl Link {
    pub fn new(server: Arc<Server>, client_idx: u32, connect: u32, breaks_ns: u64) -> Link {
        Link {
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

    /// Does what [`Link::request`] does, for the connect itself.
    pub async fn login(&self) -> Result<(), OpError> {
        self.reach(None).await
    }

    async fn reach(&self, operation: Option<u64>) -> Result<(), OpError> {
        let server = &self.server;
        let request = Request { client_idx: self.client_idx, connect: self.connect, operation };
        let fault = (server.settings.faults)(request);
        let ready_ns = server.now_ns().saturating_add(server.latency_ns(request, Drawn::Latency));
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
        let delay_ns = nanoseconds(delay);
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
            error = self.told() => return Err(error),
            () = self.server.sleep_until(at_ns.min(self.breaks_ns)) => {}
        }
        if self.server.now_ns() < self.breaks_ns { Ok(()) } else { Err(self.lost().await) }
    }

    /// Completes when the connection ends, at the latest with the next outage.
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

    /// Completes when [`Link::lose`] has given the reason.
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
    pub async fn open(&self, request: &CreateRequest<'_>) -> Result<Arc<Opened>, OpError> {
        let opened = Arc::new(self.open_briefly(request).await?);
        let mut opens = self.opens();
        if let Some(reason) = *self.lost.borrow() {
            return Err(OpError::ConnectionLost(reason.into()));
        }
        opens.insert(opened.number(), opened.clone());
        Ok(opened)
    }

    /// Opens a file for an operation by path. Dropping it closes it.
    pub async fn open_briefly(&self, request: &CreateRequest<'_>) -> Result<Opened, OpError> {
        self.until_done(|| self.server.create(self, request)).await
    }

    /// Repeats the attempt until it has nothing to wait for. Meanwhile the request is pending, and
    /// a cancel ends it without carrying it out.
    pub async fn until_done<T>(
        &self,
        mut attempt: impl FnMut() -> Result<Step<T>, NtStatus>,
    ) -> Result<T, OpError> {
        let mut waited = false;
        let ended = loop {
            let mut wait = match attempt() {
                Ok(Step::Wait(wait)) => wait,
                Ok(Step::Done(done)) => break Ok(done),
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

    fn file_of(&self, answer: Acknowledgement) -> Option<u64> {
        match answer {
            Acknowledgement::Oplock { file_id, .. } => {
                self.opens().get(&file_id.volatile).map(|opened| opened.file())
            }
            Acknowledgement::Lease { .. } => None,
        }
    }

    fn opens(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Opened>>> {
        self.opens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The acknowledgement of breaks. It takes as long as a request, but draws its latency from random
/// numbers of its own, so that the requests' faults and latencies do not depend on when a break
/// came.
#[async_trait]
impl BreakAcknowledger for Link {
    async fn acknowledge(&self, answer: Acknowledgement) -> Result<(), OpError> {
        let number = self.acknowledgements.fetch_add(1, Ordering::Relaxed);
        let (client_idx, connect) = (self.client_idx, self.connect);
        let request = Request { client_idx, connect, operation: Some(number) };
        let server = &self.server;
        let latency_ns = server.latency_ns(request, Drawn::Acknowledgement);
        let ready_ns = server.now_ns().saturating_add(latency_ns);
        self.wait_until(server.answers_from_ns(ready_ns)).await?;
        let file = self.file_of(answer);
        let mut opens = server.opens.lock();
        let mut notices = Vec::new();
        let now_ns = server.now_ns();
        let answered = opens.acknowledge(client_idx, answer, file, now_ns, &mut notices);
        server.tell(notices);
        answered.map_err(OpError::Status)
    }
}
