//! A threshold, and its outcome.

use std::time::Duration;

use serde::Serialize;

use super::super::failures::StatusKey;
use super::super::layout::Layout;
use super::super::metrics::Measurements;
use super::expression::{Comparison, Expression};
use super::metric::{CustomKinds, Metric, Unit};
use super::names::{short, unknown};
use super::sample::{CustomReader, Sample};
use crate::ir::source::StatedThreshold;

/// The fewest samples from which a threshold may end a run.
const LEAST_SAMPLES: u64 = 100;

/// The time a phase lasts before its thresholds may end the run, if no other is given.
pub const DEFAULT_DELAY: Duration = Duration::from_secs(5);

/// A condition on one metric of some phases and workloads.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// The threshold as it was written.
    pub text: String,
    pub expression: Expression,
    /// The name of the phase; None means the recorded phases together.
    pub phase: Option<String>,
    /// The name of the workload; None means all of them together.
    pub workload: Option<String>,
    /// The time its phases have lasted before a failure ends the run; None if it never does.
    pub abort_after: Option<Duration>,
}

/// The reason why a threshold is invalid. The message says where the threshold was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ThresholdError {
    place: String,
    pub(super) problem: String,
}

/// The outcome of a threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct ThresholdOutcome {
    pub threshold: Threshold,
    /// The value in the metric's unit; None if nothing was measured.
    pub value: Option<f64>,
    pub pass: bool,
    /// An explanation besides the value.
    pub reason: Option<String>,
}

/// The outcome of one threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ThresholdSummary {
    /// The threshold as it was written.
    pub expression: String,
    /// The value in `unit`; absent where nothing was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    pub unit: Unit,
    /// Whether the threshold held.
    pub pass: bool,
    /// The comparison of the value, for a report: `expression` says it to readers of JSON.
    #[serde(skip)]
    pub comparison: Option<Comparison>,
    /// The phase it is about; absent where it is about the recorded phases together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The workload it is about; absent where it is about all workloads together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// A remark beside the value: `no samples`, or that it ended the run and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Threshold {
    /// Parses a threshold.
    ///
    /// # Errors
    /// [`ThresholdError`] if the expression is wrong, or if its metric is not kept by phase or
    /// workload and one is named.
    pub fn new(
        stated: &StatedThreshold,
        custom: &CustomKinds,
    ) -> Result<Threshold, ThresholdError> {
        let text = stated.expression.trim();
        let problem = |problem: String| ThresholdError {
            place: stated.place.clone(),
            problem: format!("'{}': {problem}", short(text)),
        };
        let expression = Expression::parse(text, custom).map_err(problem)?;
        let (by_phase, by_workload) = (stated.phase.is_some(), stated.workload.is_some());
        let refusal = match &expression.metric {
            metric if metric.is_of_phases() && by_workload => {
                "it is measured by phase, not by workload; remove `workload`"
            }
            Metric::Custom { .. } if by_phase || by_workload => {
                "a metric that a script declares is not measured by phase or workload; remove `phase` and `workload`, and select in the hook what is counted"
            }
            _ => "",
        };
        if !refusal.is_empty() {
            return Err(problem(refusal.into()));
        }
        Ok(Threshold {
            text: text.into(),
            expression,
            phase: stated.phase.clone(),
            workload: stated.workload.clone(),
            abort_after: stated.abort_after_ns.map(Duration::from_nanos),
        })
    }

    /// Checks that the phase and the workload of the threshold exist.
    ///
    /// # Errors
    /// A message that contains the unknown name and suggests a known one.
    pub fn check_names<'a>(
        &self,
        phases: impl IntoIterator<Item = &'a str>,
        workloads: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), String> {
        known("phase", self.phase.as_deref(), phases)
            .and_then(|()| known("workload", self.workload.as_deref(), workloads))
            .map_err(|problem| format!("'{}': {problem}", short(&self.text)))
    }

    /// Returns the threshold as it was written, with its phase and workload.
    pub fn described(&self) -> String {
        let phase = self.phase.as_ref().map(|phase| format!("phase {phase}"));
        let workload = self.workload.as_ref().map(|workload| format!("workload {workload}"));
        let of: Vec<String> = [phase, workload].into_iter().flatten().collect();
        if of.is_empty() { self.text.clone() } else { format!("{} ({})", self.text, of.join(", ")) }
    }

    /// Judges a run, or a part of one, that measured `sample`. `phases` are the lengths of its
    /// phases.
    fn judge(
        &self,
        layout: &Layout,
        sample: &Sample,
        phases: &[Duration],
        custom: CustomReader<'_>,
    ) -> ThresholdOutcome {
        let lasted = self.lasted(layout, phases);
        let value = sample.value(&self.expression.metric, lasted, custom).map(|(value, _)| value);
        let reason = match &self.phase {
            _ if value.is_some() => None,
            Some(phase) if self.slots(layout).next().is_none() => {
                Some(format!("no samples: the run has no phase {phase}"))
            }
            _ => Some("no samples".into()),
        };
        let pass = value.is_some_and(|value| self.expression.holds(value));
        ThresholdOutcome { threshold: self.clone(), value, pass, reason }
    }

    /// Returns what its metric needs of the measurements.
    pub(super) fn sample(&self, measurements: &Measurements) -> Sample {
        let layout = &measurements.layout;
        let metric = &self.expression.metric;
        let mut sample = Sample::default();
        for slot in self.slots(layout) {
            if metric.is_of_phases() {
                sample.add_phase(metric, measurements.phase(slot));
                continue;
            }
            for workload in self.workloads(layout) {
                sample.add_workload(metric, measurements.workload(slot, workload));
            }
        }
        sample
    }

    /// Returns whether it fails now and must end the run.
    pub(super) fn ends_run(&self, value: f64, samples: u64, lasted: Duration) -> bool {
        let waited = self.abort_after.is_some_and(|delay| lasted >= delay);
        waited && samples >= LEAST_SAMPLES && self.expression.is_lost(value)
    }

    /// Returns the total length of its phases.
    pub(super) fn lasted(&self, layout: &Layout, phases: &[Duration]) -> Duration {
        self.slots(layout).filter_map(|slot| phases.get(slot)).sum()
    }

    /// Returns the slots of the phases it is about.
    fn slots(&self, layout: &Layout) -> impl Iterator<Item = usize> {
        let wanted = |(_, phase): &(usize, &crate::ir::Phase)| match &self.phase {
            Some(name) => phase.name == *name,
            None => phase.record,
        };
        (0..).zip(layout.phases()).filter(wanted).map(|(slot, _)| slot)
    }

    /// Returns the indexes in the layout of the workloads it is about.
    fn workloads(&self, layout: &Layout) -> impl Iterator<Item = usize> {
        let wanted = |index: &usize| match &self.workload {
            Some(name) => layout.workload_name(*index) == name,
            None => true,
        };
        (0..layout.workloads()).filter(wanted)
    }

    /// Returns whether the threshold counts failures with this phase, workload and status. A
    /// threshold that passes permits the failures that it counts. A threshold on the recorded
    /// phases also permits failures in the other phases.
    fn allows(&self, phase: &str, workload: &str, status: StatusKey) -> bool {
        let of = |wanted: &Option<String>, name| wanted.as_deref().is_none_or(|it| it == name);
        self.expression.metric.counts_error(status)
            && of(&self.phase, phase)
            && of(&self.workload, workload)
    }
}

