//! Writes the page of the API for readers.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::annotations::{Api, Class, Function, Item, Key, Module, Parameter};
use crate::types::{Signature, Type};

/// A part of the page: a section of the globals, or a module.
struct Group<'a> {
    title: String,
    anchor: String,
    text: String,
    items: Vec<&'a Item>,
    /// What stands before the names of functions whose object is a variable of the source.
    objects: Vec<(String, String)>,
}

/// Returns the text of `docs/lua-api.md`.
pub fn page(api: &Api) -> String {
    let groups = groups(api);
    let types: BTreeSet<&str> = groups
        .iter()
        .flat_map(|group| &group.items)
        .filter_map(|item| match item {
            Item::Alias(alias) => Some(&*alias.name),
            Item::Class(class) => Some(&*class.name),
            _ => None,
        })
        .collect();
    let mut text = String::from(
        "# The Lua API\n\n\
         <!-- Generated from stdlib/bench.d.lua and the modules in stdlib/. Change those, then run: \
         SMBENCH_BLESS=1 cargo test -p smbench-definitions -->\n\n\
         Everything that a script can call. `smbench new DIR` writes a project in which editors \
         know all of it.\n\n\
         A type such as `string|number` takes either one, `T[]` is a list, `table<K, V>` a table \
         from K to V, and `fun(c: bench.Client)` a function. A parameter or field with `?` can be \
         omitted.\n\n\
         ## Contents\n\n",
    );
    for group in &groups {
        writeln!(text, "- [{}](#{})", group.title, group.anchor).unwrap();
        let functions = group.items.iter().filter_map(|item| item.function());
        let links: Vec<String> = functions
            .map(|function| {
                let name = group.name_of(function);
                format!("[`{name}`](#{})", anchor(&name))
            })
            .collect();
        if !links.is_empty() {
            writeln!(text, "  {}", links.join(" · ")).unwrap();
        }
    }
    for group in &groups {
        writeln!(text, "\n<a id=\"{}\"></a>\n\n## {}", group.anchor, group.title).unwrap();
        paragraph(&mut text, &group.text);
        for item in &group.items {
            entry(&mut text, api, &types, group, item);
        }
    }
    text
}

fn groups(api: &Api) -> Vec<Group<'_>> {
    let sections = api.sections.iter().map(|section| Group {
        title: section.title.clone(),
        anchor: anchor(&section.title),
        text: section.text.clone(),
        items: types_last(section.items.iter().collect()),
        objects: objects(&section.items),
    });
    let modules = api.modules.iter().map(|module| {
        let mut objects = objects(&module.items);
        objects.push((Module::EXPORTS.into(), format!("{}.", module.name)));
        Group {
            title: format!("@bench/{}", module.name),
            anchor: anchor(&format!("module-{}", module.name)),
            text: capitalized(&module.text),
            items: types_last(module.public()),
            objects,
        }
    });
    sections.chain(modules).collect()
}

/// Puts the types of parameters after the objects and the functions of a group.
fn types_last(mut items: Vec<&Item>) -> Vec<&Item> {
    items.sort_by_key(|item| match item {
        Item::Alias(_) => true,
        Item::Class(class) => class.variable.is_none(),
        Item::Function(_) | Item::Value(_) => false,
    });
    items
}

/// Returns the names with which the page shows the objects of methods: `c` for a client.
fn objects(items: &[Item]) -> Vec<(String, String)> {
    let classes = items.iter().filter_map(Item::class).filter(|class| class.name != "bench");
    let named = classes.filter_map(|class| {
        let variable = class.variable.clone()?;
        let shown = match &*variable {
            "Client" => "c".into(),
            other => other.to_lowercase(),
        };
        Some((variable, format!("{shown}:")))
    });
    named.collect()
}

impl Group<'_> {
    /// Returns the name of a function as a script writes it: `bench.load`, `c:open`.
    fn name_of(&self, function: &Function) -> String {
        let Function { object, name, is_method, .. } = function;
        match self.objects.iter().find(|(variable, _)| variable == object) {
            Some((_, shown)) => format!("{shown}{name}"),
            None if object.is_empty() => name.clone(),
            None => format!("{object}{}{name}", if *is_method { ':' } else { '.' }),
        }
    }
}

