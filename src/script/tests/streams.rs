use super::*;
use crate::ir::{Due, HandleOperation, OperationKind};

/// A document of two clients: a run-wide setup, and opens, reads and a rename.
const DAY: &str = r#"{"version":2,"source":"day","workloads":[{"name":"staff","clients":2}],"run_client":true}
{"client":2,"section":"setup","after_ns":0,"type":"Mkdir","path":"team"}
{"client":0,"at_ns":0,"type":"Open","path":"team/a.docx","mode":"Read","handle_ref":0}
{"client":0,"at_ns":10,"type":"Read","handle_ref":0,"offset":0,"length":100}
{"client":1,"at_ns":15,"type":"Open","path":"team/b.tmp","mode":"ReadWrite","handle_ref":0}
{"client":1,"at_ns":16,"type":"Write","handle_ref":0,"offset":0,"length":10,"payload":"zero"}
{"client":0,"at_ns":20,"type":"Close","handle_ref":0}
{"client":1,"at_ns":30,"type":"Close","handle_ref":0}
{"client":1,"at_ns":40,"type":"Rename","source_path":"team/b.tmp","dest_path":"team/b.docx","replace":true}
{"operations":8}
"#;

/// Returns a script that transforms the document by these stages.
fn transforming(stages: &str) -> Written {
    let text = format!("bench.transform(bench.load('day.jsonl'), {{\n{stages}\n}})");
    script(&text).file("day.jsonl", DAY).with(|options| options.iterations = None)
}

/// Describes an operation in few words.
fn brief(operation: &Operation) -> String {
    let client = operation.client_idx;
    let due = match operation.due {
        Due::At(at_ns) => format!("at {at_ns}"),
        Due::After(after_ns) => format!("+{after_ns}"),
        Due::Arrival { at_ns, .. } => format!("arrival {at_ns}"),
    };
    let kind = operation.operation_type().name();
    let what = match &operation.kind {
        OperationKind::Open(open) => format!("{}={}", open.handle_ref.0, open.path),
        OperationKind::OnHandle(handle, HandleOperation::Read { offset, length }) => {
            format!("{} {offset} {length}", handle.0)
        }
        OperationKind::OnHandle(handle, _) => handle.0.to_string(),
        OperationKind::ByPath(operation) => {
            let (path, dest) = operation.paths();
            dest.map_or_else(|| path.to_string(), |dest| format!("{path} {dest}"))
        }
    };
    format!("{client} {due} {kind} {what}")
}

fn made(written: &Written) -> Vec<String> {
    written.operations().iter().map(brief).collect()
}

#[test]
fn a_loaded_stream_that_no_other_is_made_of_is_run() {
    let loaded = script("bench.load('day.jsonl')").file("day.jsonl", DAY);
    let loaded = loaded.with(|options| options.iterations = None);
    let all = made(&loaded);
    assert_eq!(all.len(), 8);
    assert_eq!(all[0], "2 +0 mkdir team");
    assert_eq!(all[1], "0 at 0 open 0=team/a.docx");
    let header = loaded.load().unwrap().header().clone();
    assert!(header.bounded && header.run_client);
    assert_eq!((header.workloads.len(), header.client_name(1)), (1, "staff/1".into()));
    let twice = "local day = bench.load('day.jsonl')
        bench.merge { one = day, two = bench.transform(day, {}) }";
    let twice = script(twice).file("day.jsonl", DAY).with(|options| options.iterations = None);
    assert_eq!(made(&twice).len(), 16);
    assert_eq!(twice.load().unwrap().header().client_name(3), "two/staff/1");
}

#[test]
fn native_stages_are_applied_in_their_order() {
    let stages = "bench.filter { path = '!*.tmp' },
        bench.time_warp { factor = 2 },
        bench.rewrite_paths { { from = 'team', to = 'x/y' } },
        bench.shift { by = '1us' },";
    let expected = [
        "2 +0 mkdir x/y",
        "0 at 1000 open 0=x/y/a.docx",
        "0 at 1020 read 0 0 100",
        "0 at 1040 close 0",
    ];
    assert_eq!(made(&transforming(stages)), expected);
}

