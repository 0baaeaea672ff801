//! The writer of a document of either version.

use std::io::Write;

use super::error::WriteError;
use super::format::Format;
use super::header::Header;
use super::line::DocumentLine;
use super::v1_writer::V1Writer;
use super::v2_writer::{V2Writer, Written};

/// A writer that takes operations in the document's order.
pub(in crate::ir) enum DocumentWriter<W: Write> {
    V1(Box<V1Writer<W>>),
    V2(Box<V2Writer<W>>),
}

impl<W: Write> DocumentWriter<W> {
    /// Creates a writer, which writes its header at once or as soon as it can.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn new(format: Format, header: &Header, out: W) -> Result<DocumentWriter<W>, WriteError> {
        Ok(match format {
            Format::V1 => DocumentWriter::V1(Box::new(V1Writer::new(header, out))),
            Format::V2 => DocumentWriter::V2(Box::new(V2Writer::new(header, out)?)),
        })
    }

    /// Writes one operation. `line` is a version 2 line in its canonical form.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] if version 1 cannot express the line, or [`WriteError::Io`].
    pub fn operation(&mut self, line: DocumentLine<'_>) -> Result<(), WriteError> {
        match self {
            DocumentWriter::V1(writer) => writer.operation(line),
            DocumentWriter::V2(writer) => Ok(writer.push(&line)?),
        }
    }

    /// Completes the document, which is not valid without it.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn finish(self) -> Result<Written, WriteError> {
        Ok(match self {
            DocumentWriter::V1(writer) => writer.finish()?,
            DocumentWriter::V2(writer) => writer.finish()?,
        })
    }
}
