//! A bounded queue of text, and the thread that writes it.
//!
//! Crate tracing-appender does not serve: it bounds the number of lines and not their
//! bytes, and does not count the lines that are queued when its flush gives up.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use super::super::priority::lower_priority;

/// The most bytes queued: room for more than all that the VMs of a script may print.
const MOST_BYTES: usize = 4 << 20;
/// Additional room for the messages of panics.
const PANIC_BYTES: usize = 256 << 10;
/// The memory that a queued text takes besides its bytes.
const OVERHEAD_BYTES: usize = 64;
/// The number of queued bytes above which frames of a progress line are skipped.
const FRAME_BYTES: usize = 4 << 10;

/// The longest that a flush waits while nothing is read, and the longest it waits in all.
const STALLED: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(10);
/// The escape sequence that moves the cursor to the start of the line and erases it (ECMA-48).
pub(super) const CLEAR_LINE: &str = "\r\x1b[2K";

/// The pause before a retry when standard error is non-blocking and full.
const PAUSE: Duration = Duration::from_millis(5);

/// The queue of the process, which has only one standard error.
pub(super) static QUEUE: OnceLock<Queue> = OnceLock::new();

#[derive(Debug)]
pub(super) struct Queue {
    sender: Sender<Message>,
    tally: Arc<Tally>,
}

#[derive(Debug)]
enum Message {
    Text(Text),
    /// A request to report that everything queued before it was handled.
    Flush(SyncSender<()>),
}

#[derive(Debug)]
struct Text {
    bytes: Vec<u8>,
    lines: u64,
    /// Whether the text is a frame of a progress line, which stays on the terminal's last line.
    is_frame: bool,
}

#[derive(Debug, Default)]
struct Tally {
    queued_bytes: AtomicUsize,
    queued_lines: AtomicU64,
    dropped_lines: AtomicU64,
    /// The number of texts handled: written, or lost because they could not be.
    handled: AtomicU64,
    /// The value of `handled` when the last flush gave up; [`NEVER`] if it did not.
    gave_up_at: AtomicU64,
}

const NEVER: u64 = u64::MAX;

impl Queue {
    /// Starts the thread that writes to `out`.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Queue> {
        let (sender, queued) = mpsc::channel();
        let tally = Arc::new(Tally { gave_up_at: AtomicU64::new(NEVER), ..Tally::default() });
        let writer = Writer { out, tally: tally.clone(), frame_is_shown: false };
        thread::Builder::new().name("stderr".into()).spawn(move || writer.write(&queued))?;
        Ok(Queue { sender, tally })
    }

    /// Queues lines, or drops and counts them if there is no room.
    pub fn offer(&self, text: &[u8]) {
        self.within(MOST_BYTES, text);
    }

    /// Queues the message of a panic, for which there is room beyond that of other text.
    pub fn offer_panic(&self, text: &[u8]) {
        self.within(MOST_BYTES + PANIC_BYTES, text);
    }

    /// Queues a frame of a progress line, if little else is queued. It does not count as a line.
    pub fn offer_frame(&self, frame: &[u8]) {
        if self.tally.queued_bytes.load(Relaxed) <= FRAME_BYTES {
            self.push(Text { bytes: frame.to_vec(), lines: 0, is_frame: true });
        }
    }

    /// Queues lines even if there is no room, for the few lines that must not be dropped.
    pub fn insist(&self, text: &[u8]) {
        self.push(Text { bytes: text.to_vec(), lines: lines(text), is_frame: false });
    }

    fn within(&self, most_bytes: usize, text: &[u8]) {
        if self.tally.queued_bytes.load(Relaxed) + text.len() + OVERHEAD_BYTES > most_bytes {
            self.tally.dropped_lines.fetch_add(lines(text), Relaxed);
        } else {
            self.insist(text);
        }
    }

    fn push(&self, text: Text) {
        self.tally.queued_bytes.fetch_add(text.bytes.len() + OVERHEAD_BYTES, Relaxed);
        self.tally.queued_lines.fetch_add(text.lines, Relaxed);
        // The thread ends only when this sender is dropped.
        let _ = self.sender.send(Message::Text(text));
    }

    /// Waits until everything queued so far was handled, and returns whether it was. Gives up after
    /// one second in which nothing was read, or after ten in all. After that, returns at once
    /// unless something was read meanwhile.
    pub fn flush(&self) -> bool {
        let (done, flushed) = mpsc::sync_channel(1);
        if self.sender.send(Message::Flush(done)).is_err() {
            return false;
        }
        let mut handled = self.tally.handled.load(Relaxed);
        let (stalled, most) = match self.tally.gave_up_at.load(Relaxed) {
            NEVER => (STALLED, MOST),
            before if before == handled => (Duration::ZERO, Duration::ZERO),
            _ => (STALLED, STALLED),
        };
        let began = Instant::now();
        while let Err(error) = flushed.recv_timeout(stalled) {
            let before = std::mem::replace(&mut handled, self.tally.handled.load(Relaxed));
            let goes_on = handled != before && began.elapsed() < most;
            if error == RecvTimeoutError::Disconnected || !goes_on {
                self.tally.gave_up_at.store(handled, Relaxed);
                return false;
            }
        }
        self.tally.gave_up_at.store(NEVER, Relaxed);
        true
    }

    /// Returns the number of lines that were dropped or could not be written. After a flush that
    /// gave up, it includes the lines that are still queued.
    pub fn dropped_lines(&self) -> u64 {
        let queued = match self.tally.gave_up_at.load(Relaxed) {
            NEVER => 0,
            _ => self.tally.queued_lines.load(Relaxed),
        };
        self.tally.dropped_lines.load(Relaxed) + queued
    }
}

