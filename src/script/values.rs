//! Conversion of Lua's values to Rust's, with errors in the words of the script.

use mlua::{Error as LuaError, Function, Result as LuaResult, Table, Value};

use crate::ir::foreign_words::ForeignWords;
use crate::ir::units;
pub(super) use crate::protocol::LARGEST_EXACT;
use crate::protocol::nearest;

/// Returns an error for the script's author. The caller adds the line of the script.
pub(super) fn fault(message: impl std::fmt::Display) -> LuaError {
    LuaError::runtime(message)
}

/// Makes an error for the script's author, as a `Result`, from the arguments of `format!`.
macro_rules! fail {
    ($($message:tt)+) => {
        Err($crate::script::values::fault(format!($($message)+)))
    };
}
pub(super) use fail;

/// Formats a value for an error message: short, and without memory addresses.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Nil => "nil".into(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) => {
            let text = text.to_string_lossy();
            match text.char_indices().nth(60) {
                Some((end, _)) => format!("{:?}…", &text[..end]),
                None => format!("{text:?}"),
            }
        }
        Value::LightUserData(_) => "a handle".into(),
        Value::UserData(_) => "an object".into(),
        other => format!("a {}", other.type_name()),
    }
}

/// Returns the name of a field or variable, which scripts may give as a value of any type.
pub(super) fn name_of(value: &Value) -> String {
    match value {
        Value::String(name) => name.to_string_lossy(),
        other => shown(other),
    }
}

/// Returns a message such as `unknown option 'exepct': did you mean 'expect'?`.
pub(super) fn unknown<'a>(what: &str, word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let word: String = word.chars().take(60).collect();
    let known: Vec<&str> = known.collect();
    match nearest(&word, known.iter().copied()) {
        Some(near) => format!("unknown {what} '{word}': did you mean '{near}'?"),
        None if known.is_empty() => format!("unknown {what} '{word}'"),
        None if known.len() > 40 => format!("unknown {what} '{word}'"),
        None => format!("unknown {what} '{word}': there is {}", known.join(", ")),
    }
}

/// Refuses fields that other tools have, with their equivalents here.
pub(super) fn refuse_foreign_fields(
    table: &Table,
    what: &str,
    words: &ForeignWords,
) -> LuaResult<()> {
    for (foreign, here) in words.iter() {
        if !table.raw_get::<Value>(foreign)?.is_nil() {
            return fail!("{what}: unknown field '{foreign}': {here}");
        }
    }
    Ok(())
}

/// Refuses keys that are not in `known`.
///
/// `kind` is the word for a key in the message: "field", "option".
pub(super) fn check_keys(table: &Table, what: &str, kind: &str, known: &[&str]) -> LuaResult<()> {
    for pair in table.pairs::<Value, Value>() {
        let (key, _) = pair?;
        let name = match &key {
            Value::String(name) => name.to_string_lossy(),
            other => {
                return fail!("{what}: value {} has no name; write name = value", shown(other));
            }
        };
        if !known.contains(&name.as_str()) {
            return fail!("{what}: {}", unknown(kind, &name, known.iter().copied()));
        }
    }
    Ok(())
}

pub(super) fn table(value: &Value, what: &str) -> LuaResult<Table> {
    match value {
        Value::Table(table) => Ok(table.clone()),
        other => fail!("{what} takes a table, not {}", shown(other)),
    }
}

/// Returns a function, or an error that begins with `takes`, such as `bench.setup takes a function`.
pub(super) fn function(value: &Value, takes: &str) -> LuaResult<Function> {
    match value {
        Value::Function(function) => Ok(function.clone()),
        other => fail!("{takes}, not {}", shown(other)),
    }
}

/// Returns a field as `read` converts it, or `None` if it is absent. `read` is given the value and
/// its name in errors.
pub(super) fn optional<T>(
    table: &Table,
    what: &str,
    field: &str,
    read: impl FnOnce(&Value, &str) -> LuaResult<T>,
) -> LuaResult<Option<T>> {
    match table.raw_get::<Value>(field)? {
        Value::Nil => Ok(None),
        value => read(&value, &format!("{what}: {field}")).map(Some),
    }
}

/// Returns a field that is a string or absent.
pub(super) fn text_field(table: &Table, what: &str, field: &str) -> LuaResult<Option<String>> {
    optional(table, what, field, text)
}

pub(super) fn bool_field(table: &Table, what: &str, field: &str, default: bool) -> LuaResult<bool> {
    bool_or(&table.raw_get(field)?, what, field, default)
}

/// Returns `value`, the value of `field`, as a boolean.
pub(super) fn bool_or(value: &Value, what: &str, field: &str, default: bool) -> LuaResult<bool> {
    match value {
        Value::Nil => Ok(default),
        Value::Boolean(value) => Ok(*value),
        other => fail!("{what}: {field} is true or false, not {}", shown(other)),
    }
}

