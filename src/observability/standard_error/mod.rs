//! Standard error while a run goes on: no thread that writes waits for whoever reads it.
//!
//! After [`never_wait`], text goes through a queue of bounded size to a thread of its own
//! that writes it. Text that does not fit is dropped and counted, except what [`tell`]
//! writes. Before, and in commands that never call it, each write is made at once and
//! waits as usual.
//!
//! Every line has one form ([`line`]): with [`write_json_lines`] each is a JSON object. A
//! line goes through [`offer`], or through [`tell`] if nothing may drop it; log events
//! come through [`StandardError`].

mod drawing;
pub mod line;
mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::thread;

use indicatif::ProgressDrawTarget;

use drawing::Drawing;
pub use line::Kind;
use line::{is_json, written};
use queue::Queue;

/// The process has one standard error, so it has one queue.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Sends everything that is written to standard error from now on through the queue, the
/// messages of panics included. Where no thread can be started, nothing changes.
pub fn never_wait() {
    if QUEUE.get().is_none()
        && let Ok(queue) = Queue::start(io::stderr())
        && QUEUE.set(queue).is_ok()
    {
        panic::set_hook(Box::new(tell_panic));
    }
}

/// Returns whether somebody may be looking at standard error.
pub fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Makes each line a JSON object from now on, the messages of panics included.
pub fn write_json_lines() {
    line::write_json();
    panic::set_hook(Box::new(tell_panic));
}

/// Returns whether a line that moves may be drawn: on a terminal, between lines of text.
pub fn is_drawable() -> bool {
    is_terminal() && !is_json()
}

/// Writes a line, or drops and counts it where it is not read in time.
pub fn offer(kind: Kind, message: &str) {
    let line = written(kind, message);
    match QUEUE.get() {
        Some(queue) => queue.offer(line.as_bytes()),
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

/// Writes a line even where the queue is full, and waits for a bounded time until it was
/// written. That nobody does changes neither what is done nor the exit code.
pub fn tell(kind: Kind, message: &str) {
    let line = written(kind, message);
    match QUEUE.get() {
        Some(queue) => {
            queue.insist(line.as_bytes());
            queue.flush();
        }
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

/// Waits until what is queued was written, for a bounded time if nobody reads it.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush();
    }
}

/// Writes what is queued, and then how much was dropped.
pub fn settle() {
    flush();
    if let Some(dropped) = dropped() {
        tracing::warn!("{dropped}");
        flush();
    }
}

/// Returns the number of lines that were dropped, in words, or None if none was. After a [`flush`] that gave
/// up, these include the lines that are still queued.
pub fn dropped() -> Option<String> {
    match QUEUE.get().map_or(0, Queue::dropped_lines) {
        0 => None,
        lines => Some(format!(
            "lines for standard error that were dropped because they were not read in time: {lines}"
        )),
    }
}

/// Returns where a progress line is drawn. A frame for which a terminal is too slow is
/// skipped, and the line is removed at the end.
pub fn draw_target() -> ProgressDrawTarget {
    ProgressDrawTarget::term_like(Box::new(Drawing::default()))
}

/// A writer to standard error. Each call of `write` is given whole lines, and fails only
/// where there is no queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct StandardError;

impl Write for StandardError {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        match QUEUE.get() {
            Some(queue) => {
                queue.offer(text);
                Ok(text.len())
            }
            None => io::stderr().write(text),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the message of a panic, in the standard library's words. It waits, as the
/// process may be about to abort.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let mut message = format!("thread '{}' {panic}", thread.name().unwrap_or("<unnamed>"));
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => message += &format!("\nstack backtrace:\n{backtrace}"),
        _ if is_json() => {}
        _ => message += "\nnote: run with `RUST_BACKTRACE=1` for a backtrace",
    }
    let line = written(Kind::Verdict, &message);
    match QUEUE.get() {
        Some(queue) => {
            queue.offer_panic(line.as_bytes());
            queue.flush();
        }
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}
