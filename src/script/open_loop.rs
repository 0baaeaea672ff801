//! The boundaries of a running client. It crosses a boundary at once in a closed loop, and with its
//! next arrival in an open one. If the pace differs by phase, it changes from one to the other.

use mlua::{AnyUserData, Function, Result as LuaResult, Value};

use super::arrivals::Arrivals;
use super::client::{Client, Paced};
use super::host::Host;
use super::random::Random;
use super::values::{duration_ns, fault};
use crate::ir::Late;

/// A span of time, and the event that begins an iteration in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub from_ns: u64,
    pub until_ns: u64,
    pub begins: Begins,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// The end of the previous iteration.
    InClosedLoop,
    AtArrivals(Late),
}

/// The arrivals and spans of one workload with an open loop, while its streams are made.
pub(super) struct OpenLoop {
    /// The spans in order from time zero. The last one never ends.
    pub spans: Vec<Span>,
    /// The place of the open loop in the script, and the workload's name.
    pub place: String,
    pub seed: u64,
    pub workload: String,
    pub arrivals: Arrivals,
    /// The script's own functions for the gaps, each with the name that errors use for it.
    pub functions: Vec<(Function, String)>,
    /// The `rng` that is passed to these functions.
    pub rng: AnyUserData,
}

impl OpenLoop {
    fn next_of(&mut self, host: &Host, client: u32) -> Result<Option<u64>, String> {
        let OpenLoop { place, arrivals, functions, rng, .. } = self;
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

struct OfClient<'a> {
    open_loop: &'a mut OpenLoop,
    host: &'a Host,
    id: u32,
}

impl Paced for OfClient<'_> {
    fn span(&self, number: usize) -> Option<Span> {
        self.open_loop.spans.get(number).copied()
    }

    fn next_arrival(&mut self) -> Result<Option<u64>, String> {
        self.open_loop.next_of(self.host, self.id)
    }

    fn random_after(&self, span: usize) -> Random {
        let OpenLoop { seed, workload, .. } = &*self.open_loop;
        Random::after_span(*seed, workload, self.id, span)
    }
}

/// Takes the running client over a boundary. Returns whether another iteration begins.
pub(super) fn cross(
    host: &Host,
    boundary: fn(&mut Client, Option<&mut dyn Paced>) -> Result<bool, String>,
) -> LuaResult<bool> {
    // The client is taken out meanwhile, so that the function for the gaps cannot act for it.
    let Some(mut client) = host.client.borrow_mut().take() else { return Ok(false) };
    let mut open_loops = host.open_loops.borrow_mut();
    let open_loop = client.open_loop.and_then(|workload| open_loops.get_mut(workload)?.as_mut());
    let crossed = match open_loop {
        None => boundary(&mut client, None),
        Some(open_loop) => {
            let id = client.identity.id;
            let crossed = boundary(&mut client, Some(&mut OfClient { open_loop, host, id }));
            if crossed == Ok(false) {
                open_loop.arrivals.leave(id);
            }
            crossed
        }
    };
    *host.client.borrow_mut() = Some(client);
    crossed.map_err(fault)
}
