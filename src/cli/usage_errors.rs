//! Advice on a command line that clap refuses. The script that it names can say more than clap
//! knows.

use std::ffi::OsString;
use std::path::Path;

use clap::Arg;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::command::definitions;
use super::input_path::InputPath;
use super::nearby_files::{advice, first_input};
use super::typed_line::{TypedLine, quoted, without_password};
use crate::backend::registry::Target;
use crate::ir::foreign_words::SHORT_FLAGS;
use crate::observability::text::printable;
use crate::protocol::nearest;
use crate::script::{self, ScriptLimits};

const PARAMETER_FLAG: &str = "--param <KEY=VALUE>";
const MAX_CHARS: usize = 80;
/// Maximum number of a script's parameters that an error names.
const MAX_NAMED: usize = 10;

/// Advice that is shown beside clap's own suggestions, or in their place.
struct Tip {
    text: String,
    beside_others: bool,
}

impl Tip {
    fn instead(text: String) -> Tip {
        Tip { text, beside_others: false }
    }
}

/// Adds advice to an error about `args`, which begin with the program's name.
pub(super) fn explained(mut error: clap::Error, args: &[OsString]) -> clap::Error {
    let about = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let (arg, subcommand) = (about(ContextKind::InvalidArg), about(ContextKind::InvalidSubcommand));
    let line = TypedLine::new(args);
    let tip = match (error.kind(), arg, subcommand) {
        (ErrorKind::UnknownArgument, Some(argument), _) => argument_meant(&argument, &line),
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, Some(flag), _)
            if flag == PARAMETER_FLAG =>
        {
            Some(Tip::instead(how_to_set_parameters(&line)))
        }
        (ErrorKind::InvalidSubcommand, _, Some(name)) => {
            Some(Tip::instead(command_meant(&name, &line)))
        }
        _ => None,
    };
    remove_passwords(&mut error);
    remove_tip_to_pass_as_value(&mut error);
    if let Some(tip) = tip {
        if !tip.beside_others {
            error.remove(ContextKind::SuggestedArg);
            error.remove(ContextKind::SuggestedSubcommand);
        }
        let text = StyledStr::from(tip.text);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![text]));
    }
    error
}

/// Removes the passwords of URLs from what the error quotes.
fn remove_passwords(error: &mut clap::Error) {
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue]
    {
        if let Some(ContextValue::String(text)) = error.get(kind) {
            let text = without_password(text);
            error.insert(kind, ContextValue::String(text));
        }
    }
}

/// Removes clap's advice to write a flag behind `--`. The only word there is the script or
/// document, or the target, so the advice leads to another error.
fn remove_tip_to_pass_as_value(error: &mut clap::Error) {
    if let Some(ContextValue::StyledStrs(tips)) = error.get(ContextKind::Suggested) {
        let to_pass = |tip: &StyledStr| tip.to_string().starts_with("to pass '");
        let tips: Vec<_> = tips.iter().filter(|tip| !to_pass(tip)).cloned().collect();
        match tips.is_empty() {
            true => drop(error.remove(ContextKind::Suggested)),
            false => drop(error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips))),
        }
    }
}

fn how_to_set_parameters(line: &TypedLine) -> String {
    let Some(script) = line.script() else {
        return "write -p name=value; 'smbench run SCRIPT --help' lists the parameters of a script"
            .into();
    };
    let parameters = script::describe(&script, ScriptLimits::default()).unwrap_or_default();
    let script = printable(&script.to_string(), MAX_CHARS);
    let Some(first) = parameters.first() else {
        return format!("write -p name=value; {script} declares no parameters");
    };
    let named: Vec<&str> =
        parameters.iter().take(MAX_NAMED).map(|parameter| parameter.name.as_str()).collect();
    let more = if parameters.len() > named.len() { ", …" } else { "" };
    format!(
        "write -p name=value, as in -p {}={}; {script} has the parameters {}{more}",
        first.name,
        printable(&first.default, MAX_CHARS),
        named.join(", "),
    )
}

