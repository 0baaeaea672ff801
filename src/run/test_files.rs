//! The search for test files.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The endings of the names of test files.
const ENDINGS: [&str; 4] = ["_test.lua", ".test.lua", "_test.luau", ".test.luau"];
/// A directory that runs write into, and that can be large.
const RESULTS: &str = "results";

/// Maximum number of entries that a search looks at.
const MAX_ENTRIES: usize = 200_000;
/// Maximum number of test files.
const MAX_FILES: usize = 10_000;
/// Maximum depth of directories below a given one.
const MAX_DEPTH: usize = 64;

/// Returns the test files that the paths name: a file is taken as it is, and a directory is searched
/// for files with the names of tests. Hidden directories and directories named `results` are
/// skipped, and links in a directory are not followed. The files are in the order of the paths, and
/// those of a directory in the order of their names.
///
/// # Errors
/// A path that does not exist or cannot be read, or too many entries.
pub fn find_test_files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let here = [PathBuf::from(".")];
    let paths = if paths.is_empty() { &here[..] } else { paths };
    let mut search = Search::default();
    for path in paths {
        let metadata =
            path.metadata().with_context(|| format!("cannot read {}", path.display()))?;
        match metadata.is_dir() {
            true => search.directory(path, 0)?,
            false => search.add(path.clone())?,
        }
    }
    Ok(search.files)
}

#[derive(Default)]
struct Search {
    files: Vec<PathBuf>,
    /// The real paths of `files`.
    known: HashSet<PathBuf>,
    entries: usize,
}

impl Search {
    fn add(&mut self, path: PathBuf) -> anyhow::Result<()> {
        let real =
            path.canonicalize().with_context(|| format!("cannot read {}", path.display()))?;
        if !self.known.insert(real) {
            return Ok(());
        }
        if self.files.len() >= MAX_FILES {
            bail!("there are more than {MAX_FILES} test files; name the directories to search");
        }
        self.files.push(path);
        Ok(())
    }

    fn directory(&mut self, directory: &Path, depth: usize) -> anyhow::Result<()> {
        let cannot = || format!("cannot read the directory {}", directory.display());
        if depth > MAX_DEPTH {
            bail!("{} is more than {MAX_DEPTH} levels deep", directory.display());
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                bail!(
                    "there are more than {MAX_ENTRIES} files and directories to search, up to {}; name the directories with tests",
                    directory.display()
                );
            }
            entries.push((entry.file_name(), entry.file_type().with_context(cannot)?));
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, kind) in entries {
            let path = match directory == Path::new(".") {
                true => PathBuf::from(&name),
                false => directory.join(&name),
            };
            let name = name.to_string_lossy();
            if kind.is_dir() && !name.starts_with('.') && name != RESULTS {
                self.directory(&path, depth + 1)?;
            } else if kind.is_file() && ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                match self.add(path) {
                    Err(error) if was_removed(&error) => {}
                    added => added?,
                }
            }
        }
        Ok(())
    }
}

/// Returns whether a file was removed after its directory was read.
fn was_removed(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn found(root: &Path, paths: &[&str]) -> Vec<String> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| root.join(path)).collect();
        let files = find_test_files(&paths).unwrap();
        let below = |file: PathBuf| file.strip_prefix(root).unwrap().display().to_string();
        files.into_iter().map(below).collect()
    }

    #[test]
    fn test_files_are_found_by_their_names_and_in_order() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        for directory in ["a/b", ".hidden", "results", "a/results"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for file in [
            "z_test.lua",
            "a/one.test.luau",
            "a/b/two_test.luau",
            "b.test.lua",
            "office.lua",
            "test.lua",
            ".hidden/x_test.lua",
            "results/x_test.lua",
            "a/results/x_test.lua",
        ] {
            fs::write(root.join(file), "").unwrap();
        }
        fs::create_dir(root.join("dir_test.lua")).unwrap();
        symlink("..", root.join("a/circle")).unwrap();
        symlink("z_test.lua", root.join("linked_test.lua")).unwrap();
        let all = ["a/b/two_test.luau", "a/one.test.luau", "b.test.lua", "z_test.lua"];
        assert_eq!(found(root, &[""]), all);
        let named = ["z_test.lua", "office.lua", "a/b/two_test.luau", "a/one.test.luau"];
        assert_eq!(found(root, &["z_test.lua", "office.lua", "a", "z_test.lua"]), named);
        assert_eq!(found(root, &["linked_test.lua", "z_test.lua"]), ["linked_test.lua"]);
        let missing = find_test_files(&[root.join("none")]).unwrap_err();
        assert!(format!("{missing:#}").contains("none: No such file"), "{missing:#}");
    }
}
