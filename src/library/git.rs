//! Runs the program `git` in such a way that nothing of a repository is executed, nothing is waited
//! for without a bound, and the user's own settings of credentials, proxies and SSH hold.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use walkdir::WalkDir;

use super::repository_url::without_secrets;
use crate::observability::text::printable;

/// Time limit of a command that only reads the cache.
pub(super) const SHORT: Duration = Duration::from_secs(60);
/// Time between two looks at a command that runs.
const LOOK: Duration = Duration::from_millis(50);
/// Time between two measurements of a directory that grows.
const MEASURE: Duration = Duration::from_millis(200);
/// Time that git has to end its own processes and to remove its temporary files.
const TO_END: Duration = Duration::from_secs(2);
/// Time for the rest of the output of a command that has ended. A process that git left behind,
/// such as a shared SSH connection, may keep the pipe open.
const TO_CLOSE: Duration = Duration::from_millis(500);
/// Maximum number of bytes of standard error that are kept. The last ones say why git failed.
const MAX_ERRORS: usize = 16 << 10;
/// Maximum number of lines of standard error that a message has.
const MAX_LINES: usize = 3;
/// Maximum number of characters of standard error that a message has.
const MAX_SHOWN: usize = 400;
/// Maximum number of files that a measurement counts.
const MAX_MEASURED: usize = 100_000;

/// Settings of every command. They come before those of the user.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.fsckObjects=false",
    "fetch.writeCommitGraph=false",
    "transfer.bundleURI=false",
    "transfer.fsckObjects=false",
    // A fetch makes one pack, whose size can be watched.
    "fetch.unpackLimit=1",
    "transfer.unpackLimit=1",
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.http.allow=always",
    "protocol.ssh.allow=always",
    "protocol.file.allow=always",
    "gc.auto=0",
    "maintenance.auto=false",
    "init.templateDir=",
    "init.defaultBranch=main",
    "advice.defaultBranchName=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
];

/// Variables that would lead git to another repository or to other rules.
const REMOVED: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_TEMPLATE_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_ATTR_SOURCE",
    "GIT_CONFIG",
    "GIT_DEFAULT_HASH",
    "GIT_DEFAULT_REF_FORMAT",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_PREFIX",
    "GIT_PROTOCOL_FROM_USER",
    "GIT_QUARANTINE_PATH",
    "GIT_REDIRECT_STDIN",
    "GIT_REDIRECT_STDOUT",
    "GIT_REDIRECT_STDERR",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
];

/// Variables of every command.
const SET: &[(&str, &str)] = &[
    ("LC_ALL", "C"),
    ("LANGUAGE", "C"),
    ("GIT_ALLOW_PROTOCOL", "https:http:ssh:file"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_FLUSH", "0"),
    // A small answer of a server can stand for an object that fills the memory.
    ("GIT_ALLOC_LIMIT", "1g"),
];

/// Variables with which nothing asks the user. An empty program is one that is not run.
const UNASKED: &[(&str, &str)] = &[
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", ""),
    ("SSH_ASKPASS", ""),
    ("SSH_ASKPASS_REQUIRE", "never"),
    ("GCM_INTERACTIVE", "never"),
];

/// The reason why a command of git failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    #[error("git is not installed, or not in PATH: install git 2.29 or a later version")]
    Missing,
    #[error("cannot run git: {0}")]
    NotRun(String),
    #[error("git did not end within {0} s, so it was ended")]
    TimedOut(u64),
    #[error("it is larger than {0}, the most that a repository may have")]
    TooLarge(String),
    #[error(
        "credentials are missing or were refused ({0}); set up a credential helper of git for HTTPS (git help credentials) or an SSH key for SSH, until git ls-remote can read the repository"
    )]
    Credentials(String),
    #[error(
        "the repository cannot be reached: {0}; check the URL and the network with git ls-remote"
    )]
    Unreachable(String),
    /// The server has no such reference, or serves no commit by its hash, or no shallow fetch.
    #[error("the server refuses it: {0}")]
    NotServed(String),
    #[error("git failed: {0}")]
    Failed(String),
}

/// A command of git.
pub(super) struct Call<'a> {
    /// The bare repository that it works in.
    pub repository: &'a Path,
    pub arguments: &'a [&'a OsStr],
    pub input: Vec<u8>,
    pub time: Duration,
    /// Maximum number of bytes of standard output. A command that writes more is ended.
    pub most: usize,
    /// Maximum size of the repository in bytes while the command runs.
    pub size: Option<u64>,
}

/// The standard output of a command that succeeded.
#[derive(Debug)]
pub(super) struct GitOutput {
    pub bytes: Vec<u8>,
    /// Whether the command was ended because it wrote more.
    pub truncated: bool,
}

