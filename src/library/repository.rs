//! Repositories of libraries: their versions, and the files of a commit. They are read with git,
//! from a cache that outlives the process.
//!
//! No file of a repository is ever checked out, so that no hook, filter, link or submodule of it
//! takes effect.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use semver::Version;

use super::git::{Git, GitError};
use super::lock::{Reference, is_commit};
use super::package_files::PackageFiles;
use super::repository_cache::{
    CacheLimits, CachedRepository, FetchFailure, ReadFailure, is_reference_name, version_of,
};
use super::repository_url::{check_url, shown_url};
use crate::observability::text::printable;

/// Maximum number of characters of a tag, branch or commit that a message shows.
const MAX_SHOWN: usize = 80;
/// Size below which a repository of the cache is not removed to make room for a fetch, in bytes.
const EMPTY: u64 = 256 << 10;

/// The subject under which the cache remembers the tags of a repository.
const TAGS: &str = "tags";

/// Settings of [`Repositories`].
#[derive(Clone)]
pub struct RepositoryOptions {
    /// The directory of the cache. It is made when it is needed.
    pub cache: PathBuf,
    /// Whether git may ask the user for credentials on the terminal.
    pub may_ask: bool,
    /// Receives one line for each wait: what is fetched now.
    pub progress: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A version that a tag of a repository names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedVersion {
    pub tag: String,
    pub version: Version,
    pub commit: String,
}

/// The reason why a repository cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    #[error("{repo}: {problem}")]
    Url { repo: String, problem: String },
    #[error("cannot read {repo}: {error}")]
    Git { repo: String, error: GitError },
    #[error("cannot use the cache in {place}: {reason}")]
    Cache { place: String, reason: String },
    #[error(
        "{repo} has no tag and no branch {revision}; a commit is given by its whole hash of 40 digits"
    )]
    NoRevision { repo: String, revision: String },
    #[error(
        "the tag {tag} of {repo} has moved: the lock has commit {locked}, which the repository no longer has, and now the tag leads to {now}; if you trust the change, run smbench lib update"
    )]
    TagMoved { repo: String, tag: String, locked: String, now: String },
    #[error(
        "{repo} does not have commit {commit} of {reference} any more; run smbench lib update, or if smbench.toml names this commit, write another rev there"
    )]
    CommitGone { repo: String, reference: String, commit: String },
    #[error("{reference} of {repo} leads to a {kind} and not to a commit, so it has no library")]
    NotACommit { repo: String, reference: String, kind: String },
    #[error("{repo} at {reference} (commit {commit}): {problem}")]
    Content { repo: String, reference: String, commit: String, problem: String },
}

type Memo<K, V> = Mutex<HashMap<K, Result<V, RepositoryError>>>;

/// The repositories of libraries.
pub struct Repositories {
    options: RepositoryOptions,
    git: Git,
    limits: CacheLimits,
    versions: Memo<String, Vec<TaggedVersion>>,
    /// Commits by URL and revision.
    commits: Memo<(String, String), String>,
}

impl fmt::Debug for Repositories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repositories").field("cache", &self.options.cache).finish_non_exhaustive()
    }
}

impl Repositories {
    /// Creates the access to repositories. Nothing is read yet.
    pub fn new(options: RepositoryOptions) -> Repositories {
        let git = Git::new(options.may_ask);
        Repositories {
            options,
            git,
            limits: CacheLimits::default(),
            versions: Memo::default(),
            commits: Memo::default(),
        }
    }

