//! The rights that a server granted: the same in the operation log, in hooks, in the summary and in
//! thresholds, and the same for a script and for its documents.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use smbench_test_support::{Samba, Settings};

use crate::program::Place;
use crate::summary::number;

/// A script with every create action, every oplock level, and every lease state in both versions.
const EVERY_GRANT: &str = r#"
local actions = bench.counter("actions", { tags = { "action" } })
local caching = bench.counter("caching", { tags = { "what" } })
local ids = bench.counter("ids", { tags = { "id" } })
bench.on_complete({ ops = "open", fields = { "granted", "create_action", "file_id" } },
    function(granted, action, id)
        caching:add(1, { what = granted or "nothing known" })
        actions:add(1, { action = action or "nothing known" })
        ids:add(1, { id = id or "nothing known" })
    end)
bench.setup(function(c)
    for _, name in ipairs { "opened", "overwritten", "superseded" } do c:close(c:open(name, "w")) end
end)
bench.workload { name = "w", iteration = function(c)
    c:close(c:open("opened", "r"))
    c:close(c:open("created", "rw", { disposition = "create" }))
    c:close(c:open("overwritten", "w"))
    c:close(c:open("superseded", "rw", { disposition = "supersede" }))
    for _, level in ipairs { "ii", "exclusive", "batch" } do
        c:close(c:open(level, "rw", { requested_oplock = level }))
    end
    for _, state in ipairs { "R", "RH", "RWH" } do
        for version = 1, 2 do
            c:close(c:open(state .. version, "rw", { lease = { state = state, version = version } }))
        end
    end
    c:close(c:open("durable", "rw", { requested_oplock = "batch", durable = { version = 2, timeout = "30s" } }))
    c:open("none", "r", { expect = "OBJECT_NAME_NOT_FOUND" })
end }
"#;

/// Thresholds, all of which hold.
const THRESHOLDS: [&str; 10] = [
    "open.granted.none == 4",
    "open.granted.ii == 1",
    "open.granted.exclusive == 1",
    "open.granted.batch == 2",
    "open.granted.R == 2",
    "open.granted.RWH == 2",
    "open.granted.RW == 0",
    "open.create_action.created == 11",
    "open.create_action.superseded == 1",
    "breaks.count == 0",
];

fn opens(lines: &[Value]) -> Vec<&Value> {
    let measured = |line: &&Value| line["type"] == "open" && line["section"] == "iteration";
    lines.iter().filter(measured).collect()
}

