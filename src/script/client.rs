//! One client while its stream is made: its clock, its boundaries, its handles.

use std::collections::VecDeque;
use std::sync::Arc;

use super::handles::Handles;
use super::mapping::Mapping;
use super::operation_memory::OperationMemory;
use super::steps::OpenSteps;
use super::values::LARGEST_EXACT;
use crate::ir::random::RandomNumbers;
use crate::ir::source::RUN_CLIENT;
use crate::ir::{Due, Expect, Late, NominalClock, Operation, OperationKind, Section};

/// Number of rounds without an operation after which a script counts as stuck.
pub(super) const MAX_IDLE_ROUNDS: u32 = 100_000;

/// Maximum number of operations that a client with a nominal bound may make while its nominal clock
/// stands still.
const MAX_OPERATIONS_AT_A_TIME: u32 = 100_000;

/// Number of operations between two boundaries of a bounded stream, or in a whole setup or
/// teardown, after which it counts as endless.
const MAX_OPERATIONS_IN_A_ROUND: u32 = 1_000_000;

/// Memory in bytes of the operations of an iteration, below which a client with a full batch may go
/// on to the end of that iteration. Between two iterations it needs no coroutine, which takes about
/// twice as much. A client whose iteration was longer, or that loops over `c:running()`, does not
/// go on again.
const BYTES_TO_END_AN_ITERATION: usize = 1 << 10;

/// Maximum number of operations beyond a batch, made where a script cannot be interrupted.
const MAX_UNINTERRUPTED: usize = 65_536;

/// The bounds at which a stream ends by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    pub iterations: Option<u32>,
    pub nominal_ns: Option<u64>,
}

/// An arrival of an open loop, in nanoseconds from time zero.
#[derive(Clone, Copy)]
pub(super) struct ScheduledArrival {
    pub at_ns: u64,
    pub late: Late,
}

/// A function that returns the next arrival of a client in an open loop, if there is one.
pub(super) type NextArrival<'a> = dyn FnMut() -> Result<Option<ScheduledArrival>, String> + 'a;

/// The arrival that began the present iteration, kept until it has an operation.
#[derive(Clone, Copy)]
struct Begun {
    arrival: ScheduledArrival,
    /// The part of the think time that came before the arrival, when the client was busy with the
    /// previous iteration.
    trailing_ns: u64,
}

/// The identity of a client.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// The client's index over all clients of the stream.
    pub index: u32,
    pub workload: Arc<str>,
    /// The client's number within the workload.
    pub id: u32,
}

impl Identity {
    /// Returns the name of the simulated user. It differs from that of every other client of the
    /// run and can be used as a file name.
    pub fn user(&self) -> String {
        match &*self.workload {
            RUN_CLIENT => RUN_CLIENT.to_string(),
            workload => format!("{workload}-{}", self.id),
        }
    }
}

pub(super) struct ScriptClient {
    pub identity: Identity,
    /// The workload at whose arrivals the client's iterations begin.
    pub open_loop: Option<usize>,
    pub section: Section,
    pub iteration: u32,
    pub handles: Handles,
    pub random: RandomNumbers,
    pub steps: OpenSteps,
    /// Operations that were made and not yet pulled.
    pub(super) made: VecDeque<Operation>,
    /// Bytes of the operations in `made`.
    made_bytes: usize,
    /// Bytes of the present batch, or of the last one.
    batch_bytes: usize,
    /// Number of operations that the present pull asked for.
    pub batch: usize,
    /// Whether the batch was full when the next iteration was to start.
    paused: bool,
    /// Whether no iteration so far was too long to be finished beyond a full batch.
    iterations_are_short: bool,
    /// Memory in bytes of the operations that the present iteration has made.
    iteration_bytes: usize,
    bounds: Bounds,
    pub(super) next_seq: Option<u32>,
    /// The nominal clock, without the think time that still waits for its operation.
    pub(super) clock: NominalClock,
    think_ns: u64,
    at_ns: Option<u64>,
    last_at_ns: u64,
    begun: Option<Begun>,
    boundaries: u32,
    /// Whether nothing has happened since the iteration started, so that the first `running()` of a
    /// loop is the same boundary as the start.
    fresh: bool,
    ended: bool,
    idle_rounds: u32,
    since_boundary: u32,
    since_clock_moved: u32,
    /// The operations of another stream that a function of `bench.map` is given.
    pub mapping: Option<Box<Mapping>>,
    /// The record of the client that a test makes, beside its operations.
    pub recording: Option<Box<Recording>>,
}

