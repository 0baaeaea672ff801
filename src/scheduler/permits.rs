//! The bounds on operations over all shards: on those in flight, and on their total.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::operation_bound::OperationBound;

/// The permits, first come, first served over all shards. A freed permit is handed to the
/// client that has waited longest, so that no shard can starve another.
pub struct Permits {
    /// The limit. Without it, only the rule of one operation per client applies.
    bounded: Option<Mutex<Bounded>>,
    /// The bound on operations. Without it, the stream alone has an end.
    operations: Option<OperationBound>,
    /// The notification of each shard that it was handed a permit, or that the last operation was
    /// taken.
    wakers: Vec<Notify>,
}

struct Bounded {
    free: u32,
    /// The shard of each waiting client, in the order they came.
    waiting: VecDeque<usize>,
    /// Permits handed to a shard's waiting clients and not yet taken up.
    granted: Vec<u32>,
}

impl Permits {
    pub fn new(limit: Option<u32>, shards: usize) -> Permits {
        let bounded = limit.map(|free| {
            Mutex::new(Bounded { free, waiting: VecDeque::new(), granted: vec![0; shards] })
        });
        let wakers = (0..shards).map(|_| Notify::new()).collect();
        Permits { bounded, operations: None, wakers }
    }

    /// Adds a bound on the total number of operations of iterations.
    pub fn with_operations(self, most: Option<u64>) -> Permits {
        Permits { operations: most.map(OperationBound::new), ..self }
    }

    /// The bound on the number of operations, if there is one.
    pub fn operations(&self) -> Option<&OperationBound> {
        self.operations.as_ref()
    }

    /// Takes one operation from the bound and returns true, or returns false if none is left.
    /// Wakes every shard when the last one was taken.
    pub fn take_operation(&self) -> bool {
        let Some(bound) = &self.operations else { return true };
        let taken = bound.take();
        if bound.is_reached() {
            self.wakers.iter().for_each(Notify::notify_one);
        }
        taken
    }

    /// Takes a permit and returns true, or queues one client of the shard for the next.
    pub fn acquire(&self, shard: usize) -> bool {
        let Some(mut bounded) = self.lock() else { return true };
        if bounded.free > 0 && bounded.waiting.is_empty() {
            bounded.free -= 1;
            return true;
        }
        bounded.waiting.push_back(shard);
        false
    }

    /// Releases a permit and hands it to the client that has waited longest, if any waits.
    pub fn release(&self, shard: usize) {
        let Some(mut bounded) = self.lock() else { return };
        match bounded.waiting.pop_front() {
            Some(next) => {
                bounded.granted[next] += 1;
                drop(bounded);
                if next != shard {
                    self.wakers[next].notify_one();
                }
            }
            None => bounded.free += 1,
        }
    }

    /// Takes the number of permits handed to the shard's waiting clients since the last call.
    pub fn take_granted(&self, shard: usize) -> u32 {
        self.lock().map_or(0, |mut bounded| std::mem::take(&mut bounded.granted[shard]))
    }

    /// Withdraws every client of the shard that still waits.
    pub fn withdraw(&self, shard: usize) {
        if let Some(mut bounded) = self.lock() {
            bounded.waiting.retain(|waiting| *waiting != shard);
        }
    }

    /// Waits until the shard has been handed a permit, or no operation is left.
    pub async fn granted(&self, shard: usize) {
        self.wakers[shard].notified().await;
    }

    /// Returns whether [`Permits::granted`] may ever end.
    pub fn is_bounded(&self) -> bool {
        self.bounded.is_some() || self.operations.is_some()
    }

    fn lock(&self) -> Option<MutexGuard<'_, Bounded>> {
        Some(self.bounded.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_permit_goes_to_the_client_that_waited_longest() {
        let permits = Permits::new(Some(1), 2);
        assert!(permits.acquire(0));
        assert!(!permits.acquire(1));
        assert!(!permits.acquire(0));
        permits.release(0);
        assert_eq!((permits.take_granted(0), permits.take_granted(1)), (0, 1));
        permits.release(1);
        assert_eq!((permits.take_granted(0), permits.take_granted(1)), (1, 0));
        permits.release(0);
        assert!(permits.acquire(1));
    }

    #[test]
    fn withdrawn_clients_are_passed_over() {
        let permits = Permits::new(Some(1), 2);
        assert!(permits.acquire(0));
        assert!(!permits.acquire(1));
        permits.withdraw(1);
        permits.release(0);
        assert_eq!(permits.take_granted(1), 0);
        assert!(permits.acquire(0));
    }
}
