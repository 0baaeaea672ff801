//! The settings of a run that the manifest of the project may state: by a profile, and by the names
//! of targets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use crate::backend::registry::{Target, known_targets};
use crate::ir::directory::directory_of;
use crate::project::manifest::{MANIFEST, Manifest, Profile, manifest_paths, nearest_manifest};
use crate::protocol::{nearest, shortened};
use crate::script::ProfileParameter;

/// Maximum number of characters of a name that an error quotes.
const MAX_SHOWN: usize = 60;

/// The values of the command line, and the manifest that may state others. They are settled at the
/// beginning of a run, and again at each reload, because the manifest may have changed.
#[derive(Clone, Debug, Default)]
pub struct SettingsRequest {
    /// The script or document, from whose directory upward the manifest is looked for; None for the
    /// current directory.
    pub input: Option<PathBuf>,
    pub profile: Option<Given<String>>,
    /// The target: the name of one of the manifest's, or what [`Target::parse`] accepts. None if the
    /// command line names none.
    pub target: Option<Given<String>>,
    pub duration: Option<Given<Duration>>,
    /// Thresholds; None if the command line states none.
    pub thresholds: Option<Given<Vec<String>>>,
}

/// A value, and the place it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<T> {
    pub value: T,
    pub origin: ValueOrigin,
}

impl Given<String> {
    /// Returns the flag or the variable with its value, or the place in the manifest. `flag` is the
    /// name of the flag.
    fn stated(&self, flag: &str) -> String {
        let value = shortened(&self.value, MAX_SHOWN);
        match &self.origin {
            ValueOrigin::Variable(name) => format!("{name}={value}"),
            ValueOrigin::Profile { place, .. } => place.clone(),
            ValueOrigin::Argument => value,
            _ => format!("--{flag} {value}"),
        }
    }
}

/// The place that a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueOrigin {
    Default,
    /// An argument without a flag.
    Argument,
    Flag,
    /// An environment variable, by its name.
    Variable(String),
    Profile {
        name: String,
        /// `file:line`
        place: String,
    },
    /// A file of parameters, by `file:line`.
    ParameterFile(String),
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueOrigin::Default => f.write_str("default"),
            ValueOrigin::Argument => f.write_str("argument"),
            ValueOrigin::Flag => f.write_str("flag"),
            ValueOrigin::Variable(name) => write!(f, "variable {name}"),
            ValueOrigin::Profile { name, place } => write!(f, "profile {name} ({place})"),
            ValueOrigin::ParameterFile(place) => f.write_str(place),
        }
    }
}

/// Settled values: those of the command line, or else of the profile, or else the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub target: Given<Target>,
    /// The target of the manifest, if it is one.
    pub named: Option<ListedTarget>,
    pub duration: Option<Given<Duration>>,
    pub thresholds: Vec<Given<String>>,
    /// The parameters of the profile.
    pub params: Vec<ProfileParameter>,
}

/// A threshold from outside of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenThreshold {
    pub expression: String,
    /// `--threshold`, or the `file:line` of the manifest.
    pub place: String,
}

impl Settings {
    /// Returns the thresholds for a run.
    pub fn given_thresholds(&self) -> Vec<GivenThreshold> {
        let thresholds = self.thresholds.iter();
        let given = thresholds.map(|Given { value, origin }| GivenThreshold {
            expression: value.clone(),
            place: match origin {
                ValueOrigin::Profile { place, .. } => place.clone(),
                _ => "--threshold".into(),
            },
        });
        given.collect()
    }
}

/// A target that the manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTarget {
    pub name: String,
    pub url: String,
    /// The `file:line` of its URL.
    pub place: String,
}

impl SettingsRequest {
    /// Returns the targets that the manifest names, by name.
    ///
    /// # Errors
    /// The manifest cannot be read.
    pub fn named_targets(&self) -> anyhow::Result<Vec<ListedTarget>> {
        let Some(manifest) = self.manifest(&mut |_| ())? else { return Ok(Vec::new()) };
        let targets = manifest.targets.into_iter().map(|(name, target)| ListedTarget {
            name,
            place: format!("{}:{}", manifest.shown, target.line),
            url: target.url,
        });
        Ok(targets.collect())
    }

