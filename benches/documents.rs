//! The rates and the peak memory of compiling, loading and reading back a long stream.
//!
//! `cargo bench --bench documents -- [OPERATIONS] [CLIENTS]`, by default 10,000,000 operations of
//! 5,000 clients. Each part runs in a process of its own, so that its peak memory (VmHWM) is its
//! own.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use smbench::ir::compile::{CompileBounds, compile};
use smbench::ir::document::Format;
use smbench::ir::document::{LoadOptions, load};
use smbench::ir::{OperationSource, Progress, Section};

#[path = "../tests/support/office.rs"]
mod office;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [part, path, operations, clients] = arguments.as_slice() {
        let (operations, clients) = (operations.parse().unwrap(), clients.parse().unwrap());
        return run(part, Path::new(path), operations, clients);
    }
    let argument = |index: usize, default: &str| {
        arguments.get(index).cloned().unwrap_or_else(|| default.to_string())
    };
    let (operations, clients) = (argument(0, "10000000"), argument(1, "5000"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    for part in ["compile", "load"] {
        let this = std::env::current_exe().unwrap();
        let status = Command::new(this).arg(part).arg(&path).args([&operations, &clients]).status();
        assert!(status.unwrap().success());
    }
}

fn run(part: &str, path: &Path, operations: u64, clients: u32) {
    let start = Instant::now();
    let report = |what: &str, count: u64| {
        let seconds = start.elapsed().as_secs_f64();
        let peak = office::peak_memory_kib() / 1024;
        println!(
            "{what}: {count} operations of {clients} clients, {seconds:.2} s, {:.0} operations/s, peak {peak} MiB",
            count as f64 / seconds
        );
    };
    if part == "compile" {
        let file = std::fs::File::create(path).unwrap();
        let bounds = CompileBounds { operations: Some(operations), duration_ns: None };
        let mut source = office::Office::new(clients);
        let written = compile(&mut source, bounds, Format::V2, file).unwrap();
        let bytes = path.metadata().unwrap().len();
        report("compile", written.operations);
        println!("  {} bytes an operation, ir_hash {}", bytes / operations, written.ir_hash);
        return;
    }
    let mut document = load(path, &LoadOptions::default()).unwrap();
    report("load", document.operations());
    println!("  ir_hash {}", document.header().ir_hash);
    let (mut batch, mut read, mut left) = (Vec::new(), 0, (0..clients).collect::<Vec<u32>>());
    while !left.is_empty() {
        left.retain(|client| {
            let progress = document.pull(*client, Section::Iteration, 32, &mut batch).unwrap();
            read += batch.len() as u64;
            batch.clear();
            progress == Progress::More
        });
    }
    report("load and read", read);
}
