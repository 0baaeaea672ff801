//! The lines of the operation log; `schema/ops.schema.json` describes them.

use serde::Serialize;

use super::super::failures::StatusKey;
use super::super::metrics::Layout;
use super::tap::{Completed, Record};
use crate::ir::event::{BreakEnd, BreakEvent, IterationEvent};
use crate::ir::{CompletionStatus, Failure, Section};
use crate::protocol::{Break, Caching, Durable, Granted, NtStatus};

const MAX_MESSAGE_CHARS: usize = 300;

/// Numbers of 64 bits that are names (of files, of leases) are hexadecimal
/// text, as many readers of JSON keep 53 bits.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line<'a> {
    Operation(OperationLine<'a>),
    Break(BreakLine<'a>),
    DroppedIteration(DroppedLine<'a>),
}

/// Whose it is and when; `phase` is absent in setup and teardown.
#[derive(Serialize)]
pub(super) struct Place<'a> {
    client: String,
    workload: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct OperationLine<'a> {
    op_id: String,
    #[serde(flatten)]
    place: Place<'a>,
    section: Section,
    iteration: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Of a skipped operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    because_of: Option<String>,
    due_ns: u64,
    eligible_ns: u64,
    issued_ns: u64,
    attempted_ns: u64,
    completed_ns: u64,
    bytes: u64,
    retries: u32,
    /// Absent where no break held it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    granted: Option<Box<GrantedPart>>,
}

#[derive(Serialize)]
struct GrantedPart {
    /// `lease` where there is one.
    oplock: &'static str,
    create_action: &'static str,
    file_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_file_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<LeasePart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    durable: Option<DurablePart>,
}

#[derive(Serialize)]
struct DurablePart {
    version: u8,
    /// Absent where the server does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u32>,
}

#[derive(Serialize)]
struct LeasePart {
    key: String,
    state: &'static str,
    breaking: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_key: Option<String>,
    epoch: u16,
}

#[derive(Serialize)]
pub(super) struct BreakLine<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    path: &'a str,
    #[serde(flatten)]
    what: Broken,
    noticed_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_ns: Option<u64>,
    ended_ns: u64,
    end: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    blocked: u32,
    blocked_ns: u64,
}

#[derive(Serialize)]
#[serde(tag = "broken", rename_all = "lowercase")]
enum Broken {
    /// The notice names the open, not what it holds.
    Oplock {
        file_id: String,
        to: &'static str,
    },
    Lease {
        key: String,
        from: &'static str,
        to: &'static str,
        epoch: u16,
    },
}

#[derive(Serialize)]
pub(super) struct DroppedLine<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    iteration: u32,
    due_ns: u64,
    eligible_ns: u64,
}

pub(super) fn line<'a>(record: &'a Record, layout: &'a Layout) -> Line<'a> {
    match record {
        Record::Operation(record) => Line::Operation(operation(record, layout)),
        Record::Break(event) => Line::Break(broken(event, layout)),
        Record::Dropped(event) => Line::DroppedIteration(dropped(event, layout)),
    }
}

fn place(layout: &Layout, client_idx: u32, phase: Option<u16>) -> Place<'_> {
    let phase = phase.and_then(|phase| layout.phases().get(usize::from(phase)));
    Place {
        client: layout.header.client_name(client_idx),
        workload: layout.workload_name(layout.workload(client_idx)),
        phase: phase.map(|phase| phase.name.as_str()),
    }
}

fn operation<'a>(record: &'a Completed, layout: &'a Layout) -> OperationLine<'a> {
    let op_id = |seq: u32| format!("{}-{seq}", record.client_idx);
    let (mut status, mut code, mut message, mut because_of) = (None, None, None, None);
    let mut number = |nt: NtStatus| (status, code) = (Some(nt.to_string()), Some(nt.0));
    let outcome = match &record.status {
        CompletionStatus::Succeeded(nt) => {
            number(*nt);
            "succeeded"
        }
        CompletionStatus::Failed(Failure::Status(nt)) => {
            number(*nt);
            "failed"
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
            "failed"
        }
        CompletionStatus::Skipped { cause_seq } => {
            because_of = Some(op_id(*cause_seq));
            "skipped"
        }
        CompletionStatus::Cut => "cut",
    };
    OperationLine {
        op_id: record.id.as_ref().map_or_else(|| op_id(record.seq), |id| id.to_string()),
        place: place(layout, record.client_idx, record.phase),
        section: record.section,
        iteration: record.iteration,
        kind: record.kind.name(),
        path: record.path.as_ref().map(|path| path.as_str()),
        outcome,
        status,
        code,
        message,
        because_of,
        due_ns: record.due_ns,
        eligible_ns: record.eligible_ns,
        issued_ns: record.issued_ns,
        attempted_ns: record.attempted_ns,
        completed_ns: record.completed_ns,
        bytes: record.bytes,
        retries: record.retries,
        blocked_ns: Some(record.blocked_ns).filter(|blocked_ns| *blocked_ns > 0),
        granted: record.granted.as_deref().map(granted).map(Box::new),
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
    let status = match &event.end {
        BreakEnd::Refused(status) => Some(*status),
        _ => None,
    };
    BreakLine {
        place: place(layout, event.client_idx, event.phase),
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
        end: match event.end {
            BreakEnd::NotAsked => "not_asked",
            BreakEnd::Acknowledged => "acknowledged",
            BreakEnd::Refused(_) => "refused",
            BreakEnd::Closed => "closed",
            BreakEnd::ConnectionLost => "connection_lost",
            BreakEnd::Ignored => "ignored",
            BreakEnd::TimedOut => "timed_out",
            BreakEnd::Cut => "cut",
        },
        status: status.map(|status| status.to_string()),
        code: status.map(|status| status.0),
        blocked: event.blocked,
        blocked_ns: event.blocked_ns,
    }
}

fn dropped<'a>(event: &IterationEvent, layout: &'a Layout) -> DroppedLine<'a> {
    DroppedLine {
        place: place(layout, event.client_idx, event.phase),
        iteration: event.iteration,
        due_ns: event.due_ns,
        eligible_ns: event.eligible_ns,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
