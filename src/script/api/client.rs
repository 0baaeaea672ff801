//! The object `c`: each method appends one operation to the client's stream.
//!
//! Arguments are positional and arrive as plain values, because making an operation must stay far
//! cheaper than carrying it out.

use std::rc::Rc;
use std::sync::Arc;

use mlua::{Lua, Result as LuaResult, UserDataFields, UserDataMethods, UserDataRegistry, Value};

use super::super::client::Client;
use super::super::host::Host;
use super::super::members::CLIENT_METHODS;
use super::super::open_loop::cross;
use super::super::values::{bool_or, computed_ns, fault, shown, size, text};
use super::options::{common, create, payload};
use super::registration::{KEEP_BY_CLIENT, no_field, refuse_to_set};
use crate::ir::operation::MAX_FILE_BYTES;
use crate::ir::payload::MAX_IO_BYTES;
use crate::ir::units::parse_size;
use crate::ir::{
    Expect, FileControl, HandleOperation, HandleRef, OpenMode, OpenOperation, OperationKind,
    PathOperation, Payload,
};
use crate::protocol::SharePath;
use crate::protocol::create::CreateDisposition;

/// The Lua object of a client: its index over all clients of the stream.
pub(in crate::script) struct ClientObject(pub u32);

type Arguments = (Value, Value, Value, Value);

pub(super) fn register(lua: &Lua, host: &Rc<Host>) -> LuaResult<()> {
    lua.register_userdata_type::<ClientObject>(|registry| {
        registry.add_meta_method("__tostring", |_, _, ()| Ok("client"));
        registry.add_meta_method("__index", |_, _, name: Value| {
            no_field(&name, Some(CLIENT_METHODS.as_slice()))
        });
        registry.add_meta_method("__newindex", |_, _, (name, _): (Value, Value)| {
            refuse_to_set(&name, "a client", KEEP_BY_CLIENT)
        });
        registry.add_meta_field("__type", "client");
        fields(registry, host);
        timing(registry, host);
        open(registry, host);
        on_handles(registry, host);
        on_paths(registry, host);
        registry.enable_namecall();
    })
}

/// Calls `body` with the client whose stream is being made, if `object` stands for it.
fn active<R>(
    host: &Host,
    object: &ClientObject,
    body: impl FnOnce(&mut Client) -> LuaResult<R>,
) -> LuaResult<R> {
    host.callback(|| match host.client.borrow_mut().as_mut() {
        Some(client) if client.identity.index == object.0 => body(client),
        Some(_) => Err(fault(
            "this is another client's object; use the one that setup, iteration or teardown was given",
        )),
        None => Err(fault("clients act in setup, iteration and teardown only")),
    })
}

fn fields(registry: &mut UserDataRegistry<ClientObject>, host: &Rc<Host>) {
    let owner = Rc::clone(host);
    registry.add_field_method_get("id", move |_, object| {
        active(&owner, object, |client| Ok(client.identity.id))
    });
    let owner = Rc::clone(host);
    registry.add_field_method_get("user", move |_, object| {
        active(&owner, object, |client| Ok(client.identity.user()))
    });
    let owner = Rc::clone(host);
    registry.add_field_method_get("iteration", move |_, object| {
        active(&owner, object, |client| Ok(client.iteration))
    });
}

fn timing(registry: &mut UserDataRegistry<ClientObject>, host: &Rc<Host>) {
    let owner = Rc::clone(host);
    registry.add_method("think", move |_, object, time: Value| {
        active(&owner, object, |client| client.think(computed_ns(&time, "think")?).map_err(fault))
    });
    let owner = Rc::clone(host);
    registry.add_method("at", move |_, object, time: Value| {
        active(&owner, object, |client| client.at(computed_ns(&time, "at")?).map_err(fault))
    });
    let owner = Rc::clone(host);
    registry.add_method("running", move |_, object, ()| {
        active(&owner, object, |_| Ok(()))?;
        owner.callback(|| cross(&owner, Client::running))
    });
}

fn open(registry: &mut UserDataRegistry<ClientObject>, host: &Rc<Host>) {
    let owner = Rc::clone(host);
    registry.add_method("open", move |_, object, (name, mode, options): (Value, Value, Value)| {
        active(&owner, object, |client| {
            let path = path(&name, "open")?;
            let (mode, disposition) = open_mode(&mode)?;
            let (extensions, expect) = create(&options)?;
            let extensions = extensions.map(Arc::new);
            let (handle_ref, handle) = client.handles.open().map_err(|error| of("open", error))?;
            let open = OpenOperation { path, mode, disposition, handle_ref, extensions };
            emit(&owner, client, "open", open.into(), expect)?;
            Ok(Value::LightUserData(handle))
        })
    });
}

