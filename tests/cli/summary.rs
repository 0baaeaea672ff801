//! `summary.json`: sums that must agree in every summary. The schema checks its shape in every call
//! (`formats.rs`).

use serde_json::Value;

use crate::program::Place;

/// The ends of breaks, of which each break has one.
const ENDS: [&str; 8] = [
    "not_asked",
    "acknowledged",
    "refused",
    "closed",
    "connection_lost",
    "ignored",
    "timed_out",
    "cut",
];

/// Totals that are sums over phases and over workloads.
const ADD_UP: [&str; 10] = [
    "operations",
    "succeeded",
    "failed",
    "skipped",
    "cut",
    "short_reads",
    "retries",
    "degraded",
    "bytes_read",
    "bytes_written",
];

pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no whole number"))
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

/// Checks every sum of a summary against its parts.
pub fn check(summary: &Value) {
    let totals = &summary["totals"];
    check_part(summary);
    let recorded: Vec<&Value> =
        list(&summary["phases"]).iter().filter(|phase| phase["recorded"] == true).collect();
    for key in ADD_UP {
        let sum = |parts: &[&Value]| -> u64 {
            parts.iter().map(|part| number(&part["totals"][key])).sum()
        };
        let workloads: Vec<&Value> = list(&summary["workloads"]).iter().collect();
        assert_eq!(sum(&workloads), number(&totals[key]), "{key} over workloads");
        // A stream without phases has no recorded phases to sum over.
        if !recorded.is_empty() {
            assert_eq!(sum(&recorded), number(&totals[key]), "{key} over recorded phases");
        }
    }
    for part in list(&summary["phases"]).iter().chain(list(&summary["workloads"])) {
        check_part(part);
    }
    for section in ["setup", "teardown"] {
        if let Some(section) = summary.get(section) {
            check_part(section);
        }
    }
    let iterations = |key: &str| -> u64 {
        list(&summary["workloads"])
            .iter()
            .map(|workload| number(&workload["iterations"][key]))
            .sum()
    };
    for key in ["count", "late", "dropped", "skipped", "cut"] {
        assert_eq!(iterations(key), number(&summary["iterations"][key]), "{key} over workloads");
    }
    for workload in list(&summary["workloads"]).iter().filter(|_| !recorded.is_empty()) {
        for key in ["count", "late", "dropped", "skipped", "cut"] {
            let name = workload["name"].as_str().unwrap();
            let of_phases = recorded.iter().filter_map(|phase| phase["iterations"].get(name));
            let of_phases: u64 = of_phases.map(|iterations| number(&iterations[key])).sum();
            let whole = number(&workload["iterations"][key]);
            assert_eq!(of_phases, whole, "{key} of {name} over phases");
        }
    }
    check_trust(&summary["trust"]);
    for key in ["oplock", "lease"].iter().chain(&ENDS) {
        let count = |part: &Value| part.get("breaks").map_or(0, |breaks| number(&breaks[key]));
        let workloads: u64 = list(&summary["workloads"]).iter().map(count).sum();
        assert_eq!(workloads, count(summary), "{key} breaks over workloads");
    }
    let skipped = summary.get("skipped").map_or(0, |skipped| number(&skipped["count"]));
    assert_eq!(skipped, number(&totals["skipped"]));
}

/// Checks that a late generator, and only that, has a cause.
fn check_trust(trust: &Value) {
    let limited = trust["verdict"] == "generator-limited";
    assert_eq!(trust.get("cause").is_some(), limited, "{trust}");
    let named = |reason: &Value| reason.as_str().unwrap().starts_with("likely cause: ");
    assert_eq!(list(&trust["reasons"]).iter().any(named), limited, "{trust}");
    for part in ["limit", "generation", "other"] {
        assert!(trust["lateness_by_cause_us"][part].as_f64().unwrap() >= 0.0, "{trust}");
    }
    if let Some(used) = trust.get("cpu_cores_used") {
        assert!(used.as_f64().unwrap() >= 0.0 && number(&trust["cpu_cores"]) > 0, "{trust}");
    }
}

