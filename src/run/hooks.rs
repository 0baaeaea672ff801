//! The hooks of a run, and their effect on its end, its exit code and its summary.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::input::Input;
use super::options::HookErrorPolicy;
use super::phases::PhasePosition;
use super::signals::{Signals, interruptible};
use crate::ir::Phase;
use crate::ir::source::WHOLE_PHASE;
use crate::observability::Layout;
use crate::observability::thresholds::{CustomKinds, CustomValue};
use crate::observability::{ExitReason, Summary};
use crate::scheduler::{CutReason, StageCoordinator};
use crate::script::hooks::{Edge, HookOutcome, HookReport, HookVerdict, Hooks};

/// The hooks, and the channel for their verdicts, which may end the run.
pub struct RunHooks {
    pub hooks: Option<Hooks>,
    verdicts: mpsc::Receiver<HookVerdict>,
    on_error: HookErrorPolicy,
    phase_calls: PhaseCalls,
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
        // At most one verdict of each kind is sent.
        let (sender, verdicts) = mpsc::channel(2);
        let hooks = match input {
            Input::Script(options) => Hooks::start(options, layout.clone(), move |verdict| {
                let _ = sender.try_send(verdict);
            })?,
            Input::Document { .. } => None,
        };
        Ok(RunHooks { hooks, verdicts, on_error, phase_calls: PhaseCalls::default() })
    }

    /// Returns the kinds of the script's metrics, which thresholds may refer to.
    pub fn metric_kinds(&self) -> CustomKinds {
        self.hooks.as_ref().map(Hooks::metric_kinds).unwrap_or_default()
    }

    /// Returns a function that reads the current values of the script's metrics.
    pub fn metric_reader(&self) -> impl Fn(&str, CustomValue) -> Option<(f64, u64)> + use<> {
        let metrics = self.hooks.as_ref().map(Hooks::metrics);
        move |name, wanted| {
            let metrics = metrics.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
            metrics.value(name, wanted)
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

    /// Calls hooks for the phases that have started or ended since the previous call.
    pub fn reached(&mut self, position: Option<PhasePosition>, phases: &[Phase]) {
        let (Some(hooks), Some(position)) = (&self.hooks, position) else { return };
        for (at, edge) in self.phase_calls.catch_up(position) {
            hooks.phase(phases.get(at).map_or(WHOLE_PHASE, |phase| &phase.name), edge);
        }
    }

    /// Delivers queued events, for at most `bound`. A signal ends that at once.
    pub fn finish(
        &mut self,
        signals: &mut (Runtime, Signals),
        coordinator: &StageCoordinator,
        bound: Duration,
    ) -> HookReport {
        let Some(hooks) = &mut self.hooks else { return HookReport::default() };
        let give_up = hooks.give_up();
        let interrupt = || {
            coordinator.cut(CutReason::Interrupted);
            give_up.now();
        };
        interruptible(signals, interrupt, || hooks.finish(bound))
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

    /// Calls `bench.on_end` and adds its problems to the summary. A signal ends the call.
    pub fn end(
        &self,
        signals: &mut (Runtime, Signals),
        summary: &mut Summary,
    ) -> anyhow::Result<()> {
        let Some(hooks) = &self.hooks else { return Ok(()) };
        let summary_value = serde_json::to_value(&*summary)?;
        let give_up = hooks.give_up();
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
    use super::*;
    use crate::backend::registry::Target;
    use crate::observability::fixtures;
    use crate::run::{RunOptions, RunOutcome, run};
    use crate::scheduler::{Precision, RealClock, Timeline};
    use crate::script::ScriptOptions;

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
        hooks.hooks.as_ref().unwrap().give_up().now();
        let mut summary = Summary::new(fixtures::facts(), &fixtures::measurements());
        hooks.end(&mut signals, &mut summary).unwrap();
        assert_eq!(summary.problems, ["bench.abort: called to its end"]);
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
