//! Tests of `pace` by phase.

use super::*;
use crate::ir::{Due, Late};

const PHASES: &str = "bench.phases {
    { name = 'calm', duration = '1s' }, { name = 'rest', duration = '1s' },
    { name = 'busy', duration = '2s' },
}
";

fn paced(pace: &str) -> Written {
    let text = format!(
        "{PHASES}bench.workload {{ name = 'w', clients = 2, pace = {pace},
            iteration = function(c) c:stat('f') end }}"
    );
    script(&text).with(|options| {
        options.iterations = None;
        options.nominal_bound_ns = Some(5_000_000_000);
    })
}

/// Returns the times of all arrivals in milliseconds, in ascending order.
fn arrivals(written: &Written) -> Vec<u64> {
    let mut times: Vec<u64> = written
        .operations()
        .iter()
        .filter_map(|o| o.due.at_ns())
        .map(|ns| ns / 1_000_000)
        .collect();
    times.sort_unstable();
    times
}

#[test]
fn each_phase_has_its_rate_and_its_arrivals() {
    let written = paced(
        "{
            calm = bench.open_loop { rate = 4 },
            rest = bench.open_loop { rate = 0 },
            busy = bench.open_loop { rate = 1, arrivals = function(rng, now, rate)
                assert(rate == 1)
                return now < 3e9 and 600e6 or 300e6
            end },
        }",
    );
    assert_eq!(
        arrivals(&written),
        [0, 250, 500, 750, 2_600, 3_200, 3_500, 3_800, 4_100, 4_400, 4_700],
        "the last phase stays"
    );
}

#[test]
fn phases_with_the_same_arrivals_are_one_sequence_as_with_rates_by_phase() {
    for manner in ["constant", "poisson"] {
        let apart = paced(&format!(
            "{{
                calm = bench.open_loop {{ rate = 7.5, arrivals = '{manner}' }},
                rest = bench.open_loop {{ rate = {{ to = 2.2 }}, arrivals = '{manner}' }},
                busy = bench.open_loop {{ rate = {{ from = 9, to = 20 }}, arrivals = '{manner}' }},
            }}"
        ));
        let together = paced(&format!(
            "bench.open_loop {{ arrivals = '{manner}', rate = {{
                calm = 7.5, rest = {{ to = 2.2 }}, busy = {{ from = 9, to = 20 }} }} }}"
        ));
        assert!(arrivals(&apart).len() > 20);
        assert_eq!(arrivals(&apart), arrivals(&together), "{manner}");
    }
}

#[test]
fn arrivals_dropped_during_think_time_do_not_use_up_the_time_of_a_later_phase() {
    let written = script(&format!(
        "{PHASES}bench.workload {{ name = 'w', pace = {{
            calm = bench.open_loop {{ rate = 10, late = 'drop' }}, rest = bench.open_loop {{ rate = 0 }},
            busy = bench.open_loop {{ rate = 1 }} }},
            iteration = function(c) c:stat('f') c:think('400ms') c:stat('f') end }}"
    ))
    .with(|options| {
        options.iterations = None;
        options.nominal_bound_ns = Some(4_000_000_000);
    });
    let operations = written.operations();
    let begun = |of: fn(&Due) -> bool| operations.iter().filter(|o| of(&o.due)).count();
    let dropping = |due: &Due| matches!(due, Due::Arrival { late: Late::Drop, .. });
    assert_eq!(begun(dropping), 10, "the arrivals of a second");
    let queueing = |due: &Due| matches!(due, Due::Arrival { late: Late::Queue, .. });
    assert_eq!(begun(queueing), 2, "at 2 and 3 s");
}

#[test]
fn a_workload_may_drop_in_one_phase_what_waits_in_another() {
    let written = paced(
        "{ calm = bench.open_loop { rate = 2 }, rest = bench.open_loop { rate = 0 },
            busy = bench.open_loop { rate = 1, late = 'drop' } }",
    );
    use Late::{Drop, Queue};
    let mut lates: Vec<(u64, Late)> = (written.operations().iter())
        .filter_map(|operation| match operation.due {
            Due::Arrival { at_ns, late, .. } => Some((at_ns / 1_000_000, late)),
            _ => None,
        })
        .collect();
    lates.sort_by_key(|(at_ms, _)| *at_ms);
    assert_eq!(lates, [(0, Queue), (500, Queue), (2_000, Drop), (3_000, Drop), (4_000, Drop)]);
}

