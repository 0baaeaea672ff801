use std::path::Path;

use super::*;

#[test]
fn no_text_shows_an_address() {
    let cases = [
        ("tostring({})", "table"),
        ("tostring(print)", "function"),
        ("tostring(c)", "client"),
        ("tostring(rng)", "rng"),
        ("tostring(c:open('a', 'r'))", "handle"),
        ("tostring(coroutine.create(print))", "thread"),
        ("tostring(coroutine.running())", "nil"),
        ("tostring(buffer.create(1))", "buffer"),
        ("('%* %* %*'):format({}, print, c)", "table function client"),
        ("('%s%s%s%s%*'):format(1, 2, 3, 4, {})", "1234table"),
        ("string.format('%*', {})", "table"),
        ("`{ {} }`", "table"),
        ("tostring(setmetatable({}, { __tostring = function() return 'mine' end }))", "mine"),
        ("select(2, pcall(error, {}))", "table"),
        ("tostring(nil) .. tostring(true) .. tostring(1.5)", "niltrue1.5"),
    ];
    for (expression, expected) in cases {
        let body = format!("local v = tostring({expression}) c:mkdir(v)");
        let operations = iteration(&body).operations();
        let path = operations.last().unwrap().kind.path().unwrap().to_string();
        assert_eq!(path, expected, "{expression}");
    }
}

#[test]
fn transcendental_functions_come_from_one_library_on_every_machine() {
    for (expression, expected) in [
        ("math.exp(1)", libm::exp(1.0)),
        ("math.log(10)", libm::log(10.0)),
        ("math.log(8, 2)", 3.0),
        ("math.log(1000, 10)", 3.0),
        ("math.sin(1e6)", libm::sin(1e6)),
        ("math.pow(1.1, 7.7)", libm::pow(1.1, 7.7)),
        ("math.atan2(1, -3)", libm::atan2(1.0, -3.0)),
    ] {
        let operations =
            iteration(&format!("c:mkdir(('%.17g'):format({expression}))")).operations();
        let text = operations[0].kind.path().unwrap().to_string();
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), expected.to_bits(), "{expression}");
    }
}

