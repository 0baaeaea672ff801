use super::*;

/// A tree of a root with two files and a directory with one, with names.
const TREE: &str = r#"{"schema":"smbench.tree/1","totals":{"directories":2,"files":3,"bytes":60,"skipped":{"links":0,"special":0,"unreadable":0},"replaced_names":0},"directories":[
{"files":[10,20],"names":["a","b"]},
{"parent":0,"name":"deep","files":[30],"names":["c"]}
]}"#;

const WORKLOAD: &str = "bench.workload { name = 'w', iteration = function(c) c:stat('a') end }";

fn reading(top_level: &str) -> Written {
    script(&format!("{top_level}\n{WORKLOAD}")).file("tree.json", TREE)
}

fn refusal(top_level: &str) -> String {
    reading(top_level).load().map(drop).unwrap_err().to_string()
}

#[test]
fn a_script_gets_the_directories_of_a_tree_with_lists_that_begin_at_1() {
    let script = reading(
        "local tree = bench.tree('tree.json')
        local root, deep = tree.directories[1], tree.directories[2]
        assert(#tree.directories == 2 and root.parent == nil and root.name == nil)
        assert(#root.files == 2 and root.files[2] == 20 and root.names[2] == 'b')
        assert(tree.directories[deep.parent] == root and deep.name == 'deep' and deep.files[1] == 30)",
    );
    let header = script.load().unwrap().header().clone();
    assert_eq!(header.modules.len(), 1);
    assert_eq!(header.modules[0].name, "tree.json");
    assert_eq!(header.modules[0].hash, blake3::hash(TREE.as_bytes()).to_hex().to_string());
}

#[test]
fn a_tree_cannot_be_changed() {
    for change in ["tree.x = 1", "tree.directories[1] = {}", "tree.directories[1].files[1] = 2"] {
        let error = refusal(&format!("local tree = bench.tree('tree.json') {change}"));
        assert!(error.contains("readonly") || error.contains("read-only"), "{change}: {error}");
    }
}

#[test]
fn a_file_that_is_no_tree_or_outside_of_the_project_is_refused_with_the_line() {
    for (top_level, expected) in [
        ("bench.tree()", "s.lua:1: bench.tree takes the path of a file"),
        ("bench.tree('other.json')", "cannot read"),
        ("bench.tree('../tree.json')", "is outside of the script's directory"),
        ("bench.tree('s.lua')", "it is not a tree that `smbench scan` wrote"),
        ("for _ = 1, 17 do pcall(bench.tree, 'none') end bench.tree('tree.json')", "more than 16"),
        ("bench.tree('/etc/passwd')", "is outside of the script's directory"),
    ] {
        let error = refusal(top_level);
        assert!(error.contains(expected), "{top_level}: {error}");
        assert!(error.contains("s.lua:1"), "{top_level}: {error}");
    }
}

#[test]
fn a_tree_of_many_files_fits_into_a_script() {
    let files = vec!["4096"; 200_000].join(",");
    let totals = &TREE[TREE.find("\"totals\"").unwrap()..TREE.find("\"directories\":[").unwrap()];
    let tree =
        format!(r#"{{"schema":"smbench.tree/1",{totals}"directories":[{{"files":[{files}]}}]}}"#);
    let counting = format!(
        "local tree = bench.tree('many.json') assert(#tree.directories[1].files == 200000)\n{WORKLOAD}"
    );
    script(&counting).file("many.json", &tree).load().map(drop).unwrap();
}
