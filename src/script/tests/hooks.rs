//! Tests of hooks as a script writes them: the arguments of their calls, what they may do, and how
//! failures are handled.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::ir::CompletionEvent;
use crate::observability::Layout;
use crate::observability::fixtures::{OK, completion, delete, failed, granted, open, read};
use crate::protocol::create::OplockLevel;
use crate::protocol::{Caching, LeaseState, NtStatus};
use crate::script::hooks::{Edge, HookReport, HookSuccession, HookVerdict, Hooks};

const WORKLOADS: &str = "bench.phases { { name = 'warmup', duration = '1s', record = false }, { name = 'steady', duration = '2s' } }
bench.workload { name = 'editors', clients = 2, iteration = print }
bench.workload { name = 'readers', iteration = print }\n";

/// Starts the script's hooks. Returns them with the verdicts that they send to the run.
pub(super) fn started(written: &Written) -> (Option<Hooks>, mpsc::Receiver<HookVerdict>) {
    let script = written.load().unwrap_or_else(|error| panic!("{error}"));
    let header = script.header().clone();
    let phases = header.phases.clone();
    let layout = Layout::new(Arc::new(header), phases, Duration::from_millis(10));
    let (sender, verdicts) = mpsc::channel();
    let verdict = move |verdict| drop(sender.send(verdict));
    let succession = HookSuccession::default();
    let hooks = Hooks::start(&written.options, Arc::new(layout), &succession, verdict);
    (hooks.unwrap_or_else(|error| panic!("{error}")), verdicts)
}

pub(super) fn with_hooks(text: &str) -> Written {
    script(&format!("{WORKLOADS}{text}")).with(|options| options.limits = quick())
}

/// Returns the report of hooks that were called with these events.
pub(super) fn heard(text: &str, events: impl IntoIterator<Item = CompletionEvent>) -> HookReport {
    heard_of(&with_hooks(text), events)
}

pub(super) fn heard_of(
    written: &Written,
    events: impl IntoIterator<Item = CompletionEvent>,
) -> HookReport {
    let (hooks, _verdicts) = started(written);
    let mut hooks = hooks.expect("hooks");
    if let Some(mut tap) = hooks.tap() {
        events
            .into_iter()
            .for_each(|event| tap.completed(&event, |event| event.operation.kind.path()));
    }
    hooks.finish(Duration::from_secs(120))
}

/// Returns the tags of a metric, and the count of each.
fn tagged(report: &HookReport, metric: &str) -> Vec<(String, u64)> {
    let summary = serde_json::to_value(&report.metrics[metric]).unwrap();
    let parts = summary["tagged"].as_array().cloned().unwrap_or_default();
    let part = |part: &serde_json::Value| {
        let tag = part["tags"].as_object().unwrap().values().next().unwrap();
        (tag.as_str().unwrap().to_string(), part["value"].as_u64().unwrap())
    };
    parts.iter().map(part).collect()
}

/// Returns a mix of events: both workloads, three outcomes, every section, two phases.
fn events() -> Vec<CompletionEvent> {
    let mut events = vec![
        completion(0, 0, open(1, "team/a.docx"), OK),
        completion(1, 0, open(1, "team/b.tmp"), failed(NtStatus::SHARING_VIOLATION)),
        completion(2, 0, read(1), OK),
        completion(2, 1, delete("team/c.docx"), CompletionStatus::Cut),
        completion(0, 1, read(1), CompletionStatus::Skipped { cause_seq: 0 }),
        completion(0, 2, delete("other/d.docx"), OK),
        completion(0, 3, delete("warm"), OK),
        completion(0, 4, delete("setup"), OK),
        completion(0, 5, delete("teardown"), OK),
    ];
    events[6].phase = Some(0);
    let session = Arc::new(Step { name: "session".into(), number: 0, outer: None });
    events[0].operation.step = Some(Arc::clone(&session));
    events[1].operation.step =
        Some(Arc::new(Step { name: "save".into(), number: 1, outer: Some(session) }));
    for (at, section) in [(7, Section::Setup), (8, Section::Teardown)] {
        (events[at].operation.section, events[at].phase) = (section, None);
    }
    events
}

