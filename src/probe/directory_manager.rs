//! The manager of case directories, which makes and removes the directories of cases over a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, timeout, timeout_at};

use super::case_directory::CaseDirectory;
use super::client::{SIDE_BY_SIDE, connect};
use super::failure::{Checked, answer};
use crate::backend::{SMBBackend, SMBConnectionInner};
use crate::ir::PathOperation;
use crate::protocol::{NtStatus, SharePath};

/// The maker and remover of the directories of cases. It uses a connection of its own, because a
/// case may break its connections.
pub struct DirectoryManager {
    server: Arc<dyn SMBBackend>,
    /// The longest time that any one wait for the server may take.
    patience: Duration,
    client_idx: u32,
    connection: Option<Box<dyn SMBConnectionInner>>,
}

/// The reason why something is left on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// The server refused, or did not answer in time. The string says which.
    SuiteError(String),
    /// The server could not be connected to any more.
    Unreachable(String),
}

/// The pause between two attempts.
const AGAIN: Duration = Duration::from_millis(20);

impl DirectoryManager {
    pub fn new(
        server: Arc<dyn SMBBackend>,
        client_idx: u32,
        patience: Duration,
    ) -> DirectoryManager {
        DirectoryManager { server, patience, client_idx, connection: None }
    }

    /// Makes the directory of a directory.
    ///
    /// # Errors
    /// A message that says what the server did instead.
    pub async fn make(&mut self, directory: &CaseDirectory) -> Result<(), String> {
        let mkdir = PathOperation::Mkdir { path: directory.path.clone() };
        let connected = self.connection.is_some();
        let mut made = self.asks(&mkdir).await;
        if made.is_err() && connected {
            // The case before may have broken the connection.
            made = self.asks(&mkdir).await;
        }
        match made {
            Ok(NtStatus::SUCCESS) => Ok(()),
            Ok(status) => Err(format!("got {status:?}")),
            Err(failure) => Err(failure.what()),
        }
    }

    /// Removes what the place notes, and its directory. Retries until `limit`, because a server
    /// notices that a connection is gone some time after the client does.
    pub async fn remove(&mut self, directory: &CaseDirectory, limit: Duration) -> Result<(), Left> {
        let deadline = Instant::now() + limit;
        // A server that restarts is back soon.
        let mut unreachable_since = None;
        let mut left = None;
        let agrees_to_all = self.server.capabilities().instant;
        loop {
            match timeout_at(deadline, self.try_remove(directory)).await {
                Ok(Ok((_, NtStatus::OBJECT_NAME_NOT_FOUND))) => return Ok(()),
                Ok(Ok(_)) if agrees_to_all => return Ok(()),
                Ok(Ok((removed, _))) => left = Some(format!("got {removed:?}")),
                Ok(Err(failure)) => left = Some(failure.what()),
                // An operation in flight on the old connection may be what blocks the removal.
                Err(_) => self.connection = None,
            }
            let why = || left.clone().unwrap_or_else(|| format!("no end after {limit:?}"));
            let now = Instant::now();
            if now >= deadline {
                return Err(match self.connected().await {
                    Ok(_) => Left::SuiteError(why()),
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
            // The connection ends whatever the server answers.
            let _ = timeout(self.patience, connection.disconnect()).await;
        }
    }

    /// Tries once to remove everything. Returns the server's answers to the removal of the
    /// directory and to a stat of it afterwards, because Samba's answer to the removal can be
    /// wrong: while a client that is just disconnecting holds a file in the directory, Samba
    /// reports success, or that the file is not found, and keeps the directory.
    async fn try_remove(&mut self, directory: &CaseDirectory) -> Checked<(NtStatus, NtStatus)> {
        // The deepest paths come first. Paths of one depth do not depend on each other.
        let mut made = directory.noted();
        let depth = |path: &SharePath| path.as_str().matches('/').count();
        made.sort_by_key(|path| std::cmp::Reverse(depth(path)));
        for level in made.chunk_by(|one, other| depth(one) == depth(other)) {
            let connection = self.connected().await?;
            // An operation that an aborted case left in flight may yet create a path that does not
            // exist now, so every path is tried each time.
            let removing = level.iter().map(|path| remove_either(connection, path));
            let removed: Checked<Vec<NtStatus>> =
                stream::iter(removing).buffer_unordered(SIDE_BY_SIDE).try_collect().await;
            if let Err(lost) = removed {
                self.connection = None;
                return Err(lost);
            }
        }
        let removed = self.asks(&PathOperation::Rmdir { path: directory.path.clone() }).await?;
        let found = self.asks(&PathOperation::Stat { path: directory.path.clone() }).await?;
        Ok((removed, found))
    }

    /// Returns the server's answer. Without one, the connection is dropped.
    async fn asks(&mut self, operation: &PathOperation) -> Checked<NtStatus> {
        let asked = answer(self.connected().await?.execute_misc(operation).await);
        if asked.is_err() {
            self.connection = None;
        }
        asked
    }

    async fn connected(&mut self) -> Checked<&dyn SMBConnectionInner> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.server, self.client_idx, self.patience).await?,
        };
        Ok(&**self.connection.insert(connection))
    }
}

/// Removes a file or a directory, and returns the server's answer.
async fn remove_either(connection: &dyn SMBConnectionInner, path: &SharePath) -> Checked<NtStatus> {
    let delete = PathOperation::Delete { path: path.clone() };
    match answer(connection.execute_misc(&delete).await)? {
        NtStatus::FILE_IS_A_DIRECTORY => {
            let rmdir = PathOperation::Rmdir { path: path.clone() };
            answer(connection.execute_misc(&rmdir).await)
        }
        answered => Ok(answered),
    }
}
