//! The outputs of the program: tables, JSON, pipes, colors.

use std::fs::File;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::Place;

const SCRIPT: &str = "bench.workload { name = 'w', iteration = function(c) c:stat('') end }";

#[test]
fn json_is_the_summary_and_nothing_else() {
    let place = Place::with_script(SCRIPT);
    let ended = place.run("s.lua --target sim --iterations 5 --json").end().exits(0);
    let printed: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(printed, ended.summary());
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_run_that_breaks_off_says_why_on_standard_error_where_there_is_no_table() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c)
            c:stat('')
            if c.iteration == 1200 then error('boom') end
        end }",
    );
    let json = place.run_to("a", "s.lua --target sim:null --json").end().exits(2);
    assert_eq!(json.stderr, "error: s.lua:3: boom (client w/0)\n");
    let printed: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(printed["problems"][0], "s.lua:3: boom (client w/0)");
    let quiet = place.run_to("b", "s.lua --target sim:null --quiet").end().exits(2);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr), ("", json.stderr));
}

#[test]
fn quiet_says_nothing_of_a_good_run() {
    let place = Place::with_script(SCRIPT);
    let ended = place.run("s.lua --target sim --iterations 5 --quiet").end().exits(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
}

#[test]
fn a_table_in_a_pipe_has_no_colours_whatever_the_terminal() {
    let place = Place::with_script(SCRIPT);
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "xterm-256color"), ("COLUMNS", "40")] {
        // Every call is checked for escape sequences, so this test does not look for them.
        let call = place.run_to(name, "s.lua --target sim --iterations 5").env(name, value);
        let ended = call.end().exits(0);
        assert!(ended.stdout.starts_with("s.lua on sim"), "{}", ended.stdout);
        assert!(ended.stdout.ends_with(&format!("results: {name}\n")), "{}", ended.stdout);
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::with_script(SCRIPT);
    for line in [
        "run s.lua --target sim --iterations 5 --allow-late --out out",
        "run s.lua --target sim --iterations 5 --allow-late --out json --json",
        "run --help",
        "compile s.lua -o - --operations 3000000",
    ] {
        let mut head = Command::new("head")
            .args(["-c", "1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pipe = head.stdin.take().unwrap();
        let ended = place.smbench(line).stdout(pipe).end().exits(0);
        assert_eq!(ended.stderr, "", "{line}");
        assert!(head.wait().unwrap().success());
    }
}

#[test]
fn a_full_disk_behind_the_output_is_an_error_and_behind_the_errors_none() {
    let place = Place::with_script(SCRIPT);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let line = "s.lua --target sim --iterations 5";
    let ended = place.run_to("a", line).stdout(full()).end().exits(2);
    let error = "error: cannot write standard output: No space left on device (os error 28)\n";
    assert_eq!(ended.stderr, error);
    place.run_to("b", line).stderr(full()).end().exits(0);
    place.run_to("c", "none.lua").stderr(full()).end().exits(2);
    place.smbench("validate none.json").stderr(full()).end().exits(2);
    place.smbench("run s.lua --bogus").stderr(full()).end().exits(2);
    place.smbench("compile s.lua -o x.jsonl --operations 5").stderr(full()).end().exits(0);
    let prints = Place::with_script(&format!("print('hello')\n{SCRIPT}"));
    prints.run(line).stderr(full()).end().exits(0);
    let compiled = place.smbench("compile s.lua -o - --operations 5").stdout(full()).end();
    let message = compiled.refused(2);
    assert_eq!(message, "the document cannot be written: No space left on device (os error 28)");
}

#[test]
fn names_in_the_table_cannot_play_tricks_on_a_terminal() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c) c:delete('a\\u{202e}b\\u{9b}2J') end }",
    );
    let ended = place.run("s.lua --target sim --iterations 1").end().exits(4);
    assert!(!ended.stdout.contains(['\u{202e}', '\u{9b}']), "{}", ended.stdout);
    assert!(ended.stdout.contains(r"a\u{202e}b\u{9b}2J"), "{}", ended.stdout);
}
