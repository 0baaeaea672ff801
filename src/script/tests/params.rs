use serde_json::json;

use super::*;
use crate::ir::{FileControl, HandleOperation, OperationKind};
use crate::script::{ParameterHelp, describe};

pub(super) const ALL: &str = r#"
local P = bench.params {
    users = { type = "int", default = 100, min = 1, max = 5000, help = "simulated users" },
    ratio = { type = "float", default = 0.5, min = 0, max = 1 },
    mix = { type = "string", default = "office", choices = { "office", "cad" }, help = "preset" },
    deep = { type = "bool", default = true },
    think = { type = "duration", default = "50ms", min = 0, max = "10s" },
    io = { type = "size", default = "64KiB", max = "64MiB" },
}
bench.workload { name = "w", clients = P.users, iteration = function(c)
    c:stat(P.mix .. "/" .. tostring(P.deep) .. "/" .. P.ratio)
    c:think(P.think)
    local h = c:open("f", "r")
    c:read(h, 0, P.io)
end }"#;

#[test]
fn defaults_apply_and_are_reported() {
    let script = script(ALL).load().unwrap();
    assert_eq!(
        serde_json::Value::Object(script.header().params.clone()),
        json!({
            "users": 100, "ratio": 0.5, "mix": "office", "deep": true,
            "think": 50_000_000, "io": 65_536,
        })
    );
    assert_eq!(script.header().clients(), 100);
}

#[test]
fn values_from_outside_replace_defaults_and_the_last_of_two_counts() {
    let written = script(ALL)
        .param("users", "7")
        .param("users", "2")
        .param("ratio", "1")
        .param("mix", "cad")
        .param("deep", "false")
        .param("think", "1s")
        .param("io", "1MiB");
    let script = written.load().unwrap();
    assert_eq!(
        serde_json::Value::Object(script.header().params.clone()),
        json!({
            "users": 2, "ratio": 1.0, "mix": "cad", "deep": false,
            "think": 1_000_000_000, "io": 1_048_576,
        })
    );
    assert_eq!(written.operations()[0].kind.path().unwrap().as_str(), "cad/false/1");
}

#[test]
fn values_from_outside_that_do_not_fit_are_refused() {
    let cases = [
        ("usres", "1", "-p usres: unknown parameter 'usres': did you mean 'users'?"),
        ("users", "many", "-p users=many: \"many\" is not a whole number within 2^53"),
        ("users", "1.5", "-p users=1.5: \"1.5\" is not a whole number within 2^53"),
        ("users", "0", "-p users=0: it is below the minimum, 1"),
        ("users", "5001", "-p users=5001: it is above the maximum, 5000"),
        ("ratio", "half", "-p ratio=half: \"half\" is not a number"),
        ("ratio", "inf", "-p ratio=inf: \"inf\" is not a number"),
        ("ratio", "-0.1", "-p ratio=-0.1: it is below the minimum, 0"),
        ("mix", "offcie", "-p mix=offcie: unknown choice 'offcie': did you mean 'office'?"),
        ("deep", "yes", "-p deep=yes: \"yes\" is neither true nor false"),
        (
            "think",
            "5",
            "-p think=5: \"5\" is not a duration: write a number and a unit, such as \"250ms\", \"1.5s\" or \"2m\" (ns, us, ms, s, m, h)",
        ),
        ("think", "11s", "-p think=11s: it is above the maximum, 10s"),
        (
            "io",
            "big",
            "-p io=big: \"big\" is not a size: write a whole number of bytes or a number and a unit, such as \"4096\", \"64KiB\" or \"1.5MB\" (B, KB, KiB, MB, MiB, GB, GiB, TB, TiB), up to 2^64 - 1 bytes",
        ),
        ("io", "65MiB", "-p io=65MiB: it is above the maximum, 64MiB"),
    ];
    for (name, value, expected) in cases {
        let error = script(ALL).param(name, value).load().err().unwrap();
        assert!(matches!(error, ScriptError::Parameter(_)), "{error:?}");
        let message = error.to_string();
        let described = message.strip_prefix(expected).unwrap_or_else(|| panic!("{message}"));
        let described = described.trim_start_matches('.');
        if name != "usres" {
            assert!(described.starts_with(&format!(" Parameter '{name}' is a")), "{message}");
            assert!(described.contains("; its default is "), "{message}");
        }
    }
    let plain = iteration("c:stat('a')").param("users", "1");
    assert_eq!(plain.refused(), "-p users: the script has no parameters");
}

