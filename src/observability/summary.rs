//! `summary.json`: what a run says of itself. The schema is
//! `schema/summary.schema.json`; a change that breaks readers changes [`SCHEMA`].

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::breaks::BreakSummary;
use super::cause::Processors;
use super::custom_metrics::MetricSummary;
use super::disconnected::{DisconnectedSummary, ReopenedSummary};
use super::exit::{ExitReason, exit_code};
use super::thresholds::{Outcome, ThresholdSummary};
use super::trust::{HookEvents, Trust};
use crate::ir::OperationType;
use crate::ir::source::Module;

pub const SCHEMA: &str = "smbench.summary/1";

/// What the run knows beyond what its events say.
#[derive(Clone, Debug)]
pub struct RunFacts {
    pub id: String,
    pub started_at: SystemTime,
    pub target: TargetFacts,
    pub settings: Settings,
    /// The backend answers at once (`sim:null`).
    pub instant: bool,
    /// The server is a part of this process.
    pub server_in_process: bool,
    /// While it measured, where that could be seen.
    pub processors: Option<Processors>,
    /// Threads that made a script's operations, or read a document's.
    pub generators: usize,
    pub hook_events: HookEvents,
    /// Where an operation log was asked for.
    pub oplog: Option<OplogSummary>,
    /// Those the script declared, by name.
    pub metrics: BTreeMap<String, MetricSummary>,
    /// How long each phase really took, in the order of the phases; those
    /// never reached may be missing.
    pub phases: Vec<Duration>,
    pub setup: Duration,
    pub teardown: Duration,
    pub interrupted: bool,
    /// It ended before its stream or its phases did, for whatever reason.
    pub cut_short: bool,
    /// A late generator is no reason to exit with 5.
    pub allow_late: bool,
    /// Reasons the events do not show, such as a stream that broke off.
    pub exit_reasons: Vec<ExitReason>,
    pub thresholds: Vec<Outcome>,
    /// What went wrong beside operations, one message each.
    pub problems: Vec<String>,
    /// What a reader of the figures should know, such as a drain that ran out of time.
    pub notes: Vec<String>,
}

/// The target, without secrets. What could not be known is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TargetFacts {
    pub url: String,
    pub backend: String,
    /// Fidelity mode of the run, 0, 1 or 2: what its stream needed, or what it
    /// was allowed.
    pub mode: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// What the command line made of the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// The stream's times were multiplied by this.
    pub time_scale: f64,
    /// The highest fidelity mode that was allowed, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<u8>,
    /// The bound on operations in flight over all clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Names of the statuses after which an operation was tried again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retry: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub schema: &'static str,
    pub run: Run,
    pub exit_code: u8,
    pub exit_reasons: Vec<ExitReason>,
    pub thresholds: Vec<ThresholdSummary>,
    pub problems: Vec<String>,
    pub notes: Vec<String>,
    pub target: TargetFacts,
    /// Recorded phases only, as is everything up to `trust`.
    pub totals: Totals,
    pub operations: Operations,
    pub iterations: Iterations,
    pub failures: Vec<FailureGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<SkippedGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness_us: Option<Tail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog_us: Option<Tail>,
    /// The time from `issued` to the first write on the socket, where the backend has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handoff_us: Option<Tail>,
    /// The time from the kernel's receipt of the answer to the client's task, where the
    /// kernel gives timestamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pickup_us: Option<Tail>,
    /// Time in which clients had no connection.
    pub disconnected: DisconnectedSummary,
    /// Where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reopened: Option<ReopenedSummary>,
    /// Where something was granted that a server can take back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks: Option<BreakSummary>,
    /// Over the whole run, as is what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oplog: Option<OplogSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unissued: Option<UnissuedSummary>,
    pub trust: Trust,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<SectionSummary>,
    pub phases: Vec<PhaseSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teardown: Option<SectionSummary>,
    pub workloads: Vec<WorkloadSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_clients: Option<FailedClients>,
    /// Of whose last iteration nothing was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_clients: Option<SilentClients>,
    pub cleanup: Cleanup,
    /// Those the script declared, by name.
    pub metrics: BTreeMap<String, MetricSummary>,
}

