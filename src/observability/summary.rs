//! The types of `summary.json`, of which `schema/summary.schema.json` is made. A change that breaks
//! readers changes [`SCHEMA`].

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::breaks::BreakSummary;
#[cfg(test)]
use super::breaks::GrantedCounts;
use super::custom_metrics::MetricSummary;
use super::disconnected::{DisconnectedSummary, ReopenedSummary};
pub use super::distribution::{Tail, Times};
use super::exit::{ExitReason, exit_code};
pub use super::failures::{FailureGroup, Occurrences, OperationRecord};
pub use super::generation_stats::SupersededCounts;
pub use super::generations::GenerationSummary;
use super::merge::Merge;
pub use super::metrics::{Cleanup, IterationCounts, OperationCounts, TotalCounts};
pub use super::steps::{StepCounts, StepSummary, Steps};
use super::text::counted;
use super::thresholds::{ThresholdOutcome, ThresholdSummary};
use super::trust::{HookEvents, Processors, Trust};
use crate::ir::OperationType;
use crate::ir::source::{Module, UsedPackage};

pub const SCHEMA: &str = "smbench.summary/1";

/// Facts about the run that its events do not carry.
#[derive(Clone, Debug)]
pub struct RunFacts {
    pub id: String,
    pub started_at: SystemTime,
    pub target: TargetFacts,
    pub settings: RunSettings,
    /// The backend answers at once (`sim:null`).
    pub instant: bool,
    /// The server is a part of this process.
    pub server_in_process: bool,
    /// While it measured, where that could be seen.
    pub processors: Option<Processors>,
    /// Threads that made a script's operations, or read a document's.
    pub generators: usize,
    pub hook_events: HookEvents,
    /// The counts of the operation log, if one was asked for.
    pub oplog: Option<OplogSummary>,
    /// The preparation of the share, with `--prepare`.
    pub prepared: Option<PreparedSummary>,
    /// The cleaning of the share, with `--clean`.
    pub cleaned: Option<CleanedSummary>,
    /// The metrics that the script declared, by name.
    pub metrics: BTreeMap<String, MetricSummary>,
    /// The generations of the stream, if the run is watched.
    pub generations: Vec<GenerationSummary>,
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
    pub thresholds: Vec<ThresholdOutcome>,
    /// Messages about problems other than failed operations.
    pub problems: Vec<String>,
    /// Notes for readers of the figures, such as a drain that ran out of time.
    pub notes: Vec<String>,
}

/// The target, without secrets. What the backend cannot know is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TargetFacts {
    /// The target as it was named, without a password.
    pub url: String,
    /// The backend that reached it.
    pub backend: String,
    /// Fidelity mode of the run: what its stream needed, or as much of it as `--mode` and
    /// the backend allowed.
    #[cfg_attr(test, schemars(extend("enum" = [0, 1, 2])))]
    pub mode: u8,
    /// SMB dialect that was negotiated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// Signing algorithm that was negotiated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing: Option<String>,
    /// Cipher that was negotiated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// ServerGuid of the answer to NEGOTIATE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// RunSettings of the command line that change the stream's schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunSettings {
    /// Name of the profile of `smbench.toml` that the run was given; absent where it was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Factor by which the stream's times and phases were multiplied.
    pub time_scale: f64,
    /// The highest fidelity mode that was allowed; absent where that was what the stream
    /// needed (`--mode auto`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("enum" = [0, 1, 2])))]
    pub mode: Option<u8>,
    /// The bound on operations in flight over all clients; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Names of the statuses after which an operation was tried again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retry: Vec<String>,
}

