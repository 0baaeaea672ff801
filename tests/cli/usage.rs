//! Mistakes of newcomers on the command line: each error says what to write instead.

use std::fs;

use smbench_test_support::{Samba, Settings};

use crate::program::Place;

const SCRIPT: &str = r#"
print("top")
local P = bench.params {
    users = { type = "int", default = 4, min = 1, max = 2000 },
    think_time = { type = "duration", default = "1ms" },
}
bench.workload { name = "w", clients = P.users, iteration = function(c) c:stat("") end }
"#;

/// Returns the error of the program on a command line that it refuses.
fn refused(place: &Place, line: &str) -> String {
    let ended = place.smbench(line).end().exits(2);
    assert_eq!(ended.stdout, "", "{line}");
    assert!(ended.stderr.starts_with("error: "), "{line}: {}", ended.stderr);
    ended.stderr
}

#[test]
fn a_flag_that_is_a_parameter_of_the_script_is_answered_with_how_to_set_it() {
    let place = Place::with_script(SCRIPT);
    for (line, tip) in [
        ("run s.lua --users 5", "tip: 'users' is a parameter of s.lua: write -p users=5\n"),
        ("run s.lua --users=5 --quiet", "write -p users=5\n"),
        ("run --users 5 s.lua", "write -p users=5\n"),
        ("run --users s.lua", "write -p users=VALUE\n"),
        ("run s.lua -users=5", "write -p users=5\n"),
        ("run s.lua --think-time 5ms", "write -p think_time=5ms\n"),
        ("compile s.lua --users 5 -o x.jsonl", "write -p users=5\n"),
        ("validate s.lua --users 5", "write -p users=5\n"),
        ("run s.lua --usres 5", "write -p users=5\n"),
    ] {
        let said = refused(&place, line);
        assert!(said.contains(tip), "{line}: {said}");
        assert!(line.contains("usres") || !said.contains("--shards"), "{line}: {said}");
    }
    // A flag that is similar to another flag, but not to a parameter.
    assert!(refused(&place, "run s.lua --shrads 5").contains("'--shards'"));
    assert!(refused(&place, "run none.lua --users 5").contains("unexpected argument '--users'"));
}

#[test]
fn p_without_a_value_is_answered_with_the_parameters_there_are() {
    let place = Place::with_script(SCRIPT);
    for line in ["run s.lua -p", "run -p s.lua", "run s.lua -p users", "run s.lua -p =5"] {
        let said = refused(&place, line);
        let tip = "write -p name=value, as in -p think_time=1ms; s.lua has the parameters think_time, users\n";
        assert!(said.contains(tip), "{line}: {said}");
    }
    let said = refused(&place, "run -p");
    assert!(
        said.contains("'smbench run SCRIPT --help' lists the parameters of a script"),
        "{said}"
    );
}

#[test]
fn a_script_without_a_command_and_a_misspelt_command_are_answered_with_the_whole_line() {
    let place = Place::with_script(SCRIPT);
    fs::create_dir(place.path().join("scripts")).unwrap();
    place.write("scripts/a.lua", SCRIPT);
    for (line, tip) in [
        ("s.lua", "to run it, write 'smbench run s.lua'\n"),
        ("s.lua -p users=3", "to run it, write 'smbench run s.lua -p users=3'\n"),
        ("s", "to run it, write 'smbench run s.lua'\n"),
        ("rn s.lua", "did you mean 'smbench run s.lua'?\n"),
        ("complie s.lua", "did you mean 'smbench compile s.lua'?\n"),
        ("scripts", "it is a directory; in it are scripts/a.lua\n"),
        ("frobnicate", "the commands are run, compile, "),
    ] {
        let said = refused(&place, line);
        assert!(said.contains(tip), "{line}: {said}");
    }
}

#[test]
fn what_is_no_script_is_answered_with_the_one_that_was_meant() {
    let place = Place::with_script(SCRIPT);
    place.write("office.lua", SCRIPT);
    place.write("day.jsonl", "");
    fs::create_dir(place.path().join("scripts")).unwrap();
    place.write("scripts/a.lua", SCRIPT);
    fs::create_dir(place.path().join("empty")).unwrap();
    for (named, tip) in [
        ("scripts", "it is a directory; in it are scripts/a.lua"),
        ("empty", "it is a directory, without a script or document in it"),
        ("ofice.lua", "did you mean office.lua?"),
        ("office", "did you mean office.lua?"),
        ("dya.jsonl", "did you mean day.jsonl?"),
        ("a.lua", "did you mean scripts/a.lua?"),
        ("scirpts/a.lua", "there is no directory scirpts"),
    ] {
        for command in ["run", "validate", "compile -o x.jsonl"] {
            let said = refused(&place, &format!("{command} {named}"));
            assert!(said.contains(tip), "{command} {named}: {said}");
        }
    }
    let said = refused(&place, "run ofice.lua --help");
    assert!(said.contains("did you mean office.lua?"), "{said}");
}

#[test]
fn a_guest_who_is_refused_is_told_that_the_target_names_no_user() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::with_script(SCRIPT);
    let target = format!("smb://{}/share", samba.address());
    let call = place.run(&format!("s.lua --target {target}")).samba();
    let ended = call.end().exits(3);
    let named = format!("smb://USER@{}/share", samba.address());
    let tip = format!(
        "the target names no user, so smbench asked as a guest; to log in, write {named} and set SMBENCH_PASSWORD"
    );
    assert!(ended.stderr.contains(&tip), "{}", ended.stderr);
}
