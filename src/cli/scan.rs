//! `smbench scan`

use std::path::PathBuf;

use clap::Args;

use super::number_format::{counted, grouped, size};
use crate::run::Scanned;

/// Write the shape of a directory tree, for file sets of scripts
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
        Reads the number of files in each directory below DIR, and their sizes: no content, and no name \
        unless --names is given. A script gets the tree with bench.tree(FILE), and a file set of its shape with the \
        module @bench/files.\n\
        Symbolic links are not followed. What could not be read is counted.\n\
        Exit codes: 0 the tree was written; 2 bad usage, or DIR or FILE cannot be used.")]
pub struct ScanArgs {
    /// Directory to scan
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,

    /// JSON file to write, or - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// Write the names of files and directories too
    #[arg(long)]
    pub names: bool,

    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
}

/// Returns the line about a scan, and a warning if something could not be read or named.
pub(super) fn described(scanned: &Scanned) -> (String, Option<String>) {
    let Scanned { totals, first_unreadable } = scanned;
    let skipped = &totals.skipped;
    let directories = match totals.directories {
        1 => "1 directory".into(),
        count => format!("{} directories", grouped(count)),
    };
    let mut line =
        format!("{} in {directories}, {}", counted(totals.files, "file"), size(totals.bytes));
    if skipped.links > 0 {
        line.push_str(&format!("; without {}", counted(skipped.links, "symbolic link")));
    }
    if skipped.special > 0 {
        line.push_str(&format!("; without {}", counted(skipped.special, "special file")));
    }
    let mut warnings = Vec::new();
    if let Some(first) = first_unreadable {
        let count = grouped(skipped.unreadable);
        warnings.push(format!(
            "{count} could not be read, and a directory of these counts as empty; the first: {first}"
        ));
    }
    if totals.replaced_names > 0 {
        warnings.push(match totals.replaced_names {
            1 => "1 name is not allowed on a share, or differs only in case from another of its directory; unnamed-… replaces it".into(),
            count => format!("{} names are not allowed on a share, or differ only in case from another of their directory; unnamed-… replaces each", grouped(count)),
        });
    }
    (line, Some(warnings.join("; ")).filter(|warning| !warning.is_empty()))
}