/// The summary of a run (`summary.json`). A name says the unit of its value: `_us`
/// microseconds, `_s` seconds, `bytes` bytes. This lists every key of this version; a reader
/// should ignore others, which later versions add.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(title = "smbench summary, version 1"))]
pub struct Summary {
    /// Name and version of this format.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA)))]
    pub schema: &'static str,
    pub run: Run,
    /// The code that smbench exited with.
    #[cfg_attr(test, schemars(extend("enum" = [0, 1, 2, 3, 4, 5, 99, 130])))]
    pub exit_code: u8,
    /// Every reason that applies; the first decides the exit code.
    pub exit_reasons: Vec<ExitReason>,
    /// Thresholds in the order in which they were stated.
    pub thresholds: Vec<ThresholdSummary>,
    /// Messages about problems other than failed operations.
    pub problems: Vec<String>,
    /// Notes for readers of the figures, such as a drain that ran out of time.
    pub notes: Vec<String>,
    pub target: TargetFacts,
    /// OperationTotals of the recorded phases together, as is everything that follows up to `breaks`.
    pub totals: OperationTotals,
    /// Figures by type of operation; a type without operations is absent.
    pub operations: Operations,
    pub iterations: Iterations,
    /// Figures of steps (`c:step`), by name; a step that never happened is absent.
    pub steps: Steps,
    /// Operations that failed and were not expected to, by status, the most frequent first.
    pub failures: Vec<FailureGroup>,
    /// Operations that were skipped; each `message` names the operation that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Occurrences>,
    #[serde(flatten)]
    pub delays: DelaySummary,
    pub disconnected: DisconnectedSummary,
    /// Handles that were opened again; absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reopened: Option<ReopenedSummary>,
    /// Breaks of the recorded phases; absent where nothing was granted that a server can take
    /// back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks: Option<BreakSummary>,
    /// The operation log, over the whole run as everything that follows; absent without
    /// `--oplog`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oplog: Option<OplogSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unissued: Option<UnissuedSummary>,
    pub trust: Trust,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<SectionSummary>,
    /// Phases in their order, recorded or not.
    pub phases: Vec<PhaseSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teardown: Option<SectionSummary>,
    /// Workloads in the order in which they were declared, over the recorded phases.
    pub workloads: Vec<WorkloadSummary>,
    /// Generations of the stream in their order: one for each time that it was loaded; absent
    /// without `--watch`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub generations: Vec<GenerationSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_clients: Option<FailedClients>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_clients: Option<SilentClients>,
    pub cleanup: Cleanup,
    /// Files and directories that were made before the run; absent without `--prepare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepared: Option<PreparedSummary>,
    /// Files and directories that were removed after the run; absent without `--clean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleaned: Option<CleanedSummary>,
    /// Metrics that the script declared, by name. Values are in the unit of the metric; a
    /// value that was never given is absent.
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

/// Which run it was, and what is needed to repeat it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Run {
    /// Name of the results directory.
    pub id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Path of the script within its project. For a document, the `source` that it states, or else
    /// its file name.
    pub script: String,
    /// The script's parameters with their values; sizes in bytes, durations in nanoseconds.
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Hash of every operation, or `recipe:` and the hash of what makes them.
    pub ir_hash: String,
    /// Hash of the script's text; absent of a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script_hash: Option<String>,
    /// Modules that the script required.
    pub modules: Vec<Module>,
    /// Libraries that the script's project uses; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<UsedPackage>,
    pub settings: RunSettings,
    /// Version of smbench.
    pub version: &'static str,
    /// A signal ended the run.
    pub interrupted: bool,
}

/// Counts over all types of operations.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OperationTotals {
    /// Operations that were sent: `succeeded` and `failed`.
    pub operations: u64,
    /// Operations that ended with a status that was expected.
    pub succeeded: u64,
    #[serde(flatten)]
    pub counts: OperationCounts,
    #[serde(flatten)]
    pub total_counts: TotalCounts,
    /// Connections that were made again, over the whole run; absent in setup, teardown,
    /// phases and workloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconnects: Option<u64>,
    /// Bytes that reads got.
    pub bytes_read: u64,
    /// Bytes that writes wrote.
    pub bytes_written: u64,
    /// Seconds over which the rate is computed.
    pub duration_s: f64,
    /// Operations that were sent, for each second of `duration_s`.
    pub operations_per_s: f64,
}

