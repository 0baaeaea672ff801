//! `bench.closed_loop` and `bench.open_loop`: what begins an iteration.

use std::rc::Rc;

use mlua::{Function, Lua, Result as LuaResult, Table, UserData, Value};

use super::super::arrivals::{Ramp, Rates, Spacing, Stretch};
use super::super::host::Host;
use super::super::open_loop::{Begins, Span};
use super::super::values::{LARGEST_EXACT, check_keys, fault, shown, table, unknown};
use super::registration::top_level;
use crate::ir::{Late, Phase};

/// Maximum rate in iterations per second. One host cannot make more even of empty iterations.
const MAX_RATE: f64 = 1e7;

const WHAT: &str = "bench.open_loop";

/// The value of a workload's `pace`.
#[derive(Clone)]
pub(in crate::script) enum Pace {
    /// A closed loop: an operation waits for the one before.
    Closed,
    /// An open loop: iterations arrive independently of the end of earlier ones.
    Open(OpenPace),
}

impl UserData for Pace {}

/// The options of `bench.open_loop`, or of several loops for the phases. Some of these may be
/// closed loops.
#[derive(Clone)]
pub(in crate::script) struct OpenPace {
    rate: Rate,
    begins: ByPhase,
    /// The `file:line` of the call, or of the function for the gaps.
    pub line: String,
}

/// The event that begins an iteration: the same in all phases, or by phase.
#[derive(Clone)]
enum ByPhase {
    Alike(Manner, Late),
    /// A loop for each phase name. `None` is a closed loop.
    Apart(Vec<(String, Option<(Manner, Late)>)>),
}

/// The spacing of arrivals at the given rate.

#[derive(Clone, PartialEq)]
enum Manner {
    Constant,
    Poisson,
    Function { function: Function, line: String },
}

/// The schedule of a workload: what begins its iterations, and when.
pub(in crate::script) struct Schedule {
    pub spans: Vec<Span>,
    pub rates: Rates,
    pub stretches: Vec<Stretch>,
    /// The functions of [`Spacing::Function`], and the line of each.
    pub functions: Vec<(Function, String)>,
}

#[derive(Clone)]
enum Rate {
    Steady(f64),
    /// A rate for each phase name, sorted.
    ByPhase(Vec<(String, PhaseRate)>),
}

#[derive(Clone, Copy)]
struct PhaseRate {
    /// The rate at the start of the phase, or `None` for the rate at the end of the phase before.
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

/// Reads the field `pace` of a workload.
pub(super) fn pace(value: &Value, what: &str, line: &str) -> LuaResult<Pace> {
    if value.is_nil() {
        return Ok(Pace::Closed);
    }
    if let Value::Table(phases) = value {
        return by_phase_pace(phases, what, line);
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

/// Reads `pace = { morning = bench.open_loop { … }, noon = bench.closed_loop {} }`, at `line`.
fn by_phase_pace(phases: &Table, what: &str, line: &str) -> LuaResult<Pace> {
    let (mut rates, mut begins) = (Vec::new(), Vec::new());
    let mut first_line = None;
    for pair in phases.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let (Value::String(name), Some(pace)) = (&key, one_pace(&value)) else {
            return Err(fault(format!(
                "{what}: pace by phase has the name of a phase before each bench.open_loop {{ … }} or bench.closed_loop {{}}, such as steady = bench.open_loop {{ rate = 200 }}, not {} = {}",
                shown(&key),
                shown(&value)
            )));
        };
        let name = name.to_string_lossy();
        let Pace::Open(OpenPace { rate, begins: manner, line }) = pace else {
            rates.push((name.clone(), PhaseRate { from: Some(0.0), to: 0.0 }));
            begins.push((name, None));
            continue;
        };
        first_line.get_or_insert(line);
        let rate = rate.of_one_phase().ok_or_else(|| {
            fault(format!(
                "{what}: pace: the rate of phase '{name}' is a number, or a ramp such as {{ from = 10, to = 200 }}; its phases are named by pace"
            ))
        })?;
        let ByPhase::Alike(manner, late) = manner else { continue };
        rates.push((name.clone(), rate));
        begins.push((name, Some((manner, late))));
    }
    if begins.is_empty() {
        return Err(fault(format!("{what}: pace is an empty table; name each phase in it")));
    }
    rates.sort_by(|(a, _), (b, _)| a.cmp(b));
    let (rate, begins) = (Rate::ByPhase(rates), ByPhase::Apart(begins));
    Ok(Pace::Open(OpenPace { rate, begins, line: first_line.unwrap_or_else(|| line.to_string()) }))
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
            let known = [("constant", false), ("poisson", true)];
            match word(&value, "arrivals", &known, " or a function")? {
                true => Manner::Poisson,
                false => Manner::Constant,
            }
        }
    };
    let late = match options.raw_get::<Value>("late")? {
        Value::Nil => Late::Queue,
        value => word(&value, "late", &[("queue", Late::Queue), ("drop", Late::Drop)], "")?,
    };
    Ok(OpenPace { rate, begins: ByPhase::Alike(manner, late), line })
}

/// Returns the value of one of a few words.
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
        "{what} is {}; it must be between 0 and {MAX_RATE} iterations a second",
        shown(value)
    )))
}

impl Rate {
    /// Returns this `rate` as the rate of a single phase, if it can be one.
    fn of_one_phase(&self) -> Option<PhaseRate> {
        match self {
            Rate::Steady(rate) => Some(PhaseRate { from: Some(*rate), to: *rate }),
            Rate::ByPhase(ends) => {
                let end = |name: &str| ends.iter().find(|(known, _)| known == name);
                let known = usize::from(end("from").is_some()) + 1;
                let to = end("to").filter(|_| known == ends.len())?.1.to;
                Some(PhaseRate { from: end("from").map(|(_, rate)| rate.to), to })
            }
        }
    }
}