/// The record of a client that a test makes, and its bound.
#[derive(Default)]
pub(super) struct Recording {
    /// Maximum number of operations.
    pub most: usize,
    /// The `file:line` that made each operation.
    pub lines: Vec<Option<Box<str>>>,
}

impl ScriptClient {
    pub fn new(
        identity: Identity,
        open_loop: Option<usize>,
        bounds: Bounds,
        section: Section,
        random: RandomNumbers,
    ) -> ScriptClient {
        let mut handles = Handles::new(identity.index);
        if section == Section::Teardown {
            handles.enter_teardown();
        }
        ScriptClient {
            identity,
            open_loop,
            section,
            iteration: 0,
            handles,
            random,
            steps: OpenSteps::default(),
            made: VecDeque::new(),
            made_bytes: 0,
            batch_bytes: 0,
            batch: 0,
            paused: false,
            iterations_are_short: true,
            iteration_bytes: 0,
            bounds,
            next_seq: Some(0),
            clock: NominalClock::default(),
            think_ns: 0,
            at_ns: None,
            last_at_ns: 0,
            begun: None,
            boundaries: 0,
            fresh: false,
            ended: false,
            idle_rounds: 0,
            since_boundary: 0,
            since_clock_moved: 0,
            mapping: None,
            recording: None,
        }
    }

    /// Creates a client for whose operations a function makes others. `name` is the client's in
    /// its stream, `number` that of the stage.
    pub fn mapping(
        identity: Identity,
        (name, number): (String, u32),
        random: RandomNumbers,
    ) -> ScriptClient {
        ScriptClient {
            // The number of operations is bounded for each operation of the stream.
            batch: usize::MAX,
            handles: Handles::of_mapped(identity.index),
            mapping: Some(Box::new(Mapping::new(name, number))),
            ..ScriptClient::new(identity, None, Bounds::default(), Section::Setup, random)
        }
    }

    /// Creates a client whose operations a test records, at most `most`. It makes `iterations`
    /// iterations, of which `first` is the number of the first one.
    pub fn recorded(
        identity: Identity,
        section: Section,
        (first, iterations): (u32, u32),
        random: RandomNumbers,
        most: usize,
    ) -> ScriptClient {
        let bounds =
            Bounds { iterations: Some(first.saturating_add(iterations)), nominal_ns: None };
        ScriptClient {
            batch: usize::MAX,
            boundaries: first,
            recording: Some(Box::new(Recording { most, lines: Vec::new() })),
            ..ScriptClient::new(identity, None, bounds, section, random)
        }
    }

    /// Records the line that made the operations since the last call, if a test records the client.
    pub fn note_line(&mut self, line: impl FnOnce() -> Option<String>) {
        let Some(recording) = &mut self.recording else { return };
        if recording.lines.len() < self.made.len() {
            let line = line().map(String::into_boxed_str);
            recording.lines.resize(self.made.len(), line);
        }
    }

    /// Starts a section and drops the rest of the previous section.
    pub fn enter(&mut self, section: Section, random: RandomNumbers, memory: &OperationMemory) {
        if section == Section::Teardown {
            self.handles.enter_teardown();
        }
        self.section = section;
        self.random = random;
        self.steps.start_over();
        self.paused = false;
        // Nobody has pulled these operations, so their numbers are free again.
        if let Some(unwanted) = self.made.front() {
            self.next_seq = Some(unwanted.seq);
        }
        self.made.clear();
        memory.remove(std::mem::take(&mut self.made_bytes));
        self.iteration = 0;
        self.clock = NominalClock::default();
        self.think_ns = 0;
        self.at_ns = None;
        self.begun = None;
        self.since_boundary = 0;
        self.since_clock_moved = 0;
    }

