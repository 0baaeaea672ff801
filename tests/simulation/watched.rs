//! A backend that wraps the simulator and records who calls it and when. What the engine reports is
//! checked against this record.

use std::collections::HashMap;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use smbench::backend::memory::Target;
use smbench::backend::sim::SimBackend;
use smbench::backend::{
    BackendCapabilities, BreakSender, BreakStream, Clock, ConnectError, Endpoint, OpError,
    SMBBackend, SMBConnectionInner, SMBFileHandle, break_channel,
};
use smbench::ir::{FileControl, OpenMode, OperationType, PathOperation};
use smbench::protocol::create::CreateDisposition;
use smbench::protocol::{Break, CreateParameters, Granted, Lease, NtStatus, SharePath};
use smbench::scheduler::virtual_time::VirtualClock;

use super::workload::Dice;

/// One attempt at an operation, as the server saw it.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub client_idx: u32,
    pub what: OperationType,
    /// The server's number of the file, if the file exists.
    pub file: Option<u64>,
    /// The grant of its handle.
    pub granted: Option<Granted>,
    pub began_ns: u64,
    /// The time at which it ended; None if it had not at the end of the run.
    pub ended_ns: Option<u64>,
    /// Whether it named a lease and the server refused its parameters.
    pub lease_refused: bool,
}

/// A break notice, as it came to a client.
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    pub client_idx: u32,
    pub notice: Break,
    pub at_ns: u64,
}

/// The breaks of a connection, on their way to its client.
struct Passing {
    client_idx: u32,
    breaks: BreakStream,
    sender: BreakSender,
}

pub struct Watched {
    pub server: Arc<SimBackend>,
    pub book: Arc<Book>,
}

/// The plan of panics in calls of the backend.
#[derive(Default)]
pub struct Panics {
    pub seed: u64,
    pub per_mille: u64,
}

/// The record of all calls.
pub struct Book {
    clock: VirtualClock,
    panics: Panics,
    /// Whether clients cache. Every flush is then part of the answer to a break, and is not
    /// recorded.
    caching: bool,
    passed: AtomicU32,
    /// Operations that hold a permit.
    inside: AtomicU32,
    pub most_inside: AtomicU32,
    /// Operations that began while another of their client was in flight.
    pub doubled: AtomicU32,
    /// Handles that were open when their client disconnected normally.
    pub left_open: AtomicU32,
    pub calls: Mutex<Vec<Call>>,
    pub notices: Mutex<Vec<Notice>>,
    passing: Mutex<Vec<Passing>>,
    by_client: Mutex<HashMap<u32, u32>>,
}

impl Book {
    pub fn new(clock: VirtualClock, panics: Panics, caching: bool) -> Book {
        Book {
            clock,
            panics,
            caching,
            passed: AtomicU32::default(),
            inside: AtomicU32::default(),
            most_inside: AtomicU32::default(),
            doubled: AtomicU32::default(),
            left_open: AtomicU32::default(),
            calls: Mutex::default(),
            notices: Mutex::default(),
            passing: Mutex::default(),
            by_client: Mutex::default(),
        }
    }

    /// Records the breaks that have come, and passes them on.
    pub fn pass_breaks(&self, cx: &mut Context<'_>) {
        let mut passing = self.passing.lock().unwrap();
        passing.retain_mut(|Passing { client_idx, breaks, sender }| {
            loop {
                match pin!(breaks.next()).poll(cx) {
                    Poll::Ready(Some(notice)) => {
                        let (client_idx, at_ns) = (*client_idx, self.clock.now_ns());
                        self.notices.lock().unwrap().push(Notice { client_idx, notice, at_ns });
                        sender.send(notice);
                    }
                    Poll::Ready(None) => return false,
                    Poll::Pending => return true,
                }
            }
        });
    }

    fn may_panic(&self) {
        let number = self.passed.fetch_add(1, Relaxed);
        let mut dice = Dice(self.panics.seed ^ (u64::from(number) << 20));
        if self.panics.per_mille > 0 && dice.roll(1_000) < self.panics.per_mille {
            // Panics without a message on standard error.
            resume_unwind(Box::new("a planned panic"));
        }
    }
}

/// The wrapper's state for one connection of a client.
#[derive(Clone)]
struct Gate {
    book: Arc<Book>,
    server: Arc<SimBackend>,
    client_idx: u32,
    /// Handles of this connection that were not closed.
    open: Arc<AtomicU32>,
}

struct Inside<'g> {
    gate: &'g Gate,
    call: usize,
    permit: bool,
}

impl Gate {
    /// Records the start of an operation by path.
    fn enter(&self, what: OperationType, path: Option<&SharePath>) -> Inside<'_> {
        let open = CreateDisposition::Open;
        let found = path.and_then(|path| self.server.tree().find(path, Target::Any, open).ok()?);
        self.pass(what, true, found.map(|found| found.id), None)
    }

    /// Records the start of a call. A lock that waits and the engine's own closes take no permit.
    fn pass(
        &self,
        what: OperationType,
        permit: bool,
        file: Option<u64>,
        granted: Option<Granted>,
    ) -> Inside<'_> {
        let book = &self.book;
        if permit {
            let inside = book.inside.fetch_add(1, Relaxed) + 1;
            book.most_inside.fetch_max(inside, Relaxed);
        }
        let mut by_client = book.by_client.lock().unwrap();
        let own = by_client.entry(self.client_idx).or_default();
        *own += 1;
        book.doubled.fetch_add(u32::from(*own > 1), Relaxed);
        drop(by_client);
        let mut calls = book.calls.lock().unwrap();
        let (client_idx, began_ns) = (self.client_idx, book.clock.now_ns());
        let (ended_ns, lease_refused) = (None, false);
        calls.push(Call { client_idx, what, file, granted, began_ns, ended_ns, lease_refused });
        let inside = Inside { gate: self, call: calls.len() - 1, permit };
        drop(calls);
        book.may_panic();
        inside
    }

    fn watch(&self, inner: Box<dyn SMBFileHandle>) -> Box<dyn SMBFileHandle> {
        self.open.fetch_add(1, Relaxed);
        Box::new(WatchedHandle { inner, gate: self.clone() })
    }
}

