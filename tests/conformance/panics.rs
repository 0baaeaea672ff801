//! A watch for panics of the server. An unknown panic fails the suite even if all answers are
//! right.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use smbench::probe::CaseProgress;
use smbench_test_support::Samba;

/// A known panic: the case that causes it, the function it happens in, and the reason.
struct Known {
    case: &'static str,
    function: &'static str,
    reason: &'static str,
}

const KNOWN: [Known; 1] = [Known {
    case: "a_handle_of_attributes_neither_reads_nor_writes",
    function: "file_free",
    reason: "Samba 4.17 answers for a file it has not opened, and falls over it when the connection ends",
}];

/// The time for which a case that has ended may still be the cause of a panic: smbd writes its
/// stack only after the connection is gone.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// The time to wait for the last panics after all cases have ended.
const LAST: Duration = Duration::from_millis(500);
/// The longest time to wait for the rest of a stack after that.
const STACK: Duration = Duration::from_secs(20);

/// One panic, and the cases that may be its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    pub known: Option<&'static str>,
    what: String,
    cases: Vec<String>,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server panicked: {}, over {}", self.what, self.cases.join(" or "))?;
        self.known.map_or(Ok(()), |reason| write!(f, " (known: {reason})"))
    }
}

/// A watch on the server's log while cases run.
pub struct PanicWatch<'a> {
    samba: Option<&'a Samba>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    panics: Vec<Panic>,
    /// The cases that run or ended a short time ago, with the time of their end.
    cases: Vec<(String, Option<Instant>)>,
}

impl<'a> PanicWatch<'a> {
    pub fn new(samba: Option<&'a Samba>) -> PanicWatch<'a> {
        PanicWatch { samba, seen: Mutex::default() }
    }

    pub fn on_step(&self, step: CaseProgress, case: &str) {
        let mut seen = self.seen.lock().unwrap();
        match step {
            CaseProgress::Begun => seen.cases.push((case.into(), None)),
            CaseProgress::Ended => {
                let begun = seen.cases.iter_mut().filter(|(name, _)| name == case);
                begun.for_each(|(_, ended)| *ended = Some(Instant::now()));
                self.look(&mut seen);
            }
        }
    }

    /// Waits for the last panics, and returns all of them.
    pub fn end(self) -> Vec<Panic> {
        std::thread::sleep(LAST);
        let written_by = Instant::now() + STACK;
        let is_writing = |(_, complete): &(String, bool)| !complete;
        while self.found().iter().any(is_writing) && Instant::now() < written_by {
            std::thread::sleep(LAST);
        }
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.judge_new(&self.found());
        seen.panics
    }

    fn found(&self) -> Vec<(String, bool)> {
        self.samba.map(Samba::panics).unwrap_or_default()
    }

    /// Judges the new panics. One whose stack is not complete yet waits for the next call, because
    /// its function is not known, and the cases that may be its cause are kept until then.
    fn look(&self, seen: &mut Seen) {
        let mut found = self.found();
        if let Some(incomplete) = found.iter().position(|(_, complete)| !complete) {
            found.truncate(incomplete);
        } else {
            seen.cases.retain(|(_, ended)| ended.is_none_or(|ended| ended.elapsed() < AFTERWARDS));
        }
        seen.judge_new(&found);
    }
}

impl Seen {
    fn judge_new(&mut self, found: &[(String, bool)]) {
        let cases: Vec<String> = self.cases.iter().map(|(name, _)| name.clone()).collect();
        let new = found.iter().skip(self.panics.len());
        self.panics.extend(new.map(|(panic, _)| judge(panic, cases.clone())));
    }
}

/// Attributes a panic, given as its first line and its stack, to a known cause or to `cases`. The
/// whole text is kept of a panic that is not known.
fn judge(panic: &str, cases: Vec<String>) -> Panic {
    let in_function = |known: &&Known| panic.contains(&format!("({}+", known.function));
    let known =
        KNOWN.iter().filter(in_function).find(|known| cases.iter().any(|case| case == known.case));
    match known {
        Some(known) => {
            let what = panic.lines().next().unwrap_or_default().to_string();
            Panic { known: Some(known.reason), what, cases: vec![known.case.into()] }
        }
        None => Panic { known: None, what: panic.into(), cases },
    }
}

mod tests {
    use super::*;

    const STACK: &str = "PANIC (pid 7): Signal 11\n #4 libsmbd-base-samba4.so.0(file_free+0x15)";

    #[test]
    fn a_panic_is_known_only_of_its_case_and_in_its_function() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let guilty = "a_handle_of_attributes_neither_reads_nor_writes";
        let known = judge(STACK, names(&["mkdir_makes_a_directory", guilty]));
        assert!(known.known.is_some());
        assert_eq!(known.cases, [guilty]);
        for (stack, cases) in [
            (STACK, names(&["mkdir_makes_a_directory", "stat_knows_files_and_directories"])),
            ("PANIC (pid 7): Signal 11\n #4 libtalloc.so.2(talloc_free+0x15)", names(&[guilty])),
        ] {
            let unknown = judge(stack, cases.clone());
            assert_eq!((unknown.known, &unknown.cases), (None, &cases));
            let reported = format!("panicked: {stack}, over {}", cases.join(" or "));
            assert!(unknown.to_string().contains(&reported), "{unknown}");
        }
    }
}
