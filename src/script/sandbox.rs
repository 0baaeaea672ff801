//! The functions that a script can reach: a list of harmless ones, which behave the same on every
//! host and cannot be changed.

use std::rc::Rc;

use mlua::{Function, Lua, LuaString, Result as LuaResult, Table, Thread, Value};

use super::host::ScriptHost;
use super::members::{GLOBALS, no_member_of_a_handle};
use super::printing::Printer;
use super::values::{fail, fault, name_of, shown, unknown};
use super::{api, error, require, values};
use crate::ir::foreign_words;
use crate::observability::standard_error::{self, LineKind};
use crate::protocol::nearest;

/// Functions of `math` that are kept as Luau has them, because they are exact on every host.
const EXACT_MATH: &[&str] = &[
    "abs", "ceil", "clamp", "deg", "floor", "fmod", "frexp", "huge", "ldexp", "lerp", "map", "max",
    "min", "modf", "pi", "rad", "round", "sign", "sqrt",
];

/// Functions of `math` that differ between C libraries. They are replaced by those of `libm`.
pub(super) const PORTABLE_MATH: [&str; 14] = [
    "acos", "asin", "atan", "atan2", "cos", "cosh", "exp", "log", "log10", "pow", "sin", "sinh",
    "tan", "tanh",
];

/// Functions whose arguments the prelude checks, and which the compiler would otherwise call
/// directly.
pub(super) const CHECKED_BUILTINS: [&str; 5] =
    ["math.ldexp", "string.byte", "string.sub", "table.unpack", "unpack"];

const ABSENT: &[(&str, &str)] = &[
    ("io", "scripts cannot reach files of this host"),
    ("os", "scripts cannot reach this host; times come from phases, c:think and c:at"),
    ("debug", "it is not part of the sandbox"),
    ("load", "code is loaded with require only"),
    ("loadstring", "code is loaded with require only"),
    ("loadfile", "code is loaded with require only"),
    ("dofile", "code is loaded with require only"),
    (
        "package",
        "require finds modules by their paths: \"./name\" beside the file, \"@bench/name\" in the standard library",
    ),
    ("collectgarbage", "memory is managed for you"),
    ("gcinfo", "memory is managed for you"),
    ("getfenv", "it is not part of the sandbox"),
    ("setfenv", "it is not part of the sandbox"),
    ("newproxy", "it is not part of the sandbox"),
];

/// Sets up the VM's globals and closes them.
pub(super) fn close(lua: &Lua, host: &Rc<ScriptHost>) -> LuaResult<()> {
    let globals = lua.globals();
    portable_math(lua, &globals.get("math")?)?;
    without_addresses(lua)?;
    globals.raw_set("bench", api::bench(lua, host)?)?;
    globals.raw_set("require", require::function(lua, host)?)?;
    prelude(lua, host)?;
    api::register_objects(lua, host)?;
    keep_only(&globals, GLOBALS)?;
    let strict = lua.create_table()?;
    let missing = lua.create_function(|_, (_, name): (Value, Value)| absent(&name))?;
    strict.raw_set("__index", missing)?;
    strict.raw_set("__metatable", false)?;
    globals.set_metatable(Some(strict))?;

    lua.sandbox(true)?;
    // Scripts see a table of their own in front of the globals.
    let own = lua.globals();
    if let Some(metatable) = own.metatable() {
        metatable.set_readonly(false);
        let refuse = lua.create_function(|_, (_, name, value): (Value, Value, Value)| {
            refuse_global(&name, &value)
        })?;
        metatable.raw_set("__newindex", refuse)?;
        metatable.raw_set("__metatable", false)?;
        metatable.set_readonly(true);
    }
    own.set_readonly(true);
    Ok(())
}

fn absent(name: &Value) -> LuaResult<Value> {
    let Value::String(name) = name else { return Ok(Value::Nil) };
    let name = name.to_string_lossy();
    if let Some((_, why)) = ABSENT.iter().find(|(absent, _)| *absent == name) {
        return fail!("'{name}' is not available in scripts: {why}");
    }
    let hint = match name.as_str() {
        "c" | "client" => "the client is the first argument: function(c, rng)",
        "rng" | "random" => "rng is the second argument: function(c, rng)",
        "P" | "params" => "parameters are what bench.params returns: local P = bench.params { … }",
        word if let Some(here) = foreign_words::GLOBALS.find(word) => here,
        _ => {
            // Globals that are near the name are named, but not all that there are.
            let near = nearest(&name, GLOBALS.iter().copied());
            let problem = unknown("global", &name, near.into_iter());
            let own = match near {
                Some(_) => "",
                None => ": a variable of your own begins with local",
            };
            return fail!("{problem}{own}");
        }
    };
    fail!("unknown global '{name}': {hint}")
}

fn refuse_global(name: &Value, value: &Value) -> LuaResult<()> {
    let name = name_of(name);
    let local = match value {
        Value::Function(_) => format!("local function {name}"),
        _ => format!("local {name} = …"),
    };
    let hint = match (value, foreign_words::ENTRY_POINTS.find(&name)) {
        (Value::Function(_), Some(hint)) => format!("; {hint}"),
        _ => String::new(),
    };
    fail!("globals cannot be set or changed: write \"{local}\"{hint}")
}

fn keep_only(table: &Table, kept: &[&str]) -> LuaResult<()> {
    let mut dropped = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, _) = pair?;
        let keep = matches!(&key, Value::String(name) if kept.contains(&&*name.to_string_lossy()));
        if !keep {
            dropped.push(key);
        }
    }
    for key in dropped {
        table.raw_set(key, Value::Nil)?;
    }
    Ok(())
}

