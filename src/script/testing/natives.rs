//! The native functions of `@bench/test`, which its Lua source is given.

use std::rc::Rc;

use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, Result as LuaResult, Table, Value};

use super::balance::imbalance;
use super::equality::{first_difference, missing_field};
use super::report::TestFailure;
use super::state::TestState;
use super::text_diff::diff;
use super::value_text::{inline, lines};
use super::{calls, recording};
use crate::protocol::nearest;
use crate::script::host::ScriptHost;
use crate::script::values::{fail, fault, function, name_of, shown, text};

/// Longest name of a group or test, in characters.
const MAX_NAME_CHARS: usize = 200;

/// Creates the table of native functions.
pub(super) fn native(lua: &Lua, host: &Rc<ScriptHost>) -> LuaResult<Table> {
    let native = lua.create_table()?;
    declarations(lua, &native, host)?;
    expectations(lua, &native, host)?;
    comparisons(lua, &native, host)?;
    register(lua, &native, host, "record", recording::record)?;
    register(lua, &native, host, "stream", calls::stream)?;
    register(lua, &native, host, "run", calls::run)?;
    native.set_readonly(true);
    Ok(native)
}

fn register<A, R>(
    lua: &Lua,
    native: &Table,
    host: &Rc<ScriptHost>,
    name: &str,
    body: impl Fn(&Lua, &Rc<ScriptHost>, A) -> LuaResult<R> + 'static,
) -> LuaResult<()>
where
    A: FromLuaMulti,
    R: IntoLuaMulti,
{
    let host = Rc::clone(host);
    let function = lua
        .create_function(move |lua, arguments: A| host.callback(|| body(lua, &host, arguments)))?;
    native.raw_set(name, function)
}

/// Returns the state of the tests. A VM has it wherever it has `@bench/test`.
fn tests(host: &ScriptHost) -> LuaResult<&TestState> {
    host.tests.as_deref().ok_or_else(|| fault("@bench/test is for test files"))
}

/// Returns the state of the tests, for a function that declares some.
fn declaring<'a>(host: &'a ScriptHost, what: &str) -> LuaResult<&'a TestState> {
    let tests = tests(host)?;
    match tests.is_running() {
        true => fail!(
            "{what} inside of a test; call it at the top level of the file or in the body of a test.describe"
        ),
        false => Ok(tests),
    }
}

fn declarations(lua: &Lua, native: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    register(lua, native, host, "describe", |_, host, (name, body): (Value, Value)| {
        let tests = declaring(host, "test.describe")?;
        let name = test_name(&name, "test.describe")?;
        let body = function(&body, "test.describe takes a name and a function")?;
        tests.suite.borrow_mut().enter(&name).map_err(fault)?;
        let result = body.call::<()>(());
        tests.suite.borrow_mut().leave();
        result
    })?;
    register(lua, native, host, "it", |lua, host, (name, body): (Value, Value)| {
        let tests = declaring(host, "test.it")?;
        let name = test_name(&name, "test.it")?;
        let body = function(&body, "test.it takes a name and a function")?;
        let place = host.line(lua).unwrap_or_default();
        tests.suite.borrow_mut().add(&name, place, body).map_err(fault)
    })?;
    register(lua, native, host, "before_each", |_, host, body: Value| {
        let tests = declaring(host, "test.before_each")?;
        let body = function(&body, "test.before_each takes a function")?;
        tests.suite.borrow_mut().add_before_each(body);
        Ok(())
    })?;
    register(lua, native, host, "after_each", |_, host, body: Value| {
        let tests = declaring(host, "test.after_each")?;
        let body = function(&body, "test.after_each takes a function")?;
        tests.suite.borrow_mut().add_after_each(body);
        Ok(())
    })
}

fn test_name(value: &Value, what: &str) -> LuaResult<String> {
    let name = text(value, &format!("{what}: the name"))?;
    match (1..=MAX_NAME_CHARS).contains(&name.chars().count()) {
        true => Ok(name),
        false => {
            fail!("{what}: a name has 1 to {MAX_NAME_CHARS} characters, unlike {}", shown(value))
        }
    }
}

fn expectations(lua: &Lua, native: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    register(lua, native, host, "expecting", |lua, host, ()| {
        let number = tests(host)?.expecting(|| host.line(lua).unwrap_or_default());
        number.ok_or_else(|| {
            fault("test.expect outside of a test; call it in the function of a test.it")
        })
    })?;
    register(lua, native, host, "judged", |_, host, number: u64| {
        tests(host)?.judged(number);
        Ok(())
    })?;
    register(
        lua,
        native,
        host,
        "fail",
        |lua, host, (message, details): (Value, Option<Table>)| -> LuaResult<()> {
            let message = match host.line(lua) {
                Some(line) => format!("{line}: {}", name_of(&message)),
                None => name_of(&message),
            };
            let details = details.map_or(Ok(Vec::new()), |details| {
                details.sequence_values::<String>().collect::<LuaResult<Vec<_>>>()
            })?;
            let error = fault(&message);
            tests(host)?.fail(TestFailure::new(message, details));
            Err(error)
        },
    )?;
    // Returns whether a function fails, and its message. Failed expectations in it do not count.
    register(lua, native, host, "failure", |_, host, body: Function| {
        Ok(match tests(host)?.apart(|| body.call::<()>(())) {
            (_, Some(failure)) => Some(failure.message),
            (Err(error), None) => Some(host.readable(&error)),
            (Ok(()), None) => None,
        })
    })?;
    register(lua, native, host, "no_matcher", |_, _, (name, known): (Value, Table)| {
        let mut names = known.sequence_values::<String>().collect::<LuaResult<Vec<_>>>()?;
        names.sort();
        let name = name_of(&name);
        let near = nearest(&name, names.iter().map(String::as_str));
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let name: String = name.chars().take(60).collect();
        let known = names.join(", ");
        Err::<(), _>(fault(format!("test.expect has no matcher '{name}'{near} (there is {known})")))
    })
}

fn comparisons(lua: &Lua, native: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    register(lua, native, host, "show", |_, _, value: Value| Ok(inline(&value)))?;
    // Returns the first difference, or nil.
    register(lua, native, host, "difference", |_, host, (actual, expected): (Value, Value)| {
        host.look_at_the_clock();
        first_difference(&actual, &expected)
    })?;
    // Returns the first field that a table does not have as another has it, or nil.
    register(lua, native, host, "missing", |_, _, (actual, expected): (Value, Value)| {
        missing_field(&actual, &expected)
    })?;
    // Returns the lines of a diff, if one of the values takes several lines.
    register(lua, native, host, "diff", |_, host, (actual, expected): (Value, Value)| {
        host.look_at_the_clock();
        let (actual, expected) = (lines(&actual), lines(&expected));
        Ok((actual.len() > 1 || expected.len() > 1).then(|| diff(&expected, &actual)))
    })?;
    register(lua, native, host, "imbalance", |_, host, value: Value| {
        host.look_at_the_clock();
        imbalance(&value)
    })?;
    // Returns nil, or the lines of the problem.
    register(lua, native, host, "snapshot", |_, host, (name, value): (Value, Value)| {
        host.look_at_the_clock();
        tests(host)?.snapshots.compare(&name, &value)
    })
}
