//! The thresholds of a run. All are parsed before the run and judged at its end; those that may end
//! the run are also checked each second.

use std::sync::Arc;
use std::time::Duration;

use super::phases::durations;
use crate::backend::Clock;
use crate::ir::source::StatedThreshold;
use crate::ir::{Phase, StreamHeader};
use crate::observability::Layout;
use crate::observability::Measurements;
use crate::observability::rounding::nonzero;
use crate::observability::thresholds::sample::CustomReader;
use crate::observability::thresholds::watch::{Watch, WatchedShard};
use crate::observability::thresholds::{
    CustomKinds, Threshold, ThresholdError, ThresholdOutcome, outcomes,
};
use crate::scheduler::{CutReason, StageCoordinator};

const EVERY_NS: u64 = 1_000_000_000;
/// Longest time that a busy shard takes to answer.
const ANSWER_NS: u64 = 50_000_000;

/// The thresholds of one run.
pub struct ThresholdChecks {
    thresholds: Vec<Threshold>,
    watch: Option<Watch>,
    /// The time at which the shards were last asked.
    asked_ns: Option<u64>,
    /// Whether the answers to that request were evaluated.
    heard: bool,
    /// The thresholds that ended the run, and the time they did, from time zero.
    ended_by: Vec<ThresholdOutcome>,
    ended: Duration,
}

/// Returns the stream's thresholds, followed by those of the command line.
///
/// # Errors
/// A threshold is invalid. The error says what is wrong, and where the threshold is stated.
pub fn all(
    header: &StreamHeader,
    from_command_line: &[String],
    custom: &CustomKinds,
) -> Result<Vec<Threshold>, ThresholdError> {
    let typed = from_command_line.iter().map(|expression| StatedThreshold {
        expression: expression.clone(),
        place: "--threshold".into(),
        phase: None,
        workload: None,
        abort_after_ns: None,
    });
    let stated: Vec<StatedThreshold> = header.thresholds.iter().cloned().chain(typed).collect();
    stated.iter().map(|stated| Threshold::new(stated, custom)).collect()
}

impl ThresholdChecks {
    pub fn new(thresholds: Vec<Threshold>, layout: &Arc<Layout>, shards: usize) -> ThresholdChecks {
        let watch = Watch::new(&thresholds, layout.clone(), shards);
        ThresholdChecks {
            thresholds,
            watch,
            asked_ns: None,
            heard: true,
            ended_by: Vec::new(),
            ended: Duration::ZERO,
        }
    }

    /// Returns the handle with which a shard answers; None if no threshold may end the run.
    pub fn shard(&self, shard: usize) -> Option<Arc<WatchedShard>> {
        self.watch.as_ref()?.shard(shard)
    }

    /// Checks the thresholds each second from `zero_ns` on, when measuring began, and cuts the run
    /// when one fails. The future never completes; it may be dropped and created again at any
    /// point.
    pub async fn follow(
        &mut self,
        zero_ns: Option<u64>,
        coordinator: &StageCoordinator,
        clock: &dyn Clock,
        phases: &[Phase],
        custom: CustomReader<'_>,
    ) {
        let (Some(watch), Some(zero_ns), true) =
            (self.watch.as_mut(), zero_ns, self.ended_by.is_empty())
        else {
            return std::future::pending().await;
        };
        loop {
            let last_ns = self.asked_ns.unwrap_or(zero_ns);
            let wait_ns = if self.heard { EVERY_NS } else { ANSWER_NS };
            clock.sleep_until(last_ns.saturating_add(wait_ns)).await;
            let now_ns = clock.now_ns();
            if self.heard {
                watch.ask();
                (self.asked_ns, self.heard) = (Some(now_ns), false);
                continue;
            }
            self.heard = true;
            let lasted = durations(phases, Some((zero_ns, last_ns)));
            let failing = watch.failing(&lasted, custom);
            if failing.is_empty() {
                continue;
            }
            self.ended = Duration::from_nanos(now_ns.saturating_sub(zero_ns));
            let which: Vec<String> =
                failing.iter().map(|outcome| outcome.threshold.described()).collect();
            coordinator.cut(CutReason::Threshold(format!(
                "a threshold failed after {} s and ended the run: {}",
                nonzero(self.ended.as_secs_f64(), 1),
                which.join("; ")
            )));
            self.ended_by = failing;
            return std::future::pending().await;
        }
    }

    /// Returns the outcome of each threshold, given how long each phase lasted. A threshold that
    /// ended the run has failed, whatever its value became with the last operations.
    pub fn outcomes(
        &self,
        measurements: &Measurements,
        phases: &[Duration],
        custom: CustomReader<'_>,
    ) -> Vec<ThresholdOutcome> {
        let mut outcomes = outcomes(&self.thresholds, measurements, phases, custom);
        for outcome in &mut outcomes {
            let ended = self.ended_by.iter().find(|ended| ended.threshold == outcome.threshold);
            if let Some(ended) = ended {
                let after = nonzero(self.ended.as_secs_f64(), 1);
                let when = format!("ended the run after {after} s");
                *outcome = ThresholdOutcome { reason: Some(when), ..ended.clone() };
            }
        }
        outcomes
    }
}
