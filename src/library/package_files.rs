//! The files of a package, and the check of the tree of a repository that they come from.

use std::collections::{BTreeMap, HashMap};

use super::listing::{Listing, MAX_BYTES, MAX_FILE_BYTES, MAX_FILES, MAX_PATH_BYTES, check_path};
use crate::observability::text::printable;

/// Maximum number of bytes of a listed tree that are read: all files of the largest package. More
/// of it would be refused anyway.
pub(super) const MAX_TREE_BYTES: usize = (MAX_FILES + 1) * (MAX_PATH_BYTES + 100);
/// Maximum number of characters of a path that an error shows.
const MAX_SHOWN: usize = 120;

/// The files of a package by path. Each path has passed [`check_path`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageFiles(BTreeMap<String, Vec<u8>>);

impl PackageFiles {
    /// Returns the listing of the files.
    pub fn listing(&self) -> Listing {
        Listing::of(self.iter())
    }

    /// Returns the content of the file at `path`; None if there is none.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// Returns all files in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(path, content)| (path.as_str(), content.as_slice()))
    }
}

impl FromIterator<(String, Vec<u8>)> for PackageFiles {
    fn from_iter<I: IntoIterator<Item = (String, Vec<u8>)>>(files: I) -> PackageFiles {
        PackageFiles(files.into_iter().collect())
    }
}

/// A file of a tree that has been checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TreeFile {
    pub path: String,
    /// The hash by which git knows its content.
    pub blob: String,
    pub size: u64,
}

/// Checks the output of `git ls-tree -r -z -l`, of which the end may be missing (`truncated`).
/// Returns the files in its order.
///
/// # Errors
/// A message that names the first path that a package cannot have.
pub(super) fn check_tree(output: &[u8], truncated: bool) -> Result<Vec<TreeFile>, String> {
    let mut files = Vec::new();
    let mut bytes = 0_u64;
    let mut names = Names::default();
    let complete = output.iter().rposition(|byte| *byte == 0).map_or(0, |at| at + 1);
    for entry in output[..complete].split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let file = check_entry(entry)?;
        if is_for_git(&file.path) {
            continue;
        }
        if files.len() == MAX_FILES {
            return Err(format!("it has more than {MAX_FILES} files, the most of a library"));
        }
        bytes += file.size;
        if bytes > MAX_BYTES {
            let most = MAX_BYTES >> 20;
            return Err(format!("its files have more than {most} MiB, the most of a library"));
        }
        names.add(&file.path)?;
        files.push(file);
    }
    match truncated || complete < output.len() {
        true => Err("the list of its files is too long".into()),
        false => Ok(files),
    }
}

/// Returns whether a file tells git what to do with others. It would do so again where a copy of the
/// package is committed, so it is no part of the package.
fn is_for_git(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    [".gitattributes", ".gitignore", ".gitmodules"].contains(&name)
}

/// Checks one entry: `MODE KIND HASH SIZE<tab>PATH`.
fn check_entry(entry: &[u8]) -> Result<TreeFile, String> {
    let strange = || format!("git listed {}", shown(&String::from_utf8_lossy(entry)));
    let tab = entry.iter().position(|byte| *byte == b'\t').ok_or_else(strange)?;
    let path = std::str::from_utf8(&entry[tab + 1..]).map_err(|_| {
        let path = String::from_utf8_lossy(&entry[tab + 1..]);
        format!("the path {} is not UTF-8", shown(&path))
    })?;
    let head = String::from_utf8_lossy(&entry[..tab]);
    let mut fields = head.split_ascii_whitespace();
    let (Some(mode), Some(kind), Some(blob), Some(size)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(strange());
    };
    check_path(path).map_err(|_| {
        check_path(&shown_plain(path))
            .map_or_else(|problem| problem, |()| format!("the path {} cannot be used", shown(path)))
    })?;
    match (mode, kind) {
        ("120000", _) => Err(format!(
            "{} is a symbolic link, which a library cannot have; put the file itself there",
            shown(path)
        )),
        ("160000", _) | (_, "commit") => Err(format!(
            "{} is a submodule, which a library cannot have; name it as a dependency",
            shown(path)
        )),
        ("100644" | "100755" | "100664", "blob") => {
            let size = size.parse().map_err(|_| strange())?;
            if size > MAX_FILE_BYTES {
                let most = MAX_FILE_BYTES >> 20;
                return Err(format!(
                    "{} has {size} bytes; a file of a library has at most {most} MiB",
                    shown(path)
                ));
            }
            Ok(TreeFile { path: path.into(), blob: blob.into(), size })
        }
        _ => Err(format!("{} is not a regular file", shown(path))),
    }
}

fn shown(path: &str) -> String {
    printable(path, MAX_SHOWN)
}

