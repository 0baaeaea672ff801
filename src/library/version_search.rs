//! The search for versions that satisfy all requirements.
//!
//! An edge is one dependency of one manifest. Edges are decided in the order in which they were
//! found, from the project down. Deciding one chooses a package, or takes the one that was chosen
//! before for the same repository and the same range of compatible versions, and adds the edges of
//! a new package. An edge that nothing satisfies sends the search back to the last decision that had
//! a part in it (conflict-directed backjumping).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use semver::{Version, VersionReq};

use super::lock::{MAX_PACKAGES, Reference};
use super::package_source::PackageSource;
use super::path_package;
use super::repository::TaggedVersion;
use super::repository_url::shown_url;
use crate::project::manifest::{Dependency, DependencySource, MANIFEST, Manifest, Wanted};

/// Maximum number of decisions of a search.
const MAX_STEPS: usize = 50_000;
/// Maximum number of dependencies of all packages together.
const MAX_EDGES: usize = 20_000;
/// Maximum number of manifests that are read from repositories.
const MAX_MANIFESTS: usize = 5_000;
/// Maximum number of versions that an error lists.
const MAX_LISTED: usize = 10;

/// The versions that are compatible with one another: those of one major version, and below 1.0.0
/// those of one minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CompatibleRange {
    major: u64,
    minor: u64,
}

impl CompatibleRange {
    pub fn of(version: &Version) -> CompatibleRange {
        let minor = if version.major == 0 { version.minor } else { 0 };
        CompatibleRange { major: version.major, minor }
    }
}

/// A package of the search. A project has at most one of each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageKey {
    Project,
    Repository(String, CompatibleRange),
    /// The canonical path of a directory.
    Directory(PathBuf),
}

/// A commit of a repository with the version that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionCandidate {
    pub repo: String,
    pub reference: Reference,
    pub commit: String,
    pub version: Version,
}

impl VersionCandidate {
    fn key(&self) -> PackageKey {
        PackageKey::Repository(self.repo.clone(), CompatibleRange::of(&self.version))
    }
}

#[derive(Clone, Debug)]
pub enum ChosenSource {
    Repository(VersionCandidate),
    /// A directory, relative to that of the project.
    Directory(String),
}

/// A package that the search has chosen.
#[derive(Clone, Debug)]
pub struct ChosenPackage {
    pub name: String,
    pub version: Version,
    pub source: ChosenSource,
    /// The edge that chose it.
    by: usize,
}

/// A dependency, and the package that satisfies it.
#[derive(Clone, Debug)]
pub struct DecidedEdge {
    pub from: PackageKey,
    pub alias: String,
    pub is_dev: bool,
    pub to: PackageKey,
}

/// The result of a search.
#[derive(Debug)]
pub struct PackageGraph {
    pub packages: BTreeMap<PackageKey, ChosenPackage>,
    pub edges: Vec<DecidedEdge>,
}

struct Edge {
    from: PackageKey,
    /// The edge that chose the package that has this dependency; None for the project.
    because_of: Option<usize>,
    alias: String,
    is_dev: bool,
    wanted: DependencySource,
}

/// The state of an edge that is being decided.
#[derive(Default)]
struct Frame {
    options: Vec<VersionCandidate>,
    next: usize,
    /// Whether `options` has all that exist.
    is_complete: bool,
    /// The ranges whose package was chosen before and was considered.
    considered: BTreeSet<CompatibleRange>,
    /// Whether an option was taken before.
    was_decided: bool,
    /// The earlier edges that are the reason why options do not fit.
    conflicts: BTreeSet<usize>,
    to: Option<PackageKey>,
    /// The package that this edge chose, and the number of edges before its own ones.
    added: Option<(PackageKey, usize)>,
}

/// The result of trying the options of an edge.
enum Tried {
    Decided,
    NothingLeft,
    /// A revision was found that must be known from the beginning.
    Restart,
}

/// A manifest, or the reason why that of a version cannot be used.
type UsableManifest = Result<Rc<Manifest>, String>;

