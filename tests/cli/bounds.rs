//! `--operations`: the end of a run and of a document, alone and with the other bounds.

use serde_json::Value;

use crate::program::Place;
use crate::summary::number;

const SCRIPT: &str = "
bench.setup(function(c) c:mkdir('all') end)
bench.workload { name = 'w', clients = 7,
    setup = function(c) c:mkdir('all/' .. c.id) end,
    iteration = function(c)
        c:think(2e5 * (1 + c.id))
        local h = c:open('all/' .. c.id .. '/f', 'rw')
        c:write(h, 0, 1000)
        c:close(h)
    end,
    teardown = function(c) c:delete('all/' .. c.id .. '/f', { expect = 'any' }) end }
";

/// Returns the number of operations of all phases, recorded or not.
fn iterated(summary: &Value) -> u64 {
    let phases = summary["phases"].as_array().unwrap().iter();
    phases.map(|phase| number(&phase["totals"]["operations"])).sum()
}

#[test]
fn a_run_ends_after_exactly_so_many_operations_and_says_so() {
    let place = Place::with_script(SCRIPT);
    for (out, flags, operations) in [
        ("a", "--operations 1", 1),
        ("b", "--operations 100 --shards 1 --generators 1", 100),
        ("c", "--operations 100 --shards 5 --generators 3 --limit 2", 100),
        ("d", "--operations 1000 --target embedded --shards 2", 1_000),
    ] {
        let target = if flags.contains("--target") { "" } else { "--target sim" };
        let ended = place.run_to(out, &format!("s.lua {target} {flags}")).end().exits(0);
        let summary = ended.summary();
        assert_eq!(iterated(&summary), operations, "{flags}");
        let note = format!(
            "the run ended at its bound of {operations} operation{} (--operations)",
            if operations == 1 { "" } else { "s" }
        );
        assert_eq!(summary["notes"][0], note, "{flags}");
        assert!(ended.stdout.contains(&format!("note: {note}\n")), "{}", ended.stdout);
        assert_eq!(summary["run"]["interrupted"], false);
        assert_ne!(summary["trust"]["verdict"], "interrupted");
        assert_eq!(summary.get("unissued"), None, "{flags}");
        // Setup and teardown are complete.
        assert_eq!(number(&summary["setup"]["totals"]["operations"]), 8);
        assert_eq!(number(&summary["teardown"]["totals"]["operations"]), 7);
    }
}

#[test]
fn whichever_bound_comes_first_ends_the_run() {
    let place = Place::with_script(SCRIPT);
    let run = |out: &str, flags: &str| {
        place.run_to(out, &format!("s.lua --target sim {flags}")).end().exits(0).summary()
    };
    let by_iterations = run("a", "--operations 5000 --iterations 2");
    assert_eq!(iterated(&by_iterations), 7 * 2 * 3);
    assert_eq!(by_iterations["notes"], serde_json::json!([]), "its bound was not reached");
    let by_operations = run("b", "--operations 20 --iterations 2 --duration 1h");
    assert_eq!(iterated(&by_operations), 20);
    let by_time = run("c", "--operations 100000000 --duration 300ms");
    assert_eq!(by_time["phases"][0]["duration_s"], 0.3);
    assert_eq!(by_time["notes"], serde_json::json!([]));
}

#[test]
fn the_rest_of_the_phases_is_reported() {
    let phases = "bench.phases { { name = 'warmup', duration = '10m', record = false }, { name = 'steady', duration = '1h' } }";
    let place = Place::with_script(&format!("{phases}{SCRIPT}"));
    let ended = place.run("s.lua --target sim --operations 50").end().exits(5);
    let summary = ended.summary();
    assert_eq!(iterated(&summary), 50);
    assert_eq!(summary["trust"]["verdict"], "nothing-recorded");
    let note = summary["notes"][0].as_str().unwrap();
    let remained = note
        .strip_prefix("the run ended at its bound of 50 operations (--operations) in the unrecorded phase warmup, so nothing was recorded: raise --operations, or use --duration instead; the rest of its phases was not run: ")
        .unwrap_or_else(|| panic!("{note}"));
    assert!(
        remained.contains(" s of warmup, ") && remained.ends_with("3600.000 s of steady"),
        "{note}"
    );
    assert_eq!(summary["phases"][1]["duration_s"], 0.0);

    let said = place.smbench("compile s.lua -o x.jsonl --operations 50").end().exits(0).stderr;
    assert!(
        said.contains("the document ends at its bound of 50 operations (--operations), 0.00"),
        "{said}"
    );
    assert!(said.ends_with("it was to last 4200.000 s\n"), "{said}");
    let line = "compile s.lua -o y.jsonl --operations 1";
    let said = place.smbench(line).end().exits(0).stderr;
    assert!(
        said.contains("the document ends at its bound of 1 operation (--operations)"),
        "{said}"
    );
}

#[test]
fn a_document_holds_the_first_operations_of_all_clients_together_and_so_does_its_hash() {
    let place = Place::with_script(SCRIPT);
    let compile = |flags: &str, name: &str| {
        let line = format!("compile s.lua -o {name} {flags}");
        place.smbench(&line).end().exits(0).stderr
    };
    let hash =
        |said: &str| said.split("ir_hash ").nth(1).unwrap().lines().next().unwrap().to_string();
    let first = compile("--operations 60", "a.jsonl");
    assert_eq!(hash(&first), hash(&compile("--operations 60 --iterations 1000", "b.jsonl")));
    assert_eq!(hash(&first), hash(&compile("--operations 60 --duration 1h", "c.jsonl")));
    assert_ne!(hash(&first), hash(&compile("--operations 61", "d.jsonl")));
    // The bounded document is the first part of a longer one, in the order of nominal time.
    let whole = compile("--iterations 40", "e.jsonl");
    assert_ne!(hash(&first), hash(&whole));
    let iterations = |name: &str| -> Vec<String> {
        let text = place.read(name);
        text.lines().filter(|line| line.contains("\"iteration\"")).map(String::from).collect()
    };
    let (part, all) = (iterations("a.jsonl"), iterations("e.jsonl"));
    assert!(!part.is_empty() && all.starts_with(&part), "{part:#?}");
    // The same holds for a bounded copy of a document, whose handles are numbered anew.
    place.smbench("compile e.jsonl -o f.jsonl --operations 60").end().exits(0);
    let without_handles = |lines: Vec<String>| -> Vec<Value> {
        let parsed = lines.iter().map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().remove("handle_ref");
            line
        });
        parsed.collect()
    };
    assert_eq!(without_handles(iterations("f.jsonl")), without_handles(part));
    // A run of the bounded document has just these operations.
    let summary = place.run("a.jsonl --target sim").end().exits(0).summary();
    assert_eq!(iterated(&summary), 60);
    assert_eq!(summary["run"]["ir_hash"], hash(&first));
    // A run of the longer document with the bound ends after the same number.
    let bounded =
        place.run_to("g", "e.jsonl --target sim --operations 60").end().exits(0).summary();
    assert_eq!(iterated(&bounded), 60);
    assert_eq!(bounded["run"]["ir_hash"], hash(&whole), "the hash names the document that was run");
}
