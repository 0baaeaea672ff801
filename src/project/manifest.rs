//! The file `smbench.toml`, which marks the directory of a project and says what the project is: its
//! name and version, the libraries it uses, its targets and its sets of parameters.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use semver::{Version, VersionReq};

use super::names::{check_alias, check_package_name, check_plain_name};
use super::toml_reader::{Reader, Stated, TomlTable};
use crate::ir::directory::regular_file;
use crate::ir::units::parse_duration_ns;

/// The name of the file.
pub const MANIFEST: &str = "smbench.toml";

/// Returns the paths at which the manifest of a directory's project may be, the nearest first.
pub fn manifest_paths(directory: &Path) -> impl Iterator<Item = PathBuf> {
    directory.ancestors().map(|directory| directory.join(MANIFEST))
}

/// Returns the manifest that is nearest upward from a directory, if there is one.
///
/// # Errors
/// A message if something else than a regular file has its name.
pub fn nearest_manifest(directory: &Path) -> Result<Option<PathBuf>, String> {
    let manifest = manifest_paths(directory).find(|manifest| manifest.symlink_metadata().is_ok());
    match manifest {
        Some(manifest) if !manifest.is_file() => {
            Err(format!("{} is not a regular file", manifest.display()))
        }
        manifest => Ok(manifest),
    }
}

/// Maximum size of a manifest in bytes.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// Maximum length of a version in bytes. It is a part of the name of a directory.
const MAX_VERSION_BYTES: usize = 64;

/// The names that no target of a manifest can have, because `--target` knows them.
const TARGET_KINDS: [&str; 2] = ["embedded", "sim"];

/// The content of a manifest.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// The path of the file as errors write it.
    pub shown: String,
    /// `acme/office`, or a name without a scope. A library has one.
    pub name: Option<String>,
    /// The version. A library has one.
    pub version: Option<Version>,
    pub description: Option<String>,
    pub license: Option<String>,
    /// The versions of smbench for which the project is written.
    pub engine: Option<VersionReq>,
    /// The libraries that the project uses, by alias.
    pub dependencies: BTreeMap<String, Dependency>,
    /// The libraries that only the tests of the project use, by alias.
    pub dev_dependencies: BTreeMap<String, Dependency>,
    pub targets: BTreeMap<String, NamedTarget>,
    pub profiles: BTreeMap<String, Profile>,
}

/// A library that a project uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    pub source: DependencySource,
    /// The number of its line in the manifest.
    pub line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DependencySource {
    /// A git repository.
    Repository { repo: String, wanted: Wanted },
    /// A directory, relative to that of the manifest.
    Path(String),
}

/// The commit of a repository that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The highest version that meets the requirement. Tags `v1.2.0` or `1.2.0` are versions.
    Version(VersionReq),
    /// A tag, a branch or a commit.
    Revision(String),
}

/// A target with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTarget {
    pub url: String,
    pub line: usize,
}

/// A set of values for a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The name of a target of the manifest, or what `--target` accepts.
    pub target: Option<Stated<String>>,
    pub duration: Option<Stated<Duration>>,
    pub thresholds: Vec<Stated<String>>,
    /// The values of parameters by name. The name of a library's parameter is `alias.name`.
    pub params: BTreeMap<String, Stated<String>>,
}

impl Manifest {
    /// Reads the manifest at `path`. Errors call it `shown`.
    ///
    /// # Errors
    /// A message that names the file, and the line and the key if the content is wrong.
    pub fn read(path: &Path, shown: &str) -> Result<Manifest, String> {
        let cannot = |reason: &dyn std::fmt::Display| format!("cannot read {shown}: {reason}");
        let (file, _) = regular_file(path).map_err(|error| cannot(&error))?;
        let mut text = String::new();
        let read = file.take(MAX_MANIFEST_BYTES + 1).read_to_string(&mut text);
        read.map_err(|error| cannot(&error))?;
        Manifest::parse(&text, shown)
    }

    /// Returns whether the project or its tests use libraries.
    pub fn names_libraries(&self) -> bool {
        !self.dependencies.is_empty() || !self.dev_dependencies.is_empty()
    }

