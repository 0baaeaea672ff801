//! Thresholds: they decide the exit code, come first in the report, and may end a run.

use serde_json::{Value, json};

use crate::program::{Call, Place};

/// A script whose client stats the share and deletes what does not exist.
const SCRIPT: &str = r#"
bench.workload { name = "w", iteration = function(c)
    c:stat("")
    c:delete("none", { expect = "OBJECT_NAME_NOT_FOUND" })
end }
"#;

/// Runs `line` on the simulator.
fn call(place: &Place, line: &str) -> Call {
    place.run(&format!("s.lua --target sim {line}"))
}

fn thresholds(summary: &Value) -> &Vec<Value> {
    summary["thresholds"].as_array().unwrap()
}

#[test]
fn a_failed_threshold_exits_99_and_all_are_reported_first_in_order() {
    let place = Place::with_script(&format!(
        r#"{SCRIPT}
        bench.thresholds {{
            "delete.count == 10",
            {{ "all.count > 1000", workload = "w" }},
            "write.response.p99 < 20ms",
            "errors.rate < 1%",
        }}"#
    ));
    let ended = call(&place, "--iterations 10").end().exits(99);
    let summary = ended.summary();
    assert_eq!(summary["exit_reasons"], json!(["thresholds-failed"]));
    assert_eq!(
        summary["thresholds"],
        json!([
            { "expression": "delete.count == 10", "value": 10.0, "unit": "count", "pass": true },
            { "expression": "all.count > 1000", "value": 20.0, "unit": "count", "pass": false, "workload": "w" },
            { "expression": "write.response.p99 < 20ms", "unit": "us", "pass": false, "reason": "no samples" },
            { "expression": "errors.rate < 1%", "value": 0.0, "unit": "share", "pass": true },
        ])
    );
    let first: Vec<&str> = ended.stdout.lines().take(6).collect();
    assert_eq!(
        first[..5],
        [
            "✓ delete.count == 10            10",
            "✗ all.count > 1000, workload w  20",
            "✗ write.response.p99 < 20ms     no samples",
            "✓ errors.rate < 1%              0.00 %",
            "",
        ]
    );
    assert!(first[5].starts_with("s.lua on sim"), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("exit code 99: thresholds-failed\nresults: out\n"));
}

#[test]
fn thresholds_of_the_command_line_hold_beside_those_of_the_script() {
    let place = Place::with_script(&format!("{SCRIPT} bench.thresholds {{ 'stat.count > 0' }}"));
    let typed = |out: &str, expression: &str| {
        let line = "s.lua --target sim --iterations 5 --json";
        let call = place.run_to(out, line).arg("--threshold").arg("all.count == 10");
        call.arg("--threshold").arg(expression).end()
    };
    let good = typed("good", "delete.service.max < 1h").exits(0);
    assert_eq!(good.stderr, "");
    let printed: Value = serde_json::from_str(&good.stdout).unwrap();
    let passed: Vec<bool> =
        thresholds(&printed).iter().map(|threshold| threshold["pass"] == true).collect();
    assert_eq!(passed, [true, true, true]);

    let bad = typed("bad", "delete.service.max < 1ns").exits(99);
    let reported = "threshold failed: delete.service.max < 1ns: ";
    assert!(bad.stderr.starts_with(reported) && bad.stderr.lines().count() == 1, "{}", bad.stderr);
    assert_eq!(thresholds(&bad.summary()).len(), 3);

    let variable = "all.count == 4\nstat.count < 2";
    let call = place.run_to("env", "s.lua --target sim --iterations 2 --quiet");
    let ended = call.env("SMBENCH_THRESHOLD", variable).end().exits(99);
    assert_eq!(ended.stderr, "threshold failed: stat.count < 2: 2\n");
}

