//! The program's commands and their help.

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, CommandFactory, Parser, Subcommand};

use super::args::{Logging, StreamArgs};
use super::compile::CompileArgs;
use super::completions::CompletionsArgs;
use super::definitions::DefinitionsArgs;
use super::library::LibraryArgs;
use super::manual::ManArgs;
use super::new::NewArgs;
use super::run::RunArgs;
use super::scan::ScanArgs;
use super::scripts::ScriptsArgs;
use super::serve::ServeArgs;
use super::targets::TargetsArgs;
use super::test::TestArgs;
use super::validate::ValidateArgs;
use super::watch::WatchArgs;

/// A programmable workload engine for SMB file servers.
#[derive(Debug, Parser)]
#[command(name = "smbench", version, arg_required_else_help = true)]
#[command(after_help = "`smbench <COMMAND> --help` has every flag and its variable.")]
pub struct Cli {
    #[command(flatten)]
    pub logging: Logging,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(Box<RunArgs>),
    Watch(Box<WatchArgs>),
    Compile(Box<CompileArgs>),
    Validate(Box<ValidateArgs>),
    New(NewArgs),
    Definitions(DefinitionsArgs),
    Test(TestArgs),
    Targets(TargetsArgs),
    Scan(ScanArgs),
    Scripts(ScriptsArgs),
    Lib(LibraryArgs),
    Serve(ServeArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

impl Command {
    /// Returns the name and the flags of a command that takes a script or document; None for the
    /// other commands.
    pub fn stream(&self) -> Option<(&'static str, &StreamArgs)> {
        match self {
            Command::Run(args) => Some(("run", &args.stream)),
            Command::Watch(args) => Some(("watch", &args.run.stream)),
            Command::Compile(args) => Some(("compile", &args.stream)),
            Command::Validate(args) => Some(("validate", &args.stream)),
            Command::New(_)
            | Command::Definitions(_)
            | Command::Targets(_)
            | Command::Scan(_)
            | Command::Test(_)
            | Command::Lib(_)
            | Command::Scripts(_)
            | Command::Serve(_)
            | Command::Completions(_)
            | Command::Man(_) => None,
        }
    }

    /// Returns the flags of a command that takes a script or document, to change them; None for the
    /// other commands.
    pub(super) fn stream_mut(&mut self) -> Option<&mut StreamArgs> {
        match self {
            Command::Run(args) => Some(&mut args.stream),
            Command::Watch(args) => Some(&mut args.run.stream),
            Command::Compile(args) => Some(&mut args.stream),
            Command::Validate(args) => Some(&mut args.stream),
            _ => None,
        }
    }

    /// Returns whether `-h` or `--help` is set on a command that takes a script, whose parameters
    /// then follow the help.
    pub fn wants_help(&self) -> bool {
        self.stream().is_some_and(|(_, stream)| stream.help || stream.short_help)
    }

    /// Returns the help of this command, shortened to a screen for `-h`. The caller adds a script's
    /// parameters with [`render_parameters`](super::render_parameters).
    pub fn help(&self) -> clap::builder::StyledStr {
        match self.stream().is_none_or(|(_, stream)| stream.help) {
            true => self.definition(definitions()).render_long_help(),
            false => self.definition(in_short(definitions())).render_help(),
        }
    }

    /// Returns the definition of a command that takes a script or document; for the other commands,
    /// that of the program.
    pub(super) fn definition(&self, mut program: clap::Command) -> clap::Command {
        program.build();
        let command = self.stream().and_then(|(name, _)| program.find_subcommand(name).cloned());
        command.unwrap_or(program)
    }
}

/// Returns the definitions of the program and its commands. Each flag has a variable of its name,
/// such as `SMBENCH_OP_TIMEOUT` for `--op-timeout`.
pub(super) fn definitions() -> clap::Command {
    // `watch` has the flags of `run`, and one of them is what it does anyway.
    let program = Cli::command().mut_subcommands(|command| match command.get_name() {
        "watch" => command.mut_arg("watch", |flag| flag.hide(true)),
        _ => command,
    });
    with_variables(program)
}

/// The command whose flags have no variables: each names a part of one library, and a variable such
/// as `SMBENCH_VERSION` may be set for another purpose.
pub(super) const WITHOUT_VARIABLES: &str = "add";

fn with_variables(command: clap::Command) -> clap::Command {
    if command.get_name() == WITHOUT_VARIABLES {
        return command;
    }
    let with_variable = |arg: Arg| {
        let Some(long) = arg.get_long().filter(|long| *long != "help") else { return arg };
        let variable = format!("SMBENCH_{}", long.to_uppercase().replace('-', "_"));
        let arg = arg.env(variable);
        match arg.get_action() {
            ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
            _ => arg,
        }
    };
    command.mut_args(with_variable).mut_subcommands(with_variables)
}

/// Returns the definitions for `-h`, in which each flag takes one line: variables and the possible
/// values of flags are hidden.
pub(super) fn in_short(command: clap::Command) -> clap::Command {
    let plain = |arg: Arg| {
        let takes_value = arg.get_action().takes_values();
        arg.hide_env(true).hide_possible_values(takes_value)
    };
    command.mut_args(plain).mut_subcommands(in_short)
}
