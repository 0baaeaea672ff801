//! The state that the functions of `@bench/test` share with the code that runs a test file.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use mlua::{Result as LuaResult, Table};

use super::report::{Printed, TestFailure};
use super::snapshots::Snapshots;
use super::suite::Suite;
use crate::script::options::{ScriptLimits, ScriptOptions};
use crate::script::printing::printable;

/// Size in bytes of the printed text that is kept of one test, and of all tests of a file.
const MAX_PRINTED: usize = 16 << 10;
const MAX_PRINTED_IN_ALL: usize = 4 << 20;

/// Maximum number of expectations without a matcher that are remembered.
const MAX_PENDING: usize = 1_000;

/// The options of a test file.
#[derive(Clone)]
pub struct TestOptions {
    /// The tests to run: those whose name contains this string.
    pub filter: Option<String>,
    /// The time limit of one test: what it computes, and the time that its runs last.
    pub timeout: Duration,
    /// The limits of the scripts that a test loads.
    pub limits: ScriptLimits,
    /// Whether snapshots that differ are written anew.
    pub update: bool,
    /// Whether a missing snapshot is a failure, because nobody would keep the file.
    pub on_ci: bool,
    /// Set from outside to end all tests soon.
    pub interrupted: Arc<AtomicBool>,
    /// Runs a workload for `test.run`.
    pub runner: Arc<WorkloadRunner>,
}

/// A function that runs a workload and returns its summary.
pub type WorkloadRunner = dyn Fn(&WorkloadRun) -> Result<serde_json::Value, String> + Send + Sync;

/// A run that a test asks for.
#[derive(Clone, Debug)]
pub struct WorkloadRun {
    pub script: ScriptOptions,
    /// The target, as the test wrote it.
    pub target: String,
    /// The length of the recorded phases.
    pub duration: Duration,
    /// The time at which the run must be stopped, however far it is.
    pub stop_at: Instant,
}

/// The state of the test that is running.
#[derive(Default)]
struct RunningTest {
    /// The first expectation that failed. A test that catches the error fails all the same.
    failure: Option<TestFailure>,
    /// The places of expectations that no matcher has judged.
    pending: BTreeMap<u64, String>,
    next: u64,
}

pub(in crate::script) struct TestState {
    pub options: TestOptions,
    /// The time that the runs of the present entry into the VM have lasted.
    pub waited: Cell<Duration>,
    /// The native functions, which the source of `@bench/test` is given.
    pub native: RefCell<Option<Table>>,
    pub(super) suite: RefCell<Suite>,
    pub(super) snapshots: Snapshots,
    running: RefCell<Option<RunningTest>>,
    printed: RefCell<Printed>,
    /// The bytes of printed text that were kept of the tests before.
    printed_before: Cell<usize>,
}

impl TestState {
    pub fn new(path: &Path, options: TestOptions) -> TestState {
        TestState {
            snapshots: Snapshots::new(path, options.update, options.on_ci),
            options,
            waited: Cell::default(),
            native: RefCell::default(),
            suite: RefCell::default(),
            running: RefCell::default(),
            printed: RefCell::default(),
            printed_before: Cell::default(),
        }
    }

    /// Returns whether the tests are to end.
    pub fn is_interrupted(&self) -> bool {
        self.options.interrupted.load(Relaxed)
    }

    /// Returns whether a test is running, and not the top level of the file.
    pub fn is_running(&self) -> bool {
        self.running.borrow().is_some()
    }

    pub(super) fn begin_test(&self) {
        *self.running.borrow_mut() = Some(RunningTest::default());
    }

    /// Ends a test. Returns the expectation that failed, and the place of one without a matcher.
    pub(super) fn end_test(&self) -> (Option<TestFailure>, Option<String>) {
        let running = self.running.borrow_mut().take().unwrap_or_default();
        (running.failure, running.pending.into_values().next())
    }

    /// Numbers an expectation. Returns None outside of a test.
    pub(super) fn expecting(&self, place: impl FnOnce() -> String) -> Option<u64> {
        let mut running = self.running.borrow_mut();
        let running = running.as_mut()?;
        let number = running.next;
        running.next += 1;
        if running.pending.len() < MAX_PENDING {
            running.pending.insert(number, place());
        }
        Some(number)
    }

    /// Records that a matcher judges the expectation.
    pub(super) fn judged(&self, number: u64) {
        if let Some(running) = self.running.borrow_mut().as_mut() {
            running.pending.remove(&number);
        }
    }

    pub(super) fn fail(&self, failure: TestFailure) {
        if let Some(running) = self.running.borrow_mut().as_mut() {
            running.failure.get_or_insert(failure);
        }
    }

    /// Calls a function in which an expectation may fail, and returns its result and the failure.
    /// What fails in it does not count, nor do the expectations that an error left without a
    /// matcher.
    pub(super) fn apart<R>(
        &self,
        body: impl FnOnce() -> LuaResult<R>,
    ) -> (LuaResult<R>, Option<TestFailure>) {
        let before = self
            .running
            .borrow_mut()
            .as_mut()
            .map(|running| (running.failure.take(), running.next));
        let result = body();
        let mut failure = None;
        if let (Some((before, next)), Some(running)) = (before, self.running.borrow_mut().as_mut())
        {
            failure = std::mem::replace(&mut running.failure, before);
            if result.is_err() {
                running.pending.retain(|number, _| *number < next);
            }
        }
        (result, failure)
    }

    /// Keeps a printed string, and counts its lines once too much was printed.
    pub fn print(&self, text: &str) {
        let mut printed = self.printed.borrow_mut();
        let lines = 1 + text.matches('\n').count() as u64;
        let text = printable(text);
        let kept = printed.text.len() + text.len();
        let too_much = kept >= MAX_PRINTED || self.printed_before.get() + kept > MAX_PRINTED_IN_ALL;
        if printed.dropped > 0 || too_much {
            printed.dropped += lines;
            return;
        }
        printed.text += &text;
        printed.text.push('\n');
    }

    pub(super) fn take_printed(&self) -> Printed {
        let printed = self.printed.take();
        self.printed_before.set(self.printed_before.get() + printed.text.len());
        printed
    }
}
