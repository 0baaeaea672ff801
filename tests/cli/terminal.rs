//! Output on a terminal: lines fit its width and break between words.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use smbench::observability::columns::width;

use crate::program::Place;

const COLUMNS: usize = 60;

/// A terminal of [`COLUMNS`].
pub struct Terminal {
    keyboard: File,
    name: String,
    /// The end of a program, which keeps the terminal open between two programs.
    program: File,
    written: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

impl Terminal {
    pub fn new() -> Terminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let program = opened(&name);
        let size = ["cols", &COLUMNS.to_string(), "rows", "40"];
        let sized = Command::new("stty").args(size).stdin(opened(&name)).status().unwrap();
        assert!(sized.success());
        let keyboard = File::from(keyboard);
        let (mut screen, written) = (keyboard.try_clone().unwrap(), Arc::<Mutex<_>>::default());
        let shown: Arc<Mutex<Vec<u8>>> = Arc::clone(&written);
        let reading = thread::spawn(move || {
            let mut chunk = [0; 4_096];
            // Reading ends with an error when the last process has closed the terminal.
            while let Ok(read @ 1..) = screen.read(&mut chunk) {
                shown.lock().unwrap().extend_from_slice(&chunk[..read]);
            }
        });
        Terminal { keyboard, name, program, written, reading }
    }

    /// Opens the end of a program.
    pub fn open(&self) -> File {
        opened(&self.name)
    }

    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Returns whether it reports whole lines and shows what is typed, as for a shell.
    pub fn is_for_lines(&self) -> bool {
        let modes = tcgetattr(&self.program).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Returns everything that was written so far.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).replace("\r\n", "\n")
    }

    /// Returns everything that was written, once no program has it open.
    pub fn end(self) -> String {
        drop(self.program);
        self.reading.join().unwrap();
        let written = self.written.lock().unwrap().clone();
        String::from_utf8(written).unwrap().replace("\r\n", "\n")
    }
}

fn opened(name: &str) -> File {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap().into()
}

/// Returns the output of a call on a terminal, without colors and progress lines.
fn shown(place: &Place, line: &str, code: i32) -> String {
    let terminal = Terminal::new();
    let call = place.smbench(line).env("NO_COLOR", "1");
    let call = call.stdout(terminal.open()).stderr(terminal.open());
    call.end().exits(code);
    terminal.end().rsplit("\x1b[2K").next().unwrap().to_string()
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn assert_fits(text: &str) {
    for line in text.lines() {
        // A word that is longer than the terminal has a line of its own.
        assert!(width(line) <= COLUMNS || words(line).len() == 1, "{line:?} in\n{text}");
    }
}

#[test]
fn prose_breaks_between_words_on_a_terminal_and_not_at_all_in_a_pipe() {
    let place = Place::with_script(
        "bench.workload { name = 'w', clients = 3, iteration = function(c) c:stat('') end }",
    );
    place.write("wrong.lua", "bench.workload { name = 'w', iterations = function(c) end }");
    for (line, code) in [
        ("validate s.lua", 0),
        ("targets list", 0),
        ("compile s.lua -o x.jsonl --operations 5 --force", 0),
        ("run s.lua --target smb://host --out out", 2),
        ("run wrong.lua --target sim --out out", 2),
        ("run s.lua --limit none", 2),
        ("compile s.lua -o -", 2),
    ] {
        let on_terminal = shown(&place, line, code);
        assert_fits(&on_terminal);
        let piped = place.smbench(line).end().exits(code);
        let piped = format!("{}{}", piped.stdout, piped.stderr);
        assert_eq!(words(&on_terminal), words(&piped), "{line}");
        if code == 0 || !line.contains("--limit") {
            let lines = |text: &str| text.lines().count();
            assert!(lines(&on_terminal) > lines(&piped), "{line}:\n{on_terminal}\n{piped}");
        }
    }
}

#[test]
fn a_report_and_a_probe_fit_a_narrow_terminal() {
    let place = Place::with_script(
        "bench.thresholds { 'stat.response.p99 < 20s' }
        for _, name in { '日本語のワークロード', 'e\\u{301}cole 🚀' } do
            bench.workload { name = name, iteration = function(c)
                c:stat('nowhere') c:stat('') c:think('1ms')
            end }
        end",
    );
    let report = shown(&place, "run s.lua --target sim --iterations 9 --out out --allow-late", 4);
    assert_fits(&report);
    let title = "workload 日本語のワークロード, 1 client: response times";
    assert!(report.contains(title), "{report}");
    assert!(report.contains("workload e\u{301}cole 🚀, 1 client: "), "{report}");
    let piped = place.run_to("piped", "s.lua --target sim --iterations 9").end().exits(4);
    assert!(piped.stdout.lines().any(|line| width(line) > COLUMNS), "{}", piped.stdout);
    assert_fits(&shown(&place, "targets probe sim", 0));
}

#[test]
fn connecting_counts_the_clients_of_the_script() {
    let place = Place::with_script(
        "bench.setup(function(c) c:stat('') end)
        bench.workload { name = 'w', clients = 8, iteration = function(c) c:stat('') end }",
    );
    let log = place.run("s.lua --target sim --iterations 1 -v").end().exits(0).stderr;
    assert!(log.contains(" INFO connecting 8 clients\n"), "{log}");
}
