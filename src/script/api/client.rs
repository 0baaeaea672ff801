//! The object `c`: each method appends one operation to the client's stream.
//!
//! Arguments are positional and arrive as plain values, because making an operation must stay far
//! cheaper than carrying it out.

use std::rc::Rc;
use std::sync::Arc;

use mlua::{
    FromLuaMulti, Function, IntoLua, IntoLuaMulti, Lua, Result as LuaResult, UserDataFields,
    UserDataMethods, UserDataRegistry, Value,
};

use super::super::boundary::cross;
use super::super::client::ScriptClient;
use super::super::host::ScriptHost;
use super::super::members::CLIENT_METHODS;
use super::super::values::{LARGEST_EXACT, bool_or, computed_ns, fail, fault, shown, size, text};
use super::mapped_operation::is_mapped_operation;
use super::options::{common, create, payload};
use super::paths::{below_root, of, path};
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

/// The Lua object of a client.
pub(in crate::script) struct ClientObject {
    /// The client's index over all clients of the stream.
    pub index: u32,
    /// The number of the stage, if it is the `emit` of a function of `bench.map`.
    pub stage: Option<u32>,
}

impl ClientObject {
    fn stands_for(&self, client: &ScriptClient) -> bool {
        let stage = client.mapping.as_ref().map(|mapping| mapping.number);
        (self.index, self.stage) == (client.identity.index, stage)
    }
}

/// Offsets below this are exact as Lua numbers.
const MAX_EXACT_OFFSET: i64 = LARGEST_EXACT as i64;

type Arguments = (Value, Value, Value, Value);

/// Registers the type of `c`. `step` is the method of that name.
///
/// Luau calls the methods of a type directly, if all of them are Rust functions. `step` is not, so
/// a script that may call it (`uses_steps`) has its methods looked up by name, which takes longer.
pub(super) fn register(
    lua: &Lua,
    host: &Rc<ScriptHost>,
    step: Function,
    uses_steps: bool,
) -> LuaResult<()> {
    lua.register_userdata_type::<ClientObject>(|registry| {
        registry.add_meta_method("__tostring", |_, _, ()| Ok("client"));
        registry.add_meta_method("__index", |_, _, name: Value| {
            no_field(&name, Some(CLIENT_METHODS.as_slice()))
        });
        registry.add_meta_method("__newindex", |_, _, (name, _): (Value, Value)| {
            refuse_to_set(&name, "a client", KEEP_BY_CLIENT)
        });
        registry.add_meta_field("__type", "client");
        let owner = Rc::clone(host);
        registry.add_meta_method("__call", move |_, object, given: Value| {
            if !is_mapped_operation(&given) {
                return fail!(
                    "emit takes the operation that the function was given: emit(op); others are made with emit:stat(path) and the like, not with {}",
                    shown(&given)
                );
            }
            active(&owner, object, |client| client.emit_mapped().map_err(fault))
        });
        fields(registry, host);
        timing(registry, host);
        open(registry, host);
        on_handles(registry, host);
        on_paths(registry, host);
        registry.add_field("step", step);
        if !uses_steps {
            registry.enable_namecall();
        }
    })
}

/// Calls `body` with the client whose stream is being made, if `object` stands for it.
pub(super) fn active<R>(
    host: &ScriptHost,
    object: &ClientObject,
    body: impl FnOnce(&mut ScriptClient) -> LuaResult<R>,
) -> LuaResult<R> {
    host.callback(|| match host.client.borrow_mut().as_mut() {
        Some(client) if object.stands_for(client) => body(client),
        Some(_) => Err(fault(
            "this is another client's object; use the one that was passed to setup, iteration or teardown, or to the function of bench.map",
        )),
        None => Err(fault("clients can act in setup, iteration and teardown only")),
    })
}

type Registry = UserDataRegistry<ClientObject>;

/// Registers a field of the client.
fn field<R>(registry: &mut Registry, host: &Rc<ScriptHost>, name: &str, get: fn(&ScriptClient) -> R)
where
    R: IntoLua + 'static,
{
    let host = Rc::clone(host);
    registry.add_field_method_get(name, move |_, object| {
        active(&host, object, |client| Ok(get(client)))
    });
}

/// Registers a method of the client.
fn method<A, R, F>(registry: &mut Registry, host: &Rc<ScriptHost>, name: &str, body: F)
where
    A: FromLuaMulti,
    R: IntoLuaMulti,
    F: Fn(&ScriptHost, &mut ScriptClient, A) -> LuaResult<R> + 'static,
{
    let host = Rc::clone(host);
    registry.add_method(name, move |lua, object, arguments: A| {
        active(&host, object, |client| {
            let result = body(&host, client, arguments);
            client.note_line(|| host.line(lua));
            result
        })
    });
}