/// The program, and whether it may ask the user.
#[derive(Debug)]
pub(super) struct Git {
    program: PathBuf,
    may_ask: bool,
    /// Whether the user has set a command for SSH in git's configuration.
    ssh_is_set: OnceLock<bool>,
}

impl Git {
    pub(super) fn new(may_ask: bool) -> Git {
        Git { program: "git".into(), may_ask, ssh_is_set: OnceLock::new() }
    }

    /// Runs a command and waits for its end.
    ///
    /// # Errors
    /// [`GitError`], with the last lines of standard error.
    pub(super) fn run(&self, call: &Call) -> Result<GitOutput, GitError> {
        let mut command = self.command(call.repository);
        if !self.may_ask && !self.has_ssh_command(call.repository) {
            command.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=30");
        }
        command.args(call.arguments);
        run(command, call)
    }

    /// Makes a bare repository at `place`, whose parent exists.
    ///
    /// # Errors
    /// [`GitError`].
    pub(super) fn init(&self, place: &Path, is_sha256: bool) -> Result<(), GitError> {
        let mut command = self.command(place);
        command.args(["init", "--quiet", "--bare", "--template="]);
        // Otherwise the user's configuration decides.
        let format = if is_sha256 { "sha256" } else { "sha1" };
        command.arg(format!("--object-format={format}"));
        let arguments = &[];
        let call = Call {
            repository: place,
            arguments,
            input: Vec::new(),
            time: SHORT,
            most: 1 << 10,
            size: None,
        };
        run(command, &call).map(drop)
    }

    fn command(&self, repository: &Path) -> Command {
        let mut command = Command::new(&self.program);
        for name in REMOVED {
            command.env_remove(name);
        }
        // Traces go to standard error, and may have secrets.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_TRACE") || name == "GIT_CURL_VERBOSE" {
                command.env_remove(name);
            }
        }
        command.envs(SET.iter().copied());
        if !self.may_ask {
            command.envs(UNASKED.iter().copied());
        }
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.arg("--no-pager").arg("--git-dir").arg(repository);
        command
    }

    fn has_ssh_command(&self, repository: &Path) -> bool {
        let is_set = |name| std::env::var_os(name).is_some();
        if is_set("GIT_SSH_COMMAND") || is_set("GIT_SSH") {
            return true;
        }
        *self.ssh_is_set.get_or_init(|| {
            let mut command = self.command(repository);
            command.args(["config", "--get", "core.sshCommand"]);
            let arguments = &[];
            let call = Call {
                repository,
                arguments,
                input: Vec::new(),
                time: SHORT,
                most: 64 << 10,
                size: None,
            };
            run(command, &call).is_ok()
        })
    }
}

/// Bytes of a pipe that is read on a thread of its own.
#[derive(Default)]
struct Pipe {
    bytes: Vec<u8>,
    truncated: bool,
}

type SharedPipe = Arc<Mutex<Pipe>>;

fn content(pipe: &SharedPipe) -> std::sync::MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a pipe to its end. `keep` takes what was read, and returns whether it is too much.
fn collect(
    mut from: impl Read + Send + 'static,
    closed: mpsc::Sender<()>,
    keep: impl Fn(&mut Pipe, &[u8]) + Send + 'static,
) -> SharedPipe {
    let pipe = SharedPipe::default();
    let own = pipe.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => keep(&mut content(&own), &buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // The command may have been given up already.
        let _ = closed.send(());
    });
    pipe
}

fn run(mut command: Command, call: &Call) -> Result<GitOutput, GitError> {
    let input = if call.input.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => GitError::Missing,
        _ => GitError::NotRun(error.to_string()),
    })?;
    let (closed, open) = mpsc::channel();
    if let Some(mut stdin) = child.stdin.take() {
        let bytes = call.input.clone();
        // A command that has ended does not read the rest.
        thread::spawn(move || stdin.write_all(&bytes));
    }
    let most = call.most;
    let output = child.stdout.take().map(|pipe| {
        collect(pipe, closed.clone(), move |pipe, read| {
            let room = most - pipe.bytes.len();
            pipe.bytes.extend_from_slice(&read[..read.len().min(room)]);
            pipe.truncated |= read.len() > room;
        })
    });
    let errors = child.stderr.take().map(|pipe| {
        collect(pipe, closed, |pipe, read| {
            pipe.bytes.extend_from_slice(read);
            let excess = pipe.bytes.len().saturating_sub(MAX_ERRORS);
            pipe.bytes.drain(..excess);
        })
    });
    let (Some(output), Some(errors)) = (output, errors) else {
        end(&mut child);
        return Err(GitError::NotRun("it has no output".into()));
    };
    let status = wait(&mut child, call, &open, &output)?;
    let closing = Instant::now();
    while let Some(rest) = TO_CLOSE.checked_sub(closing.elapsed()) {
        if open.recv_timeout(rest).is_err() {
            break;
        }
    }
    let mut output = std::mem::take(&mut *content(&output));
    if output.truncated || status.is_some_and(|status| status.success()) {
        let bytes = std::mem::take(&mut output.bytes);
        return Ok(GitOutput { bytes, truncated: output.truncated });
    }
    Err(classify(&String::from_utf8_lossy(&content(&errors).bytes)))
}

