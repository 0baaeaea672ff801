//! Tests with arbitrary values in scripts and on the command line: each value is taken within its
//! bounds or refused with a readable message.

use super::*;
use crate::ir::random::RandomNumbers;
use crate::ir::units::{parse_duration_ns, parse_size};
use crate::ir::{Due, HandleOperation, OperationKind};
use crate::script::members::{CLIENT_METHODS, RNG_METHODS};
use crate::script::values::LARGEST_EXACT;

/// Parts of valid quantities, and parts that are invalid.
const PIECES: &[&str] = &[
    "0",
    "1",
    "5",
    "9",
    "00",
    "64",
    "1000",
    ".",
    "..",
    "-",
    "+",
    "e",
    "1e3",
    "inf",
    "nan",
    "0x",
    "_",
    ",",
    " ",
    "\t",
    "\n",
    "\0",
    "ns",
    "us",
    "µs",
    "ms",
    "s",
    "m",
    "min",
    "h",
    "d",
    "B",
    "K",
    "KB",
    "KiB",
    "MiB",
    "gb",
    "TiB",
    "PiB",
    "é",
    "𝟙",
    "９",
    "9007199254740992",
    "9007199254740993",
    "99999999999999999999999999",
];

fn text(random: &mut RandomNumbers) -> String {
    let pieces = random.int(0, 5);
    (0..pieces).map(|_| PIECES[random.below(PIECES.len() as u64) as usize]).collect()
}

#[test]
fn any_text_is_a_quantity_or_an_error_that_shows_how_to_write_one() {
    let mut random = RandomNumbers::of_arrivals(1, "quantities", 1);
    let mut taken = [0, 0];
    for _ in 0..100_000 {
        let text = text(&mut random);
        for (kind, parsed) in [parse_duration_ns(&text), parse_size(&text)].into_iter().enumerate()
        {
            match parsed {
                Ok(value) => {
                    taken[kind] += 1;
                    assert!(kind == 1 || value <= LARGEST_EXACT, "{text:?} is {value}");
                    let again =
                        [parse_duration_ns(&format!("{value}ns")), parse_size(&value.to_string())];
                    assert_eq!(again[kind], Ok(value), "{text:?}");
                }
                Err(error) => {
                    let message = error.to_string();
                    let example = ["\"250ms\"", "\"64KiB\""][kind];
                    assert!(message.contains(example) && message.len() < 300, "{message}");
                }
            }
        }
    }
    assert!(taken.iter().all(|taken| *taken > 1_000), "{taken:?}");
}

#[test]
fn a_whole_number_of_a_unit_is_that_many_times_the_unit() {
    let mut random = RandomNumbers::of_arrivals(2, "quantities", 1);
    let durations = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
    let sizes = [("B", 1), ("KiB", 1 << 10), ("MB", 1_000_000), ("GiB", 1 << 30)];
    for _ in 0..20_000 {
        let at = random.below(4) as usize;
        let (unit, factor) = durations[at];
        let number = random.below(LARGEST_EXACT / factor + 1);
        assert_eq!(parse_duration_ns(&format!("{number}{unit}")), Ok(number * factor));
        assert!(parse_duration_ns(&format!("-{number}{unit}")).is_err());
        let (unit, factor) = sizes[at];
        let number = random.below(u64::MAX / factor);
        assert_eq!(parse_size(&format!("{number} {unit}")), Ok(number * factor));
    }
}

#[test]
fn any_text_for_any_parameter_is_taken_within_its_bounds_or_refused_by_name() {
    let mut random = RandomNumbers::of_arrivals(3, "parameters", 1);
    let names = ["users", "ratio", "mix", "deep", "think", "io", "usres", ""];
    let words = ["true", "off", "office", "cad", "100", "0.5", "1s", "64KiB", "-0", "1e-320"];
    let mut taken = 0;
    for _ in 0..1_000 {
        let name = names[random.below(names.len() as u64) as usize];
        let value = match random.below(3) {
            0 => words[random.below(words.len() as u64) as usize].to_string(),
            _ => text(&mut random),
        };
        match script(super::params::ALL).param(name, &value).load() {
            Ok(script) => {
                taken += 1;
                let params = &script.header().params;
                let within = |name: &str, low: f64, high: f64| {
                    let value = params[name].as_f64().unwrap();
                    assert!((low..=high).contains(&value), "{name}={value}");
                };
                within("users", 1.0, 5_000.0);
                within("ratio", 0.0, 1.0);
                within("think", 0.0, 1e10);
                within("io", 0.0, f64::from(64 << 20));
                assert!(["office", "cad"].contains(&params["mix"].as_str().unwrap()));
            }
            Err(ScriptError::Parameter(message)) => {
                assert!(message.starts_with(&format!("-p {name}")), "{message}");
                assert!(message.len() < 400, "{message}");
            }
            Err(other) => panic!("-p {name}={value:?}: {other}"),
        }
    }
    assert!(taken > 50, "{taken}");
}

