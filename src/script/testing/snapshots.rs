//! Snapshots: files beside a test file with what a test made when it was written.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use mlua::{Result as LuaResult, Table, Value};

use super::report::SnapshotReport;
use super::text_diff::diff;
use crate::ir::directory::{Directory, OpenError, directory_of};
use crate::protocol::LARGEST_EXACT;
use crate::script::values::{fail, fault, shown, text};

/// The directory beside test files that has a directory for each of them.
const DIRECTORY: &str = "snapshots";
const ENDING: &str = ".jsonl";
/// Maximum size of a snapshot in bytes.
const MAX_BYTES: usize = 16 << 20;
const MAX_NAME_CHARS: usize = 100;
/// Maximum length of a name in bytes. With its ending it fits every file system.
const MAX_NAME_BYTES: usize = 200;
const MAX_DEPTH: usize = 32;
/// Maximum number of files that are looked at to find unused ones.
const MAX_FILES: usize = 10_000;

/// The snapshots of one test file.
pub(super) struct Snapshots {
    /// The directory of the test file.
    beside: PathBuf,
    /// The directory of the snapshots, relative to that.
    directory: PathBuf,
    update: bool,
    on_ci: bool,
    used: RefCell<BTreeSet<String>>,
    report: RefCell<SnapshotReport>,
}

impl Snapshots {
    pub fn new(file: &Path, update: bool, on_ci: bool) -> Snapshots {
        let name = file.file_name().unwrap_or_default();
        Snapshots {
            beside: directory_of(file).into(),
            directory: Path::new(DIRECTORY).join(name),
            update,
            on_ci,
            used: RefCell::default(),
            report: RefCell::default(),
        }
    }

    /// Returns the path of a snapshot as the user would write it.
    fn shown(&self, path: &Path) -> String {
        match self.beside == Path::new(".") {
            true => path.display().to_string(),
            false => self.beside.join(path).display().to_string(),
        }
    }

