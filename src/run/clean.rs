//! `run --clean`: what a run made is removed after it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::made_paths::{Leftover, MadePaths};
use super::namespace_client::{
    NamespaceAccess, NamespaceClient, StopFlag, share_out, until_stopped,
};
use crate::ir::{Failure, PathOperation};
use crate::observability::progress::show;
use crate::observability::progress_lines::{ProgressLines, StageProgress};
use crate::observability::summary::CleanedSummary;
use crate::observability::text::{counted, printable};
use crate::protocol::{NtStatus, SharePath};

/// Maximum number of times that a file in use is tried. A server may take a while to close the
/// files of a connection that has ended.
const MAX_ROUNDS: u32 = 10;
const BETWEEN_ROUNDS_NS: u64 = 200_000_000;
/// Number of operations without an answer after which cleaning is given up.
const MAX_TIMEOUTS: u32 = 3;
/// Longest part of a path in a message, in characters.
const MAX_PATH_CHARS: usize = 200;

/// Removes what is left of what the run made: files first, then directories, the deepest first.
/// `signal` completes when somebody interrupts it.
pub async fn clean(
    access: &NamespaceAccess,
    made: &MadePaths,
    progress: bool,
    signal: impl Future<Output = ()>,
) -> Cleaning {
    let leftovers = made.leftovers();
    let cleaner = Cleaner::new(leftovers.len());
    let _progress = cleaner.show_progress(progress, leftovers.len());
    let work = cleaner.clean(access, &leftovers);
    until_stopped(&*access.clock, &cleaner.stop, signal, work).await;
    let interrupted = cleaner.stop.is_set() && cleaner.given_up.borrow().is_none();
    Cleaning { summary: cleaner.summary(&leftovers, made.untracked()), interrupted }
}

/// Returns the result of a run whose files are not removed, for the reason that is given.
pub fn left_behind(made: &MadePaths, why: &str) -> Cleaning {
    let leftovers = made.leftovers();
    let cleaner = Cleaner::new(leftovers.len());
    cleaner.give_up(why);
    Cleaning { summary: cleaner.summary(&leftovers, made.untracked()), interrupted: false }
}

/// The result of cleaning.
#[derive(Clone, Debug)]
pub struct Cleaning {
    pub summary: CleanedSummary,
    /// Whether a signal ended it.
    pub interrupted: bool,
}

impl Cleaning {
    /// Returns a sentence on what was left behind, if anything was.
    pub fn problem(&self) -> Option<String> {
        let CleanedSummary { left, untracked, first_left, .. } = &self.summary;
        let mut parts = Vec::new();
        if let Some(first) = first_left {
            let paths = counted(*left, "path");
            parts.push(format!("{paths} that the run made or may have made, the first {first}"));
        }
        if *untracked > 0 {
            let paths = counted(*untracked, "path");
            parts.push(format!(
                "up to {paths} that the run made when there were too many to remember"
            ));
        }
        (!parts.is_empty()).then(|| format!("--clean left behind {}", parts.join(", and ")))
    }
}

struct Cleaner {
    stop: StopFlag,
    /// The end of each leftover, by its index.
    ends: RefCell<Vec<End>>,
    timeouts: Cell<u32>,
    /// The reason why the rest stays.
    given_up: RefCell<Option<String>>,
    done: Arc<AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    NotReached,
    Removed,
    /// It was not there any more.
    Missing,
    /// It is in use, or something in it is.
    Busy(NtStatus),
    Left(String),
}

impl Cleaner {
    fn new(leftovers: usize) -> Cleaner {
        Cleaner {
            stop: StopFlag::default(),
            ends: RefCell::new(vec![End::NotReached; leftovers]),
            timeouts: Cell::new(0),
            given_up: RefCell::default(),
            done: Arc::default(),
        }
    }

    fn show_progress(&self, enabled: bool, leftovers: usize) -> ProgressLines {
        let done = self.done.clone();
        show(enabled, move || {
            let of = format!("{} of {leftovers} paths", done.load(Relaxed));
            StageProgress { stage: "cleaning the share".into(), extent: Some(of), counts: None }
        })
    }

    async fn clean(&self, access: &NamespaceAccess, leftovers: &[Leftover]) {
        if leftovers.is_empty() {
            return;
        }
        let mut clients = match access.clients(leftovers.len()).await {
            Ok(clients) => clients,
            Err(error) => return self.give_up(&error.to_string()),
        };
        let clock = &access.clock;
        for round in 0..MAX_ROUNDS {
            if round > 0 {
                clock.sleep_until(clock.now_ns().saturating_add(BETWEEN_ROUNDS_NS)).await;
            }
            self.round(&mut clients, leftovers).await;
            let in_use = |end: &End| {
                matches!(end, End::Busy(NtStatus::SHARING_VIOLATION | NtStatus::DELETE_PENDING))
            };
            if self.stop.is_set() || !self.ends.borrow().iter().any(in_use) {
                break;
            }
        }
        for client in clients {
            client.disconnect().await;
        }
    }