fn counted(names: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    names.fold(BTreeMap::new(), |mut counts, name| {
        *counts.entry(name).or_default() += 1;
        counts
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_string()
}

/// Returns the values of a counter of the script by its only tag.
fn tagged(summary: &Value, metric: &str, tag: &str) -> BTreeMap<String, u64> {
    let series = summary["metrics"][metric]["tagged"].as_array().unwrap();
    series.iter().map(|one| (text(&one["tags"][tag]), number(&one["value"]))).collect()
}

#[test]
fn grants_are_the_same_in_the_log_in_hooks_and_in_the_summary() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    for target in [samba.url(), "sim".to_string()] {
        let place = Place::with_script(EVERY_GRANT);
        let line = format!("s.lua --target {target} --iterations 1 --oplog");
        let mut call = place.run(&line).samba();
        for threshold in THRESHOLDS {
            call = call.arg("--threshold").arg(threshold);
        }
        let summary = call.end().exits(0).summary();
        let lines = place.oplog("out");
        let opens = opens(&lines);
        assert_eq!(opens.len(), 15, "{target}");
        for open in &opens {
            let (path, granted) = (open["path"].as_str().unwrap(), open.get("granted"));
            let Some(granted) = granted else {
                assert_eq!(
                    (path, &open["status"]),
                    ("none", &"STATUS_OBJECT_NAME_NOT_FOUND".into())
                );
                continue;
            };
            let (oplock, action) = (text(&granted["oplock"]), text(&granted["create_action"]));
            match path {
                "opened" | "created" | "overwritten" | "superseded" => {
                    assert_eq!((action.as_str(), oplock.as_str()), (path, "none"), "{target}");
                }
                "ii" | "exclusive" | "batch" => assert_eq!(oplock, path, "{target}"),
                "durable" => {
                    assert_eq!(oplock, "batch", "{target}");
                    // The simulator makes no handle durable.
                    let durable = json!({ "version": 2, "timeout_ms": 30_000 });
                    let granted = granted.get("durable");
                    assert_eq!(granted, Some(&durable).filter(|_| target != "sim"));
                }
                _ => {
                    let (state, version) = path.split_at(path.len() - 1);
                    assert_eq!(
                        (oplock.as_str(), &granted["lease"]["state"]),
                        ("lease", &state.into())
                    );
                    // The epoch of a lease of version 1 is always 0.
                    assert_eq!(granted["lease"]["epoch"], u64::from(version == "2"), "{target}");
                }
            }
        }

        let granted = |open: &&&Value| open.get("granted").is_some();
        let of_log = |what: fn(&Value) -> String| {
            counted(opens.iter().filter(granted).map(|open| what(&open["granted"])))
        };
        let by_summary = |what: &str| -> BTreeMap<String, u64> {
            serde_json::from_value(summary["operations"]["open"][what].clone()).unwrap()
        };
        let caching = of_log(|granted| match granted.get("lease") {
            Some(lease) => format!("lease {}", text(&lease["state"])),
            None => text(&granted["oplock"]),
        });
        assert_eq!(by_summary("granted"), caching, "{target}");
        let actions = of_log(|granted| text(&granted["create_action"]));
        assert_eq!(by_summary("create_actions"), actions, "{target}");

        // The hook also saw the open that failed.
        let with_failed = |mut counts: BTreeMap<String, u64>| {
            counts.insert("nothing known".into(), 1);
            counts
        };
        assert_eq!(tagged(&summary, "actions", "action"), with_failed(actions), "{target}");
        let ids = of_log(|granted| text(&granted["file_id"]));
        assert_eq!(tagged(&summary, "ids", "id"), with_failed(ids), "{target}");
        let plain = caching.into_iter().map(|(what, n)| (what.replace("lease ", ""), n)).collect();
        assert_eq!(tagged(&summary, "caching", "what"), with_failed(plain), "{target}");
    }
}

#[test]
fn raw_create_contexts_reach_the_server_from_scripts_and_documents() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    // RqLs is a lease of version 1, written by hand, and shows in what was granted. QFid (MS-SMB2
    // 2.2.13.2.9) shows too. A run with leases asks for it by itself, and only once if a script
    // asks for it as well.
    let key = "000102030405060708090a0b0c0d0e0f";
    let lease = format!("{key}0700000000000000{}", "00".repeat(8));
    let place = Place::with_script(&format!(
        "bench.workload {{ name = 'w', iteration = function(c)
            c:close(c:open('plain', 'rw', {{ create_contexts = {{ {{ name = 'MxAc' }} }} }}))
            c:close(c:open('asked', 'rw', {{ create_contexts = {{ {{ name = 'MxAc' }}, {{ name = 'QFid' }} }} }}))
            c:close(c:open('lease', 'rw', {{ requested_oplock = 'lease',
                create_contexts = {{ {{ name = '0x52714c73', data = '{lease}' }} }} }}))
            c:close(c:open('wrong', 'rw', {{ create_contexts = {{ {{ name = 'RqLs', data = '00ff' }} }} }}))
        end }}"
    ));
    place.smbench("compile s.lua -o s.jsonl --iterations 1").end().exits(0);
    for (out, name) in [("script", "s.lua --iterations 1"), ("document", "s.jsonl")] {
        let line = format!("{name} --target {} --oplog", samba.url());
        let ended = place.run_to(out, &line).samba().end().exits(4);
        let lines = place.oplog(out);
        let opens = opens(&lines);
        let granted = opens.iter().map(|open| open["granted"].clone()).collect::<Vec<_>>();
        // QFid, which every open of such a run asks for, is not asked for twice.
        for granted in &granted[..2] {
            assert!(granted["disk_file_id"].is_string(), "{out}: {granted}");
        }
        assert_eq!(
            granted[2]["lease"],
            json!({ "key": key, "state": "RWH", "breaking": false, "epoch": 0 }),
            "{out}"
        );
        assert_eq!(opens[3]["status"], "STATUS_INVALID_PARAMETER", "{out}");
        let summary = ended.summary();
        let failed = &summary["failures"][0]["first"][0];
        assert_eq!((&failed["op_id"], &failed["path"]), (&"0-6".into(), &"wrong".into()), "{out}");
        assert!(ended.stdout.contains("0-6 open wrong  by "), "{}", ended.stdout);
    }
}

