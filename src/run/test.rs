//! `smbench test`: the tests of workloads, file by file.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use std::{fs, io, process, thread};

use anyhow::Context;
use tokio::sync::watch;

use super::error::RunError;
use super::input::Input;
use super::lifecycle::run;
use super::options::{RunOptions, Timeouts};
use super::signals::{Signals, interruptible};
use super::test_files::find_test_files;
use crate::backend::registry::Target;
use crate::ir::panic_message::panic_message;
use crate::observability::exit::{ExitReason, exit_code};
use crate::script::testing::{FileReport, TestOptions, WorkloadRun, run_test_file};
use crate::script::{ScriptError, ScriptLimits};

/// Size of the stack of a thread that runs test files: a test may load a script in a VM of its
/// own, and both may nest calls.
const STACK_BYTES: usize = 16 << 20;
/// Bound on draining a run of a test, which is on a server in this process.
const DRAIN: Duration = Duration::from_secs(2);
/// Longest time to end after a second signal. The program then ends in any case.
const LAST_WAIT: Duration = Duration::from_secs(3);
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
    /// The limits of the scripts that tests load.
    pub limits: ScriptLimits,
    pub update: bool,
    pub on_ci: bool,
}

/// The end of `smbench test`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestEnding {
    pub exit_code: u8,
    /// The files without a report, because a signal ended the program.
    pub files_left: Vec<PathBuf>,
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
    let (interrupts, counted) = watch::channel(0_u64);
    let directories = Arc::new(RunDirectories::default());
    let runner = {
        let directories = Arc::clone(&directories);
        move |workload: &WorkloadRun| run_workload(workload, &counted, &directories)
    };
    let test_options = TestOptions {
        filter: options.filter.clone(),
        timeout: options.timeout,
        limits: options.limits,
        update: options.update,
        on_ci: options.on_ci,
        interrupted: Arc::clone(&interrupted),
        runner: Arc::new(runner),
    };
    let processors = || thread::available_parallelism().map_or(1, usize::from);
    let jobs = options.jobs.map_or_else(processors, usize::from).min(files.len());
    let mut signals = Signals::listen()?;
    let mut totals = Totals::default();
    let mut reported = HashSet::new();
    let (all_ended, exit) = mpsc::channel::<()>();
    let mut exit = Some(exit);
    let ended = interruptible(
        &mut signals,
        || {
            interrupted.store(true, Relaxed);
            interrupts.send_modify(|count| *count += 1);
            if *interrupts.borrow() > 1
                && let Some(exit) = exit.take()
            {
                end_in_any_case(exit, Arc::clone(&directories));
            }
        },
        || {
            run_files(&files, jobs, &test_options, &run_test_file, |report| {
                totals.add(report);
                reported.insert(report.path.clone());
                each(report)
            })
        },
    );
    drop(all_ended);
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
    let files_left = files.into_iter().filter(|file| !reported.contains(file)).collect();
    Ok(TestEnding { exit_code, files_left, interrupted: was_interrupted })
}

/// Ends the program if the tests do not end within [`LAST_WAIT`].
fn end_in_any_case(ended: mpsc::Receiver<()>, directories: Arc<RunDirectories>) {
    let wait = move || {
        if ended.recv_timeout(LAST_WAIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            directories.remove_all();
            process::exit(ExitReason::Interrupted.code().into());
        }
    };
    if let Err(error) = thread::Builder::new().name("exit".into()).spawn(wait) {
        tracing::warn!("the program ends when its tests end: no thread could be started: {error}");
    }
}

/// The directories of the runs that last.
#[derive(Default)]
struct RunDirectories(Mutex<BTreeSet<PathBuf>>);

