//! The cost of oplocks and leases to a client, and its time to answer a break: `cargo bench --bench
//! breaks`
//!
//! The first part opens and closes files that nobody else opens, at full speed, on a simulator that
//! answers at once, with and without an oplock or a lease, in turns. It measures processor time, on
//! which a busy host has little effect. The time includes the cost of the simulator's own model of
//! oplocks and leases. Linux only.
//!
//! In the second part, clients in pairs break each other's lease, on the simulator and on Samba. It
//! measures the time from the notice of a break to its acknowledgement, all of which is this
//! program's own, with as many operations in flight as there are clients.
#![forbid(unsafe_code)]

use std::path::Path;
use std::time::Duration;

use smbench::observability::Summary;
use smbench::run::Input;
use smbench_test_support::{Samba, Settings};

mod support;

use support::{load, median, script};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
const AT_FULL_SPEED: Duration = Duration::from_secs(1);
const CONTENDED: Duration = Duration::from_secs(4);

/// Highest additional cost of an open and its close with an oplock or a lease.
const HOLDING_GOAL_US: f64 = 12.0;
/// Highest median of the time from a notice to its answer.
const ANSWER_GOAL_US: f64 = 200.0;

const WAYS: [(&str, &str); 3] = [
    ("nothing", "nil"),
    ("a batch oplock", "{ requested_oplock = 'batch' }"),
    ("a lease of RWH", "{ lease = 'RWH' }"),
];

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let mut reached = true;
    println!("load average before: {}", load());
    for clients in [1, 64, 5_000] {
        reached &= alone(directory.path(), clients);
    }
    println!(
        "\n{:<24} {:>9} {:>10} {:>12} {:>12} {:>12}",
        "in pairs", "clients", "breaks/s", "answer p50", "p99", "max (us)"
    );
    for clients in [2, 64, 1_000] {
        reached &= in_pairs(directory.path(), "sim?latency=1ms", "the simulator", clients);
    }
    if let Some(samba) = Samba::start(Settings::default()) {
        for clients in [2, 64] {
            reached &= in_pairs(directory.path(), &samba.url(), "Samba", clients);
        }
    }
    println!("load average after: {}", load());
    println!(
        "holding at most {HOLDING_GOAL_US} us, half the answers within {ANSWER_GOAL_US} us: {}",
        if reached { "yes" } else { "NO" }
    );
}

/// Returns whether the cost of an oplock and of a lease is within the goal.
fn alone(directory: &Path, clients: u32) -> bool {
    let mut rounds: Vec<[f64; WAYS.len()]> = Vec::new();
    for round in 0..ROUNDS {
        let mut costs = [0.0; WAYS.len()];
        for turn in 0..WAYS.len() {
            // Each way comes first in one of the rounds.
            let which = (turn + round) % WAYS.len();
            let own = format!(
                "bench.workload {{ name = 'alone', clients = 1, iteration = function(c)
                    c:close(c:open(('f%d'):format(c.id), 'rw', {}))
                end }}",
                WAYS[which].1
            );
            let before_s = processor_s();
            let summary = run(directory, &own, clients, "sim?latency=0", AT_FULL_SPEED);
            let spent_us = (processor_s() - before_s) * 1e6;
            costs[which] = spent_us / (summary.totals.operations as f64 / 2.0);
        }
        rounds.push(costs);
    }
    let alone_us = median(rounds.iter().map(|costs| costs[0]).collect());
    println!("\n{clients} clients alone, an open and its close of {}: {alone_us:.1} us", WAYS[0].0);
    (1..WAYS.len()).fold(true, |reached, which| {
        let more_us = median(rounds.iter().map(|costs| costs[which] - costs[0]).collect());
        println!("  {:<22} {more_us:.1} us more", WAYS[which].0);
        reached && more_us <= HOLDING_GOAL_US
    })
}

/// Returns the processor time of this process so far, to a hundredth of a second.
fn processor_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The fields utime and stime, counted from after the name (proc(5)).
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// Returns whether the median time to answer a break is within the goal.
fn in_pairs(directory: &Path, target: &str, name: &str, clients: u32) -> bool {
    let pairs = "bench.workload { name = 'pairs', clients = 2, iteration = function(c, rng)
        local h = c:open(('f%d'):format(c.id // 2), 'rw', { lease = 'RWH' })
        c:write(h, 0, 4096)
        c:think(rng:exp(2e7))
        c:close(h)
    end }";
    let summary = run(directory, pairs, clients, target, CONTENDED);
    let Some((lease, answers)) =
        summary.breaks.and_then(|breaks| Some((breaks.counts.lease, breaks.waited_us?)))
    else {
        println!("{name:<24} {clients:>9} no break was acknowledged");
        return false;
    };
    let (rate, p50) = (lease as f64 / CONTENDED.as_secs_f64(), answers.tail.p50);
    let (p99, max) = (answers.tail.p99, answers.tail.max);
    println!("{name:<24} {clients:>9} {rate:>10.0} {p50:>12.1} {p99:>12.1} {max:>12.1}");
    p50 <= ANSWER_GOAL_US
}

fn run(directory: &Path, text: &str, clients: u32, target: &str, duration: Duration) -> Summary {
    let path = directory.join("breaks.lua");
    std::fs::write(&path, text).unwrap();
    support::run(&Input::Script(script(&path, clients)), target, Some(duration))
}
