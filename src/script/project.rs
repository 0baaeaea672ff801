//! The project of a script: the directory from which its modules are read.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::chunks::shown_path;
use super::error::ScriptError;
use super::options::ScriptOptions;
use super::read_files::ReadFiles;
use super::ready_workloads::ReadyWorkload;
use crate::ir::directory::{Directory, directory_of};
use crate::library::packages::Packages;
use crate::project::manifest::{MANIFEST, Manifest, manifest_paths, nearest_manifest};

/// The part of an error that says why a ready workload cannot use a file.
pub(super) const NO_FILES: &str = "a ready workload has no files beside it; save the script with 'smbench scripts show' to add some";

/// The maximum length of a file's path within the project, in bytes. An error of Lua contains at
/// most 255 bytes of a file's name.
pub(super) const MAX_PATH_BYTES: usize = 200;

/// The directory from which a script's modules are read: the nearest one upward from the script
/// that contains a file `smbench.toml`, or else the script's own.
#[derive(Debug)]
pub(super) struct Project {
    /// The open directory of the project. No path leads out of it. A ready workload has none.
    pub directory: Option<Directory>,
    /// The real path of the directory.
    pub root: Option<PathBuf>,
    /// The path of the script within the project.
    pub script: PathBuf,
    /// The path of the project's directory in errors. It is derived from the script's path as the
    /// user gave it, or is the real path if a symbolic link makes the two differ.
    shown: PathBuf,
    /// Whether the directory contains a file `smbench.toml`.
    pub has_manifest: bool,
    /// The libraries that the project uses.
    pub packages: Arc<Packages>,
    /// The path of each library's directory in errors, by the library's number.
    shown_packages: Vec<PathBuf>,
}

impl Project {
    /// Finds the project of the script at `path`. `shown` is the script's path as errors write it.
    /// Records in `reads` where it has looked for the file `smbench.toml`.
    ///
    /// # Errors
    /// A message if a directory cannot be opened, if `smbench.toml` is not a regular file, or if the
    /// path of the script within the project is too long.
    pub fn of_script(path: &Path, shown: &Path, reads: &ReadFiles) -> Result<Project, String> {
        let unreadable = |error| format!("its directory cannot be opened: {error}");
        let own = directory_of(path).canonicalize().map_err(unreadable)?;
        // A manifest that is nearer than the nearest one would begin another project. If there is
        // none, only one beside the script is expected.
        let places: Vec<PathBuf> = manifest_paths(&own).collect();
        let found = places.iter().position(|place| place.symlink_metadata().is_ok());
        places.iter().take(found.map_or(1, |at| at + 1)).for_each(|place| reads.add(place));
        let manifest = nearest_manifest(&own)?;
        let root = manifest.as_deref().map_or(&*own, directory_of);
        let below = own.strip_prefix(root).unwrap_or(Path::new(""));
        let script = below.join(path.file_name().unwrap_or(path.as_os_str()));
        if script.as_os_str().len() > MAX_PATH_BYTES {
            return Err(format!(
                "its path within the project is longer than {MAX_PATH_BYTES} bytes"
            ));
        }
        let levels = below.components().count();
        let lexical = Path::new(".").join(above(directory_of(path), levels));
        let shown = match lexical.canonicalize() {
            Ok(real) if real == root => above(directory_of(shown), levels),
            // A symbolic link on the given path makes `..` lead elsewhere, so errors write the real
            // path.
            _ => root.into(),
        };
        let directory = Directory::open(root).map_err(unreadable)?;
        let (directory, root) = (Some(directory), Some(root.to_path_buf()));
        let has_manifest = manifest.is_some();
        let (packages, shown_packages) = Default::default();
        Ok(Project { directory, root, script, shown, has_manifest, packages, shown_packages })
    }

