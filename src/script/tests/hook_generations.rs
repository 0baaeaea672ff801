//! Tests of hooks that a reload replaces by those of the next generation.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::hooks::with_hooks;
use super::*;
use crate::ir::CompletionEvent;
use crate::observability::fixtures::{OK, completion, read};
use crate::observability::{Layout, MetricSummary};
use crate::script::Reload;
use crate::script::hooks::{HookReport, HookSuccession, HookTap, HookVerdict, Hooks, LoadedHooks};

/// A time that only a hang exceeds, even on a busy host.
const BOUND: Duration = Duration::from_secs(120);

/// A run whose hooks are replaced.
struct Run {
    succession: HookSuccession,
    hooks: Option<Hooks>,
    verdicts: (mpsc::Sender<HookVerdict>, mpsc::Receiver<HookVerdict>),
}

impl Run {
    fn start(text: &str) -> Run {
        let succession = HookSuccession::default();
        let mut run = Run { succession, hooks: None, verdicts: mpsc::channel() };
        run.reload(1, text);
        run
    }

    fn load(&self, generation: u32, text: &str) -> Result<Option<LoadedHooks>, ScriptError> {
        let written = with_hooks(text).with(|options| {
            options.reload = (generation > 1).then_some(Reload { generation, begin_ns: 0 });
        });
        let header = written.load().unwrap_or_else(|error| panic!("{error}")).header().clone();
        let phases = header.phases.clone();
        let layout = Layout::new(Arc::new(header.clone()), phases, Duration::from_millis(10));
        let sender = self.verdicts.0.clone();
        let verdict = move |verdict| drop(sender.send(verdict));
        LoadedHooks::load(&written.options, &header, Arc::new(layout), &self.succession, verdict)
    }

    /// Replaces the hooks as a run does when it accepts a generation.
    fn reload(&mut self, generation: u32, text: &str) {
        let next = self.load(generation, text).unwrap_or_else(|error| panic!("{error}"));
        if let Some(present) = self.hooks.take() {
            present.make_way();
        }
        self.hooks = next.map(LoadedHooks::begin);
    }

    fn tap(&self) -> HookTap {
        self.hooks.as_ref().unwrap().tap().unwrap()
    }

    fn finish(&mut self) -> HookReport {
        match &mut self.hooks {
            Some(hooks) => hooks.finish(BOUND),
            None => self.succession.finish(BOUND),
        }
    }
}

fn feed(tap: &mut HookTap, generation: u32, seqs: std::ops::Range<u32>) {
    for seq in seqs {
        let event = CompletionEvent { generation, ..completion(0, seq, read(1), OK) };
        tap.completed(&event, |_| None);
    }
}

fn value(metrics: &std::collections::BTreeMap<String, MetricSummary>, name: &str) -> f64 {
    serde_json::to_value(&metrics[name]).unwrap()["value"].as_f64().unwrap()
}

/// A hook that counts events, and those that do not follow the one before.
const IN_ORDER: &str = "local seen, wrong = bench.counter('seen'), bench.counter('wrong')
    bench.on_complete({ fields = { 'op_id' } }, function(id)
        local seq = tonumber(id:match('-(%d+)$'))
        if seq ~= (bench.state.last or -1) + 1 then wrong:add() end
        bench.state.last = seq
        seen:add()
    end)";

#[test]
fn no_event_is_lost_doubled_or_out_of_order_and_state_and_metrics_go_on() {
    let mut run = Run::start(IN_ORDER);
    let mut first = run.tap();
    feed(&mut first, 1, 0..5_000);
    run.reload(2, IN_ORDER);
    let mut second = run.tap();
    // One shard has its new tap before the other has dropped its old one.
    feed(&mut second, 2, 7_000..9_000);
    feed(&mut first, 1, 5_000..7_000);
    drop(first);
    feed(&mut second, 2, 9_000..12_000);
    run.reload(3, IN_ORDER);
    let mut third = run.tap();
    drop(second);
    feed(&mut third, 3, 12_000..12_100);
    drop(third);
    let report = run.finish();
    assert_eq!((report.events.delivered, report.events.dropped), (12_100, 0));
    assert_eq!(report.outcome.errors, [""; 0]);
    assert_eq!(value(&report.metrics, "wrong"), 0.0);
    let seen: Vec<(u32, f64)> = (report.by_generation.iter())
        .map(|(number, metrics)| (*number, value(metrics, "seen")))
        .collect();
    assert_eq!(seen, [(1, 7_000.0), (2, 5_000.0), (3, 100.0)]);
    assert_eq!(value(&report.metrics, "seen"), 12_100.0);
}

