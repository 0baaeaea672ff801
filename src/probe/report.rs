//! The report of a probe, as `smbench targets probe --json` prints it. `schema/probe.schema.json`
//! is made from these types.

use serde::Serialize;

use super::case::Case;
use super::case_report::{CaseOutcome, CaseReport};
use super::feature_support::{FeatureSupport, support};
use super::suite::{CaseVerdict, NotRunReason, SuiteResults};
use crate::backend::ServerDescription;
use crate::observability::exit::{ExitReason, exit_code};

pub const SCHEMA: &str = "smbench.probe/1";

/// The reasons for which a probe can exit with a code other than 0.
#[cfg(test)]
const REASONS: [ExitReason; 3] =
    [ExitReason::Unreachable, ExitReason::Interrupted, ExitReason::OperationsFailed];

/// The report that `smbench targets probe URL --json` prints: what a server supports, and where it
/// differs from the reference. This lists every key of this version; a reader should ignore
/// others, which later versions add.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(title = "smbench probe, version 1"))]
pub struct ProbeReport {
    /// Name and version of this format.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA)))]
    pub schema: &'static str,
    /// Version of smbench.
    pub version: &'static str,
    /// The code that smbench exits with.
    #[cfg_attr(test, schemars(extend("enum" = [0, 3, 4, 130])))]
    pub exit_code: u8,
    /// Every reason that applies; the first decides the exit code.
    #[cfg_attr(test, schemars(extend("items" = { "enum": REASONS })))]
    pub exit_reasons: Vec<ExitReason>,
    pub target: TargetReport,
    /// The directory that the probe made and removed; it touched nothing else.
    #[serde(rename = "folder")]
    pub directory: String,
    /// Seconds from the first connection to the removal of the directory.
    pub duration_s: f64,
    pub totals: CaseTotals,
    /// The features that a workload may want of a server.
    pub supports: Vec<FeatureSupport>,
    /// Every case, in the order of the suite.
    pub cases: Vec<CaseReport>,
    /// Paths that could not be removed from the server, with the reasons.
    pub left_behind: Vec<String>,
}

/// The server that was asked.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TargetReport {
    /// The target as it was named, without a password.
    pub url: String,
    /// The backend that reached it.
    pub backend: &'static str,
    #[serde(flatten)]
    pub server: ServerDescription,
}

/// Number of cases, and of these by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CaseTotals {
    /// Number of cases, however they ended.
    pub cases: usize,
    /// Cases in which the server answered as the reference.
    pub pass: usize,
    /// Cases that differ from the reference for a known reason.
    pub deviation: usize,
    /// Cases that differ from the reference, and no reason is known.
    pub fail: usize,
    /// Cases of what a server is free not to grant, and did not.
    pub not_granted: usize,
    /// Cases that the backend cannot ask, or that are for a test's own server.
    pub skipped: usize,
    /// Cases that had no answer when the probe ended.
    pub not_run: usize,
}

impl ProbeReport {
    pub fn new(
        target: TargetReport,
        directory: &str,
        cases: &[&Case],
        results: &SuiteResults,
    ) -> ProbeReport {
        let cases: Vec<CaseReport> = cases
            .iter()
            .zip(&results.verdicts)
            .map(|(case, verdict)| CaseReport::new(target.backend, case, verdict))
            .collect();
        let mut totals = CaseTotals { cases: cases.len(), ..CaseTotals::default() };
        for case in &cases {
            *match case.outcome {
                CaseOutcome::Pass => &mut totals.pass,
                CaseOutcome::Deviation => &mut totals.deviation,
                CaseOutcome::Fail => &mut totals.fail,
                CaseOutcome::NotGranted => &mut totals.not_granted,
                CaseOutcome::Skipped => &mut totals.skipped,
                CaseOutcome::NotRun => &mut totals.not_run,
            } += 1;
        }
        let missed = |why: &[NotRunReason]| {
            let among =
                |v: &CaseVerdict| matches!(v, CaseVerdict::NotRun(missed) if why.contains(missed));
            results.verdicts.iter().any(among)
        };
        let mut exit_reasons = Vec::new();
        if missed(&[NotRunReason::ServerGone, NotRunReason::ServerWentMeanwhile]) {
            exit_reasons.push(ExitReason::Unreachable);
        }
        // Running out of time counts like Ctrl-C: nothing failed, and not every case was run.
        if results.interrupted || missed(&[NotRunReason::TimeUp]) {
            exit_reasons.push(ExitReason::Interrupted);
        }
        if !results.left.is_empty() || cases.iter().any(CaseReport::is_essential_and_failed) {
            exit_reasons.push(ExitReason::OperationsFailed);
        }
        ProbeReport {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            exit_code: exit_code(&exit_reasons),
            exit_reasons,
            target,
            directory: directory.to_string(),
            duration_s: results.took.as_secs_f64(),
            totals,
            supports: support(&cases),
            cases,
            left_behind: results.left.clone(),
        }
    }

    /// Returns the cases that differ from the reference: essential ones first, then those without a
    /// known reason.
    pub fn differences(&self) -> Vec<&CaseReport> {
        let differs =
            |case: &&CaseReport| matches!(case.outcome, CaseOutcome::Fail | CaseOutcome::Deviation);
        let mut differences: Vec<&CaseReport> = self.cases.iter().filter(differs).collect();
        differences.sort_by_key(|case| (!case.is_essential_and_failed(), case.reason.is_some()));
        differences
    }
}
