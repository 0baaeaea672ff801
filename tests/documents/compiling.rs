use std::path::Path;

use smbench::ir::Late;
use smbench::ir::compile::{CompileBounds, CompileError, CompileReport, compile};
use smbench::ir::document::Format;
use smbench::ir::document::convert;
use smbench::ir::{
    Due, HandleOperation, HandleRef, OpenMode, OpenOperation, Operation, OperationKind,
    OperationSource, PathOperation, Progress, Section, SourceError, StreamHeader,
};
use smbench::protocol::SharePath;
use smbench::protocol::create::CreateDisposition;

use crate::random::{Made, header, stream};
use crate::{Directory, all_operations, load_default};

#[test]
fn a_compiled_document_loads_as_the_same_operations_with_the_same_hash() {
    let directory = Directory::new();
    let blob = directory.write("blob", "12345");
    for seed in 0..40 {
        let (clients, count) = (1 + (seed % 7) as u32, 5 + 13 * (seed % 5) as u32);
        let mut operations = stream(seed, clients + 1, count, &blob);
        operations.retain(|op| op.client_idx != clients || op.section != Section::Iteration);
        let operations = renumbered(operations);
        let mut source = Made::new(header(clients, true), operations.clone());
        let mut text = Vec::new();
        let report = compile(&mut source, CompileBounds::default(), Format::V2, &mut text).unwrap();
        let mut document = load_default(&directory.write("x.jsonl", &text)).unwrap();
        assert_eq!(report.operations, operations.len() as u64);
        assert_eq!(document.header().ir_hash, report.ir_hash, "seed {seed}");
        assert_eq!(all_operations(&mut document, 5), operations, "seed {seed}");

        document.rewind();
        let mut again = Vec::new();
        compile(&mut document, CompileBounds::default(), Format::V2, &mut again).unwrap();
        assert_eq!(String::from_utf8(again), String::from_utf8(text), "seed {seed}");
    }
}

/// Removes operations on handles of the run-wide client and renumbers the rest. Without the
/// iterations of that client, its handles may not exist.
fn renumbered(operations: Vec<Operation>) -> Vec<Operation> {
    let last = operations.iter().map(|op| op.client_idx).max().unwrap();
    let keep = |op: &Operation| op.client_idx != last || op.kind.handle_ref().is_none();
    let mut seq = 0;
    operations
        .into_iter()
        .filter(keep)
        .map(|mut op| {
            if op.client_idx == last {
                (op.seq, seq) = (seq, seq + 1);
            }
            op
        })
        .collect()
}

fn at(client_idx: u32, seq: u32, section: Section, iteration: u32, due: Due) -> Operation {
    let stat = PathOperation::Stat { path: SharePath::new("x").unwrap() };
    Operation { due, section, iteration, ..Operation::new(client_idx, seq, stat) }
}

fn compiled(
    source: &mut dyn OperationSource,
    bounds: CompileBounds,
    format: Format,
) -> (CompileReport, String) {
    let mut text = Vec::new();
    let report = compile(source, bounds, format, &mut text).unwrap();
    (report, String::from_utf8(text).unwrap())
}

#[test]
fn the_order_is_section_nominal_time_iteration_client_seq_around_which_runs_the_run_client() {
    use Section::{Iteration, Setup, Teardown};
    let operations = vec![
        at(0, 0, Setup, 0, Due::After(9)),
        at(0, 1, Iteration, 0, Due::At(10)),
        at(0, 2, Iteration, 2, Due::After(5)),
        at(0, 3, Teardown, 0, Due::After(0)),
        at(1, 0, Setup, 0, Due::After(0)),
        at(1, 1, Iteration, 0, Due::After(10)),
        at(1, 2, Iteration, 1, Due::After(5)),
        at(1, 3, Teardown, 0, Due::After(0)),
        at(2, 0, Setup, 0, Due::After(100)),
        at(2, 1, Teardown, 0, Due::After(0)),
    ];
    let (report, text) =
        compiled(&mut Made::new(header(2, true), operations), CompileBounds::default(), Format::V2);
    let order: Vec<(u64, String)> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line.get("type").is_some())
        .map(|line| {
            let section = line.get("section").and_then(|s| s.as_str()).unwrap_or("-");
            (line["client"].as_u64().unwrap(), section.to_string())
        })
        .collect();
    let wanted = [
        (2, "setup"),
        (1, "setup"),
        (0, "setup"),
        (0, "-"),
        (1, "-"),
        (1, "-"),
        (0, "-"),
        (0, "teardown"),
        (1, "teardown"),
        (2, "teardown"),
    ];
    assert_eq!(order, wanted.map(|(client, section)| (client, section.to_string())));
    assert_eq!((report.operations, report.clients, report.nominal_ns), (10, 3, 15));
}

