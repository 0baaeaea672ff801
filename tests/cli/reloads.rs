//! Watched runs that go from one generation of their script to the next: what their clients,
//! handles, hooks and figures do meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::program::{Place, names};
use crate::summary::number;
use crate::watched::{Watched, client, generation};

/// Returns a script with four clients, each of which writes a file and then leaves a mark.
fn marking(mark: &str) -> String {
    format!(
        "bench.workload {{ name = 'w', clients = 4, iteration = function(c)
            local h = c:open('f' .. c.id, 'rw')
            c:write(h, 0, 100)
            c:close(h)
            c:mkdir('{mark}' .. c.id, {{ expect = 'any' }})
            c:think('2ms')
        end }}"
    )
}

#[test]
fn clients_move_to_an_edit_at_their_next_iteration_over_the_same_connections() {
    let mut run = Watched::embedded(Place::with_script(&marking("one")), "--oplog");
    run.until(&["one0", "one1", "one2", "one3"]);
    run.edit("s.lua", marking("two"));
    let line = run.accepted(2);
    assert!(line.contains(" after the change of s.lua; 4 clients move at their next iteration"));
    run.until(&["two0", "two1", "two2", "two3"]);
    let reloaded = run.end();
    let summary = &reloaded.summary;
    assert_eq!(summary["exit_reasons"], json!(["interrupted"]));
    assert_eq!(number(&summary["totals"]["failed"]), 0);
    let [first, second] = reloaded.generations() else { panic!("{summary}") };
    assert_ne!(first["script_hash"], second["script_hash"]);
    assert_eq!((&first["clients"], &second["clients"]), (&json!(4), &json!(4)));
    assert_eq!(first["started_s"], 0.0);
    assert!(second["started_s"].as_f64().unwrap() > 0.0);
    // Nothing was lost or doubled, and no client went back.
    let mut counts = [0, 0];
    let mut present = BTreeMap::new();
    for line in reloaded.operations() {
        let generation = generation(&line);
        counts[generation as usize - 1] += 1;
        let before = present.insert(client(&line), generation).unwrap_or(1);
        assert!(generation >= before, "{line}");
        if line["type"] == "mkdir" {
            let mark = ["one", "two"][generation as usize - 1];
            assert!(line["path"].as_str().unwrap().starts_with(mark), "{line}");
        }
    }
    let expected = [first, second].map(|part| number(&part["totals"]["operations"]));
    assert_eq!(counts, expected);
    assert_eq!(present.len(), 4);
    let lines = reloaded.operations();
    let ids = lines.iter().map(|line| (generation(line), line["op_id"].as_str().unwrap()));
    let ids: BTreeSet<(u64, &str)> = ids.collect();
    assert_eq!(ids.len(), lines.len(), "no operation of a generation is doubled");
    let output = &reloaded.ended.stdout;
    assert!(output.contains("exit code 130: interrupted"), "{output}");
}

#[test]
fn an_edit_is_followed_up_to_the_end_of_a_run_that_ends_by_itself() {
    let place = Place::with_script(&marking("one"));
    let mut run = Watched::embedded(place, "--operations 4000 --oplog");
    run.until(&["one0"]);
    run.edit("s.lua", marking("two"));
    run.accepted(2);
    let reloaded = run.end_by_itself(0);
    assert_eq!(number(&reloaded.summary["totals"]["operations"]), 4000);
    assert!(number(&reloaded.generations()[1]["totals"]["operations"]) > 0);
}

#[test]
fn a_handle_from_setup_needs_a_restart_unless_setup_runs_again() {
    let script = |mark: &str, more: &str| {
        format!(
            "local h = {{}}
            bench.workload {{ name = 'w', clients = 3, {more}
                setup = function(c) h[c.id] = c:open('f' .. c.id, 'rw') end,
                iteration = function(c)
                    c:write(h[c.id], 0, 100)
                    c:mkdir('{mark}' .. c.id, {{ expect = 'any' }})
                    c:think('2ms')
                end }}"
        )
    };
    let mut run = Watched::embedded(Place::with_script(&script("one", "")), "--oplog");
    run.until(&["one0", "one1", "one2"]);
    run.edit("s.lua", script("two", ""));
    let reason = run.refused(1);
    let expected =
        "restart needed: the iterations of client w/0 use a handle that its setup opened";
    assert!(reason.starts_with(expected), "{reason}");
    assert!(reason.contains("set setup_on_reload = true in its workload"), "{reason}");
    assert!(!run.shared("two0").exists());
    run.edit("s.lua", script("two", "setup_on_reload = true,"));
    run.accepted(2);
    run.until(&["two0", "two1", "two2"]);
    let reloaded = run.end();
    assert_eq!(number(&reloaded.summary["totals"]["failed"]), 0);
    assert_eq!(number(&reloaded.summary["totals"]["skipped"]), 0);
    // The handles of the first setup are closed at the move, those of the second at the end.
    assert_eq!(reloaded.generations()[0]["closed_handles"], 3);
    let lines = reloaded.operations();
    let opened = |section: &str, of: u64| {
        let own = lines.iter().filter(|line| generation(line) == of && line["section"] == section);
        let mut clients: Vec<u64> = own.filter(|line| line["type"] == "open").map(client).collect();
        clients.sort();
        clients
    };
    assert_eq!(opened("setup", 1), [0, 1, 2]);
    assert_eq!(opened("setup", 2), [0, 1, 2]);
    let notes = reloaded.summary["notes"].to_string();
    assert!(notes.contains("1 edit was refused"), "{notes}");
}

