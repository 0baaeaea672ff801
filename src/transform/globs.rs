//! Patterns of paths and of the names of clients.

use std::fmt;
use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Maximum number of patterns of one list, and maximum length of one in bytes.
const MAX_PATTERNS: usize = 1_000;
const MAX_PATTERN_BYTES: usize = 1_000;

/// A list of patterns. A string matches if it matches one of the patterns without `!`, or if there
/// are none of these, and none of those that begin with `!`.
///
/// `*` and `?` match within a component, `**` matches across components, and `[…]` and `{a,b}`
/// match alternatives (crate globset). A pattern without `/` is compared with the last component
/// alone. Case is ignored, as SMB does.
#[derive(Clone, Debug)]
pub struct Globs {
    patterns: Arc<[String]>,
    wanted: Part,
    unwanted: Part,
}

#[derive(Clone, Debug, Default)]
struct Part {
    whole: Option<GlobSet>,
    last_component: Option<GlobSet>,
}

impl Globs {
    /// Parses the patterns.
    ///
    /// # Errors
    /// A message that quotes the wrong pattern.
    pub fn new(patterns: &[String]) -> Result<Globs, String> {
        if patterns.is_empty() {
            return Err("the list of patterns is empty; name a pattern such as \"*.docx\"".into());
        }
        if patterns.len() > MAX_PATTERNS {
            return Err(format!(
                "{} patterns; at most {MAX_PATTERNS} are possible",
                patterns.len()
            ));
        }
        let (unwanted, wanted): (Vec<&str>, Vec<&str>) =
            patterns.iter().map(String::as_str).partition(|pattern| pattern.starts_with('!'));
        let unwanted: Vec<&str> = unwanted.iter().map(|pattern| &pattern[1..]).collect();
        Ok(Globs {
            wanted: Part::new(&wanted)?,
            unwanted: Part::new(&unwanted)?,
            patterns: patterns.into(),
        })
    }

    pub fn matches(&self, text: &str) -> bool {
        (self.wanted.is_empty() || self.wanted.matches(text)) && !self.unwanted.matches(text)
    }
}

impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<String> =
            self.patterns.iter().take(8).map(|pattern| format!("{pattern:?}")).collect();
        f.write_str(&quoted.join(", "))
    }
}

impl Part {
    fn new(patterns: &[&str]) -> Result<Part, String> {
        let (whole, last): (Vec<&str>, Vec<&str>) =
            patterns.iter().partition(|pattern| pattern.contains('/'));
        Ok(Part { whole: set(&whole)?, last_component: set(&last)? })
    }

    fn is_empty(&self) -> bool {
        self.whole.is_none() && self.last_component.is_none()
    }

    fn matches(&self, text: &str) -> bool {
        let last = || text.rsplit('/').next().unwrap_or(text);
        self.whole.as_ref().is_some_and(|set| set.is_match(text))
            || self.last_component.as_ref().is_some_and(|set| set.is_match(last()))
    }
}

fn set(patterns: &[&str]) -> Result<Option<GlobSet>, String> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(format!("a pattern has more than {MAX_PATTERN_BYTES} bytes"));
        }
        if pattern.trim_matches('/').is_empty() {
            return Err("a pattern is empty; write one such as \"*.docx\"".into());
        }
        let glob = GlobBuilder::new(pattern)
            .case_insensitive(true)
            .literal_separator(true)
            .backslash_escape(false)
            .build()
            .map_err(|error| format!("{:?} is no pattern: {}", pattern, error.kind()))?;
        set.add(glob);
    }
    let built = set.build().map_err(|error| format!("the patterns are too large: {error}"))?;
    Ok(Some(built))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(patterns: &[&str]) -> Result<Globs, String> {
        Globs::new(&patterns.iter().map(|pattern| pattern.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn a_pattern_without_a_slash_is_compared_with_the_last_component() {
        for (patterns, path, expected) in [
            (&["*.tmp"][..], "a/b/x.tmp", true),
            (&["*.tmp"], "a/b/x.TMP", true),
            (&["*.tmp"], "a.tmp/b", false),
            (&["a/*"], "a/b", true),
            (&["a/*"], "a/b/c", false),
            (&["a/**"], "a/b/c", true),
            (&["**/b/*"], "a/b/c", true),
            (&["!*.tmp"], "a/x.tmp", false),
            (&["!*.tmp"], "a/x.doc", true),
            (&["*.doc", "*.xls", "!~*"], "a/x.xls", true),
            (&["*.doc", "*.xls", "!~*"], "a/~x.xls", false),
            (&["{a,b}/[0-9]"], "b/7", true),
            (&["a\\b"], "a\\b", true),
        ] {
            assert_eq!(globs(patterns).unwrap().matches(path), expected, "{patterns:?} {path}");
        }
    }

    #[test]
    fn a_wrong_pattern_is_quoted() {
        let problem = |patterns: &[&str]| globs(patterns).unwrap_err();
        assert!(
            problem(&["x", "a[b"]).starts_with("\"a[b\" is no pattern: unclosed character class")
        );
        assert!(problem(&["!{a"]).starts_with("\"{a\" is no pattern"));
        assert!(problem(&["!"]).contains("is empty"));
        assert!(problem(&[]).contains("is empty"));
        assert!(problem(&[&"x".repeat(1_001)]).contains("1000 bytes"));
    }
}
