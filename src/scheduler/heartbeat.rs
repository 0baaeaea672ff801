//! Measures how late a shard's driver gets to what it has to do.

use std::task::{Context, Poll};

use super::clock::Alarm;
use crate::ir::event::HEARTBEAT_PERIOD_NS;

/// A wake at regular times while the shard measures.
pub struct Heartbeat {
    alarm: Box<dyn Alarm>,
    due_ns: u64,
}

impl Heartbeat {
    /// Begins at `now_ns`.
    pub fn start(alarm: Box<dyn Alarm>, now_ns: u64) -> Heartbeat {
        Heartbeat { alarm, due_ns: now_ns.saturating_add(HEARTBEAT_PERIOD_NS) }
    }

    /// Ready when the next beat is due.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll_until(self.due_ns, cx)
    }

    /// Returns how late the beat is that the driver gets to at `now_ns`. The next is due
    /// a period later: the time between counts once.
    pub fn beat(&mut self, now_ns: u64) -> Option<u64> {
        let late_ns = now_ns.checked_sub(self.due_ns)?;
        self.due_ns = now_ns.saturating_add(HEARTBEAT_PERIOD_NS);
        Some(late_ns)
    }
}
