//! `bench.choose`: one of several functions, by weight.

use std::rc::Rc;

use mlua::{Function, Lua, Result as LuaResult, Table, Value};

use super::super::error::PRELUDE;
use super::super::host::ScriptHost;
use super::super::values::{fail, fault, number, shown};
use super::super::weights::Weights;
use super::registration::top_level;
use super::rng::draw_running;

const WHAT: &str = "bench.choose";
const MAX_CHOICES: usize = 10_000;

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    // A Lua function calls the chosen function. A batch may end inside it, which yields, and a
    // coroutine cannot yield across a Rust function.
    let text = "return function(position, functions)
            return function(c, rng, ...) return functions[position()](c, rng, ...) end
        end";
    let choosing: Function = lua.load(text).set_name(format!("={PRELUDE}")).eval()?;
    let drawer = Rc::clone(host);
    top_level(lua, bench, host, "choose", move |lua, _, _, argument| {
        let (weights, functions) = choices(lua, &argument)?;
        let drawer = Rc::clone(&drawer);
        let position = lua.create_function(move |_, ()| {
            drawer.callback(|| draw_running(&drawer, |random| Ok(weights.draw(random) + 1)))
        })?;
        choosing.call::<Function>((position, functions))
    })
}

fn choices(lua: &Lua, argument: &Value) -> LuaResult<(Weights, Table)> {
    const TAKES: &str =
        "takes a list of weights and functions: bench.choose { { 70, browse }, { 30, edit } }";
    let Value::Table(list) = argument else {
        return fail!("{WHAT} {TAKES}, not {}", shown(argument));
    };
    let length = list.raw_len();
    if length == 0 {
        return fail!("{WHAT} {TAKES}");
    }
    if length > MAX_CHOICES {
        return fail!("{WHAT}: {length} choices; at most {MAX_CHOICES} are possible");
    }
    let functions = lua.create_table_with_capacity(length, 0)?;
    let mut numbers = Vec::with_capacity(length);
    for position in 1..=length {
        let entry: Value = list.raw_get(position)?;
        let Value::Table(pair) = &entry else {
            return fail!(
                "{WHAT}: entry {position} is a weight and a function, such as {{ 70, browse }}, not {}",
                shown(&entry)
            );
        };
        let weight = pair.raw_get::<Value>(1)?;
        numbers.push(number(&weight).ok_or_else(|| {
            let shown = shown(&weight);
            fault(format!("{WHAT}: entry {position} begins with its weight, a number, not {shown}"))
        })?);
        match pair.raw_get::<Value>(2)? {
            Value::Function(function) => functions.raw_set(position, function)?,
            other => {
                return fail!(
                    "{WHAT}: entry {position} has a function after its weight, not {}",
                    shown(&other)
                );
            }
        }
    }
    let mut weights = Weights::default();
    weights
        .set(numbers.into_iter().map(Ok))
        .map_err(|problem| fault(format!("{WHAT}: {problem}")))?;
    Ok((weights, functions))
}
