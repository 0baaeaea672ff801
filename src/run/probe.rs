//! `smbench targets probe`: the conformance suite's safe part against a
//! user's server.

use std::hash::{BuildHasher, RandomState};
use std::io::IsTerminal;
use std::process;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;

use super::RunError;
use super::interrupt::{Signals, interruptible};
use crate::backend::embedded::Storage;
use crate::backend::memory::Limits as MemoryLimits;
use crate::backend::registry::{BackendSettings, OpenTargetError, Target};
use crate::backend::smb2::Password;
use crate::backend::{BackendContext, open_files};
use crate::observability::exit::ExitReason;
use crate::probe::{self, Limits, ProbeReport, TargetReport};
use crate::protocol::SharePath;
use crate::scheduler::{Precision, RealClock};

/// What a probe can be told.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    pub target: Target,
    /// For a target with a user.
    pub password: Option<Password>,
    /// The longest wait for one answer of the server.
    pub operation_timeout: Duration,
    /// The longest wait for all cases together.
    pub timeout: Duration,
    /// Show a progress line where standard error is a terminal.
    pub progress: bool,
}

/// More than any case has at a time, those that clean up included.
const CONNECTIONS: u32 = 64;
/// A case is a conversation of some operations.
const OPERATIONS_OF_A_CASE: u32 = 3;

/// Asks the target what it does, in a new folder that is removed again. A
/// signal ends it in good order, a second one at once.
///
/// # Errors
/// [`RunError`]: no case was run, and nothing is left on the server.
pub fn probe(options: &ProbeOptions) -> Result<ProbeReport, RunError> {
    // Before there is anything a signal could leave behind.
    let mut signals =
        Signals::listen().context("signals cannot be listened to").map_err(RunError::internal)?;
    open_files::raise_open_file_limit(options.target.open_files(CONNECTIONS))
        .map_err(|error| RunError::invalid(error.into()))?;
    let clock = RealClock::start(Precision::Sleep);
    let settings = BackendSettings {
        context: BackendContext {
            clock,
            response_timeout: options.operation_timeout,
            file_ids: false,
        },
        connections: CONNECTIONS,
        password: options.password.clone(),
        storage: Storage::Memory(MemoryLimits::default()),
        seed: 0,
    };
    let server = options.target.open(settings).map_err(|error| match error {
        OpenTargetError::PasswordMissing { .. } => RunError::invalid(error.into()),
        OpenTargetError::Embedded(_) => RunError::new(ExitReason::Unreachable, error.into()),
    })?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("no threads for the probe").map_err(RunError::internal)?;

    let folder = format!("smbench-probe-{:016x}", RandomState::new().hash_one(process::id()));
    let root = SharePath::new(&folder).map_err(|error| RunError::internal(error.into()))?;
    let wait = options.operation_timeout;
    let limits = Limits {
        wait,
        case: wait * OPERATIONS_OF_A_CASE,
        cleaning: wait * OPERATIONS_OF_A_CASE,
        whole: options.timeout,
    };
    let cases = probe::all();
    let bar = progress(options.progress, cases.len());
    let (stop, stopped) = watch::channel(false);
    let interrupt = || {
        if stop.send_replace(true) {
            tracing::error!("ended at once: the folder {folder} is left on the server");
            process::exit(ExitReason::Interrupted.code().into());
        }
        tracing::warn!("ending: what was made on the server is being removed");
    };
    let column = interruptible(&mut signals, interrupt, || {
        runtime.block_on(probe::run(
            &server,
            &root,
            (&cases, false),
            limits,
            stopped,
            &mut |number, case| {
                bar.set_position(number as u64);
                bar.set_message(case.name);
            },
        ))
    });
    bar.finish_and_clear();
    let column = column.map_err(|error| RunError::new(ExitReason::Unreachable, error.into()))?;
    let target = TargetReport {
        url: options.target.to_string(),
        backend: server.capabilities().name,
        server: server.server(),
    };
    Ok(ProbeReport::new(target, &folder, &cases, &column))
}

/// Draws on a terminal only.
fn progress(enabled: bool, cases: usize) -> ProgressBar {
    let target = match enabled && std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let style = ProgressStyle::with_template("{pos}/{len} {wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(cases as u64), target).with_style(style)
}
