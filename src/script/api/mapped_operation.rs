//! The object `op`: the operation that a function of `bench.map` is given.

use std::rc::Rc;

use mlua::{
    IntoLua, Lua, Result as LuaResult, UserDataFields, UserDataMethods, UserDataRegistry, Value,
};

use super::super::host::ScriptHost;
use super::super::mapping::{Mapped, Mapping};
use super::super::values::{computed_ns, fail, fault, name_of, size};
use super::paths::{below_root, path};
use super::registration::no_field;
use crate::ir::operation::MAX_FILE_BYTES;
use crate::ir::payload::MAX_IO_BYTES;
use crate::ir::{
    Due, FileControl, HandleOperation, OpenMode, Operation, OperationKind, PathOperation, Section,
};

/// The object `op`: the operation that the function is given. One object serves the whole VM.
pub(super) struct MappedObject;

/// The fields of `op`.
const FIELDS: [&str; 18] = [
    "kind",
    "client",
    "section",
    "iteration",
    "step",
    "id",
    "path",
    "dest",
    "handle",
    "mode",
    "offset",
    "length",
    "size",
    "pattern",
    "exclusive",
    "replace",
    "at",
    "after",
];

/// Returns whether a value is the object `op`.
pub(super) fn is_mapped_operation(value: &Value) -> bool {
    matches!(value, Value::UserData(object) if object.is::<MappedObject>())
}

/// Registers the type of `op`.
pub(super) fn register(lua: &Lua, host: &Rc<ScriptHost>) -> LuaResult<()> {
    lua.register_userdata_type::<MappedObject>(|registry| {
        registry.add_meta_method("__tostring", |_, _, ()| Ok("operation"));
        registry.add_meta_method("__index", |_, _, name: Value| -> LuaResult<()> {
            no_field(&name, Some(&FIELDS))
        });
        registry.add_meta_method(
            "__newindex",
            |_, _, (name, _): (Value, Value)| -> LuaResult<()> {
                fail!(
                    "op.{} cannot be set; path, dest, offset, length, size, at and after can",
                    name_of(&name)
                )
            },
        );
        registry.add_meta_field("__type", "operation");
        places(registry, host);
        arguments(registry, host);
        times(registry, host);
    })
}

type Registry = UserDataRegistry<MappedObject>;

/// Calls `body` with the operation that the function is given.
fn with<R>(
    host: &ScriptHost,
    body: impl FnOnce(&mut Mapped, &str) -> LuaResult<R>,
) -> LuaResult<R> {
    host.callback(|| {
        let mut client = host.client.borrow_mut();
        let mapping = client.as_mut().and_then(|client| client.mapping.as_deref_mut());
        match mapping.and_then(Mapping::current) {
            Some((mapped, name)) => body(mapped, name),
            None => Err(fault("op is used after its function has returned")),
        }
    })
}

/// Registers a field that can be read.
fn get<R>(registry: &mut Registry, host: &Rc<ScriptHost>, name: &str, get: fn(&Mapped, &str) -> R)
where
    R: IntoLua + 'static,
{
    let host = Rc::clone(host);
    registry.add_field_method_get(name, move |_, _| {
        with(&host, |mapped, client| Ok(get(mapped, client)))
    });
}

/// Registers a field that can be set. `set` returns whether operations of this kind have it.
fn set(
    registry: &mut Registry,
    host: &Rc<ScriptHost>,
    name: &'static str,
    set: fn(&mut Operation, &Value) -> LuaResult<bool>,
) {
    let host = Rc::clone(host);
    registry.add_field_method_set(name, move |_, _, value: Value| {
        with(&host, |mapped, _| match set(&mut mapped.operation, &value)? {
            true => Ok(()),
            false => {
                let kind = mapped.operation.operation_type().name();
                fail!("op.{name} cannot be set: {kind} has no {name} of its own")
            }
        })
    });
}

fn places(registry: &mut Registry, host: &Rc<ScriptHost>) {
    get(registry, host, "kind", |mapped, _| mapped.operation.operation_type().name());
    get(registry, host, "client", |_, client| client.to_string());
    get(registry, host, "iteration", |mapped, _| mapped.operation.iteration);
    get(registry, host, "step", |mapped, _| {
        mapped.operation.step.as_ref().map(|step| step.name.to_string())
    });
    get(registry, host, "id", |mapped, _| mapped.operation.op_id());
    get(registry, host, "section", |mapped, _| match mapped.operation.section {
        Section::Setup => "setup",
        Section::Iteration => "iteration",
        Section::Teardown => "teardown",
    });
    get(registry, host, "path", |mapped, _| {
        // A path that the function has set.
        let own = mapped.operation.kind.path().unwrap_or(&mapped.path);
        own.to_string()
    });
    set(registry, host, "path", |operation, value| {
        match &mut operation.kind {
            OperationKind::Open(open) => open.path = path(value, "op.path")?,
            OperationKind::OnHandle(..) => return Ok(false),
            OperationKind::ByPath(operation) => match operation {
                PathOperation::Rename { source_path: path, .. }
                | PathOperation::Delete { path }
                | PathOperation::Mkdir { path }
                | PathOperation::Rmdir { path } => *path = below_root(value, "op.path")?,
                PathOperation::Stat { path: own } | PathOperation::List { path: own, .. } => {
                    *own = path(value, "op.path")?;
                }
            },
        }
        Ok(true)
    });
    get(registry, host, "dest", |mapped, _| match &mapped.operation.kind {
        OperationKind::ByPath(operation) => operation.paths().1.map(ToString::to_string),
        _ => None,
    });
    set(registry, host, "dest", |operation, value| match &mut operation.kind {
        OperationKind::ByPath(PathOperation::Rename { dest_path, .. }) => {
            *dest_path = below_root(value, "op.dest")?;
            Ok(true)
        }
        _ => Ok(false),
    });
}

