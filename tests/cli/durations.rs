//! `--duration`: a run of another length with the same phases.

use serde_json::Value;

use crate::program::Place;
use crate::summary::number;

const SCRIPT: &str = r#"
bench.phases {
    { name = "warmup", duration = "10s", record = false },
    { name = "low", duration = "20s" },
    { name = "high", duration = "30s" },
}
bench.workload { name = "w", clients = 2,
    pace = bench.open_loop { rate = { warmup = 100, low = 100, high = 200 } },
    iteration = function(c) c:stat("") end }
"#;

/// Returns the name of each phase and its length in milliseconds.
fn phases(summary: &Value) -> Vec<(&str, u64)> {
    let phases = summary["phases"].as_array().unwrap().iter();
    let milliseconds = |phase: &Value| (phase["duration_s"].as_f64().unwrap() * 1e3).round() as u64;
    phases.map(|phase| (phase["name"].as_str().unwrap(), milliseconds(phase))).collect()
}

/// Returns the phases in the header of a document, in the form of [`phases`].
fn compiled(place: &Place, document: &str) -> Vec<(String, u64)> {
    let text = place.read(document);
    let header: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let phases = header["phases"].as_array().unwrap().iter();
    phases
        .map(|phase| {
            (phase["name"].as_str().unwrap().into(), number(&phase["duration_ns"]) / 1_000_000)
        })
        .collect()
}

#[test]
fn hooks_get_the_phases_by_name_and_can_filter_by_them() {
    let place = Place::with_script(&format!(
        "{SCRIPT}
        local seen = bench.counter('app.seen')
        bench.on_complete({{ phase = 'high' }}, function() seen:add() end)
        bench.on_phase(function(name, edge) print(name, edge) end)"
    ));
    let ended = place.run("s.lua --target sim --duration 500ms").end().exits(0);
    let reported: Vec<&str> = ended.stderr.lines().collect();
    let edges =
        ["warmup\tstart", "warmup\tend", "low\tstart", "low\tend", "high\tstart", "high\tend"];
    assert_eq!(reported, edges);
    let summary = ended.summary();
    assert_eq!(phases(&summary), [("warmup", 100), ("low", 200), ("high", 300)]);
    let high = &summary["phases"][2]["totals"]["operations"];
    assert_eq!(&summary["metrics"]["app.seen"]["value"], high);
    assert!(number(high) > 0);
}

#[test]
fn a_document_compiled_for_a_length_is_what_a_run_of_that_length_does() {
    let place = Place::with_script(SCRIPT);
    let said = place.smbench("compile s.lua -o s.jsonl --duration 500ms").end().exits(0).stderr;
    assert!(said.starts_with("90 operations, "), "10 + 20 + 60: {said}");
    assert_eq!(
        compiled(&place, "s.jsonl"),
        [("warmup".into(), 100), ("low".into(), 200), ("high".into(), 300)]
    );

    // A document's phases are scaled as a script's are, but its operations keep their times.
    let run = place.run("s.jsonl --target sim:null --duration 250ms");
    let half = [("warmup", 50), ("low", 100), ("high", 150)];
    assert_eq!(phases(&run.end().exits(0).summary()), half);
    let again = "compile s.jsonl -o half.jsonl --duration 250ms";
    let said = place.smbench(again).end().exits(0).stderr;
    assert!(said.starts_with("30 operations, "), "10 + 20 in the first 300 ms: {said}");
    assert_eq!(compiled(&place, "half.jsonl"), half.map(|(name, ms)| (name.to_string(), ms)));
}

#[test]
fn a_stream_without_a_recorded_phase_has_none_to_scale() {
    let warmup = r#"bench.phases { { name = "warmup", duration = "1s", record = false } }
        bench.workload { name = "w", iteration = function(c) c:stat("") c:think("5ms") end }"#;
    let place = Place::with_script(warmup);
    let problem = "--duration scales the phases that are recorded, and none is: leave --duration away, or record a phase";
    let said = place.run("s.lua --target sim --duration 1s").end().refused(2);
    assert_eq!(said, format!("s.lua: {problem}"));
    place.smbench("compile s.lua -o s.jsonl").end().exits(0);
    assert_eq!(place.run("s.jsonl --target sim --duration 1s").end().refused(2), problem);
    let said = place.smbench("compile s.jsonl -o t.jsonl --duration 1s").end().refused(2);
    assert_eq!(said, problem);
}

#[test]
fn a_hook_cannot_ask_for_the_phase_of_a_run_without_phases_where_there_are_some() {
    let place =
        Place::with_script(&format!("{SCRIPT}bench.on_complete({{ phase = 'run' }}, print)"));
    let said = place.run("s.lua --target sim").end().refused(2);
    assert!(said.contains("unknown phase 'run'"), "{said}");
}
