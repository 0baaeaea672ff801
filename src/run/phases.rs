//! The phases of a run: how long they should last and did last, and the one that is going on.

use std::time::Duration;

use super::options::RunOptions;
use crate::ir::Phase;
use crate::ir::phases::{self, PhaseScalingError};
use crate::ir::source::WHOLE_PHASE;
use crate::ir::units::nanoseconds;
use crate::scheduler::{PhaseSpan, Stage, Timeline};

/// Length of a run whose stream has neither phases nor an end.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// Returns whether a run ends without a phase: with its stream, after a number of operations, or, if
/// it is watched, when a key or a signal ends it.
pub fn ends_without_phases(bounded: bool, options: &RunOptions) -> bool {
    bounded || options.operations.is_some() || options.watch.is_some()
}

/// Returns the phases of a run: the stream's, scaled to `--duration`. If the stream has none,
/// returns one phase, or no phase for a run that `ends` without one.
pub fn planned(
    declared: &[Phase],
    ends: bool,
    duration: Option<Duration>,
) -> Result<Vec<Phase>, PhaseScalingError> {
    let default = || (!ends).then_some(DEFAULT_DURATION);
    match duration {
        Some(duration) if !declared.is_empty() => phases::scaled(declared, nanoseconds(duration)),
        None if !declared.is_empty() => Ok(declared.to_vec()),
        _ => {
            let whole = duration.or_else(default).map(|duration| Phase {
                name: WHOLE_PHASE.into(),
                duration_ns: nanoseconds(duration),
                record: true,
            });
            Ok(whole.into_iter().collect())
        }
    }
}

/// Returns the actual length of each phase, given when measuring began and ended.
pub fn durations(phases: &[Phase], measured_ns: Option<(u64, u64)>) -> Vec<Duration> {
    let Some((zero_ns, end_ns)) = measured_ns else { return vec![Duration::ZERO; phases.len()] };
    let mut left_ns = end_ns - zero_ns;
    if phases.is_empty() {
        return vec![Duration::from_nanos(left_ns)];
    }
    phases
        .iter()
        .map(|phase| {
            let spent_ns = left_ns.min(phase.duration_ns);
            left_ns -= spent_ns;
            Duration::from_nanos(spent_ns)
        })
        .collect()
}

/// The position of a run in its phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhasePosition {
    /// The last phase that the run has reached.
    pub phase: usize,
    /// Whether measuring is over, and with it this phase: at its end, after the cut, or when
    /// nothing is left to issue.
    pub is_over: bool,
}

impl PhasePosition {
    /// Returns the position at `now_ns`; None before the first phase.
    pub fn now(timeline: &Timeline, spans: &[PhaseSpan], now_ns: u64) -> Option<PhasePosition> {
        let (zero_ns, end_ns) = timeline.measured_ns()?;
        let cut = timeline.orders.cut || timeline.orders.stage > Stage::Measure;
        let at_ns = if cut { end_ns } else { now_ns }.saturating_sub(zero_ns);
        let phase = spans.partition_point(|span| span.start_ns <= at_ns).saturating_sub(1);
        let ended = spans.get(phase)?.end_ns.is_some_and(|end_ns| end_ns <= at_ns);
        Some(PhasePosition { phase, is_over: cut || ended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::registry::Target;
    use crate::run::WatchOptions;

    fn phase(name: &str, seconds: u64, record: bool) -> Phase {
        Phase { name: name.into(), duration_ns: seconds * 1_000_000_000, record }
    }

    #[test]
    fn a_duration_scales_the_phases_there_are_and_is_one_where_there_are_none() {
        let declared = [phase("warmup", 6, false), phase("a", 2, true), phase("b", 4, true)];
        let lasting = |seconds| Some(Duration::from_secs(seconds));
        let scaled = planned(&declared, false, lasting(3)).unwrap();
        assert_eq!(scaled, [phase("warmup", 3, false), phase("a", 1, true), phase("b", 2, true)]);
        assert_eq!(planned(&declared, true, None).unwrap(), declared);
        for bounded in [false, true] {
            assert_eq!(planned(&[], bounded, lasting(3)).unwrap(), [phase("run", 3, true)]);
            let unrecorded = [phase("warmup", 6, false)];
            assert!(planned(&unrecorded, bounded, lasting(3)).is_err());
        }
    }

    #[test]
    fn a_script_without_phases_runs_ten_seconds_and_a_document_to_its_end() {
        assert_eq!(planned(&[], false, None).unwrap(), [phase("run", 10, true)]);
        assert_eq!(planned(&[], true, None).unwrap(), []);
    }

    #[test]
    fn a_watched_run_lasts_as_long_as_it_is_told_to_and_else_until_it_is_ended() {
        let watch = Some(WatchOptions { grace: WatchOptions::GRACE, keys: false });
        let once = RunOptions::new(Target::parse("sim").unwrap());
        let watched = RunOptions { watch, ..once.clone() };
        let bounded = RunOptions { operations: Some(9), ..once.clone() };
        let ends = [&once, &watched, &bounded].map(|options| ends_without_phases(false, options));
        assert_eq!(ends, [false, true, true]);
        assert!(ends_without_phases(true, &once));
        let of = |declared: &[Phase], duration| {
            planned(declared, ends_without_phases(false, &watched), duration).unwrap()
        };
        assert_eq!(of(&[], None), []);
        assert_eq!(of(&[], Some(Duration::from_secs(3))), [phase("run", 3, true)]);
        assert_eq!(of(&[phase("a", 2, true)], None), [phase("a", 2, true)]);
    }

    #[test]
    fn a_phase_that_was_cut_short_reports_the_time_it_had() {
        let all = [phase("a", 1, true), phase("b", 2, true)];
        let spent = durations(&all, Some((500, 500 + 1_500_000_000)));
        assert_eq!(spent, [Duration::from_secs(1), Duration::from_millis(500)]);
    }
}
