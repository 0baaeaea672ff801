//! The part of reading a document that both versions share.

use std::path::{Path, PathBuf};

use super::error::{DocumentError, Position, Problem, UnknownTypes};
use super::format::Format;
use super::header::Header;
use super::line::DocumentLine;
use super::line_fields;
use crate::ir::operation::OperationType;

/// A receiver of the version 2 lines of a document, in the order in which they are read.
pub(super) trait LineSink {
    fn line(
        &mut self,
        position: Position,
        line: &mut DocumentLine<'static>,
        operation: OperationType,
    ) -> Result<(), Problem>;
}

/// A function that makes a sink for the document that has this header.
pub(super) type StartSink<'s, S> = Box<dyn FnOnce(Header) -> Result<S, Problem> + 's>;

/// A filter before the sink. It passes on valid lines, and collects unknown operation types, so
/// that the error at the end can list all of them.
pub(super) struct CheckedSink<'s, S> {
    file: PathBuf,
    format: Format,
    /// The function that makes the sink, until the header has been read.
    start: Option<StartSink<'s, S>>,
    sink: Option<S>,
    unknown: UnknownTypes,
    pub found: u64,
}

impl<'s, S: LineSink> CheckedSink<'s, S> {
    pub fn new(file: &Path, format: Format, start: StartSink<'s, S>) -> CheckedSink<'s, S> {
        let (file, unknown) = (file.to_path_buf(), UnknownTypes::default());
        CheckedSink { file, format, start: Some(start), sink: None, unknown, found: 0 }
    }

    pub fn header(&mut self, header: Header) -> Result<(), DocumentError> {
        header.check().map_err(|problem| self.error(problem))?;
        let sink = self.start.take().map(|start| start(header)).transpose();
        self.sink = sink.map_err(|problem| self.error(problem))?;
        Ok(())
    }

    /// Checks a line and passes it on. `to_v2` converts a valid line of its version to version 2. A
    /// line is large, so it is passed by reference from here on.
    pub fn line(
        &mut self,
        position: Position,
        mut line: DocumentLine<'static>,
        to_v2: impl FnOnce(&mut DocumentLine<'static>) -> Result<(), Problem>,
    ) -> Result<(), DocumentError> {
        self.found += 1;
        let op_id = line.op_id.as_deref().map(str::to_string);
        let passed = match line_fields::check(&line, self.format) {
            Ok(None) => {
                let op_id = op_id.as_deref().map_or_else(|| position.to_string(), str::to_string);
                self.unknown.add(&line.kind, &op_id);
                Ok(())
            }
            // Operations that follow one of an unknown type may depend on it, so they are not
            // passed on.
            Ok(Some(_)) if !self.unknown.is_empty() => Ok(()),
            Ok(Some(operation)) => to_v2(&mut line).and_then(|()| match &mut self.sink {
                Some(sink) => sink.line(position, &mut line, operation),
                None => Ok(()),
            }),
            Err(problem) => Err(problem),
        };
        passed.map_err(|problem| DocumentError {
            position: Some(position),
            op_id,
            ..self.error(problem)
        })
    }

    pub fn finish(self) -> Result<S, DocumentError> {
        let problem = match self.sink {
            Some(sink) if self.unknown.is_empty() => return Ok(sink),
            Some(_) => Problem::UnknownTypes(self.unknown),
            None => Problem::NoClients,
        };
        Err(DocumentError::new(&self.file, problem))
    }

    pub fn error(&self, problem: Problem) -> DocumentError {
        DocumentError::new(&self.file, problem)
    }

    pub fn error_at(&self, position: Position, problem: Problem) -> DocumentError {
        DocumentError { position: Some(position), ..self.error(problem) }
    }
}
