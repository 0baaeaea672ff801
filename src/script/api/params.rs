//! `bench.params`: the values that a script takes from outside.

use std::rc::Rc;

use mlua::{Lua, Result as LuaResult, Table, Value};
use serde::Serialize;
use serde_json::json;

use super::super::declared::{Declared, ParameterHelp, Parameters};
use super::super::error::ScriptError;
use super::super::given_parameters::GivenParameter;
use super::super::host::ScriptHost;
use super::super::parameter_names::{check_given_to_script, values_for};
use super::super::values::{
    LARGEST_EXACT, bool_field, check_keys, duration_ns, fail, fault, optional, shown, size, table,
    text, text_field, unknown,
};
use super::registration::{refuse_unknown, top_level};
use crate::ir::units::{self, UnitError};
use crate::protocol::shortened;

const FIELDS: &[&str] = &["type", "default", "min", "max", "choices", "help"];
const KINDS: [(&str, Kind); 6] = [
    ("int", Kind::Int),
    ("float", Kind::Float),
    ("string", Kind::String),
    ("bool", Kind::Bool),
    ("duration", Kind::Duration),
    ("size", Kind::Size),
];
const MAX_PARAMETERS: usize = 1_000;
/// Maximum size of all strings of `bench.params`, in bytes. They are kept outside the VM's memory,
/// and several times.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// Maximum number of characters of a value that an error quotes.
const MAX_SHOWN: usize = 60;
/// Maximum number of choices that an error names.
const MAX_CHOICES_NAMED: usize = 24;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Float,
    String,
    Bool,
    Duration,
    Size,
}

/// A value of one of the kinds.
#[derive(Clone, PartialEq, PartialOrd, Serialize)]
#[serde(untagged)]
enum Quantity {
    /// An int or a duration, which is exact in a Lua number.
    Whole(i64),
    Size(u64),
    Float(f64),
    Text(String),
    Bool(bool),
}

pub(super) fn register(lua: &Lua, bench: &Table, host: &Rc<ScriptHost>) -> LuaResult<()> {
    top_level(lua, bench, host, "params", |lua, host, declared, argument| {
        // A coroutine that begins with this function has no file on its stack.
        let line = host.line(lua).ok_or_else(|| {
            fault("bench.params must be called from a line of the script or of a module")
        })?;
        let file = line.rsplit_once(':').map_or("", |(file, _)| file);
        let library = host.files_of_libraries.borrow().get(file).copied();
        let is_second = match library {
            None => declared.params.is_some(),
            Some(number) => {
                !declared.library_params.entry(number).or_default().files.insert(file.into())
            }
        };
        match (is_second, library) {
            (true, None) => {
                fail!("bench.params is called twice; put all parameters into one table")
            }
            (true, Some(_)) => fail!(
                "bench.params is called twice in this file; put all of its parameters into one table"
            ),
            _ => {
                let caller = Caller { library, line };
                params(lua, host, declared, &caller, &table(&argument, "bench.params")?)
            }
        }
    })
}

/// The code that declares parameters.
struct Caller {
    /// The number of the library that it belongs to; None for the script.
    library: Option<usize>,
    line: String,
}

