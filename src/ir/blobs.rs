//! The files whose bytes a workload writes: which may be used, and how their bytes are at hand
//! before the writes are due.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::directory::{Directory, OpenError};

/// The reason why a blob cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("is relative; a version 1 document needs absolute paths")]
    Relative,
    /// Anywhere, also within a name: the specification's rule for `blob_path`.
    #[error("contains \"..\"; write the path without it")]
    Parent,
    #[error(
        "is in {}, whose path contains \"..\", which no blob's path may; move the workload to a directory of another name",
        .0.display()
    )]
    ParentInBase(PathBuf),
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("is not a regular file")]
    NotAFile,
    /// A path outside of the allowed directories. The error does not reveal whether there is
    /// such a file.
    #[error(
        "is outside of {}, or a symbolic link leads there; allow its directory with --allow-blobs, and name it by its path in that directory",
        named(.0)
    )]
    Outside(PathBuf),
    #[error("is not read, because no directory is known that it may come from")]
    NoDirectory,
    #[error("has {size} bytes, but the write wants {length}")]
    TooShort { size: u64, length: u64 },
}

/// A directory as the user gave it.
fn named(directory: &Path) -> String {
    match directory.to_str() {
        Some("" | ".") => "the current directory".into(),
        _ => directory.display().to_string(),
    }
}

/// The directories that blobs may come from. They stay open, and a blob is
/// opened from one of them, so that nothing outside is ever read: see
/// [`Directory`].
#[derive(Debug)]
pub struct BlobDirectories {
    /// The workload's own directory, as the user gave it.
    workload: PathBuf,
    /// The open directories by absolute path. A directory may have several paths.
    directories: Vec<(PathBuf, Arc<Directory>)>,
}

impl BlobDirectories {
    /// Opens the directory of the script or document, and those that the command
    /// line allows beyond it.
    ///
    /// # Errors
    /// The directory that cannot be opened, and the operating system's reason.
    pub fn open(
        workload: &Path,
        more: &[PathBuf],
    ) -> Result<Arc<BlobDirectories>, (PathBuf, io::Error)> {
        let mut found = BlobDirectories { workload: PathBuf::new(), directories: Vec::new() };
        for directory in std::iter::once(workload).chain(more.iter().map(PathBuf::as_path)) {
            found.add(directory).map_err(|error| (directory.to_path_buf(), error))?;
        }
        found.workload = workload.to_path_buf();
        Ok(Arc::new(found))
    }

    fn add(&mut self, directory: &Path) -> io::Result<()> {
        let given = std::path::absolute(if directory.as_os_str().is_empty() {
            ".".as_ref()
        } else {
            directory
        })?;
        let opened = Arc::new(Directory::open(&given)?);
        let real = given.canonicalize()?;
        // A symbolic link may be the name by which a directory is allowed, so that name counts
        // as well.
        let in_its_parent = match (given.parent(), given.file_name()) {
            (Some(parent), Some(name)) => parent.canonicalize()?.join(name),
            _ => real.clone(),
        };
        for name in [real, in_its_parent, given] {
            if !self.directories.iter().any(|(known, _)| *known == name) {
                self.directories.push((name, Arc::clone(&opened)));
            }
        }
        Ok(())
    }

    /// Returns the absolute path of a blob. A relative path is relative to `base`, and is an
    /// error without it. The file system is not accessed.
    ///
    /// # Errors
    /// [`BlobError`] for a path that cannot be in one of the directories.
    pub fn resolve(&self, path: &str, base: Option<&Path>) -> Result<Arc<Path>, BlobError> {
        if path.contains("..") {
            return Err(BlobError::Parent);
        }
        let path = Path::new(path);
        let joined = match (path.is_absolute(), base) {
            (true, _) => path.to_path_buf(),
            // A document that is compiled from this holds the whole path.
            (false, Some(base)) if base.to_string_lossy().contains("..") => {
                return Err(BlobError::ParentInBase(base.to_path_buf()));
            }
            (false, Some(base)) => base.join(path),
            (false, None) => return Err(BlobError::Relative),
        };
        self.directory_of(&joined)?;
        Ok(joined.into())
    }

