//! The search for test files.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::ir::directory::regular_file;
use crate::library::packages::is_vendored;
use crate::observability::text::printable;

/// The endings of the names of test files.
const ENDINGS: [&str; 4] = ["_test.lua", ".test.lua", "_test.luau", ".test.luau"];
/// A directory that runs write into, and that can be large.
const RESULTS: &str = "results";

/// Maximum number of entries that a search looks at.
const MAX_ENTRIES: usize = 200_000;
/// Maximum number of test files.
const MAX_FILES: usize = 10_000;
/// Longest path in a warning, in characters.
const MAX_SHOWN: usize = 300;
/// Maximum depth of directories below a given one.
const MAX_DEPTH: usize = 64;

/// The file that marks a directory as a cache, such as `target` of cargo, and its first bytes. See
/// <https://bford.info/cachedir/>.
const CACHE_TAG: &str = "CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Returns the test files that the paths name: a file is taken as it is, and a directory is searched
/// for files with the names of tests. Directories in it that are hidden, named `results`, marked
/// as caches or vendored libraries are skipped, those that cannot be read are skipped with a warning, and links are not
/// followed. The files are in the order of the paths, and
/// those of a directory in the order of their names.
///
/// # Errors
/// A given path that does not exist or cannot be read, or too many entries.
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
        let listed = match fs::read_dir(directory) {
            Ok(listed) => listed,
            Err(error) if depth > 0 => {
                warn_of_unread(directory, &error);
                return Ok(());
            }
            Err(error) => return Err(error).with_context(cannot),
        };
        if depth > 0 && (is_cache(directory) || is_vendored(directory)) {
            return Ok(());
        }
        for entry in listed {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if depth > 0 => {
                    warn_of_unread(directory, &error);
                    break;
                }
                Err(error) => return Err(error).with_context(cannot),
            };
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                bail!(
                    "there are more than {MAX_ENTRIES} files and directories to search, up to {}; name the files with tests, or smaller directories",
                    directory.display()
                );
            }
            match entry.file_type() {
                Ok(kind) => entries.push((entry.file_name(), kind)),
                Err(error) => warn_of_unread(&entry.path(), &error),
            }
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

/// Returns whether the directory is marked as a cache.
fn is_cache(directory: &Path) -> bool {
    let Ok((file, _)) = regular_file(&directory.join(CACHE_TAG)) else { return false };
    let mut begin = Vec::new();
    let read = file.take(CACHE_SIGNATURE.len() as u64).read_to_end(&mut begin);
    read.is_ok() && begin == CACHE_SIGNATURE
}

fn warn_of_unread(path: &Path, error: &io::Error) {
    let path = printable(&path.display().to_string(), MAX_SHOWN);
    tracing::warn!("no tests are searched for in {path}, which cannot be read: {error}");
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

    #[test]
    fn directories_that_are_marked_as_caches_are_skipped_unless_they_are_named() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        for (directory, tag) in [("target", CACHE_SIGNATURE), ("mine", b"anything else")] {
            fs::create_dir(root.join(directory)).unwrap();
            fs::write(root.join(directory).join("x_test.lua"), "").unwrap();
            fs::write(root.join(directory).join(CACHE_TAG), tag).unwrap();
        }
        assert_eq!(found(root, &[""]), ["mine/x_test.lua"]);
        assert_eq!(found(root, &["target"]), ["target/x_test.lua"]);
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_skipped_unless_it_is_named() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        fs::write(root.join("a_test.lua"), "").unwrap();
        let deep = root.join("removed");
        let mut search = Search::default();
        search.directory(&deep, 1).unwrap();
        let refused = search.directory(&deep, 0).unwrap_err();
        assert!(format!("{refused:#}").starts_with("cannot read the directory "), "{refused:#}");
        assert_eq!(found(root, &[""]), ["a_test.lua"]);
    }

    #[test]
    fn directories_that_are_too_deep_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let deep: PathBuf = std::iter::repeat_n("d", MAX_DEPTH + 1).collect();
        fs::create_dir_all(place.path().join(deep)).unwrap();
        let refused = find_test_files(&[place.path().to_path_buf()]).unwrap_err().to_string();
        assert!(refused.ends_with("/d is more than 64 levels deep"), "{refused}");
    }
}
