//! What the callbacks of a hook VM share with the thread that drives it.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mlua::Buffer;

use crate::observability::CustomMetrics;
use crate::observability::custom_metrics::Tags;

/// Present in the host of a hook VM alone.
pub(in crate::script) struct Hooking {
    /// Read by others while hooks run.
    pub metrics: Arc<Mutex<CustomMetrics>>,
    calling: Cell<Calling>,
    abort: RefCell<Option<String>>,
    /// Where the record stands that a hook is being called with: its first 8 bytes.
    pub records: RefCell<Option<Buffer>>,
    seen: Cell<[u8; 8]>,
    give_up: Arc<GiveUp>,
    cut: Cell<bool>,
}

/// When hooks are given up, a call that has not returned included.
#[derive(Debug, Default)]
pub struct GiveUp(Mutex<Option<Instant>>);

impl GiveUp {
    /// At this instant, if not before.
    pub(super) fn by(&self, at: Instant) {
        let mut given_up = self.lock();
        *given_up = Some(given_up.map_or(at, |before| before.min(at)));
    }

    /// At once.
    pub fn now(&self) {
        self.by(Instant::now());
    }

    /// What begins from now on is not given up.
    pub fn no_more(&self) {
        *self.lock() = None;
    }

    pub(super) fn has_come(&self) -> bool {
        self.lock().is_some_and(|at| Instant::now() >= at)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kind of hook that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calling {
    /// None: the top level, or nothing.
    Nothing,
    /// Of a completion or a phase.
    Hook,
    /// Of `bench.on_end`.
    End,
}

impl Hooking {
    pub fn new(give_up: Arc<GiveUp>) -> Hooking {
        Hooking {
            give_up,
            cut: Cell::new(false),
            metrics: Arc::default(),
            calling: Cell::new(Calling::Nothing),
            abort: RefCell::new(None),
            records: RefCell::new(None),
            seen: Cell::new([0; 8]),
        }
    }

    /// Runs `body`, which calls a hook, beginning with record `first` where it
    /// is one of completions.
    pub(super) fn call<R>(
        &self,
        calling: Calling,
        first: Option<usize>,
        body: impl FnOnce() -> R,
    ) -> R {
        let at = match first {
            Some(first) => Some((first as f64).to_le_bytes()),
            None => self.at(),
        };
        self.seen.set(at.unwrap_or_default());
        self.cut.set(false);
        self.calling.set(calling);
        let result = body();
        self.calling.set(Calling::Nothing);
        result
    }

    /// Whether a hook is running, not the top level.
    pub fn is_running(&self) -> bool {
        self.calling.get() != Calling::Nothing
    }

    pub fn is_ending(&self) -> bool {
        self.calling.get() == Calling::End
    }

    pub fn update(&self, index: usize, value: f64, tags: Option<Tags>) {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).update(index, value, tags);
    }

    /// The first reason stands.
    pub fn abort(&self, reason: String) {
        self.abort.borrow_mut().get_or_insert(reason);
    }

    pub(super) fn take_abort(&self) -> Option<String> {
        self.abort.borrow_mut().take()
    }

    /// Whether the hook that runs is to be cut off.
    pub fn is_given_up(&self) -> bool {
        let given_up = self.is_running() && self.give_up.has_come();
        self.cut.set(given_up);
        given_up
    }

    /// Whether the last call was cut off.
    pub(super) fn was_cut(&self) -> bool {
        self.cut.get()
    }

    /// Whether a hook was called with another record since this was last asked:
    /// the limit on time is one of each call, not of a batch of them.
    pub fn has_moved_on(&self) -> bool {
        self.is_running() && self.at().is_some_and(|at| self.seen.replace(at) != at)
    }

    fn at(&self) -> Option<[u8; 8]> {
        self.records.borrow().as_ref().map(|records| records.read_bytes(0))
    }
}
