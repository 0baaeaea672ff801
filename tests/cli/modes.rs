//! `--mode`: the limit on the parts of SMB that a run may ask for.

use serde_json::Value;
use smbench_test_support::{Samba, Settings};

use crate::program::Place;
use crate::summary::number;

/// A script whose operation 0-1 is the first of mode 1, and 0-3 the first of mode 2.
const EVERY_MODE: &str = r#"bench.workload { name = "w", iteration = function(c)
    c:close(c:open("a", "rw"))
    c:close(c:open("a", "rw", { share_mode = "read|write" }))
    c:close(c:open("a", "rw", { lease = "RWH", durable = true, disposition = "open_if" }))
end }"#;

fn plain(options: &str) -> String {
    format!(
        "bench.workload {{ name = 'w', iteration = function(c) c:close(c:open('a', 'rw', {options})) end }}"
    )
}

fn mode(summary: &Value) -> u64 {
    number(&summary["target"]["mode"])
}

#[test]
fn a_run_has_the_mode_its_stream_needs_and_not_all_its_target_has() {
    for (options, needed) in [
        ("nil", 0),
        ("{ expect = 'any' }", 0),
        ("{ share_mode = 'read' }", 1),
        ("{ lease = 'RH' }", 2),
        ("{ create_contexts = { { name = 'MxAc' } } }", 2),
    ] {
        let place = Place::with_script(&plain(options));
        for (at, target) in ["sim", "embedded"].into_iter().enumerate() {
            let line = format!("s.lua --target {target} --iterations 2");
            let ended = place.run_to(&format!("{at}"), &line).end().exits(0);
            let summary = ended.summary();
            assert_eq!(mode(&summary), needed, "{options} on {target}");
            assert_eq!(summary["run"]["settings"].get("mode"), None);
            let reported = ended.stdout.contains(&format!("(fidelity mode {needed}"));
            assert_eq!(reported, needed > 0, "{}", ended.stdout);
        }
        let said = place.smbench("validate s.lua").end().exits(0).stdout;
        assert_eq!(said.contains("; needs fidelity mode "), needed > 0, "{said}");
    }
}

#[test]
fn a_stream_that_asks_for_more_than_the_mode_is_refused_with_the_mode_that_has_it() {
    let place = Place::with_script(EVERY_MODE);
    place.smbench("compile s.lua -o s.jsonl --iterations 2").end().exits(0);
    let caching = "lease and durable";
    for name in ["s.lua --iterations 2", "s.jsonl"] {
        for target in ["sim", "embedded"] {
            let refused = |mode: u8| {
                place.run(&format!("{name} --target {target} --mode {mode}")).end().refused(2)
            };
            assert_eq!(
                refused(0),
                "operation 0-2 needs share_mode (fidelity mode 1), which --mode 0 excludes; use --mode 2, or --degrade to go on without it"
            );
            assert_eq!(
                refused(1),
                format!(
                    "operation 0-4 needs {caching} (fidelity mode 2), which --mode 1 excludes; use --mode 2, or --degrade to go on without it"
                )
            );
        }
    }
    for (command, name) in [("s.lua", "script"), ("s.jsonl", "document")] {
        let said = place.smbench(&format!("validate {command}")).end().exits(0).stdout;
        assert!(said.starts_with(&format!("{command}: valid {name}, ")), "{said}");
        let needs = format!("; needs fidelity mode 2 ({caching}, first by operation 0-4)\n");
        assert!(said.ends_with(&needs), "{said}");
    }
}

