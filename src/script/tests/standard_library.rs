//! Tests of the modules in `stdlib/`: what they make of a share, wherever a run is cut. What they
//! draw is tested in Lua, in `stdlib/tests/`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;
use crate::ir::{OpenMode, OpenOperation, OperationKind, PathOperation};
use crate::protocol::NtStatus;

/// The workloads in `stdlib/tests/workloads`: at least one for each module that creates something.
fn workloads() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib/tests/workloads");
    let entries = std::fs::read_dir(directory).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// The names on a share, and the status that each operation ends with when one client after the
/// other performs its operations.
#[derive(Default)]
struct Share(BTreeSet<String>);

impl Share {
    /// Performs an operation. Panics if its status is not one that it expects.
    fn perform(&mut self, operation: &Operation, place: &str) {
        let status = self.status(operation);
        let kind = operation.operation_type();
        assert!(
            operation.expect.allows(status, kind),
            "{place}: {:?} ends with {status:?}",
            operation.kind
        );
    }

    fn status(&mut self, operation: &Operation) -> NtStatus {
        match &operation.kind {
            OperationKind::Open(OpenOperation { path, mode, .. }) => {
                match *mode == OpenMode::Read {
                    true => self.find(path.as_str()),
                    false => self.add(path.as_str()),
                }
            }
            OperationKind::ByPath(PathOperation::Mkdir { path }) => self.add(path.as_str()),
            OperationKind::ByPath(PathOperation::Rename { source_path, dest_path, .. }) => {
                let status = self.remove(source_path.as_str());
                if status != NtStatus::SUCCESS {
                    return status;
                }
                self.add(dest_path.as_str())
            }
            OperationKind::ByPath(
                PathOperation::Delete { path } | PathOperation::Rmdir { path },
            ) => self.remove(path.as_str()),
            OperationKind::ByPath(
                PathOperation::Stat { path } | PathOperation::List { path, .. },
            ) => self.find(path.as_str()),
            _ => NtStatus::SUCCESS,
        }
    }

    fn find(&self, path: &str) -> NtStatus {
        match path.rsplit_once('/') {
            _ if self.0.contains(path) => NtStatus::SUCCESS,
            Some((parent, _)) if !self.0.contains(parent) => NtStatus::OBJECT_PATH_NOT_FOUND,
            _ => NtStatus::OBJECT_NAME_NOT_FOUND,
        }
    }

    fn add(&mut self, path: &str) -> NtStatus {
        match self.find(path) {
            NtStatus::OBJECT_PATH_NOT_FOUND => NtStatus::OBJECT_PATH_NOT_FOUND,
            _ => {
                self.0.insert(path.into());
                NtStatus::SUCCESS
            }
        }
    }

    fn remove(&mut self, path: &str) -> NtStatus {
        let inside = format!("{path}/");
        if self.0.iter().any(|name| name.starts_with(&inside)) {
            return NtStatus::DIRECTORY_NOT_EMPTY;
        }
        let status = self.find(path);
        self.0.remove(path);
        status
    }
}

/// Runs a workload on a share that nothing else uses, up to a cut: the number of operations of the
/// run-wide setup, and of the setup and the iterations of every client. Then all clients tear down.
fn run_until(path: &Path, cuts: [usize; 3]) -> Share {
    let options = ScriptOptions { location: path.into(), ..ScriptOptions::default() };
    let mut script = Script::load(&options).unwrap();
    let [run_setup, setup, iterations] = cuts;
    let (workload_clients, all_clients) =
        (script.header().workload_clients(), script.header().clients());
    let place = format!("{} cut after {cuts:?}", path.display());
    let mut share = Share::default();
    let mut pull = |clients: std::ops::Range<u32>, section, most: usize| {
        for client in clients {
            let mut made = Vec::new();
            while made.len() < most
                && script.pull(client, section, most - made.len(), &mut made).unwrap()
                    == Progress::More
            {}
            made.iter().for_each(|operation| share.perform(operation, &place));
        }
    };
    pull(workload_clients..all_clients, Section::Setup, run_setup);
    if setup > 0 {
        pull(0..workload_clients, Section::Setup, setup);
    }
    if iterations > 0 {
        pull(0..workload_clients, Section::Iteration, iterations);
    }
    pull(0..workload_clients, Section::Teardown, usize::MAX);
    pull(workload_clients..all_clients, Section::Teardown, usize::MAX);
    share
}

#[test]
fn every_module_that_creates_something_has_a_workload_here() {
    let names: BTreeSet<String> = workloads()
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    for module in ["build", "contention", "database", "files", "homes", "logs", "media", "office"] {
        assert!(names.contains(module), "{module}");
    }
    assert!(names.contains("maildir") && names.contains("mbox"));
}

#[test]
fn every_module_expects_what_happens_and_leaves_nothing_wherever_its_iterations_are_cut() {
    for path in workloads() {
        for cut in (1..40).chain([60, 100, 200, 400]) {
            let left = run_until(&path, [usize::MAX, usize::MAX, cut]).0;
            assert!(left.is_empty(), "{} cut after {cut}: {left:?}", path.display());
        }
    }
}

#[test]
fn every_module_leaves_nothing_wherever_its_setup_is_cut() {
    for path in workloads() {
        for cut in (1..12).chain([20, 40, 60, 100, 200]) {
            let left = run_until(&path, [usize::MAX, cut, 0]).0;
            assert!(left.is_empty(), "{} cut after {cut}: {left:?}", path.display());
            let left = run_until(&path, [cut, 0, 0]).0;
            assert!(left.is_empty(), "{} cut after {cut} at first: {left:?}", path.display());
        }
    }
}

#[test]
fn the_example_in_the_header_of_every_application_makes_operations() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib");
    for module in ["build", "contention", "database", "homes", "logs", "mail", "media"] {
        let text = std::fs::read_to_string(directory.join(format!("{module}.lua"))).unwrap();
        let header = text.lines().take_while(|line| line.starts_with("--"));
        let example: Vec<&str> = header.filter_map(|line| line.strip_prefix("--   ")).collect();
        assert!(example.len() > 5, "{module}");
        let operations = script(&example.join("\n")).operations();
        let in_iterations = operations.iter().filter(|o| o.section == Section::Iteration).count();
        assert!(in_iterations > 0, "{module}");
    }
}
