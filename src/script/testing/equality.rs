//! Deep equality of Lua values, with the first difference.

use std::collections::HashSet;
use std::ffi::c_void;

use mlua::{Result as LuaResult, Value};

use super::value_text::{entries, inline};
use crate::script::values::fault;

/// Maximum depth of tables that are compared.
const MAX_DEPTH: usize = 100;

/// Returns the first difference between a value and the expected one, by the order of keys; None if
/// they are equal. Metatables do not count.
///
/// # Errors
/// The tables are nested too deeply.
pub(super) fn first_difference(actual: &Value, expected: &Value) -> LuaResult<Option<String>> {
    Comparison { exact: true, ..Comparison::default() }.difference(actual, expected)
}

/// Returns the first field of a table that another does not have with an equal value, in words; None
/// if it has all of them.
///
/// # Errors
/// The tables are nested too deeply.
pub(super) fn missing_field(actual: &Value, expected: &Value) -> LuaResult<Option<String>> {
    Comparison::default().difference(actual, expected)
}

#[derive(Default)]
struct Comparison {
    /// Whether the outermost table may have no other fields.
    exact: bool,
    /// Pairs of tables that were compared or are being compared. A difference between two of them
    /// has ended the comparison, or will.
    seen: HashSet<(*const c_void, *const c_void)>,
    path: Vec<String>,
}

impl Comparison {
    fn difference(mut self, actual: &Value, expected: &Value) -> LuaResult<Option<String>> {
        self.compare(actual, expected)
    }

    fn compare(&mut self, actual: &Value, expected: &Value) -> LuaResult<Option<String>> {
        let (Value::Table(table), Value::Table(other)) = (actual, expected) else {
            if same(actual, expected) {
                return Ok(None);
            }
            return Ok(Some(self.said(&match (actual, expected) {
                (Value::Nil, expected) => format!("{} is missing", inline(expected)),
                (actual, Value::Nil) => format!("{} is not expected", inline(actual)),
                _ => format!("{} instead of {}", inline(actual), inline(expected)),
            })));
        };
        let (of_table, of_other) = (table.to_pointer(), other.to_pointer());
        if of_table == of_other || !self.seen.insert((of_table, of_other)) {
            return Ok(None);
        }
        if self.path.len() >= MAX_DEPTH {
            return Err(fault(format!(
                "the tables have more than {MAX_DEPTH} levels, too many to be compared"
            )));
        }
        let mut fields = entries(other);
        if self.exact || !self.path.is_empty() {
            let more = entries(table).into_iter().filter(|(_, key, _)| {
                other.raw_get::<Value>(key.clone()).is_ok_and(|value| value.is_nil())
            });
            fields.extend(more.map(|(shown, key, _)| (shown, key, Value::Nil)));
            fields
                .sort_by(|(a, ..), (b, ..)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        }
        for (shown, key, expected) in fields {
            self.path.push(shown.as_path());
            let difference = self.compare(&table.raw_get(key)?, &expected)?;
            if difference.is_some() {
                return Ok(difference);
            }
            self.path.pop();
        }
        Ok(None)
    }

    fn said(&self, what: &str) -> String {
        match self.path.is_empty() {
            true => what.to_string(),
            false => format!("at {}: {what}", self.path.concat().trim_start_matches('.')),
        }
    }
}

fn same(actual: &Value, expected: &Value) -> bool {
    let number = crate::script::values::number;
    match (number(actual), number(expected)) {
        (Some(a), Some(b)) => a == b || (a.is_nan() && b.is_nan()),
        _ => actual == expected,
    }
}
