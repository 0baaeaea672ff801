use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use smbench::ir::document::Format;
use smbench::ir::document::convert;
use smbench::ir::document::warnings::Warning;
use smbench::ir::document::{LoadOptions, load};
use smbench::ir::{
    Due, HandleOperation, OpenOperation, OperationKind, OperationSource, OperationType,
    PathOperation, Payload, Progress, Section,
};
use smbench::protocol::create::CreateDisposition;
use smbench::protocol::{BreakAnswer, BreakPolicy};

use crate::{Directory, all_operations, fixture, load_default};

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn version_1_is_saved_without_loss() {
    let original = fs::read(fixture("every_operation.json")).unwrap();
    let mut saved = Vec::new();
    convert(&fixture("every_operation.json"), Format::V1, &mut saved).unwrap();
    assert_eq!(value(&saved), value(&original));
}

#[test]
fn version_1_survives_being_version_2_in_between() {
    let directory = Directory::new();
    let mut lines = Vec::new();
    let forth = convert(&fixture("every_operation.json"), Format::V2, &mut lines).unwrap();
    let path = directory.write("x.jsonl", lines);
    let mut back = Vec::new();
    let again = convert(&path, Format::V1, &mut back).unwrap();
    assert_eq!(value(&back), value(&fs::read(fixture("every_operation.json")).unwrap()));
    assert_eq!(again, forth);
}

#[test]
fn the_keys_of_version_1_may_come_in_any_order() {
    let directory = Directory::new();
    let original = value(&fs::read(fixture("every_operation.json")).unwrap());
    let whole = convert(&fixture("every_operation.json"), Format::V1, Vec::new()).unwrap();
    for order in [
        ["operations", "clients", "metadata", "version"],
        ["clients", "operations", "version", "metadata"],
        ["metadata", "version", "operations", "clients"],
    ] {
        let keys = order.map(|key| format!("{key:?}: {}", original[key]));
        let path = directory.write("x.json", format!("{{{}}}", keys.join(",\n")));
        let mut saved = Vec::new();
        assert_eq!(convert(&path, Format::V1, &mut saved).unwrap(), whole);
        assert_eq!(value(&saved), original, "{order:?}");
    }
}

#[test]
fn version_2_is_saved_byte_for_byte() {
    let (directory, path) = version_2();
    let mut saved = Vec::new();
    convert(&path, Format::V2, &mut saved).unwrap();
    assert_eq!(String::from_utf8(saved).unwrap(), fs::read_to_string(&path).unwrap());
    drop(directory);
}

