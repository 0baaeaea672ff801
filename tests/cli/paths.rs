//! Paths in errors, which are those that the user gave.

use std::fs;

use crate::program::Place;

const BROKEN: &str = "bench.workload { name = 'w', iteration = function(c)\nc:stat(5) end }";

fn team(script: &str, module: &str) -> Place {
    let place = Place::new();
    fs::create_dir_all(place.path().join("team/lib")).unwrap();
    place.write("team/a.lua", script);
    place.write("team/lib/m.lua", module);
    place
}

#[test]
fn an_error_of_a_script_names_its_path_as_it_was_given() {
    let place = team(BROKEN, "");
    let whole = place.path().join("team/a.lua").display().to_string();
    for path in ["team/a.lua", "./team/a.lua", "team/../team/a.lua", &whole] {
        let expected = format!("{path}:2: stat: the path is a string, not 5 (client w/0)");
        for command in
            ["run --target sim --out out", "validate", "compile --iterations 1 -o x.jsonl"]
        {
            assert_eq!(place.smbench(&format!("{command} {path}")).end().refused(2), expected);
        }
    }
    let depends = "local n = 0 bench.workload { name = 'w', clients = 2,
        iteration = function(c) n = n + 1 c:stat('f' .. n) end }";
    let message = team(depends, "").smbench("validate team/a.lua").end().refused(2);
    assert!(message.starts_with("team/a.lua: the stream depends on how it is made"), "{message}");
    let none = team("local x = 1", "").smbench("validate team/a.lua").end().refused(2);
    assert!(none.starts_with("team/a.lua: the script has no workload"), "{none}");
    let wrong = team("local x =", "").smbench("validate team/a.lua").end().refused(2);
    assert!(wrong.starts_with("team/a.lua:1: Expected identifier"), "{wrong}");
}

#[test]
fn an_error_of_a_module_names_its_path_beside_the_script() {
    let script = "local m = require('./lib/m')
        bench.workload { name = 'w', iteration = function(c) m.go(c) end }";
    let place = team(script, "return { go = function(c)\nc:stat(5) end }");
    assert_eq!(
        place.smbench("validate team/a.lua").end().refused(2),
        "team/lib/m.lua:2: stat: the path is a string, not 5 (client w/0)"
    );
    let missing = team("require('./lib/none')", "").smbench("validate team/a.lua").end().refused(2);
    assert_eq!(
        missing,
        "team/a.lua:1: module \"./lib/none\" not found: the script's directory has none of lib/none.lua, lib/none.luau, lib/none/init.lua, lib/none/init.luau"
    );
}

#[test]
fn an_error_in_a_hook_or_a_threshold_names_the_path_too() {
    let workload = "bench.workload { name = 'w', iteration = function(c) c:stat('') end }\n";
    let hooks = team(&format!("{workload}bench.on_complete(function() error('no') end)"), "");
    let ended = hooks.run("team/a.lua --target sim --iterations 2").end().exits(4);
    let problems = &ended.summary()["problems"];
    assert_eq!(problems[0], "team/a.lua:2: no (2 times, in a hook)");
    let threshold = team(&format!("{workload}bench.thresholds {{ 'stat.respnse.p99 < 1s' }}"), "");
    let message = threshold.run("team/a.lua --target sim").end().refused(2);
    assert!(message.starts_with("team/a.lua:2: bench.thresholds: "), "{message}");
}

#[test]
fn an_error_of_a_document_or_a_blob_names_the_path_as_it_was_given() {
    let place = team("", "");
    place.write("team/x.jsonl", "{\"version\":2,\"workloads\":[]}\n");
    let message = place.smbench("validate team/x.jsonl").end().refused(2);
    assert!(message.starts_with("team/x.jsonl: "), "{message}");
    let message = place.smbench("validate ./team/none.json").end().refused(2);
    assert!(message.starts_with("./team/none.json: cannot be read"), "{message}");
    place.write(
        "team/a.lua",
        "bench.workload { name = 'w', iteration = function(c)
            local h = c:open('f', 'w')
            c:write(h, 0, 1, { blob = '/etc/passwd' })
        end }",
    );
    let message = place.smbench("validate team/a.lua").end().refused(2);
    assert_eq!(
        message,
        "team/a.lua:3: write: blob \"/etc/passwd\" is outside of team, or a symbolic link leads there; allow its directory with --allow-blobs, and name it by its path in that directory (client w/0)"
    );
}

#[test]
fn the_stream_and_its_name_do_not_depend_on_where_the_script_lies() {
    let script = "bench.workload { name = 'w', iteration = function(c)
        local _, why = pcall(function() c:stat(5) end)
        c:stat((why:gsub('[:]', '')))
    end }";
    let place = team(script, "");
    place.write("a.lua", script);
    for (path, out) in [("team/a.lua", "one.jsonl"), ("a.lua", "two.jsonl")] {
        place.smbench(&format!("compile {path} --iterations 3 -o {out}")).end().exits(0);
    }
    assert_eq!(place.read("one.jsonl"), place.read("two.jsonl"));
}
