//! Tests of parameters that files give.

use super::*;
use crate::script::describe;

const USERS: &str = "local P = bench.params {
        users = { type = 'int', default = 1, max = 100 },
        mix = { type = 'string', default = 'plain' },
        pause = { type = 'duration', default = '0s' },
    }
    bench.workload { name = 'w', clients = P.users, iteration = function(c) c:think(P.pause) c:stat(P.mix) end }";

/// Returns the script with these parameter files, each a name and a text, in this order.
fn with_files(files: &[(&str, &str)]) -> Written {
    let mut written = script(USERS);
    for (name, text) in files {
        written = written.file(name, text);
        let path = written.path(name);
        written = written.with(|options| options.param_files.push(path));
    }
    written
}

fn params(written: &Written) -> serde_json::Value {
    serde_json::Value::Object(written.load().unwrap().header().params.clone())
}

#[test]
fn a_file_gives_values_as_the_command_line_does() {
    let written =
        with_files(&[("night.params", "# the night\n\nusers = 7\nmix = a=b \npause=2ms\n")]);
    let expected = serde_json::json!({ "users": 7, "mix": "a=b", "pause": 2_000_000 });
    assert_eq!(params(&written), expected);
    let given = script(USERS).param("users", "7").param("mix", "a=b").param("pause", "2ms");
    let name = |written: &Written| written.load().unwrap().header().ir_hash.clone();
    assert_eq!(name(&written), name(&given), "the stream is the same");
}

#[test]
fn the_last_value_counts_of_a_file_then_of_later_files_then_of_the_command_line() {
    let files =
        [("a", "users = 2\nusers = 3\nmix = of-a\npause = 1s"), ("b", "mix = of-b\npause = 2s")];
    let written = with_files(&files).param("pause", "3s");
    let expected = serde_json::json!({ "users": 3, "mix": "of-b", "pause": 3_000_000_000_i64 });
    assert_eq!(params(&written), expected);
}

#[test]
fn an_error_names_the_file_and_the_line() {
    for (text, expected) in [
        ("\nuser = 3", "DIR/p:2: unknown parameter 'user': did you mean 'users'?"),
        (
            "users = many",
            "DIR/p:1: users = many: \"many\" is not a whole number within 2^53. Parameter 'users' is an int of at most 100; its default is 1",
        ),
        (
            "users",
            "DIR/p:1: \"users\" sets no parameter; a parameter file has one 'name = value' in a line; empty lines and lines that begin with # are ignored",
        ),
    ] {
        assert_eq!(with_files(&[("p", text)]).refused(), expected);
    }
    let mut missing = with_files(&[]);
    missing.options.param_files.push(missing.path("none"));
    assert_eq!(
        missing.refused(),
        "cannot read the parameter file DIR/none: No such file or directory (os error 2)"
    );
    let no_params = iteration("c:stat('a')").file("p", "\n\na = 1");
    let path = no_params.path("p");
    let no_params = no_params.with(|options| options.param_files.push(path));
    assert_eq!(no_params.refused(), "DIR/p:3: the script has no parameters");
}

#[test]
fn every_vm_of_a_load_gets_the_values_that_the_first_one_read_and_the_next_load_reads_anew() {
    let written = with_files(&[("p", "users = 4")]);
    assert_eq!(written.load().unwrap().header().workload_clients(), 4);
    let written = written.file("p", "users = 6");
    assert_eq!(written.load().unwrap().header().workload_clients(), 4, "another VM of the load");
    let mut next = written.options.clone();
    next.begin_generation(crate::script::Reload { generation: 2, begin_ns: 0 });
    assert_eq!(Script::load(&next).unwrap().header().workload_clients(), 6);
}

#[test]
fn a_path_in_a_parameter_file_may_name_any_file() {
    let other = tempfile::tempdir().unwrap();
    let tree = other.path().join("tree.json");
    let text = "local P = bench.params { tree = { type = 'string', default = '' } }
        bench.tree(P.tree)
        bench.workload { name = 'w', iteration = function(c) c:stat('a') end }";
    let written = script(text).file("p", &format!("tree = {}", tree.display()));
    let path = written.path("p");
    let refused = written.with(|options| options.param_files.push(path)).refused();
    assert!(refused.contains("No such file"), "it was looked for: {refused}");
}

#[test]
fn the_help_of_a_script_needs_no_parameter_file() {
    let written = with_files(&[("p", "nonsense")]);
    let help = describe(&written.options.location, ScriptLimits::default()).unwrap();
    let names: Vec<&str> = help.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(names, ["mix", "pause", "users"]);
}