    /// Returns the innermost directory that contains the path, and the rest of the path.
    fn directory_of<'p>(&self, path: &'p Path) -> Result<(&Directory, &'p Path), BlobError> {
        let directories = self.directories.iter();
        directories
            .filter_map(|(name, directory)| Some((&**directory, path.strip_prefix(name).ok()?)))
            .min_by_key(|(_, rest)| rest.components().count())
            .ok_or_else(|| self.outside())
    }

    fn outside(&self) -> BlobError {
        BlobError::Outside(self.workload.clone())
    }

    /// Opens a regular file that has at least `length` bytes. Returns it and its size.
    fn file(&self, path: &Path, length: u64) -> Result<(File, u64), BlobError> {
        let (directory, rest) = self.directory_of(path)?;
        if rest.as_os_str().is_empty() {
            return Err(BlobError::NotAFile);
        }
        let (file, size) = directory.regular_file(rest).map_err(|error| match error {
            OpenError::Outside => self.outside(),
            OpenError::NotAFile => BlobError::NotAFile,
            OpenError::Unreadable(error) => BlobError::Unreadable(error),
        })?;
        long_enough(size, length)?;
        Ok((file, size))
    }

    /// Reads the first `length` bytes of a blob from one open file, which is checked after it
    /// was opened.
    ///
    /// # Errors
    /// [`BlobError`], also if the file is truncated while it is read.
    pub fn read(&self, path: &Path, length: u64) -> Result<Bytes, BlobError> {
        let (file, _) = self.file(path, length)?;
        let mut data = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.take(length).read_to_end(&mut data).map_err(BlobError::Unreadable)?;
        long_enough(data.len() as u64, length)?;
        Ok(data.into())
    }
}

fn long_enough(size: u64, length: u64) -> Result<(), BlobError> {
    if size < length { Err(BlobError::TooShort { size, length }) } else { Ok(()) }
}

/// A file whose bytes are written.
#[derive(Debug, Serialize, Deserialize)]
pub struct Blob {
    /// The absolute path.
    pub path: Arc<Path>,
    /// The directories that it may come from. Without them it cannot be read.
    #[serde(skip)]
    directories: OnceLock<Arc<BlobDirectories>>,
    /// The bytes, filled in off the timed path by the thread that feeds the scheduler.
    #[serde(skip)]
    data: OnceLock<Bytes>,
}

impl Blob {
    /// Creates a blob that a [`BlobCache`] fills or binds.
    pub fn new(path: impl Into<Arc<Path>>) -> Blob {
        Blob { path: path.into(), directories: OnceLock::new(), data: OnceLock::new() }
    }

    /// Allows the blob to be read from these directories.
    pub fn bind(&self, directories: &Arc<BlobDirectories>) {
        self.directories.get_or_init(|| Arc::clone(directories));
    }

    /// Sets the bytes that are written, unless they are set.
    fn fill(&self, data: Bytes) {
        self.data.get_or_init(|| data);
    }

    /// Returns the bytes, if they are at hand.
    pub fn data(&self) -> Option<&Bytes> {
        self.data.get()
    }

    /// Reads the first `length` bytes of the file as it is now.
    ///
    /// # Errors
    /// [`BlobError`] if the file is not one that may be used, cannot be read or is too short.
    pub fn read(&self, length: u64) -> Result<Bytes, BlobError> {
        match self.directories.get() {
            Some(directories) => directories.read(&self.path, length),
            None => Err(BlobError::NoDirectory),
        }
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Blob) -> bool {
        self.path == other.path
    }
}

/// The checks of a document's blobs. Each blob is checked once and not for each write.
pub struct BlobChecks {
    directories: Arc<BlobDirectories>,
    /// The directory that relative paths are relative to; none in version 1.
    base: Option<PathBuf>,
    checked: HashMap<String, (Arc<Path>, u64)>,
}

const MAX_CHECKED: usize = 1 << 14;

impl BlobChecks {
    pub fn new(directories: Arc<BlobDirectories>, base: Option<PathBuf>) -> BlobChecks {
        BlobChecks { directories, base, checked: HashMap::new() }
    }

    /// Returns the absolute path of a blob that may be used and has at least
    /// `length` bytes.
    ///
    /// # Errors
    /// [`BlobError`].
    pub fn check(&mut self, path: &str, length: u64) -> Result<Arc<Path>, BlobError> {
        if let Some((resolved, size)) = self.checked.get(path) {
            return long_enough(*size, length).map(|()| Arc::clone(resolved));
        }
        let resolved = self.directories.resolve(path, self.base.as_deref())?;
        let (_, size) = self.directories.file(&resolved, length)?;
        if self.checked.len() >= MAX_CHECKED {
            self.checked.clear();
        }
        self.checked.insert(path.to_string(), (Arc::clone(&resolved), size));
        Ok(resolved)
    }
}

/// The bytes of blobs that one stream keeps alive.
pub const BLOB_BUDGET: u64 = 256 << 20;

/// The bytes of blobs, shared by the operations that write them. The thread that feeds the
/// scheduler has the cache, so that reading a file never counts as server latency.
pub struct BlobCache {
    directories: Arc<BlobDirectories>,
    budget: u64,
    held: u64,
    files: HashMap<Arc<Path>, Bytes>,
    /// The paths of `files`, oldest first.
    order: VecDeque<Arc<Path>>,
}

