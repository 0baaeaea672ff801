//! Tests of the record of the files that a load has read.

use std::path::Path;

use super::*;

/// Returns the files that the load has read or has tried to read, relative to the directory of the
/// script, and whether the load succeeded.
fn reads(written: &Written) -> (Vec<String>, bool) {
    let loaded = written.load().is_ok();
    let directory = written.folder.path();
    let real = directory.canonicalize().unwrap();
    let within = |path: PathBuf| {
        let below = path.strip_prefix(directory).or_else(|_| path.strip_prefix(&real));
        below.map_or_else(|_| path.display().to_string(), |below| below.display().to_string())
    };
    (written.options.reads.paths().into_iter().map(within).collect(), loaded)
}

fn loads(top_level: &str) -> Written {
    script(&format!(
        "{top_level}\nbench.workload {{ name = 'w', iteration = function(c) c:stat('a') end }}"
    ))
}

/// Returns the paths at which a module is looked for.
fn places(module: &str) -> [String; 4] {
    [".lua", ".luau", "/init.lua", "/init.luau"].map(|ending| format!("{module}{ending}"))
}

fn sorted(paths: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut paths: Vec<String> = paths.into_iter().collect();
    // As paths are sorted: by their components.
    paths.sort_by(|one, other| Path::new(one).cmp(Path::new(other)));
    paths
}

const ALWAYS: [&str; 2] = ["s.lua", "smbench.toml"];

#[test]
fn modules_are_recorded_with_every_path_at_which_they_are_looked_for() {
    let written = loads("require('./m') require('@bench/office')")
        .file("m.lua", "require('./lib/deep') return {}")
        .file("lib/deep/init.lua", "return {}");
    let expected = ALWAYS.map(String::from).into_iter();
    let expected = sorted(expected.chain(places("m")).chain(places("lib/deep")));
    assert_eq!(reads(&written), (expected, true));
}

#[test]
fn files_of_a_load_that_failed_are_recorded_too() {
    for (top_level, module) in [
        ("require('./missing')", "missing"),
        ("require('./wrong')", "wrong"),
        ("require('./raises')", "raises"),
    ] {
        let written =
            loads(top_level).file("wrong.lua", "return {").file("raises.lua", "error('no')");
        let expected = sorted(ALWAYS.map(String::from).into_iter().chain(places(module)));
        assert_eq!(reads(&written), (expected, false), "{top_level}");
    }
    let syntax = script("bench.workload {");
    assert_eq!(reads(&syntax), (ALWAYS.map(String::from).to_vec(), false));
    let vanished = loads("");
    std::fs::remove_file(vanished.path("s.lua")).unwrap();
    assert_eq!(reads(&vanished), (vec!["s.lua".into()], false));
}

#[test]
fn documents_trees_and_parameter_files_are_recorded_whether_they_are_there_or_not() {
    let written = loads("bench.tree('none.json')");
    assert_eq!(reads(&written).0, ["none.json", "s.lua", "smbench.toml"]);
    let written = loads("bench.load('day.jsonl')");
    assert_eq!(reads(&written).0, ["day.jsonl", "s.lua", "smbench.toml"]);
    let given =
        loads("local P = bench.params { f = { type = 'string', default = '' } } bench.load(P.f)");
    let (directory, parameters) = (tempfile::tempdir().unwrap(), given.path("p"));
    let document = directory.path().join("day.jsonl");
    let given = given.file("p", &format!("f = {}", document.display()));
    let given = given.with(|options| options.param_files.push(parameters));
    let expected = sorted(
        ["p", "s.lua", "smbench.toml"]
            .map(String::from)
            .into_iter()
            .chain([document.display().to_string()]),
    );
    let (recorded, loaded) = reads(&given);
    assert_eq!((sorted(recorded), loaded), (expected, false));
    let relative =
        loads("local P = bench.params { f = { type = 'string', default = '' } } bench.load(P.f)")
            .param("f", "no-such-day.jsonl");
    let (recorded, _) = reads(&relative);
    let both = ["no-such-day.jsonl", "no-such-day.jsonl", "s.lua", "smbench.toml"];
    assert_eq!(sorted(recorded), both, "of the current directory and of the script's");
}

#[test]
fn the_manifest_is_recorded_up_to_the_nearest_one() {
    let written = loads("").file("a/b/s.lua", "return").file("smbench.toml", "");
    let path = written.path("a/b/s.lua");
    let written = written.with(|options| options.location = path.into());
    let (recorded, _) = reads(&written);
    assert_eq!(recorded, ["a/b/s.lua", "a/b/smbench.toml", "a/smbench.toml", "smbench.toml"]);
    let no_file = loads("");
    std::fs::create_dir(no_file.path("smbench.toml")).unwrap();
    assert_eq!(reads(&no_file), (ALWAYS.map(String::from).to_vec(), false));
}

#[test]
fn vms_of_one_load_share_the_record() {
    let written = loads("require('./m')").file("m.lua", "return {}");
    let copy = written.options.clone();
    Script::load(&copy).unwrap();
    assert!(!written.options.reads.paths().is_empty());
    let mut next = copy.clone();
    next.begin_generation(crate::script::Reload { generation: 2, begin_ns: 0 });
    assert!(next.reads.paths().is_empty(), "a generation has a record of its own");
}
