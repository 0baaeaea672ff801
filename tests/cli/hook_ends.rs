//! The end of a run for its hooks: they are called for every phase, they are bounded whatever they
//! do, and an interrupt gives them up.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde_json::json;

use crate::program::{Ended, Place, Running};
use crate::summary::number;

const WORKLOAD: &str = "bench.workload { name = 'w', clients = 2, iteration = function(c) c:stat('') c:think('5ms') end }\n";

/// Returns the printed lines.
fn printed(stderr: &str) -> Vec<&str> {
    stderr.lines().collect()
}

#[test]
fn hooks_get_every_phase_that_the_run_reached_once_and_in_order_however_short() {
    let place = Place::with_script(&format!(
        "{WORKLOAD}
        local phases = {{}}
        for i = 1, 30 do phases[i] = {{ name = 'p' .. i, duration = '10us', record = i > 3 }} end
        phases[31] = {{ name = 'last', duration = '1h' }}
        phases[32] = {{ name = 'never', duration = '1h' }}
        bench.phases(phases)
        bench.on_phase(function(name, edge) print(name, edge) end)
        bench.on_end(function() print('end') end)"
    ));
    let ended = place.run("s.lua --target sim:null --iterations 4").end().exits(0);
    let short = (1..=30).map(|i| format!("p{i}"));
    let reported = short.chain(["last".into()]);
    let mut expected: Vec<String> =
        reported.flat_map(|name| [format!("{name}\tstart"), format!("{name}\tend")]).collect();
    expected.push("end".into());
    assert_eq!(printed(&ended.stderr), expected);
    let trust = &ended.summary()["trust"];
    let edges = 62;
    assert_eq!(
        (number(&trust["hook_events_delivered"]), number(&trust["hook_events_dropped"])),
        (edges, 0)
    );
}

#[test]
fn hooks_get_the_phases_of_a_run_that_is_shorter_than_a_check() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c) c:stat('') end }
        bench.phases { { name = 'only', duration = '1h' }, { name = 'never', duration = '1h' } }
        bench.on_phase(function(name, edge) print(name, edge) end)",
    );
    let ended = place.run("s.lua --target sim:null --iterations 1").end().exits(0);
    assert_eq!(printed(&ended.stderr), ["only\tstart", "only\tend"]);
}

#[test]
fn after_a_failed_setup_hooks_get_no_phases_but_the_end() {
    let place = Place::with_script(&format!(
        "{WORKLOAD}
        bench.setup(function(c) c:delete('none') end)
        bench.on_phase(function(name, edge) print(name, edge) end)
        bench.on_end(function(s) print('end', s.exit_code) end)"
    ));
    let ended = place.run("s.lua --target sim --iterations 4").end().exits(4);
    assert_eq!(printed(&ended.stderr), ["end\t4"]);
}

#[test]
fn an_endless_loop_in_any_hook_ends_with_its_line_and_a_count_and_the_run_with_its_results() {
    for (hook, dropped) in [("on_complete", 3), ("on_phase", 1), ("on_end", 0)] {
        let place = Place::with_script(&format!(
            "bench.workload {{ name = 'w', iteration = function(c) c:stat('') c:think('5ms') end }}
            bench.{hook}(function() while true do end end)"
        ));
        let line = "s.lua --target sim:null --late-bound 20s --iterations 4 --script-time 200ms";
        let (problem, summary) = place.run(line).end().broke_off(4);
        assert_eq!(
            problem,
            "s.lua:2: no result after 200ms of computing (--script-time); the script seems to loop forever (once, in a hook, which is not called again)"
        );
        assert_eq!(number(&summary["totals"]["operations"]), 4);
        let trust = &summary["trust"];
        assert_eq!(trust["hook_events_dropped"], dropped, "{hook}: {trust}");
        assert_eq!(trust["verdict"] == "hooks-dropped", dropped > 0, "{hook}: {trust}");
    }
}

/// Starts a run whose hooks never end, and waits until its shards are about to end or have ended.
fn with_endless(place: &Place) -> Running {
    std::fs::create_dir(place.path().join("share")).unwrap();
    let line = "s.lua --embedded-dir share --iterations 40 --drain 10m --script-time 10m";
    let mut running = place.run(line).start();
    let down = place.path().join("share/down");
    running.until("teardown", || down.exists());
    running
}

/// Interrupts a run until it ends. Each wait is twice as long as the one before, because a slow
/// host takes long both to see an interrupt and to go on after it.
fn interrupted_until_it_ends(running: Running) -> Ended {
    let group = Pid::from_raw(running.id().try_into().unwrap()).unwrap();
    let interrupt = std::thread::spawn(move || {
        let mut pause = Duration::from_secs(1);
        let mut next = Instant::now();
        while test_kill_process_group(group).is_ok() {
            if Instant::now() >= next {
                let _ = kill_process_group(group, Signal::INT);
                next = Instant::now() + pause;
                pause *= 2;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let ended = running.end();
    interrupt.join().unwrap();
    ended
}

#[test]
fn an_interrupt_while_hooks_have_events_left_gives_these_up_and_writes_the_results() {
    let place = Place::with_script(&format!(
        "{WORKLOAD}
        bench.teardown(function(c) c:mkdir('down') end)
        local n = bench.counter('n')
        bench.on_complete(function() n:add() while true do end end)
        bench.on_end(function(s) print('end', s.run.interrupted) end)"
    ));
    let running = with_endless(&place);
    let ended = interrupted_until_it_ends(running).exits(130);
    let summary = ended.summary();
    assert_eq!(summary["exit_reasons"], json!(["interrupted"]));
    assert_eq!(number(&summary["totals"]["operations"]), 80, "all were done");
    let trust = &summary["trust"];
    assert_eq!(
        (&trust["hook_events_delivered"], &trust["hook_events_dropped"]),
        (&json!(0), &json!(80)),
        "the one call that began did not end"
    );
    assert_eq!(summary["metrics"]["n"]["value"], 1);
    let reasons = trust["reasons"].to_string();
    assert!(reasons.contains("80 of 80 events for hooks (100.0 %) were dropped"), "{reasons}");
    assert!(ended.stderr.contains("end\ttrue\n"), "{}", ended.stderr);
}

#[test]
fn an_interrupt_ends_an_endless_on_end_and_the_results_are_written() {
    let place = Place::with_script(&format!(
        "{WORKLOAD}
        bench.teardown(function(c) c:mkdir('down') end)
        bench.on_end(function() while true do end end)"
    ));
    let running = with_endless(&place);
    let summary = interrupted_until_it_ends(running).exits(130).summary();
    assert_eq!(number(&summary["totals"]["operations"]), 80);
    let problems = summary["problems"].as_array().unwrap();
    let expected = "bench.on_end was interrupted, and may not have been called to its end";
    assert_eq!(problems, &[json!(expected)]);
}
