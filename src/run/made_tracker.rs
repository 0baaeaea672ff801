//! A thread that keeps the [`MadePaths`] of a run while it runs, so that shards only hand over the
//! few operations that change names.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::made_paths::{Change, MadePaths, NameChange};
use crate::backend::Clock;
use crate::ir::Event;
use crate::observability::priority::lower_priority;

/// The time for which a change waits for those of other shards that ended before it.
const PATIENCE_NS: u64 = 1_000_000_000;
/// The time between two looks at the channel. The thread is never woken, so that a shard makes no
/// system call for it.
const POLL: Duration = Duration::from_millis(5);
/// Maximum number of changes that the shards have handed over and the thread has not received. It
/// covers about a second in which the thread, whose priority is low, gets no processor.
const MAX_QUEUED: usize = 131_072;
/// Maximum number of changes that wait for those that ended before them.
const MAX_WAITING: usize = 262_144;

/// The thread, until [`MadeTracker::finish`].
#[derive(Debug)]
pub struct MadeTracker {
    tap: MadeTap,
    thread: JoinHandle<MadePaths>,
}

/// The end of a shard.
#[derive(Clone, Debug)]
pub struct MadeTap {
    changes: SyncSender<NameChange>,
    lost: Arc<LostChanges>,
}

/// The changes that did not fit the queue.
#[derive(Debug, Default)]
struct LostChanges {
    /// Number of names that they made.
    names: AtomicU64,
    /// The end of the last rename among them; 0 if there is none.
    renames_ns: AtomicU64,
}

impl MadeTracker {
    /// Starts the thread. `made` is what was made before the stages.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(made: MadePaths, clock: Arc<dyn Clock>) -> io::Result<MadeTracker> {
        let (changes, received) = sync_channel(MAX_QUEUED);
        let tap = MadeTap { changes, lost: Arc::default() };
        let lost = tap.lost.clone();
        let thread = Builder::new().name("made-paths".into());
        let thread = thread.spawn(move || {
            lower_priority();
            follow(made, &received, &lost, MAX_WAITING, &*clock)
        })?;
        Ok(MadeTracker { tap, thread })
    }

    pub fn tap(&self) -> MadeTap {
        self.tap.clone()
    }

    /// Returns what is left of what was made, after the last tap was dropped. Returns None if the
    /// thread panicked.
    pub fn finish(self) -> Option<MadePaths> {
        drop(self.tap);
        self.thread.join().ok()
    }
}

impl MadeTap {
    /// Hands over what the event changed, without blocking. A change that does not fit the queue is
    /// lost and counted.
    pub fn event(&self, event: &Event) {
        if let Event::Completed(completion) = event
            && let Some(change) = NameChange::of(completion)
        {
            self.send(change);
        }
    }

    fn send(&self, change: NameChange) {
        match self.changes.try_send(change) {
            Err(TrySendError::Full(change)) => self.lost.note(&change),
            // The thread lives as long as there is a tap, unless it panicked.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
        }
    }
}

impl LostChanges {
    fn note(&self, change: &NameChange) {
        match change.what {
            Change::Made { .. } | Change::MaybeMade { .. } => {}
            Change::Renamed { .. } | Change::MaybeRenamed { .. } => {
                self.renames_ns.fetch_max(change.to_ns.max(1), Relaxed);
            }
            // The name is taken for one that is left, and cleaning does not find it.
            Change::Removed { .. } => return,
        }
        self.names.fetch_add(1, Relaxed);
    }
}

/// A change in the order of its end. Changes that ended at the same time keep the order in which
/// they came.
#[derive(Debug)]
struct Waiting {
    number: u64,
    change: NameChange,
}

