//! Tests of summaries against `schema/summary.schema.json`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use smbench_test_support::Format;

use super::custom_metrics::MetricUnit;
use super::schema;
use super::summary::*;
use super::thresholds::ThresholdSummary;
use super::thresholds::metric::Unit;
use super::{Cause, Measurements, Processors, fixtures};

/// Returns a summary that has every key.
fn full() -> Value {
    let facts = RunFacts {
        problems: vec!["office.lua:14: no".into()],
        notes: vec!["drained".into()],
        target: TargetFacts {
            encryption: Some("AES-128-GCM".into()),
            server: Some("NAS".into()),
            ..fixtures::facts().target
        },
        settings: RunSettings {
            time_scale: 0.5,
            mode: Some(1),
            limit: Some(64),
            retry: vec!["STATUS_RETRY".into()],
        },
        processors: Some(Processors { cores: 4, used: 1.25, ..Processors::default() }),
        metrics: fixtures::metrics(),
        oplog: Some(OplogSummary { written: 1_000, dropped: 3 }),
        ..fixtures::facts()
    };
    let mut summary = Summary::new(facts, &fixtures::measurements());
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
    let histogram = summary.metrics.get_mut("app.histogram").unwrap();
    (histogram.unit, histogram.beyond_tags) = (Some(MetricUnit::Ns), 1);
    summary.silent_clients = Some(SilentClients { count: 1, first: vec!["editors/0".into()] });
    serde_json::to_value(summary).unwrap()
}

#[test]
fn the_schema_of_summaries_is_that_of_the_types_and_has_no_key_that_none_writes() {
    let schema = schema::checked_in::<Summary>("summary");
    assert_eq!(schema::unused_keys(&schema, &[full()]), [""; 0]);
}

#[test]
fn every_key_of_every_schema_has_a_description() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let files: Vec<_> = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let schema = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(schema::undescribed_keys(&schema), [""; 0], "{}", file.display());
    }
}

#[test]
fn the_schema_holds_for_a_full_summary_and_for_one_of_nothing() {
    assert_eq!(Format::Summary.errors(&full()), [""; 0]);
    let nothing = Measurements::new(fixtures::layout());
    let summary = Summary::new(RunFacts { phases: vec![], ..fixtures::facts() }, &nothing);
    assert_eq!(Format::Summary.errors(&serde_json::to_value(summary).unwrap()), [""; 0]);
}

#[test]
fn the_schema_refuses_an_unknown_key_and_null_everywhere_in_a_summary() {
    for (at, summary) in schema::spoiled(&full()) {
        // A script chooses the names and values of these.
        let is_free = at.starts_with("/run/params") || at.ends_with("/tags");
        let is_refused = !Format::Summary.errors(&summary).is_empty();
        assert!(is_refused || is_free, "{at}: {:?}", summary.pointer(&at));
    }
}

#[test]
fn the_schema_refuses_what_is_not_a_summary() {
    let mut wrong = full();
    wrong["totals"]["operations"] = json!(-1);
    wrong["operations"]["reed"] = wrong["operations"]["read"].clone();
    wrong["operations"]["open"]["create_actions"]["burnt"] = json!(1);
    wrong["trust"]["verdict"] = json!("good");
    wrong["exit_code"] = json!(17);
    wrong["schema"] = json!("smbench.summary/2");
    wrong["target"]["mode"] = json!(3);
    wrong.as_object_mut().unwrap().remove("phases");
    let found = Format::Summary.errors(&wrong).join("\n");
    for place in [
        "/totals/operations: ",
        "/operations: ",
        "/operations/open/create_actions: ",
        "/trust/verdict: ",
        "/exit_code: ",
        "/schema: ",
        "/target/mode: ",
        "\"phases\" is a required property",
    ] {
        assert!(found.contains(place), "{place} not in\n{found}");
    }
}
