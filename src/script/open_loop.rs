//! How a running client gets over a boundary: at once in a closed loop, with
//! its next arrival in an open one.

use mlua::{AnyUserData, Function, Result as LuaResult, Value};

use super::arrivals::Arrivals;
use super::client::{Client, NextArrival};
use super::random::Random;
use super::values::{duration_ns, fault};
use super::vm::Host;

/// The arrivals of one workload while its streams are made.
pub(super) struct OpenLoop {
    /// Where in the script it is, and the workload's name.
    pub place: String,
    pub arrivals: Arrivals,
    /// The script's own functions for the gaps, and what stands for each of
    /// them in errors.
    pub functions: Vec<(Function, String)>,
    /// The `rng` they are given.
    pub rng: AnyUserData,
}

impl OpenLoop {
    fn next_of(&mut self, host: &Host, client: u32) -> Result<Option<u64>, String> {
        let OpenLoop { place, arrivals, functions, rng } = self;
        let mut gap = |number: usize, random: &mut Random, now_ns: u64, rate: f64| {
            let Some((function, place)) = functions.get(number) else {
                return Err("there is no function for the gaps".to_string());
            };
            *host.drawing.borrow_mut() = Some(random.clone());
            let returned = function.call::<Value>((&*rng, now_ns as f64, rate));
            if let Some(drawn) = host.drawing.take() {
                *random = drawn;
            }
            returned
                .and_then(|gap| duration_ns(&gap, "what arrivals returned"))
                .map_err(|error| host.with_place(host.readable(&error), place))
        };
        arrivals.next_of(client, &mut gap).map_err(|problem| host.with_place(problem, place))
    }
}

/// Takes the running client over a boundary; whether another iteration begins.
pub(super) fn cross(
    host: &Host,
    boundary: fn(&mut Client, &mut NextArrival<'_>) -> Result<bool, String>,
) -> LuaResult<bool> {
    // Away meanwhile, so that the function for the gaps cannot act for it.
    let Some(mut client) = host.client.borrow_mut().take() else { return Ok(false) };
    let mut open_loops = host.open_loops.borrow_mut();
    let open_loop = client.open_loop.and_then(|workload| open_loops.get_mut(workload)?.as_mut());
    let crossed = match open_loop {
        None => boundary(&mut client, &mut || Ok(None)),
        Some(open_loop) => {
            let id = client.identity.id;
            let crossed = boundary(&mut client, &mut || open_loop.next_of(host, id));
            if crossed == Ok(false) {
                open_loop.arrivals.leave(id);
            }
            crossed
        }
    };
    *host.client.borrow_mut() = Some(client);
    crossed.map_err(fault)
}
