//! `scripts/third-party-notices`: the licences of the packages in the binary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn script(manifest: &Path) -> Command {
    let mut script = Command::new(Path::new(ROOT).join("scripts/third-party-notices"));
    script.arg("--manifest-path").arg(manifest).env("CARGO", env!("CARGO"));
    script
}

fn notices(manifest: &Path) -> Output {
    script(manifest).output().expect("python3 is installed")
}

/// Packages that the program links, as `cargo metadata` knows them. The script asks `cargo tree`.
struct Linked {
    metadata: Value,
}

impl Linked {
    fn of_smbench() -> Linked {
        let rustc = Command::new("rustc").arg("-vV").output().unwrap();
        let rustc = String::from_utf8(rustc.stdout).unwrap();
        let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let mut metadata = Command::new(env!("CARGO"));
        metadata.args(["metadata", "--offline", "--locked", "--format-version=1"]);
        metadata.args(["--filter-platform", host]).current_dir(ROOT);
        let metadata = metadata.output().unwrap();
        assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
        Linked { metadata: serde_json::from_slice(&metadata.stdout).unwrap() }
    }

    fn package(&self, id: &Value) -> &Value {
        let packages = self.metadata["packages"].as_array().unwrap();
        packages.iter().find(|package| package["id"] == *id).unwrap()
    }

    /// Returns the licence of each package that normal dependencies lead to, by its name and
    /// version. With `always`, only those count that no feature can turn off.
    fn packages(&self, always: bool) -> BTreeMap<String, String> {
        let nodes = self.metadata["resolve"]["nodes"].as_array().unwrap();
        let mut reached = vec![&self.metadata["resolve"]["root"]];
        let mut seen = 0;
        while let Some(&id) = reached.get(seen) {
            seen += 1;
            let node = nodes.iter().find(|node| node["id"] == *id).unwrap();
            for dependency in node["deps"].as_array().unwrap() {
                let mut kinds = dependency["dep_kinds"].as_array().unwrap().iter();
                let (from, to) = (self.package(id), self.package(&dependency["pkg"]));
                let links = |kind: &Value| {
                    kind["kind"].is_null() && (!always || is_required(from, &to["name"], kind))
                };
                let is_new = !reached.contains(&&dependency["pkg"]);
                if is_new && !is_macro(to) && kinds.any(links) {
                    reached.push(&dependency["pkg"]);
                }
            }
        }
        let packages = reached[1..].iter().map(|id| self.package(id));
        let text = |value: &Value| value.as_str().unwrap().to_string();
        packages
            .map(|it| {
                (format!("{} {}", text(&it["name"]), text(&it["version"])), text(&it["license"]))
            })
            .collect()
    }
}

/// Returns whether a package is a procedural macro, which only the compiler runs.
fn is_macro(package: &Value) -> bool {
    let mut targets = package["targets"].as_array().unwrap().iter();
    targets.any(|target| target["kind"] == serde_json::json!(["proc-macro"]))
}

/// Returns whether a manifest requires a package on a platform, whatever the features are.
fn is_required(package: &Value, name: &Value, kind: &Value) -> bool {
    let mut dependencies = package["dependencies"].as_array().unwrap().iter();
    dependencies.any(|one| {
        one["name"] == *name
            && one["kind"].is_null()
            && one["optional"] == false
            && one["target"] == kind["target"]
    })
}

/// Returns the licence of each package, by its name and version, as the notices list them.
fn listed(notices: &str) -> BTreeMap<String, String> {
    let packages = notices.lines().take_while(|line| !line.starts_with("==="));
    packages
        .filter_map(|line| {
            let (package, rest) = line.strip_prefix("  ")?.split_once(" (")?;
            Some((package.into(), rest.split_once(')')?.0.into()))
        })
        .collect()
}

/// Returns each licence text, with the names of its packages.
fn texts(notices: &str) -> Vec<(Vec<&str>, &str)> {
    let between = format!("\n{}\n", "=".repeat(80));
    let under = format!("\n{}\n", "-".repeat(80));
    let groups = notices.split(&between).skip(1);
    groups
        .map(|group| {
            let (names, text) = group.split_once(&under).unwrap();
            (names.lines().collect(), text.trim())
        })
        .collect()
}

