//! The API of a library as Markdown, made of the LuaCATS annotations in its modules.
//!
//! The modules are read line by line and never run. Whatever they say, the result is bounded and safe
//! to print.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::observability::text::printable;

/// Maximum number of lines of one module that are read.
const MAX_LINES: usize = 100_000;
/// Maximum number of characters of a line in the result.
const MAX_LINE: usize = 1_000;
/// Maximum size of the result in bytes.
const MAX_BYTES: usize = 4 << 20;
/// Maximum number of lines of a call of `bench.params`.
const MAX_PARAMETER_LINES: usize = 2_000;
/// Maximum number of lines over which the parameters of a function go on.
const MAX_HEAD_LINES: usize = 20;

/// Returns the API of modules, which are given as path, such as `@office/save`, and source: what
/// each returns, and the types that its functions name.
pub fn api_of<'a>(modules: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut shown = String::new();
    for (path, source) in modules {
        let module = Module::read(source);
        if !shown.is_empty() {
            shown.push('\n');
        }
        module.write(path, &mut shown);
        if shown.len() > MAX_BYTES {
            let end = (0..=MAX_BYTES).rev().find(|at| shown.is_char_boundary(*at));
            shown.truncate(end.unwrap_or(0));
            shown.push_str("\n\nThe rest is left out, because it is too long.\n");
            break;
        }
    }
    shown
}

/// A module's annotations.
#[derive(Default)]
struct Module<'s> {
    /// The comment at the head of the file, line by line.
    head: Vec<&'s str>,
    /// The call of `bench.params`, line by line.
    parameters: Vec<&'s str>,
    functions: Vec<Function<'s>>,
    types: BTreeMap<&'s str, Block<'s>>,
    /// The names of classes by the variable that their methods are declared on.
    classes: BTreeMap<&'s str, &'s str>,
    exports: Exports<'s>,
}

/// The value that a module returns.
#[derive(Default)]
enum Exports<'s> {
    #[default]
    Nothing,
    Variable(&'s str),
    /// The names of a table that is written after `return`.
    Names(BTreeSet<&'s str>),
}

struct Function<'s> {
    /// The variable before the dot or colon; empty for a local function.
    object: &'s str,
    name: &'s str,
    is_method: bool,
    /// The names of its parameters in the code.
    parameters: Vec<String>,
    block: Block<'s>,
}

/// The annotations before a function or of a type.
#[derive(Clone, Default)]
struct Block<'s> {
    prose: Vec<&'s str>,
    /// Parameters of a function, or fields of a class.
    entries: Vec<Entry<'s>>,
    returns: Vec<(&'s str, &'s str)>,
    overloads: Vec<&'s str>,
    /// The parents of a class, or the value of an alias.
    value: &'s str,
    type_name: Option<&'s str>,
    is_deprecated: bool,
    is_private: bool,
}

#[derive(Clone)]
struct Entry<'s> {
    name: &'s str,
    is_optional: bool,
    value: &'s str,
    text: &'s str,
}