fn lines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

struct Writer<W> {
    out: W,
    tally: Arc<Tally>,
    /// Whether the last text was a frame, so that the cursor is behind a progress line.
    frame_is_shown: bool,
}

impl<W: Write> Writer<W> {
    fn write(mut self, queued: &Receiver<Message>) {
        lower_priority();
        for message in queued {
            match message {
                Message::Text(text) => self.text(&text),
                // The caller of `flush` may have given up.
                Message::Flush(done) => drop(done.try_send(())),
            }
        }
    }

    fn text(&mut self, text: &Text) {
        let after_frame = std::mem::replace(&mut self.frame_is_shown, text.is_frame);
        // A line takes the place of the progress line, which the next frame draws below it.
        let cleared = match after_frame && text.lines > 0 {
            true => self.whole(CLEAR_LINE.as_bytes()),
            false => Ok(()),
        };
        match cleared.and_then(|()| self.whole(&text.bytes)) {
            Ok(()) => {}
            // A reader that has gone away has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(_) => drop(self.tally.dropped_lines.fetch_add(text.lines, Relaxed)),
        }
        self.tally.queued_bytes.fetch_sub(text.bytes.len() + OVERHEAD_BYTES, Relaxed);
        self.tally.queued_lines.fetch_sub(text.lines, Relaxed);
        self.tally.handled.fetch_add(1, Relaxed);
    }

    /// Writes all of `text`, even if another process made standard error non-blocking.
    fn whole(&mut self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            match self.out.write(text) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => text = &text[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const LINE: [u8; 1_024] = {
        let mut line = [b'x'; 1_024];
        line[1_023] = b'\n';
        line
    };

    fn read_on(mut pipe: io::PipeReader) -> thread::JoinHandle<String> {
        thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        })
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_is_not_read_and_every_line_is_written_or_counted() {
        let (reader, writer) = io::pipe().unwrap();
        let queue = Queue::start(writer).unwrap();
        for _ in 0..10_000 {
            queue.offer(&LINE);
        }
        let dropped = queue.dropped_lines();
        assert!(dropped > 0, "there is room for {MOST_BYTES} bytes");
        queue.offer_panic(b"panic\n");
        queue.offer_frame(b"frame");
        queue.insist(b"error\n");
        assert!(!queue.flush());
        assert!(queue.dropped_lines() > dropped, "those that are queued count");

        let read = read_on(reader);
        // A flush waits again once the reader has come back.
        while !queue.flush() {}
        assert_eq!(queue.dropped_lines(), dropped);
        drop(queue);
        let text = read.join().unwrap();
        assert_eq!(text.lines().count() as u64 + dropped, 10_002);
        assert!(text.ends_with("x\npanic\nerror\n"), "and no frame");
    }

    #[test]
    fn a_line_takes_the_place_of_the_progress_line() {
        let (reader, writer) = io::pipe().unwrap();
        let queue = Queue::start(writer).unwrap();
        queue.offer(b"one\n");
        queue.offer_frame(b"\r\x1b[2K1 s");
        queue.offer(b"two\n");
        queue.offer_frame(b"\r\x1b[2K2 s");
        queue.insist(CLEAR_LINE.as_bytes());
        queue.offer(b"three\n");
        let read = read_on(reader);
        assert!(queue.flush());
        drop(queue);
        let text = read.join().unwrap();
        assert_eq!(text.replace(CLEAR_LINE, "|"), "one\n|1 s|two\n|2 s|three\n");
    }

    #[test]
    fn a_full_disk_loses_lines_that_are_counted_and_a_reader_that_has_gone_none() {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let queue = Queue::start(full).unwrap();
        queue.offer(b"one\ntwo\n");
        assert!(queue.flush());
        assert_eq!(queue.dropped_lines(), 2);

        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let queue = Queue::start(writer).unwrap();
        queue.offer(b"one\n");
        assert!(queue.flush());
        assert_eq!(queue.dropped_lines(), 0);
    }

    #[test]
    fn a_pipe_that_refuses_to_block_gets_every_line() {
        let (reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let queue = Queue::start(writer).unwrap();
        for _ in 0..1_000 {
            queue.offer(&LINE);
        }
        let read = read_on(reader);
        assert!(queue.flush());
        drop(queue);
        assert_eq!(read.join().unwrap().len(), 1_000 * LINE.len());
    }
}
