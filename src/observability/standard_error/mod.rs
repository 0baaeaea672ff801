//! Standard error during a run: threads that write to it do not wait for its reader.
//!
//! After [`never_wait`], text goes through a bounded queue to one thread that writes it. Text that
//! does not fit is dropped and counted, except what [`report`] writes. Before that call, and in
//! commands that never make it, each write is made at once and blocks as usual.
//!
//! Every line has one form ([`mod@line`]): with [`write_json_lines`] each is a JSON object. A
//! line goes through [`offer`], or through [`report`] if nothing may drop it; log events
//! come through [`StandardError`].

mod drawing;
pub mod line;
mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::thread;

use indicatif::ProgressDrawTarget;

use super::columns::wrapped;
use drawing::Drawing;
pub use line::LineKind;
use line::{is_json, written};
use queue::{QUEUE, Queue};

/// Sends everything that is written to standard error from now on through the queue, the
/// messages of panics included. Where no thread can be started, nothing changes.
pub fn never_wait() {
    if QUEUE.get().is_none()
        && let Ok(queue) = Queue::start(io::stderr())
        && QUEUE.set(queue).is_ok()
    {
        panic::set_hook(Box::new(report_panic));
    }
}

/// Returns whether standard error is a terminal, where somebody may read it.
pub fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Makes each line a JSON object from now on, the messages of panics included.
pub fn write_json_lines() {
    line::write_json();
    panic::set_hook(Box::new(report_panic));
}

/// Returns whether a progress line may be redrawn in place: standard error is a terminal, and lines
/// are text and not JSON.
pub fn is_drawable() -> bool {
    is_terminal() && !is_json()
}

/// Passes a line to `queue_it`, which adds it to the queue, or writes it directly if there is no
/// queue.
fn send(line: &str, queue_it: impl FnOnce(&Queue, &[u8])) {
    match QUEUE.get() {
        Some(queue) => queue_it(queue, line.as_bytes()),
        // A failure to write it changes neither the run nor the exit code.
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

/// Writes a line, or drops and counts it if it is not read in time.
pub fn offer(kind: LineKind, message: &str) {
    send(&fitted(written(kind, message)), Queue::offer);
}

/// Writes a line even if the queue is full, and waits for a bounded time until it is written. If
/// nobody reads it, neither the run nor the exit code changes.
pub fn report(kind: LineKind, message: &str) {
    send(&fitted(written(kind, message)), |queue, line| {
        queue.insist(line);
        queue.flush();
    });
}

/// Writes a message of the command line parser, in colors if the terminal shows them.
pub fn report_usage_error(text: &str) {
    // A failure to write it does not change the exit code.
    let _ = anstream::AutoStream::auto(io::stderr()).write_all(fitted(text.into()).as_bytes());
}

/// Breaks lines between words to the width of the terminal, which itself would break them within
/// words. Leaves JSON unchanged, and all text if standard error is not a terminal.
pub fn fitted(text: String) -> String {
    match drawing::columns() {
        Some(columns) if !text.starts_with('{') => wrapped(&text, columns),
        _ => text,
    }
}

/// Waits until everything queued is written, or for a bounded time if nobody reads it.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush();
    }
}

/// Writes everything queued, and then the number of lines that were dropped.
pub fn settle() {
    flush();
    if let Some(dropped) = dropped() {
        tracing::warn!("{dropped}");
        flush();
    }
}

/// Returns a sentence with the number of dropped lines, or None if none was dropped. After a
/// [`flush`] that gave up, the lines still queued count as dropped.
pub fn dropped() -> Option<String> {
    match QUEUE.get().map_or(0, Queue::dropped_lines) {
        0 => None,
        lines => Some(format!(
            "lines for standard error that were dropped because they were not read in time: {lines}"
        )),
    }
}

/// Returns the target that a progress line is drawn on. A frame is skipped if the terminal is too
/// slow, and the line is removed at the end.
pub fn draw_target() -> ProgressDrawTarget {
    ProgressDrawTarget::term_like(Box::new(Drawing::default()))
}

/// A writer to standard error, which breaks lines to the width of a terminal. Each call of `write`
/// is given whole lines, and fails only where there is no queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct StandardError;

impl Write for StandardError {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let lines = fitted(String::from_utf8_lossy(text).into());
        match QUEUE.get() {
            Some(queue) => queue.offer(lines.as_bytes()),
            None => io::stderr().write_all(lines.as_bytes())?,
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the message of a panic in the standard library's format. It waits, because the process
/// may be about to abort.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let mut message = format!("thread '{}' {panic}", thread.name().unwrap_or("<unnamed>"));
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => message += &format!("\nstack backtrace:\n{backtrace}"),
        _ if is_json() => {}
        _ => message += "\nnote: run with `RUST_BACKTRACE=1` for a backtrace",
    }
    send(&written(LineKind::Verdict, &message), |queue, line| {
        queue.offer_panic(line);
        queue.flush();
    });
}