/// Waits until the command has ended. Returns None if it was ended because of its output.
fn wait(
    child: &mut Child,
    call: &Call,
    open: &mpsc::Receiver<()>,
    output: &SharedPipe,
) -> Result<Option<ExitStatus>, GitError> {
    let (began, mut measured) = (Instant::now(), Instant::now());
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                check_size(call)?;
                return Ok(Some(status));
            }
            Ok(None) => {}
            Err(error) => return Err(GitError::NotRun(error.to_string())),
        }
        if content(output).truncated {
            end(child);
            return Ok(None);
        }
        if began.elapsed() >= call.time {
            end(child);
            return Err(GitError::TimedOut(call.time.as_secs()));
        }
        if measured.elapsed() >= MEASURE {
            measured = Instant::now();
            check_size(call).inspect_err(|_| end(child))?;
        }
        if open.recv_timeout(LOOK) == Err(RecvTimeoutError::Disconnected) {
            // Both pipes are closed, so that the end is near.
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn check_size(call: &Call) -> Result<(), GitError> {
    match call.size {
        Some(most) if size_of(call.repository) > most => {
            Err(GitError::TooLarge(format!("{} MiB", most >> 20)))
        }
        _ => Ok(()),
    }
}

/// Returns the size of the files in a directory, in bytes. Files may come and go meanwhile.
pub(super) fn size_of(directory: &Path) -> u64 {
    let entries = WalkDir::new(directory).into_iter().take(MAX_MEASURED).flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Ends a command, first so that it can end its own processes.
fn end(child: &mut Child) {
    // The process exists until it is waited for, so that the number is still its own.
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < TO_END {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Returns the error that the text of standard error stands for.
fn classify(errors: &str) -> GitError {
    let has = |words: &[&str]| words.iter().any(|word| errors.contains(word));
    let message = message(errors);
    if has(&["unknown option `", "unknown switch `", "usage: git"]) {
        let problem = format!("{message}; install git 2.29 or a later version");
        GitError::Failed(problem)
    } else if has(&[
        "Authentication failed",
        "could not read Username",
        "could not read Password",
        "terminal prompts disabled",
        "Permission denied (",
        "Permission denied, please try again",
        "returned error: 401",
        "returned error: 403",
        "Access denied",
    ]) {
        GitError::Credentials(message)
    } else if has(&[
        "not our ref",
        "unadvertised object",
        "couldn't find remote ref",
        "dumb http transport",
        "does not support shallow",
        "shallow file has changed",
    ]) {
        GitError::NotServed(message)
    } else if has(&[
        "Could not resolve host",
        "Failed to connect",
        "Couldn't connect",
        "Could not connect",
        "Connection refused",
        "Connection timed out",
        "Connection reset",
        "Connection closed",
        "Network is unreachable",
        "No route to host",
        "Operation too slow",
        "unable to access",
        "Could not read from remote repository",
        "Host key verification failed",
        "early EOF",
        "the remote end hung up",
        "RPC failed",
        "does not appear to be a git repository",
        "not found",
    ]) {
        GitError::Unreachable(message)
    } else {
        GitError::Failed(message)
    }
}

/// Lines that say nothing about the reason.
const GENERAL: [&str; 4] = [
    "fatal: Could not read from remote repository.",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
    "fatal: the remote end hung up unexpectedly",
];

/// Returns the last lines of standard error in a form that is safe to show.
fn message(errors: &str) -> String {
    let without = without_secrets(errors);
    let lines: Vec<&str> = without
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("hint:"))
        // What git says after each failure of a server, whatever the reason is.
        .filter(|line| !GENERAL.contains(line))
        .map(|line| line.trim_end_matches('.'))
        .collect();
    let last = &lines[lines.len().saturating_sub(MAX_LINES)..];
    match last.is_empty() {
        true => "it gave no reason".into(),
        false => printable(&last.join("; "), MAX_SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Runs a shell script in place of git.
    fn run_script(script: &str, change: impl FnOnce(&mut Call)) -> Result<GitOutput, GitError> {
        let place = tempfile::tempdir().unwrap();
        let program = place.path().join("git");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let git = Git { program, may_ask: true, ssh_is_set: OnceLock::new() };
        let mut call = Call {
            repository: place.path(),
            arguments: &[],
            input: Vec::new(),
            time: SHORT,
            most: 1 << 20,
            size: None,
        };
        change(&mut call);
        git.run(&call)
    }

    #[test]
    fn a_missing_git_is_an_error_that_says_what_to_install() {
        let git =
            Git { program: "/no/such/git".into(), may_ask: true, ssh_is_set: OnceLock::new() };
        let place = tempfile::tempdir().unwrap();
        let problem = git.init(&place.path().join("new"), false).unwrap_err();
        assert_eq!(problem, GitError::Missing);
        assert!(problem.to_string().contains("install git"), "{problem}");
    }

    #[test]
    fn a_command_that_does_not_end_is_ended() {
        let ended = run_script("trap '' TERM; while :; do sleep 0.1; done", |call| {
            call.time = Duration::from_millis(200);
        });
        assert_eq!(ended.unwrap_err(), GitError::TimedOut(0));
    }

    #[test]
    fn output_is_bounded_and_both_pipes_are_read_at_once() {
        let endless = run_script("while :; do echo output; echo error >&2; done", |_| ()).unwrap();
        assert!(endless.truncated);
        assert_eq!(endless.bytes.len(), 1 << 20);
        let script = "i=0; while [ $i -lt 20000 ]; do echo error-$i >&2; i=$((i+1)); done; cat";
        let both = run_script(script, |call| call.input = vec![b'x'; 500_000]).unwrap();
        assert_eq!((both.bytes.len(), both.truncated), (500_000, false));
    }

    #[test]
    fn a_process_that_git_leaves_behind_is_not_waited_for() {
        let output = run_script("sleep 100 & echo $!", |_| ()).unwrap();
        let number: i32 = String::from_utf8(output.bytes).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(number).unwrap(), Signal::KILL).unwrap();
    }

    #[test]
    fn a_repository_that_grows_too_large_ends_git() {
        let script = "while [ \"$1\" != --git-dir ]; do shift; done; dd if=/dev/zero of=\"$2/pack\" bs=1M count=3 2>/dev/null; sleep 100";
        let large = run_script(script, |call| call.size = Some(2 << 20));
        assert_eq!(large.unwrap_err(), GitError::TooLarge("2 MiB".into()));
    }

    #[test]
    fn errors_are_told_apart_and_show_no_secret_and_no_control_sequence() {
        let failed = |text: &str| run_script(&format!("printf '{text}' >&2; exit 128"), |_| ());
        let problem = failed(
            "remote: one\\nremote: two\\nfatal: unable to access \"https://me:hush@host/x\": \\033[2JCould not resolve host: host\\n",
        );
        let Err(GitError::Unreachable(message)) = problem else { panic!("{problem:?}") };
        assert_eq!(
            message,
            r#"remote: one; remote: two; fatal: unable to access "https://host/x": \u{1b}[2JCould not resolve host: host"#
        );
        for (text, expected) in [
            ("fatal: Authentication failed for https://h/x", "credentials are missing"),
            ("fatal: could not read Username for https://h", "credentials are missing"),
            ("git@h: Permission denied (publickey).", "credentials are missing"),
            ("remote: upload-pack: not our ref 12", "the server refuses it"),
            ("fatal: bad object", "git failed: fatal: bad object"),
            ("", "git failed: it gave no reason"),
            ("error: unknown option `x", "install git 2.29"),
        ] {
            let problem = failed(text).unwrap_err().to_string();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        let problem = classify(&"long ".repeat(1_000)).to_string();
        assert!(problem.len() < 500, "{problem}");
    }

    #[test]
    fn variables_of_another_repository_do_not_reach_git() {
        let output = run_script("env", |_| ()).unwrap();
        let text = String::from_utf8(output.bytes).unwrap();
        assert!(text.contains("LC_ALL=C\n"), "{text}");
        assert!(!text.contains("GIT_TERMINAL_PROMPT"), "{text}");
        let git = Git::new(false);
        let command = git.command(Path::new("x"));
        let variables: Vec<_> = command.get_envs().collect();
        for name in REMOVED {
            assert!(variables.contains(&(OsStr::new(name), None)), "{name}");
        }
        for (name, value) in UNASKED {
            assert!(variables.contains(&(OsStr::new(name), Some(OsStr::new(value)))), "{name}");
        }
    }
}
