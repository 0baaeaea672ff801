//! The directory that holds the results of a run.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;

use super::summary::Summary;

/// A reason why results cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    #[error("--out {0}: there is a summary.json already; name another directory, or remove it")]
    Occupied(PathBuf),
    #[error("--out {0}: another run is writing its results there; name another directory")]
    InUse(PathBuf),
    #[error("--out {0}: this is not a directory")]
    NotADirectory(PathBuf),
    #[error(
        "--out {}: there is no directory {}; create it first, or name another path", path.display(), parent.display()
    )]
    NoParent { path: PathBuf, parent: PathBuf },
    #[error("cannot make the results directory {path}: {source}; --out names another place")]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {}", unwritten(source))]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "cannot write {0}: its directory was removed or moved while the run went on; leave it where it is until the run has ended"
    )]
    Moved(PathBuf),
}

/// Returns the system's error for a file that could not be written, and what to do about it.
pub(super) fn unwritten(error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::FileTooLarge => "; raise the limit on the size of files (ulimit -f)",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; free some space",
        ErrorKind::AlreadyExists => "; another program wrote it while the run went on",
        _ => "",
    };
    format!("{error}{advice}, or name another directory with --out")
}

const SUMMARY: &str = "summary.json";
const MAX_NAME_CHARS: usize = 60;
/// The most runs of one script that may start within one second.
const MAX_SAME_NAME: u32 = 1_000;
/// The most attempts to make a directory that other runs, which left no results, keep removing.
const MAX_TRIES: u32 = 10;

/// The results directory. It is made before the run, so that a run does not end without a place for
/// its results, and removed again if it stays empty.
#[derive(Debug)]
pub struct ResultsDirectory {
    path: PathBuf,
    /// The directories that were made for it, innermost first.
    made: Vec<PathBuf>,
    /// The open directory, locked so that no other run writes here. The system releases the lock
    /// however the process ends, and the lock leaves no file.
    directory: File,
}

impl ResultsDirectory {
    /// Makes and locks `out`, or `results/<time>-<script>` in the working directory. Only the last
    /// directory of `out` is made, so that a misspelled path is an error.
    ///
    /// # Errors
    /// [`ResultsError`] if `out` holds the results of another run, is in use by one or is not a
    /// directory, if the directory around it is missing, or if the directory cannot be made.
    pub fn create(
        out: Option<&Path>,
        script: &str,
        started_at: SystemTime,
    ) -> Result<ResultsDirectory, ResultsError> {
        match out {
            // It is looked up only once: another run may remove it between two look-ups.
            Some(out) if out.metadata().is_ok_and(|found| !found.is_dir()) => {
                Err(ResultsError::NotADirectory(out.into()))
            }
            Some(out) => match missing_parent(out) {
                Some(parent) => {
                    Err(ResultsError::NoParent { path: out.into(), parent: parent.into() })
                }
                None => Self::claim(out, Vec::new()),
            },
            None => Self::make_new(&Path::new("results").join(default_name(script, started_at))),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `summary.json` whole, or not at all.
    ///
    /// # Errors
    /// [`ResultsError::Write`] or [`ResultsError::Moved`] with the file's path.
    pub fn write_summary(&self, summary: &Summary) -> Result<PathBuf, ResultsError> {
        let path = self.path.join(SUMMARY);
        if !self.is_in_place() {
            return Err(ResultsError::Moved(path));
        }
        match self.write(&path, summary) {
            Ok(()) => Ok(path),
            Err(source) => Err(ResultsError::Write { path, source }),
        }
    }

    fn write(&self, path: &Path, summary: &Summary) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(summary)?;
        text.push(b'\n');
        let mut file = unfinished_file(".summary", &self.path)?;
        // The inner file is written, because errors of `file` name its temporary path.
        file.as_file_mut().write_all(&text)?;
        file.as_file().sync_all()?;
        persist_new(file, path)
    }

    fn is_in_place(&self) -> bool {
        FileIdentity::of(&self.directory).is_ok_and(|identity| identity.is_at(&self.path))
    }

    /// Makes `path` if it is missing, and locks it. `made` lists the directories made for it
    /// before.
    fn claim(path: &Path, mut made: Vec<PathBuf>) -> Result<ResultsDirectory, ResultsError> {
        for _ in 0..MAX_TRIES {
            make(path, &mut made).map_err(|source| create_error(path, source))?;
            let directory = match File::open(path) {
                Ok(directory) => directory,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(source) => return Err(create_error(path, source)),
            };
            match directory.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(ResultsError::InUse(path.into())),
                Err(TryLockError::Error(source)) => return Err(create_error(path, source)),
            }
            let claimed = ResultsDirectory { path: path.into(), made, directory };
            if !claimed.is_in_place() {
                made = claimed.keep();
                continue;
            }
            return match path.join(SUMMARY).symlink_metadata() {
                Ok(_) => Err(ResultsError::Occupied(path.into())),
                Err(_) => Ok(claimed),
            };
        }
        Err(create_error(path, ErrorKind::NotFound.into()))
    }