impl<'s> Module<'s> {
    fn read(source: &'s str) -> Module<'s> {
        let lines: Vec<&str> = source.lines().take(MAX_LINES).map(str::trim_end).collect();
        let (head, mut at) = head(&lines);
        let mut module = Module {
            head,
            parameters: declared_parameters(&lines),
            exports: exports(&lines),
            ..Module::default()
        };
        while at < lines.len() {
            let from = at;
            while lines.get(at).is_some_and(|line| is_annotation(line)) {
                at += 1;
            }
            let block = Block::read(&lines[from..at]);
            if let Some(name) = block.type_name {
                let declared = lines.get(at).and_then(|line| local_variable(line));
                if let Some(variable) = declared {
                    module.classes.insert(variable, name);
                }
                module.types.entry(name).or_insert_with(|| block.clone());
            }
            if let Some(function) = lines.get(at).and_then(|_| read_function(&lines[at..], block)) {
                module.functions.push(function);
            }
            at += 1;
        }
        module
    }

    fn exports(&self, function: &Function) -> bool {
        !function.block.is_private
            && match &self.exports {
                Exports::Nothing => false,
                Exports::Variable(variable) => function.object == *variable,
                Exports::Names(names) => {
                    function.object.is_empty() && names.contains(function.name)
                }
            }
    }

    fn write(&self, path: &str, to: &mut String) {
        let _ = writeln!(to, "# {}", printable(path, MAX_LINE));
        write_prose(&self.head, to);
        if !self.parameters.is_empty() {
            to.push_str("\n## Parameters\n\n```lua\n");
            for line in &self.parameters {
                let _ = writeln!(to, "{}", printable(line, MAX_LINE));
            }
            to.push_str("```\n");
        }
        let own = path.rsplit(['/', '@']).next().unwrap_or(path);
        let mut names: Vec<&str> = Vec::new();
        for function in self.functions.iter().filter(|function| self.exports(function)) {
            function.write(own, to);
            names.extend(function.block.names());
        }
        let mut shown = BTreeSet::new();
        let methods = self.methods();
        let methods_of = |class: &str| methods.get(class).into_iter().flatten();
        // Types may name one another in a circle.
        while let Some(name) = names.pop() {
            let Some(block) = self.types.get(name).filter(|block| !block.is_private) else {
                continue;
            };
            if !shown.insert(name) {
                continue;
            }
            names.extend(block.names());
            for method in methods_of(name) {
                names.extend(method.block.names());
            }
        }
        for name in shown {
            self.types[name].write_type(name, to);
            for method in methods_of(name) {
                let own = name.rsplit('.').next().unwrap_or(name);
                method.write(own, to);
            }
        }
    }

    /// Returns the methods of classes, without the functions that the module returns.
    fn methods(&self) -> BTreeMap<&'s str, Vec<&Function<'s>>> {
        let mut methods: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for function in &self.functions {
            let class = self.classes.get(function.object);
            let class = class.filter(|_| !function.block.is_private && !self.exports(function));
            if let Some(class) = class {
                methods.entry(*class).or_default().push(function);
            }
        }
        methods
    }
}

impl Function<'_> {
    fn write(&self, object: &str, to: &mut String) {
        let is_optional = |name: &str| {
            self.block.entries.iter().any(|entry| entry.name == name && entry.is_optional)
        };
        let parameters: Vec<String> = self
            .parameters
            .iter()
            .map(|name| format!("{name}{}", if is_optional(name) { "?" } else { "" }))
            .collect();
        let dot = if self.is_method { ":" } else { "." };
        let head = format!("{object}{dot}{}({})", self.name, parameters.join(", "));
        let _ = writeln!(to, "\n## {}", printable(&head, MAX_LINE));
        self.block.write(to);
    }
}

