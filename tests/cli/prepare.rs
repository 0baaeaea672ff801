//! `run --prepare` and `run --clean`: the share before and after a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::json;
use smbench_test_support::{Samba, Settings};

use crate::program::Place;
use crate::summary::number;

/// A capture of a server that had files already.
const DAY: &str = r#"{"version":1,"metadata":{"source":"day","duration_seconds":1,"client_count":2},
"clients":[{"client_id":"ada","operation_count":8},{"client_id":"bob","operation_count":5}],
"operations":[
{"op_id":"1","client_id":"ada","timestamp_us":0,"type":"Open","path":"team/plans/q3.doc","mode":"Read","handle_ref":"a"},
{"op_id":"2","client_id":"ada","timestamp_us":1,"type":"Read","handle_ref":"a","offset":3000000,"length":65536},
{"op_id":"3","client_id":"ada","timestamp_us":2,"type":"Close","handle_ref":"a"},
{"op_id":"4","client_id":"ada","timestamp_us":3,"type":"Open","path":"team/log","mode":"ReadWrite","handle_ref":"b"},
{"op_id":"5","client_id":"ada","timestamp_us":4,"type":"Read","handle_ref":"b","offset":0,"length":1000},
{"op_id":"6","client_id":"ada","timestamp_us":5,"type":"Close","handle_ref":"b"},
{"op_id":"7","client_id":"ada","timestamp_us":6,"type":"Rename","source_path":"old","dest_path":"team/new"},
{"op_id":"8","client_id":"ada","timestamp_us":7,"type":"Delete","path":"gone"},
{"op_id":"9","client_id":"bob","timestamp_us":0,"type":"Open","path":"team/made","mode":"Write","handle_ref":"c","extensions":{"smb":{"disposition":"CREATE"}}},
{"op_id":"10","client_id":"bob","timestamp_us":1,"type":"Close","handle_ref":"c"},
{"op_id":"11","client_id":"bob","timestamp_us":2,"type":"Open","path":"kept","mode":"ReadWrite","handle_ref":"d"},
{"op_id":"12","client_id":"bob","timestamp_us":3,"type":"Read","handle_ref":"d","offset":0,"length":4},
{"op_id":"13","client_id":"bob","timestamp_us":4,"type":"Close","handle_ref":"d"}]}"#;

