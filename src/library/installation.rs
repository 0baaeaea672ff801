//! Writes packages into the directory of a project. The writer has a lock, and makes each package
//! under another name first, so that one that was interrupted leaves nothing half done.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::listing::{Listing, MAX_FILE_BYTES, hash};
use super::lock::PackageId;
use super::package_files::PackageFiles;
use super::store::{
    FILES, LISTING, PACKAGES, SHORT_HASH, StoreError, VENDORED, VerifiedPackage, directory_name,
    verify,
};
use crate::ir::directory::{Directory, EntryKind, OpenError};
use crate::observability::text::printable;

/// The directory of a project that belongs to smbench. [`PACKAGES`] is in it.
const OWN: &str = ".smbench";
/// The name of [`PACKAGES`] in it.
const PACKAGES_IN_OWN: &str = "packages";
/// The file that the writer locks.
const LOCK_FILE: &str = "lock";
/// Begin of the names of directories that are being made or removed.
const UNFINISHED: &str = ".unfinished-";
/// The file of git in the directory of vendored packages.
const ATTRIBUTES: &str = ".gitattributes";
/// Its content. With other line breaks the files would not be those of the lock.
const AS_THEY_ARE: &str =
    "# Made by smbench lib vendor: git leaves the line breaks as they are.\n* -text\n";
/// Time limit of waiting for another writer.
const WAIT: Duration = Duration::from_secs(60);
/// Time between two attempts to lock.
const RETRY: Duration = Duration::from_millis(50);
/// Maximum number of names in a directory of packages.
const MAX_NAMES: usize = 100_000;

/// The reason why packages cannot be written. Paths are relative to the project.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(
        "another smbench lib is at work in this project (it has {OWN}/{LOCK_FILE} locked): try again when it has ended"
    )]
    Busy,
    #[error("cannot open the directory of the project: {0}")]
    Project(std::io::Error),
    #[error("cannot write {path}: {error}")]
    Write { path: String, error: OpenError },
    #[error("cannot lock {OWN}/{LOCK_FILE}: {0}")]
    Lock(std::io::Error),
    #[error("{id}: {error}")]
    Package { id: PackageId, error: StoreError },
    #[error("{id} was written, and then {error}; something else changes the directory")]
    Changed { id: PackageId, error: StoreError },
}

/// The packages of a project, which no other process writes until this is dropped.
#[derive(Debug)]
pub struct HeldStore {
    project: PathBuf,
    root: Directory,
    packages: Directory,
    /// The lock ends with the file.
    _lock: File,
}

/// The changes that [`HeldStore::vendor`] has made: directories relative to the project.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct VendorChanges {
    pub copied: Vec<PathBuf>,
    pub removed: Vec<PathBuf>,
}

/// Locks the packages of the project in a directory, and waits at most 60 s for another writer.
/// Removes what an interrupted writer has left.
///
/// # Errors
/// [`InstallError`].
pub fn hold(project: &Path) -> Result<HeldStore, InstallError> {
    hold_within(project, WAIT)
}

fn hold_within(project: &Path, wait: Duration) -> Result<HeldStore, InstallError> {
    let root = Directory::open(project).map_err(InstallError::Project)?;
    let own = root.make_directory(OWN.as_ref()).map_err(cannot_write(OWN))?;
    let file = own.lock_file(LOCK_FILE.as_ref()).map_err(cannot_write(OWN))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(InstallError::Lock(error)),
            Err(TryLockError::WouldBlock) if began.elapsed() >= wait => {
                return Err(InstallError::Busy);
            }
            Err(TryLockError::WouldBlock) => thread::sleep(RETRY),
        }
    }
    let packages = own.make_directory(PACKAGES_IN_OWN.as_ref()).map_err(cannot_write(PACKAGES))?;
    remove_unfinished(&packages, PACKAGES)?;
    Ok(HeldStore { project: project.into(), root, packages, _lock: file })
}

