//! Malicious scripts: each ends within its limits and with an error, and nothing it catches or
//! hides keeps it alive.

use std::time::{Duration, Instant};

use super::*;

/// Attacks as name and script. Each runs at the top level and in an iteration.
pub(super) const ATTACKS: &[(&str, &str)] = &[
    ("loop", "while true do end"),
    ("pcall-loop", "while true do pcall(function() while true do end end) end"),
    ("pcall-recursive", "local function f() while true do pcall(f) end end f()"),
    ("pcall-tight", "while true do pcall(pcall, pcall, pcall, error) end"),
    (
        "xpcall-handler-loop",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
    ),
    ("coroutine-loop", "coroutine.wrap(function() while true do end end)()"),
    (
        "coroutine-resume-loop",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    ),
    ("hot-loop", "local x = 0 for i = 1, 1e15 do x = x + i % 7 end"),
    ("rep-bomb", "local s = string.rep('x', 1e9)"),
    ("rep-bomb-method", "local s = ('x'):rep(1e6) for i = 1, 20 do s = s .. s end"),
    ("concat-doubling", "local s = 'x' while true do s = s .. s end"),
    (
        "memory-pcall-loop",
        "local t = {} while true do pcall(function() for i = 1, 1e9 do t[#t + 1] = ('x'):rep(1000) .. i end end) end",
    ),
    ("table-bomb", "local t = {} for i = 1, 1e10 do t[i] = i end"),
    ("table-create-bomb", "local t = table.create(1e9, 1)"),
    (
        "coroutine-bomb",
        "local t = {} for i = 1, 1e9 do t[i] = coroutine.create(function() end) end",
    ),
    ("rep-empty", "while true do string.rep('', 2147483647) end"),
    ("find-backtrack", "while true do string.find(('a'):rep(200), ('.-'):rep(25) .. 'b') end"),
    (
        "find-optional",
        "while true do string.find(('a'):rep(40), ('a?'):rep(40) .. ('a'):rep(40)) end",
    ),
    ("find-deep", "while true do string.find(('a'):rep(3e5), ('(.-)'):rep(2) .. '%f[b]') end"),
    ("gsub-quadratic", "while true do string.gsub(('a'):rep(3e5), 'a-b', '') end"),
    (
        "find-plain-quadratic",
        "while true do string.find(('a'):rep(6e6), ('a'):rep(3e6) .. 'b', 1, true) end",
    ),
    ("find-quadratic", "while true do string.find(('a'):rep(6e6), ('a'):rep(3e6) .. 'b') end"),
    ("split-quadratic", "while true do string.split(('a'):rep(6e6), ('a'):rep(3e6) .. 'b') end"),
    ("length-of-utf8", "local s = ('x'):rep(1e7) while true do utf8.len(s) end"),
    ("sort-long", "local t = table.create(1e6, 1) while true do table.sort(t) end"),
    ("find-in-list", "local t = table.create(1e6, 1) while true do table.find(t, 2) end"),
    ("buffer-fill", "local b = buffer.create(1e7) while true do buffer.fill(b, 0, 1) end"),
    ("buffer-outside", "buffer.copy(buffer.create(8), 0, buffer.create(8), -1, 2^32 - 1)"),
    ("pack-wide", "local s = string.pack('c2147483647', 'x')"),
    (
        "index-chain",
        "local t = {} for i = 1, 1e5 do t = setmetatable({}, { __index = t }) end t.a()",
    ),
    ("index-cycle", "local t = {} setmetatable(t, { __index = t }) t.a()"),
    (
        "iterator-loop",
        "for k in setmetatable({}, { __iter = function() return function() return 1 end end }) do end",
    ),
    (
        "less-loop",
        "local m = { __lt = function() while true do end end } table.sort({ setmetatable({}, m), setmetatable({}, m) })",
    ),
    (
        "sort-that-grows",
        "local t = {} for i = 1, 1e4 do t[i] = i end table.sort(t, function(a, b) t[#t + 1] = 1 return a < b end)",
    ),
    ("coroutines-in-one-another", "local function f() return coroutine.wrap(f)() end f()"),
    (
        "close-that-loops",
        "while true do local co = coroutine.create(function() pcall(function() while true do end end) coroutine.yield() end) coroutine.resume(co) coroutine.close(co) end",
    ),
    (
        "handler-in-handler",
        "local function h(e) return xpcall(error, h, e) end while true do xpcall(error, h) end",
    ),
    ("varargs-for-ever", "local function f(...) return f(1, ...) end f()"),
    ("method-of-all-functions", "getmetatable(print).__call = print"),
    ("bench-cleared", "table.clear(bench)"),
    ("bench-from-a-list", "table.move({ 1 }, 1, 1, 1, bench)"),
    ("gsub-amplify", "local s = 'a' for i = 1, 40 do s = s:gsub('.', '%0%0%0%0') end"),
    ("move-far", "while true do table.move({}, 1, 1e15, 2) end"),
    (
        "insert-__len",
        "while true do table.insert(setmetatable({}, { __len = function() return 2^53 end }), 1, 1) end",
    ),
    (
        "concat-range",
        "local s = table.concat(setmetatable({}, { __index = function() return '' end }), '', 1, 1e15)",
    ),
    ("unpack-huge", "local n = select('#', table.unpack({}, 1, 1e8))"),
    (
        "sort-bad-comparison",
        "local t = {} for i = 1, 1e5 do t[i] = i end while true do pcall(table.sort, t, function() return true end) end",
    ),
    ("deep-recursion", "local function f() return f() + 1 end f()"),
    ("recursion-through-gsub", "local function f(s) return (s:gsub('.', f)) end f('a')"),
    (
        "error-__tostring-loop",
        "error(setmetatable({}, { __tostring = function() while true do end end }))",
    ),
    ("string-metatable", "getmetatable('').__index.upper = function() return 'x' end"),
    ("string-library", "string.upper = function() return 'x' end"),
    ("math-library", "math.floor = function() return 'x' end"),
    ("global-table", "_G.print = nil"),
    ("global-rawset", "rawset(_G, 'print', nil)"),
    ("object-metatable", "getmetatable(bench).__index = print"),
    ("hook", "debug.sethook()"),
    ("load", "load('return 1')()"),
    ("loadstring", "loadstring('return 1')()"),
    ("bytecode", "local d = string.dump(function() return 1 end) loadstring(d)()"),
    ("execute", "os.execute('true')"),
    ("open", "io.open('/etc/passwd'):read(5)"),
    ("exit", "os.exit(77)"),
    ("getenv", "local h = os.getenv('HOME') error(h)"),
    ("loadlib", "package.loadlib('libc.so.6', '*')"),
    ("require-file", "require('/etc/hostname')"),
    ("require-up", "require('../secret')"),
    ("ffi", "local ffi = require('ffi')"),
    ("getfenv", "local e = getfenv(0)"),
    ("setfenv", "setfenv(0, {})"),
    ("newproxy", "newproxy(true)"),
    ("collectgarbage", "collectgarbage('count')"),
    ("gcinfo", "gcinfo()"),
    ("format-width", "local s = string.format('%999999999d', 1)"),
    ("random", "local n = math.random(1, 2^60)"),
    ("yield-outside", "coroutine.yield()"),
];

