//! The files that a script has read.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The documents or the trees that a script has read. A script's top level runs once in each VM, and
/// all of them share the files.
pub struct FileCache<T>(Arc<Mutex<CachedFiles<T>>>);

/// The files by path, and whether the command line gave the path.
type CachedFiles<T> = HashMap<(bool, PathBuf), Arc<T>>;

impl<T> Clone for FileCache<T> {
    fn clone(&self) -> FileCache<T> {
        FileCache(Arc::clone(&self.0))
    }
}

impl<T> Default for FileCache<T> {
    fn default() -> FileCache<T> {
        FileCache(Arc::default())
    }
}

impl<T> fmt::Debug for FileCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileCache")
    }
}

impl<T> FileCache<T> {
    /// Returns the file at `path`, which the command line gave or not. `read` reads it the first
    /// time.
    ///
    /// # Errors
    /// The errors of `read`. The next call reads the file again.
    pub(super) fn file<E>(
        &self,
        given: bool,
        path: &Path,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        // The lock is held while a file is read, so that no two VMs read the same one.
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (given, path.to_path_buf());
        if let Some(file) = files.get(&key) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(read()?);
        files.insert(key, Arc::clone(&file));
        Ok(file)
    }
}
