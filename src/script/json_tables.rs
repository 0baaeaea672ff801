//! Lua tables for scripts to read, made of JSON.

use mlua::{Lua, Result as LuaResult, Value};

/// Converts JSON into read-only Lua tables.
pub(super) fn read_only(lua: &Lua, json: &serde_json::Value) -> LuaResult<Value> {
    use serde_json::Value as Json;
    Ok(match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(list) => {
            let table = lua.create_table_with_capacity(list.len(), 0)?;
            for (at, value) in (1..).zip(list) {
                table.raw_set(at, read_only(lua, value)?)?;
            }
            table.set_readonly(true);
            Value::Table(table)
        }
        Json::Object(object) => {
            let table = lua.create_table_with_capacity(0, object.len())?;
            for (key, value) in object {
                table.raw_set(key.as_str(), read_only(lua, value)?)?;
            }
            table.set_readonly(true);
            Value::Table(table)
        }
    })
}
