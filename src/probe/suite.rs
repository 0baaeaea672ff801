//! The suite, which runs cases against a server.

use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::case::Case;
use super::case_directory::CaseDirectory;
use super::client::next_client;
use super::directory_manager::{DirectoryManager, Left};
use super::failure::{CaseFailure, Difference};
use crate::backend::{ConnectError, Feature, SMBBackend};
use crate::protocol::SharePath;

/// The bounds on all waits.
#[derive(Clone, Copy, Debug)]
pub struct SuiteLimits {
    /// The bound on one wait for the server: a connection, a break.
    pub wait: Duration,
    /// The bound on one case from beginning to end.
    pub case: Duration,
    /// The bound on emptying the directory of one case.
    pub cleaning: Duration,
    /// The bound on all cases together. Emptying what they left comes on top.
    pub whole: Duration,
}

/// The cases that are run, and how.
#[derive(Clone, Copy)]
pub struct Selection<'a> {
    pub cases: &'a [&'a Case],
    /// Whether the server is a test's own, so that no case is skipped for its sake.
    pub on_test_server: bool,
    /// The number of cases that run at a time, each in its own directory and with at most four
    /// connections of its own.
    pub at_a_time: NonZeroU16,
}

/// A step in the run of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseProgress {
    Begun,
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseVerdict {
    Pass,
    Fail(Difference),
    /// The server did not grant what the case is about, which it is free to do.
    NotGranted(String),
    /// The backend lacks something, or the case is not for this server.
    Skipped(String),
    NotRun(NotRunReason),
}

/// The reason why a case that should have been run has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotRunReason {
    Interrupted,
    /// [`SuiteLimits::whole`] had passed, perhaps while the case ran.
    TimeUp,
    ServerGone,
    /// The server could not be reached after the case, which had not passed. The case may be the
    /// cause, and so may any that ran beside it.
    ServerWentMeanwhile,
}

/// The results of all cases, in their order.
#[derive(Debug, Default)]
pub struct SuiteResults {
    pub verdicts: Vec<CaseVerdict>,
    /// Paths that could not be removed from the server, with the reasons.
    pub left: Vec<String>,
    /// Whether the run was asked to end before all cases were done.
    pub interrupted: bool,
    pub took: Duration,
}

/// The reason why no case was run.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no connection within {0:?}; --op-timeout allows more")]
    Silent(Duration),
    #[error(
        "the directory {directory} cannot be made on the server ({why}), and a probe works only in a directory of its own: choose a target where this user may write"
    )]
    Directory { directory: SharePath, why: String },
}

