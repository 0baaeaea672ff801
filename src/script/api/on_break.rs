//! `bench.on_break`, and the option `on_break` of `c:open`: how clients answer the breaks of
//! oplocks and leases.

use std::rc::Rc;

use mlua::{Lua, Result as LuaResult, Table, Value};

use super::super::declared::DeclaredPolicy;
use super::super::host::Host;
use super::super::values::{
    bool_field, check_keys, computed_ns, fail, fault, optional, shown, text_field, unknown,
};
use super::registration::top_level;
use crate::protocol::{BreakAnswer, BreakPolicy};

const WHAT: &str = "bench.on_break";

/// Other words for these options.
const ELSEWHERE: &[(&str, &str)] = &[
    ("answer", "here it is 'policy'"),
    ("mode", "here it is 'policy'"),
    ("action", "here it is 'policy'"),
    ("wait", "here it is 'delay'"),
    ("timeout", "the server's own timeout (35 s) cannot be set; the client's wait is 'delay'"),
];

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<Host>) -> LuaResult<()> {
    top_level(lua, bench, host, "on_break", |lua, host, declared, argument| {
        let Value::Table(spec) = &argument else {
            let instead = match argument {
                Value::Function(_) => {
                    "; it is not a hook: it sets how clients answer breaks, before the run"
                }
                _ => "",
            };
            return fail!(
                "{WHAT} takes a table: {WHAT} {{ policy = \"acknowledge\", delay = \"50ms\" }}, not {}{instead}",
                shown(&argument)
            );
        };
        let [policy, delay, flush] = BreakPolicy::FIELDS;
        let read = read(spec, WHAT, &[policy, delay, flush, "workload"])?;
        let workload = text_field(spec, WHAT, "workload")?;
        if let Some(other) = declared.on_break.iter().find(|other| other.workload == workload) {
            let whose =
                workload.map_or("all workloads".into(), |name| format!("workload '{name}'"));
            let line = other.line.as_deref().unwrap_or("above");
            return fail!("{WHAT} is called twice for {whose}, first at {line}");
        }
        declared.on_break.push(DeclaredPolicy { policy: read, workload, line: host.line(lua) });
        Ok(())
    })
}

/// Reads the option `on_break` of `c:open`.
pub(super) fn of_open(value: &Value) -> LuaResult<BreakPolicy> {
    match value {
        Value::Table(spec) => read(spec, "open: on_break", &BreakPolicy::FIELDS),
        other => fail!(
            "open: on_break is a table such as {{ policy = \"acknowledge\", delay = \"50ms\" }}, not {}",
            shown(other)
        ),
    }
}

fn read(spec: &Table, what: &str, fields: &[&str]) -> LuaResult<BreakPolicy> {
    for (elsewhere, here) in ELSEWHERE {
        if !spec.raw_get::<Value>(*elsewhere)?.is_nil() {
            return fail!("{what}: unknown field '{elsewhere}': {here}");
        }
    }
    check_keys(spec, what, "field", fields)?;
    let policy = text_field(spec, what, "policy")?;
    let answer = policy.map(|word| answer(&word, what)).transpose()?.unwrap_or_default();
    let delay_ns = optional(spec, what, "delay", computed_ns)?.unwrap_or(0);
    let flush = bool_field(spec, what, "flush", false)?;
    BreakPolicy::new(answer, delay_ns, flush)
        .map_err(|wanted| fault(format!("{what} takes {wanted}")))
}

fn answer(word: &str, what: &str) -> LuaResult<BreakAnswer> {
    let known = BreakAnswer::ALL.into_iter().find(|answer| answer.name() == word);
    known.ok_or_else(|| {
        let problem = match word {
            "ack" => "unknown policy 'ack': here it is 'acknowledge'".to_string(),
            word => unknown("policy", word, BreakAnswer::ALL.into_iter().map(BreakAnswer::name)),
        };
        fault(format!("{what}: {problem}"))
    })
}
