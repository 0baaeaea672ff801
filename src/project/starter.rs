//! The files of a new project.

use std::borrow::Cow;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::definitions;
use super::manifest::MANIFEST;
use super::names::{check_alias, check_package_name, is_project_name};
use crate::protocol::shortened;

/// The kind of project that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StarterKind {
    /// A workload to run.
    Workload,
    /// A library, which other projects use.
    Library,
}

/// The files of a project with a workload. `{name}`, `{alias}` (the name without its scope) and
/// `{version}` in them are replaced.
const WORKLOAD: [(&str, &str); 5] = [
    (MANIFEST, include_str!("template/smbench.toml")),
    ("README.md", include_str!("template/README.md")),
    ("workload.lua", include_str!("template/workload.lua")),
    ("workload_test.lua", include_str!("template/workload_test.lua")),
    ("lib/documents.lua", include_str!("template/lib/documents.lua")),
];

/// The files of a library, in which the same words are replaced.
const LIBRARY: [(&str, &str); 5] = [
    (MANIFEST, include_str!("template/library/smbench.toml")),
    ("README.md", include_str!("template/library/README.md")),
    ("init.lua", include_str!("template/library/init.lua")),
    ("tests/workload.lua", include_str!("template/library/tests/workload.lua")),
    ("tests/library_test.lua", include_str!("template/library/tests/library_test.lua")),
];

/// The files of every project beside the definitions.
const SETTINGS: [(&str, &str); 5] = [
    (".gitignore", include_str!("template/gitignore")),
    (".luaurc", include_str!("template/luaurc.json")),
    (".luarc.json", include_str!("template/luarc.json")),
    (".emmyrc.json", include_str!("template/emmyrc.json")),
    (".vscode/settings.json", include_str!("template/vscode_settings.json")),
];

/// Maximum number of characters of a name that an error quotes.
const MAX_SHOWN: usize = 80;

/// The reason why a project cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StarterError {
    #[error("{} is not empty; name a directory that does not exist yet, or an empty one", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is not a directory; name one that does not exist yet, or an empty one", .0.display())]
    NotADirectory(PathBuf),
    #[error(
        "{0:?} cannot be the name of a project: a name has at most 64 letters (a-z, A-Z), digits, - and _, and begins with a letter; choose one with --name"
    )]
    Name(String),
    #[error("{name:?} cannot be the name of a library: {problem}; choose one with --name")]
    LibraryName { name: String, problem: String },
    #[error("cannot write {}: {error}; nothing of the project is left", .path.display())]
    Unwritable { path: PathBuf, error: io::Error },
}

/// Everything that was made for a project, which is removed with the value unless it is kept.
#[derive(Default)]
struct Made {
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

impl Drop for Made {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
        for directory in self.directories.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}

impl Made {
    /// Makes a directory and those above it that are missing.
    fn directory(&mut self, path: &Path) -> Result<(), StarterError> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.directory(parent)?;
        }
        match DirBuilder::new().create(path) {
            Ok(()) => self.directories.push(path.into()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(error) => return Err(StarterError::Unwritable { path: path.into(), error }),
        }
        Ok(())
    }

    /// Makes a file, which must not exist.
    fn file(&mut self, path: PathBuf, content: &str) -> Result<(), StarterError> {
        let made =
            OpenOptions::new().write(true).create_new(true).open(&path).and_then(|mut file| {
                self.files.push(path.clone());
                file.write_all(content.as_bytes())
            });
        made.map_err(|error| StarterError::Unwritable { path, error })
    }

    fn keep(mut self) {
        self.files.clear();
        self.directories.clear();
    }
}

/// Makes a project in `directory`, which must be empty or not exist; missing directories above it
/// are made too. Without a name, the project is called like the directory. The name of a library may
/// have a scope, such as `acme/office`. Returns the paths of the files within it.
///
/// # Errors
/// [`StarterError`]. Nothing that this call made is left then.
pub fn create(
    directory: &Path,
    name: Option<&str>,
    kind: StarterKind,
) -> Result<Vec<PathBuf>, StarterError> {
    check_is_free(directory)?;
    let name = match name {
        Some(name) => name.into(),
        None => name_of(directory)?,
    };
    match kind {
        StarterKind::Workload if !is_project_name(&name) => {
            return Err(StarterError::Name(shortened(&name, MAX_SHOWN)));
        }
        StarterKind::Workload => {}
        StarterKind::Library => check_library_name(&name).map_err(|problem| {
            StarterError::LibraryName { name: shortened(&name, MAX_SHOWN), problem }
        })?,
    }
    let mut made = Made::default();
    made.directory(directory)?;
    let mut written = Vec::new();
    for (path, content) in files(&name, kind) {
        let whole = directory.join(&path);
        made.directory(whole.parent().unwrap_or(directory))?;
        made.file(whole, &content)?;
        written.push(path);
    }
    made.keep();
    Ok(written)
}

/// Returns every file of a new project: its path and its content.
fn files(name: &str, kind: StarterKind) -> Vec<(PathBuf, Cow<'static, str>)> {
    let filled = |text: &str| {
        let text = text.replace("{name}", name).replace("{alias}", alias_of(name));
        text.replace("{version}", env!("CARGO_PKG_VERSION"))
    };
    let own = match kind {
        StarterKind::Workload => &WORKLOAD,
        StarterKind::Library => &LIBRARY,
    };
    let template = own.iter().chain(&SETTINGS);
    let mut files: Vec<(PathBuf, Cow<'static, str>)> =
        template.map(|(path, text)| (PathBuf::from(path), filled(text).into())).collect();
    files.extend(definitions::files());
    files
}

/// Checks the name of a library, whose part after the scope is the alias that its README proposes.
fn check_library_name(name: &str) -> Result<(), String> {
    check_package_name(name)?;
    check_alias(alias_of(name))
}

/// Returns the name of a package without its scope.
fn alias_of(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, alias)| alias)
}

