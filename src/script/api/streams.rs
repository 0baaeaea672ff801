//! `bench.load`, `bench.transform`, `bench.merge` and the stages of a transform.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{AnyUserData, Lua, Result as LuaResult, Table, UserDataFields, UserDataMethods, Value};

use super::super::declared::Declared;
use super::super::host::ScriptHost;
use super::super::stream_plan::{DeclaredStream, PlacedStage, StreamPlan};
use super::super::values::{
    bool_field, check_keys, duration_ns, fail, fault, name, number, optional, shown, table, text,
    unknown, whole,
};
use super::registration::{no_field, top_level};
use crate::ir::OperationType;
use crate::ir::units::parse_duration_ns;
use crate::protocol::SharePath;
use crate::transform::{
    FilterStage, Globs, MAX_WEIGHT, MixRule, MixStage, PathRule, PathTemplate, RepeatStreamStage,
    RewritePathsStage, SampleStage, ScaleClientsStage, ShiftStage, StreamStage, TimeWarpStage,
};

/// Maximum number of streams of a script, and of rules of one stage.
const MAX_STREAMS: usize = 1_000;
const MAX_RULES: usize = 1_000;
/// Maximum number of stages and merges between a document and the end of a stream. Each reads from
/// the one before it, which takes a part of the thread's stack.
const MAX_DEPTH: usize = 256;

/// A stream in a script.
struct StreamObject {
    plan: Rc<StreamPlan>,
    /// Its place among the script's streams.
    number: usize,
}

/// A stage in a script.
pub(super) struct StageObject(PlacedStage);

impl StageObject {
    /// Creates the object for a stage that the running line of the script makes.
    pub fn create(
        lua: &Lua,
        host: &ScriptHost,
        function: &str,
        stage: impl StreamStage + 'static,
    ) -> LuaResult<AnyUserData> {
        let place = error_prefix(lua, host, function);
        lua.create_any_userdata(StageObject(PlacedStage { stage: Rc::new(stage), place }))
    }
}

/// Returns the beginning of an error about what the running line of the script makes.
fn error_prefix(lua: &Lua, host: &ScriptHost, function: &str) -> Rc<str> {
    match host.line(lua) {
        Some(line) => host.chunks.borrow().with_paths(&format!("{line}: bench.{function}")).into(),
        None => format!("bench.{function}").into(),
    }
}

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    top_level(lua, bench, host, "load", |lua, host, declared, argument| {
        let Value::String(_) = &argument else {
            return fail!(
                "bench.load takes the path of a document, such as bench.load(\"day.jsonl\"), not {}",
                shown(&argument)
            );
        };
        let path = text(&argument, "bench.load: the path")?;
        if path.is_empty() || path.contains('\0') {
            return fail!("bench.load: {} is no path", shown(&argument));
        }
        stream(lua, declared, StreamPlan::document(path, error_prefix(lua, host, "load")))
    })?;
    transform(lua, bench, host)?;
    merge(lua, bench, host)?;
    filter(lua, bench, host)?;
    in_time(lua, bench, host)?;
    sequences(lua, bench, host)?;
    paths_and_clients(lua, bench, host)
}

/// Registers the types of streams and stages.
pub(super) fn register_objects(lua: &Lua) -> LuaResult<()> {
    lua.register_userdata_type::<StreamObject>(|registry| {
        registry.add_meta_method("__tostring", |_, _, ()| Ok("stream"));
        registry.add_meta_method("__index", |_, _, name: Value| no_field(&name, Some(&[])));
        registry.add_meta_field("__type", "stream");
    })?;
    lua.register_userdata_type::<StageObject>(|registry| {
        registry.add_meta_method("__tostring", |_, _, ()| Ok("stage"));
        registry.add_meta_method("__index", |_, _, name: Value| no_field(&name, Some(&[])));
        registry.add_meta_field("__type", "stage");
    })
}

