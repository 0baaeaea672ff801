//! Paths that a script gives as arguments.

use mlua::{Result as LuaResult, Value};

use super::super::values::{fault, shown};
use crate::protocol::SharePath;

/// Returns an error about an argument of an operation.
pub(super) fn of(operation: &str, problem: impl std::fmt::Display) -> mlua::Error {
    fault(format!("{operation}: {problem}"))
}

/// Returns a path within the share.
pub(super) fn path(value: &Value, operation: &str) -> LuaResult<SharePath> {
    let Value::String(name) = value else {
        return Err(of(operation, format!("the path is a string, not {}", shown(value))));
    };
    let name = name.to_str().map_err(|_| of(operation, "the path is not valid UTF-8"))?;
    if name.starts_with("\\\\") || name.starts_with("//") {
        return Err(of(
            operation,
            format!(
                "{}: paths begin inside the share; --target names the server and the share",
                shown(value)
            ),
        ));
    }
    SharePath::new(&name).map_err(|error| of(operation, error))
}

/// Returns a path within the share that is not the share itself.
pub(super) fn below_root(value: &Value, operation: &str) -> LuaResult<SharePath> {
    let path = path(value, operation)?;
    if path.is_root() {
        return Err(of(operation, "the path is empty, which is the share itself"));
    }
    Ok(path)
}