impl BlobCache {
    /// Creates a cache that keeps at most `budget` bytes alive.
    pub fn new(directories: Arc<BlobDirectories>, budget: u64) -> BlobCache {
        let (files, order) = (HashMap::new(), VecDeque::new());
        BlobCache { directories, budget, held: 0, files, order }
    }

    /// Reads the first `length` bytes of a blob that is to be written. The blob stays without
    /// them if operations still to be issued use up the budget, or if the file cannot be read.
    /// The code that issues the write then reads the file, and reports what is wrong with it.
    pub fn fill(&mut self, blob: &Blob, length: u64) {
        blob.bind(&self.directories);
        if let Ok(Some(data)) = self.bytes(&blob.path, length) {
            blob.fill(data);
        }
    }

    /// Returns the blob at `path`, which is [resolved](BlobDirectories::resolve), with its
    /// first `length` bytes if the budget has room for them.
    ///
    /// # Errors
    /// [`BlobError`].
    pub fn blob(&mut self, path: Arc<Path>, length: u64) -> Result<Blob, BlobError> {
        let blob = Blob::new(path);
        blob.bind(&self.directories);
        match self.bytes(&blob.path, length)? {
            Some(data) => blob.fill(data),
            None => drop(self.directories.file(&blob.path, length)?),
        }
        Ok(blob)
    }

    /// Returns the first `length` bytes of the file at `path`, or none if the budget is used up.
    fn bytes(&mut self, path: &Arc<Path>, length: u64) -> Result<Option<Bytes>, BlobError> {
        let Ok(wanted) = usize::try_from(length) else { return Ok(None) };
        match self.files.get(path) {
            Some(data) if data.len() >= wanted => return Ok(Some(data.slice(..wanted))),
            // The old bytes are still in use. Two copies would be alive, and only one counted.
            Some(data) if !data.is_unique() => return Ok(None),
            Some(_) => {
                self.forget(path);
                self.order.retain(|entry| entry != path);
            }
            None => {}
        }
        if !self.make_room(length) {
            return Ok(None);
        }
        let data = self.directories.read(path, length)?;
        self.held += length;
        self.files.insert(Arc::clone(path), data.clone());
        self.order.push_back(Arc::clone(path));
        Ok(Some(data))
    }

    /// Drops the oldest files that no operation holds until `wanted` bytes fit. Returns
    /// whether they do.
    fn make_room(&mut self, wanted: u64) -> bool {
        for _ in 0..self.order.len() {
            if self.held + wanted <= self.budget {
                break;
            }
            let Some(path) = self.order.pop_front() else { break };
            match self.files.get(&path) {
                Some(data) if !data.is_unique() => self.order.push_back(path),
                _ => self.forget(&path),
            }
        }
        self.held + wanted <= self.budget
    }

    /// Drops a file. Its entry of `order` is dropped when its turn comes.
    fn forget(&mut self, path: &Arc<Path>) {
        self.held -= self.files.remove(path).map_or(0, |data| data.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a blob and the number of bytes that are written of it.
    fn write(path: &Path, length: u64) -> (Blob, u64) {
        (Blob::new(path), length)
    }

    fn fill(cache: &mut BlobCache, (blob, length): &(Blob, u64)) {
        cache.fill(blob, *length);
    }

    fn data((blob, _): &(Blob, u64)) -> Option<&Bytes> {
        blob.data()
    }

    fn file(directory: &tempfile::TempDir, name: &str) -> PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, name.repeat(100)).unwrap();
        path
    }

    fn cache(directory: &tempfile::TempDir, budget: u64) -> BlobCache {
        BlobCache::new(BlobDirectories::open(directory.path(), &[]).unwrap(), budget)
    }

