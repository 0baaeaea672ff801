use super::*;
use crate::ir::{Feature, OpenOperation, OperationKind, Phase, Workload};
use crate::protocol::{BreakAnswer, BreakPolicy};

const TWO: &str = r#"
bench.phases { { name = "warmup", duration = "5s", record = false }, { name = "steady", duration = "30s" } }
bench.setup(function(c) c:mkdir("team") end)
bench.teardown(function(c) c:rmdir("team") end)
bench.workload {
    name = "editors", clients = 2, pace = bench.closed_loop {},
    setup = function(c) c:mkdir("team/u" .. c.id) end,
    iteration = function(c) c:stat("team/u" .. c.id) end,
    teardown = function(c) c:rmdir("team/u" .. c.id) end,
}
bench.workload { name = "viewers", clients = 1, iteration = function(c) c:list("team") end }"#;

#[test]
fn the_header_tells_what_the_script_declares() {
    let script = script(TWO).with(|options| options.seed = Some(42)).load().unwrap();
    let header = script.header();
    let workload = Workload::new;
    assert_eq!(header.source, "s.lua");
    assert_eq!(header.seed, 42);
    assert_eq!(header.workloads[..], [workload("editors", 2), workload("viewers", 1)]);
    assert!(header.run_client && header.bounded);
    let phase = |name: &str, seconds: u64, record| Phase {
        name: name.into(),
        duration_ns: seconds * 1_000_000_000,
        record,
    };
    assert_eq!(header.phases, [phase("warmup", 5, false), phase("steady", 30, true)]);
    assert_eq!(header.script_hash, Some(blake3::hash(TWO.as_bytes()).to_hex().to_string()));
    assert!(header.ir_hash.starts_with("recipe:"), "{}", header.ir_hash);
}

#[test]
fn the_run_wide_client_comes_last_and_does_not_iterate() {
    let operations = script(TWO).operations();
    let seen: Vec<(u32, Section, &str)> = operations
        .iter()
        .map(|o| (o.client_idx, o.section, o.kind.path().unwrap().as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (0, Section::Setup, "team/u0"),
            (1, Section::Setup, "team/u1"),
            (3, Section::Setup, "team"),
            (0, Section::Iteration, "team/u0"),
            (1, Section::Iteration, "team/u1"),
            (2, Section::Iteration, "team"),
            (0, Section::Teardown, "team/u0"),
            (1, Section::Teardown, "team/u1"),
            (3, Section::Teardown, "team"),
        ]
    );
    let seqs: Vec<u32> = operations.iter().filter(|o| o.client_idx == 0).map(|o| o.seq).collect();
    assert_eq!(seqs, [0, 1, 2], "seq counts over all sections");
}

#[test]
fn asking_for_a_later_section_drops_what_is_left_of_the_earlier() {
    let mut script = script(
        "bench.workload { name = 'w',
            setup = function(c) for i = 1, 100 do c:mkdir('s' .. i) end end,
            iteration = function(c) c:open('f', 'r') c:stat('i' .. c.iteration) end,
            teardown = function(c) local h = c:open('t', 'r') c:close(h) end }",
    )
    .with(|options| options.iterations = None)
    .load()
    .unwrap();
    let mut operations = Vec::new();
    assert_eq!(script.pull(0, Section::Setup, 3, &mut operations), Ok(Progress::More));
    assert_eq!(script.pull(0, Section::Iteration, 3, &mut operations), Ok(Progress::More));
    assert_eq!(script.pull(0, Section::Teardown, 8, &mut operations), Ok(Progress::End));
    assert_eq!(operations.len(), 8);
    assert!(operations.is_sorted_by_key(|operation| operation.seq));
    assert_eq!(operations[6].kind.handle_ref().unwrap().0, 0, "teardown numbers handles afresh");
    assert_eq!(script.pull(0, Section::Iteration, 3, &mut operations), Ok(Progress::End));
}

