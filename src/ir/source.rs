//! The sources of operations, which are asked per client and on demand.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::feature::Need;
use super::operation::{Operation, Section};
use super::workloads::Workloads;
use crate::protocol::BreakPolicy;

/// The properties of a stream that are known before its first operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamHeader {
    /// The name of the capture, or the path of the script within its project.
    pub source: String,
    pub seed: u64,
    /// The workloads, in the order in which their clients are numbered.
    pub workloads: Workloads,
    /// The clients that have operations, in order. The others take no part in a run. None if
    /// all have operations.
    pub active: Option<Arc<[u32]>>,
    /// Whether the stream has run-wide setup or teardown. One more client, numbered after all
    /// others and named `bench`, has these and no iterations.
    pub run_client: bool,
    /// The phases. Empty if the stream or the run's duration is the only bound. Those of a
    /// script are scaled to the duration that it was loaded for.
    pub phases: Vec<Phase>,
    /// Whether the stream ends by itself (a document, or a script with an iteration bound).
    pub bounded: bool,
    /// Whether the script has hooks, which receive the run's events in a VM of their own.
    pub hooks: bool,
    /// The hash of every operation, or `recipe:` and the hash of what makes them.
    pub ir_hash: String,
    pub script_hash: Option<String>,
    /// The script's parameters as the run sees them.
    pub params: serde_json::Map<String, serde_json::Value>,
    pub modules: Vec<Module>,
    /// The libraries that the script's project uses, whether a module of them was required or not.
    pub packages: Vec<UsedPackage>,
    /// The needs that are known before the run, which the backend has to meet.
    pub needs: Vec<Need>,
    pub thresholds: Vec<StatedThreshold>,
    /// The memory in bytes at which a batch of a client ends. No more operations are asked for
    /// while so much is queued for the client.
    pub batch_bytes: Option<usize>,
}

/// A threshold as a script or a command line states it: a string that
/// `observability::thresholds` parses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedThreshold {
    /// The expression, such as `read.response.p99 < 20ms`.
    pub expression: String,
    /// The beginning of an error about it, such as `office.lua:14: bench.thresholds`.
    pub place: String,
    /// The phase. None: the recorded phases together.
    pub phase: Option<String>,
    /// The workload. None: all of them together.
    pub workload: Option<String>,
    /// The time that its phase must have lasted, in nanoseconds, before a failure ends the
    /// run. None if a failure does not end it.
    pub abort_after_ns: Option<u64>,
}

/// A module that the script required.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Module {
    /// Path of the module's file within the project, such as `lib/sizes.lua`. A module of the
    /// standard library has the path with which it is required, such as `@bench/office`; one of a
    /// library has the library's name and version before its path, such as
    /// `acme/office@1.2.0/save.lua`.
    pub name: String,
    /// Version of the library that the module belongs to; for the standard library, that of
    /// smbench; `unversioned` for a module of the project.
    pub version: String,
    /// Hash of its text.
    pub hash: String,
}

/// A library that the project of a script uses. One from a repository has `repo`, `tag` or `rev`,
/// and `commit`; one from a directory has `path`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UsedPackage {
    /// Alias under which the project reaches it, such as `office`; `office.sizes` for the library
    /// with the alias `sizes` of that library.
    pub alias: String,
    /// Name that the library states.
    pub name: String,
    /// Version that the library states.
    pub version: String,
    /// URL of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Tag that led to the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Tag, branch or commit that `rev` in `smbench.toml` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
    /// Commit of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Directory of the library, relative to that of the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Hash of the list of its files with their hashes; for a library from a directory, of its
    /// `.lua`, `.luau` and `.toml` files as they were when the script was loaded.
    pub hash: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    pub name: String,
    pub duration_ns: u64,
    /// Whether the summary's `totals` count the phase.
    pub record: bool,
}

/// The name of the one phase of a run that declares none.
pub const WHOLE_PHASE: &str = "run";

/// The name of the client that runs `bench.setup` and `bench.teardown`.
pub const RUN_CLIENT: &str = "bench";

impl StreamHeader {
    /// Returns the number of clients, the run-wide one included.
    pub fn clients(&self) -> u32 {
        self.workload_clients() + u32::from(self.run_client)
    }

    /// Returns the number of clients that iterate.
    pub fn workload_clients(&self) -> u32 {
        self.workloads.clients()
    }

    /// Returns the number that the run-wide client has, if there is one.
    pub fn run_client_number(&self) -> u32 {
        self.workloads.run_client().unwrap_or_else(|| self.workload_clients())
    }

