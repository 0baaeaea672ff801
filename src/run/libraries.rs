//! The work of `smbench lib`: adds, locks, fetches and checks the libraries of the project that is
//! nearest upward from the current directory.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::RunError;
use crate::ir::directory::{Directory, regular_file};
use crate::library::editor_aliases::write_aliases;
use crate::library::fit::{check_package, fitting_lock, manifest_of};
use crate::library::installation::{HeldStore, hold};
use crate::library::lock::{LOCK, Lock, LockedPackage, LockedSource, PackageId, Reference};
use crate::library::lock_changes::{LockChange, changes};
use crate::library::manifest_edit::{dependency, with_dependency, without_dependency};
use crate::library::package_source::PackageSource;
use crate::library::path_package;
use crate::library::repository::{Repositories, RepositoryOptions, TaggedVersion};
use crate::library::repository_url::{check_url, shown_url};
use crate::library::resolve::{Resolution, ResolvedSource, Update, resolve};
use crate::library::store::{StoreError, VENDORED, package_directory, restoring, verify};
use crate::observability::text::counted;
use crate::project::manifest::{
    DependencySource, MANIFEST, MAX_MANIFEST_BYTES, Manifest, Wanted, nearest_manifest,
    parse_requirement,
};
use crate::project::names::check_alias;

/// The variable with the directory for fetched repositories.
const CACHE_VARIABLE: &str = "SMBENCH_CACHE_DIR";

/// The settings for commands that may fetch.
#[derive(Clone)]
pub struct LibraryOptions {
    /// Whether git may ask the user for a name or a password.
    pub may_ask: bool,
    /// Called with the name of what is fetched now.
    pub progress: Arc<dyn Fn(&str) + Send + Sync>,
}

impl std::fmt::Debug for LibraryOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LibraryOptions").field("may_ask", &self.may_ask).finish_non_exhaustive()
    }
}

/// The source of a library that is added.
#[derive(Clone, Debug)]
pub enum AddedSource {
    /// A repository. Without [`Wanted`], the highest released version is taken, and those compatible
    /// with it.
    Repository { repo: String, wanted: Option<Wanted> },
    /// A directory, relative to the current one.
    Path(String),
}

/// The result of a command that may change the lock.
#[derive(Debug, Default)]
pub struct LibraryChange {
    /// The source that was added, and the one that it replaces.
    pub added: Option<(DependencySource, Option<DependencySource>)>,
    pub changes: Vec<LockChange>,
    /// Whether the lock was written.
    pub is_written: bool,
    /// The packages in place, unless the command does not fetch them.
    pub synced: Option<SyncedLibraries>,
    /// The number of packages that were copied to be committed, and the directories of those that
    /// are read in place and were not; None unless the command copies.
    pub vendored: Option<(usize, Vec<String>)>,
    pub warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncedLibraries {
    pub in_place: usize,
    /// The number of those that were fetched now.
    pub fetched: usize,
}

/// The result of the check of one package.
#[derive(Debug)]
pub struct CheckedLibrary {
    pub id: PackageId,
    /// The place of its files, or what is wrong with them.
    pub outcome: Result<String, String>,
}

/// A project and the directory of its manifest.
pub(super) struct LibraryUser {
    pub(super) directory: PathBuf,
    /// The text of the manifest.
    text: String,
    pub(super) manifest: Manifest,
}

impl LibraryUser {
    /// Finds the project that is nearest upward from the current directory.
    pub(super) fn nearest() -> Result<LibraryUser, String> {
        let current = std::env::current_dir()
            .map_err(|error| format!("cannot find the current directory: {error}"))?;
        let path = nearest_manifest(&current)?.ok_or_else(|| {
            format!(
                "there is no {MANIFEST} here or in a directory above: smbench new DIR makes a project"
            )
        })?;
        let directory = path.parent().unwrap_or(Path::new("/")).to_path_buf();
        let shown = match directory == current {
            true => MANIFEST.to_string(),
            false => path.display().to_string(),
        };
        let mut text = String::new();
        regular_file(&path)
            .map_err(|error| error.to_string())
            .and_then(|(file, _)| {
                file.take(MAX_MANIFEST_BYTES + 1)
                    .read_to_string(&mut text)
                    .map_err(|error| error.to_string())
            })
            .map_err(|reason| format!("cannot read {shown}: {reason}"))?;
        let manifest = Manifest::parse(&text, &shown)?;
        Ok(LibraryUser { directory, text, manifest })
    }

