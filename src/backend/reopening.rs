//! Handles that are opened again after a lost connection (`reopen = true` in the options of
//! an open), at the path that this run's renames left their file.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxBuildHasher;

use super::handle_table::HandleTable;
use super::path_order::within;
use crate::ir::{
    CompletionStatus, FileControl, HandleOperation, HandleRef, OpenMode, OpenOperation,
    OperationKind, PathOperation,
};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{CreateParameters, NtStatus, SharePath};

/// The paths of the files whose handles can be reopened, over all clients of a run.
#[derive(Default)]
pub struct KeptPaths {
    /// Number of handles. While there are none, a rename costs one atomic load.
    handles: AtomicUsize,
    paths: Mutex<Paths>,
}

#[derive(Default)]
struct Paths {
    next: u64,
    /// The path of each handle, by number. None if another file took the path.
    of: HashMap<u64, Option<SharePath>>,
    /// The numbers in the order of folded paths, which puts the files of a directory next to each
    /// other.
    by_path: BTreeSet<(Arc<str>, u64)>,
}

impl KeptPaths {
    fn add(&self, path: &SharePath) -> u64 {
        let mut paths = self.paths();
        let number = paths.next;
        paths.next += 1;
        paths.set(number, Some(path.clone()));
        self.handles.fetch_add(1, Ordering::Release);
        number
    }

    fn path(&self, number: u64) -> Option<SharePath> {
        self.paths().of.get(&number)?.clone()
    }

    fn remove(&self, number: u64) {
        let mut paths = self.paths();
        paths.set(number, None);
        paths.of.remove(&number);
        self.handles.fetch_sub(1, Ordering::Release);
    }

    /// Records that a file or directory has a new name, and with it everything in it. A file that
    /// it replaced has no path any more.
    pub fn renamed(&self, from: &SharePath, to: &SharePath) {
        if self.handles.load(Ordering::Acquire) == 0 {
            return;
        }
        let (old, new): (Arc<str>, Arc<str>) = (from.folded().into(), to.folded().into());
        if old == new {
            return;
        }
        let mut paths = self.paths();
        for number in paths.within(&new) {
            paths.set(number, None);
        }
        let depth = from.as_str().split('/').count();
        for number in paths.within(&old) {
            let Some(Some(path)) = paths.of.get(&number) else { continue };
            let below = path.as_str().split('/').skip(depth);
            let moved: Vec<&str> = to.as_str().split('/').chain(below).collect();
            let moved = SharePath::new(&moved.join("/")).ok();
            paths.set(number, moved);
        }
    }

    fn paths(&self) -> MutexGuard<'_, Paths> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Paths {
    fn set(&mut self, number: u64, path: Option<SharePath>) {
        if let Some(Some(old)) = self.of.get(&number) {
            self.by_path.remove(&(old.folded().into(), number));
        }
        if let Some(path) = &path {
            self.by_path.insert((path.folded().into(), number));
        }
        self.of.insert(number, path);
    }

    /// Returns the numbers of the handles at the folded path and below it.
    fn within(&self, path: &Arc<str>) -> Vec<u64> {
        within(&self.by_path, path, 0..=u64::MAX).map(|(_, number)| *number).collect()
    }
}

/// The handles of one client that are opened again after a lost connection.
#[derive(Default)]
pub(super) struct Reopenings {
    paths: Arc<KeptPaths>,
    by_handle: HashMap<HandleRef, Reopening, FxBuildHasher>,
}

struct Reopening {
    /// The number of its path among the [`KeptPaths`].
    number: u64,
    mode: OpenMode,
    asked: Arc<CreateParameters>,
    /// Byte-range locks that the handle has, by offset and length.
    locks: Vec<(u64, u64)>,
    /// Byte-range locks that it lost with a connection and that the stream did not release.
    lost: Vec<(u64, u64)>,
    /// Number of lost locks that no [`Reopened`] has counted.
    uncounted: u32,
    /// The operation at which the connection was lost.
    lost_seq: u32,
}

impl Reopenings {
    pub fn new(paths: Arc<KeptPaths>) -> Reopenings {
        Reopenings { paths, by_handle: HashMap::default() }
    }

