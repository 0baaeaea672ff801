//! The resolver: chooses the packages of a project from the requirements of its manifest and of
//! theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::lock::{Lock, LockedPackage, LockedSource, PackageId, Reference};
use super::package_source::PackageSource;
use super::repository_url::shown_url;
use super::version_search::{
    ChosenSource, CompatibleRange, PackageGraph, PackageKey, VersionCandidate, VersionSearch, short,
};
use crate::project::manifest::Manifest;
use crate::protocol::nearest;

/// The locked packages that may change although they still fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    Nothing,
    Everything,
    /// Packages by the alias in the project's manifest, or by their name.
    Only(BTreeSet<String>),
}

/// The packages of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    pub packages: BTreeMap<PackageId, ResolvedPackage>,
    /// The packages that the project names itself, by alias.
    pub dependencies: BTreeMap<String, PackageId>,
    /// The packages that only the tests of the project use, by alias.
    pub dev_dependencies: BTreeMap<String, PackageId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedPackage {
    pub source: ResolvedSource,
    /// The packages that it names, by alias.
    pub dependencies: BTreeMap<String, PackageId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedSource {
    Repository {
        repo: String,
        reference: Reference,
        commit: String,
    },
    /// A directory, relative to that of the project.
    Directory(String),
}

impl Resolution {
    /// Returns the lock. `hashes` has the hash of the files of each package from a repository.
    ///
    /// # Errors
    /// A message that names a package without a hash.
    pub fn into_lock(self, hashes: &BTreeMap<PackageId, String>) -> Result<Lock, String> {
        let locked = |(id, package): (PackageId, ResolvedPackage)| {
            let source = match package.source {
                ResolvedSource::Directory(path) => LockedSource::Path(path),
                ResolvedSource::Repository { repo, reference, commit } => {
                    let hash = hashes.get(&id).ok_or_else(|| format!("{id} has no files"))?;
                    LockedSource::Repository { repo, reference, commit, hash: hash.clone() }
                }
            };
            Ok((id, LockedPackage { source, dependencies: package.dependencies }))
        };
        let packages = self.packages.into_iter().map(locked).collect::<Result<_, String>>()?;
        let (dependencies, dev_dependencies) = (self.dependencies, self.dev_dependencies);
        Ok(Lock { packages, dependencies, dev_dependencies })
    }
}

/// Chooses the packages of the project in `directory` with the manifest `root`. The packages of
/// `previous` that still fit stay, except those that `update` names.
///
/// Requirements on one repository that are compatible with one another lead to one version, the
/// highest that satisfies all of them; versions that are not compatible stand side by side.
///
/// # Errors
/// A message that shows the dependencies for which there is no solution, the circle of dependencies,
/// or what cannot be read.
pub fn resolve(
    root: &Manifest,
    directory: &Path,
    previous: Option<&Lock>,
    update: &Update,
    source: &dyn PackageSource,
) -> Result<Resolution, String> {
    let locked = match previous {
        Some(previous) => kept(root, previous, update)?,
        None => {
            kept(root, &Lock::default(), update)?;
            Vec::new()
        }
    };
    let graph = VersionSearch::new(directory, locked, source).run(root)?;
    check_circles(&graph)?;
    resolution(graph)
}

/// Returns the locked packages that stay if they fit, the highest version first.
fn kept(
    root: &Manifest,
    previous: &Lock,
    update: &Update,
) -> Result<Vec<VersionCandidate>, String> {
    let mut updated: BTreeSet<&PackageId> = BTreeSet::new();
    if let Update::Only(names) = update {
        let declared = || root.dependencies.iter().chain(&root.dev_dependencies);
        for name in names {
            let by_alias = previous.dependencies.get(name);
            let by_alias = by_alias.or_else(|| previous.dev_dependencies.get(name));
            let by_name = previous.packages.keys().filter(|id| id.name == *name);
            let found: Vec<&PackageId> = by_alias.into_iter().chain(by_name).collect();
            if found.is_empty() && !declared().any(|(alias, _)| alias == name) {
                let known = declared().map(|(alias, _)| &**alias);
                let known: Vec<&str> =
                    known.chain(previous.packages.keys().map(|id| &*id.name)).collect();
                let meant = match nearest(name, known.iter().copied()) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => format!("the libraries are {}", known.join(", ")),
                };
                return Err(format!("the project has no library {name}; {meant}"));
            }
            updated.extend(found);
        }
    }
    if *update == Update::Everything {
        return Ok(Vec::new());
    }
    let stays = previous.packages.iter().rev().filter(|(id, _)| !updated.contains(id));
    let mut stays: Vec<VersionCandidate> = stays
        .filter_map(|(id, package)| match &package.source {
            LockedSource::Repository { repo, reference, commit, .. } => Some(VersionCandidate {
                repo: repo.clone(),
                reference: reference.clone(),
                commit: commit.clone(),
                version: id.version.clone(),
            }),
            LockedSource::Path(_) => None,
        })
        .collect();
    stays.sort_by(|one, two| two.version.cmp(&one.version));
    Ok(stays)
}

