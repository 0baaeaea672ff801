//! Edits that a watched run cannot follow. Each is refused with its place and the reason, the
//! generation before goes on, and the next edit that can be followed is accepted.

use crate::program::Place;
use crate::watched::Watched;

/// Returns a script with 40 clients, of which each leaves a mark. `more` is at its beginning.
fn script(more: &str, mark: &str) -> String {
    format!(
        "{more}
        bench.workload {{ name = 'w', clients = 40, iteration = function(c)
            c:mkdir('{mark}' .. c.id, {{ expect = 'any' }})
            c:think('10ms')
        end }}"
    )
}

/// Edits the script so that `text` is refused for `reason`. The run goes on as before, and
/// `accepted` is accepted.
fn refused(place: Place, flags: &str, text: &str, reason: &str, accepted: &str) {
    let mut run = Watched::embedded(place, flags);
    run.until(&["one0"]);
    run.edit("s.lua", text);
    let said = run.refused(1);
    assert!(said.contains(reason), "{said}");
    // The clients are still there.
    std::fs::remove_dir(run.shared("one0")).unwrap();
    run.until(&["one0"]);
    run.edit("s.lua", accepted);
    run.accepted(2);
    run.until(&["two0", "two39"]);
    let reloaded = run.end();
    assert_eq!(reloaded.generations().len(), 2);
    let notes = reloaded.summary["notes"].to_string();
    assert!(notes.contains("1 edit was refused, and the generation before went on"), "{notes}");
}

/// Checks that a script that begins with `first` goes on when it begins with `next` instead.
fn refused_beginning(first: &str, next: &str, reason: &str) {
    let place = Place::with_script(&script(first, "one"));
    refused(place, "", &script(next, "bad"), reason, &script(first, "two"));
}

#[test]
fn a_syntax_error() {
    refused_beginning("", "local x = = 1", "s.lua:1: ");
}

#[test]
fn an_error_in_the_top_level() {
    refused_beginning("", "local t = nil\nt.x = 1", "s.lua:2: ");
}

#[test]
fn an_error_in_an_iteration_of_one_late_client() {
    let bad = script("", "bad").replace("c:think", "if c.id == 30 then error('no') end\nc:think");
    let place = Place::with_script(&script("", "one"));
    refused(place, "", &bad, "s.lua:4: no", &script("", "two"));
}

#[test]
fn a_top_level_that_does_not_end() {
    let place = Place::with_script(&script("", "one"));
    let text = script("while true do end", "bad");
    let reason = "no result after 300ms of computing (--script-time)";
    refused(place, "--script-time 300ms", &text, reason, &script("", "two"));
}

#[test]
fn an_iteration_that_does_not_end() {
    let bad =
        script("", "bad").replace("c:think", "if c.id == 30 then while true do end end\nc:think");
    let place = Place::with_script(&script("", "one"));
    let reason = "s.lua:4: no result after 300ms of computing (--script-time)";
    refused(place, "--script-time 300ms", &bad, reason, &script("", "two"));
}

#[test]
fn other_phases() {
    refused_beginning(
        "bench.phases { { name = 'a', duration = '10m' } }",
        "bench.phases { { name = 'a', duration = '9m' } }",
        "the phases have changed, and those of a run are fixed; restart needed",
    );
}

#[test]
fn a_run_wide_client_that_appears() {
    refused_beginning(
        "",
        "bench.setup(function(c) c:mkdir('all') end)",
        "bench.setup or bench.teardown was added",
    );
}

#[test]
fn a_run_wide_client_that_vanishes() {
    refused_beginning("bench.setup(function(c) c:mkdir('all') end)", "", "restart needed");
}

#[test]
fn a_metric_of_another_kind() {
    refused_beginning("bench.counter('seen')", "bench.gauge('seen')", "'seen'");
}

#[test]
fn a_parameter_that_is_in_use_and_vanishes() {
    let params = "local P = bench.params { pause = { type = 'int', default = 1 } }";
    let place = Place::with_script(&script(params, "one"));
    let bad = script(&params.replace("pause", "paus"), "bad");
    let reason = "-p pause: unknown parameter 'pause': did you mean 'paus'?";
    refused(place, "-p pause=5", &bad, reason, &script(params, "two"));
}

#[test]
fn no_workload_at_all() {
    let place = Place::with_script(&script("", "one"));
    refused(place, "", "", "s.lua: the script has no workload", &script("", "two"));
}

#[test]
fn a_module_cycle() {
    let place = Place::with_script(&script("require('./a')", "one"));
    place.write("a.lua", "return 1");
    let mut run = Watched::embedded(place, "");
    run.until(&["one0"]);
    run.edit("b.lua", "return require('./a')");
    run.edit("a.lua", "return require('./b')");
    let reason = run.refused(1);
    assert!(reason.contains("b.lua:1: ") && reason.contains("a.lua"), "{reason}");
    // The module that was read for the first time is watched too.
    run.edit("b.lua", "return 2");
    run.accepted(2);
    run.end();
}

#[test]
fn a_module_that_vanishes_and_comes_back() {
    let place = Place::with_script(&script("require('./a')", "one"));
    let module = place.write("a.lua", "return 1");
    let mut run = Watched::embedded(place, "");
    run.until(&["one0"]);
    std::fs::remove_file(&module).unwrap();
    let reason = run.refused(1);
    assert!(reason.contains("s.lua:1: ") && reason.contains("./a"), "{reason}");
    run.edit("a.lua", "return 2");
    run.accepted(2);
    run.end();
}

#[test]
fn a_file_that_was_written_by_half() {
    let place = Place::with_script(&script("", "one"));
    let mut run = Watched::embedded(place, "");
    run.until(&["one0"]);
    let whole = script("", "two");
    let (half, _) = whole.split_at(whole.len() / 2);
    run.place.write("s.lua", half);
    let reason = run.refused(1);
    assert!(reason.starts_with("s.lua:"), "{reason}");
    run.place.write("s.lua", &whole);
    run.accepted(2);
    run.until(&["two0", "two39"]);
    run.end();
}
