//! Escaping of untrusted text for a terminal.

use std::fmt::Write;

/// Returns `text` in a form that is safe to print: at most about `max` characters, and nothing that
/// a terminal obeys or that changes how its surroundings look. Control characters become escapes
/// such as `\u{1b}`, and so do characters that are invisible or change the direction of text.
///
/// A string that is too long loses its middle, because the end of a path says the most.
pub fn printable(text: &str, max: usize) -> String {
    let length = text.chars().count();
    let head = max / 3;
    let tail = max.saturating_sub(head + 1);
    let mut printable = String::with_capacity(text.len().min(4 * max));
    for (at, c) in text.chars().enumerate() {
        if length > max && at == head {
            printable.push('…');
        }
        if length > max && at >= head && at < length - tail {
            continue;
        }
        if deceptive(c) {
            // Writing to a String does not fail.
            let _ = write!(printable, "\\u{{{:x}}}", u32::from(c));
        } else {
            printable.push(c);
        }
    }
    printable
}

/// Returns a number and its noun, in the plural unless the number is 1.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Returns the verb for this number of things.
pub fn was(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

fn deceptive(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xAD | 0x61C | 0x180E
            // Zero-width characters and direction marks, line and paragraph separators.
            | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F
            | 0xFEFF | 0xFFF9..=0xFFFB
            // Tag characters.
            | 0xE0000..=0xE007F)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_of_a_terminal_are_escaped() {
        assert_eq!(printable("a\x1b[2Jb\r\n\u{9b}31m", 80), r"a\u{1b}[2Jb\u{d}\u{a}\u{9b}31m");
        assert_eq!(printable("cod\u{202e}txt.exe\u{200b}", 80), r"cod\u{202e}txt.exe\u{200b}");
        assert_eq!(printable("Ünïcode/日本.docx", 80), "Ünïcode/日本.docx");
    }

    #[test]
    fn a_long_text_loses_its_middle() {
        assert_eq!(printable("0123456789", 10), "0123456789");
        assert_eq!(printable("0123456789A", 10), "012…56789A");
        assert_eq!(printable(&"é".repeat(1_000), 30).chars().count(), 30);
        assert_eq!(printable("abc", 0), "…");
    }
}
