//! Tests of the payloads of writes.

use std::os::unix::fs::symlink;

use super::*;
use crate::ir::{HandleOperation, OperationKind, Pattern, Payload};

fn payloads(written: &Written) -> Vec<Payload> {
    let payload = |operation: Operation| match operation.kind {
        OperationKind::OnHandle(_, HandleOperation::Write { payload, .. }) => Some(payload),
        _ => None,
    };
    written.operations().into_iter().filter_map(payload).collect()
}

fn writing(options: &str) -> Written {
    iteration(&format!("local h = c:open('a', 'w') c:write(h, 0, 5, {options}) c:close(h)"))
        .file("data/letter.txt", "Dear all,")
}

/// Returns the whole message without its line.
fn refused(written: &Written) -> String {
    let message = written.message();
    let here = written.folder.path().canonicalize().unwrap().display().to_string();
    message.strip_prefix("s.lua:2: write: ").expect(&message).replace(&here, "HERE")
}

#[test]
fn a_write_carries_a_pattern() {
    for (options, pattern) in [
        ("nil", Pattern::Random),
        ("{}", Pattern::Random),
        ("{ payload = 'random' }", Pattern::Random),
        ("{ payload = 'zero' }", Pattern::Zero),
        ("{ payload = 'text', expect = 'any' }", Pattern::Text),
    ] {
        assert_eq!(payloads(&writing(options)), [Payload::Pattern(pattern)], "{options}");
    }
}

#[test]
fn a_write_carries_the_first_bytes_of_a_file_and_they_are_at_hand() {
    let written = writing("{ blob = 'data/letter.txt' }");
    let [Payload::Blob(blob)] = &payloads(&written)[..] else { panic!("no blob") };
    assert_eq!(&*blob.path, written.path("data/letter.txt").canonicalize().unwrap());
    assert_eq!(blob.data().unwrap().as_ref(), b"Dear ");
}

#[test]
fn the_error_about_an_unknown_payload_lists_the_payloads() {
    for (options, expected) in [
        ("{ payload = 'zeros' }", "unknown payload 'zeros': did you mean 'zero'?"),
        ("{ payload = 'x' }", "unknown payload 'x': there is zero, random, text"),
        ("{ payload = 0 }", "payload is a string, not 0"),
        ("{ payload = 'blob' }", "for the bytes of a file write blob = \"name\""),
        ("{ blob = 5 }", "blob, the name of a file, is a string, not 5"),
        ("{ payload = 'zero', blob = 'data/letter.txt' }", "give either payload or blob, not both"),
        ("{ paylaod = 'zero' }", "unknown option 'paylaod': did you mean 'payload'?"),
        (
            "{ blob = 'data/gone' }",
            "blob \"data/gone\" cannot be read: No such file or directory (os error 2)",
        ),
        ("{ blob = 'data' }", "blob \"data\" is not a regular file"),
    ] {
        assert_eq!(refused(&writing(options)), expected, "{options}");
    }
    let long = iteration("local h = c:open('a', 'w') c:write(h, 0, '1KiB', { blob = 'f' })")
        .file("f", "short");
    assert_eq!(refused(&long), "blob \"f\" has 5 bytes, but the write wants 1024");
}

const OUTSIDE: &str = "is outside of HERE, or a symbolic link leads there; allow its directory with --allow-blobs, and name it by its path in that directory";

#[test]
fn blobs_come_from_the_script_s_folder_and_what_the_command_line_names_whatever_links_say() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "a secret").unwrap();
    let there = outside.path().canonicalize().unwrap();
    let secret = there.join("secret");
    let written = writing(&format!("{{ blob = {secret:?} }}"));
    assert_eq!(refused(&written), format!("blob {secret:?} {OUTSIDE}"));
    let allowed = written.with(|options| options.blob_directories.push(there.clone()));
    assert_eq!(payloads(&allowed).len(), 1);

    for (link, to) in [("data/link", &secret), ("data/folder", &there)] {
        let name = if link.ends_with("folder") { "data/folder/secret" } else { link };
        let written = writing(&format!("{{ blob = {name:?} }}"));
        symlink(to, written.path(link)).unwrap();
        assert_eq!(refused(&written), format!("blob {name:?} {OUTSIDE}"));
        if link.ends_with("folder") {
            let folder = written.path(link);
            let allowed = written.with(|options| options.blob_directories.push(folder));
            assert_eq!(payloads(&allowed).len(), 1);
        }
    }

    let within = writing("{ blob = 'data/link' }");
    symlink("letter.txt", within.path("data/link")).unwrap();
    let [Payload::Blob(blob)] = &payloads(&within)[..] else { panic!("no blob") };
    assert_eq!(blob.data().unwrap().as_ref(), b"Dear ");

    for path in ["data/../data/letter.txt", "data/letter..txt"] {
        assert_eq!(
            refused(&writing(&format!("{{ blob = {path:?} }}"))),
            format!("blob {path:?} contains \"..\"; write the path without it")
        );
    }
}

