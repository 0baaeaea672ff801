//! Oplocks and leases that another client breaks, through the whole program.

use serde_json::Value;
use smbench_test_support::{Samba, Settings};

use crate::program::{Ended, Place};
use crate::summary::number;

/// Returns a script in which one client opens a file as `asks` says and holds it for `held`, while
/// another opens the same file.
fn script(asks: &str, on_break: &str, held: &str) -> String {
    format!(
        "bench.setup(function(c) c:close(c:open('shared.doc', 'w')) end)
        {on_break}
        bench.workload {{ name = 'holder', iteration = function(c)
            local h = c:open('shared.doc', 'rw', {{ {asks} }})
            c:think('{held}')
            c:close(h)
            c:think('200ms')
        end }}
        bench.workload {{ name = 'other', iteration = function(c)
            c:think('300ms')
            c:close(c:open('shared.doc', 'rw'))
            c:think('{held}')
        end }}"
    )
}

fn granted(summary: &Value, what: &str) -> u64 {
    summary["operations"]["open"]["granted"][what].as_u64().unwrap_or(0)
}

/// Runs a script on Samba and on the simulator, which must answer alike.
fn on_each(script: &str, look: impl Fn(&str, &Value)) {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    for target in [samba.url(), "sim".to_string()] {
        let place = Place::with_script(script);
        let run = place.run(&format!("s.lua --target {target} --iterations 2 --oplog")).samba();
        let run = run.end().exits(0);
        let breaks =
            place.read("out/ops.jsonl").lines().filter(|l| l.contains("\"break\"")).count();
        let summary = run.summary();
        let reported = number(&summary["breaks"]["oplock"]) + number(&summary["breaks"]["lease"]);
        assert_eq!(breaks as u64, reported, "{target}");
        look(&target, &summary);
    }
}

#[test]
fn an_oplock_or_a_lease_that_is_broken_is_acknowledged_and_the_other_goes_on() {
    for (asks, name, kind) in [
        ("requested_oplock = 'batch'", "batch", "oplock"),
        ("requested_oplock = 'exclusive'", "exclusive", "oplock"),
        ("lease = 'RWH'", "lease RWH", "lease"),
        ("lease = { state = 'RWH', version = 1 }", "lease RWH", "lease"),
    ] {
        on_each(&script(asks, "", "1s"), |target, summary| {
            let breaks = &summary["breaks"];
            assert!(granted(summary, name) >= 1, "{target}: {asks}: {summary:#}");
            assert!(number(&breaks[kind]) >= 1, "{target}: {asks}: {breaks:#}");
            assert!(number(&breaks["acknowledged"]) >= 1, "{target}: {asks}: {breaks:#}");
            // Without an acknowledgement, the server would have waited 35 s for it.
            let open_us = summary["operations"]["open"]["service_us"]["max"].as_f64().unwrap();
            assert!(open_us < 30e6, "{target}: {asks}: {open_us}");
        });
    }
}

#[test]
fn a_delay_is_kept_before_the_answer_and_a_flush_is_sent() {
    let on_break = "bench.on_break { policy = 'acknowledge', delay = '150ms', flush = true }";
    on_each(&script("requested_oplock = 'batch'", on_break, "1s"), |target, summary| {
        let breaks = &summary["breaks"];
        let waited_us = breaks["waited_us"]["min"].as_f64();
        assert!(waited_us.is_some_and(|us| us >= 150e3), "{target}: {breaks:#}");
    });
}

/// Longest time from the acknowledgement to the end of the other client's open.
const AFTER_ACKNOWLEDGEMENT_NS: u64 = 100_000_000;

const ENCRYPTED: Settings = Settings { global: "smb encrypt = required", share: "" };

/// Returns the opens of `other` that caused a break, each with its break.
fn broken_by<'a>(lines: &'a [Value], other: &str) -> Vec<(&'a Value, &'a Value)> {
    let breaks = lines.iter().filter(|line| line["event"] == "break");
    let caused = breaks.filter_map(|broken| {
        let noticed_ns = number(&broken["noticed_ns"]);
        let open = lines.iter().find(|line| {
            line["type"] == "open"
                && line["workload"] == other
                && line["path"] == broken["path"]
                && (number(&line["issued_ns"])..number(&line["completed_ns"])).contains(&noticed_ns)
        });
        Some((open?, broken))
    });
    caused.collect()
}

