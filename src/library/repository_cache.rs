//! The bare repositories of the cache, one for each URL, which git fetches into.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use semver::Version;
use walkdir::WalkDir;

use super::git::{Call, Git, GitError, GitOutput, SHORT, size_of};
use super::listing::{MAX_BYTES, MAX_FILE_BYTES, hash};
use super::lock::{Reference, is_commit};
use super::package_files::{MAX_TREE_BYTES, PackageFiles, TreeFile, check_tree};
use crate::ir::directory::Directory;
use crate::project::manifest::MANIFEST;

/// Maximum number of bytes of the answer to a list of references.
const MAX_REFERENCES_BYTES: usize = 16 << 20;
/// Time between two attempts to lock a repository.
const RETRY: Duration = Duration::from_millis(50);
/// Maximum number of files in which the leftovers of an interrupted fetch are looked for.
const MAX_SEARCHED: usize = 100_000;

/// The bounds on the use of one repository.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheLimits {
    /// Maximum size in bytes.
    pub size: u64,
    /// Time limit of one fetch.
    pub fetch: Duration,
    /// Time limit of waiting for another process that fetches.
    pub lock: Duration,
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits {
            size: 1 << 30,
            fetch: Duration::from_secs(600),
            lock: Duration::from_secs(660),
        }
    }
}

/// The reason why something could not be read from the cache.
#[derive(Debug)]
pub(super) enum ReadFailure {
    /// An object is missing or broken, so that a fetch may help.
    Unavailable(GitError),
    /// The hash is that of another kind of object.
    NotACommit(String),
    /// A package cannot have this content.
    Content(String),
}

/// The reason why a commit could not be fetched.
#[derive(Debug)]
pub(super) enum FetchFailure {
    Git(GitError),
    /// The repository does not have the commit; its tag or branch leads to this one, if any.
    Gone(Option<String>),
    NotACommit(String),
}

impl From<GitError> for FetchFailure {
    fn from(error: GitError) -> FetchFailure {
        FetchFailure::Git(error)
    }
}

/// The bare repository of a URL.
#[derive(Debug)]
pub(super) struct CachedRepository<'a> {
    git: &'a Git,
    url: &'a str,
    place: PathBuf,
    is_sha256: bool,
    limits: CacheLimits,
}

/// Returns whether a name can be that of a tag or a branch, so that it has no other meaning in a
/// command of git.
pub(super) fn is_reference_name(name: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    name.len() <= 255
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains(|c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c))
        && name.split('/').all(is_part)
}

