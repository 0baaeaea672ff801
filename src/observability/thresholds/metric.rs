//! The metrics that a threshold can be about, and their units.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::breaks::BreakCounts;
use super::super::distribution::Statistic;
use super::super::failures::StatusKey;
use super::super::metrics::{Delay, IterationCounts};
use crate::ir::OperationType;
use crate::ir::event::BreakEnd;

/// A measured value of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// A statistic of measured times.
    Time(Timed, Statistic),
    Count(Counted),
    PerSecond(Counted),
    /// The share of failed operations among those sent.
    ErrorShare,
    Disconnected(DisconnectedValue),
    /// A value of the steps of one name.
    Step {
        name: String,
        value: StepValue,
    },
    /// A metric that a script declares.
    Custom {
        name: String,
        value: CustomValue,
        unit: Unit,
    },
}

/// The times that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timed {
    Service(Subject),
    Response(Subject),
    Delay(Delay),
    /// The time from a break's notice to its acknowledgement.
    BreakWait,
    /// The time from a break's notice to its end, if it wants an answer.
    BreakLength,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Operation(OperationType),
    /// Operations of all types.
    All,
    Iterations,
}

/// A count or an amount of bytes, as a total or per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Operations that were sent, or iterations that finished.
    Ended(Subject),
    /// Operations that were sent and failed.
    Failed(Subject),
    Iterations(IterationCount),
    /// Operations of any type that failed. A passing threshold on these excuses them, unlike one on
    /// [`Counted::Failed`].
    Errors,
    ErrorsWith(StatusKey),
    /// Opens that were granted this caching, one of `GrantedCounts::CACHING`.
    Granted(&'static str),
    /// Opens with this create action, one of `GrantedCounts::actions`.
    CreateAction(&'static str),
    Breaks(BreakCount),
    /// Bytes read or written.
    Bytes(OperationType),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IterationCount {
    Late,
    Dropped,
    Skipped,
    Cut,
}

impl IterationCount {
    pub fn of(self, counts: &IterationCounts) -> u64 {
        match self {
            IterationCount::Late => counts.late,
            IterationCount::Dropped => counts.dropped,
            IterationCount::Skipped => counts.skipped,
            IterationCount::Cut => counts.cut,
        }
    }
}

/// The breaks that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakCount {
    All,
    Oplock,
    Lease,
    Ended(BreakEnd),
    /// Operations that waited for the end of a break, which are not breaks.
    BlockedOperations,
}

impl BreakCount {
    pub fn of(self, counts: &BreakCounts) -> u64 {
        match self {
            BreakCount::All => counts.all(),
            BreakCount::Oplock => counts.oplock,
            BreakCount::Lease => counts.lease,
            BreakCount::Ended(end) => counts.ends[end],
            BreakCount::BlockedOperations => counts.blocked_operations,
        }
    }
}

/// A value of the steps of one name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepValue {
    /// A statistic of the times from when steps were due to their end.
    Response(Statistic),
    /// The number of steps that ended.
    Count,
    PerSecond,
    /// The number of steps that ended with a failed operation.
    Failed,
    Skipped,
    Cut,
}

/// A value of the time in which clients had no connection, which is measured by phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectedValue {
    /// The sum over clients, in seconds.
    ClientSeconds,
    Clients,
    Longest,
}

/// The statistics that a metric keeps of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// A sum that only grows.
    Counter,
    /// The last, the least and the greatest value.
    Gauge,
    /// The share of observations that were true.
    Rate,
    /// A distribution of whole numbers.
    Histogram,
}

impl MetricKind {
    pub const ALL: [MetricKind; 4] =
        [MetricKind::Counter, MetricKind::Gauge, MetricKind::Rate, MetricKind::Histogram];

    /// Returns the name used in scripts and the summary.
    pub fn name(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Rate => "rate",
            MetricKind::Histogram => "histogram",
        }
    }
}

