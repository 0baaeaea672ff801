//! Runs of scripts that use libraries, and what is recorded of them.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use smbench::library::listing::Listing;
use smbench::library::lock::{LOCK, Lock, LockedPackage, LockedSource, PackageId, Reference};
use smbench::library::store::directory_name;

use crate::program::Place;
use crate::watched::Watched;

const SCRIPT: &str = "
local P = bench.params { users = { type = 'int', default = 2, help = 'simulated users' } }
local office, near = require('@office'), require('@near')
bench.workload { name = 'w', clients = P.users, iteration = function(c)
    c:mkdir(('%s-%s-%d'):format(office.mark, near, c.id), { expect = 'any' })
    c:think('2ms')
end }";

const OFFICE: &str = "local P = bench.params {
    mark = { type = 'string', default = 'x', help = 'beginning of the names' },
}
return { mark = P.mark, sizes = require('@self/sizes') }";

const MANIFEST: &str = "[dependencies]
office = { repo = \"https://host/office.git\", version = \"^1.2\" }
near = { path = \"lib/near\" }
";

fn id(name: &str, version: (u64, u64)) -> PackageId {
    PackageId { name: name.into(), version: semver::Version::new(version.0, version.1, 0) }
}

fn write(place: &Place, path: &str, content: &str) {
    fs::create_dir_all(place.path().join(path).parent().unwrap()).unwrap();
    place.write(path, content);
}

/// Installs the library `acme/office` with this version and this `init.lua`, and returns the lock.
fn install(place: &Place, minor: u64, init: &str) -> Lock {
    let manifest = format!("name = \"acme/office\"\nversion = \"1.{minor}.0\"\n");
    let files =
        [("init.lua", init), ("sizes.lua", "return { 1, 2 }"), ("smbench.toml", &*manifest)];
    let listing = Listing::of(files.map(|(path, text)| (path, text.as_bytes())));
    let (office, near) = (id("acme/office", (1, minor)), id("near", (0, 1)));
    let directory = format!(".smbench/packages/{}", directory_name(&office, &listing.hash()));
    write(place, &format!("{directory}/files"), &listing.text());
    for (path, text) in files {
        write(place, &format!("{directory}/library/{path}"), text);
    }
    let source = LockedSource::Repository {
        repo: "https://host/office.git".into(),
        reference: Reference::Tag(format!("v1.{minor}.0")),
        commit: "a".repeat(40),
        hash: listing.hash(),
    };
    let locked = |source| LockedPackage { source, dependencies: BTreeMap::new() };
    let in_directory = LockedSource::Path("lib/near".into());
    let aliases = [("office".to_string(), office.clone()), ("near".to_string(), near.clone())];
    Lock {
        packages: [(office, locked(source)), (near, locked(in_directory))].into(),
        dependencies: aliases.into(),
        ..Lock::default()
    }
}

fn project() -> Place {
    let place = Place::with_script(SCRIPT);
    place.write("smbench.toml", MANIFEST);
    place.write(LOCK, install(&place, 2, OFFICE).text());
    write(&place, "lib/near/smbench.toml", "name = \"near\"\nversion = \"0.1.0\"\n");
    write(&place, "lib/near/init.lua", "return 'a'");
    place
}

#[test]
fn a_run_records_its_libraries_and_their_parameters() {
    let place = project();
    let flags = "--target sim --iterations 2 -p office.mark=day -p users=3";
    place.run(&format!("s.lua {flags}")).end().exits(0);
    let summary: Value = serde_json::from_str(&place.read("out/summary.json")).unwrap();
    let run = &summary["run"];
    assert_eq!(run["params"], json!({ "office.mark": "day", "users": 3 }));
    let modules: Vec<(&str, &str)> = (run["modules"].as_array().unwrap().iter())
        .map(|it| (it["name"].as_str().unwrap(), it["version"].as_str().unwrap()))
        .collect();
    let expected = [
        ("acme/office@1.2.0/sizes.lua", "1.2.0"),
        ("acme/office@1.2.0/init.lua", "1.2.0"),
        ("near@0.1.0/init.lua", "0.1.0"),
    ];
    assert_eq!(modules, expected);
    let lock = Lock::parse(&place.read(LOCK), LOCK).unwrap();
    let LockedSource::Repository { hash, .. } = &lock.packages[&id("acme/office", (1, 2))].source
    else {
        panic!("from a repository")
    };
    let near = run["packages"][0]["hash"].clone();
    let packages = json!([
        { "alias": "near", "name": "near", "version": "0.1.0", "path": "lib/near", "hash": near },
        {
            "alias": "office",
            "name": "acme/office",
            "version": "1.2.0",
            "repo": "https://host/office.git",
            "tag": "v1.2.0",
            "commit": "a".repeat(40),
            "hash": hash,
        },
    ]);
    assert_eq!(run["packages"], packages);
    let plain =
        Place::with_script("bench.workload { name = 'w', iteration = function(c) c:stat('') end }");
    plain.run("s.lua --target sim --iterations 1").end().exits(0);
    let summary: Value = serde_json::from_str(&plain.read("out/summary.json")).unwrap();
    assert_eq!(summary["run"].get("packages"), None);
}

#[test]
fn a_document_has_the_same_bytes_each_time_and_records_the_libraries() {
    let place = project();
    for name in ["one.jsonl", "two.jsonl"] {
        place.smbench(&format!("compile s.lua --iterations 3 -o {name}")).end().exits(0);
    }
    assert_eq!(place.read("one.jsonl"), place.read("two.jsonl"));
    let header: Value =
        serde_json::from_str(place.read("one.jsonl").lines().next().unwrap()).unwrap();
    assert_eq!(header["packages"][1]["name"], "acme/office");
    place.run("one.jsonl --target sim").end().exits(0);
    let summary: Value = serde_json::from_str(&place.read("out/summary.json")).unwrap();
    assert_eq!(summary["run"]["packages"], header["packages"]);
    write(&place, "lib/near/init.lua", "return 'b'");
    place.smbench("compile s.lua --iterations 3 -o three.jsonl").end().exits(0);
    assert_ne!(place.read("one.jsonl"), place.read("three.jsonl"));
}

#[test]
fn help_shows_the_parameters_of_libraries_under_their_aliases() {
    let help = project().smbench("run s.lua --help").end().exits(0).stdout;
    let sections = "Parameters of s.lua (-p name=value):
  users <int>  simulated users [default: 2]

Parameters of office, acme/office 1.2.0 (-p office.name=value):
  mark <string>  beginning of the names [default: x]
";
    assert!(help.ends_with(sections), "{help}");
}

#[test]
fn libraries_that_cannot_be_used_are_refused_before_anything_runs() {
    let place = project();
    let run = || place.run("s.lua --target sim --iterations 1").end().refused(2);
    let message = place.run("s.lua --target sim -p office.mrak=1").end().refused(2);
    assert_eq!(
        message,
        "-p office.mrak: unknown parameter 'office.mrak': did you mean 'office.mark'?"
    );
    let lock = place.read(LOCK);
    fs::remove_file(place.path().join(LOCK)).unwrap();
    assert_eq!(
        run(),
        "smbench.toml names libraries, and there is no smbench.lock: run smbench lib lock"
    );
    place.write(LOCK, lock);
    fs::remove_dir_all(place.path().join(".smbench")).unwrap();
    assert_eq!(
        run(),
        "smbench.toml: the library acme/office 1.2.0 is not installed: run smbench lib sync"
    );
    // A ready workload has no project.
    place.run("@scripts/office --target sim --duration 1s").end().exits(0);
}

#[test]
fn tests_of_a_project_use_its_libraries_and_set_their_parameters() {
    let place = project();
    place.write(
        "s_test.lua",
        "local test = require('@bench/test')
        test.it('uses the library', function()
            test.expect(require('@office').sizes[2]):to_be(2)
            local stream = test.stream('./s.lua', { iterations = 1, params = { ['office.mark'] = 'night' } })
            test.expect(stream[1].path):to_be('night-a-0')
        end)
        test.it('finds mistakes', function()
            test.stream('./s.lua', { iterations = 1, params = { ['office.mrak'] = 'night' } })
        end)",
    );
    write(&place, "vendor/acme-x-1.0.0-01234567/files", "");
    write(&place, "vendor/acme-x-1.0.0-01234567/library/x_test.lua", "error('of a library')");
    let ended = place.smbench("test").end().exits(99);
    assert!(ended.stdout.contains("2 tests, 1 failed"), "{}", ended.stdout);
    let mistake = "params: unknown parameter 'office.mrak': did you mean 'office.mark'?";
    assert!(ended.stdout.contains(mistake), "{}", ended.stdout);
    assert!(!ended.stdout.contains("of a library"), "{}", ended.stdout);
}

#[test]
fn a_watched_run_follows_its_libraries_and_refuses_one_that_differs() {
    let mut run = Watched::embedded(project(), "");
    run.until(&["x-a-0", "x-a-1"]);
    run.edit("lib/near/init.lua", "return 'b'");
    let line = run.accepted(2);
    assert!(line.contains("init.lua"), "{line}");
    run.until(&["x-b-0"]);

    // A library that is there for a new lock is used once the lock names it.
    let lock = install(&run.place, 3, &OFFICE.replace("'x'", "'y'"));
    run.edit(LOCK, "version = \"1\"\n<<<<<<< ours\n");
    let reason = run.refused(2);
    assert!(reason.starts_with("smbench.lock:2: "), "{reason}");
    fs::remove_dir(run.shared("x-b-0")).unwrap();
    run.until(&["x-b-0"]);
    run.edit(LOCK, lock.text());
    let line = run.accepted(3);
    assert!(line.contains("smbench.lock"), "{line}");
    run.until(&["y-b-0"]);

    let id = id("acme/office", (1, 3));
    let LockedSource::Repository { hash, .. } = &lock.packages[&id].source else { panic!() };
    let changed = format!(".smbench/packages/{}/library/init.lua", directory_name(&id, hash));
    run.edit(&changed, OFFICE.replace("'x'", "'z'"));
    let reason = run.refused(3);
    let expected = format!(
        "smbench.toml: the library acme/office 1.3.0 cannot be used: {changed} does not match smbench.lock; run smbench lib sync to restore it"
    );
    assert!(reason.starts_with(&expected), "{reason}");
    run.edit("lib/near/init.lua", "return 'c'");
    assert!(run.refused(3).starts_with(&expected));
    run.edit(&changed, OFFICE.replace("'x'", "'y'"));
    run.accepted(4);
    run.until(&["y-c-0"]);
    run.edit("smbench.toml", "[dependencies]\n");
    let reason = run.refused(4);
    assert!(reason.contains("run smbench lib lock"), "{reason}");
    run.edit("smbench.toml", format!("# the same\n{MANIFEST}"));
    run.accepted(5);
    let reloaded = run.end();
    let versions: Vec<&Value> =
        (reloaded.generations().iter()).map(|part| &part["packages"][1]["version"]).collect();
    assert_eq!(versions, ["1.2.0", "1.2.0", "1.3.0", "1.3.0", "1.3.0"]);
}
