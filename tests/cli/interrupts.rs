//! Ctrl-C, SIGTERM and SIGHUP.

use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::json;

use crate::program::{Place, Running, names};
use crate::summary::number;

const SCRIPT: &str = r#"
bench.setup(function(c) c:mkdir("team") end)
bench.workload { name = "w", clients = 3,
    setup = function(c) c:mkdir("team/u" .. c.id) end,
    iteration = function(c)
        local h = c:open("team/u" .. c.id .. "/f", "rw")
        while c:running() do
            c:write(h, 0, 100)
            c:think("5ms")
        end
        c:mkdir("after the loop")
    end,
    teardown = function(c) c:delete("team/u" .. c.id .. "/f") c:rmdir("team/u" .. c.id) end }
bench.teardown(function(c) c:rmdir("team") c:mkdir("done") end)
"#;

/// Starts a run against `share`, and waits until `files` are there.
fn start(place: &Place, files: &[&str], flags: &str) -> Running {
    std::fs::create_dir(place.path().join("share")).unwrap();
    let mut running = place.run(&format!("s.lua --embedded-dir share {flags}")).start();
    let share = place.path().join("share");
    running.until("first operations", || files.iter().all(|file| share.join(file).exists()));
    running
}

#[test]
fn one_signal_cuts_the_run_drains_it_and_tears_it_down() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let place = Place::with_script(SCRIPT);
        let running = start(&place, &["team/u0/f", "team/u1/f", "team/u2/f"], "--duration 10m");
        running.signal(signal);
        // timeout(1) signals the program and then its group, so that the signal comes twice.
        running.signal(signal);
        let ended = running.end().exits(130);
        let summary = ended.summary();
        assert_eq!(
            names(&place.path().join("share")),
            ["done"],
            "teardown ran, and no code after the loop"
        );
        assert_eq!(summary["exit_reasons"], json!(["interrupted"]));
        assert_eq!(summary["run"]["interrupted"], true);
        let trust = &summary["trust"];
        assert!(["interrupted", "generator-limited"].contains(&trust["verdict"].as_str().unwrap()));
        let reasons = trust["reasons"].as_array().unwrap();
        assert!(reasons.contains(&json!("the run was cut short")), "{reasons:?}");
        assert_eq!(summary["cleanup"], json!({ "closed": 3, "failed": 0 }));
        assert_eq!(number(&summary["totals"]["failed"]), 0);
        assert_eq!(number(&summary["totals"]["cut"]), 0);
        assert_eq!(number(&summary["teardown"]["totals"]["succeeded"]), 8);
        assert!(summary["totals"]["duration_s"].as_f64().unwrap() < 60.0);
        assert!(ended.stdout.contains("exit code 130: interrupted"), "{}", ended.stdout);
    }
}

#[test]
fn a_run_that_was_started_to_outlive_its_terminal_does() {
    let place = Place::with_script(SCRIPT);
    std::fs::create_dir(place.path().join("share")).unwrap();
    let line = "s.lua --embedded-dir share --duration 1s";
    let mut running = place.run(line).ignoring_hangups().start();
    let file = place.path().join("share/team/u0/f");
    running.until("first operations", || file.exists());
    running.signal(Signal::HUP);
    let summary = running.end().exits(0).summary();
    assert_eq!(summary["run"]["interrupted"], false);
}

#[test]
fn a_second_signal_stops_at_once_and_the_results_are_written() {
    let place = Place::with_script(
        r#"bench.workload { name = "w",
            iteration = function(c) c:mkdir("i" .. c.iteration) c:think("10ms") end,
            teardown = function(c) c:mkdir("down") c:think("1h") c:mkdir("never") end }"#,
    );
    let mut running = start(&place, &["i0"], "--duration 10m --drain 10m");
    running.signal(Signal::INT);
    let down = place.path().join("share/down");
    running.until("teardown", || down.exists());
    running.signal_again(Signal::INT);
    let ended = running.end().exits(130);
    let summary = ended.summary();
    assert_eq!(summary["run"]["interrupted"], true);
    assert!(number(&summary["totals"]["succeeded"]) > 0);
    // The directory exists before the client has the answer.
    let totals = &summary["teardown"]["totals"];
    assert_eq!(number(&totals["succeeded"]) + number(&totals["cut"]), 1);
    assert!(!place.path().join("share/never").exists());
}

#[test]
fn an_interrupt_during_setup_goes_on_to_teardown() {
    let place = Place::with_script(
        r#"bench.workload { name = "w", clients = 2,
            setup = function(c) c:mkdir("up" .. c.id) c:think("1h") c:mkdir("never") end,
            iteration = function(c) c:mkdir("never") end,
            teardown = function(c) c:rmdir("up" .. c.id) end }"#,
    );
    let running = start(&place, &["up0", "up1"], "");
    running.signal(Signal::INT);
    let summary = running.end().exits(130).summary();
    assert_eq!(summary["exit_reasons"], json!(["interrupted", "nothing-recorded"]));
    assert_eq!(number(&summary["totals"]["operations"]), 0);
    assert_eq!(names(&place.path().join("share")), [""; 0]);
}

#[test]
fn an_interrupt_while_first_operations_are_made_does_not_wait_for_them() {
    let place = Place::with_script(
        r#"bench.workload { name = "w", clients = 5000,
            setup = function(c) if c.id == 4999 then c:mkdir("up") end end,
            iteration = function(c)
                if c.id > 0 then for i = 1, 2e7 do end end
                c:mkdir("never")
            end,
            teardown = function(c) if c.id == 0 then c:rmdir("up") end end }"#,
    );
    let running = start(&place, &["up"], "--script-time 1m --drain 10m --generators 1");
    running.signal(Signal::INT);
    let ended = running.end().exits(130);
    let summary = ended.summary();
    assert_eq!(summary["exit_reasons"], json!(["interrupted", "nothing-recorded"]));
    assert_eq!(summary["problems"], json!([]));
    assert_eq!(number(&summary["totals"]["operations"]), 0);
    assert_eq!(names(&place.path().join("share")), [""; 0], "torn down");
}

#[test]
fn an_interrupt_while_connecting_ends_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = Place::with_script(SCRIPT);
    let line = format!("s.lua --target smb://127.0.0.1:{port}/share --connect-timeout 10m");
    let mut running = place.run(&line).start();
    listener.set_nonblocking(true).unwrap();
    let mut connection = None;
    running.until("a connection", || {
        connection = listener.accept().ok();
        connection.is_some()
    });
    running.signal(Signal::INT);
    running.end().exits(130);
}

#[test]
fn an_interrupt_while_reconnecting_ends_within_the_drain() {
    let Some(mut samba) =
        smbench_test_support::Samba::start(smbench_test_support::Settings::default())
    else {
        return;
    };
    let place = Place::with_script(SCRIPT);
    let line =
        format!("s.lua --target {} --duration 10m --reconnect-timeout 10m --drain 1s", samba.url());
    let mut running = place.run(&line).samba().start();
    let file = samba.share().join("team/u2/f");
    running.until("a first operation", || file.exists());
    samba.kill();
    std::thread::sleep(std::time::Duration::from_millis(300));
    running.signal(Signal::INT);
    let summary = running.end().exits(130).summary();
    assert_eq!(summary["exit_reasons"], json!(["interrupted", "operations-failed"]));
    assert!(summary["problems"][0].as_str().unwrap().contains("--drain (1 s)"), "{summary}");
}