pub(super) fn text(value: &Value, what: &str) -> LuaResult<String> {
    match value {
        Value::String(text) => match text.to_str() {
            Ok(text) => Ok(text.to_string()),
            Err(_) => fail!("{what} is not valid UTF-8"),
        },
        other => fail!("{what} is a string, not {}", shown(other)),
    }
}

/// Returns the value as a float, or `None` if it is no number.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// Checks a name that is used in reports and on command lines, and returns it: 1 to 64 printable
/// characters without `/`, `=` and quotes.
pub(super) fn name(value: &Value, what: &str) -> LuaResult<String> {
    let name = text(value, what)?;
    let plain = |c: char| !c.is_control() && !matches!(c, '/' | '=' | '"' | '\'');
    let length = name.chars().count();
    if (1..=64).contains(&length) && name.trim() == name && name.chars().all(plain) {
        return Ok(name);
    }
    fail!("{what} {} is no name: write 1 to 64 characters without '/', '=' or quotes", shown(value))
}

/// Returns a whole number from 0 to 2^53, or an error that explains why the value is none.
pub(super) fn whole(value: &Value, what: &str) -> LuaResult<u64> {
    if let Value::Integer(number @ 0..) = value
        && *number as u64 <= LARGEST_EXACT
    {
        return Ok(*number as u64);
    }
    match number(value) {
        Some(number) if !number.is_finite() => {
            fail!("{what} is {number}; it must be a number (x / 0 is none)")
        }
        Some(..0.0) => fail!("{what} is {}; it cannot be negative", shown(value)),
        Some(number) if value.is_integer() || number > LARGEST_EXACT as f64 => {
            fail!("{what} is {}; the largest is 2^53", shown(value))
        }
        // The binding does not return negative zero as an integer.
        Some(0.0) => Ok(0),
        Some(number) => {
            fail!("{what} is {number}; it must be a whole number (math.floor makes one)")
        }
        None => fail!("{what} is a whole number, not {}", shown(value)),
    }
}

/// Returns a number of bytes: a whole number below 2^53, or a string such as `"64KiB"`, which is
/// exact over 64 bits. From 2^53 on a number may already have been rounded: Lua reads
/// 9007199254740993 as 2^53.
pub(super) fn size(value: &Value, what: &str) -> LuaResult<u64> {
    let inexact = match value {
        Value::Integer(number) => *number >= LARGEST_EXACT as i64,
        Value::Number(number) => number.is_finite() && *number >= LARGEST_EXACT as f64,
        _ => false,
    };
    match value {
        _ if inexact => fail!(
            "{what} is {}: Lua's numbers are rounded from 2^53 on, so write it as a string, such as \"9007199254740993\" or \"16TiB\"",
            shown(value)
        ),
        Value::String(text) => units::parse_size(&text.to_string_lossy())
            .map_err(|error| fault(format!("{what}: {error}"))),
        value => whole(value, what),
    }
}

/// Returns nanoseconds, from a string such as `"50ms"` or a number of nanoseconds.
///
/// A number below 1000 with at most three decimals looks typed and most likely means seconds, so it
/// is refused. A computed number, such as a draw from a distribution, has more decimals and is
/// rounded.
pub(super) fn duration_ns(value: &Value, what: &str) -> LuaResult<u64> {
    nanoseconds(value, what).map_err(fault)
}

/// Returns nanoseconds as [`duration_ns`] does, for a value that scripts often compute.
pub(super) fn computed_ns(value: &Value, what: &str) -> LuaResult<u64> {
    nanoseconds(value, what).map_err(|problem| match value {
        Value::Integer(1..1_000) => fault(format!(
            "{problem} (where it is computed: 0, or 1000 and more, such as math.max(1000, …))"
        )),
        _ => fault(problem),
    })
}

fn nanoseconds(value: &Value, what: &str) -> Result<u64, String> {
    let number = match value {
        Value::String(text) => {
            return units::parse_duration_ns(&text.to_string_lossy())
                .map_err(|error| format!("{what}: {error}"));
        }
        _ => number(value).ok_or_else(|| {
            let shown = shown(value);
            format!("{what} is a duration such as \"50ms\" or a number of nanoseconds, not {shown}")
        })?,
    };
    duration_from(number).map_err(|problem| format!("{what}: {problem}"))
}

/// Returns nanoseconds by the rules of [`duration_ns`].
pub(super) fn duration_from(number: f64) -> Result<u64, String> {
    if number == 0.0 {
        return Ok(0);
    }
    if number.is_nan() {
        return Err("NaN is no duration".into());
    }
    if !number.is_finite() || number > LARGEST_EXACT as f64 {
        return Err(format!("{number} ns is too long; the longest is 2^53 ns (104 days)"));
    }
    if number < 0.0 {
        return Err(format!("{number} ns is negative"));
    }
    let typed = (number * 1_000.0).fract() == 0.0;
    if number < 1_000.0 && typed {
        return Err(format!("{number} ns? write \"{number}s\""));
    }
    Ok(number.round() as u64)
}