impl OperationTotals {
    /// Adds the counts of other operations of the same run.
    pub(super) fn add_counts(&mut self, other: &OperationTotals) {
        self.operations += other.operations;
        self.succeeded += other.succeeded;
        self.counts.merge(&other.counts);
        self.total_counts.merge(&other.total_counts);
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
    }
}

/// Figures by type of operation; a type without operations is absent.
pub type Operations = BTreeMap<OperationType, OperationSummary>;

/// Figures of one type of operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OperationSummary {
    /// Operations that were sent, succeeded and failed.
    pub count: u64,
    #[serde(flatten)]
    pub counts: OperationCounts,
    /// Bytes read or written.
    pub bytes: u64,
    /// Number of opens by what they were granted: an oplock (`none`, `ii`, `exclusive`,
    /// `batch`) or the state of a lease (`lease RWH`). Absent where the backend does not know.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub granted: BTreeMap<String, u64>,
    /// Number of opens by what became of the file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(test, schemars(extend("propertyNames" = { "enum": GrantedCounts::actions() })))]
    pub create_actions: BTreeMap<&'static str, u64>,
    /// Number of operations sent, by NT status or by how else they failed.
    pub statuses: BTreeMap<String, u64>,
    /// Service time, completed - issued of the last attempt, in microseconds; absent where no
    /// operation was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_us: Option<Times>,
    /// Response time, completed - due, all attempts included, in microseconds; absent where no
    /// operation was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_us: Option<Times>,
}

impl OperationSummary {
    /// Adds the counts of other operations of this type.
    pub(super) fn add_counts(&mut self, other: &OperationSummary) {
        self.count += other.count;
        self.counts.merge(&other.counts);
        self.bytes += other.bytes;
        for (name, count) in &other.granted {
            *self.granted.entry(name.clone()).or_default() += count;
        }
        for (name, count) in &other.create_actions {
            *self.create_actions.entry(name).or_default() += count;
        }
        for (name, count) in &other.statuses {
            *self.statuses.entry(name.clone()).or_default() += count;
        }
    }
}

/// The parts of the times of operations, each absent where it was not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DelaySummary {
    /// Lateness, issued - eligible, in microseconds: a delay of the generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness_us: Option<Tail>,
    /// Backlog, eligible - due, in microseconds: a delay of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog_us: Option<Tail>,
    /// Handoff, from issued to the first write on the socket, in microseconds: a delay of the
    /// generator that is a part of service time. Absent where the backend has no socket of its
    /// own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handoff_us: Option<Tail>,
    /// Pickup, from the kernel's receipt of the answer to the client, in microseconds: a delay
    /// of the generator that is a part of service time. Absent where the kernel gives no
    /// timestamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pickup_us: Option<Tail>,
}

/// Iterations by how they ended, and how long those took that finished.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Iterations {
    /// Iterations that finished.
    pub count: u64,
    #[serde(flatten)]
    pub counts: IterationCounts,
    /// Times from the first issue to the end, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_us: Option<Times>,
    /// Times from the arrival to the end, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_us: Option<Times>,
}

impl Iterations {
    /// Returns the number of iterations, however they ended.
    pub fn all(&self) -> u64 {
        self.count + self.counts.unfinished()
    }

    /// Adds the counts of other iterations.
    pub(super) fn add_counts(&mut self, other: &Iterations) {
        self.count += other.count;
        self.counts.merge(&other.counts);
    }
}

/// Operations that were due when the run was cut and were never issued, by what they waited
/// for. The counts are lower bounds, because a stream is fetched a little ahead and not whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UnissuedSummary {
    /// Operations whose client was busy or had no connection. The server caused this delay.
    pub by_backlog: u64,
    /// Microseconds before the cut at which the first of `by_backlog` was due.
    pub backlog_us: f64,
    /// Operations that waited for a permit (`--limit`).
    pub by_limit: u64,
    /// Operations that the script or document had not made yet.
    pub by_generation: u64,
    /// Operations that waited for none of these, but for this program and the host.
    pub by_other: u64,
}