    /// Makes and locks `path`, or `path-2` and so on, whichever does not exist yet.
    fn make_new(path: &Path) -> Result<ResultsDirectory, ResultsError> {
        let mut made = Vec::new();
        let mut candidate = path.to_path_buf();
        for number in 2..=MAX_SAME_NAME {
            make(&candidate, &mut made).map_err(|source| create_error(path, source))?;
            if made.first() == Some(&candidate) {
                return Self::claim(&candidate, made);
            }
            let mut name = path.as_os_str().to_owned();
            name.push(format!("-{number}"));
            candidate = name.into();
        }
        Err(create_error(path, ErrorKind::AlreadyExists.into()))
    }

    fn keep(mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.made)
    }
}

impl Drop for ResultsDirectory {
    /// Removes the directories made for the results, while they are still locked. One that holds
    /// something stays, with its parents.
    fn drop(&mut self) {
        if !self.made.is_empty() && self.is_in_place() {
            for directory in &self.made {
                if fs::remove_dir(directory).is_err() {
                    return;
                }
            }
        }
    }
}

/// Returns the outermost of the directories around `path` that is missing.
pub fn missing_parent(path: &Path) -> Option<&Path> {
    let around = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
    let is_missing =
        |parent: &&Path| parent.metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    around.take_while(is_missing).last()
}

/// Returns why a new file cannot replace what is at `path`: a directory, a device or a pipe, which
/// would be lost. None if there is a regular file or nothing.
pub fn not_replaceable(path: &Path) -> Option<&'static str> {
    let file_type = path.metadata().ok()?.file_type();
    match (file_type.is_file(), file_type.is_dir()) {
        (true, _) => None,
        (_, true) => Some("it is a directory"),
        _ => Some("it is a device or a pipe"),
    }
}

/// Makes `path` and its missing parents, and adds to `made` only those that this call created: of
/// two runs that start at once, only one may take a directory for its own.
fn make(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    for _ in 0..MAX_TRIES {
        match fs::create_dir(path) {
            Ok(()) => {
                made.insert(0, path.into());
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => make(parent, made)?,
                _ => return Err(error),
            },
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::NotFound.into())
}

/// Creates a temporary file in `directory` that all may read, as they may read results. By default
/// only its owner may.
pub fn unfinished_file(prefix: &str, directory: &Path) -> io::Result<NamedTempFile> {
    let permissions = fs::Permissions::from_mode(0o644);
    tempfile::Builder::new().permissions(permissions).prefix(prefix).tempfile_in(directory)
}

/// Gives a finished temporary file its final name, which no other file may have.
///
/// # Errors
/// [`io::Error`] if a file of this name exists, or if the system reports another failure.
pub fn persist_new(file: NamedTempFile, path: &Path) -> io::Result<()> {
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        // Some file systems can neither link a file nor rename it on this condition.
        Err(refused)
            if refused.error.kind() != ErrorKind::AlreadyExists
                && path.symlink_metadata().is_err() =>
        {
            refused.file.persist(path)?;
            Ok(())
        }
        Err(refused) => Err(refused.error),
    }
}

/// The identity of a file, to distinguish it from another that has taken its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    pub fn of(file: &File) -> io::Result<FileIdentity> {
        file.metadata().map(|metadata| FileIdentity::from(&metadata))
    }

    pub fn is_at(self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|metadata| FileIdentity::from(&metadata) == self)
    }

    fn from(metadata: &fs::Metadata) -> FileIdentity {
        FileIdentity { device: metadata.dev(), inode: metadata.ino() }
    }
}

fn create_error(path: &Path, source: io::Error) -> ResultsError {
    ResultsError::Create { path: path.into(), source }
}

