//! Tests of one connection over a backend whose answers the test chooses.

#![expect(clippy::disallowed_methods, reason = "the tests' own threads may wait")]

use std::collections::VecDeque;
use std::future::{pending, ready};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::connection::ConnectionState;
use super::{
    BackendCapabilities, Breaks, Clock, Feature, OpError, SMBConnectionInner, SMBFileHandle,
};
use crate::ir::blobs::BlobDirectories;
use crate::ir::{
    Blob, CompletionStatus, Execution, Expect, Failure, FileControl, HandleOperation, HandleRef,
    OpenMode, OpenOperation, Operation, OperationKind, PathOperation, Pattern, Payload, Section,
};
use crate::protocol::create::{CreateDisposition, OplockLevel};
use crate::protocol::{
    BreakPolicy, CreateParameters, Lease, LeaseKey, NtStatus, SharePath, lease_key,
};

/// The result of one request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Yes,
    Status(NtStatus),
    Lost,
    Panic,
    /// No answer until the request is canceled.
    Waits,
    /// No answer until the request is canceled, and then success all the same.
    Crosses,
    Never,
}

use Answer::{Crosses, Lost, Never, Panic, Status, Waits, Yes};

#[derive(Default)]
struct Server {
    answers: Mutex<VecDeque<Answer>>,
    /// The result of `cancel`, if the client stack has one.
    cancel: Mutex<Option<Answer>>,
    cancelled: tokio::sync::Notify,
    seen: Mutex<Vec<&'static str>>,
    written: Mutex<Vec<Bytes>>,
    lease_keys: Mutex<Vec<Option<LeaseKey>>>,
}

impl Server {
    async fn answer(&self, request: &'static str) -> Result<(), OpError> {
        self.seen.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Yes);
        match answer {
            Yes => Ok(()),
            Status(status) => Err(OpError::Status(status)),
            Lost => Err(OpError::ConnectionLost("reset".into())),
            Panic => panic!("index out of bounds"),
            Waits => {
                self.cancelled.notified().await;
                Err(OpError::Status(NtStatus::CANCELLED))
            }
            Crosses => {
                self.cancelled.notified().await;
                Ok(())
            }
            Never => pending().await,
        }
    }

    fn seen(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

struct Connection(Arc<Server>);

struct Handle(Arc<Server>);

#[async_trait]
impl SMBConnectionInner for Connection {
    async fn open_simple(
        &self,
        _: &SharePath,
        _: OpenMode,
        _: CreateDisposition,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        self.0.answer("open").await?;
        Ok(Box::new(Handle(self.0.clone())))
    }

    async fn open_extended(
        &self,
        _: &SharePath,
        _: OpenMode,
        _: CreateDisposition,
        asked: &CreateParameters,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        self.0.lease_keys.lock().unwrap().extend(asked.lease.map(|lease| lease.key));
        self.0.answer("open extended").await?;
        Ok(Box::new(Handle(self.0.clone())))
    }

    async fn execute_misc(&self, operation: &PathOperation) -> Result<(), OpError> {
        self.0.answer(operation.operation_type().name()).await
    }

    async fn cancel(&self) -> bool {
        self.0.seen.lock().unwrap().push("cancel");
        match *self.0.cancel.lock().unwrap() {
            None => return false,
            Some(Panic) => std::panic::resume_unwind(Box::new("no cancel")),
            Some(_) => self.0.cancelled.notify_one(),
        }
        true
    }

    async fn disconnect(self: Box<Self>) {}
}

#[async_trait]
impl SMBFileHandle for Handle {
    async fn read(&self, _: u64, length: u64) -> Result<Bytes, OpError> {
        self.0.answer("read").await?;
        Ok(vec![0; length as usize / 2].into())
    }

    async fn write(&self, _: u64, data: Bytes) -> Result<u64, OpError> {
        self.0.answer("write").await?;
        let length = data.len() as u64;
        self.0.written.lock().unwrap().push(data);
        Ok(length)
    }

    async fn control(&self, control: &FileControl) -> Result<(), OpError> {
        self.0.answer(control.operation_type().name()).await
    }

    async fn close(&self) -> Result<(), OpError> {
        self.0.answer("close").await
    }
}

/// A clock on which every wait is over at once.
struct Hurried;

impl Clock for Hurried {
    fn now_ns(&self) -> u64 {
        0
    }

    fn sleep_until(&self, _: u64) -> BoxFuture<'static, ()> {
        Box::pin(ready(()))
    }
}

