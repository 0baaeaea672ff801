//! Clients of one simulated server, and a clock the test moves by hand.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Latency, SimBackend, SimSettings};
use crate::backend::{BreakStream, Clock, OpError, SMBBackend, SMBConnectionInner, SMBFileHandle};
use crate::ir::{OpenMode, PathOperation};
use crate::protocol::create::{CreateDisposition, OplockLevel};
use crate::protocol::{
    Acknowledgement, Break, CreateParameters, Lease, LeaseState, NtStatus, SharePath,
};

pub type OpenResult = Result<Box<dyn SMBFileHandle>, OpError>;

/// A clock whose time passes when the test says so.
#[derive(Clone, Default)]
pub struct HandClock(Arc<Mutex<Time>>);

#[derive(Default)]
struct Time {
    now_ns: u64,
    sleepers: Vec<Waker>,
}

struct Sleep {
    clock: HandClock,
    deadline_ns: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut time = self.clock.0.lock().unwrap();
        if time.now_ns >= self.deadline_ns {
            return Poll::Ready(());
        }
        time.sleepers.push(context.waker().clone());
        Poll::Pending
    }
}

impl Clock for HandClock {
    fn now_ns(&self) -> u64 {
        self.0.lock().unwrap().now_ns
    }

    fn sleep_until(&self, deadline_ns: u64) -> BoxFuture<'static, ()> {
        Sleep { clock: self.clone(), deadline_ns }.boxed()
    }
}

impl HandClock {
    pub fn pass(&self, ns: u64) {
        let mut time = self.0.lock().unwrap();
        time.now_ns += ns;
        time.sleepers.drain(..).for_each(Waker::wake);
    }
}

pub struct TestServer {
    pub clock: HandClock,
    pub server: SimBackend,
}

pub struct TestClient {
    pub connection: Box<dyn SMBConnectionInner>,
    pub breaks: BreakStream,
}

impl TestServer {
    /// Makes a server whose requests take no time.
    pub fn new() -> TestServer {
        let clock = HandClock::default();
        let settings =
            SimSettings { latency: Latency::Constant(Duration::ZERO), ..Default::default() };
        TestServer { server: SimBackend::new(Arc::new(clock.clone()), settings), clock }
    }

    pub fn client(&self, client_idx: u32) -> TestClient {
        let mut connection = now(self.server.connect(client_idx)).unwrap();
        let breaks = connection.breaks().unwrap();
        assert!(connection.breaks().is_none(), "the stream is given once");
        TestClient { connection, breaks }
    }
}

impl TestClient {
    pub fn open_with<'a>(
        &'a self,
        name: &str,
        disposition: CreateDisposition,
        parameters: &'a CreateParameters,
    ) -> impl Future<Output = OpenResult> + 'a {
        let path = path(name);
        async move {
            let mode = OpenMode::ReadWrite;
            self.connection.open_extended(&path, mode, disposition, parameters).await
        }
    }

    pub fn open(&self, parameters: &CreateParameters) -> OpenResult {
        now(self.open_with("f", CreateDisposition::OpenIf, parameters))
    }

    pub fn does(&self, operation: &PathOperation) -> Result<(), OpError> {
        now(self.connection.execute_misc(operation))
    }

    pub fn next_break(&mut self) -> Option<Break> {
        self.breaks.next().now_or_never().flatten()
    }

    pub fn answers(&self, answer: Acknowledgement) -> Result<(), OpError> {
        now(self.breaks.acknowledger().acknowledge(answer))
    }
}

pub fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("an answer without waiting")
}

pub fn path(path: &str) -> SharePath {
    SharePath::new(path).unwrap()
}

pub fn plain() -> CreateParameters {
    CreateParameters::default()
}

pub fn oplock(level: OplockLevel) -> CreateParameters {
    CreateParameters { requested_oplock: Some(level), ..plain() }
}

pub fn lease(state: LeaseState) -> CreateParameters {
    let lease = Lease { state: state.bits(), key: None, parent_key: None, version: 2 };
    CreateParameters { lease: Some(lease), ..plain() }
}

pub fn delete_on_close() -> CreateParameters {
    let access_mask = Some(0x0001_0000 | 0x0012_0089);
    CreateParameters { access_mask, create_options: Some(0x1040), ..plain() }
}

pub fn status<T>(result: &Result<T, OpError>) -> Option<NtStatus> {
    match result {
        Err(OpError::Status(status)) => Some(*status),
        _ => None,
    }
}

pub fn delete() -> PathOperation {
    PathOperation::Delete { path: path("f") }
}

pub fn rename(to: &str) -> PathOperation {
    PathOperation::Rename { source_path: path("f"), dest_path: path(to), replace: true }
}
