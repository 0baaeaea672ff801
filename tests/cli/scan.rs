//! `smbench scan`, and a script that reads what it wrote.

use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::{Value, json};

use crate::program::Place;

/// Makes a place with a tree of three files in two directories, and links that lead in a circle and
/// out of it.
fn place() -> Place {
    let place = Place::new();
    fs::create_dir_all(place.path().join("home/ada")).unwrap();
    place.write("home/readme", "four");
    place.write("home/ada/plan.doc", vec![b'x'; 5_000]);
    place.write("home/ada/empty", "");
    symlink("..", place.path().join("home/ada/up")).unwrap();
    symlink("/etc", place.path().join("home/etc")).unwrap();
    place
}

fn tree(place: &Place, name: &str) -> Value {
    serde_json::from_str(&place.read(name)).unwrap()
}

#[test]
fn a_scan_has_the_sizes_of_files_and_no_names_and_does_not_follow_links() {
    let place = place();
    let ended = place.smbench("scan home -o tree.json").end().exits(0);
    assert_eq!(ended.stdout, "");
    assert!(
        ended.stderr.contains("3 files in 2 directories, 4.9 KiB; without 2 symbolic links"),
        "{}",
        ended.stderr
    );
    let text = place.read("tree.json");
    assert!(!text.contains("plan") && !text.contains("\"ada"), "{text}");
    let tree = tree(&place, "tree.json");
    assert_eq!(tree["directories"], json!([{ "files": [4] }, { "parent": 0, "files": [0, 5000] }]));
    assert_eq!(tree["totals"]["bytes"], 5_004);
    assert_eq!(tree["totals"]["skipped"]["links"], 2);
}

#[test]
fn a_scan_has_names_if_they_are_asked_for() {
    let place = place();
    place.smbench("scan home -o tree.json --names").end().exits(0);
    let directories = &tree(&place, "tree.json")["directories"];
    assert_eq!(directories[0], json!({ "files": [4], "names": ["readme"] }));
    assert_eq!(
        directories[1],
        json!({ "parent": 0, "name": "ada", "files": [0, 5000], "names": ["empty", "plan.doc"] })
    );
}

#[test]
fn names_that_a_share_cannot_have_are_replaced_and_counted() {
    let place = place();
    let odd = std::ffi::OsString::from_vec(b"\xff\xfe".to_vec());
    fs::write(place.path().join("home").join(odd), "").unwrap();
    for name in ["a:b", "README", "ends in a dot."] {
        place.write(&format!("home/{name}"), "");
    }
    let ended = place.smbench("scan home -o tree.json --names").end().exits(0);
    assert!(
        ended.stderr.contains("warning: 4 names are not allowed on a share"),
        "{}",
        ended.stderr
    );
    let tree = tree(&place, "tree.json");
    assert_eq!(tree["totals"]["replaced_names"], 4);
    assert_eq!(
        tree["directories"][0]["names"],
        json!(["README", "unnamed-1-0", "unnamed-4-0", "unnamed-5-0", "unnamed-6-0"])
    );
    assert_eq!(tree["directories"][0]["files"].as_array().unwrap().len(), 5);
}

#[test]
fn what_cannot_be_read_is_counted_and_the_rest_is_scanned() {
    let place = place();
    let closed = place.path().join("home/ada");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let readable = fs::read_dir(&closed).is_ok();
    let ended = place.smbench("scan home -o tree.json").end().exits(0);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    // The superuser can read everything.
    if !readable {
        assert!(ended.stderr.contains("1 could not be read"), "{}", ended.stderr);
        assert_eq!(tree(&place, "tree.json")["totals"]["skipped"]["unreadable"], 1);
    }
}

#[test]
fn a_scan_that_cannot_be_made_is_refused_and_leaves_nothing() {
    let place = place();
    for (line, expected) in [
        ("scan nowhere -o tree.json", "cannot scan nowhere: No such file or directory"),
        ("scan home/readme -o tree.json", "home/readme is not a directory"),
        ("scan home -o missing/tree.json", "there is no directory missing"),
        ("scan home -o /dev/null --force", "names no file: it is a device or a pipe"),
        ("scan home -o home --force", "names no file: it is a directory"),
    ] {
        let message = place.smbench(line).end().refused(2);
        assert!(message.contains(expected), "{line}: {message}");
    }
    place.write("tree.json", "mine");
    let message = place.smbench("scan home -o tree.json").end().refused(2);
    assert!(message.contains("tree.json exists; --force replaces it"), "{message}");
    assert_eq!(place.read("tree.json"), "mine");
    place.smbench("scan home -o tree.json --force").end().exits(0);
    assert_eq!(tree(&place, "tree.json")["totals"]["files"], 3);
    assert_eq!(place.names(), ["home", "tree.json"]);
}

#[test]
fn standard_output_takes_a_tree() {
    let ended = place().smbench("scan home -o -").end().exits(0);
    let tree: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(tree["schema"], "smbench.tree/1");
}

#[test]
fn a_tree_of_many_files_is_scanned_and_read_by_a_script() {
    let place = Place::with_script(
        "local tree = bench.tree('tree.json')
        local files = 0
        for _, directory in ipairs(tree.directories) do
          files = files + #directory.files
        end
        bench.workload { name = 'w', iteration = function(c) c:mkdir('files-' .. files) end }",
    );
    let deep = (0..20).map(|level| format!("level-{level}")).collect::<Vec<_>>().join("/");
    fs::create_dir_all(place.path().join("many").join(&deep)).unwrap();
    for number in 0..2_000 {
        let directory =
            if number % 2 == 0 { Path::new("many") } else { &Path::new("many").join(&deep) };
        fs::write(place.path().join(directory).join(number.to_string()), "").unwrap();
    }
    place.smbench("scan many -o tree.json").end().exits(0);
    place.smbench("compile s.lua --iterations 1 -o s.jsonl").end().exits(0);
    assert!(place.read("s.jsonl").contains("files-2000"));
}
