//! The interface of the writers of documents.

use super::error::WriteError;
use super::line::DocumentLine;

/// A writer that takes operations in the document's order.
pub trait DocumentWriter {
    /// Writes one operation. `line` is a version 2 line in its canonical form.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] if version 1 cannot express the line, or [`WriteError::Io`].
    fn operation(&mut self, line: DocumentLine<'_>) -> Result<(), WriteError>;

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
