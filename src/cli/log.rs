//! Logs: which events are written to standard error, and in which format.

use std::env::{self, VarError};
use std::ffi::{OsStr, OsString};
use std::fmt;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use super::args::{LogFormat, Logging};
use super::style::WARNING;
use crate::observability::progress_lines;
use crate::observability::standard_error::line::json_line;
use crate::observability::standard_error::{self, LineKind, StandardError};
use crate::protocol::nearest;
use crate::run::RELOAD_TARGET;

/// The variable that sets levels by module. It takes precedence over `--verbose`.
const VARIABLE: &str = "SMBENCH_LOG";
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
const CRATE: &str = "smbench";
/// The modules of this crate.
const MODULES: [&str; 12] = [
    "backend",
    "cli",
    "ir",
    "library",
    "observability",
    "probe",
    "project",
    "protocol",
    "run",
    "scheduler",
    "script",
    "transform",
];
/// The modules below them that log.
const LOGGING: [&str; 30] = [
    "backend::breaks::holder",
    "backend::breaks::holders",
    "backend::breaks::lease_keys",
    "backend::embedded::server",
    "backend::smb2::socket_reader",
    "backend::smb2::transport",
    "cli::execute",
    "library::repository",
    "library::repository_url",
    "observability::priority",
    "observability::progress",
    "observability::progress_lines",
    "observability::standard_error",
    "probe::suite",
    "run::candidate",
    "run::directory_events",
    "run::hooks",
    "run::input",
    "run::lifecycle",
    "run::namespace_client",
    "run::prepare",
    "run::probe",
    "run::reload_lines",
    "run::serve",
    "run::test",
    "run::test_files",
    "scheduler::clock::alarm",
    "script::hooks::errors",
    "script::hooks::hook_vm",
    "script::streams",
];
pub(super) const FORMAT_FLAG: &str = "--log-format";
const FORMAT_VARIABLE: &str = "SMBENCH_LOG_FORMAT";

/// The targets of lines that are written at every level, unless a directive names them. As text
/// they have no level, only their message.
const PLAIN_TARGETS: [&str; 2] = [progress_lines::TARGET, RELOAD_TARGET];

/// The format of log lines as text.
struct PlainLines<F>(F);

impl<S, N, F> FormatEvent<S, N> for PlainLines<F>
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
    ) -> fmt::Result {
        if !PLAIN_TARGETS.contains(&event.metadata().target()) {
            return self.0.format_event(context, writer, event);
        }
        let mut seen = Fields::default();
        event.record(&mut seen);
        let message = seen.message.unwrap_or_default();
        match writer.has_ansi_escapes() && *event.metadata().level() <= Level::WARN {
            true => writeln!(writer, "{WARNING}{message}{WARNING:#}"),
            false => writeln!(writer, "{message}"),
        }
    }
}

/// Starts logging for the rest of the process, and gives standard error its form.
///
/// # Errors
///
/// `SMBENCH_LOG` holds something that is not a list of levels.
pub fn start(logging: &Logging) -> anyhow::Result<()> {
    if logging.log_format == LogFormat::Json {
        standard_error::write_json_lines();
    }
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| StandardError)
        .with_ansi(standard_error::is_terminal() && env::var_os("NO_COLOR").is_none());
    let lines = match logging.log_format {
        LogFormat::Text => {
            let format = tracing_subscriber::fmt::format().without_time().with_target(false);
            lines.event_format(PlainLines(format)).boxed()
        }
        LogFormat::Json => lines.event_format(JsonLines).boxed(),
    };
    Registry::default().with(levels(logging.verbose)?).with(lines).init();
    Ok(())
}

/// Prints clap's answer to a command line and exits. An error is a line of JSON if that command
/// line, or its variable, asks for `--log-format json`.
pub fn exit_with(said: &clap::Error, args: &[OsString]) -> ! {
    if !said.use_stderr() {
        said.exit();
    }
    if !asks_for_json(args, env::var_os(FORMAT_VARIABLE).as_deref()) {
        standard_error::report_usage_error(&said.render().ansi().to_string());
        std::process::exit(said.exit_code());
    }
    standard_error::write_json_lines();
    let text = said.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    standard_error::report(LineKind::Error, text.trim_end());
    std::process::exit(said.exit_code());
}

