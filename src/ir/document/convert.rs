//! The conversion of a document to another version, or to the same, with nothing lost.

use std::io::{BufReader, Write};
use std::path::Path;

use super::document_writer::{DocumentWriter, Written};
use super::error::{DocumentError, Position, Problem};
use super::format::{Format, open};
use super::header::Header;
use super::line::DocumentLine;
use super::sink::LineSink;
use super::writer::document_writer;
use super::{v1_reader, v2_reader};
use crate::ir::operation::OperationType;

/// Reads the document at `path` and writes it as `format`. Checks only its form;
/// [`load`](super::load) checks the rest.
///
/// # Errors
/// [`DocumentError`] if the form is wrong, an operation does not fit version 1, or `out`
/// cannot be written.
pub fn convert(path: &Path, format: Format, out: impl Write) -> Result<Written, DocumentError> {
    let fail = |problem| DocumentError::new(path, problem);
    let (mut file, read_format) = open(path)?;
    let mut copy = CopySink { format, out: Some(out), writer: None, operations: Vec::new() };
    if read_format == Format::V2 {
        v2_reader::read(path, &mut BufReader::with_capacity(1 << 18, file), &mut copy)?;
    } else {
        v1_reader::read(path, &mut file, &mut copy)?;
    }
    let writer = copy.writer.ok_or_else(|| fail(Problem::NoClients))?;
    writer.finish().map_err(|error| fail(Problem::Write(error)))
}

struct CopySink<'w, W> {
    format: Format,
    /// The output, until the header has been read.
    out: Option<W>,
    writer: Option<Box<dyn DocumentWriter + 'w>>,
    /// The number of operations of each client so far.
    operations: Vec<u32>,
}

impl<'w, W: Write + 'w> LineSink for CopySink<'w, W> {
    fn header(&mut self, header: Header) -> Result<(), Problem> {
        self.operations = vec![0; header.clients() as usize];
        if let Some(out) = self.out.take() {
            self.writer = Some(document_writer(self.format, &header, out).map_err(Problem::Write)?);
        }
        Ok(())
    }

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
        match &mut self.writer {
            Some(writer) => writer.operation(std::mem::take(line)).map_err(Problem::Write),
            None => Ok(()),
        }
    }
}
