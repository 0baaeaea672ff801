//! `bench.thresholds`.

use std::rc::Rc;

use mlua::{Lua, Result as LuaResult, Table, Value};

use super::super::error::ScriptError;
use super::super::host::ScriptHost;
use super::super::values::{bool_field, duration_ns, fail, shown, text, text_field, unknown};
use super::registration::top_level;
use crate::ir::source::{Phase, StatedThreshold, WHOLE_PHASE};
use crate::observability::thresholds::{CustomKinds, DEFAULT_DELAY, Threshold};

const WHAT: &str = "bench.thresholds";

const FIELDS: [&str; 4] = ["phase", "workload", "abort", "delay"];

/// Maximum number of thresholds. More would be a mistake, and each costs a line in every report.
const MAX_THRESHOLDS: usize = 1_000;

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    top_level(lua, bench, host, "thresholds", |lua, host, declared, argument| {
        let Value::Table(list) = &argument else {
            return fail!(
                "{WHAT} takes a list such as {{ \"read.response.p99 < 20ms\" }}, not {}",
                shown(&argument)
            );
        };
        let place = match host.line(lua) {
            Some(line) => format!("{line}: {WHAT}"),
            None => WHAT.into(),
        };
        let length = list.raw_len();
        for pair in list.pairs::<Value, Value>() {
            if let (Value::String(name), _) = pair? {
                if !FIELDS.contains(&&*name.to_string_lossy()) {
                    return fail!(
                        "{WHAT}: each threshold is one string that begins with the metric, such as \"read.response.p99 < 20ms\", and not {} = …",
                        shown(&Value::String(name))
                    );
                }
                return fail!(
                    "{WHAT}: {0} applies to one threshold: give that threshold a table of its own, such as {{ \"read.response.p99 < 20ms\", {0} = … }}",
                    name.to_string_lossy()
                );
            }
        }
        if declared.thresholds.len() + length > MAX_THRESHOLDS {
            return fail!("{WHAT}: a script has at most {MAX_THRESHOLDS} thresholds");
        }
        for position in 1..=length {
            let threshold = threshold(&list.raw_get(position)?, position, place.clone())?;
            declared.thresholds.push(threshold);
        }
        Ok(())
    })
}

/// Reads an expression, or a table of an expression and what it applies to.
fn threshold(value: &Value, position: usize, place: String) -> LuaResult<StatedThreshold> {
    let what = format!("{WHAT}: entry {position}");
    let whole = |expression| StatedThreshold {
        expression,
        place,
        phase: None,
        workload: None,
        abort_after_ns: None,
    };
    let entry = match value {
        Value::String(_) => return Ok(whole(text(value, &what)?)),
        Value::Table(entry) => entry,
        other => {
            return fail!(
                "{what} is a string such as \"read.response.p99 < 20ms\" or a table that begins with one, not {}",
                shown(other)
            );
        }
    };
    let expression: Value = entry.raw_get(1)?;
    if expression.is_nil() {
        return fail!(
            "{what} has no threshold: begin it with a string, such as {{ \"read.response.p99 < 20ms\", abort = true }}"
        );
    }
    let expression = text(&expression, &what)?;
    let what = format!("{WHAT}: '{}'", expression.chars().take(60).collect::<String>());
    for pair in entry.pairs::<Value, Value>() {
        match pair?.0 {
            Value::Integer(1) | Value::Number(1.0) => {}
            Value::String(name) if FIELDS.contains(&&*name.to_string_lossy()) => {}
            Value::String(name) => {
                let unknown = unknown("field", &name.to_string_lossy(), FIELDS.into_iter());
                return fail!("{what}: {unknown}");
            }
            other => {
                return fail!(
                    "{what}: one entry is one threshold, and this goes on with {}",
                    shown(&entry.raw_get(other)?)
                );
            }
        }
    }
    let abort = bool_field(entry, &what, "abort", false)?;
    let abort_after_ns = match entry.raw_get::<Value>("delay")? {
        Value::Nil => abort.then_some(DEFAULT_DELAY.as_nanos() as u64),
        value if abort => Some(duration_ns(&value, &format!("{what}: delay"))?),
        _ => return fail!("{what}: delay is the time that abort waits; add abort = true"),
    };
    Ok(StatedThreshold {
        phase: text_field(entry, &what, "phase")?,
        workload: text_field(entry, &what, "workload")?,
        abort_after_ns,
        ..whole(expression)
    })
}

/// Checks the thresholds of a script whose top level has run: their expressions
/// and the names they use.
pub(in crate::script) fn checked(
    stated: Vec<StatedThreshold>,
    phases: &[Phase],
    workloads: &[&str],
    custom: &CustomKinds,
) -> Result<Vec<StatedThreshold>, ScriptError> {
    let unnamed = phases.is_empty().then_some(WHOLE_PHASE);
    let phase_names = || phases.iter().map(|phase| phase.name.as_str()).chain(unnamed);
    for threshold in &stated {
        Threshold::new(threshold, custom)
            .map_err(|error| error.to_string())
            .and_then(|read| {
                let names = read.check_names(phase_names(), workloads.iter().copied());
                names.map_err(|problem| format!("{}: {problem}", threshold.place))
            })
            .map_err(ScriptError::Script)?;
    }
    Ok(stated)
}