/// Returns whether the log format is JSON. The last such flag decides, or the variable if there is
/// no flag. The command line may be one that clap refuses.
fn asks_for_json(args: &[OsString], variable: Option<&OsStr>) -> bool {
    let mut asked = variable.and_then(OsStr::to_str);
    let mut args = args.iter().skip(1).map_while(|arg| arg.to_str());
    while let Some(arg) = args.next().filter(|arg| *arg != "--") {
        if arg == FORMAT_FLAG {
            asked = args.next();
        } else if let Some(value) = arg.strip_prefix(FORMAT_FLAG).and_then(|v| v.strip_prefix('='))
        {
            asked = Some(value);
        }
    }
    asked.is_some_and(|format| LogFormat::from_str(format, false) == Ok(LogFormat::Json))
}

/// The format of log lines as JSON: one object a line.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut seen = Fields::default();
        event.record(&mut seen);
        let metadata = event.metadata();
        let message = seen.message.as_deref().unwrap_or(metadata.name());
        let target = seen.target.as_deref().unwrap_or(metadata.target());
        writer.write_str(&json_line(metadata.level().as_str(), message, Some(target), seen.rest))
    }
}

/// The fields of an event. An event from the crate `log` has its target among them.
#[derive(Default)]
struct Fields {
    message: Option<String>,
    target: Option<String>,
    rest: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        match field.name() {
            "message" => self.message = Some(text(value)),
            "log.target" => self.target = Some(text(value)),
            "log.module_path" | "log.file" | "log.line" => {}
            name => drop(self.rest.insert(name.to_string(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
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

/// Parses a list, separated by commas, of `module=level` and of levels for everything else. (The
/// parser of `tracing_subscriber` takes an unknown word for a module and enables TRACE for it.)
fn parsed(text: &str) -> anyhow::Result<Targets> {
    // Lines of progress and of reloads have a flag of their own (--quiet). A directive may still
    // name them.
    let mut levels =
        Targets::new().with_targets(PLAIN_TARGETS.map(|target| (target, LevelFilter::INFO)));
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (module, level) = part.split_once('=').unwrap_or(("", part));
        // The parser would take an empty string for the level error.
        let level = Some(level.trim()).filter(|level| !level.is_empty());
        // The parser would take digits for levels.
        let level = level.filter(|level| LEVELS.contains(&level.to_lowercase().as_str()));
        let level = level.and_then(|level| level.parse::<LevelFilter>().ok());
        let level = level.with_context(|| {
            format!(
                "{VARIABLE}: {part:?} names no level: write error, warn, info, debug, trace or off, for one module as in smbench=debug"
            )
        })?;
        levels = match module.trim() {
            "" if part.contains('=') => anyhow::bail!(
                "{VARIABLE}: {part:?} names no module: write smbench=debug, or a level alone for everything else"
            ),
            "" => levels.with_default(level),
            module if !is_module(module) => anyhow::bail!(
                "{VARIABLE}: {module:?} in {part:?} is no module: write its path, as in smbench=debug; commas separate the parts"
            ),
            module => match module_meant(module) {
                Some(near) => anyhow::bail!(
                    "{VARIABLE}: {module:?} in {part:?} is no module that logs: did you mean {near}?"
                ),
                None => levels.with_target(module, level),
            },
        };
    }
    Ok(levels)
}

/// Returns the module that was most likely meant by one that smbench does not have; None if
/// the module may exist. Those of other crates, such as `smb2`, are not known here.
fn module_meant(module: &str) -> Option<String> {
    let (root, within) = module.split_once("::").unwrap_or((module, ""));
    if root != CRATE {
        let roots = [CRATE].into_iter().chain(PLAIN_TARGETS);
        let near = nearest(root, roots).filter(|near| *near != root)?;
        let rest = if within.is_empty() { String::new() } else { format!("::{within}") };
        return Some(format!("{near}{rest}"));
    }
    let logs = |known: &str| {
        known == within || known.strip_prefix(within).is_some_and(|rest| rest.starts_with("::"))
    };
    if within.is_empty() || MODULES.contains(&within) || LOGGING.iter().any(|known| logs(known)) {
        return None;
    }
    let near = nearest(within, LOGGING.iter().chain(&MODULES).copied());
    let around = || MODULES.iter().find(|known| within.starts_with(&format!("{known}::"))).copied();
    Some(match near.or_else(around) {
        Some(near) => format!("{CRATE}::{near}"),
        None => CRATE.into(),
    })
}

/// Returns whether `text` is the path of a module: names between `::`.
fn is_module(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    text.split("::").all(|name| !name.is_empty() && name.chars().all(plain))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn levels_are_for_modules_or_for_everything_else() {
        let levels = parsed("smbench::scheduler = debug, warn,").unwrap();
        assert!(levels.would_enable("smbench::scheduler", &Level::DEBUG));
        assert!(!levels.would_enable("smbench::run", &Level::INFO));
        assert_eq!(levels.default_level(), Some(LevelFilter::WARN));
    }

    #[test]
    fn progress_and_reloads_are_shown_at_every_level_unless_they_are_named() {
        let shown = |text: &str| parsed(text).unwrap().would_enable("progress", &Level::INFO);
        assert!(shown("error") && shown("smbench=off"));
        assert!(!shown("progress=off,debug"));
        let reloads = |text: &str| parsed(text).unwrap().would_enable("reload", &Level::INFO);
        assert!(reloads("error") && !reloads("reload=off") && !reloads("reload=warn"));
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_with_what_to_write() {
        for wrong in
            ["verbose", "wran", "smbench=loud", "smbench", "debug,smbench=", "5", "smbench=5"]
        {
            let message = parsed(wrong).unwrap_err().to_string();
            assert!(message.contains("names no level: write error, warn,"), "{message}");
        }
    }

    #[test]
    fn a_malformed_module_is_refused_and_quoted() {
        for (wrong, quoted) in [
            ("smbench scheduler=debug", "smbench scheduler"),
            ("warn;smbench=debug", "warn;smbench"),
            ("smbench:run=debug", "smbench:run"),
            ("=debug", "=debug"),
        ] {
            let message = parsed(wrong).unwrap_err().to_string();
            assert!(message.starts_with("SMBENCH_LOG: ") && message.contains(quoted), "{message}");
        }
    }

    #[test]
    fn a_module_that_smbench_does_not_have_is_refused_with_the_nearest() {
        for (wrong, near) in [
            ("smbench::schedular=debug", "smbench::scheduler"),
            ("smbench::backend::smb2::transprot=debug", "smbench::backend::smb2::transport"),
            ("smbench::run::xyz=debug", "smbench::run"),
            ("progres=off", "progress"),
            ("smbnch::run=debug", "smbench::run"),
        ] {
            let message = parsed(wrong).unwrap_err().to_string();
            assert!(message.ends_with(&format!("did you mean {near}?")), "{message}");
        }
        for right in [
            "smb2=debug",
            "smb_server=trace",
            "tokio=off",
            "clap_builder=info",
            "smbench::backend::smb2=debug",
            "smbench::protocol=debug",
        ] {
            parsed(right).unwrap();
        }
    }

    #[test]
    fn the_modules_that_log_are_listed() {
        fn below(directory: &Path, files: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { below(&path, files) } else { files.push(path) }
            }
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        below(&root, &mut files);
        let macros =
            ["error", "warn", "info", "debug", "trace"].map(|name| format!("tracing::{name}!"));
        let mut logging = Vec::new();
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            if !macros.iter().any(|name| text.contains(name)) {
                continue;
            }
            let path = file.strip_prefix(&root).unwrap().with_extension("");
            let names =
                path.iter().map(|name| name.to_str().unwrap()).filter(|name| *name != "mod");
            logging.push(names.collect::<Vec<_>>().join("::"));
        }
        logging.retain(|module| !module.ends_with("tests") && module != "main");
        logging.sort();
        assert_eq!(logging, LOGGING);
    }

    #[test]
    fn the_log_format_is_read_from_a_command_line_that_clap_refuses() {
        let asks = |line: &str, variable: Option<&str>| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            asks_for_json(&args, variable.map(OsStr::new))
        };
        assert!(asks("smbench run --bogus --log-format json", None));
        assert!(asks("smbench --log-format=json run", None));
        assert!(asks("smbench run --bogus", Some("json")));
        assert!(!asks("smbench run --log-format text", Some("json")));
        assert!(!asks("smbench run -- --log-format json", None));
        assert!(!asks("smbench run --log-format", None));
    }
}