#[test]
fn the_others_open_ends_within_100_ms_of_the_acknowledgement_plain_and_encrypted() {
    for settings in [Settings::default(), ENCRYPTED] {
        let Some(samba) = Samba::start(settings) else { return };
        for asks in [
            "requested_oplock = 'batch'",
            "lease = 'RWH'",
            "lease = { state = 'RWH', version = 1 }",
        ] {
            let place = Place::with_script(&format!(
                "bench.workload {{ name = 'holder', iteration = function(c)
                    local h = c:open('f' .. c.iteration, 'rw', {{ {asks} }})
                    c:think('500ms')
                    c:close(h)
                end }}
                bench.workload {{ name = 'other', iteration = function(c)
                    c:think('200ms')
                    c:close(c:open('f' .. c.iteration, 'rw'))
                    c:think('300ms')
                    c:stat('')
                end }}"
            ));
            let line = format!("s.lua --target {} --iterations 5 --oplog", samba.url());
            let summary = place.run(&line).samba().end().exits(0).summary();
            assert_eq!(
                summary["target"].get("encryption").is_some(),
                !settings.global.is_empty(),
                "{settings:?}"
            );
            let lines = place.oplog("out");
            // An open that came late may have met the holder's close instead.
            let caused = broken_by(&lines, "other").into_iter();
            let took_ns = caused.filter(|(_, broken)| broken["end"] == "acknowledged").map(
                |(open, broken)| {
                    let acknowledged_ns = number(&broken["acknowledged_ns"]);
                    number(&open["completed_ns"]).saturating_sub(acknowledged_ns)
                },
            );
            // The minimum is judged, because another program may delay single answers.
            let least_ns = took_ns.min().unwrap_or_else(|| panic!("{asks}: no break: {lines:#?}"));
            assert!(least_ns < AFTER_ACKNOWLEDGEMENT_NS, "{settings:?}: {asks}: {least_ns} ns");
        }
    }
}

/// Checks what a report says about its one break, on which the server gave up.
fn says_it_was_given_up(ended: &Ended, end: &str, said: [&str; 2]) {
    let summary = ended.summary();
    let breaks = &summary["breaks"];
    let counts = [end, "oplock", "lease"].map(|what| number(&breaks[what]));
    assert_eq!(counts, [1, 1, 0], "{breaks:#}");
    for said in said {
        assert!(ended.stdout.contains(said), "{}", ended.stdout);
    }
    let gives_up = "After 35 s without an answer a server revokes what it granted";
    assert!(ended.stdout.contains(gives_up), "{}", ended.stdout);
}

const IGNORED: [&str; 2] = [
    "            1 ignored until the server gave up\n",
    "note: 1 break was not answered, as `on_break` says. ",
];
const TOO_LATE: [&str; 2] = [
    "            1 not answered before the server gave up\n",
    "note: 1 break was not answered in time: the delay of `on_break` is too long, or the answer did not reach the server. ",
];

fn held_for_long(on_break: &str) -> String {
    format!(
        "bench.on_break {{ {on_break}, workload = 'holder' }}
        bench.workload {{ name = 'holder', iteration = function(c)
            local h = c:open('file', 'rw', {{ requested_oplock = 'batch' }})
            c:think('60s')
            c:close(h)
        end }}
        bench.workload {{ name = 'other', iteration = function(c)
            c:think('500ms')
            c:close(c:open('file', 'rw'))
        end }}"
    )
}

