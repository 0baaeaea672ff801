//! `smbench man`

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::observability::results::missing_parent;

/// Print the manual page, or write those of all commands
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
        smbench man | man -l -                    reads the page of the program\n\
        smbench man ~/.cargo/share/man/man1       installs all pages: man smbench, man smbench-run\n\
        (mkdir -p ~/.cargo/share/man before, if there is none)\n\
        man looks beside the directories of PATH: for ~/.cargo/bin in ~/.cargo/share/man.")]
pub struct ManArgs {
    /// Directory to write all pages into, one for each command; made if there is none
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// Returns the manual page of `program`.
pub(super) fn page(program: clap::Command) -> io::Result<String> {
    let mut program = with_pages(program);
    program.build();
    rendered(program)
}

/// Writes the manual pages of `program` and of each of its commands into `directory`.
pub(super) fn write_pages(program: clap::Command, directory: &Path) -> io::Result<()> {
    if let Some(parent) = missing_parent(directory) {
        let parent = parent.display();
        return Err(io::Error::other(format!("there is no directory {parent}; create it first")));
    }
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut program = with_pages(program);
    program.build();
    pages(program).into_iter().try_for_each(|command| {
        let file = Man::new(command.clone()).get_filename();
        std::fs::write(directory.join(file), rendered(command)?)
    })
}

/// Returns a command and all below it.
fn pages(command: clap::Command) -> Vec<clap::Command> {
    let below: Vec<_> = command.get_subcommands().cloned().flat_map(pages).collect();
    [command].into_iter().chain(below).collect()
}

/// Removes the command `help`, which needs no page of its own, and lets each page describe the flags
/// that `-h` leaves out.
fn with_pages(program: clap::Command) -> clap::Command {
    let shown = program.mut_args(|argument| argument.hide_short_help(false));
    shown.disable_help_subcommand(true).mut_subcommands(with_pages)
}

/// Renders a page like [`Man::render`], except that each line after the help keeps a line of its
/// own and no word is divided.
fn rendered(command: clap::Command) -> io::Result<String> {
    let after = command.get_after_long_help().or_else(|| command.get_after_help());
    let after = after.map(ToString::to_string);
    let (has_arguments, has_commands) =
        (command.get_arguments().next().is_some(), command.has_subcommands());
    let has_version = command.get_version().is_some();
    let man = Man::new(command);

    let mut page = Vec::new();
    man.render_title(&mut page)?;
    let mut undivided = Roff::new();
    undivided.control("nh", []).control("ad", ["l"]);
    undivided.to_writer(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if has_arguments {
        man.render_options_section(&mut page)?;
    }
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(after) = after {
        let mut extra = Roff::new();
        extra.control("SH", ["EXTRA"]);
        for line in after.lines() {
            extra.text([roman(line)]).control("br", []);
        }
        extra.to_writer(&mut page)?;
    }
    if has_version {
        man.render_version_section(&mut page)?;
    }
    Ok(String::from_utf8_lossy(&page).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::command::definitions;
    use super::*;

    /// Returns every page, as plain text, with its command.
    fn texts() -> Vec<(clap::Command, String)> {
        let mut program = with_pages(definitions());
        program.build();
        let text = |command: clap::Command| {
            let page = rendered(command.clone()).unwrap();
            let text = page.replace("\\-", "-").replace("\\*(Aq", "'").replace("\\&", "");
            (command, text.replace("\\fB", "").replace("\\fI", "").replace("\\fR", ""))
        };
        pages(program).into_iter().map(text).collect()
    }

    #[test]
    fn every_argument_has_its_help_and_its_variable_in_the_page_of_its_command() {
        for (command, text) in texts() {
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                let help = argument.get_long_help().or_else(|| argument.get_help());
                let help = help.expect("it has help").to_string();
                let first = help.lines().next().unwrap();
                assert!(text.contains(first), "{} {argument}: {first}\n{text}", command.get_name());
                if let Some(variable) = argument.get_env().and_then(|name| name.to_str()) {
                    let sentence = format!("with the {variable} environment variable");
                    assert!(text.contains(&sentence), "{} {argument}\n{text}", command.get_name());
                }
            }
        }
    }

    #[test]
    fn each_line_after_the_help_keeps_its_line_and_no_word_is_divided() {
        for (command, text) in texts() {
            assert!(text.contains("\n.nh\n"), "{text}");
            let after = command.get_after_long_help().or_else(|| command.get_after_help());
            let after = after.map(ToString::to_string).unwrap_or_default();
            for line in after.lines() {
                assert!(text.contains(&format!("\n{line}\n.br\n")), "{line}\n{text}");
            }
        }
    }
}