impl HeldStore {
    /// Writes a package unless it is there already, and checks what was written. Files of that
    /// name which are not those of the package are replaced. Returns its directory, relative to that
    /// of the project.
    ///
    /// # Errors
    /// [`InstallError`].
    pub fn install(&self, id: &PackageId, files: &PackageFiles) -> Result<PathBuf, InstallError> {
        self.place(&self.packages, PACKAGES, id, files).map(|(directory, _)| directory)
    }

    /// Removes all installed packages except these, which are named as [`HeldStore::install`]
    /// returned them. Returns those that were removed.
    ///
    /// # Errors
    /// [`InstallError`].
    pub fn remove_others(&self, keep: &[PathBuf]) -> Result<Vec<PathBuf>, InstallError> {
        let mut removed = Vec::new();
        for name in names(&self.packages, PACKAGES)? {
            let whole = Path::new(PACKAGES).join(&name);
            let is_directory = self.packages.kind(name.as_ref()) == Some(EntryKind::Directory);
            if is_directory && !keep.contains(&whole) {
                take_away(&self.packages, PACKAGES, &name)?;
                removed.push(whole);
            }
        }
        Ok(removed)
    }

    /// Makes `vendor/` have copies of exactly these packages, which are given with the hashes of
    /// the lock. Everything in it that is not a package stays.
    ///
    /// # Errors
    /// [`InstallError`]. A package that is neither installed nor vendored is one.
    pub fn vendor(&self, packages: &[(PackageId, String)]) -> Result<VendorChanges, InstallError> {
        let vendored =
            self.root.make_directory(VENDORED.as_ref()).map_err(cannot_write(VENDORED))?;
        remove_unfinished(&vendored, VENDORED)?;
        let attributes = Path::new(ATTRIBUTES);
        if !packages.is_empty() && vendored.regular_file(attributes).is_err() {
            let content = AS_THEY_ARE.as_bytes();
            vendored.write_file(attributes, content).map_err(cannot_write(VENDORED))?;
        }
        let mut changes = VendorChanges::default();
        let mut keep = Vec::new();
        for (id, expected) in packages {
            let name = directory_name(id, expected);
            let there = verify(&self.project, &Path::new(VENDORED).join(&name), expected);
            if there.is_err() {
                let installed = verify(&self.project, &Path::new(PACKAGES).join(&name), expected);
                let files = installed.and_then(|package| read(&package));
                let files =
                    files.map_err(|error| InstallError::Package { id: id.clone(), error })?;
                let (directory, _) = self.place(&vendored, VENDORED, id, &files)?;
                changes.copied.push(directory);
            }
            keep.push(name);
        }
        for name in names(&vendored, VENDORED)? {
            if !keep.contains(&name) && is_package(&vendored, &name) {
                take_away(&vendored, VENDORED, &name)?;
                changes.removed.push(Path::new(VENDORED).join(name));
            }
        }
        Ok(changes)
    }

    /// Returns whether `vendor/` has packages.
    ///
    /// # Errors
    /// [`InstallError`] if the directory cannot be read.
    pub fn has_vendored(&self) -> Result<bool, InstallError> {
        let Ok(vendored) = self.root.directory(VENDORED.as_ref()) else { return Ok(false) };
        Ok(names(&vendored, VENDORED)?.iter().any(|name| is_package(&vendored, name)))
    }

    /// Writes a package into `parent`, which errors call `shown`. Returns its directory, and whether
    /// it was written.
    fn place(
        &self,
        parent: &Directory,
        shown: &str,
        id: &PackageId,
        files: &PackageFiles,
    ) -> Result<(PathBuf, bool), InstallError> {
        let listing = files.listing();
        let expected = listing.hash();
        let name = directory_name(id, &expected);
        let directory = Path::new(shown).join(&name);
        if verify(&self.project, &directory, &expected).is_ok() {
            return Ok((directory, false));
        }
        let unfinished = format!("{UNFINISHED}{name}");
        let failed = cannot_write(&format!("{shown}/{name}"));
        let written = write_package(parent, shown, &unfinished, files, &listing)
            .and_then(|()| take_away(parent, shown, &name))
            .and_then(|()| parent.rename(unfinished.as_ref(), name.as_ref()).map_err(failed));
        if let Err(error) = written {
            // If it stays, the next writer removes it.
            let _ = parent.remove_all(unfinished.as_ref());
            return Err(error);
        }
        verify(&self.project, &directory, &expected)
            .map(|_| (directory, true))
            .map_err(|error| InstallError::Changed { id: id.clone(), error })
    }
}