fn entry(text: &mut String, api: &Api, types: &BTreeSet<&str>, group: &Group<'_>, item: &Item) {
    match item {
        Item::Function(function) => {
            let name = group.name_of(function);
            let parameters: Vec<String> = function
                .parameters
                .iter()
                .map(|Parameter { name, is_optional, .. }| {
                    format!("{name}{}", if *is_optional { "?" } else { "" })
                })
                .collect();
            heading(text, &anchor(&name), &format!("{name}({})", parameters.join(", ")));
            paragraph(text, &function.text);
            let rows: Vec<_> = function.parameters.iter().map(parameter_row).collect();
            table(text, types, "parameter", &rows);
            if !function.returns.is_empty() {
                let values: Vec<String> =
                    function.returns.iter().map(|value| linked(value, types)).collect();
                let described = match function.return_text.is_empty() {
                    true => String::new(),
                    false => format!(" {}", function.return_text),
                };
                writeln!(text, "\nReturns {}.{described}", values.join(", ")).unwrap();
            }
            for call in &function.overloads {
                if let Type::Function(call) = call {
                    writeln!(text, "\nAlso: `{name}{}`", parameters_of(call)).unwrap();
                }
            }
        }
        Item::Class(class) if class.name == "bench" => {}
        Item::Class(class) => {
            heading(text, &type_anchor(&class.name), &class.name);
            paragraph(text, &class.text);
            let parents: Vec<String> = class
                .parents
                .iter()
                .map(|parent| linked(&Type::Name(parent.clone()), types))
                .collect();
            let rows: Vec<_> = own_rows(class);
            table(text, types, "field", &rows);
            if !parents.is_empty() {
                let known = api.class(&class.parents[0]).is_some();
                assert!(known, "{}: unknown parent", class.name);
                writeln!(text, "\nIt has everything that {} has.", parents.join(", ")).unwrap();
            }
            for call in &class.calls {
                if let Type::Function(call) = call {
                    writeln!(text, "\nIt can be called: `{}`", parameters_of(call)).unwrap();
                }
            }
        }
        Item::Alias(alias) => {
            heading(text, &type_anchor(&alias.name), &alias.name);
            writeln!(text, "\n{}", linked(&alias.value, types)).unwrap();
            paragraph(text, &alias.text);
        }
        Item::Value(value) => {
            let object = match &*value.object {
                Module::EXPORTS => group.title.rsplit('/').next().unwrap_or_default(),
                object => object,
            };
            let name = format!("{object}.{}", value.name);
            heading(text, &anchor(&name), &name);
            writeln!(text, "\n{}", linked(&value.value, types)).unwrap();
            paragraph(text, &value.text);
        }
    }
}

struct Row {
    name: String,
    value: Type,
    text: String,
}

fn parameter_row(parameter: &Parameter) -> Row {
    let Parameter { name, is_optional, value, text } = parameter;
    Row { name: optional(name, *is_optional), value: value.clone(), text: text.clone() }
}

fn own_rows(class: &Class) -> Vec<Row> {
    let rows = class.fields.iter().map(|field| Row {
        name: match &field.key {
            Key::Name(name) => optional(name, field.is_optional),
            Key::Index(index) => format!("[{}]", plain(index)),
        },
        value: field.value.clone(),
        text: field.text.clone(),
    });
    rows.collect()
}

fn optional(name: &str, is_optional: bool) -> String {
    format!("{name}{}", if is_optional { "?" } else { "" })
}

fn heading(text: &mut String, anchor: &str, title: &str) {
    writeln!(text, "\n<a id=\"{anchor}\"></a>\n\n### `{title}`").unwrap();
}

