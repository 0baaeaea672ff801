//! The state that a VM's callbacks share with the code that drives the VM, and the limits on a
//! script's time and memory.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mlua::{Error as LuaError, Lua, Result as LuaResult, VmState};

use super::blobs::Blobs;
use super::chunks::Chunks;
use super::client::ScriptClient;
use super::computing_time::computed;
use super::declared::Declared;
use super::error::{ScriptError, TEST_MODULE, located};
use super::file_cache::FileCache;
use super::hooks::hook_state::HookState;
use super::lua_errors::readable;
use super::open_loop::OpenLoop;
use super::operation_memory::{OperationMemory, shown_limit};
use super::options::{ScriptLimits, ScriptOptions};
use super::project::Project;
use super::read_files::ReadFiles;
use super::result_hints::hint;
use super::test_bounds::TestBounds;
use super::testing::TestState;
use crate::ir::ClientPartition;
use crate::ir::file_tree::HashedTree;
use crate::ir::panic_message::panic_message;
use crate::ir::random::RandomNumbers;
use crate::ir::step::{StepError, StepNames};
use crate::library::packages::Packages;

/// State that the VM's callbacks share with the code that drives the VM. Lua values in it do not
/// keep the VM alive, because the binding's references are weak.
pub(super) struct ScriptHost {
    pub limits: ScriptLimits,
    pub project: Project,
    /// Number of VMs that share the memory.
    memory_parts: Cell<u32>,
    /// Whether output of the top level is shown. The top level runs in every VM of a script, and
    /// only one of them prints.
    prints_top_level: bool,
    quiet: bool,
    /// Declarations that the top level has made so far. `None` once it has ended.
    pub declared: RefCell<Option<Declared>>,
    /// The client whose stream is being made.
    pub client: RefCell<Option<Box<ScriptClient>>>,
    /// Memory of the operations that clients have made.
    pub operation_memory: OperationMemory,
    /// The open loop of each workload that has one, by workload.
    pub open_loops: RefCell<Vec<Option<OpenLoop>>>,
    /// Random numbers for `rng` while an arrival is made, when no client runs.
    pub drawing: RefCell<Option<RandomNumbers>>,
    /// The names of steps, of all VMs that make the stream.
    step_names: StepNames,
    /// The names of steps that this VM has used.
    own_step_names: RefCell<BTreeSet<Arc<str>>>,
    /// The number of calls of `bench.tree`.
    pub trees: Cell<u32>,
    /// The trees of directories that the VMs of the script have read.
    pub tree_cache: FileCache<HashedTree>,
    /// The texts of the script's modules.
    pub sources: FileCache<String>,
    /// The libraries of the projects whose scripts were loaded.
    pub package_cache: FileCache<Packages>,
    /// The files that the VMs of the script have read.
    pub reads: ReadFiles,
    /// The files from which writes take their bytes. A ready workload has none.
    pub blobs: RefCell<Option<Blobs>>,
    /// The script and its modules.
    pub chunks: RefCell<Chunks>,
    /// The number of the library to which a file belongs, by Lua's name of the file.
    pub files_of_libraries: RefCell<BTreeMap<String, usize>>,
    /// The state of hooks, in the VM that runs them.
    pub hooks: Option<Rc<HookState>>,
    /// The state of tests, in the VM of a test file.
    pub tests: Option<Rc<TestState>>,
    /// The bounds of the test that loads this script, if one does.
    test: Option<TestBounds>,
    memory_bytes: Cell<usize>,
    watch: Watch,
}

/// ScriptLimits that are checked whenever the script loops, calls or returns.
#[derive(Default)]
struct Watch {
    ticks: Cell<u32>,
    /// Time of the next check of the computing time, on the clock of [`now`].
    deadline: Cell<Option<Duration>>,
    /// The value of [`computed`] at the start. If it was not read then, it is read at the deadline.
    began: Cell<Option<Duration>>,
    /// The number of operations that the client had made when the time began.
    made: Cell<Option<u32>>,
    /// An error that ends the present entry into the VM, whatever the script catches.
    fatal: RefCell<Option<ScriptError>>,
    /// Whether the last entry into the VM ended with a fatal error (its time is up, for example) or
    /// ran out of memory.
    exhausted: Cell<bool>,
    dying: Cell<bool>,
    /// The error of a callback that panicked. The state it left behind cannot be relied on.
    poisoned: RefCell<Option<ScriptError>>,
    /// Whether the batch is full, so that the script must be paused as soon as possible.
    leave: Cell<bool>,
    /// Address of the thread that may be paused: the client's own, not a coroutine of the script.
    thread: Cell<usize>,
}

