//! When an operation is due.

use serde::{Deserialize, Serialize};

/// When an operation may be issued at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Due {
    /// Nanoseconds from time zero (in setup and teardown: from the section's start).
    At(u64),
    /// Nanoseconds from this client's previous completion.
    After(u64),
    /// The arrival of an open loop, the first operation of its iteration: due
    /// `at_ns` from time zero, and not issued before `think_ns` have passed
    /// since the client's previous completion, if it has one since time zero.
    Arrival { at_ns: u64, think_ns: u64, late: Late },
    /// The first operation of an iteration of a closed loop that has its time,
    /// from `from_ns` to before `until_ns` from time zero: due as one that is
    /// due after `after_ns`, but no earlier than that time. Where it would be
    /// no earlier than its end, the iteration is superseded: it is left out, whole.
    During { after_ns: u64, from_ns: u64, until_ns: u64 },
}

/// What becomes of an arrival whose client is still busy with the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Late {
    /// It waits, and is counted as late.
    #[default]
    Queue,
    /// Its whole iteration is left out, and counted as dropped.
    Drop,
}

impl Due {
    /// The time from time zero, where there is one.
    pub fn at_ns(self) -> Option<u64> {
        match self {
            Due::At(at_ns) | Due::Arrival { at_ns, .. } => Some(at_ns),
            Due::After(_) | Due::During { .. } => None,
        }
    }

    /// Every time in it, `factor` times as long.
    pub fn scaled(self, factor: f64) -> Due {
        let scale = |ns: u64| scale_ns(ns, factor);
        match self {
            Due::At(at_ns) => Due::At(scale(at_ns)),
            Due::After(ns) => Due::After(scale(ns)),
            Due::Arrival { at_ns, think_ns, late } => {
                Due::Arrival { at_ns: scale(at_ns), think_ns: scale(think_ns), late }
            }
            Due::During { after_ns, from_ns, until_ns } => Due::During {
                after_ns: scale(after_ns),
                from_ns: scale(from_ns),
                until_ns: scale(until_ns),
            },
        }
    }
}

/// `factor` times `ns`, to the nearest nanosecond. Exact where `factor` is 1.
pub fn scale_ns(ns: u64, factor: f64) -> u64 {
    if factor == 1.0 { ns } else { (ns as f64 * factor).round() as u64 }
}