    /// Parses the content of a manifest. Errors call the file `shown`.
    ///
    /// # Errors
    /// A message that names the line and the key.
    pub fn parse(text: &str, shown: &str) -> Result<Manifest, String> {
        let reader = Reader::new(text, shown, MAX_MANIFEST_BYTES)?;
        let root = reader.root();
        let mut manifest = Manifest { shown: shown.into(), ..Manifest::default() };
        // A manifest for a later version may have keys that this one does not know.
        if let Some(engines) = root.section("engines")? {
            manifest.engine = engine(&engines)?;
        }
        root.check_keys(&[
            "name",
            "version",
            "description",
            "license",
            "engines",
            "dependencies",
            "dev_dependencies",
            "targets",
            "profiles",
        ])?;
        manifest.name = root.checked("name", check_package_name)?.map(|it| it.value);
        manifest.version = root.parsed("version", parse_version)?.map(|it| it.value);
        manifest.description = root.string("description")?.map(|it| it.value);
        manifest.license = root.string("license")?.map(|it| it.value);
        manifest.dependencies = dependencies(&root, "dependencies")?;
        manifest.dev_dependencies = dependencies(&root, "dev_dependencies")?;
        if let Some(both) =
            manifest.dev_dependencies.keys().find(|it| manifest.dependencies.contains_key(*it))
        {
            let line = manifest.dev_dependencies[both].line;
            return Err(format!(
                "{shown}:{line}: dev_dependencies.{both}: the alias is in dependencies already; choose another one"
            ));
        }
        for (name, target) in root.sections("targets")? {
            target.check_name(&name, check_plain_name)?;
            if TARGET_KINDS.contains(&&*name) {
                return Err(target.wrong("--target knows this name already; choose another one"));
            }
            target.check_keys(&["url"])?;
            let url = target.string("url")?.ok_or_else(|| {
                target.wrong("it has no url, such as url = \"smb://user@host/share\"")
            })?;
            let line = url.line;
            if may_have_password(&url.value) {
                // The error does not quote it.
                let problem = "it has a password, which others would read here; remove it, and set SMBENCH_PASSWORD";
                return Err(target.wrong_at(line, "url", problem));
            }
            manifest.targets.insert(name, NamedTarget { url: url.value, line });
        }
        for (name, profile) in root.sections("profiles")? {
            profile.check_name(&name, check_plain_name)?;
            manifest.profiles.insert(name, read_profile(&profile)?);
        }
        Ok(manifest)
    }
}

/// Returns whether the URL of a target has more than a name before its host.
fn may_have_password(url: &str) -> bool {
    let authority = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    authority.is_some_and(|(user, _)| user.contains(':'))
}

fn engine(engines: &TomlTable) -> Result<Option<VersionReq>, String> {
    let Some(stated) = engines.parsed("smbench", parse_requirement)? else {
        engines.check_keys(&["smbench"])?;
        return Ok(None);
    };
    let own = env!("CARGO_PKG_VERSION");
    let meets = Version::parse(own).is_ok_and(|own| stated.value.matches(&own));
    match meets {
        true => engines.check_keys(&["smbench"]).map(|()| Some(stated.value)),
        false => Err(engines.wrong_at(
            stated.line,
            "smbench",
            &format!("it needs smbench {}, and this is smbench {own}", stated.value),
        )),
    }
}

fn dependencies(root: &TomlTable, key: &str) -> Result<BTreeMap<String, Dependency>, String> {
    let mut dependencies = BTreeMap::new();
    for (alias, section) in root.sections(key)? {
        section.check_name(&alias, check_alias)?;
        section.check_keys(&["repo", "version", "rev", "path"])?;
        let [repo, rev, path] = ["repo", "rev", "path"].map(|key| section.string(key));
        let version = section.parsed("version", parse_requirement)?;
        let source = match (repo?, version, rev?, path?) {
            (Some(repo), Some(version), None, None) => DependencySource::Repository {
                repo: repo.value,
                wanted: Wanted::Version(version.value),
            },
            (Some(repo), None, Some(rev), None) => DependencySource::Repository {
                repo: repo.value,
                wanted: Wanted::Revision(rev.value),
            },
            (None, None, None, Some(path)) if path.value.contains("://") => {
                // It is not quoted, because it may have a password.
                let problem = "it is a directory; the URL of a repository is given with repo";
                return Err(section.wrong_at(path.line, "path", problem));
            }
            (None, None, None, Some(path)) => DependencySource::Path(path.value),
            _ => {
                return Err(section.wrong(
                    "it has either repo and version, or repo and rev, or path; such as { repo = \"https://host/office.git\", version = \"^1.2\" }",
                ));
            }
        };
        dependencies.insert(alias, Dependency { source, line: section.line() });
    }
    Ok(dependencies)
}

