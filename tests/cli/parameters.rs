//! Parameters, and other values that the command line sets for a script.

use crate::program::Place;
use crate::summary::number;

const SCRIPT: &str = r#"
local P = bench.params {
    users = { type = "int", default = 4, min = 1, max = 2000, help = "simulated users" },
    share = { type = "float", default = 0.5, min = 0, max = 1 },
    mix = { type = "string", default = "office", choices = { "office", "cad" } },
    keep = { type = "bool", default = true },
    think = { type = "duration", default = "1ms", help = "mean think time" },
    io = { type = "size", default = "4KiB", max = "1MiB" },
}
bench.workload { name = "w", clients = P.users, iteration = function(c)
    c:think(P.think)
    c:stat("")
end }
"#;

#[test]
fn a_parameter_that_is_wrong_is_one_error_and_nothing_runs() {
    let place = Place::with_script(SCRIPT);
    for (given, message) in [
        ("usres=3", "-p usres: unknown parameter 'usres': did you mean 'users'?"),
        ("users=many", "-p users=many: \"many\" is not a whole number within 2^53"),
        ("users=1.5", "-p users=1.5: \"1.5\" is not a whole number within 2^53"),
        ("users=", "-p users=: \"\" is not a whole number within 2^53"),
        ("users=2001", "-p users=2001: it is above the maximum, 2000"),
        ("users=0", "-p users=0: it is below the minimum, 1"),
        ("share=1.01", "-p share=1.01: it is above the maximum, 1"),
        ("mix=cda", "-p mix=cda: unknown choice 'cda': did you mean 'cad'?"),
        ("io=2MiB", "-p io=2MiB: it is above the maximum, 1MiB"),
        (
            "think=5",
            "-p think=5: \"5\" is not a duration: write a number and a unit, such as \"250ms\", \"1.5s\" or \"2m\" (ns, us, ms, s, m, h)",
        ),
    ] {
        let reported = place.run(&format!("s.lua --target sim -p {given}")).end().refused(2);
        let described = reported.strip_prefix(message).unwrap_or_else(|| panic!("{reported}"));
        let expected = match given.split_once('=').unwrap().0 {
            "usres" => "",
            "users" => " Parameter 'users' is an int from 1 to 2000; its default is 4",
            "share" => " Parameter 'share' is a float from 0 to 1; its default is 0.5",
            "mix" => " Parameter 'mix' is a string, one of office, cad; its default is office",
            "io" => " Parameter 'io' is a size of at most 1MiB; its default is 4KiB",
            _ => " Parameter 'think' is a duration; its default is 1ms",
        };
        assert_eq!(described.trim_start_matches('.'), expected, "{reported}");
    }
    for given in ["share=much", "keep=perhaps", "io=lots"] {
        let message = place.run(&format!("s.lua --target sim -p {given}")).end().refused(2);
        assert!(message.starts_with(&format!("-p {given}: ")), "{message}");
    }
    assert_eq!(place.names(), ["s.lua"]);
}

#[test]
fn a_parameter_of_a_script_that_has_none_is_refused() {
    let place = Place::with_script("bench.workload { name = 'w', iteration = print }");
    let message = place.run("s.lua --target sim -p users=3").end().refused(2);
    assert_eq!(message, "-p users: the script has no parameters");
}

#[test]
fn help_of_a_script_lists_its_parameters_and_help_of_a_command_its_flags() {
    let place = Place::with_script(SCRIPT);
    let ended = place.smbench("run s.lua --help").env("COLUMNS", "100").end().exits(0);
    assert_eq!(ended.stderr, "");
    let (flags, parameters) = ended.stdout.split_once("Parameters of s.lua").unwrap();
    for flag in ["--target", "--duration", "--iterations", "--seed", "--op-timeout", "--json"] {
        assert!(flags.contains(flag), "{flag}");
    }
    for line in [
        "users <int>",
        "simulated users [1 to 2000] [default: 4]",
        "think <duration>",
        "mean think time [default: 1ms]",
        "[office, cad] [default: office]",
        "[at most 1MiB] [default: 4KiB]",
    ] {
        assert!(parameters.contains(line), "{line:?} not in{parameters}");
    }
    let bare = place.smbench("run --help").end().exits(0).stdout;
    assert!(bare.contains("--target") && !bare.contains("Parameters of"));
    let all = place.smbench("--help").end().exits(0).stdout;
    assert!(["run", "compile", "validate"].iter().all(|command| all.contains(command)), "{all}");
    assert_eq!(place.names(), ["s.lua"]);
}

