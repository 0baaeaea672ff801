#![forbid(unsafe_code)]

use std::process::ExitCode;

use smbench::cli::{Cli, execute, exit_with};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let cli = Cli::parse_from_args(&args).unwrap_or_else(|said| exit_with(&said, &args));
    ExitCode::from(execute(cli))
}