    /// Returns the versions that have a tag (`v1.2.0` or `1.2.0`), highest first. The server is
    /// asked once. If it cannot be reached, these are the versions in the cache, with a warning.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub fn versions(&self, repo: &str) -> Result<Vec<TaggedVersion>, RepositoryError> {
        remembered(&self.versions, repo.to_string(), || self.read_versions(repo))
    }

    fn read_versions(&self, repo: &str) -> Result<Vec<TaggedVersion>, RepositoryError> {
        self.progress(&format!("reading the versions of {}", shown_url(repo)));
        let tags = match self.remote_references(repo, &["refs/tags/*"]) {
            Ok(references) => {
                self.cached(repo, false).remember(TAGS, &references);
                tags(&references)
            }
            Err(error) => {
                let cached = tags(&self.cached(repo, false).recall(TAGS));
                let cached = self.present(repo, cached);
                if !is_network(&error) || cached.is_empty() {
                    return Err(error);
                }
                tracing::warn!("{error}; only the versions in the cache are used");
                cached
            }
        };
        let mut versions: Vec<TaggedVersion> = tags
            .into_iter()
            .filter_map(|(tag, commit)| {
                let version = version_of(&tag)?;
                Some(TaggedVersion { tag, version, commit })
            })
            .collect();
        // Of v1.2.0 and 1.2.0 the first one stays.
        versions.sort_by(|a, b| (&b.version, &b.tag).cmp(&(&a.version, &a.tag)));
        versions.dedup_by(|a, b| a.version == b.version);
        Ok(versions)
    }

    /// Returns those of the references whose commits are in the cache.
    fn present(
        &self,
        repo: &str,
        references: BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let commits = || references.values().map(String::as_str);
        let cached = [false, true].map(|is_sha256| self.cached(repo, is_sha256));
        let present: BTreeSet<String> =
            cached.iter().flat_map(|cached| cached.present(commits())).collect();
        references.into_iter().filter(|(_, commit)| present.contains(commit)).collect()
    }

    /// Returns the commit of a tag or branch. A whole commit is returned itself; whether the
    /// repository has it is found out when it is read.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub fn commit_of(&self, repo: &str, revision: &str) -> Result<String, RepositoryError> {
        check(repo)?;
        let lower = revision.to_ascii_lowercase();
        if is_commit(&lower) {
            return Ok(lower);
        }
        let key = (repo.to_string(), revision.to_string());
        remembered(&self.commits, key, || self.read_commit(repo, revision))
    }

    fn read_commit(&self, repo: &str, revision: &str) -> Result<String, RepositoryError> {
        let none = || RepositoryError::NoRevision {
            repo: shown_url(repo),
            revision: printable(revision, MAX_SHOWN),
        };
        if !is_reference_name(revision) {
            return Err(none());
        }
        self.progress(&format!("looking for {revision} in {}", shown_url(repo)));
        let [tag, branch] = [format!("refs/tags/{revision}"), format!("refs/heads/{revision}")];
        let peeled = format!("{tag}^{{}}");
        let subject = format!("revision {revision}");
        match self.remote_references(repo, &[&tag, &peeled, &branch]) {
            Ok(references) => {
                let find = |name: &String| references.iter().find(|(_, found)| found == name);
                let found = find(&peeled).or_else(|| find(&tag)).or_else(|| find(&branch));
                let commit = found.map(|(commit, _)| commit.clone()).ok_or_else(none)?;
                let found = (commit.clone(), revision.to_string());
                self.cached(repo, false).remember(&subject, &[found]);
                Ok(commit)
            }
            Err(error) if is_network(&error) => {
                let known = self.cached(repo, false).recall(&subject);
                let known = known.into_iter().map(|(commit, name)| (name, commit)).collect();
                let commit = self.present(repo, known).remove(revision).ok_or(error.clone())?;
                tracing::warn!("{error}; {revision} is used as the cache has it");
                Ok(commit)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns `smbench.toml` at a commit, from the cache or else from the server; None if there is
    /// no such file.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub fn manifest(
        &self,
        repo: &str,
        reference: &Reference,
        commit: &str,
    ) -> Result<Option<String>, RepositoryError> {
        self.read(repo, reference, commit, |cached| cached.manifest(commit))
    }

    /// Returns all files at a commit, from the cache or else from the server.
    ///
    /// # Errors
    /// [`RepositoryError`], also if a library cannot have such a file.
    pub fn files(
        &self,
        repo: &str,
        reference: &Reference,
        commit: &str,
    ) -> Result<PackageFiles, RepositoryError> {
        self.read(repo, reference, commit, |cached| cached.files(commit))
    }

    fn read<T>(
        &self,
        repo: &str,
        reference: &Reference,
        commit: &str,
        read: impl Fn(&CachedRepository) -> Result<T, ReadFailure>,
    ) -> Result<T, RepositoryError> {
        check(repo)?;
        let shown = shown_reference(reference);
        let content = |problem: String| RepositoryError::Content {
            repo: shown_url(repo),
            reference: shown.clone(),
            commit: printable(commit, MAX_SHOWN),
            problem,
        };
        if !is_commit(commit) {
            return Err(content("it is not a commit".into()));
        }
        let read_failed = |failure| match failure {
            ReadFailure::Unavailable(error) => git_failed(repo, error),
            ReadFailure::NotACommit(kind) => not_a_commit(repo, reference, kind),
            ReadFailure::Content(problem) => content(problem),
        };
        let cached = self.cached(repo, commit.len() == 64);
        if cached.exists() {
            match read(&cached) {
                Err(ReadFailure::Unavailable(_)) => {}
                result => return result.map_err(read_failed),
            }
        }
        let _lock = self.lock(repo, &cached)?;
        self.progress(&format!("fetching {shown} of {}", shown_url(repo)));
        self.fetch(repo, reference, commit, &cached)?;
        match read(&cached) {
            Err(ReadFailure::Unavailable(_)) => {}
            result => return result.map_err(read_failed),
        }
        // An object that git takes for present is broken.
        cached.remove().map_err(|error| git_failed(repo, error))?;
        self.fetch(repo, reference, commit, &cached)?;
        read(&cached).map_err(read_failed)
    }

    /// Fetches a commit. A repository of the cache that is broken, or too full for what is fetched,
    /// is made anew once.
    fn fetch(
        &self,
        repo: &str,
        reference: &Reference,
        commit: &str,
        cached: &CachedRepository,
    ) -> Result<(), RepositoryError> {
        let before = cached.size();
        let mut fetched = cached.fetch(reference, commit);
        let is_too_large =
            |it: &Result<_, _>| matches!(it, Err(FetchFailure::Git(GitError::TooLarge(_))));
        let is_repairable = match &fetched {
            Err(FetchFailure::Git(GitError::Failed(_))) => !cached.is_sound(),
            fetched => is_too_large(fetched) && before > EMPTY,
        };
        let failed = |error| git_failed(repo, error);
        if is_repairable {
            cached.remove().map_err(failed)?;
            fetched = cached.fetch(reference, commit);
        }
        if is_too_large(&fetched) {
            cached.remove().map_err(failed)?;
        }
        fetched.map_err(|failure| match failure {
            FetchFailure::Git(error) => failed(error),
            FetchFailure::NotACommit(kind) => not_a_commit(repo, reference, kind),
            FetchFailure::Gone(now) => match (reference, now) {
                (Reference::Tag(tag), Some(now)) => RepositoryError::TagMoved {
                    repo: shown_url(repo),
                    tag: printable(tag, MAX_SHOWN),
                    locked: commit.into(),
                    now,
                },
                _ => RepositoryError::CommitGone {
                    repo: shown_url(repo),
                    reference: shown_reference(reference),
                    commit: commit.into(),
                },
            },
        })
    }

    /// Asks the server for references. It needs a repository to run in, which is made.
    fn remote_references(
        &self,
        repo: &str,
        patterns: &[&str],
    ) -> Result<Vec<(String, String)>, RepositoryError> {
        check(repo)?;
        let cached = self.cached(repo, false);
        let failed = |error| git_failed(repo, error);
        if !cached.exists() {
            let _lock = self.lock(repo, &cached)?;
            cached.make().map_err(failed)?;
        }
        match cached.remote_references(patterns) {
            Err(GitError::Failed(_)) if !cached.is_sound() => {
                let _lock = self.lock(repo, &cached)?;
                cached.remove().and_then(|()| cached.make()).map_err(failed)?;
                cached.remote_references(patterns).map_err(failed)
            }
            result => result.map_err(failed),
        }
    }

    fn cached<'a>(&'a self, repo: &'a str, is_sha256: bool) -> CachedRepository<'a> {
        CachedRepository::new(&self.git, &self.options.cache, repo, is_sha256, self.limits)
    }

    fn lock(
        &self,
        repo: &str,
        cached: &CachedRepository,
    ) -> Result<std::fs::File, RepositoryError> {
        let waiting = || {
            let shown = shown_url(repo);
            self.progress(&format!("waiting for another smbench that fetches {shown}"));
        };
        cached.lock(waiting).map_err(|error| RepositoryError::Cache {
            place: printable(&cached.place().display().to_string(), 200),
            reason: error.to_string(),
        })
    }

    fn progress(&self, line: &str) {
        (self.options.progress)(line);
    }
}

/// Returns what was found before for `key`, or else finds it and remembers it, also if it failed.
fn remembered<K: Eq + std::hash::Hash, V: Clone>(
    memo: &Memo<K, V>,
    key: K,
    find: impl FnOnce() -> Result<V, RepositoryError>,
) -> Result<V, RepositoryError> {
    let known = || memo.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(result) = known().get(&key) {
        return result.clone();
    }
    let result = find();
    known().insert(key, result.clone());
    result
}

fn check(repo: &str) -> Result<(), RepositoryError> {
    check_url(repo).map_err(|problem| RepositoryError::Url { repo: shown_url(repo), problem })
}

fn git_failed(repo: &str, error: GitError) -> RepositoryError {
    RepositoryError::Git { repo: shown_url(repo), error }
}

fn not_a_commit(repo: &str, reference: &Reference, kind: String) -> RepositoryError {
    let reference = shown_reference(reference);
    RepositoryError::NotACommit { repo: shown_url(repo), reference, kind }
}

fn shown_reference(reference: &Reference) -> String {
    let (Reference::Tag(name) | Reference::Revision(name)) = reference;
    printable(name, MAX_SHOWN)
}

fn is_network(error: &RepositoryError) -> bool {
    let RepositoryError::Git { error, .. } = error else { return false };
    matches!(error, GitError::Unreachable(_) | GitError::TimedOut(_))
}

/// Returns the tags among references and the commits that they lead to. A tag with a message is
/// listed twice, the second time with `^{}` and the commit.
fn tags(references: &[(String, String)]) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let is_peeled = |name: &str| name.ends_with("^{}");
    for wanted in [false, true] {
        for (hash, name) in references.iter().filter(|(_, name)| is_peeled(name) == wanted) {
            if let Some(tag) = name.trim_end_matches("^{}").strip_prefix("refs/tags/") {
                tags.insert(tag.to_string(), hash.clone());
            }
        }
    }
    tags
}

#[cfg(test)]
mod tests;
