//! Tests that scripts are refused if their streams depend on how they are made.

use super::*;
use crate::script::{CheckError, Depth, check, extent};

fn depends(text: &str) -> String {
    let written = script(text).with(|options| options.iterations = None);
    match check(&written.options, Depth::THOROUGH) {
        Err(error @ CheckError::Depends { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Returns the operation and its two versions from the message.
fn versions(text: &str) -> String {
    let message = depends(text);
    let rest = message.strip_prefix("s.lua: the stream depends on how it is made: operation ");
    let (versions, advice) = rest.unwrap().split_once("; most likely ").unwrap();
    assert!(advice.contains("upvalue") && advice.contains("t[c.id]"), "{advice}");
    versions.to_string()
}

#[test]
fn a_counter_shared_by_clients_is_found_and_the_first_operation_it_changes_is_named() {
    let message = versions(
        "local n = 0
        bench.workload { name = 'w', clients = 3, iteration = function(c)
            c:stat('same')
            n = n + 1
            c:stat('f' .. n)
        end }",
    );
    assert_eq!(
        message,
        "0-1 (client w/0) is stat path=\"f1\" from 1 thread in batches of 64, and stat path=\"f5\" from 2 threads in batches of 7"
    );
}

#[test]
fn a_difference_may_be_a_time_a_length_an_end_or_an_error() {
    let iteration = |body: &str| {
        versions(&format!(
            "local n = {{ 0 }}
            bench.workload {{ name = 'w', clients = 2, iteration = function(c)
                c:mkdir('d')
                n[1] = n[1] + 1
                {body}
            end }}"
        ))
    };
    let think = iteration("c:think(n[1] * 1e6) c:stat('a')");
    assert!(
        think.ends_with("stat after_ns=1000000 path=\"a\" from 2 threads in batches of 7"),
        "{think}"
    );
    let write = iteration("local h = c:open('a', 'rw') c:write(h, 0, n[1]) c:close(h)");
    assert!(write.contains(" is write length="), "{write}");
    let kind = iteration("if n[1] % 3 == 0 then c:list('a') else c:stat('b') end");
    assert!(kind.contains("stat path=\"b\""), "{kind}");
    let error =
        iteration("if c.id == 1 and n[1] == 1 then error('as the test wants it') end c:stat('a')");
    assert!(error.contains("an error (s.lua:5: as the test wants it (client w/"), "{error}");
    let setup = versions(
        "local made = false
        bench.workload { name = 'w', clients = 2,
            setup = function(c) if not made then c:mkdir('d') end made = true end,
            iteration = function(c) c:stat('a') end }",
    );
    assert_eq!(
        setup,
        "1-0 (client w/1) is not there from 1 thread in batches of 64, and mkdir path=\"d\" from 2 threads in batches of 7"
    );
}

#[test]
fn a_script_that_shares_nothing_passes_whatever_it_consists_of() {
    let written = script(super::determinism::MIXED).with(|options| options.iterations = None);
    let compared = check(&written.options, Depth::THOROUGH).unwrap();
    assert_eq!((compared.header.workload_clients(), compared.clients), (10, 10));
    assert!(compared.operations > 5_000, "{}", compared.operations);
    let ends = script("bench.workload { name = 'w', iteration = function(c) c:stat('a') end }");
    assert_eq!(check(&ends.options, Depth::THOROUGH).unwrap().operations, 1);
}

#[test]
fn state_kept_by_client_is_nothing_shared() {
    let kept = "local n = {}
        bench.workload { name = 'w', clients = 5, iteration = function(c)
            n[c.id] = (n[c.id] or 0) + 1
            c:stat('f' .. n[c.id])
        end, teardown = function(c) c:delete('f' .. n[c.id]) end }";
    let written = script(kept).with(|options| options.iterations = None);
    assert_eq!(check(&written.options, Depth::THOROUGH).unwrap().operations, 5 * 1_001);
}

#[test]
fn a_stream_that_breaks_off_is_reported_for_many_clients_too() {
    let broken = iteration("c:stat('a') error('here')");
    let message = check(&broken.options, Depth::THOROUGH).unwrap_err().to_string();
    assert_eq!(message, "s.lua:2: here (client w/0)");
    let many = script(
        "bench.phases { { name = 'on', duration = '1s' } }
        bench.workload { name = 'w', clients = 150000, iteration = function(c) c:stat('a') end,
            pace = bench.open_loop { rate = 1e6, arrivals = 'poisson' } }",
    )
    .with(|options| options.iterations = None);
    let compared = check(&many.options, Depth::THOROUGH).unwrap();
    assert_eq!((compared.clients, compared.operations), (1_000, 6_000));
}

#[test]
fn a_reload_compares_few_clients_and_still_finds_what_they_share() {
    let shared = script(
        "local n = 0
        bench.workload { name = 'w', clients = 1000, iteration = function(c)
            n = n + 1
            c:stat('f' .. n)
        end }",
    )
    .with(|options| options.iterations = None);
    let found = check(&shared.options, Depth::RELOAD).unwrap_err().to_string();
    assert!(found.contains("the stream depends on how it is made"), "{found}");
    let own = script(
        "bench.workload { name = 'w', clients = 1000, iteration = function(c) c:stat('a') end }",
    )
    .with(|options| options.iterations = None);
    let compared = check(&own.options, Depth::RELOAD).unwrap();
    assert_eq!(compared.clients, 32);
    assert!(compared.operations <= 1_000, "{}", compared.operations);
}

const BOTH: [Depth; 2] = [Depth::THOROUGH, Depth::QUICK];

/// Checks the script at both depths. Returns the extent to which each has checked it.
fn passes(text: &str, iterations: Option<u32>) -> [String; 2] {
    let written = script(text).with(|options| options.iterations = iterations);
    BOTH.map(|depth| match check(&written.options, depth) {
        Ok(compared) => extent(&compared.sections),
        Err(error) => panic!("{depth:?}: {error}"),
    })
}

fn found(text: &str) -> String {
    let written = script(text).with(|options| options.iterations = None);
    let [thorough, quick] =
        BOTH.map(|depth| check(&written.options, depth).unwrap_err().to_string());
    assert_eq!(thorough, quick);
    quick
}

#[test]
fn an_error_in_any_teardown_is_found_however_long_the_iterations_before_it_are() {
    for iteration in ["c:stat('a')", "for i = 1, 3000 do c:stat('a') end"] {
        let of_clients = format!(
            "bench.workload {{ name = 'w', clients = 400, iteration = function(c) {iteration} end,
                teardown = function(c) c:delete(nothing.here) end }}"
        );
        assert_eq!(
            found(&of_clients),
            "s.lua:2: unknown global 'nothing': a variable of your own begins with local (client w/0)"
        );
        let run_wide = format!(
            "bench.teardown(function(c) error('at the very end') end)
            bench.workload {{ name = 'w', clients = 400, iteration = function(c) {iteration} end }}"
        );
        assert_eq!(found(&run_wide), "s.lua:1: at the very end (client bench)");
    }
}

#[test]
fn a_handle_that_clients_share_is_found() {
    let message = found(
        "local h
        bench.workload { name = 'w', clients = 4,
            setup = function(c) if c.id == 0 then h = c:open('f', 'rw') end end,
            iteration = function(c) c:read(h, 0, 1) end }",
    );
    assert!(message.contains("this handle belongs to another client"), "{message}");
}

#[test]
fn clients_of_the_whole_range_are_compared() {
    let shared = "local n = 0
        bench.workload { name = 'first', iteration = function(c) c:stat('a') end }
        bench.workload { name = 'w', clients = 5000, iteration = function(c)
            if c.id >= 4000 then
                n = n + 1
                c:stat('f' .. (n % 7))
            end
            c:stat('same')
        end }";
    let written = script(shared).with(|options| options.iterations = None);
    for depth in BOTH {
        let error = check(&written.options, depth).unwrap_err();
        assert!(matches!(error, CheckError::Depends { .. }), "{error}");
    }
    for id in [0, 1, 4_999] {
        let message = found(&format!(
            "bench.workload {{ name = 'w', clients = 5000,
                iteration = function(c) for i = 1, 3000 do c:stat('a') end end,
                teardown = function(c) if c.id == {id} then c:bad() end end }}"
        ));
        assert!(message.starts_with("s.lua:3: unknown method 'bad'"), "{message}");
        assert!(message.ends_with(&format!("(client w/{id})")), "{message}");
    }
}

