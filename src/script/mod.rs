//! Scripts: Lua (Luau) that says which operations each client makes, run in a
//! sandbox and asked per client, as far as operations are needed.
//!
//! A script never sees a result. The same script, modules, parameters and seed
//! give the same operations, whatever the size of the batches they are asked in.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

mod api;
mod arrivals;
mod blobs;
mod chunks;
mod client;
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
pub use error::ScriptError;
pub use hooks::{HookTap, Hooks};
pub use independence::{CheckError, Compared, Depth, Way, check};
pub use source::Script;

/// The most clients a run can have.
pub const MAX_CLIENTS: u32 = 1_000_000;

/// A script, and what it is run with.
#[derive(Clone, Debug, Default)]
pub struct ScriptOptions {
    pub path: PathBuf,
    /// Name and value; of two for one name the later counts.
    pub params: Vec<(String, String)>,
    /// 0 where none is given.
    pub seed: Option<u64>,
    pub clients: Vec<ClientsOverride>,
    /// The most iterations of each client.
    pub iterations: Option<u32>,
    /// No iteration starts at or after this nominal time.
    pub nominal_bound_ns: Option<u64>,
    /// How long the recorded phases last together; by default as they say.
    pub duration_ns: Option<u64>,
    /// Where writes may take blobs from, besides the script's folder.
    pub blob_folders: Vec<PathBuf>,
    pub limits: Limits,
    /// Nothing that the script prints is shown.
    pub quiet: bool,
    /// How errors name the script, in the place of its path.
    #[cfg(test)]
    pub shown: Option<PathBuf>,
}

impl ScriptOptions {
    /// The path of the script as errors write it: as the user gave it.
    fn shown_path(&self) -> String {
        #[cfg(test)]
        if let Some(shown) = &self.shown {
            return chunks::shown_path(shown);
        }
        chunks::shown_path(&self.path)
    }
}

/// What a script may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Over all machines that run it, and the operations they have made.
    pub memory_bytes: usize,
    /// The longest a script may compute without making operations: its top
    /// level as a whole, and then each batch of operations. What its thread has
    /// of the processors, as it does not compute while it waits for them.
    pub time_per_resume: Duration,
    /// The size of the script, and of each module.
    pub source_bytes: usize,
}

impl Limits {
    /// Of the memory, what the machine gets that hooks run in, where there is one.
    fn memory_of_hooks(&self) -> usize {
        self.memory_bytes / 4
    }

    /// Of the memory, what operations get: half of it while they are queued, and
    /// half for the one of each client that is in flight or next to be.
    fn memory_of_operations(&self) -> usize {
        self.memory_bytes / 4
    }

    fn memory_of_queued(&self) -> usize {
        self.memory_of_operations() / 2
    }

    /// Where a batch of one of so many clients ends. As much may still be queued
    /// when the next is asked for.
    fn batch_bytes(&self, clients: u32) -> usize {
        (self.memory_of_queued() / 2 / clients.max(1) as usize).max(1)
    }
}

/// A number of clients given from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientsOverride {
    /// None: the only workload there is.
    pub workload: Option<String>,
    pub clients: u32,
}

impl FromStr for ClientsOverride {
    type Err = ScriptError;

    /// `name=N`, or a bare `N`.
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

/// The parameters a script declares, by name, without running more of it than
/// its top level, of whose prints nothing is shown.
///
/// # Errors
/// [`ScriptError`] when the script cannot be read, or fails before it has
/// declared its parameters.
pub fn describe(path: &Path, limits: Limits) -> Result<Vec<ParameterHelp>, ScriptError> {
    let path = path.to_path_buf();
    let options = ScriptOptions { path, limits, quiet: true, ..ScriptOptions::default() };
    source::describe(&options)
}

#[cfg(test)]
mod tests;
