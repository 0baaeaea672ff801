//! Tests the checks that `scripts/release` makes of the binary. `tests/archive` checks a whole
//! archive.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_smbench");

/// Returns the message with which `scripts/release` refuses to make an archive.
fn refused(script: &mut Command) -> String {
    let output = script.output().unwrap();
    assert!(!output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    let errors = String::from_utf8(output.stderr).unwrap();
    errors.trim_end().strip_prefix("scripts/release: ").expect(&errors).to_string()
}

fn release(arguments: &[&str]) -> Command {
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/release"));
    script.args(["--out", env!("CARGO_TARGET_TMPDIR")]).args(arguments);
    script
}

#[test]
fn a_binary_for_another_target_than_the_archive_is_named_after_is_refused() {
    let (arch, foreign) = match std::env::consts::ARCH {
        "x86_64" => ("x86_64", "aarch64"),
        arch => (arch, "x86_64"),
    };
    let foreign = format!("{foreign}-unknown-linux-gnu");
    let message = refused(&mut release(&["--binary", BINARY, "--target", &foreign]));
    assert_eq!(
        message,
        format!("{BINARY} is not for the processor of {foreign}: name its target with --target")
    );
    let musl = format!("{arch}-unknown-linux-musl");
    let message = refused(&mut release(&["--binary", BINARY, "--target", &musl]));
    assert_eq!(
        message,
        format!("{BINARY} uses glibc, but {musl} does not: name its target with --target")
    );
    let message =
        refused(&mut release(&["--binary", BINARY, "--target", "riscv64gc-unknown-linux-gnu"]));
    assert!(
        message.starts_with("cannot check a binary for riscv64gc-unknown-linux-gnu: "),
        "{message}"
    );
}

#[test]
fn a_binary_of_another_version_than_the_sources_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let old = place.path().join("smbench");
    fs::copy("/bin/true", &old).unwrap();
    let message = refused(&mut release(&["--binary", old.to_str().unwrap()]));
    let expected =
        concat!("but the sources are smbench ", env!("CARGO_PKG_VERSION"), ": build it again");
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn the_binary_is_the_one_that_cargo_reports_for_the_named_target() {
    let place = tempfile::tempdir().unwrap();
    let built = place.path().join("elsewhere");
    let (cargo, asked) = (place.path().join("cargo"), place.path().join("asked"));
    let answer = r#"{"reason":"compiler-artifact","target":{"name":"smbench"},"executable":"BUILT","fresh":true}"#;
    let answer = answer.replace("BUILT", built.to_str().unwrap());
    fs::write(&cargo, format!("#!/bin/sh\necho \"$@\" >{}\necho '{answer}'\n", asked.display()))
        .unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&built, "no program").unwrap();
    let path = format!("{}:{}", place.path().display(), std::env::var("PATH").unwrap());
    let mut script = release(&["--target", "x86_64-unknown-linux-gnu"]);
    let message = refused(script.env("PATH", path));
    assert_eq!(
        message,
        format!("{} is not an ELF binary: name one with --binary", built.display())
    );
    let asked = fs::read_to_string(asked).unwrap();
    assert!(asked.starts_with("build --locked --release "), "{asked}");
    assert!(asked.contains(" --target x86_64-unknown-linux-gnu "), "{asked}");
}
