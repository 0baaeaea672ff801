//! Writes the definitions for Luau's type checker, as luau-lsp reads them.
//!
//! Names of types are global in a definition file and have no dots: `bench.office.Options` becomes
//! `BenchOfficeOptions`. An object that the host makes is an external type, so that a misspelled
//! method is an error; a table that a script writes is a table type.

use std::fmt::Write as _;

use crate::annotations::{Api, Class, Function, Item, Key, Module, Value, members};
use crate::types::{Signature, Type};

/// Globals that Luau's checker knows by itself.
const BUILT_IN: [&str; 1] = ["require"];

/// Returns the text of `bench.d.luau`.
pub fn definitions(api: &Api) -> String {
    let mut text = String::from(
        "-- The whole API of smbench scripts, for editors that use luau-lsp. Scripts do not load it.\n\
         -- Generated from bench.d.lua and the modules of the standard library; do not edit.\n",
    );
    for section in &api.sections {
        writeln!(text, "\n-- {}", section.title).unwrap();
        for item in &section.items {
            declare(&mut text, api, &section.items, item);
        }
    }
    let globals: Vec<&Item> = api.globals().collect();
    writeln!(text, "\ndeclare bench: {{").unwrap();
    for item in members(globals, "bench") {
        member(&mut text, item, None);
    }
    text.push_str("}\n");
    for module in &api.modules {
        writeln!(text, "\n-- @bench/{}", module.name).unwrap();
        for item in module.public() {
            declare(&mut text, api, &module.items, item);
        }
        writeln!(text, "\nexport type {} = {{", module_type(&module.name)).unwrap();
        for item in module.members(Module::EXPORTS) {
            member(&mut text, item, None);
        }
        text.push_str("}\n");
    }
    text
}

/// Returns the name of the type of a module's table.
pub fn module_type(module: &str) -> String {
    format!("{}Module", type_name(&format!("bench.{module}")))
}

/// Returns Luau's name of a class or alias.
fn type_name(name: &str) -> String {
    let parts = name.split(['.', '_']).map(|part| {
        let (first, rest) = part.split_at(part.chars().next().map_or(0, char::len_utf8));
        first.to_uppercase() + rest
    });
    parts.collect()
}

/// Writes the type of an alias or a class. Functions are written where their object is.
fn declare(text: &mut String, api: &Api, items: &[Item], item: &Item) {
    match item {
        Item::Alias(alias) => {
            text.push('\n');
            comment(text, "", &alias.text);
            writeln!(text, "export type {} = {}", type_name(&alias.name), luau(&alias.value))
                .unwrap();
        }
        Item::Class(class) if class.name == "bench" => {}
        Item::Class(class) => {
            let methods: Vec<&Item> = match &class.variable {
                Some(variable) => members(items, variable).collect(),
                None => Vec::new(),
            };
            text.push('\n');
            let is_made_by_host = !class.is_exact && class.fields.iter().all(|f| !f.is_optional);
            if is_made_by_host && class.name.matches('.').count() == 1 {
                external(text, class, &methods);
            } else {
                table(text, api, class, &methods);
            }
        }
        Item::Function(function) if function.object.is_empty() => {
            assert!(BUILT_IN.contains(&&*function.name), "declare {} in Luau", function.name);
        }
        Item::Function(_) | Item::Value(_) => {}
    }
}

fn external(text: &mut String, class: &Class, methods: &[&Item]) {
    let name = type_name(&class.name);
    let methods: Vec<&Function> = methods.iter().filter_map(|item| item.function()).collect();
    // Neither a method nor a field of an external type can be generic, but the field's type can.
    for method in methods.iter().filter(|method| !method.generics.is_empty()) {
        let (alias, value) = (generic_name(class, method), function_type(method, Some(&name)));
        writeln!(text, "export type {alias} = {value}\n").unwrap();
    }
    comment(text, "", &class.text);
    let parent = class.parents.first().map(|parent| format!(" extends {}", type_name(parent)));
    writeln!(text, "declare extern type {name}{} with", parent.unwrap_or_default()).unwrap();
    for field in &class.fields {
        comment(text, "  ", &field.text);
        let Key::Name(key) = &field.key else { panic!("{name} has an index") };
        writeln!(text, "  {key}: {}", luau(&field.value)).unwrap();
    }
    for call in &class.calls {
        let Type::Function(call) = call else { panic!("{name} is called as a function") };
        writeln!(text, "  function __call(self{}", after_self(call)).unwrap();
    }
    for method in methods {
        comment(text, "  ", &documented(method));
        if method.generics.is_empty() {
            let after_self = after_self(&signature(method));
            writeln!(text, "  function {}(self{after_self}", method.name).unwrap();
        } else {
            writeln!(text, "  {}: {}", method.name, generic_name(class, method)).unwrap();
        }
    }
    text.push_str("end\n");
}

