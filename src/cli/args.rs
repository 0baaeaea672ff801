//! Flags that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};

use super::value::{ClientCount, Input, parameter, positive_duration, positive_size};

/// Logs go to standard error.
#[derive(Clone, Debug, Args)]
pub struct Logging {
    /// How lines on standard error are written: as text, or each as a JSON object
    #[arg(long, global = true, display_order = 1_001, env = "SMBENCH_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Log more: -v for what the run does, -vv for debugging; SMBENCH_LOG=module=level chooses
    /// by module
    #[arg(short, long, global = true, display_order = 1_000, env = "SMBENCH_VERBOSE", action = ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Where operations come from, and what a script may cost.
#[derive(Clone, Debug, Args)]
pub struct StreamArgs {
    /// A script (.lua) or a document (.json, .jsonl)
    #[arg(value_name = "SCRIPT|DOCUMENT", required_unless_present = "help")]
    pub input: Option<Input>,

    /// Set a parameter of the script; may be repeated (in the variable: one a line)
    #[arg(
        short, long = "param", id = "params", value_name = "KEY=VALUE",
        env = "SMBENCH_PARAM", hide_env_values = true,
        value_parser = parameter, value_delimiter = '\n'
    )]
    pub params: Vec<(String, String)>,

    /// Clients of a workload; without a name, of the only one; may be repeated
    #[arg(long, value_name = "[WORKLOAD=]N", env = "SMBENCH_CLIENTS", value_delimiter = ',')]
    pub clients: Vec<ClientCount>,

    /// Seed of every random choice [default: 0, or the document's]
    #[arg(long, value_name = "N", env = "SMBENCH_SEED")]
    pub seed: Option<u64>,

    /// Treat unknown keys in extensions as errors
    #[arg(long, env = "SMBENCH_STRICT", value_parser = BoolishValueParser::new())]
    pub strict: bool,

    /// Let writes take blobs from this folder too, which their paths name; may be repeated (in the variable: one a line)
    #[arg(
        long,
        value_name = "DIR",
        env = "SMBENCH_ALLOW_BLOBS",
        value_delimiter = '\n',
        help_heading = "Script limits"
    )]
    pub allow_blobs: Vec<PathBuf>,

    /// Memory of the script: of all of its VMs and the operations it has queued, together
    #[arg(
        long, value_name = "SIZE", env = "SMBENCH_SCRIPT_MEMORY", default_value = "512MiB",
        value_parser = positive_size, help_heading = "Script limits"
    )]
    pub script_memory: u64,

    /// Longest time the script may compute without making an operation
    #[arg(
        long, value_name = "DURATION", env = "SMBENCH_SCRIPT_TIME", default_value = "1s",
        value_parser = positive_duration, help_heading = "Script limits"
    )]
    pub script_time: Duration,

    /// Print help; with a script, its parameters too
    #[arg(short, long, display_order = 1_002, action = ArgAction::SetTrue)]
    pub help: bool,
}

/// Where a stream ends.
#[derive(Clone, Debug, Default, Args)]
pub struct BoundArgs {
    /// Scale the recorded phases to last this long together (compile: in nominal time),
    /// and the unrecorded ones where that makes them shorter
    #[arg(long, env = "SMBENCH_DURATION", value_parser = positive_duration)]
    pub duration: Option<Duration>,

    /// End after this many iterations of each client
    #[arg(long, value_name = "N", env = "SMBENCH_ITERATIONS", value_parser = clap::value_parser!(u32).range(1..))]
    pub iterations: Option<u32>,

    /// End after this many operations of iterations, over all clients
    #[arg(long, value_name = "N", env = "SMBENCH_OPERATIONS", value_parser = clap::value_parser!(u64).range(1..))]
    pub operations: Option<u64>,
}
