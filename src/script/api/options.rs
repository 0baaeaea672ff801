//! The table of options that may end an operation's arguments.

use std::sync::Arc;

use mlua::{Error as LuaError, Result as LuaResult, Value};

use super::super::host::ScriptHost;
use super::super::project::NO_FILES;
use super::super::values::{fail, fault, shown, text, unknown};
use super::on_break;
use crate::ir::foreign_words::OPEN_OPTIONS;
use crate::ir::{Expect, Pattern, Payload};
use crate::protocol::create::{self, ParameterValue, Set};
use crate::protocol::{CreateParameters, NtStatus};

/// Maximum number of expected statuses. Each operation that waits to be issued holds its own.
const MAX_EXPECTED: usize = 64;

/// Maximum depth of nested tables in an option.
const MAX_DEPTH: usize = 4;
/// Maximum size of such a table, in entries plus bytes of strings. A table that is contained many
/// times counts each time.
const MAX_HELD: usize = 256 << 10;

/// Returns the values of the options `extra`, with nil for those not given, and the option
/// `expect`, which every operation has.
///
/// The table is iterated only once, and strings are made only for an error, because many operations
/// have options.
pub(super) fn common<const N: usize>(
    value: &Value,
    operation: &str,
    extra: [&str; N],
) -> LuaResult<([Value; N], Expect)> {
    let mut given = [const { Value::Nil }; N];
    let mut expected = Expect::Default;
    each(value, operation, |name, value| {
        if name == b"expect" {
            expected = expect(&value, operation)?;
            return Ok(());
        }
        match extra.iter().position(|known| known.as_bytes() == name) {
            Some(place) => given[place] = value,
            None => {
                let (name, known) = (String::from_utf8_lossy(name), extra.into_iter());
                let problem = unknown("option", &name, known.chain(["expect"]));
                return fail!("{operation}: {problem}");
            }
        }
        Ok(())
    })?;
    Ok((given, expected))
}

/// Calls `take` with each option by name.
fn each(
    value: &Value,
    operation: &str,
    mut take: impl FnMut(&[u8], Value) -> LuaResult<()>,
) -> LuaResult<()> {
    let options = match value {
        Value::Nil => return Ok(()),
        Value::Table(options) => options,
        other => {
            return fail!(
                "{operation}: the last argument is a table of options, such as {{ expect = \"any\" }}, not {}",
                shown(other)
            );
        }
    };
    options.for_each(|key: Value, value: Value| match &key {
        Value::String(name) => take(&name.as_bytes(), value),
        other => fail!("{operation}: value {} has no name; write name = value", shown(other)),
    })
}

fn expect(value: &Value, operation: &str) -> LuaResult<Expect> {
    let statuses: Arc<[NtStatus]> = match value {
        Value::Nil => return Ok(Expect::Default),
        Value::String(name) if name == "any" => return Ok(Expect::Any),
        Value::String(_) => Arc::new([status(value, operation)?]),
        Value::Table(list) => {
            let length = list.raw_len();
            if length > MAX_EXPECTED {
                return fail!(
                    "{operation}: expect names {length} statuses; name at most {MAX_EXPECTED}, or \"any\""
                );
            }
            if length == 0 {
                return fail!("{operation}: expect is an empty list; name a status, or \"any\"");
            }
            let listed = (1..=length).map(|at| status(&list.raw_get(at)?, operation));
            listed.collect::<LuaResult<_>>()?
        }
        other => {
            return fail!(
                "{operation}: expect is the name of a status, a list of names or \"any\", not {}",
                shown(other)
            );
        }
    };
    Ok(Expect::Statuses(statuses))
}

fn status(value: &Value, operation: &str) -> LuaResult<NtStatus> {
    if let Value::String(name) = value
        && let Some(status) = NtStatus::from_name(&String::from_utf8_lossy(&name.as_bytes()))
    {
        return Ok(status);
    }
    let what = format!("{operation}: expect");
    let name = text(value, &what)?;
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("STATUS_").unwrap_or(&upper);
    let problem = unknown("status", bare, status_names().map(|(bare, _)| bare));
    let hint = match problem.contains("did you mean") {
        true => "",
        false => "; write a name of MS-ERREF's, such as OBJECT_NAME_NOT_FOUND",
    };
    fail!("{what}: {problem}{hint}")
}