/// A script that calls every method with every kind of value in every place.
const ANYTHING: &str = r#"
local function fails() error("as the test wants it") end
local odd = setmetatable({}, { __index = fails, __tostring = fails, __len = fails, __call = fails, __iter = fails })
local values = {
    true, false, 0, -0.0, 1, -1, 0.5, 999, 1000, 2^31, 2^32, 2^53, 2^53 + 2, -2^53, 2^63, 1e308, -1e308,
    5e-324, 0/0, 1/0, -1/0, "", "5", "0", "1s", "64KiB", "-1", "r", "rw", "a/b", "/", "..", "a\0b", "\xff\xfe",
    ("x"):rep(70000), ("a/"):rep(300), "any", "SUCCESS", {}, { 1, 2, 3 }, { expect = "any" }, { expect = {} },
    { expect = { 1 } }, { expect = odd }, { [1] = 2, x = 3 }, { exclusive = 1 }, { replace = odd }, odd, print,
    coroutine.create(print), buffer.create(3), bench,
}
bench.workload { name = "w", clients = 100, iteration = function(c, rng)
    local kept = c:open("kept", "rw")
    local others = { c, rng, kept }
    local likely = { kept, "a/b", "c", 0, 4096, "r" }
    local function any()
        if rng:bool(0.7) then return likely[rng:int(1, #likely)] end
        local n = rng:int(-2, #values + #others)
        if n <= 0 then return nil end
        return n <= #values and values[n] or others[n - #values]
    end
    local function maybe() return rng:bool() and any() or nil end
    for round = 1, 100 do
        local object = rng:bool(0.7) and c or rng
        local methods = object == c and CLIENT or RNG
        local name = methods[rng:int(1, #methods)]
        local ok, problem = pcall(function() return object[name] end)
        if ok and type(problem) == "function" then
            ok, problem = pcall(problem, object, any(), maybe(), maybe(), maybe())
        end
        if not ok then
            local message = tostring(problem)
            if #message > 700 or message:find("0x", 1, true) or message:find("mlua") or message:find("internal") then
                error(name .. ": " .. message)
            end
        end
    end
end }"#;

#[test]
fn any_value_in_any_place_of_any_method_makes_an_operation_within_bounds_or_an_error() {
    let list = |names: &[&str]| format!("{{ \"{}\" }}", names.join("\", \""));
    let text = format!(
        "local CLIENT = {}\nlocal RNG = {}\n{ANYTHING}",
        list(&CLIENT_METHODS),
        list(RNG_METHODS)
    );
    for seed in 0..4 {
        let operations = script(&text).with(|options| options.seed = Some(seed)).operations();
        assert!(operations.len() > 300, "{}", operations.len());
        for operation in &operations {
            let due = match operation.due {
                Due::At(ns) | Due::After(ns) => ns,
                Due::Arrival { .. } => panic!("a closed loop has no arrivals"),
            };
            assert!(due <= LARGEST_EXACT, "{operation:?}");
            match &operation.kind {
                OperationKind::OnHandle(_, HandleOperation::Read { offset, length, .. })
                | OperationKind::OnHandle(_, HandleOperation::Write { offset, length, .. }) => {
                    assert!(*offset <= LARGEST_EXACT && *length <= 64 << 20, "{operation:?}");
                }
                kind => {
                    let path = kind.path().map_or("", |path| path.as_str());
                    assert!(path.len() < 40_000 && !path.contains('\0'), "{operation:?}");
                }
            }
        }
    }
}
