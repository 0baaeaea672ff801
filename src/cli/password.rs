//! The sources of a password, which is never a flag, printed or stored.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use crate::observability::standard_error;
use crate::observability::text::printable;

const VARIABLE: &str = "SMBENCH_PASSWORD";
const MAX_BYTES: u64 = 64 << 10;

/// An error of a password's source. It says nothing about the password itself.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("--password-file {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("--password-file {0} is larger than {max} KiB; it should hold only a password", max = MAX_BYTES >> 10)]
    TooLarge(PathBuf),
    #[error("--password-file {0} is not UTF-8")]
    FileEncoding(PathBuf),
    #[error("{VARIABLE} is not UTF-8")]
    VariableEncoding,
    #[error("cannot ask for a password: {0}; set {VARIABLE} or --password-file")]
    Prompt(io::Error),
}

/// Returns the password of `user` at `server`: from `file`, else from `SMBENCH_PASSWORD`, else from
/// a prompt. Returns None if there is no source and no terminal to ask on.
///
/// # Errors
/// [`PasswordError`] if a source cannot be read.
pub fn password(
    file: Option<&Path>,
    user: &str,
    server: &str,
) -> Result<Option<String>, PasswordError> {
    let variable = std::env::var_os(VARIABLE);
    if let Some(password) = without_asking(file, variable)? {
        return Ok(Some(password));
    }
    if !may_ask() {
        return Ok(None);
    }
    let prompt = format!("Password of {} at {}: ", printable(user, 60), printable(server, 60));
    rpassword::prompt_password(prompt).map(Some).map_err(PasswordError::Prompt)
}

/// Returns where [`password`] takes the password from, in words.
pub fn password_source(file: Option<&Path>) -> String {
    match file {
        Some(path) => format!("file {}", path.display()),
        None if std::env::var_os(VARIABLE).is_some() => format!("variable {VARIABLE}"),
        None if may_ask() => "asked for on the terminal".into(),
        None => format!("none: set {VARIABLE} or --password-file, or run it on a terminal"),
    }
}

/// Returns whether there is a terminal on which a password can be asked for.
fn may_ask() -> bool {
    io::stdin().is_terminal() && standard_error::is_terminal()
}

fn without_asking(
    file: Option<&Path>,
    variable: Option<OsString>,
) -> Result<Option<String>, PasswordError> {
    match (file, variable) {
        (Some(path), _) => read(path).map(Some),
        (None, Some(value)) => {
            value.into_string().map(Some).map_err(|_| PasswordError::VariableEncoding)
        }
        (None, None) => Ok(None),
    }
}

/// Returns the content of the file without the newline that editors add at the end.
fn read(path: &Path) -> Result<String, PasswordError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|source| PasswordError::File { path: path.into(), source })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(PasswordError::TooLarge(path.into()));
    }
    let text = String::from_utf8(bytes).map_err(|_| PasswordError::FileEncoding(path.into()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn a_file_goes_before_the_variable_and_loses_only_its_newline() {
        let from = |bytes: &[u8]| {
            without_asking(Some(file(bytes).path()), Some("other".into())).unwrap().unwrap()
        };
        assert_eq!(from(b" a b \r\n"), " a b ");
        assert_eq!(from(b"a\n\n"), "a\n");
        assert_eq!(from(b""), "");
        assert_eq!(without_asking(None, Some("v".into())).unwrap().as_deref(), Some("v"));
        assert_eq!(without_asking(None, None).unwrap(), None);
    }

    #[test]
    fn errors_name_the_flag_and_never_the_content() {
        let bad = [file(b"secret\xff"), file(&[b's'; 70 << 10])];
        let missing = PathBuf::from("/nonexistent/secret-file");
        let paths = bad.iter().map(|file| file.path()).chain([missing.as_path()]);
        for path in paths {
            let error = without_asking(Some(path), None).unwrap_err();
            let message = format!("{error} {error:?}");
            assert!(message.contains("--password-file"), "{message}");
            assert!(!message.contains("secret\\") && !message.contains("115"), "{message}");
        }
    }
}
