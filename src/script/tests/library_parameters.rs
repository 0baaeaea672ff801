//! Tests of the parameters that libraries declare, which are set with an alias before their names.

use super::libraries::{WithLibraries, project};
use super::*;
use crate::script::describe;

const DECLARES: &str = "local P = bench.params {
    doc_size = { type = 'size', default = '64KiB', help = 'of a document' },
    count = { type = 'int', default = 3 },
}
return P";

/// Makes a project whose library `office` declares two parameters, and uses the library `sizes`,
/// which the project also uses itself.
fn with_two(text: &str) -> WithLibraries {
    let own = "local own = bench.params { users = { type = 'int', default = 1 } }\n";
    project(&format!("{own}{text}"), &["office acme/office 1.2.0", "sizes acme/sizes 0.3.1"])
        .package(
            "acme/office 1.2.0",
            &["sizes acme/sizes 0.3.1", "deep acme/deep 1.0.0"],
            &[
                ("init.lua", DECLARES),
                ("more.lua", "return bench.params { speed = { type = 'float', default = 1 } }"),
                ("same.lua", "\nreturn bench.params { count = { type = 'int', default = 1 } }"),
                (
                    "twice.lua",
                    "bench.params { a = { type = 'int', default = 1 } }
                     return bench.params { b = { type = 'int', default = 1 } }",
                ),
                ("sizes.lua", "return require('@sizes')"),
                ("deep.lua", "return require('@deep')"),
            ],
        )
        .package(
            "acme/sizes 0.3.1",
            &[],
            &[("init.lua", "return bench.params { unit = { type = 'size', default = '4KiB' } }")],
        )
        .package("acme/deep 1.0.0", &[], &[("init.lua", "return {}")])
}

#[test]
fn parameters_of_libraries_are_set_by_alias_and_recorded_under_it() {
    let text = "local office, sizes = require('@office'), require('@sizes')
        require('@office/more')
        assert(own.users == 7 and office.doc_size == 96 * 1024 and office.count == 3)
        assert(require('@office/sizes') == sizes and sizes.unit == 512)";
    let written = with_two(text)
        .locked()
        .param("users", "7")
        .param("office.doc_size", "1KiB")
        .param("office.doc_size", "96KiB")
        .param("office.sizes.unit", "512B");
    let params = written.load().unwrap().header().params.clone();
    let expected = serde_json::json!({
        "users": 7,
        "office.doc_size": 96 * 1024,
        "office.count": 3,
        "office.speed": 1.0,
        "sizes.unit": 512,
    });
    assert_eq!(serde_json::Value::Object(params), expected);
    let plain = with_two("require('@office')").locked();
    let set = with_two("require('@office')").locked().param("office.count", "4");
    assert_ne!(plain.load().unwrap().header().ir_hash, set.load().unwrap().header().ir_hash);
}

#[test]
fn a_parameter_file_sets_those_of_libraries_too() {
    let text = "assert(require('@office').count == 5)";
    let written = with_two(text).locked().file("night.params", "office.count = 5\n");
    let path = written.path("night.params");
    let written = written.with(|options| options.param_files.push(path));
    written.load().unwrap();
    let written = written.file("night.params", "\noffice.count = no\n");
    let message = written.with(|options| options.parameters_read = Default::default()).refused();
    assert_eq!(
        message,
        "DIR/night.params:2: office.count = no: \"no\" is not a whole number within 2^53. Parameter 'office.count' is an int; its default is 3"
    );
}

#[test]
fn two_names_of_one_parameter_agree_or_are_refused() {
    let both = |one: &str, other: &str| {
        with_two("require('@sizes')")
            .locked()
            .param("sizes.unit", one)
            .param("office.sizes.unit", other)
    };
    let same = both("4096B", "4KiB").load().unwrap();
    assert_eq!(same.header().params["sizes.unit"], 4096);
    assert_eq!(
        both("4KiB", "8KiB").refused(),
        "-p sizes.unit=4KiB and -p office.sizes.unit=8KiB are two values of one parameter, because both names lead to the library acme/sizes 0.3.1; give one of them"
    );
}