/// A time far above the limit and far below a hang, on a busy host too.
const SOON: Duration = Duration::from_secs(20);

fn check(name: &str, message: &str, started: Instant) {
    assert!(started.elapsed() < SOON, "{name} took {:?}", started.elapsed());
    for word in ["runtime error", "mlua", "Lua::", "stack traceback", "src/", "0x", "[smbench]"] {
        assert!(!message.contains(word), "{name}: {message}");
    }
    assert!(message.len() < 400, "{name}: {message}");
    let about_memory = message.starts_with("s.lua: the script needs more memory than its limit of");
    let line = message.strip_prefix("s.lua:").is_some_and(|rest| rest.starts_with(['1', '2']));
    assert!(about_memory || line, "{name}: {message}");
}

/// Attacks that have no effect and end by themselves.
pub(super) const HARMLESS: &[&str] = &["concat-range"];

#[test]
fn every_attack_at_the_top_level_ends_in_an_error() {
    for (name, attack) in ATTACKS {
        let started = Instant::now();
        let text = format!("{attack}\nbench.workload {{ name = 'w', iteration = print }}");
        match script(&text).with(|options| options.limits = quick()).load() {
            Ok(_) => assert!(HARMLESS.contains(name), "{name} was accepted"),
            Err(error) => check(name, &error.to_string(), started),
        }
    }
}