    /// Settles the values. The manifest is read only if a profile is given, or a target that is
    /// none of those that need no name. `looked_at` gets the path of the manifest, also if it cannot
    /// be read.
    ///
    /// # Errors
    /// The profile or the target is unknown or wrong, or the manifest cannot be read. An error quotes
    /// no target that may hold a password.
    pub fn settle(&self, looked_at: &mut dyn FnMut(&Path)) -> anyhow::Result<Settings> {
        let is_name = |target: &Given<String>| Target::parse(&target.value).is_err();
        let found = match self.profile.is_some() || self.target.as_ref().is_some_and(is_name) {
            true => self.manifest(looked_at)?,
            false => None,
        };
        let shown = found.as_ref().map_or(MANIFEST, |manifest| &manifest.shown);
        let profile = self.profile(found.as_ref())?;
        let of_profile = |name: &str, line: usize| ValueOrigin::Profile {
            name: name.into(),
            place: format!("{shown}:{line}"),
        };
        let target = self.target.clone().or_else(|| {
            let (name, profile) = profile.as_ref()?;
            let stated = profile.target.as_ref()?;
            Some(Given { value: stated.value.clone(), origin: of_profile(name, stated.line) })
        });
        let (target, named) = match target {
            Some(target) => resolved(target, found.as_ref())?,
            None => (Given { value: Target::Embedded, origin: ValueOrigin::Default }, None),
        };
        let duration = self.duration.clone().or_else(|| {
            let (name, profile) = profile.as_ref()?;
            let stated = profile.duration.as_ref()?;
            Some(Given { value: stated.value, origin: of_profile(name, stated.line) })
        });
        let thresholds = match (&self.thresholds, &profile) {
            (Some(given), _) => {
                let origin =
                    |value: &String| Given { value: value.clone(), origin: given.origin.clone() };
                given.value.iter().map(origin).collect()
            }
            (None, Some((name, profile))) => {
                let thresholds = profile.thresholds.iter();
                let given = thresholds.map(|stated| Given {
                    value: stated.value.clone(),
                    origin: of_profile(name, stated.line),
                });
                given.collect()
            }
            (None, None) => Vec::new(),
        };
        let params = profile.iter().flat_map(|(profile_name, profile)| {
            profile.params.iter().map(|(name, stated)| ProfileParameter {
                profile: (*profile_name).into(),
                name: name.clone(),
                value: stated.value.clone(),
                place: format!("{shown}:{}", stated.line),
            })
        });
        let params = params.collect();
        Ok(Settings { target, named, duration, thresholds, params })
    }

    /// Returns the manifest, if there is one.
    fn manifest(&self, looked_at: &mut dyn FnMut(&Path)) -> anyhow::Result<Option<Manifest>> {
        let directory = self.input.as_deref().map_or(Path::new("."), directory_of);
        // If the directory cannot be read, loading the script says so better.
        let Ok(directory) = directory.canonicalize() else { return Ok(None) };
        // A manifest that is nearer than the nearest one would be the one of the project.
        let places: Vec<PathBuf> = manifest_paths(&directory).collect();
        let found = places.iter().position(|place| place.symlink_metadata().is_ok());
        places.iter().take(found.map_or(1, |at| at + 1)).for_each(|place| looked_at(place));
        let Some(path) = nearest_manifest(&directory).map_err(anyhow::Error::msg)? else {
            return Ok(None);
        };
        let current = std::env::current_dir().ok();
        let current = current.and_then(|current| current.canonicalize().ok());
        let within = current.as_deref().and_then(|current| path.strip_prefix(current).ok());
        let shown = within.unwrap_or(&path).display().to_string();
        Manifest::read(&path, &shown).map(Some).map_err(anyhow::Error::msg)
    }

