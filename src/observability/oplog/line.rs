//! The lines of the operation log. `schema/ops.schema.json` is made from their types.

use serde::Serialize;

#[cfg(test)]
use super::super::breaks::GrantedCounts;
use super::super::failures::{MAX_MESSAGE_CHARS, StatusKey};
use super::super::layout::Layout;
use super::tap::{Completed, LogRecord};
use crate::ir::event::{BreakEnd, BreakEvent, FIRST_GENERATION, IterationEvent};
use crate::ir::{CompletionStatus, Failure, OperationType, Section, Step};
use crate::protocol::{Break, Caching, Durable, Granted, NtStatus, SharePath};

/// A line of `ops.jsonl` (`--oplog`). Times (`_ns`) are nanoseconds from the run's origin
/// (connections made, before setup). Lines of one client are in order; lines of different clients
/// need not be. Identifiers of 64 bits (of files, of leases) are strings of hexadecimal digits,
/// because many JSON readers keep only 53 bits of a number. The schema lists every key of this
/// version. A reader should ignore other keys, because later versions may add some.
#[derive(Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(title = "smbench operation log, version 1")
)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum LogLine<'a> {
    /// An operation ended. There is one line for each operation, tried again or not.
    Operation(OperationLine<'a>),
    /// A break ended.
    Break(BreakLine<'a>),
    /// An arrival of an open loop found its client busy and was dropped: none of its
    /// operations was issued.
    DroppedIteration(DroppedLine<'a>),
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct LineContext<'a> {
    /// Name of the client.
    client: String,
    /// Name of its workload.
    workload: &'a str,
    /// The phase in which it was issued, noticed or dropped; absent in setup and teardown.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'a str>,
}

/// An operation that ended.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct OperationLine<'a> {
    /// The document's id, or the numbers of the client and of the operation (`0-17`).
    op_id: String,
    #[serde(flatten)]
    context: LineContext<'a>,
    section: Section,
    /// Number of the client's iteration, from 0.
    iteration: u32,
    /// The innermost step that it belongs to; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<StepPart<'a>>,
    #[serde(rename = "type")]
    kind: OperationType,
    /// The path it names, or that its handle was opened with; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    outcome: OperationOutcome,
    /// An NT status, or TIMED_OUT, CONNECTION_LOST, CLIENT_ERROR, PANICKED or
    /// PAYLOAD_UNREADABLE; absent where it was skipped or cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// The NT status as a number; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    /// The message of a failure without an NT status.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// The numbers of the client and of the operation that caused it to be skipped; absent
    /// where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    because_of: Option<String>,
    /// When the stream asked for it.
    due_ns: u64,
    /// When its client was ready for it, and no break held it up.
    eligible_ns: u64,
    /// When it was first handed to the server.
    issued_ns: u64,
    /// When it was last handed to the server.
    attempted_ns: u64,
    /// When it ended.
    completed_ns: u64,
    /// Bytes read or written.
    bytes: u64,
    /// Attempts after the first.
    retries: u32,
    /// The part of eligible - due, in nanoseconds, for which it waited for breaks of its file,
    /// for the return of a connection, or for its handle to be opened again; absent where it
    /// did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_ns: Option<u64>,
    /// The caching that an open was granted; absent where the backend does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    granted: Option<Box<GrantedPart>>,
    /// The generation of the stream that it belongs to, from 2: the number of times that the run
    /// has loaded its stream. Absent of the first, in which every operation of a run without
    /// `--watch` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = 2)))]
    generation: Option<u32>,
}

/// A step of a client.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct StepPart<'a> {
    #[serde(flatten)]
    occurrence: StepOccurrence<'a>,
    /// The step that it happened in; absent where it is in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    outer: Option<StepOccurrence<'a>>,
}

/// One occurrence of a step.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct StepOccurrence<'a> {
    /// Name of the step.
    name: &'a str,
    /// Number of the step within its iteration, setup or teardown, from 0.
    number: u32,
}

