//! Tests of the resolver with repositories in memory.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use semver::{Version, VersionReq};

use super::lock::{Lock, LockedSource, PackageId, Reference};
use super::package_source::PackageSource;
use super::repository::TaggedVersion;
use super::resolve::{Resolution, ResolvedSource, Update, resolve};
use super::version_search::CompatibleRange;
use crate::project::manifest::Manifest;

/// Repositories in memory. The manifest of a commit is that of its tag or revision.
#[derive(Default)]
struct Memory {
    tags: BTreeMap<String, Vec<TaggedVersion>>,
    revisions: BTreeMap<(String, String), String>,
    manifests: BTreeMap<(String, String), String>,
    asked_for_versions: Cell<usize>,
}

fn url(name: &str) -> String {
    format!("https://host/{name}.git")
}

/// Returns lines of a manifest: dependencies such as `office ^1`, `office rev main`, `../local`.
fn dependencies(wanted: &[&str]) -> String {
    let lines = wanted.iter().map(|wanted| {
        let (alias, wanted) = wanted.split_once(' ').unwrap();
        let name = alias.trim_end_matches(|c: char| c.is_ascii_digit());
        match wanted.strip_prefix("rev ") {
            Some(revision) => {
                format!("{alias} = {{ repo = \"{}\", rev = \"{revision}\" }}\n", url(name))
            }
            None if wanted.contains('/') => format!("{alias} = {{ path = \"{wanted}\" }}\n"),
            None => format!("{alias} = {{ repo = \"{}\", version = \"{wanted}\" }}\n", url(name)),
        }
    });
    format!("[dependencies]\n{}", lines.collect::<String>())
}

fn library(name: &str, version: &str, wanted: &[&str]) -> String {
    format!("name = \"{name}\"\nversion = \"{version}\"\n{}", dependencies(wanted))
}

impl Memory {
    fn with(mut self, name: &str, version: &str, wanted: &[&str]) -> Memory {
        self.add(name, &format!("v{version}"), version, &library(name, version, wanted));
        self
    }

    fn add(&mut self, name: &str, tag: &str, version: &str, manifest: &str) {
        let commit = format!("{name}-{version}");
        let tagged =
            TaggedVersion { tag: tag.into(), version: Version::parse(version).unwrap(), commit };
        self.manifests.insert((url(name), tagged.commit.clone()), manifest.into());
        let tags = self.tags.entry(url(name)).or_default();
        tags.push(tagged);
        tags.sort_by(|one, two| two.version.cmp(&one.version));
    }

    fn with_revision(
        mut self,
        name: &str,
        revision: &str,
        version: &str,
        wanted: &[&str],
    ) -> Memory {
        let commit = format!("{name}-{revision}-commit");
        self.revisions.insert((url(name), revision.into()), commit.clone());
        self.manifests.insert((url(name), commit), library(name, version, wanted));
        self
    }

    fn resolve(&self, wanted: &[&str]) -> Result<Resolution, String> {
        self.anew(wanted, None, &Update::Nothing)
    }

    fn anew(
        &self,
        wanted: &[&str],
        previous: Option<&Lock>,
        update: &Update,
    ) -> Result<Resolution, String> {
        let manifest = Manifest::parse(&dependencies(wanted), "smbench.toml").unwrap();
        resolve(&manifest, Path::new("/nowhere"), previous, update, self)
    }
}

impl PackageSource for Memory {
    fn versions(&self, repo: &str) -> Result<Vec<TaggedVersion>, String> {
        self.asked_for_versions.set(self.asked_for_versions.get() + 1);
        Ok(self.tags.get(repo).cloned().unwrap_or_default())
    }

    fn commit_of(&self, repo: &str, revision: &str) -> Result<String, String> {
        let commit = self.revisions.get(&(repo.into(), revision.into()));
        commit.cloned().ok_or_else(|| format!("{repo} has no {revision}"))
    }

    fn manifest(&self, repo: &str, _: &Reference, commit: &str) -> Result<Option<String>, String> {
        Ok(self.manifests.get(&(repo.into(), commit.into())).cloned())
    }
}