#[test]
fn the_strongest_source_decides_whichever_name_it_uses() {
    let mut written = with_two("require('@sizes')").locked().param("sizes.unit", "4KiB");
    written.options.profile_params.push(crate::script::ProfileParameter {
        profile: "nightly".into(),
        name: "office.sizes.unit".into(),
        value: "8KiB".into(),
        place: "smbench.toml:3".into(),
    });
    assert_eq!(written.load().unwrap().header().params["sizes.unit"], 4096);
}

#[test]
fn a_library_declares_no_parameter_of_the_script() {
    let text = "coroutine.wrap(bench.params)({ users = { type = 'int', default = 99 } })";
    let refused = project("require('@office')", &["office acme/office 1.2.0"])
        .package("acme/office 1.2.0", &[], &[("init.lua", text)])
        .locked()
        .refused();
    assert!(
        refused.contains("must be called from a line of the script or of a module"),
        "{refused}"
    );
}

#[test]
fn a_name_that_no_file_declares_is_refused_with_the_one_that_was_meant() {
    let refused = |text: &str, name: &str| with_two(text).locked().param(name, "1").refused();
    let office = "require('@office') require('@sizes')";
    for (text, name, problem) in [
        (
            office,
            "office.doc_sise",
            "-p office.doc_sise: unknown parameter 'office.doc_sise': did you mean 'office.doc_size'?",
        ),
        (office, "user", "-p user: unknown parameter 'user': did you mean 'users'?"),
        (
            office,
            "office.sizes.unitt",
            "-p office.sizes.unitt: unknown parameter 'office.sizes.unitt': did you mean 'office.sizes.unit'?",
        ),
        (
            office,
            "ofice.count",
            "-p ofice.count: unknown parameter 'ofice.count': did you mean 'office.count'?",
        ),
        (
            office,
            "office.deep.x",
            "-p office.deep.x: the library acme/deep 1.0.0 declares no parameters in the modules that the script requires",
        ),
        (
            "",
            "office.count",
            "-p office.count: the library acme/office 1.2.0 declares no parameters in the modules that the script requires",
        ),
        (
            office,
            "zzzzzz",
            "-p zzzzzz: unknown parameter 'zzzzzz': there is users, office.count, office.doc_size, sizes.unit",
        ),
    ] {
        let message = refused(text, name);
        assert!(message.starts_with(problem), "{message}");
    }
}

#[test]
fn two_declarations_of_one_name_are_refused_with_both_places() {
    let message = with_two("require('@office') require('@office/same')").locked().refused();
    let (place, rest) = message.split_once(": ").unwrap();
    assert!(place.ends_with("/library/same.lua:2"), "{message}");
    let (problem, first) = rest.split_once("; ").unwrap();
    assert_eq!(problem, "the library has two parameters of one name, count");
    assert!(first.starts_with("the first is at .smbench/packages/acme-office-1.2.0-"), "{message}");
    assert!(first.ends_with("/library/init.lua:1"), "{message}");
    let message = with_two("require('@office/twice')").locked().refused();
    let twice = "library/twice.lua:2: bench.params is called twice in this file; put all of its parameters into one table";
    assert!(message.ends_with(twice), "{message}");
    let own = with_two("bench.params {}").locked().refused();
    assert_eq!(own, "s.lua:2: bench.params is called twice; put all parameters into one table");
}

#[test]
fn a_library_sees_its_own_parameters_only() {
    for (text, problem) in [
        ("return require('@office').users", "unknown parameter 'users'"),
        ("return own.doc_size", "unknown parameter 'doc_size'"),
        ("require('@office').count = 1", "attempt to modify a readonly table"),
    ] {
        let message = with_two(&format!("require('@office') local x = function() {text} end x()"));
        let message = message.locked().refused();
        assert!(message.contains(problem), "{message}");
    }
}

#[test]
fn parameters_of_libraries_are_described_with_the_library() {
    let written = with_two("require('@office') require('@sizes')").locked();
    let help = describe(&written.options.location, ScriptLimits::default()).unwrap();
    let described: Vec<(&str, Option<&str>)> =
        help.iter().map(|help| (&*help.name, help.library.as_deref())).collect();
    let office = Some("acme/office 1.2.0");
    let expected = [
        ("users", None),
        ("office.count", office),
        ("office.doc_size", office),
        ("sizes.unit", Some("acme/sizes 0.3.1")),
    ];
    assert_eq!(described, expected);
}