/// Runs cases in the new directory `root`, which is removed at the end. Calls `tell` when a case
/// begins, and when it has ended and its directory is removed. `stop` ends the run in order.
///
/// # Errors
/// [`SuiteError`] if no case was run. Nothing remains on the server then, unless it stopped answering.
pub async fn run(
    server: &Arc<dyn SMBBackend>,
    root: &SharePath,
    asked: Selection<'_>,
    limits: SuiteLimits,
    stop: watch::Receiver<bool>,
    tell: &dyn Fn(CaseProgress, &Case),
) -> Result<SuiteResults, SuiteError> {
    let started = Instant::now();
    reach(server, limits.wait).await?;
    let home = CaseDirectory::new(server.clone(), root.clone(), limits.wait);
    let manager = || DirectoryManager::new(server.clone(), next_client(), limits.wait);
    let mut root_manager = manager();
    let refused = match timeout(limits.case, root_manager.make(&home)).await {
        Ok(made) => made.err(),
        Err(_) => {
            // The directory may have been made all the same.
            let _ = root_manager.remove(&home, limits.cleaning).await;
            Some(format!("no answer within {:?}", limits.case))
        }
    };
    if let Some(why) = refused {
        return Err(SuiteError::Directory { directory: root.clone(), why });
    }
    let suite = Suite {
        server,
        root,
        asked,
        limits,
        deadline: started + limits.whole,
        stop,
        tell,
        gone: AtomicBool::new(false),
        left: Mutex::default(),
    };
    let mut verdicts: Vec<(usize, CaseVerdict)> = Vec::with_capacity(asked.cases.len());
    let mut managers: Vec<DirectoryManager> =
        (0..asked.at_a_time.get()).map(|_| manager()).collect();
    // Cases that wait for a break or a lock run after the rest. Megabytes and thousands of files
    // keep a server busy, and such a case would take the delay for the server's answer.
    let (waiting, rest): (Vec<_>, Vec<_>) =
        asked.cases.iter().copied().enumerate().partition(|(_, case)| waits_for_others(case));
    for cases in [rest, waiting] {
        let queue = Mutex::new(cases.into_iter());
        let side_by_side = managers.iter_mut().map(|manager| suite.take_turns(&queue, manager));
        verdicts.extend(join_all(side_by_side).await.into_iter().flatten());
    }
    verdicts.sort_by_key(|(number, _)| *number);
    join_all(managers.into_iter().map(DirectoryManager::disconnect)).await;

    let mut left = suite.left.into_inner().unwrap_or_else(PoisonError::into_inner);
    if suite.gone.into_inner() {
        // Everything that is left is in this directory.
        left = vec![format!("{root}: the server no longer answers")];
    } else if let Err(Left::SuiteError(why) | Left::Unreachable(why)) =
        root_manager.remove(&home, limits.cleaning).await
    {
        left.push(format!("{root}: {why}"));
    }
    root_manager.disconnect().await;
    Ok(SuiteResults {
        verdicts: verdicts.into_iter().map(|(_, verdict)| verdict).collect(),
        left,
        interrupted: *suite.stop.borrow(),
        took: started.elapsed(),
    })
}

/// A suite that is running.
struct Suite<'a> {
    server: &'a Arc<dyn SMBBackend>,
    root: &'a SharePath,
    asked: Selection<'a>,
    limits: SuiteLimits,
    deadline: Instant,
    stop: watch::Receiver<bool>,
    tell: &'a dyn Fn(CaseProgress, &Case),
    gone: AtomicBool,
    left: Mutex<Vec<String>>,
}