fn on_handles(registry: &mut UserDataRegistry<ClientObject>, host: &Rc<Host>) {
    operation(registry, host, "read", |client, (handle, offset, length, options)| {
        let handle_ref = handle_of(client, &handle, "read")?;
        where_and_how_much(&length, "read")?;
        let offset = size(&offset, "read: offset")?;
        let length = io_length(&length, "read")?;
        inside_a_file(offset, length, "read")?;
        let (_, expect) = common(&options, "read", [])?;
        Ok((HandleOperation::Read { offset, length }.on(handle_ref), expect))
    });
    let owner = Rc::clone(host);
    operation(registry, host, "write", move |client, (handle, offset, length, options)| {
        let handle_ref = handle_of(client, &handle, "write")?;
        where_and_how_much(&length, "write")?;
        let offset = size(&offset, "write: offset")?;
        if let Value::String(text) = &length
            && parse_size(&text.to_string_lossy()).is_err()
        {
            return Err(of(
                "write",
                format!(
                    "length is how many bytes, such as 4096 or \"64KiB\", not {}; choose what is written with the option payload or blob",
                    shown(&length)
                ),
            ));
        }
        let length = io_length(&length, "write")?;
        inside_a_file(offset, length, "write")?;
        let (bytes, expect) = common(&options, "write", ["payload", "blob"])?;
        let payload = payload(bytes, length, &owner)?;
        if let Payload::Pattern(pattern) = payload {
            pattern.prepare();
        }
        Ok((HandleOperation::Write { offset, length, payload }.on(handle_ref), expect))
    });
    operation(registry, host, "close", |client, (handle, options, ..)| {
        let handle_ref = handle_of(client, &handle, "close")?;
        let (_, expect) = common(&options, "close", [])?;
        client.handles.close(handle_ref);
        Ok((HandleOperation::Close.on(handle_ref), expect))
    });
    operation(registry, host, "truncate", |client, (handle, to, options, _)| {
        let handle_ref = handle_of(client, &handle, "truncate")?;
        let to = size(&to, "truncate: size")?;
        if to > MAX_FILE_BYTES {
            return Err(of(
                "truncate",
                format!("{to} bytes are more than the largest file has (2^63 - 1)"),
            ));
        }
        let (_, expect) = common(&options, "truncate", [])?;
        Ok((FileControl::Truncate { size: to }.on(handle_ref), expect))
    });
    operation(registry, host, "flush", |client, (handle, options, ..)| {
        let handle_ref = handle_of(client, &handle, "flush")?;
        let (_, expect) = common(&options, "flush", [])?;
        Ok((FileControl::Flush.on(handle_ref), expect))
    });
    operation(registry, host, "lock", |client, (handle, offset, length, options)| {
        let handle_ref = handle_of(client, &handle, "lock")?;
        let offset = size(&offset, "lock: offset")?;
        let length = size(&length, "lock: length")?;
        let ([exclusive, wait], expect) = common(&options, "lock", ["exclusive", "wait"])?;
        let exclusive = bool_or(&exclusive, "lock", "exclusive", true)?;
        let wait = bool_or(&wait, "lock", "wait", false)?;
        Ok((FileControl::Lock { offset, length, exclusive, wait }.on(handle_ref), expect))
    });
    operation(registry, host, "unlock", |client, (handle, offset, length, options)| {
        let handle_ref = handle_of(client, &handle, "unlock")?;
        let offset = size(&offset, "unlock: offset")?;
        let length = size(&length, "unlock: length")?;
        let (_, expect) = common(&options, "unlock", [])?;
        Ok((FileControl::Unlock { offset, length }.on(handle_ref), expect))
    });
}

fn on_paths(registry: &mut UserDataRegistry<ClientObject>, host: &Rc<Host>) {
    operation(registry, host, "rename", |_, (from, to, options, _)| {
        let source_path = below_root(&from, "rename")?;
        let dest_path = below_root(&to, "rename")?;
        let ([replace], expect) = common(&options, "rename", ["replace"])?;
        let replace = bool_or(&replace, "rename", "replace", true)?;
        Ok((PathOperation::Rename { source_path, dest_path, replace }, expect))
    });
    operation(registry, host, "delete", |_, (name, options, ..)| {
        let path = below_root(&name, "delete")?;
        let (_, expect) = common(&options, "delete", [])?;
        Ok((PathOperation::Delete { path }, expect))
    });
    operation(registry, host, "mkdir", |_, (name, options, ..)| {
        let path = below_root(&name, "mkdir")?;
        let (_, expect) = common(&options, "mkdir", [])?;
        Ok((PathOperation::Mkdir { path }, expect))
    });
    operation(registry, host, "rmdir", |_, (name, options, ..)| {
        let path = below_root(&name, "rmdir")?;
        let (_, expect) = common(&options, "rmdir", [])?;
        Ok((PathOperation::Rmdir { path }, expect))
    });
    operation(registry, host, "stat", |_, (name, options, ..)| {
        let path = path(&name, "stat")?;
        let (_, expect) = common(&options, "stat", [])?;
        Ok((PathOperation::Stat { path }, expect))
    });
    operation(registry, host, "list", |_, (name, pattern, options, _)| {
        if let Value::String(name) = &name
            && name.as_bytes().contains(&b'*')
        {
            return Err(of("list", "the pattern follows the folder: c:list(\"docs\", \"*.docx\")"));
        }
        let path = path(&name, "list")?;
        let (pattern, options) = match pattern {
            Value::Table(_) if options.is_nil() => (Value::Nil, pattern),
            pattern => (pattern, options),
        };
        let pattern = match pattern {
            Value::Nil => "*".into(),
            value => wildcards(&value)?,
        };
        let (_, expect) = common(&options, "list", [])?;
        Ok((PathOperation::List { path, pattern }, expect))
    });
}

