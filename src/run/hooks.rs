//! The hooks of a run, and their effect on its end, its exit code and its summary.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::input::Input;
use super::options::HookErrorPolicy;
use super::phases::PhasePosition;
use super::signals::{Signals, interruptible};
use crate::ir::source::WHOLE_PHASE;
use crate::ir::{Phase, StreamHeader};
use crate::observability::Layout;
use crate::observability::thresholds::{CustomKinds, CustomValue};
use crate::observability::{ExitReason, Summary};
use crate::scheduler::{CutReason, StageCoordinator};
use crate::script::hooks::{
    Edge, HookOutcome, HookReport, HookSuccession, HookTap, HookVerdict, Hooks, LoadedHooks,
};

/// The hooks, and the channel for their verdicts, which may end the run. A reload replaces the hooks
/// by those of the next generation.
pub struct RunHooks {
    /// The hooks of the present generation.
    pub hooks: Option<Hooks>,
    loader: HookLoader,
    verdicts: mpsc::UnboundedReceiver<HookVerdict>,
    on_error: HookErrorPolicy,
    phase_calls: PhaseCalls,
}

/// A handle that loads the hooks of the next generation, on any thread, while the present ones are
/// called.
#[derive(Clone)]
pub struct HookLoader {
    succession: HookSuccession,
    verdicts: mpsc::UnboundedSender<HookVerdict>,
}

/// The hooks of the next generation, if it has any. Nothing of them is called before
/// [`RunHooks::swap`]. If they are dropped, they end without a trace.
pub struct NextHooks {
    hooks: Option<LoadedHooks>,
    metric_kinds: CustomKinds,
}

impl NextHooks {
    /// Returns the kinds of the metrics that thresholds of the next generation may refer to: those of
    /// its script and those that the run has already.
    pub fn metric_kinds(&self) -> &CustomKinds {
        &self.metric_kinds
    }
}

impl HookLoader {
    /// Loads the hooks of the next generation. Blocks until the top level of the script has run.
    /// `header` is that of the generation's own stream, and `layout` that of the run after the
    /// reload.
    ///
    /// # Errors
    /// The script does not load a second time, or declares a metric of the run with another kind or
    /// unit.
    pub fn prepare_next(
        &self,
        input: &Input,
        header: &StreamHeader,
        layout: &Arc<Layout>,
    ) -> anyhow::Result<NextHooks> {
        let sender = self.verdicts.clone();
        let hooks = match input {
            Input::Script(options) => LoadedHooks::load(
                options,
                header,
                layout.clone(),
                &self.succession,
                move |verdict| {
                    let _ = sender.send(verdict);
                },
            )?,
            Input::Document { .. } => None,
        };
        let metric_kinds = match &hooks {
            Some(hooks) => hooks.metric_kinds(),
            None => self.succession.metric_kinds(),
        };
        Ok(NextHooks { hooks, metric_kinds })
    }
}

/// The number of phases whose start, and whose end, hooks were called for.
#[derive(Debug, Default)]
struct PhaseCalls {
    started: usize,
    ended: usize,
}

impl PhaseCalls {
    /// Returns the starts and ends of phases that hooks must be called for now, in order. Each
    /// phase comes up once, however short it was.
    fn catch_up(&mut self, position: PhasePosition) -> Vec<(usize, Edge)> {
        let mut edges = Vec::new();
        let end = |calls: &mut PhaseCalls, edges: &mut Vec<_>| {
            if calls.ended < calls.started {
                edges.push((calls.ended, Edge::End));
                calls.ended += 1;
            }
        };
        while self.started <= position.phase {
            end(self, &mut edges);
            edges.push((self.started, Edge::Start));
            self.started += 1;
        }
        if position.is_over {
            end(self, &mut edges);
        }
        edges
    }
}

