//! The definitions of the API in a project: what an editor reads to complete, describe and check
//! scripts.

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::manifest::{MANIFEST, nearest_manifest};
use super::standard_library::{LUACATS_DEFINITIONS, LUAU_DEFINITIONS, MODULES};
use crate::ir::directory::{Directory, OpenError};

/// The directory of the definitions within a project.
pub const DIRECTORY: &str = ".smbench/definitions";

/// The directories of modules below it. All files in them are written by smbench.
const MODULE_DIRECTORIES: [&str; 2] = ["@bench", "luau"];

/// The largest number of files of a directory of modules that are looked at.
const MAX_MODULES: usize = 10_000;

/// The reason why the definitions of a project cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionsError {
    #[error("{0}; name the directory of a project, which smbench new makes")]
    NoProject(String),
    #[error("cannot write {}: {error}", .path.display())]
    Unwritable { path: PathBuf, error: OpenError },
    #[error("cannot remove {}, which this version does not have: {error}", .path.display())]
    Unremovable { path: PathBuf, error: OpenError },
}

/// The result of writing the definitions of a project.
#[derive(Debug)]
pub struct Definitions {
    /// The directory of the project.
    pub project: PathBuf,
    /// The files that were written, relative to the project.
    pub written: Vec<PathBuf>,
    /// The modules that were removed because this version does not have them, relative to the
    /// project.
    pub removed: Vec<PathBuf>,
    /// The number of files that were up to date.
    pub unchanged: usize,
}

/// Returns every file of the definitions: its path within the project and its content.
///
/// The directory of the modules is called `@bench` because lua-language-server and EmmyLua look for
/// the path that `require` is given. luau-lsp reads no LuaCATS, so that it gets files of its own,
/// which name the type that `bench.d.luau` has for each module.
pub(super) fn files() -> Vec<(PathBuf, Cow<'static, str>)> {
    let directory = Path::new(DIRECTORY);
    let mut files = vec![
        (directory.join("bench.d.lua"), LUACATS_DEFINITIONS.into()),
        (directory.join("bench.d.luau"), LUAU_DEFINITIONS.into()),
    ];
    for (name, source) in MODULES {
        files.push((directory.join(format!("@bench/{name}.lua")), (*source).into()));
        files.push((directory.join(format!("luau/{name}.luau")), luau_module(name).into()));
    }
    files
}

/// Returns a module for Luau's type checker that has a type and no content.
fn luau_module(name: &str) -> String {
    let module = luau_type(name);
    format!(
        "--!strict\n-- The type of @bench/{name} for luau-lsp. Its source is ../@bench/{name}.lua.\n\
         local module: {module} = nil :: any\nreturn module\n"
    )
}

/// Returns the name of a module's type in `bench.d.luau`.
fn luau_type(module: &str) -> String {
    let words = module.split('_').map(|word| {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        first.to_uppercase() + rest
    });
    format!("Bench{}Module", words.collect::<String>())
}

/// Writes the definitions of the project that contains `directory`, as far as they are not up to
/// date, and removes modules that this version does not have. Each file is replaced as a whole, and
/// no symbolic link leads out of the project.
///
/// # Errors
/// [`DefinitionsError`]. Files that were written before remain.
pub fn write(directory: &Path) -> Result<Definitions, DefinitionsError> {
    let shown = directory.display();
    let no_project = |reason: String| DefinitionsError::NoProject(reason);
    let real = directory
        .canonicalize()
        .map_err(|error| no_project(format!("cannot read {shown}: {error}")))?;
    if !real.is_dir() {
        return Err(no_project(format!("{shown} is not a directory")));
    }
    let manifest = nearest_manifest(&real).map_err(no_project)?.ok_or_else(|| {
        no_project(format!(
            "{shown} is in no project: neither it nor a directory above has a file {MANIFEST}"
        ))
    })?;
    let project = manifest.parent().unwrap_or(&real).to_path_buf();
    let at_fault = |path: PathBuf| {
        let path = project.join(path);
        move |error| DefinitionsError::Unwritable { path, error }
    };
    let open = Directory::open(&project).map_err(OpenError::Unreadable);
    let open = open.map_err(at_fault(PathBuf::new()))?;
    let (mut written, mut unchanged) = (Vec::new(), 0);
    let files = files();
    for (path, content) in &files {
        if is_up_to_date(&open, path, content) {
            unchanged += 1;
            continue;
        }
        open.write_file(path, content.as_bytes()).map_err(at_fault(path.clone()))?;
        written.push(path.clone());
    }
    let mut removed = Vec::new();
    for path in module_files(&open) {
        if files.iter().all(|(known, _)| *known != path) {
            open.remove_file(&path).map_err(|error| DefinitionsError::Unremovable {
                path: project.join(&path),
                error,
            })?;
            removed.push(path);
        }
    }
    Ok(Definitions { project, written, removed, unchanged })
}

