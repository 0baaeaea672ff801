//! The due times of operations.

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

/// Returns `factor` times `ns`, to the nearest nanosecond. It is exact if `factor` is 1.
pub fn scale_ns(ns: u64, factor: f64) -> u64 {
    if factor == 1.0 { ns } else { (ns as f64 * factor).round() as u64 }
}
