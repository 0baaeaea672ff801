//! Reads values of a TOML file. Each error names the line and the key.

use std::collections::BTreeMap;
use std::ops::Range;

use toml_edit::{Document, Item, Table, TableLike, Value};

use crate::protocol::nearest;
use crate::protocol::shortened;

/// Maximum number of characters of a key or value that an error quotes.
const MAX_SHOWN: usize = 60;

/// A value and the number of its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated<T> {
    pub value: T,
    pub line: usize,
}

/// A TOML file.
pub struct Reader<'a> {
    /// The path of the file as errors write it.
    shown: &'a str,
    /// The offset at which each line begins.
    line_starts: Vec<usize>,
    document: Document<String>,
}

/// A table of the file.
pub struct TomlTable<'a> {
    reader: &'a Reader<'a>,
    table: &'a dyn TableLike,
    /// The keys that lead to it, each followed by a dot.
    prefix: String,
    line: usize,
}

impl<'a> Reader<'a> {
    /// Parses `text`, which has at most `most` bytes. Errors call the file `shown`.
    ///
    /// # Errors
    /// A message with the line if it is not TOML.
    pub fn new(text: &'a str, shown: &'a str, most: u64) -> Result<Reader<'a>, String> {
        if text.len() as u64 > most {
            return Err(format!("{shown}: it has more than {most} bytes, the most it may have"));
        }
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts: Vec<usize> = std::iter::once(0).chain(ends).collect();
        let document = text.parse::<Document<String>>().map_err(|error| {
            let line = line_at(&line_starts, error.span());
            let problem = error.message().trim().replace('\n', "; ");
            format!("{shown}:{line}: {problem}")
        })?;
        Ok(Reader { shown, line_starts, document })
    }

    /// Returns the table of the whole file.
    pub fn root(&'a self) -> TomlTable<'a> {
        let table = self.document.as_table();
        TomlTable { reader: self, table, prefix: String::new(), line: 1 }
    }
}

/// Returns the number of the line, from 1, in which a range of the file begins.
fn line_at(line_starts: &[usize], range: Option<Range<usize>>) -> usize {
    let start = range.map_or(0, |range| range.start);
    line_starts.partition_point(|line| *line <= start).max(1)
}

impl<'a> TomlTable<'a> {
    /// Returns the number of the section's first line.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Returns an error about the section as a whole.
    pub fn wrong(&self, problem: &str) -> String {
        self.error(self.line, self.prefix.trim_end_matches('.'), problem)
    }

    /// Returns an error about the key `key` in line `line`.
    pub fn wrong_at(&self, line: usize, key: &str, problem: &str) -> String {
        self.error(line, &format!("{}{}", self.prefix, shortened(key, MAX_SHOWN)), problem)
    }

    fn error(&self, line: usize, key: &str, problem: &str) -> String {
        let shown = self.reader.shown;
        match key {
            "" => format!("{shown}:{line}: {problem}"),
            key => format!("{shown}:{line}: {}: {problem}", key.escape_debug()),
        }
    }

    /// Refuses keys other than `known`.
    ///
    /// # Errors
    /// A message that names the first unknown key and the one that was most likely meant.
    pub fn check_keys(&self, known: &[&str]) -> Result<(), String> {
        let Some((key, _)) = self.table.iter().find(|(key, _)| !known.contains(key)) else {
            return Ok(());
        };
        let meant = match nearest(key, known.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("the keys here are {}", known.join(", ")),
        };
        Err(self.wrong_at(self.line_of(key), key, &format!("there is no such key; {meant}")))
    }

    /// Checks the last key that leads to this section.
    ///
    /// # Errors
    /// The error of `check`, with the line.
    pub fn check_name(
        &self,
        name: &str,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Result<(), String> {
        check(name).map_err(|problem| self.wrong(&problem))
    }

    fn line_of(&self, key: &str) -> usize {
        let key_range = self.table.get_key_value(key).and_then(|(key, _)| key.span());
        let range = key_range.or_else(|| self.table.get(key).and_then(Item::span));
        // The key of an implicit table, such as `a` in `[a.b]`, has no position.
        range.map_or(self.line, |range| line_at(&self.reader.line_starts, Some(range)))
    }

    /// Returns the table at `key`; None if there is none.
    ///
    /// # Errors
    /// A message if another type of value is there.
    pub fn section(&self, key: &str) -> Result<Option<TomlTable<'a>>, String> {
        let Some(item) = self.table.get(key) else { return Ok(None) };
        let line = self.line_of(key);
        let table = item
            .as_table_like()
            .ok_or_else(|| self.wrong_at(line, key, "it is not a table of keys and values"))?;
        let prefix = format!("{}{}.", self.prefix, shortened(key, MAX_SHOWN));
        Ok(Some(TomlTable { reader: self.reader, table, prefix, line }))
    }

