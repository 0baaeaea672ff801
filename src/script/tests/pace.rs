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

/// Returns a script with a closed loop in the first two seconds and arrivals in the last two.
fn mixed(iteration: &str) -> Written {
    let text = format!(
        "{PHASES}bench.workload {{ name = 'w', clients = 2, pace = {{
            calm = bench.closed_loop {{}}, rest = bench.closed_loop {{}},
            busy = bench.open_loop {{ rate = 4, late = 'drop' }} }},
            iteration = function(c, rng) {iteration} end }}"
    );
    script(&text).with(|options| options.iterations = None)
}

#[test]
fn a_closed_loop_among_phases_has_their_time_and_arrivals_begin_after_it() {
    let written = mixed("c:stat('f') c:think('700ms')")
        .with(|options| options.nominal_bound_ns = Some(3_000_000_000));
    let dues: Vec<Due> =
        written.operations().iter().filter(|o| o.client_idx == 0).map(|o| o.due).collect();
    let during = |after_ns| Due::During { after_ns, from_ns: 0, until_ns: 2_000_000_000 };
    let think_ns = 700_000_000;
    let arrival = |at_ns| Due::Arrival { at_ns, think_ns, late: Late::Drop };
    assert_eq!(
        dues,
        [
            during(0),
            during(think_ns),
            during(think_ns),
            arrival(2_000_000_000),
            arrival(2_500_000_000)
        ]
    );
}

#[test]
fn what_is_dropped_while_a_client_thinks_does_not_use_up_the_time_of_a_later_phase() {
    let written = script(&format!(
        "{PHASES}bench.workload {{ name = 'w', pace = {{
            calm = bench.open_loop {{ rate = 10, late = 'drop' }}, rest = bench.closed_loop {{}},
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
    assert_eq!(begun(|due| matches!(due, Due::During { .. })), 2, "from 1.2 s on, to 2 s");
    let queueing = |due: &Due| matches!(due, Due::Arrival { late: Late::Queue, .. });
    assert_eq!(begun(queueing), 2, "at 2 and 3 s");
}

#[test]
fn an_iteration_that_thinks_past_the_end_of_its_closed_loop_is_the_last_made_for_it() {
    let written = mixed("c:think('5s') c:stat('f')")
        .with(|options| options.nominal_bound_ns = Some(4_000_000_000));
    let operations = written.operations();
    let of_one = operations.iter().filter(|o| o.client_idx == 0).map(|o| o.due);
    let think_ns = 5_000_000_000;
    assert_eq!(
        of_one.collect::<Vec<_>>(),
        [
            Due::During { after_ns: think_ns, from_ns: 0, until_ns: 2_000_000_000 },
            Due::Arrival { at_ns: 7_000_000_000, think_ns, late: Late::Drop },
        ]
    );
}

#[test]
fn what_follows_a_closed_loop_does_not_depend_on_how_far_it_came() {
    let after = |pulls: usize| {
        let mut script = mixed("c:stat('f' .. rng:int(1, 1e9))").load().unwrap();
        let mut made = Vec::new();
        for _ in 0..pulls {
            script.pull(1, Section::Iteration, 3, &mut made).unwrap();
        }
        assert!(made.iter().all(|operation| matches!(operation.due, Due::During { .. })));
        script.supersede(1, made.last().unwrap().iteration);
        made.clear();
        script.pull(1, Section::Iteration, 4, &mut made).unwrap();
        made.retain(|operation| !matches!(operation.due, Due::During { .. }));
        made.into_iter().map(|operation| (operation.due, operation.kind)).collect::<Vec<_>>()
    };
    assert_eq!(after(1)[..3], after(40)[..3]);
}

#[test]
fn a_workload_may_be_closed_in_every_phase_and_drop_in_one_what_waits_in_another() {
    let closed = paced(
        "{ calm = bench.closed_loop {}, rest = bench.closed_loop {}, busy = bench.closed_loop {} }",
    );
    let error = closed.message();
    assert!(error.contains("--iterations"), "{error}");
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
fn what_does_not_fit_the_phases_is_refused() {
    let open = "bench.open_loop { rate = 5 }";
    let cases = [
        (
            "{ calm = bench.closed_loop {}, rest = bench.open_loop { rate = { to = 5 } } }".into(),
            "pace does not name phase 'busy'; bench.open_loop { rate = 0 } makes it a pause",
        ),
        (
            format!("{{ calm = bench.closed_loop {{}}, rest = bench.open_loop {{ rate = {{ to = 5 }} }}, busy = {open} }}"),
            "rate of phase 'rest' has no from, and phase 'calm' before it is a closed loop, which has no rate to begin with",
        ),
        (
            "{ calm = bench.closed_loop {}, rest = bench.closed_loop {}, bussy = bench.closed_loop {} }".into(),
            "pace: unknown phase 'bussy': did you mean 'busy'?",
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
            "pace by phase has the name of a phase before each bench.open_loop { … } or bench.closed_loop {}, such as steady = bench.open_loop { rate = 200 }, not 1 = an object",
        ),
        (
            "{ calm = 5 }".into(),
            "pace by phase has the name of a phase before each bench.open_loop { … } or bench.closed_loop {}, such as steady = bench.open_loop { rate = 200 }, not \"calm\" = 5",
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
