//! Tests of test files: what their tests are given, and what becomes of hostile ones.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::script::testing::{
    FileReport, TestFailure, TestOptions, TestOutcome, TestReport, run_test_file,
};
use crate::script::{ScriptError, ScriptLimits};

/// A test file in a directory of its own.
struct TestFile {
    directory: tempfile::TempDir,
    options: TestOptions,
}

const BEGIN: &str = "local test = require('@bench/test') local expect = test.expect\n";

fn file(text: &str) -> TestFile {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("x_test.lua"), format!("{BEGIN}{text}")).unwrap();
    let options = TestOptions {
        filter: None,
        timeout: Duration::from_millis(300),
        limits: ScriptLimits::default(),
        update: false,
        on_ci: false,
        interrupted: Arc::new(AtomicBool::new(false)),
        runner: Arc::new(|_| Err("no runs here".into())),
    };
    TestFile { directory, options }
}

/// Returns a file with one test.
fn one(body: &str) -> TestFile {
    file(&format!("test.it('one', function()\n{body}\nend)"))
}

impl TestFile {
    fn with(mut self, change: impl FnOnce(&mut TestOptions)) -> TestFile {
        change(&mut self.options);
        self
    }

    fn beside(self, name: &str, text: &str) -> TestFile {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self) -> FileReport {
        run_test_file(&self.path("x_test.lua"), &self.options).unwrap()
    }

    /// Returns the name of each test and `ok`, or why it failed.
    fn results(&self) -> Vec<(String, String)> {
        let report = self.run();
        assert_eq!(report.refused, None);
        report.tests.iter().map(|test| (test.name.clone(), self.result(test))).collect()
    }

    fn result(&self, test: &TestReport) -> String {
        let text = match &test.outcome {
            TestOutcome::Passed => "ok".to_string(),
            TestOutcome::Failed(failure) => failure.message.clone(),
            TestOutcome::NotRun(why) => format!("not run: {why}"),
        };
        text.replace(&self.path("").display().to_string(), "")
    }

    /// Returns the result of the only test.
    fn outcome(&self) -> String {
        let results = self.results();
        assert_eq!(results.len(), 1);
        results[0].1.clone()
    }

    /// Returns why the file does not load.
    fn refused(&self) -> String {
        let report = self.run();
        assert!(report.tests.is_empty());
        report.refused.unwrap().to_string().replace(&self.path("").display().to_string(), "")
    }
}

fn pairs(results: &[(&str, &str)]) -> Vec<(String, String)> {
    results.iter().map(|(name, result)| (name.to_string(), result.to_string())).collect()
}

