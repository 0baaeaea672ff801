//! `smbench watch`: runs that reload their script.

use std::fs::{self, File};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::program::{Place, Running, names};
use crate::terminal::Terminal;

/// A workload that leaves nothing on the server. Its iteration is `{}`.
const WORKLOAD: &str = "bench.workload {
    name = 'w',
    setup = function(c) c:mkdir('w' .. c.id) end,
    iteration = function(c) {} end,
    teardown = function(c) c:rmdir('w' .. c.id) end,
}
";
const WATCH: &str = "watch s.lua --embedded-dir share --out out --allow-late";

fn with_iteration(iteration: &str) -> String {
    WORKLOAD.replace("{}", iteration)
}

/// Makes a place with a script of this iteration, and a directory for the embedded server.
fn place(iteration: &str) -> Place {
    let place = Place::with_script(&with_iteration(iteration));
    fs::create_dir(place.path().join("share")).unwrap();
    place
}

/// Replaces the script at once, as an editor does.
fn edit(place: &Place, script: &str) {
    place.write("edited.lua", script);
    fs::rename(place.path().join("edited.lua"), place.path().join("s.lua")).unwrap();
}

/// Starts a watched run on a terminal, and waits until it iterates.
fn on(terminal: &Terminal, place: &Place) -> Running {
    let call = place.smbench(WATCH).env("NO_COLOR", "1").stdin(terminal.open());
    let mut running = call.stdout(terminal.open()).stderr(terminal.open()).start();
    running.until("the end of the setup", || place.path().join("share/w0").exists());
    running.until("the mode for keys", || !terminal.is_for_lines());
    running
}

fn until_written(running: &mut Running, terminal: &Terminal, text: &str) {
    running.until(text, || terminal.written().contains(text));
}

fn summary(place: &Place) -> Value {
    serde_json::from_str(&place.read("out/summary.json")).unwrap()
}

#[test]
fn on_a_terminal_r_looks_at_the_files_and_q_ends_the_run_as_at_its_planned_end() {
    let place = place("c:stat('') c:think('5ms')");
    let mut terminal = Terminal::new();
    let mut running = on(&terminal, &place);
    terminal.press("r");
    until_written(&mut running, &terminal, "reload: nothing has changed, generation 1 goes on\n");
    edit(&place, &with_iteration("c:stat('') c:think('6ms')"));
    terminal.press("r");
    until_written(&mut running, &terminal, "reload: generation 2 accepted ");
    until_written(&mut running, &terminal, "  gen 2: ");
    terminal.press("q");
    running.end().exits(0);
    assert!(terminal.is_for_lines(), "the terminal has its own mode again");
    let written = terminal.end();
    assert_eq!(written.matches(" accepted ").count(), 1, "{written}");
    assert!(written.contains("reload: generation 2, the client moved: "), "{written}");
    assert!(!written.contains("\x1b[3"), "NO_COLOR is set: {written}");
    let summary = summary(&place);
    assert_eq!(summary["exit_reasons"], json!([]));
    assert_ne!(summary["trust"]["verdict"], "interrupted");
    assert_eq!(summary["generations"].as_array().unwrap().len(), 2);
    assert_eq!(names(&place.path().join("share")), [""; 0], "teardown has run");
}

#[test]
fn the_terminal_has_its_own_mode_again_however_the_run_ends() {
    let mut late = Vec::new();
    for (iteration, signal, code) in [
        ("c:stat('') c:think('5ms')", Some(Signal::INT), 130),
        ("c:stat('') c:think('5ms')", Some(Signal::TERM), 130),
        ("if c.iteration > 2000 then error('late') end c:stat('')", None, 2),
    ] {
        let place = place(iteration);
        let terminal = Terminal::new();
        let running = on(&terminal, &place);
        if let Some(signal) = signal {
            running.signal(signal);
        }
        running.end().exits(code);
        assert!(terminal.is_for_lines(), "{iteration}, {signal:?}");
        late.push(terminal.end().contains("s.lua:4: late"));
    }
    assert_eq!(late, [false, false, true]);
}

