//! The operation log: one line of JSON for each operation that ended, each break that ended and
//! each iteration that was dropped. Nothing waits for the log.
//!
//! A shard collects records in a batch, and sends batches over a bounded queue to a thread that
//! writes them. A batch that does not fit is dropped, and its records are counted. Lines of one
//! client are in order; lines of different shards need not be. `schema/ops.schema.json` describes a
//! line.

mod line;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
mod tap;
mod writer;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::exit::ExitReason;
use super::layout::Layout;
use super::priority::lower_priority;
use super::results::{FileIdentity, unwritten};
use super::summary::OplogSummary;
pub use tap::OplogTap;
use tap::{LineCounts, LogRecord};

/// The name of the log in a results directory.
pub const OPLOG: &str = "ops.jsonl";

/// The most batches in the queue.
const BATCHES_QUEUED: usize = 512;

/// A reason why the operation log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OplogError {
    #[error("--oplog: {0} is there already; name another directory with --out, or remove it")]
    Occupied(PathBuf),
    #[error("--oplog: cannot make {path}: {source}; --out names another place")]
    Create { path: PathBuf, source: io::Error },
}

/// The operation log of a run. If it is dropped without [`Oplog::finish`], its file is removed.
#[derive(Debug)]
pub struct Oplog {
    path: PathBuf,
    /// The identity of the file that is written.
    identity: FileIdentity,
    /// The sender that each tap clones. `finish` drops it, so that the thread ends.
    queue: Option<SyncSender<Vec<LogRecord>>>,
    counts: Arc<LineCounts>,
    layout: Arc<Mutex<Arc<Layout>>>,
    ended: Receiver<io::Result<()>>,
    finished: bool,
}

impl Oplog {
    /// Creates the file, and starts the thread that writes it.
    ///
    /// # Errors
    /// [`OplogError`] if the file exists already, or if it or the thread cannot be created.
    pub fn start(directory: &std::path::Path, layout: Arc<Layout>) -> Result<Oplog, OplogError> {
        let path = directory.join(OPLOG);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let opened = file.and_then(|file| Oplog::writing(file, path.clone(), layout));
        opened.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => OplogError::Occupied(path),
            _ => OplogError::Create { path, source },
        })
    }

    fn writing(file: File, path: PathBuf, layout: Arc<Layout>) -> io::Result<Oplog> {
        let identity = FileIdentity::of(&file)?;
        let (queue, queued) = mpsc::sync_channel(BATCHES_QUEUED);
        let (ending, ended) = mpsc::sync_channel(1);
        let counts = Arc::new(LineCounts::default());
        let layout = Arc::new(Mutex::new(layout));
        let work = {
            let (counts, layout) = (counts.clone(), layout.clone());
            move || {
                lower_priority();
                let written = writer::write(file, &queued, &layout, &counts);
                // `finish` may have given up.
                let _ = ending.try_send(written);
            }
        };
        let queue = Some(queue);
        let oplog = Oplog { path, identity, queue, counts, layout, ended, finished: false };
        thread::Builder::new().name("oplog".into()).spawn(work)?;
        Ok(oplog)
    }

    /// Returns a tap for one shard.
    pub fn tap(&self) -> Option<OplogTap> {
        let queue = self.queue.clone()?;
        Some(OplogTap::new(queue, self.counts.clone()))
    }

    /// Takes a layout to which a reload has added workloads or clients. Must be called before the
    /// first event of such a client.
    pub fn follow(&self, layout: Arc<Layout>) {
        *self.layout.lock().unwrap_or_else(PoisonError::into_inner) = layout;
    }

    /// Waits until everything queued is written, for at most `bound`. Every tap must have been
    /// dropped before. Returns the counts and, if something went wrong, a message and the reason to
    /// exit.
    pub fn finish(mut self, bound: Duration) -> (OplogSummary, Option<(String, ExitReason)>) {
        self.finished = true;
        self.queue = None;
        let path = self.path.display();
        let not_kept = |problem| Some((problem, ExitReason::ResultsNotKept));
        let problem = match self.ended.recv_timeout(bound) {
            Ok(Ok(())) if self.identity.is_at(&self.path) => None,
            Ok(Ok(())) => not_kept(format!(
                "{path} was removed or moved while the run went on; leave it where it is until the run has ended"
            )),
            Ok(Err(error)) => not_kept(format!(
                "{path} could not be written to its end, and ends with the last whole line that fits: {}",
                unwritten(&error)
            )),
            Err(RecvTimeoutError::Timeout) => not_kept(format!(
                "{path} could not be written within {} s of the end: its last lines are missing, and not counted as dropped; name a directory on a faster disk with --out",
                bound.as_secs_f64()
            )),
            Err(RecvTimeoutError::Disconnected) => Some((
                format!("the thread that writes {path} ended before the run"),
                ExitReason::InternalError,
            )),
        };
        let summary = OplogSummary {
            written: self.counts.written.load(Relaxed),
            dropped: self.counts.dropped.load(Relaxed),
        };
        (summary, problem)
    }
}

impl Drop for Oplog {
    fn drop(&mut self) {
        if !self.finished && self.identity.is_at(&self.path) {
            // A run that ended before `finish` leaves no file behind.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
