//! Tests of scripts that are loaded for a later generation, while a run goes on.

use super::*;
use crate::ir::Due;
use crate::script::Reload;

const SECOND: u64 = 1_000_000_000;

/// Returns the script loaded for this generation, whose arrivals begin at `begin_ns`.
fn reloaded(written: &Written, generation: u32, begin_ns: u64) -> Script {
    let reload = Some(Reload { generation, begin_ns });
    Script::load(&ScriptOptions { reload, ..written.options.clone() }).unwrap()
}

/// Returns the paths of the operations of a section.
fn paths(operations: &[Operation], section: Section) -> Vec<String> {
    let operations = operations.iter().filter(|operation| operation.section == section);
    operations.filter_map(|operation| Some(operation.kind.path()?.to_string())).collect()
}

#[test]
fn random_numbers_of_iterations_depend_on_the_generation_and_no_others_do() {
    let written = script(
        "local top = bench.rng('top'):int(0, 1e9)
        bench.workload { name = 'w', clients = 2,
            setup = function(c, rng) c:stat('s' .. rng:int(0, 1e9) .. top) end,
            iteration = function(c, rng) c:stat('i' .. rng:int(0, 1e9)) end,
            teardown = function(c, rng) c:stat('t' .. rng:int(0, 1e9) .. top) end }",
    );
    let of = |mut script: Script| {
        let operations = all(&mut script, 64).unwrap();
        SECTIONS.map(|section| paths(&operations, section))
    };
    let first = of(written.load().unwrap());
    assert_eq!(of(reloaded(&written, 1, 0)), first, "1 is the generation of a run's beginning");
    let [second, third] = [2, 3].map(|generation| of(reloaded(&written, generation, 0)));
    for later in [&second, &third] {
        assert_eq!((&later[0], &later[2]), (&first[0], &first[2]));
        assert!(later[1].iter().all(|path| !first[1].contains(path)));
    }
    assert!(second[1].iter().all(|path| !third[1].contains(path)));
}

#[test]
fn the_random_numbers_of_a_generation_do_not_depend_on_the_number_of_vms() {
    let written = script(
        "bench.workload { name = 'w', clients = 5, pace = bench.open_loop { rate = 10, arrivals = 'poisson' },
            iteration = function(c, rng) c:stat('i' .. rng:int(0, 1e9)) end }",
    )
    .with(|options| options.reload = Some(Reload { generation: 4, begin_ns: 7 * SECOND }));
    assert_eq!(all_dealt(&written, 3, 7), written.operations());
}

#[test]
fn arrivals_of_a_later_generation_begin_at_its_time_in_every_manner() {
    for (manner, exact) in [
        ("'constant'", Some(SECOND)),
        ("'poisson'", None),
        ("function(rng, now, rate) return now / 2 end", Some(SECOND / 10 * 9 / 2 * 3)),
    ] {
        let written = script(&format!(
            "bench.workload {{ name = 'w', pace = bench.open_loop {{ rate = 4, arrivals = {manner} }},
                iteration = function(c) c:stat('a') end }}"
        ));
        let first = |mut script: Script| {
            let operations = all(&mut script, 64).unwrap();
            match operations[0].due {
                Due::Arrival { at_ns, .. } => at_ns,
                due => panic!("{due:?}"),
            }
        };
        let begin_ns = SECOND / 10 * 9;
        let [second, third] = [2, 3].map(|number| first(reloaded(&written, number, begin_ns)));
        assert!(second >= begin_ns, "{manner}");
        match exact {
            Some(exact) => assert_eq!((second, third), (exact, exact), "{manner}"),
            None => assert_ne!(second, third, "arrivals have random numbers of the generation"),
        }
    }
}

#[test]
fn the_name_of_the_stream_says_on_what_its_operations_depend() {
    let closed = iteration("c:stat('a')");
    let open = script(
        "bench.workload { name = 'w', pace = bench.open_loop { rate = 4 },
            iteration = function(c) c:stat('a') end }",
    );
    let name = |written: &Written, generation, begin_ns| {
        reloaded(written, generation, begin_ns).header().ir_hash.clone()
    };
    assert_ne!(name(&closed, 2, 0), closed.load().unwrap().header().ir_hash);
    assert_ne!(name(&closed, 2, 0), name(&closed, 3, 0));
    assert_eq!(name(&closed, 2, 0), name(&closed, 2, SECOND));
    assert_ne!(name(&open, 2, 0), name(&open, 2, SECOND));
}

#[test]
fn a_workload_says_whether_its_setup_runs_again_at_a_reload() {
    let of = |value: &str| {
        script(&format!(
            "bench.workload {{ name = 'w', {value} iteration = function(c) c:stat('a') end }}"
        ))
    };
    let set = |value| of(value).load().unwrap().header().workloads[0].setup_on_reload;
    assert_eq!(
        [set(""), set("setup_on_reload = false,"), set("setup_on_reload = true,")],
        [false, false, true]
    );
    assert_eq!(
        of("setup_on_reload = 'yes',").refused(),
        "s.lua:1: workload 'w': setup_on_reload is true or false, not \"yes\""
    );
    assert_eq!(
        of("setup_at_reload = true,").refused(),
        "s.lua:1: bench.workload: unknown field 'setup_at_reload': did you mean 'setup_on_reload'?"
    );
    let dropped = |value| of(value).load().unwrap().dropped_by_documents().to_vec();
    assert_eq!(dropped(""), [""; 0]);
    assert_eq!(
        dropped("setup_on_reload = true,"),
        ["that setup runs again at a reload (setup_on_reload)"]
    );
}