pub struct VersionSearch<'a> {
    project: &'a Path,
    source: &'a dyn PackageSource,
    /// Candidates that are preferred.
    locked: Vec<VersionCandidate>,
    /// All revisions that were found.
    revisions: Vec<VersionCandidate>,
    /// The revisions that other requirements of their range met too late: these prefer them.
    pins: Vec<VersionCandidate>,
    manifests: HashMap<(String, String), UsableManifest>,
    steps: usize,
    edges: Vec<Edge>,
    frames: Vec<Frame>,
    chosen: BTreeMap<PackageKey, ChosenPackage>,
    /// The first reason that holds for all choices of versions of one repository.
    reason: Option<String>,
    /// A reason that holds for some of them.
    weak_reason: Option<String>,
}

impl<'a> VersionSearch<'a> {
    pub fn new(
        project: &'a Path,
        locked: Vec<VersionCandidate>,
        source: &'a dyn PackageSource,
    ) -> VersionSearch<'a> {
        VersionSearch {
            project,
            source,
            locked,
            revisions: Vec::new(),
            pins: Vec::new(),
            manifests: HashMap::new(),
            steps: 0,
            edges: Vec::new(),
            frames: Vec::new(),
            chosen: BTreeMap::new(),
            reason: None,
            weak_reason: None,
        }
    }

    /// Searches the packages of a project with this manifest.
    ///
    /// # Errors
    /// A message that shows the dependencies for which there is no solution, or what cannot be read.
    pub fn run(&mut self, root: &Manifest) -> Result<PackageGraph, String> {
        loop {
            self.edges.clear();
            self.frames.clear();
            self.chosen.clear();
            self.add_edges(&PackageKey::Project, None, &root.dependencies, false)?;
            self.add_edges(&PackageKey::Project, None, &root.dev_dependencies, true)?;
            if let Some(graph) = self.search()? {
                return Ok(graph);
            }
        }
    }

    /// Returns None if the search must start again.
    fn search(&mut self) -> Result<Option<PackageGraph>, String> {
        loop {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                let obstacle = self.no_solution("none is known");
                return Err(format!(
                    "the search for versions that fit was given up after {MAX_STEPS} steps; require narrower versions in {MANIFEST}. The first obstacle: {obstacle}"
                ));
            }
            if self.frames.len() < self.edges.len() {
                self.frames.push(Frame::default());
            } else if self.has_unfounded_revision() {
                let all = (0..self.edges.len()).collect();
                if !self.jump_back(all) {
                    return Err(self.no_solution("no versions fit one another"));
                }
            } else {
                return Ok(Some(self.graph()));
            }
            loop {
                match self.decide(self.frames.len() - 1)? {
                    Tried::Decided => break,
                    Tried::Restart => return Ok(None),
                    Tried::NothingLeft => {}
                }
                let at = self.frames.len() - 1;
                self.explain(at)?;
                let mut conflicts = std::mem::take(&mut self.frames[at].conflicts);
                conflicts.extend(self.edges[at].because_of);
                if !self.jump_back(conflicts) {
                    return Err(self.no_solution("no versions fit one another"));
                }
            }
        }
    }

    /// Goes back to the last of the decisions in `conflicts` and withdraws it. Returns false if
    /// there is none.
    fn jump_back(&mut self, mut conflicts: BTreeSet<usize>) -> bool {
        let Some(to) = conflicts.pop_last() else { return false };
        while self.frames.len() > to {
            let frame = self.frames.pop().unwrap_or_default();
            if let Some((key, edges)) = &frame.added {
                self.chosen.remove(key);
                self.edges.truncate(*edges);
            }
            if self.frames.len() == to {
                let conflicts = frame.conflicts.into_iter().chain(conflicts).collect();
                self.frames.push(Frame { added: None, to: None, conflicts, ..frame });
                break;
            }
        }
        true
    }

    fn no_solution(&mut self, otherwise: &str) -> String {
        let reason = self.reason.take().or_else(|| self.weak_reason.take());
        reason.unwrap_or_else(|| otherwise.into())
    }

    fn add_edges(
        &mut self,
        from: &PackageKey,
        because_of: Option<usize>,
        dependencies: &BTreeMap<String, Dependency>,
        is_dev: bool,
    ) -> Result<(), String> {
        if self.edges.len() + dependencies.len() > MAX_EDGES {
            return Err(format!("the libraries have more than {MAX_EDGES} dependencies together"));
        }
        for (alias, dependency) in dependencies {
            let (alias, wanted) = (alias.clone(), dependency.source.clone());
            self.edges.push(Edge { from: from.clone(), because_of, alias, is_dev, wanted });
        }
        Ok(())
    }

    /// Chooses the next option for the edge `at`.
    fn decide(&mut self, at: usize) -> Result<Tried, String> {
        match self.edges[at].wanted.clone() {
            DependencySource::Path(path) => self.decide_path(at, &path),
            DependencySource::Repository { repo, wanted: Wanted::Revision(revision) } => {
                self.decide_revision(at, &repo, &revision)
            }
            DependencySource::Repository { repo, wanted: Wanted::Version(requirement) } => {
                self.decide_version(at, &repo, &requirement)
            }
        }
    }

    fn take(&mut self, at: usize, to: PackageKey) -> Tried {
        self.frames[at].to = Some(to);
        self.frames[at].was_decided = true;
        Tried::Decided
    }

    fn choose(
        &mut self,
        at: usize,
        key: PackageKey,
        source: ChosenSource,
        manifest: &Manifest,
    ) -> Result<Tried, String> {
        if self.chosen.len() == MAX_PACKAGES {
            return Err(format!("the project would use more than {MAX_PACKAGES} libraries"));
        }
        let (Some(name), Some(version)) = (manifest.name.clone(), manifest.version.clone()) else {
            return Err(format!("{}: it has no name or no version", manifest.shown));
        };
        self.frames[at].added = Some((key.clone(), self.edges.len()));
        self.add_edges(&key, Some(at), &manifest.dependencies, false)?;
        self.chosen.insert(key.clone(), ChosenPackage { name, version, source, by: at });
        Ok(self.take(at, key))
    }

    fn decide_path(&mut self, at: usize, path: &str) -> Result<Tried, String> {
        if self.frames[at].was_decided {
            return Ok(Tried::NothingLeft);
        }
        let base = match self.chosen.get(&self.edges[at].from).map(|from| &from.source) {
            Some(ChosenSource::Directory(base)) => base.clone(),
            _ => ".".into(),
        };
        let relative = path_package::joined(&base, path);
        let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.into());
        let directory = canonical(&self.project.join(&relative));
        if directory == canonical(self.project) {
            return Ok(self.take(at, PackageKey::Project));
        }
        let key = PackageKey::Directory(directory);
        if self.chosen.contains_key(&key) {
            return Ok(self.take(at, key));
        }
        let manifest = path_package::read(self.project, &relative)
            .map_err(|problem| format!("library {}: {problem}", self.aliases(at)))?;
        self.choose(at, key, ChosenSource::Directory(relative), &manifest)
    }

    fn decide_revision(&mut self, at: usize, repo: &str, revision: &str) -> Result<Tried, String> {
        if self.frames[at].was_decided {
            return Ok(Tried::NothingLeft);
        }
        let candidate = self.revision(at, repo, revision)?;
        let key = candidate.key();
        let Some(chosen) = self.chosen.get(&key) else {
            let manifest = self
                .manifest(&candidate)?
                .map_err(|problem| format!("library {}: {problem}", self.aliases(at)))?;
            return self.choose(at, key, ChosenSource::Repository(candidate), &manifest);
        };
        let by = chosen.by;
        if let ChosenSource::Repository(before) = &chosen.source
            && before.commit == candidate.commit
            && matches!(before.reference, Reference::Revision(_))
            // The manifest of a repository cannot be changed, so that its name for the commit may
            // differ from the one that is locked.
            && (before.reference == candidate.reference
                || matches!(self.edges[at].from, PackageKey::Repository(..)))
        {
            return Ok(self.take(at, key));
        }
        if !self.pins.contains(&candidate) {
            self.pins.push(candidate);
            return Ok(Tried::Restart);
        }
        self.frames[at].conflicts.insert(by);
        Ok(Tried::NothingLeft)
    }

    /// Returns the candidate that a revision names.
    fn revision(
        &mut self,
        at: usize,
        repo: &str,
        revision: &str,
    ) -> Result<VersionCandidate, String> {
        let reference = Reference::Revision(revision.into());
        let is_same = |it: &&VersionCandidate| it.repo == repo && it.reference == reference;
        if let Some(known) = self.revisions.iter().find(is_same) {
            return Ok(known.clone());
        }
        let commit = match self.locked.iter().find(is_same) {
            Some(locked) => locked.commit.clone(),
            None => self.source.commit_of(repo, revision)?,
        };
        let unknown = Version::new(0, 0, 0);
        let candidate = VersionCandidate { repo: repo.into(), reference, commit, version: unknown };
        let manifest = self
            .manifest(&candidate)?
            .map_err(|problem| format!("library {}: {problem}", self.aliases(at)))?;
        let version = manifest.version.clone().unwrap_or(candidate.version);
        let candidate = VersionCandidate { version, ..candidate };
        self.revisions.push(candidate.clone());
        Ok(candidate)
    }

    fn decide_version(
        &mut self,
        at: usize,
        repo: &str,
        requirement: &VersionReq,
    ) -> Result<Tried, String> {
        while let Some(candidate) = self.next_candidate(at, repo, requirement)? {
            let key = candidate.key();
            if let Some(chosen) = self.chosen.get(&key) {
                let frame = &mut self.frames[at];
                if !frame.considered.insert(CompatibleRange::of(&candidate.version)) {
                    continue;
                }
                // Another choice for the range may satisfy this edge better, and is tried later.
                frame.conflicts.insert(chosen.by);
                if requirement.matches(&chosen.version) {
                    return Ok(self.take(at, key));
                }
                continue;
            }
            match self.manifest(&candidate)? {
                Ok(manifest) => {
                    return self.choose(at, key, ChosenSource::Repository(candidate), &manifest);
                }
                Err(problem) => {
                    let problem = format!("library {}: {problem}", self.aliases(at));
                    let frame = &self.frames[at];
                    // The best version is not passed over in silence.
                    if !frame.was_decided && frame.conflicts.is_empty() {
                        return Err(problem);
                    }
                    self.weak_reason.get_or_insert(problem);
                }
            }
        }
        Ok(Tried::NothingLeft)
    }

    /// Returns the next candidate of an edge that meets its requirement: a revision that is pinned,
    /// then the locked version, then all versions, the highest first.
    fn next_candidate(
        &mut self,
        at: usize,
        repo: &str,
        requirement: &VersionReq,
    ) -> Result<Option<VersionCandidate>, String> {
        loop {
            let frame = &mut self.frames[at];
            if let Some(candidate) = frame.options.get(frame.next) {
                frame.next += 1;
                return Ok(Some(candidate.clone()));
            }
            if frame.is_complete {
                return Ok(None);
            }
            let meets =
                |it: &&VersionCandidate| it.repo == repo && requirement.matches(&it.version);
            let is_tag = |it: &&VersionCandidate| matches!(it.reference, Reference::Tag(_));
            let known = self.pins.iter().chain(self.locked.iter().filter(is_tag)).filter(meets);
            if frame.options.is_empty() && known.clone().next().is_some() {
                frame.options = known.cloned().collect();
                continue;
            }
            frame.is_complete = true;
            for tagged in self.source.versions(repo)? {
                let TaggedVersion { tag, version, commit } = tagged;
                let is_known = frame
                    .options
                    .iter()
                    .any(|it| it.version == version && matches!(it.reference, Reference::Tag(_)));
                if requirement.matches(&version) && !is_known {
                    let (repo, reference) = (repo.to_string(), Reference::Tag(tag));
                    frame.options.push(VersionCandidate { repo, reference, commit, version });
                }
            }
        }
    }

    /// Returns the manifest of a candidate, or the reason why it cannot be used. A repository that
    /// cannot be read is an error of the search.
    fn manifest(&mut self, candidate: &VersionCandidate) -> Result<UsableManifest, String> {
        let VersionCandidate { repo, reference, commit, .. } = candidate;
        let at = (repo.clone(), commit.clone());
        if let Some(known) = self.manifests.get(&at) {
            return Ok(known.clone().and_then(|manifest| checked(candidate, manifest)));
        }
        if self.manifests.len() == MAX_MANIFESTS {
            return Err(format!(
                "the search for versions that fit was given up after {MAX_MANIFESTS} manifests; require narrower versions in {MANIFEST}"
            ));
        }
        let text = self.source.manifest(repo, reference, commit)?;
        let read = match text {
            Some(text) => Manifest::parse(&text, &shown(candidate)).map(Rc::new),
            None => Err(format!(
                "{} is missing; a library has one at the root of its repository, with its name and version",
                shown(candidate)
            )),
        };
        self.manifests.insert(at, read.clone());
        Ok(read.and_then(|manifest| checked(candidate, manifest)))
    }

    /// Returns whether a revision was chosen that no edge names: the edge that did was withdrawn.
    fn has_unfounded_revision(&self) -> bool {
        self.chosen.iter().any(|(key, chosen)| {
            let ChosenSource::Repository(VersionCandidate {
                reference: Reference::Revision(_),
                ..
            }) = &chosen.source
            else {
                return false;
            };
            !self.edges.iter().zip(&self.frames).any(|(edge, frame)| {
                let DependencySource::Repository { wanted, .. } = &edge.wanted else {
                    return false;
                };
                frame.to.as_ref() == Some(key) && matches!(wanted, Wanted::Revision(_))
            })
        })
    }

    fn graph(&self) -> PackageGraph {
        let decided = self.edges.iter().zip(&self.frames).filter_map(|(edge, frame)| {
            Some(DecidedEdge {
                from: edge.from.clone(),
                alias: edge.alias.clone(),
                is_dev: edge.is_dev,
                to: frame.to.clone()?,
            })
        });
        PackageGraph { packages: self.chosen.clone(), edges: decided.collect() }
    }

    /// Finds the reason why nothing satisfies the edge `at`, unless one is known.
    fn explain(&mut self, at: usize) -> Result<(), String> {
        let DependencySource::Repository { repo, wanted } = &self.edges[at].wanted else {
            return Ok(());
        };
        if self.reason.is_some() {
            return Ok(());
        }
        let tagged = self.source.versions(repo)?;
        let shown = shown_url(repo);
        let revisions = self.revisions.iter().filter(|it| it.repo == *repo);
        let versions: BTreeSet<&Version> =
            tagged.iter().map(|it| &it.version).chain(revisions.map(|it| &it.version)).collect();
        let meeting = |wanted: &Wanted| -> BTreeSet<&Version> {
            let meets = |version: &Version| match wanted {
                Wanted::Version(requirement) => requirement.matches(version),
                Wanted::Revision(revision) => self.revisions.iter().any(|it| {
                    it.repo == *repo
                        && it.reference == Reference::Revision(revision.clone())
                        && it.version == *version
                }),
            };
            versions.iter().copied().filter(|version| meets(version)).collect()
        };
        let own = meeting(wanted);
        if let (Wanted::Version(requirement), true) = (wanted, own.is_empty()) {
            let chain = self.chain(at);
            self.reason = Some(match tagged.is_empty() {
                true => format!(
                    "{shown} has no versions, which are tags such as v1.2.0; name a tag, a branch or a commit with rev:\n  {chain}"
                ),
                false => format!(
                    "no version of {shown} meets {requirement}:\n  {chain}\nits versions are {}",
                    listed(&tagged)
                ),
            });
            return Ok(());
        }
        let ranges = |versions: &BTreeSet<&Version>| -> BTreeSet<CompatibleRange> {
            versions.iter().map(|version| CompatibleRange::of(version)).collect()
        };
        let mut weak = None;
        for other in 0..at {
            let DependencySource::Repository { repo: of, wanted: also } = &self.edges[other].wanted
            else {
                continue;
            };
            let chosen = self.frames[other].to.as_ref().and_then(|to| self.chosen.get(to));
            let Some(chosen) = chosen.filter(|_| of == repo) else { continue };
            let others = meeting(also);
            let range = BTreeSet::from([CompatibleRange::of(&chosen.version)]);
            if !ranges(&own).is_superset(&range) {
                continue;
            }
            let is_possible = match (wanted, also) {
                (Wanted::Revision(one), Wanted::Revision(two)) => one == two,
                _ => own.intersection(&others).next().is_some(),
            };
            let text = || {
                format!(
                    "no version of {shown} fits both:\n  {}\n  {}\nits versions are {}",
                    self.chain(other),
                    self.chain(at),
                    listed(&tagged)
                )
            };
            if !is_possible && ranges(&own) == range && ranges(&others) == range {
                self.reason = Some(text());
                return Ok(());
            }
            if weak.is_none() && !own.contains(&chosen.version) {
                weak = Some(text());
            }
        }
        self.weak_reason = self.weak_reason.take().or(weak);
        Ok(())
    }

    /// Returns the edges that lead to the edge `at`, from the project down.
    fn path_to(&self, at: usize) -> Vec<usize> {
        let edges = std::iter::successors(Some(at), |at| self.edges[*at].because_of);
        let mut edges: Vec<usize> = edges.collect();
        edges.reverse();
        edges
    }

    fn aliases(&self, at: usize) -> String {
        let aliases = self.path_to(at).into_iter().map(|at| &*self.edges[at].alias);
        aliases.collect::<Vec<_>>().join(" -> ")
    }

    /// Returns the aliases that lead to an edge, from the project down, with what each wants and
    /// the version that was chosen.
    fn chain(&self, at: usize) -> String {
        let mut chain = "project".to_string();
        for on in self.path_to(at) {
            let wanted = match &self.edges[on].wanted {
                DependencySource::Path(path) => path.clone(),
                DependencySource::Repository { wanted: Wanted::Version(it), .. } => it.to_string(),
                DependencySource::Repository { wanted: Wanted::Revision(it), .. } => {
                    format!("rev {it}")
                }
            };
            chain += &format!(" -> {} {wanted}", self.edges[on].alias);
            let to = self.frames.get(on).and_then(|frame| frame.to.as_ref());
            let chosen = to.and_then(|to| self.chosen.get(to));
            if let Some(chosen) = chosen.filter(|_| on != at) {
                chain += &format!(" ({})", chosen.version);
            }
        }
        chain
    }
}

