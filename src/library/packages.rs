//! The libraries of a project as `require` finds them: the package of each alias, with its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::fit::{check_package, fitting_lock};
use super::listing::{self, Listing, MAX_BYTES, MAX_FILE_BYTES, MAX_FILES};
use super::lock::{LOCK, Lock, LockedSource, PackageId, Reference};
use super::store::{self, FILES, LISTING, StoreError, VENDORED};
use crate::ir::directory::{Directory, OpenError, regular_file};
use crate::ir::source::UsedPackage;
use crate::observability::text::printable;
use crate::project::manifest::Manifest;

/// Maximum number of libraries of which each is used by the one before it.
const MAX_LEVELS: usize = 64;

/// Maximum number of characters of a path that an error quotes.
const MAX_SHOWN: usize = 200;

/// The endings of the files of a library from a directory whose content is recorded.
const RECORDED: [&str; 3] = ["lua", "luau", "toml"];

/// The aliases of a project or a package, with the numbers of the packages.
type Aliases = BTreeMap<String, usize>;

/// The packages that a project uses. They are numbered, those with the fewest aliases on the way to
/// them first.
#[derive(Debug, Default)]
pub struct Packages {
    packages: Vec<Package>,
    /// The aliases of the project itself.
    own: Aliases,
}

/// A package whose files can be read.
#[derive(Debug)]
pub struct Package {
    pub id: PackageId,
    /// The shortest chain of aliases that leads to it from the project, with a dot between two.
    pub alias: String,
    /// The directory of its files. No path leads out of it.
    pub directory: Directory,
    /// The real path of this directory.
    pub root: PathBuf,
    /// The path of this directory from that of the project.
    pub place: PathBuf,
    /// Its files; None if it is read from a directory whose content is not pinned.
    pub listing: Option<Listing>,
    aliases: Aliases,
    source: LockedSource,
    /// The hash that stands for its files.
    hash: String,
}

impl Packages {
    /// Opens the packages that `manifest`, the manifest of the project in `project`, and the lock
    /// beside it name, and checks the files of those from repositories. `read` is called with each
    /// file whose change may change the result.
    ///
    /// # Errors
    /// A message if the lock is missing or does not fit, or if a package is missing or differs.
    pub fn load(
        project: &Path,
        manifest: &Manifest,
        read: &mut dyn FnMut(&Path),
    ) -> Result<Packages, String> {
        let Some(lock) = fitting_lock(project, manifest, read)? else {
            return Ok(Packages::default());
        };
        let shown = Path::new(&manifest.shown).with_file_name(LOCK).display().to_string();
        let (numbers, found) = number(&lock, &shown)?;
        let numbered = |aliases: &BTreeMap<String, PackageId>| -> Aliases {
            aliases.iter().map(|(alias, id)| (alias.clone(), numbers[id])).collect()
        };
        let mut own = numbered(&lock.dependencies);
        own.extend(numbered(&lock.dev_dependencies));
        let mut packages = Packages { packages: Vec::new(), own };
        for (id, alias) in found {
            let locked = &lock.packages[id];
            let aliases = numbered(&locked.dependencies);
            let opened = match &locked.source {
                LockedSource::Repository { hash, .. } => {
                    let opened = from_repository(project, id, hash, read);
                    opened.and_then(|opened| {
                        check_package(&lock, id, locked, &opened.directory).map(|()| opened)
                    })
                }
                LockedSource::Path(path) => from_directory(project, id, path),
            };
            let Opened { directory, root, place, listing, hash } =
                opened.map_err(|problem| format!("{}: {problem}", manifest.shown))?;
            packages.packages.push(Package {
                id: id.clone(),
                alias,
                directory,
                root,
                place,
                listing,
                aliases,
                source: locked.source.clone(),
                hash,
            });
        }
        Ok(packages)
    }

    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// Returns the package with this number.
    pub fn get(&self, number: usize) -> &Package {
        &self.packages[number]
    }

