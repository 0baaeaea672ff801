//! Hooks and metrics, from the script to the summary and the exit code.

use serde_json::{Value, json};

use crate::program::Place;
use crate::summary::number;

/// Flags with which no host is so busy that lateness decides the verdict.
const ON_TIME: &str = "--target sim:null --late-bound 20s";

/// Makes a place with a script of four clients that write, in two phases, with hooks.
fn with_hooks(hooks: &str) -> Place {
    Place::with_script(&format!(
        "bench.phases {{ {{ name = 'warmup', duration = '200ms', record = false }}, {{ name = 'steady', duration = '400ms' }} }}
        bench.setup(function(c) c:mkdir('d') end)
        bench.workload {{ name = 'w', clients = 4, iteration = function(c)
            local h = c:open('d/' .. c.id, 'rw')
            c:write(h, 0, 4096)
            c:close(h)
            c:stat('none', {{ expect = 'any' }})
            c:think('2ms')
        end }}
        {hooks}"
    ))
}

fn metric<'a>(summary: &'a Value, name: &str) -> &'a Value {
    &summary["metrics"][name]["value"]
}

#[test]
fn a_hook_that_counts_everything_counts_what_totals_count() {
    let place = with_hooks(
        "local all, written = bench.counter('seen'), bench.counter('written', { help = 'bytes' })
        local service = bench.histogram('service', { unit = 'ns' })
        bench.on_complete(function(kind, status, ns)
            all:add(1, { kind = kind, status = status })
            service:record(ns)
        end)
        bench.on_complete({ ops = { 'write' }, fields = { 'bytes' } }, function(n) written:add(n) end)",
    );
    let ended = place.run("s.lua --target sim").end().exits(0);
    let summary = ended.summary();
    let (totals, metrics) = (&summary["totals"], &summary["metrics"]);
    assert!(number(&totals["operations"]) > 0);
    assert_eq!(metric(&summary, "seen"), &totals["operations"]);
    assert_eq!(metric(&summary, "written"), &totals["bytes_written"]);
    assert_eq!(metrics["written"]["help"], "bytes");
    assert_eq!(metrics["service"]["count"], totals["operations"]);
    for part in metrics["seen"]["tagged"].as_array().unwrap() {
        let operation = &summary["operations"][part["tags"]["kind"].as_str().unwrap()];
        let status = part["tags"]["status"].as_str().unwrap();
        assert_eq!(part["value"], operation["statuses"][status], "{part}");
    }
    let slowest = summary["operations"].as_object().unwrap().values();
    let slowest = slowest.map(|figures| figures["service_us"]["max"].as_f64().unwrap());
    let slowest = slowest.fold(0.0, f64::max);
    assert_eq!(metrics["service"]["max"].as_f64().unwrap() / 1e3, slowest);
    let trust = &summary["trust"];
    let calls = number(&totals["operations"]) + number(&summary["operations"]["write"]["count"]);
    assert_eq!(number(&trust["hook_events_delivered"]), calls);
    assert_eq!(trust["hook_events_dropped"], 0);
    let shown =
        ended.stdout.contains("metrics of the script\n") && ended.stdout.contains("  kind=close");
    assert!(shown, "{}", ended.stdout);
}

#[test]
fn hooks_get_the_phases_in_order_and_the_end_with_the_summary() {
    let place = with_hooks(
        "bench.on_phase(function(name, edge) print('phase', name, edge) end)
        bench.on_end(function(s)
            print('end', s.totals.operations, s.phases[2].name, s.trust.verdict)
        end)
        print('once')",
    );
    let ended = place.run("s.lua --target sim").end().exits(0);
    let said: Vec<&str> = ended.stderr.lines().collect();
    let operations = ended.summary()["totals"]["operations"].clone();
    let verdict = ended.summary()["trust"]["verdict"].as_str().unwrap().to_string();
    assert_eq!(
        said,
        [
            "once",
            "phase\twarmup\tstart",
            "phase\twarmup\tend",
            "phase\tsteady\tstart",
            "phase\tsteady\tend",
            &format!("end\t{operations}\tsteady\t{verdict}"),
        ]
    );
}

