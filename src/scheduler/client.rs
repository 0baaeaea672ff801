//! The task that owns one client's connection: it connects, executes the operations it is
//! handed, and reconnects when the connection is lost.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::sync::Semaphore;

use super::engine::Attempt;
use crate::backend::breaks::Waiting;
use crate::backend::reopening::KeptPaths;
use crate::backend::{
    BackendCapabilities, Breaks, CachedFiles, Clock, ConnectError, ConnectStage, ConnectionState,
    Endpoint, SMBBackend, SMBConnectionInner,
};
use crate::ir::event::BreakEvent;
use crate::ir::panic_message::panic_message;
use crate::ir::{CompletionStatus, Execution, Failure, Operation, StreamHeader};

const FIRST_BACKOFF_NS: u64 = 100_000_000;
const LONGEST_BACKOFF_NS: u64 = 5_000_000_000;

/// The settings that all client tasks of a run share.
#[derive(Clone)]
pub struct ClientSettings {
    pub backend: Arc<dyn SMBBackend>,
    pub capabilities: Arc<BackendCapabilities>,
    pub clock: Arc<dyn Clock>,
    /// The bound on the connections being made at a time, over all shards.
    pub connecting: Arc<Semaphore>,
    pub seed: u64,
    /// The stream's header, which states how the clients of each workload answer breaks.
    pub header: Arc<StreamHeader>,
    /// The files that breaks block, over all clients (fidelity mode 2). Without it, a break
    /// blocks only the operations on its handles.
    pub files: Option<Arc<CachedFiles>>,
    /// The paths of handles that are opened again after a lost connection.
    pub kept_paths: Arc<KeptPaths>,
    pub connect_timeout_ns: u64,
    pub reconnect_timeout_ns: u64,
    pub op_timeout_ns: u64,
}

/// An order from the driver to a client task.
#[derive(Debug)]
pub enum Order {
    Execute(Rc<Operation>),
    CloseAll,
    Disconnect,
}

/// A report from a client task to the driver.
#[derive(Debug)]
pub enum Report {
    Connected,
    ConnectFailed(ConnectError),
    Executed {
        seq: u32,
        attempt: Attempt,
        connection_lost: bool,
    },
    /// An operation that was not sent, because the connection had ended while the client was idle.
    Withheld {
        seq: u32,
    },
    /// An operation that was not sent, because it has to wait for the end of a break.
    Blocked {
        seq: u32,
    },
    /// The end, at `ended_ns`, of the break that the operation waited for.
    Unblocked {
        seq: u32,
        ended_ns: u64,
    },
    Break(Box<BreakEvent>),
    Resumed {
        after: Duration,
    },
    Gone {
        reason: String,
    },
    Closed {
        closed: u32,
        failed: u32,
    },
}

/// The reports of all client tasks of a shard: (slot, report).
pub type Reports = Rc<RefCell<VecDeque<(u32, Report)>>>;

/// The place where the driver leaves a client's next order.
#[derive(Default)]
pub struct Mailbox {
    order: Cell<Option<Order>>,
    expired: Cell<Option<u32>>,
    waker: Cell<Option<Waker>>,
}

impl Mailbox {
    /// Leaves an order for the task. The task must have taken the order before.
    pub fn put(&self, order: Order) {
        self.order.set(Some(order));
        self.wake();
    }

    /// Informs the task that operation `seq` has timed out.
    pub fn expire(&self, seq: u32) {
        self.expired.set(Some(seq));
        self.wake();
    }

    /// Wakes the task, even if there is nothing for it.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn next(&self) -> impl Future<Output = Order> {
        poll_fn(|cx| match self.order.take() {
            Some(order) => Poll::Ready(order),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
    }

    fn expired(&self, seq: u32) -> impl Future<Output = ()> {
        poll_fn(move |cx| {
            if self.expired.get() == Some(seq) {
                return Poll::Ready(());
            }
            self.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        })
    }
}

pub struct ClientTask {
    slot: u32,
    client_idx: u32,
    settings: Arc<ClientSettings>,
    mailbox: Rc<Mailbox>,
    reports: Reports,
    breaks: Rc<Breaks>,
}

/// The wait of an operation for the end of a break. It returns the operation's number and the
/// time at which the break ended.
type Blocked = Pin<Box<dyn Future<Output = (u32, u64)>>>;

impl ClientTask {
    pub fn new(
        slot: u32,
        client_idx: u32,
        settings: Arc<ClientSettings>,
        mailbox: Rc<Mailbox>,
        reports: Reports,
    ) -> ClientTask {
        let on_break = settings.header.on_break(client_idx);
        let (files, clock) = (settings.files.clone(), settings.clock.clone());
        let breaks = Rc::new(Breaks::new(client_idx, on_break, files, clock));
        ClientTask { slot, client_idx, settings, mailbox, reports, breaks }
    }

