//! The run of one test file.

use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use mlua::Result as LuaResult;

use super::natives::native;
use super::report::{FileReport, TestFailure, TestOutcome, TestReport, shorten};
use super::state::{TestOptions, TestState};
use super::suite::TestCase;
use crate::ir::ClientPartition;
use crate::script::api::register_clients;
use crate::script::chunks::load_chunk;
use crate::script::declared::Declared;
use crate::script::error::ScriptError;
use crate::script::options::{ScriptLimits, ScriptOptions};
use crate::script::source::{Opened, open};
use crate::script::vm::Vm;

/// Maximum length of the reason why a test did not run, in bytes. Every test after a fault has it.
const MAX_REASON: usize = 200;

/// The reason for tests that an interrupt has ended.
const INTERRUPTED: &str = "the tests were interrupted";

/// Runs the tests of a file, on the calling thread. Returns None if they were interrupted before
/// they were known.
pub fn run_test_file(path: &Path, options: &TestOptions) -> Option<FileReport> {
    let began = Instant::now();
    let tests = Rc::new(TestState::new(path, options.clone()));
    let mut report = FileReport::new(path);
    let vm = load(path, &tests);
    report.printed = tests.take_printed();
    match vm {
        Ok(vm) => run_tests(&vm, &tests, &mut report),
        Err(_) if tests.is_interrupted() => return None,
        Err(error) => report.refused = Some(error),
    }
    report.elapsed = began.elapsed();
    Some(report)
}

/// Runs the top level of the file, which declares its tests.
fn load(path: &Path, tests: &Rc<TestState>) -> Result<Vm, ScriptError> {
    let limits = ScriptLimits { time_per_resume: tests.options.timeout, ..ScriptLimits::default() };
    let options = ScriptOptions { location: path.into(), limits, ..ScriptOptions::default() };
    let opened = open(&options, ClientPartition::WHOLE, None, Some(Rc::clone(tests)))?;
    let Opened { vm, chunk, path, source } = opened;
    let host = Rc::clone(&vm.host);
    host.operation_memory.share(&limits, 1, 1);
    // A module may be loaded in a test, so all of them may use steps.
    vm.enter(0, |lua| register_clients(lua, &host, true))?;
    tests.native.replace(Some(vm.enter(0, |lua| native(lua, &host))?));
    host.chunks.borrow_mut().add(&chunk, &path, &source);
    vm.enter(0, |lua| load_chunk::<mlua::Value>(lua, &chunk, &source))?;
    let declared = host.declared.replace(Some(Declared::default())).unwrap_or_default();
    let run_wide = declared.run_wide.setup.is_some() || declared.run_wide.teardown.is_some();
    if !declared.workloads.is_empty() || run_wide {
        return Err(ScriptError::Script(format!(
            "{path}: a test file has no workload of its own; put it into a script, and test that with test.stream(\"./script.lua\") or test.run(\"./script.lua\")"
        )));
    }
    Ok(vm)
}

fn run_tests(vm: &Vm, tests: &Rc<TestState>, report: &mut FileReport) {
    let all = std::mem::take(&mut tests.suite.borrow_mut().tests);
    let filter = tests.options.filter.as_deref().unwrap_or_default();
    let (selected, dropped): (Vec<TestCase>, Vec<TestCase>) =
        all.into_iter().partition(|test| test.name.contains(filter));
    for test in &selected {
        let began = Instant::now();
        let outcome = match &report.refused {
            _ if tests.is_interrupted() => TestOutcome::NotRun(INTERRUPTED.into()),
            Some(error) => {
                let mut error = error.to_string();
                shorten(&mut error, MAX_REASON);
                TestOutcome::NotRun(format!("the tests could not go on: {error}"))
            }
            None => run_test(vm, tests, test).unwrap_or_else(|internal| {
                let message = internal.to_string();
                report.refused = Some(internal);
                TestOutcome::Failed(TestFailure::new(message, Vec::new()))
            }),
        };
        report.add(TestReport {
            name: test.name.clone(),
            place: vm.host.chunks.borrow().with_paths(&test.place),
            outcome,
            printed: tests.take_printed(),
            elapsed: began.elapsed(),
        });
    }
    let all_passed = dropped.is_empty() && report.refused.is_none() && report.failures() == 0;
    report.snapshots = tests.snapshots.finish(all_passed);
}

/// Runs a test with the functions before and after it.
///
/// # Errors
/// A fault of smbench, after which the VM cannot be used.
fn run_test(vm: &Vm, tests: &TestState, test: &TestCase) -> Result<TestOutcome, ScriptError> {
    let (before, after) = tests.suite.borrow().around(test);
    tests.begin_test();
    let mut result = call(vm, || {
        before.iter().chain([&test.function]).try_for_each(|function| function.call::<()>(()))
    });
    if !after.is_empty() && !matches!(result, Err(ScriptError::Internal(_))) {
        // Each of them is called, whatever became of those before.
        let ended = call(vm, || {
            let mut result = Ok(());
            for function in &after {
                let ended = function.call::<()>(());
                result = result.and(ended);
            }
            result
        });
        result = result.and(ended);
    }
    let (failure, unjudged) = tests.end_test();
    if tests.is_interrupted() {
        return Ok(TestOutcome::NotRun(INTERRUPTED.into()));
    }
    let with_paths = |text: &str| vm.host.chunks.borrow().with_paths(text);
    let failed = |message: String, details| TestOutcome::Failed(TestFailure::new(message, details));
    match (failure, result, unjudged) {
        (_, Err(error @ ScriptError::Internal(_)), _) => Err(error),
        (Some(TestFailure { message, details, .. }), _, _) => {
            Ok(failed(with_paths(&message), details))
        }
        (None, Err(error), _) => Ok(failed(error.to_string(), Vec::new())),
        (None, Ok(()), Some(place)) => Ok(failed(
            format!("{}: test.expect without a matcher, which checks nothing", with_paths(&place)),
            Vec::new(),
        )),
        (None, Ok(()), None) => Ok(TestOutcome::Passed),
    }
}

/// Calls functions of a test with one time limit. They may declare what the top level of a script
/// declares, and that ends with them.
fn call(vm: &Vm, functions: impl FnOnce() -> LuaResult<()>) -> Result<(), ScriptError> {
    vm.host.declared.replace(Some(Declared::default()));
    let result = vm.enter(0, |_| functions());
    // Luau does not collect garbage when it runs out of memory, and the next test needs some.
    if vm.lua.used_memory() > vm.host.memory_bytes() / 2 {
        vm.enter(0, |lua| lua.gc_collect())?;
    }
    result
}
