//! Reads LuaCATS annotations into the items that the generators write.

use std::collections::BTreeSet;

use emmylua_parser::{
    LuaAst, LuaAstNode, LuaAstToken, LuaComment, LuaCommentOwner, LuaDocDescription,
    LuaDocDescriptionOwner, LuaDocFieldKey, LuaDocTag, LuaDocVisibilityToken, LuaExpr, LuaFuncStat,
    LuaIndexKey, LuaParser, LuaStat, LuaVarExpr, ParserConfig,
};

use crate::types::Type;

/// The whole API: the globals, in their sections, and the modules of the standard library.
pub struct Api {
    pub sections: Vec<Section>,
    pub modules: Vec<Module>,
}

/// A part of `bench.d.lua` that begins with a comment `-- # Title`.
#[derive(Default)]
pub struct Section {
    pub title: String,
    pub text: String,
    pub items: Vec<Item>,
}

/// A module of the standard library.
pub struct Module {
    pub name: String,
    pub text: String,
    /// Everything that is annotated, in order. Functions and values of the table that the file
    /// returns have the object [`Module::EXPORTS`].
    pub items: Vec<Item>,
}

pub enum Item {
    Alias(Alias),
    Class(Class),
    Function(Function),
    Value(Value),
}

/// A name for a type: `---@alias`.
pub struct Alias {
    pub name: String,
    pub text: String,
    pub value: Type,
}

/// `---@class` with its fields. Its methods are functions whose object is its `variable`.
pub struct Class {
    pub name: String,
    pub text: String,
    /// Whether other fields than its own are an error.
    pub is_exact: bool,
    pub parents: Vec<String>,
    pub fields: Vec<Field>,
    /// The ways in which an object of the class can be called.
    pub calls: Vec<Type>,
    /// The local variable that its methods are declared on.
    pub variable: Option<String>,
}

pub struct Field {
    /// A name, or a type in brackets.
    pub key: Key,
    pub is_optional: bool,
    pub value: Type,
    pub text: String,
}

#[derive(Clone, Debug)]
pub enum Key {
    Name(String),
    Index(Type),
}

pub struct Function {
    /// The variable before the dot or colon; empty for a global function.
    pub object: String,
    pub name: String,
    pub is_method: bool,
    pub text: String,
    /// Names of generic types; those of packs end in `...`.
    pub generics: Vec<String>,
    pub parameters: Vec<Parameter>,
    pub returns: Vec<Type>,
    pub return_text: String,
    pub overloads: Vec<Type>,
}

pub struct Parameter {
    /// `...` for the rest of the arguments.
    pub name: String,
    pub is_optional: bool,
    pub value: Type,
    pub text: String,
}

/// A variable of a table, with its `---@type`.
pub struct Value {
    pub object: String,
    pub name: String,
    pub text: String,
    pub value: Type,
}

impl Api {
    /// Reads `bench.d.lua`.
    ///
    /// # Panics
    /// If the text is not valid, or an item stands before the first section.
    pub fn read(text: &str, modules: Vec<Module>) -> Api {
        let mut sections: Vec<Section> = Vec::new();
        for part in parts(text) {
            match part {
                Part::Item(item) => {
                    sections.last_mut().expect("a section begins the file").items.push(item);
                }
                Part::Text(text) => {
                    if let Some(heading) = text.strip_prefix("# ") {
                        let (title, text) = heading.split_once('\n').unwrap_or((heading, ""));
                        let (title, text) = (title.into(), text.trim().into());
                        sections.push(Section { title, text, items: Vec::new() });
                    }
                }
            }
        }
        Api { sections, modules }
    }

    /// Returns the items of all sections.
    pub fn globals(&self) -> impl Iterator<Item = &Item> {
        self.sections.iter().flat_map(|section| &section.items)
    }

    /// Returns the class with this name, in the globals or in a module.
    pub fn class(&self, name: &str) -> Option<&Class> {
        let items = self.globals().chain(self.modules.iter().flat_map(|module| &module.items));
        items.filter_map(Item::class).find(|class| class.name == name)
    }
}

