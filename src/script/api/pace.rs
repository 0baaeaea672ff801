//! `bench.closed_loop` and `bench.open_loop`: what begins an iteration.

use std::rc::Rc;

use mlua::{Lua, Result as LuaResult, Table, Value};

use super::super::host::ScriptHost;
use super::super::pace::{ByPhase, Manner, OpenPace, Pace, PhaseRate, Rate};
use super::super::values::{check_keys, fail, fault, number, optional, shown, table, unknown};
use super::registration::top_level;
use crate::ir::Late;

/// Maximum rate in iterations per second. One host cannot make more even of empty iterations.
const MAX_RATE: f64 = 1e7;

const WHAT: &str = "bench.open_loop";

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    top_level(lua, bench, host, "closed_loop", |lua, _, _, argument| {
        if !argument.is_nil() {
            let options = table(&argument, "bench.closed_loop")?;
            check_keys(&options, "bench.closed_loop", "option", &[])?;
        }
        lua.create_userdata(Pace::Closed)
    })?;
    top_level(lua, bench, host, "open_loop", |lua, host, _, argument| {
        let options = table(&argument, WHAT)?;
        let line = host.line(lua).unwrap_or_default();
        lua.create_userdata(Pace::Open(open_loop(&options, line)?))
    })
}

/// Reads the field `pace` of a workload.
pub(super) fn pace(value: &Value, what: &str) -> LuaResult<Pace> {
    if value.is_nil() {
        return Ok(Pace::Closed);
    }
    if let Value::Table(phases) = value {
        return by_phase_pace(phases, what);
    }
    one_pace(value).ok_or_else(|| {
        fault(format!(
            "{what}: pace is bench.closed_loop {{}} or bench.open_loop {{ rate = … }}, not {}",
            shown(value)
        ))
    })
}

fn one_pace(value: &Value) -> Option<Pace> {
    value.as_userdata()?.borrow::<Pace>().ok().map(|pace| pace.clone())
}

/// Reads `pace = { morning = bench.open_loop { … }, noon = bench.open_loop { … } }`.
fn by_phase_pace(phases: &Table, what: &str) -> LuaResult<Pace> {
    let (mut rates, mut arrivals, mut closed) = (Vec::new(), Vec::new(), Vec::new());
    let mut first_line = None;
    for pair in phases.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let (Value::String(name), Some(pace)) = (&key, one_pace(&value)) else {
            return fail!(
                "{what}: pace by phase has the name of a phase before each bench.open_loop {{ … }}, such as steady = bench.open_loop {{ rate = 200 }}, not {} = {}",
                shown(&key),
                shown(&value)
            );
        };
        let name = name.to_string_lossy();
        let Pace::Open(OpenPace { rate, arrivals: of_phase, line }) = pace else {
            closed.push(name);
            continue;
        };
        first_line.get_or_insert(line);
        let rate = rate.of_one_phase().ok_or_else(|| {
            fault(format!(
                "{what}: pace: the rate of phase '{name}' is a number, or a ramp such as {{ from = 10, to = 200 }}; its phases are named by pace"
            ))
        })?;
        let ByPhase::Alike(manner, late) = of_phase else { continue };
        rates.push((name.clone(), rate));
        arrivals.push((name, (manner, late)));
    }
    rates.sort_by(|(a, _), (b, _)| a.cmp(b));
    if !closed.is_empty() {
        closed.sort();
        return fail!("{what}: {}", closed_by_phase(&closed, &rates));
    }
    let Some(line) = first_line else {
        return fail!("{what}: pace is an empty table; name each phase in it");
    };
    let (rate, arrivals) = (Rate::ByPhase(rates), ByPhase::Apart(arrivals));
    Ok(Pace::Open(OpenPace { rate, arrivals, line }))
}

