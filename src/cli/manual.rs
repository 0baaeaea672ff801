//! `smbench man`

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use clap_mangen::Man;

use crate::observability::results::missing_parent;

/// Print the manual page, or write those of all commands
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
        smbench man | man -l -                    reads the page of the program\n\
        smbench man ~/.local/share/man/man1       installs all pages: man smbench, man smbench-run")]
pub struct ManArgs {
    /// Directory to write all pages into, one for each command; made if there is none
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// Returns the manual page of `program`.
pub(super) fn page(program: clap::Command) -> io::Result<String> {
    let mut page = Vec::new();
    Man::new(with_pages(program)).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
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
    clap_mangen::generate_to(with_pages(program), directory)
}

/// Removes the command `help`, which needs no page of its own.
fn with_pages(program: clap::Command) -> clap::Command {
    program.disable_help_subcommand(true).mut_subcommands(with_pages)
}