impl Watch {
    /// Sets the next check to `left` from now. It compares the computing time since `began`.
    fn begin(&self, left: Duration, began: Option<Duration>) {
        self.deadline.set(now().checked_add(left));
        self.began.set(began);
    }
}

/// Number of interpreter interrupts between two checks of the clock. It is small because one step
/// can be a library function that scans a string as large as all of the memory.
const LOOK_EVERY: u32 = 8;

/// Returns a monotonic time that is exact to a few milliseconds. It is read so often that the exact
/// clock would slow scripts down.
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

impl ScriptHost {
    /// Creates the state for one VM. The first VM runs its top level before the others exist, so it
    /// starts with all of the memory.
    pub fn new(
        options: &ScriptOptions,
        partition: ClientPartition,
        declared: Declared,
        project: Project,
        blobs: Option<Blobs>,
        hooks: Option<Rc<HookState>>,
        tests: Option<Rc<TestState>>,
    ) -> Rc<ScriptHost> {
        let (limits, first) = (options.limits, partition.part == 0);
        Rc::new(ScriptHost {
            limits,
            project,
            memory_parts: Cell::new(if first { 1 } else { partition.of }),
            prints_top_level: first,
            quiet: options.quiet,
            declared: RefCell::new(Some(declared)),
            client: RefCell::new(None),
            operation_memory: OperationMemory::default(),
            open_loops: RefCell::new(Vec::new()),
            trees: Cell::new(0),
            tree_cache: options.trees.clone(),
            sources: options.sources.clone(),
            package_cache: options.packages.clone(),
            reads: options.reads.clone(),
            drawing: RefCell::new(None),
            step_names: options.step_names.clone(),
            own_step_names: RefCell::default(),
            blobs: RefCell::new(blobs),
            chunks: RefCell::new(Chunks::default()),
            files_of_libraries: RefCell::default(),
            hooks,
            tests,
            test: options.test.clone(),
            memory_bytes: Cell::new(limits.memory_bytes),
            watch: Watch::default(),
        })
    }

    /// Returns whether the script's output is currently shown to its author.
    pub fn prints(&self) -> bool {
        let in_top_level = self.declared.try_borrow().map_or(true, |declared| declared.is_some());
        match &self.hooks {
            _ if self.quiet => false,
            Some(hooks) => hooks.is_running(),
            None => self.prints_top_level || !in_top_level,
        }
    }

    /// Returns the name of a step as operations carry it.
    ///
    /// # Errors
    /// The errors of [`StepNames::intern`].
    pub fn step_name(&self, name: &str) -> Result<Arc<str>, StepError> {
        let mut own = self.own_step_names.borrow_mut();
        if let Some(known) = own.get(name) {
            return Ok(Arc::clone(known));
        }
        // A string of its own, so that threads do not count the references to one together.
        let name: Arc<str> = Arc::from(&*self.step_names.intern(name)?);
        own.insert(Arc::clone(&name));
        Ok(name)
    }

    /// Asks the script to pause once the batch is full.
    pub fn leave_soon(&self) {
        self.watch.leave.set(true);
    }

    /// Makes the next interrupt check the clock, because a callback may take as long as many steps
    /// of the script.
    pub fn look_at_the_clock(&self) {
        self.watch.ticks.set(u32::MAX);
    }

    /// Runs a part of a callback that takes as long as a file is large. Its time does not count as
    /// computing time of the script.
    pub fn uncounted<R>(&self, body: impl FnOnce() -> R) -> R {
        let (started, computed_before) = (now(), computed());
        let result = body();
        let watch = &self.watch;
        let later = |time: &Cell<Option<Duration>>, by: Duration| {
            time.set(time.get().and_then(|time| time.checked_add(by)));
        };
        later(&watch.deadline, now().saturating_sub(started));
        later(&watch.began, computed().saturating_sub(computed_before));
        result
    }

