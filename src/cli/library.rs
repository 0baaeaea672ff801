//! `smbench lib`: the commands for the libraries of a project.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::test::is_ci;
use crate::library::lock::{Lock, LockedSource, PackageId, Reference};
use crate::library::resolve::Update;
use crate::observability::progress_lines::{ProgressLines, StageProgress};
use crate::observability::standard_error::{self, LineKind, report};
use crate::observability::text::printable;
use crate::project::manifest::{DependencySource, Wanted, parse_requirement};
use crate::run::{AddedSource, LibraryChange, LibraryOptions, SyncedLibraries};

pub const SCHEMA: &str = "smbench.libraries/1";

/// Longest part of a line that comes from a manifest or a repository, in characters.
const MAX_CHARS: usize = 4_000;

/// Number of digits of a commit that the tree shows.
const SHORT_COMMIT: usize = 10;

/// The output of the commands in a project without libraries.
pub const NO_LIBRARIES: &str =
    "this project uses no libraries; smbench lib add NAME --repo URL adds one\n";

/// Manage the libraries that a project uses
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
        smbench.toml names the libraries of a project, smbench.lock pins them, and .smbench/packages has \
        their files. Commit the first two. The commands act on the project that is nearest upward from the \
        current directory.\n\
        Repositories are fetched with git into the directory SMBENCH_CACHE_DIR \
        [default: smbench in XDG_CACHE_HOME, or ~/.cache/smbench]. Git asks for a name or a password only on a terminal.\n\
        Exit codes: 0 done; 2 the project, a repository or the command line is wrong, and the manifest and the lock are as before.")]
pub struct LibraryArgs {
    #[command(subcommand)]
    pub what: LibraryCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum LibraryCommand {
    Add(AddLibraryArgs),
    Remove(RemoveLibraryArgs),
    /// Choose versions for smbench.toml and write smbench.lock
    ///
    /// Versions that are locked stay if they fit. Nothing is installed: smbench lib sync does that.
    Lock,
    /// Fetch the libraries that smbench.lock pins
    ///
    /// The lock stays as it is. Libraries that are not used any more are removed, and the aliases for
    /// editors are written into .luaurc.
    Sync,
    Update(UpdateLibraryArgs),
    List(ListLibrariesArgs),
    /// Check that the files of all libraries are those of smbench.lock
    Verify,
    /// Fetch the libraries and copy them into the directory vendor
    ///
    /// If the copies are committed, nobody else needs git or a network for the project.
    Vendor,
    Docs(LibraryDocsArgs),
}

/// Print the API of a library from the comments in its modules
#[derive(Clone, Debug, Args)]
pub struct LibraryDocsArgs {
    /// Name in smbench.toml [default: this project]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// Add a library to smbench.toml and fetch it
#[derive(Clone, Debug, Args)]
#[command(
    group = clap::ArgGroup::new("source").required(true).args(["repo", "path"]),
    after_help = "\
        Without --version and --rev, the highest released version is taken, and later versions \
        compatible with it are accepted.\n\
        Versions are tags such as v1.2.0. The flags of this command have no variables."
)]
pub struct AddLibraryArgs {
    /// Name by which require("@NAME") finds it
    ///
    /// If the project has a library of this name, its source is replaced.
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Git repository: https://…, ssh://… or file:///…
    ///
    /// Or user@host:path, which is SSH. http://… works with a warning.
    #[arg(long, value_name = "URL")]
    pub repo: Option<String>,

    /// Versions to accept, such as ^1.2 or =1.2.3
    #[arg(
        long, value_name = "REQUIREMENT", value_parser = parse_requirement,
        conflicts_with_all = ["rev", "path"]
    )]
    pub version: Option<semver::VersionReq>,

    /// Tag, branch or commit, instead of a version
    #[arg(long, value_name = "REVISION", conflicts_with = "path")]
    pub rev: Option<String>,

    /// Directory of a library that is read in place
    #[arg(long, value_name = "DIR")]
    pub path: Option<String>,

    /// Add it for tests only
    ///
    /// A project that uses this one as a library does not need it.
    #[arg(long)]
    pub dev: bool,
}

