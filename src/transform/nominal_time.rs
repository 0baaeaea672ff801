//! The nominal time of a client whose operations are partly dropped.

use crate::ir::{Due, NominalClock, Operation};

/// Keeps the nominal time of the operations that remain when others are dropped: the think time of
/// a dropped operation passes before the next one.
#[derive(Default)]
pub struct NominalTime {
    input: NominalClock,
    output: NominalClock,
    /// The nominal time of the input before the operation that was seen last.
    before_ns: u64,
    /// The arrival of an open loop whose operation was dropped. The next operation of the iteration
    /// begins it instead.
    arrival: Option<SkippedArrival>,
    /// The last time from time zero that the output names.
    named_ns: u64,
    /// Whether the operation kept last was moved, so that the next one need not be later.
    moved: bool,
}

#[derive(Clone, Copy)]
struct SkippedArrival {
    due: Due,
    iteration: u32,
    /// The nominal time of its operation.
    nominal_ns: u64,
}

impl NominalTime {
    /// Takes note of the next operation of the input. Returns its nominal time in nanoseconds from
    /// time zero (in setup and teardown: from the section's start).
    pub fn see(&mut self, operation: &Operation) -> u64 {
        self.before_ns = self.input.now_ns();
        self.input.pass(operation.due, operation.iteration);
        self.input.now_ns()
    }

    /// Drops the operation that was seen last.
    pub fn skip(&mut self, operation: &Operation) {
        if matches!(operation.due, Due::Arrival { .. }) {
            let (due, iteration) = (operation.due, operation.iteration);
            self.arrival = Some(SkippedArrival { due, iteration, nominal_ns: self.input.now_ns() });
        }
    }

    /// Keeps the operation that was seen last, and delays it by the time of those dropped before.
    pub fn keep(&mut self, operation: &mut Operation) {
        let dropped_ns = self.before_ns.saturating_sub(self.output.now_ns());
        let iteration = operation.iteration;
        let arrival = self.arrival.take().filter(|arrival| arrival.iteration == iteration);
        operation.due = match (operation.due, arrival) {
            (Due::After(_), Some(arrival)) => {
                later(arrival.due, self.input.now_ns().saturating_sub(arrival.nominal_ns))
            }
            (Due::After(_), None) if self.moved => {
                Due::After(self.input.now_ns().saturating_sub(self.output.now_ns()))
            }
            (Due::After(after_ns), None) => Due::After(after_ns.saturating_add(dropped_ns)),
            // It was late already, and would be early without the operations before it.
            (Due::At(at_ns), _)
                if at_ns < self.before_ns && (dropped_ns > 0 || at_ns < self.named_ns) =>
            {
                Due::After(dropped_ns)
            }
            (due, _) => due,
        };
        self.moved = false;
        self.pass(operation);
    }

    /// Keeps the operation that was seen last, and moves it to this nominal time, which is not
    /// before that of the operation kept last.
    pub fn keep_at(&mut self, nominal_ns: u64, operation: &mut Operation) {
        (self.arrival, self.moved) = (None, true);
        operation.due = match operation.due {
            Due::At(_) => Due::At(nominal_ns.max(self.named_ns)),
            _ => Due::After(nominal_ns.saturating_sub(self.output.now_ns())),
        };
        self.pass(operation);
    }

    /// Takes note of an operation that a stage adds after the last one.
    pub fn add(&mut self, operation: &Operation) {
        self.pass(operation);
    }

    fn pass(&mut self, operation: &Operation) {
        if let Due::At(at_ns) = operation.due {
            self.named_ns = at_ns;
        }
        self.output.pass(operation.due, operation.iteration);
    }
}

/// Returns the arrival, later by `by_ns`.
fn later(arrival: Due, by_ns: u64) -> Due {
    match arrival {
        Due::Arrival { at_ns, think_ns, late } => {
            Due::Arrival { at_ns: at_ns.saturating_add(by_ns), think_ns, late }
        }
        due => due,
    }
}