#[test]
fn plain_data_in_the_state_is_carried_over_and_nothing_else() {
    let mut run = Run::start(
        "bench.on_complete(function()
            local shared = { 'a', [2.5] = true }
            bench.state.number, bench.state.text, bench.state[false] = 1.5, '\\xff', 7
            bench.state.deep = { one = shared, two = shared }
            bench.state.deep.itself = bench.state.deep
            bench.state.f = print
            bench.state.object = setmetatable({}, { __index = {} })
            bench.state.list = { 1, print, [{}] = 3 }
        end)",
    );
    let mut tap = run.tap();
    feed(&mut tap, 1, 0..1);
    run.reload(
        2,
        "bench.on_complete(function()
            local state, deep = bench.state, bench.state.deep
            assert(state.number == 1.5, 'number')
            assert(state.text == '\\xff' and state[false] == 7, 'text')
            assert(deep.one == deep.two and deep.one[1] == 'a' and deep.one[2.5], 'tables')
            assert(deep.itself == deep, 'cycle')
            assert(state.f == nil and state.object == nil, 'objects')
            assert(state.list[1] == 1 and next(state.list, 1) == nil, 'list')
        end)",
    );
    let mut next = run.tap();
    drop(tap);
    feed(&mut next, 2, 0..1);
    drop(next);
    let report = run.finish();
    assert_eq!((report.outcome.errors, report.events.delivered), (vec![], 2));
}

