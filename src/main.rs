#![forbid(unsafe_code)]

use std::process::ExitCode;

use smbench::cli::{Cli, execute, exit_with_usage};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli =
        Cli::parse_from_args(std::env::args_os()).unwrap_or_else(|said| exit_with_usage(&said));
    ExitCode::from(execute(cli))
}
