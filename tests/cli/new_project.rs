//! `smbench new` and `smbench definitions`, and what editors make of a project.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{Call, Place, names};

const DEFINITIONS: &str = ".smbench/definitions";

/// Makes the project `team` and returns its directory.
fn project(place: &Place) -> PathBuf {
    place.smbench("new team").end().exits(0);
    place.path().join("team")
}

fn within(call: Call, directory: &Path) -> Call {
    call.within(directory.to_str().unwrap())
}

#[test]
fn a_new_project_runs_and_says_what_to_do_next() {
    let place = Place::new();
    let ended = place.smbench("new deep/team").end().exits(0);
    assert_eq!(
        ended.stdout.split_once("; next:\n").unwrap().1,
        "cd deep/team\nsmbench run workload.lua\nsmbench test\nand read README.md\n"
    );
    let project = place.path().join("deep/team");
    let run = place.smbench("run workload.lua --duration 1s --allow-late --out ../out --quiet");
    within(run, &project).end().exits(0);
    assert!(place.path().join("deep/out/summary.json").is_file());
    let help = within(place.smbench("run workload.lua --help"), &project).end().exits(0);
    assert!(help.stdout.contains("people at work"), "{}", help.stdout);
}

#[test]
fn the_test_of_a_new_project_passes_and_fails_if_its_module_is_wrong() {
    let place = Place::new();
    let project = project(&place);
    let passed = within(place.smbench("test"), &project).end().exits(0);
    assert!(passed.stdout.contains("3 passed"), "{}", passed.stdout);
    let module = fs::read_to_string(project.join("lib/documents.lua")).unwrap();
    let wrong = module.replacen("c:close(handle)", "c:stat(name)", 1);
    assert_ne!(wrong, module);
    fs::write(project.join("lib/documents.lua"), wrong).unwrap();
    within(place.smbench("test"), &project).end().exits(99);
}

#[test]
fn a_new_library_runs_and_passes_its_tests() {
    let place = Place::new();
    let ended = place.smbench("new --lib office --name acme/office").end().exits(0);
    assert!(ended.stdout.starts_with("made the library office, "), "{}", ended.stdout);
    assert!(ended.stdout.contains("\nsmbench run tests/workload.lua\n"), "{}", ended.stdout);
    let library = place.path().join("office");
    let run = place.smbench("run tests/workload.lua --duration 1s --allow-late --quiet");
    within(run, &library).end().exits(0);
    let passed = within(place.smbench("test"), &library).end().exits(0);
    assert!(passed.stdout.contains("2 passed"), "{}", passed.stdout);
    if let Some(found) = complaints(&library) {
        assert_eq!(found, [""; 0]);
    }
    let refused = place.smbench("new --lib 2027").end().refused(2);
    assert!(refused.starts_with("\"2027\" cannot be the name of a library: "), "{refused}");
}

#[test]
fn the_profile_of_a_new_project_runs() {
    let place = Place::new();
    let project = project(&place);
    let run = place.smbench("run workload.lua --profile quick --allow-late --quiet --out ../out");
    within(run, &project).end().exits(0);
    assert!(place.read("out/summary.json").contains("\"profile\": \"quick\""));
}

#[test]
fn the_new_project_is_named_in_its_manifest() {
    let place = Place::new();
    place.smbench("new 2026 --name load_2026").end().exits(0);
    assert!(place.read("2026/smbench.toml").contains("\nname = \"load_2026\"\n"));
    let refused = place.smbench("new 2027").end().refused(2);
    assert!(refused.starts_with("\"2027\" cannot be the name of a project: "), "{refused}");
    assert_eq!(place.names(), ["2026"]);
}

#[test]
fn what_exists_is_refused_with_one_error_and_left_as_it_is() {
    let place = Place::new();
    fs::create_dir(place.path().join("full")).unwrap();
    place.write("full/mine.lua", "mine");
    place.write("file", "mine");
    for (line, said) in [
        (
            "new full",
            "full is not empty; name a directory that does not exist yet, or an empty one",
        ),
        ("new .", ". is not empty; name a directory that does not exist yet, or an empty one"),
        ("new file", "file is not a directory; name one that does not exist yet, or an empty one"),
    ] {
        assert_eq!(place.smbench(line).end().refused(2), said);
    }
    assert_eq!(names(&place.path().join("full")), ["mine.lua"]);
    assert_eq!(place.names(), ["file", "full"]);
}

#[test]
fn a_disk_that_is_full_half_way_leaves_nothing_behind() {
    let place = Place::new();
    fs::create_dir(place.path().join("disk")).unwrap();
    let call = place.smbench("new disk/deep/team").then("ls -A disk | wc -l >left");
    let Some(call) = call.with_disk("disk", 32768) else { return };
    let refused = call.end().refused(2);
    assert!(refused.contains("nothing of the project is left"), "{refused}");
    assert_eq!(place.read("left").trim(), "0");
}

#[test]
fn definitions_rewrites_what_differs_and_nothing_else() {
    let place = Place::new();
    let project = project(&place);
    let definitions = project.join(DEFINITIONS);
    let up_to_date = within(place.smbench("definitions"), &project).end().exits(0);
    assert!(up_to_date.stdout.ends_with(" are up to date\n"), "{}", up_to_date.stdout);

    let whole = fs::read_to_string(definitions.join("bench.d.luau")).unwrap();
    fs::write(definitions.join("bench.d.luau"), "of an older version").unwrap();
    fs::remove_file(definitions.join("@bench/office.lua")).unwrap();
    fs::write(project.join("workload.lua"), "mine").unwrap();
    let ended = within(place.smbench("definitions"), &project.join("lib")).end().exits(0);
    let wrote: Vec<&str> = ended
        .stdout
        .lines()
        .filter(|line| line.ends_with("lua") || line.ends_with("luau"))
        .collect();
    assert_eq!(
        wrote,
        [
            format!("wrote {DEFINITIONS}/bench.d.luau"),
            format!("wrote {DEFINITIONS}/@bench/office.lua")
        ]
    );
    assert_eq!(fs::read_to_string(definitions.join("bench.d.luau")).unwrap(), whole);
    assert!(definitions.join("@bench/office.lua").is_file());
    assert_eq!(fs::read_to_string(project.join("workload.lua")).unwrap(), "mine");
}