/// Writes the version 2 fixture with its hash, which is the hash of the lines of its operations.
fn version_2() -> (Directory, std::path::PathBuf) {
    let directory = Directory::new();
    directory.write("hello.bin", "hello");
    let text = fs::read_to_string(fixture("every_operation.jsonl")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let hash = blake3::hash(lines[1..lines.len() - 1].concat().as_bytes()).to_hex();
    let path = directory.write("x.jsonl", text.replace("HASH", &hash));
    (directory, path)
}

#[test]
fn version_2_carries_every_type_and_loads_with_the_hash_of_its_lines() {
    let (directory, path) = version_2();
    let mut document = load_default(&path).unwrap();
    assert_eq!(document.warnings(), []);
    let header = document.header().clone();
    assert!(fs::read_to_string(&path).unwrap().contains(&header.ir_hash));
    assert_eq!((header.seed, header.clients(), header.phases.len()), (7, 4, 2));
    assert_eq!(header.client_name(1), "editors/1");
    assert_eq!(header.client_name(2), "eve");
    assert_eq!(header.client_name(3), "bench");
    assert!(header.bounded);

    let operations = all_operations(&mut document, 3);
    let types: BTreeSet<OperationType> =
        operations.iter().map(|operation| operation.operation_type()).collect();
    assert_eq!(types.len(), OperationType::ALL.len());
    let first = operations.iter().find(|operation| operation.op_id() == "first").unwrap();
    assert_eq!((first.client_idx, first.seq, first.due), (0, 3, Due::At(1)));
    let OperationKind::Open(OpenOperation { extensions: Some(parameters), disposition, .. }) =
        &first.kind
    else {
        panic!("{first:?}");
    };
    assert_eq!(parameters.share_mode, Some(1));
    assert_eq!(*disposition, CreateDisposition::Create);
    let blob = operations.iter().find_map(|operation| match &operation.kind {
        OperationKind::OnHandle(_, HandleOperation::Write { payload: Payload::Blob(blob), .. }) => {
            Some(blob)
        }
        _ => None,
    });
    let blob = blob.unwrap();
    assert_eq!(*blob.path, directory.path().join("hello.bin"));
    assert_eq!(blob.data().unwrap().as_ref(), b"hello");
}

#[test]
fn version_1_loads_with_its_defaults_and_names_what_has_no_effect() {
    let directory = Directory::new();
    let blob = directory.write("hello.bin", "hello world");
    let text = fs::read_to_string(fixture("every_operation.json")).unwrap();
    let text = text.replace("/blobs/hello.bin", blob.to_str().unwrap());
    let path = directory.write("day.json", &text);
    let mut document = load_default(&path).unwrap();
    let warnings: Vec<String> = document.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            r#"extensions.netapp is not known and has no effect; nearest is "extensions.smb" (1 operation, first "a-1")"#,
            r#"extensions.smb.vendor_key is not known and has no effect; nearest is "reopen" (1 operation, first "a-1")"#,
        ]
    );
    assert_eq!(document.header().source, "day.pcap");
    assert_eq!(document.header().client_name(1), "böb");
    let operations = all_operations(&mut document, 100);
    let ids: Vec<String> = operations.iter().map(|operation| operation.op_id()).collect();
    assert_eq!(ids, ["a-1", "a-2", "a-3", "a-4", "a-5", "a-6", "a-7", "b-1", "b-2", "1-2"]);
    let dispositions: Vec<CreateDisposition> = operations
        .iter()
        .filter_map(|operation| match &operation.kind {
            OperationKind::Open(OpenOperation { disposition, .. }) => Some(*disposition),
            _ => None,
        })
        .collect();
    let (open, open_if) = (CreateDisposition::Open, CreateDisposition::OpenIf);
    assert_eq!(dispositions, [open_if, open_if, open]);
    assert!(operations.iter().any(|operation| {
        matches!(
            &operation.kind,
            OperationKind::ByPath(PathOperation::Rename { replace: false, .. })
        )
    }));
    assert_eq!(operations[1].timestamp_us(), Some(1_000));

    let strict = LoadOptions { strict: true, ..LoadOptions::default() };
    let error = load(&path, &strict).err().unwrap().to_string();
    assert!(error.contains("extensions.netapp is not known"), "{error}");

    let mut lines = Vec::new();
    convert(&path, Format::V2, &mut lines).unwrap();
    let same = load_default(&directory.write("day.jsonl", lines)).unwrap();
    assert_eq!(same.header().ir_hash, document.header().ir_hash);
    assert!(!same.warnings().contains(&Warning::Edited));
}

#[test]
fn handles_that_are_never_closed_are_counted_and_allowed_even_if_strict() {
    let directory = Directory::new();
    let open = r#"{"client":0,"after_ns":0,"type":"Open","path":"a","mode":"Read","handle_ref":"#;
    let text = format!(
        "{{\"version\":2,\"workloads\":[{{\"name\":\"w\",\"clients\":1}}]}}\n{open}1}}\n{open}\"1\"}}\n{{\"operations\":2}}\n"
    );
    let path = directory.write("x.jsonl", text);
    let strict = LoadOptions { strict: true, ..LoadOptions::default() };
    let document = load(&path, &strict).unwrap();
    assert_eq!(document.warnings(), [Warning::NeverClosed { count: 2 }]);
}

#[test]
fn asking_for_a_later_section_abandons_the_earlier() {
    let (_folder, path) = version_2();
    let mut document = load_default(&path).unwrap();
    let mut into = Vec::new();
    assert_eq!(document.pull(0, Section::Setup, 1, &mut into), Ok(Progress::More));
    assert_eq!(document.pull(0, Section::Teardown, 9, &mut into), Ok(Progress::End));
    assert_eq!(document.pull(0, Section::Iteration, 9, &mut into), Ok(Progress::End));
    let sections: Vec<Section> = into.iter().map(|operation| operation.section).collect();
    assert_eq!(sections, [Section::Setup, Section::Teardown]);
}

