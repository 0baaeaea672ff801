//! Tests with servers that answer with more than was asked for, to use up the memory or the time of
//! the client.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use bytes::Bytes;
use smbench::backend::{OpError, SMBBackend, SMBFileHandle};
use smbench_test_support::{Proxy, Samba, Settings};

use crate::hostile::{GUESTS, SOON, connect};
use crate::start::{create, samba_backend, smb2};

const STATUS: std::ops::Range<usize> = 8..12;
const COMMAND: usize = 12;
const NEXT_COMMAND: std::ops::Range<usize> = 20..24;
const NEGOTIATE: u8 = 0;
const READ: u8 = 8;

const MIB: u64 = 1 << 20;

/// Starts a proxy that replaces each successful answer to `command` by another frame.
fn proxy(server: SocketAddr, command: u8, lie: fn(Vec<u8>) -> Vec<u8>) -> Proxy {
    let pass = |frame| vec![frame];
    Proxy::start(server, pass, move |frame| {
        let is_answer = frame[COMMAND] == command && frame[STATUS] == [0; 4];
        vec![if is_answer { lie(frame) } else { frame }]
    })
}

/// Returns `size` bytes of zeros, compressed with LZ4 (a literal, then copies of it), in a message
/// with an SMB2 COMPRESSION_TRANSFORM_HEADER (MS-SMB2 2.2.42.1).
fn compressed(size: u32) -> Vec<u8> {
    let mut frame = b"\xfcSMB".to_vec();
    frame.extend(size.to_le_bytes());
    // LZ4, not chained, from offset 0.
    frame.extend([3, 0, 0, 0, 0, 0, 0, 0]);
    // One literal, and a match at distance 1 whose length is continued in bytes of 255.
    frame.extend([0x1F, 0, 1, 0]);
    let copied = size as usize - 1 - 19 - 5;
    frame.extend(vec![255; copied / 255]);
    frame.push((copied % 255) as u8);
    // The block ends with five literals.
    frame.extend([0x50, 0, 0, 0, 0, 0]);
    frame
}

/// Repeats the header of the message, with nothing behind it, as often as it fits into 8 MiB.
fn repeated(mut message: Vec<u8>) -> Vec<u8> {
    message.truncate(64);
    message[NEXT_COMMAND].copy_from_slice(&64_u32.to_le_bytes());
    let mut frame = message.repeat(131_072);
    let last = frame.len() - 64;
    frame[last..][NEXT_COMMAND].fill(0);
    frame
}

async fn lost(file: &dyn SMBFileHandle, length: u64) -> String {
    let read = tokio::time::timeout(SOON, file.read(0, length)).await.expect("it ends");
    let Err(OpError::ConnectionLost(cause)) = read else { panic!("{:?}", read.map(|b| b.len())) };
    cause
}

#[tokio::test]
async fn a_compressed_frame_ends_the_connection() {
    let Some(samba) = Samba::start(GUESTS) else { return };
    let hostile = proxy(samba.address(), READ, |_| compressed(16 << 20));
    let connection = connect(hostile.address()).await;
    let file = create(&*connection, "file").await;
    file.write(0, Bytes::from(vec![1; 4_096])).await.unwrap();
    let cause = lost(&*file, 4_096).await;
    assert!(cause.contains("compression was not negotiated"), "{cause}");
}

#[tokio::test]
async fn a_frame_is_no_longer_than_what_was_asked_for() {
    let Some(samba) = Samba::start(GUESTS) else { return };
    // Zeros follow an answer that is itself valid.
    let hostile = proxy(samba.address(), READ, |mut frame| {
        frame.resize(8 << 20, 0);
        frame
    });
    let connection = connect(hostile.address()).await;
    let file = create(&*connection, "file").await;
    file.write(0, Bytes::from(vec![1; 4_096])).await.unwrap();
    let cause = lost(&*file, 4_096).await;
    assert!(cause.contains("a frame of 8388608 bytes, and at most"), "{cause}");
}