struct Client {
    server: Arc<Server>,
    state: ConnectionState,
    seq: u32,
    section: Section,
    expect: Expect,
}

impl Client {
    fn new(answers: &[Answer]) -> Client {
        Client::with(&[Feature::Disposition], answers)
    }

    fn with(features: &[Feature], answers: &[Answer]) -> Client {
        let server = Arc::new(Server::default());
        server.answers.lock().unwrap().extend(answers);
        let features = features.to_vec();
        let capabilities = BackendCapabilities { name: "fake", features, instant: false };
        let inner = Box::new(Connection(server.clone()));
        let breaks = Rc::new(Breaks::new(0, BreakPolicy::default(), None, Arc::new(Hurried)));
        let state = ConnectionState::new(inner, Arc::new(capabilities), breaks, 0);
        let (section, expect) = (Section::Iteration, Expect::Default);
        Client { server, state, seq: 0, section, expect }
    }

    fn operation(&mut self, kind: OperationKind) -> Operation {
        let seq = self.seq;
        self.seq += 1;
        let (section, expect) = (self.section, self.expect.clone());
        Operation { section, expect, ..Operation::new(0, seq, kind) }
    }

    async fn run(&mut self, kind: OperationKind) -> Execution {
        let operation = self.operation(kind);
        match self.state.payload(&operation).await {
            Ok(payload) => self.state.execute(&operation, payload, pending()).await,
            Err(failure) => Execution::failed(failure),
        }
    }

    async fn status(&mut self, kind: OperationKind) -> CompletionStatus {
        self.run(kind).await.status
    }

    /// Runs an operation that times out as soon as it has been sent.
    async fn too_long(&mut self, kind: OperationKind) -> CompletionStatus {
        let operation = self.operation(kind);
        self.state.execute(&operation, Bytes::new(), ready(())).await.status
    }
}

const HANDLE: HandleRef = HandleRef(7);
const OK: CompletionStatus = CompletionStatus::Succeeded(NtStatus::SUCCESS);
const READ: OperationKind = HandleOperation::Read { offset: 0, length: 8 }.on(HANDLE);
const CLOSE: OperationKind = HandleOperation::Close.on(HANDLE);

fn path() -> SharePath {
    SharePath::new("a").unwrap()
}

fn open_with(extensions: Option<CreateParameters>) -> OperationKind {
    OperationKind::Open(OpenOperation {
        path: path(),
        mode: OpenMode::ReadWrite,
        disposition: CreateDisposition::OpenIf,
        handle_ref: HANDLE,
        extensions: extensions.map(Arc::new),
    })
}

fn open() -> OperationKind {
    open_with(None)
}

fn write(length: u64, payload: Payload) -> OperationKind {
    HandleOperation::Write { offset: 0, length, payload }.on(HANDLE)
}

fn skipped(cause_seq: u32) -> CompletionStatus {
    CompletionStatus::Skipped { cause_seq }
}

fn failed(status: NtStatus) -> CompletionStatus {
    CompletionStatus::Failed(Failure::Status(status))
}

#[tokio::test]
async fn operations_on_a_handle_whose_open_failed_are_skipped_and_name_it() {
    let mut client = Client::new(&[Status(NtStatus::ACCESS_DENIED)]);
    assert_eq!(client.status(open()).await, failed(NtStatus::ACCESS_DENIED));
    assert_eq!(client.status(READ).await, skipped(0));
    assert_eq!(client.status(write(8, Payload::Pattern(Pattern::Text))).await, skipped(0));
    assert_eq!(client.status(CLOSE).await, skipped(0));
    assert_eq!(client.server.seen(), ["open"], "nothing else was sent");
    assert_eq!(client.status(open()).await, OK);
    assert_eq!(client.status(READ).await, OK, "a new open starts afresh");
}

#[tokio::test]
async fn a_lost_connection_empties_the_handle_table() {
    let mut client = Client::new(&[Yes, Lost]);
    client.run(open()).await;
    let lost = CompletionStatus::Failed(Failure::ConnectionLost("reset".into()));
    assert_eq!(client.status(READ).await, lost);
    assert!(!client.state.is_connected());
    client.state.reconnected(Box::new(Connection(client.server.clone())));
    assert_eq!(client.status(READ).await, skipped(1));
    assert_eq!(client.state.close_all().await, (0, 0));
}

