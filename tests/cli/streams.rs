//! `compile`, and runs of the documents that it wrote.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::program::Place;
use crate::summary::number;

const SCRIPT: &str = r#"
local P = bench.params { io = { type = "size", default = "4KiB" } }
bench.phases { { name = "warmup", duration = "50ms", record = false }, { name = "steady", duration = "5s" } }
bench.setup(function(c) c:mkdir("team") end)
bench.workload { name = "w", clients = 3,
    setup = function(c) c:mkdir("team/u" .. c.id) end,
    iteration = function(c, rng)
        local h = c:open("team/u" .. c.id .. "/f" .. rng:int(0, 9), "rw")
        c:write(h, rng:int(0, 100) * 4096, P.io)
        c:read(h, 0, P.io)
        c:close(h)
        c:think(rng:exp(2e6))
    end,
    teardown = function(c) c:list("team/u" .. c.id, "*") end }
bench.teardown(function(c) c:stat("team") end)
"#;

fn compile(place: &Place, line: &str) -> String {
    place.smbench(&format!("compile {line}")).end().exits(0).stderr
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let place = Place::with_script(SCRIPT);
    let said = compile(&place, "s.lua -o a.jsonl --iterations 20");
    assert!(said.starts_with("248 operations, ir_hash "), "{said}");
    compile(&place, "s.lua -o b.jsonl --iterations 20 --seed 0");
    compile(&place, "s.lua -o c.jsonl --iterations 20 --seed 1");
    compile(&place, "s.lua -o d.jsonl --iterations 20 -p io=8KiB");
    assert_eq!(place.read("a.jsonl"), place.read("b.jsonl"));
    assert_ne!(place.read("a.jsonl"), place.read("c.jsonl"));
    assert_ne!(place.read("a.jsonl"), place.read("d.jsonl"));
    let printed = place.smbench("compile s.lua -o - --iterations 20").end().exits(0);
    assert_eq!(printed.stdout, place.read("a.jsonl"));
    assert_eq!(place.names(), ["a.jsonl", "b.jsonl", "c.jsonl", "d.jsonl", "s.lua"]);
}

/// Returns the counts and bytes of each operation in the phases, and the statuses of each operation
/// in setup and teardown.
fn sent(summary: &Value) -> Value {
    let phases = summary["phases"].as_array().unwrap().iter();
    let mut measured = serde_json::Map::new();
    for (name, figures) in phases.flat_map(|phase| phase["operations"].as_object().unwrap()) {
        let before = measured.get(name).unwrap_or(&json!([0, 0])).clone();
        let [count, bytes] = [number(&figures["count"]), number(&figures["bytes"])];
        let sums = json!([number(&before[0]) + count, number(&before[1]) + bytes]);
        measured.insert(name.clone(), sums);
    }
    let of = |section: &str| -> Value {
        let operations = summary[section]["operations"].as_object().unwrap().iter();
        operations.map(|(name, figures)| (name.clone(), figures["statuses"].clone())).collect()
    };
    json!({ "setup": of("setup"), "measured": measured, "teardown": of("teardown") })
}

#[test]
fn a_compiled_document_runs_as_its_script_does() {
    let place = Place::with_script(SCRIPT);
    let from_script = place.run_to("one", "s.lua --target sim --iterations 20").end().exits(0);
    compile(&place, "s.lua -o x.jsonl --iterations 20");
    let from_document = place.run_to("two", "x.jsonl --target sim").end().exits(0);
    let [one, two] = [from_script.summary(), from_document.summary()];
    assert_eq!(sent(&one), sent(&two));
    assert_eq!(one["run"]["params"], two["run"]["params"]);
    assert_eq!(one["run"]["script_hash"], two["run"]["script_hash"]);
    let valid = place.smbench("validate x.jsonl").end().exits(0).stdout;
    let hash = two["run"]["ir_hash"].as_str().unwrap();
    assert_eq!(
        valid,
        format!("x.jsonl: valid document, 248 operations of 4 clients, ir_hash {hash}\n")
    );
    let valid = place.smbench("validate s.lua").end().exits(0).stdout;
    assert_eq!(
        valid,
        "s.lua: valid script, 1 workload, 3 clients; checked the first 3,008 operations of all clients, setup and teardown included: they are the same on any number of threads\n"
    );
}

#[test]
fn a_stream_that_does_not_fit_version_1_is_refused_and_leaves_nothing() {
    let place = Place::with_script(SCRIPT);
    let message = place.smbench("compile s.lua -o x.json --iterations 2").end().refused(2);
    assert_eq!(
        message,
        "operation \"3-0\" (Mkdir) does not fit a version 1 document: version 1 has no such type; version 2 (.jsonl) can hold it"
    );
    compile(&place, "s.lua -o x.jsonl --iterations 2");
    let again = place.smbench("compile x.jsonl -o x.json").end().refused(2);
    assert!(again.ends_with(message.split_once('"').unwrap().1), "{again}");
    assert_eq!(place.names(), ["s.lua", "x.jsonl"]);
}

