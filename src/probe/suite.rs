//! The suite, which runs cases against a server.

use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::case::{Care, Case, Difference, Failure};
use super::keeper::{Keeper, Left};
use super::place::{Place, next_client};
use crate::backend::{ConnectError, Feature, SMBBackend};
use crate::protocol::SharePath;

/// The bounds on all waits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
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
pub struct Asked<'a> {
    pub cases: &'a [&'a Case],
    /// Whether to run cases that are only for a test's own server too.
    pub own_server: bool,
    /// The number of cases that run at a time, each in its own directory and with at most four
    /// connections of its own.
    pub at_a_time: NonZeroU16,
}

/// A step in the run of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Begun,
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Fail(Difference),
    /// The server did not grant what the case is about, which it is free to do.
    NotGranted(String),
    /// The backend lacks something, or the case is not for this server.
    Skipped(String),
    NotRun(Missed),
}

/// The reason why a case that should have been run has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missed {
    Interrupted,
    /// [`Limits::whole`] had passed, perhaps while the case ran.
    TimeUp,
    ServerGone,
    /// The server could not be reached after the case, which had not passed. The case may be the
    /// cause, and so may any that ran beside it.
    ServerWentMeanwhile,
}

/// The results of all cases, in their order.
#[derive(Debug, Default)]
pub struct Column {
    pub verdicts: Vec<Verdict>,
    /// Paths that could not be removed from the server, with the reasons.
    pub left: Vec<String>,
    /// Whether the run was asked to end before all cases were done.
    pub interrupted: bool,
    pub took: Duration,
}

/// The reason why no case was run.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no connection within {0:?}; --op-timeout allows more")]
    Silent(Duration),
    #[error(
        "the directory {directory} cannot be made on the server ({why}), and a probe works nowhere else: name a directory where this user may write"
    )]
    Directory { directory: SharePath, why: String },
}

