//! The rate at which scripts make operations, on one thread and on several, and the memory of many
//! clients: `cargo bench --bench generation`.
//!
//! `cargo bench --bench generation -- realistic 1` runs only the scripts whose names begin with
//! `realistic`, on one thread.

use rustix::time::{ClockId, clock_gettime};
use std::sync::{Barrier, mpsc};
use std::time::{Duration, Instant};

use smbench::ir::{ClientPartition, OperationSource, Section};
use smbench::script::{ClientsOverride, Script, ScriptOptions};

/// The same allocator as in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        "realistic: formatted path, zipf, four operations, think time",
        "iteration = function(c, rng)
            local path = ('team/u%d/doc-%d.docx'):format(c.id, rng:zipf(500, 1.1))
            local h = c:open(path, 'rw')
            c:read(h, 0, 65536)
            c:write(h, rng:int(0, 15) * 4096, 4096)
            c:close(h)
            c:think(rng:exp(5e7))
        end",
    ),
    (
        "options: one status expected",
        "iteration = function(c) c:stat('team/a.docx', { expect = 'OBJECT_NAME_NOT_FOUND' }) end",
    ),
    (
        "options: a list of statuses, a payload, two fields of the open",
        "iteration = function(c)
            local h = c:open('team/a.docx', 'rw', {
                expect = { 'SUCCESS', 'SHARING_VIOLATION' },
                disposition = 'OPEN_IF',
                share_mode = 'READ|WRITE',
            })
            c:read(h, 0, 65536, { expect = { 'SUCCESS', 'END_OF_FILE' } })
            c:write(h, 0, 4096, { payload = 'zero' })
            c:close(h, { expect = 'any' })
        end",
    ),
];

const CLIENTS: u32 = 64;
const BATCH: usize = 64;
const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;

fn main() {
    let named: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let threads: Vec<u32> = match named.get(1) {
        Some(threads) => vec![threads.parse().expect("a number of threads")],
        None => vec![1, 2, 4],
    };
    for (name, iteration) in SCRIPTS {
        if named.first().is_some_and(|named| !name.starts_with(named.as_str())) {
            continue;
        }
        // Round by round, so that other load on the host affects all thread counts alike.
        let mut rounds: Vec<Vec<Rate>> = vec![Vec::new(); threads.len()];
        for _ in 0..ROUNDS {
            for (rounds, threads) in rounds.iter_mut().zip(&threads) {
                rounds.push(rate(iteration, *threads));
            }
        }
        let rates: Vec<Rate> = rounds.into_iter().map(median).collect();
        let first = rates[0];
        for (threads, Rate { by_clock, by_processor }) in threads.iter().zip(&rates) {
            println!(
                "{name}, threads: {threads}: {by_clock:.0} operations/s ({:.2} times the first), {by_processor:.0} for each second of a processor ({:.2} times the first; median of {ROUNDS})",
                by_clock / first.by_clock,
                by_processor / first.by_processor,
            );
        }
    }
    if named.first().is_some_and(|named| named == MEMORY) {
        memory(100_000, threads[0]);
    }
    if named.is_empty() {
        // Each runs in a process of its own, because an allocator keeps memory that was freed.
        for threads in ["1", "2", "4", "16"] {
            let program = std::env::current_exe().expect("the program knows where it is");
            let _ = std::process::Command::new(program).args([MEMORY, threads]).status();
        }
    }
}

fn median(mut rounds: Vec<Rate>) -> Rate {
    rounds.sort_by(|one, other| one.by_clock.total_cmp(&other.by_clock));
    rounds[rounds.len() / 2]
}

/// The name of the measurement that is not a script's.
const MEMORY: &str = "memory";

/// Prints the memory of many clients, each of which has made its first batch.
fn memory(clients: u32, threads: u32) {
    let before = resident_kib();
    let (made, waits) = (Barrier::new(threads as usize + 1), Barrier::new(threads as usize + 1));
    std::thread::scope(|scope| {
        for part in 0..threads {
            let (made, waits) = (&made, &waits);
            scope.spawn(move || {
                let mut script = load(SCRIPTS[1].1, clients, ClientPartition { part, of: threads });
                let mut operations = Vec::new();
                for client in (part..clients).step_by(threads as usize) {
                    operations.clear();
                    script
                        .pull(client, Section::Iteration, 2, &mut operations)
                        .expect("operations are made");
                }
                made.wait();
                waits.wait();
            });
        }
        made.wait();
        if let (Some(before), Some(after)) = (before, resident_kib()) {
            let grown = after.saturating_sub(before) / 1024;
            println!("{clients} clients, threads: {threads}: {grown} MiB");
        }
        waits.wait();
    });
}

/// Returns the resident memory of this process, in KiB. Linux only.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Operations per second: by the clock, for all threads together, which on a busy host depends on
/// the processor time left for them; and by processor time, for one thread.
#[derive(Clone, Copy)]
struct Rate {
    by_clock: f64,
    by_processor: f64,
}

fn rate(iteration: &str, threads: u32) -> Rate {
    let (tell, rates) = mpsc::channel();
    let start = Barrier::new(threads as usize);
    std::thread::scope(|scope| {
        for part in 0..threads {
            let (tell, start) = (tell.clone(), &start);
            scope.spawn(move || {
                let mut script = load(iteration, CLIENTS, ClientPartition { part, of: threads });
                start.wait();
                let _ = tell.send(rate_of(&mut script, part, threads));
            });
        }
    });
    let all: Vec<Rate> = rates.try_iter().collect();
    let by_processor: f64 = all.iter().map(|rate| rate.by_processor).sum();
    Rate {
        by_clock: all.iter().map(|rate| rate.by_clock).sum(),
        by_processor: by_processor / f64::from(threads),
    }
}

/// Returns the time that this thread has spent on a processor, in seconds.
fn processor_time() -> f64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

fn rate_of(script: &mut Script, part: u32, threads: u32) -> Rate {
    let mut operations = Vec::with_capacity(BATCH);
    let mut made = 0;
    let (started, used) = (Instant::now(), processor_time());
    while started.elapsed() < ROUND {
        for client in (part..CLIENTS).step_by(threads as usize) {
            operations.clear();
            script
                .pull(client, Section::Iteration, BATCH, &mut operations)
                .expect("operations are made");
            made += operations.len();
        }
    }
    let made = made as f64;
    Rate {
        by_clock: made / started.elapsed().as_secs_f64(),
        by_processor: made / (processor_time() - used),
    }
}

fn load(iteration: &str, clients: u32, partition: ClientPartition) -> Script {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("bench.lua");
    let text = format!("bench.workload {{ name = 'w', {iteration} }}");
    std::fs::write(&path, text).expect("the script is written");
    let clients = vec![ClientsOverride { workload: None, clients }];
    let options = ScriptOptions { location: path.into(), clients, ..ScriptOptions::default() };
    Script::load_partition(&options, partition).expect("the script loads")
}
