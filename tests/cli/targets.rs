//! The features that a stream needs, checked against those of a target.

use serde_json::json;

use crate::program::Place;
use crate::summary::number;

const NEEDS_AN_OPLOCK: &str = r#"bench.workload { name = "w", iteration = function(c)
    c:stat("")
    c:close(c:open("a", "rw", { requested_oplock = "batch" }))
end }"#;

#[test]
fn a_stream_that_needs_more_than_the_target_has_is_refused_before_the_run() {
    let place = Place::with_script(NEEDS_AN_OPLOCK);
    let message = "operation 0-1 needs requested_oplock (fidelity mode 2), which the sim:null backend does not have; --degrade goes on without it";
    place.smbench("compile s.lua -o x.jsonl --iterations 3").end().exits(0);
    assert_eq!(place.run("x.jsonl --target sim:null").end().refused(2), message);
    assert_eq!(place.run("s.lua --target sim:null --iterations 3").end().refused(2), message);
}

#[test]
fn a_need_that_shows_late_breaks_the_run_off_with_what_was_measured() {
    let place = Place::with_script(
        r#"
local P = bench.params { late = { type = "int", default = 0 } }
bench.workload { name = "w", clients = 1, iteration = function(c)
  if c.iteration < P.late then
    c:stat("")
  else
    c:open("f", "rw", { requested_oplock = "batch" })
  end
end }
"#,
    );
    let run = place.run("s.lua --target sim:null --iterations 1500 -p late=1200");
    let (problem, summary) = run.end().broke_off(2);
    assert!(problem.starts_with("operation 0-1200 needs requested_oplock"), "{problem}");
    // The cut discards what was still queued.
    let operations = number(&summary["totals"]["operations"]);
    assert!((1_000..=1_200).contains(&operations), "{operations}");
    assert_eq!(summary["trust"]["verdict"], "interrupted");
}

#[test]
fn degrading_goes_on_without_it_and_counts_what_was_lost() {
    let place = Place::with_script(NEEDS_AN_OPLOCK);
    let summary =
        place.run("s.lua --target sim:null --iterations 3 --degrade").end().exits(0).summary();
    assert_eq!(number(&summary["totals"]["degraded"]), 3);
    assert_eq!(number(&summary["totals"]["operations"]), 9);
    let whole = place.run_to("whole", "s.lua --target sim --iterations 3").end().exits(0);
    assert_eq!(number(&whole.summary()["totals"]["degraded"]), 0);
}

#[test]
fn too_few_open_files_for_the_connections_are_reported_before_any_is_made() {
    let place = Place::with_script(NEEDS_AN_OPLOCK);
    let call = place.run("s.lua --target embedded --clients 500").with_open_files(200);
    assert_eq!(
        call.end().refused(2),
        "this run needs 1128 open files and the limit is 200: raise it with `ulimit -n 1128` as root, or use fewer clients"
    );
}

#[test]
fn a_simulator_that_is_described_is_slow_and_fails_as_described() {
    let place = Place::with_script(
        "bench.workload { name = 'w', clients = 4, iteration = function(c) c:stat('') end }",
    );
    let target = "sim?latency=uniform(2ms,4ms)&fail=DISK_FULL:0.25";
    let line = format!("s.lua --iterations 100 --seed 7 --target {target}");
    let summary = place.run(&line).end().exits(4).summary();
    assert_eq!(summary["target"]["url"], target);
    assert_eq!(number(&summary["totals"]["operations"]), 400);
    let failed = number(&summary["totals"]["failed"]);
    assert!((66..134).contains(&failed), "{failed} of 400, four deviations around 100");
    let statuses = json!({ "STATUS_DISK_FULL": failed, "STATUS_SUCCESS": 400 - failed });
    assert_eq!(summary["operations"]["stat"]["statuses"], statuses);
    assert!(summary["operations"]["stat"]["service_us"]["min"].as_f64().unwrap() >= 2_000.0);
    // The seed decides which operations fail, so the same number fails again.
    let again = place.run_to("again", &line).end().exits(4).summary();
    assert_eq!(number(&again["totals"]["failed"]), failed);
}

#[test]
fn a_simulator_that_goes_away_is_found_again_when_it_is_back() {
    let place = Place::with_script(
        "bench.workload { name = 'w', clients = 4, iteration = function(c) c:stat('') end }",
    );
    // The stall holds an operation of every client in flight when the outage begins, even
    // on a busy host: a client without one would connect again and lose nothing.
    let line = "s.lua --duration 2s --target sim?latency=5ms&stall=200ms@900ms&outage=300ms@1s";
    let summary = place.run(line).end().exits(4).summary();
    assert_eq!(number(&summary["totals"]["reconnects"]), 4);
    assert_eq!(number(&summary["totals"]["failed"]), 4);
    assert_eq!(summary["failures"][0]["status"], "CONNECTION_LOST");
}

#[test]
fn a_simulator_that_is_described_wrongly_is_refused_with_what_to_write() {
    let place = Place::with_script(NEEDS_AN_OPLOCK);
    for (target, message) in [
        (
            "sim?latancy=5ms",
            "--target: sim has no setting \"latancy\" (did you mean \"latency\"?): the settings are latency, stall, outage and fail",
        ),
        (
            "sim?fail=DISKFULL:0.1",
            "--target: sim: fail=DISKFULL:0.1: unknown status \"DISKFULL\" (did you mean \"DISK_FULL\"?); write fail=STATUS_SHARING_VIOLATION:0.01 for one operation in a hundred",
        ),
    ] {
        assert_eq!(place.run(&format!("s.lua --target {target}")).end().refused(2), message);
    }
}

#[test]
fn targets_that_do_not_exist_are_refused_with_those_that_do() {
    let place = Place::with_script(NEEDS_AN_OPLOCK);
    let known =
        "use embedded, smb://user@host[:port]/share[/directory], sim[?latency=5ms&...] or sim:null";
    for (target, message) in [
        ("nas", format!("--target: unknown target \"nas\": {known}")),
        ("mount:/mnt", format!("--target: the target mount is not in this version: {known}")),
    ] {
        assert_eq!(place.run(&format!("s.lua --target {target}")).end().refused(2), message);
    }
    for target in ["smb://", "smb://nas", "smb://nas:99999/x", "smb://nas/a/../b", "smb://[::1/x"] {
        let message = place.run(&format!("s.lua --target {target}")).end().refused(2);
        assert!(message.starts_with("--target: "), "{message}");
    }
    place.write("file", "");
    for directory in ["nowhere", "file"] {
        let message = place.run(&format!("s.lua --embedded-dir {directory}")).end().refused(3);
        assert!(
            message.starts_with(&format!(
                "the embedded server cannot use the directory {directory}: "
            ))
        );
    }
}

#[test]
fn a_lease_and_an_oplock_are_asked_for_where_the_client_stack_can() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c)
            c:close(c:open('a', 'rw', { lease = 'RWH' }))
            c:close(c:open('b', 'rw', { requested_oplock = 'batch', durable = true }))
        end }",
    );
    let summary = place.run("s.lua --target embedded --iterations 2").end().exits(0).summary();
    assert_eq!(number(&summary["totals"]["operations"]), 8);
    assert_eq!(number(&summary["totals"]["degraded"]), 0);
    assert_eq!(number(&summary["target"]["mode"]), 2);
}
