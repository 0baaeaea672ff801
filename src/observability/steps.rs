//! The measurements of steps, which are groups of operations that a user waits for as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::distribution::{Distribution, Times};
use super::merge::{Merge, merge_fields};

/// Counts of steps, as the summary has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepCounts {
    /// Steps that ended, and had an operation that failed and was not expected to.
    pub failed: u64,
    /// Steps of which nothing was sent, because the handles they need were not open.
    pub skipped: u64,
    /// Steps that were cut before their last operation, or may have been.
    pub cut: u64,
}

merge_fields!(StepCounts { failed, skipped, cut });

/// The measurements of the steps of one name in one phase and workload.
#[derive(Clone, Debug, Default)]
pub struct StepStats {
    /// Times from when the steps were due to their last completion, of steps that ended.
    pub response: Distribution,
    pub counts: StepCounts,
}

merge_fields!(StepStats { response, counts });

impl StepStats {
    /// Returns the number of steps that ended, failed or not.
    pub fn count(&self) -> u64 {
        self.response.count()
    }

    pub(super) fn summary(&self) -> StepSummary {
        let (count, counts) = (self.count(), self.counts);
        StepSummary { count, counts, response_us: self.response.times() }
    }
}

/// The measurements of steps by name.
pub type StepsByName = BTreeMap<Arc<str>, StepStats>;

impl Merge for StepsByName {
    fn merge(&mut self, other: &StepsByName) {
        for (name, stats) in other {
            self.entry(Arc::clone(name)).or_default().merge(stats);
        }
    }
}

/// Figures of the steps of one name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepSummary {
    /// Steps that ended, failed or not.
    pub count: u64,
    #[serde(flatten)]
    pub counts: StepCounts,
    /// Response time, from when the first operation was due to the last completion, in
    /// microseconds; absent where no step ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_us: Option<Times>,
}

/// Figures of steps, by name; a step that never happened is absent.
pub type Steps = BTreeMap<String, StepSummary>;

/// Returns the figures of steps by name.
pub(super) fn steps(stats: Option<&StepsByName>) -> Steps {
    let all = stats.into_iter().flatten();
    all.map(|(name, stats)| (name.to_string(), stats.summary())).collect()
}