/// Takes 35 s; run it with `cargo test --test cli -- --ignored`, as tests/run does beside other
/// checks.
#[test]
#[ignore = "waits out Samba's 35 s"]
fn an_open_whose_break_nobody_answers_waits_as_long_as_samba_does() {
    let waits = |settings| {
        let Some(samba) = Samba::start(settings) else { return };
        let place = Place::with_script(&held_for_long("policy = 'ignore'"));
        let line = format!("s.lua --target {} --iterations 1 --oplog", samba.url());
        let ended = place.run(&line).samba().end().exits(0);
        says_it_was_given_up(&ended, "ignored", IGNORED);
        let lines = place.oplog("out");
        let caused = broken_by(&lines, "other");
        let [(open, broken)] = caused[..] else { panic!("{lines:#?}") };
        let waited_ns = number(&open["completed_ns"]) - number(&open["issued_ns"]);
        assert!(waited_ns > 30_000_000_000, "{settings:?}: {open}");
        assert_eq!((&broken["end"], broken.get("acknowledged_ns")), (&"ignored".into(), None));
        let close = lines.iter().find(|line| {
            line["type"] == "close"
                && line["workload"] == "holder"
                && line["section"] == "iteration"
        });
        let closed_ns = number(&close.unwrap()["issued_ns"]);
        assert!(number(&open["completed_ns"]) < closed_ns, "Samba waited for the close: {open}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| waits(Settings::default()));
        scope.spawn(|| waits(ENCRYPTED));
    });
}

/// The answer is sent a second before the server gives up, and takes two seconds to arrive.
#[test]
#[ignore = "waits out a server's 35 s"]
fn an_answer_that_comes_too_late_is_one_the_server_did_not_take() {
    let place = Place::with_script(&held_for_long("delay = '34s'"));
    let run = place.run("s.lua --target sim?latency=2s --iterations 1 --oplog");
    says_it_was_given_up(&run.end().exits(0), "timed_out", TOO_LATE);
    let lines = place.oplog("out");
    let [(_, broken)] = broken_by(&lines, "other")[..] else { panic!("{lines:#?}") };
    let after_ns = number(&broken["acknowledged_ns"]) - number(&broken["noticed_ns"]);
    assert!(after_ns >= 34_000_000_000, "{broken}");
}

/// The other client is Samba's own.
#[test]
#[ignore = "waits out Samba's 35 s"]
fn smbclient_waits_for_a_file_whose_break_is_ignored_as_long_as_samba_does() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::with_script(
        "bench.workload { name = 'holder', iteration = function(c)
            local h = c:open('file', 'rw', { requested_oplock = 'batch', on_break = { policy = 'ignore' } })
            c:write(h, 0, 10)
            c:mkdir('held')
            c:think('60s')
            c:close(h)
        end }",
    );
    let line = format!("s.lua --target {} --iterations 1", samba.url());
    let mut running = place.run(&line).samba().start();
    running.until("the file is held", || samba.share().join("held").is_dir());
    let Some(mut other) = samba.smbclient("get file -") else { return };
    // The default time-out of smbclient is 20 s.
    other.args(["--timeout", "100"]);
    let began = std::time::Instant::now();
    let got = other.output().unwrap();
    let waited = began.elapsed();
    assert!(got.status.success(), "{got:?}");
    assert!(waited.as_secs() >= 30, "{waited:?}");
    assert!(running.is_running(), "smbclient waited for the close");
    says_it_was_given_up(&running.end().exits(0), "ignored", IGNORED);
}