    /// Returns the profile with its name.
    fn profile<'a>(
        &'a self,
        manifest: Option<&'a Manifest>,
    ) -> anyhow::Result<Option<(&'a str, &'a Profile)>> {
        let Some(given) = &self.profile else { return Ok(None) };
        let (name, stated) = (&*given.value, given.stated("profile"));
        let Some(manifest) = manifest else {
            bail!(
                "{stated}: there is no {MANIFEST} in the directory of the script or above it, and profiles are in this file"
            );
        };
        match manifest.profiles.get(name) {
            Some(profile) => Ok(Some((name, profile))),
            None => Err(anyhow!(
                "{stated}: {}",
                unknown(&manifest.shown, "profile", name, manifest.profiles.keys())
            )),
        }
    }
}

/// Parses a target. If it is a name of the manifest, returns the target that the name stands for, and
/// its line in the manifest.
fn resolved(
    target: Given<String>,
    manifest: Option<&Manifest>,
) -> anyhow::Result<(Given<Target>, Option<ListedTarget>)> {
    let name = &target.value;
    if let Some(manifest) = manifest
        && let Some(found) = manifest.targets.get(name)
    {
        let place = format!("{}:{}", manifest.shown, found.line);
        let value = Target::parse(&found.url).with_context(|| format!("{place}: target {name}"))?;
        let (name, url) = (name.clone(), found.url.clone());
        let named = Some(ListedTarget { name, url, place });
        return Ok((Given { value, origin: target.origin }, named));
    }
    let may_be_name = !name.contains([':', '/', '?', '@']);
    match (Target::parse(name), manifest) {
        (Ok(value), _) => Ok((Given { value, origin: target.origin }, None)),
        (Err(_), Some(manifest)) if may_be_name && !manifest.targets.is_empty() => {
            let problem = unknown(&manifest.shown, "target", name, manifest.targets.keys());
            let stated = target.stated("target");
            bail!("{stated}: {problem}; other targets are {}", known_targets())
        }
        (Err(error), _) if target.origin == ValueOrigin::Argument => Err(error.into()),
        // It may hold a password, so it is not quoted.
        (Err(error), _) => Err(error).context(match &target.origin {
            ValueOrigin::Variable(name) => name.clone(),
            ValueOrigin::Profile { place, .. } => place.clone(),
            _ => "--target".into(),
        }),
    }
}

