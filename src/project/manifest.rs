//! The file that marks the directory of a project.

use std::path::{Path, PathBuf};

/// The name of the file.
pub const MANIFEST: &str = "smbench.toml";

/// Longest name of a project, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Returns the paths at which the manifest of a directory's project may be, the nearest first.
pub fn manifest_paths(directory: &Path) -> impl Iterator<Item = PathBuf> {
    directory.ancestors().map(|directory| directory.join(MANIFEST))
}

/// Returns the manifest that is nearest upward from a directory, if there is one.
///
/// # Errors
/// A message if something else than a regular file has its name.
pub fn nearest_manifest(directory: &Path) -> Result<Option<PathBuf>, String> {
    let manifest = manifest_paths(directory).find(|manifest| manifest.symlink_metadata().is_ok());
    match manifest {
        Some(manifest) if !manifest.is_file() => {
            Err(format!("{} is not a regular file", manifest.display()))
        }
        manifest => Ok(manifest),
    }
}

/// Returns whether a project can have this name: letters, digits, `-` and `_` after a letter.
pub(super) fn is_project_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(is_allowed)
}