impl Item {
    pub fn class(&self) -> Option<&Class> {
        if let Item::Class(class) = self { Some(class) } else { None }
    }

    pub fn function(&self) -> Option<&Function> {
        if let Item::Function(function) = self { Some(function) } else { None }
    }
}

impl Module {
    /// The object of what a module exports, whatever the variable in its file is called.
    pub const EXPORTS: &str = "M";

    /// Reads a module's file.
    ///
    /// # Panics
    /// If the text is not valid, or it does not end by returning a variable.
    pub fn read(name: &str, text: &str) -> Module {
        let returned = text.trim_end().rsplit_once("\nreturn ").map(|(_, variable)| variable);
        let returned = returned.unwrap_or_else(|| panic!("@bench/{name} returns no variable"));
        let mut module = Module { name: name.into(), text: String::new(), items: Vec::new() };
        for part in parts(text) {
            match part {
                Part::Text(text) if module.items.is_empty() && module.text.is_empty() => {
                    let prefix = format!("@bench/{name}:");
                    module.text = text.strip_prefix(&prefix).unwrap_or(&text).trim().into();
                }
                Part::Text(_) => {}
                Part::Item(mut item) => {
                    match &mut item {
                        Item::Function(Function { object, .. })
                        | Item::Value(Value { object, .. })
                            if object == returned =>
                        {
                            *object = Module::EXPORTS.into();
                        }
                        _ => {}
                    }
                    module.items.push(item);
                }
            }
        }
        module
    }

    /// Returns the items of a module that a script can reach: what it exports, and the types that
    /// those name.
    pub fn public(&self) -> Vec<&Item> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut variables: BTreeSet<String> = BTreeSet::from([Self::EXPORTS.to_string()]);
        loop {
            let known = names.len() + variables.len();
            for item in &self.items {
                match item {
                    Item::Function(function) if variables.contains(&function.object) => {
                        let values = function.parameters.iter().map(|parameter| &parameter.value);
                        values.chain(&function.returns).chain(&function.overloads).for_each(
                            |value| {
                                value.names(&mut names);
                            },
                        );
                    }
                    Item::Value(value) if variables.contains(&value.object) => {
                        value.value.names(&mut names);
                    }
                    Item::Alias(alias) if names.contains(&alias.name) => {
                        alias.value.names(&mut names);
                    }
                    Item::Class(class) if names.contains(&class.name) => {
                        class.fields.iter().for_each(|field| field.value.names(&mut names));
                        names.extend(class.parents.iter().cloned());
                        variables.extend(class.variable.clone());
                    }
                    _ => {}
                }
            }
            if names.len() + variables.len() == known {
                break;
            }
        }
        let is_public = |item: &&Item| match item {
            Item::Function(function) => variables.contains(&function.object),
            Item::Value(value) => variables.contains(&value.object),
            Item::Alias(alias) => names.contains(&alias.name),
            Item::Class(class) => names.contains(&class.name),
        };
        self.items.iter().filter(is_public).collect()
    }

    /// Returns what is declared on an object: [`Module::EXPORTS`], or the variable of a class.
    pub fn members<'a>(&'a self, object: &'a str) -> impl Iterator<Item = &'a Item> {
        members(&self.items, object)
    }
}

/// Returns the functions and values that are declared on a variable.
pub fn members<'a>(
    items: impl IntoIterator<Item = &'a Item>,
    object: &'a str,
) -> impl Iterator<Item = &'a Item> {
    items.into_iter().filter(move |item| match item {
        Item::Function(function) => function.object == object,
        Item::Value(value) => value.object == object,
        _ => false,
    })
}

enum Part {
    /// A comment that belongs to no item.
    Text(String),
    Item(Item),
}

