//! `bench.counter`, `bench.gauge`, `bench.rate`, `bench.histogram`.

use std::rc::Rc;

use mlua::{Lua, Result as LuaResult, Table, UserDataFields, UserDataMethods, Value};

use super::super::host::ScriptHost;
use super::super::members::METRIC_METHODS;
use super::super::values::{
    self, LARGEST_EXACT, check_keys, fail, fault, name, shown, table, text, text_field, unknown,
};
use super::registration::{no_field, refuse_to_set, top_level_many};
use crate::observability::custom_metrics::{
    MAX_METRICS, MetricDeclaration, MetricKind, MetricUnit, Tags,
};
use crate::observability::thresholds::names::is_reserved;

const MAX_TAGS: usize = 8;
const MAX_HELP_CHARS: usize = 200;

/// The Lua object of a metric. Its values are kept outside of the VM.
pub(in crate::script) struct MetricObject {
    kind: MetricKind,
    index: usize,
    name: String,
    /// The tags that an update may carry, if they were declared.
    tags: Option<Vec<String>>,
}

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    MetricKind::ALL.into_iter().try_for_each(|kind| {
        top_level_many(lua, bench, host, kind.name(), move |lua, _, declared, arguments| {
            lua.create_any_userdata(declare(&mut declared.hooks.metrics, kind, arguments)?)
        })
    })
}

