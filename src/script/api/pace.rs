//! `bench.closed_loop` and `bench.open_loop`: what begins an iteration.

use std::rc::Rc;

use mlua::{Function, Lua, Result as LuaResult, Table, UserData, Value};

use super::super::arrivals::{Ramp, Rates, Spacing};
use super::super::values::{check_keys, fault, shown, table, unknown};
use super::super::vm::Host;
use super::top_level;
use crate::ir::source::{Late, Phase};

/// Iterations a second; more than one machine makes of nothing.
const MAX_RATE: f64 = 1e7;

const WHAT: &str = "bench.open_loop";

/// What `pace` of a workload can be.
#[derive(Clone)]
pub(in crate::script) enum Pace {
    /// An operation waits for the one before.
    Closed,
    /// Iterations arrive, whatever becomes of the ones before.
    Open(OpenPace),
}

impl UserData for Pace {}

/// What `bench.open_loop` was told.
#[derive(Clone)]
pub(in crate::script) struct OpenPace {
    rate: Rate,
    pub spacing: Spacing,
    /// For [`Spacing::Function`].
    pub function: Option<Function>,
    pub late: Late,
    /// `file:line` of the call, or of the function for the gaps.
    pub line: String,
}

#[derive(Clone)]
enum Rate {
    Steady(f64),
    /// By the name of the phase, sorted.
    ByPhase(Vec<(String, PhaseRate)>),
}

#[derive(Clone, Copy)]
struct PhaseRate {
    /// None: what the phase before ended with.
    from: Option<f64>,
    to: f64,
}

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<Host>) -> LuaResult<()> {
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

/// The field `pace` of a workload.
pub(super) fn pace(value: &Value, what: &str) -> LuaResult<Pace> {
    if value.is_nil() {
        return Ok(Pace::Closed);
    }
    match value.as_userdata().and_then(|pace| pace.borrow::<Pace>().ok()) {
        Some(pace) => Ok(pace.clone()),
        None => Err(fault(format!(
            "{what}: pace is bench.closed_loop {{}} or bench.open_loop {{ rate = … }}, not {}",
            shown(value)
        ))),
    }
}

fn open_loop(options: &Table, mut line: String) -> LuaResult<OpenPace> {
    check_keys(options, WHAT, "option", &["rate", "arrivals", "late"])?;
    let rate = match options.raw_get::<Value>("rate")? {
        Value::Nil => {
            return Err(fault(format!(
                "{WHAT} needs a rate, such as rate = 200 (iterations a second)"
            )));
        }
        Value::Table(phases) => Rate::ByPhase(by_phase(&phases)?),
        value => {
            let rate = self::rate(&value, &format!("{WHAT}: rate"))?;
            if rate == 0.0 {
                return Err(fault(format!("{WHAT}: rate is 0, so no iteration would ever arrive")));
            }
            Rate::Steady(rate)
        }
    };
    let (spacing, function) = match options.raw_get::<Value>("arrivals")? {
        Value::Nil => (Spacing::Constant, None),
        Value::Function(function) => {
            let info = function.info();
            if let (Some(file), Some(number)) = (info.short_src, info.line_defined) {
                line = format!("{file}:{number}");
            }
            (Spacing::Function, Some(function))
        }
        value => {
            let known = [("constant", Spacing::Constant), ("poisson", Spacing::Poisson)].as_slice();
            (word(&value, "arrivals", known, " or a function")?, None)
        }
    };
    let late = match options.raw_get::<Value>("late")? {
        Value::Nil => Late::Queue,
        value => word(&value, "late", &[("queue", Late::Queue), ("drop", Late::Drop)], "")?,
    };
    Ok(OpenPace { rate, spacing, function, late, line })
}

/// One of a few words.
fn word<T: Copy>(
    value: &Value,
    option: &str,
    known: &[(&str, T)],
    otherwise: &str,
) -> LuaResult<T> {
    let names = || known.iter().map(|(name, _)| *name);
    let Value::String(text) = value else {
        let quoted: Vec<String> = names().map(|name| format!("{name:?}")).collect();
        return Err(fault(format!(
            "{WHAT}: {option} is {}{otherwise}, not {}",
            quoted.join(" or "),
            shown(value)
        )));
    };
    let text = text.to_string_lossy();
    known.iter().find(|(name, _)| *name == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
        fault(format!("{WHAT}: {}", unknown(&format!("value of {option}"), &text, names())))
    })
}

