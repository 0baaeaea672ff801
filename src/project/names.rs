//! The names of projects, libraries, aliases, targets and profiles.

/// Longest name in bytes. A package's name has up to two.
const MAX_NAME_BYTES: usize = 64;

/// Returns whether a project can have this name: letters, digits, `-` and `_` after a letter.
pub(super) fn is_project_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(is_allowed)
}

/// Checks the name of a package: `scope/name`, or a name alone.
///
/// # Errors
/// A message with the form of a name.
pub fn check_package_name(name: &str) -> Result<(), String> {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.len() <= 2 && parts.iter().all(|part| is_project_name(part)) {
        true => Ok(()),
        false => Err(format!(
            "a name is such as acme/office or office: at most {MAX_NAME_BYTES} letters (a-z, A-Z), digits, - and _, after a letter"
        )),
    }
}

/// Checks the name under which `require` finds a library. Luau compares aliases without regard to
/// case, so they are lower case here.
///
/// # Errors
/// A message with the form of an alias, or with the module that the alias stands for already.
pub fn check_alias(alias: &str) -> Result<(), String> {
    match alias {
        "bench" => Err("@bench is the standard library; choose another alias".into()),
        "self" => Err("@self is the directory of an init.lua in Luau; choose another alias".into()),
        alias => check_plain_name(alias),
    }
}

/// Checks the name of an alias, a target or a profile.
///
/// # Errors
/// A message with the form of such a name.
pub fn check_plain_name(name: &str) -> Result<(), String> {
    match is_project_name(name) && !name.contains(|c: char| c.is_ascii_uppercase()) {
        true => Ok(()),
        false => Err(format!(
            "a name here has at most {MAX_NAME_BYTES} lower-case letters (a-z), digits, - and _, and begins with a letter"
        )),
    }
}
