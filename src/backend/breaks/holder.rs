//! The holder of a caching right that a server may take back: one open with an oplock, or all opens
//! of one lease. The holder decides how and when a break is answered.

use std::cell::RefCell;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::sync::Notify;

use super::BreakAcknowledger;
use super::blocking::Block;
use super::cached_files::HolderNumber;
use crate::backend::{Clock, OpError, SMBFileHandle};
use crate::ir::event::BreakEnd;
use crate::protocol::{
    Acknowledgement, BreakAnswer, BreakPolicy, FileId, HandleState, LeaseKey, NtStatus, SharePath,
};

/// The end of a break, and the status of the server's refusal if it refused the answer.
pub(super) type Ended = (BreakEnd, Option<NtStatus>);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum HolderKey {
    Oplock(FileId),
    Lease(LeaseKey),
}

/// A holder of a caching right: one open with an oplock, or all opens of one lease.
pub struct Holder {
    pub(super) key: HolderKey,
    /// The path by which the file was first opened.
    pub(super) path: SharePath,
    /// The holder's number among the run's cached files, if breaks block by file.
    pub(in crate::backend) number: Option<HolderNumber>,
    pub(super) inner: RefCell<Inner>,
    opens_changed: Notify,
}

pub(super) struct Inner {
    pub state: HandleState,
    opens: Vec<HeldOpen>,
    /// Whether the last open is being closed. Its CLOSE answers the break.
    pub closing: bool,
    /// Present while a break is pending.
    pub block: Option<Arc<Block>>,
}

/// One of the opens of a [`Holder`].
pub(super) struct HeldOpen {
    pub handle: Rc<dyn SMBFileHandle>,
    pub to_write: bool,
    /// The open's own policy for breaks, if it has one.
    pub on_break: Option<BreakPolicy>,
}

impl Holder {
    pub(super) fn new(
        key: HolderKey,
        path: SharePath,
        number: Option<HolderNumber>,
        state: HandleState,
    ) -> Holder {
        let inner = Inner { state, opens: Vec::new(), closing: false, block: None };
        Holder { key, path, number, inner: RefCell::new(inner), opens_changed: Notify::new() }
    }

    /// Returns the pending break that operations on the holder's handles must wait for.
    pub fn block(&self) -> Option<Arc<Block>> {
        self.inner.borrow().block.clone()
    }

    pub(super) fn opened(&self, open: HeldOpen) {
        let mut inner = self.inner.borrow_mut();
        inner.opens.push(open);
        inner.closing = false;
        self.tell_of(&inner);
    }

    /// Records that the handle's CLOSE is about to be sent. If the lease has no other open, the
    /// server takes the CLOSE as the answer to a break.
    pub fn close_begins(&self, handle: &Rc<dyn SMBFileHandle>) {
        let mut inner = self.inner.borrow_mut();
        inner.opens.retain(|open| !Rc::ptr_eq(&open.handle, handle));
        inner.closing = inner.opens.is_empty();
        self.tell_of(&inner);
    }

    /// Wakes the answer that is still to be given, if there is one, because the opens have changed.
    fn tell_of(&self, inner: &Inner) {
        if inner.block.is_some() {
            self.opens_changed.notify_waiters();
        }
    }

    /// Drops the handles of a holder that no longer exists.
    pub(super) fn left(&self) {
        self.inner.borrow_mut().opens.clear();
    }

    /// Answers the pending break. The [`policy`](Self::policy) is the one that applies when the
    /// answer is due, which may differ from the one at the notice. `otherwise` applies if no open
    /// has a policy.
    pub(super) async fn answer(
        &self,
        otherwise: BreakPolicy,
        noticed_ns: u64,
        acknowledger: &dyn BreakAcknowledger,
        clock: &dyn Clock,
    ) -> Ended {
        loop {
            let opens_changed = self.opens_changed.notified();
            let policy = self.policy().unwrap_or(otherwise);
            let due = due(policy, noticed_ns, clock);
            match select(pin!(due), pin!(opens_changed)).await {
                Either::Left(_) if policy.flush => break self.flush().await,
                Either::Left(_) => break,
                Either::Right(_) => {}
            }
        }
        self.acknowledge(acknowledger, clock).await
    }

    /// Returns the policy of the newest open that has one.
    pub(super) fn policy(&self) -> Option<BreakPolicy> {
        self.inner.borrow().opens.iter().rev().find_map(|open| open.on_break)
    }

    /// Flushes the file if the client may have cached writes of it.
    async fn flush(&self) {
        let handle = {
            let inner = self.inner.borrow();
            let writes = inner.state.caches_writes() && !inner.closing;
            let written = inner.opens.iter().find(|open| writes && open.to_write);
            written.map(|open| open.handle.clone())
        };
        let Some(handle) = handle else { return };
        match AssertUnwindSafe(handle.flush()).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let path = self.path.as_str();
                tracing::warn!("{path}: the flush before the answer to a break failed: {error}");
            }
            Err(_) => tracing::warn!("{}: flushing panicked", self.path.as_str()),
        }
    }

    /// Acknowledges the break and keeps the state that the server leaves. Never completes if the
    /// answer cannot be sent, or if none is needed because a CLOSE is on the way.
    async fn acknowledge(&self, acknowledger: &dyn BreakAcknowledger, clock: &dyn Clock) -> Ended {
        let answer = {
            let mut inner = self.inner.borrow_mut();
            let answer = inner.state.answer().filter(|_| !inner.closing);
            if answer.is_some() {
                inner.state.acknowledged(clock.now_ns());
            }
            answer
        };
        let Some(answer) = answer else { return pending().await };
        match AssertUnwindSafe(acknowledger.acknowledge(answer)).catch_unwind().await {
            Ok(Ok(())) => (BreakEnd::Acknowledged, None),
            Ok(Err(OpError::Status(status))) => (BreakEnd::Refused, Some(status)),
            Ok(Err(OpError::ConnectionLost(_))) => (BreakEnd::ConnectionLost, None),
            Ok(Err(OpError::Client(error))) => self.not_answered(&answer, &error).await,
            Err(_) => self.not_answered(&answer, "the backend panicked").await,
        }
    }

    /// Logs that the break was not answered. Never completes, because the server ends the break
    /// when it gives up waiting.
    async fn not_answered(&self, answer: &Acknowledgement, error: &str) -> Ended {
        let path = self.path.as_str();
        tracing::warn!("{path}: a break was not answered with {answer:?}: {error}");
        pending().await
    }
}

/// Completes when the answer is due, or never if the policy is to give none.
async fn due(policy: BreakPolicy, noticed_ns: u64, clock: &dyn Clock) {
    match policy.answer {
        BreakAnswer::Acknowledge => {}
        BreakAnswer::Ignore => pending().await,
    }
    let answer_ns = noticed_ns.saturating_add(policy.delay_ns);
    if clock.now_ns() < answer_ns {
        clock.sleep_until(answer_ns).await;
    }
}