/// Writes the files of a package into the new directory `name` of `parent`, which errors call
/// `shown`.
fn write_package(
    parent: &Directory,
    shown: &str,
    name: &str,
    files: &PackageFiles,
    listing: &Listing,
) -> Result<(), InstallError> {
    let failed = |path: &str| {
        let path = format!("{shown}/{name}/{path}");
        move |error| cannot_write(&path)(error)
    };
    parent.remove_all(name.as_ref()).map_err(failed(""))?;
    let directory = parent.make_directory(name.as_ref()).map_err(failed(""))?;
    let content = directory.make_directory(FILES.as_ref()).map_err(failed(FILES))?;
    for (path, bytes) in files.iter() {
        content
            .create_file(path.as_ref(), bytes)
            .map_err(|error| failed(&format!("{FILES}/{path}"))(error))?;
    }
    let text = listing.text();
    directory.create_file(LISTING.as_ref(), text.as_bytes()).map_err(failed(LISTING))
}

/// Reads all files of a package that has been checked, and checks what was read.
fn read(package: &VerifiedPackage) -> Result<PackageFiles, StoreError> {
    package
        .listing
        .paths()
        .map(|path| {
            let unreadable = |reason: &dyn fmt::Display| StoreError::Unreadable {
                path: path.into(),
                reason: reason.to_string(),
            };
            let opened = package.files.regular_file(path.as_ref());
            let (file, _) = opened.map_err(|error| unreadable(&error))?;
            let mut bytes = Vec::new();
            let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
            read.map_err(|error| unreadable(&error))?;
            match package.listing.file_hash(path) == Some(&hash(&bytes)) {
                true => Ok((path.to_string(), bytes)),
                false => Err(StoreError::Differs(path.into())),
            }
        })
        .collect()
}

