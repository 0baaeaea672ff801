//! The cases once more, with each operation going through a `ConnectionState`, which is all that a
//! run sees of a backend. Every case must have the same verdict as without it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use smbench::backend::{
    BackendCapabilities, Breaks, Clock, ConnectError, ConnectionState, Endpoint, Feature, OpError,
    SMBBackend, SMBConnectionInner, SMBFileHandle,
};
use smbench::ir::payload::Pattern;
use smbench::ir::{
    CompletionStatus, Execution, Failure, FileControl, HandleOperation, HandleRef, OpenMode,
    OpenOperation, Operation, OperationKind, PathOperation, Payload,
};
use smbench::probe::{self, Case, CaseProgress, CaseVerdict};
use smbench::protocol::create::CreateDisposition;
use smbench::protocol::{BreakPolicy, CreateParameters, Granted, NtStatus, SharePath};
use smbench_test_support::Samba;
use tokio::sync::{mpsc, oneshot};

use crate::{AT_A_TIME, TURN, backends, run};

/// A backend that puts a `ConnectionState` in front of each connection of another backend.
struct Through {
    backend: Arc<dyn SMBBackend>,
    clock: Arc<dyn Clock>,
    /// Whether the current case has read. A `ConnectionState` does not keep the bytes, so the
    /// verdict of such a case means nothing.
    read: Arc<AtomicBool>,
}

/// An operation, the bytes that it writes, and the sender for its result.
type Order = (Operation, Bytes, oneshot::Sender<Execution>);

/// A connection whose `ConnectionState` stays on one thread, as in a run.
struct Connection {
    orders: Orders,
    thread: Option<JoinHandle<()>>,
    next_handle: AtomicU32,
    read: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Orders(Arc<Mutex<Option<mpsc::UnboundedSender<Order>>>>);

struct Handle {
    orders: Orders,
    handle_ref: HandleRef,
    granted: Option<Granted>,
    read: Arc<AtomicBool>,
}

#[async_trait]
impl SMBBackend for Through {
    fn capabilities(&self) -> BackendCapabilities {
        self.backend.capabilities()
    }

    async fn connect(&self, client_idx: u32) -> Result<Box<dyn SMBConnectionInner>, ConnectError> {
        let (backend, clock) = (self.backend.clone(), self.clock.clone());
        let capabilities = Arc::new(backend.capabilities());
        let (orders, mut ordered) = mpsc::unbounded_channel::<Order>();
        let (connected, outcome) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let inner = match backend.connect(client_idx).await {
                    Ok(inner) => inner,
                    Err(error) => return drop(connected.send(Err(error))),
                };
                let breaks = Rc::new(Breaks::new(client_idx, BreakPolicy::default(), None, clock));
                let mut state = ConnectionState::new(inner, capabilities, breaks, 0);
                drop(connected.send(Ok(())));
                while let Some((operation, payload, mut answer)) = ordered.recv().await {
                    assert!(state.blocked(&operation).is_none(), "nothing is cached");
                    let executed = state.execute(&operation, payload, std::future::pending());
                    let execution = tokio::select! {
                        execution = executed => execution,
                        // The case has ended, so nobody waits for the answer.
                        () = answer.closed() => return,
                    };
                    let _ = answer.send(execution);
                }
                state.disconnect().await;
            });
        });
        outcome.await.expect("the thread says how it went")?;
        Ok(Box::new(Connection {
            orders: Orders(Arc::new(Mutex::new(Some(orders)))),
            thread: Some(thread),
            next_handle: AtomicU32::new(0),
            read: self.read.clone(),
        }))
    }

    fn endpoint(&self) -> Endpoint {
        self.backend.endpoint()
    }
}

impl Orders {
    async fn execute(&self, kind: OperationKind, payload: Bytes) -> Result<Execution, OpError> {
        let operation = Operation::new(0, 0, kind);
        let (answer, execution) = oneshot::channel();
        if let Some(orders) = self.0.lock().unwrap().as_ref() {
            // A thread that has ended drops the sender of the answer.
            let _ = orders.send((operation, payload, answer));
        } else {
            drop(answer);
        }
        let lost = |_| OpError::ConnectionLost("its thread has ended".into());
        let execution = execution.await.map_err(lost)?;
        match &execution.status {
            CompletionStatus::Succeeded(NtStatus::SUCCESS) => Ok(execution),
            CompletionStatus::Succeeded(status)
            | CompletionStatus::Failed(Failure::Status(status)) => Err(OpError::Status(*status)),
            CompletionStatus::Failed(Failure::ConnectionLost(reason)) => {
                Err(OpError::ConnectionLost(reason.clone()))
            }
            other => Err(OpError::Client(format!("{other:?}"))),
        }
    }