impl RunHooks {
    /// Starts the hooks, if `input` is a script that declares any.
    ///
    /// # Errors
    /// The script does not load a second time, in a VM for its hooks.
    pub fn start(
        input: &Input,
        layout: &Arc<Layout>,
        on_error: HookErrorPolicy,
    ) -> anyhow::Result<RunHooks> {
        // The hooks of a generation send at most one verdict of each kind.
        let (sender, verdicts) = mpsc::unbounded_channel();
        let loader = HookLoader { succession: HookSuccession::default(), verdicts: sender };
        let first = loader.prepare_next(input, &layout.header, layout)?;
        let phase_calls = PhaseCalls::default();
        let mut hooks = RunHooks { hooks: None, loader, verdicts, on_error, phase_calls };
        hooks.swap(first);
        Ok(hooks)
    }

    /// Returns a handle that loads the hooks of the next generation without these.
    pub fn loader(&self) -> HookLoader {
        self.loader.clone()
    }

    /// Replaces the hooks by those of the next generation. Each shard then has to replace its tap by
    /// one of [`RunHooks::tap`]. The next hooks are called when the taps of the present ones are
    /// gone and everything that was sent to these was delivered.
    pub fn swap(&mut self, next: NextHooks) {
        if let Some(present) = self.hooks.take() {
            present.make_way();
        }
        self.hooks = next.hooks.map(LoadedHooks::begin);
    }

    /// Returns a tap of the present hooks for a shard, or None if none of them is on completions.
    pub fn tap(&self) -> Option<HookTap> {
        self.hooks.as_ref().and_then(Hooks::tap)
    }

    /// Returns the kinds of the script's metrics, which thresholds may refer to.
    pub fn metric_kinds(&self) -> CustomKinds {
        self.loader.succession.metric_kinds()
    }

    /// Returns a function that reads the current values of the script's metrics.
    pub fn metric_reader(&self) -> impl Fn(&str, CustomValue) -> Option<(f64, u64)> + use<> {
        let metrics = self.loader.succession.metrics();
        move |name, wanted| {
            metrics.lock().unwrap_or_else(PoisonError::into_inner).value(name, wanted)
        }
    }

    /// Waits for a verdict that ends the run. Without one, the future never completes.
    pub async fn ends_the_run(&mut self) {
        while let Some(verdict) = self.verdicts.recv().await {
            match verdict {
                HookVerdict::Aborted(reason) => {
                    tracing::warn!("bench.abort: {reason}");
                    return;
                }
                HookVerdict::Failed if self.on_error == HookErrorPolicy::Abort => return,
                HookVerdict::Failed => {}
            }
        }
        std::future::pending().await
    }

    /// Calls hooks for the phases that have started or ended since the previous call. Those of a
    /// later generation are not called for what was before it.
    pub fn reached(&mut self, position: Option<PhasePosition>, phases: &[Phase]) {
        let Some(position) = position else { return };
        for (at, edge) in self.phase_calls.catch_up(position) {
            let Some(hooks) = &self.hooks else { continue };
            hooks.phase(phases.get(at).map_or(WHOLE_PHASE, |phase| &phase.name), edge);
        }
    }

    /// Delivers queued events of all generations, for at most `bound`. A signal ends that at once.
    pub fn finish(
        &mut self,
        signals: &mut (Runtime, Signals),
        coordinator: &StageCoordinator,
        bound: Duration,
    ) -> HookReport {
        let succession = &self.loader.succession;
        let give_up = succession.give_up();
        let interrupt = || {
            coordinator.cut(CutReason::Interrupted);
            give_up.now();
        };
        match &mut self.hooks {
            Some(hooks) => interruptible(signals, interrupt, || hooks.finish(bound)),
            None if succession.is_over() => succession.finish(bound),
            None => interruptible(signals, interrupt, || succession.finish(bound)),
        }
    }

    /// Returns the problems that hooks reported, each with its reason for the exit code, if it has
    /// one.
    pub fn judge(&self, outcome: HookOutcome) -> Vec<(String, Option<ExitReason>)> {
        let failed = match self.on_error {
            HookErrorPolicy::Report => Some(ExitReason::HooksFailed),
            HookErrorPolicy::Ignore => None,
            HookErrorPolicy::Abort => Some(ExitReason::Invalid),
        };
        let errors = outcome.errors.into_iter().map(|error| (error, failed));
        let internal =
            outcome.internal.into_iter().map(|fault| (fault, Some(ExitReason::InternalError)));
        let aborted = outcome.aborted.into_iter();
        let aborted =
            aborted.map(|reason| (format!("bench.abort: {reason}"), Some(ExitReason::Aborted)));
        internal.chain(aborted).chain(errors).collect()
    }