    fn uses_libraries(&self) -> bool {
        self.manifest.names_libraries()
    }

    fn lock(&self) -> Result<Option<Lock>, String> {
        Lock::read(&self.directory, LOCK)
    }

    /// Returns the lock, which fits the manifest; None if there are no libraries at all.
    pub(super) fn fitting_lock(&self) -> Result<Option<Lock>, String> {
        let lock = fitting_lock(&self.directory, &self.manifest, &mut |_| ())?;
        Ok(lock.filter(|lock| self.uses_libraries() || !lock.packages.is_empty()))
    }

    /// Returns the lock for a command that makes it anew, and a warning if it cannot be used.
    fn previous(&self) -> Result<(Option<Lock>, Option<String>), String> {
        match self.lock() {
            Ok(lock) => Ok((lock, None)),
            // The advice in the error is the command that is running.
            Err(problem) if problem.contains("run smbench lib lock") => {
                let problem = problem.split("; ").next().unwrap_or_default().to_string();
                let warning = format!(
                    "all libraries get the highest version that fits, because {LOCK} is damaged ({problem}); git checkout {LOCK} brings the old one back"
                );
                Ok((None, Some(warning)))
            }
            Err(problem) => Err(problem),
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        if self.directory.join(name).is_symlink() {
            return Err(format!(
                "{name} is a symbolic link, which smbench does not replace; run the command in the project that has the file itself"
            ));
        }
        let written = Directory::open(&self.directory).map_err(|error| error.to_string()).and_then(
            |directory| {
                directory
                    .write_file(Path::new(name), text.as_bytes())
                    .map_err(|error| error.to_string())
            },
        );
        written.map_err(|reason| format!("cannot write {name}: {reason}"))
    }

    fn hold(&self) -> Result<HeldStore, String> {
        hold(&self.directory).map_err(|error| error.to_string())
    }

    /// Returns the directories of dependencies that are read in place, by alias.
    fn path_dependencies(&self) -> BTreeMap<String, String> {
        let declared = self.manifest.dependencies.iter().chain(&self.manifest.dev_dependencies);
        declared
            .filter_map(|(alias, dependency)| match &dependency.source {
                DependencySource::Path(path) => {
                    Some((alias.clone(), path_package::joined(".", path)))
                }
                DependencySource::Repository { .. } => None,
            })
            .collect()
    }
}

/// The repositories, which are opened when the first one is needed: a project whose packages are in
/// place needs no git and no cache.
struct LazyRepositories<'a> {
    options: &'a LibraryOptions,
    user: &'a LibraryUser,
    /// The lock of before, whose packages may be in place.
    lock: Option<&'a Lock>,
    opened: OnceCell<Repositories>,
}

impl<'a> LazyRepositories<'a> {
    fn new(
        options: &'a LibraryOptions,
        user: &'a LibraryUser,
        lock: Option<&'a Lock>,
    ) -> LazyRepositories<'a> {
        LazyRepositories { options, user, lock, opened: OnceCell::new() }
    }

    /// Returns the manifest of a package that is in place.
    fn installed_manifest(&self, repo: &str, commit: &str) -> Option<String> {
        let packages = self.lock.into_iter().flat_map(|lock| &lock.packages);
        let (id, hash) = packages.into_iter().find_map(|(id, package)| match &package.source {
            LockedSource::Repository { repo: of, commit: at, hash, .. } => {
                (of == repo && at == commit).then_some((id, hash))
            }
            LockedSource::Path(_) => None,
        })?;
        let directory = package_directory(&self.user.directory, id, hash);
        let package = verify(&self.user.directory, &directory, hash).ok()?;
        manifest_of(&package.files).ok()
    }

