//! The work of `smbench lib docs`: the API of a library from the comments in its modules.

use std::io::Read as _;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use super::error::RunError;
use super::libraries::LibraryUser;
use crate::ir::directory::Directory;
use crate::library::api_docs::api_of;
use crate::library::listing::{MAX_BYTES, MAX_FILES};
use crate::library::lock::LockedSource;
use crate::library::path_package;
use crate::library::store::{package_directory, restoring, verify};
use crate::script::ScriptLimits;

/// The endings of modules, longest first.
const ENDINGS: [&str; 4] = ["/init.luau", "/init.lua", ".luau", ".lua"];
/// The endings of files that are no modules.
const TESTS: [&str; 4] = ["_test.luau", "_test.lua", ".test.luau", ".test.lua"];
/// The directories of a library whose files other projects do not require.
const OWN: [&str; 3] = ["tests", "examples", "vendor"];

/// Returns the API of a library as Markdown: of the one that the project calls `alias`, or of the
/// project itself, which is the one nearest upward from the current directory.
///
/// # Errors
/// [`RunError`]: there is no such library, or its files cannot be read.
pub fn library_docs(alias: Option<&str>) -> Result<String, RunError> {
    let docs = || {
        let user = LibraryUser::nearest()?;
        let Some(alias) = alias else {
            let name = user.manifest.name.as_deref().ok_or_else(|| {
                format!("{} has no name, and a library has one", user.manifest.shown)
            })?;
            let alias = name.rsplit('/').next().unwrap_or(name);
            return docs_of(alias, modules_in(&user.directory)?);
        };
        let lock = user.fitting_lock()?.unwrap_or_default();
        let found = lock.dependencies.get(alias).or_else(|| lock.dev_dependencies.get(alias));
        let id = found.ok_or_else(|| {
            format!("{} has no library {alias:?}; smbench lib list lists them", user.manifest.shown)
        })?;
        match &lock.packages[id].source {
            LockedSource::Path(path) => {
                path_package::read(&user.directory, path)?;
                docs_of(alias, modules_in(&user.directory.join(path))?)
            }
            LockedSource::Repository { hash, .. } => {
                let directory = package_directory(&user.directory, id, hash);
                let package = verify(&user.directory, &directory, hash)
                    .map_err(|problem| format!("{id}: {problem}; {}", restoring(&directory)))?;
                let paths = package.listing.paths().filter(|path| is_module(path));
                let read = |path: &str| Ok((path.to_string(), text_of(&package.files, path)?));
                docs_of(alias, paths.map(read).collect::<Result<_, String>>()?)
            }
        }
    };
    docs().map_err(|problem| RunError::invalid(anyhow::Error::msg(problem)))
}

/// Returns the API of modules, which are given by the path of the file and the source.
fn docs_of(alias: &str, modules: Vec<(String, String)>) -> Result<String, String> {
    let mut named: Vec<(String, String)> =
        modules.into_iter().map(|(path, source)| (module_name(alias, &path), source)).collect();
    named.sort();
    match named.is_empty() {
        true => Err(format!("the library {alias} has no modules, which end in .lua or .luau")),
        false => Ok(api_of(named.iter().map(|(name, source)| (name.as_str(), source.as_str())))),
    }
}

/// Returns the path with which `require` finds the module in a file.
fn module_name(alias: &str, path: &str) -> String {
    let path = format!("/{path}");
    let bare = ENDINGS.iter().find_map(|ending| path.strip_suffix(ending)).unwrap_or(&path);
    format!("@{alias}{bare}")
}

/// Returns whether the file at `path`, which is relative to the library, is a module for others.
fn is_module(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    ENDINGS.iter().any(|ending| path.ends_with(ending.trim_start_matches("/init")))
        && !TESTS.iter().any(|ending| path.ends_with(ending))
        && !(path.contains('/') && OWN.contains(&first))
}

/// Returns the path and the source of each module in a directory. Links are not followed.
fn modules_in(directory: &Path) -> Result<Vec<(String, String)>, String> {
    let cannot = |reason: &dyn std::fmt::Display| {
        format!("cannot read the library in {}: {reason}", directory.display())
    };
    let is_visible = |entry: &DirEntry| {
        entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    let files = Directory::open(directory).map_err(|error| cannot(&error))?;
    let mut modules = Vec::new();
    let mut bytes = 0;
    let entries = WalkDir::new(directory).sort_by_file_name().into_iter();
    for (number, entry) in entries.filter_entry(is_visible).enumerate() {
        let entry = entry.map_err(|error| cannot(&error))?;
        let within = entry.path().strip_prefix(directory).unwrap_or(entry.path()).to_str();
        let Some(path) = within.filter(|path| entry.file_type().is_file() && is_module(path))
        else {
            continue;
        };
        let source = text_of(&files, path)?;
        bytes += source.len() as u64;
        if number > MAX_FILES || bytes > MAX_BYTES {
            return Err(cannot(&"it is larger than a library may be"));
        }
        modules.push((path.into(), source));
    }
    Ok(modules)
}

fn text_of(files: &Directory, path: &str) -> Result<String, String> {
    let most = ScriptLimits::default().source_bytes as u64;
    let (file, _) = files
        .regular_file(Path::new(path))
        .map_err(|error| format!("cannot read {path}: {error}"))?;
    let mut bytes = Vec::new();
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read {path}: {error}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_named_as_require_finds_them_and_tests_are_none() {
        for (path, name) in [
            ("init.lua", "@office"),
            ("save.luau", "@office/save"),
            ("mail/init.luau", "@office/mail"),
            ("mail/send.lua", "@office/mail/send"),
        ] {
            assert!(is_module(path), "{path}");
            assert_eq!(module_name("office", path), name);
        }
        for path in ["README.md", "a_test.lua", "b/c.test.luau", "tests/x.lua", "smbench.toml"] {
            assert!(!is_module(path), "{path}");
        }
        assert!(is_module("tests.lua"));
    }
}
