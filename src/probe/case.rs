//! A case, and how it fails.

use std::fmt::Debug;
use std::panic::Location;

use futures_util::future::BoxFuture;

use super::place::Place;
use crate::backend::{ConnectError, Feature, OpError};
use crate::protocol::path::PathError;

/// One property every server is held to.
pub struct Case {
    pub name: &'static str,
    /// The section of MS-SMB2, MS-FSA or MS-FSCC it follows.
    pub section: &'static str,
    pub needs: &'static [Feature],
    pub run: for<'a> fn(&'a Place) -> BoxFuture<'a, Checked>,
    pub care: Care,
}

/// What a case means to a server that is not a test's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// Asked of any server.
    Safe,
    /// Asked of any server; one that fails it is of no use to a workload.
    Essential,
    /// Asked of a test's own server only, for this reason.
    OwnServer(&'static str),
}

pub type Checked<T = ()> = Result<T, Failure>;

/// Why a case did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server answered otherwise: what it did, and where it was asked.
    Otherwise(String),
    /// What the case is about was not granted, which a server is free to do.
    NotGranted(String),
}

/// The most of a value that is told.
const MAX_SHOWN_CHARS: usize = 160;

impl Failure {
    #[track_caller]
    pub fn new(what: impl AsRef<str>) -> Failure {
        let place = Location::caller();
        let file = place.file().rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        Failure::Otherwise(format!("{} ({file}, line {})", what.as_ref(), place.line()))
    }

    pub fn not_granted(what: impl Into<String>) -> Failure {
        Failure::NotGranted(what.into())
    }
}

impl From<OpError> for Failure {
    #[track_caller]
    fn from(error: OpError) -> Failure {
        Failure::new(format!("got {error}"))
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

/// Fails unless the two are equal; `context` says which of several it was.
#[track_caller]
pub fn equal<A: PartialEq<B> + Debug, B: Debug>(
    found: &A,
    expected: &B,
    context: impl FnOnce() -> String,
) -> Checked {
    if found == expected {
        return Ok(());
    }
    let context = context();
    let context = if context.is_empty() { context } else { format!(": {context}") };
    let (found, expected) = (shown(found), shown(expected));
    Err(Failure::new(format!("got {found}, not {expected}{context}")))
}

fn shown(value: &impl Debug) -> String {
    // As people say it, who do not write Rust.
    let text = format!("{value:?}").replace("Some(", "(").replace("None", "none");
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// `case!(function, "MS-FSA 2.1.5.1", features it needs…)`; the function is
/// `async fn(&Place) -> Checked`.
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

/// `check_eq!(found, expected, "of what")`
macro_rules! check_eq {
    ($found:expr, $expected:expr $(, $($context:tt)+)?) => {
        $crate::probe::case::equal(&$found, &$expected, || {
            #[allow(unused_mut, unused_assignments)]
            let mut context = String::new();
            $(context = format!($($context)+);)?
            context
        })?
    };
}

/// `check!(what must hold, "what does not, else")`
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
    use crate::protocol::NtStatus;

    fn compares(found: NtStatus) -> Checked {
        check_eq!(found, NtStatus::ACCESS_DENIED, "as {}", "ann");
        Ok(())
    }

    #[test]
    fn a_failure_says_what_came_what_was_expected_and_where() {
        assert_eq!(compares(NtStatus::ACCESS_DENIED), Ok(()));
        let Err(Failure::Otherwise(text)) = compares(NtStatus::SUCCESS) else { panic!("passed") };
        let expected = "got STATUS_SUCCESS (0x00000000), not STATUS_ACCESS_DENIED (0xC0000022): as ann (case, line ";
        assert!(text.starts_with(expected), "{text}");
        assert!(shown(&[7; 1_000]).chars().count() <= MAX_SHOWN_CHARS + 1);
    }

    #[test]
    fn an_error_of_the_boundary_is_a_failure_where_it_was_met() {
        let failed = || -> Checked { Err(OpError::Status(NtStatus::DELETE_PENDING))? };
        let Err(Failure::Otherwise(text)) = failed() else { panic!("passed") };
        assert!(text.starts_with("got STATUS_DELETE_PENDING (case, line "), "{text}");
    }
}
