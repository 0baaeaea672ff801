//! The coroutines in which the sections of clients run. A client has one only in the middle of a
//! section's function: one takes about 2 KiB, and there are many clients.

use std::rc::Rc;

use mlua::{AnyUserData, Function, Lua, Result as LuaResult, Thread};

use super::client::Client;
use super::error::{PRELUDE, ScriptError};
use super::host::Host;
use super::open_loop::cross;
use super::vm::Vm;
use crate::ir::{Section, SourceError};

/// A client that has been asked for operations.
pub(super) struct Slot {
    /// The client. It is `None` only while the VM has it.
    pub client: Option<Box<Client>>,
    pub object: AnyUserData,
    pub state: State,
}

pub(super) enum State {
    /// The client is before the call of the section's function, or between two iterations.
    Idle,
    /// The client is in the middle of the section's function.
    Running(Thread),
    Ended,
    Failed(Box<SourceError>),
}

pub(super) struct Coroutines {
    /// The function `(iteration, c, rng)`. It calls `iteration` until one ends with a full batch.
    iterate: Function,
    /// The coroutine that ended last. The next client reuses it.
    spare: Option<Thread>,
}

impl Coroutines {
    pub fn new(lua: &Lua, host: &Rc<Host>) -> LuaResult<Coroutines> {
        Ok(Coroutines { iterate: iterate(lua, host)?, spare: None })
    }

    /// Runs the client until `most` operations are made, or its section ends.
    /// `function` is the section's.
    ///
    /// # Errors
    /// The script raised an error or exceeded a limit.
    pub fn resume(
        &mut self,
        vm: &Vm,
        slot: &mut Slot,
        (function, rng): (&Function, &AnyUserData),
        most: usize,
    ) -> Result<(), ScriptError> {
        let section = slot.client.as_ref().map(|client| client.section);
        let iterates = section == Some(Section::Iteration);
        let (thread, goes_on) = match std::mem::replace(&mut slot.state, State::Ended) {
            State::Running(thread) => (thread, true),
            State::Idle => {
                let function = if iterates { &self.iterate } else { function };
                (coroutine(vm, self.spare.take(), function)?, false)
            }
            ended => {
                slot.state = ended;
                return Ok(());
            }
        };
        let Some(mut client) = slot.client.take() else { return Ok(()) };
        client.batch = most;
        *vm.host.client.borrow_mut() = Some(client);
        let result = vm.enter(thread.state().addr(), |_| match iterates {
            // A coroutine that goes on gets no values: if it was paused before a call that takes
            // all results of another, it would pass them on with these.
            _ if goes_on => thread.resume::<()>(()),
            true => thread.resume::<()>((function, &slot.object, rng)),
            false => thread.resume::<()>((&slot.object, rng)),
        });
        slot.client = vm.host.client.borrow_mut().take();
        result?;
        let paused = slot.client.as_mut().is_some_and(|client| client.take_pause());
        slot.state = match thread.is_resumable() {
            true => State::Running(thread),
            false => {
                self.spare = Some(thread);
                if paused { State::Idle } else { State::Ended }
            }
        };
        Ok(())
    }
}

/// Returns a coroutine that has not yet called `function`.
fn coroutine(vm: &Vm, spare: Option<Thread>, function: &Function) -> Result<Thread, ScriptError> {
    vm.enter(0, |lua| match spare {
        Some(thread) => thread.reset(function.clone()).map(|()| thread),
        None => lua.create_thread(function.clone()),
    })
}

/// Makes the loop around a client's iterations. It is in Lua, so that a batch may end
/// anywhere inside.
fn iterate(lua: &Lua, host: &Rc<Host>) -> LuaResult<Function> {
    let host = Rc::clone(host);
    let starts = lua.create_function(move |_, ()| {
        host.callback(|| {
            let mut client = host.client.borrow_mut();
            let paused = client.as_mut().is_some_and(|client| client.pause_if_full(&host.queued));
            drop(client);
            if paused { Ok(false) } else { cross(&host, Client::start_iteration) }
        })
    })?;
    let text = "local starts = ...
        return function(iteration, c, rng)
            while starts() do iteration(c, rng) end
        end";
    lua.load(text).set_name(format!("={PRELUDE}")).call(starts)
}
