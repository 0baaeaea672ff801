//! `smbench watch`: runs that reload their script.

use rustix::process::Signal;
use serde_json::json;

use crate::program::Place;

#[test]
fn a_watched_run_without_an_end_lasts_until_it_is_interrupted() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c) c:mkdir('d' .. c.iteration) c:think('5ms') end }",
    );
    std::fs::create_dir(place.path().join("share")).unwrap();
    let line = "watch s.lua --embedded-dir share --out out --allow-late";
    let mut running = place.smbench(line).start();
    // A run that is not watched ends after ten seconds.
    let later = place.path().join("share/d2100");
    running.until("operations after more than ten seconds", || later.exists());
    running.signal(Signal::INT);
    running.end().exits(130);
    let summary: serde_json::Value = serde_json::from_str(&place.read("out/summary.json")).unwrap();
    assert_eq!(summary["exit_reasons"], json!(["interrupted"]));
    assert!(summary["phases"][0]["duration_s"].as_f64().unwrap() > 10.0, "{summary}");
}

#[test]
fn a_document_that_can_be_read_only_once_is_refused() {
    let place = Place::new();
    let pipe = place.path().join("day.jsonl");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let message = place.smbench("watch day.jsonl").end().refused(2);
    assert!(message.contains("is not a regular file; write the document to a file"), "{message}");
}

#[test]
fn a_ready_workload_is_refused_with_how_to_get_its_file() {
    let place = Place::new();
    let ended = place.smbench("watch @scripts/office").end().exits(2);
    let advice =
        "write it to a file with 'smbench scripts show office >office.lua', and watch that";
    assert!(ended.stderr.contains(advice), "{}", ended.stderr);
}