/// Returns the default name of a results directory, such as `20261122T175523Z-first_steps`.
fn default_name(script: &str, started_at: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(started_at).to_string();
    let stem = Path::new(script).file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = stem.chars().take(MAX_NAME_CHARS).map(plain).collect();
    format!("{}-{name}", time.replace(['-', ':'], ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn started_at() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_795_370_123)
    }

    #[test]
    fn the_default_name_is_the_time_and_the_scripts_name_made_plain() {
        assert_eq!(
            default_name("a/b/first_steps.lua", started_at()),
            "20261122T175523Z-first_steps"
        );
        assert_eq!(default_name("x/ä b\x1b[2J.lua", started_at()), "20261122T175523Z---b--2J");
        assert!(default_name(&"x".repeat(500), started_at()).len() < 80);
    }

    #[test]
    fn two_runs_that_start_at_once_get_directories_of_their_own() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("results/now-x");
        let first = ResultsDirectory::make_new(&path).unwrap();
        let second = ResultsDirectory::make_new(&path).unwrap();
        assert_eq!(first.path(), path);
        assert_eq!(second.path(), root.path().join("results/now-x-2"));
    }

    #[test]
    fn a_directory_that_stays_empty_is_removed_with_those_made_for_it() {
        let root = tempfile::tempdir().unwrap();
        drop(ResultsDirectory::make_new(&root.path().join("results/a")).unwrap());
        assert!(!root.path().join("results").exists());

        let kept = ResultsDirectory::make_new(&root.path().join("results/b")).unwrap();
        fs::write(kept.path().join("x"), "").unwrap();
        drop(kept);
        assert!(root.path().join("results/b/x").exists());

        let existing = root.path().join("mine");
        fs::create_dir(&existing).unwrap();
        drop(ResultsDirectory::create(Some(&existing), "", started_at()).unwrap());
        assert!(existing.exists(), "a directory that was there before stays");
    }

    #[test]
    fn the_results_of_another_run_are_never_overwritten() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(SUMMARY), "{}").unwrap();
        let error = ResultsDirectory::create(Some(root.path()), "", started_at()).unwrap_err();
        assert!(error.to_string().starts_with("--out "), "{error}");
        assert!(matches!(error, ResultsError::Occupied(_)));

        let file = root.path().join(SUMMARY);
        let error = ResultsDirectory::create(Some(&file), "", started_at()).unwrap_err();
        assert!(matches!(error, ResultsError::NotADirectory(_)));
        let error = ResultsDirectory::create(Some(&file.join("x")), "", started_at()).unwrap_err();
        assert!(matches!(error, ResultsError::Create { .. }), "{error}");
    }

    #[test]
    fn the_summary_is_whole_readable_by_others_and_leaves_nothing_beside_it() {
        use super::super::fixtures;
        let root = tempfile::tempdir().unwrap();
        let directory = ResultsDirectory::create(Some(root.path()), "", started_at()).unwrap();
        let summary = Summary::new(fixtures::facts(), &fixtures::measurements());
        let path = directory.write_summary(&summary).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(written, serde_json::to_value(&summary).unwrap());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o400, 0o400);
        }
    }

    #[test]
    fn of_runs_that_start_at_the_same_instant_one_gets_the_directory_and_the_rest_are_refused() {
        let root = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let out = root.path().join(format!("{round}"));
            let start = std::sync::Barrier::new(4);
            let claimed: Vec<_> = std::thread::scope(|scope| {
                let claim = || {
                    start.wait();
                    ResultsDirectory::create(Some(&out), "", started_at())
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(claim)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let (got, refused): (Vec<_>, Vec<_>) = claimed.into_iter().partition(Result::is_ok);
            assert_eq!(got.len(), 1);
            for error in refused {
                assert!(matches!(error, Err(ResultsError::InUse(_))), "{error:?}");
            }
            assert!(out.exists(), "the refused leave the directory to the one that has it");
        }
    }

    #[test]
    fn a_directory_whose_run_came_to_nothing_may_be_claimed_at_once() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let claim = || loop {
            match ResultsDirectory::create(Some(&out), "", started_at()) {
                Ok(directory) => return drop(directory),
                Err(ResultsError::InUse(_)) => {}
                Err(error) => panic!("{error}"),
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..200).for_each(|_| claim()));
            }
        });
    }

    #[test]
    fn a_summary_goes_neither_over_another_nor_into_a_directory_that_took_the_place_of_its_own() {
        use super::super::fixtures;
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let summary = Summary::new(fixtures::facts(), &fixtures::measurements());
        let directory = ResultsDirectory::create(Some(&out), "", started_at()).unwrap();
        fs::write(out.join(SUMMARY), "mine").unwrap();
        let error = directory.write_summary(&summary).unwrap_err().to_string();
        assert!(error.contains("another program wrote it while the run went on"), "{error}");
        assert_eq!(fs::read_to_string(out.join(SUMMARY)).unwrap(), "mine");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "nothing is left beside it");

        fs::rename(&out, root.path().join("moved")).unwrap();
        let moved = |error| matches!(error, ResultsError::Moved(_));
        assert!(moved(directory.write_summary(&summary).unwrap_err()));
        fs::create_dir(&out).unwrap();
        assert!(moved(directory.write_summary(&summary).unwrap_err()));
        drop(directory);
        assert!(out.exists(), "the directory of another is not removed");
    }
}
