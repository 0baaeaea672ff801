//! What a threshold needs of what was measured, and the value it makes of it.

use std::time::Duration;

use super::super::disconnected::Disconnected;
use super::super::distribution::Distribution;
use super::super::metrics::{Cell, Measurements, OperationStats, PhaseStats};
use super::Threshold;
use super::custom::CustomFigure;
use super::metric::{DisconnectedFigure, Metric, Subject};
use crate::ir::OperationType;

/// Answers for metrics that scripts declare: the value in its unit and how many
/// samples it is of; for [`CustomFigure::PerSecond`] the count.
pub type CustomReader<'a> = &'a dyn Fn(&str, CustomFigure) -> Option<(f64, u64)>;

/// What one threshold needs, of a whole run or of one shard so far.
///
/// Taking it copies distributions and merges none, as a shard that is asked
/// for it has operations to issue.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// What is counted, and what it is counted among.
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
        // Of a phase in which something was sent, none is a figure.
        self.among += phase.lateness.count() + phase.disconnected.clients.len() as u64;
    }

    fn add(&mut self, times: &Distribution) {
        if times.count() > 0 {
            self.among += times.count();
            self.times.push(times.clone());
        }
    }

    fn count(&mut self, metric: &Metric, cell: &Cell) {
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
            // Counted among operations, so that there may be none.
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
            // Nothing of this type counts, but it was there to be counted among.
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
    }
}

impl Threshold {
    /// The value of its metric in phases that lasted so long, and how many
    /// operations, iterations or values of the script's it is of. None of nothing.
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
