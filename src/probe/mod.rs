//! The conformance suite: cases that the tests run against every backend, and that
//! `smbench targets probe` runs against a user's server.
//!
//! A [`Case`] is one property of a server, from MS-SMB2, MS-FSA or MS-FSCC, checked through the
//! boundary of [`backend`](crate::backend) alone. It works in a [`CaseDirectory`] of its own, which
//! is emptied whatever happens. The simulator fails no case: it is the suite's executable reference.

mod case;
mod case_directory;
mod case_report;
mod cases;
mod client;
mod deviations;
mod directory_manager;
mod failure;
mod feature_support;
mod report;
#[cfg(test)]
mod report_tests;
mod suite;
mod value_description;

pub use case::{Case, CaseArguments};
pub use case_directory::CaseDirectory;
pub use case_report::{CaseOutcome, CaseReport};
pub use cases::all;
pub use client::{Clients, Handle, ProbeClient};
pub use deviations::{DEVIATIONS, Deviation, When, known};
pub use failure::{CaseFailure, Checked, Difference};
pub use feature_support::{FeatureSupport, SupportLevel, support};
pub use report::{CaseTotals, ProbeReport, SCHEMA, TargetReport};
pub use suite::{
    CaseProgress, CaseVerdict, NotRunReason, Selection, SuiteError, SuiteLimits, SuiteResults, run,
};

use case::cases;
use client::{SOON, done, side_by_side};
use failure::{answer, check, check_eq, check_status};
