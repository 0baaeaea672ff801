//! Hooks: functions of a script that consume the events of a run, in a VM and on a thread of their
//! own. Shards never wait for them.

mod errors;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub(super) mod filter;
pub(super) mod hook_state;
pub(super) mod hook_vm;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
mod tap;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use hook_state::GiveUp;
use hook_vm::{Filters, HookVm};
pub use tap::HookTap;
use tap::{BATCHES_QUEUED, CompletionRecord, HookCounts};

use super::error::ScriptError;
use super::options::ScriptOptions;
use super::source::load_for_hooks;
use crate::observability::Layout;
use crate::observability::priority::lower_priority;
use crate::observability::thresholds::CustomKinds;
use crate::observability::{CustomMetrics, HookEvents, MetricSummary};

/// The interval at which the thread looks for events. The thread is not woken, because that would
/// cost the shards a system call.
const LOOK: Duration = Duration::from_millis(5);
/// The time that ending a call may take beyond its limit, on a busy host.
const GRACE: Duration = Duration::from_secs(5);

/// A run's hooks.
pub struct Hooks {
    controls: Sender<Control>,
    filters: Filters,
    layout: Arc<Layout>,
    /// The queue that taps send to. `None` once [`Hooks::finish`] was called.
    queue: Option<mpsc::SyncSender<Vec<CompletionRecord>>>,
    counts: Arc<HookCounts>,
    metrics: Arc<Mutex<CustomMetrics>>,
    give_up: Arc<GiveUp>,
    time_per_call: Duration,
}

/// A result of hooks that may end a run early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookVerdict {
    /// `bench.abort`, with its reason.
    Aborted(String),
    /// A hook failed. The receiver decides whether that ends the run.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    Start,
    End,
}

/// The results of all hooks.
#[derive(Debug, Default)]
pub struct HookReport {
    pub events: HookEvents,
    pub metrics: BTreeMap<String, MetricSummary>,
    pub outcome: HookOutcome,
}

/// The outcome of hooks: their errors and aborts.
#[derive(Debug, Default)]
pub struct HookOutcome {
    /// One message for each line that failed, with a count.
    pub errors: Vec<String>,
    /// A fault of smbench.
    pub internal: Option<String>,
    /// The reason of the first `bench.abort`.
    pub aborted: Option<String>,
}

enum Control {
    Phase(String, Edge),
    /// A request to finish. All taps are gone, so no more events come.
    Finish(Sender<HookOutcome>),
    End(Box<serde_json::Value>, Sender<HookOutcome>),
}

impl Hooks {
    /// Runs the script's top level in a VM of its own, if it declares hooks or metrics. `verdict`
    /// is called on the hooks' thread with what may end the run.
    ///
    /// # Errors
    /// [`ScriptError`] if the script does not load a second time.
    pub fn start(
        options: &ScriptOptions,
        layout: Arc<Layout>,
        verdict: impl Fn(HookVerdict) + Send + 'static,
    ) -> Result<Option<Hooks>, ScriptError> {
        if !layout.header.hooks {
            return Ok(None);
        }
        let (controls, controlled) = mpsc::channel();
        let (queue, queued) = mpsc::sync_channel(BATCHES_QUEUED);
        let (loading, loaded) = mpsc::sync_channel(1);
        let counts = Arc::new(HookCounts::default());
        let give_up = Arc::new(GiveUp::default());
        let work = {
            let (options, layout) = (options.clone(), layout.clone());
            let (counts, give_up) = (counts.clone(), give_up.clone());
            move || {
                lower_priority();
                let made = load_for_hooks(&options, &layout.header, give_up.clone())
                    .and_then(|(made, declared)| HookVm::new(made, declared, layout, give_up));
                let (hook_vm, filters) = match made {
                    Ok(made) => made,
                    Err(error) => return drop(loading.send(Err(error))),
                };
                let metrics = hook_vm.metrics();
                let aborted = None;
                let verdict = Box::new(verdict);
                let failed = false;
                let thread = HookThread { hook_vm, queued, counts, verdict, aborted, failed };
                if loading.send(Ok((filters, metrics))).is_ok() {
                    thread.run(&controlled);
                }
            }
        };
        let internal = |text: &str| ScriptError::Internal(text.into());
        thread::Builder::new()
            .name("hooks".into())
            .spawn(work)
            .map_err(|error| internal(&format!("no thread for hooks: {error}")))?;
        let (filters, metrics) =
            loaded.recv().map_err(|_| internal("the hooks' thread ended"))??;
        Ok(Some(Hooks {
            controls,
            filters,
            layout,
            queue: Some(queue),
            counts,
            metrics,
            give_up,
            time_per_call: options.limits.time_per_resume,
        }))
    }