use crate::ir::{CompletionStatus, Step};

#[test]
fn a_hook_sees_what_totals_count_unless_its_filter_says_otherwise() {
    for (filter, expected) in [
        ("", "0-0 0-2 1-0 2-0"),
        ("ops = { 'open' }", "0-0 1-0"),
        ("ops = 'delete'", "0-2"),
        ("workload = 'readers'", "2-0"),
        ("workload = { 'editors', 'readers' }, ops = { 'read' }", "2-0"),
        ("status = 'ok'", "0-0 0-2 2-0"),
        ("status = 'failed'", "1-0"),
        ("status = 'sharing_violation'", "1-0"),
        ("status = { 'STATUS_SHARING_VIOLATION', 'skipped' }", "0-1 1-0"),
        ("status = 'cut'", "2-1"),
        ("path = 'team/*'", "0-0 1-0"),
        ("path = { '*.docx', '?arm' }", "0-0 0-2"),
        ("phase = 'warmup'", "0-3"),
        ("phase = { 'warmup', 'steady' }, ops = 'delete'", "0-2 0-3"),
        ("step = 'save'", "1-0"),
        ("step = 'session'", "0-0 1-0"),
        ("step = { 'browse', 'save' }", "1-0"),
        ("step = 'browse'", ""),
        ("phase = 'setup'", "0-4"),
        ("phase = 'teardown'", "0-5"),
    ] {
        let text = format!(
            "local seen = bench.counter('seen')
            bench.on_complete({{ {filter}{} fields = {{ 'op_id' }} }}, function(id) seen:add(1, {{ id = id }}) end)",
            if filter.is_empty() { "" } else { "," }
        );
        let report = heard(&text, events());
        let seen: Vec<String> = tagged(&report, "seen").into_iter().map(|(id, _)| id).collect();
        assert_eq!(seen.join(" "), expected, "{filter}");
        assert_eq!(report.events.delivered, seen.len() as u64, "{filter}");
        assert_eq!((report.events.dropped, report.outcome.errors.len()), (0, 0), "{filter}");
    }
}

#[test]
fn a_hook_gets_the_fields_it_names_in_their_order() {
    let arguments = |filter: &str, event: CompletionEvent| -> String {
        let text = format!(
            "local got = bench.counter('got')
            bench.on_complete({filter} function(...)
                local texts = {{}}
                for i = 1, select('#', ...) do texts[i] = tostring((select(i, ...))) end
                got:add(1, {{ args = table.concat(texts, ' ') }})
            end)"
        );
        let report = heard(&text, [event]);
        assert_eq!(report.outcome.errors, [""; 0]);
        tagged(&report, "got").remove(0).0
    };
    let event = || {
        let status = failed(NtStatus(0xC0DE_0001));
        let mut event = completion(1, 7, open(1, "team/a.docx"), status);
        (event.times.issued_ns, event.times.attempted_ns) = (1_000_000_300, 1_000_000_300);
        event.execution.bytes = 4_096;
        event
    };
    assert_eq!(arguments("", event()), "open 0xC0DE0001 999700 1000000");
    assert_eq!(
        arguments(
            "{ fields = { 'bytes', 'client', 'op_id', 'lateness_ns', 'iteration', 'path', 'granted', 'kind', 'generation' } },",
            event()
        ),
        "4096 editors/1 1-7 300 0 team/a.docx nil open 1"
    );
    let granted = |caching| {
        let mut event = event();
        event.execution.granted = granted(caching);
        event
    };
    let event = granted(Caching::Oplock(OplockLevel::II));
    assert_eq!(
        arguments("{ fields = { 'granted', 'create_action', 'file_id' } },", event),
        "ii opened 00000000000000010000000000000002"
    );
    let caching = "{ fields = { 'granted' } },";
    for (was, expected) in [
        (Caching::Oplock(OplockLevel::None), "none"),
        (Caching::Oplock(OplockLevel::II), "ii"),
        (Caching::Oplock(OplockLevel::Exclusive), "exclusive"),
        (Caching::Oplock(OplockLevel::Batch), "batch"),
        (Caching::Lease(LeaseState::RWH), "RWH"),
        (Caching::Lease(LeaseState::NONE), "none"),
    ] {
        assert_eq!(arguments(caching, granted(was)), expected);
    }
    let step = |event| arguments("{ fields = { 'step', 'op_id' } },", event);
    assert_eq!(step(events().remove(1)), "save 1-0");
    assert_eq!(step(events().remove(0)), "session 0-0");
    assert_eq!(step(events().remove(2)), "nil 2-0");
    let skipped = completion(1, 8, read(1), CompletionStatus::Skipped { cause_seq: 7 });
    assert_eq!(arguments("{ status = 'skipped' },", skipped), "read SKIPPED nil nil");
}

