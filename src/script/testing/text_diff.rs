//! The difference between two texts, line by line.

use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline, group_diff_ops};

/// Number of equal lines shown around a difference.
const CONTEXT: usize = 3;
/// Maximum number of lines of a diff.
const MAX_LINES: usize = 60;
/// Maximum length of a line, in characters.
const MAX_CHARS: usize = 400;
/// Longest time to look for the smallest diff. After it a larger one is shown.
const LONGEST: Duration = Duration::from_millis(500);

/// Returns a diff: expected lines begin with `-`, actual lines with `+`, equal ones with a space.
pub(super) fn diff(expected: &[String], actual: &[String]) -> Vec<String> {
    let deadline = Instant::now().checked_add(LONGEST);
    let ops = capture_diff_slices_deadline(Algorithm::Myers, expected, actual, deadline);
    let mut lines = Vec::new();
    for (number, group) in group_diff_ops(ops, CONTEXT).iter().enumerate() {
        if number > 0 {
            lines.push("  …".to_string());
        }
        for op in group {
            let (sign, removed) = match op {
                DiffOp::Equal { .. } => (' ', &expected[op.old_range()]),
                _ => ('-', &expected[op.old_range()]),
            };
            lines.extend(removed.iter().map(|line| shown(sign, line)));
            if sign == '-' {
                lines.extend(actual[op.new_range()].iter().map(|line| shown('+', line)));
            }
        }
    }
    if let Some(more) = lines.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
        lines.truncate(MAX_LINES);
        lines.push(format!("… and {more} more lines"));
    }
    lines
}

fn shown(sign: char, line: &str) -> String {
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{sign} {}…", &line[..end]),
        None => format!("{sign} {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &str) -> Vec<String> {
        lines.split(' ').map(String::from).collect()
    }

    #[test]
    fn expected_lines_are_removed_and_actual_ones_added() {
        let shown = diff(&text("a b c d e f g h"), &text("a b c x e f g h"));
        assert_eq!(shown, ["  a", "  b", "  c", "- d", "+ x", "  e", "  f", "  g"]);
        assert_eq!(diff(&text("a"), &text("a")), Vec::<String>::new());
    }

    #[test]
    fn a_long_diff_and_a_long_line_are_cut_and_say_so() {
        let one = vec!["a".to_string(); 100];
        let other = vec!["é".repeat(1_000); 100];
        let shown = diff(&one, &other);
        assert_eq!(shown.len(), MAX_LINES + 1);
        assert_eq!(shown[MAX_LINES], "… and 140 more lines");
        assert!(diff(&[], &other)[0].ends_with("é…"));
    }
}
