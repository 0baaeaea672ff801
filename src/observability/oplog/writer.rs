//! The thread that writes the operation log.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use super::super::metrics::Layout;
use super::Counts;
use super::line::line;
use super::tap::Record;

/// How often the thread looks for records. It is not woken: that would cost
/// the shards a system call.
const LOOK: Duration = Duration::from_millis(5);
const WRITE_AT: usize = 256 << 10;

/// Writes what comes, until nothing more can. After a failure, everything is
/// dropped, and the file ends with its last whole line.
pub(super) fn write(
    file: File,
    queued: &Receiver<Vec<Record>>,
    layout: &Layout,
    counts: &Counts,
) -> io::Result<()> {
    let mut log = Log { file, length: 0, buffer: Vec::new(), lines: 0, counts };
    let mut result = Ok(());
    loop {
        match queued.try_recv() {
            Ok(batch) if result.is_ok() => result = log.take(&batch, layout),
            Ok(batch) => log.drop_lines(batch.len()),
            Err(TryRecvError::Empty) => {
                if result.is_ok() {
                    result = log.flush();
                }
                thread::sleep(LOOK);
            }
            Err(TryRecvError::Disconnected) => break,
        }
    }
    result.and_then(|()| log.flush())
}

struct Log<'a> {
    file: File,
    /// Of the lines that are written.
    length: u64,
    buffer: Vec<u8>,
    /// In the buffer.
    lines: usize,
    counts: &'a Counts,
}

impl Log<'_> {
    fn take(&mut self, batch: &[Record], layout: &Layout) -> io::Result<()> {
        for record in batch {
            serde_json::to_writer(&mut self.buffer, &line(record, layout))?;
            self.buffer.push(b'\n');
        }
        self.lines += batch.len();
        if self.buffer.len() >= WRITE_AT { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let lines = std::mem::take(&mut self.lines);
        let written = self.file.write_all(&self.buffer);
        match &written {
            Ok(()) => {
                self.length += self.buffer.len() as u64;
                self.counts.written.fetch_add(lines as u64, Relaxed);
            }
            Err(_) => {
                self.drop_lines(lines);
                // A part of a line is of no use. Where it cannot be taken away
                // either, it stays.
                let _ = self.file.set_len(self.length);
            }
        }
        self.buffer.clear();
        written
    }

    fn drop_lines(&self, lines: usize) {
        self.counts.dropped.fetch_add(lines as u64, Relaxed);
    }
}
