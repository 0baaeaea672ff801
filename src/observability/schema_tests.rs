//! Checks of summaries and operation logs against their schemas in `schema/`.

use std::collections::{BTreeMap, BTreeSet};

use super::summary::*;
use super::thresholds::ThresholdSummary;
use super::thresholds::metric::Unit;
use super::{Cause, Measurements, Processors, sample};
use serde_json::{Value, json};

/// Checks a value against the part of JSON Schema that our schemas use. A keyword beyond it is an
/// error, so that none goes unchecked.
fn check(schema: &Value, root: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let ok = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let pointer = rule.as_str().unwrap().trim_start_matches('#');
                let target = root.pointer(pointer).expect("a reference leads somewhere");
                check(target, root, value, at, errors);
                true
            }
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "type" => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "number" => value.is_number(),
                "integer" => value.is_u64() || value.is_i64(),
                other => panic!("type {other}"),
            },
            "oneOf" => {
                let holds = |one: &&Value| {
                    let mut found = Vec::new();
                    check(one, root, value, at, &mut found);
                    found.is_empty()
                };
                rule.as_array().unwrap().iter().filter(holds).count() == 1
            }
            "minimum" => value.as_f64() >= rule.as_f64(),
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|key| value.get(key.as_str().unwrap()).is_some()),
            "items" => {
                for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(rule, root, item, &format!("{at}/{i}"), errors);
                }
                true
            }
            "propertyNames" => {
                for key in value.as_object().into_iter().flat_map(|object| object.keys()) {
                    check(rule, root, &json!(key), &format!("{at}/{key}"), errors);
                }
                true
            }
            "properties" => {
                for (key, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        check(schema, root, value, &format!("{at}/{key}"), errors);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |key: &String| schema.pointer(&format!("/properties/{key}"));
                let object = value.as_object().into_iter().flatten();
                for (key, value) in object.filter(|(key, _)| known(key).is_none()) {
                    let at = format!("{at}/{key}");
                    match rule {
                        Value::Bool(false) => errors.push(format!("{at}: unknown key")),
                        rule => check(rule, root, value, &at, errors),
                    }
                }
                true
            }
            other => panic!("{at}: keyword {other} is not checked"),
        };
        if !ok {
            errors.push(format!("{at}: {keyword} {rule} does not hold"));
        }
    }
}

const SUMMARY: &str = include_str!("../../schema/summary.schema.json");
const OPS: &str = include_str!("../../schema/ops.schema.json");

fn errors(value: &Value) -> Vec<String> {
    errors_by(SUMMARY, value)
}

fn errors_by(schema: &str, value: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut errors = Vec::new();
    check(&schema, &schema, value, "", &mut errors);
    errors
}

fn full() -> Value {
    let facts = RunFacts {
        problems: vec!["office.lua:14: no".into()],
        notes: vec!["drained".into()],
        target: TargetFacts {
            encryption: Some("AES-128-GCM".into()),
            server: Some("NAS".into()),
            ..sample::facts().target
        },
        settings: Settings {
            time_scale: 0.5,
            mode: Some(1),
            limit: Some(64),
            retry: vec!["STATUS_RETRY".into()],
        },
        processors: Some(Processors { cores: 4, used: 1.25, ..Processors::default() }),
        metrics: sample::metrics(),
        oplog: Some(OplogSummary { written: 1_000, dropped: 3 }),
        ..sample::facts()
    };
    let mut summary = Summary::new(facts, &sample::measurements());
    summary.trust.cause = Some(Cause::Generation);
    summary.thresholds.push(ThresholdSummary {
        expression: "errors.rate < 1%".into(),
        value: Some(0.02),
        unit: Unit::Share,
        pass: false,
        comparison: None,
        phase: Some("steady".into()),
        workload: Some("editors".into()),
        reason: Some("ended the run after 6.0 s".into()),
    });
    serde_json::to_value(summary).unwrap()
}

#[test]
fn the_schema_holds_for_a_full_summary_and_for_one_of_nothing() {
    assert_eq!(errors(&full()), [""; 0]);
    let nothing = Measurements::new(sample::layout());
    let summary = Summary::new(RunFacts { phases: vec![], ..sample::facts() }, &nothing);
    assert_eq!(errors(&serde_json::to_value(summary).unwrap()), [""; 0]);
}

#[test]
fn every_key_of_the_schema_occurs_in_a_full_summary() {
    let full = full();
    let schema: Value = serde_json::from_str(SUMMARY).unwrap();
    for key in schema["properties"].as_object().unwrap().keys() {
        assert!(full.get(key).is_some(), "{key}");
    }
    for (of, at) in [
        ("/$defs/totals", "/totals"),
        ("/$defs/operations/additionalProperties", "/operations/open"),
        ("/$defs/breaks", "/breaks"),
        ("/properties/oplog", "/oplog"),
        ("/$defs/times", "/operations/read/service_us"),
        ("/$defs/tail", "/lateness_us"),
        ("/$defs/iterations", "/iterations"),
        ("/$defs/section", "/setup"),
        ("/properties/run", "/run"),
        ("/properties/run/properties/settings", "/run/settings"),
        ("/properties/unissued", "/unissued"),
        ("/properties/trust", "/trust"),
        ("/properties/thresholds/items", "/thresholds/0"),
    ] {
        let properties = schema.pointer(of).unwrap()["properties"].as_object().unwrap();
        let found = full.pointer(at).unwrap().as_object().unwrap();
        assert!(properties.keys().eq(found.keys()), "{of}: {:?}", found.keys());
    }
}

#[test]
fn the_schema_refuses_what_is_not_a_summary() {
    let mut wrong = full();
    wrong["totals"]["operations"] = json!("many");
    wrong["operations"]["reed"] = json!({});
    wrong["trust"]["mood"] = json!("good");
    wrong["exit_code"] = json!(17);
    wrong.as_object_mut().unwrap().remove("phases");
    let found = errors(&wrong).join("\n");
    for at in
        ["/totals/operations: type", "/operations/reed", "/trust/mood", "/exit_code", ": required"]
    {
        assert!(found.contains(at), "{at} not in\n{found}");
    }
}

#[test]
fn the_schema_of_the_operation_log_holds_for_every_line_and_has_no_key_beyond_them() {
    let lines = super::oplog::tests::full();
    let schema: Value = serde_json::from_str(OPS).unwrap();
    let mut seen: BTreeMap<&str, BTreeSet<&String>> = BTreeMap::new();
    for line in &lines {
        assert_eq!(errors_by(OPS, line), [""; 0], "{line}");
        let kind = line["event"].as_str().unwrap();
        seen.entry(kind).or_default().extend(line.as_object().unwrap().keys());
    }
    for kind in ["operation", "break", "dropped_iteration"] {
        let known = schema["$defs"][kind]["properties"].as_object().unwrap();
        assert!(known.keys().collect::<BTreeSet<_>>() == seen[kind], "{kind}: {:?}", seen[kind]);
    }
    let known = schema.pointer("/$defs/operation/properties/granted/properties").unwrap();
    let granted = lines[0]["granted"].as_object().unwrap();
    assert!(known.as_object().unwrap().keys().eq(granted.keys()), "{granted:?}");
    let mut wrong = lines[0].clone();
    wrong["mood"] = json!("good");
    assert_eq!(errors_by(OPS, &wrong).len(), 1);
}