/// Returns the Lua files in the directories of modules, relative to the project.
fn module_files(project: &Directory) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for directory in MODULE_DIRECTORIES {
        let directory = Path::new(DIRECTORY).join(directory);
        let names = project.file_names(&directory, MAX_MODULES).unwrap_or_default();
        let lua = |name: &String| name.ends_with(".lua") || name.ends_with(".luau");
        files.extend(names.into_iter().filter(lua).map(|name| directory.join(name)));
    }
    files
}

fn is_up_to_date(project: &Directory, path: &Path, content: &str) -> bool {
    let Ok((file, size)) = project.regular_file(path) else { return false };
    let same_content = || -> io::Result<bool> {
        let mut bytes = Vec::new();
        file.take(content.len() as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes == content.as_bytes())
    };
    size == content.len() as u64 && same_content().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn project() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join(MANIFEST), "").unwrap();
        place
    }

    #[test]
    fn every_module_has_the_type_that_the_definitions_for_luau_declare() {
        for (name, _) in MODULES {
            let declared = format!("\nexport type {} = {{", luau_type(name));
            assert!(LUAU_DEFINITIONS.contains(&declared), "{declared}");
        }
    }

    #[test]
    fn only_files_that_differ_are_written_and_modules_of_other_versions_removed() {
        let place = project();
        let below = place.path().join("tests/deep");
        fs::create_dir_all(&below).unwrap();
        let first = write(&below).unwrap();
        assert_eq!(first.project, place.path().canonicalize().unwrap());
        assert_eq!((first.written.len(), first.unchanged), (files().len(), 0));
        let changed = Path::new(DIRECTORY).join("@bench/office.lua");
        fs::write(place.path().join(&changed), "return {}").unwrap();
        fs::write(place.path().join(DIRECTORY).join("own.lua"), "mine").unwrap();
        let old = Path::new(DIRECTORY).join("luau/old.luau");
        fs::write(place.path().join(&old), "return {}").unwrap();
        let second = write(place.path()).unwrap();
        assert_eq!((second.written, second.unchanged), (vec![changed], files().len() - 1));
        assert_eq!(second.removed, std::slice::from_ref(&old));
        assert!(!place.path().join(&old).exists(), "a module of another version");
        for (path, content) in files() {
            assert_eq!(fs::read_to_string(place.path().join(path)).unwrap(), content);
        }
        let own = fs::read_to_string(place.path().join(DIRECTORY).join("own.lua"));
        assert_eq!(own.unwrap(), "mine");
    }

    #[test]
    fn a_link_that_leads_out_of_the_project_is_refused_and_one_in_place_of_a_file_is_replaced() {
        let (place, outside) = (project(), tempfile::tempdir().unwrap());
        symlink(outside.path(), place.path().join(".smbench")).unwrap();
        let refused = write(place.path()).unwrap_err().to_string();
        assert!(refused.contains("a symbolic link leads out of the directory"), "{refused}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);

        fs::remove_file(place.path().join(".smbench")).unwrap();
        let definitions = place.path().join(DIRECTORY);
        fs::create_dir_all(&definitions).unwrap();
        fs::write(outside.path().join("target"), "untouched").unwrap();
        symlink(outside.path().join("target"), definitions.join("bench.d.lua")).unwrap();
        write(place.path()).unwrap();
        assert_eq!(fs::read_to_string(outside.path().join("target")).unwrap(), "untouched");
        assert!(definitions.join("bench.d.lua").symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn a_directory_in_place_of_a_file_is_an_error_that_leaves_no_other_file() {
        let place = project();
        let definitions = place.path().join(DIRECTORY);
        fs::create_dir_all(definitions.join("bench.d.lua/in")).unwrap();
        let refused = write(place.path()).unwrap_err().to_string();
        assert!(refused.contains("bench.d.lua: "), "{refused}");
        assert_eq!(fs::read_dir(definitions).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_project_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let refused = |path: &Path| write(path).unwrap_err().to_string();
        assert!(refused(&place.path().join("none")).contains("No such file"));
        fs::write(place.path().join("file"), "").unwrap();
        assert!(refused(&place.path().join("file")).contains("is not a directory"));
        fs::create_dir(place.path().join(MANIFEST)).unwrap();
        assert!(refused(place.path()).contains("smbench.toml is not a regular file"));
    }
}
