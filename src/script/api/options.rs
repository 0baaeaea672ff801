//! The table that may end an operation's arguments.

use std::sync::Arc;

use mlua::{Result as LuaResult, Table, Value};

use super::super::values::{check_keys, fault, shown, table, text, unknown};
use super::super::vm::Host;
use crate::ir::{Expect, Pattern, Payload};
use crate::protocol::create::{ParameterValue, Set};
use crate::protocol::{CreateParameters, NtStatus};

/// `c:open` takes these besides `expect`.
pub(super) const CREATE_KEYS: &[&str] =
    &["access_mask", "share_mode", "disposition", "create_options", "file_attributes"];

/// Said by name, because another word in their place would mislead.
const MODE_2_KEYS: &[&str] = &["requested_oplock", "lease", "durable", "create_contexts"];

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
    for key in MODE_2_KEYS.iter().filter(|_| extra == CREATE_KEYS) {
        if !options.raw_get::<Value>(*key)?.is_nil() {
            return Err(fault(format!(
                "{operation}: {key} needs fidelity mode 2, which this version does not have"
            )));
        }
    }
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
        fault(format!("{what}: {}", unknown("status", bare, known)))
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

/// What `c:open`'s options ask for beyond the mode.
pub(super) fn create(options: &Table, operation: &str) -> LuaResult<Option<CreateParameters>> {
    let mut parameters = CreateParameters::default();
    for key in CREATE_KEYS {
        let value: Value = options.raw_get(*key)?;
        let set = match &value {
            Value::Nil => continue,
            Value::String(text) => {
                parameters.set(key, ParameterValue::Text(&text.to_string_lossy()))
            }
            Value::Integer(number) => parameters.set(key, ParameterValue::Number(*number as f64)),
            Value::Number(number) => parameters.set(key, ParameterValue::Number(*number)),
            _ => parameters.set(key, ParameterValue::Other),
        };
        match set {
            Ok(Set::Honoured) => {}
            // CREATE_KEYS are those that are honoured.
            Ok(Set::NeedsMode2 | Set::Unknown { .. }) => {
                return Err(fault(format!("{operation}: {key} cannot be asked for")));
            }
            Err(error) => return Err(fault(format!("{operation}: {error}"))),
        }
    }
    Ok((!parameters.is_empty()).then_some(parameters))
}
