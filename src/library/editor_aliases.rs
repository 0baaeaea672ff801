//! The aliases of libraries in the files `.luaurc`, with which editors find the modules that
//! `require` finds.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstRootNode};

use super::lock::{Lock, LockedSource, PackageId};
use super::store::{FILES, PACKAGES, VENDORED, package_directory};
use crate::ir::directory::{Directory, OpenError, regular_file};

/// The name of the file.
const LUAURC: &str = ".luaurc";
/// The key of the aliases in it.
const ALIASES: &str = "aliases";
/// Maximum size of the file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Writes the aliases of the libraries of `lock` into the `.luaurc` of the project, and into one
/// beside the files of each package. Other aliases, comments and the form of the files stay. Of the
/// aliases that are no longer used, those that lead to a place of packages are removed, and those of
/// `gone`, by alias and directory.
///
/// A file is written only if that changes its content.
///
/// # Errors
/// A message that names the file which editors will not find right. The libraries work without it.
pub fn write_aliases(
    project: &Path,
    lock: &Lock,
    gone: &BTreeMap<String, String>,
) -> Result<(), String> {
    let place = |id: &PackageId| match lock.packages.get(id).map(|package| &package.source) {
        Some(LockedSource::Repository { hash, .. }) => {
            Some(package_directory(project, id, hash).join(FILES).display().to_string())
        }
        Some(LockedSource::Path(path)) => Some(path.clone()),
        None => None,
    };
    let ids = lock.dependencies.iter().chain(&lock.dev_dependencies);
    let aliases = ids.filter_map(|(alias, id)| Some((alias.clone(), place(id)?))).collect();
    write_file(project, Path::new(LUAURC), &aliases, gone)?;
    for (id, package) in &lock.packages {
        let LockedSource::Repository { hash, .. } = &package.source else { continue };
        let directory = package_directory(project, id, hash);
        if !project.join(&directory).is_dir() {
            continue;
        }
        let aliases = package.dependencies.iter().filter_map(|(alias, id)| {
            let up = "../".repeat(directory.components().count());
            Some((alias.clone(), format!("{up}{}", place(id)?)))
        });
        write_file(project, &directory.join(LUAURC), &aliases.collect(), &BTreeMap::new())?;
    }
    Ok(())
}

/// Writes aliases into the file at `path`, which is relative to `project`.
fn write_file(
    project: &Path,
    path: &Path,
    aliases: &BTreeMap<String, String>,
    gone: &BTreeMap<String, String>,
) -> Result<(), String> {
    let shown = path.display();
    let before = read(&project.join(path)).map_err(|reason| {
        format!("cannot read {shown}, so that editors may not find the libraries: {reason}")
    })?;
    if before.is_none() && aliases.is_empty() {
        return Ok(());
    }
    let text = before.as_deref().unwrap_or_default();
    let after = changed(text, aliases, gone).map_err(|reason| {
        format!("{shown} is not changed, so that editors may not find the libraries: {reason}")
    })?;
    if after == text {
        return Ok(());
    }
    let written = Directory::open(project)
        .map_err(OpenError::Unreadable)
        .and_then(|directory| directory.write_file(path, after.as_bytes()));
    written.map_err(|error| {
        format!("cannot write {shown}, so that editors may not find the libraries: {error}")
    })
}

fn read(path: &Path) -> Result<Option<String>, String> {
    if path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(None);
    }
    let (file, size) = regular_file(path).map_err(|error| error.to_string())?;
    if size > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(Some(text))
}

fn changed(
    text: &str,
    aliases: &BTreeMap<String, String>,
    gone: &BTreeMap<String, String>,
) -> Result<String, String> {
    let root = CstRootNode::parse(text, &ParseOptions::default())
        .map_err(|error| format!("it is not JSON with comments: {error}"))?;
    let whole = root.object_value_or_create().ok_or("it is not an object")?;
    let object = match aliases.is_empty() {
        true => whole.object_value(ALIASES),
        false => {
            let object = whole.object_value_or_create(ALIASES);
            Some(object.ok_or_else(|| format!("{ALIASES} is not an object"))?)
        }
    };
    let Some(object) = object else { return Ok(text.into()) };
    for property in object.properties() {
        let value = property.value().and_then(|value| value.as_string_lit());
        let value = value.and_then(|value| value.decoded_value().ok());
        let (Some(name), Some(value)) = (property.decoded_name(), value) else { continue };
        let is_own = is_place_of_packages(&value) || gone.get(&name) == Some(&value);
        if is_own && !aliases.contains_key(&name) {
            property.remove();
        }
    }
    for (alias, place) in aliases {
        match object.get(alias) {
            Some(property) => {
                let value = property.value().and_then(|value| value.as_string_lit());
                if value.and_then(|value| value.decoded_value().ok()).as_ref() != Some(place) {
                    property.set_value(CstInputValue::String(place.clone()));
                }
            }
            None => drop(object.append(alias, CstInputValue::String(place.clone()))),
        }
    }
    let mut changed = root.to_string();
    if !changed.ends_with('\n') && text.is_empty() {
        changed.push('\n');
    }
    Ok(changed)
}

