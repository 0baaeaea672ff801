//! Makes the folders of cases and empties them, over one connection for many.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, timeout, timeout_at};

use super::case::{Checked, Failure};
use super::client::{SIDE_BY_SIDE, answer};
use super::place::Place;
use crate::backend::{SMBBackend, SMBConnectionInner};
use crate::ir::OperationKind;
use crate::protocol::{NtStatus, SharePath};

/// Its connection is not a case's: what a case does to its own ends with it.
pub struct Keeper {
    server: Arc<dyn SMBBackend>,
    /// How long any one wait on the server may take.
    patience: Duration,
    client_idx: u32,
    connection: Option<Box<dyn SMBConnectionInner>>,
}

/// Why something is left on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// The server's answer, or that it took too long.
    Refused(String),
    /// No connection could be made to it any more.
    Unreachable(String),
}

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(20);

impl Keeper {
    pub fn new(server: Arc<dyn SMBBackend>, client_idx: u32, patience: Duration) -> Keeper {
        Keeper { server, patience, client_idx, connection: None }
    }

    /// Makes the place's folder.
    ///
    /// # Errors
    /// What the server did instead.
    pub async fn make(&mut self, place: &Place) -> Result<(), String> {
        let mkdir = OperationKind::Mkdir { path: place.folder.clone() };
        let connected = self.connection.is_some();
        let mut made = self.asks(&mkdir).await;
        if made.is_err() && connected {
            // What the case before did may have cost the connection.
            made = self.asks(&mkdir).await;
        }
        match made {
            Ok(NtStatus::SUCCESS) => Ok(()),
            Ok(status) => Err(format!("got {status:?}")),
            Err(failure) => Err(failure.what()),
        }
    }

    /// Removes what the place notes and its folder, trying until `limit`: a
    /// server notices that a connection is gone some time after the client does.
    pub async fn remove(&mut self, place: &Place, limit: Duration) -> Result<(), Left> {
        let deadline = Instant::now() + limit;
        // A server that restarts is back soon.
        let mut unreachable_since = None;
        let mut left = None;
        let agrees_to_all = self.server.capabilities().instant;
        loop {
            match timeout_at(deadline, self.try_remove(place)).await {
                Ok(Ok((_, NtStatus::OBJECT_NAME_NOT_FOUND))) => return Ok(()),
                Ok(Ok(_)) if agrees_to_all => return Ok(()),
                Ok(Ok((removed, _))) => left = Some(format!("got {removed:?}")),
                Ok(Err(failure)) => left = Some(failure.what()),
                // What is on its way over the old one may be what keeps it.
                Err(_) => self.connection = None,
            }
            let why = || left.clone().unwrap_or_else(|| format!("no end after {limit:?}"));
            let now = Instant::now();
            if now >= deadline {
                return Err(match self.connected().await {
                    Ok(_) => Left::Refused(why()),
                    Err(_) => Left::Unreachable(why()),
                });
            }
            if self.connection.is_some() {
                unreachable_since = None;
            } else if now >= *unreachable_since.get_or_insert(now) + self.patience {
                return Err(Left::Unreachable(why()));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    pub async fn disconnect(self) {
        if let Some(connection) = self.connection {
            // Whatever the server says, the connection is over.
            let _ = timeout(self.patience, connection.disconnect()).await;
        }
    }

    /// The server's answer to the removal of the folder, and whether it is found
    /// then. Where a client that is just going holds a file in it, Samba calls
    /// the removal a success, or the file not found, and keeps the folder.
    async fn try_remove(&mut self, place: &Place) -> Checked<(NtStatus, NtStatus)> {
        // Deepest first; those of one depth do not need each other.
        let mut made = place.noted();
        let depth = |path: &SharePath| path.as_str().matches('/').count();
        made.sort_by_key(|path| std::cmp::Reverse(depth(path)));
        for level in made.chunk_by(|one, other| depth(one) == depth(other)) {
            let connection = self.connected().await?;
            // One that is not there, or is no longer, may be made yet by what a
            // case that broke off had on its way: none is forgotten.
            let removing = level.iter().map(|path| remove_either(connection, path));
            let removed: Checked<Vec<NtStatus>> =
                stream::iter(removing).buffer_unordered(SIDE_BY_SIDE).try_collect().await;
            if let Err(lost) = removed {
                self.connection = None;
                return Err(lost);
            }
        }
        let removed = self.asks(&OperationKind::Rmdir { path: place.folder.clone() }).await?;
        let found = self.asks(&OperationKind::Stat { path: place.folder.clone() }).await?;
        Ok((removed, found))
    }

    /// The server's answer; without one, the connection is given up.
    async fn asks(&mut self, operation: &OperationKind) -> Checked<NtStatus> {
        let asked = answer(self.connected().await?.execute_misc(operation).await);
        if asked.is_err() {
            self.connection = None;
        }
        asked
    }

    async fn connected(&mut self) -> Checked<&dyn SMBConnectionInner> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let limit = self.patience;
                let connected = timeout(limit, self.server.connect(self.client_idx)).await;
                connected.map_err(|_| Failure::new(format!("no connection within {limit:?}")))??
            }
        };
        Ok(&**self.connection.insert(connection))
    }
}

/// Removes a file or a folder; the server's answer.
async fn remove_either(connection: &dyn SMBConnectionInner, path: &SharePath) -> Checked<NtStatus> {
    let delete = OperationKind::Delete { path: path.clone() };
    match answer(connection.execute_misc(&delete).await)? {
        NtStatus::FILE_IS_A_DIRECTORY => {
            let rmdir = OperationKind::Rmdir { path: path.clone() };
            answer(connection.execute_misc(&rmdir).await)
        }
        answered => Ok(answered),
    }
}
