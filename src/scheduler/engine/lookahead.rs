//! The operations queued for one client, and the memory they take.

use std::collections::VecDeque;
use std::ops::Deref;

use crate::ir::Operation;

#[derive(Debug, Default)]
pub struct Lookahead {
    operations: VecDeque<Operation>,
    bytes: usize,
}

impl Lookahead {
    /// Returns whether at most half of `most` operations and at most `most_bytes` are queued.
    pub fn is_low(&self, most: usize, most_bytes: usize) -> bool {
        self.operations.len() <= most / 2 && self.bytes <= most_bytes
    }

    /// Appends a batch. An empty queue takes over the batch's memory.
    pub fn append(&mut self, batch: Vec<Operation>) {
        self.bytes += batch.iter().map(Operation::memory_bytes).sum::<usize>();
        match self.operations.is_empty() {
            true => self.operations = batch.into(),
            false => self.operations.extend(batch),
        }
    }

    pub fn pop_front(&mut self) -> Option<Operation> {
        let operation = self.operations.pop_front()?;
        self.bytes -= operation.memory_bytes();
        Some(operation)
    }

    pub fn retain(&mut self, keep: impl FnMut(&Operation) -> bool) {
        self.operations.retain(keep);
        self.bytes = self.operations.iter().map(Operation::memory_bytes).sum();
    }

    pub fn clear(&mut self) {
        *self = Lookahead::default();
    }
}

impl Deref for Lookahead {
    type Target = VecDeque<Operation>;

    fn deref(&self) -> &VecDeque<Operation> {
        &self.operations
    }
}