impl Inside<'_> {
    /// Records whether a request that names a lease was refused.
    fn ended<T>(&self, ended: &Result<T, OpError>) {
        let refused = matches!(ended, Err(OpError::Status(NtStatus::INVALID_PARAMETER)));
        self.gate.book.calls.lock().unwrap()[self.call].lease_refused = refused;
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let book = &self.gate.book;
        book.inside.fetch_sub(u32::from(self.permit), Relaxed);
        *book.by_client.lock().unwrap().get_mut(&self.gate.client_idx).unwrap() -= 1;
        book.calls.lock().unwrap()[self.call].ended_ns = Some(book.clock.now_ns());
    }
}

#[async_trait]
impl SMBBackend for Watched {
    fn capabilities(&self) -> BackendCapabilities {
        self.server.capabilities()
    }

    fn endpoint(&self) -> Endpoint {
        self.server.endpoint()
    }

    async fn connect(&self, client_idx: u32) -> Result<Box<dyn SMBConnectionInner>, ConnectError> {
        self.book.may_panic();
        let inner = self.server.connect(client_idx).await?;
        let server = self.server.clone();
        let gate = Gate { book: self.book.clone(), server, client_idx, open: Arc::default() };
        Ok(Box::new(WatchedConnection { inner, gate }))
    }
}

struct WatchedConnection {
    inner: Box<dyn SMBConnectionInner>,
    gate: Gate,
}

#[async_trait]
impl SMBConnectionInner for WatchedConnection {
    async fn open_simple(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        let _inside = self.gate.enter(OperationType::Open, Some(path));
        Ok(self.gate.watch(self.inner.open_simple(path, mode, disposition).await?))
    }

    async fn open_extended(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
        parameters: &CreateParameters,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        let inside = self.gate.enter(OperationType::Open, Some(path));
        let opened = self.inner.open_extended(path, mode, disposition, parameters).await;
        if parameters.lease.is_some() {
            inside.ended(&opened);
        }
        Ok(self.gate.watch(opened?))
    }

    async fn execute_misc(&self, operation: &PathOperation) -> Result<(), OpError> {
        let _inside = self.gate.enter(operation.operation_type(), Some(operation.paths().0));
        self.inner.execute_misc(operation).await
    }

    async fn execute_under_lease(
        &self,
        operation: &PathOperation,
        lease: &Lease,
    ) -> Result<(), OpError> {
        let inside = self.gate.enter(operation.operation_type(), Some(operation.paths().0));
        let ended = self.inner.execute_under_lease(operation, lease).await;
        inside.ended(&ended);
        ended
    }

    fn breaks(&mut self) -> Option<BreakStream> {
        let breaks = self.inner.breaks()?;
        let (sender, stream) = break_channel(breaks.acknowledger());
        let mut passing = self.gate.book.passing.lock().unwrap();
        passing.push(Passing { client_idx: self.gate.client_idx, breaks, sender });
        Some(stream)
    }

    async fn cancel(&self) -> bool {
        self.gate.book.may_panic();
        self.inner.cancel().await
    }

    async fn disconnect(self: Box<Self>) {
        self.gate.book.left_open.fetch_add(self.gate.open.load(Relaxed), Relaxed);
        self.gate.book.may_panic();
        self.inner.disconnect().await;
    }
}

struct WatchedHandle {
    inner: Box<dyn SMBFileHandle>,
    gate: Gate,
}

impl WatchedHandle {
    fn enter(&self, what: OperationType, permit: bool) -> Inside<'_> {
        let granted = self.inner.granted();
        self.gate.pass(what, permit, granted.and_then(|granted| granted.disk_file_id), granted)
    }
}

#[async_trait]
impl SMBFileHandle for WatchedHandle {
    fn granted(&self) -> Option<Granted> {
        self.inner.granted()
    }

    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, OpError> {
        let _inside = self.enter(OperationType::Read, true);
        self.inner.read(offset, length).await
    }

    async fn write(&self, offset: u64, data: Bytes) -> Result<u64, OpError> {
        let _inside = self.enter(OperationType::Write, true);
        self.inner.write(offset, data).await
    }

    async fn control(&self, control: &FileControl) -> Result<(), OpError> {
        if *control == FileControl::Flush && self.gate.book.caching {
            self.gate.book.may_panic();
            return self.inner.control(control).await;
        }
        let waits = matches!(control, FileControl::Lock { wait: true, .. });
        let _inside = self.enter(control.operation_type(), !waits);
        self.inner.control(control).await
    }

    async fn close(&self) -> Result<(), OpError> {
        self.gate.open.fetch_sub(1, Relaxed);
        let _inside = self.enter(OperationType::Close, false);
        self.inner.close().await
    }
}