#[test]
fn iterations_after_a_long_setup_are_made() {
    let run_wide = found(
        "bench.setup(function(c) for i = 1, 20001 do c:mkdir('d' .. i) end end)
        bench.workload { name = 'w', iteration = function(c) c:stat('a') end }
        bench.teardown(function(c) c:oops() end)",
    );
    assert!(run_wide.starts_with("s.lua:3: unknown method 'oops'"), "{run_wide}");
    for section in ["iteration = ", "iteration = function(c) c:stat('a') end, teardown = "] {
        let of_a_client = found(&format!(
            "bench.workload {{ name = 'w', clients = 20,
                setup = function(c)
                    if c.id == 0 then for i = 1, 20001 do c:mkdir('d' .. i) end end
                end,
                {section} function(c) if c.id == 0 then c:oops() end c:stat('a') end }}"
        ));
        assert!(of_a_client.starts_with("s.lua:5: unknown method 'oops'"), "{of_a_client}");
    }
}

#[test]
fn a_section_that_was_not_reached_is_reported() {
    let extents = passes(
        "bench.setup(function(c) c:mkdir('d') end)
        bench.workload { name = 'w', clients = 2,
            setup = function(c) c:mkdir('e' .. c.id) end,
            iteration = function(c) while true do c:stat('') end end,
            teardown = function(c) error('oops') end }",
        None,
    );
    assert_eq!(extents, [", setup included; teardown was not reached"; 2]);
    let extents = passes(
        "bench.setup(function(c) for i = 1, 200001 do c:mkdir('d') end end)
        bench.workload { name = 'w', iteration = function(c) c:stat('') end }
        bench.teardown(function(c) error('oops') end)",
        None,
    );
    let cut = ", the end of bench.setup was not reached; bench.teardown was not reached";
    assert_eq!(extents, [cut; 2]);
}

