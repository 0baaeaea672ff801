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
    let mut program = with_hints(program);
    clap_complete::generate(shell, &mut program, name, &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => script + &paths_in_bash(&program),
        _ => script,
    }
}

/// Returns an addition to clap's script for bash. Without it, the script offers flags for an empty
/// word in place of a path, and treats `=` as a separate word, because bash passes it so.
fn paths_in_bash(program: &clap::Command) -> String {
    let commands_with = |hint: ValueHint| {
        let takes_path = |command: &&clap::Command| {
            command.get_positionals().any(|argument| argument.get_value_hint() == hint)
        };
        let names = program.get_subcommands().filter(takes_path).map(clap::Command::get_name);
        names.collect::<Vec<_>>().join("|")
    };
    let (files, directories) =
        (commands_with(ValueHint::FilePath), commands_with(ValueHint::DirPath));
    PATHS_IN_BASH.replace("FILES", &files).replace("DIRECTORIES", &directories)
}

/// A wrapper of clap's function. If it leaves `COMPREPLY` empty, bash completes files.
const PATHS_IN_BASH: &str = r#"
_smbench_with_paths() {
    local cur="$2" prev="$3" word paths=""
    [[ "$cur" != "=" ]] || cur=""
    [[ "$prev" != "=" ]] || prev="${COMP_WORDS[COMP_CWORD-2]}"
    _smbench "$1" "$cur" "$prev"
    [[ "$cur" != -* ]] || return 0
    for word in "${COMPREPLY[@]}"; do
        [[ "$word" == -* ]] || return 0
    done
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$word" in
            -*) ;;
            FILES) paths=files; break ;;
            DIRECTORIES) paths=directories; break ;;
            *) break ;;
        esac
    done
    [[ -z "$paths" ]] || COMPREPLY=()
    if [[ "$paths" == directories && "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        compopt -o plusdirs
    fi
}

complete -F _smbench_with_paths -o bashdefault -o default smbench
"#;

/// Sets, for every argument, whether files, directories or neither complete it.
fn with_hints(command: clap::Command) -> clap::Command {
    let hinted = command.mut_args(|arg| {
        if !arg.get_action().takes_values() {
            return arg;
        }
        let names = arg.get_value_names().unwrap_or_default();
        let hint = match names.first().map(|name| name.as_str()) {
            Some("FILE" | "FILE|DIR" | "SCRIPT|DOCUMENT") => ValueHint::FilePath,
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

    use super::super::command::definitions;
    use super::*;

    #[test]
    fn an_argument_that_is_a_path_is_completed_with_one_and_a_parameter_is_not() {
        let program = with_hints(definitions());
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
