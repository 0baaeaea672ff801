//! The maximum throughput of the engine, beside that of its peers: `cargo bench --bench throughput`
//!
//! The work is open, read, read, close on `sim:null`, through the whole program as the command line
//! wires it. fio and sysbench count events that do nothing, on as many threads as smbench has
//! shards.
//!
//! The time of a shard's thread (`perf record -e cpu-clock`, document, 64 clients, about 600 ns an
//! operation) is spent on: executing in the client's task and its `ConnectionState` 26 %, waking
//! that task 18 %, the recorder 19 %, the engine 15 %, reading the clock 13 %, the driver 6 %. With
//! one client, no turn of the driver is shared, and waking is 27 % of 750 ns. Loading and checking
//! a document, before time zero, takes 850 ns an operation on one thread. Making an operation in
//! Lua takes 600 ns, over half of it in Luau, so from a few clients on, a script's single thread
//! limits the throughput.
//!
//! The floor is the least time per operation of an engine with the same guarantees, measured beside
//! the rest: two clock reads and the recorder, about a quarter of the time.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use smbench::backend::Clock;
use smbench::ir::compile::CompileBounds;
use smbench::ir::document::Format;
use smbench::ir::document::LoadOptions;
use smbench::ir::event::SocketTimes;
use smbench::ir::{
    CompletionEvent, CompletionStatus, Event, EventSink, Execution, HandleOperation, HandleRef,
    Operation, OperationTimes, Phase, StreamHeader, Workload,
};
use smbench::observability::{Layout, Live, Recorder};
use smbench::protocol::NtStatus;
use smbench::run::{self, DocumentScaling, Input};
use smbench::scheduler::{Precision, RealClock};
use smbench::script::ReadFiles;

mod support;

use support::{load, median, script};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of rounds. Each measures everything once, so that all meet the same load on the host.
const ROUNDS: usize = 3;
const RUN: Duration = Duration::from_secs(2);
/// Number of operations of each document: about a second's worth.
const OPERATIONS: u32 = 3_200_000;

const SCRIPT: &str = r#"
bench.workload {
  name = "throughput", clients = 1,
  iteration = function(c)
    local h = c:open(("team/u%d/a.docx"):format(c.id), "rw")
    c:read(h, 0, 65536)
    c:read(h, 65536, 65536)
    c:close(h)
  end,
}
"#;
const OPERATIONS_AN_ITERATION: u32 = 4;

/// Number of clients, with the goals for a document and for a script, in operations per second.
const GOALS: [(u32, f64, Option<f64>); 3] = [
    (1, 300_000.0, None),
    (64, 1_000_000.0, Some(700_000.0)),
    (5_000, 1_000_000.0, Some(700_000.0)),
];

/// A line of the table, with its measurements.
struct Line {
    name: String,
    goal: Option<f64>,
    measure: Box<dyn Fn() -> Rate>,
    rates: Vec<Rate>,
}

/// Operations per second while the work lasts; and from the call to the last result, loading
/// included, if that differs.
#[derive(Clone, Copy)]
struct Rate {
    working: f64,
    end_to_end: Option<f64>,
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("throughput.lua");
    std::fs::write(&path, SCRIPT).unwrap();
    let mut lines = Vec::new();
    let mut line = |name: String, goal, measure: Box<dyn Fn() -> Rate>| {
        lines.push(Line { name, goal, measure, rates: Vec::new() });
    };
    for threads in [1, 4] {
        let name = format!("fio --ioengine=null, {threads} job(s)");
        if installed("fio") {
            line(name, None, Box::new(move || fio(threads)));
        } else {
            println!("SKIPPED: {name}: fio is not installed (apt-get install fio)");
        }
        let name = format!("sysbench, empty event, {threads} thread(s)");
        if installed("sysbench") {
            let event = directory.path().join("empty.lua");
            std::fs::write(&event, "function event() end\n").unwrap();
            line(name, None, Box::new(move || sysbench(&event, threads)));
        } else {
            println!("SKIPPED: {name}: sysbench is not installed (apt-get install sysbench)");
        }
    }
    line("floor: two clock reads and the recorder, 1 thread".into(), None, Box::new(floor));
    for (clients, goal, _) in GOALS {
        let input = compile(&path, directory.path(), clients);
        let name = format!("smbench, document, {clients} client(s)");
        line(name, Some(goal), Box::new(move || ours(&input, None)));
    }
    for (clients, _, goal) in GOALS {
        let input = Input::Script(script(&path, clients));
        let name = format!("smbench, script, {clients} client(s)");
        line(name, goal, Box::new(move || ours(&input, Some(RUN))));
    }

    let before = load();
    for _ in 0..ROUNDS {
        for line in &mut lines {
            line.rates.push((line.measure)());
        }
    }
    print(&lines);
    println!("median of {ROUNDS} rounds; load average before {before}, after {}", load());
}