/// Shortens a path that is too long, and leaves its characters, which `check_path` escapes.
fn shown_plain(path: &str) -> String {
    match path.len() <= 2 * MAX_PATH_BYTES {
        true => path.into(),
        false => path.chars().take(MAX_PATH_BYTES + 1).collect(),
    }
}

/// Finds paths that are one and the same where case makes no difference.
#[derive(Default)]
struct Names {
    /// The paths of files and directories in lower case: how they are written, and whether they are
    /// files.
    known: HashMap<String, (String, bool)>,
}

impl Names {
    fn add(&mut self, path: &str) -> Result<(), String> {
        let ends = path.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let part = &path[..end];
            let is_file = end == path.len();
            let known = self.known.entry(part.to_lowercase());
            let (written, was_file) = match known {
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert((part.into(), is_file));
                    continue;
                }
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            };
            if written != part || is_file || *was_file {
                return Err(format!(
                    "{} and {} are the same path where case makes no difference",
                    shown(written),
                    shown(part)
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mode: &str, kind: &str, size: &str, path: &str) -> String {
        format!("{mode} {kind} {} {size:>7}\t{path}\0", "a".repeat(40))
    }

    fn check(paths: &[&str]) -> Result<Vec<String>, String> {
        let listed: String = paths.iter().map(|path| entry("100644", "blob", "3", path)).collect();
        check_tree(listed.as_bytes(), false)
            .map(|files| files.into_iter().map(|it| it.path).collect())
    }

    #[test]
    fn the_files_of_a_tree_are_returned_in_its_order() {
        let tree = entry("100644", "blob", "3", "b/c.lua") + &entry("100755", "blob", "0", "größe");
        let files = check_tree(tree.as_bytes(), false).unwrap();
        let sizes: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.size)).collect();
        assert_eq!(sizes, [("b/c.lua", 3), ("größe", 0)]);
        assert_eq!(files[0].blob, "a".repeat(40));
        assert_eq!(check(&[]), Ok(vec![]));
    }

    #[test]
    fn links_submodules_and_large_files_are_refused_with_their_path() {
        for (mode, kind, size, expected) in [
            ("120000", "blob", "11", "a/b is a symbolic link"),
            ("160000", "commit", "-", "a/b is a submodule"),
            ("100644", "blob", "16777217", "a/b has 16777217 bytes"),
            ("100644", "blob", "99999999999999999999999", "git listed"),
            ("100644", "blob", "BAD", "git listed"),
            ("040000", "tree", "-", "a/b is not a regular file"),
        ] {
            let problem = check_tree(entry(mode, kind, size, "a/b").as_bytes(), false).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
        let sixteen = entry("100644", "blob", "16777216", "a");
        assert!(check_tree(sixteen.as_bytes(), false).is_ok());
    }

    #[test]
    fn the_sum_of_sizes_and_the_count_of_files_are_bounded() {
        let many = |count: usize, size: &str| {
            let tree: String =
                (0..count).map(|n| entry("100644", "blob", size, &format!("f{n}"))).collect();
            check_tree(tree.as_bytes(), false).map(|files| files.len())
        };
        assert_eq!(many(4, "16777216"), Ok(4));
        assert!(many(5, "16777216").unwrap_err().contains("more than 64 MiB"));
        assert_eq!(many(MAX_FILES, "1"), Ok(MAX_FILES));
        assert!(many(MAX_FILES + 1, "1").unwrap_err().contains("more than 10000 files"));
    }

    #[test]
    fn paths_that_differ_in_case_only_are_refused() {
        for paths in [
            &["a.lua", "A.lua"][..],
            &["größe", "GRÖSSE", "GRÖßE"],
            &["Ä/x", "ä/y"],
            &["a/x", "A"],
            &["A", "a/x"],
            &["a", "a/x"],
            &["a", "a"],
            &["lib/Δ", "lib/δ"],
        ] {
            let problem = check(paths).unwrap_err();
            assert!(problem.contains("the same path where case makes"), "{paths:?}: {problem}");
        }
        assert!(check(&["a/x", "a/y", "b/x", "a/b/x", "ab"]).is_ok());
    }

    #[test]
    fn hostile_paths_are_refused_and_escaped() {
        let long = "x".repeat(100_000);
        for path in ["../up", "a/../../b", ".git/config", "a\nb", "a\x1b[2Jb", "/etc/passwd", &long]
        {
            let problem = check(&[path]).unwrap_err();
            assert!(!problem.contains(['\n', '\x1b']) && problem.len() < 400, "{problem}");
        }
        let problem = check_tree(b"100644 blob aaaa 1\ta\xff\x1b\0", false).unwrap_err();
        assert_eq!(problem, r"the path a�\u{1b} is not UTF-8");
        assert!(check_tree(b"\0\0", false).is_ok());
        assert!(check_tree(b"nonsense\0", false).is_err());
        assert!(check_tree(b"100644 blob aaaa 1\ta", false).is_err());
        assert!(check_tree(b"", true).is_err());
    }
}
