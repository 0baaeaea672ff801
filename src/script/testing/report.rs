//! The results of a test file.

use std::path::PathBuf;
use std::time::Duration;

use crate::script::error::ScriptError;

/// The results of one test file.
#[derive(Clone, Debug)]
pub struct FileReport {
    pub path: PathBuf,
    /// The reason why the file does not load, or why its tests could not go on.
    pub refused: Option<ScriptError>,
    /// The tests that the filter selects, in the order of the file.
    pub tests: Vec<TestReport>,
    /// What the top level of the file and the bodies of `describe` printed.
    pub printed: Printed,
    pub snapshots: SnapshotReport,
    pub elapsed: Duration,
}

/// The result of one test.
#[derive(Clone, Debug)]
pub struct TestReport {
    /// The name, after those of the groups around it: `mail > delivers once`.
    pub name: String,
    /// The `file:line` of the test.
    pub place: String,
    pub outcome: TestOutcome,
    pub printed: Printed,
    pub elapsed: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestOutcome {
    Passed,
    Failed(TestFailure),
    /// The test did not run, for this reason.
    NotRun(String),
}

/// The reason why a test failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFailure {
    /// The message, with the `file:line` of the expectation or error where it is known.
    pub message: String,
    /// Further lines, such as a diff.
    pub details: Vec<String>,
}

/// Text that tests printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// The first lines, which may be shown on a terminal.
    pub text: String,
    /// The number of lines that were dropped after them.
    pub dropped: u64,
}

/// The snapshots of a test file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotReport {
    /// The files that were written because they were missing.
    pub written: Vec<String>,
    /// The files that were written because they differed, with `--update`.
    pub updated: Vec<String>,
    /// The files that no test compared, if all tests ran and passed.
    pub unused: Vec<String>,
}

/// Maximum length of the message of a failure, in bytes.
const MAX_MESSAGE: usize = 16 << 10;

impl TestFailure {
    /// Returns a failure with this message, shortened if it is very long.
    pub(super) fn new(mut message: String, details: Vec<String>) -> TestFailure {
        if message.len() > MAX_MESSAGE {
            let end = (0..=MAX_MESSAGE).rev().find(|at| message.is_char_boundary(*at));
            message.truncate(end.unwrap_or(0));
            message.push('…');
        }
        TestFailure { message, details }
    }
}

impl FileReport {
    /// Returns the number of tests that failed or did not run.
    pub fn failures(&self) -> usize {
        self.tests.iter().filter(|test| test.outcome != TestOutcome::Passed).count()
    }
}
