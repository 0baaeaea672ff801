//! The time that libraries cost: `cargo bench --bench libraries`
//!
//! `smbench lib sync` of ten libraries whose commits are in the cache, once into an empty project
//! and once when everything is in place; and the start of a run whose script requires a hundred
//! modules of a library, beside that of one that requires none.
#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

#[path = "support/mod.rs"]
#[allow(dead_code, reason = "other benchmarks use the rest")]
mod support;

use support::{load, median};

/// Bound on the median time of a sync of [`LIBRARIES`] that are cached, in milliseconds.
const MAX_SYNC_MS: f64 = 200.0;
/// Bound on the time that [`MODULES`] add to a start, in milliseconds: the difference of medians.
const MAX_REQUIRE_MS: f64 = 20.0;

const LIBRARIES: usize = 10;
const MODULES: usize = 100;
const TIMES: usize = 21;

fn main() {
    let bench = Bench::new();
    let mut missed = Vec::new();
    let mut goal = |reached: bool, text: String| {
        if !reached {
            missed.push(text);
        }
    };
    println!("load {}", load());

    bench.write("project/smbench.toml", "");
    for library in 0..LIBRARIES {
        let name = format!("lib{library}");
        bench.publish(&name, 10);
        bench.smbench(&["lib", "add", &name, "--repo", &bench.url(&name)]);
    }
    let packages = bench.project().join(".smbench");
    let empty = bench.median_ms(&["lib", "sync"], || fs::remove_dir_all(&packages).unwrap());
    let in_place = bench.median_ms(&["lib", "sync"], || ());
    println!("sync of {LIBRARIES} cached libraries: {empty:.1} ms; all in place: {in_place:.1} ms");
    goal(empty < MAX_SYNC_MS, format!("sync took {empty:.1} ms, over {MAX_SYNC_MS} ms"));

    bench.publish("many", MODULES);
    bench.smbench(&["lib", "add", "many", "--repo", &bench.url("many")]);
    let workload = "bench.workload { name = 'w', iteration = function(c) c:stat('') end }\n";
    bench.write("project/none.lua", workload);
    let requires: String =
        (0..MODULES).map(|module| format!("require(\"@many/m{module}\")\n")).collect();
    bench.write("project/hundred.lua", requires + workload);
    let run = |script| ["run", script, "--target", "sim:null", "--iterations", "1", "--quiet"];
    let clean = || drop(fs::remove_dir_all(bench.project().join("results")));
    // Side by side, because the host is not equally fast at all times.
    let (mut none, mut hundred) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        none.push(bench.time_ms(&run("none.lua"), clean));
        hundred.push(bench.time_ms(&run("hundred.lua"), clean));
    }
    let (none, hundred) = (median(none), median(hundred));
    let added = hundred - none;
    println!(
        "a run that requires {MODULES} modules: {hundred:.1} ms, none: {none:.1} ms; added {added:.1} ms"
    );
    goal(added < MAX_REQUIRE_MS, format!("a hundred modules added {added:.1} ms"));

    if !missed.is_empty() {
        println!("missed: {}", missed.join("; "));
        std::process::exit(1);
    }
}

/// A directory with repositories, a cache and a project.
struct Bench(TempDir);

impl Bench {
    fn new() -> Bench {
        let bench = Bench(tempfile::tempdir().unwrap());
        fs::create_dir(bench.project()).unwrap();
        bench
    }

    fn project(&self) -> PathBuf {
        self.0.path().join("project")
    }

    fn write(&self, path: &str, text: impl AsRef<str>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.as_ref()).unwrap();
    }

    fn url(&self, name: &str) -> String {
        format!("file://{}/{name}", self.0.path().display())
    }

    /// Makes a repository of a library with `modules` modules and the tag v1.0.0.
    fn publish(&self, name: &str, modules: usize) {
        let manifest = format!("name = \"{name}\"\nversion = \"1.0.0\"\n");
        self.write(&format!("{name}/smbench.toml"), manifest);
        for module in 0..modules {
            let text =
                format!("local M = {{}}\nfunction M.number() return {module} end\nreturn M\n");
            self.write(&format!("{name}/m{module}.lua"), text);
        }
        let directory = self.0.path().join(name);
        for line in [
            "init --quiet",
            "add --all",
            "-c user.name=b -c user.email=b@b commit --quiet --no-gpg-sign -m one",
            "tag --no-sign v1.0.0",
        ] {
            let done = Command::new("git").args(line.split(' ')).current_dir(&directory).status();
            assert!(done.unwrap().success(), "git {line}");
        }
    }

    fn smbench(&self, args: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smbench"));
        command.args(args).current_dir(self.project());
        command.env("SMBENCH_CACHE_DIR", self.0.path().join("cache"));
        let output = command.output().unwrap();
        // A loaded host may make the generator late (exit 5).
        let code = output.status.code();
        assert!([Some(0), Some(5)].contains(&code), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Returns the median time of a command in milliseconds. Calls `before` before each.
    fn median_ms(&self, args: &[&str], before: impl Fn()) -> f64 {
        median((0..TIMES).map(|_| self.time_ms(args, &before)).collect())
    }

    fn time_ms(&self, args: &[&str], before: impl Fn()) -> f64 {
        before();
        let began = Instant::now();
        self.smbench(args);
        began.elapsed().as_secs_f64() * 1e3
    }
}
