//! Libraries that are read in place, from a directory.

use std::path::Path;

use crate::project::manifest::{MANIFEST, Manifest};

/// Returns the directory that `path` names in a manifest in the directory `base`, without `.` and
/// without `..` where a name is before it. Both directories are relative to that of the project.
pub fn joined(base: &str, path: &str) -> String {
    let whole = match path.starts_with('/') {
        true => path.to_string(),
        false => format!("{base}/{path}"),
    };
    let is_absolute = path.starts_with('/') || base.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    match (is_absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".into(),
        (false, false) => parts.join("/"),
    }
}

/// Reads the manifest of the library in the directory `path`, which is relative to that of the
/// project. The manifest has a name and a version.
///
/// # Errors
/// A message that names the directory.
pub fn read(project: &Path, path: &str) -> Result<Manifest, String> {
    let shown = format!("{path}/{MANIFEST}");
    let file = project.join(path).join(MANIFEST);
    if !file.exists() {
        return Err(format!(
            "there is no library in {path}: it has no {MANIFEST}; correct the path in the {MANIFEST} that names it, to which it is relative"
        ));
    }
    let manifest = Manifest::read(&file, &shown)?;
    match missing(&manifest) {
        Some(missing) => Err(format!(
            "{shown}: it has no {missing}; a library has a name and a version, such as name = \"acme/office\" and version = \"1.2.0\""
        )),
        None => Ok(manifest),
    }
}

/// Returns the key that the manifest of a library must have and this one has not.
pub fn missing(manifest: &Manifest) -> Option<&'static str> {
    match (&manifest.name, &manifest.version) {
        (None, _) => Some("name"),
        (_, None) => Some("version"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_relative_to_the_manifest_that_names_it() {
        for (base, path, expected) in [
            (".", "../local", "../local"),
            (".", "./lib/./a/", "lib/a"),
            (".", "a/..", "."),
            ("../local", "../other", "../other"),
            ("../local", "../../x", "../../x"),
            ("lib/a", "b", "lib/a/b"),
            ("lib/a", "/srv/../b", "/b"),
            ("/srv/a", "../../../b", "/b"),
        ] {
            assert_eq!(joined(base, path), expected, "{base} {path}");
        }
    }
}