#[test]
fn a_generation_without_hooks_keeps_the_state_for_the_one_after_it() {
    let mut run = Run::start(IN_ORDER);
    let mut tap = run.tap();
    feed(&mut tap, 1, 0..10);
    run.reload(2, "");
    assert!(run.hooks.is_none());
    drop(tap);
    run.reload(3, IN_ORDER);
    let mut tap = run.tap();
    feed(&mut tap, 3, 10..30);
    drop(tap);
    run.reload(4, "");
    let report = run.finish();
    assert_eq!((value(&report.metrics, "seen"), value(&report.metrics, "wrong")), (30.0, 0.0));
    assert_eq!(report.by_generation.keys().copied().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(report.events.delivered, 30);
}

#[test]
fn hooks_that_are_withdrawn_leave_no_trace_and_the_present_ones_go_on() {
    let mut run = Run::start(IN_ORDER);
    let mut tap = run.tap();
    let other = "bench.counter('other') bench.on_complete(function() bench.abort('called') end)
        bench.on_end(function() bench.abort('called') end)";
    // More than may be loaded at a time.
    for _ in 0..20 {
        let bound = Instant::now() + BOUND;
        while let Err(error) = run.load(2, other) {
            assert!(Instant::now() < bound, "{error}");
        }
    }
    feed(&mut tap, 1, 0..10);
    drop(tap);
    let report = run.finish();
    assert_eq!((value(&report.metrics, "seen"), report.metrics.len()), (10.0, 2));
    assert_eq!((report.outcome.aborted, report.outcome.internal), (None, None));
    assert!(run.verdicts.1.try_recv().is_err());
}

#[test]
fn a_metric_that_changes_its_kind_is_refused_before_the_generation_is_accepted() {
    let mut run = Run::start("bench.counter('a') bench.on_complete(function() end)");
    let refused = run.load(2, "bench.gauge('a')").err().unwrap().to_string();
    assert!(refused.starts_with("metric 'a' is a counter in this run and a gauge in"), "{refused}");
    run.reload(2, "bench.histogram('b')");
    let next = run.load(3, "bench.rate('c')").unwrap().unwrap();
    assert_eq!(next.metric_kinds().keys().map(String::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
    drop(next);
    assert!(run.load(3, "bench.rate('b')").is_err());
    let report = run.finish();
    assert_eq!(report.metrics.keys().map(String::as_str).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn the_bound_at_the_end_holds_for_all_generations_together_and_what_is_left_is_dropped() {
    let slow = "bench.on_complete(function() for i = 1, 20000 do local x = i * i end end)";
    let mut run = Run::start(slow);
    let mut taps = vec![run.tap()];
    for generation in 2..=4 {
        feed(taps.last_mut().unwrap(), generation - 1, 0..50_000);
        run.reload(generation, slow);
        taps.push(run.tap());
    }
    feed(taps.last_mut().unwrap(), 4, 0..50_000);
    drop(taps);
    let report = run.hooks.as_mut().unwrap().finish(Duration::ZERO);
    assert_eq!(report.outcome.internal, None);
    assert!(report.events.dropped > 0);
    assert_eq!(report.events.delivered + report.events.dropped, 200_000);
}

#[test]
fn too_many_generations_whose_hooks_are_busy_are_refused() {
    let mut run = Run::start("bench.on_complete(function() end)");
    let mut taps = vec![run.tap()];
    let refused = loop {
        let generation = taps.len() as u32 + 1;
        match run.load(generation, "bench.on_complete(function() end)") {
            Ok(next) => {
                run.hooks.take().unwrap().make_way();
                run.hooks = next.map(LoadedHooks::begin);
                // The taps are kept, so no hooks end.
                taps.push(run.tap());
            }
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(taps.len(), 8);
    assert!(
        refused.starts_with("the hooks of 8 earlier generations still have events"),
        "{refused}"
    );
    drop(taps);
    let report = run.finish();
    assert_eq!((report.outcome.internal, report.events.dropped), (None, 0));
}

#[test]
fn errors_and_aborts_of_every_generation_are_reported_and_on_end_is_called_in_the_last() {
    let of = |name: &str, body: &str| {
        format!(
            "bench.on_complete(function() {body} end)
            bench.on_end(function() bench.abort('the end of {name}') end)"
        )
    };
    let mut run = Run::start(&of("1", "error('first')"));
    let mut tap = run.tap();
    feed(&mut tap, 1, 0..2);
    run.reload(2, &of("2", "bench.abort('second')"));
    let mut next = run.tap();
    drop(tap);
    feed(&mut next, 2, 0..1);
    run.reload(3, &of("3", "error('third')"));
    let mut last = run.tap();
    drop(next);
    feed(&mut last, 3, 0..1);
    drop(last);
    let report = run.finish();
    let messages: Vec<&str> =
        report.outcome.errors.iter().filter_map(|error| error.split(' ').nth(1)).collect();
    assert_eq!(messages, ["first", "third"], "{:?}", report.outcome.errors);
    assert_eq!(report.outcome.aborted.as_deref(), Some("second"));
    let verdicts: Vec<HookVerdict> = run.verdicts.1.try_iter().collect();
    let second = HookVerdict::Aborted("second".into());
    assert_eq!(verdicts, [HookVerdict::Failed, second, HookVerdict::Failed]);
    let end = run.hooks.unwrap().end(serde_json::json!({}));
    assert_eq!(end.aborted.as_deref(), Some("the end of 3"));
}

#[test]
fn a_hook_can_ask_for_the_generation_of_an_operation() {
    let text = "local n = bench.counter('n')
        bench.on_complete({ fields = { 'generation' } }, function(generation)
            n:add(1, { generation = generation })
        end)";
    let mut run = Run::start("");
    run.reload(2, text);
    let mut tap = run.tap();
    // Operations of clients that have not moved yet.
    feed(&mut tap, 1, 0..3);
    feed(&mut tap, 2, 0..5);
    drop(tap);
    let report = run.finish();
    let n = serde_json::to_value(&report.metrics["n"]).unwrap();
    let parts: Vec<String> = n["tagged"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| format!("{} {}", part["tags"]["generation"].as_str().unwrap(), part["value"]))
        .collect();
    assert_eq!(parts, ["1 3", "2 5"]);
}

#[test]
fn filters_know_the_workloads_that_a_reload_adds_and_old_taps_pass_over_their_clients() {
    let hook = |workload: &str| {
        format!(
            "local n = bench.counter('n')
            bench.on_complete({{ workload = '{workload}', fields = {{ 'client' }} }}, function(client)
                n:add(1, {{ client = client }})
            end)"
        )
    };
    let mut run = Run::start(&hook("editors"));
    let mut old = run.tap();
    let added = "bench.workload { name = 'late', clients = 2, iteration = print }";
    run.reload(2, &format!("{added}\n{}", hook("late")));
    let mut new = run.tap();
    // Clients 0 and 1 are editors, 2 is a reader, and 3 and 4 are of the workload `late`.
    for client in 0..5 {
        let event = completion(client, 0, read(1), OK);
        old.completed(&event, |_| None);
        new.completed(&event, |_| None);
    }
    drop((old, new));
    let n = serde_json::to_value(&run.finish().metrics["n"]).unwrap();
    let parts = n["tagged"].as_array().unwrap().iter();
    let clients: Vec<&str> = parts.map(|part| part["tags"]["client"].as_str().unwrap()).collect();
    assert_eq!(clients, ["editors/0", "editors/1", "late/0", "late/1"]);
}
