//! The file `smbench.lock`: the packages that a project uses, each pinned to its content.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use semver::Version;
use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, value};

use super::listing::is_hash;
use super::repository_url::check_url;
use crate::ir::directory::regular_file;
use crate::project::manifest::parse_version;
use crate::project::names::{check_alias, check_package_name};
use crate::project::toml_reader::{Reader, TomlTable};

/// The name of the file.
pub const LOCK: &str = "smbench.lock";

const HEAD: &str = "# Made by smbench lib. It pins the libraries of smbench.toml; commit it.\n";
/// The version of the format.
const FORMAT: &str = "1";
/// Maximum size of the file in bytes.
const MAX_LOCK_BYTES: u64 = 4 << 20;
/// Maximum number of packages of a project.
pub const MAX_PACKAGES: usize = 1_000;

/// A package in the text of a lock: its name and its version, with a space between them. No two
/// packages of a lock have the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageId {
    pub name: String,
    pub version: Version,
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// The content of a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    pub packages: BTreeMap<PackageId, LockedPackage>,
    /// The packages that the project names itself, by alias.
    pub dependencies: BTreeMap<String, PackageId>,
    /// The packages that only the tests of the project use, by alias.
    pub dev_dependencies: BTreeMap<String, PackageId>,
}

/// A package of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedPackage {
    pub source: LockedSource,
    /// The packages that it names, by alias.
    pub dependencies: BTreeMap<String, PackageId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockedSource {
    Repository {
        repo: String,
        /// The tag or the revision that led to the commit.
        reference: Reference,
        /// The commit, in hexadecimal digits.
        commit: String,
        /// The hash of the package's [`Listing`](super::listing::Listing).
        hash: String,
    },
    /// A directory, relative to that of the project. Its content is not pinned.
    Path(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A tag that a version requirement chose.
    Tag(String),
    /// A tag, a branch or a commit that `rev` names.
    Revision(String),
}

impl Lock {
    /// Reads the lock of the project in `directory`; None if there is none.
    ///
    /// # Errors
    /// A message that names the file, and the line if the content is wrong.
    pub fn read(directory: &Path, shown: &str) -> Result<Option<Lock>, String> {
        let path = directory.join(LOCK);
        if path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(None);
        }
        let cannot = |reason: &dyn fmt::Display| format!("cannot read {shown}: {reason}");
        let (file, _) = regular_file(&path).map_err(|error| cannot(&error))?;
        let mut text = String::new();
        let read = file.take(MAX_LOCK_BYTES + 1).read_to_string(&mut text);
        read.map_err(|error| cannot(&format!("{error}; run smbench lib lock to make it anew")))?;
        Lock::parse(&text, shown).map(Some)
    }

    /// Parses the text of a lock. Errors call it `shown`.
    ///
    /// # Errors
    /// A message that names the line.
    pub fn parse(text: &str, shown: &str) -> Result<Lock, String> {
        let reader = Reader::new(text, shown, MAX_LOCK_BYTES).map_err(|error| {
            format!("{error}; a merge may have changed it: run smbench lib lock to make it anew")
        })?;
        let root = reader.root();
        root.check_keys(&["version", "packages", "dependencies", "dev_dependencies"])?;
        root.checked("version", |version| match version == FORMAT {
            true => Ok(()),
            false => Err(format!(
                "this smbench reads version {FORMAT} of the format; install the version that made the file"
            )),
        })?
        .ok_or_else(|| root.wrong("it has no version, so smbench did not make it; run smbench lib lock to make it anew"))?;
        let mut lock = Lock::default();
        for section in root.elements("packages")? {
            let (id, package) = read_package(&section)?;
            if lock.packages.len() == MAX_PACKAGES {
                return Err(section.wrong(&format!("it has more than {MAX_PACKAGES} packages")));
            }
            if lock.packages.insert(id.clone(), package).is_some() {
                return Err(section.wrong(&format!("package {id} is there twice")));
            }
        }
        for section in root.elements("packages")? {
            check_known(&lock.packages, &section, &read_ids(&section)?)?;
        }
        for (key, map) in [
            ("dependencies", &mut lock.dependencies),
            ("dev_dependencies", &mut lock.dev_dependencies),
        ] {
            if let Some(section) = root.section(key)? {
                *map = ids(&section)?;
                check_known(&lock.packages, &section, map)?;
            }
        }
        if let Some(both) =
            lock.dev_dependencies.keys().find(|it| lock.dependencies.contains_key(*it))
        {
            return Err(root.wrong(&format!(
                "the alias {both} is there twice; run smbench lib lock to make the file anew"
            )));
        }
        if let Some(id) = lock.in_circle() {
            return Err(root.wrong(&format!(
                "package {id} uses itself, directly or through others; run smbench lib lock to make the file anew"
            )));
        }
        Ok(lock)
    }

    /// Returns a package that uses itself, directly or through others, if there is one.
    fn in_circle(&self) -> Option<&PackageId> {
        let mut waiting: BTreeMap<&PackageId, usize> =
            self.packages.iter().map(|(id, package)| (id, package.dependencies.len())).collect();
        let mut users: BTreeMap<&PackageId, Vec<&PackageId>> = BTreeMap::new();
        for (id, package) in &self.packages {
            for used in package.dependencies.values() {
                users.entry(used).or_default().push(id);
            }
        }
        let free = waiting.iter().filter(|(_, count)| **count == 0);
        let mut free: Vec<&PackageId> = free.map(|(id, _)| *id).collect();
        while let Some(id) = free.pop() {
            waiting.remove(id);
            for user in users.get(id).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(user) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(user);
                    }
                }
            }
        }
        waiting.keys().next().copied()
    }

    /// Returns the text, which [`Lock::parse`] reads. It depends on nothing but the content.
    pub fn text(&self) -> String {
        let mut document = DocumentMut::new();
        document["version"] = value(FORMAT);
        let mut packages = ArrayOfTables::new();
        for (id, package) in &self.packages {
            packages.push(table(id, package));
        }
        if !packages.is_empty() {
            document["packages"] = Item::ArrayOfTables(packages);
        }
        for (key, map) in
            [("dependencies", &self.dependencies), ("dev_dependencies", &self.dev_dependencies)]
        {
            if !map.is_empty() {
                let pairs = map.iter().map(|(alias, id)| (alias.as_str(), value(id.to_string())));
                document[key] = Item::Table(pairs.collect());
            }
        }
        format!("{HEAD}{document}")
    }
}

