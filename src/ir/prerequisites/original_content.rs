//! The bytes of a file that must be there before a stream reads them.

/// Maximum number of separate ranges that are remembered of what the stream wrote into one file. If
/// a range is forgotten, the file may be prepared with more bytes than it needs.
const MAX_RANGES: usize = 16;

/// The part of a file's content that the stream did not write itself.
#[derive(Debug)]
pub(super) struct OriginalContent {
    /// The largest end of a read of original bytes.
    read_end: u64,
    /// The end of what is left of the original bytes.
    original_end: u64,
    /// The ranges that the stream wrote: (start, end), sorted and apart from each other.
    written: Vec<(u64, u64)>,
}

impl Default for OriginalContent {
    fn default() -> OriginalContent {
        OriginalContent { read_end: 0, original_end: u64::MAX, written: Vec::new() }
    }
}

impl OriginalContent {
    /// Returns the largest end of a read of bytes that the stream had not written.
    pub fn read_end(&self) -> u64 {
        self.read_end
    }

    /// Records a read. Returns whether it reads bytes that the stream has not written.
    pub fn read(&mut self, offset: u64, length: u64) -> bool {
        let mut end = offset.saturating_add(length);
        for &(start, written_end) in self.written.iter().rev() {
            if start < end && end <= written_end {
                end = start;
            }
        }
        end = end.min(self.original_end);
        let reads_original = end > offset;
        if reads_original {
            self.read_end = self.read_end.max(end);
        }
        reads_original
    }

    /// Records a write.
    pub fn write(&mut self, offset: u64, length: u64) {
        let (mut start, mut end) = (offset, offset.saturating_add(length));
        if start == end {
            return;
        }
        self.written.retain(|&(other_start, other_end)| {
            let touches = other_start <= end && start <= other_end;
            if touches {
                (start, end) = (start.min(other_start), end.max(other_end));
            }
            !touches
        });
        let at = self.written.partition_point(|range| range.0 < start);
        self.written.insert(at, (start, end));
        if self.written.len() > MAX_RANGES {
            self.written.remove(0);
        }
    }

    /// Records that the end of the file was set.
    pub fn truncate(&mut self, size: u64) {
        self.original_end = self.original_end.min(size);
    }
}