/// Checks that operations in mode 2 wait by file, over all clients, whether they use a path or a
/// handle.
#[test]
fn while_a_break_is_pending_no_client_sends_what_touches_the_file() {
    let script = "bench.on_break { delay = '600ms', workload = 'holder' }
        bench.setup(function(c) c:close(c:open('file', 'w')) c:close(c:open('elsewhere', 'w')) end)
        bench.workload { name = 'holder', iteration = function(c)
            local h = c:open('file', 'rw', { requested_oplock = 'batch' })
            c:think('1s')
            c:close(h)
        end }
        bench.workload { name = 'other', iteration = function(c)
            c:think('100ms')
            c:close(c:open('file', 'rw'))
        end }
        bench.workload { name = 'bystander', iteration = function(c)
            c:think('400ms')
            c:stat('elsewhere')
            c:stat('FILE')
        end }";
    let Some(samba) = Samba::start(Settings::default()) else { return };
    for target in [samba.url(), "sim".to_string()] {
        let place = Place::with_script(script);
        let line = format!("s.lua --target {target} --iterations 1 --oplog");
        let summary = place.run(&line).samba().end().exits(0).summary();
        let lines = place.oplog("out");
        let caused = broken_by(&lines, "other");
        let [(_, broken)] = caused[..] else { panic!("{target}: {lines:#?}") };
        let (noticed_ns, ended_ns) = (number(&broken["noticed_ns"]), number(&broken["ended_ns"]));
        // The operation is eligible only after the break, so the wait counts as backlog, not as
        // lateness.
        let [elsewhere_ns, eligible_ns] = ["elsewhere", "FILE"].map(|path| {
            let stat = lines.iter().find(|line| line["type"] == "stat" && line["path"] == path);
            number(&stat.unwrap()["eligible_ns"])
        });
        assert!((noticed_ns..ended_ns).contains(&elsewhere_ns), "{target}: {broken}");
        assert!(eligible_ns >= ended_ns, "{target}: {broken}");
        assert_eq!(number(&broken["blocked"]), 1, "{target}: {broken}");
        let breaks = &summary["breaks"];
        assert_eq!(number(&breaks["blocked_operations"]), 1, "{target}: {breaks:#}");
    }
}

#[test]
fn the_report_shows_how_each_break_ended() {
    for (end, words, asks, on_break, held, target, code) in [
        ("acknowledged", "1 acknowledged", "batch", "delay = '50ms'", "1s", "sim", 0),
        ("closed", "1 ended by a close", "batch", "policy = 'ignore'", "600ms", "sim", 0),
        ("not_asked", "1 that needed no answer", "ii", "", "1s", "sim", 0),
        (
            "connection_lost",
            "1 ended by a lost connection",
            "batch",
            "delay = '5s'",
            "1s",
            "sim?outage=100ms@800ms",
            4,
        ),
        // At the end of the run, the engine closes open handles.
        ("closed", "1 ended by a close", "batch", "delay = '20s'", "30s", "sim", 0),
    ] {
        let place = Place::with_script(&format!(
            "bench.phases {{ {{ name = 'steady', duration = '2s' }} }}
            bench.setup(function(c) c:close(c:open('file', 'w')) end)
            bench.workload {{ name = 'holder', iteration = function(c)
                local h = c:open('file', 'r', {{ requested_oplock = '{asks}', on_break = {{ {on_break} }} }})
                c:think('{held}')
                c:close(h)
            end }}
            bench.workload {{ name = 'other', iteration = function(c)
                c:think('300ms')
                local h = c:open('file', 'rw')
                if '{asks}' == 'ii' then c:write(h, 0, 10) end
                c:close(h)
            end }}"
        ));
        let threshold = format!("breaks.{end} == 1");
        let line = format!("s.lua --target {target} --iterations 1 --drain 500ms");
        let ended = place.run(&line).arg("--threshold").arg(&threshold).end().exits(code);
        let summary = ended.summary();
        let breaks = &summary["breaks"];
        assert_eq!((number(&breaks[end]), number(&breaks["oplock"])), (1, 1), "{breaks:#}");
        assert!(ended.stdout.contains(&format!("✓ {threshold}  1\n")), "{}", ended.stdout);
        assert!(ended.stdout.contains(&format!("\n            {words}\n")), "{}", ended.stdout);
        let reported = ended.stdout.contains("            finished after ");
        assert_eq!(reported, !["acknowledged", "not_asked"].contains(&end), "{}", ended.stdout);
    }
}

#[test]
fn a_break_that_is_ignored_lasts_until_the_file_is_closed() {
    let on_break = "bench.on_break { policy = 'ignore', workload = 'holder' }";
    on_each(&script("requested_oplock = 'batch'", on_break, "600ms"), |target, summary| {
        let breaks = &summary["breaks"];
        assert_eq!(number(&breaks["acknowledged"]), 0, "{target}: {breaks:#}");
        assert!(number(&breaks["closed"]) >= 1, "{target}: {breaks:#}");
    });
}
