//! The options of a run.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::settings::{GivenThreshold, SettingsRequest};
use crate::backend::embedded::Storage;
use crate::backend::memory::MemoryLimits;
use crate::backend::registry::Target;
use crate::backend::smb2::Password;
use crate::scheduler::{Precision, RetryPolicy};

/// All options of a run, except its input.
#[derive(Clone, Debug)]
pub struct RunOptions {
    pub target: Target,
    /// The password, for a target with a user.
    pub password: Option<Password>,
    /// The storage of the embedded server.
    pub storage: Storage,
    /// Total length of the recorded phases; by default the stream's own.
    pub duration: Option<Duration>,
    /// Number of operations of iterations, over all clients, after which the run ends.
    pub operations: Option<u64>,
    /// Maximum number of operations in flight over all clients.
    pub limit: Option<u32>,
    /// The failures after which an operation is tried again; none by default.
    pub retry: Option<RetryPolicy>,
    /// Factor that stretches the times and phases of the stream: 2 is half speed.
    pub time_scale: f64,
    /// Number of threads that make a script's operations; by default, it depends on the host's
    /// cores.
    pub generators: Option<u32>,
    /// Number of threads that issue operations; by default, it depends on the host's cores,
    /// `precision` and the number of clients.
    pub shards: Option<usize>,
    /// The way shards wait for the next operation: asleep or awake.
    pub precision: Precision,
    /// Number of connections that are made at a time.
    pub connect_concurrency: u32,
    pub timeouts: Timeouts,
    /// The lateness above which an operation counts as late.
    pub late_bound: Duration,
    /// Whether a late generator is no reason to exit with 5.
    pub allow_late: bool,
    /// The highest fidelity mode; by default what the stream needs.
    pub mode: Option<u8>,
    /// Whether to go on without features that the backend or the mode does not have.
    pub degrade: bool,
    /// Thresholds, such as `read.response.p99 < 20ms`, in addition to those of the stream.
    pub thresholds: Vec<GivenThreshold>,
    /// The values from which target, duration and thresholds were settled, if they were. A reload
    /// settles them anew, because the manifest of the project may have changed.
    pub settings: Option<SettingsRequest>,
    pub hook_errors: HookErrorPolicy,
    /// Whether to write a line for each operation and each break.
    pub oplog: bool,
    /// Whether to make, before the run, what the stream uses and does not make.
    pub prepare: bool,
    /// Whether to remove, after the run, what it made.
    pub clean: bool,
    /// Whether to reload the input when it changes, and how. A watched run without phases, a
    /// duration, a number of operations or an end of its stream lasts until it is ended.
    pub watch: Option<WatchOptions>,
    /// Time at which the run is stopped at once, however far it is; None for no such bound.
    pub stop_at: Option<Instant>,
    /// The number of interrupts so far, if they come from a run or a test around this run. It then
    /// listens to no signals itself.
    pub interrupts: Option<watch::Receiver<u64>>,
    /// Directory for the results; by default `results/<time>-<script>`.
    pub out: Option<PathBuf>,
    /// Whether to show progress: a line on a terminal, else a log event every five seconds.
    pub progress: bool,
}

/// The options of a run that reloads its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// Longest wait for a client to reach a boundary, at which it moves to the new input. After it
    /// the client is cut.
    pub grace: Duration,
    /// Whether to listen to the keys `r` and `q`, if standard input and standard error are
    /// terminals.
    pub keys: bool,
}

impl WatchOptions {
    pub const GRACE: Duration = Duration::from_secs(30);
}

/// The effect of an error in a hook on the run.
// The comments of the variants are the help of `--hook-errors`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum HookErrorPolicy {
    /// Report it with a count, and exit with 4
    #[default]
    Report,
    /// Report it, and leave the exit code as it is
    Ignore,
    /// End the run, and exit with 2
    Abort,
}

/// Maximum number of shards and of threads that make operations.
pub const MAX_THREADS: u16 = 256;

impl RunOptions {
    /// The default factor that stretches times.
    pub const TIME_SCALE: f64 = 1.0;
    /// The default number of connections that are made at a time.
    pub const CONNECT_CONCURRENCY: u32 = 64;
    /// The default lateness above which an operation counts as late.
    pub const LATE_BOUND: Duration = Duration::from_millis(10);

    /// Returns the options of a command line that names only the target.
    pub fn new(target: Target) -> RunOptions {
        RunOptions {
            target,
            password: None,
            storage: Storage::Memory(MemoryLimits::default()),
            duration: None,
            operations: None,
            limit: None,
            retry: None,
            time_scale: RunOptions::TIME_SCALE,
            generators: None,
            shards: None,
            precision: Precision::Sleep,
            connect_concurrency: RunOptions::CONNECT_CONCURRENCY,
            timeouts: Timeouts::DEFAULT,
            late_bound: RunOptions::LATE_BOUND,
            allow_late: false,
            mode: None,
            degrade: false,
            thresholds: Vec::new(),
            settings: None,
            hook_errors: HookErrorPolicy::Report,
            oplog: false,
            prepare: false,
            clean: false,
            watch: None,
            stop_at: None,
            interrupts: None,
            out: None,
            progress: false,
        }
    }
}

/// The bounds on waits.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub operation: Duration,
    pub connect: Duration,
    pub reconnect: Duration,
    /// Bound on draining, closing open handles and teardown, together.
    pub drain: Duration,
}

impl Timeouts {
    pub const DEFAULT: Timeouts = Timeouts {
        operation: Duration::from_secs(60),
        connect: Duration::from_secs(10),
        reconnect: Duration::from_secs(30),
        drain: Duration::from_secs(10),
    };
}
