//! One client's connection as the scheduler sees it: it executes operations, owns the handle table,
//! and reports the result of each operation.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Either, select};

use super::breaks::{Breaks, Holder, execute_with_lease, open_with_key};
use super::handle_table::{HandleTable, OpenFile};
use super::reopening::{KeptPaths, Reopenings};
use super::{BackendCapabilities, OpError, SMBConnectionInner};
use crate::ir::event::Reopened;
use crate::ir::panic_message::panic_message;
use crate::ir::{
    Blob, CompletionStatus, Execution, Expect, Failure, FileControl, HandleOperation, HandleRef,
    OpenMode, OpenOperation, Operation, OperationKind, OperationType, PathOperation, Payload,
    Section,
};
use crate::protocol::{CreateParameters, Granted, NtStatus};

/// Time that an operation has to end after SMB2 CANCEL was sent for it, in nanoseconds.
pub const CANCEL_GRACE_NS: u64 = 1_000_000_000;

/// One client's connection, from login to disconnect or loss.
pub struct ConnectionState {
    /// None once the connection is lost.
    inner: Option<Box<dyn SMBConnectionInner>>,
    pub(super) handles: HandleTable,
    pub(super) reopenings: Reopenings,
    /// The breaks of the client. They are answered while an operation is in flight, by the task
    /// that polls them.
    pub(super) breaks: Rc<Breaks>,
    capabilities: Arc<BackendCapabilities>,
    /// Seed of payload patterns.
    seed: u64,
}

impl ConnectionState {
    pub fn new(
        inner: Box<dyn SMBConnectionInner>,
        capabilities: Arc<BackendCapabilities>,
        breaks: Rc<Breaks>,
        seed: u64,
    ) -> ConnectionState {
        ConnectionState {
            inner: Some(inner),
            handles: HandleTable::default(),
            reopenings: Reopenings::default(),
            breaks,
            capabilities,
            seed,
        }
    }

    pub fn is_connected(&self) -> bool {
        self.inner.is_some()
    }

    /// Drops the connection with all its handles if it ended while no request was in flight, and
    /// returns whether it had. Operation `last_seq` was the last that it executed.
    pub fn drop_ended(&mut self, last_seq: u32) -> bool {
        let ended = self.inner.as_ref().is_some_and(|inner| inner.has_ended());
        if ended {
            self.lose(last_seq);
        }
        ended
    }

    /// Takes over a new connection after a lost one. Handles from before stay missing.
    pub fn reconnected(&mut self, inner: Box<dyn SMBConnectionInner>) {
        self.inner = Some(inner);
    }

    /// Returns the bytes that a write carries. They are made or read before the operation is
    /// issued, so that this never counts as the server's time.
    ///
    /// # Errors
    /// The blob file cannot be read. The caller then fails the operation without sending it.
    pub async fn payload(&self, operation: &Operation) -> Result<Bytes, Failure> {
        let OperationKind::OnHandle(handle_ref, HandleOperation::Write { offset, length, payload }) =
            &operation.kind
        else {
            return Ok(Bytes::new());
        };
        let Some((_, path)) = self.handles.open(*handle_ref) else {
            // The write will be skipped.
            return Ok(Bytes::new());
        };
        match payload {
            Payload::Pattern(pattern) => Ok(pattern.bytes(self.seed, path, *offset, *length)),
            Payload::Blob(blob) => match blob.data() {
                Some(data) => Ok(data.clone()),
                None => Box::pin(read_blob(Arc::clone(blob), *length)).await,
            },
        }
    }

