//! `bench.workload`, `bench.setup`, `bench.teardown`, `bench.phases`.

use std::rc::Rc;

use mlua::{Function, Lua, Result as LuaResult, Table, Value};

use super::super::declared::DeclaredWorkload;
use super::super::host::Host;
use super::super::options::client_count;
use super::super::values::{
    LARGEST_EXACT, bool_field, check_keys, duration_ns, fail, fault, name, optional, shown, table,
    whole,
};
use super::needs::needs;
use super::pace::pace;
use super::registration::top_level;
use crate::ir::source::{Phase, RUN_CLIENT};

/// Maximum number of phases. More would be a mistake, and each costs a line in every report.
const MAX_PHASES: usize = 1_000;
const MAX_WORKLOADS: usize = 1_000;

/// Fields of workloads in other tools, and their equivalents here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("vus", "here it is 'clients'"),
    ("users", "here it is 'clients'"),
    ("threads", "here it is 'clients'"),
    ("duration", "the length of a run is set by bench.phases and --duration"),
    ("iterations", "their number is set by --iterations; 'iteration' is the function"),
    ("rate", "write pace = bench.open_loop { rate = … }"),
    ("exec", "here it is 'iteration'"),
    ("run", "here it is 'iteration'"),
    ("main", "here it is 'iteration'"),
    ("fn", "here it is 'iteration'"),
    ("function", "here it is 'iteration'"),
    ("event", "here it is 'iteration'"),
    (
        "stages",
        "the length of a run is set by bench.phases, and rates by phase by pace = { name = bench.open_loop { … } }",
    ),
    ("executor", "write pace = bench.closed_loop {} or bench.open_loop { rate = … }"),
    ("scenarios", "each is a bench.workload { … } of its own"),
    ("thresholds", "they stand by themselves: bench.thresholds { \"read.response.p99 < 20ms\" }"),
    ("think", "write c:think(\"1s\") in the iteration"),
    ("sleep", "write c:think(\"1s\") in the iteration"),
    (
        "weight",
        "give each workload its clients or rate, or choose within one: bench.choose { { 70, browse }, { 30, edit } }",
    ),
];

/// Fields of phases in other tools.
const ELSEWHERE_IN_A_PHASE: &[(&str, &str)] = &[
    ("length", "here it is 'duration'"),
    ("time", "here it is 'duration'"),
    ("target", "rates by phase are the workload's: pace = { name = bench.open_loop { rate = … } }"),
    ("rate", "rates by phase are the workload's: pace = { name = bench.open_loop { rate = … } }"),
    ("warmup", "write record = false"),
];

/// Refuses fields of other tools, with their equivalents here.
fn refuse_elsewhere(spec: &Table, what: &str, words: &[(&str, &str)]) -> LuaResult<()> {
    for (elsewhere, here) in words {
        if !spec.raw_get::<Value>(*elsewhere)?.is_nil() {
            return fail!("{what}: unknown field '{elsewhere}': {here}");
        }
    }
    Ok(())
}

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<Host>) -> LuaResult<()> {
    top_level(lua, bench, host, "workload", |lua, host, declared, argument| {
        let Value::Table(spec) = &argument else {
            return fail!(
                "bench.workload takes a table: bench.workload {{ name = \"editors\", clients = 10, iteration = function(c, rng) … end }}, not {}",
                shown(&argument)
            );
        };
        let workload = workload(spec, host.line(lua))?;
        let name = &workload.name;
        if let Some(other) = declared.workloads.iter().find(|other| same_to_smb(&other.name, name))
        {
            let line = other.line.as_deref().unwrap_or("above");
            return Err(fault(match other.name == *name {
                true => format!("there are two workloads named '{name}', the first at {line}"),
                false => format!(
                    "workload '{name}' and workload '{}' ({line}) differ in case only, which SMB ignores in names such as c.user's: rename one",
                    other.name
                ),
            }));
        }
        if declared.workloads.len() == MAX_WORKLOADS {
            return fail!("a script has at most {MAX_WORKLOADS} workloads");
        }
        declared.workloads.push(workload);
        Ok(())
    })?;
    top_level(lua, bench, host, "setup", |_, _, declared, argument| {
        once(&mut declared.setup, function(&argument, "bench.setup")?, "bench.setup")
    })?;
    top_level(lua, bench, host, "teardown", |_, _, declared, argument| {
        once(&mut declared.teardown, function(&argument, "bench.teardown")?, "bench.teardown")
    })?;
    top_level(lua, bench, host, "phases", |_, _, declared, argument| {
        let phases = phases(&table(&argument, "bench.phases")?)?;
        once(&mut declared.phases, phases, "bench.phases")
    })
}