#[test]
fn a_refused_edit_is_one_line_with_the_place_the_reason_and_what_to_do() {
    let place = place("c:stat('') c:think('5ms')");
    let written = place.path().join("err");
    let mut running = place.smbench(WATCH).stderr(File::create(&written).unwrap()).start();
    running.until("the end of the setup", || place.path().join("share/w0").exists());
    let good = with_iteration("c:stat('') c:think('5ms')");
    let restart = "restart needed: end this run, and start another one";
    let edits = [
        (with_iteration("c:stat(''"), "s.lua:4: Expected ')' (to close '(' at column 35), got 'end'".to_string()),
        (with_iteration("c:stst('')"), "s.lua:4: unknown method 'stst': did you mean 'stat'?".into()),
        (good.replace("name =", "nmae ="), "s.lua:1: bench.workload: unknown field 'nmae': did you mean 'name'?".into()),
        (good.clone() + "bench.thresholds { 'stat.response.p99 < 5' }", "s.lua:7: bench.thresholds: 'stat.response.p99 < 5': stat.response.p99 is a time: write it with its unit".into()),
        (good.clone() + "require('./nowhere')", "s.lua:7: module \"./nowhere\" not found: the script's directory has none of nowhere.lua".into()),
        ("-- nothing\n".into(), "s.lua: the script has no workload; add bench.workload {".into()),
        (good.clone() + "bench.setup(function(c) end)", format!("bench.setup or bench.teardown was added, and the run began with neither; {restart}")),
        (good.clone() + "bench.phases { { name = 'all', duration = '5s' } }", format!("the phases have changed, and those of a run are fixed; {restart}")),
        (good.clone() + "bench.on_break { policy = 'ignore' }", format!("bench.on_break has changed for workload 'w', and its connections keep what they began with; {restart}")),
    ];
    let mut lines = 0;
    for (script, expected) in edits {
        edit(&place, &script);
        let expected = format!("reload refused, generation 1 goes on: {expected}");
        let refused = || {
            let written = fs::read_to_string(&written).unwrap();
            let refused = written.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            refused.filter(|line| line.contains("refused")).map(String::from).collect::<Vec<_>>()
        };
        running.until(&expected, || refused().len() > lines);
        let refused = refused();
        lines += 1;
        assert_eq!(refused.len(), lines, "{refused:#?}");
        let line = refused.last().unwrap();
        assert!(line.starts_with(&expected), "{line}\n{expected}");
        assert_eq!(line.matches(expected.as_str()).count(), 1, "{line}");
    }
    running.signal(Signal::INT);
    running.end().exits(130);
    let note = format!("{lines} edits were refused, and the generation before went on");
    assert_eq!(summary(&place)["notes"], json!([note]));
}

#[test]
fn a_watched_run_without_an_end_lasts_until_it_is_interrupted() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c) c:mkdir('d' .. c.iteration) c:think('5ms') end }",
    );
    std::fs::create_dir(place.path().join("share")).unwrap();
    let line = "watch s.lua --embedded-dir share --out out --allow-late";
    let mut running = place.smbench(line).start();
    // A run that is not watched ends after ten seconds.
    let later = place.path().join("share/d2100");
    running.until("operations after more than ten seconds", || later.exists());
    running.signal(Signal::INT);
    running.end().exits(130);
    let summary: serde_json::Value = serde_json::from_str(&place.read("out/summary.json")).unwrap();
    assert_eq!(summary["exit_reasons"], json!(["interrupted"]));
    assert!(summary["phases"][0]["duration_s"].as_f64().unwrap() > 10.0, "{summary}");
}

#[test]
fn a_document_that_can_be_read_only_once_is_refused() {
    let place = Place::new();
    let pipe = place.path().join("day.jsonl");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let message = place.smbench("watch day.jsonl").end().refused(2);
    assert!(message.contains("is not a regular file; write the document to a file"), "{message}");
}

#[test]
fn a_ready_workload_is_refused_with_how_to_get_its_file() {
    let place = Place::new();
    let ended = place.smbench("watch @scripts/office").end().exits(2);
    let advice =
        "write it to a file with 'smbench scripts show office >office.lua', and watch that";
    assert!(ended.stderr.contains(advice), "{}", ended.stderr);
}