#[test]
fn numbers_of_clients_can_be_given_from_outside() {
    let with = |texts: &[&str]| {
        script(TWO).with(|options| options.clients = texts.iter().map(|t| clients(t)).collect())
    };
    let script = with(&["editors=5", "viewers=3"]).load().unwrap();
    assert_eq!(script.header().workload_clients(), 8);
    assert_eq!(
        with(&["editor=5"]).refused(),
        "--clients editor=5: unknown workload 'editor': did you mean 'editors'?"
    );
    assert_eq!(
        with(&["5"]).refused(),
        "--clients 5: the script has several workloads (editors, viewers); write --clients editors=5"
    );
    assert_eq!(
        with(&["editors=600000", "viewers=600000"]).refused(),
        "1200000 clients in total; at most 1000000 are possible"
    );
    let one = iteration("c:stat('a')").with(|options| options.clients = vec![clients("9")]);
    assert_eq!(one.load().unwrap().header().clients(), 9);
}

#[test]
fn numbers_of_clients_are_bare_or_named() {
    let count = |workload: Option<&str>, clients| {
        Ok(ClientsOverride { workload: workload.map(String::from), clients })
    };
    assert_eq!("12".parse(), count(None, 12));
    assert_eq!("editors=1000000".parse(), count(Some("editors"), 1_000_000));
    assert_eq!("a=b=3".parse(), count(Some("a=b"), 3));
    for bad in ["0", "1000001", "=3", "a=", "-1", "", "a=1.5", "many"] {
        let expected = "expected N or workload=N, with N from 1 to 1000000";
        assert_eq!(bad.parse::<ClientsOverride>(), Err(expected.into()), "{bad:?}");
    }
}

#[test]
fn the_recipe_changes_with_everything_the_stream_follows_from() {
    let parametric = "local P = bench.params { a = { type = 'int', default = 1 } }
        require('./lib/m')
        bench.workload { name = 'w', iteration = function(c) c:stat('a') end }";
    let base = || script(parametric).file("lib/m.lua", "return {}");
    let hash = |written: Written| written.load().unwrap().header().ir_hash.clone();
    let first = hash(base());
    assert_eq!(first, hash(base()), "not with where the script lies");
    assert_eq!(first, hash(base().param("a", "1")), "nor with a default given from outside");
    let others = [
        hash(script(&format!("{parametric} ")).file("lib/m.lua", "return {}")),
        hash(base().file("lib/m.lua", "return { }")),
        hash(base().param("a", "2")),
        hash(base().with(|options| options.seed = Some(1))),
        hash(base().with(|options| options.clients = vec![clients("2")])),
        hash(base().with(|options| options.iterations = Some(2))),
        hash(base().with(|options| options.nominal_bound_ns = Some(5))),
    ];
    for (number, other) in others.iter().enumerate() {
        assert_ne!(&first, other, "case {number}");
    }
}

#[test]
fn a_hundred_thousand_clients_are_made_only_when_they_are_asked() {
    let mut script = iteration("c:stat('a')")
        .with(|options| {
            options.clients = vec![clients("100000")];
            options.iterations = None;
        })
        .load()
        .unwrap();
    let mut operations = Vec::new();
    for client in [0, 99_999] {
        assert_eq!(script.pull(client, Section::Iteration, 2, &mut operations), Ok(Progress::More));
    }
    assert_eq!(operations.len(), 4);
    assert_eq!(script.pull(100_000, Section::Iteration, 2, &mut operations), Ok(Progress::End));
}

#[test]
fn a_workload_says_what_it_will_need() {
    let needs = |needs: &str| {
        let text = format!(
            "bench.workload {{ name = 'w', needs = {needs}, iteration = function(c) c:stat('a') end }}"
        );
        let written = script(&text);
        let script = written.load().map_err(|_| written.refused())?;
        let needs = script.header().needs.iter();
        Ok(needs.map(|need| (need.feature, need.whose.clone())).collect::<Vec<_>>())
    };
    let of_w = |feature| (feature, "workload 'w'".to_string());
    assert_eq!(needs("{ mode = 0 }"), Ok(vec![]));
    assert_eq!(
        needs("{ locks = true, share_mode = true, disposition = false }"),
        Ok(vec![of_w(Feature::Locks), of_w(Feature::ShareMode)])
    );
    let all = needs("{ mode = 2 }").unwrap();
    assert_eq!((all.len(), all.first()), (6, Some(&of_w(Feature::Caching))), "a refusal names it");
    assert_eq!(needs("{ mode = 1, share_mode = true }").unwrap().len(), 5);
    for (wrong, expected) in [
        (
            "{ mode = 3 }",
            "mode is 0 (paths), 1 (fields of CREATE) or 2 (oplocks, leases, durable handles), not 3",
        ),
        ("{ lock = true }", "unknown field 'lock': did you mean 'locks'?"),
        ("{ locks = 1 }", "locks is true or false, not 1"),
    ] {
        let expected: Result<Vec<(Feature, String)>, _> =
            Err(format!("s.lua:1: workload 'w': needs: {expected}"));
        assert_eq!(needs(wrong), expected, "{wrong}");
    }
}

