//! `smbench targets`: the kinds of targets, and the features that a server supports.

use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use smbench_test_support::{Samba, Settings};

use crate::program::{Ended, Place, Running, names};
use crate::summary::number;

fn report(ended: &Ended) -> Value {
    let report: Value = serde_json::from_str(&ended.stdout).expect("nothing but JSON");
    assert_eq!(report["schema"], "smbench.probe/1");
    assert_eq!(report["exit_code"], ended.code);
    let totals = report["totals"].as_object().unwrap();
    let outcomes: u64 =
        totals.iter().filter(|(key, _)| *key != "cases").map(|(_, n)| number(n)).sum();
    assert_eq!(outcomes, number(&totals["cases"]));
    assert_eq!(report["cases"].as_array().unwrap().len() as u64, outcomes);
    report
}

/// Returns the name of the probe's directory, once a case has a directory of its own in it.
fn directory(samba: &Samba) -> Option<String> {
    let mut names_of_share = names(&samba.share()).into_iter();
    let directory = names_of_share.find(|name| name.starts_with("smbench-probe-"))?;
    let cases = std::fs::read_dir(samba.share().join(&directory)).ok()?.count();
    (cases > 0).then_some(directory)
}

fn supports(report: &Value, what: &str) -> String {
    let rows = report["supports"].as_array().unwrap();
    let row = rows.iter().find(|row| row["what"] == what).expect(what);
    row["answer"].as_str().unwrap().to_string()
}

#[test]
fn targets_are_listed_with_their_fidelity_and_why_one_cannot_be_used() {
    let place = Place::new();
    let text = place.smbench("targets list").end().exits(0).stdout;
    assert!(text.contains("smb://user@host[:port]/share[/directory]"), "{text}");
    assert!(text.contains("fidelity modes 0, 1, 2; available"), "{text}");
    assert!(text.contains("no fidelity mode; not in this version"), "{text}");
    let json = place.smbench("targets list --json").end().exits(0).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    let unavailable = |kind: &&Value| !kind["unavailable"].is_null();
    let targets = json["targets"].as_array().unwrap();
    assert_eq!(targets.iter().filter(unavailable).count(), 3);
    for target in targets {
        let none = target["fidelity_modes"].as_array().unwrap().is_empty();
        assert_eq!(none, unavailable(&target), "{target}");
    }
}

#[test]
fn the_embedded_server_supports_leases_and_no_oplocks() {
    let place = Place::new();
    let report = report(&place.smbench("targets probe embedded --json").end().exits(0));
    assert_eq!(report["target"]["dialect"], "3.1.1");
    for (what, answer) in [
        ("create, read, write", "partly"),
        ("share modes", "partly"),
        ("byte-range locks", "yes"),
        ("locks that wait", "unknown"),
        ("batch oplock", "no"),
        ("lease RWH", "yes"),
    ] {
        assert_eq!(supports(&report, what), answer, "{what}");
    }
    assert_eq!(number(&report["totals"]["fail"]), 0, "{report:#}");
    assert_eq!(place.names(), [""; 0], "a probe writes no files here");
}

#[test]
fn samba_is_probed_in_a_directory_of_its_own_that_is_removed_afterwards() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    std::fs::create_dir(samba.share().join("team")).unwrap();
    std::fs::write(samba.share().join("team/kept.txt"), "somebody's").unwrap();
    let place = Place::new();
    let line = format!("targets probe {}/team --op-timeout 5s", samba.url());
    let ended = place.smbench(&line).samba().end().exits(0);
    assert_eq!(ended.stderr, "", "no progress in a pipe");
    let text = ended.stdout;
    for expected in [
        "  batch oplock              yes\n",
        "  leases on directories     no\n",
        "differs from the reference",
        "      known: rename(2) replaces an empty directory, and Samba does not prevent it\n",
        "  offsets_above_four_gib_are_kept (MS-FSA 2.1.5.3)\n      a server without sparse files",
        "got none, not 0x736d62656e6368206c65617365202009\n",
        "got SMB2_OPLOCK_LEVEL_II, not SMB2_OPLOCK_LEVEL_BATCH\n",
        "      0 not run\n  nothing is left on the server\n",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    let early = text.contains("ended early") || text.contains("\nnot run\n");
    assert!(!early && !text.contains('[') && !text.contains('{'), "{text}");
    assert_eq!(names(&samba.share()), ["team"]);
    assert_eq!(names(&samba.share().join("team")), ["kept.txt"]);
    assert_eq!(std::fs::read(samba.share().join("team/kept.txt")).unwrap(), b"somebody's");
}

