//! The report on failures: by status, with the first operations, and in the exit code.

use serde_json::json;

use crate::program::Place;
use crate::summary::number;

#[test]
fn unexpected_failures_exit_4_and_are_listed_by_status() {
    let place = Place::with_script(
        r#"
        bench.setup(function(c) c:mkdir("full/inner") c:mkdir("full") end)
        bench.workload { name = "w", clients = 2, iteration = function(c)
            c:delete("none")
            c:rmdir("full")
            c:stat("full")
        end }"#
            .replace(
                r#"c:mkdir("full/inner") c:mkdir("full")"#,
                r#"c:mkdir("full") c:mkdir("full/inner")"#,
            )
            .as_str(),
    );
    let ended = place.run("s.lua --iterations 4").end().exits(4);
    let summary = ended.summary();
    assert_eq!(summary["exit_reasons"], json!(["operations-failed"]));
    assert_eq!(summary["problems"], json!([]));
    let totals = &summary["totals"];
    assert_eq!((number(&totals["operations"]), number(&totals["failed"])), (24, 16));
    let failures = summary["failures"].as_array().unwrap();
    let mut groups: Vec<(&str, u64, u64)> = failures
        .iter()
        .map(|group| {
            (group["status"].as_str().unwrap(), number(&group["code"]), number(&group["count"]))
        })
        .collect();
    groups.sort();
    assert_eq!(
        groups,
        [
            ("STATUS_DIRECTORY_NOT_EMPTY", 0xC000_0101, 8),
            ("STATUS_OBJECT_NAME_NOT_FOUND", 0xC000_0034, 8)
        ]
    );
    for group in failures {
        let first = &group["first"][0];
        assert!(["w/0", "w/1"].contains(&first["client"].as_str().unwrap()), "{first}");
        assert!(["none", "full"].contains(&first["path"].as_str().unwrap()), "{first}");
    }
    for text in [
        "8 × STATUS_OBJECT_NAME_NOT_FOUND",
        "8 × STATUS_DIRECTORY_NOT_EMPTY",
        "delete none  by w/",
        "… and 3 more",
        "exit code 4: operations-failed",
    ] {
        assert!(ended.stdout.contains(text), "{text:?} not in {}", ended.stdout);
    }
    assert_eq!(ended.stderr, "");
}

#[test]
fn an_expected_status_is_no_failure_and_keeps_its_name() {
    let place = Place::with_script(
        r#"bench.workload { name = "w", iteration = function(c)
            c:delete("none", { expect = "OBJECT_NAME_NOT_FOUND" })
            c:rmdir("none", { expect = { "STATUS_SUCCESS", "OBJECT_NAME_NOT_FOUND" } })
            c:stat("none", { expect = "any" })
        end }"#,
    );
    let ended = place.run("s.lua --iterations 3").end().exits(0);
    let summary = ended.summary();
    assert_eq!(number(&summary["totals"]["failed"]), 0);
    for operation in ["delete", "rmdir", "stat"] {
        let statuses = &summary["operations"][operation]["statuses"];
        assert_eq!(*statuses, json!({ "STATUS_OBJECT_NAME_NOT_FOUND": 3 }), "{operation}");
    }
    assert!(!ended.stdout.contains("failed\n"), "{}", ended.stdout);
    let reported = "\nexpected    9 × STATUS_OBJECT_NAME_NOT_FOUND\n";
    assert!(ended.stdout.contains(reported), "{}", ended.stdout);
}

#[test]
fn success_that_was_not_expected_is_a_failure() {
    let place = Place::with_script(
        r#"bench.workload { name = "w", iteration = function(c)
            c:stat("", { expect = "ACCESS_DENIED" })
        end }"#,
    );
    let ended = place.run_to("a", "s.lua --target sim --iterations 3").end().exits(4);
    let why = "  3 × STATUS_SUCCESS, which `expect` does not list";
    assert!(ended.stdout.contains(why), "{}", ended.stdout);
    let summary = ended.summary();
    assert_eq!(summary["failures"][0]["status"], "STATUS_SUCCESS");
    assert_eq!(number(&summary["totals"]["failed"]), 3);
    let quiet = place.run_to("b", "s.lua --target sim --iterations 3 --quiet").end().exits(4);
    assert_eq!(
        (quiet.stdout.as_str(), quiet.stderr.as_str()),
        ("", "exit code 4: operations-failed\n")
    );
}

#[test]
fn a_failure_in_a_phase_that_is_not_recorded_exits_4_too() {
    let place = Place::with_script(
        r#"
        bench.phases { { name = "warmup", duration = "100ms", record = false }, { name = "steady", duration = "100ms" } }
        bench.workload { name = "w", iteration = function(c)
            if c.iteration == 0 then c:delete("none") end
            c:think("1ms")
            c:stat("")
        end }"#,
    );
    let ended = place.run("s.lua --target sim").end().exits(4);
    let summary = ended.summary();
    assert_eq!(number(&summary["totals"]["failed"]), 0);
    assert_eq!(summary["phases"][0]["failures"][0]["count"], 1);
    assert!(ended.stdout.contains("failed in phase warmup, not in the totals"), "{}", ended.stdout);
}
