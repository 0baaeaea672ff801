//! Tests that the editor stubs declare everything that exists and nothing else. smbench itself
//! lists what exists: its error about an unknown word names the known ones.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::ir::OperationType;
use crate::project::standard_library::{LUACATS_DEFINITIONS, LUAU_DEFINITIONS, MODULES};
use crate::script::members::{CLIENT_METHODS, GLOBALS, METRIC_METHODS, RNG_METHODS};
use crate::script::testing::{TestOptions, TestOutcome, run_test_file};

type Names = BTreeSet<String>;

/// The stubs: by class its fields and methods, including inherited ones; by alias its words.
#[derive(Default)]
struct Stubs {
    classes: BTreeMap<String, Names>,
    aliases: BTreeMap<String, Names>,
}

fn stubs() -> Stubs {
    let mut stubs = Stubs::default();
    let (mut class, mut inherits) = (String::new(), Vec::new());
    for line in LUACATS_DEFINITIONS.lines() {
        if let Some(head) = line.strip_prefix("---@class ") {
            let head = head.trim_start_matches("(exact) ");
            let (name, parent) = head.split_once(':').unwrap_or((head, ""));
            class = name.trim().into();
            stubs.classes.insert(class.clone(), Names::new());
            if !parent.is_empty() {
                inherits.push((class.clone(), parent.trim().to_string()));
            }
        } else if let Some(field) = line.strip_prefix("---@field ") {
            let name = field.split([' ', '?']).next().unwrap();
            if !name.starts_with('[') {
                stubs.classes.get_mut(&class).unwrap().insert(name.into());
            }
        } else if let Some(function) = line.strip_prefix("function ") {
            let name = function.split('(').next().unwrap();
            let Some((object, name)) = name.split_once([':', '.']) else {
                assert!(GLOBALS.contains(&name), "{name} is no global");
                continue;
            };
            let class = if object == "bench" { "bench" } else { &format!("bench.{object}") };
            stubs.classes.get_mut(class).unwrap().insert(name.into());
        } else if let Some((name, _)) =
            line.strip_prefix("bench.").and_then(|rest| rest.split_once(" ="))
        {
            stubs.classes.get_mut("bench").unwrap().insert(name.into());
        } else if let Some((name, words)) =
            line.strip_prefix("---@alias ").and_then(|alias| alias.split_once(' '))
        {
            let words = words.split('"').skip(1).step_by(2).map(String::from).collect();
            stubs.aliases.insert(name.into(), words);
        }
    }
    for (class, parent) in inherits {
        let inherited = stubs.classes[&parent].clone();
        stubs.classes.get_mut(&class).unwrap().extend(inherited);
    }
    stubs
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Names {
    names.into_iter().map(String::from).collect()
}

const NO_WORD: &str = "zzzzzzzz";

/// Returns the names that smbench lists in its error about an unknown word.
fn listed(top_level: &str, iteration: &str) -> Names {
    let written = script(&format!(
        "{top_level} bench.workload {{ name = 'w', iteration = function(c) local h = c:open('a', 'r') {iteration} c:close(h) end }}"
    ));
    let message = match written.load() {
        Ok(mut script) => all(&mut script, 64).unwrap_err().message,
        Err(error) => error.to_string(),
    };
    let (_, list) = message.split_once(&format!("'{NO_WORD}': there is ")).expect(&message);
    names(list.split(", "))
}

#[test]
fn the_editor_stubs_have_every_option_there_is_and_no_other() {
    let classes = stubs().classes;
    let key = format!("{NO_WORD} = 1");
    for (class, top_level, iteration) in [
        ("bench.Parameter", "bench.params { x = { KEY } }", ""),
        ("bench.Workload", "bench.workload { KEY }", ""),
        ("bench.Needs", "bench.workload { name = 'v', iteration = print, needs = { KEY } }", ""),
        ("bench.Phase", "bench.phases { { KEY } }", ""),
        ("bench.OpenLoop", "bench.open_loop { KEY }", ""),
        ("bench.OnBreak", "bench.on_break { KEY }", ""),
        ("bench.BreakPolicy", "", "c:open('b', 'r', { on_break = { KEY } })"),
        ("bench.Threshold", "bench.thresholds { { 'read.count > 1', KEY } }", ""),
        ("bench.Filter", "bench.on_complete({ KEY }, print)", ""),
        ("bench.MetricOptions", "bench.counter('a', { KEY })", ""),
        ("bench.MetricOptions", "bench.gauge('a', { KEY })", ""),
        ("bench.MetricOptions", "bench.rate('a', { KEY })", ""),
        ("bench.HistogramOptions", "bench.histogram('a', { KEY })", ""),
        ("bench.FilterStage", "bench.filter { KEY }", ""),
        ("bench.TimeWarpStage", "bench.time_warp { KEY }", ""),
        ("bench.ShiftStage", "bench.shift { KEY }", ""),
        ("bench.ScaleClientsStage", "bench.scale_clients { KEY }", ""),
        ("bench.RepeatStreamStage", "bench.repeat_stream { KEY }", ""),
        ("bench.SampleStage", "bench.sample { KEY }", ""),
        ("bench.MixRule", "bench.mix { { KEY } }", ""),
        ("bench.PathRule", "bench.rewrite_paths { { KEY } }", ""),
        ("bench.OpenOptions", "", "c:open('b', 'r', { KEY })"),
        ("bench.WriteOptions", "", "c:write(h, 0, 1, { KEY })"),
        ("bench.RenameOptions", "", "c:rename('a', 'b', { KEY })"),
        ("bench.LockOptions", "", "c:lock(h, 0, 1, { KEY })"),
        ("bench.Options", "", "c:read(h, 0, 1, { KEY })"),
        ("bench.Options", "", "c:close(h, { KEY })"),
        ("bench.Options", "", "c:delete('a', { KEY })"),
        ("bench.Options", "", "c:mkdir('a', { KEY })"),
        ("bench.Options", "", "c:rmdir('a', { KEY })"),
        ("bench.Options", "", "c:list('a', '*', { KEY })"),
        ("bench.Options", "", "c:stat('a', { KEY })"),
        ("bench.Options", "", "c:truncate(h, 1, { KEY })"),
        ("bench.Options", "", "c:flush(h, { KEY })"),
        ("bench.Options", "", "c:unlock(h, 0, 1, { KEY })"),
    ] {
        let there = listed(&top_level.replace("KEY", &key), &iteration.replace("KEY", &key));
        assert_eq!(classes[class], there, "{class}: {top_level}{iteration}");
    }
}

#[test]
fn the_editor_stubs_have_every_field_of_leases_and_contexts() {
    let classes = stubs().classes;
    for (class, option, there) in [
        (
            "bench.Lease",
            "lease = { KEY = 1 }",
            ["state", "key", "parent_key", "version"].as_slice(),
        ),
        ("bench.Durable", "durable = { KEY = 1 }", &["version", "timeout"]),
        ("bench.CreateContext", "create_contexts = { { KEY = 1 } }", &["name", "data"]),
    ] {
        assert_eq!(classes[class], names(there.iter().copied()));
        let message = |key: &str| {
            let option = option.replace("KEY", key);
            let written = iteration(&format!("c:open('a', 'r', {{ {option} }})"));
            let made = all(&mut written.load().unwrap(), 64);
            made.err().map_or_else(String::new, |error| error.message)
        };
        assert!(message(NO_WORD).contains("has no \"zzzzzzzz\""));
        assert!(there.iter().all(|field| !message(field).contains("has no")), "{class}");
    }
}

#[test]
fn the_editor_stubs_have_every_function_and_method_and_no_other() {
    let Stubs { classes, .. } = stubs();
    let mut functions = listed(&format!("bench.{NO_WORD}()"), "");
    // `state` exists only in hooks.
    functions.insert("state".into());
    assert_eq!(classes["bench"], functions);
    assert_eq!(classes["bench.Client"], names(CLIENT_METHODS.iter().copied()));
    assert_eq!(classes["bench.Rng"], names(RNG_METHODS.iter().copied()));
    let metrics = ["bench.Counter", "bench.Gauge", "bench.Rate", "bench.Histogram"];
    let methods: Names = metrics.iter().flat_map(|class| classes[*class].clone()).collect();
    assert_eq!(methods, names(METRIC_METHODS.iter().map(|(method, _)| *method)));
    for class in ["Client", "Rng"] {
        let object = if class == "Client" { "c" } else { "rng" };
        for name in &classes[&format!("bench.{class}")] {
            let body = format!("assert({object}.{name} ~= nil) c:stat('a')");
            assert_eq!(iteration(&body).operations().len(), 1, "{object}.{name}");
        }
    }
}

#[test]
fn the_editor_stubs_have_every_operation_and_field_a_hook_can_ask_for() {
    let Stubs { aliases, .. } = stubs();
    let operations = OperationType::ALL.map(OperationType::name);
    assert_eq!(aliases["bench.Operation"], names(operations));
    let hook = format!("bench.on_complete({{ fields = {{ '{NO_WORD}' }} }}, print)");
    assert_eq!(aliases["bench.Field"], listed(&hook, ""));
}

/// Returns the fields and methods of a type in the definitions for Luau, which begins with this
/// line.
fn in_luau(head: &str) -> Names {
    let (_, block) = LUAU_DEFINITIONS.split_once(&format!("\n{head}\n")).expect(head);
    let lines = block.lines().take_while(|line| line.starts_with("  "));
    let members = lines.filter(|line| !line.trim_start().starts_with(['-', '[']));
    let members = members.map(|line| line.trim_start().trim_start_matches("function "));
    members.map(|line| line.split([':', '(']).next().unwrap().into()).collect()
}

#[test]
fn the_definitions_for_luau_have_the_same_names_as_those_of_luacats() {
    let Stubs { classes, aliases } = stubs();
    assert_eq!(in_luau("declare bench: {"), classes["bench"]);
    for (class, members) in classes.iter().filter(|(class, _)| *class != "bench") {
        let name = class.replace("bench.", "Bench");
        let made_by_host = format!("declare extern type {name} with");
        let found = match class.as_str() {
            "bench.Emit" => {
                in_luau(&format!("declare extern type {name} extends BenchClient with"))
            }
            _ if LUAU_DEFINITIONS.contains(&made_by_host) => in_luau(&made_by_host),
            _ => in_luau(&format!("export type {name} = {{")),
        };
        match class.as_str() {
            "bench.Emit" => assert_eq!(found, names(["__call"])),
            _ => assert_eq!(found, *members, "{class}"),
        }
    }
    for (alias, words) in aliases {
        let name = alias.replace("bench.", "Bench");
        let head = format!("\nexport type {name} = ");
        let (_, line) = LUAU_DEFINITIONS.split_once(&head).expect(&head);
        let line = line.lines().next().unwrap();
        let found: Names = line.split('"').skip(1).step_by(2).map(String::from).collect();
        assert_eq!(found, words, "{alias}");
    }
}

/// Functions that modules of the standard library export only for one another. Their annotation is
/// `---@internal`, and the definitions do not have them.
const INTERNAL: [(&str, &str); 1] = [("files", "set_for_module")];

#[test]
fn the_definitions_have_everything_that_a_module_of_the_standard_library_exports() {
    // Only the runner of tests loads @bench/test.
    let modules = MODULES.iter().map(|(name, _)| *name).filter(|name| *name != "test");
    for module in modules {
        let listed = format!(
            "local names = {{}} for name in pairs(require('@bench/{module}')) do table.insert(names, name) end error('exports: ' .. table.concat(names, ' ') .. ';')"
        );
        let said = script(&listed).load().err().unwrap().to_string();
        let exports = said.split("exports: ").nth(1).expect(&said).split(';').next().unwrap();
        let words = module.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
        let head = format!("export type Bench{}Module = {{", words.collect::<String>());
        let mut exports = names(exports.split_whitespace());
        for (_, name) in INTERNAL.iter().filter(|(of, _)| *of == module) {
            assert!(exports.remove(*name), "@bench/{module} does not export {name}");
        }
        assert_eq!(in_luau(&head), exports, "@bench/{module}");
    }
}

/// Returns the fields of a class of the annotations in the source of `@bench/test`, or the functions
/// and methods of one of its tables.
fn in_test_module(after: &str, line_begins: &str) -> Names {
    let (_, source) = MODULES.iter().find(|(name, _)| *name == "test").unwrap();
    let (_, block) = source.split_once(after).expect(after);
    let end = |line: &&str| line_begins.starts_with("function") || line.starts_with("---@field");
    let lines = block.lines().skip(1).take_while(end);
    let found = lines.filter_map(|line| line.strip_prefix(line_begins));
    found.map(|rest| rest.split(['?', ' ', '(']).next().unwrap().into()).collect()
}

/// Returns the message with which the only test of a file fails.
fn fails(body: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("s.lua"), "").unwrap();
    let path = directory.path().join("x_test.lua");
    let text = format!("local test = require('@bench/test') test.it('x', function() {body} end)");
    std::fs::write(&path, text).unwrap();
    let options = TestOptions {
        filter: None,
        timeout: Duration::from_secs(10),
        limits: ScriptLimits::default(),
        update: false,
        on_ci: true,
        interrupted: Default::default(),
        runner: std::sync::Arc::new(|_| Err("no runs here".into())),
    };
    match run_test_file(&path, &options).unwrap().tests.remove(0).outcome {
        TestOutcome::Failed(failure) => failure.message,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn the_definitions_have_every_function_matcher_and_option_of_the_module_for_tests() {
    let said = fails(
        "local names = {} for name in pairs(test) do table.insert(names, name) end error('exports: ' .. table.concat(names, ' ') .. ';')",
    );
    let exports = said.split("exports: ").nth(1).expect(&said).split(';').next().unwrap();
    let exports = names(exports.split_whitespace());
    assert_eq!(in_luau("export type BenchTestModule = {"), exports);
    assert_eq!(in_test_module("local M = {}", "function M."), exports);

    let said = fails(&format!("test.expect(1):{NO_WORD}()"));
    let (_, matchers) = said.split_once("(there is ").expect(&said);
    let matchers = names(matchers.trim_end_matches(')').split(", "));
    assert_eq!(in_luau("export type BenchTestExpectation = {"), matchers);
    assert_eq!(in_test_module("local Expectation = {}", "function Expectation:"), matchers);

    for (class, call) in [
        ("RecordOptions", "test.record(print, { KEY = 1 })"),
        ("StreamOptions", "test.stream('./s.lua', { KEY = 1 })"),
        ("RunOptions", "test.run('./s.lua', { KEY = 1 })"),
    ] {
        let said = fails(&call.replace("KEY", NO_WORD));
        let (_, list) = said.split_once("': there is ").expect(&said);
        let options = names(list.split(", "));
        assert_eq!(in_luau(&format!("export type BenchTest{class} = {{")), options, "{class}");
        let mut annotated =
            in_test_module(&format!("---@class (exact) bench.test.{class}"), "---@field ");
        if class == "RunOptions" {
            let stream = "---@class (exact) bench.test.StreamOptions";
            annotated.extend(in_test_module(stream, "---@field "));
        }
        assert_eq!(annotated, options, "{class}");
    }
}
