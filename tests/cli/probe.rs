//! `smbench targets`: what there is to reach, and what a server supports.

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

/// The probe's own, once a case has one of its own in it.
fn folder(samba: &Samba) -> Option<String> {
    let mut names_of_share = names(&samba.share()).into_iter();
    let folder = names_of_share.find(|name| name.starts_with("smbench-probe-"))?;
    let cases = std::fs::read_dir(samba.share().join(&folder)).ok()?.count();
    (cases > 0).then_some(folder)
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
    assert!(text.contains("smb://user@host[:port]/share[/folder]"), "{text}");
    assert!(text.contains("fidelity mode 0; not in this version"), "{text}");
    let json = place.smbench("targets list --json").end().exits(0).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    let unavailable = |kind: &&Value| !kind["unavailable"].is_null();
    assert_eq!(json["targets"].as_array().unwrap().iter().filter(unavailable).count(), 3);
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
fn samba_is_probed_in_a_folder_of_its_own_that_is_gone_afterwards() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    std::fs::create_dir(samba.share().join("team")).unwrap();
    std::fs::write(samba.share().join("team/kept.txt"), "somebody's").unwrap();
    let place = Place::new();
    let line = format!("targets probe {}/team --op-timeout 5s", samba.url());
    let text = place.smbench(&line).samba().end().exits(0).stdout;
    for expected in [
        "  batch oplock              yes\n",
        "  leases on folders         no\n",
        "differs from the reference",
        "      known: rename(2) replaces an empty folder, and Samba lets it\n",
        "  offsets_above_four_gib_are_kept (MS-FSA 2.1.5.3)\n      a server without sparse files",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    assert_eq!(names(&samba.share()), ["team"]);
    assert_eq!(names(&samba.share().join("team")), ["kept.txt"]);
    assert_eq!(std::fs::read(samba.share().join("team/kept.txt")).unwrap(), b"somebody's");
}

#[test]
fn an_interrupted_probe_cleans_up_and_tells_what_it_did_not_ask() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::new();
    let running = begun(&samba, &place, "--json");
    running.signal(Signal::INT);
    let report = report(&running.end().exits(130));
    assert_eq!(names(&samba.share()), [""; 0]);
    assert_eq!(report["exit_reasons"][0], "interrupted");
    assert_eq!(report["left_behind"], serde_json::json!([]));
    assert!(number(&report["totals"]["not_run"]) > 0, "{report:#}");
}

fn begun(samba: &Samba, place: &Place, line: &str) -> Running {
    let line = format!("targets probe {} {line}", samba.url());
    let mut running = place.smbench(&line).samba().start();
    running.until("cases in a folder of its own", || folder(samba).is_some());
    running
}

#[test]
fn a_server_that_falls_silent_ends_the_probe_in_time_and_what_is_left_is_named() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::new();
    let running = begun(&samba, &place, "--json --op-timeout 1s");
    samba.pause();
    let ended = running.end().exits(4);
    let left = folder(&samba).unwrap();
    assert!(ended.stderr.contains(&format!("left on the server: {left}")), "{}", ended.stderr);
    let report = report(&ended);
    let silent = |case: &&Value| case["detail"] == "the server no longer answers";
    assert!(report["cases"].as_array().unwrap().iter().any(|case| silent(&case)), "{report:#}");
}

#[test]
fn a_second_interrupt_ends_the_probe_at_once_and_names_its_folder() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::new();
    let running = begun(&samba, &place, "");
    samba.pause();
    running.signal(Signal::INT);
    std::thread::sleep(std::time::Duration::from_millis(300));
    running.signal(Signal::INT);
    let ended = running.end().exits(130);
    let left = folder(&samba).unwrap();
    let said = format!("the folder {left} is left on the server");
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);
}

#[test]
fn a_probe_whose_time_is_up_says_what_it_did_not_ask_and_cleans_up() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::new();
    let line = format!("targets probe {} --json --timeout 300ms", samba.url());
    let report = report(&place.smbench(&line).samba().end().exits(4));
    assert_eq!(names(&samba.share()), [""; 0]);
    assert!(number(&report["totals"]["not_run"]) > 0, "{report:#}");
}

#[test]
fn where_no_folder_can_be_made_nothing_is_probed() {
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
    let secret = place.smbench("targets probe smb://ann:hunter2@nas/share").end().refused(2);
    assert!(secret.contains("holds a password"), "{secret}");
}

#[test]
fn a_server_that_fails_what_is_essential_is_told_by_the_exit_code() {
    let place = Place::new();
    let report = report(&place.smbench("targets probe sim:null --json").end().exits(4));
    assert_eq!(report["exit_reasons"][0], "operations-failed");
    assert_eq!(number(&report["totals"]["pass"]), 0);
}
