//! Runs cases against a backend and says how it went.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use smbench::backend::{Feature, SMBBackend};
use smbench::protocol::{NtStatus, SharePath};

use crate::client::{Client, answer};

const CASE_LIMIT: Duration = Duration::from_secs(10);
/// A server notices that a connection is gone some time after the client does.
const CLEANING_LIMIT: Duration = Duration::from_secs(5);

/// One property every server is held to.
pub struct Case {
    pub name: &'static str,
    pub needs: &'static [Feature],
    pub run: for<'a> fn(&'a dyn SMBBackend, &'a Folder) -> BoxFuture<'a, ()>,
}

/// `case!(module::function, needs…)`; the function is
/// `async fn(&dyn SMBBackend, &Folder)` and panics where the server is wrong.
macro_rules! case {
    ($module:ident :: $function:ident $(, $feature:ident)*) => {
        $crate::suite::Case {
            name: stringify!($function),
            needs: &[$(smbench::backend::Feature::$feature),*],
            run: |server, folder| Box::pin($crate::$module::$function(server, folder)),
        }
    };
}
pub(crate) use case;

/// A case's own folder on the server, and what was made in it.
pub struct Folder {
    pub path: SharePath,
    made: Mutex<BTreeSet<SharePath>>,
}

impl Folder {
    pub fn note(&self, path: SharePath) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
    }
}

pub enum Verdict {
    Pass,
    Fail(String),
    Skipped(Vec<Feature>),
}

/// A server that answers otherwise for a reason of its own.
pub struct Deviation {
    pub backend: &'static str,
    pub case: &'static str,
    /// What its failure says; another failure of the case is no deviation.
    pub answers: &'static str,
    pub when: When,
    pub reason: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    /// A race in the server, shown to be there and to be the server's.
    Sometimes,
}

/// One backend's column of the table.
pub struct Column {
    pub backend: &'static str,
    pub verdicts: Vec<Verdict>,
}

pub async fn run(backend: &'static str, server: &dyn SMBBackend, cases: &[&Case]) -> Column {
    let quiet = QuietPanics::start().await;
    let mut verdicts = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let capabilities = server.capabilities();
        let lacks = case.needs.iter().filter(|feature| !capabilities.has(**feature));
        let missing: Vec<Feature> = lacks.copied().collect();
        verdicts.push(if missing.is_empty() {
            run_case(server, case, number).await
        } else {
            Verdict::Skipped(missing)
        });
    }
    drop(quiet);
    Column { backend, verdicts }
}

async fn run_case(server: &dyn SMBBackend, case: &Case, number: usize) -> Verdict {
    let path = SharePath::new(&format!("conformance-{number}")).unwrap();
    let folder = Folder { path, made: Mutex::default() };
    let bounded = async |what: &str, future: BoxFuture<'_, ()>| match tokio::time::timeout(
        CASE_LIMIT,
        AssertUnwindSafe(future).catch_unwind(),
    )
    .await
    {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some(format!("{what}{}", last_panic())),
        Err(_) => Some(format!("{what}no end after {CASE_LIMIT:?}")),
    };
    let prepared = bounded("preparing: ", Box::pin(prepare(server, &folder))).await;
    let failure = match prepared {
        None => bounded("", (case.run)(server, &folder)).await,
        failure => failure,
    };
    // Even after a failure: what it left would disturb the next run.
    let cleaned = bounded("cleaning up: ", Box::pin(clean(server, &folder))).await;
    failure.or(cleaned).map_or(Verdict::Pass, Verdict::Fail)
}

async fn prepare(server: &dyn SMBBackend, folder: &Folder) {
    let root = Folder { path: SharePath::new("").unwrap(), made: Mutex::default() };
    let client = Client::connect(server, &root).await;
    client.mkdir(folder.path.as_str()).await.unwrap();
    client.disconnect().await;
}

/// Deletes what was noted, deepest first; a folder that is not empty then was
/// changed behind the case's back.
async fn clean(server: &dyn SMBBackend, folder: &Folder) {
    let root = Folder { path: SharePath::new("").unwrap(), made: Mutex::default() };
    let client = Client::connect(server, &root).await;
    let made = folder.made.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let deadline = tokio::time::Instant::now() + CLEANING_LIMIT;
    loop {
        for path in made.iter().rev() {
            if client.delete(path.as_str()).await.is_err() {
                let _ = client.rmdir(path.as_str()).await;
            }
        }
        match answer(client.rmdir(folder.path.as_str()).await) {
            NtStatus::SUCCESS => break,
            _ if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            status => panic!("the case's folder cannot be removed: {status}"),
        }
    }
    client.disconnect().await;
}

