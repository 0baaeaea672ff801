//! What one client was granted that a server may take back, and how its breaks
//! are answered: beside the operation in flight, never behind it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, LocalBoxFuture, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use rustc_hash::FxBuildHasher;

use super::blocking::{Block, CachedFiles, HolderNumber};
use super::breaks::BREAK_QUEUE;
use super::handle_table::OpenFile;
use super::{BreakAcknowledger, BreakStream, Clock, OpError, SMBFileHandle};
use crate::ir::event::{BreakEnd, BreakEvent};
use crate::protocol::{
    Acknowledgement, Break, BreakAnswer, BreakPolicy, FileId, Granted, HandleState, LeaseKey,
    Noticed, Outcome, PendingBreak, SharePath,
};

/// The breaks of one client. Nothing but a few words until the client is
/// granted something that can be broken.
pub struct Breaks {
    client_idx: u32,
    on_break: BreakPolicy,
    /// Where breaks block by file, over all clients (fidelity mode 2); without
    /// it they block by handle.
    pub(super) files: Option<Arc<CachedFiles>>,
    pub(super) clock: Arc<dyn Clock>,
    caching: OnceCell<Box<Caching>>,
}

/// What there is once something was granted.
#[derive(Default)]
struct Caching {
    holders: RefCell<HashMap<HolderKey, Rc<Holder>, FxBuildHasher>>,
    stream: RefCell<Option<BreakStream>>,
    pending: Cell<u32>,
    /// An open is in flight: a notice nobody knows may be of what it is granted.
    opening: Cell<bool>,
    early: RefCell<VecDeque<(Break, u64)>>,
    /// Those whose break is to be answered now.
    begun: RefCell<VecDeque<Rc<Holder>>>,
    answers: RefCell<FuturesUnordered<Answering>>,
    ended: RefCell<VecDeque<BreakEvent>>,
}

type Answering = LocalBoxFuture<'static, Option<(Rc<Holder>, BreakEnd)>>;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum HolderKey {
    Oplock(FileId),
    Lease(LeaseKey),
}

/// An open with an oplock, or the opens of one lease.
pub struct Holder {
    key: HolderKey,
    /// As it was first opened.
    path: SharePath,
    number: Option<HolderNumber>,
    inner: RefCell<Inner>,
}

struct Inner {
    state: HandleState,
    policy: BreakPolicy,
    /// With whether it was opened to write.
    opens: Vec<(Rc<dyn SMBFileHandle>, bool)>,
    /// Its last open is being closed, which answers for it.
    closing: bool,
    /// While a break is pending.
    block: Option<Arc<Block>>,
}

impl Holder {
    /// What operations on its handles wait for.
    pub fn block(&self) -> Option<Arc<Block>> {
        self.inner.borrow().block.clone()
    }

    /// Its place among the run's files.
    pub fn number(&self) -> Option<HolderNumber> {
        self.number
    }

    /// The handle's CLOSE is about to be sent. Unless there are other opens of
    /// the lease, it is what the server takes for the answer to a break.
    pub fn close_begins(&self, handle: &Rc<dyn SMBFileHandle>) {
        let mut inner = self.inner.borrow_mut();
        inner.opens.retain(|(open, _)| !Rc::ptr_eq(open, handle));
        inner.closing = inner.opens.is_empty();
    }
}

impl Breaks {
    pub fn new(
        client_idx: u32,
        on_break: BreakPolicy,
        files: Option<Arc<CachedFiles>>,
        clock: Arc<dyn Clock>,
    ) -> Breaks {
        Breaks { client_idx, on_break, files, clock, caching: OnceCell::new() }
    }