/// A script of two clients, one of which breaks what the other holds. Version 1 has no think time,
/// so its document is written by hand below.
const SHARED: &str = r#"
bench.workload { name = "holder", iteration = function(c)
    local batch = c:open("batch", "rw", { requested_oplock = "batch", on_break = { delay = "50ms", flush = true } })
    local kept = c:open("kept", "rw", { requested_oplock = "exclusive", on_break = { policy = "ignore" } })
    local lease = c:open("lease", "rw", { lease = { state = "RWH", key = "000102030405060708090a0b0c0d0e0f" } })
    local old = c:open("old", "rw", { lease = { state = "RWH", key = "0f0e0d0c0b0a09080706050403020100", version = 1 } })
    local child = c:open("child", "rw", {
        lease = { state = "RH", key = "11111111111111111111111111111111", parent_key = "22222222222222222222222222222222" },
        durable = { version = 2, timeout = "20s" },
        create_contexts = { { name = "QFid" } },
    })
    c:think("1500ms")
    for _, handle in ipairs { batch, kept, lease, old, child } do c:close(handle) end
end }
bench.workload { name = "other", iteration = function(c)
    c:think("500ms")
    for _, name in ipairs { "batch", "lease", "old", "kept" } do c:close(c:open(name, "rw")) end
end }
"#;

fn version_1() -> Value {
    let opened = [
        (
            "batch",
            json!({ "requested_oplock": "batch", "on_break": { "delay": "50ms", "flush": true } }),
        ),
        ("kept", json!({ "requested_oplock": "exclusive", "on_break": { "policy": "ignore" } })),
        (
            "lease",
            json!({ "lease": { "state": "RWH", "key": "000102030405060708090a0b0c0d0e0f" } }),
        ),
        (
            "old",
            json!({ "lease": { "state": "RWH", "key": "0f0e0d0c0b0a09080706050403020100", "version": 1 } }),
        ),
        (
            "child",
            json!({
                "lease": {
                    "state": "RH",
                    "key": "1".repeat(32),
                    "parent_key": "2".repeat(32),
                },
                "durable": { "version": 2, "timeout": "20s" },
                "create_contexts": [{ "name": "QFid" }],
            }),
        ),
    ];
    let mut operations = Vec::new();
    let mut push = |client: &str, at_us: u64, mut operation: Value| {
        operation["op_id"] = format!("op{}", operations.len()).into();
        operation["client_id"] = client.into();
        operation["timestamp_us"] = at_us.into();
        operations.push(operation);
    };
    let open = |name: &str| json!({ "type": "Open", "path": name, "mode": "ReadWrite", "handle_ref": name });
    for (name, extensions) in &opened {
        let mut asking = open(name);
        asking["extensions"] = json!({ "smb": extensions });
        push("holder", 0, asking);
    }
    for name in ["batch", "lease", "old", "kept"] {
        push("other", 500_000, open(name));
        push("other", 500_000, json!({ "type": "Close", "handle_ref": name }));
    }
    for (name, _) in &opened {
        push("holder", 1_500_000, json!({ "type": "Close", "handle_ref": name }));
    }
    json!({
        "version": 1,
        "metadata": { "source": "by hand", "duration_seconds": 1.5, "client_count": 2 },
        "clients": [
            { "client_id": "holder", "operation_count": 10 },
            { "client_id": "other", "operation_count": 8 },
        ],
        "operations": operations,
    })
}

/// Returns grants by path and breaks, without the values that differ between runs.
fn reported(lines: &[Value]) -> Vec<String> {
    let mut reported: Vec<String> = lines
        .iter()
        .filter_map(|line| match (line["event"].as_str()?, line.get("granted")) {
            ("break", _) => {
                let (key, from) = (line.get("key"), line.get("from"));
                Some(format!(
                    "{} broken: {} {key:?} {from:?} to {}, {}",
                    line["path"], line["broken"], line["to"], line["end"]
                ))
            }
            (_, Some(granted)) => {
                let mut granted = granted.clone();
                for unique in ["file_id", "disk_file_id", "create_action"] {
                    granted.as_object_mut().unwrap().remove(unique);
                }
                Some(format!("{} granted: {granted}", line["path"]))
            }
            _ => None,
        })
        .collect();
    reported.sort();
    reported
}