/// Reads the comments and functions at the top level of a file, in order.
fn parts(text: &str) -> Vec<Part> {
    let tree = LuaParser::parse(text, ParserConfig::default());
    assert!(tree.get_errors().is_empty(), "{:?}", tree.get_errors());
    let block = tree.get_chunk_node().get_block().expect("a file has a block");
    let mut found = Vec::new();
    for node in block.syntax().children() {
        if let Some(comment) = LuaComment::cast(node.clone()) {
            if !is_attached_to_function(&comment) {
                free_comment(&comment, &mut found);
            }
        } else if let Some(LuaStat::FuncStat(function)) = LuaStat::cast(node) {
            found.extend(function_of(&function).map(|item| Part::Item(Item::Function(item))));
        }
    }
    found
}

fn is_attached_to_function(comment: &LuaComment) -> bool {
    matches!(comment.get_owner(), Some(LuaAst::LuaFuncStat(_)))
}

/// Reads a comment that does not describe a function: aliases, a class, a variable, or plain text.
fn free_comment(comment: &LuaComment, found: &mut Vec<Part>) {
    let owner = comment.get_owner();
    let variable = owner.as_ref().and_then(variable_of);
    let mut text = comment.get_description().map(|text| plain(&text)).unwrap_or_default();
    let mut class: Option<Class> = None;
    let mut has_tags = false;
    for tag in comment.get_doc_tags() {
        has_tags = true;
        match tag {
            LuaDocTag::Alias(alias) => found.push(Part::Item(Item::Alias(Alias {
                name: name(alias.get_name_token()),
                text: std::mem::take(&mut text),
                value: Type::of(&alias.get_type().expect("an alias has a type")),
            }))),
            LuaDocTag::Class(tag) => {
                let flags = tag.get_type_flag().into_iter();
                let mut flags =
                    flags.flat_map(|flags| flags.get_attrib_tokens().collect::<Vec<_>>());
                let supers = tag.get_supers().into_iter();
                class = Some(Class {
                    name: name(tag.get_name_token()),
                    text: std::mem::take(&mut text),
                    is_exact: flags.any(|flag| flag.get_name_text() == "exact"),
                    parents: supers
                        .flat_map(|list| list.get_types().map(|t| t.get_text()).collect::<Vec<_>>())
                        .collect(),
                    fields: Vec::new(),
                    calls: Vec::new(),
                    variable: variable.clone().filter(|name| !name.contains('.')),
                });
            }
            LuaDocTag::Field(field) if is_hidden(field.get_visibility_token()) => {}
            LuaDocTag::Field(field) => {
                let class = class.as_mut().expect("a field belongs to a class");
                class.fields.push(Field {
                    key: match field.get_field_key().expect("a field has a key") {
                        LuaDocFieldKey::Name(name) => Key::Name(name.get_name_text().into()),
                        LuaDocFieldKey::String(text) => Key::Name(text.get_value()),
                        LuaDocFieldKey::Integer(number) => {
                            Key::Index(Type::Number(number.get_text().into()))
                        }
                        LuaDocFieldKey::Type(index) => Key::Index(Type::of(&index)),
                    },
                    is_optional: field.is_nullable(),
                    value: Type::of(&field.get_type().expect("a field has a type")),
                    text: described(&field),
                });
            }
            LuaDocTag::Overload(overload) => {
                let call = overload.get_type().expect("an overload has a type");
                class.as_mut().expect("a class is overloaded").calls.push(Type::of(&call));
            }
            LuaDocTag::Type(tag) => {
                let path = variable.as_deref().and_then(|path| path.rsplit_once('.'));
                let (Some((object, name)), Some(value)) = (path, tag.get_type_list().next()) else {
                    continue;
                };
                found.push(Part::Item(Item::Value(Value {
                    object: object.into(),
                    name: name.into(),
                    text: std::mem::take(&mut text),
                    value: Type::of(&value),
                })));
            }
            _ => {}
        }
    }
    match class {
        Some(class) => found.push(Part::Item(Item::Class(class))),
        None if !has_tags => found.push(Part::Text(text)),
        None => {}
    }
}

/// Returns whether a visibility hides something from scripts.
fn is_hidden(visibility: Option<LuaDocVisibilityToken>) -> bool {
    visibility.is_some_and(|token| ["private", "package", "internal"].contains(&token.get_text()))
}

