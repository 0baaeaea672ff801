//! What a run says happened.

use std::time::Duration;

use serde::Serialize;

use super::operation::{Operation, OperationType};
use crate::protocol::{Break, Granted, NtStatus, SharePath};

/// Everything the scheduler reports, in the order it happened within a client.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every event is a completion: boxing it would cost an allocation each"
)]
#[derive(Clone, Debug)]
pub enum Event {
    /// The client's first connection is made.
    Connected {
        client_idx: u32,
    },
    /// The client's first operations are there, before time zero.
    Prepared {
        client_idx: u32,
    },
    Completed(CompletionEvent),
    Iteration(IterationEvent),
    /// The engine closed handles a cut or finished client had left open.
    Cleanup {
        client_idx: u32,
        closed: u32,
        failed: u32,
    },
    /// A break is over.
    Break(Box<BreakEvent>),
    /// A lost connection is back.
    Reconnected {
        client_idx: u32,
        after: Duration,
    },
    /// The bound on draining and teardown passed with this many clients of the
    /// shard not done; what they had in flight completed as cut.
    GaveUp {
        clients: usize,
        /// Some of them had an operation of a phase in flight.
        measuring: bool,
    },
    /// Measuring ended with operations due that were never issued.
    Unissued(Unissued),
    /// The shard's driver got to a heartbeat `late_ns` after its time.
    Heartbeat {
        /// Index into the run's phases.
        phase: Option<u16>,
        late_ns: u64,
    },
    /// A client was without a connection in a phase.
    Disconnected(Disconnection),
    /// The client gave up reconnecting; it issues nothing more.
    ClientFailed {
        client_idx: u32,
        /// The phases were still being measured.
        measuring: bool,
        reason: String,
    },
}

/// The time between two heartbeats of a shard that is not held up.
pub const HEARTBEAT_PERIOD_NS: u64 = 10_000_000;

/// Takes the events of one shard, in order, on the shard's thread.
pub trait EventSink {
    fn event(&mut self, event: Event);
}

/// An operation ended: exactly one per operation, after it has fully ended.
///
/// All times are nanoseconds from the run's origin (before connecting and
/// setup). An operation that was never sent has `issued == completed`.
#[derive(Clone, Debug)]
pub struct CompletionEvent {
    pub operation: Operation,
    pub status: CompletionStatus,
    /// Index into the run's phases; none in setup and teardown.
    pub phase: Option<u16>,
    pub due_ns: u64,
    /// The latest of due, the client's previous completion + think, the return of a lost
    /// connection, and the end of a break that blocked it.
    pub eligible_ns: u64,
    /// When it was first handed to the server.
    pub issued_ns: u64,
    /// When it was last: later than `issued_ns` where it was tried again.
    pub attempted_ns: u64,
    pub completed_ns: u64,
    /// How often it was tried again before this, its only completion.
    pub retries: u32,
    pub held_up: HeldUp,
    /// The part of its backlog in which it waited for the end of a break, for the return of
    /// a connection, or for its handle to be opened again.
    pub blocked_ns: u64,
    /// Bytes read or written.
    pub bytes: u64,
    /// A read that returned less than it asked for.
    pub short_read: bool,
    /// Extensions that `--degrade` left out.
    pub degraded: bool,
    /// What an open was granted, where the backend knows.
    pub granted: Option<Box<Granted>>,
    pub socket: SocketTimes,
    /// Its handle was opened again before it was issued, since the connection had been lost.
    pub reopened: Option<Reopened>,
}

/// The open that went before an operation on a handle of a lost connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reopened {
    /// The time it took, which is part of the operation's backlog.
    pub took_ns: u64,
    /// Byte-range locks that the handle had and has no more.
    pub locks_lost: u32,
    /// The operation was skipped.
    pub failed: bool,
}

/// What the socket saw of the last attempt at an operation. Without a socket of its own
/// a backend sees nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketTimes {
    /// When the first write began, in nanoseconds from the run's origin.
    pub first_write_ns: Option<u64>,
    /// The time from the kernel's receipt of the answer to the moment the client's task
    /// saw it; over all answers where there were several.
    pub pickup_ns: Option<u64>,
    /// The wall clock was set meanwhile, so that there is no pickup.
    pub clock_stepped: bool,
}

impl CompletionEvent {
    /// Service time, of the last attempt: completed − attempted.
    pub fn latency(&self) -> Duration {
        Duration::from_nanos(self.service_ns())
    }

    pub fn service_ns(&self) -> u64 {
        self.completed_ns.saturating_sub(self.attempted_ns)
    }

    /// completed − due, where due is an arrival, a recorded time, or in a closed loop the
    /// end of the client's previous operation plus think time. It contains all that a user
    /// would have waited for: queueing, breaks and outages.
    pub fn response_ns(&self) -> u64 {
        self.completed_ns.saturating_sub(self.due_ns)
    }

    /// issued − eligible: the generator's fault.
    pub fn lateness_ns(&self) -> u64 {
        self.issued_ns.saturating_sub(self.eligible_ns)
    }

    /// eligible − due: the server's.
    pub fn backlog_ns(&self) -> u64 {
        self.eligible_ns.saturating_sub(self.due_ns)
    }

    /// first write − attempted: caused by the generator. None of what was not sent over
    /// a socket that is watched.
    pub fn handoff_ns(&self) -> Option<u64> {
        Some(self.socket.first_write_ns?.saturating_sub(self.attempted_ns))
    }

    pub fn operation_type(&self) -> OperationType {
        self.operation.operation_type()
    }
}