    fn open(&self, repo: &str) -> Result<&Repositories, String> {
        check_url(repo)?;
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let options = RepositoryOptions {
            cache: cache_directory()?,
            may_ask: self.options.may_ask,
            progress: self.options.progress.clone(),
        };
        Ok(self.opened.get_or_init(|| Repositories::new(options)))
    }
}

impl PackageSource for LazyRepositories<'_> {
    fn versions(&self, repo: &str) -> Result<Vec<TaggedVersion>, String> {
        self.open(repo)?.versions(repo).map_err(|error| error.to_string())
    }

    fn commit_of(&self, repo: &str, revision: &str) -> Result<String, String> {
        self.open(repo)?.commit_of(repo, revision).map_err(|error| error.to_string())
    }

    fn manifest(
        &self,
        repo: &str,
        reference: &Reference,
        commit: &str,
    ) -> Result<Option<String>, String> {
        if let Some(manifest) = self.installed_manifest(repo, commit) {
            return Ok(Some(manifest));
        }
        self.open(repo)?.manifest(repo, reference, commit).map_err(|error| error.to_string())
    }
}

fn cache_directory() -> Result<PathBuf, String> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let named = |name: &str| variable(name).map(PathBuf::from);
    let directory = named(CACHE_VARIABLE)
        .or_else(|| Some(named("XDG_CACHE_HOME")?.join("smbench")))
        .or_else(|| Some(named("HOME")?.join(".cache/smbench")))
        .ok_or_else(|| {
            format!("there is no place for fetched repositories: set {CACHE_VARIABLE} or HOME")
        })?;
    std::path::absolute(&directory)
        .map_err(|error| format!("cannot use {}: {error}", directory.display()))
}

/// Adds a library to the manifest under the name `alias`, and fetches it. Nothing changes if it
/// fails.
///
/// # Errors
/// [`RunError`]: the library cannot be had, or does not fit the others.
pub fn add_library(
    options: &LibraryOptions,
    alias: &str,
    source: &AddedSource,
    is_dev: bool,
) -> Result<LibraryChange, RunError> {
    check_alias(alias).map_err(|problem| invalid(format!("{alias:?}: {problem}")))?;
    let add = || {
        let store = LibraryUser::nearest()?.hold()?;
        // Another process may have changed the manifest during the wait.
        let user = LibraryUser::nearest()?;
        let (previous, warning) = user.previous()?;
        let repositories = LazyRepositories::new(options, &user, previous.as_ref());
        let source = match source {
            AddedSource::Path(path) => DependencySource::Path(from_project(&user.directory, path)),
            AddedSource::Repository { repo, wanted } => {
                check_url(repo)?;
                let wanted = match wanted {
                    Some(wanted) => wanted.clone(),
                    None => newest(&repositories, repo)?,
                };
                DependencySource::Repository { repo: repo.clone(), wanted }
            }
        };
        let replaced = dependency(&user.manifest, alias).map(|it| it.source.clone());
        let text = with_dependency(&user.text, &user.manifest.shown, alias, &source, is_dev)?;
        let mut change = change(&text, &Update::Nothing, &repositories, Some(&store))?;
        change.warnings.extend(warning);
        change.added = Some((source, replaced));
        Ok(change)
    };
    add().map_err(invalid)
}

/// Returns the requirement for the highest released version and those compatible with it.
fn newest(repositories: &LazyRepositories, repo: &str) -> Result<Wanted, String> {
    let versions = repositories.versions(repo)?;
    let released = versions.iter().map(|it| &it.version).find(|version| version.pre.is_empty());
    match released {
        Some(version) => {
            let text = format!("^{}.{}", version.major, version.minor);
            parse_requirement(&text).map(Wanted::Version)
        }
        None => Err(format!(
            "{repo} has no released version, which is a tag such as v1.2.0; name a tag, a branch or a commit with --rev, or a version with --version"
        )),
    }
}

/// Returns a path that is relative to the current directory as one from the project.
fn from_project(project: &Path, path: &str) -> String {
    let current = std::env::current_dir().unwrap_or_default();
    match current.strip_prefix(project) {
        Ok(within) if !within.as_os_str().is_empty() => {
            path_package::joined(&within.to_string_lossy(), path)
        }
        _ => path.into(),
    }
}

