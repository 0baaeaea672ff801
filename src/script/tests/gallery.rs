//! The mistakes newcomers make, each with the whole message they see. Read it
//! as they would: does the message say what to write instead?

use super::*;

/// In an iteration, on the second line of the script.
const IN_AN_ITERATION: &[(&str, &str)] = &[
    // From k6 and Python, where it is called otherwise.
    ("c:sleep('1s')", "unknown method 'sleep': here it is 'think'"),
    ("c:remove('a')", "unknown method 'remove': here it is 'delete'"),
    ("rng:randint(1, 6)", "unknown method 'randint': here it is 'int'"),
    ("c:raed(1)", "unknown method 'raed': did you mean 'read'?"),
    ("c.open('a', 'r')", "a method goes with a colon: write c:open(…), not c.open(…)"),
    ("rng.int(1, 6)", "a method goes with a colon: write rng:int(…), not rng.int(…)"),
    ("c:stat(c:user())", "'user' is a field of the client: write c.user, not c:user()"),
    ("rng:float(1, 5)", "rng:float takes nothing: between 1 and 5 lies 1 + 4 * rng:float()"),
    ("rng:int(6)", "rng:int takes the lowest and the highest, such as rng:int(1, 6)"),
    (
        "local n = math.random(6)",
        "math.random is not available: use rng, the second argument of setup, iteration and teardown, which gives the same numbers on every run",
    ),
    (
        "local started = os.time()",
        "'os' is not available in scripts: scripts cannot reach this machine; times come from phases, think and at",
    ),
    ("count = count + 1", "unknown global 'count': a variable of your own begins with local"),
    ("last = 'a.docx'", "globals cannot be set or changed: write \"local last = …\""),
    ("c:think(1)", "think: 1 ns? write \"1s\""),
    (
        "c:think('5')",
        "think: \"5\" is not a duration: write a number and a unit, such as \"250ms\", \"1.5s\" or \"2m\" (ns, us, ms, s, m, h)",
    ),
    (
        "c:open('a')",
        "open: the mode is \"r\" (an existing file), \"w\" (emptied or created) or \"rw\" (opened or created), not nil",
    ),
    (
        "c:read('a.docx', 0, 4096)",
        "read: \"a.docx\" is not a handle; a handle is what c:open returns",
    ),
    (
        "local h = c:open('a', 'r') h:read(0, 4096)",
        "a handle has no 'read': handles are given to the client's methods, such as c:read(h, 0, 4096) and c:close(h)",
    ),
    ("local h = c:open('a', 'r') c:close(h) c:read(h, 0, 4096)", "read: handle used after close"),
    (
        "local h = c:open('a', 'w') c:write(h, 0, 'hello')",
        "write: length is how many bytes, such as 4096 or \"64KiB\", not \"hello\"; which bytes say the options payload and blob",
    ),
    (
        "local h = c:open('a', 'r') c:read(h, 0, 10000 / 3)",
        "read: length is 3333.3333333333335; it must be a whole number (math.floor makes one)",
    ),
    ("local h = c:open('a', 'r') c:read(h, -1, 4096)", "read: offset is -1; it cannot be negative"),
    (
        "c:stat([[\\\\server\\share\\a]])",
        "stat: \"\\\\\\\\server\\\\share\\\\a\": paths begin inside the share; --target says server and share",
    ),
    (
        "c:delete('a', { expcet = 'any' })",
        "delete: unknown option 'expcet': did you mean 'expect'?",
    ),
    (
        "c:delete('a', { expect = 'ENOENT' })",
        "delete: expect: unknown status 'ENOENT'; write a name of MS-ERREF's, such as OBJECT_NAME_NOT_FOUND",
    ),
    (
        "c:open('a', 'rw', { oplock = 'batch' })",
        "open: unknown option 'oplock': here it is 'requested_oplock'",
    ),
    (
        "c:open('a', 'rw', { requested_oplock = 'RWH' })",
        "open: requested_oplock wants NONE, II, EXCLUSIVE, BATCH or LEASE; letters such as \"RWH\" belong to lease",
    ),
];

/// Whole scripts; what is wrong is on the first line.
const AT_THE_TOP: &[(&str, &str)] = &[
    (
        "bench.workload { name = 'w', iteration = function() c:stat('a') end }",
        "unknown global 'c': the client is the first argument: function(c, rng)",
    ),
    (
        "bench.workload { name = 'w', iteration = function(rng) rng:int(1, 6) end }",
        "'int' belongs to rng, the second argument: function(c, rng) … rng:int(…)",
    ),
    (
        "bench.workload { name = 'w', vus = 10, iteration = print }",
        "bench.workload: unknown field 'vus': here it is 'clients'",
    ),
    (
        "bench.workload { name = 'w', duration = '30s', iteration = print }",
        "bench.workload: unknown field 'duration': how long a run takes say bench.phases and --duration",
    ),
    (
        "bench.workload { name = 'w', clients = '10', iteration = print }",
        "workload 'w': clients is a whole number, not \"10\"",
    ),
    (
        "bench.workload { 'w', iteration = print }",
        "bench.workload: value 1 stands alone; write name = value",
    ),
    (
        "function iteration(c, rng) end",
        "globals cannot be set or changed: write \"local function iteration\"",
    ),
    (
        "bench.phases { name = 'steady', duration = '30s' }",
        "bench.phases takes a list such as { { name = \"steady\", duration = \"30s\" } }",
    ),
    (
        "bench.phases { { name = 'steady', duration = 30 } }",
        "phase 'steady': duration: 30 ns? write \"30s\"",
    ),
    (
        "local P = bench.params { users = 10 }",
        "parameter 'users' is a table, such as { type = \"int\", default = 10 }, not 10",
    ),
    (
        "local P = bench.params { users = { type = 'int', default = 1 } } local n = P.user",
        "unknown parameter 'user': did you mean 'users'?",
    ),
    (
        "bench.workload { name = 'w', iteration = print, pace = bench.open_loop { rps = 5 } }",
        "bench.open_loop: unknown option 'rps': there is rate, arrivals, late",
    ),
    (
        "local browse = print bench.choose { browse, 70 }",
        "bench.choose: entry 1 is a weight and a function, such as { 70, browse }, not a function",
    ),
    ("if 1 != 2 then end", "Unexpected '!='; did you mean '~='?"),
    (
        "bench.workload { name = 'w', iteration = function(c) c:stat('a')",
        "Expected 'end' (to close 'function' at column 42), got <eof>",
    ),
];

fn seen(written: &Written) -> String {
    match written.load().map(|mut script| all(&mut script, 64)) {
        Err(error) => error.to_string(),
        Ok(Err(error)) => error.message,
        Ok(Ok(operations)) => format!("no error, and {} operations", operations.len()),
    }
}

#[test]
fn every_mistake_is_told_with_its_line_and_what_to_write_instead() {
    let inside = IN_AN_ITERATION.iter().map(|(text, message)| (iteration(text), text, 2, message));
    let top = AT_THE_TOP.iter().map(|(text, message)| (script(text), text, 1, message));
    let mut wrong = Vec::new();
    for (written, text, line, message) in inside.chain(top) {
        let (seen, expected) = (seen(&written), format!("s.lua:{line}: {message}"));
        if seen != expected {
            wrong.push(format!("{text}\n  gives {seen}\n  not   {expected}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
