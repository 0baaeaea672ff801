//! The actions that the engine asks for, and its errors.

use std::rc::Rc;

use crate::ir::Operation;
use crate::scheduler::batch::BatchRequest;

/// An action that the engine asks the driver to carry out. A client is given by its slot in
/// the shard.
#[derive(Debug)]
pub enum Action {
    /// The operation to send now.
    Issue { slot: u32, operation: Rc<Operation> },
    /// A request for further operations of a client.
    Pull(BatchRequest),
    /// The time-out of the operation in flight.
    Expire { slot: u32, seq: u32 },
    /// A request to close all handles that the client has open.
    Close { slot: u32 },
    /// A request to connect a client that joins while the others iterate.
    Connect { slot: u32 },
    /// A request to disconnect a client that has left.
    Disconnect { slot: u32 },
}

/// A completion or a batch that does not match the engine's state: a defect, never ignored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error("client {client_idx} completed operation {got}, but {expected:?} was in flight")]
    CompletionMismatch { client_idx: u32, expected: Option<u32>, got: u32 },
    #[error("client {client_idx} was given operation {got} after operation {previous}")]
    OutOfOrder { client_idx: u32, previous: u32, got: u32 },
    #[error("client {client_idx} reported {what} out of turn")]
    OutOfTurn { client_idx: u32, what: &'static str },
}
