//! Calls of the program, and the checks of every call.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde_json::Value;
use smbench_test_support::Samba;
use tempfile::TempDir;

use crate::{formats, summary};

/// Longest time of a call, on a busy host too. The longest calls wait for the 35 s of a server.
pub const BOUND: Duration = Duration::from_secs(120);

/// Longest wait for a line of a running call.
const LINE_BOUND: Duration = Duration::from_secs(60);

/// Longest time from the end of a call of `smbench lib` to the end of git's processes.
const GROUP_BOUND: Duration = Duration::from_secs(10);

/// Strings that no message may hold: signs of a panic or of Rust, and secrets.
const NEVER: [&str; 20] = [
    "panicked",
    "RUST_BACKTRACE",
    "Err(",
    "Ok(",
    "Some(",
    "None",
    "unwrap",
    ".rs:",
    "smbench::",
    "core::",
    "std::",
    "tokio",
    "mlua",
    "anyhow",
    "serde",
    "stack traceback",
    "\u{1b}",
    "hunter2",
    "a fault in smbench",
    Samba::PASSWORD,
];

/// A directory to call the program in. It is removed with the value.
pub struct Place {
    directory: TempDir,
}

impl Place {
    pub fn new() -> Place {
        let directory = tempfile::Builder::new().prefix("smbench-cli-").tempdir().unwrap();
        fs::create_dir(directory.path().join("work")).unwrap();
        fs::create_dir(directory.path().join("tmp")).unwrap();
        Place { directory }
    }

    /// Makes a place that holds the script `s.lua`.
    pub fn with_script(text: &str) -> Place {
        let place = Place::new();
        place.write("s.lua", text);
        place
    }

    /// Returns the directory in which the program is called.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// Returns the lines of the operation log in the directory `out`.
    pub fn oplog(&self, out: &str) -> Vec<Value> {
        let log = self.read(&format!("{out}/ops.jsonl"));
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Makes a call of `smbench` with the arguments of `line`, which blanks separate.
    pub fn smbench(&self, line: &str) -> Call {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smbench"));
        command
            .args(line.split_whitespace())
            .env_clear()
            .env("TMPDIR", self.directory.path().join("tmp"))
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Call { command, temporary: self.directory.path().join("tmp"), work: self.path(), out: None }
    }

    /// Makes a call of `smbench run` with results in `out`, which accepts that the host is too slow
    /// for the run.
    pub fn run(&self, line: &str) -> Call {
        self.run_to("out", line)
    }

    pub fn run_to(&self, out: &str, line: &str) -> Call {
        self.judged(&format!("{line} --allow-late"), out)
    }

    /// Makes a call of `smbench run` that exits with 5 if the generator was late.
    pub fn judged(&self, line: &str, out: &str) -> Call {
        let mut call = self.smbench(&format!("run {line} --out {out}"));
        call.out = Some(self.path().join(out));
        call
    }

    /// Returns the names of everything in the directory, sorted.
    pub fn names(&self) -> Vec<String> {
        names(&self.path())
    }
}

pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into()).collect();
    names.sort();
    names
}

pub struct Call {
    command: Command,
    temporary: PathBuf,
    work: PathBuf,
    out: Option<PathBuf>,
}