    /// Returns the packages in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter()
    }

    /// Returns the aliases that the files of a package can use, or those of the project, with the
    /// numbers of the packages.
    pub fn aliases(&self, of: Option<usize>) -> &BTreeMap<String, usize> {
        of.map_or(&self.own, |number| &self.packages[number].aliases)
    }

    /// Returns the number of the package to which a chain of aliases leads from the project, such as
    /// `office.sizes`.
    pub fn at(&self, chain: &str) -> Option<usize> {
        let mut at = None;
        for alias in chain.split('.') {
            at = Some(*self.aliases(at).get(alias)?);
        }
        at
    }

    /// Returns the record of the packages, from which the same files can be had again.
    pub fn used(&self) -> Vec<UsedPackage> {
        self.packages.iter().map(Package::used).collect()
    }
}

impl Package {
    fn used(&self) -> UsedPackage {
        let mut used = UsedPackage {
            alias: self.alias.clone(),
            name: self.id.name.clone(),
            version: self.id.version.to_string(),
            hash: self.hash.clone(),
            ..UsedPackage::default()
        };
        match self.source.clone() {
            LockedSource::Repository { repo, reference, commit, .. } => {
                (used.repo, used.commit) = (Some(repo), Some(commit));
                match reference {
                    Reference::Tag(tag) => used.tag = Some(tag),
                    Reference::Revision(revision) => used.rev = Some(revision),
                }
            }
            LockedSource::Path(path) => used.path = Some(path),
        }
        used
    }

    /// Opens a file of the package. None if it has no such file.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn file(&self, path: &Path) -> Result<Option<File>, OpenError> {
        let listed =
            |listing: &Listing| path.to_str().is_some_and(|path| listing.file_hash(path).is_some());
        if self.listing.as_ref().is_some_and(|listing| !listed(listing)) {
            return Ok(None);
        }
        match self.directory.regular_file(path) {
            Ok((file, _)) => Ok(Some(file)),
            Err(OpenError::Unreadable(error))
                if self.listing.is_none()
                    && matches!(
                        error.kind(),
                        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                    ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns whether the file at `path` may have this content: that of the listing, if there is
    /// one.
    pub fn may_have(&self, path: &Path, content: &[u8]) -> bool {
        self.listing.as_ref().is_none_or(|listing| {
            let expected = path.to_str().and_then(|path| listing.file_hash(path));
            expected == Some(&listing::hash(content))
        })
    }
}

/// The packages that the project uses, each with the shortest chain of aliases that leads to it.
type Found<'a> = Vec<(&'a PackageId, String)>;

/// Numbers the packages of a lock that the project uses, and returns the numbers too.
fn number<'a>(
    lock: &'a Lock,
    shown: &str,
) -> Result<(BTreeMap<&'a PackageId, usize>, Found<'a>), String> {
    let mut numbers = BTreeMap::new();
    let mut found = Vec::new();
    let own = lock.dependencies.iter().chain(&lock.dev_dependencies);
    let mut next: Found = own.map(|(alias, id)| (id, alias.clone())).collect();
    // Packages to which a chain of this length leads, then those of the next one.
    for _ in 0..MAX_LEVELS {
        let first = found.len();
        for (id, alias) in next {
            if !numbers.contains_key(id) {
                numbers.insert(id, found.len());
                found.push((id, alias));
            }
        }
        next = Vec::new();
        let mut known = BTreeSet::new();
        for (id, alias) in &found[first..] {
            for (further, used) in &lock.packages[id].dependencies {
                if !numbers.contains_key(used) && known.insert(used) {
                    next.push((used, format!("{alias}.{further}")));
                }
            }
        }
        if next.is_empty() {
            return Ok((numbers, found));
        }
    }
    Err(format!("{shown}: libraries use one another more than {MAX_LEVELS} levels deep"))
}

/// Returns whether a directory is that of a vendored package, whose files are no part of the project.
pub fn is_vendored(directory: &Path) -> bool {
    directory.parent().is_some_and(|parent| parent.ends_with(VENDORED))
        && directory.join(LISTING).is_file()
        && directory.join(FILES).is_dir()
}

