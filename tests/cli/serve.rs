//! `smbench serve`: the embedded server alone, used by smbclient and by smbench itself.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::Command;

use rustix::process::Signal;

use crate::program::{Call, Ended, Place, Running};
use crate::summary::number;

pub const PASSWORD: &str = "hunter2";
const SCRIPT: &str = "
bench.setup(function(c) c:mkdir('all') end)
bench.workload { name = 'w', clients = 3, iteration = function(c)
    local h = c:open('all/' .. c.id, 'rw')
    c:write(h, 0, 5000)
    c:read(h, 0, 5000)
    c:close(h)
end }";

/// A running server, and the URL that it printed.
pub struct Serving {
    running: Running,
    pub url: String,
}

impl Serving {
    pub fn start(place: &Place, flags: &str) -> Serving {
        let call = place.smbench(&format!("serve --listen 127.0.0.1:0 {flags}"));
        Serving::started(place, call.env("SMBENCH_PASSWORD", PASSWORD))
    }

    fn started(place: &Place, call: Call) -> Serving {
        let printed = place.path().join("url");
        let mut running = call.stdout(File::create(&printed).unwrap()).start();
        running.until("a URL", || fs::read_to_string(&printed).unwrap().ends_with('\n'));
        let text = fs::read_to_string(&printed).unwrap();
        let url = text.trim_end().to_string();
        assert_eq!(text, format!("{url}\n"), "one line, and nothing else");
        Serving { running, url }
    }

    fn port(&self) -> u16 {
        let (_, behind) = self.url.rsplit_once(':').unwrap();
        let port = behind.split('/').next().unwrap().parse().unwrap();
        assert_ne!(port, 0);
        port
    }

    fn end(self, signal: Signal) -> Ended {
        self.running.signal(signal);
        self.running.end()
    }

    /// Runs commands of smbclient and returns its output; None if it is not installed.
    fn smbclient(&self, place: &Place, user: &str, password: &str, commands: &str) -> Option<Said> {
        let mut command = Command::new("smbclient");
        command
            .args(["//127.0.0.1/share", "-p", &self.port().to_string()])
            .args(["-U", &format!("{user}%{password}"), "-c", commands])
            .current_dir(place.path());
        let Ok(output) = command.output() else {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no smbclient on CI");
            eprintln!("!! skipped: smbclient is not installed");
            return None;
        };
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).to_string();
        Some(Said { succeeded: output.status.success(), text })
    }
}

struct Said {
    succeeded: bool,
    text: String,
}

