//! The files on which a load of a script or document depends.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum number of paths that are kept. A script that requires more modules than that is a
/// mistake, and changes of the files beyond them are not noticed.
const MAX_PATHS: usize = 10_000;

/// The files that loading a script or document has read or has tried to read. A path may lead to no
/// file: creating it would change the result. Clones share the set.
///
/// Paths are absolute, or relative to the current directory if the user gave them so.
#[derive(Clone, Debug, Default)]
pub struct ReadFiles(Arc<Mutex<BTreeSet<PathBuf>>>);

impl ReadFiles {
    /// Records that the file at `path` is about to be read.
    pub fn add(&self, path: &Path) {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paths.len() < MAX_PATHS && !paths.contains(path) {
            paths.insert(path.to_path_buf());
        }
    }

    /// Returns the paths in ascending order.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_a_bounded_set() {
        let reads = ReadFiles::default();
        let clone = reads.clone();
        for name in ["b", "a", "b"] {
            clone.add(Path::new(name));
        }
        assert_eq!(reads.paths(), [PathBuf::from("a"), PathBuf::from("b")]);
        (0..2 * MAX_PATHS).for_each(|number| reads.add(Path::new(&number.to_string())));
        assert_eq!(clone.paths().len(), MAX_PATHS);
    }
}
