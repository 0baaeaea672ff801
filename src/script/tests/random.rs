//! Tests of `rng`, `bench.rng` and `bench.choose`.

use super::*;
use crate::ir::document::line::DocumentLine;

/// Returns the paths of an iteration's operations.
fn paths(written: &Written) -> Vec<String> {
    written.operations().iter().map(|o| o.kind.path().unwrap().to_string()).collect()
}

fn fault(body: &str) -> String {
    let message = iteration(body).message();
    message.strip_prefix("s.lua:2: ").map(str::to_string).unwrap_or(message)
}

#[test]
fn every_distribution_gives_these_numbers_on_every_machine() {
    let written = script(
        r#"
        local common = bench.rng("sizes")
        local sizes = {}
        for i = 1, 100 do sizes[i] = math.floor(common:lognormal(65536, 1.5)) end
        local function say(c, kind, ...)
            for _, value in ipairs({ ... }) do
                c:stat(kind .. (type(value) == "number" and ("%.17g"):format(value) or tostring(value)))
            end
        end
        local function read(c, rng, n)
            local h = c:open("read", "r")
            c:read(h, rng:int(0, 2^40), math.floor(rng:pareto(n, 2)))
            c:close(h)
        end
        local function look(c, rng, n) c:stat("look" .. n) end
        local work = bench.choose { { 70, read }, { 29.5, look }, { 0, error }, { 0.5, function() end } }
        bench.workload {
            name = "golden", clients = 3,
            pace = bench.open_loop { rate = 100, arrivals = "poisson" },
            iteration = function(c, rng)
                say(c, "i", rng:int(-1000, 1000), rng:int(0, 2^53))
                say(c, "f", rng:float())
                say(c, "b", rng:bool(), rng:bool(0.01))
                say(c, "e", rng:exp(5e7))
                say(c, "n", rng:normal(100, 15), rng:normal(-5, 0))
                say(c, "l", rng:lognormal(65536, 0.7))
                say(c, "p", rng:pareto(4096, 1.2))
                say(c, "z", rng:zipf(1e6, 1), rng:zipf(100, 0.8), rng:zipf(2^52, 1.7), rng:zipf(10, 0))
                say(c, "w", rng:pick({ "a", "b", "c" }), rng:pick({ "a", "b", "c" }, { 1, 10, 0.5 }))
                say(c, "s", table.concat(rng:shuffle({ 1, 2, 3, 4, 5, 6, 7, 8 }), " "))
                say(c, "c", rng:pick(sizes))
                say(c, "m", math.exp(1.1), math.log(7.3), math.sin(2), math.pow(1.7, 2.9))
                work(c, rng, rng:int(1, 9))
                c:think(rng:exp(1e6))
            end,
        }"#,
    )
    .with(|options| (options.seed, options.iterations) = (Some(2026), Some(50)));
    let operations = written.operations();
    let mut hasher = blake3::Hasher::new();
    for operation in &operations {
        let line = DocumentLine::from_operation(operation);
        hasher.update(serde_json::to_string(&line).unwrap().as_bytes());
        hasher.update(b"\n");
    }
    let hash = hasher.finalize().to_hex().to_string();
    assert_eq!(
        (operations.len(), hash.as_str()),
        (3664, "3801ef300d266b496880b6d8ce6dc42ea73675536bea531396bbe51a737b5a42")
    );
}

#[test]
fn zipf_counts_from_one_and_pick_leaves_out_what_has_no_weight() {
    let drawn = paths(&iteration(
        r#"
        local seen = {}
        for i = 1, 1000 do
            seen["z" .. rng:zipf(3, 1.2)] = true
            seen["p" .. rng:pick({ "a", "b", "c" }, { 1, 0, 2 })] = true
        end
        for _, name in ipairs({ "z0", "z1", "z2", "z3", "z4", "pa", "pb", "pc" }) do
            if seen[name] then c:stat(name) end
        end"#,
    ));
    assert_eq!(drawn, ["z1", "z2", "z3", "pa", "pc"]);
}

