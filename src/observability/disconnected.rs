//! Time in which clients had no connection.

use std::collections::BTreeSet;

use serde::Serialize;

use super::merge::{Merge, merge_fields};
use crate::ir::event::{Disconnection, Reopened};

/// The time for which the clients had no connection in one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disconnected {
    /// The sum over clients, in nanoseconds.
    pub client_ns: u128,
    pub clients: BTreeSet<u32>,
    pub longest_ns: u64,
}

/// Time in which clients had no connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DisconnectedSummary {
    /// Seconds without a connection, summed over clients.
    pub client_seconds: f64,
    /// Number of clients that were without a connection for a time.
    pub clients: u64,
    /// The longest time that one client had none, in seconds from the loss on.
    pub longest_s: f64,
}

/// Handles that were opened again after a lost connection, as their opens asked for
/// (`reopen`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReopenedSummary {
    /// Handles that were opened again.
    pub handles: u64,
    /// Attempts that failed, so that the operation was skipped.
    pub failed: u64,
    /// Byte-range locks that the handles had before and lost with the connection.
    pub locks_lost: u64,
}

merge_fields!(ReopenedSummary { handles, failed, locks_lost });

impl ReopenedSummary {
    pub fn add(&mut self, reopened: &Reopened) {
        self.handles += u64::from(!reopened.failed);
        self.failed += u64::from(reopened.failed);
        self.locks_lost += u64::from(reopened.locks_lost);
    }
}

impl Disconnected {
    pub fn add(&mut self, stretch: &Disconnection) {
        self.client_ns += u128::from(stretch.to_ns.saturating_sub(stretch.from_ns));
        self.clients.insert(stretch.client_idx);
        self.longest_ns = self.longest_ns.max(stretch.to_ns.saturating_sub(stretch.lost_ns));
    }

    pub fn summary(&self) -> DisconnectedSummary {
        let seconds = |ns: u128| (ns as f64 / 1e3).round() / 1e6;
        DisconnectedSummary {
            client_seconds: seconds(self.client_ns),
            clients: self.clients.len() as u64,
            longest_s: seconds(self.longest_ns.into()),
        }
    }
}

impl Merge for Disconnected {
    fn merge(&mut self, other: &Disconnected) {
        self.client_ns += other.client_ns;
        self.clients.merge(&other.clients);
        self.longest_ns = self.longest_ns.max(other.longest_ns);
    }
}
