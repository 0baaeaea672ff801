//! Byte-range locks (MS-FSA 2.1.5.8, 2.1.5.9): those that are held and those that wait.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::protocol::NtStatus;

/// The locks on all files, by file id. An open is known by its number.
#[derive(Default)]
pub struct LockTable {
    files: Mutex<HashMap<u64, FileLocks>>,
}

#[derive(Default)]
struct FileLocks {
    held: Vec<ByteRangeLock>,
    /// The waiters, in the order in which they came.
    waiting: Vec<Waiter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRangeLock {
    pub open: u64,
    pub range: Range,
    pub exclusive: bool,
}

struct Waiter {
    lock: ByteRangeLock,
    granted: oneshot::Sender<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub offset: u64,
    pub length: u64,
}

impl Range {
    /// Makes a range, which may have no bytes.
    ///
    /// # Errors
    /// STATUS_INVALID_LOCK_RANGE if the last byte is past the largest offset.
    pub fn new(offset: u64, length: u64) -> Result<Range, NtStatus> {
        match offset.checked_add(length.saturating_sub(1)) {
            Some(_) => Ok(Range { offset, length }),
            None => Err(NtStatus::INVALID_LOCK_RANGE),
        }
    }

    /// Returns whether two ranges overlap. A range of no bytes overlaps only if it lies strictly
    /// inside the other.
    fn overlaps(self, other: Range) -> bool {
        let starts_before_end_of =
            |a: Range, b: Range| u128::from(a.offset) < u128::from(b.offset) + u128::from(b.length);
        starts_before_end_of(self, other) && starts_before_end_of(other, self)
    }
}

impl ByteRangeLock {
    /// Returns whether a held lock refuses this one. An exclusive lock overlaps nothing, and a
    /// shared one overlaps no exclusive lock of another open. So an open may put a shared lock over
    /// its exclusive one, but not the other way round.
    fn conflicts_with(&self, held: &ByteRangeLock) -> bool {
        self.range.overlaps(held.range)
            && (self.exclusive || (held.exclusive && held.open != self.open))
    }
}

impl LockTable {
    /// Takes the lock at once.
    ///
    /// # Errors
    /// STATUS_LOCK_NOT_GRANTED if another lock is in its way.
    pub fn lock(&self, file: u64, lock: ByteRangeLock) -> Result<(), NtStatus> {
        let mut files = self.files();
        let locks = files.entry(file).or_default();
        if locks.is_refused(&lock) {
            return Err(NtStatus::LOCK_NOT_GRANTED);
        }
        locks.held.push(lock);
        Ok(())
    }

    /// Takes the lock, now or as soon as nothing is in its way. The receiver gets a message then.
    /// Dropping the receiver gives up the place in the queue.
    pub fn lock_when_free(&self, file: u64, lock: ByteRangeLock) -> oneshot::Receiver<()> {
        let (granted, receiver) = oneshot::channel();
        let mut files = self.files();
        let locks = files.entry(file).or_default();
        locks.waiting.push(Waiter { lock, granted });
        locks.grant();
        receiver
    }

    /// Releases a lock of exactly this range, the exclusive one first if there are two.
    ///
    /// # Errors
    /// STATUS_RANGE_NOT_LOCKED, and those of [`Range::new`].
    pub fn unlock(&self, file: u64, open: u64, range: Range) -> Result<(), NtStatus> {
        let range = Range::new(range.offset, range.length)?;
        let mut files = self.files();
        let locks = files.get_mut(&file).ok_or(NtStatus::RANGE_NOT_LOCKED)?;
        let place = [true, false].into_iter().find_map(|exclusive| {
            locks.held.iter().position(|held| *held == ByteRangeLock { open, range, exclusive })
        });
        locks.held.remove(place.ok_or(NtStatus::RANGE_NOT_LOCKED)?);
        locks.grant();
        Self::forget_if_idle(&mut files, file);
        Ok(())
    }

    /// Releases everything that an open holds or waits for.
    pub fn release(&self, file: u64, open: u64) {
        let mut files = self.files();
        if let Some(locks) = files.get_mut(&file) {
            locks.held.retain(|held| held.open != open);
            locks.waiting.retain(|waiter| waiter.lock.open != open);
            locks.grant();
        }
        Self::forget_if_idle(&mut files, file);
    }

    /// Returns the lowest offset at which a lock on the file begins, if there is any.
    pub fn first_offset(&self, file: u64) -> Option<u64> {
        let files = self.files();
        let held = files.get(&file).into_iter().flat_map(|locks| &locks.held);
        held.map(|lock| lock.range.offset).min()
    }

    /// Checks that an open may read the range: nobody else holds an exclusive lock on it.
    ///
    /// # Errors
    /// STATUS_FILE_LOCK_CONFLICT.
    pub fn check_read(&self, file: u64, open: u64, range: Range) -> Result<(), NtStatus> {
        self.check(file, range, |held| held.exclusive && held.open != open)
    }

    /// Checks that an open may write the range: nobody else holds a lock on it, and the open itself
    /// holds no shared one.
    ///
    /// # Errors
    /// STATUS_FILE_LOCK_CONFLICT.
    pub fn check_write(&self, file: u64, open: u64, range: Range) -> Result<(), NtStatus> {
        self.check(file, range, |held| !held.exclusive || held.open != open)
    }

    fn check(
        &self,
        file: u64,
        range: Range,
        in_the_way: impl Fn(&ByteRangeLock) -> bool,
    ) -> Result<(), NtStatus> {
        let files = self.files();
        let conflict = range.length > 0
            && files.get(&file).is_some_and(|locks| {
                locks.held.iter().any(|held| in_the_way(held) && held.range.overlaps(range))
            });
        if conflict { Err(NtStatus::FILE_LOCK_CONFLICT) } else { Ok(()) }
    }

