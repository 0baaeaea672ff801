//! Tests of the source text: layers, circles of imports, names, comments, and what only one module
//! may do.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use sources::Source;

mod imports;
mod sources;

/// Layers from the top. A module imports only from the layers below its own; those of one layer
/// stand side by side and do not import one another.
const LAYERS: [&[&str]; 7] = [
    &["cli"],
    &["run"],
    &["script", "scheduler", "probe"],
    &["library"],
    &["backend", "observability", "project", "transform"],
    &["ir"],
    &["protocol"],
];

fn first_directory(path: &Path) -> &str {
    path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs")
}

#[test]
fn a_module_imports_only_from_the_layers_below_it() {
    let mut broken = Vec::new();
    for Source { path, text } in sources::all() {
        let own = first_directory(&path);
        let Some(layer) = LAYERS.iter().position(|layer| layer.contains(&own)) else { continue };
        let forbidden = LAYERS[..=layer].iter().copied().flatten().filter(|name| **name != own);
        let forbidden: Vec<_> = forbidden.map(|name| (name, format!("crate::{name}::"))).collect();
        for (number, line) in text.lines().enumerate() {
            let at = format!("src/{}:{}", path.display(), number + 1);
            if line.trim_start().starts_with("use crate::{") {
                broken.push(format!("{at}: name the module in the path of each `use`"));
            }
            for (name, _) in forbidden.iter().filter(|(_, prefix)| line.contains(prefix)) {
                broken.push(format!("{at}: {own} imports {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_files_import_one_another_in_a_circle() {
    let circles = imports::circles(&sources::production());
    let circles: Vec<String> = circles.iter().map(|files| files.join(" -> ")).collect();
    assert!(
        circles.is_empty(),
        "merge the files of a circle if they are one concept, else move what both need into a \
         file of its own:\n{}",
        circles.join("\n")
    );
}

/// Returns the name of the type that a line declares for other files. An associated type belongs
/// to its `impl` or trait, and a private type to its file.
fn declared_type(line: &str) -> Option<&str> {
    let words = line.trim_start().strip_prefix("pub")?;
    let words = words.trim_start_matches("(crate)").trim_start_matches("(super)").trim_start();
    let (keyword, rest) = words.split_once(' ')?;
    let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
    ["struct", "enum", "trait", "type"].contains(&keyword).then_some(&rest[..end])
}

#[test]
fn each_short_type_name_has_one_owner() {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources::production() {
        for name in source.without_tests().lines().filter_map(declared_type) {
            let file = source.path.display().to_string();
            owners.entry(name.to_string()).or_default().push(file);
        }
    }
    assert!(owners.len() > 200, "the check is blind: {} types", owners.len());
    owners.retain(|_, files| files.len() > 1);
    assert!(owners.is_empty(), "at least one of each is not named well: {owners:#?}");
}

/// Returns the first line of each doc comment.
fn doc_comments(text: &str) -> impl Iterator<Item = &str> {
    let doc = |line: &&str| line.starts_with("///") || line.starts_with("//!");
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let first = move |at: &usize| doc(&lines[*at]) && (*at == 0 || !doc(&lines[at - 1]));
    let at: Vec<usize> = (0..text.lines().count()).filter(first).collect();
    let lines: Vec<&str> = text.lines().collect();
    at.into_iter().map(move |at| lines[at].trim_start()[3..].trim())
}

#[test]
fn doc_comments_begin_with_a_verb_or_a_noun() {
    let words = ["What", "Of", "Where", "As", "Those", "Whose", "With", "That", "It"];
    let sources = sources::all();
    let first_lines: Vec<&str> =
        sources.iter().flat_map(|source| doc_comments(&source.text)).collect();
    let fragment = |line: &&&str| words.contains(&line.split(' ').next().unwrap());
    let fragments: Vec<&&str> = first_lines.iter().filter(fragment).collect();
    assert!(first_lines.len() > 1_000, "the check is blind: {} comments", first_lines.len());
    assert!(
        fragments.len() * 100 < first_lines.len() * 3,
        "{} of {} doc comments begin with one of {words:?}: {fragments:#?}",
        fragments.len(),
        first_lines.len()
    );
}

#[test]
fn mlua_appears_only_in_script() {
    for Source { path, text } in sources::all() {
        let in_script = path.starts_with("script");
        assert!(in_script || !text.contains("mlua"), "src/{} names mlua", path.display());
    }
}

#[test]
fn backends_do_not_import_one_another_except_embedded_which_uses_smb2() {
    let backends = ["sim", "smb2", "embedded"];
    for Source { path, text } in sources::all() {
        for own in backends {
            if !path.starts_with(format!("backend/{own}")) {
                continue;
            }
            for other in backends {
                let allowed = other == own || (own, other) == ("embedded", "smb2");
                let named = text.contains(&format!("super::{other}::"))
                    || text.contains(&format!("backend::{other}::"));
                assert!(allowed || !named, "src/{} imports backend {other}", path.display());
            }
        }
    }
}

/// Returns the names of the functions that begin with `visible`, in the block that begins with
/// `head` and ends with a brace in the first column.
fn functions(text: &str, head: &str, visible: &str) -> Vec<String> {
    let Some((_, block)) = text.split_once(head) else { return Vec::new() };
    let block = block.split("\n}\n").next().unwrap();
    let declared = block.lines().filter_map(|line| {
        let line = line.trim().strip_prefix(visible)?;
        let (name, _) = line.trim_start_matches("async ").strip_prefix("fn ")?.split_once('(')?;
        Some(name.to_string())
    });
    declared.collect()
}

/// Returns the places where the source bypasses `ConnectionState`: it uses a file handle, an
/// operation of a connection (one of `operations`), or a connection that is kept.
fn goes_past(text: &str, operations: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let code = line.split("//").next().unwrap();
        let called =
            |name: &String| [".", "::"].iter().any(|dot| code.contains(&format!("{dot}{name}(")));
        let kept = code.contains("dyn SMBConnectionInner")
            && !code.contains("-> Result<Box<dyn SMBConnectionInner>");
        if kept || code.contains("SMBFileHandle") || operations.iter().any(called) {
            found.push(line.trim().to_string());
        }
    }
    found
}

/// Checks the specification's *Backend Trait Boundaries*: the engine never calls a backend's
/// traits, apart from making a connection, which it hands to `ConnectionState`.
#[test]
fn the_scheduler_and_the_run_use_a_backend_through_connection_state_alone() {
    let sources = sources::production();
    let traits = sources.iter().find(|source| source.path == Path::new("backend/mod.rs")).unwrap();
    let traits = &traits.text;
    let of_connections = functions(traits, "pub trait SMBConnectionInner", "");
    let of_files = functions(traits, "pub trait SMBFileHandle", "");
    let in_backend = sources.iter().filter(|source| source.path.starts_with("backend"));
    let own: Vec<String> = in_backend
        .flat_map(|source| functions(&source.text, "\nimpl ConnectionState {", "pub "))
        .collect();
    for (names, known) in [
        (&of_connections, &["open_simple", "open_extended", "execute_misc", "cancel"][..]),
        (&of_files, &["read", "write", "close", "acknowledge_oplock_break"]),
        (&own, &["new", "execute", "blocked", "close_all", "disconnect"]),
    ] {
        assert!(known.iter().all(|name| names.iter().any(|n| n == name)), "{names:?}");
    }
    // Many other types have names such as `read`. These need a file handle to be called on, so they
    // are not searched for.
    let unique = |name: &&String| name.contains("oplock");
    let mut operations: Vec<String> = of_files.iter().filter(unique).cloned().collect();
    operations.extend(of_connections.into_iter().filter(|name| !own.contains(name)));
    let engine =
        |source: &&Source| source.path.starts_with("scheduler") || source.path.starts_with("run");
    for source in sources.iter().filter(engine) {
        let path = &source.path;
        let found = goes_past(source.without_tests(), &operations);
        assert!(found.is_empty(), "src/{} goes past ConnectionState: {found:?}", path.display());
    }
    for line in [
        "let handle = inner.open_simple(&path, mode, disposition).await?;",
        "SMBConnectionInner::execute_misc(&*inner, &kind).await",
        "fn read(file: &dyn SMBFileHandle) {}",
        "handle.acknowledge_oplock_break(level).await",
        "inner: Box<dyn SMBConnectionInner>,",
    ] {
        assert_eq!(goes_past(line, &operations), [line], "the check is blind");
    }
}

#[test]
fn no_file_has_more_than_nine_hundred_lines() {
    for Source { path, text } in sources::all() {
        let lines = text.lines().count();
        assert!(
            lines <= 900,
            "src/{} has {lines} lines: it holds more than one concept",
            path.display()
        );
    }
}

/// Returns whether a name in ARCHITECTURE.md has the form of a test's name.
fn is_test_name(name: &str) -> bool {
    name.matches('_').count() >= 4
        && name.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c))
}

#[test]
fn the_architecture_names_only_files_and_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    // The first column of the last table names files of the specification.
    let (page, departures) = page.split_once("## Where this departs from").unwrap();
    let here = departures.lines().filter_map(|line| line.split('|').nth(2));
    let page: String = std::iter::once(page).chain(here).collect();
    let mut sources = sources::all();
    sources.extend(sources::below(&root.join("tests")));
    let paths: Vec<String> =
        sources.iter().map(|source| format!("/{}", source.path.display())).collect();
    let (mut files, mut tests) = (0, 0);
    for name in page.split('`').skip(1).step_by(2).filter(|name| !name.contains(['*', ' ', ':'])) {
        if name.ends_with(".rs") || name.ends_with('/') {
            files += 1;
            let part = format!("/{name}");
            let exists = paths.iter().any(|path| path.contains(&part)) || root.join(name).exists();
            assert!(exists, "ARCHITECTURE.md names the file {name}");
        } else if is_test_name(name) {
            tests += 1;
            let declared = format!("fn {name}(");
            let exists = sources.iter().any(|source| source.text.contains(&declared));
            assert!(exists, "ARCHITECTURE.md names the test {name}");
        }
    }
    assert!(files > 100 && tests > 20, "the check is blind: {files} files, {tests} tests");
}

#[test]
fn no_module_is_a_catch_all() {
    for Source { path, .. } in sources::all() {
        let name = path.with_extension("");
        for part in name.components() {
            let part = part.as_os_str().to_str().unwrap();
            assert!(
                !["util", "utils", "helper", "helpers", "common", "manager", "misc"]
                    .contains(&part),
                "src/{}: {part} says nothing",
                path.display()
            );
        }
    }
}

#[test]
fn one_module_writes_to_standard_error() {
    for Source { path, text } in sources::all() {
        let own = path.starts_with("observability/standard_error");
        assert!(
            own || !text.contains("io::stderr"),
            "src/{} may wait for a reader",
            path.display()
        );
    }
}

#[test]
fn tests_run_names_every_file_of_tests() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let run = fs::read_to_string(tests.join("run")).unwrap();
    for entry in fs::read_dir(&tests).unwrap() {
        let path = entry.unwrap().path();
        let is_target = path.extension().is_some_and(|extension| extension == "rs")
            || path.join("main.rs").is_file();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let named = run
            .split_whitespace()
            .collect::<Vec<_>>()
            .windows(2)
            .any(|pair| pair == ["--test", name]);
        assert!(named || !is_target, "tests/run never runs tests/{name}");
    }
}

