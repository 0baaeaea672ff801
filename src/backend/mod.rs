//! The ways to reach a file server, behind a boundary that the specification fixes. The scheduler
//! uses [`ConnectionState`] alone, which owns the handle table. A backend implements
//! [`SMBBackend`], [`SMBConnectionInner`] and [`SMBFileHandle`].

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::ir::event::SocketTimes;
use crate::ir::{FileControl, OpenMode, PathOperation};
use crate::protocol::create::{CreateDisposition, OplockLevel};
use crate::protocol::{CreateParameters, Granted, Lease, NtStatus, SharePath};

mod break_waits;
pub mod breaks;
pub mod capabilities;
pub mod connection;
#[cfg(test)]
mod connection_tests;
pub mod embedded;
pub mod entropy;
mod handle_table;
mod login_gate;
pub mod memory;
pub mod open_files;
mod path_order;
pub mod registry;
pub mod reopening;
pub mod sim;
pub mod smb2;
#[cfg(test)]
mod test_doubles;

pub use crate::ir::Feature;
pub use breaks::{BreakAcknowledger, BreakSender, BreakStream, Breaks, CachedFiles, break_channel};
pub use capabilities::BackendCapabilities;
pub use connection::ConnectionState;
pub use login_gate::{LoginGate, LoginTurn};

/// The time of a run, in nanoseconds from the run's origin. It is real, or virtual in simulation. A
/// backend that waits must wait on this clock.
pub trait Clock: Send + Sync {
    fn now_ns(&self) -> u64;

    /// Completes at `deadline_ns`, or as soon after it as the timer allows. It is not for
    /// issuing operations: the driver has a finer timer for that.
    fn sleep_until(&self, deadline_ns: u64) -> BoxFuture<'static, ()>;
}

/// A server to connect to, through one client stack.
///
/// # Examples
///
/// A backend that counts the connections to another one:
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// use async_trait::async_trait;
/// use smbench::backend::sim::NullBackend;
/// use smbench::backend::{
///     BackendCapabilities, ConnectError, Endpoint, SMBBackend, SMBConnectionInner,
/// };
///
/// struct Counting<B> {
///     inner: B,
///     connections: AtomicU32,
/// }
///
/// #[async_trait]
/// impl<B: SMBBackend> SMBBackend for Counting<B> {
///     fn capabilities(&self) -> BackendCapabilities {
///         self.inner.capabilities()
///     }
///
///     async fn connect(&self, client: u32) -> Result<Box<dyn SMBConnectionInner>, ConnectError> {
///         self.connections.fetch_add(1, Relaxed);
///         self.inner.connect(client).await
///     }
///
///     fn endpoint(&self) -> Endpoint {
///         self.inner.endpoint()
///     }
/// }
///
/// let backend = Counting { inner: NullBackend, connections: AtomicU32::new(0) };
/// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// for client in 0..3 {
///     runtime.block_on(backend.connect(client))?;
/// }
/// assert_eq!(backend.connections.into_inner(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[async_trait]
pub trait SMBBackend: Send + Sync {
    fn capabilities(&self) -> BackendCapabilities;

    /// Connects one client, logged in and ready for operations. The scheduler calls this for each
    /// client before the run, and again after a lost connection. A backend with accounts lets its
    /// clients log in through a [`LoginGate`].
    ///
    /// # Errors
    /// [`ConnectError`]. The caller limits the wait, so an implementation need not.
    async fn connect(&self, client_idx: u32) -> Result<Box<dyn SMBConnectionInner>, ConnectError>;

    /// Returns the server and the user of the connections, for messages.
    fn endpoint(&self) -> Endpoint;

    /// Returns what was negotiated. The caller asks after the first connect.
    fn server(&self) -> ServerDescription {
        ServerDescription::default()
    }
}

/// A server and the user who logs in there, without any secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    pub server: String,
    pub user: Option<String>,
}

/// The result of the negotiation, for the report. A field is None if the backend cannot know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServerDescription {
    /// SMB dialect that was negotiated; null where the backend cannot know.
    pub dialect: Option<String>,
    /// Signing algorithm that was negotiated; null where there is none.
    pub signing: Option<String>,
    /// Cipher that was negotiated; null where there is none.
    pub encryption: Option<String>,
    /// ServerGuid of the answer to NEGOTIATE; null where the backend cannot know.
    pub server: Option<String>,
}

/// The protocol operations of one connection. The engine has at most one in flight, apart from
/// `cancel` and from the flush and the acknowledgement for a break. The cases of
/// [`probe`](crate::probe) have many in flight.
#[async_trait]
pub trait SMBConnectionInner: Send + Sync {
    /// Opens a file in fidelity mode 0: by path, mode and disposition. The open shares read, write
    /// and delete access.
    async fn open_simple(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        self.open_extended(path, mode, disposition, &CreateParameters::default()).await
    }

    /// Opens a file in fidelity mode 1 or above. Absent parameters are as in `open_simple`.
    async fn open_extended(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
        parameters: &CreateParameters,
    ) -> Result<Box<dyn SMBFileHandle>, OpError>;

    /// Executes an operation by path, in as many requests as it takes.
    async fn execute_misc(&self, operation: &PathOperation) -> Result<(), OpError>;