    /// Goes to the next operation that the function of `bench.map` is to be given. Returns false if
    /// there is none.
    ///
    /// # Errors
    /// A message about what the function did with the operation before.
    pub fn next_mapped(&mut self) -> Result<bool, String> {
        let Some(mapping) = &mut self.mapping else { return Ok(false) };
        let next = mapping.next(&mut self.handles, &mut self.made)?;
        if let Some((section, iteration)) = next {
            (self.section, self.iteration, self.since_boundary) = (section, iteration, 0);
        }
        Ok(next.is_some())
    }

    /// Handles `emit(op)`.
    ///
    /// # Errors
    /// A message if the operation cannot be made here.
    pub fn emit_mapped(&mut self) -> Result<(), String> {
        match &mut self.mapping {
            Some(mapping) => mapping.emit(&mut self.handles, &mut self.made),
            None => Err("a client is no function; only the emit of bench.map is called".into()),
        }
    }

    /// Discards what the function made of the operation at which it failed.
    pub fn abandon_mapped(&mut self) {
        if let Some(mapping) = &mut self.mapping {
            mapping.abandon(&mut self.made);
        }
    }

    /// Moves what a function of `bench.map`, or one that a test records, made to `into`.
    pub fn take_all_made(&mut self, into: &mut Vec<Operation>, memory: &OperationMemory) {
        memory.remove(std::mem::take(&mut self.made_bytes));
        into.extend(self.made.drain(..));
    }

    /// Returns whether another iteration starts.
    pub fn start_iteration(
        &mut self,
        next_arrival: Option<&mut NextArrival<'_>>,
    ) -> Result<bool, String> {
        let goes_on = self.boundary("an iteration", next_arrival)?;
        self.fresh = true;
        Ok(goes_on)
    }

    /// Handles `c:running()`.
    pub fn running(&mut self, next_arrival: Option<&mut NextArrival<'_>>) -> Result<bool, String> {
        if self.mapping.is_some() {
            return Err(
                "emit:running() has no meaning: the function of bench.map is called once for each operation"
                    .into(),
            );
        }
        if self.section != Section::Iteration {
            return Err("c:running() belongs in an iteration; setup and teardown run once".into());
        }
        if let Some(step) = self.steps.innermost() {
            return Err(format!(
                "c:running() starts another iteration inside the step '{}', but a step is a part of one iteration: call c:step inside the loop",
                step.name
            ));
        }
        if std::mem::take(&mut self.fresh) {
            return Ok(!self.ended);
        }
        self.iterations_are_short = false;
        self.boundary("a loop over c:running()", next_arrival)
    }

    fn boundary(
        &mut self,
        what: &str,
        next_arrival: Option<&mut NextArrival<'_>>,
    ) -> Result<bool, String> {
        self.idle_rounds = if self.since_boundary == 0 { self.idle_rounds + 1 } else { 0 };
        if self.idle_rounds > MAX_IDLE_ROUNDS {
            return Err(format!(
                "{what} made no operation in {MAX_IDLE_ROUNDS} rounds, so the run would never make progress"
            ));
        }
        self.since_boundary = 0;
        self.iteration_bytes = 0;
        self.steps.start_over();
        let begins_ns = if self.ended { None } else { self.begins(next_arrival)? };
        if begins_ns.is_none_or(|ns| self.bounds.nominal_ns.is_some_and(|bound| ns >= bound)) {
            (self.ended, self.begun) = (true, None);
            return Ok(false);
        }
        self.iteration = self.boundaries;
        self.boundaries = self
            .boundaries
            .checked_add(1)
            .ok_or("the client has made 4,294,967,295 iterations, the maximum")?;
        Ok(true)
    }