    /// Ends the script with this error, which the script cannot catch.
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
            Err(panic) => Err(self.poison(panic_message(panic.as_ref()))),
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

    /// Sets the memory limit of the VMs from now on, in bytes, and the number of VMs that share it.
    pub fn limit_memory(&self, bytes: usize, parts: u32) {
        self.memory_bytes.set(bytes);
        self.memory_parts.set(parts);
    }

    /// Returns the memory limit of this VM in bytes. The limit is fixed and not what the other VMs
    /// leave free: whether a script fits must not depend on when its VMs run.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes.get() / self.memory_parts.get() as usize
    }

    fn memory_exceeded(&self) -> String {
        let limit = shown_limit(self.memory_bytes());
        if self.tests.is_some() {
            return format!("the tests of this file need more memory than their limit of {limit}");
        }
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

    /// Returns the message of an error as [`ScriptHost::readable`] does, for the user who runs the
    /// script: with paths, or at least the path of the script, and a hint if the script used the
    /// result of an operation.
    fn placed(&self, error: &LuaError) -> String {
        let mut text = self.readable(error);
        let chunks = self.chunks.borrow();
        if self.hooks.is_none() {
            text += &hint(&text, &chunks).unwrap_or_default();
        }
        match chunks.script() {
            Some(script) if !located(&text, &chunks.names) => format!("{script}: {text}"),
            _ => chunks.with_paths(&text),
        }
    }

    /// Returns the error with paths in place of the names by which Lua knows the files.
    pub fn with_paths(&self, error: ScriptError) -> ScriptError {
        match error {
            ScriptError::Script(text) => {
                ScriptError::Script(self.chunks.borrow().with_paths(&text))
            }
            other => other,
        }
    }

    /// Returns the problem, with `place` before it unless it already starts with a line of its own.
    pub fn with_place(&self, problem: String, place: &str) -> String {
        match located(&problem, &self.chunks.borrow().names) {
            true => problem,
            false => format!("{place}: {problem}"),
        }
    }

    /// Returns whether the last entry into the VM ended with a fatal error, such as the time limit,
    /// or ran out of memory.
    pub fn was_exhausted(&self) -> bool {
        self.watch.exhausted.get()
    }

    /// Returns whether `lua` runs a client's own thread and not a coroutine of the script.
    pub fn in_own_thread(&self, lua: &Lua) -> bool {
        lua.current_thread().state().addr() == self.watch.thread.get()
    }

    pub fn tick(&self, lua: &Lua) -> LuaResult<VmState> {
        let watch = &self.watch;
        let ticks = watch.ticks.get().wrapping_add(1);
        watch.ticks.set(ticks);
        if watch.dying.get() {
            return Err(LuaError::runtime("the script was ended"));
        }
        if ticks.is_multiple_of(LOOK_EVERY) {
            self.look(lua)?;
        }
        // Luau cannot yield everywhere, for example not in a callback of table.sort. The request is
        // then ignored there and repeated at the next interrupt.
        if watch.leave.get() && self.in_own_thread(lua) {
            return Ok(VmState::Yield);
        }
        Ok(VmState::Continue)
    }

    /// Ends a script that has used up its time.
    fn look(&self, lua: &Lua) -> LuaResult<()> {
        let Some(deadline) = self.watch.deadline.get() else { return Ok(()) };
        if self.tests.as_ref().is_some_and(|tests| tests.is_interrupted()) {
            return Err(self.fatal(ScriptError::Script("it was interrupted".into())));
        }
        if let Some(test) = self.test.as_ref().filter(|test| test.is_interrupted()) {
            test.check().map_err(|error| self.fatal(error))?;
        }
        if let Some(hooks) = &self.hooks {
            if hooks.is_given_up() {
                return Err(self.fatal(ScriptError::Script("the hook was stopped".into())));
            }
            if hooks.has_moved_on() {
                // Reading the CPU time at every call of a hook would be too slow.
                self.watch.begin(self.longest(), None);
                return Ok(());
            }
        }
        if now() > deadline {
            let in_test = self.test.as_ref().map_or(Ok(()), TestBounds::check);
            in_test.map_err(|error| self.fatal(error))?;
            let began = self.watch.began.get().unwrap_or_else(computed);
            let spent = self.spent_since(began);
            // A recorded function has one time limit, that of its test.
            let made = self.operations_made().filter(|_| self.tests.is_none());
            if made.is_some() && self.watch.made.replace(made) != made {
                self.watch.begin(self.longest(), Some(computed()));
                return Ok(());
            }
            let left = self.limits.time_per_resume.saturating_sub(spent);
            if !left.is_zero() {
                self.watch.begin(left.min(self.longest()), Some(began));
                return Ok(());
            }
            let limit = self.limits.time_per_resume;
            let text = match self.tests.is_some() {
                true if self.waited().is_zero() => {
                    format!(
                        "no end after {limit:?} of computing (--timeout); it seems to loop forever"
                    )
                }
                true => format!("no end after {limit:?} of computing and of runs (--timeout)"),
                false => format!(
                    "no result after {limit:?} of computing (--script-time); the script seems to loop forever"
                ),
            };
            let place = self.line(lua).or_else(|| self.chunks.borrow().names.first().cloned());
            let place = place.map_or_else(String::new, |place| place + ": ");
            return Err(self.fatal(ScriptError::Script(place + &text)));
        }
        Ok(())
    }

    /// Returns the time that counts against the limit: what this thread has computed since `began`,
    /// and, in a test, what its runs have lasted.
    fn spent_since(&self, began: Duration) -> Duration {
        computed().saturating_sub(began) + self.waited()
    }

    fn waited(&self) -> Duration {
        self.tests.as_ref().map_or(Duration::ZERO, |tests| tests.waited.get())
    }

    /// Returns the longest time until the next check of the computing time.
    fn longest(&self) -> Duration {
        let limit = self.limits.time_per_resume;
        self.test.as_ref().map_or(limit, |test| limit.min(test.time_left()))
    }

    /// Returns the time that is left of the present entry into the VM.
    pub fn time_left(&self) -> Duration {
        let began = self.watch.began.get().unwrap_or_else(computed);
        self.limits.time_per_resume.saturating_sub(self.spent_since(began))
    }

    /// Enters the VM, with a limit on time. No panic gets out. All code enters the VM here.
    /// `thread` is the address of the coroutine that may be paused when a batch is full.
    pub fn enter<R>(
        &self,
        lua: &Lua,
        thread: usize,
        body: impl FnOnce(&Lua) -> LuaResult<R>,
    ) -> Result<R, ScriptError> {
        let watch = &self.watch;
        if let Some(error) = watch.poisoned.borrow().clone() {
            return Err(error);
        }
        self.test.as_ref().map_or(Ok(()), TestBounds::check)?;
        watch.fatal.take();
        watch.exhausted.set(false);
        watch.dying.set(false);
        watch.leave.set(false);
        watch.thread.set(thread);
        watch.made.set(self.operations_made());
        if let Some(tests) = &self.tests {
            tests.waited.set(Duration::ZERO);
        }
        watch.begin(self.longest(), Some(computed()));
        let result = catch_unwind(AssertUnwindSafe(|| body(lua)));
        watch.deadline.set(None);
        if let Err(panic) = &result {
            self.poison(panic_message(panic.as_ref()));
        }
        if let Some(error) = watch.fatal.take() {
            watch.exhausted.set(true);
            return Err(self.with_paths(error));
        }
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                watch.exhausted.set(matches!(error, LuaError::MemoryError(_)));
                Err(ScriptError::Script(self.placed(&error)))
            }
            // `poison` has made the panic fatal, so the error was returned above.
            Err(_) => Err(ScriptError::Internal("a callback panicked".into())),
        }
    }

    /// Returns the number of operations that the present client has made, or none if no client runs
    /// or its state is in use.
    fn operations_made(&self) -> Option<u32> {
        self.client.try_borrow().ok()?.as_ref()?.next_seq
    }

    /// Returns the line of the script that is running.
    pub fn line(&self, lua: &Lua) -> Option<String> {
        let chunks = self.chunks.borrow();
        (0..20).find_map(|level| {
            lua.inspect_stack(level, |frame| {
                let source = frame.source().short_src?.into_owned();
                let line = frame.current_line()?;
                if source == TEST_MODULE {
                    return None;
                }
                chunks.names.contains(&source).then(|| format!("{source}:{line}"))
            })
            .flatten()
        })
    }
}
