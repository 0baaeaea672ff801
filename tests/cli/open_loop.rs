//! Iterations that arrive at a rate, through `run` and `compile`.

use serde_json::Value;

use crate::program::Place;
use crate::summary::number;

const PHASES: &str = r#"
bench.phases {
    { name = "up", duration = "200ms", record = false },
    { name = "steady", duration = "300ms" },
    { name = "still", duration = "100ms", record = false },
}
"#;

fn counts(summary: &Value, what: &str) -> Vec<(String, u64)> {
    let phases = summary["phases"].as_array().unwrap().iter();
    phases
        .map(|phase| {
            let count = phase["operations"]["stat"][what].as_u64().unwrap_or(0);
            (phase["name"].as_str().unwrap().to_string(), count)
        })
        .collect()
}

/// Checks the number of operations sent in each phase against those due. The run must report the
/// operations that are missing because the host had no time for them.
fn assert_sent(summary: &Value, due: &[(&str, u64)]) {
    let sent = counts(summary, "count");
    let mut missing = 0;
    for ((phase, sent), (name, due)) in sent.iter().zip(due) {
        assert_eq!(phase, name);
        assert!(sent <= due, "{sent} of {due} in {phase}");
        missing += due - sent;
    }
    assert_eq!(sent.len(), due.len());
    let causes = ["by_backlog", "by_limit", "by_generation", "by_other"];
    let reported = causes.map(|cause| summary["unissued"][cause].as_u64().unwrap_or(0));
    assert_eq!(missing, reported.iter().sum::<u64>(), "{sent:?}: {}", summary["unissued"]);
}

#[test]
fn every_phase_has_as_many_iterations_as_its_rate_says() {
    let place = Place::with_script(&format!(
        "{PHASES}bench.workload {{ name = 'w', clients = 7,
            pace = bench.open_loop {{ rate = {{ up = {{ from = 0, to = 400 }}, steady = 400, still = 0 }} }},
            iteration = function(c) c:stat('') end }}"
    ));
    let run = place.run("s.lua --target sim").end().exits(0);
    let summary = run.summary();
    assert_sent(&summary, &[("up", 40), ("steady", 120), ("still", 0)]);
    assert_eq!(number(&summary["iterations"]["count"]), counts(&summary, "count")[1].1);

    // In a run of another length, the rates are the same; `--time-scale 2` halves them.
    let run = place.run_to("longer", "s.lua --target sim --duration 500ms --time-scale 2");
    let summary = run.end().exits(0).summary();
    assert_sent(&summary, &[("up", 34), ("steady", 100), ("still", 0)]);
}

#[test]
fn a_closed_loop_among_phases_runs_as_fast_as_it_is_answered_and_ends_with_its_phases() {
    let place = Place::with_script(&format!(
        "{PHASES}bench.workload {{ name = 'w', clients = 4,
            pace = {{ up = bench.open_loop {{ rate = 100 }}, steady = bench.closed_loop {{}},
                still = bench.open_loop {{ rate = 200, late = 'drop' }} }},
            iteration = function(c) c:stat('') c:stat('') end }}"
    ));
    let run = place.run("s.lua --target sim?latency=5ms");
    let summary = run.end().exits(0).summary();
    let [up, steady, still] = &counts(&summary, "count")[..] else { panic!() };
    // There are 20 arrivals of two operations. The second operation counts in the phase in which it
    // is issued, which on a busy host is the next one. In the last phase, iterations that the
    // closed loop had begun also end, and the last arrivals may be cut.
    assert!((20..=40).contains(&up.1), "{up:?}");
    assert!((8..=48).contains(&still.1), "{still:?}");
    // An answer takes at least 5 ms, so 4 clients get at most 240 in 300 ms, and each may have
    // begun one iteration before.
    assert!((8..=244).contains(&steady.1), "{steady:?}");
    let compiled = place.smbench("compile s.lua --iterations 40 -o s.jsonl").end().exits(0);
    drop(compiled);
    place.smbench("validate s.lua").end().exits(0);
    place.smbench("validate s.jsonl").end().exits(0);
}

#[test]
fn an_arrival_whose_client_is_busy_waits_or_is_dropped_as_its_script_says() {
    // Every iteration takes at least 25 ms, and one arrives every 10 ms.
    let script = |late: &str| {
        format!(
            "bench.workload {{ name = 'w', pace = bench.open_loop {{ rate = 100, late = '{late}' }},
                iteration = function(c) c:stat('') c:think('25ms') c:stat('') end }}"
        )
    };
    let place = Place::with_script(&script("drop"));
    let summary = place.run("s.lua --target sim --iterations 60").end().exits(0).summary();
    let stats = |summary: &Value| number(&summary["operations"]["stat"]["count"]);
    let count = number(&summary["iterations"]["count"]);
    // At best every third iteration runs; the others find the client busy.
    assert!((1..=20).contains(&count), "{count}");
    assert_eq!(stats(&summary), 2 * count);
    let iterations = |summary: &Value, what: &str| number(&summary["iterations"][what]);
    assert_eq!((iterations(&summary, "dropped"), iterations(&summary, "late")), (60 - count, 0));
    let note = format!("{} ", 60 - count);
    assert!(summary["notes"][0].as_str().unwrap().contains(&note), "{}", summary["notes"]);

    place.write("s.lua", script("queue"));
    let summary =
        place.run_to("queue", "s.lua --target sim --iterations 20").end().exits(0).summary();
    assert_eq!((number(&summary["iterations"]["count"]), stats(&summary)), (20, 40));
    assert_eq!((iterations(&summary, "dropped"), iterations(&summary, "late")), (0, 19));
}