#[test]
fn hooks_get_the_events_of_a_client_in_order_however_many_there_are() {
    let text = "local seen, wrong = bench.counter('seen'), bench.counter('wrong')
        bench.on_complete({ fields = { 'client', 'op_id' } }, function(client, id)
            local seq = tonumber(id:match('-(%d+)$'))
            if seq ~= (bench.state[client] or -1) + 1 then wrong:add() end
            bench.state[client] = seq
            seen:add()
        end)";
    let events = (0..30_000).map(|i| completion(i % 3, i / 3, read(1), OK));
    let report = heard(text, events);
    let metrics = serde_json::to_value(&report.metrics).unwrap();
    assert_eq!(
        (&metrics["seen"]["value"], &metrics["wrong"]["value"]),
        (&30_000.into(), &0.into())
    );
    assert_eq!((report.events.delivered, report.events.dropped), (30_000, 0));
}

#[test]
fn a_script_without_hooks_has_no_vm_for_them() {
    assert!(started(&with_hooks("")).0.is_none());
    let (hooks, _) = started(&with_hooks("bench.on_phase(function() end)"));
    assert!(hooks.unwrap().tap().is_none(), "no hook is on completions");
}

#[test]
fn a_hook_that_fails_is_reported_once_with_its_line_and_a_count_and_called_again() {
    let text = "local n = bench.counter('n')
        bench.on_complete({ fields = { 'op_id' } }, function(id)
            n:add()
            if id ~= '0-3' then error('not ' .. id) end
        end)
        bench.on_phase(function(name) local x = nil return x[name] end)";
    let (hooks, verdicts) = started(&with_hooks(text));
    let mut hooks = hooks.unwrap();
    hooks.phase("steady", Edge::Start);
    let mut tap = hooks.tap().unwrap();
    (0..1_000).for_each(|seq| tap.completed(&completion(0, seq, read(1), OK), |_| None));
    drop(tap);
    let report = hooks.finish(Duration::from_secs(120));
    let mut errors = report.outcome.errors;
    errors.sort();
    assert_eq!(
        errors,
        [
            "s.lua:7: not 0-0 (999 times, in a hook)",
            "s.lua:9: attempt to index nil with 'steady' (once, in a hook)"
        ]
    );
    assert_eq!((report.events.delivered, report.events.dropped), (1_001, 0));
    assert_eq!(serde_json::to_value(&report.metrics["n"]).unwrap()["value"], 1_000);
    assert_eq!(verdicts.try_iter().collect::<Vec<_>>(), [HookVerdict::Failed]);
}

#[test]
fn events_that_a_hook_is_too_slow_for_count_as_dropped() {
    let text = "local n, m = bench.counter('n'), bench.counter('m')
        bench.on_complete(function() n:add() for i = 1, 20000 do local x = i * i end m:add() end)";
    let (hooks, _verdicts) = started(&with_hooks(text));
    let mut hooks = hooks.unwrap();
    let mut tap = hooks.tap().unwrap();
    (0..400_000).for_each(|seq| tap.completed(&completion(0, seq, read(1), OK), |_| None));
    drop(tap);
    let report = hooks.finish(Duration::ZERO);
    assert!(report.events.dropped > 0);
    assert_eq!(report.events.delivered + report.events.dropped, 400_000);
    let value = |name: &str| serde_json::to_value(&report.metrics[name]).unwrap()["value"].as_u64();
    let (begun, ended) = (value("n").unwrap(), value("m").unwrap());
    let delivered = report.events.delivered;
    assert!(
        [delivered, delivered + 1].contains(&begun),
        "one call was cut off: {begun}, {delivered}"
    );
    assert!([delivered, delivered + 1].contains(&ended), "delivered is what was not: {ended}");
}

