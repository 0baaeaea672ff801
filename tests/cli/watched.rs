//! Watched runs, whose files are edited while they run.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::program::{Ended, Place, Running};
use crate::summary::number;

/// Counts of the totals, each of which is the sum of those of the generations.
const ADD_UP: [&str; 8] = [
    "operations",
    "succeeded",
    "failed",
    "skipped",
    "cut",
    "retries",
    "bytes_read",
    "bytes_written",
];

/// A watched run in a place.
pub struct Watched {
    pub place: Place,
    pub running: Running,
    /// The number of lines on standard error that were looked at.
    seen: usize,
}

impl Watched {
    /// Starts a watched run of the script `s.lua` against the directory `share`.
    pub fn embedded(place: Place, flags: &str) -> Watched {
        std::fs::create_dir(place.path().join("share")).unwrap();
        Watched::start(place, &format!("s.lua --embedded-dir share {flags}"))
    }

    pub fn start(place: Place, line: &str) -> Watched {
        let running = place.run(&format!("{line} --watch")).start();
        Watched { place, running, seen: 0 }
    }

    /// Replaces a file, as editors do.
    pub fn edit(&self, name: &str, text: impl AsRef<[u8]>) {
        let whole = self.place.write("written", text);
        std::fs::rename(whole, self.place.path().join(name)).unwrap();
    }

    /// Returns a path in the directory that is served.
    pub fn shared(&self, path: &str) -> PathBuf {
        self.place.path().join("share").join(path)
    }

    /// Waits until all paths exist in the directory that is served.
    pub fn until(&mut self, paths: &[&str]) {
        let all: Vec<PathBuf> = paths.iter().map(|path| self.shared(path)).collect();
        self.running.until(&format!("{paths:?}"), || all.iter().all(|path| path.exists()));
    }

    /// Waits for a line on standard error after those that were looked at.
    pub fn line(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let (line, seen) = self.running.line(what, self.seen, wanted);
        self.seen = seen;
        line
    }

    /// Waits for the outcome of the next reload.
    fn outcome(&mut self, what: &str) -> String {
        let is_outcome =
            |line: &str| line.contains("reload refused") || line.contains(" accepted ");
        self.line(what, is_outcome)
    }

    /// Waits until the next edit is accepted as this generation, and returns the line.
    pub fn accepted(&mut self, generation: u32) -> String {
        let line = self.outcome(&format!("generation {generation}"));
        let start = format!("reload: generation {generation} accepted ");
        assert!(line.starts_with(&start), "generation {generation}: {line}");
        line
    }

    /// Waits until the next edit is refused, while this generation goes on, and returns the reason.
    pub fn refused(&mut self, generation: u32) -> String {
        let line = self.outcome("refusal");
        let start = format!("reload refused, generation {generation} goes on: ");
        let reason = line.strip_prefix(&start);
        reason.unwrap_or_else(|| panic!("not refused in generation {generation}: {line}")).into()
    }

    /// Interrupts the run, and checks what must hold for every run that was reloaded.
    pub fn end(self) -> Reloaded {
        self.running.signal(Signal::INT);
        Reloaded::new(self.place, self.running.end().exits(130))
    }

    /// Waits until the run ends by itself.
    pub fn end_by_itself(self, code: i32) -> Reloaded {
        Reloaded::new(self.place, self.running.end().exits(code))
    }
}

/// A watched run that has ended.
pub struct Reloaded {
    pub place: Place,
    pub ended: Ended,
    pub summary: Value,
}

impl Reloaded {
    fn new(place: Place, ended: Ended) -> Reloaded {
        let summary = ended.summary();
        check(&summary);
        Reloaded { place, ended, summary }
    }

    pub fn generations(&self) -> &[Value] {
        self.summary["generations"].as_array().unwrap()
    }

    /// Returns the lines of the operation log with an operation, in the order of their ends.
    pub fn operations(&self) -> Vec<Value> {
        let mut lines = self.place.oplog("out");
        lines.retain(|line| line.get("op_id").is_some());
        lines
    }
}

/// Returns the generation that a line of the operation log belongs to.
pub fn generation(line: &Value) -> u64 {
    line.get("generation").map_or(1, number)
}

pub fn client(line: &Value) -> u64 {
    let id = line["op_id"].as_str().unwrap();
    id.split_once('-').unwrap().0.parse().unwrap()
}

/// Checks that the figures of all generations add up to those of the run, and that nothing failed
/// because of a reload.
fn check(summary: &Value) {
    let generations = summary["generations"].as_array().unwrap();
    let sum = |of: &dyn Fn(&Value) -> u64| generations.iter().map(of).sum::<u64>();
    for key in ADD_UP {
        let added = sum(&|generation| number(&generation["totals"][key]));
        assert_eq!(added, number(&summary["totals"][key]), "{key}");
    }
    for (kind, figures) in summary["operations"].as_object().unwrap() {
        let count = |generation: &Value| {
            generation["operations"].get(kind).map_or(0, |figures| number(&figures["count"]))
        };
        assert_eq!(sum(&count), number(&figures["count"]), "{kind}");
    }
    for key in ["count", "dropped"] {
        let of = |iterations: &Value| iterations.get(key).map_or(0, number);
        let added = sum(&|generation| of(&generation["iterations"]));
        assert_eq!(added, of(&summary["iterations"]), "iterations: {key}");
    }
    for (at, generation) in generations.iter().enumerate() {
        assert_eq!(number(&generation["number"]), at as u64 + 1);
    }
    assert_eq!(summary["totals"].get("reconnects").map_or(0, number), 0, "connections stay up");
    assert_eq!(summary.get("failed_clients"), None);
    assert_eq!(summary["cleanup"]["failed"], 0);
}
