//! One Luau VM.

use std::rc::Rc;

use mlua::chunk::Compiler;
use mlua::{Error as LuaError, Lua, LuaOptions, Result as LuaResult, StdLib, Value};

use super::chunks::load_chunk;
use super::error::ScriptError;
use super::host::ScriptHost;
use super::sandbox;

pub(super) struct Vm {
    pub lua: Lua,
    pub host: Rc<ScriptHost>,
}

impl Vm {
    /// Creates a VM in which only the sandbox and smbench's tables can be reached.
    pub fn new(host: Rc<ScriptHost>) -> Result<Vm, ScriptError> {
        let internal = |error: LuaError| ScriptError::Internal(error.to_string());
        let libraries = StdLib::TABLE
            | StdLib::STRING
            | StdLib::UTF8
            | StdLib::BIT
            | StdLib::BUFFER
            | StdLib::MATH
            | StdLib::COROUTINE;
        let lua = Lua::new_with(libraries, LuaOptions::default()).map_err(internal)?;
        lua.set_compiler(compiler());
        sandbox::close(&lua, &host).map_err(internal)?;
        lua.set_memory_limit(host.memory_bytes()).map_err(internal)?;
        let watcher = Rc::clone(&host);
        lua.set_interrupt(move |lua| watcher.tick(lua));
        Ok(Vm { lua, host })
    }

    /// Runs the top level of a script.
    pub fn run(&self, chunk: &str, path: &str, source: &str) -> Result<(), ScriptError> {
        self.host.chunks.borrow_mut().add(chunk, path, source);
        let main = self.lua.current_thread().state().addr();
        self.enter(main, |lua| load_chunk(lua, chunk, source)).map(|_: Value| ())
    }

    /// Reduces the memory limit to one of `parts` equal parts of `bytes`.
    ///
    /// # Errors
    /// [`ScriptError`] if the top level has left more than that in use.
    pub fn limit_memory(&self, bytes: usize, parts: u32) -> Result<(), ScriptError> {
        self.host.limit_memory(bytes, parts);
        let limit = self.host.memory_bytes();
        self.enter(0, |lua| {
            lua.gc_collect()?;
            lua.set_memory_limit(limit)?;
            match lua.used_memory() > limit {
                true => Err(LuaError::MemoryError(String::new())),
                false => Ok(()),
            }
        })
    }

    /// Enters the VM: see [`ScriptHost::enter`].
    ///
    /// # Errors
    /// The errors of [`ScriptHost::enter`].
    pub fn enter<R>(
        &self,
        thread: usize,
        body: impl FnOnce(&Lua) -> LuaResult<R>,
    ) -> Result<R, ScriptError> {
        self.host.enter(&self.lua, thread, body)
    }
}

fn compiler() -> Compiler {
    Compiler::new()
        .set_optimization_level(2)
        .set_debug_level(1)
        // Otherwise the compiler would call the functions of the C library directly and bypass
        // their replacements.
        .set_disabled_builtins(
            sandbox::PORTABLE_MATH
                .map(|name| format!("math.{name}"))
                .into_iter()
                .chain(sandbox::CHECKED_BUILTINS.map(String::from)),
        )
}
