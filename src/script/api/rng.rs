//! The object `rng`: the random numbers of the client that is running, or of the arrivals that are
//! being made; and `bench.rng`, for values that all clients share.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{
    FromLuaMulti, IntoLuaMulti, Lua, LuaString, Result as LuaResult, Table, UserDataFields,
    UserDataMethods, UserDataRegistry, Value,
};

use super::super::host::ScriptHost;
use super::super::members::RNG_METHODS;
use super::super::values::{self, LARGEST_EXACT, fail, fault, name, shown, table};
use super::super::weights::Weights;
use super::super::zipf::{MAX_ZIPF_N, Zipf};
use super::registration::{KEEP_BY_CLIENT, no_field, refuse_to_set, top_level};
use crate::ir::random::RandomNumbers;
use crate::ir::units::parse_quantity;

/// A source of random numbers in a script.
pub(in crate::script) enum Rng {
    /// The random numbers of the running client or arrivals. One object serves the whole VM, so
    /// that keeping it in a variable cannot mix the streams of two clients.
    Running,
    /// The stream of `bench.rng(name)`.
    Named { name: String, random: RefCell<RandomNumbers> },
}

/// Maximum length of a list. A longer one would block the VM for too long.
const MAX_LIST: usize = 1_000_000;

/// Length of a list from which the clock is checked, because iterating it takes far longer than the
/// check.
const LONG_LIST: usize = 1_000;

/// Maximum of sigma. Beyond it, a factor of 22,000 in either direction would be common.
const MAX_SIGMA: f64 = 10.0;

pub(super) fn register(lua: &Lua, host: &Rc<ScriptHost>) -> LuaResult<()> {
    lua.register_userdata_type::<Rng>(|registry| {
        registry.add_meta_method("__tostring", |_, _, ()| Ok("rng"));
        registry.add_meta_method("__index", |_, _, name: Value| no_field(&name, Some(RNG_METHODS)));
        registry.add_meta_method("__newindex", |_, _, (name, _): (Value, Value)| {
            refuse_to_set(&name, "rng", KEEP_BY_CLIENT)
        });
        registry.add_meta_field("__type", "rng");
        uniform(registry, host);
        distributions(registry, host);
        lists(registry, host);
        registry.enable_namecall();
    })
}

/// Registers `bench.rng(name)`.
pub(super) fn register_named(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    top_level(lua, bench, host, "rng", |lua, _, declared, argument| {
        let name = name(&argument, "bench.rng: the stream's name")?;
        let random = RefCell::new(RandomNumbers::named(declared.seed, &name));
        lua.create_any_userdata(Rng::Named { name, random })
    })
}

type Registry = UserDataRegistry<Rng>;

fn uniform(registry: &mut Registry, host: &Rc<ScriptHost>) {
    drawing(registry, host, "int", |_, random, (low, high): (Value, Value)| {
        if high.is_nil() {
            return fail!(
                "rng:int takes the lowest and the highest, such as rng:int(1, {})",
                if low.is_integer() { shown(&low) } else { "10".into() }
            );
        }
        let (low, high) = (integer(&low)?, integer(&high)?);
        if low > high {
            return fail!("rng:int({low}, {high}): the first is the larger");
        }
        Ok(random.int(low, high))
    });
    // In other tools the arguments are bounds. If they were ignored, the numbers would silently be
    // wrong.
    drawing(registry, host, "float", |_, random, arguments: Value| match arguments {
        Value::Nil => Ok(random.float()),
        _ => Err(fault(
            "rng:float takes no argument: for a number between 1 and 5 write 1 + 4 * rng:float()",
        )),
    });
    drawing(registry, host, "bool", |_, random, probability: Value| {
        let probability = match probability {
            Value::Nil => 0.5,
            value => number(&value, "rng:bool: the probability")?,
        };
        if !(0.0..=1.0).contains(&probability) {
            return fail!("rng:bool({probability}): a probability is between 0 and 1");
        }
        Ok(random.float() < probability)
    });
}

