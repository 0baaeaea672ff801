//! The schemas in `schema/`, made from the types whose values they describe.

use std::collections::BTreeSet;
use std::path::Path;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use smbench_test_support::Format;

use super::Summary;

type Object = Map<String, Value>;

/// Compares `schema/<name>.schema.json` with the schema of `T`, after writing it if `SMBENCH_BLESS`
/// is set, and returns the schema.
///
/// # Panics
/// If they differ.
pub(crate) fn checked_in<T: JsonSchema>(name: &str) -> Value {
    let schema = schema_of::<T>();
    let text = format!("{schema:#}\n");
    let file = format!("schema/{name}.schema.json");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
    if std::env::var_os("SMBENCH_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == text,
        "{file} is not the schema of the types; make it anew with: SMBENCH_BLESS=1 cargo test --lib schema"
    );
    schema
}

/// Checks a summary against the schema in `schema/`.
///
/// # Panics
/// If it does not fit.
pub(crate) fn check(summary: &Summary) {
    Format::Summary.check(&serde_json::to_value(summary).expect("a summary is JSON"));
}

fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let Value::Object(mut root) = schema else { panic!("a schema is an object") };
    simplify(&mut root);
    let mut shared = BTreeSet::new();
    close(&mut root, false, &mut shared);
    let mut definitions = match root.remove("$defs") {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    for schema in definitions.values_mut().filter_map(Value::as_object_mut) {
        simplify(schema);
    }
    // A schema that is part of another object is closed there, so such parts come first.
    let composed =
        |name: &str, shared: &BTreeSet<String>| shared.contains(&format!("#/$defs/{name}"));
    let (parts, whole): (Vec<String>, Vec<String>) =
        definitions.keys().cloned().partition(|name| composed(name, &shared));
    for name in parts.iter().chain(&whole) {
        let part = composed(name, &shared);
        let schema = definitions.get_mut(name).and_then(Value::as_object_mut);
        close(schema.expect("a definition is a schema"), part, &mut shared);
    }
    root.insert("$defs".into(), Value::Object(definitions));
    Value::Object(root)
}

/// Simplifies what schemars makes too general, or writes for readers of Rust.
fn simplify(schema: &mut Object) {
    schema.remove("format");
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    if schema.contains_key("enum") {
        schema.remove("minimum");
        schema.remove("maximum");
    }
    never_null(schema);
    by_names(schema);
    describe_tag(schema);
    for_each_part(schema, &mut |part, _| simplify(part));
}

/// Removes null from properties that need not be there: each is absent instead.
fn never_null(schema: &mut Object) {
    let required = schema.get("required").cloned().unwrap_or_else(|| json!([]));
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    let is_required =
        |name: &str| required.as_array().is_some_and(|all| all.contains(&json!(name)));
    for (name, property) in properties {
        let Some(property) = property.as_object_mut().filter(|_| !is_required(name)) else {
            continue;
        };
        if let Some(Value::Array(types)) = property.get_mut("type") {
            types.retain(|one| one != "null");
            if let [one] = &types[..] {
                let one = one.clone();
                property.insert("type".into(), one);
            }
        }
        if let Some(Value::Array(mut options)) = property.remove("anyOf") {
            options.retain(|one| one["type"] != "null");
            match &mut options[..] {
                [Value::Object(one)] => property.append(one),
                _ => drop(property.insert("anyOf".into(), options.into())),
            }
        }
    }
}

/// Gives the key that tells one variant from the others the description of that variant, since
/// serde makes this key and no doc comment can be on it.
fn describe_tag(schema: &mut Object) {
    let Some(description) = schema.get("description").cloned() else { return };
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for tag in properties.values_mut().filter_map(Value::as_object_mut) {
        if tag.contains_key("const") && !tag.contains_key("description") {
            tag.insert("description".into(), description.clone());
        }
    }
}

/// Writes once what schemars repeats for each key of a map whose keys are an enum.
fn by_names(schema: &mut Object) {
    let is_map = schema.get("additionalProperties") == Some(&json!(false));
    let Some(Value::Object(properties)) = schema.get("properties") else { return };
    let Some(value) = properties.values().next().cloned() else { return };
    if is_map && !schema.contains_key("required") && properties.values().all(|one| *one == value) {
        let names: Vec<&String> = properties.keys().collect();
        let names = json!({ "enum": names });
        schema.insert("propertyNames".into(), names);
        schema.insert("additionalProperties".into(), value);
        schema.remove("properties");
    }
}

/// Makes every object refuse keys that its schema does not name. `part` means that the schema is
/// part of an object that is closed as a whole. Adds the references to such parts to `shared`.
fn close(schema: &mut Object, part: bool, shared: &mut BTreeSet<String>) {
    const COMPOSE: [&str; 4] = ["$ref", "allOf", "anyOf", "oneOf"];
    let is_object = schema.contains_key("properties");
    let part_of_one = part || is_object;
    if let Some(Value::String(target)) = schema.get("$ref").filter(|_| part_of_one) {
        shared.insert(target.clone());
    }
    if is_object && !part && !schema.contains_key("additionalProperties") {
        let composed = COMPOSE.iter().any(|keyword| schema.contains_key(*keyword));
        let keyword = if composed { "unevaluatedProperties" } else { "additionalProperties" };
        schema.insert(keyword.into(), json!(false));
    }
    for_each_part(schema, &mut |inner, composed| close(inner, composed && part_of_one, shared));
}

