//! Logs: what is written to standard error, and at which level.

use std::env::{self, VarError};
use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use super::args::{LogFormat, Logging};

/// Chooses levels by module and takes precedence over `--verbose`.
const VARIABLE: &str = "SMBENCH_LOG";

/// Starts logging for the rest of the process.
///
/// # Errors
///
/// `SMBENCH_LOG` is set to something that names no levels.
pub fn start(logging: &Logging) -> anyhow::Result<()> {
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none());
    let lines = match logging.log_format {
        LogFormat::Text => lines.without_time().with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    Registry::default().with(levels(logging.verbose)?).with(lines).init();
    Ok(())
}

fn levels(verbose: u8) -> anyhow::Result<Targets> {
    let levels = match env::var(VARIABLE) {
        Ok(levels) => levels,
        Err(VarError::NotPresent) => match verbose {
            0 => "smbench=warn".into(),
            1 => "smbench=info,warn".into(),
            _ => "smbench=debug,info".into(),
        },
        Err(VarError::NotUnicode(_)) => anyhow::bail!("{VARIABLE} is not UTF-8"),
    };
    levels.parse().with_context(|| {
        format!("{VARIABLE}: write module=level, separated by commas, such as smbench::scheduler=debug,warn")
    })
}