#[tokio::test]
async fn a_status_that_ends_the_session_ends_the_connection() {
    let mut client = Client::new(&[Status(NtStatus::USER_SESSION_DELETED)]);
    let stat = OperationKind::ByPath(PathOperation::Stat { path: path() });
    assert_eq!(client.status(stat).await, failed(NtStatus::USER_SESSION_DELETED));
    assert!(!client.state.is_connected());
}

const TIMED_OUT: CompletionStatus = CompletionStatus::Failed(Failure::TimedOut);

#[tokio::test]
async fn an_operation_that_ends_when_cancelled_leaves_the_connection_usable() {
    let mut client = Client::new(&[Yes, Waits]);
    *client.server.cancel.lock().unwrap() = Some(Yes);
    client.run(open()).await;
    assert_eq!(client.too_long(READ).await, TIMED_OUT);
    assert!(client.state.is_connected());
    assert_eq!(client.server.seen(), ["open", "read", "cancel"]);
    assert_eq!(client.status(READ).await, OK);
}

#[tokio::test]
async fn an_operation_that_outlives_its_cancel_takes_the_connection_with_it() {
    for cancel in [None, Some(Yes), Some(Panic)] {
        let mut client = Client::new(&[Yes, Never]);
        *client.server.cancel.lock().unwrap() = cancel;
        client.run(open()).await;
        assert_eq!(client.too_long(READ).await, TIMED_OUT, "{cancel:?}");
        assert!(!client.state.is_connected(), "{cancel:?}");
        assert_eq!(client.server.seen(), ["open", "read", "cancel"]);
    }
}

#[tokio::test]
async fn an_open_that_succeeds_after_its_cancel_is_closed_in_the_end() {
    let mut client = Client::new(&[Crosses]);
    *client.server.cancel.lock().unwrap() = Some(Yes);
    assert_eq!(client.too_long(open()).await, TIMED_OUT);
    assert_eq!(client.state.close_all().await, (1, 0));
}

/// The iteration that closes the first handle may have been dropped, for example.
#[tokio::test]
async fn a_handle_whose_number_is_given_to_another_is_closed_with_the_rest() {
    let mut client = Client::new(&[Yes, Status(NtStatus::ACCESS_DENIED)]);
    client.status(open()).await;
    assert_eq!(client.status(open()).await, failed(NtStatus::ACCESS_DENIED));
    assert_eq!(client.status(READ).await, skipped(1), "of the file that could not be opened");
    client.status(open()).await;
    assert_eq!(client.state.close_all().await, (2, 0));
}

#[tokio::test]
async fn a_panic_in_the_backend_becomes_one_failed_completion() {
    let mut client = Client::new(&[Panic]);
    let panicked = CompletionStatus::Failed(Failure::Panicked("index out of bounds".into()));
    assert_eq!(client.status(open()).await, panicked);
    assert!(!client.state.is_connected(), "what it left behind is not to be trusted");
    assert_eq!(client.status(READ).await, skipped(0));
    assert_eq!(
        client.status(open()).await,
        CompletionStatus::Failed(Failure::ConnectionLost("not connected".into()))
    );
}

#[tokio::test]
async fn a_panic_while_closing_is_a_close_that_failed() {
    let mut client = Client::new(&[Yes, Panic]);
    client.run(open()).await;
    assert_eq!(client.state.close_all().await, (0, 1));
}

#[tokio::test]
async fn a_directory_that_exists_is_a_success_in_setup_alone() {
    let collision = NtStatus::OBJECT_NAME_COLLISION;
    let mut client = Client::new(&[Status(collision), Status(collision)]);
    client.section = Section::Setup;
    let mkdir = || OperationKind::ByPath(PathOperation::Mkdir { path: path() });
    assert_eq!(client.status(mkdir()).await, CompletionStatus::Succeeded(collision));
    client.section = Section::Iteration;
    assert_eq!(client.status(mkdir()).await, failed(collision));
}

#[tokio::test]
async fn only_what_an_operation_expects_is_a_success() {
    let not_found = NtStatus::OBJECT_NAME_NOT_FOUND;
    let mut client = Client::new(&[Status(not_found), Yes, Yes, Status(NtStatus::END_OF_FILE)]);
    let delete = || OperationKind::ByPath(PathOperation::Delete { path: path() });
    client.expect = Expect::Statuses(Arc::new([not_found]));
    assert_eq!(client.status(delete()).await, CompletionStatus::Succeeded(not_found));
    assert_eq!(client.status(delete()).await, failed(NtStatus::SUCCESS));
    client.expect = Expect::Default;
    client.run(open()).await;
    let read = client.run(READ).await;
    assert_eq!(read.status, CompletionStatus::Succeeded(NtStatus::END_OF_FILE));
    assert!(read.short_read);
    let read = client.run(READ).await;
    assert_eq!((read.status, read.bytes, read.short_read), (OK, 4, true));
}