fn arguments(registry: &mut Registry, host: &Rc<ScriptHost>) {
    get(registry, host, "handle", |mapped, _| mapped.handle.map(Value::LightUserData));
    get(registry, host, "mode", |mapped, _| match &mapped.operation.kind {
        OperationKind::Open(open) => Some(match open.mode {
            OpenMode::Read => "r",
            OpenMode::Write => "w",
            OpenMode::ReadWrite => "rw",
        }),
        _ => None,
    });
    get(registry, host, "offset", |mapped, _| range(&mapped.operation.kind).map(|range| range.0));
    get(registry, host, "length", |mapped, _| range(&mapped.operation.kind).map(|range| range.1));
    set(registry, host, "offset", |operation, value| {
        let Some((_, length, transfers)) = range(&operation.kind) else { return Ok(false) };
        let range = checked_range(size(value, "op.offset")?, length, transfers)?;
        Ok(set_range(&mut operation.kind, range))
    });
    set(registry, host, "length", |operation, value| {
        let Some((offset, _, transfers)) = range(&operation.kind) else { return Ok(false) };
        let range = checked_range(offset, size(value, "op.length")?, transfers)?;
        Ok(set_range(&mut operation.kind, range))
    });
    get(registry, host, "size", |mapped, _| match &mapped.operation.kind {
        OperationKind::OnHandle(_, HandleOperation::Control(FileControl::Truncate { size })) => {
            Some(*size)
        }
        _ => None,
    });
    set(registry, host, "size", |operation, value| match &mut operation.kind {
        OperationKind::OnHandle(
            _,
            HandleOperation::Control(FileControl::Truncate { size: own }),
        ) => {
            *own = size(value, "op.size")?;
            match *own <= MAX_FILE_BYTES {
                true => Ok(true),
                false => {
                    fail!("op.size: {own} bytes are more than the largest file has (2^63 - 1)")
                }
            }
        }
        _ => Ok(false),
    });
    get(registry, host, "pattern", |mapped, _| match &mapped.operation.kind {
        OperationKind::ByPath(PathOperation::List { pattern, .. }) => Some(pattern.to_string()),
        _ => None,
    });
    get(registry, host, "exclusive", |mapped, _| match &mapped.operation.kind {
        OperationKind::OnHandle(
            _,
            HandleOperation::Control(FileControl::Lock { exclusive, .. }),
        ) => Some(*exclusive),
        _ => None,
    });
    get(registry, host, "replace", |mapped, _| match &mapped.operation.kind {
        OperationKind::ByPath(PathOperation::Rename { replace, .. }) => Some(*replace),
        _ => None,
    });
}

fn times(registry: &mut Registry, host: &Rc<ScriptHost>) {
    get(registry, host, "at", |mapped, _| mapped.operation.due.at_ns().map(|ns| ns as f64));
    get(registry, host, "after", |mapped, _| match mapped.operation.due {
        Due::After(ns) => Some(ns as f64),
        Due::At(_) | Due::Arrival { .. } => None,
    });
    set(registry, host, "at", |operation, value| match &mut operation.due {
        Due::At(at_ns) | Due::Arrival { at_ns, .. } => {
            *at_ns = computed_ns(value, "op.at")?;
            Ok(true)
        }
        Due::After(_) => Ok(false),
    });
    set(registry, host, "after", |operation, value| match &mut operation.due {
        Due::After(after_ns) => {
            *after_ns = computed_ns(value, "op.after")?;
            Ok(true)
        }
        Due::At(_) | Due::Arrival { .. } => Ok(false),
    });
}

/// Returns the offset and the length of an operation that has both, and whether it transfers data.
fn range(kind: &OperationKind) -> Option<(u64, u64, bool)> {
    match kind {
        OperationKind::OnHandle(_, HandleOperation::Read { offset, length })
        | OperationKind::OnHandle(_, HandleOperation::Write { offset, length, .. }) => {
            Some((*offset, *length, true))
        }
        OperationKind::OnHandle(_, HandleOperation::Control(control)) => match control {
            FileControl::Lock { offset, length, .. } | FileControl::Unlock { offset, length } => {
                Some((*offset, *length, false))
            }
            FileControl::Truncate { .. } | FileControl::Flush => None,
        },
        _ => None,
    }
}

/// Sets the offset and the length. Returns whether the operation has them.
fn set_range(kind: &mut OperationKind, (new_offset, new_length): (u64, u64)) -> bool {
    match kind {
        OperationKind::OnHandle(_, HandleOperation::Read { offset, length })
        | OperationKind::OnHandle(_, HandleOperation::Write { offset, length, .. })
        | OperationKind::OnHandle(
            _,
            HandleOperation::Control(
                FileControl::Lock { offset, length, .. } | FileControl::Unlock { offset, length },
            ),
        ) => {
            (*offset, *length) = (new_offset, new_length);
            true
        }
        _ => false,
    }
}

/// Checks a range of bytes. Only a lock may be beyond the largest file.
fn checked_range(offset: u64, length: u64, transfers: bool) -> LuaResult<(u64, u64)> {
    if transfers && length > MAX_IO_BYTES {
        return fail!(
            "op.length is {length}; one operation carries at most 64 MiB ({MAX_IO_BYTES})"
        );
    }
    match offset.checked_add(length) {
        Some(end) if end <= MAX_FILE_BYTES || !transfers => Ok((offset, length)),
        None if !transfers => Ok((offset, length)),
        _ => fail!(
            "op: offset {offset} plus length {length} is beyond the largest file (2^63 - 1 bytes)"
        ),
    }
}
