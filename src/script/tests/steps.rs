//! Tests of `c:step`: which operations belong to which step, and what is refused.

use super::*;
use crate::ir::step::MAX_STEP_NAMES;

/// Returns the last part of each operation's path with its step, as `outer 0 > inner 1`.
fn described(operations: &[Operation]) -> Vec<String> {
    let one = |operation: &Operation| {
        let path = operation.kind.path().map_or("", |path| path.as_str());
        let Some(step) = &operation.step else { return path.to_string() };
        let shown = |step: &crate::ir::Step| format!("{} {}", step.name, step.number);
        let outer = step.outer.as_ref().map(|outer| shown(outer) + " > ").unwrap_or_default();
        format!("{path}: {outer}{}", shown(step))
    };
    operations.iter().map(one).collect()
}

#[test]
fn operations_belong_to_the_innermost_step_and_each_call_is_a_step_of_its_own() {
    let operations = iteration(
        "c:stat('a')
        c:step('save', function() c:stat('b') c:stat('c') end)
        c:step('save', function() c:stat('d') end)
        c:step('session', function()
            c:stat('e')
            c:step('save', function() c:stat('f') end)
            c:stat('g')
        end)
        c:step('none', function() end)
        c:step('save', function() c:stat('h') end)
        c:stat('i')",
    )
    .operations();
    assert_eq!(
        described(&operations),
        [
            "a",
            "b: save 0",
            "c: save 0",
            "d: save 1",
            "e: session 2",
            "f: session 2 > save 3",
            "g: session 2",
            "h: save 5",
            "i",
        ]
    );
}

#[test]
fn a_step_returns_what_its_function_returns() {
    let operations = iteration(
        "local function three(...) c:stat(select('#', ...) .. table.concat({ ... })) end
        three(c:step('s', function() return 'a', 'b', 'c' end))
        three(c:step('s', function() end))
        local h = c:step('open', function() return c:open('file', 'r') end)
        c:close(h)",
    )
    .operations();
    assert_eq!(described(&operations), ["3abc", "0", "file: open 2", ""]);
}

#[test]
fn every_section_and_iteration_numbers_its_steps_from_zero() {
    let operations = script(
        "local function s(c) c:step('s', function() c:stat('' .. c.iteration) end) end
        bench.setup(s)
        bench.workload { name = 'w', setup = s, iteration = function(c) s(c) s(c) end, teardown = s }",
    )
    .with(|options| options.iterations = Some(2))
    .operations();
    assert_eq!(
        described(&operations),
        ["0: s 0", "0: s 0", "0: s 0", "0: s 1", "1: s 0", "1: s 1", "0: s 0"]
    );
}

#[test]
fn an_error_passes_through_a_step_and_ends_it() {
    let body = "local ok, message = pcall(c.step, c, 's', function()
            c:stat('inside')
            c:step('t', function() error('boom') end)
        end)
        c:stat(('after %s %s'):format(tostring(ok), message:gsub(':', ';')))
        local ok, value = pcall(c.step, c, 's', function() error({ code = 7 }) end)
        c:stat('code ' .. value.code)";
    let operations = iteration(body).operations();
    assert_eq!(described(&operations), ["inside: s 0", "after false s.lua;4; boom", "code 7"]);
    let message = iteration("c:step('s', function()\n c:read('x', 0, 1) end)").message();
    assert!(message.starts_with("s.lua:3: read: \"x\" is not a handle"), "{message}");
    let message = iteration("c:step('s', function()\n local x = nil + 1 end)").message();
    assert!(message.starts_with("s.lua:3: attempt to perform arithmetic"), "{message}");
}

#[test]
fn a_step_that_takes_too_long_or_too_much_memory_ends_the_stream() {
    let message = iteration("c:step('s', function() while true do end end)")
        .with(|options| options.limits = quick())
        .message();
    assert!(message.starts_with("s.lua:2: no result after 150ms of computing"), "{message}");
    let message =
        iteration("c:step('s', function() local t = {} while true do t[#t + 1] = {} end end)")
            .with(|options| options.limits = ScriptLimits { memory_bytes: 8 << 20, ..quick() })
            .message();
    assert!(message.contains("the script needs more memory than its limit"), "{message}");
}

#[test]
fn what_is_no_step_is_refused_at_its_line() {
    let takes = "step takes a name and a function, such as c:step(\"save\", function() … end)";
    let name = "is not the name of a step: a name has 1 to 64 characters, which are letters (A to Z, a to z), digits, '_' and '-'";
    let cases = [
        ("c:step()".into(), format!("{takes}, not nil and nil")),
        ("c:step('save')".into(), format!("{takes}, not \"save\" and nil")),
        ("c:step(7, print)".into(), format!("{takes}, not 7 and a function")),
        ("c:step(print)".into(), format!("{takes}, not a function and nil")),
        ("c:step('a.b', print)".into(), format!("step: \"a.b\" {name}")),
        ("c:step('', print)".into(), format!("step: \"\" {name}")),
        (format!("c:step('{}', print)", "x".repeat(65)), format!("step: {:?} {name}", "x".repeat(64))),
        (
            "c.step('a', print)".into(),
            "methods are called with a colon: write c:step(…), not c.step(…)".into(),
        ),
        (
            "c:step('a', function() c:step('b', function() c:step('c', print) end) end)".into(),
            "step: steps nest at most two levels deep: \"c\" is in \"b\", which is in \"a\"".into(),
        ),
        (
            "c:step('a', function() while c:running() do c:stat('x') end end)".into(),
            "c:running() starts another iteration inside the step 'a', but a step is a part of one iteration: call c:step inside the loop".into(),
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(iteration(&body).message(), format!("s.lua:2: {expected}"), "{body}");
    }
}

#[test]
fn a_stream_has_a_bounded_number_of_names_whatever_the_number_of_vms() {
    let written = |most: usize| {
        script(&format!(
            "bench.workload {{ name = 'w', clients = 2, iteration = function(c)
                for i = 1, {most} / 2 do c:step('s' .. c.id .. '-' .. i, function() c:stat('a') end) end
                c:step('s0-1', function() c:stat('known') end)
            end }}"
        ))
    };
    assert_eq!(written(MAX_STEP_NAMES).operations().len(), MAX_STEP_NAMES + 2);
    let beyond = written(MAX_STEP_NAMES + 2);
    let expected = "s.lua:2: step: the stream has more than 1000 different names of steps: name the kind of work, not each file, client or number";
    assert_eq!(beyond.message(), expected);
    let beyond = written(MAX_STEP_NAMES + 2);
    let load = |part| Script::load_partition(&beyond.options, ClientPartition { part, of: 2 });
    let mut parts: Vec<Script> = (0..2).map(|part| load(part).unwrap()).collect();
    let failed = (0..2).find_map(|client| {
        let part = &mut parts[client as usize];
        part.pull(client, Section::Iteration, 10_000, &mut Vec::new()).err()
    });
    assert_eq!(failed.unwrap().message, expected);
}

