//! The measurements that one metric needs, and the value computed from them.

use std::time::Duration;

use super::super::disconnected::Disconnected;
use super::super::distribution::Distribution;
use super::super::merge::Merge;
use super::super::metrics::{OperationStats, PhaseStats, WorkloadStats};
use super::super::steps::{StepCounts, StepStats};
use super::metric::{Counted, CustomValue, DisconnectedValue, Metric, StepValue, Subject, Timed};
use crate::ir::OperationType;

/// A reader of the metrics that scripts declare. It returns the value in its unit and the number of
/// samples behind it; for [`CustomValue::PerSecond`] the value is the count.
pub type CustomReader<'a> = &'a dyn Fn(&str, CustomValue) -> Option<(f64, u64)>;

/// The measurements that one metric needs, from a whole run or from one shard so far.
///
/// Taking a sample copies distributions and merges none, because the shard that is asked for it has
/// operations to issue.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The number counted, and the number it is counted among.
    counted: u64,
    among: u64,
    times: Vec<Distribution>,
    disconnected: Disconnected,
}

impl Sample {
    /// Adds a phase. The metric must be one that is measured by phase.
    pub(super) fn add_phase(&mut self, metric: &Metric, phase: &PhaseStats) {
        match metric {
            Metric::Time(Timed::Delay(delay), _) => self.add(phase.delay(*delay)),
            _ => {
                self.disconnected.merge(&phase.disconnected);
                // Zero is a valid value if something was sent in the phase.
                self.among += phase.lateness.count() + phase.disconnected.clients.len() as u64;
            }
        }
    }

    /// Adds a workload in one phase.
    pub(super) fn add_workload(&mut self, metric: &Metric, stats: &WorkloadStats) {
        match metric {
            Metric::Time(times, _) => self.add_times(*times, stats),
            Metric::Count(counted) | Metric::PerSecond(counted) => self.count(*counted, stats),
            Metric::ErrorShare => self.count(Counted::Errors, stats),
            Metric::Step { name, value } => {
                let steps = stats.steps.as_deref().and_then(|steps| steps.get(name.as_str()));
                steps.iter().for_each(|steps| self.add_steps(*value, steps));
            }
            Metric::Disconnected(_) | Metric::Custom { .. } => {}
        }
    }

    fn add(&mut self, times: &Distribution) {
        if times.count() > 0 {
            self.among += times.count();
            self.times.push(times.clone());
        }
    }

    fn add_times(&mut self, times: Timed, stats: &WorkloadStats) {
        let operations = |subject: Subject| {
            let found =
                stats.operations().filter(move |(operation, _)| subject.includes(*operation));
            found.map(|(_, stats)| stats)
        };
        let iterations = stats.iterations.as_deref();
        let breaks = stats.breaks.as_deref();
        match times {
            Timed::Service(Subject::Iterations) => {
                iterations.iter().for_each(|it| self.add(&it.service))
            }
            Timed::Response(Subject::Iterations) => {
                iterations.iter().for_each(|it| self.add(&it.response))
            }
            Timed::Service(subject) => operations(subject).for_each(|it| self.add(&it.service)),
            Timed::Response(subject) => operations(subject).for_each(|it| self.add(&it.response)),
            Timed::BreakWait => breaks.iter().for_each(|breaks| self.add(&breaks.waited)),
            Timed::BreakLength => breaks.iter().for_each(|breaks| self.add(&breaks.lasted)),
            // These are measured by phase.
            Timed::Delay(_) => {}
        }
    }

    fn add_steps(&mut self, value: StepValue, stats: &StepStats) {
        let StepCounts { failed, skipped, cut } = stats.counts;
        let counted = match value {
            StepValue::Response(_) => return self.add(&stats.response),
            StepValue::Count | StepValue::PerSecond => stats.count(),
            StepValue::Failed => failed,
            StepValue::Skipped => skipped,
            StepValue::Cut => cut,
        };
        self.counted += counted;
        self.among += stats.count() + skipped + cut;
    }

