//! The configuration of a run's engines.

use super::retry::RetryPolicy;
use crate::scheduler::timeline::{PhaseSpan, Stage};

/// The settings that all shards share.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    pub phases: Vec<PhaseSpan>,
    /// Whether the phases last to their planned end even if the stream has no more operations
    /// for them, for example for a pause at their end.
    pub phases_last: bool,
    /// The number of the run-wide client, if the stream has one.
    pub run_client: Option<u32>,
    /// The most operations queued for one client.
    pub lookahead: usize,
    /// The memory in bytes that a client's queued operations may take before the engine stops
    /// asking for more.
    pub batch_bytes: usize,
    /// The time-out of one attempt at an operation.
    pub op_timeout_ns: u64,
    pub retry: Option<RetryPolicy>,
}

impl EngineConfig {
    /// Returns whether the client takes part in the stage, provided that it is not gone.
    pub fn takes_part(&self, client_idx: u32, stage: Stage) -> bool {
        (Some(client_idx) == self.run_client) == stage.is_run_wide() && stage.section().is_some()
    }
}
