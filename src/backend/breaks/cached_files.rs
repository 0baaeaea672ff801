//! The files of which any client of a run caches something. Operations look up here which break of
//! a file they must wait for, and a client looks up its lease of a file.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxBuildHasher;

use super::super::path_order::within;
use super::blocking::Block;
use crate::protocol::{Lease, SharePath};

/// The files of which any client of a run caches something, with the breaks pending on them. While
/// no break is pending, a check costs one atomic load.
#[derive(Default)]
pub struct CachedFiles {
    pending: AtomicUsize,
    files: Mutex<Files>,
}

/// The number of a holder in [`CachedFiles`]. Its order puts the holders of one client next to each
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HolderNumber {
    client_idx: u32,
    number: u64,
}

impl HolderNumber {
    const FIRST: HolderNumber = HolderNumber { client_idx: 0, number: 0 };
    const LAST: HolderNumber = HolderNumber { client_idx: u32::MAX, number: u64::MAX };
}

#[derive(Default)]
struct Files {
    next: u64,
    holders: HashMap<HolderNumber, CachedFile, FxBuildHasher>,
    /// Each holder by the path of its file. The order puts the files of a directory next to each
    /// other.
    by_path: BTreeSet<(Arc<str>, HolderNumber)>,
    /// The holders with a pending break, by the server's number of the file.
    pending_by_file: HashMap<u64, Vec<HolderNumber>, FxBuildHasher>,
}

struct CachedFile {
    /// None if another file took the name while this one was open.
    path: Option<Arc<str>>,
    disk_file_id: Option<u64>,
    lease: Option<HeldLease>,
    pending: Option<Arc<Block>>,
}

/// A lease as another open of its client names it: with its key, and asking for no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLease {
    pub lease: Lease,
    /// Whether the client made the key, because the open that got the lease named none.
    pub derived: bool,
}

impl CachedFiles {
    /// Records that a client caches something of the file at `path`.
    pub fn add(
        &self,
        client_idx: u32,
        path: &SharePath,
        disk_file_id: Option<u64>,
        lease: Option<HeldLease>,
    ) -> HolderNumber {
        let path = folded(path);
        let mut files = self.files();
        let number = HolderNumber { client_idx, number: files.next };
        files.next += 1;
        files.by_path.insert((path.clone(), number));
        let file = CachedFile { path: Some(path), disk_file_id, lease, pending: None };
        files.holders.insert(number, file);
        number
    }

    /// Returns the client's newest lease of the file now at `path` that `such` accepts.
    pub fn lease_at(
        &self,
        client_idx: u32,
        path: &SharePath,
        such: impl Fn(&HeldLease) -> bool,
    ) -> Option<Lease> {
        let path = folded(path);
        let files = self.files();
        let first = (path.clone(), HolderNumber { client_idx, ..HolderNumber::FIRST });
        let last = (path, HolderNumber { client_idx, ..HolderNumber::LAST });
        // The newest comes first: its file replaced any that was at the path before.
        let latest = files.by_path.range(first..=last).rev();
        let mut held = latest.filter_map(|(_, number)| files.holders.get(number)?.lease);
        held.find(such).map(|held| held.lease)
    }

    /// Removes the holder: its client no longer caches the file.
    pub fn remove(&self, number: HolderNumber) {
        let mut files = self.files();
        self.let_go(&mut files, number);
        if let Some(path) = files.holders.remove(&number).and_then(|file| file.path) {
            files.by_path.remove(&(path, number));
        }
    }

    /// Records the start of a break of the holder's rights.
    pub fn block(&self, number: HolderNumber, block: Arc<Block>) {
        let mut files = self.files();
        let Some(file) = files.holders.get_mut(&number) else { return };
        let (first, disk_file_id) = (file.pending.replace(block).is_none(), file.disk_file_id);
        if first {
            self.pending.fetch_add(1, Ordering::Release);
            if let Some(disk_file_id) = disk_file_id {
                files.pending_by_file.entry(disk_file_id).or_default().push(number);
            }
        }
    }