/// Remove a library from the project
#[derive(Clone, Debug, Args)]
pub struct RemoveLibraryArgs {
    /// Name of the library in smbench.toml
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Choose the highest versions that smbench.toml accepts, and fetch them
#[derive(Clone, Debug, Args)]
pub struct UpdateLibraryArgs {
    /// Libraries to update [default: all]
    ///
    /// The name in smbench.toml, or the one that a library gives itself. Others change only if
    /// they must.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// List the libraries that smbench.lock pins, as a tree
#[derive(Clone, Debug, Args)]
pub struct ListLibrariesArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl AddLibraryArgs {
    pub(super) fn source(&self) -> AddedSource {
        match (&self.repo, &self.path) {
            (None, Some(path)) => AddedSource::Path(path.clone()),
            (repo, _) => {
                let version = self.version.clone().map(Wanted::Version);
                let wanted = version.or_else(|| self.rev.clone().map(Wanted::Revision));
                AddedSource::Repository { repo: repo.clone().unwrap_or_default(), wanted }
            }
        }
    }
}

impl UpdateLibraryArgs {
    pub(super) fn update(&self) -> Update {
        match self.names.is_empty() {
            true => Update::Everything,
            false => Update::Only(self.names.iter().cloned().collect()),
        }
    }
}

/// Calls `run` with the options for fetching, while the progress is shown: a line for each fetch on
/// a terminal, elsewhere one every few seconds.
pub(super) fn with_progress<T>(run: impl FnOnce(&LibraryOptions) -> T) -> T {
    let stage = Arc::new(Mutex::new("reading the libraries".to_string()));
    let shown = stage.clone();
    let lines = ProgressLines::start(true, move || StageProgress {
        stage: shown.lock().map(|stage| stage.clone()).unwrap_or_default(),
        extent: None,
        counts: None,
    });
    let progress = move |line: &str| {
        let line = printable(line, MAX_CHARS);
        if standard_error::is_drawable() {
            report(LineKind::Note, &line);
        }
        if let Ok(mut stage) = stage.lock() {
            *stage = line;
        }
    };
    let may_ask = std::io::stdin().is_terminal() && !is_ci();
    let done = run(&LibraryOptions { may_ask, progress: Arc::new(progress) });
    drop(lines);
    done
}

/// Returns the lines about a change of the libraries.
pub(super) fn described(name: Option<&str>, change: &LibraryChange) -> String {
    let mut text = String::new();
    if let (Some(name), Some((source, replaced))) = (name, &change.added) {
        text += &match replaced {
            Some(before) if before == source => format!("{name} is {}\n", described_source(source)),
            Some(before) => format!(
                "{name} is now {}; it was {}\n",
                described_source(source),
                described_source(before)
            ),
            None => format!("added {name}, {}\n", described_source(source)),
        };
    }
    for one in &change.changes {
        text += &printable(&one.to_string(), MAX_CHARS);
        text.push('\n');
    }
    match (&change.synced, &change.vendored) {
        (_, Some((copied, in_place))) => {
            let libraries = if *copied == 1 { "library is" } else { "libraries are" };
            text += &format!("{copied} {libraries} in vendor; commit the directory\n");
            for path in in_place {
                let path = printable(path, MAX_CHARS);
                text += &format!("{path} is read in place and was not copied\n");
            }
        }
        (Some(synced), None) => text += &in_place(*synced),
        (None, None) if !change.is_written => text += "smbench.lock is up to date\n",
        (None, None) => {
            text += "smbench.lock is written; smbench lib sync installs what it names\n"
        }
    }
    text
}

fn described_source(source: &DependencySource) -> String {
    let text = match source {
        DependencySource::Path(path) => path.clone(),
        DependencySource::Repository { repo, wanted: Wanted::Version(it) } => {
            format!("{repo} {it}")
        }
        DependencySource::Repository { repo, wanted: Wanted::Revision(it) } => {
            format!("{repo} at {it}")
        }
    };
    printable(&text, MAX_CHARS)
}

fn in_place(synced: SyncedLibraries) -> String {
    let SyncedLibraries { in_place, fetched } = synced;
    let verb = if in_place == 1 { "library is" } else { "libraries are" };
    match fetched {
        0 => format!("{in_place} {verb} in place\n"),
        fetched => format!("{in_place} {verb} in place, {fetched} fetched now\n"),
    }
}

/// Renders the libraries of a lock as a tree. The libraries of a library that was shown before are
/// not repeated.
pub(super) fn tree(lock: &Lock) -> String {
    let mut text = String::new();
    let mut shown = BTreeSet::new();
    for (dependencies, note) in
        [(&lock.dependencies, ""), (&lock.dev_dependencies, ", for tests only")]
    {
        for (alias, id) in dependencies {
            branch(lock, alias, id, ["", ""], note, &mut shown, &mut text);
        }
    }
    text
}

/// Adds the line of one package, which begins with `start`, and the lines of those that it names,
/// which begin with `below`.
fn branch<'a>(
    lock: &'a Lock,
    alias: &str,
    id: &'a PackageId,
    [start, below]: [&str; 2],
    note: &str,
    shown: &mut BTreeSet<&'a PackageId>,
    text: &mut String,
) {
    let Some(package) = lock.packages.get(id) else { return };
    let is_repeated = !package.dependencies.is_empty() && !shown.insert(id);
    let again = if is_repeated { "; its libraries are shown above" } else { "" };
    let source = match &package.source {
        LockedSource::Path(path) => path.clone(),
        LockedSource::Repository { repo, reference, commit, .. } => {
            let (Reference::Tag(at) | Reference::Revision(at)) = reference;
            let commit = commit.get(..SHORT_COMMIT).unwrap_or(commit);
            format!("{repo} at {at}, commit {commit}")
        }
    };
    let line = format!("{start}{alias}: {id}, {source}{note}{again}");
    let _ = writeln!(text, "{}", printable(&line, MAX_CHARS));
    if is_repeated {
        return;
    }
    let last = package.dependencies.len();
    for (number, (alias, id)) in (1..).zip(&package.dependencies) {
        let lines = match number == last {
            true => [format!("{below}└─ "), format!("{below}   ")],
            false => [format!("{below}├─ "), format!("{below}│  ")],
        };
        branch(lock, alias, id, [&lines[0], &lines[1]], "", shown, text);
    }
}

/// The list that `smbench lib list --json` prints: the packages that `smbench.lock` pins. This lists
/// every key of this version; a reader should ignore others, which later versions add.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(title = "smbench libraries, version 1"))]
pub struct LibraryList {
    /// Name and version of this format.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA)))]
    pub schema: &'static str,
    /// Packages that the project names itself, by alias: name and version, with a space between them.
    pub dependencies: BTreeMap<String, String>,
    /// Packages that only its tests use, by alias.
    pub dev_dependencies: BTreeMap<String, String>,
    /// All packages, sorted by name and version.
    pub packages: Vec<ListedPackage>,
}

/// A package.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListedPackage {
    /// Name that the package gives itself.
    pub name: String,
    /// Version, such as 1.2.0.
    pub version: String,
    /// URL of its repository; null if it is read in place.
    pub repo: Option<String>,
    /// Tag that led to the commit; null if a revision did, or if it is read in place.
    pub tag: Option<String>,
    /// Tag, branch or commit that `rev` names; null if a version was required, or if it is read in
    /// place.
    pub rev: Option<String>,
    /// Commit, in hexadecimal digits; null if it is read in place.
    pub commit: Option<String>,
    /// Hash of its files, in hexadecimal digits; null if it is read in place.
    pub hash: Option<String>,
    /// Directory that it is read from, relative to the project; null if it is from a repository.
    pub path: Option<String>,
    /// Packages that it names, by alias.
    pub dependencies: BTreeMap<String, String>,
}