/// Adds a stream to those of the script.
fn stream(lua: &Lua, declared: &mut Declared, plan: StreamPlan) -> LuaResult<AnyUserData> {
    if declared.streams.len() == MAX_STREAMS {
        return fail!("a script has at most {MAX_STREAMS} streams");
    }
    let depth = plan.depth();
    if depth > MAX_DEPTH {
        return fail!(
            "{depth} stages follow one another, with those of the streams that this one is made of; at most {MAX_DEPTH} are possible"
        );
    }
    let (plan, number) = (Rc::new(plan), declared.streams.len());
    declared.streams.push(DeclaredStream { plan: Rc::clone(&plan), is_used: Cell::new(false) });
    lua.create_any_userdata(StreamObject { plan, number })
}

/// Returns the stream that another is made of.
fn input(declared: &Declared, value: &Value, what: &str) -> LuaResult<Rc<StreamPlan>> {
    let object = match value {
        Value::UserData(object) => object.borrow::<StreamObject>().ok(),
        _ => None,
    };
    let Some(stream) = object else {
        return fail!(
            "{what} is a stream, such as bench.load(\"day.jsonl\"), not {}",
            shown(value)
        );
    };
    if let Some(declared) = declared.streams.get(stream.number) {
        declared.is_used.set(true);
    }
    Ok(Rc::clone(&stream.plan))
}

fn transform(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    super::registration::top_level_many(lua, bench, host, "transform", |lua, _, declared, given| {
        const WHAT: &str = "bench.transform";
        let nil = Value::Nil;
        let input =
            input(declared, given.first().unwrap_or(&nil), &format!("{WHAT}: the first argument"))?;
        let Some(Value::Table(list)) = given.get(1) else {
            return fail!(
                "{WHAT}: the second argument is a list of stages, such as {{ bench.filter {{ path = \"!*.tmp\" }} }}, not {}",
                shown(given.get(1).unwrap_or(&nil))
            );
        };
        let length = list.raw_len();
        if list.pairs::<Value, Value>().count() != length {
            return fail!(
                "{WHAT}: the stages are a list without names and gaps, such as {{ bench.time_warp {{ factor = 0.5 }} }}"
            );
        }
        let mut stages = Vec::with_capacity(length);
        for position in 1..=length {
            let value: Value = list.raw_get(position)?;
            let stage = match &value {
                Value::UserData(object) => object.borrow::<StageObject>().ok(),
                _ => None,
            };
            let Some(stage) = stage else {
                return fail!(
                    "{WHAT}: entry {position} is no stage, such as bench.filter {{ … }}, but {}",
                    shown(&value)
                );
            };
            stages.push(stage.0.clone());
        }
        stream(lua, declared, StreamPlan::transformed(input, stages))
    })
}

fn merge(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    top_level(lua, bench, host, "merge", |lua, host, declared, argument| {
        const WHAT: &str = "bench.merge";
        let spec = table(&argument, WHAT)?;
        let join = bool_field(&spec, WHAT, "join", false)?;
        let mut inputs = Vec::new();
        for pair in spec.pairs::<Value, Value>() {
            let (key, value) = pair?;
            if matches!(&key, Value::String(key) if key == "join") {
                continue;
            }
            if !matches!(key, Value::String(_)) {
                return fail!(
                    "{WHAT}: each stream has a name, such as {{ day = bench.load(\"day.jsonl\"), night = … }}"
                );
            }
            let name = name(&key, &format!("{WHAT}: the name"))?;
            let stream = input(declared, &value, &format!("{WHAT}: {name}"))?;
            inputs.push((name, stream));
        }
        if inputs.is_empty() {
            return fail!(
                "{WHAT}: there is no stream, such as {{ day = bench.load(\"day.jsonl\") }}"
            );
        }
        // The order of a Lua table's names is not the order in which they were written.
        inputs.sort_by(|(one, _), (other, _)| one.cmp(other));
        let place = error_prefix(lua, host, "merge");
        stream(lua, declared, StreamPlan::merged(inputs, join, place))
    })
}

/// Registers a function that makes a stage of a table.
fn stage<S, F>(
    lua: &Lua,
    bench: &Table,
    host: &Rc<ScriptHost>,
    name: &'static str,
    make: F,
) -> LuaResult<()>
where
    S: StreamStage + 'static,
    F: Fn(&Table, &str) -> LuaResult<S> + 'static,
{
    top_level(lua, bench, host, name, move |lua, host, _, argument| {
        let what = format!("bench.{name}");
        StageObject::create(lua, host, name, make(&table(&argument, &what)?, &what)?)
    })
}

