//! Tests of scripts from outside: source text goes in, operations or an error come out.

use std::path::PathBuf;
use std::time::Duration;

use super::{ClientsOverride, Script, ScriptError, ScriptLimits, ScriptOptions};
use crate::ir::{ClientPartition, Operation, OperationSource, Progress, Section, SourceError};

mod any_value;
mod arrivals;
mod blobs;
mod client;
mod determinism;
mod errors;
mod examples;
mod gallery;
mod hook_generations;
mod hooks;
mod hostile;
mod hostile_hooks;
mod hostile_sources;
mod libraries;
mod library_parameters;
mod mixes;
mod modules;
mod open_loop;
mod operations;
mod pace;
mod parameter_files;
mod params;
mod published;
mod random;
mod read_files;
mod ready_workloads;
mod reload;
mod sandbox;
mod shared_state_check;
mod standard_library;
mod steps;
mod streams;
mod stubs;
mod testing;
mod trees;
mod workloads;

/// A script in a directory of its own.
struct Written {
    folder: tempfile::TempDir,
    options: ScriptOptions,
}

fn script(text: &str) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.lua");
    std::fs::write(&path, text).unwrap();
    let shown = Some("s.lua".into());
    let location = path.into();
    let options =
        ScriptOptions { location, shown, iterations: Some(1), ..ScriptOptions::default() };
    Written { folder, options }
}

/// Returns a script with one client, whose only iteration has this body.
fn iteration(body: &str) -> Written {
    script(&format!("bench.workload {{ name = \"w\", iteration = function(c, rng)\n{body}\nend }}"))
}

impl Written {
    fn with(mut self, change: impl FnOnce(&mut ScriptOptions)) -> Written {
        change(&mut self.options);
        self
    }

    fn param(self, name: &str, value: &str) -> Written {
        self.with(|options| options.params.push((name.into(), value.into())))
    }

    fn file(self, name: &str, text: &str) -> Written {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Result<Script, ScriptError> {
        Script::load(&self.options)
    }

    /// Returns the message with which the script is refused.
    fn refused(&self) -> String {
        match self.load() {
            Ok(_) => panic!("the script was accepted"),
            Err(error) => {
                error.to_string().replace(&self.folder.path().display().to_string(), "DIR")
            }
        }
    }

    fn operations(&self) -> Vec<Operation> {
        all(&mut self.load().unwrap(), 64).unwrap()
    }

    /// Returns the error that ends the stream.
    fn fails(&self) -> SourceError {
        match all(&mut self.load().unwrap(), 64) {
            Ok(operations) => panic!("no error in {} operations", operations.len()),
            Err(error) => error,
        }
    }

    fn message(&self) -> String {
        self.fails().message
    }
}

const SECTIONS: [Section; 3] = [Section::Setup, Section::Iteration, Section::Teardown];

/// Returns every operation, one section after the other for all clients, in batches.
fn all(script: &mut Script, batch: usize) -> Result<Vec<Operation>, SourceError> {
    let mut operations = Vec::new();
    for section in SECTIONS {
        for client in 0..script.header().clients() {
            loop {
                let before = operations.len();
                let progress = script.pull(client, section, batch, &mut operations)?;
                assert!(operations.len() - before <= batch, "more than was asked for");
                if progress == Progress::End {
                    break;
                }
                assert!(operations.len() > before, "More without an operation");
            }
        }
    }
    Ok(operations)
}

/// Returns the same operations from VMs that each make a part of the clients.
fn all_dealt(written: &Written, of: u32, batch: usize) -> Vec<Operation> {
    let load =
        |part| Script::load_partition(&written.options, ClientPartition { part, of }).unwrap();
    let mut parts: Vec<Script> = (0..of).map(load).collect();
    let header = parts[0].header().clone();
    let mut operations = Vec::new();
    for section in SECTIONS {
        for client in 0..header.clients() {
            let part = ClientPartition::part_of(client, header.workload_clients(), of) as usize;
            for (other, script) in parts.iter_mut().enumerate() {
                let mut before = operations.len();
                while script.pull(client, section, batch, &mut operations) == Ok(Progress::More) {
                    assert!(operations.len() > before, "More without an operation");
                    before = operations.len();
                }
                assert!(other == part || operations.len() == before, "of another part");
            }
        }
    }
    operations
}

fn quick() -> ScriptLimits {
    ScriptLimits {
        memory_bytes: 32 << 20,
        time_per_resume: Duration::from_millis(150),
        ..ScriptLimits::default()
    }
}

fn clients(text: &str) -> ClientsOverride {
    text.parse().unwrap()
}
