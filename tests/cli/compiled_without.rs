//! The warnings of `compile` on what a document does not keep of its script.

use crate::program::Place;

const WORKLOAD: &str = "bench.workload { name = 'w', clients = 2, iteration = function(c)
    local h = c:open('f' .. c.id, 'rw', { lease = 'RWH' })
    c:close(h)
end }\n";

fn warnings(place: &Place, line: &str) -> Vec<String> {
    let said = place.smbench(&format!("compile {line} --force")).end().exits(0).stderr;
    let mut lines: Vec<String> = said.lines().map(String::from).collect();
    // Notes follow: the hash, and a bound that ended the document.
    let notes = lines.iter().position(|line| line.contains(", ir_hash "));
    lines.truncate(notes.unwrap_or_else(|| panic!("{said}")));
    lines
}

#[test]
fn thresholds_hooks_and_metrics_are_named_one_by_one() {
    let place = Place::with_script(&format!(
        "{WORKLOAD}
        bench.thresholds {{ 'errors.count == 0', 'open.response.p99 < 1s' }}
        local slow = bench.counter('slow')
        local size = bench.histogram('size')
        bench.on_complete(function() slow:add() end)
        bench.on_end(function() end)"
    ));
    assert_eq!(
        warnings(&place, "s.lua -o x.jsonl --iterations 2"),
        [
            "warning: the document does not have its 2 thresholds (bench.thresholds): give them to the document's run with --threshold",
            "warning: the document does not have its hooks (bench.on_complete, bench.on_end)",
            "warning: the document does not have its metrics (slow, size)",
        ]
    );
}

#[test]
fn a_script_that_a_document_has_whole_is_compiled_without_a_word() {
    let place = Place::with_script(&format!(
        "bench.on_break {{ policy = 'acknowledge', delay = '5ms', flush = true }}
        bench.phases {{ {{ name = 'a', duration = '1s' }} }}
        {WORKLOAD}"
    ));
    assert_eq!(warnings(&place, "s.lua -o x.jsonl --iterations 2"), [""; 0]);
    let header = place.read("x.jsonl");
    let header: serde_json::Value = serde_json::from_str(header.lines().next().unwrap()).unwrap();
    assert_eq!(header["workloads"][0]["on_break"]["delay"], "5ms");
    assert_eq!(header["phases"][0]["name"], "a");
    assert_eq!(warnings(&place, "x.jsonl -o y.jsonl"), [""; 0]);
    assert_eq!(place.read("x.jsonl"), place.read("y.jsonl"));
}

#[test]
fn parts_that_version_1_cannot_contain_are_named() {
    let place = Place::with_script(&format!(
        "local P = bench.params {{ n = {{ type = 'int', default = 1 }} }}
        bench.phases {{ {{ name = 'a', duration = '1s' }} }}
        bench.on_break {{ policy = 'ignore' }}
        {WORKLOAD}"
    ));
    let expected = [
        "warning: the document does not have phases",
        "warning: the document does not have the numbers of iterations",
        "warning: the document does not have the parameters of the script",
        "warning: the document does not have the hash of the script",
    ];
    assert_eq!(warnings(&place, "s.lua -o x.json --iterations 2"), expected);
    // The document keeps how breaks are answered, with the opens.
    assert!(place.read("x.json").contains("\"on_break\":{\"policy\":\"ignore\"}"));
    warnings(&place, "s.lua -o x.jsonl --iterations 2");
    assert_eq!(warnings(&place, "x.jsonl -o y.json"), expected);
    assert_eq!(
        warnings(&place, "x.json -o z.jsonl --operations 3"),
        ["warning: the document does not have the metadata of the version 1 document"]
    );
}

#[test]
fn a_stream_that_no_duration_ends_says_which_bound_was_given_and_which_ends_it() {
    let workload = "bench.workload { name = 'w', iteration = function(c) c:stat('a') end }";
    let place = Place::with_script(workload);
    place.write(
        "phases.lua",
        format!("bench.phases {{ {{ name = 'a', duration = '30s' }} }} {workload}"),
    );
    let fix = "bound them with --iterations N (per client) or --operations N, or let the client think (c:think, c:at)";
    for (line, given) in [
        ("s.lua --duration 5s", "--duration"),
        ("phases.lua", "bench.phases"),
        ("phases.lua --duration 5s", "--duration"),
    ] {
        let message = place.smbench(&format!("compile {line} -o x.jsonl")).end().refused(2);
        assert_eq!(
            message,
            format!(
                "{given} does not end this stream: client w/0 made 100000 operations and its nominal clock did not move, so no duration ends them; {fix}"
            )
        );
    }
    place.smbench("compile phases.lua -o x.jsonl --operations 5").end().exits(0);
}

#[test]
fn sizes_and_offsets_are_in_a_document_as_they_were_written() {
    let place = Place::with_script(
        "local P = bench.params { at = { type = 'size', default = 0 } }
        bench.workload { name = 'w', iteration = function(c)
            local h = c:open('f', 'rw')
            c:lock(h, '9007199254740993', 1)
            c:lock(h, P.at, 2)
            c:close(h)
        end }",
    );
    let line = "compile s.lua -o x.jsonl --iterations 1 -p at=18446744073709551613";
    place.smbench(line).end().exits(0);
    let document = place.read("x.jsonl");
    for offset in ["9007199254740993", "18446744073709551613"] {
        assert!(document.contains(&format!("\"offset\":{offset},")), "{document}");
    }
    place.smbench("compile x.jsonl -o y.jsonl --operations 9").end().exits(0);
    let lines = |text: String| text.lines().skip(1).map(String::from).collect::<Vec<_>>();
    assert_eq!(lines(document), lines(place.read("y.jsonl")), "through the spool and back");
    place.run("x.jsonl --target sim").end().exits(0);
    let number = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c)
            local h = c:open('f', 'rw')
            c:lock(h, 9007199254740993, 1)
        end }",
    );
    assert_eq!(
        number.smbench("validate s.lua").end().refused(2),
        "s.lua:3: lock: offset is 9007199254740992: Lua's numbers are rounded from 2^53 on, so write it as a string, such as \"9007199254740993\" or \"16TiB\" (client w/0)"
    );
}

#[test]
fn an_open_that_is_expected_to_fail_has_nothing_to_close() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c)
            c:open('none', 'r', { expect = 'OBJECT_NAME_NOT_FOUND' })
            c:open('none', 'r', { expect = { 'SHARING_VIOLATION', 'ACCESS_DENIED' } })
            if c.iteration < OPEN then c:open('f' .. c.iteration, 'rw', { expect = 'any' }) end
        end }",
    );
    let text = place.read("s.lua");
    for (open, said) in [
        ("0", ""),
        ("1", "warning: 1 handle is never closed; it is closed at the end\n"),
        ("2", "warning: 2 handles are never closed; they are closed at the end\n"),
    ] {
        place.write("s.lua", text.replace("OPEN", open));
        place.smbench("compile s.lua -o x.jsonl --iterations 5 --force").end().exits(0);
        assert_eq!(place.smbench("validate x.jsonl").end().exits(0).stderr, said);
    }
}
