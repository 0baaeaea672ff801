//! Generates what editors and readers need of the Lua API from its one source: the LuaCATS
//! annotations in `stdlib/bench.d.lua` and in the modules of `stdlib/`. The results are checked in:
//! `stdlib/bench.d.luau`, the definitions for Luau's type checker, and `docs/lua-api.md`.
#![forbid(unsafe_code)]

mod annotations;
mod luau;
mod markdown;
mod types;

use std::fs;
use std::path::{Path, PathBuf};

pub use annotations::{Api, Module};
pub use luau::{definitions, module_type};
pub use markdown::page;

/// Returns the directory of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Reads the annotations of the globals and of every module of the standard library.
///
/// # Panics
/// If a file cannot be read or is no valid Lua.
pub fn read_api() -> Api {
    let directory = repository().join("stdlib");
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    let files = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "lua"))
        .filter(|path| !path.ends_with("bench.d.lua"))
        .collect();
    files.sort();
    let modules = files.iter().map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        Module::read(name, &text(path))
    });
    Api::read(&text(&directory.join("bench.d.lua")), modules.collect())
}
