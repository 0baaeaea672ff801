//! A simulated file server in this process, on the given clock. There is no network: latency,
//! stalls, outages and faults come from the target's description. All results depend only on the
//! description, the seed, the requests, their order and the clock.
//!
//! [`SimBackend`] keeps files in a [`MemoryTree`](super::memory::MemoryTree)
//! and knows share modes, byte-range locks, oplocks and leases.
//! [`NullBackend`] answers success to everything, to measure what an operation
//! costs without a server.

mod backend;
mod connection;
mod create_request;
mod description;
mod faults;
mod handle;
mod latency;
mod locks;
mod null;
mod opens;
mod random;
mod server;
mod window;

pub use backend::SimBackend;
pub use description::{Description, DescriptionError};
pub use faults::{Fault, FaultPlan};
pub use latency::Latency;
pub use null::NullBackend;
pub use random::RequestId;
pub use server::SimSettings;
pub use window::Window;

#[cfg(test)]
mod break_tests;
#[cfg(test)]
mod sharing_tests;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;
