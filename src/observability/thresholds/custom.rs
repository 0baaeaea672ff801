//! Metrics that a script declares, as thresholds see them.

use std::collections::BTreeMap;

use super::metric::{Metric, Statistic, Unit};
use super::suggestions::{short, wrong};
use crate::protocol::nearest;

/// The kinds of the metrics a script declares, by name.
pub type CustomKinds = BTreeMap<String, CustomKind>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomKind {
    Counter,
    Gauge,
    /// A share of events.
    Rate,
    /// A histogram of values in this unit.
    Histogram(Unit),
}

/// A figure of a custom metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomFigure {
    /// The sum of a counter, or the number of values in a histogram or a rate.
    Count,
    /// The sum of a counter per second.
    PerSecond,
    /// A gauge's last value.
    Value,
    /// The share of true observations in a rate.
    Share,
    /// A statistic of a histogram, or the least or greatest value of a gauge.
    Of(Statistic),
}

impl CustomKind {
    /// Returns the figures of a metric of this kind: the word, its meaning, and the unit of the
    /// value.
    fn figures(self) -> Vec<(&'static str, CustomFigure, Unit)> {
        let count = ("count", CustomFigure::Count, Unit::Count);
        let of = |statistic: &(&'static str, Statistic), unit| {
            (statistic.0, CustomFigure::Of(statistic.1), unit)
        };
        match self {
            CustomKind::Counter => vec![count, ("rate", CustomFigure::PerSecond, Unit::PerSecond)],
            CustomKind::Rate => vec![("rate", CustomFigure::Share, Unit::Share), count],
            CustomKind::Gauge => vec![
                ("value", CustomFigure::Value, Unit::Number),
                ("min", CustomFigure::Of(Statistic::Min), Unit::Number),
                ("max", CustomFigure::Of(Statistic::Max), Unit::Number),
            ],
            CustomKind::Histogram(unit) => {
                let statistics = Statistic::NAMES.iter().map(|statistic| of(statistic, unit));
                statistics.chain([count]).collect()
            }
        }
    }
}

/// Parses a figure of a custom metric. All but the last word is the metric's name. Returns None if
/// no metric has this name or a similar one.
pub(super) fn parse(text: &str, custom: &CustomKinds) -> Result<Option<Metric>, String> {
    let words = |kind: CustomKind| -> Vec<&str> {
        kind.figures().into_iter().map(|(word, ..)| word).collect()
    };
    if let Some(kind) = custom.get(text) {
        return Err(wrong(text, &[], &words(*kind)));
    }
    let (name, word) = text.rsplit_once('.').unwrap_or((text, ""));
    let Some(kind) = custom.get(name) else {
        return match nearest(name, custom.keys().map(String::as_str)) {
            Some(near) => Err(format!("unknown metric '{}': did you mean '{near}'?", short(name))),
            None => Ok(None),
        };
    };
    match kind.figures().into_iter().find(|(known, ..)| *known == word) {
        Some((_, figure, unit)) => Ok(Some(Metric::Custom { name: name.into(), figure, unit })),
        None => Err(wrong(name, &[word], &words(*kind))),
    }
}