    fn forget_if_idle(files: &mut HashMap<u64, FileLocks>, file: u64) {
        if files.get(&file).is_some_and(|locks| locks.held.is_empty() && locks.waiting.is_empty()) {
            files.remove(&file);
        }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<u64, FileLocks>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileLocks {
    fn is_refused(&self, lock: &ByteRangeLock) -> bool {
        self.held.iter().any(|held| lock.conflicts_with(held))
    }

    fn grant(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for waiter in waiting {
            if waiter.granted.is_closed() {
                continue;
            }
            if self.is_refused(&waiter.lock) {
                self.waiting.push(waiter);
            } else if waiter.granted.send(()).is_ok() {
                self.held.push(waiter.lock);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u64 = 9;

    fn lock(open: u64, offset: u64, length: u64, exclusive: bool) -> ByteRangeLock {
        ByteRangeLock { open, range: range(offset, length), exclusive }
    }

    fn range(offset: u64, length: u64) -> Range {
        Range::new(offset, length).unwrap()
    }

    #[test]
    fn shared_locks_stand_together_and_exclusive_ones_alone() {
        let table = LockTable::default();
        table.lock(FILE, lock(1, 0, 10, false)).unwrap();
        table.lock(FILE, lock(2, 5, 10, false)).unwrap();
        let refused = Err(NtStatus::LOCK_NOT_GRANTED);
        assert_eq!(table.lock(FILE, lock(3, 14, 1, true)), refused);
        table.lock(FILE, lock(3, 15, 1, true)).unwrap();
        assert_eq!(table.lock(FILE, lock(1, 15, 1, false)), refused);
        assert_eq!(table.lock(FILE, lock(3, 15, 1, true)), refused);
        table.lock(FILE, lock(3, 15, 1, false)).unwrap();
        table.lock(FILE + 1, lock(1, 15, 1, true)).unwrap();
    }

    #[test]
    fn an_unlock_names_a_lock_exactly_and_takes_the_exclusive_one_first() {
        let table = LockTable::default();
        table.lock(FILE, lock(1, 0, 10, true)).unwrap();
        table.lock(FILE, lock(1, 0, 10, false)).unwrap();
        let not_locked = Err(NtStatus::RANGE_NOT_LOCKED);
        assert_eq!(table.unlock(FILE, 1, range(0, 9)), not_locked);
        assert_eq!(table.unlock(FILE, 2, range(0, 10)), not_locked);
        table.unlock(FILE, 1, range(0, 10)).unwrap();
        table.lock(FILE, lock(2, 0, 10, false)).unwrap();
        table.unlock(FILE, 1, range(0, 10)).unwrap();
        assert_eq!(table.unlock(FILE, 1, range(0, 10)), not_locked);
    }

    #[test]
    fn waiters_are_granted_in_order_as_soon_as_nothing_is_in_their_way() {
        let table = LockTable::default();
        table.lock(FILE, lock(1, 0, 10, true)).unwrap();
        let mut second = table.lock_when_free(FILE, lock(2, 0, 5, true));
        let mut third = table.lock_when_free(FILE, lock(3, 0, 5, true));
        let mut elsewhere = table.lock_when_free(FILE, lock(3, 20, 5, true));
        assert!(elsewhere.try_recv().is_ok());
        table.unlock(FILE, 1, range(0, 10)).unwrap();
        assert!(second.try_recv().is_ok());
        assert!(third.try_recv().is_err());
        table.release(FILE, 2);
        assert!(third.try_recv().is_ok());
    }

    #[test]
    fn a_waiter_that_gave_up_is_passed_over_and_holds_nothing() {
        let table = LockTable::default();
        table.lock(FILE, lock(1, 0, 1, true)).unwrap();
        drop(table.lock_when_free(FILE, lock(2, 0, 1, true)));
        let mut third = table.lock_when_free(FILE, lock(3, 0, 1, true));
        table.release(FILE, 1);
        assert!(third.try_recv().is_ok());
        table.release(FILE, 3);
        assert!(table.files().is_empty());
    }

    #[test]
    fn reads_and_writes_stop_at_the_locks_that_concern_them() {
        let table = LockTable::default();
        table.lock(FILE, lock(1, 0, 10, true)).unwrap();
        table.lock(FILE, lock(1, 20, 10, false)).unwrap();
        let conflict = Err(NtStatus::FILE_LOCK_CONFLICT);
        assert_eq!(table.check_read(FILE, 2, range(9, 1)), conflict);
        assert_eq!(table.check_read(FILE, 1, range(9, 1)), Ok(()));
        assert_eq!(table.check_read(FILE, 2, range(10, 20)), Ok(()));
        assert_eq!(table.check_write(FILE, 1, range(0, 10)), Ok(()));
        assert_eq!(table.check_write(FILE, 1, range(0, 21)), conflict);
        assert_eq!(table.check_write(FILE, 2, range(29, 1)), conflict);
        assert_eq!(table.check_write(FILE, 2, range(5, 0)), Ok(()));
    }

    #[test]
    fn a_range_reaches_the_last_offset_but_not_past_it() {
        let table = LockTable::default();
        table.lock(FILE, lock(1, u64::MAX, 1, true)).unwrap();
        let refused = table.lock(FILE, lock(2, 0, u64::MAX, true));
        assert_eq!(refused, Ok(()), "the first u64::MAX bytes end before the last offset");
        assert_eq!(Range::new(u64::MAX, 2), Err(NtStatus::INVALID_LOCK_RANGE));
        let past = Range { offset: u64::MAX, length: 2 };
        assert_eq!(table.unlock(FILE, 1, past), Err(NtStatus::INVALID_LOCK_RANGE));
    }
}