#[test]
fn a_script_does_not_learn_which_files_exist_outside_its_directory() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir(outside.path().join("folder")).unwrap();
    std::fs::write(outside.path().join("file"), "12345").unwrap();
    for (link, to) in
        [("link", "/".into()), ("up", format!("{}/../..", ["..", "/.."].concat().repeat(9)))]
    {
        let elsewhere = outside.path().canonicalize().unwrap();
        let elsewhere = elsewhere.strip_prefix("/").unwrap().display().to_string();
        for path in ["file", "folder", "none", "none/none", "file/none"] {
            for name in [format!("{link}/{elsewhere}/{path}"), format!("/{elsewhere}/{path}")] {
                let text = format!(
                    "local h = c:open('a', 'w')
                    local _, why = pcall(function() c:write(h, 0, 5, {{ blob = {name:?} }}) end)
                    error(why)"
                );
                let written = iteration(&text);
                symlink(&to, written.path(link)).unwrap();
                let message = written.message();
                let here = written.folder.path().canonicalize().unwrap().display().to_string();
                let expected = format!("blob {name:?} {}", OUTSIDE.replace("HERE", &here));
                assert!(message.ends_with(&expected), "{message}");
            }
        }
    }
}

#[test]
fn a_file_that_replaces_a_blob_in_use_is_not_written() {
    type Swap = fn(&std::path::Path);
    let swaps: [(Swap, &str); 5] = [
        (|path| symlink("/etc/passwd", path).unwrap(), OUTSIDE),
        (|path| symlink("/dev/zero", path).unwrap(), OUTSIDE),
        (
            |path| {
                let made = std::process::Command::new("mkfifo").arg(path).status();
                assert!(made.unwrap().success());
            },
            "is not a regular file",
        ),
        (|path| std::fs::create_dir(path).unwrap(), "is not a regular file"),
        (|path| std::fs::write(path, "123").unwrap(), "has 3 bytes, but the write wants 6"),
    ];
    for (swap, why) in swaps {
        let written = script(
            "local length = 4
            bench.workload { name = 'w', iteration = function(c)
                length = length + 1
                local h = c:open('a', 'w')
                c:write(h, 0, length, { blob = 'f' })
                c:close(h)
            end }",
        )
        .file("f", "0123456789")
        .with(|options| options.iterations = Some(2));
        let mut script = written.load().unwrap();
        let mut operations = Vec::new();
        // These are the operations of the first iteration.
        script.pull(0, Section::Iteration, 3, &mut operations).unwrap();
        std::fs::remove_file(written.path("f")).unwrap();
        swap(&written.path("f"));
        let error = script.pull(0, Section::Iteration, 9, &mut operations).unwrap_err();
        let here = written.folder.path().canonicalize().unwrap().display().to_string();
        let message = error.message.replace(&here, "HERE");
        assert_eq!(message, format!("s.lua:5: write: blob \"f\" {why}"));
        let OperationKind::OnHandle(_, HandleOperation::Write { payload: Payload::Blob(blob), .. }) =
            &operations[1].kind
        else {
            panic!("no blob")
        };
        assert_eq!(blob.data().unwrap().as_ref(), b"01234");
    }
}

#[test]
fn a_folder_for_blobs_that_does_not_exist_is_named() {
    let written = writing("nil").with(|options| options.blob_directories.push("/no/such".into()));
    assert_eq!(written.refused(), "--allow-blobs /no/such: No such file or directory (os error 2)");
}