#[tokio::test]
async fn a_frame_of_very_many_messages_ends_the_connection() {
    let Some(samba) = Samba::start(GUESTS) else { return };
    let hostile = proxy(samba.address(), READ, repeated);
    let connection = connect(hostile.address()).await;
    let file = create(&*connection, "file").await;
    file.write(0, Bytes::from(vec![1; 8 << 20])).await.unwrap();
    // The frame is read only if that much was asked for.
    let cause = lost(&*file, 8 * MIB).await;
    assert!(cause.contains("more than 64 messages"), "{cause}");

    let hostile = proxy(samba.address(), NEGOTIATE, repeated);
    let backend = smb2(&format!("smb://{}/share", hostile.address()), "");
    let error = tokio::time::timeout(SOON, backend.connect(0)).await.expect("it ends");
    let error = error.err().expect("no connection").to_string();
    assert!(error.contains("a frame of 8388608 bytes, and at most 65536"), "{error}");
}

#[tokio::test]
async fn every_operation_on_a_connection_that_was_closed_for_a_frame_says_so() {
    let encrypted = Settings { share: "smb encrypt = required", ..Settings::default() };
    for settings in [Settings::default(), encrypted] {
        let Some(samba) = Samba::start(settings) else { return };
        let lies = Arc::new(AtomicBool::new(false));
        let lying = lies.clone();
        // Changes the last byte of an answer, or its command if that is not encrypted.
        let answers = move |mut frame: Vec<u8>| {
            if lying.load(Relaxed) {
                let at = if frame.starts_with(b"\xfeSMB") { COMMAND } else { frame.len() - 1 };
                frame[at] ^= 0x77;
            }
            vec![frame]
        };
        let hostile = Proxy::start(samba.address(), |frame| vec![frame], answers);
        let target = format!("smb://{}@{}/share", samba.user(), hostile.address());
        let connection = smb2(&target, Samba::PASSWORD).connect(0).await.unwrap();
        let file = create(&*connection, "file").await;
        lies.store(true, Relaxed);
        let first = lost(&*file, 1).await;
        let malformed = "smbench closed the connection because the server sent a malformed frame: ";
        let what = first.strip_prefix(malformed).unwrap_or_else(|| panic!("{first}"));
        let known = ["it holds the unknown command 0x", "it does not decrypt with the key"];
        assert!(known.iter().any(|known| what.starts_with(known)), "{what}");
        assert_eq!(lost(&*file, 1).await, first, "and so does what comes after");
    }
}

#[tokio::test]
async fn an_answer_that_comes_after_its_request_was_given_up_does_no_harm() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let connection = samba_backend(&samba).connect(0).await.unwrap();
    let file = create(&*connection, "file").await;
    file.write(0, Bytes::from(vec![7; 4 << 20])).await.unwrap();
    for _ in 0..20 {
        let mut reading = pin!(file.read(0, MIB));
        // The read is polled twice, so that the request is on the way.
        for _ in 0..2 {
            let _ = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_ready())).await;
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(file.read(0, MIB).await.unwrap().len() as u64, MIB);
    file.close().await.unwrap();
}

#[tokio::test]
async fn long_reads_in_pieces_come_through_signed_and_encrypted() {
    let encrypted = Settings { share: "smb encrypt = required", ..Settings::default() };
    for settings in [Settings::default(), encrypted] {
        let Some(samba) = Samba::start(settings) else { return };
        let connection = samba_backend(&samba).connect(0).await.unwrap();
        let file = create(&*connection, "file").await;
        file.write(0, Bytes::from(vec![7; 20 << 20])).await.unwrap();
        for length in [1, 65_536, MIB, MIB + 1, 8 * MIB, 20 * MIB] {
            assert_eq!(file.read(0, length).await.unwrap().len() as u64, length, "{settings:?}");
        }
        file.close().await.unwrap();
    }
}
