//! The tables and objects that a script sees, one file for each.

use std::path::PathBuf;
use std::rc::Rc;

use mlua::{Function, Lua, Result as LuaResult, Table, Value};

use super::error::ScriptError;
use super::values::{fault, shown, unknown};
use super::vm::Host;
use crate::ir::Need;
use crate::ir::source::{Module, Phase, StatedThreshold, Workload};
use crate::protocol::nearest;

mod choose;
mod client;
mod elsewhere;
mod hooks;
mod metrics;
mod needs;
mod on_break;
mod options;
mod pace;
mod params;
mod rng;
mod thresholds;
mod workload;

pub(super) use client::ClientObject;
pub(super) use elsewhere::{entry_point, global as global_elsewhere};
pub(super) use hooks::{CompletionHook, DeclaredHooks};
#[cfg(test)]
pub(super) use metrics::METRIC_METHODS;
pub(super) use on_break::{DeclaredPolicy, policies as break_policies};
pub(super) use pace::{Pace, Schedule};
pub use params::ParameterHelp;
pub(super) use params::{Parameters, check_given};
pub(super) use rng::Rng;
pub(super) use thresholds::checked as checked_thresholds;
pub(super) use workload::client_count;

/// Every method and field of a client.
pub(super) const CLIENT_METHODS: &[&str] = &[
    "open",
    "read",
    "write",
    "close",
    "rename",
    "delete",
    "mkdir",
    "rmdir",
    "list",
    "stat",
    "truncate",
    "flush",
    "lock",
    "unlock",
    "think",
    "at",
    "running",
    "id",
    "user",
    "iteration",
];

/// Members of a client that are fields.
const CLIENT_FIELDS: &[&str] = &["id", "user", "iteration"];

/// Every method of `rng`.
pub(super) const RNG_METHODS: &[&str] =
    &["int", "float", "bool", "exp", "normal", "lognormal", "pareto", "zipf", "pick", "shuffle"];

/// Methods of a client that take a handle first.
const METHODS_WITH_A_HANDLE: &[&str] =
    &["read", "write", "close", "truncate", "flush", "lock", "unlock"];

/// Returns an error about a method or field that an object does not have, and suggests another. The
/// caller does not know which object it was.
pub(super) fn unknown_method(what: &str, word: &str) -> String {
    unknown_member(what, word, None)
}

/// Returns an error as [`unknown_method`] does. `members` are the members of a client or of `rng`,
/// if the object is known.
fn unknown_member(what: &str, word: &str, members: Option<&[&str]>) -> String {
    if RNG_METHODS.contains(&word) {
        return format!(
            "'{word}' belongs to rng, the second argument: function(c, rng) … rng:{word}(…)"
        );
    }
    if what == "method" && CLIENT_FIELDS.contains(&word) {
        return format!("'{word}' is a field of the client: write c.{word}, not c:{word}()");
    }
    if CLIENT_METHODS.contains(&word) {
        return format!(
            "'{word}' belongs to the client, the first argument: function(c, rng) … c:{word}(…)"
        );
    }
    if metrics::METRIC_METHODS.iter().any(|(method, _)| *method == word) {
        return format!(
            "'{word}' belongs to a metric: a counter has add, a gauge set, a rate observe, a histogram record"
        );
    }
    if let Some(here) = elsewhere::method(word) {
        return format!("unknown {what} '{word}': here it is '{here}'");
    }
    let objects = [("a client", CLIENT_METHODS), ("rng", RNG_METHODS)];
    let objects: Vec<(&str, &[&str])> = objects
        .into_iter()
        .filter(|(_, has)| members.is_none_or(|members| *has == members))
        .collect();
    let listed = |(object, has): &(&str, &[&str])| format!("{object} has {}", has.join(", "));
    let shown: String = word.chars().take(60).collect();
    let all = objects.iter().flat_map(|(_, has)| has.iter().copied());
    if members != Some(RNG_METHODS)
        && let Some(advice) = elsewhere::advice(word)
    {
        return format!("unknown {what} '{shown}': {advice}; {}", listed(&objects[0]));
    }
    match nearest(word, all) {
        Some(near) => {
            let whose = objects.iter().find(|(_, has)| has.contains(&near));
            let whose = whose.map(listed).unwrap_or_default();
            format!("unknown {what} '{shown}': did you mean '{near}'? ({whose})")
        }
        None => {
            let listed: Vec<String> = objects.iter().map(listed).collect();
            format!("unknown {what} '{shown}': {}", listed.join("; "))
        }
    }
}

