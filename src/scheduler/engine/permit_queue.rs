//! The clients of a shard that wait for a permit or were handed one.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::scheduler::permits::Permits;

/// One shard's part in the permits that all shards share.
pub struct PermitQueue {
    pub(super) shared: Arc<Permits>,
    shard: usize,
    /// The clients that wait for a permit, in the order in which they asked.
    waiters: VecDeque<u32>,
    /// The clients that waited, hold a permit, and are to be issued now.
    granted: VecDeque<u32>,
}

impl PermitQueue {
    pub fn new(shared: Arc<Permits>, shard: usize) -> PermitQueue {
        PermitQueue { shared, shard, waiters: VecDeque::new(), granted: VecDeque::new() }
    }

    /// Takes a permit for the client and returns true, or lets the client wait for one.
    pub fn acquire(&mut self, slot: u32) -> bool {
        let acquired = self.shared.acquire(self.shard);
        if !acquired {
            self.waiters.push_back(slot);
        }
        acquired
    }

    pub fn release(&self) {
        self.shared.release(self.shard);
    }

    /// Passes the permits that this shard was handed to the clients that have waited longest.
    pub fn collect(&mut self) {
        for _ in 0..self.shared.take_granted(self.shard) {
            match self.waiters.pop_front() {
                Some(slot) => self.granted.push_back(slot),
                None => self.release(),
            }
        }
    }

    /// Returns the first client that was handed a permit and is not issued yet.
    pub fn first_granted(&self) -> Option<u32> {
        self.granted.front().copied()
    }

    pub fn pop_granted(&mut self) -> Option<u32> {
        self.granted.pop_front()
    }

    /// Keeps the chosen clients. The others no longer wait, and their permits are released.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.shared.withdraw(self.shard);
        for slot in std::mem::take(&mut self.granted) {
            match keep(slot) {
                true => self.granted.push_back(slot),
                false => self.release(),
            }
        }
        for slot in std::mem::take(&mut self.waiters) {
            if keep(slot) && self.acquire(slot) {
                self.granted.push_back(slot);
            }
        }
    }
}
