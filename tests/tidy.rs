//! Tests that the layers hold, files stay small, and no name is a catch-all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Layers from the top. A module imports only what is below it.
const LAYERS: [&str; 9] =
    ["cli", "run", "script", "scheduler", "probe", "backend", "observability", "ir", "protocol"];
const MAX_LINES: usize = 500;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn tree() -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&src)
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(&src).unwrap().to_path_buf(), text)
        })
        .collect()
}

fn layer_of(path: &Path) -> Option<usize> {
    let first = path.components().next()?.as_os_str().to_str()?;
    LAYERS.iter().position(|layer| *layer == first.trim_end_matches(".rs"))
}

#[test]
fn a_module_imports_only_what_stands_below_it() {
    let mut broken = Vec::new();
    for (path, text) in tree() {
        let Some(own) = layer_of(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("use crate::{") {
                let at = format!("src/{}:{}", path.display(), number + 1);
                broken.push(format!("{at}: name the module in the path of each `use`"));
            }
            for (index, layer) in LAYERS.iter().enumerate().take(own) {
                if line.contains(&format!("crate::{layer}::")) {
                    let own = LAYERS[own];
                    broken.push(format!(
                        "src/{}:{}: {own} imports {layer} (layer {index})",
                        path.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn mlua_appears_only_in_script() {
    for (path, text) in tree() {
        let in_script = layer_of(&path) == LAYERS.iter().position(|layer| *layer == "script");
        assert!(in_script || !text.contains("mlua"), "src/{} names mlua", path.display());
    }
}

#[test]
fn backends_do_not_import_one_another_except_embedded_which_uses_smb2() {
    let backends = ["sim", "smb2", "embedded"];
    for (path, text) in tree() {
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

/// Returns the source without its tests, which implement backends of their own.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

/// Returns the places where the source bypasses `ConnectionState`: it uses a file handle, an
/// operation of a connection (one of `operations`), or a connection that is kept.
fn goes_past(text: &str, operations: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for line in without_tests(text).lines() {
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
    let tree = tree();
    let backend = Path::new("backend");
    let text = |path: PathBuf| &tree.iter().find(|(known, _)| *known == path).unwrap().1;
    let traits = text(backend.join("mod.rs"));
    let of_connections = functions(traits, "pub trait SMBConnectionInner", "");
    let of_files = functions(traits, "pub trait SMBFileHandle", "");
    let own: Vec<String> = tree
        .iter()
        .filter(|(path, _)| path.starts_with(backend))
        .flat_map(|(_, text)| functions(text, "\nimpl ConnectionState {", "pub "))
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
    for (path, text) in &tree {
        let module = path.file_stem().unwrap().to_str().unwrap();
        let beside = path.with_file_name("mod.rs");
        let declared = tree.iter().find(|(known, _)| *known == beside);
        let of_tests = format!("#[cfg(test)]\nmod {module};");
        if !(path.starts_with("scheduler") || path.starts_with("run"))
            || declared.is_some_and(|(_, text)| text.contains(&of_tests))
        {
            continue;
        }
        let found = goes_past(text, &operations);
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
fn files_stay_under_five_hundred_lines() {
    for (path, text) in tree() {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "src/{} has {lines} lines", path.display());
    }
}

#[test]
fn no_module_is_a_catch_all() {
    for (path, _) in tree() {
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
    for (path, text) in tree() {
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
    let ir: Vec<_> = tree().into_iter().filter(|(path, _)| path.starts_with("ir")).collect();
    assert!(!ir.is_empty());
    for (path, text) in ir {
        for clock in ["Instant::", "SystemTime::", "time::Instant", "time::SystemTime"] {
            assert!(!text.contains(clock), "src/{} reads a clock", path.display());
        }
    }
}

#[test]
fn one_module_makes_numbers_that_nobody_can_guess_and_nothing_stands_in_for_it() {
    for (path, text) in tree() {
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
fn what_the_readme_builds_and_installs_is_what_the_lock_file_names() {
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