fn by_phase(phases: &Table) -> LuaResult<Vec<(String, PhaseRate)>> {
    let mut rates = Vec::new();
    for pair in phases.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let Value::String(name) = &key else {
            return Err(fault(format!(
                "{WHAT}: rate is a number, or has the name of a phase before each rate, such as steady = 200, not {}",
                shown(&key)
            )));
        };
        let name = name.to_string_lossy();
        let what = format!("{WHAT}: rate of phase {}", shown(&key));
        let rate = match &value {
            Value::Table(ramp) => {
                check_keys(ramp, &what, "field", &["from", "to"])?;
                let end = |field: &str| -> LuaResult<Option<f64>> {
                    match ramp.raw_get::<Value>(field)? {
                        Value::Nil => Ok(None),
                        value => rate(&value, &format!("{what}: {field}")).map(Some),
                    }
                };
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
    let rate = match value {
        Value::Integer(rate) => *rate as f64,
        Value::Number(rate) => *rate,
        other => {
            return Err(fault(format!(
                "{what} is a number of iterations a second, not {}",
                shown(other)
            )));
        }
    };
    if (0.0..=MAX_RATE).contains(&rate) {
        return Ok(rate);
    }
    Err(fault(format!(
        "{what} is {}; it lies between 0 and {MAX_RATE} iterations a second",
        shown(value)
    )))
}

impl OpenPace {
    /// The rate over a run's phases: those the script has, or what they became
    /// where `replaced`: a recorded one that stands for all the recorded ones
    /// then has the rate of the first of them.
    ///
    /// # Errors
    /// What does not fit the script's phases, in the words of the script.
    pub fn rates(
        &self,
        declared: &[Phase],
        effective: &[Phase],
        replaced: bool,
    ) -> Result<Rates, String> {
        let rates = match &self.rate {
            Rate::Steady(rate) => return Ok(Rates::new(&[], *rate)),
            Rate::ByPhase(rates) => rates,
        };
        let of = |name: &str| rates.iter().find(|(known, _)| known == name).map(|(_, rate)| *rate);
        if declared.is_empty() {
            return Err(
                "rate goes by phase, and the script has no phases: add bench.phases, or make rate a number"
                    .into(),
            );
        }
        let names = || declared.iter().map(|phase| phase.name.as_str());
        if let Some((name, _)) = rates.iter().find(|(name, _)| !names().any(|known| known == name))
        {
            return Err(format!("rate: {}", unknown("phase", name, names())));
        }
        if let Some(name) = names().find(|name| of(name).is_none()) {
            return Err(format!("rate says nothing of phase '{name}'; 0 makes it a pause"));
        }
        if declared.first().and_then(|phase| of(&phase.name)?.from).is_none() {
            return Err(format!(
                "rate of phase '{}' has no from: only a later phase can begin where the one before ended",
                declared[0].name
            ));
        }
        let first_recorded = declared.iter().find(|phase| phase.record);
        let mut ramps = Vec::with_capacity(effective.len());
        let mut last = 0.0;
        for phase in effective {
            let source = if replaced && phase.record { first_recorded } else { Some(phase) };
            let PhaseRate { from, to } = source
                .and_then(|source| of(&source.name))
                .unwrap_or(PhaseRate { from: None, to: last });
            ramps.push(Ramp { duration_ns: phase.duration_ns, from: from.unwrap_or(last), to });
            last = to;
        }
        if ramps.iter().all(|ramp| ramp.from == 0.0 && ramp.to == 0.0) {
            return Err("rate is 0 in every phase, so no iteration would ever arrive".into());
        }
        Ok(Rates::new(&ramps, last))
    }
}
