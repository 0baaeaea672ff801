//! A client's clock under the assumption that every operation takes no time.

use super::due::{Due, Late};

/// A clock that goes from operation to operation of one section as the scheduler would if each
/// ended when it was issued. Like the scheduler it discards the iterations that would be
/// dropped.
#[derive(Clone, Copy, Debug)]
pub struct NominalClock {
    now_ns: u64,
    leaving_out: Option<u32>,
    /// Whether no think time precedes the next arrival, because it passed with an iteration
    /// that was discarded, or because there is no operation it would follow.
    rested: bool,
}

impl Default for NominalClock {
    fn default() -> NominalClock {
        NominalClock { now_ns: 0, leaving_out: None, rested: true }
    }
}

impl NominalClock {
    /// Returns the time in nanoseconds from time zero (in setup and teardown: from the
    /// section's start).
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Returns when the client is free for an arrival that `think_ns` of think time precede.
    pub fn free_ns(&self, think_ns: u64) -> u64 {
        self.now_ns.saturating_add(if self.rested { 0 } else { think_ns })
    }

    /// Goes on to the next operation, which belongs to `iteration`.
    pub fn pass(&mut self, due: Due, iteration: u32) {
        if self.leaves_out(iteration) {
            return;
        }
        let (at_ns, left_out) = match due {
            Due::At(at_ns) => (self.now_ns.max(at_ns), false),
            Due::After(after_ns) => (self.now_ns.saturating_add(after_ns), false),
            Due::Arrival { at_ns, think_ns, late } => {
                let free_ns = self.free_ns(think_ns);
                (free_ns.max(at_ns), late == Late::Drop && at_ns < free_ns)
            }
        };
        self.now_ns = at_ns;
        self.rested = left_out;
        self.leaving_out = left_out.then_some(iteration);
    }

    /// Returns whether `iteration` is being discarded.
    pub fn leaves_out(&self, iteration: u32) -> bool {
        self.leaving_out == Some(iteration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the time at each operation, and whether it is discarded.
    fn passed(operations: &[(Due, u32)]) -> Vec<(u64, bool)> {
        let mut clock = NominalClock::default();
        let pass = |&(due, iteration): &(Due, u32)| {
            clock.pass(due, iteration);
            (clock.now_ns(), clock.leaves_out(iteration))
        };
        operations.iter().map(pass).collect()
    }

    fn arrival(at_ns: u64, think_ns: u64, late: Late) -> Due {
        Due::Arrival { at_ns, think_ns, late }
    }

    #[test]
    fn what_arrives_while_the_client_thinks_takes_no_time_where_it_is_dropped() {
        let of = |late| {
            passed(&[
                (arrival(0, 0, late), 0),
                (Due::After(100), 0),
                (arrival(50, 0, late), 1),
                (Due::After(100), 1),
                (arrival(90, 5, late), 2),
                (arrival(120, 5, late), 3),
            ])
        };
        let dropped = [(0, false), (100, false), (100, true), (100, true), (100, true)];
        assert_eq!(of(Late::Drop), [&dropped[..], &[(120, false)]].concat());
        let queued = [0, 100, 100, 200, 205, 210].map(|ns| (ns, false));
        assert_eq!(of(Late::Queue), queued);
    }

    #[test]
    fn think_time_before_what_is_dropped_passes_once() {
        let drops = |at_ns, think_ns, iteration| (arrival(at_ns, think_ns, Late::Drop), iteration);
        let passed =
            passed(&[drops(0, 0, 0), drops(10, 30, 1), drops(20, 30, 2), drops(40, 30, 3)]);
        assert_eq!(passed, [(0, false), (30, true), (30, true), (40, false)]);
    }
}