/// A source of endless iterations: one operation every `step_ns`.
struct Endless {
    header: StreamHeader,
    step_ns: u64,
    seq: Vec<u32>,
    teardown_done: Vec<bool>,
}

impl Endless {
    fn new(clients: u32, step_ns: u64) -> Endless {
        let header = StreamHeader { bounded: false, ..header(clients, false) };
        let count = clients as usize;
        Endless { header, step_ns, seq: vec![0; count], teardown_done: vec![false; count] }
    }
}

impl OperationSource for Endless {
    fn header(&self) -> &StreamHeader {
        &self.header
    }

    fn pull(
        &mut self,
        client: u32,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        let seq = &mut self.seq[client as usize];
        let mut push = |due| {
            into.push(at(client, *seq, section, 0, due));
            *seq += 1;
        };
        match section {
            Section::Setup => Ok(Progress::End),
            Section::Iteration => {
                (0..max).for_each(|_| push(Due::After(self.step_ns)));
                Ok(Progress::More)
            }
            Section::Teardown => {
                if !std::mem::replace(&mut self.teardown_done[client as usize], true) {
                    push(Due::After(0));
                }
                Ok(Progress::End)
            }
        }
    }
}

#[test]
fn a_bound_ends_the_iterations_and_teardown_follows() {
    let bounds = CompileBounds { operations: Some(1_000), duration_ns: None };
    let (report, text) = compiled(&mut Endless::new(3, 7), bounds, Format::V2);
    assert_eq!(report.operations, 1_003);
    assert_eq!(text.matches("teardown").count(), 3);

    let bounds = CompileBounds { operations: None, duration_ns: Some(70) };
    let (report, _) = compiled(&mut Endless::new(3, 7), bounds, Format::V2);
    assert_eq!((report.operations, report.nominal_ns), (3 * 9 + 3, 63));
}

#[test]
fn a_compile_that_would_not_end_is_refused_and_the_way_out_is_named() {
    let error = compile(&mut Endless::new(1, 1), CompileBounds::default(), Format::V2, Vec::new());
    assert_eq!(
        error.unwrap_err().to_string(),
        "the stream has no end; bound it with --iterations N (per client), --operations N or --duration (nominal time)"
    );
    let bounds = CompileBounds { operations: None, duration_ns: Some(1) };
    let error = compile(&mut Endless::new(2, 0), bounds, Format::V2, Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "client w/0 made 100000 operations and its nominal clock did not move, so no duration ends them; bound them with --iterations N (per client) or --operations N, or let the client think (c:think, c:at)"
    );
    let bounds = CompileBounds { operations: Some(200_000), duration_ns: None };
    assert_eq!(compiled(&mut Endless::new(2, 0), bounds, Format::V2).0.operations, 200_002);
}

#[test]
fn time_that_goes_backwards_is_refused() {
    let backwards = vec![
        at(0, 0, Section::Iteration, 0, Due::At(10)),
        at(0, 1, Section::Iteration, 0, Due::At(9)),
    ];
    let mut source = Made::new(header(1, false), backwards);
    let error = compile(&mut source, CompileBounds::default(), Format::V2, Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "client w/0: time goes backwards at Stat 0-1: 9 ns after 10 ns");
}

fn fitting() -> Vec<Operation> {
    let path = SharePath::new("a").unwrap();
    let handle_ref = HandleRef(0);
    let open = OperationKind::Open(OpenOperation {
        path: path.clone(),
        mode: OpenMode::Write,
        disposition: CreateDisposition::OverwriteIf,
        handle_ref,
        extensions: None,
    });
    let kinds = [
        (Due::After(0), open),
        (Due::At(5_000), HandleOperation::Read { offset: 0, length: 1 }.on(handle_ref)),
        (Due::After(0), HandleOperation::Close.on(handle_ref)),
        (Due::At(7_000), OperationKind::ByPath(PathOperation::Delete { path })),
    ];
    (0..)
        .zip(kinds)
        .map(|(seq, (due, kind))| Operation { kind, ..at(0, seq, Section::Iteration, seq, due) })
        .collect()
}

