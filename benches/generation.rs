//! How fast one machine makes operations: `cargo bench --bench generation`.

use std::time::{Duration, Instant};

use smbench::ir::{OperationSource, Section};
use smbench::script::{ClientsOverride, Script, ScriptOptions};

const SCRIPTS: &[(&str, &str)] = &[
    (
        "bare reads",
        "iteration = function(c)
            local h = c:open('f', 'r')
            for i = 1, 1000 do c:read(h, 0, 4096) end
            c:close(h)
        end",
    ),
    (
        "realistic: formatted path, four operations, think time",
        "iteration = function(c, rng)
            local path = ('team/u%d/doc-%d.docx'):format(c.id, rng:int(1, 500))
            local h = c:open(path, 'rw')
            c:read(h, 0, 65536)
            c:write(h, rng:int(0, 15) * 4096, 4096)
            c:close(h)
            c:think(rng:exp(5e7))
        end",
    ),
    (
        "with options",
        "iteration = function(c) c:stat('team/a.docx', { expect = 'OBJECT_NAME_NOT_FOUND' }) end",
    ),
];

const CLIENTS: u32 = 64;
const ROUND: Duration = Duration::from_secs(1);

fn main() {
    for (name, iteration) in SCRIPTS {
        for batch in [16, 64] {
            let mut rates: Vec<f64> = (0..5).map(|_| rate(iteration, batch)).collect();
            rates.sort_by(f64::total_cmp);
            println!("{name}, batches of {batch}: {:.0} operations/s (median of 5)", rates[2]);
        }
    }
    memory(100_000);
}

/// What many clients cost, each asked for its first batch.
fn memory(clients: u32) {
    let before = resident_kib();
    let mut script = load(SCRIPTS[1].1, clients);
    let mut operations = Vec::new();
    for client in 0..clients {
        operations.clear();
        script.pull(client, Section::Iteration, 2, &mut operations).expect("operations are made");
    }
    if let (Some(before), Some(after)) = (before, resident_kib()) {
        println!("{clients} clients: {} MiB", after.saturating_sub(before) / 1024);
    }
}

/// Linux only.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Operations per second of one thread.
fn rate(iteration: &str, batch: usize) -> f64 {
    let mut script = load(iteration, CLIENTS);
    let mut operations = Vec::with_capacity(batch);
    let mut made = 0;
    let started = Instant::now();
    while started.elapsed() < ROUND {
        for client in 0..CLIENTS {
            operations.clear();
            script
                .pull(client, Section::Iteration, batch, &mut operations)
                .expect("operations are made");
            made += operations.len();
        }
    }
    made as f64 / started.elapsed().as_secs_f64()
}

fn load(iteration: &str, clients: u32) -> Script {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("bench.lua");
    let text = format!("bench.workload {{ name = 'w', {iteration} }}");
    std::fs::write(&path, text).expect("the script is written");
    let clients = vec![ClientsOverride { workload: None, clients }];
    let options = ScriptOptions { path, clients, ..ScriptOptions::default() };
    Script::load(&options).expect("the script loads")
}