const STEPS: &str = r#"
local function inner(c, n) for i = 1, n do c:stat("n" .. i) end end
bench.workload {
    name = "a", clients = 5,
    setup = function(c) c:step("prepare", function() inner(c, 3) end) end,
    iteration = function(c, rng)
        local total = 0
        c:step("session", function()
            for i = 1, rng:int(1, 4) do
                total = total + c:step("save", function()
                    local n = rng:int(0, 40)
                    inner(c, n)
                    c:think(rng:exp(5e6))
                    return n
                end)
                pcall(c.step, c, "fails", function() inner(c, 2) error("no") end)
            end
        end)
        inner(c, total % 3)
        while c:running() do
            c:step("round", function() inner(c, rng:int(0, 5)) end)
            if rng:bool() then break end
        end
    end,
}"#;

#[test]
fn the_steps_are_the_same_whatever_the_size_of_batches_and_the_number_of_vms() {
    let written = script(STEPS).with(|options| options.iterations = Some(12));
    let whole = all(&mut written.load().unwrap(), 1_000_000).unwrap();
    let in_steps = whole.iter().filter(|operation| operation.step.is_some()).count();
    assert!(in_steps > 1_000 && in_steps < whole.len(), "{in_steps} of {}", whole.len());
    for batch in [1, 2, 7, 64] {
        assert!(all(&mut written.load().unwrap(), batch).unwrap() == whole, "batches of {batch}");
    }
    for of in [2, 3] {
        assert!(all_dealt(&written, of, 5) == whole, "{of} VMs");
    }
    let checked = crate::script::check(&written.options, crate::script::Depth::QUICK).unwrap();
    assert!(checked.operations > 1_000, "{}", checked.operations);
}

#[test]
fn a_client_pauses_inside_a_step_where_its_batch_is_full() {
    // Far more operations than may be made where a script cannot pause.
    let written = iteration("c:step('long', function() for i = 1, 200000 do c:stat('a') end end)");
    let mut script = written.load().unwrap();
    let mut operations = Vec::new();
    script.pull(0, Section::Iteration, 5, &mut operations).unwrap();
    assert_eq!(operations.len(), 5);
    while script.pull(0, Section::Iteration, 1_000, &mut operations).unwrap() == Progress::More {}
    assert_eq!(operations.len(), 200_000);
    assert!(operations.iter().all(|operation| operation.step == operations[0].step));
}

#[test]
fn a_coroutine_that_is_left_inside_a_step_keeps_it_open_until_the_iteration_ends() {
    let operations = script(
        "bench.workload { name = 'w', iteration = function(c)
            local left = coroutine.wrap(function()
                c:step('left', function() c:stat('a') coroutine.yield() end)
            end)
            left()
            c:stat('b')
            if c.iteration == 0 then left() end
            c:stat('c')
        end }",
    )
    .with(|options| options.iterations = Some(3))
    .operations();
    let left = ["a: left 0", "b: left 0", "c: left 0"];
    assert_eq!(described(&operations)[..3], ["a: left 0", "b: left 0", "c"]);
    assert_eq!(described(&operations)[3..6], left);
    assert_eq!(described(&operations)[6..], left);
}

#[test]
fn teardown_after_a_cut_inside_a_step_belongs_to_no_step() {
    let written = script(
        "bench.workload { name = 'w', iteration = function(c)
            c:step('s', function() for i = 1, 10 do c:stat('a') end end)
        end, teardown = function(c) c:stat('t') c:step('u', function() c:stat('v') end) end }",
    );
    let mut script = written.load().unwrap();
    script.pull(0, Section::Iteration, 3, &mut Vec::new()).unwrap();
    let mut teardown = Vec::new();
    while script.pull(0, Section::Teardown, 1, &mut teardown).unwrap() == Progress::More {}
    assert_eq!(described(&teardown), ["t", "v: u 0"]);
}

#[test]
fn a_script_with_steps_gets_the_same_errors_about_methods() {
    for (body, expected) in [
        ("c:raed(1)", "unknown field or method 'raed': did you mean 'read'?"),
        ("c.stat('a')", "methods are called with a colon: write c:stat(…), not c.stat(…)"),
        ("c:id()", "attempt to call a number value"),
        ("c.x = 1", "'x' cannot be set: a client has no fields that can be set"),
    ] {
        let message = iteration(&format!("c:step('s', function()\n{body} end)")).message();
        assert!(message.starts_with(&format!("s.lua:3: {expected}")), "{body}: {message}");
    }
}