fn ids(resolution: &Resolution) -> Vec<String> {
    resolution.packages.keys().map(ToString::to_string).collect()
}

fn locked(resolution: Resolution) -> Lock {
    let hashes = resolution.packages.keys().map(|id| (id.clone(), "0".repeat(64))).collect();
    resolution.into_lock(&hashes).unwrap()
}

fn only(name: &str) -> Update {
    Update::Only(BTreeSet::from([name.to_string()]))
}

#[test]
fn the_highest_version_that_meets_the_requirement_is_taken() {
    let memory = Memory::default()
        .with("office", "1.2.0", &[])
        .with("office", "1.10.0", &[])
        .with("office", "1.11.0-rc.1", &[])
        .with("office", "2.0.0", &[]);
    let resolution = memory.resolve(&["office ^1.1"]).unwrap();
    assert_eq!(ids(&resolution), ["office 1.10.0"]);
    let id = &resolution.dependencies["office"];
    assert_eq!(
        resolution.packages[id].source,
        ResolvedSource::Repository {
            repo: url("office"),
            reference: Reference::Tag("v1.10.0".into()),
            commit: "office-1.10.0".into()
        }
    );
    assert_eq!(ids(&memory.resolve(&["office >=1"]).unwrap()), ["office 2.0.0"]);
    assert_eq!(ids(&memory.resolve(&["office ^1.11.0-rc.0"]).unwrap()), ["office 1.11.0-rc.1"]);
    assert_eq!(memory.resolve(&[]), Ok(Resolution::default()));
}

#[test]
fn a_locked_version_stays_until_it_is_updated_or_does_not_fit() {
    let before = Memory::default().with("a", "1.0.0", &["b ^1"]).with("b", "1.0.0", &[]);
    let lock = locked(before.resolve(&["a ^1"]).unwrap());
    let memory =
        before.with("a", "1.1.0", &["b ^1"]).with("b", "1.1.0", &[]).with("b", "1.2.0", &[]);
    memory.asked_for_versions.set(0);
    let anew = |wanted: &[&str], update: &Update| memory.anew(wanted, Some(&lock), update);
    let kept = anew(&["a ^1"], &Update::Nothing).unwrap();
    assert_eq!(ids(&kept), ["a 1.0.0", "b 1.0.0"]);
    assert_eq!(memory.asked_for_versions.get(), 0, "nobody needs to ask for versions");
    assert_eq!(ids(&anew(&["a ^1"], &only("a")).unwrap()), ["a 1.1.0", "b 1.0.0"]);
    assert_eq!(ids(&anew(&["a ^1"], &only("b")).unwrap()), ["a 1.0.0", "b 1.2.0"]);
    assert_eq!(ids(&anew(&["a ^1"], &Update::Everything).unwrap()), ["a 1.1.0", "b 1.2.0"]);
    assert_eq!(ids(&anew(&["a ^1.1"], &Update::Nothing).unwrap()), ["a 1.1.0", "b 1.0.0"]);
    assert_eq!(
        ids(&anew(&["a ^1", "b =1.1.0"], &Update::Nothing).unwrap()),
        ["a 1.0.0", "b 1.1.0"]
    );
    let problem = anew(&["a ^1"], &only("c")).unwrap_err();
    assert!(problem.starts_with("the project has no library c; "), "{problem}");
}

#[test]
fn a_locked_commit_stays_although_its_tag_or_branch_moved() {
    let memory = Memory::default().with("a", "1.0.0", &[]).with_revision("b", "main", "1.0.0", &[]);
    let mut lock = locked(memory.resolve(&["a ^1", "b rev main"]).unwrap());
    for package in lock.packages.values_mut() {
        let LockedSource::Repository { commit, .. } = &mut package.source else { panic!() };
        *commit = format!("before-{commit}");
    }
    let mut memory = memory;
    for (name, commit) in [("a", "before-a-1.0.0"), ("b", "before-b-main-commit")] {
        memory.manifests.insert((url(name), commit.into()), library(name, "1.0.0", &[]));
    }
    let commits = |update: &Update| {
        let resolution = memory.anew(&["a ^1", "b rev main"], Some(&lock), update).unwrap();
        let commits = resolution.packages.into_values().map(|package| match package.source {
            ResolvedSource::Repository { commit, .. } => commit,
            ResolvedSource::Directory(path) => path,
        });
        commits.collect::<Vec<_>>()
    };
    assert_eq!(commits(&Update::Nothing), ["before-a-1.0.0", "before-b-main-commit"]);
    assert_eq!(commits(&only("b")), ["before-a-1.0.0", "b-main-commit"]);
    assert_eq!(commits(&Update::Everything), ["a-1.0.0", "b-main-commit"]);
}