impl Call {
    pub fn arg(mut self, arg: impl Into<OsString>) -> Call {
        self.command.arg(arg.into());
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Call {
        self.command.env(name, value.into());
        self
    }

    pub fn samba(self) -> Call {
        self.env("SMBENCH_PASSWORD", Samba::PASSWORD)
    }

    /// Limits the program to `files` open files; it cannot raise this limit.
    pub fn with_open_files(self, files: u32) -> Call {
        self.limited(&format!("ulimit -n {files}"))
    }

    /// Limits each file to `blocks` times 512 bytes. A write beyond that fails as on a full disk.
    pub fn with_file_size(self, blocks: u32) -> Call {
        self.limited(&format!("ulimit -f {blocks}"))
    }

    /// Starts the program with SIGHUP ignored, as nohup(1) does.
    pub fn ignoring_hangups(self) -> Call {
        self.limited("trap '' HUP")
    }

    /// Calls the shell's `commands` after the program, and exits as the program does.
    pub fn then(self, commands: &str) -> Call {
        self.shell(&format!("\"$0\" \"$@\"; code=$?; {commands}; exit $code"))
    }

    /// Mounts a file system of `bytes` bytes at `directory` in the place, which no other process
    /// sees.
    /// Returns None if the system does not allow it.
    pub fn with_disk(mut self, directory: &str, bytes: u32) -> Option<Call> {
        let mount = format!("mount -t tmpfs -o size={bytes} none {directory}");
        let can = |flags: &&str| {
            let mut command = Command::new("unshare");
            command.args([flags, "/bin/sh", "-c", &mount]).current_dir(&self.work);
            command.output().is_ok_and(|output| output.status.success())
        };
        // Root needs no user namespace, and the system may allow none.
        let Some(flags) = ["-Urm", "-m"].into_iter().find(can) else {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no mount namespaces on CI");
            eprintln!("!! skipped: unshare(1) can mount no tmpfs here");
            return None;
        };
        self = self.limited(&mount);
        let mut unshare = Command::new("unshare");
        unshare.arg(flags).arg(self.command.get_program()).args(self.command.get_args());
        self.command = like(&self.command, unshare);
        Some(self)
    }

    fn limited(self, limits: &str) -> Call {
        self.shell(&format!("{limits} && exec \"$0\" \"$@\""))
    }

    fn shell(mut self, commands: &str) -> Call {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(commands).arg(self.command.get_program()).args(self.command.get_args());
        self.command = like(&self.command, shell);
        self
    }

    pub fn within(mut self, directory: &str) -> Call {
        self.command.current_dir(directory);
        self
    }

    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Call {
        self.command.stdin(stdin);
        self
    }

    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Call {
        self.command.stdout(stdout);
        self
    }

    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Call {
        self.command.stderr(stderr);
        self
    }

    pub fn start(mut self) -> Running {
        let before = formats::results(&self.work);
        let starts_git = self.command.get_args().next().is_some_and(|command| command == "lib");
        let mut child = self.command.process_group(0).spawn().unwrap();
        Running {
            group: Group(Some(Pid::from_child(&child))),
            stdout: read(child.stdout.take()),
            stderr: read(child.stderr.take()),
            child,
            temporary: self.temporary,
            before,
            work: self.work,
            out: self.out,
            started: Instant::now(),
            bound: BOUND,
            starts_git,
        }
    }

    /// Starts the program and waits for its end.
    pub fn end(self) -> Ended {
        self.start().end()
    }
}

/// Returns `wrapper` with the environment and the directory of `command`.
fn like(command: &Command, mut wrapper: Command) -> Command {
    wrapper.env_clear().current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        wrapper.env(name, value.unwrap());
    }
    wrapper.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wrapper
}

/// A running call. Dropping it kills the program.
pub struct Running {
    child: Child,
    group: Group,
    stdout: Output,
    stderr: Output,
    temporary: PathBuf,
    /// Results that existed before the call.
    before: Vec<PathBuf>,
    work: PathBuf,
    out: Option<PathBuf>,
    started: Instant,
    bound: Duration,
    starts_git: bool,
}

