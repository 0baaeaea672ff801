//! One client that works in the directory of a case.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;

use super::case_directory::CaseDirectory;
use super::failure::{CaseFailure, Checked};
use super::value_description::Describe;
use crate::backend::{
    BreakAcknowledger, BreakStream, OpError, SMBBackend, SMBConnectionInner, SMBFileHandle,
};
use crate::ir::{OpenMode, PathOperation};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{Acknowledgement, Break, CreateParameters, NtStatus, SharePath};

pub type Handle = Box<dyn SMBFileHandle>;

pub struct ProbeClient<'a> {
    pub connection: Box<dyn SMBConnectionInner>,
    pub client_idx: u32,
    directory: &'a CaseDirectory,
    breaks: Option<Breaks>,
}

struct Breaks {
    stream: Mutex<BreakStream>,
    acknowledger: Arc<dyn BreakAcknowledger>,
}

/// The longest wait for something that must have happened already.
pub const SOON: Duration = Duration::from_secs(2);
/// The time for which a break that must not come is waited for.
const QUIET: Duration = Duration::from_millis(120);

/// The most independent operations in flight over one connection; fewer if the server grants fewer
/// credits.
pub(super) const SIDE_BY_SIDE: usize = 64;

/// The clients of a case, which have a connection each.
pub type Clients<'a, const N: usize> = [ProbeClient<'a>; N];

impl CaseDirectory {
    /// Connects a client that has no other connection.
    pub async fn client(&self) -> Checked<ProbeClient<'_>> {
        self.connect(next_client()).await
    }

    /// Connects two clients that have no other connections.
    pub async fn pair(&self) -> Checked<Clients<'_, 2>> {
        Ok([self.client().await?, self.client().await?])
    }

    /// Makes one more connection of client `client_idx`.
    pub async fn connect(&self, client_idx: u32) -> Checked<ProbeClient<'_>> {
        let connection = connect(&self.server, client_idx, self.patience).await?;
        Ok(ProbeClient::new(connection, client_idx, self))
    }
}

/// Connects a client within `limit`.
pub(super) async fn connect(
    server: &Arc<dyn SMBBackend>,
    client_idx: u32,
    limit: Duration,
) -> Checked<Box<dyn SMBConnectionInner>> {
    let connected = tokio::time::timeout(limit, server.connect(client_idx)).await;
    Ok(connected.map_err(|_| CaseFailure::new(format!("no connection within {limit:?}")))??)
}

