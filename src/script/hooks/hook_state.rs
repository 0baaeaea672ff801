//! The state that the callbacks of a hook VM share with the thread that drives it.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mlua::{Buffer, Table};

use crate::observability::CustomMetrics;
use crate::observability::custom_metrics::{MetricDeclaration, Tags};

/// The state of hooks, which only the host of a hook VM has.
pub(in crate::script) struct HookState {
    /// The metrics, which other threads read while hooks run.
    pub metrics: Arc<Mutex<CustomMetrics>>,
    /// The table `bench.state`.
    pub table: RefCell<Option<Table>>,
    calling: Cell<HookCall>,
    abort: RefCell<Option<String>>,
    /// The buffer of records. Its first 8 bytes are the index of the record that a hook is being
    /// called with.
    pub records: RefCell<Option<Buffer>>,
    seen: Cell<[u8; 8]>,
    give_up: Arc<GiveUp>,
    cut: Cell<bool>,
}

/// The time at which hooks are given up, including a call that has not returned.
#[derive(Debug, Default)]
pub struct GiveUp(Mutex<Option<Instant>>);

impl GiveUp {
    /// Gives hooks up at this instant, if not before.
    pub(super) fn by(&self, at: Instant) {
        let mut given_up = self.lock();
        *given_up = Some(given_up.map_or(at, |before| before.min(at)));
    }

    /// Gives hooks up at once.
    pub fn now(&self) {
        self.by(Instant::now());
    }

    /// Clears the time, so that calls from now on are not given up.
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
pub(super) enum HookCall {
    /// No hook: the top level, or nothing.
    Nothing,
    /// A hook on completions or phases.
    Hook,
    /// A hook on `bench.on_end`.
    End,
}

impl HookState {
    pub fn new(give_up: Arc<GiveUp>, metrics: Arc<Mutex<CustomMetrics>>) -> HookState {
        HookState {
            give_up,
            cut: Cell::new(false),
            metrics,
            table: RefCell::new(None),
            calling: Cell::new(HookCall::Nothing),
            abort: RefCell::new(None),
            records: RefCell::new(None),
            seen: Cell::new([0; 8]),
        }
    }

    /// Runs `body`, which calls a hook. For a hook on completions, `first` is the first record.
    pub(super) fn call<R>(
        &self,
        calling: HookCall,
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
        self.calling.set(HookCall::Nothing);
        result
    }

    /// Returns whether a hook is running, as opposed to the top level.
    pub fn is_running(&self) -> bool {
        self.calling.get() != HookCall::Nothing
    }

    pub fn is_ending(&self) -> bool {
        self.calling.get() == HookCall::End
    }

    /// Begins the updates of metrics by the script of this generation.
    pub(super) fn begin(&self, generation: u32, declarations: &[MetricDeclaration]) {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.begin(generation, declarations);
    }

    pub fn update(&self, index: usize, value: f64, tags: Option<Tags>) {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).update(index, value, tags);
    }

    /// Records the reason of a `bench.abort`; the first one stands.
    pub fn abort(&self, reason: String) {
        self.abort.borrow_mut().get_or_insert(reason);
    }

    pub(super) fn take_abort(&self) -> Option<String> {
        self.abort.borrow_mut().take()
    }

    /// Returns whether the running hook must be cut off.
    pub fn is_given_up(&self) -> bool {
        let given_up = self.is_running() && self.give_up.has_come();
        self.cut.set(given_up);
        given_up
    }

    /// Returns whether the last call was cut off.
    pub(super) fn was_cut(&self) -> bool {
        self.cut.get()
    }

    /// Returns whether a hook was called with another record since this was last asked: the time
    /// limit applies to each call, not to a batch of calls.
    pub fn has_moved_on(&self) -> bool {
        self.is_running() && self.at().is_some_and(|at| self.seen.replace(at) != at)
    }

    fn at(&self) -> Option<[u8; 8]> {
        self.records.borrow().as_ref().map(|records| records.read_bytes(0))
    }
}
