//! The report of one case.

use serde::Serialize;

use super::case::Case;
use super::cases::AREAS;
use super::deviations::known;
use super::suite::CaseVerdict;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CaseOutcome {
    /// The server answered as the reference.
    Pass,
    /// The server differs from the reference for a known reason.
    Deviation,
    /// The server differs from the reference, and no reason is known.
    Fail,
    /// The server is free not to grant it, and did not.
    NotGranted,
    /// The backend cannot ask, or the case is for a test's own server.
    Skipped,
    /// The case had no answer when the probe was interrupted, its time was up or the server
    /// was gone.
    NotRun,
}

/// One case: what should hold, and what the server did.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CaseReport {
    /// The behavior that is expected, in words.
    pub name: &'static str,
    /// The group of cases it belongs to.
    pub area: &'static str,
    /// The section of MS-SMB2, MS-FSA or MS-FSCC that it follows.
    pub section: &'static str,
    /// Whether no workload goes without it.
    pub essential: bool,
    pub outcome: CaseOutcome,
    /// The answer of the server, or the reason why the case has none; null where it passed.
    pub detail: Option<String>,
    /// The reason why the server differs; null if it is not known.
    pub reason: Option<&'static str>,
    /// The place in the case's source where the answer differed; null where it did not.
    pub at: Option<String>,
}

impl CaseReport {
    pub fn new(server: &str, case: &Case, verdict: &CaseVerdict) -> CaseReport {
        let known = match verdict {
            CaseVerdict::Fail(difference) => known(server, case.name, &difference.what),
            _ => None,
        };
        let outcome = match verdict {
            CaseVerdict::Pass => CaseOutcome::Pass,
            CaseVerdict::Fail(_) if known.is_some() => CaseOutcome::Deviation,
            CaseVerdict::Fail(_) => CaseOutcome::Fail,
            CaseVerdict::NotGranted(_) => CaseOutcome::NotGranted,
            CaseVerdict::Skipped(_) => CaseOutcome::Skipped,
            CaseVerdict::NotRun(_) => CaseOutcome::NotRun,
        };
        let within = |(_, cases): &&(&str, &[Case])| cases.iter().any(|c| c.name == case.name);
        CaseReport {
            name: case.name,
            area: AREAS.iter().find(within).map_or("", |(area, _)| area),
            section: case.section,
            essential: case.essential,
            outcome,
            detail: verdict.detail().map(str::to_string),
            reason: known.map(|deviation| deviation.reason),
            at: match verdict {
                CaseVerdict::Fail(difference) => Some(difference.at.clone()),
                _ => None,
            },
        }
    }

    /// Returns whether an essential case failed: without it the server is of no use to a workload.
    pub fn is_essential_and_failed(&self) -> bool {
        self.essential && matches!(self.outcome, CaseOutcome::Fail | CaseOutcome::NotGranted)
    }
}