#[test]
fn the_answers_to_breaks_go_through_both_versions() {
    let directory = Directory::new();
    let open = |client: u32, handle: u32, smb: &str| {
        format!(
            r#"{{"client":{client},"at_ns":0,"type":"Open","path":"a","mode":"Read","handle_ref":{handle},"extensions":{{"smb":{smb}}}}}"#
        )
    };
    let text = [
        r#"{"version":2,"source":"x","seed":0,"workloads":[{"name":"editors","clients":1,"on_break":{"delay":"50ms","flush":true,"policy":"acknowledge"}},{"name":"readers","clients":1}]}"#.to_string(),
        open(0, 0, r#"{"requested_oplock":"batch"}"#),
        open(0, 1, r#"{"Lease":"RWH","on_break":{"policy":"ignore"}}"#),
        open(0, 2, r#"{"share_mode":"READ"}"#),
        open(1, 0, r#"{"requested_oplock":"batch"}"#),
        r#"{"operations":4}"#.to_string(),
    ]
    .join("\n")
        + "\n";
    let path = directory.write("x.jsonl", &text);
    let (delay_ns, flush) = (50_000_000, true);
    let document = load_default(&path).unwrap();
    let editors = BreakPolicy { delay_ns, flush, ..BreakPolicy::default() };
    let policies: Vec<BreakPolicy> =
        document.header().workloads.iter().map(|workload| workload.on_break).collect();
    assert_eq!(policies, [editors, BreakPolicy::default()]);
    let mut saved = Vec::new();
    convert(&path, Format::V2, &mut saved).unwrap();
    assert_eq!(String::from_utf8(saved).unwrap().lines().next(), text.lines().next());

    // Version 1 has no workloads, so their policy is written to each open that it applies to.
    let mut v1 = Vec::new();
    convert(&path, Format::V1, &mut v1).unwrap();
    let mut v1 = load_default(&directory.write("x.json", v1)).unwrap();
    let answers: Vec<Option<BreakPolicy>> = all_operations(&mut v1, 9)
        .iter()
        .map(|operation| match &operation.kind {
            OperationKind::Open(OpenOperation { extensions, .. }) => {
                extensions.as_ref().unwrap().on_break
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let ignore = BreakPolicy { answer: BreakAnswer::Ignore, ..BreakPolicy::default() };
    assert_eq!(answers, [Some(editors), Some(ignore), None, None]);

    let wrong = text.replace("50ms", "50");
    let error = load_default(&directory.write("wrong.jsonl", wrong)).err().unwrap().to_string();
    let expected = "on_break wants a delay with a unit, such as \"50ms\" or \"2s\"";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn version_1_loses_the_steps_and_says_so() {
    let directory = Directory::new();
    let header = r#"{"version":2,"workloads":[{"name":"w","clients":1}]}"#;
    let step = r#","step":{"name":"save","number":1,"outer":{"name":"session"}}"#;
    let stat = |step: &str| format!(r#"{{"client":0,"at_ns":0,"type":"Delete","path":"a"{step}}}"#);
    let document = |step: &str| format!("{header}\n{}\n{{\"operations\":1}}\n", stat(step));
    let [with, without] = [step, ""].map(|step| {
        let path = directory.write("x.jsonl", document(step));
        let mut text = Vec::new();
        let written = convert(&path, Format::V1, &mut text).unwrap();
        (String::from_utf8(text).unwrap(), written)
    });
    assert_eq!(with.0, without.0);
    assert_eq!(
        (with.1.ir_hash, without.1.ir_hash.clone()),
        (without.1.ir_hash.clone(), without.1.ir_hash)
    );
    assert_eq!((with.1.dropped, without.1.dropped), (vec!["the steps"], vec![]));
}

#[test]
fn the_steps_of_a_document_are_written_in_one_way() {
    let directory = Directory::new();
    let header = r#"{"version":2,"source":"","seed":0,"workloads":[{"name":"w","clients":1}]}"#;
    let line = |step: &str| {
        format!(r#"{{"client":0,"after_ns":0,"type":"Stat","path":"a","step":{step}}}"#)
    };
    let saved = |step: &str| {
        let path =
            directory.write("x.jsonl", format!("{header}\n{}\n{{\"operations\":1}}\n", line(step)));
        let mut text = Vec::new();
        let written = convert(&path, Format::V2, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut document = load_default(&path).unwrap();
        assert_eq!(document.header().ir_hash, written.ir_hash);
        let step = all_operations(&mut document, 9)[0].step.clone().unwrap();
        let outer = step.outer.as_ref().map(|outer| (outer.name.to_string(), outer.number));
        (text.lines().nth(1).unwrap().to_string(), (step.name.to_string(), step.number), outer)
    };
    let plain = r#"{"name":"save"}"#;
    let expected = (line(plain), ("save".to_string(), 0), None);
    assert_eq!(saved(plain), expected);
    assert_eq!(saved(r#"{"outer":null,"number":0,"name":"save"}"#), expected);
    let nested = r#"{"name":"save","number":4294967295,"outer":{"name":"session","number":2}}"#;
    let expected = (line(nested), ("save".to_string(), u32::MAX), Some(("session".to_string(), 2)));
    assert_eq!(saved(nested), expected);
}
