//! The events that a run reports.

use std::time::Duration;

use serde::Serialize;

use super::operation::{Operation, OperationType};
use crate::protocol::{Break, Granted, NtStatus, SharePath};

/// An event that the scheduler reports. Those of one client are in the order in which they
/// happened.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every event is a completion: boxing it would cost an allocation each"
)]
#[derive(Clone, Debug)]
pub enum Event {
    /// A client's first connection.
    Connected {
        client_idx: u32,
    },
    /// The end of fetching a client's first operations, before time zero.
    Prepared {
        client_idx: u32,
    },
    Completed(CompletionEvent),
    Iteration(IterationEvent),
    /// The closing of handles that a cut or finished client had left open.
    Cleanup {
        client_idx: u32,
        closed: u32,
        failed: u32,
    },
    /// A break that has ended.
    Break(Box<BreakEvent>),
    /// The return of a lost connection.
    Reconnected {
        client_idx: u32,
        after: Duration,
    },
    /// The end of the time limit on drain and teardown, with this number of clients of the shard
    /// unfinished. Their operations in flight completed as cut.
    GaveUp {
        clients: usize,
        /// Whether some of them had an operation of a phase in flight.
        measuring: bool,
    },
    /// The operations that were due when measuring ended and were never issued.
    Unissued(Unissued),
    /// A heartbeat of the shard's driver, which was `late_ns` late.
    Heartbeat {
        /// Index into the run's phases.
        phase: Option<u16>,
        late_ns: u64,
    },
    /// A time in which a client had no connection in a phase.
    Disconnected(Disconnection),
    /// The acceptance of a generation by the shard. The events after it may be those of clients
    /// that joined with it.
    Reloaded {
        generation: u32,
    },
    /// The start of a client in a generation, or its leaving.
    Moved(MoveEvent),
    /// Operations of a generation that were fetched and not issued, because their client has moved
    /// to a later one.
    Superseded {
        generation: u32,
        operations: u32,
        /// The part of them that was due already.
        overdue: u32,
    },
    /// The end of a client that gave up reconnecting. It issues nothing more.
    ClientFailed {
        client_idx: u32,
        /// Whether the phases were still being measured.
        measuring: bool,
        reason: String,
    },
}

/// The time between two heartbeats of a shard that is not held up, in nanoseconds.
pub const HEARTBEAT_PERIOD_NS: u64 = 10_000_000;

/// A receiver of the events of one shard, in order, on the shard's thread.
pub trait EventSink {
    fn event(&mut self, event: Event);
}

/// The end of an operation. There is exactly one per operation, after it has fully ended.
#[derive(Clone, Debug)]
pub struct CompletionEvent {
    pub operation: Operation,
    pub execution: Execution,
    pub times: OperationTimes,
    pub held_up: HeldUp,
    /// Index into the run's phases; none in setup and teardown.
    pub phase: Option<u16>,
    /// The number of retries before this completion.
    pub retries: u32,
    /// The generation of the operation.
    pub generation: u32,
}

/// The number of the generation that a run begins with.
pub const FIRST_GENERATION: u32 = 1;

/// A move of a client between two generations of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveEvent {
    pub client_idx: u32,
    /// The generation that the client leaves; none if it joins the run.
    pub from: Option<u32>,
    /// The generation that the client goes to; none if it leaves the run.
    pub to: Option<u32>,
    /// The time of the move, in nanoseconds from the run's origin.
    pub at_ns: u64,
    /// The handles that the client had open, which were closed, and those whose close failed.
    pub closed: u32,
    pub failed: u32,
}

/// The result of the last attempt at an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    pub status: CompletionStatus,
    /// Bytes read or written.
    pub bytes: u64,
    /// Whether a read returned less than it asked for.
    pub short_read: bool,
    /// Whether `--degrade` removed create parameters because the backend lacks them.
    pub degraded: bool,
    /// The server's answer to an open, if the backend knows it.
    pub granted: Option<Box<Granted>>,
    pub socket: SocketTimes,
    /// The reopening of the handle before the operation was issued, if the connection had been
    /// lost.
    pub reopened: Option<Reopened>,
}

impl Execution {
    pub fn of(status: CompletionStatus) -> Execution {
        Execution {
            status,
            bytes: 0,
            short_read: false,
            degraded: false,
            granted: None,
            socket: SocketTimes::default(),
            reopened: None,
        }
    }

    pub fn failed(failure: Failure) -> Execution {
        Execution::of(CompletionStatus::Failed(failure))
    }
}