#[test]
fn a_pace_that_does_not_fit_the_phases_is_refused() {
    let open = "bench.open_loop { rate = 5 }";
    let cases = [
        (
            "{ calm = bench.closed_loop {}, rest = bench.closed_loop {} }".into(),
            "a closed loop is the same in every phase: write pace = bench.closed_loop {}",
        ),
        (
            format!(
                "{{ calm = bench.open_loop {{ rate = {{ to = 5 }} }}, rest = {open}, busy = {open} }}"
            ),
            "rate of phase 'calm' has no from: only a later phase can begin where the one before ended",
        ),
        (
            format!("{{ calm = {open}, rest = {open} }}"),
            "pace does not name phase 'busy'; bench.open_loop { rate = 0 } makes it a pause",
        ),
        (
            format!("{{ calm = {open}, rest = {open}, bussy = {open} }}"),
            "pace: unknown phase 'bussy': did you mean 'busy'?",
        ),
        (
            format!("{{ {open} }}"),
            "pace by phase has the name of a phase before each bench.open_loop { … }, such as steady = bench.open_loop { rate = 200 }, not 1 = an object",
        ),
        (
            "{ calm = 5 }".into(),
            "pace by phase has the name of a phase before each bench.open_loop { … }, such as steady = bench.open_loop { rate = 200 }, not \"calm\" = 5",
        ),
        ("{}".into(), "pace is an empty table; name each phase in it"),
        (
            "{ calm = bench.open_loop { rate = { calm = 5 } } }".into(),
            "pace: the rate of phase 'calm' is a number, or a ramp such as { from = 10, to = 200 }; its phases are named by pace",
        ),
    ];
    for (pace, expected) in cases {
        let message = paced(&pace).refused();
        let (place, said) = message.split_once(": workload 'w': ").expect(&message);
        assert_eq!(said, expected, "{pace}");
        assert!(place.starts_with("s.lua:"), "{place}");
    }
    let without = script(&format!(
        "bench.workload {{ name = 'w', pace = {{ calm = {open} }}, iteration = print }}"
    ));
    assert_eq!(
        without.refused(),
        "s.lua:1: workload 'w': pace goes by phase, and the script has no phases: add bench.phases, or give one pace"
    );
}

/// Returns the workloads of the sample that an error ends with, which begins on its second line.
fn sample(message: &str) -> String {
    let lines = message.lines().skip(1);
    let sample: Vec<String> =
        lines.map(|line| line.replace("iteration = …", "iteration = print")).collect();
    sample.join("\n")
}

#[test]
fn a_workload_that_mixes_a_closed_loop_and_open_loops_is_refused_with_two_workloads_as_a_sample() {
    let open = "bench.open_loop { rate = 5 }";
    let written =
        paced(&format!("{{ calm = {open}, rest = bench.closed_loop {{}}, busy = {open} }}"));
    let message = written.refused();
    assert_eq!(
        message,
        "s.lua:5: workload 'w': pace is a closed loop in phase 'rest' and an open loop in phase 'busy', and a workload is one or the other for the whole run; write two workloads side by side:
    bench.workload { name = \"closed\", pace = bench.closed_loop {}, iteration = … }
    bench.workload { name = \"open\", pace = bench.open_loop { rate = { [\"rest\"] = 0, [\"busy\"] = …, [\"calm\"] = … } }, iteration = … }"
    );
    let as_shown = script(&format!("{PHASES}{}", sample(&message).replace('…', "5")));
    assert!(as_shown.load().is_ok(), "{}", as_shown.refused());
}

#[test]
fn in_a_run_of_another_length_every_phase_keeps_its_pace() {
    let written = script(
        "bench.phases {
            { name = 'warmup', duration = '1s', record = false },
            { name = 'steady', duration = '1s' }, { name = 'peak', duration = '1s' },
        }
        bench.workload { name = 'w', iteration = function(c) c:stat('f') end, pace = {
            warmup = bench.open_loop { rate = 2 },
            steady = bench.open_loop { rate = 3, arrivals = function() return '500ms' end },
            peak = bench.open_loop { rate = 4 },
        } }",
    )
    .with(|options| {
        options.iterations = None;
        options.duration_ns = Some(3_000_000_000);
        options.nominal_bound_ns = Some(4_000_000_000);
    });
    let peak = [2_500, 2_750, 3_000, 3_250, 3_500, 3_750];
    assert_eq!(arrivals(&written), [&[0, 500, 1_500, 2_000][..], &peak].concat());
}
