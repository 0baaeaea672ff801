//! The caching rights of one client that a server may take back. Breaks are received and answered
//! while an operation is in flight, and never wait for it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, LocalBoxFuture, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use rustc_hash::FxBuildHasher;

use super::blocking::Block;
use super::cached_files::{CachedFiles, HeldLease};
use super::channel::{BREAK_QUEUE, BreakStream};
use super::holder::{Ended, HeldOpen, Holder, HolderKey};
use crate::backend::handle_table::OpenFile;
use crate::backend::{Clock, SMBFileHandle};
use crate::ir::event::{BreakEnd, BreakEvent};
use crate::protocol::{
    Break, BreakAnswer, BreakOutcome, BreakPolicy, CreateParameters, Granted, HandleState, Lease,
    LeaseKey, Noticed, PendingBreak, SharePath, lease_key,
};

/// The breaks of one client, which take only a few words of memory until the client is granted
/// something that can be broken.
pub struct Breaks {
    client_idx: u32,
    on_break: BreakPolicy,
    /// The cached files of all clients, if breaks block by file (fidelity mode 2). None if they
    /// block by handle.
    pub(in crate::backend) files: Option<Arc<CachedFiles>>,
    pub(in crate::backend) clock: Arc<dyn Clock>,
    caching: OnceCell<Box<Caching>>,
}

/// The state that exists once something was granted that can be broken.
#[derive(Default)]
struct Caching {
    holders: RefCell<HashMap<HolderKey, Rc<Holder>, FxBuildHasher>>,
    stream: RefCell<Option<BreakStream>>,
    pending: Cell<u32>,
    /// Whether an open is in flight. A notice that fits no holder may then be for what the open is
    /// granted.
    opening: Cell<bool>,
    early: RefCell<VecDeque<(Break, u64)>>,
    /// Number of breaks that were dropped because too many breaks of the same holder, or of opens
    /// in flight, were pending. A correct server never sends so many, because it waits for answers.
    dropped: Cell<u64>,
    /// Holders with a break that is to be answered now.
    begun: RefCell<VecDeque<Rc<Holder>>>,
    answers: RefCell<FuturesUnordered<Answering>>,
    ended: RefCell<VecDeque<BreakEvent>>,
}

type Answering = LocalBoxFuture<'static, Option<(Rc<Holder>, Ended)>>;

impl Breaks {
    pub fn new(
        client_idx: u32,
        on_break: BreakPolicy,
        files: Option<Arc<CachedFiles>>,
        clock: Arc<dyn Clock>,
    ) -> Breaks {
        Breaks { client_idx, on_break, files, clock, caching: OnceCell::new() }
    }

    /// Returns the key of a lease whose open names none. The client keeps one key for each file, as
    /// long as it has a lease of the file and whatever the file is called meanwhile (MS-SMB2
    /// 3.2.4.3.8). A file that takes the name of a renamed one gets its own key, because a server
    /// refuses the key of another file (3.3.5.9.8). The key differs from `refused`.
    pub(super) fn lease_key(&self, path: &SharePath, refused: Option<LeaseKey>) -> LeaseKey {
        let numbered = |again| lease_key(self.client_idx, path, again);
        let (Some(caching), Some(files)) = (self.caching.get(), &self.files) else {
            return numbered(u32::from(refused.is_some()));
        };
        let derived = files.lease_at(self.client_idx, path, |held| held.derived);
        let held = derived.and_then(|lease| lease.key).filter(|_| refused.is_none());
        let taken = caching.holders.borrow();
        let free =
            |key: &LeaseKey| refused != Some(*key) && !taken.contains_key(&HolderKey::Lease(*key));
        held.or_else(|| (0..).map(numbered).find(free)).unwrap_or_default()
    }

    /// Returns the client's lease of the file at `path`, as its other opens name it.
    pub(super) fn lease_of(&self, path: &SharePath) -> Option<Lease> {
        self.caching.get()?;
        self.files.as_ref()?.lease_at(self.client_idx, path, |_| true)
    }

