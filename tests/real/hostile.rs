//! Tests with a server that lies: Samba behind a proxy that changes its answers and makes up
//! breaks. A guest's session has no signatures to prevent that.

use std::net::SocketAddr;
use std::time::Duration;

use smbench::backend::{OpError, SMBBackend, SMBConnectionInner};
use smbench::ir::OpenMode;
use smbench::protocol::create::{CreateDisposition, OplockLevel};
use smbench::protocol::{Break, CreateParameters, LeaseState};
use smbench_test_support::{Proxy, Samba, Settings};

use crate::start::{lease, open, open_asking, oplock, path, smb2};

/// Settings that admit guests, whose sessions have no keys, so that any answer is believed.
pub const GUESTS: Settings =
    Settings { global: "map to guest = bad user", share: "guest ok = yes\nforce user = root" };
pub const SOON: Duration = Duration::from_secs(15);

const COMMAND: usize = 12;
const CREATE: u8 = 5;
/// Offsets of fields of a CREATE response in its message (MS-SMB2 2.2.14).
const OPLOCK_LEVEL: usize = 64 + 2;
const CREATE_ACTION: usize = 64 + 4;
const CONTEXTS_OFFSET: usize = 64 + 80;
const CONTEXTS_LENGTH: usize = 64 + 84;
/// Offset of the first context, which begins with the field Next.
const CONTEXT: usize = 64 + 88;

/// A function that returns the messages to pass on in place of one from the server.
type Bend = fn(Vec<u8>) -> Vec<Vec<u8>>;

/// Starts a proxy that changes the messages of the server.
fn proxy(server: SocketAddr, bend: Bend) -> Proxy {
    Proxy::start(server, |request| vec![request], bend)
}

fn is_create(message: &[u8]) -> bool {
    // Matches a successful answer that is not compounded.
    message.len() >= CONTEXT && message[COMMAND] == CREATE && message[8..12] == [0; 4]
}

fn put(message: &mut [u8], at: usize, value: u32) {
    message[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

macro_rules! bends {
    ($($change:expr),+ $(,)?) => {
        [$({
            let bend: Bend = |mut message| {
                if is_create(&message) {
                    let change: fn(&mut Vec<u8>) = $change;
                    change(&mut message);
                }
                vec![message]
            };
            (stringify!($change), bend)
        }),+]
    };
}

pub async fn connect(address: SocketAddr) -> Box<dyn SMBConnectionInner> {
    let backend = smb2(&format!("smb://{address}/share"), "");
    tokio::time::timeout(SOON, backend.connect(0)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_malformed_answer_to_an_open_is_an_error_and_leaves_nothing_open() {
    let Some(samba) = Samba::start(GUESTS) else { return };
    let honest = connect(samba.address()).await;
    for (bent, bend) in bends![
        |message| put(message, CONTEXTS_OFFSET, u32::MAX),
        |message| put(message, CONTEXTS_OFFSET, 8),
        |message| put(message, CONTEXTS_LENGTH, u32::MAX),
        |message| put(message, CONTEXTS_LENGTH, 9),
        |message| put(message, CONTEXT, 1),
        |message| put(message, CONTEXT, 8),
        |message| put(message, CONTEXT, u32::MAX),
        // The fields NameOffset and NameLength, Reserved and DataOffset, DataLength.
        |message| put(message, CONTEXT + 4, u32::MAX),
        |message| put(message, CONTEXT + 8, u32::MAX),
        |message| put(message, CONTEXT + 12, u32::MAX),
        |message| message[OPLOCK_LEVEL] = 5,
        |message| put(message, CREATE_ACTION, 77),
        |message| message.truncate(CONTEXT),
    ] {
        let liar = connect(proxy(samba.address(), bend).address()).await;
        let asked = lease(LeaseState::RWH);
        let place = path("file");
        let opening =
            liar.open_extended(&place, OpenMode::ReadWrite, CreateDisposition::OpenIf, &asked);
        let error = tokio::time::timeout(SOON, opening).await.expect(bent).err().expect(bent);
        let OpError::Client(message) = &error else { panic!("{bent}: {error:?}") };
        assert!(message.starts_with("malformed CREATE response"), "{bent}: {message}");
        // The file is not open any more.
        let alone = CreateParameters { share_mode: Some(0), ..CreateParameters::default() };
        open_asking(&*honest, "file", &alone).await.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_without_its_fixed_part_is_an_error() {
    let Some(samba) = Samba::start(GUESTS) else { return };
    for (bent, bend) in
        bends![|message| message.truncate(64), |message| message.truncate(64 + 87), |message| {
            message[64] = 88
        },]
    {
        let liar = connect(proxy(samba.address(), bend).address()).await;
        let opened = open(&*liar, "file", CreateDisposition::OpenIf);
        let error = tokio::time::timeout(SOON, opened).await.expect(bent).err();
        assert!(matches!(error, Some(OpError::Client(_))), "{bent}: {error:?}");
    }
}

/// Returns a break notification with this body, which the server did not send.
fn made_up(body: &[u8]) -> Vec<u8> {
    let mut message = b"\xfeSMB\x40\0".to_vec();
    message.resize(64, 0);
    message[COMMAND] = 0x12;
    // SMB2_FLAGS_SERVER_TO_REDIR.
    message[16] = 1;
    message[24..32].fill(0xFF);
    message.extend(body);
    message
}

#[tokio::test]
async fn breaks_of_what_nobody_holds_and_malformed_ones_disturb_nothing() {
    let Some(samba) = Samba::start(GUESTS) else { return };
    let liar = proxy(samba.address(), |message| {
        let mut oplock = vec![24, 0, 1, 0, 0, 0, 0, 0];
        oplock.resize(24, 0x77);
        let mut lease = vec![44, 0, 1, 0, 1, 0, 0, 0];
        lease.resize(44, 0x77);
        let mut strange = oplock.clone();
        strange[2] = 9;
        let breaks = [&oplock[..], &lease, &strange, &lease[..20], &[24, 0], &[]];
        let all = breaks.into_iter().map(made_up);
        match message[COMMAND] {
            CREATE => all.chain([message]).collect(),
            _ => vec![message],
        }
    });
    // The test runs once with a task that listens for breaks, and once without.
    let mut connection = connect(liar.address()).await;
    let mut breaks = connection.breaks().unwrap();
    let file = open_asking(&*connection, "file", &oplock(OplockLevel::Batch)).await;
    let first = tokio::time::timeout(SOON, breaks.next()).await.unwrap();
    assert!(matches!(first, Some(Break::Oplock(_))), "{first:?}");
    let second = tokio::time::timeout(SOON, breaks.next()).await.unwrap();
    assert!(matches!(second, Some(Break::Lease(_))), "{second:?}");
    assert_eq!(file.write(0, bytes::Bytes::from_static(b"fine")).await, Ok(4));
    file.close().await.unwrap();

    let connection = connect(liar.address()).await;
    for _ in 0..20 {
        let file = open_asking(&*connection, "file", &oplock(OplockLevel::Batch)).await;
        assert_eq!(file.granted_oplock(), Some(OplockLevel::Batch));
        assert_eq!(file.read(0, 4).await.unwrap(), "fine");
        tokio::time::timeout(SOON, file.close()).await.unwrap().unwrap();
    }
}
