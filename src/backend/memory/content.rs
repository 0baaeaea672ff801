//! A file's bytes: chunks where something was written, holes elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::protocol::NtStatus;

const CHUNK: u64 = 64 << 10;
const CLUSTER: u64 = 4 << 10;
/// The largest end of file an SMB server takes: offsets are signed on the wire.
const MAX_SIZE: u64 = i64::MAX as u64;

/// The bytes that all files of a tree may allocate together.
pub struct Space {
    limit: u64,
    used: AtomicU64,
}

impl Space {
    pub fn new(limit: u64) -> Space {
        Space { limit, used: AtomicU64::new(0) }
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<(), NtStatus> {
        self.used
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|total| *total <= self.limit)
            })
            .map(|_| ())
            .map_err(|_| NtStatus::DISK_FULL)
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

pub struct Content {
    size: u64,
    /// The chunks by number. A chunk holds the beginning of its 64 KiB, in a power of two of
    /// clusters. The rest reads as zeros, and so does what lies past the end of file.
    chunks: BTreeMap<u64, Vec<u8>>,
    allocated: u64,
    space: Arc<Space>,
}

impl Content {
    pub fn new(space: Arc<Space>) -> Content {
        Content { size: 0, chunks: BTreeMap::new(), allocated: 0, space }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Reads up to `length` bytes, fewer at the end of the file.
    ///
    /// # Errors
    /// STATUS_END_OF_FILE at or past the end, unless nothing was asked for.
    pub fn read(&self, offset: u64, length: u64) -> Result<Bytes, NtStatus> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        if offset >= self.size {
            return Err(NtStatus::END_OF_FILE);
        }
        let end = self.size.min(offset.saturating_add(length));
        let length = usize::try_from(end - offset).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        let mut bytes = Vec::with_capacity(length);
        for (number, chunk) in self.chunks.range(offset / CHUNK..=(end - 1) / CHUNK) {
            let base = number * CHUNK;
            let at = offset + bytes.len() as u64;
            if at < base {
                bytes.resize((base - offset) as usize, 0);
            }
            let from = offset.saturating_sub(base) as usize;
            let to = (end - base).min(chunk.len() as u64) as usize;
            if from < to {
                bytes.extend_from_slice(&chunk[from..to]);
            }
        }
        bytes.resize(length, 0);
        Ok(bytes.into())
    }

    /// Writes all of `data`, or nothing.
    ///
    /// # Errors
    /// STATUS_DISK_FULL; STATUS_INVALID_PARAMETER past the largest offset.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), NtStatus> {
        let end = offset
            .checked_add(data.len() as u64)
            .filter(|end| *end <= MAX_SIZE)
            .ok_or(NtStatus::INVALID_PARAMETER)?;
        if data.is_empty() {
            return Ok(());
        }
        let touched = offset / CHUNK..=(end - 1) / CHUNK;
        let growth = touched.clone().map(|number| {
            let held = self.chunks.get(&number).map_or(0, |chunk| chunk.len() as u64);
            chunk_size(end - number * CHUNK).saturating_sub(held)
        });
        let growth = growth.sum();
        self.space.take(growth)?;
        self.allocated += growth;
        let mut rest = data;
        for number in touched {
            let base = number * CHUNK;
            let from = offset.saturating_sub(base) as usize;
            let (piece, after) = rest.split_at(rest.len().min(CHUNK as usize - from));
            rest = after;
            let chunk = self.chunks.entry(number).or_default();
            let held = chunk_size(end - base) as usize;
            if chunk.len() < held {
                chunk.reserve_exact(held - chunk.len());
                chunk.resize(held, 0);
            }
            chunk[from..from + piece.len()].copy_from_slice(piece);
        }
        self.size = self.size.max(end);
        Ok(())
    }

    /// Sets the end of file; new bytes read as zeros and allocate nothing.
    ///
    /// # Errors
    /// STATUS_INVALID_PARAMETER past the largest offset.
    pub fn truncate(&mut self, size: u64) -> Result<(), NtStatus> {
        if size > MAX_SIZE {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        if size < self.size {
            let dropped = self.chunks.split_off(&size.div_ceil(CHUNK));
            let freed = dropped.values().map(|chunk| chunk.len() as u64).sum();
            self.allocated -= freed;
            self.space.give_back(freed);
            let kept = (size % CHUNK) as usize;
            if let Some(tail) = self.chunks.get_mut(&(size / CHUNK)).and_then(|c| c.get_mut(kept..))
            {
                tail.fill(0);
            }
        }
        self.size = size;
        Ok(())
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.space.give_back(self.allocated);
    }
}

