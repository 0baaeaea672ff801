//! Setup, phases and teardown, and their order.

use serde_json::json;

use crate::program::{Place, names};
use crate::summary::number;

/// A script whose steps each fail unless all clients have taken the step before.
const NESTED: &str = r#"
bench.setup(function(c) c:mkdir("team") c:think("30ms") c:mkdir("team/shared") end)
bench.workload { name = "w", clients = 6,
    setup = function(c)
        c:mkdir("team/shared/u" .. c.id)
        if c.id == 3 then c:think("50ms") c:mkdir("team/shared/last") end
    end,
    iteration = function(c)
        c:stat("team/shared/last")
        c:stat("team/shared/u" .. c.id)
    end,
    teardown = function(c)
        c:think(c.id * 5e6)
        c:rmdir("team/shared/u" .. c.id)
        if c.id == 5 then c:rmdir("team/shared/last") end
    end }
bench.teardown(function(c) c:rmdir("team/shared") c:rmdir("team") c:mkdir("done") end)
"#;

#[test]
fn the_run_is_set_up_before_its_clients_and_torn_down_after_them() {
    let place = Place::with_script(NESTED);
    std::fs::create_dir(place.path().join("share")).unwrap();
    for shards in [1, 3] {
        let line = format!("s.lua --embedded-dir share --iterations 3 --shards {shards}");
        let summary = place.run_to(&format!("out-{shards}"), &line).end().exits(0).summary();
        assert_eq!(names(&place.path().join("share")), ["done"]);
        std::fs::remove_dir(place.path().join("share/done")).unwrap();
        assert_eq!(number(&summary["setup"]["totals"]["succeeded"]), 9);
        assert_eq!(number(&summary["teardown"]["totals"]["succeeded"]), 10);
        assert_eq!(number(&summary["operations"]["stat"]["count"]), 36);
    }
}

#[test]
fn a_failure_in_setup_skips_to_teardown_and_exits_4() {
    let place = Place::with_script(
        r#"
        bench.setup(function(c) c:mkdir("team") end)
        bench.workload { name = "w", clients = 3,
            setup = function(c) c:delete("none") end,
            iteration = function(c) c:mkdir("never") end,
            teardown = function(c) c:mkdir("team/down" .. c.id) end }
        bench.teardown(function(c) c:mkdir("last") end)"#,
    );
    std::fs::create_dir(place.path().join("share")).unwrap();
    let (problem, summary) = place.run("s.lua --embedded-dir share").end().broke_off(4);
    assert_eq!(problem, "an operation of setup failed, so nothing was measured");
    assert_eq!(summary["exit_reasons"], json!(["operations-failed", "nothing-recorded"]));
    assert_eq!(number(&summary["totals"]["operations"]), 0);
    assert_eq!(summary["setup"]["failures"][0]["status"], "STATUS_OBJECT_NAME_NOT_FOUND");
    assert_eq!(names(&place.path().join("share")), ["last", "team"]);
    assert_eq!(names(&place.path().join("share/team")), ["down0", "down1", "down2"]);
}

#[test]
fn files_that_setup_left_open_are_closed_before_a_teardown_removes_them() {
    let place = Place::with_script(
        r#"
        local function make(c, name) c:mkdir(name) c:open(name .. "/f", "w") end
        local function remove(c, name) c:delete(name .. "/f") c:rmdir(name) end
        bench.setup(function(c) make(c, "all") end)
        bench.workload { name = "w", clients = 3,
            setup = function(c)
                make(c, "own" .. c.id)
                if c.id == 2 then c:think("50ms") c:delete("none") end
            end,
            iteration = function(c) c:mkdir("never") end,
            teardown = function(c) remove(c, "own" .. c.id) end }
        bench.teardown(function(c) remove(c, "all") end)"#,
    );
    std::fs::create_dir(place.path().join("share")).unwrap();
    let (_, summary) = place.run("s.lua --embedded-dir share").end().broke_off(4);
    assert_eq!(summary["teardown"]["failures"], json!([]));
    assert_eq!(names(&place.path().join("share")), [""; 0]);
}

#[test]
fn a_failure_in_the_run_wide_setup_reaches_no_client() {
    let place = Place::with_script(
        r#"
        bench.setup(function(c) c:rmdir("none") end)
        bench.workload { name = "w", clients = 3,
            setup = function(c) c:mkdir("client") end,
            iteration = function(c) c:stat("") end }
        bench.teardown(function(c) c:mkdir("last") end)"#,
    );
    std::fs::create_dir(place.path().join("share")).unwrap();
    let (_, summary) = place.run("s.lua --embedded-dir share").end().broke_off(4);
    assert_eq!(number(&summary["setup"]["totals"]["operations"]), 1);
    assert_eq!(summary["setup"]["failures"][0]["first"][0]["client"], "bench");
    assert_eq!(names(&place.path().join("share")), ["last"]);
}