impl<'s> Block<'s> {
    fn read(lines: &[&'s str]) -> Block<'s> {
        let mut block = Block::default();
        for line in lines {
            let line = line.trim_start().trim_start_matches("---");
            let Some(tag) = line.trim_start().strip_prefix('@') else {
                block.prose.push(line.strip_prefix(' ').unwrap_or(line));
                continue;
            };
            let (tag, rest) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
            let rest = rest.trim();
            match tag {
                "param" | "field" => block.entries.extend(Entry::read(rest)),
                "return" => block.returns.push(split_type(rest)),
                "overload" => block.overloads.push(rest),
                "class" | "alias" | "enum" => {
                    let rest = match rest.starts_with('(') {
                        true => rest.split_once(')').map_or("", |(_, rest)| rest.trim()),
                        false => rest,
                    };
                    let end = rest.find(|c: char| c == ':' || c.is_whitespace());
                    let (name, value) = rest.split_at(end.unwrap_or(rest.len()));
                    block.value = value.trim_start_matches(':').trim();
                    block.type_name = Some(name).filter(|name| !name.is_empty());
                }
                "deprecated" => block.is_deprecated = true,
                "private" | "package" | "protected" => block.is_private = true,
                _ => {}
            }
        }
        block
    }

    /// Returns the words of its types, some of which are names of types.
    fn names(&self) -> impl Iterator<Item = &'s str> {
        let entries = self.entries.iter().map(|entry| entry.value);
        let returns = self.returns.iter().map(|(value, _)| *value);
        let all = entries.chain(returns).chain(self.overloads.iter().copied()).chain([self.value]);
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
        all.flat_map(move |text| text.split(move |c| !is_name(c))).filter(|word| !word.is_empty())
    }

    fn write(&self, to: &mut String) {
        if self.is_deprecated {
            to.push_str("\nDeprecated.\n");
        }
        write_prose(&self.prose, to);
        if !self.entries.is_empty() {
            to.push('\n');
        }
        for Entry { name, is_optional, value, text } in &self.entries {
            let optional = if *is_optional { "?" } else { "" };
            write_item(&format!("- `{}{optional}`", code(name)), value, text, to);
        }
        if !self.returns.is_empty() {
            to.push_str("\nReturns:\n\n");
        }
        for (value, text) in &self.returns {
            write_item("-", value, text, to);
        }
        for overload in &self.overloads {
            let _ = writeln!(to, "\nAlso `{}`", code(overload));
        }
    }

    fn write_type(&self, name: &str, to: &mut String) {
        let _ = writeln!(to, "\n## Type {}", printable(name, MAX_LINE));
        if !self.value.is_empty() {
            let _ = writeln!(to, "\n`{}`", code(self.value));
        }
        self.write(to);
    }
}

impl<'s> Entry<'s> {
    /// Reads `name? type text`, of a field also with its visibility.
    fn read(text: &'s str) -> Option<Entry<'s>> {
        let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match first {
            "private" | "protected" | "package" => return None,
            "public" => return Entry::read(rest.trim_start()),
            "" => return None,
            _ => {}
        }
        let (name, rest) = match first.starts_with('[') {
            true => split_type(text),
            false => (first, rest),
        };
        let (value, text) = split_type(rest.trim_start());
        let is_optional = name.ends_with('?');
        Some(Entry { name: name.trim_end_matches('?'), is_optional, value, text })
    }
}

/// Splits a type from the text after it. A type has white space in brackets and around `|` only.
fn split_type(text: &str) -> (&str, &str) {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut last = ' ';
    for (at, c) in text.char_indices() {
        if let Some(open) = quote {
            quote = Some(open).filter(|open| *open != c);
        } else if c.is_whitespace() {
            let next = text[at..].trim_start();
            let goes_on = matches!(last, '|' | ':' | ',') || next.starts_with('|');
            if depth == 0 && !goes_on {
                return (&text[..at], next);
            }
        } else {
            match c {
                '(' | '<' | '{' | '[' => depth += 1,
                ')' | '>' | '}' | ']' => depth = depth.saturating_sub(1),
                '"' | '\'' => quote = Some(c),
                _ => {}
            }
        }
        last = if c.is_whitespace() { last } else { c };
    }
    (text, "")
}

fn is_annotation(line: &str) -> bool {
    line.trim_start().starts_with("---")
}

/// Returns the lines of the comment at the head of a file, and the number of the line after it.
fn head<'s>(lines: &[&'s str]) -> (Vec<&'s str>, usize) {
    let is_skipped =
        |line: &&&str| line.is_empty() || line.starts_with("#!") || line.starts_with("--!");
    let from = lines.iter().take_while(is_skipped).count();
    let rest = &lines[from..];
    if let Some(first) = rest.first().and_then(|line| line.strip_prefix("--[[")) {
        let mut text = Vec::new();
        for (number, line) in [first].iter().chain(&rest[1..]).enumerate() {
            if let Some((last, _)) = line.split_once("]]") {
                text.push(last);
                return (text, from + number + 1);
            }
            text.push(line);
        }
        return (Vec::new(), from);
    }
    let count =
        rest.iter().take_while(|line| line.starts_with("--") && !is_annotation(line)).count();
    let text = rest[..count].iter().map(|line| {
        let line = &line[2..];
        line.strip_prefix(' ').unwrap_or(line)
    });
    (text.collect(), from + count)
}

/// Returns what the last `return` of a file returns.
/// Returns the lines of the call of `bench.params`, which ends with a line that begins with a
/// bracket.
fn declared_parameters<'s>(lines: &[&'s str]) -> Vec<&'s str> {
    let is_call =
        |line: &&str| !line.starts_with([' ', '\t', '-']) && line.contains("bench.params");
    let Some(first) = lines.iter().position(is_call) else { return Vec::new() };
    let after = lines[first + 1..].iter().take(MAX_PARAMETER_LINES);
    match after.clone().position(|line| line.starts_with(['}', ')'])) {
        Some(last) if lines[first].ends_with(['{', '(']) => {
            lines[first..=first + 1 + last].to_vec()
        }
        _ => vec![lines[first]],
    }
}

fn exports<'s>(lines: &[&'s str]) -> Exports<'s> {
    let Some(at) = lines.iter().rposition(|line| line.starts_with("return ")) else {
        return Exports::Nothing;
    };
    let value = lines[at]["return ".len()..].trim().trim_end_matches(';');
    if is_identifier(value) {
        return Exports::Variable(value);
    }
    let Some(first) = value.strip_prefix('{') else { return Exports::Nothing };
    let parts = [first].into_iter().chain(lines[at + 1..].iter().copied());
    let parts = parts.flat_map(|line| line.split([',', ';', '}']));
    let names = parts.map(|part| part.split('=').next().unwrap_or_default().trim());
    Exports::Names(names.filter(|name| is_identifier(name)).collect())
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns the name in `local name = …`.
fn local_variable(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("local ")?.split_once('=')?;
    let name = name.split(':').next()?.trim();
    is_identifier(name).then_some(name)
}