fn print(lines: &[Line]) {
    println!(
        "{:<50} {:>12} {:>9} {:>12} {:>10}  reached",
        "", "operations/s", "ns each", "end to end/s", "goal"
    );
    for Line { name, goal, rates, .. } in lines {
        let working = median(rates.iter().map(|rate| rate.working).collect());
        let end_to_end: Option<Vec<f64>> = rates.iter().map(|rate| rate.end_to_end).collect();
        let end_to_end = end_to_end.map_or("".into(), |rates| format!("{:.0}", median(rates)));
        let (goal, reached) = match goal {
            Some(goal) if working >= *goal => (format!("{goal:.0}"), "yes"),
            Some(goal) => (format!("{goal:.0}"), "NO"),
            None => (String::new(), ""),
        };
        let each_ns = 1e9 / working;
        println!(
            "{name:<50} {working:>12.0} {each_ns:>9.0} {end_to_end:>12} {goal:>10}  {reached}"
        );
    }
}

/// Compiles the script to a document of about [`OPERATIONS`] operations.
fn compile(path: &Path, directory: &Path, clients: u32) -> Input {
    let mut options = script(path, clients);
    options.iterations = Some(OPERATIONS / OPERATIONS_AN_ITERATION / clients);
    let path = directory.join(format!("{clients}.jsonl"));
    let output = run::Destination::File { path: path.clone(), force: false };
    run::compile(&Input::Script(options), CompileBounds::default(), Format::V2, &output).unwrap();
    Input::Document {
        path,
        options: LoadOptions::default(),
        seed: None,
        scaling: DocumentScaling::default(),
        reload: None,
        reads: ReadFiles::default(),
    }
}

fn ours(input: &Input, duration: Option<Duration>) -> Rate {
    let started = Instant::now();
    let totals = support::run(input, "sim:null", duration).totals;
    let end_to_end = totals.operations as f64 / started.elapsed().as_secs_f64();
    Rate { working: totals.operations_per_s, end_to_end: Some(end_to_end) }
}

/// Measures the floor: the rate of an engine that only stamps each operation when it is issued and
/// when it completes, and records it.
fn floor() -> Rate {
    const EVENTS: u32 = 4_000_000;
    let workloads = vec![Workload::new("w", 64)].into();
    let header = StreamHeader { workloads, ..StreamHeader::default() };
    let phases = vec![Phase { name: "run".into(), duration_ns: u64::MAX, record: true }];
    let layout = Layout::new(Arc::new(header), phases, Duration::from_millis(10));
    let mut recorder = Recorder::new(Arc::new(layout), Live::new(1).shard(0));
    let clock: Arc<dyn Clock> = RealClock::start(Precision::Sleep);
    let started = Instant::now();
    let mut completed_ns = 0;
    for seq in 0..EVENTS {
        let eligible_ns = completed_ns;
        let issued_ns = clock.now_ns();
        completed_ns = clock.now_ns();
        let read = HandleOperation::Read { offset: 0, length: 65_536 }.on(HandleRef(0));
        let execution = Execution {
            bytes: 65_536,
            socket: SocketTimes {
                first_write_ns: Some(issued_ns),
                pickup_ns: Some(completed_ns - issued_ns),
                clock_stepped: false,
            },
            ..Execution::of(CompletionStatus::Succeeded(NtStatus::SUCCESS))
        };
        let times = OperationTimes {
            due_ns: eligible_ns,
            eligible_ns,
            issued_ns,
            attempted_ns: issued_ns,
            completed_ns,
            blocked_ns: 0,
        };
        let event = CompletionEvent::new(Operation::new(seq % 64, seq, read), execution, times);
        recorder.event(Event::Completed(CompletionEvent { phase: Some(0), ..event }));
    }
    let working = f64::from(EVENTS) / started.elapsed().as_secs_f64();
    black_box(recorder.finish());
    Rate { working, end_to_end: None }
}

// The peers: fio and sysbench.

fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

fn fio(jobs: u32) -> Rate {
    let output = Command::new("fio")
        .args(["--name=null", "--ioengine=null", "--rw=randread", "--bs=64k", "--size=10g"])
        .args(["--thread", "--time_based", "--runtime=1", "--group_reporting"])
        .args([&format!("--numjobs={jobs}"), "--output-format=json"])
        .output();
    let report: serde_json::Value = serde_json::from_slice(&good(output).stdout).unwrap();
    Rate { working: report["jobs"][0]["read"]["iops"].as_f64().unwrap(), end_to_end: None }
}

fn sysbench(event: &PathBuf, threads: u32) -> Rate {
    let output = Command::new("sysbench")
        .arg(event)
        .args([&format!("--threads={threads}"), "--events=0", "--time=1", "run"])
        .output();
    let report = String::from_utf8(good(output).stdout).unwrap();
    let figure = |name: &str| -> f64 {
        let value = report.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
        value.trim().trim_end_matches('s').parse().unwrap()
    };
    let working = figure("total number of events:") / figure("total time:");
    Rate { working, end_to_end: None }
}

fn good(output: std::io::Result<Output>) -> Output {
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}
