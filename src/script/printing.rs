//! Output of scripts to standard error.

use std::cell::Cell;

/// Maximum size of one printed string, in bytes.
const MAX_PRINTED: usize = 4_096;

/// Maximum size of all strings that a VM prints, in bytes. Otherwise a print in an iteration would
/// fill a disk with its log.
const MAX_PRINTED_IN_ALL: usize = 1 << 20;

/// The output of a VM's script: a function that writes a string and ends its line. Lines beyond the
/// limit are counted, and the count is printed when the VM ends.
pub(super) struct Printer<F: Fn(&str)> {
    line: F,
    left: Cell<usize>,
    not_shown: Cell<u64>,
}

impl<F: Fn(&str)> Printer<F> {
    pub fn new(line: F) -> Printer<F> {
        let left = Cell::new(MAX_PRINTED_IN_ALL);
        Printer { line, left, not_shown: Cell::new(0) }
    }

    pub fn print(&self, text: &str) {
        if self.left.get() == 0 {
            self.not_shown.set(self.not_shown.get() + 1 + text.matches('\n').count() as u64);
            return;
        }
        let text = printable(text);
        self.left.set(self.left.get().saturating_sub(text.len() + 1));
        (self.line)(&text);
        if self.left.get() == 0 {
            (self.line)(
                "print: that was the last of 1 MiB; from here on lines are counted, not shown",
            );
        }
    }
}

impl<F: Fn(&str)> Drop for Printer<F> {
    fn drop(&mut self) {
        match self.not_shown.get() {
            0 => {}
            1 => (self.line)("print: 1 more line not shown"),
            more => (self.line)(&format!("print: {more} more lines not shown")),
        }
    }
}

/// Returns a string that is safe to print on a terminal.
pub(super) fn printable(text: &str) -> String {
    let mut printed = String::with_capacity(text.len().min(MAX_PRINTED));
    for character in text.chars() {
        if printed.len() >= MAX_PRINTED {
            printed.push('…');
            break;
        }
        match character {
            '\t' | '\n' => printed.push(character),
            c if c.is_control() => printed.extend(c.escape_default()),
            // Marks that reorder the text around them.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                printed.extend(character.escape_default());
            }
            c => printed.push(c),
        }
    }
    printed
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn printed_text_cannot_steer_a_terminal() {
        assert_eq!(printable("a\tb\nc"), "a\tb\nc");
        assert_eq!(printable("\x1b[2J\r\u{202e}x\0"), "\\u{1b}[2J\\r\\u{202e}x\\u{0}");
        assert!(printable(&"x".repeat(100_000)).len() < 5_000);
    }

    #[test]
    fn lines_beyond_the_limit_are_counted_and_the_count_comes_last() {
        let written = RefCell::new(String::new());
        let printer = Printer::new(|text| *written.borrow_mut() += &format!("{text}\n"));
        let line = "x".repeat(1_023);
        for _ in 0..1_024 {
            printer.print(&line);
        }
        printer.print("one more");
        printer.print("two\nlines");
        drop(printer);
        let written = written.into_inner();
        let lines: Vec<&str> = written.lines().collect();
        assert!(lines[..1_024].iter().all(|shown| *shown == line));
        assert_eq!(
            lines[1_024..],
            [
                "print: that was the last of 1 MiB; from here on lines are counted, not shown",
                "print: 3 more lines not shown",
            ]
        );
    }
}
