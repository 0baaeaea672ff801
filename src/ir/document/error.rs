//! The errors of documents: what is wrong, where, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::warnings::{Warning, counted, shortened};
use crate::ir::blobs::BlobError;
use crate::ir::directory::OpenError;
use crate::ir::step::StepError;
use crate::ir::workloads::MAX_CLIENTS;
use crate::protocol::create::CreateError;
use crate::protocol::path::PathError;

/// An error that makes a document unusable.
#[derive(Debug)]
pub struct DocumentError {
    pub file: PathBuf,
    pub position: Option<Position>,
    /// The id of the operation at `position`, if it has one.
    pub op_id: Option<String>,
    pub problem: Box<Problem>,
}

impl DocumentError {
    /// Creates an error of the document as a whole.
    pub(super) fn new(file: &Path, problem: Problem) -> DocumentError {
        DocumentError { file: file.into(), position: None, op_id: None, problem: Box::new(problem) }
    }
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Problem {
        match error {
            OpenError::Unreadable(error) => Problem::Unreadable(error),
            OpenError::NotAFile | OpenError::Outside => Problem::NotAFile,
        }
    }
}

/// A position in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The number of a line of a version 2 document, from 1.
    Line(u64),
    /// The index into the `operations` of a version 1 document, from 0.
    Operation(u64),
}

impl Position {
    pub(super) fn number(self) -> u64 {
        match self {
            Position::Line(number) | Position::Operation(number) => number,
        }
    }

    /// Returns a position of the same kind with another number.
    pub(super) fn at(self, number: u64) -> Position {
        match self {
            Position::Line(_) => Position::Line(number),
            Position::Operation(_) => Position::Operation(number),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Line(number) => write!(f, "line {number}"),
            Position::Operation(index) => write!(f, "operations[{index}]"),
        }
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.position {
            Some(Position::Line(number)) => write!(f, ":{number}")?,
            Some(position) => write!(f, ": {position}")?,
            None => {}
        }
        if let Some(op_id) = &self.op_id {
            write!(f, ": operation {:?}", shortened(op_id))?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for DocumentError {}

#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("is not a regular file; write the document to a file first")]
    NotAFile,
    #[error("changed while it was read; run again when no program writes it")]
    Changed,
    #[error("is empty; a document starts with {{\"version\": 1 or 2")]
    Empty,
    #[error(
        "cannot be spooled: {0}; TMPDIR chooses another directory for temporary files (now {directory})",
        directory = std::env::temp_dir().display()
    )]
    Spool(io::Error),
    #[error("is not JSON of the right form: {0}")]
    Json(String),
    #[error("is not UTF-8 (byte {0} of the line)")]
    NotUtf8(usize),
    #[error("is not UTF-8")]
    NotUtf8Somewhere,
    #[error("is larger than {0} MiB, the most one part of a document may have")]
    TooLarge(u64),
    #[error("has version {0}; versions 1 and 2 are known")]
    Version(String),
    #[error("has no {0:?}; a version 1 document has version, metadata, clients and operations")]
    MissingKey(&'static str),
    #[error("metadata needs {key:?}, {wanted}")]
    Metadata { key: &'static str, wanted: &'static str },
    #[error(
        "ends before its last line, which gives the number of operations: the file is truncated or was never finished; if it is complete, append {{\"operations\":{found}}}"
    )]
    Unfinished { found: u64 },
    #[error(
        "ends inside a line, so it is truncated: write it again, or remove the incomplete last line"
    )]
    CutShort,
    #[error(
        "states {stated} operations in its last line but has {found}: lines were lost or added; correct the last line if that is intended"
    )]
    Count { stated: u64, found: u64 },
    #[error("follows the last line of the document; remove everything after that line")]
    AfterTheEnd,
    #[error("has no clients; a document needs at least one")]
    NoClients,
    #[error("has {0} clients; at most {max} are possible", max = MAX_CLIENTS)]
    TooManyClients(u64),
    #[error("has {0} workloads; at most 1,000 are possible, each with any number of clients")]
    TooManyWorkloads(usize),
    #[error("has {0} phases; at most 1,000 are possible")]
    TooManyPhases(usize),
    #[error("has phases that together last longer than 4,611,686,018,427,387,903 ns (146 years)")]
    PhasesTooLong,
    #[error("lists client {0:?} twice; every client needs a name of its own")]
    DuplicateClient(String),
    #[error("workload {name:?} has {clients} clients but {names} client_names")]
    ClientNames { name: String, clients: u32, names: usize },
    #[error("client {0:?} is not among the document's clients; add it there, or correct the name")]
    UnknownClient(String),
    #[error("client {client} is not among the document's clients, which go from 0 to {last}")]
    ClientRange { client: u32, last: u32 },
    #[error("operation types that are not known: {0}")]
    UnknownTypes(UnknownTypes),
    #[error("{kind} has no {field:?}; add it")]
    MissingField { kind: &'static str, field: &'static str },
    #[error("{kind} takes no field {field:?}; it takes {known}")]
    UnknownField { kind: &'static str, field: String, known: String },
    #[error(
        "{kind} needs \"at_ns\" or \"after_ns\" (or both, where it is an arrival of an open loop)"
    )]
    NoTime { kind: &'static str },
    #[error(
        "has both \"at_ns\" and \"after_ns\", which makes it an arrival, but only the first operation of an iteration can be one: remove one of the two, or give the operation an iteration of its own"
    )]
    ArrivalInside,
    #[error("has \"late\", which applies to arrivals only: add \"at_ns\" and \"after_ns\"")]
    LateAlone,
    #[error("{kind} needs either {left:?} or {right:?}, and not both")]
    OneOf { kind: &'static str, left: &'static str, right: &'static str },
    #[error("op_id was already used at {first}; every operation needs an id of its own")]
    DuplicateId { first: Position },
    #[error(
        "op_id is the default id (client-number) of another operation, which has none of its own; choose another"
    )]
    ImpliedId,
    #[error(
        "time goes backwards: the client's previous operation is at {before} ns and this one is at {at} ns; sort the client's operations by time"
    )]
    TimeBackwards { before: u64, at: u64 },
    #[error("time {0} is too large; the latest is 4,611,686,018,427,387,903 ns (146 years)")]
    TimeTooLarge(u64),
    #[error(
        "section {section} comes after {before} of the same client; the order is setup, iteration, teardown"
    )]
    SectionBackwards { before: &'static str, section: &'static str },
    #[error("the run-wide client has no iterations; use setup or teardown")]
    RunClientIterates,
    #[error("iteration goes backwards, from {before} to {iteration}")]
    IterationBackwards { before: u32, iteration: u32 },
    #[error("client has more than 4,294,967,295 operations")]
    TooManyOperations,
    #[error(
        "handle_ref {0} is not open here: its Open is missing or comes later, or the handle was already closed"
    )]
    HandleNotOpen(String),
    #[error("handle_ref {0} is open already; close it first, or use another name")]
    HandleOpen(String),
    #[error("more than {0} handles are open at once over all clients; close what is not needed")]
    TooManyHandles(usize),
    #[error("{field}: {error}")]
    Path { field: &'static str, error: PathError },
    #[error("pattern {0:?} must have 1 to 255 characters and no separator; \"*\" lists everything")]
    Pattern(String),
    #[error("length {length} is more than {max}, the most one read or write may have; split it")]
    Length { length: u64, max: u64 },
    #[error("offset {offset} plus length {length} is beyond the largest file (2^63 - 1 bytes)")]
    Range { offset: u64, length: u64 },
    #[error("size {0} is beyond the largest file (2^63 - 1 bytes)")]
    Size(u64),
    #[error(
        "expect: {0:?} is not the name of a known status; write a number as \"0xC0000022\", and \"any\" as the only entry"
    )]
    Expect(String),
    #[error("expect is an empty list; remove it for the default, or write [\"any\"]")]
    ExpectNothing,
    #[error("step: {0}")]
    Step(StepError),
    #[error("directory {directory:?} for blobs: {error}")]
    BlobDirectory { directory: PathBuf, error: io::Error },
    #[error("blob_path {path:?} {error}")]
    Blob { path: String, error: BlobError },
    #[error("extensions.smb must be an object of keys and values")]
    ExtensionsForm,
    #[error("{0}")]
    Disposition(CreateError),
    #[error("extensions.smb.{0}")]
    Extension(CreateError),
    #[error("{0} (an error because of --strict)")]
    Strict(Warning),
    #[error("{0}")]
    Write(WriteError),
}

