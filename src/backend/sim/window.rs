//! The times at which the server stalls or is away.

use std::time::Duration;

use crate::ir::units::nanoseconds;

/// A stretch of time, once or repeated, counted from the backend's creation. It includes its first
/// instant and not its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start: Duration,
    pub length: Duration,
    /// Time from one start to the next; None if the window does not repeat.
    pub every: Option<Duration>,
}

/// A window's occurrence, in nanoseconds from the backend's creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    pub start_ns: u64,
    pub end_ns: u64,
}

/// Number of windows in a row without a gap after which no gap is expected.
const MOST_IN_A_ROW: usize = 10_000;

impl Window {
    pub fn once(start: Duration, length: Duration) -> Window {
        Window { start, length, every: None }
    }

    /// Returns a window that repeats, and starts first one period after the backend's creation.
    pub fn every(period: Duration, length: Duration) -> Window {
        Window { start: period, length, every: Some(period) }
    }

    /// Returns the first occurrence that has not ended at `at_ns`.
    fn next(&self, at_ns: u64) -> Option<Occurrence> {
        let (start_ns, length_ns) = (nanoseconds(self.start), nanoseconds(self.length));
        let first_end_ns = start_ns.saturating_add(length_ns);
        let passed_ns = match (at_ns.checked_sub(first_end_ns), self.every.map(nanoseconds)) {
            _ if length_ns == 0 => return None,
            (None, _) => 0,
            (Some(_), None | Some(0)) => return None,
            (Some(over_ns), Some(every_ns)) => (over_ns / every_ns + 1).saturating_mul(every_ns),
        };
        let start_ns = start_ns.saturating_add(passed_ns);
        Some(Occurrence { start_ns, end_ns: start_ns.saturating_add(length_ns) })
    }
}

/// Returns the occurrence that contains `at_ns`, or else the first after it.
pub fn next(windows: &[Window], at_ns: u64) -> Option<Occurrence> {
    windows
        .iter()
        .filter_map(|window| window.next(at_ns))
        .min_by_key(|occurrence| occurrence.start_ns)
}

/// Returns the first instant from `at_ns` on that is in no window, or `u64::MAX` if there is none.
pub fn first_outside(windows: &[Window], mut at_ns: u64) -> u64 {
    for _ in 0..MOST_IN_A_ROW {
        match next(windows, at_ns) {
            Some(Occurrence { start_ns, end_ns }) if start_ns <= at_ns => at_ns = end_ns,
            _ => return at_ns,
        }
    }
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns(ns: u64) -> Duration {
        Duration::from_nanos(ns)
    }

    fn occurrence(start_ns: u64, end_ns: u64) -> Option<Occurrence> {
        Some(Occurrence { start_ns, end_ns })
    }

    #[test]
    fn a_window_holds_its_first_instant_and_not_its_end() {
        let once = [Window::once(ns(10), ns(5))];
        assert_eq!([9, 10, 14, 15].map(|at| first_outside(&once, at)), [9, 15, 15, 15]);
        assert_eq!(next(&once, 0), occurrence(10, 15));
        assert_eq!(next(&once, 15), None);
    }

    #[test]
    fn a_window_that_repeats_comes_first_after_one_period() {
        let every = [Window::every(ns(100), ns(20))];
        assert_eq!(
            [0, 99, 100, 119, 120, 219, 12_345].map(|at| next(&every, at)),
            [
                occurrence(100, 120),
                occurrence(100, 120),
                occurrence(100, 120),
                occurrence(100, 120),
                occurrence(200, 220),
                occurrence(200, 220),
                occurrence(12_400, 12_420),
            ]
        );
        assert_eq!([50, 105, 120].map(|at| first_outside(&every, at)), [50, 120, 120]);
    }

    #[test]
    fn windows_that_touch_or_overlap_are_one() {
        let windows = [
            Window::once(ns(15), ns(5)),
            Window::once(ns(10), ns(5)),
            Window::once(ns(18), ns(10)),
            Window::every(ns(28), ns(1)),
        ];
        assert_eq!(first_outside(&windows, 10), 29);
        assert_eq!(next(&windows, 0), occurrence(10, 15));
    }

    #[test]
    fn windows_without_length_are_none_and_windows_without_gap_have_no_outside() {
        assert_eq!(next(&[Window::every(ns(10), ns(0))], 0), None);
        assert_eq!(first_outside(&[Window::every(ns(10), ns(10))], 9), 9);
        assert_eq!(first_outside(&[Window::every(ns(10), ns(10))], 10), u64::MAX);
        let never = [Window::every(Duration::MAX, Duration::MAX)];
        assert_eq!(first_outside(&never, u64::MAX - 1), u64::MAX - 1);
    }
}