impl Waiting {
    fn order(&self) -> (u64, u64) {
        (self.change.to_ns, self.number)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// Applies changes until the last sender is gone. If more than `max_waiting` wait, the first of them
/// is applied early, and one that ended before it leaves doubt when it comes.
fn follow(
    mut made: MadePaths,
    changes: &Receiver<NameChange>,
    lost: &LostChanges,
    max_waiting: usize,
    clock: &dyn Clock,
) -> MadePaths {
    let mut waiting = BinaryHeap::new();
    let mut numbers = 0..;
    let mut noted_ns = 0;
    loop {
        // Read before the queue is emptied: what ended up to here has then been received, unless a
        // shard stood still for longer than the patience.
        let mut ripe_ns = clock.now_ns().saturating_sub(PATIENCE_NS);
        let mut ended = false;
        // No more than what the queue holds at one time, so that the thread comes back to the clock.
        for _ in 0..MAX_QUEUED {
            match changes.try_recv() {
                Ok(change) => {
                    let number = numbers.next().unwrap_or(u64::MAX);
                    waiting.push(Reverse(Waiting { number, change }));
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    ended = true;
                    ripe_ns = u64::MAX;
                    break;
                }
            }
            if waiting.len() > max_waiting
                && let Some(Reverse(first)) = waiting.pop()
            {
                made.apply(first.change);
            }
        }
        while let Some(Reverse(first)) = waiting.peek()
            && first.change.to_ns <= ripe_ns
            && let Some(Reverse(first)) = waiting.pop()
        {
            made.apply(first.change);
        }
        // Renames are noted as lost when nothing that ended before them is waiting any more.
        let renames_ns = lost.renames_ns.load(Relaxed);
        if renames_ns > noted_ns && renames_ns <= ripe_ns {
            made.lose_renames(renames_ns);
            noted_ns = renames_ns;
        }
        if ended {
            made.count_untracked(lost.names.load(Relaxed));
            return made;
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_paths::Leftover;
    use super::*;
    use crate::protocol::SharePath;
    use crate::scheduler::{Precision, RealClock};

    fn path(path: &str) -> SharePath {
        SharePath::new(path).unwrap()
    }

    fn change(at_ns: u64, what: Change) -> NameChange {
        NameChange { from_ns: at_ns, to_ns: at_ns + 1, what }
    }

    fn made(at_ns: u64, at: &str) -> NameChange {
        change(at_ns, Change::Made { path: path(at), is_directory: false })
    }

    fn renamed(at_ns: u64, from: &str, to: &str) -> NameChange {
        change(at_ns, Change::Renamed { from: path(from), to: path(to), replace: false })
    }

    /// Returns what is left: what must stay ends in a question mark.
    fn left(made: &MadePaths) -> Vec<String> {
        let shown =
            |left: Leftover| format!("{}{}", left.path, ["", "?"][left.is_doubtful as usize]);
        made.leftovers().into_iter().map(shown).collect()
    }

    #[test]
    fn changes_of_several_shards_are_applied_in_the_order_in_which_they_ended() {
        let clock = RealClock::start(Precision::Sleep);
        let tracker = MadeTracker::start(MadePaths::default(), clock).unwrap();
        let (first, second) = (tracker.tap(), tracker.tap());
        second.send(renamed(30, "f", "g"));
        first.send(made(10, "f"));
        second.send(change(50, Change::Removed { path: path("f") }));
        drop((first, second));
        assert_eq!(left(&tracker.finish().unwrap()), ["g"]);
    }

    #[test]
    fn changes_that_do_not_fit_the_queue_are_counted_and_a_lost_rename_leaves_doubt() {
        let follow_through = |sent: &[NameChange]| {
            let (changes, received) = sync_channel(2);
            let tap = MadeTap { changes, lost: Arc::default() };
            sent.iter().cloned().for_each(|change| tap.send(change));
            let lost = tap.lost.clone();
            drop(tap);
            let clock = RealClock::start(Precision::Sleep);
            let made = follow(MadePaths::default(), &received, &lost, 10, &*clock);
            (left(&made), made.untracked())
        };
        let removed = change(40, Change::Removed { path: path("a") });
        let sent = [made(10, "a"), made(20, "b"), made(30, "c"), removed];
        assert_eq!(follow_through(&sent), (vec!["a".into(), "b".into()], 1));
        // A file of the user takes the name of one that the run made and moved away.
        let sent = [made(10, "a"), made(20, "b"), renamed(30, "a", "c"), renamed(40, "old", "a")];
        assert_eq!(follow_through(&sent), (vec!["a?".into(), "b?".into()], 2));
    }

    #[test]
    fn what_comes_after_a_later_change_was_applied_early_leaves_doubt() {
        let follow_with = |max_waiting| {
            let (changes, received) = sync_channel(10);
            let tap = MadeTap { changes, lost: Arc::default() };
            for change in [made(10, "a"), made(30, "c"), made(40, "d"), made(20, "b")] {
                tap.send(change);
            }
            drop(tap);
            let (lost, clock) = (LostChanges::default(), RealClock::start(Precision::Sleep));
            left(&follow(MadePaths::default(), &received, &lost, max_waiting, &*clock))
        };
        assert_eq!(follow_with(4), ["a", "b", "c", "d"]);
        assert_eq!(follow_with(1), ["a", "b?", "c", "d"]);
    }
}
