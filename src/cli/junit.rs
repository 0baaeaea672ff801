//! The results of tests as a JUnit XML file, which CI systems read.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::ir::directory::directory_of;
use crate::observability::results::{missing_parent, not_replaceable, unfinished_file};
use crate::observability::text::printable;
use crate::script::testing::{FileReport, Printed, TestOutcome};

/// Longest part of a line in the file, in characters.
const MAX_LINE_CHARS: usize = 10_000;

/// The results so far. Each file is a test suite.
pub(super) struct Junit(Report);

impl Junit {
    pub fn new() -> Junit {
        Junit(Report::new("smbench test"))
    }

    pub fn add(&mut self, file: &FileReport) {
        let mut suite = TestSuite::new(readable(&file.path.display().to_string()));
        suite.set_time(file.elapsed);
        for test in &file.tests {
            let status = match &test.outcome {
                TestOutcome::Passed => TestCaseStatus::success(),
                TestOutcome::Failed(failure) => {
                    let mut text = failure.message.clone();
                    for line in &failure.details {
                        text += "\n";
                        text += line;
                    }
                    not_passed(NonSuccessKind::Failure, &failure.message, &text)
                }
                TestOutcome::NotRun(reason) => not_passed(NonSuccessKind::Error, reason, reason),
            };
            let mut case = TestCase::new(readable(&test.name), status);
            case.set_classname(readable(&file.path.display().to_string()));
            case.set_time(test.elapsed);
            if let Some((file, line)) = test.place.rsplit_once(':') {
                case.extra.insert("file".into(), readable(file).into());
                case.extra.insert("line".into(), line.into());
            }
            if let Some(printed) = printed(&test.printed) {
                case.set_system_out(printed);
            }
            suite.add_test_case(case);
        }
        if let Some(error) = &file.refused {
            let error = error.to_string();
            let status = not_passed(NonSuccessKind::Error, &error, &error);
            let mut case = TestCase::new("the file loads", status);
            case.set_classname(readable(&file.path.display().to_string()));
            suite.add_test_case(case);
            if let Some(printed) = printed(&file.printed) {
                suite.set_system_out(printed);
            }
        }
        if !suite.test_cases.is_empty() {
            self.0.add_test_suite(suite);
        }
    }

    /// Adds an error for each file that was not tested, because the tests were interrupted.
    pub fn add_files_left(&mut self, files: &[PathBuf]) {
        for file in files {
            let name = readable(&file.display().to_string());
            let reason = "the tests were interrupted before those of this file had ended";
            let status = not_passed(NonSuccessKind::Error, reason, reason);
            let mut case = TestCase::new("the file is tested", status);
            case.set_classname(name.clone());
            let mut suite = TestSuite::new(name);
            suite.add_test_case(case);
            self.0.add_test_suite(suite);
        }
    }

    /// Writes the file whole, or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(mut self, path: &Path, elapsed: Duration) -> anyhow::Result<()> {
        self.0.set_time(elapsed);
        let cannot = || format!("--junit {}: the file cannot be written", path.display());
        if let Some(parent) = missing_parent(path) {
            anyhow::bail!("--junit {}: there is no directory {}", path.display(), parent.display());
        }
        if let Some(reason) = not_replaceable(path) {
            anyhow::bail!("--junit {}: {reason}; name a file", path.display());
        }
        let text = self.0.to_string().with_context(cannot)?;
        let mut file = unfinished_file(".junit", directory_of(path)).with_context(cannot)?;
        file.as_file_mut().write_all(text.as_bytes()).with_context(cannot)?;
        file.persist(path).map_err(|error| error.error).with_context(cannot)?;
        Ok(())
    }
}

fn not_passed(kind: NonSuccessKind, message: &str, text: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(readable(message)).set_description(readable(text));
    status
}

fn printed(printed: &Printed) -> Option<String> {
    let dropped = match printed.dropped {
        0 => String::new(),
        more => format!("… and {more} more lines\n"),
    };
    let text = readable(&printed.text) + &dropped;
    (!text.is_empty()).then_some(text)
}

/// Returns text in which characters that XML does not allow are escapes: control characters except
/// for the ends of lines, and two more.
fn readable(text: &str) -> String {
    let line = |line: &str| {
        printable(&line.replace('\t', "    "), MAX_LINE_CHARS)
            .replace('\u{fffe}', "\\u{fffe}")
            .replace('\u{ffff}', "\\u{ffff}")
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}