/// Returns the index of a client that has no other connection.
pub(super) fn next_client() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl<'a> ProbeClient<'a> {
    pub(super) fn new(
        mut connection: Box<dyn SMBConnectionInner>,
        client_idx: u32,
        directory: &'a CaseDirectory,
    ) -> ProbeClient<'a> {
        let breaks = connection.breaks().map(|stream| Breaks {
            acknowledger: stream.acknowledger(),
            stream: Mutex::new(stream),
        });
        ProbeClient { connection, client_idx, directory, breaks }
    }

    pub async fn disconnect(self) {
        // The connection ends whatever the server answers.
        let _ = tokio::time::timeout(self.directory.patience, self.connection.disconnect()).await;
    }

    /// Returns the path of `name`, and notes it for removal after the case.
    fn made(&self, name: &str) -> Result<SharePath, OpError> {
        let path = self.named(name)?;
        if path != self.directory.path {
            self.directory.note(path.clone());
        }
        Ok(path)
    }

    fn named(&self, name: &str) -> Result<SharePath, OpError> {
        let path = SharePath::new(name).map_err(|error| OpError::Client(error.to_string()))?;
        Ok(path.below(&self.directory.path))
    }

    pub async fn open(
        &self,
        name: &str,
        mode: OpenMode,
        disposition: CreateDisposition,
    ) -> Result<Handle, OpError> {
        self.connection.open_simple(&self.made(name)?, mode, disposition).await
    }

    pub async fn open_extended(
        &self,
        name: &str,
        mode: OpenMode,
        disposition: CreateDisposition,
        parameters: &CreateParameters,
    ) -> Result<Handle, OpError> {
        self.connection.open_extended(&self.made(name)?, mode, disposition, parameters).await
    }

    /// Opens a file for reading and writing, and creates it if it does not exist.
    pub async fn file(&self, name: &str) -> Result<Handle, OpError> {
        self.open(name, OpenMode::ReadWrite, CreateDisposition::OpenIf).await
    }

    /// Opens a file like [`ProbeClient::file`], with further parameters.
    pub async fn file_with(
        &self,
        name: &str,
        parameters: &CreateParameters,
    ) -> Result<Handle, OpError> {
        self.open_extended(name, OpenMode::ReadWrite, CreateDisposition::OpenIf, parameters).await
    }

    /// Opens an existing file for reading.
    pub async fn reader(&self, name: &str) -> Result<Handle, OpError> {
        self.open(name, OpenMode::Read, CreateDisposition::Open).await
    }

    pub async fn make(&self, name: &str, content: &'static [u8]) -> Result<(), OpError> {
        let mode = OpenMode::Write;
        let handle = self.open(name, mode, CreateDisposition::OverwriteIf).await?;
        handle.write(0, Bytes::from_static(content)).await?;
        handle.close().await
    }

    /// Returns the content of a file of at most 64 KiB.
    pub async fn content(&self, name: &str) -> Result<Vec<u8>, OpError> {
        let handle = self.reader(name).await?;
        let content = match handle.read(0, 64 << 10).await {
            Err(OpError::Status(NtStatus::END_OF_FILE)) => Vec::new(),
            read => read?.to_vec(),
        };
        handle.close().await?;
        Ok(content)
    }

    async fn by_path(&self, operation: PathOperation) -> Result<(), OpError> {
        self.connection.execute_misc(&operation).await
    }

    pub async fn mkdir(&self, name: &str) -> Result<(), OpError> {
        self.by_path(PathOperation::Mkdir { path: self.made(name)? }).await
    }

    pub async fn rmdir(&self, name: &str) -> Result<(), OpError> {
        self.by_path(PathOperation::Rmdir { path: self.named(name)? }).await
    }

    pub async fn delete(&self, name: &str) -> Result<(), OpError> {
        self.by_path(PathOperation::Delete { path: self.named(name)? }).await
    }

    pub async fn stat(&self, name: &str) -> Result<(), OpError> {
        self.by_path(PathOperation::Stat { path: self.named(name)? }).await
    }

    pub async fn list(&self, name: &str, pattern: &str) -> Result<(), OpError> {
        let path = self.named(name)?;
        self.by_path(PathOperation::List { path, pattern: pattern.into() }).await
    }

    pub async fn rename(&self, from: &str, to: &str, replace: bool) -> Result<(), OpError> {
        let (source_path, dest_path) = (self.named(from)?, self.named(to)?);
        self.directory.note_rename(&source_path, &dest_path);
        self.by_path(PathOperation::Rename { source_path, dest_path, replace }).await
    }

    /// Waits for the next break, and returns it.
    ///
    /// # Errors
    /// [`CaseFailure`] if none comes in time.
    pub async fn next_break(&self) -> Checked<Break> {
        self.next_break_within(self.directory.patience).await
    }

    async fn next_break_within(&self, limit: Duration) -> Checked<Break> {
        let mut stream = self.breaks()?.stream.lock().await;
        match tokio::time::timeout(limit, stream.next()).await {
            Ok(Some(notice)) => Ok(notice),
            Ok(None) => Err(CaseFailure::new("the connection ended before a break came")),
            Err(_) => Err(CaseFailure::new(format!("no break within {limit:?}"))),
        }
    }

    /// Runs `cause`, which makes the server break something, and calls `react` with the break to
    /// answer it. Returns the result of `cause`. Whether `cause` waits for the answer is up to the
    /// server.
    pub async fn broken_by<T>(
        &self,
        cause: impl Future<Output = Checked<T>> + Send,
        react: impl AsyncFnOnce(Break) -> Checked,
    ) -> Checked<T> {
        // Boxed, because every case would make a type of its own here, which costs build time.
        let mut cause: BoxFuture<'_, Checked<T>> = Box::pin(cause);
        let (notice, done) = tokio::select! {
            notice = self.next_break() => (notice?, None),
            done = &mut cause => (self.next_break_within(SOON.min(self.directory.patience)).await?, Some(done?)),
        };
        match done {
            Some(done) => react(notice).await.map(|()| done),
            None => Ok(tokio::try_join!(cause, react(notice))?.0),
        }
    }

    /// Fails if a break comes within a short time.
    pub async fn expect_no_break(&self) -> Checked {
        let breaks = self.breaks()?;
        let mut stream = breaks.stream.lock().await;
        match tokio::time::timeout(QUIET, stream.next()).await {
            Ok(Some(notice)) => {
                Err(CaseFailure::new(format!("got {}, expected no break", notice.described())))
            }
            Ok(None) => Err(CaseFailure::new("the connection ended")),
            Err(_) => Ok(()),
        }
    }

    pub async fn answers(&self, answer: Acknowledgement) -> Result<(), OpError> {
        match &self.breaks {
            Some(breaks) => breaks.acknowledger.acknowledge(answer).await,
            None => Err(OpError::Client("this backend does not receive breaks".into())),
        }
    }

    fn breaks(&self) -> Checked<&Breaks> {
        self.breaks.as_ref().ok_or_else(|| CaseFailure::new("this backend does not receive breaks"))
    }
}

/// Runs independent operations, many of them in flight at a time, and returns their results in
/// order.
///
/// # Errors
/// The first failure.
pub async fn side_by_side<T>(operations: Vec<impl Future<Output = Checked<T>>>) -> Checked<Vec<T>> {
    stream::iter(operations).buffered(SIDE_BY_SIDE).try_collect().await
}

/// Awaits an operation, and turns its error into the failure of a case.
pub async fn done<T>(operation: impl Future<Output = Result<T, OpError>>) -> Checked<T> {
    Ok(operation.await?)
}
