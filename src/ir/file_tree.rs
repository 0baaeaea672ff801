//! The shape of a real directory tree, which `smbench scan` writes and `bench.tree` reads.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::protocol::LARGEST_EXACT;
use crate::protocol::SharePath;
use crate::protocol::path::upper_case;
use crate::protocol::shortened;

pub const SCHEMA: &str = "smbench.tree/1";

/// The maximum number of files and directories of a tree. Each takes 16 bytes in every VM of a
/// script, and its name 40 and more.
pub const MAX_ENTRIES: u64 = 2_000_000;

/// The shape of a directory tree: its directories, and the size of each file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(title = "smbench tree, version 1"))]
#[serde(deny_unknown_fields)]
pub struct FileTree {
    /// The name and the version of this format.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA)))]
    pub schema: String,
    pub totals: TreeTotals,
    /// The directories. The first is the root of the scan; each comes after its parent.
    #[serde(deserialize_with = "bounded")]
    pub directories: Vec<TreeDirectory>,
}

/// Counts of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TreeTotals {
    /// The number of directories, the root included.
    pub directories: u64,
    /// The number of files.
    pub files: u64,
    /// The sum of the files' sizes.
    pub bytes: u64,
    pub skipped: SkippedEntries,
    /// The number of names that a share cannot have, or has already in the same directory. Other
    /// names stand for them. 0 for a tree without names.
    pub replaced_names: u64,
}

/// Counts of the entries that a scan skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SkippedEntries {
    /// The number of symbolic links, which are not followed.
    pub links: u64,
    /// The number of pipes, sockets and devices, and of files of 2^53 bytes or more.
    pub special: u64,
    /// The number of files and directories that could not be read. Such a directory is empty in the
    /// tree.
    pub unreadable: u64,
}

/// A directory of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TreeDirectory {
    /// The index of its parent in the list, from 0. Absent for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// Its name, if the tree has names. Absent for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The sizes of its files in bytes.
    pub files: Vec<u64>,
    /// The names of its files in the same order, if the tree has names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
}

/// A tree and the hash of the text that it was read from.
#[derive(Clone, Debug)]
pub struct HashedTree {
    pub tree: FileTree,
    /// BLAKE3, as hexadecimal digits.
    pub hash: String,
}

impl FileTree {
    /// Reads a tree and checks it.
    ///
    /// # Errors
    /// A message that says what is wrong, and in which directory of the list.
    pub fn parse(text: &[u8]) -> Result<FileTree, String> {
        let tree: FileTree = serde_json::from_slice(text)
            .map_err(|error| format!("it is not a tree that `smbench scan` wrote: {error}"))?;
        tree.check()?;
        Ok(tree)
    }

    fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            return Err(format!(
                "its schema is {:?}, and this smbench reads {SCHEMA}",
                self.schema
            ));
        }
        if self.directories.is_empty() {
            return Err("it has no directories".into());
        }
        let has_names = self.directories[0].names.is_some();
        let mut names = TakenNames::default();
        for (index, directory) in self.directories.iter().enumerate() {
            directory
                .check(index, has_names)
                .and_then(|()| names.take_all(index, directory))
                .map_err(|problem| format!("directory {index} of its list {problem}"))?;
        }
        Ok(())
    }

    /// Writes the tree as JSON, one directory in a line.
    ///
    /// # Errors
    /// The errors of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let totals = serde_json::to_string(&self.totals)?;
        write!(out, "{{\"schema\":\"{SCHEMA}\",\"totals\":{totals},\"directories\":[")?;
        for (index, directory) in self.directories.iter().enumerate() {
            out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut *out, directory)?;
        }
        out.write_all(b"\n]}\n")
    }
}

impl TreeDirectory {
    fn check(&self, index: usize, has_names: bool) -> Result<(), String> {
        match self.parent {
            None if index > 0 => return Err("has no parent".into()),
            Some(_) if index == 0 => return Err("has a parent, but the first is the root".into()),
            Some(parent) if parent as usize >= index => {
                return Err(format!("has the parent {parent}, which does not come before it"));
            }
            _ => {}
        }
        if let Some(size) = self.files.iter().find(|size| **size >= LARGEST_EXACT) {
            return Err(format!(
                "has a file of {size} bytes, which is too large for a number of a script"
            ));
        }
        if self.names.is_some() != has_names || (index > 0 && self.name.is_some() != has_names) {
            return Err("has names, or has none, unlike the first".into());
        }
        let names = self.names.iter().flatten();
        if self.names.as_ref().is_some_and(|names| names.len() != self.files.len()) {
            return Err("does not have one name for each file".into());
        }
        match names.chain(&self.name).find(|name| !is_name(name)) {
            Some(name) => {
                Err(format!("has the name {:?}, which a share cannot have", shortened(name, 60)))
            }
            None => Ok(()),
        }
    }
}

