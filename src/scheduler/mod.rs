//! The scheduler: it issues every operation when it is due, in order within its client, and
//! reports each exactly once.
//!
//! [`engine`] and [`timeline`] are pure state machines: the caller passes them the time and
//! what happened, and they return what to do. [`driver`] runs one engine per shard, on the
//! shard's thread, over a [`clock`]. [`stage_coordinator`] keeps the shards in step.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod batch;
#[cfg(test)]
mod break_fixture;
#[cfg(test)]
mod break_tests;
pub mod client;
#[cfg(test)]
mod client_tests;
pub mod clock;
pub mod driver;
pub mod engine;
pub mod feature_gate;
pub mod feed;
#[cfg(test)]
mod fixtures;
mod heartbeat;
pub mod operation_bound;
pub mod permits;
pub mod reload;
pub mod stage_coordinator;
pub mod timeline;
pub mod virtual_time;

pub use clock::{Precision, RealClock};
pub use driver::{Driver, Shard};
pub use engine::{Action, Engine, EngineError, RetryPolicy};
pub use feed::{Feed, Feeds, ThreadFeed};
pub use permits::Permits;
pub use stage_coordinator::StageCoordinator;
pub use timeline::{CutReason, PhaseSpan, Stage, Timeline};
