//! Hooks: functions of a script that consume the events of a run, in a VM and on a thread of their
//! own. Shards never wait for them.

mod carried_state;
mod errors;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub(super) mod filter;
pub(super) mod hook_state;
pub(super) mod hook_vm;
mod report;
pub(super) mod succession;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
mod tap;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use hook_state::GiveUp;
use hook_vm::{Filters, HookVm};
pub use report::{HookOutcome, HookReport};
pub use succession::HookSuccession;
use succession::{GRACE, HookEnd, HookPlace, LOOK};
pub use tap::HookTap;
use tap::{BATCHES_QUEUED, CompletionRecord, HookCounts};

use super::error::ScriptError;
use super::options::ScriptOptions;
use super::source::load_for_hooks;
use crate::ir::StreamHeader;
use crate::ir::event::FIRST_GENERATION;
use crate::observability::Layout;
use crate::observability::custom_metrics::MetricDeclaration;
use crate::observability::priority::lower_priority;
use crate::observability::thresholds::CustomKinds;

/// The hooks of one generation of a run.
pub struct Hooks {
    controls: Sender<Control>,
    filters: Filters,
    layout: Arc<Layout>,
    /// The queue that taps send to. `None` once [`Hooks::finish`] was called.
    queue: Option<mpsc::SyncSender<Vec<CompletionRecord>>>,
    succession: HookSuccession,
    end: Arc<HookEnd>,
    time_per_call: Duration,
}

/// Hooks that are loaded and not called yet. If they are dropped, they end without a trace.
pub struct LoadedHooks {
    hooks: Hooks,
    declarations: Vec<MetricDeclaration>,
    beginning: Sender<Option<Arc<HookEnd>>>,
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

enum Control {
    Phase(String, Edge),
    /// A request to finish. All taps are gone, so no more events come.
    Finish(Sender<HookOutcome>),
    End(Box<serde_json::Value>, Sender<HookOutcome>),
    /// A request to make way for the hooks of the next generation, when all taps are gone.
    MakeWay,
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
        succession: &HookSuccession,
        verdict: impl Fn(HookVerdict) + Send + 'static,
    ) -> Result<Option<Hooks>, ScriptError> {
        let header = layout.header.clone();
        let loaded = LoadedHooks::load(options, &header, layout, succession, verdict)?;
        Ok(loaded.map(LoadedHooks::begin))
    }

    /// Returns the tap of a shard, or None if there is no hook on completions.
    pub fn tap(&self) -> Option<HookTap> {
        let queue = self.queue.clone().filter(|_| !self.filters.0.is_empty())?;
        let counts = self.succession.counts();
        Some(HookTap::new(self.filters.clone(), self.layout.clone(), queue, counts))
    }

    /// Notifies hooks that a phase starts or ends.
    pub fn phase(&self, name: &str, edge: Edge) {
        // The thread outlives this handle, unless it failed, which `finish` reports.
        let _ = self.controls.send(Control::Phase(name.into(), edge));
    }

    /// Returns the switch that ends what hooks are doing or have left to do, for code that
    /// interrupts [`Hooks::finish`] or [`Hooks::end`].
    pub fn give_up(&self) -> Arc<GiveUp> {
        self.succession.give_up()
    }

    /// Makes way for the next hooks: they are called when these have been called with everything
    /// that was sent to their taps, and the taps are gone.
    pub fn make_way(self) {
        self.succession.replace(self.end.clone());
        // If the thread has failed, its end has come.
        let _ = self.controls.send(Control::MakeWay);
    }