fn distributions(registry: &mut Registry, host: &Rc<ScriptHost>) {
    drawing(registry, host, "exp", |_, random, mean: Value| {
        Ok(random.exp(quantity(&mean, "rng:exp: the mean")?))
    });
    drawing(registry, host, "normal", |_, random, (mean, deviation): (Value, Value)| {
        one_kind(&mean, &deviation)?;
        let largest = LARGEST_EXACT as f64;
        let mean = quantity_between(&mean, "rng:normal: the mean", (-largest, largest))?;
        let deviation = quantity(&deviation, "rng:normal: the standard deviation")?;
        Ok(random.normal(mean, deviation))
    });
    drawing(registry, host, "lognormal", |_, random, (median, sigma): (Value, Value)| {
        let median = quantity(&median, "rng:lognormal: the median")?;
        let sigma = between(&sigma, "rng:lognormal: sigma", (0.0, MAX_SIGMA))?;
        Ok(random.lognormal(median, sigma))
    });
    drawing(registry, host, "pareto", |_, random, (scale, shape): (Value, Value)| {
        let scale = quantity(&scale, "rng:pareto: the scale")?;
        let shape = between(&shape, "rng:pareto: the shape", (0.1, 1e6))?;
        Ok(random.pareto(scale, shape))
    });
    // The values derived from n and s take longer to compute than the draw, so they are kept.
    let last = RefCell::new(Zipf::new(1, 1.0));
    drawing(registry, host, "zipf", move |_, random, (n, s): (Value, Value)| {
        let n = match n {
            Value::Integer(n) if (1..=MAX_ZIPF_N as i64).contains(&n) => n as u64,
            other => {
                return fail!(
                    "rng:zipf: n is a whole number from 1 to 2^52, not {}",
                    shown(&other)
                );
            }
        };
        let s = between(&s, "rng:zipf: s", (0.0, 100.0))?;
        let mut zipf = last.borrow_mut();
        if !zipf.is_of(n, s) {
            *zipf = Zipf::new(n, s);
        }
        Ok(zipf.draw(random))
    });
}

fn lists(registry: &mut Registry, host: &Rc<ScriptHost>) {
    let sums = RefCell::new(Weights::default());
    drawing(registry, host, "pick", move |(_, host), random, (values, weights): (Value, Value)| {
        let (values, length) = list(host, &values, "rng:pick")?;
        if length == 0 {
            return Err(fault("rng:pick: the list is empty"));
        }
        if weights.is_nil() {
            return values.raw_get::<Value>(random.below(length as u64) + 1);
        }
        let (weights, weighed) = list(host, &weights, "rng:pick: the weights")?;
        if weighed != length {
            return fail!(
                "rng:pick: the list has {length} values and {weighed} weights; each value has one"
            );
        }
        let mut sums = sums.borrow_mut();
        let weights = (1..=length).map(|position| -> Result<f64, String> {
            let weight = weights.raw_get::<Value>(position).map_err(|e| e.to_string())?;
            values::number(&weight)
                .ok_or_else(|| format!("weight {position} is {}, not a number", shown(&weight)))
        });
        sums.set(weights).map_err(|problem| fault(format!("rng:pick: {problem}")))?;
        values.raw_get::<Value>(sums.draw(random) + 1)
    });
    // Shuffling returns a new list: a list that several clients share must not depend on which
    // client was asked first.
    drawing(registry, host, "shuffle", |(lua, host), random, values: Value| {
        let (values, length) = list(host, &values, "rng:shuffle")?;
        let shuffled = lua.create_table_with_capacity(length, 0)?;
        for position in 1..=length {
            let other = random.below(position as u64) as usize + 1;
            if other != position {
                shuffled.raw_set(position, shuffled.raw_get::<Value>(other)?)?;
            }
            shuffled.raw_set(other, values.raw_get::<Value>(position)?)?;
        }
        Ok(shuffled)
    });
}

/// Registers a method that draws from the random numbers of `rng`.
fn drawing<A, R, F>(registry: &mut Registry, host: &Rc<ScriptHost>, name: &str, body: F)
where
    A: FromLuaMulti,
    R: IntoLuaMulti,
    F: Fn((&Lua, &ScriptHost), &mut RandomNumbers, A) -> LuaResult<R> + 'static,
{
    let host = Rc::clone(host);
    registry.add_method(name, move |lua, rng, arguments: A| {
        draw(&host, rng, |random| body((lua, &host), random, arguments))
    });
}

