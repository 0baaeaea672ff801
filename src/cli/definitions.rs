//! `smbench definitions`

use std::path::PathBuf;

use clap::Args;

/// Write the definitions of the API that editors read
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
        Writes .smbench/definitions/ in the project that DIR belongs to, for lua-language-server, EmmyLua and luau-lsp. \
        Call it after an upgrade of smbench, and in a fresh clone. Files that are up to date are left alone, and modules that this version does not have are removed.\n\
        Exit codes: 0 they are up to date; 2 there is no project, or a file cannot be written.")]
pub struct DefinitionsArgs {
    /// Directory in the project [default: the current one]
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}