/// Writes a description. A part of it that is indented is code.
fn paragraph(text: &mut String, described: &str) {
    if described.is_empty() {
        return;
    }
    for part in described.split("\n\n") {
        let is_code = part.lines().all(|line| line.is_empty() || line.starts_with("  "));
        match is_code {
            true => {
                let code: Vec<&str> =
                    part.lines().map(|line| line.get(2..).unwrap_or_default()).collect();
                writeln!(text, "\n```lua\n{}\n```", code.join("\n")).unwrap();
            }
            false => writeln!(text, "\n{part}").unwrap(),
        }
    }
}

/// Begins a text with a capital letter, which the title before it made unnecessary in its file.
fn capitalized(text: &str) -> String {
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    first.to_uppercase() + rest
}

fn table(text: &mut String, types: &BTreeSet<&str>, first: &str, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    writeln!(text, "\n| {first} | type | |\n|---|---|---|").unwrap();
    for Row { name, value, text: described } in rows {
        let described = described.replace('\n', " ").replace('|', "\\|");
        writeln!(text, "| `{name}` | {} | {described} |", linked(value, types).replace('|', "\\|"))
            .unwrap();
    }
}

/// Returns an anchor that stays the same as long as the name does.
fn anchor(name: &str) -> String {
    let mut anchor = String::new();
    for c in name.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || c == '_' => anchor.push(c.to_ascii_lowercase()),
            _ if anchor.is_empty() || anchor.ends_with('-') => {}
            _ => anchor.push('-'),
        }
    }
    anchor.trim_end_matches('-').into()
}

fn type_anchor(name: &str) -> String {
    format!("type-{}", anchor(name))
}

/// Returns a type as code, followed by links to the types of the API in it.
fn linked(value: &Type, types: &BTreeSet<&str>) -> String {
    if let Type::Name(name) = value
        && types.contains(&**name)
    {
        return format!("[`{name}`](#{})", type_anchor(name));
    }
    let mut names = BTreeSet::new();
    value.names(&mut names);
    let links = names.iter().filter(|name| types.contains(&***name));
    let links: Vec<String> = links
        .map(|name| {
            let short = name.strip_prefix("bench.").unwrap_or(name);
            format!("[{short}](#{})", type_anchor(name))
        })
        .collect();
    match links.is_empty() {
        true => format!("`{}`", plain(value)),
        false => format!("`{}` ({})", plain(value), links.join(", ")),
    }
}

fn parameters_of(signature: &Signature) -> String {
    let parameters = signature.parameters.iter();
    let parameters: Vec<String> = parameters
        .map(|(name, is_optional, value)| match name.is_empty() {
            true => plain(value),
            false => format!("{}: {}", optional(name, *is_optional), plain(value)),
        })
        .collect();
    format!("({})", parameters.join(", "))
}

/// Returns a type in the notation of LuaCATS.
fn plain(value: &Type) -> String {
    let grouped = |value: &Type| match value {
        Type::Function(_) | Type::Union(_) => format!("({})", plain(value)),
        _ => plain(value),
    };
    match value {
        Type::Name(name) => name.clone(),
        Type::Text(text) => format!("\"{text}\""),
        Type::Number(number) => number.clone(),
        Type::Boolean(value) => value.to_string(),
        Type::Array(of) => format!("{}[]", grouped(of)),
        Type::Table(key, of) => format!("table<{}, {}>", plain(key), plain(of)),
        Type::Optional(of) => format!("{}?", grouped(of)),
        Type::Pack(name) => format!("{name}..."),
        Type::Union(all) => all.iter().map(plain).collect::<Vec<_>>().join("|"),
        Type::Function(function) => {
            let returns: Vec<String> = function.returns.iter().map(plain).collect();
            let returns = match returns.is_empty() {
                true => String::new(),
                false => format!(": {}", returns.join(", ")),
            };
            format!("fun{}{returns}", parameters_of(function))
        }
        Type::Fields(fields) => {
            let fields = fields.iter().map(|(key, is_optional, value)| match key {
                Key::Name(name) => format!("{}: {}", optional(name, *is_optional), plain(value)),
                Key::Index(index) => format!("[{}]: {}", plain(index), plain(value)),
            });
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}
