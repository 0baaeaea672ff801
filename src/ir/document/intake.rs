//! The part of reading a document that both versions have in common.

use std::path::{Path, PathBuf};

use super::error::{DocumentError, Place, Problem, UnknownTypes};
use super::line::Line;
use super::shape;
use super::v2::Header;
use crate::ir::operation::OperationType;

/// The most bytes one operation, or another single part, may have.
pub(super) const MAX_PART: u64 = 4 << 20;
/// The most bytes a header, or version 1's list of clients, may have.
pub(super) const MAX_HEADER: u64 = 64 << 20;
pub(super) const MAX_CLIENTS: u64 = 1_000_000;
pub(super) const MAX_PHASES: usize = 1_000;
/// The most workloads, as for a script: each is a part of every report.
pub(super) const MAX_WORKLOADS: usize = 1_000;

/// A receiver of a document in the order in which it is read: the header, then version 2 lines.
pub(super) trait LineSink {
    fn header(&mut self, header: Header) -> Result<(), Problem>;
    fn line(
        &mut self,
        place: Place,
        line: &mut Line<'static>,
        operation: OperationType,
    ) -> Result<(), Problem>;
}

/// A filter before the sink. It passes on what has the right form, and collects unknown types
/// so that all of them can be named at the end.
pub(super) struct Intake<'s> {
    pub file: PathBuf,
    version: u8,
    pub sink: &'s mut dyn LineSink,
    unknown: UnknownTypes,
    pub found: u64,
}

impl<'s> Intake<'s> {
    pub fn new(file: &Path, version: u8, sink: &'s mut dyn LineSink) -> Intake<'s> {
        let unknown = UnknownTypes::default();
        Intake { file: file.to_path_buf(), version, sink, unknown, found: 0 }
    }

    pub fn header(&mut self, header: Header) -> Result<(), DocumentError> {
        header.check().and_then(|()| self.sink.header(header)).map_err(|p| self.error(p))
    }

    /// Checks a line and passes it on. `to_v2` converts a line that has the form of its
    /// version to version 2. A line is large, so it is not moved from here on.
    pub fn line(
        &mut self,
        place: Place,
        mut line: Line<'static>,
        to_v2: impl FnOnce(&mut Line<'static>) -> Result<(), Problem>,
    ) -> Result<(), DocumentError> {
        self.found += 1;
        let op_id = line.op_id.as_deref().map(str::to_string);
        let passed = match shape::check(&line, self.version) {
            Ok(None) => {
                let op_id = op_id.as_deref().map_or_else(|| place.to_string(), str::to_string);
                self.unknown.add(&line.kind, &op_id);
                Ok(())
            }
            // Operations that follow one of an unknown type may depend on it, so they are not
            // passed on.
            Ok(Some(_)) if !self.unknown.is_empty() => Ok(()),
            Ok(Some(operation)) => {
                to_v2(&mut line).and_then(|()| self.sink.line(place, &mut line, operation))
            }
            Err(problem) => Err(problem),
        };
        passed.map_err(|problem| DocumentError { place: Some(place), op_id, ..self.error(problem) })
    }

    pub fn finish(self) -> Result<(), DocumentError> {
        if self.unknown.is_empty() {
            return Ok(());
        }
        Err(DocumentError::new(&self.file, Problem::UnknownTypes(self.unknown)))
    }

    pub fn error(&self, problem: Problem) -> DocumentError {
        DocumentError::new(&self.file, problem)
    }

    pub fn error_at(&self, place: Place, problem: Problem) -> DocumentError {
        DocumentError { place: Some(place), ..self.error(problem) }
    }
}
