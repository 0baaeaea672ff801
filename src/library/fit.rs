//! The check that a lock fits the manifests of a project.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use super::lock::{LOCK, Lock, LockedPackage, LockedSource, PackageId, Reference};
use super::path_package;
use super::repository_url::shown_url;
use crate::ir::directory::{Directory, OpenError};
use crate::project::manifest::{
    Dependency, DependencySource, MANIFEST, MAX_MANIFEST_BYTES, Manifest, Wanted,
};

/// Checks that the lock of the project in the directory `project` has what its manifest and those of
/// the libraries that are read in place name.
///
/// # Errors
/// A message that names the first alias that does not fit, and how to make the lock anew.
pub fn check_fits(lock: &Lock, project: &Path, manifest: &Manifest) -> Result<(), String> {
    let root = Place { manifest, directory: "." };
    let mut checked = BTreeSet::new();
    root.check(lock, project, &manifest.dependencies, &lock.dependencies, &mut checked)?;
    root.check(lock, project, &manifest.dev_dependencies, &lock.dev_dependencies, &mut checked)
}

/// Reads the lock of the project in the directory `project`, and checks that it fits the manifest.
/// Returns None if there is none and the manifest names no libraries. `read` is called with each
/// file that was read or looked for.
///
/// # Errors
/// A message if the lock is missing or wrong, or does not fit.
pub fn fitting_lock(
    project: &Path,
    manifest: &Manifest,
    read: &mut dyn FnMut(&Path),
) -> Result<Option<Lock>, String> {
    let path = project.join(LOCK);
    if !manifest.names_libraries() && path.symlink_metadata().is_err() {
        return Ok(None);
    }
    read(&path);
    let shown = Path::new(&manifest.shown).with_file_name(LOCK).display().to_string();
    let Some(lock) = Lock::read(project, &shown)? else {
        return match manifest.names_libraries() {
            true => Err(format!(
                "{} names libraries, and there is no {shown}: run smbench lib lock",
                manifest.shown
            )),
            false => Ok(None),
        };
    };
    for package in lock.packages.values() {
        if let LockedSource::Path(path) = &package.source {
            let directory = project.join(path);
            let real = directory.canonicalize().unwrap_or(directory);
            read(&real.join(MANIFEST));
        }
    }
    check_fits(&lock, project, manifest)?;
    Ok(Some(lock))
}

/// Reads the manifest in the directory of a package's files.
///
/// # Errors
/// The reason why it cannot be read.
pub fn manifest_of(files: &Directory) -> Result<String, OpenError> {
    let (file, _) = files.regular_file(MANIFEST.as_ref())?;
    let mut text = String::new();
    let read = file.take(MAX_MANIFEST_BYTES + 1).read_to_string(&mut text);
    read.map(|_| text).map_err(OpenError::Unreadable)
}

/// Checks that what the lock says of a package from a repository is what the package's own manifest
/// says. `files` are the files of the package.
///
/// # Errors
/// A message that names the package and what does not fit, and how to make the lock anew.
pub fn check_package(
    lock: &Lock,
    id: &PackageId,
    package: &LockedPackage,
    files: &Directory,
) -> Result<(), String> {
    let shown = format!("{MANIFEST} of {id}");
    let text = manifest_of(files).map_err(|error| format!("cannot read the {shown}: {error}"))?;
    let manifest = Manifest::parse(&text, &shown)?;
    if (manifest.name.as_ref(), manifest.version.as_ref()) != (Some(&id.name), Some(&id.version)) {
        return Err(format!(
            "{LOCK} does not fit the {shown}, which states another name or version; run smbench lib lock"
        ));
    }
    let place = Place { manifest: &manifest, directory: "." };
    let (declared, locked) = (&manifest.dependencies, &package.dependencies);
    // A package from a repository names no directories, so that the project's does not matter.
    place.check(lock, Path::new("."), declared, locked, &mut BTreeSet::new())
}

