//! Standard error while a run goes on: no thread that writes waits for whoever reads it.
//!
//! After [`never_wait`], text goes through a queue of bounded size to a thread of its own
//! that writes it. Text that does not fit is dropped and counted, except what [`tell`]
//! writes. Before, and in commands that never call it, each write is made at once and
//! waits as usual.

mod drawing;
mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::thread;

use indicatif::ProgressDrawTarget;

use super::columns::wrapped;
use drawing::Drawing;
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

/// Writes `line` even where the queue is full, and waits for a bounded time until it was
/// written. That nobody does changes neither what is done nor the exit code.
pub fn tell(line: impl Display) {
    let line = fitted(format!("{line}\n"));
    match QUEUE.get() {
        Some(queue) => {
            queue.insist(line.as_bytes());
            queue.flush();
        }
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

/// Writes what the parser of the command line says of it, in colors where they are wanted.
pub fn tell_of_usage(text: &str) {
    // That nobody reads it does not change the exit code.
    let _ = anstream::AutoStream::auto(io::stderr()).write_all(fitted(text.into()).as_bytes());
}

/// Breaks text between words where it is for a terminal, which would break it within them.
/// JSON is left as it is.
pub fn fitted(text: String) -> String {
    match drawing::columns() {
        Some(columns) if !text.starts_with('{') => wrapped(&text, columns),
        _ => text,
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
    let Some(queue) = QUEUE.get() else { return };
    let thread = thread::current();
    let mut message = format!("thread '{}' {panic}\n", thread.name().unwrap_or("<unnamed>"));
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => message += &format!("stack backtrace:\n{backtrace}"),
        _ => message += "note: run with `RUST_BACKTRACE=1` for a backtrace\n",
    }
    queue.offer_panic(message.as_bytes());
    queue.flush();
}
