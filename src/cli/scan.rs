//! `smbench scan`

use std::path::PathBuf;

use clap::Args;

use super::number_format::{counted, grouped};
use crate::observability::rounding::nonzero;
use crate::run::Scanned;

/// Write the shape of a directory tree, for file sets of scripts
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
        Reads how many files each directory below DIR has, and their sizes: no content, and no name unless \
        --names is given. A script gets the tree with bench.tree(FILE), and a file set of its shape with the \
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
    let left_out = &totals.left_out;
    let directories = match totals.directories {
        1 => "1 directory".into(),
        count => format!("{} directories", grouped(count)),
    };
    let mib = nonzero(totals.bytes as f64 / f64::from(1 << 20), 1);
    let mut line = format!("{} in {directories}, {mib} MiB", counted(totals.files, "file"));
    if left_out.links > 0 {
        line.push_str(&format!("; without {}", counted(left_out.links, "symbolic link")));
    }
    if left_out.special > 0 {
        line.push_str(&format!("; without {}", counted(left_out.special, "special file")));
    }
    let mut warnings = Vec::new();
    if let Some(first) = first_unreadable {
        let count = grouped(left_out.unreadable);
        warnings
            .push(format!("{count} could not be read and are not in the tree; the first: {first}"));
    }
    if left_out.names > 0 {
        let count = counted(left_out.names, "name");
        warnings.push(format!(
            "{count} cannot be on a share, or differ only in case from another of their directory; unnamed-… stands for each"
        ));
    }
    (line, Some(warnings.join("; ")).filter(|warning| !warning.is_empty()))
}
