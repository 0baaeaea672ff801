//! The names in directories that lead to a file.

use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// The number of symbolic links that Linux follows in one path.
const MAX_LINKS: usize = 40;

/// Finds the names that lead to files, and remembers the directories that are no links, since the
/// files of a project have most of theirs in common.
#[derive(Debug, Default)]
pub struct NameFinder {
    directories: HashSet<PathBuf>,
}

impl NameFinder {
    /// Returns the absolute paths of the names whose replacement gives the file another content:
    /// that of the file, and that of each symbolic link on the way to it. They are in real
    /// directories. A name on the way that does not exist is the last one.
    pub fn names(&mut self, path: &Path) -> Vec<PathBuf> {
        let Ok(path) = std::path::absolute(path) else { return Vec::new() };
        let mut names = Vec::new();
        let mut links = 0;
        let mut rest = components(&path);
        let mut at = PathBuf::from("/");
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            if rest.is_empty() || !self.directories.contains(&next) {
                let metadata = next.symlink_metadata().ok();
                match metadata {
                    Some(metadata) if metadata.is_symlink() && links < MAX_LINKS => {
                        links += 1;
                        names.push(next.clone());
                        let Ok(target) = std::fs::read_link(&next) else { return names };
                        if target.is_absolute() {
                            at = PathBuf::from("/");
                        }
                        let mut target = components(&target);
                        target.append(&mut rest);
                        rest = target;
                        continue;
                    }
                    Some(metadata) if metadata.is_dir() => {
                        self.directories.insert(next.clone());
                    }
                    Some(_) => {}
                    None => {
                        names.push(next);
                        return names;
                    }
                }
            }
            at = next;
        }
        names.push(at);
        names
    }
}

/// Returns the names of a path's components.
fn components(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_to_files_and_to_directories_are_followed_and_named() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        let names = |path: &str| {
            let found = NameFinder::default().names(&root.join(path));
            let below =
                |path: PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().to_string();
            found.into_iter().map(below).collect::<Vec<_>>()
        };
        fs::create_dir_all(root.join("day1/lib")).unwrap();
        fs::write(root.join("day1/lib/m.lua"), "").unwrap();
        symlink("day1", root.join("now")).unwrap();
        symlink(root.join("now/lib/m.lua"), root.join("day1/m.lua")).unwrap();
        assert_eq!(names("day1/lib/m.lua"), ["day1/lib/m.lua"]);
        assert_eq!(names("day1/../day1/lib/m.lua"), ["day1/lib/m.lua"]);
        assert_eq!(names("now/m.lua"), ["now", "day1/m.lua", "now", "day1/lib/m.lua"]);
        assert_eq!(names("now/later/m.lua"), ["now", "day1/later"]);
        symlink("circle", root.join("circle")).unwrap();
        assert_eq!(names("circle").len(), MAX_LINKS + 1);
    }
}
