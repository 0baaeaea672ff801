//! `smbench test`: the tests of workloads in Lua, their output and their exit codes.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::program::{Place, names};

const BEGIN: &str = "local test = require('@bench/test') local expect = test.expect\n";

const PASSES: &str =
    "test.describe('mail', function() test.it('is sent', function() expect(1):to_be(1) end) end)";
const FAILS: &str = "test.describe('mail', function() test.it('is lost', function()
    print('looking', 'for it')
    expect(3):to_be(4)
end) end)";
const WORKLOAD: &str = "bench.workload { name = 'w', clients = 2, iteration = function(c) c:mkdir('d' .. c.id .. '-' .. c.iteration) c:think('1ms') end }";

fn place(files: &[(&str, &str)]) -> Place {
    let place = Place::new();
    for (name, text) in files {
        let text = if name.contains("test") { format!("{BEGIN}{text}") } else { text.to_string() };
        place.write(name, text);
    }
    place
}

/// Returns the lines of the output without the times, which end a line after two blanks.
fn lines(stdout: &str) -> Vec<String> {
    let time = |line: &str| line.ends_with(" s") && line.contains("  ");
    let without = |line: &str| match time(line) {
        true => line.rsplit_once("  ").unwrap().0.to_string(),
        false => line.to_string(),
    };
    stdout.lines().map(without).collect()
}

#[test]
fn a_line_for_each_file_then_the_failures_then_the_summary() {
    let place = place(&[("b_test.lua", FAILS), ("a.test.luau", PASSES), ("s.lua", WORKLOAD)]);
    fs::create_dir(place.path().join("sub")).unwrap();
    place.write("sub/c_test.lua", format!("{BEGIN}{PASSES}"));
    let ended = place.smbench("test --jobs 2").end().exits(99);
    assert_eq!(ended.stderr, "");
    assert_eq!(
        lines(&ended.stdout),
        [
            "   ok a.test.luau: 1 test",
            " FAIL b_test.lua: 1 test, 1 failed",
            "   ok sub/c_test.lua: 1 test",
            "",
            "FAIL b_test.lua: mail > is lost",
            "  b_test.lua:4: expected 3 to be 4",
            "  printed:",
            "    looking    for it",
            "",
            "3 tests in 3 files: 2 passed, 1 failed",
        ]
    );
    let named = place.smbench("test sub a.test.luau").end().exits(0);
    assert_eq!(
        lines(&named.stdout),
        [
            "   ok sub/c_test.lua: 1 test",
            "   ok a.test.luau: 1 test",
            "",
            "2 tests in 2 files: 2 passed"
        ]
    );
}

#[test]
fn the_files_are_shown_in_their_order_whatever_the_order_in_which_they_end() {
    let slow = "test.it('slow', function() test.run('./s.lua', { duration = '700ms' }) end)";
    let place = place(&[
        ("a_test.lua", slow),
        ("b_test.lua", PASSES),
        ("c_test.lua", PASSES),
        ("s.lua", WORKLOAD),
    ]);
    let ended = place.smbench("test --jobs 3").end().exits(0);
    let files: Vec<&str> = ended.stdout.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(files[..3], ["   ok a_test.lua", "   ok b_test.lua", "   ok c_test.lua"]);
}

#[test]
fn a_file_that_does_not_load_exits_with_2_and_the_others_are_tested() {
    let place =
        place(&[("a_test.lua", "error('boom')"), ("b_test.lua", PASSES), ("c_test.lua", FAILS)]);
    place.write("d_test.lua", b"-- \xff");
    place.write(
        "e_test.lua",
        format!("{BEGIN}test.describe('x', function() error('in a group') end)"),
    );
    let ended = place.smbench("test").end().exits(2);
    let shown = lines(&ended.stdout);
    assert_eq!(shown[0], "ERROR a_test.lua: does not load");
    assert_eq!(shown[1], "   ok b_test.lua: 1 test");
    for line in [
        "  a_test.lua:2: boom",
        "  cannot read d_test.lua: it is not UTF-8 text",
        "  e_test.lua:2: in a group",
    ] {
        assert!(shown.iter().any(|shown| shown == line), "{line}: {shown:#?}");
    }
    assert_eq!(
        shown.last().unwrap(),
        "2 tests in 5 files: 1 passed, 1 failed, 3 files do not load"
    );
}