    async fn done(&self, kind: OperationKind) -> Result<(), OpError> {
        self.execute(kind, Bytes::new()).await.map(drop)
    }
}

#[async_trait]
impl SMBConnectionInner for Connection {
    async fn open_simple(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        self.open_extended(path, mode, disposition, &CreateParameters::default()).await
    }

    async fn open_extended(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
        parameters: &CreateParameters,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        let handle_ref = HandleRef(self.next_handle.fetch_add(1, Ordering::Relaxed));
        let (path, extensions) = (path.clone(), Some(Arc::new(parameters.clone())));
        let open =
            OperationKind::Open(OpenOperation { path, mode, disposition, handle_ref, extensions });
        let execution = self.orders.execute(open, Bytes::new()).await?;
        Ok(Box::new(Handle {
            orders: self.orders.clone(),
            handle_ref,
            granted: execution.granted.map(|granted| *granted),
            read: self.read.clone(),
        }))
    }

    async fn execute_misc(&self, operation: &PathOperation) -> Result<(), OpError> {
        self.orders.done(operation.clone().into()).await
    }

    async fn cancel(&self) -> bool {
        false
    }

    async fn disconnect(self: Box<Self>) {
        // Dropping the connection disconnects it.
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.orders.0.lock().unwrap().take();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()) || std::thread::panicking());
    }
}

#[async_trait]
impl SMBFileHandle for Handle {
    fn granted(&self) -> Option<Granted> {
        self.granted
    }

    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, OpError> {
        let handle_ref = self.handle_ref;
        let read = HandleOperation::Read { offset, length }.on(handle_ref);
        let bytes = self.orders.execute(read, Bytes::new()).await?.bytes;
        self.read.store(true, Ordering::Relaxed);
        Ok(Bytes::from(vec![0; bytes as usize]))
    }

    async fn write(&self, offset: u64, data: Bytes) -> Result<u64, OpError> {
        let (handle_ref, length) = (self.handle_ref, data.len() as u64);
        let payload = Payload::Pattern(Pattern::Zero);
        let write = HandleOperation::Write { offset, length, payload }.on(handle_ref);
        Ok(self.orders.execute(write, data).await?.bytes)
    }

    async fn control(&self, control: &FileControl) -> Result<(), OpError> {
        self.orders.done(control.clone().on(self.handle_ref)).await
    }

    async fn close(&self) -> Result<(), OpError> {
        self.orders.done(HandleOperation::Close.on(self.handle_ref)).await
    }
}

/// Compares the verdicts of all cases but two kinds: cases that need a second operation while one
/// waits, and cases that read bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_behaves_the_same_through_a_connection_state() {
    let _turn = TURN.lock().await;
    let waits = |need: &Feature| matches!(need, Feature::Caching | Feature::BlockingLocks);
    let cases: Vec<&Case> =
        probe::all().into_iter().filter(|case| !case.needs.iter().any(waits)).collect();
    let samba = Samba::start(smbench_test_support::Settings::default());
    let asked = backends(samba.as_ref()).into_iter().map(async |(name, backend)| {
        let alone = run(&backend, &cases, AT_A_TIME, &|_, _| {}).await;
        let read = Arc::new(AtomicBool::new(false));
        let clock = crate::context().clock;
        let through: Arc<dyn SMBBackend> = Arc::new(Through { backend, clock, read: read.clone() });
        let read_bytes = Mutex::new(HashMap::new());
        let on_step = |step, case: &Case| {
            if step == CaseProgress::Begun {
                read.store(false, Ordering::Relaxed);
            } else {
                read_bytes.lock().unwrap().insert(case.name, read.load(Ordering::Relaxed));
            }
        };
        let through = run(&through, &cases, std::num::NonZeroU16::MIN, &on_step).await;
        let read_bytes = read_bytes.into_inner().unwrap();
        let mut compared = 0;
        for ((case, alone), through) in cases.iter().zip(alone.verdicts).zip(through.verdicts) {
            if matches!(alone, CaseVerdict::Pass | CaseVerdict::Fail(_)) && !read_bytes[case.name] {
                assert_eq!(through, alone, "{name}: {}", case.name);
                compared += 1;
            }
        }
        assert!(compared >= 80, "{name}: only {compared} cases go through a ConnectionState");
    });
    join_all(asked).await;
}
