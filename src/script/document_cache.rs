//! The documents that a script has loaded.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ir::document::CheckedDocument;

/// The documents that a script has loaded. A script's top level runs once in each VM, and all of
/// them share the documents.
#[derive(Clone, Default)]
pub struct DocumentCache(Arc<Mutex<CachedDocuments>>);

/// The documents by path, and whether the command line gave the path.
type CachedDocuments = HashMap<(bool, PathBuf), Arc<CheckedDocument>>;

impl fmt::Debug for DocumentCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DocumentCache")
    }
}

impl DocumentCache {
    /// Returns the document at `path`, which the command line gave or not. `load` reads it the first
    /// time.
    pub(super) fn document<E>(
        &self,
        given: bool,
        path: &Path,
        load: impl FnOnce() -> Result<CheckedDocument, E>,
    ) -> Result<Arc<CheckedDocument>, E> {
        // The lock is held while a document is read, so that no two VMs read the same one.
        let mut documents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (given, path.to_path_buf());
        if let Some(document) = documents.get(&key) {
            return Ok(Arc::clone(document));
        }
        let document = Arc::new(load()?);
        documents.insert(key, Arc::clone(&document));
        Ok(document)
    }
}