impl<'a> From<&'a Step> for StepOccurrence<'a> {
    fn from(step: &'a Step) -> StepOccurrence<'a> {
        StepOccurrence { name: &step.name, number: step.number }
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum OperationOutcome {
    /// It ended with a status that was expected.
    Succeeded,
    /// It ended with a status that was not expected, or with none.
    Failed,
    /// It was never sent, because its handle was not open.
    Skipped,
    /// It was in flight when the bound on the drain ended.
    Cut,
}

/// The caching that an open was granted.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct GrantedPart {
    /// Level of the oplock; `lease` where there is a lease.
    #[cfg_attr(test, schemars(extend("enum" = names::oplocks())))]
    oplock: &'static str,
    /// The create action: whether the file was opened, created, overwritten or superseded.
    #[cfg_attr(test, schemars(extend("enum" = GrantedCounts::actions())))]
    create_action: &'static str,
    /// Id of the open: 32 hexadecimal digits, the persistent part first.
    file_id: String,
    /// Id of the file: 16 hexadecimal digits; absent where the server does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_file_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<LeasePart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    durable: Option<DurablePart>,
}

/// A handle that outlives its connection; absent where the server made none.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct DurablePart {
    /// Version of durable handles.
    #[cfg_attr(test, schemars(extend("enum" = [1, 2])))]
    version: u8,
    /// How long the handle outlives its connection, in milliseconds; absent where the server
    /// does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = 1)))]
    timeout_ms: Option<u32>,
}

/// A lease; absent where the server granted none.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LeasePart {
    /// 32 hexadecimal digits.
    key: String,
    /// The caching that is granted: reads (R), writes (W), handles (H).
    #[cfg_attr(test, schemars(extend("enum" = names::lease_states())))]
    state: &'static str,
    /// Whether the server is taking it back already.
    breaking: bool,
    /// Key of the directory's lease: 32 hexadecimal digits; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_key: Option<String>,
    /// Number of the lease's changes; 0 in version 1, which has none.
    epoch: u16,
}

/// A break that ended.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BreakLine<'a> {
    #[serde(flatten)]
    context: LineContext<'a>,
    /// Path of the file as it was opened.
    path: &'a str,
    #[serde(flatten)]
    what: Broken,
    /// When the notice of the break came.
    noticed_ns: u64,
    /// When the acknowledgement was sent; absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_ns: Option<u64>,
    /// When the break ended.
    ended_ns: u64,
    end: BreakEnd,
    /// The NT status with which the server refused the answer; absent where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// The same status as a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    /// Operations, of any client, that waited for the end of the break.
    blocked: u32,
    /// Nanoseconds that they waited, together.
    blocked_ns: u64,
}

/// The oplock or lease that the server broke.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "broken", rename_all = "lowercase")]
enum Broken {
    /// An oplock.
    Oplock {
        /// Id of the open, which says what it held: 32 hexadecimal digits.
        file_id: String,
        /// The most that the client may keep.
        #[cfg_attr(test, schemars(extend("enum" = names::oplocks())))]
        to: &'static str,
    },
    /// A lease.
    Lease {
        /// 32 hexadecimal digits.
        key: String,
        /// The caching that the client had.
        #[cfg_attr(test, schemars(extend("enum" = names::lease_states())))]
        from: &'static str,
        /// The most that the client may keep.
        #[cfg_attr(test, schemars(extend("enum" = names::lease_states())))]
        to: &'static str,
        /// Number of the lease's changes; 0 in version 1, which has none.
        epoch: u16,
    },
}

/// An iteration that was dropped.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DroppedLine<'a> {
    #[serde(flatten)]
    context: LineContext<'a>,
    /// Number of the client's iteration, from 0.
    iteration: u32,
    /// When it arrived.
    due_ns: u64,
    /// When its client was ready for it.
    eligible_ns: u64,
    /// The generation of the stream that it belongs to, from 2: the number of times that the run
    /// has loaded its stream. Absent of the first, in which every iteration of a run without
    /// `--watch` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = 2)))]
    generation: Option<u32>,
}

pub(super) fn line<'a>(record: &'a LogRecord, layout: &'a Layout) -> LogLine<'a> {
    match record {
        LogRecord::Operation(record) => LogLine::Operation(operation(record, layout)),
        LogRecord::Break(event) => LogLine::Break(broken(event, layout)),
        LogRecord::Dropped(event) => LogLine::DroppedIteration(dropped(event, layout)),
    }
}

fn context(layout: &Layout, client_idx: u32, phase: Option<u16>) -> LineContext<'_> {
    LineContext {
        client: layout.header.client_name(client_idx),
        workload: layout.workload_name(layout.workload(client_idx)),
        phase: phase.and_then(|phase| layout.phase_name(phase)),
    }
}