    #[test]
    fn writes_of_one_file_share_its_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let path = file(&directory, "a");
        let mut cache = cache(&directory, 1_000);
        let (long, short) = (write(&path, 100), write(&path, 10));
        fill(&mut cache, &long);
        fill(&mut cache, &short);
        let (long, short) = (data(&long).unwrap(), data(&short).unwrap());
        assert_eq!((long.len(), short.as_ref()), (100, b"aaaaaaaaaa".as_ref()));
        assert_eq!(long.as_ptr(), short.as_ptr());
    }

    #[test]
    fn beyond_the_budget_writes_are_left_to_whoever_issues_them() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (file(&directory, "a"), file(&directory, "b"));
        let mut cache = cache(&directory, 150);
        let first = write(&a, 100);
        fill(&mut cache, &first);
        let second = write(&b, 100);
        fill(&mut cache, &second);
        assert!(data(&first).is_some() && data(&second).is_none());
        assert_eq!(second.0.read(100).unwrap().as_ref(), "b".repeat(100).as_bytes());
        drop(first);
        fill(&mut cache, &second);
        assert_eq!(data(&second).unwrap().as_ref(), "b".repeat(100).as_bytes());
        assert_eq!(cache.held, 100);
    }

    #[test]
    fn a_file_that_is_read_again_for_a_longer_write_is_the_newest_and_listed_once() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (file(&directory, "a"), file(&directory, "b"));
        let mut cache = cache(&directory, 150);
        for (path, length) in [(&a, 50), (&b, 50), (&a, 100)] {
            fill(&mut cache, &write(path, length));
        }
        let listed: Vec<&Path> = cache.order.iter().map(|path| &**path).collect();
        assert_eq!(listed, [b.as_path(), &a]);
        fill(&mut cache, &write(&b, 80));
        assert!(!cache.files.contains_key(a.as_path()), "it is older than b's last read");
    }

    #[test]
    fn a_file_that_is_gone_or_shorter_leaves_the_write_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = file(&directory, "a");
        let mut cache = cache(&directory, 1_000);
        let (gone, short) = (write(&directory.path().join("gone"), 1), write(&path, 101));
        fill(&mut cache, &gone);
        fill(&mut cache, &short);
        assert!(data(&gone).is_none() && data(&short).is_none());
        assert_eq!(cache.held, 0);
    }

    #[test]
    fn a_file_that_replaces_a_checked_one_is_checked_when_it_is_read() {
        let outside = tempfile::tempdir().unwrap();
        let secret = file(&outside, "secret");
        let directory = tempfile::tempdir().unwrap();
        let directories = BlobDirectories::open(directory.path(), &[]).unwrap();
        let mut checks = BlobChecks::new(Arc::clone(&directories), None);
        let mut cache = BlobCache::new(directories, BLOB_BUDGET);
        let fifo = |path: &Path| {
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
            rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
        };
        type Swap<'s> = &'s dyn Fn(&Path);
        let swaps: [(&str, Swap<'_>, &str); 4] = [
            ("a", &|path| std::os::unix::fs::symlink(&secret, path).unwrap(), "is outside of"),
            ("b", &fifo, "is not a regular file"),
            (
                "c",
                &|path| std::fs::write(path, "short").unwrap(),
                "has 5 bytes, but the write wants 100",
            ),
            ("d", &|_| {}, "cannot be read: No such file"),
        ];
        for (name, swap, why) in swaps {
            let path = file(&directory, name);
            let checked = checks.check(path.to_str().unwrap(), 100).unwrap();
            let before = write(&checked, 50);
            fill(&mut cache, &before);
            std::fs::remove_file(&path).unwrap();
            swap(&path);
            let after = write(&checked, 100);
            fill(&mut cache, &after);
            assert!(data(&after).is_none(), "{name}");
            let error = after.0.read(100).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
            // Bytes that were read before do not change.
            assert_eq!(data(&before).unwrap().as_ref(), name.repeat(50).as_bytes());
        }
    }

    #[test]
    fn a_link_in_the_directory_may_itself_be_allowed() {
        let outside = tempfile::tempdir().unwrap();
        file(&outside, "a");
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("data");
        std::os::unix::fs::symlink(outside.path(), &link).unwrap();
        let open = |allowed: &[PathBuf]| {
            let directories = BlobDirectories::open(directory.path(), allowed).unwrap();
            let path = directories.resolve("data/a", Some(directory.path())).unwrap();
            directories.read(&path, 3).map_err(|error| error.to_string())
        };
        assert_eq!(open(std::slice::from_ref(&link)).unwrap(), "aaa");
        assert!(open(&[]).unwrap_err().starts_with("is outside of"));
        assert!(open(&[outside.path().to_path_buf()]).unwrap_err().starts_with("is outside of"));
    }

    #[test]
    fn a_path_that_contains_two_dots_anywhere_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        file(&directory, "a..b");
        let directories = BlobDirectories::open(directory.path(), &[]).unwrap();
        let here = directory.path().canonicalize().unwrap();
        for path in ["../a", "a/../b", "a/..", "a..b", "..a", "a../b", "..."] {
            let relative = directories.resolve(path, Some(&here));
            assert!(matches!(relative, Err(BlobError::Parent)), "{path}");
            let absolute = format!("{}/{path}", here.display());
            let absolute = directories.resolve(&absolute, None);
            assert!(matches!(absolute, Err(BlobError::Parent)), "{path}");
        }
        let odd = here.join("v1..2");
        std::fs::create_dir(&odd).unwrap();
        file(&directory, "v1..2/a");
        let directories = BlobDirectories::open(&odd, &[]).unwrap();
        let error = directories.resolve("a", Some(&odd)).unwrap_err();
        assert!(matches!(&error, BlobError::ParentInBase(base) if *base == odd), "{error}");
    }

    #[test]
    fn a_blob_without_directories_is_never_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = file(&directory, "a");
        assert!(matches!(Blob::new(path).read(1), Err(BlobError::NoDirectory)));
    }
}
