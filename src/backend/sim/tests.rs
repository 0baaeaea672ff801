//! Tests of the simulator without a runtime. On a clock that jumps, what is not blocked answers at
//! the first poll.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Fault, Latency, NullBackend, RequestId, SimBackend, SimSettings};
use crate::backend::{Clock, OpError, SMBBackend, SMBConnectionInner, SMBFileHandle};
use crate::ir::{OpenMode, PathOperation};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{NtStatus, SharePath};

/// A clock whose time passes only by sleeping.
#[derive(Default)]
struct JumpingClock(AtomicU64);

impl Clock for JumpingClock {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn sleep_until(&self, deadline_ns: u64) -> BoxFuture<'static, ()> {
        self.0.fetch_max(deadline_ns, Ordering::Relaxed);
        std::future::ready(()).boxed()
    }
}

fn server(settings: SimSettings) -> SimBackend {
    SimBackend::new(Arc::new(JumpingClock::default()), settings)
}

fn with_fault(at: RequestId, fault: Fault) -> SimBackend {
    let faults = Box::new(move |request| (request == at).then_some(fault));
    server(SimSettings { faults, ..SimSettings::default() })
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("an answer without waiting")
}

fn connect(server: &SimBackend) -> Box<dyn SMBConnectionInner> {
    now(server.connect(0)).unwrap()
}

fn path(path: &str) -> SharePath {
    SharePath::new(path).unwrap()
}

fn open(
    connection: &dyn SMBConnectionInner,
    name: &str,
    mode: OpenMode,
) -> Result<Box<dyn SMBFileHandle>, OpError> {
    now(connection.open_simple(&path(name), mode, CreateDisposition::OpenIf))
}

fn file(connection: &dyn SMBConnectionInner) -> Box<dyn SMBFileHandle> {
    open(connection, "f", OpenMode::ReadWrite).unwrap()
}

fn status<T>(status: NtStatus) -> Result<T, OpError> {
    Err(OpError::Status(status))
}

fn is_lost<T>(result: &Result<T, OpError>) -> bool {
    matches!(result, Err(OpError::ConnectionLost(_)))
}

#[test]
fn every_request_takes_the_latency_of_the_given_clock() {
    let clock = Arc::new(JumpingClock::default());
    let latency = Latency::Constant(Duration::from_micros(250));
    let settings = SimSettings { latency, ..SimSettings::default() };
    let server = SimBackend::new(clock.clone(), settings);
    let connection = connect(&server);
    let handle = file(&*connection);
    now(handle.write(0, Bytes::from_static(b"x"))).unwrap();
    now(handle.close()).unwrap();
    assert_eq!(clock.now_ns(), 4 * 250_000);
}

#[test]
fn data_that_one_connection_writes_another_reads() {
    let server = server(SimSettings::default());
    let (one, other) = (connect(&server), connect(&server));
    let data = Bytes::from_static(b"hello");
    assert_eq!(now(file(&*one).write(3, data)), Ok(5));
    assert_eq!(now(file(&*other).read(0, 100)).unwrap(), &b"\0\0\0hello"[..]);
}

#[test]
fn a_handle_allows_what_it_was_opened_for() {
    let server = server(SimSettings::default());
    let connection = connect(&server);
    let writer = open(&*connection, "f", OpenMode::Write).unwrap();
    let reader = open(&*connection, "f", OpenMode::Read).unwrap();
    let denied = NtStatus::ACCESS_DENIED;
    assert_eq!(now(writer.read(0, 1)), status(denied));
    assert_eq!(now(reader.write(0, Bytes::from_static(b"x"))), status(denied));
    assert_eq!(now(reader.truncate(0)), status(denied));
    assert_eq!(now(reader.flush()), status(denied));
    assert_eq!(now(reader.read(0, u64::MAX)), status(NtStatus::INVALID_PARAMETER));
}

#[test]
fn a_listing_that_finds_nothing_is_no_such_file() {
    let server = server(SimSettings::default());
    let connection = connect(&server);
    file(&*connection);
    let list = |directory: &str, pattern: &str| {
        let operation = PathOperation::List { path: path(directory), pattern: pattern.into() };
        now(connection.execute_misc(&operation))
    };
    assert_eq!(list("", "F"), Ok(()));
    assert_eq!(list("", "g*"), status(NtStatus::NO_SUCH_FILE));
    assert_eq!(list("f", "*"), status(NtStatus::NOT_A_DIRECTORY));
    assert_eq!(list("g", "*"), status(NtStatus::OBJECT_NAME_NOT_FOUND));
}

#[test]
fn a_waiting_lock_is_granted_when_the_other_closes() {
    let server = server(SimSettings::default());
    let (one, other) = (connect(&server), connect(&server));
    let (holder, waiter) = (file(&*one), file(&*other));
    now(holder.lock(0, 10, true, false)).unwrap();
    assert_eq!(now(waiter.lock(5, 1, false, false)), status(NtStatus::LOCK_NOT_GRANTED));
    let mut waiting = pin!(waiter.lock(5, 1, true, true));
    assert_eq!(waiting.as_mut().now_or_never(), None);
    now(holder.close()).unwrap();
    assert_eq!(waiting.as_mut().now_or_never(), Some(Ok(())));
    assert_eq!(now(waiter.unlock(5, 1)), Ok(()));
}

