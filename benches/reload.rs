//! Reloads of a watched run: the time from the event of a file to the acceptance of the new
//! generation, the lateness of operations in the second of a reload, and the memory after hundreds
//! of reloads: `cargo bench --bench reload`
//!
//! The lateness is compared with that of the other seconds of the run, and a run without reloads
//! stands beside it, because the host decides how late a sleeping thread wakes.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{sleep, spawn};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

#[path = "support/mod.rs"]
#[allow(dead_code, reason = "other benchmarks use the rest")]
mod support;

use support::{load, median};

/// Bound on the median time from the event to the acceptance, in milliseconds.
const MAX_ACCEPTED_MS: f64 = 50.0;
/// Bound on the 99th percentile of lateness in the second of a reload, as a multiple of that in
/// the other seconds of the run.
const MAX_LATENESS_RATIO: f64 = 2.0;
/// Bound on the memory after the last reload, as a multiple of that after the first hundred.
const MAX_GROWTH: f64 = 1.1;

const EDITS: usize = 20;
/// The time between two edits, in which all clients move: see [`SCRIPT`].
const BETWEEN_EDITS: Duration = Duration::from_millis(2_500);
/// The beginning of each run, which no figure of lateness counts: all clients begin at once.
const BEGINNING_NS: u64 = 3_000_000_000;
const QUIET_RUN: Duration = Duration::from_secs(20);
const MANY_RELOADS: usize = 500;
/// The longest wait for a line of the program.
const PATIENCE: Duration = Duration::from_secs(60);

const TARGETS: [&str; 2] = ["sim?latency=1ms", "embedded"];

fn main() {
    let mut missed = Vec::new();
    let mut goal = |reached: bool, text: String| {
        if !reached {
            missed.push(text);
        }
    };
    for target in TARGETS {
        let people = ["users=1000", "think=1s"];
        println!("{target}, 1,000 clients, load {}", load());
        let quiet = Watched::start(target, people, true);
        sleep(QUIET_RUN);
        let quiet = quiet.end();
        let mut run = Watched::start(target, people, true);
        let mut took_ms = Vec::new();
        for _ in 0..EDITS {
            sleep(BETWEEN_EDITS);
            took_ms.push(run.edit());
        }
        sleep(BETWEEN_EDITS);
        let ended = run.end();
        let most_ms = took_ms.iter().copied().fold(0.0, f64::max);
        let middle_ms = median(took_ms.clone());
        println!(
            "  accepted after the event: median {middle_ms:.1} ms, at most {most_ms:.1} ms, of {EDITS}"
        );
        goal(
            middle_ms < MAX_ACCEPTED_MS,
            format!("{target}: accepted after {middle_ms:.1} ms, over {MAX_ACCEPTED_MS} ms"),
        );
        let (during, besides) = ended.lateness_us(&took_ms);
        let (_, without) = quiet.lateness_us(&[]);
        let ratio = during / besides;
        println!(
            "  p99 of lateness: {during:.0} µs in the second of a reload, {besides:.0} µs in the others (ratio {ratio:.2}), {without:.0} µs in a run without"
        );
        goal(
            ratio <= MAX_LATENESS_RATIO,
            format!(
                "{target}: p99 of lateness in the second of a reload is {ratio:.2} times that of the run"
            ),
        );
    }
    println!("sim, 100 clients, {MANY_RELOADS} reloads, load {}", load());
    let mut run = Watched::start("sim?latency=1ms", ["users=100", "think=20ms"], false);
    let mut memory_kib = Vec::new();
    for reload in 1..=MANY_RELOADS {
        run.edit();
        if reload % 100 == 0 {
            memory_kib.push(run.memory_kib());
        }
    }
    run.end();
    println!("  resident memory after each 100, in KiB: {memory_kib:?}");
    let growth = memory_kib[memory_kib.len() - 1] as f64 / memory_kib[0] as f64;
    goal(growth <= MAX_GROWTH, format!("memory grew to {growth:.2} times that after 100 reloads"));
    for goal in &missed {
        println!("missed: {goal}");
    }
    println!("every goal reached: {}", if missed.is_empty() { "yes" } else { "NO" });
    if !missed.is_empty() {
        std::process::exit(1);
    }
}

/// The lesson about reloads, in which no client thinks for longer than twice the mean. So all
/// clients have moved before the next edit.
fn script() -> String {
    let lesson = include_str!("../examples/reload.lua");
    let think = "c:think(rng:exp(P.think))";
    assert!(lesson.contains(think));
    lesson.replace(think, "c:think(math.min(rng:exp(P.think), 2 * P.think))")
}

