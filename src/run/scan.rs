//! `smbench scan`: reads the shape of a directory tree of this host.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::Context;
use walkdir::{DirEntry, WalkDir};

use super::destination::Destination;
use super::error::RunError;
use crate::ir::file_tree::{
    FileTree, MAX_ENTRIES, SCHEMA, TakenNames, TreeDirectory, TreeTotals, is_name,
};
use crate::observability::progress_lines::{ProgressLines, StageProgress};
use crate::protocol::LARGEST_EXACT;

/// The maximum number of directories that are open at a time. A deeper one is read whole before
/// those below it.
const MAX_OPEN: usize = 64;

/// The result of a scan.
#[derive(Clone, Debug)]
pub struct Scanned {
    pub totals: TreeTotals,
    /// The first file or directory that could not be read, and the reason.
    pub first_unreadable: Option<String>,
}

/// Reads the shape of the tree at `directory` and writes it. Symbolic links are not followed, except
/// `directory` itself. `names` decides whether the tree has the names of files and directories.
///
/// # Errors
/// [`RunError`] with exit code 2 if the directory cannot be read or has more than [`MAX_ENTRIES`]
/// files and directories, or if the output cannot be written.
pub fn scan(directory: &Path, names: bool, output: &Destination) -> Result<Scanned, RunError> {
    output.check()?;
    let found = Arc::new(AtomicU64::new(0));
    let lines = progress_lines(directory, Arc::clone(&found));
    let mut scan = Scan::new(names);
    let entries = WalkDir::new(directory).max_open(MAX_OPEN).sort_by_file_name();
    for entry in entries {
        scan.add(entry).map_err(RunError::invalid)?;
        if found.fetch_add(1, Relaxed) == MAX_ENTRIES {
            return Err(RunError::invalid(anyhow::anyhow!(
                "{} has more than {MAX_ENTRIES} files and directories; scan a part of it",
                directory.display()
            )));
        }
    }
    drop(lines);
    let Scan { tree, first_unreadable, .. } = scan;
    output.write(Arc::default(), |out| tree.write(out).context("the tree cannot be written"))?;
    Ok(Scanned { totals: tree.totals, first_unreadable })
}

fn progress_lines(directory: &Path, found: Arc<AtomicU64>) -> ProgressLines {
    let stage = format!("scanning {}", directory.display());
    ProgressLines::start(true, move || StageProgress {
        stage: stage.clone(),
        extent: Some(format!("({} files and directories)", found.load(Relaxed))),
        counts: None,
    })
}

/// The tree as far as it was read.
struct Scan {
    tree: FileTree,
    /// The index of each directory on the way from the root to the present one.
    path: Vec<usize>,
    /// The names that are taken; None for a tree without names.
    taken: Option<TakenNames>,
    first_unreadable: Option<String>,
}

impl Scan {
    fn new(names: bool) -> Scan {
        Scan {
            tree: FileTree { schema: SCHEMA.into(), ..FileTree::default() },
            path: Vec::new(),
            taken: names.then(TakenNames::default),
            first_unreadable: None,
        }
    }

    fn add(&mut self, entry: walkdir::Result<DirEntry>) -> anyhow::Result<()> {
        let entry = match entry {
            Err(error) if error.depth() == 0 => return Err(unusable(error)),
            Err(error) => {
                self.unreadable(error);
                return Ok(());
            }
            Ok(entry) => entry,
        };
        let file_type = entry.file_type();
        if entry.depth() == 0 {
            // walkdir follows a link that it is given as the root, and returns the link as an entry.
            if !entry.path().is_dir() {
                anyhow::bail!("{} is not a directory", entry.path().display());
            }
            self.add_directory(&entry);
        } else if file_type.is_dir() {
            self.add_directory(&entry);
        } else if file_type.is_symlink() {
            self.tree.totals.skipped.links += 1;
        } else if file_type.is_file() {
            match entry.metadata() {
                Ok(metadata) if metadata.len() < LARGEST_EXACT => {
                    self.add_file(&entry, metadata.len());
                }
                Ok(_) => self.tree.totals.skipped.special += 1,
                Err(error) => self.unreadable(error),
            }
        } else {
            self.tree.totals.skipped.special += 1;
        }
        Ok(())
    }

    fn unreadable(&mut self, error: walkdir::Error) {
        self.tree.totals.skipped.unreadable += 1;
        self.first_unreadable.get_or_insert_with(|| error.to_string());
    }

    fn add_directory(&mut self, entry: &DirEntry) {
        let index = self.tree.directories.len();
        self.path.truncate(entry.depth());
        let parent = self.path.last().copied();
        let names = self.taken.is_some().then(Vec::new);
        let name = parent.and_then(|parent| self.name(entry, parent, index as u64));
        let parent = parent.and_then(|parent| u32::try_from(parent).ok());
        self.tree.directories.push(TreeDirectory { parent, name, files: Vec::new(), names });
        self.tree.totals.directories += 1;
        self.path.push(index);
    }

    fn add_file(&mut self, entry: &DirEntry, size: u64) {
        let Some(&place) = self.path.get(entry.depth() - 1) else { return };
        let name = self.name(entry, place, self.tree.totals.files);
        let directory = &mut self.tree.directories[place];
        directory.files.push(size);
        directory.names.iter_mut().for_each(|names| names.extend(name.clone()));
        self.tree.totals.files += 1;
        self.tree.totals.bytes = self.tree.totals.bytes.saturating_add(size);
    }

    /// Returns the name of an entry of the directory `place`, or another one if a share cannot have
    /// it; None for a tree without names.
    fn name(&mut self, entry: &DirEntry, place: usize, number: u64) -> Option<String> {
        let taken = self.taken.as_mut()?;
        if let Some(name) = entry.file_name().to_str().filter(|name| is_name(name))
            && taken.take(place, name)
        {
            return Some(name.to_string());
        }
        self.tree.totals.replaced_names += 1;
        // The real name may be of another entry of the directory that is read later.
        let mut others = (0..).map(|attempt| format!("unnamed-{number}-{attempt}"));
        others.find(|name| taken.take(place, name))
    }
}

/// Returns the error about the directory itself.
fn unusable(error: walkdir::Error) -> anyhow::Error {
    let path = error.path().map(|path| path.display().to_string()).unwrap_or_default();
    match error.into_io_error() {
        Some(error) => anyhow::anyhow!("cannot scan {path}: {error}"),
        None => anyhow::anyhow!("cannot scan {path}"),
    }
}

#[cfg(test)]
mod tests {
    use smbench_test_support::Format;

    use super::*;
    use crate::observability::schema;

    #[test]
    fn the_schema_of_trees_is_that_of_the_types_and_refuses_what_is_none() {
        let schema = schema::checked_in::<FileTree>("tree");
        let place = tempfile::tempdir().unwrap();
        let (tree, out) = (place.path().join("tree"), place.path().join("tree.json"));
        std::fs::create_dir_all(tree.join("deep")).unwrap();
        std::fs::write(tree.join("deep/file"), "four").unwrap();
        scan(&tree, true, &Destination::File { path: out.clone(), force: false }).unwrap();
        let tree = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
        Format::Tree.check(&tree);
        assert_eq!(schema::unused_keys(&schema, std::slice::from_ref(&tree)), [""; 0]);
        for (at, spoiled) in schema::spoiled(&tree) {
            assert!(!Format::Tree.errors(&spoiled).is_empty(), "{at}: {spoiled}");
        }
    }
}