#[test]
fn a_teardown_may_rely_on_a_whole_setup_and_a_whole_iteration() {
    // Setups and iterations are so long that those of two clients are cut at every depth.
    let extents = passes(
        "local files, last = {}, {}
        bench.workload { name = 'w', clients = 5,
            setup = function(c)
                for i = 1, 1200 do c:mkdir('d' .. i) end
                files[c.id] = { 'a', 'b' }
            end,
            iteration = function(c, rng)
                for i = 1, 1200 do c:stat(rng:pick(files[c.id])) end
                last[c.id] = 'x'
            end,
            teardown = function(c) c:delete(last[c.id]) end }",
        None,
    );
    for extent in extents {
        assert_eq!(
            extent,
            ", the end of setup was reached for 3 of 5 clients; the end of teardown was reached for 3 of 5 clients"
        );
    }
    passes(
        "local done = {}
        bench.workload { name = 'w', clients = 300,
            iteration = function(c)
                for i = 1, 2000 do c:stat('a') end
                done[c.id] = (done[c.id] or 0) + 1
            end,
            teardown = function(c) assert(done[c.id] == 20) c:delete('a') end }",
        Some(20),
    );
}

#[test]
fn a_teardown_may_depend_on_where_iterations_were_cut_and_must_not_fail_anywhere() {
    passes(
        "local made = {}
        bench.workload { name = 'w', clients = 9,
            iteration = function(c, rng)
                for i = 1, rng:int(1, 40) do c:stat(('x'):rep(rng:int(1, 200))) end
                made[c.id] = (made[c.id] or 0) + 1
            end,
            teardown = function(c) for i = 1, made[c.id] do c:delete('f' .. i) end end }",
        None,
    );
    let message = found(
        "local shared
        bench.workload { name = 'w', clients = 4,
            setup = function(c) if c.id == 0 then shared = { path = 'p' } end end,
            iteration = function(c) c:stat('a') end,
            teardown = function(c) c:delete(shared.path) end }",
    );
    assert!(message.contains("an error (s.lua:5: attempt to index nil with 'path'"), "{message}");
}

#[test]
fn a_setup_of_any_length_is_waited_for_or_its_iterations_are_not_made() {
    for operations in [1_500, 40_000] {
        passes(
            &format!(
                "local handles = {{}}
                bench.workload {{ name = 'w', clients = 50,
                    setup = function(c)
                        handles[c.id] = {{}}
                        for i = 1, {operations} do c:stat('f' .. i) end
                        handles[c.id][1] = c:open('f', 'r')
                    end,
                    iteration = function(c) c:read(handles[c.id][1], 0, 1) end }}"
            ),
            None,
        );
    }
}

#[test]
fn a_script_that_needs_the_memory_of_one_thread_is_compared_on_one() {
    let text = "local big = table.create(2000000, 1)
        bench.workload { name = 'w', clients = 4, iteration = function(c) c:stat('a' .. #big) end }";
    let written = script(text).with(|options| {
        options.iterations = None;
        options.limits.memory_bytes = 56 << 20;
    });
    for depth in BOTH {
        let compared = check(&written.options, depth).unwrap();
        assert_eq!(compared.ways.map(|way| way.threads), [1, 1]);
    }
}