/// Reads the head of the function that begins in the first line, if one does.
fn read_function<'s>(lines: &[&'s str], block: Block<'s>) -> Option<Function<'s>> {
    let line = lines[0];
    let (name, rest) = if let Some(rest) = line.strip_prefix("function ") {
        rest.split_once('(')?
    } else if let Some(rest) = line.strip_prefix("local function ") {
        rest.split_once('(')?
    } else {
        let (name, value) = line.split_once('=')?;
        let rest = value.trim_start().strip_prefix("function")?.trim_start();
        (name.trim().trim_start_matches("local "), rest.strip_prefix('(')?)
    };
    // The types of a generic function of Luau.
    let name = name.split('<').next()?.trim();
    let is_method = name.contains(':');
    let (object, name) = name.rsplit_once(['.', ':']).unwrap_or(("", name));
    if !is_identifier(name)
        || !object.split('.').all(|part| object.is_empty() || is_identifier(part))
    {
        return None;
    }
    let more = lines[1..].iter().take(MAX_HEAD_LINES).copied();
    let parameters = parameters([rest].into_iter().chain(more));
    Some(Function { object, name, is_method, parameters, block })
}

/// Returns the names of parameters, which end with a parenthesis. They may have types.
fn parameters<'s>(lines: impl Iterator<Item = &'s str>) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut depth = 0_usize;
    let mut is_type = false;
    for line in lines {
        for c in line.split("--").next().unwrap_or_default().chars() {
            match c {
                ')' if depth == 0 => {
                    names.retain(|name| !name.is_empty());
                    return names;
                }
                '(' | '{' | '[' | '<' => depth += 1,
                ')' | '}' | ']' | '>' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    names.push(String::new());
                    is_type = false;
                }
                ':' if depth == 0 => is_type = true,
                c if !is_type && depth == 0 && (c.is_ascii_alphanumeric() || "_.".contains(c)) => {
                    names.last_mut().into_iter().for_each(|name| name.push(c));
                }
                _ => {}
            }
        }
    }
    // The end is missing, so that this is no function.
    Vec::new()
}

/// Writes prose after an empty line. Indented lines are code.
fn write_prose(lines: &[&str], to: &mut String) {
    let first = lines.iter().position(|line| !line.trim().is_empty());
    let last = lines.iter().rposition(|line| !line.trim().is_empty());
    let (Some(first), Some(last)) = (first, last) else { return };
    to.push('\n');
    for line in &lines[first..=last] {
        let text = printable(&line.replace('\t', "  "), MAX_LINE);
        let is_code = text.starts_with("  ");
        // A line of a comment is no heading of this document.
        let before = if is_code {
            "  "
        } else if text.starts_with('#') {
            "\\"
        } else {
            ""
        };
        let _ = writeln!(to, "{before}{text}");
    }
}

fn write_item(begin: &str, value: &str, text: &str, to: &mut String) {
    let value = if value.is_empty() { String::new() } else { format!(" `{}`", code(value)) };
    let text = match text.is_empty() {
        true => String::new(),
        false => format!(": {}", printable(text, MAX_LINE)),
    };
    let _ = writeln!(to, "{begin}{value}{text}");
}

