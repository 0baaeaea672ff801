//! Servers that go away while a run is under way.

use std::time::Duration;

use serde_json::{Value, json};
use smbench_test_support::{Samba, Settings};

use crate::program::{Place, Running};
use crate::summary::number;

const SCRIPT: &str = r#"
bench.setup(function(c) c:mkdir("team") end)
bench.workload { name = "w", clients = 4, iteration = function(c)
    local h = c:open("team/f" .. c.id, "rw")
    c:write(h, 0, 4096)
    c:read(h, 0, 4096)
    c:close(h)
    c:think("5ms")
end }
"#;

fn start(samba: &Samba, place: &Place, flags: &str) -> Running {
    let mut running = place.run(&format!("s.lua --target {} {flags}", samba.url())).samba().start();
    let file = samba.share().join("team/f3");
    running.until("an operation of the last client", || file.exists());
    running
}

/// Returns the number of operations that failed because their connection was lost.
fn lost(summary: &Value) -> u64 {
    let groups = summary["failures"].as_array().unwrap().iter();
    let lost = groups.filter(|group| group["status"] == "CONNECTION_LOST");
    lost.map(|group| number(&group["count"])).sum()
}

#[test]
fn a_server_that_is_killed_and_started_again_is_found_again() {
    let Some(mut samba) = Samba::start(Settings::default()) else { return };
    let place = Place::with_script(SCRIPT);
    place.write("s.lua", format!("{SCRIPT} bench.teardown(function(c) c:mkdir('team/last') end)"));
    let mut running = start(&samba, &place, "--duration 5s");
    samba.restart();
    let file = samba.share().join("team/f0");
    let _ = std::fs::remove_file(&file);
    running.until("an operation after the restart", || file.exists());
    let ended = running.end();
    let summary = ended.summary();
    // The run-wide client is idle meanwhile, and is connected again for teardown.
    assert_eq!(number(&summary["totals"]["reconnects"]), 5);
    assert!(samba.share().join("team/last").exists());
    assert_eq!(summary["teardown"]["failures"], json!([]));
    // A client that was in think time lost no operation.
    let failed = lost(&summary);
    assert!(failed <= 4, "{failed} operations were in flight");
    assert_eq!(ended.code, if failed > 0 { 4 } else { 0 });
    assert_eq!(number(&summary["totals"]["failed"]), failed);
    assert!(number(&summary["totals"]["succeeded"]) > 0);
    assert_eq!(summary.get("failed_clients"), None);
    assert_eq!(summary["totals"]["duration_s"], 5.0);
    assert_eq!(ended.stdout.contains("× CONNECTION_LOST"), failed > 0, "{}", ended.stdout);
    assert!(ended.stdout.contains("5 connections lost and re-established"), "{}", ended.stdout);
}

#[test]
fn a_server_that_does_not_come_back_ends_its_clients_and_with_them_the_run() {
    let Some(mut samba) = Samba::start(Settings::default()) else { return };
    let place = Place::with_script(SCRIPT);
    // The phase alone is longer than the bound on this test.
    let running = start(&samba, &place, "--duration 10m --reconnect-timeout 2s");
    samba.kill();
    let ended = running.end().exits(3);
    let summary = ended.summary();
    assert_eq!(summary["exit_reasons"], json!(["unreachable", "operations-failed"]));
    let clients = &summary["failed_clients"];
    assert!(number(&clients["count"]) >= 4, "{clients}");
    let reason = clients["first"][0]["reason"].as_str().unwrap();
    assert!(
        reason
            .starts_with("not reconnected within 2 s (--reconnect-timeout): connecting failed at "),
        "{reason}"
    );
    assert!(lost(&summary) <= 4);
    assert_eq!(number(&summary["totals"]["reconnects"]), 0);
    assert!(summary["totals"]["duration_s"].as_f64().unwrap() < 60.0);
    assert!(ended.stdout.contains("gave up reconnecting"), "{}", ended.stdout);
}

