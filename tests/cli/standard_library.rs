//! The modules in `stdlib/` on real servers: what they leave on a share.

use std::fs;
use std::path::Path;

use smbench_test_support::{Samba, Settings};

use crate::program::{Ended, Place, names};
use crate::summary::number;

/// Bounds of a run: one that every client reaches in its own time, and others that cut the clients
/// in the middle of an activity.
const BOUNDS: [&str; 3] = ["--iterations 6", "--operations 61", "--operations 200"];

/// Runs every workload of the library's tests against a target, with every bound. Each run must
/// leave the directory, which the target serves, as empty as it was.
fn run_all(target: &str, served: &Path, check: impl Fn(&Ended, &str)) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib/tests/workloads");
    let mut ran = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let workload = entry.unwrap().path();
        let name = workload.file_name().unwrap().to_string_lossy().into_owned();
        let place = Place::new();
        place.write(&name, fs::read(&workload).unwrap());
        for (number_of_run, bound) in BOUNDS.iter().enumerate() {
            let line = format!("{name} {target} {bound} --duration 20s");
            let ended = place.run_to(&format!("out{number_of_run}"), &line).samba().end();
            let what = format!("{name} {bound}: {ended:#?}");
            assert!(number(&ended.summary()["totals"]["succeeded"]) > 0, "{what}");
            assert_eq!(names(served), Vec::<String>::new(), "{what}");
            check(&ended, &what);
        }
        ran += 1;
    }
    assert!(ran > 8, "{ran} workloads");
}

/// On a directory, the embedded server refuses a name for a moment after its file was deleted
/// (DELETE_PENDING). Failures are looked for on its share in memory, by `stdlib/tests`.
#[test]
fn every_module_leaves_an_empty_share_on_the_embedded_server_whole_or_cut() {
    let served = tempfile::tempdir().unwrap();
    run_all(&format!("--embedded-dir {}", served.path().display()), served.path(), |_, _| {});
}

#[test]
fn every_module_leaves_an_empty_share_on_samba_whole_or_cut_and_nothing_fails() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    run_all(&format!("--target {}", samba.url()), &samba.share(), |ended, what| {
        assert_eq!(number(&ended.summary()["totals"]["failed"]), 0, "{what}");
    });
}