#[test]
fn a_cancelled_wait_ends_as_cancelled_and_holds_nothing() {
    let server = server(SimSettings::default());
    let (one, other) = (connect(&server), connect(&server));
    let (holder, waiter) = (file(&*one), file(&*other));
    now(holder.lock(0, 1, true, false)).unwrap();
    let mut waiting = pin!(waiter.lock(0, 1, true, true));
    assert_eq!(waiting.as_mut().now_or_never(), None);
    assert!(now(other.cancel()));
    assert_eq!(waiting.as_mut().now_or_never(), Some(status(NtStatus::CANCELLED)));
    now(holder.unlock(0, 1)).unwrap();
    now(holder.lock(0, 1, true, false)).unwrap();
}

#[test]
fn a_cancel_between_operations_does_not_reach_the_next_one() {
    let server = server(SimSettings::default());
    let connection = connect(&server);
    let (holder, waiter) = (file(&*connection), file(&*connection));
    now(holder.lock(0, 1, true, false)).unwrap();
    assert!(now(connection.cancel()));
    let mut waiting = pin!(waiter.lock(0, 1, true, true));
    assert_eq!(waiting.as_mut().now_or_never(), None);
}

#[test]
fn stopping_the_server_ends_everything_and_starting_it_finds_the_files() {
    let server = server(SimSettings::default());
    let (one, other) = (connect(&server), connect(&server));
    let (holder, waiter) = (file(&*one), file(&*other));
    now(holder.write(0, Bytes::from_static(b"kept"))).unwrap();
    now(holder.lock(0, 1, true, false)).unwrap();
    let mut waiting = pin!(waiter.lock(0, 1, true, true));
    assert_eq!(waiting.as_mut().now_or_never(), None);
    server.stop();
    assert!(is_lost(&waiting.as_mut().now_or_never().unwrap()));
    assert!(is_lost(&now(holder.read(0, 1))));
    assert!(is_lost(&open(&*one, "f", OpenMode::Read).map(|_| ())));
    let refused = now(server.connect(0)).err().unwrap();
    assert!(refused.transient, "{refused}");
    server.start();
    let again = connect(&server);
    let handle = file(&*again);
    assert_eq!(now(handle.read(0, 9)).unwrap(), &b"kept"[..]);
    now(handle.lock(0, 1, true, false)).unwrap();
    assert!(is_lost(&now(holder.close())), "handles do not survive");
    assert_eq!(server.open_handles(), 1);
}

#[test]
fn a_client_that_vanishes_leaves_no_open_and_no_lock() {
    let server = server(SimSettings::default());
    let (one, other) = (connect(&server), connect(&server));
    let abandoned = file(&*one);
    now(abandoned.lock(0, 1, true, false)).unwrap();
    drop(one);
    assert!(is_lost(&now(abandoned.flush())));
    now(file(&*other).lock(0, 1, true, false)).unwrap();
    assert_eq!(server.open_handles(), 1);
    now(other.disconnect());
    assert_eq!(server.open_handles(), 0);
}

#[test]
fn a_planned_status_answers_one_request_which_is_not_carried_out() {
    let second = RequestId { client_idx: 0, connect: 0, operation: Some(1) };
    let server = with_fault(second, Fault::Status(NtStatus::DISK_FULL));
    let connection = connect(&server);
    let handle = file(&*connection);
    let write = || now(handle.write(0, Bytes::from_static(b"x")));
    assert_eq!(write(), status(NtStatus::DISK_FULL));
    assert_eq!(now(handle.read(0, 1)), status(NtStatus::END_OF_FILE));
    assert_eq!(write(), Ok(1));
}

#[test]
fn a_reply_that_never_comes_ends_with_the_connection_only() {
    let first = RequestId { client_idx: 0, connect: 0, operation: Some(0) };
    let server = with_fault(first, Fault::NoReply);
    let connection = connect(&server);
    let stat = PathOperation::Stat { path: path("") };
    let mut waiting = pin!(connection.execute_misc(&stat));
    assert_eq!(waiting.as_mut().now_or_never(), None);
    now(connection.cancel());
    assert_eq!(waiting.as_mut().now_or_never(), None);
    server.stop();
    assert!(is_lost(&waiting.as_mut().now_or_never().unwrap()));
}

#[test]
fn a_planned_break_loses_one_connection_and_the_next_connect_works() {
    let at = RequestId { client_idx: 0, connect: 0, operation: Some(1) };
    let server = with_fault(at, Fault::ConnectionLost);
    let connection = connect(&server);
    let handle = file(&*connection);
    assert!(is_lost(&now(handle.flush())));
    assert_eq!(server.open_handles(), 0);
    file(&*connect(&server));
}

#[test]
fn a_planned_connect_fails_as_a_login_or_as_a_refusal() {
    let at = RequestId { client_idx: 0, connect: 0, operation: None };
    let login = with_fault(at, Fault::Status(NtStatus::LOGON_FAILURE));
    let error = now(login.connect(0)).err().unwrap();
    assert!(!error.transient && error.reason.contains("STATUS_LOGON_FAILURE"), "{error}");
    let refused = with_fault(at, Fault::ConnectionLost);
    assert!(now(refused.connect(0)).err().unwrap().transient);
    assert!(now(refused.connect(0)).is_ok());
}

#[test]
fn the_null_server_says_yes_and_reads_zeros() {
    let connection = now(NullBackend.connect(0)).unwrap();
    let handle = file(&*connection);
    assert_eq!(now(handle.write(1 << 60, Bytes::from_static(b"abc"))), Ok(3));
    let zeros = now(handle.read(0, 64 << 20)).unwrap();
    assert_eq!(zeros.len(), 64 << 20);
    assert_eq!(zeros[zeros.len() - 1], 0);
    assert!(NullBackend.capabilities().instant);
}
