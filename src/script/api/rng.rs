//! The object `rng`: the random numbers of the client that is running, or of
//! the arrivals that are being made.

use std::rc::Rc;

use mlua::{Lua, Result as LuaResult, UserDataFields, UserDataMethods, Value};

use super::super::random::Random;
use super::super::values::{LARGEST_EXACT, fault, shown, table};
use super::super::vm::Host;
use super::no_field;

/// One for the whole machine: it draws from whatever runs, so that keeping it
/// in a variable cannot mix the streams of two clients.
pub(in crate::script) struct Rng;

pub(super) fn register(lua: &Lua, host: &Rc<Host>) -> LuaResult<()> {
    lua.register_userdata_type::<Rng>(|registry| {
        registry.add_meta_method("__tostring", |_, _, ()| Ok("rng"));
        registry.add_meta_method("__index", |_, _, name: Value| no_field(&name));
        registry.add_meta_field("__type", "rng");
        let drawer = Rc::clone(host);
        registry.add_method("int", move |_, _, (low, high): (Value, Value)| {
            draw(&drawer, |random| {
                let (low, high) = (integer(&low)?, integer(&high)?);
                if low > high {
                    return Err(fault(format!("rng:int({low}, {high}): the first is the larger")));
                }
                Ok(random.int(low, high))
            })
        });
        let drawer = Rc::clone(host);
        registry.add_method("float", move |_, _, ()| draw(&drawer, |random| Ok(random.float())));
        let drawer = Rc::clone(host);
        registry.add_method("bool", move |_, _, probability: Value| {
            draw(&drawer, |random| {
                let probability = match probability {
                    Value::Nil => 0.5,
                    value => number(&value, "rng:bool")?,
                };
                if !(0.0..=1.0).contains(&probability) {
                    return Err(fault(format!(
                        "rng:bool({probability}): a probability lies between 0 and 1"
                    )));
                }
                Ok(random.float() < probability)
            })
        });
        let drawer = Rc::clone(host);
        registry.add_method("exp", move |_, _, mean: Value| {
            draw(&drawer, |random| {
                let mean = number(&mean, "rng:exp")?;
                if !(0.0..=LARGEST_EXACT as f64).contains(&mean) {
                    return Err(fault(format!("rng:exp({mean}): a mean lies between 0 and 2^53")));
                }
                Ok(random.exp(mean))
            })
        });
        let drawer = Rc::clone(host);
        registry.add_method("pick", move |_, _, list: Value| {
            draw(&drawer, |random| {
                let list = table(&list, "rng:pick")?;
                let length = list.raw_len() as u64;
                if length == 0 {
                    return Err(fault("rng:pick: the list is empty"));
                }
                list.raw_get::<Value>(random.below(length) + 1)
            })
        });
        registry.enable_namecall();
    })
}

fn draw<R>(host: &Host, body: impl FnOnce(&mut Random) -> LuaResult<R>) -> LuaResult<R> {
    host.callback(|| {
        if let Some(random) = host.drawing.borrow_mut().as_mut() {
            return body(random);
        }
        match host.client.borrow_mut().as_mut() {
            Some(client) => body(&mut client.random),
            None => Err(fault("rng belongs into setup, iteration and teardown")),
        }
    })
}

fn number(value: &Value, what: &str) -> LuaResult<f64> {
    match value {
        Value::Integer(number) => Ok(*number as f64),
        Value::Number(number) => Ok(*number),
        other => Err(fault(format!("{what} takes a number, not {}", shown(other)))),
    }
}

fn integer(value: &Value) -> LuaResult<i64> {
    match value {
        Value::Integer(number) if number.unsigned_abs() <= LARGEST_EXACT => Ok(*number),
        Value::Number(number) if *number == 0.0 => Ok(0),
        other => {
            Err(fault(format!("rng:int takes whole numbers within 2^53, not {}", shown(other))))
        }
    }
}
