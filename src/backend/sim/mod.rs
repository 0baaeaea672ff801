//! A file server in this process: no network, a constant latency on the given
//! clock, and faults where a test asks for them. What happens follows from the
//! requests, their order and the clock alone.
//!
//! [`SimBackend`] keeps files in a [`MemoryTree`](super::memory::MemoryTree)
//! and knows byte-range locks; every open shares read, write and delete.
//! [`NullBackend`] answers success to everything, to measure what an operation
//! costs without a server.

mod connection;
mod faults;
mod handle;
mod link;
mod locks;
mod null;
mod server;

pub use faults::{Fault, FaultPlan, Request};
pub use null::NullBackend;
pub use server::{Settings, SimBackend};

#[cfg(test)]
mod tests;
