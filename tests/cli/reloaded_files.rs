//! The files that a watched run reloads when their content changes.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::program::Place;
use crate::summary::number;
use crate::watched::{Watched, generation};

/// Longer than the time between two looks at all files.
const LOOKED_AT: Duration = Duration::from_millis(1_200);

#[test]
fn every_file_of_the_experiment_and_nothing_else_reloads_when_its_content_changes() {
    let place = Place::with_script(
        "local P = bench.params { mark = { type = 'string', default = 'none' } }
        local sizes = require('./lib/sizes')
        local tree = bench.tree('tree.json')
        bench.workload { name = 'w', clients = 2, iteration = function(c)
            c:mkdir(('%s-%s-%d-%d'):format(P.mark, sizes, #tree.directories[1].files, c.id), { expect = 'any' })
            c:think('2ms')
        end }",
    );
    for directory in ["lib", "scanned"] {
        std::fs::create_dir(place.path().join(directory)).unwrap();
    }
    place.write("lib/sizes.lua", "return 'a'");
    place.write("scanned/one", "1");
    place.write("smbench.toml", "");
    place.write("night.params", "mark = x\n");
    place.smbench("scan scanned -o tree.json").end().exits(0);
    let mut run = Watched::embedded(place, "--param-file night.params");
    run.until(&["x-a-1-0", "x-a-1-1"]);

    run.edit("lib/sizes.lua", "return 'b'");
    let line = run.accepted(2);
    assert!(line.contains(" after the change of ") && line.contains("sizes.lua"), "{line}");
    run.until(&["x-b-1-0", "x-b-1-1"]);
    run.edit("night.params", "mark = y\n");
    let line = run.accepted(3);
    assert!(line.contains("night.params"), "{line}");
    run.until(&["y-b-1-0"]);
    run.place.write("scanned/two", "22");
    run.place.smbench("scan scanned -o tree2.json").end().exits(0);
    let scanned = run.place.read("tree2.json");
    run.edit("tree.json", scanned);
    let line = run.accepted(4);
    assert!(line.contains("tree.json"), "{line}");
    run.until(&["y-b-2-0"]);
    run.edit("smbench.toml", "# changed\n");
    let line = run.accepted(5);
    assert!(line.contains("smbench.toml"), "{line}");

    // The same content, a new time, and files that the experiment does not read.
    for name in ["s.lua", "lib/sizes.lua", "night.params", "tree.json", "smbench.toml"] {
        let same = run.place.read(name);
        run.edit(name, same);
        let path = run.place.path().join(name);
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(std::time::SystemTime::now()).unwrap();
    }
    run.edit("other.lua", "return 1");
    run.edit("lib/other.lua", "return 1");
    std::thread::sleep(LOOKED_AT);
    run.edit("lib/sizes.lua", "return 'c'");
    let line = run.accepted(6);
    let named = line.split(" after the change of ").nth(1).unwrap();
    assert!(named.contains("sizes.lua;"), "one file changed: {line}");
    run.until(&["y-c-2-0", "y-c-2-1"]);
    let reloaded = run.end();
    let hashes = |at: usize| reloaded.generations()[at]["modules"][0]["hash"].clone();
    assert_ne!(hashes(0), hashes(1));
    assert_eq!(hashes(1), hashes(2));
    let marks: Vec<&Value> =
        reloaded.generations().iter().map(|part| &part["params"]["mark"]).collect();
    assert_eq!(marks, ["x", "x", "y", "y", "y", "y"]);
}

/// Returns a document in which two clients make directories, and then look at one for a minute.
fn document(mark: &str) -> String {
    let mut lines = vec![
        r#"{"version":2,"workloads":[{"name":"w","clients":2}]}"#.to_string(),
        format!(r#"{{"client":0,"at_ns":0,"type":"Mkdir","path":"{mark}0"}}"#),
        format!(r#"{{"client":1,"at_ns":0,"type":"Mkdir","path":"{mark}1"}}"#),
    ];
    for at in 1..3_000_u64 {
        let (client, at_ns) = (at % 2, at * 20_000_000);
        lines.push(format!(
            r#"{{"client":{client},"at_ns":{at_ns},"type":"Stat","path":"{mark}{client}"}}"#
        ));
    }
    let operations = lines.len() - 1;
    lines.push(format!("{{\"operations\":{operations}}}\n"));
    lines.join("\n")
}

/// Edits the document of a run, which begins anew with it. A document is one long iteration of each
/// client, so its clients move when they are cut.
fn follows_its_document(place: Place, input: &str) {
    place.write("day.jsonl", document("one"));
    std::fs::create_dir(place.path().join("share")).unwrap();
    let mut run = Watched::start(
        place,
        &format!("{input} --embedded-dir share --oplog --reload-grace 300ms"),
    );
    run.until(&["one0", "one1"]);
    run.edit("day.jsonl", document("two"));
    let line = run.accepted(2);
    assert!(line.contains("day.jsonl"), "{line}");
    run.until(&["two0", "two1"]);
    run.edit("day.jsonl", "{\"version\":2,\n");
    let reason = run.refused(2);
    assert!(reason.contains("day.jsonl:"), "{reason}");
    run.edit("day.jsonl", document("three"));
    run.accepted(3);
    run.until(&["three0", "three1"]);
    let reloaded = run.end();
    assert_eq!(number(&reloaded.summary["totals"]["failed"]), 0);
    for line in reloaded.operations() {
        let mark = ["one", "two", "three"][generation(&line) as usize - 1];
        assert!(line["path"].as_str().unwrap().starts_with(mark), "{line}");
    }
}

#[test]
fn a_document_begins_anew_when_it_changes() {
    follows_its_document(Place::new(), "day.jsonl");
}

#[test]
fn a_document_that_a_script_transforms_is_followed() {
    let place = Place::with_script(
        "bench.transform(bench.load('day.jsonl'), { bench.filter { path = '!nothing' } })",
    );
    follows_its_document(place, "s.lua");
}

#[test]
fn an_edit_during_setup_is_taken_once_measuring_begins() {
    let script = |mark: &str| {
        format!(
            "bench.workload {{ name = 'w', clients = 2,
                setup = function(c) c:mkdir('up' .. c.id) c:think('1s') c:stat('up' .. c.id) end,
                iteration = function(c)
                    c:mkdir('{mark}' .. c.id, {{ expect = 'any' }})
                    c:think('2ms')
                end }}"
        )
    };
    let mut run = Watched::embedded(Place::with_script(&script("one")), "");
    run.until(&["up0", "up1"]);
    run.edit("s.lua", script("two"));
    run.accepted(2);
    assert!(run.shared("one0").exists(), "it began with what was loaded");
    run.until(&["two0", "two1"]);
    let reloaded = run.end();
    assert_eq!(reloaded.generations().len(), 2);
    assert_eq!(number(&reloaded.summary["setup"]["totals"]["operations"]), 4);
}

#[test]
fn an_edit_after_the_last_phase_changes_nothing() {
    let script = |mark: &str| {
        format!(
            "bench.workload {{ name = 'w', clients = 2,
                iteration = function(c) c:stat('') c:think('2ms') end,
                teardown = function(c)
                    c:mkdir('{mark}' .. c.id)
                    c:think('1500ms')
                    c:mkdir('{mark}late' .. c.id)
                end }}"
        )
    };
    let mut run = Watched::embedded(Place::with_script(&script("one")), "--duration 500ms");
    run.until(&["one0", "one1"]);
    run.edit("s.lua", script("two"));
    let reloaded = run.end_by_itself(0);
    assert_eq!(reloaded.generations().len(), 1);
    assert!(!reloaded.ended.stderr.contains("reload"), "{}", reloaded.ended.stderr);
    let share = crate::program::names(&reloaded.place.path().join("share"));
    assert_eq!(share, ["one0", "one1", "onelate0", "onelate1"]);
}

