//! The verdict on trust in the figures, and the likely cause if they cannot be trusted.

use serde_json::{Value, json};

use crate::program::Place;
use crate::summary::number;

fn reason(summary: &Value, beginning: &str) -> String {
    let reasons = summary["trust"]["reasons"].as_array().unwrap();
    let found = reasons.iter().filter_map(Value::as_str).find(|text| text.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no {beginning:?} in {reasons:?}")).to_string()
}

/// A script of many clients that issue operations without a pause.
const BUSY: &str = r#"bench.workload { name = "w", clients = 50, iteration = function(c)
    c:stat("")
end }"#;

/// Returns a document with recorded times, all of them 0, in which each client opens and closes its
/// file again and again.
fn everything_at_once(clients: usize, operations: usize) -> String {
    let listed: Vec<Value> = (0..clients)
        .map(|client| json!({ "client_id": format!("c{client}"), "operation_count": operations }))
        .collect();
    let operation = |client: usize, index: usize| {
        let mut operation = json!({
            "op_id": format!("c{client}-{index}"), "client_id": format!("c{client}"),
            "timestamp_us": 0, "type": "Close", "handle_ref": "h",
        });
        if index.is_multiple_of(2) {
            operation["type"] = "Open".into();
            operation["path"] = format!("f{client}").into();
            operation["mode"] = "ReadWrite".into();
        }
        operation
    };
    let all: Vec<Value> = (0..operations)
        .flat_map(|index| (0..clients).map(move |client| operation(client, index)))
        .collect();
    json!({
        "version": 1,
        "metadata": { "source": "day.pcap", "duration_seconds": 1.0, "client_count": clients },
        "clients": listed,
        "operations": all,
    })
    .to_string()
}

#[test]
fn a_low_limit_exits_5_and_is_named_with_what_to_do() {
    let place = Place::with_script(BUSY);
    let ended = place.judged("s.lua --target sim --limit 1 --iterations 20", "out").end().exits(5);
    let summary = ended.summary();
    assert_eq!(summary["exit_reasons"], json!(["generator-limited"]));
    assert_eq!(summary["trust"]["verdict"], "generator-limited");
    assert_eq!(summary["trust"]["cause"], "limit");
    assert_eq!(summary["run"]["settings"], json!({ "time_scale": 1.0, "limit": 1 }));
    let cause = reason(&summary, "likely cause: --limit 1: ");
    assert!(cause.ends_with("of the delay was spent waiting for a permit"), "{cause}");
    for text in [
        ", limit 1\n",
        "trust: generator-limited\n",
        &format!("  {cause}\n"),
        "  raise --limit, or use fewer clients or more think time; --allow-late accepts it\n",
        "exit code 5: generator-limited\n",
    ] {
        assert!(ended.stdout.contains(text), "{text:?} not in {}", ended.stdout);
    }
}

#[test]
fn an_allowed_late_generator_exits_0_and_is_still_reported() {
    let place = Place::with_script(BUSY);
    let ended = place.run("s.lua --target sim --limit 1 --iterations 20").end().exits(0);
    let summary = ended.summary();
    assert_eq!(summary["exit_reasons"], json!([]));
    assert_eq!(summary["trust"]["verdict"], "generator-limited");
    assert_eq!(summary["trust"]["cause"], "limit");
    assert!(ended.stdout.contains("trust: generator-limited\n  "), "{}", ended.stdout);
    assert!(ended.stdout.contains("likely cause: --limit 1: "), "{}", ended.stdout);
    assert!(!ended.stdout.contains("exit code"), "{}", ended.stdout);
}

#[test]
fn a_low_limit_is_named_where_the_times_are_recorded_too() {
    let place = Place::new();
    place.write("d.json", everything_at_once(200, 4));
    let ended = place.judged("d.json --target sim --limit 1", "out").end().exits(5);
    let summary = ended.summary();
    assert_eq!(summary["trust"]["cause"], "limit");
    reason(&summary, "likely cause: --limit 1: ");
}

#[test]
fn a_script_that_computes_too_much_exits_5_and_the_generation_is_named() {
    let place = Place::with_script(
        r#"bench.workload { name = "w", clients = 4, iteration = function(c)
            local sum = 0
            for i = 1, 50000 do sum = sum + i % 7 end
            c:stat("")
        end }"#,
    );
    let ended = place.judged("s.lua --target sim --duration 1s", "out").end().exits(5);
    let summary = ended.summary();
    assert_eq!(summary["trust"]["cause"], "generation");
    let cause = reason(&summary, "likely cause: the stream: ");
    assert!(cause.contains("operations that were not generated yet"), "{cause}");
    assert!(ended.stdout.contains("an iteration that computes less"), "{}", ended.stdout);
}