#[test]
fn breaks_are_answered_as_is_said_of_the_workload_else_of_all_wherever_it_is_said() {
    let written = script(
        "bench.on_break { policy = 'ignore', workload = 'readers' }
        for _, name in { 'editors', 'readers', 'others' } do
            bench.workload { name = name, iteration = function(c)
                c:open('a', 'rw', { requested_oplock = 'batch' })
                c:open('b', 'rw', { lease = 'RWH', on_break = { policy = 'acknowledge' } })
                c:open('c', 'rw', { on_break = { delay = 2000000000, flush = true } })
            end }
        end
        bench.on_break { delay = '50ms', flush = true }",
    );
    let mut loaded = written.load().unwrap();
    let ignore = BreakPolicy { answer: BreakAnswer::Ignore, ..BreakPolicy::default() };
    let of_all = BreakPolicy { delay_ns: 50_000_000, flush: true, ..BreakPolicy::default() };
    let policies: Vec<BreakPolicy> =
        loaded.header().workloads.iter().map(|workload| workload.on_break).collect();
    assert_eq!(policies, [of_all, ignore, of_all]);

    let operations = all(&mut loaded, 64).unwrap();
    let of_opens = operations[..3].iter().map(|operation| match &operation.kind {
        OperationKind::Open(OpenOperation { extensions, .. }) => {
            extensions.as_ref().unwrap().on_break
        }
        other => panic!("{other:?}"),
    });
    let delayed = BreakPolicy { delay_ns: 2_000_000_000, ..of_all };
    assert_eq!(
        of_opens.collect::<Vec<_>>(),
        [None, Some(BreakPolicy::default()), Some(delayed)],
        "an answer at once can be asked for where the workload's is another"
    );
    assert_eq!(Feature::needed_by(&operations[2]), [], "on_break asks nothing of the server");
    assert_eq!(Feature::needed_by(&operations[1]), [Feature::Caching]);
}

#[test]
fn a_batch_has_an_operation_however_little_of_the_memory_is_a_clients() {
    let mut script = script(
        "bench.workload { name = 'w', clients = 1000000, iteration = function(c) c:stat('f') end }",
    )
    .with(|options| options.limits.memory_bytes = 8 << 20)
    .load()
    .unwrap();
    let mut made = Vec::new();
    assert_eq!(script.pull(7, Section::Iteration, 64, &mut made), Ok(Progress::More));
    assert_eq!(made.len(), 1);
}

#[test]
fn clients_between_iterations_share_one_coroutine() {
    const CLIENTS: u32 = 2_000;
    let bytes_of_a_client = |operations: usize| {
        let written = script(&format!(
            "bench.workload {{ name = 'w', clients = {CLIENTS}, iteration = function(c)
                for i = 1, {operations} do c:stat('f') end
            end }}"
        ))
        .with(|options| options.iterations = None);
        let mut script = Script::load(&written.options).unwrap();
        let used = |script: &Script| {
            script.vm.enter(0, |lua| lua.gc_collect().map(|()| lua.used_memory())).unwrap()
        };
        let before = used(&script);
        for client in 0..CLIENTS {
            let mut batch = Vec::new();
            script.pull(client, Section::Iteration, 2, &mut batch).unwrap();
            assert_eq!(batch.len(), 2);
        }
        (used(&script) - before) / CLIENTS as usize
    };
    let (between, within) = (bytes_of_a_client(4), bytes_of_a_client(40));
    assert!(between < 256, "{between} bytes a client");
    assert!(within > 1_000, "{within} bytes a client: it is to be in the midst of its iteration");
}
