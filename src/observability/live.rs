//! Counters that can be read while a run goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// The counters that the progress line shows. Each shard writes its own.
#[derive(Debug, Default)]
pub struct Live {
    shards: Vec<Arc<LiveShard>>,
    connected: AtomicU32,
    prepared: AtomicU32,
}

/// The counters of one shard, on cache lines of their own (two, because
/// processors fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct LiveShard {
    operations: AtomicU64,
    failed: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveTotals {
    /// Operations that succeeded or failed, setup and teardown included.
    pub operations: u64,
    pub failed: u64,
    pub connected: u32,
    pub prepared: u32,
}

impl Live {
    pub fn new(shards: usize) -> Live {
        Live { shards: (0..shards).map(|_| Arc::default()).collect(), ..Live::default() }
    }

    /// Returns the counters of a shard, or counters that nobody reads if there is no such shard.
    pub fn shard(&self, shard: usize) -> Arc<LiveShard> {
        self.shards.get(shard).cloned().unwrap_or_default()
    }

    /// Counts a client as connected.
    pub fn add_connected(&self) {
        self.connected.fetch_add(1, Relaxed);
    }

    /// Counts a client whose first operations have been fetched.
    pub fn add_prepared(&self) {
        self.prepared.fetch_add(1, Relaxed);
    }

    pub fn totals(&self) -> LiveTotals {
        let (connected, prepared) = (self.connected.load(Relaxed), self.prepared.load(Relaxed));
        let none = LiveTotals { connected, prepared, ..LiveTotals::default() };
        self.shards.iter().fold(none, |sum, shard| LiveTotals {
            operations: sum.operations + shard.operations.load(Relaxed),
            failed: sum.failed + shard.failed.load(Relaxed),
            ..sum
        })
    }
}

impl LiveShard {
    /// Counts an operation. Only the shard's one recorder calls this, so a load and a store are
    /// enough.
    pub(super) fn add_operation(&self, failed: bool) {
        self.operations.store(self.operations.load(Relaxed) + 1, Relaxed);
        if failed {
            self.failed.store(self.failed.load(Relaxed) + 1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_add_the_shards_up() {
        let live = Live::new(2);
        live.shard(0).add_operation(false);
        live.shard(1).add_operation(true);
        live.add_connected();
        live.add_prepared();
        live.add_prepared();
        assert_eq!(
            live.totals(),
            LiveTotals { operations: 2, failed: 1, connected: 1, prepared: 2 }
        );
    }
}