fn read_profile(section: &TomlTable) -> Result<Profile, String> {
    section.check_keys(&["target", "duration", "thresholds", "params"])?;
    let params = match section.section("params")? {
        Some(params) => params.scalars()?,
        None => BTreeMap::new(),
    };
    Ok(Profile {
        target: section.string("target")?,
        duration: section.parsed("duration", parse_duration)?,
        thresholds: section.strings("thresholds")?,
        params,
    })
}

/// Parses a version such as `1.2.0`.
///
/// # Errors
/// A message with the form of a version.
pub fn parse_version(text: &str) -> Result<Version, String> {
    if text.len() > MAX_VERSION_BYTES {
        return Err(format!("a version has at most {MAX_VERSION_BYTES} bytes"));
    }
    Version::parse(text).map_err(|error| format!("{error}; a version is such as 1.2.0"))
}

/// Parses a requirement such as `^1.2`, `=1.2.3` or `>=1.2, <1.5`.
///
/// # Errors
/// A message with the form of a requirement.
pub fn parse_requirement(text: &str) -> Result<VersionReq, String> {
    VersionReq::parse(text).map_err(|error| {
        format!(
            "{error}; a requirement is such as ^1.2 (from 1.2.0, below 2.0.0), ~1.2.3 or =1.2.3"
        )
    })
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration_ns(text).map_err(|error| error.to_string())?;
    match duration {
        0 => Err("it must be above 0".into()),
        ns => Ok(Duration::from_nanos(ns)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Manifest, String> {
        Manifest::parse(text, "smbench.toml")
    }

    #[test]
    fn a_manifest_says_what_a_project_uses() {
        let manifest = parsed(
            "name = \"acme/nightly\"
version = \"1.2.0\"
[engines]
smbench = \">=0.1\"
[dependencies]
office = { repo = \"https://host/office.git\", version = \"^1.2\" }
mail = { repo = \"https://host/mail.git\", rev = \"main\" }
[dependencies.local]
path = \"../local\"
[targets.lab]
url = \"smb://ada@nas/data\"
[profiles.nightly]
target = \"lab\"
duration = \"10m\"
thresholds = [
  \"read.response.p99 < 20ms\",
]
[profiles.nightly.params]
users = 100
ratio = 0.5
fast = true
office.doc_size = \"96KiB\"
\"mail.size\" = \"1KiB\"
",
        )
        .unwrap();
        assert_eq!(manifest.name.as_deref(), Some("acme/nightly"));
        assert_eq!(manifest.version, Some(Version::new(1, 2, 0)));
        let office = &manifest.dependencies["office"];
        let wanted = Wanted::Version(parse_requirement("^1.2").unwrap());
        let repo = "https://host/office.git".to_string();
        assert_eq!(office.source, DependencySource::Repository { repo, wanted });
        assert_eq!((office.line, manifest.dependencies["local"].line), (6, 8));
        assert_eq!(
            manifest.dependencies["local"].source,
            DependencySource::Path("../local".into())
        );
        assert_eq!(manifest.targets["lab"].url, "smb://ada@nas/data");
        let profile = &manifest.profiles["nightly"];
        let target = Stated { value: "lab".to_string(), line: 13 };
        assert_eq!(profile.target, Some(target));
        assert_eq!(profile.duration.as_ref().unwrap().value, Duration::from_secs(600));
        assert_eq!(profile.thresholds[0].line, 16);
        let params: Vec<_> =
            profile.params.iter().map(|(name, it)| (&**name, &*it.value)).collect();
        let expected = [
            ("fast", "true"),
            ("mail.size", "1KiB"),
            ("office.doc_size", "96KiB"),
            ("ratio", "0.5"),
            ("users", "100"),
        ];
        assert_eq!(params, expected);
        assert_eq!(profile.params["office.doc_size"].line, 22);
        assert!(parsed("").unwrap().name.is_none());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_key() {
        for (text, expected) in [
            (
                "name = \"a\"\nverison = \"1\"",
                "2: verison: there is no such key; did you mean version?",
            ),
            ("name = 3", "1: name: it is not a string"),
            ("name = \"a b\"", "1: name: \"a b\": a name is such as acme/office"),
            ("\nversion = \"1.2\"", "2: version: \"1.2\": unexpected end"),
            ("name = ", "1: "),
            (
                "[engines]\nsmbench = \">=99\"\n[later]",
                "2: engines.smbench: it needs smbench >=99, and this is smbench",
            ),
            ("[engines]\npython = \">=3\"", "2: engines.python: there is no such key"),
            (
                "[dependencies]\nbench = { path = \"a\" }",
                "2: dependencies.bench: @bench is the standard library",
            ),
            (
                "[dependencies]\nself = { path = \"a\" }",
                "2: dependencies.self: @self is the directory",
            ),
            (
                "[dependencies]\nOffice = { path = \"a\" }",
                "2: dependencies.Office: a name here has",
            ),
            (
                "[dependencies]\n\na = { repo = \"u\" }",
                "3: dependencies.a: it has either repo and version",
            ),
            (
                "[dependencies]\na = { repo = \"u\", version = \"1\", rev = \"x\" }",
                "2: dependencies.a: it has either",
            ),
            (
                "[dependencies]\na = { repo = \"u\", version = \"new\" }",
                "2: dependencies.a.version: \"new\": ",
            ),
            (
                "[dependencies]\na = { repo = \"u\", verison = \"1\" }",
                "2: dependencies.a.verison: there is no such key; did you mean version?",
            ),
            ("[dependencies]\na = \"1\"", "2: dependencies.a: it is not a table"),
            ("dependencies = 1", "1: dependencies: it is not a table"),
            (
                "[dependencies]\na = { path = \"a\" }\n[dev_dependencies]\na = { path = \"b\" }",
                "4: dev_dependencies.a: the alias is in dependencies already",
            ),
            ("[targets.sim]\nurl = \"sim\"", "1: targets.sim: --target knows this name"),
            ("[targets.lab]", "1: targets.lab: it has no url"),
            (
                "[targets.lab]\nurl = \"smb://ada:hunter2@nas/data\"",
                "2: targets.lab.url: it has a password, which others",
            ),
            (
                "[targets.lab]\nurl = \"u\"\npassword = \"x\"",
                "3: targets.lab.password: there is no such key",
            ),
            ("[profiles.n]\nduration = \"10\"", "2: profiles.n.duration: \"10\": "),
            (
                "[profiles.n]\nduration = \"0s\"",
                "2: profiles.n.duration: \"0s\": it must be above 0",
            ),
            ("[profiles.n]\nthresholds = \"x\"", "2: profiles.n.thresholds: it is not an array"),
            ("[profiles.n]\nthresholds = [1]", "2: profiles.n.thresholds: it is not an array"),
            ("[profiles.n.params]\na = [1]", "2: profiles.n.params.a: it is neither a string"),
            (
                "[profiles.n.params]\n\"a.b\" = 1\na.b = 2",
                "3: profiles.n.params.a.b: it is given twice",
            ),
            ("a = 1\na = 2", "2: "),
        ] {
            let problem = parsed(text).unwrap_err();
            assert!(
                problem.starts_with(&format!("smbench.toml:{expected}")),
                "{text:?}: {problem}"
            );
        }
    }

    #[test]
    fn only_a_regular_file_within_the_size_limit_is_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(MANIFEST);
        let read = || Manifest::read(&path, "M").map(|_| ());
        assert!(read().unwrap_err().starts_with("cannot read M: "));
        std::fs::write(&path, [b'\n'; MAX_MANIFEST_BYTES as usize + 1]).unwrap();
        assert!(read().unwrap_err().contains("more than 1048576 bytes"));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(read().unwrap_err().contains("UTF-8"));
        std::fs::write(&path, b"\n").unwrap();
        read().unwrap();
    }
}
