//! The check that a list of operations closes each handle exactly once and uses none that is not
//! open.

use std::collections::BTreeMap;

use mlua::{Result as LuaResult, Table, Value};

use super::operation_tables::line_of;
use crate::script::values::{fault, shown, table};

/// A handle's number within a client.
type HandleKey = (String, i64);

/// The state of a handle's number.
enum HandleUse {
    /// It is open since this operation.
    Open(usize),
    /// It was closed last by this operation.
    Closed(usize),
}

/// Returns the first operation that breaks the balance of a list of operations, in words; None if
/// each open is closed once and nothing else is used.
///
/// # Errors
/// The value is no list of operations.
pub(super) fn imbalance(value: &Value) -> LuaResult<Option<String>> {
    let list = table(value, "to_be_balanced: expect")?;
    let mut handles: BTreeMap<HandleKey, HandleUse> = BTreeMap::new();
    for number in 1..=list.raw_len() {
        let operation = OperationView::of(&list, number)?;
        let Some(handle) = operation.handle else { continue };
        let key = (operation.client.clone(), handle);
        let place = operation.described();
        match (operation.kind.as_str(), handles.get(&key)) {
            ("open", Some(HandleUse::Open(first))) => {
                let first = OperationView::of(&list, *first)?.described();
                return Ok(Some(format!(
                    "{first} is never closed; {place} uses the number {handle} of its handle again"
                )));
            }
            ("open", _) => drop(handles.insert(key, HandleUse::Open(number))),
            ("close", Some(HandleUse::Open(_))) => {
                handles.insert(key, HandleUse::Closed(number));
            }
            (_, Some(HandleUse::Open(_))) => {}
            (_, Some(HandleUse::Closed(last))) => {
                let last = OperationView::of(&list, *last)?.described();
                return Ok(Some(format!("{place} uses handle {handle}, which {last} has closed")));
            }
            (_, None) => {
                return Ok(Some(format!(
                    "{place} uses handle {handle}, which no operation of the list has opened"
                )));
            }
        }
    }
    let left = handles.values().filter_map(|handle| match handle {
        HandleUse::Open(first) => Some(*first),
        HandleUse::Closed(_) => None,
    });
    let Some(first) = left.clone().min() else { return Ok(None) };
    let open = OperationView::of(&list, first)?;
    let handle = open.handle.unwrap_or_default();
    let more = match left.count() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Ok(Some(format!("{} is never closed: handle {handle}{more}", open.described())))
}

/// The facts about an operation that the check needs.
struct OperationView {
    number: usize,
    kind: String,
    client: String,
    handle: Option<i64>,
    path: Option<String>,
    line: Option<String>,
}

impl OperationView {
    fn of(list: &Table, number: usize) -> LuaResult<OperationView> {
        let wrong = |value: &Value| {
            fault(format!(
                "to_be_balanced takes a list of operations, such as that of test.record; element {number} is {}",
                shown(value)
            ))
        };
        let value: Value = list.raw_get(number)?;
        let Value::Table(operation) = &value else { return Err(wrong(&value)) };
        let kind: Value = operation.raw_get("kind")?;
        let Value::String(kind) = &kind else { return Err(wrong(&value)) };
        let text = |name: &str| -> Option<String> {
            match operation.raw_get(name) {
                Ok(Value::String(text)) => Some(text.to_string_lossy()),
                _ => None,
            }
        };
        let handle = match operation.raw_get("handle")? {
            Value::Integer(handle) => Some(handle),
            _ => None,
        };
        Ok(OperationView {
            number,
            kind: kind.to_string_lossy(),
            client: text("client").unwrap_or_default(),
            handle,
            path: text("path"),
            line: line_of(list, number),
        })
    }

    /// Returns the operation as a message names it.
    fn described(&self) -> String {
        let path = self.path.as_ref().map_or(String::new(), |path| format!(" of {path:?}"));
        let line = self.line.as_ref().map_or(String::new(), |line| format!(", {line}"));
        format!("the {}{path} (operation {}{line})", self.kind, self.number)
    }
}