/// Returns a text that ends no code.
fn code(text: &str) -> String {
    printable(&text.replace('`', "'"), MAX_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_a_module_are_shown_as_they_are_declared() {
        let shown = |source: &str| api_of([("@office", source)]);
        let call = "local P = bench.params {\n  size = { type = \"size\", default = 1 },\n}";
        let expected = format!("\n## Parameters\n\n```lua\n{call}\n```\n");
        assert!(shown(&format!("-- Head.\n\n{call}\nreturn {{}}")).contains(&expected));
        let one = "local P = bench.params { size = { type = \"size\", default = 1 } }";
        assert!(shown(one).contains(&format!("```lua\n{one}\n```")));
        assert!(!shown("-- calls bench.params {\nreturn {}").contains("Parameters"));
        let endless = format!("bench.params {{\n{}", "  x\n".repeat(3_000));
        assert!(shown(&endless).len() < 100);
    }

    const SAVE: &str = r#"--!strict
-- How people save.
--
--   local save = require("@office/save")

---@class (exact) office.Options: office.Base
---@field directory string the directory
---@field size? bench.Size|bench.Distribution size of "it"
---@field private secret string
---@field [string] integer the rest

---@class office.Hidden
---@field x integer

---@alias office.Kind "docx" | "xlsx"

local M = {}

---@class office.Pattern
local Pattern = {}

---Returns the next.
---@return integer
function Pattern:next() end

---Saves a document.
---# Not a heading
---@param c bench.Client
---@param options? office.Options what to do
---@param hook fun(c: bench.Client, n: integer): boolean called at the end
---@return office.Pattern pattern of the save
function M.save(c, options, hook)
end

---@param kind office.Kind
M.close = function(
  kind: string, -- the kind
  map: { [string]: number },
  ...
)
end

function M:undocumented<T>(value: T): T end

---@private
function M.hidden() end

---Only here.
local function own() end

return M
"#;

    #[test]
    fn the_api_is_what_a_module_returns_and_the_types_that_it_names() {
        let expected = r#"# @office/save

How people save.

    local save = require("@office/save")

## save.save(c, options?, hook)

Saves a document.
\# Not a heading

- `c` `bench.Client`
- `options?` `office.Options`: what to do
- `hook` `fun(c: bench.Client, n: integer): boolean`: called at the end

Returns:

- `office.Pattern`: pattern of the save

## save.close(kind, map, ...)

- `kind` `office.Kind`

## save:undocumented(value)

## Type office.Kind

`"docx" | "xlsx"`

## Type office.Options

`office.Base`

- `directory` `string`: the directory
- `size?` `bench.Size|bench.Distribution`: size of "it"
- `[string]` `integer`: the rest

## Type office.Pattern

## Pattern:next()

Returns the next.

Returns:

- `integer`
"#;
        let shown = api_of([("@office/save", SAVE)]);
        assert_eq!(shown, expected, "{shown}");
    }

    #[test]
    fn a_module_may_return_a_table_of_local_functions() {
        let source = "--[[ Head.\nMore. ]]\n---Runs.\nlocal function run(c) end\nlocal function own() end\nreturn {\n  run = run,\n}\n";
        let shown = api_of([("@a", source), ("@b", "return 1")]);
        assert_eq!(shown, "# @a\n\n Head.\nMore. \n\n## a.run(c)\n\nRuns.\n\n# @b\n");
    }

    #[test]
    fn every_module_of_the_standard_library_has_an_api() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/stdlib");
        let mut count = 0;
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            let Some(name) = name.strip_suffix(".lua").filter(|name| !name.contains(".d")) else {
                continue;
            };
            let source = std::fs::read_to_string(&path).unwrap();
            let shown = api_of([(&*format!("@bench/{name}"), &*source)]);
            assert!(shown.contains(&format!("\n## {name}.")), "{shown}");
            count += 1;
        }
        assert!(count > 10, "{count}");
    }

    #[test]
    fn a_hostile_module_gives_a_bounded_text_without_control_sequences() {
        let endless = "(".repeat(1_000_000);
        let many = "---@class a\nfunction M.f(\n".repeat(60_000) + "return M";
        let circle =
            "---@class a: b\n\n---@class b: a\n\n---@param x a\nfunction M.f(x) end\nreturn M";
        for source in [
            "",
            "return ",
            "return {",
            "--[[ no end",
            "---@",
            "---@class",
            "---@param",
            "---@field [",
            "---@return \"",
            "---@param x fun(((",
            "function (",
            "function M.",
            "---\u{1b}[2J\nfunction M.f(\u{1b}) end\n---@param \u{1b}` x`\u{202e}\nfunction M.g(x) end\nreturn M",
            circle,
            &endless,
            &many,
            &SAVE.replace('\n', "\r\n"),
        ] {
            let path = "@x/\u{1b}[2J\n";
            let shown = api_of([(path, source)]);
            let start: String = shown.chars().take(200).collect();
            assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{start}");
            assert!(shown.len() <= MAX_BYTES + 100, "{start}");
        }
        let types = "---@class a\n---@field x integer\n".to_string() + &"---\n".repeat(2_000_000);
        assert!(api_of([("@x", types.as_str())]).len() < MAX_BYTES);
        for length in 0..SAVE.len() {
            api_of([("@x", &SAVE[..length])]);
        }
    }
}
