//! The conformance suite: cases that the tests run against every backend, and that
//! `smbench targets probe` runs against a user's server.
//!
//! A [`Case`] is one property of a server, from MS-SMB2, MS-FSA or MS-FSCC, checked through the
//! boundary of [`backend`](crate::backend) alone. It works in a [`Place`], a directory of its own,
//! which is emptied whatever happens. The simulator fails no case: it is the suite's executable
//! reference.

mod case;
mod cases;
mod client;
mod deviations;
mod keeper;
mod place;
mod report;
#[cfg(test)]
mod report_tests;
mod shown;
mod suite;
mod support;

pub use case::{Care, Case, Checked, Difference, Failure};
pub use cases::all;
pub use client::{Client, Handle};
pub use deviations::{DEVIATIONS, Deviation, When, known};
pub use place::Place;
pub use report::{CaseReport, Outcome, ProbeReport, SCHEMA, TargetReport, Totals};
pub use suite::{Asked, Column, Limits, Missed, Refused, Step, Verdict, run};
pub use support::{Answer, Support, support};

use case::{case, check, check_eq};
use client::{SOON, answer, done, side_by_side};