/// Returns the version that a tag stands for, if it is `v1.2.0` or `1.2.0`.
pub(super) fn version_of(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

impl<'a> CachedRepository<'a> {
    /// Returns the repository of `url` in the directory `cache`. It need not exist yet.
    pub(super) fn new(
        git: &'a Git,
        cache: &Path,
        url: &'a str,
        is_sha256: bool,
        limits: CacheLimits,
    ) -> CachedRepository<'a> {
        let kind = if is_sha256 { "-sha256" } else { "" };
        let place = cache.join("git").join(format!("{}{kind}", &hash(url.as_bytes())[..32]));
        CachedRepository { git, url, place, is_sha256, limits }
    }

    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    pub(super) fn exists(&self) -> bool {
        self.place.is_dir()
    }

    /// Locks the repository against other processes that change it. `waiting` is called once if
    /// another one has it.
    ///
    /// # Errors
    /// The operating system's reason, or that the time is over.
    pub(super) fn lock(&self, waiting: impl FnOnce()) -> io::Result<File> {
        let directory = self.place.parent().unwrap_or(&self.place);
        fs::create_dir_all(directory)?;
        let path = self.place.with_extension("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        let began = Instant::now();
        let mut waiting = Some(waiting);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if began.elapsed() >= self.limits.lock => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "another smbench has it locked; try again when it has ended",
                    ));
                }
                Err(TryLockError::WouldBlock) => {}
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            thread::sleep(RETRY);
        }
    }

    /// Makes the repository if there is none. The caller has the lock.
    ///
    /// # Errors
    /// [`GitError`].
    pub(super) fn make(&self) -> Result<(), GitError> {
        if self.exists() {
            self.remove_leftovers();
            return Ok(());
        }
        let new = self.place.with_extension("new");
        let io = |error: io::Error| GitError::NotRun(format!("{}: {error}", new.display()));
        remove(&new).map_err(io)?;
        self.git.init(&new, self.is_sha256)?;
        fs::rename(&new, &self.place).map_err(io)
    }

    /// Removes what a fetch that was killed has left. Lock files among it would end every later
    /// fetch.
    fn remove_leftovers(&self) {
        for entry in WalkDir::new(&self.place).into_iter().take(MAX_SEARCHED).flatten() {
            let name = entry.file_name().to_string_lossy();
            let is_left = name.ends_with(".lock") || name.starts_with("tmp_");
            if is_left && entry.file_type().is_file() {
                // If it stays, git reports it.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Removes the whole repository. The caller has the lock.
    ///
    /// # Errors
    /// [`GitError`].
    pub(super) fn remove(&self) -> Result<(), GitError> {
        let problem = |error| GitError::NotRun(format!("{}: {error}", self.place.display()));
        remove(&self.place).map_err(problem)
    }

    /// Returns the size of the repository in bytes.
    pub(super) fn size(&self) -> u64 {
        size_of(&self.place)
    }

    /// Returns whether all objects that the repository needs are there.
    pub(super) fn is_sound(&self) -> bool {
        self.read(&["fsck", "--connectivity-only", "--no-dangling"], "", 1 << 20).is_ok()
    }

    /// Asks the server for references: pairs of hash and name.
    ///
    /// # Errors
    /// [`GitError`].
    pub(super) fn remote_references(
        &self,
        patterns: &[&str],
    ) -> Result<Vec<(String, String)>, GitError> {
        let mut arguments = vec!["ls-remote", "--", self.url];
        arguments.extend(patterns);
        let output = self.read(&arguments, "", MAX_REFERENCES_BYTES)?;
        if output.truncated {
            return Err(GitError::Failed("it has too many references".into()));
        }
        Ok(pairs(&output.bytes, '\t'))
    }

    /// Remembers references that the server has named, for a time when it cannot be reached. What
    /// a lock says of a tag is not remembered, because any project may have made it.
    pub(super) fn remember(&self, subject: &str, references: &[(String, String)]) {
        let text: String =
            references.iter().map(|(hash, name)| format!("{hash} {name}\n")).collect();
        let path = self.remembered(subject);
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return };
        // Without it there is less to use offline, and all else works.
        let _ = Directory::open(directory)
            .map(|directory| directory.write_file(name.as_ref(), text.as_bytes()));
    }

    /// Returns the references that [`CachedRepository::remember`] was given.
    pub(super) fn recall(&self, subject: &str) -> Vec<(String, String)> {
        let mut bytes = Vec::new();
        let read = File::open(self.remembered(subject))
            .and_then(|file| file.take(MAX_REFERENCES_BYTES as u64).read_to_end(&mut bytes));
        if read.is_ok() { pairs(&bytes, ' ') } else { Vec::new() }
    }

    fn remembered(&self, subject: &str) -> PathBuf {
        self.place.with_extension(&hash(subject.as_bytes())[..32])
    }

    /// Returns those of `commits` that are in the cache.
    pub(super) fn present<'c>(&self, commits: impl Iterator<Item = &'c str>) -> Vec<String> {
        let input: String = commits.map(|commit| format!("{commit}\n")).collect();
        if input.is_empty() || !self.exists() {
            return Vec::new();
        }
        let output = self.read(&["cat-file", "--batch-check"], &input, MAX_REFERENCES_BYTES);
        let bytes = output.map(|output| output.bytes).unwrap_or_default();
        let found = pairs(&bytes, ' ').into_iter();
        found.filter(|(_, kind)| kind.starts_with("commit ")).map(|(commit, _)| commit).collect()
    }

    /// Returns hash and kind of an object; None if it is not in the cache.
    fn object(&self, name: &str) -> Option<(String, String)> {
        let output =
            self.read(&["cat-file", "--batch-check"], &format!("{name}\n"), 1 << 10).ok()?;
        let text = String::from_utf8_lossy(&output.bytes).into_owned();
        let mut words = text.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(hash), Some(kind), Some(_)) if is_commit(hash) => {
                Some((hash.into(), kind.into()))
            }
            _ => None,
        }
    }

    /// Fetches a commit, by its hash if the server allows it. The caller has the lock.
    ///
    /// # Errors
    /// [`FetchFailure`].
    pub(super) fn fetch(&self, reference: &Reference, commit: &str) -> Result<(), FetchFailure> {
        self.make()?;
        match self.fetch_references(&[&format!("+{commit}:{}", commit_reference(commit))], true) {
            Ok(()) => return self.keep(commit),
            Err(GitError::NotServed(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let (Reference::Tag(name) | Reference::Revision(name)) = reference;
        if is_reference_name(name) && !is_commit(name) {
            for kind in ["tags", "heads"] {
                let refspec = format!("+refs/{kind}/{name}:refs/smbench/named/{kind}");
                match self.fetch_references(&[&refspec], true) {
                    Ok(()) if self.object(commit).is_some() => {
                        return self.keep(commit);
                    }
                    Ok(()) | Err(GitError::NotServed(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let all =
            ["+refs/heads/*:refs/smbench/all/heads/*", "+refs/tags/*:refs/smbench/all/tags/*"];
        self.fetch_references(&all, false)?;
        if self.object(commit).is_some() {
            return self.keep(commit);
        }
        let kinds = ["tags", "heads"].into_iter().filter(|_| is_reference_name(name));
        let mut now =
            kinds.filter_map(|kind| self.object(&format!("refs/smbench/all/{kind}/{name}^{{}}")));
        Err(FetchFailure::Gone(now.next().map(|(hash, _)| hash)))
    }

    fn fetch_references(&self, refspecs: &[&str], is_shallow: bool) -> Result<(), GitError> {
        let mut arguments = vec![
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
        ];
        if is_shallow {
            arguments.push("--depth=1");
        } else {
            arguments.push("--prune");
            if self.place.join("shallow").exists() {
                arguments.push("--unshallow");
            }
        }
        arguments.extend(["--", self.url]);
        arguments.extend(refspecs);
        let arguments: Vec<&OsStr> = arguments.into_iter().map(OsStr::new).collect();
        let call = Call {
            repository: &self.place,
            arguments: &arguments,
            input: Vec::new(),
            time: self.limits.fetch,
            most: 1 << 20,
            size: Some(self.limits.size),
        };
        self.git.run(&call).map(drop)
    }

    /// Names a commit that was fetched, so that git keeps it.
    fn keep(&self, commit: &str) -> Result<(), FetchFailure> {
        match self.object(commit) {
            Some((_, kind)) if kind == "commit" => {}
            Some((_, kind)) => return Err(FetchFailure::NotACommit(kind)),
            None => {
                let problem = "what was fetched is not in the cache";
                return Err(GitError::Failed(problem.into()).into());
            }
        }
        self.read(&["update-ref", &commit_reference(commit), commit], "", 1 << 10)?;
        Ok(())
    }

    /// Reads the manifest of a commit; None if it has none.
    ///
    /// # Errors
    /// [`ReadFailure`].
    pub(super) fn manifest(&self, commit: &str) -> Result<Option<String>, ReadFailure> {
        // The tree says whether the name is that of a regular file.
        let input = format!("{commit}\n{commit}^{{tree}}\n{commit}:{MANIFEST}\n");
        let most = 3 * MAX_FILE_BYTES as usize;
        let output =
            self.read(&["cat-file", "--batch"], &input, most).map_err(ReadFailure::Unavailable)?;
        let mut objects = Objects(&output.bytes);
        let too_large = || ReadFailure::Content(format!("{MANIFEST} or the tree is too large"));
        let mut next = || match (objects.next(), output.truncated) {
            (None, true) => Err(too_large()),
            (object, _) => Ok(object.flatten()),
        };
        let (kind, _) = next()?.ok_or_else(|| missing(commit))?;
        if kind != "commit" {
            return Err(ReadFailure::NotACommit(kind.into()));
        }
        let (_, tree) = next()?.ok_or_else(|| missing(commit))?;
        let mode = mode_in_tree(tree, MANIFEST, if self.is_sha256 { 32 } else { 20 });
        let content = next()?;
        let (mode, content) = match (mode, content) {
            (None, _) => return Ok(None),
            // It may be in another repository, as a submodule is.
            (Some(_), None) if !mode.is_some_and(is_file_mode) => return Err(not_a_file()),
            (Some(_), None) => return Err(missing(commit)),
            (Some(mode), Some((_, content))) => (mode, content),
        };
        if !is_file_mode(mode) {
            return Err(not_a_file());
        }
        String::from_utf8(content.into())
            .map(Some)
            .map_err(|_| ReadFailure::Content(format!("{MANIFEST} is not UTF-8")))
    }

    /// Reads all files of a commit.
    ///
    /// # Errors
    /// [`ReadFailure`].
    pub(super) fn files(&self, commit: &str) -> Result<PackageFiles, ReadFailure> {
        let name = format!("{commit}^{{commit}}");
        let arguments = ["ls-tree", "-r", "-z", "-l", "--full-tree", &name];
        let listed = self.read(&arguments, "", MAX_TREE_BYTES).map_err(ReadFailure::Unavailable)?;
        let files = check_tree(&listed.bytes, listed.truncated).map_err(ReadFailure::Content)?;
        self.contents(files)
    }

    fn contents(&self, files: Vec<TreeFile>) -> Result<PackageFiles, ReadFailure> {
        if files.is_empty() {
            return Ok(PackageFiles::default());
        }
        let input: String = files.iter().map(|file| format!("{}\n", file.blob)).collect();
        let most = MAX_BYTES as usize + 128 * files.len();
        let output =
            self.read(&["cat-file", "--batch"], &input, most).map_err(ReadFailure::Unavailable)?;
        let mut objects = Objects(&output.bytes);
        files
            .into_iter()
            .map(|file| match objects.next().flatten() {
                Some(("blob", content)) if content.len() as u64 == file.size => {
                    Ok((file.path, content.to_vec()))
                }
                _ => Err(missing(&file.blob)),
            })
            .collect()
    }

    fn read(&self, arguments: &[&str], input: &str, most: usize) -> Result<GitOutput, GitError> {
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        self.git.run(&Call {
            repository: &self.place,
            arguments: &arguments,
            input: input.into(),
            time: SHORT,
            most,
            size: None,
        })
    }
}

fn remove(place: &Path) -> io::Result<()> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(place),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn commit_reference(commit: &str) -> String {
    format!("refs/smbench/commits/{commit}")
}

fn pairs(bytes: &[u8], separator: char) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(bytes);
    let pairs = text.lines().filter_map(|line| line.split_once(separator));
    let pairs = pairs.filter(|(hash, _)| is_commit(hash));
    pairs.map(|(hash, name)| (hash.into(), name.into())).collect()
}

fn missing(object: &str) -> ReadFailure {
    let problem = format!("object {object} is missing or broken");
    ReadFailure::Unavailable(GitError::Failed(problem))
}

fn not_a_file() -> ReadFailure {
    ReadFailure::Content(format!("{MANIFEST} is not a regular file; links are not followed"))
}

fn is_file_mode(mode: &str) -> bool {
    matches!(mode, "100644" | "100755" | "100664")
}

/// Returns the mode of the entry `name` in the content of a tree object.
fn mode_in_tree<'t>(mut tree: &'t [u8], name: &str, hash_bytes: usize) -> Option<&'t str> {
    loop {
        let end = tree.iter().position(|byte| *byte == 0)?;
        let (entry, rest) = (&tree[..end], tree.get(end + 1 + hash_bytes..)?);
        let space = entry.iter().position(|byte| *byte == b' ')?;
        if &entry[space + 1..] == name.as_bytes() {
            return std::str::from_utf8(&entry[..space]).ok();
        }
        tree = rest;
    }
}

/// The output of `git cat-file --batch`: kind and content of each object, or None for one that is
/// missing.
struct Objects<'o>(&'o [u8]);

impl<'o> Iterator for Objects<'o> {
    type Item = Option<(&'o str, &'o [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let head = std::str::from_utf8(&self.0[..end]).ok()?;
        let rest = &self.0[end + 1..];
        let words: Vec<&str> = head.split(' ').collect();
        let [hash, kind, size] = words[..] else {
            self.0 = rest;
            return Some(None);
        };
        if !is_commit(hash) {
            self.0 = rest;
            return Some(None);
        }
        let size: usize = size.parse().ok()?;
        let content = rest.get(..size)?;
        self.0 = rest.get(size + 1..).unwrap_or_default();
        Some(Some((kind, content)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_means_something_else_to_git_is_no_reference() {
        for name in ["v1.2.0", "main", "feature/größe", "a-b_c.d", "@x"] {
            assert!(is_reference_name(name), "{name}");
        }
        for name in [
            "",
            "-x",
            "a..b",
            "a b",
            "a\nb",
            "a:b",
            "+a^",
            "a~1",
            "a*",
            "a?",
            "[a",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.",
            "HEAD@{1}",
            &"a".repeat(256),
        ] {
            assert!(!is_reference_name(name), "{name}");
        }
    }

    #[test]
    fn the_mode_of_an_entry_is_found_in_a_tree_and_a_broken_tree_has_none() {
        let tree = [&b"100644 a\0"[..], &[0; 20], b"120000 smbench.toml\0", &[10; 20]].concat();
        assert_eq!(mode_in_tree(&tree, MANIFEST, 20), Some("120000"));
        assert_eq!(mode_in_tree(&tree, "b", 20), None);
        for length in 0..tree.len() {
            let _ = mode_in_tree(&tree[..length], MANIFEST, 20);
        }
        assert_eq!(mode_in_tree(&tree[..20], MANIFEST, 20), None);
    }

    #[test]
    fn the_output_of_git_is_taken_apart_and_its_missing_end_is_noticed() {
        let id = "a".repeat(40);
        let output = format!("{id} blob 3\nx\ny\nname missing\n{id} tree 0\n\n");
        let objects: Vec<_> = Objects(output.as_bytes()).collect();
        assert_eq!(objects, [Some(("blob", &b"x\ny"[..])), None, Some(("tree", b""))]);
        assert_eq!(Objects(&output.as_bytes()[..50]).count(), 0);
    }
}
