//! A private Samba server (smbd).

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::statvfs;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// The longest time for smbd to start listening, and for pdbedit to end; each takes about 0.1 s.
const START: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);
/// The free memory required to place a Samba's files there: 64 times the 4 MiB that one takes. A
/// container has 64 MiB in /dev/shm, too little on a large host.
const ROOM_IN_MEMORY: u64 = 256 << 20;

/// Additions of a test to the default smb.conf.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Lines for `[global]`.
    pub global: &'static str,
    /// Lines for `[share]`.
    pub share: &'static str,
}

/// A running Samba with one share named `share` and one user.
pub struct Samba {
    /// The directory of Samba's own files.
    directory: TempDir,
    share: TempDir,
    programs: Programs,
    user: String,
    port: u16,
    server: Option<Child>,
}

struct Programs {
    smbd: PathBuf,
    pdbedit: PathBuf,
}

impl Samba {
    pub const PASSWORD: &str = "Correct-Horse-7";

    /// Starts a Samba. Prints a message and returns None if Samba is not installed; on CI
    /// (`CI=true`) that is a failure.
    pub fn start(settings: Settings) -> Option<Samba> {
        let Some(programs) = programs() else {
            missing("Samba is not installed (apt-get install samba)");
            return None;
        };
        let share = named().tempdir().expect("a directory to share");
        let user = current_user();
        let mut samba =
            Samba { directory: own_directory(), share, programs, user, port: 0, server: None };
        samba.make_folders();
        // Another program may take the port between our look and smbd's.
        for _ in 0..5 {
            samba.port = free_port();
            samba.write_configuration(settings);
            samba.set_password(Samba::PASSWORD);
            if samba.listen() {
                return Some(samba);
            }
        }
        panic!("smbd did not start:\n{}", samba.log());
    }

    /// Returns the URL of the share: `smb://user@127.0.0.1:port/share`.
    pub fn url(&self) -> String {
        format!("smb://{}@127.0.0.1:{}/share", self.user, self.port)
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the local directory that the share exports.
    pub fn share(&self) -> PathBuf {
        self.share.path().to_path_buf()
    }

    /// Returns a command that runs Samba's own client with `commands` on the share, as the same
    /// user. Prints a message and returns None if it is not installed; on CI that is a failure.
    pub fn smbclient(&self, commands: &str) -> Option<Command> {
        let mut client = self.other_client("smbclient", "smbclient")?;
        client.args(["-c", commands]);
        Some(client)
    }

    /// Returns a command that runs the named test of Samba's test suite on the share, as the same
    /// user. Returns None like [`smbclient`](Samba::smbclient).
    pub fn smbtorture(&self, test: &str) -> Option<Command> {
        let mut client = self.other_client("smbtorture", "samba-testsuite")?;
        client.arg(test);
        Some(client)
    }

    fn other_client(&self, name: &str, package: &str) -> Option<Command> {
        let Some(program) = program(name) else {
            missing(&format!("{name} is not installed (apt-get install {package})"));
            return None;
        };
        let login = format!("username = {}\npassword = {}\n", self.user, Samba::PASSWORD);
        fs::write(self.path("login"), login).expect("a file to log in with");
        let mut client = Command::new(program);
        client
            .args(["//127.0.0.1/share", "-p", &self.port.to_string(), "-A"])
            .arg(self.path("login"))
            .arg("-s")
            .arg(self.path("smb.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Some(client)
    }

    /// Kills smbd and every process it forked.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut server) = self.server.take() {
            let _ = server.wait();
        }
    }

    /// Stops smbd and every process it forked: connections stay open, but nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    fn signal(&self, signal: Signal) {
        let id = self.server.as_ref().map(|server| server.id().cast_signed());
        if let Some(group) = id.and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Kills smbd and starts it again on the same port and directory.
    pub fn restart(&mut self) {
        self.kill();
        // A forked process may hold the port until it is gone.
        let listens = (0..5).any(|_| self.listen());
        assert!(listens, "smbd did not start again:\n{}", self.log());
    }

    /// Returns the output of smbd.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("smbd.log")).unwrap_or_default()
    }

