//! The place that a script is read from.

use std::fmt;
use std::path::{Path, PathBuf};

use super::chunks::shown_path;
use super::ready_workloads::ReadyWorkload;

/// The place that a script is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptLocation {
    /// A file, by its path as the user gave it.
    File(PathBuf),
    /// A script in the binary.
    Ready(&'static ReadyWorkload),
}

impl ScriptLocation {
    /// Returns the path of the script's file. A ready workload has none.
    pub fn file(&self) -> Option<&Path> {
        match self {
            ScriptLocation::File(path) => Some(path),
            ScriptLocation::Ready(_) => None,
        }
    }
}

impl Default for ScriptLocation {
    fn default() -> ScriptLocation {
        ScriptLocation::File(PathBuf::new())
    }
}

impl From<PathBuf> for ScriptLocation {
    fn from(path: PathBuf) -> ScriptLocation {
        ScriptLocation::File(path)
    }
}

impl From<&Path> for ScriptLocation {
    fn from(path: &Path) -> ScriptLocation {
        ScriptLocation::File(path.into())
    }
}

/// Writes the location as errors name the script: as the user gave it.
impl fmt::Display for ScriptLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptLocation::File(path) => f.write_str(&shown_path(path)),
            ScriptLocation::Ready(ready) => ready.fmt(f),
        }
    }
}