    /// Returns the clients that take part in a run: at least one, if there is any.
    pub fn active_clients(&self) -> impl Iterator<Item = u32> + '_ {
        let all = if self.active.is_none() { 0..self.clients() } else { 0..0 };
        all.chain(self.active.iter().flat_map(|active| active.iter().copied()))
    }

    /// Returns the number of [`StreamHeader::active_clients`].
    pub fn active_count(&self) -> u32 {
        self.active.as_ref().map_or_else(|| self.clients(), |active| active.len() as u32)
    }

    /// Returns the number of clients that take part in a run and iterate.
    pub fn iterating_count(&self) -> u32 {
        let clients = self.workload_clients();
        match &self.active {
            None => clients,
            Some(active) => {
                active.iter().filter(|client| self.workload_of(**client).is_some()).count() as u32
            }
        }
    }

    /// Returns the workload that a client belongs to, and its number there; none for the
    /// run-wide client.
    pub fn workload_of(&self, client: u32) -> Option<(usize, u32)> {
        self.workloads.of(client)
    }

    /// Returns how the client answers breaks.
    pub fn on_break(&self, client: u32) -> BreakPolicy {
        self.workload_of(client)
            .map_or_else(BreakPolicy::default, |(index, _)| self.workloads[index].on_break)
    }

    /// Adds needs to those that are known. If two operations need the same feature, the one
    /// that was known before is named.
    pub fn add_needs(&mut self, needs: impl IntoIterator<Item = Need>) {
        for need in needs {
            if !self.needs.iter().any(|known| known.feature == need.feature) {
                self.needs.push(need);
            }
        }
        self.needs.sort_by_key(|need| need.feature);
    }

    /// Returns what differs in another header of the same stream, needs aside.
    pub fn difference(&self, other: &StreamHeader) -> Option<&'static str> {
        let same = [
            ("the script", self.script_hash == other.script_hash),
            ("a module", self.modules == other.modules),
            ("a library", self.packages == other.packages),
            ("a parameter", self.params == other.params),
            ("bench.workload", self.workloads == other.workloads),
            ("bench.phases", self.phases == other.phases),
            ("bench.setup or bench.teardown", self.run_client == other.run_client),
            ("the stream", self.ir_hash == other.ir_hash && self.seed == other.seed),
        ];
        same.into_iter().find_map(|(what, same)| (!same).then_some(what))
    }

    pub fn client_name(&self, client: u32) -> String {
        let Some((index, id)) = self.workload_of(client) else { return RUN_CLIENT.to_string() };
        let workload = &self.workloads[index];
        match &workload.client_names {
            Some(names) => names[id as usize].to_string(),
            None => format!("{}/{id}", workload.name),
        }
    }
}

/// A stream of operations, pulled per client so that none starves another.
///
/// Sections are requested in order. A request for a later section discards the rest of the earlier
/// one; this is how a stream goes to teardown after the cut.
///
/// # Examples
///
/// A source with one client, whose operations are a list:
///
/// ```
/// use smbench::ir::{
///     Operation, OperationSource, PathOperation, Progress, Section, SourceError, StreamHeader,
///     Workload,
/// };
/// use smbench::protocol::SharePath;
///
/// struct List {
///     header: StreamHeader,
///     operations: std::vec::IntoIter<Operation>,
/// }
///
/// impl OperationSource for List {
///     fn header(&self) -> &StreamHeader {
///         &self.header
///     }
///
///     fn pull(
///         &mut self,
///         _client: u32,
///         section: Section,
///         max: usize,
///         into: &mut Vec<Operation>,
///     ) -> Result<Progress, SourceError> {
///         if section != Section::Iteration {
///             return Ok(Progress::End);
///         }
///         into.extend(self.operations.by_ref().take(max));
///         Ok(if self.operations.len() > 0 { Progress::More } else { Progress::End })
///     }
/// }
///
/// let mut operations = Vec::new();
/// for seq in 0..5 {
///     let path = SharePath::new(&format!("directory-{seq}"))?;
///     operations.push(Operation::new(0, seq, PathOperation::Mkdir { path }));
/// }
/// let header = StreamHeader {
///     workloads: [Workload::new("w", 1)].into_iter().collect(),
///     bounded: true,
///     ..StreamHeader::default()
/// };
/// let mut source = List { header, operations: operations.into_iter() };
///
/// let mut pulled = Vec::new();
/// while source.pull(0, Section::Iteration, 2, &mut pulled)? == Progress::More {}
/// assert_eq!(pulled.len(), 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait OperationSource {
    fn header(&self) -> &StreamHeader;

    /// Appends up to `max` of the client's next operations in `section`.
    /// [`Progress::More`] comes with at least one operation.
    ///
    /// # Errors
    /// [`SourceError`] if this client's operations break off. Those already appended
    /// are valid.
    fn pull(
        &mut self,
        client: u32,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    /// The end of the section for this client.
    End,
}

/// The reason why a stream broke off. The message says what happened, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", .client.iter().map(|name| format!(" (client {name})")).collect::<String>())]
pub struct SourceError {
    pub message: String,
    /// The name of the client whose operations were being made.
    pub client: Option<String>,
}
