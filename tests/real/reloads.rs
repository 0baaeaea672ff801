//! A run on Samba whose script is edited while it goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use smbench::backend::registry::Target;
use smbench::backend::smb2::Password;
use smbench::run::{Input, RunOptions, WatchOptions, run};
use smbench::script::ScriptOptions;
use smbench_test_support::{Samba, Settings};

/// A time longer than a reload and the moves after it take.
const SOON: Duration = Duration::from_secs(30);

/// The script, whose clients keep a file open over their iterations.
fn script(clients: u32) -> String {
    format!(
        "bench.workload {{
            name = 'w',
            clients = {clients},
            setup = function(c)
              local h = c:open('u' .. c.id, 'w')
              c:write(h, 0, 4096)
              c:close(h)
            end,
            iteration = function(c)
              local h = c:open('u' .. c.id, 'rw')
              while c:running() do
                c:read(h, 0, 4096)
                c:write(h, 0, 100)
                c:think('1ms')
              end
            end,
            teardown = function(c) c:delete('u' .. c.id) end,
        }}"
    )
}

/// Waits until exactly the files of so many clients are in the share.
fn wait_for_clients(share: &Path, clients: usize) {
    let began = Instant::now();
    let files = || {
        let entries = std::fs::read_dir(share).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let wanted: Vec<String> = (0..clients).map(|client| format!("u{client}")).collect();
    while files() != wanted {
        assert!(began.elapsed() < SOON, "{:?} are there, not {wanted:?}", files());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn clients_join_and_leave_a_run_on_samba_whose_other_connections_stay_up() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.lua");
    std::fs::write(&path, script(2)).unwrap();
    let (interrupt, interrupts) = tokio::sync::watch::channel(0);
    let options = RunOptions {
        password: Some(Password::new(Samba::PASSWORD)),
        watch: Some(WatchOptions { grace: WatchOptions::GRACE, keys: false }),
        interrupts: Some(interrupts),
        out: Some(directory.path().join("out")),
        ..RunOptions::new(Target::parse(&samba.url()).unwrap())
    };
    let location = path.clone().into();
    let input = Input::Script(ScriptOptions { location, ..ScriptOptions::default() });
    let running = std::thread::spawn(move || run(&input, &options).unwrap());
    let share = samba.share();
    for clients in [2, 4, 1] {
        std::fs::write(&path, script(clients)).unwrap();
        wait_for_clients(&share, clients as usize);
    }
    interrupt.send(1).unwrap();
    let summary = running.join().unwrap().summary;

    let numbers: Vec<u32> = summary.generations.iter().map(|of| of.number).collect();
    assert_eq!(numbers, [1, 2, 3], "{:?}", summary.notes);
    let clients: Vec<u64> = summary.generations.iter().map(|of| of.clients).collect();
    assert_eq!(clients, [2, 4, 1]);
    // Each client has one file open at its boundary.
    let closed: Vec<u64> = summary.generations.iter().map(|of| of.closed_handles).collect();
    assert_eq!(closed, [2, 4, 0]);
    let totals = &summary.totals;
    assert_eq!((totals.counts.failed, totals.counts.skipped, totals.reconnects), (0, 0, Some(0)));
    let sum: u64 = summary.generations.iter().map(|of| of.totals.operations).sum();
    assert_eq!(sum, totals.operations);
    wait_for_clients(&share, 0);
}
