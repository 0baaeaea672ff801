//! Operations as read-only Lua tables.

use std::collections::HashMap;

use mlua::{Lua, Result as LuaResult, Table, Value};

use crate::ir::document::line::{DocumentLine, HandleName};
use crate::ir::{OpenMode, Operation, Section};
use crate::protocol::SharePath;
use crate::script::json_tables::read_only;
use crate::script::values::fault;

/// Maximum number of operations that a test is given in one list.
pub(super) const MAX_OPERATIONS: usize = 100_000;

/// A list of operations that is being made.
pub(super) struct OperationList {
    list: Table,
    /// The `file:line` that made each operation, where it is known.
    lines: Table,
    length: usize,
    /// The path of each open handle, by client.
    paths: HashMap<(u32, u32), SharePath>,
}

/// The name of the field, in the metatable of a list, that has the lines of its operations.
const LINES: &str = "lines";

impl OperationList {
    pub fn new(lua: &Lua) -> LuaResult<OperationList> {
        let (list, lines) = (lua.create_table()?, lua.create_table()?);
        Ok(OperationList { list, lines, length: 0, paths: HashMap::new() })
    }

    /// Adds an operation of the client with this name.
    pub fn add(
        &mut self,
        lua: &Lua,
        operation: &Operation,
        client: &str,
        line: Option<&str>,
    ) -> LuaResult<()> {
        self.length += 1;
        let table = self.table(lua, operation, client)?;
        self.list.raw_set(self.length, table)?;
        if let Some(line) = line {
            self.lines.raw_set(self.length, line)?;
        }
        Ok(())
    }

    /// Returns the list, which cannot be changed.
    pub fn finish(self, lua: &Lua) -> LuaResult<Table> {
        let metatable = lua.create_table()?;
        metatable.raw_set(LINES, self.lines)?;
        metatable.raw_set("__metatable", false)?;
        metatable.set_readonly(true);
        self.list.set_metatable(Some(metatable))?;
        self.list.set_readonly(true);
        Ok(self.list)
    }

    fn table(&mut self, lua: &Lua, operation: &Operation, client: &str) -> LuaResult<Table> {
        let table = lua.create_table_with_capacity(0, 12)?;
        let line = DocumentLine::from_operation(operation);
        table.raw_set("kind", operation.operation_type().name())?;
        table.raw_set("client", client)?;
        table.raw_set("section", section_name(operation.section))?;
        table.raw_set("iteration", operation.iteration)?;
        table.raw_set("step", operation.step.as_ref().map(|step| &*step.name))?;
        let number = |value: Option<u64>| value.map(|value| value as f64);
        table.raw_set("at", number(line.at_ns))?;
        table.raw_set("after", number(line.after_ns))?;
        table.raw_set("path", self.path(operation))?;
        table.raw_set("dest", line.dest_path.as_deref())?;
        if let Some(HandleName::Number(handle)) = line.handle_ref {
            table.raw_set("handle", handle)?;
        }
        table.raw_set("mode", line.mode.map(mode_name))?;
        table.raw_set("disposition", line.disposition.as_deref())?;
        table.raw_set("offset", number(line.offset))?;
        table.raw_set("length", number(line.length))?;
        table.raw_set("size", number(line.size))?;
        table.raw_set("pattern", line.pattern.as_deref())?;
        table.raw_set("exclusive", line.exclusive)?;
        table.raw_set("wait", line.wait)?;
        table.raw_set("replace", line.replace)?;
        table.raw_set("blob", line.blob_path.as_deref())?;
        let json = |name: &str, value: Result<serde_json::Value, _>| {
            let value = value.map_err(|error: serde_json::Error| fault(error))?;
            table.raw_set(name, read_only(lua, &value)?)
        };
        json("payload", serde_json::to_value(line.payload))?;
        json("expect", serde_json::to_value(&line.expect))?;
        let extensions = line.extensions.as_ref().and_then(|all| all.get("smb"));
        json("extensions", Ok(extensions.cloned().unwrap_or_default()))?;
        table.set_readonly(true);
        Ok(table)
    }

    /// Returns the path that the operation names, or that the open of its handle named.
    fn path(&mut self, operation: &Operation) -> Option<String> {
        let own = operation.kind.path().cloned();
        let handle = operation.kind.handle_ref().map(|handle| (operation.client_idx, handle.0));
        let path = match (own, handle) {
            (Some(path), Some(handle)) => {
                self.paths.insert(handle, path.clone());
                Some(path)
            }
            (None, Some(handle)) => self.paths.get(&handle).cloned(),
            (own, None) => own,
        };
        path.map(|path| path.as_str().to_string())
    }
}

/// Returns the `file:line` that made the operation with this number, if the list has it.
pub(super) fn line_of(list: &Table, number: usize) -> Option<String> {
    let lines: Table = list.metatable()?.raw_get(LINES).ok()?;
    lines.raw_get::<Option<String>>(number).ok()?
}

pub(super) fn section_name(section: Section) -> &'static str {
    match section {
        Section::Setup => "setup",
        Section::Iteration => "iteration",
        Section::Teardown => "teardown",
    }
}

fn mode_name(mode: OpenMode) -> &'static str {
    match mode {
        OpenMode::Read => "r",
        OpenMode::Write => "w",
        OpenMode::ReadWrite => "rw",
    }
}

/// Returns an option that is the name of a section.
pub(super) fn section_named(value: &Value) -> Option<Section> {
    let Value::String(name) = value else { return None };
    [Section::Setup, Section::Iteration, Section::Teardown]
        .into_iter()
        .find(|section| section_name(*section).as_bytes() == &*name.as_bytes())
}