/// Returns an error that explains how handles are used, after one was used as an object with
/// members.
pub(super) fn no_member_of_a_handle(name: &str) -> String {
    let methods = METHODS_WITH_A_HANDLE.iter().copied();
    let meant = elsewhere::method(name).or_else(|| nearest(name, methods));
    let meant = match meant.filter(|meant| METHODS_WITH_A_HANDLE.contains(meant)) {
        Some("read" | "write") | None => String::new(),
        Some(meant) => format!("; did you mean c:{meant}(h)?"),
    };
    let name: String = name.chars().take(60).collect();
    format!(
        "a handle has no '{name}': handles are given to the client's methods {}, such as c:read(h, 0, 4096) and c:close(h){meant}",
        METHODS_WITH_A_HANDLE.join(", ")
    )
}

/// Returns an error about a method that was called with a dot.
pub(super) fn with_a_colon(method: &str) -> String {
    let object = if RNG_METHODS.contains(&method) {
        "rng"
    } else if metrics::METRIC_METHODS.iter().any(|(known, _)| *known == method) {
        "metric"
    } else {
        "c"
    };
    format!("methods are called with a colon: write {object}:{method}(…), not {object}.{method}(…)")
}

/// The declarations of the top level, and the values it was given for them.
#[derive(Default)]
pub(super) struct Declared {
    /// The directory of the script.
    pub folder: PathBuf,
    /// Parameters given from outside, in order.
    pub given: Vec<(String, String)>,
    pub seed: u64,
    pub params: Option<Parameters>,
    pub modules: Vec<Module>,
    pub workloads: Vec<DeclaredWorkload>,
    pub setup: Option<Function>,
    pub teardown: Option<Function>,
    pub phases: Option<Vec<Phase>>,
    pub thresholds: Vec<StatedThreshold>,
    pub on_break: Vec<DeclaredPolicy>,
    pub hooks: DeclaredHooks,
}

impl Declared {
    /// Checks the filters of hooks, and returns whether the script has hooks or metrics.
    ///
    /// # Errors
    /// [`ScriptError`] if a hook names a workload or a phase that does not exist.
    pub fn check_hooks(&self) -> Result<bool, ScriptError> {
        let phases = self.phases.iter().flatten();
        let phases: Vec<&str> = phases.map(|phase| phase.name.as_str()).collect();
        for hook in &self.hooks.completions {
            let workloads = self.workloads.iter().map(|workload| workload.name.as_str());
            hook.filter.check(workloads, &phases).map_err(ScriptError::Script)?;
        }
        Ok(self.hooks.any())
    }
}

pub(super) struct DeclaredWorkload {
    pub name: String,
    /// The `file:line` of the declaration.
    pub line: Option<String>,
    pub clients: u32,
    pub setup: Option<Function>,
    pub iteration: Function,
    pub teardown: Option<Function>,
    pub pace: Pace,
    pub needs: Vec<Need>,
}

impl DeclaredWorkload {
    /// Returns the workload as the stream's header describes it.
    pub fn header(&self) -> Workload {
        Workload::new(&self.name, self.clients)
    }
}

