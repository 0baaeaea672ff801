//! A progress line on a terminal, drawn through the queue.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;
use terminal_size::{Height, Width};

use super::queue::{CLEAR_LINE, QUEUE};

/// The size assumed where the terminal reports none.
const SIZE: (Width, Height) = (Width(80), Height(24));

/// A terminal that puts together one frame at a time.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    frame: Mutex<String>,
}

impl Drawing {
    fn frame(&self) -> MutexGuard<'_, String> {
        self.frame.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, text: &str) -> io::Result<()> {
        self.frame().push_str(text);
        Ok(())
    }

    fn move_cursor(&self, by: usize, direction: char) -> io::Result<()> {
        if by > 0 { self.add(&format!("\x1b[{by}{direction}")) } else { Ok(()) }
    }
}

fn size() -> (Width, Height) {
    terminal_size::terminal_size_of(io::stderr()).unwrap_or(SIZE)
}

/// Returns the width of standard error, if it is a terminal that reports one.
pub(super) fn columns() -> Option<usize> {
    terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| usize::from(width.0))
}

impl TermLike for Drawing {
    fn width(&self) -> u16 {
        size().0.0
    }

    fn height(&self) -> u16 {
        size().1.0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add(CLEAR_LINE)
    }

    fn flush(&self) -> io::Result<()> {
        let frame = std::mem::take(&mut *self.frame());
        match QUEUE.get() {
            Some(queue) => {
                queue.offer_frame(frame.as_bytes());
                Ok(())
            }
            None => io::stderr().write_all(frame.as_bytes()),
        }
    }
}

impl Drop for Drawing {
    fn drop(&mut self) {
        // The frame that removes the line may have been skipped.
        if let Some(queue) = QUEUE.get() {
            queue.insist(CLEAR_LINE.as_bytes());
        }
    }
}
