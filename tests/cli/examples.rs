//! The scripts in `examples/`, as their readers run them.

use std::fs;
use std::path::Path;

use crate::program::Place;

#[test]
#[ignore = "runs each example for as long as it is made for"]
fn every_example_runs_to_a_good_end_on_the_embedded_server() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut ran = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let example = entry.unwrap().path();
        if example.extension().is_none_or(|extension| extension != "lua") {
            continue;
        }
        let place = Place::new();
        let ended = place.smbench("run --oplog --out out").arg(&example).end();
        // A loaded host may make the generator late (exit 5); the example itself is sound.
        assert!([0, 5].contains(&ended.code), "{}: {ended:#?}", example.display());
        assert!(place.read("out/summary.json").contains("smbench.summary/1"));
        assert!(!place.oplog("out").is_empty(), "{}", example.display());
        ran += 1;
    }
    assert!(ran > 0, "no examples");
}
