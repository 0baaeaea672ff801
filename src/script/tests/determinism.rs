use super::*;

/// A script with everything that could depend on where a batch ends.
pub(super) const MIXED: &str = r#"
local office = require("@bench/office")
local function inner(c, n) for i = 1, n do c:stat("n" .. i) end end
bench.setup(function(c) c:mkdir("all") end)
bench.workload {
    name = "a", clients = 3,
    setup = function(c, rng) c:mkdir("all/" .. rng:int(1, 1000)) end,
    iteration = function(c, rng)
        local h = c:open(("all/%d-%d"):format(c.id, c.iteration), "rw")
        for i = 1, rng:int(1, 9) do
            c:write(h, rng:int(0, 4096), rng:int(1, 4096))
            pcall(inner, c, 3)
            c:think(rng:exp(5e6))
        end
        coroutine.wrap(function() inner(c, 2) coroutine.yield() end)()
        table.sort({ 3, 1, 2 }, function(x, y) c:stat("sort") return x < y end)
        if rng:bool(0.3) then c:at(c.iteration * 1e9) end
        c:close(h)
        while c:running() do
            inner(c, 2)
            if rng:bool() then break end
        end
    end,
    teardown = function(c, rng) c:rmdir("all/" .. rng:pick({ "x", "y" })) end,
}
bench.workload { name = "b", clients = 2, iteration = function(c, rng)
    office.edit(c, rng, { directory = "all" })
end }
bench.phases { { name = "up", duration = "1s" }, { name = "on", duration = "1s" } }
local rate = { up = { from = 0, to = 200 }, on = 50 }
bench.workload { name = "o", clients = 3, pace = bench.open_loop { rate = rate, arrivals = "poisson" },
    iteration = function(c, rng)
        c:think(rng:exp(1e6))
        inner(c, rng:int(0, 3))
        while c:running() do
            inner(c, 2)
            c:think(rng:exp(1e6))
            if rng:bool() then break end
        end
    end }
local function gap(rng, now, rate) return rng:bool(0.2) and 0 or rng:exp(1e9) / (rate + 1) end
bench.workload { name = "f", clients = 2, pace = bench.open_loop { rate = rate, arrivals = gap, late = "drop" },
    iteration = function(c, rng) inner(c, rng:int(1, 5)) end }"#;

#[test]
fn the_stream_is_the_same_whatever_the_size_of_its_batches() {
    let stream = |batch: usize| {
        let written = script(MIXED).with(|options| options.iterations = Some(20));
        let operations = all(&mut written.load().unwrap(), batch).unwrap();
        (operations.len(), serde_json::to_string(&operations).unwrap())
    };
    let (length, whole) = stream(1_000_000);
    assert!(length > 1_000, "{length}");
    for batch in [1, 2, 7, 64] {
        assert!(stream(batch) == (length, whole.clone()), "batches of {batch} differ");
    }
}

#[test]
fn the_stream_is_the_same_however_many_machines_make_it() {
    let written = script(MIXED).with(|options| options.iterations = Some(20));
    let whole = serde_json::to_string(&all(&mut written.load().unwrap(), 64).unwrap()).unwrap();
    assert!(whole.len() > 100_000, "{}", whole.len());
    for of in [1, 2, 3, 4, 7] {
        let dealt = serde_json::to_string(&all_dealt(&written, of, 5)).unwrap();
        assert!(dealt == whole, "{of} machines differ");
    }
}

#[test]
fn the_stream_of_a_client_does_not_depend_on_when_the_others_are_asked() {
    let mut script = script(MIXED).with(|options| options.iterations = Some(5)).load().unwrap();
    assert_eq!(script.header().workload_clients(), 10);
    let mut woven: [Vec<Operation>; 10] = Default::default();
    let mut open: Vec<u32> = (0..10).rev().collect();
    while !open.is_empty() {
        open.retain(|client| {
            let into = &mut woven[*client as usize];
            script.pull(*client, Section::Iteration, 3, into).unwrap() == Progress::More
        });
    }
    let straight = super::script(MIXED).with(|options| options.iterations = Some(5)).operations();
    for (client, woven) in woven.iter().enumerate() {
        let alone: Vec<_> = straight
            .iter()
            .filter(|o| o.client_idx == client as u32 && o.section == Section::Iteration)
            .map(|o| (o.due, o.iteration, o.kind.clone()))
            .collect();
        let woven: Vec<_> = woven.iter().map(|o| (o.due, o.iteration, o.kind.clone())).collect();
        assert!(alone == woven, "client {client}");
    }
}

#[test]
fn seed_changes_the_stream_and_nothing_else_does() {
    let stream = |seed: Option<u64>| script(MIXED).with(|options| options.seed = seed).operations();
    assert!(stream(None) == stream(Some(0)));
    assert!(stream(Some(1)) == stream(Some(1)));
    assert!(stream(Some(0)) != stream(Some(1)));
}

#[test]
fn random_numbers_are_these_on_every_machine() {
    let drawn: Vec<String> = script(
        r#"
        bench.workload { name = "golden", iteration = function(c, rng)
            for i = 1, 4 do c:stat("i" .. rng:int(-1000, 1000)) end
            for i = 1, 3 do c:stat(("f%.17g"):format(rng:float())) end
            for i = 1, 3 do c:stat(("e%.17g"):format(rng:exp(50000000))) end
            for i = 1, 4 do c:stat("b" .. tostring(rng:bool())) end
            for i = 1, 4 do c:stat("p" .. rng:pick({ "a", "b", "c" })) end
            c:stat("w" .. rng:int(0, 2^53))
            c:stat(("m%.17g"):format(math.exp(1.1) + math.log(7.3) + math.sin(2) + math.pow(1.7, 2.9)))
        end }"#,
    )
    .with(|options| options.seed = Some(2026))
    .operations()
    .iter()
    .map(|operation| operation.kind.path().unwrap().to_string())
    .collect();
    let expected = [
        "i-962",
        "i-593",
        "i-896",
        "i308",
        "f0.97545056794206253",
        "f0.84394287441554816",
        "f0.34083168905054595",
        "e80911872.145644918",
        "e182107659.51050651",
        "e93765210.519299999",
        "btrue",
        "bfalse",
        "bfalse",
        "btrue",
        "pb",
        "pa",
        "pa",
        "pc",
        "w6124076593177796",
        "m10.560436082712528",
    ];
    assert_eq!(drawn, expected);
}
