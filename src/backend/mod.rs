//! Ways to reach a file server, behind the boundary the specification locks:
//! the scheduler talks to [`ConnectionState`] alone, which owns the handle
//! table; a backend implements [`SMBBackend`], [`SMBConnectionInner`] and
//! [`SMBFileHandle`].

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::ir::event::SocketTimes;
use crate::ir::{OpenMode, OperationKind};
use crate::protocol::create::{CreateDisposition, OplockLevel};
use crate::protocol::{CreateParameters, Granted, Lease, NtStatus, SharePath};

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

pub use crate::ir::Feature;
pub use breaks::{BreakAcknowledger, BreakSender, BreakStream, Breaks, CachedFiles, break_channel};
pub use capabilities::BackendCapabilities;
pub use connection::{ConnectionState, Execution};
pub use login_gate::{LoginGate, LoginTurn};

/// Time as a run sees it: nanoseconds from the run's origin. Real, or virtual
/// in simulation; a backend that waits, waits on this.
pub trait Clock: Send + Sync {
    fn now_ns(&self) -> u64;

    /// Ends at `deadline_ns` or as soon after as the timer allows. Not for
    /// issuing operations: the driver has a finer timer for that.
    fn sleep_until(&self, deadline_ns: u64) -> BoxFuture<'static, ()>;
}

/// A server to connect to, through one client stack.
#[async_trait]
pub trait SMBBackend: Send + Sync {
    fn capabilities(&self) -> BackendCapabilities;

    /// Makes one client's connection, logged in and ready for operations.
    /// Called for each client before the run, and again after a lost connection.
    /// A backend with accounts has its clients take turns at a [`LoginGate`].
    ///
    /// # Errors
    /// [`ConnectError`]; the caller bounds the wait, so an implementation need not.
    async fn connect(&self, client_idx: u32) -> Result<Box<dyn SMBConnectionInner>, ConnectError>;

    /// Where connections go, for messages.
    fn endpoint(&self) -> Endpoint;

    /// What the connections turned out to be; asked after the first connect.
    fn server(&self) -> ServerDescription {
        ServerDescription::default()
    }
}

/// A server and who logs in there; nothing secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    pub server: String,
    pub user: Option<String>,
}

/// For the report: what was negotiated. Absent where the backend cannot know.
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

/// One connection's protocol operations. The engine has at most one in progress
/// at a time, apart from `cancel` and the flush and acknowledgement of a break;
/// the cases of [`probe`](crate::probe) have many.
#[async_trait]
pub trait SMBConnectionInner: Send + Sync {
    /// Fidelity mode 0: a path, a mode and the disposition it implies. Shares
    /// read, write and delete.
    async fn open_simple(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
    ) -> Result<Box<dyn SMBFileHandle>, OpError>;

    /// Fidelity mode 1 and up. Fields that are absent are as in `open_simple`.
    async fn open_extended(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
        parameters: &CreateParameters,
    ) -> Result<Box<dyn SMBFileHandle>, OpError>;

    /// An operation by path: Rename, Delete, Mkdir, Rmdir, Stat or List, however
    /// many requests it takes.
    async fn execute_misc(&self, operation: &OperationKind) -> Result<(), OpError>;

    /// A Rename or Delete of a file of which the client has `lease`: its CREATE
    /// names the key, so that the server takes nothing back from the client
    /// itself (MS-SMB2 3.2.4.3.8). A backend that knows no leases has none to name.
    async fn execute_under_lease(
        &self,
        operation: &OperationKind,
        _lease: &Lease,
    ) -> Result<(), OpError> {
        self.execute_misc(operation).await
    }

    /// Asks the server to give up what is in flight (SMB2 CANCEL, MS-SMB2 2.2.30).
    /// The operation still ends by itself, with its own status. False where
    /// the backend cannot.
    async fn cancel(&self) -> bool;

    /// Returns whether the connection is known to have ended, while nothing was asked of
    /// it: the server closed it, for example. False where the backend cannot know.
    fn has_ended(&self) -> bool {
        false
    }

    /// Returns what the socket saw since the last call, and forgets it. Nothing where
    /// the backend has no socket of its own.
    fn take_socket_times(&self) -> SocketTimes {
        SocketTimes::default()
    }

    /// The breaks of what this connection was granted, and the way to answer
    /// them: once. None where the backend cannot see breaks.
    fn breaks(&mut self) -> Option<BreakStream> {
        None
    }

    /// Ends the session in good order. Bounded by the caller.
    async fn disconnect(self: Box<Self>);
}

/// An open file.
#[async_trait]
pub trait SMBFileHandle: Send + Sync {
    /// What the open was granted. None where the backend does not know.
    fn granted(&self) -> Option<Granted> {
        None
    }

    /// The oplock the open was granted; breaks since do not change it.
    fn granted_oplock(&self) -> Option<OplockLevel> {
        self.granted().map(|granted| granted.oplock)
    }

    /// Answers a break of the open's oplock; of a lease, the connection's
    /// [`BreakAcknowledger`] does.
    ///
    /// # Errors
    /// As [`BreakAcknowledger::acknowledge`].
    async fn acknowledge_oplock_break(&self, _new_level: OplockLevel) -> Result<(), OpError> {
        Err(OpError::Client("this backend sees no oplock breaks".into()))
    }

    /// Fewer bytes than asked at the end of the file. At or past it, a server
    /// answers STATUS_END_OF_FILE, which is an `Err` here as it is on the wire.
    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, OpError>;

    /// The bytes written: all of `data`, or an error.
    async fn write(&self, offset: u64, data: Bytes) -> Result<u64, OpError>;

    /// Sets the end of file.
    async fn truncate(&self, size: u64) -> Result<(), OpError>;

    async fn flush(&self) -> Result<(), OpError>;

    async fn lock(
        &self,
        offset: u64,
        length: u64,
        exclusive: bool,
        wait: bool,
    ) -> Result<(), OpError>;

    async fn unlock(&self, offset: u64, length: u64) -> Result<(), OpError>;

    /// Called once, and nothing is asked of the handle after it.
    async fn close(&self) -> Result<(), OpError>;
}

/// Why an operation did not succeed.
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

/// Why a connection could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage} failed at {server}{}: {reason}", user.as_ref().map(|u| format!(" as user {u:?}")).unwrap_or_default())]
pub struct ConnectError {
    pub server: String,
    pub user: Option<String>,
    pub stage: ConnectStage,
    /// The NT status by name and number, or the operating system's words.
    pub reason: String,
    /// Trying again later may help (refused, reset, timed out), unlike a wrong password.
    pub transient: bool,
    /// The server refused the account itself. No client is to log in again: that
    /// cannot help, and every attempt may count towards locking the account.
    pub account_refused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectStage {
    Connect,
    Negotiate,
    Login,
    /// TREE_CONNECT to the share.
    Share,
    /// The folder of the target, below the share's root.
    Folder,
}

impl std::fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ConnectStage::Connect => "connecting",
            ConnectStage::Negotiate => "SMB negotiation",
            ConnectStage::Login => "login",
            ConnectStage::Share => "opening the share",
            ConnectStage::Folder => "opening the folder",
        })
    }
}

/// What a backend is built with, the same for all.
#[derive(Clone)]
pub struct BackendContext {
    pub clock: Arc<dyn Clock>,
    /// How long a reply may take before the connection counts as dead.
    pub response_timeout: Duration,
    /// Every open asks what the server calls the file (MS-SMB2 2.2.13.2.9), for
    /// breaks to block by file whatever its name was when it was opened. Without
    /// it, only what may be cached does.
    pub file_ids: bool,
}
