//! Servers that cannot be reached or refuse the login: exit code 3 and the server's name, in
//! bounded time.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use smbench_test_support::{Samba, Settings};

use crate::program::Place;

fn place() -> Place {
    Place::with_script(
        "bench.setup(function(c) c:mkdir('x') end)
        bench.workload { name = 'w', clients = 40, iteration = function(c) c:stat('') end }",
    )
}

#[test]
fn a_port_where_nothing_listens_is_named() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let place = place();
    // There are more shards than are needed, and several runs: the first shard that fails ends the
    // run.
    for shards in [1, 2, 4, 16] {
        for _ in 0..3 {
            let line = format!("s.lua --shards {shards} --target smb://ann@127.0.0.1:{port}/share");
            let call = place.run(&line).env("SMBENCH_PASSWORD", "hunter2");
            let message = call.end().refused(3);
            assert_eq!(
                message,
                format!(
                    "connecting failed at 127.0.0.1:{port} as user \"ann\": Connection refused (os error 111)"
                )
            );
        }
    }
    assert_eq!(place.names(), ["s.lua"]);
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_left_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let line = format!("s.lua --target smb://ann@127.0.0.1:{port}/share --connect-timeout 1s");
    let started = Instant::now();
    let message = place().run(&line).env("SMBENCH_PASSWORD", "hunter2").end().refused(3);
    // This is far below the default of 10 s.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(
        message,
        format!(
            "connecting failed at 127.0.0.1:{port} as user \"ann\": no answer within 1 s (--connect-timeout)"
        )
    );
}

#[test]
fn a_server_that_does_not_speak_smb_is_reported_as_one() {
    let malformed = "smbench closed the connection because the server sent a malformed frame: ";
    for (answer, reason) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            format!("{malformed}it announced a frame of 1213486160 bytes, and at most 65536"),
        ),
        (
            b"SSH-2.0-OpenSSH_9.9\r\n",
            "can answer what was asked; is an SMB server at this port? 445 is usual".into(),
        ),
        (
            b"\0\0\0\x04abcd",
            format!(
                "{malformed}it is no SMB2 message, or is cut off; is an SMB server at this port? 445 is usual"
            ),
        ),
        (
            b"\0\0\0\x08\xffSMBr\0\0\0",
            "\": the server answers SMB 1 only: enable SMB 2 or 3 on it, which smbench needs"
                .into(),
        ),
        (b"", "the server closed the connection".into()),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            stream.write_all(answer).unwrap();
        });
        let line = format!("s.lua --clients 1 --target smb://ann@127.0.0.1:{port}/share");
        let text = "bench.workload { name = 'w', iteration = function(c) c:stat('') end }";
        let place = Place::with_script(text);
        let message = place.run(&line).env("SMBENCH_PASSWORD", "hunter2").end().refused(3);
        assert!(message.contains(&format!("at 127.0.0.1:{port} as user \"ann\": ")), "{message}");
        assert!(message.contains(&reason), "{message}");
        server.join().unwrap();
    }
}

#[test]
fn a_wrong_password_a_missing_share_and_a_missing_directory_are_named() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let (address, user) = (samba.address(), samba.user());
    let place = place();
    let call = |target: &str| place.run(&format!("s.lua --target {target}"));
    let wrong = call(&samba.url()).env("SMBENCH_PASSWORD", "hunter2").end().refused(3);
    assert_eq!(
        wrong,
        format!(
            "login failed at {address} as user \"{user}\": STATUS_LOGON_FAILURE (0xC000006D): check the user's name and SMBENCH_PASSWORD"
        )
    );
    let share = call(&samba.url().replace("/share", "/nothing")).samba().end().refused(3);
    assert!(share.contains(&format!("at {address} as user \"{user}\"")), "{share}");
    assert!(
        share
            .ends_with("STATUS_BAD_NETWORK_NAME (0xC00000CC): the server has no share \"nothing\""),
        "{share}"
    );
    let directory = call(&format!("{}/no/where", samba.url())).samba().end().refused(3);
    assert!(directory.contains("STATUS_OBJECT_PATH_NOT_FOUND (0xC000003A)"), "{directory}");
    assert!(directory.ends_with("has no folder \"no/where\"; create it first"), "{directory}");
    assert_eq!(crate::program::names(&samba.share()), [""; 0]);
}

#[test]
fn a_share_that_denies_access_exits_3() {
    let denied = Settings { global: "", share: "valid users = nobody" };
    let Some(samba) = Samba::start(denied) else { return };
    let message = place().run(&format!("s.lua --target {}", samba.url())).samba().end().refused(3);
    assert!(message.contains("STATUS_ACCESS_DENIED (0xC0000022)"), "{message}");
}