    fn count(&mut self, counted: Counted, stats: &WorkloadStats) {
        match counted {
            Counted::Ended(Subject::Iterations) | Counted::Iterations(_) => {
                let Some(stats) = &stats.iterations else { return };
                let finished = stats.service.count();
                self.among += finished + stats.counts.unfinished();
                self.counted += match counted {
                    Counted::Iterations(count) => count.of(&stats.counts),
                    _ => finished,
                };
            }
            // Breaks are counted among operations, so zero is a valid value if something was sent.
            Counted::Breaks(count) => {
                let sent: u64 = stats.operations().map(|(_, stats)| stats.count()).sum();
                let breaks = stats.breaks.as_ref().map(|breaks| breaks.counts).unwrap_or_default();
                self.among += sent + breaks.all();
                self.counted += count.of(&breaks);
            }
            Counted::Failed(subject) => {
                for (_, stats) in stats.operations().filter(|(found, _)| subject.includes(*found)) {
                    self.counted += stats.counts.failed;
                    self.among += stats.count();
                }
            }
            counted => {
                for (operation, stats) in stats.operations() {
                    // Operations of other types do not count, but are among those considered.
                    let number = counted.of_operation(operation, stats);
                    self.counted = self.counted.saturating_add(number);
                    self.among += stats.count();
                }
            }
        }
    }

    /// Returns the value of the metric in phases that lasted `lasted`, and the number of
    /// operations, iterations or values of the script behind it. Returns None if there are none.
    pub(super) fn value(
        &self,
        metric: &Metric,
        lasted: Duration,
        custom: CustomReader<'_>,
    ) -> Option<(f64, u64)> {
        let per_second = |count: f64| (!lasted.is_zero()).then(|| count / lasted.as_secs_f64());
        if let Metric::Custom { name, value: wanted, .. } = metric {
            let (value, samples) = custom(name, *wanted).filter(|(_, samples)| *samples > 0)?;
            return match wanted {
                CustomValue::PerSecond => Some((per_second(value)?, samples)),
                _ => Some((value, samples)),
            };
        }
        if self.among == 0 {
            return None;
        }
        let counted = self.counted as f64;
        let disconnected = &self.disconnected;
        let value = match metric {
            Metric::Time(_, statistic)
            | Metric::Step { value: StepValue::Response(statistic), .. } => {
                let (first, rest) = self.times.split_first()?;
                let mut merged = first.clone();
                rest.iter().for_each(|times| merged.merge(times));
                statistic.of(&merged)
            }
            Metric::Disconnected(DisconnectedValue::ClientSeconds) => {
                disconnected.client_ns as f64 / 1e9
            }
            Metric::Disconnected(DisconnectedValue::Clients) => disconnected.clients.len() as f64,
            Metric::Disconnected(DisconnectedValue::Longest) => disconnected.longest_ns as f64,
            Metric::PerSecond(_) | Metric::Step { value: StepValue::PerSecond, .. } => {
                per_second(counted)?
            }
            Metric::ErrorShare => counted / self.among as f64,
            _ => counted,
        };
        Some((value, self.among))
    }
}

impl Merge for Sample {
    fn merge(&mut self, other: &Sample) {
        self.counted.merge(&other.counted);
        self.among.merge(&other.among);
        self.times.extend_from_slice(&other.times);
        self.disconnected.merge(&other.disconnected);
    }
}

impl Subject {
    fn includes(self, operation: OperationType) -> bool {
        self == Subject::All || self == Subject::Operation(operation)
    }
}

impl Counted {
    /// Returns the part of this count that the operations of one type contribute.
    fn of_operation(self, operation: OperationType, stats: &OperationStats) -> u64 {
        let granted = stats.granted.as_deref();
        match self {
            Counted::Ended(subject) if subject.includes(operation) => stats.count(),
            Counted::Bytes(wanted) if wanted == operation => stats.bytes,
            Counted::Errors => stats.counts.failed,
            Counted::ErrorsWith(status) => stats.failures.get(status),
            Counted::Granted(what) => granted.map_or(0, |granted| granted.of_caching(what)),
            Counted::CreateAction(what) => granted.map_or(0, |granted| granted.of_action(what)),
            _ => 0,
        }
    }
}