static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Keeps a failed assertion's text for the table instead of printing it, in
/// one run at a time.
struct QuietPanics {
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl QuietPanics {
    async fn start() -> QuietPanics {
        static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let turn = TURN.lock().await;
        std::panic::set_hook(Box::new(|panic| {
            let text = panic.payload_as_str().unwrap_or("a panic without a message");
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let place = panic.location().map_or_else(String::new, |at| {
                let file = at.file().rsplit('/').next().unwrap_or_default();
                format!("{file}:{}: ", at.line())
            });
            *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = format!("{place}{text}");
        }));
        QuietPanics { _turn: turn }
    }
}

impl Drop for QuietPanics {
    fn drop(&mut self) {
        drop(std::panic::take_hook());
    }
}

fn last_panic() -> String {
    std::mem::take(&mut *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The table case × backend, then each failure and each listed deviation.
/// With what makes the suite fail, a line each.
pub fn judge(
    cases: &[&Case],
    columns: &[Column],
    deviations: &[Deviation],
) -> (String, Vec<String>) {
    let mut table = String::new();
    let mut notes = String::new();
    let mut faults = Vec::new();
    let width = cases.iter().map(|case| case.name.len()).max().unwrap_or_default();
    let heads: Vec<String> = columns.iter().map(|c| format!("{:<12}", c.backend)).collect();
    let _ = writeln!(table, "{:<width$}  {}", "case", heads.join(""));
    for (number, case) in cases.iter().enumerate() {
        let mut line = format!("{:<width$}  ", case.name);
        for column in columns {
            let backend = column.backend;
            let deviation = deviations.iter().find(|d| d.backend == backend && d.case == case.name);
            let word = match (&column.verdicts[number], deviation) {
                (Verdict::Pass, None) => "pass",
                (Verdict::Pass, Some(deviation)) if deviation.when == When::Sometimes => "pass",
                (Verdict::Pass, Some(_)) => {
                    faults.push(format!("{backend} no longer deviates in {}", case.name));
                    "PASS"
                }
                (Verdict::Fail(reason), Some(deviation)) if reason.contains(deviation.answers) => {
                    let why = deviation.reason;
                    let _ = writeln!(notes, "{backend}: {}: {why} ({reason})", case.name);
                    "deviates"
                }
                (Verdict::Fail(reason), _) => {
                    faults.push(format!("{backend}: {}: {reason}", case.name));
                    "FAIL"
                }
                (Verdict::Skipped(missing), _) => {
                    let names: Vec<&str> = missing.iter().map(|feature| feature.name()).collect();
                    let _ = writeln!(notes, "{backend}: {}: no {}", case.name, names.join(", "));
                    "skipped"
                }
            };
            let _ = write!(line, "{word:<12}");
        }
        let _ = writeln!(table, "{}", line.trim_end());
    }
    for deviation in deviations.iter().filter(|d| !cases.iter().any(|case| case.name == d.case)) {
        faults.push(format!("the deviation of {} names no case", deviation.case));
    }
    (table + &notes, faults)
}

mod tests {
    use super::*;

    const CASE: Case = Case { name: "one", needs: &[], run: |_, _| Box::pin(async {}) };

    fn faults(verdict: Verdict, deviation: Option<(&'static str, When)>) -> Vec<String> {
        let column = Column { backend: "b", verdicts: vec![verdict] };
        let deviations: Vec<Deviation> = deviation
            .map(|(answers, when)| Deviation {
                backend: "b",
                case: "one",
                answers,
                when,
                reason: "",
            })
            .into_iter()
            .collect();
        judge(&[&CASE], &[column], &deviations).1
    }

    #[test]
    fn a_failure_is_a_fault_unless_it_is_the_one_listed() {
        let failed = || Verdict::Fail("left: STATUS_A".into());
        assert_eq!(faults(failed(), None).len(), 1);
        for when in [When::Always, When::Sometimes] {
            assert_eq!(faults(failed(), Some(("STATUS_B", when))).len(), 1);
            assert!(faults(failed(), Some(("STATUS_A", when))).is_empty());
        }
    }

    #[test]
    fn a_listed_deviation_that_passes_is_a_fault_and_so_is_one_of_no_case() {
        assert!(faults(Verdict::Pass, None).is_empty());
        assert_eq!(faults(Verdict::Pass, Some(("STATUS_A", When::Always))).len(), 1);
        assert!(faults(Verdict::Pass, Some(("STATUS_A", When::Sometimes))).is_empty());
        let stray =
            Deviation { backend: "b", case: "other", answers: "", when: When::Always, reason: "" };
        assert_eq!(judge(&[&CASE], &[], &[stray]).1.len(), 1);
    }

    #[test]
    fn a_skipped_case_names_what_is_missing() {
        let column =
            Column { backend: "b", verdicts: vec![Verdict::Skipped(vec![Feature::Locks])] };
        let (table, faults) = judge(&[&CASE], &[column], &[]);
        assert!(table.contains("b: one: no locks") && faults.is_empty(), "{table}");
    }
}
