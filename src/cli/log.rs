//! Logs: what is written to standard error, and at which level.

use std::env::{self, VarError};

use anyhow::Context;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use super::args::{LogFormat, Logging};
use crate::observability::standard_error::{self, StandardError};

/// Chooses levels by module and takes precedence over `--verbose`.
const VARIABLE: &str = "SMBENCH_LOG";

/// Starts logging for the rest of the process.
///
/// # Errors
///
/// `SMBENCH_LOG` is set to something that names no levels.
pub fn start(logging: &Logging) -> anyhow::Result<()> {
    let lines = fmt::layer()
        .with_writer(|| StandardError)
        .with_ansi(standard_error::is_terminal() && env::var_os("NO_COLOR").is_none());
    let lines = match logging.log_format {
        LogFormat::Text => lines.without_time().with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    Registry::default().with(levels(logging.verbose)?).with(lines).init();
    Ok(())
}

fn levels(verbose: u8) -> anyhow::Result<Targets> {
    let given = match env::var(VARIABLE) {
        Ok(given) => given,
        Err(VarError::NotPresent) => String::new(),
        Err(VarError::NotUnicode(_)) => anyhow::bail!("{VARIABLE} is not UTF-8"),
    };
    let default = match verbose {
        0 => "smbench=warn",
        1 => "smbench=info,warn",
        _ => "smbench=debug,info",
    };
    parsed(if given.trim_matches([' ', ',']).is_empty() { default } else { &given })
}

/// Parses `module=level` and levels for everything else, separated by commas. (The
/// crate's own parser treats an unknown word as a module and enables TRACE for it.)
fn parsed(text: &str) -> anyhow::Result<Targets> {
    let mut levels = Targets::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (module, level) = part.split_once('=').unwrap_or(("", part));
        // No word at all would stand for the level error.
        let level = Some(level.trim()).filter(|level| !level.is_empty());
        let level = level.and_then(|level| level.parse::<LevelFilter>().ok());
        let level = level.with_context(|| {
            format!(
                "{VARIABLE}: {part:?} names no level: write error, warn, info, debug, trace or off, for one module as in smbench::scheduler=debug"
            )
        })?;
        levels = match module.trim() {
            "" => levels.with_default(level),
            module => levels.with_target(module, level),
        };
    }
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_for_modules_or_for_everything_else() {
        let levels = parsed("smbench::scheduler = debug, warn,").unwrap();
        let all: Vec<_> =
            levels.iter().map(|(module, level)| (module.to_string(), level)).collect();
        assert_eq!(all, [("smbench::scheduler".to_string(), LevelFilter::DEBUG)]);
        assert_eq!(levels.default_level(), Some(LevelFilter::WARN));
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_with_what_to_write() {
        for wrong in ["verbose", "wran", "smbench=loud", "smbench", "debug,smbench="] {
            let message = parsed(wrong).unwrap_err().to_string();
            assert!(message.contains("names no level: write error, warn,"), "{message}");
        }
    }
}
