//! The heartbeat of a shard: it measures how late the shard's driver gets to its work.

use std::task::{Context, Poll};

use super::clock::Alarm;
use crate::ir::event::HEARTBEAT_PERIOD_NS;

/// A timer that rings at regular times while the shard measures.
pub struct Heartbeat {
    alarm: Box<dyn Alarm>,
    due_ns: u64,
}

impl Heartbeat {
    /// Starts a heartbeat. Its first beat is due one period after `now_ns`.
    pub fn start(alarm: Box<dyn Alarm>, now_ns: u64) -> Heartbeat {
        Heartbeat { alarm, due_ns: now_ns.saturating_add(HEARTBEAT_PERIOD_NS) }
    }

    /// Returns ready when the next beat is due.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll_until(self.due_ns, cx)
    }

    /// Returns how late the beat is, in nanoseconds, if it is due by `now_ns`. The next beat
    /// is due one period after `now_ns`, so that a delay of several periods counts once.
    pub fn beat(&mut self, now_ns: u64) -> Option<u64> {
        let late_ns = now_ns.checked_sub(self.due_ns)?;
        self.due_ns = now_ns.saturating_add(HEARTBEAT_PERIOD_NS);
        Some(late_ns)
    }
}