#[test]
fn without_a_test_there_is_an_error() {
    let empty = place(&[("s.lua", WORKLOAD)]);
    let message = empty.smbench("test").end().refused(2);
    assert_eq!(
        message,
        "no test files in .: their names end in _test.lua, .test.lua, _test.luau or .test.luau"
    );
    let message = empty.smbench("test none").end().refused(2);
    assert_eq!(message, "cannot read none: No such file or directory (os error 2)");
    let some = place(&[("a_test.lua", PASSES)]);
    let message = some.smbench("test --filter nowhere").end().refused(2);
    assert_eq!(message, "--filter \"nowhere\" matches the name of no test");
    some.smbench("test --filter").arg("mail > is sent").end().exits(0);
    let nothing = place(&[("a_test.lua", "test.describe('x', function() end)")]);
    let message = nothing.smbench("test").end().refused(2);
    assert_eq!(message, "the test files have no tests: declare them with test.it");
    let message = some.smbench("test --timeout 0s").end().exits(2).stderr;
    assert!(message.contains("must be more than 0"), "{message}");
}

#[test]
fn a_run_leaves_nothing_and_its_summary_is_what_a_test_sees() {
    let test = "test.it('runs', function()
        local summary = test.run('./s.lua', { duration = '300ms', clients = 3, seed = 7 })
        expect(summary.totals.failed):to_be(0)
        expect(summary.totals.operations):to_be_at_least(3)
        expect(summary.run.seed):to_be(7)
        expect(summary.workloads[1].clients):to_be(3)
        expect(function() test.run('./s.lua', { target = 'smb://u@localhost/x' }) end):to_fail('need no server')
        expect(function() test.run('./s.lua', { target = 'nowhere' }) end):to_fail('unknown target')
        expect(function() test.run('./bad.lua') end):to_fail('bad.lua:1: boom')
    end)
    test.it('runs on the embedded server', function()
        local summary = test.run('./s.lua', { target = 'embedded', iterations = 2 })
        expect(summary.totals.operations):to_be(4)
        expect(summary.thresholds[1].pass):to_be(false)
        expect(summary.exit_code):to_be(99)
    end)";
    let limit =
        format!("{WORKLOAD} bench.thresholds {{ 'iterations.count > 1000' }} print('hello')");
    let place = place(&[("a_test.lua", test), ("s.lua", &limit), ("bad.lua", "error('boom')")]);
    let ended = place.smbench("test").end();
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(place.names(), ["a_test.lua", "bad.lua", "s.lua"]);
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_run_that_does_not_end_is_stopped_with_its_test() {
    let endless = "bench.workload { name = 'w', setup = function(c) c:think('1h') c:mkdir('x') end, iteration = function(c) c:stat('') end }";
    let test = "test.it('waits', function() test.run('./s.lua', { duration = '100ms' }) end) test.it('next', function() end)";
    let place = place(&[("a_test.lua", test), ("s.lua", endless)]);
    let ended = place.smbench("test --timeout 1s").end().exits(99);
    let shown = lines(&ended.stdout);
    assert_eq!(shown[0], " FAIL a_test.lua: 2 tests, 1 failed");
    let why = "  a_test.lua:2: test.run: the run was stopped when it had lasted ";
    assert!(shown.iter().any(|line| line.starts_with(why)), "{shown:#?}");
}

#[test]
fn an_interrupt_ends_the_tests_soon_and_leaves_nothing() {
    // The snapshot says that the test runs, so that the one before it has passed.
    let endless = "test.it('a', function() end) test.it('endless', function() expect(1):to_match_snapshot('begun') while true do end end) test.it('c', function() end)";
    let long = "test.it('long', function() test.run('./s.lua', { duration = '10m' }) end)";
    for signal in [Signal::INT, Signal::TERM] {
        let place = place(&[
            ("a_test.lua", endless),
            ("b_test.lua", long),
            ("c_test.lua", PASSES),
            ("s.lua", WORKLOAD),
        ]);
        place.write("out.xml", "old");
        let mut running =
            place.smbench("test --jobs 2 --timeout 1h --junit out.xml").env("CI", "").start();
        let temporary = running.temporary().to_path_buf();
        let begun = place.path().join("snapshots/a_test.lua/begun.jsonl");
        running.until("both files", || {
            begun.exists()
                && names(&temporary)
                    .iter()
                    .any(|name| temporary.join(name).join("results").exists())
        });
        running.signal(signal);
        let ended = running.end().exits(130);
        let shown = lines(&ended.stdout);
        assert_eq!(shown[0], " STOP a_test.lua: 3 tests, 2 not run", "{ended:#?}");
        assert_eq!(shown[1], " STOP b_test.lua: 1 test, 1 not run");
        assert_eq!(
            shown.last().unwrap(),
            "4 tests in 2 files: 1 passed, 3 not run, interrupted, 1 file not tested"
        );
        assert_eq!(ended.stderr, "");
        assert_eq!(names(&temporary), [""; 0]);
        let junit = place.read("out.xml");
        let (_, left) = junit.split_once("<testsuite name=\"c_test.lua\"").expect(&junit);
        assert!(left.contains("<testcase name=\"the file is tested\""), "{junit}");
        assert!(left.contains("<error message=\"the tests were interrupted before"), "{junit}");
    }
}