/// The files of a package.
struct Opened {
    directory: Directory,
    /// The real path of the directory.
    root: PathBuf,
    /// The path of the directory from that of the project.
    place: PathBuf,
    listing: Option<Listing>,
    hash: String,
}

fn from_repository(
    project: &Path,
    id: &PackageId,
    hash: &str,
    read: &mut dyn FnMut(&Path),
) -> Result<Opened, String> {
    let directory = store::package_directory(project, id, hash);
    read(&project.join(&directory).join(LISTING));
    let verified = store::verify(project, &directory, hash).map_err(|error| {
        let restore = store::restoring(&directory);
        let problem = match &error {
            StoreError::Missing => "is not installed: run smbench lib sync".into(),
            StoreError::Differs(file)
            | StoreError::FileMissing(file)
            | StoreError::FileAdded(file)
            | StoreError::Unreadable { path: file, .. } => {
                read(&project.join(file));
                format!(
                    "cannot be used: {}; {restore}",
                    printable(&error.to_string(), 2 * MAX_SHOWN)
                )
            }
        };
        format!("the library {id} {problem}")
    })?;
    Ok(Opened {
        directory: verified.files,
        root: project.join(&directory).join(FILES),
        place: directory.join(FILES),
        listing: Some(verified.listing),
        hash: hash.into(),
    })
}

/// Opens the files of a library in a directory, whose manifest fits the lock.
fn from_directory(project: &Path, id: &PackageId, path: &str) -> Result<Opened, String> {
    let root = real(&project.join(path));
    let named =
        |problem: &str| format!("the library {id} in {} {problem}", printable(path, MAX_SHOWN));
    let directory =
        Directory::open(&root).map_err(|error| named(&format!("cannot be opened: {error}")))?;
    let hash = hash_of_directory(&root).map_err(|problem| named(&problem))?;
    Ok(Opened { directory, root, place: path.into(), listing: None, hash })
}

/// Returns the path without symbolic links and `..`, or as it is if nothing is there.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.into())
}

/// Returns the hash of the files of a library in a directory, with their paths. What begins with a
/// dot, and vendored libraries, are no part of it.
fn hash_of_directory(root: &Path) -> Result<String, String> {
    let is_part = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || !name.starts_with('.') && (entry.depth() > 1 || *name != *VENDORED)
    };
    let mut hashes = BTreeMap::new();
    let (mut entries, mut bytes) = (0, 0);
    for entry in WalkDir::new(root).into_iter().filter_entry(is_part) {
        let entry = entry.map_err(|error| format!("cannot be read: {error}"))?;
        entries += 1;
        if entries > 4 * MAX_FILES {
            return Err(format!(
                "has more than {} files and directories; put it into a directory of its own",
                4 * MAX_FILES
            ));
        }
        let extension = entry.path().extension().and_then(|extension| extension.to_str());
        if !entry.file_type().is_file() || !extension.is_some_and(|it| RECORDED.contains(&it)) {
            continue;
        }
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_string_lossy();
        let cannot = |reason: &dyn std::fmt::Display| format!("cannot be read: {path}: {reason}");
        let (file, _) = regular_file(entry.path()).map_err(|error| cannot(&error))?;
        let mut content = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(|error| cannot(&error))?;
        bytes += content.len() as u64;
        if content.len() as u64 > MAX_FILE_BYTES || bytes > MAX_BYTES || hashes.len() == MAX_FILES {
            return Err(format!(
                "is too large: a library has at most {MAX_FILES} files of {MAX_FILE_BYTES} bytes, and {MAX_BYTES} bytes in total"
            ));
        }
        hashes.insert(path.into_owned(), listing::hash(&content));
    }
    let text: String = hashes.iter().map(|(path, hash)| format!("{hash}  {path}\n")).collect();
    Ok(listing::hash(text.as_bytes()))
}
