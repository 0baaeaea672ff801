//! The report of a probe, which `smbench targets probe --json` prints (`schema/probe.schema.json`).

use serde::Serialize;

use super::cases::AREAS;
use super::deviations::known;
use super::suite::{Column, Missed, Verdict};
use super::support::{Support, support};
use super::{Case, case::Care};
use crate::backend::ServerDescription;
use crate::observability::exit::{ExitReason, exit_code};

pub const SCHEMA: &str = "smbench.probe/1";

#[derive(Clone, Debug, Serialize)]
pub struct ProbeReport {
    pub schema: &'static str,
    /// The version of smbench.
    pub version: &'static str,
    pub exit_code: u8,
    pub exit_reasons: Vec<ExitReason>,
    pub target: TargetReport,
    /// The directory that the probe made and removed.
    pub folder: String,
    /// The duration in seconds, from the first connection to the removal of the directory.
    pub duration_s: f64,
    pub totals: Totals,
    pub supports: Vec<Support>,
    pub cases: Vec<CaseReport>,
    /// Paths that could not be removed from the server, with the reasons.
    pub left_behind: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct TargetReport {
    /// The URL, which holds no secret.
    pub url: String,
    pub backend: &'static str,
    #[serde(flatten)]
    pub server: ServerDescription,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub cases: usize,
    pub pass: usize,
    /// Cases that failed for a known reason.
    pub deviation: usize,
    pub fail: usize,
    pub not_granted: usize,
    pub skipped: usize,
    /// Cases that were to be run, but the probe ended before they had an answer.
    pub not_run: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pass,
    Deviation,
    Fail,
    NotGranted,
    Skipped,
    NotRun,
}

#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    pub name: &'static str,
    pub area: &'static str,
    /// The section of MS-SMB2, MS-FSA or MS-FSCC.
    pub section: &'static str,
    pub essential: bool,
    pub outcome: Outcome,
    /// The server's answer if it differs, or the reason why the case was not run.
    pub detail: Option<String>,
    /// The reason for the difference, where it is known.
    pub reason: Option<&'static str>,
    /// The place in the source of the case where the answer differed.
    pub at: Option<String>,
}

impl CaseReport {
    fn new(server: &str, case: &Case, verdict: &Verdict) -> CaseReport {
        let known = match verdict {
            Verdict::Fail(difference) => known(server, case.name, &difference.what),
            _ => None,
        };
        let outcome = match verdict {
            Verdict::Pass => Outcome::Pass,
            Verdict::Fail(_) if known.is_some() => Outcome::Deviation,
            Verdict::Fail(_) => Outcome::Fail,
            Verdict::NotGranted(_) => Outcome::NotGranted,
            Verdict::Skipped(_) => Outcome::Skipped,
            Verdict::NotRun(_) => Outcome::NotRun,
        };
        let within = |(_, cases): &&(&str, &[Case])| cases.iter().any(|c| c.name == case.name);
        CaseReport {
            name: case.name,
            area: AREAS.iter().find(within).map_or("", |(area, _)| area),
            section: case.section,
            essential: case.care == Care::Essential,
            outcome,
            detail: verdict.detail().map(str::to_string),
            reason: known.map(|deviation| deviation.reason),
            at: match verdict {
                Verdict::Fail(difference) => Some(difference.at.clone()),
                _ => None,
            },
        }
    }

    /// Returns whether an essential case failed: without it the server is of no use to a workload.
    fn is_essential_and_failed(&self) -> bool {
        self.essential && matches!(self.outcome, Outcome::Fail | Outcome::NotGranted)
    }
}

impl ProbeReport {
    pub fn new(
        target: TargetReport,
        folder: &str,
        cases: &[&Case],
        column: &Column,
    ) -> ProbeReport {
        let cases: Vec<CaseReport> = cases
            .iter()
            .zip(&column.verdicts)
            .map(|(case, verdict)| CaseReport::new(target.backend, case, verdict))
            .collect();
        let mut totals = Totals { cases: cases.len(), ..Totals::default() };
        for case in &cases {
            *match case.outcome {
                Outcome::Pass => &mut totals.pass,
                Outcome::Deviation => &mut totals.deviation,
                Outcome::Fail => &mut totals.fail,
                Outcome::NotGranted => &mut totals.not_granted,
                Outcome::Skipped => &mut totals.skipped,
                Outcome::NotRun => &mut totals.not_run,
            } += 1;
        }
        let missed = |why: &[Missed]| {
            let among = |v: &Verdict| matches!(v, Verdict::NotRun(missed) if why.contains(missed));
            column.verdicts.iter().any(among)
        };
        let mut exit_reasons = Vec::new();
        if missed(&[Missed::ServerGone, Missed::ServerWentMeanwhile]) {
            exit_reasons.push(ExitReason::Unreachable);
        }
        // Running out of time counts like Ctrl-C: nothing failed, and not every case was run.
        if column.interrupted || missed(&[Missed::TimeUp]) {
            exit_reasons.push(ExitReason::Interrupted);
        }
        if !column.left.is_empty() || cases.iter().any(CaseReport::is_essential_and_failed) {
            exit_reasons.push(ExitReason::OperationsFailed);
        }
        ProbeReport {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            exit_code: exit_code(&exit_reasons),
            exit_reasons,
            target,
            folder: folder.to_string(),
            duration_s: column.took.as_secs_f64(),
            totals,
            supports: support(&cases),
            cases,
            left_behind: column.left.clone(),
        }
    }

    /// Returns the cases that differ from the reference: essential ones first, then those without a
    /// known reason.
    pub fn differences(&self) -> Vec<&CaseReport> {
        let differs =
            |case: &&CaseReport| matches!(case.outcome, Outcome::Fail | Outcome::Deviation);
        let mut differences: Vec<&CaseReport> = self.cases.iter().filter(differs).collect();
        differences.sort_by_key(|case| (!case.is_essential_and_failed(), case.reason.is_some()));
        differences
    }
}
