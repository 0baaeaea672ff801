//! `bench.map`: the stage of a transform that calls a function for each operation.

use std::rc::Rc;
use std::sync::Arc;

use mlua::{AnyUserData, Function, Lua, Result as LuaResult, Table, WeakLua};

use super::super::client::{Identity, ScriptClient};
use super::super::error::PRELUDE;
use super::super::host::ScriptHost;
use super::super::values::{fault, function};
use super::client::ClientObject;
use super::mapped_operation::MappedObject;
use super::registration::top_level;
use super::rng::Rng;
use super::streams::StageObject;
use crate::ir::source::RUN_CLIENT;
use crate::ir::{Operation, Section};
use crate::transform::{
    ClientTransform, OperationStream, StagePlace, StreamStage, TransformError, per_client,
};

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    let owner = Rc::clone(host);
    top_level(lua, bench, host, "map", move |lua, host, _, argument| {
        let function = function(
            &argument,
            "bench.map takes a function, such as function(op, emit, rng) emit(op) end",
        )?;
        let stage = MapStage { lua: lua.weak(), host: Rc::clone(&owner), function };
        StageObject::create(lua, host, "map", stage)
    })
}

/// A stage whose operations are made by a function of the script.
struct MapStage {
    lua: WeakLua,
    host: Rc<ScriptHost>,
    function: Function,
}

impl StreamStage for MapStage {
    fn apply(
        &self,
        input: Rc<dyn OperationStream>,
        place: StagePlace,
    ) -> Result<Rc<dyn OperationStream>, TransformError> {
        let mut facts = input.facts().clone();
        facts.ids_stay_unique = false;
        let header = facts.header.clone();
        let lua = self.lua.try_upgrade().ok_or_else(|| place.refuse("the script has ended"))?;
        let each = each(&lua, &self.host, &self.function);
        let each = each.map_err(|error| place.refuse(self.host.readable(&error)))?;
        let (weak, host, random) = (self.lua.clone(), Rc::clone(&self.host), place.clone());
        Ok(per_client(input, facts, place, move |client| {
            let (workload, id) = match header.workload_of(client) {
                Some((workload, id)) => (Arc::clone(&header.workloads[workload].name), id),
                None => (RUN_CLIENT.into(), 0),
            };
            let identity = Identity { index: client, workload, id };
            let name = header.client_name(client);
            let name = (name, random.number);
            let client = ScriptClient::mapping(identity, name, random.random(client));
            Box::new(ClientMap {
                lua: weak.clone(),
                host: Rc::clone(&host),
                each: each.clone(),
                emit: None,
                client: Some(Box::new(client)),
            })
        }))
    }
}

/// Makes the loop over the operations of a batch. It is in Lua, so that there is no call from Rust
/// into Lua for each operation.
fn each(lua: &Lua, host: &Rc<ScriptHost>, function: &Function) -> LuaResult<Function> {
    let host = Rc::clone(host);
    let next = lua.create_function(move |_, ()| {
        host.callback(|| match host.client.borrow_mut().as_mut() {
            Some(client) => client.next_mapped().map_err(fault),
            None => Ok(false),
        })
    })?;
    let op = lua.create_any_userdata(MappedObject)?;
    let rng = lua.create_any_userdata(Rng::Running)?;
    let text = "local next, map, op, rng = ...
        return function(emit)
            while next() do map(op, emit, rng) end
        end";
    let chunk = lua.load(text).set_name(format!("={PRELUDE}"));
    chunk.call((next, function, op, rng))
}

struct ClientMap {
    lua: WeakLua,
    host: Rc<ScriptHost>,
    each: Function,
    /// The object `emit`, once the client has operations.
    emit: Option<AnyUserData>,
    /// The client. It is `None` only while the VM has it.
    client: Option<Box<ScriptClient>>,
}

impl ClientTransform for ClientMap {
    fn enter(&mut self, section: Section) {
        if let Some(client) = &mut self.client {
            client.section = section;
            if let Some(mapping) = &mut client.mapping {
                mapping.enter();
            }
        }
    }

    fn pass(
        &mut self,
        operations: &mut Vec<Operation>,
        into: &mut Vec<Operation>,
    ) -> Result<(), String> {
        if operations.is_empty() {
            return Ok(());
        }
        let lua = self.lua.try_upgrade().ok_or("the script has ended")?;
        let mut client = self.client.take().ok_or("the function failed before")?;
        let index = client.identity.index;
        let number = client.mapping.as_ref().map_or(0, |mapping| mapping.number);
        if let Some(mapping) = &mut client.mapping {
            mapping.waiting.extend(operations.drain(..));
        }
        *self.host.client.borrow_mut() = Some(client);
        let (each, emit) = (&self.each, &mut self.emit);
        let mapped = self.host.enter(&lua, 0, |lua| {
            let emit = match emit {
                Some(emit) => emit,
                None => emit
                    .insert(lua.create_any_userdata(ClientObject { index, stage: Some(number) })?),
            };
            each.call::<()>(&*emit)
        });
        let mut client = self.host.client.borrow_mut().take().ok_or("the client is lost")?;
        if mapped.is_err() {
            client.abandon_mapped();
        }
        client.take_all_made(into, &self.host.operation_memory);
        self.client = Some(client);
        mapped.map_err(|error| error.to_string())
    }
}
