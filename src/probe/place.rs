//! The directory of a case on the server, emptied whatever happens.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::case::{Checked, Failure};
use super::client::Client;
use crate::backend::SMBBackend;
use crate::protocol::SharePath;

/// The directory of a case, and the paths that were made in it.
pub struct Place {
    pub(super) server: Arc<dyn SMBBackend>,
    pub(super) directory: SharePath,
    /// The longest time that any one wait for the server may take.
    pub(super) patience: Duration,
    made: Mutex<BTreeSet<SharePath>>,
}

impl Place {
    pub fn new(server: Arc<dyn SMBBackend>, directory: SharePath, patience: Duration) -> Place {
        Place { server, directory, patience, made: Mutex::default() }
    }

    /// Connects a client that has no other connection.
    pub async fn client(&self) -> Checked<Client<'_>> {
        self.connect(next_client()).await
    }

    /// Makes one more connection of client `client_idx`.
    pub async fn connect(&self, client_idx: u32) -> Checked<Client<'_>> {
        let connecting = self.server.connect(client_idx);
        let connected = tokio::time::timeout(self.patience, connecting).await;
        let limit = self.patience;
        let connection =
            connected.map_err(|_| Failure::new(format!("no connection within {limit:?}")))??;
        Ok(Client::new(connection, client_idx, self))
    }

    /// Notes a path that is to be removed after the case.
    pub fn note(&self, path: SharePath) {
        self.made().insert(path);
    }

    /// Notes a rename: each path below `source` may be left there or below `dest`.
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

    fn made(&self) -> std::sync::MutexGuard<'_, BTreeSet<SharePath>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the paths that are to be removed.
    pub(super) fn noted(&self) -> Vec<SharePath> {
        self.made().iter().cloned().collect()
    }
}

/// Returns the index of a client that has no other connection.
pub(super) fn next_client() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
