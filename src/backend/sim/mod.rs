//! A file server in this process: no network, but the latency, the stalls, the
//! outages and the faults it is described with, on the given clock. What
//! happens follows from the description, the seed, the requests, their order
//! and the clock alone.
//!
//! [`SimBackend`] keeps files in a [`MemoryTree`](super::memory::MemoryTree)
//! and knows share modes, byte-range locks, oplocks and leases.
//! [`NullBackend`] answers success to everything, to measure what an operation
//! costs without a server.

mod connection;
mod create_request;
mod description;
mod faults;
mod handle;
mod latency;
mod link;
mod locks;
mod null;
mod opening;
mod opens;
mod random;
mod server;
mod window;

pub use description::{Description, DescriptionError};
pub use faults::{Fault, FaultPlan, Request};
pub use latency::Latency;
pub use null::NullBackend;
pub use server::{Settings, SimBackend};
pub use window::Window;

#[cfg(test)]
mod break_tests;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod sharing_tests;
#[cfg(test)]
mod tests;