/// Returns an error about a name that the manifest does not have.
fn unknown<'a>(
    shown: &str,
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a String> + Clone,
) -> String {
    let meant = nearest(name, known.clone().map(String::as_str));
    let names: Vec<&str> = known.map(String::as_str).take(24).collect();
    let name = shortened(name, MAX_SHOWN);
    match (meant, names.is_empty()) {
        (Some(meant), _) => format!("{shown} has no {what} {name:?}; did you mean {meant}?"),
        (None, false) => format!("{shown} has no {what} {name:?}; it has {}", names.join(", ")),
        (None, true) => format!("{shown} has no {what}; write a table [{what}s.NAME] in it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
[targets.lab]
url = \"smb://ada@nas/data\"
[profiles.nightly]
target = \"lab\"
duration = \"10m\"
thresholds = [\"read.count > 1\"]
params = { users = 3, office.size = \"1KiB\" }
[profiles.quick]
target = \"sim\"
[profiles.wrong]
target = \"lba\"
";

    fn request(place: &Path) -> SettingsRequest {
        SettingsRequest { input: Some(place.join("s.lua")), ..SettingsRequest::default() }
    }

    fn flag<T>(value: T) -> Option<Given<T>> {
        Some(Given { value, origin: ValueOrigin::Flag })
    }

    #[test]
    fn the_command_line_comes_before_the_profile_and_the_profile_before_the_default() {
        let place = tempfile::tempdir().unwrap();
        let plain = request(place.path());
        let settled = plain.settle(&mut |path| panic!("{}", path.display())).unwrap();
        assert_eq!(settled.target, Given { value: Target::Embedded, origin: ValueOrigin::Default });
        std::fs::write(place.path().join(MANIFEST), TEXT).unwrap();

        let nightly = SettingsRequest { profile: flag("nightly".into()), ..plain.clone() };
        let settled = nightly.settle(&mut |_| ()).unwrap();
        let line = |it: &ValueOrigin| match it {
            ValueOrigin::Profile { name, place } => {
                format!("{name}:{}", place.rsplit_once(':').unwrap().1)
            }
            other => other.to_string(),
        };
        assert_eq!(settled.target.value.to_string(), "smb://ada@nas/data");
        assert_eq!(line(&settled.target.origin), "nightly:4");
        assert!(settled.named.unwrap().place.ends_with("smbench.toml:2"));
        let duration = settled.duration.unwrap();
        assert_eq!(
            (duration.value, line(&duration.origin)),
            (Duration::from_secs(600), "nightly:5".into())
        );
        assert_eq!(settled.thresholds[0].value, "read.count > 1");
        let params: Vec<_> = settled.params.iter().map(|it| (&*it.name, &*it.value)).collect();
        assert_eq!(params, [("office.size", "1KiB"), ("users", "3")]);

        let typed = SettingsRequest {
            target: flag("sim:null".into()),
            duration: flag(Duration::from_secs(1)),
            thresholds: flag(vec!["write.count > 2".into()]),
            ..nightly
        };
        let settled = typed.settle(&mut |_| ()).unwrap();
        assert_eq!((settled.target.value, settled.named), (Target::SimNull, None));
        assert_eq!(settled.duration, typed.duration);
        assert_eq!(settled.thresholds[0].value, "write.count > 2");
        assert_eq!(settled.thresholds[0].origin, ValueOrigin::Flag);
        assert_eq!(settled.thresholds.len(), 1);
    }

    #[test]
    fn a_name_that_the_manifest_does_not_have_is_refused_with_the_nearest() {
        let place = tempfile::tempdir().unwrap();
        let plain = request(place.path());
        let profile = |name: &str| SettingsRequest { profile: flag(name.into()), ..plain.clone() };
        let refused =
            |request: &SettingsRequest| request.settle(&mut |_| ()).unwrap_err().to_string();
        assert!(refused(&profile("nightly")).contains("there is no smbench.toml in"));
        let named = SettingsRequest { target: flag("lab".into()), ..plain.clone() };
        let mut looked_at = Vec::new();
        named.settle(&mut |path| looked_at.push(path.to_path_buf())).unwrap_err();
        assert!(looked_at[0].ends_with(MANIFEST) && looked_at.len() == 1, "{looked_at:?}");
        assert!(refused(&named).starts_with("--target"), "{}", refused(&named));
        std::fs::write(place.path().join(MANIFEST), TEXT).unwrap();
        assert_eq!(
            named.settle(&mut |_| ()).unwrap().target.value.to_string(),
            "smb://ada@nas/data"
        );
        assert!(refused(&profile("nigthly")).ends_with("did you mean nightly?"));
        assert!(refused(&profile("x")).ends_with("it has nightly, quick, wrong"));
        let wrong = refused(&profile("wrong"));
        assert!(wrong.contains("smbench.toml:11: ") && wrong.contains("mean lab?"), "{wrong}");
        let target = SettingsRequest { target: flag("labb".into()), ..plain.clone() };
        assert!(refused(&target).starts_with("--target labb: "), "{}", refused(&target));
        std::fs::write(place.path().join(MANIFEST), "[profiles]\n").unwrap();
        assert!(refused(&profile("x")).ends_with("write a table [profiles.NAME] in it"));
        let typed = Some(Given { value: "LAB".into(), origin: ValueOrigin::Variable("V".into()) });
        let other = SettingsRequest { target: typed, ..plain.clone() };
        std::fs::write(place.path().join(MANIFEST), TEXT).unwrap();
        assert!(refused(&other).starts_with("V=LAB: "), "{}", refused(&other));
        assert!(refused(&other).contains("did you mean lab?"), "{}", refused(&other));
        std::fs::write(place.path().join(MANIFEST), "x = 1").unwrap();
        assert!(refused(&named).contains("smbench.toml:1: x: there is no such key"));
        plain.settle(&mut |_| ()).unwrap();
    }
}
