//! The directory of the results.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::program::{Call, Ended, Place, Running, names};

fn place() -> Place {
    Place::with_script(
        "bench.workload { name = 'w', iteration = function(c) c:stat('', { expect = 'any' }) end }",
    )
}

#[test]
fn results_go_to_a_directory_of_their_own_named_after_time_and_script() {
    let place = place();
    for _ in 0..3 {
        place.smbench("run s.lua --target sim --iterations 1 --allow-late").end().exits(0);
    }
    let directories = names(&place.path().join("results"));
    assert_eq!(directories.len(), 3, "{directories:?}");
    for directory in directories {
        assert!(directory.contains("Z-s"), "{directory}");
        assert_eq!(names(&place.path().join("results").join(directory)), ["summary.json"]);
    }
}

#[test]
fn a_directory_that_contains_a_summary_is_not_written_to_again() {
    let place = place();
    place.run("s.lua --target sim --iterations 1").end().exits(0);
    let before = place.read("out/summary.json");
    let ended = place.smbench("run s.lua --target sim --out out").end();
    assert_eq!(
        ended.refused(2),
        "--out out: there is a summary.json already; name another directory, or remove it"
    );
    assert_eq!(place.read("out/summary.json"), before);
    // Other files do not matter.
    fs::create_dir(place.path().join("other")).unwrap();
    place.write("other/notes.txt", "mine");
    place.smbench("run s.lua --target sim --iterations 1 --allow-late --out other").end().exits(0);
    assert_eq!(names(&place.path().join("other")), ["notes.txt", "summary.json"]);
}

#[test]
fn results_that_cannot_be_kept_are_reported_before_the_run() {
    let place = place();
    place.write("file", "");
    let refused =
        |out: &str| place.smbench(&format!("run s.lua --target sim --out {out}")).end().refused(2);
    assert_eq!(refused("file"), "--out file: this is not a directory");
    let cannot = "cannot make the results directory";
    let advice = "--out names another place";
    assert_eq!(
        refused("file/x/y"),
        format!("{cannot} file/x/y: Not a directory (os error 20); {advice}")
    );
    let message = refused("/proc/x");
    assert!(message.starts_with(cannot) && message.ends_with(advice), "{message}");
    // Nobody can write to this working directory, not even root.
    let script = place.path().join("s.lua");
    let call = place.smbench("run --target sim").arg(script).within("/proc").end();
    let message = call.refused(2);
    assert!(message.starts_with(&format!("{cannot} results/")), "{message}");
    assert!(message.ends_with(advice), "{message}");
    assert_eq!(place.names(), ["file", "s.lua"]);
}

#[test]
fn of_out_only_the_last_directory_is_made() {
    let place = place();
    for (out, missing) in [("a/b", "a"), ("a/b/c", "a"), ("/proc/self/x/y", "/proc/self/x")] {
        let message = place.smbench(&format!("run s.lua --target sim --out {out}")).end();
        assert_eq!(
            message.refused(2),
            format!(
                "--out {out}: there is no directory {missing}; create it first, or name another place"
            )
        );
    }
    assert_eq!(place.names(), ["s.lua"]);
    fs::create_dir(place.path().join("a")).unwrap();
    place.run_to("a/b", "s.lua --target sim --iterations 1").end().exits(0).summary();
}

#[test]
fn a_failed_connection_removes_the_directory_it_made_and_no_others() {
    let place = place();
    fs::create_dir(place.path().join("mine")).unwrap();
    let line = "run s.lua --target smb://127.0.0.1:1/share --out mine/a";
    place.smbench(line).end().refused(3);
    assert_eq!(names(&place.path().join("mine")), [""; 0]);
}

/// Starts a run of some seconds into `out`, and waits until the directory `share/d` shows that it
/// measures.
fn under_way(place: &Place, flags: &str) -> Running {
    fs::create_dir(place.path().join("share")).unwrap();
    let line = format!("run s.lua --embedded-dir share --allow-late --out out {flags}");
    let mut running = place.smbench(&line).start();
    let made = place.path().join("share/d");
    running.until("a first operation", || made.exists());
    running
}

fn makes_a_directory() -> Place {
    Place::with_script(
        "bench.workload { name = 'w', iteration = function(c) c:mkdir('d', { expect = 'any' }) c:think('5ms') end }",
    )
}

#[test]
fn of_two_runs_into_one_directory_the_second_does_nothing_and_the_first_is_complete() {
    let place = makes_a_directory();
    let first = under_way(&place, "--duration 10m --oplog");
    for flags in ["", "--oplog", "--json", "--quiet"] {
        fs::create_dir(place.path().join("other")).unwrap();
        let line = format!("run s.lua --embedded-dir other --out out {flags}");
        assert_eq!(
            place.smbench(&line).end().refused(2),
            "--out out: another run is writing its results there; name another directory"
        );
        // This fails if the second run did something on its server.
        fs::remove_dir(place.path().join("other")).unwrap();
    }
    first.signal(Signal::INT);
    first.end().exits(130);
    assert_eq!(names(&place.path().join("out")), ["ops.jsonl", "summary.json"]);
}

