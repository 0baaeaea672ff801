//! Tests of the whole program at full size: thousands of clients, millions of operations.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use smbench_test_support::Format;

const BOUND: Duration = Duration::from_secs(180);

const OFFICE: &str = r#"
bench.workload {
  name = "w", clients = 5000,
  setup = function(c) c:mkdir("d" .. c.id) end,
  iteration = function(c, rng)
    local h = c:open(("d%d/f%d"):format(c.id, rng:int(1, 4)), "rw")
    c:write(h, 0, 4096)
    c:read(h, 0, 4096)
    c:close(h)
    c:think(rng:exp(1e9))
  end,
}
"#;

const BUSY: &str = r#"
bench.workload {
  name = "w", clients = 200,
  iteration = function(c, rng)
    local h = c:open(("d%d/f%d"):format(c.id, rng:int(1, 1000000)), "rw")
    c:read(h, 0, 4096)
    c:close(h)
  end,
}
"#;

const HUNDRED_THOUSAND: &str = r#"
local P = bench.params { open_loop = { type = "bool", default = false } }
bench.workload {
  name = "w", clients = 100000,
  iteration = function(c, rng)
    local h = c:open(("d%d/f%d"):format(c.id, rng:int(1, 4)), "rw")
    c:write(h, 0, 4096)
    c:read(h, 0, 4096)
    c:close(h)
    if not P.open_loop then c:think(rng:exp(5e9)) end
  end,
  pace = P.open_loop and bench.open_loop { rate = 20000, arrivals = "poisson" } or nil,
}
"#;

/// Runs a script. Returns its summary and the peak memory of the process in MiB.
fn run(script: &str, arguments: &[&str]) -> (serde_json::Value, u64) {
    run_file("w.lua", script, arguments)
}

fn run_file(name: &str, text: &str, arguments: &[&str]) -> (serde_json::Value, u64) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(name), text).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_smbench"))
        .args(["run", name, "--out", "out", "--allow-late"])
        .args(arguments)
        .current_dir(directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let started = Instant::now();
    let mut peak_kib = 0;
    let exit = loop {
        peak_kib = peak_kib.max(high_water_kib(Path::new(&status)));
        if let Some(exit) = child.try_wait().unwrap() {
            break exit;
        }
        if started.elapsed() > BOUND {
            child.kill().unwrap();
            panic!("still running after {BOUND:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(exit.success(), "{exit}");
    let summary = fs::read(directory.path().join("out/summary.json")).unwrap();
    let summary = serde_json::from_slice(&summary).unwrap();
    Format::Summary.check(&summary);
    (summary, peak_kib >> 10)
}

fn high_water_kib(status: &Path) -> u64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

#[test]
fn five_thousand_clients_on_the_embedded_server_start_run_and_end_in_400_mib() {
    let (summary, peak_mib) = run(OFFICE, &["--duration", "5s"]);
    let totals = &summary["totals"];
    assert!(totals["operations"].as_u64().unwrap() > 5_000, "{totals}");
    assert_eq!(totals["failed"], 0, "{totals}");
    assert_eq!(totals["cut"], 0, "{totals}");
    assert!(peak_mib > 0 && peak_mib < 400, "{peak_mib} MiB");
}

#[test]
fn a_hundred_thousand_clients_fit_into_450_mb_in_a_closed_loop_and_in_an_open_one() {
    for loops in ["open_loop=false", "open_loop=true"] {
        let arguments = ["--target", "sim:null", "--duration", "6s", "-p", loops];
        let (summary, peak_mib) = run(HUNDRED_THOUSAND, &arguments);
        let totals = &summary["totals"];
        assert!(totals["operations"].as_u64().unwrap() > 100_000, "{loops}: {totals}");
        assert_eq!(totals["failed"], 0, "{loops}: {totals}");
        assert!(peak_mib > 0 && peak_mib << 20 < 450_000_000, "{loops}: {peak_mib} MiB");
    }
}

#[test]
fn a_document_that_promises_a_million_clients_costs_what_those_with_operations_do() {
    let stat = |client| format!(r#"{{"client":{client},"after_ns":0,"type":"Stat","path":""}}"#);
    let clients = [3, 999_999];
    let document = format!(
        "{}\n{}\n{}\n{}\n",
        r#"{"version":2,"workloads":[{"name":"w","clients":1000000}]}"#,
        stat(clients[0]),
        stat(clients[1]),
        r#"{"operations":2}"#
    );
    let (summary, peak_mib) = run_file("w.jsonl", &document, &["--target", "sim"]);
    let totals = &summary["totals"];
    assert_eq!((&totals["succeeded"], &totals["failed"]), (&2.into(), &0.into()), "{totals}");
    assert_eq!(summary["workloads"][0]["clients"], 1_000_000);
    assert!(peak_mib > 0 && peak_mib < 200, "{peak_mib} MiB");
}

#[test]
fn a_run_keeps_its_memory_however_many_paths_its_script_makes_up() {
    let peak = |seconds| run(BUSY, &["--target", "sim:null", "--duration", seconds]).1;
    let (short, long) = (peak("1s"), peak("6s"));
    assert!(long < 200, "{long} MiB");
    assert!(long < short + 40, "{short} MiB in 1 s, {long} MiB in 6 s");
}