    /// Executes a Rename or Delete of a file of which the client has `lease`. The CREATE names the
    /// lease key, so that the server does not break the client's own lease (MS-SMB2 3.2.4.3.8). A
    /// backend without leases has none to name.
    async fn execute_under_lease(
        &self,
        operation: &PathOperation,
        _lease: &Lease,
    ) -> Result<(), OpError> {
        self.execute_misc(operation).await
    }

    /// Asks the server to cancel the operations in flight (SMB2 CANCEL, MS-SMB2 2.2.30). Each still
    /// ends by itself, with its own status. Returns false if the backend cannot cancel.
    async fn cancel(&self) -> bool;

    /// Returns whether the connection is known to have ended while no request was in flight, for
    /// example because the server closed it. Returns false if the backend cannot know.
    fn has_ended(&self) -> bool {
        false
    }

    /// Returns what the socket saw since the last call, and resets it. Returns nothing if the
    /// backend has no socket of its own.
    fn take_socket_times(&self) -> SocketTimes {
        SocketTimes::default()
    }

    /// Returns the breaks of this connection and the means to answer them, once. Returns None
    /// later, and if the backend cannot see breaks.
    fn breaks(&mut self) -> Option<BreakStream> {
        None
    }

    /// Ends the session in an orderly way. The caller limits the wait.
    async fn disconnect(self: Box<Self>);
}

/// An open file.
#[async_trait]
pub trait SMBFileHandle: Send + Sync {
    /// Returns what the open was granted, or None if the backend does not know.
    fn granted(&self) -> Option<Granted> {
        None
    }

    /// Returns the oplock that the open was granted. Later breaks do not change it.
    fn granted_oplock(&self) -> Option<OplockLevel> {
        self.granted().map(|granted| granted.oplock)
    }

    /// Answers a break of the open's oplock. A break of a lease is answered through the
    /// connection's [`BreakAcknowledger`].
    ///
    /// # Errors
    /// The same as for [`BreakAcknowledger::acknowledge`].
    async fn acknowledge_oplock_break(&self, _new_level: OplockLevel) -> Result<(), OpError> {
        Err(OpError::Client("this backend does not receive oplock breaks".into()))
    }

    /// Reads `length` bytes, or fewer at the end of the file. At or past the end, a server answers
    /// STATUS_END_OF_FILE, which is an `Err` here as it is on the wire.
    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, OpError>;

    /// Writes all of `data` and returns its length in bytes.
    async fn write(&self, offset: u64, data: Bytes) -> Result<u64, OpError>;

    /// Executes any other operation on the open file.
    async fn control(&self, control: &FileControl) -> Result<(), OpError>;

    /// Closes the file. The caller calls this once and does not use the handle afterwards.
    async fn close(&self) -> Result<(), OpError>;
}

/// Short forms of [`SMBFileHandle::control`].
impl dyn SMBFileHandle {
    pub async fn truncate(&self, size: u64) -> Result<(), OpError> {
        self.control(&FileControl::Truncate { size }).await
    }

    pub async fn flush(&self) -> Result<(), OpError> {
        self.control(&FileControl::Flush).await
    }

    pub async fn lock(
        &self,
        offset: u64,
        length: u64,
        exclusive: bool,
        wait: bool,
    ) -> Result<(), OpError> {
        self.control(&FileControl::Lock { offset, length, exclusive, wait }).await
    }

    pub async fn unlock(&self, offset: u64, length: u64) -> Result<(), OpError> {
        self.control(&FileControl::Unlock { offset, length }).await
    }
}

/// The reason why an operation did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// The server's answer.
    #[error("{0}")]
    Status(NtStatus),
    /// The connection is gone, and every handle with it.
    #[error("connection lost: {0}")]
    ConnectionLost(String),
    /// The client stack failed by itself, or the answer made no sense.
    #[error("{0}")]
    Client(String),
}

/// The reason why a connection could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage} failed at {server}{}: {reason}", user.as_ref().map(|u| format!(" as user {u:?}")).unwrap_or_default())]
pub struct ConnectError {
    pub server: String,
    pub user: Option<String>,
    pub stage: ConnectStage,
    /// The NT status by name and number, or the operating system's words.
    pub reason: String,
    /// Whether trying again later may help (refused, reset, timed out), unlike after a wrong
    /// password.
    pub transient: bool,
    /// Whether the server refused the account itself. No client may then log in again: that cannot
    /// help, and every attempt may count towards locking the account.
    pub account_refused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectStage {
    Connect,
    Negotiate,
    Login,
    /// TREE_CONNECT to the share.
    Share,
    /// The directory of the target, below the share's root.
    Directory,
}

impl std::fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ConnectStage::Connect => "connecting",
            ConnectStage::Negotiate => "SMB negotiation",
            ConnectStage::Login => "login",
            ConnectStage::Share => "opening the share",
            ConnectStage::Directory => "opening the directory",
        })
    }
}

/// The settings with which every backend is built.
#[derive(Clone)]
pub struct BackendContext {
    pub clock: Arc<dyn Clock>,
    /// Longest time that a reply may take before the connection counts as dead.
    pub response_timeout: Duration,
    /// Whether every open asks for the server's number of the file (MS-SMB2 2.2.13.2.9). Breaks
    /// then block by file, whatever the file was called when it was opened. Without it, only opens
    /// that may be granted caching ask for the number.
    pub file_ids: bool,
}
