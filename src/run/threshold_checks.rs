//! The thresholds of a run. All are parsed before the run and judged at its end; those that may end
//! the run are also checked each second.

use std::sync::Arc;
use std::time::Duration;

use super::phases::durations;
use super::settings::GivenThreshold;
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

/// Returns the stream's thresholds, followed by those of the command line or the profile.
///
/// # Errors
/// A threshold is invalid. The error says what is wrong, and where the threshold is stated.
pub fn all(
    header: &StreamHeader,
    given: &[GivenThreshold],
    custom: &CustomKinds,
) -> Result<Vec<Threshold>, ThresholdError> {
    let given = given.iter().map(|GivenThreshold { expression, place }| StatedThreshold {
        expression: expression.clone(),
        place: place.clone(),
        phase: None,
        workload: None,
        abort_after_ns: None,
    });
    let stated: Vec<StatedThreshold> = header.thresholds.iter().cloned().chain(given).collect();
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

    /// Replaces the thresholds by those that [`all`] returns for the next generation of the stream.
    /// They are judged by everything that the run has measured. Each shard then has to replace its
    /// handle by that of [`ThresholdChecks::shard`].
    pub fn replace(&mut self, thresholds: Vec<Threshold>, layout: &Arc<Layout>, shards: usize) {
        let before = self.watch.take();
        self.watch = Watch::new(&thresholds, layout.clone(), shards).map(|watch| match &before {
            Some(before) => watch.continuing(before),
            None => watch,
        });
        self.thresholds = thresholds;
        // Nobody answers the previous handles, so the shards are asked again when it is time.
        self.heard = true;
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
    /// ended the run has failed, whatever its value became with the last operations, and even if a
    /// reload has removed it since.
    pub fn outcomes(
        &self,
        measurements: &Measurements,
        phases: &[Duration],
        custom: CustomReader<'_>,
    ) -> Vec<ThresholdOutcome> {
        let mut outcomes = outcomes(&self.thresholds, measurements, phases, custom);
        for ended in &self.ended_by {
            let after = nonzero(self.ended.as_secs_f64(), 1);
            let when = format!("ended the run after {after} s");
            let ended = ThresholdOutcome { reason: Some(when), ..ended.clone() };
            let mut same = outcomes
                .iter_mut()
                .filter(|outcome| outcome.threshold == ended.threshold)
                .peekable();
            match same.peek() {
                Some(_) => same.for_each(|outcome| *outcome = ended.clone()),
                None => outcomes.push(ended),
            }
        }
        outcomes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Event, EventSink};
    use crate::observability::fixtures::{self, completion, failed, read};
    use crate::protocol::NtStatus;

    const LASTED: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(10)];

    /// Returns the thresholds of a stream, each of which may end the run, and of the command line.
    fn stated(of_stream: &[&str], typed: &[&str]) -> Vec<Threshold> {
        let stated = |expression: &&str| StatedThreshold {
            expression: expression.to_string(),
            place: "s.lua:1".into(),
            phase: None,
            workload: None,
            abort_after_ns: Some(0),
        };
        let thresholds = of_stream.iter().map(stated).collect();
        let header = StreamHeader { thresholds, ..StreamHeader::default() };
        let typed = typed.iter().map(|expression| GivenThreshold {
            expression: expression.to_string(),
            place: "--threshold".into(),
        });
        all(&header, &typed.collect::<Vec<_>>(), &CustomKinds::default()).unwrap()
    }

    fn none(_: &str, _: crate::observability::thresholds::CustomValue) -> Option<(f64, u64)> {
        None
    }

    /// Returns the measurements of a run in which 200 operations failed.
    fn measured() -> Measurements {
        let mut recorder = fixtures::recorder();
        for seq in 0..200 {
            let event = completion(0, seq, read(1), failed(NtStatus::ACCESS_DENIED));
            recorder.event(Event::Completed(event));
        }
        recorder.finish()
    }

    fn texts(outcomes: &[ThresholdOutcome]) -> Vec<(&str, bool)> {
        outcomes.iter().map(|outcome| (&*outcome.threshold.text, outcome.pass)).collect()
    }

    #[test]
    fn a_reload_replaces_the_thresholds_of_the_stream_and_all_are_judged_by_the_whole_run() {
        let layout = fixtures::layout();
        let typed = ["all.count > 100"];
        let before = stated(&["read.count < 5"], &typed);
        let mut checks = ThresholdChecks::new(before, &layout, 1);
        checks.asked_ns = Some(7);
        checks.heard = false;
        checks.replace(stated(&["read.count > 199"], &typed), &layout, 1);
        assert_eq!((checks.asked_ns, checks.heard), (Some(7), true), "the time goes on");
        let outcomes = checks.outcomes(&measured(), &LASTED, &none);
        assert_eq!(texts(&outcomes), [("read.count > 199", true), ("all.count > 100", true)]);
    }

    #[test]
    fn a_threshold_that_ended_the_run_is_reported_although_a_reload_removed_it() {
        let layout = fixtures::layout();
        let mut checks = ThresholdChecks::new(stated(&["errors.rate < 1%"], &[]), &layout, 1);
        let mut ended = checks.outcomes(&measured(), &LASTED, &none);
        checks.ended_by.append(&mut ended);
        checks.ended = Duration::from_secs(6);
        checks.replace(stated(&[], &["all.count > 100"]), &layout, 1);
        let outcomes = checks.outcomes(&measured(), &LASTED, &none);
        assert_eq!(texts(&outcomes), [("all.count > 100", true), ("errors.rate < 1%", false)]);
        assert_eq!(outcomes[1].reason.as_deref(), Some("ended the run after 6.0 s"));
    }

    #[test]
    fn a_shard_that_has_ended_counts_for_a_threshold_that_a_reload_keeps() {
        let layout = fixtures::layout();
        let mut checks = ThresholdChecks::new(stated(&["errors.rate < 1%"], &[]), &layout, 2);
        let failing = |checks: &mut ThresholdChecks| {
            let failing = checks.watch.as_mut().unwrap().failing(&LASTED, &none);
            failing.iter().map(|outcome| outcome.threshold.text.clone()).collect::<Vec<_>>()
        };
        checks.watch.as_ref().unwrap().ask();
        checks.shard(0).unwrap().after_event(&measured());
        checks.replace(stated(&["write.count > 5", "errors.rate < 1%"], &[]), &layout, 2);
        assert_eq!(failing(&mut checks), ["errors.rate < 1%"]);
        checks.replace(stated(&["errors.rate < 2%"], &[]), &layout, 2);
        assert_eq!(failing(&mut checks), [""; 0]);
        checks.watch.as_ref().unwrap().ask();
        checks.shard(1).unwrap().after_event(&measured());
        assert_eq!(failing(&mut checks), ["errors.rate < 2%"]);
        checks.replace(stated(&[], &["all.count > 100"]), &layout, 2);
        assert!(checks.shard(0).is_none(), "no threshold may end the run");
    }
}
