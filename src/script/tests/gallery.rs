//! Mistakes that newcomers make, each with the whole message they see. Read each as a newcomer
//! would: does the message say what to write instead?

use super::*;

/// Bodies of an iteration, on the second line of the script.
const IN_AN_ITERATION: &[(&str, &str)] = &[
    // Names from k6 and Python that are different here.
    ("c:sleep('1s')", "unknown method 'sleep': here it is 'think'"),
    ("c:remove('a')", "unknown method 'remove': here it is 'delete'"),
    ("c:group('a', print)", "unknown method 'group': here it is 'step'"),
    (
        "step('a', print)",
        "unknown global 'step': here it is a method of the client: c:step(\"save\", function() … end)",
    ),
    ("rng:randint(1, 6)", "unknown method 'randint': here it is 'int'"),
    (
        "c:raed(1)",
        "unknown method 'raed': did you mean 'read'? (a client has open, read, write, close, rename, delete, mkdir, rmdir, stat, list, truncate, flush, lock, unlock, think, at, running, step, id, user, iteration)",
    ),
    ("c.open('a', 'r')", "methods are called with a colon: write c:open(…), not c.open(…)"),
    ("rng.int(1, 6)", "methods are called with a colon: write rng:int(…), not rng.int(…)"),
    ("c:stat(c:user())", "'user' is a field of the client: write c.user, not c:user()"),
    (
        "rng:float(1, 5)",
        "rng:float takes no argument: for a number between 1 and 5 write 1 + 4 * rng:float()",
    ),
    ("rng:int(6)", "rng:int takes the lowest and the highest, such as rng:int(1, 6)"),
    (
        "local n = math.random(6)",
        "math.random is not available: use rng, the second argument of setup, iteration and teardown, which gives the same numbers on every run",
    ),
    (
        "local started = os.time()",
        "'os' is not available in scripts: scripts cannot reach this host; times come from phases, c:think and c:at",
    ),
    ("count = count + 1", "unknown global 'count': a variable of your own begins with local"),
    ("last = 'a.docx'", "globals cannot be set or changed: write \"local last = …\""),
    (
        "c:think(1)",
        "think: 1 ns? write \"1s\" (where it is computed: 0, or 1000 and more, such as math.max(1000, …))",
    ),
    (
        "c:think(math.floor(416.7))",
        "think: 416 ns? write \"416s\" (where it is computed: 0, or 1000 and more, such as math.max(1000, …))",
    ),
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
        "a handle has no 'read': handles are given to the client's methods read, write, close, truncate, flush, lock, unlock, such as c:read(h, 0, 4096) and c:close(h)",
    ),
    ("local h = c:open('a', 'r') c:close(h) c:read(h, 0, 4096)", "read: handle used after close"),
    (
        "local h = c:open('a', 'w') c:write(h, 0, 'hello')",
        "write: length is a number of bytes, such as 4096 or \"64KiB\", not \"hello\"; choose the data with the option payload or blob",
    ),
    (
        "local h = c:open('a', 'r') c:read(h, 0, 10000 / 3)",
        "read: length is 3333.3333333333335; it must be a whole number (math.floor makes one)",
    ),
    ("local h = c:open('a', 'r') c:read(h, -1, 4096)", "read: offset is -1; it cannot be negative"),
    (
        "c:stat([[\\\\server\\share\\a]])",
        "stat: \"\\\\\\\\server\\\\share\\\\a\": paths begin inside the share; --target names the server and the share",
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
        "c:open('a', 'rw', { share_mode = 'FOO' })",
        "open: share_mode: \"FOO\" is not a name it takes; there is NONE, READ, WRITE, DELETE",
    ),
    (
        "c:open('a', 'rw', { access_mask = 'GENERIC_RAED' })",
        "open: access_mask: \"GENERIC_RAED\" is not a name it takes; nearest is \"GENERIC_READ\"",
    ),
    (
        "c:open('a', 'rw', { requested_oplock = 'RWH' })",
        "open: requested_oplock wants NONE, II, EXCLUSIVE, BATCH or LEASE; letters such as \"RWH\" belong to lease",
    ),
    (
        "c:open('a', 'rw', { on_break = 'ignore' })",
        "open: on_break is a table such as { policy = \"acknowledge\", delay = \"50ms\" }, not \"ignore\"",
    ),
    (
        "c:open('a', 'rw', { on_break = { policy = 'ignroe' } })",
        "open: on_break: unknown policy 'ignroe': did you mean 'ignore'?",
    ),
    (
        "c:open('a', 'rw', { on_break = { delay = 1 } })",
        "open: on_break: delay: 1 ns? write \"1s\" (where it is computed: 0, or 1000 and more, such as math.max(1000, …))",
    ),
    ("c:usleep(1000)", "unknown method 'usleep': here it is 'think'"),
    ("c:upload('a')", "unknown method 'upload': here it is 'write'"),
    ("local x = c.vu", "unknown field or method 'vu': here it is 'id'"),
    ("rng:choose({ 1, 2 })", "unknown method 'choose': here it is 'pick'"),
    ("sleep(1)", "unknown global 'sleep': here it is c:think(\"1s\")"),
    (
        "check(1, {})",
        "unknown global 'check': the option expect sets how an operation may end, such as c:stat(path, { expect = \"any\" }), and bench.thresholds sets what the run must reach",
    ),
    ("local id = __VU", "unknown global '__VU': here it is c.id"),
    (
        "local size = __ENV.SIZE",
        "unknown global '__ENV': a script takes parameters: local P = bench.params { … }",
    ),
    (
        "local n = sysbench.opt.threads",
        "unknown global 'sysbench': bench.params returns the parameters, and operations are methods of the client c",
    ),
    (
        "c:stat('a', 'any')",
        "stat: the last argument is a table of options, such as { expect = \"any\" }, not \"any\"",
    ),
    (
        "local h = c:open('a', 'w') c:write(h, 'hello')",
        "write: it takes a handle, an offset and a length, such as c:write(h, 0, 4096)",
    ),
    (
        "c:copy('a', 'b')",
        "unknown method 'copy': there is no copy: read the one file and write the other, with c:open, c:read and c:write; a client has open, read, write, close, rename, delete, mkdir, rmdir, stat, list, truncate, flush, lock, unlock, think, at, running, step, id, user, iteration",
    ),
    (
        "c:log('a')",
        "unknown method 'log': here it is print(…); a client has open, read, write, close, rename, delete, mkdir, rmdir, stat, list, truncate, flush, lock, unlock, think, at, running, step, id, user, iteration",
    ),
    (
        "c:rmtree('a')",
        "unknown method 'rmtree': there is no removal of a whole tree: c:delete each file, then c:rmdir each directory, the innermost first; a client has open, read, write, close, rename, delete, mkdir, rmdir, stat, list, truncate, flush, lock, unlock, think, at, running, step, id, user, iteration",
    ),
    (
        "c:frobnicate('a')",
        "unknown method 'frobnicate': a client has open, read, write, close, rename, delete, mkdir, rmdir, stat, list, truncate, flush, lock, unlock, think, at, running, step, id, user, iteration; rng has int, float, bool, exp, normal, lognormal, pareto, zipf, pick, shuffle",
    ),
    (
        "rng:nrmal(1, 2)",
        "unknown method 'nrmal': did you mean 'normal'? (rng has int, float, bool, exp, normal, lognormal, pareto, zipf, pick, shuffle)",
    ),
    (
        "local x = c.pathe",
        "unknown field or method 'pathe': a client has open, read, write, close, rename, delete, mkdir, rmdir, stat, list, truncate, flush, lock, unlock, think, at, running, step, id, user, iteration",
    ),
    (
        "local x = rng.sede",
        "unknown field or method 'sede': rng has int, float, bool, exp, normal, lognormal, pareto, zipf, pick, shuffle",
    ),
    (
        "local h = c:open('a', 'r') h:truncat(0)",
        "a handle has no 'truncat': handles are given to the client's methods read, write, close, truncate, flush, lock, unlock, such as c:read(h, 0, 4096) and c:close(h); did you mean c:truncate(h)?",
    ),
    (
        "local h = c:open('a', 'r') local x = h.size",
        "a handle has no 'size': handles are given to the client's methods read, write, close, truncate, flush, lock, unlock, such as c:read(h, 0, 4096) and c:close(h)",
    ),
    // Results of operations, which return nothing.
    (
        "local n = #c:list('')",
        "attempt to get length of a nil value (operations of a client, such as c:list, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local n = c:list('').n",
        "attempt to index nil with 'n' (operations of a client, such as c:list, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local n = c:list('')[1]",
        "attempt to index nil with number (operations of a client, such as c:list, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local n = c:stat('a') + 1",
        "attempt to perform arithmetic (add) on nil and number (operations of a client, such as c:stat, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local n = -c:stat('a')",
        "attempt to perform arithmetic (unm) on nil (operations of a client, such as c:stat, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "if c:stat('a') < 5 then end",
        "attempt to compare nil < number (operations of a client, such as c:stat, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local s = c:stat('a') .. 'x'",
        "attempt to concatenate nil with string (operations of a client, such as c:stat, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local s = 'x'..c:stat('a')",
        "attempt to concatenate string with nil (operations of a client, such as c:stat, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local s = 'x' .. c:stat('a')",
        "attempt to concatenate string with nil (operations of a client, such as c:stat, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "c:stat('a')()",
        "attempt to call a nil value (operations of a client, such as c:stat, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "for name in c:list('a') do end",
        "attempt to iterate over a nil value (operations of a client, such as c:list, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "for _, name in ipairs(c:list('a')) do end",
        "missing argument #1 to 'ipairs' (table expected) (operations of a client, such as c:list, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "c:stat(c:list('a'))",
        "stat: the path is a string, not nil (operations of a client, such as c:list, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local names, more = c:list('a'), 1 local x = names[1]",
        "attempt to index nil with number (operations of a client, such as c:list, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local function names() return c:list('a') end local x = #names()",
        "attempt to get length of a nil value (operations of a client, such as c:list, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local ok = c:stat('a') assert(ok)",
        "assertion failed! (operations of a client, such as c:stat, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local h = c:open('a', 'rw') c:write(h, 0, c:read(h, 0, 1))",
        "write: it takes a handle, an offset and a length, such as c:write(h, 0, 4096) (operations of a client, such as c:read, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local h = c:open('a', 'rw') c:read(h, 0, c:stat('f'))",
        "read: it takes a handle, an offset and a length, such as c:read(h, 0, 4096) (operations of a client, such as c:stat, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local size = c:stat('f') local h = c:open('a', 'rw') c:read(h, 0, size)",
        "read: it takes a handle, an offset and a length, such as c:read(h, 0, 4096) (operations of a client, such as c:stat, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "local n = rng:int(1, c:stat('f'))",
        "rng:int takes the lowest and the highest, such as rng:int(1, 1) (operations of a client, such as c:stat, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    (
        "error(c:stat('f'))",
        "error() was called without a message (operations of a client, such as c:stat, return nothing, and only c:open returns a handle: a script never sees results)",
    ),
    // Errors that have nothing to do with results of operations get no hint.
    ("local x = nil c:stat(x.name)", "attempt to index nil with 'name'"),
    ("local x = {} c:stat('a') x.f() c:stat('b')", "attempt to call a nil value"),
    (
        "c:list('docs/*.docx')",
        "list: the pattern follows the directory: c:list(\"docs\", \"*.docx\")",
    ),
];