#[test]
fn a_filter_finds_its_phases_in_a_run_of_another_length() {
    let place = with_hooks(
        "local n, warm = bench.counter('n'), bench.counter('warm')
        bench.on_complete({ phase = 'steady' }, function() n:add() end)
        bench.on_complete({ phase = 'warmup', ops = { 'close' } }, function() warm:add() end)",
    );
    let summary = place.run("s.lua --target sim --duration 300ms").end().exits(0).summary();
    assert_eq!(summary["phases"][1]["name"], "steady");
    assert_eq!(metric(&summary, "n"), &summary["totals"]["operations"]);
    assert_eq!(metric(&summary, "warm"), &summary["phases"][0]["operations"]["close"]["count"]);
}

#[test]
fn an_abort_ends_the_run_in_good_order_with_99_and_its_reason() {
    let place = Place::with_script(
        "local n = bench.counter('n')
        bench.on_complete({ ops = { 'stat' } }, function()
            n:add()
            bench.state.n = (bench.state.n or 0) + 1
            if bench.state.n == 5 then bench.abort('five is \\27[31menough') end
        end)
        bench.workload { name = 'w', clients = 2, iteration = function(c)
            c:stat('')
            c:think('1ms')
        end, teardown = function(c) c:list('') end }",
    );
    let ended = place.run(&format!("s.lua {ON_TIME} --duration 50s")).end().exits(99);
    let summary = ended.summary();
    assert_eq!(summary["exit_reasons"], json!(["aborted"]));
    assert_eq!(summary["problems"], json!(["bench.abort: five is \u{1b}[31menough"]));
    assert_eq!(summary["trust"]["verdict"], "interrupted");
    assert_eq!(summary["run"]["interrupted"], false);
    assert_eq!(number(&summary["teardown"]["operations"]["list"]["count"]), 2);
    assert_eq!(metric(&summary, "n"), &summary["totals"]["operations"]);
    assert!(ended.stdout.contains("error: bench.abort: five is \\u{1b}[31menough\n"));
    assert!(ended.stdout.contains("exit code 99: aborted\n"), "{}", ended.stdout);
}

#[test]
fn an_abort_in_on_end_changes_the_exit_code() {
    let place = with_hooks("bench.on_end(function(s) bench.abort('too few') end)");
    let summary = place.run("s.lua --target sim").end().exits(99).summary();
    assert_eq!(summary["problems"], json!(["bench.abort: too few"]));
}

#[test]
fn an_error_in_a_hook_is_reported_once_with_a_count_and_exits_4_unless_the_flag_says_otherwise() {
    let place = with_hooks(
        "bench.on_complete({ ops = { 'close' } }, function(kind)
            local x = nil
            return x[kind]
        end)",
    );
    let ended = place.run("s.lua --target sim").end().exits(4);
    let summary = ended.summary();
    assert_eq!(summary["exit_reasons"], json!(["hooks-failed"]));
    let count = &summary["operations"]["close"]["count"];
    let problem = format!("s.lua:12: attempt to index nil with 'close' ({count} times, in a hook)");
    assert_eq!(summary["problems"], json!([problem]));
    assert_eq!(summary["phases"][1]["duration_s"], 0.4);
    assert_eq!(ended.stdout.matches("s.lua:12").count(), 1, "{}", ended.stdout);
    assert_eq!(ended.stderr.matches("s.lua:12").count(), 0, "{}", ended.stderr);

    let line = "s.lua --target sim --hook-errors ignore";
    let summary = place.run_to("ignored", line).end().exits(0).summary();
    assert_eq!(summary["exit_reasons"], json!([]));
    assert_eq!(summary["problems"].as_array().unwrap().len(), 1);

    let line = "s.lua --target sim --duration 50s --hook-errors abort";
    let (problem, summary) = place.run_to("aborted", line).end().broke_off(2);
    assert!(problem.starts_with("s.lua:12: attempt to index nil with 'close' ("), "{problem}");
    assert_eq!(summary["exit_reasons"], json!(["invalid"]));
    assert!(summary["phases"][1]["duration_s"].as_f64().unwrap() < 50.0);
}

