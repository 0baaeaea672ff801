//! `bench.bytes` and `bench.nanoseconds`: sizes and durations as numbers, for scripts and modules
//! that compute with them.

use std::rc::Rc;

use mlua::{Lua, Result as LuaResult, Table, Value, Variadic};

use super::super::host::ScriptHost;
use super::super::values::{LARGEST_EXACT, duration_ns, fail, shown, size};
use super::registration::called_with_a_dot;

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    converter(lua, bench, host, "bytes", size)?;
    converter(lua, bench, host, "nanoseconds", duration_ns)
}

/// Registers a function that converts a quantity. Unlike most functions of `bench` it declares
/// nothing, so it can be called anywhere.
fn converter(
    lua: &Lua,
    bench: &Table,
    host: &Rc<ScriptHost>,
    name: &'static str,
    convert: fn(&Value, &str) -> LuaResult<u64>,
) -> LuaResult<()> {
    let host = Rc::clone(host);
    let bench_itself = bench.to_pointer();
    let what = format!("bench.{name}");
    let function = lua.create_function(move |_, arguments: Variadic<Value>| {
        let value = arguments.first().unwrap_or(&Value::Nil);
        called_with_a_dot(bench_itself, name, Some(value))?;
        host.callback(|| {
            let quantity = convert(value, &what)?;
            if quantity > LARGEST_EXACT {
                return fail!(
                    "{what}: {} is beyond 2^53, the largest number that Lua computes with exactly",
                    shown(value)
                );
            }
            Ok(quantity as f64)
        })
    })?;
    bench.raw_set(name, function)
}