fn operation<'a>(record: &'a Completed, layout: &'a Layout) -> OperationLine<'a> {
    let times = &record.times;
    let op_id = |seq: u32| format!("{}-{seq}", record.client_idx);
    let (mut status, mut code, mut message, mut because_of) = (None, None, None, None);
    let mut number = |nt: NtStatus| (status, code) = (Some(nt.to_string()), Some(nt.0));
    let outcome = match &record.status {
        CompletionStatus::Succeeded(nt) => {
            number(*nt);
            OperationOutcome::Succeeded
        }
        CompletionStatus::Failed(Failure::Status(nt)) => {
            number(*nt);
            OperationOutcome::Failed
        }
        CompletionStatus::Failed(failure) => {
            status = Some(StatusKey::of(failure).name());
            if let Failure::ConnectionLost(text)
            | Failure::Client(text)
            | Failure::Panicked(text)
            | Failure::Payload(text) = failure
            {
                message = Some(text.chars().take(MAX_MESSAGE_CHARS).collect());
            }
            OperationOutcome::Failed
        }
        CompletionStatus::Skipped { cause_seq } => {
            because_of = Some(op_id(*cause_seq));
            OperationOutcome::Skipped
        }
        CompletionStatus::Cut => OperationOutcome::Cut,
    };
    OperationLine {
        op_id: record.id.as_ref().map_or_else(|| op_id(record.seq), |id| id.to_string()),
        context: context(layout, record.client_idx, record.phase),
        section: record.section,
        iteration: record.iteration,
        step: record.step.as_deref().map(|step| StepPart {
            occurrence: StepOccurrence::from(step),
            outer: step.outer.as_deref().map(StepOccurrence::from),
        }),
        kind: record.kind,
        path: record.path.as_ref().map(SharePath::as_str),
        outcome,
        status,
        code,
        message,
        because_of,
        due_ns: times.due_ns,
        eligible_ns: times.eligible_ns,
        issued_ns: times.issued_ns,
        attempted_ns: times.attempted_ns,
        completed_ns: times.completed_ns,
        bytes: record.bytes,
        retries: record.retries,
        blocked_ns: Some(times.blocked_ns).filter(|blocked_ns| *blocked_ns > 0),
        granted: record.granted.as_deref().map(granted).map(Box::new),
        generation: later(record.generation),
    }
}

fn granted(granted: &Granted) -> GrantedPart {
    GrantedPart {
        oplock: Caching::Oplock(granted.oplock).name(),
        create_action: granted.action.name(),
        file_id: granted.file_id.to_string(),
        disk_file_id: granted.disk_file_id.map(|id| format!("{id:016x}")),
        lease: granted.lease.map(|lease| LeasePart {
            key: hex(&lease.key),
            state: lease.state.name(),
            breaking: lease.breaking,
            parent_key: lease.parent_key.map(|key| hex(&key)),
            epoch: lease.epoch,
        }),
        durable: granted.durable.map(|Durable { version, timeout_ms }| DurablePart {
            version,
            timeout_ms: (timeout_ms > 0).then_some(timeout_ms),
        }),
    }
}

fn broken<'a>(event: &'a BreakEvent, layout: &'a Layout) -> BreakLine<'a> {
    BreakLine {
        context: context(layout, event.client_idx, event.phase),
        path: event.path.as_str(),
        what: match &event.notice {
            Break::Oplock(broken) => Broken::Oplock {
                file_id: broken.file_id.to_string(),
                to: Caching::Oplock(broken.level).name(),
            },
            Break::Lease(broken) => Broken::Lease {
                key: hex(&broken.key),
                from: broken.current.name(),
                to: broken.new.name(),
                epoch: broken.epoch,
            },
        },
        noticed_ns: event.noticed_ns,
        acknowledged_ns: event.acknowledged_ns,
        ended_ns: event.ended_ns,
        end: event.end,
        status: event.refusal.map(|status| status.to_string()),
        code: event.refusal.map(|status| status.0),
        blocked: event.blocked,
        blocked_ns: event.blocked_ns,
    }
}

fn dropped<'a>(event: &IterationEvent, layout: &'a Layout) -> DroppedLine<'a> {
    DroppedLine {
        context: context(layout, event.client_idx, event.phase),
        iteration: event.iteration,
        due_ns: event.due_ns,
        eligible_ns: event.eligible_ns,
        generation: later(event.generation),
    }
}

/// Returns the number of a generation after the first.
fn later(generation: u32) -> Option<u32> {
    (generation > FIRST_GENERATION).then_some(generation)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The names of oplock levels and lease states that a line can contain.
#[cfg(test)]
mod names {
    use crate::protocol::create::OplockLevel;
    use crate::protocol::{Caching, LeaseState};

    pub(super) fn oplocks() -> [&'static str; 5] {
        use OplockLevel::{Batch, Exclusive, II, Lease, None};
        [None, II, Exclusive, Batch, Lease].map(|level| Caching::Oplock(level).name())
    }

    pub(super) fn lease_states() -> Vec<&'static str> {
        (0..8).map(|bits| LeaseState::from_bits(bits).name()).collect()
    }
}