#[test]
fn a_passing_threshold_on_errors_decides_where_operations_fail_on_purpose() {
    let place = Place::with_script(
        r#"
        bench.workload { name = "w", iteration = function(c)
            c:stat("")
            c:delete("none")
        end }"#,
    );
    let with = |out: &str, expression: &str| {
        let call = place.run_to(out, "s.lua --target sim --iterations 10");
        call.arg("--threshold").arg(expression).end()
    };
    let summary = with("share", "errors.rate <= 50%").exits(0).summary();
    assert_eq!(summary["exit_reasons"], json!([]));
    assert_eq!(summary["totals"]["failed"], 10);
    assert_eq!(summary["thresholds"][0]["value"], 0.5);
    with("status", "errors.OBJECT_NAME_NOT_FOUND <= 10").exits(0).summary();
    with("other", "errors.ACCESS_DENIED == 0").exits(4).summary();
    let summary = with("failed", "errors.rate < 10%").exits(99).summary();
    assert_eq!(summary["exit_reasons"], json!(["thresholds-failed", "operations-failed"]));
}

#[test]
fn no_threshold_excuses_a_failure_in_setup() {
    let place = Place::with_script(&format!(
        "{SCRIPT} bench.setup(function(c) c:delete('none') end)
        bench.thresholds {{ 'errors.rate <= 100%' }}"
    ));
    let (problem, summary) = call(&place, "--iterations 5").end().broke_off(99);
    assert_eq!(problem, "an operation of setup failed, so nothing was measured");
    assert_eq!(
        summary["exit_reasons"],
        json!(["thresholds-failed", "operations-failed", "nothing-recorded"])
    );
    assert_eq!(summary["thresholds"][0]["reason"], "no samples");
}

#[test]
fn one_that_may_end_the_run_does_so_in_good_order() {
    let place = Place::with_script(
        r#"
        bench.phases { { name = "steady", duration = "50s" } }
        bench.setup(function(c) c:mkdir("d") end)
        bench.workload { name = "w", clients = 4, iteration = function(c)
            c:stat("d")
            c:think("50ms")
        end }
        bench.teardown(function(c) c:rmdir("d") end)
        bench.thresholds {
            "all.count > 0",
            { "stat.response.p50 < 1ns", phase = "steady", workload = "w", abort = true, delay = 0 },
            { "stat.count > 1000000000", abort = true, delay = 0 },
        }"#,
    );
    // The think time and the late bound leave a busy host room, because a late generator has a
    // verdict of its own.
    let (problem, summary) = call(&place, "--shards 2 --late-bound 10s").end().broke_off(99);
    let which = " and ended the run: stat.response.p50 < 1ns (phase steady, workload w)";
    assert!(
        problem.starts_with("a threshold failed after ") && problem.ends_with(which),
        "{problem}"
    );
    assert!(summary["phases"][0]["duration_s"].as_f64().unwrap() < 40.0);
    assert_eq!(summary["exit_reasons"], json!(["thresholds-failed"]));
    assert_eq!(summary["run"]["interrupted"], false);
    assert_eq!(summary["trust"]["verdict"], "interrupted");
    assert_eq!(summary["teardown"]["operations"]["rmdir"]["count"], 1);
    let [passed, ending, missed] = &thresholds(&summary)[..] else { panic!("{summary}") };
    assert_eq!((&passed["pass"], &missed["pass"]), (&json!(true), &json!(false)));
    assert_eq!(ending["pass"], false);
    assert!(ending["value"].as_f64().unwrap() > 0.0);
    let reason = ending["reason"].as_str().unwrap();
    assert!(reason.starts_with("ended the run after "), "{reason}");
    assert_eq!(missed.get("reason"), None, "a count may grow: it is judged at the end");
}