#[test]
fn an_interrupted_probe_cleans_up_and_reports_the_cases_it_did_not_run() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::new();
    let running = begun(&samba, &place, "--json");
    running.signal(Signal::INT);
    let report = report(&running.end().exits(130));
    assert_eq!(names(&samba.share()), [""; 0]);
    assert_eq!(report["exit_reasons"], serde_json::json!(["interrupted"]));
    assert_eq!(report["left_behind"], serde_json::json!([]));
    assert!(number(&report["totals"]["not_run"]) > 0, "{report:#}");
    assert_eq!(number(&report["totals"]["fail"]), 0, "{report:#}");
}

#[test]
fn cases_that_an_interrupted_probe_did_not_run_stand_apart_from_differences() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::new();
    let running = begun(&samba, &place, "");
    running.signal(Signal::TERM);
    // timeout(1) sends the signal twice.
    running.signal(Signal::TERM);
    let text = running.end().exits(130).stdout;
    assert_eq!(names(&samba.share()), [""; 0]);
    let (found, not_run) = text.split_once("\nnot run\n").expect(&text);
    assert!(found.contains("\nended early: "), "{text}");
    assert!(!found.contains("interrupted"), "{text}");
    assert!(
        not_run.contains(": interrupted\n") && not_run.contains("which --json names"),
        "{text}"
    );
    assert!(found.contains("  lease breaks              not known: "), "{text}");
}

fn begun(samba: &Samba, place: &Place, line: &str) -> Running {
    let line = format!("targets probe {} {line}", samba.url());
    let mut running = place.smbench(&line).samba().start();
    running.until("cases in a folder of its own", || directory(samba).is_some());
    running
}

#[test]
fn a_server_that_falls_silent_ends_the_probe_in_time_and_what_is_left_is_named() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::new();
    let running = begun(&samba, &place, "--json --op-timeout 1s");
    samba.pause();
    let ended = running.end().exits(3);
    let left = directory(&samba).unwrap();
    assert!(ended.stderr.contains(&format!("left on the server: {left}")), "{}", ended.stderr);
    let report = report(&ended);
    gone(&report);
}

/// Checks the report of a probe whose server went away in the middle: it has no other failure.
fn gone(report: &Value) {
    assert_eq!(report["exit_reasons"], serde_json::json!(["unreachable", "operations-failed"]));
    assert_eq!(number(&report["totals"]["fail"]), 0, "{report:#}");
    let cases = report["cases"].as_array().unwrap();
    let reported = |why: &str| cases.iter().filter(|case| case["detail"] == why).count();
    // The cases that ran at that time have a detail of their own, because they may be the cause.
    let meanwhile = reported("the server stopped answering while it ran");
    assert!((1..=8).contains(&meanwhile), "{meanwhile}: {report:#}");
    assert!(reported("the server no longer answers") > 0, "{report:#}");
    assert_eq!(report["left_behind"].as_array().unwrap().len(), 1, "{report:#}");
}

#[test]
fn a_server_that_dies_in_the_middle_ends_the_probe_and_what_is_left_is_named() {
    let Some(mut samba) = Samba::start(Settings::default()) else { return };
    let place = Place::new();
    let running = begun(&samba, &place, "--json --op-timeout 1s");
    samba.kill();
    let ended = running.end().exits(3);
    let left = directory(&samba).unwrap();
    assert!(ended.stderr.contains(&format!("left on the server: {left}")), "{}", ended.stderr);
    gone(&report(&ended));
}

