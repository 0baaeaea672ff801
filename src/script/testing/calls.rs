//! `test.stream` and `test.run`: whole scripts, beside a test file.

use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mlua::{Lua, Result as LuaResult, Table, Value};

use super::operation_tables::{MAX_OPERATIONS, OperationList};
use super::state::WorkloadRun;
use crate::ir::compile::{CompileError, for_each_operation};
use crate::ir::{Operation, OperationSource, Progress, Section, SourceError, StreamHeader};
use crate::script::error::TEST_MODULE;
use crate::script::host::ScriptHost;
use crate::script::json_tables::read_only;
use crate::script::location::ScriptLocation;
use crate::script::options::{ClientsOverride, ScriptLimits, ScriptOptions, client_count};
use crate::script::project::NO_FILES;
use crate::script::ready_workloads::ReadyWorkload;
use crate::script::source::Script;
use crate::script::values::{
    check_keys, duration_ns, fail, fault, optional, shown, table, text, text_field, whole,
};

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
    let given = given(WHAT, &options, &["seed", "iterations", "clients", "params"])?;
    let mut script = script_options(lua, host, WHAT, &path, given.as_ref())?;
    let wrong = |error: &dyn std::fmt::Display| fault(format!("{WHAT}: {error}"));
    let mut loaded = Script::load(&script).map_err(|error| wrong(&error))?;
    if !loaded.header().bounded && script.iterations.is_none() {
        script.iterations = Some(1);
        loaded = Script::load(&script).map_err(|error| wrong(&error))?;
    }
    let ends = Instant::now().checked_add(host.time_left());
    let mut source = BoundedSource { script: loaded, ends };
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

/// A script whose operations must be made until some time.
struct BoundedSource {
    script: Script,
    ends: Option<Instant>,
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
        if self.ends.is_some_and(|ends| Instant::now() > ends) {
            let message = "the time limit of the test (--timeout) has passed".into();
            return Err(SourceError { message, client: None });
        }
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
    let given = given(WHAT, &options, &known)?;
    let script = script_options(lua, host, WHAT, &path, given.as_ref())?;
    let mut duration = RUN_DURATION;
    let mut target = RUN_TARGET.to_string();
    if let Some(given) = &given {
        if let Some(ns) = optional(given, WHAT, "duration", duration_ns)? {
            duration = Duration::from_nanos(ns);
        }
        target = text_field(given, WHAT, "target")?.unwrap_or(target);
    }
    let stop_after = host.time_left();
    if duration.is_zero() || duration >= stop_after {
        return fail!(
            "{WHAT}: duration is {duration:?}; it must be more than 0 and less than what is left of the test's time limit (--timeout), which is {stop_after:.1?}"
        );
    }
    let began = Instant::now();
    let summary = (tests.options.runner)(&WorkloadRun { script, target, duration, stop_after });
    tests.waited.set(tests.waited.get() + began.elapsed());
    host.look_at_the_clock();
    match summary {
        Ok(summary) => read_only(lua, &summary),
        Err(problem) => fail!("{WHAT}: {problem}"),
    }
}

/// Returns the table of options, if there is one.
fn given(what: &str, value: &Value, known: &[&str]) -> LuaResult<Option<Table>> {
    if value.is_nil() {
        return Ok(None);
    }
    let given = table(value, &format!("{what}: the second argument"))?;
    check_keys(&given, what, "option", known)?;
    Ok(Some(given))
}

fn script_options(
    lua: &Lua,
    host: &ScriptHost,
    what: &str,
    path: &Value,
    given: Option<&Table>,
) -> LuaResult<ScriptOptions> {
    let location = script_location(lua, host, what, path)?;
    let mut options = ScriptOptions {
        location,
        quiet: true,
        limits: ScriptLimits::default(),
        ..Default::default()
    };
    let Some(given) = given else { return Ok(options) };
    options.seed = optional(given, what, "seed", whole)?;
    options.iterations = optional(given, what, "iterations", |value, what| {
        match u32::try_from(whole(value, what)?) {
            Ok(number @ 1..) => Ok(number),
            _ => fail!("{what} is {}; it must be from 1 to {}", shown(value), u32::MAX),
        }
    })?;
    match given.raw_get::<Value>("clients")? {
        Value::Nil => {}
        Value::Table(clients) => {
            for pair in clients.pairs::<Value, Value>() {
                let (workload, clients) = pair?;
                let workload = text(&workload, &format!("{what}: clients: a workload's name"))?;
                options.clients.push(clients_of(what, Some(workload), &clients)?);
            }
            options.clients.sort_by(|a, b| a.workload.cmp(&b.workload));
        }
        clients => options.clients.push(clients_of(what, None, &clients)?),
    }
    if let Some(params) = optional(given, what, "params", table)? {
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

fn clients_of(what: &str, workload: Option<String>, value: &Value) -> LuaResult<ClientsOverride> {
    let clients = whole(value, &format!("{what}: clients"))?;
    let clients = client_count(clients).map_err(|problem| fault(format!("{what}: {problem}")))?;
    Ok(ClientsOverride { workload, clients })
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