    /// Returns the tables in the table at `key`, with their names.
    ///
    /// # Errors
    /// A message if another type of value is there.
    pub fn sections(&self, key: &str) -> Result<Vec<(String, TomlTable<'a>)>, String> {
        let Some(section) = self.section(key)? else { return Ok(Vec::new()) };
        let mut sections = Vec::new();
        for name in section.keys() {
            sections.extend(section.section(&name)?.map(|inner| (name, inner)));
        }
        Ok(sections)
    }

    /// Returns the tables of the array of tables at `key`; none if there is no such key.
    ///
    /// # Errors
    /// A message if another type of value is there.
    pub fn elements(&self, key: &str) -> Result<Vec<TomlTable<'a>>, String> {
        let Some(item) = self.table.get(key) else { return Ok(Vec::new()) };
        let tables = item.as_array_of_tables().ok_or_else(|| {
            self.wrong_at(self.line_of(key), key, "it is not an array of tables, [[…]]")
        })?;
        let section = |table: &'a Table| TomlTable {
            reader: self.reader,
            table,
            prefix: format!("{}{key}.", self.prefix),
            line: line_at(&self.reader.line_starts, table.span()),
        };
        Ok(tables.iter().map(section).collect())
    }

    /// Returns the keys of the table.
    pub fn keys(&self) -> Vec<String> {
        self.table.iter().map(|(key, _)| key.to_string()).collect()
    }

    /// Returns the string at `key`; None if there is none.
    ///
    /// # Errors
    /// A message if another type of value is there.
    pub fn string(&self, key: &str) -> Result<Option<Stated<String>>, String> {
        self.parsed(key, |text| Ok(text.to_string()))
    }

    /// Returns the string at `key` if it passes `check`; None if there is none.
    ///
    /// # Errors
    /// The error of `check`, with the line and the key.
    pub fn checked(
        &self,
        key: &str,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Result<Option<Stated<String>>, String> {
        self.parsed(key, |text| check(text).map(|()| text.to_string()))
    }

    /// Returns the result of parsing the string at `key`; None if there is none.
    ///
    /// # Errors
    /// The error of `parse`, with the line and the key.
    pub fn parsed<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<Stated<T>>, String> {
        let Some(item) = self.table.get(key) else { return Ok(None) };
        let line = self.line_of(key);
        let text = item.as_str().ok_or_else(|| {
            self.wrong_at(line, key, "it is not a string; write it between quotation marks")
        })?;
        match parse(text) {
            Ok(value) => Ok(Some(Stated { value, line })),
            Err(problem) => {
                let quoted = shortened(text, MAX_SHOWN);
                Err(self.wrong_at(line, key, &format!("{quoted:?}: {problem}")))
            }
        }
    }

    /// Returns the strings of the array at `key`; none if there is no such key.
    ///
    /// # Errors
    /// A message if another type of value is there.
    pub fn strings(&self, key: &str) -> Result<Vec<Stated<String>>, String> {
        let Some(item) = self.table.get(key) else { return Ok(Vec::new()) };
        let wrong = || self.wrong_at(self.line_of(key), key, "it is not an array of strings");
        let array = item.as_array().ok_or_else(wrong)?;
        let strings = array.iter().map(|value| {
            let line = line_at(&self.reader.line_starts, value.span());
            value.as_str().map(|text| Stated { value: text.into(), line }).ok_or_else(wrong)
        });
        strings.collect()
    }

    /// Returns all values of the table as strings. The keys of a table in it are joined with dots.
    ///
    /// # Errors
    /// A message if a value is neither a string, a number nor a boolean.
    pub fn scalars(&self) -> Result<BTreeMap<String, Stated<String>>, String> {
        let mut scalars = BTreeMap::new();
        self.add_scalars("", &mut scalars)?;
        Ok(scalars)
    }

    fn add_scalars(
        &self,
        before: &str,
        scalars: &mut BTreeMap<String, Stated<String>>,
    ) -> Result<(), String> {
        for (key, item) in self.table.iter() {
            let (name, line) = (format!("{before}{key}"), self.line_of(key));
            let value = match item {
                Item::Value(Value::String(text)) => text.value().clone(),
                Item::Value(Value::Integer(number)) => number.value().to_string(),
                // As it is written: a string parameter may be set to 1.10.
                Item::Value(Value::Float(number)) => number.display_repr().replace('_', ""),
                Item::Value(Value::Boolean(value)) => value.value().to_string(),
                _ => match self.section(key) {
                    Ok(Some(inner)) => {
                        inner.add_scalars(&format!("{name}."), scalars)?;
                        continue;
                    }
                    _ => {
                        let problem = "it is neither a string, a number, true nor false";
                        return Err(self.wrong_at(line, key, problem));
                    }
                },
            };
            if scalars.insert(name, Stated { value, line }).is_some() {
                return Err(self.wrong_at(line, key, "it is given twice"));
            }
        }
        Ok(())
    }
}
