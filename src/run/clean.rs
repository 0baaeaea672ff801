//! `run --clean`: what a run made is removed after it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::made_paths::{Leftover, MadePaths};
use super::namespace_client::{
    NamespaceAccess, NamespaceClient, StopFlag, printable_path, share_out, until_stopped,
};
use crate::ir::{Failure, PathOperation};
use crate::observability::progress::show;
use crate::observability::progress_lines::{ProgressLines, StageProgress};
use crate::observability::summary::CleanedSummary;
use crate::protocol::NtStatus;

/// Maximum number of times that a file in use is tried. A server may take a while to close the
/// files of a connection that has ended.
const MAX_ROUNDS: u32 = 10;
const BETWEEN_ROUNDS_NS: u64 = 200_000_000;
/// Number of operations without an answer after which cleaning is given up.
const MAX_TIMEOUTS: u32 = 3;

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
pub fn not_cleaned(made: &MadePaths, why: &str) -> Cleaning {
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

struct Cleaner {
    stop: StopFlag,
    /// The outcome for each leftover, by its index.
    outcomes: RefCell<Vec<RemovalOutcome>>,
    timeouts: Cell<u32>,
    /// The reason why the rest stays.
    given_up: RefCell<Option<String>>,
    done: Arc<AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum RemovalOutcome {
    NotReached,
    Removed,
    /// It was not there any more.
    Missing,
    /// It is in use, or something in it is.
    Busy(NtStatus),
    Left(String),
}

impl RemovalOutcome {
    /// Returns whether a later round may change the outcome.
    fn is_open(&self) -> bool {
        matches!(self, RemovalOutcome::NotReached | RemovalOutcome::Busy(_))
    }

    /// Returns whether another round may remove the path. `progressed` says whether the last round
    /// removed anything: a directory may have been emptied since it was tried, because the server
    /// removes a file when its last handle is closed.
    fn is_worth_retrying(&self, progressed: bool) -> bool {
        match self {
            RemovalOutcome::Busy(NtStatus::DIRECTORY_NOT_EMPTY) => progressed,
            RemovalOutcome::Busy(_) => true,
            _ => false,
        }
    }
}

impl Cleaner {
    fn new(leftovers: usize) -> Cleaner {
        Cleaner {
            stop: StopFlag::default(),
            outcomes: RefCell::new(vec![RemovalOutcome::NotReached; leftovers]),
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
            let removed = self.removed();
            self.round(&mut clients, leftovers).await;
            let progressed = self.removed() > removed;
            let outcomes = self.outcomes.borrow();
            let is_over = !outcomes.iter().any(|outcome| outcome.is_worth_retrying(progressed));
            if is_over || self.stop.is_set() {
                break;
            }
        }
        for client in clients {
            client.disconnect().await;
        }
    }

    /// Returns the number of paths that were removed.
    fn removed(&self) -> usize {
        let outcomes = self.outcomes.borrow();
        outcomes.iter().filter(|outcome| **outcome == RemovalOutcome::Removed).count()
    }

    /// Tries everything once that is not removed yet.
    async fn round(&self, clients: &mut [NamespaceClient], leftovers: &[Leftover]) {
        let depth = |leftover: &Leftover| leftover.path.as_str().matches('/').count();
        let mut open: Vec<usize> = {
            let outcomes = self.outcomes.borrow();
            (0..leftovers.len()).filter(|index| outcomes[*index].is_open()).collect()
        };
        // Directories come after all files, and after those that are in them.
        let level = |index: usize| {
            let leftover = &leftovers[index];
            leftover.is_directory.then(|| usize::MAX - depth(leftover))
        };
        open.sort_by_key(|index| level(*index));
        for level in open.chunk_by(|one, other| level(*one) == level(*other)) {
            let remove = async |client: &mut NamespaceClient, index: &usize| {
                let outcome = self.remove(client, &leftovers[*index]).await;
                self.note(*index, outcome);
                Ok::<(), ()>(())
            };
            // The work has no errors.
            let _ = share_out(clients, &self.stop, level, remove).await;
        }
    }

    /// Notes the outcome for a leftover. A path that will be tried again does not count as done.
    fn note(&self, index: usize, outcome: RemovalOutcome) {
        if !outcome.is_open() {
            self.done.fetch_add(1, Relaxed);
        }
        self.outcomes.borrow_mut()[index] = outcome;
    }

    async fn remove(&self, client: &mut NamespaceClient, leftover: &Leftover) -> RemovalOutcome {
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
        let Some(mut answer) = answer else { return RemovalOutcome::NotReached };
        if answer == Ok(NtStatus::FILE_IS_A_DIRECTORY) {
            // The answer to its open did not say what it made.
            answer = client.execute(PathOperation::Rmdir { path: path() }).await;
        }
        match answer {
            Ok(NtStatus::SUCCESS) if leftover.is_doubtful => {
                RemovalOutcome::Left("it may have existed before the run".into())
            }
            Ok(NtStatus::SUCCESS) => RemovalOutcome::Removed,
            Ok(
                NtStatus::OBJECT_NAME_NOT_FOUND
                | NtStatus::OBJECT_PATH_NOT_FOUND
                | NtStatus::NO_SUCH_FILE,
            ) => RemovalOutcome::Missing,
            Ok(
                status @ (NtStatus::SHARING_VIOLATION
                | NtStatus::DELETE_PENDING
                | NtStatus::DIRECTORY_NOT_EMPTY),
            ) => RemovalOutcome::Busy(status),
            Ok(status) => RemovalOutcome::Left(status.to_string()),
            Err(failure) => {
                if failure == Failure::TimedOut {
                    self.timeouts.set(self.timeouts.get() + 1);
                }
                if self.timeouts.get() >= MAX_TIMEOUTS {
                    self.give_up("the server does not answer within --op-timeout");
                }
                RemovalOutcome::Left(failure.to_string())
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
        for (leftover, outcome) in leftovers.iter().zip(&*self.outcomes.borrow()) {
            let why = match outcome {
                RemovalOutcome::Removed => {
                    summary.removed += 1;
                    continue;
                }
                RemovalOutcome::Missing => continue,
                // It was not tried, so it may be gone already.
                RemovalOutcome::NotReached => not_reached.to_string(),
                RemovalOutcome::Busy(status) => status.to_string(),
                RemovalOutcome::Left(why) => why.clone(),
            };
            summary.left += 1;
            summary
                .first_left
                .get_or_insert_with(|| format!("{}: {why}", printable_path(&leftover.path)));
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_tried_again_and_a_full_directory_while_others_are_removed() {
        let busy = RemovalOutcome::Busy;
        for status in [NtStatus::SHARING_VIOLATION, NtStatus::DELETE_PENDING] {
            assert!(busy(status).is_worth_retrying(false));
        }
        let full = busy(NtStatus::DIRECTORY_NOT_EMPTY);
        assert!(full.is_worth_retrying(true) && !full.is_worth_retrying(false));
        let over = [
            RemovalOutcome::Removed,
            RemovalOutcome::Missing,
            RemovalOutcome::Left(String::new()),
            RemovalOutcome::NotReached,
        ];
        assert!(over.iter().all(|outcome| !outcome.is_worth_retrying(true)));
    }

    #[test]
    fn a_path_that_is_tried_several_times_counts_once() {
        let cleaner = Cleaner::new(2);
        for _ in 0..3 {
            cleaner.note(0, RemovalOutcome::Busy(NtStatus::SHARING_VIOLATION));
        }
        assert_eq!(cleaner.done.load(Relaxed), 0);
        cleaner.note(0, RemovalOutcome::Removed);
        cleaner.note(1, RemovalOutcome::Missing);
        assert_eq!((cleaner.done.load(Relaxed), cleaner.removed()), (2, 1));
    }
}
