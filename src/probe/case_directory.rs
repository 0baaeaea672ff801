//! The directory of a case on the server, emptied whatever happens.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::backend::SMBBackend;
use crate::protocol::SharePath;

/// The directory of a case, and the paths that were made in it.
pub struct CaseDirectory {
    pub(super) server: Arc<dyn SMBBackend>,
    pub(super) path: SharePath,
    /// The longest time that any one wait for the server may take.
    pub(super) patience: Duration,
    made: Mutex<BTreeSet<SharePath>>,
}

impl CaseDirectory {
    pub fn new(server: Arc<dyn SMBBackend>, path: SharePath, patience: Duration) -> CaseDirectory {
        CaseDirectory { server, path, patience, made: Mutex::default() }
    }

    /// Records a path, which is removed after the case.
    pub fn note(&self, path: SharePath) {
        self.made().insert(path);
    }

    /// Records a rename: afterwards each path below `source` may exist there or below `dest`.
    pub fn note_rename(&self, source: &SharePath, dest: &SharePath) {
        let mut made = self.made();
        let moved: Vec<SharePath> = made
            .iter()
            .filter_map(|path| path.as_str().strip_prefix(source.as_str())?.strip_prefix('/'))
            .filter_map(|rest| SharePath::new(rest).ok())
            .map(|rest| rest.below(dest))
            .collect();
        made.extend(moved);
        made.insert(dest.clone());
    }

    fn made(&self) -> MutexGuard<'_, BTreeSet<SharePath>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the recorded paths.
    pub(super) fn noted(&self) -> Vec<SharePath> {
        self.made().iter().cloned().collect()
    }
}