fn known<'a>(
    what: &str,
    name: Option<&str>,
    all: impl IntoIterator<Item = &'a str>,
) -> Result<(), String> {
    let all: Vec<&str> = all.into_iter().collect();
    match name {
        Some(name) if !all.contains(&name) => Err(unknown(what, name, &all)),
        _ => Ok(()),
    }
}

/// Returns the outcome of every threshold at the end of a run. `phases` are the lengths of its
/// phases.
pub fn outcomes(
    thresholds: &[Threshold],
    measurements: &Measurements,
    phases: &[Duration],
    custom: CustomReader<'_>,
) -> Vec<ThresholdOutcome> {
    let judge = |threshold: &Threshold| {
        let sample = threshold.sample(measurements);
        threshold.judge(&measurements.layout, &sample, phases, custom)
    };
    thresholds.iter().map(judge).collect()
}

/// Returns whether an operation failed, outside of setup and teardown, that no passing threshold on
/// `errors` counts.
pub fn has_other_failures(outcomes: &[ThresholdOutcome], measurements: &Measurements) -> bool {
    let layout = &*measurements.layout;
    let allowing: Vec<&Threshold> =
        outcomes.iter().filter(|outcome| outcome.pass).map(|outcome| &outcome.threshold).collect();
    let allowed = |slot: usize, workload: usize, status: StatusKey| {
        let (phase, workload) = (&layout.phases()[slot].name, layout.workload_name(workload));
        allowing.iter().any(|threshold| threshold.allows(phase, workload, status))
    };
    (0..layout.phases().len()).any(|slot| {
        (0..layout.workloads()).any(|workload| {
            let mut failures = measurements
                .workload(slot, workload)
                .operations()
                .flat_map(|(_, stats)| stats.failures.iter());
            failures.any(|(status, _)| !allowed(slot, workload, status))
        })
    })
}

impl ThresholdOutcome {
    pub fn summary(&self) -> ThresholdSummary {
        let unit = self.threshold.expression.metric.unit();
        ThresholdSummary {
            expression: self.threshold.text.clone(),
            value: self.value.map(|value| unit.in_summary(value)),
            unit,
            pass: self.pass,
            comparison: Some(self.threshold.expression.comparison_in_summary()),
            phase: self.threshold.phase.clone(),
            workload: self.threshold.workload.clone(),
            reason: self.reason.clone(),
        }
    }
}
