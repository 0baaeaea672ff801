//! The form of a line on standard error: text, or one JSON object with `--log-format json`.

use std::fmt::Write;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};

/// The process has one standard error, so its lines have one form.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// The kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A failure. As text, it begins with `error:`.
    Error,
    /// A possible problem. As text, it begins with `warning:`.
    Warning,
    /// The reason for an exit code other than 0, in words that need no prefix.
    Verdict,
    /// Any other line, such as the output of a script.
    Note,
}

impl LineKind {
    fn prefix(self) -> &'static str {
        match self {
            LineKind::Error => "error: ",
            LineKind::Warning => "warning: ",
            LineKind::Verdict | LineKind::Note => "",
        }
    }

    /// Returns the name of the log level.
    fn level(self) -> &'static str {
        match self {
            LineKind::Error | LineKind::Verdict => "ERROR",
            LineKind::Warning => "WARN",
            LineKind::Note => "INFO",
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

/// Returns the text of a message in the current form, with a newline at the end.
pub(super) fn written(kind: LineKind, message: &str) -> String {
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
    // It contains only strings and JSON values, which can always be serialized.
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
        assert_eq!(written(LineKind::Error, "a\nb"), "error: a\nerror: b\n");
        assert_eq!(written(LineKind::Warning, "a"), "warning: a\n");
        assert_eq!(written(LineKind::Verdict, "exit code 4: x"), "exit code 4: x\n");
        assert_eq!(written(LineKind::Note, "a\n\nb"), "a\n\nb\n");
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
