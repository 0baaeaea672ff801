//! `smbench run`

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::{BoundArgs, StreamArgs};
use super::flag_values::{duration, factor, positive_duration, retry, whole_number};
use super::input_path::InputPath;
use crate::backend::registry::{Target, known_targets};
use crate::run::{HookErrorPolicy, MAX_THREADS, RunOptions, Timeouts, WatchOptions};
use crate::scheduler::RetryPolicy;
use crate::script::ScriptLocation;

/// The highest fidelity mode of a run: the part of SMB that it may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// What the script or document needs
    Auto,
    /// Paths and how they are opened
    #[value(name = "0")]
    Simple,
    /// And access masks, share modes, dispositions, create options, file attributes
    #[value(name = "1")]
    Realistic,
    /// And oplocks, leases, durable handles, raw create contexts
    #[value(name = "2")]
    Full,
}

impl Mode {
    /// Returns the number of the mode; None if the stream decides.
    pub(super) fn highest(self) -> Option<u8> {
        match self {
            Mode::Auto => None,
            Mode::Simple => Some(0),
            Mode::Realistic => Some(1),
            Mode::Full => Some(2),
        }
    }
}

/// Run a script or a document against a server
#[derive(Clone, Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "smbench run [OPTIONS] <SCRIPT|DOCUMENT>",
    after_help = "--help has every flag, its variable, and the exit codes.",
    after_long_help = "A password comes from SMBENCH_PASSWORD, --password-file or a prompt.\n\
        Exit codes: 0 good; 1 internal error; 2 bad usage or an invalid script or document; \
        3 target unreachable or access denied; 4 operations failed, or a hook raised an error; \
        5 the generator fell behind; \
        99 thresholds failed, or ended by bench.abort; 130 interrupted."
)]
pub struct RunArgs {
    #[command(flatten)]
    pub stream: StreamArgs,

    #[command(flatten)]
    pub bounds: BoundArgs,