#[test]
fn a_function_changes_drops_and_adds_operations() {
    let stages = "bench.map(function(op, emit, rng)
            if op.kind == 'rename' then return end
            if op.kind == 'close' then emit:flush(op.handle) end
            if op.kind == 'read' then op.length = 8 end
            if op.path == 'team/b.tmp' and op.kind == 'open' then op.path = 'team/c.tmp' end
            emit(op)
            if op.kind == 'read' then
                op.offset = 64
                emit(op)
                local h = emit:open('team/other', 'r')
                emit:close(h)
            end
        end)";
    let expected = [
        "2 +0 mkdir team",
        "0 at 0 open 0=team/a.docx",
        "0 at 10 read 0 0 8",
        "0 +0 read 0 64 8",
        "0 +0 open 1=team/other",
        "0 +0 close 1",
        "0 at 20 flush 0",
        "0 +0 close 0",
        "1 at 15 open 0=team/c.tmp",
        "1 at 16 write 0",
        "1 at 30 flush 0",
        "1 +0 close 0",
    ];
    assert_eq!(made(&transforming(stages)), expected);
}

#[test]
fn what_is_done_on_a_handle_is_dropped_with_its_open_and_a_close_is_kept_with_it() {
    let dropped =
        transforming("bench.map(function(op, emit) if op.kind ~= 'open' then emit(op) end end)");
    assert_eq!(made(&dropped), ["2 +0 mkdir team", "1 at 40 rename team/b.tmp team/b.docx"]);
    let kept =
        transforming("bench.map(function(op, emit) if op.kind == 'open' then emit(op) end end)");
    let expected = [
        "0 at 0 open 0=team/a.docx",
        "0 at 20 close 0",
        "1 at 15 open 0=team/b.tmp",
        "1 at 30 close 0",
    ];
    assert_eq!(made(&kept), expected);
}

#[test]
fn random_numbers_of_a_function_are_each_clients_own_and_the_same_in_any_batches() {
    let stages = "bench.filter { ops = { 'open', 'read', 'write' } },
        bench.scale_clients { to = 6 },
        bench.map(function(op, emit, rng)
            if op.length then op.length = 1 + rng:int(0, 1000000) end
            emit(op)
        end)";
    let written = transforming(stages);
    let [one, many] = [1, 64].map(|batch| all(&mut written.load().unwrap(), batch).unwrap());
    assert_eq!(one, many);
    assert_eq!(all_dealt(&written, 3, 7), many);
    let lengths: std::collections::BTreeSet<u64> = (many.iter())
        .filter_map(|operation| match operation.kind {
            OperationKind::OnHandle(_, HandleOperation::Read { length, .. }) => Some(length),
            _ => None,
        })
        .collect();
    assert_eq!(lengths.len(), 3, "one of each clone");
}

#[test]
fn a_script_has_workloads_beside_a_stream_and_hooks_and_thresholds_for_both() {
    let text = "bench.load('day.jsonl')
        bench.setup(function(c) local h = c:open('own', 'rw') c:stat('x') end)
        bench.workload { name = 'own', clients = 2, iteration = function(c) c:stat('mine') end }
        bench.on_complete({ workload = 'staff' }, function() end)
        bench.thresholds { { 'read.count > 0', workload = 'staff' } }";
    let written = script(text).file("day.jsonl", DAY);
    let all = made(&written);
    let expected_first = ["4 +0 open 0=own", "4 +0 stat x", "4 +0 mkdir team", "0 +0 stat mine"];
    assert_eq!(all[..4], expected_first);
    assert_eq!(all[5], "2 at 0 open 0=team/a.docx");
    let header = written.load().unwrap().header().clone();
    assert_eq!((header.clients(), header.client_name(3)), (5, "staff/1".into()));
    let seqs = written.operations();
    let of_run_client: Vec<u32> =
        seqs.iter().filter(|op| op.client_idx == 4).map(|op| op.seq).collect();
    assert_eq!(of_run_client, [0, 1, 2]);
    let same_name =
        script("bench.load('day.jsonl') bench.workload { name = 'Staff', iteration = print }")
            .file("day.jsonl", DAY);
    assert!(
        same_name.refused().contains("two workloads are named 'staff' (case does not count)"),
        "{}",
        same_name.refused()
    );
}