    /// Executes one operation to its full end. When `expired` completes, the operation has taken
    /// too long and is canceled at the server. If it has not ended a second later, the connection
    /// is dropped.
    ///
    /// `payload` comes from [`ConnectionState::payload`].
    pub async fn execute(
        &mut self,
        operation: &Operation,
        payload: Bytes,
        expired: impl Future<Output = ()>,
    ) -> Execution {
        if let OperationKind::Open(open) = &operation.kind {
            self.handles.forget(open.handle_ref);
        }
        if let Some(cause_seq) = self.reopenings.begins(&operation.kind) {
            return self.skip(operation, cause_seq);
        }
        if let OperationKind::OnHandle(handle_ref, _) = operation.kind
            && let Some(cause_seq) = self.handles.missing(handle_ref)
        {
            // The stream was validated, so the Open of an unknown handle was cut from it.
            return self.skip(operation, cause_seq.unwrap_or(operation.seq));
        }
        let Some(inner) = self.inner.as_deref() else {
            return self.unsent(operation, "not connected");
        };

        let wanted = match &operation.kind {
            OperationKind::Open(open) => open.extensions.as_deref(),
            _ => None,
        };
        // Boxed, because most operations have none and every client's task reserves room for one.
        let parameters = wanted.map(|wanted| Box::new(self.capabilities.keep_supported(wanted)));
        let degraded = parameters.as_deref() != wanted;
        let closing = self.about_to(operation);
        let clock = &self.breaks.clock;
        // Discards the times of anything sent before this operation.
        inner.take_socket_times();
        let ended = {
            let parameters = parameters.as_deref().filter(|parameters| !parameters.is_empty());
            let handles = &mut self.handles;
            let attempt = attempt(inner, &self.breaks, handles, operation, payload, parameters);
            let attempt = pin!(AssertUnwindSafe(attempt).catch_unwind());
            match select(attempt, pin!(expired)).await {
                Either::Left((ended, _)) => Ended::by_itself(ended),
                Either::Right(((), attempt)) => {
                    let deadline_ns = clock.now_ns() + CANCEL_GRACE_NS;
                    let cancelled = async {
                        let cancel = AssertUnwindSafe(inner.cancel()).catch_unwind().await;
                        if cancel.unwrap_or(false) { Some(attempt.await) } else { None }
                    };
                    match select(pin!(cancelled), clock.sleep_until(deadline_ns)).await {
                        Either::Left((Some(ended), _)) => Ended::after_cancel(ended),
                        _ => Ended::TimedOut { usable: false },
                    }
                }
            }
        };
        let socket = inner.take_socket_times();
        let mut execution = self.conclude(operation, ended);
        (execution.degraded, execution.socket) = (degraded, socket);
        if let Some(holder) = closing {
            self.breaks.closed(&holder);
        }
        execution
    }

    /// Notifies the breaks of the operation that is about to be sent. Returns the holder whose open
    /// a close ends.
    fn about_to(&self, operation: &Operation) -> Option<Rc<Holder>> {
        if !self.breaks.has_held() {
            return None;
        }
        match operation.kind {
            OperationKind::Open(_) => self.breaks.open_begins(),
            OperationKind::OnHandle(handle_ref, HandleOperation::Close) => {
                return self.handles.open(handle_ref)?.0.close_begins();
            }
            _ => {}
        }
        None
    }

    fn skip(&mut self, operation: &Operation, cause_seq: u32) -> Execution {
        if let OperationKind::OnHandle(handle_ref, HandleOperation::Close) = operation.kind {
            self.handles.take(handle_ref);
        }
        Execution::of(CompletionStatus::Skipped { cause_seq })
    }

    fn unsent(&mut self, operation: &Operation, why: &str) -> Execution {
        if let OperationKind::Open(open) = &operation.kind {
            self.handles.miss(open.handle_ref, operation.seq);
        }
        Execution::failed(Failure::ConnectionLost(why.into()))
    }

    fn conclude(&mut self, operation: &Operation, ended: Ended) -> Execution {
        let kind = operation.operation_type();
        let mut execution = Execution::failed(Failure::TimedOut);
        let mut connection_usable = true;
        match ended {
            Ended::Well(bytes) => {
                execution.bytes = bytes;
                if let OperationKind::OnHandle(_, HandleOperation::Read { length, .. }) =
                    operation.kind
                {
                    execution.short_read = bytes < length;
                }
                execution.status = self.judge(operation, NtStatus::SUCCESS);
            }
            Ended::Badly(OpError::Status(status)) => {
                execution.short_read =
                    kind == OperationType::Read && status == NtStatus::END_OF_FILE;
                execution.status = self.judge(operation, status);
                connection_usable = !ends_the_session(status);
            }
            Ended::Badly(OpError::ConnectionLost(reason)) => {
                execution.status = CompletionStatus::Failed(Failure::ConnectionLost(reason));
                connection_usable = false;
            }
            Ended::Badly(OpError::Client(message)) => {
                execution.status = CompletionStatus::Failed(Failure::Client(message));
            }
            Ended::Panicked(message) => {
                execution.status = CompletionStatus::Failed(Failure::Panicked(message));
                connection_usable = false;
            }
            Ended::TimedOut { usable } => connection_usable = usable,
        }
        match &operation.kind {
            OperationKind::Open(open) => execution.granted = self.opened(open, operation.seq),
            OperationKind::ByPath(PathOperation::Rename { source_path, dest_path, .. }) => {
                if let (Some(files), CompletionStatus::Succeeded(NtStatus::SUCCESS)) =
                    (&self.breaks.files, &execution.status)
                {
                    files.renamed(source_path, dest_path);
                }
            }
            _ => {}
        }
        self.reopenings.ended(&operation.kind, &execution.status, &self.handles);
        if !connection_usable {
            self.lose(operation.seq);
        }
        execution
    }