/// Returns whether `smbench lib vendor` made this directory: by its name, its listing and its
/// files.
fn is_package(parent: &Directory, name: &str) -> bool {
    let has_hash = name.rsplit_once('-').is_some_and(|(_, hash)| {
        hash.len() == SHORT_HASH && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let Ok(directory) = parent.directory(name.as_ref()) else { return false };
    has_hash
        && directory.kind(FILES.as_ref()) == Some(EntryKind::Directory)
        && listed_hash(&directory).is_some_and(|hash| name.ends_with(&hash[..SHORT_HASH]))
}

/// Returns the hash of the listing in the directory of a package; None if it has none.
fn listed_hash(directory: &Directory) -> Option<String> {
    let (file, size) = directory.regular_file(LISTING.as_ref()).ok()?;
    let mut text = String::new();
    file.take(size.min(MAX_FILE_BYTES)).read_to_string(&mut text).ok()?;
    Listing::parse(&text).ok()?;
    Some(hash(text.as_bytes()))
}

/// Removes a directory at once: first its name, and then its content.
fn take_away(parent: &Directory, shown: &str, name: &str) -> Result<(), InstallError> {
    let failed = || cannot_write(&format!("{shown}/{name}"));
    if parent.kind(name.as_ref()).is_none() {
        return Ok(());
    }
    let going = format!("{UNFINISHED}removed");
    parent.remove_all(going.as_ref()).map_err(failed())?;
    parent.rename(name.as_ref(), going.as_ref()).map_err(failed())?;
    parent.remove_all(going.as_ref()).map_err(failed())
}

fn remove_unfinished(parent: &Directory, shown: &str) -> Result<(), InstallError> {
    for name in names(parent, shown)? {
        if name.starts_with(UNFINISHED) {
            let path = format!("{shown}/{name}");
            parent.remove_all(name.as_ref()).map_err(cannot_write(&path))?;
        }
    }
    Ok(())
}

fn names(directory: &Directory, shown: &str) -> Result<Vec<String>, InstallError> {
    let mut names = directory
        .file_names(".".as_ref(), MAX_NAMES)
        .map_err(|error| cannot_write(shown)(OpenError::Unreadable(error)))?;
    names.sort();
    Ok(names)
}

fn cannot_write(path: &str) -> impl Fn(OpenError) -> InstallError + use<> {
    let path = printable(path, 200);
    move |error| InstallError::Write { path: path.clone(), error }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn id(name: &str) -> PackageId {
        PackageId { name: name.into(), version: semver::Version::new(1, 2, 0) }
    }

    fn files(pairs: &[(&str, &str)]) -> PackageFiles {
        pairs.iter().map(|(path, text)| (path.to_string(), text.as_bytes().to_vec())).collect()
    }

    fn names_in(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_package_is_installed_once_and_verifies() {
        let place = tempfile::tempdir().unwrap();
        let package = files(&[("smbench.toml", "x"), ("a/b/c.lua", "return 1"), ("a/d.lua", "")]);
        let held = hold(place.path()).unwrap();
        let directory = held.install(&id("acme/office"), &package).unwrap();
        let hash = package.listing().hash();
        let expected = format!(".smbench/packages/acme-office-1.2.0-{}", &hash[..8]);
        assert_eq!(directory, Path::new(&expected));
        let file = place.path().join(&directory).join("library/a/b/c.lua");
        let first = fs::metadata(&file).unwrap();
        assert_eq!(first.permissions().mode() & 0o111, 0);
        assert_eq!(held.install(&id("acme/office"), &package).unwrap(), directory);
        let second = fs::metadata(&file).unwrap();
        assert_eq!(first.modified().unwrap(), second.modified().unwrap());
        assert_eq!(names_in(&place.path().join(PACKAGES)).len(), 1);
    }

    #[test]
    fn a_changed_package_is_replaced_and_so_is_a_link_in_its_place() {
        let place = tempfile::tempdir().unwrap();
        let package = files(&[("a.lua", "return 1")]);
        let held = hold(place.path()).unwrap();
        let directory = place.path().join(held.install(&id("a"), &package).unwrap());
        fs::write(directory.join("library/a.lua"), "return 2").unwrap();
        fs::write(directory.join("library/b.lua"), "return 2").unwrap();
        held.install(&id("a"), &package).unwrap();
        assert_eq!(names_in(&directory.join("library")), ["a.lua"]);
        assert_eq!(fs::read_to_string(directory.join("library/a.lua")).unwrap(), "return 1");
        let other = place.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("kept"), "").unwrap();
        fs::remove_dir_all(&directory).unwrap();
        symlink(&other, &directory).unwrap();
        held.install(&id("a"), &package).unwrap();
        assert!(directory.symlink_metadata().unwrap().is_dir());
        assert_eq!(names_in(&other), ["kept"]);
    }

    #[test]
    fn leftovers_of_an_interrupted_writer_are_removed() {
        let place = tempfile::tempdir().unwrap();
        let left = place.path().join(PACKAGES).join(format!("{UNFINISHED}a-1.2.0-12345678"));
        fs::create_dir_all(left.join("library")).unwrap();
        drop(hold(place.path()).unwrap());
        assert!(!left.exists());
        assert_eq!(names_in(&place.path().join(OWN)), ["lock", "packages"]);
    }

    #[test]
    fn one_writer_waits_for_another_and_then_says_so() {
        let place = tempfile::tempdir().unwrap();
        let held = hold(place.path()).unwrap();
        let second = hold_within(place.path(), Duration::from_millis(10)).unwrap_err();
        assert!(second.to_string().starts_with("another smbench lib is at work"), "{second}");
        drop(held);
        hold_within(place.path(), Duration::from_millis(10)).unwrap();
    }

    #[test]
    fn links_in_place_of_the_own_directories_are_refused() {
        for (link, inside) in
            [(".smbench", "src"), (".smbench/packages", "../src"), ("vendor", "src")]
        {
            for is_outside in [true, false] {
                let place = tempfile::tempdir().unwrap();
                let (project, other) = (place.path().join("p"), place.path().join("other"));
                let source = project.join("src");
                for directory in [&other, &source] {
                    fs::create_dir_all(directory.join("precious")).unwrap();
                }
                let at = project.join(link);
                fs::create_dir_all(at.parent().unwrap()).unwrap();
                symlink(if is_outside { &other } else { Path::new(inside) }, &at).unwrap();
                let result = hold(&project).and_then(|held| {
                    held.remove_others(&[])?;
                    held.vendor(&[])
                });
                let problem = result.unwrap_err().to_string();
                assert!(problem.starts_with(&format!("cannot write {link}: ")), "{problem}");
                assert_eq!(names_in(&other), ["precious"]);
                assert_eq!(names_in(&source), ["precious"]);
            }
        }
    }

    #[test]
    fn packages_that_the_lock_does_not_name_are_removed() {
        let place = tempfile::tempdir().unwrap();
        let held = hold(place.path()).unwrap();
        let kept = held.install(&id("kept"), &files(&[("a", "1")])).unwrap();
        let gone = held.install(&id("gone"), &files(&[("a", "2")])).unwrap();
        let other = place.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("file"), "").unwrap();
        symlink(&other, place.path().join(&gone).join("library/link")).unwrap();
        assert_eq!(held.remove_others(std::slice::from_ref(&kept)).unwrap(), [gone]);
        let left = names_in(&place.path().join(PACKAGES));
        assert_eq!(left, [kept.file_name().unwrap().to_str().unwrap()]);
        assert_eq!(names_in(&other), ["file"]);
    }

    #[test]
    fn vendor_has_the_packages_of_the_lock_and_everything_else_that_was_there() {
        let place = tempfile::tempdir().unwrap();
        let held = hold(place.path()).unwrap();
        let (one, two) = (files(&[("a/b.lua", "1")]), files(&[("a", "2")]));
        held.install(&id("one"), &one).unwrap();
        held.install(&id("two"), &two).unwrap();
        let both = [(id("one"), one.listing().hash()), (id("two"), two.listing().hash())];
        let changes = held.vendor(&both).unwrap();
        assert_eq!((changes.copied.len(), changes.removed.len()), (2, 0));
        assert_eq!(held.vendor(&both).unwrap(), VendorChanges::default());
        let vendor = place.path().join("vendor");
        for own in ["mine/library", "notes-12345678/library", "-abcdefgh/library"] {
            fs::create_dir_all(vendor.join(own)).unwrap();
        }
        fs::write(vendor.join("mine/files"), "").unwrap();
        fs::write(vendor.join("README-12345678"), "").unwrap();
        let first = place.path().join(&changes.copied[0]);
        fs::write(first.join("library/a/b.lua"), "changed").unwrap();
        let changed = held.vendor(&both[..1]).unwrap();
        assert_eq!(changed.copied, changes.copied[..1]);
        assert_eq!(changed.removed, changes.copied[1..]);
        assert_eq!(fs::read_to_string(first.join("library/a/b.lua")).unwrap(), "1");
        assert_eq!(names_in(&vendor).len(), 6);
        assert_eq!(fs::read_to_string(vendor.join(ATTRIBUTES)).unwrap(), AS_THEY_ARE);
        let missing = held.vendor(&[(id("none"), "c".repeat(64))]).unwrap_err();
        assert_eq!(missing.to_string(), "none 1.2.0: its files are not in .smbench/packages");
    }
}