/// Removes the library `alias` from the manifest. Nothing changes if it fails. Returns None if the
/// project uses no libraries.
///
/// # Errors
/// [`RunError`]: the project has no such library, or the others cannot be had.
pub fn remove_library(
    options: &LibraryOptions,
    alias: &str,
) -> Result<Option<LibraryChange>, RunError> {
    let remove = || {
        if !LibraryUser::nearest()?.uses_libraries() {
            return Ok(None);
        }
        let store = LibraryUser::nearest()?.hold()?;
        let user = LibraryUser::nearest()?;
        let shown = &user.manifest.shown;
        let text = without_dependency(&user.text, shown, alias)?.ok_or_else(|| {
            let manifest = &user.manifest;
            let known = manifest.dependencies.keys().chain(manifest.dev_dependencies.keys());
            let known: Vec<&str> = known.map(String::as_str).collect();
            format!("{shown} has no library {alias}; it has {}", known.join(", "))
        })?;
        changed(options, &user, &text, &Update::Nothing, Some(&store))
    };
    remove().map_err(invalid)
}

/// Chooses the versions of libraries that have none in the lock, and writes the lock. Returns None
/// if the project uses no libraries.
///
/// # Errors
/// [`RunError`]: the libraries cannot be had, or do not fit one another.
pub fn lock_libraries(options: &LibraryOptions) -> Result<Option<LibraryChange>, RunError> {
    let lock = || {
        let user = LibraryUser::nearest()?;
        if !user.uses_libraries() && user.previous()?.0.is_none_or(|lock| lock.packages.is_empty())
        {
            return Ok(None);
        }
        // Nothing is put in place, but no other process may change the lock meanwhile.
        let _store = user.hold()?;
        let user = LibraryUser::nearest()?;
        changed(options, &user, &user.text, &Update::Nothing, None)
    };
    lock().map_err(invalid)
}

/// Chooses the versions of the named libraries anew, and fetches them. Returns None if the project
/// uses no libraries.
///
/// # Errors
/// [`RunError`]: the libraries cannot be had, or do not fit one another.
pub fn update_libraries(
    options: &LibraryOptions,
    update: &Update,
) -> Result<Option<LibraryChange>, RunError> {
    let run = || {
        if !LibraryUser::nearest()?.uses_libraries() {
            return Ok(None);
        }
        let store = LibraryUser::nearest()?.hold()?;
        let user = LibraryUser::nearest()?;
        changed(options, &user, &user.text, update, Some(&store))
    };
    run().map_err(invalid)
}

/// Fetches the packages of the lock and puts them in place. Returns None if the project uses no
/// libraries.
///
/// # Errors
/// [`RunError`]: there is no lock that fits, or the packages cannot be had.
pub fn sync_libraries(options: &LibraryOptions) -> Result<Option<LibraryChange>, RunError> {
    let sync = || {
        if LibraryUser::nearest()?.fitting_lock()?.is_none() {
            return Ok(None);
        }
        let store = match LibraryUser::nearest()?.hold() {
            Ok(store) => store,
            // A user who may not write the project can use it if all packages are in place.
            Err(problem) => return all_in_place(&problem).map(Some).ok_or(problem),
        };
        let user = LibraryUser::nearest()?;
        let Some(lock) = user.fitting_lock()? else { return Ok(None) };
        let repositories = LazyRepositories::new(options, &user, Some(&lock));
        let synced = put_in_place(&lock, &repositories, &store, false)?;
        let mut warnings: Vec<String> = follow_lock(&lock, &store).into_iter().collect();
        warnings.extend(finish(&user, &lock, &store, &BTreeMap::new()));
        Ok(Some(LibraryChange { synced: Some(synced), warnings, ..LibraryChange::default() }))
    };
    sync().map_err(invalid)
}