/// Returns advice on an unknown command: to write `run` before a script or document, the scripts in
/// a directory, or the command that was most likely meant.
fn command_meant(name: &str, line: &TypedLine) -> String {
    let Some(at) = line.words.iter().position(|word| *word == name) else {
        return commands(line);
    };
    if line.path.is_empty()
        && let Some(advice) = file_meant(name, at, line)
    {
        return advice;
    }
    if name.contains("://") || Target::parse(name).is_ok() {
        let probing = line.with_command(&["targets", "probe", name], at);
        return format!("to see what a target supports, write '{probing}'");
    }
    let Some(path) = path_meant(name, line) else { return commands(line) };
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    format!("did you mean '{}'?", line.with_command(&path, at))
}

/// Returns advice on a script, document or directory in the place of a command.
fn file_meant(name: &str, at: usize, line: &TypedLine) -> Option<String> {
    let path = Path::new(name);
    if path.is_dir() {
        let advice = advice(path);
        let advice = advice.trim_start_matches(": ");
        let Some(first) = first_input(path) else { return Some(advice.into()) };
        let running = line.with_command(&["run", &first.display().to_string()], at);
        return Some(format!("{advice}; to run a script in it, write '{running}'"));
    }
    let with_extension = format!("{name}.lua");
    let is_ready_workload = InputPath::existing(name).is_some();
    let input = if is_ready_workload || InputPath::of(path).is_some() {
        name
    } else if Path::new(&with_extension).is_file() {
        &with_extension
    } else {
        return None;
    };
    Some(format!("to run it, write '{}'", line.with_command(&["run", input], at)))
}

/// Returns the path of the command that was most likely meant: one where the error arose, or one of
/// that name elsewhere.
fn path_meant(name: &str, line: &TypedLine) -> Option<Vec<String>> {
    let last = |path: &Vec<String>| path.last().cloned().unwrap_or_default();
    let paths = all_commands().into_iter().map(|(path, _)| path);
    let (own, others): (Vec<_>, Vec<_>) =
        paths.partition(|path| path[..path.len() - 1] == line.path);
    let exact = others.iter().find(|path| last(path) == name).cloned();
    exact.or_else(|| {
        [own, others].into_iter().find_map(|paths| {
            let names: Vec<String> = paths.iter().map(last).collect();
            let near = nearest(name, names.iter().map(String::as_str))?.to_string();
            paths.into_iter().find(|path| last(path) == near)
        })
    })
}

/// Returns the program's commands with their paths, each behind its subcommands.
fn all_commands() -> Vec<(Vec<String>, clap::Command)> {
    let mut commands = Vec::new();
    for command in definitions().get_subcommands() {
        let name = command.get_name().to_string();
        let nested = command.get_subcommands();
        commands.extend(
            nested.map(|nested| (vec![name.clone(), nested.get_name().into()], nested.clone())),
        );
        commands.push((vec![name], command.clone()));
    }
    commands
}

fn commands(line: &TypedLine) -> String {
    let names: Vec<&str> = line.command.get_subcommands().map(clap::Command::get_name).collect();
    match line.path.is_empty() {
        true => format!("the commands are {}", names.join(", ")),
        false => format!("the commands of '{}' are {}", line.command_name(), names.join(", ")),
    }
}

/// Returns what to write in place of an argument that the command does not have.
fn argument_meant(argument: &str, line: &TypedLine) -> Option<Tip> {
    if !argument.starts_with('-') {
        return word_meant(argument, line).map(Tip::instead);
    }
    let at = line.position(argument)?;
    let only = negative_value(at, line).or_else(|| short_flag(argument, at, line));
    only.map(Tip::instead).or_else(|| parameter_meant(at, line)).or_else(|| {
        let text = parameter_of_document(at, line).or_else(|| long_flag(argument, at, line));
        text.or_else(|| flag_of_another_command(argument, line)).map(Tip::instead)
    })
}

