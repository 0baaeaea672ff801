//! Documents made to break the reader.

use std::fs;

use smbench::ir::document::convert;
use smbench::ir::document::{Format, LoadOptions, load_opened};

use crate::random::Random;
use crate::{Directory, fixture, load_default};

/// Returns ten megabytes of `[`.
fn nesting() -> String {
    "[".repeat(10 << 20)
}

fn error_of(directory: &Directory, name: &str, content: &str) -> String {
    let path = directory.write(name, content);
    let error = load_default(&path).err().expect("the document was taken").to_string();
    error.replace(&format!("{}/", directory.path().display()), "")
}

#[test]
fn ten_megabytes_of_nesting_are_refused_wherever_they_are() {
    let directory = Directory::new();
    let nesting = nesting();
    let deep = &nesting[..1 << 20];
    let v1 =
        |start: &str, nesting: &str| error_of(&directory, "x.json", &format!("{start}{nesting}"));
    let head = r#"{"version":1,"metadata":{"source":"","duration_seconds":0,"client_count":1},"clients":[{"client_id":"a","operation_count":1}],"operations":["#;
    for start in ["", r#"{"version":"#, r#"{"metadata":{"x":"#, r#"{"clients":"#, head] {
        let error = v1(start, &nesting);
        assert!(error.contains("is not JSON of the right form"), "{start}: {error}");
    }
    for start in [r#"{"type":"Open","extensions":{"x":"#, r#"{"type":"Ioctl","x":"#] {
        let error = v1(&format!("{head}{start}"), &nesting);
        assert!(error.contains("recursion limit exceeded"), "{start}: {error}");
    }
    // Operations that come before the parts they need are skipped first, which takes no stack.
    assert_eq!(
        v1(r#"{"operations":["#, &nesting),
        "x.json: is larger than 4 MiB, the most one part of a document may have"
    );

    let v2 = |lines: &str| error_of(&directory, "x.jsonl", lines);
    let header = r#"{"version":2,"workloads":[{"name":"w","clients":1}]"#;
    let error = v2(&format!("{header},\"params\":{{\"x\":{nesting}\n"));
    assert!(error.contains("is not JSON of the right form"), "{error}");
    assert_eq!(
        v2(&format!("{header}}}\n{{\"type\":\"Open\",\"extensions\":{{\"x\":{nesting}\n")),
        "x.jsonl:2: is larger than 4 MiB, the most one part of a document may have"
    );
    assert_eq!(
        v2(&format!("{header}}}\n{{\"type\":\"Open\",\"extensions\":{{\"x\":{deep}\n")),
        "x.jsonl:2: is not JSON of the right form: recursion limit exceeded (column 159)"
    );
}

#[test]
fn a_string_without_end_is_not_held() {
    let directory = Directory::new();
    let long = "x".repeat(5 << 20);
    let head = r#"{"version":1,"metadata":{"source":"","duration_seconds":0,"client_count":1},"clients":[{"client_id":"a","operation_count":1}],"operations":[{"op_id":""#;
    assert_eq!(
        error_of(&directory, "x.json", &format!("{head}{long}")),
        "x.json: operations[0]: is larger than 4 MiB, the most one part of a document may have"
    );
}

#[test]
fn bytes_changed_at_random_never_cause_a_panic() {
    let directory = Directory::new();
    directory.write("hello.bin", "hello");
    for (name, seeds) in [("every_operation.json", 600), ("every_operation.jsonl", 600)] {
        let original = fs::read(fixture(name)).unwrap();
        let mut taken = 0;
        for seed in 0..seeds {
            let mut random = Random::new(seed);
            let mut bytes = original.clone();
            for _ in 0..=random.below(4) {
                mutate(&mut bytes, &mut random);
            }
            let path = directory.write(name, bytes);
            taken += u32::from(load_default(&path).is_ok());
            for format in [Format::V1, Format::V2] {
                let mut out = Vec::new();
                if convert(&path, format, &mut out).is_ok() {
                    let again = directory.write("again", out);
                    convert(&again, format, Vec::new()).unwrap();
                }
            }
        }
        println!("{name}: {taken} of {seeds} changed documents are still good");
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len() as u64) as usize;
    match random.below(6) {
        0 => bytes[at] = random.below(256) as u8,
        1 => bytes.truncate(at.max(1)),
        2 => {
            bytes.remove(at);
        }
        3 => {
            let tokens: [&[u8]; 8] =
                [b"{", b"]", b"\"", b",", b"null", b"-1", b"1e999", b"18446744073709551616"];
            let token = tokens[random.below(8) as usize];
            bytes.splice(at..at, token.iter().copied());
        }
        4 => {
            let end = (at + random.below(80) as usize).min(bytes.len());
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => {
            let end = (at + random.below(80) as usize).min(bytes.len());
            bytes.drain(at..end.max(at + 1).min(bytes.len()));
            if bytes.is_empty() {
                bytes.push(b'{');
            }
        }
    }
}

#[test]
fn a_document_that_grows_while_it_is_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jsonl");
    let document = "{\"version\":2,\"workloads\":[{\"name\":\"w\",\"clients\":1}]}\n{\"client\":0,\"after_ns\":0,\"type\":\"Stat\",\"path\":\"a\"}\n{\"operations\":1}\n";
    std::fs::write(&path, document).unwrap();
    let load = || {
        let opened = (std::fs::File::open(&path).unwrap(), document.len() as u64);
        load_opened(opened, &path, &LoadOptions::default())
    };
    assert_eq!(load().unwrap().operations(), 1);
    // A blank line makes no difference to the operations.
    std::fs::write(&path, format!("{document}\n")).unwrap();
    let message = load().err().unwrap().to_string();
    assert!(
        message
            .ends_with("x.jsonl: changed while it was read; run again when no program writes it"),
        "{message}"
    );
}
