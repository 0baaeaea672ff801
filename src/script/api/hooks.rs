//! `bench.on_complete`, `bench.on_phase`, `bench.on_end`, `bench.abort`, `bench.status`,
//! `bench.state`: how a script reacts to results.

use std::rc::Rc;

use mlua::{Lua, Result as LuaResult, Table, Value};

use super::super::declared::{CompletionHook, Declared};
use super::super::hooks::filter::{
    CompletionOutcome, Field, FilterSpec, MAX_FIELDS, MAX_HOOKS, StatusFilter,
};
use super::super::host::ScriptHost;
use super::super::values::{check_keys, fail, fault, function, table, text, unknown};
use super::options::status_names;
use super::registration::{called_with_a_dot, refuse_unknown, top_level, top_level_many};
use crate::ir::OperationType;
use crate::ir::step::check_step_name;
use crate::protocol::NtStatus;

const WHAT: &str = "bench.on_complete";
const MAX_REASON_CHARS: usize = 500;

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    let bench_itself = bench.to_pointer();
    top_level_many(lua, bench, host, "on_complete", on_complete)?;
    top_level(lua, bench, host, "on_phase", |_, _, declared, argument| {
        let function = function(&argument, "bench.on_phase takes a function (name, edge)")?;
        keep(&mut declared.hooks.phases, function, "bench.on_phase")
    })?;
    top_level(lua, bench, host, "on_end", |_, _, declared, argument| {
        let function = function(&argument, "bench.on_end takes a function (summary)")?;
        keep(&mut declared.hooks.ends, function, "bench.on_end")
    })?;
    bench.raw_set("status", statuses(lua)?)?;
    let owner = Rc::clone(host);
    let abort = lua.create_function(move |_, reason: Value| {
        called_with_a_dot(bench_itself, "abort", Some(&reason))?;
        owner.callback(|| {
            let reason = match &reason {
                Value::Nil => "no reason given".to_string(),
                reason => text(reason, "bench.abort: the reason")?,
            };
            let Some(hooks) = owner.hooks.as_ref().filter(|hooks| hooks.is_running()) else {
                return Err(fault(
                    "bench.abort belongs in a hook (bench.on_complete, bench.on_phase, bench.on_end)",
                ));
            };
            hooks.abort(reason.chars().take(MAX_REASON_CHARS).collect());
            Ok(())
        })
    })?;
    bench.raw_set("abort", abort)?;
    if let Some(hooks) = &host.hooks {
        let state = lua.create_table()?;
        *hooks.table.borrow_mut() = Some(state.clone());
        #[cfg(test)]
        {
            let owner = Rc::clone(host);
            let panics =
                move |_: &Lua, ()| owner.callback(|| -> LuaResult<()> { panic!("wanted") });
            state.raw_set("panics", lua.create_function(panics)?)?;
            // Simulates a busy host, on which the thread gets no processor.
            let stands_still = |_: &Lua, ()| -> LuaResult<()> {
                std::thread::sleep(std::time::Duration::from_millis(250));
                Ok(())
            };
            state.raw_set("stands_still", lua.create_function(stands_still)?)?;
        }
        bench.raw_set("state", state)?;
    }
    Ok(())
}

fn keep<T>(hooks: &mut Vec<T>, hook: T, what: &str) -> LuaResult<()> {
    if hooks.len() == MAX_HOOKS {
        return fail!("{what}: a script has at most {MAX_HOOKS} of these hooks");
    }
    hooks.push(hook);
    Ok(())
}

