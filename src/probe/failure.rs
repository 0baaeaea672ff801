//! The failures of cases, and the comparisons that make them.

use std::fmt::Arguments;
use std::panic::Location;

use super::value_description::{Describe, both};
use crate::backend::{ConnectError, OpError};
use crate::protocol::NtStatus;
use crate::protocol::path::PathError;

pub type Checked<T = ()> = Result<T, CaseFailure>;

/// The reason why a case did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseFailure {
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

impl CaseFailure {
    #[track_caller]
    pub fn new(what: impl Into<String>) -> CaseFailure {
        let place = Location::caller();
        let file = place.file().rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        let at = format!("{file}, line {}", place.line());
        CaseFailure::Otherwise(Difference { what: what.into(), at })
    }

    pub fn not_granted(what: impl Into<String>) -> CaseFailure {
        CaseFailure::NotGranted(what.into())
    }

    /// Returns what happened, without the place in the source.
    pub(super) fn what(self) -> String {
        match self {
            CaseFailure::Otherwise(Difference { what, .. }) | CaseFailure::NotGranted(what) => what,
        }
    }
}

/// The failure of an operation that should have succeeded.
impl From<OpError> for CaseFailure {
    #[track_caller]
    fn from(error: OpError) -> CaseFailure {
        match error {
            OpError::Status(status) => CaseFailure::new(format!(
                "got {}, not {}",
                status.described(),
                NtStatus::SUCCESS.described()
            )),
            error => CaseFailure::new(error.to_string()),
        }
    }
}

impl From<ConnectError> for CaseFailure {
    #[track_caller]
    fn from(error: ConnectError) -> CaseFailure {
        CaseFailure::new(error.to_string())
    }
}

impl From<PathError> for CaseFailure {
    #[track_caller]
    fn from(error: PathError) -> CaseFailure {
        CaseFailure::new(error.to_string())
    }
}

/// Returns the server's answer; success is STATUS_SUCCESS.
///
/// # Errors
/// [`CaseFailure`] if there was no answer.
#[track_caller]
pub fn answer<T>(result: Result<T, OpError>) -> Checked<NtStatus> {
    match result {
        Ok(_) => Ok(NtStatus::SUCCESS),
        Err(OpError::Status(status)) => Ok(status),
        Err(error) => Err(CaseFailure::new(format!("no answer from the server: {error}"))),
    }
}

/// Fails unless the two are equal; `context` says which of several comparisons this is.
#[track_caller]
pub fn equal<A: PartialEq<B> + Describe, B: Describe>(
    found: &A,
    expected: &B,
    context: Arguments<'_>,
) -> Checked {
    if found == expected {
        return Ok(());
    }
    Err(unequal(&found.described(), &expected.described(), context))
}

/// Makes the failure of a comparison. It is not generic, since some hundred places compare
/// something.
#[track_caller]
fn unequal(found: &str, expected: &str, context: Arguments<'_>) -> CaseFailure {
    let context = context.to_string();
    let separator = if context.is_empty() { "" } else { ": " };
    let (found, expected) = both(found, expected);
    CaseFailure::new(format!("got {found}, not {expected}{separator}{context}"))
}

/// Fails unless the server's answer to an operation is `expected`.
#[track_caller]
pub fn answered<T>(
    result: Result<T, OpError>,
    expected: NtStatus,
    context: Arguments<'_>,
) -> Checked {
    equal(&answer(result)?, &expected, context)
}

/// Fails unless two values are equal: `check_eq!(found, expected, "of what")?`.
macro_rules! check_eq {
    ($found:expr, $expected:expr) => {
        check_eq!($found, $expected, "")
    };
    ($found:expr, $expected:expr, $($context:tt)+) => {
        $crate::probe::failure::equal(&$found, &$expected, format_args!($($context)+))
    };
}

/// Fails unless a condition holds: `check!(condition, "what does not hold")?`.
macro_rules! check {
    ($holds:expr, $($context:tt)+) => {
        match $holds {
            true => Ok(()),
            false => Err($crate::probe::failure::CaseFailure::new(format!($($context)+))),
        }
    };
}

/// Fails unless the server's answer to an operation is this status:
/// `check_status!(result, status, "of what")?`.
macro_rules! check_status {
    ($result:expr, $expected:expr) => {
        check_status!($result, $expected, "")
    };
    ($result:expr, $expected:expr, $($context:tt)+) => {
        $crate::probe::failure::answered($result, $expected, format_args!($($context)+))
    };
}
pub(super) use {check, check_eq, check_status};

#[cfg(test)]
mod tests {
    use super::*;

    fn compares(found: NtStatus) -> Checked {
        check_eq!(found, NtStatus::ACCESS_DENIED, "as {}", "ann")
    }

    #[test]
    fn a_failure_says_what_came_what_was_expected_and_where() {
        assert_eq!(compares(NtStatus::ACCESS_DENIED), Ok(()));
        let Err(CaseFailure::Otherwise(difference)) = compares(NtStatus::SUCCESS) else {
            panic!("passed")
        };
        let expected =
            "got STATUS_SUCCESS (0x00000000), not STATUS_ACCESS_DENIED (0xC0000022): as ann";
        assert_eq!(difference.what, expected);
        assert!(difference.at.starts_with("failure, line "), "{}", difference.at);
    }

    #[test]
    fn an_error_of_the_boundary_is_a_failure_where_it_was_met() {
        let failed = |error| -> Checked { Err(error)? };
        let status = failed(OpError::Status(NtStatus::DELETE_PENDING));
        let Err(CaseFailure::Otherwise(difference)) = status else { panic!("passed") };
        let expected = "got STATUS_DELETE_PENDING (0xC0000056), not STATUS_SUCCESS (0x00000000)";
        assert_eq!(difference.what, expected);
        assert!(difference.at.starts_with("failure, line "), "{}", difference.at);
        let lost = failed(OpError::ConnectionLost("reset by peer".into())).unwrap_err();
        assert_eq!(lost.what(), "connection lost: reset by peer");
    }
}
