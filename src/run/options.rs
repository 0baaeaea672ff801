//! What a run can be told.

use std::path::PathBuf;
use std::time::Duration;

use super::HookErrors;
use crate::backend::embedded::Storage;
use crate::backend::memory::Limits as MemoryLimits;
use crate::backend::registry::Target;
use crate::backend::smb2::Password;
use crate::scheduler::{Precision, RetryPolicy};

/// Everything a run can be told, beside what it runs.
#[derive(Clone, Debug)]
pub struct RunOptions {
    pub target: Target,
    /// For a target with a user.
    pub password: Option<Password>,
    /// For the embedded server.
    pub storage: Storage,
    /// How long the recorded phases last together; by default as the stream says.
    pub duration: Option<Duration>,
    /// Operations of iterations over all clients, after which the run ends.
    pub operations: Option<u64>,
    /// Operations in flight over all clients.
    pub limit: Option<u32>,
    /// Which failed operations are tried again; none of them by default.
    pub retry: Option<RetryPolicy>,
    /// Stretches the stream's times and phases: 2 is half speed.
    pub time_scale: f64,
    /// Threads that make a script's operations; by default what the machine suggests.
    pub generators: Option<u32>,
    /// Threads that issue operations; by default what the machine and the target suggest.
    pub shards: Option<usize>,
    /// How shards wait for what is due next.
    pub precision: Precision,
    pub connect_concurrency: usize,
    pub timeouts: Timeouts,
    /// Operations issued later than this count as late.
    pub late_bound: Duration,
    /// A late generator is no reason to exit with 5.
    pub allow_late: bool,
    /// The highest fidelity mode; by default what the stream needs.
    pub mode: Option<u8>,
    /// Go on without what the backend lacks or the mode leaves out.
    pub degrade: bool,
    /// Beside those of the stream, such as `read.response.p99 < 20ms`.
    pub thresholds: Vec<String>,
    pub hook_errors: HookErrors,
    /// Keep a line for each operation and each break.
    pub oplog: bool,
    /// Where results go; by default `results/<time>-<script>`.
    pub out: Option<PathBuf>,
    /// Show a progress line where standard error is a terminal.
    pub progress: bool,
}

impl RunOptions {
    /// What the command line means by saying nothing but the target.
    pub fn new(target: Target) -> RunOptions {
        RunOptions {
            target,
            password: None,
            storage: Storage::Memory(MemoryLimits::default()),
            duration: None,
            operations: None,
            limit: None,
            retry: None,
            time_scale: 1.0,
            generators: None,
            shards: None,
            precision: Precision::Sleep,
            connect_concurrency: 64,
            timeouts: Timeouts {
                operation: Duration::from_secs(60),
                connect: Duration::from_secs(10),
                reconnect: Duration::from_secs(30),
                drain: Duration::from_secs(10),
            },
            late_bound: Duration::from_millis(10),
            allow_late: false,
            mode: None,
            degrade: false,
            thresholds: Vec::new(),
            hook_errors: HookErrors::Report,
            oplog: false,
            out: None,
            progress: false,
        }
    }
}

/// Every bound on a wait.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub operation: Duration,
    pub connect: Duration,
    pub reconnect: Duration,
    /// Draining, closing what is open, and teardown, together.
    pub drain: Duration,
}