#[tokio::test]
async fn create_parameters_the_backend_lacks_are_left_out_and_counted() {
    let mut client = Client::new(&[]);
    let disposition = Some(CreateDisposition::Create);
    let known = CreateParameters { disposition, ..CreateParameters::default() };
    let requested_oplock = Some(OplockLevel::Batch);
    let unknown = CreateParameters { requested_oplock, ..CreateParameters::default() };
    for (parameters, request, degraded) in [
        (known.clone(), "open extended", false),
        (CreateParameters { requested_oplock, ..known }, "open extended", true),
        (unknown, "open", true),
    ] {
        let execution = client.run(open_with(Some(parameters))).await;
        assert_eq!((execution.status, execution.degraded), (OK, degraded));
        assert_eq!(client.server.seen(), [request]);
        client.run(CLOSE).await;
        client.server.seen();
    }
}

/// Returns a blob that was not read ahead.
fn blob(path: &std::path::Path) -> Payload {
    let blob = Blob::new(path);
    blob.bind(&BlobDirectories::open(path.parent().unwrap(), &[]).unwrap());
    Payload::Blob(Arc::new(blob))
}

#[tokio::test]
async fn a_blob_that_was_not_read_before_gives_the_bytes_the_write_wants() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("blob");
    std::fs::write(&file, "0123456789").unwrap();
    let mut client = Client::new(&[]);
    client.run(open()).await;
    assert_eq!(client.run(write(4, blob(&file))).await.bytes, 4);
    assert_eq!(client.server.written.lock().unwrap()[0], "0123");
    let checked = blob(&file);
    for (swap, why) in [
        ("truncated", "has 2 bytes, but the write wants 4"),
        ("gone", "cannot be read: No such file or directory (os error 2)"),
        ("a link", "is outside of"),
    ] {
        match swap {
            "truncated" => std::fs::write(&file, "01").unwrap(),
            "gone" => std::fs::remove_file(&file).unwrap(),
            _ => std::os::unix::fs::symlink("/etc/passwd", &file).unwrap(),
        }
        let status = client.status(write(4, checked.clone())).await;
        let CompletionStatus::Failed(failure @ Failure::Payload(message)) = &status else {
            panic!("{swap}: {status:?}")
        };
        assert!(failure.to_string().starts_with("PAYLOAD_UNREADABLE: "), "{failure}");
        let expected = format!("blob {} {why}", file.display());
        assert!(message.starts_with(&expected), "{message}");
    }
    assert_eq!(client.server.written.lock().unwrap().len(), 1, "nothing else was sent");
}

#[tokio::test]
async fn a_write_to_a_handle_that_is_not_open_is_skipped_whatever_its_blob() {
    let mut client = Client::new(&[Status(NtStatus::ACCESS_DENIED)]);
    client.run(open()).await;
    assert_eq!(client.status(write(4, blob("/no-such-file".as_ref()))).await, skipped(0));
}

#[tokio::test]
async fn a_lease_key_that_a_server_refuses_is_made_anew_once_but_not_one_the_stream_names() {
    let no = Status(NtStatus::INVALID_PARAMETER);
    let lease = Lease { state: 7, key: None, parent_key: None, version: 2 };
    let open = |key| {
        let lease = Some(Lease { key, ..lease });
        open_with(Some(CreateParameters { lease, ..CreateParameters::default() }))
    };
    let own = |again| Some(lease_key(0, &path(), again));
    let refused = failed(NtStatus::INVALID_PARAMETER);
    for (key, answers, status, asked) in [
        (None, &[][..], OK, vec![own(0)]),
        (None, &[no], OK, vec![own(0), own(1)]),
        (None, &[no, no], refused.clone(), vec![own(0), own(1)]),
        (Some([7; 16]), &[no], refused, vec![Some([7; 16])]),
    ] {
        let mut client = Client::with(&[Feature::Caching], answers);
        assert_eq!(client.status(open(key)).await, status);
        assert_eq!(*client.server.lease_keys.lock().unwrap(), asked);
    }
}
