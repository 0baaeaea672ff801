//! The places of packages in the directory of a project, and the check that their files are those
//! that the lock names.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::listing::{Listing, MAX_BYTES, MAX_FILE_BYTES, MAX_FILES, hash};
use super::lock::PackageId;
use crate::ir::directory::{Directory, OpenError, regular_file};

/// The directory of a project in which `smbench lib sync` puts packages.
pub const PACKAGES: &str = ".smbench/packages";
/// The directory of a project in which `smbench lib vendor` puts packages. A package in it is used
/// instead of the one in [`PACKAGES`].
pub const VENDORED: &str = "vendor";
/// The file of a package's directory that has its listing.
pub const LISTING: &str = "files";
/// The directory of a package's directory that has its files.
pub const FILES: &str = "library";

/// Maximum number of files and directories in the directory of a package. A file may be deep, but
/// few packages have more directories than files.
const MAX_ENTRIES: usize = 4 * MAX_FILES;

/// Number of hexadecimal digits of a hash in the name of a directory.
pub(super) const SHORT_HASH: usize = 8;

/// Returns the name of a package's directory, such as `acme-office-1.2.0-3f9a0c21`.
pub fn directory_name(id: &PackageId, hash: &str) -> String {
    let short = &hash[..SHORT_HASH.min(hash.len())];
    format!("{}-{}-{short}", id.name.replace('/', "-"), id.version)
}

/// Returns the directory of a package from a repository, relative to that of the project: the
/// vendored one, if there is one.
pub fn package_directory(project: &Path, id: &PackageId, hash: &str) -> PathBuf {
    let name = directory_name(id, hash);
    let vendored = Path::new(VENDORED).join(&name);
    match project.join(&vendored).is_dir() {
        true => vendored,
        false => Path::new(PACKAGES).join(name),
    }
}

/// Returns what to do about a package in `directory`, relative to the project, whose files differ.
pub fn restoring(directory: &Path) -> String {
    match directory.starts_with(VENDORED) {
        true => format!(
            "restore it with git checkout, or remove {} and run smbench lib vendor",
            directory.display()
        ),
        false => "run smbench lib sync to restore it".into(),
    }
}

/// A package whose files are those that the lock names.
#[derive(Debug)]
pub struct VerifiedPackage {
    /// Its files, from which no path leads out.
    pub files: Directory,
    pub listing: Listing,
}

/// The reason why the files of a package cannot be used. Paths are relative to the project.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("its files are not in {PACKAGES}")]
    Missing,
    #[error("{0} does not match {lock}", lock = super::lock::LOCK)]
    Differs(String),
    #[error("{0} is missing")]
    FileMissing(String),
    #[error("{0} is not one of its files")]
    FileAdded(String),
    #[error("{path}: {reason}")]
    Unreadable { path: String, reason: String },
}