/// Checks `totals`, `operations` and `failures` of the whole, a phase, a workload or a section.
fn check_part(part: &Value) {
    let totals = &part["totals"];
    assert_eq!(
        number(&totals["operations"]),
        number(&totals["succeeded"]) + number(&totals["failed"])
    );
    let operations = part["operations"].as_object().unwrap();
    for (total, of_one) in [
        ("operations", "count"),
        ("failed", "failed"),
        ("skipped", "skipped"),
        ("cut", "cut"),
        ("retries", "retries"),
    ] {
        let sum: u64 = operations.values().map(|figures| number(&figures[of_one])).sum();
        assert_eq!(sum, number(&totals[total]), "{total} over operations");
    }
    for (name, figures) in operations {
        let statuses = figures["statuses"].as_object().unwrap();
        let sent: u64 = statuses.values().map(number).sum();
        assert_eq!(sent, number(&figures["count"]), "statuses of {name}");
        for times in ["service_us", "response_us"] {
            assert_eq!(figures.get(times).is_some(), sent > 0, "{times} of {name}");
            if let Some(times) = figures.get(times) {
                check_times(times);
            }
        }
    }
    if let Some(breaks) = part.get("breaks") {
        let sum = |keys: &[&str]| keys.iter().map(|key| number(&breaks[key])).sum::<u64>();
        assert_eq!(sum(&ENDS), sum(&["oplock", "lease"]), "breaks by their ends");
    }
    for (total, operation) in [("bytes_read", "read"), ("bytes_written", "write")] {
        let bytes = operations.get(operation).map_or(0, |figures| number(&figures["bytes"]));
        assert_eq!(bytes, number(&totals[total]), "{total}");
    }
    if let Some(failures) = part.get("failures") {
        let failed: u64 = list(failures).iter().map(|group| number(&group["count"])).sum();
        assert_eq!(failed, number(&totals["failed"]), "failures by status");
        for group in list(failures) {
            let first = list(&group["first"]).len() as u64;
            assert_eq!(first, number(&group["count"]).min(5), "first of {}", group["status"]);
        }
    }
}

fn check_times(times: &Value) {
    let order = ["min", "p50", "p90", "p95", "p99", "p999", "max"];
    let values = order.map(|name| times[name].as_f64().unwrap_or_else(|| panic!("no {name}")));
    // Percentiles have three digits, so they may lie slightly outside the exact minimum and
    // maximum.
    assert!(values.windows(2).all(|pair| pair[0] <= pair[1] * 1.002), "{times}");
    let mean = times["mean"].as_f64().unwrap();
    assert!(values[0] <= mean + 0.001 && mean <= values[6] + 0.001, "{times}");
}

#[test]
fn the_summary_says_what_ran_and_its_sums_agree() {
    let place = Place::with_script(
        r#"
        local P = bench.params { io = { type = "size", default = "8KiB", help = "I/O size" } }
        bench.phases { { name = "one", duration = "150ms" }, { name = "two", duration = "150ms" } }
        bench.setup(function(c) c:mkdir("d") end)
        bench.workload { name = "writers", clients = 3, iteration = function(c)
            local h = c:open("d/" .. c.id, "rw")
            c:write(h, 0, P.io)
            c:read(h, P.io - 1, 10)
            c:close(h)
        end }
        bench.workload { name = "readers", clients = 2, iteration = function(c)
            c:open("d/none", "r")
        end }
        bench.teardown(function(c) c:list("d", "*") end)"#,
    );
    let summary = place.run("s.lua --target sim --seed 7 -p io=4KiB").end().exits(4).summary();
    let run = &summary["run"];
    assert_eq!(run["seed"], 7);
    assert_eq!(run["script"], "s.lua");
    assert_eq!(run["params"], serde_json::json!({ "io": 4096 }));
    assert_eq!(run["interrupted"], false);
    assert_eq!(run["id"], "out");
    assert!(run["ir_hash"].as_str().unwrap().starts_with("recipe:"));
    assert_eq!(run["script_hash"].as_str().unwrap().len(), 64);
    assert_eq!(summary["target"]["url"], "sim");
    assert_eq!(summary["target"]["backend"], "sim");
    assert_eq!(summary["exit_reasons"], serde_json::json!(["operations-failed"]));

    let names = |of: &str| -> Vec<String> {
        let parts = list(&summary[of]).iter();
        parts.map(|part| part["name"].as_str().unwrap().into()).collect()
    };
    assert_eq!(names("phases"), ["one", "two"]);
    assert_eq!(names("workloads"), ["writers", "readers"]);
    assert_eq!(summary["workloads"][0]["clients"], 3);
    assert_eq!(summary["workloads"][1]["totals"]["succeeded"], 0);
    let operations = &summary["operations"];
    let reads = number(&operations["read"]["count"]);
    assert!(reads > 0);
    // Each read gets the one byte that exists.
    assert_eq!(number(&summary["totals"]["short_reads"]), reads);
    assert_eq!(number(&summary["totals"]["bytes_read"]), reads);
    let writes = number(&operations["write"]["count"]);
    assert_eq!(number(&summary["totals"]["bytes_written"]), writes * 4096);
    assert_eq!(summary["setup"]["totals"]["operations"], 1);
    assert_eq!(summary["teardown"]["operations"]["list"]["count"], 1);
    assert!(summary["lateness_us"]["p999"].is_number());
}
