//! The files on which a load of a script or document depends.

use std::collections::BTreeMap;
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
pub struct ReadFiles(Arc<Mutex<BTreeMap<PathBuf, Option<blake3::Hash>>>>);

impl ReadFiles {
    /// Records that the file at `path` is about to be read.
    pub fn add(&self, path: &Path) {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paths.len() < MAX_PATHS && !paths.contains_key(path) {
            paths.insert(path.to_path_buf(), None);
        }
    }

    /// Records the content that was read from the file at `path`, which was added before. An empty
    /// file is one that an editor is about to write, and stands for no content.
    pub fn set_content(&self, path: &Path, content: &[u8]) {
        if content.is_empty() {
            return;
        }
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hash) = paths.get_mut(path) {
            *hash = Some(blake3::hash(content));
        }
    }

    /// Returns the paths in ascending order, and for a script and its modules the hash of the
    /// content that was read.
    pub fn files(&self) -> Vec<(PathBuf, Option<blake3::Hash>)> {
        let paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paths.iter().map(|(path, hash)| (path.clone(), *hash)).collect()
    }

    /// Returns the paths in ascending order.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
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
        reads.set_content(Path::new("a"), b"content");
        reads.set_content(Path::new("c"), b"of a file that was not added");
        let hash = Some(blake3::hash(b"content"));
        assert_eq!(clone.files(), [(PathBuf::from("a"), hash), (PathBuf::from("b"), None)]);
        (0..2 * MAX_PATHS).for_each(|number| reads.add(Path::new(&number.to_string())));
        assert_eq!(clone.paths().len(), MAX_PATHS);
    }
}