#[test]
fn added_clients_run_setup_and_retired_ones_teardown_and_nothing_is_left() {
    let script = |mark: &str, clients: u32| {
        format!(
            "bench.setup(function(c) c:mkdir('all') end)
            bench.workload {{ name = 'w', clients = {clients},
                setup = function(c) c:mkdir('all/u' .. c.id) end,
                iteration = function(c)
                    c:mkdir('all/u' .. c.id .. '/{mark}', {{ expect = 'any' }})
                    c:think('2ms')
                end,
                teardown = function(c)
                    for _, mark in {{ 'one', 'two', 'three', 'four' }} do
                        c:rmdir('all/u' .. c.id .. '/' .. mark, {{ expect = 'any' }})
                    end
                    c:rmdir('all/u' .. c.id)
                end }}
            bench.teardown(function(c) c:rmdir('all') end)"
        )
    };
    let mut run = Watched::embedded(Place::with_script(&script("one", 2)), "--oplog");
    run.until(&["all/u0/one", "all/u1/one"]);
    run.edit("s.lua", script("two", 4));
    let line = run.accepted(2);
    assert!(line.ends_with("; 2 clients move at their next iteration, 2 clients join"), "{line}");
    run.until(&["all/u0/two", "all/u1/two", "all/u2/two", "all/u3/two"]);
    run.edit("s.lua", script("three", 1));
    let line = run.accepted(3);
    assert!(line.ends_with("; 1 client moves at its next iteration, 3 clients leave"), "{line}");
    run.until(&["all/u0/three"]);
    let retired = ["all/u1", "all/u2", "all/u3"].map(|path| run.shared(path));
    run.running.until("retired", || retired.iter().all(|path| !path.exists()));
    // A client that comes back is a new one: it runs its setup.
    run.edit("s.lua", script("four", 3));
    let line = run.accepted(4);
    assert!(line.ends_with("; 1 client moves at its next iteration, 2 clients join"), "{line}");
    run.until(&["all/u0/four", "all/u1/four", "all/u2/four"]);
    let reloaded = run.end();
    assert_eq!(names(&reloaded.place.path().join("share")), [""; 0], "the share is empty");
    let clients: Vec<u64> =
        reloaded.generations().iter().map(|part| number(&part["clients"])).collect();
    assert_eq!(clients, [2, 4, 1, 3]);
    assert_eq!(number(&reloaded.summary["totals"]["failed"]), 0);
    let lines = reloaded.operations();
    let of = |section: &str, kind: &str| {
        let own = lines.iter().filter(|line| line["section"] == section && line["type"] == kind);
        let mut of: Vec<(u64, String)> =
            own.map(|line| (generation(line), line["path"].as_str().unwrap().into())).collect();
        of.sort();
        of
    };
    let expected = |list: &[(u64, &str)]| -> Vec<(u64, String)> {
        list.iter().map(|(generation, path)| (*generation, path.to_string())).collect()
    };
    assert_eq!(
        of("setup", "mkdir"),
        expected(&[
            (1, "all"),
            (1, "all/u0"),
            (1, "all/u1"),
            (2, "all/u2"),
            (2, "all/u3"),
            (4, "all/u1"),
            (4, "all/u2"),
        ])
    );
    let removed: Vec<(u64, String)> = of("teardown", "rmdir")
        .into_iter()
        .filter(|(_, path)| path.matches('/').count() < 2)
        .collect();
    // The retired clients run the teardown of the generation that they were in.
    assert_eq!(
        removed,
        expected(&[
            (2, "all/u1"),
            (2, "all/u2"),
            (2, "all/u3"),
            (4, "all"),
            (4, "all/u0"),
            (4, "all/u1"),
            (4, "all/u2"),
        ])
    );
}

