//! What the engines of a run are told before it.

use super::retry::RetryPolicy;
use super::timeline::{PhaseSpan, Stage};

/// What is the same for every shard.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    pub phases: Vec<PhaseSpan>,
    /// The phases last as long as they say, though a stream has nothing more for
    /// the rest of them, as in a pause at their end.
    pub phases_last: bool,
    /// The number of the run-wide client, if the stream has one.
    pub run_client: Option<u32>,
    /// The most operations queued for one client.
    pub lookahead: usize,
    /// No more is asked for while what is queued of a client takes more memory.
    pub batch_bytes: usize,
    /// Of one attempt.
    pub op_timeout_ns: u64,
    pub retry: Option<RetryPolicy>,
}

impl EngineConfig {
    /// Whether the client has operations in the stage, if it is there.
    pub fn takes_part(&self, client_idx: u32, stage: Stage) -> bool {
        (Some(client_idx) == self.run_client) == stage.is_run_wide() && stage.section().is_some()
    }
}
