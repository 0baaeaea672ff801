//! What hooks cost the run they look at: `cargo bench --bench hooks`
//!
//! Everything is measured with and without them in turns, so that both share the
//! machine's mood, on `sim:null`, through the whole program as the command line
//! wires it. A run at full speed has more threads that compute than this machine
//! may have processors; those that make and issue operations then share them with
//! the hooks' one, which is most of what hooks cost there: of a shard's time 2 %
//! is the tap (`perf record -e cpu-clock`, 64 clients), of all processors' the
//! hooks' thread is a tenth. At full speed events are dropped where that thread
//! gets too little of a processor, and told; at a pace that leaves it one, none is.
//!
//! On four cores of a virtual machine with a load of 13 to 30 from elsewhere, under
//! `chrt -f 10`, in two whole runs: with an empty hook 0.98 of the throughput of one
//! client, 0.81 of 64 (4.1 to 4.2 M operations/s without), 0.84 and 0.87 of 5,000;
//! with a histogram 0.93 to 0.95, 0.77 to 0.78, 0.78 to 0.83; with a filter that lets
//! one in a hundred through 0.95 to 1.03. Lateness (p50, p99 in µs) at 10,000/s 1.0 to
//! 1.2, 37 to 46 without and 0.9 to 1.2, 39 to 51 with hooks.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use smbench::observability::Summary;
use smbench::run::Input;

mod support;

use support::{load, median, script};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const AT_FULL_SPEED: Duration = Duration::from_secs(2);
const PACED: Duration = Duration::from_secs(4);

/// Throughput with a hook on every operation, as a share of that without.
const THROUGHPUT_GOAL: f64 = 0.75;
/// Lateness with a hook is at most this much over that without, or this many times it.
const LATENESS_GOAL_US: f64 = 25.0;
const LATENESS_GOAL_TIMES: f64 = 1.25;

/// A hundred operations, of which one is a close.
const FULL_SPEED: &str = r#"
bench.workload {
  name = "hooks", clients = 1,
  iteration = function(c)
    local h = c:open(("team/u%d/a.docx"):format(c.id), "rw")
    for i = 1, 98 do c:read(h, 65536, 65536) end
    c:close(h)
  end,
}
"#;

/// What is done with completions: its name, in Lua, and whether the goal holds.
const HOOKS: [(&str, &str, bool); 4] = [
    ("no hook", "", false),
    ("an empty hook", "bench.on_complete(function(kind, status, service_ns) end)", true),
    (
        "a histogram",
        "local h = bench.histogram('app.service', { unit = 'ns' })
        bench.on_complete({ fields = { 'service_ns' } }, function(ns) h:record(ns) end)",
        true,
    ),
    ("one in a hundred", "bench.on_complete({ ops = 'close' }, function() end)", true),
];

/// Operations a second in all, and whether every one must reach its hook.
const PACES: [u64; 3] = [2_000, 10_000, 100_000];

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let mut missed = Vec::new();
    println!("load average before: {}", load());
    for clients in [1, 64, 5_000] {
        full_speed(folder.path(), clients, &mut missed);
    }
    for pace in PACES {
        paced(folder.path(), pace, &mut missed);
    }
    println!("load average after: {}", load());
    for goal in &missed {
        println!("missed: {goal}");
    }
    println!("every goal reached: {}", if missed.is_empty() { "yes" } else { "NO" });
}