/// Whole scripts with the mistake on the first line.
const AT_THE_TOP: &[(&str, &str)] = &[
    (
        "local bench = require('bench')",
        "bench is a global and needs no require: write bench.workload { … } as it is",
    ),
    ("local math = require('math')", "'math' is a global and needs no require"),
    (
        "bench.on_break(function(c) end)",
        "bench.on_break takes a table: bench.on_break { policy = \"acknowledge\", delay = \"50ms\" }, not a function; it is not a hook: it sets how clients answer breaks, before the run",
    ),
    (
        "bench.on_break { polcy = 'ignore' }",
        "bench.on_break: unknown field 'polcy': did you mean 'policy'?",
    ),
    (
        "bench.on_break { policy = 'ack' }",
        "bench.on_break: unknown policy 'ack': here it is 'acknowledge'",
    ),
    ("bench.on_break { policy = true }", "bench.on_break: policy is a string, not true"),
    ("bench.on_break { flush = 'yes' }", "bench.on_break: flush is true or false, not \"yes\""),
    (
        "bench.on_break { timeout = '35s' }",
        "bench.on_break: unknown field 'timeout': the server decides how long it waits (35 s); 'delay' sets how long the client waits before it answers",
    ),
    (
        "bench.on_break { policy = 'ignore', delay = '1s' }",
        "bench.on_break takes neither delay nor flush where the policy is \"ignore\": they belong to an answer, and it gives none",
    ),
    (
        "bench.on_break { delay = '35s' }",
        "bench.on_break takes a delay of less than 35 s, for that is how long a server waits for an answer; policy = \"ignore\" gives none",
    ),
    (
        "bench.on_break {} bench.on_break { flush = true }",
        "bench.on_break is called twice for all workloads, first at s.lua:1",
    ),
    (
        "bench.on_break { workload = 'w' } bench.on_break { workload = 'w' }",
        "bench.on_break is called twice for workload 'w', first at s.lua:1",
    ),
    (
        "bench.on_break { workload = 'editrs' } bench.workload { name = 'editors', iteration = print }",
        "bench.on_break: unknown workload 'editrs': did you mean 'editors'?",
    ),
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
        "bench.workload: unknown field 'duration': bench.phases and --duration set the duration of a run",
    ),
    (
        "bench.workload { name = 'w', clients = '10', iteration = print }",
        "workload 'w': clients is a whole number, not \"10\"",
    ),
    (
        "bench.workload { 'w', iteration = print }",
        "bench.workload: value 1 has no name; write name = value",
    ),
    (
        "function iteration(c, rng) end",
        "globals cannot be set or changed: write \"local function iteration\"; clients run the functions of a workload: bench.workload { …, iteration = function(c, rng) … end }",
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
    (
        "bench.choose(70, print)",
        "bench.choose takes a list of weights and functions: bench.choose { { 70, browse }, { 30, edit } }, not 70",
    ),
    (
        "bench.workload('editors', {})",
        "bench.workload takes a table: bench.workload { name = \"editors\", clients = 10, iteration = function(c, rng) … end }, not \"editors\"",
    ),
    (
        "bench:workload { name = 'w', iteration = print }",
        "functions of bench are called with a dot: write bench.workload(…), not bench:workload(…)",
    ),
    (
        "bench:counter('hits')",
        "functions of bench are called with a dot: write bench.counter(…), not bench:counter(…)",
    ),
    (
        "bench.thresholds { 'read.response.avg < 20ms' } bench.workload { name = 'w', iteration = print }",
        "bench.thresholds: 'read.response.avg < 20ms': unknown metric 'read.response.avg': write read.response.mean",
    ),
    (
        "bench.thresholds { 'read.response.p(95)<500' } bench.workload { name = 'w', iteration = print }",
        "bench.thresholds: 'read.response.p(95)<500': unknown metric 'read.response.p(95)': write read.response.p95",
    ),
    ("if 1 != 2 then end", "Unexpected '!='; did you mean '~='?"),
    (
        "function default() end",
        "globals cannot be set or changed: write \"local function default\"; clients run the functions of a workload: bench.workload { …, iteration = function(c, rng) … end }",
    ),
    (
        "bench.stages { { duration = '30s', target = 10 } }",
        "unknown function of bench 'stages': here it is bench.phases; a workload's pace may have a rate for each phase",
    ),
    ("bench.trend('x')", "unknown function of bench 'trend': here it is bench.histogram"),
    (
        "bench.workload { name = 'w', stages = {}, iteration = print }",
        "bench.workload: unknown field 'stages': bench.phases sets the duration of each phase, and pace = { name = bench.open_loop { … } } its rate",
    ),
    (
        "bench.workload { name = 'w', thresholds = {}, iteration = print }",
        "bench.workload: unknown field 'thresholds': they are declared beside the workloads: bench.thresholds { \"read.response.p99 < 20ms\" }",
    ),
    (
        "bench.workload { name = 'w', event = print }",
        "bench.workload: unknown field 'event': here it is 'iteration'",
    ),
    (
        "bench.phases { { duration = '30s', target = 10 } }",
        "bench.phases: unknown field 'target': the rate of a phase is part of the workload: pace = { name = bench.open_loop { rate = … } }",
    ),
    (
        "local hits = bench.counter('hits') hits.add(1)",
        "methods are called with a colon: write metric:add(…), not metric.add(…)",
    ),
    ("local hits = bench.counter('hits') hits:inc()", "unknown method 'inc': here it is 'add'"),
    (
        "bench.thresholds { 'http_req_duration < 500ms' } bench.workload { name = 'w', iteration = print }",
        "bench.thresholds: 'http_req_duration < 500ms': unknown metric 'http_req_duration': write a metric such as 'all.response.p95'",
    ),
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
fn the_error_about_a_mistake_has_its_line_and_what_to_write_instead() {
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
