//! The tables and objects that a script sees, one file for each.

use std::rc::Rc;

use mlua::{Lua, Result as LuaResult, Table, Value};

use super::host::ScriptHost;
use super::values::unknown;
use crate::ir::foreign_words::BENCH_FUNCTIONS;

mod choose;
mod client;
mod hooks;
mod map;
mod mapped_operation;
mod metrics;
mod needs;
mod on_break;
mod options;
mod pace;
mod params;
mod paths;
mod quantities;
mod registration;
mod rng;
mod step;
mod streams;
mod thresholds;
mod tree;
mod workload;

pub(super) use client::ClientObject;
pub(super) use registration::{refuse_to_set, refuse_unknown};
pub(super) use rng::Rng;
pub(super) use thresholds::checked as checked_thresholds;

/// Creates the table `bench`.
pub(super) fn bench(lua: &Lua, host: &Rc<ScriptHost>) -> LuaResult<Table> {
    let bench = lua.create_table()?;
    params::register(lua, &bench, host)?;
    workload::register(lua, &bench, host)?;
    pace::register(lua, &bench, host)?;
    choose::register(lua, &bench, host)?;
    rng::register_named(lua, &bench, host)?;
    quantities::register(lua, &bench, host)?;
    thresholds::register(lua, &bench, host)?;
    on_break::register(lua, &bench, host)?;
    hooks::register(lua, &bench, host)?;
    metrics::register(lua, &bench, host)?;
    streams::register(lua, &bench, host)?;
    map::register(lua, &bench, host)?;
    tree::register(lua, &bench, host)?;
    let names = bench.pairs::<String, Value>().map(|pair| Ok(pair?.0));
    let mut names = names.collect::<LuaResult<Vec<String>>>()?;
    names.sort();
    let missing = move |name: &str| {
        if name == "state" {
            return "bench.state exists only where hooks run: only a hook can use it".to_string();
        }
        match BENCH_FUNCTIONS.find(name) {
            Some(here) => format!("unknown function of bench '{name}': {here}"),
            None => unknown("function of bench", name, names.iter().map(String::as_str)),
        }
    };
    refuse_unknown(lua, &bench, missing)?;
    Ok(bench)
}

/// Registers the type of `c`, after the top level of the script and before the first client is made.
pub(super) fn register_clients(
    lua: &Lua,
    host: &Rc<ScriptHost>,
    uses_steps: bool,
) -> LuaResult<()> {
    let step = step::method(lua, host)?;
    client::register(lua, host, step, uses_steps)
}

/// Registers the types of metrics, `rng`, streams, stages and `op`.
pub(super) fn register_objects(lua: &Lua, host: &Rc<ScriptHost>) -> LuaResult<()> {
    metrics::register_object(lua, host)?;
    rng::register(lua, host)?;
    streams::register_objects(lua)?;
    mapped_operation::register(lua, host)
}