fn filter(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    stage(lua, bench, host, "filter", |spec, what| {
        check_keys(spec, what, "field", &["ops", "path", "client", "from", "to"])?;
        let operations = optional(spec, what, "ops", operations)?;
        let [path, clients] = [globs(spec, what, "path")?, globs(spec, what, "client")?];
        let from_ns = optional(spec, what, "from", duration_ns)?;
        let to_ns = optional(spec, what, "to", duration_ns)?;
        if let (Some(from_ns), Some(to_ns)) = (from_ns, to_ns)
            && from_ns >= to_ns
        {
            return fail!("{what}: from is not before to, so that nothing would remain");
        }
        let filter = FilterStage { operations, path, clients, from_ns, to_ns };
        if filter.is_empty() {
            return fail!("{what} has no condition: name ops, path, client, from or to");
        }
        Ok(filter)
    })
}

/// Reads the names of operations.
fn operations(value: &Value, what: &str) -> LuaResult<Vec<OperationType>> {
    let names = strings(value, what)?;
    let mut operations = Vec::with_capacity(names.len());
    for name in &names {
        let known = OperationType::ALL.into_iter().find(|known| known.name() == name);
        let known = known.ok_or_else(|| {
            let all = OperationType::ALL.iter().map(|known| known.name());
            fault(format!("{what}: {}", unknown("operation", name, all)))
        })?;
        operations.push(known);
    }
    let on_handle = |known: &&OperationType| {
        crate::ir::HandleOperation::TYPES.contains(known)
            || crate::ir::FileControl::TYPES.contains(known)
    };
    if let Some(known) = operations.iter().find(on_handle)
        && !operations.contains(&OperationType::Open)
    {
        return fail!(
            "{what}: {0} acts on a handle, and without its open all that is done on it is dropped; write {{ \"open\", \"{0}\" }} (the close follows the open)",
            known.name()
        );
    }
    Ok(operations)
}

/// Reads a string or a list of strings.
fn strings(value: &Value, what: &str) -> LuaResult<Vec<String>> {
    match value {
        Value::Table(list) => {
            let length = list.raw_len();
            if length == 0 {
                return fail!("{what} is an empty list");
            }
            (1..=length).map(|at| text(&list.raw_get(at)?, what)).collect()
        }
        value => text(value, what).map(|one| vec![one]),
    }
}

fn globs(spec: &Table, what: &str, field: &str) -> LuaResult<Option<Globs>> {
    optional(spec, what, field, |value, what| {
        Globs::new(&strings(value, what)?).map_err(|problem| fault(format!("{what}: {problem}")))
    })
}

fn in_time(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    stage(lua, bench, host, "time_warp", |spec, what| {
        check_keys(spec, what, "field", &["factor"])?;
        let factor = needed(spec, what, "factor", "0.5 (twice the speed)", between(1e-6, 1e6))?;
        Ok(TimeWarpStage { factor })
    })?;
    stage(lua, bench, host, "shift", |spec, what| {
        check_keys(spec, what, "field", &["by", "client"])?;
        let by_ns = needed(spec, what, "by", "\"5s\" or \"-5s\"", signed_ns)?;
        Ok(ShiftStage { by_ns, clients: globs(spec, what, "client")? })
    })?;
    stage(lua, bench, host, "repeat_stream", |spec, what| {
        check_keys(spec, what, "field", &["times", "period"])?;
        let times = needed(spec, what, "times", "3", whole)?;
        let period_ns = optional(spec, what, "period", duration_ns)?;
        match u32::try_from(times) {
            Ok(times @ 1..=1_000_000) => Ok(RepeatStreamStage { times, period_ns }),
            _ => fail!("{what}: times is {times}; it is between 1 and 1000000"),
        }
    })
}

fn sequences(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    stage(lua, bench, host, "sample", |spec, what| {
        check_keys(spec, what, "field", &["fraction"])?;
        let fraction = needed(spec, what, "fraction", "0.1", between(0.0, 1.0))?;
        Ok(SampleStage { fraction })
    })?;
    stage(lua, bench, host, "mix", |spec, what| {
        let rules = rules(spec, what, "{ path = \"*.docx\", weight = 3 }", |rule, what| {
            check_keys(rule, what, "field", &["path", "weight"])?;
            let weight = needed(rule, what, "weight", "3", between(0.0, MAX_WEIGHT))?;
            let path = globs(rule, what, "path")?;
            let path =
                path.ok_or_else(|| fault(format!("{what} needs a path, such as \"*.docx\"")))?;
            Ok(MixRule { path, weight })
        })?;
        Ok(MixStage { rules })
    })
}