#[test]
fn handles_that_are_open_across_iterations_are_closed_at_the_move() {
    let script = |mark: &str| {
        format!(
            "bench.workload {{ name = 'w', clients = 3, iteration = function(c)
                local h = c:open('{mark}' .. c.id, 'rw')
                while c:running() do
                    c:write(h, 0, 100)
                    c:think('2ms')
                end
            end }}"
        )
    };
    let mut run = Watched::embedded(Place::with_script(&script("one")), "--oplog");
    run.until(&["one0", "one1", "one2"]);
    run.edit("s.lua", script("two"));
    run.accepted(2);
    run.until(&["two0", "two1", "two2"]);
    let reloaded = run.end();
    let summary = &reloaded.summary;
    for count in ["failed", "skipped"] {
        assert_eq!(number(&summary["totals"][count]), 0, "{count}");
    }
    assert_eq!(reloaded.generations()[0]["closed_handles"], 3);
    // At the end those of the second generation are closed too.
    assert_eq!(summary["cleanup"]["closed"], 3);
}

#[test]
fn hooks_metrics_and_thresholds_of_the_last_generation_end_the_run() {
    let script = |mark: &str, threshold: &str| {
        format!(
            "local seen = bench.counter('seen')
            bench.workload {{ name = 'w', clients = 4, iteration = function(c)
                c:mkdir('{mark}' .. c.id, {{ expect = 'any' }})
                c:think('2ms')
            end }}
            bench.on_complete({{ fields = {{ 'generation' }} }}, function(generation)
                seen:add(1, {{ by = '{mark}', of = generation }})
                local state = bench.state
                state.first = state.first or '{mark}'
                state.counts = state.counts or {{}}
                state.counts[generation] = (state.counts[generation] or 0) + 1
            end)
            bench.on_end(function(summary)
                print('end', '{mark}', bench.state.first, unpack(bench.state.counts))
            end)
            bench.thresholds {{ '{threshold}' }}"
        )
    };
    let place = Place::with_script(&script("one", "mkdir.count < 1"));
    let mut run = Watched::embedded(place, "--operations 3000");
    run.until(&["one0"]);
    run.edit("s.lua", script("two", "mkdir.count > 2999"));
    run.accepted(2);
    let reloaded = run.end_by_itself(0);
    let summary = &reloaded.summary;
    let of = |at: usize| number(&reloaded.generations()[at]["totals"]["operations"]);
    let said = format!("end two one {} {}", of(0), of(1));
    assert!(of(0) > 0 && of(1) > 0);
    let stderr = &reloaded.ended.stderr;
    assert!(stderr.replace('\t', " ").contains(&said), "{said}: {stderr}");
    assert_eq!(stderr.matches("end").count(), 1, "{stderr}");
    let thresholds = summary["thresholds"].as_array().unwrap();
    assert_eq!(thresholds.len(), 1, "{thresholds:?}");
    assert_eq!(summary["metrics"]["seen"]["value"], 3000);
    let tagged = summary["metrics"]["seen"]["tagged"].as_array().unwrap();
    let by = |mark: &str| -> u64 {
        let own = tagged.iter().filter(|part| part["tags"]["by"] == mark);
        own.map(|part| number(&part["value"])).sum()
    };
    // The new hooks get what completes after the edit was accepted, of either generation.
    assert!(by("two") >= of(1) && by("one") > 0, "{tagged:?}");
    let parts = reloaded.generations().iter().map(|part| &part["metrics"]["seen"]["value"]);
    assert_eq!(parts.map(number).sum::<u64>(), 3000);
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let script = |path: &str| {
        format!(
            "bench.workload {{ name = 'w', clients = 8, pace = bench.open_loop {{ rate = 200 }},
                iteration = function(c) c:mkdir('{path}', {{ expect = 'any' }}) end }}"
        )
    };
    let mut run = Watched::embedded(Place::with_script(&script("one")), "--oplog");
    for (generation, mark) in [(2, "two"), (3, "three"), (4, "four")] {
        run.until(&[["one", "two", "three"][generation as usize - 2]]);
        run.edit("s.lua", script(mark));
        run.accepted(generation);
    }
    run.until(&["four"]);
    let reloaded = run.end();
    let lines = reloaded.operations();
    let mut due: Vec<u64> = lines.iter().map(|line| number(&line["due_ns"])).collect();
    due.sort();
    // Those that were due last were cut with the run, or were not made.
    let apart: Vec<u64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let odd: Vec<u64> = apart.into_iter().filter(|gap| *gap != 5_000_000).collect();
    assert!(odd.len() <= 3, "at most one at each move: {odd:?}");
    assert!(odd.iter().all(|gap| *gap > 0), "an arrival was doubled: {odd:?}");
    let span_ns = due.last().unwrap() - due[0];
    let missing = (span_ns / 5_000_000 + 1).abs_diff(due.len() as u64);
    assert!(missing <= 3, "{missing} arrivals of {} are missing: {odd:?}", due.len());
}

