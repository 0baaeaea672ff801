//! The slack of a timer: how far ahead of a deadline it is set, because it rings late.

use super::real_clock::Precision;

/// An estimate of a quantile of a timer's lateness. Each ring moves the estimate up if it was
/// too small, and down if it was too large. It settles where the two balance, at the quantile
/// up / (up + down) (Robbins and Monro, 1951).
pub struct TimerSlack {
    ns: u64,
    up_ns: u64,
    down_ns: u64,
    /// The largest slack. It bounds the time that is spent yielding after a wake.
    most_ns: u64,
}

impl TimerSlack {
    pub fn new(precision: Precision) -> TimerSlack {
        match precision {
            Precision::Sleep => TimerSlack { ns: 0, up_ns: 950, down_ns: 50, most_ns: 150_000 },
            Precision::Yield => {
                TimerSlack { ns: 120_000, up_ns: 4990, down_ns: 10, most_ns: 2_000_000 }
            }
        }
    }

    pub fn ns(&self) -> u64 {
        self.ns
    }

    /// Adjusts the slack after a timer rang `late_ns` after the time it was set to.
    pub fn observe(&mut self, late_ns: u64) {
        self.ns = if late_ns > self.ns {
            (self.ns + self.up_ns).min(self.most_ns)
        } else {
            self.ns.saturating_sub(self.down_ns)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the slack after many rings that are 0 to `spread_ns` late, evenly distributed
    /// and in no regular order.
    fn settled(precision: Precision, spread_ns: u64) -> u64 {
        let mut slack = TimerSlack::new(precision);
        let mut late_ns = 0;
        for _ in 0..100_000 {
            late_ns = (late_ns + 61_803) % spread_ns;
            slack.observe(late_ns);
        }
        slack.ns()
    }

    #[test]
    fn a_sleeping_alarm_wakes_in_time_nineteen_times_in_twenty() {
        let slack_ns = settled(Precision::Sleep, 80_001);
        assert!((72_000..79_000).contains(&slack_ns), "{slack_ns}");
    }

    #[test]
    fn a_yielding_alarm_wakes_in_time_nearly_always() {
        let slack_ns = settled(Precision::Yield, 300_007);
        assert!((285_000..306_000).contains(&slack_ns), "{slack_ns}");
    }

    #[test]
    fn a_timer_that_is_always_very_late_does_not_keep_a_sleeping_alarm_awake() {
        let mut slack = TimerSlack::new(Precision::Sleep);
        (0..10_000).for_each(|_| slack.observe(50_000_000));
        assert_eq!(slack.ns(), 150_000);
    }
}
