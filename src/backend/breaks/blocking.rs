//! The end of a pending break, which blocked operations wait for.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::backend::Clock;

/// A pending break as the operations that wait for its end see it.
#[derive(Default)]
pub struct Block {
    over: Notify,
    tally: Mutex<Tally>,
}

/// The operations that waited for a break, and their total wait.
#[derive(Default)]
struct Tally {
    ended_ns: Option<u64>,
    blocked: u32,
    waiting: u32,
    /// Sum of the times, in nanoseconds, at which the operations that still wait began to.
    since_ns: u128,
    /// Total wait of the operations that stopped waiting before the end of the break.
    left_ns: u64,
}

impl Block {
    /// Counts one more operation that waits. Returns None if the break has already ended.
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

    /// Ends the break. Returns the number of operations that waited and their total wait in
    /// nanoseconds.
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

    /// Waits for the end of the break and returns its time.
    pub async fn over(&self) -> u64 {
        let mut over = pin!(self.over.notified());
        // Enables the waiter before reading the state, so that it cannot miss a break that ends in
        // between.
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

/// Adds an operation to those that wait for the break that `pending` finds. If that break has ended
/// since, `pending` is called again, because another break of the same file may be pending.
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

/// An operation that waits for the end of a break. Dropping it earlier ends its wait.
pub struct Waiting {
    block: Arc<Block>,
    clock: Arc<dyn Clock>,
    since_ns: u64,
}

impl Waiting {
    /// Waits for the end of the break and returns its time.
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;

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
    fn waiting_operations_are_counted_with_their_time_and_released_together() {
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

    /// Two of three breaks of one file end between the lookup and the wait.
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
}
