//! Steps: their figures in the summary and the report, thresholds, hooks, the log and documents.

use serde_json::{Value, json};

use crate::program::Place;
use crate::summary::number;

/// Three clients save twice in each session, with 5 ms of thinking inside a save.
const SCRIPT: &str = r#"
local saves = bench.counter("saves", { tags = { "step" } })
bench.on_complete({ step = "session", fields = { "step", "kind" } }, function(step, kind)
    saves:add(1, { step = step .. "-" .. kind })
end)
bench.setup(function(c) c:step("prepare", function() c:mkdir("d") end) end)
bench.workload { name = "w", clients = 3, iteration = function(c)
    c:step("session", function()
        local h = c:step("open", function() return c:open("d/" .. c.id, "rw") end)
        for i = 1, 2 do
            c:step("save", function()
                c:write(h, 0, 4096)
                c:think("5ms")
                c:flush(h)
            end)
        end
        c:close(h)
    end)
    c:stat("")
    c:step("find", function() c:delete("none") end)
end }
"#;

#[test]
fn each_step_is_a_row_with_its_count_its_failures_and_its_time() {
    let place = Place::with_script(SCRIPT);
    let ended = place.run("s.lua --target sim --iterations 4 --oplog").end().exits(4);
    let summary = ended.summary();
    let steps = &summary["steps"];
    let counts = |name: &str| {
        let of = |key: &str| number(&steps[name][key]);
        [of("count"), of("failed"), of("skipped"), of("cut")]
    };
    assert_eq!(counts("session"), [12, 0, 0, 0]);
    assert_eq!(counts("open"), [12, 0, 0, 0]);
    assert_eq!(counts("save"), [24, 0, 0, 0]);
    assert_eq!(counts("find"), [12, 12, 0, 0]);
    assert_eq!(steps.as_object().unwrap().len(), 4);
    assert_eq!(&summary["workloads"][0]["steps"], steps);
    assert_eq!(&summary["phases"][0]["steps"], steps);
    assert_eq!(number(&summary["setup"]["steps"]["prepare"]["count"]), 1);
    let least_us = |name: &str| steps[name]["response_us"]["min"].as_f64().unwrap();
    assert!(least_us("save") >= 5_000.0, "{steps}");
    assert!(least_us("session") >= 10_000.0, "{steps}");
    for (row, count) in
        [("step find", "12      12"), ("step save", "24       0"), ("step session", "12       0")]
    {
        let line = ended.stdout.lines().find(|line| line.starts_with(row)).expect(&ended.stdout);
        assert!(line[row.len()..].trim_start().starts_with(count), "{line}");
    }

    let tagged = summary["metrics"]["saves"]["tagged"].as_array().unwrap().iter();
    let tagged: Vec<(&str, u64)> = tagged
        .map(|part| (part["tags"]["step"].as_str().unwrap(), number(&part["value"])))
        .collect();
    assert_eq!(
        tagged,
        [("open-open", 12), ("save-flush", 24), ("save-write", 24), ("session-close", 12)]
    );

    let of_last_save = |line: &&Value| line["op_id"] == "0-28";
    let lines = place.oplog("out");
    let session = json!({ "name": "session", "number": 0 });
    assert_eq!(
        lines.iter().find(of_last_save).map(|line| &line["step"]),
        Some(&json!({ "name": "save", "number": 3, "outer": session }))
    );
    let outside = lines.iter().filter(|line| line["type"] == "stat");
    assert!(outside.clone().count() == 12 && outside.clone().all(|it| it.get("step").is_none()));
}

#[test]
fn thresholds_on_steps_decide_the_exit_code() {
    let place = Place::with_script(SCRIPT);
    let typed = |out: &str, expression: &str| {
        let call = place.run_to(out, "s.lua --target sim --iterations 4");
        // So that the failed deletes do not decide it.
        let call = call.arg("--threshold").arg("errors.STATUS_OBJECT_NAME_NOT_FOUND == 12");
        call.arg("--threshold").arg(expression).end()
    };
    for (index, (expression, code)) in [
        ("step.save.response.min >= 5ms", 0),
        ("step.save.response.p99 < 5ms", 99),
        ("step.session.count == 12", 0),
        ("step.find.failed == 0", 99),
        ("step.never.failed == 0", 99),
    ]
    .into_iter()
    .enumerate()
    {
        let ended = typed(&format!("out{index}"), expression).exits(code);
        let threshold = &ended.summary()["thresholds"][1];
        assert_eq!(threshold["pass"], json!(code == 0), "{threshold}");
        let reason = expression.contains("never").then_some("no samples");
        assert_eq!(threshold.get("reason").and_then(Value::as_str), reason);
    }
    let wrong = place.run("s.lua --target sim --threshold step.a.b<2").end().exits(2);
    assert!(
        wrong
            .stderr
            .contains("unknown metric 'step.a.b': after step.a comes one of response, count"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn a_step_that_the_end_of_the_run_cuts_is_counted_as_cut() {
    let place = Place::with_script(
        "bench.workload { name = 'w', clients = 2, iteration = function(c)
            c:step('long', function() c:stat('') c:think('1h') c:stat('') end)
        end }",
    );
    let ended = place.run("s.lua --target sim --duration 300ms").end();
    let long = &ended.summary()["steps"]["long"];
    assert_eq!(long, &json!({ "count": 0, "failed": 0, "skipped": 0, "cut": 2 }));
    assert!(ended.stdout.contains("\nsteps       long: 2 cut\n"), "{}", ended.stdout);
}

#[test]
fn a_compiled_document_has_the_steps_of_its_script_and_the_same_figures() {
    let place = Place::with_script(SCRIPT);
    place.smbench("compile s.lua --iterations 4 -o s.jsonl").end().exits(0);
    let ended = place.run("s.jsonl --target sim").end().exits(4);
    let count = |name: &str| number(&ended.summary()["steps"][name]["count"]);
    assert_eq!(["session", "open", "save", "find"].map(count), [12, 12, 24, 12]);
    place.write(
        "v1.lua",
        "bench.workload { name = 'w', iteration = function(c)
        c:step('s', function() c:at(0) c:delete('a') end)
    end }",
    );
    let compiled = place.smbench("compile v1.lua --iterations 1 -o s.json").end().exits(0);
    assert!(compiled.stderr.contains("the steps"), "{}", compiled.stderr);
    assert!(!place.read("s.json").contains("step"), "{}", place.read("s.json"));
}

#[test]
fn an_error_about_a_step_names_its_line() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c)
            c:step('a b', function() c:stat('') end)
        end }",
    );
    let refused = place.run("s.lua --target sim").end().exits(2);
    assert!(
        refused.stderr.contains("s.lua:2: step: \"a b\" is not the name of a step"),
        "{}",
        refused.stderr
    );
}