#[test]
fn a_hook_that_takes_all_its_time_or_memory_is_ended_and_the_others_go_on() {
    for (attack, what) in [
        ("while true do end", "no result after 150ms of computing"),
        ("while true do pcall(function() while true do end end) end", "no result after 150ms"),
        (
            "bench.state.t = {} while true do table.insert(bench.state.t, ('x'):rep(100000) .. #bench.state.t) end",
            "memory",
        ),
        ("local s = 'x' while true do s = s .. s end", "memory"),
    ] {
        let text = format!(
            "local n = bench.counter('n')
            bench.on_complete(function() {attack} end)
            bench.on_complete(function() n:add() end)"
        );
        let report = heard(&text, (0..1_000).map(|seq| completion(0, seq, read(1), OK)));
        let errors = &report.outcome.errors;
        assert!(errors.len() == 1 && errors[0].starts_with("s.lua"), "{attack}: {errors:?}");
        assert!(errors[0].contains(what), "{attack}: {errors:?}");
        assert!(errors[0].ends_with("(once, in a hook, which is not called again)"), "{errors:?}");
        assert_eq!((report.events.delivered, report.events.dropped), (1_001, 999), "{attack}");
        assert_eq!(serde_json::to_value(&report.metrics["n"]).unwrap()["value"], 1_000, "{attack}");
    }
}

#[test]
fn every_attack_in_a_hook_ends_and_tells_its_line() {
    for (name, attack) in hostile::ATTACKS {
        let report = heard(
            &format!("bench.on_complete(function()\n{attack}\nend)"),
            [completion(0, 0, read(1), OK)],
        );
        let errors = &report.outcome.errors;
        assert_eq!(report.outcome.internal, None, "{name}");
        assert_eq!(report.events.delivered, 1, "{name}");
        if !hostile::HARMLESS.contains(name) {
            assert_eq!(errors.len(), 1, "{name}: {errors:?}");
            assert!(errors[0].starts_with("s.lua:"), "{name}: {errors:?}");
        }
    }
}

#[test]
fn hooks_cannot_reach_the_stream_and_the_stream_cannot_reach_hooks() {
    let in_hook = |body: &str| {
        let text =
            format!("local m = bench.counter('m')\nbench.on_complete(function() {body} end)");
        heard(&text, [completion(0, 0, read(1), OK)]).outcome.errors.remove(0)
    };
    assert_eq!(
        in_hook("bench.workload { name = 'x', iteration = print }"),
        "s.lua:5: bench.workload must be called at the top level of the script, outside of all functions (once, in a hook)"
    );
    assert_eq!(
        in_hook("coroutine.yield()"),
        "s.lua:5: coroutine.yield outside a coroutine of the script (once, in a hook)"
    );
    let in_iteration = |body: &str| {
        let text = "local m = bench.counter('app.m') local h = bench.histogram('app.h')";
        script(&format!(
            "{text}\nbench.workload {{ name = 'w', iteration = function(c)\n{body}\nend }}"
        ))
        .message()
    };
    assert_eq!(
        in_iteration("m:add()"),
        "s.lua:3: app.m:add: metrics can be updated only in hooks (bench.on_complete, bench.on_phase); the rest of a script makes operations and never sees results"
    );
    assert_eq!(
        in_iteration("bench.state.x = 1"),
        "s.lua:3: bench.state exists only where hooks run: only a hook can use it"
    );
    assert_eq!(
        in_iteration("bench.abort('x')"),
        "s.lua:3: bench.abort belongs in a hook (bench.on_complete, bench.on_phase, bench.on_end)"
    );
    assert_eq!(
        in_iteration("bench.on_complete(print)"),
        "s.lua:3: bench.on_complete must be called at the top level of the script, outside of all functions"
    );
    assert_eq!(
        in_iteration("h:add(1)"),
        "s.lua:3: 'app.h' is a histogram, which has no method 'add': here it is 'record'"
    );
}