/// Returns the error about a pace by phase that has closed loops, with the phases of open loops in
/// `open`.
fn closed_by_phase(closed: &[String], open: &[(String, PhaseRate)]) -> String {
    let Some((first_open, _)) = open.first() else {
        return "a closed loop is the same in every phase: write pace = bench.closed_loop {}"
            .into();
    };
    let idle = closed.iter().map(|name| format!("[{name:?}] = 0"));
    let rates = idle.chain(open.iter().map(|(name, _)| format!("[{name:?}] = …")));
    format!(
        "pace is a closed loop in phase '{}' and an open loop in phase '{first_open}', and a workload is one or the other for the whole run; write two workloads side by side:
    bench.workload {{ name = \"closed\", pace = bench.closed_loop {{}}, iteration = … }}
    bench.workload {{ name = \"open\", pace = bench.open_loop {{ rate = {{ {} }} }}, iteration = … }}",
        closed[0],
        rates.collect::<Vec<_>>().join(", ")
    )
}

fn open_loop(options: &Table, mut line: String) -> LuaResult<OpenPace> {
    check_keys(options, WHAT, "option", &["rate", "arrivals", "late"])?;
    let rate = match options.raw_get::<Value>("rate")? {
        Value::Nil => {
            return fail!("{WHAT} needs a rate, such as rate = 200 (iterations a second)");
        }
        Value::Table(phases) => Rate::ByPhase(by_phase(&phases)?),
        value => Rate::Steady(self::rate(&value, &format!("{WHAT}: rate"))?),
    };
    let manner = match options.raw_get::<Value>("arrivals")? {
        Value::Nil => Manner::Constant,
        Value::Function(function) => {
            let info = function.info();
            if let (Some(file), Some(number)) = (info.short_src, info.line_defined) {
                line = format!("{file}:{number}");
            }
            Manner::Function { function, line: line.clone() }
        }
        value => {
            let known = [("constant", Manner::Constant), ("poisson", Manner::Poisson)];
            word(&value, "arrivals", &known, " or a function")?
        }
    };
    let lates = [("queue", Late::Queue), ("drop", Late::Drop)];
    let late = optional(options, WHAT, "late", |value, _| word(value, "late", &lates, ""))?;
    Ok(OpenPace { rate, arrivals: ByPhase::Alike(manner, late.unwrap_or_default()), line })
}

/// Returns the value of one of a few words.
fn word<T: Clone>(
    value: &Value,
    option: &str,
    known: &[(&str, T)],
    otherwise: &str,
) -> LuaResult<T> {
    let names = || known.iter().map(|(name, _)| *name);
    let Value::String(text) = value else {
        let quoted: Vec<String> = names().map(|name| format!("{name:?}")).collect();
        return fail!(
            "{WHAT}: {option} is {}{otherwise}, not {}",
            quoted.join(" or "),
            shown(value)
        );
    };
    let text = text.to_string_lossy();
    known.iter().find(|(name, _)| *name == text).map(|(_, meaning)| meaning.clone()).ok_or_else(
        || fault(format!("{WHAT}: {}", unknown(&format!("value of {option}"), &text, names()))),
    )
}

fn by_phase(phases: &Table) -> LuaResult<Vec<(String, PhaseRate)>> {
    let mut rates = Vec::new();
    for pair in phases.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let Value::String(name) = &key else {
            return fail!(
                "{WHAT}: rate is a number, or has the name of a phase before each rate, such as steady = 200, not {}",
                shown(&key)
            );
        };
        let name = name.to_string_lossy();
        let what = format!("{WHAT}: rate of phase {}", shown(&key));
        let rate = match &value {
            Value::Table(ramp) => {
                check_keys(ramp, &what, "field", &["from", "to"])?;
                let end = |field: &str| optional(ramp, &what, field, rate);
                let to = end("to")?.ok_or_else(|| {
                    fault(format!("{what} is a ramp without its end: add to = …"))
                })?;
                PhaseRate { from: end("from")?, to }
            }
            value => {
                let rate = rate(value, &what)?;
                PhaseRate { from: Some(rate), to: rate }
            }
        };
        rates.push((name, rate));
    }
    rates.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(rates)
}

fn rate(value: &Value, what: &str) -> LuaResult<f64> {
    let Some(rate) = number(value) else {
        return fail!("{what} is a number of iterations a second, not {}", shown(value));
    };
    if (0.0..=MAX_RATE).contains(&rate) {
        return Ok(rate);
    }
    fail!("{what} is {}; it must be between 0 and {MAX_RATE} iterations a second", shown(value))
}
