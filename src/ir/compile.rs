//! The compilation of a stream: every client's operations are merged into one document.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::Write;
use std::ops::Range;

use super::document::header::Header;
use super::document::limits::MAX_TIME_NS;
use super::document::line::DocumentLine;
use super::document::validate::described;
use super::document::writer::DocumentWriter;
use super::document::{Format, WriteError};
use super::due::Due;
use super::nominal::NominalClock;
use super::operation::{Operation, Section};
use super::source::{OperationSource, Progress, SourceError, StreamHeader};

/// The bounds of a stream. The stream ends at the bound that is reached first. Setup and teardown
/// are always complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompileBounds {
    /// Maximum number of operations of iterations, over all clients, in the order of nominal time.
    pub operations: Option<u64>,
    /// The nominal time before which the iterations end.
    pub duration_ns: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileReport {
    pub operations: u64,
    pub clients: u32,
    /// The hash of the operations: see [`Written::ir_hash`](super::document::Written).
    pub ir_hash: String,
    /// The nominal time of the last operation of the iterations.
    pub nominal_ns: u64,
    /// Whether the iterations ended at the bound on operations, although the stream had more.
    pub at_bound: bool,
    /// See [`Written::dropped`](super::document::Written).
    pub dropped: Vec<&'static str>,
}

