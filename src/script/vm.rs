//! One Luau machine: its limits, and the one way into it.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Error as LuaError, Lua, LuaOptions, Result as LuaResult, StdLib, Value, VmState};

use super::api::Declared;
use super::blobs::Blobs;
use super::chunks::Chunks;
use super::client::Client;
use super::error::{ScriptError, located, readable};
use super::hooks::running::Hooking;
use super::open_loop::OpenLoop;
use super::operation_results;
use super::queued::{Queued, shown_limit};
use super::random::Random;
use super::{Limits, sandbox};
use crate::ir::Share;

/// What the machine's callbacks share with the code that drives it. Lua values
/// in it do not keep the machine alive: the binding's references are weak.
pub(super) struct Host {
    pub limits: Limits,
    /// How many machines the memory is for.
    memory_parts: Cell<u32>,
    /// The top level runs in every machine of a script; one of them tells what it prints.
    prints_top_level: bool,
    quiet: bool,
    /// What the top level has declared so far; none once it has ended.
    pub declared: RefCell<Option<Declared>>,
    /// The client whose stream is being made.
    pub client: RefCell<Option<Box<Client>>>,
    /// What clients have made.
    pub queued: Queued,
    /// By workload, where it is an open loop.
    pub open_loops: RefCell<Vec<Option<OpenLoop>>>,
    /// What `rng` draws from while an arrival is made, when no client runs.
    pub drawing: RefCell<Option<Random>>,
    /// Where writes take the bytes of files from.
    pub blobs: RefCell<Blobs>,
    /// The script and its modules.
    pub chunks: RefCell<Chunks>,
    /// In the VM that hooks run in.
    pub hooks: Option<Rc<Hooking>>,
    memory_bytes: Cell<usize>,
    watch: Watch,
}

/// Looked at whenever the script loops, calls or returns.
#[derive(Default)]
struct Watch {
    ticks: Cell<u32>,
    /// As [`now`] tells the time.
    deadline: Cell<Option<Duration>>,
    /// As [`computed`] tells it. Where it was not asked, from the deadline on.
    began: Cell<Option<Duration>>,
    /// Ends the present entry into the machine, whatever the script catches.
    fatal: RefCell<Option<ScriptError>>,
    /// The last entry into the machine took all of its time or memory.
    exhausted: Cell<bool>,
    dying: Cell<bool>,
    /// A callback panicked: what it left behind cannot be relied on.
    poisoned: RefCell<Option<ScriptError>>,
    /// The batch is full: leave at the next point where that is possible.
    leave: Cell<bool>,
    /// The thread that may be left: the client's own, not one of the script's.
    thread: Cell<usize>,
}

impl Watch {
    /// Looks at what has been computed since `began` when `left` has passed.
    fn begin(&self, left: Duration, began: Option<Duration>) {
        self.deadline.set(now().checked_add(left));
        self.began.set(began);
    }
}

/// Of so many steps of the script at one the clock is looked at. Few, because a
/// step can be a library's function that goes through a text of the size of all
/// the memory: between two looks there are some of these at the most.
const LOOK_EVERY: u32 = 8;

/// Since some time in the past, to a few milliseconds. Asked so often that the
/// exact clock would be felt.
#[cfg(target_os = "linux")]
fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(not(target_os = "linux"))]
fn now() -> Duration {
    static BEGAN: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    BEGAN.elapsed()
}

/// What this thread has had of the processors: on a busy machine a script that
/// waits for them does not compute. A system call, unlike the above.
#[cfg(target_os = "linux")]
fn computed() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(target_os = "linux"))]
fn computed() -> Duration {
    now()
}

impl Host {
    /// The first machine runs its top level before there are others.
    pub fn new(
        limits: Limits,
        share: Share,
        declared: Declared,
        blobs: Blobs,
        hooks: Option<Rc<Hooking>>,
        quiet: bool,
    ) -> Rc<Host> {
        let first = share.part == 0;
        Rc::new(Host {
            limits,
            memory_parts: Cell::new(if first { 1 } else { share.of }),
            prints_top_level: first,
            quiet,
            declared: RefCell::new(Some(declared)),
            client: RefCell::new(None),
            queued: Queued::new(),
            open_loops: RefCell::new(Vec::new()),
            drawing: RefCell::new(None),
            blobs: RefCell::new(blobs),
            chunks: RefCell::new(Chunks::default()),
            hooks,
            memory_bytes: Cell::new(limits.memory_bytes),
            watch: Watch::default(),
        })
    }

    /// Whether what the script prints now is for its author to read.
    pub fn prints(&self) -> bool {
        let in_top_level = self.declared.try_borrow().map_or(true, |declared| declared.is_some());
        match &self.hooks {
            _ if self.quiet => false,
            Some(hooks) => hooks.is_running(),
            None => self.prints_top_level || !in_top_level,
        }
    }