    /// Returns each panic of a process of smbd: the line with the reason, then its stack. smbd
    /// writes a stack line by line, so the last one may be incomplete: `false` comes with it.
    pub fn panics(&self) -> Vec<(String, bool)> {
        const PANIC: &str = "PANIC (pid ";
        const FRAME: &str = " #";
        let log = self.log();
        let lines: Vec<&str> = log.lines().map(str::trim_end).collect();
        let begins = |line: &str| line.trim_start().starts_with(PANIC);
        let starts = lines.iter().enumerate().filter(|(_, line)| begins(line));
        let stack = |start: usize| {
            // The line in between is `BACKTRACE: 29 stack frames:`.
            let announced = lines.get(start + 1).and_then(|line| line.split_whitespace().nth(1));
            let announced = announced.and_then(|number| number.parse().ok());
            let frames = lines.iter().skip(start + 2).take_while(|line| line.starts_with(FRAME));
            let frames: Vec<&str> = frames.copied().collect();
            let complete = announced.is_some_and(|announced: usize| frames.len() >= announced);
            ([&[lines[start]], &frames[..]].concat().join("\n"), complete)
        };
        starts.map(|(start, _)| stack(start)).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn make_folders(&self) {
        for name in ["private", "lock", "state", "cache", "pid", "ncalrpc"] {
            fs::create_dir(self.path(name)).expect("a directory of Samba");
        }
    }

    fn write_configuration(&self, settings: Settings) {
        let root = self.directory.path().display();
        let shared = self.share.path().display();
        let Settings { global, share } = settings;
        let configuration = format!(
            "[global]
            server role = standalone server
            smb ports = {port}
            interfaces = 127.0.0.1
            bind interfaces only = yes
            disable netbios = yes
            private dir = {root}/private
            lock directory = {root}/lock
            state directory = {root}/state
            cache directory = {root}/cache
            pid directory = {root}/pid
            ncalrpc dir = {root}/ncalrpc
            passdb backend = tdbsam:{root}/private/passdb.tdb
            load printers = no
            disable spoolss = yes
            kernel oplocks = no
            oplocks = yes
            smb2 leases = yes
            durable handles = yes
            map to guest = never
            guest account = {user}
            log level = 1
            {global}
            [share]
            path = {shared}
            read only = no
            {share}
            ",
            port = self.port,
            user = self.user
        );
        fs::write(self.path("smb.conf"), configuration).expect("smb.conf");
    }

    /// Changes the user's password; the first call adds the user. Existing sessions stay.
    pub fn set_password(&self, password: &str) {
        let mut pdbedit = Command::new(&self.programs.pdbedit)
            .arg("-s")
            .arg(self.path("smb.conf"))
            .args(["-a", "-t", "-u", &self.user])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pdbedit");
        let mut input = pdbedit.stdin.take().expect("a pipe");
        write!(input, "{password}\n{password}\n").expect("pdbedit reads the password");
        drop(input);
        let started = Instant::now();
        let ended = loop {
            match pdbedit.try_wait().expect("pdbedit ends") {
                Some(ended) => break ended,
                None if started.elapsed() < START => std::thread::sleep(POLL),
                None => {
                    let _ = pdbedit.kill();
                    let _ = pdbedit.wait();
                    panic!("pdbedit did not end within {START:?}");
                }
            }
        };
        assert!(ended.success(), "pdbedit set no password");
    }

    /// Starts smbd, and returns whether it accepts connections.
    fn listen(&mut self) -> bool {
        let log = fs::File::create(self.path("smbd.log")).expect("smbd.log");
        let errors = log.try_clone().expect("smbd.log");
        // A process group of its own makes it possible to kill what smbd forks. With a pipe as
        // standard input, smbd also ends by itself when the test dies.
        let server = Command::new(&self.programs.smbd)
            .args(["--foreground", "--no-process-group", "--debug-stdout", "-s"])
            .arg(self.path("smb.conf"))
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .expect("smbd");
        self.server = Some(server);
        let started = Instant::now();
        while started.elapsed() < START {
            let exited = self.server.as_mut().map(|server| server.try_wait());
            if !matches!(exited, Some(Ok(None))) {
                break;
            }
            if TcpStream::connect_timeout(&self.address(), Duration::from_secs(1)).is_ok() {
                return true;
            }
            std::thread::sleep(POLL);
        }
        self.kill();
        false
    }
}

impl Drop for Samba {
    fn drop(&mut self) {
        self.kill();
    }
}

fn missing(what: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{what}");
    eprintln!("SKIPPED: {what}");
}

fn programs() -> Option<Programs> {
    Some(Programs { smbd: program("smbd")?, pdbedit: program("pdbedit")? })
}

/// Finds a program on the path or in the usual directories of administration programs.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administration = ["/usr/sbin", "/usr/local/sbin", "/usr/local/samba/sbin"];
    std::env::split_paths(&path)
        .chain(administration.iter().map(PathBuf::from))
        .map(|directory: PathBuf| directory.join(name))
        .find(|file: &PathBuf| Path::is_file(file))
}

fn named() -> tempfile::Builder<'static, 'static> {
    let mut named = tempfile::Builder::new();
    named.prefix("smbench-samba-");
    named
}

/// Makes the directory of Samba's own files, in memory if there is room: smbd synchronizes its
/// databases with the disk 32 times before it listens, which takes a minute while others write. The
/// shared directory stays on the disk, for its extended attributes.
fn own_directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = statvfs(memory).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
    let in_memory = (room >= ROOM_IN_MEMORY).then(|| named().tempdir_in(memory).ok()).flatten();
    in_memory.unwrap_or_else(|| named().tempdir().expect("a directory for Samba"))
}

/// Returns the current user: Samba's users must be users of the system.
fn current_user() -> String {
    let id = Command::new("id").arg("-un").output().expect("id");
    String::from_utf8_lossy(&id.stdout).trim().to_string()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its number").port()
}