    /// Returns whether an open reopens a handle. Otherwise it is an open of the stream.
    fn is_reopening(&self, open: &OpenOperation) -> bool {
        let kept = self.by_handle.get(&open.handle_ref).map(|reopening| &reopening.asked);
        kept.zip(open.extensions.as_ref()).is_some_and(|(kept, asked)| Arc::ptr_eq(kept, asked))
    }

    /// Records that an operation is about to be executed. From here on, a number that is closed or
    /// opened no longer belongs to its old file, whatever the result. If an unlock would release a
    /// lock that was lost, returns the operation that lost it: the unlock is skipped.
    pub fn begins(&mut self, operation: &OperationKind) -> Option<u32> {
        match operation {
            OperationKind::Open(open) if !self.is_reopening(open) => self.forget(open.handle_ref),
            OperationKind::OnHandle(handle_ref, HandleOperation::Close) => self.forget(*handle_ref),
            OperationKind::OnHandle(
                handle_ref,
                HandleOperation::Control(FileControl::Unlock { offset, length }),
            ) => {
                let reopening = self.get_mut(*handle_ref)?;
                return remove(&mut reopening.lost, (*offset, *length))
                    .then_some(reopening.lost_seq);
            }
            _ => {}
        }
        None
    }

    /// Records that operation `cause_seq` lost the connection, and every lock with it.
    pub fn lost(&mut self, cause_seq: u32) {
        for reopening in self.by_handle.values_mut() {
            reopening.uncounted += reopening.locks.len() as u32;
            reopening.lost.append(&mut reopening.locks);
            reopening.lost_seq = cause_seq;
        }
    }

    /// Forgets every handle, because all are closed.
    pub fn clear(&mut self) {
        for (_, reopening) in self.by_handle.drain() {
            self.paths.remove(reopening.number);
        }
    }

    /// Records the result of an operation. An open that timed out may have been granted all the
    /// same.
    pub fn ended(
        &mut self,
        operation: &OperationKind,
        status: &CompletionStatus,
        handles: &HandleTable,
    ) {
        let done = match operation {
            OperationKind::Open(open) => handles.open(open.handle_ref).is_some(),
            _ => *status == CompletionStatus::Succeeded(NtStatus::SUCCESS),
        };
        if done {
            self.note(operation);
        }
    }

    fn note(&mut self, operation: &OperationKind) {
        match operation {
            OperationKind::Open(open) => {
                if self.is_reopening(open) {
                    // The path in [`KeptPaths`] stays, as the file may have been renamed meanwhile.
                    return;
                }
                if let Some(asked) = open.extensions.as_ref().filter(|asked| asked.reopen) {
                    let asked =
                        CreateParameters { disposition: None, ..CreateParameters::clone(asked) };
                    let number = self.paths.add(&open.path);
                    let reopening = Reopening {
                        number,
                        mode: open.mode,
                        asked: Arc::new(asked),
                        locks: Vec::new(),
                        lost: Vec::new(),
                        uncounted: 0,
                        lost_seq: 0,
                    };
                    self.by_handle.insert(open.handle_ref, reopening);
                }
            }
            OperationKind::OnHandle(handle_ref, HandleOperation::Control(control)) => {
                let Some(reopening) = self.get_mut(*handle_ref) else { return };
                match *control {
                    FileControl::Lock { offset, length, .. } => {
                        // A later unlock releases this lock, not the lost one.
                        remove(&mut reopening.lost, (offset, length));
                        reopening.locks.push((offset, length));
                    }
                    FileControl::Unlock { offset, length } => {
                        remove(&mut reopening.locks, (offset, length));
                    }
                    _ => {}
                }
            }
            OperationKind::ByPath(PathOperation::Rename { source_path, dest_path, .. }) => {
                self.paths.renamed(source_path, dest_path);
            }
            _ => {}
        }
    }

    /// Forgets a handle that is closed, or whose number now belongs to another handle.
    fn forget(&mut self, handle_ref: HandleRef) {
        if self.by_handle.is_empty() {
            return;
        }
        if let Some(reopening) = self.by_handle.remove(&handle_ref) {
            self.paths.remove(reopening.number);
        }
    }

    /// Returns the open that opens the handle again, at the present path of its file.
    pub fn open_again(&self, handle_ref: HandleRef) -> Option<OpenOperation> {
        let reopening = self.by_handle.get(&handle_ref)?;
        Some(OpenOperation {
            path: self.paths.path(reopening.number)?,
            mode: reopening.mode,
            disposition: CreateDisposition::Open,
            handle_ref,
            extensions: Some(reopening.asked.clone()),
        })
    }