    /// Records what an open was granted that can be broken. From here on its breaks are received,
    /// even one that came before the open's answer. A backend that sees no breaks has nothing to
    /// record.
    pub(in crate::backend) fn hold(
        &self,
        granted: &Granted,
        path: &SharePath,
        asked: Option<&CreateParameters>,
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
            let lease = granted.lease.zip(asked.and_then(|asked| asked.lease));
            let lease = lease.map(|(granted, asked)| HeldLease {
                lease: Lease { state: 0, key: Some(granted.key), ..asked },
                derived: asked.key.is_none(),
            });
            let files = self.files.as_ref();
            let number =
                files.map(|files| files.add(self.client_idx, path, granted.disk_file_id, lease));
            let holder = Rc::new(Holder::new(key, path.clone(), number, state));
            caching.holders.borrow_mut().insert(key, holder.clone());
            holder
        });
        holder.inner.borrow_mut().state.regranted(granted);
        let handle: Rc<dyn SMBFileHandle> = handle.into();
        let on_break = asked.and_then(|asked| asked.on_break);
        holder.opened(HeldOpen { handle: handle.clone(), to_write, on_break });
        OpenFile::Caching(handle, holder)
    }

    /// Returns whether the client ever had anything that can be broken.
    pub fn has_held(&self) -> bool {
        self.caching.get().is_some()
    }

    /// Returns whether any break of this client is pending.
    pub(in crate::backend) fn any_pending(&self) -> bool {
        self.caching.get().is_some_and(|caching| caching.pending.get() > 0)
    }

    /// Records that an open is about to be sent.
    pub(in crate::backend) fn open_begins(&self) {
        if let Some(caching) = self.caching.get() {
            caching.opening.set(true);
        }
    }

    /// Records that the open has ended, after [`Breaks::hold`] has recorded what it was granted.
    /// Handles the breaks that came before its answer.
    pub(in crate::backend) fn open_ended(&self) {
        let Some(caching) = self.caching.get() else { return };
        caching.opening.set(false);
        let early = std::mem::take(&mut *caching.early.borrow_mut());
        for (notice, noticed_ns) in early {
            self.notice(caching, notice, noticed_ns);
        }
    }

    /// Records that the handle's CLOSE has ended, successfully or not. The handle is gone.
    pub(in crate::backend) fn closed(&self, holder: &Holder) {
        if holder.inner.borrow().closing {
            self.leave(holder, BreakEnd::Closed);
        }
    }

    /// Ends all breaks, because the connection is lost with everything that was granted over it.
    pub fn lost(&self) {
        self.end_all(BreakEnd::ConnectionLost);
    }

    /// Ends all breaks, because the client has ended.
    pub fn cut(&self) {
        self.end_all(BreakEnd::Cut);
    }

    /// Returns the breaks that ended since the last call, in the order in which they ended.
    pub fn take_ended(&self) -> VecDeque<BreakEvent> {
        let ended = self.caching.get().map(|caching| caching.ended.take());
        ended.unwrap_or_default()
    }

    /// Receives breaks and answers them. The client's task calls this whenever it wakes, before and
    /// after its operation.
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
            match caching.opening.get() {
                true if early.len() < BREAK_QUEUE => early.push_back((notice, noticed_ns)),
                true => caching.dropped.update(|dropped| dropped + 1),
                // The break is of a closed open, so there is nothing to record.
                false => {}
            }
            return;
        };
        let noticed = holder.inner.borrow_mut().state.notice(notice, noticed_ns);
        match noticed {
            Noticed::NotAsked => {
                let over = PendingBreak { notice, noticed_ns, acknowledged_ns: None };
                let ended_ns = self.clock.now_ns();
                self.tell(&holder, over, (BreakEnd::NotAsked, None), ended_ns, (0, 0));
            }
            Noticed::Pending => self.begin(caching, &holder),
            Noticed::Queued => {}
            Noticed::Dropped => caching.dropped.update(|dropped| dropped + 1),
        }
    }

    /// Blocks the holder's operations and queues its break to be answered.
    fn begin(&self, caching: &Caching, holder: &Rc<Holder>) {
        let block = Arc::new(Block::default());
        holder.inner.borrow_mut().block = Some(block.clone());
        caching.pending.update(|pending| pending + 1);
        if let (Some(files), Some(number)) = (&self.files, holder.number) {
            files.block(number, block);
        }
        caching.begun.borrow_mut().push_back(holder.clone());
    }

    /// Returns a future that answers the holder's break, or waits until the server gives up. The
    /// future returns None if the break ended in another way.
    fn answer(&self, caching: &Caching, holder: Rc<Holder>) -> Option<Answering> {
        let acknowledger = caching.stream.borrow().as_ref()?.acknowledger();
        let (clock, otherwise) = (self.clock.clone(), self.on_break);
        let (block, noticed_ns, gives_up_ns) = {
            let inner = holder.inner.borrow();
            let pending = inner.state.pending()?;
            (inner.block.clone()?, pending.noticed_ns, inner.state.gives_up_ns()?)
        };
        let answering = async move {
            let ended = {
                let answered = holder.answer(otherwise, noticed_ns, &*acknowledger, &*clock);
                let given_up = async {
                    clock.sleep_until(gives_up_ns).await;
                    match holder.policy().unwrap_or(otherwise).answer {
                        BreakAnswer::Ignore => (BreakEnd::Ignored, None),
                        BreakAnswer::Acknowledge => (BreakEnd::TimedOut, None),
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

    /// Ends the holder's pending break and begins the next one.
    fn end(&self, holder: &Rc<Holder>, end: Ended) {
        let outcome = match end.0 {
            BreakEnd::ConnectionLost => {
                // Everything else that the holder had is gone too, though the stream may not show
                // it yet.
                return self.leave(holder, end.0);
            }
            BreakEnd::Refused => BreakOutcome::Refused,
            BreakEnd::Ignored | BreakEnd::TimedOut => BreakOutcome::TimedOut,
            _ => BreakOutcome::Acknowledged,
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

    /// Removes the holder and ends its breaks.
    fn leave(&self, holder: &Holder, end: BreakEnd) {
        if let Some(caching) = self.caching.get() {
            let mut holders = caching.holders.borrow_mut();
            let current = holders.get(&holder.key);
            // Another holder may have its key by now.
            if current.is_some_and(|current| std::ptr::eq(&**current, holder)) {
                holders.remove(&holder.key);
            }
        }
        let ended_ns = self.clock.now_ns();
        let mut blocked = self.unblock(holder, ended_ns);
        let over = holder.inner.borrow_mut().state.closed();
        for over in over {
            // Nothing has waited yet for the breaks behind the first.
            self.tell(holder, over, (end, None), ended_ns, std::mem::take(&mut blocked));
        }
        holder.left();
        if let (Some(files), Some(number)) = (&self.files, holder.number) {
            files.remove(number);
        }
    }

    /// Releases the waiting operations. Returns their number and their total wait in nanoseconds.
    fn unblock(&self, holder: &Holder, ended_ns: u64) -> (u32, u64) {
        let block = holder.inner.borrow_mut().block.take();
        let Some(block) = block else { return (0, 0) };
        if let (Some(files), Some(number)) = (&self.files, holder.number) {
            files.unblock(number);
        }
        if let Some(caching) = self.caching.get() {
            caching.pending.update(|pending| pending - 1);
        }
        block.end(ended_ns)
    }

    fn end_all(&self, end: BreakEnd) {
        let Some(caching) = self.caching.get() else { return };
        let stream = caching.stream.take();
        let dropped = caching.dropped.take() + stream.map_or(0, |stream| stream.dropped());
        if dropped > 0 {
            let client_idx = self.client_idx;
            tracing::warn!(
                "client {client_idx}: breaks that came faster than they could be answered and were dropped: {dropped}"
            );
        }
        let mut holders: Vec<Rc<Holder>> =
            caching.holders.borrow_mut().drain().map(|(_, holder)| holder).collect();
        // Sorted, so that equal runs report their breaks in the same order.
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
        (end, refusal): Ended,
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
            refusal,
            blocked,
            blocked_ns,
        });
    }
}