fn on_complete(
    lua: &Lua,
    host: &ScriptHost,
    declared: &mut Declared,
    arguments: &[Value],
) -> LuaResult<()> {
    let (filter, hook) = match arguments {
        [Value::Function(function)] => (None, function.clone()),
        [Value::Nil, hook] => (None, function(hook, TAKES)?),
        [filter, hook] => {
            let hook = function(hook, TAKES)?;
            (Some(table(filter, &format!("{WHAT}: the filter"))?), hook)
        }
        _ => return Err(fault(TAKES)),
    };
    let mut fields = Field::DEFAULT.to_vec();
    let mut spec = FilterSpec { line: host.line(lua).unwrap_or_default(), ..FilterSpec::default() };
    if let Some(filter) = filter {
        let known = ["ops", "workload", "phase", "path", "step", "status", "fields"];
        check_keys(&filter, WHAT, "field", &known)?;
        spec.ops = chosen(&filter, "ops", |word| {
            let names = OperationType::ALL.map(OperationType::name);
            let at = names.iter().position(|name| *name == word);
            at.map(|at| OperationType::ALL[at]).ok_or(unknown("operation", word, names.into_iter()))
        })?;
        spec.workloads = chosen(&filter, "workload", |name| Ok(name.to_string()))?;
        spec.phases = chosen(&filter, "phase", |name| Ok(name.to_string()))?;
        spec.paths = chosen(&filter, "path", |pattern| match pattern.len() {
            0..=MOST_OF_A_PATTERN => Ok(pattern.to_string()),
            _ => Err(format!("a pattern is at most {MOST_OF_A_PATTERN} bytes long")),
        })?;
        spec.steps = chosen(&filter, "step", |name| {
            check_step_name(name).map(|()| name.to_string()).map_err(|error| error.to_string())
        })?;
        spec.statuses = chosen(&filter, "status", status)?;
        if let Some(chosen) = chosen(&filter, "fields", |word| {
            Field::named(word).ok_or(unknown("field", word, Field::names()))
        })? {
            if chosen.len() > MAX_FIELDS {
                return fail!("{WHAT}: at most {MAX_FIELDS} fields are possible");
            }
            fields = chosen;
        }
    }
    let hook = CompletionHook { filter: spec, fields, function: hook };
    keep(&mut declared.hooks.completions, hook, WHAT)
}

// Every event is matched against the filter, in the timed path.
const MOST_IN_A_LIST: usize = 128;
const MOST_OF_A_PATTERN: usize = 512;

const TAKES: &str = "bench.on_complete takes an optional filter and a function, such as bench.on_complete({ ops = { \"read\" } }, function(kind, status, service_ns) … end)";

/// Returns a field that is a string or a list of strings, each converted with `of`.
fn chosen<T>(
    filter: &Table,
    field: &str,
    of: impl Fn(&str) -> Result<T, String>,
) -> LuaResult<Option<Vec<T>>> {
    let what = format!("{WHAT}: {field}");
    let values: Vec<Value> = match filter.raw_get(field)? {
        Value::Nil => return Ok(None),
        Value::Table(list) if list.raw_len() == 0 => {
            return fail!("{what} is a list such as {{ \"…\" }}; this one is empty");
        }
        Value::Table(list) if list.raw_len() > MOST_IN_A_LIST => {
            return fail!("{what} has more than {MOST_IN_A_LIST} entries");
        }
        Value::Table(list) => list.sequence_values().collect::<LuaResult<_>>()?,
        one => vec![one],
    };
    let each = |value: &Value| {
        of(&text(value, &what)?).map_err(|problem| fault(format!("{what}: {problem}")))
    };
    values.iter().map(each).collect::<LuaResult<Vec<T>>>().map(Some)
}

fn status(word: &str) -> Result<StatusFilter, String> {
    match word {
        "ok" => return Ok(StatusFilter::Ok),
        "failed" => return Ok(StatusFilter::Failed),
        _ => {}
    }
    let upper = word.to_ascii_uppercase();
    let other = CompletionOutcome::others().find(|(name, _)| *name == upper);
    let status = || NtStatus::from_name(word).map(CompletionOutcome::from);
    other.map(|(_, outcome)| outcome).or_else(status).map(StatusFilter::Is).ok_or_else(|| {
        let known = ["ok", "failed"].into_iter().chain(outcome_names().map(|(bare, _)| bare));
        unknown("status", &upper, known)
    })
}

/// Returns the names in `bench.status`, without the prefix `STATUS_`, and the value of each.
fn outcome_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    status_names().chain(CompletionOutcome::others().map(|(name, _)| (name, name)))
}

/// Creates `bench.status`.
fn statuses(lua: &Lua) -> LuaResult<Table> {
    let statuses = lua.create_table()?;
    for (bare, name) in outcome_names() {
        statuses.raw_set(bare, name)?;
    }
    refuse_unknown(lua, &statuses, |name| {
        unknown("name in bench.status", name, outcome_names().map(|(bare, _)| bare))
    })?;
    statuses.set_readonly(true);
    Ok(statuses)
}
