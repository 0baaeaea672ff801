//! Accounts that are refused: a server counts at most one failed login for a run, because failed
//! logins lock accounts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smbench_test_support::{Proxy, Samba, Settings};

use crate::program::Place;
use crate::summary::number;

const SCRIPT: &str = r#"
bench.setup(function(c) c:mkdir("team") end)
bench.workload { name = "w", clients = 30, iteration = function(c)
    if c.id == 0 then c:mkdir("team/begun", { expect = "any" }) end
    c:stat("team")
    c:think("20ms")
end }
"#;

const STATUS: std::ops::Range<usize> = 8..12;
const COMMAND: usize = 12;
const SESSION_SETUP: u8 = 1;

/// A proxy before Samba that counts refused and accepted logins.
struct Watched {
    proxy: Proxy,
    refused: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
}

impl Watched {
    fn start(samba: &Samba) -> Watched {
        const MORE_PROCESSING_REQUIRED: [u8; 4] = 0xC000_0016_u32.to_le_bytes();
        let (refused, accepted) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counters = (refused.clone(), accepted.clone());
        let proxy = Proxy::start(
            samba.address(),
            |frame| vec![frame],
            move |frame| {
                if frame.starts_with(b"\xfeSMB") && frame[COMMAND] == SESSION_SETUP {
                    match frame[STATUS].try_into().unwrap() {
                        MORE_PROCESSING_REQUIRED => 0,
                        [0, 0, 0, 0] => counters.1.fetch_add(1, Ordering::Relaxed),
                        _ => counters.0.fetch_add(1, Ordering::Relaxed),
                    };
                }
                vec![frame]
            },
        );
        Watched { proxy, refused, accepted }
    }

    fn url(&self, samba: &Samba) -> String {
        format!("smb://{}@{}/share", samba.user(), self.proxy.address())
    }

    fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

#[test]
fn a_wrong_password_is_tried_by_one_of_many_clients_only() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let watched = Watched::start(&samba);
    let place = Place::with_script(SCRIPT);
    for shards in [1, 4] {
        let refused_before = watched.refused();
        let line = format!("s.lua --shards {shards} --target {}", watched.url(&samba));
        let call = place.run(&line).env("SMBENCH_PASSWORD", "hunter2");
        let message = call.end().refused(3);
        assert!(message.contains("STATUS_LOGON_FAILURE (0xC000006D)"), "{message}");
        assert!(message.contains(&format!("as user \"{}\"", samba.user())), "{message}");
        assert_eq!(watched.refused() - refused_before, 1, "{shards} shards");
    }
    assert_eq!(watched.accepted(), 0);
}

#[test]
fn a_password_that_changes_during_a_run_is_tried_once_more_and_ends_it() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let watched = Watched::start(&samba);
    let place = Place::with_script(SCRIPT);
    let line = format!("s.lua --shards 2 --duration 10m --target {}", watched.url(&samba));
    let mut running = place.run(&line).samba().start();
    // The client of `bench.setup` has logged in as well.
    running.until("a login of every client", || watched.accepted() == 31);
    // The directory of setup exists before its client has the answer, without which setup fails.
    let directory = samba.share().join("team/begun");
    running.until("iterations", || directory.exists());
    samba.set_password("Another-Horse-8");
    watched.proxy.cut();
    let ended = running.end();
    assert_eq!((watched.refused(), watched.accepted()), (1, 31));
    let summary = ended.summary();
    assert!(number(&summary["failed_clients"]["count"]) >= 30, "{summary}");
    let said = format!(
        "no client logs in any more: login failed at {} as user \"{}\": STATUS_LOGON_FAILURE (0xC000006D)",
        watched.proxy.address(),
        samba.user()
    );
    assert_eq!(ended.stdout.matches(&said).count(), 1, "{}", ended.stdout);
}

#[test]
fn after_a_network_that_failed_every_client_logs_in_again() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let watched = Watched::start(&samba);
    let place = Place::with_script(SCRIPT);
    let line = format!("s.lua --shards 2 --duration 10m --target {}", watched.url(&samba));
    let mut running = place.run(&line).samba().start();
    running.until("a login of every client", || watched.accepted() == 31);
    // The directory of setup exists before its client has the answer, without which setup fails.
    let directory = samba.share().join("team/begun");
    running.until("iterations", || directory.exists());
    watched.proxy.cut();
    // The client of `bench.setup` notices the loss only when it is needed again.
    running.until("another login of every client", || watched.accepted() >= 61);
    running.signal(rustix::process::Signal::INT);
    let summary = running.end().summary();
    assert_eq!(watched.refused(), 0);
    assert!(number(&summary["totals"]["reconnects"]) >= 30, "{summary}");
    assert_eq!(summary.get("failed_clients"), None);
}
