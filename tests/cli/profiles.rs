//! Targets and profiles of smbench.toml, and the explanation of where values come from.

use serde_json::Value;

use crate::program::Place;
use crate::watched::Watched;

const SCRIPT: &str = r#"
local P = bench.params {
  users = { type = "int", default = 4, max = 100 },
  mark = { type = "string", default = "one" },
  io = { type = "size", default = "4KiB" },
}
bench.workload { name = "w", clients = P.users, iteration = function(c)
  c:mkdir(P.mark .. c.id, { expect = "any" })
  c:think("10ms")
end }
"#;

const MANIFEST: &str = r#"
[targets.lab]
url = "sim?latency=1ms"

[profiles.nightly]
target = "lab"
duration = "100ms"
thresholds = ["mkdir.count > 1"]
params = { users = 3 }

[profiles.strict]
target = "sim"
thresholds = ["mkdir.count > 1000000"]
"#;

fn place() -> Place {
    let place = Place::with_script(SCRIPT);
    place.write("smbench.toml", MANIFEST);
    place
}

#[test]
fn a_profile_sets_parameters_target_duration_and_thresholds() {
    let summary = place().run("s.lua --profile nightly").end().exits(0).summary();
    assert_eq!(summary["run"]["settings"]["profile"], "nightly");
    assert_eq!(summary["run"]["params"]["users"], 3);
    assert_eq!(summary["target"]["url"], "sim?latency=1ms");
    assert_eq!(summary["phases"][0]["duration_s"], 0.1);
    assert_eq!(summary["thresholds"][0]["expression"], "mkdir.count > 1");
    let ended = place().run("s.lua --profile strict --duration 50ms").end().exits(99);
    assert!(ended.stdout.contains("mkdir.count > 1000000"), "{}", ended.stdout);
}

#[test]
fn a_flag_comes_before_a_variable_a_variable_before_the_profile_and_the_profile_before_the_default()
{
    let place = place();
    place.write("night.params", "mark = file\nio = 8KiB\n");
    let line = "s.lua --explain --json --profile nightly --param-file night.params --target sim";
    let ended = place.run(line).env("SMBENCH_DURATION", "7s").arg("-p").arg("io=2KiB").end();
    let explained: Value = serde_json::from_str(&ended.exits(0).stdout).unwrap();
    let value = |list: &str, name: &str| {
        let list = explained[list].as_array().unwrap();
        let found = list.iter().find(|it| it["name"] == name).unwrap();
        let text = |key: &str| found[key].as_str().unwrap().to_string();
        (text("value"), text("origin"))
    };
    let pair = |value: &str, origin: &str| (value.to_string(), origin.to_string());
    assert_eq!(value("flags", "--target"), pair("sim", "flag"));
    assert_eq!(value("flags", "--duration"), pair("7s", "variable SMBENCH_DURATION"));
    let threshold = pair("mkdir.count > 1", "profile nightly (smbench.toml:8)");
    assert_eq!(value("flags", "--threshold"), threshold);
    assert_eq!(value("flags", "--profile"), pair("nightly", "flag"));
    assert_eq!(value("flags", "--limit"), pair("one per client", "default"));
    let users = pair("3", "profile nightly (smbench.toml:9)");
    assert_eq!(value("parameters", "users"), users);
    assert_eq!(value("parameters", "mark"), pair("file", "night.params:1"));
    assert_eq!(value("parameters", "io"), pair("2KiB", "flag"));
    assert_eq!(place.names(), ["night.params", "s.lua", "smbench.toml"]);
}

#[test]
fn an_explanation_for_people_runs_nothing_and_never_shows_a_password() {
    let place = place();
    place.write("smbench.toml", "[targets.lab]\nurl = \"smb://ada@nas/data\"\n");
    let ended = place
        .smbench("run s.lua --explain --target lab")
        .env("SMBENCH_PASSWORD", "hunter2")
        .env("SMBENCH_PARAM", "mark=x")
        .end()
        .exits(0);
    let line = |name: &str| {
        let line = ended.stdout.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("--target"), "--target smb://ada@nas/data flag, target lab (smbench.toml:2)");
    assert_eq!(line("password"), "password not shown variable SMBENCH_PASSWORD");
    assert_eq!(line("mark"), "mark x variable SMBENCH_PARAM");
    assert_eq!(line("users"), "users 4 default");
    assert_eq!(place.names(), ["s.lua", "smbench.toml"]);
    let wrong = place.run("s.lua --explain -p users=101").end().refused(2);
    assert!(wrong.starts_with("-p users=101: it is above the maximum"), "{wrong}");
}

