//! The values of an open's parameters in scripts and documents, and the errors about them.

use serde_json::{Map, Value};

use super::create_names::Field;
use super::nearest::nearest;

/// A value of an `extensions.smb` key, from JSON or from a Lua table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParameterValue<'a> {
    /// Names joined with `|`, or a number as a string (`"0x12019F"`).
    Text(&'a str),
    Number(f64),
    /// A table, a list, a boolean: only keys of mode 2, `on_break` and `reopen` take one.
    Structure(&'a Value),
}

/// The reason why a value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// An unknown name; `names` lists the nearest known one, or all of them.
    #[error("{key}: {word:?} is not a name it takes; {names}")]
    UnknownName { key: &'static str, word: String, names: String },
    #[error("{key}: {number} is not a whole number from 0 to 0xFFFFFFFF")]
    OutOfRange { key: &'static str, number: String },
    #[error("{key}: {number} is not a disposition; they go from 0 (SUPERSEDE) to 5 (OVERWRITE_IF)")]
    NoSuchDisposition { key: &'static str, number: u32 },
    #[error(
        "{key}: {number} is not an oplock level; they are NONE, II, EXCLUSIVE, BATCH and LEASE"
    )]
    NoSuchOplock { key: &'static str, number: u32 },
    #[error("{key}: one name is wanted, not several joined with \"|\"")]
    Several { key: &'static str },
    #[error("{key} wants a name, names joined with \"|\", or a number")]
    WrongType { key: &'static str },
    #[error("{key} has no {field:?}; nearest is {nearest:?}")]
    UnknownField { key: &'static str, field: String, nearest: &'static str },
    #[error("{key} wants {wanted}")]
    Wants { key: &'static str, wanted: &'static str },
}

impl<'a> From<&'a Value> for ParameterValue<'a> {
    fn from(value: &'a Value) -> ParameterValue<'a> {
        match value {
            Value::String(text) => ParameterValue::Text(text),
            // An f64 rounds beyond 2^53, but such a number is out of range anyway.
            Value::Number(number) => {
                number.as_f64().map_or(ParameterValue::Structure(value), ParameterValue::Number)
            }
            _ => ParameterValue::Structure(value),
        }
    }
}

/// Parses the value of a field whose names exclude one another.
pub(super) fn one(field: &Field, value: ParameterValue<'_>) -> Result<u32, CreateError> {
    if matches!(value, ParameterValue::Text(text) if text.contains('|')) {
        return Err(CreateError::Several { key: field.key });
    }
    flags(field, value)
}

pub(super) fn flags(field: &Field, value: ParameterValue<'_>) -> Result<u32, CreateError> {
    match value {
        ParameterValue::Number(number) => {
            let whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
            let range = || CreateError::OutOfRange { key: field.key, number: number.to_string() };
            whole.then_some(number as u32).ok_or_else(range)
        }
        ParameterValue::Text(text) => {
            text.split('|').try_fold(0, |flags, word| Ok(flags | flag(field, word.trim())?))
        }
        ParameterValue::Structure(_) => Err(CreateError::WrongType { key: field.key }),
    }
}

fn flag(field: &Field, word: &str) -> Result<u32, CreateError> {
    let number = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => Some(u32::from_str_radix(digits, 16)),
        None if word.starts_with(|c: char| c.is_ascii_digit()) => Some(word.parse()),
        None => None,
    };
    if let Some(number) = number {
        return number
            .map_err(|_| CreateError::OutOfRange { key: field.key, number: shortened(word) });
    }
    field.value(word).ok_or_else(|| {
        let word = shortened(word);
        let names = match field.nearest(&word) {
            Some(nearest) => format!("nearest is {nearest:?}"),
            None => format!("there is {}", field.bare_names().collect::<Vec<&str>>().join(", ")),
        };
        CreateError::UnknownName { key: field.key, word, names }
    })
}

/// Returns as much of a hostile word as it takes to recognise it.
pub(super) fn shortened(word: &str) -> String {
    word.chars().take(40).collect()
}

/// Refuses fields that are not in `known`.
pub(super) fn only(
    key: &'static str,
    fields: &Map<String, Value>,
    known: &'static [&'static str],
) -> Result<(), CreateError> {
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        None => Ok(()),
        Some(field) => Err(CreateError::UnknownField {
            key,
            field: shortened(field),
            nearest: nearest(field, known.iter().copied()).unwrap_or(known[0]),
        }),
    }
}

/// 2^53. A number of JSON or Lua holds every whole number up to this one exactly.
pub const LARGEST_EXACT: u64 = 1 << 53;

/// Parses a duration of up to 2^53 ns. A number without a unit is refused, except 0.
pub(super) fn nanoseconds(value: &Value) -> Option<u64> {
    if value.as_f64() == Some(0.0) {
        return Some(0);
    }
    let text = value.as_str()?.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let factor = match text[digits..].trim() {
        "ns" => 1.0,
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        _ => return None,
    };
    let ns = (text[..digits].parse::<f64>().ok()? * factor).round();
    (ns <= LARGEST_EXACT as f64).then_some(ns as u64)
}
