//! The comparison of names, and the patterns that match them.

use crate::protocol::path::upper_case;

/// Returns the form under which a name is found.
pub fn folded(name: &str) -> String {
    name.chars().map(upper_case).collect()
}

/// Returns whether `pattern` matches `name` without case (FsRtlIsNameInExpression, MS-FSA 2.1.4.4):
/// `*`, `?`, and the DOS forms `<` (`*` up to the last dot), `>` (`?`, or nothing at a dot or the
/// end) and `"` (a dot, or nothing at the end). The time is bounded by the product of the lengths,
/// whatever the pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().map(upper_case).collect();
    let name: Vec<char> = name.chars().map(upper_case).collect();
    let last_dot = name.iter().rposition(|c| *c == '.');
    // `reached[p]` is whether `pattern[..p]` can match the characters so far.
    let mut reached = vec![false; pattern.len() + 1];
    reached[0] = true;
    for (at, c) in name.iter().enumerate() {
        skip_empty_matches(&pattern, &mut reached, Some(*c));
        let mut next = vec![false; pattern.len() + 1];
        for (p, wanted) in pattern.iter().enumerate().filter(|(p, _)| reached[*p]) {
            match wanted {
                '*' => next[p] = true,
                '<' if *c != '.' || last_dot != Some(at) => next[p] = true,
                '?' => next[p + 1] = true,
                '>' if *c != '.' => next[p + 1] = true,
                '"' if *c == '.' => next[p + 1] = true,
                _ if wanted == c => next[p + 1] = true,
                _ => {}
            }
        }
        reached = next;
    }
    skip_empty_matches(&pattern, &mut reached, None);
    reached[pattern.len()]
}

/// Steps over the parts of the pattern that may match nothing before `next` (None at the end of the
/// name).
fn skip_empty_matches(pattern: &[char], reached: &mut [bool], next: Option<char>) {
    for (p, wanted) in pattern.iter().enumerate() {
        let empty = match wanted {
            '*' | '<' => true,
            '>' => matches!(next, None | Some('.')),
            '"' => next.is_none(),
            _ => false,
        };
        if reached[p] && empty {
            reached[p + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_case_in_any_script() {
        assert_eq!(folded("Straße-äöü-Ωmega"), folded("sTRAßE-ÄÖÜ-ωMEGA"));
        assert_ne!(folded("straße"), folded("strasse"));
    }

    #[test]
    fn a_star_matches_any_run_and_a_question_mark_one_character() {
        for (pattern, name, expected) in [
            ("*", "anything", true),
            ("*", ".hidden", true),
            ("", "a", false),
            ("*.txt", "Report.TXT", true),
            ("*.txt", "report.txt.bak", false),
            ("*.*", "noextension", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("??", "äö", true),
            ("a*b*c", "a__b__b_c", true),
            ("report", "REPORT", true),
            ("report", "report1", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern:?} on {name:?}");
        }
    }

    #[test]
    fn dos_wildcards_know_the_last_dot_and_the_end() {
        for (pattern, name, expected) in [
            ("<.txt", "a.b.txt", true),
            ("<.b", "a.b.txt", false),
            ("a>>>.txt", "ab.txt", true),
            ("a>", "abc", false),
            ("a\"", "a", true),
            ("a\"b", "a.b", true),
            ("<\"*", "noextension", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern:?} on {name:?}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_not_slow() {
        assert!(!matches(&"*a".repeat(2_000), &"a".repeat(255)));
    }
}