#[test]
fn help_is_there_even_when_the_script_is_not_right() {
    let place = Place::with_script("this is no script");
    let message = place.smbench("run s.lua --help").end().refused(2);
    assert!(message.starts_with("s.lua:1: "), "{message}");
}

#[test]
fn duration_iterations_clients_and_seed_override_the_script() {
    let place = Place::with_script(SCRIPT);
    let summary = place
        .run("s.lua --target sim --iterations 5 --clients 3 --seed 99 -p users=2")
        .end()
        .exits(0)
        .summary();
    assert_eq!(summary["run"]["seed"], 99);
    assert_eq!(summary["workloads"][0]["clients"], 3);
    assert_eq!(number(&summary["iterations"]["count"]), 15);
    assert_eq!(number(&summary["operations"]["stat"]["count"]), 15);

    let timed = place.run_to("timed", "s.lua --target sim --duration 200ms").end().exits(0);
    let summary = timed.summary();
    assert_eq!(summary["phases"].as_array().unwrap().len(), 1);
    assert_eq!(summary["phases"][0]["name"], "run");
    assert_eq!(summary["phases"][0]["duration_s"], 0.2);
}

#[test]
fn every_flag_has_a_variable_and_the_flag_goes_before_it() {
    let place = Place::with_script(SCRIPT);
    let call = |line: &str| {
        place
            .smbench(line)
            .env("SMBENCH_TARGET", "sim")
            .env("SMBENCH_ITERATIONS", "2")
            .env("SMBENCH_CLIENTS", "w=3")
            .env("SMBENCH_SEED", "5")
            .env("SMBENCH_PARAM", "think=0\nkeep=false")
            .env("SMBENCH_ALLOW_LATE", "true")
            .env("SMBENCH_JSON", "1")
            .env("SMBENCH_OUT", "from-variable")
    };
    let ended = call("run s.lua --seed 6").end().exits(0);
    let summary: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(summary["run"]["seed"], 6);
    assert_eq!(summary["target"]["url"], "sim");
    assert_eq!(number(&summary["totals"]["operations"]), 6);
    assert_eq!(summary["run"]["params"]["keep"], false);
    assert_eq!(place.names(), ["from-variable", "s.lua"]);

    let ended = place.smbench("run s.lua").env("SMBENCH_ITERATIONS", "few").end().exits(2);
    assert!(ended.stderr.contains("--iterations") && ended.stderr.contains("few"), "{ended:?}");
    assert_eq!(ended.stdout, "");
}

#[test]
fn a_usage_error_names_the_flag_and_how_to_write_it() {
    let place = Place::with_script(SCRIPT);
    for (line, names) in [
        ("run", "SCRIPT|DOCUMENT"),
        ("run s.lua --duration 5", "250ms"),
        ("run s.lua --bogus", "--bogus"),
        ("run s.lua --limit 0", "--limit"),
        ("run s.lua --iterations 0", "--iterations"),
        ("run s.txt", ".lua"),
        ("compile s.lua", "--output"),
        ("compile s.lua -o x.txt", ".jsonl"),
        ("frobnicate", "frobnicate"),
    ] {
        let ended = place.smbench(line).end().exits(2);
        assert!(ended.stderr.starts_with("error: "), "{line}: {ended:?}");
        assert!(ended.stderr.contains(names), "{line}: {ended:?}");
        assert_eq!(ended.stdout, "", "{line}");
    }
    for (line, message) in [
        ("run s.lua --clients u=3", "--clients u=3: unknown workload 'u': there is w"),
        (
            "run s.lua --target wat:x",
            "--target: unknown target \"wat:x\": use embedded, smb://user@host[:port]/share[/directory], sim or sim:null",
        ),
    ] {
        assert_eq!(place.smbench(line).end().refused(2), message);
    }
    assert_eq!(place.names(), ["s.lua"]);
}