/// Returns whether an alias leads to a place in which smbench puts packages.
fn is_place_of_packages(value: &str) -> bool {
    let value = value.strip_prefix("./").unwrap_or(value);
    [PACKAGES, VENDORED].iter().any(|place| {
        value.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
            && value.ends_with(&format!("/{FILES}"))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(alias, place)| (alias.to_string(), place.to_string())).collect()
    }

    const OFFICE: &str = ".smbench/packages/office-1.2.0-aaaaaaaa/library";

    #[test]
    fn aliases_are_changed_and_everything_else_stays() {
        let before = "{
  // how strict
  \"languageMode\": \"nonstrict\",
  \"aliases\": {
    \"bench\": \".smbench/definitions/luau\", // ours
    \"office\": \".smbench/packages/office-1.0.0-bbbbbbbb/library\",
    \"old\": \"vendor/old-1.0.0-cccccccc/library\",
    \"near\": \"../near\",
    \"mine\": \"vendor/mine\"
  },
}
";
        let expected = before
            .replacen(".smbench/packages/office-1.0.0-bbbbbbbb/library", OFFICE, 1)
            .replacen("    \"old\": \"vendor/old-1.0.0-cccccccc/library\",\n", "", 1)
            .replacen("    \"near\": \"../near\",\n", "", 1)
            .replacen("\"vendor/mine\"\n", "\"vendor/mine\",\n    \"local\": \"lib\"\n", 1);
        let aliases = map(&[("office", OFFICE), ("local", "lib")]);
        let after = changed(before, &aliases, &map(&[("near", "../near"), ("mine", "x")])).unwrap();
        assert_eq!(after, expected);
        assert_eq!(changed(&after, &aliases, &BTreeMap::new()).unwrap(), after);
    }

    #[test]
    fn a_file_that_is_missing_is_made_and_one_that_is_not_needed_is_not() {
        let made = changed("", &map(&[("office", OFFICE)]), &BTreeMap::new()).unwrap();
        let read: serde_json::Value = serde_json::from_str(&made).unwrap();
        assert_eq!(read, serde_json::json!({ "aliases": { "office": OFFICE } }));
        assert!(made.ends_with("}\n"), "{made:?}");
        let place = tempfile::tempdir().unwrap();
        write_aliases(place.path(), &Lock::default(), &BTreeMap::new()).unwrap();
        assert!(!place.path().join(LUAURC).exists());
        for text in ["", "{}", "{ \"languageMode\": \"strict\" }"] {
            assert_eq!(changed(text, &BTreeMap::new(), &BTreeMap::new()).unwrap(), text);
        }
    }

    #[test]
    fn a_file_that_cannot_be_understood_stays() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(LUAURC);
        let office = map(&[("office", OFFICE)]);
        for (text, expected) in [
            ("{", "is not JSON with comments"),
            ("[]", "it is not an object"),
            ("{ \"aliases\": 3 }", "aliases is not an object"),
        ] {
            fs::write(&path, text).unwrap();
            let problem =
                write_file(place.path(), Path::new(LUAURC), &office, &office).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn each_package_has_the_aliases_of_its_own_libraries() {
        let place = tempfile::tempdir().unwrap();
        let text = format!(
            "version = \"1\"
[[packages]]
name = \"acme/office\"
version = \"1.2.0\"
repo = \"https://host/u.git\"
tag = \"v1.2.0\"
commit = \"{commit}\"
hash = \"{hash}\"
dependencies = {{ sizes = \"sizes 1.0.0\" }}
[[packages]]
name = \"sizes\"
version = \"1.0.0\"
repo = \"https://host/v.git\"
tag = \"v1.0.0\"
commit = \"{commit}\"
hash = \"{hash}\"
[[packages]]
name = \"near\"
version = \"1.0.0\"
path = \"../near\"
[dependencies]
office = \"acme/office 1.2.0\"
[dev_dependencies]
near = \"near 1.0.0\"
",
            commit = "a".repeat(40),
            hash = "b".repeat(64)
        );
        let lock = Lock::parse(&text, "L").unwrap();
        let office = ".smbench/packages/acme-office-1.2.0-bbbbbbbb";
        fs::create_dir_all(place.path().join(office)).unwrap();
        fs::create_dir_all(place.path().join("vendor/sizes-1.0.0-bbbbbbbb")).unwrap();
        write_aliases(place.path(), &lock, &BTreeMap::new()).unwrap();
        let aliases = |path: &str| {
            let text = fs::read_to_string(place.path().join(path)).unwrap();
            serde_json::from_str::<serde_json::Value>(&text).unwrap()["aliases"].clone()
        };
        assert_eq!(
            aliases(LUAURC),
            serde_json::json!({ "near": "../near", "office": format!("{office}/library") })
        );
        assert_eq!(
            aliases(&format!("{office}/.luaurc")),
            serde_json::json!({ "sizes": "../../../vendor/sizes-1.0.0-bbbbbbbb/library" })
        );
        assert!(!place.path().join("vendor/sizes-1.0.0-bbbbbbbb/.luaurc").exists());
    }
}
