//! Passwords: they come from a variable, a file or a prompt, and are never printed.

use smbench_test_support::{Samba, Settings};

use crate::program::Place;
use crate::summary::number;

const SCRIPT: &str =
    "bench.workload { name = 'w', clients = 2, iteration = function(c) c:stat('') end }";

#[test]
fn a_password_is_taken_from_the_variable_or_a_file_and_never_printed() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::with_script(SCRIPT);
    place.write("secret", format!("{}\n", Samba::PASSWORD));
    place.write("wrong", "hunter2\n");
    let line = format!("s.lua --iterations 3 --target {} -vv", samba.url());
    // Every call is checked for passwords in its output, logs included.
    let variable = place.run_to("variable", &line).samba().end().exits(0);
    assert_eq!(number(&variable.summary()["totals"]["succeeded"]), 6);
    assert_eq!(variable.summary()["target"]["url"], samba.url());
    place.run_to("file", &format!("{line} --password-file secret")).end().exits(0);
    let by_variable = place.run_to("by-variable", &line).env("SMBENCH_PASSWORD_FILE", "secret");
    by_variable.end().exits(0);
    let file_first = place.run_to("first", &format!("{line} --password-file wrong")).samba();
    let message = last(&file_first.end().exits(3).stderr);
    assert!(message.contains("STATUS_LOGON_FAILURE (0xC000006D)"), "{message}");
}

fn last(text: &str) -> String {
    text.lines().last().unwrap_or_default().into()
}

#[test]
fn a_password_that_cannot_be_had_is_one_error() {
    let place = Place::with_script(SCRIPT);
    place.write("binary", b"hunter2\xff");
    place.write("large", vec![b'x'; 100 << 10]);
    let target = "--target smb://ann@127.0.0.1:9/share";
    let message = place.run(&format!("s.lua {target}")).end().refused(2);
    assert!(
        message.starts_with("smb://ann@127.0.0.1:9/share needs a password: set SMBENCH_PASSWORD"),
        "{message}"
    );
    for (file, reason) in
        [("none", "No such file or directory (os error 2)"), (".", "Is a directory (os error 21)")]
    {
        let message = place.run(&format!("s.lua {target} --password-file {file}")).end().refused(2);
        assert_eq!(message, format!("--password-file {file}: {reason}"));
    }
    for (file, reason) in [
        ("binary", "is not UTF-8"),
        ("large", "is larger than 64 KiB; it should hold only a password"),
    ] {
        let message = place.run(&format!("s.lua {target} --password-file {file}")).end().refused(2);
        assert_eq!(message, format!("--password-file {file} {reason}"));
    }
}

#[test]
fn a_password_in_the_target_is_refused_and_not_repeated() {
    let place = Place::with_script(SCRIPT);
    let advice = "the target contains a password, which would appear in logs and results: remove it and set SMBENCH_PASSWORD";
    let target = "smb://ann:hunter2@nas/share";
    let message = place.run(&format!("s.lua --target {target}")).end().refused(2);
    assert_eq!(message, format!("--target: {advice}"));
    let by_variable = place.run("s.lua").env("SMBENCH_TARGET", target).end().refused(2);
    assert_eq!(by_variable, format!("SMBENCH_TARGET: {advice}"));
    for target in ["smb://ann:hunter2/x@nas/s", "SMB://ann:hunter2@nas", "ann:hunter2@nas/share"] {
        place.run(&format!("s.lua --target {target}")).end().refused(2);
    }
    // Help shows the values of variables, but not of these.
    let help = place.smbench("run s.lua --help");
    let help = help.env("SMBENCH_TARGET", target).env("SMBENCH_PASSWORD", "hunter2");
    help.env("SMBENCH_PARAM", "token=hunter2").end().exits(0);
}