impl Suite<'_> {
    /// Runs one case of the queue after another, while others do the same.
    async fn take_turns(
        &self,
        queue: &Mutex<impl Iterator<Item = (usize, &Case)>>,
        manager: &mut DirectoryManager,
    ) -> Vec<(usize, CaseVerdict)> {
        let mut verdicts = Vec::new();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, case)) = next else { return verdicts };
            let verdict = match why_not(self.server, case, self.asked.on_test_server) {
                Some(reason) => CaseVerdict::Skipped(reason),
                None => match self.missed() {
                    Some(missed) => CaseVerdict::NotRun(missed),
                    None => {
                        (self.tell)(CaseProgress::Begun, case);
                        let begun = Instant::now();
                        let verdict = self.ask(number, case, manager).await;
                        tracing::debug!(case = case.name, took = ?begun.elapsed(), ?verdict);
                        verdict
                    }
                },
            };
            (self.tell)(CaseProgress::Ended, case);
            verdicts.push((number, verdict));
        }
    }

    /// Returns the reason why no more cases are begun, if there is one.
    fn missed(&self) -> Option<NotRunReason> {
        if *self.stop.borrow() {
            Some(NotRunReason::Interrupted)
        } else if self.gone.load(Ordering::Relaxed) {
            Some(NotRunReason::ServerGone)
        } else {
            (Instant::now() >= self.deadline).then_some(NotRunReason::TimeUp)
        }
    }

    async fn ask(&self, number: usize, case: &Case, manager: &mut DirectoryManager) -> CaseVerdict {
        let path = SharePath::new(&number.to_string()).unwrap_or_default().below(self.root);
        let directory = CaseDirectory::new(self.server.clone(), path, self.limits.wait);
        let mut stop = self.stop.clone();
        let verdict = tokio::select! {
            biased;
            verdict = self.run_case(&directory, case, manager) => verdict,
            () = stopped(&mut stop) => CaseVerdict::NotRun(NotRunReason::Interrupted),
        };
        // The directory is emptied even after a failure: what it left would disturb the next run.
        let (why, gone) = match manager.remove(&directory, self.limits.cleaning).await {
            Ok(()) => return verdict,
            Err(Left::SuiteError(why)) => (why, false),
            Err(Left::Unreachable(why)) => (why, true),
        };
        self.left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(format!("{}: {why}", directory.path));
        if gone {
            self.gone.store(true, Ordering::Relaxed);
        }
        match verdict {
            CaseVerdict::Fail(_) | CaseVerdict::NotGranted(_) if gone => {
                CaseVerdict::NotRun(NotRunReason::ServerWentMeanwhile)
            }
            CaseVerdict::Pass if !gone => {
                let (what, at) = (format!("cleaning up: {why}"), "suite".into());
                CaseVerdict::Fail(Difference { what, at })
            }
            verdict => verdict,
        }
    }

    async fn run_case(
        &self,
        directory: &CaseDirectory,
        case: &Case,
        manager: &mut DirectoryManager,
    ) -> CaseVerdict {
        let failed = |what| CaseVerdict::Fail(Difference { what, at: "suite".into() });
        let until = Instant::now() + self.limits.case;
        let whole = async {
            match manager.make(directory).await {
                Ok(()) => Ok((case.run)(directory).await),
                Err(why) => Err(format!("making the case's directory: {why}")),
            }
        };
        match timeout_at(until.min(self.deadline), whole).await {
            Ok(Ok(Ok(()))) => CaseVerdict::Pass,
            Ok(Ok(Err(CaseFailure::Otherwise(difference)))) => CaseVerdict::Fail(difference),
            Ok(Ok(Err(CaseFailure::NotGranted(what)))) => CaseVerdict::NotGranted(what),
            Ok(Err(what)) => failed(what),
            Err(_) if self.deadline < until => CaseVerdict::NotRun(NotRunReason::TimeUp),
            Err(_) => failed(format!("did not end within {:?}", self.limits.case)),
        }
    }
}

/// Returns whether the case depends on how soon a server acts on another client.
fn waits_for_others(case: &Case) -> bool {
    case.needs.iter().any(|need| matches!(need, Feature::Caching | Feature::BlockingLocks))
}

async fn reach(server: &Arc<dyn SMBBackend>, limit: Duration) -> Result<(), SuiteError> {
    let connection = timeout(limit, server.connect(0)).await;
    let connection = connection.map_err(|_| SuiteError::Silent(limit))??;
    let _ = timeout(limit, connection.disconnect()).await;
    Ok(())
}

fn why_not(server: &Arc<dyn SMBBackend>, case: &Case, on_test_server: bool) -> Option<String> {
    let capabilities = server.capabilities();
    let lacks = case.needs.iter().filter(|feature| !capabilities.has(**feature));
    let missing: Vec<&str> = lacks.map(|feature| feature.name()).collect();
    if !missing.is_empty() {
        return Some(format!("no {}", missing.join(", ")));
    }
    case.only_on_test_servers.filter(|_| !on_test_server).map(str::to_string)
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left who could ask for a stop.
        std::future::pending().await
    }
}

impl NotRunReason {
    pub fn name(self) -> &'static str {
        match self {
            NotRunReason::Interrupted => "interrupted",
            NotRunReason::TimeUp => "no time was left",
            NotRunReason::ServerGone => "the server no longer answers",
            NotRunReason::ServerWentMeanwhile => "the server stopped answering while it ran",
        }
    }
}

impl CaseVerdict {
    pub fn detail(&self) -> Option<&str> {
        match self {
            CaseVerdict::Pass => None,
            CaseVerdict::Fail(Difference { what: detail, .. })
            | CaseVerdict::NotGranted(detail)
            | CaseVerdict::Skipped(detail) => Some(detail),
            CaseVerdict::NotRun(missed) => Some(missed.name()),
        }
    }
}
