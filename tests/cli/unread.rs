//! Standard error that nobody reads: a full pipe, or a stopped terminal.

use std::fs::File;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

use rustix::io::ioctl_fionbio;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::program::Place;

const SCRIPT: &str = "bench.workload { name = 'w', clients = 200,
    iteration = function(c) c:stat('', { expect = 'any' }) c:think('1ms') end }";

/// Makes a full pipe.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    fill(&mut writer);
    (reader, writer)
}

/// Writes until a blocking write would wait for a reader.
fn fill(writer: &mut (impl Write + AsFd)) {
    ioctl_fionbio(&*writer, true).unwrap();
    loop {
        match writer.write(&[b'-'; 4_096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    ioctl_fionbio(&*writer, false).unwrap();
}

#[test]
fn a_run_whose_log_nobody_reads_ends_as_any_other_and_says_what_was_dropped() {
    let place = Place::with_script(SCRIPT);
    for (out, level) in [("a", "debug"), ("b", "trace")] {
        let (unread, writer) = pipe().unwrap();
        let line = "s.lua --duration 500ms --log-format json";
        let call = place.run_to(out, line).env("SMBENCH_LOG", level).stderr(writer);
        let ended = call.end().exits(0);
        let notes = ended.summary()["notes"].to_string();
        let dropped = "lines for standard error that were dropped because they were not read";
        assert!(notes.contains(dropped), "{level}: {notes}");
        assert!(ended.stdout.contains(&format!("note: {dropped}")), "{}", ended.stdout);
        drop(unread);
    }
}

#[test]
fn output_that_nobody_reads_delays_neither_clients_nor_hooks() {
    let place = Place::with_script(
        "local text = ('x'):rep(1000)
        bench.workload { name = 'w', iteration = function(c) print(text) c:stat('') end }
        bench.on_complete(function() print(text) end)
        bench.on_end(function() print(text) end)",
    );
    let (_unread, writer) = full_pipe();
    let call = place.run("s.lua --target sim --iterations 2000").stderr(writer);
    let summary = call.end().exits(0).summary();
    assert_eq!(summary["totals"]["operations"], 2_000);
    assert_eq!(summary["trust"]["hook_events_dropped"], 0);
}

#[test]
fn a_run_that_fails_exits_as_usual_where_nobody_reads_why() {
    let place = Place::with_script(SCRIPT);
    place.write(
        "boom.lua",
        "bench.workload { name = 'w', iteration = function(c) error('boom') end }",
    );
    for (line, code) in [
        ("run boom.lua --target sim --quiet", 2),
        ("run s.lua --target smb://127.0.0.1:1/share", 3),
        ("targets probe smb://127.0.0.1:1/share", 3),
    ] {
        let (_unread, writer) = full_pipe();
        place.smbench(line).stderr(writer).end().exits(code);
    }
}

#[test]
fn messages_at_the_end_follow_the_log_and_are_never_dropped() {
    let place = Place::with_script(
        "bench.workload { name = 'w', iteration = function(c)
            if c.iteration == 1200 then error('boom') end
            c:stat('')
        end }
        bench.on_complete(function() print(('x'):rep(700)) end)",
    );
    let ended = place.run("s.lua --target sim --quiet").end().exits(2);
    assert!(ended.stderr.starts_with("xxx"));
    assert!(ended.stderr.ends_with("error: s.lua:2: boom (client w/0)\n"));
}

#[test]
fn a_terminal_that_was_stopped_holds_nothing_up() {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let place = Place::with_script(SCRIPT);
    for (out, line) in [("a", "--target sim --duration 1s"), ("b", "--duration 500ms -vv")] {
        let mut screen = File::options().read(true).write(true).open(&name).unwrap();
        fill(&mut screen);
        let call = place.run_to(out, &format!("s.lua {line}")).env("NO_COLOR", "1");
        call.stderr(screen).end().exits(0).summary();
    }
}

#[test]
fn the_progress_line_on_a_terminal_is_drawn_and_removed() {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let screen = File::options().read(true).write(true).open(&name).unwrap();
    let place = Place::with_script(SCRIPT);
    let running = place.run("s.lua --target sim --duration 1s").stderr(screen).start();
    let reading = thread::spawn(move || {
        let (mut terminal, mut shown) = (File::from(terminal), Vec::new());
        // Reading ends with an error when the last process has closed the terminal.
        let _ = terminal.read_to_end(&mut shown);
        String::from_utf8(shown).unwrap()
    });
    running.end().exits(0);
    let shown = reading.join().unwrap();
    assert!(shown.contains(" of 1.0 s  "), "{shown:?}");
    assert!(shown.ends_with("\r\x1b[2K"), "{shown:?}");
}

/// The variable that is set in the process that panics.
const PANICS: &str = "SMBENCH_TEST_PANICS";

#[test]
fn the_message_of_a_panic_reaches_standard_error_even_if_the_process_aborts() {
    if std::env::var_os(PANICS).is_some() {
        smbench::observability::standard_error::never_wait();
        let thread = thread::Builder::new().name("shard-7".into());
        let panicked = thread.spawn(|| panic!("as the test wants it")).unwrap().join();
        assert!(panicked.is_err());
        std::process::abort();
    }
    let this = "unread::the_message_of_a_panic_reaches_standard_error_even_if_the_process_aborts";
    let run = |unread: Stdio| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", this, "--nocapture"]).env(PANICS, "1").stdout(Stdio::null());
        command.stderr(unread).spawn().unwrap().wait_with_output().unwrap()
    };
    let reported = String::from_utf8(run(Stdio::piped()).stderr).unwrap();
    assert!(reported.contains("thread 'shard-7' panicked at "), "{reported}");
    assert!(reported.contains("as the test wants it"), "{reported}");
    let (_unread, writer) = full_pipe();
    assert!(!run(writer.into()).status.success());
}