/// A run of the program on a script that is edited.
struct Watched {
    child: Child,
    lines: Receiver<Value>,
    directory: TempDir,
    script: PathBuf,
    edits: usize,
}

impl Watched {
    /// Starts a run, and waits until its clients iterate.
    fn start(target: &str, parameters: [&str; 2], oplog: bool) -> Watched {
        let directory = tempfile::tempdir().unwrap();
        let script_path = directory.path().join("reload.lua");
        fs::write(&script_path, script()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_smbench"));
        command.arg("watch").arg(&script_path).args(["--target", target]);
        for parameter in parameters {
            command.args(["--param", parameter]);
        }
        command.arg("--out").arg(directory.path().join("results"));
        command.args(["-v", "--log-format", "json", "--allow-late"]);
        if oplog {
            command.arg("--oplog");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let run = Watched { child, lines, directory, script: script_path, edits: 0 };
        run.line(|line| line["message"] == "run");
        run
    }

    /// Waits for a line.
    fn line(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("the program says nothing");
            if wanted(&line) {
                return line;
            }
            let message = line["message"].as_str().unwrap_or_default();
            assert!(!message.starts_with("reload refused") && line["level"] != "ERROR", "{line}");
        }
    }

    /// Saves the script with a change, as editors do, and waits until it is accepted. Returns the
    /// time from the event to the acceptance, in milliseconds.
    fn edit(&mut self) -> f64 {
        self.edits += 1;
        let new = self.script.with_extension("new");
        fs::write(&new, format!("{}\n-- edit {}\n", script(), self.edits)).unwrap();
        fs::rename(&new, &self.script).unwrap();
        let generation = self.edits as u64 + 1;
        let accepted = self.line(|line| {
            line["fields"]["generation"] == generation && line["fields"]["took_ms"].is_number()
        });
        accepted["fields"]["took_ms"].as_f64().unwrap()
    }

    /// Returns the resident memory. Linux only.
    fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Ends the run with an interrupt.
    fn end(mut self) -> Ended {
        let process = Pid::from_child(&self.child);
        kill_process(process, Signal::INT).unwrap();
        self.child.wait().unwrap();
        let results = self.directory.path().join("results");
        let summary = fs::read(results.join("summary.json")).unwrap();
        let operations = fs::read_to_string(results.join("ops.jsonl")).unwrap_or_default();
        Ended { summary: serde_json::from_slice(&summary).unwrap(), operations }
    }
}

/// The results of a run.
struct Ended {
    summary: Value,
    operations: String,
}

impl Ended {
    /// Returns the 99th percentiles of lateness, in microseconds: of the operations that were
    /// eligible in the second after the event of a reload, and of all others after the beginning. `took_ms` are the times
    /// from the events to the acceptances.
    fn lateness_us(&self, took_ms: &[f64]) -> (f64, f64) {
        let mut operations: Vec<(u64, u64)> = Vec::new();
        for line in self.operations.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["event"] == "operation" && line["section"] == "iteration" {
                let ns = |key: &str| line[key].as_u64();
                if let (Some(eligible), Some(issued)) = (ns("eligible_ns"), ns("issued_ns")) {
                    operations.push((eligible, issued.saturating_sub(eligible)));
                }
            }
        }
        let zero_ns = operations.iter().map(|(eligible_ns, _)| *eligible_ns).min().unwrap_or(0);
        let later = self.summary["generations"].as_array().unwrap().iter().skip(1);
        let seconds: Vec<(u64, u64)> = later
            .zip(took_ms)
            .map(|(generation, took_ms)| {
                let accepted_ns = generation["started_s"].as_f64().unwrap() * 1e9;
                let event_ns = zero_ns + (accepted_ns - took_ms * 1e6).max(0.0) as u64;
                (event_ns, event_ns + 1_000_000_000)
            })
            .collect();
        operations.retain(|(eligible_ns, _)| *eligible_ns >= zero_ns + BEGINNING_NS);
        let in_reload =
            |at: u64| seconds.iter().any(|(from_ns, to_ns)| (*from_ns..*to_ns).contains(&at));
        let (during, besides): (Vec<_>, Vec<_>) =
            operations.into_iter().partition(|(eligible_ns, _)| in_reload(*eligible_ns));
        (p99_us(during), p99_us(besides))
    }
}

fn p99_us(mut operations: Vec<(u64, u64)>) -> f64 {
    operations.sort_unstable_by_key(|(_, late_ns)| *late_ns);
    let at = operations.len() * 99 / 100;
    operations.get(at).map_or(0.0, |(_, late_ns)| *late_ns as f64 / 1e3)
}
