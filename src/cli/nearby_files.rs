//! Suggestions, for errors, of scripts and documents near a path that is neither.

use std::fs;
use std::path::{Path, PathBuf};

use super::input_path::InputPath;
use crate::ir::directory::directory_of;
use crate::observability::results::missing_parent;
use crate::observability::text::printable;
use crate::protocol::nearest;

/// Maximum number of entries of a directory that are read, and of names that are listed.
const MAX_ENTRIES: usize = 10_000;
const MAX_LISTED: usize = 5;
const MAX_NAME_CHARS: usize = 200;

/// Returns advice on a path that is not a script or document: the file that was most likely meant,
/// or the files in the directory. It begins with a separator, and is empty if there is no advice.
pub(super) fn advice(path: &Path) -> String {
    if path.is_dir() {
        let names = inputs_in(path);
        let listed: Vec<String> =
            names.iter().take(MAX_LISTED).map(|name| quoted(&path.join(name))).collect();
        return match (listed.len(), names.len() - listed.len()) {
            (0, _) => ": it is a directory, without a script or document in it".into(),
            (1, _) => format!(": it is a directory; in it is {}", listed[0]),
            (_, 0) => format!(": it is a directory; in it are {}", listed.join(", ")),
            (_, more) => {
                format!(": it is a directory; in it are {} and {more} more", listed.join(", "))
            }
        };
    }
    if let Some(missing) = missing_parent(path) {
        return format!(": there is no directory {}", quoted(missing));
    }
    nearest_input(path)
        .map_or_else(String::new, |near| format!(": did you mean {}?", quoted(&near)))
}

/// Returns the first script or document in a directory.
pub(super) fn first_input(directory: &Path) -> Option<PathBuf> {
    inputs_in(directory).first().map(|name| directory.join(name))
}

/// Returns the script or document that was most likely meant: one in the same directory with
/// another extension, one of the same name in a subdirectory, or one with a similar name.
fn nearest_input(path: &Path) -> Option<PathBuf> {
    let directory = directory_of(path);
    let name = path.file_name()?.to_string_lossy();
    let names = inputs_in(directory);
    let stem = |name: &str| Path::new(name).file_stem().map(|s| s.to_string_lossy().to_string());
    if let Some(same) = names.iter().find(|known| stem(known) == stem(&name)) {
        return Some(path.with_file_name(same));
    }
    let mut below: Vec<PathBuf> = fs::read_dir(directory)
        .ok()?
        .take(MAX_ENTRIES)
        .filter_map(|entry| Some(path.with_file_name(entry.ok()?.file_name()).join(&*name)))
        .filter(|candidate| candidate.is_file() && InputPath::of(candidate).is_some())
        .collect();
    below.sort();
    let near = || nearest(&name, names.iter().map(String::as_str));
    below.into_iter().next().or_else(|| Some(path.with_file_name(near()?)))
}

/// Returns the names of the scripts and documents in a directory, sorted.
fn inputs_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().take(MAX_ENTRIES).flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| InputPath::of(&entry.path()).is_some() && entry.path().is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn quoted(path: &Path) -> String {
    printable(&path.display().to_string(), MAX_NAME_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_was_meant_is_found_by_its_name_or_its_place() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        fs::create_dir(root.join("examples")).unwrap();
        for name in ["office.lua", "office.txt", "day.jsonl", "examples/first_steps.lua"] {
            fs::write(root.join(name), "").unwrap();
        }
        let near = |name: &str| advice(&root.join(name)).replace(&root.display().to_string(), "");
        assert_eq!(near("ofice.lua"), ": did you mean /office.lua?");
        assert_eq!(near("office"), ": did you mean /office.lua?");
        assert_eq!(near("day.json"), ": did you mean /day.jsonl?");
        assert_eq!(near("first_steps.lua"), ": did you mean /examples/first_steps.lua?");
        assert_eq!(near("xyz.lua"), "");
        assert_eq!(near("exmples/first_steps.lua"), ": there is no directory /exmples");
        assert_eq!(near("examples"), ": it is a directory; in it is /examples/first_steps.lua");
        fs::remove_file(root.join("examples/first_steps.lua")).unwrap();
        assert_eq!(near("examples"), ": it is a directory, without a script or document in it");
    }
}
