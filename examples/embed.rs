//! Runs a script from a Rust program and prints a few numbers of its summary.
//!
//! `cargo run --example embed` needs no server: the target is the simulator, whose answers take
//! 2 ms. With `smb://user@host/share` and `RunOptions::password` it is a real one.

use std::error::Error;

use smbench::backend::registry::Target;
use smbench::ir::OperationType;
use smbench::run::{Input, RunOptions, run};
use smbench::script::ScriptOptions;

/// Each client makes a directory, and then writes and reads a file in it ten times.
const SCRIPT: &str = r#"
local P = bench.params { size = { type = "size", default = "4KiB" } }

bench.workload {
    name = "editors",
    clients = 4,
    setup = function(c)
        c:mkdir("editor" .. c.id)
    end,
    iteration = function(c, rng)
        local h = c:open("editor" .. c.id .. "/a.txt", "rw")
        c:write(h, 0, P.size)
        c:read(h, 0, P.size)
        c:close(h)
    end,
}
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("editors.lua");
    std::fs::write(&path, SCRIPT)?;

    let input = Input::Script(ScriptOptions {
        location: path.into(),
        params: vec![("size".into(), "64KiB".into())],
        iterations: Some(10),
        ..ScriptOptions::default()
    });
    let options = RunOptions {
        out: Some(directory.path().join("results")),
        ..RunOptions::new(Target::parse("sim?latency=2ms")?)
    };
    // An error says that nothing was measured. Operations that failed are in the summary.
    let outcome = run(&input, &options)?;

    let summary = outcome.summary;
    println!("{} operations, {} failed", summary.totals.operations, summary.totals.counts.failed);
    println!("{} bytes written", summary.totals.bytes_written);
    if let Some(times) = summary.operations.get(&OperationType::Read).and_then(|of| of.response_us)
    {
        println!("read: p50 {:.1} ms", times.tail.p50 / 1e3);
    }
    println!("trust: {}", summary.trust.verdict.name());
    Ok(())
}
