//! The ways in which functions and objects are given to scripts, and the refusal of wrong uses.

use std::ffi::c_void;
use std::rc::Rc;

use mlua::{IntoLuaMulti, Lua, Result as LuaResult, Table, Value, Variadic};

use super::super::declared::Declared;
use super::super::host::Host;
use super::super::members::unknown_member;
use super::super::values::{fail, fault, name_of, shown};

/// Registers a function of `bench`, which can be called at the top level only.
pub(super) fn top_level<R, F>(
    lua: &Lua,
    bench: &Table,
    host: &Rc<Host>,
    name: &'static str,
    body: F,
) -> LuaResult<()>
where
    R: IntoLuaMulti,
    F: Fn(&Lua, &Host, &mut Declared, Value) -> LuaResult<R> + 'static,
{
    top_level_many(lua, bench, host, name, move |lua, host, declared, arguments| {
        body(lua, host, declared, arguments.first().cloned().unwrap_or(Value::Nil))
    })
}

/// Registers a function as [`top_level`] does, which is given all of its arguments.
pub(super) fn top_level_many<R, F>(
    lua: &Lua,
    bench: &Table,
    host: &Rc<Host>,
    name: &'static str,
    body: F,
) -> LuaResult<()>
where
    R: IntoLuaMulti,
    F: Fn(&Lua, &Host, &mut Declared, &[Value]) -> LuaResult<R> + 'static,
{
    let host = Rc::clone(host);
    let bench_itself = bench.to_pointer();
    let function = lua.create_function(move |lua, arguments: Variadic<Value>| {
        called_with_a_dot(bench_itself, name, arguments.first())?;
        host.callback(|| match host.declared.borrow_mut().as_mut() {
            Some(declared) => body(lua, &host, declared, &arguments),
            None => {
                let instead = match name {
                    "choose" => ": local mix = bench.choose { … } there, and mix(c, rng) here",
                    _ => "",
                };
                fail!(
                    "bench.{name} must be called at the top level of the script, outside of all functions{instead}"
                )
            }
        })
    })?;
    bench.raw_set(name, function)
}

/// Refuses `bench:name()`, whose first argument is `bench` itself.
pub(super) fn called_with_a_dot(
    bench: *const c_void,
    name: &str,
    first: Option<&Value>,
) -> LuaResult<()> {
    match first {
        Some(Value::Table(table)) if table.to_pointer() == bench => fail!(
            "functions of bench are called with a dot: write bench.{name}(…), not bench:{name}(…)"
        ),
        _ => Ok(()),
    }
}

/// Makes reading a field that `table` does not have an error. `problem` returns its message.
pub(in crate::script) fn refuse_unknown(
    lua: &Lua,
    table: &Table,
    problem: impl Fn(&str) -> String + 'static,
) -> LuaResult<()> {
    let metatable = lua.create_table()?;
    let missing = move |_: &Lua, (_, name): (Value, Value)| -> LuaResult<()> {
        Err(fault(problem(&name_of(&name))))
    };
    metatable.raw_set("__index", lua.create_function(missing)?)?;
    metatable.raw_set("__metatable", false)?;
    table.set_metatable(Some(metatable))
}

/// Refuses to read a field that an object does not have. `members` are those of a client or of
/// `rng`.
pub(super) fn no_field(name: &Value, members: Option<&[&str]>) -> LuaResult<()> {
    match name {
        Value::String(name) => {
            Err(fault(unknown_member("field or method", &name.to_string_lossy(), members)))
        }
        other => fail!("there is no field {}", shown(other)),
    }
}

/// Refuses `c.name = value` and the like. `advice` says where the value can be kept.
pub(in crate::script) fn refuse_to_set(name: &Value, object: &str, advice: &str) -> LuaResult<()> {
    let name = match name {
        Value::String(name) => format!("'{}'", name.to_string_lossy()),
        other => shown(other),
    };
    fail!("{name} cannot be set: {object} has no fields that can be set; {advice}")
}

/// Advice for a script that sets a field of an object that all clients share.
pub(super) const KEEP_BY_CLIENT: &str = "keep the state of a client in a local table by its id, such as local state = {} and state[c.id] = …";
