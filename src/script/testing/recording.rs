//! `test.record`: the operations that a function makes as a client's section.

use std::rc::Rc;
use std::sync::Arc;

use mlua::{Lua, Result as LuaResult, Table, Value};

use super::call_options::{CallOptions, client_number, number};
use super::operation_tables::{MAX_OPERATIONS, OperationList, section_name, section_named};
use crate::ir::random::RandomNumbers;
use crate::ir::workloads::MAX_CLIENTS;
use crate::ir::{Operation, Section};
use crate::script::api::{ClientObject, Rng};
use crate::script::boundary::cross;
use crate::script::client::{Identity, ScriptClient};
use crate::script::host::ScriptHost;
use crate::script::values::{fail, function, name, shown};

const OPTIONS: [&str; 7] =
    ["seed", "id", "clients", "iteration", "iterations", "section", "workload"];

/// The name of the workload whose client a recorded function acts for.
const WORKLOAD: &str = "test";

struct RecordOptions {
    seed: u64,
    first_client: u32,
    clients: u32,
    first_iteration: u32,
    iterations: u32,
    section: Section,
    workload: Arc<str>,
}

impl RecordOptions {
    fn of(value: &Value) -> LuaResult<RecordOptions> {
        const WHAT: &str = "test.record";
        let mut options = RecordOptions {
            seed: 0,
            first_client: 0,
            clients: 1,
            first_iteration: 0,
            iterations: 1,
            section: Section::Iteration,
            workload: WORKLOAD.into(),
        };
        let given = CallOptions::of(WHAT, value, &OPTIONS)?;
        let first = given.read("iteration", |value, what| number(value, what, 0, u32::MAX - 1))?;
        let iterations = given.iterations()?;
        options.seed = given.seed()?.unwrap_or(0);
        let id = given.read("id", |value, what| number(value, what, 0, MAX_CLIENTS - 1))?;
        options.first_client = id.unwrap_or(0);
        options.clients = given.read("clients", client_number)?.unwrap_or(1);
        options.first_iteration = first.unwrap_or(0);
        options.iterations = iterations.unwrap_or(1);
        if options.first_client.saturating_add(options.clients) > MAX_CLIENTS {
            return fail!("{WHAT}: id and clients together are more than {MAX_CLIENTS}");
        }
        let section = given.read("section", |value, what| match section_named(value) {
            Some(section) => Ok(section),
            None => {
                fail!("{what} is \"setup\", \"iteration\" or \"teardown\", not {}", shown(value))
            }
        })?;
        if let Some(section) = section {
            options.section = section;
        }
        if options.section != Section::Iteration && (first.is_some() || iterations.is_some()) {
            return fail!(
                "{WHAT}: iteration and iterations have no effect on the section {:?}",
                section_name(options.section)
            );
        }
        if let Some(workload) = given.read("workload", name)? {
            options.workload = workload.into();
        }
        Ok(options)
    }
}

/// Returns the operations that `function(c, rng)` makes, as a list of tables.
///
/// # Errors
/// The options are wrong, the function fails, or it makes too many operations.
pub(super) fn record(
    lua: &Lua,
    host: &Rc<ScriptHost>,
    (recorded, options): (Value, Value),
) -> LuaResult<Table> {
    let recorded =
        function(&recorded, "test.record takes a function, such as function(c, rng) … end")?;
    let options = RecordOptions::of(&options)?;
    if host.client.borrow().is_some() {
        return fail!("test.record inside of a function that is recorded");
    }
    let mut list = OperationList::new(lua)?;
    let mut count = 0;
    for id in options.first_client..options.first_client + options.clients {
        let (operations, lines) = record_client(lua, host, &recorded, &options, id, count)?;
        let client = format!("{}/{id}", options.workload);
        for (at, operation) in operations.iter().enumerate() {
            let line = lines.get(at).and_then(|line| line.as_deref());
            list.add(lua, operation, &client, line)?;
        }
        count += operations.len();
    }
    list.finish(lua)
}

type Recorded = (Vec<Operation>, Vec<Option<Box<str>>>);

fn record_client(
    lua: &Lua,
    host: &Rc<ScriptHost>,
    recorded: &mlua::Function,
    options: &RecordOptions,
    id: u32,
    before: usize,
) -> LuaResult<Recorded> {
    let section = options.section;
    let identity = Identity { index: id, workload: Arc::clone(&options.workload), id };
    let random = RandomNumbers::new(options.seed, &options.workload, id, section);
    let iterations = (options.first_iteration, options.iterations);
    let most = MAX_OPERATIONS - before;
    let client = ScriptClient::recorded(identity, section, iterations, random, most);
    let object = lua.create_any_userdata(ClientObject { index: id, stage: None })?;
    let rng = lua.create_any_userdata(Rng::Running)?;
    *host.client.borrow_mut() = Some(Box::new(client));
    // Meanwhile functions for the top level are refused, as they are in a run.
    let declared = host.declared.take();
    let result = match section {
        Section::Iteration => iterate(host, || recorded.call::<()>((&object, &rng))),
        Section::Setup | Section::Teardown => recorded.call::<()>((&object, &rng)),
    };
    host.declared.replace(declared);
    let mut operations = Vec::new();
    let mut lines = Vec::new();
    if let Some(mut client) = host.client.take() {
        client.take_all_made(&mut operations, &host.operation_memory);
        lines = client.recording.take().map_or_else(Vec::new, |recording| recording.lines);
    }
    result.map(|()| (operations, lines))
}

fn iterate(host: &ScriptHost, mut call: impl FnMut() -> LuaResult<()>) -> LuaResult<()> {
    while cross(host, ScriptClient::start_iteration)? {
        call()?;
    }
    Ok(())
}
