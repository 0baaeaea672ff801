//! `smbench new`

use std::path::PathBuf;

use clap::Args;

/// Make a project: a workload, a test, and editor settings
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
        The project has a README.md, which says what to do next, and the definitions of the API for editors.\n\
        Exit codes: 0 the project is there; 2 it cannot be made, and nothing of it is left.")]
pub struct NewArgs {
    /// Directory of the project: a new or an empty one
    ///
    /// Missing directories above it are made too.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,

    /// Name of the project [default: that of the directory]
    ///
    /// The name of a library may have a scope, such as acme/office.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Make a library that other projects use
    #[arg(long)]
    pub lib: bool,
}