#[test]
fn a_failure_in_teardown_is_reported_and_does_not_change_the_exit_code() {
    let place = Place::with_script(
        r#"
        bench.workload { name = "w", clients = 2,
            iteration = function(c) c:stat("") end,
            teardown = function(c) c:delete("none") c:mkdir("d" .. c.id) end }
        bench.teardown(function(c) c:rmdir("none") end)"#,
    );
    let ended = place.run("s.lua --target sim --iterations 2").end().exits(0);
    let summary = ended.summary();
    assert_eq!(summary["exit_reasons"], json!([]));
    assert_eq!(number(&summary["totals"]["failed"]), 0);
    assert_eq!(summary["teardown"]["failures"][0]["count"], 3);
    assert_eq!(number(&summary["teardown"]["totals"]["succeeded"]), 2);
    let reported = "failed in teardown, which does not change the exit code\n  3 × STATUS_OBJECT_NAME_NOT_FOUND\n";
    assert!(ended.stdout.contains(reported), "{}", ended.stdout);
}

#[test]
fn an_error_of_the_script_in_setup_or_teardown_names_its_line_and_exits_2() {
    for (section, text) in [
        ("setup", "setup = function(c) c:stat(5) end,"),
        ("teardown", "teardown = function(c) c:stat(5) end,"),
    ] {
        let place = Place::with_script(&format!(
            "bench.workload {{ name = 'w', clients = 2,\n{text}\niteration = function(c) c:stat('') end }}"
        ));
        let problem = place.run("s.lua --target sim --iterations 2").end().refused(2);
        let expected = "s.lua:2: stat: the path is a string, not 5 (client w/";
        assert!(problem.starts_with(expected), "{section}: {problem}");
    }
}

#[test]
fn phases_that_are_not_recorded_are_shown_and_not_in_the_totals() {
    let place = Place::with_script(
        r#"
        bench.phases {
            { name = "warmup", duration = "100ms", record = false },
            { name = "steady", duration = "100ms" },
            { name = "cooldown", duration = "100ms", record = false },
        }
        bench.workload { name = "w", clients = 2, iteration = function(c)
            c:stat("")
            c:think("1ms")
        end }"#,
    );
    let summary = place.run("s.lua --target sim").end().exits(0).summary();
    let phases = summary["phases"].as_array().unwrap();
    let sent: Vec<u64> = phases.iter().map(|p| number(&p["totals"]["operations"])).collect();
    assert!(sent.iter().all(|sent| *sent > 0), "{sent:?}");
    assert_eq!(number(&summary["totals"]["operations"]), sent[1]);
    let recorded: Vec<&serde_json::Value> = phases.iter().map(|p| &p["recorded"]).collect();
    assert_eq!(recorded, [false, true, false]);
    assert_eq!(summary["totals"]["duration_s"], 0.1);

    let scaled = place.run_to("scaled", "s.lua --target sim --duration 50ms").end().exits(0);
    let summary = scaled.summary();
    let phases = summary["phases"].as_array().unwrap();
    let names: Vec<_> =
        phases.iter().map(|p| (p["name"].as_str().unwrap(), &p["duration_s"])).collect();
    assert_eq!(
        names,
        [("warmup", &0.05.into()), ("steady", &0.05.into()), ("cooldown", &0.05.into())]
    );
}

#[test]
fn any_number_of_clients_ends_under_any_limit() {
    let place = Place::with_script(
        r#"bench.workload { name = "w", clients = 64,
            setup = function(c) c:mkdir("u" .. c.id) end,
            iteration = function(c)
                local h = c:open("u" .. c.id .. "/f", "rw")
                c:write(h, 0, 100)
                c:close(h)
            end,
            teardown = function(c) c:delete("u" .. c.id .. "/f") c:rmdir("u" .. c.id) end }"#,
    );
    for (clients, limit) in [(1, "--limit 1"), (64, "--limit 1"), (200, "--limit 64"), (200, "")] {
        let line = format!("s.lua --iterations 3 --clients {clients} {limit}");
        for target in ["sim", "embedded"] {
            let out = format!("{target}-{clients}-{}", limit.len());
            let ended = place.run_to(&out, &format!("{line} --target {target}")).end().exits(0);
            let totals = &ended.summary()["totals"];
            assert_eq!(number(&totals["succeeded"]), clients * 9, "{line} {target}");
        }
    }
}
