//! Templates of paths, such as `clone{k}/{path}`.

use crate::ir::{Operation, OperationKind, PathOperation};
use crate::protocol::SharePath;
use crate::protocol::path::PathError;

/// A template with the placeholders `{path}` (the path as it was) and `{k}` (the number of the
/// clone).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    text: String,
}

const PATH: &str = "{path}";
const NUMBER: &str = "{k}";

impl PathTemplate {
    /// Parses a template, which must contain `{path}`.
    ///
    /// # Errors
    /// A message that says what the template lacks, or that quotes an unknown placeholder.
    pub fn new(text: &str) -> Result<PathTemplate, String> {
        let rest = text.replace(PATH, "").replace(NUMBER, "");
        if let Some(at) = rest.find(['{', '}']) {
            let shown: String = rest[at..].chars().take(20).collect();
            return Err(format!(
                "{text:?}: unknown placeholder at {shown:?}; use {{path}} or {{k}}"
            ));
        }
        if !text.contains(PATH) {
            return Err(format!("{text:?} lacks {{path}}: every file would get the same path"));
        }
        let template = PathTemplate { text: text.to_string() };
        let path = template.path(1, &SharePath::default());
        path.map_err(|error| format!("{text:?} gives an invalid path: {error}"))?;
        Ok(template)
    }

    /// Returns whether each clone gets paths of its own.
    pub fn isolates(&self) -> bool {
        self.text.contains(NUMBER)
    }

    /// Returns whether every path stays as it is.
    pub fn keeps_paths(&self) -> bool {
        self.text == PATH
    }

    /// Returns the path of clone `k` in place of `path`.
    ///
    /// # Errors
    /// [`PathError`] if the template makes no valid path of it, for example one that is too long.
    pub fn path(&self, k: u32, path: &SharePath) -> Result<SharePath, PathError> {
        SharePath::new(&self.text.replace(NUMBER, &k.to_string()).replace(PATH, path.as_str()))
    }

    /// Returns the directories that the template puts above every path of clone `k`, each after
    /// the one above it.
    pub fn directories(&self, k: u32) -> Vec<SharePath> {
        let above = self.text.split(PATH).next().unwrap_or("").replace(NUMBER, &k.to_string());
        let ends = above.char_indices().filter(|(_, c)| matches!(c, '/' | '\\'));
        let paths = ends.filter_map(|(end, _)| SharePath::new(&above[..end]).ok());
        paths.filter(|path| !path.is_root()).collect()
    }
}

/// Replaces every path that the operation names.
///
/// # Errors
/// The error of `replace`.
pub(super) fn replace_paths<E>(
    operation: &mut Operation,
    replace: impl Fn(&SharePath) -> Result<SharePath, E>,
) -> Result<(), E> {
    let paths: [Option<&mut SharePath>; 2] = match &mut operation.kind {
        OperationKind::Open(open) => [Some(&mut open.path), None],
        OperationKind::OnHandle(..) => [None, None],
        OperationKind::ByPath(operation) => match operation {
            PathOperation::Rename { source_path, dest_path, .. } => {
                [Some(source_path), Some(dest_path)]
            }
            PathOperation::Delete { path }
            | PathOperation::Mkdir { path }
            | PathOperation::Rmdir { path }
            | PathOperation::Stat { path }
            | PathOperation::List { path, .. } => [Some(path), None],
        },
    };
    for path in paths.into_iter().flatten() {
        *path = replace(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_makes_paths_and_the_directories_above_them() {
        let template = PathTemplate::new("copies/c{k}/{path}").unwrap();
        let path = SharePath::new("a/b").unwrap();
        assert_eq!(template.path(3, &path).unwrap().as_str(), "copies/c3/a/b");
        let directories = template.directories(3);
        let directories: Vec<&str> = directories.iter().map(SharePath::as_str).collect();
        assert_eq!(directories, ["copies", "copies/c3"]);
        let beside = PathTemplate::new("{path}.{k}").unwrap();
        assert_eq!(beside.path(3, &path).unwrap().as_str(), "a/b.3");
        assert!(beside.directories(3).is_empty() && beside.isolates() && !beside.keeps_paths());
        assert!(PathTemplate::new("{path}").unwrap().keeps_paths());
    }

    #[test]
    fn a_template_that_makes_no_path_is_refused() {
        let problem = |text: &str| PathTemplate::new(text).unwrap_err();
        assert!(problem("clone{k}").contains("lacks {path}"));
        assert!(problem("{client}/{path}").contains("unknown placeholder at \"{client}/\""));
        assert!(problem("../{path}").contains("gives an invalid path"));
    }
}
