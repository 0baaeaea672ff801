//! Thresholds: conditions that the metrics of a run must meet.
//!
//! [`expression`] parses `read.response.p99 < 20ms`, with the [`names`] of metrics. A [`sample`]
//! holds what a metric needs of the measurements, at the end of a run or of one shard during it.
//! [`watch`] asks the shards for samples each second, for thresholds that may end the run.

pub mod expression;
pub mod metric;
pub mod names;
pub mod sample;
#[cfg(test)]
mod tests;
mod threshold;
pub mod watch;

pub use metric::{CustomKinds, CustomValue};
pub use threshold::{
    DEFAULT_DELAY, Threshold, ThresholdError, ThresholdOutcome, ThresholdSummary,
    has_other_failures, outcomes,
};