fn table(id: &PackageId, package: &LockedPackage) -> Table {
    let mut table = Table::new();
    table["name"] = value(&id.name);
    table["version"] = value(id.version.to_string());
    match &package.source {
        LockedSource::Repository { repo, reference, commit, hash } => {
            table["repo"] = value(repo);
            match reference {
                Reference::Tag(tag) => table["tag"] = value(tag),
                Reference::Revision(revision) => table["rev"] = value(revision),
            }
            table["commit"] = value(commit);
            table["hash"] = value(hash);
        }
        LockedSource::Path(path) => table["path"] = value(path),
    }
    if !package.dependencies.is_empty() {
        let mut map = InlineTable::new();
        for (alias, id) in &package.dependencies {
            map.insert(alias, id.to_string().into());
        }
        table["dependencies"] = value(map);
    }
    table
}

fn read_package(section: &TomlTable) -> Result<(PackageId, LockedPackage), String> {
    section.check_keys(&[
        "name",
        "version",
        "repo",
        "tag",
        "rev",
        "commit",
        "hash",
        "path",
        "dependencies",
    ])?;
    let text = |key: &str| section.string(key).map(|stated| stated.map(|it| it.value));
    let repo = section.string("repo")?;
    if let Some(repo) = &repo {
        // The error does not quote the URL, which may hold a password.
        check_url(&repo.value).map_err(|problem| section.wrong_at(repo.line, "repo", &problem))?;
    }
    let name = section.checked("name", check_package_name)?.map(|it| it.value);
    let version = section.parsed("version", parse_version)?;
    let commit = section.checked("commit", |text| check(is_commit(text), "it is not a commit"))?;
    let hash = section.checked("hash", |text| check(is_hash(text), "it is not a hash"))?;
    let references = (text("tag")?.map(Reference::Tag), text("rev")?.map(Reference::Revision));
    let source = match (repo.map(|it| it.value), references, commit, hash, text("path")?) {
        (Some(repo), (Some(reference), None), Some(commit), Some(hash), None)
        | (Some(repo), (None, Some(reference)), Some(commit), Some(hash), None) => {
            LockedSource::Repository { repo, reference, commit: commit.value, hash: hash.value }
        }
        (None, (None, None), None, None, Some(path)) => LockedSource::Path(path),
        _ => {
            return Err(section.wrong(
                "it has either repo, tag or rev, commit and hash, or path; run smbench lib lock to make the file anew",
            ));
        }
    };
    let (Some(name), Some(version)) = (name, version) else {
        return Err(section.wrong("it has no name or no version"));
    };
    if let LockedSource::Repository { reference: Reference::Tag(tag), .. } = &source
        && tag.strip_prefix('v').unwrap_or(tag) != version.value.to_string()
    {
        return Err(section.wrong(&format!(
            "the tag {tag:?} is not that of version {}; run smbench lib lock to make the file anew",
            version.value
        )));
    }
    let id = PackageId { name, version: version.value };
    Ok((id, LockedPackage { source, dependencies: read_ids(section)? }))
}

fn check(holds: bool, problem: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem.into()) }
}