    /// Returns the number of the handle's lost locks that no [`Reopened`](crate::ir::event::Reopened)
    /// has counted, and counts them as reported.
    pub fn take_lost_locks(&mut self, handle_ref: HandleRef) -> u32 {
        self.get_mut(handle_ref).map_or(0, |reopening| std::mem::take(&mut reopening.uncounted))
    }

    fn get_mut(&mut self, handle_ref: HandleRef) -> Option<&mut Reopening> {
        self.by_handle.get_mut(&handle_ref)
    }
}

/// Removes one lock of this range, and returns whether there was one.
fn remove(locks: &mut Vec<(u64, u64)>, range: (u64, u64)) -> bool {
    let found = locks.iter().position(|lock| *lock == range);
    found.map(|at| locks.swap_remove(at)).is_some()
}

impl Drop for Reopenings {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SharePath {
        SharePath::new(text).unwrap()
    }

    fn left(renames: &[(&str, &str)], of: &str) -> Option<String> {
        let kept = KeptPaths::default();
        let number = kept.add(&path(of));
        renames.iter().for_each(|(from, to)| kept.renamed(&path(from), &path(to)));
        kept.path(number).map(|path| path.as_str().to_string())
    }

    #[test]
    fn a_handle_follows_the_renames_of_its_file_and_of_the_directories_it_is_in() {
        let to = |text: &str| Some(text.to_string());
        assert_eq!(left(&[("a/b", "c")], "A/B"), to("c"));
        assert_eq!(left(&[("a", "x/y"), ("X", "z")], "a/b/F.txt"), to("z/y/b/F.txt"));
        assert_eq!(left(&[("a/b", "c"), ("c", "a/b")], "a/b"), to("a/b"));
        assert_eq!(left(&[("a/bc", "c"), ("b", "d")], "a/b"), to("a/b"), "another file");
        assert_eq!(left(&[("a/b", "A/B")], "a/b"), to("a/b"));
    }

    #[test]
    fn a_file_that_another_took_the_place_of_has_no_path() {
        assert_eq!(left(&[("new", "a/b")], "a/b"), None);
        assert_eq!(left(&[("new", "a")], "a/b"), None, "with its directory");
        assert_eq!(left(&[("new", "a/b"), ("a/b", "c")], "a/b"), None, "it does not come back");
    }

    #[test]
    fn a_closed_file_is_kept_no_longer() {
        let kept = Arc::new(KeptPaths::default());
        let asked = CreateParameters { reopen: true, ..CreateParameters::default() };
        let open = |number: u32| {
            OperationKind::Open(OpenOperation {
                path: path("a"),
                mode: OpenMode::Read,
                disposition: CreateDisposition::Create,
                handle_ref: HandleRef(number),
                extensions: Some(Arc::new(asked.clone())),
            })
        };
        let mut reopenings = Reopenings::new(kept.clone());
        (0..3).for_each(|number| reopenings.note(&open(number)));
        // After these operations the number belongs to another file or to none, whatever their
        // results.
        reopenings.begins(&open(0));
        reopenings.begins(&HandleOperation::Close.on(HandleRef(1)));
        assert_eq!(kept.handles.load(Ordering::Relaxed), 1);
        reopenings.note(&open(0));
        assert_eq!(kept.handles.load(Ordering::Relaxed), 2);
        assert_eq!(reopenings.by_handle[&HandleRef(0)].asked.disposition, None);
        let again = OperationKind::Open(OpenOperation {
            path: path("b"),
            mode: OpenMode::Read,
            disposition: CreateDisposition::Open,
            handle_ref: HandleRef(0),
            extensions: Some(reopenings.by_handle[&HandleRef(0)].asked.clone()),
        });
        let number = reopenings.by_handle[&HandleRef(0)].number;
        kept.renamed(&path("a"), &path("c"));
        reopenings.begins(&again);
        reopenings.note(&again);
        assert_eq!(kept.path(number), Some(path("c")), "a rename while it was opened again");
        drop(reopenings);
        assert_eq!(kept.handles.load(Ordering::Relaxed), 0);
        assert!(kept.paths().of.is_empty() && kept.paths().by_path.is_empty());
    }
}
