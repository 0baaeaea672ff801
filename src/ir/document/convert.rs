//! The conversion of a document to another version, or to the same, with nothing lost.

use std::io::Write;
use std::path::Path;

use super::error::{DocumentError, Position, Problem};
use super::format::{Format, open};
use super::header::Header;
use super::line::DocumentLine;
use super::sink::LineSink;
use super::v2_writer::Written;
use super::writer::DocumentWriter;
use super::{v1_reader, v2_reader};
use crate::ir::operation::OperationType;

/// Reads the document at `path` and writes it as `format`. Checks only its form;
/// [`load`](super::load) checks the rest.
///
/// # Errors
/// [`DocumentError`] if the form is wrong, an operation does not fit version 1, or `out`
/// cannot be written.
pub fn convert(path: &Path, format: Format, out: impl Write) -> Result<Written, DocumentError> {
    let (mut file, read_format) = open(path)?;
    let start = Box::new(|header: Header| {
        let operations = vec![0; header.clients() as usize];
        let writer = DocumentWriter::new(format, &header, out).map_err(Problem::Write)?;
        Ok(CopySink { writer, operations })
    });
    let copy = match read_format {
        Format::V2 => v2_reader::read(path, file, start)?.0,
        Format::V1 => v1_reader::read(path, &mut file, start)?.0,
    };
    copy.writer.finish().map_err(|error| DocumentError::new(path, Problem::Write(error)))
}

struct CopySink<W: Write> {
    writer: DocumentWriter<W>,
    /// The number of operations of each client so far.
    operations: Vec<u32>,
}

impl<W: Write> LineSink for CopySink<W> {
    fn line(
        &mut self,
        _place: Position,
        line: &mut DocumentLine<'static>,
        _operation: OperationType,
    ) -> Result<(), Problem> {
        let client = line.client.unwrap_or_default() as usize;
        if let Some(operations) = self.operations.get_mut(client) {
            line.make_canonical(*operations);
            *operations = operations.wrapping_add(1);
        }
        self.writer.operation(std::mem::take(line)).map_err(Problem::Write)
    }
}
