//! Checks that the fuzz targets share.

use std::fmt::Display;
use std::path::PathBuf;

use smbench::observability::text::printable;

/// The largest integer up to which every integer is exact as a Lua number: 2^53.
pub const LARGEST_EXACT: u64 = 1 << 53;

/// Maximum length of a message: it quotes only a part of longer strings.
const MAX_MESSAGE_BYTES: usize = 4 << 10;

/// Checks that a message is not empty, not too long and safe for a terminal, and returns it.
pub fn readable(message: impl Display) -> String {
    let message = message.to_string();
    assert!(!message.is_empty(), "an error without a word");
    assert!(message.len() <= MAX_MESSAGE_BYTES, "{} bytes: {message:.300}", message.len());
    // The command line escapes lines before it prints them; until then, messages quote raw strings.
    for line in message.lines() {
        assert!(!printable(line, MAX_MESSAGE_BYTES).contains(char::is_control), "{message:?}");
    }
    message
}

/// Makes a directory for this process, in memory if the system has such a file system.
pub fn folder() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    let root = if shm.is_dir() { shm } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix("smbench-fuzz-").tempdir_in(root);
    folder.expect("a folder for the inputs").keep()
}
