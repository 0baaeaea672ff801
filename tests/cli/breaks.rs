//! Oplocks and leases that another client breaks, through the whole program.

use serde_json::Value;
use smbench_test_support::{Samba, Settings};

use crate::program::Place;
use crate::summary::number;

/// One client holds what `asks` says for `held`; the other opens the same file.
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
            c:think('100ms')
            c:close(c:open('shared.doc', 'rw'))
            c:think('{held}')
        end }}"
    )
}

fn granted(summary: &Value, what: &str) -> u64 {
    summary["operations"]["open"]["granted"][what].as_u64().unwrap_or(0)
}

/// Runs it on Samba and on the simulator, whose answers are to be the same.
fn on_each(script: &str, look: impl Fn(&str, &Value)) {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    for target in [samba.url(), "sim".to_string()] {
        let place = Place::with_script(script);
        let run = place.run(&format!("s.lua --target {target} --iterations 2 --oplog")).samba();
        let run = run.end().exits(0);
        let breaks =
            place.read("out/ops.jsonl").lines().filter(|l| l.contains("\"break\"")).count();
        let summary = run.summary();
        let told = number(&summary["breaks"]["oplock"]) + number(&summary["breaks"]["lease"]);
        assert_eq!(breaks as u64, told, "{target}");
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
            // Else the server would have waited 35 s for it.
            let open_us = summary["operations"]["open"]["service_us"]["max"].as_f64().unwrap();
            assert!(open_us < 30e6, "{target}: {asks}: {open_us}");
        });
    }
}

#[test]
fn a_delay_is_kept_before_the_answer_and_a_flush_is_sent() {
    let on_break = "bench.on_break { policy = 'acknowledge', delay = '150ms', flush = true }";
    on_each(&script("requested_oplock = 'batch'", on_break, "1s"), |target, summary| {
        let waited_us = &summary["breaks"]["waited_us"];
        assert!(waited_us["min"].as_f64().unwrap() >= 150e3, "{target}: {waited_us}");
    });
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
