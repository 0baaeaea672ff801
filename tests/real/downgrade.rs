//! Tests with a man in the middle who makes client and server use an older dialect, or hides a
//! capability of one of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use smb_server::{Access, LocalFsBackend, Share, SmbServer};
use smbench::backend::{ConnectStage, SMBBackend};
use smbench_test_support::{Proxy, Samba, Settings};

use crate::hostile::GUESTS;
use crate::start::{create, smb2};

const STATUS: std::ops::Range<usize> = 8..12;
const COMMAND: usize = 12;
const NEGOTIATE: u8 = 0;
const IOCTL: u8 = 11;
const FILE_CLOSED: u32 = 0xC000_0128;
const NOT_SUPPORTED: u32 = 0xC000_00BB;
const INVALID_DEVICE_REQUEST: u32 = 0xC000_0010;

/// Older dialects to which Samba can be limited, and their names. With 2.0.2 as its newest dialect,
/// Samba does not know the request for a confirmation.
const OLDER: [(&str, &str); 3] = [
    ("server max protocol = SMB2_10", "2.1"),
    ("server max protocol = SMB3_00", "3.0"),
    ("server max protocol = SMB3_02", "3.0.2"),
];

fn pass(frame: Vec<u8>) -> Vec<Vec<u8>> {
    vec![frame]
}

fn is(command: u8, frame: &[u8]) -> bool {
    frame.starts_with(b"\xfeSMB") && frame[COMMAND] == command
}

/// Limits the dialects that a client offers, which are in ascending order, to the first `count`.
fn only(count: u8) -> impl Fn(Vec<u8>) -> Vec<Vec<u8>> {
    const DIALECT_COUNT: usize = 64 + 2;
    move |mut frame| {
        if is(NEGOTIATE, &frame) {
            frame[DIALECT_COUNT] = count;
        }
        vec![frame]
    }
}

/// Logs in as `user` through `proxy`, and checks that the change is reported.
async fn assert_refused(proxy: &Proxy, user: &str, password: &str) {
    let backend = smb2(&format!("smb://{user}@{}/share", proxy.address()), password);
    let error = backend.connect(0).await.err().expect("the change is noticed");
    assert_eq!((error.stage, error.transient), (ConnectStage::Negotiate, false), "{error}");
    let text = error.to_string();
    assert!(text.contains("did not confirm the negotiation"), "{text}");
    assert!(text.contains("may have been changed in transit"), "{text}");
}

/// Starts a proxy that changes nothing. It records the statuses with which the server answered the
/// request for a confirmation.
fn watched(server: SocketAddr) -> (Proxy, Arc<Mutex<Vec<[u8; 4]>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watching = seen.clone();
    let proxy = Proxy::start(server, pass, move |frame| {
        if is(IOCTL, &frame) {
            watching.lock().unwrap().push(frame[STATUS].try_into().unwrap());
        }
        vec![frame]
    });
    (proxy, seen)
}

async fn connect_and_work(samba: &Samba, proxy: &Proxy) -> String {
    let url = format!("smb://{}@{}/share", samba.user(), proxy.address());
    let backend = smb2(&url, Samba::PASSWORD);
    let connection = backend.connect(0).await.unwrap();
    let file = create(&*connection, "file").await;
    assert_eq!(file.write(0, Bytes::from(vec![7; 1 << 20])).await, Ok(1 << 20));
    assert_eq!(file.read(0, 1 << 20).await.unwrap().len(), 1 << 20);
    backend.server().dialect.unwrap()
}

#[tokio::test]
async fn a_server_of_an_older_dialect_confirms_the_negotiation() {
    for (setting, dialect) in OLDER {
        let Some(samba) = Samba::start(Settings { global: setting, share: "" }) else { return };
        let (proxy, statuses) = watched(samba.address());
        assert_eq!(connect_and_work(&samba, &proxy).await, dialect);
        assert_eq!(*statuses.lock().unwrap(), [[0; 4]], "{dialect}");
    }
}