#[test]
fn definitions_are_written_into_a_project_only() {
    let place = Place::new();
    let refused = place.smbench("definitions").end().refused(2);
    assert!(refused.starts_with(". is in no project: "), "{refused}");
    let outside = place.path().join("outside");
    fs::create_dir_all(place.path().join("linked")).unwrap();
    fs::create_dir(&outside).unwrap();
    place.write("linked/smbench.toml", "");
    symlink(&outside, place.path().join("linked/.smbench")).unwrap();
    let refused = place.smbench("definitions linked").end().refused(2);
    assert!(refused.contains("a symbolic link leads out of the directory"), "{refused}");
    assert_eq!(names(&outside), [""; 0]);
}

#[test]
fn a_clone_gets_its_definitions_and_new_files_can_be_read_by_all() {
    let place = Place::new();
    let project = project(&place);
    fs::remove_dir_all(project.join(".smbench")).unwrap();
    place.smbench("definitions team").end().exits(0);
    let mode = |path: &str| project.join(path).metadata().unwrap().permissions().mode() & 0o444;
    for path in ["workload.lua", &format!("{DEFINITIONS}/bench.d.lua")] {
        assert_eq!(mode(path), 0o444, "{path}");
    }
}

/// The complaints of `emmylua_check` in a directory: `file: [kind]` of each. Returns None if the
/// program is not installed, which `tests/run` does.
fn complaints(directory: &Path) -> Option<Vec<String>> {
    let mut check = Command::new("emmylua_check");
    check.args(["--warnings-as-errors", "--severity", "warn", "--output-format", "json"]);
    check.arg(directory);
    let output = match check.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no emmylua_check on CI");
            eprintln!("!! skipped: emmylua_check is not installed");
            return None;
        }
        output => output.expect("emmylua_check runs"),
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let json = text.find('[').map_or("[]", |begin| &text[begin..=text.rfind(']').unwrap()]);
    let files: serde_json::Value = serde_json::from_str(json).expect(&text);
    let mut found = Vec::new();
    for file in files.as_array().unwrap() {
        let name = file["file"].as_str().unwrap().rsplit('/').next().unwrap();
        for complaint in file["diagnostics"].as_array().unwrap() {
            let line = complaint["range"]["start"]["line"].as_u64().unwrap() + 1;
            let kind = complaint["code"].as_str().unwrap();
            found.push(format!("{name}:{line}: {kind}: {}", complaint["message"]));
        }
    }
    found.sort();
    assert_eq!(output.status.success(), found.is_empty(), "{text}");
    Some(found)
}

#[test]
fn emmylua_has_no_complaint_about_the_standard_library_the_scripts_and_the_examples() {
    let Some(found) = complaints(Path::new(env!("CARGO_MANIFEST_DIR"))) else { return };
    assert_eq!(found, [""; 0]);
}

/// Copies the files of a directory, and of those in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), &to).unwrap()),
        }
    }
}

#[test]
fn emmylua_reads_the_standard_library_the_scripts_and_the_examples() {
    let (root, place) = (Path::new(env!("CARGO_MANIFEST_DIR")), Place::new());
    let settings = root.join(".emmyrc.json");
    if settings.exists() {
        fs::copy(settings, place.path().join(".emmyrc.json")).unwrap();
    }
    for (directory, file) in
        [("stdlib", "files.lua"), ("scripts", "office.lua"), ("examples", "hooks.lua")]
    {
        let copied = place.path().join(directory);
        copy(&root.join(directory), &copied);
        let path = copied.join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("bench.no_such_function()\n{text}")).unwrap();
    }
    let Some(found) = complaints(&place.path()) else { return };
    let mut places: Vec<&str> = found.iter().filter_map(|one| one.split(": ").next()).collect();
    places.dedup();
    assert_eq!(places, ["files.lua:1", "hooks.lua:1", "office.lua:1"], "{found:#?}");
}

#[test]
fn emmylua_knows_every_name_and_type_in_a_new_project() {
    let place = Place::new();
    let project = project(&place);
    let Some(found) = complaints(&project) else { return };
    assert_eq!(found, [""; 0]);
    let bad = r#"local files = require("@bench/files")
local documents = require("./lib/documents")
bench.workload {
  name = "bad",
  clients = "three",
  iteration = function(c, rng)
    local handle = c:opne("a", "r")
    c:read(handle, {}, 4096)
    c:close(handle, { expct = "any" })
    c:think(rng:itn(1, 2))
    files.sett {}
    documents.reed(c, 1, "4KiB")
  end,
}
"#;
    fs::write(project.join("bad.lua"), bad).unwrap();
    let found = complaints(&project).unwrap();
    for expected in [
        "bad.lua:5: assign-type-mismatch",
        "bad.lua:7: undefined-field",
        "bad.lua:8: param-type-mismatch",
        "bad.lua:10: undefined-field",
        "bad.lua:11: undefined-field",
        "bad.lua:12: undefined-field",
    ] {
        assert!(found.iter().any(|one| one.starts_with(expected)), "{expected}: {found:#?}");
    }
}
