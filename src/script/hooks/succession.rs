//! The succession of the hooks of a run's generations: what they share, and the order in which they
//! are called.
//!
//! The hooks of a generation are loaded aside and wait until it is accepted. Then the shards send to
//! them. They are called once the previous hooks have been called with everything that was sent to
//! those, and have left `bench.state` behind. So no event comes to two generations of hooks, and
//! none before an earlier one. No shard waits for that: what does not fit the queue meanwhile counts
//! as dropped.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::carried_state::CarriedState;
use super::hook_state::GiveUp;
use super::report::{HookOutcome, HookReport};
use super::tap::HookCounts;
use crate::observability::custom_metrics::MetricDeclaration;
use crate::observability::thresholds::CustomKinds;
use crate::observability::{CustomMetrics, HookEvents};

/// The interval at which the hooks' threads look for events. They are not woken, because that would
/// cost the shards a system call.
pub(super) const LOOK: Duration = Duration::from_millis(5);
/// The time that ending a call may take beyond its limit, on a busy host.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// Maximum number of generations whose hooks are loaded. Each has a VM of its own.
const MAX_LOADED: usize = 8;
/// Maximum number of errors that are kept of the hooks that were replaced.
const MAX_ERRORS: usize = 100;

/// The state that the hooks of all generations of a run share. Its clones share it, too.
#[derive(Clone, Default)]
pub struct HookSuccession(Arc<Shared>);

#[derive(Default)]
struct Shared {
    metrics: Arc<Mutex<CustomMetrics>>,
    counts: Arc<HookCounts>,
    give_up: Arc<GiveUp>,
    /// The end of the latest hooks that were replaced.
    replaced: Mutex<Option<Arc<HookEnd>>>,
    /// The outcome of all hooks that were replaced and have ended.
    outcome: Mutex<HookOutcome>,
    /// The number of errors that were not kept.
    other_errors: AtomicUsize,
    loaded: AtomicUsize,
}

/// The end of the hooks of a generation. It contains what they leave in `bench.state`, until the
/// next hooks take it.
#[derive(Debug, Default)]
pub(super) struct HookEnd(Mutex<End>);

#[derive(Debug, Default)]
enum End {
    #[default]
    NotYet,
    Left(CarriedState),
    Taken,
}

impl HookEnd {
    /// Waits for the end, and takes what was left. The thread polls, because the hooks' threads have
    /// a low priority and wake no one.
    pub fn wait(&self) -> CarriedState {
        loop {
            if self.has_come() {
                return match std::mem::replace(&mut *self.lock(), End::Taken) {
                    End::Left(state) => state,
                    End::NotYet | End::Taken => CarriedState::default(),
                };
            }
            thread::sleep(LOOK);
        }
    }

    fn has_come(&self) -> bool {
        !matches!(*self.lock(), End::NotYet)
    }

    fn leave(&self, state: CarriedState) {
        let mut end = self.lock();
        if matches!(*end, End::NotYet) {
            *end = End::Left(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, End> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one generation's hooks in the succession, which their thread holds. When it is
/// dropped, they have ended, whatever the reason.
pub(super) struct HookPlace {
    succession: HookSuccession,
    end: Arc<HookEnd>,
}

impl HookPlace {
    pub fn end(&self) -> Arc<HookEnd> {
        self.end.clone()
    }

    /// Ends hooks that were replaced.
    pub fn leave(self, state: CarriedState, outcome: HookOutcome) {
        self.succession.add(outcome);
        self.end.leave(state);
    }
}

impl Drop for HookPlace {
    fn drop(&mut self) {
        if thread::panicking() {
            let internal = Some("the hooks' thread ended".into());
            self.succession.add(HookOutcome { internal, ..HookOutcome::default() });
        }
        self.end.leave(CarriedState::default());
        self.succession.0.loaded.fetch_sub(1, Relaxed);
    }
}

impl HookSuccession {
    /// Returns the metrics, which hooks keep updating.
    pub fn metrics(&self) -> Arc<Mutex<CustomMetrics>> {
        self.0.metrics.clone()
    }

    /// Returns the kinds of the metrics, as thresholds see them.
    pub fn metric_kinds(&self) -> CustomKinds {
        lock(&self.0.metrics).threshold_kinds()
    }

    pub(super) fn declare(&self, declarations: &[MetricDeclaration]) {
        lock(&self.0.metrics).declare(declarations);
    }

    /// Returns the switch that ends what the hooks of all generations are doing or have left to do.
    pub fn give_up(&self) -> Arc<GiveUp> {
        self.0.give_up.clone()
    }

    pub(super) fn counts(&self) -> Arc<HookCounts> {
        self.0.counts.clone()
    }

    /// Returns a place for the hooks of one more generation.
    ///
    /// # Errors
    /// Too many are loaded, because earlier ones are too slow for their events.
    pub(super) fn place(&self) -> Result<HookPlace, String> {
        if self.0.loaded.fetch_add(1, Relaxed) >= MAX_LOADED {
            self.0.loaded.fetch_sub(1, Relaxed);
            return Err(format!(
                "the hooks of {MAX_LOADED} earlier generations still have events to be called with; wait for them, or make the hooks faster"
            ));
        }
        Ok(HookPlace { succession: self.clone(), end: Arc::default() })
    }

    /// Returns the end of the hooks that the next ones have to wait for.
    pub(super) fn replaced(&self) -> Option<Arc<HookEnd>> {
        lock(&self.0.replaced).clone()
    }

    pub(super) fn replace(&self, end: Arc<HookEnd>) {
        *lock(&self.0.replaced) = Some(end);
    }

    fn add(&self, outcome: HookOutcome) {
        let mut kept = lock(&self.0.outcome);
        for error in outcome.errors {
            if kept.errors.len() < MAX_ERRORS {
                kept.errors.push(error);
            } else {
                self.0.other_errors.fetch_add(1, Relaxed);
            }
        }
        kept.internal = kept.internal.take().or(outcome.internal);
        kept.aborted = kept.aborted.take().or(outcome.aborted);
    }

    /// Returns whether all hooks that were replaced have ended.
    pub fn is_over(&self) -> bool {
        self.replaced().is_none_or(|end| end.has_come())
    }

    /// Waits for the end of hooks that were replaced by none, for at most `bound`. The events that
    /// are left then count as dropped. Call it when every tap is dropped.
    pub fn finish(&self, bound: Duration) -> HookReport {
        let last = Instant::now() + bound;
        self.0.give_up.by(last);
        let mut outcome = HookOutcome::default();
        while !self.is_over() {
            if Instant::now() > last + GRACE {
                outcome.internal = Some("the hooks did not end within their limits".into());
                break;
            }
            thread::sleep(LOOK);
        }
        self.0.give_up.no_more();
        self.report(outcome)
    }

    /// Returns the results of all generations. `last` is the outcome of the latest hooks.
    pub(super) fn report(&self, last: HookOutcome) -> HookReport {
        self.add(last);
        let mut outcome = std::mem::take(&mut *lock(&self.0.outcome));
        match self.0.other_errors.swap(0, Relaxed) {
            0 => {}
            1 => outcome.errors.push("1 further error in hooks".into()),
            others => outcome.errors.push(format!("{others} further errors in hooks")),
        }
        let counts = &self.0.counts;
        let events = HookEvents {
            delivered: counts.delivered.load(Relaxed),
            dropped: counts.dropped.load(Relaxed),
        };
        let metrics = lock(&self.0.metrics);
        let (metrics, by_generation) = (metrics.summary(), metrics.by_generation());
        HookReport { events, metrics, by_generation, outcome }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
