//! The results of a test file.

use std::path::{Path, PathBuf};
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
    /// The size of the messages and details of the failures, in bytes.
    pub(super) failures_bytes: usize,
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
    /// Whether the message was dropped, because the failures of the file have too many.
    pub is_dropped: bool,
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
/// Maximum size of the messages and details of all failures of a file, in bytes.
const MAX_FAILURES: usize = 4 << 20;

/// The message of a failure whose own was dropped.
const DROPPED: &str =
    "the message was dropped: those of the failures before it in this file are too long";

impl TestFailure {
    /// Returns a failure with this message, shortened if it is very long.
    pub(super) fn new(mut message: String, details: Vec<String>) -> TestFailure {
        shorten(&mut message, MAX_MESSAGE);
        TestFailure { message, details, is_dropped: false }
    }

    fn size(&self) -> usize {
        self.message.len() + self.details.iter().map(String::len).sum::<usize>()
    }
}

/// Cuts a string off after at most `most` bytes.
pub(super) fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
}

impl FileReport {
    pub(super) fn new(path: &Path) -> FileReport {
        FileReport {
            path: path.to_path_buf(),
            refused: None,
            tests: Vec::new(),
            printed: Printed::default(),
            snapshots: SnapshotReport::default(),
            elapsed: Duration::ZERO,
            failures_bytes: 0,
        }
    }

    /// Returns the report of a file whose run was broken off by a fault of this program.
    pub fn broken_off(path: &Path, fault: String) -> FileReport {
        FileReport { refused: Some(ScriptError::Internal(fault)), ..FileReport::new(path) }
    }

    /// Adds the result of a test. Drops the message of its failure if those before leave too little
    /// room for it.
    pub(super) fn add(&mut self, mut test: TestReport) {
        if let TestOutcome::Failed(failure) = &mut test.outcome {
            let size = failure.size();
            if self.failures_bytes + size > MAX_FAILURES {
                failure.message = DROPPED.into();
                failure.details = Vec::new();
                failure.is_dropped = true;
                // A shorter one after it is dropped too, so that the first ones are shown.
                self.failures_bytes = MAX_FAILURES;
            } else {
                self.failures_bytes += size;
            }
        }
        self.tests.push(test);
    }

    /// Returns the number of tests that failed or did not run.
    pub fn failures(&self) -> usize {
        self.tests.iter().filter(|test| test.outcome != TestOutcome::Passed).count()
    }
}
