//! Files from which a script's writes take their bytes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::ScriptError;
use crate::ir::Payload;
use crate::ir::blobs::{BLOB_BUDGET, BlobCache, BlobDirectories};

/// Number of names kept, so that the writes of one file share its path.
const MAX_NAMES: usize = 1 << 14;

pub(super) struct Blobs {
    /// The directory that relative paths start from.
    base: PathBuf,
    directories: Arc<BlobDirectories>,
    cache: BlobCache,
    /// The paths of names that the script has used.
    paths: HashMap<String, Arc<Path>>,
}

impl Blobs {
    /// Opens the script's directory and the directories that the command line allows besides it.
    ///
    /// # Errors
    /// [`ScriptError::Blobs`] for a directory that cannot be used.
    pub fn new(directory: &Path, allowed: &[PathBuf]) -> Result<Blobs, ScriptError> {
        let wrong = |directory: &Path, error| {
            ScriptError::Blobs(format!("--allow-blobs {}: {error}", directory.display()))
        };
        let directories = BlobDirectories::open(directory, allowed)
            .map_err(|(directory, error)| wrong(&directory, error))?;
        let base = directory.canonicalize().map_err(|error| wrong(directory, error))?;
        let cache = BlobCache::new(Arc::clone(&directories), BLOB_BUDGET);
        Ok(Blobs { base, directories, cache, paths: HashMap::new() })
    }

    /// Returns the first `length` bytes of a file as a payload.
    ///
    /// # Errors
    /// The reason why the file may not or cannot be used.
    pub fn payload(&mut self, path: &str, length: u64) -> Result<Payload, String> {
        let path = match self.paths.get(path) {
            Some(path) => Arc::clone(path),
            None => {
                let resolved = (self.directories.resolve(path, Some(&self.base)))
                    .map_err(|error| error.to_string())?;
                if self.paths.len() >= MAX_NAMES {
                    self.paths.clear();
                }
                self.paths.insert(path.to_string(), Arc::clone(&resolved));
                resolved
            }
        };
        let blob = self.cache.blob(path, length).map_err(|error| error.to_string())?;
        Ok(Payload::Blob(Arc::new(blob)))
    }
}
