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
    fs::create_dir(place.path().join("loads")).unwrap();
    place.write("loads/a.lua", SCRIPT);
    for (line, tip) in [
        ("s.lua", "to run it, write 'smbench run s.lua'\n"),
        ("s.lua -p users=3", "to run it, write 'smbench run s.lua -p users=3'\n"),
        ("s", "to run it, write 'smbench run s.lua'\n"),
        ("rn s.lua", "did you mean 'smbench run s.lua'?\n"),
        ("complie s.lua", "did you mean 'smbench compile s.lua'?\n"),
        (
            "loads",
            "it is a directory; in it is loads/a.lua; to run a script in it, write 'smbench run loads/a.lua'\n",
        ),
        ("frobnicate", "the commands are run, watch, compile, "),
    ] {
        let said = refused(&place, line);
        assert!(said.contains(tip), "{line}: {said}");
    }
}

#[test]
fn the_error_about_a_missing_script_names_the_one_that_was_meant() {
    let place = Place::with_script(SCRIPT);
    place.write("office.lua", SCRIPT);
    place.write("day.jsonl", "");
    fs::create_dir(place.path().join("scripts")).unwrap();
    place.write("scripts/a.lua", SCRIPT);
    fs::create_dir(place.path().join("empty")).unwrap();
    for (named, tip) in [
        ("scripts", "it is a directory; in it is scripts/a.lua"),
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
fn a_command_is_looked_for_where_the_error_arose_and_then_elsewhere() {
    let place = Place::with_script(SCRIPT);
    for (line, tip) in [
        ("targets ls", "the commands of 'smbench targets' are list, probe\n"),
        ("targets lst", "did you mean 'smbench targets list'?\n"),
        ("targets prob sim", "did you mean 'smbench targets probe sim'?\n"),
        ("-v targets prob sim -q", "did you mean 'smbench -v targets probe sim -q'?\n"),
        ("probe sim", "did you mean 'smbench targets probe sim'?\n"),
        ("prob sim", "did you mean 'smbench targets probe sim'?\n"),
        ("list", "did you mean 'smbench targets list'?\n"),
        ("targets run s.lua", "did you mean 'smbench run s.lua'?\n"),
        ("targets sim", "to see what a target supports, write 'smbench targets probe sim'\n"),
    ] {
        let said = refused(&place, line);
        assert!(said.contains(tip), "{line}: {said}");
    }
}

#[test]
fn a_flag_that_there_is_not_is_answered_with_the_one_that_was_meant() {
    let place = Place::with_script(SCRIPT);
    for (line, tip) in [
        ("run s.lua -d 5s", "there is no -d: write --duration 5s\n"),
        ("run s.lua -d5s", "there is no -d: write --duration 5s\n"),
        ("run s.lua -t sim", "there is no -t: write --target sim\n"),
        ("run s.lua -n=5", "there is no -n: write --iterations 5\n"),
        ("run s.lua -o out", "there is no -o: write --out out\n"),
        ("compile s.lua -n 5 -o x.jsonl", "there is no -n: write --iterations 5\n"),
        ("serve -d files", "there is no -d: write --dir files\n"),
        ("run s.lua --p users=5", "tip: write -p users=5\n"),
        ("run s.lua users=5", "to set a parameter, write -p users=5\n"),
        ("run s.lua sim", "a target is given with --target: write --target sim\n"),
        ("run s.lua smb://ada@h/s", "write --target smb://ada@h/s\n"),
        ("run s.lua --duration -5s", "--duration takes a value above 0, and -5s is below it\n"),
        ("run s.lua --operations -1", "--operations takes a value above 0, and -1 is below it\n"),
        ("run s.lua --drain -1s", "--drain takes 0 or a value above it, and -1s is below it\n"),
        (
            "validate s.lua --target sim",
            "--target is a flag of 'smbench run' and 'smbench watch'; 'smbench validate' has no such flag\n",
        ),
        ("run s.lua --bogus", "unexpected argument '--bogus' found\n"),
    ] {
        let said = refused(&place, line);
        assert!(said.contains(tip), "{line}: {said}");
        assert!(!said.contains("as a value, use"), "{line}: {said}");
        assert!(!said.contains("--oplog"), "{line}: {said}");
    }
}

#[test]
fn a_number_that_is_not_whole_is_answered_with_what_is_wanted() {
    let place = Place::with_script(SCRIPT);
    for (flag, expected) in [
        ("--iterations abc", "expected a whole number of at least 1, such as 1000000\n"),
        ("--operations 1e6", "expected a whole number of at least 1, such as 1000000\n"),
        ("--seed x", "expected a whole number of at least 0, such as 1000000\n"),
        ("--limit 0", "expected a whole number of at least 1, such as 1000000\n"),
        ("--shards many", "expected a whole number from 1 to 256\n"),
    ] {
        let said = refused(&place, &format!("run s.lua {flag}"));
        assert!(said.contains(expected), "{flag}: {said}");
    }
    let said = refused(&place, "targets probe sim --jobs 65");
    assert!(said.contains("expected a whole number from 1 to 64\n"), "{said}");
}

#[test]
fn a_parameter_of_a_document_is_answered_with_how_to_compile_it_anew() {
    let place = Place::with_script(SCRIPT);
    place.smbench("compile s.lua -o d.jsonl --iterations 1").end().exits(0);
    for line in ["run d.jsonl --users 5", "run d.jsonl --users=5", "run d.jsonl users=5"] {
        let said = refused(&place, line);
        let tip = "d.jsonl is a document, which has no parameters: compile its script anew with -p users=5\n";
        assert!(said.contains(tip), "{line}: {said}");
        assert!(!said.contains("--shards"), "{line}: {said}");
    }
    assert!(refused(&place, "run d.jsonl --shrads 5").contains("'--shards'"));
    let said = refused(&place, "run d.jsonl -p users=5");
    assert!(said.contains("d.jsonl is a document: compile its script anew with -p\n"), "{said}");
}

#[test]
fn no_error_about_a_command_line_repeats_the_password_of_a_url() {
    let place = Place::with_script(SCRIPT);
    for line in [
        "run s.lua smb://ada:hunter2@h/s",
        "run smb://ada:hunter2@h/s",
        "smb://ada:hunter2@h/s",
        "targets smb://ada:hunter2@h/s",
        "rn s.lua --target smb://ada:hunter2@h/s",
        "rn s.lua --target=smb://ada:hunter2@h/s",
        "run s.lua -t smb://ada:hunter2@h/s",
        "run s.lua --limit smb://ada:hunter2@h/s",
        "validate s.lua --target smb://ada:hunter2@h/s",
    ] {
        let said = refused(&place, line);
        assert!(!said.contains("hunter2"), "{line}: {said}");
    }
}

#[test]
fn the_error_of_a_refused_guest_says_that_the_target_names_no_user() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::with_script(SCRIPT);
    let target = format!("smb://{}/share", samba.address());
    let call = place.run(&format!("s.lua --target {target}")).samba();
    let ended = call.end().exits(3);
    let named = format!("smb://USER@{}/share", samba.address());
    let tip = format!(
        "the target names no user, so smbench connected as a guest; to log in, write {named} and set SMBENCH_PASSWORD"
    );
    assert!(ended.stderr.contains(&tip), "{}", ended.stderr);
}

#[test]
fn a_document_whose_directory_is_missing_is_refused_without_a_temporary_name() {
    let place = Place::with_script(SCRIPT);
    let message = place.smbench("compile s.lua -o no/dir/x.jsonl --iterations 1").end().refused(2);
    assert_eq!(
        message,
        "--output no/dir/x.jsonl: there is no directory no; create it first, or name another path"
    );
    place.write("file", "");
    let message = place.smbench("compile s.lua -o file/x.jsonl --iterations 1").end().refused(2);
    assert_eq!(message, "cannot write file/x.jsonl: Not a directory (os error 20)");
}
