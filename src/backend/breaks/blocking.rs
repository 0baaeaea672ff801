//! What operations wait for while a break is pending: the break's own end, by
//! handle, and in fidelity mode 2 by file over all clients of a run.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxBuildHasher;
use tokio::sync::Notify;

use super::super::Clock;
use crate::protocol::{LeaseKey, SharePath};

/// A pending break, as those see it who wait for its end.
#[derive(Default)]
pub struct Block {
    over: Notify,
    tally: Mutex<Tally>,
}

/// Who waited, and for how long.
#[derive(Default)]
struct Tally {
    ended_ns: Option<u64>,
    blocked: u32,
    waiting: u32,
    /// When those who wait began to, together.
    since_ns: u128,
    /// How long those waited who left before the end.
    left_ns: u64,
}

impl Block {
    /// One more operation waits, unless the break is over.
    pub fn wait(self: Arc<Self>, clock: Arc<dyn Clock>) -> Option<Waiting> {
        let since_ns = clock.now_ns();
        let mut tally = self.tally();
        if tally.ended_ns.is_some() {
            return None;
        }
        tally.blocked += 1;
        tally.waiting += 1;
        tally.since_ns += u128::from(since_ns);
        drop(tally);
        Some(Waiting { block: self, clock, since_ns })
    }

    /// The break is over: how many operations waited, and how long together.
    pub fn end(&self, now_ns: u64) -> (u32, u64) {
        let mut tally = self.tally();
        tally.ended_ns.get_or_insert(now_ns);
        let stayed_ns = u128::from(now_ns) * u128::from(tally.waiting);
        let stayed_ns = stayed_ns.saturating_sub(tally.since_ns);
        let blocked_ns = tally.left_ns.saturating_add(u64::try_from(stayed_ns).unwrap_or(u64::MAX));
        let blocked = tally.blocked;
        drop(tally);
        self.over.notify_waiters();
        (blocked, blocked_ns)
    }

    /// When the break was over, once it is.
    pub async fn over(&self) -> u64 {
        let mut over = pin!(self.over.notified());
        // Before the look, so that an end in between is not missed.
        over.as_mut().enable();
        let ended_ns = self.tally().ended_ns;
        if let Some(ended_ns) = ended_ns {
            return ended_ns;
        }
        over.await;
        self.tally().ended_ns.unwrap_or_default()
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a break that is `pending`. One that has ended since it was found is
/// pending no more, but another may be, of the same file.
pub fn wait_for(
    pending: impl Fn() -> Option<Arc<Block>>,
    clock: &Arc<dyn Clock>,
) -> Option<Waiting> {
    loop {
        let waiting = pending()?.wait(clock.clone());
        if waiting.is_some() {
            return waiting;
        }
    }
}

/// An operation that waits for the end of a break. Dropped before, it has left.
pub struct Waiting {
    block: Arc<Block>,
    clock: Arc<dyn Clock>,
    since_ns: u64,
}

impl Waiting {
    /// When the break was over, once it is.
    pub async fn over(self) -> u64 {
        self.block.over().await
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut tally = self.block.tally();
        if tally.ended_ns.is_none() {
            tally.waiting -= 1;
            tally.since_ns -= u128::from(self.since_ns);
            tally.left_ns += self.clock.now_ns().saturating_sub(self.since_ns);
        }
    }
}

/// The files something of which is cached, over all clients of a run, with the
/// breaks pending on them. Where none is, asking costs one load.
#[derive(Default)]
pub struct CachedFiles {
    pending: AtomicUsize,
    files: Mutex<Files>,
}

/// A holder among the [`CachedFiles`], those of a client together.
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
    /// Each holder by the path of its file, so that a folder's are together.
    by_path: BTreeSet<(Arc<str>, HolderNumber)>,
    /// The holders with a break pending by the server's number of the file.
    pending_by_file: HashMap<u64, Vec<HolderNumber>, FxBuildHasher>,
}

struct CachedFile {
    /// None where another file took its name while it was open.
    path: Option<Arc<str>>,
    disk_file_id: Option<u64>,
    /// Of a lease whose open named none.
    derived_key: Option<LeaseKey>,
    pending: Option<Arc<Block>>,
}

impl CachedFiles {
    /// A client caches something of the file at `path`. `derived_key` is the
    /// key of a lease whose open named none.
    pub fn add(
        &self,
        client_idx: u32,
        path: &SharePath,
        disk_file_id: Option<u64>,
        derived_key: Option<LeaseKey>,
    ) -> HolderNumber {
        let path = folded(path);
        let mut files = self.files();
        let number = HolderNumber { client_idx, number: files.next };
        files.next += 1;
        files.by_path.insert((path.clone(), number));
        let file = CachedFile { path: Some(path), disk_file_id, derived_key, pending: None };
        files.holders.insert(number, file);
        number
    }

    /// The key by which the client has a lease of the file that is at `path`
    /// now, if one was derived for it.
    pub fn derived_key(&self, client_idx: u32, path: &SharePath) -> Option<LeaseKey> {
        let path = folded(path);
        let files = self.files();
        let first = (path.clone(), HolderNumber { client_idx, ..HolderNumber::FIRST });
        let last = (path, HolderNumber { client_idx, ..HolderNumber::LAST });
        // A file that came to the path later stands in the place of one before it.
        let mut latest = files.by_path.range(first..=last).rev();
        latest.find_map(|(_, number)| files.holders.get(number)?.derived_key)
    }

    /// It is cached no more.
    pub fn remove(&self, number: HolderNumber) {
        let mut files = self.files();
        self.let_go(&mut files, number);
        if let Some(path) = files.holders.remove(&number).and_then(|file| file.path) {
            files.by_path.remove(&(path, number));
        }
    }

