//! Functions shared by the benchmarks that run whole streams.

use std::path::Path;
use std::time::Duration;

use smbench::backend::registry::Target;
use smbench::backend::smb2::Password;
use smbench::observability::Summary;
use smbench::run::{Input, RunOptions};
use smbench::script::{ClientsOverride, ScriptOptions};
use smbench_test_support::Samba;

/// Returns the options of a script whose only workload has `clients` clients.
pub fn script(path: &Path, clients: u32) -> ScriptOptions {
    ScriptOptions {
        location: path.into(),
        clients: vec![ClientsOverride { workload: None, clients }],
        ..ScriptOptions::default()
    }
}

/// Runs `input` with the defaults of the command line, and keeps no results. Panics if an operation
/// failed, was skipped or was cut.
pub fn run(input: &Input, target: &str, duration: Option<Duration>) -> Summary {
    let directory = tempfile::tempdir().unwrap();
    let options = RunOptions {
        password: Some(Password::new(Samba::PASSWORD)),
        duration,
        allow_late: true,
        out: Some(directory.path().join("results")),
        ..RunOptions::new(Target::parse(target).unwrap())
    };
    let summary = smbench::run::run(input, &options).unwrap().summary;
    let totals = &summary.totals;
    assert_eq!((totals.counts.failed, totals.counts.skipped, totals.counts.cut), (0, 0, 0));
    summary
}

pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Returns the load average, which shows what else the host was doing. Linux only.
pub fn load() -> String {
    let average = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    average.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