/// Returns the result of a sync that can write nothing, because of `problem`, and has nothing to
/// write; None if a package is not in place.
fn all_in_place(problem: &str) -> Option<LibraryChange> {
    let checked = verify_libraries().ok()??;
    let synced = SyncedLibraries { in_place: checked.len(), fetched: 0 };
    checked.iter().all(|library| library.outcome.is_ok()).then(|| LibraryChange {
        synced: Some(synced),
        warnings: vec![format!("all libraries are in place, and nothing was written: {problem}")],
        ..LibraryChange::default()
    })
}

/// Does as [`sync_libraries`] and copies the packages into the directory `vendor`, from which they
/// are used without git.
///
/// # Errors
/// [`RunError`]: there is no lock that fits, or the packages cannot be had or copied.
pub fn vendor_libraries(options: &LibraryOptions) -> Result<Option<LibraryChange>, RunError> {
    let vendor = || {
        if LibraryUser::nearest()?.fitting_lock()?.is_none() {
            return Ok(None);
        }
        let store = LibraryUser::nearest()?.hold()?;
        let user = LibraryUser::nearest()?;
        let Some(lock) = user.fitting_lock()? else { return Ok(None) };
        let repositories = LazyRepositories::new(options, &user, Some(&lock));
        let synced = put_in_place(&lock, &repositories, &store, true)?;
        let packages = repository_packages(&lock);
        store.vendor(&packages).map_err(|error| error.to_string())?;
        let warnings = finish(&user, &lock, &store, &BTreeMap::new());
        let in_place = lock.packages.values().filter_map(|package| match &package.source {
            LockedSource::Path(path) => Some(path.clone()),
            LockedSource::Repository { .. } => None,
        });
        let vendored = Some((packages.len(), in_place.collect()));
        let synced = Some(synced);
        Ok(Some(LibraryChange { synced, vendored, warnings, ..LibraryChange::default() }))
    };
    vendor().map_err(invalid)
}

/// Checks that the lock fits the manifest and that the files of all packages are those of the lock.
/// Returns None if the project uses no libraries.
///
/// # Errors
/// [`RunError`]: there is no lock that fits.
pub fn verify_libraries() -> Result<Option<Vec<CheckedLibrary>>, RunError> {
    let user = LibraryUser::nearest().map_err(invalid)?;
    let Some(lock) = user.fitting_lock().map_err(invalid)? else { return Ok(None) };
    let check = |(id, package): (&PackageId, &LockedPackage)| {
        let outcome = match &package.source {
            LockedSource::Path(path) => Ok(format!("read in place from {path}, not pinned")),
            LockedSource::Repository { hash, .. } => {
                let directory = package_directory(&user.directory, id, hash);
                match verify(&user.directory, &directory, hash) {
                    Ok(verified) => check_package(&lock, id, package, &verified.files).map(|()| {
                        format!(
                            "{} match {LOCK}, in {}",
                            counted(verified.listing.paths().count() as u64, "file"),
                            directory.display()
                        )
                    }),
                    Err(StoreError::Missing) => {
                        Err("it is not installed; run smbench lib sync".into())
                    }
                    Err(error) => Err(format!("{error}; {}", restoring(&directory))),
                }
            }
        };
        CheckedLibrary { id: id.clone(), outcome }
    };
    Ok(Some(lock.packages.iter().map(check).collect()))
}

/// Returns the lock of the project, which fits its manifest; None if it uses no libraries.
///
/// # Errors
/// [`RunError`]: there is no lock that fits.
pub fn locked_libraries() -> Result<Option<Lock>, RunError> {
    LibraryUser::nearest().and_then(|user| user.fitting_lock()).map_err(invalid)
}

fn invalid(problem: String) -> RunError {
    RunError::invalid(anyhow::Error::msg(problem))
}

fn changed(
    options: &LibraryOptions,
    user: &LibraryUser,
    text: &str,
    update: &Update,
    store: Option<&HeldStore>,
) -> Result<Option<LibraryChange>, String> {
    let (previous, warning) = user.previous()?;
    let repositories = LazyRepositories::new(options, user, previous.as_ref());
    let mut change = change(text, update, &repositories, store)?;
    change.warnings.extend(warning);
    Ok(Some(change))
}

