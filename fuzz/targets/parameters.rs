//! Parameters: for any declaration and any value on the command line, the result is within its
//! bounds, and it is the same if it is given as it is printed.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use smbench::ir::OperationSource;
use smbench::script::{ClientsOverride, Script, ScriptLimits, ScriptOptions, describe};
use smbench_fuzz::{LARGEST_EXACT, folder, readable};

static SCRIPT: LazyLock<PathBuf> = LazyLock::new(|| folder().join("s.lua"));

// The lines are: the value for `-p`, the kind, and then fields of the declaration.
fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let given = lines.next().unwrap_or_default();
    clients(given);
    let kind = lines.next().unwrap_or_default();
    let fields: String = ["default", "min", "max"]
        .iter()
        .zip(lines)
        .filter(|(_, value)| !value.is_empty())
        .map(|(field, value)| format!(", {field} = {}", lua(value)))
        .collect();
    let script = format!(
        "local P = bench.params {{ x = {{ type = {}{fields} }} }}
        bench.workload {{ name = 'w', iteration = function(c) c:stat(tostring(P.x)) end }}",
        lua(kind)
    );
    std::fs::write(&*SCRIPT, script).expect("the script");
    let Some(default) = value(&[]) else { return };
    let help =
        describe(&SCRIPT.clone().into(), ScriptLimits::default()).expect("a script that loads");
    assert_eq!(help.len(), 1);
    assert_eq!(help[0].kind, kind);
    assert_eq!(value(&[printed(kind, &default)]), Some(default), "the default, printed");
    let Some(taken) = value(&[given.to_string()]) else { return };
    let twice = ["?".to_string(), printed(kind, &taken)];
    assert_eq!(value(&twice), Some(taken.clone()), "the last counts");
    for (bound, order) in [(&help[0].min, -1.0), (&help[0].max, 1.0)] {
        let bound = bound.as_ref().and_then(|bound| bound.parse::<f64>().ok());
        if let (Some(bound), Some(taken)) = (bound, taken.as_f64()) {
            assert!((taken - bound) * order <= 0.0, "{taken} is beyond {bound}");
        }
    }
});

/// Returns the value that a script sees for the `given` ones; None if they, or the script, are
/// refused.
fn value(given: &[String]) -> Option<Value> {
    let params = given.iter().map(|text| ("x".to_string(), text.clone())).collect();
    let options =
        ScriptOptions { location: SCRIPT.clone().into(), params, ..ScriptOptions::default() };
    let script = match Script::load(&options) {
        Ok(script) => script,
        Err(error) => {
            readable(error);
            return None;
        }
    };
    let value = script.header().params["x"].clone();
    if let Some(whole) = value.as_i64() {
        assert!(whole.unsigned_abs() <= LARGEST_EXACT);
    }
    Some(value)
}

/// Returns a value in the form in which a command line gives it.
fn printed(kind: &str, value: &Value) -> String {
    match (kind, value) {
        ("duration", value) => format!("{value}ns"),
        (_, Value::String(text)) => text.clone(),
        (_, value) => value.to_string(),
    }
}

/// Returns Lua source for a value: a number or boolean as it is, anything else as a string.
fn lua(value: &str) -> String {
    let plain =
        value.parse::<f64>().is_ok_and(f64::is_finite) || ["true", "false"].contains(&value);
    if plain {
        return value.to_string();
    }
    let escaped: String = value.bytes().map(|byte| format!("\\{byte:03}")).collect();
    format!("\"{escaped}\"")
}

/// Checks that a number of clients is in its bounds, or else the error is readable.
fn clients(text: &str) {
    match text.parse::<ClientsOverride>() {
        Ok(count) => assert!((1..=1_000_000).contains(&count.clients)),
        Err(problem) => drop(readable(problem)),
    }
}
