//! The options that a script is run with.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

#[cfg(test)]
use super::chunks::shown_path;
use super::file_cache::FileCache;
use super::location::ScriptLocation;
use super::parameter_file::ParameterFile;
use super::read_files::ReadFiles;
use super::test_bounds::TestBounds;
use crate::ir::document::CheckedDocument;
use crate::ir::event::FIRST_GENERATION;
use crate::ir::file_tree::HashedTree;
use crate::ir::step::StepNames;
use crate::ir::workloads::MAX_CLIENTS;
use crate::library::packages::Packages;

/// A script and the options it is run with.
#[derive(Clone, Debug, Default)]
pub struct ScriptOptions {
    pub location: ScriptLocation,
    /// Parameters as name and value. If a name is given twice, the later value counts. Those of the
    /// command line may name any file, and those of a test only files of the project.
    pub params: Vec<(String, String)>,
    /// Parameters of a profile of the project's manifest. All others count before them.
    pub profile_params: Vec<ProfileParameter>,
    /// Files with more parameters, one `name = value` in a line. Those of a later file count before
    /// those of an earlier one, and `params` before all of them.
    pub param_files: Vec<PathBuf>,
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
    pub blob_directories: Vec<PathBuf>,
    /// Whether the documents that the script loads must have no unknown keys in extensions.
    pub strict: bool,
    /// The documents that the script has loaded, shared by its VMs.
    pub documents: FileCache<CheckedDocument>,
    /// The trees of directories that the script has read, shared by its VMs.
    pub trees: FileCache<HashedTree>,
    /// The parameter files that were read, shared by the script's VMs.
    pub parameters_read: FileCache<ParameterFile>,
    /// The texts of the script and of its modules, which are the same in all of the script's VMs,
    /// also if a file is edited while it is loaded.
    pub sources: FileCache<String>,
    /// The libraries of the script's project, which are checked once for all of its VMs.
    pub packages: FileCache<Packages>,
    /// The files that the script's VMs have read, whose changes may change the stream.
    pub reads: ReadFiles,
    pub limits: ScriptLimits,
    /// The names of the stream's steps. The VMs that make one stream get clones of the same options,
    /// and share them.
    pub step_names: StepNames,
    /// The generation that the script is loaded for while a run goes on; None for the first one.
    pub reload: Option<Reload>,
    /// Whether to suppress what the script prints.
    pub quiet: bool,
    /// The bounds of the test that loads the script, if one does.
    pub test: Option<TestBounds>,
    /// The name of the script in errors, in place of its path.
    #[cfg(test)]
    pub shown: Option<PathBuf>,
}

/// A parameter that a profile of the project's manifest sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileParameter {
    pub profile: String,
    pub name: String,
    pub value: String,
    /// The `file:line` of the manifest.
    pub place: String,
}

/// A generation of a stream that a run goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Its number, from 2. The random numbers of iterations and of arrivals depend on it.
    pub generation: u32,
    /// The time at which the arrivals of its open loops begin, in nanoseconds of the script's own
    /// time from time zero.
    pub begin_ns: u64,
}

impl ScriptOptions {
    /// Makes these the options of a later generation. Files are read anew, and names of steps are
    /// counted anew.
    pub fn begin_generation(&mut self, reload: Reload) {
        self.reload = Some(reload);
        self.documents = FileCache::default();
        self.trees = FileCache::default();
        self.parameters_read = FileCache::default();
        self.sources = FileCache::default();
        self.packages = FileCache::default();
        self.reads = ReadFiles::default();
        self.step_names = StepNames::default();
    }

    /// Returns the number of the generation that the script is loaded for.
    pub(super) fn generation(&self) -> u32 {
        self.reload.map_or(FIRST_GENERATION, |reload| reload.generation)
    }

    /// Returns the script's location as errors write it.
    pub(super) fn shown_location(&self) -> String {
        #[cfg(test)]
        if let Some(shown) = &self.shown {
            return shown_path(shown);
        }
        self.location.to_string()
    }
}

/// The resources that a script may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptLimits {
    /// Memory in bytes of all VMs that run the script and of the operations they have made.
    pub memory_bytes: usize,
    /// Maximum time that a script may compute without making operations: for its top level as a
    /// whole, and then for each batch of operations. It is CPU time, because a thread that waits
    /// for a processor does not compute.
    pub time_per_resume: Duration,
    /// Maximum size, in bytes, of the script and of each module.
    pub source_bytes: usize,
}

impl ScriptLimits {
    /// Returns the part of the memory, in bytes, for the VM that runs hooks, if there is one.
    pub(super) fn memory_of_hooks(&self) -> usize {
        self.memory_bytes / 4
    }

    /// Returns the part of the memory, in bytes, for operations. Half of it is for queued
    /// operations; the other half is for the one operation of each client that is in flight or
    /// next.
    pub(super) fn memory_of_operations(&self) -> usize {
        self.memory_bytes / 4
    }

    pub(super) fn memory_of_queued(&self) -> usize {
        self.memory_of_operations() / 2
    }

    /// Returns the size, in bytes, at which a batch of one of `clients` clients ends. Operations of
    /// the same size may still be queued when the next batch is asked for.
    pub(super) fn batch_bytes(&self, clients: u32) -> usize {
        (self.memory_of_queued() / 2 / clients.max(1) as usize).max(1)
    }
}

impl Default for ScriptLimits {
    /// Returns 512 MiB of memory, 1 s of computing and 1 MiB of source.
    fn default() -> ScriptLimits {
        ScriptLimits {
            memory_bytes: 512 << 20,
            time_per_resume: Duration::from_secs(1),
            source_bytes: 1 << 20,
        }
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
    type Err = String;

    /// Parses `name=N`, or a bare `N`.
    fn from_str(text: &str) -> Result<ClientsOverride, String> {
        let (workload, number) = match text.rsplit_once('=') {
            Some((name, number)) => (Some(name.trim().to_string()), number),
            None => (None, text),
        };
        match number.trim().parse() {
            Ok(clients @ 1..=MAX_CLIENTS) if workload.as_deref() != Some("") => {
                Ok(ClientsOverride { workload, clients })
            }
            _ => Err(format!("expected N or workload=N, with N from 1 to {MAX_CLIENTS}")),
        }
    }
}

/// Returns a number of clients, or an error that explains why it cannot be one.
pub(super) fn client_count(clients: u64) -> Result<u32, String> {
    match u32::try_from(clients) {
        Ok(clients) if (1..=MAX_CLIENTS).contains(&clients) => Ok(clients),
        _ => Err(format!("{clients} clients; 1 to {MAX_CLIENTS} are possible")),
    }
}
