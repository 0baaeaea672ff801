//! A case's own folder on the server, emptied whatever happened.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;

use super::case::{Checked, Failure};
use super::client::{Client, answer};
use crate::backend::SMBBackend;
use crate::protocol::{NtStatus, SharePath};

/// A case's folder, and what was made in it.
pub struct Place {
    pub(super) server: Arc<dyn SMBBackend>,
    pub(super) folder: SharePath,
    /// How long any one wait on the server may take.
    pub(super) patience: Duration,
    made: Mutex<BTreeSet<SharePath>>,
}

/// Connections that empty a folder of many entries.
const CLEANERS: usize = 8;
/// From here on more than one does.
const MANY: usize = 64;

impl Place {
    pub fn new(server: Arc<dyn SMBBackend>, folder: SharePath, patience: Duration) -> Place {
        Place { server, folder, patience, made: Mutex::default() }
    }

    /// A client of the server that has no other connection.
    pub async fn client(&self) -> Checked<Client<'_>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        self.connect(NEXT.fetch_add(1, Ordering::Relaxed)).await
    }

    /// One more connection of client `client_idx`.
    pub async fn connect(&self, client_idx: u32) -> Checked<Client<'_>> {
        let connecting = self.server.connect(client_idx);
        let connected = tokio::time::timeout(self.patience, connecting).await;
        let limit = self.patience;
        let connection =
            connected.map_err(|_| Failure::new(format!("no connection within {limit:?}")))??;
        Ok(Client::new(connection, client_idx, self))
    }

    /// To be removed after the case.
    pub fn note(&self, path: SharePath) {
        self.made().insert(path);
    }

    /// What is below `source` will be below `dest`: either may be left.
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

    pub(super) async fn make(&self) -> Checked {
        let client = self.client().await?;
        client.mkdir("").await?;
        client.disconnect().await;
        Ok(())
    }

    /// Removes what was noted and the folder, trying until `limit`: a server
    /// notices that a connection is gone some time after the client does. What
    /// is left otherwise.
    pub(super) async fn remove(&self, limit: Duration) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let left = match tokio::time::timeout_at(deadline, self.try_remove()).await {
                Ok(Ok(NtStatus::SUCCESS | NtStatus::OBJECT_NAME_NOT_FOUND)) => return Ok(()),
                Ok(Ok(status)) => format!("got {status}"),
                Ok(Err(Failure::Otherwise(why) | Failure::NotGranted(why))) => why,
                Err(_) => format!("no end after {limit:?}"),
            };
            if tokio::time::Instant::now() >= deadline {
                return Err(left);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn try_remove(&self) -> Checked<NtStatus> {
        // Deepest first; those of one depth do not need each other.
        let mut made: Vec<SharePath> = self.made().iter().cloned().collect();
        let depth = |path: &SharePath| path.as_str().matches('/').count();
        made.sort_by_key(|path| std::cmp::Reverse(depth(path)));
        for level in made.chunk_by(|one, other| depth(one) == depth(other)) {
            let cleaners = if level.len() < MANY { 1 } else { CLEANERS };
            let share = level.len().div_ceil(cleaners);
            let cleaning = level.chunks(share).map(async |paths| {
                let client = self.client().await?;
                for path in paths {
                    client.remove(path).await?;
                }
                client.disconnect().await;
                Ok(())
            });
            let cleaned: Vec<Checked> = join_all(cleaning).await;
            cleaned.into_iter().collect::<Checked>()?;
        }
        let client = self.client().await?;
        let removed = answer(client.rmdir("").await)?;
        client.disconnect().await;
        Ok(removed)
    }
}
