//! `test.record`: the operations that a function makes as a client's section.

use std::rc::Rc;
use std::sync::Arc;

use mlua::{Lua, Result as LuaResult, Table, Value};

use super::operation_tables::{MAX_OPERATIONS, OperationList, section_named};
use crate::ir::random::RandomNumbers;
use crate::ir::workloads::MAX_CLIENTS;
use crate::ir::{Operation, Section};
use crate::script::api::{ClientObject, Rng};
use crate::script::boundary::cross;
use crate::script::client::{Identity, ScriptClient};
use crate::script::host::ScriptHost;
use crate::script::values::{
    check_keys, fail, function, name, optional, shown, table, text_field, whole,
};

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
        if value.is_nil() {
            return Ok(options);
        }
        let given = table(value, "test.record: the second argument")?;
        check_keys(&given, WHAT, "option", &OPTIONS)?;
        let number = |field: &str, least: u64, most: u64| {
            optional(&given, WHAT, field, |value, what| match whole(value, what)? {
                number if (least..=most).contains(&number) => Ok(number),
                _ => fail!("{what} is {}; it must be from {least} to {most}", shown(value)),
            })
        };
        let most_clients = u64::from(MAX_CLIENTS);
        let small = |number: Option<u64>, default: u32| number.map_or(default, |it| it as u32);
        options.seed = number("seed", 0, u64::MAX)?.unwrap_or(0);
        options.first_client = small(number("id", 0, most_clients - 1)?, 0);
        options.clients = small(number("clients", 1, most_clients)?, 1);
        options.first_iteration = small(number("iteration", 0, u64::from(u32::MAX) - 1)?, 0);
        options.iterations = small(number("iterations", 1, 1_000_000)?, 1);
        if options.first_client.saturating_add(options.clients) > MAX_CLIENTS {
            return fail!("{WHAT}: id and clients together are more than {MAX_CLIENTS}");
        }
        if let Some(section) = text_field(&given, WHAT, "section")? {
            let value: Value = given.raw_get("section")?;
            let Some(section) = section_named(&value) else {
                return fail!(
                    "{WHAT}: section is \"setup\", \"iteration\" or \"teardown\", not {section:?}"
                );
            };
            options.section = section;
        }
        if let Some(workload) = optional(&given, WHAT, "workload", name)? {
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
        client.take_mapped(&mut operations, &host.operation_memory);
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
