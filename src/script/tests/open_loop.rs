//! Tests of `bench.open_loop`, from the script's source to its operations.

use std::rc::Rc;

use super::*;
use crate::ir::Late;
use crate::ir::{Due, Phase};

const PHASES: &str =
    "bench.phases { { name = 'calm', duration = '1s' }, { name = 'busy', duration = '2s' } }\n";

/// Returns a script with three clients that stat one file per iteration.
fn paced(pace: &str) -> Written {
    script(&format!(
        "{PHASES}bench.workload {{ name = 'w', clients = 3, pace = bench.open_loop {{ {pace} }},
            iteration = function(c, rng) c:stat('f' .. rng:int(0, 9)) end }}"
    ))
}

/// Returns the due times of a client's operations.
fn due(operations: &[Operation], client: u32) -> Vec<Due> {
    operations.iter().filter(|o| o.client_idx == client).map(|o| o.due).collect()
}

fn arrival(at_ns: u64, think_ns: u64) -> Due {
    Due::Arrival { at_ns, think_ns, late: Late::Queue }
}

/// Returns the times of all arrivals in ascending order.
fn arrivals(written: &Written) -> Vec<u64> {
    let mut times: Vec<u64> = written.operations().iter().filter_map(|o| o.due.at_ns()).collect();
    times.sort_unstable();
    times
}

#[test]
fn iterations_begin_at_arrivals_dealt_out_in_turn_and_go_on_as_in_a_closed_loop() {
    let operations = script(
        "bench.workload { name = 'w', clients = 2, pace = bench.open_loop { rate = 10 },
            setup = function(c) c:think('5ms') c:mkdir('d') end,
            iteration = function(c)
                c:think('1ms')
                c:stat('a')
                c:think('2ms')
                c:stat('b')
                c:think('4ms')
            end,
            teardown = function(c) c:rmdir('d') end }",
    )
    .with(|options| options.iterations = Some(2))
    .operations();
    const MS: u64 = 1_000_000;
    assert_eq!(
        due(&operations, 1),
        [
            Due::After(5 * MS),
            arrival(101 * MS, MS),
            Due::After(2 * MS),
            arrival(301 * MS, 5 * MS),
            Due::After(2 * MS),
            Due::After(0),
        ]
    );
    let numbers: Vec<u32> =
        operations.iter().filter(|o| o.client_idx == 0).map(|o| o.iteration).collect();
    assert_eq!(numbers, [0, 0, 0, 1, 1, 0]);
}

#[test]
fn every_round_of_running_takes_an_arrival_and_an_empty_one_wastes_it() {
    let operations = script(
        "bench.workload { name = 'w', pace = bench.open_loop { rate = 1000 },
            iteration = function(c)
                local h = c:open('a', 'r')
                while c:running() do
                    if c.iteration ~= 2 then c:read(h, 0, 1) end
                end
                c:close(h)
            end }",
    )
    .with(|options| options.iterations = Some(5))
    .operations();
    let seen: Vec<(Due, u32)> = operations.iter().map(|o| (o.due, o.iteration)).collect();
    assert_eq!(
        seen,
        [
            (arrival(0, 0), 0),
            (arrival(1_000_000, 0), 1),
            (arrival(3_000_000, 0), 3),
            (arrival(4_000_000, 0), 4),
            (Due::After(0), 4),
        ]
    );
}

#[test]
fn rates_by_phase_ramp_and_pause_and_the_last_stays() {
    let counts = |pace: &str| {
        let written = paced(pace).with(|options| {
            options.iterations = None;
            options.nominal_bound_ns = Some(4_000_000_000);
        });
        let times = arrivals(&written);
        [0, 1, 2, 3].map(|second| times.iter().filter(|ns| **ns / 1_000_000_000 == second).count())
    };
    assert_eq!(counts("rate = 6"), [6, 6, 6, 6]);
    assert_eq!(counts("rate = { calm = 4, busy = 12 }"), [4, 12, 12, 12]);
    assert_eq!(counts("rate = { calm = 4, busy = { to = 20 } }"), [4, 8, 16, 20]);
    assert_eq!(counts("rate = { calm = 4, busy = { from = 16, to = 0 } }"), [4, 12, 4, 0]);
    assert_eq!(counts("rate = { calm = 0, busy = 5 }"), [0, 5, 5, 5]);
}

#[test]
fn a_stream_whose_rate_ends_at_zero_ends_by_itself() {
    let written =
        paced("rate = { calm = 4, busy = { to = 0 } }").with(|options| options.iterations = None);
    let operations = written.operations();
    assert_eq!(operations.len(), 8, "4 in the first second, 4 in the two of the ramp");
    assert!(arrivals(&written).into_iter().all(|ns| ns < 3_000_000_000));
}

