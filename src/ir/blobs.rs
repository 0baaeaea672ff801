//! Files whose bytes a workload writes: which may be used, and having their
//! bytes at hand before they are due.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::operation::{Operation, OperationKind};
use super::payload::{Blob, Payload};

/// Why a blob cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("is relative; a version 1 document needs absolute paths")]
    Relative,
    #[error("contains \"..\"; write the path without it")]
    Parent,
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("is not a regular file")]
    NotAFile,
    #[error("is outside of {}; --allow-blobs with its folder permits it", .0.display())]
    Outside(PathBuf),
    #[error("has {size} bytes, but the write wants {length}")]
    TooShort { size: u64, length: u64 },
}

/// The folders blobs may come from.
pub struct BlobFolders {
    /// Without symbolic links. The first is the workload's own.
    folders: Vec<PathBuf>,
    /// What has been looked up, so that a file is looked up once and not for each write.
    checked: HashMap<String, (Arc<Path>, u64)>,
}

const MAX_CHECKED: usize = 1 << 14;

impl BlobFolders {
    /// `workload` is the folder of the script or document; `more` is what the
    /// command line allows beyond it.
    ///
    /// # Errors
    /// The folder that does not exist, and the operating system's reason.
    pub fn new(workload: &Path, more: &[PathBuf]) -> Result<BlobFolders, (PathBuf, io::Error)> {
        let real = |folder: &Path| {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            folder.canonicalize().map_err(|error| (folder.to_path_buf(), error))
        };
        let folders = std::iter::once(workload).chain(more.iter().map(PathBuf::as_path));
        let folders = folders.map(real).collect::<Result<_, _>>()?;
        Ok(BlobFolders { folders, checked: HashMap::new() })
    }

    /// The real path of a blob that may be used and has at least `length`
    /// bytes. `base` is what a relative path is relative to; without one a
    /// relative path is an error.
    ///
    /// # Errors
    /// [`BlobError`].
    pub fn check(
        &mut self,
        path: &str,
        base: Option<&Path>,
        length: u64,
    ) -> Result<Arc<Path>, BlobError> {
        let (real, size) = match self.checked.get(path) {
            Some((real, size)) => (Arc::clone(real), *size),
            None => {
                let (real, size) = self.look_up(Path::new(path), base)?;
                if self.checked.len() >= MAX_CHECKED {
                    self.checked.clear();
                }
                self.checked.insert(path.to_string(), (Arc::clone(&real), size));
                (real, size)
            }
        };
        if size < length {
            return Err(BlobError::TooShort { size, length });
        }
        Ok(real)
    }

    fn look_up(&self, path: &Path, base: Option<&Path>) -> Result<(Arc<Path>, u64), BlobError> {
        if path.components().any(|component| component == Component::ParentDir) {
            return Err(BlobError::Parent);
        }
        let joined = match (path.is_absolute(), base) {
            (true, _) => path.to_path_buf(),
            (false, Some(base)) => base.join(path),
            (false, None) => return Err(BlobError::Relative),
        };
        let outside = || BlobError::Outside(self.folders[0].clone());
        let inside = |path: &Path| self.folders.iter().any(|folder| path.starts_with(folder));
        // Which files there are elsewhere is nothing a script should learn.
        let real = joined.canonicalize().map_err(|error| {
            let within = inside(&joined) || base.is_some_and(|base| joined.starts_with(base));
            if within { BlobError::Unreadable(error) } else { outside() }
        })?;
        if !inside(&real) {
            return Err(outside());
        }
        // Asked before opening: opening a pipe waits for its other end.
        let metadata = real.metadata().map_err(BlobError::Unreadable)?;
        if !metadata.is_file() {
            return Err(BlobError::NotAFile);
        }
        File::open(&real).map_err(BlobError::Unreadable)?;
        Ok((real.into(), metadata.len()))
    }
}

/// Bytes of blobs, shared by the operations that write them. For the thread
/// that feeds the scheduler: reading a file never counts as server latency.
pub struct BlobCache {
    budget: u64,
    held: u64,
    files: HashMap<Arc<Path>, Bytes>,
    /// Oldest first.
    order: VecDeque<Arc<Path>>,
}

impl Default for BlobCache {
    fn default() -> BlobCache {
        BlobCache::new(256 << 20)
    }
}