/// Calls `visit` with every schema within `schema`, and with whether both describe the same value.
fn for_each_part(schema: &mut Object, visit: &mut dyn FnMut(&mut Object, bool)) {
    for (keyword, rule) in schema {
        match (keyword.as_str(), rule) {
            ("properties", Value::Object(all)) => {
                all.values_mut().filter_map(Value::as_object_mut).for_each(|one| visit(one, false));
            }
            ("items" | "additionalProperties", Value::Object(one)) => visit(one, false),
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => {
                all.iter_mut().filter_map(Value::as_object_mut).for_each(|one| visit(one, true));
            }
            _ => {}
        }
    }
}

/// Returns the keys of `schema` that neither have a description nor are of a type that has one.
pub(crate) fn undescribed_keys(schema: &Value) -> Vec<String> {
    let mut known = BTreeSet::new();
    describe(schema, "", &mut known);
    let is_described = |one: &Value| one["description"].as_str().is_some_and(|it| !it.is_empty());
    let lacks_description = |at: &String| {
        let key = schema.pointer(at).expect("it was found there");
        let of_type = key["$ref"].as_str().and_then(|target| schema.pointer(&target[1..]));
        !is_described(key) && !of_type.is_some_and(is_described)
    };
    known.into_iter().filter(lacks_description).collect()
}

/// Returns the keys that `schema` describes and that none of `values` has.
pub(crate) fn unused_keys(schema: &Value, values: &[Value]) -> Vec<String> {
    let mut used = BTreeSet::new();
    values.iter().for_each(|value| visit(schema, "", value, &mut used));
    let mut known = BTreeSet::new();
    describe(schema, "", &mut known);
    known.difference(&used).cloned().collect()
}

/// Adds the pointers of all properties below the schema at `at`.
fn describe(schema: &Value, at: &str, known: &mut BTreeSet<String>) {
    let keys: Vec<&String> = schema.as_object().into_iter().flat_map(Map::keys).collect();
    if at.ends_with("/properties") {
        known.extend(keys.iter().map(|key| format!("{at}/{key}")));
    }
    for key in keys {
        describe(&schema[key], &format!("{at}/{key}"), known);
    }
    for (i, one) in schema.as_array().into_iter().flatten().enumerate() {
        describe(one, &format!("{at}/{i}"), known);
    }
}

/// Adds the pointers of those properties of the schema at `at` that `value` has.
fn visit(root: &Value, at: &str, value: &Value, used: &mut BTreeSet<String>) {
    let Some(Value::Object(schema)) = root.pointer(at) else { return };
    for (keyword, rule) in schema {
        let at = format!("{at}/{keyword}");
        match keyword.as_str() {
            "$ref" => {
                let target = rule.as_str().unwrap_or_default().trim_start_matches('#');
                visit(root, target, value, used);
            }
            "properties" => {
                let properties = rule.as_object().into_iter().flat_map(Map::keys);
                for key in properties {
                    if let Some(value) = value.get(key) {
                        let at = format!("{at}/{key}");
                        visit(root, &at, value, used);
                        used.insert(at);
                    }
                }
            }
            "items" => {
                let items = value.as_array().into_iter().flatten();
                items.for_each(|item| visit(root, &at, item, used));
            }
            "additionalProperties" => {
                let values = value.as_object().into_iter().flat_map(Map::values);
                values.for_each(|value| visit(root, &at, value, used));
            }
            "allOf" | "anyOf" | "oneOf" => {
                let options = 0..rule.as_array().map_or(0, Vec::len);
                options.for_each(|i| visit(root, &format!("{at}/{i}"), value, used));
            }
            _ => {}
        }
    }
}

/// Returns copies of `value`, each with an unknown key in one of its objects or null in place of
/// one of its parts, together with the pointer to that place.
pub(crate) fn spoiled(value: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    pointers(value, String::new(), &mut places);
    let mut copies = Vec::new();
    for at in places {
        let spoil = |part: Value| {
            let mut copy = value.clone();
            *copy.pointer_mut(&at).expect("it was found there") = part;
            (at.clone(), copy)
        };
        copies.push(spoil(Value::Null));
        if let Some(Value::Object(object)) = value.pointer(&at) {
            let mut object = object.clone();
            object.insert("mood".into(), json!("good"));
            copies.push(spoil(Value::Object(object)));
        }
    }
    copies
}

fn pointers(value: &Value, at: String, places: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        pointers(value, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), places);
    }
    for (i, value) in value.as_array().into_iter().flatten().enumerate() {
        pointers(value, format!("{at}/{i}"), places);
    }
    places.push(at);
}
