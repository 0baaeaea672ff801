//! The memory of operations that were made and may wait to be issued.

use std::cell::Cell;

use super::options::ScriptLimits;

/// The memory of queued operations over the clients of one VM: the operations that each client has
/// made ahead, and its last batch. The scheduler requests a client's next batch when most of the
/// last batch is issued, so the VM needs no notice of each issue.
///
/// Without [`OperationMemory::share`] there is no room: no client runs before the top level has
/// ended.
#[derive(Debug, Default)]
pub(super) struct OperationMemory {
    bytes: Cell<usize>,
    most_bytes: Cell<usize>,
    batch_bytes: Cell<usize>,
    /// Number of VMs that share the script's memory.
    parts: Cell<u32>,
    /// Number of clients that have not begun to iterate. Each will need room for a batch.
    waiting: Cell<usize>,
}

impl OperationMemory {
    /// Makes room for this VM's part of the operations of all `clients`.
    pub fn share(&self, limits: &ScriptLimits, clients: u32, parts: u32) {
        self.most_bytes.set(limits.memory_of_queued() / parts as usize);
        self.batch_bytes.set(limits.batch_bytes(clients));
        self.parts.set(parts);
        self.waiting.set(clients.div_ceil(parts) as usize);
    }

    /// Records that another client begins to iterate.
    pub fn begin_iterations(&self) {
        self.waiting.set(self.waiting.get().saturating_sub(1));
    }

    /// Adds the memory of an operation that was made.
    ///
    /// # Errors
    /// A message if the operation exceeds the limit.
    pub fn add(&self, bytes: usize) -> Result<(), String> {
        let all = self.bytes.get() + bytes;
        if all > self.most_bytes.get() {
            return Err(self.exceeded());
        }
        self.bytes.set(all);
        Ok(())
    }

    /// Removes operations that were issued or never will be.
    pub fn remove(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
    }

    /// Returns whether operations of `bytes` bytes in total are a full batch, whatever their
    /// number.
    pub fn fills_batch(&self, bytes: usize) -> bool {
        bytes >= self.batch_bytes.get()
    }

    /// Returns whether a client may make `bytes` beyond its batch, to end its iteration. Every
    /// client that has not begun to iterate keeps its share, which is two batches.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        let reserved = self.waiting.get().saturating_mul(2 * self.batch_bytes.get());
        self.bytes.get().saturating_add(reserved).saturating_add(bytes) <= self.most_bytes.get()
    }

    fn exceeded(&self) -> String {
        let limit = shown_limit(self.most_bytes.get());
        let each = match self.parts.get() {
            1 => String::new(),
            parts => format!(" on each of {parts} generator threads"),
        };
        format!(
            "the operations that wait to be issued take more than {limit}{each}; fewer clients, shorter paths or fewer operations inside one callback need less, and an eighth of --script-memory is theirs"
        )
    }
}

/// Returns a part of the script's memory as errors write it.
pub(super) fn shown_limit(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_shown_in_a_unit_it_has_some_of() {
        let shown = [10, 65_536, 1_572_864, 1 << 30].map(shown_limit);
        assert_eq!(shown, ["10 bytes", "64 KiB", "1 MiB", "1024 MiB"]);
    }
}
