//! The rate of opens and closes of one path by many connections, beside that of Samba's own
//! `smbtorture smb2.bench.path-contention-shared`, with the same Samba and the same requests, in
//! turns: `cargo bench --bench torture_ratio`
//!
//! smbtorture (Samba 4.17 `source4/torture/smb2/bench.c`, observed by its system calls) has
//! `torture:nprocs` connections in one thread. On each it runs `torture:qdepth` loops of CREATE and
//! CLOSE of `torture:bench_path` (default: the root of the share) with FILE_READ_ATTRIBUTES, all
//! share modes, FILE_OPEN and FILE_OPEN_REPARSE_POINT, and no oplock. It counts opens and closes
//! separately. It does not sign by default, but a session of crate `smb2` always does, so the same
//! work needs `client signing = required`. A further column shows smbtorture with its defaults.
//!
//! A client of smbench has one operation in flight and a connection of its own. For a qdepth above
//! 1, smbench uses as many connections as smbtorture has requests in flight. Samba then forks as
//! many more processes, which contend, so that line is not the same work and does not count
//! (compare smbtorture's own 16 x 1).
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use smbench::run::Input;
use smbench_test_support::{Samba, Settings};

mod support;

use support::{load, median};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const RUN: Duration = Duration::from_secs(2);
const GOAL: f64 = 0.8;

/// `0x80` is FILE_READ_ATTRIBUTES; the empty path is the root of the share.
const SCRIPT: &str = r#"
bench.workload {
  name = "contention", clients = 1,
  iteration = function(c)
    c:close(c:open("", "r", {
      access_mask = 0x80, share_mode = "READ|WRITE|DELETE", disposition = "OPEN",
      create_options = "OPEN_REPARSE_POINT", file_attributes = 0,
    }))
  end,
}
"#;

fn main() {
    if Command::new("smbtorture").arg("--version").output().is_err() {
        println!("SKIPPED: smbtorture is not installed (apt-get install samba-testsuite)");
        return;
    }
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("contention.lua");
    std::fs::write(&path, SCRIPT).unwrap();
    let before = load();
    println!(
        "{:<16} {:>12} {:>12} {:>12} {:>7} {:>12}",
        "opens+closes/s", "smbtorture", "signing", "smbench", "ratio", "to unsigned"
    );
    let mut reached = true;
    for (connections, depth) in [(1, 1), (4, 1), (16, 1), (4, 4)] {
        let mut rounds: Vec<[f64; 3]> = Vec::new();
        for round in 0..ROUNDS {
            let mut rates = [0.0; 3];
            // Each program comes first in one of the rounds.
            for which in (0..3).map(|turn| (turn + round) % 3) {
                rates[which] = match which {
                    0 => theirs(&samba, connections, depth, false),
                    1 => theirs(&samba, connections, depth, true),
                    _ => ours(&samba, &path, connections * depth),
                };
            }
            rounds.push(rates);
        }
        let of = |figure: fn(&[f64; 3]) -> f64| median(rounds.iter().map(figure).collect());
        let ratio = of(|[_, signed, ours]| ours / signed);
        reached &= ratio >= GOAL || depth > 1;
        println!(
            "{:<16} {:>12.0} {:>12.0} {:>12.0} {ratio:>7.2} {:>12.2}",
            format!("{connections} conns x {depth}"),
            of(|[unsigned, ..]| *unsigned),
            of(|[_, signed, _]| *signed),
            of(|[.., ours]| *ours),
            of(|[unsigned, _, ours]| ours / unsigned),
        );
    }
    println!(
        "every ratio of the same work at least {GOAL}: {}",
        if reached { "yes" } else { "NO" }
    );
    println!(
        "medians of {ROUNDS} rounds, of ratios within a round; load average before {before}, after {}",
        load()
    );
}

fn ours(samba: &Samba, script: &Path, clients: u32) -> f64 {
    let input = Input::Script(support::script(script, clients));
    support::run(&input, &samba.url(), Some(RUN)).totals.operations_per_s
}

fn theirs(samba: &Samba, connections: u32, depth: u32, signed: bool) -> f64 {
    let address = samba.address();
    let option = |name: &str, value: &str| format!("--option={name}={value}");
    let output = Command::new("smbtorture")
        .arg(format!("//{}/share", address.ip()))
        .args(["-p", &address.port().to_string()])
        .args(["-U", &format!("{}%{}", samba.user(), Samba::PASSWORD)])
        .arg(option("client signing", if signed { "required" } else { "auto" }))
        .arg(option("torture:progress", "no"))
        .arg(option("torture:timelimit", &RUN.as_secs().to_string()))
        .arg(option("torture:nprocs", &connections.to_string()))
        .arg(option("torture:qdepth", &depth.to_string()))
        .arg("smb2.bench.path-contention-shared")
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}{errors}");
    // … open[num/s=13135,avslat=…] close[num/s=13134,avslat=…]
    let rates: Vec<f64> = report
        .lines()
        .chain(errors.lines())
        .flat_map(|line| line.split("num/s=").skip(1))
        .filter_map(|rest| rest.split(',').next()?.parse().ok())
        .collect();
    assert_eq!(rates.len(), 2, "{report}{errors}");
    rates.iter().sum()
}