#[test]
fn a_script_cannot_hide_that_a_value_does_not_fit() {
    let text = "pcall(bench.params, { users = { type = 'int', default = 1 } })
        bench.workload { name = 'w', iteration = function(c) c:stat('a') end }";
    assert_eq!(
        script(text).param("users", "x").refused(),
        "-p users=x: \"x\" is not a whole number within 2^53. Parameter 'users' is an int; its default is 1"
    );
}

#[test]
fn mistakes_in_the_declaration_are_reported_with_their_line() {
    let cases = [
        ("a = 5", "parameter 'a' is a table, such as { type = \"int\", default = 10 }, not 5"),
        ("a = {}", "parameter 'a' needs a type: int, float, string, bool, duration, size"),
        (
            "a = { type = 'itn', default = 1 }",
            "parameter 'a': unknown type 'itn': did you mean 'int'?",
        ),
        ("a = { type = 'int' }", "parameter 'a' needs a default"),
        (
            "a = { type = 'int', defualt = 1 }",
            "parameter 'a': unknown field 'defualt': did you mean 'default'?",
        ),
        (
            "a = { type = 'int', default = 1.5 }",
            "parameter 'a': default is a whole number within 2^53, not 1.5",
        ),
        (
            "a = { type = 'int', default = 1, min = 2 }",
            "parameter 'a': default: it is below the minimum, 2",
        ),
        ("a = { type = 'int', default = 1, min = 2, max = 1 }", "parameter 'a': min is above max"),
        (
            "a = { type = 'int', default = 1, choices = { 'x' } }",
            "parameter 'a': choices belong to type \"string\"",
        ),
        ("a = { type = 'string', default = 'x', min = 1 }", "parameter 'a': a string has no min"),
        (
            "a = { type = 'string', default = 'x', choices = { 'y' } }",
            "parameter 'a': default: unknown choice 'x': there is y",
        ),
        ("a = { type = 'bool', default = 1 }", "parameter 'a': default is true or false, not 1"),
        ("a = { type = 'duration', default = 5 }", "parameter 'a': default: 5 ns? write \"5s\""),
        (
            "a = { type = 'size', default = -1 }",
            "parameter 'a': default is -1; it cannot be negative",
        ),
        (
            "['a-b'] = { type = 'int', default = 1 }",
            "parameter \"a-b\": a name has up to 64 letters, digits and '_'",
        ),
        (
            "{ type = 'int', default = 1 }",
            "bench.params takes names with their descriptions, such as users = { type = \"int\", default = 10 }, not 1",
        ),
    ];
    for (spec, expected) in cases {
        let message = script(&format!("\nlocal P = bench.params {{ {spec} }}")).refused();
        assert_eq!(message, format!("s.lua:2: {expected}"), "{spec}");
    }
    assert_eq!(
        script("bench.params {}\nbench.params {}").refused(),
        "s.lua:2: bench.params is called twice; put all parameters into one table"
    );
}

#[test]
fn reading_an_undeclared_parameter_names_the_nearest() {
    let text = ALL.replace("P.users", "P.usres");
    assert_eq!(
        script(&text).refused(),
        "s.lua:10: unknown parameter 'usres': did you mean 'users'?"
    );
    let text = ALL.replace("local P", "P_ = 1 local P");
    assert!(script(&text).refused().contains("local P_ = …"));
    let write = format!("{ALL}\nP.users = 5");
    assert!(script(&write).refused().starts_with("s.lua:16: attempt to modify a readonly table"));
}