impl LibraryList {
    pub fn new(lock: &Lock) -> LibraryList {
        let ids = |map: &BTreeMap<String, PackageId>| {
            map.iter().map(|(alias, id)| (alias.clone(), id.to_string())).collect()
        };
        let packages = lock.packages.iter().map(|(id, package)| {
            let mut listed = ListedPackage {
                name: id.name.clone(),
                version: id.version.to_string(),
                repo: None,
                tag: None,
                rev: None,
                commit: None,
                hash: None,
                path: None,
                dependencies: ids(&package.dependencies),
            };
            match package.source.clone() {
                LockedSource::Path(path) => listed.path = Some(path),
                LockedSource::Repository { repo, reference, commit, hash } => {
                    match reference {
                        Reference::Tag(tag) => listed.tag = Some(tag),
                        Reference::Revision(rev) => listed.rev = Some(rev),
                    }
                    listed.repo = Some(repo);
                    (listed.commit, listed.hash) = (Some(commit), Some(hash));
                }
            }
            listed
        });
        LibraryList {
            schema: SCHEMA,
            dependencies: ids(&lock.dependencies),
            dev_dependencies: ids(&lock.dev_dependencies),
            packages: packages.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use smbench_test_support::Format;

    use super::*;
    use crate::observability::schema;

    fn lock() -> Lock {
        let package = |name: &str, version: &str, rest: &str| {
            format!("[[packages]]\nname = \"{name}\"\nversion = \"{version}\"\n{rest}")
        };
        let repository = |name: &str| {
            let (commit, hash) = ("0123456789".repeat(4), "b".repeat(64));
            format!(
                "repo = \"https://host/{name}.git\"\nrev = \"main\"\ncommit = \"{commit}\"\nhash = \"{hash}\"\n"
            )
        };
        let packages = [
            package(
                "acme/a",
                "1.0.0",
                &(repository("a") + "dependencies = { b = \"b 1.0.0\", c = \"c 1.0.0\" }\n"),
            ),
            package("b", "1.0.0", &(repository("b") + "dependencies = { c = \"c 1.0.0\" }\n")),
            package("c", "1.0.0", &repository("c")),
            package("d", "0.1.0", "path = \"../d\"\ndependencies = { b = \"b 1.0.0\" }\n"),
        ];
        let text = format!(
            "version = \"1\"\n{}[dependencies]\na = \"acme/a 1.0.0\"\n[dev_dependencies]\nd = \"d 0.1.0\"\n",
            packages.concat()
        );
        Lock::parse(&text, "smbench.lock").unwrap()
    }

    #[test]
    fn the_tree_does_not_repeat_what_it_has_shown() {
        assert_eq!(
            tree(&lock()),
            "a: acme/a 1.0.0, https://host/a.git at main, commit 0123456789
├─ b: b 1.0.0, https://host/b.git at main, commit 0123456789
│  └─ c: c 1.0.0, https://host/c.git at main, commit 0123456789
└─ c: c 1.0.0, https://host/c.git at main, commit 0123456789
d: d 0.1.0, ../d, for tests only
└─ b: b 1.0.0, https://host/b.git at main, commit 0123456789; its libraries are shown above
"
        );
    }

    #[test]
    fn what_is_in_place_is_counted() {
        let text = |in_place, fetched| super::in_place(SyncedLibraries { in_place, fetched });
        assert_eq!(text(10, 0), "10 libraries are in place\n");
        assert_eq!(text(1, 1), "1 library is in place, 1 fetched now\n");
    }

    #[test]
    fn the_schema_of_libraries_is_that_of_the_types_and_refuses_what_is_none() {
        let schema = schema::checked_in::<LibraryList>("libraries");
        let list = serde_json::to_value(LibraryList::new(&lock())).unwrap();
        Format::Libraries.check(&list);
        assert_eq!(schema::unused_keys(&schema, std::slice::from_ref(&list)), [""; 0]);
        let may_be_null = ["/repo", "/tag", "/rev", "/commit", "/hash", "/path"];
        for (at, spoiled) in schema::spoiled(&list) {
            let is_refused = !Format::Libraries.errors(&spoiled).is_empty();
            // The keys of a map are names.
            let is_new_name = at.ends_with("dependencies")
                && spoiled.pointer(&at).is_some_and(serde_json::Value::is_object);
            let is_optional = may_be_null.iter().any(|key| at.ends_with(key));
            assert_eq!(is_refused, !is_new_name && !is_optional, "{at}: {spoiled}");
        }
    }
}
