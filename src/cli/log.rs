//! Logs: what is written to standard error, and at which level.

use std::env::{self, VarError};
use std::io::{self, Write};

use anyhow::Context;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use super::args::{LogFormat, Logging};
use crate::observability::progress_lines;
use crate::observability::standard_error::{self, StandardError};

/// Chooses levels by module and takes precedence over `--verbose`.
const VARIABLE: &str = "SMBENCH_LOG";

/// A writer that fits each text to the width of a terminal.
struct BrokenBetweenWords<W>(W);

impl<W: Write> Write for BrokenBetweenWords<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let fitted = standard_error::fitted(String::from_utf8_lossy(text).into());
        self.0.write_all(fitted.as_bytes()).map(|()| text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The format of text, in which a line of progress is its message alone.
struct WithoutLevelOfProgress<F>(F);

impl<S, N, F> FormatEvent<S, N> for WithoutLevelOfProgress<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        if event.metadata().target() != progress_lines::TARGET {
            return self.0.format_event(context, writer, event);
        }
        let mut message = Message::default();
        event.record(&mut message);
        writeln!(writer, "{}", message.0)
    }
}

/// The message of an event, without its fields.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Starts logging for the rest of the process.
///
/// # Errors
///
/// `SMBENCH_LOG` is set to something that names no levels.
pub fn start(logging: &Logging) -> anyhow::Result<()> {
    let lines = fmt::layer()
        .with_writer(|| BrokenBetweenWords(StandardError))
        .with_ansi(standard_error::is_terminal() && env::var_os("NO_COLOR").is_none());
    let lines = match logging.log_format {
        LogFormat::Text => {
            let format = fmt::format().without_time().with_target(false);
            lines.event_format(WithoutLevelOfProgress(format)).boxed()
        }
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
    // They have a flag of their own (--quiet), and a directive may still name them.
    let mut levels = Targets::new().with_target(progress_lines::TARGET, LevelFilter::INFO);
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
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_are_for_modules_or_for_everything_else() {
        let levels = parsed("smbench::scheduler = debug, warn,").unwrap();
        assert!(levels.would_enable("smbench::scheduler", &Level::DEBUG));
        assert!(!levels.would_enable("smbench::run", &Level::INFO));
        assert_eq!(levels.default_level(), Some(LevelFilter::WARN));
    }

    #[test]
    fn progress_is_shown_at_every_level_unless_it_is_named() {
        let shown = |text: &str| parsed(text).unwrap().would_enable("progress", &Level::INFO);
        assert!(shown("error") && shown("smbench=off"));
        assert!(!shown("progress=off,debug"));
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_with_what_to_write() {
        for wrong in ["verbose", "wran", "smbench=loud", "smbench", "debug,smbench="] {
            let message = parsed(wrong).unwrap_err().to_string();
            assert!(message.contains("names no level: write error, warn,"), "{message}");
        }
    }
}
