//! The keys of a watched run on a terminal: `r` reloads now, and `q` ends the run.

use std::future::pending;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

use crate::observability::standard_error;

/// A key that means something to a watched run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchKey {
    /// `r`: reload now, whether or not a file has changed.
    Reload,
    /// `q`: end the run as at its planned end.
    Quit,
}

/// The time between two checks of the terminal's mode. A shell sets it anew when it brings the
/// program to the foreground, and does not always send a signal.
const CHECK: Duration = Duration::from_secs(1);
const CHUNK_BYTES: usize = 256;
/// The number of chunks that are read at a time, of a text that was pasted.
const MAX_CHUNKS: usize = 16;

/// The keys that are typed on the terminal, which reports each at once and does not show it. Ctrl-C
/// and Ctrl-Z remain signals.
///
/// The mode that the terminal had is set again when this is dropped. A signal that ends the program
/// without that, such as that of Ctrl-\, leaves it to the shell, and so does Ctrl-Z.
#[derive(Debug)]
pub struct Keys {
    terminal: AsyncFd<OwnedFd>,
    /// The mode to set again at the end. None if it was never changed.
    original: Option<Termios>,
    /// The keys that were typed and not yet returned. A key that is typed twice counts once.
    reload: bool,
    quit: bool,
    check_at: Instant,
}

impl Keys {
    /// Starts to listen, within the context of a runtime. Returns None unless standard input and
    /// standard error are terminals.
    pub fn listen() -> Option<Keys> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || !standard_error::is_terminal() {
            return None;
        }
        // Not one of the three standard files, so that it can be closed.
        let terminal = fcntl_dupfd_cloexec(&stdin, 3).ok()?;
        Keys::on(terminal).ok()
    }

    fn on(terminal: OwnedFd) -> io::Result<Keys> {
        // The descriptor of an `OwnedFd` stays the same as long as `AsyncFd` has it.
        #[expect(deprecated, reason = "this crate has no unsafe code, which the new function is")]
        let terminal = AsyncFd::with_interest(terminal, Interest::READABLE)?;
        let check_at = Instant::now() + CHECK;
        let mut keys = Keys { terminal, original: None, reload: false, quit: false, check_at };
        keys.set_mode();
        Ok(keys)
    }

    /// Sets the mode of the terminal again, after the program was stopped and continued.
    pub fn continued(&mut self) {
        self.set_mode();
    }

    /// Waits for a key that means something. No key is lost if the future is dropped.
    pub async fn next(&mut self) -> WatchKey {
        loop {
            if std::mem::take(&mut self.quit) {
                return WatchKey::Quit;
            }
            if std::mem::take(&mut self.reload) {
                return WatchKey::Reload;
            }
            tokio::select! {
                ready = self.terminal.readable() => match ready {
                    Ok(mut ready) => {
                        let (read, drained) = read_keys(&self.terminal);
                        if drained {
                            ready.clear_ready();
                        }
                        for key in read {
                            match key {
                                WatchKey::Reload => self.reload = true,
                                WatchKey::Quit => self.quit = true,
                            }
                        }
                    }
                    Err(_) => pending().await,
                },
                () = sleep_until(self.check_at) => {
                    self.check_at = Instant::now() + CHECK;
                    self.set_mode();
                }
            }
        }
    }

    /// Makes the terminal report each key at once, unless it does already or this program is in the
    /// background, where the system would stop it for that.
    fn set_mode(&mut self) {
        let terminal = self.terminal.as_fd();
        if !is_foreground(terminal) {
            return;
        }
        let Ok(current) = tcgetattr(terminal) else { return };
        if is_ours(&current) {
            return;
        }
        let mut ours = current.clone();
        ours.local_modes.remove(LINES);
        // A read returns at once, with what there is.
        ours.special_codes[SpecialCodeIndex::VMIN] = 0;
        ours.special_codes[SpecialCodeIndex::VTIME] = 0;
        // Without waiting for output: Ctrl-S may have stopped it.
        if tcsetattr(terminal, OptionalActions::Now, &ours).is_ok() {
            self.original = Some(current);
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let terminal = self.terminal.as_fd();
        // In the background the terminal is another program's, and its shell has set the mode.
        if let Some(original) = self.original.take().filter(|_| is_foreground(terminal)) {
            // There is nothing to do about a terminal that was closed.
            let _ = tcsetattr(terminal, OptionalActions::Now, &original);
        }
    }
}

/// The modes in which a terminal collects a line before it reports it, and shows what is typed.
const LINES: LocalModes = LocalModes::ICANON.union(LocalModes::ECHO);

fn is_ours(mode: &Termios) -> bool {
    !mode.local_modes.intersects(LINES) && mode.special_codes[SpecialCodeIndex::VMIN] == 0
}

/// Returns whether this program may use the terminal: its process group is in the foreground, or
/// the terminal does not control its processes.
fn is_foreground(terminal: impl AsFd) -> bool {
    match tcgetpgrp(terminal) {
        Ok(group) => group == getpgrp(),
        Err(error) => error == Errno::NOTTY,
    }
}

/// Returns the keys that were typed, and whether there are no more of them for now. Reads nothing
/// in the background, where what is typed is for another program.
fn read_keys(terminal: &AsyncFd<OwnedFd>) -> (Vec<WatchKey>, bool) {
    let mut keys = Vec::new();
    let mut chunk = [0; CHUNK_BYTES];
    for _ in 0..MAX_CHUNKS {
        let ours = is_foreground(terminal) && tcgetattr(terminal).is_ok_and(|mode| is_ours(&mode));
        // The check that is due next sets the mode. A read in the shell's mode could block.
        let read = if ours { rustix::io::read(terminal, &mut chunk) } else { Ok(0) };
        match read {
            Ok(0) => return (keys, true),
            Ok(read) => keys.extend(chunk[..read].iter().filter_map(|byte| key(*byte))),
            Err(Errno::INTR) => {}
            Err(_) => return (keys, true),
        }
    }
    (keys, false)
}

