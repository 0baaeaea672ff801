//! `test.stream` and `test.run`: whole scripts, beside a test file.

use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlua::{Lua, Result as LuaResult, Table, Value};

use super::call_options::{CallOptions, client_number};
use super::operation_tables::{MAX_OPERATIONS, OperationList};
use super::state::WorkloadRun;
use crate::ir::compile::{CompileError, for_each_operation};
use crate::ir::{Operation, OperationSource, Progress, Section, SourceError, StreamHeader};
use crate::script::computing_time::computed;
use crate::script::error::{ScriptError, TEST_MODULE};
use crate::script::host::ScriptHost;
use crate::script::json_tables::read_only;
use crate::script::location::ScriptLocation;
use crate::script::options::{ClientsOverride, ScriptOptions};
use crate::script::project::NO_FILES;
use crate::script::ready_workloads::ReadyWorkload;
use crate::script::source::Script;
use crate::script::test_bounds::{TestBounds, TestEnd};
use crate::script::values::{duration_ns, fail, fault, shown, table, text};

/// The length of a run, unless the test gives another.
const RUN_DURATION: Duration = Duration::from_secs(1);
const RUN_TARGET: &str = "sim";

/// Handles `test.stream(path, options)`.
///
/// # Errors
/// The options or the script are wrong, or the stream is too long.
pub(super) fn stream(
    lua: &Lua,
    host: &Rc<ScriptHost>,
    (path, options): (Value, Value),
) -> LuaResult<Table> {
    const WHAT: &str = "test.stream";
    let Some(tests) = &host.tests else { return fail!("{WHAT} is for test files") };
    let given = CallOptions::of(WHAT, &options, &["seed", "iterations", "clients", "params"])?;
    let bounds = TestBounds {
        interrupted: Arc::clone(&tests.options.interrupted),
        ends: TestEnd::Computed(computed().saturating_add(host.time_left())),
    };
    let mut script = script_options(lua, host, WHAT, &path, &given)?;
    script.test = Some(bounds.clone());
    let wrong = |error: &dyn std::fmt::Display| fault(format!("{WHAT}: {error}"));
    let mut loaded = Script::load(&script).map_err(|error| wrong(&error))?;
    if !loaded.header().bounded && script.iterations.is_none() {
        script.iterations = Some(1);
        loaded = Script::load(&script).map_err(|error| wrong(&error))?;
    }
    let mut source = BoundedSource { script: loaded, bounds };
    let header = source.header().clone();
    let mut list = OperationList::new(lua)?;
    let mut count = 0;
    let made = for_each_operation(&mut source, |operation| {
        count += 1;
        if count > MAX_OPERATIONS {
            return Err(StreamProblem::TooLong);
        }
        let client = header.client_name(operation.client_idx);
        list.add(lua, operation, &client, None).map_err(StreamProblem::Lua)
    });
    host.look_at_the_clock();
    match made {
        Ok(()) => list.finish(lua),
        Err(StreamProblem::Lua(error)) => Err(error),
        Err(StreamProblem::Compile(error)) => Err(wrong(&error)),
        Err(StreamProblem::TooLong) => fail!(
            "{WHAT}: more than {MAX_OPERATIONS} operations, the most that a test is given; take fewer clients or iterations"
        ),
    }
}

enum StreamProblem {
    Compile(CompileError),
    Lua(mlua::Error),
    TooLong,
}

impl From<CompileError> for StreamProblem {
    fn from(error: CompileError) -> StreamProblem {
        StreamProblem::Compile(error)
    }
}

/// A script whose operations must be made within the bounds of a test. The operations of a document
/// are made outside of the VM, which has these bounds too.
struct BoundedSource {
    script: Script,
    bounds: TestBounds,
}

impl OperationSource for BoundedSource {
    fn header(&self) -> &StreamHeader {
        self.script.header()
    }

    fn pull(
        &mut self,
        client: u32,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        let stopped = |error: ScriptError| SourceError { message: error.to_string(), client: None };
        self.bounds.check().map_err(stopped)?;
        self.script.pull(client, section, max, into)
    }
}

/// Handles `test.run(path, options)`.
///
/// # Errors
/// The options are wrong, or nothing was measured.
pub(super) fn run(
    lua: &Lua,
    host: &Rc<ScriptHost>,
    (path, options): (Value, Value),
) -> LuaResult<Value> {
    const WHAT: &str = "test.run";
    let Some(tests) = &host.tests else { return fail!("{WHAT} is for test files") };
    let known = ["target", "duration", "seed", "iterations", "clients", "params"];
    let given = CallOptions::of(WHAT, &options, &known)?;
    let mut script = script_options(lua, host, WHAT, &path, &given)?;
    let duration = given.read("duration", duration_ns)?.map_or(RUN_DURATION, Duration::from_nanos);
    let target = given.read("target", text)?.unwrap_or_else(|| RUN_TARGET.to_string());
    if tests.is_interrupted() {
        return fail!("{WHAT}: the tests were interrupted");
    }
    let left = host.time_left();
    if duration.is_zero() || duration >= left {
        return fail!(
            "{WHAT}: duration is {duration:?}; it must be more than 0 and less than what is left of the test's time limit (--timeout), which is {left:.1?}"
        );
    }
    let (began, computed_before) = (Instant::now(), computed());
    let Some(stop_at) = began.checked_add(left) else {
        return fail!("{WHAT}: the time limit of the test (--timeout) is too long for a run");
    };
    script.test = Some(TestBounds {
        interrupted: Arc::clone(&tests.options.interrupted),
        ends: TestEnd::At(stop_at),
    });
    let summary = (tests.options.runner)(&WorkloadRun { script, target, duration, stop_at });
    // What this thread computed for the run counts as computing time already.
    let here = computed().saturating_sub(computed_before);
    tests.waited.set(tests.waited.get() + began.elapsed().saturating_sub(here));
    host.look_at_the_clock();
    match summary {
        Ok(summary) => read_only(lua, &summary),
        Err(problem) => fail!("{WHAT}: {problem}"),
    }
}

