//! Tests of thresholds that are right, wrong and hostile, and of their outcomes.

mod expressions;
mod outcomes;

use std::time::Duration;

use super::super::{Measurements, fixtures};
use super::expression::Expression;
use super::metric::{MetricKind, Unit};
use super::*;
use crate::ir::source::StatedThreshold;

const PHASES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

fn declared() -> CustomKinds {
    [
        ("app.save_latency", MetricKind::Histogram, Unit::Time),
        ("app.sizes", MetricKind::Histogram, Unit::Bytes),
        ("app.saves", MetricKind::Counter, Unit::Number),
        ("app.queue", MetricKind::Gauge, Unit::Number),
        ("app.hits", MetricKind::Rate, Unit::Number),
    ]
    .map(|(name, kind, unit)| (name.to_string(), (kind, unit)))
    .into()
}

fn stated(expression: &str) -> StatedThreshold {
    StatedThreshold {
        expression: expression.into(),
        place: "s.lua:3".into(),
        phase: None,
        workload: None,
        abort_after_ns: None,
    }
}

fn threshold(expression: &str) -> Threshold {
    Threshold::new(&stated(expression), &declared()).unwrap()
}

fn custom(name: &str, figure: CustomValue) -> Option<(f64, u64)> {
    match (name, figure) {
        ("app.saves", _) => Some((300.0, 150)),
        ("app.queue", _) => Some((-2.0, 7)),
        ("app.hits", _) => Some((0.25, 8)),
        ("app.sizes", _) => Some((0.0, 0)),
        _ => None,
    }
}

fn outcome(threshold: Threshold, measurements: &Measurements) -> ThresholdOutcome {
    outcomes(&[threshold], measurements, &PHASES, &custom).remove(0)
}