#[test]
fn the_ir_reads_no_clock() {
    let sources = sources::all();
    let ir: Vec<_> = sources.iter().filter(|source| source.path.starts_with("ir")).collect();
    assert!(!ir.is_empty());
    for Source { path, text } in ir {
        for clock in ["Instant::", "SystemTime::", "time::Instant", "time::SystemTime"] {
            assert!(!text.contains(clock), "src/{} reads a clock", path.display());
        }
    }
}

#[test]
fn one_module_makes_secret_random_numbers_and_nothing_replaces_it() {
    for Source { path, text } in sources::all() {
        let own = path == Path::new("backend/entropy.rs");
        assert!(own || !text.contains("getrandom"), "src/{} names getrandom", path.display());
        // Hashers, process ids and the sub-second part of the clock are no random numbers.
        for stand_in in ["RandomState", "DefaultHasher", "process::id()", "subsec_nanos() as"] {
            assert!(!text.contains(stand_in), "src/{} uses {stand_in}", path.display());
        }
    }
}

#[test]
fn a_build_for_another_system_than_unix_stops_with_a_hint_at_wsl2_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Compiles the library as if this host were not Unix: `unix` never holds, and `not(unix)`
    // always.
    let library = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let library = library.replace("not(unix)", "all()").replace("(unix)", "(any())");
    fs::write(temporary.join("elsewhere.rs"), library).unwrap();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "elsewhere.rs"]);
    let output = rustc.current_dir(temporary).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let errors: Vec<&str> = errors.lines().filter(|line| line.starts_with("error")).collect();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors[0].contains("WSL2"), "{errors:#?}");
    assert!(errors[1].contains("aborting due to 1 previous error"), "{errors:#?}");
}

#[test]
fn the_readme_builds_and_installs_the_versions_of_the_lock_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("README.md")).unwrap();
    for command in ["cargo install", "cargo run", "cargo build"] {
        for (at, _) in text.match_indices(command) {
            let line = text[at..].lines().next().unwrap();
            assert!(line.contains("--locked") || line.contains("--frozen"), "README.md: {line}");
        }
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let version = manifest.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(text.contains(&format!("Rust {version} or later")), "README.md: not Rust {version}");
    // This command fails if the lock file does not fit the manifests.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--depth=1"]).current_dir(root);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