    /// Calls `bench.on_end` of the present generation and adds its problems to the summary. A signal ends the call.
    pub fn end(
        &self,
        signals: &mut (Runtime, Signals),
        summary: &mut Summary,
    ) -> anyhow::Result<()> {
        let Some(hooks) = &self.hooks else { return Ok(()) };
        let summary_value = serde_json::to_value(&*summary)?;
        let give_up = self.loader.succession.give_up();
        // A signal that came after everything was delivered must not prevent this call.
        give_up.no_more();
        let mut interrupted = false;
        let interrupt = || {
            interrupted = true;
            give_up.now();
        };
        let outcome = interruptible(signals, interrupt, || hooks.end(summary_value));
        if interrupted {
            let problem = "bench.on_end was interrupted, and may not have finished";
            summary.add_problem(problem.into(), Some(ExitReason::Interrupted));
        }
        for (problem, reason) in self.judge(outcome) {
            summary.add_problem(problem, reason);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::backend::registry::Target;
    use crate::observability::{MetricSummary, fixtures};
    use crate::run::{RunOptions, RunOutcome, run};
    use crate::scheduler::{Precision, RealClock, Timeline};
    use crate::script::{Reload, ScriptOptions};

    #[test]
    fn each_phase_is_called_once_and_in_order_however_seldom_anyone_looks() {
        let all = |looks: &[(usize, bool)]| -> Vec<(usize, Edge)> {
            let mut calls = PhaseCalls::default();
            let reached =
                looks.iter().map(|(phase, over)| PhasePosition { phase: *phase, is_over: *over });
            reached.flat_map(|position| calls.catch_up(position)).collect()
        };
        let (start, end) = (Edge::Start, Edge::End);
        let three = [(0, start), (0, end), (1, start), (1, end), (2, start), (2, end)];
        for looks in [
            &[(0, false), (1, false), (2, false), (2, true), (2, true)][..],
            &[(2, true)],
            &[(0, false), (0, false), (2, true)],
            &[(1, false), (2, false), (2, true)],
        ] {
            assert_eq!(all(looks), three, "{looks:?}");
        }
        assert_eq!(all(&[(1, true), (1, true)]), three[..4], "cut in the second of them");
    }

    #[test]
    fn a_signal_that_came_when_all_was_delivered_does_not_end_on_end_unsaid() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.lua");
        let script = "bench.workload { name = 'w', iteration = function(c) c:stat('a') end }
            bench.on_end(function() for i = 1, 1e6 do end bench.abort('called to its end') end)";
        std::fs::write(&path, script).unwrap();
        let input =
            Input::Script(ScriptOptions { location: path.into(), ..ScriptOptions::default() });
        let header = Arc::new(input.open(1.0, None, 1).unwrap().header);
        let layout = Arc::new(Layout::new(header, Vec::new(), Duration::from_millis(10)));
        let mut hooks = RunHooks::start(&input, &layout, HookErrorPolicy::Report).unwrap();
        let mut signals = Signals::listen().unwrap();
        let clock: Arc<RealClock> = RealClock::start(Precision::Sleep);
        let coordinator = StageCoordinator::new(Timeline::new(1, &[], 0, 0), clock);
        hooks.finish(&mut signals, &coordinator, Duration::from_secs(20));
        hooks.loader.succession.give_up().now();
        let mut summary = Summary::new(fixtures::facts(), &fixtures::measurements());
        hooks.end(&mut signals, &mut summary).unwrap();
        assert_eq!(summary.problems, ["bench.abort: called to its end"]);
    }

    #[test]
    fn hooks_that_a_reload_adds_are_called_from_then_on_and_only_the_last_ones_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.lua");
        let opened = |generation: u32, hooks: &str| {
            let workload = "bench.workload { name = 'w', iteration = function(c) c:stat('a') end }";
            std::fs::write(&path, format!("{workload}\n{hooks}")).unwrap();
            let reload = (generation > 1).then_some(Reload { generation, begin_ns: 0 });
            let location = path.clone().into();
            let input =
                Input::Script(ScriptOptions { location, reload, ..ScriptOptions::default() });
            let header = Arc::new(input.open(1.0, None, 1).unwrap().header);
            let phases = ["a", "b", "c"].map(|name| Phase {
                name: name.into(),
                duration_ns: 1_000_000_000,
                record: true,
            });
            let layout = Layout::new(header.clone(), phases.to_vec(), Duration::from_millis(10));
            (input, header, Arc::new(layout), phases)
        };
        let (input, _, layout, phases) = opened(1, "");
        let mut hooks = RunHooks::start(&input, &layout, HookErrorPolicy::Report).unwrap();
        let loader = hooks.loader();
        let reach = |hooks: &mut RunHooks, phase, is_over| {
            hooks.reached(Some(PhasePosition { phase, is_over }), &phases);
        };
        let load = |loader: &HookLoader, generation, text: &str| {
            let (input, header, layout, _) = opened(generation, text);
            let loader = loader.clone();
            let load = move || loader.prepare_next(&input, &header, &layout).unwrap();
            std::thread::spawn(load).join().unwrap()
        };
        reach(&mut hooks, 0, false);
        let calls = "local calls = bench.counter('calls')
            bench.on_phase(function(name, edge) calls:add(1, { call = name .. ' ' .. edge }) end)";
        hooks.swap(load(
            &loader,
            2,
            &format!("{calls} bench.on_end(function() bench.abort('2') end)"),
        ));
        reach(&mut hooks, 1, false);
        let next =
            load(&loader, 3, &format!("{calls} bench.on_end(function() bench.abort('3') end)"));
        assert!(next.metric_kinds().contains_key("calls"));
        hooks.swap(next);
        reach(&mut hooks, 2, true);
        let mut signals = Signals::listen().unwrap();
        let clock: Arc<RealClock> = RealClock::start(Precision::Sleep);
        let coordinator = StageCoordinator::new(Timeline::new(1, &[], 0, 0), clock);
        let report = hooks.finish(&mut signals, &coordinator, Duration::from_secs(120));
        let calls = |metrics: &BTreeMap<String, MetricSummary>| -> Vec<String> {
            metrics["calls"].tagged.iter().map(|part| part.tags["call"].clone()).collect()
        };
        assert_eq!(calls(&report.by_generation[&2]), ["a end", "b start"]);
        assert_eq!(calls(&report.by_generation[&3]), ["b end", "c end", "c start"]);
        assert_eq!(calls(&report.metrics).len(), 5, "each of them once");
        let mut summary = Summary::new(fixtures::facts(), &fixtures::measurements());
        hooks.end(&mut signals, &mut summary).unwrap();
        assert_eq!(summary.problems, ["bench.abort: 3"]);
    }