const SCRIPT: &str = "bench.workload { name = 'w', iteration = function(c)
    c:mkdir('begun', { expect = 'any' })
    c:think('2ms')
end }";

/// Starts a watched run, and waits until it measures.
fn begun(flags: &str) -> Watched {
    let mut run = Watched::embedded(Place::with_script(SCRIPT), flags);
    run.until(&["begun"]);
    run
}

#[test]
fn json_on_standard_output_stays_alone() {
    let mut run = begun("--json");
    run.edit("s.lua", SCRIPT.replace("2ms", "3ms"));
    run.accepted(2);
    run.edit("s.lua", "x(");
    run.refused(2);
    let reloaded = run.end();
    let printed: Value = serde_json::from_str(&reloaded.ended.stdout).unwrap();
    assert_eq!(printed, reloaded.summary);
}

#[test]
fn a_quiet_run_reports_refusals_only() {
    let mut run = begun("--quiet");
    run.edit("s.lua", SCRIPT.replace("2ms", "3ms"));
    std::thread::sleep(LOOKED_AT);
    run.edit("s.lua", "x(");
    // A generation that was accepted without a line goes on.
    let reason = run.refused(2);
    assert!(reason.starts_with("s.lua:1: "), "{reason}");
    let reloaded = run.end();
    let stderr = &reloaded.ended.stderr;
    let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("reload")).collect();
    assert!(matches!(lines[..], [line] if line.starts_with("reload refused, ")), "{lines:?}");
}

#[test]
fn lines_of_reloads_can_be_json() {
    let mut run = begun("--log-format json");
    let parsed = |line: String| -> Value { serde_json::from_str(&line).unwrap() };
    run.edit("s.lua", SCRIPT.replace("2ms", "3ms"));
    let accepted = parsed(run.line("acceptance", |line| line.contains("accepted")));
    let fields = &accepted["fields"];
    assert_eq!((&accepted["level"], &accepted["target"]), (&"INFO".into(), &"reload".into()));
    assert_eq!((&fields["generation"], &fields["moving"]), (&2.into(), &1.into()));
    assert_eq!(fields["changed"], "s.lua");
    assert!(fields["took_ms"].as_f64().unwrap() > 0.0);
    run.edit("s.lua", "x(");
    let refused = parsed(run.line("refusal", |line| line.contains("refused")));
    assert_eq!(refused["level"], "WARN");
    assert_eq!(refused["fields"]["generation"], 2);
    run.running.signal(Signal::INT);
    let ended = run.running.end().exits(130);
    for line in ended.stderr.lines() {
        parsed(line.into());
    }
    let compared = ended.stderr.lines().map(|line| parsed(line.into()));
    let compared = compared.filter(|line| line["fields"]["before"] == 1).count();
    assert_eq!(compared, 1, "{}", ended.stderr);
}