    /// Asks the script to pause once the batch is full.
    pub fn leave_soon(&self) {
        self.watch.leave.set(true);
    }

    /// Has the deadline looked at next time, as a callback takes as long as
    /// many steps of the script.
    pub fn look_at_the_clock(&self) {
        self.watch.ticks.set(u32::MAX);
    }

    /// Ends the script with this error. It cannot be caught.
    pub fn fatal(&self, error: ScriptError) -> LuaError {
        let message = error.to_string();
        self.watch.dying.set(true);
        self.watch.fatal.borrow_mut().get_or_insert(error);
        LuaError::runtime(message)
    }

    /// Runs the body of a callback. A panic in it ends the script for good.
    pub fn callback<R>(&self, body: impl FnOnce() -> LuaResult<R>) -> LuaResult<R> {
        match catch_unwind(AssertUnwindSafe(body)) {
            Ok(result) => result,
            Err(panic) => Err(self.poison(panic_text(panic.as_ref()))),
        }
    }

    fn poison(&self, text: String) -> LuaError {
        let error = ScriptError::Internal(text);
        *self.watch.poisoned.borrow_mut() = Some(error.clone());
        self.fatal(error)
    }

    pub fn readable(&self, error: &LuaError) -> String {
        let mut cause = error;
        while let LuaError::CallbackError { cause: inner, .. }
        | LuaError::WithContext { cause: inner, .. } = cause
        {
            cause = inner;
        }
        match cause {
            LuaError::MemoryError(_) => self.memory_exceeded(),
            _ => readable(error, &self.chunks.borrow().names),
        }
    }

    /// Fixed, and not what other machines happen to leave: whether a script
    /// fits must not depend on when its machines run.
    fn memory_bytes(&self) -> usize {
        self.memory_bytes.get() / self.memory_parts.get() as usize
    }

    fn memory_exceeded(&self) -> String {
        let limit = shown_limit(self.memory_bytes());
        let limit = format!("the script needs more memory than its limit of {limit}");
        let all_of_it = self.memory_bytes.get() == self.limits.memory_bytes;
        match self.memory_parts.get() {
            1 if all_of_it => format!("{limit} (of --script-memory)"),
            1 => format!("{limit} (--script-memory, less what operations and hooks get of it)"),
            parts => format!(
                "{limit} on each of {parts} generator threads (--script-memory, less what operations and hooks get of it, is the sum over them, --generators their number)"
            ),
        }
    }

    /// As [`Host::readable`], for whoever runs the script: with paths, or at least the
    /// script's, and a hint where operations return nothing.
    fn placed(&self, error: &LuaError) -> String {
        let mut text = self.readable(error);
        let chunks = self.chunks.borrow();
        if self.hooks.is_none() {
            text += &operation_results::hint(&text, &chunks).unwrap_or_default();
        }
        match chunks.script() {
            Some(script) if !located(&text, &chunks.names) => format!("{script}: {text}"),
            _ => chunks.with_paths(&text),
        }
    }

    /// The error with paths in the place of the names that Lua knows files by.
    pub fn with_paths(&self, error: ScriptError) -> ScriptError {
        match error {
            ScriptError::Script(text) => {
                ScriptError::Script(self.chunks.borrow().with_paths(&text))
            }
            other => other,
        }
    }

    /// The problem with `place` before it, unless it has a line of its own.
    pub fn with_place(&self, problem: String, place: &str) -> String {
        match located(&problem, &self.chunks.borrow().names) {
            true => problem,
            false => format!("{place}: {problem}"),
        }
    }

    /// Whether the last entry into the machine ended because it took all of its
    /// time or memory.
    pub fn was_exhausted(&self) -> bool {
        self.watch.exhausted.get()
    }

    /// Whether `lua` runs a client's own thread, not a coroutine of the script's.
    pub fn in_own_thread(&self, lua: &Lua) -> bool {
        lua.current_thread().state().addr() == self.watch.thread.get()
    }

    fn tick(&self, lua: &Lua) -> LuaResult<VmState> {
        let watch = &self.watch;
        let ticks = watch.ticks.get().wrapping_add(1);
        watch.ticks.set(ticks);
        if watch.dying.get() {
            return Err(LuaError::runtime("the script was ended"));
        }
        if ticks.is_multiple_of(LOOK_EVERY) {
            self.look(lua)?;
        }
        // Where the script cannot be left (in a callback of table.sort, say)
        // this is ignored, and asked again at the next look.
        if watch.leave.get() && self.in_own_thread(lua) {
            return Ok(VmState::Yield);
        }
        Ok(VmState::Continue)
    }

