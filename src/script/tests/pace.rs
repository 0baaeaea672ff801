//! `pace` by phase.

use super::*;

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

/// Milliseconds of all arrivals, in the order of time.
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
fn what_does_not_fit_the_phases_is_refused() {
    let open = "bench.open_loop { rate = 5 }";
    let cases = [
        (
            "{ calm = bench.closed_loop {}, rest = bench.open_loop { rate = 5 } }".to_string(),
            "pace: phase 'calm' cannot be a closed loop among phases: how many of its iterations fit into the phase shows when it runs, and operations are made before; write pace = bench.closed_loop {} for all phases, or give each an open loop",
        ),
        (
            format!("{{ calm = {open}, rest = {open} }}"),
            "pace says nothing of phase 'busy'; bench.open_loop { rate = 0 } makes it a pause",
        ),
        (
            format!("{{ calm = {open}, rest = {open}, bussy = {open} }}"),
            "pace: unknown phase 'bussy': did you mean 'busy'?",
        ),
        (
            format!("{{ calm = {open}, rest = bench.open_loop {{ rate = 5, late = 'drop' }} }}"),
            "pace: late is the same in all phases",
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

#[test]
fn a_run_of_another_length_has_the_pace_of_the_first_recorded_phase() {
    let written = script(
        "bench.phases {
            { name = 'warmup', duration = '1s', record = false },
            { name = 'steady', duration = '1s' }, { name = 'peak', duration = '1s' },
        }
        bench.workload { name = 'w', iteration = function(c) c:stat('f') end, pace = {
            warmup = bench.open_loop { rate = 2 },
            steady = bench.open_loop { rate = 3, arrivals = function() return '500ms' end },
            peak = bench.open_loop { rate = 100 },
        } }",
    )
    .with(|options| {
        options.iterations = None;
        options.duration_ns = Some(1_500_000_000);
        options.nominal_bound_ns = Some(2_500_000_000);
    });
    assert_eq!(arrivals(&written), [0, 500, 1_500, 2_000]);
}
