//! `bench.workload`, `bench.setup`, `bench.teardown`, `bench.phases`.

use std::rc::Rc;

use mlua::{Lua, Result as LuaResult, Table, Value};

use super::super::declared::{DeclaredWorkload, SectionFunctions};
use super::super::host::ScriptHost;
use super::super::options::client_count;
use super::super::values::{
    LARGEST_EXACT, bool_field, check_keys, duration_ns, fail, fault, function, name, optional,
    refuse_foreign_fields, shown, table, whole,
};
use super::needs::needs;
use super::pace::pace;
use super::registration::top_level;
use crate::ir::foreign_words::{PHASE_FIELDS, WORKLOAD_FIELDS};
use crate::ir::phases::MAX_PHASES;
use crate::ir::source::{Phase, RUN_CLIENT};
use crate::ir::workloads::MAX_WORKLOADS;

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
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
        once(
            &mut declared.run_wide.setup,
            function(&argument, "bench.setup takes a function")?,
            "bench.setup",
        )
    })?;
    top_level(lua, bench, host, "teardown", |_, _, declared, argument| {
        once(
            &mut declared.run_wide.teardown,
            function(&argument, "bench.teardown takes a function")?,
            "bench.teardown",
        )
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

fn workload(spec: &Table, line: Option<String>) -> LuaResult<DeclaredWorkload> {
    refuse_foreign_fields(spec, "bench.workload", &WORKLOAD_FIELDS)?;
    check_keys(
        spec,
        "bench.workload",
        "field",
        &["name", "clients", "setup", "iteration", "teardown", "pace", "needs", "setup_on_reload"],
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
    let takes = |value: &Value, what: &str| function(value, &format!("{what} takes a function"));
    let section = |name: &str| optional(spec, &what, name, takes);
    let iteration = section("iteration")?.ok_or_else(|| {
        fault(format!("{what} needs an iteration, such as iteration = function(c, rng) … end"))
    })?;
    let pace = pace(&spec.raw_get("pace")?, &what)?;
    let needs = needs(&spec.raw_get("needs")?, &what)?;
    let setup_on_reload = bool_field(spec, &what, "setup_on_reload", false)?;
    let (setup, iteration, teardown) = (section("setup")?, Some(iteration), section("teardown")?);
    let functions = SectionFunctions { setup, iteration, teardown };
    Ok(DeclaredWorkload { name, line, clients, functions, pace, needs, setup_on_reload })
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
    refuse_foreign_fields(spec, "bench.phases", &PHASE_FIELDS)?;
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
