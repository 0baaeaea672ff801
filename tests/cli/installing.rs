//! `smbench completions` and `smbench man`, whose output a package installs with the program.

use std::process::Command;

use crate::program::{Place, names};

/// Returns the completions that bash offers for the last word of a command line.
fn bash_offers(place: &Place, words: &[&str]) -> Vec<String> {
    let last = words.len() - 1;
    let typed = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let previous = words[last - 1];
    let script = format!(
        "compopt() {{ [ \"$2\" != plusdirs ] || directories=directories; }}; source ./completions.bash; COMP_WORDS=({typed}); COMP_CWORD={last}; \
         [[ $(complete -p smbench) =~ -F\\ ([^ ]+) ]]; ${{BASH_REMATCH[1]}} smbench '{}' '{previous}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\" $directories",
        words[last]
    );
    let output = Command::new("bash").arg("-c").arg(script).current_dir(place.path()).output();
    let output = output.unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(String::from).collect()
}

#[test]
fn bash_completes_commands_flags_values_and_files() {
    let place = Place::with_script("");
    let script = place.smbench("completions bash").end().exits(0).stdout;
    place.write("completions.bash", script);
    let offers = |words: &[&str]| bash_offers(&place, words);
    assert_eq!(offers(&["smbench", "va"]), ["validate"]);
    assert_eq!(offers(&["smbench", "run", "--embed"]), ["--embedded-dir"]);
    assert_eq!(offers(&["smbench", "run", "--mode", "a"]), ["auto"]);
    assert_eq!(offers(&["smbench", "run", "--password-file", "s."]), ["s.lua"]);
    // The script leaves directories to bash itself.
    assert_eq!(offers(&["smbench", "watch", "--param-f"]), ["--param-file"]);
    assert_eq!(offers(&["smbench", "watch", "--param-file", "s."]), ["s.lua"]);
    assert_eq!(offers(&["smbench", "run", "--out", "s"]), ["directories"]);
    assert_eq!(offers(&["smbench", "run", "s."]), [""; 0], "left to the completion of files");
    assert!(place.read("completions.bash").contains("-o default"), "which is asked for");
    assert_eq!(offers(&["smbench", "run", "s.lua", "-p", "s"]), ["s"], "stays as it was typed");
    assert_eq!(offers(&["smbench", "targets", "pr"]), ["probe"]);
    assert_eq!(offers(&["smbench", "completions", "f"]), ["fish"]);
    let all = offers(&["smbench", "run", "-"]);
    assert!(all.iter().all(|word| word.starts_with('-')), "no placeholders: {all:?}");
    assert!(all.contains(&"--out".to_string()), "{all:?}");
}

#[test]
fn bash_completes_an_empty_word_with_paths_where_a_command_takes_one() {
    let place = Place::with_script("");
    place.write("completions.bash", place.smbench("completions bash").end().exits(0).stdout);
    let offers = |words: &[&str]| bash_offers(&place, words);
    const FILES: [&str; 0] = [];
    for command in ["run", "watch", "compile", "validate"] {
        assert_eq!(offers(&["smbench", command, ""]), FILES, "left to the completion of files");
        assert_eq!(offers(&["smbench", command, "s.lua", ""]), FILES);
        assert_eq!(offers(&["smbench", "-v", command, "--strict", ""]), FILES);
    }
    assert_eq!(offers(&["smbench", "man", ""]), ["directories"]);
    assert_eq!(offers(&["smbench", "man", "s"]), ["directories"]);
    assert!(offers(&["smbench", "targets", ""]).contains(&"probe".to_string()));
    assert!(offers(&["smbench", "completions", ""]).contains(&"fish".to_string()));
    assert!(offers(&["smbench", "serve", ""]).contains(&"--listen".to_string()), "takes no path");
    assert!(offers(&["smbench", ""]).contains(&"run".to_string()));
}

#[test]
fn bash_completes_a_value_after_an_equals_sign_like_one_after_a_space() {
    let place = Place::with_script("");
    place.write("completions.bash", place.smbench("completions bash").end().exits(0).stdout);
    let offers = |words: &[&str]| bash_offers(&place, words);
    // Bash passes the sign as a word of its own.
    assert_eq!(offers(&["smbench", "run", "--out", "=", "s"]), ["directories"]);
    assert_eq!(offers(&["smbench", "run", "--out", "="]), ["directories"]);
    assert_eq!(offers(&["smbench", "run", "--mode", "=", "a"]), ["auto"]);
    assert_eq!(offers(&["smbench", "run", "--password-file", "=", "s."]), ["s.lua"]);
}

#[test]
fn every_shell_has_a_script_and_another_is_refused_with_their_names() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = place.smbench(&format!("completions {shell}")).end().exits(0);
        for word in ["embedded-dir", "validate", "probe"] {
            assert!(ended.stdout.contains(word), "{shell}: {word}");
        }
        assert_eq!(ended.stderr, "");
    }
    let refused = place.smbench("completions tcsh").end().exits(2);
    assert!(refused.stderr.contains("bash, elvish, fish, powershell, zsh"), "{}", refused.stderr);
}

#[test]
fn the_manual_has_a_page_for_the_program_and_for_each_command() {
    let place = Place::new();
    let page = place.smbench("man").end().exits(0).stdout;
    assert!(page.contains(".TH smbench 1"), "{page}");
    assert!(page.contains("smbench\\-run(1)"), "{page}");
    let message = place.smbench("man pages/man1").end().refused(2);
    assert!(message.ends_with(": there is no directory pages; create it first"), "{message}");
    assert_eq!(place.names(), [""; 0], "no directory around the last one is made");
    std::fs::create_dir(place.path().join("pages")).unwrap();
    place.smbench("man pages/man1").end().exits(0);
    let pages = names(&place.path().join("pages/man1"));
    assert_eq!(
        pages,
        [
            "smbench-compile.1",
            "smbench-completions.1",
            "smbench-definitions.1",
            "smbench-lib-add.1",
            "smbench-lib-docs.1",
            "smbench-lib-list.1",
            "smbench-lib-lock.1",
            "smbench-lib-remove.1",
            "smbench-lib-sync.1",
            "smbench-lib-update.1",
            "smbench-lib-vendor.1",
            "smbench-lib-verify.1",
            "smbench-lib.1",
            "smbench-man.1",
            "smbench-new.1",
            "smbench-run.1",
            "smbench-scan.1",
            "smbench-scripts-list.1",
            "smbench-scripts-show.1",
            "smbench-scripts.1",
            "smbench-serve.1",
            "smbench-targets-list.1",
            "smbench-targets-probe.1",
            "smbench-targets.1",
            "smbench-test.1",
            "smbench-validate.1",
            "smbench-watch.1",
            "smbench.1",
        ]
    );
    assert_eq!(place.read("pages/man1/smbench.1"), page);
    let run = place.read("pages/man1/smbench-run.1");
    assert!(run.contains("embedded\\-dir") && run.contains("Exit codes"), "{run}");
    let watch = place.read("pages/man1/smbench-watch.1");
    for word in ["embedded\\-dir", "reload\\-grace", "param\\-file", "q ends the run"] {
        assert!(watch.contains(word), "{word}: {watch}");
    }
}

#[test]
fn the_error_for_pages_that_cannot_be_written_says_what_to_do() {
    let place = Place::new();
    place.write("file", "");
    let message = place.smbench("man file/man1").end().refused(2);
    assert!(
        message.starts_with(
            "cannot write the manual pages into file/man1; name a directory that can be written: "
        ),
        "{message}"
    );
}