/// Returns everything below a directory: the size and the content of files, None for directories.
fn tree(directory: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(directory).unwrap().display().to_string();
            if path.is_dir() {
                found.insert(name, None);
                open.push(path);
            } else {
                found.insert(name, Some(fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// Returns the names below a directory with the sizes of files; a directory ends in a slash.
fn sizes(directory: &Path) -> Vec<String> {
    let shown = |(name, content): (String, Option<Vec<u8>>)| match content {
        Some(content) => format!("{name} {}", content.len()),
        None => format!("{name}/"),
    };
    tree(directory).into_iter().map(shown).collect()
}

/// Makes a place with the capture and a share in which the user has files.
fn with_share() -> Place {
    let place = Place::new();
    place.write("day.json", DAY);
    fill(&place.path().join("share"));
    place
}

fn fill(share: &Path) {
    fs::create_dir_all(share.join("team")).unwrap();
    fs::write(share.join("team/mine"), "mine").unwrap();
    fs::write(share.join("kept"), "kept").unwrap();
}

const ON_SHARE: &str = "day.json --embedded-dir share";

#[test]
fn a_capture_runs_on_a_share_that_has_none_of_its_files() {
    let place = with_share();
    let share = place.path().join("share");
    let bare = place.run_to("bare", &format!("{ON_SHARE} --shards 1")).start().end();
    assert_eq!(bare.code, 4, "without its files it fails");
    fs::remove_dir_all(&share).unwrap();
    fill(&share);

    let ended = place.run(&format!("{ON_SHARE} --prepare")).start().end().exits(0);
    let summary = ended.summary();
    let bytes = 3_065_536 + 1_000;
    assert_eq!(summary["prepared"], json!({ "directories": 1, "files": 4, "bytes": bytes }));
    assert_eq!(number(&summary["totals"]["failed"]), 0);
    assert_eq!(number(&summary["totals"]["short_reads"]), 0);
    assert_eq!(number(&summary["totals"]["operations"]), 13, "what is prepared is in no total");
    assert!(ended.stdout.contains("prepared    1 directory and 4 files, 2.9 MiB"), "{ended:#?}");
    assert_eq!(
        sizes(&share),
        [
            "kept 4",
            "team/",
            "team/log 1000",
            "team/made 0",
            "team/mine 4",
            "team/new 0",
            "team/plans/",
            "team/plans/q3.doc 3065536"
        ]
    );
    let content = fs::read(share.join("team/plans/q3.doc")).unwrap();
    let zeros = content.iter().filter(|byte| **byte == 0).count();
    assert!(zeros < content.len() / 100, "random bytes and no holes");
}

#[test]
fn cleaning_restores_the_share_and_a_second_run_is_like_the_first() {
    let place = with_share();
    let share = place.path().join("share");
    let before = tree(&share);
    for out in ["first", "second"] {
        let line = format!("{ON_SHARE} --prepare --clean --oplog");
        let ended = place.run_to(out, &line).start().end().exits(0);
        let summary = ended.summary();
        assert_eq!(tree(&share), before);
        assert_eq!(number(&summary["prepared"]["files"]), 4);
        // plans, q3.doc, log, made, and new, which was called old; the run itself removed `gone`.
        let cleaned = json!({ "removed": 5, "left": 0, "untracked": 0 });
        assert_eq!(summary["cleaned"], cleaned);
        assert_eq!(place.oplog(out).len(), 13, "cleaning is in no log");
        assert!(ended.stdout.contains("cleaned     5 paths removed\n"), "{ended:#?}");
    }
}

#[test]
fn files_that_exist_are_not_changed_and_short_ones_are_reported() {
    let place = with_share();
    let share = place.path().join("share");
    fs::create_dir(share.join("team/plans")).unwrap();
    fs::write(share.join("team/plans/q3.doc"), "short").unwrap();
    fs::write(share.join("team/log"), vec![b'x'; 1_000]).unwrap();
    let before = tree(&share);
    let ended = place.run(&format!("{ON_SHARE} --prepare --clean")).start().end().exits(0);
    assert_eq!(tree(&share), before);
    let summary = ended.summary();
    assert_eq!(summary["prepared"], json!({ "directories": 0, "files": 2, "bytes": 0 }));
    assert!(
        ended.stderr.contains("1 file existed before and is shorter than what the stream reads, so reads will be short (--prepare changes no file that exists); the first is team/plans/q3.doc"),
        "{ended:#?}"
    );
}

#[test]
fn cleaning_alone_removes_what_the_operations_made_and_nothing_else() {
    let place = Place::with_script(
        r#"bench.setup(function(c) c:mkdir("made") c:mkdir("team") end)
        bench.workload { name = "w", clients = 3, iteration = function(c)
            local own = "made/u" .. c.id
            c:mkdir(own)
            for i = 1, 5 do
                local h = c:open(own .. "/f" .. i, "rw")
                c:write(h, 0, 100)
                c:close(h)
            end
            c:rename(own .. "/f1", own .. "/f2")
            c:rename(own .. "/f3", "team/moved" .. c.id, { replace = false })
            c:delete(own .. "/f4")
            local h = c:open("kept", "rw")
            c:write(h, 100, 1)
            c:close(h)
            c:open(own .. "/open at the end", "rw")
        end }"#,
    );
    let share = place.path().join("share");
    fill(&share);
    let ended = place.run("s.lua --embedded-dir share --iterations 1 --clean").start().end();
    let summary = ended.exits(0).summary();
    assert_eq!(sizes(&share), ["kept 101", "team/", "team/mine 4"]);
    // made, and of each client: its directory, f2, f5, moved, and the file it left open.
    let cleaned = json!({ "removed": 16, "left": 0, "untracked": 0 });
    assert_eq!(summary["cleaned"], cleaned);
    assert!(summary.get("prepared").is_none());
}

#[test]
fn what_may_have_existed_and_what_others_made_is_left_and_reported() {
    let place = Place::with_script(
        r#"bench.workload { name = "w", iteration = function(c)
            c:mkdir("made")
            local h = c:open("t", "w")
            c:close(h)
            c:rename("t", "kept")
            c:think("2s")
        end }"#,
    );
    let share = place.path().join("share");
    fill(&share);
    let mut running = place.run("s.lua --embedded-dir share --iterations 1 --clean").start();
    running.until("a directory", || share.join("made").exists());
    fs::write(share.join("made/yours"), "yours").unwrap();
    let ended = running.end().exits(0);
    let summary = ended.summary();
    assert_eq!(summary["cleaned"]["left"], 2);
    assert_eq!(summary["cleaned"]["removed"], 0);
    assert_eq!(summary["problems"], json!([]));
    let warning = "warning: --clean left behind 2 paths that the run made or may have made, the first kept: it may have existed before the run\n";
    assert!(ended.stdout.contains(warning), "{ended:#?}");
    assert_eq!(sizes(&share), ["kept 0", "made/", "made/yours 5", "team/", "team/mine 4"]);
}

const LONG: &str = r#"
bench.setup(function(c) c:mkdir("made") end)
bench.workload { name = "w", clients = 2, iteration = function(c)
    local h = c:open("made/" .. c.id .. "-" .. c.iteration, "rw")
    c:write(h, 0, 10)
    c:think("2ms")
end }"#;

#[test]
fn an_interrupted_run_is_cleaned() {
    let place = Place::with_script(LONG);
    let share = place.path().join("share");
    fill(&share);
    let before = tree(&share);
    let mut running = place.run("s.lua --embedded-dir share --duration 10m --clean").start();
    running.until("files", || share.join("made/1-20").exists());
    running.signal(Signal::INT);
    let summary = running.end().exits(130).summary();
    assert_eq!(tree(&share), before);
    assert!(number(&summary["cleaned"]["removed"]) > 40);
    assert_eq!(summary["cleaned"]["left"], 0);
}

#[test]
fn a_run_that_is_stopped_at_once_says_what_it_leaves() {
    let place = Place::with_script(&format!(
        "{LONG}\nbench.teardown(function(c) c:mkdir('down') c:think('1h') c:mkdir('never') end)"
    ));
    let share = place.path().join("share");
    fill(&share);
    let line = "s.lua --embedded-dir share --duration 10m --drain 10m --clean";
    let mut running = place.run(line).start();
    running.until("files", || share.join("made/1-5").exists());
    running.signal(Signal::INT);
    running.until("teardown", || share.join("down").exists());
    running.signal_again(Signal::INT);
    let ended = running.end().exits(130);
    let summary = ended.summary();
    assert!(ended.stdout.contains(": the run was stopped at once\n"), "{ended:#?}");
    let left = number(&summary["cleaned"]["left"]);
    let made = tree(&share).len() as u64 - 3;
    assert!(left == made || left + 1 == made, "{left} of {made}");
}

#[test]
fn a_signal_ends_the_cleaning_and_the_rest_is_reported() {
    let place = Place::with_script(
        r#"bench.setup(function(c) c:mkdir("made") end)
        bench.workload { name = "w", clients = 8, iteration = function(c)
            c:close(c:open(("made/%d-%03d"):format(c.id, c.iteration), "rw"))
        end }"#,
    );
    let share = place.path().join("share");
    fs::create_dir(&share).unwrap();
    let line = "s.lua --embedded-dir share --iterations 500 --clean";
    let mut running = place.run(line).start();
    running.until("the last file", || share.join("made/7-499").exists());
    running.until("cleaning", || !share.join("made/0-000").exists());
    running.signal(Signal::INT);
    let ended = running.end().exits(130);
    let summary = ended.summary();
    assert!(ended.stdout.contains(": cleaning was interrupted\n"), "{ended:#?}");
    let (left, removed) = (&summary["cleaned"]["left"], &summary["cleaned"]["removed"]);
    assert_eq!(number(left) + number(removed), 4_001);
    assert_eq!(number(left), sizes(&share).len() as u64);
    assert_eq!(summary["run"]["interrupted"], false, "what was measured is whole");
    assert_eq!(summary["exit_reasons"], json!(["interrupted"]));
}

#[test]
fn a_stream_without_an_end_cannot_be_prepared() {
    let place = Place::with_script(LONG);
    fs::create_dir(place.path().join("share")).unwrap();
    for bound in ["", "--operations 10", "--duration 1s"] {
        let line = format!("s.lua --embedded-dir share --prepare {bound}");
        let error = place.run(&line).start().end().refused(2);
        assert!(error.contains("bound it with --iterations N"), "{error}");
        assert_eq!(sizes(&place.path().join("share")), [""; 0]);
    }
}

#[test]
fn a_stream_that_contradicts_itself_is_refused_before_anything_is_made() {
    let place = Place::with_script(
        r#"bench.workload { name = "w", iteration = function(c)
            c:stat("a/b")
            c:close(c:open("f", "r"))
            c:list("f")
        end }"#,
    );
    fs::create_dir(place.path().join("share")).unwrap();
    let line = "s.lua --embedded-dir share --prepare --iterations 1";
    let error = place.run(line).start().end().refused(2);
    let contradiction = "f: Open 0-1 uses it as a file, and List 0-3 as a directory";
    assert!(error.starts_with(contradiction), "{error}");
    assert_eq!(sizes(&place.path().join("share")), [""; 0]);
}

#[test]
fn a_preparation_that_fails_names_the_path_and_is_cleaned() {
    let place = with_share();
    let share = place.path().join("share");
    // The file takes the name of a directory that the stream uses.
    fs::write(share.join("team/plans"), "a file").unwrap();
    let before = tree(&share);
    let error = place.run(&format!("{ON_SHARE} --prepare --clean")).start().end().refused(4);
    assert!(error.starts_with("--prepare cannot make team/plans/q3.doc: STATUS_"), "{error}");
    assert_eq!(tree(&share), before);
}

#[test]
fn an_interrupt_ends_the_preparation_and_leaves_no_half_written_file() {
    let place = Place::new();
    fs::create_dir(place.path().join("share")).unwrap();
    let share = place.path().join("share");
    let big = DAY.replace("3000000", "2000000000000");
    place.write("day.json", big);
    for flags in ["", "--clean"] {
        let line = format!("{ON_SHARE} --prepare {flags}");
        let mut running = place.run(&line).start();
        running.until("a file", || {
            fs::metadata(share.join("team/plans/q3.doc")).is_ok_and(|file| file.len() > 5_000_000)
        });
        running.signal(Signal::INT);
        let error = running.end().refused(130);
        assert_eq!(error, "interrupted while preparing the share");
        assert!(!share.join("team/plans/q3.doc").exists());
        if flags == "--clean" {
            assert_eq!(sizes(&share), [""; 0]);
        } else {
            assert!(share.join("team/plans").is_dir());
            fs::remove_dir_all(share.join("team")).unwrap();
            let _ = fs::remove_file(share.join("old"));
            let _ = fs::remove_file(share.join("gone"));
            let _ = fs::remove_file(share.join("kept"));
        }
    }
}

#[test]
fn a_target_that_cannot_be_reached_is_named_by_the_preparation() {
    let place = with_share();
    let line = "day.json --target smb://127.0.0.1:1/share --prepare --clean";
    let error = place.run(line).start().end().refused(3);
    assert!(error.starts_with("--prepare: connecting failed at 127.0.0.1:1"), "{error}");
}

#[test]
fn a_share_of_samba_is_prepared_and_restored() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::new();
    place.write("day.json", DAY);
    let share = samba.share();
    fill(&share);
    let before = tree(&share);
    for out in ["first", "second"] {
        let line = format!("day.json --target {} --prepare --clean", samba.url());
        let summary = place.run_to(out, &line).samba().start().end().exits(0).summary();
        assert_eq!(number(&summary["prepared"]["files"]), 4);
        assert_eq!(number(&summary["totals"]["short_reads"]), 0);
        assert_eq!(summary["cleaned"], json!({ "removed": 5, "left": 0, "untracked": 0 }));
        assert_eq!(tree(&share), before);
    }
}

#[test]
fn a_server_that_dies_during_the_preparation_is_reported_with_the_file_that_is_unfinished() {
    let Some(mut samba) = Samba::start(Settings::default()) else { return };
    let place = Place::new();
    place.write("day.json", DAY.replace("3000000", "2000000000000"));
    let line = format!("day.json --target {} --prepare --clean", samba.url());
    let mut running = place.run(&line).samba().start();
    let file = samba.share().join("team/plans/q3.doc");
    running.until("a file", || fs::metadata(&file).is_ok_and(|file| file.len() > 50_000_000));
    samba.kill();
    let ended = running.end().exits(3);
    let failed = "error: --prepare cannot write team/plans/q3.doc: CONNECTION_LOST: ";
    assert!(ended.stderr.contains(failed), "{ended:#?}");
    let unfinished = "; team/plans/q3.doc may be left with a part of its content";
    assert!(ended.stderr.contains(unfinished), "{ended:#?}");
    assert!(ended.stderr.contains("--clean left behind "), "{ended:#?}");
}

#[test]
fn a_server_that_died_is_reported_with_what_is_left_on_it() {
    let Some(mut samba) = Samba::start(Settings::default()) else { return };
    let place = Place::with_script(LONG);
    let line = format!(
        "s.lua --target {} --duration 10m --reconnect-timeout 1s --drain 1s --clean",
        samba.url()
    );
    let mut running = place.run(&line).samba().start();
    let file = samba.share().join("made/1-5");
    running.until("files", || file.exists());
    samba.kill();
    let ended = running.end().exits(3);
    let summary = ended.summary();
    assert!(number(&summary["cleaned"]["left"]) > 5, "{summary}");
    assert!(ended.stdout.contains("warning: --clean left behind "), "{}", ended.stdout);
}