/// The reason why a document cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("the document cannot be written: {0}")]
    Io(#[from] io::Error),
    #[error(
        "operation {op_id:?} ({kind}) does not fit a version 1 document: {reason}; version 2 (.jsonl) can hold it"
    )]
    Unfit { op_id: String, kind: String, reason: &'static str },
}

impl Problem {
    /// Converts a JSON error in a part that has a line of the document to itself.
    pub(super) fn json(error: &serde_json::Error) -> Problem {
        let message = error.to_string();
        let position = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&position).unwrap_or(&message);
        if message == "invalid unicode code point" {
            return Problem::NotUtf8Somewhere;
        }
        Problem::Json(format!("{message} (column {})", error.column()))
    }

    /// Converts a JSON error in a document that is one JSON value.
    pub(super) fn json_in_file(error: &serde_json::Error) -> Problem {
        match Problem::json(error) {
            Problem::Json(_) => Problem::Json(error.to_string()),
            other => other,
        }
    }
}

/// The unknown operation types that a document names, each with the number of operations that
/// have it and the id of the first.
#[derive(Debug, Default)]
pub struct UnknownTypes {
    types: Vec<(String, u64, String)>,
}

impl UnknownTypes {
    const LISTED: usize = 20;

    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    pub(super) fn add(&mut self, name: &str, op_id: &str) {
        let name = shortened(name);
        if let Some((_, count, _)) = self.types.iter_mut().find(|(known, ..)| *known == name) {
            *count += 1;
        } else if self.types.len() < Self::LISTED {
            self.types.push((name, 1, shortened(op_id)));
        }
    }
}

impl fmt::Display for UnknownTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = self.types.iter().map(|(name, count, first)| {
            format!("{name:?} ({}, first {first:?})", counted(*count, "operation"))
        });
        f.write_str(&types.collect::<Vec<_>>().join("; "))
    }
}
