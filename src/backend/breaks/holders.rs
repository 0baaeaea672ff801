//! What one client was granted that a server may take back: it hears of breaks
//! and has them answered beside the operation in flight, never behind it.

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
use super::channel::{BREAK_QUEUE, BreakStream};
use super::files::{CachedFiles, HeldLease};
use super::holder::{HeldOpen, Holder, HolderKey};
use crate::backend::handle_table::OpenFile;
use crate::backend::{Clock, SMBFileHandle};
use crate::ir::event::{BreakEnd, BreakEvent};
use crate::protocol::{
    Break, BreakAnswer, BreakPolicy, CreateParameters, Granted, HandleState, Lease, LeaseKey,
    Noticed, Outcome, PendingBreak, SharePath, lease_key,
};

/// The breaks of one client. Nothing but a few words until the client is
/// granted something that can be broken.
pub struct Breaks {
    client_idx: u32,
    on_break: BreakPolicy,
    /// Where breaks block by file, over all clients (fidelity mode 2); without
    /// it they block by handle.
    pub(in crate::backend) files: Option<Arc<CachedFiles>>,
    pub(in crate::backend) clock: Arc<dyn Clock>,
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
    /// Breaks of what has too many pending, which no server that waits for
    /// answers comes to.
    dropped: Cell<u64>,
    /// Those whose break is to be answered now.
    begun: RefCell<VecDeque<Rc<Holder>>>,
    answers: RefCell<FuturesUnordered<Answering>>,
    ended: RefCell<VecDeque<BreakEvent>>,
}

type Answering = LocalBoxFuture<'static, Option<(Rc<Holder>, BreakEnd)>>;

impl Breaks {
    pub fn new(
        client_idx: u32,
        on_break: BreakPolicy,
        files: Option<Arc<CachedFiles>>,
        clock: Arc<dyn Clock>,
    ) -> Breaks {
        Breaks { client_idx, on_break, files, clock, caching: OnceCell::new() }
    }

    /// The key of a lease whose open names none: one for each file, as long as
    /// the client has a lease of it, whatever the file is called meanwhile
    /// (MS-SMB2 3.2.4.3.8). A file that takes the name of a renamed one has its
    /// own, as a server refuses the key of another file (3.3.5.9.8): another
    /// than `refused`.
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

    /// The lease the client has of the file at `path`, as its other opens name it.
    pub(super) fn lease_of(&self, path: &SharePath) -> Option<Lease> {
        self.caching.get()?;
        self.files.as_ref()?.lease_at(self.client_idx, path, |_| true)
    }

    /// Notes what an open was granted that can be broken: from here on breaks of
    /// it are heard, also one that came before the open's answer. A backend that
    /// sees no breaks has nothing to note.
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

    /// Whether the client ever had anything that can be broken.
    pub fn has_held(&self) -> bool {
        self.caching.get().is_some()
    }

    /// Whether any break of this client is pending.
    pub(in crate::backend) fn any_pending(&self) -> bool {
        self.caching.get().is_some_and(|caching| caching.pending.get() > 0)
    }

    /// An open is about to be sent.
    pub(in crate::backend) fn open_begins(&self) {
        if let Some(caching) = self.caching.get() {
            caching.opening.set(true);
        }
    }

    /// What the open was granted is noted, if anything was.
    pub(in crate::backend) fn open_ended(&self) {
        let Some(caching) = self.caching.get() else { return };
        caching.opening.set(false);
        let early = std::mem::take(&mut *caching.early.borrow_mut());
        for (notice, noticed_ns) in early {
            self.notice(caching, notice, noticed_ns);
        }
    }

    /// The handle's CLOSE has ended, well or badly: it is gone.
    pub(in crate::backend) fn closed(&self, holder: &Holder) {
        if holder.inner.borrow().closing {
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
            match caching.opening.get() {
                true if early.len() < BREAK_QUEUE => early.push_back((notice, noticed_ns)),
                true => caching.dropped.update(|dropped| dropped + 1),
                // Of what was closed there is nothing to say.
                false => {}
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
            Noticed::Dropped => caching.dropped.update(|dropped| dropped + 1),
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
        if let Some(caching) = self.caching.get() {
            let mut holders = caching.holders.borrow_mut();
            let current = holders.get(&holder.key);
            // Another may have its key since it left.
            if current.is_some_and(|current| std::ptr::eq(&**current, holder)) {
                holders.remove(&holder.key);
            }
        }
        let ended_ns = self.clock.now_ns();
        let mut blocked = self.unblock(holder, ended_ns);
        let over = holder.inner.borrow_mut().state.closed();
        for over in over {
            // Those behind the first had nobody wait for them yet.
            self.tell(holder, over, end.clone(), ended_ns, std::mem::take(&mut blocked));
        }
        holder.left();
        if let (Some(files), Some(number)) = (&self.files, holder.number) {
            files.remove(number);
        }
    }

    /// Lets go those who wait: how many, and how long they did.
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

    fn end_all(&self, end: &BreakEnd) {
        let Some(caching) = self.caching.get() else { return };
        let stream = caching.stream.take();
        let dropped = caching.dropped.take() + stream.map_or(0, |stream| stream.dropped());
        if dropped > 0 {
            let client_idx = self.client_idx;
            tracing::warn!(
                "client {client_idx}: {dropped} breaks came faster than they could be answered and were dropped"
            );
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
