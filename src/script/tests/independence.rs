//! Scripts whose streams depend on how they are made are found out.

use super::*;
use crate::script::{CheckError, check};

fn depends(text: &str) -> String {
    let written = script(text).with(|options| options.iterations = None);
    match check(&written.options) {
        Err(error @ CheckError::Depends { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The operation and its two versions.
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
fn what_differs_may_be_a_time_a_length_an_end_or_an_error() {
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
    let compared = check(&written.options).unwrap();
    assert_eq!((compared.header.workload_clients(), compared.clients), (10, 10));
    assert!(compared.operations > 5_000, "{}", compared.operations);
    let ends = script("bench.workload { name = 'w', iteration = function(c) c:stat('a') end }");
    assert_eq!(check(&ends.options).unwrap().operations, 1);
}

#[test]
fn state_kept_by_client_is_nothing_shared() {
    let kept = "local n = {}
        bench.workload { name = 'w', clients = 5, iteration = function(c)
            n[c.id] = (n[c.id] or 0) + 1
            c:stat('f' .. n[c.id])
        end, teardown = function(c) c:delete('f' .. n[c.id]) end }";
    let written = script(kept).with(|options| options.iterations = None);
    assert_eq!(check(&written.options).unwrap().operations, 5 * 1_001);
}

#[test]
fn a_stream_that_breaks_off_is_told_as_such_and_many_clients_are_no_hindrance() {
    let broken = iteration("c:stat('a') error('here')");
    let message = check(&broken.options).unwrap_err().to_string();
    assert_eq!(message, "s.lua:2: here (client w/0)");
    let many = script(
        "bench.phases { { name = 'on', duration = '1s' } }
        bench.workload { name = 'w', clients = 150000, iteration = function(c) c:stat('a') end,
            pace = bench.open_loop { rate = 1e6, arrivals = 'poisson' } }",
    )
    .with(|options| options.iterations = None);
    let compared = check(&many.options).unwrap();
    assert_eq!((compared.clients, compared.operations), (1_000, 6_000));
}
