//! A run's hooks, and what they say of the run.

use std::sync::{Arc, PoisonError};

use tokio::sync::mpsc;

use super::Input;
use crate::ir::Phase;
use crate::observability::metrics::Layout;
use crate::observability::thresholds::{CustomFigure, CustomKinds};
use crate::observability::{ExitReason, Summary};
use crate::script::hooks::{Edge, HookOutcome, HookVerdict, Hooks};

/// What an error in a hook does to the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HookErrors {
    /// It is told at the end, with a count.
    #[default]
    Report,
    /// It ends the run.
    Abort,
}

/// The hooks, and the way their verdict takes to whoever may end the run.
pub struct RunHooks {
    pub hooks: Option<Hooks>,
    verdicts: mpsc::Receiver<HookVerdict>,
    on_error: HookErrors,
    /// The phase that hooks were last told of.
    phase: Option<usize>,
}

impl RunHooks {
    /// # Errors
    /// The script does not load a second time, in a VM for its hooks.
    pub fn start(
        input: &Input,
        layout: &Arc<Layout>,
        on_error: HookErrors,
    ) -> anyhow::Result<RunHooks> {
        // At the most one of each.
        let (telling, verdicts) = mpsc::channel(2);
        let hooks = match input {
            Input::Script(options) => Hooks::start(options, layout.clone(), move |verdict| {
                let _ = telling.try_send(verdict);
            })?,
            Input::Document { .. } => None,
        };
        Ok(RunHooks { hooks, verdicts, on_error, phase: None })
    }

    /// What thresholds may ask of the script's metrics.
    pub fn metric_kinds(&self) -> CustomKinds {
        self.hooks.as_ref().map(Hooks::metric_kinds).unwrap_or_default()
    }

    /// Reads the script's metrics as they are when asked.
    pub fn metric_reader(&self) -> impl Fn(&str, CustomFigure) -> Option<(f64, u64)> + use<> {
        let metrics = self.hooks.as_ref().map(Hooks::metrics);
        move |name, figure| {
            let metrics = metrics.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
            metrics.figure(name, figure)
        }
    }

    /// Ends with a verdict that ends the run; without one, never.
    pub async fn ends_the_run(&mut self) {
        while let Some(verdict) = self.verdicts.recv().await {
            match verdict {
                HookVerdict::Aborted(reason) => {
                    tracing::warn!("bench.abort: {reason}");
                    return;
                }
                HookVerdict::Failed if self.on_error == HookErrors::Abort => return,
                HookVerdict::Failed => {}
            }
        }
        std::future::pending().await
    }

    /// The phase that is being measured, if one is.
    pub fn measuring(&mut self, phase: Option<usize>, phases: &[Phase]) {
        let Some(hooks) = &self.hooks else { return };
        let name = |at: usize| phases.get(at).map_or("run", |phase| phase.name.as_str());
        let before = std::mem::replace(&mut self.phase, phase);
        if before == phase {
            return;
        }
        if let Some(before) = before {
            hooks.phase(name(before), Edge::End);
        }
        let Some(now) = phase else { return };
        // One that was over before anyone looked.
        for passed in before.map_or(0, |before| before + 1)..now {
            hooks.phase(name(passed), Edge::Start);
            hooks.phase(name(passed), Edge::End);
        }
        hooks.phase(name(now), Edge::Start);
    }

    /// Exit reasons and problems that follow from what hooks had to say.
    pub fn judge(&self, outcome: HookOutcome) -> Vec<(String, Option<ExitReason>)> {
        let failed = (self.on_error == HookErrors::Abort).then_some(ExitReason::Invalid);
        let errors = outcome.errors.into_iter().map(|error| (error, failed));
        let internal =
            outcome.internal.into_iter().map(|fault| (fault, Some(ExitReason::InternalError)));
        let aborted = outcome.aborted.into_iter();
        let aborted =
            aborted.map(|reason| (format!("bench.abort: {reason}"), Some(ExitReason::Aborted)));
        internal.chain(aborted).chain(errors).collect()
    }

    /// Calls `bench.on_end`, and adds what comes of it to the summary.
    pub fn end(&self, summary: &mut Summary) -> anyhow::Result<()> {
        let Some(hooks) = &self.hooks else { return Ok(()) };
        let outcome = hooks.end(serde_json::to_value(&*summary)?);
        for (problem, reason) in self.judge(outcome) {
            summary.add_problem(problem, reason);
        }
        Ok(())
    }
}
