//! What the fuzz targets hold every parser to.

use std::fmt::Display;
use std::path::PathBuf;

use smbench::observability::text::printable;

/// 2^53: beyond it a Lua number is not exact.
pub const LARGEST_EXACT: u64 = 1 << 53;

/// Longer texts are quoted in part.
const MAX_MESSAGE_BYTES: usize = 4 << 10;

/// A message a person can read on a terminal that nothing hostile steers.
pub fn readable(message: impl Display) -> String {
    let message = message.to_string();
    assert!(!message.is_empty(), "an error without a word");
    assert!(message.len() <= MAX_MESSAGE_BYTES, "{} bytes: {message:.300}", message.len());
    // As the command line shows it: foreign words are quoted raw until there.
    for line in message.lines() {
        assert!(!printable(line, MAX_MESSAGE_BYTES).contains(char::is_control), "{message:?}");
    }
    message
}

/// A folder of this process in memory, where there is one.
pub fn folder() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    let root = if shm.is_dir() { shm } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix("smbench-fuzz-").tempdir_in(root);
    folder.expect("a folder for the inputs").keep()
}
