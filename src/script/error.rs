//! The errors of scripts.

use std::path::PathBuf;

/// The reason why a script cannot be loaded. The message states what failed, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    /// A mistake in the script, with `file:line` where there is one.
    #[error("{0}")]
    Script(String),
    /// A parameter given from outside that does not fit.
    #[error("{0}")]
    Parameter(String),
    /// A number of clients given from outside that does not fit.
    #[error("{0}")]
    Clients(String),
    /// A directory for blobs, given from outside, that cannot be used.
    #[error("{0}")]
    Blobs(String),
    /// A fault of smbench, not of the script.
    #[error("internal error: {0}; this is a fault in smbench, please report it")]
    Internal(String),
}

/// The prelude's chunk: a line in it means nothing to the script's author.
pub(super) const PRELUDE: &str = "[smbench]";

/// The module of tests. Like the prelude, its lines mean nothing to an author.
pub(super) const TEST_MODULE: &str = "@bench/test";

/// Returns whether a message starts with a line of the script or of a module.
pub(super) fn located(text: &str, chunks: &[String]) -> bool {
    place_of(text, chunks).is_some()
}

/// Returns the `file:line` that a message starts with.
pub(super) fn place_of<'t>(text: &'t str, chunks: &[String]) -> Option<&'t str> {
    chunks.iter().find_map(|chunk| line_of(text, chunk))
}

pub(super) fn line_of<'t>(text: &'t str, chunk: &str) -> Option<&'t str> {
    let rest = text.strip_prefix(chunk)?.strip_prefix(':')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    (digits > 0).then(|| &text[..chunk.len() + 1 + digits])
}
