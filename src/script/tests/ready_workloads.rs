//! Ready workloads: scripts in the binary, without files beside them.

use super::examples::left_over;
use super::*;
use crate::script::{READY_WORKLOADS, ReadyWorkload, ScriptLocation, describe};

/// Returns a ready workload named `t` with this text.
fn ready(source: &str) -> ScriptOptions {
    let ready = ReadyWorkload { name: "t", source: Box::leak(source.to_string().into()) };
    let location = ScriptLocation::Ready(Box::leak(Box::new(ready)));
    ScriptOptions { location, iterations: Some(1), ..ScriptOptions::default() }
}

/// Returns the error with which the stream of a ready workload is refused or ends.
fn error_of(source: &str) -> String {
    match Script::load(&ready(source)) {
        Ok(mut script) => all(&mut script, 64).unwrap_err().message,
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_ready_workload_is_the_same_stream_as_its_saved_file() {
    for ready in &READY_WORKLOADS {
        let saved = script(ready.source);
        let location = ScriptLocation::Ready(ready);
        let embedded = ScriptOptions { location, ..saved.options.clone() };
        let (of_binary, of_file) =
            (Script::load(&embedded).unwrap(), Script::load(&saved.options).unwrap());
        let (of_binary, of_file) = (of_binary.header(), of_file.header());
        assert_eq!(of_binary.ir_hash, of_file.ir_hash, "{ready}");
        assert_eq!(of_binary.script_hash, of_file.script_hash, "{ready}");
        assert_eq!(of_binary.modules, of_file.modules, "{ready}");
        assert_eq!((&*of_binary.source, &*of_file.source), (&*ready.to_string(), "s.lua"));
    }
}

#[test]
fn an_error_in_a_ready_workload_names_it_as_the_command_line_does() {
    assert_eq!(error_of("error('boom')"), "@scripts/t:1: boom");
    let late = "bench.workload { name = 'w', iteration = function(c)\nc:stat('a?')\nend }";
    let message = error_of(late);
    assert!(message.starts_with("@scripts/t:2: "), "{message}");
    assert!(error_of("").starts_with("@scripts/t: the script has no workload"));
    let in_a_module = "local d = require('@bench/office')
        bench.workload { name = 'w', iteration = function(c, rng) d.view(c, rng) end }";
    assert!(error_of(in_a_module).starts_with("@scripts/t:2: "), "{}", error_of(in_a_module));
}

#[test]
fn a_ready_workload_has_no_files_beside_it() {
    const NONE: &str = "a ready workload has no files beside it; save the script with 'smbench scripts show' to add some";
    for path in ["./x", "../x", "../../x", "@self/x"] {
        let message = error_of(&format!("require('{path}')"));
        let expected = format!("@scripts/t:1: module \"{path}\" cannot be read: {NONE}");
        assert_eq!(message, expected);
    }
    let message = error_of("bench.load('day.jsonl')");
    assert_eq!(message, format!("@scripts/t:1: bench.load: cannot read \"day.jsonl\": {NONE}"));
    let write = |blob: &str| {
        error_of(&format!(
            "bench.workload {{ name = 'w', iteration = function(c)
                c:write(c:open('f', 'w'), 0, 3, {{ blob = '{blob}' }})
            end }}"
        ))
    };
    for blob in ["logo.png", "/etc/hostname"] {
        let expected = format!("@scripts/t:2: write: blob \"{blob}\" cannot be read: {NONE}");
        assert_eq!(write(blob), expected);
    }
}

#[test]
fn a_document_that_the_command_line_names_is_loaded_by_a_ready_workload_too() {
    let source = "local P = bench.params { day = { type = 'string', default = 'd' } }
        bench.load(P.day)";
    const DAY: &str = r#"{"version":2,"source":"day","workloads":[{"name":"staff","clients":1}]}
{"client":0,"at_ns":0,"type":"Stat","path":"team"}
{"operations":1}
"#;
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("day.jsonl");
    std::fs::write(&document, DAY).unwrap();
    let mut options = ready(source);
    options.iterations = None;
    options.params.push(("day".into(), document.display().to_string()));
    let loaded = Script::load(&options).map(drop);
    assert_eq!(loaded, Ok(()));
}

#[test]
fn a_name_that_is_unknown_is_refused_with_the_nearest_one() {
    let refused = |name: &str| ReadyWorkload::find(name).unwrap_err();
    for near in ["sofware_build", "software-build", "software_build.lua"] {
        assert_eq!(
            refused(near),
            "no ready workload has this name: did you mean @scripts/software_build? 'smbench scripts' lists them"
        );
    }
    assert_eq!(refused("zzz"), "no ready workload has this name; 'smbench scripts' lists them");
}

#[test]
fn the_list_of_ready_workloads_is_that_of_the_files() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut files: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().to_str()?.strip_suffix(".lua").map(String::from)
        })
        .collect();
    files.sort();
    let names: Vec<&str> = READY_WORKLOADS.iter().map(|ready| ready.name).collect();
    assert_eq!(names, files);
}

/// Parameters with which the workloads have few files.
const SMALL: [(&str, &str); 3] = [("files", "20"), ("images", "2"), ("threads", "2")];

#[test]
fn every_ready_workload_removes_what_it_made_wherever_it_is_cut() {
    for ready in &READY_WORKLOADS {
        let location = ScriptLocation::Ready(ready);
        let described = describe(&location, ScriptLimits::default()).unwrap();
        let declared = |name: &str| described.iter().any(|parameter| parameter.name == name);
        let small = SMALL.iter().filter(|(name, _)| declared(name));
        let params = small.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let options = ScriptOptions { location, params, ..ScriptOptions::default() };
        for cut in [0, 1, 2, 3, 5, 8, 13, 50, 300, 1_500] {
            let mut script = Script::load(&options).unwrap();
            let last = script.header().clients() - 1;
            let mut operations = Vec::new();
            let mut pull = |client, section, most| {
                let mut made = Vec::new();
                while made.len() < most
                    && script.pull(client, section, most - made.len(), &mut made).unwrap()
                        == Progress::More
                {}
                operations.extend(made);
            };
            pull(last, Section::Setup, usize::MAX);
            for client in 0..last {
                pull(client, Section::Setup, usize::MAX);
                // The clients are cut at different places.
                pull(client, Section::Iteration, cut + client as usize % 7);
                pull(client, Section::Teardown, usize::MAX);
            }
            pull(last, Section::Teardown, usize::MAX);
            let left = left_over(&operations);
            assert!(left.is_empty(), "{ready} cut after {cut}: {left:?}");
        }
    }
}
