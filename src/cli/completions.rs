//! `smbench completions`

use clap::{Args, ValueHint};
use clap_complete::Shell;

/// Print a script that completes commands, flags and files in a shell
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
        bash:  smbench completions bash >~/.local/share/bash-completion/completions/smbench\n\
        zsh:   smbench completions zsh >~/.zfunc/_smbench, with fpath+=~/.zfunc before compinit in ~/.zshrc\n\
        fish:  smbench completions fish >~/.config/fish/completions/smbench.fish\n\
        Parameters of a script (-p) are not completed.")]
pub struct CompletionsArgs {
    /// Shell that the script is for
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Returns the script that completes the command lines of `program` in a shell.
pub(super) fn completions(shell: Shell, program: clap::Command) -> String {
    let mut script = Vec::new();
    let name = program.get_name().to_string();
    clap_complete::generate(shell, &mut with_hints(program), name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Sets, for every argument, whether files, directories or neither complete it.
fn with_hints(command: clap::Command) -> clap::Command {
    let hinted = command.mut_args(|arg| {
        if !arg.get_action().takes_values() {
            return arg;
        }
        let names = arg.get_value_names().unwrap_or_default();
        let hint = match names.first().map(|name| name.as_str()) {
            Some("FILE" | "SCRIPT|DOCUMENT") => ValueHint::FilePath,
            Some("DIR") => ValueHint::DirPath,
            _ => ValueHint::Other,
        };
        arg.value_hint(hint)
    });
    hinted.mut_subcommands(with_hints)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    #[test]
    fn an_argument_that_is_a_path_is_completed_with_one_and_a_parameter_is_not() {
        let program = with_hints(Cli::command());
        let nested = program.get_subcommands().flat_map(clap::Command::get_subcommands);
        let mut hints = Vec::new();
        for command in program.get_subcommands().chain(nested) {
            for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
                let is_path =
                    arg.get_value_parser().type_id() == clap::value_parser!(PathBuf).type_id();
                let hint = arg.get_value_hint();
                let completes = [ValueHint::FilePath, ValueHint::DirPath].contains(&hint);
                assert!(completes || !is_path, "{} {arg}: {hint:?}", command.get_name());
                hints.push((command.get_name(), arg.get_id().as_str(), hint));
            }
        }
        for expected in [
            ("run", "input", ValueHint::FilePath),
            ("run", "out", ValueHint::DirPath),
            ("run", "embedded_dir", ValueHint::DirPath),
            ("run", "params", ValueHint::Other),
            ("compile", "output", ValueHint::FilePath),
            ("probe", "password_file", ValueHint::FilePath),
            ("man", "directory", ValueHint::DirPath),
        ] {
            assert!(hints.contains(&expected), "{expected:?}");
        }
    }
}