#[test]
fn degrading_to_a_mode_leaves_out_what_is_beyond_it_and_counts_each_operation() {
    let place = Place::with_script(EVERY_MODE);
    let samba = Samba::start(Settings::default());
    let samba = samba.as_ref().map(Samba::url);
    for (wanted, degraded, granted) in [
        ("0", 2, r#"{"none":3}"#),
        ("1", 1, r#"{"none":3}"#),
        ("2", 0, r#"{"lease RWH":1,"none":2}"#),
        ("auto", 0, r#"{"lease RWH":1,"none":2}"#),
    ] {
        for (at, target) in ["sim", "embedded"].into_iter().chain(samba.as_deref()).enumerate() {
            let out = format!("{at}-{wanted}");
            let line = format!("s.lua --target {target} --iterations 1 --degrade --mode {wanted}");
            let summary = place.run_to(&out, &line).samba().end().exits(0).summary();
            assert_eq!(number(&summary["totals"]["degraded"]), degraded, "{out}");
            assert_eq!(number(&summary["totals"]["operations"]), 6, "{out}");
            assert_eq!(summary["operations"]["open"]["granted"].to_string(), granted, "{out}");
            let had = wanted.parse().unwrap_or(2);
            assert_eq!(mode(&summary), had, "{out}");
            let setting = summary["run"]["settings"].get("mode").map(number);
            assert_eq!(setting, wanted.parse().ok(), "{out}");
        }
    }
    let line = "run s.lua --target sim --iterations 1 --degrade --mode 1 --out told --allow-late";
    let reported = place.smbench(line).end().exits(0).stdout;
    let counted =
        "1 operation sent without features that the backend or --mode does not allow (--degrade)";
    assert!(reported.contains(counted), "{reported}");
    assert!(reported.contains("s.lua on sim (fidelity mode 1)\n"), "{reported}");
    assert!(reported.contains(", at most mode 1\n"), "{reported}");
}

#[test]
fn a_mode_the_target_does_not_have_is_refused_whatever_the_stream_needs() {
    let place = Place::with_script(&plain("nil"));
    assert_eq!(
        place.run("s.lua --target sim:null --mode 2 --iterations 1").end().refused(2),
        "--mode 2: the sim:null backend supports fidelity modes up to 1; choose such a mode, or continue with what the backend supports with --degrade"
    );
    let line = "s.lua --target sim:null --mode 2 --iterations 1 --degrade";
    let summary = place.run(line).end().exits(0).summary();
    assert_eq!((mode(&summary), number(&summary["run"]["settings"]["mode"])), (1, 2));
}

#[test]
fn a_mode_is_named_by_a_flag_or_a_variable() {
    let place = Place::with_script(&plain("{ lease = 'RH' }"));
    let run = || place.run("s.lua --target sim --iterations 1").env("SMBENCH_MODE", "1");
    assert!(run().end().refused(2).contains("which --mode 1 excludes"));
    run().arg("--mode").arg("auto").end().exits(0);
    let error = place.run("s.lua --mode 3").end().exits(2).stderr;
    assert!(error.contains("[possible values: auto, 0, 1, 2]"), "{error}");
}

#[test]
fn the_declared_needs_of_a_workload_count_before_its_operations_show_them() {
    let script = "bench.workload { name = 'w', needs = { mode = 2 }, iteration = function(c) c:stat('') end }";
    let place = Place::with_script(script);
    assert_eq!(mode(&place.run("s.lua --target sim --iterations 1").end().summary()), 2);
    let refused = place.run_to("no", "s.lua --target sim --iterations 1 --mode 0").end().refused(2);
    assert_eq!(
        refused,
        "workload 'w' needs access_mask (fidelity mode 1), which --mode 0 excludes; use --mode 2, or --degrade to go on without it"
    );
}

/// The check before the run makes a thousand operations, and the need shows only later.
#[test]
fn a_need_that_shows_late_makes_the_mode_or_breaks_the_run_off() {
    let place = Place::with_script(
        r#"bench.workload { name = "w", iteration = function(c)
            if c.iteration < 1200 then c:stat("") else c:close(c:open("f", "rw", { lease = "RWH" })) end
        end }"#,
    );
    let line = "s.lua --target sim --iterations 1201 --limit 1";
    let summary = place.run(line).end().exits(0).summary();
    assert_eq!(mode(&summary), 2);
    assert_eq!(number(&summary["operations"]["open"]["granted"]["lease RWH"]), 1);
    let (problem, summary) = place.run_to("off", &format!("{line} --mode 1")).end().broke_off(2);
    assert!(problem.starts_with("operation 0-1200 needs lease (fidelity mode 2), "), "{problem}");
    assert!(problem.ends_with("use --mode 2, or --degrade to go on without it"), "{problem}");
    assert_eq!(mode(&summary), 1);
    let line = format!("{line} --mode 1 --degrade");
    let summary = place.run_to("on", &line).end().exits(0).summary();
    assert_eq!(number(&summary["totals"]["degraded"]), 1);
}