#[test]
fn two_users_of_a_library_get_one_version_that_both_accept() {
    let memory = Memory::default()
        .with("a", "1.0.0", &["sizes ^1.1"])
        .with("b", "1.0.0", &["sizes <1.3"])
        .with("sizes", "1.0.0", &[])
        .with("sizes", "1.2.0", &[])
        .with("sizes", "1.3.0", &[]);
    let resolution = memory.resolve(&["a ^1", "b ^1"]).unwrap();
    assert_eq!(ids(&resolution), ["a 1.0.0", "b 1.0.0", "sizes 1.2.0"]);
    let sizes = PackageId { name: "sizes".into(), version: Version::new(1, 2, 0) };
    for id in resolution.dependencies.values() {
        assert_eq!(resolution.packages[id].dependencies["sizes"], sizes);
    }
}

#[test]
fn versions_that_are_not_compatible_stand_side_by_side() {
    let memory = Memory::default()
        .with("a", "1.0.0", &["sizes ^1", "tiny ^0.1"])
        .with("b", "1.0.0", &["sizes ^2", "tiny ^0.2"])
        .with("sizes", "1.4.0", &[])
        .with("sizes", "2.1.0", &["sizes ^1"])
        .with("tiny", "0.1.3", &[])
        .with("tiny", "0.2.0", &[]);
    let resolution = memory.resolve(&["a ^1", "b ^1", "sizes1 ^1", "sizes2 ^2"]).unwrap();
    assert_eq!(
        ids(&resolution),
        ["a 1.0.0", "b 1.0.0", "sizes 1.4.0", "sizes 2.1.0", "tiny 0.1.3", "tiny 0.2.0"]
    );
    assert_eq!(resolution.dependencies["sizes1"].version, Version::new(1, 4, 0));
    assert_eq!(resolution.dependencies["sizes2"].version, Version::new(2, 1, 0));
}

#[test]
fn an_older_version_is_taken_where_the_newest_ones_do_not_fit_one_another() {
    let memory = Memory::default()
        .with("a", "1.0.0", &["sizes ^1"])
        .with("a", "1.1.0", &["sizes =1.2.0"])
        .with("b", "1.0.0", &["sizes =1.1.0"])
        .with("other", "1.0.0", &[])
        .with("sizes", "1.0.0", &[])
        .with("sizes", "1.1.0", &[])
        .with("sizes", "1.2.0", &[]);
    let resolution = memory.resolve(&["a ^1", "b ^1", "other ^1"]).unwrap();
    assert_eq!(ids(&resolution), ["a 1.0.0", "b 1.0.0", "other 1.0.0", "sizes 1.1.0"]);
}

#[test]
fn a_pair_without_a_solution_is_shown_with_both_chains_and_the_versions_there_are() {
    let memory = Memory::default()
        .with("mail", "2.1.0", &["office ^1.3"])
        .with("office", "1.2.0", &[])
        .with("office", "1.4.0", &[])
        .with("office", "2.0.0", &[]);
    assert_eq!(
        memory.resolve(&["mail ^2", "office =1.2.0"]).unwrap_err(),
        "no version of https://host/office.git fits both:
  project -> office =1.2.0
  project -> mail ^2 (2.1.0) -> office ^1.3
its versions are 2.0.0, 1.4.0, 1.2.0"
    );
}

