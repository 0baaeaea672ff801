//! Scripts that do not end, use too much memory, or fail.

use crate::program::{Ended, Place};
use crate::summary::number;

fn top_level(text: &str, flags: &str) -> String {
    Place::with_script(text).run(&format!("s.lua --target sim {flags}")).end().refused(2)
}

fn run_iteration(body: &str, flags: &str, what: impl FnOnce(Ended) -> String) -> String {
    let start = "bench.workload { name = 'w', clients = 2, iteration = function(c)";
    let place = Place::with_script(&format!("{start}\n{body}\nend }}"));
    what(place.run(&format!("s.lua --target sim --duration 20s {flags}")).end())
}

/// Returns the error of a run that is refused before it begins.
fn in_iteration(body: &str, flags: &str) -> String {
    run_iteration(body, flags, |ended| ended.refused(2))
}

/// Returns the problem that ends a run, which leaves results.
fn late_in_iteration(body: &str, flags: &str) -> String {
    run_iteration(body, flags, |ended| ended.broke_off(2).0)
}

const FOR_EVER: &str =
    "no result after 200ms of computing (--script-time); the script seems to loop forever";

#[test]
fn a_loop_for_ever_is_ended_wherever_it_is() {
    assert_eq!(
        top_level("while true do end", "--script-time 200ms"),
        format!("s.lua:1: {FOR_EVER}")
    );
    let problem = in_iteration("while true do end", "--script-time 200ms");
    assert!(problem.starts_with(&format!("s.lua:2: {FOR_EVER} (client w/")), "{problem}");
    let hidden = "while true do pcall(function() while true do end end) end";
    let problem = in_iteration(hidden, "--script-time 200ms");
    assert!(problem.starts_with(&format!("s.lua:2: {FOR_EVER} (client w/")), "{problem}");
    let problem = in_iteration("local x = 1", "--script-time 20s");
    assert!(problem.contains("made no operation in 100000 rounds"), "{problem}");
}

#[test]
fn help_and_validate_and_compile_end_a_loop_too() {
    for line in ["run s.lua --help", "validate s.lua", "compile s.lua -o x.jsonl"] {
        let place = Place::with_script("while true do end");
        let message = place.smbench(&format!("{line} --script-time 200ms")).end().refused(2);
        assert_eq!(message, format!("s.lua:1: {FOR_EVER}"), "{line}");
        assert_eq!(place.names(), ["s.lua"]);
    }
}

#[test]
fn endless_recursion_is_an_error_with_its_line() {
    let recursion = "local function f() return 1 + f() end f()";
    assert_eq!(top_level(recursion, ""), "s.lua:1: stack overflow");
    let problem = in_iteration(recursion, "");
    assert!(problem.starts_with("s.lua:2: stack overflow (client w/"), "{problem}");
}

#[test]
fn a_script_that_eats_memory_is_ended_at_its_limit() {
    let eats = "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end";
    let flags = "--script-memory 32MiB --script-time 30s";
    let limit = "s.lua: the script needs more memory than its limit of 32 MiB (of --script-memory)";
    assert_eq!(top_level(eats, flags), limit);
    let rest = "s.lua: the script needs more memory than its limit of 24 MiB (--script-memory, less what operations and hooks get of it)";
    for generators in ["1", "2"] {
        let problem = in_iteration(eats, &format!("{flags} --generators {generators}"));
        assert!(problem.starts_with(&format!("{rest} (client w/")), "{problem}");
    }
    let late = format!("c:stat('') if c.iteration == 1200 then {eats} end");
    let flags = format!("{flags} --generators 2 --iterations 1300");
    let problem = late_in_iteration(&late, &flags);
    let half = "s.lua: the script needs more memory than its limit of 12 MiB on each of 2 generator threads (--script-memory, less what operations and hooks get of it, is the sum over them, --generators their number)";
    assert!(problem.starts_with(&format!("{half} (client w/")), "{problem}");
}