/// Registers a method that makes one operation.
fn operation<F, K>(
    registry: &mut UserDataRegistry<ClientObject>,
    host: &Rc<Host>,
    name: &'static str,
    body: F,
) where
    F: Fn(&mut Client, Arguments) -> LuaResult<(K, Expect)> + 'static,
    K: Into<OperationKind>,
{
    let host = Rc::clone(host);
    registry.add_method(name, move |_, object, arguments: Arguments| {
        active(&host, object, |client| {
            let (kind, expect) = body(client, arguments)?;
            emit(&host, client, name, kind.into(), expect)
        })
    });
}

fn emit(
    host: &Host,
    client: &mut Client,
    name: &str,
    kind: OperationKind,
    expect: Expect,
) -> LuaResult<()> {
    if client.emit(kind, expect, &host.queued).map_err(|error| of(name, error))? {
        host.leave_soon();
    }
    Ok(())
}

fn of(operation: &str, problem: impl std::fmt::Display) -> mlua::Error {
    fault(format!("{operation}: {problem}"))
}

fn handle_of(client: &Client, value: &Value, operation: &str) -> LuaResult<HandleRef> {
    match value {
        Value::LightUserData(handle) => {
            client.handles.find(*handle).map_err(|error| of(operation, error))
        }
        other => Err(of(
            operation,
            format!("{} is not a handle; a handle is what c:open returns", shown(other)),
        )),
    }
}

fn path(value: &Value, operation: &str) -> LuaResult<SharePath> {
    let Value::String(name) = value else {
        return Err(of(operation, format!("the path is a text, not {}", shown(value))));
    };
    let name = name.to_str().map_err(|_| of(operation, "the path is not valid UTF-8"))?;
    if name.starts_with("\\\\") || name.starts_with("//") {
        return Err(of(
            operation,
            format!(
                "{}: paths begin inside the share; --target says server and share",
                shown(value)
            ),
        ));
    }
    SharePath::new(&name).map_err(|error| of(operation, error))
}

fn below_root(value: &Value, operation: &str) -> LuaResult<SharePath> {
    let path = path(value, operation)?;
    if path.is_root() {
        return Err(of(operation, "the path is empty, which is the share itself"));
    }
    Ok(path)
}

/// Returns the access mode for `r`, `w` or `rw`, and the disposition it implies.
fn open_mode(value: &Value) -> LuaResult<(OpenMode, CreateDisposition)> {
    if let Value::String(mode) = value {
        match &*mode.as_bytes() {
            b"r" => return Ok((OpenMode::Read, CreateDisposition::Open)),
            b"w" => return Ok((OpenMode::Write, CreateDisposition::OverwriteIf)),
            b"rw" => return Ok((OpenMode::ReadWrite, CreateDisposition::OpenIf)),
            _ => {}
        }
    }
    Err(fault(format!(
        "open: the mode is \"r\" (an existing file), \"w\" (emptied or created) or \"rw\" (opened or created), not {}",
        shown(value)
    )))
}

fn where_and_how_much(length: &Value, operation: &str) -> LuaResult<()> {
    match length {
        Value::Nil => Err(of(
            operation,
            format!(
                "a handle, an offset and a length are wanted, such as c:{operation}(h, 0, 4096)"
            ),
        )),
        _ => Ok(()),
    }
}

fn io_length(value: &Value, operation: &str) -> LuaResult<u64> {
    // The message is made only when it is needed: this runs for most operations.
    let length = match value {
        Value::Integer(length) if (0..=MAX_IO_BYTES as i64).contains(length) => *length as u64,
        value => size(value, &format!("{operation}: length"))?,
    };
    if length > MAX_IO_BYTES {
        return Err(of(
            operation,
            format!("length is {length}; one {operation} carries at most 64 MiB ({MAX_IO_BYTES})"),
        ));
    }
    Ok(length)
}

/// Refuses a range beyond the largest file. Locks may be anywhere.
fn inside_a_file(offset: u64, length: u64, operation: &str) -> LuaResult<()> {
    match offset.checked_add(length) {
        Some(end) if end <= MAX_FILE_BYTES => Ok(()),
        _ => Err(of(
            operation,
            format!(
                "offset {offset} plus length {length} is beyond the largest file (2^63 - 1 bytes)"
            ),
        )),
    }
}

fn wildcards(value: &Value) -> LuaResult<Arc<str>> {
    let pattern = text(value, "list: the pattern")?;
    let forbidden = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':' | '|');
    let length = pattern.encode_utf16().count();
    if length == 0 || length > 255 || pattern.contains(forbidden) {
        return Err(fault(format!(
            "list: {} is no pattern; write a name with * and ?, such as \"*.docx\"",
            shown(value)
        )));
    }
    Ok(pattern.into())
}
