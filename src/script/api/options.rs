//! The table that may end an operation's arguments.

use std::sync::Arc;

use mlua::{Result as LuaResult, Table, Value};

use super::super::values::{check_keys, fault, shown, table, text, unknown};
use super::super::vm::Host;
use crate::ir::{Expect, Pattern, Payload};
use crate::protocol::create::{ParameterValue, Set};
use crate::protocol::{CreateParameters, NtStatus};

/// `c:open` takes these besides `expect`.
const CREATE_KEYS: &[&str] = &[
    "access_mask",
    "share_mode",
    "disposition",
    "create_options",
    "file_attributes",
    "requested_oplock",
    "lease",
    "durable",
    "create_contexts",
];

/// What people call them.
const ELSEWHERE: &[(&str, &str)] = &[
    ("oplock", "requested_oplock"),
    ("access", "access_mask"),
    ("desired_access", "access_mask"),
    ("share", "share_mode"),
    ("share_access", "share_mode"),
    ("create_disposition", "disposition"),
    ("options", "create_options"),
    ("attributes", "file_attributes"),
    ("contexts", "create_contexts"),
];

/// Each operation that waits to be issued holds its own.
const MAX_EXPECTED: usize = 64;

/// How deep an option's tables may lie in one another.
const MAX_DEPTH: usize = 4;
/// The most such a table may hold, in entries and bytes of text together: one
/// that is in another many times counts each time.
const MAX_HELD: usize = 256 << 10;

/// Checks the names of the options and takes `expect`, which every operation has.
pub(super) fn common(
    value: &Value,
    operation: &str,
    extra: &[&str],
) -> LuaResult<(Option<Table>, Expect)> {
    if value.is_nil() {
        return Ok((None, Expect::Default));
    }
    let options = table(value, &format!("{operation}: the last argument"))?;
    let known: Vec<&str> = extra.iter().chain(&["expect"]).copied().collect();
    check_keys(&options, operation, "option", &known)?;
    let expect = expect(&options.raw_get("expect")?, operation)?;
    Ok((Some(options), expect))
}

fn expect(value: &Value, operation: &str) -> LuaResult<Expect> {
    let what = format!("{operation}: expect");
    let statuses: Arc<[NtStatus]> = match value {
        Value::Nil => return Ok(Expect::Default),
        Value::String(name) if name == "any" => return Ok(Expect::Any),
        Value::String(_) => Arc::new([status(value, &what)?]),
        Value::Table(list) if list.raw_len() > MAX_EXPECTED => {
            return Err(fault(format!(
                "{what} names {} statuses; there can be {MAX_EXPECTED}, or \"any\"",
                list.raw_len()
            )));
        }
        Value::Table(list) => {
            let names = list.sequence_values::<Value>().collect::<LuaResult<Vec<Value>>>()?;
            if names.is_empty() {
                return Err(fault(format!("{what} is an empty list; name a status, or \"any\"")));
            }
            names.iter().map(|name| status(name, &what)).collect::<LuaResult<_>>()?
        }
        other => {
            return Err(fault(format!(
                "{what} is the name of a status, a list of names or \"any\", not {}",
                shown(other)
            )));
        }
    };
    Ok(Expect::Statuses(statuses))
}

fn status(value: &Value, what: &str) -> LuaResult<NtStatus> {
    let name = text(value, what)?;
    NtStatus::from_name(&name).ok_or_else(|| {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("STATUS_").unwrap_or(&upper);
        let known = NtStatus::KNOWN
            .iter()
            .filter_map(|status| status.name())
            .map(|name| name.strip_prefix("STATUS_").unwrap_or(name));
        let problem = unknown("status", bare, known);
        let hint = match problem.contains("did you mean") {
            true => "",
            false => "; write a name of MS-ERREF's, such as OBJECT_NAME_NOT_FOUND",
        };
        fault(format!("{what}: {problem}{hint}"))
    })
}

