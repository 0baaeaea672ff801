//! `smbench targets probe`: runs the safe cases of the conformance suite against a user's server.

use std::num::NonZeroU16;
use std::process;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;

use super::error::RunError;
use super::signals::{Signals, interruptible};
use crate::backend::embedded::Storage;
use crate::backend::entropy::random_bytes;
use crate::backend::memory::MemoryLimits;
use crate::backend::registry::{BackendSettings, Target};
use crate::backend::smb2::Password;
use crate::backend::{BackendContext, open_files};
use crate::observability::exit::ExitReason;
use crate::observability::progress_lines::{ProgressLines, StageProgress};
use crate::observability::standard_error;
use crate::probe::{self, Case, CaseProgress, ProbeReport, Selection, SuiteLimits, TargetReport};
use crate::protocol::SharePath;
use crate::scheduler::{Precision, RealClock};

/// The options of a probe.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    pub target: Target,
    /// The password, for a target with a user.
    pub password: Option<Password>,
    /// The longest wait for one answer of the server.
    pub operation_timeout: Duration,
    /// The longest wait for all cases together.
    pub timeout: Duration,
    /// Number of cases that run at a time.
    pub at_a_time: NonZeroU16,
    /// Whether to show progress: a line on a terminal, else a log event every five seconds.
    pub progress: bool,
}

/// Maximum number of connections of a case, including the one that makes and empties its directory.
const CONNECTIONS_OF_A_CASE: u32 = 5;
/// Connections in addition to those of the cases: the one for the probe's own directory, and
/// connections whose end the server has not yet noticed.
const FURTHER_CONNECTIONS: u32 = 24;
/// Number of operation time-outs that a case may take, because it consists of several operations.
const OPERATIONS_OF_A_CASE: u32 = 3;

/// Finds out what the target supports, in a new directory that is removed at the end. The first
/// signal ends the probe gracefully, a second one at once.
///
/// # Errors
/// [`RunError`] if no case was run. Nothing is then left on the server.
pub fn probe(options: &ProbeOptions) -> Result<ProbeReport, RunError> {
    // Listens before there is anything that a signal could leave behind.
    let mut signals = Signals::listen()?;
    let connections =
        CONNECTIONS_OF_A_CASE * u32::from(options.at_a_time.get()) + FURTHER_CONNECTIONS;
    open_files::raise_open_file_limit(options.target.open_files(connections))
        .map_err(RunError::invalid)?;
    let clock = RealClock::start(Precision::Sleep);
    let settings = BackendSettings {
        context: BackendContext {
            clock,
            response_timeout: options.operation_timeout,
            file_ids: false,
        },
        connections,
        password: options.password.clone(),
        storage: Storage::Memory(MemoryLimits::default()),
        seed: 0,
    };
    let server = options.target.open(settings)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("no threads for the probe").map_err(RunError::internal)?;

    let number = random_bytes().context("the probe's directory has no name");
    let number = u64::from_ne_bytes(number.map_err(RunError::internal)?);
    let directory = format!("smbench-probe-{number:016x}");
    let root = SharePath::new(&directory).map_err(RunError::internal)?;
    let wait = options.operation_timeout;
    let limits = SuiteLimits {
        wait,
        case: wait * OPERATIONS_OF_A_CASE,
        cleaning: wait * OPERATIONS_OF_A_CASE,
        whole: options.timeout,
    };
    let cases = probe::all();
    let progress = ProbeProgress::new(options.progress, cases.len());
    let lines = progress.lines(options.progress);
    let (stop, stopped) = watch::channel(false);
    let interrupt = || {
        if stop.send_replace(true) {
            tracing::error!("ended at once: the directory {directory} is left on the server");
            standard_error::settle();
            process::exit(ExitReason::Interrupted.code().into());
        }
        tracing::warn!("ending: what was made on the server is being removed");
    };
    let results = interruptible(&mut signals, interrupt, || {
        let asked =
            Selection { cases: &cases, on_test_server: false, at_a_time: options.at_a_time };
        let tell = |step, case: &Case| progress.tell(step, case.name);
        runtime.block_on(probe::run(&server, &root, asked, limits, stopped, &tell))
    });
    progress.bar.finish_and_clear();
    drop(lines);
    // The runtime's threads are not waited for, because a name lookup may still block one.
    runtime.shutdown_background();
    let results = results.map_err(|error| RunError::new(ExitReason::Unreachable, error))?;
    let target = TargetReport {
        url: options.target.to_string(),
        backend: server.capabilities().name,
        server: server.server(),
    };
    Ok(ProbeReport::new(target, &directory, &cases, &results))
}

/// The number of cases that have ended, and the case that has been running for longest.
struct ProbeProgress {
    bar: ProgressBar,
    running: Mutex<Vec<&'static str>>,
}

impl ProbeProgress {
    /// Creates the bar, which is drawn only on a terminal.
    fn new(enabled: bool, cases: usize) -> ProbeProgress {
        let target = match enabled && standard_error::is_drawable() {
            true => standard_error::draw_target(),
            false => ProgressDrawTarget::hidden(),
        };
        let style = ProgressStyle::with_template("{pos}/{len} {elapsed} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(cases as u64), target).with_style(style);
        ProbeProgress { bar, running: Mutex::default() }
    }

    /// Starts the log lines that report the same when there is no terminal to draw on.
    fn lines(&self, enabled: bool) -> ProgressLines {
        let bar = self.bar.clone();
        ProgressLines::start(enabled, move || {
            let cases = bar.length().unwrap_or_default();
            let running = bar.message();
            let running = if running.is_empty() { running } else { format!(", {running}") };
            let extent = Some(format!("{} of {cases} cases{running}", bar.position()));
            StageProgress { stage: "probing".into(), extent, counts: None }
        })
    }

    fn tell(&self, step: CaseProgress, case: &'static str) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            CaseProgress::Begun => running.push(case),
            CaseProgress::Ended => {
                running.retain(|other| *other != case);
                self.bar.inc(1);
            }
        }
        self.bar.set_message(match running.as_slice() {
            [] => String::new(),
            [one] => (*one).to_string(),
            [oldest, others @ ..] => format!("{oldest} and {} more", others.len()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_what_has_ended_and_names_what_has_run_for_longest() {
        let progress = ProbeProgress::new(false, 3);
        let now = || (progress.bar.position(), progress.bar.message());
        for (step, case, ended, message) in [
            (CaseProgress::Begun, "a", 0, "a"),
            (CaseProgress::Begun, "b", 0, "a and 1 more"),
            (CaseProgress::Begun, "c", 0, "a and 2 more"),
            (CaseProgress::Ended, "a", 1, "b and 1 more"),
            (CaseProgress::Ended, "c", 2, "b"),
            (CaseProgress::Ended, "b", 3, ""),
        ] {
            progress.tell(step, case);
            assert_eq!(now(), (ended, message.to_string()));
        }
    }
}