#[test]
fn a_second_interrupt_ends_the_probe_at_once_and_names_its_directory() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::new();
    let running = begun(&samba, &place, "");
    samba.pause();
    running.signal(Signal::INT);
    running.signal_again(Signal::INT);
    let ended = running.end().exits(130);
    let left = directory(&samba).unwrap();
    let said = format!("the directory {left} is left on the server");
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);
}

#[test]
fn a_probe_whose_time_is_up_says_what_it_did_not_ask_and_cleans_up() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::new();
    let line = format!("targets probe {} --json --timeout 300ms", samba.url());
    let report = report(&place.smbench(&line).samba().end().exits(130));
    assert_eq!(names(&samba.share()), [""; 0]);
    assert_eq!(report["exit_reasons"], serde_json::json!(["interrupted"]));
    assert_eq!(number(&report["totals"]["fail"]), 0, "{report:#}");
    let cases = report["cases"].as_array().unwrap();
    let missed = cases.iter().filter(|case| case["detail"] == "no time was left").count();
    assert_eq!((missed as u64, missed > 0), (number(&report["totals"]["not_run"]), true));
}

#[test]
fn a_wrong_password_is_one_error_that_says_what_to_look_at() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::new();
    let call = place.smbench(&format!("targets probe {}", samba.url()));
    let message = call.env("SMBENCH_PASSWORD", "hunter2").end().refused(3);
    assert!(message.contains("check the user's name and SMBENCH_PASSWORD"), "{message}");
}

#[test]
fn if_no_directory_can_be_made_no_case_runs() {
    let read_only = Settings { global: "", share: "read only = yes" };
    let Some(samba) = Samba::start(read_only) else { return };
    let place = Place::new();
    let message = place.smbench(&format!("targets probe {}", samba.url())).samba().end().refused(3);
    assert!(message.contains("cannot be made on the server"), "{message}");
    assert!(message.contains("STATUS_ACCESS_DENIED"), "{message}");
}

#[test]
fn a_target_that_is_not_there_or_makes_no_sense_is_one_error() {
    let place = Place::new();
    let message = place.smbench("targets probe nonsense").end().refused(2);
    assert!(message.starts_with("unknown target \"nonsense\""), "{message}");
    let message = place.smbench("targets probe smb://ann@127.0.0.1:9/share").end().refused(2);
    assert!(message.contains("set SMBENCH_PASSWORD"), "{message}");
    let call = place.smbench("targets probe smb://ann@127.0.0.1:9/share");
    let message = call.env("SMBENCH_PASSWORD", "hunter2").end().refused(3);
    assert!(message.starts_with("connecting failed at 127.0.0.1:9"), "{message}");
    // As with `run`, there is no report, so nothing is printed in its place.
    let call = place.smbench("targets probe smb://ann@127.0.0.1:9/share --json");
    let message = call.env("SMBENCH_PASSWORD", "hunter2").end().refused(3);
    assert!(message.starts_with("connecting failed at 127.0.0.1:9"), "{message}");
    let secret = place.smbench("targets probe smb://ann:hunter2@nas/share").end().refused(2);
    assert!(secret.contains("contains a password"), "{secret}");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let place = Place::new();
    let mut head = Command::new("head")
        .arg("-1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pipe = head.stdin.take().unwrap();
    let ended = place.smbench("targets probe sim").stdout(pipe).end().exits(0);
    assert_eq!(ended.stderr, "");
    let read = head.wait_with_output().unwrap().stdout;
    assert_eq!(String::from_utf8(read).unwrap(), "sim\n");
}

#[test]
fn a_failed_essential_case_changes_the_exit_code() {
    let place = Place::new();
    let report = report(&place.smbench("targets probe sim:null --json").end().exits(4));
    assert_eq!(report["exit_reasons"][0], "operations-failed");
    assert_eq!(number(&report["totals"]["pass"]), 0);
}
