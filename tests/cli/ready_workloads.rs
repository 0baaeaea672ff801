//! The ready workloads (`@scripts/NAME`): how they are listed, printed and run, and that a run of each
//! leaves nothing behind.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde_json::{Value, json};
use smbench_test_support::{Samba, Settings};

use crate::program::{Call, Place, names};
use crate::serve::{self, Serving};

/// Every ready workload, with parameters that make it small.
const ALL: [(&str, &str); 12] = [
    ("chip_design", "-p rate=0.2 -p size=1MiB"),
    ("fileserver", "-p threads=5 -p files=50"),
    ("genomics", "-p rate=0.1 -p files=3"),
    ("home_directories", "-p users=5 -p files=10 -p every=500ms"),
    ("image_training", "-p rate=0.2 -p images=2 -p records=1"),
    ("logon_storm", "-p users=5"),
    ("network_file_server", "-p rate=0.5 -p files=60"),
    ("office", "-p clients=4"),
    ("software_build", "-p rate=0.4 -p directories=2"),
    ("varmail", "-p threads=5 -p files=50"),
    ("video_capture", "-p streams=1 -p size=2MiB"),
    ("webserver", "-p threads=5 -p files=50"),
];

/// The number of runs at a time. They mostly wait.
const AT_A_TIME: usize = 4;

/// Calls `run` with every ready workload and its parameters, several at a time.
fn for_all(run: impl Fn(&'static str, &'static str) + Sync) {
    let waiting = Mutex::new(VecDeque::from(ALL));
    let next = || waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((name, params)) = next() {
                    run(name, params);
                }
            });
        }
    });
}

/// Checks that a run for a second ended well: operations of every workload were sent, and none
/// failed unexpectedly, in any section.
fn check_run(name: &str, call: Call) {
    let ended = call.end();
    // A busy host may not reach the rate that a threshold demands.
    assert!([0, 99].contains(&ended.code), "{name}: {ended:#?}");
    let summary = ended.summary();
    assert_eq!(summary["run"]["script"], format!("@scripts/{name}"));
    assert_eq!(summary["totals"]["failed"], 0, "{name}: {ended:#?}");
    assert_eq!(summary["totals"]["skipped"], 0, "{name}: {ended:#?}");
    assert!(summary["totals"]["operations"].as_u64().unwrap() > 0, "{name}");
    for section in ["setup", "teardown"] {
        let counts = &summary[section];
        assert!(counts["operations"].is_object(), "{name}: no {section}");
        let failed: u64 = counts["operations"]
            .as_object()
            .unwrap()
            .values()
            .map(|one| one["failed"].as_u64().unwrap())
            .sum();
        assert_eq!(failed, 0, "{name}: {section}: {ended:#?}");
    }
    let reasons = summary["exit_reasons"].as_array().unwrap();
    let is_accepted =
        |reason: &Value| reason == "thresholds-failed" || reason == "generator-limited";
    assert!(reasons.iter().all(is_accepted), "{name}: {reasons:?}");
}

#[test]
fn every_ready_workload_runs_on_the_embedded_server_and_leaves_nothing_behind() {
    let place = Place::new();
    let server = Serving::start(&place, "--user ann");
    let call = |place: &Place, line: &str| {
        let line = format!("{line} --target {}", server.url);
        place.run(&line).env("SMBENCH_PASSWORD", serve::PASSWORD)
    };
    // The names of the workloads' directories have at least six characters, and "." and ".." do not.
    let list = |directory: &str, code: i32| {
        let script = format!(
            "bench.setup(function(c) {directory} end)
            bench.workload {{ name = 'w', iteration = function(c)
                c:list('', '??????*', {{ expect = 'NO_SUCH_FILE' }})
            end }}"
        );
        let script = place.write("list.lua", script);
        let line = format!("{} --iterations 1", script.display());
        call(&Place::new(), &line).end().exits(code);
    };
    list("c:mkdir('office')", 4);
    list("c:rmdir('office')", 0);
    for_all(|name, params| {
        let line = format!("@scripts/{name} {params} --duration 1s");
        check_run(name, call(&Place::new(), &line));
    });
    list("", 0);
}

#[test]
fn every_ready_workload_runs_on_samba_and_leaves_nothing_behind() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let url = samba.url();
    for_all(|name, params| {
        let line = format!("@scripts/{name} {params} --duration 1s --target {url}");
        check_run(name, Place::new().run(&line).samba());
    });
    assert_eq!(names(&samba.share()), [""; 0]);
}

#[test]
fn a_share_without_write_access_is_one_error_and_nothing_is_left_behind() {
    let read_only = Settings { global: "", share: "read only = yes" };
    let Some(samba) = Samba::start(read_only) else { return };
    let url = samba.url();
    for_all(|name, params| {
        let line = format!("@scripts/{name} {params} --duration 1s --target {url}");
        // The thresholds have no samples, which decides the exit code.
        let (problem, summary) = Place::new().run(&line).samba().end().broke_off(99);
        assert_eq!(problem, "an operation of setup failed, so nothing was measured", "{name}");
        let reasons = json!(["thresholds-failed", "operations-failed", "nothing-recorded"]);
        assert_eq!(summary["exit_reasons"], reasons, "{name}");
        let denied = &summary["setup"]["failures"][0];
        assert_eq!(denied["status"], "STATUS_ACCESS_DENIED", "{name}: {}", summary["setup"]);
        assert_eq!(denied["count"], 1, "{name}: {denied}");
        assert_eq!(summary["teardown"]["failures"], json!([]), "{name}: {}", summary["teardown"]);
    });
    assert_eq!(names(&samba.share()), [""; 0]);
}