fn key(byte: u8) -> Option<WatchKey> {
    match byte {
        b'r' | b'R' => Some(WatchKey::Reload),
        b'q' | b'Q' => Some(WatchKey::Quit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    use futures_util::FutureExt as _;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use tokio::runtime::{Builder, Runtime};
    use tokio::time::timeout;

    use super::*;

    const BOUND: Duration = Duration::from_secs(20);

    /// Returns both ends of a new terminal: that of the screen and the keyboard, and that of the
    /// program.
    fn terminal() -> (File, File) {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let program = rustix::fs::open(
            name,
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY,
            rustix::fs::Mode::empty(),
        );
        (keyboard.into(), program.unwrap().into())
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    async fn next(keys: &mut Keys) -> WatchKey {
        timeout(BOUND, keys.next()).await.expect("a key")
    }

    #[test]
    fn keys_are_reported_at_once_and_the_mode_of_the_terminal_comes_back() {
        let (mut keyboard, program) = terminal();
        let before = tcgetattr(&program).unwrap().local_modes;
        assert!(before.contains(LINES));
        runtime().block_on(async {
            let mut keys = Keys::on(program.try_clone().unwrap().into()).unwrap();
            let during = tcgetattr(&program).unwrap().local_modes;
            assert!(!during.intersects(LINES) && during.contains(LocalModes::ISIG));
            for (typed, key) in
                [("r", WatchKey::Reload), ("xx\x1b[A q", WatchKey::Quit), ("R", WatchKey::Reload)]
            {
                keyboard.write_all(typed.as_bytes()).unwrap();
                assert_eq!(next(&mut keys).await, key);
            }
            assert_eq!(keys.next().now_or_never(), None);
            drop(keys);
        });
        assert_eq!(tcgetattr(&program).unwrap().local_modes, before);
    }

    #[test]
    fn a_key_that_is_typed_often_counts_once_and_the_end_comes_first() {
        let (mut keyboard, program) = terminal();
        runtime().block_on(async {
            let mut keys = Keys::on(program.into()).unwrap();
            keyboard.write_all(b"rrrrq").unwrap();
            assert_eq!(next(&mut keys).await, WatchKey::Quit);
            assert_eq!(next(&mut keys).await, WatchKey::Reload);
            assert_eq!(keys.next().now_or_never(), None);
        });
    }

    #[test]
    fn the_mode_is_set_again_after_a_shell_has_set_its_own() {
        let (mut keyboard, program) = terminal();
        let shell = tcgetattr(&program).unwrap();
        runtime().block_on(async {
            let mut keys = Keys::on(program.try_clone().unwrap().into()).unwrap();
            let set_by_shell = || tcsetattr(&program, OptionalActions::Now, &shell).unwrap();
            set_by_shell();
            keys.continued();
            keyboard.write_all(b"r").unwrap();
            assert_eq!(next(&mut keys).await, WatchKey::Reload);
            // No signal comes where a job that ran in the background is brought to the front.
            set_by_shell();
            keys.check_at = Instant::now();
            let began = Instant::now();
            while !is_ours(&tcgetattr(&program).unwrap()) {
                assert!(began.elapsed() < BOUND, "the mode is not set again");
                let _ = timeout(Duration::from_millis(5), keys.next()).await;
            }
        });
        assert_eq!(tcgetattr(&program).unwrap().local_modes, shell.local_modes);
    }

    #[test]
    fn a_panic_restores_the_mode_too() {
        let (_keyboard, program) = terminal();
        let panicked = std::panic::catch_unwind(|| {
            let runtime = runtime();
            let _context = runtime.enter();
            let _keys = Keys::on(program.try_clone().unwrap().into()).unwrap();
            assert!(!is_ours(&tcgetattr(&program).unwrap()), "the mode is set");
        });
        assert!(panicked.is_err());
        assert!(tcgetattr(&program).unwrap().local_modes.contains(LINES));
    }

    /// The program of the test below: it listens on its controlling terminal, as a job of a shell.
    #[test]
    #[ignore = "is started by another test"]
    fn listens_as_a_job() {
        let runtime = runtime();
        let _context = runtime.enter();
        let stdin = io::stdin();
        let keys = Keys::on(fcntl_dupfd_cloexec(&stdin, 3).unwrap()).unwrap();
        let ours = is_ours(&tcgetattr(&stdin).unwrap());
        let read = read_keys(&keys.terminal).0;
        println!("in the foreground: {}, set: {ours}, read: {read:?}", is_foreground(&stdin));
    }

    #[test]
    fn a_job_in_the_background_is_not_stopped_and_leaves_the_terminal_alone() {
        let (mut keyboard, program) = terminal();
        keyboard.write_all(b"r\n").unwrap();
        let test = "run::keys::tests::listens_as_a_job";
        // With -m each job of the shell is a process group of its own.
        let jobs = "set -m; \"$@\" <&3 & wait $!; echo ended: $?; \"$@\"; echo ended: $?";
        let mut shell = Command::new("timeout")
            .args(["20", "setsid", "--ctty", "--wait", "sh", "-c"])
            .arg(format!("exec 3<&0; {jobs}"))
            .arg("sh")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .stdin(Stdio::from(program))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        shell.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        shell.wait().unwrap();
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("in the foreground") || line.starts_with("ended"))
            .collect();
        assert_eq!(
            lines,
            [
                "in the foreground: false, set: false, read: []",
                "ended: 0",
                "in the foreground: true, set: true, read: [Reload]",
                "ended: 0",
            ],
            "{said}"
        );
    }
}