#[test]
fn an_existing_document_is_replaced_only_on_request_and_as_a_whole() {
    let place = Place::with_script(SCRIPT);
    place.write("x.jsonl", "precious");
    let message = place.smbench("compile s.lua -o x.jsonl --iterations 2").end().refused(2);
    assert_eq!(message, "x.jsonl exists; --force replaces it");
    place.write(
        "bad.lua",
        "bench.workload { name = 'w', iteration = function(c) c:stat('a') error('no') end }",
    );
    let message = place.smbench("compile bad.lua -o x.jsonl --iterations 2 --force").end();
    assert_eq!(message.refused(2), "bad.lua:1: no (client w/0)");
    assert_eq!(place.read("x.jsonl"), "precious");
    compile(&place, "s.lua -o x.jsonl --iterations 2 --force");
    assert!(place.read("x.jsonl").starts_with("{\"version\":2"));
    let message = place.smbench("compile s.lua -o none/x.jsonl --iterations 2").end().refused(2);
    assert!(
        message.starts_with("--output none/x.jsonl: there is no directory none; "),
        "{message}"
    );
    assert_eq!(place.names(), ["bad.lua", "s.lua", "x.jsonl"]);
}

/// Writes a version 1 document with every type of operation, and with unknown keys.
fn every_operation(place: &Place) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::copy(fixtures.join("hello.bin"), place.path().join("hello.bin")).unwrap();
    let here = place.path().canonicalize().unwrap().display().to_string();
    let text = fs::read_to_string(fixtures.join("every_operation.json")).unwrap();
    place.write("x.json", text.replace("/blobs/", &format!("{here}/")));
}

#[test]
fn version_1_survives_a_round_trip_through_either_version() {
    let place = Place::new();
    every_operation(&place);
    compile(&place, "x.json -o y.json");
    compile(&place, "x.json -o y.jsonl");
    compile(&place, "y.jsonl -o z.json");
    let json = |name: &str| serde_json::from_str::<Value>(&place.read(name)).unwrap();
    assert_eq!(json("y.json"), json("x.json"));
    assert_eq!(json("z.json"), json("x.json"));
    for document in ["x.json", "y.json", "y.jsonl", "z.json"] {
        let run = place
            .run_to(&format!("out-{document}"), &format!("{document} --target sim:null --degrade"));
        let ended = run.end().exits(0);
        assert!(!ended.stderr.contains("edited"), "{document}: {ended:?}");
        let summary = ended.summary();
        assert_eq!(number(&summary["totals"]["succeeded"]), 10, "{document}");
    }
}

#[test]
fn an_interrupted_compile_leaves_no_half_written_document() {
    let place = Place::with_script(SCRIPT);
    for signal in [Signal::INT, Signal::TERM] {
        let mut running = place
            .smbench("compile s.lua -o x.jsonl --operations 1000000000 --duration 24h")
            .start();
        running.until("a first piece", || place.names().len() > 1);
        running.signal(signal);
        running.end().exits(130);
        assert_eq!(place.names(), ["s.lua"]);
    }
}

#[test]
fn a_time_scale_stretches_recorded_times_and_phases_and_loses_no_operation() {
    let place = Place::with_script(
        r#"
bench.phases { { name = "day", duration = "200ms" } }
bench.workload { name = "w", iteration = function(c)
    for i = 0, 20 do c:at(i * 1e7) c:stat("") end
end }"#,
    );
    for (scale, seconds) in [("2", 0.4), ("0.5", 0.1)] {
        let line = format!("s.lua --iterations 1 --target sim:null --time-scale {scale}");
        let summary = place.run_to(&format!("results-{scale}"), &line).end().exits(0).summary();
        assert_eq!(summary["phases"][0]["duration_s"], seconds);
        assert_eq!(summary["totals"]["operations"], 20);
    }
    let refused = place.run("s.lua --time-scale 0").end().refused(2);
    assert!(refused.contains("--time-scale"), "{refused}");
}

#[test]
fn validate_finds_a_script_whose_clients_share_a_counter() {
    let place = Place::with_script(
        "local n = 0
        bench.workload { name = 'w', clients = 4, iteration = function(c)
            n = n + 1
            c:stat('f' .. n)
        end }",
    );
    let message = place.smbench("validate s.lua").end().refused(2);
    assert_eq!(
        message,
        "s.lua: the stream depends on how it is made: operation 0-0 (client w/0) is stat path=\"f1\" from 1 thread in batches of 64, and stat path=\"f8\" from 2 threads in batches of 7; most likely clients share something that changes, an upvalue (a local variable outside of setup, iteration and teardown) or a table in one: keep it inside the function or by client (t[c.id]), and make it from c.id, c.iteration and rng"
    );
}
