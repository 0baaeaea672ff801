//! One client that works in the directory of a case.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;

use super::case::{Checked, Failure};
use super::place::Place;
use super::shown::Shown;
use crate::backend::{BreakAcknowledger, BreakStream, OpError, SMBConnectionInner, SMBFileHandle};
use crate::ir::{OpenMode, PathOperation};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{Acknowledgement, Break, CreateParameters, NtStatus, SharePath};

pub type Handle = Box<dyn SMBFileHandle>;

pub struct Client<'a> {
    pub connection: Box<dyn SMBConnectionInner>,
    pub client_idx: u32,
    place: &'a Place,
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

/// Returns the server's answer; success is STATUS_SUCCESS.
///
/// # Errors
/// [`Failure`] if there was no answer.
#[track_caller]
pub fn answer<T>(result: Result<T, OpError>) -> Checked<NtStatus> {
    match result {
        Ok(_) => Ok(NtStatus::SUCCESS),
        Err(OpError::Status(status)) => Ok(status),
        Err(error) => Err(Failure::new(format!("no answer from the server: {error}"))),
    }
}

impl<'a> Client<'a> {
    pub(super) fn new(
        mut connection: Box<dyn SMBConnectionInner>,
        client_idx: u32,
        place: &'a Place,
    ) -> Client<'a> {
        let breaks = connection.breaks().map(|stream| Breaks {
            acknowledger: stream.acknowledger(),
            stream: Mutex::new(stream),
        });
        Client { connection, client_idx, place, breaks }
    }

    pub async fn disconnect(self) {
        // The connection ends whatever the server answers.
        let _ = tokio::time::timeout(self.place.patience, self.connection.disconnect()).await;
    }

    /// Returns the path of `name` in the directory of the case.
    ///
    /// # Errors
    /// [`Failure`] if `name` is not one that a server can be asked for.
    pub fn path(&self, name: &str) -> Checked<SharePath> {
        Ok(SharePath::new(name)?.below(&self.place.folder))
    }

    /// Returns the path of `name`, and notes it for removal after the case.
    fn made(&self, name: &str) -> Result<SharePath, OpError> {
        let path = self.named(name)?;
        if path != self.place.folder {
            self.place.note(path.clone());
        }
        Ok(path)
    }

    fn named(&self, name: &str) -> Result<SharePath, OpError> {
        let path = SharePath::new(name).map_err(|error| OpError::Client(error.to_string()))?;
        Ok(path.below(&self.place.folder))
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

    /// Opens a file like [`Client::file`], with further parameters.
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

    pub async fn mkdir(&self, name: &str) -> Result<(), OpError> {
        let path = self.made(name)?;
        self.connection.execute_misc(&PathOperation::Mkdir { path }).await
    }

    pub async fn rmdir(&self, name: &str) -> Result<(), OpError> {
        let path = self.named(name)?;
        self.connection.execute_misc(&PathOperation::Rmdir { path }).await
    }

    pub async fn delete(&self, name: &str) -> Result<(), OpError> {
        let path = self.named(name)?;
        self.connection.execute_misc(&PathOperation::Delete { path }).await
    }

    pub async fn stat(&self, name: &str) -> Result<(), OpError> {
        let path = self.named(name)?;
        self.connection.execute_misc(&PathOperation::Stat { path }).await
    }

    pub async fn list(&self, name: &str, pattern: &str) -> Result<(), OpError> {
        let path = self.named(name)?;
        self.connection.execute_misc(&PathOperation::List { path, pattern: pattern.into() }).await
    }

    pub async fn rename(&self, from: &str, to: &str, replace: bool) -> Result<(), OpError> {
        let (source_path, dest_path) = (self.named(from)?, self.named(to)?);
        self.place.note_rename(&source_path, &dest_path);
        let rename = PathOperation::Rename { source_path, dest_path, replace };
        self.connection.execute_misc(&rename).await
    }

    /// Waits for the next break, and returns it.
    ///
    /// # Errors
    /// [`Failure`] if none comes in time.
    pub async fn told(&self) -> Checked<Break> {
        self.told_within(self.place.patience).await
    }

    async fn told_within(&self, limit: Duration) -> Checked<Break> {
        let mut stream = self.breaks()?.stream.lock().await;
        match tokio::time::timeout(limit, stream.next()).await {
            Ok(Some(told)) => Ok(told),
            Ok(None) => Err(Failure::new("the connection ended before a break came")),
            Err(_) => Err(Failure::new(format!("no break within {limit:?}"))),
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
        let (told, done) = tokio::select! {
            told = self.told() => (told?, None),
            done = &mut cause => (self.told_within(SOON.min(self.place.patience)).await?, Some(done?)),
        };
        match done {
            Some(done) => react(told).await.map(|()| done),
            None => Ok(tokio::try_join!(cause, react(told))?.0),
        }
    }

    /// Fails if a break comes within a short time.
    pub async fn is_left_alone(&self) -> Checked {
        let breaks = self.breaks()?;
        let mut stream = breaks.stream.lock().await;
        match tokio::time::timeout(QUIET, stream.next()).await {
            Ok(Some(told)) => {
                Err(Failure::new(format!("got {}, not to be left alone", told.shown())))
            }
            Ok(None) => Err(Failure::new("the connection ended")),
            Err(_) => Ok(()),
        }
    }

    pub async fn answers(&self, answer: Acknowledgement) -> Result<(), OpError> {
        match &self.breaks {
            Some(breaks) => breaks.acknowledger.acknowledge(answer).await,
            None => Err(OpError::Client("this backend sees no breaks".into())),
        }
    }

    fn breaks(&self) -> Checked<&Breaks> {
        self.breaks.as_ref().ok_or_else(|| Failure::new("this backend sees no breaks"))
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