#[test]
fn a_script_and_its_documents_are_granted_and_lose_the_same() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let place = Place::with_script(SHARED);
    place.smbench("compile s.lua -o s.jsonl --iterations 1").end().exits(0);
    place.write("v1.json", version_1().to_string());
    place.smbench("compile v1.json -o v2.jsonl").end().exits(0);
    place.smbench("compile v2.jsonl -o back.json").end().exits(0);
    for target in [samba.url(), "sim".to_string()] {
        let run = |name: &str, out: &str| {
            let out = format!("{out}-{}", target.len());
            let line = format!("{name} --target {target} --oplog");
            place.run_to(&out, &line).samba().end().exits(0);
            reported(&place.oplog(&out))
        };
        let script = run("s.lua --iterations 1", "script");
        let expected = [
            r#""batch" broken: "oplock" None None to "ii", "acknowledged""#,
            r#""kept" broken: "oplock" None None to "ii", "closed""#,
            r#""lease" broken: "lease" Some(String("000102030405060708090a0b0c0d0e0f")) Some(String("RWH")) to "RH", "acknowledged""#,
            r#""old" broken: "lease" Some(String("0f0e0d0c0b0a09080706050403020100")) Some(String("RWH")) to "RH", "acknowledged""#,
        ];
        for broken in expected {
            assert!(script.iter().any(|line| line == broken), "{target}: {broken}: {script:#?}");
        }
        let child = script.iter().find(|line| line.starts_with("\"child\" granted")).unwrap();
        // Samba 4.17 grants no leases on directories and returns no parent key; the simulator makes
        // no handle durable.
        let other = if target == "sim" { r#""parent_key":"2222"# } else { r#""timeout_ms":20000"# };
        for part in [r#""state":"RH""#, r#""key":"1111"#, other] {
            assert!(child.contains(part), "{target}: {child}");
        }
        for name in ["s.jsonl", "v1.json", "v2.jsonl", "back.json"] {
            let out = name.replace('.', "-");
            assert_eq!(run(name, &out), script, "{name} on {target}");
        }
    }
}

/// A directory's lease is not broken by changes that its owner makes below it with the lease's key
/// as their parent key (MS-SMB2 3.3.4.7).
#[test]
fn a_clients_own_changes_with_a_parent_key_do_not_break_its_directory_lease() {
    let script = |parent: &str| {
        format!(
            r#"local F = "0f0e0d0c0b0a09080706050403020100"
            bench.setup(function(c) c:mkdir("dir") end)
            bench.workload {{ name = "owner", iteration = function(c)
                local dir = c:open("dir", "r", {{ create_options = "FILE_DIRECTORY_FILE",
                    access_mask = "FILE_LIST_DIRECTORY", lease = {{ state = "RH", key = F }} }})
                local own = c:open("dir/own", "rw", {{ lease = {{ state = "RWH"{parent} }} }})
                c:write(own, 0, 100)
                c:close(own)
                c:think("600ms")
                c:close(dir)
            end }}
            bench.workload {{ name = "other", iteration = function(c)
                c:think("200ms")
                c:close(c:open("dir/theirs", "rw"))
            end }}"#
        )
    };
    for (parent, by_own) in [(", parent_key = F", false), ("", true)] {
        let place = Place::with_script(&script(parent));
        place.smbench("compile s.lua -o s.jsonl --iterations 1").end().exits(0);
        for (out, name) in [("script", "s.lua --iterations 1"), ("document", "s.jsonl")] {
            place.run_to(out, &format!("{name} --target sim --oplog")).end().exits(0);
            let lines = place.oplog(out);
            let issued_ns = |path: &str| {
                let line = opens(&lines).into_iter().find(|open| open["path"] == path).unwrap();
                number(&line["issued_ns"])
            };
            let broken: Vec<&Value> = lines
                .iter()
                .filter(|line| line["event"] == "break" && line["path"] == "dir")
                .collect();
            assert_eq!(broken.len(), 1, "{out}: {broken:#?}");
            let noticed_ns = number(&broken[0]["noticed_ns"]);
            assert!(noticed_ns > issued_ns("dir/own"), "{out}");
            assert_eq!(noticed_ns < issued_ns("dir/theirs"), by_own, "{out}: {}", broken[0]);
        }
    }
}