#[test]
fn mistakes_in_hooks_and_metrics_name_the_line_and_the_right_word() {
    for (text, expected) in [
        (
            "bench.on_complete()",
            "s.lua:4: bench.on_complete takes an optional filter and a function",
        ),
        (
            "bench.on_complete({ op = 'read' }, print)",
            "s.lua:4: bench.on_complete: unknown field 'op': did you mean 'ops'?",
        ),
        (
            "bench.on_complete({ ops = { 'reed' } }, print)",
            "s.lua:4: bench.on_complete: ops: unknown operation 'reed': did you mean 'read'?",
        ),
        (
            "bench.on_complete({ path = ('*a'):rep(3e4) .. 'b' }, print)",
            "s.lua:4: bench.on_complete: path: a pattern is at most 512 bytes long",
        ),
        (
            "bench.on_complete({ status = table.create(129, 'ok') }, print)",
            "s.lua:4: bench.on_complete: status has more than 128 entries",
        ),
        ("bench.on_complete({ ops = {} }, print)", "s.lua:4: bench.on_complete: ops is a list"),
        (
            "bench.on_complete({ fields = { 'servce_ns' } }, print)",
            "s.lua:4: bench.on_complete: fields: unknown field 'servce_ns': did you mean 'service_ns'?",
        ),
        (
            "bench.on_complete({ status = 'SHARING_VIOLATON' }, print)",
            "s.lua:4: bench.on_complete: status: unknown status 'SHARING_VIOLATON': did you mean 'SHARING_VIOLATION'?",
        ),
        (
            "bench.on_complete({ step = 'a.b' }, print)",
            "s.lua:4: bench.on_complete: step: \"a.b\" is not the name of a step",
        ),
        (
            "bench.on_complete({ workload = 'editor' }, print)",
            "s.lua:4: bench.on_complete: unknown workload 'editor': did you mean 'editors'?",
        ),
        (
            "bench.on_complete({ phase = 'stedy' }, print)",
            "s.lua:4: bench.on_complete: unknown phase 'stedy': did you mean 'steady'?",
        ),
        (
            "local x = bench.status.SHARING_VIOLATON",
            "s.lua:4: unknown name in bench.status 'SHARING_VIOLATON': did you mean 'SHARING_VIOLATION'?",
        ),
        ("bench.counter('a b')", "s.lua:4: bench.counter: 'a b' is no name of a metric"),
        (
            "bench.counter('a') bench.gauge('a')",
            "s.lua:4: bench.gauge 'a': there is already a metric with this name",
        ),
        (
            "bench.histogram('a', { unit = 'ms' })",
            "s.lua:4: bench.histogram 'a': unit 'ms': all times in a script are in \"ns\"",
        ),
        (
            "bench.counter('a', { unit = 'ns' })",
            "s.lua:4: bench.counter 'a': unknown option 'unit'",
        ),
        ("bench.on_end('x')", "s.lua:4: bench.on_end takes a function (summary), not \"x\""),
    ] {
        let message = with_hooks(text).refused();
        assert!(message.starts_with(expected), "{text}: {message}");
    }
    let in_hook = |body: &str| {
        let text = format!(
            "local c, h, r = bench.counter('c', {{ tags = {{ 'share' }} }}), bench.histogram('h'), bench.rate('r')
            bench.on_complete(function() {body} end)"
        );
        heard(&text, [completion(0, 0, read(1), OK)]).outcome.errors.remove(0)
    };
    for (body, expected) in [
        ("h:record(-1)", "s.lua:5: h:record: -1 is negative; a histogram takes 0 and more"),
        ("h:record('1')", "s.lua:5: h:record takes a number, not \"1\""),
        ("h:record(0/0)", "s.lua:5: h:record takes a finite number, not NaN"),
        ("h:record(1e308)", "s.lua:5: h:record: 1e308 is beyond 2^53"),
        ("r:observe(1)", "s.lua:5: r:observe takes true or false, not 1"),
        (
            "c:add(1, { shar = 'x' })",
            "s.lua:5: c:add: the tags: unknown tag 'shar': did you mean 'share'?",
        ),
        ("c:addd(1)", "s.lua:5: unknown method 'addd'"),
    ] {
        let message = in_hook(body);
        assert!(message.starts_with(expected), "{body}: {message}");
    }
}