fn shown(candidate: &VersionCandidate) -> String {
    let (Reference::Tag(at) | Reference::Revision(at)) = &candidate.reference;
    let at = match candidate.commit.starts_with(at) {
        true => at.clone(),
        false => format!("{at} (commit {})", short(&candidate.commit)),
    };
    format!("{} at {at}, {MANIFEST}", shown_url(&candidate.repo))
}

/// Returns the first digits of a commit.
pub fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}

/// Checks the manifest of a package from a repository.
fn checked(candidate: &VersionCandidate, manifest: Rc<Manifest>) -> UsableManifest {
    let shown = shown(candidate);
    if let Some(missing) = path_package::missing(&manifest) {
        return Err(format!("{shown}: it has no {missing}; a library has a name and a version"));
    }
    if let (Reference::Tag(tag), Some(stated)) = (&candidate.reference, &manifest.version)
        && *stated != candidate.version
    {
        return Err(format!(
            "{shown}: it states version {stated}, and its tag is {tag}; require another version, and tell the authors of the library"
        ));
    }
    let is_path = |it: &Dependency| matches!(it.source, DependencySource::Path(_));
    if let Some((alias, found)) = manifest.dependencies.iter().find(|(_, it)| is_path(it)) {
        return Err(format!(
            "{shown}:{}: dependencies.{alias}: a library from a repository names its libraries by repository, not by path",
            found.line
        ));
    }
    Ok(manifest)
}

fn listed(versions: &[TaggedVersion]) -> String {
    let mut listed: Vec<String> =
        versions.iter().take(MAX_LISTED).map(|it| it.version.to_string()).collect();
    if let Some(more) = versions.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        listed.push(format!("and {more} older ones"));
    }
    match listed.is_empty() {
        true => "none".into(),
        false => listed.join(", "),
    }
}