fn generic_name(class: &Class, method: &Function) -> String {
    type_name(&format!("{}.{}", class.name, method.name))
}

fn table(text: &mut String, api: &Api, class: &Class, methods: &[&Item]) {
    let name = type_name(&class.name);
    comment(text, "", &class.text);
    writeln!(text, "export type {name} = {{").unwrap();
    let mut indexed: Vec<String> = Vec::new();
    let mut pending: Vec<&Class> = vec![class];
    while let Some(class) = pending.pop() {
        for field in &class.fields {
            match &field.key {
                Key::Name(key) => {
                    comment(text, "  ", &field.text);
                    let value = optional(&field.value, field.is_optional);
                    writeln!(text, "  {}: {value},", key_text(key)).unwrap();
                }
                Key::Index(index) => {
                    indexed.push(format!("[{}]: {}", luau(index), luau(&field.value)))
                }
            }
        }
        let parents = class.parents.iter();
        pending.extend(parents.map(|parent| {
            api.class(parent).unwrap_or_else(|| panic!("{} has no class {parent}", class.name))
        }));
    }
    assert!(indexed.len() < 2, "{name}: a table type has one index: {indexed:?}");
    for index in indexed {
        writeln!(text, "  {index},").unwrap();
    }
    for method in methods {
        member(text, method, Some(&name));
    }
    text.push_str("}\n");
}

/// Writes a function or value as a field of a table type. `itself` is the type of the object that
/// a method is called on.
fn member(text: &mut String, item: &Item, itself: Option<&str>) {
    match item {
        Item::Function(function) => {
            comment(text, "  ", &documented(function));
            let itself = itself.filter(|_| function.is_method);
            writeln!(text, "  {}: {},", function.name, function_type(function, itself)).unwrap();
        }
        Item::Value(Value { name, text: described, value, .. }) => {
            comment(text, "  ", described);
            writeln!(text, "  {name}: {},", luau(value)).unwrap();
        }
        Item::Alias(_) | Item::Class(_) => {}
    }
}