/// Setup or teardown.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SectionSummary {
    /// Seconds that it lasted.
    pub duration_s: f64,
    pub totals: OperationTotals,
    /// Figures by type of operation; a type without operations is absent.
    pub operations: Operations,
    /// Figures of steps, by name; a step that never happened is absent.
    pub steps: Steps,
    /// Operations that failed and were not expected to, by status, the most frequent first.
    pub failures: Vec<FailureGroup>,
}

/// One phase.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PhaseSummary {
    /// Name of the phase, as the script or document has it.
    pub name: String,
    /// Whether the totals of the run count this phase.
    pub recorded: bool,
    /// Seconds that it lasted.
    pub duration_s: f64,
    pub totals: OperationTotals,
    /// Figures by type of operation; a type without operations is absent.
    pub operations: Operations,
    /// By workload, of those that had any in this phase: the times of different workloads are
    /// not those of one kind of iteration.
    pub iterations: BTreeMap<String, Iterations>,
    /// Figures of steps, by name; a step that never happened is absent.
    pub steps: Steps,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks: Option<BreakSummary>,
    #[serde(flatten)]
    pub delays: DelaySummary,
    pub disconnected: DisconnectedSummary,
    /// Operations that failed and were not expected to, by status, the most frequent first.
    pub failures: Vec<FailureGroup>,
}

/// One workload, over the recorded phases.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WorkloadSummary {
    /// Name of the workload, as the script or document has it.
    pub name: String,
    /// Number of clients.
    pub clients: u32,
    pub iterations: Iterations,
    pub totals: OperationTotals,
    /// Figures by type of operation; a type without operations is absent.
    pub operations: Operations,
    /// Figures of steps, by name; a step that never happened is absent.
    pub steps: Steps,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks: Option<BreakSummary>,
}

/// Lines of the operation log (`ops.jsonl`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OplogSummary {
    /// Lines that the file holds.
    pub written: u64,
    /// Lines that were dropped because the disk was too slow for them, or full.
    pub dropped: u64,
}

/// Files and directories that were made before the run, because the stream uses them and does not
/// make them. Those that existed are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PreparedSummary {
    /// Directories that were made.
    pub directories: u64,
    /// Files that were made.
    pub files: u64,
    /// Bytes written into these files.
    pub bytes: u64,
}

/// The removal of what the run made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CleanedSummary {
    /// Files and directories that were removed.
    pub removed: u64,
    /// Files and directories that are still there, and that the run made or may have made.
    pub left: u64,
    /// Files and directories that the run made when it already remembered as many as it can, or
    /// faster than it can remember them; a directory that was renamed counts as one. The run itself
    /// may have removed some of them.
    pub untracked: u64,
    /// Path of the first that was left, and the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_left: Option<String>,
}

impl CleanedSummary {
    /// Returns a sentence on what was left behind; None if nothing was.
    pub fn warning(&self) -> Option<String> {
        let CleanedSummary { left, untracked, first_left, .. } = self;
        let mut parts = Vec::new();
        if let Some(first) = first_left {
            let paths = counted(*left, "path");
            parts.push(format!("{paths} that the run made or may have made, the first {first}"));
        }
        if *untracked > 0 {
            let paths = counted(*untracked, "path");
            parts.push(format!(
                "up to {paths} that the run made when there were too many to remember"
            ));
        }
        (!parts.is_empty()).then(|| format!("--clean left behind {}", parts.join(", and ")))
    }
}

/// Clients that gave up reconnecting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FailedClients {
    /// Number of these clients.
    pub count: u64,
    /// No client was left, so that the run ended before its time.
    pub all: bool,
    /// The first few of them.
    pub first: Vec<FailedClient>,
}

/// Clients of whose last iteration nothing was sent, since a handle they keep was lost or
/// never opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SilentClients {
    /// Number of these clients.
    pub count: u64,
    /// Names of the first few of them.
    pub first: Vec<String>,
}

/// One client that gave up reconnecting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FailedClient {
    /// Name of the client.
    pub client: String,
    /// The reason why the client gave up, in words.
    pub reason: String,
}