#[test]
fn a_mistake_in_a_threshold_is_reported_with_its_line_before_anything_is_done() {
    let in_script = |entry: &str| {
        let place = Place::with_script(&format!("{SCRIPT}\nbench.thresholds {{ {entry} }}"));
        let message = call(&place, "--iterations 1").end().refused(2);
        let valid = place.smbench("validate s.lua").end().refused(2);
        assert_eq!(valid, message);
        message
    };
    for (entry, message) in [
        (
            "'raed.response.p99 < 20ms'",
            "s.lua:7: bench.thresholds: 'raed.response.p99 < 20ms': unknown metric 'raed': did you mean 'read'?",
        ),
        (
            "'read.response.p99 < 20'",
            "s.lua:7: bench.thresholds: 'read.response.p99 < 20': read.response.p99 is a time: write it with its unit, such as 20ms or 1.5s, not '20'",
        ),
        (
            "{ 'read.count > 1', phase = 'steady' }",
            "s.lua:7: bench.thresholds: 'read.count > 1': unknown phase 'steady': use one of run",
        ),
        (
            "{ 'read.count > 1', workload = 'x' }",
            "s.lua:7: bench.thresholds: 'read.count > 1': unknown workload 'x': use one of w",
        ),
        (
            "{ 'read.count > 1', abrot = true }",
            "s.lua:7: bench.thresholds: 'read.count > 1': unknown field 'abrot': did you mean 'abort'?",
        ),
        (
            "{ 'read.count > 1', delay = '1s' }",
            "s.lua:7: bench.thresholds: 'read.count > 1': delay is the time that abort waits; add abort = true",
        ),
        (
            "{ 'read.count > 1', abort = true, delay = 5 }",
            "s.lua:7: bench.thresholds: 'read.count > 1': delay: 5 ns? write \"5s\"",
        ),
        (
            "{ 'read.count > 1', 'read.count > 2' }",
            "s.lua:7: bench.thresholds: 'read.count > 1': one entry is one threshold, and this goes on with \"read.count > 2\"",
        ),
        (
            "table.freeze({ 'read.count > 1', phase = 'no' })",
            "s.lua:7: bench.thresholds: 'read.count > 1': unknown phase 'no': use one of run",
        ),
        (
            "{ abort = true }",
            "s.lua:7: bench.thresholds: entry 1 has no threshold: begin it with a string, such as { \"read.response.p99 < 20ms\", abort = true }",
        ),
        (
            "'read.count > 1', abort = true",
            "s.lua:7: bench.thresholds: abort applies to one threshold: give that threshold a table of its own, such as { \"read.response.p99 < 20ms\", abort = … }",
        ),
        (
            "['read.response.p99'] = { '< 20ms' }",
            "s.lua:7: bench.thresholds: each threshold is one string that begins with the metric, such as \"read.response.p99 < 20ms\", and not \"read.response.p99\" = …",
        ),
        (
            "5",
            "s.lua:7: bench.thresholds: entry 1 is a string such as \"read.response.p99 < 20ms\" or a table that begins with one, not 5",
        ),
    ] {
        assert_eq!(in_script(entry), message, "{entry}");
    }
    let place = Place::with_script(SCRIPT);
    let typed = call(&place, "--iterations 1").arg("--threshold").arg("all.p99 < 20ms");
    assert_eq!(
        typed.end().refused(2),
        "--threshold: 'all.p99 < 20ms': unknown metric 'all.p99': write all.response.p99"
    );
}

#[test]
fn thresholds_on_phases_hold_in_a_run_of_another_length() {
    let place = Place::with_script(&format!(
        r#"{SCRIPT}
        bench.phases {{
            {{ name = "warmup", duration = "6s", record = false }},
            {{ name = "low", duration = "20s" }},
            {{ name = "high", duration = "40s" }},
        }}
        bench.thresholds {{
            {{ "stat.count > 0", phase = "low" }},
            {{ "stat.count > 0", phase = "high" }},
        }}"#
    ));
    let summary = call(&place, "--duration 600ms").end().exits(0).summary();
    let [low, high] = &thresholds(&summary)[..] else { panic!("{summary}") };
    assert_eq!((&low["pass"], &low["phase"]), (&json!(true), &json!("low")));
    assert_eq!((&high["pass"], &high["phase"]), (&json!(true), &json!("high")));
}
