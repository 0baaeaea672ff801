//! Malicious hooks: each attempt ends in a readable error or a count, and the other hooks go on.

use std::sync::Arc;
use std::time::Duration;

use super::hooks::{heard, heard_of, started, with_hooks};
use crate::observability::fixtures::{OK, completion, read};
use crate::script::hooks::{Edge, HookReport, HookTap};

fn metric(report: &HookReport, name: &str) -> serde_json::Value {
    serde_json::to_value(&report.metrics[name]).unwrap()
}

fn feed(tap: &mut HookTap, completions: u32) {
    (0..completions).for_each(|seq| tap.completed(&completion(0, seq, read(1), OK), |_| None));
}

/// Returns the only error of a hook that is called once.
fn error_of(body: &str) -> String {
    let text = format!("bench.on_complete(function(...)\n{body}\nend)");
    let mut errors = heard(&text, [completion(0, 0, read(1), OK)]).outcome.errors;
    assert_eq!(errors.len(), 1, "{body}: {errors:?}");
    errors.remove(0)
}

#[test]
fn an_error_is_readable_whatever_it_is_made_of() {
    for (body, expected) in [
        ("error({ code = 5 })", "s.lua:5: error() was called with a table instead of a string"),
        ("error()", "s.lua:5: error() was called without a message"),
        ("error(print)", "s.lua:5: error() was called with a function instead of a string"),
        ("error('mine', 0)", "s.lua:5: mine"),
        (
            "local f = coroutine.wrap(function()\ncoroutine.yield()\nerror('deep')\nend) f() f()",
            "s.lua:8: s.lua:7: deep",
        ),
        (
            "error(setmetatable({}, { __tostring = function() while true do end end }))",
            "s.lua:5: no result after 150ms",
        ),
        ("coroutine.wrap(function() error('deep') end)()", "s.lua:5: deep"),
        ("local function f() return f() + 1 end f()", "s.lua:5: stack overflow"),
        ("string.find(('a'):rep(1000), ('a*'):rep(200) .. 'b')", "s.lua:5: pattern too complex"),
        ("bench.state = {}", "s.lua:5: attempt to modify a readonly table"),
    ] {
        let error = error_of(body);
        assert!(error.starts_with(expected), "{body}: {error}");
    }
    let long = error_of("error(('x'):rep(300000))");
    assert!(long.starts_with("s.lua:5: xxx") && long.len() < 1_100, "{}", long.len());
}

#[test]
fn nothing_that_belongs_at_the_top_can_be_done_in_a_hook() {
    for call in [
        "on_complete(print)",
        "on_phase(print)",
        "on_end(print)",
        "counter('x')",
        "setup(print)",
        "thresholds { 'all.count > 1' }",
        "phases { { name = 'q', duration = '1s' } }",
        "params {}",
    ] {
        let name = call.split(['(', ' ']).next().unwrap();
        let expected = format!(
            "s.lua:5: bench.{name} must be called at the top level of the script, outside of all functions (once, in a hook)"
        );
        assert_eq!(error_of(&format!("bench.{call}")), expected);
    }
}

#[test]
fn combinations_of_tags_beyond_the_bound_are_counted_and_stay_in_the_whole() {
    // Hooks have a low priority, so a busy host may stop them for long.
    let patient = with_hooks(
        "local n = bench.counter('app.n')
        local seen = 0
        bench.on_complete(function()
            for i = 1, 200 do n:add(1, { i = seen + i }) end
            seen = seen + 200
        end)",
    )
    .with(|options| options.limits.time_per_resume = Duration::from_secs(20));
    let report = heard_of(&patient, (0..500).map(|seq| completion(0, seq, read(1), OK)));
    let n = metric(&report, "app.n");
    assert_eq!((&n["value"], &n["beyond_tags"]), (&100_000.into(), &99_900.into()));
    assert_eq!(n["tagged"].as_array().unwrap().len(), 100);
    assert_eq!(report.outcome.errors, [""; 0]);
}

#[test]
fn names_and_tags_that_a_terminal_or_a_reader_of_json_would_trip_over_are_refused_or_kept_whole() {
    for name in ["\\27[31mred", "a\\nb", "\\\"q\\\"", "a b", "", "1a", "all.count"] {
        let message = with_hooks(&format!("bench.counter(\"{name}\")")).refused();
        let (found, _) = message.split_at(10);
        assert_eq!(found, "s.lua:4: b", "{name}: {message}");
        assert!(!message.contains(|c: char| c.is_control()), "{name}: {message:?}");
    }
    let report = heard(
        "local n = bench.counter('n')
        bench.on_complete(function() n:add(1, { who = 'a\"\\27[31m\\n' }) end)",
        [completion(0, 0, read(1), OK)],
    );
    assert_eq!(metric(&report, "n")["tagged"][0]["tags"]["who"], "a\"\u{1b}[31m\n");
    let error = heard(
        "local n = bench.counter('n')
        bench.on_complete(function() n:add(1, { ['\\27[31m'] = 1 }) end)",
        [completion(0, 0, read(1), OK)],
    );
    assert!(error.outcome.errors[0].starts_with("s.lua:5: n:add: the tags: the name "));
}

