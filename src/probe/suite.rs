//! Runs cases against a server and says how it went.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::case::{Care, Case, Failure};
use super::place::Place;
use crate::backend::{ConnectError, SMBBackend};
use crate::protocol::SharePath;

/// Every bound on a wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One wait for the server: a connection, a break.
    pub wait: Duration,
    /// One case from beginning to end.
    pub case: Duration,
    /// Emptying the folder of one case.
    pub cleaning: Duration,
    /// All cases together. Emptying what they left comes on top.
    pub whole: Duration,
}

const NO_TIME: &str = "no time was left";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Fail(String),
    /// The server is free not to grant it, and did not.
    NotGranted(String),
    /// The backend lacks something, or the case is not for this server.
    Skipped(String),
    NotRun(&'static str),
}

/// How all cases went, in their order.
#[derive(Debug, Default)]
pub struct Column {
    pub verdicts: Vec<Verdict>,
    /// What could not be removed from the server, and why.
    pub left: Vec<String>,
    /// Asked to end before all had run.
    pub interrupted: bool,
}

/// Why no case was run.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no connection within {0:?}; --op-timeout allows more")]
    Silent(Duration),
    #[error(
        "the folder {folder} cannot be made on the server ({why}), and a probe works nowhere else: name a folder where this user may write"
    )]
    Folder { folder: SharePath, why: String },
}

/// Runs `cases` in the new folder `root`, which is removed at the end. With
/// `own_server` those too that are only for a test's own. `begun` is told
/// each case before it runs; `stop` ends it all in good order.
///
/// # Errors
/// [`Refused`]: nothing was changed on the server.
pub async fn run(
    server: &Arc<dyn SMBBackend>,
    root: &SharePath,
    (cases, own_server): (&[&Case], bool),
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    begun: &mut (dyn FnMut(usize, &Case) + Send),
) -> Result<Column, Refused> {
    let home = Place::new(server.clone(), root.clone(), limits.wait);
    reach(server, limits.wait).await?;
    let deadline = Instant::now() + limits.whole;
    match timeout(limits.case, home.make()).await {
        Ok(Ok(())) => {}
        Ok(Err(Failure::Otherwise(why) | Failure::NotGranted(why))) => {
            return Err(Refused::Folder { folder: root.clone(), why });
        }
        Err(_) => {
            // It may have been made all the same.
            let _ = home.remove(limits.cleaning).await;
            let why = format!("no answer within {:?}", limits.case);
            return Err(Refused::Folder { folder: root.clone(), why });
        }
    }
    let mut column = Column::default();
    let mut gone = false;
    for (number, case) in cases.iter().enumerate() {
        let verdict = match why_not(server, case, own_server) {
            Some(reason) => Verdict::Skipped(reason),
            None if column.interrupted => Verdict::NotRun("interrupted"),
            None if gone => Verdict::NotRun("the server no longer answers"),
            None if Instant::now() >= deadline => Verdict::NotRun(NO_TIME),
            None => {
                begun(number, case);
                let folder = number.to_string();
                let folder = SharePath::new(&folder).unwrap_or_default().below(root);
                let place = Place::new(server.clone(), folder, limits.wait);
                let until = deadline.min(Instant::now() + limits.case);
                let running = run_case(&place, case, limits, until);
                let verdict = tokio::select! {
                    biased;
                    verdict = running => verdict,
                    () = stopped(&mut stop) => {
                        column.interrupted = true;
                        Verdict::NotRun("interrupted")
                    }
                };
                // Even after a failure: what it left would disturb the next run.
                match (place.remove(limits.cleaning).await, verdict) {
                    (Ok(()), verdict) => verdict,
                    (Err(why), verdict) => {
                        column.left.push(format!("{}: {why}", place.folder));
                        gone = reach(server, limits.wait).await.is_err();
                        match verdict {
                            Verdict::Pass => Verdict::Fail(format!("cleaning up: {why}")),
                            verdict => verdict,
                        }
                    }
                }
            }
        };
        column.verdicts.push(verdict);
    }
    if let Err(why) = home.remove(limits.cleaning).await {
        column.left.push(format!("{root}: {why}"));
    }
    Ok(column)
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

async fn run_case(place: &Place, case: &Case, limits: Limits, until: Instant) -> Verdict {
    let started = Instant::now();
    let whole = async {
        place.make().await?;
        (case.run)(place).await
    };
    match timeout_at(until, whole).await {
        Ok(Ok(())) => Verdict::Pass,
        Ok(Err(Failure::Otherwise(what))) => Verdict::Fail(what),
        Ok(Err(Failure::NotGranted(what))) => Verdict::NotGranted(what),
        Err(_) if Instant::now() < started + limits.case => Verdict::NotRun(NO_TIME),
        Err(_) => Verdict::Fail(format!("no end within {:?}", limits.case)),
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left who could ask for it.
        std::future::pending().await
    }
}

impl Verdict {
    pub fn detail(&self) -> Option<&str> {
        match self {
            Verdict::Pass => None,
            Verdict::Fail(detail) | Verdict::NotGranted(detail) | Verdict::Skipped(detail) => {
                Some(detail)
            }
            Verdict::NotRun(why) => Some(why),
        }
    }
}
