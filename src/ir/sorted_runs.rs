//! Sorted runs in a temporary file. They put a document of any size in order, and compare its
//! ids, in bounded memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;

/// A temporary file without a name that sorted runs are appended to.
pub(super) struct SortedRuns {
    file: BufWriter<File>,
    written: u64,
    ends: Vec<u64>,
}

/// The memory in bytes for reading all runs at once.
const READ_BUFFERS: usize = 16 << 20;

impl SortedRuns {
    pub fn new() -> io::Result<SortedRuns> {
        let file = BufWriter::with_capacity(1 << 18, tempfile::tempfile()?);
        Ok(SortedRuns { file, written: 0, ends: Vec::new() })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    pub fn end_run(&mut self) {
        self.ends.push(self.written);
    }

    /// Reads all runs at once. Passes the first `N` bytes of each record to `take`, in the order of
    /// their keys, with the reader of what follows them. Records of the same key come in the order
    /// of their runs.
    pub fn merge<const N: usize, K: Ord>(
        self,
        key: impl Fn(&[u8; N]) -> K,
        mut take: impl FnMut([u8; N], &mut BufReader<FileRange<'_>>) -> io::Result<()>,
    ) -> io::Result<()> {
        let file = &self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let capacity = (READ_BUFFERS / self.ends.len().max(1)).clamp(4 << 10, 256 << 10);
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = starts.zip(&self.ends).map(|(at, &end)| FileRange { file, at, end });
        let mut readers: Vec<_> =
            ranges.map(|range| BufReader::with_capacity(capacity, range)).collect();
        let next = |reader: &mut BufReader<FileRange<'_>>, index| {
            let mut record = [0; N];
            let has_next = read_record(reader, &mut record)?;
            io::Result::Ok(has_next.then(|| Reverse((key(&record), index, record))))
        };
        let mut heads = BinaryHeap::with_capacity(readers.len());
        for (index, reader) in readers.iter_mut().enumerate() {
            heads.extend(next(reader, index)?);
        }
        while let Some(Reverse((_, index, record))) = heads.pop() {
            let reader = &mut readers[index];
            take(record, reader)?;
            heads.extend(next(reader, index)?);
        }
        Ok(())
    }
}

/// A part of a file, read without moving the file's own position.
pub(super) struct FileRange<'f> {
    file: &'f File,
    at: u64,
    end: u64,
}

impl Read for FileRange<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Fills `buffer` and returns true, or returns false if the range had ended before its first byte.
fn read_record(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read(&mut buffer[..1])? {
        0 => Ok(false),
        _ => reader.read_exact(&mut buffer[1..]).map(|()| true),
    }
}
