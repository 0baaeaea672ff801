//! The columns that text takes on a terminal: widths, padding and wrapping.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

/// A continuation line is indented this much further than its first line.
const INDENT: usize = 2;
/// The divisor of the width for labels: a line is continued below the text after its label if the
/// label takes at most this part of the width.
const LABEL_PART: usize = 2;

/// The units, which stay on the line of the number before them.
const UNITS: [&str; 9] = ["µs", "ms", "s", "%", "B", "KiB", "MiB", "KiB/s", "MiB/s"];

/// Returns the number of columns of `text`: two for a wide character, none for a combining
/// one, none for an escape sequence that changes colors.
pub fn width(text: &str) -> usize {
    without_colors(text).width()
}

/// Returns `text` with spaces after it, so that it takes at least `columns`.
pub fn left_aligned(text: &str, columns: usize) -> String {
    format!("{text}{:missing$}", "", missing = columns.saturating_sub(width(text)))
}

/// Returns `text` with spaces before it, so that it takes at least `columns`.
pub fn right_aligned(text: &str, columns: usize) -> String {
    format!("{:missing$}{text}", "", missing = columns.saturating_sub(width(text)))
}

/// Breaks the lines of `text` between words so that each takes at most `columns`, unless a single
/// word takes more. Lines that fit are unchanged. A continuation line is indented a little more
/// than its first line. If that begins with a label (`lateness    p50 …`), the continuation is
/// aligned with the text after the label.
pub fn wrapped(text: &str, columns: usize) -> String {
    let mut wrapped = String::with_capacity(text.len() + text.len() / 16);
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        if width(line) <= columns {
            wrapped += line;
        } else {
            wrap_line(line, columns, &mut wrapped);
        }
        wrapped += end;
    }
    wrapped
}

fn wrap_line(line: &str, columns: usize, wrapped: &mut String) {
    let indent = continuation(line, columns);
    let (mut taken, mut is_first) = (0, true);
    // Each part is a word with the spaces before it.
    for part in parts(line) {
        let word = part.trim_start_matches(' ');
        let needed = width(part);
        if is_first || taken + needed <= columns {
            wrapped.push_str(part);
            taken += needed;
        } else {
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', indent));
            wrapped.push_str(word);
            taken = indent + width(word);
        }
        is_first = false;
    }
}

/// Returns the words of a line, each with the spaces before it. A number and its unit are one.
fn parts(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let start = rest.len() - rest.trim_start_matches(' ').len();
        let word_end = |start: usize| rest[start..].find(' ').map_or(rest.len(), |at| start + at);
        let mut end = word_end(start);
        if rest[start..end].ends_with(|c: char| c.is_ascii_digit()) && end < rest.len() {
            let next = end + 1;
            let unit = rest[next..word_end(next)].trim_end_matches([',', ';', ':', ')']);
            if UNITS.contains(&unit) {
                end = word_end(next);
            }
        }
        let (part, after) = rest.split_at(end);
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

/// Returns the indentation of the lines that continue `line`.
fn continuation(line: &str, columns: usize) -> usize {
    let plain = without_colors(line);
    let indent = plain.len() - plain.trim_start_matches(' ').len();
    let label = plain[indent..].find("  ").map(|at| {
        let after = &plain[indent + at..];
        let gap = after.len() - after.trim_start_matches(' ').len();
        width(&plain[..indent + at]) + gap
    });
    let hanging = match label {
        Some(label) if label * LABEL_PART <= columns => label,
        // There is no label, or it is too wide.
        _ => indent + INDENT,
    };
    hanging.min(columns / LABEL_PART)
}

/// Returns `text` without the escape sequences that change colors (SGR of ECMA-48).
fn without_colors(text: &str) -> Cow<'_, str> {
    if !text.contains('\x1b') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut pieces = text.split("\x1b[");
    plain.extend(pieces.next());
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit() && c != ';');
        match end.filter(|end| piece[*end..].starts_with('m')) {
            Some(end) => plain.push_str(&piece[end + 1..]),
            None => plain.push_str(piece),
        }
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_a_terminal() {
        for (text, columns) in [
            ("read", 4),
            ("日本語", 6),
            ("naïve", 5),
            ("nai\u{308}ve", 5),
            ("🚀", 2),
            ("\x1b[1m\x1b[31mred\x1b[0m", 3),
        ] {
            assert_eq!(width(text), columns, "{text:?}");
        }
        assert_eq!(left_aligned("日本", 6) + "|", "日本  |");
        assert_eq!(right_aligned("e\u{301}", 3), "  e\u{301}");
        assert_eq!(left_aligned("longer", 3), "longer");
    }

    #[test]
    fn lines_break_between_words_and_go_on_below_what_follows_their_label() {
        let text = "\
trust: valid
lateness    p50 6.62 µs, p99 228.2 µs, max 2.70 ms
  a reason that is longer than the line
an_unbreakable_word_that_is_longer_than_a_line and more
";
        assert_eq!(
            wrapped(text, 30),
            "\
trust: valid
lateness    p50 6.62 µs, p99
            228.2 µs, max
            2.70 ms
  a reason that is longer than
    the line
an_unbreakable_word_that_is_longer_than_a_line
  and more
"
        );
    }

    #[test]
    fn a_line_that_fits_is_left_as_it_is_whatever_its_colors() {
        let line = "\x1b[1m日本語\x1b[0m  and   more";
        assert_eq!(wrapped(line, 18), line);
        assert_eq!(wrapped(line, 17), "\x1b[1m日本語\x1b[0m  and\n        more");
        assert_eq!(wrapped("", 10), "");
    }
}
