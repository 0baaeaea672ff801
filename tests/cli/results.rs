//! The results folder.

use std::fs;

use crate::program::{Place, names};

fn place() -> Place {
    Place::with_script(
        "bench.workload { name = 'w', iteration = function(c) c:stat('', { expect = 'any' }) end }",
    )
}

#[test]
fn results_go_to_a_folder_of_their_own_named_after_time_and_script() {
    let place = place();
    for _ in 0..3 {
        place.smbench("run s.lua --target sim --iterations 1 --allow-late").end().exits(0);
    }
    let folders = names(&place.path().join("results"));
    assert_eq!(folders.len(), 3, "{folders:?}");
    for folder in folders {
        assert!(folder.contains("Z-s"), "{folder}");
        assert_eq!(names(&place.path().join("results").join(folder)), ["summary.json"]);
    }
}

#[test]
fn a_folder_that_holds_a_summary_is_not_written_to_again() {
    let place = place();
    place.run("s.lua --target sim --iterations 1").end().exits(0);
    let before = place.read("out/summary.json");
    let ended = place.smbench("run s.lua --target sim --out out").end();
    assert_eq!(
        ended.refused(2),
        "--out out: there is a summary.json already; name another folder, or remove it"
    );
    assert_eq!(place.read("out/summary.json"), before);
    // Other files do not matter.
    fs::create_dir(place.path().join("other")).unwrap();
    place.write("other/notes.txt", "mine");
    place.smbench("run s.lua --target sim --iterations 1 --allow-late --out other").end().exits(0);
    assert_eq!(names(&place.path().join("other")), ["notes.txt", "summary.json"]);
}

#[test]
fn results_that_cannot_be_kept_are_told_before_the_run() {
    let place = place();
    place.write("file", "");
    let refused =
        |out: &str| place.smbench(&format!("run s.lua --target sim --out {out}")).end().refused(2);
    assert_eq!(refused("file"), "--out file: this is not a folder");
    let cannot = "cannot make the results folder";
    let advice = "--out names another place";
    assert_eq!(
        refused("file/x/y"),
        format!("{cannot} file/x/y: Not a directory (os error 20); {advice}")
    );
    for out in ["/proc/x", "/proc/self/x/y"] {
        let message = refused(out);
        assert!(message.starts_with(cannot) && message.ends_with(advice), "{message}");
    }
    // A working folder nobody can write to, root neither.
    let script = place.path().join("s.lua");
    let call = place.smbench("run --target sim").arg(script).within("/proc").end();
    let message = call.refused(2);
    assert!(message.starts_with(&format!("{cannot} results: ")), "{message}");
    assert!(message.ends_with(advice), "{message}");
    assert_eq!(place.names(), ["file", "s.lua"]);
}

#[test]
fn a_failed_connection_removes_the_folders_it_made_and_no_others() {
    let place = place();
    fs::create_dir(place.path().join("mine")).unwrap();
    let line = "run s.lua --target smb://127.0.0.1:1/share --out mine/a/b";
    place.smbench(line).end().refused(3);
    assert_eq!(names(&place.path().join("mine")), [""; 0]);
}
