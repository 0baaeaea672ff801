//! The open loop of a workload while its streams are made.

use mlua::{AnyUserData, Function};

use super::arrivals::Arrivals;
use crate::ir::Late;

/// The arrivals of one workload with an open loop, while its streams are made.
pub(super) struct OpenLoop {
    /// The fates of late arrivals, each with the time in nanoseconds from which it holds. The first
    /// holds from time zero.
    pub lates: Vec<(u64, Late)>,
    /// The place of the open loop in the script, and the workload's name.
    pub place: String,
    pub arrivals: Arrivals,
    /// The script's own functions for the gaps, each with the name that errors use for it.
    pub functions: Vec<(Function, String)>,
    /// The `rng` that is passed to these functions.
    pub rng: AnyUserData,
}