/// Runs cases in the new directory `root`, which is removed at the end. `tell` is called when a
/// case begins, and when it has ended and its directory is gone. `stop` ends the run in good order.
///
/// # Errors
/// [`Refused`] if no case was run. Nothing remains on the server then, unless it stopped answering.
pub async fn run(
    server: &Arc<dyn SMBBackend>,
    root: &SharePath,
    asked: Asked<'_>,
    limits: Limits,
    stop: watch::Receiver<bool>,
    tell: &dyn Fn(Step, &Case),
) -> Result<Column, Refused> {
    let started = Instant::now();
    reach(server, limits.wait).await?;
    let home = Place::new(server.clone(), root.clone(), limits.wait);
    let keeper = || Keeper::new(server.clone(), next_client(), limits.wait);
    let mut housekeeper = keeper();
    let refused = match timeout(limits.case, housekeeper.make(&home)).await {
        Ok(made) => made.err(),
        Err(_) => {
            // The directory may have been made all the same.
            let _ = housekeeper.remove(&home, limits.cleaning).await;
            Some(format!("no answer within {:?}", limits.case))
        }
    };
    if let Some(why) = refused {
        return Err(Refused::Directory { directory: root.clone(), why });
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
    let mut verdicts: Vec<(usize, Verdict)> = Vec::with_capacity(asked.cases.len());
    let mut keepers: Vec<Keeper> = (0..asked.at_a_time.get()).map(|_| keeper()).collect();
    // Cases that wait for a break or a lock run after the rest. Megabytes and thousands of files
    // keep a server busy, and such a case would take the delay for the server's answer.
    let (waiting, rest): (Vec<_>, Vec<_>) =
        asked.cases.iter().copied().enumerate().partition(|(_, case)| waits_for_others(case));
    for cases in [rest, waiting] {
        let queue = Mutex::new(cases.into_iter());
        let side_by_side = keepers.iter_mut().map(|keeper| suite.take_turns(&queue, keeper));
        verdicts.extend(join_all(side_by_side).await.into_iter().flatten());
    }
    verdicts.sort_by_key(|(number, _)| *number);
    join_all(keepers.into_iter().map(Keeper::disconnect)).await;

    let mut left = suite.left.into_inner().unwrap_or_else(PoisonError::into_inner);
    if suite.gone.into_inner() {
        // Everything that is left is in this directory.
        left = vec![format!("{root}: the server no longer answers")];
    } else if let Err(Left::Refused(why) | Left::Unreachable(why)) =
        housekeeper.remove(&home, limits.cleaning).await
    {
        left.push(format!("{root}: {why}"));
    }
    housekeeper.disconnect().await;
    Ok(Column {
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
    asked: Asked<'a>,
    limits: Limits,
    deadline: Instant,
    stop: watch::Receiver<bool>,
    tell: &'a dyn Fn(Step, &Case),
    gone: AtomicBool,
    left: Mutex<Vec<String>>,
}

impl Suite<'_> {
    /// Runs one case of the queue after another, while others do the same.
    async fn take_turns(
        &self,
        queue: &Mutex<impl Iterator<Item = (usize, &Case)>>,
        keeper: &mut Keeper,
    ) -> Vec<(usize, Verdict)> {
        let mut verdicts = Vec::new();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, case)) = next else { return verdicts };
            let verdict = match why_not(self.server, case, self.asked.own_server) {
                Some(reason) => Verdict::Skipped(reason),
                None => match self.missed() {
                    Some(missed) => Verdict::NotRun(missed),
                    None => {
                        (self.tell)(Step::Begun, case);
                        let begun = Instant::now();
                        let verdict = self.ask(number, case, keeper).await;
                        tracing::debug!(case = case.name, took = ?begun.elapsed(), ?verdict);
                        verdict
                    }
                },
            };
            (self.tell)(Step::Ended, case);
            verdicts.push((number, verdict));
        }
    }

    /// Returns the reason why no more cases are begun, if there is one.
    fn missed(&self) -> Option<Missed> {
        if *self.stop.borrow() {
            Some(Missed::Interrupted)
        } else if self.gone.load(Ordering::Relaxed) {
            Some(Missed::ServerGone)
        } else {
            (Instant::now() >= self.deadline).then_some(Missed::TimeUp)
        }
    }

    async fn ask(&self, number: usize, case: &Case, keeper: &mut Keeper) -> Verdict {
        let directory = SharePath::new(&number.to_string()).unwrap_or_default().below(self.root);
        let place = Place::new(self.server.clone(), directory, self.limits.wait);
        let mut stop = self.stop.clone();
        let verdict = tokio::select! {
            biased;
            verdict = self.run_case(&place, case, keeper) => verdict,
            () = stopped(&mut stop) => Verdict::NotRun(Missed::Interrupted),
        };
        // The directory is emptied even after a failure: what it left would disturb the next run.
        let (why, gone) = match keeper.remove(&place, self.limits.cleaning).await {
            Ok(()) => return verdict,
            Err(Left::Refused(why)) => (why, false),
            Err(Left::Unreachable(why)) => (why, true),
        };
        self.left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(format!("{}: {why}", place.directory));
        if gone {
            self.gone.store(true, Ordering::Relaxed);
        }
        match verdict {
            Verdict::Fail(_) | Verdict::NotGranted(_) if gone => {
                Verdict::NotRun(Missed::ServerWentMeanwhile)
            }
            Verdict::Pass if !gone => {
                let (what, at) = (format!("cleaning up: {why}"), "suite".into());
                Verdict::Fail(Difference { what, at })
            }
            verdict => verdict,
        }
    }

    async fn run_case(&self, place: &Place, case: &Case, keeper: &mut Keeper) -> Verdict {
        let failed = |what| Verdict::Fail(Difference { what, at: "suite".into() });
        let until = Instant::now() + self.limits.case;
        let whole = async {
            match keeper.make(place).await {
                Ok(()) => Ok((case.run)(place).await),
                Err(why) => Err(format!("making the case's directory: {why}")),
            }
        };
        match timeout_at(until.min(self.deadline), whole).await {
            Ok(Ok(Ok(()))) => Verdict::Pass,
            Ok(Ok(Err(Failure::Otherwise(difference)))) => Verdict::Fail(difference),
            Ok(Ok(Err(Failure::NotGranted(what)))) => Verdict::NotGranted(what),
            Ok(Err(what)) => failed(what),
            Err(_) if self.deadline < until => Verdict::NotRun(Missed::TimeUp),
            Err(_) => failed(format!("no end within {:?}", self.limits.case)),
        }
    }
}

/// Returns whether the case depends on how soon a server acts on another client.
fn waits_for_others(case: &Case) -> bool {
    case.needs.iter().any(|need| matches!(need, Feature::Caching | Feature::BlockingLocks))
}

async fn reach(server: &Arc<dyn SMBBackend>, limit: Duration) -> Result<(), Refused> {
    let connection = timeout(limit, server.connect(0)).await;
    let connection = connection.map_err(|_| Refused::Silent(limit))??;
    let _ = timeout(limit, connection.disconnect()).await;
    Ok(())
}

fn why_not(server: &Arc<dyn SMBBackend>, case: &Case, own_server: bool) -> Option<String> {
    let capabilities = server.capabilities();
    let lacks = case.needs.iter().filter(|feature| !capabilities.has(**feature));
    let missing: Vec<&str> = lacks.map(|feature| feature.name()).collect();
    match case.care {
        _ if !missing.is_empty() => Some(format!("no {}", missing.join(", "))),
        Care::OwnServer(reason) if !own_server => Some(reason.to_string()),
        _ => None,
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left who could ask for a stop.
        std::future::pending().await
    }
}

impl Missed {
    pub fn name(self) -> &'static str {
        match self {
            Missed::Interrupted => "interrupted",
            Missed::TimeUp => "no time was left",
            Missed::ServerGone => "the server no longer answers",
            Missed::ServerWentMeanwhile => "the server stopped answering while it ran",
        }
    }
}

impl Verdict {
    pub fn detail(&self) -> Option<&str> {
        match self {
            Verdict::Pass => None,
            Verdict::Fail(Difference { what: detail, .. })
            | Verdict::NotGranted(detail)
            | Verdict::Skipped(detail) => Some(detail),
            Verdict::NotRun(missed) => Some(missed.name()),
        }
    }
}