/// Returns the names of the known statuses, without the prefix `STATUS_` and with it.
pub(super) fn status_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    let names = NtStatus::KNOWN.iter().filter_map(|status| status.name());
    names.map(|name| (name.strip_prefix("STATUS_").unwrap_or(name), name))
}

/// Returns the payload of a write of `length` bytes.
pub(super) fn payload(
    [pattern, blob]: [Value; 2],
    length: u64,
    host: &ScriptHost,
) -> LuaResult<Payload> {
    match (pattern, blob) {
        (Value::Nil, Value::Nil) => Ok(Payload::Pattern(Pattern::Random)),
        (Value::Nil, blob) => {
            let path = text(&blob, "write: blob, the name of a file,")?;
            let payload = match host.blobs.borrow_mut().as_mut() {
                Some(blobs) => blobs.payload(&path, length),
                None => Err(format!("cannot be read: {NO_FILES}")),
            };
            payload.map_err(|problem| fault(format!("write: blob {} {problem}", shown(&blob))))
        }
        (word, Value::Nil) => pattern_of(&word).map(Payload::Pattern),
        _ => Err(fault("write: give either payload or blob, not both")),
    }
}

fn pattern_of(word: &Value) -> LuaResult<Pattern> {
    const PATTERNS: [(&str, Pattern); 3] =
        [("zero", Pattern::Zero), ("random", Pattern::Random), ("text", Pattern::Text)];
    if let Value::String(word) = word
        && let Some((_, pattern)) = PATTERNS.iter().find(|(name, _)| word == name)
    {
        return Ok(*pattern);
    }
    match text(word, "write: payload")?.as_str() {
        "blob" => Err(fault("write: for the bytes of a file write blob = \"name\"")),
        word => {
            let names = PATTERNS.iter().map(|(name, _)| *name);
            fail!("write: {}", unknown("payload", word, names))
        }
    }
}

/// Returns the CREATE parameters that the options of `c:open` set beyond the mode, and the expected
/// outcome.
pub(super) fn create(value: &Value) -> LuaResult<(Option<CreateParameters>, Expect)> {
    let mut parameters = CreateParameters::default();
    let mut expected = Expect::Default;
    each(value, "open", |name, value| {
        if name == b"expect" {
            expected = expect(&value, "open")?;
            return Ok(());
        }
        let Some(key) = create::keys().find(|key| key.as_bytes() == name) else {
            return Err(no_create_key(&String::from_utf8_lossy(name)));
        };
        if key == "on_break" {
            parameters.on_break = Some(on_break::of_open(&value)?);
            return Ok(());
        }
        let set = match &value {
            Value::Integer(number) => parameters.set(key, ParameterValue::Number(*number as f64)),
            Value::Number(number) => parameters.set(key, ParameterValue::Number(*number)),
            Value::String(text) if text.as_bytes().len() < MAX_HELD => {
                let text = text.as_bytes();
                parameters.set(key, ParameterValue::Text(&String::from_utf8_lossy(&text)))
            }
            other => {
                let mut left = MAX_HELD;
                let written = json(other, 0, &mut left)
                    .map_err(|problem| fault(format!("open: {key}: {problem}")))?;
                parameters.set(key, ParameterValue::from(&written))
            }
        };
        match set {
            // `Unknown` cannot happen: the key is one of those known.
            Ok(Set::Honoured | Set::Unknown { .. }) => Ok(()),
            Err(error) => fail!("open: {error}"),
        }
    })?;
    Ok(((!parameters.is_empty()).then_some(parameters), expected))
}

fn no_create_key(name: &str) -> LuaError {
    if let Some(here) = OPEN_OPTIONS.find(name) {
        return fault(format!("open: unknown option '{name}': here it is '{here}'"));
    }
    fault(format!("open: {}", unknown("option", name, create::keys().chain(["expect"]))))
}

/// Returns a table as documents write it. `left` is the size that may still be used.
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
    *left = left.checked_sub(held).ok_or_else(|| {
        format!("the option is too large; at most {} KiB are possible", MAX_HELD >> 10)
    })?;
    Ok(())
}
