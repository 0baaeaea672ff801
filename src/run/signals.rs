//! The signals that end a run gracefully: Ctrl-C, SIGTERM, and the SIGHUP of a terminal that was
//! closed.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{io, process, thread};

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use super::error::RunError;
use crate::observability::exit::ExitReason;

/// A listener for signals. While it exists, they do not end the program by themselves.
pub struct Signals {
    source: SignalSource,
    last: Option<Instant>,
}

enum SignalSource {
    System {
        interrupts: Signal,
        terminations: Signal,
        /// The listener for SIGHUP; None if the program was started to outlive its terminal.
        hangups: Option<Signal>,
    },
    /// The number of interrupts that code around this run has counted, and of those that were
    /// returned. The count includes those before this listener was made.
    Counted { interrupts: watch::Receiver<u64>, returned: u64 },
}

/// Longest time between two signals that count as one. For example, timeout(1) signals both the
/// program and its process group, so the program gets the signal twice although nobody pressed
/// Ctrl-C twice.
const ONE_AND_THE_SAME: Duration = Duration::from_millis(50);

impl Signals {
    /// Starts to listen. The signals must be awaited on the returned runtime.
    ///
    /// # Errors
    /// The system refuses a runtime or the signals.
    pub fn listen() -> Result<(Runtime, Signals), RunError> {
        Signals::start().context("signals cannot be listened to").map_err(RunError::internal)
    }

    /// Starts to listen to the interrupts that code around this run counts.
    ///
    /// # Errors
    /// The system refuses a runtime.
    pub fn of_count(interrupts: watch::Receiver<u64>) -> Result<(Runtime, Signals), RunError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("a runtime for interrupts").map_err(RunError::internal)?;
        let source = SignalSource::Counted { interrupts, returned: 0 };
        Ok((runtime, Signals { source, last: None }))
    }

    fn start() -> io::Result<(Runtime, Signals)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let context = runtime.enter();
        let interrupts = signal(SignalKind::interrupt())?;
        let terminations = signal(SignalKind::terminate())?;
        let hangups = match ignores_hangups() {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        drop(context);
        let source = SignalSource::System { interrupts, terminations, hangups };
        Ok((runtime, Signals { source, last: None }))
    }

    /// Waits for the next signal. None is lost between two calls.
    pub async fn next(&mut self) {
        loop {
            match &mut self.source {
                SignalSource::System { interrupts, terminations, hangups } => tokio::select! {
                    _ = interrupts.recv() => {}
                    _ = terminations.recv() => {}
                    () = first(hangups) => {}
                },
                SignalSource::Counted { interrupts, returned } => {
                    if interrupts.wait_for(|counted| *counted > *returned).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                    *returned += 1;
                    return;
                }
            }
            let now = Instant::now();
            if self.last.is_none_or(|last| now.duration_since(last) >= ONE_AND_THE_SAME) {
                self.last = Some(now);
                return;
            }
        }
    }
}

/// Waits for the first hangup. Both the system and a shell send one when a terminal is closed, so
/// later ones are not a second request to stop.
async fn first(hangups: &mut Option<Signal>) {
    match hangups {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
    // tokio's handler stays installed, so that later hangups do nothing.
    *hangups = None;
}

/// Returns whether SIGHUP is ignored, as under nohup(1): listening would undo that. Returns true if
/// /proc cannot be read, so that SIGHUP keeps its default action.
fn ignores_hangups() -> bool {
    const SIGHUP_BIT: u64 = 1;
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & SIGHUP_BIT != 0)
}

/// Makes a write beyond the limit on file sizes (`ulimit -f`) fail like a write to a full disk,
/// instead of ending the program with SIGXFSZ.
///
/// # Errors
/// The system refuses the signal.
pub fn survive_file_size_limit() -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let _context = runtime.enter();
    let number = rustix::process::Signal::XFSZ.as_raw();
    // tokio's handler stays installed after the listener is dropped.
    signal(SignalKind::from_raw(number)).map(drop)
}

/// Runs `work` on another thread and returns its result. Each signal meanwhile calls `interrupt`.
pub fn interruptible<T: Send>(
    (runtime, signals): &mut (Runtime, Signals),
    mut interrupt: impl FnMut(),
    work: impl FnOnce() -> T + Send,
) -> T {
    let (done, mut ended) = oneshot::channel::<()>();
    thread::scope(|scope| {
        let working = scope.spawn(move || {
            let _done = done;
            work()
        });
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = &mut ended => return,
                    () = signals.next() => interrupt(),
                }
            }
        });
        working.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Starts a thread that, on a signal, removes the unfinished file `path` and ends the program. Once
/// the file is renamed, there is nothing to remove.
///
/// # Errors
/// No thread can be started.
pub fn remove_when_interrupted(
    (runtime, mut signals): (Runtime, Signals),
    path: PathBuf,
) -> io::Result<()> {
    let wait = move || {
        runtime.block_on(signals.next());
        let _ = std::fs::remove_file(path);
        process::exit(ExitReason::Interrupted.code().into());
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn interrupts_that_were_counted_before_the_listener_was_made_are_returned_each_once() {
        let (interrupts, counted) = watch::channel(2_u64);
        let (runtime, mut signals) = Signals::of_count(counted).unwrap();
        runtime.block_on(async {
            signals.next().now_or_never().unwrap();
            signals.next().now_or_never().unwrap();
            assert!(signals.next().now_or_never().is_none());
            interrupts.send_replace(3);
            signals.next().now_or_never().unwrap();
            drop(interrupts);
            assert!(signals.next().now_or_never().is_none());
        });
    }
}
