//! Flags that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use super::flag_origins::FlagOrigins;
use super::flag_values::{input, parameter, positive_duration, positive_size, whole_number};
use super::input_path::InputPath;
use crate::script::{ClientsOverride, ScriptLimits};

/// Logs go to standard error.
#[derive(Clone, Debug, Args)]
pub struct Logging {
    /// How lines on standard error are written: as text, or each as a JSON object
    #[arg(long, global = true, display_order = 1_001, hide_short_help = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Log more; -vv for debugging
    ///
    /// -v logs what the run does, -vv what debugging needs. SMBENCH_LOG=module=level chooses
    /// by module.
    #[arg(short, long, global = true, display_order = 1_000, action = ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// The source of operations, and the limits of a script.
#[derive(Clone, Debug, Args)]
pub struct StreamArgs {
    /// A script (.lua, @scripts/NAME) or document (.json, .jsonl)
    #[arg(value_name = "SCRIPT|DOCUMENT", required_unless_present_any = HELP, value_parser = input)]
    pub input: Option<InputPath>,

    /// Set a parameter of the script
    ///
    /// May be repeated; the variable holds one per line.
    #[arg(
        short, long = "param", id = "params", value_name = "KEY=VALUE", hide_env_values = true,
        value_parser = parameter, value_delimiter = '\n'
    )]
    pub params: Vec<(String, String)>,

    /// File with parameters of the script
    ///
    /// May be repeated; the variable holds one per line. -p takes precedence.
    #[arg(long = "param-file", id = "param_files", value_name = "FILE", value_delimiter = '\n')]
    pub param_files: Vec<PathBuf>,

    /// Use the values of a profile of smbench.toml
    ///
    /// A profile sets parameters, target, duration and thresholds. Every flag, or its variable,
    /// takes precedence.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// Number of clients of a workload
    ///
    /// May be repeated. Without a name: the clients of the only workload. For a document: the total
    /// number of clients; the additional ones are clones, each set in a directory of its own
    /// (clone1, clone2, …).
    #[arg(long, value_name = "[WORKLOAD=]N", value_delimiter = ',')]
    pub clients: Vec<ClientsOverride>,

    /// Seed of every random choice
    ///
    /// [default: 0, or the document's]
    #[arg(long, value_name = "N", value_parser = whole_number::<u64>(0..=u64::MAX))]
    pub seed: Option<u64>,

    /// Treat unknown keys in extensions as errors
    #[arg(long, hide_short_help = true)]
    pub strict: bool,

    /// Let writes take blobs from this directory too
    ///
    /// The paths of such blobs name the directory. May be repeated; the variable holds one per line.
    #[arg(
        long,
        hide_short_help = true,
        value_name = "DIR",
        value_delimiter = '\n',
        help_heading = "Script limits"
    )]
    pub allow_blobs: Vec<PathBuf>,

    #[command(flatten)]
    pub limits: LimitArgs,

    /// Print the flags that matter most
    ///
    /// With a script, its parameters too.
    #[arg(short = 'h', display_order = 1_002, action = ArgAction::SetTrue)]
    pub short_help: bool,

    /// Print every flag and what it does
    ///
    /// With a script, its parameters too.
    #[arg(long, display_order = 1_003, action = ArgAction::SetTrue)]
    pub help: bool,

    /// The places that the values of the flags come from.
    #[arg(skip)]
    pub origins: FlagOrigins,
}

/// The limits of scripts.
#[derive(Clone, Debug, Args)]
pub struct LimitArgs {
    /// Memory of the script
    ///
    /// It bounds all VMs of the script and the operations it has queued, together.
    #[arg(
        long, hide_short_help = true, value_name = "SIZE", default_value = format!("{}MiB", ScriptLimits::default().memory_bytes >> 20),
        value_parser = positive_size, help_heading = "Script limits"
    )]
    pub script_memory: u64,

    /// Longest time the script may compute without making an operation
    #[arg(
        long, hide_short_help = true, value_name = "DURATION", default_value = format!("{:?}", ScriptLimits::default().time_per_resume),
        value_parser = positive_duration, help_heading = "Script limits"
    )]
    pub script_time: Duration,
}

impl LimitArgs {
    pub(super) fn script_limits(&self) -> ScriptLimits {
        ScriptLimits {
            // The allocator of a VM counts in signed numbers.
            memory_bytes: usize::try_from(self.script_memory)
                .unwrap_or(usize::MAX)
                .min(isize::MAX as usize),
            time_per_resume: self.script_time,
            ..ScriptLimits::default()
        }
    }
}

/// The help flags: with one of them, the arguments that a command requires may be missing.
pub(super) const HELP: [&str; 2] = ["short_help", "help"];

/// The bounds at which a stream ends.
#[derive(Clone, Debug, Default, Args)]
pub struct BoundArgs {
    /// Scale the recorded phases to last this long
    ///
    /// The recorded phases last this long together (compile: in nominal time). The unrecorded
    /// ones are scaled where that makes them shorter.
    #[arg(long, value_parser = positive_duration)]
    pub duration: Option<Duration>,

    /// End after this many iterations of each client
    ///
    /// For a document: each client repeats all of its iterations this many times.
    #[arg(long, value_name = "N", value_parser = whole_number::<u32>(1..=u32::MAX.into()))]
    pub iterations: Option<u32>,

    /// End after this many operations over all clients
    ///
    /// Only operations of iterations count, each once, whether it succeeded, failed or was
    /// skipped. In a run the server's speed decides which client makes the last ones;
    /// compile writes the first ones in the order of nominal time.
    #[arg(long, value_name = "N", value_parser = whole_number::<u64>(1..=u64::MAX))]
    pub operations: Option<u64>,
}
