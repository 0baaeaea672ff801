//! Tests of every way in which a document can be wrong, with the whole message.

use std::fs;

use smbench::ir::OperationSource;
use smbench::ir::document::{LoadOptions, load};

use crate::{Directory, load_default};

/// Returns the error of loading a document, without the directory of the test.
fn message(directory: &Directory, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.write(name, content);
    let error = load_default(&path).err().expect("the document was taken").to_string();
    error.replace(&format!("{}/", directory.path().display()), "")
}

/// Returns a version 1 document of the clients `a` and `b`.
fn v1(operations: &str) -> String {
    v1_with(
        r#"[{"client_id":"a","operation_count":0},{"client_id":"b","operation_count":0}]"#,
        operations,
    )
}

fn v1_with(clients: &str, operations: &str) -> String {
    format!(
        r#"{{"version":1,"metadata":{{"source":"s","duration_seconds":1,"client_count":2}},"clients":{clients},"operations":[{operations}]}}"#
    )
}

/// Returns a version 2 document of two clients.
fn v2(lines: &[&str]) -> String {
    let header = r#"{"version":2,"workloads":[{"name":"w","clients":2}]}"#;
    format!("{header}\n{}\n{{\"operations\":{}}}\n", lines.join("\n"), lines.len())
}

fn bad_v1(operations: &str) -> String {
    message(&Directory::new(), "x.json", v1(operations))
}

fn bad_v2(lines: &[&str]) -> String {
    message(&Directory::new(), "x.jsonl", v2(lines))
}

const OPEN: &str =
    r#"{"client":0,"after_ns":0,"type":"Open","path":"a","mode":"ReadWrite","handle_ref":"h"}"#;
const CLOSE: &str = r#"{"client":0,"after_ns":0,"type":"Close","handle_ref":"h"}"#;
const STAT_AT_9: &str = r#"{"client":0,"at_ns":9,"type":"Stat","path":"a"}"#;

fn delete(op_id: &str, client: &str, micros: u64) -> String {
    format!(
        r#"{{"op_id":"{op_id}","client_id":"{client}","timestamp_us":{micros},"type":"Delete","path":"x"}}"#
    )
}