    /// Opens the libraries of the project. The first VM of a load does it for all.
    ///
    /// # Errors
    /// [`ScriptError`] if the manifest or the lock is wrong, or if a library is missing or differs
    /// from what the lock names.
    pub fn load_packages(&mut self, options: &ScriptOptions) -> Result<(), ScriptError> {
        let Some(root) = self.root.as_deref().filter(|_| self.has_manifest) else { return Ok(()) };
        let load = || {
            let shown = shown_path(&self.shown(Path::new(MANIFEST)));
            let manifest = Manifest::read(&root.join(MANIFEST), &shown)?;
            Packages::load(root, &manifest, &mut |path| options.reads.add(path))
        };
        let packages = options.packages.file(false, root, load).map_err(ScriptError::Script)?;
        let shown = |place: &Path| {
            let plain = without_parents(&self.shown.join(place));
            let real = |path: &Path| Path::new(".").join(path).canonicalize().ok();
            match real(&plain).is_some_and(|it| Some(it) == root.join(place).canonicalize().ok()) {
                true => plain,
                // A symbolic link on the way makes `..` lead elsewhere.
                false => self.shown.join(place),
            }
        };
        self.shown_packages = packages.iter().map(|package| shown(&package.place)).collect();
        self.packages = packages;
        Ok(())
    }

    /// Returns the project of a ready workload, which has no files.
    pub fn of_ready_workload(ready: &ReadyWorkload) -> Project {
        let script = PathBuf::from(ready.to_string());
        let (directory, root, packages) = Default::default();
        let (shown, shown_packages) = Default::default();
        Project { directory, root, script, shown, has_manifest: false, packages, shown_packages }
    }

    /// Returns the path of a file of a library as errors write it.
    pub fn shown_in_package(&self, number: usize, file: &Path) -> PathBuf {
        self.shown_packages[number].join(file)
    }

    /// Returns the path of a file of the project as errors write it.
    pub fn shown(&self, file: &Path) -> PathBuf {
        self.shown.join(file)
    }

    /// Returns the words with which errors name the project.
    pub fn name(&self) -> &'static str {
        if self.has_manifest { "the project" } else { "the script's directory" }
    }
}

/// Returns the path of the directory `levels` above `directory`. Shortens the path as far as that
/// needs no access to the file system.
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

/// Returns the path without `..` after the name of a directory.
fn without_parents(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match (component, plain.components().next_back()) {
            (Component::ParentDir, Some(Component::Normal(_))) => drop(plain.pop()),
            (Component::CurDir, _) => {}
            _ => plain.push(component),
        }
    }
    plain
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
        let root = folder.path().canonicalize().unwrap();
        let deep = root.join("a/b/c");
        std::fs::create_dir_all(&deep).unwrap();
        let script = deep.join("s.lua");
        let found = || {
            let project = Project::of_script(&script, &script, &ReadFiles::default()).unwrap();
            (project.script.display().to_string(), project.shown(Path::new("m.lua")))
        };
        assert_eq!(found(), ("s.lua".into(), deep.join("m.lua")));
        std::fs::write(root.join(MANIFEST), "").unwrap();
        assert_eq!(found(), ("a/b/c/s.lua".into(), root.join("m.lua")));
        std::fs::write(root.join("a/b").join(MANIFEST), "").unwrap();
        assert_eq!(found(), ("c/s.lua".into(), root.join("a/b/m.lua")));
        std::fs::create_dir(deep.join(MANIFEST)).unwrap();
        let refused = Project::of_script(&script, &script, &ReadFiles::default()).unwrap_err();
        assert_eq!(refused, format!("{} is not a regular file", deep.join(MANIFEST).display()));
    }

    #[cfg(unix)]
    #[test]
    fn a_script_that_is_reached_through_a_link_shows_the_real_directory_of_its_project() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("q/x/y")).unwrap();
        std::fs::write(root.join("q").join(MANIFEST), "").unwrap();
        std::os::unix::fs::symlink("q/x/y", root.join("link")).unwrap();
        let script = root.join("link/s.lua");
        let project = Project::of_script(&script, &script, &ReadFiles::default()).unwrap();
        assert_eq!(project.script, Path::new("x/y/s.lua"));
        assert_eq!(project.shown(Path::new("m.lua")), root.join("q/m.lua"));
    }
}