fn params(
    lua: &Lua,
    host: &ScriptHost,
    declared: &mut Declared,
    caller: &Caller,
    specs: &Table,
) -> LuaResult<Table> {
    let mut names = Vec::new();
    for pair in specs.pairs::<Value, Value>() {
        let (name, spec) = pair?;
        names.push((parameter_name(&name)?, spec));
    }
    if names.len() + declared.parameters().count() > MAX_PARAMETERS {
        let who = match host.project.packages.is_empty() {
            true => "a script has",
            false => "a script and its libraries have",
        };
        return fail!("bench.params: {who} at most {MAX_PARAMETERS} parameters");
    }
    names.sort_by(|(a, _), (b, _)| a.cmp(b));
    let packages = &host.project.packages;
    // A library may declare its parameters later than the script.
    if packages.is_empty() {
        check_given_to_script(&declared.given, names.iter().map(|(name, _)| name.as_str()))
            .map_err(|error| host.fatal(error))?;
    }
    if let Some(known) = caller.library.and_then(|number| declared.library_params.get(&number))
        && let Some((name, first)) =
            names.iter().find_map(|(name, _)| known.places.get_key_value(name))
    {
        return fail!(
            "the library has two parameters of one name, {name}; the first is at {first}"
        );
    }

    let mut parameters = Parameters::default();
    let mut texts: usize = declared.parameters().map(ParameterHelp::text_bytes).sum();
    let values = lua.create_table()?;
    for (name, spec) in &names {
        let Value::Table(spec) = spec else {
            return fail!(
                "parameter '{name}' is a table, such as {{ type = \"int\", default = 10 }}, not {}",
                shown(spec)
            );
        };
        let mut parameter = Parameter::parse(name, spec)?;
        texts += parameter.help.text_bytes();
        if texts > MAX_TEXT_BYTES {
            return fail!(
                "bench.params: defaults, choices and help have more than {} KiB",
                MAX_TEXT_BYTES >> 10
            );
        }
        if let Some(package) = caller.library.map(|number| packages.get(number)) {
            parameter.help.name = format!("{}.{name}", package.alias);
            parameter.help.library = Some(package.id.to_string());
        }
        let given = values_for(&declared.given, packages, caller.library, name);
        let value = parameter
            .given(&given, declared.given.by_test)
            .map_err(|problem| host.fatal(ScriptError::Parameter(problem)))?;
        let value = value.unwrap_or_else(|| parameter.default.clone());
        match &value {
            Quantity::Whole(value) => values.raw_set(name.as_str(), *value as f64)?,
            Quantity::Size(bytes) if *bytes < LARGEST_EXACT => {
                values.raw_set(name.as_str(), *bytes as f64)?;
            }
            // A number would be rounded. The string has a unit, so that Lua does not convert it to
            // a number in arithmetic and round it after all.
            Quantity::Size(bytes) => values.raw_set(name.as_str(), format!("{bytes}B"))?,
            Quantity::Float(value) => values.raw_set(name.as_str(), *value)?,
            Quantity::Text(value) => values.raw_set(name.as_str(), value.as_str())?,
            Quantity::Bool(value) => values.raw_set(name.as_str(), *value)?,
        }
        parameters.values.insert(parameter.help.name.clone(), json!(value));
        parameters.help.push(parameter.help);
    }
    let known: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
    match caller.library {
        None => declared.params = Some(parameters),
        Some(number) => {
            let of_library = declared.library_params.entry(number).or_default();
            of_library.parameters.values.extend(parameters.values);
            of_library.parameters.help.extend(parameters.help);
            of_library.parameters.help.sort_by(|a, b| a.name.cmp(&b.name));
            let places = known.iter().map(|name| (name.clone(), caller.line.clone()));
            of_library.places.extend(places);
        }
    }

    refuse_unknown(lua, &values, move |name| {
        unknown("parameter", name, known.iter().map(String::as_str))
    })?;
    values.set_readonly(true);
    Ok(values)
}

fn parameter_name(value: &Value) -> LuaResult<String> {
    let name = match value {
        Value::String(name) => name.to_string_lossy(),
        other => {
            return fail!(
                "bench.params takes names with their descriptions, such as users = {{ type = \"int\", default = 10 }}, not {}",
                shown(other)
            );
        }
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return fail!("parameter {}: a name has up to 64 letters, digits and '_'", shown(value));
    }
    Ok(name)
}

struct Parameter {
    kind: Kind,
    default: Quantity,
    min: Option<Quantity>,
    max: Option<Quantity>,
    help: ParameterHelp,
}