/// The times of an operation, in nanoseconds from the run's origin (before connecting and
/// setup). An operation that was skipped has `issued_ns == completed_ns`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationTimes {
    pub due_ns: u64,
    /// The latest of due, the client's previous completion plus think time, the return of a lost
    /// connection, and the end of a break that blocked it.
    pub eligible_ns: u64,
    /// The time at which the operation was first sent to the server.
    pub issued_ns: u64,
    /// The time at which the operation was last sent to the server: later than `issued_ns` if it
    /// was retried.
    pub attempted_ns: u64,
    pub completed_ns: u64,
    /// The part of the backlog in which the operation waited for the end of a break, for a
    /// reconnect, or for its handle to be opened again.
    pub blocked_ns: u64,
}

impl OperationTimes {
    /// Returns the service time of the last attempt: completed − attempted.
    pub fn service_ns(&self) -> u64 {
        self.completed_ns.saturating_sub(self.attempted_ns)
    }

    /// Returns completed − due. Due is an arrival, a recorded time or, in a closed loop, the
    /// end of the client's previous operation plus think time. The result contains all that a
    /// user would have waited for: queueing, breaks and outages.
    pub fn response_ns(&self) -> u64 {
        self.completed_ns.saturating_sub(self.due_ns)
    }

    /// Returns issued − eligible, which is caused by the generator.
    pub fn lateness_ns(&self) -> u64 {
        self.issued_ns.saturating_sub(self.eligible_ns)
    }

    /// Returns eligible − due, which is caused by the server.
    pub fn backlog_ns(&self) -> u64 {
        self.eligible_ns.saturating_sub(self.due_ns)
    }
}

/// An open that was repeated before an operation on a handle of a lost connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reopened {
    /// The time it took in nanoseconds, which is part of the operation's backlog.
    pub took_ns: u64,
    /// The number of byte-range locks that the handle had and lost.
    pub locks_lost: u32,
    /// Whether it failed, so that the operation was skipped.
    pub failed: bool,
}

/// The times that the socket observed for the last attempt at an operation. A backend without
/// a socket of its own has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketTimes {
    /// The time at which the first write began, in nanoseconds from the run's origin.
    pub first_write_ns: Option<u64>,
    /// The time from the kernel's receipt of the answer to the moment the client's task saw
    /// it. If there were several answers, it is the sum over all of them.
    pub pickup_ns: Option<u64>,
    /// Whether the wall clock was set meanwhile, so that there is no pickup.
    pub clock_stepped: bool,
}

impl CompletionEvent {
    /// Creates the completion of an operation that was tried once, in no phase.
    pub fn new(
        operation: Operation,
        execution: Execution,
        times: OperationTimes,
    ) -> CompletionEvent {
        let held_up = HeldUp::default();
        CompletionEvent {
            operation,
            execution,
            times,
            held_up,
            phase: None,
            retries: 0,
            generation: FIRST_GENERATION,
        }
    }

    /// Returns the service time.
    pub fn latency(&self) -> Duration {
        Duration::from_nanos(self.times.service_ns())
    }

    /// Returns first write − attempted, which is caused by the generator. None if nothing was
    /// sent over a socket that is watched.
    pub fn handoff_ns(&self) -> Option<u64> {
        Some(self.execution.socket.first_write_ns?.saturating_sub(self.times.attempted_ns))
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
    /// The path of the file as it was opened.
    pub path: SharePath,
    pub notice: Break,
    /// Index into the run's phases, by the time of the notice.
    pub phase: Option<u16>,
    pub noticed_ns: u64,
    /// The time at which the acknowledgement was sent, if one was.
    pub acknowledged_ns: Option<u64>,
    pub ended_ns: u64,
    pub end: BreakEnd,
    /// The status with which the server refused the answer, after [`BreakEnd::Refused`].
    pub refusal: Option<NtStatus>,
    /// The number of operations, of this client and others, that waited for its end.
    pub blocked: u32,
    /// The time that they waited, together, in nanoseconds.
    pub blocked_ns: u64,
}

/// A stretch of a phase in which a client had no connection. Times are nanoseconds from
/// the run's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnection {
    pub client_idx: u32,
    /// Index into the run's phases.
    pub phase: Option<u16>,
    /// The time at which the connection was lost. It is before `from_ns` if the connection was lost
    /// in an earlier phase.
    pub lost_ns: u64,
    pub from_ns: u64,
    pub to_ns: u64,
}