/// Registers a method that makes one operation.
fn operation<K, F>(registry: &mut Registry, host: &Rc<ScriptHost>, name: &'static str, body: F)
where
    K: Into<OperationKind>,
    F: Fn(&ScriptHost, &mut ScriptClient, Arguments) -> LuaResult<(K, Expect)> + 'static,
{
    method(registry, host, name, move |host, client, arguments| {
        let (kind, expect) = body(host, client, arguments)?;
        emit(host, client, name, kind.into(), expect)
    });
}

/// Registers a method that makes one operation on the handle that is its first argument.
fn on_handle<K, F>(registry: &mut Registry, host: &Rc<ScriptHost>, name: &'static str, body: F)
where
    K: Into<HandleOperation>,
    F: Fn(&ScriptHost, (Value, Value, Value)) -> LuaResult<(K, Expect)> + 'static,
{
    operation(registry, host, name, move |host, client, (handle, first, second, third)| {
        let handle_ref = handle_of(client, &handle, name)?;
        let (kind, expect) = body(host, (first, second, third))?;
        let kind = kind.into();
        if matches!(kind, HandleOperation::Close) {
            client.handles.close(handle_ref);
        }
        Ok((kind.on(handle_ref), expect))
    });
}

fn fields(registry: &mut Registry, host: &Rc<ScriptHost>) {
    field(registry, host, "id", |client| client.identity.id);
    field(registry, host, "user", |client| client.identity.user());
    field(registry, host, "iteration", |client| client.iteration);
}

fn timing(registry: &mut Registry, host: &Rc<ScriptHost>) {
    method(registry, host, "think", |_, client, time: Value| {
        client.think(computed_ns(&time, "think")?).map_err(fault)
    });
    method(registry, host, "at", |_, client, time: Value| {
        client.at(computed_ns(&time, "at")?).map_err(fault)
    });
    let owner = Rc::clone(host);
    registry.add_method("running", move |_, object, ()| {
        active(&owner, object, |_| Ok(()))?;
        owner.callback(|| cross(&owner, ScriptClient::running))
    });
}

fn open(registry: &mut Registry, host: &Rc<ScriptHost>) {
    let open = |host: &ScriptHost,
                client: &mut ScriptClient,
                (name, mode, options): (Value, Value, Value)| {
        let path = path(&name, "open")?;
        let (mode, disposition) = open_mode(&mode)?;
        let (extensions, expect) = create(&options)?;
        let extensions = extensions.map(Arc::new);
        let (handle_ref, handle) = client.handles.open().map_err(|error| of("open", error))?;
        let open = OpenOperation { path, mode, disposition, handle_ref, extensions };
        emit(host, client, "open", open.into(), expect)?;
        Ok(Value::LightUserData(handle))
    };
    method(registry, host, "open", open);
}

fn on_handles(registry: &mut Registry, host: &Rc<ScriptHost>) {
    on_handle(registry, host, "read", |_, (offset, length, options)| {
        let (offset, length) = transfer(&offset, &length, "read")?;
        Ok((HandleOperation::Read { offset, length }, expect_alone(&options, "read")?))
    });
    on_handle(registry, host, "write", |host, (offset, length, options)| {
        if let Value::String(text) = &length
            && parse_size(&text.to_string_lossy()).is_err()
        {
            return fail!(
                "write: length is a number of bytes, such as 4096 or \"64KiB\", not {}; choose the data with the option payload or blob",
                shown(&length)
            );
        }
        let (offset, length) = transfer(&offset, &length, "write")?;
        let (bytes, expect) = common(&options, "write", ["payload", "blob"])?;
        let payload = payload(bytes, length, host)?;
        if let Payload::Pattern(pattern) = payload {
            pattern.prepare();
        }
        Ok((HandleOperation::Write { offset, length, payload }, expect))
    });
    on_handle(registry, host, "close", |_, (options, ..)| {
        Ok((HandleOperation::Close, expect_alone(&options, "close")?))
    });
    on_handle(registry, host, "truncate", |_, (to, options, _)| {
        let to = size(&to, "truncate: size")?;
        if to > MAX_FILE_BYTES {
            return fail!("truncate: {to} bytes are more than the largest file has (2^63 - 1)");
        }
        Ok((FileControl::Truncate { size: to }, expect_alone(&options, "truncate")?))
    });
    on_handle(registry, host, "flush", |_, (options, ..)| {
        Ok((FileControl::Flush, expect_alone(&options, "flush")?))
    });
    on_handle(registry, host, "lock", |_, (offset, length, options)| {
        let (offset, length) = (size(&offset, "lock: offset")?, size(&length, "lock: length")?);
        let ([exclusive, wait], expect) = common(&options, "lock", ["exclusive", "wait"])?;
        let exclusive = bool_or(&exclusive, "lock", "exclusive", true)?;
        let wait = bool_or(&wait, "lock", "wait", false)?;
        Ok((FileControl::Lock { offset, length, exclusive, wait }, expect))
    });
    on_handle(registry, host, "unlock", |_, (offset, length, options)| {
        let (offset, length) = (size(&offset, "unlock: offset")?, size(&length, "unlock: length")?);
        Ok((FileControl::Unlock { offset, length }, expect_alone(&options, "unlock")?))
    });
}

fn on_paths(registry: &mut Registry, host: &Rc<ScriptHost>) {
    operation(registry, host, "rename", |_, _, (from, to, options, _)| {
        let source_path = below_root(&from, "rename")?;
        let dest_path = below_root(&to, "rename")?;
        let ([replace], expect) = common(&options, "rename", ["replace"])?;
        let replace = bool_or(&replace, "rename", "replace", true)?;
        Ok((PathOperation::Rename { source_path, dest_path, replace }, expect))
    });
    type OnPath = fn(SharePath) -> PathOperation;
    let below_the_root: [(&'static str, OnPath); 3] = [
        ("delete", |path| PathOperation::Delete { path }),
        ("mkdir", |path| PathOperation::Mkdir { path }),
        ("rmdir", |path| PathOperation::Rmdir { path }),
    ];
    for (method, kind) in below_the_root {
        operation(registry, host, method, move |_, _, (name, options, ..)| {
            let path = below_root(&name, method)?;
            Ok((kind(path), expect_alone(&options, method)?))
        });
    }
    operation(registry, host, "stat", |_, _, (name, options, ..)| {
        let path = path(&name, "stat")?;
        Ok((PathOperation::Stat { path }, expect_alone(&options, "stat")?))
    });
    operation(registry, host, "list", |_, _, (name, pattern, options, _)| {
        if let Value::String(name) = &name
            && name.as_bytes().contains(&b'*')
        {
            return fail!("list: the pattern follows the directory: c:list(\"docs\", \"*.docx\")");
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
        Ok((PathOperation::List { path, pattern }, expect_alone(&options, "list")?))
    });
}

/// Returns the option `expect` of an operation that has no other.
fn expect_alone(options: &Value, operation: &str) -> LuaResult<Expect> {
    common(options, operation, []).map(|([], expect)| expect)
}

fn emit(
    host: &ScriptHost,
    client: &mut ScriptClient,
    name: &str,
    kind: OperationKind,
    expect: Expect,
) -> LuaResult<()> {
    if client.emit(kind, expect, &host.operation_memory).map_err(|error| of(name, error))? {
        host.leave_soon();
    }
    Ok(())
}

fn handle_of(client: &ScriptClient, value: &Value, operation: &str) -> LuaResult<HandleRef> {
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
    fail!(
        "open: the mode is \"r\" (an existing file), \"w\" (emptied or created) or \"rw\" (opened or created), not {}",
        shown(value)
    )
}

/// Returns the offset and the length of a read or write.
fn transfer(offset: &Value, length: &Value, operation: &str) -> LuaResult<(u64, u64)> {
    if length.is_nil() {
        return fail!(
            "{operation}: it takes a handle, an offset and a length, such as c:{operation}(h, 0, 4096)"
        );
    }
    let what = |field: &str| format!("{operation}: {field}");
    // The names for errors are made only when they are needed: this runs for most operations.
    let offset = match offset {
        Value::Integer(offset @ 0..MAX_EXACT_OFFSET) => *offset as u64,
        offset => size(offset, &what("offset"))?,
    };
    let length = match length {
        Value::Integer(length) if (0..=MAX_IO_BYTES as i64).contains(length) => *length as u64,
        length => size(length, &what("length"))?,
    };
    if length > MAX_IO_BYTES {
        return fail!(
            "{operation}: length is {length}; one {operation} carries at most 64 MiB ({MAX_IO_BYTES})"
        );
    }
    // Locks may be beyond the largest file, but reads and writes may not.
    match offset.checked_add(length) {
        Some(end) if end <= MAX_FILE_BYTES => Ok((offset, length)),
        _ => fail!(
            "{operation}: offset {offset} plus length {length} is beyond the largest file (2^63 - 1 bytes)"
        ),
    }
}

fn wildcards(value: &Value) -> LuaResult<Arc<str>> {
    let pattern = text(value, "list: the pattern")?;
    let forbidden = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':' | '|');
    let length = pattern.encode_utf16().count();
    if length == 0 || length > 255 || pattern.contains(forbidden) {
        return fail!(
            "list: {} is no pattern; write a name with * and ?, such as \"*.docx\"",
            shown(value)
        );
    }
    Ok(pattern.into())
}