#[test]
fn a_wrong_profile_or_target_is_one_error_that_names_its_line() {
    for (manifest, flags, expected) in [
        (
            MANIFEST,
            "--profile nigthly",
            "--profile nigthly: smbench.toml has no profile \"nigthly\"; did you mean nightly?",
        ),
        (
            MANIFEST,
            "--target lap",
            "--target lap: smbench.toml has no target \"lap\"; did you mean lab?; other targets are ",
        ),
        ("", "--target lab", "--target: unknown target \"lab\""),
        (
            "",
            "--profile nightly",
            "--profile nightly: smbench.toml has no profile; write a table [profiles.NAME] in it",
        ),
        (
            "[profiles.n]\ntarget = \"sim\"\ndurration = \"1s\"",
            "--profile n",
            "smbench.toml:3: profiles.n.durration: there is no such key; did you mean duration?",
        ),
        (
            "[profiles.n]\nparams = { usres = 1 }",
            "--profile n",
            "smbench.toml:2: unknown parameter 'usres': did you mean 'users'?",
        ),
        (
            "[profiles.n]\nparams = { users = 101 }",
            "--profile n",
            "smbench.toml:2: users = 101: it is above the maximum, 100",
        ),
        (
            "[profiles.n]\nthresholds = [\"raed.count > 1\"]",
            "--profile n --target sim",
            "smbench.toml:2: 'raed.count > 1': unknown metric 'raed'",
        ),
        (
            "[targets.lab]\nurl = \"smb://ada:hunter2@nas/data\"",
            "--target lab",
            "smbench.toml:2: targets.lab.url: it has a password",
        ),
        (
            "[targets.lab]\nurl = \"smb://nas/data\"\npassword = \"hunter2\"",
            "--target lab",
            "smbench.toml:3: targets.lab.password: there is no such key",
        ),
        (
            "[profiles.n]\ntarget = \"lap\"\n[targets.lab]\nurl = \"sim\"",
            "--profile n",
            "smbench.toml:2: smbench.toml has no target \"lap\"; did you mean lab?",
        ),
        ("<<<<<<< HEAD", "--profile n", "smbench.toml:1: "),
        (
            "[targets.lab]\nurl = \"sim\"",
            "--target LAB",
            "--target LAB: smbench.toml has no target \"LAB\"; did you mean lab?",
        ),
    ] {
        let place = Place::with_script(SCRIPT);
        place.write("smbench.toml", manifest);
        let refused = place.run(&format!("s.lua {flags}")).end().refused(2);
        assert!(refused.starts_with(expected), "{manifest:?} {flags}: {refused}");
    }
    let place = Place::with_script(SCRIPT);
    let refused = place.run("s.lua --profile nightly").end().refused(2);
    assert!(
        refused.contains("there is no smbench.toml in the directory of the script"),
        "{refused}"
    );
    let refused = place.run("s.lua --target sim --embedded-dir .").end().refused(2);
    assert_eq!(refused, "--embedded-dir is for the target embedded, and the target is sim");
}

#[test]
fn a_document_takes_the_target_of_a_profile_and_refuses_its_parameters() {
    let place = place();
    place.smbench("compile s.lua --iterations 2 -p users=1 -o d.jsonl").end().exits(0);
    let refused = place.run("d.jsonl --profile nightly").end().refused(2);
    assert!(refused.starts_with("smbench.toml:9: profile nightly sets parameters, and d.jsonl is"));
    let summary = place.run("d.jsonl --profile strict").end().exits(99).summary();
    assert_eq!(summary["target"]["url"], "sim");
}

#[test]
fn compile_and_validate_take_parameters_of_a_profile() {
    let place = place();
    place.smbench("compile s.lua --profile nightly -o a.jsonl").end().exits(0);
    place.smbench("compile s.lua -p users=3 --duration 100ms -o b.jsonl").end().exits(0);
    assert_eq!(place.read("a.jsonl"), place.read("b.jsonl"));
    let ended = place.smbench("validate s.lua --profile nightly").end().exits(0);
    assert!(ended.stdout.contains("3 clients"), "{}", ended.stdout);
}

#[test]
fn a_named_target_is_listed_and_probed() {
    let place = place();
    let listed = place.smbench("targets list").end().exits(0).stdout;
    assert!(listed.ends_with("lab  sim?latency=1ms  smbench.toml:3\n"), "{listed}");
    let ended = place.smbench("targets probe lab --quiet").end();
    assert!([0, 4].contains(&ended.code), "{ended:#?}");
    let refused = place.smbench("targets probe lap").end().refused(2);
    assert!(refused.contains("did you mean lab?"), "{refused}");
}

#[test]
fn a_reload_takes_new_parameters_of_a_profile_and_refuses_another_target() {
    let place = Place::with_script(SCRIPT);
    let manifest = |target: &str, mark: &str| {
        format!("[profiles.n]\ntarget = \"{target}\"\nparams = {{ mark = \"{mark}\" }}\n")
    };
    place.write("smbench.toml", manifest("embedded", "one"));
    let mut run = Watched::embedded(place, "--profile n");
    run.until(&["one0"]);
    run.edit("smbench.toml", manifest("sim", "two"));
    let refused = run.refused(1);
    assert!(refused.contains("the target is now another one, sim; restart needed"), "{refused}");
    run.edit("smbench.toml", manifest("embedded", "three"));
    run.accepted(2);
    run.until(&["three0", "three3"]);
    run.edit("smbench.toml", "[profiles.n]\nduration = \"3s\"");
    let refused = run.refused(2);
    assert!(refused.contains("the duration has changed; restart needed"), "{refused}");
    let url = "smb://ada:hunter2@nas/data";
    run.edit(
        "smbench.toml",
        format!("[profiles.n]\ntarget = \"lab\"\n[targets.lab]\nurl = \"{url}\""),
    );
    let refused = run.refused(2);
    assert!(refused.starts_with("smbench.toml:4: targets.lab.url: it has a password"), "{refused}");
    run.edit("smbench.toml", "[profiles.n]\nparams = 3");
    let refused = run.refused(2);
    assert!(refused.contains("smbench.toml:2: profiles.n.params: it is not a table"), "{refused}");
    run.edit("smbench.toml", "[profiles.n]\nthresholds = [\"mkdir.count > 100000000\"]");
    run.accepted(3);
    run.until(&["one0"]);
    let reloaded = run.end();
    assert_eq!(reloaded.summary["thresholds"][0]["expression"], "mkdir.count > 100000000");
}
