//! A client's clock under the assumption that every operation takes no time.

use super::due::{Due, Readiness};

/// A clock that goes from operation to operation of one section as the scheduler would if each
/// ended when it was issued. Like the scheduler it drops whole iterations.
#[derive(Clone, Copy, Debug, Default)]
pub struct NominalClock(Readiness);

impl NominalClock {
    /// Returns the time in nanoseconds from time zero (in setup and teardown: from the
    /// section's start).
    pub fn now_ns(&self) -> u64 {
        self.0.previous_ns()
    }

    /// Returns when the client is free for an arrival that `think_ns` of think time precede.
    pub fn free_ns(&self, think_ns: u64) -> u64 {
        self.0.rested_ns(think_ns)
    }

    /// Advances to the next operation, which belongs to `iteration`.
    pub fn pass(&mut self, due: Due, iteration: u32) {
        if self.drops(iteration) {
            return;
        }
        let (due_ns, eligible_ns) = self.0.times(due, 0);
        if due.is_dropped_if_late() && due_ns < eligible_ns {
            self.0.drop_iteration(iteration, eligible_ns);
        } else {
            self.0.issued();
            self.0.ended(eligible_ns);
        }
    }

    /// Returns whether `iteration` is being dropped.
    pub fn drops(&self, iteration: u32) -> bool {
        self.0.drops(iteration)
    }
}

#[cfg(test)]
mod tests {
    use super::super::due::Late;
    use super::*;

    /// Returns the time at each operation, and whether it is dropped.
    fn passed(operations: &[(Due, u32)]) -> Vec<(u64, bool)> {
        let mut clock = NominalClock::default();
        let pass = |&(due, iteration): &(Due, u32)| {
            clock.pass(due, iteration);
            (clock.now_ns(), clock.drops(iteration))
        };
        operations.iter().map(pass).collect()
    }

    fn arrival(at_ns: u64, think_ns: u64, late: Late) -> Due {
        Due::Arrival { at_ns, think_ns, late }
    }

    #[test]
    fn an_arrival_dropped_during_think_time_takes_no_time() {
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
