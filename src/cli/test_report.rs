//! The results of tests, as `smbench test` prints them.

use std::fmt::Write;
use std::time::Duration;

use super::number_format::{MAX_PATH_CHARS, counted};
use super::style::{BAD, BOLD, DIM, GOOD, Style, WARNING};
use crate::observability::text::printable;
use crate::run::TestEnding;
use crate::script::testing::{FileReport, Printed, TestFailure, TestOutcome, TestReport};

/// Longest printed part of a line of a failure, in characters.
const MAX_LINE_CHARS: usize = 2_000;

/// Maximum number of lines of a message that are printed.
const MAX_LINES: usize = 100;

/// The results of all files, for the lines at the end.
pub(super) struct TestSummary {
    style: Style,
    /// The blocks of failures, in order.
    failures: String,
    files: u64,
    passed: u64,
    failed: u64,
    not_run: u64,
    /// The numbers of files that did not load, and of those whose tests could not go on.
    refused: u64,
    broken: u64,
    written: Vec<String>,
    updated: Vec<String>,
    unused: Vec<String>,
}

impl TestSummary {
    pub fn new(style: Style) -> TestSummary {
        TestSummary {
            style,
            failures: String::new(),
            files: 0,
            passed: 0,
            failed: 0,
            not_run: 0,
            refused: 0,
            broken: 0,
            written: Vec::new(),
            updated: Vec::new(),
            unused: Vec::new(),
        }
    }

    /// Adds the results of a file, and returns its line; an empty string for a file without tests
    /// to run.
    pub fn add(&mut self, report: &FileReport) -> String {
        let (mut failed, mut not_run, mut dropped) = (0, 0, 0);
        for test in &report.tests {
            match &test.outcome {
                TestOutcome::Passed => self.passed += 1,
                TestOutcome::Failed(failure) => {
                    failed += 1;
                    match failure.is_dropped {
                        true => dropped += 1,
                        false => self.add_failure(report, test, failure),
                    }
                }
                TestOutcome::NotRun(_) => not_run += 1,
            }
        }
        if dropped > 0 {
            let more = counted(dropped, "more failure");
            let _ = writeln!(self.failures, "\n… and {more} in {}", path(report));
        }
        (self.failed, self.not_run) = (self.failed + failed, self.not_run + not_run);
        self.written.extend(report.snapshots.written.iter().cloned());
        self.updated.extend(report.snapshots.updated.iter().cloned());
        self.unused.extend(report.snapshots.unused.iter().cloned());
        if let Some(error) = &report.refused {
            match report.tests.is_empty() {
                true => self.refused += 1,
                false => self.broken += 1,
            }
            let path = path(report);
            let _ = writeln!(
                self.failures,
                "\n{} {}",
                self.style.paint(BAD, "ERROR"),
                self.style.paint(BOLD, path)
            );
            self.add_lines("  ", &error.to_string());
            self.add_printed(&report.printed);
        } else if report.tests.is_empty() {
            return String::new();
        }
        self.files += 1;
        let word = match () {
            () if report.refused.is_some() => self.style.paint(BAD, "ERROR"),
            () if failed > 0 => self.style.paint(BAD, " FAIL"),
            () if not_run > 0 => self.style.paint(WARNING, " STOP"),
            () => self.style.paint(GOOD, "   ok"),
        };
        let mut counts = vec![match report.tests.len() {
            0 => "does not load".to_string(),
            tests => counted(tests as u64, "test"),
        }];
        counts.extend((failed > 0).then(|| format!("{failed} failed")));
        counts.extend((not_run > 0).then(|| format!("{not_run} not run")));
        let time = self.style.paint(DIM, seconds(report.elapsed));
        format!("{word} {}: {}  {time}\n", path(report), counts.join(", "))
    }

    fn add_failure(&mut self, report: &FileReport, test: &TestReport, failure: &TestFailure) {
        let name = printable(&test.name, MAX_LINE_CHARS);
        let _ = writeln!(
            self.failures,
            "\n{} {}: {}",
            self.style.paint(BAD, "FAIL"),
            path(report),
            self.style.paint(BOLD, name)
        );
        self.add_lines("  ", &failure.message);
        for line in &failure.details {
            let line = printable(line, MAX_LINE_CHARS);
            let painted = match line.chars().next() {
                Some('-') => self.style.paint(BAD, line),
                Some('+') => self.style.paint(GOOD, line),
                _ => line,
            };
            let _ = writeln!(self.failures, "    {painted}");
        }
        self.add_printed(&test.printed);
    }

    fn add_lines(&mut self, indent: &str, text: &str) {
        let mut lines = text.lines();
        for line in lines.by_ref().take(MAX_LINES) {
            let _ = writeln!(self.failures, "{indent}{}", printable(line, MAX_LINE_CHARS));
        }
        let more = lines.count() as u64;
        if more > 0 {
            let _ = writeln!(self.failures, "{indent}… and {}", counted(more, "more line"));
        }
    }

    fn add_printed(&mut self, printed: &Printed) {
        if printed.text.is_empty() && printed.dropped == 0 {
            return;
        }
        let _ = writeln!(self.failures, "  {}", self.style.paint(DIM, "printed:"));
        // Tabs stay: a script separates values with them.
        for line in printed.text.lines() {
            let line = line.replace('\t', "    ");
            let _ = writeln!(self.failures, "    {}", printable(&line, MAX_LINE_CHARS));
        }
        if printed.dropped > 0 {
            let dropped = counted(printed.dropped, "more line");
            let _ = writeln!(self.failures, "    … and {dropped}");
        }
    }

    /// Returns the failures, the snapshots and the summary.
    pub fn finish(self, ending: &TestEnding, elapsed: Duration) -> String {
        let mut text = self.failures;
        for (what, files) in [
            ("new snapshot", &self.written),
            ("updated snapshot", &self.updated),
            ("unused snapshot", &self.unused),
        ] {
            for (number, file) in files.iter().enumerate() {
                if number == 0 {
                    text.push('\n');
                }
                let _ = writeln!(text, "{what}: {}", printable(file, MAX_PATH_CHARS));
            }
        }
        let tests = self.passed + self.failed + self.not_run;
        let mut counts = vec![format!("{} passed", self.passed)];
        counts.extend((self.failed > 0).then(|| format!("{} failed", self.failed)));
        counts.extend((self.not_run > 0).then(|| format!("{} not run", self.not_run)));
        if self.refused > 0 {
            let (files, verb) = match self.refused {
                1 => ("1 file".to_string(), "does"),
                more => (counted(more, "file"), "do"),
            };
            counts.push(format!("{files} {verb} not load"));
        }
        if self.broken > 0 {
            counts.push(format!("{} broken off", counted(self.broken, "file")));
        }
        if ending.interrupted {
            counts.push("interrupted".into());
        }
        if !ending.files_left.is_empty() {
            counts.push(format!("{} not tested", counted(ending.files_left.len() as u64, "file")));
        }
        let good = ending.exit_code == 0;
        let verdict = format!(
            "{} in {}: {}",
            counted(tests, "test"),
            counted(self.files, "file"),
            counts.join(", ")
        );
        let verdict = self.style.paint(if good { GOOD } else { BAD }, verdict);
        let time = self.style.paint(DIM, seconds(elapsed));
        let _ = writeln!(text, "\n{verdict}  {time}");
        text
    }
}

fn path(report: &FileReport) -> String {
    printable(&report.path.display().to_string(), MAX_PATH_CHARS)
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