#[test]
fn the_junit_file_can_be_read_whatever_the_names_and_messages_hold() {
    let test = "test.it('a <b> & \"c\" \\0\\27\\8 ]]> \\u{fffe} \\u{202e}', function() print(']]> \\0 \\27[31m <x>') error('bad \\1 </failure> & \\u{ffff}') end)
    test.it('fine', function() end)";
    let place =
        place(&[("a_test.lua", test), ("b_test.lua", "error('<no> \\2')"), ("c_test.lua", PASSES)]);
    place.smbench("test --junit out.xml").end().exits(2);
    place.smbench("test --junit out.xml").end().exits(2);
    let script = "
import sys, xml.etree.ElementTree as tree
root = tree.parse('out.xml').getroot()
print(root.tag, root.get('tests'), root.get('failures'), root.get('errors'))
for case in root.iter('testcase'):
    kinds = [child.tag for child in case if child.tag in ('failure', 'error')]
    print(case.get('classname'), ascii(case.get('name')), kinds, case.get('file'), case.get('line'))
";
    let mut python = Command::new("python3");
    let output = python
        .args(["-c", script])
        .current_dir(place.path())
        .output()
        .expect("python3 is installed");
    let read = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = read.lines().collect();
    assert_eq!(lines[0], "testsuites 4 1 1");
    assert!(
        lines[1].starts_with("a_test.lua 'a <b> & \"c\" ")
            && lines[1].ends_with("['failure'] a_test.lua 2"),
        "{read}"
    );
    assert_eq!(
        lines[2..],
        [
            "a_test.lua 'fine' [] a_test.lua 3",
            "b_test.lua 'the file loads' ['error'] None None",
            "c_test.lua 'mail > is sent' [] c_test.lua 2"
        ]
    );
}

#[test]
fn a_junit_file_that_cannot_be_written_is_refused_before_the_first_test() {
    let place = place(&[("a_test.lua", "expect(1)"), ("c_test.lua", PASSES)]);
    let ended = place.smbench("test c_test.lua --junit none/out.xml").end().exits(2);
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.stderr, "error: --junit none/out.xml: there is no directory none\n");
    fs::create_dir(place.path().join("taken")).unwrap();
    let ended = place.smbench("test c_test.lua --junit taken").end().exits(2);
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.stderr, "error: --junit taken: it is a directory; name a file\n");
    assert_eq!(place.names(), ["a_test.lua", "c_test.lua", "taken"]);
}

#[test]
fn a_junit_file_of_earlier_tests_does_not_survive_an_error() {
    let place = place(&[("a_test.lua", PASSES)]);
    for line in ["test --filter nowhere", "test none", "test ."] {
        place.write("out.xml", "<testsuite tests=\"7\"/>");
        place.smbench(&format!("{line} --junit out.xml")).end();
        let junit = place.read("out.xml");
        let tests = if line == "test ." { "tests=\"1\"" } else { "tests=\"0\"" };
        assert!(junit.contains(tests), "{line}: {junit}");
    }
}

#[test]
fn failures_come_before_the_error_about_a_junit_file_that_is_lost() {
    let test = "test.it('b', function() expect(1):to_be(2) end) test.it('endless', function() expect(1):to_match_snapshot('begun') while true do end end)";
    let place = place(&[("a_test.lua", test)]);
    let results = place.path().join("results");
    fs::create_dir(&results).unwrap();
    let call = place.smbench("test --timeout 1h --junit results/out.xml").env("CI", "");
    let mut running = call.start();
    let begun = place.path().join("snapshots/a_test.lua/begun.jsonl");
    running.until("the test", || begun.exists());
    fs::remove_dir_all(&results).unwrap();
    running.signal(Signal::INT);
    let ended = running.end().exits(2);
    assert!(ended.stdout.contains("FAIL a_test.lua: b"), "{ended:#?}");
    assert!(
        ended.stdout.contains("2 tests in 1 file: 0 passed, 1 failed, 1 not run"),
        "{ended:#?}"
    );
    let lost = "error: --junit results/out.xml: there is no directory results\n";
    assert_eq!(ended.stderr, lost);
}

