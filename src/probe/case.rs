//! The type of a case, and its failures.

use std::fmt::Arguments;
use std::panic::Location;

use futures_util::future::BoxFuture;

use super::place::Place;
use super::shown::{Shown, both};
use crate::backend::{ConnectError, Feature, OpError};
use crate::protocol::NtStatus;
use crate::protocol::path::PathError;

/// A case: one property that every server must have.
pub struct Case {
    pub name: &'static str,
    /// The section of MS-SMB2, MS-FSA or MS-FSCC that it follows.
    pub section: &'static str,
    pub needs: &'static [Feature],
    pub run: for<'a> fn(&'a Place) -> BoxFuture<'a, Checked>,
    pub care: Care,
}

/// The care that a case needs on a server that is not a test's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// A case for any server.
    Safe,
    /// A case for any server. A server that fails it is of no use to a workload.
    Essential,
    /// A case for a test's own server only, for this reason.
    OwnServer(&'static str),
}

pub type Checked<T = ()> = Result<T, Failure>;

/// The reason why a case did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server answered differently.
    Otherwise(Difference),
    /// The server did not grant what the case is about, which it is free to do.
    NotGranted(String),
}

/// A difference between what a case expects and what a server did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The actual and the expected answer, in words.
    pub what: String,
    /// The place in the source of the case.
    pub at: String,
}

impl Failure {
    #[track_caller]
    pub fn new(what: impl Into<String>) -> Failure {
        let place = Location::caller();
        let file = place.file().rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        let at = format!("{file}, line {}", place.line());
        Failure::Otherwise(Difference { what: what.into(), at })
    }

    pub fn not_granted(what: impl Into<String>) -> Failure {
        Failure::NotGranted(what.into())
    }

    /// Returns what happened, without the place in the source.
    pub(super) fn what(self) -> String {
        match self {
            Failure::Otherwise(Difference { what, .. }) | Failure::NotGranted(what) => what,
        }
    }
}

/// The failure of an operation that should have succeeded.
impl From<OpError> for Failure {
    #[track_caller]
    fn from(error: OpError) -> Failure {
        match error {
            OpError::Status(status) => {
                Failure::new(format!("got {}, not {}", status.shown(), NtStatus::SUCCESS.shown()))
            }
            error => Failure::new(error.to_string()),
        }
    }
}

impl From<ConnectError> for Failure {
    #[track_caller]
    fn from(error: ConnectError) -> Failure {
        Failure::new(error.to_string())
    }
}

impl From<PathError> for Failure {
    #[track_caller]
    fn from(error: PathError) -> Failure {
        Failure::new(error.to_string())
    }
}

/// Fails unless the two are equal; `context` says which of several comparisons this is.
#[track_caller]
pub fn equal<A: PartialEq<B> + Shown, B: Shown>(
    found: &A,
    expected: &B,
    context: Arguments<'_>,
) -> Checked {
    if found == expected {
        return Ok(());
    }
    Err(unequal(&found.shown(), &expected.shown(), context))
}

/// Makes the failure of a comparison. It is not generic, since some hundred places compare
/// something.
#[track_caller]
fn unequal(found: &str, expected: &str, context: Arguments<'_>) -> Failure {
    let context = context.to_string();
    let separator = if context.is_empty() { "" } else { ": " };
    let (found, expected) = both(found, expected);
    Failure::new(format!("got {found}, not {expected}{separator}{context}"))
}

/// Makes a case of a function `async fn(&Place) -> Checked`:
/// `case!(function, "MS-FSA 2.1.5.1", features it needs…)`.
macro_rules! case {
    ($function:ident, $section:literal $(, $feature:ident)*) => {
        $crate::probe::Case {
            name: stringify!($function),
            section: $section,
            needs: &[$($crate::backend::Feature::$feature),*],
            run: |place| Box::pin($function(place)),
            care: $crate::probe::case::Care::Safe,
        }
    };
}

/// Fails the case unless two values are equal: `check_eq!(found, expected, "of what")`.
macro_rules! check_eq {
    ($found:expr, $expected:expr) => {
        check_eq!($found, $expected, "")
    };
    ($found:expr, $expected:expr, $($context:tt)+) => {
        $crate::probe::case::equal(&$found, &$expected, format_args!($($context)+))?
    };
}

/// Fails the case unless a condition holds: `check!(condition, "what does not hold")`.
macro_rules! check {
    ($holds:expr, $($context:tt)+) => {
        if !$holds {
            return Err($crate::probe::Failure::new(format!($($context)+)));
        }
    };
}
pub(super) use {case, check, check_eq};

impl Case {
    pub const fn essential(mut self) -> Case {
        self.care = Care::Essential;
        self
    }

    pub const fn own_server(mut self, reason: &'static str) -> Case {
        self.care = Care::OwnServer(reason);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compares(found: NtStatus) -> Checked {
        check_eq!(found, NtStatus::ACCESS_DENIED, "as {}", "ann");
        Ok(())
    }

    #[test]
    fn a_failure_says_what_came_what_was_expected_and_where() {
        assert_eq!(compares(NtStatus::ACCESS_DENIED), Ok(()));
        let Err(Failure::Otherwise(difference)) = compares(NtStatus::SUCCESS) else {
            panic!("passed")
        };
        let expected =
            "got STATUS_SUCCESS (0x00000000), not STATUS_ACCESS_DENIED (0xC0000022): as ann";
        assert_eq!(difference.what, expected);
        assert!(difference.at.starts_with("case, line "), "{}", difference.at);
    }

    #[test]
    fn an_error_of_the_boundary_is_a_failure_where_it_was_met() {
        let failed = |error| -> Checked { Err(error)? };
        let status = failed(OpError::Status(NtStatus::DELETE_PENDING));
        let Err(Failure::Otherwise(difference)) = status else { panic!("passed") };
        let expected = "got STATUS_DELETE_PENDING (0xC0000056), not STATUS_SUCCESS (0x00000000)";
        assert_eq!(difference.what, expected);
        assert!(difference.at.starts_with("case, line "), "{}", difference.at);
        let lost = failed(OpError::ConnectionLost("reset by peer".into())).unwrap_err();
        assert_eq!(lost.what(), "connection lost: reset by peer");
    }
}
