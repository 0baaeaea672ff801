//! Tests of inputs that are opened for a later generation of a run.

use std::path::Path;

use super::input::{DocumentScaling, Input};
use crate::ir::compile::CompileBounds;
use crate::ir::document::{Format, LoadOptions};
use crate::ir::{ClientPartition, Due, Operation, OperationSource, Progress, Section};
use crate::run::{Destination, compile};
use crate::script::{ReadFiles, Reload, ScriptOptions};

const SECOND: u64 = 1_000_000_000;

/// A script that opens a file in setup and keeps its handle in a table, as most do.
const KEEPS: &str = "local files = {}
    bench.workload { name = 'w', clients = 3,
        setup = function(c)
            for i = 1, 40 do c:mkdir('d' .. i) end
            files[c.id] = c:open('f' .. c.id, 'rw')
        end,
        iteration = function(c) c:write(files[c.id], 0, 4096) end,
        teardown = function(c) c:stat('gone' .. c.id) end,
        AGAIN }";

/// A script that keeps numbers from setup, and opens its files in the iteration.
const REOPENS: &str = "local sizes, names = {}, {}
    bench.workload { name = 'w', clients = 3,
        setup = function(c, rng)
            local h = c:open('log' .. c.id, 'w')
            sizes[c.id], names[c.id] = rng:int(1, 9), 'f' .. c.id
        end,
        iteration = function(c)
            local h = c:open(names[c.id], 'rw')
            c:write(h, 0, sizes[c.id])
            c:close(h)
        end,
        teardown = function(c) c:stat(names[c.id] .. sizes[c.id]) end }";

const SECOND_GENERATION: Reload = Reload { generation: 2, begin_ns: 5 * SECOND };

struct Written {
    directory: tempfile::TempDir,
    input: Input,
}

fn written(text: &str) -> Written {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.lua");
    std::fs::write(&path, text).unwrap();
    let options = ScriptOptions { location: path.into(), ..ScriptOptions::default() };
    Written { directory, input: Input::Script(options) }
}

fn document(path: &Path) -> Input {
    Input::Document {
        path: path.into(),
        options: LoadOptions::default(),
        seed: None,
        scaling: DocumentScaling::default(),
        reload: None,
        reads: ReadFiles::default(),
    }
}

impl Written {
    /// Compiles the script to a document with two iterations for each client.
    fn compiled(&self) -> Input {
        let Input::Script(mut options) = self.input.clone() else { panic!("it is a script") };
        options.iterations = Some(2);
        let path = self.directory.path().join("s.jsonl");
        let output = Destination::File { path: path.clone(), force: true };
        compile(&Input::Script(options), CompileBounds::default(), Format::V2, &output).unwrap();
        document(&path)
    }
}

fn opened(input: &Input) -> Result<Box<dyn OperationSource>, String> {
    input.load(1.0, ClientPartition::WHOLE).map_err(|error| error.to_string())
}

/// Returns the next operations of the client, at most five.
fn next(source: &mut dyn OperationSource, client: u32, section: Section) -> Vec<Operation> {
    let mut operations = Vec::new();
    while operations.len() < 5
        && source.pull(client, section, 5 - operations.len(), &mut operations).unwrap()
            == Progress::More
    {}
    operations
}

fn refusal(client: &str, operation: &str, otherwise: &str) -> String {
    format!(
        "restart needed: the iterations of client {client} use a handle that its setup opened (operation id {operation}), and setup does not run again at a reload; open it in the iteration{otherwise}"
    )
}

const OTHERWISE: &str = ", or set setup_on_reload = true in its workload";

#[test]
fn a_script_whose_iterations_use_a_handle_of_setup_is_refused_when_it_is_opened_for_a_reload() {
    let once = written(&KEEPS.replace("AGAIN", ""));
    assert!(opened(&once.input).is_ok(), "the first generation runs its setups");
    let next = once.input.for_generation(SECOND_GENERATION);
    assert_eq!(opened(&next).err(), Some(refusal("w/0", "0-41", OTHERWISE)));
    let error = next.open(1.0, None, 2).err().map(|error| error.to_string());
    assert_eq!(error, Some(refusal("w/0", "0-41", OTHERWISE)));
    let again = written(&KEEPS.replace("AGAIN", "setup_on_reload = true"));
    assert!(opened(&again.input.for_generation(SECOND_GENERATION)).is_ok());
}

#[test]
fn a_client_that_is_no_first_of_its_workload_is_refused_when_its_iterations_are_requested() {
    let text = KEEPS.replace("AGAIN", "").replace(
        "c:write(files[c.id], 0, 4096)",
        "if c.id == 2 then c:write(files[c.id], 0, 4096) else c:stat('a') end",
    );
    let mut source = opened(&written(&text).input.for_generation(SECOND_GENERATION)).unwrap();
    assert_eq!(next(&mut *source, 0, Section::Iteration).len(), 5);
    let mut operations = Vec::new();
    let refused = source.pull(2, Section::Iteration, 1, &mut operations).unwrap_err();
    assert_eq!(refused.to_string(), refusal("w/2", "2-41", OTHERWISE));
    assert_eq!(operations, []);
}