#[tokio::test]
async fn a_signed_refusal_is_that_of_an_old_server() {
    let old = Settings { global: "server max protocol = SMB2_02", share: "" };
    let Some(samba) = Samba::start(old) else { return };
    let (proxy, statuses) = watched(samba.address());
    assert_eq!(connect_and_work(&samba, &proxy).await, "2.0.2");
    assert_eq!(*statuses.lock().unwrap(), [FILE_CLOSED.to_le_bytes()]);
}

#[tokio::test]
async fn the_newest_dialect_needs_no_confirmation() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let (proxy, statuses) = watched(samba.address());
    assert_eq!(connect_and_work(&samba, &proxy).await, "3.1.1");
    assert_eq!(*statuses.lock().unwrap(), [[0; 4]; 0]);
}

#[tokio::test]
async fn an_encrypted_session_of_an_older_dialect_works() {
    let global = "server max protocol = SMB3_02\nsmb encrypt = required";
    let Some(samba) = Samba::start(Settings { global, share: "" }) else { return };
    let (proxy, _) = watched(samba.address());
    assert_eq!(connect_and_work(&samba, &proxy).await, "3.0.2");
}

#[tokio::test]
async fn a_client_that_is_made_to_offer_older_dialects_only_is_not_fooled() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    for count in 1..=4 {
        let proxy = Proxy::start(samba.address(), only(count), pass);
        assert_refused(&proxy, samba.user(), Samba::PASSWORD).await;
    }
}

#[tokio::test]
async fn the_embedded_server_ends_a_connection_whose_negotiation_was_changed() {
    const PASSWORD: &str = "of-the-test-1";
    let directory = tempfile::tempdir().unwrap();
    let storage = LocalFsBackend::new(directory.path()).unwrap();
    let server = SmbServer::builder()
        .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .user("ann", PASSWORD)
        .share(Share::new("share", storage).user("ann", Access::ReadWrite))
        .build()
        .unwrap();
    let address = server.bind().await.unwrap();
    tokio::spawn(async move { server.serve().await });
    let untouched = Proxy::start(address, pass, pass);
    let backend = smb2(&format!("smb://ann@{}/share", untouched.address()), PASSWORD);
    backend.connect(0).await.unwrap();
    for count in 1..=4 {
        let proxy = Proxy::start(address, only(count), pass);
        assert_refused(&proxy, "ann", PASSWORD).await;
    }
}

#[tokio::test]
async fn a_response_that_was_changed_is_noticed() {
    for (setting, _) in OLDER {
        let Some(samba) = Samba::start(Settings { global: setting, share: "" }) else { return };
        // The changes are in ServerGuid and in a bit of Capabilities that no key depends on.
        for (at, bit) in [(64 + 8, 0x10), (64 + 24, 0x01)] {
            let proxy = Proxy::start(samba.address(), pass, move |mut frame| {
                if is(NEGOTIATE, &frame) {
                    frame[at] ^= bit;
                }
                vec![frame]
            });
            assert_refused(&proxy, samba.user(), Samba::PASSWORD).await;
        }
    }
}

#[tokio::test]
async fn a_refusal_that_the_server_did_not_sign_is_not_believed() {
    let older = Settings { global: "server max protocol = SMB3_02", share: "" };
    let Some(samba) = Samba::start(older) else { return };
    for status in [FILE_CLOSED, NOT_SUPPORTED, INVALID_DEVICE_REQUEST] {
        let proxy = Proxy::start(samba.address(), pass, move |mut frame| {
            if is(IOCTL, &frame) {
                frame[STATUS].copy_from_slice(&status.to_le_bytes());
                frame.truncate(64);
                frame.extend([9, 0, 0, 0, 0, 0, 0, 0, 0]);
            }
            vec![frame]
        });
        assert_refused(&proxy, samba.user(), Samba::PASSWORD).await;
    }
}

/// Tests that a guest is let in without a confirmation: its session has no keys to confirm with.
#[tokio::test]
async fn a_guest_is_let_in_without() {
    let guests = Settings {
        global: "map to guest = bad user\nserver max protocol = SMB3_02",
        share: GUESTS.share,
    };
    let Some(samba) = Samba::start(guests) else { return };
    let backend = smb2(&format!("smb://{}/share", samba.address()), "");
    backend.connect(0).await.unwrap();
}