#[test]
fn shuffle_returns_a_new_list_with_every_value_once() {
    let drawn = paths(&iteration(
        r#"
        local list = { "a", "b", "c", "d", "e", "f", "g", "h" }
        local firsts = {}
        for i = 1, 200 do
            local shuffled = rng:shuffle(list)
            firsts[shuffled[1]] = true
            table.sort(shuffled)
            assert(table.concat(shuffled) == "abcdefgh")
        end
        c:stat(table.concat(list))
        local n = 0
        for _ in pairs(firsts) do n = n + 1 end
        c:stat(n .. " first of " .. #rng:shuffle({}))"#,
    ));
    assert_eq!(drawn, ["abcdefgh", "8 first of 0"]);
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    let cases = [
        ("rng:normal(5)", "rng:normal: the standard deviation is a number, not nil"),
        (
            "rng:normal(5, -1)",
            "rng:normal: the standard deviation is -1; it must be between 0 and 2^53",
        ),
        ("rng:exp(-1)", "rng:exp: the mean is -1; it must be between 0 and 2^53"),
        ("rng:exp(0/0)", "rng:exp: the mean is NaN; it must be between 0 and 2^53"),
        ("rng:lognormal(5, 11)", "rng:lognormal: sigma is 11; it must be between 0 and 10"),
        (
            "rng:exp('lots')",
            "rng:exp: the mean: \"lots\" is neither a duration nor a size: write a number and a unit, such as \"5ms\" or \"64KiB\"",
        ),
        (
            "rng:pareto('5m', 2)",
            "rng:pareto: the scale: \"5m\" may be a duration or a size: write \"5min\" for minutes, and \"5MiB\" for mebibytes",
        ),
        (
            "rng:lognormal('16777215TiB', 1)",
            "rng:lognormal: the median is 18446742974197924000; it must be between 0 and 2^53",
        ),
        (
            // Zero is the same in every unit.
            "rng:normal('0', '5ms') rng:normal('64KiB', '5ms')",
            "rng:normal: the mean \"64KiB\" is a size and the standard deviation \"5ms\" is a duration; write both as durations or both as sizes",
        ),
        (
            "rng:normal('64KiB', 'b')",
            "rng:normal: the standard deviation: \"b\" is neither a duration nor a size: write a number and a unit, such as \"5ms\" or \"64KiB\"",
        ),
        ("rng:normal('64KiB')", "rng:normal: the standard deviation is a number, not nil"),
        ("rng:lognormal('64KiB', '1')", "rng:lognormal: sigma is a number, not \"1\""),
        ("rng:exp()", "rng:exp: the mean is a number, not nil"),
        ("rng:pareto(1, 0)", "rng:pareto: the shape is 0; it must be between 0.1 and 1000000"),
        ("rng:zipf(0, 1)", "rng:zipf: n is a whole number from 1 to 2^52, not 0"),
        ("rng:zipf(1.5, 1)", "rng:zipf: n is a whole number from 1 to 2^52, not 1.5"),
        ("rng:zipf(10)", "rng:zipf: s is a number, not nil"),
        (
            "rng:pick({ 1, 2, 3 }, { 1, 2 })",
            "rng:pick: the list has 3 values and 2 weights; each value has one",
        ),
        (
            "rng:pick({ 1, 2 }, { 1, -2 })",
            "rng:pick: weight 2 is -2; it must be between 0 and 1e15",
        ),
        ("rng:pick({ 1, 2 }, { 1, 'b' })", "rng:pick: weight 2 is \"b\", not a number"),
        (
            "rng:pick({ 1, 2 }, { 0, 0 })",
            "rng:pick: all weights are 0, so there is nothing to choose",
        ),
        ("rng:pick('abc')", "rng:pick takes a table, not \"abc\""),
        ("rng:shuffle(7)", "rng:shuffle takes a table, not 7"),
        ("rng:gauss(1, 2)", "unknown method 'gauss': here it is 'normal'"),
        ("rng:choice({ 1 })", "unknown method 'choice': here it is 'pick'"),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .map(|(body, expected)| (fault(body), body, expected))
        .filter(|(message, _, expected)| message != *expected)
        .map(|(message, body, expected)| format!("{body}\n  gives {message}\n  not   {expected}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_duration_or_a_size_as_a_string_gives_the_same_draw_as_the_number_of_its_base_unit() {
    let draws = |arguments: [&str; 6]| {
        let [exp, mean, deviation, median, scale, mixed] = arguments;
        paths(&iteration(&format!(
            "for _ = 1, 20 do
                c:stat(('%.17g'):format(rng:exp({exp})))
                c:stat(('%.17g'):format(rng:normal({mean}, {deviation})))
                c:stat(('%.17g'):format(rng:lognormal({median}, 0.7)))
                c:stat(('%.17g'):format(rng:pareto({scale}, 1.2)))
                c:stat(('%.17g'):format(rng:normal({mixed}, 1000)))
            end"
        )))
    };
    let strings = ["'5ms'", "'64KiB'", "'1.5 KiB'", "'4096'", "'1.5s'", "'64KB'"];
    let numbers = ["5e6", "65536", "1536", "4096", "1.5e9", "64000"];
    assert_eq!(draws(strings), draws(numbers));
}

#[test]
fn bytes_and_nanoseconds_convert_quantities_anywhere_in_a_script() {
    let written = script(
        "local size, time = bench.bytes('64KiB'), bench.nanoseconds('1.5ms')
        bench.workload { name = 'w', iteration = function(c)
            c:stat(('a%d b%d c%d d%d'):format(size, time, bench.bytes(4096), bench.nanoseconds('0')))
            c:stat(('%.17g'):format(bench.bytes('9007199254740992')))
        end }",
    );
    assert_eq!(paths(&written), ["a65536 b1500000 c4096 d0", "9007199254740992"]);
    let cases = [
        (
            "bench.bytes('lots')",
            "bench.bytes: \"lots\" is not a size: write a whole number of bytes or a number and a unit, such as \"4096\", \"64KiB\" or \"1.5MB\" (B, KB, KiB, MB, MiB, GB, GiB, TB, TiB), up to 2^64 - 1 bytes",
        ),
        ("bench.bytes()", "bench.bytes is a whole number, not nil"),
        (
            "bench.bytes('16TiB') bench.bytes('9007199254740993')",
            "bench.bytes: \"9007199254740993\" is beyond 2^53, the largest number that Lua computes with exactly",
        ),
        ("bench.nanoseconds(5)", "bench.nanoseconds: 5 ns? write \"5s\""),
        (
            "bench:bytes(5)",
            "functions of bench are called with a dot: write bench.bytes(…), not bench:bytes(…)",
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(fault(body), expected, "{body}");
    }
}

#[test]
fn shared_random_numbers_are_drawn_at_the_top_level_and_follow_from_seed_and_name() {
    let text = r#"
        local sizes, again, other = bench.rng("sizes"), bench.rng("sizes"), bench.rng("other")
        local names = { sizes:int(1, 1e9), sizes:int(1, 1e9), again:int(1, 1e9), other:int(1, 1e9) }
        bench.workload { name = "w", clients = 2, iteration = function(c)
            for _, name in ipairs(names) do c:stat("n" .. name) end
        end }"#;
    let drawn = |seed| paths(&script(text).with(|options| options.seed = Some(seed)));
    let first = drawn(1);
    assert_eq!(first[..4], first[4..], "each client sees the same");
    assert_eq!(first[0], first[2]);
    assert_ne!(first[0], first[1]);
    assert_ne!(first[0], first[3]);
    assert_ne!(first[0], drawn(2)[0]);
}

#[test]
fn shared_random_numbers_cannot_be_drawn_by_one_client() {
    let written = script(
        "local common = bench.rng('sizes')
        bench.workload { name = 'w', iteration = function(c) c:think(common:exp(5e6)) end }",
    );
    assert_eq!(
        written.message(),
        "s.lua:2: bench.rng(\"sizes\") draws at the top of the script only: here its numbers would depend on which client is asked first; use the rng that setup, iteration and teardown are given"
    );
    assert_eq!(
        fault("bench.rng('sizes')"),
        "bench.rng must be called at the top level of the script, outside of all functions"
    );
    assert_eq!(
        script("bench.rng()").refused(),
        "s.lua:1: bench.rng: the stream's name is a string, not nil"
    );
}

#[test]
fn choose_is_an_iteration_whatever_the_size_of_the_batches() {
    let text = r#"
        local function many(c, rng, n)
            for i = 1, n or 5 do c:stat("m" .. i) end
            return "many"
        end
        local inner = bench.choose { { 1, many } }
        bench.workload { name = "w", iteration = bench.choose {
            { 70, many },
            { 30, function(c, rng) c:stat(inner(c, rng, 2) .. rng:int(1, 9)) end },
        } }"#;
    let written = script(text).with(|options| options.iterations = Some(100));
    let whole = written.operations();
    let of = |path: &str| whole.iter().filter(|o| o.kind.path().unwrap().as_str() == path).count();
    // The standard deviation is about 5.
    assert!((50..=90).contains(&of("m5")), "{}", of("m5"));
    assert_eq!(of("m1"), 100);
    for batch in [1, 3] {
        assert!(all(&mut written.load().unwrap(), batch).unwrap() == whole, "{batch}");
    }
}

#[test]
fn choices_that_are_none_are_refused() {
    let cases = [
        (
            "bench.choose {}",
            "bench.choose takes a list of weights and functions: bench.choose { { 70, browse }, { 30, edit } }",
        ),
        (
            "bench.choose { print }",
            "bench.choose: entry 1 is a weight and a function, such as { 70, browse }, not a function",
        ),
        (
            "bench.choose { { 70, print }, { print, 30 } }",
            "bench.choose: entry 2 begins with its weight, a number, not a function",
        ),
        (
            "bench.choose { { 70 } }",
            "bench.choose: entry 1 has a function after its weight, not nil",
        ),
        (
            "bench.choose { { 0, print } }",
            "bench.choose: all weights are 0, so there is nothing to choose",
        ),
        (
            "bench.choose { { -1, print } }",
            "bench.choose: weight 1 is -1; it must be between 0 and 1e15",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(script(text).refused(), format!("s.lua:1: {expected}"), "{text}");
    }
    let message = script(
        "local f = bench.choose { { 1, function(c) c:reed() end } }
        bench.workload { name = 'w', iteration = f }",
    )
    .message();
    assert_eq!(
        message,
        "s.lua:1: unknown method 'reed': did you mean 'read'? (a client has open, read, write, close, rename, delete, mkdir, rmdir, stat, list, truncate, flush, lock, unlock, think, at, running, step, id, user, iteration)"
    );
}

#[test]
fn user_names_each_client_of_the_run() {
    let users = paths(&script(
        r#"
        bench.setup(function(c) c:mkdir(c.user) end)
        for _, name in ipairs({ "editors", "readers" }) do
            bench.workload { name = name, clients = 2, iteration = function(c) c:stat(c.user) end }
        end"#,
    ));
    assert_eq!(users, ["bench", "editors-0", "editors-1", "readers-0", "readers-1"]);
}