    /// Records that the holder's break has ended.
    pub fn unblock(&self, number: HolderNumber) {
        self.let_go(&mut self.files(), number);
    }

    fn let_go(&self, files: &mut Files, number: HolderNumber) {
        let Some(file) = files.holders.get_mut(&number) else { return };
        let disk_file_id = file.disk_file_id;
        if file.pending.take().is_some() {
            self.pending.fetch_sub(1, Ordering::Release);
            if let Some(disk_file_id) = disk_file_id
                && let Some(numbers) = files.pending_by_file.get_mut(&disk_file_id)
            {
                numbers.retain(|pending| *pending != number);
                if numbers.is_empty() {
                    files.pending_by_file.remove(&disk_file_id);
                }
            }
        }
    }

    /// Returns whether any break is pending.
    pub fn any_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0
    }

    /// Returns the pending break that an operation on the file at `path` must wait for.
    pub fn pending_at(&self, path: &SharePath) -> Option<Arc<Block>> {
        self.files().at(&folded(path), None)
    }

    /// Returns the pending break that an operation on an open file must wait for. The file is
    /// looked up first by the server's number, if that is known, then by its path. `holder` is the
    /// handle's own holder, which knows where the file was renamed to.
    pub fn pending_of(
        &self,
        path: &SharePath,
        disk_file_id: Option<u64>,
        holder: Option<HolderNumber>,
    ) -> Option<Arc<Block>> {
        let files = self.files();
        let by_file = disk_file_id.and_then(|id| files.pending_by_file.get(&id)?.first());
        if let Some(number) = by_file {
            return files.holders.get(number)?.pending.clone();
        }
        let path = match holder.and_then(|number| files.holders.get(&number)) {
            Some(own) => own.path.clone()?,
            None => folded(path),
        };
        files.at(&path, disk_file_id)
    }

    /// Records that a file or directory was renamed. The content of a directory moves with it. A
    /// file that was replaced has no path any more: some servers replace an open file, which MS-FSA
    /// 2.1.5.15.12 forbids.
    pub fn renamed(&self, from: &SharePath, to: &SharePath) {
        let (from, to) = (folded(from), folded(to));
        if from == to {
            return;
        }
        let mut files = self.files();
        for (path, number) in files.within(&to) {
            files.name(&path, number, None);
        }
        for (path, number) in files.within(&from) {
            let new = format!("{to}{}", &path[from.len()..]);
            files.name(&path, number, Some(new.into()));
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    /// Returns the holders of the file or directory at the path and of everything below it.
    fn within(&self, path: &Arc<str>) -> Vec<(Arc<str>, HolderNumber)> {
        within(&self.by_path, path, HolderNumber::FIRST..=HolderNumber::LAST).cloned().collect()
    }

    /// Moves the holder's file to the path `new`, or to no path.
    fn name(&mut self, old: &Arc<str>, number: HolderNumber, new: Option<Arc<str>>) {
        self.by_path.remove(&(old.clone(), number));
        self.by_path.extend(new.clone().map(|new| (new, number)));
        if let Some(file) = self.holders.get_mut(&number) {
            file.path = new;
        }
    }

    /// Returns the pending break of the file at the path. A file with the same path and another
    /// number is another file.
    fn at(&self, path: &Arc<str>, disk_file_id: Option<u64>) -> Option<Arc<Block>> {
        let there = (path.clone(), HolderNumber::FIRST)..=(path.clone(), HolderNumber::LAST);
        self.by_path.range(there).find_map(|(_, number)| {
            let file = self.holders.get(number)?;
            let same = disk_file_id.is_none()
                || file.disk_file_id.is_none()
                || disk_file_id == file.disk_file_id;
            file.pending.clone().filter(|_| same)
        })
    }
}

fn folded(path: &SharePath) -> Arc<str> {
    path.folded().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::LeaseKey;

    fn path(text: &str) -> SharePath {
        SharePath::new(text).unwrap()
    }

    fn derived(key: LeaseKey) -> Option<HeldLease> {
        let lease = Lease { state: 0, key: Some(key), parent_key: None, version: 2 };
        Some(HeldLease { lease, derived: true })
    }

    fn key(files: &CachedFiles, client_idx: u32, name: &str) -> Option<LeaseKey> {
        files.lease_at(client_idx, &path(name), |held| held.derived)?.key
    }

    #[test]
    fn a_break_blocks_its_file_by_path_in_any_case_and_by_the_servers_number() {
        let files = CachedFiles::default();
        let a = files.add(0, &path("Docs/a"), Some(5), None);
        let b = files.add(1, &path("docs/b"), None, None);
        assert!(!files.any_pending() && files.pending_at(&path("docs/a")).is_none());
        files.block(a, Arc::default());
        files.block(b, Arc::default());
        assert!(files.any_pending());
        assert!(files.pending_at(&path("docs/A")).is_some());
        assert!(files.pending_at(&path("docs/c")).is_none());
        assert!(files.pending_of(&path("x"), Some(5), None).is_some(), "known by its number");
        assert!(files.pending_of(&path("docs/a"), Some(6), None).is_none(), "another file");
        assert!(files.pending_of(&path("docs/b"), Some(6), None).is_some(), "its number unknown");
        files.unblock(a);
        assert!(files.pending_of(&path("docs/a"), Some(5), None).is_none());
        files.remove(b);
        assert!(!files.any_pending() && files.pending_at(&path("docs/b")).is_none());
    }

    #[test]
    fn a_file_is_known_by_its_new_name_and_the_name_of_its_directory() {
        let files = CachedFiles::default();
        let holder = files.add(7, &path("d/a"), None, None);
        let other = files.add(7, &path("d0/a"), None, None);
        files.renamed(&path("d/a"), &path("d/b"));
        files.block(holder, Arc::default());
        files.renamed(&path("D"), &path("e"));
        let blocked = |name| files.pending_at(&path(name)).is_some();
        assert_eq!(["d/a", "d/b", "e/a", "e/b"].map(blocked), [false, false, false, true]);
        let opened_as = path("d/a");
        assert!(files.pending_of(&opened_as, None, None).is_none());
        assert!(files.pending_of(&opened_as, None, Some(holder)).is_some());
        files.block(other, Arc::default());
        assert!(blocked("d0/a"), "it only begins alike");
    }

    #[test]
    fn a_file_that_another_replaced_is_found_by_no_name() {
        let files = CachedFiles::default();
        let (old, new) = ([1; 16], [2; 16]);
        let replaced = files.add(7, &path("a"), Some(5), derived(old));
        files.add(8, &path("b"), Some(6), derived(new));
        files.renamed(&path("b"), &path("a"));
        assert_eq!(key(&files, 7, "a"), None, "a server refuses the key of the old");
        assert_eq!(key(&files, 8, "a"), Some(new));
        files.block(replaced, Arc::default());
        assert!(files.pending_at(&path("a")).is_none());
        assert!(files.pending_of(&path("a"), Some(5), None).is_some(), "who has it open waits");
        files.remove(replaced);
        assert!(!files.any_pending());
    }

    #[test]
    fn a_name_in_another_case_is_no_other_name() {
        let files = CachedFiles::default();
        files.add(7, &path("a"), None, derived([1; 16]));
        files.renamed(&path("a"), &path("A"));
        assert_eq!(key(&files, 7, "a"), Some([1; 16]));
    }

    #[test]
    fn a_lease_is_found_where_its_file_is_and_by_its_client_alone() {
        let files = CachedFiles::default();
        let one = [1; 16];
        let holder = files.add(7, &path("a"), None, derived(one));
        files.add(7, &path("a"), None, None);
        files.add(8, &path("a"), None, derived([2; 16]));
        assert_eq!(key(&files, 7, "A"), Some(one));
        assert_eq!(key(&files, 9, "a"), None);
        files.renamed(&path("a"), &path("b"));
        assert_eq!((key(&files, 7, "a"), key(&files, 7, "b")), (None, Some(one)));
        files.remove(holder);
        assert_eq!(key(&files, 7, "b"), None);
    }
}
