//! Advice on an argument that a command does not have.

use std::path::Path;

use clap::error::ErrorKind;
use clap::{Arg, CommandFactory};

use super::Cli;
use super::typed_line::{TypedLine, shown};
use super::usage_errors::Tip;
use crate::backend::registry::Target;
use crate::protocol::nearest;
use crate::script::{self, ScriptLimits};

/// Flags that users of other tools write with one letter.
const LIKELY: [(char, &str); 6] = [
    ('t', "target"),
    ('d', "duration"),
    ('d', "dir"),
    ('n', "iterations"),
    ('o', "out"),
    ('c', "clients"),
];

/// Returns what to write in place of an argument that the command does not have.
pub(super) fn argument_meant(argument: &str, line: &TypedLine) -> Option<Tip> {
    if !argument.starts_with('-') {
        return word_meant(argument, line).map(Tip::instead);
    }
    let at = line.position(argument)?;
    let only = || negative_value(at, line).or_else(|| short_flag(argument, at, line));
    if let Some(text) = only() {
        return Some(Tip::instead(text));
    }
    if let Some(tip) = parameter_meant(at, line) {
        return Some(tip);
    }
    let text = parameter_of_document(at, line).or_else(|| long_flag(argument, at, line));
    text.or_else(|| flag_of_another_command(argument, line)).map(Tip::instead)
}

/// Returns how to write a parameter or a target that is typed without its flag.
fn word_meant(word: &str, line: &TypedLine) -> Option<String> {
    let is_target = word.contains("://") || Target::parse(word).is_ok();
    if is_target && line.flag("target").is_some() {
        return Some(format!("a target is given with --target: write --target {}", shown(word)));
    }
    let (name, _) = word.split_once('=').filter(|(name, _)| !name.is_empty())?;
    if line.flag("param").is_none() || name.contains(|c: char| !c.is_alphanumeric() && c != '_') {
        return None;
    }
    Some(match line.document() {
        Some(document) => of_document(document, word),
        None => format!("to set a parameter, write -p {}", shown(word)),
    })
}

/// Returns what a flag takes whose value begins with a minus sign, which clap reads as a flag.
fn negative_value(at: usize, line: &TypedLine) -> Option<String> {
    let digits = line.words[at].strip_prefix('-')?;
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || at == 0 {
        return None;
    }
    let flag = line.words[at - 1];
    line.flag_typed(flag).filter(|arg| arg.get_action().takes_values())?;
    // Another required argument is missing here, but clap checks the values first.
    let with_zero = [flag, "0"];
    let zero = ["smbench"].iter().chain(&line.path).chain(&with_zero);
    let refused = Cli::command().try_get_matches_from(zero).err().map(|error| error.kind());
    let takes = match refused {
        Some(ErrorKind::ValueValidation | ErrorKind::InvalidValue) => "a value above 0",
        _ => "0 or a value above it",
    };
    Some(format!("{flag} takes {takes}, and {} is below it", shown(line.words[at])))
}

/// Returns the short flag that is typed with two dashes, as in `--p users=5`.
fn short_flag(argument: &str, at: usize, line: &TypedLine) -> Option<String> {
    let name = argument.strip_prefix("--").filter(|name| name.chars().count() == 1)?;
    let short = format!("-{name}");
    let flag = line.flag_typed(&short)?;
    Some(format!("write {}", with_value(&short, flag, line.value(at))))
}

/// Returns the flag with a long name that was most likely meant with one letter.
fn long_flag(argument: &str, at: usize, line: &TypedLine) -> Option<String> {
    let letter =
        argument.strip_prefix('-').filter(|name| !name.starts_with('-'))?.chars().next()?;
    let likely = LIKELY.iter().filter(|(short, _)| *short == letter);
    let flag = likely.filter_map(|(_, long)| line.flag(long)).next()?;
    let attached = line.words[at].strip_prefix(argument).map(|value| value.trim_start_matches('='));
    let value = attached.filter(|value| !value.is_empty()).or_else(|| line.value(at));
    let long = format!("--{}", flag.get_long()?);
    Some(format!("there is no {argument}: write {}", with_value(&long, flag, value)))
}

fn with_value(name: &str, flag: &Arg, value: Option<&str>) -> String {
    match value.filter(|_| flag.get_action().takes_values()) {
        Some(value) => format!("{name} {}", shown(value)),
        None => name.into(),
    }
}

/// Returns the commands that have a flag that this one has not.
fn flag_of_another_command(argument: &str, line: &TypedLine) -> Option<String> {
    let long = argument.strip_prefix("--")?;
    let program = Cli::command();
    let has =
        |command: &clap::Command| command.get_arguments().any(|arg| arg.get_long() == Some(long));
    let mut having = Vec::new();
    for command in program.get_subcommands() {
        let nested = command.get_subcommands().filter(|nested| has(nested));
        having.extend(
            nested.map(|nested| format!("'smbench {} {}'", command.get_name(), nested.get_name())),
        );
        if has(command) {
            having.push(format!("'smbench {}'", command.get_name()));
        }
    }
    let others = having.join(" and ");
    (!having.is_empty()).then(|| {
        format!("{argument} is a flag of {others}; '{}' has no such flag", line.command_name())
    })
}

/// Returns how to set a parameter of the script, if an unknown flag has the name of one or a
/// similar name.
fn parameter_meant(at: usize, line: &TypedLine) -> Option<Tip> {
    let script = line.script()?;
    let wanted = plain(line.words[at].split('=').next()?.trim_start_matches('-'));
    let parameters = script::describe(Path::new(script), ScriptLimits::default()).ok()?;
    let names = || parameters.iter().map(|parameter| parameter.name.as_str());
    let same = names().find(|name| plain(name) == wanted);
    let name = same.or_else(|| nearest(&wanted, names()))?;
    let value = line.value(at).map_or_else(|| "VALUE".to_string(), shown);
    let text = format!("'{name}' is a parameter of {}: write -p {name}={value}", shown(script));
    Some(Tip { text, beside_others: same.is_none() })
}

/// Returns how to change a parameter of the script that a document was made of, unless the unknown
/// flag is similar to one of the command.
fn parameter_of_document(at: usize, line: &TypedLine) -> Option<String> {
    let document = line.document()?;
    let name = line.words[at].split('=').next()?.strip_prefix("--")?;
    let flags = line.command.get_arguments().filter_map(Arg::get_long);
    if nearest(name, flags).is_some() {
        return None;
    }
    let value = line.value(at).unwrap_or("VALUE");
    Some(of_document(document, &format!("{}={value}", plain(name))))
}

fn of_document(document: &str, parameter: &str) -> String {
    format!(
        "{} is a document, which has no parameters: compile its script anew with -p {}",
        shown(document),
        shown(parameter)
    )
}

/// Returns the name that a parameter has in a script.
fn plain(name: &str) -> String {
    name.replace('-', "_").to_lowercase()
}
