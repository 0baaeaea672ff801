//! `c:step`: a name for a group of operations.

use std::rc::Rc;

use mlua::{Function, Lua, Result as LuaResult, Value};

use super::super::error::PRELUDE;
use super::super::host::ScriptHost;
use super::super::members::with_a_colon;
use super::super::steps::StepCall;
use super::super::values::{fail, fault, shown};
use super::client::{ClientObject, active};

/// Makes the method. It is in Lua, because a batch may end inside the function that it calls, which
/// yields, and a coroutine cannot yield across a Rust function.
pub(super) fn method(lua: &Lua, host: &Rc<ScriptHost>) -> LuaResult<Function> {
    let text = "local begin, finish = ...
        local pcall, error = pcall, error
        local function ended(c, call, ok, ...)
            finish(c, call)
            if ok then return ... end
            error((...), 0)
        end
        return function(c, name, body)
            return ended(c, begin(c, name, body), pcall(body))
        end";
    let owner = Rc::clone(host);
    let begin = lua.create_function(move |_, (c, name, body): (Value, Value, Value)| {
        with_client(&c, |client| begin(&owner, client, &name, &body))
    })?;
    let owner = Rc::clone(host);
    let finish = lua.create_function(move |_, (c, call): (Value, u64)| {
        with_client(&c, |client| {
            active(&owner, client, |client| {
                client.steps.end(StepCall(call));
                Ok(())
            })
        })
    })?;
    lua.load(text).set_name(format!("={PRELUDE}")).call((begin, finish))
}

fn with_client<R>(value: &Value, body: impl FnOnce(&ClientObject) -> LuaResult<R>) -> LuaResult<R> {
    match value.as_userdata().map(|object| object.borrow::<ClientObject>()) {
        Some(Ok(client)) => body(&client),
        _ => Err(fault(with_a_colon("step"))),
    }
}

fn begin(host: &ScriptHost, client: &ClientObject, name: &Value, body: &Value) -> LuaResult<u64> {
    active(host, client, |client| {
        let (Value::String(name), Value::Function(_)) = (name, body) else {
            return fail!(
                "step takes a name and a function, such as c:step(\"save\", function() … end), not {} and {}",
                shown(name),
                shown(body)
            );
        };
        if client.mapping.is_some() {
            return fail!(
                "step cannot be called in bench.map: operations made there belong to the step of op"
            );
        }
        let refused = |error| fault(format!("step: {error}"));
        let name = host.step_name(&name.to_string_lossy()).map_err(refused)?;
        client.steps.begin(name).map(|call| call.0).map_err(refused)
    })
}
