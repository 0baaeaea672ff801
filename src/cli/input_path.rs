//! The script or document that a command line names.

use std::path::{Path, PathBuf};

/// A script or a document; the file's extension decides which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputPath {
    /// `.lua` or `.luau`
    Script(PathBuf),
    /// `.json` (version 1) or `.jsonl` (version 2)
    Document(PathBuf),
}

impl InputPath {
    /// Returns the script or document at `path`; None if the extension is that of neither.
    pub fn of(path: &Path) -> Option<InputPath> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            "lua" | "luau" => Some(InputPath::Script(path.into())),
            "json" | "jsonl" => Some(InputPath::Document(path.into())),
            _ => None,
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            InputPath::Script(path) | InputPath::Document(path) => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_whether_a_file_is_a_script_or_a_document() {
        let of = |path: &str| InputPath::of(Path::new(path));
        assert_eq!(of("a/b.lua"), Some(InputPath::Script("a/b.lua".into())));
        assert_eq!(of("b.JSON"), Some(InputPath::Document("b.JSON".into())));
        assert_eq!(of("b.jsonl"), Some(InputPath::Document("b.jsonl".into())));
        for bad in ["b", "b.txt", ".lua", ""] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
