//! The time of a client whose operations are partly dropped.

use crate::ir::{Due, NominalClock, Operation};

/// Keeps the nominal time of the operations that remain when others are dropped: the think time of
/// a dropped operation passes before the next one.
#[derive(Default)]
pub struct ThinkTime {
    input: NominalClock,
    output: NominalClock,
    /// The nominal time of the input before the operation that was seen last.
    before_ns: u64,
    /// The arrival of an open loop whose operation was dropped, and its iteration. The next
    /// operation of the iteration begins it instead.
    arrival: Option<(Due, u32)>,
}

impl ThinkTime {
    /// Takes note of the next operation of the input. Returns its nominal time in nanoseconds from
    /// time zero (in setup and teardown: from the section's start).
    pub fn see(&mut self, operation: &Operation) -> u64 {
        self.before_ns = self.input.now_ns();
        self.input.pass(operation.due, operation.iteration);
        self.input.now_ns()
    }

    /// Drops the operation that was seen last.
    pub fn drop(&mut self, operation: &Operation) {
        if matches!(operation.due, Due::Arrival { .. }) {
            self.arrival = Some((operation.due, operation.iteration));
        }
    }

    /// Keeps the operation that was seen last, and delays it by the time of those dropped before.
    pub fn keep(&mut self, operation: &mut Operation) {
        if let Due::After(after_ns) = operation.due {
            let iteration = operation.iteration;
            let arrival = self.arrival.take_if(|(_, of)| *of == iteration);
            let dropped_ns = self.before_ns.saturating_sub(self.output.now_ns());
            operation.due = match arrival {
                Some((arrival, _)) => arrival,
                None => Due::After(after_ns.saturating_add(dropped_ns)),
            };
        }
        self.arrival = None;
        self.output.pass(operation.due, operation.iteration);
    }

    /// Takes note of an operation that a stage adds after the last one.
    pub fn add(&mut self, operation: &Operation) {
        self.output.pass(operation.due, operation.iteration);
    }
}