#[test]
fn a_hook_that_is_too_slow_makes_the_verdict_and_delays_nothing() {
    let place = Place::with_script(
        "local n = bench.counter('n')
        bench.on_complete(function() n:add() for i = 1, 3000000 do local x = i * i end end)
        bench.workload { name = 'w', clients = 4, iteration = function(c)
            c:stat('')
            c:think('1ms')
        end }",
    );
    let ended =
        place.run(&format!("s.lua {ON_TIME} --duration 500ms --drain 300ms")).end().exits(0);
    let summary = ended.summary();
    let trust = &summary["trust"];
    assert_eq!(trust["verdict"], "hooks-dropped");
    let (delivered, dropped) =
        (number(&trust["hook_events_delivered"]), number(&trust["hook_events_dropped"]));
    assert!(dropped > 0);
    assert_eq!(delivered + dropped, number(&summary["totals"]["operations"]));
    let called = number(metric(&summary, "n"));
    assert!(called - delivered <= 1, "{called} of {delivered}: the last call was cut off");
    let reason = format!("{dropped} of {} events for hooks", delivered + dropped);
    assert!(trust["reasons"][0].as_str().unwrap().starts_with(&reason), "{trust}");
    assert!(ended.stdout.contains("trust: hooks-dropped\n"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("exit code"), "{}", ended.stdout);
}

#[test]
fn a_hook_that_never_ends_or_eats_memory_does_not_hold_up_the_run() {
    for (attack, what) in [
        ("while true do end", "no result after 200ms of computing"),
        (
            "bench.state.t = {} while true do bench.state.t[#bench.state.t + 1] = ('x'):rep(1000) .. #bench.state.t end",
            "the script needs more memory than its limit of 8 MiB",
        ),
    ] {
        let place = with_hooks(&format!("bench.on_complete(function() {attack} end)"));
        let line = format!("s.lua {ON_TIME} --script-time 200ms --script-memory 32MiB");
        let summary = place.run(&line).end().exits(4).summary();
        let problems = summary["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].as_str().unwrap().contains(what), "{problems:?}");
        assert_eq!(summary["phases"][1]["duration_s"], 0.4);
        let trust = &summary["trust"];
        assert_eq!(trust["hook_events_delivered"], 1, "{trust}");
        assert_eq!(trust["verdict"], "hooks-dropped", "{trust}");
    }
}

#[test]
fn a_script_without_hooks_has_no_thread_for_them() {
    let place = Place::new();
    place.write("with.lua", format!("{RUNNING} bench.on_complete(function() end)"));
    place.write("without.lua", RUNNING);
    for (name, expected) in [("with", true), ("without", false)] {
        let line = format!("{name}.lua --target sim --duration 700ms");
        let mut running = place.run_to(name, &line).start();
        let mut seen = Vec::new();
        let id = running.id();
        running.until("its shards", || {
            seen = threads(id);
            seen.iter().any(|thread| thread.starts_with("shard-"))
        });
        assert_eq!(seen.iter().any(|thread| thread == "hooks"), expected, "{name}: {seen:?}");
        running.end().exits(0);
    }
}

const RUNNING: &str =
    "bench.workload { name = 'w', iteration = function(c) c:stat('') c:think('5ms') end }";

/// Returns the names of a process's threads.
fn threads(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    };
    tasks.filter_map(name).map(|name| name.trim_end().to_string()).collect()
}

#[test]
fn an_error_in_a_hook_is_reported_before_the_run() {
    let place = with_hooks("bench.on_complete({ phase = 'stedy' }, print)");
    let expected = "s.lua:10: bench.on_complete: unknown phase 'stedy': did you mean 'steady'?";
    assert_eq!(place.run("s.lua --target sim").end().refused(2), expected);
    assert_eq!(place.smbench("validate s.lua").end().refused(2), expected);
}

#[test]
fn thresholds_hold_a_script_s_own_metrics_to_what_they_say() {
    let place = Place::with_script(
        r#"
local saves = bench.histogram("app.save", { unit = "ns" })
local count = bench.counter("app.saves")
bench.workload { name = "w", iteration = function(c) c:stat("") end }
bench.on_complete(function(_, _, service_ns) saves:record(service_ns) count:add() end)
bench.thresholds { "app.save.p99 < 1h", "app.saves.count == 20" }"#,
    );
    let run = |out: &str, more: &str| {
        place.run_to(out, &format!("s.lua --target sim --iterations 20 {more}"))
    };
    let summary = run("good", "--threshold app.saves.count>0").end().exits(0).summary();
    let passed: Vec<_> =
        summary["thresholds"].as_array().unwrap().iter().map(|one| &one["pass"]).collect();
    assert_eq!(passed, [true, true, true]);
    let summary = run("bad", "--threshold app.saves.count>20").end().exits(99).summary();
    assert_eq!(summary["thresholds"][2]["value"], 20.0);
    let refused = run("none", "--threshold app.savs.count>20").end().refused(2);
    assert!(refused.contains("did you mean 'app.saves'?"), "{refused}");
}