/// Returns a function's text followed by those of its parameters and its result.
fn documented(function: &Function) -> String {
    let mut lines = vec![function.text.clone()];
    for parameter in function.parameters.iter().filter(|parameter| !parameter.text.is_empty()) {
        lines.push(format!("@param {} {}", parameter.name, parameter.text));
    }
    if !function.return_text.is_empty() {
        lines.push(format!("@return {}", function.return_text));
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

fn comment(text: &mut String, indent: &str, described: &str) {
    for line in described.lines() {
        writeln!(text, "{}", format!("{indent}--- {line}").trim_end()).unwrap();
    }
}

fn signature(function: &Function) -> Signature {
    let parameters = function.parameters.iter();
    let parameters = parameters
        .map(|parameter| (parameter.name.clone(), parameter.is_optional, parameter.value.clone()));
    Signature { parameters: parameters.collect(), returns: function.returns.clone() }
}

/// Returns the type of a function. Overloads become one function whose parameters take the types
/// of all of them: in a call of an intersection, the checker would not use the types of parameters
/// to infer those of the arguments, and would refuse `{ ops = { "read" } }`.
fn function_type(function: &Function, itself: Option<&str>) -> String {
    let generics = match function.generics.is_empty() {
        true => String::new(),
        false => format!("<{}>", function.generics.join(", ")),
    };
    let mut all = signature(function);
    for overload in &function.overloads {
        let Type::Function(overload) = overload else { panic!("{} is a function", function.name) };
        merge(&mut all, overload);
    }
    if let Some(itself) = itself {
        all.parameters.insert(0, ("self".into(), false, Type::Name(itself.into())));
    }
    format!("{generics}{}", arrow(&all))
}

/// Lets a function be called as `other` too. Both return the same.
fn merge(function: &mut Signature, other: &Signature) {
    let parameters = &mut function.parameters;
    parameters.extend(other.parameters.iter().skip(parameters.len()).cloned());
    for (at, (_, is_optional, value)) in parameters.iter_mut().enumerate() {
        match other.parameters.get(at) {
            Some((_, _, more)) => *value = Type::Union(vec![value.clone(), more.clone()]),
            None => *is_optional = true,
        }
    }
}

fn arrow(signature: &Signature) -> String {
    let parameters: Vec<String> = signature
        .parameters
        .iter()
        .map(|(name, optional, value)| parameter(name, *optional, value))
        .collect();
    format!("({}) -> {}", parameters.join(", "), returned(&signature.returns))
}

/// Returns what follows `self` in the declaration of a method of an external type.
fn after_self(signature: &Signature) -> String {
    let parameters = signature.parameters.iter();
    let parameters: String = parameters
        .map(|(name, optional, value)| format!(", {}", parameter(name, *optional, value)))
        .collect();
    format!("{parameters}): {}", returned(&signature.returns))
}

fn parameter(name: &str, is_optional: bool, value: &Type) -> String {
    match (name, value) {
        ("...", Type::Pack(pack)) => format!("{pack}..."),
        ("...", value) => format!("...{}", luau(value)),
        _ => format!("{name}: {}", optional(value, is_optional)),
    }
}

fn returned(values: &[Type]) -> String {
    match values {
        [] => "()".into(),
        [one] => grouped(one),
        many => format!("({})", many.iter().map(luau).collect::<Vec<_>>().join(", ")),
    }
}

fn optional(value: &Type, is_optional: bool) -> String {
    match value {
        Type::Optional(_) => luau(value),
        _ if ["any", "nil"].contains(&&*luau(value)) => luau(value),
        _ if is_optional => format!("{}?", grouped(value)),
        _ => luau(value),
    }
}

/// Returns a type in parentheses if it needs them beside an operator.
fn grouped(value: &Type) -> String {
    let text = luau(value);
    // Two types of LuaCATS can be one type of Luau, so that the text decides and not the kind.
    match value {
        Type::Function(_) if text != "any" => format!("({text})"),
        Type::Union(_) if text.contains(" | ") => format!("({text})"),
        _ => text,
    }
}

fn key_text(key: &str) -> String {
    let is_name = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name { key.into() } else { format!("[{key:?}]") }
}

fn takes_anything(function: &Signature) -> bool {
    matches!(&function.parameters[..], [(rest, _, Type::Name(any))] if rest == "..." && any == "any")
}

fn luau(value: &Type) -> String {
    match value {
        Type::Name(name) => match &**name {
            "integer" => "number".into(),
            "table" => "{ [any]: any }".into(),
            "function" => "(...any) -> ...any".into(),
            name if name.starts_with("bench.") => type_name(name),
            name => name.into(),
        },
        Type::Text(text) => format!("{text:?}"),
        Type::Number(_) => "number".into(),
        Type::Boolean(value) => value.to_string(),
        Type::Array(of) => format!("{{ {} }}", luau(of)),
        Type::Table(key, of) => format!("{{ [{}]: {} }}", luau(key), luau(of)),
        Type::Optional(of) => format!("{}?", grouped(of)),
        Type::Pack(name) => format!("{name}..."),
        // The checker refuses a function with parameters of its own where `(...any) -> ()` stands.
        Type::Function(function) if takes_anything(function) => "any".into(),
        Type::Function(function) => arrow(function),
        Type::Union(all) => {
            let each = all.iter().map(grouped);
            let each = each.fold(Vec::new(), |mut each: Vec<String>, one| {
                if !each.contains(&one) {
                    each.push(one);
                }
                each
            });
            each.join(" | ")
        }
        Type::Fields(fields) => {
            let mut parts: Vec<String> = Vec::new();
            let mut indexed: Vec<(String, Vec<String>)> = Vec::new();
            for (key, is_optional, value) in fields {
                match key {
                    Key::Name(key) => {
                        parts.push(format!("{}: {}", key_text(key), optional(value, *is_optional)));
                    }
                    Key::Index(index) => {
                        let index = luau(index);
                        match indexed.iter_mut().find(|(known, _)| *known == index) {
                            Some((_, values)) => values.push(grouped(value)),
                            None => indexed.push((index, vec![grouped(value)])),
                        }
                    }
                }
            }
            assert!(indexed.len() < 2, "a table type has one index: {indexed:?}");
            match (indexed.pop(), parts.is_empty()) {
                (Some((index, values)), true) if index == "number" => {
                    parts.push(values.join(" | "))
                }
                (Some((index, values)), _) => {
                    parts.push(format!("[{index}]: {}", values.join(" | ")))
                }
                (None, _) => {}
            }
            if parts.is_empty() { "{}".into() } else { format!("{{ {} }}", parts.join(", ")) }
        }
    }
}