#[test]
fn scripts_are_listed_a_line_each_and_as_json() {
    let place = Place::new();
    let listed = place.smbench("scripts").end().exits(0).stdout;
    assert_eq!(listed, place.smbench("scripts list").end().exits(0).stdout);
    let of_lines: Vec<&str> = listed.lines().map(|line| line.split_once(' ').unwrap().0).collect();
    assert_eq!(of_lines, ALL.map(|(name, _)| name));
    let json: Value =
        serde_json::from_str(&place.smbench("scripts list --json").end().exits(0).stdout).unwrap();
    for (line, script) in listed.lines().zip(json["scripts"].as_array().unwrap()) {
        let (name, summary) = line.split_once(' ').unwrap();
        assert_eq!((&script["name"], &script["summary"]), (&name.into(), &summary.trim().into()));
    }
}

#[test]
fn a_script_that_is_shown_and_saved_makes_the_same_operations() {
    let place = Place::new();
    let shown = place.smbench("scripts show software_build").end().exits(0).stdout;
    assert!(shown.starts_with("-- Software build: "), "{shown}");
    place.write("mine.lua", &shown);
    let compiled = |input: &str| {
        let line = format!("compile {input} -p directories=1 --iterations 5 -o -");
        let ended = place.smbench(&line).end().exits(0);
        let (head, operations) = ended.stdout.split_once('\n').unwrap();
        let head: Value = serde_json::from_str(head).unwrap();
        (head["source"].clone(), operations.to_string(), ended.stderr)
    };
    let (of_binary, of_file) = (compiled("@scripts/software_build"), compiled("mine.lua"));
    assert_eq!((&of_binary.0, &of_file.0), (&"@scripts/software_build".into(), &"mine.lua".into()));
    assert_eq!(of_binary.1, of_file.1);
    assert!(of_binary.2.contains("ir_hash") && of_binary.2 == of_file.2, "{of_binary:?}");
    let small = "-p directories=1 --operations 20 --target sim";
    let hashes = |input: &str, out: &str| {
        let summary = place.run_to(out, &format!("{input} {small}")).end().summary();
        (summary["run"]["ir_hash"].clone(), summary["run"]["script_hash"].clone())
    };
    let of_binary = hashes("@scripts/software_build", "one");
    assert_eq!(of_binary, hashes("mine.lua", "two"));
    assert!(of_binary.0.as_str().unwrap().starts_with("recipe:"), "{of_binary:?}");
}

#[test]
fn a_ready_workload_has_help_is_validated_and_takes_parameters_and_clients_as_a_file_does() {
    let place = Place::new();
    let help = place.smbench("run @scripts/varmail --help").end().exits(0).stdout;
    let (_, parameters) = help.split_once("Parameters of @scripts/varmail").unwrap();
    assert!(parameters.contains("threads <int>"), "{parameters}");
    let validated = place.smbench("validate @scripts/varmail -p threads=3").end().exits(0).stdout;
    assert!(validated.starts_with("@scripts/varmail: valid script, 1 workload, 3 clients;"));
    let line = "run @scripts/varmail -p threads=6 --clients 2 --duration 300ms --target sim --allow-late --quiet";
    place.smbench(line).end().exits(0);
    let [results] = &names(&place.path().join("results"))[..] else { panic!("one directory") };
    assert!(results.ends_with("Z-varmail"), "{results}");
    let summary = place.read(&format!("results/{results}/summary.json"));
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["workloads"][0]["clients"], 2);
    let wrong = place.smbench("validate @scripts/varmail -p thraeds=3").end().exits(2).stderr;
    assert!(wrong.contains("'threads'"), "{wrong}");
    let typed = place.smbench("run @scripts/varmail --threads 3").end().exits(2).stderr;
    assert!(typed.contains("-p threads=3"), "{typed}");
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest_one_and_how_to_list_all() {
    let place = Place::new();
    for line in ["run @scripts/sofware_build", "validate @scripts/software-build"] {
        let said = place.smbench(line).end().exits(2).stderr;
        assert!(said.contains("did you mean @scripts/software_build?"), "{said}");
        assert!(said.contains("'smbench scripts' lists them"), "{said}");
    }
    let said = place.smbench("scripts show sofware_build").end().exits(2).stderr;
    assert!(said.contains("'software_build'"), "{said}");
    let said = place.smbench("run @office").end().exits(2).stderr;
    assert!(said.contains("@scripts/NAME"), "{said}");
    let said = place.smbench("@scripts/office").end().exits(2).stderr;
    assert!(said.contains("smbench run @scripts/office"), "{said}");
}

#[test]
fn each_thread_of_a_workload_that_deletes_has_files_to_create_and_to_delete() {
    let place = Place::new();
    for name in ["fileserver", "varmail"] {
        for threads in [1, 7, 199, 634] {
            let line = format!(
                "compile @scripts/{name} --iterations 2 -p threads={threads} --script-time 30s -o {name}{threads}.jsonl"
            );
            place.smbench(&line).end().exits(0);
        }
    }
}
