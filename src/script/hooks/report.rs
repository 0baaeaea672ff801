//! The results of hooks.

use std::collections::BTreeMap;

use crate::observability::{HookEvents, MetricSummary};

/// The results of all hooks of a run, over all of its generations.
#[derive(Debug, Default)]
pub struct HookReport {
    pub events: HookEvents,
    pub metrics: BTreeMap<String, MetricSummary>,
    /// The metrics of each generation whose hooks were called.
    pub by_generation: BTreeMap<u32, BTreeMap<String, MetricSummary>>,
    pub outcome: HookOutcome,
}

/// The outcome of hooks: their errors and aborts.
#[derive(Debug, Default)]
pub struct HookOutcome {
    /// One message for each line that failed, with a count.
    pub errors: Vec<String>,
    /// A fault of smbench.
    pub internal: Option<String>,
    /// The reason of the first `bench.abort`.
    pub aborted: Option<String>,
}