    /// Executes orders and answers breaks, side by side.
    pub async fn run(self) {
        let mut orders = pin!(self.follow_orders());
        poll_fn(|cx| {
            // Breaks come first, so that an order that arrived with a break finds it pending.
            self.breaks.poll(cx);
            let ended = orders.as_mut().poll(cx);
            if self.breaks.has_held() {
                // A caching right that the operation was just granted may already be broken.
                self.breaks.poll(cx);
                self.report_breaks();
            }
            ended
        })
        .await;
    }

    async fn follow_orders(&self) {
        let inner = match Box::pin(self.connect()).await {
            Ok(inner) => inner,
            Err(error) => return self.report(Report::ConnectFailed(error)),
        };
        let settings = &self.settings;
        let mut connection = ConnectionState::new(
            inner,
            settings.capabilities.clone(),
            self.breaks.clone(),
            settings.seed,
        )
        .with_kept_paths(settings.kept_paths.clone());
        self.report(Report::Connected);
        let mut blocked: Option<Blocked> = None;
        // The last operation that was handed to the connection, and the last that was
        // withheld. An operation is withheld once: if it finds the next connection ended too,
        // it is sent and fails.
        let (mut last_seq, mut withheld_seq) = (None, None);
        loop {
            // Large futures in this loop are boxed. Otherwise the task of every client would
            // reserve space for them, and most clients are idle.
            let order = match blocked.as_mut() {
                None => self.mailbox.next().await,
                Some(over) => match select(pin!(self.mailbox.next()), over).await {
                    Either::Left((order, _)) => order,
                    Either::Right(((seq, ended_ns), _)) => {
                        self.report(Report::Unblocked { seq, ended_ns });
                        blocked = None;
                        continue;
                    }
                },
            };
            // Any new order ends the wait for the break.
            blocked = None;
            match order {
                Order::Execute(operation)
                    if withheld_seq != Some(operation.seq)
                        && connection.drop_ended(last_seq.unwrap_or(operation.seq)) =>
                {
                    withheld_seq = Some(operation.seq);
                    self.mailbox.expired.set(None);
                    self.report(Report::Withheld { seq: operation.seq });
                }
                Order::Execute(operation) => {
                    last_seq = Some(operation.seq);
                    let waiting = Box::pin(self.execute(&mut connection, &operation)).await;
                    if let Some(waiting) = waiting {
                        let seq = operation.seq;
                        blocked = Some(Box::pin(async move { (seq, waiting.over().await) }));
                        self.report(Report::Blocked { seq });
                    }
                }
                Order::CloseAll => {
                    let bound_ns = settings.clock.now_ns().saturating_add(settings.op_timeout_ns);
                    let bound = settings.clock.sleep_until(bound_ns);
                    let ended = match select(Box::pin(connection.close_all()), bound).await {
                        Either::Left((ended, _)) => Some(ended),
                        Either::Right(_) => None,
                    };
                    let Some((closed, failed)) = ended else {
                        // The handles are lost with the connection, so their breaks end as well.
                        self.breaks.lost();
                        let reason = "closing its handles took longer than --op-timeout".into();
                        return self.report(Report::Gone { reason });
                    };
                    self.report(Report::Closed { closed, failed });
                }
                Order::Disconnect => return Box::pin(connection.disconnect()).await,
            }
            if !connection.is_connected() {
                match Box::pin(self.reconnect()).await {
                    Ok(inner) => connection.reconnected(inner),
                    Err(reason) => return self.report(Report::Gone { reason }),
                }
            }
        }
    }

    /// Executes the operation and reports its completion. If the operation was not sent
    /// because a break is pending, returns what it has to wait for.
    async fn execute(
        &self,
        connection: &mut ConnectionState,
        operation: &Operation,
    ) -> Option<Waiting> {
        let clock = &self.settings.clock;
        let mut reopened = None;
        if let Some(open) = connection.reopening(operation) {
            if let Some(waiting) = connection.blocked(&open) {
                self.mailbox.expired.set(None);
                return Some(waiting);
            }
            reopened = Some(connection.reopen(&open, self.mailbox.expired(open.seq)).await);
        }
        let payload = {
            let expired = pin!(self.mailbox.expired(operation.seq));
            match select(pin!(connection.payload(operation)), expired).await {
                Either::Left((payload, _)) => payload,
                // The blob was still being read when the operation timed out.
                Either::Right(_) => Err(not_read_in_time(operation)),
            }
        };
        if let Some(waiting) = connection.blocked(operation) {
            self.mailbox.expired.set(None);
            return Some(waiting);
        }
        let issued_ns = clock.now_ns();
        let mut execution = match payload {
            Ok(payload) => {
                let expired = self.mailbox.expired(operation.seq);
                connection.execute(operation, payload, expired).await
            }
            Err(failure) => Execution::failed(failure),
        };
        execution.reopened = reopened;
        let completed_ns = match execution.status {
            CompletionStatus::Skipped { .. } => issued_ns,
            _ => clock.now_ns(),
        };
        self.mailbox.expired.set(None);
        let connection_lost = !connection.is_connected();
        let seq = operation.seq;
        let attempt = Attempt { issued_ns, completed_ns, execution };
        self.report(Report::Executed { seq, attempt, connection_lost });
        None
    }