/// The process group of a call, until the call is known to have ended.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Running {
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets the call last longer than others.
    pub fn lasts(&mut self, bound: Duration) {
        self.bound = bound;
    }

    /// Returns the directory for temporary files of the call.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    pub fn signal(&self, signal: Signal) {
        kill_process_group(self.group.0.unwrap(), signal).unwrap();
    }

    /// Sends a signal once more, after a pause, so that the program does not take it for the same
    /// one.
    pub fn signal_again(&self, signal: Signal) {
        std::thread::sleep(Duration::from_millis(200));
        self.signal(signal);
    }

    /// Waits until `done` returns true. Panics if the program ends before.
    pub fn until(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        while !done() {
            if let Some(ended) = self.child.try_wait().unwrap() {
                self.group.0 = None;
                panic!("ended before {what}: {ended:?}");
            }
            let bound = self.bound;
            assert!(self.started.elapsed() < bound, "no {what} within {bound:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for a line on standard error that `wanted` accepts. Skips the first `from` lines, and
    /// returns the line and the number of lines up to it.
    pub fn line(
        &mut self,
        what: &str,
        from: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> (String, usize) {
        let stderr = self.stderr.bytes.clone();
        let written = || String::from_utf8_lossy(&stderr.lock().unwrap()).into_owned();
        let limit = Instant::now() + LINE_BOUND;
        let mut found = None;
        self.until(what, || {
            let written = written();
            assert!(Instant::now() < limit, "no {what} within {LINE_BOUND:?}:\n{written}");
            let whole = written.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let mut lines = whole.map(str::trim_end).enumerate().skip(from);
            found = lines.find(|(_, line)| wanted(line)).map(|(at, line)| (line.into(), at + 1));
            found.is_some()
        });
        found.unwrap()
    }

    pub fn end(mut self) -> Ended {
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if self.started.elapsed() < self.bound => {}
                None => {
                    drop(self.group);
                    let _ = self.child.wait();
                    let (out, err) = (self.stdout.end(), self.stderr.end());
                    panic!("not ended within {:?}\n{out}\n{err}", self.bound);
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let group = self.group.0.take().unwrap();
        let patience = if self.starts_git { GROUP_BOUND } else { Duration::ZERO };
        assert!(ends_within(patience, group), "a process was left behind");
        let written = self.stderr.end();
        let is_progress = |line: &&str| line.starts_with("progress: ");
        let ended = Ended {
            code: status.code().unwrap_or(-status.signal().unwrap_or_default()),
            stdout: self.stdout.end(),
            stderr: written.split_inclusive('\n').filter(|line| !is_progress(line)).collect(),
            progress: written.lines().filter(is_progress).map(String::from).collect(),
            work: self.work,
            out: self.out,
        };
        ended.check(&self.temporary, &self.before);
        ended
    }
}

/// Returns whether all processes of a group end. A git that fails does not wait for the end of its
/// own helper, and the system removes that one a moment later.
fn ends_within(patience: Duration, group: Pid) -> bool {
    let limit = Instant::now() + patience;
    while test_kill_process_group(group).is_ok() {
        if Instant::now() >= limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Standard output or standard error of a running call.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Output {
    /// Waits until the program has closed it, and returns all of it.
    fn end(self) -> String {
        self.reader.join().unwrap();
        let bytes = std::mem::take(&mut *self.bytes.lock().unwrap());
        String::from_utf8(bytes).expect("output is UTF-8")
    }
}

fn read(stream: Option<impl Read + Send + 'static>) -> Output {
    let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
    let read = bytes.clone();
    let reader = std::thread::spawn(move || {
        let Some(mut stream) = stream else { return };
        let mut buffer = [0; 8192];
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => return,
                length => read.lock().unwrap().extend_from_slice(&buffer[..length]),
            }
        }
    });
    Output { bytes, reader }
}

/// A call that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code, or the negative number of the signal that ended the program.
    pub code: i32,
    pub stdout: String,
    /// Standard error without lines of progress, which a call prints after more than five seconds.
    pub stderr: String,
    pub progress: Vec<String>,
    work: PathBuf,
    out: Option<PathBuf>,
}

impl Ended {
    /// Checks what must hold for every call.
    fn check(&self, temporary: &Path, before: &[PathBuf]) {
        // JSON lines name the module that wrote them.
        let stderr = self.stderr.replace("\"target\":\"smbench::", "");
        let progress = self.progress.concat();
        for word in NEVER {
            let texts = [&self.stdout, &stderr, &progress];
            let found = texts.into_iter().any(|text| text.contains(word));
            assert!(!found, "{word:?} in {self:#?}");
        }
        assert_eq!(names(temporary), [""; 0], "temporary files are left");
        let is_left = |name: &String| {
            // Libraries and the aliases for editors are there to stay.
            name.starts_with('.') && ![".smbench", ".luaurc"].contains(&&**name)
        };
        let hidden = names(&self.work).into_iter().filter(is_left);
        assert_eq!(hidden.collect::<Vec<_>>(), [""; 0], "half-written files are left");
        for path in formats::results(&self.work).iter().filter(|path| !before.contains(path)) {
            formats::check_results(path, self.code < 0);
        }
        formats::check_output(&self.stdout);
    }

    /// Checks the exit code and returns the call.
    pub fn exits(self, code: i32) -> Ended {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Checks that the call was refused before anything was done: with this exit code, nothing on
    /// standard output, one error, and no results. Returns the error message.
    pub fn refused(self, code: i32) -> String {
        let ended = self.exits(code);
        assert_eq!(ended.stdout, "");
        if let Some(out) = &ended.out {
            assert!(!out.exists(), "a results directory is left");
        }
        assert!(!ended.work.join("results").exists(), "a results directory is left");
        let lines: Vec<&str> = ended.stderr.lines().filter(|line| !is_log(line)).collect();
        match lines[..] {
            [line] => line.strip_prefix("error: ").unwrap_or_else(|| panic!("{line}")).into(),
            _ => panic!("not one error: {ended:#?}"),
        }
    }

    /// Checks that the run took place but ended early: with this exit code, results and one
    /// problem. Returns the problem and the summary.
    pub fn broke_off(self, code: i32) -> (String, Value) {
        let ended = self.exits(code);
        let summary = ended.summary();
        let problems = summary["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let problem = problems[0].as_str().unwrap().to_string();
        assert!(ended.stdout.contains(&format!("error: {problem}\n")), "{ended:#?}");
        (problem, summary)
    }

    /// Returns the summary that the run wrote, after checking that it is consistent.
    pub fn summary(&self) -> Value {
        let out = self.out.as_ref().expect("a run");
        let oplog = out.join("ops.jsonl").exists();
        let files: &[&str] = if oplog { &["ops.jsonl", "summary.json"] } else { &["summary.json"] };
        assert_eq!(names(out), files);
        let text = fs::read_to_string(out.join("summary.json")).unwrap();
        assert!(!text.contains(Samba::PASSWORD) && !text.contains("hunter2"));
        let summary: Value = serde_json::from_str(&text).unwrap();
        summary::check(&summary);
        assert_eq!(summary.get("oplog").is_some(), oplog);
        assert_eq!(summary["exit_code"], self.code);
        summary
    }
}

fn is_log(line: &str) -> bool {
    line.starts_with(" WARN ") || line.starts_with("warning: ")
}
