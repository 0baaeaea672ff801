//! `smbench test`: the tests of workloads, file by file.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context;

use super::error::RunError;
use super::input::Input;
use super::lifecycle::run;
use super::options::{RunOptions, Timeouts};
use super::signals::{Signals, interruptible};
use super::test_files::find_test_files;
use crate::backend::registry::Target;
use crate::observability::exit::{ExitReason, exit_code};
use crate::script::ScriptError;
use crate::script::testing::{FileReport, TestOptions, WorkloadRun, run_test_file};

/// Size of the stack of a thread that runs test files: a test may load a script in a VM of its
/// own, and both may nest calls.
const STACK_BYTES: usize = 16 << 20;
/// Bound on draining a run of a test, which is on a server in this process.
const DRAIN: Duration = Duration::from_secs(2);
/// Exit code if a test failed.
const TESTS_FAILED: u8 = 99;

/// The options of `smbench test`.
#[derive(Clone, Debug)]
pub struct TestRunOptions {
    /// Test files, and directories to search for them; without any, the working directory.
    pub paths: Vec<PathBuf>,
    pub filter: Option<String>,
    /// Number of files that run at a time; by default the number of processors.
    pub jobs: Option<NonZero<usize>>,
    pub timeout: Duration,
    pub update: bool,
    pub on_ci: bool,
}

/// The end of `smbench test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestEnding {
    pub exit_code: u8,
    /// The number of files whose tests did not run, because a signal ended the program.
    pub files_left: usize,
    pub interrupted: bool,
}

/// Runs test files and passes the report of each to `each`, in the order of the files. Ends early if
/// `each` fails.
///
/// # Errors
/// [`RunError`] if there is no test, or the files cannot be found.
pub fn test(
    options: &TestRunOptions,
    mut each: impl FnMut(&FileReport) -> anyhow::Result<()> + Send,
) -> Result<TestEnding, RunError> {
    let files = find_test_files(&options.paths).map_err(RunError::invalid)?;
    if files.is_empty() {
        let searched: Vec<_> =
            options.paths.iter().map(|path| path.display().to_string()).collect();
        let searched = if searched.is_empty() { ".".into() } else { searched.join(", ") };
        return Err(RunError::invalid(anyhow::anyhow!(
            "no test files in {searched}: their names end in _test.lua, .test.lua, _test.luau or .test.luau"
        )));
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    let test_options = TestOptions {
        filter: options.filter.clone(),
        timeout: options.timeout,
        update: options.update,
        on_ci: options.on_ci,
        interrupted: Arc::clone(&interrupted),
        runner: Arc::new(run_workload),
    };
    let processors = || thread::available_parallelism().map_or(1, usize::from);
    let jobs = options.jobs.map_or_else(processors, usize::from).min(files.len());
    let mut signals = Signals::listen()?;
    let mut totals = Totals::default();
    let ended = interruptible(
        &mut signals,
        || interrupted.store(true, Relaxed),
        || {
            run_files(&files, jobs, &test_options, |report| {
                totals.add(report);
                each(report)
            })
        },
    );
    ended?;
    let was_interrupted = interrupted.load(Relaxed);
    totals.reasons.extend(was_interrupted.then_some(ExitReason::Interrupted));
    if totals.tests == 0 && totals.reasons.is_empty() {
        let filter = options.filter.as_ref();
        return Err(RunError::invalid(match filter {
            Some(filter) => anyhow::anyhow!("--filter {filter:?} matches the name of no test"),
            None => anyhow::anyhow!("the test files have no tests: declare them with test.it"),
        }));
    }
    let exit_code = match exit_code(&totals.reasons) {
        0 if totals.failures > 0 => TESTS_FAILED,
        code => code,
    };
    let files_left = files.len() - totals.files;
    Ok(TestEnding { exit_code, files_left, interrupted: was_interrupted })
}

#[derive(Default)]
struct Totals {
    files: usize,
    tests: usize,
    failures: usize,
    reasons: Vec<ExitReason>,
}

impl Totals {
    fn add(&mut self, report: &FileReport) {
        self.files += 1;
        self.tests += report.tests.len();
        self.failures += report.failures();
        self.reasons.extend(report.refused.as_ref().map(|error| match error {
            ScriptError::Internal(_) => ExitReason::InternalError,
            _ => ExitReason::Invalid,
        }));
    }
}

/// Runs the files on `jobs` threads, and calls `each` with their reports in the order of the files.
fn run_files(
    files: &[PathBuf],
    jobs: usize,
    options: &TestOptions,
    mut each: impl FnMut(&FileReport) -> anyhow::Result<()>,
) -> Result<(), RunError> {
    let next = AtomicUsize::new(0);
    let (reports, received) = mpsc::channel::<(usize, Option<FileReport>)>();
    thread::scope(|scope| {
        for number in 0..jobs {
            let (reports, next) = (reports.clone(), &next);
            let work = move || {
                while let at = next.fetch_add(1, Relaxed)
                    && let Some(file) = files.get(at)
                    && !options.interrupted.load(Relaxed)
                {
                    // Nobody receives once the output cannot be written.
                    let _ = reports.send((at, run_test_file(file, options)));
                }
            };
            let thread = thread::Builder::new().name(format!("test-{number}"));
            let thread = thread.stack_size(STACK_BYTES).spawn_scoped(scope, work);
            thread.context("a thread for tests").map_err(RunError::internal)?;
        }
        drop(reports);
        let mut waiting = BTreeMap::new();
        let mut shown = 0;
        for (at, report) in received {
            waiting.insert(at, report);
            while let Some(report) = waiting.remove(&shown) {
                shown += 1;
                if let Some(report) = report
                    && let Err(error) = each(&report)
                {
                    options.interrupted.store(true, Relaxed);
                    return Err(RunError::invalid(error));
                }
            }
        }
        Ok(())
    })
}

/// Runs a workload for a test and returns its summary. Nothing of the run is kept.
fn run_workload(workload: &WorkloadRun) -> Result<serde_json::Value, String> {
    let target = Target::parse(&workload.target).map_err(|error| format!("target: {error}"))?;
    if !target.is_in_process() {
        return Err(
            "target: a test runs against \"sim\", \"sim?…\", \"sim:null\" or \"embedded\", which need no server"
                .into(),
        );
    }
    let directory = tempfile::Builder::new().prefix("smbench-test-").tempdir();
    let directory = directory.map_err(|error| format!("a directory for the results: {error}"))?;
    let options = RunOptions {
        duration: Some(workload.duration),
        generators: Some(1),
        // Tests run side by side, so a late generator is no failure of one.
        allow_late: true,
        timeouts: Timeouts { drain: DRAIN, ..Timeouts::DEFAULT },
        out: Some(directory.path().join("results")),
        stop_after: Some(workload.stop_after),
        ..RunOptions::new(target)
    };
    let outcome = run(&Input::Script(workload.script.clone()), &options);
    let outcome = outcome.map_err(|error| error.to_string())?;
    if outcome.stopped {
        return Err(format!(
            "the run was stopped when it had lasted {:.1?}, the rest of the test's time limit (--timeout)",
            workload.stop_after
        ));
    }
    serde_json::to_value(&outcome.summary).map_err(|error| error.to_string())
}