fn id_of(graph: &PackageGraph, key: &PackageKey) -> Option<PackageId> {
    let package = graph.packages.get(key)?;
    Some(PackageId { name: package.name.clone(), version: package.version.clone() })
}

/// Checks that no package leads back to itself.
fn check_circles(graph: &PackageGraph) -> Result<(), String> {
    let mut uses: BTreeMap<&PackageKey, Vec<&PackageKey>> = BTreeMap::new();
    for edge in &graph.edges {
        uses.entry(&edge.from).or_default().push(&edge.to);
    }
    let next_of = |key| uses.get(key).map_or(&[][..], Vec::as_slice).iter();
    let mut done: BTreeSet<&PackageKey> = BTreeSet::new();
    let mut path = vec![(&PackageKey::Project, next_of(&PackageKey::Project))];
    while let Some((key, next)) = path.last_mut() {
        let Some(to) = next.next() else {
            done.insert(key);
            path.pop();
            continue;
        };
        if path.iter().any(|(on, _)| on == to) {
            let named = |key: &PackageKey| {
                id_of(graph, key).map_or("project".to_string(), |id| id.to_string())
            };
            let from = path.iter().map(|(key, _)| *key);
            let chain: Vec<String> = from.chain([*to]).map(named).collect();
            return Err(format!(
                "a library leads back to itself through its dependencies, so none of them can be loaded first: {}",
                chain.join(" -> ")
            ));
        }
        if !done.contains(to) {
            path.push((to, next_of(to)));
        }
    }
    Ok(())
}

fn described(source: &ChosenSource) -> String {
    match source {
        ChosenSource::Directory(path) => path.clone(),
        ChosenSource::Repository(candidate) => {
            format!("{} (commit {})", shown_url(&candidate.repo), short(&candidate.commit))
        }
    }
}

fn resolution(graph: PackageGraph) -> Result<Resolution, String> {
    let mut resolution = Resolution::default();
    let mut sources: BTreeMap<(String, CompatibleRange), (PackageId, &ChosenSource)> =
        BTreeMap::new();
    for (key, package) in &graph.packages {
        let Some(id) = id_of(&graph, key) else { continue };
        let range = (id.name.clone(), CompatibleRange::of(&id.version));
        if let Some((other_id, other)) = sources.insert(range, (id.clone(), &package.source)) {
            return Err(format!(
                "two libraries are named {}, in compatible versions: {other_id} from {} and {id} from {}; name it by one URL, or one path, everywhere",
                id.name,
                described(other),
                described(&package.source)
            ));
        }
        let source = match package.source.clone() {
            ChosenSource::Directory(path) => ResolvedSource::Directory(path),
            ChosenSource::Repository(VersionCandidate { repo, reference, commit, .. }) => {
                ResolvedSource::Repository { repo, reference, commit }
            }
        };
        let dependencies = BTreeMap::new();
        resolution.packages.insert(id, ResolvedPackage { source, dependencies });
    }
    for edge in &graph.edges {
        let Some(to) = id_of(&graph, &edge.to) else { continue };
        let from = id_of(&graph, &edge.from);
        let aliases = match from.and_then(|from| resolution.packages.get_mut(&from)) {
            Some(package) => &mut package.dependencies,
            None if edge.is_dev => &mut resolution.dev_dependencies,
            None => &mut resolution.dependencies,
        };
        aliases.insert(edge.alias.clone(), to);
    }
    Ok(resolution)
}
