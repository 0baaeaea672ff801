//! The scheduler: it issues every operation when it is due, in order within its client, and
//! reports each exactly once.
//!
//! [`engine`] and [`timeline`] are pure state machines: the caller passes them the time and
//! what happened, and they return what to do. [`driver`] runs one engine per shard, on the
//! shard's thread, over a [`clock`]. [`stage_coordinator`] keeps the shards in step.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod action;
#[cfg(test)]
mod arrival_tests;
mod blocked;
#[cfg(test)]
mod break_scene;
#[cfg(test)]
mod break_tests;
pub mod client;
pub mod client_queue;
#[cfg(test)]
mod client_tests;
pub mod clock;
pub mod config;
mod cut;
pub mod deadlines;
mod disconnected;
pub mod driver;
pub mod engine;
#[cfg(test)]
mod engine_tests;
pub mod feature_gate;
pub mod feed;
mod heartbeat;
mod left_out;
pub mod lookahead;
pub mod operation_bound;
pub mod permits;
pub mod retry;
#[cfg(test)]
mod retry_tests;
pub mod stage_coordinator;
pub mod timeline;
pub mod virtual_time;
#[cfg(test)]
mod withheld_tests;

pub use action::{Action, EngineError};
pub use clock::{Precision, RealClock};
pub use driver::{Driver, DriverError, Shard};
pub use engine::Engine;
pub use feed::{Feed, LocalFeed, ThreadFeed};
pub use permits::Permits;
pub use retry::RetryPolicy;
pub use stage_coordinator::StageCoordinator;
pub use timeline::{CutReason, PhaseSpan, Stage, Timeline};
