//! The form of a line on standard error: text, or one JSON object with `--log-format json`.

use std::fmt::Write;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};

/// The process has one standard error, so its lines have one form.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// What a line is to its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What went wrong. As text, `error:` stands before it.
    Error,
    /// What may be wrong. As text, `warning:` stands before it.
    Warning,
    /// Why a command does not exit with 0, in words that say so themselves.
    Verdict,
    /// Anything else: what a script prints, what was written.
    Note,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Kind::Error => "error: ",
            Kind::Warning => "warning: ",
            Kind::Verdict | Kind::Note => "",
        }
    }

    /// The level, in the words of the log.
    fn level(self) -> &'static str {
        match self {
            Kind::Error | Kind::Verdict => "ERROR",
            Kind::Warning => "WARN",
            Kind::Note => "INFO",
        }
    }
}

pub(super) fn write_json() {
    AS_JSON.store(true, Relaxed);
}

/// Returns whether each line is a JSON object.
pub fn is_json() -> bool {
    AS_JSON.load(Relaxed)
}

/// Returns a message as it is written, with the end of its last line.
pub(super) fn written(kind: Kind, message: &str) -> String {
    if is_json() {
        return json_line(kind.level(), message, None, Map::new());
    }
    let prefix = kind.prefix();
    if prefix.is_empty() {
        return format!("{message}\n");
    }
    message.lines().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{prefix}{line}");
        text
    })
}

/// Returns a message as one line of JSON. `target` and `fields` are those of a log event.
pub fn json_line(
    level: &str,
    message: &str,
    target: Option<&str>,
    fields: Map<String, Value>,
) -> String {
    let timestamp = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    let line = JsonLine { timestamp, level, message, target, fields };
    // It holds strings and JSON values only, which can always be written.
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}

#[derive(Serialize)]
struct JsonLine<'a> {
    /// RFC 3339, UTC.
    timestamp: String,
    level: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_an_error_says_that_it_is_one_and_other_text_is_left_as_it_is() {
        assert_eq!(written(Kind::Error, "a\nb"), "error: a\nerror: b\n");
        assert_eq!(written(Kind::Warning, "a"), "warning: a\n");
        assert_eq!(written(Kind::Verdict, "exit code 4: x"), "exit code 4: x\n");
        assert_eq!(written(Kind::Note, "a\n\nb"), "a\n\nb\n");
    }

    #[test]
    fn a_message_of_several_lines_is_one_line_of_json() {
        let fields = Map::from_iter([("clients".to_string(), Value::from(3))]);
        let line = json_line("WARN", "a\n\"b\"", Some("smbench::run"), fields);
        assert_eq!(line.matches('\n').count(), 1);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &"a\n\"b\"".into()));
        assert_eq!(
            (&line["target"], &line["fields"]["clients"]),
            (&"smbench::run".into(), &3.into())
        );
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(humantime::parse_rfc3339(timestamp).is_ok(), "{timestamp}");
    }
}