#[test]
fn a_document_outside_of_the_project_is_read_only_if_the_command_line_names_it() {
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("day.jsonl");
    std::fs::write(&path, DAY).unwrap();
    let path = path.to_str().unwrap();
    let text =
        "local P = bench.params { day = { type = 'string', default = 'none' } } bench.load(P.day)";
    let loads = |text: &str| script(text).with(|options| options.iterations = None);
    assert_eq!(made(&loads(text).param("day", path)).len(), 8);
    for wrong in [path, "../day.jsonl", "link.jsonl"] {
        let written = loads(&format!("bench.load({wrong:?})"));
        std::os::unix::fs::symlink(path, written.path("link.jsonl")).unwrap();
        let message = written.refused();
        assert!(message.starts_with("s.lua:1: bench.load: "), "{message}");
        assert!(message.contains("is outside of the script's directory"), "{message}");
    }
    let message = loads(text).refused();
    assert!(
        message.starts_with("s.lua:1: bench.load: cannot read none: No such file"),
        "{message}"
    );
}

#[test]
fn a_document_is_not_read_again_by_other_vms_of_a_script() {
    let written = transforming("bench.sample { fraction = 1 }");
    assert_eq!(written.operations().len(), 8);
    std::fs::remove_file(written.path("day.jsonl")).unwrap();
    assert_eq!(written.operations().len(), 8);
}

#[test]
fn a_wrong_document_and_a_wrong_stage_name_their_line() {
    let broken = transforming("").file("day.jsonl", &DAY.replace("\"at_ns\":30", "\"at_ns\":3"));
    let message = broken.refused();
    assert!(message.starts_with("s.lua:1: bench.load: day.jsonl:8: "), "{message}");
    for (stages, expected) in [
        (
            "bench.filter { path = 'a[b' }",
            "s.lua:2: bench.filter: path: \"a[b\" is no pattern: unclosed character class; missing ']'",
        ),
        (
            "bench.filter {}",
            "s.lua:2: bench.filter has no condition: name ops, path, client, from or to",
        ),
        (
            "bench.filter { ops = 'read' }",
            "s.lua:2: bench.filter: ops: read acts on a handle, and without its open all that is done on it is dropped; write { \"open\", \"read\" } (the close follows the open)",
        ),
        (
            "bench.filter { ops = 'raed' }",
            "s.lua:2: bench.filter: ops: unknown operation 'raed': did you mean 'read'?",
        ),
        (
            "bench.filter { client = 'nobody' }",
            "s.lua:2: bench.filter: no client matches \"nobody\"; the first is named \"staff/0\"",
        ),
        (
            "bench.filter { from = '2s', to = '1s' }",
            "s.lua:2: bench.filter: from is not before to, so that nothing would remain",
        ),
        (
            "bench.scale_clients { to = 1 }",
            "s.lua:2: bench.scale_clients: the stream already has 2 clients, which are more than 1: clients are added, and none is dropped",
        ),
        (
            "bench.scale_clients { to = 9, path = 'all/{path}' }",
            "s.lua:2: bench.scale_clients: the path has no {k}, so that all clones would use the same files; write such as \"clone{k}/{path}\", or \"{path}\" if they are to share the files",
        ),
        (
            "bench.scale_clients { to = 9, path = 'clone{k}' }",
            "s.lua:2: bench.scale_clients: path: \"clone{k}\" lacks {path}: every file would get the same path",
        ),
        ("bench.scale_clients {}", "s.lua:2: bench.scale_clients needs to, such as to = 1000"),
        (
            "bench.time_warp { factor = 0 }",
            "s.lua:2: bench.time_warp: factor is 0; it is between 0.000001 and 1000000",
        ),
        (
            "bench.repeat_stream { times = 0 }",
            "s.lua:2: bench.repeat_stream: times is 0; it is between 1 and 1000000",
        ),
        (
            "bench.repeat_stream { times = 2, period = '0s' }",
            "s.lua:2: bench.repeat_stream: a period of 0 s is shorter than the stream, which lasts 0.00000004 s: time would go backwards",
        ),
        (
            "bench.sample { fraction = 2 }",
            "s.lua:2: bench.sample: fraction is 2; it is between 0 and 1",
        ),
        (
            "bench.mix {}",
            "s.lua:2: bench.mix takes a list of 1 to 1000 rules without names and gaps, such as { { path = \"*.docx\", weight = 3 } }",
        ),
        (
            "bench.mix { { path = '*' } }",
            "s.lua:2: bench.mix: rule 1 needs weight, such as weight = 3",
        ),
        (
            "bench.rewrite_paths { { from = 'a' } }",
            "s.lua:2: bench.rewrite_paths: rule 1 needs to, such as to = \"bench/home\"",
        ),
        ("bench.shift { by = 'later' }", "s.lua:2: bench.shift: by: "),
        (
            "bench.map(1)",
            "s.lua:2: bench.map takes a function, such as function(op, emit, rng) emit(op) end, not 1",
        ),
        ("7", "s.lua:1: bench.transform: entry 1 is no stage, such as bench.filter { … }, but 7"),
    ] {
        let message = transforming(stages).refused();
        assert!(message.starts_with(expected), "{stages}: {message}");
    }
    let at_top = |text: &str| script(text).with(|options| options.iterations = None).refused();
    assert!(
        at_top("bench.load(7)").starts_with("s.lua:1: bench.load takes the path of a document")
    );
    assert!(at_top("bench.transform({}, {})").contains("the first argument is a stream"));
    assert!(at_top("bench.merge {}").contains("there is no stream"));
}