#[test]
fn clients_that_go_on_have_the_state_of_their_setup_and_none_of_its_operations() {
    let reopens = written(REOPENS);
    let mut first = opened(&reopens.input).unwrap();
    let mut second = opened(&reopens.input.for_generation(SECOND_GENERATION)).unwrap();
    for client in [2, 0, 1] {
        next(&mut *first, client, Section::Setup);
        for section in [Section::Iteration, Section::Teardown] {
            assert_eq!(next(&mut *second, client, section), next(&mut *first, client, section));
        }
    }
    let mut joined = opened(&reopens.input.for_generation(SECOND_GENERATION)).unwrap();
    assert_eq!(next(&mut *joined, 1, Section::Setup).len(), 1, "a client that joins has its setup");
    let mut cut = opened(&reopens.input.for_generation(SECOND_GENERATION)).unwrap();
    assert_eq!(next(&mut *cut, 1, Section::Teardown).len(), 1, "its variables are there");
}

#[test]
fn an_error_of_a_setup_that_would_be_discarded_is_returned() {
    let text = REOPENS
        .replace("local h = c:open('log' .. c.id, 'w')", "if c.id == 1 then error('no disk') end");
    let mut source = opened(&written(&text).input.for_generation(SECOND_GENERATION)).unwrap();
    assert_eq!(next(&mut *source, 0, Section::Iteration).len(), 5);
    let refused = source.pull(1, Section::Iteration, 1, &mut Vec::new()).unwrap_err().to_string();
    assert!(refused.contains("s.lua:4: no disk (client w/1)"), "{refused}");
}

#[test]
fn documents_are_refused_and_continued_as_scripts_are() {
    let keeps = written(&KEEPS.replace("AGAIN", ""));
    let input = keeps.compiled();
    let scaled = |clients| match input.clone() {
        Input::Document { path, options, seed, reload, reads, .. } => {
            let scaling = DocumentScaling { clients, iterations: None };
            Input::Document { path, options, seed, scaling, reload, reads }
        }
        Input::Script(_) => panic!("it is a document"),
    };
    for input in [scaled(None), scaled(Some(6))] {
        assert!(opened(&input).is_ok());
        let refused = opened(&input.for_generation(SECOND_GENERATION)).err().unwrap();
        assert_eq!(refused, refusal("w/0", "0-41", ""));
    }
}

#[test]
fn arrivals_of_a_later_generation_begin_in_the_time_of_the_script() {
    let open_loop = written(
        "bench.workload { name = 'w', pace = bench.open_loop { rate = 10 },
            iteration = function(c) c:stat('a') end }",
    );
    // The script's time is half that of the run.
    let load = |input: &Input| input.load(2.0, ClientPartition::WHOLE).unwrap();
    let at_ns = |input: &Input| {
        let operations = next(&mut *load(input), 0, Section::Iteration);
        operations.iter().filter_map(|operation| operation.due.at_ns()).collect::<Vec<_>>()
    };
    let begun = at_ns(&open_loop.input.for_generation(SECOND_GENERATION));
    let from_ten_seconds = (0..5).map(|number| 10 * SECOND + number * SECOND / 5);
    assert_eq!(begun, from_ten_seconds.collect::<Vec<_>>());
    assert!(matches!(
        next(&mut *load(&open_loop.input), 0, Section::Iteration)[0].due,
        Due::Arrival { at_ns: 0, .. }
    ));
}

#[test]
fn an_input_for_a_generation_is_read_anew_and_records_its_own_files() {
    let reopens = written(REOPENS);
    let first = reopens.input.for_generation(Reload { generation: 1, begin_ns: 0 });
    opened(&first).unwrap();
    let path = reopens.directory.path().join("s.lua");
    assert!(first.reads().paths().contains(&path));
    assert!(reopens.input.reads().paths().is_empty(), "the others keep theirs");
    std::fs::write(&path, "require('./missing')").unwrap();
    let second = first.for_generation(SECOND_GENERATION);
    assert!(second.reads().paths().is_empty());
    opened(&second).err().unwrap();
    let missing = reopens.directory.path().canonicalize().unwrap().join("missing.lua");
    assert!(second.reads().paths().contains(&missing), "{:?}", second.reads());
    let no_document = document(&reopens.directory.path().join("none.jsonl"));
    no_document.open(1.0, None, 1).err().unwrap();
    assert_eq!(no_document.reads().paths(), [reopens.directory.path().join("none.jsonl")]);
}