fn paths_and_clients(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    stage(lua, bench, host, "rewrite_paths", |spec, what| {
        let rules = rules(spec, what, "{ from = \"home\", to = \"bench/home\" }", |rule, what| {
            check_keys(rule, what, "field", &["from", "to"])?;
            let from = needed(rule, what, "from", "\"home\" (\"\" is every path)", share_path)?;
            let to = needed(rule, what, "to", "\"bench/home\"", share_path)?;
            Ok(PathRule { from, to })
        })?;
        Ok(RewritePathsStage { rules })
    })?;
    stage(lua, bench, host, "scale_clients", |spec, what| {
        check_keys(spec, what, "field", &["to", "jitter", "path"])?;
        let to = needed(spec, what, "to", "1000", whole)?;
        let jitter_ns = optional(spec, what, "jitter", duration_ns)?.unwrap_or(0);
        let path = optional(spec, what, "path", text)?;
        let path = PathTemplate::new(path.as_deref().unwrap_or(ScaleClientsStage::PATH));
        let path = path.map_err(|problem| fault(format!("{what}: path: {problem}")))?;
        let to = u32::try_from(to).unwrap_or(u32::MAX);
        Ok(ScaleClientsStage { to, jitter_ns, path })
    })
}

/// Reads a list of rules, such as that of the example.
fn rules<R>(
    spec: &Table,
    what: &str,
    example: &str,
    read: impl Fn(&Table, &str) -> LuaResult<R>,
) -> LuaResult<Vec<R>> {
    let length = spec.raw_len();
    if length == 0 || length > MAX_RULES || spec.pairs::<Value, Value>().count() != length {
        return fail!(
            "{what} takes a list of 1 to {MAX_RULES} rules without names and gaps, such as {{ {example} }}"
        );
    }
    let rule = |position: usize| {
        let what = format!("{what}: rule {position}");
        read(&table(&spec.raw_get(position)?, &what)?, &what)
    };
    (1..=length).map(rule).collect()
}

/// Returns a field that must be given.
fn needed<T>(
    spec: &Table,
    what: &str,
    field: &str,
    example: &str,
    read: impl FnOnce(&Value, &str) -> LuaResult<T>,
) -> LuaResult<T> {
    let given = optional(spec, what, field, read)?;
    given.ok_or_else(|| fault(format!("{what} needs {field}, such as {field} = {example}")))
}

/// Returns a function that reads a number between two bounds.
fn between(low: f64, high: f64) -> impl FnOnce(&Value, &str) -> LuaResult<f64> {
    move |value, what| match number(value) {
        Some(number) if number >= low && number <= high => Ok(number),
        Some(number) => fail!("{what} is {number}; it is between {low} and {high}"),
        None => fail!("{what} is a number, not {}", shown(value)),
    }
}

fn share_path(value: &Value, what: &str) -> LuaResult<SharePath> {
    let path = text(value, what)?;
    SharePath::new(&path).map_err(|error| fault(format!("{what}: {error}")))
}

/// Reads a duration that may be negative.
fn signed_ns(value: &Value, what: &str) -> LuaResult<i64> {
    let negative = match value {
        Value::String(text) => {
            let text = text.to_string_lossy();
            let positive = text.trim().strip_prefix('-').map(|rest| parse_duration_ns(rest.trim()));
            let ns = positive.transpose();
            ns.map_err(|error| fault(format!("{what}: {error}")))?
        }
        other => match number(other) {
            Some(number) if number < 0.0 => Some(duration_ns(&Value::Number(-number), what)?),
            _ => None,
        },
    };
    let (ns, sign) = match negative {
        Some(ns) => (ns, -1),
        None => (duration_ns(value, what)?, 1),
    };
    i64::try_from(ns).map(|ns| sign * ns).map_err(|_| fault(format!("{what} is too long")))
}
