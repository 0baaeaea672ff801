//! The files of one VM: the script and its modules, and their names for Lua and for the user.
//!
//! Lua knows a file by its path within the project, because a script can read its errors and must
//! make the same stream wherever the project is. An error that leaves the VM names the path that the
//! user gave.

use std::path::Path;

use mlua::chunk::ChunkMode;
use mlua::{FromLuaMulti, Lua, Result as LuaResult};

/// Number of bytes at the beginning of an error in which names are replaced.
const MOST_BYTES: usize = 16 << 10;

/// All files of one VM, the script first.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// The names under which the files were compiled.
    pub names: Vec<String>,
    /// The same files by their paths.
    paths: Vec<String>,
    sources: Vec<String>,
}

impl Chunks {
    pub fn add(&mut self, name: &str, path: &str, source: &str) {
        self.names.push(name.to_string());
        self.paths.push(path.to_string());
        self.sources.push(source.to_string());
    }

    /// Returns whether a file contains this name, be it in a comment.
    pub fn have_word(&self, word: &str) -> bool {
        let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = |source: &String| source.split(|c| !part_of_name(c)).any(|found| found == word);
        self.sources.iter().any(words)
    }

    /// Returns the path of the script.
    pub fn script(&self) -> Option<&str> {
        self.paths.first().map(String::as_str)
    }

    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Returns the line that `place`, a name with a line number, refers to, and the whole source.
    pub fn line_at(&self, place: &str) -> Option<(&str, &str)> {
        let (name, number) = place.rsplit_once(':')?;
        let at = self.names.iter().position(|known| known == name)?;
        let source = self.sources[at].as_str();
        let number: usize = number.parse().ok()?;
        Some((source.lines().nth(number.checked_sub(1)?)?, source))
    }

    /// Returns `text` with paths in place of names, where it has `name:line` or begins with `name:
    /// `.
    pub fn with_paths(&self, text: &str) -> String {
        let files = || self.names.iter().zip(&self.paths).filter(|(name, path)| name != path);
        if files().next().is_none() {
            return text.to_string();
        }
        let mut end = text.len().min(MOST_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (head, tail) = text.split_at(end);
        let mut written = String::with_capacity(text.len());
        let mut in_a_name = false;
        let mut rest = head;
        while let Some(next) = rest.chars().next() {
            let named = files().find(|(name, _)| {
                let after =
                    rest.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix(':'));
                let numbered = |after: &str| after.starts_with(|c: char| c.is_ascii_digit());
                after.is_some_and(|after| {
                    numbered(after) || (written.is_empty() && after.starts_with(' '))
                })
            });
            match named {
                Some((name, path)) if !in_a_name => {
                    written.push_str(path);
                    rest = &rest[name.len()..];
                }
                _ => {
                    written.push(next);
                    rest = &rest[next.len_utf8()..];
                }
            }
            in_a_name = next.is_alphanumeric() || matches!(next, '/' | '.' | '_' | '-');
        }
        written + tail
    }
}

/// Compiles and runs a chunk. Only source text is accepted, because bytecode could do anything.
pub(super) fn load_chunk<R: FromLuaMulti>(lua: &Lua, chunk: &str, source: &str) -> LuaResult<R> {
    lua.load(source).set_name(format!("={chunk}")).set_mode(ChunkMode::Text).eval()
}

/// Returns a path as errors write it.
pub(super) fn shown_path(path: &Path) -> String {
    path.to_string_lossy().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_before_a_line_become_paths_and_paths_stay_as_they_are() {
        let mut chunks = Chunks::default();
        chunks.add("a.lua", "team/a.lua", "");
        chunks.add("lib/m.lua", "team/lib/m.lua", "");
        chunks.add("@bench/office", "@bench/office", "");
        for (text, expected) in [
            ("a.lua:1: boom", "team/a.lua:1: boom"),
            ("a.lua: no workload", "team/a.lua: no workload"),
            ("a.lua:7: in @bench/office:2: boom", "team/a.lua:7: in @bench/office:2: boom"),
            (
                "lib/m.lua:3: twice, first at a.lua:2",
                "team/lib/m.lua:3: twice, first at team/a.lua:2",
            ),
            ("team/a.lua:1: boom", "team/a.lua:1: boom"),
            ("data.lua:1 and ba.lua:1", "data.lua:1 and ba.lua:1"),
            ("cannot read a.lua: no", "cannot read a.lua: no"),
        ] {
            assert_eq!(chunks.with_paths(text), expected);
            assert_eq!(chunks.with_paths(expected), expected, "once is enough");
        }
    }

    #[test]
    fn an_error_of_any_length_is_written_whole() {
        let mut chunks = Chunks::default();
        chunks.add("a.lua", "team/a.lua", "");
        let long = format!("a.lua:1: {}a.lua:2", "ä".repeat(MOST_BYTES));
        assert_eq!(chunks.with_paths(&long), format!("team/{long}"));
    }
}
