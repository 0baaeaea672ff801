//! The types of LuaCATS, as far as the standard library uses them.

use std::collections::BTreeSet;

use emmylua_parser::{
    LuaAstNode, LuaAstToken, LuaDocObjectFieldKey, LuaDocType, LuaLiteralToken,
    LuaTypeBinaryOperator,
};

use crate::annotations::Key;

#[derive(Clone, Debug)]
pub enum Type {
    Name(String),
    /// The text of a string, without quotation marks.
    Text(String),
    /// A number as it is written.
    Number(String),
    Boolean(bool),
    Array(Box<Type>),
    /// Keys and values of a table.
    Table(Box<Type>, Box<Type>),
    Fields(Vec<(Key, bool, Type)>),
    Function(Box<Signature>),
    Union(Vec<Type>),
    Optional(Box<Type>),
    /// `T...`, the name of a pack of types.
    Pack(String),
}

/// The type of a function.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Name, whether the parameter is optional, and type. The name of the rest is `...`.
    pub parameters: Vec<(String, bool, Type)>,
    pub returns: Vec<Type>,
}

impl Type {
    /// Reads a type.
    ///
    /// # Panics
    /// If it is none that the generators know.
    pub(crate) fn of(read: &LuaDocType) -> Type {
        let unknown = || -> ! { panic!("unknown kind of type: {}", read.get_text()) };
        match read {
            LuaDocType::Name(name) => Type::Name(name.get_name_text().unwrap_or_default()),
            LuaDocType::Literal(literal) => match literal.get_literal() {
                Some(LuaLiteralToken::String(text)) => Type::Text(text.get_value()),
                Some(LuaLiteralToken::Number(number)) => Type::Number(number.get_text().into()),
                Some(LuaLiteralToken::Bool(value)) => Type::Boolean(value.get_text() == "true"),
                Some(LuaLiteralToken::Nil(_)) => Type::Name("nil".into()),
                _ => unknown(),
            },
            LuaDocType::Array(array) => {
                Type::Array(Box::new(Type::of(&array.get_type().unwrap_or_else(|| unknown()))))
            }
            LuaDocType::Nullable(value) => {
                Type::Optional(Box::new(Type::of(&value.get_type().unwrap_or_else(|| unknown()))))
            }
            LuaDocType::Variadic(pack) => {
                Type::Pack(pack.get_type().unwrap_or_else(|| unknown()).get_text())
            }
            LuaDocType::Binary(both) => {
                let is_union = both
                    .get_op_token()
                    .is_some_and(|token| token.get_op() == LuaTypeBinaryOperator::Union);
                let (true, Some((left, right))) = (is_union, both.get_types()) else { unknown() };
                let mut all = Vec::new();
                for side in [left, right] {
                    match Type::of(&side) {
                        Type::Union(more) => all.extend(more),
                        one => all.push(one),
                    }
                }
                Type::Union(all)
            }
            LuaDocType::Generic(generic) => {
                let name = generic.get_name_type().and_then(|name| name.get_name_text());
                let arguments = generic.get_generic_types().into_iter();
                let mut arguments = arguments.flat_map(|list| list.get_types().collect::<Vec<_>>());
                match (name.as_deref(), arguments.next(), arguments.next()) {
                    (Some("table"), Some(key), Some(value)) => {
                        Type::Table(Box::new(Type::of(&key)), Box::new(Type::of(&value)))
                    }
                    _ => unknown(),
                }
            }
            LuaDocType::Object(object) => {
                let fields = object.get_fields().map(|field| {
                    let key = match field.get_field_key().unwrap_or_else(|| unknown()) {
                        LuaDocObjectFieldKey::Name(name) => Key::Name(name.get_name_text().into()),
                        LuaDocObjectFieldKey::String(text) => Key::Name(text.get_value()),
                        LuaDocObjectFieldKey::Integer(number) => {
                            Key::Index(Type::Number(number.get_text().into()))
                        }
                        LuaDocObjectFieldKey::Type(index) => Key::Index(Type::of(&index)),
                    };
                    let value = field.get_type().unwrap_or_else(|| unknown());
                    (key, field.is_nullable(), Type::of(&value))
                });
                Type::Fields(fields.collect())
            }
            LuaDocType::Func(function) => {
                let parameters = function.get_params().map(|parameter| {
                    let name = match parameter.is_dots() {
                        true => "...".into(),
                        false => parameter
                            .get_name_token()
                            .map_or_else(String::new, |name| name.get_name_text().to_string()),
                    };
                    let any = || Type::Name("any".into());
                    let value = parameter.get_type().map_or_else(any, |value| Type::of(&value));
                    (name, parameter.is_nullable(), value)
                });
                let parameters = parameters.collect();
                let returns = function.get_return_type_list().into_iter();
                let returns = returns
                    .flat_map(|list| list.get_return_type_list().collect::<Vec<_>>())
                    .filter_map(|returned| returned.get_name_and_type().1);
                let returns = returns.map(|value| Type::of(&value)).collect();
                Type::Function(Box::new(Signature { parameters, returns }))
            }
            _ => unknown(),
        }
    }

    /// Adds every name in the type to `names`.
    pub fn names(&self, names: &mut BTreeSet<String>) {
        match self {
            Type::Name(name) => {
                names.insert(name.clone());
            }
            Type::Array(of) | Type::Optional(of) => of.names(names),
            Type::Table(key, of) => {
                key.names(names);
                of.names(names);
            }
            Type::Union(all) => all.iter().for_each(|one| one.names(names)),
            Type::Fields(fields) => {
                fields.iter().for_each(|(_, _, value)| value.names(names));
            }
            Type::Function(function) => {
                function.parameters.iter().for_each(|(_, _, value)| value.names(names));
                function.returns.iter().for_each(|value| value.names(names));
            }
            Type::Text(_) | Type::Number(_) | Type::Boolean(_) | Type::Pack(_) => {}
        }
    }
}
