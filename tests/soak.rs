//! Tests that a long run ends as it began: memory does not grow, nothing fails, and lateness is
//! printed. The long form is `SMBENCH_SOAK_SECONDS=600 cargo test --release --test soak --
//! --nocapture`.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use smbench_test_support::Format;

/// A script of two thousand clients on the embedded server. Each uses one of its two files about
/// once per second.
const OFFICE: &str = r#"
bench.workload {
  name = "office", clients = 2000,
  setup = function(c) c:mkdir("u" .. c.id) end,
  iteration = function(c, rng)
    local h = c:open(("u%d/f%d"):format(c.id, rng:int(1, 2)), "rw")
    c:write(h, rng:int(0, 3) * 1024, 1024)
    c:read(h, 0, 4096)
    c:close(h)
    c:think(rng:exp(1e9))
  end,
}
"#;

/// Maximum growth of the program, including its server, within the second half of the run. (The
/// first use of a phase allocates room for its figures.)
const GROWTH_KIB: u64 = 16 << 10;

/// Maximum time of connecting, setup and teardown together, in addition to the run.
const BOUND: Duration = Duration::from_secs(120);

#[test]
fn a_long_run_of_two_thousand_clients_ends_as_it_began() {
    let seconds: u64 = std::env::var("SMBENCH_SOAK_SECONDS")
        .map_or(20, |seconds| seconds.parse().expect("SMBENCH_SOAK_SECONDS is a number"));
    let directory = tempfile::tempdir().unwrap();
    let half_ms = seconds * 500;
    let half = |name| format!("{{ name = {name:?}, duration = \"{half_ms}ms\" }}");
    let script = format!("bench.phases {{ {}, {} }}\n{OFFICE}", half("first"), half("second"));
    fs::write(directory.path().join("soak.lua"), script).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_smbench"))
        .args(["run", "soak.lua", "--out", "out", "--allow-late"])
        .current_dir(directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let resident_kib = watch(child, Duration::from_secs(seconds) + BOUND);
    let summary = fs::read(directory.path().join("out/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
    Format::Summary.check(&summary);

    for phase in summary["phases"].as_array().unwrap() {
        let rate = phase["totals"]["operations_per_s"].as_f64().unwrap();
        let late = &phase["lateness_us"];
        let name = phase["name"].as_str().unwrap();
        println!("{name:<6} {rate:>8.0} op/s  late us p50 {} p99 {}", late["p50"], late["p99"]);
    }
    let most = |tenth| *of_tenth(&resident_kib, tenth).iter().max().unwrap();
    let mib: Vec<u64> = (0..10).map(|tenth| most(tenth) >> 10).collect();
    println!("resident MiB over the run: {mib:?}");
    println!("trust: {}", summary["trust"]["verdict"]);
    let totals = &summary["totals"];
    assert!(totals["operations"].as_u64().unwrap() > 2_000 * 4, "{totals}");
    assert_eq!((&totals["failed"], &totals["cut"]), (&0.into(), &0.into()), "{totals}");
    let (before, after) = (most(6), most(9));
    assert!(after < before + GROWTH_KIB, "{before} KiB at 65 % of the run, {after} KiB at its end");
}

/// Returns the resident memory of the process in KiB, four times per second until it exits
/// successfully.
fn watch(mut child: Child, bound: Duration) -> Vec<u64> {
    let statm = format!("/proc/{}/statm", child.id());
    let started = Instant::now();
    let mut resident_kib = Vec::new();
    loop {
        let pages = fs::read_to_string(&statm).unwrap_or_default();
        let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        // A process that has exited and was not yet waited for has no memory.
        resident_kib.extend(pages.filter(|pages| *pages > 0).map(|pages| pages * 4));
        if let Some(exit) = child.try_wait().unwrap() {
            assert!(exit.success(), "{exit}");
            return resident_kib;
        }
        if started.elapsed() > bound {
            child.kill().unwrap();
            panic!("still running after {bound:?}");
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

fn of_tenth(samples: &[u64], tenth: usize) -> &[u64] {
    let length = samples.len().div_ceil(10).max(1);
    let from = (tenth * length).min(samples.len() - 1);
    &samples[from..(from + length).min(samples.len())]
}