#[test]
fn a_server_that_stops_answering_times_operations_out_and_the_run_ends() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::with_script(SCRIPT);
    let flags = "--duration 5s --op-timeout 1s --drain 2s --connect-timeout 1s";
    let running = start(&samba, &place, flags);
    samba.pause();
    let ended = running.end().exits(4);
    let summary = ended.summary();
    let groups = summary["failures"].as_array().unwrap();
    let timed_out = groups.iter().find(|group| group["status"] == "TIMED_OUT").unwrap();
    assert_eq!(number(&timed_out["count"]), 4);
    assert_eq!(number(&summary["totals"]["failed"]), 4);
    assert_eq!(number(&summary["totals"]["reconnects"]), 0);
    assert!(ended.stdout.contains("4 × TIMED_OUT"), "{}", ended.stdout);
    let problem = summary["problems"][0].as_str().unwrap();
    assert!(problem.contains("when --drain (2 s) had passed"), "{problem}");
}

#[test]
fn an_operation_the_server_can_cancel_times_out_and_keeps_its_connection() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::with_script(
        r#"bench.workload { name = "w", clients = 2, iteration = function(c)
            local h = c:open("locked", "rw")
            if c.id == 1 then c:think("500ms") end
            c:lock(h, 0, 10, { wait = true })
            if c.id == 0 then c:think("4s") end
            c:close(h)
        end }"#,
    );
    let line = format!("s.lua --target {} --iterations 1 --op-timeout 1s", samba.url());
    let summary = place.run(&line).samba().end().exits(4).summary();
    assert_eq!(summary["failures"][0]["status"], "TIMED_OUT");
    assert_eq!(summary["failures"][0]["first"][0]["client"], "w/1");
    let totals = &summary["totals"];
    assert_eq!((number(&totals["failed"]), number(&totals["succeeded"])), (1, 5));
    assert_eq!((number(&totals["reconnects"]), number(&totals["skipped"])), (0, 0));
}

