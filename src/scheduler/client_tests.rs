//! Tests of a client's task by itself.

#![expect(clippy::disallowed_methods, reason = "the tests' own threads may wait")]

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::select;

use super::client::{ClientSettings, ClientTask, Mailbox, Order, Report, Reports};
use super::clock::{Precision, RealClock};
use super::fixtures::client_settings;
use crate::backend::sim::{Fault, Request, Settings, SimBackend};
use crate::ir::blobs::BlobDirectories;
use crate::ir::{
    Blob, CompletionStatus, Execution, Failure, HandleOperation, HandleRef, OpenMode,
    OpenOperation, Operation, OperationKind, PathOperation, Payload,
};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{NtStatus, SharePath};

/// Returns settings for a client of a simulated server.
fn settings(clock: Arc<RealClock>) -> ClientSettings {
    client_settings(Arc::new(SimBackend::new(clock.clone(), Settings::default())), clock)
}

async fn executed(reports: &Reports) -> Execution {
    loop {
        let report = reports.borrow_mut().pop_front();
        match report {
            Some((_, Report::Executed { attempt, .. })) => return attempt.execution,
            Some(_) => {}
            None => tokio::task::yield_now().await,
        }
    }
}

/// The only thread that reads files is occupied. This stands for a file system that has
/// stopped answering.
#[test]
fn a_blob_that_cannot_be_read_in_time_is_not_the_server_s_fault() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || released.recv());
    let status = runtime.block_on(write_of_a_blob());
    drop(release);
    let CompletionStatus::Failed(Failure::Payload(why)) = status else { panic!("{status:?}") };
    assert!(why.ends_with("/blob was not read within --op-timeout"), "{why}");
}

async fn write_of_a_blob() -> CompletionStatus {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blob");
    std::fs::write(&path, "12345").unwrap();

    let settings = Arc::new(settings(RealClock::start(Precision::Sleep)));
    let (mailbox, reports) = (Rc::new(Mailbox::default()), Reports::default());
    let task = ClientTask::new(0, 0, settings, mailbox.clone(), Rc::clone(&reports));
    let orders = async {
        let handle_ref = HandleRef(0);
        let open = OperationKind::Open(OpenOperation {
            path: SharePath::new("a").unwrap(),
            mode: OpenMode::ReadWrite,
            disposition: CreateDisposition::OpenIf,
            handle_ref,
            extensions: None,
        });
        mailbox.put(Order::Execute(Rc::new(Operation::new(0, 0, open))));
        executed(&reports).await;
        let blob = Blob::new(path);
        blob.bind(&BlobDirectories::open(directory.path(), &[]).unwrap());
        let payload = Payload::Blob(Arc::new(blob));
        let write = HandleOperation::Write { offset: 0, length: 4, payload }.on(handle_ref);
        mailbox.put(Order::Execute(Rc::new(Operation::new(0, 1, write))));
        mailbox.expire(1);
        let bound = tokio::time::Duration::from_secs(20);
        let ended = tokio::time::timeout(bound, executed(&reports)).await;
        ended.expect("it does not wait for the file")
    };
    let futures_util::future::Either::Right((execution, _)) =
        select(pin!(task.run()), pin!(orders)).await
    else {
        panic!("the task ended by itself")
    };
    execution.status
}

/// Returns settings with which the client loses its connection during the first operation and
/// is refused when it reconnects.
fn refused_after_a_loss(clock: Arc<RealClock>) -> ClientSettings {
    let faults = |request: Request| match request {
        Request { connect: 0, operation: Some(0), .. } => Some(Fault::ConnectionLost),
        Request { connect: 1, operation: None, .. } => Some(Fault::Status(NtStatus::LOGON_FAILURE)),
        _ => None,
    };
    let faulty = Settings { faults: Box::new(faults), ..Settings::default() };
    let backend = Arc::new(SimBackend::new(clock.clone(), faulty));
    ClientSettings { backend, ..settings(clock) }
}

#[tokio::test]
async fn a_client_whose_account_is_refused_does_not_try_again() {
    let settings = Arc::new(refused_after_a_loss(RealClock::start(Precision::Sleep)));
    let (mailbox, reports) = (Rc::new(Mailbox::default()), Reports::default());
    let task = ClientTask::new(0, 0, settings, mailbox.clone(), Rc::clone(&reports));
    let stat = OperationKind::ByPath(PathOperation::Stat { path: SharePath::new("a").unwrap() });
    mailbox.put(Order::Execute(Rc::new(Operation::new(0, 0, stat))));
    task.run().await;
    let last = reports.borrow_mut().pop_back();
    let Some((_, Report::Gone { reason })) = last else { panic!("{last:?}") };
    assert!(reason.contains("no client logs in any more"), "{reason}");
    assert!(reason.contains("STATUS_LOGON_FAILURE"), "{reason}");
}

/// Memory has to suffice for 100,000 clients, so breaks may cost only a few words until one
/// can come.
#[test]
fn a_clients_task_takes_no_more_than_400_bytes() {
    let clock = RealClock::start(Precision::Sleep);
    let settings = Arc::new(settings(clock));
    let task = ClientTask::new(0, 0, settings, Rc::default(), Reports::default());
    let bytes = std::mem::size_of_val(&task.run());
    assert!(bytes <= 400, "{bytes}");
}
