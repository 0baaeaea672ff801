//! Tests of the definitions for Luau with Luau's own type checker, as luau-lsp uses it.

use std::fs;
use std::path::{Path, PathBuf};

use luau_analyze::Checker;
use smbench_definitions::{module_type, read_api, repository};

fn checker() -> Checker {
    let definitions = fs::read_to_string(repository().join("stdlib/bench.d.luau")).unwrap();
    let mut checker = Checker::new().unwrap();
    checker.add_definitions(&definitions).unwrap();
    checker
}

/// Replaces each call of `require` by a value of the module's type, because the checker reads one
/// file.
fn without_modules(source: &str) -> String {
    let mut source = source.to_string();
    for module in read_api().modules {
        let required = format!("require(\"@bench/{}\")", module.name);
        source =
            source.replace(&required, &format!("((nil :: any) :: {})", module_type(&module.name)));
    }
    while let Some((before, rest)) = source.split_once("require(\".") {
        let (_, after) = rest.split_once(')').unwrap();
        source = format!("{before}(nil :: any){after}");
    }
    source
}

/// Returns the checker's complaints about a script, with their lines.
fn complaints(checker: &mut Checker, source: &str) -> Vec<String> {
    let checked = checker.check(&without_modules(source)).unwrap();
    let errors = checked.errors().into_iter();
    errors.map(|error| format!("{}: {}", error.line + 1, error.message)).collect()
}

/// Returns the Lua files in these directories of the repository, and below.
fn lua_files(directories: &[&str]) -> Vec<PathBuf> {
    let mut pending: Vec<PathBuf> =
        directories.iter().map(|directory| repository().join(directory)).collect();
    let mut found = Vec::new();
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "lua")
                && !path.ends_with("bench.d.lua")
            {
                found.push(path);
            }
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn luau_accepts_the_definitions_and_every_script_that_is_shipped() {
    let mut checker = checker();
    let files = lua_files(&["examples", "scripts"]);
    assert!(files.len() > 10, "the check is blind: {files:?}");
    for path in files {
        let source = format!("--!nonstrict\n{}", read(&path));
        let found = complaints(&mut checker, &source);
        assert!(found.is_empty(), "{}: {found:#?}", path.display());
    }
}

#[test]
fn luau_accepts_a_new_project_even_in_strict_mode() {
    let mut checker = checker();
    let files = lua_files(&["src/project/template"]);
    assert!(files.len() >= 3, "{files:?}");
    for path in files {
        let found = complaints(&mut checker, &format!("--!strict\n{}", read(&path)));
        assert!(found.is_empty(), "{}: {found:#?}", path.display());
    }
}

#[test]
fn luau_complains_about_each_mistake_in_a_script() {
    let script = r#"--!strict
        local office = require("@bench/office")
        bench.workload {
          name = "w",
          clients = "three",
          iteration = function(c, rng)
            local h = c:opne("a", "r")
            c:read(h, {}, 4)
            c:open("a", "q")
            c:think(rng:itn(1, 2))
            c:step("save", function() return 1 end).x = 1
            office.edti(c, rng, { directory = "team" })
            office.edit(c, rng, { directory = 1 })
            local word: number = rng:pick({ "a", "b" })
            print(word, c.idd)
          end,
        }
        bench.phases { { name = "steady", duratoin = "5s" } }
        bench.worklaod {}
        bench.on_complete({ ops = { "raed" } }, print)
        bench.on_phase(function(name, edge) print(name, edge == "begin") end)
        bench.transform(bench.load("day.jsonl"), { bench.sample { fraction = "a" } })
        bench.map(function(op, emit) emit(op) emit:stta(op.path) end)
    "#;
    let found = complaints(&mut checker(), script);
    for (line, part) in [
        (5, "number"),
        (7, "'opne' not found"),
        (8, "number | string"),
        (9, "\"q\""),
        (10, "'itn' not found"),
        (12, "'edti' not found"),
        (13, "string"),
        (14, "number"),
        (15, "'idd' not found"),
        (18, "'duration'"),
        (19, "'worklaod' not found"),
        (20, "\"raed\""),
        (22, "number"),
        (23, "'stta' not found"),
    ] {
        let expected = |one: &String| one.starts_with(&format!("{line}: ")) && one.contains(part);
        assert!(found.iter().any(expected), "line {line}, {part}: {found:#?}");
    }
}
