//! The rate of a chain of stages beside that of the document alone, and the peak memory of a long
//! stream through five stages.
//!
//! `cargo bench --bench transforms -- [OPERATIONS] [CLIENTS]`, by default 10,000,000 operations of
//! 5,000 clients. The rates are measured with a tenth of the operations, several times in turns, and
//! the best counts. The peak memory (VmHWM) is that of a process of its own.

use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use smbench::ir::compile::{CompileBounds, compile};
use smbench::ir::document::{CheckedDocument, Document, Format, LoadOptions, load};
use smbench::ir::{OperationSource, OperationType, Progress, Section};
use smbench::protocol::SharePath;
use smbench::transform::{
    DocumentStream, FilterStage, Globs, MixRule, MixStage, OperationStream, PathRule, PathTemplate,
    RepeatStreamStage, RewritePathsStage, SampleStage, ScaleClientsStage, ShiftStage, StagePlace,
    StreamStage, TimeWarpStage, TransformedSource,
};

#[path = "../tests/support/office.rs"]
mod office;

/// The same allocator as in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
/// Minimum rate of three stages as a share of the rate of the document alone.
const LEAST_RATIO: f64 = 0.4;
const PEAK_MIB: u64 = 200;

const THREE: &str = "filter, time_warp, rewrite_paths";

type Stages = Vec<Box<dyn StreamStage>>;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["rates", path] => return rates(Path::new(path)),
        ["memory", path] => return memory(Path::new(path)),
        _ => {}
    }
    let argument = |index: usize, default: u64| {
        arguments.get(index).map_or(default, |argument| argument.parse().unwrap())
    };
    let (operations, clients) = (argument(0, 10_000_000), argument(1, 5_000) as u32);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    for (part, operations) in [("rates", operations / 10), ("memory", operations)] {
        let file = std::fs::File::create(&path).unwrap();
        let bounds = CompileBounds { operations: Some(operations), duration_ns: None };
        compile(&mut office::Office::new(clients), bounds, Format::V2, file).unwrap();
        let this = std::env::current_exe().unwrap();
        assert!(Command::new(this).arg(part).arg(&path).status().unwrap().success());
    }
}

/// Reads all operations of the iterations in batches as a run does. Returns their number.
fn read_all(source: &mut dyn OperationSource) -> u64 {
    let (mut batch, mut read) = (Vec::new(), 0);
    let mut left: Vec<u32> = (0..source.header().clients()).collect();
    while !left.is_empty() {
        left.retain(|client| {
            let progress = source.pull(*client, Section::Iteration, 32, &mut batch).unwrap();
            read += batch.len() as u64;
            batch.clear();
            progress == Progress::More
        });
    }
    read
}

/// Returns the processor time of this thread in seconds. Other programs do not count.
fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn stream(document: &Arc<CheckedDocument>, stages: &Stages) -> Rc<dyn OperationStream> {
    let mut stream: Rc<dyn OperationStream> = Rc::new(DocumentStream::new(Arc::clone(document)));
    for (number, stage) in (0..).zip(stages) {
        let place = StagePlace { name: "stage".into(), seed: 1, number };
        stream = stage.apply(stream, place).unwrap();
    }
    stream
}

fn globs(pattern: &str) -> Globs {
    Globs::new(&[pattern.to_string()]).unwrap()
}

fn filter() -> Box<dyn StreamStage> {
    Box::new(FilterStage {
        operations: Some(OperationType::ALL.to_vec()),
        path: Some(globs("*.docx")),
        ..FilterStage::default()
    })
}

fn time_warp() -> Box<dyn StreamStage> {
    Box::new(TimeWarpStage { factor: 0.5 })
}

fn rewrite_paths() -> Box<dyn StreamStage> {
    let path = |path| SharePath::new(path).unwrap();
    Box::new(RewritePathsStage {
        rules: vec![PathRule { from: path("team"), to: path("bench/team") }],
    })
}

fn mix() -> Box<dyn StreamStage> {
    Box::new(MixStage { rules: vec![MixRule { path: globs("*.docx"), weight: 2.0 }] })
}

fn scale_clients(to: u32) -> Box<dyn StreamStage> {
    let path = PathTemplate::new("clone{k}/{path}").unwrap();
    Box::new(ScaleClientsStage { to, jitter_ns: 1_000_000_000, path })
}

fn rates(path: &Path) {
    let mut document: Document = load(path, &LoadOptions::default()).unwrap();
    let checked = Arc::clone(document.checked());
    let (operations, clients) = (checked.operations(), checked.header().clients());
    let shift = || Box::new(ShiftStage { by_ns: 1_000, clients: None });
    let nothing = FilterStage { path: Some(globs("*.xlsx")), ..FilterStage::default() };
    let chains: [(&str, Stages); 11] = [
        (THREE, vec![filter(), time_warp(), rewrite_paths()]),
        ("none", vec![]),
        ("filter", vec![filter()]),
        ("time_warp", vec![time_warp()]),
        ("rewrite_paths", vec![rewrite_paths()]),
        ("shift", vec![shift()]),
        ("sample of a half", vec![Box::new(SampleStage { fraction: 0.5 })]),
        ("mix with a weight of 2", vec![mix()]),
        ("scale_clients to twice as many", vec![scale_clients(2 * clients)]),
        ("repeat_stream twice", vec![Box::new(RepeatStreamStage { times: 2, period_ns: None })]),
        ("filter that matches nothing", vec![Box::new(nothing)]),
    ];
    let mut best = [0.0_f64; 11];
    let mut alone = 0.0_f64;
    // In turns, so that all have the same conditions.
    for _ in 0..ROUNDS {
        document.rewind();
        let start = processor_seconds();
        let read = read_all(&mut document);
        alone = alone.max(read as f64 / (processor_seconds() - start));
        for ((_, stages), best) in chains.iter().zip(&mut best) {
            let start = processor_seconds();
            let made = read_all(&mut TransformedSource::new(stream(&checked, stages)));
            // A stage that drops operations has read them all.
            let passed = made.max(operations) as f64;
            *best = best.max(passed / (processor_seconds() - start));
        }
    }
    println!("{operations} operations of {clients} clients; operations a second of processor time");
    println!("{:<36} {alone:>10.0}", "document alone");
    for ((name, _), rate) in chains.iter().zip(best) {
        let ratio = rate / alone;
        println!("{name:<36} {rate:>10.0}  {ratio:.2}");
    }
    let ratio = best[0] / alone;
    assert!(ratio >= LEAST_RATIO, "{THREE}: {ratio:.2} of the rate, not {LEAST_RATIO}");
}

fn memory(path: &Path) {
    let document = load(path, &LoadOptions::default()).unwrap();
    let checked = Arc::clone(document.checked());
    drop(document);
    let loaded = office::peak_memory_kib() / 1024;
    let shift = Box::new(ShiftStage { by_ns: 1_000, clients: None });
    let to = 2 * checked.header().clients();
    let five: Stages = vec![filter(), time_warp(), rewrite_paths(), shift, scale_clients(to)];
    let start = Instant::now();
    let read = read_all(&mut TransformedSource::new(stream(&checked, &five)));
    let seconds = start.elapsed().as_secs_f64();
    let peak = office::peak_memory_kib() / 1024;
    println!(
        "five stages: {} operations of {} clients become {read} of {to}, {seconds:.2} s, {:.0} operations/s, peak {peak} MiB (loading alone: {loaded} MiB)",
        checked.operations(),
        checked.header().clients(),
        read as f64 / seconds
    );
    assert!(peak < PEAK_MIB, "peak memory {peak} MiB is over {PEAK_MIB} MiB");
}
