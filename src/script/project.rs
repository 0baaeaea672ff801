//! The project of a script: the directory from which its modules are read.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::ir::directory::{Directory, directory_of};

/// The file that marks the directory of a project.
pub(super) const MANIFEST: &str = "smbench.toml";

/// The maximum length of a file's path within the project, in bytes. Lua keeps 255 bytes of a name
/// in its errors.
pub(super) const MAX_PATH_BYTES: usize = 200;

/// The directory from which a script's modules are read: the nearest one upward from the script
/// that holds a file `smbench.toml`, or else the script's own.
#[derive(Debug)]
pub(super) struct Project {
    /// Stays open, and no path leads out of it.
    pub directory: Directory,
    /// The path of the script within the project.
    pub script: PathBuf,
    /// The project's directory as errors write it: relative to the path of the script that the
    /// user gave, if that is possible.
    shown: PathBuf,
    /// Whether there is a file `smbench.toml`.
    pub has_manifest: bool,
}

impl Project {
    /// Finds the project of the script at `path`. Errors write the script as `shown`.
    ///
    /// # Errors
    /// The operating system's reason, if the directory cannot be opened.
    pub fn of_script(path: &Path, shown: &Path) -> io::Result<Project> {
        let name = path.file_name().unwrap_or(path.as_os_str());
        let own = directory_of(path).canonicalize()?;
        let root = own.ancestors().find(|directory| directory.join(MANIFEST).is_file());
        let below = root.and_then(|root| own.strip_prefix(root).ok()).unwrap_or(Path::new(""));
        Ok(Project {
            directory: Directory::open(root.unwrap_or(&own))?,
            script: below.join(name),
            shown: above(directory_of(shown), below.components().count()),
            has_manifest: root.is_some(),
        })
    }

    /// Returns the path of a file of the project as errors write it.
    pub fn shown(&self, file: &Path) -> PathBuf {
        self.shown.join(file)
    }
}

/// Returns the path of the directory that is `levels` above this one, as short as it can be written
/// without asking the file system.
fn above(directory: &Path, levels: usize) -> PathBuf {
    let mut path: PathBuf =
        directory.components().filter(|component| *component != Component::CurDir).collect();
    for _ in 0..levels {
        match path.components().next_back() {
            Some(Component::Normal(_)) => drop(path.pop()),
            _ => path.push(".."),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_above_is_written_relative_to_the_one_below_it() {
        for (directory, levels, expected) in [
            (".", 0, ""),
            ("team/day", 0, "team/day"),
            ("./team/day", 1, "team"),
            ("team", 1, ""),
            ("team", 3, "../.."),
            ("../team", 2, "../.."),
            ("/srv/team", 1, "/srv"),
        ] {
            assert_eq!(above(Path::new(directory), levels), Path::new(expected), "{directory}");
        }
    }

    #[test]
    fn the_nearest_manifest_upward_makes_the_project() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        std::fs::create_dir_all(&deep).unwrap();
        let project =
            |shown: &str| Project::of_script(&deep.join("s.lua"), Path::new(shown)).unwrap();
        assert_eq!(project("c/s.lua").script, Path::new("s.lua"));
        assert_eq!(project("c/s.lua").shown(Path::new("m.lua")), Path::new("c/m.lua"));
        std::fs::write(folder.path().join(MANIFEST), "").unwrap();
        assert_eq!(project("c/s.lua").script, Path::new("a/b/c/s.lua"));
        assert_eq!(project("c/s.lua").shown(Path::new("m.lua")), Path::new("../../m.lua"));
        std::fs::write(folder.path().join("a/b").join(MANIFEST), "").unwrap();
        assert_eq!(project("c/s.lua").script, Path::new("c/s.lua"));
        assert_eq!(project("c/s.lua").shown(Path::new("m.lua")), Path::new("m.lua"));
    }
}
