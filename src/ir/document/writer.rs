//! The writers of documents of either version.

use std::io::{self, Write};

use super::line::Line;
use super::v2::{Header, WriterV2};
use super::writer_v1::WriterV1;

/// A version of the document format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    V1,
    V2,
}

/// A writer that takes operations in the document's order.
pub trait DocumentWriter {
    /// Writes one operation. `line` is a version 2 line in its canonical form.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] if version 1 cannot express the line, or [`WriteError::Io`].
    fn operation(&mut self, line: Line<'_>) -> Result<(), WriteError>;

    /// Completes the document, which is not valid without it.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    fn finish(self: Box<Self>) -> Result<Written, WriteError>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub operations: u64,
    /// The BLAKE3 hash, in hexadecimal, of the operations in the order in which they were
    /// written, each as its canonical version 2 line with the line end. Loading the document
    /// gives the same hash, and for a version 2 document `sed '1d;$d' | b3sum` prints it.
    pub ir_hash: String,
    /// The parts of the header and the operations that this version has no place for.
    pub left_out: Vec<&'static str>,
}

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("the document cannot be written: {0}")]
    Io(#[from] io::Error),
    #[error(
        "operation {op_id:?} ({kind}) does not fit a version 1 document: {reason}; version 2 (.jsonl) takes it"
    )]
    Unfit { op_id: String, kind: String, reason: &'static str },
}

/// Creates a writer, which writes its header at once or as soon as it can.
///
/// # Errors
/// [`WriteError::Io`].
pub fn document_writer<'w>(
    format: Format,
    header: &Header,
    out: impl Write + 'w,
) -> Result<Box<dyn DocumentWriter + 'w>, WriteError> {
    Ok(match format {
        Format::V1 => Box::new(WriterV1::new(header, out)?),
        Format::V2 => Box::new(WriterV2::new(header, out)?),
    })
}