/// Returns whether a string is a commit: a SHA-1 or a SHA-256 hash in hexadecimal digits.
pub fn is_commit(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

fn read_ids(section: &TomlTable) -> Result<BTreeMap<String, PackageId>, String> {
    section.section("dependencies")?.map_or(Ok(BTreeMap::new()), |section| ids(&section))
}

fn ids(section: &TomlTable) -> Result<BTreeMap<String, PackageId>, String> {
    let mut ids = BTreeMap::new();
    for alias in section.keys() {
        let id = section.parsed(&alias, |text| {
            check_alias(&alias)?;
            let parts = text.split_once(' ').map(|(name, version)| (name, parse_version(version)));
            match parts {
                Some((name, Ok(version))) => Ok(PackageId { name: name.into(), version }),
                _ => Err("it is not a name and a version".into()),
            }
        })?;
        ids.extend(id.map(|id| (alias, id.value)));
    }
    Ok(ids)
}

fn check_known(
    packages: &BTreeMap<PackageId, LockedPackage>,
    section: &TomlTable,
    ids: &BTreeMap<String, PackageId>,
) -> Result<(), String> {
    match ids.iter().find(|(_, id)| !packages.contains_key(id)) {
        Some((alias, id)) => Err(section.wrong(&format!(
            "the package of {alias}, {id}, is not in the file; run smbench lib lock to make it anew"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, version: &str) -> PackageId {
        PackageId { name: name.into(), version: Version::parse(version).unwrap() }
    }

    fn example() -> Lock {
        let (office, sizes) = (id("acme/office", "1.2.0"), id("acme/sizes", "0.3.1"));
        let locked = |repo: &str, reference, dependencies| LockedPackage {
            source: LockedSource::Repository {
                repo: repo.into(),
                reference,
                commit: "a".repeat(40),
                hash: "b".repeat(64),
            },
            dependencies,
        };
        let aliases = BTreeMap::from([("sizes".to_string(), sizes.clone())]);
        let path = LockedPackage {
            source: LockedSource::Path("../local \"one\"".into()),
            dependencies: BTreeMap::new(),
        };
        Lock {
            packages: BTreeMap::from([
                (
                    office.clone(),
                    locked("https://host/office.git", Reference::Tag("v1.2.0".into()), aliases),
                ),
                (
                    sizes,
                    locked(
                        "file:///srv/sizes",
                        Reference::Revision("main".into()),
                        BTreeMap::new(),
                    ),
                ),
                (id("local", "0.1.0"), path),
            ]),
            dependencies: BTreeMap::from([("office".into(), office)]),
            dev_dependencies: BTreeMap::from([("local".into(), id("local", "0.1.0"))]),
        }
    }

    #[test]
    fn a_lock_is_read_as_it_was_written() {
        for lock in [Lock::default(), example()] {
            let text = lock.text();
            assert_eq!(Lock::parse(&text, LOCK), Ok(lock.clone()), "{text}");
            assert_eq!(Lock::parse(&text, LOCK).unwrap().text(), text);
        }
        let text = example().text();
        assert!(text.starts_with(HEAD), "{text}");
        assert!(text.contains("dependencies = { sizes = \"acme/sizes 0.3.1\" }\n"), "{text}");
    }

    #[test]
    fn a_lock_that_smbench_did_not_write_is_refused_with_its_line() {
        let text = example().text();
        for (from, to, expected) in [
            (
                "version = \"1\"",
                "version = \"2\"",
                "smbench.lock:2: version: \"2\": this smbench reads",
            ),
            ("version = \"1\"\n", "", "smbench.lock:1: it has no version"),
            (&"b".repeat(64), "bbb", "hash: \"bbb\": it is not a hash"),
            (&"a".repeat(40), "main", "commit: \"main\": it is not a commit"),
            ("tag = \"v1.2.0\"\n", "", "it has either repo, tag or rev"),
            (
                "office = \"acme/office 1.2.0\"",
                "office = \"acme/office 9.9.9\"",
                "the package of office, acme/office 9.9.9, is not in the file",
            ),
            (
                "\"acme/sizes 0.3.1\" }",
                "\"acme/sizes 0.4.0\" }",
                "the package of sizes, acme/sizes 0.4.0, is not",
            ),
            (
                "https://host",
                "https://ada:hunter2@host",
                "packages.repo: the URL has a password or a token",
            ),
            ("\nrepo = ", "\npath = \"x\"\nrepo = ", "it has either repo, tag or rev"),
            (
                "dependencies = { sizes = \"acme/sizes 0.3.1\" }",
                "dependencies = { me = \"acme/office 1.2.0\" }",
                "package acme/office 1.2.0 uses itself",
            ),
            (
                "[dev_dependencies]\nlocal",
                "[dev_dependencies]\noffice",
                "the alias office is there twice",
            ),
            (
                "[dependencies]",
                "<<<<<<< HEAD\n[dependencies]",
                "a merge may have changed it: run smbench lib lock",
            ),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let problem = Lock::parse(&changed, LOCK).unwrap_err();
            assert!(problem.contains(expected), "{from}: {problem}");
        }
    }

    #[test]
    fn a_missing_lock_is_none_and_another_thing_of_its_name_an_error() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(Lock::read(place.path(), "L"), Ok(None));
        std::fs::create_dir(place.path().join(LOCK)).unwrap();
        assert_eq!(
            Lock::read(place.path(), "L"),
            Err("cannot read L: it is not a regular file".into())
        );
    }
}
