//! The main thread's loop while a run is under way: progress, Ctrl-C, thresholds, hooks, the use of
//! the processors, and the end of the run.

use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use rustix::process::Signal;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::checks::Checks;
use super::hooks::{Reached, RunHooks};
use super::interrupt::Signals;
use super::processors::ProcessorWatch;
use crate::backend::Clock;
use crate::ir::Phase;
use crate::observability::Processors;
use crate::observability::progress::{self, ProgressDisplay};
use crate::scheduler::timeline::Orders;
use crate::scheduler::{CutReason, PhaseSpan, RealClock, Stage, StageCoordinator};

/// A run under way.
pub struct Attended<'a> {
    pub coordinator: &'a StageCoordinator,
    pub clock: &'a RealClock,
    pub phases: &'a [Phase],
    /// The number of clients whose operations are made ahead of time zero.
    pub iterating: u32,
    pub progress: &'a ProgressDisplay,
    pub checks: &'a mut Checks,
    pub hooks: &'a mut RunHooks,
    /// The channel that closes when every shard has ended.
    pub ended: &'a mut mpsc::Receiver<()>,
}

/// Follows a run until every shard has ended, and returns the use of the processors. The first
/// signal cuts the run and lets it drain; a second signal ends it at once. A threshold or a hook
/// may cut the run too.
pub fn attend(
    (runtime, signals): &mut (Runtime, Signals),
    attended: Attended<'_>,
) -> anyhow::Result<Option<Processors>> {
    let Attended { coordinator, clock, phases, progress, checks, hooks, ended, .. } = attended;
    let iterating = attended.iterating;
    runtime.block_on(async {
        let mut orders = coordinator.subscribe();
        let custom = hooks.metric_reader();
        let spans = PhaseSpan::chain(phases);
        let mut interrupted = false;
        let mut shown = 0;
        let mut processors = ProcessorWatch::default();
        let sigcont = SignalKind::from_raw(Signal::CONT.as_raw());
        let mut continued = signal(sigcont).context("SIGCONT cannot be listened to")?;
        progress.stage(progress::ProgressStage::Connecting { clients: iterating });
        loop {
            let now_ns = clock.now_ns();
            let current = orders.borrow().clone();
            let reached = reached_phase(coordinator, &current, &spans, now_ns);
            hooks.reached(reached, phases);
            let measuring = reached.is_some_and(|reached| !reached.is_over);
            processors.note(measuring, now_ns);
            show_entered(coordinator, current.stage, &mut shown, iterating, progress);
            let next_phase_ns = show(&current, (&spans, phases), now_ns, progress);
            let next_phase = clock.sleep_until(next_phase_ns.unwrap_or(u64::MAX));
            tokio::select! {
                _ = continued.recv() => processors.note_continued(),
                _ = ended.recv() => {
                    if continued.recv().now_or_never().is_some() {
                        processors.note_continued();
                    }
                    let now_ns = clock.now_ns();
                    let current = orders.borrow().clone();
                    hooks.reached(reached_phase(coordinator, &current, &spans, now_ns), phases);
                    show_entered(coordinator, current.stage, &mut shown, iterating, progress);
                    processors.note(false, now_ns);
                    return Ok(processors.seen());
                }
                changed = orders.changed() => changed?,
                () = next_phase, if next_phase_ns.is_some() => {}
                () = checks.follow(measuring.then_some(current.origin_ns), coordinator, clock, phases, &custom) => {}
                () = hooks.ends_the_run() => coordinator.cut(CutReason::Aborted),
                () = signals.next() => interrupt(coordinator, &mut interrupted),
            }
        }
    })
}

fn interrupt(coordinator: &StageCoordinator, interrupted: &mut bool) {
    if std::mem::replace(interrupted, true) {
        coordinator.stop();
    } else {
        tracing::warn!("interrupted: draining and tearing down; once more stops at once");
        coordinator.cut(CutReason::Interrupted);
    }
}

/// Returns the last phase that the run has reached, and whether it is over: at its end, after the
/// cut, or when nothing is left to issue.
fn reached_phase(
    coordinator: &StageCoordinator,
    orders: &Orders,
    spans: &[PhaseSpan],
    now_ns: u64,
) -> Option<Reached> {
    let (zero_ns, end_ns) = coordinator.measured_ns()?;
    let cut = orders.cut || orders.stage > Stage::Measure;
    let at_ns = if cut { end_ns } else { now_ns }.saturating_sub(zero_ns);
    let phase = spans.partition_point(|span| span.start_ns <= at_ns).saturating_sub(1);
    let ended = spans.get(phase)?.end_ns.is_some_and(|end_ns| end_ns <= at_ns);
    Some(Reached { phase, is_over: cut || ended })
}

/// Shows each stage up to `now` that was entered since the previous call, even if it has ended
/// meanwhile. `shown` counts the stages that earlier calls have seen.
fn show_entered(
    coordinator: &StageCoordinator,
    now: Stage,
    shown: &mut usize,
    iterating: u32,
    progress: &ProgressDisplay,
) {
    let entered = coordinator.entered();
    let new = entered.iter().skip(*shown).take_while(|stage| **stage <= now);
    *shown += new.clone().count();
    for stage in new {
        match stage {
            Stage::RunSetup | Stage::Setup => progress.stage(progress::ProgressStage::Setup),
            Stage::Fill => {
                progress.stage(progress::ProgressStage::Preparing { clients: iterating })
            }
            Stage::Teardown | Stage::RunTeardown => {
                progress.stage(progress::ProgressStage::Teardown)
            }
            Stage::Connect | Stage::Measure | Stage::Finished => {}
        }
    }
}

/// Shows the phase that is measured. Returns the time at which that phase ends by itself, in
/// nanoseconds.
fn show(
    orders: &Orders,
    (spans, phases): (&[PhaseSpan], &[Phase]),
    now_ns: u64,
    progress: &ProgressDisplay,
) -> Option<u64> {
    match orders.stage {
        Stage::Measure if orders.cut => {
            progress.stage(progress::ProgressStage::Draining);
            None
        }
        Stage::Measure => {
            let at_ns = now_ns.saturating_sub(orders.origin_ns);
            let index = spans.partition_point(|span| span.start_ns <= at_ns).saturating_sub(1);
            let end_ns = spans.get(index)?.end_ns;
            if end_ns.is_some_and(|end_ns| end_ns <= at_ns) {
                progress.stage(progress::ProgressStage::Draining);
                return None;
            }
            progress.stage(progress::ProgressStage::Phase {
                name: phases.get(index).map_or_else(|| "run".into(), |phase| phase.name.clone()),
                duration: phases.get(index).map(|phase| Duration::from_nanos(phase.duration_ns)),
            });
            end_ns.map(|end_ns| orders.origin_ns.saturating_add(end_ns))
        }
        _ => None,
    }
}