    /// Delivers queued events for at most `bound`; the rest count as dropped. Call it when every
    /// tap is dropped. The report is of the hooks of all generations, and the bound is for all of
    /// them together.
    pub fn finish(&mut self, bound: Duration) -> HookReport {
        self.queue = None;
        let give_up = self.succession.give_up();
        give_up.by(Instant::now() + bound);
        let outcome = self.ask(Control::Finish, bound);
        give_up.no_more();
        self.succession.report(outcome)
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

impl LoadedHooks {
    /// Runs the script's top level in a VM of its own, if it declares hooks or metrics. `header` is
    /// that of the script's stream, and `layout` that of the run. `verdict` is called on the hooks'
    /// thread with what may end the run.
    ///
    /// # Errors
    /// [`ScriptError`] if the script does not load a second time, declares a metric of the run with
    /// another kind or unit, or if the hooks of too many earlier generations have not ended.
    pub fn load(
        options: &ScriptOptions,
        header: &StreamHeader,
        layout: Arc<Layout>,
        succession: &HookSuccession,
        verdict: impl Fn(HookVerdict) + Send + 'static,
    ) -> Result<Option<LoadedHooks>, ScriptError> {
        if !header.hooks {
            return Ok(None);
        }
        let place = succession.place().map_err(ScriptError::Script)?;
        let end = place.end();
        let (controls, controlled) = mpsc::channel();
        let (queue, queued) = mpsc::sync_channel(BATCHES_QUEUED);
        let (loading, loaded) = mpsc::sync_channel(1);
        let (beginning, begun) = mpsc::channel::<Option<Arc<HookEnd>>>();
        let generation = options.reload.map_or(FIRST_GENERATION, |reload| reload.generation);
        let work = {
            let (options, header, layout) = (options.clone(), header.clone(), layout.clone());
            let (succession, counts) = (succession.clone(), succession.counts());
            move || {
                let give_up = succession.give_up();
                let made = load_for_hooks(&options, &header, &succession)
                    .and_then(|(made, declared)| HookVm::new(made, declared, layout, give_up));
                let (mut hook_vm, filters) = match made {
                    Ok(made) => made,
                    Err(error) => return drop(loading.send(Err(error))),
                };
                let declarations = hook_vm.declarations.clone();
                if loading.send(Ok((filters, declarations))).is_err() {
                    return;
                }
                // The beginning waits for the load, and so does a reload.
                lower_priority();
                let Ok(previous) = begun.recv() else { return };
                let carried = previous.map(|previous| previous.wait()).unwrap_or_default();
                hook_vm.begin(generation, carried);
                let verdict = Box::new(verdict);
                let (aborted, failed) = (None, false);
                let thread = HookThread { hook_vm, queued, counts, verdict, aborted, failed };
                thread.run(&controlled, place);
            }
        };
        let internal = |text: &str| ScriptError::Internal(text.into());
        thread::Builder::new()
            .name("hooks".into())
            .spawn(work)
            .map_err(|error| internal(&format!("no thread for hooks: {error}")))?;
        let (filters, declarations) =
            loaded.recv().map_err(|_| internal("the hooks' thread ended"))??;
        let metrics = succession.metrics();
        let known = metrics.lock().unwrap_or_else(PoisonError::into_inner);
        known.check(&declarations).map_err(ScriptError::Script)?;
        drop(known);
        let hooks = Hooks {
            controls,
            filters,
            layout,
            queue: Some(queue),
            succession: succession.clone(),
            end,
            time_per_call: options.limits.time_per_resume,
        };
        Ok(Some(LoadedHooks { hooks, declarations, beginning }))
    }

    /// Returns the kinds of the script's metrics and of those that the run has already, as
    /// thresholds see them.
    pub fn metric_kinds(&self) -> CustomKinds {
        let own = self.declarations.iter().map(|one| (one.name.clone(), one.kind_and_unit()));
        self.hooks.succession.metric_kinds().into_iter().chain(own).collect()
    }

    /// Lets the hooks be called, after those that have made way for them.
    pub fn begin(self) -> Hooks {
        let LoadedHooks { hooks, declarations, beginning } = self;
        hooks.succession.declare(&declarations);
        // If the thread has failed, `finish` reports it.
        let _ = beginning.send(hooks.succession.replaced());
        hooks
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
    fn run(mut self, controls: &Receiver<Control>, place: HookPlace) {
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
                Ok(Control::MakeWay) => return self.make_way(place),
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

    /// Calls the hooks with everything that comes until the taps are gone, and ends them.
    fn make_way(mut self, place: HookPlace) {
        loop {
            match self.queued.try_recv() {
                Ok(batch) => self.hook_vm.deliver(&batch, &self.counts),
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.counts.idle.fetch_add(1, Relaxed);
                    thread::sleep(LOOK);
                }
            }
            self.judge();
        }
        let carried = self.hook_vm.carried_state();
        self.judge();
        let outcome = self.outcome();
        place.leave(carried, outcome);
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