/// Returns how to write a parameter or a target that is typed without its flag.
fn word_meant(word: &str, line: &TypedLine) -> Option<String> {
    let is_target = word.contains("://") || Target::parse(word).is_ok();
    if is_target && line.flag("target").is_some() {
        return Some(format!("a target is given with --target: write --target {}", quoted(word)));
    }
    let (name, _) = word.split_once('=').filter(|(name, _)| !name.is_empty())?;
    if line.flag("param").is_none() || name.contains(|c: char| !c.is_alphanumeric() && c != '_') {
        return None;
    }
    Some(match line.document() {
        Some(document) => of_document(document, word),
        None => format!("to set a parameter, write -p {}", quoted(word)),
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
    let refused = definitions().try_get_matches_from(zero).err().map(|error| error.kind());
    let takes = match refused {
        Some(ErrorKind::ValueValidation | ErrorKind::InvalidValue) => "a value above 0",
        _ => "0 or a value above it",
    };
    Some(format!("{flag} takes {takes}, and {} is below it", quoted(line.words[at])))
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
    let name = argument.strip_prefix('-').filter(|name| !name.starts_with('-'))?;
    let letter = name.get(..name.chars().next()?.len_utf8())?;
    let flag = SHORT_FLAGS.all(letter).find_map(|long| line.flag(long))?;
    let attached = line.words[at].strip_prefix(argument).map(|value| value.trim_start_matches('='));
    let value = attached.filter(|value| !value.is_empty()).or_else(|| line.value(at));
    let long = format!("--{}", flag.get_long()?);
    Some(format!("there is no {argument}: write {}", with_value(&long, flag, value)))
}

fn with_value(name: &str, flag: &Arg, value: Option<&str>) -> String {
    match value.filter(|_| flag.get_action().takes_values()) {
        Some(value) => format!("{name} {}", quoted(value)),
        None => name.into(),
    }
}

/// Returns the commands that have a flag that this one has not.
fn flag_of_another_command(argument: &str, line: &TypedLine) -> Option<String> {
    let long = argument.strip_prefix("--")?;
    let has =
        |command: &clap::Command| command.get_arguments().any(|arg| arg.get_long() == Some(long));
    let having = all_commands().into_iter().filter(|(_, command)| has(command));
    let others: Vec<String> =
        having.map(|(path, _)| format!("'smbench {}'", path.join(" "))).collect();
    (!others.is_empty()).then(|| {
        let (others, here) = (others.join(" and "), line.command_name());
        format!("{argument} is a flag of {others}; '{here}' has no such flag")
    })
}

/// Returns how to set a parameter of the script, if an unknown flag has the name of one or a
/// similar name.
fn parameter_meant(at: usize, line: &TypedLine) -> Option<Tip> {
    let script = line.script()?;
    let wanted = plain(line.words[at].split('=').next()?.trim_start_matches('-'));
    let parameters = script::describe(&script, ScriptLimits::default()).ok()?;
    let names = || parameters.iter().map(|parameter| parameter.name.as_str());
    let same = names().find(|name| plain(name) == wanted);
    let name = same.or_else(|| nearest(&wanted, names()))?;
    let value = line.value(at).map_or_else(|| "VALUE".to_string(), quoted);
    let text = format!(
        "'{name}' is a parameter of {}: write -p {name}={value}",
        quoted(&script.to_string())
    );
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
    if name == "iterations" {
        return Some(format!(
            "--iterations makes no difference to the check of {}: give it to run or compile",
            quoted(document)
        ));
    }
    let value = line.value(at).unwrap_or("VALUE");
    Some(of_document(document, &format!("{}={value}", plain(name))))
}

fn of_document(document: &str, parameter: &str) -> String {
    format!(
        "{} is a document, which has no parameters: compile its script anew with -p {}",
        quoted(document),
        quoted(parameter)
    )
}

/// Returns the name that a parameter has in a script.
fn plain(name: &str) -> String {
    name.replace('-', "_").to_lowercase()
}
