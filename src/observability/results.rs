//! The folder a run leaves behind.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::summary::Summary;

/// Why results cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    #[error("--out {0}: there is a summary.json already; name another folder, or remove it")]
    Occupied(PathBuf),
    #[error("--out {0}: this is not a folder")]
    NotAFolder(PathBuf),
    #[error("cannot make the results folder {path}: {source}; --out names another place")]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

const SUMMARY: &str = "summary.json";
const MAX_NAME_CHARS: usize = 60;
/// Runs of one script that may start within one second.
const MAX_SAME_NAME: u32 = 1_000;

/// Made before the run, so that a run does not end without a place for its
/// results. One that stays empty is removed again.
#[derive(Debug)]
pub struct ResultsFolder {
    path: PathBuf,
    /// Folders that were made for it, innermost first.
    made: Vec<PathBuf>,
}

impl ResultsFolder {
    /// `out` as asked for, or `results/<time>-<script>` in the working folder.
    ///
    /// # Errors
    /// [`ResultsError`] when `out` holds the results of another run or is no
    /// folder, or when the folder cannot be made.
    pub fn create(
        out: Option<&Path>,
        script: &str,
        started_at: SystemTime,
    ) -> Result<ResultsFolder, ResultsError> {
        match out {
            Some(out) if out.join(SUMMARY).exists() => Err(ResultsError::Occupied(out.into())),
            Some(out) if out.exists() && !out.is_dir() => Err(ResultsError::NotAFolder(out.into())),
            Some(out) => Self::make(out),
            None => Self::make_new(&Path::new("results").join(default_name(script, started_at))),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `summary.json`: whole, or not at all.
    ///
    /// # Errors
    /// [`ResultsError::Write`] with the file's path.
    pub fn write_summary(&self, summary: &Summary) -> Result<PathBuf, ResultsError> {
        let path = self.path.join(SUMMARY);
        match self.write(&path, summary) {
            Ok(()) => Ok(path),
            Err(source) => Err(ResultsError::Write { path, source }),
        }
    }

    fn write(&self, path: &Path, summary: &Summary) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(summary)?;
        text.push(b'\n');
        let mut builder = tempfile::Builder::new();
        // Others may read results, as any file; the temporary default is the owner alone.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        let mut file = builder.prefix(".summary").tempfile_in(&self.path)?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    fn make(path: &Path) -> Result<ResultsFolder, ResultsError> {
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made = path.ancestors().take_while(missing).map(Path::to_path_buf).collect();
        fs::create_dir_all(path).map_err(|source| create_error(path, source))?;
        Ok(ResultsFolder { path: path.into(), made })
    }

    /// `path`, or `path-2` and so on, whichever is not there.
    fn make_new(path: &Path) -> Result<ResultsFolder, ResultsError> {
        let parent = Self::make(path.parent().unwrap_or(Path::new(".")))?;
        let mut candidate = path.to_path_buf();
        for number in 2..=MAX_SAME_NAME {
            match fs::create_dir(&candidate) {
                Ok(()) => {
                    let made = [vec![candidate.clone()], parent.keep()].concat();
                    return Ok(ResultsFolder { path: candidate, made });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let mut name = path.as_os_str().to_owned();
                    name.push(format!("-{number}"));
                    candidate = name.into();
                }
                Err(source) => return Err(create_error(&candidate, source)),
            }
        }
        Err(create_error(path, io::ErrorKind::AlreadyExists.into()))
    }

    fn keep(mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.made)
    }
}

impl Drop for ResultsFolder {
    fn drop(&mut self) {
        // Removes empty folders only; one that holds something stays, with those around it.
        for folder in &self.made {
            if fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }
}

fn create_error(path: &Path, source: io::Error) -> ResultsError {
    ResultsError::Create { path: path.into(), source }
}

/// `20261122T175523Z-first_steps`.
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
    fn two_runs_that_start_at_once_get_folders_of_their_own() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("results/now-x");
        let first = ResultsFolder::make_new(&path).unwrap();
        let second = ResultsFolder::make_new(&path).unwrap();
        assert_eq!(first.path(), path);
        assert_eq!(second.path(), root.path().join("results/now-x-2"));
    }

    #[test]
    fn a_folder_that_stays_empty_is_removed_with_those_made_for_it() {
        let root = tempfile::tempdir().unwrap();
        drop(ResultsFolder::make_new(&root.path().join("results/a")).unwrap());
        assert!(!root.path().join("results").exists());

        let kept = ResultsFolder::make_new(&root.path().join("results/b")).unwrap();
        fs::write(kept.path().join("x"), "").unwrap();
        drop(kept);
        assert!(root.path().join("results/b/x").exists());

        let existing = root.path().join("mine");
        fs::create_dir(&existing).unwrap();
        drop(ResultsFolder::create(Some(&existing), "", started_at()).unwrap());
        assert!(existing.exists(), "a folder that was there before stays");
    }

    #[test]
    fn the_results_of_another_run_are_never_overwritten() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(SUMMARY), "{}").unwrap();
        let error = ResultsFolder::create(Some(root.path()), "", started_at()).unwrap_err();
        assert!(error.to_string().starts_with("--out "), "{error}");
        assert!(matches!(error, ResultsError::Occupied(_)));

        let file = root.path().join(SUMMARY);
        let error = ResultsFolder::create(Some(&file), "", started_at()).unwrap_err();
        assert!(matches!(error, ResultsError::NotAFolder(_)));
        let error = ResultsFolder::create(Some(&file.join("x")), "", started_at()).unwrap_err();
        assert!(matches!(error, ResultsError::Create { .. }), "{error}");
    }

    #[test]
    fn the_summary_is_whole_readable_by_others_and_leaves_nothing_beside_it() {
        use super::super::sample;
        let root = tempfile::tempdir().unwrap();
        let folder = ResultsFolder::create(Some(root.path()), "", started_at()).unwrap();
        let summary = Summary::new(sample::facts(), &sample::measurements());
        let path = folder.write_summary(&summary).unwrap();
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
}
