//! Tests with invalid answers: to another command, without the flag of a response, with the body of
//! another command, or with a status that is neither success nor failure.

use std::net::SocketAddr;

use bytes::Bytes;
use smbench::backend::{OpError, SMBBackend, SMBConnectionInner};
use smbench::protocol::create::{CreateDisposition, OplockLevel};
use smbench::protocol::{Break, NtStatus};
use smbench_test_support::{Proxy, Samba};

use crate::hostile::{GUESTS, SOON, connect};
use crate::start::{create, list, open, open_asking, oplock, rename, smb2, stat};

const COMMAND: usize = 12;
const FLAGS: usize = 16;
const NEXT_COMMAND: usize = 20;
const BODY: usize = 64;

const NEGOTIATE: u8 = 0;
const SESSION_SETUP: u8 = 1;
const TREE_CONNECT: u8 = 3;
const CREATE: u8 = 5;
const CLOSE: u8 = 6;
const FLUSH: u8 = 7;
const READ: u8 = 8;
const WRITE: u8 = 9;
const LOCK: u8 = 10;
const ECHO: u8 = 13;
const QUERY_DIRECTORY: u8 = 14;
const QUERY_INFO: u8 = 16;
const SET_INFO: u8 = 17;
const OPLOCK_BREAK: u8 = 18;

/// A function that changes one message. Its argument is the rest of the frame from that message on.
type Lie = fn(&mut [u8]);

const LIES: [(&str, Lie); 5] = [
    ("an answer to ECHO", |message| message[COMMAND] = ECHO),
    ("an answer to CLOSE", |message| {
        message[COMMAND] = CLOSE;
        message[BODY] = 60;
    }),
    ("a request", |message| message[FLAGS] &= !1),
    ("the body of nothing", |message| message[BODY] = 0),
    // STATUS_OBJECT_NAME_EXISTS, which has the severity informational.
    ("an informational status", |message| message[11] = 0x40),
];

/// Starts a proxy that applies `lie` to each successful answer to `command`, and changes nothing
/// else.
fn liar(server: SocketAddr, command: u8, lie: Lie) -> Proxy {
    let pass = |frame| vec![frame];
    Proxy::start(server, pass, move |mut frame| {
        let mut at = 0;
        while frame.len() >= at + BODY + 2 {
            let message = &mut frame[at..];
            let next = u32::from_le_bytes(message[NEXT_COMMAND..][..4].try_into().unwrap());
            let unsolicited = message[24..32] == [0xFF; 8];
            if message[COMMAND] == command && message[8..12] == [0; 4] && !unsolicited {
                lie(message);
            }
            if next == 0 {
                break;
            }
            at += next as usize;
        }
        vec![frame]
    })
}

/// Performs an operation that needs a successful answer to `command`.
async fn perform(connection: &dyn SMBConnectionInner, command: u8) -> Result<(), OpError> {
    if command == CREATE {
        return open(connection, "file", CreateDisposition::OpenIf).await.map(drop);
    }
    match command {
        QUERY_DIRECTORY => return connection.execute_misc(&list("", "*")).await,
        QUERY_INFO => return connection.execute_misc(&stat("file")).await,
        _ => {}
    }
    let file = open(connection, "file", CreateDisposition::OpenIf).await?;
    let outcome = match command {
        CLOSE => return file.close().await,
        FLUSH => file.flush().await,
        READ => file.read(0, 4).await.map(drop),
        WRITE => file.write(0, Bytes::from_static(b"fine")).await.map(drop),
        LOCK => file.lock(0, 1, true, false).await,
        SET_INFO => file.truncate(100).await,
        _ => panic!("no operation needs command {command}"),
    };
    let _ = file.close().await;
    outcome
}

#[tokio::test]
async fn no_operation_succeeds_on_an_answer_that_is_none() {
    let Some(samba) = Samba::start(GUESTS) else { return };
    let honest = connect(samba.address()).await;
    let file = create(&*honest, "file").await;
    file.write(0, Bytes::from_static(b"fine")).await.unwrap();
    file.close().await.unwrap();
    let commands = [CREATE, CLOSE, FLUSH, READ, WRITE, LOCK, QUERY_DIRECTORY, QUERY_INFO, SET_INFO];
    for command in commands {
        assert_eq!(perform(&*honest, command).await, Ok(()), "command {command}");
        for (name, lie) in LIES {
            if command == CLOSE && name == "an answer to CLOSE" {
                continue;
            }
            let liar = liar(samba.address(), command, lie);
            let connection = connect(liar.address()).await;
            let performed = tokio::time::timeout(SOON, perform(&*connection, command)).await;
            let error = performed.expect(name).expect_err(&format!("command {command}: {name}"));
            let expected = match name {
                "a request" => {
                    matches!(&error, OpError::ConnectionLost(cause) if cause.contains("a request"))
                }
                "an informational status" => error == OpError::Status(NtStatus::OBJECT_NAME_EXISTS),
                _ => matches!(&error, OpError::Client(fault) if fault.starts_with("malformed ")),
            };
            assert!(expected, "command {command}: {name}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_rename_does_not_succeed_on_an_answer_that_is_none() {
    let Some(samba) = Samba::start(GUESTS) else { return };
    let honest = connect(samba.address()).await;
    for (number, (name, lie)) in LIES.into_iter().enumerate() {
        let (from, to) = (format!("from{number}"), format!("to{number}"));
        create(&*honest, &from).await.close().await.unwrap();
        let liar = liar(samba.address(), SET_INFO, lie);
        let connection = connect(liar.address()).await;
        let rename = rename(&from, &to, false);
        let renamed = tokio::time::timeout(SOON, connection.execute_misc(&rename)).await;
        assert!(renamed.expect(name).is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_break_is_not_acknowledged_by_an_answer_that_is_none() {
    let Some(samba) = Samba::start(GUESTS) else { return };
    let honest = connect(samba.address()).await;
    let lease: (&str, Lie) = ("an answer to a lease's", |message| message[BODY] = 36);
    for (number, (name, lie)) in LIES.into_iter().chain([lease]).enumerate() {
        let liar = liar(samba.address(), OPLOCK_BREAK, lie);
        let mut connection = connect(liar.address()).await;
        let mut breaks = connection.breaks().unwrap();
        let path = format!("file{number}");
        let file = open_asking(&*connection, &path, &oplock(OplockLevel::Batch)).await;
        let breaking = open(&*honest, &path, CreateDisposition::Open);
        let acknowledging = async {
            let Some(Break::Oplock(notice)) = breaks.next().await else { panic!("{name}") };
            file.acknowledge_oplock_break(notice.level).await
        };
        let (_, acknowledged) = tokio::time::timeout(SOON, async {
            futures_util::future::join(breaking, acknowledging).await
        })
        .await
        .expect(name);
        assert!(acknowledged.is_err(), "{name}");
    }
}

#[tokio::test]
async fn no_login_succeeds_on_an_answer_that_is_none() {
    let Some(samba) = Samba::start(GUESTS) else { return };
    for command in [NEGOTIATE, SESSION_SETUP, TREE_CONNECT] {
        for (name, lie) in LIES {
            let liar = liar(samba.address(), command, lie);
            let backend = smb2(&format!("smb://{}/share", liar.address()), "");
            let connected = tokio::time::timeout(SOON, backend.connect(0)).await.expect(name);
            assert!(connected.is_err(), "command {command}: {name}");
        }
    }
}