/// Checks that there is no directory yet, or an empty one.
fn check_is_free(directory: &Path) -> Result<(), StarterError> {
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(StarterError::NotEmpty(directory.into())),
            None => Ok(()),
        },
        // A symbolic link that leads nowhere exists too.
        Err(error) if error.kind() == ErrorKind::NotFound && !directory.is_symlink() => Ok(()),
        Err(error) if [ErrorKind::NotADirectory, ErrorKind::NotFound].contains(&error.kind()) => {
            Err(StarterError::NotADirectory(directory.into()))
        }
        Err(error) => Err(StarterError::Unwritable { path: directory.into(), error }),
    }
}

/// Returns the last component of a directory's path, also of `.` or a path that ends in `..`.
fn name_of(directory: &Path) -> Result<String, StarterError> {
    let unwritable = |error| StarterError::Unwritable { path: directory.into(), error };
    let name = match directory.file_name() {
        Some(name) => name.to_os_string(),
        None => {
            let real = directory.canonicalize().map_err(unwritable)?;
            real.file_name().unwrap_or_default().to_os_string()
        }
    };
    Ok(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::manifest::Manifest;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_project_has_all_its_files_and_its_name() {
        let place = tempfile::tempdir().unwrap();
        let project = place.path().join("deep/team-load");
        let written = create(&project, None, StarterKind::Workload).unwrap();
        assert_eq!(written.len(), files("team-load", StarterKind::Workload).len());
        assert!(written.iter().all(|path| project.join(path).is_file()));
        let manifest = fs::read_to_string(project.join(MANIFEST)).unwrap();
        assert!(manifest.contains("name = \"team-load\"\n"), "{manifest}");
        let version = concat!("smbench = \">=", env!("CARGO_PKG_VERSION"), "\"");
        assert!(manifest.contains(version), "{manifest}");
        let readme = fs::read_to_string(project.join("README.md")).unwrap();
        assert!(readme.starts_with("# team-load\n"), "{readme}");
        let lines = readme.lines().skip(1).filter(|line| !line.is_empty()).count();
        assert!(lines <= 10, "the README says what to do next in {lines} lines");
    }

    #[test]
    fn a_library_has_its_name_and_the_alias_that_its_readme_proposes() {
        let place = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let directory = place.path().join(name.replace('/', "-"));
            let made = create(&directory, Some(name), StarterKind::Library);
            made.map(|_| directory).map_err(|error| error.to_string())
        };
        let office = made("acme/office").unwrap();
        let read = |path: &str| fs::read_to_string(office.join(path)).unwrap();
        let manifest = Manifest::parse(&read(MANIFEST), MANIFEST).unwrap();
        assert_eq!(manifest.name.as_deref(), Some("acme/office"));
        assert!(read("README.md").contains("smbench lib add office --repo URL"));
        for (name, expected) in [
            ("a/b/c", "a name is such as acme/office"),
            ("acme/bench", "@bench is the standard library"),
            ("Office", "lower-case letters"),
        ] {
            let refused = made(name).unwrap_err();
            assert!(refused.contains(expected) && refused.ends_with("with --name"), "{refused}");
        }
    }

    #[test]
    fn an_empty_directory_is_used_and_nothing_else_that_exists() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::create_dir(path("empty")).unwrap();
        create(&path("empty"), None, StarterKind::Workload).unwrap();
        let again = create(&path("empty"), None, StarterKind::Workload).unwrap_err().to_string();
        assert!(again.contains("empty is not empty; name a directory"), "{again}");
        fs::write(path("file"), "mine").unwrap();
        std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
        for name in ["file", "link"] {
            let refused = create(&path(name), None, StarterKind::Workload).unwrap_err().to_string();
            assert!(refused.contains(&format!("{name} is not a directory")), "{refused}");
        }
        assert_eq!(fs::read_to_string(path("file")).unwrap(), "mine");
        let below =
            create(&path("file/below"), None, StarterKind::Workload).unwrap_err().to_string();
        assert!(below.contains("is not a directory"), "{below}");
    }

    #[test]
    fn a_name_that_no_project_can_have_is_refused_before_anything_is_made() {
        let place = tempfile::tempdir().unwrap();
        for name in ["9lives", "a b", "größe", "a.b", "-x", &"a".repeat(65), "a\"b", "a\nb"] {
            let refused = create(&place.path().join(name), None, StarterKind::Workload)
                .unwrap_err()
                .to_string();
            assert!(refused.contains("choose one with --name"), "{refused}");
        }
        assert_eq!(names(place.path()), [""; 0]);
        create(&place.path().join("a b"), Some("a_b"), StarterKind::Workload).unwrap();
        assert_eq!(names(place.path()), ["a b"]);
    }

    #[test]
    fn a_failure_half_way_removes_what_was_made_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let kept = place.path().join("kept");
        fs::create_dir(&kept).unwrap();
        let mut made = Made::default();
        made.directory(&kept.join("new/deep")).unwrap();
        made.file(kept.join("new/deep/file"), "text").unwrap();
        fs::write(kept.join("other"), "mine").unwrap();
        let refused = made.file(kept.join("other"), "text").unwrap_err().to_string();
        assert!(refused.contains("other: File exists"), "{refused}");
        drop(made);
        assert_eq!(names(&kept), ["other"]);
        assert_eq!(fs::read_to_string(kept.join("other")).unwrap(), "mine");
    }
}