#[test]
fn a_stream_that_fits_version_1_is_compiled_to_it() {
    let directory = Directory::new();
    let mut source = Made::new(header(1, false), fitting());
    let (report, text) = compiled(&mut source, CompileBounds::default(), Format::V1);
    assert_eq!(
        text,
        r#"{"version":1,
"metadata":{"client_count":1,"duration_seconds":7e-6,"source":"random.lua"},
"clients":[
{"client_id":"w/0","operation_count":4}
],
"operations":[
{"op_id":"0-0","client_id":"w/0","timestamp_us":0,"type":"Open","path":"a","mode":"Write","handle_ref":0,"extensions":{"smb":{"disposition":"FILE_OVERWRITE_IF"}}},
{"op_id":"0-1","client_id":"w/0","timestamp_us":5,"type":"Read","handle_ref":0,"offset":0,"length":1},
{"op_id":"0-2","client_id":"w/0","timestamp_us":5,"type":"Close","handle_ref":0},
{"op_id":"0-3","client_id":"w/0","timestamp_us":7,"type":"Delete","path":"a"}
]}
"#
    );
    let document = load_default(&directory.write("x.json", text)).unwrap();
    assert_eq!(document.header().ir_hash, report.ir_hash);
    assert_eq!(document.warnings(), []);
}

#[test]
fn the_first_operation_that_does_not_fit_version_1_is_named_with_the_reason() {
    let unfit = |change: &dyn Fn(&mut Operation)| {
        let mut operations = fitting();
        change(&mut operations[3]);
        let mut source = Made::new(header(1, false), operations);
        match compile(&mut source, CompileBounds::default(), Format::V1, Vec::new()).unwrap_err() {
            CompileError::Write(error) => error.to_string(),
            other => panic!("{other}"),
        }
    };
    let message = |kind: &str, reason: &str| {
        format!(
            "operation \"0-3\" ({kind}) does not fit a version 1 document: {reason}; version 2 (.jsonl) can hold it"
        )
    };
    let path = || SharePath::new("a").unwrap();
    let rename = OperationKind::ByPath(PathOperation::Rename {
        source_path: path(),
        dest_path: path(),
        replace: true,
    });
    assert_eq!(
        unfit(&|op| op.kind = OperationKind::ByPath(PathOperation::Mkdir { path: path() })),
        message("Mkdir", "version 1 has no such type")
    );
    assert_eq!(
        unfit(&|op| op.kind = rename.clone()),
        message("Rename", "a version 1 rename never replaces (in a script: { replace = false })")
    );
    assert_eq!(
        unfit(&|op| op.due = Due::At(7_001)),
        message("Delete", "its time is not a whole number of microseconds")
    );
    assert_eq!(
        unfit(&|op| op.due = Due::After(1_000)),
        message(
            "Delete",
            "it is due relative to the previous operation (think time), and version 1 has only times from the start"
        )
    );
    assert_eq!(
        unfit(&|op| op.due = Due::Arrival { at_ns: 7_000, think_ns: 1, late: Late::Queue }),
        message(
            "Delete",
            "it is due relative to the previous operation (think time), and version 1 has only times from the start"
        )
    );
    assert_eq!(
        unfit(&|op| op.due = Due::Arrival { at_ns: 4_000, think_ns: 0, late: Late::Queue }),
        message("Delete", "it arrives before the previous operation is due")
    );
    assert_eq!(
        unfit(&|op| op.due = Due::Arrival { at_ns: 7_000, think_ns: 0, late: Late::Drop }),
        message("Delete", "version 1 cannot state that a late arrival is dropped")
    );
    assert_eq!(
        unfit(&|op| op.section = Section::Teardown),
        message("Delete", "version 1 has no setup and no teardown")
    );
    assert_eq!(
        unfit(&|op| op.expect = smbench::ir::Expect::Any),
        message("Delete", "version 1 cannot state expected statuses")
    );
}

