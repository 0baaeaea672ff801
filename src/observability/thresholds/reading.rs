//! The measurements that a threshold needs, and the value computed from them.

use std::time::Duration;

use super::super::disconnected::Disconnected;
use super::super::distribution::Distribution;
use super::super::metrics::{Measurements, OperationStats, PhaseStats, WorkloadStats};
use super::Threshold;
use super::custom::CustomFigure;
use super::metric::{DisconnectedFigure, Metric, Subject};
use crate::ir::OperationType;

/// A reader of the metrics that scripts declare. It returns the value in its unit and the number of
/// samples behind it; for [`CustomFigure::PerSecond`] the value is the count.
pub type CustomReader<'a> = &'a dyn Fn(&str, CustomFigure) -> Option<(f64, u64)>;

/// The measurements that one threshold needs, from a whole run or from one shard so far.
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
    pub fn of(threshold: &Threshold, measurements: &Measurements) -> Sample {
        let layout = &measurements.layout;
        let metric = &threshold.expression.metric;
        let mut sample = Sample::default();
        for slot in threshold.slots(layout) {
            match metric {
                Metric::Disconnected(_) => sample.add_disconnected(measurements.phase(slot)),
                Metric::Delay(delay, _) => sample.add(measurements.phase(slot).delay(*delay)),
                _ => {
                    for workload in threshold.workloads(layout) {
                        sample.count(metric, measurements.cell(slot, workload));
                    }
                }
            }
        }
        sample
    }

    fn add_disconnected(&mut self, phase: &PhaseStats) {
        self.disconnected.merge(&phase.disconnected);
        // Zero is a valid figure if something was sent in the phase.
        self.among += phase.lateness.count() + phase.disconnected.clients.len() as u64;
    }

    fn add(&mut self, times: &Distribution) {
        if times.count() > 0 {
            self.among += times.count();
            self.times.push(times.clone());
        }
    }

    fn count(&mut self, metric: &Metric, cell: &WorkloadStats) {
        match metric {
            Metric::Service(Subject::Iterations, _) => {
                cell.iterations.iter().for_each(|stats| self.add(&stats.service));
            }
            Metric::Response(Subject::Iterations, _) => {
                cell.iterations.iter().for_each(|stats| self.add(&stats.response));
            }
            Metric::BreakWait(_) => {
                cell.breaks.iter().for_each(|breaks| self.add(&breaks.waited));
            }
            Metric::BreakLength(_) => {
                cell.breaks.iter().for_each(|breaks| self.add(&breaks.lasted));
            }
            // Breaks are counted among operations, so zero is a valid figure if something was sent.
            Metric::Breaks(count) => {
                let sent: u64 = cell.operations().map(|(_, stats)| stats.count()).sum();
                let breaks = cell.breaks.as_deref();
                self.among += sent + breaks.map_or(0, |breaks| breaks.count());
                self.counted += breaks.map_or(0, |breaks| count.of(breaks));
            }
            Metric::Count(Subject::Iterations)
            | Metric::Rate(Subject::Iterations)
            | Metric::IterationsLate
            | Metric::IterationsDropped
            | Metric::IterationsSkipped
            | Metric::IterationsCut => {
                let Some(stats) = &cell.iterations else { return };
                let finished = stats.service.count();
                self.among += finished + stats.dropped + stats.skipped + stats.cut;
                self.counted += match metric {
                    Metric::IterationsLate => stats.late,
                    Metric::IterationsDropped => stats.dropped,
                    Metric::IterationsSkipped => stats.skipped,
                    Metric::IterationsCut => stats.cut,
                    _ => finished,
                };
            }
            _ => {
                cell.operations().for_each(|(operation, stats)| {
                    self.count_operations(metric, operation, stats);
                });
            }
        }
    }

    fn count_operations(
        &mut self,
        metric: &Metric,
        operation: OperationType,
        stats: &OperationStats,
    ) {
        let is = |subject: &Subject| match subject {
            Subject::Operation(wanted) => *wanted == operation,
            Subject::All => true,
            Subject::Iterations => false,
        };
        let counted = match metric {
            Metric::Service(subject, _) if is(subject) => return self.add(&stats.service),
            Metric::Response(subject, _) if is(subject) => return self.add(&stats.response),
            Metric::Service(..) | Metric::Response(..) => return,
            Metric::Failed(subject) if !is(subject) => return,
            Metric::Failed(_) | Metric::Errors | Metric::ErrorShare => stats.failed,
            Metric::Count(subject) | Metric::Rate(subject) if is(subject) => stats.count(),
            Metric::ErrorsWith(status) => stats.failures.get(*status),
            Metric::Bytes(wanted) | Metric::ByteRate(wanted) if *wanted == operation => stats.bytes,
            Metric::Granted(what) => {
                stats.granted.as_ref().map_or(0, |granted| granted.of_caching(what))
            }
            Metric::Became(what) => {
                stats.granted.as_ref().map_or(0, |granted| granted.of_action(what))
            }
            // Operations of this type do not count, but are among those considered.
            _ => 0,
        };
        self.counted = self.counted.saturating_add(counted);
        self.among += stats.count();
    }

    /// Adds what another shard measured.
    pub fn merge(&mut self, other: &Sample) {
        self.counted = self.counted.saturating_add(other.counted);
        self.among += other.among;
        self.times.extend_from_slice(&other.times);
        self.disconnected.merge(&other.disconnected);
    }
}

impl Threshold {
    /// Returns the value of its metric in phases that lasted `lasted`, and the number of
    /// operations, iterations or values of the script behind it. Returns None if there are none.
    pub(super) fn read(
        &self,
        sample: &Sample,
        lasted: Duration,
        custom: CustomReader<'_>,
    ) -> Option<(f64, u64)> {
        let per_second = |count: f64| (!lasted.is_zero()).then(|| count / lasted.as_secs_f64());
        let metric = &self.expression.metric;
        if let Metric::Custom { name, figure, .. } = metric {
            let (value, samples) = custom(name, *figure).filter(|(_, samples)| *samples > 0)?;
            return match figure {
                CustomFigure::PerSecond => Some((per_second(value)?, samples)),
                _ => Some((value, samples)),
            };
        }
        if sample.among == 0 {
            return None;
        }
        let counted = sample.counted as f64;
        let value = match metric {
            Metric::Service(_, statistic)
            | Metric::Response(_, statistic)
            | Metric::Delay(_, statistic)
            | Metric::BreakWait(statistic)
            | Metric::BreakLength(statistic) => {
                let (first, rest) = sample.times.split_first()?;
                let mut merged = first.clone();
                rest.iter().for_each(|times| merged.merge(times));
                statistic.of(&merged)
            }
            Metric::Disconnected(figure) => match figure {
                DisconnectedFigure::ClientSeconds => sample.disconnected.client_ns as f64 / 1e9,
                DisconnectedFigure::Clients => sample.disconnected.clients.len() as f64,
                DisconnectedFigure::Longest => sample.disconnected.longest_ns as f64,
            },
            Metric::Rate(_) | Metric::ByteRate(_) => per_second(counted)?,
            Metric::ErrorShare => counted / sample.among as f64,
            _ => counted,
        };
        Some((value, sample.among))
    }
}