#[test]
fn every_attack_in_an_iteration_ends_in_an_error_that_names_the_client() {
    for (name, attack) in ATTACKS {
        let started = Instant::now();
        let mut attacker = iteration(attack).with(|o| o.limits = quick()).load().unwrap();
        match all(&mut attacker, 64) {
            Ok(_) => assert!(HARMLESS.contains(name), "{name} was accepted"),
            Err(error) => {
                assert_eq!(error.client.as_deref(), Some("w/0"));
                check(name, &error.message, started);
            }
        }
    }
}

#[test]
fn a_script_that_loops_for_ever_gets_an_error_with_its_line() {
    let message = script("local x = 1\nwhile true do\nend").with(|o| o.limits = quick()).refused();
    assert!(
        message.ends_with(
            "no result after 150ms of computing (--script-time); the script seems to loop forever"
        ) && (message.starts_with("s.lua:2:") || message.starts_with("s.lua:3:")),
        "{message}"
    );
}

#[test]
fn a_machine_that_ran_out_of_time_or_memory_goes_on_with_the_next_client() {
    let mut script = script(
        "bench.workload { name = 'w', clients = 3, iteration = function(c)
            if c.id == 0 then while true do end end
            if c.id == 1 then local t = {} while true do t[#t + 1] = {} end end
            c:stat('a')
        end }",
    )
    .with(|options| options.limits = quick())
    .load()
    .unwrap();
    let mut operations = Vec::new();
    assert!(script.pull(0, Section::Iteration, 8, &mut operations).is_err());
    assert!(script.pull(1, Section::Iteration, 8, &mut operations).is_err());
    assert_eq!(script.pull(2, Section::Iteration, 8, &mut operations), Ok(Progress::End));
    assert_eq!(operations.len(), 1);
}

#[test]
fn a_panic_in_a_callback_cannot_be_caught_and_ends_the_machine() {
    let mut script = script(
        "bench.workload { name = 'w', clients = 2, iteration = function(c) c:stat('a') end }",
    )
    .load()
    .unwrap();
    // No callback panics by itself, so one is added where the script finds it.
    let host = std::rc::Rc::clone(&script.vm.host);
    let error = script.vm.enter(0, |lua| {
        let panics = lua.create_function(move |_, ()| {
            host.callback(|| -> mlua::Result<()> { panic!("as the test wants it") })
        })?;
        lua.load("local f = ... pcall(pcall, f) while true do pcall(f) end").call::<()>(panics)
    });
    let expected = Err(ScriptError::Internal("as the test wants it".into()));
    assert_eq!(error, expected);
    let error = script.pull(1, Section::Iteration, 8, &mut Vec::new()).unwrap_err();
    assert_eq!(
        error.message,
        "internal error: as the test wants it; this is a fault in smbench, please report it"
    );
}

#[test]
fn endless_sections_and_streams_are_distinguished_from_long_ones() {
    let endless = "while true do c:stat('a') end";
    let sections = |setup: &str, iteration: &str, teardown: &str| {
        script(&format!(
            "bench.workload {{ name = 'w', setup = function(c) {setup} end, iteration = function(c) {iteration} end, teardown = function(c) {teardown} end }}"
        ))
    };
    let advice = "made more than 1000000 operations, so it seems endless; end the loop, or loop over c:running()";
    assert_eq!(
        sections(endless, "c:stat('a')", "").message(),
        format!("s.lua:1: stat: setup {advice}")
    );
    assert_eq!(
        sections("", endless, "").message(),
        format!("s.lua:1: stat: one iteration {advice}")
    );
    assert_eq!(
        sections("", "c:stat('a')", endless).message(),
        format!("s.lua:1: stat: teardown {advice}")
    );
    let unbounded = sections("", endless, "").with(|options| {
        options.iterations = None;
        options.nominal_bound_ns = Some(1_000_000_000);
    });
    assert_eq!(
        unbounded.message(),
        "s.lua:1: stat: 100000 operations without think or at: a duration cannot bound this stream; bound it with --iterations"
    );
}

#[test]
fn a_script_that_never_makes_an_operation_gets_an_error() {
    let unbounded = |body: &str| iteration(body).with(|options| options.iterations = None);
    assert_eq!(
        unbounded("c:think('1ms')").message(),
        "s.lua: an iteration made no operation in 100000 rounds, so the run would never make progress"
    );
    assert_eq!(
        unbounded("while c:running() do c:think('1ms') end").message(),
        "s.lua:2: a loop over c:running() made no operation in 100000 rounds, so the run would never make progress"
    );
}