fn full_speed(folder: &Path, clients: u32, missed: &mut Vec<String>) {
    let path = |name: &str| folder.join(format!("full-{clients}-{}.lua", name.replace(' ', "-")));
    let inputs = HOOKS.map(|(name, hook, _)| {
        Input::Script(script(&written(path(name), &format!("{FULL_SPEED}\n{hook}")), clients))
    });
    let mut rates = HOOKS.map(|_| Vec::new());
    let mut dropped = HOOKS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (at, input) in inputs.iter().enumerate() {
            let summary = support::run(input, "sim:null", Some(AT_FULL_SPEED));
            rates[at].push(summary.totals.operations_per_s);
            dropped[at].push(dropped_share(&summary));
        }
    }
    println!(
        "\n{:<36} {:>12} {:>8} {:>6} {:>9}",
        format!("full speed, {clients} client(s)"),
        "operations/s",
        "ratio",
        "goal",
        "dropped"
    );
    // Each round by itself: what the machine did to one it did to the other.
    let bare = rates[0].clone();
    for ((name, _, has_goal), (rates, dropped)) in HOOKS.iter().zip(rates.into_iter().zip(dropped))
    {
        let ratio = median(rates.iter().zip(&bare).map(|(rate, bare)| rate / bare).collect());
        let goal = if *has_goal { format!("{THROUGHPUT_GOAL}") } else { String::new() };
        println!(
            "{name:<36} {:>12.0} {ratio:>8.2} {goal:>6} {:>8.1}%",
            median(rates),
            median(dropped) * 100.0
        );
        if *has_goal && ratio < THROUGHPUT_GOAL {
            missed.push(format!("{name}, {clients} client(s): {ratio:.2} of the throughput"));
        }
    }
}

fn paced(folder: &Path, pace: u64, missed: &mut Vec<String>) {
    const CLIENTS: u32 = 100;
    let step_ns = 1_000_000_000 / pace;
    let stream = format!(
        "bench.workload {{
            name = \"paced\", clients = {CLIENTS},
            iteration = function(c)
                c:at(c.id * {step_ns} + c.iteration * {})
                c:stat(\"f\")
            end,
        }}",
        step_ns * u64::from(CLIENTS)
    );
    let variants = &HOOKS[..3];
    let inputs: Vec<Input> = (variants.iter().enumerate())
        .map(|(at, (_, hook, _))| {
            let path = folder.join(format!("paced-{pace}-{at}.lua"));
            Input::Script(script(&written(path, &format!("{stream}\n{hook}")), CLIENTS))
        })
        .collect();
    let mut p50s = vec![Vec::new(); variants.len()];
    let mut p99s = vec![Vec::new(); variants.len()];
    let mut dropped = vec![Vec::new(); variants.len()];
    for _ in 0..ROUNDS {
        for (at, input) in inputs.iter().enumerate() {
            let summary = support::run(input, "sim:null", Some(PACED));
            let late = summary.lateness_us.as_ref().unwrap();
            p50s[at].push(late.p50);
            p99s[at].push(late.p99);
            dropped[at].push(dropped_share(&summary));
        }
    }
    println!(
        "\n{:<36} {:>8} {:>9} {:>9}",
        format!("lateness in µs, {pace} operations/s"),
        "p50",
        "p99",
        "dropped"
    );
    let bare = [median(p50s[0].clone()), median(p99s[0].clone())];
    for (at, (name, ..)) in variants.iter().enumerate() {
        let figures = [median(p50s[at].clone()), median(p99s[at].clone())];
        let [p50, p99] = figures;
        let most_dropped = dropped[at].iter().copied().fold(0.0, f64::max);
        println!("{name:<36} {p50:>8.1} {p99:>9.1} {:>8.1}%", most_dropped * 100.0);
        for (which, (with, without)) in ["p50", "p99"].iter().zip(figures.iter().zip(bare)) {
            let bound = (without + LATENESS_GOAL_US).max(without * LATENESS_GOAL_TIMES);
            if *with > bound {
                missed.push(format!("{name}, {pace}/s: {which} {with:.1} µs, not {without:.1}"));
            }
        }
        if most_dropped > 0.0 {
            missed.push(format!("{name}, {pace}/s: events were dropped"));
        }
    }
}

fn written(path: PathBuf, text: &str) -> PathBuf {
    std::fs::write(&path, text).unwrap();
    path
}

/// Of the calls hooks should have had.
fn dropped_share(summary: &Summary) -> f64 {
    let events = summary.trust.hook_events;
    events.dropped as f64 / (events.dropped + events.delivered).max(1) as f64
}
