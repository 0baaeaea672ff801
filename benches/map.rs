//! The rate at which operations pass a function of `bench.map`, beside the rate at which a script
//! makes the same operations: `cargo bench --bench map`.
//!
//! The claim is a ratio of 0.5 or more. Both are measured in turns in one run, on one thread.

use std::path::Path;

use rustix::time::{ClockId, clock_gettime};
use smbench::ir::compile::{CompileBounds, compile};
use smbench::ir::document::Format;
use smbench::ir::{OperationSource, Progress, Section};
use smbench::script::{Script, ScriptOptions};

/// The same allocator as in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLIENTS: u32 = 64;
const ITERATIONS: u32 = 4_000;
const BATCH: usize = 64;
const ROUNDS: usize = 5;

const GENERATES: &str = "bench.workload { name = 'w', clients = 64, iteration = function(c, rng)
    local path = ('team/u%d/doc-%d.docx'):format(c.id, rng:zipf(500, 1.1))
    local h = c:open(path, 'rw')
    c:read(h, 0, 65536)
    c:write(h, rng:int(0, 15) * 4096, 4096)
    c:close(h)
    c:think(rng:exp(5e7))
end }";

/// Functions, from the least to one that looks at each operation, changes some and draws numbers.
const MAPS: [(&str, &str); 3] = [
    ("emits each operation", "emit(op)"),
    ("changes the length of reads", "if op.kind == 'read' then op.length = 4096 end emit(op)"),
    (
        "looks at kind and path, draws lengths, adds a stat to each open",
        "local kind = op.kind
        if kind == 'open' and op.path ~= 'none' then emit(op) emit:stat(op.path) return end
        if kind == 'read' then op.length = rng:int(1, 65536) end
        emit(op)",
    ),
];

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let generates = write(directory.path(), "generates.lua", GENERATES);
    let generates = ScriptOptions { iterations: Some(ITERATIONS), ..options(&generates) };
    let document = directory.path().join("day.jsonl");
    let file = std::fs::File::create(&document).expect("a file");
    let mut script = Script::load(&generates).expect("a script");
    compile(&mut script, CompileBounds::default(), Format::V2, std::io::BufWriter::new(file))
        .expect("a document");
    for (name, body) in MAPS {
        let text = format!(
            "bench.transform(bench.load('day.jsonl'), {{ bench.map(function(op, emit, rng) {body} end) }})"
        );
        let maps = options(&write(directory.path(), "maps.lua", &text));
        let (mut made, mut mapped) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            made.push(rate(&generates));
            mapped.push(rate(&maps));
        }
        let [made, mapped] = [made, mapped].map(median);
        println!(
            "{name}: {mapped:.0} operations/s of a processor, {:.2} of the {made:.0} that the script makes",
            mapped / made
        );
    }
}

fn write(directory: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("a script");
    path
}

fn options(path: &Path) -> ScriptOptions {
    ScriptOptions { location: path.into(), ..ScriptOptions::default() }
}

/// Returns the operations made for each second of a processor. A document is loaded before the time
/// begins.
fn rate(options: &ScriptOptions) -> f64 {
    let mut script = Script::load(options).expect("a script");
    let (mut batch, mut left) = (Vec::new(), (0..CLIENTS).collect::<Vec<u32>>());
    let (started, mut made) = (processor_time(), 0);
    while !left.is_empty() {
        left.retain(|client| {
            batch.clear();
            let progress = script.pull(*client, Section::Iteration, BATCH, &mut batch);
            made += batch.len();
            progress.expect("operations") == Progress::More
        });
    }
    made as f64 / (processor_time() - started)
}

/// Returns the time that this thread has spent on a processor, in seconds.
fn processor_time() -> f64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