#[test]
fn tests_run_in_order_after_the_file_and_are_named_after_their_groups() {
    let results = file(
        "local order = {}
        test.describe('mail', function()
            test.describe('in a box', function()
                test.it('is kept', function() order[#order + 1] = 'kept' end)
            end)
            test.it('is sent', function() order[#order + 1] = 'sent' end)
        end)
        test.describe('nothing', function() end)
        test.it('alone', function() expect(order):to_equal { 'top', 'kept', 'sent' } end)
        order[1] = 'top'",
    )
    .results();
    let expected = [("mail > in a box > is kept", "ok"), ("mail > is sent", "ok"), ("alone", "ok")];
    assert_eq!(results, pairs(&expected));
}

#[test]
fn a_failed_expectation_ends_its_test_and_counts_even_if_the_error_is_caught() {
    assert_eq!(
        one("expect(1):to_be(2) error('later')").outcome(),
        "x_test.lua:3: expected 1 to be 2"
    );
    let caught = one("pcall(function() expect(1):to_be(2) end) expect(3):to_be(4)");
    assert_eq!(caught.outcome(), "x_test.lua:3: expected 1 to be 2");
    let checks_nothing = "x_test.lua:3: test.expect without a matcher, which checks nothing";
    assert_eq!(one("expect(1)").outcome(), checks_nothing);
    assert_eq!(one("expect(function() expect(1):to_be(2) end):to_fail('to be 2')").outcome(), "ok");
}

#[test]
fn a_hostile_test_fails_and_the_others_run() {
    let results = file(
        "test.it('endless', function() while true do end end)
        test.it('endless, caught', function() while true do pcall(function() while true do end end) end end)
        test.it('buffer', function() buffer.create(-1) end)
        test.it('stack', function() local function f() return 1 + f() end f() end)
        test.it('a table', function() error({}) end)
        test.it('nil', function() error(nil) end)
        test.it('sandbox', function() os.time() end)
        test.it('yields', function() coroutine.yield() end)
        test.it('global', function() leaked = 1 end)
        test.it('records without end', function() while true do test.record(function(c) c:stat('x') end) end end)
        test.it('in a test', function() test.it('x', function() end) end)
        test.it('group in a test', function() test.describe('x', function() end) end)
        test.it('pattern', function() expect(('a'):rep(1e5)):to_match('.-.-.-.-.-b') end)
        test.it('fine', function() expect(#('x'):rep(2^20)):to_be(2^20) end)",
    )
    .results();
    let endless = "no end after 300ms of computing (--timeout); it seems to loop forever";
    let expected = [
        ("endless", &*format!("x_test.lua:2: {endless}")),
        ("endless, caught", &format!("x_test.lua:3: {endless}")),
        ("buffer", "x_test.lua:4: invalid argument #1 to 'create' (size)"),
        ("stack", "x_test.lua:5: stack overflow"),
        ("a table", "x_test.lua:6: error() was called with a table instead of a string"),
        ("nil", "x_test.lua:7: error() was called without a message"),
        (
            "sandbox",
            "x_test.lua:8: 'os' is not available in scripts: scripts cannot reach this host; times come from phases, c:think and c:at",
        ),
        ("yields", "x_test.lua:9: attempt to yield across metamethod/C-call boundary"),
        ("global", "x_test.lua:10: globals cannot be set or changed: write \"local leaked = …\""),
        ("records without end", &format!("x_test.lua:11: {endless}")),
        (
            "in a test",
            "x_test.lua:12: test.it inside of a test; call it at the top level of the file or in the body of a test.describe",
        ),
        (
            "group in a test",
            "x_test.lua:13: test.describe inside of a test; call it at the top level of the file or in the body of a test.describe",
        ),
        ("pattern", &format!("x_test.lua:14: {endless}")),
        ("fine", "ok"),
    ];
    assert_eq!(results, pairs(&expected));
}

#[test]
fn a_file_that_does_not_load_says_why_and_runs_no_test() {
    for (text, expected) in [
        ("test.it('a', function() end) error('boom')", "x_test.lua:2: boom"),
        ("test.describe('a', function() error('boom') end)", "x_test.lua:2: boom"),
        (
            "test.describe('a', function() while true do end end)",
            "x_test.lua:2: no end after 300ms of computing (--timeout); it seems to loop forever",
        ),
        (
            "expect(1):to_be(1)",
            "x_test.lua:2: test.expect outside of a test; call it in the function of a test.it",
        ),
        (
            "test.it('a', function() end) test.it('a', function() end)",
            "x_test.lua:2: test.it: two tests are named 'a', the first at x_test.lua:2; give each a name of its own",
        ),
        (
            "test.it('', function() end)",
            "x_test.lua:2: test.it: a name has 1 to 200 characters, unlike \"\"",
        ),
        ("test.it('a')", "x_test.lua:2: test.it takes a name and a function, not nil"),
        (
            "local function f() test.describe('x', f) end f()",
            "x_test.lua:2: test.describe: more than 16 groups inside one another",
        ),
        (
            "bench.workload { name = 'w', iteration = function() end }",
            "x_test.lua: a test file has no workload of its own; put it into a script, and test that with test.stream(\"./script.lua\") or test.run(\"./script.lua\")",
        ),
        ("for", "x_test.lua:2: Expected identifier when parsing variable name, got <eof>"),
    ] {
        assert_eq!(file(text).refused(), expected, "{text}");
    }
}

#[test]
fn the_module_is_for_test_files_alone() {
    let message = super::script("local test = require('@bench/test')").refused();
    assert_eq!(
        message,
        "s.lua:1: module \"@bench/test\" is for test files, which smbench test runs"
    );
}

#[test]
fn before_and_after_run_around_each_test_of_their_group_and_after_a_failure_too() {
    let results = file(
        "local log = {}
        local function note(what) return function() log[#log + 1] = what end end
        test.before_each(note('outer before'))
        test.after_each(note('outer after'))
        test.describe('g', function()
            test.before_each(note('before'))
            test.after_each(note('after'))
            test.it('fails', function() note('test')() error('boom') end)
        end)
        test.it('sees', function()
            expect(log):to_equal {
                'outer before', 'before', 'test', 'after', 'outer after', 'outer before',
            }
        end)
        test.describe('bad', function()
            test.before_each(function() error('no server') end)
            test.it('does not run', function() note('never')() end)
        end)
        test.describe('late', function()
            test.after_each(function() error('cannot clean') end)
            test.it('fails in the end', function() for i = 1, #log do expect(log[i]):never():to_be('never') end end)
        end)",
    )
    .results();
    let expected = [
        ("g > fails", "x_test.lua:9: boom"),
        ("sees", "ok"),
        ("bad > does not run", "x_test.lua:17: no server"),
        ("late > fails in the end", "x_test.lua:21: cannot clean"),
    ];
    assert_eq!(results, pairs(&expected));
}

#[test]
fn printed_lines_belong_to_their_test_and_are_bounded() {
    let report = file(
        "print('top')
        test.it('some', function() print('a\\27', 1) print('b') end)
        test.it('much', function() for i = 1, 1000 do print(('x'):rep(1023)) end end)
        test.it('one long', function() print(('x'):rep(2^20)) end)",
    )
    .run();
    assert_eq!(report.printed.text, "top\n");
    assert_eq!(report.tests[0].printed.text, "a\\u{1b}\t1\nb\n");
    let much = &report.tests[1].printed;
    assert_eq!((much.text.len(), much.dropped), (16 << 10, 984));
    assert!(report.tests[2].printed.text.len() < 5_000);
}

#[test]
fn a_recorded_function_acts_for_a_client_as_in_a_run() {
    let outcome = one(
        "local all = test.record(function(c, rng)
            local h = c:open('d/f-' .. c.user, 'w', { disposition = 'create', expect = { 'SUCCESS', 'OBJECT_NAME_COLLISION' } })
            c:step('fill', function() c:write(h, 4096, '4KiB', { payload = 'zero' }) end)
            c:at('2s')
            c:lock(h, 0, 10, { wait = true })
            c:close(h)
            c:rename('a', 'b', { replace = false })
        end, { id = 4, workload = 'w', iteration = 7, seed = 3 })
        expect(all):to_equal {
            { kind = 'open', client = 'w/4', section = 'iteration', iteration = 7, after = 0, handle = 0, path = 'd/f-w-4', mode = 'w',
              expect = { 'STATUS_SUCCESS', 'STATUS_OBJECT_NAME_COLLISION' }, extensions = { disposition = 'FILE_CREATE' } },
            { kind = 'write', client = 'w/4', section = 'iteration', iteration = 7, after = 0, handle = 0, path = 'd/f-w-4',
              offset = 4096, length = 4096, payload = 'zero', step = 'fill' },
            { kind = 'lock', client = 'w/4', section = 'iteration', iteration = 7, at = 2e9, handle = 0, path = 'd/f-w-4',
              offset = 0, length = 10, exclusive = true, wait = true },
            { kind = 'close', client = 'w/4', section = 'iteration', iteration = 7, after = 0, handle = 0, path = 'd/f-w-4' },
            { kind = 'rename', client = 'w/4', section = 'iteration', iteration = 7, after = 0, path = 'a', dest = 'b', replace = false },
        }
        expect(function() all[1].kind = 'x' end):to_fail('readonly')
        expect(function() all[9] = {} end):to_fail('readonly')",
    )
    .outcome();
    assert_eq!(outcome, "ok");
    let loops = one(
        "local all = test.record(function(c) while c:running() do c:stat('i' .. c.iteration) end end, { iterations = 3 })
        expect({ all[1].path, all[2].path, all[3].path, #all }):to_equal { 'i0', 'i1', 'i2', 3 }
        local sections = test.record(function(c) c:mkdir('d') end, { section = 'setup' })
        expect(sections[1].section):to_be('setup')",
    );
    assert_eq!(loops.outcome(), "ok");
}

#[test]
fn a_wrong_use_of_record_is_refused() {
    for (body, expected) in [
        ("test.record()", "test.record takes a function, such as function(c, rng) … end, not nil"),
        (
            "test.record(print, { sead = 1 })",
            "test.record: unknown option 'sead': did you mean 'seed'?",
        ),
        (
            "test.record(print, { section = 'end' })",
            "test.record: section is \"setup\", \"iteration\" or \"teardown\", not \"end\"",
        ),
        (
            "test.record(print, { clients = 0 })",
            "test.record: clients is 0; it must be from 1 to 1000000",
        ),
        (
            "test.record(print, { section = 'setup', iterations = 2 })",
            "test.record: iteration and iterations have no effect on the section \"setup\"",
        ),
        (
            "test.record(print, { section = 'teardown', iteration = 2 })",
            "test.record: iteration and iterations have no effect on the section \"teardown\"",
        ),
        (
            "test.record(print, { iterations = 0 })",
            "test.record: iterations is 0; it must be from 1 to 4294967295",
        ),
        (
            "test.record(function() test.record(print) end)",
            "test.record inside of a function that is recorded",
        ),
        (
            "test.record(function() bench.choose { { 1, print } } end)",
            "bench.choose must be called at the top level of the script, outside of all functions: local mix = bench.choose { … } there, and mix(c, rng) here",
        ),
        (
            "local kept test.record(function(c) kept = c end) kept:stat('x')",
            "clients can act in setup, iteration and teardown only",
        ),
    ] {
        assert_eq!(one(body).outcome(), format!("x_test.lua:3: {expected}"), "{body}");
    }
}

#[test]
fn tests_may_call_what_a_script_declares_at_its_top_level_and_modules_may_be_loaded() {
    let outcome = one("local draw = bench.rng('x')
        expect(draw:int(1, 1)):to_be(1)
        local m = require('./m')
        local all = test.record(function(c, rng) m.mix(c, rng) end)
        expect(all[1].kind):to_be('stat')")
    .beside("m.lua", "return { mix = bench.choose { { 1, function(c) c:stat('x') end } } }")
    .outcome();
    assert_eq!(outcome, "ok");
}

#[test]
fn an_imbalance_names_the_handle_and_the_line_of_its_open() {
    let outcome = one("expect(test.record(function(c)
            local h = c:open('x', 'r')
            c:close(h)
            c:open('y', 'r')
        end)):to_be_balanced()")
    .outcome();
    let expected = "x_test.lua:7: expected a list of 3 operations to be balanced: the open of \"y\" (operation 3, x_test.lua:6) is never closed: handle 0";
    assert_eq!(outcome, expected);
}

const STREAMED: &str = "local P = bench.params { files = { type = 'int', default = 1 }, name = { type = 'string', default = 'n' } }
bench.setup(function(c) c:mkdir('all') end)
bench.workload { name = 'w', clients = 2, iteration = function(c, rng)
    for i = 1, P.files do c:delete(P.name .. i .. '-' .. rng:int(1, 1000)) end
end }
print('not shown')";

#[test]
fn the_stream_of_a_script_is_that_of_compile() {
    let outcome = one(
        "local all = test.stream('./s.lua', { params = { files = 2, name = 'f' }, clients = 3, iterations = 2, seed = 5 })
        expect(#all):to_be(1 + 3 * 2 * 2)
        expect(all[1]):to_contain { kind = 'mkdir', client = 'bench', section = 'setup' }
        expect(all[2]):to_contain { kind = 'delete', client = 'w/0', iteration = 0 }
        expect(all[13].iteration):to_be(1)
        expect(all):to_equal(test.stream('./s.lua', { params = { files = 2, name = 'f' }, clients = { w = 3 }, iterations = 2, seed = 5 }))
        expect(#test.stream('./s.lua')):to_be(3)
        print('end')",
    )
    .beside("s.lua", STREAMED)
    .run();
    assert_eq!(outcome.tests[0].outcome, TestOutcome::Passed);
    assert_eq!(outcome.tests[0].printed.text, "end\n");
}

#[test]
fn a_stream_that_cannot_be_made_says_why() {
    for (call, expected) in [
        (
            "'s.lua'",
            "test.stream: \"s.lua\" is not the path of a script: it begins with \"./\" or \"../\" (relative to the directory of the file) and has the ending of the file, such as \"./office.lua\"; \"@scripts/office\" is a ready workload",
        ),
        (
            "'../s.lua'",
            "test.stream: \"../s.lua\" is outside of the script's directory, from which a test reads its scripts; to read them from a directory above, create a file smbench.toml in it",
        ),
        (
            "'./s'",
            "test.stream: cannot read \"./s\": No such file or directory (os error 2); the path has the ending of the file, such as .lua",
        ),
        (
            "'./link.lua'",
            "test.stream: cannot read \"./link.lua\": a symbolic link leads out of the directory",
        ),
        (
            "'./s.lua', { params = { file = 1 } }",
            "test.stream: params: unknown parameter 'file': did you mean 'files'?",
        ),
        (
            "'./s.lua', { params = { files = 'x' } }",
            "test.stream: params: files = x: \"x\" is not a whole number within 2^53. Parameter 'files' is an int; its default is 1",
        ),
        ("'./s.lua', { clients = 0 }", "test.stream: clients is 0; it must be from 1 to 1000000"),
        (
            "'./s.lua', { clients = { w = 0 } }",
            "test.stream: clients of \"w\" is 0; it must be from 1 to 1000000",
        ),
        (
            "'./s.lua', { iteration = 1 }",
            "test.stream: unknown option 'iteration': did you mean 'iterations'?",
        ),
        (
            "'./s.lua', { clients = 100001 }",
            "test.stream: more than 100000 operations, the most that a test is given; take fewer clients or iterations",
        ),
        ("'./bad.lua'", "test.stream: bad.lua:1: boom"),
    ] {
        let file = one(&format!("test.stream({call})"));
        let file = file.beside("s.lua", STREAMED).beside("bad.lua", "error('boom')");
        let file = file.with(|options| options.timeout = Duration::from_secs(20));
        std::os::unix::fs::symlink("/etc/passwd", file.path("link.lua")).unwrap();
        assert_eq!(file.outcome(), format!("x_test.lua:3: {expected}"), "{call}");
    }
}

#[test]
fn a_stream_and_a_run_have_the_time_of_their_test() {
    let endless = "bench.workload { name = 'w', iteration = function(c) for i = 1, 10 do c:stat('x') end for i = 1, 3e6 do local t = {} end end }";
    let file = one("test.stream('./s.lua', { iterations = 1000 })").beside("s.lua", endless);
    let outcome = file.outcome();
    assert!(outcome.contains("--timeout") && outcome.starts_with("x_test.lua:3: "), "{outcome}");
    let run = one("test.run('./s.lua', { duration = '1s' })").beside("s.lua", endless).outcome();
    assert!(run.starts_with("x_test.lua:3: test.run: duration is 1s; it must be more than 0 and less than what is left of the test's time limit (--timeout)"), "{run}");
    // The time of runs counts, although this thread does not compute.
    let waits = one("while true do test.run('./s.lua', { duration = '10ms' }) end");
    let waits = waits.beside("s.lua", endless).with(|options| {
        options.runner = Arc::new(|_| {
            std::thread::sleep(Duration::from_millis(50));
            Ok(serde_json::json!({}))
        });
    });
    let outcome = waits.outcome();
    assert!(outcome.contains("--timeout"), "{outcome}");
}

#[test]
fn a_run_is_given_its_options_and_returns_its_summary() {
    let outcome = one(
        "local summary = test.run('./s.lua', { target = 'sim?latency=1ms', duration = '200ms', seed = 9, clients = 4, params = { name = 'x' } })
        expect(summary):to_equal { totals = { failed = 0 }, path = './s.lua' }
        expect(function() summary.totals.failed = 1 end):to_fail('readonly')",
    )
    .beside("s.lua", STREAMED)
    .with(|options| {
        options.runner = Arc::new(|run| {
            assert_eq!((&*run.target, run.duration), ("sim?latency=1ms", Duration::from_millis(200)));
            assert_eq!((run.script.seed, run.script.clients[0].clients), (Some(9), 4));
            assert_eq!(run.script.params, [("name".to_string(), "x".to_string())]);
            assert!(run.script.quiet && run.script.location.to_string().ends_with("s.lua"));
            Ok(serde_json::json!({ "totals": { "failed": 0 }, "path": "./s.lua" }))
        });
    })
    .outcome();
    assert_eq!(outcome, "ok");
}

#[test]
fn a_snapshot_is_written_once_compared_afterwards_and_updated_on_demand() {
    let text = |size: u32| {
        format!(
            "{BEGIN}test.it('one', function() expect(test.record(function(c) c:mkdir('a') c:write(c:open('a/b', 'w'), 0, {size}) end)):to_match_snapshot('first save') end)"
        )
    };
    let file = one("").beside("x_test.lua", &text(10));
    let path = file.path("snapshots/x_test.lua/first save.jsonl");
    let on_ci = |on_ci| {
        let mut options = file.options.clone();
        options.on_ci = on_ci;
        run_test_file(&file.path("x_test.lua"), &options).unwrap()
    };
    let refused = file.result(&on_ci(true).tests[0]);
    assert!(refused.ends_with("first save.jsonl is missing, and on CI (CI is set) none is written; run the test elsewhere and add the file"), "{refused}");
    assert!(!path.exists());
    assert_eq!(on_ci(false).snapshots.written.len(), 1);
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written.lines().count(), 3);
    assert!(
        written.starts_with("{\"kind\":\"mkdir\",\"after\":0,\"client\":\"test/0\","),
        "{written}"
    );
    let again = on_ci(true);
    assert_eq!(
        (file.result(&again.tests[0]).as_str(), again.snapshots),
        ("ok", Default::default())
    );

    let file = file.beside("x_test.lua", &text(20)).beside("snapshots/x_test.lua/old.jsonl", "1\n");
    let TestOutcome::Failed(failure) = file.run().tests.remove(0).outcome else { panic!() };
    assert!(failure.message.contains("first save.jsonl at line 3"), "{}", failure.message);
    let diff = &failure.details;
    assert!(
        diff.iter().any(|line| line.starts_with("- ") && line.contains("\"length\":10")),
        "{diff:?}"
    );
    assert!(
        diff.iter().any(|line| line.starts_with("+ ") && line.contains("\"length\":20")),
        "{diff:?}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written, "only --update changes it");
    let file = file.with(|options| options.update = true);
    let report = file.run();
    assert_eq!((report.snapshots.updated.len(), report.snapshots.unused.len()), (1, 1));
    assert!(report.snapshots.unused[0].ends_with("old.jsonl"));
    assert!(std::fs::read_to_string(&path).unwrap().contains("\"length\":20"));
}

#[test]
fn a_snapshot_cannot_leave_its_directory() {
    for name in ["../x", "a/b", "..", ".hidden", "", "a\\b", "x\0", " x", "x."] {
        let file = one(&format!("expect(1):to_match_snapshot({name:?})"));
        assert!(file.outcome().contains("cannot be the name of a snapshot"), "{name:?}");
        assert!(!file.path("snapshots").exists(), "{name:?}");
    }
    let outside = tempfile::tempdir().unwrap();
    let file = one("expect(1):to_match_snapshot('x')");
    std::os::unix::fs::symlink(outside.path(), file.path("snapshots")).unwrap();
    assert!(file.outcome().contains("cannot be"), "{}", file.outcome());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn only_values_that_can_be_read_again_make_a_snapshot() {
    for (value, expected) in [
        ("print", "a snapshot holds tables, strings, numbers and booleans, not a function"),
        ("{ 1, a = 2 }", "neither a list nor a table of named fields: it has the key 1"),
        ("{ 1, nil, 3, x = 'a' }", "neither a list nor a table of named fields: it has the key 1"),
        ("'\\255'", "a string in the value is not UTF-8"),
        ("(function() local t = {} t.t = t return t end)()", "more than 32 levels"),
    ] {
        let outcome = one(&format!("expect({value}):to_match_snapshot('x')")).outcome();
        assert!(outcome.contains(expected), "{outcome}");
    }
    let long = "\u{10400}".repeat(100);
    let outcome = one(&format!("expect(1):to_match_snapshot('{long}')")).outcome();
    assert!(outcome.contains("at most 200 bytes"), "{outcome}");
    let longest = "é".repeat(100);
    let outcome = one(&format!("expect({{ 1, 2 }}):to_match_snapshot('{longest}')")).outcome();
    assert_eq!(outcome, "ok");
    let twice = one("expect(1):to_match_snapshot('x') expect(1):to_match_snapshot('X')").outcome();
    assert!(twice.contains("the name \"X\" is used twice in this file"), "{twice}");
}

#[test]
fn only_the_tests_that_the_filter_selects_run() {
    let file = file(
        "test.describe('mail', function() test.it('a', function() end) test.it('b', function() end) end)
        test.it('c', function() error('no') end)",
    );
    let file = file.with(|options| options.filter = Some("mail > b".into()));
    assert_eq!(file.results(), pairs(&[("mail > b", "ok")]));
}

#[test]
fn interrupted_tests_end_soon_and_the_rest_is_reported_as_not_run() {
    let file = file(
        "test.it('a', function() end) test.it('b', function() test.run('./s.lua', { duration = '1ms' }) while true do end end) test.it('c', function() end)",
    );
    let file = file.beside("s.lua", STREAMED).with(|options| {
        options.timeout = Duration::from_secs(600);
        let interrupted = Arc::clone(&options.interrupted);
        options.runner = Arc::new(move |_| {
            interrupted.store(true, std::sync::atomic::Ordering::Relaxed);
            Ok(serde_json::json!({}))
        });
    });
    let not_run = "not run: the tests were interrupted";
    assert_eq!(file.results(), pairs(&[("a", "ok"), ("b", not_run), ("c", not_run)]));
}

#[test]
fn comparing_and_showing_values_ends_whatever_they_are() {
    let outcome = one(
        "local a, b = { 1 }, { 1 }
        for _ = 1, 60 do a, b = { a, a }, { b, b } end
        expect(a):to_equal(b)
        expect(function() expect(a):to_be(b) end):to_fail('…')
        local deep = {}
        for _ = 1, 1000 do deep = { deep } end
        local other = {}
        for _ = 1, 1000 do other = { other } end
        expect(function() expect(deep):to_equal(other) end):to_fail('more than 100 levels')
        expect(function() expect(deep):to_be(1) end):to_fail('expected { { {')
        local hostile = setmetatable({}, { __index = function() while true do end end, __eq = function() while true do end end,
            __tostring = function() while true do end end, __len = function() return 1e9 end, __iter = function() while true do end end })
        expect(hostile):to_equal {}
        expect(0/0):to_equal(0/0)
        local big = {}
        for i = 1, 20000 do big[i] = { i } end
        expect(function() expect(big):to_equal { 1 } end):to_fail('at [1]: { 1 } instead of 1')",
    )
    .with(|options| options.timeout = Duration::from_secs(20))
    .outcome();
    assert_eq!(outcome, "ok");
}

#[test]
fn after_a_fault_of_the_program_the_other_tests_are_reported_as_not_run() {
    let file = file(
        "test.it('a', function() pcall(function() test.run('./s.lua', { duration = '1ms' }) end) end)
        test.it('b', function() end)",
    );
    let file = file.beside("s.lua", STREAMED);
    let report = file.with(|options| options.runner = Arc::new(|_| panic!("a broken run"))).run();
    assert!(
        matches!(&report.refused, Some(ScriptError::Internal(why)) if why.contains("a broken run"))
    );
    assert!(matches!(report.tests[0].outcome, TestOutcome::Failed(_)));
    assert!(
        matches!(&report.tests[1].outcome, TestOutcome::NotRun(why) if why.contains("a broken run"))
    );
}

#[test]
fn a_file_that_is_interrupted_while_it_loads_has_no_report() {
    let file = file("test.describe('x', function() while true do end end)");
    let file =
        file.with(|options| options.interrupted.store(true, std::sync::atomic::Ordering::Relaxed));
    assert!(run_test_file(&file.path("x_test.lua"), &file.options).is_none());
}

#[test]
fn long_texts_are_compared_line_by_line() {
    let report = one("expect('a\\nb\\nc'):to_equal('a\\nx\\nc')").run();
    let TestOutcome::Failed(failure) = &report.tests[0].outcome else { panic!() };
    assert_eq!(failure.details, ["  a", "- x", "+ b", "  c"]);
}

#[test]
fn a_test_that_needs_too_much_memory_fails_and_leaves_enough_for_the_next() {
    let file = file(
        "test.it('greedy', function() local t = {} while true do t[#t + 1] = buffer.create(2^25) end end)
        test.it('caught', function()
            local t = {}
            while true do
                if not pcall(function() t[#t + 1] = buffer.create(2^25) end) then break end
            end
        end)
        test.it('next', function() expect(buffer.len(buffer.create(2^27))):to_be(2^27) end)",
    );
    let file = file.with(|options| options.timeout = Duration::from_secs(60));
    let greedy = "x_test.lua: the tests of this file need more memory than their limit of 512 MiB";
    assert_eq!(file.results(), pairs(&[("greedy", greedy), ("caught", "ok"), ("next", "ok")]));
}

#[test]
fn ready_workloads_can_be_tested_too() {
    let outcome =
        one("expect(#test.stream('@scripts/office', { clients = 1 })):to_be_at_least(10)");
    let file = outcome.with(|options| options.timeout = Duration::from_secs(20));
    assert_eq!(file.outcome(), "ok");
}

#[test]
fn messages_and_output_are_bounded_over_all_tests() {
    let report = file(
        "for i = 1, 400 do
            test.it('t' .. i, function() for _ = 1, 20 do print(('x'):rep(1023)) end error(('é'):rep(20000)) end)
        end",
    )
    .with(|options| options.timeout = Duration::from_secs(20))
    .run();
    let printed: usize = report.tests.iter().map(|test| test.printed.text.len()).sum();
    assert!((3 << 20..=4 << 20).contains(&printed), "{printed}");
    let lines = |test: &TestReport| test.printed.text.lines().count() as u64 + test.printed.dropped;
    assert!(report.tests.iter().all(|test| lines(test) == 20));
    let failures: Vec<_> = report.tests.iter().map(failure).collect();
    assert!(failures[0].message.len() < 17_000 && failures[0].message.ends_with("é…"));
    let (dropped, kept): (Vec<&TestFailure>, Vec<&TestFailure>) =
        failures.iter().partition(|failure| failure.is_dropped);
    let bytes: usize = kept.iter().map(|failure| failure.message.len()).sum();
    assert!((3 << 20..=4 << 20).contains(&bytes), "{bytes}");
    assert_eq!(kept.len() + dropped.len(), 400);
    assert!(failures.is_sorted_by_key(|failure| failure.is_dropped), "the first ones are kept");
    assert!(dropped.iter().all(|failure| failure.message.starts_with("the message was dropped")));
}

fn failure(test: &TestReport) -> &TestFailure {
    match &test.outcome {
        TestOutcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn parameters_of_a_test_name_files_of_the_project_only() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "{\"root\":\"x\"}").unwrap();
    let script = "local P = bench.params { tree = { type = 'string', default = '' }, document = { type = 'string', default = '' } }
        if P.tree ~= '' then bench.tree(P.tree) end
        if P.document ~= '' then bench.load(P.document) end
        bench.workload { name = 'w', iteration = function(c) c:stat('x') end }";
    for parameter in ["tree", "document"] {
        for path in [secret.display().to_string(), format!("../../{}", secret.display())] {
            let file = one(&format!(
                "test.stream('./s.lua', {{ params = {{ {parameter} = '{path}' }} }})"
            ));
            let outcome = file.beside("s.lua", script).outcome();
            let refused = "is outside of the script's directory; a script that a test loads reads the files of its project only";
            assert!(outcome.contains(refused), "{parameter}: {outcome}");
        }
        let file =
            one(&format!("test.stream('./s.lua', {{ params = {{ {parameter} = 'inner' }} }})"));
        let outcome = file.beside("s.lua", script).outcome();
        assert!(outcome.contains("the path starts from the script's directory"), "{outcome}");
    }
}

#[test]
fn a_script_that_a_test_loads_ends_with_its_test_whatever_its_own_limit_is() {
    let long = |options: &mut TestOptions| {
        options.limits.time_per_resume = Duration::from_secs(600);
    };
    for script in [
        "while true do end",
        "bench.workload { name = 'w', iteration = function(c) while true do pcall(function() while true do end end) end end }",
    ] {
        let file = one("test.stream('./s.lua')").beside("s.lua", script).with(long);
        let outcome = file.outcome();
        assert!(outcome.contains("the time limit of the test (--timeout) has passed"), "{outcome}");
        let file = file.with(|options| options.timeout = Duration::from_secs(600));
        let interrupted = Arc::clone(&file.options.interrupted);
        let outcome = std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                interrupted.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            file.run().tests.remove(0).outcome
        });
        assert_eq!(outcome, TestOutcome::NotRun("the tests were interrupted".into()));
    }
}

#[test]
fn the_limits_of_scripts_are_those_of_the_command_line() {
    let file = one("test.stream('./s.lua')").beside("s.lua", "while true do end");
    let file = file.with(|options| {
        options.limits.time_per_resume = Duration::from_millis(20);
        options.timeout = Duration::from_secs(600);
    });
    let outcome = file.outcome();
    assert!(outcome.contains("no result after 20ms of computing (--script-time)"), "{outcome}");
}

#[test]
fn the_time_of_a_run_counts_once() {
    let file = one("test.run('./s.lua', { duration = '1ms' })").beside("s.lua", STREAMED);
    let file = file.with(|options| {
        options.timeout = Duration::from_secs(1);
        options.runner = Arc::new(|_| {
            let began = std::time::Instant::now();
            while began.elapsed() < Duration::from_millis(600) {}
            Ok(serde_json::json!({}))
        });
    });
    assert_eq!(file.outcome(), "ok");
}

#[test]
fn all_functions_after_a_test_have_one_time_limit_together() {
    let results = file(
        "local count = 0
        test.describe('g', function()
            test.after_each(function() for _ = 1, 1000 do count = count + 1 end end)
            test.after_each(function() while true do end end)
            test.it('ends', function() end)
        end)
        test.it('next', function() expect(count):to_be_at_most(10) end)",
    )
    .results();
    let endless =
        "x_test.lua:5: no end after 300ms of computing (--timeout); it seems to loop forever";
    assert_eq!(results, pairs(&[("g > ends", endless), ("next", "ok")]));
}

#[test]
fn a_list_of_one_operation_is_named_so() {
    let outcome = one("expect(test.record(function(c) c:open('x', 'r') end)):to_be_balanced()");
    let outcome = outcome.outcome();
    assert!(outcome.contains("expected a list of 1 operation to be balanced"), "{outcome}");
}

#[test]
fn a_table_that_is_a_key_of_itself_is_shown_and_compared() {
    for value in ["a[a] = 1", "for _ = 1, 50 do a = { [a] = 1, [{ [a] = 1 }] = 1 } end"] {
        let compared =
            one(&format!("local a = {{}} {value} test.expect(a):to_equal({{ 2 }})")).outcome();
        assert!(compared.contains("at [1]: 2 is missing"), "{compared}");
        let shown = one(&format!("local a = {{}} {value} test.expect(a):to_be(5)")).outcome();
        assert!(shown.contains("[a table] = 1"), "{shown}");
    }
}
