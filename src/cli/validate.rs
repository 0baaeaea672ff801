//! `smbench validate`

use clap::Args;

use super::args::StreamArgs;

/// Check a script or document without running it
#[derive(Clone, Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "smbench validate [OPTIONS] <SCRIPT|DOCUMENT>"
)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub stream: StreamArgs,
}
