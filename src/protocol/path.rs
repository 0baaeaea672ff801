//! Paths inside a share (MS-FSCC 2.1.5).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A path relative to the root of a share, with `/` between components and
/// none at either end. The empty path is the root.
///
/// A value of this type is always one that an SMB server can be asked for, so that a client stack
/// never sees `..`, a NUL, a name that SMB forbids or the name of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SharePath(Arc<str>);

/// The reason why a path cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("path {0:?} contains \"..\"; paths stay inside the share")]
    ParentComponent(String),
    /// A colon separates the name of a file from that of a stream.
    #[error(
        "path {0:?} contains ':', which names a stream of a file (file:stream), and smbench does not support named streams yet; write a name without it"
    )]
    NamedStream(String),
    #[error("path {path:?} contains {character:?}, which SMB does not allow in a name")]
    ForbiddenCharacter { path: String, character: char },
    #[error("path component {component:?} has {length} UTF-16 units; a name may have 255")]
    ComponentTooLong { component: String, length: usize },
    #[error("path starting {start:?} has {length} UTF-16 units; a path may have 32,760")]
    TooLong { start: String, length: usize },
    /// MS-FSCC allows such names, but programs on Windows cannot use them.
    #[error(
        "path component {0:?} ends in a dot or a space: SMB allows that, but Windows programs do not, so smbench does not send it; write the name without it"
    )]
    TrailingDotOrSpace(String),
}

const MAX_COMPONENT_UTF16: usize = 255;
const MAX_PATH_UTF16: usize = 32_760;

impl SharePath {
    /// Checks and normalises a path. `\` and `/` both separate; empty and `.`
    /// components are dropped.
    ///
    /// # Errors
    /// [`PathError`] if a component is `..`, names a stream (`:`), holds a character that MS-FSCC
    /// 2.1.5.2 does not allow (`" * < > ? |`, NUL and other control characters), is longer than
    /// 255 UTF-16 units, or ends in a dot or a space, which MS-FSCC allows and smbench does not
    /// send; or if the path is longer than 32,760 units.
    pub fn new(path: &str) -> Result<SharePath, PathError> {
        let mut units = 0;
        let mut normal = true;
        for component in path.split(['/', '\\']) {
            if component.is_empty() || component == "." {
                normal = false;
                continue;
            }
            units += check_component(path, component)? + 1;
        }
        if units > MAX_PATH_UTF16 {
            let start = path.chars().take(40).collect();
            return Err(PathError::TooLong { start, length: units });
        }
        if normal && !path.contains('\\') {
            return Ok(SharePath(path.into()));
        }
        let components: Vec<&str> =
            path.split(['/', '\\']).filter(|c| !c.is_empty() && *c != ".").collect();
        Ok(SharePath(components.join("/").into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the form that is the same for all spellings of the path.
    pub fn folded(&self) -> String {
        self.0.chars().map(upper_case).collect()
    }

    /// Returns the path with another directory instead of its first `components` components.
    ///
    /// # Errors
    /// [`PathError::TooLong`].
    pub fn with_beginning(
        &self,
        components: usize,
        directory: &SharePath,
    ) -> Result<SharePath, PathError> {
        let rest = match components.checked_sub(1) {
            Some(last) => self.0.match_indices('/').nth(last).map_or("", |(at, _)| &self.0[at..]),
            None => &self.0,
        };
        let rest = rest.trim_start_matches('/');
        let between = if directory.is_root() || rest.is_empty() { "" } else { "/" };
        let path = [directory.as_str(), between, rest].concat();
        // A path has at most as many UTF-16 units as bytes. One unit is added as by `new`.
        if path.len() >= MAX_PATH_UTF16 {
            return SharePath::new(&path);
        }
        Ok(SharePath(path.into()))
    }

    /// Returns this path below `directory`.
    pub fn below(&self, directory: &SharePath) -> SharePath {
        match (directory.is_root(), self.is_root()) {
            (true, _) => self.clone(),
            (_, true) => directory.clone(),
            _ => SharePath(format!("{}/{}", directory.0, self.0).into()),
        }
    }
}

/// Returns the upper case of a character. Names that differ only in the case of their letters are
/// one name: they are compared in upper case, character by character, as with the upcase table of
/// an NTFS volume. A letter whose upper case is several characters (ß) stays as it is.
pub fn upper_case(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        _ => c,
    }
}

fn check_component(path: &str, component: &str) -> Result<usize, PathError> {
    if component == ".." {
        return Err(PathError::ParentComponent(shortened(path)));
    }
    let forbidden = |c: char| matches!(c, '"' | '*' | '<' | '>' | '?' | '|') || c < ' ';
    if let Some(character) = component.chars().find(|c| forbidden(*c)) {
        return Err(PathError::ForbiddenCharacter { path: shortened(path), character });
    }
    if component.contains(':') {
        return Err(PathError::NamedStream(shortened(path)));
    }
    let length = component.encode_utf16().count();
    if length > MAX_COMPONENT_UTF16 {
        return Err(PathError::ComponentTooLong { component: shortened(component), length });
    }
    if component.ends_with(['.', ' ']) {
        return Err(PathError::TrailingDotOrSpace(shortened(component)));
    }
    Ok(length)
}

fn shortened(text: &str) -> String {
    super::shortened(text, 60)
}

/// The root.
impl Default for SharePath {
    fn default() -> SharePath {
        SharePath("".into())
    }
}

impl std::fmt::Display for SharePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_made_one_and_empty_components_dropped() {
        assert_eq!(SharePath::new("a\\b//./c/").unwrap().as_str(), "a/b/c");
        assert!(SharePath::new("/").unwrap().is_root());
        let directory = SharePath::new("team").unwrap();
        assert_eq!(SharePath::new("x").unwrap().below(&directory).as_str(), "team/x");
    }

    #[test]
    fn names_that_no_server_takes_are_refused_with_the_reason() {
        assert!(matches!(SharePath::new("a/../b"), Err(PathError::ParentComponent(_))));
        for stream in ["a/b:stream", "b::$DATA", ":", "C:/b"] {
            assert!(matches!(SharePath::new(stream), Err(PathError::NamedStream(_))), "{stream}");
        }
        assert!(matches!(
            SharePath::new("a\0b"),
            Err(PathError::ForbiddenCharacter { character: '\0', .. })
        ));
        assert!(matches!(
            SharePath::new("x?"),
            Err(PathError::ForbiddenCharacter { character: '?', .. })
        ));
        assert!(matches!(
            SharePath::new(&"ä".repeat(300)),
            Err(PathError::ComponentTooLong { length: 300, .. })
        ));
        assert!(matches!(SharePath::new("a. "), Err(PathError::TrailingDotOrSpace(_))));
        assert!(matches!(
            SharePath::new(&"abcdefgh/".repeat(4_000)),
            Err(PathError::TooLong { .. })
        ));
    }
}
