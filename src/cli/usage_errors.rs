//! Advice on a command line that clap refuses. The script that it names can say more than clap
//! knows.

use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Cli;
use super::nearby_files::{advice, is_input};
use crate::observability::text::printable;
use crate::protocol::nearest;
use crate::script::{self, Limits};

const PARAMETER_FLAG: &str = "--param <KEY=VALUE>";
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
    let args: Vec<&str> = args.iter().skip(1).filter_map(|arg| arg.to_str()).collect();
    let tip = match (error.kind(), arg, subcommand) {
        (ErrorKind::UnknownArgument, Some(flag), _) => parameter_meant(&flag, &args),
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, Some(flag), _)
            if flag == PARAMETER_FLAG =>
        {
            Some(Tip::instead(how_to_set_parameters(&args)))
        }
        (ErrorKind::InvalidSubcommand, _, Some(name)) => Some(command_meant(&name, &args)),
        _ => None,
    };
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

/// Returns how to set a parameter of the script, if an unknown flag has the name of one or a
/// similar name.
fn parameter_meant(flag: &str, args: &[&str]) -> Option<Tip> {
    let plain = |name: &str| name.replace('-', "_").to_lowercase();
    let name_of = |arg: &str| arg.split('=').next().unwrap_or_default().to_string();
    // For `-users`, clap names only the first letter.
    let short = |arg: &&str| flag.len() == 2 && arg.starts_with(flag);
    let typed = args.iter().position(|arg| name_of(arg) == flag || short(arg))?;
    let wanted = plain(name_of(args[typed]).trim_start_matches('-'));
    let script = script_in(args)?;
    let parameters = script::describe(Path::new(script), Limits::default()).ok()?;
    let names = || parameters.iter().map(|parameter| parameter.name.as_str());
    let same = names().find(|name| plain(name) == wanted);
    let name = same.or_else(|| nearest(&wanted, names()))?;
    let value = match args[typed].split_once('=') {
        Some((_, value)) => Some(value),
        None => {
            args.get(typed + 1).copied().filter(|next| !next.starts_with('-') && *next != script)
        }
    };
    let value = value.map_or_else(|| "VALUE".to_string(), |value| printable(value, MAX_CHARS));
    let script = printable(script, MAX_CHARS);
    let text = format!("'{name}' is a parameter of {script}: write -p {name}={value}");
    Some(Tip { text, beside_others: same.is_none() })
}

fn how_to_set_parameters(args: &[&str]) -> String {
    let Some(script) = script_in(args) else {
        return "write -p name=value; 'smbench run SCRIPT --help' lists the parameters of a script"
            .into();
    };
    let parameters = script::describe(Path::new(script), Limits::default()).unwrap_or_default();
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
/// a directory, or a command with a similar name.
fn command_meant(name: &str, args: &[&str]) -> Tip {
    let path = Path::new(name);
    let behind = args.iter().position(|arg| *arg == name).map_or(&[][..], |at| &args[at + 1..]);
    let line = |words: &[&str]| {
        let words = ["smbench"].iter().chain(words).chain(behind);
        let words: Vec<String> = words.map(|word| printable(word, MAX_CHARS)).collect();
        words.join(" ")
    };
    if path.is_dir() {
        return Tip::instead(format!("a script is run, not a directory{}", advice(path)));
    }
    let with_extension = format!("{name}.lua");
    if is_input(path) {
        return Tip::instead(format!("to run it, write '{}'", line(&["run", name])));
    }
    if Path::new(&with_extension).is_file() {
        return Tip::instead(format!("to run it, write '{}'", line(&["run", &with_extension])));
    }
    let program = Cli::command();
    let commands: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
    match nearest(name, commands.iter().copied()) {
        Some(near) => Tip::instead(format!("did you mean '{}'?", line(&[near]))),
        None => Tip::instead(format!("the commands are {}", commands.join(", "))),
    }
}

/// Returns the script that a command line names.
fn script_in<'a>(args: &[&'a str]) -> Option<&'a str> {
    let is_script = |arg: &str| {
        let extension = Path::new(arg).extension().unwrap_or_default().to_string_lossy();
        ["lua", "luau"].contains(&extension.to_lowercase().as_str()) && Path::new(arg).is_file()
    };
    args.iter().copied().find(|arg| is_script(arg))
}
