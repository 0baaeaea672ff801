//! A thread that keeps the [`MadePaths`] of a run while it runs, so that shards only hand over the
//! few operations that change names.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::made_paths::{MadePaths, NameChange};
use crate::backend::Clock;
use crate::ir::Event;
use crate::observability::priority::lower_priority;

/// The time for which a change waits for those of other shards that ended before it.
const PATIENCE_NS: u64 = 1_000_000_000;
/// The time between two looks at the channel. The thread is never woken, so that a shard makes no
/// system call for it.
const POLL: Duration = Duration::from_millis(5);

/// The thread, until [`MadeTracker::finish`].
#[derive(Debug)]
pub struct MadeTracker {
    changes: Sender<NameChange>,
    thread: JoinHandle<MadePaths>,
}

/// The end of a shard.
#[derive(Clone, Debug)]
pub struct MadeTap {
    changes: Sender<NameChange>,
}

impl MadeTracker {
    /// Starts the thread. `made` is what was made before the stages.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(made: MadePaths, clock: Arc<dyn Clock>) -> io::Result<MadeTracker> {
        let (changes, received) = channel();
        let thread = Builder::new().name("made-paths".into());
        let thread = thread.spawn(move || follow(made, &received, &*clock))?;
        Ok(MadeTracker { changes, thread })
    }

    pub fn tap(&self) -> MadeTap {
        MadeTap { changes: self.changes.clone() }
    }

    /// Returns what is left of what was made, after the last tap was dropped. Returns None if the
    /// thread panicked.
    pub fn finish(self) -> Option<MadePaths> {
        drop(self.changes);
        self.thread.join().ok()
    }
}

impl MadeTap {
    /// Hands over what the event changed, without blocking.
    pub fn event(&self, event: &Event) {
        if let Event::Completed(completion) = event
            && let Some(change) = NameChange::of(completion)
        {
            // The thread lives as long as there is a tap, unless it panicked.
            let _ = self.changes.send(change);
        }
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

/// Applies changes until the last sender is gone.
fn follow(mut made: MadePaths, changes: &Receiver<NameChange>, clock: &dyn Clock) -> MadePaths {
    lower_priority();
    let mut waiting = BinaryHeap::new();
    let mut numbers = 0..;
    loop {
        // Read before the channel is emptied: what ended up to here has then been received, unless
        // a shard stood still for longer than the patience.
        let mut ripe_ns = clock.now_ns().saturating_sub(PATIENCE_NS);
        let ended = loop {
            match changes.try_recv() {
                Ok(change) => {
                    let number = numbers.next().unwrap_or(u64::MAX);
                    waiting.push(Reverse(Waiting { number, change }));
                }
                Err(TryRecvError::Empty) => break false,
                Err(TryRecvError::Disconnected) => break true,
            }
        };
        if ended {
            ripe_ns = u64::MAX;
        }
        while let Some(Reverse(first)) = waiting.peek()
            && first.change.to_ns <= ripe_ns
            && let Some(Reverse(first)) = waiting.pop()
        {
            made.apply(first.change);
        }
        if ended {
            return made;
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_paths::Change;
    use super::*;
    use crate::protocol::SharePath;
    use crate::scheduler::{Precision, RealClock};

    #[test]
    fn changes_of_several_shards_are_applied_in_the_order_in_which_they_ended() {
        let clock = RealClock::start(Precision::Sleep);
        let tracker = MadeTracker::start(MadePaths::default(), clock).unwrap();
        let path = |path: &str| SharePath::new(path).unwrap();
        let change = |at_ns, what| NameChange { from_ns: at_ns, to_ns: at_ns + 1, what };
        let (first, second) = (tracker.tap(), tracker.tap());
        let moved = Change::Renamed { from: path("f"), to: path("g"), replace: false };
        second.changes.send(change(30, moved)).unwrap();
        let made = Change::Made { path: path("f"), is_directory: false };
        first.changes.send(change(10, made)).unwrap();
        second.changes.send(change(50, Change::Removed { path: path("f") })).unwrap();
        drop((first, second));
        let left = tracker.finish().unwrap().leftovers();
        let paths: Vec<&str> = left.iter().map(|left| left.path.as_str()).collect();
        assert_eq!((paths, left[0].is_doubtful), (vec!["g"], false));
    }
}