/// Resolves the libraries of a manifest with the content `text`, puts them in place if the store is
/// held, and writes the manifest and the lock at last.
fn change(
    text: &str,
    update: &Update,
    repositories: &LazyRepositories,
    store: Option<&HeldStore>,
) -> Result<LibraryChange, String> {
    let (user, previous) = (repositories.user, repositories.lock);
    let manifest = Manifest::parse(text, &user.manifest.shown)?;
    let resolution = resolve(&manifest, &user.directory, previous, update, repositories)?;
    let hashes = hashes(&resolution, repositories, store, update)?;
    let lock = resolution.into_lock(&hashes.by_package)?;
    let synced = match store {
        Some(store) => {
            let mut synced = put_in_place(&lock, repositories, store, false)?;
            synced.fetched += hashes.installed;
            Some(synced)
        }
        None => None,
    };
    let is_manifest_new = text != user.text;
    if is_manifest_new {
        user.write(MANIFEST, text)?;
    }
    // A project without libraries needs no lock, but an old one must not name any.
    let has_file = user.directory.join(LOCK).exists();
    let is_written = (has_file || !lock.packages.is_empty()) && previous != Some(&lock);
    if is_written && let Err(problem) = user.write(LOCK, &lock.text()) {
        if is_manifest_new {
            user.write(MANIFEST, &user.text)?;
        }
        return Err(problem);
    }
    let mut warnings = Vec::new();
    if let Some(store) = store {
        let after = LibraryUser { directory: user.directory.clone(), text: text.into(), manifest };
        let mut gone = user.path_dependencies();
        gone.retain(|alias, _| !lock.dependencies.contains_key(alias));
        warnings.extend(follow_lock(&lock, store));
        warnings.extend(finish(&after, &lock, store, &gone));
    }
    warnings.extend(moved_tags(previous, &lock));
    let changes = changes(previous.unwrap_or(&Lock::default()), &lock);
    Ok(LibraryChange { changes, is_written, synced, warnings, ..LibraryChange::default() })
}

/// Returns a warning for each version whose tag leads to another commit than before.
fn moved_tags(previous: Option<&Lock>, lock: &Lock) -> Vec<String> {
    let moved = |(id, package): (&PackageId, &LockedPackage)| {
        let LockedSource::Repository { repo, reference: Reference::Tag(tag), commit, .. } =
            &package.source
        else {
            return None;
        };
        match &previous?.packages.get(id)?.source {
            LockedSource::Repository { repo: of, commit: before, .. }
                if of == repo && before != commit =>
            {
                Some(format!(
                    "{id}: the tag {tag} has moved from {before} to {commit}, and a published version should never change; git checkout {LOCK} and smbench lib sync bring the old files back"
                ))
            }
            _ => None,
        }
    };
    lock.packages.iter().filter_map(moved).collect()
}

/// The hashes of the packages of a resolution.
struct PackageHashes {
    by_package: BTreeMap<PackageId, String>,
    /// The number of packages that were put in place.
    installed: usize,
}

/// Returns the hashes of all packages from repositories. Those that are not locked are fetched, and
/// put in place if the store is held. An update compares the locked ones with the repository too.
fn hashes(
    resolution: &Resolution,
    repositories: &LazyRepositories,
    store: Option<&HeldStore>,
    update: &Update,
) -> Result<PackageHashes, String> {
    let mut hashes = PackageHashes { by_package: BTreeMap::new(), installed: 0 };
    for (id, package) in &resolution.packages {
        let ResolvedSource::Repository { repo, reference, commit } = &package.source else {
            continue;
        };
        let locked = repositories.lock.and_then(|lock| lock.packages.get(id));
        if let Some(LockedSource::Repository { repo: of, commit: at, hash, .. }) =
            locked.map(|locked| &locked.source)
            && (of, at) == (repo, commit)
        {
            if *update != Update::Nothing {
                let files = repositories.open(repo)?.files(repo, reference, commit);
                let files = files.map_err(|error| format!("{id}: {error}"))?;
                if files.listing().hash() != *hash {
                    return Err(format!(
                        "{id}: {LOCK} has the hash of other files than those of commit {commit} in {}; take the lock from git again (git checkout {LOCK}), or remove it and run smbench lib lock",
                        shown_url(repo)
                    ));
                }
            }
            hashes.by_package.insert(id.clone(), hash.clone());
            continue;
        }
        let files = repositories
            .open(repo)?
            .files(repo, reference, commit)
            .map_err(|error| format!("{id}: {error}"))?;
        let hash = files.listing().hash();
        if let Some(store) = store {
            let project = &repositories.user.directory;
            let directory = package_directory(project, id, &hash);
            if verify(project, &directory, &hash).is_err() {
                store.install(id, &files).map_err(|error| format!("{id}: {error}"))?;
                hashes.installed += 1;
            }
        }
        hashes.by_package.insert(id.clone(), hash);
    }
    Ok(hashes)
}

