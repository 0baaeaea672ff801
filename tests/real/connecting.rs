//! Tests that a failed connection is reported with the server, user, stage and reason.

use std::time::Duration;

use smbench::backend::{ConnectError, ConnectStage, SMBBackend};
use smbench_test_support::{Samba, Settings};

use crate::start::{mkdir, path, samba_backend, smb2, stat};

async fn refusal(backend: &dyn SMBBackend) -> ConnectError {
    match backend.connect(0).await {
        Ok(_) => panic!("the connection was made"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_wrong_password_is_named_as_the_server_names_it() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let error = refusal(&smb2(&samba.url(), "hunter2")).await;
    assert_eq!(error.stage, ConnectStage::Login);
    assert!(!error.transient);
    let text = error.to_string();
    for part in
        ["STATUS_LOGON_FAILURE (0xC000006D)", samba.user(), &samba.address().to_string(), "login"]
    {
        assert!(text.contains(part), "{text:?} should name {part:?}");
    }
    assert!(!text.contains("hunter2"));
}

#[tokio::test]
async fn a_missing_share_and_a_missing_directory_are_named() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let url = samba.url().replace("/share", "/nothing");
    let error = refusal(&smb2(&url, Samba::PASSWORD)).await;
    assert_eq!((error.stage, error.transient), (ConnectStage::Share, false));
    assert!(error.reason.contains("STATUS_BAD_NETWORK_NAME (0xC00000CC)"), "{error}");
    assert!(error.reason.contains("\"nothing\""), "{error}");

    let error = refusal(&smb2(&format!("{}/no/where", samba.url()), Samba::PASSWORD)).await;
    assert_eq!((error.stage, error.transient), (ConnectStage::Directory, false));
    assert!(error.reason.contains("STATUS_OBJECT_PATH_NOT_FOUND"), "{error}");
    assert!(error.reason.contains("no/where"), "{error}");
}

#[tokio::test]
async fn the_directory_of_the_target_is_the_prefix_of_every_path() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    std::fs::create_dir_all(samba.share().join("team/a b")).unwrap();
    let backend = smb2(&format!("{}/team/a%20b", samba.url()), Samba::PASSWORD);
    let connection = backend.connect(0).await.unwrap();
    connection.execute_misc(&mkdir("inner")).await.unwrap();
    assert!(samba.share().join("team/a b/inner").is_dir());
    connection.execute_misc(&stat("")).await.unwrap();
    connection.disconnect().await;
}

#[tokio::test]
async fn nothing_listening_is_worth_another_try() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = refusal(&smb2(&format!("smb://ann@127.0.0.1:{port}/share"), "x")).await;
    assert_eq!((error.stage, error.transient), (ConnectStage::Connect, true));
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_left_when_the_caller_gives_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let backend = smb2(&format!("smb://ann@127.0.0.1:{port}/share"), "x");
    let bound = Duration::from_millis(200);
    assert!(tokio::time::timeout(bound, backend.connect(0)).await.is_err());
    // The client sends NEGOTIATE, and then the stream ends: nothing holds the socket any more.
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut sent = Vec::new();
    let ends = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut sent);
    tokio::time::timeout(Duration::from_secs(20), ends).await.expect("it is closed").unwrap();
    assert_eq!(sent[4..8], *b"\xfeSMB");
}

#[tokio::test]
async fn a_server_that_does_not_speak_smb_is_reported_as_one() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"\0\0\0\x04abcd", b"\0\0\0\0"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        });
        let error = refusal(&smb2(&format!("smb://ann@127.0.0.1:{port}/share"), "x")).await;
        assert_eq!(error.stage, ConnectStage::Negotiate, "{error}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn the_negotiated_protocol_is_described() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let backend = samba_backend(&samba);
    assert_eq!(backend.server(), Default::default(), "nothing is known before");
    backend.connect(0).await.unwrap();
    let server = backend.server();
    assert_eq!(server.dialect.as_deref(), Some("3.1.1"));
    assert!(server.signing.is_some());
    assert_eq!(server.encryption, None);
    assert!(server.server.is_some());
}

#[tokio::test]
async fn an_encrypted_share_and_an_encrypted_session_work() {
    let share = Settings { share: "smb encrypt = required", ..Settings::default() };
    let session = Settings { global: "smb encrypt = required", ..Settings::default() };
    for settings in [share, session] {
        let Some(samba) = Samba::start(settings) else { return };
        let backend = samba_backend(&samba);
        let connection = backend.connect(0).await.unwrap();
        assert!(backend.server().encryption.is_some(), "{settings:?}");
        let file = crate::start::create(&*connection, "secret").await;
        let data = smbench::ir::Pattern::Text.bytes(0, &path("secret"), 0, 1 << 20);
        file.write(0, data.clone()).await.unwrap();
        assert_eq!(file.read(0, 1 << 20).await.unwrap(), data);
        file.close().await.unwrap();
    }
}

#[tokio::test]
async fn older_dialects_work() {
    for (setting, dialect) in [
        ("server max protocol = SMB2_02", "2.0.2"),
        ("server max protocol = SMB2_10", "2.1"),
        ("server max protocol = SMB3_02", "3.0.2"),
    ] {
        let Some(samba) = Samba::start(Settings { global: setting, share: "" }) else { return };
        let backend = samba_backend(&samba);
        let connection = backend.connect(0).await.unwrap();
        assert_eq!(backend.server().dialect.as_deref(), Some(dialect));
        let file = crate::start::create(&*connection, "old").await;
        let data = smbench::ir::Pattern::Random.bytes(0, &path("old"), 0, 300_000);
        assert_eq!(file.write(0, data.clone()).await, Ok(300_000));
        assert_eq!(file.read(0, 300_000).await.unwrap(), data);
        file.close().await.unwrap();
    }
}

#[tokio::test]
async fn without_a_user_the_login_is_a_guests() {
    let guests = Settings { global: "map to guest = bad user", share: "guest ok = yes" };
    let Some(samba) = Samba::start(guests) else { return };
    let url = format!("smb://{}/share", samba.address());
    let backend = smb2(&url, "");
    let connection = backend.connect(0).await.unwrap();
    connection.execute_misc(&mkdir("by a guest")).await.unwrap();
    assert_eq!(backend.server().signing, None);
    // A user who gives a name is not silently logged in as somebody else.
    let url = format!("smb://nobody-here@{}/share", samba.address());
    let error = refusal(&smb2(&url, "x")).await;
    assert_eq!(error.stage, ConnectStage::Login);
    assert!(error.reason.contains("guest"), "{error}");
}
