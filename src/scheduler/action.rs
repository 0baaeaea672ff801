//! What the engine answers.

use std::rc::Rc;

use crate::ir::{Operation, Section};

/// What the engine wants done. Clients are named by their slot in the shard.
#[derive(Debug)]
pub enum Action {
    /// Send the operation now.
    Issue { slot: u32, operation: Rc<Operation> },
    /// Fetch up to `max` further operations of the client.
    Pull {
        slot: u32,
        client_idx: u32,
        section: Section,
        max: usize,
        /// The last iteration that began too late for its time.
        superseded: Option<u32>,
    },
    /// The operation in flight has taken longer than the operation time-out.
    Expire { slot: u32, seq: u32 },
    /// Close whatever handles the client has open.
    Close { slot: u32 },
}

/// A completion or a batch that does not belong: a defect, never ignored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error("client {client_idx} completed operation {got}, but {expected:?} was in flight")]
    CompletionMismatch { client_idx: u32, expected: Option<u32>, got: u32 },
    #[error("client {client_idx} was given operation {got} after operation {previous}")]
    OutOfOrder { client_idx: u32, previous: u32, got: u32 },
    #[error("client {client_idx} reported {what} out of turn")]
    OutOfTurn { client_idx: u32, what: &'static str },
}