    /// Compares a value with the snapshot of this name, or writes the snapshot. Returns the problem
    /// if they differ.
    ///
    /// # Errors
    /// The name or the value cannot be those of a snapshot, or the file cannot be used.
    pub fn compare(&self, name: &Value, value: &Value) -> LuaResult<Option<Vec<String>>> {
        let name = checked_name(name)?;
        // Some file systems do not distinguish case.
        if !self.used.borrow_mut().insert(name.to_lowercase()) {
            return fail!(
                "to_match_snapshot: the name {name:?} is used twice in this file (case does not count)"
            );
        }
        let mut lines = Vec::new();
        write_lines(value, &mut lines)?;
        let path = self.directory.join(format!("{name}{ENDING}"));
        let shown = self.shown(&path);
        let wrong = |what: &str, error: &dyn std::fmt::Display| {
            fault(format!("to_match_snapshot: {shown} cannot be {what}: {error}"))
        };
        let directory = Directory::open(&self.beside).map_err(|error| wrong("read", &error))?;
        let before = match directory.regular_file(&path) {
            Ok((file, _)) => {
                let mut text = String::new();
                let most = MAX_BYTES as u64 + 1;
                let read = file.take(most).read_to_string(&mut text);
                match read {
                    // What is no string differs from every value.
                    Err(_) if self.update => {}
                    read => drop(read.map_err(|error| wrong("read", &error))?),
                }
                Some(text.lines().map(String::from).collect::<Vec<_>>())
            }
            Err(OpenError::Unreadable(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                None
            }
            Err(error) => return Err(wrong("read", &error)),
        };
        match &before {
            Some(before) if *before == lines => return Ok(None),
            Some(before) if !self.update => {
                let at = before.iter().zip(&lines).take_while(|(a, b)| a == b).count() + 1;
                let mut problem = vec![format!(
                    "it differs from {shown} at line {at}; if the change is right, run smbench test --update"
                )];
                problem.extend(diff(before, &lines));
                return Ok(Some(problem));
            }
            None if self.on_ci && !self.update => {
                return Ok(Some(vec![format!(
                    "{shown} is missing, and on CI (CI is set) none is written; run the test elsewhere and add the file"
                )]));
            }
            _ => {}
        }
        let mut text = lines.join("\n");
        text.push('\n');
        directory.write_file(&path, text.as_bytes()).map_err(|error| wrong("written", &error))?;
        let mut report = self.report.borrow_mut();
        match before {
            Some(_) => report.updated.push(shown),
            None => report.written.push(shown),
        }
        Ok(None)
    }

    /// Returns the report, with the unused snapshots if every test has run and passed.
    pub fn finish(&self, all_passed: bool) -> SnapshotReport {
        let mut report = self.report.take();
        if all_passed
            && let Ok(directory) = Directory::open(&self.beside)
            && let Ok(names) = directory.file_names(&self.directory, MAX_FILES)
        {
            let used = self.used.borrow();
            let is_unused = |name: &String| {
                name.strip_suffix(ENDING).is_some_and(|name| !used.contains(&name.to_lowercase()))
            };
            let unused = names.into_iter().filter(is_unused);
            report.unused = unused.map(|name| self.shown(&self.directory.join(name))).collect();
            report.unused.sort();
        }
        report
    }
}

/// Returns the name of a snapshot, which is that of its file and cannot lead out of its directory.
fn checked_name(value: &Value) -> LuaResult<String> {
    let name = text(value, "to_match_snapshot: the name")?;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    let length = name.chars().count();
    let is_name = (1..=MAX_NAME_CHARS).contains(&length)
        && name.len() <= MAX_NAME_BYTES
        && name.chars().all(plain)
        && !name.starts_with(['.', ' '])
        && !name.ends_with(['.', ' ']);
    match is_name {
        true => Ok(name),
        false => fail!(
            "to_match_snapshot: {} cannot be the name of a snapshot; write 1 to {MAX_NAME_CHARS} letters, digits, '-', '_', '.' and spaces, at most {MAX_NAME_BYTES} bytes, without a dot or a space at either end",
            shown(value)
        ),
    }
}

/// Writes a list with a line for each element, and any other value on one line.
fn write_lines(value: &Value, lines: &mut Vec<String>) -> LuaResult<()> {
    let mut bytes = 0;
    let mut add = |value: &Value| {
        let mut line = String::new();
        write_json(value, 0, &mut line)?;
        bytes += line.len() + 1;
        lines.push(line);
        match bytes > MAX_BYTES {
            true => fail!("to_match_snapshot: the value takes more than 16 MiB"),
            false => Ok(()),
        }
    };
    match value {
        Value::Table(list) if is_list(list) && list.raw_len() > 0 => {
            for number in 1..=list.raw_len() {
                add(&list.raw_get::<Value>(number)?)?;
            }
            Ok(())
        }
        other => add(other),
    }
}

/// Returns whether the keys of a table are the numbers from 1 to its length. A table without some of
/// these may have as many keys.
fn is_list(table: &Table) -> bool {
    let length = table.raw_len();
    let mut count = 0;
    for pair in table.pairs::<Value, Value>() {
        let number = match pair {
            Ok((Value::Integer(number), _)) => usize::try_from(number).ok(),
            Ok((Value::Number(number), _)) if number.fract() == 0.0 && number >= 1.0 => {
                Some(number as usize)
            }
            _ => None,
        };
        if !number.is_some_and(|number| (1..=length).contains(&number)) {
            return false;
        }
        count += 1;
    }
    count == length
}

fn write_json(value: &Value, depth: usize, line: &mut String) -> LuaResult<()> {
    if depth > MAX_DEPTH {
        return fail!("to_match_snapshot: the tables have more than {MAX_DEPTH} levels");
    }
    if line.len() > MAX_BYTES {
        return fail!("to_match_snapshot: the value takes more than 16 MiB");
    }
    match value {
        Value::Nil => line.push_str("null"),
        Value::Boolean(value) => line.push_str(if *value { "true" } else { "false" }),
        Value::Integer(number) => line.push_str(&number.to_string()),
        Value::Number(number) if number.fract() == 0.0 && number.abs() <= LARGEST_EXACT as f64 => {
            line.push_str(&(*number as i64).to_string());
        }
        Value::Number(number) if number.is_finite() => {
            line.push_str(&serde_json::Value::from(*number).to_string());
        }
        Value::String(text) => match text.to_str() {
            Ok(text) => line.push_str(&serde_json::Value::from(&*text).to_string()),
            Err(_) => return fail!("to_match_snapshot: a string in the value is not UTF-8"),
        },
        Value::Table(table) if table.is_empty() => line.push_str("[]"),
        Value::Table(list) if is_list(list) => {
            line.push('[');
            for number in 1..=list.raw_len() {
                if number > 1 {
                    line.push(',');
                }
                write_json(&list.raw_get::<Value>(number)?, depth + 1, line)?;
            }
            line.push(']');
        }
        Value::Table(table) => write_object(table, depth, line)?,
        other => {
            return fail!(
                "to_match_snapshot: a snapshot holds tables, strings, numbers and booleans, not {}",
                shown(other)
            );
        }
    }
    Ok(())
}

/// Writes the fields of a table, `kind` first and the others by name.
fn write_object(table: &Table, depth: usize, line: &mut String) -> LuaResult<()> {
    let mut fields = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let name = match &key {
            Value::String(name) => name.to_str().map(|name| name.to_string()).ok(),
            _ => None,
        };
        let Some(name) = name else {
            return fail!(
                "to_match_snapshot: a table in the value is neither a list nor a table of named fields: it has the key {}",
                shown(&key)
            );
        };
        fields.push((name != "kind", name, value));
    }
    fields.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    line.push('{');
    for (at, (_, name, value)) in fields.iter().enumerate() {
        if at > 0 {
            line.push(',');
        }
        line.push_str(&serde_json::Value::from(name.as_str()).to_string());
        line.push(':');
        write_json(value, depth + 1, line)?;
    }
    line.push('}');
    Ok(())
}