    /// Returns the tap of a shard, or None if there is no hook on completions.
    pub fn tap(&self) -> Option<HookTap> {
        let queue = self.queue.clone().filter(|_| !self.filters.0.is_empty())?;
        Some(HookTap::new(self.filters.clone(), self.layout.clone(), queue, self.counts.clone()))
    }

    /// Notifies hooks that a phase starts or ends.
    pub fn phase(&self, name: &str, edge: Edge) {
        // The thread outlives this handle, unless it failed, which `finish` reports.
        let _ = self.controls.send(Control::Phase(name.into(), edge));
    }

    /// Returns the kinds of the script's metrics, as thresholds see them.
    pub fn metric_kinds(&self) -> CustomKinds {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).threshold_kinds()
    }

    /// Returns the metrics, which hooks keep updating.
    pub fn metrics(&self) -> Arc<Mutex<CustomMetrics>> {
        self.metrics.clone()
    }

    /// Returns the switch that ends what hooks are doing or have left to do, for code that
    /// interrupts [`Hooks::finish`] or [`Hooks::end`].
    pub fn give_up(&self) -> Arc<GiveUp> {
        self.give_up.clone()
    }

    /// Delivers queued events for at most `bound`; the rest count as dropped. Call it when every
    /// tap is dropped.
    pub fn finish(&mut self, bound: Duration) -> HookReport {
        self.queue = None;
        self.give_up.by(Instant::now() + bound);
        let outcome = self.ask(Control::Finish, bound);
        self.give_up.no_more();
        let events = HookEvents {
            delivered: self.counts.delivered.load(Relaxed),
            dropped: self.counts.dropped.load(Relaxed),
        };
        let metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner).summary();
        HookReport { events, metrics, outcome }
    }

    /// Calls `bench.on_end`.
    pub fn end(&self, summary: serde_json::Value) -> HookOutcome {
        let bound = self.time_per_call.saturating_mul(filter::MAX_HOOKS as u32);
        self.ask(|reply| Control::End(Box::new(summary), reply), bound)
    }

    /// Sends a request to the thread, and waits for the reply for a bounded time.
    fn ask(
        &self,
        control: impl FnOnce(Sender<HookOutcome>) -> Control,
        bound: Duration,
    ) -> HookOutcome {
        let (reply, replied) = mpsc::channel();
        let most = bound.saturating_add(GRACE);
        let lost = match self.controls.send(control(reply)) {
            Ok(()) => match replied.recv_timeout(most) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Timeout) => "the hooks did not end within their limits",
                Err(RecvTimeoutError::Disconnected) => "the hooks' thread ended",
            },
            Err(_) => "the hooks' thread ended",
        };
        HookOutcome { internal: Some(lost.into()), ..HookOutcome::default() }
    }
}

struct HookThread {
    hook_vm: HookVm,
    queued: Receiver<Vec<CompletionRecord>>,
    counts: Arc<HookCounts>,
    verdict: Box<dyn Fn(HookVerdict)>,
    aborted: Option<String>,
    failed: bool,
}

impl HookThread {
    fn run(mut self, controls: &Receiver<Control>) {
        loop {
            match controls.try_recv() {
                Ok(Control::Phase(name, edge)) => {
                    let edge = if edge == Edge::Start { "start" } else { "end" };
                    self.hook_vm.phase(&name, edge, &self.counts);
                }
                Ok(Control::Finish(reply)) => {
                    while let Ok(batch) = self.queued.recv() {
                        self.hook_vm.deliver(&batch, &self.counts);
                    }
                    self.judge();
                    let _ = reply.send(self.outcome());
                    return self.wait_for_the_end(controls);
                }
                Ok(Control::End(_, reply)) => drop(reply),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => match self.queued.try_recv() {
                    Ok(batch) => self.hook_vm.deliver(&batch, &self.counts),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => {
                        self.counts.idle.fetch_add(1, Relaxed);
                        thread::sleep(LOOK);
                    }
                },
            }
            self.judge();
        }
    }

    fn judge(&mut self) {
        if let Some(reason) = self.hook_vm.take_abort()
            && self.aborted.is_none()
        {
            self.aborted = Some(reason.clone());
            (self.verdict)(HookVerdict::Aborted(reason));
        }
        if self.hook_vm.errors.any() && !self.failed {
            self.failed = true;
            (self.verdict)(HookVerdict::Failed);
        }
    }

    fn outcome(&mut self) -> HookOutcome {
        let (errors, internal) = self.hook_vm.errors.take();
        HookOutcome { errors, internal, aborted: self.aborted.take() }
    }

    fn wait_for_the_end(mut self, controls: &Receiver<Control>) {
        while let Ok(control) = controls.recv() {
            if let Control::End(summary, reply) = control {
                self.hook_vm.end(&summary);
                self.aborted = self.hook_vm.take_abort();
                let _ = reply.send(self.outcome());
            }
        }
    }
}