#[test]
fn in_a_run_of_another_length_every_phase_keeps_its_name_and_its_rate() {
    let with = |rate: &str, seconds: Option<u64>| {
        script(&format!(
            "bench.phases {{ {{ name = 'warmup', duration = '1s', record = false }},
                {{ name = 'a', duration = '1s' }}, {{ name = 'b', duration = '1s' }},
                {{ name = 'rest', duration = '1s', record = false }} }}
            bench.workload {{ name = 'w', pace = bench.open_loop {{ rate = {rate} }},
                iteration = function(c) c:stat('f') end }}"
        ))
        .with(|options| {
            options.iterations = None;
            options.duration_ns = seconds.map(|seconds| seconds * 1_000_000_000);
        })
    };
    let rate = "{ warmup = 2, a = { to = 10 }, b = 50, rest = { to = 0 } }";
    assert_eq!(arrivals(&with(rate, None)).len(), 2 + 6 + 50 + 25);
    let scaled = with(rate, Some(4));
    let script = scaled.load().unwrap();
    let names: Vec<(&str, u64)> = (script.header().phases.iter())
        .map(|Phase { name, duration_ns, .. }| (name.as_str(), duration_ns / 1_000_000_000))
        .collect();
    assert_eq!(names, [("warmup", 1), ("a", 2), ("b", 2), ("rest", 1)]);
    assert_eq!(arrivals(&scaled).len(), 2 + 12 + 100 + 25);
    let steady = |seconds| {
        let rate = "{ warmup = 4, a = 10, b = 50, rest = 8 }";
        let scaled = with(rate, Some(seconds)).with(|options| {
            options.nominal_bound_ns = Some(2_000_000_000);
        });
        arrivals(&scaled).len()
    };
    assert_eq!(steady(1), 2 + 5 + 25 + 4, "the unrecorded phases are scaled as well");
    let hash = |seconds| with(rate, seconds).load().unwrap().header().ir_hash.clone();
    assert_ne!(hash(None), hash(Some(4)));
    assert_ne!(hash(Some(3)), hash(Some(4)));
}

#[test]
fn an_arrival_says_whether_it_is_dropped_where_it_is_late() {
    let late = |pace: &str| match paced(pace).operations()[0].due {
        Due::Arrival { late, .. } => late,
        due => panic!("{due:?} is no arrival"),
    };
    assert_eq!(late("rate = 1"), Late::Queue);
    assert_eq!(late("rate = 1, late = 'queue'"), Late::Queue);
    assert_eq!(late("rate = 1, late = 'drop'"), Late::Drop);
}

#[test]
fn arrivals_follow_seed_and_workload_and_no_client_s_random_numbers() {
    let times = |written: Written| arrivals(&written.with(|options| options.iterations = Some(50)));
    let poisson = || paced("rate = 100, arrivals = 'poisson'");
    let base = times(poisson());
    assert_eq!(base.len(), 150);
    assert_eq!(base, times(poisson().with(|options| options.seed = Some(0))));
    assert_ne!(base, times(poisson().with(|options| options.seed = Some(1))));
    // The sequence is the same, however many clients share it and whatever they draw.
    let one = script(
        "bench.workload { name = 'w', pace = bench.open_loop { rate = 100, arrivals = 'poisson' },
            iteration = function(c) c:stat('f') end }",
    )
    .with(|options| options.iterations = Some(150))
    .operations();
    assert_eq!(base, one.iter().filter_map(|o| o.due.at_ns()).collect::<Vec<_>>());
    let golden: Vec<u64> = base[..4].to_vec();
    assert_eq!(golden, [41_747_496, 48_194_212, 48_808_359, 58_554_883], "on every machine");
}

#[test]
fn a_function_says_the_gaps_with_random_numbers_of_its_own() {
    let written = paced(
        "rate = { calm = 10, busy = 20 }, arrivals = function(rng, now, rate)
            if now == 0 then return '300ms' end
            return rate == 10 and 350e6 or rng:int(1, 5) * 1e6
        end",
    )
    .with(|options| options.iterations = Some(3));
    let times = arrivals(&written);
    assert_eq!(times.len(), 9);
    assert_eq!(times[..3], [300_000_000, 650_000_000, 1_000_000_000]);
    assert!(times.windows(2).skip(2).all(|pair| pair[1] - pair[0] <= 5_000_000), "{times:?}");
    let exponential =
        "rate = 100, arrivals = function(rng, now, rate) return rng:exp(1e9 / rate) end";
    let drawn = arrivals(&paced(exponential));
    let builtin = arrivals(&paced("rate = 100, arrivals = 'poisson'"));
    assert_eq!(drawn.len(), builtin.len());
    for (drawn, builtin) in drawn.iter().zip(builtin) {
        assert!(drawn.abs_diff(builtin) <= 2, "the same process from the same numbers");
    }
}