/// What a write of `length` bytes carries.
pub(super) fn payload(options: &Table, length: u64, host: &Host) -> LuaResult<Payload> {
    const PATTERNS: [(&str, Pattern); 3] =
        [("zero", Pattern::Zero), ("random", Pattern::Random), ("text", Pattern::Text)];
    let pattern: Value = options.raw_get("payload")?;
    let blob: Value = options.raw_get("blob")?;
    match (pattern, blob) {
        (Value::Nil, Value::Nil) => Ok(Payload::Pattern(Pattern::Random)),
        (Value::Nil, blob) => {
            let path = text(&blob, "write: blob, the name of a file,")?;
            (host.blobs.borrow_mut().payload(&path, length))
                .map_err(|problem| fault(format!("write: blob {} {problem}", shown(&blob))))
        }
        (word, Value::Nil) => {
            let word = text(&word, "write: payload")?;
            let names = PATTERNS.iter().map(|(name, _)| *name);
            match PATTERNS.iter().find(|(name, _)| *name == word) {
                Some((_, pattern)) => Ok(Payload::Pattern(*pattern)),
                None if word == "blob" => {
                    Err(fault("write: for the bytes of a file write blob = \"name\""))
                }
                None => Err(fault(format!("write: {}", unknown("payload", &word, names)))),
            }
        }
        _ => Err(fault("write: payload and blob are two answers to one question; give one")),
    }
}

/// What `c:open`'s options ask for beyond the mode, and what it expects.
pub(super) fn create(value: &Value) -> LuaResult<(Option<CreateParameters>, Expect)> {
    if value.is_nil() {
        return Ok((None, Expect::Default));
    }
    let options = table(value, "open: the last argument")?;
    let mut parameters = CreateParameters::default();
    let mut expected = Expect::Default;
    for pair in options.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let Value::String(name) = &key else {
            return Err(fault(format!(
                "open: value {} stands alone; write name = value",
                shown(&key)
            )));
        };
        let name = name.to_string_lossy();
        if name == "expect" {
            expected = expect(&value, "open")?;
            continue;
        }
        let written;
        let mut left = MAX_HELD;
        let value = match &value {
            _ if !CREATE_KEYS.contains(&name.as_str()) => {
                if let Some((_, here)) = ELSEWHERE.iter().find(|(other, _)| *other == name) {
                    return Err(fault(format!(
                        "open: unknown option '{name}': here it is '{here}'"
                    )));
                }
                let known = CREATE_KEYS.iter().chain(&["expect"]).copied();
                return Err(fault(format!("open: {}", unknown("option", &name, known))));
            }
            Value::Integer(number) => ParameterValue::Number(*number as f64),
            Value::Number(number) => ParameterValue::Number(*number),
            other => {
                written = json(other, 0, &mut left)
                    .map_err(|problem| fault(format!("open: {name}: {problem}")))?;
                ParameterValue::from(&written)
            }
        };
        match parameters.set(&name, value) {
            // Every name of CREATE_KEYS is known.
            Ok(Set::Honoured | Set::Unknown { .. }) => {}
            Err(error) => return Err(fault(format!("open: {error}"))),
        }
    }
    Ok(((!parameters.is_empty()).then_some(parameters), expected))
}

/// A table as documents write it, of which `left` may still be held.
fn json(value: &Value, depth: usize, left: &mut usize) -> Result<serde_json::Value, String> {
    hold(left, 1)?;
    let Value::Table(table) = value else {
        return Ok(match value {
            Value::Boolean(value) => (*value).into(),
            Value::Integer(number) => (*number).into(),
            Value::Number(number) => (*number).into(),
            Value::String(text) => {
                hold(left, text.as_bytes().len())?;
                text.to_string_lossy().into()
            }
            Value::Nil => serde_json::Value::Null,
            other => return Err(format!("{} does not belong here", shown(other))),
        });
    };
    if depth == MAX_DEPTH {
        return Err("too many tables in one another".into());
    }
    let length = table.raw_len();
    let mut fields = serde_json::Map::new();
    let mut list = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|error| error.to_string())?;
        if let Value::String(name) = &key {
            hold(left, name.as_bytes().len())?;
        }
        let value = json(&value, depth + 1, left)?;
        match key {
            Value::String(name) => drop(fields.insert(name.to_string_lossy(), value)),
            _ if list.len() < length => list.push(value),
            other => return Err(format!("{} is no name", shown(&other))),
        }
    }
    match (fields.is_empty(), list.is_empty()) {
        (true, false) => Ok(list.into()),
        (_, true) => Ok(fields.into()),
        (false, false) => Err("a table is a list or has names, not both".into()),
    }
}

fn hold(left: &mut usize, held: usize) -> Result<(), String> {
    *left = left
        .checked_sub(held)
        .ok_or_else(|| format!("too much in one option; there can be {} KiB", MAX_HELD >> 10))?;
    Ok(())
}