/// A break of what one client was granted, from the server's notice to its end.
/// Times are nanoseconds from the run's origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakEvent {
    pub client_idx: u32,
    /// Of the file as it was opened.
    pub path: SharePath,
    pub notice: Break,
    /// Index into the run's phases, by when the notice came.
    pub phase: Option<u16>,
    pub noticed_ns: u64,
    /// When the acknowledgement was sent, if one was.
    pub acknowledged_ns: Option<u64>,
    pub ended_ns: u64,
    pub end: BreakEnd,
    /// Operations, of this client and others, that waited for its end.
    pub blocked: u32,
    /// How long they did, together.
    pub blocked_ns: u64,
}

/// A stretch of a phase in which a client had no connection. Times are nanoseconds from
/// the run's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnection {
    pub client_idx: u32,
    /// Index into the run's phases.
    pub phase: Option<u16>,
    /// When the connection was lost; before `from_ns` where that was in an earlier phase.
    pub lost_ns: u64,
    pub from_ns: u64,
    pub to_ns: u64,
}

/// How a break came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BreakEnd {
    /// The server wants no answer (level II, a lease without W and H).
    NotAsked,
    /// The server took the answer.
    Acknowledged,
    /// The server refused the answer.
    Refused(NtStatus),
    /// The file was closed before the answer.
    Closed,
    /// The connection was lost before the answer.
    ConnectionLost,
    /// Nobody was to answer (`on_break`), and the server gave up.
    Ignored,
    /// The server had taken no answer when it gave up, though one was meant.
    TimedOut,
    /// The run ended before.
    Cut,
}

/// What an eligible operation waited for before it was issued. What remains of
/// its lateness is the time this program took to see to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldUp {
    /// The stream had not made it yet.
    pub by_generation_ns: u64,
    /// The limit on operations in flight.
    pub by_limit_ns: u64,
}

/// The operations of a shard that were due by the cut and never issued, as far
/// as they had been fetched: at least so many. Of a client whose next operation
/// was not made yet, that one is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unissued {
    /// Their client was busy, or disconnected: the server's backlog.
    pub by_backlog: u64,
    /// When the oldest of those was due, before the cut.
    pub backlog_ns: u64,
    /// The stream had not made them.
    pub by_generation: u64,
    /// They waited for the limit on operations in flight.
    pub by_limit: u64,
    /// This program had not got round to them.
    pub by_driver: u64,
    /// How long before the cut the first of these three kinds could have been
    /// issued: what became eligible just before it is no sign of a delay.
    pub late_ns: u64,
    /// Of a stream that has an end, iterations of a closed loop that were never
    /// due: the time of the closed loop was over before they could begin.
    pub superseded: u64,
}

impl Unissued {
    /// Of a stream without end nothing is missing: it goes on in the next phase.
    pub fn superseded(superseded: u64) -> Unissued {
        Unissued { superseded, ..Unissued::default() }
    }

    /// Adds what another shard of the run left.
    pub fn add(&mut self, other: Unissued) {
        self.by_backlog += other.by_backlog;
        self.backlog_ns = self.backlog_ns.max(other.backlog_ns);
        self.by_generation += other.by_generation;
        self.by_limit += other.by_limit;
        self.by_driver += other.by_driver;
        self.late_ns = self.late_ns.max(other.late_ns);
        self.superseded += other.superseded;
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompletionStatus {
    /// A status the operation expected.
    Succeeded(NtStatus),
    Failed(Failure),
    /// Never sent: its handle was not open, because operation `cause` of the
    /// same client failed or the connection was lost there.
    Skipped {
        cause_seq: u32,
    },
    /// Still in flight when the drain bound ended.
    Cut,
}

/// How an operation that was sent failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Status(NtStatus),
    /// `--op-timeout` passed.
    #[error("TIMED_OUT")]
    TimedOut,
    #[error("CONNECTION_LOST: {0}")]
    ConnectionLost(String),
    /// The server's reply made no sense, or the client stack failed without a status.
    #[error("CLIENT_ERROR: {0}")]
    Client(String),
    #[error("PANICKED: {0}")]
    Panicked(String),
    /// What a write carries could not be read from its file: the file's fault or
    /// this host's. Nothing was sent.
    #[error("PAYLOAD_UNREADABLE: {0}")]
    Payload(String),
}

impl Failure {
    /// The name the summary counts it under.
    pub fn name(&self) -> String {
        match self {
            Failure::Status(status) => status.to_string(),
            Failure::TimedOut => "TIMED_OUT".into(),
            Failure::ConnectionLost(_) => "CONNECTION_LOST".into(),
            Failure::Client(_) => "CLIENT_ERROR".into(),
            Failure::Panicked(_) => "PANICKED".into(),
            Failure::Payload(_) => "PAYLOAD_UNREADABLE".into(),
        }
    }
}

/// A whole iteration ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IterationEvent {
    pub client_idx: u32,
    pub iteration: u32,
    pub phase: Option<u16>,
    pub due_ns: u64,
    /// max(due, the client's previous completion + think): later than `due_ns`
    /// where an arrival found its client busy.
    pub eligible_ns: u64,
    /// First issue.
    pub started_ns: u64,
    /// Last completion.
    pub ended_ns: u64,
    pub outcome: IterationOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IterationOutcome {
    Finished,
    /// The stream was cut before its last operation.
    Cut,
    /// Its arrival found the client busy, and none of it was issued.
    Dropped,
    /// None of its operations was sent, since the handles they need were not open.
    Skipped,
}