#[test]
fn a_machine_with_a_function_for_the_gaps_is_freed_with_its_script() {
    let written = paced("rate = 5, arrivals = function(rng) return rng:exp(1e9) end");
    let mut script = written.load().unwrap();
    script.pull(0, Section::Iteration, 1, &mut Vec::new()).unwrap();
    let host = Rc::downgrade(&script.vm.host);
    drop(script);
    assert!(host.upgrade().is_none());
}

#[test]
fn a_million_clients_arrive_one_after_the_other() {
    let mut script = paced("rate = 1000, arrivals = 'poisson'")
        .with(|options| {
            options.clients = vec![clients("1000000")];
            options.iterations = None;
        })
        .load()
        .unwrap();
    let mut operations = Vec::new();
    for client in [999_999, 0] {
        assert_eq!(script.pull(client, Section::Iteration, 1, &mut operations), Ok(Progress::More));
    }
    let [last, first] = [0, 1].map(|n: usize| operations[n].due.at_ns().unwrap() / 1_000_000_000);
    assert_eq!(first, 0);
    assert!((990..1_010).contains(&last), "{last}");
}

#[test]
fn mistakes_in_the_options_name_the_line_and_the_nearest_word() {
    let cases = [
        ("", "bench.open_loop needs a rate, such as rate = 200 (iterations a second)"),
        ("rat = 5", "bench.open_loop: unknown option 'rat': did you mean 'rate'?"),
        (
            "rate = -5",
            "bench.open_loop: rate is -5; it must be between 0 and 10000000 iterations a second",
        ),
        (
            "rate = 0 / 0",
            "bench.open_loop: rate is NaN; it must be between 0 and 10000000 iterations a second",
        ),
        (
            "rate = 1e8",
            "bench.open_loop: rate is 100000000; it must be between 0 and 10000000 iterations a second",
        ),
        ("rate = 'fast'", "bench.open_loop: rate is a number of iterations a second, not \"fast\""),
        (
            "rate = { 5, 6 }",
            "bench.open_loop: rate is a number, or has the name of a phase before each rate, such as steady = 200, not 1",
        ),
        (
            "rate = { calm = { from = 5, too = 6 } }",
            "bench.open_loop: rate of phase \"calm\": unknown field 'too': did you mean 'to'?",
        ),
        (
            "rate = { calm = { from = 5 } }",
            "bench.open_loop: rate of phase \"calm\" is a ramp without its end: add to = …",
        ),
        (
            "rate = { calm = { to = {} } }",
            "bench.open_loop: rate of phase \"calm\": to is a number of iterations a second, not a table",
        ),
        (
            "rate = 5, arrivals = 'poison'",
            "bench.open_loop: unknown value of arrivals 'poison': did you mean 'poisson'?",
        ),
        (
            "rate = 5, arrivals = 5",
            "bench.open_loop: arrivals is \"constant\" or \"poisson\" or a function, not 5",
        ),
        (
            "rate = 5, late = 'dorp'",
            "bench.open_loop: unknown value of late 'dorp': did you mean 'drop'?",
        ),
        ("rate = 5, late = true", "bench.open_loop: late is \"queue\" or \"drop\", not true"),
        // Problems that only the whole script shows.
        (
            "rate = { calm = 5, bussy = 6, busy = 7 }",
            "workload 'w': rate: unknown phase 'bussy': did you mean 'busy'?",
        ),
        (
            "rate = { calm = 5 }",
            "workload 'w': rate does not name phase 'busy'; 0 makes it a pause",
        ),
        (
            "rate = { calm = { to = 5 }, busy = 6 }",
            "workload 'w': rate of phase 'calm' has no from: only a later phase can begin where the one before ended",
        ),
        ("rate = 0", "workload 'w': rate is 0, so no iteration would ever arrive"),
        (
            "rate = { calm = 0, busy = 0 }",
            "workload 'w': rate is 0 in every phase, so no iteration would ever arrive",
        ),
    ];
    for (pace, expected) in cases {
        assert_eq!(paced(pace).refused(), format!("s.lua:2: {expected}"), "{pace}");
    }
    let late_phases = |phases: &str| {
        script(&format!(
            "local pace = bench.open_loop {{ rate = {{ steady = 5 }} }}
            bench.workload {{ name = 'w', pace = pace, iteration = function(c) c:stat('f') end }}
            {phases}"
        ))
    };
    late_phases("bench.phases { { name = 'steady', duration = '1s' } }").load().unwrap();
    assert_eq!(
        late_phases("").refused(),
        "s.lua:1: workload 'w': rate goes by phase, and the script has no phases: add bench.phases, or make rate a number"
    );
    assert_eq!(
        script("bench.workload { name = 'w', pace = 5, iteration = print }").refused(),
        "s.lua:1: workload 'w': pace is bench.closed_loop {} or bench.open_loop { rate = … }, not 5"
    );
    assert_eq!(
        paced("rate = 5")
            .with(|o| std::fs::write(o.location.file().unwrap(), "bench.open_lop { rate = 5 }")
                .unwrap())
            .refused(),
        "s.lua:1: unknown function of bench 'open_lop': did you mean 'open_loop'?"
    );
}

