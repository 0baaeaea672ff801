//! The versions of the document format, and how one is recognised.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::error::{DocumentError, Problem};
use crate::ir::directory::regular_file;

/// A version of the document format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    V1,
    V2,
}

/// Finds the format of an open document by its first bytes, else by its name. `size` is the file's
/// size in bytes.
pub(super) fn format_of(file: &mut File, size: u64, path: &Path) -> Result<Format, DocumentError> {
    let fail = |problem| DocumentError::new(path, problem);
    if size == 0 {
        return Err(fail(Problem::Empty));
    }
    let mut begin = || -> io::Result<Vec<u8>> {
        let mut start = Vec::new();
        file.by_ref().take(256).read_to_end(&mut start)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(start)
    };
    let start = begin().map_err(|error| fail(Problem::Unreadable(error)))?;
    let lines = path.extension().is_some_and(|extension| extension == "jsonl");
    Ok(stated_version(&start).unwrap_or(if lines { Format::V2 } else { Format::V1 }))
}

/// Opens a document and finds its format.
pub(super) fn open(path: &Path) -> Result<(File, Format), DocumentError> {
    let opened = regular_file(path);
    let (mut file, size) = opened.map_err(|error| DocumentError::new(path, error.into()))?;
    let format = format_of(&mut file, size, path)?;
    Ok((file, format))
}

/// Returns the format, if `version` is the first key.
fn stated_version(start: &[u8]) -> Option<Format> {
    let mut rest = start.trim_ascii_start();
    for token in ["{", "\"version\"", ":"] {
        rest = rest.strip_prefix(token.as_bytes())?.trim_ascii_start();
    }
    match rest {
        [b'2', after, ..] if !after.is_ascii_digit() => Some(Format::V2),
        [b'1', after, ..] if !after.is_ascii_digit() => Some(Format::V1),
        _ => None,
    }
}
