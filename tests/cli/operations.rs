//! Wrong use of handles and paths, in scripts and in documents.

use crate::program::Place;
use crate::summary::number;

fn script(iteration: &str) -> Place {
    Place::with_script(&format!(
        "bench.workload {{ name = 'w', iteration = function(c)\n{iteration}\nend }}"
    ))
}

/// Returns the error of a run that is refused before anything is sent.
fn broken(iteration: &str) -> String {
    script(iteration).run("s.lua --target sim --duration 20s").end().refused(2)
}

#[test]
fn a_handle_used_after_close_or_never_opened_names_line_and_client() {
    assert_eq!(
        broken("local h = c:open('a', 'rw')\nc:close(h)\nc:read(h, 0, 1)"),
        "s.lua:4: read: handle used after close (client w/0)"
    );
    assert_eq!(
        broken("local h = c:open('a', 'rw')\nc:close(h)\nc:close(h)"),
        "s.lua:4: close: handle used after close (client w/0)"
    );
    assert_eq!(
        broken("c:read(7, 0, 1)"),
        "s.lua:2: read: 7 is not a handle; a handle is what c:open returns (client w/0)"
    );
}

#[test]
fn handles_never_closed_are_closed_by_the_engine_and_counted() {
    let place = script("c:open('f' .. c.iteration, 'rw')");
    let summary = place.run("s.lua --iterations 7 --clients 3").end().exits(0).summary();
    assert_eq!(summary["cleanup"], serde_json::json!({ "closed": 21, "failed": 0 }));
    assert_eq!(number(&summary["totals"]["operations"]), 21, "closing is not in the totals");
}

#[test]
fn paths_that_no_server_may_see_are_refused_with_the_line() {
    for (path, reason) in [
        ("'../etc'", r#"path "../etc" contains ".."; paths stay inside the share"#),
        ("'a/../../b'", r#"path "a/../../b" contains ".."; paths stay inside the share"#),
        ("'a\\0b'", r#"path "a\0b" contains '\0', which SMB does not allow in a name"#),
        ("'what?'", r#"path "what?" contains '?', which SMB does not allow in a name"#),
        (
            "'a:b'",
            r#"path "a:b" contains ':', which names a stream of a file (file:stream), and smbench does not support named streams yet; write a name without it"#,
        ),
        (
            "('n'):rep(300)",
            r#"path component "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…" has 300 UTF-16 units; a name may have 255"#,
        ),
    ] {
        for (call, name) in [("c:open(PATH, 'r')", "open"), ("c:rename('a', PATH)", "rename")] {
            assert_eq!(
                broken(&call.replace("PATH", path)),
                format!("s.lua:2: {name}: {reason} (client w/0)")
            );
        }
    }
}

#[test]
fn operations_on_a_file_that_could_not_be_opened_are_skipped_and_say_why() {
    let place = script(
        "local h = c:open('none', 'r', { expect = 'OBJECT_NAME_NOT_FOUND' })
        c:read(h, 0, 10)
        c:close(h)",
    );
    for target in ["sim", "embedded"] {
        let ended = place.run_to(target, &format!("s.lua --target {target} --iterations 4")).end();
        let summary = ended.exits(0).summary();
        let totals = &summary["totals"];
        assert_eq!((number(&totals["operations"]), number(&totals["skipped"])), (4, 8));
        let first = &summary["skipped"]["first"][0];
        assert_eq!(first["op_id"], "0-1");
        assert_eq!(first["message"], "its handle was not open because of 0-0");
        assert_eq!(first["path"], "none");
    }
}