#[test]
fn the_pair_shown_has_no_solution_even_if_another_one_was_met_first() {
    let memory = Memory::default()
        .with("a", "1.0.0", &["sizes ^1"])
        .with("b", "1.0.0", &["sizes =1.1.0"])
        .with("c", "1.0.0", &["sizes =1.0.0"])
        .with("sizes", "1.0.0", &[])
        .with("sizes", "1.1.0", &[])
        .with("sizes", "1.2.0", &[]);
    let problem = memory.resolve(&["a ^1", "b ^1", "c ^1"]).unwrap_err();
    assert!(problem.contains("-> b ^1 (1.0.0) -> sizes =1.1.0\n"), "{problem}");
    assert!(problem.contains("-> c ^1 (1.0.0) -> sizes =1.0.0\n"), "{problem}");
}

#[test]
fn a_requirement_that_nothing_meets_lists_the_newest_versions() {
    let mut memory = Memory::default().with("a", "1.0.0", &["sizes ^3"]);
    for minor in 0..14 {
        memory = memory.with("sizes", &format!("1.{minor}.0"), &[]);
    }
    assert_eq!(
        memory.resolve(&["a ^1"]).unwrap_err(),
        "no version of https://host/sizes.git meets ^3:
  project -> a ^1 (1.0.0) -> sizes ^3
its versions are 1.13.0, 1.12.0, 1.11.0, 1.10.0, 1.9.0, 1.8.0, 1.7.0, 1.6.0, 1.5.0, 1.4.0, and 4 older ones"
    );
    let problem = memory.resolve(&["none ^1"]).unwrap_err();
    assert!(
        problem.starts_with("https://host/none.git has no versions, which are tags"),
        "{problem}"
    );
}