#[test]
fn of_runs_that_start_at_the_same_instant_one_takes_place() {
    let place = place();
    for round in 0..5 {
        fs::create_dir(place.path().join(round.to_string())).unwrap();
        let line = format!("run s.lua --target sim --duration 1s --allow-late --out {round}/out");
        let started: Vec<Running> = (0..3).map(|_| place.smbench(&line).start()).collect();
        let ended: Vec<Ended> = started.into_iter().map(Running::end).collect();
        let mut codes: Vec<i32> = ended.iter().map(|ended| ended.code).collect();
        codes.sort_unstable();
        assert_eq!(codes, [0, 2, 2], "{ended:#?}");
        assert_eq!(names(&place.path().join(format!("{round}/out"))), ["summary.json"]);
    }
}

#[test]
fn the_directory_of_a_killed_run_can_be_used_again() {
    let place = makes_a_directory();
    let mut killed = under_way(&place, "--duration 10m");
    killed.signal(Signal::KILL);
    while killed.is_running() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(names(&place.path().join("out")), [""; 0]);
    place.run("s.lua --target sim --iterations 1").end().exits(0).summary();
}

/// Checks that a run whose results cannot be written prints them as a table, as JSON, and also if
/// no table was asked for. `call` starts a run with more flags. Returns the error.
fn printed_all_the_same(call: impl Fn(&str) -> Ended) -> String {
    let table = call("").exits(2);
    let problem = table.stdout.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(table.stdout.contains("iterations "), "{}", table.stdout);
    assert!(table.stdout.ends_with("exit code 2: results-not-kept\n"), "{}", table.stdout);
    let json = call("--json").exits(2);
    let summary: Value = serde_json::from_str(&json.stdout).unwrap();
    crate::summary::check(&summary);
    assert_eq!(summary["exit_code"], 2);
    assert_eq!(format!("error: {}", summary["problems"][0].as_str().unwrap()), problem);
    assert_eq!(json.stderr, format!("{problem}\n"));
    let quiet = call("--quiet").exits(2);
    assert!(quiet.stdout.contains("iterations "), "{}", quiet.stdout);
    problem.into()
}

#[test]
fn results_are_printed_if_their_directory_was_removed_or_moved() {
    for moved in [false, true] {
        let error = printed_all_the_same(|flags| {
            let place = makes_a_directory();
            let running = under_way(&place, &format!("--duration 1s {flags}"));
            let out = place.path().join("out");
            match moved {
                true => fs::rename(&out, place.path().join("moved")).unwrap(),
                false => fs::remove_dir(&out).unwrap(),
            }
            running.end()
        });
        assert_eq!(
            error,
            "error: cannot write out/summary.json: its directory was removed or moved while the run went on; leave it where it is until the run has ended"
        );
    }
}

#[test]
fn a_removed_log_is_reported() {
    let place = makes_a_directory();
    let running = under_way(&place, "--duration 1s --oplog");
    fs::remove_file(place.path().join("out/ops.jsonl")).unwrap();
    let ended = running.end().exits(2);
    let reported = "error: out/ops.jsonl was removed or moved while the run went on; ";
    assert!(ended.stdout.contains(reported), "{}", ended.stdout);
    assert_eq!(names(&place.path().join("out")), ["summary.json"]);
}

#[test]
fn results_are_printed_where_the_disk_is_full() {
    let place = place();
    fs::create_dir(place.path().join("disk")).unwrap();
    let line = |flags: &str| {
        format!("run s.lua --target sim --iterations 200 --allow-late --out disk/out {flags}")
    };
    let full = |flags: &str| place.smbench(&line(flags)).with_disk("disk", 4_096);
    let Some(_) = full("") else { return };
    let error = printed_all_the_same(|flags| full(flags).map(Call::end).unwrap());
    assert_eq!(
        error,
        "error: cannot write disk/out/summary.json: No space left on device (os error 28); free some space, or name another directory with --out"
    );
    // The mount disappears with the program, so the files are listed by the same shell.
    let kept = "ls -A disk/out; wc -l <disk/out/ops.jsonl; tail -c 1 disk/out/ops.jsonl | wc -l";
    let call = place.smbench(&line("--json --oplog")).then(kept).with_disk("disk", 65_536);
    let ended = call.unwrap().end().exits(2);
    let (summary, disk) = ended.stdout.rsplit_once("}\n").unwrap();
    let summary: Value = serde_json::from_str(&format!("{summary}}}")).unwrap();
    let written = summary["oplog"]["written"].as_u64().unwrap();
    assert!(written > 0 && summary["oplog"]["dropped"].as_u64().unwrap() > 0, "{summary:#}");
    let found: Vec<&str> = disk.split_whitespace().collect();
    assert_eq!(found, ["ops.jsonl", &written.to_string(), "1"], "whole lines, and nothing else");
    assert_eq!(summary["problems"].as_array().unwrap().len(), 2);
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() {
    let error = printed_all_the_same(|flags| {
        let place = place();
        let line = format!("run s.lua --target sim --iterations 5 --allow-late --out out {flags}");
        let ended = place.smbench(&line).with_file_size(1).end();
        assert_eq!(place.names(), ["s.lua"], "no directory is left without results");
        ended
    });
    assert_eq!(
        error,
        "error: cannot write out/summary.json: File too large (os error 27); raise the limit on the size of files (ulimit -f), or name another directory with --out"
    );
    let place = place();
    let call = place.smbench("compile s.lua --iterations 500 -o x.jsonl").with_file_size(1);
    let message = call.end().refused(2);
    assert!(message.ends_with("File too large (os error 27)"), "{message}");
    assert_eq!(place.names(), ["s.lua"]);
}