impl Parameter {
    fn parse(name: &str, spec: &Table) -> LuaResult<Parameter> {
        let what = format!("parameter '{name}'");
        check_keys(spec, &what, "field", FIELDS)?;
        let kind_names = KINDS.map(|(name, _)| name);
        let kind_name = text_field(spec, &what, "type")?
            .ok_or_else(|| fault(format!("{what} needs a type: {}", kind_names.join(", "))))?;
        let (kind_name, kind) =
            *KINDS.iter().find(|(known, _)| *known == kind_name).ok_or_else(|| {
                fault(format!("{what}: {}", unknown("type", &kind_name, kind_names.into_iter())))
            })?;
        let choices = choices(spec, kind, &what)?;
        let quantity = |field: &str| {
            optional(spec, &what, field, |value, label| match (kind, field) {
                (Kind::String | Kind::Bool, "min" | "max") => {
                    fail!("{what}: a {kind_name} has no {field}")
                }
                _ => Ok((kind.take(value, label, spec, field)?, written(value))),
            })
        };
        let (min, max) = (quantity("min")?, quantity("max")?);
        let default = quantity("default")?;
        let (default, written) = default.ok_or_else(|| fault(format!("{what} needs a default")))?;
        let parameter = Parameter {
            kind,
            default,
            help: ParameterHelp {
                name: name.to_string(),
                library: None,
                kind: kind_name,
                default: written,
                min: min.as_ref().map(|(_, written)| written.clone()),
                max: max.as_ref().map(|(_, written)| written.clone()),
                choices,
                help: text_field(spec, &what, "help")?,
            },
            min: min.map(|(quantity, _)| quantity),
            max: max.map(|(quantity, _)| quantity),
        };
        if parameter.min.is_some() && parameter.max.is_some() && parameter.min > parameter.max {
            return fail!("{what}: min is above max");
        }
        parameter
            .check(&parameter.default)
            .map_err(|problem| fault(format!("{what}: default: {problem}")))?;
        Ok(parameter)
    }

    /// Returns the value that is given. It may be given under several names. None if it is given
    /// under none.
    ///
    /// # Errors
    /// A message if a value is wrong, or if two differ.
    fn given(&self, given: &[&GivenParameter], by_test: bool) -> Result<Option<Quantity>, String> {
        let source = |GivenParameter { name, value, place, .. }: &GivenParameter| {
            let shown = shortened(value, MAX_SHOWN);
            match place {
                Some(place) => format!("{place}: {name} = {shown}"),
                None if by_test => format!("params: {name} = {shown}"),
                None => format!("-p {name}={shown}"),
            }
        };
        let mut first: Option<(&GivenParameter, Quantity)> = None;
        for next in given {
            let value = self.read(&next.value).map_err(|problem| {
                // A question already ends with a question mark.
                let stop = if problem.ends_with('?') { "" } else { "." };
                format!("{}: {problem}{stop} {}", source(next), self.described())
            })?;
            match &first {
                Some((one, other)) if *other != value => {
                    return Err(format!(
                        "{} and {} are two values of one parameter, because both names lead to the library {}; give one of them",
                        source(one),
                        source(next),
                        self.help.library.as_deref().unwrap_or_default(),
                    ));
                }
                Some(_) => {}
                None => first = Some((next, value)),
            }
        }
        Ok(first.map(|(_, value)| value))
    }

    /// Returns a description of the values that may be given: the type, the bounds and the default.
    fn described(&self) -> String {
        let ParameterHelp { name, kind, default, min, max, choices, .. } = &self.help;
        let article = if *kind == "int" { "an" } else { "a" };
        let shown = |text: &String| shortened(text, MAX_SHOWN);
        let bounds = match (min, max) {
            (Some(min), Some(max)) => format!(" from {} to {}", shown(min), shown(max)),
            (Some(min), None) => format!(" of at least {}", shown(min)),
            (None, Some(max)) => format!(" of at most {}", shown(max)),
            (None, None) if choices.is_empty() => String::new(),
            (None, None) => {
                let mut named: Vec<String> =
                    choices.iter().take(MAX_CHOICES_NAMED).map(shown).collect();
                if choices.len() > named.len() {
                    named.push("…".to_string());
                }
                format!(", one of {}", named.join(", "))
            }
        };
        let default = shown(default);
        format!("Parameter '{name}' is {article} {kind}{bounds}; its default is {default}")
    }

