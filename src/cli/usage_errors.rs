//! Advice on a command line that clap refuses. The script that it names can say more than clap
//! knows.

use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Cli;
use super::nearby_files::{advice, first_input, is_input};
use super::typed_line::{TypedLine, without_password};
use super::unknown_arguments::argument_meant;
use crate::backend::registry::Target;
use crate::observability::text::printable;
use crate::protocol::nearest;
use crate::script::{self, ScriptLimits};

const PARAMETER_FLAG: &str = "--param <KEY=VALUE>";
/// The command that asks what a target supports.
const PROBE: [&str; 2] = ["targets", "probe"];
const MAX_CHARS: usize = 80;
/// Maximum number of a script's parameters that an error names.
const MAX_NAMED: usize = 10;

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
        (ErrorKind::InvalidSubcommand, _, Some(name)) => Some(command_meant(&name, &line)),
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
        let mut tips = tips.clone();
        tips.retain(|tip| !tip.to_string().starts_with("to pass '"));
        match tips.is_empty() {
            true => drop(error.remove(ContextKind::Suggested)),
            false => drop(error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips))),
        }
    }
}

/// Advice that is shown beside clap's own suggestions, or in their place.
pub(super) struct Tip {
    pub text: String,
    pub beside_others: bool,
}

impl Tip {
    pub fn instead(text: String) -> Tip {
        Tip { text, beside_others: false }
    }
}

fn how_to_set_parameters(line: &TypedLine) -> String {
    let Some(script) = line.script() else {
        return "write -p name=value; 'smbench run SCRIPT --help' lists the parameters of a script"
            .into();
    };
    let parameters =
        script::describe(Path::new(script), ScriptLimits::default()).unwrap_or_default();
    let script = printable(script, MAX_CHARS);
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
fn command_meant(name: &str, line: &TypedLine) -> Tip {
    let Some(at) = line.words.iter().position(|word| *word == name) else {
        return Tip::instead(commands(line));
    };
    let text = match line.path.is_empty() {
        true => file_meant(name, at, line),
        false => None,
    };
    if let Some(text) = text {
        return Tip::instead(text);
    }
    let is_target = name.contains("://") || Target::parse(name).is_ok();
    if is_target {
        let named = [PROBE[0], PROBE[1], name];
        let probing = line.with_command(&named, at);
        return Tip::instead(format!("to see what a target supports, write '{probing}'"));
    }
    match path_meant(name, line) {
        Some(path) => {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            Tip::instead(format!("did you mean '{}'?", line.with_command(&path, at)))
        }
        None => Tip::instead(commands(line)),
    }
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
    let input = if is_input(path) {
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
    let here: Vec<String> = line.path.iter().map(|word| (*word).to_string()).collect();
    let mut paths = Vec::new();
    for command in Cli::command().get_subcommands() {
        let path = vec![command.get_name().to_string()];
        let nested = command.get_subcommands().map(|nested| nested.get_name().to_string());
        paths.extend(nested.map(|nested| [path.clone(), vec![nested]].concat()));
        paths.push(path);
    }
    let last = |path: &Vec<String>| path.last().cloned().unwrap_or_default();
    let (own, others): (Vec<_>, Vec<_>) =
        paths.into_iter().partition(|path| path[..path.len() - 1] == here);
    let exact = others.iter().find(|path| last(path) == name).cloned();
    exact.or_else(|| {
        [own, others].into_iter().find_map(|paths| {
            let names: Vec<String> = paths.iter().map(last).collect();
            let near = nearest(name, names.iter().map(String::as_str))?.to_string();
            paths.into_iter().find(|path| last(path) == near)
        })
    })
}

fn commands(line: &TypedLine) -> String {
    let names: Vec<&str> = line.command.get_subcommands().map(clap::Command::get_name).collect();
    match line.path.is_empty() {
        true => format!("the commands are {}", names.join(", ")),
        false => format!("the commands of '{}' are {}", line.command_name(), names.join(", ")),
    }
}
