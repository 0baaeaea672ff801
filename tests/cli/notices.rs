//! `scripts/third-party-notices`: the licences of the packages in the binary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn notices(manifest: &Path) -> Output {
    let mut script = Command::new(Path::new(ROOT).join("scripts/third-party-notices"));
    script.arg("--manifest-path").arg(manifest).env("CARGO", env!("CARGO"));
    script.output().expect("python3 is installed")
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
    // cargo tree must give the same list.
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--offline", "--locked", "--package=smbench", "--prefix=none"]);
    tree.args(["--edges=normal,no-proc-macro", "--format={p}|{l}"]).current_dir(ROOT);
    let tree = tree.output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let mut expected: BTreeMap<String, String> = tree
        .lines()
        .filter(|line| !line.starts_with("smbench "))
        .map(|line| {
            let (package, licence) = line.split_once('|').unwrap();
            let mut words = package.split(' ');
            let (name, version) = (words.next().unwrap(), words.next().unwrap());
            let licence = licence.trim_end_matches(" (*)");
            (format!("{name} {}", version.trim_start_matches('v')), licence.into())
        })
        .collect();
    let listed = listed(&notices);
    // The C++ sources of Luau, which are compiled by a build script.
    let luau: Vec<_> = listed.keys().filter(|name| name.starts_with("luau0-src ")).collect();
    assert_eq!(luau.len(), 1);
    expected.insert(luau[0].clone(), "MIT".into());
    assert_eq!(listed, expected);

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
    let told: Vec<&str> =
        errors.lines().map(|line| line.trim_start_matches("third-party-notices: ")).collect();
    assert_eq!(told.len(), 5, "{errors}");
    for (line, start) in told.iter().zip([
        "copyleft 1.0.0 has the licence GPL-3.0-only, ",
        "excepted 1.0.0 has the licence GPL-2.0-only WITH Classpath-exception-2.0, ",
        "half-copyleft 1.0.0 has the licence MIT AND LGPL-3.0-or-later, ",
        "nameless 1.0.0 names no licence",
        "textless comes without a licence text: ",
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