#[test]
fn a_client_that_reaches_no_boundary_is_cut_after_the_grace_time() {
    let script = |mark: &str, think: &str| {
        format!(
            "bench.workload {{ name = 'w', clients = 3, iteration = function(c)
                c:mkdir('{mark}' .. c.id, {{ expect = 'any' }})
                if c.id == 1 then c:think('{think}') else c:think('2ms') end
                c:mkdir('{mark}after' .. c.id, {{ expect = 'any' }})
            end }}"
        )
    };
    let place = Place::with_script(&script("one", "1h"));
    let mut run = Watched::embedded(place, "--reload-grace 500ms");
    run.until(&["one0", "one1", "one2"]);
    run.edit("s.lua", script("two", "2ms"));
    run.accepted(2);
    let line = run.line("grace", |line| line.contains("--reload-grace"));
    let expected = "reload: 1 client reached no boundary within --reload-grace (500ms): the rest of its iteration is discarded before it moves to generation 2";
    assert_eq!(line, expected);
    run.until(&["two0", "two1", "two2", "twoafter1"]);
    assert!(!run.shared("oneafter1").exists());
    let reloaded = run.end();
    let iterations: Vec<&Value> =
        reloaded.generations().iter().map(|part| &part["iterations"]["cut"]).collect();
    assert_eq!(iterations[0], 1, "{iterations:?}");
}

#[test]
fn many_edits_a_second_end_with_the_newest() {
    let mut run = Watched::embedded(Place::with_script(&marking("first")), "");
    run.until(&["first0"]);
    for edit in 0..60 {
        run.edit("s.lua", marking(&format!("edit{edit}-")));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    run.until(&["edit59-0", "edit59-1", "edit59-2", "edit59-3"]);
    let reloaded = run.end();
    let stderr = &reloaded.ended.stderr;
    assert!(!stderr.contains("refused"), "{stderr}");
    let accepted = stderr.matches(" accepted ").count();
    assert_eq!(reloaded.generations().len(), accepted + 1);
    assert!(accepted > 1, "{stderr}");
    assert_eq!(number(&reloaded.summary["totals"]["failed"]), 0);
}

/// Maximum growth of the program's least memory over 300 reloads, each of which has a part in the
/// summary: less than 28 KiB a reload.
const GROWTH_KIB: u64 = 8 << 10;

#[test]
#[ignore = "reloads five hundred times"]
fn five_hundred_reloads_leave_the_memory_as_it_was() {
    let script = |number: u32| {
        format!(
            "bench.on_phase(function() print('begun') end)
            bench.workload {{ name = 'w', clients = 8, iteration = function(c)
                c:stat('')
                c:think({})
            end }}",
            2_000_000 + number
        )
    };
    let place = Place::with_script(&script(1));
    let mut run = Watched::start(place, "s.lua --target sim");
    run.running.lasts(std::time::Duration::from_secs(900));
    run.line("beginning", |line| line == "begun");
    let statm = format!("/proc/{}/statm", run.running.id());
    let resident_kib = || -> u64 {
        let pages = std::fs::read_to_string(&statm).unwrap();
        pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
    };
    let mut after_each = Vec::new();
    for generation in 2..=501 {
        run.edit("s.lua", script(generation));
        run.accepted(generation);
        after_each.push(resident_kib());
    }
    // Two generations are loaded for a moment after each reload, for longer on a busy machine, so
    // that single values differ by 20 MiB. What is never freed raises the least value of many.
    let least = |reloads: &[u64]| *reloads.iter().min().unwrap();
    let (early, late) = (least(&after_each[100..200]), least(&after_each[400..500]));
    println!("resident: {early} KiB in reloads 101 to 200, {late} KiB in reloads 401 to 500");
    let reloaded = run.end();
    assert_eq!(reloaded.generations().len(), 501);
    assert!(late < early + GROWTH_KIB, "{early} KiB and {late} KiB: {after_each:?}");
}
