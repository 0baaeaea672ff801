//! The evidence that a verdict rests on.

use std::time::Duration;

use serde::Serialize;

use super::super::metrics::PhaseStats;
use crate::ir::event::Unissued;

/// Calls of hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HookEvents {
    /// Calls of hooks: completions that matched a filter, and starts and ends of phases, once
    /// for each hook.
    #[serde(rename = "hook_events_delivered")]
    pub delivered: u64,
    /// Calls that were due and were not made, or not to their end: the hook was too slow, or
    /// had ended.
    #[serde(rename = "hook_events_dropped")]
    pub dropped: u64,
}

/// The evidence that a verdict rests on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The recorded phases, merged into one.
    pub recorded: &'a PhaseStats,
    /// The total length of the recorded phases.
    pub recorded_for: Duration,
    /// Operations that were due by the cut and not issued, if some of them could have been in a
    /// recorded phase.
    pub unissued: Unissued,
    pub late_bound_ns: u64,
    /// Whether the backend answers at once; lateness is then not weighed against service time.
    pub instant: bool,
    pub cut_short: bool,
    /// The limit on operations in flight.
    pub limit: Option<u32>,
    /// Whether the server runs in this process, so that this process's processor time includes the
    /// server's.
    pub server_in_process: bool,
    pub processors: Option<Processors>,
    /// The number of threads that made a script's operations, or read a document's.
    pub generators: usize,
    pub script: bool,
    pub hook_events: HookEvents,
}

impl Evidence<'_> {
    /// Returns the number of due operations that the generator failed to issue.
    pub(super) fn left_unissued(&self) -> u128 {
        let Unissued { by_generation, by_limit, by_driver, .. } = self.unissued;
        u128::from(by_generation) + u128::from(by_limit) + u128::from(by_driver)
    }
}

/// The use of processors while the run measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Processors {
    /// The number of cores that this process may use.
    pub cores: usize,
    /// The average number of cores that this process kept busy.
    pub used: f64,
    /// The fraction of the time for which the busiest of the threads that issue operations was
    /// busy.
    pub busiest_shard: Option<f64>,
    /// The fraction of the time for which a thread that issues operations was ready to run but had
    /// no processor: the largest over these threads.
    pub longest_wait: Option<f64>,
    /// The fraction of its accounting periods in which the cgroup was throttled, if it has a limit
    /// on processor time.
    pub throttled: Option<f64>,
    /// The number of times this process was continued (SIGCONT).
    pub continued: u32,
    /// The use of processors on the whole host, where it can be read.
    pub host: Option<HostProcessors>,
}

/// The processors of the host, and the average number of them that others kept busy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostProcessors {
    pub cores: usize,
    /// Processors busy with other processes and the kernel.
    pub others: f64,
    /// Processors that the host of this virtual machine gave to other guests (steal time).
    pub stolen: f64,
}

/// The fraction of one core, or of all cores, from which they count as used up.
pub(super) const NEAR: f64 = 0.85;
/// The fraction of the time from which throttling, or waiting for a processor, is worth naming.
pub(super) const NOTABLE: f64 = 0.05;

impl Processors {
    pub(super) fn used_up(&self) -> bool {
        self.used >= NEAR * self.cores as f64
    }

    pub(super) fn shard_used_up(&self) -> bool {
        self.busiest_shard.is_some_and(|busy| busy >= NEAR)
    }
}