#[test]
fn a_revision_holds_for_all_who_accept_its_version() {
    let memory = Memory::default()
        .with("a", "1.0.0", &["sizes ^1.1"])
        .with("b", "1.0.0", &["sizes rev main"])
        .with("sizes", "1.1.0", &[])
        .with("sizes", "1.9.0", &[])
        .with("sizes", "2.0.0", &[])
        .with_revision("sizes", "main", "1.2.0", &[])
        .with_revision("sizes", "dev", "1.3.0", &[]);
    for wanted in [&["a ^1", "b ^1"][..], &["a ^1", "sizes rev main"], &["sizes rev main"]] {
        let resolution = memory.resolve(wanted).unwrap();
        let id = resolution.packages.keys().find(|id| id.name == "sizes").unwrap();
        assert_eq!(id.version, Version::new(1, 2, 0), "{wanted:?}");
        let ResolvedSource::Repository { reference, commit, .. } = &resolution.packages[id].source
        else {
            panic!()
        };
        assert_eq!(*reference, Reference::Revision("main".into()));
        assert_eq!(commit, "sizes-main-commit");
    }
    let both = memory.resolve(&["sizes ^2", "sizes1 rev main"]).unwrap();
    assert_eq!(ids(&both), ["sizes 1.2.0", "sizes 2.0.0"]);
    for (wanted, expected) in [
        (["sizes ^1.4", "sizes1 rev main"], "sizes1 rev main"),
        (["sizes rev dev", "b ^1"], "b ^1 (1.0.0) -> sizes rev main"),
    ] {
        let problem = memory.resolve(&wanted).unwrap_err();
        assert!(
            problem.starts_with("no version of https://host/sizes.git fits both:\n"),
            "{problem}"
        );
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn a_revision_that_only_a_version_given_up_names_is_not_used() {
    let memory = Memory::default()
        .with("a", "1.0.0", &["sizes ^1"])
        .with("b", "1.0.0", &[])
        .with("b", "1.1.0", &["sizes rev main", "none =9.0.0"])
        .with("none", "1.0.0", &[])
        .with("sizes", "1.1.0", &[])
        .with_revision("sizes", "main", "1.2.0", &[]);
    let resolution = memory.resolve(&["a ^1", "b ^1"]).unwrap();
    assert_eq!(ids(&resolution), ["a 1.0.0", "b 1.0.0", "sizes 1.1.0"]);
}

#[test]
fn the_manifest_of_a_library_that_is_wrong_is_named_with_its_place() {
    for (manifest, expected) in [
        (
            "verison = 1",
            "library a: https://host/a.git at v1.0.0 (commit a-1.0.0), smbench.toml:1: verison: there is",
        ),
        ("version = \"1.0.0\"", "smbench.toml: it has no name; a library has a name and a version"),
        ("name = \"a\"", "smbench.toml: it has no version; a library has"),
        (
            "name = \"a\"\nversion = \"1.0.1\"",
            "smbench.toml: it states version 1.0.1, and its tag is v1.0.0; require",
        ),
        (
            "[engines]\nsmbench = \">=99\"",
            "smbench.toml:2: engines.smbench: it needs smbench >=99, and this is",
        ),
        (
            &library("a", "1.0.0", &["local ../local"]),
            "smbench.toml:4: dependencies.local: a library from a repository names",
        ),
    ] {
        let mut memory = Memory::default().with("a", "0.1.0", &[]);
        memory.add("a", "v1.0.0", "1.0.0", manifest);
        let problem = memory.resolve(&["a >=0.1"]).unwrap_err();
        assert!(problem.starts_with("library a: https://host/a.git at v1.0.0"), "{problem}");
        assert!(problem.contains(expected), "{problem}");
        let within = memory.with("b", "1.0.0", &["a ^1"]).resolve(&["b ^1"]).unwrap_err();
        assert!(within.starts_with("library b -> a: "), "{within}");
    }
    let mut memory = Memory::default().with("a", "1.0.0", &[]);
    memory.manifests.clear();
    let problem = memory.resolve(&["a ^1"]).unwrap_err();
    assert!(problem.contains("smbench.toml is missing; a library has one"), "{problem}");
}

#[test]
fn an_old_version_without_a_usable_manifest_is_passed_over() {
    let mut memory = Memory::default()
        .with("a", "1.3.0", &["sizes ^2"])
        .with("a", "1.1.0", &["sizes ^1"])
        .with("sizes", "1.0.0", &[]);
    memory.add("a", "v1.2.0", "1.2.0", "name = 3");
    assert_eq!(ids(&memory.resolve(&["a ^1"]).unwrap()), ["a 1.1.0", "sizes 1.0.0"]);
}

#[test]
fn a_circle_of_libraries_is_shown() {
    let memory = Memory::default()
        .with("own", "1.0.0", &["own ^1"])
        .with("a", "1.0.0", &["b ^1"])
        .with("b", "1.0.0", &["c ^1"])
        .with("c", "1.0.0", &["b ^1"]);
    for (wanted, expected) in [
        ("own ^1", ": project -> own 1.0.0 -> own 1.0.0"),
        ("a ^1", ": project -> a 1.0.0 -> b 1.0.0 -> c 1.0.0 -> b 1.0.0"),
    ] {
        let problem = memory.resolve(&[wanted]).unwrap_err();
        assert!(problem.starts_with("a library leads back to itself"), "{problem}");
        assert!(problem.ends_with(expected), "{problem}");
    }
}

#[test]
fn two_libraries_with_one_name_and_version_are_named_with_their_sources() {
    let mut memory = Memory::default().with("a", "1.0.0", &[]);
    memory.add("other", "v1.0.0", "1.0.0", &library("a", "1.0.0", &[]));
    let problem = memory.resolve(&["a ^1", "other ^1"]).unwrap_err();
    assert_eq!(
        problem,
        "two libraries are named a, in compatible versions: a 1.0.0 from https://host/a.git (commit a-1.0.0) and a 1.0.0 from https://host/other.git (commit other-1.0.); name it by one URL, or one path, everywhere"
    );
}

#[test]
fn a_library_that_is_read_in_place_has_dependencies_of_its_own() {
    let place = tempfile::tempdir().unwrap();
    let project = place.path().join("project");
    let memory = Memory::default().with("sizes", "1.0.0", &[]).with("sizes", "1.1.0", &[]);
    let resolved = |wanted: &[&str]| {
        let manifest = Manifest::parse(&dependencies(wanted), "smbench.toml").unwrap();
        resolve(&manifest, &project, None, &Update::Nothing, &memory)
    };
    for (directory, manifest) in [
        ("project/lib", library("lib", "0.1.0", &["sizes =1.0.0", "near ../../near"])),
        ("near", library("near", "0.2.0", &["sizes ^1"])),
        ("back", library("back", "0.2.0", &["project ../project"])),
        ("nameless", "version = \"1.0.0\"".into()),
    ] {
        fs::create_dir_all(place.path().join(directory)).unwrap();
        fs::write(place.path().join(directory).join("smbench.toml"), manifest).unwrap();
    }
    let resolution = resolved(&["lib ./lib", "near ../near", "sizes ^1"]).unwrap();
    assert_eq!(ids(&resolution), ["lib 0.1.0", "near 0.2.0", "sizes 1.0.0"]);
    let near = &resolution.packages[&resolution.dependencies["near"]];
    assert_eq!(near.source, ResolvedSource::Directory("../near".into()));
    for (wanted, expected) in [
        (
            "back ../back",
            "a library leads back to itself through its dependencies, so none of them can be loaded first: project -> back 0.2.0 -> project",
        ),
        (
            "self_ ./",
            "a library leads back to itself through its dependencies, so none of them can be loaded first: project -> project",
        ),
        ("gone ../gone", "library gone: there is no library in ../gone: it has no smbench.toml; "),
        ("nameless ../nameless", "library nameless: ../nameless/smbench.toml: it has no name; "),
    ] {
        let problem = resolved(&[wanted]).unwrap_err();
        assert!(problem.starts_with(expected), "{problem}");
    }
}

#[test]
fn a_search_without_a_foreseeable_end_is_given_up() {
    // Each of ten pigeons needs one of nine holes for itself.
    let mut memory = Memory::default();
    let holes = ["ha", "hb", "hc", "hd", "he", "hf", "hg", "hh", "hi"];
    let pigeons = ["pa", "pb", "pc", "pd", "pe", "pf", "pg", "ph", "pi", "pj"];
    for (number, pigeon) in pigeons.iter().enumerate() {
        for (place, hole) in holes.iter().enumerate() {
            memory =
                memory.with(pigeon, &format!("1.{place}.0"), &[&format!("{hole} =1.{number}.0")]);
            if number == 0 {
                for all in 0..pigeons.len() {
                    memory = memory.with(hole, &format!("1.{all}.0"), &[]);
                }
            }
        }
    }
    let wanted: Vec<String> = pigeons.iter().map(|pigeon| format!("{pigeon} ^1")).collect();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let problem = memory.resolve(&wanted).unwrap_err();
    assert!(
        problem.starts_with("the search for versions that fit was given up after"),
        "{problem}"
    );
    assert!(memory.resolve(&wanted[1..]).is_ok(), "nine pigeons have a hole each");
}

#[test]
fn a_lock_needs_the_hash_of_each_package() {
    let memory = Memory::default().with("a", "1.0.0", &[]);
    let resolution = memory.resolve(&["a ^1"]).unwrap();
    assert_eq!(resolution.into_lock(&BTreeMap::new()), Err("a 1.0.0 has no files".into()));
}

const VERSIONS: [&str; 4] = ["0.1.0", "1.0.0", "1.1.0", "2.0.0"];
const REQUIREMENTS: [&str; 8] = ["^1", "=1.0.0", "=1.1.0", "^2", ">=1", "<2", "^0.1", "=3.0.0"];
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// For each repository, for each of [`VERSIONS`]: None, or its dependencies on later repositories.
type Universe = Vec<Vec<Option<Vec<(usize, usize)>>>>;
/// Returns whether a version of a repository can be added to others, all given by their indices.
type Fits<'a> = &'a dyn Fn(&[(usize, usize)], (usize, usize)) -> bool;
/// Returns whether versions satisfy the project.
type Done<'a> = &'a dyn Fn(&[(usize, usize)]) -> bool;

fn wanted(edges: &[(usize, usize)]) -> Vec<String> {
    let edges: BTreeMap<usize, usize> = edges.iter().copied().collect();
    edges.iter().map(|(to, it)| format!("{} {}", NAMES[*to], REQUIREMENTS[*it])).collect()
}

fn universe() -> impl Strategy<Value = Universe> {
    let library = |own: usize| {
        let edge = (own + 1..NAMES.len().max(own + 2), 0..REQUIREMENTS.len());
        let edges = prop::collection::vec(edge, 0..3).prop_map(move |edges| {
            edges.into_iter().filter(|(to, _)| *to < NAMES.len()).collect::<Vec<_>>()
        });
        prop::collection::vec(prop::option::weighted(0.7, edges), VERSIONS.len())
    };
    (0..NAMES.len()).map(library).collect::<Vec<_>>()
}

/// Returns whether some choice of at most one version of each range satisfies all its own
/// requirements and those of the project.
fn has_solution(universe: &Universe, root: &[(usize, usize)]) -> bool {
    let ranges: Vec<(usize, Vec<usize>)> = (0..NAMES.len())
        .flat_map(|name| [vec![0], vec![1, 2], vec![3]].map(|versions| (name, versions)))
        .collect();
    let meets = |version: usize, requirement: usize| {
        let requirement = VersionReq::parse(REQUIREMENTS[requirement]).unwrap();
        requirement.matches(&Version::parse(VERSIONS[version]).unwrap())
    };
    // Repositories depend on later ones only, so the last ones are decided first.
    fn all(
        ranges: &[(usize, Vec<usize>)],
        chosen: &mut Vec<(usize, usize)>,
        fits: Fits,
        done: Done,
    ) -> bool {
        let Some(((name, versions), rest)) = ranges.split_last() else { return done(chosen) };
        if all(rest, chosen, fits, done) {
            return true;
        }
        for version in versions {
            if fits(chosen, (*name, *version)) {
                chosen.push((*name, *version));
                if all(rest, chosen, fits, done) {
                    return true;
                }
                chosen.pop();
            }
        }
        false
    }
    let met = |chosen: &[(usize, usize)], edges: &[(usize, usize)]| {
        let edges: BTreeMap<usize, usize> = edges.iter().copied().collect();
        edges.iter().all(|(to, requirement)| {
            chosen.iter().any(|(name, version)| name == to && meets(*version, *requirement))
        })
    };
    let fits = |chosen: &[(usize, usize)], (name, version): (usize, usize)| {
        universe[name][version].as_ref().is_some_and(|edges| met(chosen, edges))
    };
    all(&ranges, &mut Vec::new(), &fits, &|chosen| met(chosen, root))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_resolver_finds_a_solution_if_there_is_one(
        universe in universe(),
        root in prop::collection::vec((0..NAMES.len(), 0..REQUIREMENTS.len()), 1..4),
    ) {
        let mut memory = Memory::default();
        for (name, versions) in universe.iter().enumerate() {
            for (version, edges) in versions.iter().enumerate() {
                if let Some(edges) = edges {
                    let wanted = wanted(edges);
                    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
                    memory = memory.with(NAMES[name], VERSIONS[version], &wanted);
                }
            }
        }
        let wanted = wanted(&root);
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        match memory.resolve(&wanted) {
            Ok(resolution) => {
                let mut ranges = BTreeSet::new();
                for id in resolution.packages.keys() {
                    prop_assert!(ranges.insert((&id.name, CompatibleRange::of(&id.version))));
                }
                let text = dependencies(&wanted);
                let mut packages = vec![(text, &resolution.dependencies)];
                for (id, package) in &resolution.packages {
                    let commit = format!("{}-{}", id.name, id.version);
                    let manifest = &memory.manifests[&(url(&id.name), commit)];
                    packages.push((manifest.clone(), &package.dependencies));
                }
                for (manifest, aliases) in packages {
                    let manifest = Manifest::parse(&manifest, "").unwrap();
                    prop_assert_eq!(manifest.dependencies.len(), aliases.len());
                    for (alias, dependency) in manifest.dependencies {
                        let crate::project::manifest::DependencySource::Repository {
                            wanted: crate::project::manifest::Wanted::Version(requirement), ..
                        } = dependency.source else { panic!() };
                        let id = &aliases[&alias];
                        prop_assert!(id.name == alias && requirement.matches(&id.version));
                        prop_assert!(resolution.packages.contains_key(id));
                    }
                }
            }
            Err(problem) => {
                prop_assert!(!has_solution(&universe, &root), "{}", problem);
            }
        }
    }
}