#[test]
fn smbench_runs_against_the_url_that_is_printed_and_a_signal_is_the_regular_end() {
    let place = Place::with_script(SCRIPT);
    for (out, signal) in [("a", Signal::INT), ("b", Signal::TERM), ("c", Signal::HUP)] {
        let serving = Serving::start(&place, "--user ada");
        assert_eq!(serving.url, format!("smb://ada@127.0.0.1:{}/share", serving.port()));
        let line = format!("s.lua --iterations 5 --target {}", serving.url);
        let call = place.run_to(out, &line).env("SMBENCH_PASSWORD", PASSWORD);
        let summary = call.end().exits(0).summary();
        assert_eq!(number(&summary["totals"]["succeeded"]), 60);
        let wrong = place.run_to("wrong", &line).env("SMBENCH_PASSWORD", "other").end();
        assert!(wrong.refused(3).contains("STATUS_LOGON_FAILURE"));
        let ended = serving.end(signal).exits(0);
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn other_clients_read_and_write_what_is_served() {
    let place = Place::new();
    place.write("mine", "text of mine");
    fs::create_dir(place.path().join("served")).unwrap();
    place.write("served/there", "text of there");
    for (storage, shown) in [("", false), ("--dir served", true)] {
        let serving = Serving::start(&place, &format!("--user ada {storage}"));
        let client = |commands: &str| serving.smbclient(&place, "ada", PASSWORD, commands);
        let Some(put) = client("put mine copied; mkdir sub; ls") else { return };
        assert!(put.succeeded && put.text.contains("copied"), "{}", put.text);
        assert_eq!(put.text.contains("there"), shown, "{}", put.text);
        let got = client("get copied back").unwrap();
        assert!(got.succeeded, "{}", got.text);
        assert_eq!(place.read("back"), "text of mine");
        for (user, password) in [("ada", "wrong"), ("bob", PASSWORD), ("", "")] {
            let refused = serving.smbclient(&place, user, password, "ls").unwrap();
            assert!(!refused.succeeded, "{user}: {}", refused.text);
        }
        serving.end(Signal::TERM).exits(0);
    }
    assert_eq!(place.read("served/copied"), "text of mine");
}

#[test]
fn a_share_that_is_read_only_takes_no_writes() {
    let place = Place::new();
    place.write("mine", "text of mine");
    fs::create_dir(place.path().join("served")).unwrap();
    place.write("served/there", "text of there");
    for storage in ["", "--dir served"] {
        let serving = Serving::start(&place, &format!("--read-only {storage}"));
        let client = |commands: &str| serving.smbclient(&place, "smbench", PASSWORD, commands);
        let Some(listed) = client("ls") else { return };
        assert!(listed.succeeded, "{}", listed.text);
        for commands in ["put mine copied", "mkdir sub", "del there", "rename there elsewhere"] {
            let refused = client(commands).unwrap();
            assert!(refused.text.contains("NT_STATUS_"), "{commands}: {}", refused.text);
        }
        if !storage.is_empty() {
            assert!(client("get there back").unwrap().succeeded);
            assert_eq!(place.read("back"), "text of there");
        }
        serving.end(Signal::INT).exits(0);
    }
    assert_eq!(crate::program::names(&place.path().join("served")), ["there"]);
}

#[test]
fn a_server_that_cannot_be_started_ends_with_one_error() {
    let place = Place::new();
    place.write("file", "");
    let refused = |flags: &str| {
        let call = place.smbench(&format!("serve {flags}")).env("SMBENCH_PASSWORD", PASSWORD);
        call.end().refused(2)
    };
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:4455"] {
        assert_eq!(
            refused(&format!("--listen {address}")),
            format!(
                "--listen {address}: other hosts can reach this address, so the user must be named: add --user NAME"
            )
        );
        // A password is needed too: it is never made up.
        let call = place.smbench(&format!("serve --listen {address} --user ada"));
        let message = call.end().refused(2);
        assert!(
            message.starts_with("the server needs a password for its user \"ada\""),
            "{message}"
        );
    }
    let message = place.smbench("serve --listen 127.0.0.1:0").end().refused(2);
    assert_eq!(
        message,
        "the server needs a password for its user \"smbench\": set SMBENCH_PASSWORD or --password-file"
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    assert_eq!(
        refused(&format!("--listen {address}")),
        format!(
            "the embedded server cannot listen on {address}: Address already in use (os error 98)"
        )
    );
    for directory in ["none", "file"] {
        let message = refused(&format!("--listen 127.0.0.1:0 --dir {directory}"));
        let start = format!("the embedded server cannot use the directory {directory}: ");
        assert!(message.starts_with(&start), "{message}");
        assert_eq!(message.ends_with("; make it first"), directory == "none", "{message}");
    }
    let message = refused("--listen 127.0.0.1:0 --user a:b");
    assert!(message.starts_with("--user \"a:b\" is not a valid user name"), "{message}");
    let message = refused("--listen 127.0.0.1:0 --password-file none");
    assert_eq!(message, "--password-file none: No such file or directory (os error 2)");
}

#[test]
fn a_password_may_come_from_a_file_and_is_in_no_log() {
    let place = Place::with_script(SCRIPT);
    place.write("secret", format!("{PASSWORD}\n"));
    let call =
        place.smbench("serve --listen 127.0.0.1:0 --password-file secret --log-format json -v");
    let serving = Serving::started(&place, call);
    let line = format!("s.lua --iterations 1 --target {} --password-file secret", serving.url);
    place.run(&line).end().exits(0);
    // Every call is checked for passwords in its output.
    let ended = serving.end(Signal::INT).exits(0);
    assert!(ended.stderr.lines().all(|line| line.starts_with('{')), "{}", ended.stderr);
    assert!(ended.stderr.contains("\"message\":\"ending: "), "{}", ended.stderr);
}

#[test]
fn a_url_that_is_pasted_into_a_shell_stays_one_word_and_leads_to_the_server() {
    let place = Place::with_script(SCRIPT);
    let call = place.smbench("serve --listen 127.0.0.1:0").env("SMBENCH_PASSWORD", PASSWORD);
    let serving = Serving::started(&place, call.arg("--user").arg("Älice B\\$c;d'e"));
    assert!(
        serving.url.starts_with("smb://Älice%20B%5C%24c%3Bd%27e@127.0.0.1:"),
        "{}",
        serving.url
    );
    let line = format!("s.lua --iterations 1 --target {}", serving.url);
    place.run(&line).env("SMBENCH_PASSWORD", PASSWORD).end().exits(0);
    serving.end(Signal::TERM).exits(0);
}
