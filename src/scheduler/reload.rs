//! The orders by which a run takes its shards from one generation of the stream to the next, and
//! their reports.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::client::ClientSettings;
use super::engine::{Generation, GenerationTimes};
use super::feed::Feed;
use crate::ir::SourceError;

/// An order to a shard.
pub enum ReloadOrder {
    /// To fetch the first operations of a generation.
    Prepare(Box<ShardReload>),
    /// To let clients move to the generation that was prepared.
    Begin { generation: u32, times: GenerationTimes },
    /// To forget the generation that was prepared.
    Withdraw { generation: u32 },
}

/// A shard's part in a generation.
pub struct ShardReload {
    /// The number of the attempt: a generation that was withdrawn has the number of the next one.
    pub attempt: u64,
    pub generation: Generation,
    pub feed: Box<dyn Feed + Send>,
    /// The settings of clients that join with the generation.
    pub client: Arc<ClientSettings>,
}

/// A report of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadReport {
    pub shard: usize,
    pub generation: u32,
    pub reached: Reached,
}

/// The point that a shard has reached with a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The first operations of all its clients have arrived, or one of them broke off.
    Fetched { attempt: u64, result: Result<(), SourceError> },
    /// The time for moving is over, and this number of its clients were cut.
    Cut(u32),
    /// All its clients have moved to the generation, left or failed. No client is in an earlier
    /// generation.
    Settled,
}

/// A shard's end of the line on which orders come and reports go. Both are few: one of each kind
/// for each generation.
pub struct ShardLine {
    pub(super) orders: UnboundedReceiver<ReloadOrder>,
    reports: UnboundedSender<ReloadReport>,
}

impl ShardLine {
    pub(super) fn report(&self, shard: usize, generation: u32, reached: Reached) {
        // The run may have ended.
        let _ = self.reports.send(ReloadReport { shard, generation, reached });
    }
}

/// The run's end of the lines to all shards.
pub struct ShardLines {
    orders: Vec<UnboundedSender<ReloadOrder>>,
    pub reports: UnboundedReceiver<ReloadReport>,
}

impl ShardLines {
    /// Creates the lines to `shards` shards.
    pub fn new(shards: usize) -> (ShardLines, Vec<ShardLine>) {
        let (reporting, reports) = unbounded_channel();
        let (orders, ends) = (0..shards)
            .map(|_| {
                let (sender, orders) = unbounded_channel();
                (sender, ShardLine { orders, reports: reporting.clone() })
            })
            .unzip();
        (ShardLines { orders, reports }, ends)
    }

    /// Sends an order to a shard. A shard that has ended needs none.
    pub fn order(&self, shard: usize, order: ReloadOrder) {
        if let Some(orders) = self.orders.get(shard) {
            let _ = orders.send(order);
        }
    }

    /// Returns the number of shards.
    pub fn shards(&self) -> usize {
        self.orders.len()
    }
}