#[test]
fn a_script_describes_its_parameters() {
    let written = script(ALL);
    let help = describe(&written.options.location, ScriptLimits::default()).unwrap();
    let names: Vec<&str> = help.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(names, ["deep", "io", "mix", "ratio", "think", "users"]);
    let text = |text: &str| Some(text.to_string());
    assert_eq!(
        help[5],
        ParameterHelp {
            name: "users".into(),
            library: None,
            kind: "int",
            default: "100".into(),
            min: text("1"),
            max: text("5000"),
            choices: vec![],
            help: text("simulated users"),
        }
    );
    assert_eq!(help[2].choices, ["office", "cad"]);
    assert_eq!((help[4].default.as_str(), help[4].max.as_deref()), ("50ms", Some("10s")));
}

#[test]
fn a_script_that_fails_after_its_parameters_can_still_be_described() {
    let written = script(&format!("{ALL}\nerror('later')"));
    assert_eq!(describe(&written.options.location, ScriptLimits::default()).unwrap().len(), 6);
    let none = iteration("c:stat('a')");
    assert_eq!(describe(&none.options.location, ScriptLimits::default()), Ok(vec![]));
    let early = script("error('early')");
    let error = describe(&early.options.location, ScriptLimits::default()).unwrap_err();
    let path = &early.options.location;
    assert_eq!(error.to_string(), format!("{path}:1: early"));
}

#[test]
fn the_texts_of_parameters_are_bounded_as_they_are_kept_beside_the_machine() {
    let with = |text: &str| script(&format!("bench.params {{ x = {text} }}")).refused();
    let problem = "s.lua:1: bench.params: defaults, choices and help have more than 1024 KiB";
    let long = "('x'):rep(2e6)";
    assert_eq!(with(&format!("{{ type = 'string', default = {long} }}")), problem);
    assert_eq!(with(&format!("{{ type = 'int', default = 1, help = {long} }}")), problem);
    let choices = "table.create(1e5, 'a')";
    let many = format!("{{ type = 'string', default = 'a', choices = {choices} }}");
    assert_eq!(with(&many), problem);
}

#[test]
fn a_size_that_a_number_cannot_hold_reaches_the_script_exactly_or_not_at_all() {
    let text = "local P = bench.params { at = { type = 'size', default = '9007199254740993' } }
        bench.workload { name = 'w', iteration = function(c)
            local h = c:open('f', 'rw')
            c:lock(h, P.at, 1)
            CHANGED
        end }";
    let locked_at = |written: Written| match written.operations()[1].kind {
        OperationKind::OnHandle(_, HandleOperation::Control(FileControl::Lock { offset, .. })) => {
            offset
        }
        ref other => panic!("{other:?}"),
    };
    let plain = || script(&text.replace("CHANGED", ""));
    assert_eq!(locked_at(plain()), (1 << 53) + 1);
    assert_eq!(locked_at(plain().param("at", "18446744073709551615")), u64::MAX);
    assert_eq!(locked_at(plain().param("at", "9007199254740991")), (1 << 53) - 1);
    let params =
        plain().param("at", "18446744073709551615").load().unwrap().header().params.clone();
    assert_eq!(params["at"], u64::MAX);
    let sum = script(&text.replace("CHANGED", "c:unlock(h, P.at - 1, 1)"));
    assert_eq!(sum.message(), "s.lua:5: attempt to perform arithmetic (sub) on string and number");
    let least =
        "bench.params { at = { type = 'size', default = '16777215TiB', min = '8388608TiB' } }";
    let refused = script(least).param("at", "8388607TiB").refused();
    assert!(
        refused.starts_with("-p at=8388607TiB: it is below the minimum, 8388608TiB."),
        "{refused}"
    );
}
