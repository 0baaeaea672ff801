//! The lease keys that clients choose by themselves, through the whole program.

use std::collections::BTreeSet;

use serde_json::Value;
use smbench_test_support::{Samba, Settings};

use crate::program::Place;

/// Runs a script on Samba and on the simulator, and passes the path and the lease key of each open
/// to `look`.
fn keys_on_each(script: &str, look: impl Fn(&str, &[(String, String)])) {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    for target in [samba.url(), "sim".to_string()] {
        let place = Place::with_script(script);
        let run = place.run(&format!("s.lua --target {target} --iterations 2 --oplog")).samba();
        run.end().exits(0);
        let opens = place.oplog("out").into_iter().filter(|line| line["type"] == "open");
        let text = |value: &Value| value.as_str().unwrap().to_string();
        let keys = opens.map(|open| (text(&open["path"]), text(&open["granted"]["lease"]["key"])));
        look(&target, &keys.collect::<Vec<_>>());
    }
}

/// An editor saves like this: it renames the old file while it is open, and a new file takes its
/// name.
#[test]
fn a_file_keeps_its_key_through_a_rename_and_the_one_in_its_place_has_another() {
    let script = "bench.workload { name = 'editor', iteration = function(c)
        local old = c:open('doc', 'rw', { lease = 'RWH' })
        c:rename('doc', 'doc.bak')
        local new = c:open('doc', 'rw', { lease = 'RWH' })
        local bak = c:open('DOC.bak', 'r', { lease = 'RWH' })
        local again = c:open('Doc', 'r', { lease = 'RWH' })
        c:close(old) c:close(new) c:close(bak) c:close(again)
        c:delete('doc.bak')
        c:delete('doc')
    end }";
    keys_on_each(script, |target, keys| {
        let [(_, old), (_, new), (_, bak), (_, again), rest @ ..] = keys else {
            panic!("{target}: {keys:?}")
        };
        assert_eq!((bak, again), (old, new), "{target}");
        assert_ne!(old, new, "{target}");
        // These are the keys of the second iteration, when nothing is held any more.
        let second: BTreeSet<&String> = rest.iter().map(|(_, key)| key).collect();
        assert_eq!(second, BTreeSet::from([old, new]), "{target}: {keys:?}");
    });
}

#[test]
fn lease_keys_follow_their_files_when_the_directory_is_renamed() {
    let script = "bench.workload { name = 'mover', iteration = function(c)
        c:mkdir('a')
        local one = c:open('a/f', 'rw', { lease = 'RH' })
        c:close(one)
        c:rename('a', 'b')
        c:mkdir('a')
        local two = c:open('b/f', 'rw', { lease = 'RH' })
        local three = c:open('a/f', 'rw', { lease = 'RH' })
        c:close(two) c:close(three)
        c:delete('a/f') c:delete('b/f') c:rmdir('a') c:rmdir('b')
    end }";
    keys_on_each(script, |target, keys| {
        let [(_, one), (_, two), (_, three), ..] = keys else { panic!("{target}: {keys:?}") };
        // The file was closed before the rename, so there was no lease that could go with it.
        assert_eq!((one == three, one == two), (true, false), "{target}: {keys:?}");
    });
}

#[test]
fn a_clients_renames_and_deletes_by_path_break_no_lease_of_its_own() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let script = "bench.workload { name = 'editor', iteration = function(c)
        local old = c:open('doc', 'rw', { lease = 'RWH', on_break = { policy = 'ignore' } })
        c:rename('doc', 'old')
        local new = c:open('doc', 'rw', { lease = { state = 'RWH', version = 1 } })
        c:delete('old')
        c:close(old)
        c:delete('doc')
        c:close(new)
    end }
    bench.workload { name = 'other', iteration = function(c)
        local h = c:open('theirs', 'rw', { lease = 'RWH' })
        c:think('1s')
        c:close(h)
    end }
    bench.workload { name = 'thief', iteration = function(c)
        c:think('500ms')
        c:rename('theirs', 'stolen')
        c:think('1s')
        c:delete('stolen')
    end }";
    for target in [samba.url(), "sim".to_string()] {
        let place = Place::with_script(script);
        let run = place.run(&format!("s.lua --target {target} --iterations 1 --oplog")).samba();
        run.end().exits(0);
        let log = place.oplog("out");
        let broken: BTreeSet<String> = log
            .iter()
            .filter(|line| line["event"] == "break")
            .map(|line| line["client"].as_str().unwrap().to_string())
            .collect();
        assert_eq!(broken, BTreeSet::from(["other/0".to_string()]), "{target}: {log:#?}");
    }
}