    /// A break of what the holder has begins.
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

    /// It is over.
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

    /// Whether any break is pending.
    pub fn any_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0
    }

    /// The break that an operation on the file at `path` waits for.
    pub fn pending_at(&self, path: &SharePath) -> Option<Arc<Block>> {
        self.files().at(&folded(path), None)
    }

    /// The break that an operation on an open file waits for: by the server's
    /// number of it, where known, else by its path. `holder` is the handle's
    /// own, which knows where the file was renamed to.
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

    /// A file or folder has another name now, and so has all that is in it. A
    /// file it replaced has none: some servers replace one that is open, which
    /// MS-FSA 2.1.5.15.12 forbids.
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
    /// The holders of what is at the path and below it.
    fn within(&self, path: &Arc<str>) -> Vec<(Arc<str>, HolderNumber)> {
        // '0' follows '/'.
        let first = HolderNumber::FIRST;
        let inside = (format!("{path}/").into(), first)..(format!("{path}0").into(), first);
        let itself = (path.clone(), first)..=(path.clone(), HolderNumber::LAST);
        self.by_path.range(itself).chain(self.by_path.range(inside)).cloned().collect()
    }

    /// The file of the holder is found at `new` from here on, if anywhere.
    fn name(&mut self, old: &Arc<str>, number: HolderNumber, new: Option<Arc<str>>) {
        self.by_path.remove(&(old.clone(), number));
        self.by_path.extend(new.clone().map(|new| (new, number)));
        if let Some(file) = self.holders.get_mut(&number) {
            file.path = new;
        }
    }

    /// A file of the same path and another number is another file.
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
    use std::cell::Cell;

    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;

    fn path(text: &str) -> SharePath {
        SharePath::new(text).unwrap()
    }

    struct Standing(u64);

    impl Clock for Standing {
        fn now_ns(&self) -> u64 {
            self.0
        }

        fn sleep_until(&self, _: u64) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    fn wait(block: &Arc<Block>, now_ns: u64) -> Option<Waiting> {
        block.clone().wait(Arc::new(Standing(now_ns)))
    }

    #[test]
    fn those_who_wait_are_counted_with_their_time_and_let_go_together() {
        let block = Arc::new(Block::default());
        let mut first = Box::pin(wait(&block, 10).unwrap().over());
        let mut second = Box::pin(wait(&block, 30).unwrap().over());
        assert_eq!((&mut first).now_or_never(), None);
        assert_eq!(block.end(50), (2, 40 + 20));
        assert_eq!((first.now_or_never(), (&mut second).now_or_never()), (Some(50), Some(50)));
        assert!(wait(&block, 60).is_none(), "there is nothing to wait for any more");
    }

    #[test]
    fn one_who_leaves_waited_until_then() {
        let block = Arc::new(Block::default());
        let mut left = wait(&block, 10).unwrap();
        left.clock = Arc::new(Standing(15));
        drop(left);
        assert_eq!(block.end(100), (1, 5));
    }

    /// Of three breaks of one file, two end between the look and the wait.
    #[test]
    fn the_end_of_one_break_lets_nobody_pass_who_has_to_wait_for_another() {
        let blocks: Vec<Arc<Block>> = (0..3).map(|_| Arc::default()).collect();
        let clock: Arc<dyn Clock> = Arc::new(Standing(7));
        let looks = Cell::new(0);
        let pending = || {
            let found = blocks.get(looks.replace(looks.get() + 1))?;
            if looks.get() < 3 {
                found.end(5);
            }
            Some(found.clone())
        };
        assert!(wait_for(pending, &clock).is_some());
        assert_eq!(blocks[2].end(9).0, 1, "it waited for the last");
        assert!(wait_for(pending, &clock).is_none(), "none is left");
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
    fn a_file_is_known_by_its_new_name_and_the_name_of_its_folder() {
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
        let replaced = files.add(7, &path("a"), Some(5), Some(old));
        files.add(8, &path("b"), Some(6), Some(new));
        files.renamed(&path("b"), &path("a"));
        assert_eq!(files.derived_key(7, &path("a")), None, "a server refuses the key of the old");
        assert_eq!(files.derived_key(8, &path("a")), Some(new));
        files.block(replaced, Arc::default());
        assert!(files.pending_at(&path("a")).is_none());
        assert!(files.pending_of(&path("a"), Some(5), None).is_some(), "who has it open waits");
        files.remove(replaced);
        assert!(!files.any_pending());
    }

    #[test]
    fn a_name_in_another_case_is_no_other_name() {
        let files = CachedFiles::default();
        files.add(7, &path("a"), None, Some([1; 16]));
        files.renamed(&path("a"), &path("A"));
        assert_eq!(files.derived_key(7, &path("a")), Some([1; 16]));
    }

    #[test]
    fn a_derived_key_is_found_where_its_file_is_and_by_its_client_alone() {
        let files = CachedFiles::default();
        let key = [1; 16];
        let holder = files.add(7, &path("a"), None, Some(key));
        files.add(7, &path("a"), None, None);
        files.add(8, &path("a"), None, Some([2; 16]));
        assert_eq!(files.derived_key(7, &path("A")), Some(key));
        assert_eq!(files.derived_key(9, &path("a")), None);
        files.renamed(&path("a"), &path("b"));
        assert_eq!(
            (files.derived_key(7, &path("a")), files.derived_key(7, &path("b"))),
            (None, Some(key))
        );
        files.remove(holder);
        assert_eq!(files.derived_key(7, &path("b")), None);
    }
}