    /// Ends a script that has had its time.
    fn look(&self, lua: &Lua) -> LuaResult<()> {
        let Some(deadline) = self.watch.deadline.get() else { return Ok(()) };
        if let Some(hooks) = &self.hooks {
            if hooks.is_given_up() {
                return Err(self.fatal(ScriptError::Script("the hook was cut off".into())));
            }
            if hooks.has_moved_on() {
                // To ask what it has computed at every call of a hook would be felt.
                self.watch.begin(self.limits.time_per_resume, None);
                return Ok(());
            }
        }
        if now() > deadline {
            let began = self.watch.began.get().unwrap_or_else(computed);
            let spent = computed().saturating_sub(began);
            let left = self.limits.time_per_resume.saturating_sub(spent);
            if !left.is_zero() {
                self.watch.begin(left, Some(began));
                return Ok(());
            }
            let text = format!(
                "no end in sight after {:?} of computing; the script seems to loop for ever",
                self.limits.time_per_resume
            );
            let place = self.line(lua).or_else(|| self.chunks.borrow().names.first().cloned());
            let text = match place {
                Some(place) => format!("{place}: {text}"),
                None => text,
            };
            return Err(self.fatal(ScriptError::Script(text)));
        }
        Ok(())
    }

    /// The script's line that is running.
    pub fn line(&self, lua: &Lua) -> Option<String> {
        let chunks = self.chunks.borrow();
        (0..20).find_map(|level| {
            lua.inspect_stack(level, |frame| {
                let source = frame.source().short_src?.into_owned();
                let line = frame.current_line()?;
                chunks.names.contains(&source).then(|| format!("{source}:{line}"))
            })
            .flatten()
        })
    }
}

pub(super) struct Vm {
    pub lua: Lua,
    pub host: Rc<Host>,
}

impl Vm {
    /// A machine in which nothing but the sandbox and smbench's tables can be reached.
    pub fn new(host: Rc<Host>) -> Result<Vm, ScriptError> {
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

    /// Leaves the machine so much memory from now on.
    ///
    /// # Errors
    /// [`ScriptError::Internal`] where the allocator does not know limits.
    pub fn limit_memory(&self, bytes: usize) -> Result<(), ScriptError> {
        self.host.memory_bytes.set(bytes);
        let set = self.lua.set_memory_limit(bytes);
        set.map(drop).map_err(|error| ScriptError::Internal(error.to_string()))
    }

    /// Runs a script's top level.
    pub fn run(&self, chunk: &str, path: &str, source: &str) -> Result<(), ScriptError> {
        self.host.chunks.borrow_mut().add(chunk, path, source);
        let main = self.lua.current_thread().state().addr();
        self.enter(main, |lua| load_chunk(lua, chunk, source)).map(|_: Value| ())
    }

    /// Makes do with one of so many parts of the memory.
    ///
    /// # Errors
    /// The top level has left more than that.
    pub fn share_memory(&self, parts: u32) -> Result<(), ScriptError> {
        self.host.memory_parts.set(parts);
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

    /// The one way into the machine: bounded in time, and no panic comes out.
    /// `thread` is the address of the coroutine that a full batch may leave.
    pub fn enter<R>(
        &self,
        thread: usize,
        body: impl FnOnce(&Lua) -> LuaResult<R>,
    ) -> Result<R, ScriptError> {
        let watch = &self.host.watch;
        if let Some(error) = watch.poisoned.borrow().clone() {
            return Err(error);
        }
        watch.fatal.take();
        watch.exhausted.set(false);
        watch.dying.set(false);
        watch.leave.set(false);
        watch.thread.set(thread);
        watch.begin(self.host.limits.time_per_resume, Some(computed()));
        let result = catch_unwind(AssertUnwindSafe(|| body(&self.lua)));
        watch.deadline.set(None);
        if let Err(panic) = &result {
            self.host.poison(panic_text(panic.as_ref()));
        }
        if let Some(error) = watch.fatal.take() {
            watch.exhausted.set(true);
            return Err(self.host.with_paths(error));
        }
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                watch.exhausted.set(matches!(error, LuaError::MemoryError(_)));
                Err(ScriptError::Script(self.host.placed(&error)))
            }
            // The panic above was fatal.
            Err(_) => Err(ScriptError::Internal("a callback panicked".into())),
        }
    }
}

/// Compiles and runs a chunk. Text only: bytecode could do anything.
pub(super) fn load_chunk<R: mlua::FromLuaMulti>(
    lua: &Lua,
    chunk: &str,
    source: &str,
) -> LuaResult<R> {
    lua.load(source).set_name(format!("={chunk}")).set_mode(ChunkMode::Text).eval()
}

fn compiler() -> Compiler {
    Compiler::new()
        .set_optimization_level(2)
        .set_debug_level(1)
        // The compiler would call the C library's, past the ones put in their place.
        .set_disabled_builtins(sandbox::PORTABLE_MATH.map(|name| format!("math.{name}")))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a callback panicked".to_string())
}

impl Default for Limits {
    /// 512 MiB, 2 s, 1 MiB.
    fn default() -> Limits {
        Limits {
            memory_bytes: 512 << 20,
            time_per_resume: Duration::from_secs(2),
            source_bytes: 1 << 20,
        }
    }
}