fn draw<R>(
    host: &ScriptHost,
    rng: &Rng,
    body: impl FnOnce(&mut RandomNumbers) -> LuaResult<R>,
) -> LuaResult<R> {
    host.callback(|| match rng {
        Rng::Running => draw_running(host, body),
        Rng::Named { random, .. } if host.declared.borrow().is_some() => {
            body(&mut random.borrow_mut())
        }
        Rng::Named { name, .. } => fail!(
            "bench.rng({name:?}) draws at the top of the script only: here its numbers would depend on which client is asked first; use the rng that setup, iteration and teardown are given"
        ),
    })
}

/// Draws from the random numbers of the running client or arrivals.
pub(super) fn draw_running<R>(
    host: &ScriptHost,
    body: impl FnOnce(&mut RandomNumbers) -> LuaResult<R>,
) -> LuaResult<R> {
    if let Some(random) = host.drawing.borrow_mut().as_mut() {
        return body(random);
    }
    match host.client.borrow_mut().as_mut() {
        Some(client) => body(&mut client.random),
        None => Err(fault("rng can be used in setup, iteration and teardown only")),
    }
}

fn number(value: &Value, what: &str) -> LuaResult<f64> {
    values::number(value).ok_or_else(|| fault(format!("{what} is a number, not {}", shown(value))))
}

fn between(value: &Value, what: &str, (low, high): (f64, f64)) -> LuaResult<f64> {
    let number = number(value, what)?;
    if (low..=high).contains(&number) {
        return Ok(number);
    }
    let bound = |bound: f64| match bound.abs() == LARGEST_EXACT as f64 {
        true => format!("{}2^53", if bound < 0.0 { "-" } else { "" }),
        false => bound.to_string(),
    };
    fail!("{what} is {number}; it must be between {} and {}", bound(low), bound(high))
}

/// Returns a number of bytes, nanoseconds, or anything else that is counted: a number as it is, or
/// a string such as `"64KiB"` or `"5ms"` in bytes or nanoseconds.
fn quantity(value: &Value, what: &str) -> LuaResult<f64> {
    quantity_between(value, what, (0.0, LARGEST_EXACT as f64))
}

fn quantity_between(value: &Value, what: &str, bounds: (f64, f64)) -> LuaResult<f64> {
    let Value::String(text) = value else { return between(value, what, bounds) };
    let (quantity, _) = parse_quantity(&text.to_string_lossy())
        .map_err(|error| fault(format!("{what}: {error}")))?;
    between(&Value::Number(quantity as f64), what, bounds)
}

/// Refuses a mean and a standard deviation of which one is a duration and the other a size.
fn one_kind(mean: &Value, deviation: &Value) -> LuaResult<()> {
    let (Value::String(first), Value::String(second)) = (mean, deviation) else { return Ok(()) };
    let parsed = |text: &LuaString| parse_quantity(&text.to_string_lossy());
    match (parsed(first), parsed(second)) {
        // Zero is the same in every unit.
        (Ok((0, _)), _) | (_, Ok((0, _))) => Ok(()),
        (Ok((_, of_mean)), Ok((_, of_deviation))) if of_mean != of_deviation => fail!(
            "rng:normal: the mean {} is a {} and the standard deviation {} is a {}; write both as durations or both as sizes",
            shown(mean),
            of_mean.name(),
            shown(deviation),
            of_deviation.name()
        ),
        _ => Ok(()),
    }
}

fn list(host: &ScriptHost, value: &Value, what: &str) -> LuaResult<(Table, usize)> {
    let list = table(value, what)?;
    let length = list.raw_len();
    if length > MAX_LIST {
        return fail!("{what}: {length} values; at most {MAX_LIST} are possible");
    }
    if length > LONG_LIST {
        host.look_at_the_clock();
    }
    Ok((list, length))
}

fn integer(value: &Value) -> LuaResult<i64> {
    match value {
        Value::Integer(number) if number.unsigned_abs() <= LARGEST_EXACT => Ok(*number),
        Value::Number(number) if *number == 0.0 => Ok(0),
        other => {
            fail!("rng:int takes whole numbers within 2^53, not {}", shown(other))
        }
    }
}