#[test]
fn a_server_that_is_gone_at_the_end_does_not_hold_the_run_up() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::with_script(SCRIPT);
    let running = start(&samba, &place, "--duration 1s --op-timeout 60s --drain 500ms");
    samba.pause();
    let started = std::time::Instant::now();
    let ended = running.end();
    // The run waits neither for the operation time-out of 60 s nor for the reconnect time-out of 30
    // s.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let summary = ended.summary();
    assert_eq!(number(&summary["totals"]["cut"]), 4, "{summary}");
    assert_eq!(number(&summary["totals"]["failed"]), 0);
    assert!(
        ended.stdout.contains("4 operations still in flight when the drain ended"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_run_that_no_client_is_left_of_says_so_first_and_exits_3() {
    let place = Place::with_script(
        r#"bench.workload { name = "w", clients = 2, iteration = function(c)
            c:stat("")
            c:think("20ms")
        end }"#,
    );
    let line = "s.lua --target sim?outage=1h@1s --duration 1m --reconnect-timeout 1s";
    let ended = place.run(line).end().exits(3);
    let first =
        "error: no client was left: 2 clients gave up reconnecting, so the run ended after ";
    assert!(ended.stdout.starts_with(first), "{}", ended.stdout);
    let summary = ended.summary();
    assert_eq!(summary["failed_clients"]["all"], true);
    let totals = &summary["totals"];
    let (operations, rate) = (totals["operations"].as_f64(), totals["operations_per_s"].as_f64());
    let duration_s = totals["duration_s"].as_f64().unwrap();
    assert!(duration_s < 50.0, "the time until the last client gave up: {duration_s}");
    let over_that = operations.unwrap() / duration_s;
    assert!((rate.unwrap() - over_that).abs() < 0.01 * over_that, "{totals}");
}

#[test]
fn a_client_that_lost_a_handle_it_keeps_is_named_and_its_iterations_are_skipped() {
    let place = Place::with_script(
        r#"local handles = {}
        bench.workload { name = "keeper", clients = 1,
            setup = function(c) handles[c.id] = c:open("log", "rw") c:write(handles[c.id], 0, 4096) end,
            iteration = function(c) c:read(handles[c.id], 0, 4096) c:think("10ms") end }
        bench.thresholds { "iterations.skipped == 0" }"#,
    );
    let line = "s.lua --target sim?outage=300ms@1s --duration 3s";
    let ended = place.run(line).end().exits(99);
    let summary = ended.summary();
    let iterations = &summary["iterations"];
    let read = &summary["operations"]["read"];
    assert!(number(&iterations["skipped"]) > 0, "{iterations}");
    assert_eq!(number(&iterations["skipped"]), number(&read["skipped"]));
    assert_eq!(number(&iterations["count"]), number(&read["count"]), "those that were sent");
    assert_eq!(summary["silent_clients"], json!({ "count": 1, "first": ["keeper/0"] }));
    assert!(ended.stdout.contains("1 client stopped sending operations"), "{}", ended.stdout);
}

#[test]
fn a_connection_that_ended_while_nobody_used_it_is_renewed_before_it_is_used() {
    let place = Place::with_script(
        r#"bench.setup(function(c) c:mkdir("data") end)
        bench.workload { name = "w", clients = 1, iteration = function(c) c:stat("data") c:think("20ms") end }
        bench.teardown(function(c) c:rmdir("data") end)"#,
    );
    let line = "s.lua --target sim?outage=200ms@500ms --duration 2s";
    let summary = place.run(line).end().summary();
    assert_eq!(summary["teardown"]["failures"], json!([]), "{}", summary["teardown"]);
    assert_eq!(number(&summary["teardown"]["totals"]["succeeded"]), 1);
}

/// A script whose clients read by a handle from their setup, and rename its file meanwhile.
const KEEPER: &str = r#"
local handles = {}
bench.workload { name = "keeper", clients = 2,
    setup = function(c)
        local h = c:open("log" .. c.id, "rw", { reopen = true })
        c:write(h, 0, 4096)
        c:lock(h, 8192, 1)
        handles[c.id] = h
    end,
    iteration = function(c)
        if c.iteration == 3 then c:rename("log" .. c.id, "moved" .. c.id) end
        c:read(handles[c.id], 0, 4096)
        c:think("20ms")
    end }
bench.thresholds { "iterations.skipped == 0" }
"#;

#[test]
fn a_kept_handle_is_opened_again_where_a_rename_left_its_file() {
    let place = Place::with_script(KEEPER);
    let ended = place.run("s.lua --target sim?outage=1s@1s --duration 4s").end();
    let summary = ended.summary();
    assert_eq!(summary["thresholds"][0]["pass"], true, "{ended:#?}");
    let reopened = json!({ "handles": 2, "failed": 0, "locks_lost": 2 });
    assert_eq!(summary["reopened"], reopened);
    assert_eq!(summary.get("silent_clients"), None);
    let read = &summary["operations"]["read"];
    assert!(read["response_us"]["max"].as_f64().unwrap() >= 950_000.0, "{read}");
    assert!(read["service_us"]["max"].as_f64().unwrap() < 950_000.0, "{read}");
    let lines = "2 handles opened again after a lost connection (reopen)";
    assert!(ended.stdout.contains(lines), "{}", ended.stdout);
}

#[test]
fn a_kept_handle_is_opened_again_at_a_server_that_was_started_again() {
    let Some(mut samba) = Samba::start(Settings::default()) else { return };
    let place = Place::with_script(KEEPER);
    let line = format!("s.lua --target {} --duration 5s", samba.url());
    let mut running = place.run(&line).samba().start();
    let moved = samba.share().join("moved1");
    running.until("the renames", || moved.exists());
    samba.restart();
    let summary = running.end().summary();
    assert_eq!(summary["reopened"], json!({ "handles": 2, "failed": 0, "locks_lost": 2 }));
    assert_eq!(number(&summary["iterations"]["skipped"]), 0);
}

#[test]
fn an_operation_whose_handle_cannot_be_opened_again_is_skipped() {
    let place = Place::with_script(
        r#"local handles = {}
        bench.workload { name = "keeper", clients = 1,
            setup = function(c)
                handles[c.id] = c:open("gone", "rw", { reopen = true })
                c:write(handles[c.id], 0, 4096)
                c:delete("gone")
            end,
            iteration = function(c) c:read(handles[c.id], 0, 4096) c:think("20ms") end }"#,
    );
    let summary = place.run("s.lua --target sim?outage=300ms@1s --duration 3s").end().summary();
    let (reopened, read) = (&summary["reopened"], &summary["operations"]["read"]);
    assert_eq!(number(&reopened["handles"]), 0);
    assert_eq!(number(&reopened["failed"]), number(&read["skipped"]));
    assert!(number(&read["skipped"]) > 0 && number(&read["count"]) > 0, "{read}");
    assert_eq!(summary["silent_clients"]["first"], json!(["keeper/0"]));
}

#[test]
fn the_example_with_kept_handles_goes_on_after_an_outage() {
    let place = Place::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/parameters.lua");
    let line = format!("{example} --target sim?outage=300ms@1s --duration 3s");
    let summary = place.run(&line).end().summary();
    assert_eq!(number(&summary["iterations"]["skipped"]), 0);
    assert_eq!(number(&summary["reopened"]["handles"]), 4);
}

#[test]
fn a_number_that_stands_for_another_handle_opens_no_old_one_again() {
    let place = Place::with_script(
        r#"local kept = {}
        bench.workload { name = "keeper", clients = 1,
            setup = function(c)
                kept[c.id] = c:open("log", "rw", { reopen = true })
                c:write(kept[c.id], 0, 4096)
            end,
            iteration = function(c) c:read(kept[c.id], 0, 4096) c:think("10ms") end,
            teardown = function(c)
                local h = c:open("none/x", "rw", { expect = "any" })
                c:truncate(h, 0)
            end }"#,
    );
    std::fs::create_dir(place.path().join("share")).unwrap();
    let summary = place.run("s.lua --embedded-dir share --duration 1s").end().summary();
    assert_eq!(number(&summary["teardown"]["totals"]["skipped"]), 1, "{}", summary["teardown"]);
    let log = std::fs::metadata(place.path().join("share/log")).unwrap();
    assert_eq!(log.len(), 4096, "the file of the closed handle was not touched");
}

#[test]
fn an_unlock_of_a_lock_that_went_with_the_connection_is_skipped_and_no_other() {
    // Either the read or the unlock itself notices the loss.
    for rest in ["c:read(h, 0, 4096) c:unlock(h, 0, 1)", "c:unlock(h, 0, 1) c:read(h, 0, 4096)"] {
        let place = Place::with_script(&format!(
            r#"local kept = {{}}
            bench.workload {{ name = "keeper", clients = 1,
                setup = function(c)
                    kept[c.id] = c:open("log", "rw", {{ reopen = true }})
                    c:write(kept[c.id], 0, 4096)
                    c:lock(kept[c.id], 8192, 1)
                end,
                iteration = function(c)
                    local h = kept[c.id]
                    c:lock(h, 0, 1)
                    c:think("200ms")
                    {rest}
                end }}"#
        ));
        let line = "s.lua --target sim?outage=150ms@500ms --duration 2s";
        let summary = place.run(line).end().exits(0).summary();
        // Both locks are lost: that of the iteration, and that from setup, which nobody unlocks.
        let reopened = json!({ "handles": 1, "failed": 0, "locks_lost": 2 });
        assert_eq!(summary["reopened"], reopened, "{rest}");
        let unlock = &summary["operations"]["unlock"];
        assert_eq!(number(&unlock["skipped"]), 1, "{rest}");
        assert!(number(&unlock["count"]) > 2, "{rest}: {unlock}");
        assert_eq!(number(&summary["totals"]["failed"]), 0, "{rest}");
    }
}