fn declare(
    metrics: &mut Vec<MetricDeclaration>,
    kind: MetricKind,
    arguments: &[Value],
) -> LuaResult<MetricObject> {
    let what = format!("bench.{}", kind.name());
    let name = name(arguments.first().unwrap_or(&Value::Nil), &format!("{what}: the name"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(plain) {
        return fail!(
            "{what}: '{name}' is no name of a metric: write letters, digits, '_', '-' and '.', a letter first"
        );
    }
    let what = format!("{what} '{name}'");
    let head = name.split('.').next().unwrap_or_default();
    if is_reserved(head) {
        return fail!(
            "{what}: names that begin with '{head}' are metrics of smbench's own; add a prefix, such as 'app.{name}'"
        );
    }
    if metrics.iter().any(|other| other.name == name) {
        return fail!("{what}: there is already a metric with this name");
    }
    if metrics.len() == MAX_METRICS {
        return fail!("{what}: a script has at most {MAX_METRICS} metrics");
    }
    let (mut unit, mut help, mut tags) = (None, None, None);
    match arguments.get(1) {
        None | Some(Value::Nil) => {}
        Some(options) => {
            let options = table(options, &what)?;
            let known: &[&str] = match kind {
                MetricKind::Histogram => &["unit", "tags", "help"],
                _ => &["tags", "help"],
            };
            check_keys(&options, &what, "option", known)?;
            unit = text_field(&options, &what, "unit")?.map(|word| of_unit(&word, &what));
            help = text_field(&options, &what, "help")?;
            tags = tag_names(&options.raw_get("tags")?, &what)?;
        }
    }
    let help = help.map(|help| help.chars().take(MAX_HELP_CHARS).collect());
    let declaration = MetricDeclaration { name: name.clone(), kind, unit: unit.transpose()?, help };
    metrics.push(declaration);
    Ok(MetricObject { kind, index: metrics.len() - 1, name, tags })
}

fn of_unit(word: &str, what: &str) -> LuaResult<MetricUnit> {
    match word {
        "ns" => Ok(MetricUnit::Ns),
        "bytes" => Ok(MetricUnit::Bytes),
        "us" | "ms" | "s" | "m" => fail!(
            "{what}: unit '{word}': all times in a script are in \"ns\"; reports choose a suitable unit"
        ),
        _ => fail!("{what}: {}", unknown("unit", word, ["ns", "bytes"].into_iter())),
    }
}

fn tag_names(value: &Value, what: &str) -> LuaResult<Option<Vec<String>>> {
    if value.is_nil() {
        return Ok(None);
    }
    let list = table(value, &format!("{what}: tags"))?;
    let names: Vec<String> = list
        .sequence_values()
        .map(|value| name(&value?, &format!("{what}: a tag")))
        .collect::<LuaResult<_>>()?;
    if names.is_empty() || names.len() > MAX_TAGS {
        return fail!(
            "{what}: tags is a list of 1 to {MAX_TAGS} names that updates may carry, such as {{ \"share\" }}"
        );
    }
    Ok(Some(names))
}

pub(super) fn register_object(lua: &Lua, host: &Rc<ScriptHost>) -> LuaResult<()> {
    lua.register_userdata_type::<MetricObject>(|registry| {
        registry.add_meta_method("__tostring", |_, metric, ()| Ok(metric.name.clone()));
        registry.add_meta_method("__index", |_, _, name: Value| no_field(&name, None));
        registry.add_meta_method("__newindex", |_, _, (name, _): (Value, Value)| {
            refuse_to_set(&name, "a metric", "keep the value in a local variable")
        });
        registry.add_meta_field("__type", "metric");
        for (method, kind) in METRIC_METHODS {
            let owner = Rc::clone(host);
            registry.add_method(method, move |_, metric, (value, tags): (Value, Value)| {
                owner.callback(|| update(&owner, metric, (method, kind), &value, &tags))
            });
        }
        registry.enable_namecall();
    })
}

fn update(
    host: &ScriptHost,
    metric: &MetricObject,
    (method, kind): (&str, MetricKind),
    value: &Value,
    tags: &Value,
) -> LuaResult<()> {
    let MetricObject { name, .. } = metric;
    if metric.kind != kind {
        let own = METRIC_METHODS.iter().find(|(_, kind)| *kind == metric.kind);
        let own = own.map_or("", |(method, _)| *method);
        return fail!(
            "'{name}' is a {}, which has no method '{method}': here it is '{own}'",
            metric.kind.name()
        );
    }
    let Some(hooks) = host.hooks.as_ref().filter(|hooks| hooks.is_running()) else {
        return fail!(
            "{name}:{method}: metrics can be updated only in hooks (bench.on_complete, bench.on_phase); the rest of a script makes operations and never sees results"
        );
    };
    if hooks.is_ending() {
        return fail!(
            "{name}:{method}: the summary is complete; bench.on_end can read it but not change it"
        );
    }
    let value = number(name, method, kind, value)?;
    let tags = match tags {
        Value::Nil => None,
        tags => Some(tags_of(metric, method, tags)?),
    };
    hooks.update(metric.index, value, tags);
    Ok(())
}

fn number(name: &str, method: &str, kind: MetricKind, value: &Value) -> LuaResult<f64> {
    let what = format_args!("{name}:{method}");
    let number = match (kind, value) {
        (MetricKind::Counter, Value::Nil) => return Ok(1.0),
        (MetricKind::Rate, Value::Boolean(yes)) => return Ok(f64::from(u8::from(*yes))),
        (MetricKind::Rate, other) => {
            return fail!("{what} takes true or false, not {}", shown(other));
        }
        _ => values::number(value)
            .ok_or_else(|| fault(format!("{what} takes a number, not {}", shown(value))))?,
    };
    if !number.is_finite() {
        return fail!("{what} takes a finite number, not {number}");
    }
    if number.abs() > LARGEST_EXACT as f64 {
        return fail!("{what}: {number:e} is beyond 2^53");
    }
    if number < 0.0 && kind != MetricKind::Gauge {
        return fail!("{what}: {number} is negative; a {} takes 0 and more", kind.name());
    }
    Ok(number)
}

fn tags_of(metric: &MetricObject, method: &str, tags: &Value) -> LuaResult<Tags> {
    let what = format!("{}:{method}: the tags", metric.name);
    let mut found = Tags::new();
    for pair in table(tags, &what)?.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let key = name(&key, &format!("{what}: the name"))?;
        if let Some(known) = metric.tags.as_ref().filter(|known| !known.contains(&key)) {
            let known = known.iter().map(String::as_str);
            return fail!("{what}: {}", unknown("tag", &key, known));
        }
        let value = match &value {
            Value::Boolean(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            value => text(value, &format!("{what}: {key}"))?,
        };
        found.insert(key, value.chars().take(64).collect());
        if found.len() > MAX_TAGS {
            return fail!("{what}: more than {MAX_TAGS} of them");
        }
    }
    Ok(found)
}
