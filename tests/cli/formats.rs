//! The output of the program in every test, checked against the schemas of its formats.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use smbench_test_support::Format;

use crate::program::Place;

const RESULTS: [&str; 2] = ["summary.json", "ops.jsonl"];

/// Returns the files of results in `directory` and below.
pub fn results(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(results(&path));
        } else if RESULTS.iter().any(|name| path.ends_with(name)) {
            found.push(path);
        }
    }
    found
}

/// Checks results that a call has written. If the program was killed, the last line of its log may
/// be incomplete.
pub fn check_results(path: &Path, was_killed: bool) {
    let text = fs::read_to_string(path).unwrap();
    if path.ends_with("summary.json") {
        return Format::Summary.check(&serde_json::from_str(&text).unwrap());
    }
    let end = text.rfind('\n').map_or(0, |last| last + 1);
    assert!(end == text.len() || was_killed, "{} ends with half a line", path.display());
    for line in text[..end].lines() {
        Format::OperationLog.check(&serde_json::from_str(line).unwrap());
    }
}

/// Checks printed JSON, if it is in a format that has a schema.
pub fn check_output(text: &str) {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    match value["schema"].as_str() {
        Some("smbench.summary/1") => Format::Summary.check(&value),
        Some("smbench.probe/1") => Format::Probe.check(&value),
        Some("smbench.targets/1") => Format::Targets.check(&value),
        Some("smbench.tree/1") => Format::Tree.check(&value),
        Some("smbench.libraries/1") => Format::Libraries.check(&value),
        Some("smbench.scripts/1") => Format::Scripts.check(&value),
        Some("smbench.explanation/1") => Format::Explanation.check(&value),
        Some(other) => panic!("{other} has no schema"),
        // A document of operations.
        None => {}
    }
}

#[test]
#[should_panic(expected = "Summary")]
fn a_call_that_leaves_what_is_no_summary_fails_its_test() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c) c:stat('', { expect = 'any' }) end }",
    );
    let spoil = "sed -i 's/\"exit_code\"/\"code\"/' out/summary.json";
    place.run("s.lua --target sim --iterations 1").then(spoil).end();
}

#[test]
#[should_panic(expected = "OperationLog")]
fn a_call_that_leaves_what_is_no_operation_log_fails_its_test() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c) c:stat('', { expect = 'any' }) end }",
    );
    let spoil = "sed -i 's/\"due_ns\"/\"due\"/' out/ops.jsonl";
    place.run("s.lua --target sim --iterations 1 --oplog").then(spoil).end();
}
