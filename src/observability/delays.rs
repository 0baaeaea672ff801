//! Delays that the generator adds to what it measures as the server's time.

use super::distribution::Distribution;
use super::merge::merge_fields;
use super::rounding::percent_above;

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

    pub(super) fn count(&self) -> u64 {
        self.distribution.count()
    }

    pub(super) fn is_often_late(&self) -> bool {
        u128::from(self.late) * 100 > u128::from(self.count())
    }

    pub(super) fn is_long(&self) -> bool {
        self.long_ns.saturating_mul(10) > self.within_ns
    }

    pub(super) fn late_above(&self, bound: f64) -> String {
        percent_above(bound, self.late.into(), self.count().into())
    }

    pub(super) fn long_above(&self, bound: f64) -> String {
        percent_above(bound, self.long_ns, self.within_ns)
    }
}

merge_fields!(Delays { distribution, late, long_ns, within_ns, stood_still_ns });

/// The most heartbeats that are recorded for one delay: 1,000 s of them.
const MOST_MISSED: u32 = 100_000;