/// The names that the directories of a tree have. Names that differ only in the case of their
/// letters are one name of a share.
#[derive(Debug, Default)]
pub struct TakenNames(HashSet<(usize, String)>);

impl TakenNames {
    /// Takes a name in the directory of this index. Returns whether it was free.
    pub fn take(&mut self, directory: usize, name: &str) -> bool {
        self.0.insert((directory, name.chars().map(upper_case).collect()))
    }

    fn take_all(&mut self, index: usize, directory: &TreeDirectory) -> Result<(), String> {
        let own = directory.name.iter().map(|name| (directory.parent.unwrap_or(0) as usize, name));
        let files = directory.names.iter().flatten().map(|name| (index, name));
        for (place, name) in own.chain(files) {
            if !self.take(place, name) {
                return Err(format!("has the name {:?}, which is taken", shortened(name, 60)));
            }
        }
        Ok(())
    }
}

/// Reads directories, and stops where they have more than [`MAX_ENTRIES`] files and directories, so
/// that no text makes a list that is far larger than itself.
fn bounded<'de, D: Deserializer<'de>>(text: D) -> Result<Vec<TreeDirectory>, D::Error> {
    struct Directories;

    impl<'de> Visitor<'de> for Directories {
        type Value = Vec<TreeDirectory>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of directories")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let (mut directories, mut entries) = (Vec::new(), 0);
            while let Some(directory) = list.next_element::<TreeDirectory>()? {
                entries += 1 + directory.files.len() as u64;
                if entries > MAX_ENTRIES {
                    return Err(A::Error::custom(format!(
                        "it has more than {MAX_ENTRIES} files and directories; scan a part of the tree"
                    )));
                }
                directories.push(directory);
            }
            Ok(directories)
        }
    }

    text.deserialize_seq(Directories)
}

/// Returns whether a share can have a file of this name.
pub fn is_name(name: &str) -> bool {
    !name.contains(['/', '\\']) && SharePath::new(name).is_ok_and(|path| !path.is_root())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(directories: &str) -> String {
        let totals = serde_json::to_string(&TreeTotals::default()).unwrap();
        let text = format!(
            r#"{{ "schema": "{SCHEMA}", "totals": {totals}, "directories": [{directories}] }}"#
        );
        FileTree::parse(text.as_bytes()).err().unwrap_or_default()
    }

    #[test]
    fn a_tree_is_read_as_it_was_written() {
        let of = |parent, name: Option<&str>, files: &[u64]| TreeDirectory {
            parent,
            name: name.map(String::from),
            files: files.to_vec(),
            names: Some(files.iter().map(|size| format!("{size}.bin")).collect()),
        };
        let tree = FileTree {
            schema: SCHEMA.into(),
            totals: TreeTotals { directories: 2, files: 3, bytes: 4099, ..TreeTotals::default() },
            directories: vec![of(None, None, &[0, 3]), of(Some(0), Some("größe"), &[4096])],
        };
        let mut text = Vec::new();
        tree.write(&mut text).unwrap();
        assert_eq!(FileTree::parse(&text), Ok(tree));
    }

    #[test]
    fn a_tree_that_cannot_be_made_on_a_share_is_refused_with_the_place() {
        assert_eq!(refusal(r#"{ "files": [1, 2] }, { "parent": 0, "files": [] }"#), "");
        for (directories, expected) in [
            ("", "it has no directories"),
            (r#"{ "files": [-1] }"#, "it is not a tree that `smbench scan` wrote"),
            (r#"{ "files": [1], "size": 3 }"#, "unknown field `size`"),
            (r#"{ "files": [9007199254740993] }"#, "directory 0 of its list has a file of"),
            (r#"{ "parent": 0, "files": [] }"#, "has a parent, but the first is the root"),
            (r#"{ "files": [] }, { "files": [] }"#, "directory 1 of its list has no parent"),
            (
                r#"{ "files": [] }, { "parent": 1, "files": [] }"#,
                "has the parent 1, which does not come before it",
            ),
            (r#"{ "files": [1], "names": ["a", "b"] }"#, "does not have one name for each file"),
            (r#"{ "files": [1], "names": ["../a"] }"#, "has the name \"../a\""),
            (r#"{ "files": [1, 2], "names": ["a", "A"] }"#, "has the name \"A\", which is taken"),
            (r#"{ "files": [1], "names": [""] }"#, "has the name \"\""),
            (
                r#"{ "files": [] }, { "parent": 0, "name": "d", "files": [] }"#,
                "has names, or has none, unlike the first",
            ),
        ] {
            let message = refusal(directories);
            assert!(message.contains(expected), "{directories}: {message}");
        }
        let many = vec!["{\"files\":[]}"; MAX_ENTRIES as usize + 1].join(",");
        assert!(refusal(&many).contains("more than 2000000 files and directories"));
        let other = FileTree::parse(br#"{ "schema": "smbench.tree/2" }"#).unwrap_err();
        assert!(other.contains("missing field"), "{other}");
    }
}