type OneArgument = fn(f64) -> f64;
type TwoArguments = fn(f64, f64) -> f64;

fn portable_math(lua: &Lua, math: &Table) -> LuaResult<()> {
    keep_only(math, EXACT_MATH)?;
    let one: [(&str, OneArgument); 11] = [
        ("acos", libm::acos),
        ("asin", libm::asin),
        ("cos", libm::cos),
        ("cosh", libm::cosh),
        ("exp", libm::exp),
        ("log10", libm::log10),
        ("sin", libm::sin),
        ("sinh", libm::sinh),
        ("tan", libm::tan),
        ("tanh", libm::tanh),
        ("atan", libm::atan),
    ];
    for (name, function) in one {
        let call = move |_: &Lua, x: Value| Ok(function(number(&x, name)?));
        math.raw_set(name, lua.create_function(call)?)?;
    }
    let two: [(&str, TwoArguments); 2] = [("atan2", libm::atan2), ("pow", libm::pow)];
    for (name, function) in two {
        let call = move |_: &Lua, (x, y): (Value, Value)| {
            Ok(function(number(&x, name)?, number(&y, name)?))
        };
        math.raw_set(name, lua.create_function(call)?)?;
    }
    let log = |_: &Lua, (x, base): (Value, Value)| {
        let x = number(&x, "log")?;
        Ok(match base {
            Value::Nil => libm::log(x),
            base => match number(&base, "log")? {
                2.0 => libm::log2(x),
                10.0 => libm::log10(x),
                base => libm::log(x) / libm::log(base),
            },
        })
    };
    math.raw_set("log", lua.create_function(log)?)?;
    api::refuse_unknown(lua, math, |name| {
        match name {
        "random" | "randomseed" => "math.random is not available: use rng, the second argument of setup, iteration and teardown, which gives the same numbers on every run".into(),
        name => {
            let known = EXACT_MATH.iter().chain(&PORTABLE_MATH).copied();
            unknown("function of math", name, known)
        }
    }
    })
}

fn number(value: &Value, function: &str) -> LuaResult<f64> {
    let refused = || fault(format!("math.{function} takes a number, not {}", shown(value)));
    values::number(value).ok_or_else(refused)
}

/// Replaces the function that formats functions and other values, because an address in a string
/// would make streams differ from run to run. The prelude does the same for tables.
fn without_addresses(lua: &Lua) -> LuaResult<()> {
    let named = |name: &'static str| -> LuaResult<Table> {
        let metatable = lua.create_table()?;
        let text = lua.create_function(move |_, _: Value| Ok(name))?;
        metatable.raw_set("__tostring", text)?;
        metatable.raw_set("__metatable", false)?;
        metatable.set_readonly(true);
        Ok(metatable)
    };
    lua.set_type_metatable::<Function>(Some(named("function")?));
    lua.set_type_metatable::<Thread>(Some(named("thread")?));
    let handle = named("handle")?;
    handle.set_readonly(false);
    let method = |_: &Lua, (_, name): (Value, Value)| -> LuaResult<()> {
        Err(fault(no_member_of_a_handle(&name_of(&name))))
    };
    handle.raw_set("__index", lua.create_function(method)?)?;
    let set = |_: &Lua, (_, name, _): (Value, Value, Value)| {
        let advice = "keep what belongs to a handle in a local table, such as local sizes = {} and sizes[h] = …";
        api::refuse_to_set(&name, "a handle", advice)
    };
    handle.raw_set("__newindex", lua.create_function(set)?)?;
    handle.set_readonly(true);
    lua.set_type_metatable::<mlua::LightUserData>(Some(handle));
    lua.set_type_metatable::<mlua::Buffer>(Some(named("buffer")?));
    Ok(())
}

/// Runs the prelude: functions that must be written in Lua, because a coroutine can pause inside
/// them or because they are called too often for calls into Rust.
fn prelude(lua: &Lua, host: &Rc<ScriptHost>) -> LuaResult<()> {
    let tools = lua.create_table()?;
    let teller = Rc::clone(host);
    let readable = lua.create_function(move |lua, value: Value| match &value {
        Value::Error(error) => Ok(Value::String(lua.create_string(teller.readable(error))?)),
        _ => Ok(value),
    })?;
    tools.raw_set("readable", readable)?;
    let owner = Rc::clone(host);
    let in_own_thread = lua.create_function(move |lua, ()| Ok(owner.in_own_thread(lua)))?;
    tools.raw_set("in_own_thread", in_own_thread)?;
    tools.raw_set("find_plain", lua.create_function(|_, args| Ok(find_plain(args).unzip()))?)?;
    let printer = Rc::clone(host);
    let output = Printer::new(|text| standard_error::offer(LineKind::Note, text));
    let print = lua.create_function(move |_, text: LuaString| {
        if let Some(tests) = &printer.tests {
            tests.print(&text.to_string_lossy());
        } else if printer.prints() {
            output.print(&text.to_string_lossy());
        }
        Ok(())
    })?;
    tools.raw_set("print", print)?;
    let text = include_str!("prelude.lua");
    lua.load(text).set_name(format!("={}", error::PRELUDE)).call(tools)
}

/// Returns the first and last byte of a string in another, from a position on, as string.find does.
fn find_plain((text, wanted, init): (LuaString, LuaString, f64)) -> Option<(usize, usize)> {
    let text = text.as_bytes();
    let from = match init {
        init if init < 0.0 => text.len().saturating_sub(-init as usize),
        init => (init as usize).saturating_sub(1),
    };
    let at = from + memchr::memmem::find(text.get(from..)?, &wanted.as_bytes())?;
    Some((at + 1, at + wanted.as_bytes().len()))
}
