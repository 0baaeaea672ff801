//! Tests of connections that end, and of operations that are given up.

use std::time::Duration;

use bytes::Bytes;
use smbench::backend::{OpError, SMBBackend};
use smbench::protocol::NtStatus;
use smbench::protocol::create::CreateDisposition;
use smbench_test_support::{Samba, Settings};

use crate::start::{create, open, samba_backend, stat, status};

/// A time longer than any of these steps takes, and shorter than the response timeout.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_killed_server_is_a_lost_connection_at_once_and_a_new_one_works() {
    let Some(mut samba) = Samba::start(Settings::default()) else { return };
    let backend = samba_backend(&samba);
    let connection = backend.connect(0).await.unwrap();
    let file = create(&*connection, "f").await;
    file.write(0, Bytes::from_static(b"kept")).await.unwrap();
    samba.kill();
    let read = tokio::time::timeout(SOON, file.read(0, 4)).await.expect("no wait");
    let Err(OpError::ConnectionLost(cause)) = read else { panic!("{read:?}") };
    assert!(!cause.is_empty());
    let stat = tokio::time::timeout(SOON, connection.execute_misc(&stat("f"))).await.unwrap();
    assert!(matches!(stat, Err(OpError::ConnectionLost(_))), "{stat:?}");
    assert!(matches!(file.close().await, Err(OpError::ConnectionLost(_))));
    assert!(backend.connect(0).await.err().unwrap().transient);

    samba.restart();
    let connection = backend.connect(0).await.unwrap();
    let file = open(&*connection, "f", CreateDisposition::Open).await.unwrap();
    assert_eq!(file.read(0, 4).await.unwrap(), "kept");
    file.close().await.unwrap();
}

#[tokio::test]
async fn an_operation_in_flight_when_the_server_dies_is_lost_with_it() {
    let Some(mut samba) = Samba::start(Settings::default()) else { return };
    let backend = samba_backend(&samba);
    let (holder, waiter) = (backend.connect(0).await.unwrap(), backend.connect(1).await.unwrap());
    let held = create(&*holder, "f").await;
    held.lock(0, 1, true, false).await.unwrap();
    let file = open(&*waiter, "f", CreateDisposition::Open).await.unwrap();
    let waiting = tokio::spawn(async move { file.lock(0, 1, true, true).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    samba.kill();
    let outcome = tokio::time::timeout(SOON, waiting).await.expect("no wait").unwrap();
    assert!(matches!(outcome, Err(OpError::ConnectionLost(_))), "{outcome:?}");
}

#[tokio::test]
async fn cancel_ends_a_waiting_lock_with_its_own_status() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let backend = samba_backend(&samba);
    let (holder, waiter) = (backend.connect(0).await.unwrap(), backend.connect(1).await.unwrap());
    let held = create(&*holder, "f").await;
    held.lock(0, 1, true, false).await.unwrap();
    let file = open(&*waiter, "f", CreateDisposition::Open).await.unwrap();
    assert!(!waiter.cancel().await, "nothing is in flight");
    let mut waiting = Box::pin(file.lock(0, 1, true, true));
    let pause = Duration::from_millis(300);
    assert!(tokio::time::timeout(pause, &mut waiting).await.is_err(), "the lock waits");
    assert!(waiter.cancel().await);
    let outcome = tokio::time::timeout(SOON, waiting).await.expect("the lock ends");
    assert_eq!(outcome, status(NtStatus::CANCELLED));
    // The connection and the handle work as before.
    held.unlock(0, 1).await.unwrap();
    assert_eq!(file.lock(0, 1, true, true).await, Ok(()));
    file.close().await.unwrap();
}

#[tokio::test]
async fn a_waiting_lock_is_granted_when_the_range_is_free() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let backend = samba_backend(&samba);
    let (holder, waiter) = (backend.connect(0).await.unwrap(), backend.connect(1).await.unwrap());
    let held = create(&*holder, "f").await;
    held.lock(0, 1, true, false).await.unwrap();
    let file = open(&*waiter, "f", CreateDisposition::Open).await.unwrap();
    let waiting = tokio::spawn(async move { file.lock(0, 1, true, true).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    held.unlock(0, 1).await.unwrap();
    assert_eq!(tokio::time::timeout(SOON, waiting).await.unwrap().unwrap(), Ok(()));
}

#[tokio::test]
async fn a_dropped_operation_leaves_the_connection_sound() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let backend = samba_backend(&samba);
    let connection = backend.connect(0).await.unwrap();
    let file = create(&*connection, "f").await;
    file.write(0, Bytes::from(vec![7; 1 << 20])).await.unwrap();
    for _ in 0..200 {
        let read = file.read(0, 1 << 20);
        let _ = tokio::time::timeout(Duration::from_micros(50), read).await;
    }
    assert_eq!(file.read(3, 2).await.unwrap(), [7, 7][..]);
    file.close().await.unwrap();
}