#[test]
fn text_that_is_no_document_is_refused() {
    let directory = Directory::new();
    let say = |name: &str, content: &str| message(&directory, name, content);
    assert_eq!(say("x.json", ""), r#"x.json: is empty; a document starts with {"version": 1 or 2"#);
    assert_eq!(
        say("x.jsonl", "\n \n"),
        r#"x.jsonl: is empty; a document starts with {"version": 1 or 2"#
    );
    assert_eq!(
        say("x.json", "  \n"),
        "x.json: is not JSON of the right form: EOF while parsing a value at line 2 column 0"
    );
    assert_eq!(
        say("x.json", "bench.workload {}"),
        "x.json: is not JSON of the right form: expected value at line 1 column 1"
    );
    assert_eq!(
        say("x.json", "[1]"),
        "x.json: is not JSON of the right form: invalid type: sequence, expected a version 1 document (an object with version, metadata, clients, operations) at line 1 column 1"
    );
    let missing = load_default(&directory.path().join("none.json")).err().unwrap().to_string();
    assert!(missing.ends_with("none.json: cannot be read: No such file or directory (os error 2)"));
    let directory = load_default(&directory.path()).err().unwrap().to_string();
    assert!(directory.ends_with("is not a regular file; write the document to a file first"));
}

#[test]
fn a_version_nobody_knows() {
    let directory = Directory::new();
    let say = |name: &str, content: &str| message(&directory, name, content);
    let known = "versions 1 and 2 are known";
    assert_eq!(
        say("x.json", r#"{"version":3,"operations":[{"type":"New"}]}"#),
        format!("x.json: has version 3; {known}")
    );
    assert_eq!(say("x.json", r#"{"version":"1"}"#), format!("x.json: has version \"1\"; {known}"));
    assert_eq!(
        say("x.jsonl", "{\"version\":12,\"new\":1}\n"),
        format!("x.jsonl:1: has version 12; {known}")
    );
}

#[test]
fn missing_parts_of_version_1() {
    let directory = Directory::new();
    let without = |key: &str| {
        let mut document: serde_json::Value = serde_json::from_str(&v1("")).unwrap();
        document.as_object_mut().unwrap().remove(key);
        message(&directory, "x.json", document.to_string())
    };
    let form = "a version 1 document has version, metadata, clients and operations";
    for key in ["version", "metadata", "clients", "operations"] {
        assert_eq!(without(key), format!("x.json: has no {key:?}; {form}"));
    }
    let say = |from: &str, to: &str| message(&directory, "x.json", v1("").replace(from, to));
    assert_eq!(
        say("\"duration_seconds\":1,", ""),
        "x.json: metadata needs \"duration_seconds\", a number from 0"
    );
    assert_eq!(
        say("\"metadata\"", "\"extra\":1,\"metadata\""),
        "x.json: is not JSON of the right form: unknown field `extra`, expected one of `version`, `metadata`, `clients`, `operations` at line 1 column 21"
    );
    assert_eq!(
        say("\"metadata\"", "\"version\":1,\"metadata\""),
        "x.json: is not JSON of the right form: \"version\" is there twice at line 1 column 23"
    );
}

#[test]
fn missing_and_misspelt_fields_of_operations() {
    let read = r#""client_id":"a","timestamp_us":1,"type":"Read","handle_ref":"h","offset":0"#;
    assert_eq!(
        bad_v1(&format!(r#"{{"op_id":"r",{read}}}"#)),
        r#"x.json: operations[0]: operation "r": Read has no "length"; add it"#
    );
    assert_eq!(
        bad_v1(&format!(r#"{{{read},"length":1}}"#)),
        r#"x.json: operations[0]: Read has no "op_id"; add it"#
    );
    assert_eq!(
        bad_v1(&format!(r#"{{"op_id":"r",{read},"length":1,"path":"x"}}"#)),
        r#"x.json: operations[0]: operation "r": Read takes no field "path"; it takes op_id, client_id, timestamp_us, handle_ref, offset, length"#
    );
    assert_eq!(
        bad_v1(&format!(r#"{{"op_id":"r",{read},"length":1,"expect":["any"]}}"#)),
        r#"x.json: operations[0]: operation "r": Read takes no field "expect"; it takes op_id, client_id, timestamp_us, handle_ref, offset, length"#
    );
    assert_eq!(
        bad_v1(&format!(r#"{{"op_id":"r",{read},"length":-1}}"#)),
        "x.json: operations[0]: is not JSON of the right form: invalid value: integer `-1`, expected u64 at line 1 column 279"
    );
    assert_eq!(
        bad_v1(r#"{"op_id":"r"}"#),
        "x.json: operations[0]: is not JSON of the right form: missing field `type` at line 1 column 192"
    );
    assert_eq!(
        bad_v2(&[r#"{"client":0,"after_ns":0,"type":"Stat","path":"a","exepct":["any"]}"#]),
        r#"x.jsonl:2: Stat takes no field "exepct"; it takes op_id, client, section, iteration, at_ns, after_ns, late, path, expect, step"#
    );
    assert_eq!(
        bad_v2(&[r#"{"client":0,"type":"Stat","path":"a"}"#]),
        r#"x.jsonl:2: Stat needs "at_ns" or "after_ns" (or both, where it is an arrival of an open loop)"#
    );
    let times =
        |times: &str| bad_v2(&[&format!(r#"{{"client":0,{times},"type":"Stat","path":"a"}}"#)]);
    let alone =
        r#"x.jsonl:2: has "late", which applies to arrivals only: add "at_ns" and "after_ns""#;
    assert_eq!(times(r#""at_ns":0,"late":"drop""#), alone);
    let arrival = |section: &str| {
        format!(r#"{{"client":0,{section}"at_ns":5,"after_ns":0,"type":"Stat","path":"a"}}"#)
    };
    let inside = r#"has both "at_ns" and "after_ns", which makes it an arrival, but only the first operation of an iteration can be one: remove one of the two, or give the operation an iteration of its own"#;
    assert_eq!(bad_v2(&[&arrival(""), &arrival("")]), format!("x.jsonl:3: {inside}"));
    assert_eq!(bad_v2(&[&arrival(r#""section":"setup","#)]), format!("x.jsonl:2: {inside}"));
    let write = OPEN.replace("}", "},{").replace(",{", "");
    assert_eq!(
        bad_v2(&[
            &write,
            r#"{"client":0,"after_ns":0,"type":"Write","handle_ref":"h","offset":0,"length":1}"#
        ]),
        r#"x.jsonl:3: Write needs either "payload" or "blob_path", and not both"#
    );
    assert_eq!(
        bad_v2(&[r#"{"client":0,"after_ns":0,"type":"Stat","path":7}"#]),
        "x.jsonl:2: is not JSON of the right form: invalid type: integer `7`, expected a string (column 47)"
    );
}

#[test]
fn unknown_types_are_counted_and_the_first_is_named() {
    let ioctl = |id: u32| {
        format!(r#"{{"op_id":"i{id}","client_id":"a","timestamp_us":1,"type":"Ioctl","code":7}}"#)
    };
    let mkdir = r#"{"op_id":"m","client_id":"a","timestamp_us":1,"type":"Mkdir","path":"x"}"#;
    let operations = [delete("d", "a", 5), ioctl(1), mkdir.to_string(), ioctl(2)].join(",");
    assert_eq!(
        bad_v1(&operations),
        r#"x.json: operation types that are not known: "Ioctl" (2 operations, first "i1"); "Mkdir" (1 operation, first "m")"#
    );
    assert_eq!(
        bad_v2(&[r#"{"client":0,"after_ns":0,"type":"read"}"#]),
        r#"x.jsonl: operation types that are not known: "read" (1 operation, first "line 2")"#
    );
}

#[test]
fn ids_that_are_used_twice() {
    let operations = [delete("x", "a", 1), delete("y", "b", 1), delete("x", "b", 2)].join(",");
    assert_eq!(
        bad_v1(&operations),
        r#"x.json: operations[2]: operation "x": op_id was already used at operations[0]; every operation needs an id of its own"#
    );
    let implied = r#"{"op_id":"0-1","client":1,"after_ns":0,"type":"Stat","path":"a"}"#;
    let stat = r#"{"client":0,"after_ns":0,"type":"Stat","path":"a"}"#;
    assert_eq!(
        bad_v2(&[implied, stat, stat]),
        r#"x.jsonl:2: operation "0-1": op_id is the default id (client-number) of another operation, which has none of its own; choose another"#
    );
}

#[test]
fn order_within_a_client() {
    let operations = [delete("x", "a", 7), delete("y", "b", 1), delete("z", "a", 6)].join(",");
    assert_eq!(
        bad_v1(&operations),
        r#"x.json: operations[2]: operation "z": time goes backwards: the client's previous operation is at 7000 ns and this one is at 6000 ns; sort the client's operations by time"#
    );
    assert_eq!(
        bad_v1(&delete("x", "a", u64::MAX)),
        r#"x.json: operations[0]: operation "x": time 18446744073709551615 is too large; the latest is 4,611,686,018,427,387,903 ns (146 years)"#
    );
    let setup = r#"{"client":0,"section":"setup","at_ns":5,"type":"Stat","path":"a"}"#;
    assert_eq!(
        bad_v2(&[STAT_AT_9, setup]),
        "x.jsonl:3: section setup comes after iteration of the same client; the order is setup, iteration, teardown"
    );
    let iteration = |number| {
        format!(r#"{{"client":1,"iteration":{number},"after_ns":0,"type":"Stat","path":"a"}}"#)
    };
    assert_eq!(
        bad_v2(&[&iteration(2), &iteration(1)]),
        "x.jsonl:3: iteration goes backwards, from 2 to 1"
    );
}

#[test]
fn handles_used_when_they_are_not_open() {
    let not_open = r#"handle_ref "h" is not open here: its Open is missing or comes later, or the handle was already closed"#;
    assert_eq!(bad_v2(&[CLOSE, OPEN]), format!("x.jsonl:2: {not_open}"));
    assert_eq!(bad_v2(&[OPEN, CLOSE, CLOSE]), format!("x.jsonl:4: {not_open}"));
    let other_client = CLOSE.replace("\"client\":0", "\"client\":1");
    assert_eq!(bad_v2(&[OPEN, &other_client]), format!("x.jsonl:3: {not_open}"));
    let number = CLOSE.replace("\"h\"", "4");
    assert_eq!(
        bad_v2(&[OPEN, &number]),
        "x.jsonl:3: handle_ref 4 is not open here: its Open is missing or comes later, or the handle was already closed"
    );
    assert_eq!(
        bad_v2(&[OPEN, OPEN]),
        r#"x.jsonl:3: handle_ref "h" is open already; close it first, or use another name"#
    );
}

#[test]
fn values_no_server_could_be_asked_for() {
    let stat = |path: &str| {
        bad_v2(&[&format!(r#"{{"client":0,"after_ns":0,"type":"Stat","path":"{path}"}}"#)])
    };
    assert_eq!(
        stat("../etc"),
        r#"x.jsonl:2: path: path "../etc" contains ".."; paths stay inside the share"#
    );
    assert_eq!(
        stat("a\\u0000b"),
        r#"x.jsonl:2: path: path "a\0b" contains '\0', which SMB does not allow in a name"#
    );
    let long = "n".repeat(300);
    assert!(stat(&long).ends_with("has 300 UTF-16 units; a name may have 255"));
    let on_handle = |text: &str| bad_v2(&[OPEN, text]);
    let read = |offset: u64, length: u64| {
        on_handle(&format!(
            r#"{{"client":0,"after_ns":0,"type":"Read","handle_ref":"h","offset":{offset},"length":{length}}}"#
        ))
    };
    assert_eq!(
        read(0, 67_108_865),
        "x.jsonl:3: length 67108865 is more than 67108864, the most one read or write may have; split it"
    );
    assert_eq!(
        read(u64::MAX, 1),
        "x.jsonl:3: offset 18446744073709551615 plus length 1 is beyond the largest file (2^63 - 1 bytes)"
    );
    assert_eq!(
        on_handle(
            r#"{"client":0,"after_ns":0,"type":"Truncate","handle_ref":"h","size":9223372036854775808}"#
        ),
        "x.jsonl:3: size 9223372036854775808 is beyond the largest file (2^63 - 1 bytes)"
    );
    assert_eq!(
        bad_v2(&[r#"{"client":0,"after_ns":0,"type":"List","path":"","pattern":"a/*"}"#]),
        r#"x.jsonl:2: pattern "a/*" must have 1 to 255 characters and no separator; "*" lists everything"#
    );
    let expect = |words: &str| {
        bad_v2(&[&format!(
            r#"{{"client":0,"after_ns":0,"type":"Stat","path":"a","expect":{words}}}"#
        )])
    };
    assert_eq!(
        expect(r#"["STATUS_ODD"]"#),
        r#"x.jsonl:2: expect: "STATUS_ODD" is not the name of a known status; write a number as "0xC0000022", and "any" as the only entry"#
    );
    assert_eq!(
        expect("[]"),
        r#"x.jsonl:2: expect is an empty list; remove it for the default, or write ["any"]"#
    );
    let open =
        |more: &str| bad_v2(&[&OPEN.replace("\"handle_ref\"", &format!("{more},\"handle_ref\""))]);
    assert_eq!(
        open(r#""extensions":{"smb":{"share_mode":"RAED"}}"#),
        r#"x.jsonl:2: extensions.smb.share_mode: "RAED" is not a name it takes; nearest is "READ""#
    );
    assert_eq!(
        open(r#""extensions":{"smb":7}"#),
        "x.jsonl:2: extensions.smb must be an object of keys and values"
    );
    assert_eq!(
        open(r#""disposition":"OPENIF""#),
        r#"x.jsonl:2: disposition: "OPENIF" is not a name it takes; nearest is "OPEN_IF""#
    );
}

#[test]
fn blobs_that_may_not_be_used() {
    let directory = Directory::new();
    directory.write("five", "12345");
    std::os::unix::fs::symlink("/etc/passwd", directory.path().join("link")).unwrap();
    let open = r#"{"op_id":"o","client_id":"a","timestamp_us":0,"type":"Open","path":"a","mode":"Write","handle_ref":"h"}"#;
    let write = |path: &str| {
        format!(
            r#"{open},{{"op_id":"w","client_id":"a","timestamp_us":0,"type":"Write","handle_ref":"h","offset":0,"length":6,"blob_path":"{path}"}}"#
        )
    };
    let here = directory.path().display().to_string();
    let say = |path: &str| {
        let path = path.replace("HERE", &here);
        message(&directory, "x.json", v1(&write(&path))).replace(&here, "HERE")
    };
    let start = r#"x.json: operations[1]: operation "w": blob_path"#;
    assert_eq!(
        say("five"),
        format!("{start} \"five\" is relative; a version 1 document needs absolute paths")
    );
    assert_eq!(
        say("HERE/../five"),
        format!("{start} \"../five\" contains \"..\"; write the path without it")
    );
    assert_eq!(
        say("HERE/five..six"),
        format!("{start} \"five..six\" contains \"..\"; write the path without it")
    );
    assert_eq!(
        say("HERE/none"),
        format!("{start} \"none\" cannot be read: No such file or directory (os error 2)")
    );
    assert_eq!(say("HERE"), format!("{start} \"HERE\" is not a regular file"));
    let outside = "is outside of HERE, or a symbolic link leads there; allow its directory with --allow-blobs, and name it by its path in that directory";
    assert_eq!(say("/etc/passwd"), format!("{start} \"/etc/passwd\" {outside}"));
    assert_eq!(say("HERE/link"), format!("{start} \"link\" {outside}"));
    assert_eq!(say("HERE/five"), format!("{start} \"five\" has 5 bytes, but the write wants 6"));

    let path = directory.write("x.json", v1(&write("/etc/passwd")));
    let allow =
        |directory: &str| LoadOptions { strict: false, blob_directories: vec![directory.into()] };
    assert!(load(&path, &allow("/etc")).is_ok());
    let error = load(&path, &allow("/none")).err().unwrap().to_string();
    assert!(
        error.ends_with(r#"directory "/none" for blobs: No such file or directory (os error 2)"#),
        "{error}"
    );
}

#[test]
fn clients_that_do_not_add_up() {
    let directory = Directory::new();
    let say = |clients: &str, operations: &str| {
        message(&directory, "x.json", v1_with(clients, operations))
    };
    assert_eq!(say("[]", ""), "x.json: has no clients; a document needs at least one");
    let a = r#"{"client_id":"a","operation_count":1}"#;
    assert_eq!(
        say(&format!("[{a},{a}]"), ""),
        "x.json: lists client \"a\" twice; every client needs a name of its own"
    );
    assert_eq!(
        say(&format!("[{a}]"), &delete("d", "c", 0)),
        r#"x.json: operations[0]: operation "d": client "c" is not among the document's clients; add it there, or correct the name"#
    );
    let many: String =
        (0..1_000_001).map(|i| format!(r#",{{"client_id":"{i}","operation_count":0}}"#)).collect();
    assert_eq!(
        say(&format!("[{}]", &many[1..]), ""),
        "x.json: has 1000001 clients; at most 1000000 are possible"
    );

    let header = |text: &str| message(&directory, "x.jsonl", format!("{{\"version\":2,{text}}}\n"));
    assert_eq!(
        header(r#""workloads":[]"#),
        "x.jsonl: has no clients; a document needs at least one"
    );
    assert_eq!(
        header(
            r#""workloads":[{"name":"a","clients":4294967295},{"name":"b","clients":4294967295}]"#
        ),
        "x.jsonl: has 8589934590 clients; at most 1000000 are possible"
    );
    let many: Vec<String> =
        (0..1_001).map(|at| format!(r#"{{"name":"w{at}","clients":1}}"#)).collect();
    assert_eq!(
        header(&format!(r#""workloads":[{}]"#, many.join(","))),
        "x.jsonl: has 1001 workloads; at most 1,000 are possible, each with any number of clients"
    );
    assert_eq!(
        header(r#""workloads":[{"name":"a","clients":2,"client_names":["x"]}]"#),
        r#"x.jsonl: workload "a" has 2 clients but 1 client_names"#
    );
    assert_eq!(
        bad_v2(&[&CLOSE.replace("\"client\":0", "\"client\":2")]),
        "x.jsonl:2: client 2 is not among the document's clients, which go from 0 to 1"
    );

    let counts = v1(&delete("d", "a", 0)).replace("\"client_count\":2", "\"client_count\":5");
    let document = load_default(&directory.write("x.json", counts)).unwrap();
    let warnings: Vec<String> = document.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "metadata states client_count 5, but 2 clients are listed",
            "operation_count is wrong for \"a\": it states 0, but the client has 1",
            r#"client "b" has no operation and is not connected"#,
        ]
    );
}

#[test]
fn documents_that_are_cut_short_or_were_changed() {
    let directory = Directory::new();
    let whole = v2(&[STAT_AT_9, STAT_AT_9]);
    let without_end = whole.replace("{\"operations\":2}\n", "");
    assert_eq!(
        message(&directory, "x.jsonl", &without_end),
        r#"x.jsonl:3: ends before its last line, which gives the number of operations: the file is truncated or was never finished; if it is complete, append {"operations":2}"#
    );
    assert_eq!(
        message(&directory, "x.jsonl", &without_end[..without_end.len() - 9]),
        "x.jsonl:3: ends inside a line, so it is truncated: write it again, or remove the incomplete last line"
    );
    assert_eq!(
        message(&directory, "x.jsonl", whole.replace("\"operations\":2", "\"operations\":3")),
        "x.jsonl:4: states 3 operations in its last line but has 2: lines were lost or added; correct the last line if that is intended"
    );
    assert_eq!(
        message(&directory, "x.jsonl", whole.clone() + STAT_AT_9 + "\n"),
        "x.jsonl:5: follows the last line of the document; remove everything after that line"
    );
    let edited = whole.replace("\"operations\":2", "\"operations\":2,\"ir_hash\":\"00\"");
    let document = load_default(&directory.write("x.jsonl", edited)).unwrap();
    assert_eq!(
        document.warnings()[0].to_string(),
        "was edited after it was written: the operations do not have the ir_hash of the last line"
    );

    let whole = v1(&delete("d", "a", 0));
    assert_eq!(
        message(&directory, "x.json", &whole[..whole.len() - 5]),
        "x.json: operations[0]: is not JSON of the right form: EOF while parsing a string at line 1 column 249"
    );
    assert_eq!(
        message(&directory, "x.json", whole + "{}"),
        "x.json: is not JSON of the right form: trailing characters at line 1 column 255"
    );
}

#[test]
fn bytes_that_are_not_utf_8() {
    let directory = Directory::new();
    let mut v2 = v2(&[STAT_AT_9]).into_bytes();
    let at = v2.windows(8).position(|window| window == b"\"path\":\"").unwrap() + 8;
    v2[at] = 0xFF;
    assert_eq!(message(&directory, "x.jsonl", v2), "x.jsonl:2: is not UTF-8 (byte 45 of the line)");
    let mut v1 = v1(&delete("d", "a", 0)).into_bytes();
    let at = v1.len() - 5;
    v1[at] = 0xFF;
    assert_eq!(message(&directory, "x.json", v1), "x.json: operations[0]: is not UTF-8");
    fs::metadata(directory.path()).unwrap();
}

#[test]
fn clients_without_an_operation_do_not_run_and_are_reported() {
    let directory = Directory::new();
    let stat = |client| format!(r#"{{"client":{client},"after_ns":0,"type":"Stat","path":"a"}}"#);
    let document = |operations: &[String]| {
        let header = r#"{"version":2,"workloads":[{"name":"w","clients":5}],"run_client":true}"#;
        let count = operations.len();
        let lines: String = operations.iter().map(|line| format!("{line}\n")).collect();
        let text = format!("{header}\n{lines}{{\"operations\":{count}}}\n");
        load_default(&directory.write("x.jsonl", &text)).unwrap()
    };
    let reported = |operations: &[String]| {
        let document = document(operations);
        let warnings: Vec<String> = document.warnings().iter().map(ToString::to_string).collect();
        let active: Vec<u32> = document.header().active_clients().collect();
        assert_eq!(active.len() as u32, document.header().active_count());
        (active, warnings)
    };
    let idle = |count: u32, first: &str| {
        vec![format!(
            "{count} clients have no operation and are not connected, the first of them {first:?}"
        )]
    };
    assert_eq!(reported(&[stat(0), stat(4), stat(0)]), (vec![0, 4], idle(4, "w/1")));
    assert_eq!(reported(&[stat(3)]), (vec![3], idle(5, "w/0")));
    assert_eq!(reported(&[]), (vec![0], idle(6, "w/0")), "one finds out whether there is a server");
    let setup =
        r#"{"section":"setup","client":5,"after_ns":0,"type":"Stat","path":"a"}"#.to_string();
    let all: Vec<String> = std::iter::once(setup).chain((0..5).map(stat)).collect();
    assert_eq!(reported(&all), ((0..6).collect(), vec![]));
}

#[test]
fn steps_that_are_none() {
    let line = |step: &str| {
        format!(r#"{{"client":0,"after_ns":0,"type":"Stat","path":"a","step":{step}}}"#)
    };
    let say = |step: &str| bad_v2(&[&line(r#"{"name":"fine"}"#), &line(step)]);
    let name = "is not the name of a step: a name has 1 to 64 characters, which are letters (A to Z, a to z), digits, '_' and '-'";
    assert_eq!(say(r#"{"name":"a.b"}"#), format!(r#"x.jsonl:3: step: "a.b" {name}"#));
    assert_eq!(say(r#"{"name":""}"#), format!(r#"x.jsonl:3: step: "" {name}"#));
    assert_eq!(say(r#"{"name":"\u202eb"}"#), format!(r#"x.jsonl:3: step: "\u{{202e}}b" {name}"#));
    let long = "x".repeat(1_000_000);
    let shown = format!(r#"x.jsonl:3: step: "{}" {name}"#, "x".repeat(64));
    assert_eq!(say(&format!(r#"{{"name":"{long}"}}"#)), shown);
    assert_eq!(
        say(r#"{"name":"a","outer":{"name":"b c"}}"#),
        format!(r#"x.jsonl:3: step: "b c" {name}"#)
    );
    assert_eq!(
        say(r#"{"name":"a","outer":{"name":"b","outer":{"name":"c","number":3}}}"#),
        r#"x.jsonl:3: step: steps nest at most two levels deep: "a" is in "b", which is in "c""#
    );
    let deep = format!(
        r#"{}{{"name":"a"}}{}"#,
        r#"{"name":"a","outer":"#.repeat(10_000),
        "}".repeat(10_000)
    );
    assert!(
        say(&deep)
            .starts_with("x.jsonl:3: is not JSON of the right form: recursion limit exceeded")
    );
    let form = "x.jsonl:3: is not JSON of the right form:";
    for (step, problem) in [
        (r#""save""#, "invalid type: string"),
        ("{}", "missing field `name`"),
        (r#"{"name":7}"#, "invalid type: integer `7`"),
        (r#"{"name":"a","number":-1}"#, "invalid value: integer `-1`"),
        (r#"{"name":"a","number":4294967296}"#, "invalid value: integer `4294967296`"),
        (
            r#"{"name":"a","mood":1}"#,
            "unknown field `mood`, expected one of `name`, `number`, `outer`",
        ),
    ] {
        let message = say(step);
        assert!(message.starts_with(&format!("{form} {problem}")), "{message}");
    }
    assert_eq!(
        bad_v1(
            r#"{"op_id":"d","client_id":"a","timestamp_us":0,"type":"Delete","path":"x","step":{"name":"a"}}"#
        ),
        r#"x.json: operations[0]: operation "d": Delete takes no field "step"; it takes op_id, client_id, timestamp_us, path"#
    );
}

#[test]
fn a_document_has_at_most_a_thousand_names_of_steps() {
    let line = |number: usize| {
        format!(
            r#"{{"client":0,"after_ns":0,"type":"Stat","path":"a","step":{{"name":"s{number}"}}}}"#
        )
    };
    let mut lines: Vec<String> = (0..1_000).chain([7]).map(line).collect();
    let text = |lines: &[String]| v2(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let directory = Directory::new();
    load_default(&directory.write("x.jsonl", text(&lines))).unwrap();
    lines.push(line(1_000));
    assert_eq!(
        message(&directory, "x.jsonl", text(&lines)),
        "x.jsonl:1003: step: the stream has more than 1000 different names of steps: name the kind of work, not each file, client or number"
    );
}