/// Creates the table `bench`.
pub(super) fn bench(lua: &Lua, host: &Rc<Host>) -> LuaResult<Table> {
    let bench = lua.create_table()?;
    params::register(lua, &bench, host)?;
    workload::register(lua, &bench, host)?;
    pace::register(lua, &bench, host)?;
    choose::register(lua, &bench, host)?;
    rng::register_named(lua, &bench, host)?;
    thresholds::register(lua, &bench, host)?;
    on_break::register(lua, &bench, host)?;
    hooks::register(lua, &bench, host)?;
    metrics::register(lua, &bench, host)?;
    let mut names = Vec::new();
    for pair in bench.pairs::<String, Value>() {
        names.push(pair?.0);
    }
    names.sort();
    let missing = move |_: &Lua, (_, name): (Value, Value)| -> LuaResult<()> {
        let name = match name {
            Value::String(name) => name.to_string_lossy(),
            other => shown(&other),
        };
        if name == "state" {
            return Err(fault("bench.state lives where hooks run: only a hook can use it"));
        }
        if let Some(here) = elsewhere::function_of_bench(&name) {
            return Err(fault(format!("unknown function of bench '{name}': {here}")));
        }
        Err(fault(unknown("function of bench", &name, names.iter().map(String::as_str))))
    };
    let hints = lua.create_table()?;
    hints.raw_set("__index", lua.create_function(missing)?)?;
    hints.raw_set("__metatable", false)?;
    bench.set_metatable(Some(hints))?;
    Ok(bench)
}

/// Refuses to read a field that an object does not have. `members` are those of a client or of
/// `rng`.
fn no_field(name: &Value, members: Option<&[&str]>) -> LuaResult<()> {
    match name {
        Value::String(name) => {
            Err(fault(unknown_member("field or method", &name.to_string_lossy(), members)))
        }
        other => Err(fault(format!("there is no field {}", shown(other)))),
    }
}

/// Refuses `c.name = value` and the like. `advice` says where the value can be kept.
pub(super) fn refuse_to_set(name: &Value, object: &str, advice: &str) -> LuaResult<()> {
    let name = match name {
        Value::String(name) => format!("'{}'", name.to_string_lossy()),
        other => shown(other),
    };
    Err(fault(format!("{name} cannot be set: {object} has no fields that can be set; {advice}")))
}

/// Advice for a script that sets a field of an object that all clients share.
const KEEP_BY_CLIENT: &str = "keep the state of a client in a local table by its id, such as local state = {} and state[c.id] = …";

/// Registers the types of `c`, metrics and `rng`.
pub(super) fn register_objects(lua: &Lua, host: &Rc<Host>) -> LuaResult<()> {
    client::register(lua, host)?;
    metrics::register_object(lua, host)?;
    rng::register(lua, host)
}

/// Refuses `bench:name()`, whose first argument is `bench` itself.
fn with_a_point(
    bench: *const std::ffi::c_void,
    name: &str,
    first: Option<&Value>,
) -> LuaResult<()> {
    match first {
        Some(Value::Table(table)) if table.to_pointer() == bench => Err(fault(format!(
            "functions of bench are called with a dot: write bench.{name}(…), not bench:{name}(…)"
        ))),
        _ => Ok(()),
    }
}

/// Registers a function of `bench`, which can be called at the top level only.
fn top_level<R, F>(
    lua: &Lua,
    bench: &Table,
    host: &Rc<Host>,
    name: &'static str,
    body: F,
) -> LuaResult<()>
where
    R: mlua::IntoLuaMulti,
    F: Fn(&Lua, &Host, &mut Declared, Value) -> LuaResult<R> + 'static,
{
    let host = Rc::clone(host);
    let bench_itself = bench.to_pointer();
    let function = lua.create_function(move |lua, argument: Value| {
        with_a_point(bench_itself, name, Some(&argument))?;
        host.callback(|| match host.declared.borrow_mut().as_mut() {
            Some(declared) => body(lua, &host, declared, argument),
            None => {
                let instead = match name {
                    "choose" => ": local mix = bench.choose { … } there, and mix(c, rng) here",
                    _ => "",
                };
                Err(fault(format!(
                    "bench.{name} belongs at the top of the script, outside of all functions{instead}"
                )))
            }
        })
    })?;
    bench.raw_set(name, function)
}