    /// Notes what an open was granted that can be broken: from here on breaks of
    /// it are heard, also one that came before the open's answer. A backend that
    /// sees no breaks has nothing to note.
    pub(super) fn hold(
        &self,
        granted: &Granted,
        path: &SharePath,
        on_break: Option<BreakPolicy>,
        handle: Box<dyn SMBFileHandle>,
        to_write: bool,
        stream: impl FnOnce() -> Option<BreakStream>,
    ) -> OpenFile {
        let Some(state) = HandleState::new(granted) else { return OpenFile::Plain(handle) };
        let caching = self.caching.get_or_init(Box::default);
        if caching.stream.borrow().is_none() {
            let Some(stream) = stream() else { return OpenFile::Plain(handle) };
            *caching.stream.borrow_mut() = Some(stream);
        }
        let key = match &granted.lease {
            Some(lease) => HolderKey::Lease(lease.key),
            None => HolderKey::Oplock(granted.file_id),
        };
        let holder = caching.holders.borrow().get(&key).cloned();
        let holder = holder.unwrap_or_else(|| {
            let files = self.files.as_ref();
            let number = files.map(|files| files.add(path, granted.disk_file_id));
            let (policy, opens, closing, block) = (self.on_break, Vec::new(), false, None);
            let inner = RefCell::new(Inner { state, policy, opens, closing, block });
            let holder = Rc::new(Holder { key, path: path.clone(), number, inner });
            caching.holders.borrow_mut().insert(key, holder.clone());
            holder
        });
        let mut inner = holder.inner.borrow_mut();
        inner.state.regranted(granted);
        let handle: Rc<dyn SMBFileHandle> = handle.into();
        inner.opens.push((handle.clone(), to_write));
        inner.closing = false;
        inner.policy = on_break.unwrap_or(inner.policy);
        drop(inner);
        OpenFile::Caching(handle, holder)
    }

    /// Whether the client ever had anything that can be broken.
    pub fn has_held(&self) -> bool {
        self.caching.get().is_some()
    }

    /// Whether any break of this client is pending.
    pub(super) fn any_pending(&self) -> bool {
        self.caching.get().is_some_and(|caching| caching.pending.get() > 0)
    }

    /// An open is about to be sent.
    pub(super) fn open_begins(&self) {
        if let Some(caching) = self.caching.get() {
            caching.opening.set(true);
        }
    }

    /// What the open was granted is noted, if anything was.
    pub(super) fn open_ended(&self) {
        let Some(caching) = self.caching.get() else { return };
        caching.opening.set(false);
        let early = std::mem::take(&mut *caching.early.borrow_mut());
        for (notice, noticed_ns) in early {
            self.notice(caching, notice, noticed_ns);
        }
    }

    /// The handle's CLOSE has ended, well or badly: it is gone.
    pub(super) fn closed(&self, holder: &Holder) {
        if holder.inner.borrow().closing {
            if let Some(caching) = self.caching.get() {
                caching.holders.borrow_mut().remove(&holder.key);
            }
            self.leave(holder, &BreakEnd::Closed);
        }
    }

    /// The connection is lost, and all that was granted over it.
    pub fn lost(&self) {
        self.end_all(&BreakEnd::ConnectionLost);
    }

    /// The client ends here.
    pub fn cut(&self) {
        self.end_all(&BreakEnd::Cut);
    }

    /// The breaks that are over since the last call, in the order they ended.
    pub fn take_ended(&self) -> VecDeque<BreakEvent> {
        let ended = self.caching.get().map(|caching| caching.ended.take());
        ended.unwrap_or_default()
    }