fn script_options(
    lua: &Lua,
    host: &ScriptHost,
    what: &str,
    path: &Value,
    given: &CallOptions,
) -> LuaResult<ScriptOptions> {
    let location = script_location(lua, host, what, path)?;
    let mut options = ScriptOptions {
        location,
        quiet: true,
        packages: host.package_cache.clone(),
        seed: given.seed()?,
        iterations: given.iterations()?,
        clients: given.read("clients", clients)?.unwrap_or_default(),
        limits: host.tests.as_ref().map(|tests| tests.options.limits).unwrap_or_default(),
        ..Default::default()
    };
    if let Some(params) = given.read("params", table)? {
        for pair in params.pairs::<Value, Value>() {
            let (name, value) = pair?;
            let name = text(&name, &format!("{what}: params: a name"))?;
            let value = match &value {
                Value::String(value) => value.to_string_lossy(),
                Value::Boolean(_) | Value::Integer(_) | Value::Number(_) => shown(&value),
                other => {
                    return fail!(
                        "{what}: params: {name} is a string, a number, true or false, not {}",
                        shown(other)
                    );
                }
            };
            options.params.push((name, value));
        }
        options.params.sort();
    }
    Ok(options)
}

/// Reads the number of clients of the only workload, or a table with that of each workload.
fn clients(value: &Value, what: &str) -> LuaResult<Vec<ClientsOverride>> {
    let Value::Table(given) = value else {
        return Ok(vec![ClientsOverride { workload: None, clients: client_number(value, what)? }]);
    };
    let mut all = Vec::new();
    for pair in given.pairs::<Value, Value>() {
        let (workload, clients) = pair?;
        let workload = text(&workload, &format!("{what}: a workload's name"))?;
        let clients = client_number(&clients, &format!("{what} of {workload:?}"))?;
        all.push(ClientsOverride { workload: Some(workload), clients });
    }
    all.sort_by(|a, b| a.workload.cmp(&b.workload));
    Ok(all)
}

/// Returns the location of a script that is named relative to the calling file, or of a ready
/// workload.
fn script_location(
    lua: &Lua,
    host: &ScriptHost,
    what: &str,
    path: &Value,
) -> LuaResult<ScriptLocation> {
    let quoted = shown(path);
    let path = text(path, &format!("{what}: the script's path"))?;
    if let Some(name) = ReadyWorkload::named_by(&path) {
        let found = ReadyWorkload::find(name);
        let found = found.map_err(|problem| fault(format!("{what}: {quoted}: {problem}")))?;
        return Ok(ScriptLocation::Ready(found));
    }
    if !path.starts_with("./") && !path.starts_with("../") {
        return fail!(
            "{what}: {quoted} is not the path of a script: it begins with \"./\" or \"../\" (relative to the directory of the file) and has the ending of the file, such as \"./office.lua\"; \"@scripts/office\" is a ready workload"
        );
    }
    let line = host.line(lua).unwrap_or_default();
    let file = line.rsplit_once(':').map_or("", |(file, _)| file);
    if file.is_empty() || file == TEST_MODULE {
        return fail!("{what} must be called from a line of the test file or of its modules");
    }
    if host.files_of_libraries.borrow().contains_key(file) {
        return fail!(
            "{what}: {quoted} is the path of a script, and a library has none of the test's project; let the test file name the script"
        );
    }
    let mut found = PathBuf::from(file);
    found.pop();
    for component in Path::new(&path).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => found.push(name),
            Component::ParentDir if found.pop() => {}
            _ => {
                return fail!(
                    "{what}: {quoted} is outside of {}, from which a test reads its scripts{}",
                    host.project.name(),
                    match host.project.has_manifest {
                        true => "",
                        false =>
                            "; to read them from a directory above, create a file smbench.toml in it",
                    }
                );
            }
        }
    }
    let Some(directory) = &host.project.directory else { return fail!("{what}: {NO_FILES}") };
    if let Err(error) = directory.regular_file(&found) {
        let ending = match found.extension() {
            None => "; the path has the ending of the file, such as .lua",
            Some(_) => "",
        };
        return fail!("{what}: cannot read {quoted}: {error}{ending}");
    }
    Ok(host.project.shown(&found).into())
}