impl BlobCache {
    /// At most `budget` bytes are alive through this cache.
    pub fn new(budget: u64) -> BlobCache {
        BlobCache { budget, held: 0, files: HashMap::new(), order: VecDeque::new() }
    }

    /// Puts the first `length` bytes of its blob into a write. The write is
    /// left as it is where the budget is used up by operations still to be
    /// issued, or where the file cannot be read: whoever issues it reads the
    /// file then, and reports what is wrong with it.
    pub fn fill(&mut self, operation: &Operation) {
        let OperationKind::Write { length, payload: Payload::Blob(blob), .. } = &operation.kind
        else {
            return;
        };
        self.fill_blob(blob, *length);
    }

    /// As [`fill`](Self::fill), for a write of `length` bytes.
    pub fn fill_blob(&mut self, blob: &Blob, length: u64) {
        if blob.data.get().is_some() {
            return;
        }
        let Ok(wanted) = usize::try_from(length) else { return };
        if let Some(data) = self.bytes(&blob.path, length)
            && data.len() >= wanted
        {
            // Another thread may have been first, with the same bytes.
            let _ = blob.data.set(data.slice(..wanted));
        }
    }

    fn bytes(&mut self, path: &Arc<Path>, length: u64) -> Option<Bytes> {
        match self.files.get(path) {
            Some(data) if data.len() as u64 >= length => return Some(data.clone()),
            // What is alive twice could not be counted.
            Some(data) if !data.is_unique() => return None,
            Some(_) => self.forget(path),
            None => {}
        }
        if !self.make_room(length) {
            return None;
        }
        let mut data = Vec::new();
        File::open(path).ok()?.take(length).read_to_end(&mut data).ok()?;
        data.shrink_to_fit();
        let data = Bytes::from(data);
        self.held += data.len() as u64;
        self.files.insert(Arc::clone(path), data.clone());
        self.order.push_back(Arc::clone(path));
        Some(data)
    }

    /// Lets go of the oldest files no operation holds until `wanted` bytes fit.
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

    /// An entry of `order` without a file is dropped when its turn comes.
    fn forget(&mut self, path: &Arc<Path>) {
        self.held -= self.files.remove(path).map_or(0, |data| data.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::ir::{Due, Expect, HandleRef, Section};

    fn write(path: &Path, length: u64) -> Operation {
        let blob = Blob { path: path.into(), data: OnceLock::new() };
        let payload = Payload::Blob(Arc::new(blob));
        let kind = OperationKind::Write { handle_ref: HandleRef(0), offset: 0, length, payload };
        let (due, section, expect) = (Due::After(0), Section::Iteration, Expect::Default);
        Operation { client_idx: 0, seq: 0, due, section, iteration: 0, expect, id: None, kind }
    }

    fn data(operation: &Operation) -> Option<&Bytes> {
        match &operation.kind {
            OperationKind::Write { payload: Payload::Blob(blob), .. } => blob.data.get(),
            _ => None,
        }
    }

    fn file(folder: &tempfile::TempDir, name: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, name.repeat(100)).unwrap();
        path
    }

    #[test]
    fn writes_of_one_file_share_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "a");
        let mut cache = BlobCache::default();
        let (long, short) = (write(&path, 100), write(&path, 10));
        cache.fill(&long);
        cache.fill(&short);
        let (long, short) = (data(&long).unwrap(), data(&short).unwrap());
        assert_eq!((long.len(), short.as_ref()), (100, b"aaaaaaaaaa".as_ref()));
        assert_eq!(long.as_ptr(), short.as_ptr());
    }

    #[test]
    fn beyond_the_budget_writes_are_left_to_whoever_issues_them() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (file(&folder, "a"), file(&folder, "b"));
        let mut cache = BlobCache::new(150);
        let first = write(&a, 100);
        cache.fill(&first);
        let second = write(&b, 100);
        cache.fill(&second);
        assert!(data(&first).is_some() && data(&second).is_none());
        drop(first);
        cache.fill(&second);
        assert_eq!(data(&second).unwrap().as_ref(), "b".repeat(100).as_bytes());
        assert_eq!(cache.held, 100);
    }

    #[test]
    fn a_file_that_is_gone_or_shorter_leaves_the_write_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "a");
        let mut cache = BlobCache::default();
        let (gone, short) = (write(&folder.path().join("gone"), 1), write(&path, 101));
        cache.fill(&gone);
        cache.fill(&short);
        assert!(data(&gone).is_none() && data(&short).is_none());
    }
}
