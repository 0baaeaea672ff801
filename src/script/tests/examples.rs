//! Tests of the scripts in the release: the lessons in `examples/` and the modules in `stdlib/`.

use std::collections::HashSet;
use std::path::Path;

use super::*;
use crate::ir::{OpenOperation, OperationKind, OperationType, PathOperation};
use crate::script::{ScriptLocation, describe};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn examples() -> Vec<ScriptOptions> {
    let mut found: Vec<_> = std::fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "lua"))
        .collect();
    found.sort();
    let options = |path: PathBuf| ScriptOptions {
        location: path.into(),
        iterations: Some(30),
        ..ScriptOptions::default()
    };
    found.into_iter().map(options).collect()
}

#[test]
fn every_example_makes_operations_in_an_iteration_of_every_client() {
    let examples = examples();
    assert!(examples.len() >= 4);
    for options in examples {
        let name = &options.location;
        let mut script = Script::load(&options).unwrap_or_else(|error| panic!("{name}: {error}"));
        let operations = all(&mut script, 64).unwrap_or_else(|error| panic!("{name}: {error}"));
        let iterating: HashSet<u32> = operations
            .iter()
            .filter(|operation| operation.section == Section::Iteration)
            .map(|operation| operation.client_idx)
            .collect();
        assert_eq!(iterating.len() as u32, script.header().workload_clients(), "{name}");
    }
}

/// Returns the files and directories that exist after these operations, if all succeed.
pub(super) fn left_over(operations: &[Operation]) -> HashSet<String> {
    let mut there = HashSet::new();
    for operation in operations {
        match &operation.kind {
            OperationKind::Open(OpenOperation { path, mode, .. })
                if *mode != crate::ir::OpenMode::Read =>
            {
                there.insert(path.to_string());
            }
            OperationKind::ByPath(PathOperation::Mkdir { path })
                if operation
                    .expect
                    .allows(crate::protocol::NtStatus::SUCCESS, OperationType::Mkdir) =>
            {
                there.insert(path.to_string());
            }
            OperationKind::ByPath(PathOperation::Rename { source_path, dest_path, .. }) => {
                there.remove(source_path.as_str());
                there.insert(dest_path.to_string());
            }
            OperationKind::ByPath(PathOperation::Delete { path }) => {
                there.remove(path.as_str());
            }
            OperationKind::ByPath(PathOperation::Rmdir { path }) => {
                let inside = format!("{path}/");
                assert!(!there.iter().any(|name| name.starts_with(&inside)), "{path}: {there:?}");
                there.remove(path.as_str());
            }
            _ => {}
        }
    }
    there
}

#[test]
fn every_example_cleans_up_after_itself_wherever_it_is_cut() {
    for options in examples() {
        let options = ScriptOptions { iterations: None, ..options };
        for cut in 1..120 {
            let mut script = Script::load(&options).unwrap();
            let mut operations = Vec::new();
            let last = script.header().clients() - 1;
            // Alternates between the first and the last of the clients that iterate.
            let client = if cut % 2 == 0 { 0 } else { script.header().workload_clients() - 1 };
            let mut pull = |client, section, most, operations: &mut Vec<Operation>| {
                script.pull(client, section, most, operations).unwrap()
            };
            // The run-wide client comes last: it sets up first and tears down last.
            if last != client {
                pull(last, Section::Setup, 10_000, &mut operations);
            }
            pull(client, Section::Setup, 10_000, &mut operations);
            pull(client, Section::Iteration, cut, &mut operations);
            pull(client, Section::Teardown, 10_000, &mut operations);
            let mut rest = Vec::new();
            pull(last, Section::Teardown, 10_000, &mut rest);
            let made: Vec<Operation> = operations.into_iter().chain(rest).collect();
            let left = left_over(&made);
            assert!(left.is_empty(), "{} cut after {cut}: {left:?}", &options.location);
        }
    }
}

#[test]
fn first_steps_takes_five_seconds_and_describes_its_parameters() {
    let path = root().join("examples/first_steps.lua");
    let location: ScriptLocation = path.into();
    let options = ScriptOptions { location: location.clone(), ..ScriptOptions::default() };
    let script = Script::load(&options);
    let seconds: u64 =
        script.unwrap().header().phases.iter().map(|phase| phase.duration_ns).sum::<u64>();
    assert_eq!(seconds, 5_000_000_000);
    let help = describe(&location, ScriptLimits::default()).unwrap();
    let names: Vec<&str> = help.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(names, ["size", "think", "users"]);
}

#[test]
fn the_module_office_checks_its_options_and_names_the_script_s_line() {
    let with = |options: &str| {
        script(&format!(
            "local office = require('@bench/office')
            bench.workload {{ name = 'w', iteration = function(c, rng)
                office.edit(c, rng, {options})
            end }}"
        ))
        .message()
    };
    let cases = [
        (
            "",
            "s.lua:3: @bench/office needs options with a directory, such as { directory = \"team\" }",
        ),
        (
            "{ directory = 'd', documnets = 5 }",
            "s.lua:3: @bench/office has no option 'documnets'; its options are directory, documents, size, block, think",
        ),
        (
            "{ directory = 'd', size = 'big' }",
            "s.lua:3: @bench/office: size: \"big\" is not a size: write a whole number of bytes or a number and a unit, such as \"4096\", \"64KiB\" or \"1.5MB\" (B, KB, KiB, MB, MiB, GB, GiB, TB, TiB), up to 2^64 - 1 bytes; a distribution such as those of @bench/distributions is possible, too",
        ),
        (
            "{ directory = 'd', documents = 0 }",
            "s.lua:3: @bench/office: documents must be at least 1, not 0",
        ),
    ];
    for (options, expected) in cases {
        let message = if options.is_empty() { with("nil") } else { with(options) };
        assert_eq!(message, expected, "{options}");
    }
    let inside = with("{ directory = 'd?' }");
    assert!(inside.starts_with("s.lua:3: in @bench/office:"), "{inside}");
}
