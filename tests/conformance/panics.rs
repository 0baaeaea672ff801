//! A watch for panics of the server. An unknown panic fails the suite even if all answers are
//! right.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use smbench::probe::Step;
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

    pub fn on_step(&self, step: Step, case: &str) {
        let mut seen = self.seen.lock().unwrap();
        match step {
            Step::Begun => seen.cases.push((case.into(), None)),
            Step::Ended => {
                let begun = seen.cases.iter_mut().filter(|(name, _)| name == case);
                begun.for_each(|(_, ended)| *ended = Some(Instant::now()));
                self.look(&mut seen);
            }
        }
    }

    pub fn end(self) -> Vec<Panic> {
        std::thread::sleep(LAST);
        let mut seen = self.seen.into_inner().unwrap();
        let watch = PanicWatch::new(self.samba);
        watch.look(&mut seen);
        seen.panics
    }

    fn look(&self, seen: &mut Seen) {
        let found = self.samba.map(Samba::panics).unwrap_or_default();
        seen.cases.retain(|(_, ended)| ended.is_none_or(|ended| ended.elapsed() < AFTERWARDS));
        let cases: Vec<String> = seen.cases.iter().map(|(name, _)| name.clone()).collect();
        for panic in found.iter().skip(seen.panics.len()) {
            seen.panics.push(judge(panic, cases.clone()));
        }
    }
}

/// Attributes a panic, given as its first line and its stack, to a known cause or to `cases`.
fn judge(panic: &str, cases: Vec<String>) -> Panic {
    let in_function = |known: &&Known| panic.contains(&format!("({}+", known.function));
    let known =
        KNOWN.iter().filter(in_function).find(|known| cases.iter().any(|case| case == known.case));
    let what = panic.lines().next().unwrap_or_default().to_string();
    match known {
        Some(known) => Panic { known: Some(known.reason), what, cases: vec![known.case.into()] },
        None => Panic { known: None, what, cases },
    }
}

mod tests {
    use super::*;

    const STACK: &str = "PANIC (pid 7): Signal 11\n #4 libsmbd-base-samba4.so.0(file_free+0x15)";

    #[test]
    fn a_panic_is_known_only_of_its_case_and_in_its_function() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let guilty = "a_handle_of_attributes_neither_reads_nor_writes";
        let known = judge(STACK, names(&["mkdir_makes_a_folder", guilty]));
        assert!(known.known.is_some());
        assert_eq!(known.cases, [guilty]);
        for (stack, cases) in [
            (STACK, names(&["mkdir_makes_a_folder", "stat_knows_files_and_folders"])),
            ("PANIC (pid 7): Signal 11\n #4 libtalloc.so.2(talloc_free+0x15)", names(&[guilty])),
        ] {
            let unknown = judge(stack, cases.clone());
            assert_eq!((unknown.known, &unknown.cases), (None, &cases));
            let reported =
                format!("panicked: PANIC (pid 7): Signal 11, over {}", cases.join(" or "));
            assert!(unknown.to_string().contains(&reported), "{unknown}");
        }
    }
}