impl OpenPace {
    /// Returns the schedule of iterations over the run's phases, which have the names that the
    /// script gave them.
    ///
    /// # Errors
    /// A message about what does not fit the phases, in the words of the script.
    pub fn schedule(&self, phases: &[Phase]) -> Result<Schedule, String> {
        let rates = self.rates(phases)?;
        let mut schedule = Schedule::new(rates);
        match &self.begins {
            ByPhase::Alike(manner, late) => {
                schedule.begin(0, manner);
                schedule.go_on(0, Begins::AtArrivals(*late));
            }
            ByPhase::Apart(begins) => {
                let (mut start_ns, mut last) = (0, None);
                for phase in phases {
                    match begins.iter().find(|(name, _)| *name == phase.name) {
                        Some((_, Some((manner, late)))) => {
                            // The sequence goes on if the next phase has the same spacing, and
                            // begins afresh if not.
                            if last != Some(manner) {
                                schedule.begin(start_ns, manner);
                            }
                            last = Some(manner);
                            schedule.go_on(start_ns, Begins::AtArrivals(*late));
                        }
                        Some((_, None)) => {
                            last = None;
                            schedule.go_on(start_ns, Begins::InClosedLoop);
                        }
                        None => {}
                    }
                    start_ns += phase.duration_ns;
                }
                if schedule.stretches.is_empty() {
                    schedule.begin(0, &Manner::Constant);
                }
            }
        }
        Ok(schedule)
    }

    fn rates(&self, phases: &[Phase]) -> Result<Rates, String> {
        let never = "so no iteration would ever arrive";
        let rates = match &self.rate {
            Rate::Steady(0.0) => return Err(format!("rate is 0, {never}")),
            Rate::Steady(rate) => return Ok(Rates::new(&[], *rate)),
            Rate::ByPhase(rates) => rates,
        };
        let what = match self.begins {
            ByPhase::Alike(..) => "rate",
            ByPhase::Apart(_) => "pace",
        };
        let of = |name: &str| rates.iter().find(|(known, _)| known == name).map(|(_, rate)| *rate);
        if phases.is_empty() {
            return Err(match self.begins {
                ByPhase::Alike(..) => "rate goes by phase, and the script has no phases: add bench.phases, or make rate a number",
                ByPhase::Apart(_) => "pace goes by phase, and the script has no phases: add bench.phases, or give one pace",
            }
            .into());
        }
        let names = || phases.iter().map(|phase| phase.name.as_str());
        if let Some((name, _)) = rates.iter().find(|(name, _)| !names().any(|known| known == name))
        {
            return Err(format!("{what}: {}", unknown("phase", name, names())));
        }
        if let Some(name) = names().find(|name| of(name).is_none()) {
            let pause = match self.begins {
                ByPhase::Alike(..) => "0 makes it a pause",
                ByPhase::Apart(_) => "bench.open_loop { rate = 0 } makes it a pause",
            };
            return Err(format!("{what} does not name phase '{name}'; {pause}"));
        }
        if phases.first().and_then(|phase| of(&phase.name)?.from).is_none() {
            return Err(format!(
                "rate of phase '{}' has no from: only a later phase can begin where the one before ended",
                phases[0].name
            ));
        }
        for [before, phase] in phases.array_windows() {
            if self.is_closed(&before.name) && of(&phase.name).is_some_and(|it| it.from.is_none()) {
                return Err(format!(
                    "rate of phase '{}' has no from, and phase '{}' before it is a closed loop, which has no rate to begin with",
                    phase.name, before.name
                ));
            }
        }
        let mut ramps = Vec::with_capacity(phases.len());
        let mut last = 0.0;
        for Phase { name, duration_ns, .. } in phases {
            let PhaseRate { from, to } = of(name).unwrap_or(PhaseRate { from: None, to: last });
            ramps.push(Ramp { duration_ns: *duration_ns, from: from.unwrap_or(last), to });
            last = to;
        }
        let closed = phases.iter().any(|phase| self.is_closed(&phase.name));
        if !closed && ramps.iter().all(|ramp| ramp.from == 0.0 && ramp.to == 0.0) {
            return Err(format!("rate is 0 in every phase, {never}"));
        }
        Ok(Rates::new(&ramps, last))
    }

    fn is_closed(&self, phase: &str) -> bool {
        let ByPhase::Apart(phases) = &self.begins else { return false };
        phases.iter().any(|(name, begins)| name == phase && begins.is_none())
    }
}

impl Schedule {
    fn new(rates: Rates) -> Schedule {
        Schedule { spans: Vec::new(), rates, stretches: Vec::new(), functions: Vec::new() }
    }

    /// Makes iterations begin with `begins` from `from_ns` on.
    fn go_on(&mut self, from_ns: u64, begins: Begins) {
        match self.spans.last_mut() {
            Some(last) if last.begins == begins => return,
            Some(last) => last.until_ns = from_ns,
            None => {}
        }
        self.spans.push(Span { from_ns, until_ns: LARGEST_EXACT, begins });
    }

    fn begin(&mut self, start_ns: u64, manner: &Manner) {
        let spacing = match manner {
            Manner::Constant => Spacing::Constant,
            Manner::Poisson => Spacing::Poisson,
            Manner::Function { function, line } => {
                self.functions.push((function.clone(), line.clone()));
                Spacing::Function(self.functions.len() - 1)
            }
        };
        self.stretches.push(Stretch { start_ns, spacing });
    }
}