    /// Records the result of an open, even of one that timed out. Returns what was granted.
    fn opened(&mut self, open: &OpenOperation, seq: u32) -> Option<Box<Granted>> {
        let handle_ref = open.handle_ref;
        let Some((file, _)) = self.handles.open(handle_ref) else {
            self.handles.miss(handle_ref, seq);
            self.breaks.open_ended();
            return None;
        };
        let granted = file.handle().granted();
        if let (Some(granted), Some(inner)) = (&granted, &mut self.inner)
            && granted.can_be_broken()
            && let Some((OpenFile::Plain(handle), path)) = self.handles.take(handle_ref)
        {
            let to_write = open.mode != OpenMode::Read;
            let stream = || inner.breaks();
            let asked = open.extensions.as_deref();
            let file = self.breaks.hold(granted, &path, asked, handle, to_write, stream);
            self.handles.insert(handle_ref, file, path);
        }
        self.breaks.open_ended();
        granted.map(Box::new)
    }

    fn judge(&self, operation: &Operation, status: NtStatus) -> CompletionStatus {
        let repeated_setup = operation.section == Section::Setup
            && operation.operation_type() == OperationType::Mkdir
            && status == NtStatus::OBJECT_NAME_COLLISION;
        if repeated_setup || operation.expect.allows(status, operation.operation_type()) {
            CompletionStatus::Succeeded(status)
        } else {
            CompletionStatus::Failed(Failure::Status(status))
        }
    }

    /// Drops the connection and every handle with it.
    fn lose(&mut self, cause_seq: u32) {
        self.inner = None;
        self.handles.lose(cause_seq);
        self.reopenings.lost(cause_seq);
        self.breaks.lost();
    }

    /// Shares the paths of handles that can be reopened with the other clients of the run.
    pub fn with_kept_paths(mut self, paths: Arc<KeptPaths>) -> ConnectionState {
        self.reopenings = Reopenings::new(paths);
        self
    }

    /// Returns the open that must run before `operation`. There is one if the connection was lost
    /// since the handle was opened, and the handle has the option `reopen`. A close and an unlock
    /// need none, because the handle and its locks ended with the connection.
    pub fn reopening(&self, operation: &Operation) -> Option<Operation> {
        let OperationKind::OnHandle(handle_ref, on_handle) = &operation.kind else { return None };
        let ends_with_the_connection = matches!(
            on_handle,
            HandleOperation::Close | HandleOperation::Control(FileControl::Unlock { .. })
        );
        if ends_with_the_connection || self.handles.open(*handle_ref).is_some() {
            return None;
        }
        let kind = self.reopenings.open_again(*handle_ref)?.into();
        Some(Operation { kind, expect: Expect::Default, id: None, ..operation.clone() })
    }

    /// Executes the open that [`ConnectionState::reopening`] returned. If it fails, the handle
    /// stays missing because of the same operation as before.
    pub async fn reopen(
        &mut self,
        open: &Operation,
        expired: impl Future<Output = ()>,
    ) -> Reopened {
        let began_ns = self.breaks.clock.now_ns();
        let handle_ref = open.kind.handle_ref().unwrap_or(HandleRef(0));
        let cause_seq = self.handles.missing(handle_ref).flatten().unwrap_or(open.seq);
        Box::pin(self.execute(open, Bytes::new(), expired)).await;
        // An open that timed out may have been granted all the same.
        let failed = self.handles.open(handle_ref).is_none();
        let locks_lost = match failed {
            true => {
                self.handles.miss(handle_ref, cause_seq);
                0
            }
            false => self.reopenings.take_lost_locks(handle_ref),
        };
        let took_ns = self.breaks.clock.now_ns().saturating_sub(began_ns);
        Reopened { took_ns, locks_lost, failed }
    }

