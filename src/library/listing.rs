//! The list of a package's files, and the hash that stands for all of them.

use std::collections::BTreeMap;

/// Maximum number of files of a package.
pub const MAX_FILES: usize = 10_000;
/// Maximum size of one file in bytes.
pub const MAX_FILE_BYTES: u64 = 16 << 20;
/// Maximum size of all files of a package in bytes.
pub const MAX_BYTES: u64 = 64 << 20;
/// Maximum length of a file's path within its package, in bytes.
pub const MAX_PATH_BYTES: usize = 200;

/// Characters that file names on Windows cannot have.
const FOREIGN: [char; 8] = ['\\', ':', '<', '>', '"', '|', '?', '*'];

/// The files of a package by path, with the blake3 hash of each in hexadecimal digits.
///
/// Its text form has a line `HASH  PATH` for each file, in the order of the paths. The hash of this
/// form stands for the whole package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing(BTreeMap<String, String>);

impl Listing {
    /// Returns the listing of these files: path and content.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Listing {
        let hashed = files.into_iter().map(|(path, content)| (path.into(), hash(content)));
        Listing(hashed.collect())
    }

    /// Parses the text of a listing.
    ///
    /// # Errors
    /// A message with the number of the line that is wrong.
    pub fn parse(text: &str) -> Result<Listing, String> {
        let mut files = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let entry = line.split_once("  ").filter(|(hash, _)| is_hash(hash));
            let Some((hash, path)) = entry else {
                return Err(format!("line {number} is not a hash, two spaces and a path"));
            };
            check_path(path).map_err(|problem| format!("line {number}: {problem}"))?;
            if files.len() == MAX_FILES {
                return Err(format!("it has more than {MAX_FILES} files"));
            }
            files.insert(path.into(), hash.into());
        }
        let listing = Listing(files);
        // The hash stands for these bytes and no others.
        match listing.text() == text {
            true => Ok(listing),
            false => Err("its lines are not in order, or end with other line breaks".into()),
        }
    }

    /// Returns the listing as a string, which [`Listing::parse`] reads.
    pub fn text(&self) -> String {
        self.0.iter().map(|(path, hash)| format!("{hash}  {path}\n")).collect()
    }

    /// Returns the hash that stands for the package, in hexadecimal digits.
    pub fn hash(&self) -> String {
        hash(self.text().as_bytes())
    }

    /// Returns the hash of the file at `path`; None if the package has no such file.
    pub fn file_hash(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// Returns the paths of all files in ascending order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Returns the blake3 hash of `bytes` in hexadecimal digits.
pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Returns whether a string has the form of a blake3 hash.
pub fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Checks the path of a file within a package. The path has the same meaning on every system and
/// never leads out of the package.
///
/// # Errors
/// A message that says what is wrong with the path.
pub fn check_path(path: &str) -> Result<(), String> {
    let any_part = |is_wrong: &dyn Fn(&str) -> bool| path.split('/').any(is_wrong);
    let problem = if path.len() > MAX_PATH_BYTES {
        format!("is longer than {MAX_PATH_BYTES} bytes")
    } else if path.is_empty() {
        "is empty".into()
    } else if path.contains(char::is_control) {
        "has control characters".into()
    } else if let Some(found) = path.chars().find(|c| FOREIGN.contains(c)) {
        format!("has the character {found}, which file names on Windows cannot have")
    } else if any_part(&|part| matches!(part, "" | "." | "..")) {
        "has an empty part, . or ..".into()
    } else if any_part(&|part| part.ends_with(['.', ' ']) || is_device(part)) {
        "is a name that no file on Windows can have".into()
    } else if any_part(&|part| part.eq_ignore_ascii_case(".git")) {
        "is in a directory of git".into()
    } else {
        return Ok(());
    };
    Err(format!("the path {path:?} {problem}"))
}

/// Returns whether a name stands for a device on Windows, with any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).to_ascii_uppercase();
    let numbered = |kind: &str| {
        let number = stem.strip_prefix(kind).map(str::as_bytes);
        matches!(number, Some([b'1'..=b'9']))
    };
    ["CON", "PRN", "AUX", "NUL"].contains(&&*stem) || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_as_it_was_written_and_its_hash_stands_for_every_byte() {
        let listing = Listing::of([("b/c.lua", &b"two"[..]), ("a.lua", b"one")]);
        assert_eq!(Listing::parse(&listing.text()), Ok(listing.clone()));
        assert_eq!(listing.paths().collect::<Vec<_>>(), ["a.lua", "b/c.lua"]);
        assert_eq!(listing.file_hash("a.lua"), Some(&*hash(b"one")));
        assert_eq!(listing.file_hash("A.lua"), None);
        for other in [
            Listing::of([("b/c.lua", &b"two"[..]), ("a.lua", b"One")]),
            Listing::of([("b/c.lua", &b"two"[..]), ("A.lua", b"one")]),
            Listing::of([("b/c.lua", &b"two"[..])]),
        ] {
            assert_ne!(other.hash(), listing.hash());
        }
        assert_eq!(Listing::of([]).text(), "");
    }

    #[test]
    fn a_hostile_path_is_refused() {
        for path in [
            "",
            "/etc/passwd",
            "../up",
            "a/../b",
            "a//b",
            "./a",
            "a/.",
            "a\nb",
            "a\x1b[2Jb",
            "a\\b",
            "C:a",
            "a?b",
            "aux.lua",
            "b/Com1",
            "a. ",
            "b./c",
            "...",
            ".git/config",
            "a/.GIT/hooks",
            &"a".repeat(201),
        ] {
            let text = format!("{}  {path}\n", hash(b"x"));
            assert!(check_path(path).is_err(), "{path:?}");
            assert!(Listing::parse(&text).is_err(), "{path:?}");
        }
        for path in
            ["a.lua", "a b/größe.lua", ".luaurc", ".github/x", "console.lua", &"a".repeat(200)]
        {
            assert_eq!(check_path(path), Ok(()), "{path:?}");
        }
        let problem = Listing::parse("x  a.lua").unwrap_err();
        assert_eq!(problem, "line 1 is not a hash, two spaces and a path");
    }
}
