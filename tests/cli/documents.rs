//! Invalid documents, which `validate`, `run` and `compile` refuse alike.

use crate::program::Place;
use crate::summary::number;

fn v1(operations: &str) -> String {
    format!(
        r#"{{"version":1,"metadata":{{"source":"s","duration_seconds":1,"client_count":1}},"clients":[{{"client_id":"a","operation_count":1}}],"operations":[{operations}]}}"#
    )
}

fn stat_v2(more: &str) -> String {
    format!(r#"{{"client":0,"after_ns":0,"type":"Stat","path":"a"{more}}}"#)
}

fn v2(lines: &[String]) -> String {
    let header = r#"{"version":2,"workloads":[{"name":"w","clients":1}]}"#;
    format!("{header}\n{}\n{{\"operations\":{}}}\n", lines.join("\n"), lines.len())
}

const CLOSE: &str = r#"{"client":0,"after_ns":0,"type":"Close","handle_ref":"h"}"#;

fn delete(op_id: &str, micros: u64) -> String {
    format!(
        r#"{{"op_id":"{op_id}","client_id":"a","timestamp_us":{micros},"type":"Delete","path":"x"}}"#
    )
}

fn write(blob: &str) -> String {
    format!(
        r#"{{"op_id":"o","client_id":"a","timestamp_us":0,"type":"Open","path":"a","mode":"Write","handle_ref":"h"}},{{"op_id":"w","client_id":"a","timestamp_us":0,"type":"Write","handle_ref":"h","offset":0,"length":6,"blob_path":"{blob}"}}"#
    )
}

/// Returns the error of `run` on a document, which must be that of `validate` too.
fn refused(place: &Place, name: &str) -> String {
    let run = place.run(&format!("{name} --target sim")).end().refused(2);
    assert_eq!(place.smbench(&format!("validate {name}")).end().refused(2), run);
    run
}

fn refused_text(name: &str, content: impl AsRef<[u8]>) -> String {
    let place = Place::new();
    place.write(name, content);
    refused(&place, name)
}

#[test]
fn a_document_that_is_wrong_says_where() {
    let [one, two] = [delete("x", 7), delete("x", 8)];
    let back = delete("y", 6);
    let no_path = r#"{"op_id":"x","client_id":"a","timestamp_us":0,"type":"Delete"}"#;
    let unknown = r#"{"op_id":"x","client_id":"a","timestamp_us":0,"type":"Chmod","path":"p"}"#;
    let up = delete("x", 0).replace("\"x\"}", "\"../x\"}");
    for (content, message) in [
        (
            v1("").replace("\"version\":1", "\"version\":3"),
            "has version 3; versions 1 and 2 are known",
        ),
        (v1(no_path), r#"operations[0]: operation "x": Delete has no "path"; add it"#),
        (
            v1(&format!("{one},{two}")),
            r#"operations[1]: operation "x": op_id was already used at operations[0]; every operation needs an id of its own"#,
        ),
        (
            v1(&format!("{one},{back}")),
            r#"operations[1]: operation "y": time goes backwards: the client's previous operation is at 7000 ns and this one is at 6000 ns; sort the client's operations by time"#,
        ),
        (v1(unknown), r#"operation types that are not known: "Chmod" (1 operation, first "x")"#),
        (
            v1(&up),
            r#"operations[0]: operation "x": path: path "../x" contains ".."; paths stay inside the share"#,
        ),
        (String::new(), r#"is empty; a document starts with {"version": 1 or 2"#),
    ] {
        assert_eq!(refused_text("x.json", content), format!("x.json: {message}"));
    }
    let up = stat_v2("").replace("\"a\"", "\"../a\"");
    for (lines, message) in [
        (
            vec![stat_v2(r#","offset":1"#)],
            r#"2: Stat takes no field "offset"; it takes op_id, client, section, iteration, at_ns, after_ns, late, path, expect, step"#,
        ),
        (
            vec![stat_v2(r#","op_id":"i""#), stat_v2(r#","op_id":"i""#)],
            r#"3: operation "i": op_id was already used at line 2; every operation needs an id of its own"#,
        ),
        (
            vec![CLOSE.into()],
            r#"2: handle_ref "h" is not open here: its Open is missing or comes later, or the handle was already closed"#,
        ),
        (vec![up], r#"2: path: path "../a" contains ".."; paths stay inside the share"#),
    ] {
        assert_eq!(refused_text("x.jsonl", v2(&lines)), format!("x.jsonl:{message}"));
    }
}

#[test]
fn a_document_that_is_cut_short_or_no_utf_8_is_refused_everywhere() {
    let whole = v2(&[stat_v2(""), stat_v2("")]);
    let cut = &whole[..whole.len() - 30];
    let mut invalid = v2(&[stat_v2("")]).into_bytes();
    let at = invalid.len() - 25;
    invalid[at] = 0xFF;
    for content in [cut.as_bytes(), &invalid[..], b"\xff\xfe\xff", b"{", b"null", b"[[[[", b"\0"] {
        for name in ["x.jsonl", "x.json"] {
            let place = Place::new();
            place.write(name, content);
            let message = refused(&place, name);
            assert!(message.starts_with(name), "{message}");
            let compiled = place.smbench(&format!("compile {name} -o y.jsonl")).end();
            assert_eq!(compiled.refused(2), message);
            assert_eq!(place.names(), [name], "a piece of a document is left");
        }
    }
    assert_eq!(
        refused_text("x.jsonl", &invalid),
        format!("x.jsonl:2: is not UTF-8 (byte {} of the line)", stat_v2("").len() - 6)
    );
}

#[test]
fn ten_megabytes_of_nesting_are_refused() {
    let deep = "[".repeat(10 << 20);
    let shut = format!("{deep}{}", "]".repeat(10 << 20));
    let object = r#"{"a":"#.repeat(2 << 20);
    let extensions = |nested: &str| {
        v1(&delete("x", 0)
            .replace("\"path\"", &format!("\"extensions\":{{\"smb\":{nested}}},\"path\"")))
    };
    for content in [deep.clone(), shut, object, extensions(&deep), v2(std::slice::from_ref(&deep))]
    {
        for name in ["x.json", "x.jsonl"] {
            let message = refused_text(name, &content);
            assert!(message.starts_with(name) && message.len() < 300, "{message}");
        }
    }
}

#[test]
fn a_blob_that_may_not_be_used_is_named() {
    let place = Place::new();
    let here = place.path().canonicalize().unwrap().display().to_string();
    place.write("six", "123456");
    place.write("five", "12345");
    std::os::unix::fs::symlink("/etc/passwd", place.path().join("link")).unwrap();
    let say = |blob: &str| {
        place.write("x.json", v1(&write(&blob.replace("HERE", &here))));
        let message =
            refused(&place, "x.json").replace(&format!("{here}/"), "").replace(&here, "HERE");
        let start = r#"x.json: operations[1]: operation "w": blob_path "#;
        message.strip_prefix(start).unwrap_or_else(|| panic!("{message}")).to_string()
    };
    assert_eq!(say("six"), r#""six" is relative; a version 1 document needs absolute paths"#);
    assert_eq!(say("HERE/../six"), r#""../six" contains ".."; write the path without it"#);
    assert_eq!(
        say("HERE/none"),
        r#""none" cannot be read: No such file or directory (os error 2)"#
    );
    assert_eq!(say("HERE/five"), r#""five" has 5 bytes, but the write wants 6"#);
    for outside in ["/etc/passwd", "HERE/link"] {
        let message = say(outside);
        assert!(
            message.ends_with("is outside of the current directory, or a symbolic link leads there; allow its directory with --allow-blobs, and name it by its path in that directory"),
            "{message}"
        );
    }
    place.write("x.json", v1(&write(&format!("{here}/six"))));
    let summary = place.run("x.json --target sim").end().exits(0).summary();
    assert_eq!(number(&summary["totals"]["bytes_written"]), 6);
}

#[test]
fn phases_beyond_all_time_are_refused() {
    let whole = v2(&[stat_v2("")]);
    let with = |phases: &str| {
        whole.replace("\"workloads\"", &format!("\"phases\":[{phases}],\"workloads\""))
    };
    let phase = |number: usize, duration_ns: u64| {
        format!(r#"{{"name":"p{number}","duration_ns":{duration_ns},"record":true}}"#)
    };
    assert_eq!(
        refused_text("x.jsonl", with(&format!("{},{}", phase(1, u64::MAX), phase(2, u64::MAX)))),
        "x.jsonl: has phases that together last longer than 4,611,686,018,427,387,903 ns (146 years)"
    );
    let many: Vec<String> = (0..1_001).map(|number| phase(number, 1)).collect();
    assert_eq!(
        refused_text("x.jsonl", with(&many.join(","))),
        "x.jsonl: has 1001 phases; at most 1,000 are possible"
    );
    let place = Place::new();
    place.write("x.jsonl", with(&phase(1, (1 << 62) - 1)));
    let summary = place.run("x.jsonl --target sim").end().exits(4).summary();
    assert_eq!(summary["run"]["script"], "x.jsonl", "a document without a source has its name");
}

#[test]
fn a_document_without_operations_is_a_run_without_figures() {
    let place = Place::new();
    place.write("x.jsonl", v2(&[]));
    let ended = place.run("x.jsonl --target sim").end().exits(5);
    assert!(ended.stdout.contains("no operation was recorded"), "{}", ended.stdout);
    assert_eq!(ended.summary()["trust"]["verdict"], "nothing-recorded");
}

#[test]
fn flags_that_are_for_scripts_are_refused_with_a_document() {
    let place = Place::new();
    place.write("x.jsonl", v2(&[stat_v2("")]));
    for (flag, message) in [
        (
            "-p users=3",
            "-p is for scripts, and x.jsonl is a document: compile its script anew with -p",
        ),
        (
            "--clients w=3",
            "--clients is one number for x.jsonl, which is a document: all of its clients are cloned together",
        ),
    ] {
        let ended = place.smbench(&format!("run x.jsonl --target sim {flag}")).end().exits(2);
        assert_eq!(ended.stderr.lines().next(), Some(&*format!("error: {message}")));
    }
    let ended = place.smbench("validate x.jsonl --clients 3").end().exits(2);
    let message =
        "--clients makes no difference to the check of x.jsonl: give it to run or compile";
    assert_eq!(ended.stderr.lines().next(), Some(&*format!("error: {message}")));
    assert_eq!(place.names(), ["x.jsonl"]);
}
