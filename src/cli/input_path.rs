//! The script or document that a command line names.

use std::path::{Path, PathBuf};

use crate::script::{ReadyWorkload, ScriptLocation};

/// A script or a document; the file's extension decides which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputPath {
    /// `.lua` or `.luau`, or a ready workload (`@scripts/NAME`)
    Script(ScriptLocation),
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

    /// Returns the existing script or document that a word of a command line names.
    pub fn existing(word: &str) -> Option<InputPath> {
        if let Some(name) = ReadyWorkload::named_by(word) {
            return ReadyWorkload::find(name).ok().map(|ready| ready.into());
        }
        InputPath::of(Path::new(word)).filter(|input| input.file().is_some_and(Path::is_file))
    }

    /// Returns the path of the file. A ready workload has none.
    pub fn file(&self) -> Option<&Path> {
        match self {
            InputPath::Script(location) => location.file(),
            InputPath::Document(path) => Some(path),
        }
    }
}

impl From<&'static ReadyWorkload> for InputPath {
    fn from(ready: &'static ReadyWorkload) -> InputPath {
        InputPath::Script(ScriptLocation::Ready(ready))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_whether_a_file_is_a_script_or_a_document() {
        let of = |path: &str| InputPath::of(Path::new(path));
        assert_eq!(of("a/b.lua"), Some(InputPath::Script(Path::new("a/b.lua").into())));
        assert_eq!(of("b.JSON"), Some(InputPath::Document("b.JSON".into())));
        assert_eq!(of("b.jsonl"), Some(InputPath::Document("b.jsonl".into())));
        for bad in ["b", "b.txt", ".lua", ""] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
