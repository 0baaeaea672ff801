//! Mistakes in scripts, each with the whole message that its author reads.

use super::*;

fn line(body: &str) -> String {
    let message = match all(&mut iteration(body).load().unwrap(), 64) {
        Ok(operations) => format!("no error, and {} operations", operations.len()),
        Err(error) => error.message,
    };
    message.strip_prefix("s.lua:2: ").map(str::to_string).unwrap_or(message)
}

/// Checks all cases and reports every difference, so that one run of the test shows them all.
fn check(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(body, expected)| {
            let message = line(body);
            (message != *expected).then(|| format!("{body}\n  gives {message}\n  not   {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn handles() {
    let cases = [
        ("local h = c:open('a', 'r') c:close(h) c:read(h, 0, 1)", "read: handle used after close"),
        ("c:read(7, 0, 1)", "read: 7 is not a handle; a handle is what c:open returns"),
        ("c:close()", "close: nil is not a handle; a handle is what c:open returns"),
        (
            "while true do c:open('a', 'r') end",
            "open: 65536 handles are open, the most a client may have; is a close missing?",
        ),
    ];
    check(&cases);
}

#[test]
fn handles_of_other_clients_and_from_before_teardown() {
    let written = script(
        r#"
        local kept
        bench.workload {
            name = "w", clients = 2,
            iteration = function(c)
                kept = kept or c:open("a", "r")
                c:read(kept, 0, 1)
            end,
        }"#,
    );
    let error = written.fails();
    assert_eq!(error.client.as_deref(), Some("w/1"));
    assert_eq!(
        error.message,
        "s.lua:7: read: this handle belongs to another client; a client uses the handles it opened itself"
    );
    let written = script(
        r#"
        local kept
        bench.workload {
            name = "w",
            iteration = function(c) kept = c:open("a", "r") end,
            teardown = function(c) c:close(kept) end,
        }"#,
    );
    assert_eq!(
        written.message(),
        "s.lua:6: close: this handle was opened before teardown; open handles are closed when the iterations end, so open the file again"
    );
}

#[test]
fn paths() {
    let long = "x".repeat(300);
    let cases = [
        (
            "c:delete('a/../b')",
            "delete: path \"a/../b\" contains \"..\"; paths stay inside the share",
        ),
        (
            "c:mkdir('a\\0b')",
            "mkdir: path \"a\\0b\" contains '\\0', which SMB does not allow in a name",
        ),
        (
            "c:rename('a', 'b?')",
            "rename: path \"b?\" contains '?', which SMB does not allow in a name",
        ),
        (
            "c:open('a.docx:notes', 'r')",
            "open: path \"a.docx:notes\" contains ':', which names a stream of a file (file:stream), and smbench does not support named streams yet; write a name without it",
        ),
        (
            "c:mkdir('a. ')",
            "mkdir: path component \"a. \" ends in a dot or a space: SMB allows that, but Windows programs do not, so smbench does not send it; write the name without it",
        ),
        ("c:rmdir('')", "rmdir: the path is empty, which is the share itself"),
        ("c:stat(nil)", "stat: the path is a string, not nil"),
        ("c:open({}, 'r')", "open: the path is a string, not a table"),
        ("c:open('\\xff', 'r')", "open: the path is not valid UTF-8"),
        (
            "c:list('d', 'a/b')",
            "list: \"a/b\" is no pattern; write a name with * and ?, such as \"*.docx\"",
        ),
    ];
    check(&cases);
    assert!(
        line(&format!("c:delete('{long}')")).ends_with("has 300 UTF-16 units; a name may have 255")
    );
}

#[test]
fn arguments() {
    let open = "local h = c:open('a', 'rw') ";
    let cases = [
        (
            "c:open('a', 'x')",
            "open: the mode is \"r\" (an existing file), \"w\" (emptied or created) or \"rw\" (opened or created), not \"x\"",
        ),
        (&format!("{open} c:read(h, -1, 10)"), "read: offset is -1; it cannot be negative"),
        (
            &format!("{open} c:read(h, 1.5, 10)"),
            "read: offset is 1.5; it must be a whole number (math.floor makes one)",
        ),
        (
            &format!("{open} c:read(h, 2^60, 10)"),
            "read: offset is 1152921504606846976: Lua's numbers are rounded from 2^53 on, so write it as a string, such as \"9007199254740993\" or \"16TiB\"",
        ),
        (
            &format!("{open} c:lock(h, 9007199254740993, 1)"),
            "lock: offset is 9007199254740992: Lua's numbers are rounded from 2^53 on, so write it as a string, such as \"9007199254740993\" or \"16TiB\"",
        ),
        (
            &format!("{open} c:read(h, '9223372036854775807', 1)"),
            "read: offset 9223372036854775807 plus length 1 is beyond the largest file (2^63 - 1 bytes)",
        ),
        (
            &format!("{open} c:truncate(h, '8388608TiB')"),
            "truncate: 9223372036854775808 bytes are more than the largest file has (2^63 - 1)",
        ),
        (
            &format!("{open} c:read(h)"),
            "read: it takes a handle, an offset and a length, such as c:read(h, 0, 4096)",
        ),
        (
            &format!("{open} c:write(h, 0, 65 * 1024 * 1024)"),
            "write: length is 68157440; one write carries at most 64 MiB (67108864)",
        ),
        (
            &format!("{open} c:write(h, 0, 0/0)"),
            "write: length is NaN; it must be a number (x / 0 is none)",
        ),
        (
            &format!("{open} c:lock(h, 0, 1, {{ exclusive = 1 }})"),
            "lock: exclusive is true or false, not 1",
        ),
        (
            "c:stat('a', { exepct = 'any' })",
            "stat: unknown option 'exepct': did you mean 'expect'?",
        ),
        (
            "c:stat('a', { expect = 'OBJECT_NAME_NOTFOUND' })",
            "stat: expect: unknown status 'OBJECT_NAME_NOTFOUND': did you mean 'OBJECT_NAME_NOT_FOUND'?",
        ),
        (
            "c:stat('a', { expect = {} })",
            "stat: expect is an empty list; name a status, or \"any\"",
        ),
        (
            "local many = table.create(65, 'SUCCESS') c:stat('a', { expect = many })",
            "stat: expect names 65 statuses; name at most 64, or \"any\"",
        ),
        (
            "c:stat('a', 5)",
            "stat: the last argument is a table of options, such as { expect = \"any\" }, not 5",
        ),
        (
            "c:open('a', 'r', { lease = 'RWX' })",
            "open: lease: \"RWX\" is not a name it takes; write letters of R, W and H, each once, such as \"RWH\", or NONE",
        ),
        (
            "c:open('a', 'r', { durable = { timeout = 60 } })",
            "open: durable wants a timeout with a unit, such as \"60s\" or \"500ms\"",
        ),
        (
            "c:open('a', 'r', { lease = { state = print } })",
            "open: lease: a function does not belong here",
        ),
        (
            "c:open('a', 'r', { share_mod = 'read' })",
            "open: unknown option 'share_mod': did you mean 'share_mode'?",
        ),
        (
            "local t = 'R' for i = 1, 3 do t = table.create(1000, t) end c:open('a', 'r', { lease = t })",
            "open: lease: the option is too large; at most 256 KiB are possible",
        ),
        ("c:open('a', 'r', { lease = { state = 'R', [0.5] = 1 } })", "open: lease: 0.5 is no name"),
        ("c:open('a', 'r', { 'read' })", "open: value 1 has no name; write name = value"),
        (
            "local t = {} t.t = t c:open('a', 'r', { lease = t })",
            "open: lease: too many tables in one another",
        ),
        (
            "c:open('a', 'r', { disposition = 'FILE_OPNE' })",
            "open: disposition: \"FILE_OPNE\" is not a name it takes; nearest is \"OPEN\"",
        ),
    ];
    check(&cases);
}

#[test]
fn times() {
    let cases = [
        ("c:think(0.5)", "think: 0.5 ns? write \"0.5s\""),
        ("c:think(-1)", "think: -1 ns is negative"),
        ("c:think()", "think is a duration such as \"50ms\" or a number of nanoseconds, not nil"),
        (
            "c:think(1e300)",
            &format!("think: {} ns is too long; the longest is 2^53 ns (104 days)", 1e300),
        ),
        (
            "c:at('2s') c:stat('a') c:at('1s')",
            "at(1000000000) after an operation due at 2000000000 ns: time goes backwards",
        ),
        (
            "for i = 1, 200 do c:think('1h') end for i = 1, 3000 do c:think('1h') end",
            "the client's clock is beyond 2^53 ns (104 days)",
        ),
    ];
    check(&cases);
    let message = script(
        "bench.setup(function(c) c:at('1s') end)
        bench.workload { name = 'w', iteration = function(c) c:stat('a') end }",
    )
    .message();
    assert_eq!(
        message,
        "s.lua:1: c:at belongs in an iteration, because time zero comes after setup; use c:think here"
    );
}

#[test]
fn the_error_about_a_misspelt_name_suggests_the_nearest_one() {
    let cases = [
        (
            "c:reed()",
            "unknown method 'reed': did you mean 'read'? (a client has open, read, write, close, rename, delete, mkdir, rmdir, stat, list, truncate, flush, lock, unlock, think, at, running, step, id, user, iteration)",
        ),
        (
            "local x = c.iterations",
            "unknown field or method 'iterations': did you mean 'iteration'? (a client has open, read, write, close, rename, delete, mkdir, rmdir, stat, list, truncate, flush, lock, unlock, think, at, running, step, id, user, iteration)",
        ),
        (
            "rng:integer(1, 2)",
            "unknown method 'integer': did you mean 'int'? (rng has int, float, bool, exp, normal, lognormal, pareto, zipf, pick, shuffle)",
        ),
        ("rng:int(5, 1)", "rng:int(5, 1): the first is the larger"),
        ("rng:int(1.5, 2)", "rng:int takes whole numbers within 2^53, not 1.5"),
        ("rng:bool(2)", "rng:bool(2): a probability is between 0 and 1"),
        ("rng:pick({})", "rng:pick: the list is empty"),
        (
            "rng:exp('1x')",
            "rng:exp: the mean: \"1x\" is neither a duration nor a size: write a number and a unit, such as \"5ms\" or \"64KiB\"",
        ),
        ("c.read(1, 2)", "methods are called with a colon: write c:read(…), not c.read(…)"),
        (
            "bench.choose { { 1, print } }",
            "bench.choose must be called at the top level of the script, outside of all functions: local mix = bench.choose { … } there, and mix(c, rng) here",
        ),
        (
            "bench.workload {}",
            "bench.workload must be called at the top level of the script, outside of all functions",
        ),
        (
            "require('@bench/office')",
            "module \"@bench/office\" must be required at the top level of the script, outside of all functions, so that it is loaded before the first operation",
        ),
        (
            "local x = math.random(5)",
            "math.random is not available: use rng, the second argument of setup, iteration and teardown, which gives the same numbers on every run",
        ),
        ("local x = math.sine(5)", "unknown function of math 'sine': did you mean 'sin'?"),
        ("count = 1", "globals cannot be set or changed: write \"local count = …\""),
        ("local x = bnech", "unknown global 'bnech': did you mean 'bench'?"),
        ("local t = nil; t.x = 1", "attempt to index nil with 'x'"),
        ("error('boom')", "boom"),
        ("error({})", "error() was called with a table instead of a string"),
        (
            "local s = ('%d'):format('x')",
            "invalid argument #2 to 'format' (number expected, got string)",
        ),
    ];
    check(&cases);
}

#[test]
fn the_top_level() {
    let ok = "bench.workload { name = 'w', iteration = function(c) c:stat('a') end }";
    let cases = [
        ("local x =", "s.lua:1: Expected identifier when parsing expression, got <eof>"),
        (
            "local x = 1",
            "s.lua: the script has no workload; add bench.workload { name = …, iteration = function(c, rng) … end }, or load a document with bench.load",
        ),
        (
            "bench.workload { name = 'w' }",
            "s.lua:1: workload 'w' needs an iteration, such as iteration = function(c, rng) … end",
        ),
        (
            "bench.workload { iteration = print }",
            "s.lua:1: bench.workload needs a name, such as name = \"editors\"",
        ),
        (
            "bench.workload { name = 'a/b', iteration = print }",
            "s.lua:1: bench.workload: name \"a/b\" is no name: write 1 to 64 characters without '/', '=' or quotes",
        ),
        (
            "bench.workload { name = 'w', iterations = print }",
            "s.lua:1: bench.workload: unknown field 'iterations': --iterations sets their number; 'iteration' is the function",
        ),
        (
            "bench.workload { name = 'w', clients = 0, iteration = print }",
            "s.lua:1: workload 'w': 0 clients; 1 to 1000000 are possible",
        ),
        (
            "bench.workload { name = 'w', clients = 1e7, iteration = print }",
            "s.lua:1: workload 'w': 10000000 clients; 1 to 1000000 are possible",
        ),
        (
            "bench.workload { name = 'w', iteration = 5 }",
            "s.lua:1: workload 'w': iteration takes a function, not 5",
        ),
        (
            "bench.workload { name = 'w', iteration = print, pace = 5 }",
            "s.lua:1: workload 'w': pace is bench.closed_loop {} or bench.open_loop { rate = … }, not 5",
        ),
        ("bench.closed_loop { rate = 5 }", "s.lua:1: bench.closed_loop: unknown option 'rate'"),
        (
            "bench.quux('x')",
            "s.lua:1: unknown function of bench 'quux': there is abort, bytes, choose, closed_loop, counter, filter, gauge, histogram, load, map, merge, mix, nanoseconds, on_break, on_complete, on_end, on_phase, open_loop, params, phases, rate, repeat_stream, rewrite_paths, rng, sample, scale_clients, setup, shift, status, teardown, thresholds, time_warp, transform, tree, workload",
        ),
        (
            &format!("{ok}\n{ok}"),
            "s.lua:2: there are two workloads named 'w', the first at s.lua:1",
        ),
        (
            &format!("{ok}\n{}", ok.replace("'w'", "'W'")),
            "s.lua:2: workload 'W' and workload 'w' (s.lua:1) differ in case only, which SMB ignores in names such as c.user's: rename one",
        ),
        ("bench.setup(5)", "s.lua:1: bench.setup takes a function, not 5"),
        (
            "bench.setup(print)\nbench.setup(print)",
            "s.lua:2: bench.setup is called twice; a script has one",
        ),
        (
            "bench.phases {}",
            "s.lua:1: bench.phases takes a list such as { { name = \"steady\", duration = \"30s\" } }",
        ),
        (
            "bench.phases { { name = 'a', duration = 5 } }",
            "s.lua:1: phase 'a': duration: 5 ns? write \"5s\"",
        ),
        (
            "bench.phases { { name = 'a', duration = '1s' }, { name = 'a', duration = '1s' } }",
            "s.lua:1: bench.phases: there are two phases named 'a'",
        ),
        (
            "bench.phases { { name = 'a', duration = '1s', recrod = true } }",
            "s.lua:1: bench.phases: unknown field 'recrod': did you mean 'record'?",
        ),
        ("bench.phases { { duration = '1s' } }", "s.lua:1: bench.phases: phase 1 needs a name"),
        (
            "function helper() end",
            "s.lua:1: globals cannot be set or changed: write \"local function helper\"",
        ),
        (
            "bench.workload = nil",
            "s.lua:1: attempt to modify a readonly table (what bench, a library or a module provides cannot be changed)",
        ),
        (
            "os.exit(3)",
            "s.lua:1: 'os' is not available in scripts: scripts cannot reach this host; times come from phases, c:think and c:at",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(script(text).refused(), expected, "{text}");
    }
}

#[test]
fn an_error_names_the_one_client_of_a_thousand_it_happened_to() {
    let error = script(
        "bench.workload { name = 'editors', clients = 1000, iteration = function(c)
            c:stat('a')
            if c.id == 731 then
                local x = nil
                c:stat(x.name)
            end
        end }",
    )
    .fails();
    assert_eq!(error.to_string(), "s.lua:5: attempt to index nil with 'name' (client editors/731)");
}

#[test]
fn operations_made_before_an_error_stand_and_teardown_still_runs() {
    let mut script = script(
        "bench.workload { name = 'w',
            iteration = function(c) c:stat('a') c:stat('b') error('boom') end,
            teardown = function(c) c:delete('a') end }",
    )
    .load()
    .unwrap();
    let mut operations = Vec::new();
    let error = script.pull(0, Section::Iteration, 64, &mut operations).unwrap_err();
    assert_eq!(error.message, "s.lua:2: boom");
    assert_eq!(operations.len(), 2);
    assert_eq!(script.pull(0, Section::Iteration, 64, &mut operations), Err(error));
    assert_eq!(script.pull(0, Section::Teardown, 64, &mut operations), Ok(Progress::End));
    assert_eq!(operations.len(), 3);
}

#[test]
fn an_error_inside_a_module_names_the_module_s_line() {
    let message = script(
        "local m = require('./lib/m')
        bench.workload { name = 'w', iteration = function(c)
            m.go(c)
        end }",
    )
    .file("lib/m.lua", "local M = {}\nfunction M.go(c)\n c:stat(5)\nend\nreturn M")
    .message();
    assert_eq!(message, "lib/m.lua:3: stat: the path is a string, not 5");
}

#[test]
fn a_script_can_catch_an_error_and_reads_the_same_text() {
    let operations = iteration(
        r#"
        local ok, text = pcall(function() c:stat(5) end)
        c:stat(text)
        local ok, text = pcall(c.stat, c, 5)
        c:stat(text)
        local ok, text = xpcall(function() c:stat(5) end, function(e) return "<" .. e end)
        c:mkdir((text:gsub("[<:]", "")))
        local ok, text = coroutine.resume(coroutine.create(function() c:stat(5) end))
        c:stat((text:gsub(":", "")))"#
            .replace("c:stat(text)", "c:stat((text:gsub(':', '')))")
            .as_str(),
    )
    .operations();
    let paths: Vec<&str> = operations.iter().map(|o| o.kind.path().unwrap().as_str()).collect();
    assert_eq!(
        paths,
        [
            "s.lua3 stat the path is a string, not 5",
            "s.lua5 stat the path is a string, not 5",
            "s.lua7 stat the path is a string, not 5",
            "s.lua9 stat the path is a string, not 5",
        ]
    );
}

#[test]
fn fields_that_are_set() {
    const BY_CLIENT: &str = "keep the state of a client in a local table by its id, such as local state = {} and state[c.id] = …";
    let client = |name: &str| {
        format!("{name} cannot be set: a client has no fields that can be set; {BY_CLIENT}")
    };
    let rng = format!("'seed' cannot be set: rng has no fields that can be set; {BY_CLIENT}");
    let cases = [
        ("c.foo = 1", client("'foo'")),
        ("c.iteration = 5", client("'iteration'")),
        ("c.stat = function() end", client("'stat'")),
        ("c[1] = 1", client("1")),
        ("rng.seed = 1", rng),
        (
            "local h = c:open('a', 'rw') h.size = 1",
            "'size' cannot be set: a handle has no fields that can be set; keep what belongs to a handle in a local table, such as local sizes = {} and sizes[h] = …".to_string(),
        ),
    ];
    check(&cases.each_ref().map(|(body, message)| (*body, message.as_str())));
}

#[test]
fn sizes_that_are_no_numbers() {
    check(&[
        (
            "local h = c:open('a', 'rw') c:read(h, 0 / 0, 1)",
            "read: offset is NaN; it must be a number (x / 0 is none)",
        ),
        (
            "local h = c:open('a', 'rw') c:read(h, 0, 0 / 0)",
            "read: length is NaN; it must be a number (x / 0 is none)",
        ),
        (
            "local h = c:open('a', 'rw') c:truncate(h, 1 / 0)",
            "truncate: size is inf; it must be a number (x / 0 is none)",
        ),
    ]);
}
