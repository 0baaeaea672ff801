//! Lua values as text, for messages and diffs: the same for equal values, bounded, and without
//! calls into the script.

use std::ffi::c_void;

use mlua::{Table, Value};

/// Maximum length of a value within a message, in bytes.
const MAX_INLINE: usize = 200;
/// Number of elements up to which the beginning of a list that does not fit is shown.
const MOST_SHOWN: usize = 3;
/// Maximum length of a table that is written on one line of a diff, in bytes.
const MAX_LINE: usize = 100;
/// Maximum size of a value that is written over many lines.
const MAX_LINES: usize = 5_000;
const MAX_BYTES: usize = 512 << 10;
const MAX_DEPTH: usize = 32;
/// Longest string in a diff, in characters.
const MAX_STRING_CHARS: usize = 2_000;

/// A key of a table, in the order in which tables are written and compared: numbers, then strings,
/// then everything else.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(super) enum Key {
    Number(f64),
    Text(String),
    Other(String),
}

impl Key {
    pub fn of(value: &Value) -> Key {
        match value {
            Value::Integer(number) => Key::Number(*number as f64),
            Value::Number(number) => Key::Number(*number),
            Value::String(text) => Key::Text(text.to_string_lossy()),
            // A table is not looked into, because it may contain the table that it is a key of.
            other => Key::Other(scalar(other, MAX_INLINE)),
        }
    }

    /// Returns the key as the last part of a path such as `[2].path`.
    pub fn as_path(&self) -> String {
        match self {
            Key::Number(number) => format!("[{number}]"),
            Key::Text(text) if is_name(text) => format!(".{text}"),
            Key::Text(text) => format!("[{text:?}]"),
            Key::Other(text) => format!("[{text}]"),
        }
    }

    fn as_field(&self) -> String {
        match self {
            Key::Text(text) if is_name(text) => text.clone(),
            other => other.as_path(),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns the entries of a table, in the order of their keys.
pub(super) fn entries(table: &Table) -> Vec<(Key, Value, Value)> {
    let mut entries: Vec<(Key, Value, Value)> = (table.pairs::<Value, Value>())
        .filter_map(Result::ok)
        .map(|(key, value)| (Key::of(&key), key, value))
        .collect();
    entries.sort_by(|(a, ..), (b, ..)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    entries
}

/// Returns a value on one line: shortened if it is long, and of a long list only the length.
pub(super) fn inline(value: &Value) -> String {
    on_one_line(value, MAX_INLINE).unwrap_or_else(|shortened| match value {
        Value::Table(list) if list.raw_len() > MOST_SHOWN => {
            format!("a list of {} elements", list.raw_len())
        }
        _ => shortened,
    })
}

/// Returns the value on one line of at most `most` bytes, or else the beginning of it.
fn on_one_line(value: &Value, most: usize) -> Result<String, String> {
    let mut line = String::new();
    match write_inline(value, most, &mut Vec::new(), &mut line) {
        true => Ok(line),
        false => Err(line + " …"),
    }
}

/// Returns false once the line is too long.
fn write_inline(
    value: &Value,
    most: usize,
    around: &mut Vec<*const c_void>,
    line: &mut String,
) -> bool {
    let Value::Table(table) = value else {
        let text = scalar(value, most.min(MAX_STRING_CHARS));
        *line += &text;
        return line.len() <= most && !text.ends_with('…');
    };
    if around.contains(&table.to_pointer()) {
        *line += "<a table around it>";
        return true;
    }
    if around.len() >= MAX_DEPTH {
        return false;
    }
    // A long table is not sorted for the few entries that fit.
    if table.pairs::<Value, Value>().take(most).count() >= most {
        *line += "{ …";
        return false;
    }
    around.push(table.to_pointer());
    let entries = entries(table);
    *line += if entries.is_empty() { "{" } else { "{ " };
    for (at, (key, _, value)) in entries.iter().enumerate() {
        if at > 0 {
            *line += ", ";
        }
        if *key != Key::Number(at as f64 + 1.0) {
            *line += &key.as_field();
            *line += " = ";
        }
        if line.len() > most || !write_inline(value, most, around, line) {
            around.pop();
            return false;
        }
    }
    around.pop();
    *line += if entries.is_empty() { "}" } else { " }" };
    line.len() <= most
}

/// Returns a value that is no table.
fn scalar(value: &Value, most_chars: usize) -> String {
    match value {
        Value::Nil => "nil".into(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let text = text.to_string_lossy();
            match text.char_indices().nth(most_chars) {
                Some((end, _)) => format!("{:?}…", &text[..end]),
                None => format!("{text:?}"),
            }
        }
        Value::LightUserData(_) => "a handle".into(),
        Value::UserData(_) => "an object".into(),
        other => format!("a {}", other.type_name()),
    }
}

/// Returns a value over as many lines as it needs, in a form that can be compared line by line.
pub(super) fn lines(value: &Value) -> Vec<String> {
    if let Value::String(text) = value
        && text.as_bytes().contains(&b'\n')
    {
        let text = text.to_string_lossy();
        return text.split('\n').take(MAX_LINES).map(String::from).collect();
    }
    let mut writer = Lines { lines: vec![String::new()], bytes: 0, around: Vec::new() };
    writer.write(value);
    writer.lines
}

struct Lines {
    lines: Vec<String>,
    bytes: usize,
    around: Vec<*const c_void>,
}

impl Lines {
    fn is_full(&self) -> bool {
        self.lines.len() >= MAX_LINES || self.bytes >= MAX_BYTES
    }

    fn append(&mut self, text: &str) {
        self.bytes += text.len();
        if let Some(line) = self.lines.last_mut() {
            line.push_str(text);
        }
    }

    fn start_line(&mut self) {
        let indent = "  ".repeat(self.around.len());
        self.bytes += indent.len();
        self.lines.push(indent);
    }

    fn write(&mut self, value: &Value) {
        let inline = on_one_line(value, MAX_LINE);
        let table = match (value, inline) {
            (_, Ok(line)) => return self.append(&line),
            (Value::Table(table), Err(_)) => table,
            (other, Err(_)) => {
                let text = scalar(other, MAX_STRING_CHARS);
                return self.append(&text);
            }
        };
        if self.around.contains(&table.to_pointer()) || self.around.len() >= MAX_DEPTH {
            return self.append("{ … }");
        }
        self.append("{");
        self.around.push(table.to_pointer());
        for (at, (key, _, value)) in entries(table).iter().enumerate() {
            self.start_line();
            if self.is_full() {
                self.append("…");
                break;
            }
            if *key != Key::Number(at as f64 + 1.0) {
                self.append(&key.as_field());
                self.append(" = ");
            }
            self.write(value);
            self.append(",");
        }
        self.around.pop();
        self.start_line();
        self.append("}");
    }
}