#[test]
fn a_hook_ends_the_run_and_the_first_reason_stands() {
    let text = "bench.on_complete({ status = 'failed' }, function(kind, status)
        bench.abort(kind .. ' ended with ' .. status)
    end)";
    let (hooks, verdicts) = started(&with_hooks(text));
    let mut hooks = hooks.unwrap();
    let mut tap = hooks.tap().unwrap();
    let statuses = [OK, failed(NtStatus::DISK_FULL), failed(NtStatus::ACCESS_DENIED)];
    for (seq, status) in (0..).zip(statuses) {
        tap.completed(&completion(0, seq, read(1), status), |_| None);
    }
    drop(tap);
    let report = hooks.finish(Duration::from_secs(120));
    let reason = "read ended with STATUS_DISK_FULL".to_string();
    assert_eq!(report.outcome.aborted, Some(reason.clone()));
    assert_eq!(verdicts.try_iter().collect::<Vec<_>>(), [HookVerdict::Aborted(reason)]);
}

#[test]
fn on_end_reads_the_summary_and_cannot_change_it() {
    let end = |body: &str| {
        let text = format!("local m = bench.counter('m')\nbench.on_end(function(s) {body} end)");
        let (hooks, _verdicts) = started(&with_hooks(&text));
        let mut hooks = hooks.unwrap();
        hooks.finish(Duration::from_secs(120));
        hooks.end(serde_json::json!({ "totals": { "operations": 7 }, "phases": [{ "name": "a" }] }))
    };
    let said = end("bench.abort(s.totals.operations .. s.phases[1].name .. #s.phases)");
    assert_eq!(said.aborted.as_deref(), Some("7a1"));
    let problem = |body| end(body).errors.remove(0);
    assert!(
        problem("s.totals.operations = 8")
            .starts_with("s.lua:5: attempt to modify a readonly table")
    );
    assert!(problem("m:add()").starts_with("s.lua:5: m:add: the summary is complete"));
    assert!(problem("while true do end").contains("the script seems to loop forever"));
}

#[test]
fn an_event_comes_to_a_hook_soon_though_no_batch_is_full() {
    let (hooks, verdicts) =
        started(&with_hooks("bench.on_complete(function() bench.abort('soon') end)"));
    let hooks = hooks.unwrap();
    let mut tap = hooks.tap().unwrap();
    let bound = std::time::Instant::now() + Duration::from_secs(20);
    let mut seq = 0;
    // The tap is kept, so nothing is handed over only because the tap ends.
    while verdicts.try_recv().is_err() {
        assert!(std::time::Instant::now() < bound, "no hook was called");
        tap.completed(&completion(0, seq, read(1), OK), |_| None);
        seq += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(seq < 256, "only the batch was full");
}

#[test]
fn hooks_have_the_texts_that_the_operations_were_loaded_with_and_are_refused_with_others() {
    let text = "require('./m') bench.on_end(function() end)";
    let written = with_hooks(text).file("m.lua", "return {}");
    let header = written.load().unwrap().header().clone();
    let layout = Layout::new(Arc::new(header), Vec::new(), Duration::from_millis(10));
    let layout = Arc::new(layout);
    let succession = HookSuccession::default();
    let start = |options| Hooks::start(options, layout.clone(), &succession, |_| {});
    assert!(start(&written.options).unwrap().is_some());
    std::fs::write(written.path("m.lua"), "return { other = true }").unwrap();
    assert!(start(&written.options).unwrap().is_some(), "a load reads each file once");
    let mut anew = written.options.clone();
    anew.sources = Default::default();
    let refused = start(&anew).err().unwrap().to_string();
    assert_eq!(refused, "s.lua: the script or a module changed while it was loaded");
}