    /// Hears of breaks and answers them. To be called whenever the client's task
    /// wakes, before and after its operation: it is never ready.
    pub fn poll(&self, cx: &mut Context<'_>) {
        let Some(caching) = self.caching.get() else { return };
        loop {
            self.hear(caching, cx);
            let begun = std::mem::take(&mut *caching.begun.borrow_mut());
            for holder in begun {
                if let Some(answer) = self.answer(caching, holder) {
                    caching.answers.borrow().push(answer);
                }
            }
            let ended = caching.answers.borrow_mut().poll_next_unpin(cx);
            match ended {
                Poll::Ready(Some(Some((holder, end)))) => self.end(&holder, end),
                Poll::Ready(Some(None)) => {}
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    fn hear(&self, caching: &Caching, cx: &mut Context<'_>) {
        loop {
            let next = match caching.stream.borrow_mut().as_mut() {
                Some(stream) => pin!(stream.next()).poll(cx),
                None => return,
            };
            match next {
                Poll::Ready(Some(notice)) => self.notice(caching, notice, self.clock.now_ns()),
                Poll::Ready(None) => return self.lost(),
                Poll::Pending => return,
            }
        }
    }

    fn notice(&self, caching: &Caching, notice: Break, noticed_ns: u64) {
        let key = match &notice {
            Break::Oplock(oplock) => HolderKey::Oplock(oplock.file_id),
            Break::Lease(lease) => HolderKey::Lease(lease.key),
        };
        let holder = caching.holders.borrow().get(&key).cloned();
        let Some(holder) = holder else {
            let mut early = caching.early.borrow_mut();
            // Of what was closed there is nothing to say.
            if caching.opening.get() && early.len() < BREAK_QUEUE {
                early.push_back((notice, noticed_ns));
            }
            return;
        };
        let noticed = holder.inner.borrow_mut().state.notice(notice, noticed_ns);
        match noticed {
            Noticed::NotAsked => {
                let over = PendingBreak { notice, noticed_ns, acknowledged_ns: None };
                let ended_ns = self.clock.now_ns();
                self.tell(&holder, over, BreakEnd::NotAsked, ended_ns, (0, 0));
            }
            Noticed::Pending => self.begin(caching, &holder),
            Noticed::Queued => {}
            Noticed::Dropped => tracing::warn!(
                "client {}: the server breaks {} again and again without waiting for an answer",
                self.client_idx,
                holder.path.as_str()
            ),
        }
    }

    /// The break at hand is pending from now on.
    fn begin(&self, caching: &Caching, holder: &Rc<Holder>) {
        let block = Arc::new(Block::default());
        holder.inner.borrow_mut().block = Some(block.clone());
        caching.pending.update(|pending| pending + 1);
        if let (Some(files), Some(number)) = (&self.files, holder.number) {
            files.block(number, block);
        }
        caching.begun.borrow_mut().push_back(holder.clone());
    }

    /// Answers the break at hand, or waits until the server gives up on it.
    /// None where it ended otherwise.
    fn answer(&self, caching: &Caching, holder: Rc<Holder>) -> Option<Answering> {
        let acknowledger = caching.stream.borrow().as_ref()?.acknowledger();
        let clock = self.clock.clone();
        let (block, policy, noticed_ns, gives_up_ns) = {
            let inner = holder.inner.borrow();
            let pending = inner.state.pending()?;
            let gives_up_ns = inner.state.gives_up_ns()?;
            (inner.block.clone()?, inner.policy, pending.noticed_ns, gives_up_ns)
        };
        let answering = async move {
            let given_up = clock.sleep_until(gives_up_ns);
            let answered = async {
                match policy.answer {
                    BreakAnswer::Acknowledge => {}
                    BreakAnswer::Ignore => pending().await,
                }
                let answer_ns = noticed_ns.saturating_add(policy.delay_ns);
                if clock.now_ns() < answer_ns {
                    clock.sleep_until(answer_ns).await;
                }
                if policy.flush {
                    holder.flush().await;
                }
                holder.acknowledge(&*acknowledger, &*clock).await
            };
            let ended = {
                let given_up = async {
                    given_up.await;
                    match policy.answer {
                        BreakAnswer::Ignore => BreakEnd::Ignored,
                        BreakAnswer::Acknowledge => BreakEnd::TimedOut,
                    }
                };
                let (answered, given_up) = (pin!(answered), pin!(given_up));
                match select(select(answered, given_up), pin!(block.over())).await {
                    Either::Left((ended, _)) => Some(ended.factor_first().0),
                    Either::Right(_) => None,
                }
            };
            ended.map(|end| (holder, end))
        };
        Some(answering.boxed_local())
    }

    /// The break at hand is over, and the one after it begins.
    fn end(&self, holder: &Rc<Holder>, end: BreakEnd) {
        let outcome = match end {
            BreakEnd::ConnectionLost => {
                // What else it had is gone with it, though the stream may not know yet.
                return self.leave(holder, &end);
            }
            BreakEnd::Refused(_) => Outcome::Refused,
            BreakEnd::Ignored | BreakEnd::TimedOut => Outcome::TimedOut,
            _ => Outcome::Acknowledged,
        };
        let over = holder.inner.borrow_mut().state.end(outcome);
        let Some(over) = over else { return };
        let ended_ns = self.clock.now_ns();
        let blocked = self.unblock(holder, ended_ns);
        self.tell(holder, over, end, ended_ns, blocked);
        if holder.inner.borrow().state.blocks()
            && let Some(caching) = self.caching.get()
        {
            self.begin(caching, holder);
        }
    }

    /// The holder is no more, and what was pending is over.
    fn leave(&self, holder: &Holder, end: &BreakEnd) {
        let ended_ns = self.clock.now_ns();
        let mut blocked = self.unblock(holder, ended_ns);
        let over = holder.inner.borrow_mut().state.closed();
        for over in over {
            // Those behind the first had nobody wait for them yet.
            self.tell(holder, over, end.clone(), ended_ns, std::mem::take(&mut blocked));
        }
        holder.inner.borrow_mut().opens.clear();
        if let (Some(files), Some(number)) = (&self.files, holder.number) {
            files.remove(number);
        }
    }

    /// Lets go those who wait: how many, and how long they did.
    fn unblock(&self, holder: &Holder, ended_ns: u64) -> (u32, u64) {
        let block = holder.inner.borrow_mut().block.take();
        if let (Some(files), Some(number)) = (&self.files, holder.number) {
            files.unblock(number);
        }
        let Some(block) = block else { return (0, 0) };
        if let Some(caching) = self.caching.get() {
            caching.pending.update(|pending| pending - 1);
        }
        block.end(ended_ns)
    }

    fn end_all(&self, end: &BreakEnd) {
        let Some(caching) = self.caching.get() else { return };
        let stream = caching.stream.take();
        let dropped = stream.map_or(0, |stream| stream.dropped());
        if dropped > 0 {
            let client_idx = self.client_idx;
            tracing::warn!("client {client_idx}: {dropped} breaks came too fast to be answered");
        }
        let mut holders: Vec<Rc<Holder>> =
            caching.holders.borrow_mut().drain().map(|(_, holder)| holder).collect();
        // In an order that is the same whenever the run is.
        holders.sort_by_key(|holder| {
            let inner = holder.inner.borrow();
            (inner.state.pending().map(|over| over.noticed_ns), holder.path.clone())
        });
        for holder in holders {
            self.leave(&holder, end);
        }
        caching.begun.borrow_mut().clear();
        caching.early.borrow_mut().clear();
        caching.answers.borrow_mut().clear();
    }

    fn tell(
        &self,
        holder: &Holder,
        over: PendingBreak,
        end: BreakEnd,
        ended_ns: u64,
        (blocked, blocked_ns): (u32, u64),
    ) {
        let Some(caching) = self.caching.get() else { return };
        let PendingBreak { notice, noticed_ns, acknowledged_ns } = over;
        caching.ended.borrow_mut().push_back(BreakEvent {
            client_idx: self.client_idx,
            path: holder.path.clone(),
            notice,
            phase: None,
            noticed_ns,
            acknowledged_ns,
            ended_ns,
            end,
            blocked,
            blocked_ns,
        });
    }
}

impl Holder {
    /// Sends what may be cached to the server, where there may be something.
    async fn flush(&self) {
        let handle = {
            let inner = self.inner.borrow();
            let writes = inner.state.caches_writes() && !inner.closing;
            inner.opens.iter().find(|(_, to_write)| writes && *to_write).map(|open| open.0.clone())
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

    /// Keeps what the server leaves. An answer that cannot be sent, and one
    /// nobody needs because a close is on the way, never ends.
    async fn acknowledge(
        &self,
        acknowledger: &dyn BreakAcknowledger,
        clock: &dyn Clock,
    ) -> BreakEnd {
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
            Ok(Ok(())) => BreakEnd::Acknowledged,
            Ok(Err(OpError::Status(status))) => BreakEnd::Refused(status),
            Ok(Err(OpError::ConnectionLost(_))) => BreakEnd::ConnectionLost,
            Ok(Err(OpError::Client(error))) => self.not_answered(&answer, &error).await,
            Err(_) => self.not_answered(&answer, "the backend panicked").await,
        }
    }

    /// The server will give up on it.
    async fn not_answered(&self, answer: &Acknowledgement, error: &str) -> BreakEnd {
        let path = self.path.as_str();
        tracing::warn!("{path}: a break was not answered with {answer:?}: {error}");
        pending().await
    }
}