impl Summary {
    /// Adds what came to light after the summary was made.
    pub fn add_problem(&mut self, problem: String, reason: Option<ExitReason>) {
        self.problems.push(problem);
        self.exit_reasons.extend(reason);
        self.exit_reasons.sort();
        self.exit_reasons.dedup();
        self.exit_code = exit_code(&self.exit_reasons);
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    pub seed: u64,
    pub script: String,
    pub params: serde_json::Map<String, serde_json::Value>,
    pub ir_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script_hash: Option<String>,
    pub modules: Vec<Module>,
    pub settings: Settings,
    /// Of smbench.
    pub version: &'static str,
    pub interrupted: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Sent: succeeded and failed.
    pub operations: u64,
    pub succeeded: u64,
    pub failed: u64,
    /// Never sent, because their handle was not open.
    pub skipped: u64,
    /// Still in flight when the drain bound ended.
    pub cut: u64,
    pub short_reads: u64,
    /// Attempts after the first, over all operations.
    pub retries: u64,
    /// Over the whole run; absent where connections are not told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconnects: Option<u64>,
    pub degraded: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub duration_s: f64,
    pub operations_per_s: f64,
}

pub type Operations = BTreeMap<OperationType, OperationSummary>;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperationSummary {
    /// Sent: succeeded and failed.
    pub count: u64,
    pub failed: u64,
    pub skipped: u64,
    pub cut: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Read or written.
    pub bytes: u64,
    /// Of opens, what was granted: `batch`, `lease RWH`, `none`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub granted: BTreeMap<String, u64>,
    /// Of opens, what became of the file: `opened`, `created`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub create_actions: BTreeMap<&'static str, u64>,
    /// Of those sent, by NT status, or by how else they failed.
    pub statuses: BTreeMap<String, u64>,
    /// Absent when none was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_us: Option<Times>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_us: Option<Times>,
}

/// Microseconds, exact to the nanosecond in `min`, `mean` and `max`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Times {
    pub min: f64,
    pub mean: f64,
    #[serde(flatten)]
    pub tail: Tail,
}

/// Microseconds; percentiles to three significant digits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tail {
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// Iterations, in the phase in which the first operation of each was issued. An iteration
/// lasts until its last operation is complete, with the think time between its operations, the
/// retries, and the waits for a break or a lost connection; not with the think time after its
/// last operation, nor with setup and teardown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Iterations {
    /// Finished, whether or not its operations failed.
    pub count: u64,
    /// Of those, begun after their arrival because their client was busy.
    pub late: u64,
    /// Left out because their arrival found their client busy.
    pub dropped: u64,
    /// Nothing of them was sent, since the handles they need were not open.
    pub skipped: u64,
    pub cut: u64,
    /// From the issue of the first operation, of those that finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_us: Option<Times>,
    /// From when the iteration was due, of those that finished: in an open loop its arrival, in
    /// a closed loop the end of the client's previous operation plus think time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_us: Option<Times>,
}

impl Iterations {
    /// Returns the number of iterations, however they ended.
    pub fn all(&self) -> u64 {
        self.count + self.dropped + self.skipped + self.cut
    }
}

/// Operations that were due when the run was cut and were never issued: at
/// least so many, as a client's stream is fetched a little ahead, not whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct UnissuedSummary {
    /// Their client was busy or had no connection: the server's backlog.
    pub by_backlog: u64,
    /// How long before the cut the first of these was due.
    pub backlog_us: f64,
    pub by_limit: u64,
    pub by_generation: u64,
    /// This program and the machine.
    pub by_other: u64,
}

/// Operations that failed with one status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureGroup {
    pub status: String,
    /// The NT status as a number, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    pub count: u64,
    pub first: Vec<OperationRecord>,
}

/// Operations that were skipped; `message` names the operation that caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedGroup {
    pub count: u64,
    pub first: Vec<OperationRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperationRecord {
    pub op_id: String,
    pub client: String,
    pub operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// When it ended, from the run's origin (connections made, before setup).
    pub at_us: u64,
    pub message: String,
}

/// Setup or teardown.
#[derive(Clone, Debug, Serialize)]
pub struct SectionSummary {
    pub duration_s: f64,
    pub totals: Totals,
    pub operations: Operations,
    pub failures: Vec<FailureGroup>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PhaseSummary {
    pub name: String,
    pub recorded: bool,
    pub duration_s: f64,
    pub totals: Totals,
    pub operations: Operations,
    /// By workload, of those that had any in this phase: the times of different workloads are
    /// not those of one kind of iteration.
    pub iterations: BTreeMap<String, Iterations>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks: Option<BreakSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness_us: Option<Tail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog_us: Option<Tail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handoff_us: Option<Tail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pickup_us: Option<Tail>,
    pub disconnected: DisconnectedSummary,
    pub failures: Vec<FailureGroup>,
}

#[derive(Clone, Debug, Serialize)]
pub struct WorkloadSummary {
    pub name: String,
    pub clients: u32,
    pub iterations: Iterations,
    pub totals: Totals,
    pub operations: Operations,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks: Option<BreakSummary>,
}

/// The lines of `ops.jsonl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OplogSummary {
    pub written: u64,
    /// Left out because the disk was too slow, or full.
    pub dropped: u64,
}

/// Clients that gave up reconnecting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedClients {
    pub count: u64,
    /// None was left, so that the run ended before its time.
    pub all: bool,
    pub first: Vec<FailedClient>,
}

/// Clients that send nothing any more, since a handle they keep was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SilentClients {
    pub count: u64,
    pub first: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedClient {
    pub client: String,
    pub reason: String,
}

/// Handles the engine closed because the stream had left them open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cleanup {
    pub closed: u64,
    pub failed: u64,
}