#[test]
fn operations_where_a_script_cannot_pause_are_bounded() {
    let body = "table.sort({ 1, 2, 3 }, function() while true do c:stat('a') end end)";
    let unbounded = iteration(body).with(|options| options.iterations = None);
    assert_eq!(
        unbounded.message(),
        "s.lua:2: stat: more than 65536 operations inside one coroutine or callback of the script; make them in the iteration itself"
    );
}

/// Returns the number of operations that each client makes in one batch, until one is refused.
fn batches(clients: u32, body: &str) -> (Vec<usize>, Option<String>) {
    let text = format!(
        "bench.workload {{ name = 'w', clients = {clients}, iteration = function(c)\n{body}\nend }}"
    );
    let limits = ScriptLimits { memory_bytes: 32 << 20, ..ScriptLimits::default() };
    let mut script = script(&text).with(|options| options.limits = limits).load().unwrap();
    let mut made = Vec::new();
    for client in 0..clients {
        let mut operations = Vec::new();
        if let Err(error) = script.pull(client, Section::Iteration, 64, &mut operations) {
            return (made, Some(error.message));
        }
        made.push(operations.len());
    }
    (made, None)
}

const WAITING: &str = "the operations that wait to be issued take more than 4 MiB; fewer clients, shorter paths or fewer operations inside one callback need less, and an eighth of --script-memory is theirs";

#[test]
fn operations_that_wait_to_be_issued_are_bounded_by_the_memory_they_take() {
    let small = "for i = 1, 100 do c:stat('a') end";
    assert_eq!(batches(100, small), (vec![64; 100], None), "small ones by their number");
    let long_path = "for i = 1, 100 do c:stat(('x/'):rep(15000)) end";
    assert_eq!(batches(100, long_path), (vec![1; 100], None), "large ones one at a time");
    let (made, refused) = batches(300, long_path);
    assert_eq!(refused, Some(format!("s.lua:2: stat: {WAITING}")));
    assert_eq!(made, vec![1; (4 << 20) / 30_160]);
    let contexts = "local blob = ('ab'):rep(60000)
        for i = 1, 100 do c:close(c:open('a', 'r', { create_contexts = { { name = 'a', data = blob } } })) end";
    let (made, refused) = batches(300, contexts);
    assert!(refused.is_some_and(|message| message.contains(WAITING)));
    assert!((50..71).contains(&made.len()), "{}", made.len());
}

#[test]
fn clients_that_go_on_to_end_an_iteration_leave_room_for_the_first_batches_of_all_others() {
    let (made, refused) = batches(7_000, "for i = 1, 7 do c:stat('a') end");
    assert_eq!((made.len(), refused), (7_000, None));
}

#[test]
fn operations_made_where_a_script_cannot_pause_are_bounded_for_all_clients_together() {
    let body =
        "table.sort({ 1, 2 }, function() for i = 1, 20000 do c:stat('a') end return false end)";
    let (made, refused) = batches(200, body);
    assert_eq!(made, [64, 64], "the second is stopped where the memory ends, the third at once");
    assert_eq!(refused, Some(format!("s.lua:2: stat: {WAITING}")));
}

#[test]
fn going_through_long_lists_counts_as_computing() {
    let limits =
        ScriptLimits { time_per_resume: Duration::from_millis(2), ..ScriptLimits::default() };
    for body in ["rng:shuffle(list)", "rng:pick(list, list)"] {
        let written = script(&format!(
            "local list = table.create(200000, 1)
            bench.workload {{ name = 'w', iteration = function(c, rng)
            for i = 1, 20 do {body} end
            c:stat('a')
            end }}"
        ));
        let message = written.with(|options| options.limits = limits).message();
        assert!(message.contains("no result after 2ms of computing"), "{body}: {message}");
    }
}

#[test]
fn operations_that_are_slow_to_make_are_no_endless_loop() {
    let written = script(
        "bench.workload { name = 'w', iteration = function(c)
            for n = 1, 15 do
                local sum = 0
                for i = 1, 500000 do sum = sum + i end
                c:stat('a')
            end
        end }",
    );
    let mut script = written.with(|options| options.limits = quick()).load().unwrap();
    let mut operations = Vec::new();
    script.pull(0, Section::Iteration, 15, &mut operations).unwrap();
    assert_eq!(operations.len(), 15);
}
