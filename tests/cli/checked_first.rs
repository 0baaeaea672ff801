//! Errors in a script that `run` finds as `validate` does: before it connects, on any number of
//! threads. Both make the first operations of at most 1,000 clients from the whole range; `validate`
//! makes more of them.

use crate::program::Place;

/// A target on which nothing listens, so that a run that connects exits with 3.
const NOBODY: &str = "smb://127.0.0.1:1/share";

fn refused_alike(script: &str) -> String {
    let place = Place::with_script(script);
    let valid = place.smbench("validate s.lua").end().refused(2);
    for threads in ["--generators 1 --shards 1", "--generators 3 --shards 2", "--generators 8"] {
        let line = format!("s.lua --target {NOBODY} {threads}");
        assert_eq!(place.run(&line).end().refused(2), valid, "{threads}");
    }
    valid
}

#[test]
fn a_handle_that_clients_share_is_refused_before_a_run_connects() {
    let message = refused_alike(
        "local h
        bench.workload { name = 'w', clients = 8,
            setup = function(c) if c.id == 0 then h = c:open('f', 'rw') end end,
            iteration = function(c) c:read(h, 0, 1) end }",
    );
    assert_eq!(
        message,
        "s.lua:4: read: this handle belongs to another client; a client uses the handles it opened itself (client w/1)"
    );
}

#[test]
fn a_stream_that_depends_on_the_batch_or_the_threads_is_refused_before_a_run_connects() {
    let message = refused_alike(
        "local n = 0
        bench.workload { name = 'w', clients = 8, iteration = function(c)
            n = n + 1
            c:stat('f' .. n)
        end }",
    );
    assert!(message.starts_with("s.lua: the stream depends on how it is made: "), "{message}");
}

#[test]
fn an_error_in_a_teardown_is_refused_before_a_run_connects() {
    let of_clients = refused_alike(
        "bench.workload { name = 'w', clients = 8,
            iteration = function(c) for i = 1, 3000 do c:stat('a') end end,
            teardown = function(c) c:delete(5) end }",
    );
    assert_eq!(of_clients, "s.lua:3: delete: the path is a string, not 5 (client w/0)");
    let run_wide = refused_alike(
        "bench.workload { name = 'w', clients = 8, iteration = function(c) c:stat('a') end }
        bench.teardown(function(c) c:reed() end)",
    );
    assert!(run_wide.starts_with("s.lua:2: unknown method 'reed'"), "{run_wide}");
    assert!(run_wide.ends_with(" (client bench)"), "{run_wide}");
}

#[test]
fn output_of_a_script_is_printed_once_by_a_run_and_by_a_refused_one() {
    let place = Place::new();
    let script = |then: &str| {
        format!(
            "print('at the top')
            bench.workload {{ name = 'w', iteration = function(c)
                if c.iteration == 0 then print('in an iteration') end
                c:stat('')
                {then}
            end }}"
        )
    };
    place.write("good.lua", script(""));
    place.write("bad.lua", script("error('here')"));
    let good = place.run("good.lua --target sim --iterations 2").end().exits(0);
    let bad = place.run_to("bad", "bad.lua --target sim --iterations 2").end().exits(2);
    for said in [&good.stderr, &bad.stderr] {
        assert_eq!(said.matches("at the top").count(), 1, "{said}");
        assert_eq!(said.matches("in an iteration").count(), 1, "{said}");
    }
    assert!(bad.stderr.ends_with("error: bad.lua:5: here (client w/0)\n"), "{bad:?}");
}

#[test]
fn a_huge_script_is_looked_at_for_a_moment_only() {
    let place = Place::with_script(
        "bench.workload { name = 'w', clients = 20000, iteration = function(c)
            for i = 1, 1e6 do
                c:stat(('d/'):rep(1000) .. i)
            end
        end, teardown = function(c) error('not reached, as no iteration is whole') end }",
    );
    // The whole stream has 20,000,000,000 operations of 2 KB each.
    place.smbench("validate s.lua").end().exits(0);
    place.run("s.lua --target sim:null --duration 100ms --clients 20").end().exits(2);
}

#[test]
fn an_error_of_a_client_that_is_not_among_the_first_is_refused_before_a_run_connects() {
    let counted = refused_alike(
        "local n = 0
        bench.workload { name = 'w', clients = 200, iteration = function(c)
            c:stat('same')
            if c.id >= 150 then n = n + 1 c:stat('f' .. (n % 7), { expect = 'any' }) end
        end }",
    );
    assert!(counted.starts_with("s.lua: the stream depends on how it is made: "), "{counted}");
    let handle = refused_alike(
        "local h
        bench.workload { name = 'w', clients = 200,
            setup = function(c) if c.id == 100 then h = c:open('f', 'rw') end end,
            iteration = function(c) if c.id == 150 then c:read(h, 0, 1) end c:stat('f') end }",
    );
    assert_eq!(
        handle,
        "s.lua:4: read: this handle belongs to another client; a client uses the handles it opened itself (client w/150)"
    );
    let teardown = refused_alike(
        "bench.workload { name = 'w', clients = 1000, iteration = function(c) c:stat('a') end,
            teardown = function(c) if c.id == 999 then c:bad() end end }",
    );
    assert!(teardown.starts_with("s.lua:2: unknown method 'bad'"), "{teardown}");
    assert!(teardown.ends_with(" (client w/999)"), "{teardown}");
}

#[test]
fn an_error_after_a_long_setup_is_refused_before_a_run_connects() {
    let message = refused_alike(
        "bench.setup(function(c) for i = 1, 20001 do c:mkdir('d' .. i) end end)
        bench.workload { name = 'w', iteration = function(c) c:stat('a') end }
        bench.teardown(function(c) c:oops() end)",
    );
    assert!(message.starts_with("s.lua:3: unknown method 'oops'"), "{message}");
}

#[test]
fn validate_says_that_a_teardown_was_not_reached() {
    let place = Place::with_script(
        "bench.workload { name = 'w',
            setup = function(c) c:mkdir('d') end,
            iteration = function(c) while true do c:stat('') end end,
            teardown = function(c) error('oops') end }",
    );
    let valid = place.smbench("validate s.lua").end().exits(0).stdout;
    let reached = " of all clients, setup included; teardown was not reached: they are the same on any number of threads\n";
    assert!(valid.ends_with(reached), "{valid}");
}

/// `validate` prints what a script prints while its operations are made the first time.
#[test]
fn a_check_of_operations_that_take_long_to_make_ends_in_time() {
    let place = Place::with_script(
        "bench.workload { name = 'w', clients = 1, iteration = function(c)
            for i = 1, 5e7 do end
            print('made')
            c:stat('a')
        end }",
    );
    let ended = place.smbench("validate s.lua --script-time 1m").end().exits(0);
    let made = ended.stderr.matches("made").count();
    assert!((1..64).contains(&made), "{made} of a batch of 64");
}