/// The kinds of the metrics a script declares, with the units of their values, by name.
pub type CustomKinds = BTreeMap<String, (MetricKind, Unit)>;

/// A value of a custom metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CustomValue {
    /// The sum of a counter, or the number of values in a histogram or a rate.
    Count,
    /// The sum of a counter per second.
    PerSecond,
    /// A gauge's last value.
    Last,
    /// The share of true observations in a rate.
    Share,
    /// A statistic of a histogram, or the least or greatest value of a gauge.
    Of(Statistic),
}

/// The unit of a metric's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Unit {
    /// A time: microseconds in a summary, nanoseconds inside smbench.
    #[serde(rename = "us")]
    Time,
    /// A share, from 0 to 1.
    #[serde(rename = "share")]
    Share,
    /// A number of operations, iterations or the like.
    #[serde(rename = "count")]
    Count,
    /// A number of operations, iterations or the like per second.
    #[serde(rename = "per_s")]
    PerSecond,
    /// Bytes.
    #[serde(rename = "bytes")]
    Bytes,
    /// Bytes per second.
    #[serde(rename = "bytes_per_s")]
    BytesPerSecond,
    /// The unit that the script chose for its metric.
    #[serde(rename = "number")]
    Number,
}

impl Unit {
    /// Returns a value as it is in a summary.
    pub fn in_summary(self, value: f64) -> f64 {
        if self == Unit::Time { value / 1e3 } else { value }
    }

    /// Returns how a value of this unit is written, as the continuation of "is".
    pub(super) fn described(self) -> &'static str {
        match self {
            Unit::Time => "a time: write it with its unit, such as 20ms or 1.5s",
            Unit::Share => "a share: write it in percent, such as 1%, or below 1, such as 0.01",
            Unit::Count => "a count: write a whole number, such as 100",
            Unit::PerSecond => "a number per second: write it as 500 or 500/s",
            Unit::Bytes => "a size: write it in bytes or with its unit, such as 64MiB",
            Unit::BytesPerSecond => {
                "a number of bytes per second: write it as a size, such as 100MiB or 100MiB/s"
            }
            Unit::Number => "a number: write it without a unit, such as 0.5",
        }
    }
}

impl Metric {
    pub fn unit(&self) -> Unit {
        match self {
            Metric::Time(..)
            | Metric::Step { value: StepValue::Response(_), .. }
            | Metric::Disconnected(DisconnectedValue::Longest) => Unit::Time,
            Metric::Count(Counted::Bytes(_)) => Unit::Bytes,
            Metric::PerSecond(Counted::Bytes(_)) => Unit::BytesPerSecond,
            Metric::PerSecond(_) | Metric::Step { value: StepValue::PerSecond, .. } => {
                Unit::PerSecond
            }
            Metric::Count(_)
            | Metric::Step { .. }
            | Metric::Disconnected(DisconnectedValue::Clients) => Unit::Count,
            Metric::ErrorShare => Unit::Share,
            Metric::Disconnected(DisconnectedValue::ClientSeconds) => Unit::Number,
            Metric::Custom { unit, .. } => *unit,
        }
    }

    /// Returns whether the value can only grow during a run.
    pub(super) fn grows(&self) -> bool {
        match self {
            Metric::Custom { value, .. } => *value == CustomValue::Count,
            metric => matches!(metric.unit(), Unit::Count | Unit::Bytes),
        }
    }

    /// Returns whether it counts operations that failed with this status as errors.
    pub(super) fn counts_error(&self, status: StatusKey) -> bool {
        match self {
            Metric::Count(Counted::ErrorsWith(known)) => *known == status,
            metric => matches!(metric, Metric::Count(Counted::Errors) | Metric::ErrorShare),
        }
    }

    /// Returns whether it is measured by phase and not by workload.
    pub(super) fn is_of_phases(&self) -> bool {
        matches!(self, Metric::Time(Timed::Delay(_), _) | Metric::Disconnected(_))
    }
}