    /// Closes the handles that a cut or finished stream left open. Returns the number of handles
    /// closed and the number whose close failed. The caller limits the wait.
    pub async fn close_all(&mut self) -> (u32, u32) {
        let (mut closed, mut failed) = (0, 0);
        self.reopenings.clear();
        for file in self.handles.drain() {
            let holder = file.close_begins();
            match AssertUnwindSafe(file.handle().close()).catch_unwind().await {
                Ok(Ok(())) => closed += 1,
                Ok(Err(_)) | Err(_) => failed += 1,
            }
            if let Some(holder) = holder {
                self.breaks.closed(&holder);
            }
        }
        (closed, failed)
    }

    /// Ends the session in an orderly way. The caller limits the wait.
    pub async fn disconnect(mut self) {
        drop(self.handles.drain());
        if let Some(inner) = self.inner.take() {
            // The client has finished, whatever the result.
            let _ = AssertUnwindSafe(inner.disconnect()).catch_unwind().await;
        }
    }
}

/// Reads the first `length` bytes of a blob that was not read ahead, on a thread that may block.
async fn read_blob(blob: Arc<Blob>, length: u64) -> Result<Bytes, Failure> {
    let path = Arc::clone(&blob.path);
    let failed =
        |why: &dyn fmt::Display| Failure::Payload(format!("blob {} {why}", path.display()));
    match tokio::task::spawn_blocking(move || blob.read(length)).await {
        Ok(read) => read.map_err(|error| failed(&error)),
        Err(error) => Err(failed(&format_args!("cannot be read: {error}"))),
    }
}

enum Ended {
    Well(u64),
    Badly(OpError),
    Panicked(String),
    TimedOut {
        /// Whether the server did end the operation, so that the connection is in a known state.
        usable: bool,
    },
}

type Attempt = Result<Result<u64, OpError>, Box<dyn std::any::Any + Send>>;

impl Ended {
    fn by_itself(attempt: Attempt) -> Ended {
        match attempt {
            Ok(Ok(bytes)) => Ended::Well(bytes),
            Ok(Err(error)) => Ended::Badly(error),
            Err(panic) => Ended::Panicked(panic_message(&*panic)),
        }
    }

    /// Returns a time-out, whatever the server answered to the cancel, unless the connection was
    /// lost or the backend panicked.
    fn after_cancel(attempt: Attempt) -> Ended {
        match Ended::by_itself(attempt) {
            lost @ (Ended::Badly(OpError::ConnectionLost(_)) | Ended::Panicked(_)) => lost,
            _ => Ended::TimedOut { usable: true },
        }
    }
}

/// Makes one attempt at an operation. Its handle, if it has one, is known to be open.
async fn attempt(
    inner: &dyn SMBConnectionInner,
    breaks: &Breaks,
    handles: &mut HandleTable,
    operation: &Operation,
    payload: Bytes,
    parameters: Option<&CreateParameters>,
) -> Result<u64, OpError> {
    match &operation.kind {
        OperationKind::Open(OpenOperation { path, mode, disposition, handle_ref, .. }) => {
            let handle = match parameters {
                None => inner.open_simple(path, *mode, *disposition).await?,
                Some(asked) => {
                    let how = (*mode, *disposition);
                    Box::pin(open_with_key(inner, breaks, path, how, asked)).await?
                }
            };
            handles.insert(*handle_ref, OpenFile::Plain(handle), path.clone());
            Ok(0)
        }
        OperationKind::ByPath(by_path) => {
            execute_with_lease(inner, breaks, by_path).await.map(|()| 0)
        }
        OperationKind::OnHandle(handle_ref, on_handle) => match on_handle {
            HandleOperation::Close => match handles.take(*handle_ref) {
                Some((file, _)) => file.handle().close().await.map(|()| 0),
                None => Ok(0),
            },
            HandleOperation::Read { offset, length } => {
                let data = handles.handle(*handle_ref)?.read(*offset, *length).await?;
                Ok(data.len() as u64)
            }
            HandleOperation::Write { offset, .. } => {
                handles.handle(*handle_ref)?.write(*offset, payload).await
            }
            HandleOperation::Control(control) => {
                handles.handle(*handle_ref)?.control(control).await.map(|()| 0)
            }
        },
    }
}

/// Returns whether the status means that no handle of the session works any more.
fn ends_the_session(status: NtStatus) -> bool {
    matches!(
        status,
        NtStatus::USER_SESSION_DELETED
            | NtStatus::NETWORK_SESSION_EXPIRED
            | NtStatus::NETWORK_NAME_DELETED
            | NtStatus::CONNECTION_DISCONNECTED
            | NtStatus::CONNECTION_RESET
    )
}