/// Returns the operations of two clients of an open loop. Think time delays one arrival past the
/// next.
fn arriving() -> Vec<Operation> {
    let arrival = |at_ns, think_ns| Due::Arrival { at_ns, think_ns, late: Late::Queue };
    let dropped = Due::Arrival { at_ns: 31_000, think_ns: 0, late: Late::Drop };
    vec![
        at(0, 0, Section::Iteration, 0, arrival(0, 0)),
        at(0, 1, Section::Iteration, 0, Due::After(0)),
        at(0, 2, Section::Iteration, 1, arrival(20_000, 30_000)),
        at(0, 3, Section::Iteration, 4, arrival(9_000, 0)),
        at(1, 0, Section::Iteration, 0, arrival(5_000, 5_000)),
        at(1, 1, Section::Iteration, 2, dropped),
    ]
}

#[test]
fn arrivals_and_what_becomes_of_late_ones_survive_being_a_document() {
    let directory = Directory::new();
    let mut source = Made::new(header(2, false), arriving());
    let (report, text) = compiled(&mut source, CompileBounds::default(), Format::V2);
    let dues: Vec<&str> =
        (text.lines().skip(1)).filter_map(|line| Some(line.split_once("\"type\"")?.0)).collect();
    assert_eq!(
        dues,
        [
            r#"{"client":0,"at_ns":0,"after_ns":0,"#,
            r#"{"client":0,"after_ns":0,"#,
            r#"{"client":1,"at_ns":5000,"after_ns":5000,"#,
            r#"{"client":0,"iteration":1,"at_ns":20000,"after_ns":30000,"#,
            r#"{"client":0,"iteration":4,"at_ns":9000,"after_ns":0,"#,
            r#"{"client":1,"iteration":2,"at_ns":31000,"after_ns":0,"late":"drop","#,
        ]
    );
    assert_eq!(report.nominal_ns, 31_000);
    let path = directory.write("x.jsonl", &text);
    let mut document = load_default(&path).unwrap();
    assert_eq!(document.header().ir_hash, report.ir_hash);
    assert_eq!(all_operations(&mut document, 2), arriving());
    document.rewind();
    assert_eq!(compiled(&mut document, CompileBounds::default(), Format::V2).1, text);
    let mut copy = Vec::new();
    convert(&path, Format::V2, &mut copy).unwrap();
    assert_eq!(String::from_utf8(copy).unwrap(), text);
}

#[test]
fn version_1_takes_arrivals_that_wait_for_nothing() {
    let directory = Directory::new();
    let fitting: Vec<Operation> = fitting()
        .into_iter()
        .map(|op| match op.due {
            Due::At(at_ns) => {
                Operation { due: Due::Arrival { at_ns, think_ns: 0, late: Late::Queue }, ..op }
            }
            _ => op,
        })
        .collect();
    let waiting = Made::new(header(1, false), fitting);
    let (report, text) = compiled(&mut { waiting }, CompileBounds::default(), Format::V1);
    let mut document = load_default(&directory.write("x.json", text)).unwrap();
    assert_eq!(document.header().ir_hash, report.ir_hash);
    let dues: Vec<Due> = all_operations(&mut document, 9).iter().map(|op| op.due).collect();
    assert_eq!(dues, [0, 5_000, 5_000, 7_000].map(Due::At));
}

#[test]
fn version_1_has_no_operation_of_a_client_beyond_those_there_are() {
    let directory = Directory::new();
    let header = r#"{"version":2,"workloads":[{"name":"w","clients":1}]}"#;
    let beyond = r#"{"client":1,"after_ns":0,"type":"Delete","path":"a"}"#;
    let path = directory.write("x.jsonl", format!("{header}\n{beyond}\n{{\"operations\":1}}\n"));
    let error = convert(&path, Format::V1, Vec::new()).unwrap_err().to_string();
    assert!(error.contains("its client is beyond those of the header"), "{error}");
}

#[test]
fn a_failing_disk_is_reported() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for format in [Format::V1, Format::V2] {
        let operations = stream(1, 1, 1, Path::new("/"));
        let mut source =
            Made::new(header(1, false), operations.into_iter().filter(|_| false).collect());
        let error = compile(&mut source, CompileBounds::default(), format, Full).unwrap_err();
        assert_eq!(error.to_string(), "the document cannot be written: no storage space");
    }
}