#[test]
fn no_metric_takes_what_is_no_number_and_none_loses_the_others_to_it() {
    let report = heard(
        "local h, g, c = bench.histogram('h'), bench.gauge('g'), bench.counter('c')
        bench.on_complete(function()
            for _, v in { 0/0, 1/0, -1/0, 2^53 + 2, 1e308, -1e308, '1', {}, 7 } do
                pcall(h.record, h, v)
                pcall(g.set, g, v)
                pcall(c.add, c, v)
            end
            pcall(h.record, h, -1)
            pcall(c.add, c, -1)
            for i = 1, 2000 do c:add(2^53) end
        end)",
        [completion(0, 0, read(1), OK)],
    );
    let [h, g, c] = ["h", "g", "c"].map(|name| metric(&report, name));
    assert_eq!((&h["count"], &h["min"], &h["max"]), (&1.into(), &7.into(), &7.into()));
    assert_eq!((&g["min"], &g["value"]), (&7.into(), &7.into()));
    assert_eq!(c["value"].as_f64().unwrap(), 2000.0 * 2_f64.powi(53));
}

#[test]
fn the_limit_on_time_is_one_of_each_call() {
    // All calls together take many times the limit.
    let written = with_hooks(
        "local n = bench.counter('n')
        bench.on_complete(function()
            for i = 1, 300000 do local x = i * i end
            n:add()
        end)",
    )
    .with(|options| options.limits.time_per_resume = Duration::from_millis(500));
    let (hooks, _verdicts) = started(&written);
    let mut hooks = hooks.unwrap();
    let mut tap = hooks.tap().unwrap();
    feed(&mut tap, 400);
    drop(tap);
    let report = hooks.finish(Duration::from_secs(300));
    assert_eq!(report.outcome.errors, [""; 0]);
    assert_eq!(metric(&report, "n")["value"], 400);
}

#[test]
fn a_hook_that_has_no_processor_does_not_seem_to_loop_for_ever() {
    let text = "local n = bench.counter('n')
        bench.on_complete(function()
            bench.state.stands_still()
            for i = 1, 1000 do end
            n:add()
        end)";
    let completions = [0, 1].map(|seq| completion(0, seq, read(1), OK));
    let report = heard(text, completions);
    assert_eq!(report.outcome.errors, [""; 0]);
    assert_eq!(metric(&report, "n")["value"], 2);
}

#[test]
fn an_endless_loop_in_each_kind_of_hook_is_ended_and_counted() {
    let (hooks, _verdicts) = started(&with_hooks(
        "bench.on_phase(function() while true do end end)
        bench.on_phase(function() pcall(function() while true do end end) end)
        bench.on_complete(function() while true do end end)
        bench.on_end(function() while true do end end)",
    ));
    let mut hooks = hooks.unwrap();
    hooks.phase("steady", Edge::Start);
    let mut tap = hooks.tap().unwrap();
    feed(&mut tap, 10);
    drop(tap);
    hooks.phase("steady", Edge::End);
    let report = hooks.finish(Duration::from_secs(20));
    let mut errors = report.outcome.errors;
    errors.sort();
    let expected = |line: u32| {
        format!(
            "s.lua:{line}: no result after 150ms of computing (--script-time); the script seems to loop forever (once, in a hook, which is not called again)"
        )
    };
    assert_eq!(errors, [4, 5, 6].map(expected));
    assert_eq!((report.events.delivered, report.events.dropped), (3, 11));
    assert_eq!(hooks.end(serde_json::json!({})).errors, [expected(7)]);
}

#[test]
fn a_hook_that_is_given_up_is_ended_in_the_middle_and_its_events_count_as_dropped() {
    let written = with_hooks(
        "bench.on_complete(function() while true do end end)
        bench.on_end(function() while true do end end)
        bench.on_phase(function() end)",
    )
    .with(|options| options.limits.time_per_resume = Duration::from_secs(3_600));
    let (hooks, _verdicts) = started(&written);
    let mut hooks = hooks.unwrap();
    let mut tap = hooks.tap().unwrap();
    feed(&mut tap, 600);
    drop(tap);
    let report = hooks.finish(Duration::from_millis(50));
    assert_eq!((report.events.delivered, report.events.dropped), (0, 600));
    assert_eq!((report.outcome.errors.len(), report.outcome.internal), (0, None));
    let give_up: Arc<_> = hooks.give_up();
    let interrupt = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        give_up.now();
    });
    let outcome = hooks.end(serde_json::json!({}));
    interrupt.join().unwrap();
    assert_eq!((outcome.errors.len(), outcome.internal), (0, None));
}

#[test]
fn a_panic_in_a_callback_cannot_be_caught_and_no_hook_is_called_again() {
    let report = heard(
        "local n = bench.counter('n')
        bench.on_complete(function()
            n:add()
            pcall(pcall, bench.state.panics)
            while true do pcall(bench.state.panics) end
        end)
        bench.on_complete(function() n:add() end)",
        (0..10).map(|seq| completion(0, seq, read(1), OK)),
    );
    let internal = report.outcome.internal.as_deref();
    assert_eq!(
        internal,
        Some("internal error: wanted; this is a fault in smbench, please report it")
    );
    assert_eq!(metric(&report, "n")["value"], 1);
    assert_eq!((report.events.delivered, report.events.dropped), (1, 19));
}