/// Returns the number of bytes that a chunk allocates to hold its first `bytes`.
fn chunk_size(bytes: u64) -> u64 {
    bytes.min(CHUNK).next_power_of_two().max(CLUSTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(limit: u64) -> Content {
        Content::new(Arc::new(Space::new(limit)))
    }

    #[test]
    fn a_write_far_out_leaves_a_hole_that_reads_as_zeros_and_costs_nothing() {
        let mut content = content(1 << 20);
        let far = 10 << 30;
        content.write(far + 3, b"end").unwrap();
        assert_eq!(content.size(), far + 6);
        assert_eq!(content.allocated(), CLUSTER);
        assert_eq!(&content.read(far, 100).unwrap()[..], b"\0\0\0end");
        assert_eq!(&content.read(far - 200_000, 5).unwrap()[..], [0; 5]);
    }

    #[test]
    fn data_written_in_pieces_is_read_back_in_any_other_pieces() {
        let mut content = content(1 << 20);
        let data: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
        for (i, piece) in data.chunks(7_001).enumerate().rev() {
            content.write(i as u64 * 7_001, piece).unwrap();
        }
        for (offset, length) in [(0, 300_000), (65_535, 2), (65_536, 65_536), (131_000, 169_000)] {
            let expected = &data[offset..offset + length];
            assert_eq!(&content.read(offset as u64, length as u64).unwrap()[..], expected);
        }
        assert_eq!(content.read(299_999, 10).unwrap().len(), 1);
    }

    #[test]
    fn reading_at_the_end_is_end_of_file_but_reading_nothing_is_not() {
        let mut content = content(1 << 20);
        content.write(0, b"abc").unwrap();
        assert_eq!(content.read(3, 1), Err(NtStatus::END_OF_FILE));
        assert_eq!(content.read(u64::MAX, u64::MAX), Err(NtStatus::END_OF_FILE));
        assert_eq!(content.read(3, 0).unwrap(), Bytes::new());
    }

    #[test]
    fn a_truncated_range_reads_as_zeros_after_growing_again() {
        let mut content = content(1 << 20);
        content.write(0, &[7; 100_000]).unwrap();
        content.truncate(10).unwrap();
        content.truncate(100_000).unwrap();
        let bytes = content.read(0, 100_000).unwrap();
        assert!(bytes[..10].iter().all(|b| *b == 7) && bytes[10..].iter().all(|b| *b == 0));
        assert_eq!(content.allocated(), CHUNK);
    }

    #[test]
    fn a_full_disk_refuses_a_write_whole_and_takes_it_after_something_was_freed() {
        let mut content = content(2 * CHUNK);
        content.write(0, &[1; 2 * CHUNK as usize]).unwrap();
        assert_eq!(content.write(CHUNK, &[2; CHUNK as usize + 1]), Err(NtStatus::DISK_FULL));
        assert_eq!(content.size(), 2 * CHUNK);
        assert_eq!(content.read(CHUNK, 1).unwrap()[0], 1);
        content.truncate(CHUNK).unwrap();
        content.write(2 * CHUNK, b"x").unwrap();
        let space = content.space.clone();
        drop(content);
        assert_eq!(space.used(), 0);
    }

    #[test]
    fn offsets_past_the_signed_range_are_refused() {
        let mut content = content(1 << 20);
        assert_eq!(content.write(u64::MAX, b"x"), Err(NtStatus::INVALID_PARAMETER));
        assert_eq!(content.write(MAX_SIZE, b"x"), Err(NtStatus::INVALID_PARAMETER));
        assert_eq!(content.truncate(MAX_SIZE + 1), Err(NtStatus::INVALID_PARAMETER));
        content.truncate(MAX_SIZE).unwrap();
        assert_eq!(content.read(MAX_SIZE - 1, 8).unwrap().len(), 1);
    }
}