/// Returns the variable that a statement declares or sets, such as `Client` or `bench.status`.
fn variable_of(owner: &LuaAst) -> Option<String> {
    match owner {
        LuaAst::LuaLocalStat(local) => {
            let first = local.get_local_name_list().next()?;
            Some(first.get_name_token()?.get_name_text().into())
        }
        LuaAst::LuaAssignStat(assigned) => {
            assigned.get_var_and_expr_list().0.first().map(LuaAstNode::get_text)
        }
        _ => None,
    }
}

/// Reads a function with its annotations. Returns None for one without any, and for one that is
/// hidden from scripts.
fn function_of(function: &LuaFuncStat) -> Option<Function> {
    let comment = function.get_left_comment()?;
    let (object, name, is_method) = match function.get_func_name()? {
        LuaVarExpr::NameExpr(global) => (String::new(), global.get_name_text()?, false),
        LuaVarExpr::IndexExpr(index) => {
            let LuaExpr::NameExpr(object) = index.get_prefix_expr()? else { return None };
            let LuaIndexKey::Name(name) = index.get_index_key()? else { return None };
            let colon = index.get_index_token().is_some_and(|token| token.is_colon());
            (object.get_name_text()?, name.get_name_text().to_string(), colon)
        }
    };
    let mut found = Function {
        object,
        name,
        is_method,
        text: comment.get_description().map(|text| plain(&text)).unwrap_or_default(),
        generics: Vec::new(),
        parameters: Vec::new(),
        returns: Vec::new(),
        return_text: String::new(),
        overloads: Vec::new(),
    };
    for tag in comment.get_doc_tags() {
        match tag {
            LuaDocTag::Visibility(tag) if is_hidden(tag.get_visibility_token()) => return None,
            LuaDocTag::Generic(generic) => {
                let list = generic.get_generic_decl_list().into_iter();
                let all = list.flat_map(|list| list.get_generic_decl().collect::<Vec<_>>());
                found.generics.extend(all.map(|one| self::name(one.get_name_token())));
            }
            LuaDocTag::Param(parameter) => {
                let is_rest = parameter.is_vararg();
                found.parameters.push(Parameter {
                    name: if is_rest {
                        "...".into()
                    } else {
                        self::name(parameter.get_name_token())
                    },
                    is_optional: parameter.is_nullable(),
                    value: Type::of(&parameter.get_type().expect("a parameter has a type")),
                    text: described(&parameter),
                });
            }
            LuaDocTag::Return(returned) => {
                found.returns.extend(returned.get_types().map(|value| Type::of(&value)));
                found.return_text = described(&returned);
            }
            LuaDocTag::Overload(overload) => {
                let call = overload.get_type().expect("an overload has a type");
                found.overloads.push(Type::of(&call));
            }
            _ => {}
        }
    }
    // A pack of types is declared as one type and used as `T...`.
    let packs: Vec<String> = found
        .returns
        .iter()
        .filter_map(|value| if let Type::Pack(name) = value { Some(name.clone()) } else { None })
        .collect();
    for name in &mut found.generics {
        if packs.contains(name) {
            name.push_str("...");
        }
    }
    Some(found)
}

fn name(token: Option<emmylua_parser::LuaNameToken>) -> String {
    token.expect("it has a name").get_name_text().into()
}

fn described(tag: &impl LuaDocDescriptionOwner) -> String {
    tag.get_description().map(|text| plain(&text)).unwrap_or_default()
}

/// Returns the text of a description, without what makes it a comment.
fn plain(description: &LuaDocDescription) -> String {
    let text = description.get_text();
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.trim_start().trim_start_matches("---").trim_start_matches("--").trim_end())
        .collect();
    // All lines but those in the middle of a comment begin with a space, or none does.
    let is_indented = lines.iter().all(|line| line.is_empty() || line.starts_with(' '));
    let lines: Vec<&str> = lines
        .iter()
        .map(|line| if is_indented { line.get(1..).unwrap_or("") } else { line })
        .collect();
    lines.join("\n").trim().into()
}
