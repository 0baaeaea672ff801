//! When operations in flight time out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// When to look at each client's operation in flight again. A client has at
/// most one entry, which is not moved when its operation ends: so an entry may
/// be early, and is then put back for later. Most operations cost nothing here.
#[derive(Debug)]
pub struct Deadlines {
    entries: BinaryHeap<Reverse<(u64, u32)>>,
    has_entry: Vec<bool>,
}

impl Deadlines {
    pub fn new(clients: usize) -> Deadlines {
        Deadlines { entries: BinaryHeap::new(), has_entry: vec![false; clients] }
    }

    /// The client has an operation in flight that times out at `deadline_ns`.
    pub fn watch(&mut self, slot: u32, deadline_ns: u64) {
        if !std::mem::replace(&mut self.has_entry[slot as usize], true) {
            self.entries.push(Reverse((deadline_ns, slot)));
        }
    }

    pub fn next_ns(&self) -> Option<u64> {
        self.entries.peek().map(|Reverse((at_ns, _))| *at_ns)
    }

    /// A client whose operation has timed out by `now_ns`. `deadline_of` says
    /// when a client's operation in flight does, if it has one.
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