#[test]
fn a_slow_server_is_no_late_generator_in_a_closed_loop() {
    // Each client waits at the server for the lock of the other.
    let place = Place::with_script(
        r#"bench.workload { name = "w", clients = 2, iteration = function(c)
            local h = c:open("a", "rw")
            c:lock(h, 0, 1, { wait = true })
            c:think("20ms")
            c:unlock(h, 0, 1)
            c:close(h)
        end }"#,
    );
    let line = "s.lua --target sim --iterations 30 --late-bound 1s";
    let summary = place.judged(line, "out").end().exits(0).summary();
    assert_eq!(summary["trust"]["verdict"], "valid");
    assert_eq!(summary["trust"]["reasons"], json!([]));
    assert_eq!(number(&summary["iterations"]["count"]), 60);
}

#[test]
fn a_slow_server_is_no_late_generator_at_recorded_times_and_its_backlog_is_reported() {
    let place = Place::new();
    place.write("d.json", everything_at_once(1, 40_000));
    let line = "d.json --target sim --duration 1s --late-bound 1s";
    let ended = place.judged(line, "out").end().exits(0);
    let summary = ended.summary();
    assert_eq!(summary["trust"]["verdict"], "valid");
    assert!(summary["backlog_us"]["max"].as_f64().unwrap() > 0.0);
    let unissued = &summary["unissued"];
    assert!(number(&unissued["by_backlog"]) > 0);
    // The first operation is due at time zero and not issued until the end.
    assert_eq!(unissued["backlog_us"], 1_000_000.0);
    let note = format!(
        "at least {} operations were due at the end of the run and never issued, because the clients were still busy or disconnected (the first was due 1.000 s earlier)",
        unissued["by_backlog"]
    );
    assert!(summary["notes"][0].as_str().unwrap().contains(&note), "{}", summary["notes"]);
    assert!(ended.stdout.contains(&note), "{}", ended.stdout);
}

#[test]
fn retries_are_counted_and_the_settings_they_came_from_are_kept() {
    let place = Place::with_script(
        r#"bench.workload { name = "w", clients = 3, iteration = function(c)
            c:stat("none")
        end }"#,
    );
    let line = "s.lua --target sim --iterations 1 --time-scale 0.5 --retry=OBJECT_NAME_NOT_FOUND";
    let ended = place.run(line).end().exits(4);
    let summary = ended.summary();
    let settings = &summary["run"]["settings"];
    let retry = json!(["STATUS_OBJECT_NAME_NOT_FOUND"]);
    assert_eq!(*settings, json!({ "time_scale": 0.5, "retry": retry }));
    // Each operation has three attempts and one completion.
    let totals = &summary["totals"];
    assert_eq!((number(&totals["failed"]), number(&totals["retries"])), (3, 6));
    assert_eq!(number(&summary["operations"]["stat"]["retries"]), 6);
    // The second and third attempt wait 100 and 200 ms, which service times do not include.
    let stat = &summary["operations"]["stat"];
    assert!(stat["response_us"]["min"].as_f64().unwrap() >= 300_000.0, "{stat}");
    for text in
        [", time scale 0.5, with retries\n", "6 attempts repeated after a failure (--retry)\n"]
    {
        assert!(ended.stdout.contains(text), "{text:?} not in {}", ended.stdout);
    }
}

#[test]
fn a_run_that_ends_in_the_warm_up_has_recorded_nothing_and_exits_5() {
    let place = Place::with_script(
        r#"bench.phases { { name = "warm-up", duration = "1m", record = false }, { name = "steady", duration = "1s" } }
        bench.workload { name = "w", clients = 1, iteration = function(c) c:stat("") end }"#,
    );
    let ended = place.judged("s.lua --target sim --iterations 2", "out").end().exits(5);
    let summary = ended.summary();
    assert_eq!(summary["trust"]["verdict"], "nothing-recorded");
    assert_eq!(summary["exit_reasons"], json!(["nothing-recorded"]));
    assert_eq!(number(&summary["phases"][0]["totals"]["operations"]), 2);
}

#[test]
fn a_functional_run_of_a_few_operations_is_not_judged_and_exits_0() {
    let place = Place::with_script(
        r#"bench.workload { name = "w", clients = 1, iteration = function(c) c:stat("") end }"#,
    );
    // Every operation counts as late.
    let line = "s.lua --target sim --iterations 12 --late-bound 1ns";
    let ended = place.judged(line, "out").end().exits(0);
    let trust = &ended.summary()["trust"];
    assert_eq!(trust["verdict"], "not-judged");
    assert!(reason(&ended.summary(), "too little was recorded").contains("12 operations in 0."));
}

#[test]
fn a_phase_that_was_measured_whole_is_not_cut_short_by_a_teardown_without_end() {
    let place = Place::with_script(
        r#"bench.workload { name = "w", clients = 1,
            iteration = function(c) c:stat("") end,
            teardown = function(c) c:think("1h") c:stat("") end }"#,
    );
    let line = "s.lua --target sim --duration 1s --drain 100ms";
    let summary = place.run(line).end().exits(4).summary();
    let reasons = summary["trust"]["reasons"].to_string();
    assert!(!reasons.contains("cut short"), "{reasons}");
    assert_ne!(summary["trust"]["verdict"], "interrupted");
}