#[test]
fn a_top_level_that_leaves_more_than_a_threads_part_of_the_memory_is_refused() {
    let keeps = "local t = table.create(1.2e6, 1)
        bench.workload { name = 'w', clients = 2, iteration = function(c) c:stat('') t[1] = 1 end }";
    let flags = "--script-memory 32MiB --generators 2";
    let half = "s.lua: the script needs more memory than its limit of 12 MiB on each of 2 generator threads (--script-memory, less what operations and hooks get of it, is the sum over them, --generators their number)";
    assert_eq!(top_level(keeps, flags), half);
    let flags = "--script-memory 32MiB --generators 8 --clients 1 --iterations 1";
    let place = Place::with_script(keeps);
    place.run(&format!("s.lua --target sim {flags}")).end().exits(0);
}

#[test]
fn operations_that_take_more_than_their_part_of_the_memory_end_the_run() {
    let long = "while c:running() do c:stat(('x/'):rep(15000)) c:think('1h') end";
    // The check before a run makes at most 1,000 operations of a client.
    let short_first = format!("for i = 1, 1100 do c:stat('a') end {long}");
    let flags = "--script-memory 16MiB --clients 90 --generators 2";
    let problem = late_in_iteration(&short_first, flags);
    let half = "s.lua:2: stat: the operations that wait to be issued take more than 1 MiB on each of 2 generator threads; ";
    assert!(problem.starts_with(half), "{problem}");
    assert!(problem.contains("an eighth of --script-memory is theirs"), "{problem}");
}

#[test]
fn an_error_of_one_client_in_a_thousand_names_it_and_the_results_are_written() {
    let place = Place::with_script(
        r#"
        bench.workload { name = "editors", clients = 1000,
            setup = function(c) c:mkdir("u" .. c.id) end,
            iteration = function(c)
                c:stat("u" .. c.id)
                if c.id == 731 and c.iteration == 70 then
                    local x = nil
                    c:stat(x.name)
                end
                c:think("1ms")
            end,
            teardown = function(c) c:rmdir("u" .. c.id) end }"#,
    );
    let ended = place.run("s.lua --target sim --duration 20s").end();
    let (problem, summary) = ended.broke_off(2);
    assert_eq!(problem, "s.lua:8: attempt to index nil with 'name' (client editors/731)");
    assert_eq!(summary["exit_reasons"], serde_json::json!(["invalid"]));
    assert!(number(&summary["totals"]["operations"]) > 0);
    assert_eq!(number(&summary["setup"]["operations"]["mkdir"]["count"]), 1000);
    assert_eq!(number(&summary["teardown"]["operations"]["rmdir"]["count"]), 1000);
    assert_eq!(number(&summary["teardown"]["totals"]["failed"]), 0);
}

#[test]
fn an_endless_compile_says_how_to_bound_it() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c) c:stat('a') end }",
    );
    assert_eq!(
        place.smbench("compile s.lua -o x.jsonl").end().refused(2),
        "the stream has no end; bound it with --iterations N (per client), --operations N or --duration (nominal time)"
    );
    assert_eq!(
        place.smbench("compile s.lua -o x.jsonl --duration 5s").end().refused(2),
        "--duration does not end this stream: client w/0 made 100000 operations and its nominal clock did not move, so no duration ends them; bound them with --iterations N (per client) or --operations N, or let the client think (c:think, c:at)"
    );
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c) while true do c:stat('a') end end }",
    );
    let message = place.smbench("compile s.lua -o x.jsonl --iterations 1").end().refused(2);
    assert_eq!(
        message,
        "s.lua:1: stat: one iteration made more than 1000000 operations, so it seems endless; end the loop, or loop over c:running() (client w/0)"
    );
    assert_eq!(place.names(), ["s.lua"]);
}

