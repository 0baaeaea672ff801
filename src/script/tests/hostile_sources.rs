//! Malicious sources, as large and as deeply nested as allowed: each is soon accepted, or refused
//! with its line.

use std::time::{Duration, Instant};

use super::*;

/// A size a little below the maximum of a source.
const SIZE: usize = (1 << 20) - 4_096;
const SOON: Duration = Duration::from_secs(20);

/// Parts of a source: before, repeated, between, repeated as often, after.
const REPEATED: &[(&str, &str, &str, &str, &str)] = &[
    ("local x = ", "(", "1", ")", ""),
    ("local x = ", "{", "", "}", ""),
    ("local x = ", "not ", "1", "", ""),
    ("local x = ", "- ", "1", "", ""),
    ("local x = ", "#", "''", "", ""),
    ("local x = ", "'a'..", "'a'", "", ""),
    ("local x = ", "1^", "1", "", ""),
    ("local x = ", "1+", "1", "", ""),
    ("local x = print", "", "", "{}", ""),
    ("local x = print", "", "", ".a", ""),
    ("local x = ", "function() return ", "1", " end", ""),
    ("local x = ", "`{", "1", "}`", ""),
    ("local x = ", "if 1 then 1 else ", "1", "", ""),
    ("", "do ", "", " end", ""),
    ("", "if print then ", "", " end", ""),
    ("if print then ", "elseif print then ", "", "", " end"),
    ("", "while print do ", "", " end", ""),
    ("", "for i = 1, 2 do ", "", " end", ""),
    ("", "repeat ", "", " until print", ""),
    ("", "local function f() ", "", " end", ""),
    ("", "local a ", "", "", ""),
    ("local ", "a,", "a = 1", "", ""),
    ("local t = {", "1,", "", "", "}"),
    ("local t = {", "a=1,", "", "", "}"),
    ("print(", "1,", "1", "", ")"),
    ("local x = '", "\\z ", "", "", "'"),
    ("--[", "=", "[", "", ""),
    ("", "x=1 ", "", "", ""),
    ("", "goto ", "", "", ""),
    ("type T = ", "{", "", "}", ""),
    ("type T = ", "(number) -> ", "number", "", ""),
    ("local x: ", "typeof(", "1", ")", " = 1"),
];

#[test]
fn the_largest_and_the_deepest_source_is_taken_or_refused_with_its_line() {
    for (before, opening, middle, closing, after) in REPEATED {
        for share in [1, 64, 1_024] {
            let times = SIZE / share / (opening.len() + closing.len());
            let text = [before, &*opening.repeat(times), middle, &*closing.repeat(times), after];
            let started = Instant::now();
            let loaded = script(&text.concat()).with(|options| options.limits = quick()).load();
            let what = format!("{before}{opening}{closing} {times} times");
            assert!(started.elapsed() < SOON, "{what} took {:?}", started.elapsed());
            let Err(error) = loaded else { panic!("{what}: there is no workload in it") };
            let message = error.to_string();
            assert!(message.starts_with("s.lua:"), "{what}: {message}");
            assert!(message.len() < 600, "{what}: {} bytes: {:.600}", message.len(), message);
        }
    }
}

#[test]
fn a_finalizer_or_a_destructor_is_never_called() {
    for attack in [
        "setmetatable({}, { __gc = function() while true do end end })",
        "local m = {} setmetatable({}, m) m.__gc = function() while true do end end",
        "local m = { __mode = 'kv', __gc = print } setmetatable({}, m) m.__gc = function() while true do end end",
        "do local x = setmetatable({}, { __close = function() while true do end end }) end",
    ] {
        let churn = "for i = 1, 20000 do local t = { i } end";
        let text = format!(
            "{attack} {churn} bench.workload {{ name = 'w', iteration = function(c) {attack} {churn} c:stat('a') end }}"
        );
        assert_eq!(script(&text).operations().len(), 1, "{attack}");
    }
}

#[test]
fn repeating_nothing_very_often_takes_no_time() {
    let operations = iteration("c:stat('a' .. ('').rep('', 2^31 - 1))").operations();
    assert_eq!(operations[0].kind.path().unwrap().as_str(), "a");
}

#[test]
fn a_module_that_means_harm_is_ended_like_a_script_and_named() {
    for (attack, problem) in [
        ("while true do end", "no result after 150ms of computing"),
        (
            "while true do pcall(function() while true do end end) end",
            "the script seems to loop forever",
        ),
        ("local s = ('x'):rep(1e9)", ""),
        ("return require('./evil')", "circle"),
        ("local function f() return f() + 1 end f()", "stack overflow"),
    ] {
        let text =
            "local m = require('./lib/evil') bench.workload { name = 'w', iteration = print }";
        let written = script(text).with(|options| options.limits = quick());
        let message = written.file("lib/evil.lua", attack).refused();
        assert!(message.contains(problem) && message.len() < 400, "{attack}: {message}");
        assert!(message.contains("evil.lua:1") || message.contains("32 MiB"), "{message}");
    }
}