    /// Returns the nominal time of the next iteration, if there is one.
    fn begins(
        &mut self,
        next_arrival: Option<&mut NextArrival<'_>>,
    ) -> Result<Option<u64>, String> {
        if self.bounds.iterations.is_some_and(|most| self.boundaries >= most) {
            return Ok(None);
        }
        let Some(next_arrival) = next_arrival else {
            let free_ns = self.at_ns.unwrap_or(self.clock.now_ns()) + self.think_ns;
            return Ok(Some(free_ns));
        };
        let Some(arrival) = next_arrival()? else { return Ok(None) };
        let trailing_ns = self.think_ns;
        self.begun = Some(Begun { arrival, trailing_ns });
        Ok(Some(arrival.at_ns.max(self.clock.free_ns(trailing_ns))))
    }

    /// Handles `c:think(duration)`: delays the next operation by that time.
    pub fn think(&mut self, ns: u64) -> Result<(), String> {
        self.refuse_time_if_mapped()?;
        self.fresh = false;
        self.think_ns += ns;
        self.within_104_days()
    }

    /// Handles `c:at(time)`: sets the time at which the next operation is due, from time zero.
    pub fn at(&mut self, ns: u64) -> Result<(), String> {
        self.refuse_time_if_mapped()?;
        if self.section != Section::Iteration {
            return Err(
                "c:at belongs in an iteration, because time zero comes after setup; use c:think here".into(),
            );
        }
        if self.open_loop.is_some() {
            return Err(
                "c:at cannot be used in an open loop, where arrivals begin the iterations; use c:think, or bench.closed_loop {}"
                    .into(),
            );
        }
        if ns < self.last_at_ns {
            return Err(format!(
                "at({ns}) after an operation due at {} ns: time goes backwards",
                self.last_at_ns
            ));
        }
        self.fresh = false;
        self.at_ns = Some(ns);
        self.think_ns = 0;
        Ok(())
    }

    fn refuse_time_if_mapped(&self) -> Result<(), String> {
        match self.mapping.is_some() {
            true => Err(
                "in bench.map the first operation made has the time of op; set op.at or op.after"
                    .into(),
            ),
            false => Ok(()),
        }
    }

    fn within_104_days(&self) -> Result<(), String> {
        if self.clock.now_ns().max(self.at_ns.unwrap_or(0)) + self.think_ns > LARGEST_EXACT {
            return Err("the client's clock is beyond 2^53 ns (104 days)".into());
        }
        Ok(())
    }

    /// Appends an operation. Returns whether the client must be paused because the batch is full.
    pub fn emit(
        &mut self,
        kind: OperationKind,
        expect: Expect,
        memory: &OperationMemory,
    ) -> Result<bool, String> {
        if let Some(mapping) = &self.mapping {
            mapping.check_count(self.made.len())?;
        }
        if let Some(recording) = &self.recording
            && self.made.len() >= recording.most
        {
            return Err(format!(
                "more than {} operations, the most that test.record keeps; record fewer iterations, or a smaller part",
                recording.most
            ));
        }
        let think_ns = std::mem::take(&mut self.think_ns);
        let before = self.clock.now_ns();
        let due = match (self.at_ns.take(), self.begun.take()) {
            (Some(at_ns), _) => {
                self.last_at_ns = at_ns + think_ns;
                Due::At(self.last_at_ns)
            }
            (None, Some(Begun { arrival: ScheduledArrival { at_ns, late }, trailing_ns })) => {
                Due::Arrival { at_ns: at_ns + (think_ns - trailing_ns), think_ns, late }
            }
            (None, None) => Due::After(think_ns),
        };
        self.clock.pass(due, self.iteration);
        let dropped = self.clock.drops(self.iteration);
        self.within_104_days()?;
        self.count(dropped || self.clock.now_ns() > before)?;
        let seq =
            self.next_seq.ok_or("the client has made 4,294,967,296 operations, the maximum")?;
        self.next_seq = seq.checked_add(1);
        self.fresh = false;
        let operation = Operation {
            client_idx: self.identity.index,
            seq,
            due,
            section: self.section,
            iteration: self.iteration,
            expect,
            id: None,
            step: self.steps.innermost().cloned(),
            kind,
        };
        let bytes = operation.memory_bytes();
        memory.add(bytes)?;
        self.made_bytes += bytes;
        self.iteration_bytes += bytes;
        self.made.push_back(operation);
        if !self.has_batch(memory) {
            return Ok(false);
        }
        let goes_on = self.section == Section::Iteration
            && self.iterations_are_short
            && memory.has_room_for(2 * BYTES_TO_END_AN_ITERATION);
        if goes_on && self.iteration_bytes < BYTES_TO_END_AN_ITERATION {
            return Ok(false);
        }
        self.iterations_are_short &= !goes_on;
        Ok(true)
    }