#[test]
fn a_file_that_is_no_script_is_refused_without_running_it() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("folder.lua")).unwrap();
    place.write("binary.lua", b"\x7fELF\x02\x01\x01\0\0\xff\xfe");
    place.write("bytecode.lua", b"\x1bLua\x51");
    place.write("large.lua", vec![b'-'; 2 << 20]);
    place.write("empty.lua", "");
    place.write("syntax.lua", "local x = = 1");
    std::os::unix::fs::symlink("/dev/zero", place.path().join("zero.lua")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(place.path().join("pipe.lua")).status();
    assert!(made.unwrap().success());
    let no_file = "it is not a regular file";
    for (name, reason) in [
        ("missing.lua", "No such file or directory (os error 2)"),
        ("folder.lua", no_file),
        ("pipe.lua", no_file),
        ("zero.lua", no_file),
        ("binary.lua", "it is not UTF-8 text"),
        ("bytecode.lua", "it is compiled bytecode; a script must be source code"),
        ("large.lua", "it has more than 1048576 bytes, the most a script may have"),
    ] {
        for command in ["run --target sim --out out", "validate", "compile -o x.jsonl"] {
            let message = place.smbench(&format!("{command} {name}")).end().refused(2);
            assert_eq!(message, format!("cannot read {name}: {reason}"));
        }
    }
    let message = place.run("syntax.lua").end().refused(2);
    assert!(message.starts_with("syntax.lua:1: "), "{message}");
    assert_eq!(
        place.run("empty.lua").end().refused(2),
        "empty.lua: the script has no workload; add bench.workload { name = …, iteration = function(c, rng) … end }, or load a document with bench.load"
    );
}

#[test]
fn output_of_a_script_goes_to_standard_error_with_its_control_characters_escaped() {
    let place = Place::with_script(
        "print('hello \\27[31m') bench.workload { name = 'w', iteration = function(c) c:stat('') end }",
    );
    let ended = place.run("s.lua --target sim --iterations 1 --json").end().exits(0);
    assert!(ended.stderr.contains("hello"), "{ended:?}");
    serde_json::from_str::<serde_json::Value>(&ended.stdout).unwrap();
}

#[test]
fn a_script_prints_a_mebibyte_and_the_lines_that_are_not_shown_are_counted() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c) print(('x'):rep(1023)) c:stat('') end }",
    );
    let ended = place.run("s.lua --target sim:null --iterations 3000").end().exits(0);
    assert_eq!(ended.stderr.matches(&"x".repeat(1023)).count(), 1024);
    let reported: Vec<&str> =
        ended.stderr.lines().filter(|line| line.starts_with("print: ")).collect();
    assert_eq!(
        reported,
        [
            "print: that was the last of 1 MiB; from here on lines are counted, not shown",
            "print: 1976 more lines not shown",
        ]
    );
}

#[test]
fn validate_makes_a_stream_twice_and_prints_once() {
    let place = Place::with_script(
        "print('top')
        bench.workload { name = 'w', clients = 3, iteration = function(c)
            if c.iteration == 0 then print('client', c.id) end
            c:stat('all')
        end }",
    );
    let said = place.smbench("validate s.lua").end().exits(0).stderr;
    let printed: Vec<&str> =
        said.lines().filter(|line| line.starts_with("top") || line.starts_with("client")).collect();
    assert_eq!(printed, ["top", "client\t0", "client\t1", "client\t2"]);
}

#[test]
fn whatever_the_number_of_threads_a_script_prints_once_and_every_client_runs_its_course() {
    let place = Place::with_script(
        "print('hello')
        bench.setup(function(c) c:mkdir('all') end)
        bench.workload { name = 'w', clients = 7, iteration = function(c) c:stat('all') end }
        bench.workload { name = 'v', clients = 1,
            setup = function(c) print('client of v') c:stat('all') end,
            iteration = function(c) c:list('all') end }",
    );
    let mut hashes = Vec::new();
    for generators in [1, 3, 20] {
        let line = format!("s.lua --target sim --iterations 50 --generators {generators}");
        let ended = place.run_to(&format!("out{generators}"), &line).end().exits(0);
        assert_eq!(ended.stderr.matches("hello").count(), 1, "{ended:?}");
        assert_eq!(ended.stderr.matches("client of v").count(), 1, "{ended:?}");
        let summary = ended.summary();
        assert_eq!(number(&summary["operations"]["stat"]["count"]), 350);
        assert_eq!(number(&summary["operations"]["list"]["count"]), 50);
        assert_eq!(number(&summary["setup"]["operations"]["mkdir"]["count"]), 1);
        hashes.push(summary["run"]["ir_hash"].clone());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}
