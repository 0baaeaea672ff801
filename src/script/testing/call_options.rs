//! The options of `test.record`, `test.stream` and `test.run`.

use mlua::{Result as LuaResult, Table, Value};

use crate::ir::workloads::MAX_CLIENTS;
use crate::script::values::{check_keys, fail, optional, shown, table, whole};

/// The table of options that a function of `@bench/test` is given, if it is given one.
pub(super) struct CallOptions {
    /// The function, as errors name it.
    what: &'static str,
    given: Option<Table>,
}

impl CallOptions {
    /// Takes the options from the second argument.
    ///
    /// # Errors
    /// It is no table, or has an option that is not `known`.
    pub fn of(what: &'static str, value: &Value, known: &[&str]) -> LuaResult<CallOptions> {
        if value.is_nil() {
            return Ok(CallOptions { what, given: None });
        }
        let given = table(value, &format!("{what}: the second argument"))?;
        check_keys(&given, what, "option", known)?;
        Ok(CallOptions { what, given: Some(given) })
    }

    /// Reads an option, if it is given.
    ///
    /// # Errors
    /// The errors of `read`, which is given the value and its name for errors.
    pub fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Value, &str) -> LuaResult<T>,
    ) -> LuaResult<Option<T>> {
        match &self.given {
            Some(given) => optional(given, self.what, name, read),
            None => Ok(None),
        }
    }

    pub fn seed(&self) -> LuaResult<Option<u64>> {
        self.read("seed", whole)
    }

    /// Reads the number of iterations of each client.
    pub fn iterations(&self) -> LuaResult<Option<u32>> {
        self.read("iterations", |value, what| number(value, what, 1, u32::MAX))
    }
}

/// Reads a whole number from `least` to `most`. `what` names it in the error.
pub(super) fn number(value: &Value, what: &str, least: u32, most: u32) -> LuaResult<u32> {
    match u32::try_from(whole(value, what)?) {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => fail!("{what} is {}; it must be from {least} to {most}", shown(value)),
    }
}

/// Reads a number of clients.
pub(super) fn client_number(value: &Value, what: &str) -> LuaResult<u32> {
    number(value, what, 1, MAX_CLIENTS)
}