#[test]
fn the_limits_of_the_scripts_of_a_test_can_be_set() {
    let test = "test.it('a', function() test.stream('./s.lua') end) test.it('b', function() test.run('./s.lua', { duration = '1ms' }) end)";
    let place = place(&[("a_test.lua", test), ("s.lua", "while true do end")]);
    let ended = place.smbench("test --script-time 50ms").end().exits(99);
    let limit = "no result after 50ms of computing (--script-time)";
    assert_eq!(ended.stdout.matches(limit).count(), 2, "{}", ended.stdout);
    place.write("s.lua", "local t = {} while true do t[#t + 1] = buffer.create(2^20) end");
    let ended = place.smbench("test --script-memory 40MiB").end().exits(99);
    let limit = "more memory than its limit of 40 MiB (of --script-memory)";
    assert_eq!(ended.stdout.matches(limit).count(), 2, "{}", ended.stdout);
}

#[test]
fn failures_beyond_what_is_kept_of_a_file_are_counted() {
    let test = "for i = 1, 400 do test.it('t' .. i, function() error(('x'):rep(20000)) end) end";
    let place = place(&[("a_test.lua", test)]);
    let ended = place.smbench("test --timeout 1m").end().exits(99);
    let shown = ended.stdout.matches("\nFAIL ").count();
    assert!((1..400).contains(&shown));
    let more = format!("\n… and {} more failures in a_test.lua\n", 400 - shown);
    assert!(ended.stdout.contains(&more), "{more}");
}

#[test]
fn snapshots_are_written_and_mentioned_but_not_on_ci() {
    let test = "test.it('a', function() expect({ 1, { kind = 'x', a = 2 } }):to_match_snapshot('first') end)";
    let place = place(&[("a_test.lua", test)]);
    let refused = place.smbench("test").env("CI", "true").end().exits(99);
    assert!(
        refused.stdout.contains("snapshots/a_test.lua/first.jsonl is missing, and on CI"),
        "{}",
        refused.stdout
    );
    assert_eq!(place.names(), ["a_test.lua"]);
    let written = place.smbench("test").end().exits(0);
    assert!(
        written.stdout.contains("\nnew snapshot: snapshots/a_test.lua/first.jsonl\n"),
        "{}",
        written.stdout
    );
    assert_eq!(place.read("snapshots/a_test.lua/first.jsonl"), "1\n{\"kind\":\"x\",\"a\":2}\n");
    place.smbench("test").env("CI", "true").end().exits(0);
    place.write("snapshots/a_test.lua/first.jsonl", "1\n2\n");
    let differs = place.smbench("test").end().exits(99);
    assert!(
        differs.stdout.contains("    - 2\n    + {\"kind\":\"x\",\"a\":2}\n"),
        "{}",
        differs.stdout
    );
    let updated = place.smbench("test --update").end().exits(0);
    assert!(updated.stdout.contains("\nupdated snapshot: "), "{}", updated.stdout);
    assert_eq!(names(&place.path().join("snapshots/a_test.lua")), ["first.jsonl"]);
}

#[test]
fn a_project_has_its_modules_for_its_tests_too() {
    let place = Place::new();
    for directory in ["lib", "tests"] {
        fs::create_dir(place.path().join(directory)).unwrap();
    }
    place.write("smbench.toml", "");
    place.write("lib/mail.lua", "local M = {} function M.send(c) c:mkdir('box') end return M");
    place.write("send.lua", "local mail = require('./lib/mail') bench.workload { name = 'w', iteration = function(c) mail.send(c) end }");
    place.write(
        "tests/mail_test.lua",
        format!(
            "{BEGIN}local mail = require('../lib/mail')
            test.it('is sent', function()
                expect(test.record(mail.send)):to_contain {{ kind = 'mkdir', path = 'box' }}
                expect(#test.stream('../send.lua')):to_be(1)
                expect(test.stream('../send.lua')[1].path):to_be('bax')
            end)"
        ),
    );
    let ended = place.smbench("test tests").end().exits(99);
    assert!(
        ended.stdout.contains("\n  tests/mail_test.lua:6: expected \"box\" to be \"bax\"\n"),
        "{}",
        ended.stdout
    );
}

#[test]
fn names_and_output_that_steer_a_terminal_are_escaped() {
    let test = "test.it('\\27[2J', function() print('\\27[31m') error('\\27]0;x\\7') end)";
    let place = place(&[("a_test.lua", test)]);
    let ended = place.smbench("test").end().exits(99);
    assert!(ended.stdout.contains("\\u{1b}[2J"), "{}", ended.stdout);
}