#[test]
fn a_compiled_open_loop_runs_as_the_script_does() {
    let script = |late: &str| {
        format!(
            "{PHASES}bench.workload {{ name = 'w', clients = 3, pace = bench.open_loop {{
                rate = {{ up = 50, steady = {{ to = 200 }}, still = 0 }}, arrivals = 'poisson', late = '{late}' }},
                iteration = function(c) c:think('1ms') c:stat('') c:think('1ms') c:stat('') end }}"
        )
    };
    let place = Place::with_script(&script("queue"));
    place.smbench("compile s.lua -o s.jsonl").end().exits(0);
    let sent = |name: &str| -> u64 {
        let summary =
            place.run_to(name, &format!("s.{name} --target sim:null")).end().exits(0).summary();
        counts(&summary, "count").iter().map(|(_, count)| count).sum()
    };
    let (script_s, document_s) = (sent("lua"), sent("jsonl"));
    assert!(script_s > 50, "{script_s}");
    assert_eq!(script_s, document_s);

    place.write("s.lua", script("drop"));
    place.smbench("compile s.lua -o s.jsonl --force").end().exits(0);
    let arrivals = place.read("s.jsonl").lines().filter(|l| l.contains(r#""late":"drop""#)).count();
    assert!(arrivals > 25, "{arrivals}");
    place.smbench("validate s.jsonl").end().exits(0);
}

#[test]
fn an_open_loop_without_phases_has_no_end_to_compile_to() {
    let place = Place::with_script(
        "bench.workload { name = 'w', pace = bench.open_loop { rate = 1000 },
            iteration = function(c) c:delete('f') end }",
    );
    let refused = place.smbench("compile s.lua -o s.jsonl").end().refused(2);
    assert!(refused.contains("the stream has no end"), "{refused}");
    let said = place.smbench("compile s.lua -o s.jsonl --duration 2s").end().exits(0).stderr;
    assert!(said.starts_with("2000 operations, "), "{said}");
    // Arrivals that wait for nothing have times from the start of the run.
    place.smbench("compile s.lua -o s.json --duration 2s").end().exits(0);
    assert!(place.read("s.json").contains(r#""timestamp_us":1999000"#));
}

#[test]
fn a_rate_that_does_not_fit_the_phases_is_refused_with_its_line() {
    let place = Place::with_script(&format!(
        "bench.workload {{ name = 'w', pace = bench.open_loop {{ rate = {{ stedy = 5 }} }},
            iteration = function(c) c:stat('') end }}{PHASES}"
    ));
    let refused = place.run("s.lua --target sim").end().refused(2);
    assert!(
        refused
            .contains("s.lua:1: workload 'w': rate: unknown phase 'stedy': did you mean 'steady'?"),
        "{refused}"
    );
}

#[test]
fn a_pause_at_the_end_lasts_as_long_as_its_phase() {
    let place = Place::with_script(
        r#"
bench.phases { { name = "busy", duration = "200ms" }, { name = "still", duration = "300ms" } }
bench.workload { name = "w", pace = bench.open_loop { rate = { busy = 100, still = 0 } },
    iteration = function(c) c:stat("") end }"#,
    );
    let summary = place.run("s.lua --target sim").end().exits(0).summary();
    let lengths: Vec<_> =
        summary["phases"].as_array().unwrap().iter().map(|phase| &phase["duration_s"]).collect();
    assert_eq!(lengths, [0.2, 0.3]);
}

#[test]
fn what_a_stream_with_an_end_had_for_a_closed_loop_that_was_over_is_told() {
    let place = Place::with_script(
        "bench.phases { { name = 'closed', duration = '300ms' }, { name = 'open', duration = '300ms' } }
        bench.workload { name = 'w', pace = {
            closed = bench.closed_loop {}, open = bench.open_loop { rate = 20 } },
            iteration = function(c) c:stat('') end }",
    );
    let flags = "--target sim?latency=40ms --iterations 30";
    let summary = place.run(&format!("s.lua {flags}")).end().exits(0).summary();
    let left_out = 30 - number(&summary["iterations"]["count"]);
    let notes = summary["notes"].to_string();
    assert!(left_out > 0 && notes.contains(&format!("begin: {left_out};")), "{summary}");
}
