//! The conversion of Lua's errors to messages for a script's author: the script's line and the fact,
//! without the internals of the program that found it.

use mlua::Error as LuaError;

use super::error::{PRELUDE, TEST_MODULE, line_of, located, place_of};
use super::members::{unknown_member, with_a_colon};

/// Returns the message of an error as the author of the script should read it.
///
/// `chunks` are the names under which the script and its modules were compiled.
pub(super) fn readable(error: &LuaError, chunks: &[String]) -> String {
    let text = described(error, chunks);
    let mut message = text.as_str();
    // Every coroutine.wrap that an error passes through puts its line before the message.
    while let Some(place) = place_of(message, chunks)
        && let Some(rest) = message[place.len()..].strip_prefix(": ")
        && place_of(rest, chunks) == Some(place)
    {
        message = rest;
    }
    message.to_string()
}

fn described(error: &LuaError, chunks: &[String]) -> String {
    let (text, is_located, traceback) = match error {
        LuaError::CallbackError { traceback, cause } => {
            let (innermost, traceback) = innermost(cause, traceback);
            let text = bare(innermost);
            let is_located = located(&text, chunks);
            (text, is_located, traceback)
        }
        LuaError::RuntimeError(text) => {
            let (text, traceback) = split_traceback(text);
            let text = without_prelude(text);
            (explained(text), located(text, chunks), traceback)
        }
        other => return bare(other),
    };
    match place(traceback, chunks).filter(|_| !is_located) {
        Some(place) => format!("{place}: {text}"),
        None => text,
    }
}

/// Returns the first of nested errors of callbacks, which is the cause.
fn innermost<'e>(cause: &'e LuaError, traceback: &'e str) -> (&'e LuaError, &'e str) {
    match cause {
        LuaError::CallbackError { cause, traceback } => innermost(cause, traceback),
        LuaError::WithContext { cause, .. } => innermost(cause, traceback),
        other => (other, traceback),
    }
}

fn bare(error: &LuaError) -> String {
    match error {
        LuaError::RuntimeError(text) => explained(without_prelude(split_traceback(text).0)),
        LuaError::SyntaxError { message, .. } => split_traceback(message).0.to_string(),
        LuaError::MemoryError(_) => "the script needs more memory than its limit".to_string(),
        LuaError::StackError => "too many values for one call".to_string(),
        LuaError::FromLuaConversionError { from, .. } => format!("{from} does not fit here"),
        LuaError::BadArgument { to, name: Some(name), .. } if name == "self" => {
            let method = to.as_deref().and_then(|to| to.rsplit(['.', ':']).next());
            with_a_colon(method.unwrap_or("read"))
        }
        LuaError::BadArgument { cause, .. } => bare(cause),
        other => other.to_string(),
    }
}

fn split_traceback(text: &str) -> (&str, &str) {
    match text.find("\nstack traceback:") {
        Some(at) => (&text[..at], &text[at..]),
        None => (text, ""),
    }
}

/// Rewrites Lua's own messages that do not explain enough.
fn explained(text: &str) -> String {
    const UNKNOWN_METHOD: &str = "attempt to call an unknown method '";
    if let Some(at) = text.find(UNKNOWN_METHOD) {
        let word = text[at + UNKNOWN_METHOD.len()..].trim_end_matches('\'');
        return format!("{}{}", &text[..at], unknown_member("method", word, None));
    }
    if let Some((kind, _)) = text.split_once(": 0x").filter(|(_, rest)| is_address(rest)) {
        return format!("error() was called with a {kind} instead of a string");
    }
    if text == "nil" {
        return "error() was called without a message".to_string();
    }
    if text == "function" {
        return "error() was called with a function instead of a string".to_string();
    }
    if text.contains("error in error handling") || text.contains("C stack overflow") {
        return format!(
            "{text} (calls are nested too deeply: at most 200 calls of require, pcall, table.sort and other functions that call back can be nested)"
        );
    }
    if text.contains("attempt to modify a readonly table") {
        return format!("{text} (what bench, a library or a module provides cannot be changed)");
    }
    text.to_string()
}

fn is_address(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Drops positions inside the prelude and the binding from the front of a message.
fn without_prelude(text: &str) -> &str {
    for source in [PRELUDE, TEST_MODULE, "__mlua_index", "__mlua_newindex", "__mlua_require"] {
        if let Some(rest) = text.strip_prefix(source).and_then(|rest| rest.strip_prefix(':')) {
            let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            return digits.strip_prefix(": ").unwrap_or(digits);
        }
    }
    text
}

/// Returns the innermost line of the script in a traceback. If that line is in an embedded module,
/// the script's own line is added.
fn place(traceback: &str, chunks: &[String]) -> Option<String> {
    let mut lines = traceback.lines().filter_map(|line| {
        let line = line.trim_start();
        let files = chunks.iter().filter(|chunk| *chunk != TEST_MODULE);
        files.into_iter().find_map(|chunk| line_of(line, chunk))
    });
    let first = lines.next()?;
    let embedded = |place: &str| place.starts_with("@bench/");
    match embedded(first).then(|| lines.find(|place| !embedded(place))).flatten() {
        Some(caller) => Some(format!("{caller}: in {first}")),
        None => Some(first.to_string()),
    }
}
