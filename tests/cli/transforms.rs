//! Documents that are changed on their way to the server: by a script, or by `--clients` and
//! `--iterations`.

use std::path::Path;

use crate::program::Place;

const DAY: &str = r#"{"version":2,"workloads":[{"name":"staff","clients":2}],"run_client":true}
{"client":2,"section":"setup","after_ns":0,"type":"Mkdir","path":"team"}
{"client":0,"at_ns":0,"type":"Open","path":"team/a","mode":"ReadWrite","handle_ref":0}
{"client":0,"at_ns":1000,"type":"Write","handle_ref":0,"offset":0,"length":5000,"payload":"text"}
{"client":1,"at_ns":2000,"type":"Open","path":"team/b.tmp","mode":"ReadWrite","handle_ref":0}
{"client":0,"at_ns":3000,"type":"Close","handle_ref":0}
{"client":1,"at_ns":4000,"type":"Close","handle_ref":0}
{"operations":6}
"#;

/// Returns the paths below a directory, sorted.
fn below(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(directory).unwrap().display().to_string());
            if path.is_dir() {
                waiting.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_document_is_run_by_more_clients_each_clone_in_its_own_directory_and_several_times() {
    let place = Place::new();
    place.write("day.jsonl", DAY);
    std::fs::create_dir(place.path().join("share")).unwrap();
    let line = "day.jsonl --clients 5 --iterations 3 --embedded-dir share";
    let summary = place.run(line).end().exits(0).summary();
    assert_eq!(summary["totals"]["operations"], 3 * (3 * 3 + 2 * 2));
    assert_eq!(summary["totals"]["failed"], 0);
    assert_eq!(summary["workloads"][0]["clients"], 5);
    assert!(summary["run"]["ir_hash"].as_str().unwrap().starts_with("recipe:"));
    let expected = [
        "clone1",
        "clone1/team",
        "clone1/team/a",
        "clone1/team/b.tmp",
        "clone2",
        "clone2/team",
        "clone2/team/a",
        "team",
        "team/a",
        "team/b.tmp",
    ];
    assert_eq!(below(&place.path().join("share")), expected);
    // The same again: what exists does not keep a second run from its clones.
    place.run_to("again", line).end().exits(0);
    place.smbench("compile day.jsonl --clients 5 --iterations 3 -o many.jsonl").end().exits(0);
    let compiled = place.run_to("compiled", "many.jsonl --target sim").end().exits(0).summary();
    assert_eq!(compiled["totals"]["operations"], 39);
}

#[test]
fn fewer_clients_than_a_document_has_are_refused_before_the_run() {
    let place = Place::new();
    place.write("day.jsonl", DAY);
    let refused = place.run("day.jsonl --clients 1 --target sim").end().refused(2);
    let expected = "--clients: the stream already has 2 clients, which are more than 1: clients are added, and none is dropped";
    assert!(refused.contains(expected), "{refused}");
    assert_eq!(place.names(), ["day.jsonl"]);
}

#[test]
fn a_script_that_transforms_a_document_is_compiled_checked_and_run() {
    let place = Place::with_script(
        "local P = bench.params { day = { type = 'string', default = 'missing.jsonl' } }
        bench.transform(bench.load(P.day), {
            bench.filter { path = '!*.tmp' },
            bench.map(function(op, emit) emit(op) if op.kind == 'write' then emit:flush(op.handle) end end),
        })
        local seen = bench.counter('seen')
        bench.on_complete({ ops = { 'flush' }, fields = { 'kind' } }, function() seen:add(1) end)
        bench.thresholds { 'flush.count >= 1' }",
    );
    std::fs::create_dir(place.path().join("elsewhere")).unwrap();
    place.write("elsewhere/day.jsonl", DAY);
    place.smbench("compile s.lua -p day=elsewhere/day.jsonl -o x.jsonl").end().exits(0);
    let lines = place.read("x.jsonl");
    let kinds: Vec<&str> =
        lines.lines().filter_map(|line| line.split("\"type\":\"").nth(1)).collect();
    let kinds: Vec<&str> = kinds.iter().filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(kinds, ["Mkdir", "Open", "Write", "Flush", "Close"]);
    let said = place.smbench("validate s.lua -p day=elsewhere/day.jsonl").end().exits(0);
    assert!(said.stdout.contains("valid script, 1 workload, 2 clients"), "{}", said.stdout);
    let run = place.run("s.lua -p day=elsewhere/day.jsonl --target sim").end().exits(0);
    let summary = run.summary();
    assert_eq!(summary["totals"]["operations"], 4);
    assert_eq!(summary["metrics"]["seen"]["value"], 1);
    assert_eq!(summary["thresholds"][0]["pass"], true);
}

#[test]
fn a_document_that_is_missing_or_wrong_is_named_with_the_scripts_line_and_nothing_is_left() {
    let place = Place::with_script("local x = 1\nbench.load('day.jsonl')");
    let missing = place.run("s.lua --target sim").end().refused(2);
    let expected = "s.lua:2: bench.load: cannot read day.jsonl: No such file or directory";
    assert!(missing.contains(expected), "{missing}");
    let mut document = DAY.replace("{\"operations\":6}\n", "");
    for _ in 0..100_000 {
        document += "{\"client\":0,\"at_ns\":5000,\"type\":\"Stat\",\"path\":\"team\"}\n";
    }
    document += "{\"client\":0,\"at_ns\":4000,\"type\":\"Stat\",\"path\":\"team\"}\n";
    place.write("day.jsonl", document);
    let wrong = place.run("s.lua --target sim").end().refused(2);
    let expected = "s.lua:2: bench.load: day.jsonl:100008: time goes backwards";
    assert!(wrong.contains(expected), "{wrong}");
    assert_eq!(place.names(), ["day.jsonl", "s.lua"]);
}

#[test]
fn validate_reports_the_operations_that_a_transform_puts_into_another_order() {
    let document = r#"{"version":2,"workloads":[{"name":"staff","clients":2}]}
{"client":0,"at_ns":1000000,"type":"Mkdir","path":"team"}
{"client":1,"at_ns":2000000,"type":"List","path":"team","pattern":"*"}
{"client":1,"at_ns":3000000,"type":"Stat","path":"Team"}
{"operations":3}
"#;
    let place = Place::with_script(
        "bench.transform(bench.load('day.jsonl'), { bench.shift { by = '10ms', client = 'staff/0' } })",
    );
    place.write("day.jsonl", document);
    let said = place.smbench("validate s.lua").end().exits(0).stderr;
    let expected = "warning: in 2 pairs of operations one client now uses what another creates only later; the first: ";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("0-0") && said.contains("1-0"), "{said}");
    place.write(
        "s.lua",
        "bench.transform(bench.load('day.jsonl'), { bench.shift { by = '10ms' } })",
    );
    assert_eq!(place.smbench("validate s.lua").end().exits(0).stderr, "");
}