impl RunDirectories {
    fn add(&self, path: &Path) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path.into());
    }

    fn remove(&self, path: &Path) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }

    fn remove_all(&self) {
        for path in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

#[derive(Default)]
struct Totals {
    tests: usize,
    failures: usize,
    reasons: Vec<ExitReason>,
}

impl Totals {
    fn add(&mut self, report: &FileReport) {
        self.tests += report.tests.len();
        self.failures += report.failures();
        self.reasons.extend(report.refused.as_ref().map(|error| match error {
            ScriptError::Internal(_) => ExitReason::InternalError,
            _ => ExitReason::Invalid,
        }));
    }
}

/// A function that runs a test file. It returns None if the tests were interrupted before they were
/// known.
type FileRunner = dyn Fn(&Path, &TestOptions) -> Option<FileReport> + Sync;

/// Runs the files on up to `jobs` threads, and calls `each` with their reports in the order of the
/// files.
fn run_files(
    files: &[PathBuf],
    jobs: usize,
    options: &TestOptions,
    run_file: &FileRunner,
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
                {
                    let report = match options.interrupted.load(Relaxed) {
                        true => None,
                        false => report_of(file, options, run_file),
                    };
                    // Nobody receives once the output cannot be written.
                    let _ = reports.send((at, report));
                }
            };
            let thread = thread::Builder::new().name(format!("test-{number}"));
            let thread = thread.stack_size(STACK_BYTES).spawn_scoped(scope, work);
            if !goes_on(number, thread.map(drop))? {
                break;
            }
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

/// Runs a test file. A panic is a fault of this program that breaks off this file only.
fn report_of(file: &Path, options: &TestOptions, run_file: &FileRunner) -> Option<FileReport> {
    catch_unwind(AssertUnwindSafe(|| run_file(file, options)))
        .unwrap_or_else(|panic| Some(FileReport::broken_off(file, panic_message(panic.as_ref()))))
}

/// Returns whether more threads are to be started after the one with this number. The tests go on
/// with those that there are.
///
/// # Errors
/// Not even one thread could be started.
fn goes_on(number: usize, started: io::Result<()>) -> Result<bool, RunError> {
    match started {
        Ok(()) => Ok(true),
        Err(error) if number > 0 => {
            tracing::warn!(
                "tests run on {number} threads, because another cannot be started: {error}"
            );
            Ok(false)
        }
        Err(error) => {
            Err(error).context("a thread for tests cannot be started").map_err(RunError::internal)
        }
    }
}

/// Runs a workload for a test and returns its summary. Nothing of the run is kept. `interrupts` are
/// those of the tests.
fn run_workload(
    workload: &WorkloadRun,
    interrupts: &watch::Receiver<u64>,
    directories: &RunDirectories,
) -> Result<serde_json::Value, String> {
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
        // Other files are tested at the same time.
        generators: Some(1),
        shards: Some(1),
        // Test files run at the same time, so the generator may be late on a busy host. That does not
        // fail a test.
        allow_late: true,
        timeouts: Timeouts { drain: DRAIN, ..Timeouts::DEFAULT },
        out: Some(directory.path().join("results")),
        stop_at: Some(workload.stop_at),
        interrupts: Some(interrupts.clone()),
        ..RunOptions::new(target)
    };
    let began = Instant::now();
    directories.add(directory.path());
    let outcome = run(&Input::Script(workload.script.clone()), &options);
    directories.remove(directory.path());
    // A script that reaches the end of the test ends the run with an error of its own.
    let is_late = Instant::now() >= workload.stop_at;
    if is_late || outcome.as_ref().is_ok_and(|outcome| outcome.stopped) {
        return Err(format!(
            "the run was stopped when it had lasted {:.1?}, the rest of the test's time limit (--timeout)",
            began.elapsed()
        ));
    }
    let outcome = outcome.map_err(|error| error.to_string())?;
    serde_json::to_value(&outcome.summary).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::ScriptOptions;

    #[test]
    fn a_fault_breaks_off_its_file_only() {
        let files = ["a", "b", "c"].map(PathBuf::from);
        let options = TestOptions {
            filter: None,
            timeout: Duration::from_secs(1),
            limits: ScriptLimits::default(),
            update: false,
            on_ci: false,
            interrupted: Arc::default(),
            runner: Arc::new(|_| Err("no runs here".into())),
        };
        let run_file = |file: &Path, _: &TestOptions| match file == Path::new("b") {
            true => panic!("a broken file"),
            false => Some(FileReport::broken_off(file, "fine".into())),
        };
        let mut totals = Totals::default();
        let mut seen = Vec::new();
        run_files(&files, 2, &options, &run_file, |report| {
            totals.add(report);
            seen.push((report.path.clone(), report.refused.as_ref().unwrap().to_string()));
            Ok(())
        })
        .unwrap();
        let paths: Vec<_> = seen.iter().map(|(path, _)| path.as_path()).collect();
        assert_eq!(paths, files);
        assert!(seen[1].1.contains("a broken file"), "{seen:?}");
        assert_eq!(exit_code(&totals.reasons), 1);
    }

    #[test]
    fn the_tests_go_on_with_the_threads_that_could_be_started() {
        let refused = || Err(io::Error::other("no more threads"));
        assert!(goes_on(0, Ok(())).unwrap());
        assert!(!goes_on(1, refused()).unwrap());
        let error = goes_on(0, refused()).unwrap_err();
        assert_eq!(error.reason, ExitReason::InternalError);
        assert_eq!(error.to_string(), "a thread for tests cannot be started: no more threads");
    }

    fn run_of(
        script: &str,
        stop_at: Instant,
        interrupts: u64,
    ) -> Result<serde_json::Value, String> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s.lua");
        fs::write(&path, script).unwrap();
        let workload = WorkloadRun {
            script: ScriptOptions { location: path.into(), ..ScriptOptions::default() },
            target: "sim".into(),
            duration: Duration::from_secs(600),
            stop_at,
        };
        let (_interrupts, counted) = watch::channel(interrupts);
        let directories = RunDirectories::default();
        let result = run_workload(&workload, &counted, &directories);
        assert!(directories.0.lock().unwrap().is_empty());
        result
    }

    const LONG: &str = "bench.workload { name = 'w', setup = function(c) c:think('1h') c:mkdir('x') end, iteration = function(c) c:stat('') end }";

    #[test]
    fn the_time_of_a_run_includes_its_opening() {
        let stopped = run_of(LONG, Instant::now(), 0).unwrap_err();
        assert!(stopped.starts_with("the run was stopped when it had lasted "), "{stopped}");
    }

    #[test]
    fn an_interrupt_before_a_run_has_opened_ends_it() {
        let later = Instant::now() + Duration::from_secs(600);
        let summary = run_of(LONG, later, 1).unwrap();
        assert_eq!(summary["exit_code"], 130, "{summary}");
    }
}
