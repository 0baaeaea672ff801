//! Tests of summaries against `schema/summary.schema.json`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use smbench_test_support::Format;

use super::summary::{RunFacts, Summary};
use super::{Measurements, fixtures, schema};

fn full() -> Value {
    serde_json::to_value(fixtures::full_summary()).unwrap()
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
        let is_free = at.contains("/params/") || at.ends_with("/params") || at.ends_with("/tags");
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
