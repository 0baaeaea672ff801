//! Files with values of parameters.

use std::io::Read as _;
use std::path::Path;

use super::error::ScriptError;
use crate::ir::directory::regular_file;
use crate::protocol::shortened;

/// The maximum size of a file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Maximum number of characters of a line that an error quotes.
const MAX_SHOWN: usize = 60;

const FORM: &str = "a parameter file has one 'name = value' in a line; empty lines and lines that begin with # are ignored";

/// The values of one parameter file, in the order of its lines.
#[derive(Debug)]
pub struct ParameterFile {
    pub(super) values: Vec<FileValue>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileValue {
    pub name: String,
    pub value: String,
    /// The number of the line, from 1.
    pub line: usize,
}

impl ParameterFile {
    /// Reads the file, which must be a regular file of text within the size limit.
    ///
    /// # Errors
    /// [`ScriptError::Parameter`] with the path, and the line if a line is wrong.
    pub(super) fn read(path: &Path) -> Result<ParameterFile, ScriptError> {
        let shown = path.display();
        let refused = |problem: String| ScriptError::Parameter(format!("{shown}{problem}"));
        let cannot = |reason: &dyn std::fmt::Display| {
            ScriptError::Parameter(format!("cannot read the parameter file {shown}: {reason}"))
        };
        let (file, _) = regular_file(path).map_err(|error| cannot(&error))?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(cannot(&format!(
                "it has more than {MAX_BYTES} bytes, the most that one may have"
            )));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            refused(format!(":{line}: it is not UTF-8 text; save the file as UTF-8"))
        })?;
        ParameterFile::parse(&text).map_err(|problem| refused(format!(":{problem}")))
    }

    /// Parses the text. An error begins with the number of its line.
    fn parse(text: &str) -> Result<ParameterFile, String> {
        // Some editors on Windows put this mark at the beginning of a file.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut values = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let pair = line.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
            let Some((name, value)) = pair.filter(|(name, _)| !name.is_empty()) else {
                let shown = shortened(line, MAX_SHOWN);
                return Err(format!("{number}: {shown:?} sets no parameter; {FORM}"));
            };
            values.push(FileValue { name: name.into(), value: value.into(), line: number });
        }
        Ok(ParameterFile { values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(String, String, usize)>, String> {
        let file = ParameterFile::parse(text)?;
        Ok(file.values.into_iter().map(|it| (it.name, it.value, it.line)).collect())
    }

    #[test]
    fn each_line_sets_one_parameter() {
        let text = "\u{feff}# of the night\n\n  users = 10\r\nmix=a,b=c \n\t#io = 1\nempty =\n\
            note = 5 # not a comment";
        let value = |name: &str, value: &str, line| (name.into(), value.into(), line);
        let expected = [
            value("users", "10", 3),
            value("mix", "a,b=c", 4),
            value("empty", "", 6),
            value("note", "5 # not a comment", 7),
        ];
        assert_eq!(parsed(text), Ok(expected.to_vec()));
        assert_eq!(parsed(""), Ok(vec![]));
    }

    #[test]
    fn a_line_that_sets_nothing_is_refused_with_its_number() {
        for (line, shown) in [("users", "users"), ("= 3", "= 3")] {
            let problem = parsed(&format!("a = 1\n{line}\n")).unwrap_err();
            assert_eq!(problem, format!("2: \"{shown}\" sets no parameter; {FORM}"));
        }
    }

    #[test]
    fn only_a_regular_file_of_text_within_the_size_limit_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("night.params");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let read = ParameterFile::read(&path).map(|file| file.values.len());
            read.map_err(|error| error.to_string().replace(&path.display().to_string(), "F"))
        };
        assert_eq!(read(b"a = 1\nb = 2"), Ok(2));
        assert_eq!(
            read(b"a = 1\nb = \xff"),
            Err("F:2: it is not UTF-8 text; save the file as UTF-8".into())
        );
        let mut large = vec![b'\n'; MAX_BYTES as usize];
        assert_eq!(read(&large), Ok(0));
        large.push(b'\n');
        let too_large = read(&large).unwrap_err();
        assert!(too_large.contains("more than 1048576 bytes"), "{too_large}");
        let directory = ParameterFile::read(folder.path()).unwrap_err().to_string();
        assert!(directory.ends_with("it is not a regular file"), "{directory}");
        assert!(ParameterFile::read(Path::new("/dev/zero")).is_err());
    }
}
