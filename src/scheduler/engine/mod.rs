//! The scheduler's decisions as a pure state machine: no clock, no I/O, no runtime.
//!
//! [`Engine`] is the state machine; its documentation says how to use it. The other modules here
//! are its parts: the queue of each client, the ends of its work, and the waits of its operations.

mod action;
mod breaks;
mod client_queue;
mod config;
mod cut;
mod deadlines;
mod disconnections;
mod generation;
mod lookahead;
mod permit_queue;
mod reload;
mod retry;
mod skipped_iterations;
mod state_machine;
#[cfg(test)]
mod tests;

pub use action::{Action, EngineError};
pub use client_queue::Attempt;
pub use config::EngineConfig;
pub use generation::{Generation, GenerationTimes};
pub use retry::{MOST_ATTEMPTS, RetryPolicy};
pub use state_machine::Engine;
