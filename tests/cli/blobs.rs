//! Blobs, the files whose bytes a workload writes, that someone changes meanwhile.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::program::{Place, names};
use crate::summary::number;

/// Replaces `blob` again and again, first by a file of its own and then by a link to `secret`, once
/// the run has made its directory. Each replacement is atomic.
fn swap(blob: &Path, secret: &Path, run: &Path, over: &AtomicBool) {
    while !run.exists() && !over.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
    let aside = blob.with_extension("aside");
    while !over.load(Ordering::Relaxed) {
        fs::write(&aside, "x".repeat(1 << 16)).unwrap();
        fs::rename(&aside, blob).unwrap();
        symlink(secret, &aside).unwrap();
        fs::rename(&aside, blob).unwrap();
    }
}

#[test]
fn a_file_that_is_swapped_for_a_link_again_and_again_is_written_from_inside_or_not_at_all() {
    let elsewhere = Place::new();
    let secret = elsewhere.write("secret", "s".repeat(1 << 16));
    // Each write is longer than the one before, so that the file is read again.
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c)
            -- More than is made before the run begins.
            for i = 1, 1200 do c:stat('') end
            for i = 1, 400 do
                local h = c:open('f' .. i, 'w')
                pcall(function() c:write(h, 0, 4096 + i, { blob = 'blob' }) end)
                c:close(h)
            end
        end }",
    );
    fs::create_dir(place.path().join("share")).unwrap();
    let blob = place.write("blob", "x".repeat(1 << 16));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| swap(&blob, &secret, &place.path().join("out"), &over));
        let ended = place.run("s.lua --iterations 1 --embedded-dir share").end();
        over.store(true, Ordering::Relaxed);
        // A payload that is read only when its write is issued may find the link.
        let operations = &ended.summary()["operations"];
        assert_eq!(number(&operations["close"]["count"]), 400);
        // On a busy host the script may find the link each time, and write nothing.
        let statuses = operations["write"]["statuses"].as_object();
        let mut statuses = statuses.into_iter().flat_map(|statuses| statuses.keys());
        let known = ["STATUS_SUCCESS", "PAYLOAD_UNREADABLE"];
        assert!(statuses.all(|status| known.contains(&status.as_str())), "{operations:?}");
    });
    let share = place.path().join("share");
    let written: Vec<Vec<u8>> =
        names(&share).iter().map(|name| fs::read(share.join(name)).unwrap()).collect();
    assert_eq!(written.len(), 400);
    assert!(written.iter().flatten().all(|byte| *byte == b'x'), "the secret went to the server");
}

#[test]
fn a_blob_that_is_cut_short_while_the_run_waits_fails_its_write_by_its_name() {
    let place = Place::new();
    let blob = place.write("blob", "0123456789");
    let stat = r#"{"client":0,"after_ns":10000000,"type":"Stat","path":"a"}"#;
    let open =
        r#"{"client":0,"after_ns":0,"type":"Open","path":"a","mode":"Write","handle_ref":"h"}"#;
    let write = r#"{"client":0,"after_ns":0,"type":"Write","handle_ref":"h","offset":0,"length":10,"blob_path":"blob"}"#;
    let close = r#"{"client":0,"after_ns":0,"type":"Close","handle_ref":"h"}"#;
    // More operations than are fetched ahead.
    let lines = [&[open, write], &[stat; 300][..], &[write, close]].concat();
    let header = r#"{"version":2,"workloads":[{"name":"w","clients":1}]}"#;
    let document = format!("{header}\n{}\n{{\"operations\":{}}}\n", lines.join("\n"), lines.len());
    // A payload that is already loaded would be written as it was, so the first write has a file of
    // its own.
    place.write("x.jsonl", document.replacen("\"blob\"", "\"other\"", 1));
    place.write("other", "0123456789");
    fs::create_dir(place.path().join("share")).unwrap();
    let mut running = place.run("x.jsonl --embedded-dir share --oplog").start();
    let first = place.path().join("share/a");
    running.until("first operations", || first.exists());
    fs::write(&blob, "01234").unwrap();
    let summary = running.end().exits(4).summary();
    assert_eq!(summary["exit_reasons"], json!(["operations-failed"]));
    let write = &summary["operations"]["write"];
    assert_eq!(write["statuses"], json!({ "STATUS_SUCCESS": 1, "PAYLOAD_UNREADABLE": 1 }));
    let log = place.oplog("out");
    let failed = log.iter().find(|line| line["status"] == "PAYLOAD_UNREADABLE").unwrap();
    let here = place.path().canonicalize().unwrap().display().to_string();
    let why = format!("blob {here}/blob has 5 bytes, but the write wants 10");
    assert_eq!(failed["message"], json!(why));
    assert_eq!(fs::read(first).unwrap(), b"0123456789");
}
