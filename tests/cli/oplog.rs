//! `--oplog`: a line for each operation.

use std::fs;

use serde_json::Value;

use crate::program::{Place, names};
use crate::summary::number;

const SCRIPT: &str = "bench.phases { { name = 'warmup', duration = '200ms', record = false }, { name = 'steady', duration = '300ms' } }
    bench.setup(function(c) c:mkdir('d') end)
    bench.workload { name = 'w', clients = 3,
        iteration = function(c)
            local h = c:open('d/' .. c.id, 'rw', { expect = 'any' })
            c:write(h, 0, 4096)
            c:close(h)
            c:stat('none')
            c:think('5ms')
        end,
        teardown = function(c) c:delete('d/' .. c.id) end,
    }";

#[test]
fn the_log_has_a_line_for_every_operation_of_every_section_with_its_times_in_order() {
    let place = Place::with_script(SCRIPT);
    let ended = place.run("s.lua --target sim --oplog").end().exits(4);
    let summary = ended.summary();
    let lines = place.oplog("out");
    assert_eq!(number(&summary["oplog"]["written"]), lines.len() as u64);
    assert_eq!(number(&summary["oplog"]["dropped"]), 0);
    let sent = |section: &str, phase: Option<&str>| {
        let of = |line: &&Value| {
            line["section"] == section
                && line.get("phase").and_then(Value::as_str) == phase
                && ["succeeded", "failed"].contains(&line["outcome"].as_str().unwrap())
        };
        lines.iter().filter(of).count() as u64
    };
    assert_eq!(sent("setup", None), 1);
    assert_eq!(sent("teardown", None), 3);
    let phases = summary["phases"].as_array().unwrap();
    for (phase, name) in phases.iter().zip(["warmup", "steady"]) {
        assert_eq!(sent("iteration", Some(name)), number(&phase["totals"]["operations"]), "{name}");
    }
    let mut next = std::collections::HashMap::new();
    for line in &lines {
        let at = |key: &str| number(&line[key]);
        assert!(
            at("eligible_ns") >= at("due_ns") && at("issued_ns") >= at("eligible_ns"),
            "{line}"
        );
        assert!(at("attempted_ns") >= at("issued_ns"), "{line}");
        assert!(at("completed_ns") >= at("attempted_ns"), "{line}");
        let (client, seq) = line["op_id"].as_str().unwrap().split_once('-').unwrap();
        let (seq, next) = (seq.parse::<u64>().unwrap(), next.entry(client).or_insert(0));
        assert!(seq >= *next, "{line}");
        *next = seq + 1;
    }
    let stat = lines.iter().find(|line| line["type"] == "stat").unwrap();
    assert_eq!((&stat["outcome"], &stat["path"]), (&"failed".into(), &"none".into()));
    assert_eq!(stat["status"], "STATUS_OBJECT_NAME_NOT_FOUND");
    assert_eq!(number(&stat["code"]), 0xC000_0034);
    let write = lines.iter().find(|line| line["type"] == "write").unwrap();
    assert_eq!(number(&write["bytes"]), 4_096);
    assert!(write["path"].as_str().unwrap().starts_with("d/"), "of the handle: {write}");
}

#[test]
fn dropped_iterations_have_lines_of_their_own() {
    let place = Place::with_script(
        "bench.phases { { name = 'steady', duration = '300ms' } }
        bench.workload { name = 'w', pace = bench.open_loop { rate = 200, late = 'drop' },
            iteration = function(c) c:stat('', { expect = 'any' }) end }",
    );
    let line = "s.lua --target sim?latency=50ms --oplog";
    let ended = place.run(line).end().exits(0);
    let dropped =
        place.oplog("out").iter().filter(|line| line["event"] == "dropped_iteration").count();
    assert!(dropped > 0);
    assert_eq!(number(&ended.summary()["iterations"]["dropped"]), dropped as u64);
}

#[test]
fn without_the_flag_there_is_no_log_and_with_it_the_terminal_names_the_log() {
    let place = Place::with_script(SCRIPT);
    let ended = place.run("s.lua --target sim --iterations 1").end().exits(4);
    assert_eq!(ended.summary().get("oplog"), None);
    assert_eq!(names(&place.path().join("out")), ["summary.json"]);
    let line = "run s.lua --target sim --iterations 1 --allow-late --oplog --out told";
    let ended = place.smbench(line).end().exits(4);
    assert_eq!(names(&place.path().join("told")), ["ops.jsonl", "summary.json"]);
    assert!(ended.stdout.contains("\n16 lines in ops.jsonl\n"), "{}", ended.stdout);
}

#[test]
fn a_log_that_is_there_already_is_refused_before_the_run_and_kept() {
    let place = Place::with_script(SCRIPT);
    fs::create_dir(place.path().join("out")).unwrap();
    place.write("out/ops.jsonl", "mine");
    let refused = place.smbench("run s.lua --target sim --oplog --out out").end().refused(2);
    assert_eq!(
        refused,
        "--oplog: out/ops.jsonl is there already; name another directory with --out, or remove it"
    );
    assert_eq!(place.read("out/ops.jsonl"), "mine");
}

#[test]
fn a_failed_connection_leaves_no_log() {
    let place = Place::with_script(SCRIPT);
    let line = "run s.lua --target smb://127.0.0.1:1/share --oplog --out a";
    place.smbench(line).end().refused(3);
    assert_eq!(place.names(), ["s.lua"]);
}

#[test]
fn a_full_disk_is_reported_at_the_end_and_the_results_are_still_written() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c) c:stat('', { expect = 'any' }) end }",
    );
    // 20,000 lines are some megabytes, but the file may only have 64 KiB.
    let call = place.run("s.lua --target sim:null --iterations 20000 --oplog").with_file_size(128);
    let ended = call.end().exits(2);
    let summary = ended.summary();
    assert_eq!(summary["exit_reasons"][0], "results-not-kept");
    assert_eq!(number(&summary["totals"]["operations"]), 20_000);
    let (written, dropped) = (&summary["oplog"]["written"], &summary["oplog"]["dropped"]);
    assert_eq!(number(written) + number(dropped), 20_000);
    assert_eq!(place.oplog("out").len() as u64, number(written), "whole lines, and no more");
    let log = place.read("out/ops.jsonl");
    let longest = log.lines().map(|line| line.len() + 1).max().unwrap();
    assert!(log.len() + longest + 8 > 128 * 512, "all that fit: {} bytes", log.len());
    let problem = summary["problems"][0].as_str().unwrap();
    assert_eq!(
        problem,
        "out/ops.jsonl could not be written to its end, and ends with the last whole line that fits: File too large (os error 27); raise the limit on the size of files (ulimit -f), or name another directory with --out"
    );
    assert!(ended.stdout.contains(&format!("error: {problem}\n")), "{}", ended.stdout);
}