#[test]
fn every_package_in_the_binary_is_named_with_its_licence_and_a_text() {
    let output = notices(&Path::new(ROOT).join("Cargo.toml"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let notices = String::from_utf8(output.stdout).unwrap();
    let listed = listed(&notices);
    // Only the compiler knows which features a package is built with, so the list is held between
    // what is linked with none of them and with all that any package asks for.
    let linked = Linked::of_smbench();
    let (least, most) = (linked.packages(true), linked.packages(false));
    assert!(least.len() > 100, "{least:?}");
    for (package, licence) in &least {
        assert_eq!(listed.get(package), Some(licence), "{package}");
    }
    // The C++ sources of Luau are compiled by a build script.
    let (luau, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        listed.iter().partition(|(package, _)| package.starts_with("luau0-src "));
    assert_eq!(luau.into_values().collect::<Vec<_>>(), ["MIT"]);
    for (package, licence) in others {
        assert_eq!(most.get(package), Some(licence), "{package} is not linked");
    }

    let texts = texts(&notices);
    let with_text: BTreeSet<&str> = texts.iter().flat_map(|(names, _)| names.clone()).collect();
    assert!(with_text.iter().eq(listed.keys()), "{with_text:?}");
    let distinct: BTreeSet<&str> = texts.iter().map(|(_, text)| *text).collect();
    assert_eq!(distinct.len(), texts.len(), "a text stands there twice");
    for holder in ["Roblox Corporation", "Lua.org, PUC-Rio", "Microsoft Corporation"] {
        assert!(notices.contains(holder), "the sources in C and C++: {holder}");
    }
}

/// Makes a package that depends on one package for each licence, with that licence text.
fn package_with(licences: &[(&str, Option<&str>, Option<&str>)]) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, licence: Option<&str>, dependencies: &str| {
        let at = place.path().join(name);
        fs::create_dir_all(at.join("src")).unwrap();
        fs::write(at.join("src/lib.rs"), "").unwrap();
        let licence =
            licence.map_or_else(String::new, |licence| format!("license = {licence:?}\n"));
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n{licence}\n[dependencies]\n{dependencies}"
        );
        fs::write(at.join("Cargo.toml"), manifest).unwrap();
    };
    let mut dependencies = String::new();
    for (name, licence, text) in licences {
        write(name, *licence, "");
        dependencies += &format!("{name} = {{ path = \"../{name}\" }}\n");
        if let Some(text) = text {
            fs::write(place.path().join(name).join("LICENSE"), text).unwrap();
        }
    }
    write("whole", None, &dependencies);
    let mut lock = Command::new(env!("CARGO"));
    lock.args(["generate-lockfile", "--offline"]).current_dir(place.path().join("whole"));
    assert!(lock.output().unwrap().status.success());
    place
}

#[test]
fn a_licence_that_is_unknown_or_copyleft_or_has_no_text_is_refused_by_name() {
    let place = package_with(&[
        ("good", Some("MIT OR GPL-3.0-only"), Some("a text")),
        ("old-style", Some("MIT/Apache-2.0"), Some("a text")),
        ("grouped", Some("(GPL-2.0-only OR MIT) AND ISC"), Some("a text")),
        ("copyleft", Some("GPL-3.0-only"), Some("a text")),
        ("half-copyleft", Some("MIT AND LGPL-3.0-or-later"), Some("a text")),
        ("excepted", Some("GPL-2.0-only WITH Classpath-exception-2.0"), Some("a text")),
        ("nameless", None, Some("a text")),
        ("textless", Some("MIT"), None),
    ]);
    let output = notices(&place.path().join("whole/Cargo.toml"));
    assert!(!output.status.success());
    assert_eq!(output.stdout, b"");
    let errors = String::from_utf8(output.stderr).unwrap();
    let reported: Vec<&str> =
        errors.lines().map(|line| line.trim_start_matches("third-party-notices: ")).collect();
    assert_eq!(reported.len(), 5, "{errors}");
    for (line, start) in reported.iter().zip([
        "copyleft 1.0.0 has the licence GPL-3.0-only, ",
        "excepted 1.0.0 has the licence GPL-2.0-only WITH Classpath-exception-2.0, ",
        "half-copyleft 1.0.0 has the licence MIT AND LGPL-3.0-or-later, ",
        "nameless 1.0.0 has no licence",
        "textless contains no licence text: ",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn packages_with_the_same_text_share_it() {
    let place = package_with(&[
        ("one", Some("MIT"), Some("the same text\n")),
        ("other", Some("ISC"), Some("another text")),
        ("two", Some("MIT"), Some("the same text  \r\n\r\n")),
    ]);
    let output = notices(&place.path().join("whole/Cargo.toml"));
    let notices = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        texts(&notices),
        [(vec!["one 1.0.0", "two 1.0.0"], "the same text"), (vec!["other 1.0.0"], "another text")]
    );
}

#[test]
fn the_notices_are_the_same_bytes_whatever_encoding_the_environment_names() {
    let place = package_with(&[("one", Some("MIT"), Some("© Jürgen"))]);
    let manifest = place.path().join("whole/Cargo.toml");
    let plain = notices(&manifest).stdout;
    assert!(String::from_utf8(plain.clone()).unwrap().contains("© Jürgen"));
    for encoding in ["ascii", "latin-1", "utf-16"] {
        let output = script(&manifest).env("PYTHONIOENCODING", encoding).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, plain, "{encoding}");
    }
}

#[test]
fn a_missing_cargo_or_rustc_is_reported_in_one_line() {
    let manifest = Path::new(ROOT).join("Cargo.toml");
    for (variable, program) in [("CARGO", "/nowhere/cargo"), ("RUSTC", "/nowhere/rustc")] {
        let output = script(&manifest).env(variable, program).output().unwrap();
        assert!(!output.status.success());
        let errors = String::from_utf8(output.stderr).unwrap();
        let start =
            format!("third-party-notices: cannot run {program}: No such file or directory; ");
        assert!(errors.starts_with(&start) && errors.lines().count() == 1, "{errors}");
    }
}