#[test]
fn a_stage_that_breaks_off_names_its_line_and_the_operation() {
    let shift = "bench.shift { by = '-5ns' }";
    let expected = "s.lua:2: bench.shift: operation 0-0 would be before time zero: it is due at 0 s; shift by less, or drop what is earlier with bench.filter { from = … }";
    assert_eq!(transforming(&shift.replace("-5ns", "-0.005us")).message(), expected);
    let map = |body: &str| {
        transforming(&format!("bench.map(function(op, emit, rng) {body} end)")).message()
    };
    for (body, expected) in [
        ("error('boom')", "s.lua:2: boom"),
        (
            "emit(op) emit(op)",
            "s.lua:2: this open was emitted before; open the file a second time with local h = emit:open(…)",
        ),
        (
            "emit(op) if op.kind == 'read' then emit:close(op.handle) emit(op) end",
            "s.lua:2: handle used after close",
        ),
        (
            "for i = 1, 2000 do emit:stat('x') end",
            "s.lua:2: stat: more than 1000 operations made of operation 2-0",
        ),
        (
            "emit(7)",
            "s.lua:2: emit takes the operation that the function was given: emit(op); others are made with emit:stat(path) and the like, not with 7",
        ),
        (
            "op.kind = 'x'",
            "s.lua:2: op.kind cannot be set; path, dest, offset, length, size, at and after can",
        ),
        ("op.offset = 1", "s.lua:2: op.offset cannot be set: mkdir has no offset of its own"),
        (
            "emit:think('5ms')",
            "s.lua:2: in bench.map the first operation made has the time of op; set op.at or op.after",
        ),
        (
            "if op.kind == 'write' then op.at = 0 end emit(op)",
            "s.lua: operation 1-1 would be due at 0 ns, before the previous one, at 15 ns: set op.at to a later time",
        ),
        (
            "emit:running()",
            "s.lua:2: emit:running() has no meaning: the function of bench.map is called once for each operation",
        ),
        ("c = 1", "s.lua:2: "),
    ] {
        let message = map(body);
        let rest =
            message.strip_prefix("s.lua:2: bench.map: ").unwrap_or_else(|| panic!("{message}"));
        assert!(rest.starts_with(expected), "{body}: {message}");
    }
    let endless = transforming("bench.map(function(op, emit) while true do end end)");
    let endless = endless.with(|options| options.limits = quick()).message();
    assert!(endless.contains("s.lua:2: no result after 150ms of computing"), "{endless}");
}

#[test]
fn objects_of_a_function_are_of_no_use_after_it_has_returned() {
    let text = "local kept
        bench.transform(bench.load('day.jsonl'), { bench.map(function(op, emit) kept = op emit(op) end) })
        bench.workload { name = 'w', iteration = function(c) if kept then c:stat(kept.path) end c:stat('x') end }";
    let written = script(text).file("day.jsonl", DAY);
    let mut loaded = written.load().unwrap();
    let mut into = Vec::new();
    loaded.pull(1, Section::Iteration, 64, &mut into).unwrap();
    let error = loaded.pull(0, Section::Iteration, 64, &mut into).unwrap_err();
    assert!(error.message.contains("op is used after its function has returned"), "{error}");
}

#[test]
fn flags_of_workloads_are_refused_if_there_is_only_a_stream() {
    let stream = || script("bench.load('day.jsonl')").file("day.jsonl", DAY);
    assert!(stream().refused().contains("--iterations counts those of workloads"));
    let more = stream().with(|options| {
        (options.iterations, options.clients) = (None, vec![clients("5")]);
    });
    assert!(more.refused().contains("bench.scale_clients { to = 5 }"), "{}", more.refused());
}