/// A manifest, and its directory relative to that of the project.
struct Place<'a> {
    manifest: &'a Manifest,
    directory: &'a str,
}

impl Place<'_> {
    fn check(
        &self,
        lock: &Lock,
        project: &Path,
        declared: &BTreeMap<String, Dependency>,
        locked: &BTreeMap<String, PackageId>,
        checked: &mut BTreeSet<PackageId>,
    ) -> Result<(), String> {
        let unfit = |alias: &str, reason: &str| {
            format!(
                "{LOCK} does not fit {}: {alias}: {reason}; run smbench lib lock",
                self.manifest.shown
            )
        };
        if let Some(alias) = locked.keys().find(|alias| !declared.contains_key(*alias)) {
            return Err(unfit(alias, "the manifest does not name it"));
        }
        for (alias, dependency) in declared {
            let Some(id) = locked.get(alias) else {
                return Err(unfit(alias, "the lock does not have it"));
            };
            let Some(package) = lock.packages.get(id) else {
                return Err(unfit(alias, "the lock does not have its package"));
            };
            match (&dependency.source, &package.source) {
                (
                    DependencySource::Repository { repo, wanted },
                    LockedSource::Repository { repo: of, reference, .. },
                ) => {
                    if repo != of {
                        return Err(unfit(
                            alias,
                            &format!("the lock has it from {}", shown_url(of)),
                        ));
                    }
                    match wanted {
                        Wanted::Version(requirement) if requirement.matches(&id.version) => {}
                        Wanted::Version(requirement) => {
                            let has = format!(
                                "it requires {requirement}, and the lock has {}",
                                id.version
                            );
                            return Err(unfit(alias, &has));
                        }
                        Wanted::Revision(revision)
                            if *reference == Reference::Revision(revision.clone()) => {}
                        Wanted::Revision(revision) => {
                            let (Reference::Tag(has) | Reference::Revision(has)) = reference;
                            let has = format!(
                                "it requires the revision {revision}, and the lock has {has}"
                            );
                            return Err(unfit(alias, &has));
                        }
                    }
                }
                (DependencySource::Path(path), LockedSource::Path(at)) => {
                    let path = path_package::joined(self.directory, path);
                    if path != *at {
                        return Err(unfit(alias, &format!("the lock has it at {at}")));
                    }
                    if !checked.insert(id.clone()) {
                        continue;
                    }
                    let manifest = path_package::read(project, &path)?;
                    let is = (manifest.name.as_ref(), manifest.version.as_ref());
                    if is != (Some(&id.name), Some(&id.version)) {
                        let has =
                            format!("the lock has {id}, and {} says otherwise", manifest.shown);
                        return Err(unfit(alias, &has));
                    }
                    Place { manifest: &manifest, directory: &path }.check(
                        lock,
                        project,
                        &manifest.dependencies,
                        &package.dependencies,
                        checked,
                    )?;
                }
                (DependencySource::Repository { .. }, LockedSource::Path(at)) => {
                    return Err(unfit(alias, &format!("the lock has it at {at}")));
                }
                (DependencySource::Path(_), LockedSource::Repository { repo, .. }) => {
                    return Err(unfit(alias, &format!("the lock has it from {}", shown_url(repo))));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lock() -> Lock {
        Lock::parse(
            &format!(
                "version = \"1\"
[[packages]]
name = \"office\"
version = \"1.2.0\"
repo = \"file:///office\"
tag = \"v1.2.0\"
commit = \"{commit}\"
hash = \"{hash}\"
[[packages]]
name = \"mail\"
version = \"0.1.0\"
repo = \"file:///mail\"
rev = \"main\"
commit = \"{commit}\"
hash = \"{hash}\"
[[packages]]
name = \"local\"
version = \"0.1.0\"
path = \"lib/local\"
dependencies = {{ office = \"office 1.2.0\" }}
[dependencies]
office = \"office 1.2.0\"
local = \"local 0.1.0\"
[dev_dependencies]
mail = \"mail 0.1.0\"
",
                commit = "a".repeat(40),
                hash = "b".repeat(64)
            ),
            "smbench.lock",
        )
        .unwrap()
    }

    const PROJECT: &str = "[dependencies]
office = { repo = \"file:///office\", version = \"^1.1\" }
local = { path = \"./lib/local\" }
[dev_dependencies]
mail = { repo = \"file:///mail\", rev = \"main\" }
";
    const LOCAL: &str = "name = \"local\"
version = \"0.1.0\"
[dependencies]
office = { repo = \"file:///office\", version = \"1\" }
";

    fn fits(lock: &Lock, project: &str, local: &str) -> Result<(), String> {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("lib/local")).unwrap();
        fs::write(place.path().join("lib/local/smbench.toml"), local).unwrap();
        check_fits(lock, place.path(), &Manifest::parse(project, "smbench.toml").unwrap())
    }

    #[test]
    fn a_lock_fits_until_a_manifest_wants_something_else() {
        assert_eq!(fits(&lock(), PROJECT, LOCAL), Ok(()));
        for (from, to, expected) in [
            ("^1.1", "^1.3", "smbench.toml: office: it requires ^1.3, and the lock has 1.2.0; run"),
            ("///office", "///other", "smbench.toml: office: the lock has it from file:///office"),
            (
                "rev = \"main\"",
                "rev = \"dev\"",
                "mail: it requires the revision dev, and the lock has",
            ),
            (
                "rev = \"main\"",
                "version = \"0.2\"",
                "mail: it requires ^0.2, and the lock has 0.1.0",
            ),
            ("./lib/local", "./lib/other", "local: the lock has it at lib/local; run smbench lib"),
            ("\nmail = ", "\npost = ", "mail: the manifest does not name it; run smbench lib lock"),
            ("[dev_", "sizes = { path = \"x\" }\n[dev_", "sizes: the lock does not have it"),
        ] {
            let changed = PROJECT.replacen(from, to, 1);
            assert_ne!(changed, PROJECT);
            let problem = fits(&lock(), &changed, LOCAL).unwrap_err();
            assert!(problem.starts_with("smbench.lock does not fit"), "{problem}");
            assert!(problem.contains(expected), "{from}: {problem}");
        }
    }

    #[test]
    fn the_manifest_of_a_library_that_is_read_in_place_counts_too() {
        for (from, to, expected) in [
            (
                "version = \"1\"",
                "version = \"2\"",
                "lib/local/smbench.toml: office: it requires ^2",
            ),
            (
                "version = \"0.1.0\"",
                "version = \"0.2.0\"",
                "smbench.toml: local: the lock has local",
            ),
            ("version = \"0.1.0\"", "", "lib/local/smbench.toml: it has no version"),
            ("[dependencies]", "[dependencies]\na = { path = \"b\" }", "a: the lock does not have"),
        ] {
            let changed = LOCAL.replacen(from, to, 1);
            let problem = fits(&lock(), PROJECT, &changed).unwrap_err();
            assert!(problem.contains(expected), "{from}: {problem}");
        }
    }

    #[test]
    fn a_source_of_another_kind_does_not_fit() {
        let mut lock = lock();
        let id = lock.dependencies["local"].clone();
        let office = lock.packages[&lock.dependencies["office"]].clone();
        lock.packages.insert(id.clone(), office);
        let problem = fits(&lock, PROJECT, LOCAL).unwrap_err();
        assert!(problem.contains("local: the lock has it from file:///office"), "{problem}");
        let (source, dependencies) = (LockedSource::Path("x".into()), BTreeMap::new());
        lock.packages
            .insert(lock.dependencies["office"].clone(), LockedPackage { source, dependencies });
        lock.dependencies.remove("local");
        let without = PROJECT.replacen("local = { path = \"./lib/local\" }\n", "", 1);
        let problem = fits(&lock, &without, LOCAL).unwrap_err();
        assert!(problem.contains("office: the lock has it at x"), "{problem}");
    }
}