    fn has_batch(&self, memory: &OperationMemory) -> bool {
        self.made.len() >= self.batch || memory.fills_batch(self.batch_bytes + self.made_bytes)
    }

    /// Pauses the client before its next iteration if the batch is full, and returns
    /// whether it did.
    pub fn pause_if_full(&mut self, memory: &OperationMemory) -> bool {
        self.paused = self.has_batch(memory);
        self.paused
    }

    /// Returns whether the client was paused, and clears the pause: the client goes on from there.
    pub fn take_pause(&mut self) -> bool {
        std::mem::take(&mut self.paused)
    }

    /// Starts another batch, when little is left of the last one.
    pub fn start_batch(&mut self, memory: &OperationMemory) {
        memory.remove(std::mem::take(&mut self.batch_bytes));
    }

    /// Returns whether the present batch has no room for another operation, however small.
    pub fn batch_is_full(&self, memory: &OperationMemory) -> bool {
        memory.fills_batch(self.batch_bytes)
    }

    /// Moves operations made to `into` until the batch is full, at most `max`, and returns their
    /// number. Their allocation is moved along if possible, because most of the many clients are
    /// idle.
    pub fn take_made(
        &mut self,
        max: usize,
        into: &mut Vec<Operation>,
        memory: &OperationMemory,
    ) -> usize {
        let mut bytes = self.batch_bytes;
        let fits = |operation: &&Operation| {
            let goes_on = !memory.fills_batch(bytes);
            bytes += if goes_on { operation.memory_bytes() } else { 0 };
            goes_on
        };
        let taken = self.made.iter().take(max).take_while(fits).count();
        self.made_bytes -= bytes - self.batch_bytes;
        self.batch_bytes = bytes;
        if into.is_empty() && taken == self.made.len() {
            *into = std::mem::take(&mut self.made).into();
        } else {
            into.extend(self.made.drain(..taken));
        }
        taken
    }

    fn count(&mut self, clock_moved: bool) -> Result<(), String> {
        self.since_boundary = self.since_boundary.saturating_add(1);
        self.since_clock_moved = if clock_moved { 0 } else { self.since_clock_moved + 1 };
        let once = self.section != Section::Iteration;
        let Bounds { iterations, nominal_ns } = self.bounds;
        let ends = once || iterations.is_some() || nominal_ns.is_some();
        if ends && self.since_boundary > MAX_OPERATIONS_IN_A_ROUND {
            let what = match self.section {
                Section::Setup => "setup",
                Section::Iteration => "one iteration",
                Section::Teardown => "teardown",
            };
            return Err(format!(
                "{what} made more than {MAX_OPERATIONS_IN_A_ROUND} operations, so it seems endless; end the loop, or loop over c:running()"
            ));
        }
        let stands = nominal_ns.is_some() && iterations.is_none();
        if stands && !once && self.since_clock_moved > MAX_OPERATIONS_AT_A_TIME {
            return Err(format!(
                "{MAX_OPERATIONS_AT_A_TIME} operations without think or at: a duration cannot bound this stream; bound it with --iterations"
            ));
        }
        if self.made.len() > self.batch.saturating_add(MAX_UNINTERRUPTED) {
            return Err(format!(
                "more than {MAX_UNINTERRUPTED} operations inside one coroutine or callback of the script; make them in the iteration itself"
            ));
        }
        Ok(())
    }
}
