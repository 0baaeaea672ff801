//! The example of two teams that share a library.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn two_teams_share_a_library_and_roll_an_upgrade_back() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("play");
    let play = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/team-library/play");
    let output = Command::new(play)
        .arg(&place)
        .env("SMBENCH", env!("CARGO_BIN_EXE_smbench"))
        // A loaded host may make the generator late; the example itself is sound.
        .env("SMBENCH_ALLOW_LATE", "true")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("\nacme/office 1.1.0 -> 1.2.0\n"), "{said}");
    assert_eq!(errors, "error: nightly.lua:16: attempt to call a nil value (client writers/0)\n");
    let summary = |name: &str| -> serde_json::Value {
        let text = fs::read_to_string(place.join(name).join("summary.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let (before, after) = (summary("before"), summary("after"));
    assert_eq!(before["run"]["packages"], after["run"]["packages"]);
    assert_eq!(before["run"]["modules"], after["run"]["modules"]);
    assert_eq!(before["run"]["ir_hash"], after["run"]["ir_hash"]);
    assert_eq!(after["run"]["packages"][0]["version"], "1.1.0");
    assert_eq!(after["run"]["params"]["office.doc_size"], 96 << 10);
    assert!(!place.join("broken").exists(), "a run that was refused left results");
}
