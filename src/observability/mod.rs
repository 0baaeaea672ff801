//! The evaluation of a run's events: measurements, a verdict on them, a summary.
//!
//! Each shard of the scheduler has a [`Recorder`] on its own thread; at the end
//! their [`Measurements`] merge into one and become the [`Summary`].

pub mod breaks;
pub mod columns;
pub mod custom_metrics;
mod delays;
mod disconnected;
pub mod distribution;
pub mod exit;
pub mod failures;
#[cfg(test)]
pub(crate) mod fixtures;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
mod generation_stats;
pub mod generations;
#[cfg(test)]
mod generations_tests;
mod layout;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod live;
mod merge;
pub mod metrics;
pub mod notes;
pub mod number_text;
pub mod oplog;
pub mod priority;
pub mod progress;
pub mod progress_lines;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
mod recorder;
pub mod results;
pub mod rounding;
#[cfg(test)]
pub(crate) mod schema;
#[cfg(test)]
mod schema_tests;
pub mod standard_error;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
mod step_recorder;
pub mod steps;
mod summarize;
#[cfg(test)]
mod summarize_tests;
pub mod summary;
pub mod text;
pub mod thresholds;
pub mod trust;
#[cfg(test)]
mod trust_tests;

pub use custom_metrics::{CustomMetrics, MetricSummary};
pub use distribution::Distribution;
pub use exit::ExitReason;
pub use generation_stats::GenerationShard;
pub use generations::{GenerationFacts, GenerationFigures, GenerationSummary, Generations};
pub use layout::Layout;
pub use live::Live;
pub use metrics::Measurements;
pub use oplog::Oplog;
pub use progress::{ProgressDisplay, ProgressStage};
pub use recorder::Recorder;
pub use results::ResultsDirectory;
pub use summary::{RunFacts, Summary, TargetFacts};
pub use trust::{Cause, Evidence, HookEvents, Processors, Trust, TrustVerdict};
