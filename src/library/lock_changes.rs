//! The difference between two locks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::lock::{Lock, LockedPackage, LockedSource, PackageId};
use super::repository_url::shown_url;
use super::version_search::{CompatibleRange, short};

/// One difference, as `smbench lib` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockChange {
    Added(PackageId),
    Removed(PackageId),
    /// Another version of a package.
    Moved {
        from: PackageId,
        to: PackageId,
    },
    /// Other content of the same version, such as that of a branch, or another source of it.
    Content {
        id: PackageId,
        from: String,
        to: String,
    },
}

impl fmt::Display for LockChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockChange::Added(id) => write!(f, "+ {id}"),
            LockChange::Removed(id) => write!(f, "- {id}"),
            LockChange::Moved { from, to } => write!(f, "{from} -> {}", to.version),
            LockChange::Content { id, from, to } => write!(f, "{id}: {from} -> {to}"),
        }
    }
}

/// Returns the differences, those of packages that stay first.
pub fn changes(before: &Lock, after: &Lock) -> Vec<LockChange> {
    let mut changes = Vec::new();
    for (id, package) in &after.packages {
        let Some(old) = before.packages.get(id).filter(|old| old.source != package.source) else {
            continue;
        };
        let (from, to) = match (&old.source, &package.source) {
            (
                LockedSource::Repository { repo, commit: from, .. },
                LockedSource::Repository { repo: of, commit: to, .. },
            ) if repo == of => (format!("commit {}", short(from)), short(to).into()),
            _ => (described(old), described(package)),
        };
        changes.push(LockChange::Content { id: id.clone(), from, to });
    }
    let only = |one: &Lock, other: &Lock| -> BTreeSet<PackageId> {
        one.packages.keys().filter(|id| !other.packages.contains_key(id)).cloned().collect()
    };
    let (mut removed, mut added) = (only(before, after), only(after, before));
    let by_range = |id: &PackageId| (id.name.clone(), Some(CompatibleRange::of(&id.version)));
    let by_name = |id: &PackageId| (id.name.clone(), None);
    for same in [&by_range as &dyn Fn(&PackageId) -> (String, Option<CompatibleRange>), &by_name] {
        let old: BTreeMap<_, _> = removed.iter().map(|id| (same(id), id.clone())).collect();
        for to in added.clone() {
            let from = old.get(&same(&to)).filter(|from| removed.contains(from));
            if let Some(from) = from.cloned() {
                removed.remove(&from);
                added.remove(&to);
                changes.push(LockChange::Moved { from, to });
            }
        }
    }
    changes.extend(added.into_iter().map(LockChange::Added));
    changes.extend(removed.into_iter().map(LockChange::Removed));
    changes
}

fn described(package: &LockedPackage) -> String {
    match &package.source {
        LockedSource::Repository { repo, commit, .. } => {
            format!("{} commit {}", shown_url(repo), short(commit))
        }
        LockedSource::Path(path) => path.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(packages: &[(&str, &str, &str)]) -> Lock {
        let packages = packages.iter().map(|(name, version, path)| {
            let version = semver::Version::parse(version).unwrap();
            let (source, dependencies) = (LockedSource::Path(path.to_string()), BTreeMap::new());
            (PackageId { name: name.to_string(), version }, LockedPackage { source, dependencies })
        });
        Lock { packages: packages.collect(), ..Lock::default() }
    }

    #[test]
    fn the_changes_of_a_lock_are_short_lines() {
        let before = lock(&[
            ("a", "1.0.0", "x"),
            ("a", "2.0.0", "x"),
            ("b", "1.0.0", "x"),
            ("c", "1.0.0", "x"),
            ("d", "1.0.0", "x"),
            ("e", "1.0.0", "x"),
        ]);
        let after = lock(&[
            ("a", "1.1.0", "x"),
            ("a", "2.1.0", "x"),
            ("b", "3.0.0", "x"),
            ("c", "1.0.0", "y"),
            ("e", "1.0.0", "x"),
            ("f", "0.1.0", "x"),
        ]);
        let lines: Vec<String> = changes(&before, &after).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "c 1.0.0: x -> y",
                "a 1.0.0 -> 1.1.0",
                "a 2.0.0 -> 2.1.0",
                "b 1.0.0 -> 3.0.0",
                "+ f 0.1.0",
                "- d 1.0.0"
            ]
        );
        assert_eq!(changes(&after, &after), []);
    }
}