    async fn connect(&self) -> Result<Box<dyn SMBConnectionInner>, ConnectError> {
        let settings = &self.settings;
        // The semaphore is never closed, so this never fails. The permit is held during the
        // attempt.
        let _turn = settings.connecting.acquire().await;
        connect_in_time(
            &*settings.backend,
            &*settings.clock,
            self.client_idx,
            settings.connect_timeout_ns,
        )
        .await
    }

    /// Tries to reconnect, with a backoff from 100 ms to 5 s, until `--reconnect-timeout` has
    /// passed or the server refuses the account.
    async fn reconnect(&self) -> Result<Box<dyn SMBConnectionInner>, String> {
        let clock = &self.settings.clock;
        let lost_ns = clock.now_ns();
        let bound_ns = lost_ns.saturating_add(self.settings.reconnect_timeout_ns);
        let mut backoff_ns = FIRST_BACKOFF_NS;
        let mut last_error = "no answer".to_string();
        loop {
            let retry_ns = clock.now_ns() + backoff_ns;
            clock.sleep_until(retry_ns.min(bound_ns)).await;
            let attempt = pin!(self.connect());
            match select(attempt, clock.sleep_until(bound_ns)).await {
                Either::Left((Ok(inner), _)) => {
                    let after = Duration::from_nanos(clock.now_ns() - lost_ns);
                    self.report(Report::Resumed { after });
                    return Ok(inner);
                }
                Either::Left((Err(error), _)) if error.account_refused => {
                    return Err(format!("no client logs in any more: {error}"));
                }
                Either::Left((Err(error), _)) => last_error = error.to_string(),
                // This attempt had hardly begun, so the error of the one before says more.
                Either::Right(_) => {}
            }
            if clock.now_ns() >= bound_ns {
                return Err(format!(
                    "not reconnected within {} s (--reconnect-timeout): {last_error}",
                    self.settings.reconnect_timeout_ns as f64 / 1e9
                ));
            }
            backoff_ns = (backoff_ns * 2).min(LONGEST_BACKOFF_NS);
        }
    }

    fn report(&self, report: Report) {
        // Breaks that ended before this report are reported before it.
        self.report_breaks();
        self.reports.borrow_mut().push_back((self.slot, report));
    }

    fn report_breaks(&self) {
        if !self.breaks.has_held() {
            return;
        }
        for event in self.breaks.take_ended() {
            self.reports.borrow_mut().push_back((self.slot, Report::Break(Box::new(event))));
        }
    }
}

/// Connects a client, unless that takes longer than `timeout_ns`.
///
/// # Errors
/// The backend's [`ConnectError`], or one that says that the time was over or that the backend
/// panicked.
pub async fn connect_in_time(
    backend: &dyn SMBBackend,
    clock: &dyn Clock,
    client_idx: u32,
    timeout_ns: u64,
) -> Result<Box<dyn SMBConnectionInner>, ConnectError> {
    let bound_ns = clock.now_ns().saturating_add(timeout_ns);
    let attempt = AssertUnwindSafe(backend.connect(client_idx)).catch_unwind();
    let (reason, transient) = match select(attempt, clock.sleep_until(bound_ns)).await {
        Either::Left((Ok(connected), _)) => return connected,
        Either::Left((Err(panic), _)) => {
            (format!("the backend panicked: {}", panic_message(&*panic)), false)
        }
        Either::Right(_) => {
            let bound_s = timeout_ns as f64 / 1e9;
            (format!("no answer within {bound_s} s (--connect-timeout)"), true)
        }
    };
    let Endpoint { server, user } = backend.endpoint();
    let (stage, account_refused) = (ConnectStage::Connect, false);
    Err(ConnectError { server, user, stage, reason, transient, account_refused })
}

/// Returns the failure of a write whose blob was still being read when it timed out.
fn not_read_in_time(operation: &Operation) -> Failure {
    let Some((blob, _)) = operation.blob() else { return Failure::TimedOut };
    let path = blob.path.display();
    Failure::Payload(format!("blob {path} was not read within --op-timeout"))
}

/// Ends the pending breaks as cut and reports them, so that a run that is given up leaves no
/// break without an end.
impl Drop for ClientTask {
    fn drop(&mut self) {
        self.breaks.cut();
        self.report_breaks();
    }
}
