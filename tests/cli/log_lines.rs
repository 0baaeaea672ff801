//! Lines on standard error: the levels of the log, and the format as JSON.

use std::process::{Command, Stdio};
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use crate::program::{Call, Place};

const SCRIPT: &str = r#"
print("top\nlevel")
bench.setup(function(c) c:mkdir("all") end)
bench.teardown(function(c) c:rmdir("all") end)
bench.workload { name = "w", clients = 8,
    setup = function(c) c:mkdir("all/" .. c.id) end,
    iteration = function(c) c:stat("all") end,
    teardown = function(c) c:rmdir("all/" .. c.id) end }
"#;

/// Returns the level and the message of each line. All lines must be JSON.
fn lines(stderr: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("{line}")).to_string();
        assert!(text("timestamp").ends_with('Z'), "{line}");
        (text("level"), text("message"))
    };
    stderr.lines().map(line).collect()
}

#[test]
fn every_line_on_standard_error_is_json() {
    let place = Place::with_script(SCRIPT);
    place.write("boom.lua", "bench.workload { name = 'w', iteration = function() error('a') end }");
    place.write("late.jsonl", "{}");
    for (line, code, level, message) in [
        ("run s.lua --target sim --iterations 1 --out a", 0, "INFO", "top\nlevel"),
        ("run s.lua --target sim --iterations 1 --out b -vv", 0, "INFO", "setup"),
        ("run boom.lua --target sim --out c --json", 2, "ERROR", "boom.lua:1: a"),
        (
            "run s.lua --target sim --iterations 1 --out d -q --threshold iterations.count<1",
            99,
            "ERROR",
            "threshold failed: ",
        ),
        ("run none.lua", 2, "ERROR", "cannot read none.lua"),
        ("run s.lua --target smb://127.0.0.1:1/x --out e", 3, "ERROR", "connecting failed"),
        ("run s.lua --target smb://a@127.0.0.1:1/x --out e", 2, "ERROR", "set SMBENCH_PASSWORD"),
        ("run s.lua --bogus", 2, "ERROR", "unexpected argument '--bogus'"),
        ("run", 2, "ERROR", "SCRIPT|DOCUMENT"),
        ("frobnicate", 2, "ERROR", "unrecognized subcommand"),
        ("validate late.jsonl", 2, "ERROR", "late.jsonl"),
        ("compile s.lua -o x.jsonl --operations 5", 0, "INFO", "operations, ir_hash "),
        ("targets probe smb://127.0.0.1:1/x", 3, "ERROR", "connecting failed"),
    ] {
        // The format is set by a flag and by a variable, which also apply to a command line that is
        // refused.
        let flag = place.smbench(&format!("{line} --log-format json"));
        let variable = place.smbench(line).env("SMBENCH_LOG_FORMAT", "json");
        for (way, call) in [("flag", flag), ("variable", variable)] {
            let _ = std::fs::remove_file(place.path().join("x.jsonl"));
            for out in ["a", "b", "c", "d", "e"] {
                let _ = std::fs::remove_dir_all(place.path().join(out));
            }
            let ended = call.env("SMBENCH_ALLOW_LATE", "1").end().exits(code);
            let reported = lines(&ended.stderr);
            let found = reported.iter().any(|(l, m)| l == level && m.contains(message));
            assert!(found, "{line} ({way}): {reported:#?}");
        }
    }
}

#[test]
fn warnings_of_a_run_and_what_a_signal_does_to_it_are_json() {
    let place = Place::with_script(SCRIPT);
    let mut running = place.run("s.lua --target sim --duration 10m --log-format json").start();
    let out = place.path().join("out");
    running.until("the results directory", || out.exists());
    running.signal(Signal::INT);
    let ended = running.end().exits(130);
    let reported = lines(&ended.stderr);
    let interrupted = reported.iter().any(|(l, m)| l == "WARN" && m.starts_with("interrupted: "));
    assert!(interrupted, "{reported:#?}");
}

/// The variable that is set in the process that panics.
const PANICS: &str = "SMBENCH_TEST_PANICS_AS_JSON";

#[test]
fn the_message_of_a_panic_is_json_before_and_while_a_run_goes_on() {
    if let Some(when) = std::env::var_os(PANICS) {
        smbench::observability::standard_error::write_json_lines();
        if when == "while" {
            smbench::observability::standard_error::never_wait();
        }
        let thread = thread::Builder::new().name("shard-7".into());
        assert!(thread.spawn(|| panic!("as the test wants it")).unwrap().join().is_err());
        std::process::abort();
    }
    let this = "log_lines::the_message_of_a_panic_is_json_before_and_while_a_run_goes_on";
    for when in ["before", "while"] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", this, "--nocapture"]).env(PANICS, when).stdout(Stdio::null());
        let reported = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let reported = lines(&String::from_utf8(reported.stderr).unwrap());
        let [(level, message)] = &reported[..] else { panic!("{reported:?}") };
        assert_eq!(level, "ERROR");
        assert!(message.starts_with("thread 'shard-7' "), "{message}");
        assert!(message.contains("as the test wants it"), "{message}");
    }
}

#[test]
fn each_stage_is_logged_once_however_many_shards_and_clients_there_are() {
    let place = Place::with_script(SCRIPT);
    for (out, shards) in [("a", 1), ("b", 4)] {
        let line = format!("s.lua --target sim --iterations 5 -v --shards {shards}");
        let ended = place.run_to(out, &line).end().exits(0);
        for stage in ["connecting 8 clients", "setup", "preparing 8 clients", "teardown"] {
            let said = ended.stderr.lines().filter(|line| *line == format!(" INFO {stage}"));
            assert_eq!(said.count(), 1, "{stage}: {}", ended.stderr);
        }
    }
}

#[test]
fn smbench_log_chooses_levels_and_a_value_that_names_none_is_refused() {
    let place = Place::with_script(SCRIPT);
    let call = |log: &str| -> Call {
        let _ = std::fs::remove_dir_all(place.path().join("out"));
        place.run("s.lua --target sim --iterations 1").env("SMBENCH_LOG", log)
    };
    assert!(call("info").end().exits(0).stderr.contains(" INFO setup\n"));
    assert!(call("smbench::observability=info").end().exits(0).stderr.contains(" INFO setup\n"));
    assert_eq!(call("smbench::scheduler=info").end().exits(0).stderr, "top\nlevel\n");
    for (log, bad) in [
        ("verbose", "\"verbose\""),
        ("warn,smbench=loud", "\"smbench=loud\""),
        ("smbench scheduler=debug", "\"smbench scheduler\""),
        ("info;smbench=debug", "\"info;smbench\""),
        ("5,smbench=debug", "\"5\""),
        ("smbench=5", "\"smbench=5\""),
    ] {
        let message = call(log).end().refused(2);
        assert!(message.starts_with("SMBENCH_LOG: ") && message.contains(bad), "{message}");
        assert!(message.contains("smbench=debug"), "{message}");
    }
    let help = place.smbench("run --help").end().exits(0).stdout;
    assert!(help.contains("SMBENCH_LOG"), "{help}");
}