/// Returns whether files with these names are the same for a server (MS-FSA 2.1.5.1).
fn same_to_smb(one: &str, other: &str) -> bool {
    one.to_uppercase() == other.to_uppercase()
}

fn once<T>(place: &mut Option<T>, value: T, what: &str) -> LuaResult<()> {
    if place.is_some() {
        return fail!("{what} is called twice; a script has one");
    }
    *place = Some(value);
    Ok(())
}

fn function(value: &Value, what: &str) -> LuaResult<Function> {
    match value {
        Value::Function(function) => Ok(function.clone()),
        other => fail!("{what} takes a function, not {}", shown(other)),
    }
}

fn workload(spec: &Table, line: Option<String>) -> LuaResult<DeclaredWorkload> {
    refuse_elsewhere(spec, "bench.workload", ELSEWHERE)?;
    check_keys(
        spec,
        "bench.workload",
        "field",
        &["name", "clients", "setup", "iteration", "teardown", "pace", "needs"],
    )?;
    let name = optional(spec, "bench.workload", "name", name)?
        .ok_or_else(|| fault("bench.workload needs a name, such as name = \"editors\""))?;
    if name == RUN_CLIENT {
        return fail!(
            "a workload cannot be named '{RUN_CLIENT}': that is the client of bench.setup and bench.teardown"
        );
    }
    let what = format!("workload '{name}'");
    let clients = optional(spec, &what, "clients", whole)?.unwrap_or(1);
    let clients = client_count(clients).map_err(|problem| fault(format!("{what}: {problem}")))?;
    let section = |name: &str| optional(spec, &what, name, function);
    let iteration = section("iteration")?.ok_or_else(|| {
        fault(format!("{what} needs an iteration, such as iteration = function(c, rng) … end"))
    })?;
    let pace = pace(&spec.raw_get("pace")?, &what, line.as_deref().unwrap_or_default())?;
    let needs = needs(&spec.raw_get("needs")?, &what)?;
    let (setup, teardown) = (section("setup")?, section("teardown")?);
    Ok(DeclaredWorkload { name, line, clients, setup, iteration, teardown, pace, needs })
}

fn phases(list: &Table) -> LuaResult<Vec<Phase>> {
    const WHAT: &str = "bench.phases";
    let length = list.raw_len();
    if length == 0 {
        return fail!(
            "{WHAT} takes a list such as {{ {{ name = \"steady\", duration = \"30s\" }} }}"
        );
    }
    if length > MAX_PHASES {
        return fail!("{WHAT}: {length} phases; at most {MAX_PHASES} are possible");
    }
    let mut phases: Vec<Phase> = Vec::with_capacity(length);
    for position in 1..=length {
        let spec = table(&list.raw_get(position)?, &format!("{WHAT}: entry {position}"))?;
        let phase = phase(&spec, position)?;
        if phases.iter().any(|other| other.name == phase.name) {
            return fail!("{WHAT}: there are two phases named '{}'", phase.name);
        }
        phases.push(phase);
    }
    if phases.iter().map(|phase| phase.duration_ns).sum::<u64>() > LARGEST_EXACT {
        return fail!("{WHAT}: together they last longer than 2^53 ns (104 days)");
    }
    Ok(phases)
}

fn phase(spec: &Table, position: usize) -> LuaResult<Phase> {
    refuse_elsewhere(spec, "bench.phases", ELSEWHERE_IN_A_PHASE)?;
    check_keys(spec, "bench.phases", "field", &["name", "duration", "record"])?;
    let name = optional(spec, "bench.phases", "name", name)?
        .ok_or_else(|| fault(format!("bench.phases: phase {position} needs a name")))?;
    let what = format!("phase '{name}'");
    let duration_ns = optional(spec, &what, "duration", duration_ns)?
        .ok_or_else(|| fault(format!("{what} needs a duration, such as duration = \"30s\"")))?;
    if duration_ns == 0 {
        return fail!("{what}: duration is 0; a phase takes time");
    }
    let record = bool_field(spec, &what, "record", true)?;
    Ok(Phase { name, duration_ns, record })
}