#[test]
fn streams_that_are_too_deep_or_joined_of_too_many_are_refused_and_shared_ones_are_made_once() {
    let run =
        |text: &str| script(text).file("day.jsonl", DAY).with(|options| options.iterations = None);
    let deep = "local s, stages = bench.load('day.jsonl'), {}
        for i = 1, 100 do stages[i] = bench.time_warp { factor = 1 } end
        for i = 1, 3 do s = bench.transform(s, stages) end";
    let message = run(deep).refused();
    let expected = "s.lua:3: 301 stages follow one another, with those of the streams that this one is made of; at most 256 are possible";
    assert_eq!(message, expected);
    let doubled = "local s = bench.load('day.jsonl')
        for i = 1, TIMES do s = bench.merge { a = s, b = s, join = true } end";
    let message = run(&doubled.replace("TIMES", "60")).refused();
    assert!(message.contains("of more than 1000 clients; merge without join"), "{message}");
    let joined = run(&doubled.replace("TIMES", "9"));
    assert_eq!(joined.load().unwrap().header().workload_clients(), 2);
    assert_eq!(joined.operations().len(), 8 << 9);
}

#[test]
fn a_path_that_means_two_files_is_refused() {
    // The tests run in the directory of the package.
    let text = "local P = bench.params { note = { type = 'string', default = 'x' } }
        bench.load('Cargo.toml')";
    let written = script(text).file("Cargo.toml", DAY).with(|options| options.iterations = None);
    assert_eq!(written.operations().len(), 8);
    let message = written.param("note", "Cargo.toml").refused();
    assert!(message.starts_with("s.lua:2: bench.load: \"Cargo.toml\" is in the current directory, where -p names it, and in the script's directory"), "{message}");
}

#[test]
fn a_time_set_beyond_a_repetition_is_refused() {
    let stages =
        "bench.map(function(op, emit) if op.kind == 'rename' then op.at = '1s' end emit(op) end),
        bench.repeat_stream { times = 2 }";
    let expected = "s.lua:3: bench.repeat_stream: operation 1-3 is due at 1 s, after the end of a repetition (0.00000004 s); give a longer period";
    assert_eq!(transforming(stages).message(), expected);
    let longer = stages.replace("times = 2", "times = 2, period = '2s'");
    assert_eq!(transforming(&longer).operations().len(), 15);
}

#[test]
fn an_operation_after_a_dropped_arrival_is_due_when_it_was() {
    let document = r#"{"version":2,"workloads":[{"name":"w","clients":1}]}
{"client":0,"at_ns":1000,"after_ns":0,"type":"Stat","path":"a"}
{"client":0,"after_ns":500,"type":"Delete","path":"b"}
{"client":0,"iteration":1,"at_ns":3000,"after_ns":10,"type":"Stat","path":"a"}
{"client":0,"iteration":1,"after_ns":500,"type":"Delete","path":"b"}
{"operations":4}
"#;
    let written = transforming("bench.filter { ops = 'delete' }").file("day.jsonl", document);
    assert_eq!(made(&written), ["0 arrival 1500 delete b", "0 arrival 3500 delete b"]);
}

#[test]
fn steps_of_the_script_and_of_a_stream_stay_apart_in_the_run_wide_client() {
    let document = DAY.replace(
        "\"after_ns\":0,\"type\":\"Mkdir\"",
        "\"after_ns\":0,\"step\":{\"name\":\"make\"},\"type\":\"Mkdir\"",
    );
    let text = "bench.load('day.jsonl')
        bench.setup(function(c) c:step('make', function() c:stat('x') end) end)";
    let written =
        script(text).file("day.jsonl", &document).with(|options| options.iterations = None);
    let operations = written.operations();
    let [one, other] = [0, 1].map(|at| operations[at].step.clone().unwrap());
    assert_eq!((&*one.name, &*other.name), ("make", "make"));
    assert_ne!(one, other);
    let joined = transforming("").file(
        "day.jsonl",
        &DAY.replace("\"at_ns\":10,", "\"at_ns\":10,\"step\":{\"name\":\"load\"},"),
    );
    let text = "local s = bench.load('day.jsonl') bench.merge { a = s, b = s, join = true }";
    let joined = joined.file("s.lua", text).message();
    assert!(joined.contains("operation 0-1 belongs to a step"), "{joined}");
}