#[test]
fn the_common_subset_of_lua_is_there() {
    let text = r##"
        local t = { 5, 3, 9 }
        table.sort(t)
        assert(t[1] == 3 and #t == 3 and table.concat(t, ",") == "3,5,9")
        assert(("abc"):upper() == "ABC" and ("x=1"):match("(%w)=(%d)") == "x")
        assert(math.floor(2.7) == 2 and math.max(1, 2) == 2 and 7 // 2 == 3)
        assert(select("#", table.unpack({ 1, 2 })) == 2)
        assert(utf8.len("äö") == 2)
        local co = coroutine.wrap(function() coroutine.yield(1) return 2 end)
        assert(co() == 1 and co() == 2)
        assert(tonumber("0x10") == 16 and type(nil) == "nil")
        local ok, e = pcall(error, { code = 5 })
        assert(not ok and e.code == 5)
        assert(select(2, xpcall(function() error("x", 0) end, function(m) return m .. "!" end)) == "x!")
        for k, v in pairs({ a = 1 }) do assert(k == "a" and v == 1) end
        local m = setmetatable({}, { __index = function(_, k) return k .. "?" end })
        assert(m.who == "who?")
        bench.workload { name = "w", iteration = function(c) c:stat("a") end }"##;
    assert_eq!(script(text).operations().len(), 1);
}

#[test]
fn a_script_is_a_regular_file_of_text_within_its_size() {
    let big = format!("--{}", "x".repeat(1 << 20));
    assert_eq!(
        script(&big).refused(),
        "cannot read DIR/s.lua: it has more than 1048576 bytes, the most a script may have"
    );
    assert_eq!(
        script("\x04bytecode").refused(),
        "cannot read DIR/s.lua: it is compiled bytecode; a script must be source code"
    );
    let missing = script("").with(|options| options.location = Path::new("/nowhere/x.lua").into());
    assert_eq!(
        missing.refused(),
        "cannot read /nowhere/x.lua: No such file or directory (os error 2)"
    );
}

#[test]
fn a_dropped_script_frees_its_machine() {
    let host = {
        let script = iteration("c:stat('a')").load().unwrap();
        std::rc::Rc::downgrade(&script.vm.host)
    };
    assert!(host.upgrade().is_none());
}

#[test]
fn searching_for_a_long_text_gives_what_lua_gives() {
    let long = format!("a{}", "b".repeat(99));
    for (expression, expected) in [
        ("('x' .. long .. 'y'):find(long)", "2 101"),
        ("('x' .. long .. long):find(long, 3)", "102 201"),
        ("('x' .. long .. 'y' .. long):find(long, -100, true)", "103 202"),
        ("('x' .. long):find(long, -1000, true)", "2 101"),
        ("('x' .. long):find(long, 3)", "nil"),
        ("('x' .. long):find(long, 1e9)", "nil"),
        ("(long .. '.'):find(long .. '.', 1, true)", "1 101"),
        ("(long .. 'c'):find(long .. '.')", "1 101"),
        ("select('#', ('x'):find(long))", "1"),
        ("table.concat(('1' .. long .. '2' .. long):split(long), ',')", "1,2,"),
        ("table.concat(('1'):split(long), ',')", "1"),
        ("table.concat(('1,2'):split(), ',')", "1,2"),
    ] {
        let body = format!(
            "local long = '{long}' local a, b = {expression}
            c:mkdir(b and a .. ' ' .. b or tostring(a))"
        );
        let operations = iteration(&body).operations();
        assert_eq!(operations[0].kind.path().unwrap().as_str(), expected, "{expression}");
    }
}

#[test]
fn a_long_list_is_sorted_like_a_short_one() {
    let body = "local t = {} for i = 1, 150000 do t[i] = (i * 7919) % 150001 end
        table.sort(t) for i = 2, #t do assert(t[i - 1] < t[i]) end
        t[7] = 'x' local ok, problem = pcall(table.sort, t)
        c:mkdir(tostring(ok)) assert(problem:find('attempt to compare'), problem)";
    assert_eq!(iteration(body).operations()[0].kind.path().unwrap().as_str(), "false");
}

#[test]
fn numbers_that_the_library_would_cast_to_32_bits() {
    let calls = [
        ("('x'):rep(2^31)", "2 of string.rep", "2147483648"),
        ("string.rep('x', 1e12)", "2 of string.rep", "1000000000000"),
        ("string.rep('x', '1e12')", "2 of string.rep", "1e12"),
        ("string.sub('abc', 1, 2^31)", "3 of string.sub", "2147483648"),
        ("('abc'):sub(2, math.huge)", "3 of string.sub", "inf"),
        ("string.byte('abc', 0 / 0)", "2 of string.byte", "nan"),
        ("string.byte('abc', 1, 2^31)", "3 of string.byte", "2147483648"),
        ("string.find('abc', 'b', -2^32)", "3 of string.find", "-4294967296"),
        ("string.gsub('abc', 'b', 'c', 2^31)", "4 of string.gsub", "2147483648"),
        ("table.concat({ 1 }, ',', 1, 2^31)", "4 of table.concat", "2147483648"),
        ("unpack({ 1 }, 1, 2^31)", "3 of table.unpack", "2147483648"),
        ("math.ldexp(1, 2^31)", "2 of math.ldexp", "2147483648"),
        ("table.insert({ 1 }, 2^31, 5)", "2 of table.insert", "2147483648"),
    ];
    for (call, argument, value) in calls {
        assert_eq!(
            iteration(&format!("local x = {call} c:stat(tostring(x))")).message(),
            format!(
                "s.lua:2: argument {argument} is {value}; it must be a number from -2^31 to 2^31 - 1"
            ),
            "{call}"
        );
    }
    let fits = "local t = { 2^40 } table.insert(t, 2^41) local a, b = unpack(t, 1, 2)
        assert(a == 2^40 and b == 2^41 and ('ab'):rep(2) == 'abab' and ('abc'):sub(-2) == 'bc')
        assert(('abc'):sub(2, 2^31 - 1) == 'bc' and string.gsub('aa', 'a', 2^40, 1) ~= '')
        c:stat('a')";
    assert_eq!(iteration(fits).operations().len(), 1);
}
