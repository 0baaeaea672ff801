//! The times at which operations in flight time out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The times at which to check the clients' operations in flight. A client has at most one
/// entry, which is not moved when its operation ends. An entry may therefore be early, and is
/// then put back with a later time. Most operations cost nothing here.
#[derive(Debug)]
pub struct Deadlines {
    entries: BinaryHeap<Reverse<(u64, u32)>>,
    has_entry: Vec<bool>,
}

impl Deadlines {
    pub fn new(clients: usize) -> Deadlines {
        Deadlines { entries: BinaryHeap::new(), has_entry: vec![false; clients] }
    }

    /// Makes room for clients that were added.
    pub fn grow(&mut self, clients: usize) {
        self.has_entry.resize(clients, false);
    }

    /// Records that the client has an operation in flight that times out at `deadline_ns`.
    pub fn watch(&mut self, slot: u32, deadline_ns: u64) {
        if !std::mem::replace(&mut self.has_entry[slot as usize], true) {
            self.entries.push(Reverse((deadline_ns, slot)));
        }
    }

    pub fn next_ns(&self) -> Option<u64> {
        self.entries.peek().map(|Reverse((at_ns, _))| *at_ns)
    }

    /// Returns a client whose operation has timed out by `now_ns`. `deadline_of` returns when
    /// the operation that a client has in flight times out, if it has one.
    pub fn expired(
        &mut self,
        now_ns: u64,
        deadline_of: impl Fn(u32) -> Option<u64>,
    ) -> Option<u32> {
        while let Some(&Reverse((at_ns, slot))) = self.entries.peek()
            && at_ns <= now_ns
        {
            self.entries.pop();
            match deadline_of(slot) {
                Some(deadline_ns) if deadline_ns > now_ns => {
                    self.entries.push(Reverse((deadline_ns, slot)));
                }
                deadline_ns => {
                    self.has_entry[slot as usize] = false;
                    if deadline_ns.is_some() {
                        return Some(slot);
                    }
                }
            }
        }
        None
    }
}