/// How a break ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BreakEnd {
    /// The server wanted no answer.
    NotAsked,
    /// The server accepted the answer.
    Acknowledged,
    /// The server refused the answer.
    Refused,
    /// The file was closed before the answer.
    Closed,
    /// The connection was lost before the answer.
    ConnectionLost,
    /// `on_break` says to give no answer, and the server gave up after 35 s.
    Ignored,
    /// The server had received no answer, although one was meant, when it gave up after 35 s.
    TimedOut,
    /// The run ended before the break did.
    Cut,
}

impl BreakEnd {
    /// The ends of breaks and their names, in the order of the variants.
    pub const NAMES: [(&str, BreakEnd); 8] = [
        ("not_asked", BreakEnd::NotAsked),
        ("acknowledged", BreakEnd::Acknowledged),
        ("refused", BreakEnd::Refused),
        ("closed", BreakEnd::Closed),
        ("connection_lost", BreakEnd::ConnectionLost),
        ("ignored", BreakEnd::Ignored),
        ("timed_out", BreakEnd::TimedOut),
        ("cut", BreakEnd::Cut),
    ];
}

/// The time for which an eligible operation waited before it was issued, by cause. The rest of
/// its lateness is the time that this program took to get to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldUp {
    /// The wait for the stream to make the operation.
    pub by_generation_ns: u64,
    /// The wait for the limit on operations in flight.
    pub by_limit_ns: u64,
}

/// The operations of a shard that were due by the cut and never issued. The counts are lower
/// bounds, because they contain only fetched operations, and one operation for each client whose
/// next operation was not made yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unissued {
    /// The number of those whose client was busy or disconnected: the server's backlog.
    pub by_backlog: u64,
    /// The time between the due time of the oldest of these and the cut.
    pub backlog_ns: u64,
    /// The number of those that the stream had not made.
    pub by_generation: u64,
    /// The number of those that waited for the limit on operations in flight.
    pub by_limit: u64,
    /// The number of those that this program had not yet issued.
    pub by_driver: u64,
    /// The time from the moment at which the first operation of these three kinds could have been
    /// issued to the cut. A short time is no sign of a delay, because operations can become
    /// eligible just before the cut.
    pub late_ns: u64,
}

impl Unissued {
    /// Adds the operations that another shard of the run left.
    pub fn add(&mut self, other: Unissued) {
        self.by_backlog += other.by_backlog;
        self.backlog_ns = self.backlog_ns.max(other.backlog_ns);
        self.by_generation += other.by_generation;
        self.by_limit += other.by_limit;
        self.by_driver += other.by_driver;
        self.late_ns = self.late_ns.max(other.late_ns);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompletionStatus {
    /// A status the operation expected.
    Succeeded(NtStatus),
    Failed(Failure),
    /// An operation that was never sent, because its handle was not open. Operation
    /// `cause_seq` of the same client had failed or lost the connection.
    Skipped {
        cause_seq: u32,
    },
    /// An operation that was still in flight when the bound on the drain ended.
    Cut,
}

/// The way in which an operation failed. Its message begins with the name under which the summary
/// counts it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Status(NtStatus),
    /// A time-out: `--op-timeout` passed.
    #[error("TIMED_OUT")]
    TimedOut,
    #[error("CONNECTION_LOST: {0}")]
    ConnectionLost(String),
    /// An invalid reply of the server, or a failure of the client stack without a status.
    #[error("CLIENT_ERROR: {0}")]
    Client(String),
    #[error("PANICKED: {0}")]
    Panicked(String),
    /// A write whose payload could not be read from its file on this host. Nothing was sent.
    #[error("PAYLOAD_UNREADABLE: {0}")]
    Payload(String),
}

/// The end of a whole iteration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IterationEvent {
    pub client_idx: u32,
    pub iteration: u32,
    pub phase: Option<u16>,
    pub due_ns: u64,
    /// The eligible time of its first operation, which is later than `due_ns` if the client
    /// was busy or disconnected. For a dropped iteration, the time up to which its client was
    /// busy.
    pub eligible_ns: u64,
    /// The time of the first issue.
    pub started_ns: u64,
    /// The time of the last completion.
    pub ended_ns: u64,
    pub outcome: IterationOutcome,
    /// The generation of the iteration.
    pub generation: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IterationOutcome {
    Finished,
    /// An iteration whose stream was cut before its last operation.
    Cut,
    /// An iteration whose arrival found the client busy. None of it was issued.
    Dropped,
    /// An iteration of which no operation was sent, because the handles that they need were not
    /// open.
    Skipped,
}