    #[arg(
        help = "smb://…, sim or embedded",
        long_help = known_targets(), long, value_name = "TARGET", hide_env_values = true,
        default_value = Target::Embedded.to_string(), help_heading = "Target"
    )]
    pub target: String,

    /// File that holds the password
    #[arg(long, value_name = "FILE", help_heading = "Target")]
    pub password_file: Option<PathBuf>,

    /// Directory that the embedded server serves
    ///
    /// [default: memory]
    #[arg(long, value_name = "DIR", help_heading = "Target")]
    pub embedded_dir: Option<PathBuf>,

    /// Longest wait for one connection and its login
    #[arg(
        long, hide_short_help = true, value_name = "DURATION",
        default_value = format!("{:?}", Timeouts::DEFAULT.connect),
        value_parser = positive_duration, help_heading = "Target"
    )]
    pub connect_timeout: Duration,

    /// Connections made at a time
    #[arg(
        long, hide_short_help = true, value_name = "N", default_value_t = RunOptions::CONNECT_CONCURRENCY,
        value_parser = whole_number::<u32>(1..=u32::MAX.into()), help_heading = "Target"
    )]
    pub connect_concurrency: u32,

    /// How long a client tries to replace a lost connection
    #[arg(
        long, hide_short_help = true, value_name = "DURATION",
        default_value = format!("{:?}", Timeouts::DEFAULT.reconnect),
        value_parser = duration, help_heading = "Target"
    )]
    pub reconnect_timeout: Duration,

    /// Highest fidelity mode: 0, 1 or 2
    ///
    /// The run uses features of at most fidelity mode 0 (paths), 1 (fields of CREATE) or 2
    /// (oplocks, leases, durable handles).
    #[arg(
        long, value_name = "MODE", value_enum, default_value_t = Mode::Auto,
        help_heading = "Target"
    )]
    pub mode: Mode,

    /// Drop from an open what cannot be sent
    ///
    /// Features that the backend cannot send, or that --mode does not allow, are dropped and
    /// counted.
    #[arg(long, hide_short_help = true, help_heading = "Target")]
    pub degrade: bool,

    /// Maximum operations in flight over all clients
    ///
    /// Locks that wait are not counted. [default: one per client]
    #[arg(
        long, value_name = "N",
        value_parser = whole_number::<u32>(1..=u32::MAX.into()), help_heading = "Scheduling"
    )]
    pub limit: Option<u32>,

    /// Retry operations that the server did not begin
    ///
    /// An operation that fails with one of the statuses is attempted at most three times.
    /// [default statuses: those by which the server says that it did not begin]
    #[arg(
        long, value_name = "STATUS,...", num_args = 0..=1, require_equals = true,
        default_missing_value = "", value_parser = retry, help_heading = "Scheduling"
    )]
    pub retry: Option<RetryPolicy>,

    /// Stretch the times of the stream and its phases: 2 is half speed
    #[arg(
        long, hide_short_help = true, value_name = "FACTOR", default_value_t = RunOptions::TIME_SCALE,
        value_parser = factor, help_heading = "Scheduling"
    )]
    pub time_scale: f64,

    /// Longest wait for one operation
    ///
    /// With --retry, for one attempt at it.
    #[arg(
        long, value_name = "DURATION", default_value = format!("{:?}", Timeouts::DEFAULT.operation),
        value_parser = positive_duration, help_heading = "Scheduling"
    )]
    pub op_timeout: Duration,

    /// Longest wait at the end of the run
    ///
    /// It bounds the operations in flight, the closes and the teardown, together.
    #[arg(
        long, value_name = "DURATION", default_value = format!("{:?}", Timeouts::DEFAULT.drain),
        value_parser = duration, help_heading = "Scheduling"
    )]
    pub drain: Duration,

    /// Threads that make a script's operations
    ///
    /// Each has a VM of its own. [default: cores minus two, at least one]
    #[arg(
        long, hide_short_help = true, value_name = "N",
        value_parser = whole_number::<u16>(1..=MAX_THREADS.into()), help_heading = "Scheduling"
    )]
    pub generators: Option<u16>,

    /// Threads that issue operations
    ///
    /// [default: one per core, half as many with --precise]
    #[arg(
        long, hide_short_help = true, value_name = "N",
        value_parser = whole_number::<u16>(1..=MAX_THREADS.into()), help_heading = "Scheduling"
    )]
    pub shards: Option<u16>,

    /// Issue to the microsecond; keeps cores awake
    ///
    /// The threads stay awake before each operation. At high rates that costs a core for each
    /// of --shards.
    #[arg(long, help_heading = "Scheduling")]
    pub precise: bool,

    /// An operation issued later than this counts as late
    #[arg(
        long, hide_short_help = true, value_name = "DURATION",
        default_value = format!("{:?}", RunOptions::LATE_BOUND),
        value_parser = duration, help_heading = "Scheduling"
    )]
    pub late_bound: Duration,

    /// Exit with 0 when the generator fell behind
    ///
    /// Without it the exit code is 5.
    #[arg(long, help_heading = "Scheduling")]
    pub allow_late: bool,

    /// Exit with 99 unless this figure holds
    ///
    /// Such as 'read.response.p99 < 20ms'. May be repeated; the variable holds one per line.
    #[arg(
        long = "threshold",
        id = "thresholds",
        value_name = "EXPRESSION",
        value_delimiter = '\n',
        help_heading = "Output"
    )]
    pub thresholds: Vec<String>,

    /// What an error in a hook of the script does to the run
    #[arg(
        long, hide_short_help = true, value_name = "WHAT", value_enum,
        default_value_t = HookErrorPolicy::default(), help_heading = "Script limits"
    )]
    pub hook_errors: HookErrorPolicy,

    /// Create files that the stream expects to exist
    ///
    /// Reads the whole stream before the run. Creates each missing directory and file, with as many
    /// bytes as the stream reads. Existing files are never changed. A script needs --iterations,
    /// because the stream must end.
    #[arg(long, help_heading = "Target")]
    pub prepare: bool,

    /// Remove files that the run or --prepare created
    ///
    /// Removes these files and directories after teardown. What existed before the run, or may have,
    /// is never removed.
    #[arg(long, help_heading = "Target")]
    pub clean: bool,

    /// Reload when a file of the experiment changes
    ///
    /// The files are the script or document, the modules and documents that it loads, the
    /// parameter files and smbench.toml. When the content of one changes, the new version is loaded
    /// beside the running one, and each client moves to it at its next boundary. On a terminal the
    /// key r reloads now, and q ends the run. Without --duration, phases or another bound the run
    /// lasts until then, or until Ctrl-C. Phases, and everything on the command line, stay as
    /// they were.
    #[arg(long, help_heading = "Reload")]
    pub watch: bool,

    /// Longest wait of a reload for the iteration of a client
    ///
    /// A client moves to a reloaded script at a boundary: when its present iteration has ended,
    /// before the next one begins. Handles that are open there are closed. A client that reaches no
    /// boundary within this time is cut: the rest of its iteration is discarded.
    #[arg(
        long, hide_short_help = true, value_name = "DURATION",
        default_value = format!("{:?}", WatchOptions::GRACE),
        value_parser = duration, help_heading = "Reload"
    )]
    pub reload_grace: Duration,

    #[arg(
        help = "Directory for the results",
        long_help = "Directory for the results\n\n[default: results/<time>-<script>]",
        long,
        value_name = "DIR",
        help_heading = "Output"
    )]
    pub out: Option<PathBuf>,

    /// Keep a line for each operation in ops.jsonl
    ///
    /// A line of JSON for each operation and each break, beside the results.
    #[arg(long, help_heading = "Output")]
    pub oplog: bool,

    /// Print each value and its origin; run nothing
    ///
    /// The origin is a flag, a variable, a profile or a parameter file with the line, or the
    /// default. Passwords are not printed.
    #[arg(long, help_heading = "Output")]
    pub explain: bool,

    /// Print the summary as JSON
    ///
    /// On standard output, and nothing else there. With --explain, the explanation.
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Print no progress and no table
    ///
    /// There is no report, no progress line on a terminal, and elsewhere no line every five
    /// seconds. Errors and the reason of an exit code are still printed.
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

