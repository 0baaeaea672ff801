//! Delays that the generator adds to what it measures as the server's time, and the judgment
//! whether they are too many to trust the result.

use std::time::Duration;

use super::distribution::Distribution;
use super::rounding::percent_above;
use super::trust::Evidence;

/// The part of a delay that is not counted: waking up takes some microseconds on an idle host, and
/// some hundred on a busy one.
const SHORT_NS: u64 = 1_000_000;

/// One kind of delay over many operations.
#[derive(Clone, Debug, Default)]
pub struct Delays {
    pub distribution: Distribution,
    /// Delays above `--late-bound`.
    pub late: u64,
    /// The sum of the parts of delays above 1 ms.
    pub long_ns: u128,
    /// The sum of the times that contain the delays: service and think time of operations, or the
    /// periods of heartbeats.
    pub within_ns: u128,
    /// The sum of the heartbeat delays that were above `--late-bound`.
    pub stood_still_ns: u128,
}

impl Delays {
    pub fn record(&mut self, delay_ns: u64, within_ns: u64, late_bound_ns: u64) {
        self.distribution.record(delay_ns);
        self.late += u64::from(delay_ns > late_bound_ns);
        self.long_ns += u128::from(delay_ns.saturating_sub(SHORT_NS));
        self.within_ns += u128::from(within_ns);
    }

    /// Records a heartbeat that came `late_ns` after its time, and with it the heartbeats missed
    /// meanwhile, so that a long delay weighs as much as many short ones.
    pub fn record_heartbeat(&mut self, late_ns: u64, period_ns: u64, late_bound_ns: u64) {
        self.long_ns += u128::from(late_ns.saturating_sub(SHORT_NS));
        self.within_ns += u128::from(period_ns) + u128::from(late_ns);
        self.stood_still_ns += u128::from(if late_ns > late_bound_ns { late_ns } else { 0 });
        let mut delay_ns = late_ns;
        for _ in 0..MOST_MISSED {
            self.distribution.record(delay_ns);
            self.late += u64::from(delay_ns > late_bound_ns);
            match delay_ns.checked_sub(period_ns) {
                Some(rest_ns) => delay_ns = rest_ns,
                None => break,
            }
        }
    }

    pub fn merge(&mut self, other: &Delays) {
        self.distribution.merge(&other.distribution);
        self.late += other.late;
        self.long_ns += other.long_ns;
        self.within_ns += other.within_ns;
        self.stood_still_ns += other.stood_still_ns;
    }

    fn count(&self) -> u64 {
        self.distribution.count()
    }

    fn is_often_late(&self) -> bool {
        u128::from(self.late) * 100 > u128::from(self.count())
    }

    fn is_long(&self) -> bool {
        self.long_ns.saturating_mul(10) > self.within_ns
    }

    fn late_above(&self, bound: f64) -> String {
        percent_above(bound, self.late.into(), self.count().into())
    }

    fn long_above(&self, bound: f64) -> String {
        percent_above(bound, self.long_ns, self.within_ns)
    }
}

/// The most heartbeats that are recorded for one delay: 1,000 s of them.
const MOST_MISSED: u32 = 100_000;

/// Returns a sentence for each kind of delay that is too frequent or too long to trust the result.
pub(super) fn reasons(evidence: &Evidence<'_>) -> Vec<String> {
    let recorded = evidence.recorded;
    let (pickup, handoff, heartbeat) = (&recorded.pickup, &recorded.handoff, &recorded.heartbeat);
    let bound_ms = Duration::from_nanos(evidence.late_bound_ns).as_secs_f64() * 1e3;
    let mut reasons = Vec::new();
    let judge = |delays: &Delays, what: &str, waited: &str| {
        let late = delays.is_often_late().then(|| {
            format!(
                "{} of {what} ({} of {}) waited more than {bound_ms} ms for smbench {waited}; 1 % is the most that can be trusted",
                delays.late_above(1.0),
                delays.late,
                delays.count(),
            )
        });
        let long = (!evidence.instant && delays.is_long()).then(|| {
            format!(
                "the waits of {what} for smbench {waited}, as far as they are above 1 ms, add up to {} of service and think time; 10 % is the most that can be trusted",
                delays.long_above(10.0),
            )
        });
        [late, long].into_iter().flatten()
    };
    reasons.extend(judge(pickup, "answers", "to pick them up"));
    reasons.extend(judge(handoff, "requests", "to send them after they were issued"));
    // A pause during a long transfer shows in no pickup, because the rest of the data comes after
    // it.
    if !evidence.instant && heartbeat.stood_still_ns.saturating_mul(10) > heartbeat.within_ns {
        reasons.push(format!(
            "the threads that issue operations stood still for {} of the time, more than {bound_ms} ms each time; 10 % is the most that can be trusted",
            percent_above(10.0, heartbeat.stood_still_ns, heartbeat.within_ns),
        ));
    }
    // Heartbeats stand in for the pickup where the kernel gave no receive timestamps.
    if pickup.count() * 2 >= recorded.lateness.count() {
        return reasons;
    }
    if heartbeat.is_often_late() || (!evidence.instant && heartbeat.is_long()) {
        reasons.push(format!(
            "the threads that issue operations were held up for {} of the time (parts above 1 ms) and more than {bound_ms} ms at {} of their heartbeats; 10 % and 1 % are the most that can be trusted",
            heartbeat.long_above(10.0),
            heartbeat.late_above(1.0),
        ));
    }
    reasons
}
