//! Whether a measurement can be trusted.

use serde::Serialize;

use super::metrics::PhaseStats;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Valid,
    /// The generator was late often enough to colour the figures.
    GeneratorLimited,
    /// The run was cut short; what it measured stands.
    Interrupted,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Valid => "valid",
            Verdict::GeneratorLimited => "generator-limited",
            Verdict::Interrupted => "interrupted",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trust {
    pub verdict: Verdict,
    /// For people; what the verdict rests on.
    pub reasons: Vec<String>,
    /// Operations issued later than the late bound.
    pub late_operations: u64,
    pub late_bound_us: f64,
}

/// Judges the recorded phases, merged in `recorded`.
///
/// `instant`: the backend answers at once, so that lateness is not weighed
/// against service time.
pub fn judge(recorded: &PhaseStats, late_bound_ns: u64, instant: bool, interrupted: bool) -> Trust {
    let mut reasons = Vec::new();
    let sent = recorded.lateness.count();
    if u128::from(recorded.late) * 100 > u128::from(sent) {
        reasons.push(format!(
            "{:.1} % of operations ({} of {sent}) were issued more than {} ms late by the generator; 1 % is the most that can be trusted",
            percent(u128::from(recorded.late), u128::from(sent)),
            recorded.late,
            late_bound_ns as f64 / 1e6,
        ));
    }
    let (lateness, cycle) = (recorded.closed_lateness_ns, recorded.closed_cycle_ns);
    if !instant && lateness.saturating_mul(10) > cycle {
        reasons.push(format!(
            "the generator's delays add up to {:.1} % of service and think time in a closed loop; 10 % is the most that can be trusted",
            percent(lateness, cycle),
        ));
    }
    let verdict = match (reasons.is_empty(), interrupted) {
        (false, _) => Verdict::GeneratorLimited,
        (true, true) => Verdict::Interrupted,
        (true, false) => Verdict::Valid,
    };
    if interrupted {
        reasons.push("the run was cut short".into());
    }
    if sent == 0 {
        reasons.push("no operation was sent in a recorded phase".into());
    }
    Trust {
        verdict,
        reasons,
        late_operations: recorded.late,
        late_bound_us: late_bound_ns as f64 / 1e3,
    }
}

fn percent(part: u128, whole: u128) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sent` operations with a lateness of 0, `late` of them beyond the bound.
    fn phase(sent: u64, late: u64) -> PhaseStats {
        let mut phase = PhaseStats { late, ..PhaseStats::default() };
        (0..sent).for_each(|_| phase.lateness.record(0));
        phase
    }

    fn verdict(phase: &PhaseStats) -> Verdict {
        judge(phase, 10_000_000, false, false).verdict
    }

    #[test]
    fn one_percent_late_is_trusted_and_more_is_not() {
        assert_eq!(verdict(&phase(1_000, 10)), Verdict::Valid);
        let trust = judge(&phase(1_000, 11), 10_000_000, false, false);
        assert_eq!(trust.verdict, Verdict::GeneratorLimited);
        assert_eq!(
            trust.reasons,
            [
                "1.1 % of operations (11 of 1000) were issued more than 10 ms late by the generator; 1 % is the most that can be trusted"
            ]
        );
    }

    #[test]
    fn a_closed_loop_is_trusted_up_to_a_tenth_of_the_service_time() {
        let closed = |closed_lateness_ns| PhaseStats {
            closed_lateness_ns,
            closed_cycle_ns: 1_000,
            ..phase(10, 0)
        };
        assert_eq!(verdict(&closed(100)), Verdict::Valid);
        assert_eq!(verdict(&closed(101)), Verdict::GeneratorLimited);
        let instant = judge(&closed(101), 10_000_000, true, false);
        assert_eq!(instant.verdict, Verdict::Valid);
    }

    #[test]
    fn an_instant_backend_is_still_asked_for_its_late_operations() {
        let trust = judge(&phase(100, 2), 10_000_000, true, false);
        assert_eq!(trust.verdict, Verdict::GeneratorLimited);
    }

    #[test]
    fn a_late_generator_weighs_more_than_an_interruption_and_both_are_told() {
        let trust = judge(&phase(100, 2), 10_000_000, false, true);
        assert_eq!(trust.verdict, Verdict::GeneratorLimited);
        assert_eq!(trust.reasons.len(), 2);
        let trust = judge(&phase(100, 0), 10_000_000, false, true);
        assert_eq!(trust.verdict, Verdict::Interrupted);
    }

    #[test]
    fn a_run_that_sent_nothing_says_so() {
        let trust = judge(&PhaseStats::default(), 10_000_000, false, false);
        assert_eq!(trust.verdict, Verdict::Valid);
        assert_eq!(trust.reasons, ["no operation was sent in a recorded phase"]);
    }
}