/// Checks all files of the package in `directory`, which is relative to that of the project,
/// against `hash`, the hash of the lock.
///
/// # Errors
/// [`StoreError`], which names the first file that differs.
pub fn verify(
    project: &Path,
    directory: &Path,
    expected: &str,
) -> Result<VerifiedPackage, StoreError> {
    let whole = project.join(directory);
    let shown = |path: &str| directory.join(path).display().to_string();
    let unreadable = |path: &str, reason: &dyn std::fmt::Display| StoreError::Unreadable {
        path: shown(path),
        reason: reason.to_string(),
    };
    if !whole.is_dir() {
        return Err(StoreError::Missing);
    }
    let (file, _) = regular_file(&whole.join(LISTING)).map_err(|it| unreadable(LISTING, &it))?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(|it| unreadable(LISTING, &it))?;
    if hash(text.as_bytes()) != expected {
        return Err(StoreError::Differs(shown(LISTING)));
    }
    let listing = Listing::parse(&text).map_err(|problem| unreadable(LISTING, &problem))?;
    let files = Directory::open(&whole.join(FILES)).map_err(|error| unreadable(FILES, &error))?;
    let mut bytes = 0;
    for path in listing.paths() {
        let named = format!("{FILES}/{path}");
        let (file, size) = files.regular_file(path.as_ref()).map_err(|error| match error {
            OpenError::Unreadable(error) if error.kind() == ErrorKind::NotFound => {
                StoreError::FileMissing(shown(&named))
            }
            error => unreadable(&named, &error),
        })?;
        bytes += size;
        if size > MAX_FILE_BYTES || bytes > MAX_BYTES {
            return Err(unreadable(&named, &"it is larger than a library may be"));
        }
        let mut content = Vec::new();
        let read = file.take(size + 1).read_to_end(&mut content);
        read.map_err(|error| unreadable(&named, &error))?;
        if listing.file_hash(path) != Some(&hash(&content)) {
            return Err(StoreError::Differs(shown(&named)));
        }
    }
    let root = whole.join(FILES);
    for (number, entry) in WalkDir::new(&root).into_iter().enumerate() {
        let entry = entry.map_err(|error| unreadable(FILES, &error))?;
        let within = entry.path().strip_prefix(&root).unwrap_or(entry.path());
        let is_listed = within.to_str().is_some_and(|path| listing.file_hash(path).is_some());
        let is_known = entry.file_type().is_dir() || is_listed;
        if !is_known || number > MAX_ENTRIES {
            let within = within.to_string_lossy();
            return Err(StoreError::FileAdded(shown(&format!("{FILES}/{within}"))));
        }
    }
    Ok(VerifiedPackage { files, listing })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn id() -> PackageId {
        PackageId { name: "acme/office".into(), version: semver::Version::new(1, 2, 0) }
    }

    #[test]
    fn a_package_that_differs_in_one_file_is_refused_with_the_name_of_the_file() {
        let place = tempfile::tempdir().unwrap();
        let project = place.path();
        let listing = Listing::of([("init.lua", &b"return {}"[..]), ("a/b.lua", b"return 1")]);
        let directory = package_directory(project, &id(), &listing.hash());
        assert!(directory.starts_with(".smbench/packages/"), "{}", directory.display());
        let check = || verify(project, &directory, &listing.hash()).map(|it| it.listing);
        assert_eq!(check(), Err(StoreError::Missing));
        let whole = project.join(&directory);
        fs::create_dir_all(whole.join("library/a")).unwrap();
        fs::write(whole.join("files"), listing.text()).unwrap();
        fs::write(whole.join("library/init.lua"), "return {}").unwrap();
        let problem = |shown: &str| check().unwrap_err().to_string().replace(shown, "P");
        let shown = directory.display().to_string();
        assert_eq!(problem(&shown), "P/library/a/b.lua is missing");
        fs::write(whole.join("library/a/b.lua"), "return 2").unwrap();
        assert_eq!(problem(&shown), "P/library/a/b.lua does not match smbench.lock");
        fs::write(whole.join("library/a/b.lua"), "return 1").unwrap();
        assert_eq!(check(), Ok(listing.clone()));
        fs::write(whole.join("library/a/c.lua"), "return 1").unwrap();
        assert_eq!(problem(&shown), "P/library/a/c.lua is not one of its files");
        fs::remove_file(whole.join("library/a/c.lua")).unwrap();
        fs::remove_file(whole.join("library/init.lua")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", whole.join("library/init.lua")).unwrap();
        assert!(problem(&shown).starts_with("P/library/init.lua: a symbolic link leads out"));
        fs::write(whole.join("files"), "").unwrap();
        assert_eq!(problem(&shown), "P/files does not match smbench.lock");
    }

    #[test]
    fn a_vendored_package_comes_first() {
        let place = tempfile::tempdir().unwrap();
        let hash = "c".repeat(64);
        let vendored = place.path().join("vendor/acme-office-1.2.0-cccccccc");
        fs::create_dir_all(&vendored).unwrap();
        assert_eq!(place.path().join(package_directory(place.path(), &id(), &hash)), vendored);
    }
}
