//! Tests that memory stays bounded whatever the length of a stream. `cargo bench --bench documents`
//! measures ten million operations.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;

use smbench::ir::compile::{CompileBounds, compile};
use smbench::ir::document::{Document, Format, LoadOptions, load};
use smbench::ir::{OperationSource, Progress, Section};
use smbench::protocol::SharePath;
use smbench::transform::{
    DocumentStream, FilterStage, Globs, OperationStream, PathRule, PathTemplate, RewritePathsStage,
    SampleStage, ScaleClientsStage, StagePlace, StreamStage, TimeWarpStage, TransformedSource,
};

#[path = "support/office.rs"]
mod office;

const CLIENTS: u32 = 1_000;
const OPERATIONS: u64 = 1_000_000;
/// Maximum of the peak memory. All operations together would need twice as much.
const PEAK_KIB: u64 = 96 << 10;

/// Runs `part` in a process of its own and checks the peak memory, which is that of the process.
fn in_a_process(test: &str, part: fn(&Path)) {
    if let Ok(directory) = std::env::var("SMBENCH_MEMORY_TEST") {
        part(Path::new(&directory));
        let peak = office::peak_memory_kib();
        assert!(peak < PEAK_KIB, "peak memory {peak} KiB is over {PEAK_KIB} KiB");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env("SMBENCH_MEMORY_TEST", directory.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}

fn read_all(source: &mut dyn OperationSource) -> u64 {
    let (mut batch, mut read) = (Vec::new(), 0);
    let mut left: Vec<u32> = (0..source.header().clients()).collect();
    while !left.is_empty() {
        left.retain(|client| {
            let progress = source.pull(*client, Section::Iteration, 64, &mut batch).unwrap();
            read += batch.drain(..).count() as u64;
            progress == Progress::More
        });
    }
    read
}

/// Returns the document after five stages, which double its clients.
fn transformed(document: &Document) -> TransformedSource {
    let path = |path| SharePath::new(path).unwrap();
    let stages: [&dyn StreamStage; 5] = [
        &FilterStage {
            path: Some(Globs::new(&["team/**".to_string()]).unwrap()),
            ..FilterStage::default()
        },
        &SampleStage { fraction: 1.0 },
        &TimeWarpStage { factor: 0.5 },
        &RewritePathsStage { rules: vec![PathRule { from: path("team"), to: path("bench") }] },
        &ScaleClientsStage {
            to: 2 * CLIENTS,
            jitter_ns: 1_000,
            path: PathTemplate::new("c{k}/{path}").unwrap(),
        },
    ];
    let mut stream: Rc<dyn OperationStream> =
        Rc::new(DocumentStream::new(Arc::clone(document.checked())));
    for (number, stage) in (0..).zip(stages) {
        stream = stage.apply(stream, StagePlace { name: "stage".into(), seed: 1, number }).unwrap();
    }
    TransformedSource::new(stream)
}

#[test]
fn a_million_operations_are_compiled_loaded_read_and_transformed_in_little_memory() {
    in_a_process(
        "a_million_operations_are_compiled_loaded_read_and_transformed_in_little_memory",
        |directory| {
            let path = directory.join("x.jsonl");
            let bounds = CompileBounds { operations: Some(OPERATIONS), duration_ns: None };
            let file = File::create(&path).unwrap();
            compile(&mut office::Office::new(CLIENTS), bounds, Format::V2, file).unwrap();
            let mut document = load(&path, &LoadOptions::default()).unwrap();
            assert_eq!(read_all(&mut document), OPERATIONS);
            assert_eq!(read_all(&mut transformed(&document)), 2 * OPERATIONS);
        },
    );
}

#[test]
fn a_version_1_document_with_a_million_ids_is_loaded_in_little_memory() {
    in_a_process(
        "a_version_1_document_with_a_million_ids_is_loaded_in_little_memory",
        |directory| {
            let path = directory.join("x.json");
            let mut out = BufWriter::new(File::create(&path).unwrap());
            let head = r#"{"version":1,"metadata":{"source":"s","duration_seconds":1,"client_count":1},"clients":[{"client_id":"a","operation_count":1000000}],"operations":["#;
            write!(out, "{head}").unwrap();
            for i in 0..OPERATIONS {
                let separator = if i == 0 { "" } else { "," };
                write!(
                    out,
                    r#"{separator}{{"op_id":"operation-{i}","client_id":"a","timestamp_us":{i},"type":"Delete","path":"team/{i}"}}"#
                )
                .unwrap();
            }
            write!(out, "]}}").unwrap();
            out.into_inner().unwrap();
            let mut document = load(&path, &LoadOptions::default()).unwrap();
            assert_eq!(read_all(&mut document), OPERATIONS);
        },
    );
}
