//! The coroutines in which the sections of clients run. A client has one only in the middle of a
//! section's function: one takes about 2 KiB, and there are many clients.

use std::rc::Rc;

use mlua::{AnyUserData, Function, Lua, Result as LuaResult, Thread};

use super::boundary::cross;
use super::client::ScriptClient;
use super::error::{PRELUDE, ScriptError};
use super::host::ScriptHost;
use super::vm::Vm;
use crate::ir::{Section, SourceError};

/// A client that has been asked for operations.
pub(super) struct BegunClient {
    /// The client. It is `None` only while the VM has it.
    pub client: Option<Box<ScriptClient>>,
    pub object: AnyUserData,
    pub state: CoroutineState,
}

pub(super) enum CoroutineState {
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
    pub fn new(lua: &Lua, host: &Rc<ScriptHost>) -> LuaResult<Coroutines> {
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
        begun: &mut BegunClient,
        (function, rng): (&Function, &AnyUserData),
        most: usize,
    ) -> Result<(), ScriptError> {
        let section = begun.client.as_ref().map(|client| client.section);
        let iterates = section == Some(Section::Iteration);
        let (thread, goes_on) = match std::mem::replace(&mut begun.state, CoroutineState::Ended) {
            CoroutineState::Running(thread) => (thread, true),
            CoroutineState::Idle => {
                let function = if iterates { &self.iterate } else { function };
                (coroutine(vm, self.spare.take(), function)?, false)
            }
            ended => {
                begun.state = ended;
                return Ok(());
            }
        };
        let Some(mut client) = begun.client.take() else { return Ok(()) };
        client.batch = most;
        *vm.host.client.borrow_mut() = Some(client);
        let result = vm.enter(thread.state().addr(), |_| match iterates {
            // A coroutine that goes on gets no values: if it was paused before a call that takes
            // all results of another, it would pass them on with these.
            _ if goes_on => thread.resume::<()>(()),
            true => thread.resume::<()>((function, &begun.object, rng)),
            false => thread.resume::<()>((&begun.object, rng)),
        });
        begun.client = vm.host.client.borrow_mut().take();
        result?;
        let paused = begun.client.as_mut().is_some_and(|client| client.take_pause());
        begun.state = match thread.is_resumable() {
            true => CoroutineState::Running(thread),
            false => {
                self.spare = Some(thread);
                if paused { CoroutineState::Idle } else { CoroutineState::Ended }
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
fn iterate(lua: &Lua, host: &Rc<ScriptHost>) -> LuaResult<Function> {
    let host = Rc::clone(host);
    let starts = lua.create_function(move |_, ()| {
        host.callback(|| {
            let mut client = host.client.borrow_mut();
            let paused =
                client.as_mut().is_some_and(|client| client.pause_if_full(&host.operation_memory));
            drop(client);
            if paused { Ok(false) } else { cross(&host, ScriptClient::start_iteration) }
        })
    })?;
    let text = "local starts = ...
        return function(iteration, c, rng)
            while starts() do iteration(c, rng) end
        end";
    lua.load(text).set_name(format!("={PRELUDE}")).call(starts)
}