    /// Tries everything once that is not removed yet.
    async fn round(&self, clients: &mut [NamespaceClient], leftovers: &[Leftover]) {
        let depth = |leftover: &Leftover| leftover.path.as_str().matches('/').count();
        let mut open: Vec<usize> = {
            let ends = self.ends.borrow();
            let open = |index: &usize| matches!(ends[*index], End::NotReached | End::Busy(_));
            (0..leftovers.len()).filter(open).collect()
        };
        // Directories come after all files, and after those that are in them.
        let level = |index: usize| {
            let leftover = &leftovers[index];
            leftover.is_directory.then(|| usize::MAX - depth(leftover))
        };
        open.sort_by_key(|index| level(*index));
        for level in open.chunk_by(|one, other| level(*one) == level(*other)) {
            let remove = async |client: &mut NamespaceClient, index: &usize| {
                let end = self.remove(client, &leftovers[*index]).await;
                self.done.fetch_add(1, Relaxed);
                self.ends.borrow_mut()[*index] = end;
                Ok::<(), ()>(())
            };
            // The work has no errors.
            let _ = share_out(clients, &self.stop, level, remove).await;
        }
    }

    async fn remove(&self, client: &mut NamespaceClient, leftover: &Leftover) -> End {
        let path = || leftover.path.clone();
        let operation = match (leftover.is_doubtful, leftover.is_directory) {
            (true, _) => PathOperation::Stat { path: path() },
            (false, true) => PathOperation::Rmdir { path: path() },
            (false, false) => PathOperation::Delete { path: path() },
        };
        let mut answer = self.execute(client, operation.clone()).await;
        if let Some(Err(Failure::ConnectionLost(_))) = answer {
            answer = self.execute(client, operation).await;
        }
        let Some(mut answer) = answer else { return End::NotReached };
        if answer == Ok(NtStatus::FILE_IS_A_DIRECTORY) {
            // The answer to its open did not say what it made.
            answer = client.execute(PathOperation::Rmdir { path: path() }).await;
        }
        match answer {
            Ok(NtStatus::SUCCESS) if leftover.is_doubtful => {
                End::Left("it may have existed before the run".into())
            }
            Ok(NtStatus::SUCCESS) => End::Removed,
            Ok(
                NtStatus::OBJECT_NAME_NOT_FOUND
                | NtStatus::OBJECT_PATH_NOT_FOUND
                | NtStatus::NO_SUCH_FILE,
            ) => End::Missing,
            Ok(
                status @ (NtStatus::SHARING_VIOLATION
                | NtStatus::DELETE_PENDING
                | NtStatus::DIRECTORY_NOT_EMPTY),
            ) => End::Busy(status),
            Ok(status) => End::Left(status.to_string()),
            Err(failure) => {
                if failure == Failure::TimedOut {
                    self.timeouts.set(self.timeouts.get() + 1);
                }
                if self.timeouts.get() >= MAX_TIMEOUTS {
                    self.give_up("the server does not answer within --op-timeout");
                }
                End::Left(failure.to_string())
            }
        }
    }

    /// Executes an operation, after connecting again if the connection was lost. Returns None if
    /// that is not possible, and gives up.
    async fn execute(
        &self,
        client: &mut NamespaceClient,
        operation: PathOperation,
    ) -> Option<Result<NtStatus, Failure>> {
        if !client.is_connected()
            && let Err(error) = client.reconnect().await
        {
            self.give_up(&error.to_string());
            return None;
        }
        Some(client.execute(operation).await)
    }

    fn give_up(&self, why: &str) {
        self.stop.set();
        self.given_up.borrow_mut().get_or_insert_with(|| why.to_string());
    }

    fn summary(&self, leftovers: &[Leftover], untracked: u64) -> CleanedSummary {
        let given_up = self.given_up.borrow();
        let not_reached = given_up.as_deref().unwrap_or("cleaning was interrupted");
        let mut summary = CleanedSummary { untracked, ..CleanedSummary::default() };
        for (leftover, end) in leftovers.iter().zip(&*self.ends.borrow()) {
            let why = match end {
                End::Removed => {
                    summary.removed += 1;
                    continue;
                }
                End::Missing => continue,
                // It was not looked at, and may as well be something that is gone.
                End::NotReached => not_reached.to_string(),
                End::Busy(status) => status.to_string(),
                End::Left(why) => why.clone(),
            };
            summary.left += 1;
            summary.first_left.get_or_insert_with(|| format!("{}: {why}", shown(&leftover.path)));
        }
        summary
    }
}

fn shown(path: &SharePath) -> String {
    printable(path.as_str(), MAX_PATH_CHARS)
}
