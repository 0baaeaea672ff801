//! Reports against `schema/probe.schema.json`.

use serde_json::Value;

use super::suite::{Column, Verdict};
use super::*;
use crate::backend::ServerDescription;

fn report(verdict_of: impl Fn(&Case) -> Verdict, column: Column) -> ProbeReport {
    let cases = all();
    let verdicts = cases.iter().map(|case| verdict_of(case)).collect();
    let target = TargetReport {
        url: "smb://ann@nas/data".into(),
        backend: "smb2",
        server: ServerDescription { dialect: Some("3.1.1".into()), ..ServerDescription::default() },
    };
    ProbeReport::new(target, "smbench-probe-1", &cases, &Column { verdicts, ..column })
}

/// Every key a value has is known to its schema, and every one it must have is there.
fn check(schema: &Value, value: &Value, at: &str) {
    if let Some(words) = schema.get("enum") {
        assert!(words.as_array().unwrap().contains(value), "{at}: {value}");
    }
    if let Some(item) = schema.get("items") {
        for value in value.as_array().expect(at) {
            check(item, value, at);
        }
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let object = value.as_object().expect(at);
    for key in schema["required"].as_array().unwrap() {
        assert!(object.contains_key(key.as_str().unwrap()), "{at} has no {key}");
    }
    for (key, value) in object {
        let schema =
            properties.get(key).unwrap_or_else(|| panic!("{at}: {key} is not in the schema"));
        check(schema, value, &format!("{at}/{key}"));
    }
}

#[test]
fn reports_have_the_shape_of_the_schema() {
    let schema = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/probe.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
    let verdicts = [
        Verdict::Pass,
        Verdict::Fail("got nonsense".into()),
        Verdict::NotGranted("no oplocks".into()),
        Verdict::Skipped("no locks".into()),
        Verdict::NotRun("interrupted"),
    ];
    for verdict in verdicts {
        let column = Column { left: vec!["x: y".into()], interrupted: true, ..Column::default() };
        let report = report(|_| verdict.clone(), column);
        check(&schema, &serde_json::to_value(&report).unwrap(), "report");
    }
}

#[test]
fn only_what_is_essential_decides_the_exit_code() {
    let failed = || Verdict::Fail("got nonsense".into());
    assert_eq!(report(|_| Verdict::Pass, Column::default()).exit_code, 0);
    let unessential = |case: &Case| match case.care {
        Care::Essential => Verdict::Pass,
        _ => failed(),
    };
    let differs = report(unessential, Column::default());
    assert_eq!((differs.exit_code, differs.totals.pass > 0), (0, true));
    let essential = |case: &Case| match case.care {
        Care::Essential => failed(),
        _ => Verdict::Pass,
    };
    assert_eq!(report(essential, Column::default()).exit_code, 4);
    let left = Column { left: vec!["f: got STATUS_ACCESS_DENIED".into()], ..Column::default() };
    assert_eq!(report(|_| Verdict::Pass, left).exit_code, 4);
    let interrupted = Column { interrupted: true, ..Column::default() };
    assert_eq!(report(|_| Verdict::Pass, interrupted).exit_code, 130);
}

#[test]
fn a_known_deviation_says_why_and_what_it_supports_follows_from_the_cases() {
    let verdict = |case: &Case| match case.name {
        "a_folder_never_replaces_a_folder" => Verdict::Fail("got STATUS_SUCCESS (0x0)".into()),
        "a_batch_oplock_is_granted" => Verdict::NotGranted("none".into()),
        "level_ii_is_granted" => Verdict::Skipped("no caching".into()),
        _ => Verdict::Pass,
    };
    let report = report(verdict, Column::default());
    let names: Vec<_> = report.differences().map(|case| (case.name, case.reason)).collect();
    let reason = "rename(2) replaces an empty folder, and Samba lets it";
    assert_eq!(names, [("a_folder_never_replaces_a_folder", Some(reason))]);
    let answer = |what| report.supports.iter().find(|row| row.what == what).unwrap().answer;
    assert_eq!(answer("rename"), Answer::Partly);
    assert_eq!(answer("batch oplock"), Answer::No);
    assert_eq!(answer("oplock level II"), Answer::Unknown);
    assert_eq!(answer("exclusive oplock"), Answer::Yes);
}
