//! The stage `mix`: changes how often sequences occur.

use std::rc::Rc;

use super::globs::Globs;
use super::nominal_time::NominalTime;
use super::open_handles::{HandleUse, OpenHandles, handle_use};
use super::per_client::{ClientTransform, per_client};
use super::stream::{OperationStream, StagePlace, StreamStage, TransformError};
use crate::ir::random::RandomNumbers;
use crate::ir::{Due, HandleRef, OpenOperation, Operation, OperationKind, Section};
use crate::protocol::create::CreateDisposition;

/// Maximum number of operations of all repetitions of one sequence, which are made at once.
const MAX_REPEATED: usize = 20_000;
/// Maximum number of operations of all sequences that one client has open and that are repeated.
const MAX_HELD: usize = 20_000;

/// Re-weighs the sequences from an open to its close.
///
/// A weight of 3 makes a sequence three times, one after the other, and a weight of 0.5 keeps it
/// with a probability of one half. Setup, teardown and operations by path stay as they are, and so
/// does a sequence that matches no rule. A sequence that is not closed in the iterations is not
/// repeated.
///
/// A repetition follows the close of the sequence before it, with the same times between its
/// operations, and belongs to the same step. Where the original creates its file (FILE_CREATE), a repetition opens it (FILE_OPEN).
#[derive(Clone, Debug)]
pub struct MixStage {
    /// The first rule that matches counts.
    pub rules: Vec<MixRule>,
}

#[derive(Clone, Debug)]
pub struct MixRule {
    /// Patterns of the open's path.
    pub path: Globs,
    pub weight: f64,
}

/// The largest weight.
pub const MAX_WEIGHT: f64 = 1_000.0;

impl StreamStage for MixStage {
    fn apply(
        &self,
        input: Rc<dyn OperationStream>,
        place: StagePlace,
    ) -> Result<Rc<dyn OperationStream>, TransformError> {
        let mut facts = input.facts().clone();
        facts.ids_stay_unique &= self.rules.iter().all(|rule| rule.weight <= 1.0);
        let (rules, random) = (Rc::new(self.rules.clone()), place.clone());
        Ok(per_client(input, facts, place, move |client| {
            Box::new(ClientMix {
                rules: Rc::clone(&rules),
                random: random.random(client),
                section: Section::Setup,
                handles: OpenHandles::default(),
                held: 0,
                time: NominalTime::default(),
            })
        }))
    }
}

struct ClientMix {
    rules: Rc<Vec<MixRule>>,
    random: RandomNumbers,
    section: Section,
    handles: OpenHandles<Sequence>,
    /// The number of operations in all sequences.
    held: usize,
    time: NominalTime,
}

/// An open sequence.
struct Sequence {
    is_kept: bool,
    /// Number of additional repetitions after the close.
    repetitions: u32,
    /// If it is repeated, its operations and the time before each in nanoseconds.
    operations: Vec<(Operation, u64)>,
    /// The nominal time of its last operation.
    last_ns: u64,
}

impl ClientMix {
    /// Returns the number of times that a sequence is made.
    fn times(&mut self, open: &OpenOperation) -> u32 {
        let path = open.path.as_str();
        let rule = self.rules.iter().find(|rule| rule.path.matches(path));
        match rule.filter(|_| self.section == Section::Iteration) {
            Some(MixRule { weight, .. }) => {
                let whole = weight.floor();
                whole as u32 + u32::from(self.random.float() < weight - whole)
            }
            None => 1,
        }
    }

    /// Passes on one operation on a handle. Returns whether it is kept.
    fn on_handle(
        &mut self,
        handle: HandleRef,
        operation: &Operation,
        nominal_ns: u64,
    ) -> Result<bool, String> {
        let Some(sequence) = self.handles.get_mut(handle) else { return Ok(false) };
        if sequence.repetitions > 0 {
            let since_ns = nominal_ns.saturating_sub(sequence.last_ns);
            sequence.operations.push((operation.clone(), since_ns));
            sequence.last_ns = nominal_ns;
            self.held += 1;
            let repeated = sequence.operations.len() * sequence.repetitions as usize;
            if repeated > MAX_REPEATED || self.held > MAX_HELD {
                return Err(format!(
                    "operation {}: repeated sequences are kept in memory, and the repetitions of this one have more than {MAX_REPEATED} operations (or all that are open together have more than {MAX_HELD}); give it a smaller weight",
                    operation.op_id()
                ));
            }
        }
        Ok(sequence.is_kept)
    }

    /// Appends the repetitions of a sequence that was closed in `iteration`. They have the same
    /// handle, which is free again.
    fn repeat(&mut self, sequence: Sequence, iteration: u32, into: &mut Vec<Operation>) {
        self.held -= sequence.operations.len();
        for _ in 0..sequence.repetitions {
            for (operation, since_ns) in &sequence.operations {
                let mut operation = operation.clone();
                operation.due = Due::After(*since_ns);
                operation.iteration = iteration;
                if let OperationKind::Open(open) = &mut operation.kind
                    && open.disposition == CreateDisposition::Create
                {
                    open.disposition = CreateDisposition::Open;
                }
                self.time.add(&operation);
                into.push(operation);
            }
        }
    }
}

impl ClientTransform for ClientMix {
    fn enter(&mut self, section: Section) {
        self.section = section;
        self.time = NominalTime::default();
        for sequence in self.handles.values_mut() {
            sequence.repetitions = 0;
            self.held -= std::mem::take(&mut sequence.operations).len();
        }
    }

    fn pass(
        &mut self,
        operations: &mut Vec<Operation>,
        into: &mut Vec<Operation>,
    ) -> Result<(), String> {
        for mut operation in operations.drain(..) {
            let nominal_ns = self.time.see(&operation);
            let mut closed = None;
            let kept = match handle_use(&operation) {
                HandleUse::None => true,
                HandleUse::On(handle) => self.on_handle(handle, &operation, nominal_ns)?,
                HandleUse::Close(handle) => {
                    let kept = self.on_handle(handle, &operation, nominal_ns)?;
                    closed = self.handles.close(handle);
                    kept
                }
                HandleUse::Open(handle) => {
                    let times = match &operation.kind {
                        OperationKind::Open(open) => self.times(open),
                        _ => 1,
                    };
                    let (is_kept, repetitions) = (times > 0, times.saturating_sub(1));
                    let (operations, last_ns) = (Vec::new(), nominal_ns);
                    let sequence = Sequence { is_kept, repetitions, operations, last_ns };
                    self.handles.open(handle, sequence);
                    self.on_handle(handle, &operation, nominal_ns)?
                }
            };
            let iteration = operation.iteration;
            if kept {
                self.time.keep(&mut operation);
                into.push(operation);
            } else {
                self.time.skip(&operation);
            }
            if let Some(sequence) = closed {
                self.repeat(sequence, iteration, into);
            }
        }
        Ok(())
    }
}
