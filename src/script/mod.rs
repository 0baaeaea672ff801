//! Scripts: Lua (Luau) that describes the operations of each client. A script runs in a sandbox and
//! is asked for the operations of one client at a time, as far as they are needed.
//!
//! A script never sees a result. The same script, modules, parameters and seed give the same
//! operations, whatever the size of the batches they are asked in.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

mod api;
mod arrivals;
mod blobs;
mod checked_sections;
mod chunks;
mod client;
mod compared_clients;
mod coroutines;
mod error;
mod handles;
pub mod hooks;
mod independence;
mod open_loop;
mod operation_results;
mod printing;
mod queued;
mod random;
mod recipe;
mod require;
mod sandbox;
mod source;
mod values;
mod vm;
mod weights;
mod zipf;

pub use api::ParameterHelp;
pub use checked_sections::{CheckedSection, extent};
pub use error::ScriptError;
pub use hooks::{HookTap, Hooks};
pub use independence::{CheckError, Compared, Depth, Way, check};
pub use source::Script;

/// Maximum number of clients in a run.
pub const MAX_CLIENTS: u32 = 1_000_000;

/// A script and the options it is run with.
#[derive(Clone, Debug, Default)]
pub struct ScriptOptions {
    pub path: PathBuf,
    /// Parameters as name and value. If a name is given twice, the later value counts.
    pub params: Vec<(String, String)>,
    /// The seed of the random numbers. The default is 0.
    pub seed: Option<u64>,
    pub clients: Vec<ClientsOverride>,
    /// Maximum number of iterations of each client.
    pub iterations: Option<u32>,
    /// Nominal time, in nanoseconds, at or after which no iteration starts.
    pub nominal_bound_ns: Option<u64>,
    /// Total length of the recorded phases, in nanoseconds. The default is what the phases declare.
    pub duration_ns: Option<u64>,
    /// Directories from which writes may read blobs, besides the directory of the script.
    pub blob_folders: Vec<PathBuf>,
    pub limits: Limits,
    /// Whether to suppress what the script prints.
    pub quiet: bool,
    /// The name of the script in errors, in place of its path.
    #[cfg(test)]
    pub shown: Option<PathBuf>,
}

impl ScriptOptions {
    /// Returns the path of the script as errors write it: as the user gave it.
    fn shown_path(&self) -> String {
        #[cfg(test)]
        if let Some(shown) = &self.shown {
            return chunks::shown_path(shown);
        }
        chunks::shown_path(&self.path)
    }
}

/// The resources that a script may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes of all VMs that run the script and of the operations they have made.
    pub memory_bytes: usize,
    /// Maximum time that a script may compute without making operations: for its top level as a
    /// whole, and then for each batch of operations. It is CPU time, because a thread that waits
    /// for a processor does not compute.
    pub time_per_resume: Duration,
    /// Maximum size, in bytes, of the script and of each module.
    pub source_bytes: usize,
}

impl Limits {
    /// Returns the part of the memory, in bytes, for the VM that runs hooks, if there is one.
    fn memory_of_hooks(&self) -> usize {
        self.memory_bytes / 4
    }

    /// Returns the part of the memory, in bytes, for operations. Half of it is for queued
    /// operations; the other half is for the one operation of each client that is in flight or
    /// next.
    fn memory_of_operations(&self) -> usize {
        self.memory_bytes / 4
    }

    fn memory_of_queued(&self) -> usize {
        self.memory_of_operations() / 2
    }

    /// Returns the size, in bytes, at which a batch of one of `clients` clients ends. Operations of
    /// the same size may still be queued when the next batch is asked for.
    fn batch_bytes(&self, clients: u32) -> usize {
        (self.memory_of_queued() / 2 / clients.max(1) as usize).max(1)
    }
}

/// A number of clients given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientsOverride {
    /// The name of the workload, or `None` for the only workload there is.
    pub workload: Option<String>,
    pub clients: u32,
}

impl FromStr for ClientsOverride {
    type Err = ScriptError;

    /// Parses `name=N`, or a bare `N`.
    fn from_str(text: &str) -> Result<ClientsOverride, ScriptError> {
        let (workload, number) = match text.rsplit_once('=') {
            Some((name, number)) => (Some(name.to_string()), number),
            None => (None, text),
        };
        let wrong = |problem: String| ScriptError::Clients(format!("--clients {text}: {problem}"));
        let clients: u64 = number
            .trim()
            .parse()
            .map_err(|_| wrong("write a number, or workload=number".to_string()))?;
        Ok(ClientsOverride { workload, clients: api::client_count(clients).map_err(wrong)? })
    }
}

/// Returns the parameters that a script declares, by name. Only the top level of the script runs,
/// and nothing it prints is shown.
///
/// # Errors
/// [`ScriptError`] if the script cannot be read, or fails before it has declared its parameters.
pub fn describe(path: &Path, limits: Limits) -> Result<Vec<ParameterHelp>, ScriptError> {
    let path = path.to_path_buf();
    let options = ScriptOptions { path, limits, quiet: true, ..ScriptOptions::default() };
    source::describe(&options)
}

#[cfg(test)]
mod tests;
