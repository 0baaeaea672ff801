//! Lines of progress, which a command prints if standard error is not a terminal.

use serde_json::Value;

use crate::program::Place;

const SCRIPT: &str = r#"
bench.setup(function(c) c:mkdir("team") end)
bench.phases { { name = "ramp", duration = "3s" }, { name = "steady", duration = "9s" } }
bench.workload { name = "w", clients = 2, iteration = function(c)
    c:stat("team")
    c:stat("nowhere")
    c:stat("nowhere", { expect = "OBJECT_NAME_NOT_FOUND" })
    c:think("20ms")
end }
"#;

/// Returns a line of progress with each figure replaced by `#`.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' | '.' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            c => shape.push(c),
        }
    }
    shape
}

#[test]
fn a_run_in_a_pipe_says_every_five_seconds_what_it_does_and_with_quiet_nothing() {
    let place = Place::with_script(SCRIPT);
    let running = place.run_to("quiet", "s.lua --target sim --quiet").start();
    let ended = place.run_to("a", "s.lua --target sim").end().exits(4);
    assert!(ended.progress.len() >= 2, "{ended:#?}");
    for line in &ended.progress[..2] {
        assert_eq!(shape(line), "progress: # s, steady # s of # s, # ops/s, # failed", "{line}");
        assert!(!line.contains(", 0 ops/s") && !line.contains(", 0 failed"), "{line}");
    }
    assert_eq!(ended.stderr, "");
    let failed = |line: &str| -> u64 {
        line.rsplit_once(", ").unwrap().1.trim_end_matches(" failed").parse().unwrap()
    };
    let all = ended.summary()["totals"]["failed"].as_u64().unwrap();
    let (first, second) = (failed(&ended.progress[0]), failed(&ended.progress[1]));
    assert!(first < second && second <= all, "{first}, {second} of {all}");

    let quiet = running.end().exits(4);
    assert_eq!(quiet.progress, [""; 0]);
    assert_eq!(quiet.stderr, "exit code 4: operations-failed\n");
}

#[test]
fn each_line_of_progress_in_a_json_log_is_an_object_with_its_figures() {
    let place = Place::with_script(SCRIPT);
    let ended = place.run("s.lua --target sim --log-format json --duration 6s").end().exits(4);
    let lines: Vec<Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.iter().find(|line| line["target"] == "progress").expect("a line");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["fields"]["stage"], "steady");
    for key in ["elapsed_s", "operations", "operations_per_s", "failed"] {
        assert!(line["fields"][key].as_f64().unwrap() > 0.0, "{key} of {line}");
    }
}

#[test]
fn connecting_and_probing_say_how_far_they_are() {
    let place = Place::with_script(
        "bench.setup(function() end)
        bench.workload { name = 'w', clients = 8, iteration = function(c) c:stat('') end }",
    );
    // A server that accepts connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("smb://127.0.0.1:{}/share", silent.local_addr().unwrap().port());
    let run = place.run(&format!("s.lua --target {target} --connect-timeout 6s"));
    let ended = run.env("SMBENCH_PASSWORD", "x").end().exits(3);
    assert_eq!(ended.progress[0], "progress: 5.0 s, connecting 0 of 8 clients");

    let line = "targets probe sim?latency=200ms --jobs 1 --timeout 6s --json";
    let ended = place.smbench(line).end().exits(130);
    let shape = shape(&ended.progress[0]);
    assert!(shape.starts_with("progress: # s, probing # of # cases, "), "{shape}");
    let ended = place.smbench(&format!("{line} --quiet")).end().exits(130);
    assert_eq!(ended.progress, [""; 0]);
}

#[test]
fn compiling_says_how_much_is_written() {
    let place =
        Place::with_script("bench.workload { name = 'w', iteration = function(c) c:stat('') end }");
    // The command goes on until it is interrupted.
    let mut running = place
        .smbench("compile s.lua -o - --operations 18000000000")
        .stdout(std::process::Stdio::null())
        .start();
    let started = std::time::Instant::now();
    running.until("six seconds", || started.elapsed() > std::time::Duration::from_secs(6));
    running.signal(rustix::process::Signal::INT);
    let ended = running.end();
    assert_eq!(shape(&ended.progress[0]), "progress: # s, compiling s.lua (# MiB written)");
    assert!(!ended.progress[0].contains("(0.0 MiB"), "{ended:?}");
}
