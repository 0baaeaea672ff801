//! `smbench serve`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// Run the embedded server alone, for other SMB clients
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
        Prints the URL of its share on standard output once it listens, and serves until Ctrl-C, SIGTERM or a \
        closed terminal ends it: that is its regular end, so it exits with 0.\n\
        The only user's password comes from SMBENCH_PASSWORD, --password-file or a prompt. An address that other \
        hosts can reach needs --user.\n\
        Exit codes: 0 ended by a signal; 1 internal error; 2 bad usage, or a directory or an address that \
        cannot be used.")]
pub struct ServeArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(
        long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4455",
        value_parser = listen_address
    )]
    pub listen: SocketAddr,

    /// Directory to serve [default: memory, gone at the end]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Name of the only user [default: smbench, on a loopback address]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// File that holds the password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// Let clients read and not write
    #[arg(long)]
    pub read_only: bool,
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let expected = || "expected an IP address and a port, such as 127.0.0.1:4455 or [::1]:0";
    text.parse().map_err(|_| expected().to_string())
}
