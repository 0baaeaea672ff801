//! The files that a script reads by their paths: documents and trees.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::given_parameters::GivenParameters;
use super::project::{NO_FILES, Project};
use super::read_files::ReadFiles;
use crate::ir::directory::{OpenError, regular_file};

/// The path of a file that a script names.
pub(super) struct FileOfScript {
    /// The path as the script wrote it.
    path: String,
    /// Whether the command line gave the path. Such a path may name any file, and starts from the
    /// current directory.
    pub given: bool,
    by_test: bool,
    /// The path within the project.
    within: PathBuf,
    /// The path as errors write it.
    pub shown: PathBuf,
}

impl FileOfScript {
    /// Finds out what `path` names.
    pub fn new(project: &Project, parameters: &GivenParameters, path: &str) -> FileOfScript {
        let given = parameters.trusts(path);
        let within = project.script.parent().unwrap_or(Path::new("")).join(path);
        let shown = if given { PathBuf::from(path) } else { project.shown(&within) };
        FileOfScript { path: path.into(), given, by_test: parameters.by_test, within, shown }
    }

    /// Records the paths at which the file is looked for.
    pub fn note_in(&self, reads: &ReadFiles, project: &Project) {
        if self.given {
            reads.add(&self.shown);
        }
        if let Some(root) = project.root.as_ref().filter(|_| !Path::new(&self.path).is_absolute()) {
            reads.add(&root.join(&self.within));
        }
    }

    /// Opens the file for reading. Returns it and its size in bytes. `function` is the function of
    /// `bench` that was given the path.
    ///
    /// # Errors
    /// A message if the file cannot be read, if it is outside of the project and the command line
    /// did not give its path, or if the path could mean two files.
    pub fn open(&self, project: &Project, function: &str) -> Result<(File, u64), String> {
        let of_project = match project.directory.as_ref() {
            Some(directory) if !Path::new(&self.path).is_absolute() => {
                directory.regular_file(&self.within)
            }
            None if !self.given => return Err(format!("cannot read {:?}: {NO_FILES}", self.path)),
            _ => Err(OpenError::Outside),
        };
        let (path, shown) = (&self.path, self.shown.display());
        let opened = match (self.given, of_project) {
            (false, of_project) => of_project,
            (true, of_project) => {
                let opened = regular_file(&self.shown);
                if let (Ok((one, _)), Ok((other, _))) = (&opened, &of_project)
                    && !is_same(one, other)
                {
                    return Err(format!(
                        "{path:?} is in the current directory, where -p names it, and in the script's directory: pass -p with \"./{path}\" for the first, or write \"./{path}\" in the script for the second"
                    ));
                }
                opened
            }
        };
        opened.map_err(|error| match error {
            OpenError::Outside if self.by_test => format!(
                "{path:?} is outside of {}; a script that a test loads reads the files of its project only",
                project.name()
            ),
            OpenError::Outside => format!(
                "{path:?} is outside of {}; to load it, take the path from a parameter, bench.{function}(P.file), and pass it with -p file=…",
                project.name()
            ),
            OpenError::NotAFile => format!("{shown} is not a regular file"),
            OpenError::Unreadable(error) if self.given => format!(
                "cannot read {shown}: {error}; a path given with -p starts from the current directory"
            ),
            OpenError::Unreadable(error) if self.by_test => {
                format!("cannot read {shown}: {error}; the path starts from the script's directory")
            }
            OpenError::Unreadable(error) => format!(
                "cannot read {shown}: {error}; a path in the script starts from the script's directory, one given with -p from the current directory"
            ),
        })
    }
}

/// Returns whether two open files are the same, as far as that can be told.
fn is_same(one: &File, other: &File) -> bool {
    let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}
