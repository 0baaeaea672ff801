//! The boundaries of a running client. It crosses a boundary at once in a closed loop, and with its
//! next arrival in an open one.

use mlua::{Result as LuaResult, Value};

use super::client::{NextArrival, ScheduledArrival, ScriptClient};
use super::host::ScriptHost;
use super::open_loop::OpenLoop;
use super::values::{duration_ns, fault};
use crate::ir::Late;
use crate::ir::random::RandomNumbers;

impl OpenLoop {
    fn next_of(
        &mut self,
        host: &ScriptHost,
        client: u32,
    ) -> Result<Option<ScheduledArrival>, String> {
        let OpenLoop { lates, place, arrivals, functions, rng } = self;
        let mut gap = |number: usize, random: &mut RandomNumbers, now_ns: u64, rate: f64| {
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
        let next = arrivals.next_of(client, &mut gap);
        let at_ns = next.map_err(|problem| host.with_place(problem, place))?;
        let late = |at_ns| {
            let in_force = lates.iter().rfind(|(from_ns, _)| *from_ns <= at_ns);
            in_force.map_or_else(Late::default, |(_, late)| *late)
        };
        Ok(at_ns.map(|at_ns| ScheduledArrival { at_ns, late: late(at_ns) }))
    }
}

/// Takes the running client over a boundary. Returns whether another iteration begins.
pub(super) fn cross(
    host: &ScriptHost,
    boundary: fn(&mut ScriptClient, Option<&mut NextArrival<'_>>) -> Result<bool, String>,
) -> LuaResult<bool> {
    // The client is taken out meanwhile, so that the function for the gaps cannot act for it.
    let Some(mut client) = host.client.borrow_mut().take() else { return Ok(false) };
    let mut open_loops = host.open_loops.borrow_mut();
    let open_loop = client.open_loop.and_then(|workload| open_loops.get_mut(workload)?.as_mut());
    let crossed = match open_loop {
        None => boundary(&mut client, None),
        Some(open_loop) => {
            let id = client.identity.id;
            let crossed = boundary(&mut client, Some(&mut || open_loop.next_of(host, id)));
            if crossed == Ok(false) {
                open_loop.arrivals.leave(id);
            }
            crossed
        }
    };
    *host.client.borrow_mut() = Some(client);
    crossed.map_err(fault)
}