    fn read(&self, text: &str) -> Result<Quantity, String> {
        let refused = |why: &str| format!("{:?} is {why}", shortened(text, MAX_SHOWN));
        let not_in_units = |error: UnitError| error.to_string();
        let value = match self.kind {
            Kind::Int => {
                let number = text.trim().parse().ok();
                let exact = number.filter(|number: &i64| number.unsigned_abs() <= LARGEST_EXACT);
                let number = exact.ok_or_else(|| refused("not a whole number within 2^53"))?;
                Quantity::Whole(number)
            }
            Kind::Float => {
                let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
                Quantity::Float(number.ok_or_else(|| refused("not a number"))?)
            }
            Kind::String => Quantity::Text(text.to_string()),
            Kind::Bool => {
                let value = text.trim().parse();
                Quantity::Bool(value.map_err(|_| refused("neither true nor false"))?)
            }
            Kind::Duration => {
                Quantity::Whole(units::parse_duration_ns(text).map_err(not_in_units)? as i64)
            }
            Kind::Size => Quantity::Size(units::parse_size(text).map_err(not_in_units)?),
        };
        self.check(&value)?;
        Ok(value)
    }

    fn check(&self, value: &Quantity) -> Result<(), String> {
        let shown = |bound: &Option<String>| bound.clone().unwrap_or_default();
        if self.min.as_ref().is_some_and(|min| value < min) {
            return Err(format!("it is below the minimum, {}", shown(&self.help.min)));
        }
        if self.max.as_ref().is_some_and(|max| value > max) {
            return Err(format!("it is above the maximum, {}", shown(&self.help.max)));
        }
        let choices = &self.help.choices;
        match value {
            Quantity::Text(text) if !choices.is_empty() && !choices.contains(text) => {
                Err(unknown("choice", text, choices.iter().map(String::as_str)))
            }
            _ => Ok(()),
        }
    }
}

impl Kind {
    /// Returns a value that the script wrote itself.
    fn take(self, value: &Value, what: &str, spec: &Table, field: &str) -> LuaResult<Quantity> {
        match (self, value) {
            (Kind::Int, Value::Integer(number)) if number.unsigned_abs() <= LARGEST_EXACT => {
                Ok(Quantity::Whole(*number))
            }
            (Kind::Int, other) => {
                fail!("{what} is a whole number within 2^53, not {}", shown(other))
            }
            (Kind::Float, Value::Integer(number)) => Ok(Quantity::Float(*number as f64)),
            (Kind::Float, Value::Number(number)) if number.is_finite() => {
                Ok(Quantity::Float(*number))
            }
            (Kind::Float, other) => fail!("{what} is a number, not {}", shown(other)),
            (Kind::String, value) => text(value, what).map(Quantity::Text),
            (Kind::Bool, _) => {
                let what = what.strip_suffix(&format!(": {field}")).unwrap_or(what);
                bool_field(spec, what, field, false).map(Quantity::Bool)
            }
            (Kind::Duration, value) => Ok(Quantity::Whole(duration_ns(value, what)? as i64)),
            (Kind::Size, value) => size(value, what).map(Quantity::Size),
        }
    }
}

fn choices(spec: &Table, kind: Kind, what: &str) -> LuaResult<Vec<String>> {
    let value: Value = spec.raw_get("choices")?;
    if value.is_nil() {
        return Ok(Vec::new());
    }
    if kind != Kind::String {
        return fail!("{what}: choices belong to type \"string\"");
    }
    let list = table(&value, &format!("{what}: choices"))?;
    let choices = list
        .sequence_values::<Value>()
        .map(|choice| text(&choice?, &format!("{what}: a choice")))
        .collect::<LuaResult<Vec<String>>>()?;
    if choices.is_empty() {
        return fail!("{what}: choices is an empty list");
    }
    Ok(choices)
}

/// Returns a value as the script wrote it.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string_lossy(),
        other => shown(other),
    }
}