#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error(
        "the stream has no end; bound it with --iterations N (per client), --operations N or --duration (nominal time)"
    )]
    Unbounded,
    #[error(
        "client {client} made {operations} operations and its nominal clock did not move, so no duration ends them; bound them with --iterations N (per client) or --operations N, or let the client think (c:think, c:at)"
    )]
    ClockStandsStill { client: String, operations: u64 },
    #[error(
        "client {client}: the {section} has more than {MAX_SETUP_OPERATIONS} operations; it should end by itself"
    )]
    EndlessSetup { client: String, section: &'static str },
    #[error("client {client}: time goes backwards at {operation}: {at} ns after {before} ns")]
    TimeBackwards { client: String, operation: String, before: u64, at: u64 },
    #[error("client {client}: nominal time at {operation} is beyond 146 years")]
    TimeTooLarge { client: String, operation: String },
    #[error("{0}")]
    Source(#[from] SourceError),
    #[error("{0}")]
    Write(#[from] WriteError),
}

/// Maximum number of operations that are fetched ahead, over all clients.
const LOOKAHEAD: usize = 65_536;
const MOST_PER_CLIENT: usize = 64;
/// Number of operations without progress of the nominal clock after which it is considered stopped.
const STANDSTILL: u64 = 100_000;
const MAX_SETUP_OPERATIONS: u64 = 10_000_000;

/// Writes the whole stream as a document, in the order section, nominal time, iteration,
/// client, seq. The run-wide client's setup comes before all others' and its teardown after.
/// Memory does not grow with the number of operations.
///
/// # Errors
/// [`CompileError`]; `out` then holds a part of a document, to be removed.
pub fn compile(
    source: &mut dyn OperationSource,
    bounds: CompileBounds,
    format: Format,
    out: impl Write,
) -> Result<CompileReport, CompileError> {
    let header = source.header().clone();
    if !header.bounded && bounds == CompileBounds::default() {
        return Err(CompileError::Unbounded);
    }
    let mut writer = DocumentWriter::new(format, &Header::from(&header), out)?;
    let (mut nominal_ns, mut at_bound) = (0, false);
    for (section, range) in sections(&header) {
        let must_move =
            section == Section::Iteration && !header.bounded && bounds.operations.is_none();
        let mut merge = SectionMerge::new(source, section, range, must_move)?;
        let iterates = section == Section::Iteration;
        let limit = bounds.operations.filter(|_| iterates).unwrap_or(u64::MAX);
        let end = bounds.duration_ns.filter(|_| iterates).unwrap_or(u64::MAX);
        let mut written = 0;
        while written < limit
            && let Some((nominal, operation)) = merge.next()?
            && nominal < end
        {
            writer.operation(DocumentLine::from_operation(&operation))?;
            written += 1;
            if iterates {
                nominal_ns = nominal;
            }
        }
        at_bound |= written == limit && merge.next()?.is_some_and(|(nominal, _)| nominal < end);
    }
    let written = writer.finish()?;
    Ok(CompileReport {
        operations: written.operations,
        clients: header.clients(),
        ir_hash: written.ir_hash,
        nominal_ns,
        at_bound,
        dropped: written.dropped,
    })
}

/// Passes every operation of a bounded stream to `each`, in the order in which [`compile`] writes
/// them. Memory does not grow with the number of operations.
///
/// # Errors
/// The first error of `each`, or a [`CompileError`] if the stream breaks off.
pub fn for_each_operation<E: From<CompileError>>(
    source: &mut dyn OperationSource,
    mut each: impl FnMut(&Operation) -> Result<(), E>,
) -> Result<(), E> {
    let header = source.header().clone();
    if !header.bounded {
        return Err(CompileError::Unbounded.into());
    }
    for (section, range) in sections(&header) {
        let mut merge = SectionMerge::new(source, section, range, false)?;
        while let Some((_, operation)) = merge.next()? {
            each(&operation)?;
        }
    }
    Ok(())
}

/// Returns the sections of a stream and the clients that have them, in their order.
fn sections(header: &StreamHeader) -> [(Section, Range<u32>); 5] {
    let clients = header.workload_clients();
    let run_client = clients..header.clients();
    [
        (Section::Setup, run_client.clone()),
        (Section::Setup, 0..clients),
        (Section::Iteration, 0..clients),
        (Section::Teardown, 0..clients),
        (Section::Teardown, run_client),
    ]
}

/// The merge of one section of a range of clients, in order.
struct SectionMerge<'s> {
    source: &'s mut dyn OperationSource,
    section: Section,
    first: u32,
    clients: Vec<PulledAhead>,
    /// The nominal time, iteration and client of each client's next operation.
    heads: BinaryHeap<Reverse<(u64, u32, u32)>>,
    batch: usize,
    must_move: bool,
    pulled: Vec<Operation>,
}

/// The operations that were pulled of one client.
#[derive(Default)]
struct PulledAhead {
    queue: VecDeque<Operation>,
    ended: bool,
    clock: NominalClock,
    /// The time of the last `At`.
    at: u64,
    /// The number of operations since the nominal clock moved.
    standing: u64,
    operations: u64,
}

impl<'s> SectionMerge<'s> {
    fn new(
        source: &'s mut dyn OperationSource,
        section: Section,
        range: Range<u32>,
        must_move: bool,
    ) -> Result<SectionMerge<'s>, CompileError> {
        let count = range.len();
        let mut merge = SectionMerge {
            source,
            section,
            first: range.start,
            clients: std::iter::repeat_with(PulledAhead::default).take(count).collect(),
            heads: BinaryHeap::with_capacity(count),
            batch: (LOOKAHEAD / count.max(1)).clamp(1, MOST_PER_CLIENT),
            must_move,
            pulled: Vec::new(),
        };
        for client in range {
            merge.advance(client)?;
        }
        Ok(merge)
    }

    fn next(&mut self) -> Result<Option<(u64, Operation)>, CompileError> {
        let Some(Reverse((nominal, _, client))) = self.heads.pop() else { return Ok(None) };
        let operation = self.clients[(client - self.first) as usize].queue.pop_front();
        self.advance(client)?;
        Ok(operation.map(|operation| (nominal, operation)))
    }

    /// Finds the place of the client's next operation in the order.
    fn advance(&mut self, client: u32) -> Result<(), CompileError> {
        let ahead = &mut self.clients[(client - self.first) as usize];
        if ahead.queue.is_empty() && !ahead.ended {
            let progress = self.source.pull(client, self.section, self.batch, &mut self.pulled)?;
            ahead.ended = progress == Progress::End;
            // With a million clients, spare capacity of the queues would be most of the memory.
            ahead.queue.reserve_exact(self.pulled.len());
            ahead.queue.extend(self.pulled.drain(..));
        }
        let Some(operation) = ahead.queue.front() else {
            ahead.queue = VecDeque::new();
            return Ok(());
        };
        let name = || self.source.header().client_name(client);
        if let Due::At(at) = operation.due {
            if at < ahead.at {
                let (operation, before) = (described(operation), ahead.at);
                return Err(CompileError::TimeBackwards { client: name(), operation, before, at });
            }
            ahead.at = at;
        }
        let before = ahead.clock.now_ns();
        ahead.clock.pass(operation.due, operation.iteration);
        let nominal = ahead.clock.now_ns();
        if nominal > MAX_TIME_NS {
            let operation = described(operation);
            return Err(CompileError::TimeTooLarge { client: name(), operation });
        }
        // Discarded operations take no time, however many there are.
        let moved = nominal > before || ahead.clock.drops(operation.iteration);
        ahead.standing = if moved { 0 } else { ahead.standing + 1 };
        ahead.operations += 1;
        if self.must_move && ahead.standing >= STANDSTILL {
            let operations = ahead.standing;
            return Err(CompileError::ClockStandsStill { client: name(), operations });
        }
        if self.section != Section::Iteration && ahead.operations > MAX_SETUP_OPERATIONS {
            let section = if self.section == Section::Setup { "setup" } else { "teardown" };
            return Err(CompileError::EndlessSetup { client: name(), section });
        }
        self.heads.push(Reverse((nominal, operation.iteration, client)));
        Ok(())
    }
}