/// Puts those packages of the lock in place that are not, or whose files are not those of the lock. If
/// a copy in `vendor` is such a package, that is an error, or the package is put in place beside it.
fn put_in_place(
    lock: &Lock,
    repositories: &LazyRepositories,
    store: &HeldStore,
    may_repair_copies: bool,
) -> Result<SyncedLibraries, String> {
    let user = repositories.user;
    let mut synced = SyncedLibraries { in_place: lock.packages.len(), fetched: 0 };
    for (id, package) in &lock.packages {
        let LockedSource::Repository { repo, reference, commit, hash } = &package.source else {
            continue;
        };
        let directory = package_directory(&user.directory, id, hash);
        let problem = match verify(&user.directory, &directory, hash) {
            Ok(verified) => {
                check_package(lock, id, package, &verified.files)?;
                continue;
            }
            Err(problem) => problem,
        };
        if directory.starts_with(VENDORED) && !may_repair_copies {
            return Err(format!("{id}: {problem}; {}", restoring(&directory)));
        }
        let files = repositories
            .open(repo)?
            .files(repo, reference, commit)
            .map_err(|error| format!("{id}: {error}"))?;
        let found = files.listing().hash();
        if found != *hash {
            return Err(format!(
                "{id}: the files of commit {commit} in {repo} do not match {LOCK}; somebody changed the lock or the repository. Take the lock from git again (git checkout {LOCK}); if you trust the repository, run smbench lib update {}",
                id.name
            ));
        }
        let directory = store.install(id, &files).map_err(|error| format!("{id}: {error}"))?;
        let installed = verify(&user.directory, &directory, hash);
        let installed = installed.map_err(|problem| format!("{id}: {problem}"))?;
        check_package(lock, id, package, &installed.files)?;
        synced.fetched += 1;
    }
    Ok(synced)
}

/// Returns the packages from repositories with the hashes of their files.
fn repository_packages(lock: &Lock) -> Vec<(PackageId, String)> {
    let packages = lock.packages.iter();
    packages
        .filter_map(|(id, package)| match &package.source {
            LockedSource::Repository { hash, .. } => Some((id.clone(), hash.clone())),
            LockedSource::Path(_) => None,
        })
        .collect()
}

/// Makes the copies in `vendor`, if there are any, those of the lock. Returns a warning if it fails.
fn follow_lock(lock: &Lock, store: &HeldStore) -> Option<String> {
    let vendored = match store.has_vendored() {
        Ok(true) => store.vendor(&repository_packages(lock)).map(drop),
        other => other.map(drop),
    };
    vendored.err().map(|error| format!("{VENDORED} is not up to date: {error}"))
}

/// Removes packages that are not used any more and writes the aliases for editors. Returns warnings.
fn finish(
    user: &LibraryUser,
    lock: &Lock,
    store: &HeldStore,
    gone: &BTreeMap<String, String>,
) -> Vec<String> {
    let packages = repository_packages(lock);
    let keep: Vec<PathBuf> =
        packages.iter().map(|(id, hash)| package_directory(&user.directory, id, hash)).collect();
    let removed = store
        .remove_others(&keep)
        .err()
        .map(|error| format!("libraries that are not used any more are not removed: {error}"));
    let aliases = write_aliases(&user.directory, lock, gone).err();
    removed.into_iter().chain(aliases).collect()
}
