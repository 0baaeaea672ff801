//! The thread that writes the operation log.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::super::layout::Layout;
use super::line::line;
use super::tap::{LineCounts, LogRecord};

/// The pause between two looks for records. Shards do not wake the thread, because that would cost
/// them a system call.
const LOOK: Duration = Duration::from_millis(5);
const WRITE_AT: usize = 256 << 10;

/// Writes the queued records until all senders are gone, each batch with the latest `layout`. After a failure it drops all further
/// records, and the file ends with its last whole line.
pub(super) fn write(
    file: File,
    queued: &Receiver<Vec<LogRecord>>,
    layout: &Mutex<Arc<Layout>>,
    counts: &LineCounts,
) -> io::Result<()> {
    let mut log = Log { file, length: 0, buffer: Vec::new(), counts };
    let mut result = Ok(());
    loop {
        match queued.try_recv() {
            Ok(batch) if result.is_ok() => {
                let layout = layout.lock().unwrap_or_else(PoisonError::into_inner).clone();
                result = log.take(&batch, &layout);
            }
            Ok(batch) => drop(counts.dropped.fetch_add(batch.len() as u64, Relaxed)),
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
    /// The length of the lines in the file, in bytes.
    length: u64,
    buffer: Vec<u8>,
    counts: &'a LineCounts,
}

impl Log<'_> {
    fn take(&mut self, batch: &[LogRecord], layout: &Layout) -> io::Result<()> {
        for record in batch {
            serde_json::to_writer(&mut self.buffer, &line(record, layout))?;
            self.buffer.push(b'\n');
        }
        if self.buffer.len() >= WRITE_AT { self.flush() } else { Ok(()) }
    }

    /// Writes the buffer. If that fails, keeps every whole line that fits.
    fn flush(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let (taken, written) = self.append(&buffer);
        let mut kept = memchr::memrchr(b'\n', &buffer[..taken]).map_or(0, |end| end + 1);
        self.length += kept as u64;
        if written.is_err() {
            // Some file systems refuse all of a large write even if a part of it fits.
            for line in buffer[kept..].split_inclusive(|byte| *byte == b'\n') {
                if self.append(line).1.is_err() {
                    break;
                }
                self.length += line.len() as u64;
                kept += line.len();
            }
            // A partial line is of no use. It stays if it cannot be removed either.
            let _ = self.file.set_len(self.length);
        }
        self.counts.written.fetch_add(lines(&buffer[..kept]), Relaxed);
        self.counts.dropped.fetch_add(lines(&buffer[kept..]), Relaxed);
        self.buffer = buffer;
        self.buffer.clear();
        written
    }

    /// Writes `bytes` after the lines in the file. Returns the number of bytes that the system
    /// took, and the error if that was not all.
    fn append(&self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.file.write_at(&bytes[taken..], self.length + taken as u64) {
                Ok(0) => return (taken, Err(ErrorKind::WriteZero.into())),
                Ok(more) => taken += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (taken, Err(error)),
            }
        }
        (taken, Ok(()))
    }
}

fn lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}
