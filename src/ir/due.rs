//! The times at which operations are due, and at which their clients may issue them.

use serde::{Deserialize, Serialize};

/// The earliest time at which an operation may be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Due {
    /// A time in nanoseconds from time zero (in setup and teardown: from the section's start).
    At(u64),
    /// A delay in nanoseconds from this client's previous completion.
    After(u64),
    /// The arrival of an open loop, the first operation of its iteration. It is due `at_ns`
    /// from time zero. It is not issued before `think_ns` have passed since the client's
    /// previous completion, if it has one since time zero.
    Arrival { at_ns: u64, think_ns: u64, late: Late },
}

/// The fate of an arrival whose client is still busy with the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Late {
    /// The arrival waits, and is counted as late.
    #[default]
    Queue,
    /// The arrival's whole iteration is discarded, and counted as dropped.
    Drop,
}

impl Due {
    /// Returns the time from time zero in nanoseconds, if there is one.
    pub fn at_ns(self) -> Option<u64> {
        match self {
            Due::At(at_ns) | Due::Arrival { at_ns, .. } => Some(at_ns),
            Due::After(_) => None,
        }
    }

    /// Returns whether it is an arrival that is dropped if its client is busy.
    pub fn is_dropped_if_late(self) -> bool {
        matches!(self, Due::Arrival { late: Late::Drop, .. })
    }

    /// Returns the due time with every time in it `factor` times as long.
    pub fn scaled(self, factor: f64) -> Due {
        let scale = |ns: u64| scale_ns(ns, factor);
        match self {
            Due::At(at_ns) => Due::At(scale(at_ns)),
            Due::After(ns) => Due::After(scale(ns)),
            Due::Arrival { at_ns, think_ns, late } => {
                Due::Arrival { at_ns: scale(at_ns), think_ns: scale(think_ns), late }
            }
        }
    }
}

/// The state of a client that determines when its next operation is due and eligible. The
/// scheduler keeps it in the time of a run, and [`NominalClock`](super::NominalClock) in nominal
/// time.
#[derive(Clone, Copy, Debug)]
pub struct Readiness {
    /// The time at which the client's previous operation ended, or its section began. Think
    /// time counts from here.
    previous_ns: u64,
    /// The earliest time at which an operation becomes eligible: `previous_ns`, or the return
    /// of a lost connection.
    ready_ns: u64,
    /// Whether no think time precedes the next arrival, because it passed with an iteration
    /// that was dropped, or because there is no operation it would follow.
    rested: bool,
    /// The iteration that is being dropped: none of its operations is issued.
    dropping: Option<u32>,
}

impl Readiness {
    /// Returns the state of a client whose section begins at `origin_ns`.
    pub fn starting_at(origin_ns: u64) -> Readiness {
        Readiness { previous_ns: origin_ns, ready_ns: origin_ns, rested: true, dropping: None }
    }

    /// Returns when an operation is due, and when it is eligible if it is the client's next.
    /// `origin_ns` is time zero, or in setup and teardown the section's start.
    pub fn times(&self, due: Due, origin_ns: u64) -> (u64, u64) {
        let (due_ns, rested_ns) = match due {
            Due::At(at_ns) => (origin_ns.saturating_add(at_ns), 0),
            Due::After(after_ns) => (self.previous_ns.saturating_add(after_ns), 0),
            Due::Arrival { at_ns, think_ns, .. } => {
                (origin_ns.saturating_add(at_ns), self.rested_ns(think_ns))
            }
        };
        (due_ns, due_ns.max(rested_ns).max(self.ready_ns))
    }

    /// Returns the end of the think time before an arrival.
    pub fn rested_ns(&self, think_ns: u64) -> u64 {
        self.previous_ns.saturating_add(if self.rested { 0 } else { think_ns })
    }

    /// Returns the end of the client's previous operation, or the start of its section.
    pub fn previous_ns(&self) -> u64 {
        self.previous_ns
    }

    /// Returns the earliest time at which an operation becomes eligible.
    pub fn ready_ns(&self) -> u64 {
        self.ready_ns
    }

    /// Returns whether the client's current iteration is `iteration` and is being dropped.
    pub fn drops(&self, iteration: u32) -> bool {
        self.dropping == Some(iteration)
    }

    /// Records that the client issued its next operation.
    pub fn issued(&mut self) {
        (self.rested, self.dropping) = (false, None);
    }

    /// Records that the client's operation ended at `at_ns`.
    pub fn ended(&mut self, at_ns: u64) {
        (self.previous_ns, self.ready_ns) = (at_ns, at_ns);
    }

    /// Records that the client's connection returned at `at_ns`.
    pub fn reconnected(&mut self, at_ns: u64) {
        self.ready_ns = self.ready_ns.max(at_ns);
    }

    /// Drops an iteration whose first operation would have been eligible at `eligible_ns`.
    pub fn drop_iteration(&mut self, iteration: u32, eligible_ns: u64) {
        self.ended(eligible_ns);
        (self.rested, self.dropping) = (true, Some(iteration));
    }
}

/// Returns `factor` times `ns`, to the nearest nanosecond. It is exact if `factor` is 1.
pub fn scale_ns(ns: u64, factor: f64) -> u64 {
    if factor == 1.0 { ns } else { (ns as f64 * factor).round() as u64 }
}