    #[test]
    fn a_panic_in_a_hook_is_an_internal_error_of_a_run_whose_results_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.lua");
        let script = "bench.workload { name = 'w', iteration = function(c) c:stat('a') end }
            local n = bench.counter('n')
            bench.on_complete(function() n:add() pcall(bench.state.panics) end)
            bench.on_end(function() bench.abort('not called') end)";
        std::fs::write(&path, script).unwrap();
        let options = ScriptOptions {
            location: path.into(),
            iterations: Some(5),
            ..ScriptOptions::default()
        };
        let options = (
            Input::Script(options),
            RunOptions {
                out: Some(directory.path().join("out")),
                allow_late: true,
                ..RunOptions::new(Target::parse("sim:null").unwrap())
            },
        );
        let RunOutcome { summary, directory: out, .. } = run(&options.0, &options.1).unwrap();
        assert_eq!(
            (summary.exit_code, &summary.exit_reasons[..]),
            (1, &[ExitReason::InternalError][..])
        );
        let problem = "internal error: wanted; this is a fault in smbench, please report it";
        assert_eq!(summary.problems, [problem]);
        assert_eq!(
            (summary.trust.hook_events.delivered, summary.trust.hook_events.dropped),
            (1, 4)
        );
        let written = std::fs::read_to_string(out.unwrap().join("summary.json")).unwrap();
        let written: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(written["totals"]["operations"], 5);
        assert_eq!(written["metrics"]["n"]["value"], 1);
    }
}
