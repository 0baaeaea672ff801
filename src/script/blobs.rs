//! Files a script's writes take their bytes from.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::error::ScriptError;
use crate::ir::blobs::{BlobCache, BlobFolders};
use crate::ir::{Blob, Payload};

pub(super) struct Blobs {
    /// What relative paths are relative to.
    base: PathBuf,
    folders: BlobFolders,
    cache: BlobCache,
}

impl Blobs {
    /// Out of the script's folder, and of what the command line allows beside it.
    ///
    /// # Errors
    /// [`ScriptError::Blobs`] for a folder that cannot be used.
    pub fn new(folder: &Path, allowed: &[PathBuf]) -> Result<Blobs, ScriptError> {
        let folders = BlobFolders::new(folder, allowed).map_err(|(folder, error)| {
            ScriptError::Blobs(format!("--allow-blobs {}: {error}", folder.display()))
        })?;
        Ok(Blobs { base: folder.to_path_buf(), folders, cache: BlobCache::default() })
    }

    /// The first `length` bytes of a file, read while the operation is made.
    ///
    /// # Errors
    /// Why the file may not or cannot be used.
    pub fn payload(&mut self, path: &str, length: u64) -> Result<Payload, String> {
        let path = (self.folders.check(path, Some(&self.base), length))
            .map_err(|error| error.to_string())?;
        let blob = Blob { path, data: OnceLock::new() };
        self.cache.fill_blob(&blob, length);
        Ok(Payload::Blob(Arc::new(blob)))
    }
}