impl RunArgs {
    /// Checks for conflicts between values. `watching` is the way in which the command line asks
    /// for reloads, if it does.
    pub(super) fn check(&self, watching: &str, given: &dyn Fn(&str) -> bool) -> Result<(), String> {
        if !self.watch {
            return match given("reload_grace") {
                true => Err("--reload-grace is for runs that reload: add --watch".into()),
                false => Ok(()),
            };
        }
        if let Some(InputPath::Script(ScriptLocation::Ready(ready))) = &self.stream.input {
            let name = ready.name;
            return Err(format!(
                "{watching} reloads files, and {ready} is in the binary: write it to a file with 'smbench scripts show {name} >{name}.lua', and watch that"
            ));
        }
        if self.prepare {
            return Err(format!(
                "--prepare reads the whole stream before the run, and {watching} replaces the stream during the run: leave out one of the two"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Cli, Command};
    use std::path::Path;

    use super::*;
    use crate::script::ClientsOverride;

    fn run(line: &str) -> RunArgs {
        match Cli::parse_from_args(line.split_whitespace()).unwrap().command {
            Command::Run(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        let args = run("smbench run office.lua");
        assert_eq!(args.stream.input, Some(InputPath::Script(Path::new("office.lua").into())));
        assert_eq!(args.target, "embedded");
        let seconds = [args.op_timeout, args.drain, args.connect_timeout, args.reconnect_timeout]
            .map(|duration| duration.as_secs());
        assert_eq!(seconds, [60, 10, 10, 30]);
        assert_eq!(args.late_bound, Duration::from_millis(10));
        assert_eq!((args.limit, args.shards, args.bounds.duration), (None, None, None));
        assert_eq!((args.retry.clone(), args.time_scale), (None, 1.0));
        assert!(
            !args.json
                && !args.quiet
                && !args.allow_late
                && !args.degrade
                && args.mode == Mode::Auto
                && !args.precise
                && !args.oplog
                && !args.prepare
                && !args.clean
        );
    }

    #[test]
    fn every_flag_of_run_reaches_its_field() {
        let args = run(
            "smbench run day.lua -p users=10 -p io=4KiB --clients editors=3,readers=4 --clients 5 \
             --target smb://ada@nas/share --duration 1.5s --iterations 7 --seed 18446744073709551615 \
             --limit 64 --drain 0 --precise --out r --json -q --allow-blobs /a --allow-blobs /b \
             --prepare --clean",
        );
        let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
        assert_eq!(args.stream.params, [pair("users", "10"), pair("io", "4KiB")]);
        let count = |workload: Option<&str>, clients| ClientsOverride {
            workload: workload.map(String::from),
            clients,
        };
        assert_eq!(
            args.stream.clients,
            [count(Some("editors"), 3), count(Some("readers"), 4), count(None, 5)]
        );
        assert_eq!(args.target, "smb://ada@nas/share");
        assert_eq!(args.bounds.duration, Some(Duration::from_millis(1_500)));
        assert_eq!((args.bounds.iterations, args.stream.seed), (Some(7), Some(u64::MAX)));
        assert_eq!((args.limit, args.drain), (Some(64), Duration::ZERO));
        assert_eq!(args.out, Some("r".into()));
        assert_eq!(args.stream.allow_blobs, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert!(args.json && args.quiet && args.precise && args.prepare && args.clean);
    }

    #[test]
    fn a_value_with_commas_is_one_value() {
        let args = run("smbench run a.lua -p mix=a,b=c");
        assert_eq!(args.stream.params, [("mix".to_string(), "a,b=c".to_string())]);
    }
}