#[test]
fn mistakes_in_a_function_for_the_gaps_name_its_line() {
    let with = |body: &str| {
        paced(&format!("rate = 5,\narrivals = function(rng, now, rate)\n{body}\nend"))
            .with(|options| options.limits = quick())
            .fails()
    };
    let returned = "s.lua:3: workload 'w': what arrivals returned";
    let cases = [
        ("return -2000", format!("{returned}: -2000 ns is negative")),
        ("return 0 / 0", format!("{returned}: NaN is no duration")),
        (
            "return 1 / 0",
            format!("{returned}: inf ns is too long; the longest is 2^53 ns (104 days)"),
        ),
        ("return 5", format!("{returned}: 5 ns? write \"5s\"")),
        (
            "",
            format!(
                "{returned} is a duration such as \"50ms\" or a number of nanoseconds, not nil"
            ),
        ),
        ("return rate.x", "s.lua:4: attempt to index number with 'x'".into()),
        ("return rng:int(5, 1)", "s.lua:4: rng:int(5, 1): the first is the larger".into()),
        ("coroutine.yield()", "s.lua:4: coroutine.yield outside a coroutine of the script".into()),
        (
            "while true do end",
            "s.lua:4: no result after 150ms of computing (--script-time); the script seems to loop forever"
                .into(),
        ),
        (
            "local s = 'x' while true do s = s .. s end",
            "s.lua:3: workload 'w': the script needs more memory than its limit of 24 MiB (--script-memory, less what operations and hooks get of it)".into(),
        ),
    ];
    for (body, expected) in cases {
        let error = with(body);
        assert_eq!(error.message, expected, "{body}");
        assert_eq!(error.client.as_deref(), Some("w/0"));
    }
}

#[test]
fn a_function_for_the_gaps_cannot_act_for_a_client() {
    let written = script(
        "local client, tried
        bench.workload { name = 'w',
            pace = bench.open_loop { rate = 5, arrivals = function()
                if client then tried = select(2, pcall(client.stat, client, 'x')) end
                return 1e9
            end },
            iteration = function(c) client = c c:stat(tried and 'caught' or 'f') if tried then error(tried) end end }",
    )
    .with(|options| options.iterations = Some(3));
    assert_eq!(
        written.message(),
        "s.lua:7: s.lua:4: clients can act in setup, iteration and teardown only"
    );
    let yields = script(
        "bench.workload { name = 'w',
            pace = bench.open_loop { rate = 5, arrivals = function() coroutine.yield() return 1e9 end },
            iteration = function(c)
                coroutine.wrap(function() while c:running() do c:stat('f') end end)()
            end }",
    )
    .with(|options| options.iterations = Some(3));
    let message = yields.message();
    assert!(message.starts_with("s.lua:2: "), "{message}");
}

#[test]
fn at_does_not_go_with_an_open_loop() {
    let with = |body: &str| {
        script(&format!(
            "bench.workload {{ name = 'w', pace = bench.open_loop {{ rate = 5 }},
            iteration = function(c) {body} end }}"
        ))
        .message()
    };
    assert_eq!(
        with("c:at('1s') c:stat('f')"),
        "s.lua:2: c:at cannot be used in an open loop, where arrivals begin the iterations; use c:think, or bench.closed_loop {}"
    );
}

#[test]
fn iterations_without_operations_are_found_out_in_an_open_loop_too() {
    let written = script(
        "bench.workload { name = 'w', pace = bench.open_loop { rate = 5 }, iteration = function(c) end }",
    )
    .with(|options| options.iterations = None);
    assert_eq!(
        written.message(),
        "s.lua: an iteration made no operation in 100000 rounds, so the run would never make progress"
    );
}
